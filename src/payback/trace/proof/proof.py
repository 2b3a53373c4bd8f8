"""The proof that a function is plain: that nothing it does can write into an array, whatever numbers it is given.

Its bytecode is gone through once, with what each variable and each place of the stack may be instead of what it is: a
number, a traced value, a plain array (three bits), a tuple, NumPy, a function of the table of `pure.py`, a function
that is proved in turn.  What is done to them is arithmetic, reading by index, and calls of those functions; everything
else, and every instruction that is not known here, is `Unproved`.  So a new Python is only slower.

Where ways meet, something may be what it is on either; a loop is gone through until nothing changes.
"""

from __future__ import annotations

import dis
import inspect
from types import CodeType
from typing import Any

from payback.trace.proof.instructions import RULES, Stack, Variables, Way
from payback.trace.proof.pure import Kind, Unproved, join

_MOST_STEPS = 20_000
_TOO_DEEP = 8  # calls within calls
_BARRED = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
_BARRED |= inspect.CO_ASYNC_GENERATOR

# The codes that have been met, by id, each with the global names that it reads; None where it cannot be plain.  They
# are kept, so that no other gets the same id; code that is made while a program runs is not kept for ever.
_codes: dict[int, tuple[CodeType, tuple[str, ...] | None]] = {}
_MOST_CODES = 4000


def names_of(code: CodeType) -> tuple[str, ...]:
    """The global names that a code reads.  Raises Unproved for code that is not plain whatever they are."""
    known = _codes.get(id(code))
    if known is None:
        if len(_codes) >= _MOST_CODES:
            raise Unproved
        known = _codes[id(code)] = code, _looked_through(code)
    if known[1] is None:
        raise Unproved
    return known[1]


def _looked_through(code: CodeType) -> tuple[str, ...] | None:
    if code.co_flags & _BARRED or code.co_cellvars or code.co_exceptiontable or code.co_kwonlyargcount:
        return None
    names = {}
    for step in dis.get_instructions(code):
        if step.opname not in RULES:
            return None
        if step.opname == "LOAD_GLOBAL":
            names[step.argval] = None
    return tuple(names)


class Function:
    """What is known of a function: its code, what its names stand for, and its defaults.

    Made from its kind, ("function", id of its code, kinds of its globals, of its closure, of its defaults).
    """

    __slots__ = ("cells", "code", "defaults", "names")

    def __init__(self, kind: Kind):
        _, code, around, inside, self.defaults = kind
        self.code, names = _codes[code]
        self.names: dict[str, Kind] = dict(zip(names or (), around, strict=True))
        self.cells: dict[str, Kind] = dict(zip(self.code.co_freevars, inside, strict=True))


class Proof:
    """A function's proof for arguments of certain kinds.

    result    what it returns
    used      (namespace, name, what it stands for): that NumPy's names have not been replaced is looked at in each call
    keywords  the names that an instruction has set down for the call that follows
    """

    def __init__(self, function: Function, given: Variables, depth: int = 0):
        if depth > _TOO_DEEP:
            raise Unproved
        self.function, self.depth = function, depth
        self.result: Kind = None
        self.used: dict[tuple[int, str], tuple[dict[str, Any], str, Any]] = {}
        self.keywords: tuple[str, ...] = ()
        self._steps = list(dis.get_instructions(function.code))
        self._at = {step.offset: i for i, step in enumerate(self._steps)}
        self._go(given)

    def _go(self, given: Variables) -> None:
        known: dict[int, tuple[Stack, Variables]] = {}
        waiting: list[Way] = [(0, [], given)]
        for _ in range(_MOST_STEPS):
            if not waiting:
                return
            i, stack, names = waiting.pop()
            if i in known:  # ways meet here
                before, were = known[i]
                if len(before) != len(stack):
                    raise Unproved
                stack = list(map(join, before, stack))
                names = {name: join(were.get(name), names.get(name)) for name in {**were, **names}}
                if stack == before and names == were:
                    continue
            known[i] = stack, names
            stack, names, step = list(stack), dict(names), self._steps[i]
            ways = RULES[step.opname](self, step, stack, names)
            waiting += [(i + 1, stack, names)] if ways is None else ways
        raise Unproved

    def following(self, step: dis.Instruction) -> int:
        return self._at[step.offset] + 1

    def target(self, step: dis.Instruction) -> int:
        """The instruction that it jumps to."""
        return self._at[step.argval]

    def prove(self, callee: Kind, args: list[Kind], named: dict[str, Kind]) -> Kind:
        """What a function that is called here returns, once it is proved in turn."""
        function = Function(callee)
        proof = Proof(function, bound(function, args, named), self.depth + 1)
        self.used |= proof.used
        if proof.result is None:
            raise Unproved
        return proof.result


def bound(function: Function, args: list[Kind], named: dict[str, Kind]) -> Variables:
    """The arguments under the names that the function has for them."""
    code = function.code
    count = code.co_argcount
    if len(args) > count:
        raise Unproved
    variables = code.co_varnames[:count]
    found = dict(zip(variables, args, strict=False))
    for key, value in named.items():
        if key in found or key not in variables[code.co_posonlyargcount :]:
            raise Unproved
        found[key] = value
    first = count - len(function.defaults)
    for i, variable in enumerate(variables):
        if variable not in found:
            if i < first:
                raise Unproved
            found[variable] = function.defaults[i - first]
    return found
