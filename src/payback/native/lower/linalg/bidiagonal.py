"""Singular values and vectors of bidiagonal matrices by implicit QR, with and without shift, as LAPACK's bdsqr finds
them: small values to all their digits (J. Demmel & W. Kahan, Accurate singular values of bidiagonal matrices, 1990).

What decides about a rotation is done as there, for the sake of vectors' signs: see `tridiagonal`.
"""

from __future__ import annotations

from payback.native import ir
from payback.native.codegen.emit import FLOAT64, INT, POINTER, Emitter
from payback.native.lower.kernel import fold
from payback.native.lower.linalg.panels import Columns
from payback.native.lower.linalg.tridiagonal import EPS, TINY, Numbers, exchange, rotation, turn

SWEEPS = 6  # times n² rotations, before LAPACK is asked what it says of the matrix
TOLERANCE = max(10.0, min(100.0, EPS**-0.125)) * EPS
LAST, LOW, HIGH, TURN, DONE, STATE = range(6)  # whole numbers that the iteration keeps in memory


def smaller_value(of: Numbers, f: ir.Value, g: ir.Value, h: ir.Value) -> ir.Value:
    """Of [[f, g], [0, h]] (las2)."""
    b, one = of.b, of(1.0)
    f, g, h = (of.abs(x) for x in (f, g, h))
    low, high = of.smaller(f, h), of.larger(f, h)
    plus, minus = b.fadd(one, b.fdiv(low, high)), b.fdiv(b.fsub(high, low), high)

    def square(x: ir.Value) -> ir.Value:
        return b.fmul(x, x)

    ratio = square(b.fdiv(g, high))
    roots = (of.sqrt(b.fadd(square(x), ratio)) for x in (plus, minus))
    within = b.fmul(low, b.fdiv(of(2.0), b.fadd(*roots)))
    ratio = b.fdiv(high, g)
    roots = (of.sqrt(b.fadd(one, square(b.fmul(x, ratio)))) for x in (plus, minus))
    beyond = b.fmul(b.fmul(low, b.fdiv(one, b.fadd(*roots))), ratio)
    beyond = b.fadd(beyond, beyond)
    beyond = b.select(b.fcmp_ordered("==", ratio, of(0.0)), b.fdiv(b.fmul(low, high), g), beyond)
    found = b.select(of.less(g, high), within, beyond)
    return b.select(b.fcmp_ordered("==", low, of(0.0)), of(0.0), found)


def pair(of: Numbers, f: ir.Value, g: ir.Value, h: ir.Value) -> list[ir.Value]:
    """Of [[f, g], [0, h]]: the larger and the smaller singular value, with signs; cosine and sine on the right and on
    the left (lasv2)."""
    b, zero, one = of.b, of(0.0), of(1.0)
    swapped = of.less(of.abs(f), of.abs(h))
    ft, ht = b.select(swapped, h, f), b.select(swapped, f, h)
    fa, ga, ha = of.abs(ft), of.abs(g), of.abs(ht)
    diagonal = b.fcmp_ordered("==", ga, zero)
    steep = of.less(fa, ga)
    huge = b.and_(steep, of.less(b.fdiv(fa, ga), of(EPS)))
    # the usual case
    d = b.fsub(fa, ha)
    small = b.select(b.fcmp_ordered("==", d, fa), one, b.fdiv(d, fa))
    m = b.fdiv(g, ft)
    t = b.fsub(of(2.0), small)
    mm = b.fmul(m, m)
    s = of.sqrt(b.fadd(b.fmul(t, t), mm))
    flat = b.fcmp_ordered("==", small, zero)
    r = b.select(flat, of.abs(m), of.sqrt(b.fadd(b.fmul(small, small), mm)))
    a = b.fmul(of(0.5), b.fadd(s, r))
    tiny = b.select(flat, b.fmul(of.signed(of(2.0), ft), of.signed(one, g)),
                    b.fadd(b.fdiv(g, of.signed(d, ft)), b.fdiv(m, t)))  # fmt: skip
    plain = b.fmul(b.fadd(b.fdiv(m, b.fadd(s, t)), b.fdiv(m, b.fadd(r, small))), b.fadd(one, a))
    t = b.select(b.fcmp_ordered("==", mm, zero), tiny, plain)
    root = of.sqrt(b.fadd(b.fmul(t, t), of(4.0)))
    cr, sr = b.fdiv(of(2.0), root), b.fdiv(t, root)
    cl, sl = b.fdiv(b.fadd(cr, b.fmul(sr, m)), a), b.fdiv(b.fmul(b.fdiv(ht, ft), sr), a)
    usual = [b.fmul(fa, a), b.fdiv(ha, a), cr, sr, cl, sl]
    low = b.select(of.less(one, ha), b.fdiv(fa, b.fdiv(ga, ha)), b.fmul(b.fdiv(fa, ga), ha))
    of_huge = [ga, low, b.fdiv(ft, g), one, one, b.fdiv(ht, g)]
    of_diagonal = [fa, ha, one, zero, one, zero]
    large, low, cr, sr, cl, sl = (
        b.select(diagonal, x, b.select(huge, y, z)) for x, y, z in zip(of_diagonal, of_huge, usual, strict=True)
    )
    cosine_r, sine_r = b.select(swapped, sl, cr), b.select(swapped, cl, sr)
    cosine_l, sine_l = b.select(swapped, sr, cl), b.select(swapped, cr, sl)
    steep = b.and_(steep, b.not_(diagonal))
    right = b.select(steep, sine_r, b.select(swapped, sine_r, cosine_r))
    left = b.select(steep, cosine_l, b.select(swapped, sine_l, cosine_l))
    entry = b.select(steep, g, b.select(swapped, h, f))
    sign = b.fmul(b.fmul(of.signed(one, right), of.signed(one, left)), of.signed(one, entry))
    low = of.signed(low, b.fmul(b.fmul(sign, of.signed(one, f)), of.signed(one, h)))
    return [of.signed(large, sign), low, cosine_r, sine_r, cosine_l, sine_l]


def diagonalized(e: Emitter, vectors: bool) -> ir.Function:
    """`i64 diagonalized(d, off, u, v, state, high, wide, n, length)`: d becomes the singular values, the largest first;
    off is lost.

    u, v: panels of `high` and `wide` rows whose columns are turned as the matrix is, from the left and from the right.
    1 where the iteration does not end.
    """
    name = f"payback.singular.{int(vectors)}"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(INT, [*[POINTER] * 5, *[INT] * 4]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    _Iteration(e, vectors, made).write()
    return made


def raised(e: Emitter, d: ir.Value, off: ir.Value, u: Columns | None, high: ir.Value, n: ir.Value) -> None:
    """What couples each row to the one before couples it to the next (bdsdc); u: turned from the left."""
    b, of = e.b, Numbers(e)
    with e.loop(0, b.sub(n, e.int(1))) as i:
        following = b.add(i, e.int(1))
        value = e.load(d, following, FLOAT64)
        c, s, r = rotation(of, e.load(d, i, FLOAT64), e.load(off, i, FLOAT64))
        e.store(r, d, i)
        e.store(b.fmul(s, value), off, i)
        e.store(b.fmul(c, value), d, following)
        if u is not None:
            turn(e, u, high, i, following, c, s)


class _Iteration:
    def __init__(self, e: Emitter, vectors: bool, made: ir.Function):
        self.e, self.b, self.of, self.vectors = e, e.b, Numbers(e), vectors
        self.d, self.off, u, v, self.state, self.high, self.wide, self.n, length = made.args
        self.u, self.v = Columns(e, "f8", u, length), Columns(e, "f8", v, length)
        self.zero, self.one = e.int(0), e.int(1)

    def number(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.e.load(place, i, FLOAT64)

    def size(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.of.abs(self.number(place, i))

    def get(self, which: int) -> ir.Value:
        return self.e.load(self.state, which, INT)

    def put(self, value: ir.Value, which: int) -> None:
        self.e.store(value, self.state, which)

    def edge(self, i: ir.Value, turn: ir.Value) -> ir.Value:
        """Where the number is that couples i and i + turn."""
        return self.b.add(i, self.b.ashr(turn, self.one))  # of −1 it is −1, of 1 it is 0

    def turn(self, left: bool, near: ir.Value, far: ir.Value, c: ir.Value, s: ir.Value) -> None:
        if self.vectors:
            z, rows = (self.u, self.high) if left else (self.v, self.wide)
            turn(self.e, z, rows, near, far, c, s)

    def shrunk(self, mu: ir.Value, i: ir.Value, coupling: ir.Value) -> ir.Value:
        """A bound on the smallest value of one row more."""
        return self.b.fmul(self.size(self.d, i), self.b.fdiv(mu, self.b.fadd(mu, coupling)))

    def write(self) -> None:
        e, b, of = self.e, self.b, self.of
        names = ("outer", "block", "found", "ordered", "two", "several")
        outer, block, found, ordered, two, several = (b.append_basic_block(name) for name in names)
        bound = self._bound()
        for which, value in ((LAST, b.sub(self.n, self.one)), (LOW, e.int(-1)), (HIGH, e.int(-1)), (DONE, self.zero)):
            self.put(value, which)
        b.branch(outer)

        b.position_at_end(outer)
        last = self.get(LAST)
        b.cbranch(b.icmp_signed(">", last, self.zero), block, ordered)
        b.position_at_end(block)
        head, look, cut, next_ = (b.append_basic_block(name) for name in ("head", "look", "cut", "next"))
        start = self.size(self.d, last)
        b.branch(head)
        b.position_at_end(head)
        low, largest = b.phi(INT), b.phi(FLOAT64)
        low.add_incoming(last, block)
        largest.add_incoming(start, block)
        b.cbranch(b.icmp_signed("==", low, self.zero), found, look)
        b.position_at_end(look)
        before = b.sub(low, self.one)
        coupling = self.size(self.off, before)
        b.cbranch(b.fcmp_ordered("<=", coupling, bound), cut, next_)
        b.position_at_end(next_)
        low.add_incoming(before, next_)
        largest.add_incoming(of.larger(largest, of.larger(self.size(self.d, before), coupling)), next_)
        b.branch(head)
        b.position_at_end(cut)
        e.store(of(0.0), self.off, before)
        alone = b.append_basic_block("alone")
        b.cbranch(b.icmp_signed("==", low, last), alone, found)
        b.position_at_end(alone)
        self.put(before, LAST)
        b.branch(outer)
        b.position_at_end(found)
        b.cbranch(b.icmp_signed("==", low, b.sub(last, self.one)), two, several)

        b.position_at_end(two)
        values = [self.number(x, i) for x, i in ((self.d, low), (self.off, low), (self.d, last))]
        large, small, *turns = pair(of, *values)
        for value, place, i in ((large, self.d, low), (of(0.0), self.off, low), (small, self.d, last)):
            e.store(value, place, i)
        self.turn(False, low, last, *turns[:2])
        self.turn(True, low, last, *turns[2:])
        self.put(b.sub(last, e.int(2)), LAST)
        b.branch(outer)

        b.position_at_end(several)
        elsewhere = b.or_(b.icmp_signed(">", low, self.get(HIGH)), b.icmp_signed("<", last, self.get(LOW)))
        with b.if_then(elsewhere):
            down = b.fcmp_ordered(">=", self.size(self.d, low), self.size(self.d, last))
            self.put(b.select(down, self.one, e.int(-1)), TURN)
        step = self.get(TURN)
        down = b.icmp_signed(">", step, self.zero)
        here, end = b.select(down, low, last), b.select(down, last, low)
        self._step(outer, bound, largest, here, end, step, low, last)

        b.position_at_end(ordered)
        self._in_order()
        b.ret(self.zero)

    def _bound(self) -> ir.Value:
        """Of couplings that are none."""
        e, b, of = self.e, self.b, self.of
        first = self.size(self.d, self.zero)

        def more(i: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
            mu, smallest = found
            following = self.shrunk(mu, i, self.size(self.off, b.sub(i, self.one)))
            ended = b.fcmp_ordered("==", smallest, of(0.0))
            mu = b.select(ended, of(0.0), following)
            return [mu, b.select(ended, smallest, of.smaller(smallest, mu))]

        n = b.sitofp(self.n, FLOAT64)
        smallest = b.fdiv(fold(e, 1, self.n, 1, [first, first], more)[1], of.sqrt(n))
        least_bound = b.fmul(of(SWEEPS), b.fmul(n, b.fmul(n, of(TINY))))
        return of.larger(b.fmul(of(TOLERANCE), smallest), least_bound)

    def _step(
        self, outer: ir.Block, bound: ir.Value, largest: ir.Value, here: ir.Value, end: ir.Value, step: ir.Value,
        low: ir.Value, last: ir.Value,
    ) -> None:  # fmt: skip
        """A coupling is found to be none, or rotations go from `here` to the end."""
        e, b, of = self.e, self.b, self.of
        final = self.edge(b.sub(end, step), step)  # the coupling at the end
        gone, look, head, test, next_, sweep = (b.append_basic_block() for _ in range(6))
        none = b.append_basic_block("none")
        at_end = b.fcmp_ordered("<=", self.size(self.off, final), b.fmul(of(TOLERANCE), self.size(self.d, end)))
        b.cbranch(at_end, gone, look)
        b.position_at_end(gone)
        e.store(of(0.0), self.off, final)
        b.branch(outer)
        b.position_at_end(look)
        first = self.size(self.d, here)
        b.branch(head)
        b.position_at_end(head)
        i, mu, smallest = b.phi(INT), b.phi(FLOAT64), b.phi(FLOAT64)
        for phi, value in ((i, here), (mu, first), (smallest, first)):
            phi.add_incoming(value, look)
        b.cbranch(b.icmp_signed("==", i, end), sweep, test)
        b.position_at_end(test)
        at = self.edge(i, step)
        coupling = self.size(self.off, at)
        b.cbranch(b.fcmp_ordered("<=", coupling, b.fmul(of(TOLERANCE), mu)), none, next_)
        b.position_at_end(none)
        e.store(of(0.0), self.off, at)
        b.branch(outer)
        b.position_at_end(next_)
        following = b.add(i, step)
        shrunk = self.shrunk(mu, following, coupling)
        for phi, value in ((i, following), (mu, shrunk), (smallest, of.smaller(smallest, shrunk))):
            phi.add_incoming(value, next_)
        b.branch(head)

        b.position_at_end(sweep)
        self.put(low, LOW)
        self.put(last, HIGH)
        done = b.add(self.get(DONE), b.sub(last, low))
        with b.if_then(b.icmp_signed(">", done, b.mul(e.int(SWEEPS), b.mul(self.n, self.n))), likely=False):
            b.ret(self.one)
        self.put(done, DONE)
        relative = b.fmul(b.fmul(b.sitofp(self.n, FLOAT64), of(TOLERANCE)), b.fdiv(smallest, largest))
        before = b.sub(end, step)
        shift = smaller_value(of, self.number(self.d, before), self.number(self.off, final), self.number(self.d, end))
        ratio = b.fdiv(shift, first)  # first is not zero unless the matrix is singular, and then no shift is needed
        useless = b.and_(of.less(of(0.0), first), of.less(b.fmul(ratio, ratio), of(EPS)))
        lost = b.fcmp_ordered("<=", relative, of(max(EPS, 0.01 * TOLERANCE)))
        plain = b.or_(b.or_(lost, useless), b.fcmp_ordered("==", shift, of(0.0)))
        down = b.icmp_signed(">", step, self.zero)
        count = b.mul(b.sub(end, here), step)
        with b.if_else(plain) as (without, with_):
            with without:
                self._without_shift(here, count, step, down)
            with with_:
                self._with_shift(here, count, step, down, shift)
        with b.if_then(b.fcmp_ordered("<=", self.size(self.off, final), bound)):
            e.store(of(0.0), self.off, final)
        b.branch(outer)

    def _turned(
        self, down: ir.Value, near: ir.Value, far: ir.Value, first: list[ir.Value], second: list[ir.Value]
    ) -> None:
        """The first rotation is one from the right if the matrix is gone through downwards, else one from the left."""
        for left in (False, True):
            c, s = (self.b.select(down, y if left else x, x if left else y) for x, y in zip(first, second, strict=True))
            self.turn(left, near, far, c, s)

    def _without_shift(self, here: ir.Value, count: ir.Value, step: ir.Value, down: ir.Value) -> None:
        e, b, of = self.e, self.b, self.of

        def rotate(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
            c, old_c, old_s = values
            i = b.add(here, b.mul(k, step))
            following = b.add(i, step)
            at = self.edge(i, step)
            c, s, r = rotation(of, b.fmul(self.number(self.d, i), c), self.number(self.off, at))
            with b.if_then(b.icmp_signed(">", k, self.zero)):
                e.store(b.fmul(old_s, r), self.off, self.edge(b.sub(i, step), step))
            old_c, old_s, value = rotation(of, b.fmul(old_c, r), b.fmul(self.number(self.d, following), s))
            e.store(value, self.d, i)
            self._turned(down, i, following, [c, s], [old_c, old_s])
            return [c, old_c, old_s]

        c, old_c, old_s = fold(e, 0, count, 1, [of(1.0), of(1.0), of(0.0)], rotate)
        end = b.add(here, b.mul(count, step))
        value = b.fmul(self.number(self.d, end), c)
        e.store(b.fmul(value, old_c), self.d, end)
        e.store(b.fmul(value, old_s), self.off, self.edge(b.sub(end, step), step))

    def _with_shift(self, here: ir.Value, count: ir.Value, step: ir.Value, down: ir.Value, shift: ir.Value) -> None:
        e, b, of = self.e, self.b, self.of
        d = self.number(self.d, here)
        f = b.fmul(b.fsub(of.abs(d), shift), b.fadd(of.signed(of(1.0), d), b.fdiv(shift, d)))
        g = self.number(self.off, self.edge(here, step))
        last = b.sub(count, self.one)

        def rotate(k: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
            f, g = values
            i = b.add(here, b.mul(k, step))
            following = b.add(i, step)
            at = self.edge(i, step)
            right_c, right_s, r = rotation(of, f, g)
            with b.if_then(b.icmp_signed(">", k, self.zero)):
                e.store(r, self.off, self.edge(b.sub(i, step), step))
            d, off, other = self.number(self.d, i), self.number(self.off, at), self.number(self.d, following)
            f = b.fadd(b.fmul(right_c, d), b.fmul(right_s, off))
            off = b.fsub(b.fmul(right_c, off), b.fmul(right_s, d))
            g, other = b.fmul(right_s, other), b.fmul(right_c, other)
            left_c, left_s, r = rotation(of, f, g)
            e.store(r, self.d, i)
            f = b.fadd(b.fmul(left_c, off), b.fmul(left_s, other))
            e.store(b.fsub(b.fmul(left_c, other), b.fmul(left_s, off)), self.d, following)
            # the next coupling; there is none beyond the end, where this reads and writes back the last one
            inside = b.icmp_signed("<", k, last)
            beyond = b.select(inside, self.edge(following, step), at)
            coupling = self.number(self.off, beyond)
            e.store(b.select(inside, b.fmul(left_c, coupling), coupling), self.off, beyond)
            self._turned(down, i, following, [right_c, right_s], [left_c, left_s])
            return [f, b.fmul(left_s, coupling)]

        f, _ = fold(e, 0, count, 1, [f, g], rotate)
        e.store(f, self.off, self.edge(b.add(here, b.mul(last, step)), step))

    def _in_order(self) -> None:
        """No value is negative, the largest is first; of one row LAPACK turns the left vector, of more the right."""
        e, b, of = self.e, self.b, self.of
        one = b.icmp_signed("==", self.n, self.one)
        with e.loop(0, self.n) as i:
            value = self.number(self.d, i)
            e.store(of.abs(value), self.d, i)
            if self.vectors:
                with b.if_then(of.less(value, of(0.0))):
                    place = b.select(one, self.u.column(i), self.v.column(i))
                    with e.loop(0, b.select(one, self.high, self.wide), self.u.lanes) as j:
                        e.store(b.fneg(e.load(place, j, FLOAT64, self.u.lanes)), place, j)
        with e.loop(1, self.n) as k:
            end = b.sub(self.n, k)

            def smallest(j: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
                x = self.number(self.d, j)
                less = b.fcmp_ordered("<=", x, best[1])
                return [b.select(less, j, best[0]), b.select(less, x, best[1])]

            at, value = fold(e, 1, b.add(end, self.one), 1, [self.zero, self.number(self.d, self.zero)], smallest)
            with b.if_then(b.icmp_signed("!=", at, end)):
                e.store(self.number(self.d, end), self.d, at)
                e.store(value, self.d, end)
                if self.vectors:
                    exchange(e, self.u, self.high, at, end)
                    exchange(e, self.v, self.wide, at, end)
