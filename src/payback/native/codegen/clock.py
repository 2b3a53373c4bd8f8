"""Reading the clock in machine code, for programs that tell how long each of their kernels takes."""

from __future__ import annotations

import ctypes
import sys
import time

from payback.native import ir
from payback.native.codegen.emit import INT, INT32, POINTER, Emitter


def emit_now(e: Emitter) -> ir.Value:
    """The time in ticks of `tick()` seconds: the system's monotonic clock, some 25 ns a reading."""
    b = e.b
    with b.goto_entry_block():
        place = b.alloca(INT, ir.Constant(INT32, 2))
    if sys.platform == "win32":
        _system(e, "QueryPerformanceCounter", [place])
        return e.load(place, 0, INT)
    _system(e, "clock_gettime", [ir.Constant(INT32, time.CLOCK_MONOTONIC), place])
    return b.add(b.mul(e.load(place, 0, INT), e.int(10**9)), e.load(place, 1, INT))


def tick() -> float:
    """Seconds of one tick."""
    if sys.platform != "win32":
        return 1e-9
    frequency = ctypes.c_int64()
    ctypes.windll.kernel32.QueryPerformanceFrequency(ctypes.byref(frequency))
    return 1.0 / frequency.value


def _system(e: Emitter, name: str, arguments: list[ir.Value]) -> None:
    kinds = [POINTER if isinstance(x.type, ir.PointerType) else x.type for x in arguments]
    function = e.module.globals.get(name) or ir.Function(e.module, ir.FunctionType(INT32, kinds), name)
    e.b.call(function, arguments)
