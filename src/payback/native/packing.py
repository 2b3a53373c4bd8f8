"""Copies of blocks of a matrix in the order in which the register tile of a product reads them.

B goes into panels of a tile's columns, row after row; columns beyond the matrix are zeros.  A with unit column stride
keeps its rows, next to each other; A with unit row stride goes into panels of a tile's rows, column after column.
Some stores reach over the end of what they mean (the next one overwrites that): a buffer needs `SLACK` bytes more.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from payback.native.emit import INT, INT32, POINTER, Emitter, lanes_of, suffix
from payback.native.place import lane_mask, masked_load, zero

SLACK = 16384  # a square of vectors as wide as a panel, 16 rows of 4 vectors of 64 bytes, and alignment


PACKS = (INT, INT, POINTER, INT, INT, POINTER)  # rows of A or columns of B, k, from, row stride, column stride, into


class FunctionPointer(ir.PointerType):
    """A pointer that can be called (llvmlite's own prints a type that LLVM no longer reads)."""

    def __init__(self, pointee: ir.FunctionType):
        super().__init__()
        self.pointee = pointee


PACKER = FunctionPointer(ir.FunctionType(ir.VoidType(), PACKS))


def pointer_to(function: ir.Function) -> ir.Value:
    return ir.FormattedConstant(POINTER, function.get_reference())


def function(e: Emitter, name: str, kinds: Sequence[ir.Type]) -> tuple[Emitter, ir.Function]:
    """A new internal function and an emitter at its begin."""
    made = ir.Function(e.module, ir.FunctionType(ir.VoidType(), kinds), name)
    made.linkage = "internal"
    return Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry"))), made


def least(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.b.select(e.b.icmp_signed("<", x, y), x, y)


def most(e: Emitter, x: ir.Value, y: ir.Value) -> ir.Value:
    return e.b.select(e.b.icmp_signed(">", x, y), x, y)


def transpose(e: Emitter, rows: list[ir.Value]) -> list[ir.Value]:
    """A square of vectors transposed: first within pieces of 128 bits, then the pieces."""
    lanes, kind = len(rows), rows[0].type.element
    piece = min(lanes, {"float": 4, "double": 2}[str(kind)])

    def shuffle(x: ir.Value, y: ir.Value, order: list[int]) -> ir.Value:
        return e.b.shuffle_vector(x, y, ir.Constant(ir.VectorType(INT32, lanes), order))

    starts = range(0, lanes, piece)
    if piece == 2:
        low, high = [s + x for s in starts for x in (0, lanes)], [s + x for s in starts for x in (1, lanes + 1)]
        rows = [shuffle(rows[i - i % 2], rows[i - i % 2 + 1], high if i % 2 else low) for i in range(lanes)]
    else:
        low = [s + x for s in starts for x in (0, lanes, 1, lanes + 1)]
        high = [s + x for s in starts for x in (2, lanes + 2, 3, lanes + 3)]
        pairs_low = [s + x for s in starts for x in (0, 1, lanes, lanes + 1)]
        pairs_high = [s + x for s in starts for x in (2, 3, lanes + 2, lanes + 3)]
        made = []
        for i in range(0, lanes, 4):
            r = rows[i : i + 4]
            a, b = shuffle(r[0], r[1], low), shuffle(r[2], r[3], low)
            c, d = shuffle(r[0], r[1], high), shuffle(r[2], r[3], high)
            made += [shuffle(a, b, pairs_low), shuffle(a, b, pairs_high)]
            made += [shuffle(c, d, pairs_low), shuffle(c, d, pairs_high)]
        rows = made
    # Now piece p of rows[q·piece + r] is row q's part of what row p·piece + r of the result is: transpose the pieces.
    span = piece
    while span < lanes:
        first = [lane if not lane & span else lanes + lane - span for lane in range(lanes)]
        second = [lane + span if not lane & span else lanes + lane for lane in range(lanes)]
        rows = [
            shuffle(rows[i], rows[i + span], first) if not i & span else shuffle(rows[i - span], rows[i], second)
            for i in range(lanes)
        ]
        span *= 2
    return rows


def pack_b(e: Emitter, kind: ir.Type, vectors: int, unit: str) -> ir.Function:
    """`void pack(columns, k, b, row_stride, column_stride, into)`: panels of vectors·lanes columns.

    `unit` says which stride is 1: "column" (rows are contiguous), "row" (columns are) or "none".
    """
    name = f"payback.pack_b.{suffix(kind)}.{vectors}.{unit}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, PACKS)
    columns, k, b, row_stride, column_stride, into = made.args
    build, lanes = e.b, lanes_of(kind)
    width = lanes * vectors
    with e.loop(0, columns, width) as j0:
        count = least(e, build.sub(columns, j0), e.int(width))
        source = e.at(b, build.mul(j0, column_stride), kind)
        target = e.at(into, build.mul(j0, k), kind)
        whole = build.icmp_signed("==", count, e.int(width))
        if unit == "column":
            with build.if_else(whole) as (yes, no):
                for branch, masks in ((yes, None), (no, True)):
                    with branch:
                        if masks:
                            masks = [
                                lane_mask(e, build.sub(count, e.int(v * lanes)), kind, lanes) for v in range(vectors)
                            ]
                        with e.loop(0, k) as i:
                            line = e.at(source, build.mul(i, row_stride), kind)
                            for v in range(vectors):
                                at = e.at(line, v * lanes, kind)
                                value = (
                                    masked_load(e, at, kind, lanes, masks[v]) if masks else e.load(at, 0, kind, lanes)
                                )
                                e.store(value, target, build.add(build.mul(i, e.int(width)), e.int(v * lanes)))
        elif unit == "row":
            even = build.select(whole, build.and_(k, e.int(-lanes)), e.int(0))
            for start, stop, masked in ((e.int(0), even, False), (even, k, True)):
                with e.loop(start, stop, lanes) as i, e.loop(0, vectors) as v:
                    first = build.mul(v, e.int(lanes))
                    rows = []
                    if masked:
                        mask = lane_mask(e, build.sub(k, i), kind, lanes)
                        none = zero(mask.type)
                    for lane in range(lanes):
                        column = build.add(first, e.int(lane))
                        at = e.at(source, build.add(build.mul(column, column_stride), i), kind)
                        if masked:
                            there = build.icmp_signed("<", column, count)
                            rows.append(masked_load(e, at, kind, lanes, build.select(there, mask, none)))
                        else:
                            rows.append(e.load(at, 0, kind, lanes))
                    for lane, value in enumerate(transpose(e, rows)):
                        line = build.mul(build.add(i, e.int(lane)), e.int(width))
                        e.store(value, target, build.add(line, first))
        else:
            with e.loop(0, k) as i:
                line, to = build.mul(i, row_stride), build.mul(i, e.int(width))
                with e.loop(0, width) as j:
                    there = build.icmp_signed("<", j, count)
                    at = build.add(line, build.mul(build.select(there, j, e.int(0)), column_stride))
                    value = build.select(there, e.load(source, at, kind), zero(kind))
                    e.store(value, target, build.add(to, j))
    build.ret_void()
    return made


def pack_a(e: Emitter, kind: ir.Type, rows: int, unit: str) -> ir.Function:
    """`void pack(rows, k, a, row_stride, column_stride, into)`.

    `unit` "row": panels of the tile's rows, k columns of them; else rows one after another, k elements each.
    """
    name = f"payback.pack_a.{suffix(kind)}.{rows}.{unit}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, PACKS)
    count, k, a, row_stride, column_stride, into = made.args
    build, lanes = e.b, lanes_of(kind)
    if unit == "row":
        vectors = -(-rows // lanes)
        with e.loop(0, count, rows) as i0:
            left = build.sub(count, i0)
            target = e.at(into, build.mul(i0, k), kind)
            source = e.at(a, i0, kind)
            masks = [lane_mask(e, build.sub(left, e.int(v * lanes)), kind, lanes) for v in range(vectors)]
            with e.loop(0, k) as j:
                line, to = (
                    e.at(source, build.mul(j, column_stride), kind),
                    e.at(target, build.mul(j, e.int(rows)), kind),
                )
                for v in range(vectors):  # the last store of a column reaches into the next, which comes after it
                    e.store(masked_load(e, e.at(line, v * lanes, kind), kind, lanes, masks[v]), to, v * lanes)
    else:
        with e.loop(0, count) as i:
            source, target = e.at(a, build.mul(i, row_stride), kind), e.at(into, build.mul(i, k), kind)
            even = build.and_(k, e.int(-lanes)) if unit == "column" else e.int(0)
            if unit == "column":
                with e.loop(0, even, lanes) as j:
                    e.store(e.load(source, j, kind, lanes), target, j)
            with e.loop(even, k) as j:
                e.store(e.load(source, build.mul(j, column_stride), kind), target, j)
    build.ret_void()
    return made
