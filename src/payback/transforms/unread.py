"""What a function changes around it and never reads: a count of its calls, a log, what it makes anew each time."""

from __future__ import annotations

import dis
import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.trace.array import Traced, Variable

_LOADS = {
    "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR",
    "LOAD_FROM_DICT_OR_GLOBALS", "LOAD_FROM_DICT_OR_DEREF", "LOAD_CONST", "IMPORT_NAME", "IMPORT_FROM",
}  # fmt: skip
_STORES = {"STORE_GLOBAL", "STORE_NAME", "STORE_DEREF", "STORE_ATTR"}
_CONSTANTS = {"LOAD_CONST", "LOAD_SMALL_INT"}
_METHODS = {"LOAD_ATTR", "LOAD_METHOD"}
_ADDING = {"append", "appendleft", "add", "extend", "extendleft"}  # they return nothing
_SILENT = {"CACHE", "EXTENDED_ARG", "NOP", "NOT_TAKEN", "PRECALL", "RESUME"}
BY_ANY_NAME = {"vars", "globals", "locals", "getattr", "attrgetter", "eval", "exec", "asdict", "astuple", "deepcopy",
               "__dict__", "__getattribute__"}  # fmt: skip

_Step = tuple[str, Any, str]


def only_added_to(name: str, codes: Iterable[CodeType]) -> bool:
    """Whether all that this code does with what has the name is to count in it (`n += 1`, `n = n + 1`,
    `n["calls"] += 1`), to add to it (`n.append(x)`) or to give it another value."""
    return all(_adds(name, steps, k) for steps in _every(codes) for k in range(len(steps)))


def loaded(codes: Iterable[CodeType]) -> set[str]:
    """The names that it reads."""
    return {value for steps in _every(codes) for op, value, _ in steps if op in _LOADS and type(value) is str}


def _adds(name: str, steps: Sequence[_Step], k: int) -> bool:
    op, value, _ = steps[k]
    if type(value) is not str or value != name or op not in _LOADS:
        return True
    if op == "LOAD_CONST" or op.startswith("IMPORT"):
        return False
    after = steps[k + 1 : k + 10]
    if after and after[0][0] in _METHODS and after[0][1] in _ADDING:
        return True
    ops = [step[0] for step in after]
    if ops[:1] and ops[0] in _CONSTANTS and ops[1:3] == ["COPY", "COPY"]:  # n[0] += 1
        rest = [step for step in after[3:] if step[0] != "SWAP"]
        return (
            len(rest) > 3 and (rest[0][0] == "BINARY_SUBSCR" or rest[0][2] == "[]") and rest[1][0] in _CONSTANTS
            and rest[2][2].endswith("=") and rest[3][0] == "STORE_SUBSCR"
        )  # fmt: skip
    rest = [step for step in after if step[0] != "SWAP"]
    if len(rest) > 3 and rest[2][0].startswith("LOAD_") and rest[3][0] == "STORE_ATTR":  # x.n = x.n + 1
        del rest[2]
    return (
        len(rest) > 2 and rest[0][0] in _CONSTANTS and rest[1][0] == "BINARY_OP"
        and rest[2][0] in _STORES and rest[2][1] == name
    )  # fmt: skip


def _every(codes: Iterable[CodeType]) -> Iterable[Sequence[_Step]]:
    for code in codes:
        yield _steps(code)
        yield from _every(part for part in code.co_consts if isinstance(part, CodeType))


@functools.lru_cache(maxsize=4096)
def _steps(code: CodeType) -> Sequence[_Step]:
    return [(i.opname, i.argval, i.argrepr) for i in dis.get_instructions(code) if i.opname not in _SILENT]


def alike(now: Any, was: Any, depth: int = 8) -> bool:
    """Whether reading one gives what reading the other does.

    Traced values do, for they belong to the trace that has made them: reading those of another one raises.
    depth: how deep containers and objects in each other are looked into.
    """
    if now is was:
        return True
    kind, other = type(now), type(was)
    if issubclass(kind, (Traced, Node)):  # which tells isinstance that it is a number
        return issubclass(other, (Traced, Node)) and Variable not in (kind, other)
    if kind is not other or not depth:
        return False
    if issubclass(kind, (np.ndarray, np.generic)):
        same = now.dtype == was.dtype and now.shape == was.shape and not now.dtype.hasobject
        return bool(same and now.tobytes() == was.tobytes())
    if kind is float:
        return bool(now.hex() == was.hex())
    if issubclass(kind, (bool, int, complex, str, bytes, type(None))):
        return bool(now == was)
    if issubclass(kind, (list, tuple)):
        return len(now) == len(was) and all(alike(a, b, depth - 1) for a, b in zip(now, was, strict=True))
    if issubclass(kind, dict):
        return list(now) == list(was) and all(alike(now[key], was[key], depth - 1) for key in now)
    fields = getattr(now, "__dict__", None)
    return type(fields) is dict and not hasattr(kind, "__slots__") and alike(fields, vars(was), depth - 1)


@functools.lru_cache(maxsize=4096)
def globals_of(code: CodeType) -> Sequence[str]:
    """The names that some code looks for in its module."""
    return [i.argval for i in dis.get_instructions(code) if i.opname in _OF_MODULE]


_OF_MODULE = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
_all_of = operator.attrgetter("co_names")


def names_in(code: CodeType, of: Callable[[CodeType], Sequence[str]] = _all_of) -> Iterator[str]:
    """The names in some code, and the texts that may be names (`getattr(settings, "rate")`)."""
    yield from of(code)
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from names_in(part, of)
        elif isinstance(part, str) and part.isidentifier():
            yield part
