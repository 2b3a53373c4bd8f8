"""The register tile of a product: rows of A times vectors of B, summed over k where it is fastest.

How many rows and vectors follows from the number of vector registers: the sums fill most of them, and there are at
least 8 chains of fused multiply-add, as many as two units of four cycles keep busy.
"""

from __future__ import annotations

import platform
from typing import NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, INT32, POINTER, Emitter, host_features, itemsize, lanes_of, suffix
from payback.native.lower.products.blocked.packing import function, least, turned
from payback.native.lower.products.blocked.place import lane_mask, masked_load

ROUND = 4  # rows of packed B in a round of the loop over them
FAR = 16  # rows that are fetched before they are copied

_arm = platform.machine().lower() in ("aarch64", "arm64")


def registers() -> int:
    """How many vector registers the host has."""
    return 32 if _arm or host_features().get("avx512f") else 16


def has_fma() -> bool:
    """Whether the host can round a·b + c once, in an instruction."""
    features = host_features()
    return _arm or bool(features.get("fma") or features.get("avx512f"))


def has_masked_loads() -> bool:
    """Whether the host can read some lanes of a vector, in an instruction."""
    features = host_features()
    return bool(features.get("avx") or features.get("sve"))


def tile() -> tuple[int, int]:
    """Rows and vectors per row of the tile: 6 × 2 with 16 registers, 12 × 2 with 32."""
    return 3 * registers() // 8, 2


def multiply_add(e: Emitter, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c, rounded once where the host can."""
    return e.fma(a, b, c) if has_fma() else e.b.fadd(e.b.fmul(a, b), c)


def prefetch(e: Emitter, pointer: ir.Value, write: bool, cache: int = 1) -> None:
    """Bring a line that will be read, or written, into the first cache or another.  It need not exist."""
    name = "llvm.prefetch.p0"
    function = e.module.globals.get(name) or ir.Function(
        e.module, ir.FunctionType(ir.VoidType(), [POINTER, INT32, INT32, INT32]), name
    )
    e.b.call(function, [pointer, *(ir.Constant(INT32, x) for x in (int(write), 4 - cache, 1))])


def fetch(e: Emitter, first: ir.Value, lines: int) -> None:
    """Have so many lines brought to the second cache."""
    for line in range(lines):
        prefetch(e, e.at(first, 64 * line, BYTE), False, 2)


def accumulate(
    e: Emitter, kind: ir.Type, rows: int, vectors: int, some: tuple[ir.Value, ir.Value] | None, k: ir.Value,
    a: ir.Value, a_row: ir.Value, a_column: ir.Value, b: ir.Value, b_row: ir.Value,
) -> list[list[ir.Value]]:  # fmt: skip
    """A tile of A·B summed over k in registers, one product after another from 0.

    Where only `some` (rows, columns) of it exist, the rest is not C's: the last row once more, columns of zeros.
    """
    build, lanes = e.b, lanes_of(kind)
    vector = ir.VectorType(kind, lanes)
    masks = [None] * vectors
    numbers = [e.int(i) for i in range(rows)]
    if some is not None:
        final = build.sub(some[0], e.int(1))
        numbers = [least(e, i, final) for i in numbers]
        masks = [lane_mask(e, build.sub(some[1], e.int(j * lanes)), kind, lanes) for j in range(vectors)]
    row_of_a = [e.at(a, build.mul(a_row, i), kind) for i in numbers]
    if some is not None:  # else a few registers serve all rows, which strength reduction sees
        row_of_a = [build.freeze(row) for row in row_of_a]
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


class Copy(NamedTuple):
    """Rows that are copied beside the sums of a tile, one a round: as wide as a panel; steps are in elements."""

    source: ir.Value
    step: ir.Value
    into: ir.Value
    step_into: ir.Value


def accumulate_packed(
    e: Emitter, kind: ir.Type, rows: int, vectors: int, some: ir.Value | None, k: ir.Value,
    a: ir.Value, a_row: ir.Value, a_column: ir.Value, b: ir.Value, panel: int, copy: Copy | None = None,
) -> list[list[ir.Value]]:  # fmt: skip
    """The same sums where B is packed, so many vectors in a row of a `panel`; A may be packed, too.

    Several rows of B are one round of the loop: with a stride of B at run time, computing the addresses takes as long
    as the sums.  Where only `some` rows exist, the rest is the last once more.
    """
    build, lanes = e.b, lanes_of(kind)
    vector = ir.VectorType(kind, lanes)
    numbers = [e.int(i) for i in range(rows)]
    if some is not None:
        final = build.sub(some, e.int(1))
        numbers = [least(e, i, final) for i in numbers]
    row_of_a = [e.at(a, build.mul(a_row, i), kind) for i in numbers]
    if some is not None:  # else a few registers serve all rows, which strength reduction sees
        row_of_a = [build.freeze(row) for row in row_of_a]
    steps = [build.mul(a_column, e.int(p)) for p in range(ROUND + 1)]
    State = tuple[ir.Value, ir.Value, list[ir.Value]]

    def loop(state: State, count: ir.Value, depth: int, copy: Copy | None = None) -> State:
        """`count` rounds of `depth` rows of B."""
        far = build.mul(copy.step, e.int(FAR)) if copy else None
        before = build.block
        body, after = build.append_basic_block("k"), build.append_basic_block("summed")
        build.cbranch(build.icmp_signed(">", count, e.int(0)), body, after)
        build.position_at_end(body)
        left, at_a, at_b = build.phi(INT), build.phi(INT), build.phi(POINTER)
        moving = [(build.phi(POINTER), copy.source), (build.phi(POINTER), copy.into)] if copy else []
        sums = [build.phi(vector) for _ in range(rows * vectors)]
        new: list[ir.Value] = list(sums)
        for p in range(depth):
            b_values = [e.load(at_b, (p * panel + j) * lanes, kind, lanes) for j in range(vectors)]
            column = build.add(at_a, steps[p]) if p else at_a
            for i in range(rows):
                a_value = e.splat(e.load(row_of_a[i], column, kind), lanes)
                for j in range(vectors):
                    new[i * vectors + j] = multiply_add(e, a_value, b_values[j], new[i * vectors + j])
            if copy:  # some of the row after each of the sums: loads do not go past stores, and so stay near their use
                (source, _), (into, _) = moving
                for j in range(p, vectors, depth):
                    e.store(e.load(source, j * lanes, kind, lanes), into, j * lanes)
        fewer = build.sub(left, e.int(1))
        further = build.add(at_a, steps[depth]), e.at(at_b, depth * panel * lanes, kind)
        starts, ends = [count, *state[:2], *state[2]], [fewer, *further, *new]
        for phi, start, end in zip([left, at_a, at_b, *sums], starts, ends, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(end, body)
        if copy:
            for last in range(64 // itemsize(kind) - 1, vectors * lanes, 64 // itemsize(kind)):
                prefetch(e, e.at(e.at(moving[0][0], far, kind), last, kind), write=False)
            for (phi, start), step in zip(moving, (copy.step, copy.step_into), strict=True):
                phi.add_incoming(start, before)
                phi.add_incoming(e.at(phi, step, kind), body)
        build.cbranch(build.icmp_signed(">", fewer, e.int(0)), body, after)
        build.position_at_end(after)
        result = []
        for start, end in zip(starts[1:], ends[1:], strict=True):
            phi = build.phi(start.type)
            phi.add_incoming(start, before)
            phi.add_incoming(end, body)
            result.append(phi)
        return result[0], result[1], result[2:]

    state: State = (e.int(0), b, [ir.Constant(vector, None)] * (rows * vectors))
    rounds = build.lshr(k, e.int(ROUND.bit_length() - 1))
    state = loop(state, rounds, ROUND, copy)
    sums = loop(state, build.and_(k, e.int(ROUND - 1)), 1)[2]
    return [sums[i * vectors : (i + 1) * vectors] for i in range(rows)]


def accumulate_turned(
    e: Emitter, kind: ir.Type, rows: int, vectors: int, columns: ir.Value | None, k: ir.Value,
    a: ir.Value, a_row: ir.Value, a_column: ir.Value, b: ir.Value, b_column: ir.Value, long: bool,
) -> list[list[ir.Value]]:  # fmt: skip
    """The same sums where the columns of B are contiguous: squares of B become vectors of its rows as they are read.

    For few rows of A, where packing B would cost more than it saves.  If there are fewer `columns`, the rest is the
    last once more; then `vectors` is 1.  `long` columns are read by whole lines of the cache, as lines far apart push
    each other out; short ones end before the hardware foresees the next, which are fetched ahead.
    """
    build, lanes = e.b, lanes_of(kind)
    vector = ir.VectorType(kind, lanes)
    numbers = [e.int(j) for j in range(lanes)]
    if columns is not None:
        final = build.sub(columns, e.int(1))
        numbers = [least(e, j, final) for j in numbers]
    of_b = [e.at(b, build.mul(j, b_column), kind) for j in numbers]
    further = [build.mul(b_column, e.int(j * lanes)) for j in range(vectors)]
    of_a = [e.at(a, build.mul(a_row, e.int(i)), kind) for i in range(rows)]
    of_line = 64 // itemsize(kind)
    step = max(of_line, lanes) if long else lanes

    def add(sums: list[list[ir.Value]], j: int, value: ir.Value, at: ir.Value) -> None:
        """Add the products of one row of B, or its vector number j."""
        place = build.mul(at, a_column)
        for i in range(rows):
            sums[i][j] = multiply_add(e, e.splat(e.load(of_a[i], place, kind), lanes), value, sums[i][j])

    def loop(start: ir.Value, stop: ir.Value, by: int, sums: list[list[ir.Value]], body) -> list[list[ir.Value]]:
        before = build.block
        head, inside, after = (build.append_basic_block(name) for name in ("head", "sum", "summed"))
        build.branch(head)
        build.position_at_end(head)
        at = build.phi(INT)
        phis = [[build.phi(vector) for _ in range(vectors)] for _ in range(rows)]
        build.cbranch(build.icmp_signed("<", at, stop), inside, after)
        build.position_at_end(inside)
        new = [list(line) for line in phis]
        body(at, new)
        at.add_incoming(start, before)
        at.add_incoming(build.add(at, e.int(by)), build.block)
        for i in range(rows):
            for j in range(vectors):
                phis[i][j].add_incoming(sums[i][j], before)
                phis[i][j].add_incoming(new[i][j], build.block)
        build.branch(head)
        build.position_at_end(after)
        return phis

    def squares(at: ir.Value, sums: list[list[ir.Value]]) -> None:
        if columns is None and not long:  # supposing that the next columns follow at once
            beyond = e.at(b, build.mul(build.add(b_column, at), e.int(vectors * lanes)), kind)
            for line in range(0, vectors * lanes * lanes, of_line):
                prefetch(e, e.at(beyond, line, kind), write=False)
        for j in range(vectors):
            for begin in range(0, step, lanes):
                first = build.add(build.add(at, e.int(begin)), further[j])

                def load(row: int, start: int, size: int, first=first) -> ir.Value:
                    return e.load(e.at(of_b[row], first, kind), start, kind, size)

                for r, value in enumerate(turned(e, kind, load)):
                    add(sums, j, value, build.add(at, e.int(begin + r)))

    def single(at: ir.Value, sums: list[list[ir.Value]]) -> None:
        for j in range(vectors):
            value = ir.Constant(vector, ir.Undefined)
            for lane in range(lanes):
                element = e.load(of_b[lane], build.add(at, further[j]), kind)
                value = build.insert_element(value, element, ir.Constant(INT32, lane))
            add(sums, j, value, at)

    even = build.and_(k, e.int(-step))
    sums = [[ir.Constant(vector, None)] * vectors for _ in range(rows)]
    sums = loop(e.int(0), even, step, sums, squares)
    return loop(even, k, 1, sums, single)


def edge_tile(e: Emitter, kind: ir.Type, rows: int, vectors: int, b_is: str, panel: int) -> ir.Function:
    """`void tile(rows, columns, k, a, a_row, a_column, b, b_stride, into)`: a tile of which not all exists.

    B is "packed" in panels of so many vectors, "masked", or "long" or "short" columns that are turned (its stride is
    then that of columns).  The sums go to memory, row after row of whole vectors.  Emitted once, whatever follows.
    """
    name = f"payback.tile.{suffix(kind)}.{rows}x{vectors}.{b_is}{panel}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [INT, INT, INT, POINTER, INT, INT, POINTER, INT, POINTER])
    some, columns, k, a, a_row, a_column, b, b_stride, into = made.args
    if b_is in ("long", "short"):
        where = (k, a, a_row, a_column, b, b_stride)
        sums = accumulate_turned(e, kind, rows, vectors, columns, *where, long=b_is == "long")
    elif b_is == "packed":
        sums = accumulate_packed(e, kind, rows, vectors, some, k, a, a_row, a_column, b, panel)
    else:
        sums = accumulate(e, kind, rows, vectors, (some, columns), k, a, a_row, a_column, b, b_stride)
    for i in range(rows):
        for j in range(vectors):
            e.store(sums[i][j], into, (i * vectors + j) * lanes_of(kind))
    e.b.ret_void()
    return made
