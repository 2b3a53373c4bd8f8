"""Arguments that a compiled function's caller gives up: results are written into their arrays.

A training's parameters and state are the usual case: the old ones are not needed once there are new ones, so the new
ones can have their memory, and nothing is allocated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import byte_bounds

from payback.errors import InputError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.trace.tree import leaves


class Donation:
    """Which arguments of a function are given up, by name and by position."""

    def __init__(self, f: Callable[..., Any], donate: str | int | Sequence[str | int], static: Sequence[int]):
        given = tuple(donate) if isinstance(donate, (tuple, list, set, frozenset)) else (donate,)
        try:
            parameters = list(inspect.signature(f).parameters.values())
        except (TypeError, ValueError):  # a function of C
            parameters = []
        plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        any_name = any(p.kind == p.VAR_KEYWORD for p in parameters)
        self.names: set[str] = set()
        self.positions: set[int] = set()
        for one in given:
            if isinstance(one, bool) or not isinstance(one, (str, int)):
                raise InputError(f"donate={one!r}", why="an argument is told by its name or its position")
            if isinstance(one, int):
                self.positions.add(one)
                if 0 <= one < len(plain):
                    self.names.add(plain[one])
            elif one in plain:
                self.positions.add(plain.index(one))
                self.names.add(one)
            elif one in by_name or any_name:
                self.names.add(one)
            else:
                known = ", ".join(sorted({*plain, *by_name}))
                raise InputError(f"donate={one!r}", why="the function has no argument of this name",
                                 fix=f"name one of {known}" if known else "give positions")  # fmt: skip
        both = self.positions.intersection(static)
        if both:
            raise InputError(f"the argument {min(both)} is static and donated",
                             why="what is static decides which graph is run and has no memory to give",
                             fix="leave it out of one of the two")  # fmt: skip

    def leaves_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
        """For each leaf of the arguments whether it is given up."""
        found: list[bool] = []
        for position, arg in enumerate(args):
            on = position in self.positions or position - len(args) in self.positions
            found += [on] * len(leaves(arg))
        for name, arg in kwargs.items():
            found += [name in self.names] * len(leaves(arg))
        return found


def matched(inputs: Sequence[Node], outputs: Sequence[Node], offered: Sequence[bool]) -> dict[int, int]:
    """Output -> input: each input that is offered, in order, is for the first result left of its shape and dtype."""
    found: dict[int, int] = {}
    for number, (node, on) in enumerate(zip(inputs, offered, strict=False)):
        if not on or not _is_array(node.aval):
            continue
        for k, output in enumerate(outputs):
            if k not in found and output.aval == node.aval:
                found[k] = number
                break
    return found


def _is_array(aval: Aval) -> bool:
    return bool(aval.shape) and aval.size > 0 and not aval.weak and aval.dtype.isnative


def prepare(found: dict[int, int], values: list[Any], others: Sequence[Any]) -> None:
    """Have all inputs of `found` be arrays that can be written into: in `values`, others are replaced by copies.

    An array that is read-only, not in order, or shares memory with another array of the call stays as it is.
    """
    numbers = set(found.values())
    shared = _overlapping([*values, *others])
    for number in numbers:
        array = values[number]
        own = type(array) is np.ndarray and array.flags.carray and array.flags.owndata
        if not own or number in shared:
            values[number] = np.array(array, order="C", subok=False)


def _overlapping(values: Sequence[Any]) -> set[int]:
    """Which arrays, by their numbers, may share memory with another one: in order of their places, each is compared
    with that which reaches farthest."""
    bounds = sorted((*byte_bounds(x), k) for k, x in enumerate(values) if isinstance(x, np.ndarray) and x.size)
    found, farthest, owner = set[int](), -1, -1
    for low, high, k in bounds:
        if low < farthest:
            found |= {owner, k}
        if high > farthest:
            farthest, owner = high, k
    return found


def settle(found: dict[int, int], values: Sequence[Any], results: list[Any]) -> None:
    """Results that were not written into the arrays that are there for them are copied there."""
    late = [k for k, number in found.items() if results[k] is not values[number]]
    if not late:
        return
    targets = [values[number] for number in found.values()]
    for k, result in enumerate(results):  # the interpreter's results may be views of what is overwritten now
        mine = k in found and k not in late
        if not mine and isinstance(result, np.ndarray) and any(np.may_share_memory(result, t) for t in targets):
            results[k] = result.copy()
    for k in late:
        np.copyto(values[found[k]], results[k])
        results[k] = values[found[k]]
