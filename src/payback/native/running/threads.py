"""One native program run by several threads at once.

Workers are Python threads, made when they are first needed and kept; between jobs they sleep in a queue, in a job they
are in one native call with the GIL released.  Waking them takes tens of microseconds, so a job is a whole call, or an
epoch.  Inside a job, threads wait for each other at a barrier: they spin for a moment, then give way to other threads,
then sleep, so that more threads than cores make progress too.

All threads of a job are in it at the same time, which a barrier needs: a worker belongs to one job, and calls from
several Python threads get workers of their own.
"""

from __future__ import annotations

import ctypes
import operator
import os
import platform
import queue
import sys
import threading
import warnings
from collections import deque
from functools import partial

from payback.native import ir
from payback.native.codegen.emit import INT, INT32, POINTER, Emitter
from payback.native.running.cores import VARIABLE, cores

STATE_BYTES = 128  # of a barrier: two cache lines, zeros at first
_SPINS, _YIELDS = 200, 5000  # some 5 µs, then some ms

_Program = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class _Worker:
    """A thread that waits for a job, does its part and says so."""

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._work, name="payback", daemon=True).start()

    def _work(self) -> None:
        while True:
            part, finished, tell = self.jobs.get()
            part()
            finished.append(self)
            tell(None)
            del part, finished, tell  # a sleeping worker keeps nothing alive


_lock = threading.Lock()
_idle: list[_Worker] = []
_warned = False


def _forget_workers() -> None:
    """In the child of a fork there are no threads but one."""
    global _lock, _idle
    _lock, _idle = threading.Lock(), []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)


def _hired(count: int) -> list[_Worker]:
    """So many workers, or none: what they work in was planned for all of them, or for one thread."""
    global _warned
    with _lock:
        workers = [_idle.pop() for _ in range(min(count, len(_idle)))]
    try:
        while len(workers) < count:
            workers.append(_Worker())
    except RuntimeError as problem:  # a limit of threads or memory, or the interpreter is about to end
        with _lock:
            _idle.extend(workers)
        if not _warned:
            _warned = True
            warnings.warn(
                f"compiled code runs on one thread, not on {count + 1}: {problem}; raise this process's limits, or "
                f"set {VARIABLE}",
                RuntimeWarning,
                stacklevel=2,
            )
        return []
    return workers


def run(address: int, argument: int, count: int) -> None:
    """Call the native `void program(void *argument, i64 thread, i64 threads)` in `count` threads, 0 being the caller:
    in one, with one warning, where the system does not let this process have so many.

    Returns when all have returned.  Ctrl-C is raised then, not before: the job's memory is in use.
    """
    program = _Program(address)
    workers = _hired(count - 1) if count > 1 else []
    count = len(workers) + 1
    if count == 1:
        program(argument, 0, 1)
        return
    finished: list[_Worker] = []
    bell: queue.SimpleQueue = queue.SimpleQueue()
    jobs = [
        partial(worker.jobs.put, (partial(program, argument, number, count), finished, bell.put))
        for number, worker in enumerate(workers, 1)
    ]
    # All parts begin in one call from C: a signal that came between them would leave some at a barrier for ever.  As an
    # iterator is used up but once, the call may be repeated where a signal came before or after it.
    parts = map(operator.call, [*jobs, partial(program, argument, 0, count)])
    interrupt: BaseException | None = None
    while True:
        try:
            deque(parts, maxlen=0)
            while len(finished) < len(workers):
                bell.get(timeout=None if interrupt is None else 0.01)  # a signal may have swallowed one ring
            break
        except queue.Empty:
            pass
        except BaseException as error:
            interrupt = error
    with _lock:
        _idle.extend(workers)
    if interrupt is not None:
        raise interrupt


def emit_barrier(e: Emitter, state: ir.Value, count: ir.Value) -> None:
    """Emit: wait until `count` threads have come here; what each wrote before, all can read after.

    `state` points to STATE_BYTES, aligned to 64: how many have come, and in another line the number of times that all
    had.  The last to come sets the first back before it changes the second, so the barrier can be used again at once.
    """
    name = "payback.barrier"
    if name not in e.module.globals:
        _barrier(e.module, name)
    e.b.call(e.module.globals[name], [state, count])


def _barrier(module: ir.Module, name: str) -> None:
    made = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, INT]), name)
    made.linkage = "internal"
    b = ir.IRBuilder(made.append_basic_block("entry"))
    e = Emitter(module, b)
    state, count = made.args
    several, last, spin, give_way, again, check, end = (
        made.append_basic_block(x) for x in ("several", "last", "spin", "give_way", "again", "check", "end")
    )
    b.cbranch(b.icmp_signed(">", count, e.int(1)), several, end)
    b.position_at_end(several)
    times = e.at(state, 8, INT)
    before = b.load_atomic(times, "acquire", 8, typ=INT)
    # Who waits for a thread that has no core only keeps the core from it.
    spins = b.select(b.icmp_signed(">", count, e.int(cores())), e.int(0), e.int(_SPINS))
    come = b.atomic_rmw("add", state, e.int(1), "acq_rel")
    b.cbranch(b.icmp_signed("==", come, b.sub(count, e.int(1))), last, spin)
    b.position_at_end(last)
    b.atomic_rmw("xchg", state, e.int(0), "monotonic")
    b.atomic_rmw("add", times, e.int(1), "release")
    b.branch(end)

    b.position_at_end(spin)
    tries = b.phi(INT)
    tries.add_incoming(e.int(0), several)
    now = b.load_atomic(times, "acquire", 8, typ=INT)
    b.cbranch(b.icmp_signed("!=", now, before), end, check)
    b.position_at_end(check)
    more = b.add(tries, e.int(1))
    b.cbranch(b.icmp_signed("<", tries, spins), again, give_way)
    b.position_at_end(again)
    _pause(e)
    tries.add_incoming(more, again)
    b.branch(spin)
    b.position_at_end(give_way)
    with b.if_else(b.icmp_signed("<", tries, e.int(_SPINS + _YIELDS))) as (yield_, sleep):
        with yield_:
            _system(e, "SwitchToThread" if sys.platform == "win32" else "sched_yield", [])
        with sleep:
            if sys.platform == "win32":
                _system(e, "Sleep", [ir.Constant(INT32, 0)])
            else:
                _system(e, "usleep", [ir.Constant(INT32, 50)])
    tries.add_incoming(more, b.block)
    b.branch(spin)
    b.position_at_end(end)
    b.ret_void()


def fence(e: Emitter) -> None:
    """What was stored past the caches is there for other threads after the next barrier."""
    if platform.machine().lower() in ("x86_64", "amd64"):
        _system(e, "llvm.x86.sse.sfence", [], ir.VoidType())


def _pause(e: Emitter) -> None:
    """Tell the core that this is a loop that waits."""
    machine = platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        _system(e, "llvm.x86.sse2.pause", [], ir.VoidType())
    elif machine in ("aarch64", "arm64"):
        _system(e, "llvm.aarch64.hint", [ir.Constant(INT32, 1)], ir.VoidType())


def _system(e: Emitter, name: str, arguments: list[ir.Value], result: ir.Type = INT32) -> None:
    """Call a function of the system."""
    function = e.module.globals.get(name) or ir.Function(
        e.module, ir.FunctionType(result, [x.type for x in arguments]), name
    )
    e.b.call(function, arguments)
