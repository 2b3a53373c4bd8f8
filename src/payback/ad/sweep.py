"""The reverse sweep: every node pays back what it owes, each edge once.

The derivative of the top by a node is a sum over paths, but no path is ever walked: from the top down, each
node adds up the pile of what its users have paid it (it is then *settled*), and pays each of its own arguments
once, `what it holds × the partial on that edge`.  Ids are a topological order, so going through the nodes by
descending id every user of a node has paid before the node's turn comes.

What "×" and "+" mean is the edge algebra's matter (see `algebra.py`): gradients, path counts, sparsity, ...
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, Protocol

from payback.ir.node import Node, by_id
from payback.ops.row import CONST, VARIABLE
from payback.ops.several import PART

# A payment on a pile: who paid (None: what a top is owed to begin with), for which of its arguments, how much.
Entry = tuple[Node | None, int, Any]


class Algebra(Protocol):
    """What is paid along edges."""

    live: set[Node] | None
    """Set by the sweep: the nodes that it will pay."""

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        """What `node`, holding `bar`, pays its argument in `slot`; None: nothing depends on that one."""

    def total(self, node: Node, pile: list[Entry]) -> Any:
        """What a pile comes to.  Entries stand in descending (payer id, slot); they are added ascending."""


class Reach(NamedTuple):
    """The ancestors of some tops that are no constants and no older than a floor.

    nodes     ascending, and as a set
    ends      those that were made from nothing
    every     whether every node surely depends on some end, along edges with a derivative
    outside   whether something older is used that is no constant, or a variable that is not differentiated by
    """

    nodes: list[Node]
    as_set: set[Node]
    ends: list[Node]
    every: bool
    outside: bool


def reach(tops: Iterable[Node], floor: int = 0, wrt: Collection[Node] = ()) -> Reach:
    """One walk down from the tops, with an explicit stack: a chain of a million nodes is no recursion."""
    stack = [top for top in tops if top.id >= floor]
    seen, ends = set(stack), []
    every, outside = not any(top.op.no_edge for top in stack), False
    add, push, pop = seen.add, stack.append, stack.pop
    while stack:
        node = pop()
        args = node.args
        if not args:
            ends.append(node)
        for arg in args:
            if arg not in seen:
                op = arg.op
                if op is CONST:
                    if arg in wrt:
                        add(arg)
                        push(arg)
                    elif args[0].op is CONST and args[-1].op is CONST:  # perhaps they all are
                        every = False
                elif arg.id < floor:
                    outside, every = True, False
                else:
                    add(arg)
                    push(arg)
                    if op.no_edge:
                        every = False
    for node in ends:
        if node.op is VARIABLE and node not in wrt:
            outside = True
    return Reach(sorted(seen, key=by_id), seen, ends, every, outside)


def live_nodes(reached: Reach | list[Node], wrt: set[Node]) -> tuple[list[Node], set[Node]]:
    """Those of the nodes that depend on `wrt` along edges with a derivative: ascending, and as a set."""
    if type(reached) is Reach:
        if reached.every and wrt.issuperset(reached.ends):
            return reached.nodes, reached.as_set
        reached = reached.nodes
    live = wrt.intersection(reached)
    order = []
    for node in reached:
        if node in live:
            order.append(node)
            continue
        no_edge = node.op.no_edge
        if not no_edge:
            if not live.isdisjoint(node.args):
                live.add(node)
                order.append(node)
            continue
        if node.op is PART and node.aval.dtype.kind != "f":
            continue
        for slot, arg in enumerate(node.args):
            if arg in live and slot not in no_edge:
                live.add(node)
                order.append(node)
                break
    return order, live


def everything(node: Node) -> bool:
    """For `keep`: all settled nodes."""
    return True


def sweep(
    algebra: Algebra,
    tops: dict[Node, Any],
    wrt: Iterable[Node],
    *,
    reached: Reach | list[Node] | None = None,
    keep: Callable[[Node], bool] | None = None,
    ledger: dict[Node, list[Entry]] | None = None,
) -> dict[Node, Any]:
    """Settle the nodes between `wrt` and the tops, each edge visited once.

    tops    what each top is owed to begin with
    reached the ancestors of the tops no older than `wrt`, if the caller has them
    keep    which settled nodes to return; without it, those of `wrt`
    ledger  if given, the piles stay in it, so that the work can be shown

    Returns node -> what it is owed in all.  A node that no path reaches is not in it: *no path* is not zero.
    """
    wrt = set(wrt)
    if not wrt:
        return {}
    if reached is None:
        reached = reach(tops, min(node.id for node in wrt), wrt)
    order, live = live_nodes(reached, wrt)
    wanted = wrt if keep is None else live if keep is everything else set(filter(keep, order))
    piles: dict[Node, list[Entry]] = {node: [(None, 0, seed)] for node, seed in tops.items() if node in live}
    settled: dict[Node, Any] = {}
    pull, total = algebra.pull, algebra.total
    algebra.live = live
    for node in reversed(order):
        pile = piles.pop(node, None)
        if pile is not None:
            if ledger is not None:
                ledger[node] = pile
            bar = total(node, pile)
            if node in wanted:
                settled[node] = bar
            args, no_edge = node.args, node.op.no_edge
            for slot in range(len(args) - 1, -1, -1):
                arg = args[slot]
                if arg in live and slot not in no_edge:
                    paid = pull(node, slot, bar)
                    if paid is None:
                        continue
                    pile = piles.get(arg)
                    if pile is None:
                        piles[arg] = [(node, slot, paid)]
                    else:
                        pile.append((node, slot, paid))
    return settled
