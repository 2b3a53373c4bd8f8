"""The reverse sweep: every node pays back what it owes, each edge once.

The derivative of the top by a node is a sum over paths, but no path is ever walked: from the top down, each
node adds up the pile of what its users have paid it (it is then *settled*), and pays each of its own arguments
once, `what it holds × the partial on that edge`.  Ids are a topological order, so going through the nodes by
descending id every user of a node has paid before the node's turn comes.

What "×" and "+" mean is the edge algebra's matter (see `algebra.py`): gradients, path counts, sparsity, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from payback.ir.node import Node, ancestors

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


def live_nodes(reached: list[Node], wrt: set[Node]) -> tuple[list[Node], set[Node]]:
    """Those of the nodes that depend on `wrt` along edges with a derivative: ascending, and as a set."""
    live = wrt.intersection(reached)
    order = []
    for node in reached:
        if node in live:
            order.append(node)
            continue
        no_edge = node.op.no_edge
        for slot, arg in enumerate(node.args):
            if arg in live and slot not in no_edge:
                live.add(node)
                order.append(node)
                break
    return order, live


def sweep(
    algebra: Algebra,
    tops: Mapping[Node, Any],
    wrt: Iterable[Node],
    *,
    reached: list[Node] | None = None,
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
    wanted = keep or wrt.__contains__
    if not wrt:
        return {}
    if reached is None:
        reached = ancestors(tops, floor=min(node.id for node in wrt))
    order, live = live_nodes(reached, wrt)
    piles: dict[Node, list[Entry]] = {node: [(None, 0, seed)] for node, seed in tops.items() if node in live}
    settled: dict[Node, Any] = {}
    pull, total = algebra.pull, algebra.total
    algebra.live = live
    for node in reversed(order):
        pile = piles.pop(node, None)
        if pile is None:
            continue
        if ledger is not None:
            ledger[node] = pile
        bar = total(node, pile)
        if wanted(node):
            settled[node] = bar
        args, no_edge = node.args, node.op.no_edge
        for slot in range(len(args) - 1, -1, -1):
            arg = args[slot]
            if arg in live and slot not in no_edge:
                paid = pull(node, slot, bar)
                if paid is not None:
                    if arg in piles:
                        piles[arg].append((node, slot, paid))
                    else:
                        piles[arg] = [(node, slot, paid)]
    return settled
