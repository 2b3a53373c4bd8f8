"""Payments to boxes: a sum of arrays, each of which lies in a box of the result and counts as zero around it.

What slices and windows read is paid back so: a stencil's gradient is a sum of shifted arrays.  One pass over the result
adds what covers each entry, in the order of the payments.  Only a row's ends ask which boxes they are in: between them
the row is in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import product
from math import prod
from operator import itemgetter, mul
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, load
from payback.native.lower.nests.body import Body, way
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.place import masked_load
from payback.native.lower.products.blocked.tile import has_masked_loads
from payback.native.planning import even, layout, nests
from payback.native.planning.commands import Command, number, text_of
from payback.native.planning.layout import View
from payback.native.planning.recomputed import AGAIN, FEW, LARGE

LEAST = 256  # entries of a result for which it is worth it
MOST = 32  # boxes of one payment
SHARED = 1 << 14  # entries from which on threads share the rows
APART = 1 << 15  # entries for which more code is worth its compilation
WHOLE = 10  # operations that a payment may consist of to be computed at each of its places


class Boxes(NamedTuple):
    """A kernel's key: a nest (see `Nest`) of loads, each within a box, and operations on them.

    boxes  of each operand but the last, which is the result
    spans  along each axis, of each box: which of the different spans there is its
    terms  (number of the instr, its box) of each payment
    """

    instrs: tuple[Any, ...]
    operands: tuple[tuple[str, str], ...]
    codes: tuple[str, ...]
    boxes: tuple[int, ...]
    spans: tuple[tuple[int, ...], ...]
    terms: tuple[tuple[int, int], ...]
    like: tuple[int, ...]
    outer: int
    lanes: int
    split: bool
    apart: bool  # whether rows that are in all boxes have code of their own

    reduced, inner, ahead, sinks, staged, few = 0, "k", 0, (), False, 0

    def emit(self, e: Emitter, function: ir.Function) -> None:
        _Rows(self, e, Arguments(e, function)).run()
        e.b.ret(e.int(0))


class _Rows(Body):
    """args: those of a nest, then for each axis the first place and the extent of its spans."""

    def __init__(self, key: Boxes, e: Emitter, args: Arguments):
        super().__init__(key, e, args)
        b = e.b
        spans = [[(args.int(), args.int()) for _ in range(1 + max(of_boxes))] for of_boxes in key.spans]
        self.boxes = [[at[k] for at, k in zip(spans, mine, strict=True)] for mine in zip(*key.spans, strict=True)]
        low, high = e.int(0), self.extents[-1]  # between them boxes cover a row that is in all of them
        for first, extent in spans[-1]:
            end = b.add(first, extent)
            low = b.select(b.icmp_signed("<", low, first), first, low)
            high = b.select(b.icmp_signed("<", end, high), end, high)
        self.covered = low, high
        self.corners = []  # of each operand, the place of its first entry: those of the result serve for all
        for operand, box in enumerate(key.boxes):
            strides = [*self.strides[operand], self._along(operand)]
            moved = [b.mul(place, stride) for (place, _), stride in zip(self.boxes[box], strides, strict=True)]
            total = moved[0]
            for part in moved[1:]:
                total = b.add(total, part)
            self.corners.append(total)
            kind = pointwise.memory_type(key.operands[operand][0])
            self.pointers[operand] = e.at(self.pointers[operand], b.sub(e.int(0), total), kind)
        self.first = [e.int(0)] * len(key.operands)
        self.within: list[ir.Value] | None = None  # for each box whether the lanes are in it, where that is not sure

    def _along(self, operand: int) -> ir.Value:
        stride = self.inner_stride[operand]
        return self.e.int({"u": 1, "z": 0}[self.key.operands[operand][1]]) if stride is None else stride

    def run(self) -> None:
        self.fix(1, self.first)
        if self.key.lanes > 1:
            self.fix(self.key.lanes, self.first)
        self._outer(0, self.first, [None] * len(self.boxes))

    def _outer(self, axis: int, offsets: list[ir.Value], active: list[ir.Value | None]) -> None:
        b = self.e.b
        if axis == self.key.outer:
            self._row(offsets, active)
            return
        start, stop = self.e.int(0), self.extents[axis]
        if axis == 0 and self.key.split:
            start, stop = self.args.share(stop, 1)
        with self.e.loop(start, stop) as i:
            moved = [b.add(o, b.mul(i, strides[axis])) for o, strides in zip(offsets, self.strides, strict=True)]
            now = []
            for box, before in zip(self.boxes, active, strict=True):
                first, extent = box[axis]
                inside = b.icmp_unsigned("<", b.sub(i, first), extent)
                now.append(inside if before is None else b.and_(before, inside))
            self._outer(axis + 1, moved, now)

    def _row(self, offsets: list[ir.Value], active: list[ir.Value | None]) -> None:
        """Most rows are in all boxes; there boxes with one span need be asked for their places once."""
        e, b = self.e, self.e.b
        spans = [box[-1] for box in self.boxes]
        asked = [there for there in active if there is not None]
        if not asked:
            self._entries(offsets, spans, self.covered)
            return
        everywhere = reduce(b.and_, asked)

        def cut() -> tuple[list[ir.Value], list[tuple[ir.Value, ir.Value]]]:
            """A row that is not in a box has no entry in it, and is where the box begins: a processor takes a hundred
            times as long to read nothing where there is no memory."""
            there_of = [active[box] for box in self.key.boxes]
            at = [
                o if there is None else b.select(there, o, corner)
                for o, there, corner in zip(offsets, there_of, self.corners, strict=False)
            ]
            return [*at, offsets[-1]], [
                (first, extent if there is None else b.select(there, extent, e.int(0)))
                for (first, extent), there in zip(spans, active, strict=True)
            ]

        if not self.key.apart:
            low, high = self.covered
            self._entries(*cut(), (low, b.select(everywhere, high, low)))
            return
        with b.if_else(everywhere) as (in_all, in_some):
            with in_all:
                self._entries(offsets, spans, self.covered)
            with in_some:
                self._entries(*cut(), None)

    def _entries(
        self, offsets: list[ir.Value], spans: list[tuple[ir.Value, ir.Value]], covered: tuple[ir.Value, ir.Value] | None
    ) -> None:
        """covered: from where to where all boxes cover the row; None: nowhere."""
        e, b, lanes = self.e, self.e.b, self.key.lanes
        start, stop = e.int(0), self.extents[-1]
        if self.key.split and not self.key.outer:
            start, stop = self.args.share(stop, lanes)

        def vectors(begin: ir.Value, end: ir.Value) -> ir.Value:
            """The end of the whole vectors from `begin` on, at most to `end`."""
            length = b.select(b.icmp_signed("<", begin, end), b.sub(end, begin), e.int(0))
            return b.add(begin, b.and_(length, e.int(-lanes)))

        def loop(begin: ir.Value, end: ir.Value, lanes: int, sure: bool) -> None:
            with e.loop(begin, end, lanes) as i:
                here = [
                    o if how == "z" else b.add(o, i if how == "u" else b.mul(i, stride))
                    for (_, how), stride, o in zip(self.key.operands, self.inner_stride, offsets, strict=True)
                ]
                self.within = None if sure else [self._inside(i, *span, lanes) for span in spans]
                self._sum(here, lanes)

        if lanes > 1:
            last = vectors(start, stop)
            if covered is not None:
                low, high = covered
                low = b.select(b.icmp_signed("<", low, start), start, low)
                high = b.select(b.icmp_signed("<", stop, high), stop, high)
                ends = b.add(b.sub(low, start), e.int(lanes - 1))
                ends = b.add(start, b.and_(ends, e.int(-lanes)))
                ends = b.select(b.icmp_signed("<", ends, last), ends, last)
                loop(start, ends, lanes, sure=False)
                start = vectors(ends, high)
                loop(ends, start, lanes, sure=True)
            loop(start, last, lanes, sure=False)
            start = last
        if lanes > 1 and has_masked_loads() and self.key.operands[-1][1] == "u":
            # what is left, as one vector: beyond the row there is no box
            self.count = b.sub(stop, start)
            loop(start, stop, lanes, sure=False)
            self.count = None
        else:
            loop(start, stop, 1, sure=False)

    def _inside(self, i: ir.Value, first: ir.Value, extent: ir.Value, lanes: int) -> ir.Value:
        b, at = self.e.b, self.e.b.sub(i, first)
        if lanes == 1:
            return b.icmp_unsigned("<", at, extent)
        numbers = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
        at, extent = (self.e.splat(b.trunc(x, INT32), lanes) for x in (at, extent))
        return b.icmp_unsigned("<", b.add(at, numbers), extent)

    def _sum(self, offsets: list[ir.Value], lanes: int) -> None:
        code = self.key.operands[-1][0]
        values = self.evaluate(offsets, lanes)
        zero = constant(pointwise.register_type(code, lanes), 0.0)
        total: ir.Value = zero  # as where payments are added to zeros: it makes 0 of −0
        for number_, box in self.key.terms:
            value = values[number_]
            if self.within is not None:
                value = self.e.b.select(self.within[box], value, zero)
            total = self.plus(code, total, value)
        self.write(len(self.key.operands) - 1, offsets[-1], total, lanes)

    def read(self, operand: int, offset: ir.Value, lanes: int) -> ir.Value:
        """What lies outside the box is not touched: one of its entries is read instead, or nothing."""
        if self.within is None:
            return super().read(operand, offset, lanes)
        e, b, (code, how) = self.e, self.e.b, self.key.operands[operand]
        inside = self.within[self.key.boxes[operand]]
        kind = pointwise.memory_type(code)
        if lanes == 1:
            return load(e, self.pointers[operand], b.select(inside, offset, self.corners[operand]), code)
        if how == "u" and has_masked_loads():
            return masked_load(e, e.at(self.pointers[operand], offset, kind), kind, lanes, inside)
        places = []
        for lane in range(lanes):
            there = b.extract_element(inside, ir.Constant(INT32, lane))
            places.append(b.select(there, self.lane_offset(operand, offset, lane), self.corners[operand]))
        return self.collect(operand, places)


class Payment(NamedTuple):
    """Part of an array in a box: where the box begins along each axis of the result, and which axis of the array lies
    there; `at`: the array's entry that lies at the box's first, with zeros along those axes."""

    value: Node
    firsts: tuple[int, ...]
    extents: tuple[int, ...]
    axes: tuple[int | None, ...]
    at: tuple[int, ...]


def payments(
    value: Node, template: tuple[Any, ...], arrays: Sequence[Any], shape: layout.Shape
) -> list[Payment] | None:
    """How a value lies in what an index reads: one box for a slice, one for each place in a window.

    In the order in which each entry is paid.  None for steps, for few entries, and for many boxes.
    """
    moves = []  # of each axis of the result: its first place, and how each axis of the value moves it
    for axis in range(len(shape)):
        unit = tuple(int(a == axis) for a in range(len(shape)))
        lies = even.view(View(layout.Buffer("arena", np.dtype(bool), 0), 0, shape, unit), template, arrays)
        if lies is None:
            return None
        moves.append((lies.offset, lies.strides))
    inner = value.aval.shape
    alone = [a for a in range(len(inner)) if sum(bool(steps[a]) for _, steps in moves) == 1]
    axes = [max((a for a in alone if steps[a] == 1), key=inner.__getitem__, default=None) for _, steps in moves]
    extents = tuple(1 if a is None else inner[a] for a in axes)
    others = [range(1) if a in axes else range(n) for a, n in enumerate(inner)]
    if 2 * prod(extents) < prod(shape) or 0 in inner or prod(map(len, others)) > MOST:
        return None
    found = []
    for at in product(*others):
        firsts = tuple(first + sum(map(mul, steps, at)) for first, steps in moves)
        turn = list(at)  # an entry's payments come in the order of the value's entries
        for first, a in zip(firsts, axes, strict=True):
            if a is not None:
                turn[a] = -first
        found.append((turn, Payment(value, firsts, extents, tuple(axes), at)))
    return [paid for _, paid in sorted(found, key=itemgetter(0))]


def _again(planner: Any, x: Node, value: Node) -> bool:
    """Whether a number is better computed again at each of its places than read there."""
    like = (value.aval.shape, value.aval.dtype)
    arrays = [arg for arg in x.args if arg not in planner.scalars]
    if x not in planner.waiting or x.op.name not in AGAIN or (x.aval.shape, x.aval.dtype) != like:
        return False
    return all(arg.aval.dtype == value.aval.dtype for arg in arrays) and sum(map(_is_array, arrays)) <= 1


def _is_whole(planner: Any, value: Node) -> bool:
    """Whether a large payment is better computed at each of its places than written and read there, from its first
    operation on: few, on one array or two in memory."""
    seen, stack, read = {value}, [value], set()
    if value.aval.size < LARGE or not planner.inline(value, value.aval.shape):
        return False
    while stack:
        x = stack.pop()
        if len(seen) > WHOLE or x.op.name not in (*AGAIN, "sign"):
            return False
        for arg in x.args:
            if arg.aval.dtype != value.aval.dtype:
                return False
            if planner.inline(arg, value.aval.shape):
                stack += [arg] if arg not in seen else []
                seen.add(arg)
            elif arg not in planner.scalars:
                if not planner.shows(arg):
                    return False
                read.add(planner.view(arg).buffer)
    return len(read) <= 2


def added(planner: Any, node: Node) -> list[tuple[Node, Payment]]:
    """The additions to a large scatter that come next, and what each adds: it is one more payment, to all entries."""
    found, end, shape = [], node, node.aval.shape
    while node.aval.size >= LARGE and end not in planner.wanted and len(users := planner.users.get(end, ())) == 1:
        (end,), before = users, end
        if end.op.name != "add" or end not in planner.waiting or end.aval != node.aval:
            break
        other = end.args[end.args[0] is before]
        there = other in planner.scalars or planner.shows(other) or _is_whole(planner, other)
        if other.aval != node.aval or not there or (planner.early is not None and end not in planner.early):
            break
        axes, nowhere = tuple(range(len(shape))), (0,) * len(shape)
        found.append((end, Payment(other, nowhere, shape, axes, nowhere)))
    return found


def _is_array(x: Node) -> bool:
    """Whether it is more than one number at all entries."""
    while x.op.name in ("broadcast", "reshape"):
        (x,) = x.args
    return x.aval.size > 1


def pay(planner: Any, node: Node, payments: Sequence[Payment], is_all: bool) -> View:
    """One command for payments to large boxes; it writes every entry of the target, which is given.

    is_all: whether there are no others; then the target may lie as most of what is paid does.
    """
    shape, code = node.aval.shape, code_of(node.aval.dtype)
    numbers: dict[Any, int] = {}
    codes: list[str] = []
    views: list[View] = []
    owners: list[int] = []
    factors: list[int] = []

    def add(instr: tuple[Any, ...]) -> int:
        if instr not in numbers:
            numbers[instr] = len(codes)
            codes.append(code)
        return numbers[instr]

    def operand(x: Node, box: int) -> int:
        paid = payments[box]
        view = layout.spread(planner.view(x), paid.value.aval.shape)
        strides = tuple(0 if axis is None else view.strides[axis] for axis in paid.axes)
        lies = View(view.buffer, view.offset + sum(map(mul, view.strides, paid.at)), paid.extents, strides)
        for k, (other, owner) in enumerate(zip(views, owners, strict=True)):
            if other == lies and owner == box:
                return add(("load", k))
        views.append(lies)
        owners.append(box)
        return add(("load", len(views) - 1))

    def term(x: Node, box: int, left: list[int], whole: bool) -> int:
        if x in planner.scalars:
            return add(number(text_of(planner.scalars[x]), code, factors))
        value = payments[box].value
        if planner.inline(x, value.aval.shape) if whole else left[0] and _again(planner, x, value):
            left[0] -= 1
            return add((x.op.name, code, *[term(arg, box, left, whole) for arg in x.args]))
        return operand(x, box)

    boxes = list(dict.fromkeys((paid.firsts, paid.extents) for paid in payments))
    terms = []
    for k, paid in enumerate(payments):
        value = term(paid.value, k, [FEW], _is_whole(planner, paid.value))
        terms.append((value, boxes.index((paid.firsts, paid.extents))))
    of = [boxes.index((payments[owner].firsts, payments[owner].extents)) for owner in owners]
    like = [("load", view) for view in views]
    target = planner.placed(node, like, shape, False) if is_all else planner.allocate(node, node.aval.dtype, shape)
    views.append(target)
    turned = itemgetter(*order) if len(order := nests.usual(shape, views)) > 1 else tuple
    boxes = [(turned(firsts), turned(counts)) for firsts, counts in boxes]
    extents, moves, places = _merged(turned(shape), [turned(view.strides) for view in views], boxes)
    ways = tuple((code_of(view.buffer.dtype), way(move[-1])) for view, move in zip(views, moves, strict=True))
    most = lanes_of(pointwise.register_type(code))
    short = 1 << (extents[-1] - 1).bit_length() if has_masked_loads() else 1
    lanes = most if extents[-1] >= most else short
    split = prod(shape) >= SHARED and extents[0] >= 8
    spans = [[(firsts[axis], counts[axis]) for firsts, counts in places] for axis in range(len(extents))]
    different = [list(dict.fromkeys(of_boxes)) for of_boxes in spans]
    numbered = tuple(tuple(map(some.index, every)) for some, every in zip(different, spans, strict=True))
    like = nests.alike([move[:-1] for move in moves])
    key = Boxes(tuple(numbers), ways, tuple(codes), tuple(of), numbered, tuple(terms), like, len(extents) - 1, lanes,
                split, prod(shape) >= APART)  # fmt: skip
    arguments = [*extents, *[stride for move in moves for stride in move[:-1]]]
    arguments += [move[-1] for (_, how), move in zip(ways, moves, strict=True) if how not in ("u", "z")]
    arguments += factors
    arguments += [x for some in different for span in some for x in span]
    planner.commands.append(Command(key, views, arguments, views[:-1], views[-1:], None, "scatter of boxes"))
    return target


def _merged(
    shape: layout.Shape, strides: Sequence[layout.Shape], boxes: Sequence[tuple[layout.Shape, layout.Shape]]
) -> tuple[list[int], list[list[int]], list[tuple[list[int], list[int]]]]:
    """Fewer axes: one that all boxes cover joins the one before it where all operands move evenly."""
    extents: list[int] = []
    moves: list[list[int]] = [[] for _ in strides]
    places: list[tuple[list[int], list[int]]] = [([], []) for _ in boxes]
    for axis, extent in enumerate(shape):
        whole = all(counts[axis] == extent for _, counts in boxes)
        if extents and whole and all(m[-1] == s[axis] * extent for m, s in zip(moves, strides, strict=True)):
            extents[-1] *= extent
            for move, s in zip(moves, strides, strict=True):
                move[-1] = s[axis]
            for firsts, counts in places:
                firsts[-1] *= extent
                counts[-1] *= extent
            continue
        extents.append(extent)
        for move, s in zip(moves, strides, strict=True):
            move.append(s[axis])
        for (firsts, counts), box in zip(places, boxes, strict=True):
            firsts.append(box[0][axis])
            counts.append(box[1][axis])
    return extents, moves, places
