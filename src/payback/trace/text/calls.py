"""What a call in a program's source stands for: the function, its parameters, the names that it binds.

Nothing is executed for this: names are looked up, attributes are read without their descriptors.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

from payback.ir.where import is_inner_code, syntax

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SCOPES = (*FUNCTIONS, ast.Module)
Names = frozenset[str]
NONE: Names = frozenset()
Space = Callable[[str], Any]  # what a name of the program stands for, or UNKNOWN
UNKNOWN = object()


class Made(NamedTuple):
    """An object of a class that is made by an expression of the program."""

    kind: type


def first_of(name: str) -> str:
    """The variable in `self.label` or `row['a']`."""
    return name.partition(".")[0].partition("[")[0]


def parts_of(whole: str, state: Iterable[str]) -> list[str]:
    """What of the state are attributes and entries of something: what follows its name."""
    return [name[len(whole) :] for name in state if name.startswith((f"{whole}.", f"{whole}["))]


@functools.lru_cache(maxsize=256)
def parents(code: CodeType) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(syntax(code)) for child in ast.iter_child_nodes(node)}


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def given(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(word.value for word in node.keywords)]


def parameters(scope: Any) -> list[str]:
    if not isinstance(scope, FUNCTIONS):
        return []
    args = scope.args
    return [arg.arg for arg in (*args.posonlyargs, *args.args, *filter(None, [args.vararg]), *args.kwonlyargs,
                                *filter(None, [args.kwarg]))]  # fmt: skip


def space_of(function: FunctionType, bound: Any, names: list[str]) -> Space:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    local = set(names) | set(function.__code__.co_varnames)

    def find(name: str) -> Any:
        if names and name == names[0] and bound is not None and not isinstance(bound, type):
            return bound
        if name in cells:
            try:
                return cells[name].cell_contents
            except ValueError:
                return UNKNOWN
        if name in local:
            return UNKNOWN
        builtins = function.__globals__.get("__builtins__", {})
        builtins = builtins if isinstance(builtins, dict) else vars(builtins)
        return function.__globals__.get(name, builtins.get(name, UNKNOWN))

    return find


def attribute_of(owner: Any, name: str) -> Any:
    found = inspect.getattr_static(owner.kind if isinstance(owner, Made) else owner, name, UNKNOWN)
    if isinstance(found, staticmethod):
        return found.__func__
    if isinstance(found, classmethod):
        return MethodType(found.__func__, owner if isinstance(owner, type) else type(owner))
    if isinstance(found, FunctionType) and not isinstance(owner, type) and not inspect.ismodule(owner):
        return found if name in getattr(owner, "__dict__", {}) else MethodType(found, owner)
    return UNKNOWN if isinstance(found, property) or hasattr(type(found), "__set__") else found


def function_of(x: Any) -> tuple[Any, FunctionType | None]:
    """The user's function behind a callable, and what it is bound to."""
    bound = None
    for _ in range(4):
        if isinstance(x, MethodType):
            bound, x = x.__self__, x.__func__
        elif isinstance(x, functools.partial) and not x.args:
            x = x.func
        elif x is not UNKNOWN and isinstance(inner := getattr(x, "__dict__", {}).get("__wrapped__"), FunctionType):
            x = inner  # of functools.wraps and lru_cache
        elif (
            not isinstance(x, FunctionType | type)
            and x is not UNKNOWN
            and isinstance(own := inspect.getattr_static(type(x), "__call__", None), FunctionType)
        ):
            x = MethodType(own, x)
    if not isinstance(x, FunctionType) or is_inner_code(x.__code__, x.__module__ or ""):
        return None, None
    return bound, x


@functools.lru_cache(maxsize=256)
def definition(code: CodeType) -> Any:
    """The syntax of a function, if it is the only one at its place."""
    found = [node for node in parents(code) if isinstance(node, FUNCTIONS)
             and min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) == code.co_firstlineno
             and getattr(node, "name", "<lambda>") == code.co_name
             and [*parameters(node)] == _arguments(code)]  # fmt: skip
    return found[0] if found else None


def _arguments(code: CodeType) -> list[str]:
    count, names = code.co_argcount, [*code.co_varnames]
    more = count + code.co_kwonlyargcount
    star = [names[more]] if code.co_flags & inspect.CO_VARARGS else []
    words = [names[more + len(star)]] if code.co_flags & inspect.CO_VARKEYWORDS else []
    return [*names[:count], *star, *names[count:more], *words]


def placed(scope: Any, node: ast.Call, bound: Any) -> dict[str, ast.expr]:
    """Which argument each parameter is given; those of *args and **kwargs by the first that may hold something."""
    args = scope.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args)][bound is not None :]
    places: dict[str, ast.expr] = {}
    for k, part in enumerate(node.args):
        if isinstance(part, ast.Starred):
            places.update(dict.fromkeys([*names[k:], *([args.vararg.arg] if args.vararg else ())], part))
            break
        name = names[k] if k < len(names) else getattr(args.vararg, "arg", None)
        if name is not None:
            places[name] = part if k < len(names) or name not in places else ast.Tuple([places[name], part], ast.Load())
    known = {*names, *(arg.arg for arg in args.kwonlyargs)}
    for word in node.keywords:
        name = word.arg if word.arg in known else getattr(args.kwarg, "arg", None)
        if name is not None:
            places[name] = word.value if name not in places else ast.Tuple([places[name], word.value], ast.Load())
    return places


def targets_of(target: ast.expr) -> Names:
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return frozenset(name for part in parts for name in targets_of(part))
        case ast.Subscript(value=ast.Name() | ast.Attribute(), slice=ast.Constant()):
            return frozenset([ast.unparse(target)])
        case ast.Subscript(value=value) | ast.Starred(value=value):
            return targets_of(value)
    return frozenset([ast.unparse(target)])


def rebound_in(target: ast.expr) -> Names:
    """The names that hold nothing of the past after an assignment."""
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return frozenset(name for part in parts for name in rebound_in(part))
        case ast.Name() | ast.Attribute():
            return frozenset([ast.unparse(target)])
    return NONE


@functools.lru_cache(maxsize=256)
def bound_in(scope: Any) -> Names:
    """The names that a function binds."""
    names = {*parameters(scope)}
    outer = declared_in(scope)
    for node in ast.walk(scope):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and node is not scope:
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return frozenset(names - outer)


@functools.lru_cache(maxsize=256)
def declared_in(scope: Any) -> Names:
    """The names that a function declares as those of its module, or of the function around it."""
    return frozenset(
        name for node in ast.walk(scope) if isinstance(node, ast.Global | ast.Nonlocal) for name in node.names
    )
