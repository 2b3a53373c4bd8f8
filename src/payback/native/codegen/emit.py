"""Writing LLVM IR: an IR builder with loops, vectors of the host's width, and the intrinsics that we use.

No fast-math flags anywhere: what is written is what is computed.  `fma` is emitted where it is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from payback.native import ir

INT = ir.IntType(64)
INT32 = ir.IntType(32)
BIT = ir.IntType(1)
BYTE = ir.IntType(8)
POINTER = ir.PointerType()
FLOAT32 = ir.FloatType()
FLOAT64 = ir.DoubleType()
HALF = ir.HalfType()


@cache
def initialize() -> None:
    """Make LLVM ready for the host, once a process."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def host_features() -> dict[str, bool]:
    """What the host's CPU can do, by LLVM's names: "avx2", "fma", "avx512f", "neon", ..."""
    return dict(llvm.get_host_cpu_features())


@cache
def vector_bytes() -> int:
    """The width of the host's vectors in bytes: 64 with AVX-512, 32 with AVX, else 16."""
    features = host_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


@cache
def is_double_pumped() -> bool:
    """Whether units are half as wide as the host's vectors: an instruction on one takes as long as on two halves."""
    return vector_bytes() == 64 and llvm.get_host_cpu_name() == "znver4"


def llvm_type(dtype: np.dtype[Any]) -> ir.Type:
    """How a scalar of the dtype is held: a boolean is a byte in memory."""
    match dtype.kind, dtype.itemsize:
        case "f", 8:
            return FLOAT64
        case "f", 4:
            return FLOAT32
        case "f", 2:
            return HALF
        case "b", _:
            return BYTE
        case (("i" | "u"), size):
            return ir.IntType(8 * size)
    raise TypeError(f"no machine type for {dtype}")


class Emitter:
    """An IR builder at the end of a function, with what the kernels are written in."""

    def __init__(self, module: ir.Module, builder: ir.IRBuilder | None = None):
        self.module, self.b = module, builder
        self.constants: Any = None  # of this function, where elementary functions are written into it and not called

    def int(self, value: int) -> ir.Constant:
        return ir.Constant(INT, int(value))

    def intrinsic(self, name: str, *operands: ir.Value) -> ir.Value:
        """A call of `llvm.<name>` overloaded on the first operand's type, which all operands and the result have."""
        kind = operands[0].type
        full = f"llvm.{name}.{suffix(kind)}"
        function = self.module.globals.get(full)
        if function is None:
            function = ir.Function(self.module, ir.FunctionType(kind, [x.type for x in operands]), full)
        return self.b.call(function, operands, pure=True)

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        return self.intrinsic("fma", a, b, c)

    @contextmanager
    def loop(self, start: Any, stop: Any, step: Any = 1) -> Iterator[ir.Phi]:
        """`for i in range(start, stop, step)`, which may run no time at all; step > 0."""
        b = self.b
        start, stop, step = (self.int(x) if isinstance(x, int) else x for x in (start, stop, step))
        before = b.block
        head, body, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(INT)
        i.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", i, stop), body, after)
        b.position_at_end(body)
        yield i
        i.add_incoming(b.add(i, step), b.block)
        b.branch(head)
        b.position_at_end(after)

    def at(self, pointer: ir.Value, offset: Any, kind: ir.Type) -> ir.Value:
        """The address of element number `offset`."""
        offset = self.int(offset) if isinstance(offset, int) else offset
        return self.b.gep(pointer, [offset], source_etype=kind)

    def load(self, pointer: ir.Value, offset: Any, kind: ir.Type, lanes: int = 1) -> ir.Value:
        """One element, or `lanes` of them as a vector, unaligned."""
        place = self.at(pointer, offset, kind)
        if lanes == 1:
            return self.b.load(place, typ=kind)
        return self.b.load(place, typ=ir.VectorType(kind, lanes), align=itemsize(kind))

    def store(self, value: ir.Value, pointer: ir.Value, offset: Any) -> None:
        """A scalar, or a vector at consecutive elements, unaligned."""
        kind = scalar_of(value.type)
        self.b.store(value, self.at(pointer, offset, kind), align=itemsize(kind))

    def splat(self, scalar: ir.Value, lanes: int) -> ir.Value:
        """A vector whose lanes are all the scalar."""
        if lanes == 1:
            return scalar
        undefined = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
        first = self.b.insert_element(undefined, scalar, ir.Constant(INT32, 0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, lanes), [0] * lanes))


def itemsize(kind: ir.Type) -> int:
    """Bytes of a scalar type in memory."""
    if isinstance(kind, ir.IntType):
        return max(kind.width // 8, 1)
    return {"float": 4, "double": 8, "half": 2}[str(kind)]


def suffix(kind: ir.Type) -> str:
    """The ending of an overloaded intrinsic's name: f32, v8f64, i32."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return (
        f"i{kind.width}"
        if isinstance(kind, ir.IntType)
        else {"float": "f32", "double": "f64", "half": "f16"}[str(kind)]
    )


def scalar_of(kind: ir.Type) -> ir.Type:
    """The type of one lane; of a scalar its own."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def like(kind: ir.Type, scalar: ir.Type) -> ir.Type:
    """The scalar type, with as many lanes as `kind` has."""
    return ir.VectorType(scalar, kind.count) if isinstance(kind, ir.VectorType) else scalar


def lanes_of(kind: ir.Type) -> int:
    """How many scalars of the type one vector register of the host holds."""
    return vector_bytes() // itemsize(kind)


def constant(kind: ir.Type, value: Any) -> ir.Constant:
    """A constant of a scalar or vector type, every lane the same."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)
    return ir.Constant(kind, value)


def target_machine() -> llvm.TargetMachine:
    """What makes code for the host.  Level 2 of code generation: with 0 it is four times slower, with 3 no faster."""
    initialize()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=_feature_text(), opt=2, jit=True
    )


@cache
def _feature_text() -> str:
    return llvm.get_host_cpu_features().flatten()


class Loaded:
    """Object code in memory.  Holds the engine: the code lives as long as this object."""

    def __init__(self, *codes: bytes):
        self.codes = codes
        empty = llvm.parse_assembly("")
        empty.triple = llvm.get_process_triple()
        self.engine = llvm.create_mcjit_compiler(empty, target_machine())
        for code in codes:
            self.engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self.engine.finalize_object()

    def address(self, name: str) -> int:
        """Where a function is; 0 where there is none of this name."""
        return self.engine.get_function_address(name)


class Compiled(Loaded):
    """A module as machine code.

    The object code is asked for and not taken from the engine's callbacks: there Ctrl-C would be lost.
    """

    def __init__(self, module: ir.Module):
        module.triple = llvm.get_process_triple()
        self.parsed = llvm.parse_assembly(str(module))
        self.parsed.verify()
        super().__init__(target_machine().emit_object(self.parsed))
