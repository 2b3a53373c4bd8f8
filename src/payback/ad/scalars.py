"""The sweep of a scalar program: Python floats, pointwise operations of one or two numbers, nothing else.

`sweep.py` first walks down to find whom it will pay, then orders them, then pays.  Here all is one walk: those who are
owed something stand in a heap, the youngest on top, and when one's turn comes all of its users have paid, for they are
younger.  Mostly the one whose turn is next has just been paid; it stands beside the heap.  That is right only where
everybody leads to a leaf that is differentiated by; whatever might not do so ends the walk without an answer, and
`sweep` begins anew: nothing has been changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from heapq import heappop, heappush
from operator import add
from typing import Any, Protocol

import numpy as np

from payback.ir.node import Node
from payback.ops.namespace import Values
from payback.ops.row import Row, first, minus_one, one, second

_NUMBERS = {float, int, np.float64}


class Scalar(Protocol):
    """A number that a row of the table has made of one or two, without a node; see `trace/scalars/floats.py`.

    Of `first` and `second` each is another one of the same class, the node of a leaf, or a plain number; there is no
    second (None) where the row takes one.  `row` is None once there is a node for it.
    """

    id: int
    row: Row | None
    first: Any
    second: Any
    number: float


def pay_scalars(
    top: Any, seed: float, is_end: Callable[[Node], bool]
) -> tuple[list[Any], list[float], list[Node], list[float]] | None:
    """Who stands between the top and the leaves, what each is owed in all, and the same of the leaves.

    is_end: whether the node of a leaf is one of those that are differentiated by.

    None if that is `sweep`'s matter.  Bit for bit what `sweep` finds with the algebra `Gradient(on_graph=False)`.
    """
    kind, m = type(top), Values
    # by descending id: whose turn comes when, who it is, and its pile: a number or, later payers first, several
    heap: list[int] = []
    waiting: dict[int, Any] = {}
    piles: dict[int, Any] = {}
    leaves: dict[Node, Any] = {}
    known, of_leaf = piles.get, leaves.get
    done: list[Any] = []
    owed: list[float] = []
    turn, bar = top, seed
    while True:
        done.append(turn)
        owed.append(bar)
        a, b = turn.first, turn.second
        row = turn.row
        if row is None:
            return None
        rules = row.partials
        following = pile = None  # who is next, if younger than all in the heap
        if b is None:
            paid = rules[0](m, a.number if type(a) is kind else a.value, turn.number)
            if type(paid) not in _NUMBERS:  # a case without derivative, see `Select`
                return None
            paid = float(bar * paid)
        else:
            of_a, of_b = type(a), type(b)
            x = a.number if of_a is kind else a.value if of_a is Node else a
            if of_b is kind or of_b is Node:
                rule = rules[1]
                if rule is one:
                    paid = bar
                elif rule is first:
                    paid = bar * x
                elif rule is minus_one:
                    paid = -bar
                else:
                    paid = rule(m, x, b.number if of_b is kind else b.value, turn.number)
                    if type(paid) not in _NUMBERS:
                        return None
                    paid = float(bar * paid)
                if of_b is Node:
                    pile = of_leaf(b)
                    if pile is None:
                        leaves[b] = paid
                    elif type(pile) is list:
                        pile.append(paid)
                    else:
                        leaves[b] = [pile, paid]
                    y, pile = b.value, None
                else:
                    y, k = b.number, -b.id
                    pile = known(k)
                    if pile is not None:
                        if type(pile) is list:
                            pile.append(paid)
                        else:
                            piles[k] = [pile, paid]
                        pile = None
                    elif heap and heap[0] < k:
                        heappush(heap, k)
                        waiting[k], piles[k] = b, paid
                    else:
                        following, pile = b, paid
            else:
                y = b
            if of_a is kind or of_a is Node:
                rule = rules[0]
                if rule is one:
                    paid = bar
                elif rule is second:
                    paid = bar * y
                else:
                    paid = rule(m, x, y, turn.number)
                    if type(paid) not in _NUMBERS:
                        return None
                    paid = float(bar * paid)
            elif following is not None:
                turn, bar = following, pile
                continue
            else:
                a = None
        if type(a) is Node:
            known_pile = of_leaf(a)
            if known_pile is None:
                leaves[a] = paid
            elif type(known_pile) is list:
                known_pile.append(paid)
            else:
                leaves[a] = [known_pile, paid]
        elif a is None:
            pass
        elif a is following:
            turn, bar = a, paid + pile
            continue
        else:
            k = -a.id
            known_pile = known(k)
            if known_pile is not None:
                if type(known_pile) is list:
                    known_pile.append(paid)
                else:
                    piles[k] = [known_pile, paid]
            elif following is not None:
                if a.id > following.id:
                    a, following, paid, pile, k = following, a, pile, paid, -following.id
                heappush(heap, k)
                waiting[k], piles[k] = a, paid
            elif heap and heap[0] < k:
                heappush(heap, k)
                waiting[k], piles[k] = a, paid
            else:
                turn, bar = a, paid
                continue
        if following is not None:
            turn, bar = following, pile
        elif heap:
            k = heappop(heap)
            turn, bar = waiting.pop(k), piles.pop(k)
            if type(bar) is list:
                bar = _total(bar)
        else:
            break
    if not all(map(is_end, leaves)):
        return None
    return done, owed, [*leaves], [_total(pile) if type(pile) is list else pile for pile in leaves.values()]


def _total(pile: list[float]) -> float:
    """Ascending payer, one by one: `sum` would compensate in some versions of Python, and give other bits."""
    return pile[1] + pile[0] if len(pile) == 2 else reduce(add, reversed(pile))
