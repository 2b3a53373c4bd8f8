"""A·B of two NumPy matrices by our own kernels: what a compiled program does for one product, as a call.

The bits are those of any compiled program, on any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from functools import lru_cache
from typing import Any

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, POINTER, Compiled, Emitter
from payback.native.lower.products.blocked import gemm
from payback.native.lower.products.blocked.choice import Plan, plan
from payback.native.running import threads


class Product:
    """A compiled plan: the plan's kernel between a table of addresses and numbers, and the threads."""

    def __init__(self, plan: Plan, epilogue: gemm.Epilogue | None = None):
        self.plan = plan
        module = ir.Module("product")
        kind = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT])
        function = ir.Function(module, kind, "product")
        e = Emitter(module, ir.IRBuilder(function.append_basic_block("entry")))
        table, thread, count = function.args
        m, n, k, a_row, a_column, b_row, b_column, c_row, c_column, repeats, size, columns = (
            e.load(table, i, INT) for i in range(12)
        )
        a, b, c, scratch = (e.b.load(e.at(table, i, INT), typ=POINTER) for i in range(12, 16))
        kinds = epilogue.kinds if epilogue else ()
        extra = [e.b.load(e.at(table, 16 + i, INT), typ=kind) for i, kind in enumerate(kinds)]
        with e.loop(0, repeats):
            gemm.call(
                e, plan, m, n, k, (a, a_row, a_column), (b, b_row, b_column), (c, c_row, c_column),
                scratch=e.at(scratch, e.b.mul(thread, size), BYTE), block_columns=columns,
                team=gemm.Team(thread, count), epilogue=epilogue, extra=extra,
            )  # fmt: skip
        e.b.ret_void()
        self.compiled = Compiled(module)
        self.address = self.compiled.address("product")

    def prepare(self, a: np.ndarray, b: np.ndarray, out: np.ndarray, count: int, extra: Sequence[int] = ()) -> Any:
        """The table for `run`, and what must live as long as it."""
        (m, k), n, size = a.shape, b.shape[1], a.itemsize
        strides = [stride // size for array in (a, b, out) for stride in array.strides]
        of_one = self.plan.scratch(m, n, k, count)
        memory = np.empty(of_one * count + 64, np.uint8)
        scratch = memory.ctypes.data + -memory.ctypes.data % 64
        addresses = [*(x.ctypes.data for x in (a, b, out)), scratch]
        numbers = [m, n, k, *strides, 1, of_one, self.plan.block_columns(k)]
        return np.array([*numbers, *addresses, *extra], np.int64), (a, b, out, memory)

    def run(self, prepared: Any, count: int = 1) -> None:
        threads.run(self.address, prepared[0].ctypes.data, count)


@lru_cache(256)
def _product(plan: Plan, fields: tuple[Any, ...]) -> Product:
    return Product(plan)


def made(plan: Plan) -> Product:
    """Plans that are the same in all are compiled once."""
    return _product(plan, astuple(plan))


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, *, accumulate=False, count=1) -> np.ndarray:
    """out = a·b, or out += a·b: matrices of one dtype, float32 or float64, of any strides that are whole elements.

    >>> import numpy as np
    >>> product(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]))
    array([[11.]])
    """
    if out is None:
        out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    strides = [[stride // x.itemsize for stride in x.strides] for x in (a, b, out)]
    found = made(plan(a.dtype, a.shape[0], b.shape[1], a.shape[1], *strides, accumulate))
    found.run(found.prepare(a, b, out, count), count)
    return out
