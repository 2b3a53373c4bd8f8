"""From LLVM IR to object code: modules are compiled in several threads, while further ones are still being written.

Writing IR is Python and holds the GIL; LLVM does not.  Each module is compiled in a context of its own, which LLVM may
do at the same time, and what comes out depends on the module alone.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Iterable
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from payback.native.codegen.emit import target_machine
from payback.native.codegen.split import INLINED
from payback.native.lower.steps import LOOP

# What arguments that are known amount to.  LLVM's own pipeline is no better here and takes twice as long; what it moves
# out of loops in its version 22 does not always stand before all that uses it.
SIMPLIFY = (
    "sroa", "instruction_combine", "simplify_cfg", "sccp", "loop_simplify", "lcssa", "loop_rotate", "loop_unroll",
    "sroa", "instruction_combine", "simplify_cfg", "dead_store_elimination", "aggressive_dce",
)  # fmt: skip


def assemble(texts: Iterable[str], threads: int) -> list[bytes]:
    """Object code for each module of LLVM IR, in order."""
    jobs: queue.SimpleQueue[tuple[int, str] | None] = queue.SimpleQueue()
    made: dict[int, bytes] = {}
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            machine = target_machine()  # each thread's own
            while not troubles and (job := jobs.get()) is not None:
                made[job[0]] = object_code(job[1], machine)
        except BaseException as trouble:  # raised where the caller waits
            troubles.append(trouble)

    count, helpers = 0, []
    try:
        for text in texts:
            jobs.put((count, text))
            count += 1
            if len(helpers) < min(threads - 1, count):
                # no daemon: a program that ends waits for it before LLVM is taken down
                helper = threading.Thread(target=work, name="payback compiles")
                try:
                    helper.start()
                except RuntimeError:  # the system gives no more: those that there are do it
                    threads = 0
                else:
                    helpers.append(helper)
    except BaseException as trouble:  # an interruption too: each helper ends the module that it is at
        troubles.append(trouble)
    for _ in range(len(helpers) + 1):
        jobs.put(None)
    work()
    for helper in helpers:
        helper.join()
    if troubles:
        raise troubles[0]
    return [made[k] for k in range(count)]


def object_code(text: str, machine: llvm.TargetMachine) -> bytes:
    """The object code of one module.  A machine learns about the host at its first module: 1.4 ms."""
    # The module goes before its context.  Where both were left to a traceback, they could go in another order: a crash.
    with llvm.create_context() as context, llvm.parse_assembly(text, context) as module:
        module.verify()
        if INLINED in text:
            _inline(machine, module)
        with ffi.OutputString() as complaint:
            buffer = _emit(machine, module, 1, complaint)
            if not buffer:
                raise RuntimeError(str(complaint))
        try:
            return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(buffer), ffi.lib.LLVMPY_GetBufferSize(buffer))
        finally:
            ffi.lib.LLVMPY_DisposeMemoryBuffer(buffer)


def _inline(machine: llvm.TargetMachine, module: llvm.ModuleRef) -> None:
    """Functions that are to be written into others are, and what their arguments say is worked out."""
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    inline = llvm.create_new_module_pass_manager()
    inline.add_always_inliner_pass()
    inline.add_global_dead_code_eliminate_pass()
    inline.run(module, builder)
    simplify = llvm.create_new_function_pass_manager()
    for name in SIMPLIFY:
        getattr(simplify, f"add_{name}_pass")()
    for function in module.functions:
        if function.name.endswith(LOOP) and not function.is_declaration:
            simplify.run(function, builder)
    module.verify()


def _unlocked(function: Any) -> Any:
    """llvmlite lets one thread into LLVM at a time, for most of what it does is in one context.  Where it has changed
    how, the lock stays, and modules are compiled one after another."""
    return getattr(function, "_cfn", function)


_emit = _unlocked(ffi.lib.LLVMPY_TargetMachineEmitToMemory)
