"""Matrix products as machine code: C = A·B for any strides, with what follows the product done before it is stored.

Every element of C is summed in one order, whatever the blocking, the register tile, the width of vectors or the number
of threads: K is cut into blocks of `K_BLOCK`; within a block the products are added one after another by fused
multiply-add, from 0; the blocks' sums are added in ascending order.  So |error| ≤ γₙ·(|A|·|B|) with
n = K_BLOCK + ⌈K / K_BLOCK⌉ (Higham, Accuracy and Stability of Numerical Algorithms, §3.1 and §4.2).

The loops are those of Goto and van de Geijn (Anatomy of high-performance matrix multiplication, 2008) as in BLIS: a
tile of C in registers, a panel of B in the first cache, a block of A in the second.  Sizes and strides are run-time
values: a kernel is emitted once per (dtype, tile, epilogue) and compile time does not grow with depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir

from payback.native.emit import BIT, INT, POINTER, Emitter, host_features, lanes_of, llvm_type, suffix
from payback.native.packing import SLACK, function, least, most, pack_a, pack_b
from payback.native.place import Place, integer, lane_mask, masked_load, zero

K_BLOCK = 256


@dataclass(frozen=True)
class Epilogue:
    """What is done with a vector of results before it is stored.

    `emit(place, value, extra)` returns what is stored in C, or None to store nothing (C is still needed where
    K > K_BLOCK: longer sums are kept there between blocks).  `extra` are run-time arguments of the types `kinds`.
    Equal names mean equal code.
    """

    name: str
    kinds: tuple[ir.Type, ...]
    emit: Callable[[Place, ir.Value, Sequence[ir.Value]], ir.Value | None]


def registers() -> int:
    """How many vector registers the host has."""
    features = host_features()
    return 32 if features.get("avx512f") or features.get("neon") else 16


def has_fma() -> bool:
    features = host_features()
    return bool(features.get("fma") or features.get("avx512f") or features.get("neon"))


def tile(kind: ir.Type) -> tuple[int, int]:
    """Rows and vectors per row of the register tile: 6 × 2 with 16 registers, 12 × 2 with 32."""
    return 3 * registers() // 8, 2


def multiply_add(e: Emitter, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c, rounded once where the host can."""
    return e.fma(a, b, c) if has_fma() else e.b.fadd(e.b.fmul(a, b), c)


def accumulate(
    e: Emitter, kind: ir.Type, rows: int, vectors: int, count: ir.Value | None, k: ir.Value,
    a: ir.Value, a_row: ir.Value, a_column: ir.Value, b: ir.Value, b_row: ir.Value,
) -> list[list[ir.Value]]:  # fmt: skip
    """A tile of A·B summed over k in registers; of the last vector `count` lanes exist."""
    build, lanes = e.b, lanes_of(kind)
    vector = ir.VectorType(kind, lanes)
    mask = None if count is None else lane_mask(e, count, kind, lanes)
    row_of_a = [e.at(a, build.mul(a_row, e.int(i)), kind) if i else a for i in range(rows)]
    before, body, after = build.block, build.append_basic_block("k"), build.append_basic_block("summed")
    build.cbranch(build.icmp_signed(">", k, e.int(0)), body, after)
    build.position_at_end(body)
    left, at_a, at_b = (build.phi(INT) for _ in range(3))
    sums = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    from_b = e.at(b, at_b, kind)
    b_values = [e.load(from_b, j * lanes, kind, lanes) for j in range(vectors - (mask is not None))]
    if mask is not None:
        b_values.append(masked_load(e, e.at(from_b, (vectors - 1) * lanes, kind), kind, lanes, mask))
    new = []
    for i in range(rows):
        a_value = e.splat(e.load(row_of_a[i], at_a, kind), lanes)
        new.append([multiply_add(e, a_value, b_values[j], sums[i][j]) for j in range(vectors)])
    fewer = build.sub(left, e.int(1))
    for phi, start, then in (
        (left, k, fewer),
        (at_a, e.int(0), build.add(at_a, a_column)),
        (at_b, e.int(0), build.add(at_b, b_row)),
    ):
        phi.add_incoming(start, before)
        phi.add_incoming(then, body)
    for i in range(rows):
        for j in range(vectors):
            sums[i][j].add_incoming(zero(vector), before)
            sums[i][j].add_incoming(new[i][j], body)
    build.cbranch(build.icmp_signed(">", fewer, e.int(0)), body, after)
    build.position_at_end(after)
    result = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    for i in range(rows):
        for j in range(vectors):
            result[i][j].add_incoming(zero(vector), before)
            result[i][j].add_incoming(new[i][j], body)
    return result


def edge_tile(e: Emitter, kind: ir.Type, rows: int, vectors: int) -> ir.Function:
    """`void tile(k, count, a, a_row, a_column, b, b_row, into)`: a tile whose last vector has `count` lanes.

    It goes to memory, row after row of `vectors` whole vectors.  Emitted once, whatever follows the product.
    """
    name = f"payback.tile.{suffix(kind)}.{rows}x{vectors}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [INT, INT, POINTER, INT, INT, POINTER, INT, POINTER])
    k, count, a, a_row, a_column, b, b_row, into = made.args
    sums = accumulate(e, kind, rows, vectors, count, k, a, a_row, a_column, b, b_row)
    for i in range(rows):
        for j in range(vectors):
            e.store(sums[i][j], into, (i * vectors + j) * lanes_of(kind))
    e.b.ret_void()
    return made


@dataclass(frozen=True)
class Plan:
    """How a product is run; everything that is fixed when code is emitted.  `plan` chooses one by a product's shape."""

    dtype: np.dtype[Any]
    rows: int  # of the register tile
    vectors: int
    down: bool = False  # run as Cᵀ = Bᵀ·Aᵀ
    a_unit: str = "column"  # which stride of A is 1 (after `down`): "row", "column" or "none"
    b_unit: str = "column"
    c_unit: bool = True  # lanes are neighbors in C
    pack_a: bool = False
    pack_b: bool = False
    blocked: bool = False  # K > K_BLOCK
    accumulate: bool = False  # C += A·B
    split: str | None = None  # threads share the "rows" or the "columns" (after `down`)

    @property
    def row_counts(self) -> list[int]:
        """The numbers of rows of the tiles there is code for, largest first."""
        if self.rows <= 6:
            return list(range(self.rows, 0, -1))
        return [self.rows, *(n for n in (8, 6, 4, 3, 2, 1) if n < self.rows)]

    @property
    def blocks(self) -> tuple[int, int]:
        """Rows of A in a block (half of a usual second cache), columns of B in a block (a part of the third)."""
        size = self.dtype.itemsize
        rows = 196608 // (K_BLOCK * size)
        return max(rows // self.rows, 1) * self.rows, 4194304 // (K_BLOCK * size)

    @property
    def bytes_of_a(self) -> int:
        return self.blocks[0] * K_BLOCK * self.dtype.itemsize + SLACK

    def scratch(self, m: int, n: int, k: int) -> int:
        """Bytes that each thread needs to work in: 0, or a multiple of 64."""
        n, k, width = m if self.down else n, min(k, K_BLOCK), self.vectors * lanes_of(llvm_type(self.dtype))
        of_b = -(-min(n, self.blocks[1]) // width) * width * k * self.dtype.itemsize + SLACK
        size = (self.bytes_of_a if self.pack_a else 0) + (of_b if self.pack_b else 0)
        return -(-size // 64) * 64


def plan(
    dtype: Any, m: int, n: int, k: int, a: Sequence[int], b: Sequence[int], c: Sequence[int], *,
    accumulate: bool = False, threads: bool = False,
) -> Plan:  # fmt: skip
    """The plan for a product of these sizes and strides (rows, columns; in elements), by a fixed table."""
    dtype = np.dtype(dtype)
    kind = llvm_type(dtype)
    lanes, size = lanes_of(kind), dtype.itemsize
    rows, vectors = tile(kind)
    down = (n < m and 2 * n < lanes) or (n == 1 and m > 1)
    if down:
        m, n, a, b, c = n, m, (b[1], b[0]), (a[1], a[0]), (c[1], c[0])
    if 2 * m < rows + 2:  # few rows: a low and wide tile
        rows, vectors = max(m, 1), rows * vectors // max(m, 1)
    vectors = max(min(vectors, -(-n // lanes)), 1)
    a_unit = unit(a, m, k)
    b_unit = unit(b, k, n)
    far = (m * k + k * n) * size > 131072
    width = vectors * lanes
    return Plan(
        dtype, rows, vectors, down, a_unit, b_unit, c[1] == 1 or n == 1,
        pack_a=far and n > 4 * width,
        pack_b=b_unit != "column" or (far and m > 4 * rows),
        blocked=k > K_BLOCK,
        accumulate=accumulate,
        split=None if not threads else "rows" if m // rows >= n // width else "columns",
    )  # fmt: skip


def unit(strides: Sequence[int], rows: int, columns: int) -> str:
    """Which stride of a matrix is 1; that of a side of length 1 may be any."""
    if strides[1] == 1 or columns <= 1:
        return "column"
    return "row" if strides[0] == 1 or rows <= 1 else "none"


def gemm(e: Emitter, plan: Plan, epilogue: Epilogue | None = None) -> ir.Function:
    """`void product(M, N, K, A, row, column, B, row, column, C, row, column, scratch, thread, threads, *extra)`.

    Strides are in elements.  With `plan.down` M and N, A and B are exchanged (`call` does that), C's strides are not.
    """
    name = f"payback.product.{plan_name(plan)}.{epilogue.name if epilogue else 'none'}"
    if name in e.module.globals:
        return e.module.globals[name]
    extra_kinds = epilogue.kinds if epilogue else ()
    edge = _edges(e, plan, epilogue, name)
    e, made = function(e, name, [INT, INT, INT, *[POINTER, INT, INT] * 3, POINTER, INT, INT, *extra_kinds])
    m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column, scratch, thread, threads, *extra = made.args
    build, kind = e.b, llvm_type(plan.dtype)
    lanes, zero_index = lanes_of(kind), e.int(0)
    width = plan.vectors * lanes
    m0, m1, n0, n1 = zero_index, m, zero_index, n
    if plan.split == "rows":
        m0, m1 = _share(e, m, plan.rows, thread, threads)
    elif plan.split == "columns":
        n0, n1 = _share(e, n, width, thread, threads)
    block_rows, block_columns = plan.blocks
    packed_a = scratch
    packed_b = scratch
    if plan.pack_a:  # B comes after A's block
        packed_b = e.at(scratch, plan.bytes_of_a // plan.dtype.itemsize, kind)
    with (
        e.loop(n0, n1, block_columns) if plan.pack_b else _once(n0) as jc,
        e.loop(0, most(e, k, e.int(1)), K_BLOCK) if plan.blocked else _once(zero_index) as k0,
    ):
        columns = least(e, e.int(block_columns), build.sub(n1, jc)) if plan.pack_b else build.sub(n1, jc)
        depth = least(e, e.int(K_BLOCK), build.sub(k, k0)) if plan.blocked else k
        first = build.icmp_signed("==", k0, zero_index)
        last = build.icmp_signed(">=", build.add(k0, depth), k)
        b_block = e.at(b, build.add(build.mul(k0, b_row), build.mul(jc, b_column)), kind)
        if plan.pack_b:
            pack = pack_b(e, kind, plan.vectors, plan.b_unit)
            build.call(pack, [depth, columns, b_block, b_row, b_column, packed_b])
        with e.loop(m0, m1, block_rows) if plan.pack_a else _once(m0) as ic:
            rows = least(e, e.int(block_rows), build.sub(m1, ic)) if plan.pack_a else build.sub(m1, ic)
            a_block = e.at(a, build.add(build.mul(ic, a_row), build.mul(k0, a_column)), kind)
            if plan.pack_a:
                pack = pack_a(e, kind, plan.rows, plan.a_unit)
                build.call(pack, [rows, depth, a_block, a_row, a_column, packed_a])
            # Strides inside a tile, and from tile to tile, of what was packed or not.
            if not plan.pack_a:
                tile_a, row_a, column_a, step_a = a_block, a_row, a_column, a_row
            elif plan.a_unit == "row":
                tile_a, row_a, column_a, step_a = packed_a, e.int(1), e.int(plan.rows), depth
            else:
                tile_a, row_a, column_a, step_a = packed_a, depth, e.int(1), depth
            full_rows = build.sub(rows, build.srem(rows, e.int(plan.rows)))
            with e.loop(0, columns, width) as j:
                panel = e.at(packed_b, build.mul(j, depth), kind) if plan.pack_b else e.at(b_block, j, kind)
                row_b = e.int(width) if plan.pack_b else b_row
                left = least(e, build.sub(columns, j), e.int(width))
                whole = build.icmp_signed("==", left, e.int(width))
                full = build.select(whole, full_rows, zero_index)
                column = build.add(jc, j)
                with e.loop(0, full, plan.rows) as i:
                    at = e.at(tile_a, build.mul(i, step_a), kind)
                    sums = accumulate(e, kind, plan.rows, plan.vectors, None, depth, at, row_a, column_a, panel, row_b)
                    row = build.add(ic, i)
                    found = [
                        (_place(e, plan, build.add(row, e.int(r)), build.add(column, e.int(v * lanes)), None), value)
                        for r, line in enumerate(sums)
                        for v, value in enumerate(line)
                    ]
                    _finish(e, plan, epilogue, found, first, last, c, _strides(plan, c_row, c_column), extra)
                with e.loop(full, rows, plan.rows) as i:
                    at = e.at(tile_a, build.mul(i, step_a), kind)
                    some = least(e, build.sub(rows, i), e.int(plan.rows))
                    where = [some, left, depth, at, row_a, column_a, panel, row_b, build.add(ic, i), column]
                    build.call(edge, [*where, first, last, c, c_row, c_column, *extra])
    build.ret_void()
    return made


@contextmanager
def _once(value: ir.Value) -> Iterator[ir.Value]:
    yield value


def _share(e: Emitter, total: ir.Value, unit: int, thread: ir.Value, threads: ir.Value) -> tuple[ir.Value, ir.Value]:
    """This thread's part of range(total), cut at multiples of `unit`."""
    b = e.b
    units = b.udiv(b.add(total, e.int(unit - 1)), e.int(unit))
    start = b.udiv(b.mul(thread, units), threads)
    stop = b.udiv(b.mul(b.add(thread, e.int(1)), units), threads)
    return b.mul(start, e.int(unit)), least(e, b.mul(stop, e.int(unit)), total)


def plan_name(plan: Plan) -> str:
    """A name that tells a plan's code from all others'."""
    flags = "down", "c_unit", "pack_a", "pack_b", "blocked", "accumulate"
    set_flags = "-".join(flag for flag in flags if getattr(plan, flag))
    return f"{plan.dtype}.{plan.rows}x{plan.vectors}.{plan.a_unit}.{plan.b_unit}.{set_flags}.{plan.split}"


def _place(e: Emitter, plan: Plan, row: ir.Value, column: ir.Value, count: ir.Value | None) -> Place:
    """The place of a vector of the product that is run, in the product as written."""
    kind = llvm_type(plan.dtype)
    if plan.down:
        row, column = column, row
    return Place(e, kind, lanes_of(kind), row, column, count, plan.down)


def _strides(plan: Plan, c_row: ir.Value, c_column: ir.Value) -> tuple[Any, Any]:
    if not plan.c_unit:
        return c_row, c_column
    return (1, c_column) if plan.down else (c_row, 1)


def _finish(e: Emitter, plan: Plan, epilogue: Epilogue | None, sums, first, last, c, strides, extra) -> None:
    """Vectors of sums and their places: add what C holds, run the epilogue, store."""
    b = e.b

    def end() -> None:
        for place, value in sums:
            value = value if epilogue is None else epilogue.emit(place, value, extra)
            if value is not None:
                place.store(value, c, *strides)

    if plan.accumulate:
        sums = [(place, b.fadd(place.load(c, *strides), value)) for place, value in sums]
    elif plan.blocked:
        before, add, after = b.block, b.append_basic_block("add"), b.append_basic_block("added")
        b.cbranch(first, after, add)
        b.position_at_end(add)
        added = [b.fadd(place.load(c, *strides), value) for place, value in sums]
        add = b.block
        b.branch(after)
        b.position_at_end(after)
        merged = []
        for (place, old), new in zip(sums, added, strict=True):
            phi = b.phi(old.type)
            phi.add_incoming(old, before)
            phi.add_incoming(new, add)
            merged.append((place, phi))
        sums = merged
    if not plan.blocked or epilogue is None:
        end()
        return
    with b.if_else(last) as (yes, no):
        with yes:
            end()
        with no:
            for place, value in sums:
                place.store(value, c, *strides)


def _edges(e: Emitter, plan: Plan, epilogue: Epilogue | None, name: str) -> ir.Function:
    """The function for a tile that is not whole: code for each size puts the sums into memory, one loop does the rest."""
    kind = llvm_type(plan.dtype)
    lanes = lanes_of(kind)
    tiles = [[edge_tile(e, kind, r, v) for v in range(1, plan.vectors + 1)] for r in plan.row_counts]
    kinds = [INT, INT, INT, POINTER, INT, INT, POINTER, INT, INT, INT, BIT, BIT, POINTER, INT, INT]
    e, made = function(e, f"{name}.edge", [*kinds, *(epilogue.kinds if epilogue else ())])
    rows, columns, k, a, a_row, a_column, b, b_row, row, column, first, last, c, c_row, c_column, *extra = made.args
    build = e.b
    sums = build.alloca(ir.ArrayType(ir.VectorType(kind, lanes), plan.rows * plan.vectors))
    sums.type = POINTER
    strides = _strides(plan, c_row, c_column)
    vectors = build.udiv(build.add(columns, e.int(lanes - 1)), e.int(lanes))
    rest = build.sub(columns, build.mul(build.sub(vectors, e.int(1)), e.int(lanes)))  # lanes of the last vector
    entry, head, body, end = build.block, *(build.append_basic_block(x) for x in ("rows", "tile", "end"))
    build.branch(head)
    build.position_at_end(head)
    done = build.phi(INT)
    done.add_incoming(e.int(0), entry)
    remaining = build.sub(rows, done)
    build.cbranch(build.icmp_signed(">", remaining, e.int(0)), body, end)
    build.position_at_end(body)
    size = e.int(1)
    for count in reversed(plan.row_counts[:-1]):
        size = build.select(build.icmp_signed(">=", remaining, e.int(count)), e.int(count), size)
    at = e.at(a, build.mul(done, a_row), kind)
    joined = build.append_basic_block("summed")
    which = build.switch(build.add(build.mul(size, e.int(16)), vectors), joined)
    for count, row_of_tiles in zip(plan.row_counts, tiles, strict=True):
        for v, tile_function in enumerate(row_of_tiles, 1):
            block = build.append_basic_block(f"tile{count}x{v}")
            which.add_case(e.int(count * 16 + v), block)
            build.position_at_end(block)
            build.call(tile_function, [k, rest, at, a_row, a_column, b, b_row, sums])
            build.branch(joined)
    build.position_at_end(joined)

    partial = build.icmp_signed("<", rest, e.int(lanes))
    with e.loop(0, size) as r:
        line = e.at(sums, build.mul(build.mul(r, vectors), e.int(lanes)), kind)
        this_row = build.add(row, build.add(done, r))

        def finish(j: ir.Value, count: ir.Value | None) -> None:
            at = build.mul(j, e.int(lanes))
            place = _place(e, plan, this_row, build.add(column, at), count)
            value = e.load(line, at, kind, lanes)
            _finish(e, plan, epilogue, [(place, value)], first, last, c, strides, extra)

        with e.loop(0, build.select(partial, build.sub(vectors, e.int(1)), vectors)) as j:
            finish(j, None)
        with build.if_then(partial):
            finish(build.sub(vectors, e.int(1)), rest)
    done.add_incoming(build.add(done, size), build.block)
    build.branch(head)
    build.position_at_end(end)
    build.ret_void()
    return made


def call(
    e: Emitter, plan: Plan, m: Any, n: Any, k: Any, a: Sequence[Any], b: Sequence[Any], c: Sequence[Any],
    scratch: ir.Value | None = None, thread: Any = 0, threads: Any = 1,
    epilogue: Epilogue | None = None, extra: Sequence[ir.Value] = (),
) -> None:  # fmt: skip
    """Emit C = A·B with C of m rows and n columns: a, b, c are (pointer, row stride, column stride).

    `scratch` points to this thread's `plan.scratch(m, n, k)` bytes; a thread does its part of C (`plan.split`).
    """
    if plan.down:
        m, n = n, m
        a, b = (b[0], b[2], b[1]), (a[0], a[2], a[1])
    sizes = [integer(e, x) for x in (m, n, k)]
    arrays = [integer(e, x) if i else x for array in (a, b, c) for i, x in enumerate(array)]
    scratch = ir.Constant(POINTER, None) if scratch is None else scratch
    arguments = [*sizes, *arrays, scratch, integer(e, thread), integer(e, threads), *extra]
    e.b.call(gemm(e, plan, epilogue), arguments)
