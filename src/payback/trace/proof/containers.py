"""Lists and dictionaries that a function makes and fills, and named tuples.

What a list or a dictionary of the function's own may hold is kept with the proof, by the place where it is made, for it
may be filled under any name; what is under a key of a dictionary's that is a constant by itself.
"""

from __future__ import annotations

import dis
from collections import namedtuple
from types import CodeType
from typing import TYPE_CHECKING, Any

from payback.trace.proof.pure import NONE, Kind, Unproved, is_bare, join, usable

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

_STORE = dis.opmap["STORE_SUBSCR"]
_TUPLES = ("__getattribute__", "__getitem__", "__iter__", "__len__", "__add__", "__mul__", "__rmul__", "__contains__",
           "__eq__", "__init__")  # fmt: skip
_FIELD = type(namedtuple("_", "field").__dict__["field"])


def stores(code: CodeType) -> bool:
    """Whether a code stores into something by index."""
    return _STORE in code.co_code[::2]


def grows(code: CodeType) -> bool:
    """Whether a code may give a list more parts."""
    if not {"append", "extend"}.isdisjoint(code.co_names) or stores(code):
        return True
    return any(step.opname == "BINARY_OP" and step.argrepr.endswith("=") for step in dis.get_instructions(code))


def _place(into: Kind, key: Kind) -> tuple[Any, ...]:
    if not is_bare(key):
        raise Unproved
    constant = type(key) is tuple and key[0] == "text" and key[1] is not None
    return "under", into[1], key[1] if constant else None


def put_into(proof: Proof, into: Kind, key: Kind, value: Kind) -> None:
    """Store into a dictionary of the function's own."""
    proof.remember(_place(into, key), usable(value))
    proof.remember(("under any", into[1]), value)
    proof.remember(("keys", into[1]), key)


def entry_of_made(proof: Proof, of: Kind, key: Kind) -> Kind:
    kept, place = proof.search.kept, _place(of, key)
    if place[-1] is None:
        return usable(kept.get(("under any", of[1])))
    return usable(join(kept.get(place), kept.get(("under", of[1], None))))


def of_made(proof: Proof, name: str, of: Kind, args: list[Kind]) -> Kind:
    """What a method of such a dictionary answers with."""
    kept = proof.search.kept
    keys, values = kept.get(("keys", of[1])), kept.get(("under any", of[1]))
    if name == "get" and 1 <= len(args) <= 2:
        place = _place(of, args[0])
        found = values if place[-1] is None else join(kept.get(place), kept.get(("under", of[1], None)))
        return usable(join(found, args[1] if len(args) > 1 else NONE))
    if args or name not in ("keys", "values", "items"):
        raise Unproved
    if keys is None:
        return "iterator", None
    return "iterator", keys if name == "keys" else usable(values) if name == "values" else ("tuple", (keys, values))


def is_record(cls: Any) -> bool:
    """Whether it is a class of named tuples that are made and read as tuples are."""
    if type(cls) is not type or cls.__mro__[1:] != (tuple, object) or type(cls.__dict__.get("_fields")) is not tuple:
        return False
    make = cls.__new__
    original = getattr(getattr(make, "__globals__", {}).get("_tuple_new"), "__self__", None) is tuple
    return original and all(getattr(cls, name) is getattr(tuple, name) for name in _TUPLES)


def field(cls: Any, name: str) -> int:
    """Which part of such a tuple a name stands for."""
    if name not in cls._fields or type(cls.__dict__[name]) is not _FIELD:
        raise Unproved
    return int(cls._fields.index(name))


def made(maker: Kind, args: list[Kind], named: dict[str, Kind]) -> Kind:
    """A new one: what is given by position and by name, and the defaults of the rest."""
    _, cls, defaults = maker
    fields = cls._fields
    found = dict(defaults) | dict(zip(fields, args, strict=False)) | named
    twice = not named.keys().isdisjoint(fields[: len(args)])
    if len(args) > len(fields) or twice or found.keys() != set(fields):
        raise Unproved
    return "tuple", tuple([usable(found[name]) for name in fields]), cls
