"""Edge algebras: what a node pays along an edge, and what a pile comes to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from payback.ad.squares import Rooted, Roots, all_of, times_all
from payback.ad.sweep import Entry
from payback.errors import DifferentiationError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import const
from payback.ops.index import Scattered, reshaped
from payback.ops.move import unbroadcast, unbroadcast_mask
from payback.ops.namespace import Select, Values, full_index, scatter_into
from payback.ops.recording import Recording, Term
from payback.ops.reduce import kept, spread
from payback.ops.several import PART, Share


class Masked:
    """An adjoint that is `value` where the mask holds and zero elsewhere, kept apart for as long as possible.

    Zero times the infinite partial of a branch that was not taken is NaN; a mask that is carried past that
    partial and applied afterwards gives the zero that is meant.  Exact, and no rule need know of it.
    """

    __slots__ = ("applied", "mask", "value")

    def __init__(self, mask: Any, value: Any, applied: Any = None):
        self.mask, self.value, self.applied = mask, value, applied  # applied: with the zeros, once someone has asked


def no_derivative(node: Node, mode: str) -> DifferentiationError:
    return DifferentiationError(
        f"{node.op.name} has no derivative in {mode} mode",
        where=position(node.where),
        why=node.op.facts.get("why"),
        fix=node.op.facts.get("fix"),
    )


# Large arrays take their memory from the system, page by page, each time: a product or a sum is put where one of its
# operands was, if nobody else holds that.  Python counts who does; what the count is where nobody else does is measured
# (`_measure`, and in `values.py`), for it differs between versions.
_LARGE = 1 << 16  # bytes
count: Callable[[Any], int] = getattr(sys, "getrefcount", lambda x: 0)
_PILE = ALONE = -1  # ALONE: where one local name refers to it


def may_take(array: np.ndarray[Any, Any]) -> bool:
    """Whether it is worth asking who holds an array."""
    return array.nbytes >= _LARGE


def is_like(x: Any, other: np.ndarray[Any, Any]) -> bool:
    """Whether a result of the two fits into the other, and that one has its memory for itself."""
    return (
        type(x) is np.ndarray
        and x.shape == other.shape
        and x.dtype == other.dtype
        and other.base is None
        and other.flags.writeable
    )


class Gradient:
    """Payments are adjoint × partial.  On values no node is made; on a graph the payments are nodes again.

    One class for both: the namespace `m` is the difference, and `operand` how a node looks in it.
    """

    m: Any
    live: set[Node] | None = None  # set by the sweep: who is to be paid
    _payments: tuple[Node | None, list[Any]] = (None, [])
    _roots: tuple[Any, Roots] = (None, Roots(()))
    _values: tuple[Node | None, list[Any]] = (None, [])

    def __init__(self, on_graph: bool):
        self.m = Recording() if on_graph else Values
        self.on_graph = on_graph

    def operand(self, node: Node) -> Any:
        return Term(node, self.m) if self.on_graph else node.value

    def constant(self, value: Any) -> Any:
        """A plain value as the namespace sees it."""
        return Term(const(value), self.m) if self.on_graph else value

    def result(self, bar: Any) -> Any:
        """A settled adjoint as a plain value, or as a node."""
        bar = self.dense(bar)
        return bar.node if self.on_graph else bar

    def dense(self, bar: Any) -> Any:
        if type(bar) is Masked:
            if bar.applied is None:
                bar.applied = self.m.where(bar.mask, bar.value, 0.0)
            return bar.applied
        if type(bar) is Rooted:
            return self.add([self.dense(times_all(self, by, roots)) for roots, by in bar.of.items()])
        return bar

    def masked(self, mask: Any, bar: Any) -> Masked:
        if type(bar) is Masked:
            return Masked(self.m.logical_and(mask, bar.mask), bar.value)
        return Masked(mask, bar)

    def times(self, bar: Any, partial: Any) -> Any:
        """bar × partial, a mask of either one sunk below the product.  None: no derivative."""
        if type(partial) is float:
            if partial == 1.0:
                return bar
            if type(bar) is not Masked:
                return -bar if partial == -1.0 else bar * partial
        elif partial is None:
            return None
        elif type(partial) is Select:
            if partial.low is None:
                return self.masked(partial.condition, self.times(bar, partial.high))
            if partial.high is None:
                low = self.times(bar, partial.low)
                return None if low is None else self.masked(self.m.logical_not(partial.condition), low)
            high, low = self.times(bar, partial.high), self.times(bar, partial.low)
            if type(high) is Masked or type(low) is Masked:
                return self.add_cases(partial.condition, high, low)
            return self.m.where(partial.condition, high, low)
        if type(bar) is Masked:
            return Masked(bar.mask, self.times(bar.value, partial))
        return bar * partial

    def add_cases(self, condition: Any, high: Any, low: Any) -> Masked:
        """A choice between adjoints of which one or both are masked."""
        m = self.m
        if type(high) is Masked and type(low) is Masked and high.mask is low.mask:  # the mask of what came
            return Masked(high.mask, m.where(condition, high.value, low.value))
        mask_high = m.logical_and(condition, high.mask) if type(high) is Masked else condition
        mask_low = m.logical_not(condition)
        if type(low) is Masked:
            mask_low = m.logical_and(mask_low, low.mask)
        value = m.where(condition, *(case.value if type(case) is Masked else case for case in (high, low)))
        return Masked(m.logical_or(mask_high, mask_low), value)

    @property
    def roots(self) -> Roots:
        """Those of the graph that is swept."""
        if self._roots[0] is not self.live:
            self._roots = self.live, Roots(self.live or ())
        return self._roots[1]

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        if self.on_graph:
            self.m.origin = (*(node.where or (None, None))[:2], node.id, slot) if node.where else None
            if self.roots.factors and (type(bar) is Rooted or self.roots.twice(node)):
                return self.roots.paid(self, node, slot, bar)
        return self.plain_pull(node, slot, bar)

    def plain_pull(self, node: Node, slot: int, bar: Any) -> Any:
        m, row = self.m, node.op
        if self.on_graph:
            args = [Term(arg, m) for arg in node.args]
        else:
            if self._values[0] is not node:  # of a stack of n, once and not n times
                self._values = node, [arg.value for arg in node.args]
            args = self._values[1]
        arg = args[slot]
        if row.kind == "pointwise":
            paid = self.times(bar, row.partials[slot](m, *args, self.operand(node)))
        elif row.kind == "linear":
            paid = self.through_linear(node, slot, bar, args)
        elif row.kind == "own":
            if self._payments[0] is not node:  # one rule pays all arguments
                self._payments = (node, self.own(node, bar, args))
            paid = self._payments[1][slot]
            if type(paid) is Select:  # None beside it: where the condition does not hold nothing is paid
                paid = Masked(paid.condition, paid.high)
        else:
            paid = self.through_reduction(node, bar, arg)
        return None if paid is None else self.fitted(paid, node.args[slot])

    def through_reduction(self, node: Node, bar: Any, arg: Any) -> Any:
        m, params, shape = self.m, node.params, self.m.shape(arg)
        rule: Any = node.op.partials[0]
        if self.on_graph:
            y = spread(m, self.operand(node), shape, **params)
            return self.times(self.spread_bar(node, bar, shape), rule(m, arg, y, params["axes"]))
        partial = rule(m, arg, kept(m, node.value, shape, **params), params["axes"])
        if type(partial) is not np.ndarray or partial.shape != shape or type(bar) is Masked:
            return self.times(self.spread_bar(node, bar, shape), partial)
        bar = kept(m, bar, shape, **params)  # NumPy spreads it
        if may_take(partial) and count(partial) == ALONE and bar.dtype is partial.dtype:
            return np.multiply(bar, partial, out=partial)
        return bar * partial

    def spread_bar(self, node: Node, bar: Any, shape: tuple[int, ...]) -> Any:
        """What a reduction is owed, at every entry of its argument."""
        if type(bar) is not Masked:
            return spread(self.m, bar, shape, **node.params)
        mask = self.whole_mask(bar, node)
        return Masked(spread(self.m, mask, shape, **node.params), spread(self.m, bar.value, shape, **node.params))

    def fitted(self, paid: Any, arg: Node) -> Any:
        """A payment in the shape of whom it is paid to."""
        if type(paid) is Scattered or type(paid) is Share:
            return paid
        shape = arg.shape
        if self.m.shape(paid.value if type(paid) is Masked else paid) == shape:
            return paid
        return self.unbroadcast(paid, arg, shape)

    def own(self, node: Node, bar: Any, args: list[Any]) -> list[Any]:
        row = node.op
        if row.vjp is None:
            raise no_derivative(node, "reverse")
        wanted = [slot for slot, arg in enumerate(node.args) if (self.live is None or arg in self.live)
                  and slot not in row.no_edge]  # fmt: skip
        if type(bar) is not list:
            bar = self.dense(bar)
        elif not row.masked:
            bar = [None if part is None else self.dense(part) for part in bar]
        try:
            return row.vjp(self.m, bar, args, self.operand(node), wanted, **node.params)
        except DifferentiationError as problem:  # the rule knows what is wrong, the node knows where
            if problem.where is not None or (place := position(node.where)) is None:
                raise
            raise DifferentiationError(problem.what, where=str(place), why=problem.why, fix=problem.fix) from None

    def whole_mask(self, bar: Masked, node: Node) -> Any:
        """The mask at every entry of the node; a condition may have been smaller."""
        return bar.mask if self.m.shape(bar.mask) == node.shape else self.m.broadcast(bar.mask, shape=node.shape)

    def unbroadcast(self, paid: Any, arg: Node, shape: tuple[int, ...]) -> Any:
        """A payment summed to the shape that was broadcast, masked where all of its parts were."""
        m = self.m
        pays = arg.args if self.live is None else any(part in self.live for part in arg.args)
        if type(paid) is not Masked or not pays:  # a leaf pays nobody
            return unbroadcast(m, self.dense(paid), shape)
        mask = paid.mask
        if m.shape(mask) != m.shape(paid.value):
            mask = m.broadcast(mask, shape=m.shape(paid.value))
        return self.unless_whole(unbroadcast_mask(m, mask, shape), unbroadcast(m, self.dense(paid), shape))

    def unless_whole(self, mask: Any, value: Any, applied: Any = None) -> Any:
        """A masked adjoint; the bare one where the mask is seen to hold everywhere."""
        if not self.on_graph and mask.all():
            return value
        return Masked(mask, value, applied)

    def through_linear(self, node: Node, slot: int, bar: Any, args: list[Any]) -> Any:
        row, params = node.op, node.params
        if row.name == "index" or row is PART:  # the mask is kept beside such a payment
            return row.adjoint(self.m, bar, slot, *args, **params)
        if type(bar) is Masked and row.carry is not None:
            moved = row.adjoint(
                self.m, self.dense(bar) if row.name == "broadcast" else bar.value, slot, *args, **params
            )
            return Masked(row.carry(self.m, self.whole_mask(bar, node), slot, *args, **params), moved)
        return row.adjoint(self.m, self.dense(bar), slot, *args, **params)

    def total(self, node: Node, pile: list[Entry]) -> Any:
        # ascending payer: the same sum in any order of visits
        return self.added(node, [entry[2] for entry in reversed(pile)])

    def added(self, node: Node, payments: list[Any]) -> Any:
        """What payments come to; they stand in ascending order of the payer."""
        for paid in payments:
            if type(paid) is not np.ndarray:
                break
        else:
            return self.add(payments)
        if type(payments[0]) is Share:
            return self.shared(node, payments)
        if any(type(paid) is Rooted for paid in payments):
            return Rooted({roots: self.added(node, pile) for roots, pile in all_of(payments).items()})
        scattered = [paid for paid in payments if type(paid) is Scattered]
        if scattered:
            payments = [paid for paid in payments if type(paid) is not Scattered]
            payments.append(self.gathered(node, scattered))
        if len(payments) == 1:
            return payments[0]
        masks = [paid.mask if type(paid) is Masked else None for paid in payments]
        payments.reverse()
        total, mine = self.dense(payments.pop()), False
        while payments:  # each is let go as soon as it has been added
            then = self.dense(payments.pop())
            if type(total) is not np.ndarray:
                total = total + then
            elif mine or (may_take(total) and is_like(then, total) and count(total) == ALONE):
                total += then
            else:
                total = total + then
            mine, then = not self.on_graph, None
        if all(mask is masks[0] for mask in masks):
            return total if masks[0] is None else Masked(masks[0], total)
        return total if any(mask is None for mask in masks) else self.unless_whole(self.m.any(masks), total)

    def add(self, payments: list[Any]) -> Any:
        total = payments[0]
        if len(payments) == 1:
            return total
        then = payments[1]
        if type(total) is np.ndarray and may_take(total) and is_like(then, total) and count(total) == _PILE:
            np.add(total, then, out=total)  # nobody but this pile holds it
        else:
            total = total + then
        in_place = not self.on_graph and type(total) is np.ndarray
        for paid in payments[2:]:
            if in_place:
                total += paid
            else:
                total = total + paid
        return total

    def shared(self, node: Node, payments: list[Share]) -> list[Any]:
        """What each of several results is owed; None: nothing."""
        bars: list[Any] = [None] * len(node.aval)
        for k, bar in payments:
            bars[k] = bar if bars[k] is None else self.dense(bars[k]) + self.dense(bar)
        return bars

    def gathered(self, node: Node, scattered: list[Scattered]) -> Any:
        """All scattered payments of a pile in one buffer; entries that nobody read are masked."""
        m, aval = self.m, node.aval
        if not self.on_graph:
            buffer = reshaped(scattered[0], aval.shape) if aval.shape else None
            touched = None
            if buffer is None:
                buffer = np.zeros(aval.shape, aval.dtype)
                touched = np.zeros(aval.shape, np.bool_) if node.args else None  # a leaf pays nobody
            else:  # all of it is touched
                scattered = scattered[1:]
            for payment in scattered:
                scatter_into(buffer, payment.template, payment.arrays, self.dense(payment.value))
                if touched is None:
                    continue
                if type(payment.value) is Masked:
                    scatter_into(touched, payment.template, payment.arrays, payment.value.mask)
                else:
                    touched[full_index(payment.template, payment.arrays)] = True
            if not aval.shape:
                buffer, touched = buffer[()], touched if touched is None else touched[()]
            # zero already where it is not touched
            return buffer if touched is None else self.unless_whole(touched, buffer, buffer)
        operands: list[Any] = []
        masks: list[Any] = []
        for payment in scattered:
            value = self.dense(payment.value)
            mask = payment.value.mask if type(payment.value) is Masked else np.broadcast_to(np.True_, m.shape(value))
            if m.shape(mask) != m.shape(value):
                mask = m.broadcast(mask, shape=m.shape(value))
            operands += [value, *payment.arrays]
            masks += [mask, *payment.arrays]
        shared = {
            "shape": aval.shape,
            "templates": tuple(payment.template for payment in scattered),
            "counts": tuple(len(payment.arrays) for payment in scattered),
        }
        buffer = m.apply("scatter", *operands, dtype=aval.dtype, **shared)
        if not node.args:
            return buffer
        return Masked(m.apply("scatter", *masks, dtype=np.dtype(np.bool_), **shared), buffer)


def _measure() -> None:
    """Who holds an array in a pile, where nobody else does."""
    global _PILE, ALONE

    class Counting(Gradient):
        def added(self, node: Node | None, payments: list[Any]) -> Any:
            return self.add(payments)

        def add(self, payments: list[Any]) -> Any:
            total = payments[0]
            return count(total)

    _PILE = Counting(on_graph=False).added(None, [np.empty(1)])
    array = np.empty(1)
    ALONE = count(array)


_measure()


class Walks(NamedTuple):
    """Paths from the top to a node, and the edges walked on all of them together: exact integers."""

    paths: int
    walks: int


class PathCount:
    """Payments are numbers of paths: what collecting path by path would cost, found without walking any."""

    live: set[Node] | None = None

    def pull(self, node: Node, slot: int, bar: Walks) -> Walks:
        return Walks(bar.paths, bar.walks + bar.paths)

    def total(self, node: Node, pile: list[Entry]) -> Walks:
        return Walks(sum(entry[2].paths for entry in pile), sum(entry[2].walks for entry in pile))
