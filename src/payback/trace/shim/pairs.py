"""Names of a namespace and what stands for them while functions are traced."""

from __future__ import annotations

import functools
import operator
import sys
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from payback.trace.shim.wrappers import NOT_USERS


class Pair:
    """Originals and their wrappers under the same names."""

    def __init__(self, originals: dict[str, Any], wrappers: dict[str, Any]):
        self.originals, self.wrappers = originals, wrappers
        names = [*originals]
        self._take = operator.itemgetter(*names, names[-1])  # of two at least, so that it makes a tuple
        self._tuples = {id(pairs): self._take(pairs) for pairs in (originals, wrappers)}

    def stands(self, space: dict[str, Any], names: dict[str, Any]) -> bool:
        """Whether a namespace has exactly these under the names."""
        try:
            # the same objects: tuples compare them by identity first, and functions know no other equality
            return bool(self._take(space) == self._tuples[id(names)])
        except KeyError:
            return False


def attributes(thing: Any) -> dict[str, Any] | None:
    """The attributes of a user's object, where it keeps them in a dictionary."""
    kind = type(thing)
    if not kind.__dictoffset__ or kind is FunctionType or isinstance(thing, type):
        return None
    if str(kind.__module__).partition(".")[0] in NOT_USERS:
        return None
    try:
        space = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return None
    return space if type(space) is dict else None


def registered(space: dict[str, Any]) -> bool:
    """Whether a namespace is that of a module in sys.modules."""
    module = sys.modules.get(space.get("__name__", ""))
    return module is not None and module.__dict__ is space


@functools.cache
def bare_numpy() -> ModuleType:
    bare = ModuleType("numpy")
    bare.__dict__.update(np.__dict__)
    return bare
