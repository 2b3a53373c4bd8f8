"""Contractions of several axes a kind as products of matrices: which axes are a loop around them, and what is copied.

Of rows, columns and what is summed a product has one axis each.  Axes that do not lie in one run can be walked in loops
around a product, those that are summed by adding to what is there; or an operand is copied first, so that they do.
Both are chosen by what they cost on paper, in nanoseconds; nothing is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import product
from math import inf, prod
from typing import Any

import numpy as np

from payback.native.lower.products.looped import fits
from payback.native.lower.products.paid import alone
from payback.native.planning import layout
from payback.native.planning.layout import Buffer, View

CALL = 30.0  # a product's call
BEGIN = 5.0  # the same within a kernel
FMA = 0.03  # a multiplication and addition in a product; of `IN_LOOPS` in loops by vectors, of `ALONE` one by one
IN_LOOPS, ALONE = 0.25, 1.0
STORE = 8  # multiplications that reading and storing a partial sum costs
# an entry of B whose columns are runs; of A or B if none of its axes is one, or of C if no row is
TURN, PACK = 0.15, 2.0
LINES = 512  # of memory that stay in the first cache: an entry of A is read alone in any case
COPY, RUN, AGAIN = 0.05, 1.6, 200.0  # an entry that is copied, a run of such entries, and a kernel more
BEYOND, AFAR = 1 << 20, 0.25  # entries that caches do not keep until they are read; what one of so many costs
PAGE, FAR = 1024, 1.3  # entries of a page of memory, and what a product costs more whose rows or sums lie on many
PAY = 0.4  # an entry that is stored, and then added to what windows are paid

Spec = tuple[str, str, str]
_Form = tuple[layout.Shape, layout.Shape]  # shape and strides


def in_runs(kinds: dict[str, list[str]], extent: dict[str, int], moves: list[dict[str, int]]) -> Any:
    """Extents, strides and tags of a contraction's axes, those merged that lie in one run.

    The axes of a kind may be taken in any order: that of their letters, or of a memory where more of them are a run.
    """
    tags = "".join(kind * len(kinds[kind]) for kind in "bmnk")
    forms = []
    for move in (None, *moves) if max(map(tags.count, "mnk")) > 1 else (None,):
        letters = [*kinds["b"]]
        for kind in "mnk":
            letters += kinds[kind] if move is None else sorted(kinds[kind], key=lambda c: -abs(move.get(c, 0)))
        strides = [tuple(m.get(c, 0) for c in letters) for m in moves]
        forms.append(layout.collapsed(tuple(extent[c] for c in letters), strides, tags))
    return min(forms, key=lambda form: len(form[0]))


def around(extents: list[int], moves: list[list[int]], tags: str) -> tuple[list[int], list[list[int]], str] | None:
    """The axes with one of m, n and k each: the others are loops, of kind "b", or "r" where sums go on.

    None where plain loops are no slower.
    """
    choices = [axes for kind in "mnk" if (axes := [i for i, tag in enumerate(tags) if tag == kind])]
    result = min((_with_loops(extents, moves, tags, kept) for kept in product(*choices)), key=_price_of_way)
    return result if price(*result) < price_of_loops(extents, moves, tags) else None


def _with_loops(extents: list[int], moves: list[list[int]], tags: str, kept: tuple[int, ...]) -> Any:
    """The axes with those last that are the product's."""
    loops = [i for i in range(len(tags)) if i not in kept]
    order = [i for i in loops if tags[i] != "k"] + [i for i in loops if tags[i] == "k"] + list(kept)
    made = "".join("r" if tags[i] == "k" else "b" for i in order[: len(loops)]) + "".join(tags[i] for i in kept)
    return [extents[i] for i in order], [[move[i] for i in order] for move in moves], made


def _price_of_way(way: tuple[list[int], list[list[int]], str]) -> tuple[float, int]:
    """As `price`; more where neighbors in a product lie on other pages, and no price where its entries share places.

    Of equal ones that is best whose neighbors are nearest.
    """
    extents, moves, tags = way
    own = [i for i, tag in enumerate(tags) if tag in "mn"]
    form = [extents[i] for i in own], [moves[2][i] for i in own]
    if not all(alone(k, *form) for k in range(len(own))):
        return inf, 0
    apart = [max(abs(move[i]) for move in moves) for i, tag in enumerate(tags) if tag in "mk"]
    return price(*way) * FAR ** sum(stride >= PAGE for stride in apart), sum(apart)


def price(extents: list[int], moves: list[list[int]], tags: str, lanes: int = 4) -> float:
    """Of products of matrices with loops around them; lanes: of the vectors that columns fill, or not."""
    size = {kind: prod(n for n, tag in zip(extents, tags, strict=True) if tag == kind) for kind in "mnkbr"}
    tiles = -(-size["m"] // 4) * 4 * -(-size["n"] // 4) * 4
    m, n, k = (tags.rfind(kind) for kind in "mnk")
    if min(m, n, k) >= 0 < len(tags) - 3 and fits(
        *(size[kind] for kind in "mnk"), moves[1][n], moves[2][n], 2 * prod(extents)
    ):
        return size["b"] * (BEGIN + FMA * tiles * (size["r"] * size["k"] + STORE))
    if size["n"] > lanes:
        tiles = -(-size["m"] // 4) * 4 * -(-size["n"] // lanes) * lanes
    packed = 0.0
    if m >= 0 and k >= 0 and moves[0][m] != 1 != moves[0][k] and size["m"] * size["k"] > LINES:
        packed += PACK * size["m"] * size["k"]
    if n >= 0 and moves[1][n] != 1:
        packed += (TURN if k >= 0 and moves[1][k] == 1 else PACK) * size["k"] * size["n"]
    if n >= 0 and moves[2][n] != 1:
        packed += PACK * size["m"] * size["n"]
    return size["b"] * size["r"] * (CALL + packed + FMA * tiles * (size["k"] + STORE))


def price_of_loops(extents: list[int], moves: list[list[int]], tags: str) -> float:
    at = tags.rfind("n")
    vectors = at >= 0 and moves[1][at] == moves[2][at] == 1 and extents[at] >= 4
    return prod(extents) * (IN_LOOPS if vectors else ALONE)


def arranged(
    spec: Spec, a: View, b: View, target: layout.Shape, shape_of: Callable[..., Any], lanes: int
) -> tuple[float, Spec, tuple[bool, bool]]:
    """The price; the letters of both operands in an order in which they are worth copying, and which of them are to be.

    target: the result's shape, which will be contiguous.  lanes: of a vector of its entries.
    """
    return _arranged(spec, (a.shape, a.strides), (b.shape, b.strides), target, shape_of, lanes)


@lru_cache(1 << 12)
def _arranged(
    spec: Spec, of_a: _Form, of_b: _Form, target: layout.Shape, shape_of: Callable[..., Any], lanes: int
) -> tuple[float, Spec, tuple[bool, bool]]:
    """By shapes and strides: equal layers ask for the same again and again."""
    left, right, out = spec
    nowhere = Buffer("arena", np.dtype(np.uint8), 0)
    a, b = (View(nowhere, 0, *form) for form in (of_a, of_b))
    stored = target, layout.contiguous(target)
    best, found = price_of(shape_of(spec, *_forms(a, b), stored), lanes), (spec, (False, False))
    if best < 4 * AGAIN:
        return best, *found
    summed = [x for x in left if x not in out]
    for copied in ((True, False), (False, True), (True, True)):
        ks = summed if not copied[0] or copied[1] else [x for x in right if x not in out]
        for first in product((True, False), repeat=sum(copied)):  # the sums' axes before the others, or after them
            letters, views, before = [left, right], [a, b], iter(first)
            for side, (own, other) in enumerate(((left, right), (right, left))):
                if not copied[side]:
                    continue
                batch = [x for x in out if x in own and x in other]
                free = [x for x in out if x in own and x not in other]
                letters[side] = "".join([*batch, *(ks + free if next(before) else free + ks)])
                views[side] = layout.transposed(views[side], tuple(own.index(x) for x in letters[side]))
            cost = sum(AGAIN + _price_of_copy(view) for view, own in zip(views, copied, strict=True) if own)
            views = [
                view._replace(strides=layout.contiguous(view.shape)) if own else view
                for view, own in zip(views, copied, strict=True)
            ]
            new = letters[0], letters[1], out
            cost += price_of(shape_of(new, *_forms(*views), stored), lanes)
            if cost < 0.8 * best:
                best, found = cost, (new, copied)
    return best, *found


def _price_of_copy(view: View) -> float:
    """Of putting its entries in a row; those that lie side by side come together."""
    extents, (strides,), _ = layout.collapsed(view.shape, [view.strides], "c" * len(view.shape))
    run = max(extents[-1], 1) if extents and strides[-1] == 1 else 1
    return prod(view.shape) * ((COPY if prod(view.shape) < BEYOND else AFAR) + RUN / run)


def _forms(*views: View) -> list[_Form]:
    return [(view.shape, view.strides) for view in views]


def price_of(found: Any, lanes: int = 4) -> float:
    """Of a contraction by its `product.Shape`."""
    if found.plain:
        return price(found.extents, found.moves, found.tags, lanes)
    return price_of_loops(found.extents, found.moves, found.tags)
