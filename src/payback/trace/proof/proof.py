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

from payback.trace.proof import handlers  # noqa: F401 (a part of the table)
from payback.trace.proof.calls import called
from payback.trace.proof.instructions import RULES, Stack, Variables, Way
from payback.trace.proof.pure import (
    NUMBER,
    RAISED,
    Asked,
    Kind,
    Known,
    Unproved,
    join,
    listed,
    parts,
    usable,
)

_MOST_STEPS = 20_000
_MOST_PASSES = 8
_TOO_DEEP = 8  # calls within calls
_BARRED = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR

_Name = tuple[dict[str, Any], str, Any]  # a namespace, a name, and what it stands for there
# The codes that have been met, by id, each with the global names that it reads; None where it cannot be plain.  They
# are kept, so that no other gets the same id; code that is made while a program runs is not kept for ever.
_codes: dict[int, tuple[CodeType, tuple[str, ...] | None]] = {}
_MOST_CODES = 4000


def names_of(code: CodeType) -> tuple[str, ...]:
    """The global names that a code reads, and those in it.  Raises Unproved for code that is never plain."""
    known = _codes.get(id(code))
    if known is None:
        if len(_codes) >= _MOST_CODES:
            raise Unproved
        known = _codes[id(code)] = code, _looked_through(code)
    if known[1] is None:
        raise Unproved
    return known[1]


def _looked_through(code: CodeType) -> tuple[str, ...] | None:
    if code.co_flags & _BARRED:
        return None
    names: dict[str, None] = {}
    for step in dis.get_instructions(code):
        if step.opname not in RULES and not code.co_exceptiontable:
            return None
        if step.opname == "LOAD_GLOBAL":
            names[step.argval] = None
    for inner in code.co_consts:
        if type(inner) is CodeType:
            try:
                names |= dict.fromkeys(names_of(inner))
            except Unproved:
                return None
    return tuple(names)


class Function:
    """What is known of a function: its code, what its names stand for, and its defaults.

    Made from its kind, ("function", id of its code, kinds of its globals, of its closure, of its defaults, and pairs of
    a name and a kind for defaults by name only).
    """

    __slots__ = ("cells", "code", "defaults", "named", "names")

    def __init__(self, kind: Kind):
        _, code, around, inside, self.defaults, self.named = kind
        self.code, names = _codes[code]
        self.names: dict[str, Kind] = dict(zip(names or (), around, strict=True))
        self.cells: dict[str, Kind] = dict(zip(self.code.co_freevars, inside, strict=True))


class Search:
    """What holds for all calls within a proof.

    used     (namespace, name, what it stands for): that NumPy's names have not been replaced is looked at in each call
    kept     what lists that the functions make, and variables that functions within them read, may ever hold
    changed  whether that has grown since the pass began
    stored   whether something is stored into arrays
    held     whether something that may be traced is stored into objects, where it outlives the call
    shown    whether NumPy's functions are given, by `np.f`, what they do not dispatch by
    asks     whether methods of arrays are called
    bared    whether a bare number is made of an entry of an array, as if nothing traced were stored there
    elsewhere  whether functions of NumPy's are called by other names, which would have to be looked for
    """

    def __init__(self) -> None:
        self.used: dict[tuple[int, str], _Name] = {}
        self.kept: dict[Any, Kind] = {}
        self.changed = self.stored = self.held = self.bared = self.shown = self.asks = self.elsewhere = False


class Proof:
    """A function's proof for arguments of certain kinds.

    result    what it returns
    yielded   what it yields, if it is a generator
    keywords  the names that an instruction has set down for the call that follows
    """

    def __init__(self, function: Function, given: Variables, search: Search, depth: int = 0):
        if depth > _TOO_DEEP:
            raise Unproved
        self.function, self.depth, self.search = function, depth, search
        self.result: Kind = None
        self.yielded: Kind = None
        self.keywords: tuple[str, ...] = ()
        self._steps = list(dis.get_instructions(function.code))
        self._at = {step.offset: i for i, step in enumerate(self._steps)}
        self._handlers = list(dis.Bytecode(function.code).exception_entries)
        for name in function.code.co_cellvars:
            if name in given:
                self.keep(name, given[name])
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
            for table in self._handlers:
                if table.start <= step.offset < table.end:  # where the program goes on if this raises something
                    caught = [*stack[: table.depth], *[NUMBER] * table.lasti, RAISED]
                    waiting.append((self._at[table.target], caught, dict(names)))
            rule = RULES.get(step.opname)
            if rule is None:
                raise Unproved
            ways = rule(self, step, stack, names)
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
        proof = Proof(function, bound(function, args, named), self.search, self.depth + 1)
        if function.code.co_flags & inspect.CO_GENERATOR:
            return "iterator", proof.yielded
        return usable(proof.result)

    def local(self, made: Kind) -> Kind:
        """A function that is made of its code here."""
        code = made[1]
        return "function", id(code), tuple([self.function.names[name] for name in names_of(code)]), (), (), ()

    def cell(self, name: str) -> Kind:
        """What a variable may hold that functions within this one share; None if nothing yet."""
        if name in self.function.cells:
            return self.function.cells[name]
        return self.search.kept.get((id(self.function.code), name))

    def keep(self, name: str, kind: Kind) -> None:
        self.grown(("of", None, (id(self.function.code), name)), kind)

    def grown(self, whole: Kind, part: Kind) -> Kind:
        """A list with one part more, of this kind."""
        if len(whole) < 3 or whole[0] != "of":
            return "of", join(parts(whole), part)  # nobody else has it yet
        return "of", self.remember(whole[2], part), whole[2]

    def remember(self, place: Any, kind: Kind) -> Kind:
        """What may be at a place now that this is put there."""
        kept = self.search.kept
        before = kept.get(place)
        kept[place] = after = join(before, kind)
        if after != before:
            self.search.changed = True
        return after


def known_of(callee: Kind, args: list[Kind], named: dict[str, Kind]) -> tuple[Known, tuple[_Name, ...]]:
    """What is known of such a call, and what that rests on.  Raises Unproved, or Asked if something may be yet."""
    search = Search()
    for _ in range(_MOST_PASSES):
        search.changed = False
        try:
            called(_Outside(search), callee, args, named)
        except Asked:
            raise
        except Unproved:
            if not search.changed:
                raise
        else:
            if not search.changed:
                shown = search.stored or search.shown
                if (shown and search.elsewhere) or (search.stored and search.bared):
                    raise Unproved
                plain = not (search.stored or search.held)
                return Known(plain, shown, shown and search.asks), tuple(search.used.values())
    raise Unproved


class _Outside:
    """Where the first function is called."""

    prove, grown, remember = Proof.prove, Proof.grown, Proof.remember

    def __init__(self, search: Search):
        self.search, self.depth = search, -1


def bound(function: Function, args: list[Kind], named: dict[str, Kind]) -> Variables:
    """The arguments under the names that the function has for them."""
    code = function.code
    count, names = code.co_argcount, code.co_varnames
    by_name = names[count : count + code.co_kwonlyargcount]
    found = dict(zip(names[:count], args, strict=False))
    if code.co_flags & inspect.CO_VARARGS:
        found[names[count + len(by_name)]] = listed(args[count:])
    elif len(args) > count:
        raise Unproved
    others: dict[str, Kind] = {}
    for key, value in named.items():
        if key in (*names[code.co_posonlyargcount : count], *by_name):
            if key in found:
                raise Unproved
            found[key] = value
        else:
            others[key] = value
    if code.co_flags & inspect.CO_VARKEYWORDS:
        found[names[count + len(by_name) + bool(code.co_flags & inspect.CO_VARARGS)]] = (
            "table", tuple(others), tuple(others.values()),
        )  # fmt: skip
    elif others:
        raise Unproved
    defaults = dict(zip(names[count - len(function.defaults) : count], function.defaults, strict=True))
    defaults |= dict(function.named)
    for name in (*names[:count], *by_name):
        if name not in found:
            if name not in defaults:
                raise Unproved
            found[name] = defaults[name]
    return found
