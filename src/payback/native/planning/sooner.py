"""What is made sooner than it is needed, because less is stored then: an activation's derivative, beside it.

x·σ(x) takes x and σ(x), and so does its derivative, which only what is owed is multiplied with later.  Made at once, it
is one array for the way back in place of two, and no exponential is computed twice.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from payback.ir.node import Node, by_id
from payback.native.planning.alongside import GROUP

_USUAL = frozenset(map(np.dtype, (np.float32, np.float64)))


def instead(planner: Any, members: Sequence[Node], last: Node | None) -> list[Node]:
    """Waiting nodes that are made of a nest's numbers and of nothing else, where fewer arrays are read afterwards, and
    no more are stored, if they are made by it.

    last: of the members, what nothing may be made of.
    """
    avals = [node.aval for node in members if node.aval.dtype in _USUAL]
    if not avals or not avals[0].shape:
        return []
    shape, dtype, inside = avals[0].shape, avals[0].dtype, set(members)
    read = [arg for node in members for arg in node.args if arg in planner.views and arg not in inside]
    given = [arg for arg in dict.fromkeys(read) if (arg.aval.shape, arg.aval.dtype) == (shape, dtype)]
    at_hand = inside.union(given)
    at_hand.discard(last)
    part: dict[Node, set[Node]] = {}  # what may be made, and all that is connected with it
    heap = [(user.id, user) for node in (*members, *given) for user in planner.users.get(node, ())]
    heapq.heapify(heap)
    while heap and len(inside) + len(part) < GROUP:
        _, node = heapq.heappop(heap)
        known = node not in planner.waiting or node in inside or node in part
        if known or node.op.kind != "pointwise" or (node.aval.shape, node.aval.dtype) != (shape, dtype):
            continue
        if not all(arg in at_hand or arg in part or arg in planner.scalars for arg in node.args):
            continue
        part[node] = {node}.union(*[part[arg] for arg in node.args if arg in part])
        for each in part[node]:
            part[each] = part[node]
        for user in planner.users.get(node, ()):
            heapq.heappush(heap, (user.id, user))
    made: list[Node] = []
    for nodes in {id(nodes): nodes for nodes in part.values()}.values():
        around = {arg for node in nodes for arg in node.args if arg in at_hand}
        own = around.difference(given)  # what this nest would have to store
        fewer = kept(planner, around | nodes, inside | nodes) < kept(planner, around, inside)
        if fewer and kept(planner, own | nodes, inside | nodes) <= kept(planner, own, inside):
            made += sorted(nodes, key=by_id)
    return made


def kept(planner: Any, nodes: Collection[Node], inside: Collection[Node] | None = None) -> int:
    """How many of some nodes are read by others than those that are computed with them."""
    inside = set(nodes) if inside is None else set(inside)
    return sum(node in planner.wanted or not inside.issuperset(planner.users.get(node, ())) for node in nodes)
