"""Copies of blocks of a matrix in the order in which the register tile of a product reads them.

B goes into panels of a tile's columns, row after row; columns beyond the matrix are zeros.  A goes into panels of a
tile's rows, column after column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from payback.native import ir
from payback.native.codegen.emit import INT, INT32, POINTER, Emitter, itemsize, lanes_of, suffix
from payback.native.lower.products.blocked.place import lane_mask, masked_load, pieces, take, zero

SLACK = 256  # bytes beyond a buffer that may be read: one vector, and alignment


FAR_APART = 16  # lines of the source that are read side by side, so that pages are not entered anew for each panel
PIECE = 16  # rows of a panel of B that are packed at a time
PACKS = (INT, INT, POINTER, INT, INT, POINTER)  # rows of A or columns of B, k, from, row stride, column stride, into
PACKER = ir.PointerType(ir.FunctionType(ir.VoidType(), PACKS))


def function(e: Emitter, name: str, kinds: Sequence[ir.Type]) -> tuple[Emitter, ir.Function]:
    """A new internal function and an emitter at its begin."""
    made = ir.Function(e.module, ir.FunctionType(ir.VoidType(), kinds), name)
    made.linkage = "internal"
    return Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry"))), made


def least(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.b.select(e.b.icmp_signed("<", x, y), x, y)


def most(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.b.select(e.b.icmp_signed(">", x, y), x, y)


def turned(
    e: Emitter, kind: ir.Type, load: Callable[[int, int, int], ir.Value], side: int | None = None
) -> list[ir.Value]:
    """A square of elements read so that its columns become vectors: column c of the square is vector number c.

    `load(row, column, count)` is a part of a row.  Parts of 128 bits go to their half or quarter of a vector as they
    are read, which costs no shuffle; then the elements within these are transposed.  side: of the square, a power of
    two; a vector's lanes unless given.
    """
    lanes = side or lanes_of(kind)
    columns = []
    for first in range(0, lanes, turned_at_once(kind, lanes)):
        columns += turned_part(e, kind, lambda row, count, first=first: load(row, first, count), lanes)
    return columns


def turned_at_once(kind: ir.Type, lanes: int) -> int:
    """Columns of a square that are 128 bits of each row."""
    return min(lanes, 16 // itemsize(kind))


def turned_part(e: Emitter, kind: ir.Type, load: Callable[[int, int], ir.Value], lanes: int) -> list[ir.Value]:
    """So many columns as vectors; `load(row, count)` is a row's part of them."""
    piece = turned_at_once(kind, lanes)
    if lanes == 1:
        return [load(0, 1)]

    def shuffle(x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
        return e.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, len(order)), order))

    def joined(parts: list[ir.Value]) -> ir.Value:
        while len(parts) > 1:
            both = list(range(2 * parts[0].type.count))
            parts = [shuffle(parts[i], parts[i + 1], both) for i in range(0, len(parts), 2)]
        return parts[0]

    starts = range(0, lanes, piece)
    r = [joined([load(start + i, piece) for start in starts]) for i in range(piece)]
    if piece == 2:
        return [shuffle(*r, [s + x for s in starts for x in both]) for both in ((0, lanes), (1, lanes + 1))]
    low = [s + x for s in starts for x in (0, lanes, 1, lanes + 1)]
    high = [s + x for s in starts for x in (2, lanes + 2, 3, lanes + 3)]
    pairs_low = [s + x for s in starts for x in (0, 1, lanes, lanes + 1)]
    pairs_high = [s + x for s in starts for x in (2, 3, lanes + 2, lanes + 3)]
    columns = []
    for order in (low, high):
        a, b = shuffle(r[0], r[1], order), shuffle(r[2], r[3], order)
        columns += [shuffle(a, b, pairs_low), shuffle(a, b, pairs_high)]
    return columns


def together(rows: int, kind: ir.Type) -> list[tuple[int, int]]:
    """Rows that are turned together: as many as there are elements in 128 bits, or a power of two of them."""
    most_rows, made, start = 16 // itemsize(kind), [], 0
    while start < rows:
        size = min(most_rows, 1 << ((rows - start).bit_length() - 1))
        made.append((start, size))
        start += size
    return made


def interleaved(e: Emitter, kind: ir.Type, values: list[ir.Value]) -> list[ir.Value]:
    """1, 2 or 4 vectors as columns, within each 128 bits: the first vector has the first columns of all these."""
    piece, lanes = 16 // itemsize(kind), values[0].type.count
    starts = range(0, lanes, piece)

    def shuffle(x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
        whole = [start + (i % piece) + (lanes if i >= piece else 0) for start in starts for i in order]
        return e.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, lanes), whole))

    if len(values) == 1:
        return values
    half = piece // 2
    low = [x for i in range(half) for x in (i, piece + i)]
    high = [x for i in range(half, piece) for x in (i, piece + i)]
    if len(values) == 2:
        return [shuffle(*values, low), shuffle(*values, high)]
    a, b = ([shuffle(*pair, order) for pair in (values[:2], values[2:])] for order in (low, high))
    return [shuffle(*x, order) for x in (a, b) for order in ([0, 1, 4, 5], [2, 3, 6, 7])]


def columns_of(e: Emitter, kind: ir.Type, values: list[ir.Value]) -> Iterator[tuple[int, ir.Value]]:
    """The columns of rows that are `together`: the number and the entries, side by side, of each."""
    size, lanes = len(values), values[0].type.count
    each = 16 // itemsize(kind) // size  # columns in 128 bits of a vector
    for number, value in enumerate(interleaved(e, kind, values)):
        for part in range(lanes // size):
            yield part // each * each * size + number * each + part % each, take(e, value, part * size, size)


def pack_b(e: Emitter, kind: ir.Type, vectors: int, unit: str) -> ir.Function:
    """`void pack(columns, k, b, row_stride, column_stride, into)`: some rows of a panel of vectors·lanes columns.

    k ≤ PIECE.  `unit` says which stride is 1: "column" (rows are contiguous), "row" (columns are) or "none".
    """
    name = f"payback.pack_b.{suffix(kind)}.{vectors}.{unit}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, PACKS)
    columns, k, b, row_stride, column_stride, into = made.args
    build, lanes = e.b, lanes_of(kind)
    width = lanes * vectors
    if unit == "column":
        whole = build.and_(build.icmp_signed("==", columns, e.int(width)), build.icmp_signed("==", k, e.int(PIECE)))
        with build.if_else(whole) as (yes, no):
            with yes:
                line = b
                for i in range(PIECE):
                    for v in range(vectors):
                        e.store(e.load(line, v * lanes, kind, lanes), into, i * width + v * lanes)
                    line = e.at(line, row_stride, kind)
            with no:
                masks = [lane_mask(e, build.sub(columns, e.int(v * lanes)), kind, lanes) for v in range(vectors)]
                with e.loop(0, k) as i:
                    line, to = e.at(b, build.mul(i, row_stride), kind), build.mul(i, e.int(width))
                    for v, mask in enumerate(masks):
                        value = masked_load(e, e.at(line, v * lanes, kind), kind, lanes, mask)
                        e.store(value, into, build.add(to, e.int(v * lanes)))
        build.ret_void()
        return made
    even = e.int(0)  # rows that are turned
    if unit == "row":
        step = turned_at_once(kind, lanes)
        even, final = build.and_(k, e.int(-step)), most(e, build.sub(columns, e.int(1)), e.int(0))
        needed = least(e, build.udiv(build.add(final, e.int(lanes)), e.int(lanes)), e.int(vectors))
        with e.loop(needed, vectors) as v, e.loop(0, even) as i:
            to = build.add(build.mul(i, e.int(width)), build.mul(v, e.int(lanes)))
            e.store(zero(ir.VectorType(kind, lanes)), into, to)
        with e.loop(0, needed) as v:
            first = build.mul(v, e.int(lanes))
            there = lane_mask(e, build.sub(columns, first), kind, lanes)
            lines = [  # instead of those beyond the matrix, its last column is read
                build.freeze(e.at(b, build.mul(least(e, build.add(first, e.int(row)), final), column_stride), kind))
                for row in range(lanes)
            ]
            with e.loop(0, even, step) as i:
                read = turned_part(e, kind, lambda row, count: e.load(lines[row], i, kind, count), lanes)
                for line, value in enumerate(read):
                    value = build.select(there, value, zero(value.type))
                    e.store(value, into, build.add(build.mul(build.add(i, e.int(line)), e.int(width)), first))
    with e.loop(even, k) as i:
        line, to = build.mul(i, row_stride), build.mul(i, e.int(width))
        with e.loop(0, width) as j:
            there = build.icmp_signed("<", j, columns)
            at = build.add(line, build.mul(build.select(there, j, e.int(0)), column_stride))
            value = build.select(there, e.load(b, at, kind), zero(kind))
            e.store(value, into, build.add(to, j))
    build.ret_void()
    return made


def pack_a(e: Emitter, kind: ir.Type, rows: int, unit: str) -> ir.Function:
    """`void pack(rows, k, a, row_stride, column_stride, into)`: panels of the tile's rows, k columns of them.

    `unit` as in `pack_b`.  Rows beyond the matrix are any numbers.
    """
    name = f"payback.pack_a.{suffix(kind)}.{rows}.{unit}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, PACKS)
    count, k, a, row_stride, column_stride, into = made.args
    build, lanes = e.b, lanes_of(kind)
    starts = range(0, rows, lanes)
    if unit == "row":
        with e.loop(0, k, FAR_APART) as k0:
            stop = least(e, build.add(k0, e.int(FAR_APART)), k)
            with e.loop(0, count, rows) as i0:
                left = build.sub(count, i0)
                masks = [lane_mask(e, build.sub(left, e.int(start)), kind, lanes) for start in starts]
                with e.loop(k0, stop) as j:
                    line = e.at(a, build.add(build.mul(j, column_stride), i0), kind)
                    to = e.at(into, build.add(build.mul(i0, k), build.mul(j, e.int(rows))), kind)
                    for start, mask in zip(starts, masks, strict=True):
                        value = masked_load(e, e.at(line, start, kind), kind, lanes, mask)
                        for first, size in pieces(min(rows - start, lanes)):
                            e.store(take(e, value, first, size), to, start + first)
        build.ret_void()
        return made
    with e.loop(0, count, rows) as i0:
        final = build.sub(count, e.int(1))
        numbers = [least(e, build.add(i0, e.int(r)), final) for r in range(rows)]
        lines = [build.freeze(e.at(a, build.mul(number, row_stride), kind)) for number in numbers]
        target = build.freeze(e.at(into, build.mul(i0, k), kind))
        even = build.and_(k, e.int(-lanes)) if unit == "column" else e.int(0)
        if unit == "column":
            with e.loop(0, even, lanes) as j:
                for start, size in together(rows, kind):
                    values = [e.load(line, j, kind, lanes) for line in lines[start : start + size]]
                    for column, value in columns_of(e, kind, values):
                        to = build.add(build.mul(build.add(j, e.int(column)), e.int(rows)), e.int(start))
                        e.store(value, target, to)
        with e.loop(even, k) as j:
            to = e.at(target, build.mul(j, e.int(rows)), kind)
            for r, line in enumerate(lines):
                e.store(e.load(line, build.mul(j, column_stride), kind), to, r)
    build.ret_void()
    return made
