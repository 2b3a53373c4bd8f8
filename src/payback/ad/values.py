"""The sweep of plain values: what `sweep.py` tells, without a ledger and with the algebra written into the loop.

A pile is here what is owed so far: one payment, or a list of them, later payers first.  The commonest edges are paid on
the spot, all others by `Gradient.pull`; the numbers are those of `sweep` with `Gradient(on_graph=False)`, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import add

from payback.ad.algebra import ALONE, Gradient, Masked, count, is_like, may_take
from payback.ad.sweep import Reach, live_nodes
from payback.ir.node import Node
from payback.ops.index import Scattered
from payback.ops.move import summed_axes
from payback.ops.namespace import Values
from payback.ops.row import first, minus_one, one, result, second
from payback.ops.several import PART, Share

_SLOTS = tuple(tuple(range(n))[::-1] for n in range(9))  # of a node with n arguments, the last one first


def pay_values(
    gradient: Gradient,
    piles: dict[Node, Any],
    wrt: set[Node],
    reached: Reach,
    *,
    keep: bool = False,
    free: bool = False,
) -> dict[Node, Any]:
    """What each node of `wrt` is owed in all, and with `keep` every node on the way; see `sweep`.

    piles   what each top is owed to begin with: the dictionary is used up
    free    whether the caller is done with the nodes: `reached` is emptied on the way, so that what nobody else holds
            is freed as soon as it has paid, and later payments take its memory
    """
    order, live = live_nodes(reached, wrt)
    settled: dict[Node, Any] = {}
    gradient.live = live
    if not free:
        order = order.copy()
    pull, owed = gradient.pull, piles.get
    while order:
        node = order.pop()
        bar = piles.pop(node, None)
        if bar is None:  # no path leads here
            continue
        kind = type(bar)
        if kind is list:
            bar.reverse()
            bar = gradient.added(node, bar)
            kind = type(bar)
        elif kind is Scattered:
            bar = gradient.gathered(node, [bar])
            kind = type(bar)
        elif kind is Share:
            bar = gradient.shared(node, [bar])
        if keep or node in wrt:
            settled[node] = bar
        args, row = node.args, node.op
        no_edge = row.no_edge
        of, mask, whole = row.kind, None, None
        if kind is Masked:
            if of == "pointwise":
                whole, bar, mask = bar, bar.value, bar.mask
            elif of == "linear" and row.carry is None and row.name != "index" and row is not PART:
                bar = gradient.dense(bar)  # the mask ends here
            else:
                of = "other"
        square = None
        arity = len(args)
        for slot in _SLOTS[arity] if arity < 9 else range(arity - 1, -1, -1):
            arg = args[slot]
            if arg not in live or (no_edge and slot in no_edge):
                continue
            value = arg.value
            if of == "pointwise":
                rule = row.partials[slot]
                if rule is one:
                    paid = bar if mask is None else whole
                elif rule is result:
                    paid = bar * node.value
                elif rule is second:
                    if square is not None and arg is args[1]:  # x·x pays x twice the same
                        paid, square = square, None
                    else:
                        paid = bar * args[1].value
                elif rule is first:
                    paid = bar * args[0].value
                    if arg is args[0]:
                        square = paid
                elif rule is minus_one:
                    paid = -bar
                else:
                    partial = rule(Values, *[a.value for a in args], node.value)
                    if type(partial) is not np.ndarray:
                        paid = gradient.times(bar if mask is None else Masked(mask, bar), partial)
                        if paid is None:
                            continue
                    elif may_take(partial) and is_like(bar, partial) and count(partial) == ALONE:
                        paid = np.multiply(bar, partial, out=partial)  # nobody else holds it
                    else:
                        paid = bar * partial
                    partial = None
                if mask is not None and type(paid) is not Masked:
                    paid = Masked(mask, paid)
            elif of == "linear":
                paid = row.adjoint(Values, bar, slot, *[a.value for a in args], **node.params)
            else:
                paid = pull(node, slot, bar)
                if paid is None:
                    continue
            if type(paid) is np.ndarray is type(value):
                if paid.shape != value.shape:  # as `unbroadcast`
                    axes, reshaped = summed_axes(paid.shape, value.shape)
                    paid = add.reduce(paid, axis=axes)
                    if reshaped:
                        paid = paid.reshape(value.shape)
            elif type(paid) is not Scattered and type(paid) is not Share:
                paid = gradient.fitted(paid, arg)
            pile = owed(arg)
            if pile is None:
                piles[arg] = paid
            elif type(pile) is list:
                pile.append(paid)
            else:
                piles[arg] = [pile, paid]
            pile = paid = None
        bar = square = whole = None
        if free:
            live.discard(node)
    return settled


def lone(values: dict[Node, Any], node: Node) -> Any:
    """The value of a node, taken out; and whether nobody else holds it, so that it can be given away."""
    value = values.pop(node, None)
    alone = count(value) == ALONE  # asked before the pair is built: that holds it too
    return value, alone
