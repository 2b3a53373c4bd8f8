"""The exponential of matrices, and its derivative, one matrix after another.

Scaling and squaring with Padé approximants: A. Al-Mohy & N. Higham, A new scaling and squaring algorithm for the matrix
exponential, SIAM J. Matrix Anal. Appl. 31 (2009), algorithm 6.1, with norms of powers that are computed and not
estimated.  The derivative along e is carried beside each matrix: Computing the Fréchet derivative of the matrix
exponential (2009), algorithm 6.4.
"""

from __future__ import annotations

from functools import cache
from math import factorial, log2, prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, INT32, Emitter, constant, lanes_of
from payback.native.lower import elementary, pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.linalg.factored import arena, fits, shared, whole
from payback.native.lower.linalg.panels import INNER, exchange, length_of, pivoted
from payback.native.lower.linalg.squares import HIGH, norm, power_norm, square_product
from payback.native.lower.linalg.triangles import triangle
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.packing import most
from payback.native.lower.products.blocked.tile import multiply_add
from payback.native.planning import layout
from payback.native.planning.layout import Buffer, View

LARGEST = 128  # rows: products here are not blocked
MOST_HALVINGS = {
    "f8": 53,
    "f4": 21,
}  # after more squarings no digit is left; and six times as many are a number's power
DEGREES = (3, 5, 7, 9, 13)
# The largest norms for each degree: of roots of norms of powers, and of the matrix itself where there is a derivative.
THETA = (1.495585217958292e-2, 2.539398330063230e-1, 9.504178996162932e-1, 2.097847961257068, 4.25)
ELL = (1.08e-2, 2.00e-1, 7.83e-1, 1.78, 4.74)
# Matrices in memory: a, its powers 2, 4, 6, 8 one after another, and sums
A, POWERS, W, U, V, T, SLOTS = 0, 1, 5, 6, 7, 8, 9


@cache
def _coefficients() -> np.ndarray[Any, Any]:
    """A row for each degree: of 1 and a, of even powers, of these times a, of all times the sixth power."""
    rows = []
    for m in DEGREES:
        c = [float(factorial(2 * m - j) * factorial(m) // (factorial(m - j) * factorial(j)) // factorial(m)) if j <= m
             else 0.0 for j in range(15)]  # fmt: skip
        low = 3 if m == 13 else 4
        even, odd = ([c[2 * k + part] if k <= low else 0.0 for k in range(1, 5)] for part in (0, 1))
        high = [c[j] if m == 13 else 0.0 for j in (8, 10, 12, 9, 11, 13)]
        rows.append([c[0], c[1], *even, *odd, *high])
    return np.array(rows)


def _remainder(m: int) -> float:
    """log2 of the first coefficient of the backward error's series: of the power 2m + 1."""
    return log2(factorial(m) ** 2) - log2(factorial(2 * m)) - log2(factorial(2 * m + 1))


class Exponential(NamedTuple):
    """args: a, e (a where there is no derivative), the result, coefficients, memory, count, n, row length, bytes of
    memory for each thread.  1 where a number is not finite, or powers of 2 leave the range: then SciPy says."""

    code: str
    derivative: bool
    split: bool
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, along, made, table, memory = (args.pointer() for _ in range(5))
        count, n, ld, size = args.ints(4)
        start, stop = e.int(0), count
        if self.split:
            memory = e.at(memory, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        work = _Matrices(e, self.code, self.derivative, memory, table, n, ld)
        kind, square = work.kind, b.mul(n, n)
        with e.loop(start, stop) as number:
            first = b.mul(number, square)
            for part, source in enumerate((a, along)[: 1 + self.derivative]):
                work.read(e.at(source, first, kind), work.at(A, part))
            work.product(POWERS, A, A)
            work.product(POWERS + 1, POWERS, POWERS)
            work.product(POWERS + 2, POWERS + 1, POWERS)
            which, power, failed = work.chosen()
            with b.if_then(failed, likely=False):
                b.ret(e.int(1))
            work.scale(power)
            work.approximate(which)
            result = work.squared(power)
            work.write(result, e.at(made, first, kind))
        b.ret(e.int(0))


class _Matrices:
    """Matrices in working memory: rows of `ld` entries, whole vectors, and whole tiles of rows, zeros beyond n.

    Each has its derivative as far behind it as all of them need.
    """

    def __init__(
        self, e: Emitter, code: str, derivative: bool, memory: ir.Value, table: ir.Value, n: ir.Value, ld: ir.Value
    ):  # fmt: skip
        self.e, self.code, self.derivative, self.n, self.ld, self.table = e, code, derivative, n, ld, table
        self.kind, b = pointwise.register_type(code), e.b
        self.lanes = lanes_of(self.kind)
        self.rows = b.and_(b.add(n, e.int(HIGH - 1)), e.int(-HIGH))
        self.slot = b.mul(self.rows, ld)
        self.memory = memory
        self.dual = b.mul(self.slot, e.int(SLOTS))
        beyond = e.at(memory, b.mul(self.dual, e.int(1 + derivative)), self.kind)
        self.length = length_of(e, n, self.lanes)
        self.panel = beyond
        beyond = e.at(beyond, b.mul(b.add(n, e.int(INNER)), self.length), self.kind)
        self.pivots = beyond
        self.vectors = e.at(beyond, n, INT)

    def at(self, slot: Any, part: int = 0) -> ir.Value:
        place = self.e.at(self.memory, self.e.b.mul(self.slot, self.e.int(slot)), self.kind)
        return self._part(place, part)

    def _part(self, place: ir.Value, part: int) -> ir.Value:
        return self.e.at(place, self.dual, self.kind) if part else place

    @property
    def parts(self) -> range:
        return range(1 + self.derivative)

    def read(self, source: ir.Value, target: ir.Value) -> None:
        e, b = self.e, self.e.b
        with e.loop(0, self.slot, self.lanes) as i:
            e.store(constant(ir.VectorType(self.kind, self.lanes), 0.0), target, i)
        with e.loop(0, self.n) as i, e.loop(0, self.n) as j:
            e.store(e.load(source, b.add(b.mul(i, self.n), j), self.kind), target, b.add(b.mul(i, self.ld), j))

    def write(self, source: ir.Value, target: ir.Value) -> None:
        e, b = self.e, self.e.b
        with e.loop(0, self.n) as i, e.loop(0, self.n) as j:
            e.store(e.load(source, b.add(b.mul(i, self.ld), j), self.kind), target, b.add(b.mul(i, self.n), j))

    def product(self, made: int, x: int, y: int) -> None:
        self.product_at(self.at(made), self.at(x), self.at(y))

    def product_at(self, made: ir.Value, x: ir.Value, y: ir.Value) -> None:
        self._product(made, x, y, False)
        if self.derivative:
            target = self._part(made, 1)
            self._product(target, x, self._part(y, 1), False)
            self._product(target, self._part(x, 1), y, True)

    def _product(self, made: ir.Value, x: ir.Value, y: ir.Value, plus: bool) -> None:
        self.e.b.call(square_product(self.e, self.code, plus), [made, x, y, self.n, self.rows, self.ld])

    def each(self, function: Any) -> None:
        """function(i) for each vector of a matrix."""
        with self.e.loop(0, self.slot, self.lanes) as i:
            function(i)

    def load(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.e.load(place, i, self.kind, self.lanes)

    # --- degree and scaling

    def chosen(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The number of the degree, the exponent of the scaling, and whether neither can be told."""
        e, b = self.e, self.e.b
        ready = b.append_basic_block("ready")
        found: list[tuple[Any, Any, Any]] = []

        def accept(which: int, power: ir.Value) -> None:
            found.append((e.int(which), power, b.block))
            b.branch(ready)

        size = self.log_norm(A)
        finite = b.fcmp_ordered("<", size, constant(FLOAT64, float("inf")))
        with b.if_then(b.not_(finite), likely=False):
            accept(-1, e.int(0))
        if self.derivative:
            for which, bound in enumerate(ELL[:4]):
                if DEGREES[which] == 9:
                    self.product(POWERS + 3, POWERS + 1, POWERS + 1)
                with b.if_then(b.fcmp_ordered("<=", size, constant(FLOAT64, log2(bound)))):
                    accept(which, e.int(0))
            power = self._steps(size, ELL[4])
        else:
            fourth, sixth = (self.log_norm(POWERS + k, 2 * k + 2) for k in (1, 2))
            bound = self._larger(fourth, sixth)
            for which in range(4):
                if which == 2:
                    self.product(POWERS + 3, POWERS + 1, POWERS + 1)
                    eighth = self.log_norm(POWERS + 3, 8)
                    bound = self._larger(sixth, eighth)
                with b.if_then(b.fcmp_ordered("<=", bound, constant(FLOAT64, log2(THETA[which])))):
                    more = self.further(DEGREES[which], size)
                    with b.if_then(b.icmp_signed("==", more, e.int(0))):
                        accept(which, e.int(0))
            self._product(self.at(T), self.at(POWERS + 1), self.at(POWERS + 2), False)
            last = self._larger(eighth, self.log_norm(T, 10))
            bound = b.select(b.fcmp_ordered("<", bound, last), bound, last)
            power = self._steps(bound, THETA[4])
            power = b.add(power, self.further(13, b.fsub(size, b.sitofp(power, FLOAT64))))
        accept(4, power)
        b.position_at_end(ready)
        which, power = b.phi(INT), b.phi(INT)
        for number, exponent, block in found:
            which.add_incoming(number, block)
            power.add_incoming(exponent, block)
        fits = b.and_(
            b.icmp_signed(">=", which, e.int(0)), b.icmp_unsigned("<=", power, e.int(MOST_HALVINGS[self.code]))
        )
        return which, power, b.not_(fits)

    def _larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.e.b.select(self.e.b.fcmp_ordered(">", x, y), x, y)

    def _steps(self, size: ir.Value, bound: float) -> ir.Value:
        """How often a matrix is halved, from the logarithm of a norm; too often where that is not finite."""
        e, b = self.e, self.e.b
        exact = e.intrinsic("ceil", b.fsub(size, constant(FLOAT64, log2(bound))))
        usable = b.fcmp_ordered("<", exact, constant(FLOAT64, 2000.0))
        steps = b.fptosi(b.select(usable, exact, constant(FLOAT64, 2000.0)), INT)
        return most(e, steps, e.int(0))

    def log_norm(self, slot: int, root: int = 1) -> ir.Value:
        """log2 of a matrix's 1-norm, or of a root of it; NaN if an entry is."""
        e, b = self.e, self.e.b
        size = b.call(norm(e, self.code), [self.at(slot), self.n, self.ld])
        return b.fmul(elementary.emit(e, "log2", size), constant(FLOAT64, 1.0 / root))

    def further(self, m: int, size: ir.Value) -> ir.Value:
        """ℓ of the paper: how many more halvings of a keep the backward error small; size: log2 of its norm."""
        e, b = self.e, self.e.b
        known = b.fadd(b.fmul(size, constant(FLOAT64, 2.0 * m)), constant(FLOAT64, _remainder(m) + 53))
        may_be = b.fcmp_ordered(
            ">", known, constant(FLOAT64, 0.0)
        )  # the norm of a power is no more than of the factors
        before = b.block
        look, after = b.append_basic_block("look"), b.append_basic_block("looked")
        b.cbranch(may_be, look, after)
        b.position_at_end(look)
        share = b.call(power_norm(e, self.code), [self.at(A), self.n, self.ld, e.int(2 * m + 1), self.vectors])
        logarithm = b.fadd(known, elementary.emit(e, "log2", share))
        exact = e.intrinsic("ceil", b.fmul(logarithm, constant(FLOAT64, 0.5 / m)))
        usable = b.fcmp_ordered(">", exact, constant(FLOAT64, 0.0))
        steps = b.fptosi(b.select(usable, exact, constant(FLOAT64, 0.0)), INT)
        looked = b.block
        b.branch(after)
        b.position_at_end(after)
        made = b.phi(INT)
        made.add_incoming(e.int(0), before)
        made.add_incoming(steps, looked)
        return made

    # --- the approximant

    def scale(self, power: ir.Value) -> None:
        """a and its powers, of a halved so often."""
        e, b = self.e, self.e.b
        digits, bias, whole = (52, 1023, INT) if self.code == "f8" else (23, 127, INT32)
        with b.if_then(b.icmp_signed(">", power, e.int(0))):
            for slot, times in ((A, 1), (POWERS, 2), (POWERS + 1, 4), (POWERS + 2, 6)):
                exponent = b.sub(e.int(bias), b.mul(power, e.int(times)))
                exponent = exponent if whole is INT else b.trunc(exponent, whole)
                factor = e.splat(b.bitcast(b.shl(exponent, whole(digits)), self.kind), self.lanes)
                for part in self.parts:
                    place = self.at(slot, part)
                    self.each(
                        lambda i, place=place, factor=factor: e.store(b.fmul(self.load(place, i), factor), place, i)
                    )

    def approximate(self, which: ir.Value) -> None:
        """T = the approximant of the exponential, from the even powers of a."""
        e, b = self.e, self.e.b
        row = e.at(self.table, b.mul(which, e.int(16)), self.kind)
        high = b.icmp_signed("==", which, e.int(4))
        terms = b.select(high, e.int(3), b.add(which, e.int(1)))
        for target, constant_at, low, top in ((W, 1, 6, 13), (V, 0, 2, 10)):
            with b.if_then(high):
                self.combine(T, row, top, e.int(3), ir.Constant(ir.IntType(1), 0))
                self.product(target, POWERS + 2, T)
            self.combine(target, row, low, terms, high)
            with e.loop(0, self.n) as i:  # the unit matrix
                at = b.mul(i, b.add(self.ld, e.int(1)))
                value = b.fadd(e.load(self.at(target), at, self.kind), e.load(row, constant_at, self.kind))
                e.store(value, self.at(target), at)
        self.product(U, A, W)
        for part in self.parts:
            u, v, q, p = (self.at(slot, part) for slot in (U, V, W, T))

            def both(i: ir.Value, u: Any = u, v: Any = v, q: Any = q, p: Any = p) -> None:
                odd, even = self.load(u, i), self.load(v, i)
                e.store(b.fsub(even, odd), q, i)
                e.store(b.fadd(even, odd), p, i)

            self.each(both)
        b.call(pivoted(e, self.code),
               [self.at(W), self.ld, self.n, e.int(0), self.n, self.panel, self.length, self.pivots])  # fmt: skip
        self.solve(self.at(T))
        if self.derivative:
            self._product(self.at(V), self.at(W, 1), self.at(T), False)
            moved, less = self.at(T, 1), self.at(V)
            self.each(lambda i: e.store(b.fsub(self.load(moved, i), self.load(less, i)), moved, i))
            self.solve(moved)

    def combine(self, target: int, row: ir.Value, first: int, terms: ir.Value, keep: ir.Value) -> None:
        """target = Σ coefficients·even powers, added to it if `keep`."""
        e, b = self.e, self.e.b
        for part in self.parts:
            place, powers = self.at(target, part), self.at(POWERS, part)

            def one(i: ir.Value, place: Any = place, powers: Any = powers) -> None:
                start = b.select(keep, self.load(place, i), constant(ir.VectorType(self.kind, self.lanes), 0.0))

                def add(k: ir.Value, total: list[ir.Value]) -> list[ir.Value]:
                    coefficient = e.splat(e.load(e.at(row, first, self.kind), k, self.kind), self.lanes)
                    power = self.load(powers, b.add(b.mul(k, self.slot), i))
                    return [multiply_add(e, coefficient, power, total[0])]

                e.store(fold(e, 0, terms, 1, [start], add)[0], place, i)

            self.each(one)

    def solve(self, x: ir.Value) -> None:
        """x = q⁻¹·x from the factors of q in W."""
        e, b = self.e, self.e.b
        with e.loop(0, self.n) as j:
            at = e.load(self.pivots, j, INT)
            with b.if_then(b.icmp_signed("!=", at, j)):
                exchange(e, self.kind, x, self.ld, j, at, self.ld)
        for lower in (True, False):
            b.call(triangle(e, self.code, lower, lower, True),
                   [self.at(W), self.ld, e.int(1), x, self.ld, x, self.ld, self.n, e.int(0), self.ld])  # fmt: skip

    def squared(self, power: ir.Value) -> ir.Value:
        """Where T, squared so often, is; or its derivative."""

        def square(_: ir.Value, places: list[ir.Value]) -> list[ir.Value]:
            self.product_at(places[1], places[0], places[0])
            return places[::-1]

        found, _ = fold(self.e, 0, power, 1, [self.at(T), self.at(V)], square)
        return self._part(found, int(self.derivative))


def lower_expm(planner: Any, node: Node) -> bool:
    """expm and expm_frechet"""
    n = node.aval.shape[-1] if node.aval.shape else 0
    if not fits(node) or node.aval.size == 0 or n > LARGEST:
        return False
    dtype, code = node.aval.dtype, code_of(node.aval.dtype)
    derivative = node.op.name == "expm_frechet"
    views = [whole(planner, arg) for arg in node.args]
    count, lanes = prod(node.aval.shape[:-2]), lanes_of(pointwise.register_type(code))
    ld, rows = -(-n // lanes) * lanes, -(-n // HIGH) * HIGH
    entries = SLOTS * rows * ld * (1 + derivative) + (n + INNER) * length_of(None, n, lanes)
    size = -(-(entries * dtype.itemsize + 8 * n + 16 * ld) // 64) * 64
    flops = count * 16 * n**3 * (3 if derivative else 1)
    split = shared(planner, count, flops // count)
    memory = arena(np.dtype(np.uint8), size * (planner.threads if split else 1))
    table = planner.known_constants.get(("expm", code))
    if table is None:
        array = _coefficients().astype(dtype)
        buffer = Buffer("const", dtype, array.size, array)
        planner.constants.append(buffer)
        table = planner.known_constants["expm", code] = layout.whole(buffer, array.shape)
    target: View = planner.allocate(node, dtype, node.aval.shape)
    key = Exponential(code, derivative, split)
    planner.command(key, [views[0], views[-1], target, table, memory], [count, n, ld, size], [*views, table],
                    [target, memory], node.op.name, flops)  # fmt: skip
    return True
