"""Values that have left the function that they were traced in, and are used in another one.

Such a value keeps its number, but its history ended with its function: a result that depends on it would be
traced for nobody, and every later one with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from payback.errors import TraceError
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.row import CONST, INPUT

_CLOSED, _ENDED = "closed", "ended"


def close(inputs: Iterable[Node | None], ended: bool = False) -> None:
    """The function with these inputs has returned.

    ended: it is a body, or one that a node stands for: nobody else is to have what was computed from them.
    """
    for node in inputs:
        if node is not None and node.op is INPUT:
            node.params[_ENDED if ended else _CLOSED] = True


def is_open(node: Node) -> bool:
    """Whether a node is an input of a function that has not returned."""
    return node.op is INPUT and _CLOSED not in node.params and _ENDED not in node.params


def check(tops: Sequence[Node], own: Sequence[Node]) -> None:
    """Raises TraceError if the tops depend on an input of a function that had returned before `own` came to be."""
    floor = min(node.id for node in own or tops)
    nodes = ancestors(tops)
    # a younger input belongs to a function inside this one, which is done with it
    strangers = [node for node in nodes if node.id < floor and node.op is INPUT and not is_open(node)]
    if not strangers:
        return
    old = {node for node in nodes if node.id < floor and node.op is not CONST}
    used = next((n for n in nodes if n.id >= floor and any(arg in old or arg in strangers for arg in n.args)), None)
    place = position(used.where) if used is not None else None
    name = strangers[0].params.get("name") or "["  # a compiled function's are called by their places alone
    name = "an argument" if name.startswith("[") else name
    raise TraceError(f"a value that depends on {name} of another call is used after that call has ended",
                     where=place,
                     why="it was kept where it outlived its function, and its history ended there",
                     fix="keep a bare number, float(pb.stop_gradient(x)), or an array of them, "
                     "np.array(pb.stop_gradient(x)), or return it from the function with has_aux=True")  # fmt: skip


def check_ended(nodes: Sequence[Node], own: Collection[Node], tops: Collection[Node]) -> None:
    """Raises TraceError if the tops depend on an argument of a body that has been traced, and not one of `own`.

    nodes: what they were made of, in ascending order.  A value of it that has a number may be used where nobody asks
    for its derivative.
    """
    strangers = {node for node in nodes if node.op is INPUT and _ENDED in node.params and node not in own}
    if not strangers:
        return
    depend, used = set(strangers), None
    for node in nodes:
        ways = [slot for slot, arg in enumerate(node.args) if arg in depend]
        if ways and (node.value is None or not node.op.no_edge.issuperset(ways)):
            depend.add(node)
            used = used or node
    if depend.isdisjoint(tops):
        return
    place = position(used.where) if used is not None else None
    raise TraceError("a value of a step, a branch or a batch is used after it", where=str(place) if place else None,
                     why="it was written into an array around it, or kept there; such a function is a node, which "
                     "gives what it returns",
                     fix="return it from the function, or keep pb.stop_gradient of it")  # fmt: skip
