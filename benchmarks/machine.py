"""What this machine can do at most: the peak of fused multiply-adds, the memory's bandwidth, how near its cores are.

Measured, not looked up, with as many threads as are asked for, in code that payback's own generator makes.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from functools import cache
from typing import Any

import numpy as np


def _timed(run: Any, threads: int, rounds: int = 7) -> float:
    """Seconds for `run(k)` in each of the threads at once; the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        workers = [threading.Thread(target=run, args=(k,)) for k in range(1, threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        run(0)
        for worker in workers:
            worker.join()
        best = min(best, time.perf_counter() - start)
    return best


@cache
def fma_peak(dtype: str, threads: int) -> float:
    """Floating-point operations a second, in fused multiply-adds on vectors that never leave the registers."""
    from payback.native import ir
    from payback.native.codegen.emit import FLOAT32, FLOAT64, INT, POINTER, Compiled, Emitter, constant, lanes_of

    kind = FLOAT32 if dtype == "float32" else FLOAT64
    lanes, chains, count = lanes_of(kind), 12, 3_000_000
    vector = ir.VectorType(kind, lanes)
    module = ir.Module("peak")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, INT]), "peak")
    e = Emitter(module, ir.IRBuilder(function.append_basic_block("entry")))
    b = e.b
    factor = b.load(function.args[0], typ=vector, align=4)
    before = b.block
    head, after = b.append_basic_block("head"), b.append_basic_block("after")
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(INT)
    i.add_incoming(e.int(0), before)
    sums = [b.phi(vector) for _ in range(chains)]
    for k, total in enumerate(sums):
        total.add_incoming(constant(vector, float(k)), before)
    new = [e.fma(total, factor, factor) for total in sums]
    following = b.add(i, e.int(1))
    i.add_incoming(following, head)
    for total, value in zip(sums, new, strict=True):
        total.add_incoming(value, head)
    b.cbranch(b.icmp_signed("<", following, function.args[1]), head, after)
    b.position_at_end(after)
    total = new[0]
    for value in new[1:]:
        total = b.fadd(total, value)
    b.store(total, function.args[0], align=4)
    b.ret_void()
    compiled = Compiled(module)
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(compiled.address("peak"))
    spaces = [np.full(64, 0.5, dtype) for _ in range(threads)]
    seconds = _timed(lambda k: call(spaces[k].ctypes.data, count), threads)
    return 2.0 * lanes * chains * count * threads / seconds


@cache
def bandwidth(threads: int) -> float:
    """Bytes a second that come from memory: a sum over arrays far larger than the caches."""
    arrays = [np.ones(32 * 1024 * 1024 // 8 * 4) for _ in range(threads)]
    seconds = _timed(lambda k: np.add.reduce(arrays[k]), threads, 5)
    return sum(array.nbytes for array in arrays) / seconds


def handoff() -> float:
    """Seconds for a cache line to go from one core to another, of two threads that hand it to and fro.

    Not cached: a virtual machine's cores are at other places of the host from one second to the next.
    """
    compiled, rounds = _bouncing(), 20_000
    call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(compiled.address("handoff"))
    line = np.zeros(32, np.int64)  # two lines, so that one of them is whole
    at = (line.ctypes.data + 127) & -128

    def run(thread: int) -> None:
        call(at, thread, 2 * rounds)

    def once() -> float:
        line[:] = 0
        return _timed(run, 2, 1)

    return min(once() for _ in range(5)) / (2 * rounds)


@cache
def _bouncing() -> Any:
    """f(line, first, until) waits until the line holds `first`, writes the next number, and waits for the one after."""
    from payback.native import ir
    from payback.native.codegen.emit import INT, POINTER, Compiled, Emitter

    module = ir.Module("handoff")
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, INT, INT]), "handoff")
    e = Emitter(module, ir.IRBuilder(function.append_basic_block("entry")))
    b, (line, first, until) = e.b, function.args
    with e.loop(first, until, 2) as i:
        wait, answer = b.append_basic_block("wait"), b.append_basic_block("answer")
        b.branch(wait)
        b.position_at_end(wait)
        b.cbranch(b.icmp_signed("==", b.load_atomic(line, "acquire", 8, typ=INT), i), answer, wait)
        b.position_at_end(answer)
        b.atomic_rmw("xchg", line, b.add(i, e.int(1)), "release")
    b.ret_void()
    return Compiled(module)


def told() -> str:
    """The machine in one line."""
    try:
        with open("/proc/cpuinfo") as info:
            model = next(line.split(":")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        model = "an unknown processor"
    return f"{model}, {os.cpu_count()} cores, NumPy {np.__version__}"
