"""What the user's program calls the values that it makes: the targets of assignments, of loops and of unpacking."""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from payback.ir.node import Node
from payback.ir.where import Position, position, syntax
from payback.ops.several import PART

Span = tuple[int, int, int, int]  # line, column, end line, end column
_OPERATOR = dis.opmap["BINARY_OP"]
_LONGEST_NAME = 100  # characters of a variable's name
_LONGEST = 40  # characters of a target that a node is called by: `self.layers[i].h`


class Program:
    """The targets of one source text.

    whole    where an expression stands -> the target that it goes to
    unpacked where a target of several names stands -> the target
    results  where a call with several results stands -> the target
    loops    where a loop's target stands -> its names, each with what it goes over
    returned where a function's result stands -> what follows the function's name: nothing, or of one of several [k]
    """

    def __init__(self, tree: ast.Module):
        self.whole: dict[Span, str] = {}
        self.unpacked: dict[Span, ast.Tuple | ast.List] = {}
        self.results: dict[Span, ast.Tuple | ast.List] = {}
        self.loops: dict[Span, list[tuple[str, ast.expr]]] = {}
        self.returned: dict[Span, str] = {}
        nodes = list(ast.walk(tree))
        self._functions: dict[str, list[ast.FunctionDef]] = {}
        for node in nodes:
            if isinstance(node, ast.FunctionDef):
                self._functions.setdefault(node.name, []).append(node)
        self._calls: dict[str, int] = {}
        self._asked: dict[str, ast.expr] = {}
        for node in nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                self._bind(node.target, node.value)
            elif isinstance(node, ast.AugAssign):
                self._name(node, _text(node.target))
            elif isinstance(node, (ast.For, ast.comprehension)):
                target, over = _counted(node.target, node.iter)
                self._unpack(target)
                self.loops[_span(target)] = list(_pairs(target, over))
            elif isinstance(node, ast.Return) and node.value is not None:
                parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
                for k, part in enumerate(parts):
                    self.returned[_span(part)] = f"[{k}]" if len(parts) > 1 else ""
            elif isinstance(node, ast.Call):
                self._pass(node)
        self._give_back()

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(value, ast.Call) and (called := getattr(value.func, "id", getattr(value.func, "attr", ""))):
            self._asked[called] = target
        if isinstance(value, ast.IfExp):
            self._bind(target, value.body)
            self._bind(target, value.orelse)
        elif not isinstance(target, (ast.Tuple, ast.List)):
            self._name(value, _text(target))
        elif isinstance(value, (ast.Tuple, ast.List)):
            for name, part in _spread(target.elts, value.elts):
                if isinstance(name, str):
                    self._name(part, name)
                else:
                    self._bind(name, part)
        else:
            self._unpack(target)
            self.results[_span(value)] = target

    def _pass(self, call: ast.Call) -> None:
        """Arguments are what the function of this file that is called so calls them."""
        method = isinstance(call.func, ast.Attribute)
        name = getattr(call.func, "attr" if method else "id", "")
        self._calls[name] = self._calls.get(name, 0) + 1
        found = self._functions.get(name, [])
        if len(found) != 1:
            return
        given = found[0].args
        names = [part.arg for part in given.posonlyargs + given.args]
        if method and names[:1] not in (["self"], ["cls"]):
            return
        for name, value in zip(names[method:], call.args, strict=False):
            if isinstance(value, ast.Starred):
                break
            self._name(value, name)
        names += [part.arg for part in given.kwonlyargs]
        for keyword in call.keywords:
            self._name(keyword.value, keyword.arg if keyword.arg in names else "")

    def _give_back(self) -> None:
        """What a function returns that is called in one place is what it is called there."""
        for name, target in list(self._asked.items()):
            found = self._functions.get(name, [])
            if self._calls.get(name) == 1 and len(found) == 1:
                for value in _results(found[0]):
                    self._bind(target, value)

    def _name(self, value: ast.AST, name: str | None) -> None:
        if name:
            self.whole.setdefault(_span(value), name)

    def _unpack(self, target: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            self.unpacked[_span(target)] = target
            for part in target.elts:
                self._unpack(part)


def _results(function: ast.FunctionDef) -> Iterator[ast.expr]:
    """What a function returns; not what those inside it do."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Return) and node.value is not None:
            yield node.value
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            stack += ast.iter_child_nodes(node)


def _span(node: Any) -> Span:
    return node.lineno, node.col_offset, node.end_lineno, node.end_col_offset


def _text(target: ast.expr) -> str:
    """A target as it is written; empty for one that is too long to be a name."""
    text = ast.unparse(target)
    longest = _LONGEST_NAME if isinstance(target, ast.Name) else _LONGEST
    return text if len(text) <= longest and not isinstance(target, (ast.Tuple, ast.List)) else ""


def _called(over: ast.expr, name: str) -> bool:
    return isinstance(over, ast.Call) and isinstance(over.func, ast.Name) and over.func.id == name


def _counted(target: ast.expr, over: ast.expr) -> tuple[ast.expr, ast.expr]:
    """Without the counter of `for i, v in enumerate(x)`."""
    if _called(over, "enumerate") and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        return target.elts[1], over.args[0] if isinstance(over, ast.Call) and over.args else over
    return target, over


def _pairs(target: ast.expr, over: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """The names that a loop gives values to, each with what it goes over, through `zip` and `enumerate`."""
    target, over = _counted(target, over)
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield _text(target), over
    elif _called(over, "zip") and isinstance(over, ast.Call) and len(over.args) == len(target.elts):
        for part, source in zip(target.elts, over.args, strict=True):
            yield from _pairs(part, source)
    else:
        yield "", over


def _spread(targets: Sequence[ast.expr], values: Sequence[ast.expr]) -> Iterator[tuple[ast.expr | str, ast.expr]]:
    """Targets and what they get, of `a, *rest = 1, 2, 3`; nothing where the numbers do not fit."""
    if any(isinstance(value, ast.Starred) for value in values):
        return
    for k, target in enumerate(targets):
        if isinstance(target, ast.Starred):
            after = len(targets) - k - 1
            middle = values[k : len(values) - after]
            yield from zip(targets[:k], values[:k], strict=True)
            yield from ((f"{_text(target.value)}[{i}]", value) for i, value in enumerate(middle))
            yield from zip(targets[k + 1 :], values[len(values) - after :], strict=True)
            return
    if len(targets) == len(values):
        yield from zip(targets, values, strict=True)


def _element(target: ast.Tuple | ast.List, k: int) -> str:
    """The name that the k-th of several values gets."""
    for i, part in enumerate(target.elts):
        if isinstance(part, ast.Starred):  # how many it takes depends on those after it
            return f"{_text(part.value)}[{k - i}]" if k >= i and i == len(target.elts) - 1 else ""
        if i == k:
            return _text(part)
    return ""


def _flat(target: ast.expr) -> list[str]:
    return [name for part in target.elts for name in _flat(part)] if isinstance(target, ast.Tuple) else [_text(target)]


class Bound:
    """What nodes are called in the program that made them."""

    def __init__(self, top: Node | None = None) -> None:
        self._programs: dict[Any, Program] = {}
        self._places: dict[tuple[Any, int], tuple[Position | None, str]] = {}
        self._top = top

    def program(self, where: Any, place: Position) -> Program:
        source = where[0] if place.file.startswith("<") else place.file
        if source not in self._programs:
            self._programs[source] = Program(syntax(source))
        return self._programs[source]

    def name(self, node: Node, names: Mapping[Node, str]) -> str:
        """The target of the expression that a node is the value of, or else of which it is an element; or nothing."""
        key = node.where[:2]
        if key not in self._places:
            place = position(key)
            self._places[key] = place, "" if place is None else self.program(key, place).whole.get(_at(place), "")
        place, name = self._places[key]
        if name or place is None:
            return name
        program = self.program(key, place)
        return self._element(node, place, program, names) or self._returned(node, place, program)

    def _returned(self, node: Node, place: Position, program: Program) -> str:
        """The name of the function that returns a node, other than the one that is looked at."""
        name, part = place.function.rpartition(".")[2], program.returned.get(_at(place))
        return "" if part is None or node is self._top or not name.isidentifier() or "__" in name else name + part

    def _element(self, node: Node, place: Position, program: Program, names: Mapping[Node, str]) -> str:
        at = _at(place)
        if node.op is PART:
            return _result(node, program.results[at]) if at in program.results else ""
        if node.op.name != "index":
            return ""
        array, (k, *more) = node.args[0], node.params["template"] or (None,)
        inside = array.op is node.op and _same(array, place)
        if at in program.loops and not inside:
            found = [name for name, over in program.loops[at] if _goes_over(array, over, names)]
            pairs = program.loops[at]
            return pairs[0][0] if len(pairs) == 1 else found[0] if len(found) == 1 else ""
        if at in program.unpacked and type(k) is int and not more:
            return _element(program.unpacked[at], k)
        return _part(node, program.results[at]) if at in program.results else ""


def _part(node: Node, target: ast.Tuple | ast.List) -> str:
    """The name that one of equal parts of an array got, as `np.split` and `np.unstack` cut it."""
    shape, count = node.args[0].shape, len(target.elts)
    template = node.params["template"]
    cut = [(axis, part) for axis, part in enumerate(template) if part != slice(None)]
    if len(cut) != 1 or len(node.args) > 1 or None in template or ... in template:
        return ""
    ((axis, part),) = cut
    if type(part) is int:
        return _element(target, part) if shape[axis] == count else ""
    start, stop, step = part.indices(shape[axis]) if type(part) is slice else (0, 0, 0)
    length = stop - start
    if step != 1 or not length or start % length or length * count != shape[axis]:
        return ""
    return _element(target, start // length)


def _result(node: Node, target: ast.Tuple | ast.List) -> str:
    """The name that one of several results got."""
    operation, k = node.args[0], int(node.params["k"])
    if operation.op.name != "scan":
        names = _flat(target)
        return names[k] if len(names) == len(operation.value or ()) else ""
    carried, made = operation.params["carried"], len(operation.params["body"].gives)
    if len(target.elts) != 2 or [len(_flat(part)) for part in target.elts] != [carried, made - carried]:
        return ""
    return _flat(target)[k] if k < made else ""


def _goes_over(array: Node, over: ast.expr, names: Mapping[Node, str]) -> bool:
    place = position(array.where)
    return names.get(array) == ast.unparse(over) or (place is not None and _at(place) == _span(over))


def _same(node: Node, place: Position) -> bool:
    other = position(node.where)
    return other is not None and _at(other) == _at(place)


def _at(place: Position) -> Span:
    return place.line, place.column, place.end_line, place.end_column


def with_elements(nodes: Sequence[Node], names: Mapping[Node, str]) -> dict[Node, str]:
    """Names, and of nodes at a target of several names (`for a, c in zip(A, C)`) the one that each went to."""
    found, bound = dict(names), Bound()
    for node in nodes:
        if node.op.name == "index" and node not in found:
            place = position(node.where)
            if place is not None and "," in place.text and (name := bound.name(node, found)):
                found[node] = name
    return found


def identifiers(nodes: Sequence[Node]) -> set[str]:
    """The names of variables in the code that made nodes."""
    codes = {node.where[0] for node in nodes if node.where is not None}
    return {name for code in codes for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars)}


def of_operator(where: Any) -> bool:
    """Whether a node was made by an operator between two values: each time that it runs it makes one."""
    return bool(where[0].co_code[where[1]] == _OPERATOR)
