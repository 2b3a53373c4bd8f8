"""What reductions start from, how two parts of one are joined, and where totals go."""

from __future__ import annotations

from typing import Any

from payback.native import ir
from payback.native.codegen.emit import INT32, constant
from payback.native.lower import pointwise
from payback.native.lower.nests.body import Body


class Totals(Body):
    """Parts are of the dtype, totals of sums in float64; both for one column or a vector of them."""

    totals: dict[tuple[Any, ...], ir.Value]

    def code(self, sink: tuple[Any, ...]) -> str:
        return self.key.codes[sink[2]]

    def unit(self, sink: tuple[Any, ...], kind: ir.Type) -> ir.Constant:
        """What a reduction starts from; −0 + x is x for every x."""
        name, code = sink[0], self.code(sink)
        if name == "sum":
            return constant(kind, (0.0 if self.key.empty else -0.0) if code[0] == "f" else 0)
        if code[0] == "f":
            return constant(kind, float("-inf") if name == "max" else float("inf"))
        if code == "b1":
            return constant(kind, 0 if name == "max" else 1)
        bits = 8 * int(code[1:])
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if code[0] == "i" else (0, 2**bits - 1)
        return constant(kind, low if name == "max" else high)

    def joined(self, sink: tuple[Any, ...], code: str, a: ir.Value, b: ir.Value) -> ir.Value:
        if sink[0] == "sum":
            return self.e.b.fadd(a, b) if code[0] == "f" else self.e.b.add(a, b)
        return pointwise.extreme(self.e, code, a, b, "maximum" if sink[0] == "max" else "minimum")

    def wide(self, sink: tuple[Any, ...]) -> str:
        """What totals are kept in."""
        code = self.code(sink)
        return "f8" if sink[0] == "sum" and code[0] == "f" else code

    def _open(self, lanes: int, count: int) -> None:
        """Totals at their start, for `count` vectors of columns."""
        for sink in self.reductions:
            kind = pointwise.register_type(self.wide(sink), lanes)
            for column in range(count):
                slot = (sink, lanes, column)
                if slot not in self.totals:
                    with self.e.b.goto_entry_block():
                        self.totals[slot] = self.e.b.alloca(kind)
                self.e.b.store(self.unit(sink, kind), self.totals[slot])

    def _flush(self, sink: tuple[Any, ...], lanes: int, column: int, part: ir.Value) -> None:
        b, slot = self.e.b, self.totals[sink, lanes, column]
        code = self.wide(sink)
        if code != self.code(sink):
            part = b.fpext(part, pointwise.register_type(code, lanes)) if self.code(sink) != "f8" else part
        kind = pointwise.register_type(code, lanes)
        b.store(self.joined(sink, code, b.load(slot, typ=kind), part), slot)

    def _close(self, offsets: list[ir.Value], lanes: int, count: int) -> None:
        """Totals to their places."""
        for sink in self.reductions:
            kind = pointwise.register_type(self.wide(sink), lanes)
            for column in range(count):
                value = self.e.b.load(self.totals[sink, lanes, column], typ=kind)
                at = self.along(offsets, self.e.int(column * lanes)) if column else offsets
                self._end(sink, value, at, lanes)

    def _end(self, sink: tuple[Any, ...], total: ir.Value, offsets: list[ir.Value], lanes: int) -> None:
        """A total to its place."""
        code = self.code(sink)
        if self.wide(sink) != code:
            total = self.e.b.fptrunc(total, pointwise.register_type(code, lanes))
        if sink[3]:
            factor = self.e.splat(self.factor(sink[3][1], code), lanes)
            total = pointwise.emit(self.e, "div", "f4" if code == "f2" else code, [total, factor])
        self.write(sink[1], offsets[sink[1]], total, lanes)

    def _parts_of(self, parts: list[ir.Value], accumulators: list[ir.Value]) -> list[ir.Value]:
        return [
            self.joined(sink, self.code(sink), acc, part)
            for sink, acc, part in zip(self.reductions, accumulators, parts, strict=True)
        ]

    def _parts(self, values: list[ir.Value], accumulators: list[ir.Value]) -> list[ir.Value]:
        return self._parts_of([values[sink[2]] for sink in self.reductions], accumulators)

    def _units(self, lanes: int) -> list[ir.Value]:
        return [self.unit(sink, pointwise.register_type(self.code(sink), lanes)) for sink in self.reductions]

    def _across(self, sink: tuple[Any, ...], vector: ir.Value) -> ir.Value:
        """A vector's lanes joined, halves first."""
        b, width = self.e.b, vector.type.count
        undefined = ir.Constant(vector.type, ir.Undefined)
        while width > 1:
            width //= 2
            lanes = [min(lane + width, vector.type.count - 1) for lane in range(vector.type.count)]
            mask = ir.Constant(ir.VectorType(INT32, vector.type.count), lanes)
            vector = self.joined(sink, self.code(sink), vector, b.shuffle_vector(vector, undefined, mask))
        return b.extract_element(vector, ir.Constant(INT32, 0))
