"""LLVM IR as text, written while it is built: types, values, functions, and a builder with the methods of llvmlite's.

Half of what emitting took went into llvmlite's objects for instructions, and into their text.  Here an instruction is
its line: what is kept of it is its name and its type.  What a block computes once more from the same operands is the
value that it has.  Types are compared by identity.  Wrong types are found by LLVM, when it reads the text.
"""

from payback.native.ir.builder import IRBuilder
from payback.native.ir.module import Block, Function, GlobalVariable, Module, Phi, Switch
from payback.native.ir.values import (
    ArrayType,
    Constant,
    DoubleType,
    FloatType,
    FunctionType,
    HalfType,
    IntType,
    LiteralStructType,
    PointerType,
    Type,
    Undefined,
    Value,
    VectorType,
    VoidType,
)

__all__ = [
    "ArrayType",
    "Block",
    "Constant",
    "DoubleType",
    "FloatType",
    "Function",
    "FunctionType",
    "GlobalVariable",
    "HalfType",
    "IRBuilder",
    "IntType",
    "LiteralStructType",
    "Module",
    "Phi",
    "PointerType",
    "Switch",
    "Type",
    "Undefined",
    "Value",
    "VectorType",
    "VoidType",
]
