"""Payments on a graph that are like earlier ones: their nodes are copied, and no rule is run.

Without numbers, what a rule writes follows from the row, its parameters, shapes and dtypes alone.  So of a hundred
equal layers the first is differentiated by the rules, and each other one by copies of those nodes with its own
arguments.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ir.node import Node
from payback.ops.recording import Term
from payback.ops.row import CONST
from payback.ops.several import PART

_TOLD = (str, int, bool)
_ORIGIN = object()  # in the place of a `where`
_Made = tuple[Any, tuple[int, ...], dict[str, Any], Any, Any, Any]  # row, numbers of its arguments, …, where, aval


def key_of(node: Node, slot: int, given: list[Node | None], more: Any) -> Any:
    """All that a payment depends on but which nodes are given; None: that is not known.

    given: the node's arguments, itself, and what the adjoint consists of.  A constant is told by its identity.
    """
    order: dict[Node | None, int] = {}
    kinds: list[Any] = []
    for x in given:
        if x in order:
            kinds.append(order[x])
            continue
        order[x] = len(order)
        if x is None or x.op is CONST:
            kinds.append(x)
        elif x.value is None:
            kinds.append(x.aval)
        else:
            return None
    if not node.params:
        return node.op, slot, more, *kinds
    told = []
    for name, value in node.params.items():
        kind = type(value)
        if kind is tuple:
            for part in value:
                if type(part) is not int and type(part) is not str:
                    return None
        elif kind not in _TOLD and not isinstance(value, np.dtype):
            return None
        told.append((name, kind, value))
    return node.op, slot, more, tuple(told), *kinds


class Copies:
    """What a rule wrote, to be written again for other nodes.

    given   the nodes that it was given (None: there was none)
    made    the nodes that it gave (None: nothing)
    origin  what it was told to write as the nodes' `where`
    """

    def __init__(self, given: list[Node | None], made: list[Node | None], origin: Any):
        self.given, self.made, self.origin = given, made, origin
        self._lines: list[_Made | Node] | None = None
        self._results: list[int | None] = []
        self._known = True

    def _read(self) -> None:
        """The lines of the copy, from what was made."""
        number = {x: k for k, x in enumerate(self.given) if x is not None}
        floor = max(x.id for x in number)
        found: dict[Node, None] = {}
        stack = [x for x in self.made if x is not None and x not in number]
        while stack:
            x = stack.pop()
            if x not in found:
                found[x] = None
                self._known = self._known and x.id > floor
                stack += [arg for arg in x.args if arg not in number]
        self._lines = []
        for x in sorted(found, key=lambda x: x.id):
            number[x] = len(self.given) + len(self._lines)
            if not x.args:  # a constant is the same for all copies
                self._known = self._known and x.op is CONST
                self._lines.append(x)
                continue
            self._known = self._known and x.value is None
            where = _ORIGIN if x.where is self.origin else x.where
            self._lines.append((x.op, tuple([number[arg] for arg in x.args]), x.params, x.value, where, x.aval))
        self._results = [None if x is None else number[x] for x in self.made]
        self.made = []

    def again(self, given: list[Node | None], origin: Any) -> list[Node | None] | None:
        """What the rule would give for these; None: that is not known."""
        if self._lines is None:
            self._read()
        if not self._known:
            return None
        table: list[Any] = list(given)
        for line in self._lines:
            if type(line) is Node:
                table.append(line)
                continue
            op, numbers, params, value, where, aval = line
            args = tuple([table[k] for k in numbers])
            table.append(Node(op, args, params, value, origin if where is _ORIGIN else where, aval))
        return [None if k is None else table[k] for k in self._results]


class Copying(Gradient):
    """`Gradient` on a graph, with copies where they come to the same."""

    def __init__(self) -> None:
        super().__init__(on_graph=True)
        self._copies: dict[Any, Copies] = {}

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        row, arg = node.op, node.args[slot]
        if node.value is not None or row.kind == "own" or row is PART or row.name == "index":
            return super().pull(node, slot, bar)
        given: list[Node | None] = [*node.args, node]
        if self.roots.factors and self.roots.twice(node):
            return super().pull(node, slot, bar)
        if type(bar) is Term:
            given.append(bar.node)
        elif type(bar) is Masked and type(bar.mask) is type(bar.value) is Term:
            given += (bar.mask.node, bar.value.node, None if bar.applied is None else bar.applied.node)
        else:
            return super().pull(node, slot, bar)
        pays = None  # whether masks are asked for, see `unbroadcast`
        if arg.shape != node.shape and self.live is not None:
            pays = not self.live.isdisjoint(arg.args)
        key = key_of(node, slot, given, pays)
        if key is None:
            return super().pull(node, slot, bar)
        copies = self._copies.get(key)
        if copies is None:
            paid = super().pull(node, slot, bar)
            parts = [] if paid is bar else [paid]
            if type(paid) is Masked and parts:
                parts = [paid.value, paid.mask, paid.applied]
            parts.append(bar.applied if type(bar) is Masked else None)
            if all(part is None or type(part) is Term for part in parts):
                made = [None if part is None else part.node for part in parts]
                self._copies[key] = Copies(given, made, self.m.origin)
            return paid
        self.m.origin = (*node.where[:2], node.id, slot) if node.where else None
        made = copies.again(given, self.m.origin)
        if made is None:
            return super().pull(node, slot, bar)
        terms = [None if x is None else Term(x, self.m) for x in made]
        if type(bar) is Masked and bar.applied is None:
            bar.applied = terms[-1]
        if len(terms) < 3:
            return bar if len(terms) == 1 else terms[0]
        if type(bar) is Masked and made[1] is bar.mask.node:
            terms[1] = bar.mask  # masks are compared by identity
        return Masked(terms[1], terms[0], terms[2])
