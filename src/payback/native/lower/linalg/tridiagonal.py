"""Eigenvalues and eigenvectors of symmetric tridiagonal matrices by implicit QL and QR, as LAPACK's steqr finds them.

Vectors' signs are those of the rotations, so what decides about a rotation is done as there: which end the iteration
works towards, its shift, what counts as zero, where it begins anew.  Products and sums of numbers are rounded one by
one for that reason (B. Parlett, The Symmetric Eigenvalue Problem, §8.11-8.15).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import FLOAT64, INT, POINTER, Emitter, constant
from payback.native.lower.kernel import fold
from payback.native.lower.linalg.panels import Columns
from payback.native.lower.products.blocked.packing import least

EPS, TINY, MAX = float(np.finfo(float).eps) / 2, float(np.finfo(float).tiny), float(np.finfo(float).max)
SWEEPS = 30  # for each eigenvalue, before LAPACK is asked what it says of the matrix
FIRST, HERE, END, TURN, DONE, SAVED, STATE = range(7)  # whole numbers that the iteration keeps in memory


class Numbers:
    """Arithmetic on float64, as it is written down."""

    def __init__(self, e: Emitter):
        self.e, self.b = e, e.b

    def __call__(self, value: float) -> ir.Constant:
        return constant(FLOAT64, value)

    def abs(self, x: ir.Value) -> ir.Value:
        return self.e.intrinsic("fabs", x)

    def sqrt(self, x: ir.Value) -> ir.Value:
        return self.e.intrinsic("sqrt", x)

    def signed(self, x: ir.Value, sign: ir.Value) -> ir.Value:
        return self.e.intrinsic("copysign", x, sign)

    def less(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.fcmp_ordered("<", x, y)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.less(x, y), y, x)

    def smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.less(x, y), x, y)

    def length(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """√(x² + y²): lapy2, where one of them is not zero."""
        b = self.b
        x, y = self.abs(x), self.abs(y)
        high = self.larger(x, y)
        ratio = b.fdiv(self.smaller(x, y), high)
        return b.fmul(high, self.sqrt(b.fadd(self(1.0), b.fmul(ratio, ratio))))


def rotation(of: Numbers, f: ir.Value, g: ir.Value) -> list[ir.Value]:
    """c, s, r with c·f + s·g = r and c·g = s·f, c not negative (lartg; E. Anderson, Algorithm 978, 2017)."""
    b, low, high = of.b, of(TINY**0.5), of((MAX / 2) ** 0.5)
    sizes = of.abs(f), of.abs(g)

    def found(f: ir.Value, g: ir.Value) -> list[ir.Value]:
        size = of.sqrt(b.fadd(b.fmul(f, f), b.fmul(g, g)))
        r = of.signed(size, f)
        return [b.fdiv(of.abs(f), size), b.fdiv(g, r), r]

    good = b.and_(
        b.and_(of.less(low, sizes[0]), of.less(sizes[0], high)), b.and_(of.less(low, sizes[1]), of.less(sizes[1], high))
    )
    plain, rare, after = (b.append_basic_block(name) for name in ("plain", "rare", "after"))
    b.cbranch(good, plain, rare, likely=True)
    b.position_at_end(plain)
    ways = [(found(f, g), b.block)]
    b.branch(after)
    b.position_at_end(rare)
    unit = of.smaller(of(MAX / 4), of.larger(of(TINY), of.larger(*sizes)))
    c, s, r = found(b.fdiv(f, unit), b.fdiv(g, unit))
    scaled = [c, s, b.fmul(r, unit)]
    no_f, no_g = (b.fcmp_ordered("==", size, of(0.0)) for size in sizes)
    if_no_f = [of(0.0), of.signed(of(1.0), g), sizes[1]]
    if_no_g = [of(1.0), of(0.0), f]
    ways.append(
        ([b.select(no_g, z, b.select(no_f, y, x)) for x, y, z in zip(scaled, if_no_f, if_no_g, strict=True)], b.block)
    )
    b.branch(after)
    b.position_at_end(after)
    made = []
    for k in range(3):
        phi = b.phi(FLOAT64)
        for values, block in ways:
            phi.add_incoming(values[k], block)
        made.append(phi)
    return made


def pair(of: Numbers, x: ir.Value, off: ir.Value, y: ir.Value) -> list[ir.Value]:
    """Eigenvalues of [[x, off], [off, y]], that of larger magnitude first, and its vector c, s (laev2)."""
    b, one, half = of.b, of(1.0), of(0.5)
    total, apart, twice = b.fadd(x, y), b.fsub(x, y), b.fadd(off, off)
    size = of.abs(twice)
    first = of.less(of.abs(y), of.abs(x))
    high, low = b.select(first, x, y), b.select(first, y, x)
    equal = b.fcmp_ordered("==", of.abs(apart), size)  # 0, 0 too
    root = b.select(equal, b.fmul(size, of.sqrt(of(2.0))), of.length(apart, twice))
    below, none = of.less(total, of(0.0)), b.fcmp_ordered("==", total, of(0.0))
    large = b.fmul(half, b.select(below, b.fsub(total, root), b.fadd(total, root)))
    small = b.fsub(b.fmul(b.fdiv(high, large), low), b.fmul(b.fdiv(off, large), off))
    large = b.select(none, b.fmul(half, root), large)
    small = b.select(none, b.fmul(of(-0.5), root), small)
    rising = b.fcmp_ordered(">=", apart, of(0.0))
    c = b.select(rising, b.fadd(apart, root), b.fsub(apart, root))
    cotangent, tangent = b.fdiv(b.fneg(twice), c), b.fdiv(b.fneg(c), twice)

    def with_one(t: ir.Value) -> ir.Value:
        return b.fdiv(one, of.sqrt(b.fadd(one, b.fmul(t, t))))

    by_sine, by_cosine = with_one(cotangent), with_one(tangent)
    steep, flat = of.less(size, of.abs(c)), b.fcmp_ordered("==", size, of(0.0))
    sine = b.select(steep, by_sine, b.select(flat, of(0.0), b.fmul(tangent, by_cosine)))
    cosine = b.select(steep, b.fmul(cotangent, by_sine), b.select(flat, one, by_cosine))
    turned = b.xor(below, rising)  # the signs of both are one
    return [large, small, b.select(turned, b.fneg(sine), cosine), b.select(turned, cosine, sine)]


def turn(e: Emitter, z: Columns, n: ir.Value, near: ir.Value, far: ir.Value, c: ir.Value, s: ir.Value) -> None:
    """Two columns: near' = c·near + s·far, far' = c·far − s·near."""
    b, lanes = e.b, z.lanes
    places = z.column(near), z.column(far)
    c, s = e.splat(c, lanes), e.splat(s, lanes)
    with e.loop(0, n, lanes) as i:
        x, y = (e.load(place, i, FLOAT64, lanes) for place in places)
        e.store(b.fadd(b.fmul(c, x), b.fmul(s, y)), places[0], i)
        e.store(b.fsub(b.fmul(c, y), b.fmul(s, x)), places[1], i)


def exchange(e: Emitter, z: Columns, n: ir.Value, one: ir.Value, other: ir.Value) -> None:
    """Two columns change places."""
    places = z.column(one), z.column(other)
    with e.loop(0, n, z.lanes) as i:
        x, y = (e.load(place, i, FLOAT64, z.lanes) for place in places)
        e.store(x, places[1], i)
        e.store(y, places[0], i)


def diagonalized(e: Emitter, vectors: bool) -> ir.Function:
    """`i64 diagonalized(d, off, z, state, n, length)`: d becomes the eigenvalues, in order; off is lost.

    z: a panel whose columns are turned as the matrix is.  1 where the iteration does not end, or numbers are too small.
    """
    name = f"payback.diagonalized.{int(vectors)}"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(INT, [*[POINTER] * 4, *[INT] * 2]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    _Iteration(e, vectors, made).write()
    return made


class _Iteration:
    def __init__(self, e: Emitter, vectors: bool, made: ir.Function):
        self.e, self.b, self.of, self.vectors = e, e.b, Numbers(e), vectors
        self.d, self.off, z, self.state, self.n, length = made.args
        self.z = Columns(e, "f8", z, length)
        self.zero, self.one = e.int(0), e.int(1)

    def number(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.e.load(place, i, FLOAT64)

    def get(self, which: int) -> ir.Value:
        return self.e.load(self.state, which, INT)

    def put(self, value: ir.Value, which: int) -> None:
        self.e.store(value, self.state, which)

    def edge(self, i: ir.Value, turn: ir.Value) -> ir.Value:
        """Where the number is that couples i and i + turn."""
        return self.b.add(i, self.b.ashr(turn, self.one))  # of −1 it is −1, of 1 it is 0

    def sought(self, start: ir.Value, stop: ir.Value, step: ir.Value, negligible: Any) -> ir.Value:
        """The first of start, start + step … whose coupling to the next is negligible, and made zero; else stop."""
        e, b = self.e, self.b
        before, (head, look, next_, found, after) = b.block, [b.append_basic_block() for _ in range(5)]
        b.branch(head)
        b.position_at_end(head)
        m = b.phi(INT)
        m.add_incoming(start, before)
        b.cbranch(b.icmp_signed("!=", m, stop), look, after)
        b.position_at_end(look)
        at = self.edge(m, step)
        there = [self.of.abs(self.number(self.d, x)) for x in (m, b.add(m, step))]
        small = negligible(self.of.abs(self.number(self.off, at)), *there)
        b.cbranch(small, found, next_)
        b.position_at_end(next_)
        m.add_incoming(b.add(m, step), next_)
        b.branch(head)
        b.position_at_end(found)
        e.store(self.of(0.0), self.off, at)
        b.branch(after)
        b.position_at_end(after)
        return m

    def scale(self, start: ir.Value, stop: ir.Value, factor: ir.Value) -> None:
        """A block, its last row `stop`; one coupling more is harmless, for it is zero or beyond the end."""
        with self.e.loop(start, self.b.add(stop, self.one)) as i:
            for place in (self.d, self.off):
                self.e.store(self.b.fmul(self.number(place, i), factor), place, i)

    def turn(self, near: ir.Value, far: ir.Value, c: ir.Value, s: ir.Value) -> None:
        if self.vectors:
            turn(self.e, self.z, self.n, near, far, c, s)

    def write(self) -> None:
        e, b, of = self.e, self.b, self.of
        last = b.sub(self.n, self.one)
        outer, block, again, unscaled, ordered = (
            b.append_basic_block(name) for name in ("outer", "block", "again", "unscaled", "ordered")
        )
        factor = e.at(self.state, STATE, INT)  # of a block's numbers, afterwards
        self.put(self.zero, FIRST)
        self.put(self.zero, DONE)
        b.branch(outer)

        b.position_at_end(outer)
        first = self.get(FIRST)
        b.cbranch(b.icmp_signed("<", first, self.n), block, ordered)
        b.position_at_end(block)

        def no_coupling(size: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
            bound = b.fmul(b.fmul(of.sqrt(x), of.sqrt(y)), of(EPS))
            return b.fcmp_ordered("<=", size, bound)

        end = self.sought(first, last, self.one, no_coupling)
        self.put(b.add(end, self.one), FIRST)

        def largest(i: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
            sizes = [of.abs(self.number(place, i)) for place in (self.d, self.off)]
            return [of.larger(best[0], of.larger(*sizes))]

        (size,) = fold(e, first, end, 1, [of.abs(self.number(self.d, end))], largest)
        alone = b.icmp_signed("==", end, first)
        work = b.append_basic_block("work")
        b.cbranch(b.or_(alone, b.fcmp_ordered("==", size, of(0.0))), outer, work)
        b.position_at_end(work)
        least_size = of(TINY**0.5 / EPS**2)
        small = of.less(size, least_size)
        e.store(b.select(small, b.fdiv(size, least_size), of(1.0)), factor, 0)
        with b.if_then(small, likely=False):
            larger = b.fdiv(least_size, size)
            with b.if_then(b.not_(of.less(larger, of(MAX))), likely=False):
                b.ret(self.one)
            self.scale(first, end, larger)
        backwards = of.less(of.abs(self.number(self.d, end)), of.abs(self.number(self.d, first)))
        self.put(first, SAVED)
        self.put(b.select(backwards, end, first), HERE)
        self.put(b.select(backwards, first, end), END)
        self.put(b.select(backwards, e.int(-1), self.one), TURN)
        b.branch(again)

        b.position_at_end(again)
        here, stop, turn = (self.get(which) for which in (HERE, END, TURN))
        iteration = b.append_basic_block("iteration")
        b.cbranch(b.icmp_signed("<", b.mul(b.sub(stop, here), turn), self.zero), unscaled, iteration)
        b.position_at_end(iteration)

        def converged(size: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
            bound = b.fadd(b.fmul(b.fmul(of(EPS**2), x), y), of(TINY))
            return b.fcmp_ordered("<=", b.fmul(size, size), bound)

        m = self.sought(here, stop, turn, converged)
        one, several, two, sweep = (b.append_basic_block(name) for name in ("one", "several", "two", "sweep"))
        b.cbranch(b.icmp_signed("==", m, here), one, several)
        b.position_at_end(one)
        self.put(b.add(here, turn), HERE)
        b.branch(again)
        b.position_at_end(several)
        b.cbranch(b.icmp_signed("==", m, b.add(here, turn)), two, sweep)
        b.position_at_end(two)
        self._two(least(e, here, m))
        self.put(b.add(b.add(m, turn), self.zero), HERE)
        b.branch(again)
        b.position_at_end(sweep)
        done = b.add(self.get(DONE), self.one)
        with b.if_then(b.icmp_signed(">", done, b.mul(self.n, e.int(SWEEPS))), likely=False):
            b.ret(self.one)
        self.put(done, DONE)
        self._sweep(here, m, turn)
        b.branch(again)

        b.position_at_end(unscaled)
        back = e.load(factor, 0, FLOAT64)
        with b.if_then(b.fcmp_ordered("!=", back, of(1.0)), likely=False):
            self.scale(self.get(SAVED), b.sub(self.get(FIRST), self.one), back)
        b.branch(outer)

        b.position_at_end(ordered)
        self._in_order()
        b.ret(self.zero)

    def _two(self, low: ir.Value) -> None:
        e, b = self.e, self.b
        high = b.add(low, self.one)
        found = pair(self.of, self.number(self.d, low), self.number(self.off, low), self.number(self.d, high))
        e.store(found[0], self.d, low)
        e.store(found[1], self.d, high)
        e.store(self.of(0.0), self.off, low)
        self.turn(low, high, *found[2:])

    def _sweep(self, here: ir.Value, m: ir.Value, turn: ir.Value) -> None:
        """The bulge goes from m to `here`."""
        e, b, of = self.e, self.b, self.of
        there, value = self.edge(here, turn), self.number(self.d, here)
        coupling = self.number(self.off, there)
        next_ = self.number(self.d, b.add(here, turn))
        g = b.fdiv(b.fsub(next_, value), b.fmul(of(2.0), coupling))
        r = of.length(g, of(1.0))
        shift = b.fdiv(coupling, b.fadd(g, of.signed(r, g)))
        g = b.fadd(b.fsub(self.number(self.d, m), value), shift)
        count = b.mul(b.sub(m, here), turn)

        def step(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
            g, s, c, p = values
            near = b.sub(m, b.mul(k, turn))
            far = b.sub(near, turn)
            coupling = self.number(self.off, self.edge(far, turn))
            f, other = b.fmul(s, coupling), b.fmul(c, coupling)
            c, s, r = rotation(of, g, f)
            with b.if_then(b.icmp_signed("!=", k, self.zero)):
                e.store(r, self.off, self.edge(near, turn))
            g = b.fsub(self.number(self.d, near), p)
            r = b.fadd(b.fmul(b.fsub(self.number(self.d, far), g), s), b.fmul(b.fmul(of(2.0), c), other))
            p = b.fmul(s, r)
            e.store(b.fadd(g, p), self.d, near)
            g = b.fsub(b.fmul(c, r), other)
            self.turn(near, far, c, s)
            return [g, s, c, p]

        g, _, _, p = fold(e, self.zero, count, 1, [g, of(1.0), of(1.0), of(0.0)], step)
        e.store(b.fsub(self.number(self.d, here), p), self.d, here)
        e.store(g, self.off, there)

    def _in_order(self) -> None:
        """The least first, then the least of the others; few columns are exchanged."""
        e, b, of = self.e, self.b, self.of
        with e.loop(0, b.sub(self.n, self.one)) as i:

            def smallest(j: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
                x = self.number(self.d, j)
                less = of.less(x, best[1])
                return [b.select(less, j, best[0]), b.select(less, x, best[1])]

            own = self.number(self.d, i)
            k, value = fold(e, b.add(i, self.one), self.n, 1, [i, own], smallest)
            with b.if_then(b.icmp_signed("!=", k, i)):
                e.store(own, self.d, k)
                e.store(value, self.d, i)
                if self.vectors:
                    exchange(e, self.z, self.n, i, k)
