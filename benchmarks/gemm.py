"""Matrix products: payback's kernels beside NumPy's BLAS, with one and two threads.

    python -m benchmarks.gemm                    the table of sizes below
    python -m benchmarks.gemm 128 784 512 ...    M K N, as often as you like
    python -m benchmarks.gemm --seconds 0.5      longer for each

Contestants take turns; the minimum and the median of all rounds are printed.  payback's kernels are called from a
compiled program, as they are in a training step; NumPy is called with
`out=`.  NN, NT and TN say which operand is transposed: forward, gradient of the input, gradient of the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import time

import numpy as np

from benchmarks.matmul import Product
from payback.native import ir
from payback.native.codegen.emit import INT, INT32, POINTER, Compiled, Emitter, constant, lanes_of, llvm_type
from payback.native.lower.products.blocked.choice import plan
from payback.native.lower.products.blocked.tile import multiply_add
from payback.run import blas

SIZES = [  # M, K, N
    (32, 2, 16), (32, 16, 16), (32, 16, 1), (64, 64, 128), (64, 128, 64), (64, 64, 10), (64, 32, 32), (128, 784, 512),
    (128, 512, 256), (256, 1024, 2048), (512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (100000, 50, 1),
    (50, 100000, 1),
]  # fmt: skip


def peak(dtype: np.dtype, seconds: float = 0.3) -> float:
    """The most operations a second that one core does: 12 independent chains of fused multiply-add."""
    kind = llvm_type(dtype)
    vector, rounds, chains = ir.VectorType(kind, lanes_of(kind)), 2000, 12
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "peak")
    e = Emitter(module, ir.IRBuilder(function.append_basic_block()))
    factor = constant(vector, 0.5)
    before, body, end = e.b.block, e.b.append_basic_block(), e.b.append_basic_block()
    e.b.branch(body)
    e.b.position_at_end(body)
    i, sums = e.b.phi(INT), [e.b.phi(vector) for _ in range(chains)]
    new = sums
    for _ in range(4):
        new = [multiply_add(e, x, factor, factor) for x in new]
    for phi, value in zip(sums, new, strict=True):
        phi.add_incoming(ir.Constant(vector, None), before)
        phi.add_incoming(value, body)
    following = e.b.add(i, e.int(1))
    i.add_incoming(e.int(0), before)
    i.add_incoming(following, body)
    e.b.cbranch(e.b.icmp_signed("<", following, e.int(rounds)), body, end)
    e.b.position_at_end(end)
    total = new[0]
    for value in new[1:]:
        total = e.b.fadd(total, value)
    e.store(e.b.extract_element(total, ir.Constant(INT32, 0)), function.args[0], 0)
    e.b.ret_void()
    compiled, result = Compiled(module), np.zeros(1, dtype)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled.address("peak"))
    times, stop = [], time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begin = time.perf_counter()
        call(result.ctypes.data)
        times.append(time.perf_counter() - begin)
    return 2 * 4 * chains * rounds * lanes_of(kind) / min(times)


def matrices(rng: np.random.Generator, m: int, k: int, n: int, dtype: np.dtype, form: str) -> tuple[np.ndarray, ...]:
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    a = np.asfortranarray(a) if form[0] == "T" else a
    return a, np.asfortranarray(b) if form[1] == "T" else b, np.empty((m, n), dtype)


def race(m: int, k: int, n: int, dtype: np.dtype, form: str, threads: int, seconds: float) -> str:
    """One row of the table."""
    a, b, mine = matrices(np.random.default_rng(0), m, k, n, dtype, form)
    theirs = mine.copy()
    strides = [[s // x.itemsize for s in x.strides] for x in (a, b, mine)]
    product = Product(plan(dtype, m, n, k, *strides))
    prepared = product.prepare(a, b, mine, threads)
    flops = 2 * m * n * k
    repeats = max(1, int(2e-4 / (flops / 5e10 + 1e-7)))
    prepared[0][9] = repeats

    def payback():
        product.run(prepared, threads)

    def numpy():
        for _ in range(repeats):
            np.matmul(a, b, out=theirs)

    times: dict = {payback: [], numpy: []}
    payback(), numpy()
    error = np.abs(mine - theirs).max() / np.abs(theirs).max()
    assert error < 100 * np.sqrt(k) * np.finfo(dtype).eps, error
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times[numpy]) < 7:
        for contestant, found in times.items():
            begin = time.perf_counter()
            contestant()
            found.append((time.perf_counter() - begin) / repeats)
    cells = []
    for found in times.values():
        least, median = min(found), statistics.median(found)
        cells.append(f"{least * 1e6:11.2f} {median * 1e6:11.2f} {flops / least / 1e9:8.1f}")
    ratio = min(times[numpy]) / min(times[payback])
    return f"{dtype!s:8} {m:6} {k:6} {n:5} {form} {threads:2} |{cells[0]} |{cells[1]} | {ratio:6.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gemm", description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, metavar="M K N")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each row")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--forms", nargs="+", default=["NN", "NT", "TN"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options = parser.parse_args()
    if len(options.sizes) % 3:
        parser.error("sizes come in threes: M K N")
    sizes = [tuple(options.sizes[i : i + 3]) for i in range(0, len(options.sizes), 3)] or SIZES
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        if name in os.environ:
            parser.error(f"{name} is set: NumPy's BLAS would be slowed down; unset it")
    try:
        import threadpoolctl

        for pool in threadpoolctl.threadpool_info():
            print(f"{pool['internal_api']} {pool['version']}, kernel {pool.get('architecture')}")
    except ImportError:
        print("(install threadpoolctl to see which kernel NumPy's BLAS uses)")
    for dtype in options.dtypes:
        print(f"peak of one core, {dtype}: {peak(np.dtype(dtype)) / 1e9:.1f} GF/s")
    calls = blas._calls()
    print("times in µs: minimum, median; GF/s at the minimum; ratio of the minima (> 1: payback is faster)")
    print(f"{'dtype':8} {'M':>6} {'K':>6} {'N':>5}  T th |{'payback':>32} |{'NumPy':>32} |  ratio")
    for dtype in options.dtypes:
        for m, k, n in sizes:
            for form in options.forms:
                for threads in options.threads:
                    if calls is not None:
                        calls[1](threads)
                    print(race(m, k, n, np.dtype(dtype), form, threads, options.seconds), flush=True)


if __name__ == "__main__":
    main()
