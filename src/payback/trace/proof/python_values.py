"""What Python's own functions, operators and methods make of numbers, lists, dictionaries and texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from payback.trace.proof.pure import (
    ANY,
    ARRAY,
    MATHEMATICS,
    NONE,
    NUMBER,
    RAISED,
    TEXT,
    TOLD,
    TRACED,
    Kind,
    Unproved,
    bounds,
    is_bare,
    join,
    listed,
    number,
    parts,
    truth,
    usable,
)

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

_OF_SEQUENCES = (math.fsum, math.prod)
_OF_TEXTS = {"format": TOLD, "join": TEXT, "upper": TEXT, "lower": TEXT, "strip": TEXT, "replace": TEXT,
             "startswith": NUMBER, "endswith": NUMBER}  # fmt: skip


def operated(proof: Proof, sign: str, a: Kind, b: Kind) -> Kind:
    """What an operator makes of lists and texts; None if a is neither."""
    if type(a) is int and type(b) is tuple and sign == "*":
        a, b = b, a
    if type(a) is int:
        return None
    if a[0] == "text":
        if sign not in ("%", "+", "*"):
            raise Unproved
        return told([b])
    if a[0] not in ("of", "tuple"):
        raise Unproved
    if sign == "+=" and len(a) == 3 and a[0] == "of":  # a list of the function's own
        return proof.grown(a, parts(b))
    if sign == "*" and b == NUMBER:
        return "of", parts(a)
    if sign != "+" or type(b) is int or b[0] not in ("of", "tuple"):
        raise Unproved
    exact = a[0] == b[0] == "tuple"
    return listed([*a[1], *b[1]]) if exact else ("of", join(parts(a), parts(b)))


def told(kinds: list[Kind]) -> Kind:
    """A text in which such things are: TOLD if what may be traced is, see `trace/text`."""
    found = TEXT
    for kind in kinds:
        if not is_bare(kind):
            if kind not in (TOLD, RAISED):
                number(parts(kind))
            found = TOLD
    return found


def of_text(name: str, args: list[Kind]) -> Kind:
    """What a method of a text's answers with."""
    if name not in _OF_TEXTS:
        raise Unproved
    if name == "format":
        return told(args)
    for kind in args:
        if not (is_bare(kind) or (name == "join" and parts(kind) in (None, TEXT))):
            raise Unproved
    return _OF_TEXTS[name]


def of_table(name: str, table: Kind, args: list[Kind]) -> Kind:
    """What a method of a dictionary's answers with."""
    if name == "get" and 1 <= len(args) <= 2:
        key, other = (*args, NONE)[:2]
        if type(key) is int or key[0] != "text" or key[1] is None:
            raise Unproved
        return table[2][table[1].index(key[1])] if key[1] in table[1] else other
    if args or name not in ("keys", "values", "items"):
        raise Unproved
    values = parts(("tuple", table[2]))
    if values is None:
        return "iterator", None
    return "iterator", TEXT if name == "keys" else values if name == "values" else ("tuple", (TEXT, usable(values)))


def of_mathematics(proof: Proof, of: int, args: list[Kind]) -> Kind:
    """What a function of `math` answers with, whose name stands for another while what is traced may be given to it."""
    seen = 0
    for kind in args:
        if type(kind) is not int:
            kind = NUMBER if MATHEMATICS[of] in _OF_SEQUENCES and parts(kind) is None else parts(kind)
        seen |= number(kind)
    if not seen & (TRACED | ARRAY):
        return NUMBER if MATHEMATICS[of] not in (math.frexp, math.modf) else ("of", NUMBER)
    if MATHEMATICS[of] in (math.frexp, math.modf):
        raise Unproved
    proof.search.shown = True
    return ANY


def of_builtin(proof: Proof, name: str, args: list[Kind], named: dict[str, Kind]) -> Kind:
    """What a function of Python's answers with."""
    if name == "dict" and not args:
        return "table", tuple(named), tuple(named.values())
    if name == "print":
        told([*args, *named.values()])
        return NONE
    if named:
        raise Unproved
    if name == "range":
        bounds(args)
        return "of", NUMBER
    if name == "str":
        return told(args)
    if name in ("float", "int", "bool", "round"):
        if not args or args[1:] not in ([], [NUMBER]):
            raise Unproved
        if name == "float" and number(args[0]) & TRACED:  # the name stands for another, for what is traced
            raise Unproved
        if name == "float" and args[0] != NUMBER:
            proof.search.bared = True
        return number(args[0]) if name == "round" else NUMBER
    if name in ("max", "min"):
        return _largest(args)
    if name == "isinstance":
        if len(args) != 2 or type(args[1]) is int:
            raise Unproved
        truth(args[0])  # objects of the user's may say themselves of what class they are
        kinds = args[1][1] if args[1][0] == "tuple" else (args[1],)
        if any(type(kind) is int or kind[0] not in ("class", "builtin") for kind in kinds):
            raise Unproved
        return NUMBER
    if not args or (len(args) > 1 and name != "zip"):
        raise Unproved
    first = args[0]
    if name == "len":
        if type(first) is tuple and first[0] not in ("of", "tuple", "table", "made", "text"):
            raise Unproved
        return NUMBER
    if name == "abs":
        return number(first)
    part = parts(first)
    if name == "sum":
        return NUMBER if part is None else number(part) | NUMBER
    if name in ("any", "all"):
        if part is not None:
            truth(part)
        return NUMBER
    if name == "sorted":
        if part != TEXT and part is not None:
            number(part)
        return "of", part
    if name == "enumerate":
        return "iterator", _pair((NUMBER, part))
    if name == "zip":
        return "iterator", _pair([parts(kind) for kind in args])
    if name == "reversed":
        if type(first) is not int and first[0] not in ("of", "tuple"):
            raise Unproved
        return "iterator", part
    if name not in ("list", "tuple"):
        raise Unproved
    if type(first) is tuple and first[0] == "tuple":
        return first[:2]
    return "of", part


def _largest(args: list[Kind]) -> Kind:
    """One of several, or of the parts of one."""
    found = None
    for kind in args if len(args) > 1 else [usable(parts(*args))] if args else []:
        found = join(found, number(kind))
    return usable(found)


def _pair(kinds: tuple[Kind, ...] | list[Kind]) -> Kind:
    """What comes of several at once; nothing, where one is empty."""
    return None if None in kinds else ("tuple", tuple(map(usable, kinds)))
