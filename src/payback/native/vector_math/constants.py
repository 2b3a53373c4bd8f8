"""The constants of one function, each as a whole vector register in one table in memory.

An instruction reads its constant from there by the table's address and an offset.  Left to itself, the code generator
loads one element and spreads it, after loading its 64-bit address: two more instructions for each constant at each
call.  The function gets the table's address as an argument; a name would be one more address for each offset.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT32, FLOAT64, INT, INT32, POINTER, Emitter, itemsize, vector_bytes


class Constants:
    """The table of a function, which grows while the function is written; `address` is the function's argument."""

    def __init__(self, address: ir.Value):
        self.places: dict[bytes, int] = {}
        self.address, self.bytes = address, vector_bytes()

    def value(self, e: Emitter, kind: ir.Type, value: float | int) -> ir.Value:
        """The constant in all lanes; zero and all bits one need no memory."""
        element, count = (kind.element, kind.count) if isinstance(kind, ir.VectorType) else (kind, 1)
        pattern = _pattern(element, value)
        if not any(pattern) or all(byte == 0xFF for byte in pattern):
            lane = ir.Constant(element, value)
            return lane if kind is element else ir.Constant(kind, [lane] * count)
        place = self.places.setdefault(pattern, len(self.places) * self.bytes)
        address = e.at(self.address, place, BYTE)
        held = self.bytes // len(pattern)  # lanes of a register
        if count <= held:
            return e.b.load(address, typ=kind, align=self.bytes)
        register = e.b.load(address, typ=ir.VectorType(element, held), align=self.bytes)
        order = ir.Constant(ir.VectorType(INT32, count), [INT32(lane % held) for lane in range(count)])
        return e.b.shuffle_vector(register, register, order)

    def fill(self, table: ir.GlobalVariable) -> ir.GlobalVariable:
        """The table in memory, when the last formula is written."""
        words = [
            word
            for pattern in self.places
            for word in struct.unpack(f"<{self.bytes // 8}q", pattern * (self.bytes // len(pattern)))
        ]
        table.kind = ir.ArrayType(INT, len(words))
        table.linkage, table.global_constant, table.align = "internal", True, self.bytes
        table.initializer = ir.Constant(table.kind, [INT(word) for word in words])
        return table


def empty_table(module: ir.Module, name: str) -> ir.GlobalVariable:
    return ir.GlobalVariable(module, INT, name)


def _pattern(element: ir.Type, value: float | int) -> bytes:
    if element in (FLOAT32, FLOAT64):
        return struct.pack("<f" if element is FLOAT32 else "<d", value)
    size = itemsize(element)
    return (value % (1 << (8 * size))).to_bytes(size, "little")


Body = Callable[[Emitter, Constants, Sequence[ir.Value]], ir.Value]


def defined(
    module: ir.Module, name: str, result: ir.Type, kinds: Sequence[ir.Type], body: Body, operands: Sequence[ir.Value]
) -> tuple[ir.Function, list[ir.Value]]:
    """An internal function with constants, written by `body` at the first use in the module, and a call's arguments."""
    function, table = (module.globals.get(x) for x in (name, f"{name}.constants"))
    if function is None:
        function = ir.Function(module, ir.FunctionType(result, [*kinds, POINTER]), name)
        function.linkage = "internal"
        builder = ir.IRBuilder(function.append_basic_block())
        *arguments, address = function.args
        constants = Constants(address)
        builder.ret(body(Emitter(module, builder), constants, arguments))
        table = constants.fill(empty_table(module, f"{name}.constants"))
    return function, [*operands, table]
