"""Products of some rows with a large matrix: tiles as high as registers allow, one vector wide, read it once, where it
lies.  Rows of A are copied, so that the entries that a row of B is multiplied with are a run.

Sums are those of `gemm`: blocks of K one after another, in each of them one product after another from 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, Emitter, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.products.blocked.choice import blocks_of, unit
from payback.native.lower.products.blocked.gemm import block_size
from payback.native.lower.products.blocked.packing import SLACK, least, pack_a
from payback.native.lower.products.blocked.place import Place, lane_mask, masked_load
from payback.native.lower.products.blocked.tile import multiply_add, prefetch, registers

LEAST = 2  # rows
AGAIN = 12  # rows of a tile, at least, where B is read more than once
FAR = 1 << 17  # bytes of B: what does not stay in the first caches
ROUND = 4  # rows of B in a round of the loop over them
AHEAD = 48  # rows that are fetched before they are read
LINE = 4  # vectors of columns that threads share


class High(NamedTuple):
    """A kernel with the arguments of `Product`.

    rows    of a tile; A has that many, and where they do not fill the tiles the last one begins earlier
    a_unit  which stride of A is 1
    after   what follows sums that are one block, of rows that are one tile
    split   whether threads share the columns
    """

    code: str
    rows: int
    a_unit: str
    after: Any
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, of_b, c, scratch = (args.pointer() for _ in range(4))
        others = [args.pointer() for _ in self.after.operands] if self.after else []
        m, n, k, a0, a1, b0, _, c0, _, _, size = args.ints(11)
        extra = self.after.arguments(args, others) if self.after else []
        kind = pointwise.register_type(self.code)
        lanes, rows = lanes_of(kind), e.int(self.rows)
        start, stop = e.int(0), n
        if self.split:
            scratch = e.at(scratch, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(n, LINE * lanes)
        last = b.sub(m, rows)
        step = block_size(e, k)
        whole = b.add(start, b.and_(b.sub(stop, start), e.int(-lanes)))
        with e.loop(0, k, step) as k0:
            depth, begin = least(e, step, b.sub(k, k0)), b.icmp_signed("==", k0, e.int(0))
            with e.loop(0, m, self.rows) as i:
                first = e.at(a, b.add(b.mul(least(e, i, last), a0), b.mul(k0, a1)), kind)
                into = e.at(scratch, b.mul(i, depth), kind)
                b.call(pack_a(e, kind, self.rows, self.a_unit), [rows, depth, first, a0, a1, into])
            lines = e.at(of_b, b.mul(k0, b0), kind)
            # further rows of this block are fetched, or the rows of further columns where there are few
            beside = b.mul(e.int(lanes), b.udiv(b.add(depth, e.int(AHEAD)), depth))
            far = b.select(b.icmp_signed(">", depth, e.int(2 * AHEAD)), b.mul(b0, e.int(AHEAD)), beside)

            def columns(
                j: ir.Value, count: ir.Value | None, k0=k0, depth=depth, begin=begin, lines=lines, far=far
            ) -> None:  # fmt: skip
                with e.loop(0, m, self.rows) as i:
                    panel = e.at(scratch, b.mul(i, depth), kind)
                    sums = self._sums(e, kind, b.freeze(panel), b.freeze(e.at(lines, j, kind)), (b0, far), depth, count)
                    row, known = b.freeze(least(e, i, last)), {}
                    places = [Place(e, kind, lanes, row, j, count, False, (r, 0), known) for r in range(self.rows)]
                    if self.after:
                        sums = self.after.emit(places, sums, extra)
                    for r, (place, total) in enumerate(zip(places, sums, strict=True)):
                        if self.after:
                            place.store(total, c, c0, 1)
                            continue
                        with b.if_then(b.icmp_signed(">=", b.add(row, e.int(r)), i)):  # else it has been added to
                            place.store(b.select(begin, total, b.fadd(place.load(c, c0, 1), total)), c, c0, 1)

            with e.loop(start, whole, lanes) as j:
                columns(j, None)
            with e.loop(whole, stop, lanes) as j:
                columns(j, b.sub(stop, j))
        b.ret(e.int(0))

    def _sums(
        self, e: Emitter, kind: ir.Type, panel: ir.Value, lines: ir.Value, strides: tuple[ir.Value, ir.Value],
        depth: ir.Value, count: ir.Value | None,
    ) -> list[ir.Value]:  # fmt: skip
        """strides: from row to row of B, and to what is fetched."""
        b, lanes, (stride, ahead) = e.b, lanes_of(kind), strides
        mask = None if count is None else lane_mask(e, count, kind, lanes)

        def several(many: int) -> Any:
            def add(p: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                factors = e.at(panel, b.mul(p, e.int(self.rows)), kind)
                line = e.at(lines, b.mul(p, stride), kind)
                far = e.at(line, ahead, kind)
                for q in range(many):
                    prefetch(e, e.at(far, lanes - 1, kind), False, 2)
                    value = e.load(line, 0, kind, lanes) if mask is None else masked_load(e, line, kind, lanes, mask)
                    sums = [
                        multiply_add(e, e.splat(e.load(factors, q * self.rows + r, kind), lanes), value, total)
                        for r, total in enumerate(sums)
                    ]
                    line, far = (e.at(x, stride, kind) for x in (line, far))
                return sums

            return add

        rounds = b.and_(depth, e.int(-ROUND))
        sums = fold(e, 0, rounds, ROUND, [ir.Constant(ir.VectorType(kind, lanes), None)] * self.rows, several(ROUND))
        return fold(e, rounds, depth, 1, sums, several(1))

    def scratch(self, m: int, k: int) -> int:
        """Bytes for a block of rows of A, of each thread: a multiple of 64."""
        size = -(-m // self.rows) * self.rows * blocks_of(k)[1] * itemsize(pointwise.register_type(self.code)) + SLACK
        return -(-size // 64) * 64


def high(code: str, numbers: tuple[int, ...], after: Any, split: bool) -> High | None:
    """The kernel for a product of some rows with rows of B that are contiguous; numbers: as in `Product`."""
    m, n, k, a0, a1, _, b1, _, c1 = numbers[:9]
    kind = pointwise.register_type(code)
    most, lanes = 7 * registers() // 8, lanes_of(kind)
    if not LEAST <= m <= 3 * most // 2 or b1 != 1 or c1 != 1 or n < lanes or lanes == 1:
        return None
    rows = -(-m // -(-m // most))
    if k * n * itemsize(kind) < FAR or (rows < m and (rows < AGAIN or after is not None)):
        return None
    return High(code, rows, unit((a0, a1), m, k), after, split and n > LINE * lanes)
