"""Running graphs: the interpreter, the reference for every other way."""
