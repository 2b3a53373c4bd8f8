"""Fourier transforms whose length has a large prime factor, as convolutions with a chirp.

jk = (j² + k² − (k − j)²)/2: coefficients are sums over k − j, which transforms of a longer, handy length do (L. I.
Bluestein, A linear filtering approach to the computation of the discrete Fourier transform, 1970).
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.fourier import (
    LONGEST,
    Number,
    Stage,
    by_lines,
    is_for_lines,
    size_of_turns,
    times,
    turns_of,
    vectors,
)
from payback.native.lower.kernel import Arguments
from payback.native.lower.pointwise import code_of
from payback.ops.fourier import RealFourier, radices

ODD = (1, 3, 5, 9)  # factors of the longer length beside powers of two


class Chirped(NamedTuple):
    """args: x, y, tables, memory, count of lines, how far apart those of x and those of y are, bytes for each thread.

    Lines are those of `Transforms`, of n numbers; a real side is n numbers beside n // 2 + 1 coefficients.
    """

    code: str
    n: int
    inverse: bool
    split: bool
    real: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        x, y, tables, memory = (args.pointer() for _ in range(4))
        count, of_x, of_y, size = args.ints(4)
        start, stop = e.int(0), count
        if self.split:
            memory = e.at(memory, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        of_real = self.real and not self.inverse
        kind, longer = pointwise.register_type(self.code), prod(self.factors)
        chirp = size_of_turns(self.factors)
        answer = chirp + 2 * self.n
        buffers: list[Number] = [
            (e.at(memory, 2 * k * longer, kind), e.at(memory, (2 * k + 1) * longer, kind)) for k in range(2)
        ]

        def number(table: ir.Value, at: int, apart: int, i: ir.Value, lanes: int) -> Number:
            re, im = (e.load(table, b.add(i, e.int(at + more)), kind, lanes) for more in (0, apart))
            return re, im

        with e.loop(start, stop) as line:
            given, made = e.at(x, b.mul(line, of_x), kind), e.at(y, b.mul(line, of_y), kind)
            inputs, outputs = self.sides
            source, target = (given, e.at(given, inputs, kind)), (made, e.at(made, outputs, kind))
            if self.inverse:  # what turns the other way
                source, target = source[::-1], target[::-1]
            for low, high, lanes in vectors(kind, inputs):
                with e.loop(low, high, lanes) as j:
                    zero = constant(ir.VectorType(kind, lanes) if lanes > 1 else kind, 0.0)
                    re = e.load(source[0], j, kind, lanes)
                    z = re, zero if of_real else e.load(source[1], j, kind, lanes)
                    turned = times(e, z, number(tables, chirp, self.n, j, lanes))
                    for value, pointer in zip(turned, buffers[0], strict=True):
                        e.store(value, pointer, j)
            for low, high, lanes in vectors(kind, longer - inputs):
                with e.loop(low, high, lanes) as j:
                    zero = constant(ir.VectorType(kind, lanes) if lanes > 1 else kind, 0.0)
                    for pointer in buffers[0]:
                        e.store(zero, pointer, b.add(j, e.int(inputs)))
            self._transform(e, buffers, tables)
            between = buffers[len(self.factors) % 2]
            for low, high, lanes in vectors(kind, longer):
                with e.loop(low, high, lanes) as j:
                    z = [e.load(part, j, kind, lanes) for part in between]
                    product = times(e, (z[0], z[1]), number(tables, answer, longer, j, lanes))
                    for value, pointer in zip(product, between, strict=True):
                        e.store(value, pointer, j)
            turned_buffers = [part[::-1] for part in buffers]
            self._transform(e, turned_buffers[:: -1 if len(self.factors) % 2 else 1], tables)
            wanted = (1,) if self.real and self.inverse else (0, 1)  # parts of what turns the other way are exchanged
            for low, high, lanes in vectors(kind, outputs):
                with e.loop(low, high, lanes) as k:
                    z = [e.load(part, k, kind, lanes) for part in buffers[0]]
                    turned = times(e, (z[0], z[1]), number(tables, chirp, self.n, k, lanes))
                    for part in wanted:
                        e.store(turned[part], target[part], k)
        b.ret(e.int(0))

    @property
    def sides(self) -> tuple[int, int]:
        """Numbers of a line that are given, and that are wanted: of a real line half of the coefficients say all."""
        sides = self.n, self.n // 2 + 1 if self.real else self.n
        return sides[::-1] if self.inverse else sides

    @property
    def factors(self) -> tuple[int, ...]:
        """Of the shortest of the handy lengths in which nothing comes round to what is wanted."""
        return _handy(sum(self.sides) - 1)

    def _transform(self, e: Emitter, buffers: list[Number], table: ir.Value) -> None:
        """From the first buffer, to and fro between the two."""
        kind = pointwise.register_type(self.code)
        left, width, at = prod(self.factors), 1, 0
        for number, r in enumerate(self.factors):
            left //= r
            Stage(e, kind, r, left, width, buffers[number % 2], buffers[1 - number % 2], e.at(table, at, kind)).run()
            width, at = width * r, at + 2 * (r - 1) * left

    def tables(self, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
        """Turns of the longer transform, exp(−πij²/n) for all j, and the transform of what is convolved with."""
        longer, (inputs, outputs) = prod(self.factors), self.sides
        squares = np.arange(self.n, dtype=np.int64) ** 2 % (2 * self.n)
        chirp = np.exp(squares * (-1j * np.pi / self.n))
        answer = np.zeros(longer, complex)
        answer[:outputs] = chirp[:outputs].conj()
        answer[longer - inputs + 1 :] = chirp[inputs - 1 : 0 : -1].conj()
        answer = np.fft.fft(answer, norm="forward")
        parts = [part for z in (chirp, answer) for part in (z.real, z.imag)]
        turns = turns_of(self.factors, np.dtype(np.float64), inverse=False)[: size_of_turns(self.factors)]
        return np.concatenate([turns, *parts]).astype(dtype)


@cache
def _handy(least: int) -> tuple[int, ...]:
    lengths = [odd << max(0, (-(-least // odd) - 1).bit_length()) for odd in ODD]
    found = radices(min(lengths))
    assert found is not None
    return found


def lower_chirped(planner: Any, node: Node) -> bool:
    """A command for `solve_constant` where its matrix is that of a transform of any other length."""
    of = node.params["factors"]
    if not is_for_lines(node):
        return False
    key = Chirped(code_of(node.aval.dtype), of.n, of.inverse, False, isinstance(of, RealFourier))
    longer = prod(key.factors)
    if longer > LONGEST:
        return False
    by_lines(planner, node, key, key.tables, longer)
    return True
