"""What a program consists of and how long each part takes, for people."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.native.codegen import clock
from payback.native.planning.commands import Command
from payback.native.planning.fuse import ON_NUMPY
from payback.native.planning.waits import shares
from payback.native.running.table import Segment

LONG, ROUNDS = 0.3, 50  # seconds and runs after which times are taken as they are


def explain(program: Any, timed: bool = True) -> str:
    """Passes, commands, memory; with the time of each command if `timed`."""
    nodes, left, commands = len(program.source.nodes), len(program.graph.nodes), program.commands
    kernels = {kernel for c in commands for kernel in c.kernels}
    on_numpy = sum(c.text.endswith(ON_NUMPY) for c in commands)
    own = sum(c.kernel is None for c in commands) - on_numpy
    seconds, how = _times(program) if timed else (None, "")
    lines = [
        f"{nodes} nodes, {left} after folding constants and computing nothing twice",
        f"{len(commands)} commands of {len(kernels)} kernels, {on_numpy} of them on NumPy"
        + (f", {own} by programs of their own" if own else ""),
        f"{sum(c.flops for c in commands):,} operations in products; {program.arena_bytes:,} bytes of memory "
        f"between arguments and results",
        *([how] if how else []),
        "",
        *table(commands, seconds),
    ]
    return "\n".join(lines)


def table(commands: Sequence[Command], seconds: Sequence[float] | None = None) -> list[str]:
    """A line for each command: its time, its share, operations a second, what it is, what it makes."""
    rows, total = [], sum(seconds) if seconds is not None else 0.0
    for number, command in enumerate(commands):
        shown = [view.shape for view in command.writes if view.shape != (0,) and view.buffer.dtype != np.uint8]
        shapes = ", ".join("×".join(map(str, shape)) or "number" for shape in shown)
        shared = " shared by threads" if shares(command) else ""
        if command.owner is not None:
            shared = f" by thread {command.owner}"
        times = ""
        if seconds is not None:
            took = seconds[number]
            speed = f"{command.flops / took / 1e9:7.1f} GF/s" if command.flops and took else " " * 12
            times = f"{took * 1e6:11.2f} µs {100 * took / (total or 1.0):5.1f} % {speed}  "
        rows.append(f"{number:4}  {times}{command.text}  →  {shapes or '–'}{shared}")
    return rows


def _times(program: Any) -> tuple[list[float] | None, str]:
    """Seconds of each command, the least of some runs on made-up numbers, and how they were found; or why not."""
    inputs = [_made_up(node.aval) for node in program.graph.inputs]
    begun, best = time.perf_counter(), np.full(len(program.commands), np.inf)
    try:
        runs = 0
        while runs < 2 or (time.perf_counter() - begun < LONG and runs < ROUNDS):
            seconds = program.measured(inputs)
            if len(seconds) < len(best):
                return None, "no times: the program stops at the numbers that they are measured with"
            best, runs = np.minimum(best, seconds), runs + 1
    except Exception as error:  # an index out of bounds; a matrix that has no factorization
        return None, f"no times: {type(error).__name__} on the numbers that they are measured with: {error}"
    threads = max((part.threads for part in program._parts if type(part) is Segment), default=1)
    told = f"{threads} threads" if threads > 1 else "one thread"
    return list(best), f"{_seconds(best.sum())} on {told}: the least of {runs} runs on made-up numbers"


def _seconds(x: float) -> str:
    return f"{x * 1e3:.3g} ms" if x >= 1e-3 else f"{x * 1e6:.3g} µs"


def _made_up(aval: Any) -> Any:
    count = math.prod(aval.shape)
    if aval.dtype.kind == "f":
        values = 0.5 + (np.arange(count) % 97) / 194
        if len(aval.shape) > 1 and aval.shape[-1] == aval.shape[-2]:  # it may be a matrix that is inverted
            values = (values.reshape(aval.shape) + aval.shape[-1] * np.eye(aval.shape[-1])).ravel()
    else:
        values = np.zeros(count)  # an index of any axis
    array = values.astype(aval.dtype).reshape(aval.shape)
    return array.item() if aval.weak else array


def ticks_of(segment: Segment) -> np.ndarray[Any, Any]:
    """What a segment adds its ticks to."""
    return np.zeros((segment.threads, segment.commands), np.int64)


def seconds_of(ticks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of each command: the thread that takes longest."""
    return ticks.max(0) * clock.tick()


def run(parts: Sequence[Any], bases: Any, interpret: Callable[[Any], None]) -> np.ndarray[Any, Any]:
    """Run a program's parts; seconds of each command, of fewer if one said stop."""
    found: list[float] = []
    for part in parts:
        if type(part) is Segment:
            ticks = ticks_of(part)
            if part.run(bases, ticks=ticks):
                break
            found += seconds_of(ticks).tolist()
        else:
            begun = time.perf_counter()
            interpret(part)
            found.append(time.perf_counter() - begun)
    return np.array(found)
