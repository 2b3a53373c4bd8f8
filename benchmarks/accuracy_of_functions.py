"""How far the compiled elementary functions are from the truth, and how fast they are.

    python -m benchmarks.accuracy_of_functions exp sin           # float32, all 2³² numbers; float64, 10⁷ samples
    python -m benchmarks.accuracy_of_functions --width 64 --samples 100000
    python -m benchmarks.accuracy_of_functions --speed           # ns per element, beside NumPy

The unit and the truth are those of `benchmarks.ulps`.
"""

from __future__ import annotations

import argparse
import ctypes
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.elementwise import Elementwise
from benchmarks.ulps import IN_MPMATH, TWO_OPERANDS, distance, expected, operands_of, scale, truth
from payback.native import ir
from payback.native.codegen.emit import FLOAT32, FLOAT64, INT, POINTER, Compiled, Emitter
from payback.native.vector_math import FORMULAS
from payback.native.vector_math.constants import Constants, defined
from payback.native.vector_math.lanes import Maths

Array = np.ndarray[Any, Any]
CHUNK = 1 << 18
SCALAR = ("erf", "erfc")  # whose float64 functions in NumPy are Python's


class Farthest:
    """The largest `distance` of a chunk of float32 from float64, in machine code: 2³² numbers are many."""

    def __init__(self) -> None:
        module, four = ir.Module("farthest"), ir.VectorType(FLOAT64, 4)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * 4 + [INT]), "run")
        e = Emitter(module, ir.IRBuilder(function.append_basic_block()))
        found, true, size, largest, count = function.args
        with e.loop(0, count, 4) as i:
            operands = [
                e.b.fpext(e.load(found, i, FLOAT32, 4), four),
                e.load(true, i, FLOAT64, 4),
                e.load(size, i, FLOAT64, 4),
                e.load(largest, 0, FLOAT64, 4),
            ]
            e.store(e.b.call(*defined(module, "larger", four, [four] * 4, self._larger, operands)), largest, 0)
        e.b.ret_void()
        self.compiled = Compiled(module)
        arguments = [ctypes.c_void_p] * 4 + [ctypes.c_int64]
        self.run = ctypes.CFUNCTYPE(None, *arguments)(self.compiled.address("run"))

    @staticmethod
    def _larger(e: Emitter, constants: Constants, operands: Sequence[ir.Value]) -> ir.Value:
        m, limit = Maths(e, operands[0].type, constants), 2.0**128
        found, true, size, before = (m.lanes(x) for x in operands)
        near = m.select(m.abs(found) == np.inf, m.copysign(limit, found), found)
        goal = m.select(m.abs(true) > limit, m.copysign(limit, true), true)
        larger = m.select(size > m.abs(goal), size, m.abs(goal))
        unit = m.at_least(m.float(m.bits(larger) & 0x7FF0_0000_0000_0000) * 2.0**-23, 2.0**-149)
        lost = m.is_nan(true)
        turned = ((m.bits(found) ^ m.bits(true)) < 0) & ((size == 0.0) | (true == 0.0))
        wrong = (m.is_nan(found) ^ lost) | (turned & ~lost)
        far = m.select(wrong, np.inf, m.select(lost, 0.0, m.abs(near - goal) / unit))
        return m.select(far > before, far, before).v

    def __call__(self, found: Array, true: Array, size: Array | None) -> float:
        largest = np.zeros(4)
        size = np.zeros(true.shape) if size is None else size
        self.run(found.ctypes.data, true.ctypes.data, size.ctypes.data, largest.ctypes.data, found.size)
        return float(largest.max())


def all_of_float32(name: str, quick: bool) -> tuple[float, list[Any]]:
    """The largest distance over all 2³² numbers, and where it is."""
    function, farthest = Elementwise(name, np.float32, 16), Farthest()
    exact = Elementwise(name, np.float64, 8) if quick or name in SCALAR else truth(name)
    worst, where = -1.0, np.float32(0)
    for start in range(0, 1 << 32, CHUNK):
        x = np.arange(start, start + CHUNK, dtype=np.uint32).view(np.float32)
        found, true, size = function(x), exact(x.astype(np.float64)), scale(name, [x])
        if farthest(found, true, size) > worst:
            far = distance(found, true, size)
            at = int(np.argmax(far))
            worst, where = float(far[at]), x[at]
    return worst, [where]


def sampled(name: str, count: int, dtype: Any) -> tuple[float, list[Any]]:
    rng = np.random.default_rng(0)
    operands = 2 if name in TWO_OPERANDS else 1
    function = Elementwise(name, dtype, 8, operands)
    worst, where = -1.0, []
    for _ in range(max(count // CHUNK, 1)):
        inputs = operands_of(name, min(count, CHUNK), rng, dtype)
        far = distance(function(*inputs), expected(name, *inputs), scale(name, inputs))
        at = int(np.argmax(far))
        if far[at] > worst:
            worst, where = float(far[at]), [x[at] for x in inputs]
    return worst, where


DOMAIN = {"arcsin": (-1, 1), "arccos": (-1, 1), "arctanh": (-1, 1), "arccosh": (1, 10)}


def speed(name: str, dtype: Any) -> tuple[float, float]:
    """Nanoseconds per element of ours and of NumPy's, the least of many runs over numbers in the cache."""
    rng, count = np.random.default_rng(0), 1 << 14
    operands = 2 if name in TWO_OPERANDS else 1
    low, high = DOMAIN.get(name, (0.1, 8) if "log" in name or operands == 2 else (-8, 8))
    inputs = [rng.uniform(low, high, count).astype(dtype) for _ in range(operands)]
    out = np.empty(count, dtype)
    function, theirs = Elementwise(name, dtype, 64 // np.dtype(dtype).itemsize, operands), truth(name)
    best = [np.inf, np.inf]
    for _ in range(200):
        for k, call in enumerate((lambda: function(*inputs, out=out), lambda: theirs(*inputs))):
            start = time.perf_counter()
            call()
            best[k] = min(best[k], time.perf_counter() - start)
    return best[0] / count * 1e9, best[1] / count * 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="functions (default: all)")
    parser.add_argument("--width", type=int, choices=(32, 64), help="only this format")
    parser.add_argument("--samples", type=int, default=10_000_000, help="for float64, and float32 of two operands")
    parser.add_argument(
        "--quick", action="store_true", help="float32 against our own float64 function, itself measured"
    )
    parser.add_argument("--speed", action="store_true", help="measure the speed instead")
    options = parser.parse_args()
    failed = False
    for name in options.names or sorted(FORMULAS):
        for width, dtype in ((32, np.float32), (64, np.float64)):
            if options.width not in (None, width):
                continue
            with np.errstate(all="ignore"):
                if options.speed:
                    ours, theirs = speed(name, dtype)
                    print(f"{name:<12} float{width}  {ours:6.2f} ns   NumPy {theirs:6.2f} ns", flush=True)
                    continue
                every = width == 32 and name not in TWO_OPERANDS
                count = min(options.samples, 100_000) if name in IN_MPMATH else options.samples
                worst, where = all_of_float32(name, options.quick) if every else sampled(name, count, dtype)
            failed |= not worst <= 2.0
            print(f"{name:<12} float{width}  {worst:7.4f} ulp at {', '.join(map(repr, where))}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
