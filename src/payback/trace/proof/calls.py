"""What is called in bytecode, and attributes: the second part of the table of `instructions.py`."""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING

import numpy as np

from payback.trace.numpy.creation import ANSWERS
from payback.trace.proof.containers import field, made, of_made
from payback.trace.proof.handlers import LEAVING, SILENT
from payback.trace.proof.instructions import NULL, Stack, Variables, rule, taken
from payback.trace.proof.pure import (
    ARRAY,
    CALL,
    DESCRIPTOR,
    DTYPES,
    FUNCTIONS,
    KEYWORDS,
    METHODS,
    MODULES,
    NONE,
    NUMBER,
    RAISED,
    SET,
    TRACED,
    Kind,
    Unproved,
    answer,
    attribute,
    is_bare,
    join,
    of_lists,
    of_method,
    of_numpy,
    parts,
    usable,
)
from payback.trace.proof.python_values import of_builtin, of_mathematics, of_table, of_text

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

_SILENCES = {("text", "ignore"), ("text", "warn")}
_METHOD_BIT = sys.version_info >= (3, 12)  # LOAD_ATTR tells calls of methods


@rule("LOAD_ATTR", "LOAD_METHOD")
def _attribute(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.append(_attribute_of(proof, stack.pop(), step.argval))
    if step.opname == "LOAD_METHOD" or (_METHOD_BIT and (step.arg or 0) & 1):
        stack.append(NULL)


def _attribute_of(proof: Proof, of: Kind, name: str) -> Kind:
    if type(of) is int:
        if name in ("T", "mT"):
            return of
        if name == "shape":
            return "of", NUMBER
        if name in ("ndim", "size"):
            return NUMBER
        if name == "dtype":
            return ("dtype",)
        if name in METHODS:
            return "method", name, of
        raise Unproved
    if of[0] == "object":
        found = attribute(of, name)
        if found == DESCRIPTOR:
            raise Unproved
        if type(found) is tuple and found[0] == "property":
            return proof.prove(found[1], [of], {})
        found = usable(join(found, proof.search.kept.get(("attribute", of[1], name))))
        return ("bound", found[1], of) if type(found) is tuple and found[0] == "of class" else found
    if of[0] in ("table", "made", "text") or (len(of) == 3 and of[0] == "of" and name in ("append", "extend")):
        return "method", name, of
    if of[0] == "tuple" and len(of) == 3:
        return of[1][field(of[2], name)]
    if of[0] != "module":
        raise Unproved
    module = MODULES[of[1]]
    found = module.__dict__.get(name)
    proof.search.used[of[1], name] = module.__dict__, name, found
    if name == "newaxis" and found is None:
        return NONE
    if type(found) is float:  # np.pi, math.e
        return NUMBER
    kind = of_numpy(found)
    if kind is None:
        raise Unproved
    by_module = (kind[0] == "numpy" and module is np) or kind[0] == "mathematics"
    return (*kind, "by its module") if by_module else kind


@rule("STORE_ATTR")
def _store_attribute(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    of, value, name = stack.pop(), usable(stack.pop()), step.argval
    if type(of) is int or of[0] != "object" or attribute(of, SET) != NUMBER:
        raise Unproved
    there = attribute(of, name)
    if there == DESCRIPTOR or (type(there) is tuple and there[0] == "property"):
        raise Unproved
    # it is read under this name alone, but of any object of the class, for nobody knows which this is
    proof.remember(("attribute", of[1], name), value)
    if not is_bare(value):
        proof.search.held = True


@rule("KW_NAMES")
def _keywords(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    proof.keywords = proof.function.code.co_consts[step.arg or 0]


@rule("CALL_KW")
def _call_with_keywords(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    proof.keywords = tuple([kind[1] for kind in stack.pop()[1]])
    _call(proof, step, stack, names)


@rule("CALL")
def _call(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    count, keywords, proof.keywords = step.arg or 0, proof.keywords, ()
    if type(keywords) is not tuple or len(keywords) > count:
        raise Unproved
    args = [usable(arg) for arg in taken(stack, step)]
    named = dict(zip(keywords, args[count - len(keywords) :], strict=True))
    callee, first = _callee(stack)
    stack.append(called(proof, callee, [*first, *args[: count - len(keywords)]], named))


@rule("CALL_FUNCTION_EX")
def _call_with_many(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    table = stack.pop() if (step.arg or 0) & 1 else ("table", (), ())
    args = stack.pop()
    if type(args) is int or args[0] != "tuple" or table[0] != "table":
        raise Unproved
    callee, first = _callee(stack)
    stack.append(called(proof, callee, [*first, *args[1]], dict(zip(table[1], table[2], strict=True))))


@rule("DICT_MERGE", "DICT_UPDATE")
def _merge(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    more, at = stack.pop(), -(step.arg or 0)
    whole = stack[at]
    if whole[0] == "made" and of_made(proof, "keys", whole, [])[1] is None and step.opname == "DICT_MERGE":
        whole = ("table", (), ())  # it is for a call alone
    if type(more) is int or not more[0] == whole[0] == "table" or not set(more[1]).isdisjoint(whole[1]):
        raise Unproved
    stack[at] = "table", whole[1] + more[1], whole[2] + more[2]


def _callee(stack: Stack) -> tuple[Kind, list[Kind]]:
    """What is called, and what it is bound to."""
    two = [stack.pop(), stack.pop()]
    if NULL in two:
        two.remove(NULL)
        return two[0], []
    return two[1], two[:1]


def called(proof: Proof, callee: Kind, args: list[Kind], named: dict[str, Kind]) -> Kind:
    """What a call answers with."""
    if type(callee) is not tuple:
        raise Unproved
    way = callee[0]
    if way == "builtin":
        if callee[1] in ("map", "reduce") and not named:
            return _of_function(proof, callee[1], args)
        return of_builtin(proof, callee[1], args, named)
    if way == "class" and callee[1] == id(np.errstate) and not args and set(named.values()) <= _SILENCES:
        return SILENT
    if way == "maker":
        return made(callee, args, named)
    if way == "function":
        return proof.prove(callee, args, named)
    if way == "bound":
        return called(proof, callee[1], [callee[2], *args], named)
    if way == "partial":
        _, of, given, keywords = callee
        count = len(given) - len(keywords)
        return called(proof, of, [*given[:count], *args], dict(zip(keywords, given[count:], strict=True)) | named)
    if way == "either":
        found = None
        for each in callee[1]:
            found = join(found, called(proof, each, args, named))
        return found
    if way == "object":
        method = attribute(callee, CALL)
        if type(method) is int or method[0] != "of class":  # MIXED too
            raise Unproved
        return called(proof, method[1], [callee, *args], named)
    if way == "numpy":
        return _of_numpy(proof, callee, args, named)
    for key, value in named.items():
        if key not in KEYWORDS or not is_bare(value):
            raise Unproved
    if named:
        return _of_method(proof, callee, args) if way == "method" and type(callee[2]) is int else usable(None)
    if way == "method":
        return _of_method(proof, callee, args)
    if way == "mathematics":
        proof.search.elsewhere |= len(callee) == 2
        return of_mathematics(proof, callee[1], args)
    if way == "raises":
        return RAISED
    if callee == LEAVING:
        return NONE
    raise Unproved


def _of_function(proof: Proof, name: str, args: list[Kind]) -> Kind:
    """What `map` or `functools.reduce` answers with, which call a function."""
    f, *given = args
    if name == "map":
        each = [parts(kind) for kind in given]
        return "iterator", None if None in each else called(proof, f, list(map(usable, each)), {})
    if not 1 <= len(given) <= 2:
        raise Unproved
    found, part = None, parts(given[0])
    after = join(part, given[1] if len(given) > 1 else None)
    while part is not None and after != found:
        found = after
        after = join(found, called(proof, f, [usable(found), usable(part)], {}))
    return usable(after)


def _of_numpy(proof: Proof, callee: Kind, args: list[Kind], named: dict[str, Kind]) -> Kind:
    """What one of NumPy's functions answers with, called by `np.f` or by another name."""
    pure = FUNCTIONS[callee[1]][1]
    for key, value in named.items():
        dtype = key == "dtype" and pure.way == "make" and value in DTYPES
        if not dtype and (key not in KEYWORDS or not is_bare(value)):
            raise Unproved
    by_name = len(callee) == 2
    if by_name and pure.way != "ufunc":
        proof.search.elsewhere = True
    try:
        return answer(pure, args)
    except Unproved:
        if by_name or pure.name not in ANSWERS:
            raise
    proof.search.shown = True
    return of_lists(pure, args)


def _of_method(proof: Proof, callee: Kind, args: list[Kind]) -> Kind:
    _, name, of = callee
    if type(of) is int and of & ARRAY:  # of an array, which asks nobody: see `methods.py`
        proof.search.asks = True
        if any(type(kind) is int and kind & TRACED for kind in args):
            proof.search.shown = True
    if type(of) is int:
        return of_method(name, of, args)
    if of[0] == "text":
        return of_text(name, args)
    if of[0] == "made":
        return of_made(proof, name, of, args)
    if of[0] == "table":
        return of_table(name, of, args)
    if len(args) != 1:
        raise Unproved
    proof.grown(of, args[0] if name == "append" else parts(args[0]))
    return NONE
