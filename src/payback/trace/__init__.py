"""From Python code to graphs: the traced array, the map of NumPy's functions, containers."""
