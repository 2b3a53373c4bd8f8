"""Fourier transforms of the numbers of lines, by factors of their length.

Stockham's form: of a stage's n numbers, r that lie n/r apart are transformed and turned, and lie side by side
afterwards, so that nothing is put in order at the end (D. Bailey, A high-performance FFT algorithm for vector
supercomputers, 1988).  Of an even number of real numbers, those at even and at odd places are the two parts of half as
many: the coefficients of both are told from their sums and differences.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import cos, pi, prod, sin
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.linalg.factored import arena, shared
from payback.native.lower.pointwise import code_of
from payback.native.planning import layout
from payback.native.planning.layout import Buffer, View
from payback.ops.fourier import Fourier, RealFourier, on_circle, radices

LONGEST = 1 << 22  # numbers of a line

Number = tuple[ir.Value, ir.Value]  # real and imaginary part


class Transforms(NamedTuple):
    """args: x, y, turns, memory, count of lines, how far apart those of x and those of y are, bytes for each thread.

    A line is all real parts, then all imaginary ones; where one side is real, that is one of numbers, and the other one
    of their first half of coefficients and one more.
    """

    code: str
    factors: tuple[int, ...]
    inverse: bool
    split: bool
    real: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        x, y, turns, memory = (args.pointer() for _ in range(4))
        count, of_x, of_y, size = args.ints(4)
        start, stop = e.int(0), count
        if self.split:
            memory = e.at(memory, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        kind, n = pointwise.register_type(self.code), prod(self.factors)

        def parts(first: ir.Value, apart: int = n) -> Number:
            both = first, e.at(first, apart, kind)
            return both[::-1] if self.inverse else both  # what turns the other way

        def between(number: int) -> Number:
            return parts(e.at(memory, number % 2 * 2 * n, kind))

        halves = e.at(turns, size_of_turns(self.factors), kind)
        with e.loop(start, stop) as i:
            given, made = e.at(x, b.mul(i, of_x), kind), e.at(y, b.mul(i, of_y), kind)
            source, target = parts(given), parts(made)
            if self.real and self.inverse:
                source = between(1)
                _halves(e, kind, n, parts(given, n + 1)[::-1], source[::-1], halves, self.inverse)
            elif self.real:
                target = between(len(self.factors) - 1)
            left, width, table = n, 1, 0
            for number, r in enumerate(self.factors):
                last = number == len(self.factors) - 1
                to = target if last else between(number)
                left //= r
                stage = Stage(e, kind, r, left, width, source, to, e.at(turns, table, kind))
                stage.paired = self.real and not self.inverse and number == 0, self.real and self.inverse and last
                stage.run()
                source, width, table = to, width * r, table + 2 * (r - 1) * left
            if self.real and not self.inverse:
                _halves(e, kind, n, target, parts(made, n + 1), halves, self.inverse)
        b.ret(e.int(0))


class Stage:
    """y[q + width·(r·p + k)] = Σⱼ x[q + width·(p + count·j)]·exp(−2πi·(jk/r + pk/(r·count))), p < count, q < width."""

    def __init__(
        self, e: Emitter, kind: ir.Type, r: int, count: int, width: int, x: Number, y: Number, table: ir.Value
    ):
        self.e, self.kind, self.r, self.count, self.width = e, kind, r, count, width
        self.x, self.y, self.table = x, y, table
        self.paired = False, False  # whether the two parts lie beside each other: those of x, and those of y, exchanged

    def run(self) -> None:
        e, b = self.e, self.e.b
        if self.width == 1:
            for start, stop, lanes in vectors(self.kind, self.count):
                with e.loop(start, stop, lanes) as p:
                    made = self._turned([self._read(b.add(p, e.int(j * self.count)), lanes) for j in range(self.r)],
                                        [self._turn(p, k, lanes) for k in range(1, self.r)])  # fmt: skip
                    at = b.mul(p, e.int(self.r))
                    for part, pointer in enumerate(self.y):
                        self._store_side_by_side([z[part] for z in made], pointer, at, lanes)
            return
        with e.loop(0, self.count) as p:
            single = [self._turn(p, k, 1) for k in range(1, self.r)]
            source, target = b.mul(p, e.int(self.width)), b.mul(p, e.int(self.width * self.r))
            for start, stop, lanes in vectors(self.kind, self.width):
                turns = [(e.splat(c, lanes), e.splat(s, lanes)) for c, s in single] if self.count > 1 else []
                with e.loop(start, stop, lanes) as q:
                    at, to = b.add(source, q), b.add(target, q)
                    step = self.width * self.count
                    made = self._turned([self._read(b.add(at, e.int(j * step)), lanes) for j in range(self.r)], turns)
                    for k, z in enumerate(made):
                        self._store(z, b.add(to, e.int(k * self.width)), lanes)

    def _read(self, at: ir.Value, lanes: int) -> Number:
        e, b = self.e, self.e.b
        if self.paired[0]:
            both = e.load(self.x[0], b.mul(at, e.int(2)), self.kind, 2 * lanes)
            if lanes == 1:
                return b.extract_element(both, INT32(0)), b.extract_element(both, INT32(1))
            return _chosen(e, both, both, range(0, 2 * lanes, 2)), _chosen(e, both, both, range(1, 2 * lanes, 2))
        re, im = (e.load(pointer, at, self.kind, lanes) for pointer in self.x)
        return re, im

    def _store(self, z: Number, at: ir.Value, lanes: int) -> None:
        e, b = self.e, self.e.b
        if not self.paired[1]:
            for value, pointer in zip(z, self.y, strict=True):
                e.store(value, pointer, at)
            return
        im, re = z
        at, first = b.mul(at, e.int(2)), self.y[1]
        if lanes == 1:
            e.store(re, first, at)
            e.store(im, first, b.add(at, e.int(1)))
        else:
            e.store(_chosen(e, re, im, [x for k in range(lanes) for x in (k, lanes + k)]), first, at)

    def _turn(self, p: ir.Value, k: int, lanes: int) -> Number:
        b, at = self.e.b, 2 * (k - 1) * self.count
        c, s = (self.e.load(self.table, b.add(p, self.e.int(at + more)), self.kind, lanes) for more in (0, self.count))
        return c, s

    def _turned(self, x: list[Number], turns: list[Number]) -> list[Number]:
        first, *others = transform(self.e, x)
        if self.count == 1:
            return [first, *others]
        return [first, *[times(self.e, z, turn) for z, turn in zip(others, turns, strict=True)]]

    def _store_side_by_side(self, values: list[ir.Value], pointer: ir.Value, at: ir.Value, lanes: int) -> None:
        """The first lanes of all values, then the second ones, and so on."""
        e, b, r = self.e, self.e.b, self.r
        if lanes == 1 or r & (r - 1):
            for k, value in enumerate(values):
                for lane in range(lanes):
                    single = b.extract_element(value, ir.Constant(INT32, lane)) if lanes > 1 else value
                    e.store(single, pointer, b.add(at, e.int(lane * r + k)))
            return
        rows = [[value] for value in values]
        halves = [range(lanes // 2), range(lanes // 2, lanes)]
        order_type = ir.VectorType(INT32, lanes)
        orders = [ir.Constant(order_type, [x for k in half for x in (k, lanes + k)]) for half in halves]
        while len(rows) > 1:
            half = len(rows) // 2
            rows = [
                [b.shuffle_vector(u, v, order) for u, v in zip(one, other, strict=True) for order in orders]
                for one, other in zip(rows[:half], rows[half:], strict=True)
            ]
        for k, value in enumerate(rows[0]):
            e.store(value, pointer, b.add(at, e.int(k * lanes)))


def _halves(e: Emitter, kind: ir.Type, n: int, x: Number, y: Number, table: ir.Value, inverse: bool) -> None:
    """yₖ and yₙ₋ₖ* are ½·(xₖ + xₙ₋ₖ*) ± (xₖ − xₙ₋ₖ*)·uₖ; of the numbers at 0 and n one side has real parts only."""
    b = e.b
    first = e.load(x[0], e.int(0), kind)
    other = e.load(x[0], e.int(n), kind) if inverse else e.load(x[1], e.int(0), kind)
    total, difference = b.fadd(first, other), b.fsub(first, other)
    e.store(total, y[0], e.int(0))
    if inverse:
        e.store(difference, y[1], e.int(0))
    else:
        e.store(difference, y[0], e.int(n))
        for at in (0, n):
            e.store(constant(kind, 0.0), y[1], e.int(at))
    count = n // 2
    for start, stop, lanes in vectors(kind, count):
        backwards = range(lanes - 1, -1, -1)

        def turned(v: ir.Value, lanes: int = lanes, order: range = backwards) -> ir.Value:
            return _chosen(e, v, v, order) if lanes > 1 else v

        with e.loop(start, stop, lanes) as i:
            at, mirrored = b.add(i, e.int(1)), b.sub(e.int(n - lanes), i)
            re, im = (e.load(pointer, at, kind, lanes) for pointer in x)
            re_far, im_far = (turned(e.load(pointer, mirrored, kind, lanes)) for pointer in x)
            u = [e.load(table, b.add(i, e.int(more)), kind, lanes) for more in (0, count)]
            half = constant(re.type, 0.5)
            sums = b.fmul(b.fadd(re, re_far), half), b.fmul(b.fsub(im, im_far), half)
            moved = times(e, (b.fsub(re, re_far), b.fadd(im, im_far)), (u[0], u[1]))
            for value, pointer in zip((b.fadd(sums[0], moved[0]), b.fadd(sums[1], moved[1])), y, strict=True):
                e.store(value, pointer, at)
            for value, pointer in zip((b.fsub(sums[0], moved[0]), b.fsub(moved[1], sums[1])), y, strict=True):
                e.store(turned(value), pointer, mirrored)


def vectors(kind: ir.Type, n: int) -> Iterator[tuple[int, int, int]]:
    """Parts of n numbers and lanes of their vectors: whole ones, and fewer lanes for what is left."""
    lanes, done = lanes_of(kind), 0
    while done < n:
        if n - done >= lanes:
            whole = n - (n - done) % lanes
            yield done, whole, lanes
            done = whole
        lanes //= 2


def _chosen(e: Emitter, u: ir.Value, v: ir.Value, lanes: Sequence[int]) -> ir.Value:
    order = ir.Constant(ir.VectorType(INT32, len(lanes)), [INT32(lane) for lane in lanes])
    return e.b.shuffle_vector(u, v, order)


def times(e: Emitter, z: Number, w: Number) -> Number:
    b = e.b
    return e.fma(z[0], w[0], b.fneg(b.fmul(z[1], w[1]))), e.fma(z[0], w[1], b.fmul(z[1], w[0]))


def transform(e: Emitter, x: list[Number]) -> list[Number]:
    """Of a few numbers in registers: halves of an even number of them, sums and differences of an odd one."""
    b, r = e.b, len(x)
    if r == 1:
        return x

    def plus(z: Number, w: Number) -> Number:
        return b.fadd(z[0], w[0]), b.fadd(z[1], w[1])

    def minus(z: Number, w: Number) -> Number:
        return b.fsub(z[0], w[0]), b.fsub(z[1], w[1])

    kind = x[0][0].type
    if r % 2 == 0:
        even, odd = transform(e, x[::2]), transform(e, x[1::2])
        turned = []
        for k, z in enumerate(odd):
            if 4 * k == r:
                z = z[1], b.fneg(z[0])
            elif k:
                angle = -2 * pi * k / r
                z = times(e, z, (constant(kind, cos(angle)), constant(kind, sin(angle))))
            turned.append(z)
        sums = [plus(z, w) for z, w in zip(even, turned, strict=True)]
        return sums + [minus(z, w) for z, w in zip(even, turned, strict=True)]
    pairs = range(1, r // 2 + 1)
    sums, differences = ([do(x[j], x[r - j]) for j in pairs] for do in (plus, minus))
    total = x[0]
    for z in sums:
        total = plus(total, z)
    low, high = [total], []
    for k in pairs:
        real, turned_ = x[0], (constant(kind, 0.0), constant(kind, 0.0))
        for j, z, d in zip(pairs, sums, differences, strict=True):
            c, s = (constant(kind, f(2 * pi * (j * k % r) / r)) for f in (cos, sin))
            real = e.fma(z[0], c, real[0]), e.fma(z[1], c, real[1])
            turned_ = e.fma(d[1], s, turned_[0]), e.fma(b.fneg(d[0]), s, turned_[1])
        low.append(plus(real, turned_))
        high.append(minus(real, turned_))
    return low + high[::-1]


def turns_of(factors: tuple[int, ...], dtype: np.dtype[Any], inverse: bool) -> np.ndarray[Any, Any]:
    """For each stage but the last, for each k from 1 on, the cosines and sines of −2π·pk/(r·count) for all p.

    Then what the halves of real transforms are told apart by: −i·exp(∓πik/n)/2 for k from 1 on.
    """
    n = prod(factors)
    parts, left = [], n
    for r in factors[:-1]:
        turns = on_circle(-np.outer(np.arange(1, r), np.arange(left // r)), left)
        parts.append(np.stack(turns, 1).reshape(-1))
        left //= r
    angles = np.arange(1, n // 2 + 1) * (np.pi / n)
    return np.concatenate([*parts, -0.5 * np.sin(angles), (0.5 if inverse else -0.5) * np.cos(angles)]).astype(dtype)


def size_of_turns(factors: tuple[int, ...]) -> int:
    left, size = prod(factors), 0
    for r in factors[:-1]:
        left //= r
        size += 2 * (r - 1) * left
    return size


def lower_transform(planner: Any, node: Node) -> bool:
    """A command for `solve_constant` where its matrix is that of a transform of small factors."""
    of = node.params["factors"]
    real = isinstance(of, RealFourier)
    if not is_for_lines(node) or (real and of.n % 2):
        return False
    n = of.n // 2 if real else of.n
    factors = radices(n)
    if factors is None or n > LONGEST or len(factors) < 1 + real:
        return False
    key = Transforms(code_of(node.aval.dtype), factors, of.inverse, False, real)
    by_lines(planner, node, key, lambda dtype: turns_of(factors, dtype, of.inverse), n)
    return True


def is_for_lines(node: Node) -> bool:
    """Whether this is a transform of floats in machine code's precisions."""
    dtype = node.aval.dtype
    known = isinstance(node.params["factors"], (Fourier, RealFourier)) and code_of(dtype) in ("f4", "f8")
    return known and node.args[0].aval.dtype == dtype and node.aval.size > 0


def by_lines(planner: Any, node: Node, key: Any, table_of: Callable[[np.dtype[Any]], Any], n: int) -> None:
    """The command of a kernel whose lines are columns of the argument; in memory for 4·n numbers, with a table."""
    (given,), dtype = node.args, node.aval.dtype
    *lead, lines, beside = node.aval.shape
    columns, axes = prod(lead) * beside, (*range(len(lead)), len(lead) + 1, len(lead))
    given_lines = layout.transposed(planner.view(given), axes)
    flat = (columns, given_lines.shape[-1])
    source = layout.reshaped(given_lines, flat)
    if source is None or source.strides[1] != 1:
        source = layout.whole(planner.copy(given_lines, dtype).buffer, flat)
    target: View = arena(dtype, *lead, beside, lines)
    planner.views[node] = layout.transposed(target, axes)
    flops = 5 * n * n.bit_length() * columns
    split = shared(planner, columns, flops // columns)
    table = planner.known_constants.get(key)
    if table is None:
        array = table_of(dtype)
        buffer = Buffer("const", dtype, array.size, array)
        planner.constants.append(buffer)
        table = planner.known_constants[key] = layout.whole(buffer, array.shape)
    size = -(-4 * n * dtype.itemsize // 64) * 64
    memory = arena(np.dtype(np.uint8), size * (planner.threads if split else 1))
    numbers = [columns, source.strides[0], lines, size]
    operands, made = [source, target, table, memory], [target, memory]
    planner.command(key._replace(split=split), operands, numbers, [source, table], made, "fourier", flops)
