"""What the value of an expression holds of a text, and whether a call makes numbers of it; see `flow.py`."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from payback.trace.text.calls import (
    UNKNOWN,
    Made,
    Names,
    Space,
    attribute_of,
    bound_in,
    called,
    first_of,
    given,
    parts_of,
)

READERS = {
    "float", "complex", "eval", "literal_eval", "Decimal", "Fraction", "float64", "float32", "float16", "longdouble",
    "fromstring", "fromhex", "loadtxt", "genfromtxt", "loads", "load", "atof", "read_csv", "mpf", "mpmathify",
}  # fmt: skip
SAVING = {"save", "savetxt", "savez", "savez_compressed"}
READING = {"getfloat"}  # methods of what holds it
MAKERS = {"array", "asarray", "fromiter", "astype"}  # of arrays of a dtype that is given
PASSING = {
    "str", "list", "tuple", "map", "sorted", "reversed", "zip", "iter", "next", "filter", "enumerate", "bytes", "sub",
    "array", "asarray", "search", "match", "fullmatch", "findall", "finditer", "join", "copy", "deepcopy", "dict",
    "StringIO", "BytesIO", "b64encode", "b64decode", "dedent", "indent", "fill", "shorten", "wrap", "reader",
    "DictReader", "open", "max", "min", "set", "frozenset", "deque", "dumps", "cast", "chain",
}  # fmt: skip
KEEPING = {
    "append", "appendleft", "extend", "insert", "add", "write", "writelines", "writerow", "writerows", "update", "put",
    "setdefault", "read_string", "read_dict", "write_text", "put_nowait",
}  # fmt: skip
EACH = {"map", "filter", "reduce"}
WRITERS = {"writer", "DictWriter", "TextIOWrapper"}


class Fate(NamedTuple):
    """What became of a text in a function."""

    read: bool  # a number was made of it
    returned: bool
    given: Names  # what of the arguments holds it afterwards: `lines`, `self.label`


class Values:
    """One function's expressions; what they are asked of is in the fields of `Flow`."""

    made: ast.AST | None
    value: bool
    files: bool
    scope: Any
    space: Space
    kinds: dict[str, Made]
    cells: Names
    asked: set[str]

    def inside(self, node: ast.Call, state: Names) -> tuple[Fate | None, dict[str, str]]:
        raise NotImplementedError

    def fields(self, node: ast.Call, state: Names) -> set[str]:
        raise NotImplementedError

    def assign(self, target: ast.expr, value: ast.expr, state: Names) -> Names:
        raise NotImplementedError

    def making(self, node: ast.Call) -> bool:
        """Whether the text is made by this call itself: `print(x)`, `rows.writerow(x)`."""
        return node is self.made

    def holds(self, node: Any, state: Names) -> bool:
        """Whether the value of an expression holds the text, or a part of it."""
        if node is None:
            return False
        if node is self.made and self.value:
            return True
        if self.files and isinstance(node, ast.Constant | ast.BinOp) and ast.unparse(node) in state:
            return True
        match node:
            case ast.Attribute(value=ast.Call() as made, attr=attr):
                return ast.unparse(node) in state or attr in self.fields(made, state)
            case ast.Name() | ast.Attribute():
                text = ast.unparse(node)
                return text in state or any(part[0] == "[" for part in parts_of(text, state))
            case ast.Subscript(value=ast.Name() | ast.Attribute() as value, slice=ast.Constant()):
                return ast.unparse(node) in state or ast.unparse(value) in state
            case ast.Subscript(value=ast.Dict(keys=keys, values=values), slice=ast.Constant(value=at)):
                return any(self.holds(part, state) for key, part in zip(keys, values, strict=True)
                           if not isinstance(key, ast.Constant) or key.value == at)  # fmt: skip
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.NamedExpr(value=value):
                return ast.unparse(node) in state or self.holds(value, state)
            case ast.FormattedValue(value=value) | ast.Await(value=value) | ast.YieldFrom(value=value):
                return self.holds(value, state)
            case ast.Call(func=function):
                if isinstance(function, ast.Attribute) and self.holds(function.value, state):
                    return True
                if called(node) in PASSING and any(self.holds(part, state) for part in given(node)):
                    return True
                fate, _ = self.inside(node, state)
                return fate is not None and fate.returned
            case ast.BinOp(left=left, right=right):
                return self.holds(left, state) or self.holds(right, state)
            case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
                return any(self.holds(part, state) for part in parts)
            case ast.BoolOp(values=parts) | ast.Dict(values=parts):
                return any(self.holds(part, state) for part in parts)
            case ast.IfExp(body=body, orelse=other):
                return self.holds(body, state) or self.holds(other, state)
            case (
                ast.ListComp(elt=value)
                | ast.GeneratorExp(elt=value)
                | ast.SetComp(elt=value)
                | ast.DictComp(value=value)
            ):
                for part in node.generators:
                    state = self.assign(part.target, part.iter, state)
                return self.holds(value, state)
        return False

    def reads(self, node: ast.Call, state: Names) -> bool:
        """Whether a call makes numbers of it."""
        name, parts = called(node), given(node)
        if name in EACH and len(parts) > 1:  # a function of each entry
            each = ast.Call(parts[0], parts[1:2] * 2 if name == "reduce" else parts[1:], [])
            fate, _ = self.inside(each, state)
            if fate is not None and fate.read:
                return True
        if name in READING:
            return isinstance(node.func, ast.Attribute) and self.holds(node.func.value, state)
        if name == "map" and len(parts) > 1 and isinstance(parts[0], ast.Name | ast.Attribute):
            name, parts = ast.unparse(parts[0]).rpartition(".")[2], parts[1:]
        elif name in MAKERS:
            if isinstance(node.func, ast.Attribute) and name == "astype":
                return self.holds(node.func.value, state)
            parts = parts if len(parts) > 1 else []
        elif name not in READERS and (stands := self.resolve(node.func)) is not UNKNOWN:
            name = getattr(stands, "__name__", "") if isinstance(stands, type) or callable(stands) else ""
            name = name if isinstance(stands, type) and stands in (float, complex) else ""
        return (name in READERS or name in MAKERS) and any(self.holds(part, state) for part in parts)

    def resolve(self, node: ast.expr) -> Any:
        """What an expression of names and dots stands for, or UNKNOWN."""
        match node:
            case ast.Name(id=name):
                found = self.kinds[name] if name in self.kinds else self.space(name)
                self.asked.add(name)
            case ast.Attribute(value=value, attr=attr):
                owner = self.resolve(value)
                found = UNKNOWN if owner is UNKNOWN else attribute_of(owner, attr)
            case ast.Call(func=ast.Name(id="partial") | ast.Attribute(attr="partial"), args=[function]):
                return self.resolve(function)
            case ast.Call(func=ast.Name() | ast.Attribute() as function):
                kind = self.resolve(function)
                return Made(kind) if isinstance(kind, type) and kind.__init__ is not object.__init__ else UNKNOWN
            case _:
                return UNKNOWN
        return found

    def scope_has(self, name: str) -> bool:
        """Whether a name of a function that is called means something else here."""
        return first_of(name) in bound_in(self.scope) and first_of(name) not in self.cells
