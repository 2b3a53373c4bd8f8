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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, INT, POINTER, Emitter, lanes_of, llvm_type
from payback.native.lower.products.blocked.choice import BLOCK, K_BLOCK, LONG, Plan
from payback.native.lower.products.blocked.packing import (
    PACKER,
    SLACK,
    function,
    least,
    most,
    pack_a,
    pack_b,
)
from payback.native.lower.products.blocked.packing_ahead import Ahead
from payback.native.lower.products.blocked.place import Place, integer
from payback.native.lower.products.blocked.storing import Epilogue, finish, place_of, store_across, strides_of
from payback.native.lower.products.blocked.tile import (
    accumulate,
    accumulate_packed,
    accumulate_turned,
    edge_tile,
    prefetch,
)


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
    _Loops(e, plan, epilogue, edge, made.args).write()
    e.b.ret_void()
    return made


class _Rows(NamedTuple):
    """A block of rows of A, from `first` on: where it lies, its strides inside a tile, and the one from tile to tile.

    full: of its rows those in whole tiles.  lower: whether the last of them are in two lower tiles.
    """

    first: ir.Value
    count: ir.Value
    a: ir.Value
    row: ir.Value
    column: ir.Value
    step: ir.Value
    full: ir.Value
    lower: ir.Value | None


class _Panel(NamedTuple):
    """As many columns of B as a tile has, from column `first` of the product on.

    left: how many there are.  ahead: what packs the next panel, `each` pieces a tile.
    """

    first: ir.Value
    left: ir.Value
    b: ir.Value
    stride: ir.Value
    ahead: Ahead | None
    each: ir.Value | None


class _Loops:
    """The loops of a product's function: columns, blocks of K, blocks of rows, panels, tiles; each is a method."""

    def __init__(self, e: Emitter, plan: Plan, epilogue: Epilogue | None, edge: ir.Function, args: Sequence[ir.Value]):
        self.e, self.plan, self.epilogue, self.edge = e, plan, epilogue, edge
        self.m0, self.m1, self.n0, self.n1, self.k, *more = args
        self.a, self.a_row, self.a_column, self.b, self.b_row, self.b_column, *more = more
        self.c, self.c_row, self.c_column, *more = more
        self.packing, self.extra = (more[:6], more[6:]) if plan.pack_b else ([], more)
        self.kind = llvm_type(plan.dtype)
        self.lanes, self.strides = lanes_of(self.kind), strides_of(plan, self.c_row, self.c_column)
        self.nought = e.int(0)

    def write(self) -> None:
        e, plan = self.e, self.plan
        block_columns = e.int(plan.width)  # columns to be turned are read to their end, one tile after another
        if plan.blocked:
            step = block_size(e, self.k)
        if plan.pack_b:
            self.packed_b, block_columns, self.packs_b, self.pack_a_too, self.packed_a, self.packs_a = self.packing
        with (
            e.loop(self.n0, self.n1, block_columns) if plan.pack_b or plan.turned else _once(self.n0) as jc,
            e.loop(0, most(e, self.k, e.int(1)), step) if plan.blocked else _once(self.nought) as k0,
        ):
            self._block_of_k(jc, k0, block_columns, step if plan.blocked else None)

    def _block_of_k(self, jc: ir.Value, k0: ir.Value, block_columns: ir.Value, step: ir.Value | None) -> None:
        """Columns from jc on, and sums from k0 on."""
        e, plan, build = self.e, self.plan, self.e.b
        self.jc, self.columns = jc, build.sub(self.n1, jc)
        self.depth, self.first, self.last = self.k, None, None
        if plan.blocked:
            self.depth = least(e, step, build.sub(self.k, k0))
            self.first = build.icmp_signed("==", k0, self.nought)
            self.last = build.icmp_signed(">=", build.add(k0, self.depth), self.k)
        self.b_block = e.at(self.b, build.add(build.mul(k0, self.b_row), build.mul(jc, self.b_column)), self.kind)
        if plan.pack_b or plan.turned:
            self.columns = least(e, block_columns, self.columns)
        block_rows = self._room_for_panels() if plan.pack_b else None
        with e.loop(self.m0, self.m1, block_rows) if plan.pack_b else _once(self.m0) as ic:
            self._block_of_rows(ic, k0, block_rows)

    def _room_for_panels(self) -> ir.Value:
        """Each block of rows packs B anew, as it needs it: there is room for two panels.  Returns rows of a block."""
        e, plan, build = self.e, self.plan, self.e.b
        tiles = build.udiv(build.add(build.sub(self.m1, self.m0), e.int(plan.rows - 1)), e.int(plan.rows))
        of_tile = build.mul(most(e, self.depth, e.int(1)), e.int(plan.rows * plan.dtype.itemsize))
        fitting = least(e, build.udiv(e.int(BLOCK), of_tile), e.int(LONG // plan.rows))
        block_tiles = most(e, fitting, e.int(1))
        blocks = most(e, build.udiv(build.add(tiles, build.sub(block_tiles, e.int(1))), block_tiles), e.int(1))
        block_rows = build.udiv(build.add(tiles, build.sub(blocks, e.int(1))), blocks)  # all about as high
        block_rows = build.mul(most(e, block_rows, e.int(1)), e.int(plan.rows))
        self.of_panel = build.mul(self.depth, e.int(plan.width))
        both = build.icmp_signed(">", build.sub(self.n1, self.n0), e.int(plan.width))
        panels = build.mul(build.select(both, e.int(2), e.int(1)), self.of_panel)
        self.spare = e.at(self.packed_b, panels, self.kind)
        return block_rows

    def _packed(self, j: ir.Value) -> ir.Value:
        """Where the panel of column j is packed."""
        e, build = self.e, self.e.b
        number = build.and_(build.udiv(j, e.int(self.plan.width)), e.int(1))
        return e.at(self.packed_b, build.mul(number, self.of_panel), self.kind)

    def _ahead(self, j: ir.Value) -> Ahead:
        """What packs the panel of column j."""
        e, plan, build = self.e, self.plan, self.e.b
        count = least(e, build.sub(self.columns, j), e.int(plan.width))
        source = e.at(self.b_block, build.mul(j, self.b_column), self.kind)
        strides = self.b_row, self.b_column
        return Ahead(e, plan, self.packs_b, count, self.depth, source, strides, self._packed(j))

    def _block_of_rows(self, ic: ir.Value, k0: ir.Value, block_rows: ir.Value | None) -> None:
        e, plan, build = self.e, self.plan, self.e.b
        count = build.sub(self.m1, ic)
        a = e.at(self.a, build.add(build.mul(ic, self.a_row), build.mul(k0, self.a_column)), self.kind)
        row, column, step = self.a_row, self.a_column, self.a_row
        if plan.pack_b:
            count, too = least(e, block_rows, count), self.pack_a_too
            with build.if_then(too):
                build.call(self.packs_a, [count, self.depth, a, self.a_row, self.a_column, self.packed_a])
            a, step = build.select(too, self.packed_a, a), build.select(too, self.depth, self.a_row)
            row = build.select(too, e.int(1), self.a_row)
            column = build.select(too, e.int(plan.rows), self.a_column)
        full, lower = build.sub(count, build.srem(count, e.int(plan.rows))), None
        if plan.low:  # two lower tiles instead of a whole one and very few rows
            rest = build.sub(count, full)
            fit = build.icmp_unsigned("<", build.sub(rest, e.int(1)), e.int(2 * plan.low - plan.rows))
            lower = build.and_(build.and_(fit, build.icmp_signed(">", full, self.nought)), build.not_(self.pack_a_too))
            full = build.select(lower, build.sub(full, e.int(plan.rows)), full)
        rows = _Rows(ic, count, a, row, column, step, full, lower)
        if plan.pack_b:
            self._ahead(self.nought).pack(self.nought, self.depth)
        if plan.along:
            self._whole_rows(rows)
        with e.loop(0, self.columns, plan.width) as j:
            self._panel(rows, j)

    def _whole_rows(self, rows: _Rows) -> None:
        """Whole tiles row by row; those at the edges follow."""
        e, plan, build, kind = self.e, self.plan, self.e.b, self.kind
        whole = build.sub(self.columns, build.srem(self.columns, e.int(plan.width)))
        with e.loop(0, rows.full, plan.rows) as i, e.loop(0, whole, plan.width) as j:
            of_a = build.freeze(e.at(rows.a, build.mul(i, self.a_row), kind))
            of_b = e.at(self.b_block, build.mul(j, self.b_column), kind)
            where = [self.depth, of_a, self.a_row, self.a_column, of_b, self.b_row]
            sums = accumulate(e, kind, plan.rows, plan.vectors, None, *where)
            row, column = build.freeze(build.add(rows.first, i)), build.freeze(build.add(self.jc, j))
            self._store(self._places(row, column), sums)

    def _panel(self, rows: _Rows, j: ir.Value) -> None:
        """All tiles of a panel's columns."""
        e, plan, build = self.e, self.plan, self.e.b
        left = least(e, build.sub(self.columns, j), e.int(plan.width))
        ahead = each = None
        if plan.pack_b:
            b, stride = self._packed(j), e.int(plan.width)
            ahead = self._ahead(build.add(j, e.int(plan.width)))
            each = ahead.each(most(e, build.udiv(rows.count, e.int(plan.rows)), e.int(1)))
            self._ahead(build.add(j, e.int(2 * plan.width))).fetch_rows()
        else:
            b = e.at(self.b_block, build.mul(j, self.b_column), self.kind)
            stride = self.b_column if plan.turned else self.b_row
        full = build.select(build.icmp_signed("==", left, e.int(plan.width)), rows.full, self.nought)
        panel = _Panel(build.freeze(build.add(self.jc, j)), left, build.freeze(b), stride, ahead, each)
        if not plan.along:
            with e.loop(0, full, plan.rows) as i:
                self._tile(rows, panel, i)
        if ahead is not None and each is not None:
            ahead.rest(build.udiv(full, e.int(plan.rows)), each)
        self._edges(rows, panel, full)

    def _tile(self, rows: _Rows, panel: _Panel, i: ir.Value) -> None:
        """A whole tile, from row i of the block on."""
        e, plan, build, kind = self.e, self.plan, self.e.b, self.kind
        at = build.freeze(e.at(rows.a, build.mul(i, rows.step), kind))
        row, size = build.freeze(build.add(rows.first, i)), (plan.rows, plan.vectors)
        places = self._places(row, panel.first)
        where = [self.depth, at, rows.row, rows.column, panel.b]
        if panel.ahead is not None:
            for line in places:  # C may be far away: fetch its lines while the sums are made
                prefetch(e, line[0].address(self.c, *self.strides, kind), True)
            ahead, each = panel.ahead, panel.each
            tile = build.udiv(i, e.int(plan.rows))
            number = build.mul(tile, each)
            ahead.pack(number, build.add(number, each))
            ahead.fetch(build.add(number, each), build.add(number, build.add(each, each)))
            copy = ahead.copy(tile, panel.b, self.spare)
            sums = accumulate_packed(e, kind, *size, None, *where, plan.vectors, copy)
        elif plan.turned:
            sums = accumulate_turned(e, kind, *size, None, *where, panel.stride, plan.turned == "long")
        else:
            sums = accumulate(e, kind, *size, None, *where, panel.stride)
        if plan.across and self.epilogue is None:
            of_column = self.c_row if plan.down else self.c_column
            begin = e.at(self.c, build.add(build.mul(panel.first, of_column), row), kind)
            store_across(e, plan, sums, self.first, begin, of_column)
        else:
            self._store(places, sums)

    def _edges(self, rows: _Rows, panel: _Panel, full: ir.Value) -> None:
        """What is no whole tile: rows from `full` on, all of them where the panel has fewer columns."""
        e, plan, build = self.e, self.plan, self.e.b
        height = e.int(plan.rows)
        if plan.low:
            height = build.and_(rows.lower, build.icmp_signed("==", full, rows.full))
            height = build.select(height, e.int(plan.low), e.int(plan.rows))
        with e.loop(full, rows.count, height) as i:
            at = e.at(rows.a, build.mul(i, rows.step), self.kind)
            some = least(e, build.sub(rows.count, i), height)
            with e.loop(0, panel.left, self.lanes) if plan.turned else _once(self.nought) as j:
                b = e.at(panel.b, build.mul(j, panel.stride), self.kind)
                count = least(e, build.sub(panel.left, j), e.int(self.lanes)) if plan.turned else panel.left
                where = [some, count, self.depth, at, rows.row, rows.column, b, panel.stride]
                where += [build.add(rows.first, i), build.add(panel.first, j)]
                where += [self.first, self.last] if plan.blocked else []
                build.call(self.edge, [*where, self.c, self.c_row, self.c_column, *self.extra])

    def _places(self, row: ir.Value, column: ir.Value) -> list[list[Place]]:
        """Of a tile's sums."""
        known: dict[Any, ir.Value] = {}
        return [
            [
                place_of(self.e, self.plan, row, column, None, (r, v * self.lanes), known)
                for v in range(self.plan.vectors)
            ]
            for r in range(self.plan.rows)
        ]

    def _store(self, places: list[list[Place]], sums: list[list[ir.Value]]) -> None:
        found = [(place, sums[r][v]) for r, line in enumerate(places) for v, place in enumerate(line)]
        finish(self.e, self.plan, self.epilogue, found, self.first, self.last, self.c, self.strides, self.extra)


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
    strides = strides_of(plan, c_row, c_column)
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
        place = place_of(e, plan, build.add(row, r), build.add(column, j), count)
        finish(e, plan, epilogue, [(place, value)], first, last, c, strides, extra)
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
