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
from dataclasses import replace
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, INT, POINTER, Emitter, lanes_of, llvm_type
from payback.native.lower.products.blocked.choice import BLOCK, K_BLOCK, LONG, Plan
from payback.native.lower.products.blocked.packing import (
    PACKER,
    SLACK,
    columns_of,
    function,
    least,
    most,
    pack_a,
    pack_b,
    together,
)
from payback.native.lower.products.blocked.packing_ahead import Ahead
from payback.native.lower.products.blocked.place import Place, integer
from payback.native.lower.products.blocked.tile import (
    accumulate,
    accumulate_packed,
    accumulate_turned,
    edge_tile,
    prefetch,
)


class Epilogue(NamedTuple):
    """What is done with a vector of results before it is stored.

    `emit(place, value, extra)` returns what is stored in C, or None to store nothing (C is still needed where
    K > K_BLOCK: longer sums are kept there between blocks).  `extra` are run-time arguments of the types `kinds`.
    Equal names mean equal code.
    """

    name: str
    kinds: tuple[ir.Type, ...]
    emit: Callable[[Place, ir.Value, Sequence[ir.Value]], ir.Value | None]


def gemm(e: Emitter, plan: Plan, epilogue: Epilogue | None) -> ir.Function:
    """The function of a plan and an epilogue, for any sizes and strides; `call` knows its arguments.

    `void product(row, rows, column, columns, K, A, row stride, column stride, B, …, …, C, …, …, *packing, *extra)`
    makes the part C[row:rows, column:columns].  `packing` is (), or (where packed B goes, columns of a block, function
    that packs B, is A packed, where, function that packs A).
    """
    name = f"payback.product.{plan.name}.{epilogue.name if epilogue else 'none'}"
    if name in e.module.globals:
        return e.module.globals[name]
    edge = _edges(e, plan, epilogue, name)
    packing = [POINTER, INT, PACKER, BIT, POINTER, PACKER] * plan.pack_b
    kinds = [INT] * 5 + [POINTER, INT, INT] * 3 + packing + list(epilogue.kinds if epilogue else ())
    e, made = function(e, name, kinds)
    m0, m1, n0, n1, k, a, a_row, a_column, b, b_row, b_column, c, c_row, c_column, *more = made.args
    packing, extra = more[: len(packing)], more[len(packing) :]
    build, kind, nought = e.b, llvm_type(plan.dtype), e.int(0)
    lanes, strides = lanes_of(kind), _strides(plan, c_row, c_column)
    block_columns = e.int(plan.width)  # columns to be turned are read to their end, one tile after another
    if plan.blocked:
        step = block_size(e, k)
    if plan.pack_b:
        packed_b, block_columns, packs_b, pack_a_too, packed_a, packs_a = packing
    with (
        e.loop(n0, n1, block_columns) if plan.pack_b or plan.turned else _once(n0) as jc,
        e.loop(0, most(e, k, e.int(1)), step) if plan.blocked else _once(nought) as k0,
    ):
        columns, depth, first, last = build.sub(n1, jc), k, None, None
        if plan.blocked:
            depth = least(e, step, build.sub(k, k0))
            first, last = build.icmp_signed("==", k0, nought), build.icmp_signed(">=", build.add(k0, depth), k)
        b_block = e.at(b, build.add(build.mul(k0, b_row), build.mul(jc, b_column)), kind)
        if plan.pack_b or plan.turned:
            columns = least(e, block_columns, columns)
        if plan.pack_b:  # each block of rows packs B anew, as it needs it: there is room for two panels
            tiles = build.udiv(build.add(build.sub(m1, m0), e.int(plan.rows - 1)), e.int(plan.rows))
            of_tile = build.mul(most(e, depth, e.int(1)), e.int(plan.rows * plan.dtype.itemsize))
            fitting = least(e, build.udiv(e.int(BLOCK), of_tile), e.int(LONG // plan.rows))
            block_tiles = most(e, fitting, e.int(1))
            blocks = most(e, build.udiv(build.add(tiles, build.sub(block_tiles, e.int(1))), block_tiles), e.int(1))
            block_rows = build.udiv(build.add(tiles, build.sub(blocks, e.int(1))), blocks)  # all about as high
            block_rows = build.mul(most(e, block_rows, e.int(1)), e.int(plan.rows))
            of_panel = build.mul(depth, e.int(plan.width))
            both = build.icmp_signed(">", build.sub(n1, n0), e.int(plan.width))
            spare = e.at(packed_b, build.mul(build.select(both, e.int(2), e.int(1)), of_panel), kind)

            def panel_of(j: ir.Value) -> ir.Value:
                number = build.and_(build.udiv(j, e.int(plan.width)), e.int(1))
                return e.at(packed_b, build.mul(number, of_panel), kind)

            def packing_of(j: ir.Value) -> Ahead:
                count = least(e, build.sub(columns, j), e.int(plan.width))
                source = e.at(b_block, build.mul(j, b_column), kind)
                return Ahead(e, plan, packs_b, count, depth, source, (b_row, b_column), panel_of(j))

        with e.loop(m0, m1, block_rows) if plan.pack_b else _once(m0) as ic:
            rows = build.sub(m1, ic)
            a_block = e.at(a, build.add(build.mul(ic, a_row), build.mul(k0, a_column)), kind)
            row_a, column_a, step_a = a_row, a_column, a_row  # strides inside a tile, and from tile to tile
            if plan.pack_b:
                rows = least(e, block_rows, rows)
                with build.if_then(pack_a_too):
                    build.call(packs_a, [rows, depth, a_block, a_row, a_column, packed_a])
                a_block, step_a = build.select(pack_a_too, packed_a, a_block), build.select(pack_a_too, depth, a_row)
                row_a = build.select(pack_a_too, e.int(1), a_row)
                column_a = build.select(pack_a_too, e.int(plan.rows), a_column)
            full_rows, height = build.sub(rows, build.srem(rows, e.int(plan.rows))), e.int(plan.rows)
            if plan.low:  # two lower tiles instead of a whole one and very few rows
                rest = build.sub(rows, full_rows)
                fit = build.icmp_unsigned("<", build.sub(rest, e.int(1)), e.int(2 * plan.low - plan.rows))
                lower = build.and_(build.and_(fit, build.icmp_signed(">", full_rows, nought)), build.not_(pack_a_too))
                full_rows = build.select(lower, build.sub(full_rows, height), full_rows)
            if plan.pack_b:
                packing_of(nought).pack(nought, depth)
            if plan.along:  # whole tiles row by row; those at the edges follow
                whole = build.sub(columns, build.srem(columns, e.int(plan.width)))
                with e.loop(0, full_rows, plan.rows) as i, e.loop(0, whole, plan.width) as j:
                    of_a = build.freeze(e.at(a_block, build.mul(i, a_row), kind))
                    of_b, known = e.at(b_block, build.mul(j, b_column), kind), {}
                    sums = accumulate(e, kind, plan.rows, plan.vectors, None, depth, of_a, a_row, a_column, of_b, b_row)
                    row, column = build.freeze(build.add(ic, i)), build.freeze(build.add(jc, j))
                    found = [
                        (_place(e, plan, row, column, None, (r, v * lanes), known), sums[r][v])
                        for r in range(plan.rows) for v in range(plan.vectors)
                    ]  # fmt: skip
                    _finish(e, plan, epilogue, found, first, last, c, strides, extra)
            with e.loop(0, columns, plan.width) as j:
                left = least(e, build.sub(columns, j), e.int(plan.width))
                if plan.pack_b:
                    panel, stride_b = panel_of(j), e.int(plan.width)
                    ahead = packing_of(build.add(j, e.int(plan.width)))
                    each = ahead.each(most(e, build.udiv(rows, e.int(plan.rows)), e.int(1)))
                    packing_of(build.add(j, e.int(2 * plan.width))).fetch_rows()
                else:
                    panel, stride_b = e.at(b_block, build.mul(j, b_column), kind), b_column if plan.turned else b_row
                full = build.select(build.icmp_signed("==", left, e.int(plan.width)), full_rows, nought)
                column, panel = build.freeze(build.add(jc, j)), build.freeze(panel)
                if not plan.along:
                    with e.loop(0, full, plan.rows) as i:
                        at = build.freeze(e.at(a_block, build.mul(i, step_a), kind))
                        row, known = build.freeze(build.add(ic, i)), {}
                        places = [
                            [_place(e, plan, row, column, None, (r, v * lanes), known) for v in range(plan.vectors)]
                            for r in range(plan.rows)
                        ]
                        if plan.pack_b:  # C may be far away: fetch its lines while the sums are made
                            for line in places:
                                prefetch(e, line[0].address(c, *strides, kind), True)
                            tile = build.udiv(i, e.int(plan.rows))
                            number = build.mul(tile, each)
                            ahead.pack(number, build.add(number, each))
                            ahead.fetch(build.add(number, each), build.add(number, build.add(each, each)))
                        where = [depth, at, row_a, column_a, panel, stride_b]
                        if plan.turned:
                            long = plan.turned == "long"
                            sums = accumulate_turned(e, kind, plan.rows, plan.vectors, None, *where, long)
                        elif plan.pack_b:
                            copy = ahead.copy(tile, panel, spare)
                            sums = accumulate_packed(
                                e, kind, plan.rows, plan.vectors, None, *where[:5], plan.vectors, copy
                            )
                        else:
                            sums = accumulate(e, kind, plan.rows, plan.vectors, None, *where)
                        if plan.across and epilogue is None:
                            of_column = c_row if plan.down else c_column
                            begin = e.at(c, build.add(build.mul(column, of_column), row), kind)
                            _store_across(e, plan, sums, first, begin, of_column)
                        else:
                            found = [
                                (place, sums[r][v]) for r, line in enumerate(places) for v, place in enumerate(line)
                            ]
                            _finish(e, plan, epilogue, found, first, last, c, strides, extra)
                if plan.pack_b:
                    ahead.rest(build.udiv(full, e.int(plan.rows)), each)
                if plan.low:
                    height = build.and_(lower, build.icmp_signed("==", full, full_rows))
                    height = build.select(height, e.int(plan.low), e.int(plan.rows))
                with e.loop(full, rows, height) as i:
                    at = e.at(a_block, build.mul(i, step_a), kind)
                    some = least(e, build.sub(rows, i), height)
                    with e.loop(0, left, lanes) if plan.turned else _once(nought) as j:
                        of_b = e.at(panel, build.mul(j, stride_b), kind)
                        count = least(e, build.sub(left, j), e.int(lanes)) if plan.turned else left
                        where = [some, count, depth, at, row_a, column_a, of_b, stride_b]
                        where += [build.add(ic, i), build.add(column, j), *((first, last) if plan.blocked else ())]
                        build.call(edge, [*where, c, c_row, c_column, *extra])
    build.ret_void()
    return made


@contextmanager
def _once(value: ir.Value) -> Iterator[ir.Value]:
    yield value


def block_size(e: Emitter, k: ir.Value) -> ir.Value:
    """Into blocks of what size K is cut: `plan.blocks_of` at run time."""
    b = e.b
    blocks = most(e, b.udiv(b.add(k, e.int(K_BLOCK - 1)), e.int(K_BLOCK)), e.int(1))
    return most(e, b.udiv(b.add(k, b.sub(blocks, e.int(1))), blocks), e.int(1))


def _share(e: Emitter, total: ir.Value, unit: int, thread: ir.Value, threads: ir.Value) -> tuple[ir.Value, ir.Value]:
    """This thread's part of range(total), cut at multiples of `unit`."""
    b = e.b
    units = b.udiv(b.add(total, e.int(unit - 1)), e.int(unit))
    start = b.udiv(b.mul(thread, units), threads)
    stop = b.udiv(b.mul(b.add(thread, e.int(1)), units), threads)
    return b.mul(start, e.int(unit)), least(e, b.mul(stop, e.int(unit)), total)


def _place(
    e: Emitter, plan: Plan, row: ir.Value, column: ir.Value, count: ir.Value | None,
    offset: tuple[int, int] = (0, 0), known: dict[Any, ir.Value] | None = None,
) -> Place:  # fmt: skip
    """The place of a vector of the product that is run, in the product as written."""
    kind = llvm_type(plan.dtype)
    if plan.down:
        row, column, offset = column, row, offset[::-1]
    return Place(e, kind, lanes_of(kind), row, column, count, plan.down, offset, known)


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


def _store_across(e: Emitter, plan: Plan, sums: Any, first: Any, begin: ir.Value, stride: ir.Value) -> None:
    """A tile whose columns are contiguous in memory, from `begin` on: it is turned, some rows at a time."""
    b, kind = e.b, llvm_type(plan.dtype)
    lanes = lanes_of(kind)
    parts: list[tuple[int, int, ir.Value]] = []  # column, first row, and some rows of that column
    for start, size in together(plan.rows, kind):
        for v in range(plan.vectors):
            columns = columns_of(e, kind, [sums[start + r][v] for r in range(size)])
            parts += [(v * lanes + column, start, value) for column, value in columns]
    lines = [begin]
    for _ in range(plan.width - 1):
        lines.append(e.at(lines[-1], stride, kind))

    def store(added: bool) -> None:
        for column, start, value in sorted(parts, key=lambda part: part[:2]):
            place = e.at(lines[column], start, kind)
            count = 1 if not isinstance(value.type, ir.VectorType) else value.type.count
            e.store(b.fadd(e.load(place, 0, kind, count), value) if added else value, place, 0)

    if plan.accumulate or first is None:
        store(plan.accumulate)
        return
    with b.if_else(first) as (yes, no):
        with yes:
            store(False)
        with no:
            store(True)


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
        build.call(edge_tile(e, kind, *size, plan.b_is, plan.vectors), where)
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


class Team(NamedTuple):
    """The threads that make a product together, at run time: this one's number, and how many."""

    thread: Any
    threads: Any


def call(
    e: Emitter, plan: Plan, m: Any, n: Any, k: Any, a: Sequence[Any], b: Sequence[Any], c: Sequence[Any], *,
    scratch: ir.Value | None = None, block_columns: Any = None, team: Team | None = None,
    epilogue: Epilogue | None = None, extra: Sequence[ir.Value] = (),
) -> None:  # fmt: skip
    """Emit C = A·B with C of m rows and n columns: a, b, c are (pointer, row stride, column stride).

    `scratch` points to `plan.scratch(m, n, k, threads)` bytes, aligned to 64, other ones for each thread;
    `block_columns` is `plan.block_columns(k)`, needed only where k is a run-time value.  With a team, all its threads
    run this, and each does its part of C; whoever reads C waits for all of them first.
    """
    if plan.rest is not None:
        assert epilogue is None  # it would find other columns
        n, rest, whole = integer(e, n), plan.rest, replace(plan, rest=None)
        few = e.b.srem(n, e.int(lanes_of(llvm_type(plan.dtype))))
        most = e.b.sub(n, few)
        beyond = [(e.at(x[0], e.b.mul(most, integer(e, x[2])), llvm_type(plan.dtype)), *x[1:]) for x in (b, c)]
        options: dict[str, Any] = dict(scratch=scratch, team=team)
        call(e, whole, m, most, k, a, b, c, block_columns=block_columns, **options)
        call(e, rest, m, few, k, a, *beyond, block_columns=m, **options)
        return
    if plan.pack_b and block_columns is None:
        block_columns = plan.block_columns(k)
    if plan.down:
        m, n = n, m
        a, b = (b[0], b[2], b[1]), (a[0], a[2], a[1])
    m, n, k = (integer(e, x) for x in (m, n, k))
    a, b, c = ([array[0], *(integer(e, x) for x in array[1:])] for array in (a, b, c))
    parts = [e.int(0), m, e.int(0), n]
    if team is not None:
        thread, count = integer(e, team.thread), integer(e, team.threads)
        if plan.split == "rows":
            parts[:2] = _share(e, m, plan.unit, thread, count)
        elif plan.split == "columns":
            parts[2:] = _share(e, n, plan.width, thread, count)
    packing = []
    kind = llvm_type(plan.dtype)
    if plan.pack_b:
        packs_b = pack_b(e, kind, plan.vectors, plan.b_unit)
        rows = e.b.sub(parts[1], parts[0])
        of_b = e.at(scratch, _bytes_of_a(e, plan, rows, k) if plan.pack_a else 0, BYTE)
        packing += [of_b, integer(e, block_columns), packs_b, ir.Constant(BIT, int(plan.pack_a)), scratch]
        if plan.pack_a:
            packing.append(pack_a(e, kind, plan.rows, plan.a_unit))
        else:
            packing.append(ir.Constant(POINTER, None))
    e.b.call(gemm(e, plan, epilogue), [*parts, k, *a, *b, *c, *packing, *extra])


def _bytes_of_a(e: Emitter, plan: Plan, rows: ir.Value, k: ir.Value) -> ir.Value:
    """`plan.bytes_of_a` at run time."""
    b, one = e.b, e.int(1)
    tiles = b.udiv(b.add(rows, e.int(plan.rows - 1)), e.int(plan.rows))
    tiles = most(e, least(e, tiles, e.int(LONG // plan.rows)), one)
    depth = block_size(e, k)
    size = b.mul(b.mul(tiles, depth), e.int(plan.rows * plan.dtype.itemsize))
    return b.and_(b.add(least(e, size, e.int(plan.most_of_a)), e.int(SLACK + 63)), e.int(-64))
