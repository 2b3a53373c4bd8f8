"""Indices of indices: part of what an index array picks is picked at once."""

from __future__ import annotations

from payback.ir.node import Node
from payback.ops.index import Place

_ALL = slice(None)


def composed(node: Node, args: tuple[Node, ...]) -> Node | None:
    """x[i][:, 3] is x[i, 3]: the rows need not be put together for it."""
    x = args[0]
    if len(args) != 1 or x.op.name != "index" or x.params["template"] != (Place(0),) or len(x.args) != 2:
        return None
    taken, places = node.params["template"], len(x.args[1].aval.shape)
    front, rest = taken[:places], taken[places:]
    if len(front) < places or not places or any(type(part) is not slice or part != _ALL for part in front):
        return None
    if not rest or any(type(part) not in (int, slice) for part in rest):
        return None
    return Node(node.op, x.args, {"template": (Place(0), *rest)}, None, node.where, node.aval)
