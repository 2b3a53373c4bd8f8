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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from llvmlite import ir

from payback.native.emit import BIT, BYTE, INT, INT32, POINTER, Emitter, host_features, lanes_of, llvm_type, suffix
from payback.native.packing import PACKER, SLACK, function, least, most, pack_a, pack_b, pointer_to
from payback.native.place import Place, integer, lane_mask, masked_load

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


def tile() -> tuple[int, int]:
    """Rows and vectors per row of the register tile: 6 × 2 with 16 registers, 12 × 2 with 32."""
    return 3 * registers() // 8, 2


def multiply_add(e: Emitter, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c, rounded once where the host can."""
    return e.fma(a, b, c) if has_fma() else e.b.fadd(e.b.fmul(a, b), c)


def prefetch(e: Emitter, pointer: ir.Value) -> None:
    """Bring a line that will be written into the first cache."""
    name = "llvm.prefetch.p0"
    function = e.module.globals.get(name) or ir.Function(
        e.module, ir.FunctionType(ir.VoidType(), [POINTER, INT32, INT32, INT32]), name
    )
    e.b.call(function, [pointer, *(ir.Constant(INT32, x) for x in (1, 3, 1))])


def accumulate(
    e: Emitter, kind: ir.Type, rows: int, vectors: int, some: tuple[ir.Value, ir.Value] | None, k: ir.Value,
    a: ir.Value, a_row: ir.Value, a_column: ir.Value, b: ir.Value, b_row: ir.Value,
) -> list[list[ir.Value]]:  # fmt: skip
    """A tile of A·B summed over k in registers.

    Where only `some` (rows, columns) of it exist, the rest is not C's: the last row once more, columns of zeros."""
    build, lanes = e.b, lanes_of(kind)
    vector = ir.VectorType(kind, lanes)
    masks = [None] * vectors
    numbers = [e.int(i) for i in range(rows)]
    if some is not None:
        masks = [lane_mask(e, build.sub(some[1], e.int(j * lanes)), kind, lanes) for j in range(vectors)]
        final = build.sub(some[0], e.int(1))
        numbers = [least(e, i, final) for i in numbers]
    row_of_a = [e.at(a, build.mul(a_row, i), kind) for i in numbers]
    before, body, after = build.block, build.append_basic_block("k"), build.append_basic_block("summed")
    build.cbranch(build.icmp_signed(">", k, e.int(0)), body, after)
    build.position_at_end(body)
    left, at_a, at_b = (build.phi(INT) for _ in range(3))
    sums = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    from_b = e.at(b, at_b, kind)
    b_values = [
        e.load(from_b, j * lanes, kind, lanes)
        if mask is None
        else masked_load(e, e.at(from_b, j * lanes, kind), kind, lanes, mask)
        for j, mask in enumerate(masks)
    ]
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
    build.cbranch(build.icmp_signed(">", fewer, e.int(0)), body, after)
    build.position_at_end(after)
    nothing = ir.Constant(vector, None)
    result = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
    for i in range(rows):
        for j in range(vectors):
            for phi in (sums[i][j], result[i][j]):
                phi.add_incoming(nothing, before)
                phi.add_incoming(new[i][j], body)
    return result


def edge_tile(e: Emitter, kind: ir.Type, rows: int, vectors: int) -> ir.Function:
    """`void tile(rows, columns, k, a, a_row, a_column, b, b_row, into)`: a tile of which not all exists.

    It goes to memory, row after row of `vectors` whole vectors.  Emitted once, whatever follows the product.
    """
    name = f"payback.tile.{suffix(kind)}.{rows}x{vectors}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [INT, INT, INT, POINTER, INT, INT, POINTER, INT, POINTER])
    *some, k, a, a_row, a_column, b, b_row, into = made.args
    sums = accumulate(e, kind, rows, vectors, tuple(some), k, a, a_row, a_column, b, b_row)
    for i in range(rows):
        for j in range(vectors):
            e.store(sums[i][j], into, (i * vectors + j) * lanes_of(kind))
    e.b.ret_void()
    return made


@dataclass(frozen=True)
class Plan:
    """How a product is run; all that is fixed when code is emitted.  `plan` chooses one by a product's shape.

    Plans that agree in the fields that are compared have one function.
    """

    dtype: np.dtype[Any]
    rows: int  # of the register tile
    vectors: int
    down: bool = False  # run as Cᵀ = Bᵀ·Aᵀ
    c_unit: bool = True  # lanes are neighbors in C
    pack_a: bool = False
    pack_b: bool = False
    blocked: bool = False  # K may be more than K_BLOCK
    accumulate: bool = False  # C += A·B
    a_unit: str = field(default="column", compare=False)  # which stride is 1 (after `down`): "row", "column" or "none"
    b_unit: str = field(default="column", compare=False)
    split: str = field(default="rows", compare=False)  # what threads share (after `down`): "rows" or "columns"

    @property
    def name(self) -> str:
        flags = ("down", "c_unit", "pack_a", "pack_b", "blocked", "accumulate")
        return ".".join([f"{self.dtype}.{self.rows}x{self.vectors}", *(flag for flag in flags if getattr(self, flag))])

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * lanes_of(llvm_type(self.dtype))

    @property
    def edges(self) -> list[tuple[int, int]]:
        """The (rows, vectors) of tiles for what does not fill a whole one, smallest first.

        A tile of few chains of fused multiply-adds waits for their latency: below 8 chains a smaller one is no faster.
        """
        sizes = {(self.rows, self.vectors)}
        if self.vectors == 2:
            sizes |= {(rows, 2) for rows in (4, 8) if rows < self.rows} | {(self.rows, 1)}
        return sorted(sizes, key=lambda size: (size[1], size[0]))

    @property
    def block_rows(self) -> int:
        """Rows of A that are packed at a time: they fill about half of a usual second cache."""
        return max(196608 // (K_BLOCK * self.dtype.itemsize * self.rows), 1) * self.rows

    def block_columns(self, k: int) -> int:
        """Columns of B that are packed at a time: in the third cache, or the first where A is not packed for them."""
        size = 4194304 if self.pack_a else 16384
        return max(size // (max(min(k, K_BLOCK), 1) * self.dtype.itemsize * self.width), 1) * self.width

    @property
    def bytes_of_a(self) -> int:
        return self.block_rows * K_BLOCK * self.dtype.itemsize + SLACK

    def scratch(self, m: int, n: int, k: int) -> int:
        """Bytes that each thread needs to work in: 0, or a multiple of 64."""
        if not self.pack_b:
            return 0
        columns = min(-(-(m if self.down else n) // self.width) * self.width, self.block_columns(k))
        size = columns * min(k, K_BLOCK) * self.dtype.itemsize + SLACK + (self.bytes_of_a if self.pack_a else 0)
        return -(-size // 64) * 64


def plan(
    dtype: Any, m: int, n: int, k: int, a: Sequence[int], b: Sequence[int], c: Sequence[int], accumulate: bool = False
) -> Plan:  # fmt: skip
    """The plan for a product of these sizes and strides (of rows, of columns; in elements), by a fixed table."""
    dtype = np.dtype(dtype)
    lanes, size = lanes_of(llvm_type(dtype)), dtype.itemsize
    rows, vectors = tile()
    down = (n < m and 2 * n < lanes) or (n == 1 and m > 1)
    if down:
        m, n, a, b, c = n, m, (b[1], b[0]), (a[1], a[0]), (c[1], c[0])
    if 2 * m <= rows:  # few rows: a low and wide tile, of 8 chains at least
        rows = max(m, 1)
        vectors = max(min(-(-8 // rows), -(-n // lanes)), 1)
    far = (m * k + k * n) * size > 131072  # does not stay in the second cache, beside C
    width = vectors * lanes
    b_unit = unit(b, k, n)
    pack_a = far and n > 4 * width and m > rows
    pack_b = pack_a or b_unit != "column" or (far and m > 4 * rows)
    return Plan(
        dtype, rows, vectors, down, c[1] == 1 or n == 1, pack_a, pack_b, pack_b or k > K_BLOCK, accumulate,
        a_unit=unit(a, m, k), b_unit=b_unit, split="rows" if m // rows >= n // width else "columns",
    )  # fmt: skip


def unit(strides: Sequence[int], rows: int, columns: int) -> str:
    """Which stride of a matrix is 1; that of a side of length 1 may be any."""
    if strides[1] == 1 or columns <= 1:
        return "column"
    return "row" if strides[0] == 1 or rows <= 1 else "none"


def gemm(e: Emitter, plan: Plan, epilogue: Epilogue | None = None) -> ir.Function:
    """The function of a plan and an epilogue, for any sizes and strides; `call` knows its arguments.

    `void product(row, rows, column, columns, K, A, row stride, column stride, B, …, …, C, …, …, *packing, *extra)`
    makes the part C[row:rows, column:columns].  `packing` is (), or (scratch, columns of a block, function that packs
    B), and with `pack_a` also (function that packs A, does it make panels).
    """
    name = f"payback.product.{plan.name}.{epilogue.name if epilogue else 'none'}"
    if name in e.module.globals:
        return e.module.globals[name]
    edge = _edges(e, plan, epilogue, name)
    packing = [POINTER, INT, PACKER] * plan.pack_b + [PACKER, BIT] * plan.pack_a
    kinds = [INT] * 5 + [POINTER, INT, INT] * 3 + packing + list(epilogue.kinds if epilogue else ())
    e, made = function(e, name, kinds)
    m0, m1, n0, n1, k, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column, *more = made.args
    packing, extra = more[: len(packing)], more[len(packing) :]
    build, kind, nought = e.b, llvm_type(plan.dtype), e.int(0)
    lanes, strides = lanes_of(kind), _strides(plan, c_row, c_column)
    block_columns = n1
    if plan.pack_b:
        scratch, block_columns, packs_b = packing[:3]
        packed_b = e.at(scratch, plan.bytes_of_a if plan.pack_a else 0, BYTE)
    if plan.pack_a:
        packs_a, panels = packing[3:]
    with (
        e.loop(n0, n1, block_columns) if plan.pack_b else _once(n0) as jc,
        e.loop(0, most(e, k, e.int(1)), K_BLOCK) if plan.blocked else _once(nought) as k0,
    ):
        columns, depth, first, last = build.sub(n1, jc), k, None, None
        if plan.blocked:
            depth = least(e, e.int(K_BLOCK), build.sub(k, k0))
            first, last = build.icmp_signed("==", k0, nought), build.icmp_signed(">=", build.add(k0, depth), k)
        b_block = e.at(b, build.add(build.mul(k0, b_row), build.mul(jc, b_column)), kind)
        if plan.pack_b:
            columns = least(e, block_columns, columns)
            build.call(packs_b, [columns, depth, b_block, b_row, b_column, packed_b])
        with e.loop(m0, m1, plan.block_rows) if plan.pack_a else _once(m0) as ic:
            rows = build.sub(m1, ic)
            a_block = e.at(a, build.add(build.mul(ic, a_row), build.mul(k0, a_column)), kind)
            row_a, column_a, step_a = a_row, a_column, a_row  # strides inside a tile, and from tile to tile
            if plan.pack_a:
                rows = least(e, e.int(plan.block_rows), rows)
                build.call(packs_a, [rows, depth, a_block, a_row, a_column, scratch])
                a_block, step_a = scratch, depth
                row_a = build.select(panels, e.int(1), depth)
                column_a = build.select(panels, e.int(plan.rows), e.int(1))
            full_rows = build.sub(rows, build.srem(rows, e.int(plan.rows)))
            with e.loop(0, columns, plan.width) as j:
                panel = e.at(packed_b, build.mul(j, depth), kind) if plan.pack_b else e.at(b_block, j, kind)
                row_b = e.int(plan.width) if plan.pack_b else b_row
                left = least(e, build.sub(columns, j), e.int(plan.width))
                full = build.select(build.icmp_signed("==", left, e.int(plan.width)), full_rows, nought)
                column = build.add(jc, j)
                with e.loop(0, full, plan.rows) as i:
                    at = e.at(a_block, build.mul(i, step_a), kind)
                    row = build.add(ic, i)
                    places = [
                        [
                            _place(e, plan, build.add(row, e.int(r)), build.add(column, e.int(v * lanes)), None)
                            for v in range(plan.vectors)
                        ]
                        for r in range(plan.rows)
                    ]
                    if plan.pack_a:  # C is far away: fetch its lines while the sums are made
                        for line in places:
                            prefetch(e, line[0].address(c, *strides, kind))
                    sums = accumulate(e, kind, plan.rows, plan.vectors, None, depth, at, row_a, column_a, panel, row_b)
                    found = [(place, sums[r][v]) for r, line in enumerate(places) for v, place in enumerate(line)]
                    _finish(e, plan, epilogue, found, first, last, c, strides, extra)
                with e.loop(full, rows, plan.rows) as i:
                    at = e.at(a_block, build.mul(i, step_a), kind)
                    some = least(e, build.sub(rows, i), e.int(plan.rows))
                    where = [some, left, depth, at, row_a, column_a, panel, row_b, build.add(ic, i), column]
                    build.call(edge, [*where, *((first, last) if plan.blocked else ()), c, c_row, c_column, *extra])
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
    """The function for a tile that is not whole: code for its size puts the sums into memory, a loop does the rest."""
    kind = llvm_type(plan.dtype)
    lanes = lanes_of(kind)
    flags = [BIT, BIT] * plan.blocked
    kinds = [INT, INT, INT, POINTER, INT, INT, POINTER, INT, INT, INT, *flags, POINTER, INT, INT]
    e, made = function(e, f"{name}.edge", [*kinds, *(epilogue.kinds if epilogue else ())])
    rows, columns, k, a, a_row, a_column, b, b_row, row, column, *more = made.args
    first, last = more[:2] if plan.blocked else (None, None)
    c, c_row, c_column, *extra = more[len(flags) :]
    build = e.b
    sums = build.alloca(ir.ArrayType(ir.VectorType(kind, lanes), plan.rows * plan.vectors))
    sums.type = POINTER
    strides = _strides(plan, c_row, c_column)
    where = [rows, columns, k, a, a_row, a_column, b, b_row, sums]
    end = build.append_basic_block("summed")
    widths = []
    for size in plan.edges:
        fits = build.and_(
            build.icmp_signed("<=", rows, e.int(size[0])), build.icmp_signed("<=", columns, e.int(size[1] * lanes))
        )
        use, pass_on = build.append_basic_block("use"), build.append_basic_block("larger")
        build.cbranch(fits, use, pass_on)
        build.position_at_end(use)
        build.call(edge_tile(e, kind, *size), where)
        build.branch(end)
        widths.append((e.int(size[1] * lanes), use))
        build.position_at_end(pass_on)
    build.unreachable()
    build.position_at_end(end)
    width = build.phi(INT)
    for incoming in widths:
        width.add_incoming(*incoming)
    with e.loop(0, rows) as r, e.loop(0, columns, lanes) as j:
        value = e.load(sums, build.add(build.mul(r, width), j), kind, lanes)
        count = least(e, build.sub(columns, j), e.int(lanes))
        place = _place(e, plan, build.add(row, r), build.add(column, j), count)
        _finish(e, plan, epilogue, [(place, value)], first, last, c, strides, extra)
    build.ret_void()
    return made


def call(
    e: Emitter, plan: Plan, m: Any, n: Any, k: Any, a: Sequence[Any], b: Sequence[Any], c: Sequence[Any], *,
    scratch: ir.Value | None = None, block_columns: Any = None, share: tuple[Any, Any] | None = None,
    epilogue: Epilogue | None = None, extra: Sequence[ir.Value] = (),
) -> None:  # fmt: skip
    """Emit C = A·B with C of m rows and n columns: a, b, c are (pointer, row stride, column stride).

    `scratch` points to `plan.scratch(m, n, k)` bytes, aligned to 64, other ones for each thread; `block_columns` is
    `plan.block_columns(k)`, needed only where k is a run-time value; `share` is (number of this thread, how many there
    are): it does its part of C.
    """
    if plan.pack_b and block_columns is None:
        block_columns = plan.block_columns(k)
    if plan.down:
        m, n = n, m
        a, b = (b[0], b[2], b[1]), (a[0], a[2], a[1])
    m, n, k = (integer(e, x) for x in (m, n, k))
    m0, m1, n0, n1 = e.int(0), m, e.int(0), n
    if share is not None:
        thread, threads = (integer(e, x) for x in share)
        if plan.split == "rows":
            m0, m1 = _share(e, m, plan.rows, thread, threads)
        else:
            n0, n1 = _share(e, n, plan.width, thread, threads)
    arguments = [m0, m1, n0, n1, k, *(integer(e, x) if i else x for array in (a, b, c) for i, x in enumerate(array))]
    if plan.pack_b:
        packs = pack_b(e, llvm_type(plan.dtype), plan.vectors, plan.b_unit)
        arguments += [scratch, integer(e, block_columns), pointer_to(packs)]
    if plan.pack_a:
        packs = pack_a(e, llvm_type(plan.dtype), plan.rows, plan.a_unit)
        arguments += [pointer_to(packs), ir.Constant(BIT, int(plan.a_unit == "row"))]
    e.b.call(gemm(e, plan, epilogue), [*arguments, *extra])
