"""Where one vector of a product's results sits, and how other arrays are read and written there.

An epilogue is written once and emitted for whole vectors, for the last columns of a row (some lanes do not exist), and
for products that are run transposed (the lanes then go down a column).  A `Place` knows which of these it is.
"""

from __future__ import annotations

from typing import Any

from payback.native import ir
from payback.native.codegen.emit import BIT, INT32, POINTER, Emitter, host_features, itemsize, suffix


def integer(e: Emitter, value: Any) -> ir.Value:
    return e.int(value) if isinstance(value, int) else value


def zero(kind: ir.Type) -> ir.Constant:
    return ir.Constant(kind, None)


def pieces(count: int) -> list[tuple[int, int]]:
    """Starts and sizes, powers of two, that make up `count` lanes.

    >>> pieces(6)
    [(0, 4), (4, 2)]
    """
    made, start = [], 0
    while start < count:
        size = 1 << ((count - start).bit_length() - 1)
        made.append((start, size))
        start += size
    return made


def lane_mask(e: Emitter, count: ir.Value | int, kind: ir.Type, lanes: int) -> ir.Value:
    """True in the first `count` lanes; compared in integers as wide as the elements, as the mask will be used."""
    if isinstance(count, int):
        return ir.Constant(ir.VectorType(BIT, lanes), [int(lane < count) for lane in range(lanes)])
    width = 8 * max(itemsize(kind), 4)
    numbers = ir.Constant(ir.VectorType(ir.IntType(width), lanes), list(range(lanes)))
    short = count if width == 64 else e.b.trunc(count, ir.IntType(width))
    return e.b.icmp_signed("<", numbers, e.splat(short, lanes))


def masked_load(e: Emitter, pointer: ir.Value, kind: ir.Type, lanes: int, mask: ir.Value) -> ir.Value:
    """A vector from consecutive elements; memory of masked lanes is not touched, those lanes are 0."""
    vector = ir.VectorType(kind, lanes)
    name = f"llvm.masked.load.{suffix(vector)}.p0"
    function = e.module.globals.get(name) or ir.Function(
        e.module, ir.FunctionType(vector, [POINTER, INT32, ir.VectorType(BIT, lanes), vector]), name
    )
    return e.b.call(function, [pointer, ir.Constant(INT32, itemsize(kind)), mask, zero(vector)])


def take(e: Emitter, value: ir.Value, start: int, count: int) -> ir.Value:
    """Lanes start … start + count of a vector."""
    if start == 0 and count == value.type.count:
        return value
    if count == 1:
        return e.b.extract_element(value, ir.Constant(INT32, start))
    order = ir.Constant(ir.VectorType(INT32, count), list(range(start, start + count)))
    return e.b.shuffle_vector(value, value, order)


def store_first(e: Emitter, value: ir.Value, pointer: ir.Value, count: ir.Value) -> None:
    """Store the first `count` lanes, 0 < count ≤ lanes: in pieces of 2ⁿ where masked stores are slow, or missing."""
    b, kind, size = e.b, value.type.element, value.type.count // 2
    if host_features().get("avx512vl") and itemsize(kind) >= 4:
        name = f"llvm.masked.store.{suffix(value.type)}.p0"
        function = e.module.globals.get(name) or ir.Function(
            e.module,
            ir.FunctionType(ir.VoidType(), [value.type, POINTER, INT32, ir.VectorType(BIT, value.type.count)]),
            name,
        )
        mask = lane_mask(e, count, kind, value.type.count)
        b.call(function, [value, pointer, ir.Constant(INT32, itemsize(kind)), mask])
        return
    with b.if_then(b.icmp_signed("==", count, e.int(value.type.count))):
        e.store(value, pointer, 0)
    while size:  # the digits of a count of all lanes are zeros
        there = b.icmp_signed("!=", b.and_(count, e.int(size)), e.int(0))
        with b.if_then(there):
            e.store(take(e, value, 0, size), pointer, 0)
        value = b.select(there, take(e, value, size, size), take(e, value, 0, size))
        pointer = b.select(there, e.at(pointer, size, kind), pointer)
        size //= 2


class Place:
    """`lanes` elements of a matrix: in row `row` from column `column` on, or down a column from that row on (`down`).

    Only the first `count` lanes exist if a count is given: a run-time value from 1 to lanes, or, for contiguous lanes,
    a Python integer.  Strides are in elements: run-time values, or Python integers where they are known, which is
    faster for 1 (a vector) and 0 (one value).
    """

    def __init__(
        self, e: Emitter, kind: ir.Type, lanes: int, row: Any, column: Any, count: Any = None, down: bool = False,
        offset: tuple[int, int] = (0, 0), known: dict[Any, ir.Value] | None = None,
    ):  # fmt: skip
        """`offset` (rows, columns) is added to row and column; places of one tile share what is `known`: addresses."""
        self.e, self.kind, self.lanes, self.count, self.down = e, kind, lanes, count, down
        self.first, self.offset, self.known = (row, column), offset, {} if known is None else known

    def address(self, pointer: ir.Value, row_stride: Any, column_stride: Any, kind: ir.Type) -> ir.Value:
        """Where the first lane's element is.

        Most of it is the same for all vectors of a tile, or of a row: it is computed once in a basic block.
        """
        for index, step, stride in zip(self.first, self.offset, (row_stride, column_stride), strict=True):
            if not isinstance(stride, int) or stride:
                pointer = self._moved(pointer, index, stride, kind)
                pointer = self._moved(pointer, step, stride, kind) if step else pointer
        return pointer

    def _moved(self, pointer: ir.Value, index: Any, stride: Any, kind: ir.Type) -> ir.Value:
        e = self.e
        key = e.b.block, pointer, index, stride, str(kind)
        if key not in self.known:
            if isinstance(index, int) and isinstance(stride, int):
                offset = e.int(index * stride)
            elif isinstance(stride, int) and stride == 1:
                offset = index
            else:
                offset = e.b.mul(integer(e, stride), integer(e, index))
            self.known[key] = e.at(pointer, offset, kind)
        return self.known[key]

    def load(self, pointer: ir.Value, row_stride: Any, column_stride: Any, kind: ir.Type | None = None) -> ir.Value:
        """The elements of a matrix at this place; lanes that do not exist hold some other value."""
        e, kind = self.e, kind or self.kind
        first = self.address(pointer, row_stride, column_stride, kind)
        stride = row_stride if self.down else column_stride
        if self.lanes == 1 or (isinstance(stride, int) and stride == 0):
            return e.splat(e.load(first, 0, kind), self.lanes)
        if isinstance(stride, int) and stride == 1:
            if self.count is None:
                return e.load(first, 0, kind, self.lanes)
            return masked_load(e, first, kind, self.lanes, lane_mask(e, self.count, self.kind, self.lanes))
        value = ir.Constant(ir.VectorType(kind, self.lanes), ir.Undefined)
        for lane, place in enumerate(self._each(first, stride, kind)):
            value = e.b.insert_element(value, e.load(place, 0, kind), ir.Constant(INT32, lane))
        return value

    def store(self, value: ir.Value, pointer: ir.Value, row_stride: Any, column_stride: Any) -> None:
        """Write the lanes that exist."""
        e, kind = self.e, value.type if self.lanes == 1 else value.type.element
        first = self.address(pointer, row_stride, column_stride, kind)
        if self.lanes == 1:
            e.store(value, first, 0)
            return
        stride = row_stride if self.down else column_stride
        if isinstance(stride, int) and stride == 1:
            if self.count is None:
                e.store(value, first, 0)
                return
            if isinstance(self.count, int):
                for start, size in pieces(self.count):
                    e.store(take(e, value, start, size), first, start)
                return
            whole = e.b.icmp_signed("==", self.count, e.int(self.lanes))
            with e.b.if_else(whole) as (yes, no):
                with yes:
                    e.store(value, first, 0)
                with no:
                    store_first(e, value, first, self.count)
            return
        for lane, place in reversed(list(enumerate(self._each(first, stride, kind)))):
            e.store(take(e, value, lane, 1), place, 0)

    def _each(self, first: ir.Value, stride: Any, kind: ir.Type) -> list[ir.Value]:
        """The address of each lane.  Lanes that do not exist get the first one's: a read is harmless there, and a write
        is overwritten by the first lane's own, because lanes are written in descending order."""
        e, places = self.e, [first]
        for lane in range(1, self.lanes):
            place = e.at(first, e.b.mul(integer(e, stride), e.int(lane)), kind)
            if isinstance(self.count, int):
                place = place if lane < self.count else first
            elif self.count is not None:
                place = e.b.select(e.b.icmp_signed("<", e.int(lane), self.count), place, first)
            places.append(place)
        return places
