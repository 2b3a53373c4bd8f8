"""Edge algebras about paths: how large they are together, which are the largest, which entries they link, what is
left of a gradient without some of them, and what of it passes some place.

All are `Gradient` with other factors: a row's rule is written once, in products and sums, and says here what it says
there.  A row that is neither (a factorization, an eigenvalue, ...) has no sizes of paths, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import isnan
from typing import Any, NamedTuple

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.sweep import Entry
from payback.errors import DifferentiationError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.namespace import Select, Values
from payback.ops.reduce import spread

# Rows of their own kind whose rules are products and sums of the arguments and nothing else.
MULTILINEAR = frozenset({"prod", "cumprod", "recurrence", "convolve"})
# Rows that take one of several values and leave the others.
CHOICES = frozenset({"select", "maximum", "minimum", "fmax", "fmin", "max", "min"})

# Rows that read one triangle of their matrix.
_TRIANGLES = frozenset({"cholesky", "eigh", "solve_triangular"})

_ALWAYS = frozenset({"select", "max", "min"})


def _floating(x: Any) -> bool:
    return type(x) is float or getattr(getattr(x, "dtype", None), "kind", "") == "f"


class Sizes(Gradient):
    """Payments are sums of |product of the partials| over the paths: what a gradient would be if nothing cancelled.

    Raises DifferentiationError ("not defined for …") at rows that are more than products and sums.
    """

    def __init__(self) -> None:
        super().__init__(on_graph=False)
        self._factors = False  # whether `operand` gives factors or plain values
        self._factored: tuple[Node | None, list[Any]] = (None, [])

    def factor(self, x: Any) -> Any:
        """What stands for a factor of a product."""
        return abs(x) if _floating(x) else x

    def measure(self, partial: Any) -> Any:
        """What stands for a partial."""
        return partial if type(partial) is Select or partial is None else abs(partial)

    def times(self, bar: Any, partial: Any) -> Any:
        return super().times(bar, self.measure(partial))

    def operand(self, node: Node) -> Any:
        return self.factor(node.value) if self._factors else node.value

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        if node.op.kind != "pointwise":
            return super().pull(node, slot, bar)
        partial = node.op.partials[slot](self.m, *[arg.value for arg in node.args], node.value)
        paid = self.times(bar, self.chosen(node, partial))
        return self.unbroadcast(paid, node.args[slot], node.args[slot].shape) if paid is not None else None

    def chosen(self, node: Node, partial: Any) -> Any:
        return partial

    def through_linear(self, node: Node, slot: int, bar: Any, args: list[Any]) -> Any:
        if self._factored[0] is not node:  # of a stack of n, once and not n times
            self._factored = node, [self.factor(arg) for arg in args]
        return super().through_linear(node, slot, bar, self._factored[1])

    def own(self, node: Node, bar: Any, args: list[Any]) -> list[Any]:
        if node.op.name not in MULTILINEAR:
            return self.whole(node, bar)
        self._factors = True
        try:
            return super().own(node, bar, [self.factor(arg) for arg in args])
        finally:
            self._factors = False

    def whole(self, node: Node, bar: Any) -> list[Any]:
        """What a row pays that is more than products and sums."""
        raise DifferentiationError(
            f"sizes of paths are not defined for `{node.op.name}`",
            where=position(node.where),
            why="its rule is no sum of products: it has one derivative and no paths inside",
            fix="ask for the paths to what goes in, or for one entry: ledger[name][i, j]",
        )


class Links(Sizes):
    """Payments are 1 for the entries that something leads to, else 0.

    rule  "edges": along all edges; "choices": not to what a choice (where, maximum, ...) has not taken; "masks": nor
          to what any other row has masked out (relu, clip, ...); "nonzero": along edges whose partial is not zero
    opaque  the nodes whose inside was not known
    """

    def __init__(self, rule: str = "edges"):
        super().__init__()
        self.rule = rule
        self.opaque: set[Node] = set()

    def factor(self, x: Any) -> Any:
        if not _floating(x):
            return x
        if self.rule == "nonzero":
            return (x != 0).astype(x.dtype) if type(x) is np.ndarray else type(x)(x != 0)
        return np.ones_like(x) if type(x) is np.ndarray else type(x)(1)

    def measure(self, partial: Any) -> Any:
        if type(partial) is Select or partial is None:
            return partial
        if self.rule != "nonzero":
            return 1.0
        return np.not_equal(partial, 0) * 1.0 if isinstance(partial, np.ndarray) else float(partial != 0)

    def chosen(self, node: Node, partial: Any) -> Any:
        if self.rule == "edges" or (self.rule == "choices" and not self.is_choice(node)):
            return 1.0
        return partial

    def is_choice(self, node: Node) -> bool:
        """Whether a node takes one of several; one that compares with a constant, as a ReLU does, limits instead."""
        if node.op.name not in CHOICES:
            return False
        return node.op.name in _ALWAYS or self.live is None or all(arg in self.live for arg in node.args)

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        if node.args[slot].aval.dtype.kind not in "fO":  # a place, a condition; O: several results
            return None
        if node.op.kind == "pointwise" and self.chosen(node, None) is not None:  # as large as the result
            if type(bar) is float and not node.shape:
                return bar
            bar = self.dense(bar)
            return self.unbroadcast(np.broadcast_to(bar, node.shape), node.args[slot], node.args[slot].shape)
        if node.op.kind == "reduction" and self.rule != "nonzero" and self.chosen(node, None) is not None:
            return spread(Values, self.dense(bar), node.args[slot].shape, **node.params)
        return super().pull(node, slot, bar)

    def total(self, node: Node, pile: list[Entry]) -> Any:
        if all(type(amount) is float for _, _, amount in pile) and not node.shape:
            return float(any(amount for _, _, amount in pile))
        total = super().total(node, pile)
        if isinstance(total, list):
            return [None if part is None else self.present(part) for part in total]
        return self.present(total)

    def present(self, bar: Any) -> Any:
        bar = self.dense(bar)
        return np.not_equal(bar, 0) * 1.0 if isinstance(bar, np.ndarray) else float(bar != 0)

    def whole(self, node: Node, bar: Any) -> list[Any]:
        """Everything leads to everything, or does so among the entries of one case (`depends`, see ops/row.py)."""
        self.opaque.add(node)
        paid: list[Any] = []
        for slot, arg in enumerate(node.args):
            if isinstance(bar, list) or node.op.depends is None:
                parts = [self.dense(part) for part in (bar if isinstance(bar, list) else [bar]) if part is not None]
                paid.append(np.full(arg.shape, float(any(np.any(part) for part in parts)))[()])
                continue
            ours, theirs = node.op.depends(slot, *[a.aval for a in node.args], **node.params)
            ours, theirs = np.broadcast_to(ours, arg.shape), np.broadcast_to(theirs, node.shape)
            hit = np.unique(theirs[np.not_equal(self.dense(bar), 0)])
            paid.append(np.isin(ours, hit) * 1.0)
        if node.op.name in _TRIANGLES:
            how = node.params
            lower, inner = how.get("lower", not how.get("upper")), int(how.get("unit", False))
            paid[0] = np.tril(paid[0], -inner) if lower else np.triu(paid[0], inner)
        return paid


class Without(Gradient):
    """The gradient where some edges, (payer, slot), pay nothing."""

    def __init__(self, edges: Collection[tuple[Node, int]]):
        super().__init__(on_graph=False)
        self.edges = frozenset(edges)

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        return None if (node, slot) in self.edges else super().pull(node, slot, bar)


class Amounts(NamedTuple):
    """What a node is owed along paths that have passed the place, and along those that may still do so."""

    passed: Any
    open: Any


class Through(Gradient):
    """Payments are kept in two parts: of the paths that have passed a place, and of the others.

    place   node -> (passing, closed), masks of its entries: a path that comes to a passing one has passed; one that
            comes to a closed one before that is given up.  None: the node is no such place.
    """

    def __init__(self, place: Callable[[Node], tuple[Any, Any] | None]):
        super().__init__(on_graph=False)
        self.place = place
        self._two = (Gradient(on_graph=False), Gradient(on_graph=False))

    def pull(self, node: Node, slot: int, bar: Amounts) -> Any:
        for gradient in self._two:
            gradient.live = self.live
        paid = [g.pull(node, slot, part) if part is not None else None
                for g, part in zip(self._two, bar, strict=True)]  # fmt: skip
        return None if paid[0] is None and paid[1] is None else Amounts(*paid)

    def total(self, node: Node, pile: list[Entry]) -> Amounts:
        passed, still = (
            self._two[k].total(node, part) if (part := [(p, s, a[k]) for p, s, a in pile if a[k] is not None]) else None
            for k in (0, 1)
        )
        place = self.place(node)
        if place is None or still is None or isinstance(still, list):
            return Amounts(passed, still)
        passing, closed = place
        still = self.dense(still)
        if np.any(passing):
            through = np.where(passing, still, 0.0)[()]
            passed = through if passed is None else self.dense(passed) + through
        given = np.logical_or(passing, closed)
        return Amounts(passed, None if np.all(given) else np.where(given, 0.0, still)[()])


class Candidate(NamedTuple):
    """A path from the top so far: |product|, the adjoint along it, and how it came: (payer, slot, before) or None."""

    size: float
    bar: Any
    trail: Any


class Heaviest:
    """Payments are the k largest paths, by |product of the partials|: (max, ×), the k best of each pile (Du et al.,
    "Generalizing Backpropagation for Gradient-Based Interpretability", 2023, for one).

    Between scalars.  A factor never makes a smaller path larger than a larger one, so the k best of a node are among
    the k best of its users.
    """

    live: set[Node] | None = None

    def __init__(self, k: int):
        self.k, self.gradient = k, Gradient(on_graph=False)

    def pull(self, node: Node, slot: int, bar: list[Candidate]) -> list[Candidate] | None:
        self.gradient.live = self.live
        paid = []
        for _, owed, trail in bar:
            self.gradient._payments = (None, [])
            part = self.gradient.pull(node, slot, owed)
            if part is None:
                return None
            size = abs(float(self.gradient.dense(part)))
            paid.append(Candidate(float("inf") if isnan(size) else size, part, (node, slot, trail)))
        return paid

    def total(self, node: Node, pile: list[Entry]) -> list[Candidate]:
        found = [candidate for _, _, candidates in reversed(pile) for candidate in candidates]
        found.sort(key=lambda candidate: -candidate.size)
        return found[: self.k]
