"""The sweep of a scalar program: Python floats, pointwise operations, nothing else.

`sweep.py` first walks down to find whom it will pay, then orders them, then pays.  Here all is one walk: the nodes that
are owed something stand in a heap, the youngest on top, and when it is a node's turn all of its users have paid, for
they are younger.  Whoever is owed something for the first time comes into the heap.  That is right only where everybody
leads to a node that is differentiated by; whatever might not do so ends the walk without an answer, and `sweep` begins
anew: no node has been changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from heapq import heappop, heappush, heapreplace
from operator import add
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.ops.namespace import Values
from payback.ops.row import CONST, first, minus_one, one, second

_NUMBERS = {float, int, np.float64}


def pay_scalars(top: Node, seed: float, is_end: Callable[[Node], bool]) -> tuple[list[Node], list[Any]] | None:
    """The nodes between the top and the ends, and what each is owed in all; None if that is `sweep`'s matter.

    top: a Python float; then whatever is above the ends is one too.
    is_end: whether a node without arguments is one of those that are differentiated by.

    Bit for bit what `sweep` finds with the algebra `Gradient(on_graph=False)`.
    """
    k = -top.id
    # by descending id: whose turn comes when, who it is, and its pile: a number or, later payers first, several
    heap, nodes, piles = [k], {k: top}, {k: seed}
    known, m = piles.get, Values
    while heap:
        k = heap[0]
        node, bar = nodes[k], piles[k]
        if type(bar) is list:
            # ascending payer, one by one: `sum` would compensate in some versions of Python, and give other bits
            bar = bar[1] + bar[0] if len(bar) == 2 else reduce(add, reversed(bar))
            piles[k] = bar
        row, args = node.op, node.args
        turned = False  # whether another one has taken this node's place in the heap
        if not row.scalar:
            if args or not is_end(node):
                return None
            heappop(heap)
            continue
        rules = row.partials
        if len(args) == 2:
            a, b = args
            if b.op is not CONST:
                rule = rules[1]
                if rule is one:
                    paid = bar
                elif rule is first:
                    paid = bar * a.value
                elif rule is minus_one:
                    paid = -bar
                else:
                    paid = rule(m, a.value, b.value, node.value)
                    if type(paid) not in _NUMBERS:  # a case without derivative, see `Select`
                        return None
                    paid = float(bar * paid)
                j = -b.id
                pile = known(j)
                if pile is None:
                    heapreplace(heap, j)
                    turned = True
                    nodes[j], piles[j] = b, paid
                elif type(pile) is list:
                    pile.append(paid)
                else:
                    piles[j] = [pile, paid]
                if a.op is CONST:
                    if not turned:
                        heappop(heap)
                    continue
            elif a.op is CONST:
                return None
            rule = rules[0]
            if rule is one:
                paid = bar
            elif rule is second:
                paid = bar * b.value
            else:
                paid = rule(m, a.value, b.value, node.value)
                if type(paid) not in _NUMBERS:
                    return None
                paid = float(bar * paid)
        else:
            (a,) = args
            if a.op is CONST:
                return None
            paid = rules[0](m, a.value, node.value)
            if type(paid) not in _NUMBERS:
                return None
            paid = float(bar * paid)
        j = -a.id
        pile = known(j)
        if pile is None:
            if turned:
                heappush(heap, j)
            else:
                heapreplace(heap, j)
            nodes[j], piles[j] = a, paid
            continue
        if type(pile) is list:
            pile.append(paid)
        else:
            piles[j] = [pile, paid]
        if not turned:
            heappop(heap)
    return list(nodes.values()), list(piles.values())
