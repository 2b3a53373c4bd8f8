"""Numbers that are at hand are computed together, in the nest of whichever is needed first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from payback.ir.node import Node
from payback.native.planning.alongside import GROUP
from payback.native.planning.layout import View


class Views(dict[Node, View]):
    """Where values lie, and in `fresh` which have come to lie there."""

    def __init__(self) -> None:
        self.fresh: list[Node] = []

    def __setitem__(self, node: Node, view: View) -> None:
        super().__setitem__(node, view)
        self.fresh.append(node)


class Numbers:
    """The waiting numbers of a plan, of which those that lack nothing are found without looking through the others.

    What lacks something is forgotten until that has come to lie in memory: an unrolled loop of n numbers costs n, not n
    at each of its nests.
    """

    def __init__(self, waiting: Iterable[Node]):
        self.known = {node for node in waiting if node.aval.shape == ()}
        self.heap = [(node.id, node) for node in sorted(self.known, key=lambda node: node.id)]

    def join(self, planner: Any, seen: dict[Node, None], sinking: Sequence[Node]) -> None:
        """Adds to the members `seen` of a nest the numbers that need but them, numbers, and what lies in memory.

        sinking: what the nest is about to compute, which lies nowhere yet.
        """
        views, scalars, waiting = planner.views, planner.scalars, planner.waiting
        fresh, views.fresh = views.fresh, []
        for node in (*fresh, *seen):
            self._offer(planner, node)
        kept = []
        while self.heap and len(seen) <= GROUP:
            _, node = heapq.heappop(self.heap)
            self.known.discard(node)
            if node not in waiting:
                continue
            inside = () if node.op.name == "index" else seen  # what is indexed, and by what, is read from memory
            read = [arg for arg in node.args if arg not in inside and arg not in scalars]
            if not all(arg in views for arg in read):
                continue
            kept.append(node)
            if node not in seen and not any(arg in sinking for arg in read):
                seen[node] = None
                self._offer(planner, node)
        for node in kept:  # until the nest is made of them
            self._put(node)

    def _offer(self, planner: Any, node: Node) -> None:
        """What uses a node may be at hand now."""
        for user in planner.users.get(node, ()):
            if user.aval.shape == () and user in planner.waiting:
                self._put(user)

    def _put(self, node: Node) -> None:
        if node not in self.known:
            self.known.add(node)
            heapq.heappush(self.heap, (node.id, node))
