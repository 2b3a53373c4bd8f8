"""One function over whole arrays, by itself: what tests and measurements run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import INT, POINTER, Compiled, Emitter, llvm_type
from payback.native.vector_math import emit

Array = np.ndarray[Any, Any]


class Elementwise:
    """A function of the table as machine code: `lanes` elements at a time, and the rest one by one.

    Called with arrays of its dtype and of one length; returns a new array.
    """

    def __init__(self, name: str, dtype: Any, lanes: int, operands: int = 1, compiler: Callable[..., Any] = Compiled):
        self.dtype, self.operands = np.dtype(dtype), operands
        module = ir.Module(name)
        kind = llvm_type(self.dtype)
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER] * (operands + 1) + [INT]), "run")
        e = Emitter(module, ir.IRBuilder(function.append_basic_block()))
        *inputs, output, count = function.args
        whole = e.b.sub(count, e.b.urem(count, e.int(lanes)))
        for start, stop, step in ((e.int(0), whole, lanes), (whole, count, 1)):
            with e.loop(start, stop, step) as i:
                e.store(emit(e, name, *[e.load(place, i, kind, step) for place in inputs]), output, i)
        e.b.ret_void()
        self.compiled = compiler(module)
        arguments = [*[ctypes.c_void_p] * (operands + 1), ctypes.c_int64]
        self.run = ctypes.CFUNCTYPE(None, *arguments)(self.compiled.address("run"))

    def __call__(self, *inputs: Array, out: Array | None = None) -> Array:
        inputs = tuple(np.ascontiguousarray(x, self.dtype) for x in inputs)
        out = np.empty_like(inputs[0]) if out is None else out
        self.run(*[x.ctypes.data for x in inputs], out.ctypes.data, out.size)
        return out
