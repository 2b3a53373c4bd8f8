"""The node: one value of a computation and the operation that made it.

Nodes refer only to their arguments and nothing lists them: what no one uses any more is freed, and a
long-lived weight keeps no old graph alive.  Ids come from one counter of the process, so ascending ids
are a topological order of any graph, also across graphs made apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from payback.ir.aval import Aval, aval_of

next_id = itertools.count(step=3).__next__  # every third one: see `trace/scalars/floats.py`
by_id = attrgetter("id")
NO_PARAMS: dict[str, Any] = {}


class Node:
    """One value of a computation.  Immutable but for `grad`, what the last `.backward()` found.

    id      position in the order of creation
    op      the row of the table that made it
    args    the nodes that it was made from
    params  what else the operation needs: axes, shapes, an index
    value   a Python number, NumPy scalar or read-only array; None in a graph traced without numbers
    aval    shape, dtype and weakness; found from the value when first asked for
    where   (code object, instruction offset) of the user's sub-expression; for a node that a sweep made,
            also the (forward node's id, slot) that it came from
    shadow  what stands for it among the arguments of others, if it has a large value: see `ops/shadows.py`
    """

    __slots__ = ("args", "aval", "grad", "id", "op", "params", "shadow", "value", "where")

    def __init__(
        self, op: Any, args: tuple[Node, ...], params: dict[str, Any], value: Any, where: Any, aval: Any = None
    ):
        self.aval: Aval
        self.shadow: Node | None
        self.id = next_id()
        self.op = op
        for arg in args:
            if arg.shadow is not None:
                args = tuple(map(_whole, args))
                break
        self.args = args
        self.params = params
        self.value = value
        self.where = where
        if aval is not None:
            self.aval = aval
        self.grad = self.shadow = None

    if not TYPE_CHECKING:  # passes and plans read it ten times as often as it is made: a slot that may be empty

        def __getattr__(self, name: str) -> Any:
            if name != "aval":
                raise AttributeError(f"a node has no {name}")
            self.aval = made = aval_of(self.value)
            return made

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape if self.value is None else getattr(self.value, "shape", ())

    def __repr__(self) -> str:
        return f"%{self.id} = {self.op.name}({', '.join(f'%{a.id}' for a in self.args)}): {self.aval}"


def _whole(arg: Node) -> Node:
    """What stands for an argument, with its numbers."""
    shadow = arg.shadow
    if shadow is None:
        return arg
    shadow.value = arg.value
    return shadow


def ancestors(tops: Iterable[Node], floor: int = 0, cut: frozenset[Node] = frozenset()) -> list[Node]:
    """All nodes that the tops were made from, themselves included, in ascending id.

    Nodes older than `floor` are left out, and what they were made from too: nothing made before a node can
    depend on it.  What the nodes of `cut` were made from is not looked at either.
    An explicit stack: a chain of a million nodes is no recursion.
    """
    stack = [top for top in tops if top.id >= floor]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node in cut:
            continue
        for arg in node.args:
            if arg.id >= floor and arg not in seen:
                seen.add(arg)
                stack.append(arg)
    return sorted(seen, key=by_id)
