"""Linear recurrences along an axis: each entry from the one before it."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold, load, store
from payback.native.lower.pointwise import code_of
from payback.native.planning import layout

SIDE_BY_SIDE = 4  # lines that are walked together: each entry waits for the one before it


class Recurrence(NamedTuple):
    """y_i = a_i·y_{i−1} + b_i from y_0 = b_0.

    args: a, b, y, extents (outer…, axis), strides of a, of b and of y.
    """

    code: str
    outer: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        arrays = [args.pointer() for _ in range(3)]
        extents = args.ints(self.outer + 1)
        strides = [args.ints(self.outer + 1) for _ in range(3)]

        def moved(offsets: list[ir.Value], axis: int, i: ir.Value) -> list[ir.Value]:
            return [b.add(offset, b.mul(i, s[axis])) for offset, s in zip(offsets, strides, strict=True)]

        def walk(lines: list[list[ir.Value]]) -> None:
            """Some lines, entry by entry."""
            axis = self.outer

            def body(i: ir.Value, before: list[ir.Value]) -> list[ir.Value]:
                made = []
                first = b.icmp_signed("==", i, e.int(0))
                for line, last in zip(lines, before, strict=True):
                    here = moved(line, axis, i)
                    factor = load(e, arrays[0], here[0], self.code)
                    term = load(e, arrays[1], here[1], self.code)
                    value = pointwise.emit(e, "mul", self.code, [factor, last])
                    value = b.select(first, term, pointwise.emit(e, "add", self.code, [value, term]))
                    store(e, value, arrays[2], here[2], self.code)
                    made.append(value)
                return made

            zero = constant(pointwise.register_type(self.code), 0.0)
            fold(e, 0, extents[axis], 1, [zero] * len(lines), body)

        def around(axis: int, offsets: list[ir.Value]) -> None:
            if axis == self.outer:
                walk([offsets])
            elif axis < self.outer - 1:
                with e.loop(0, extents[axis]) as i:
                    around(axis + 1, moved(offsets, axis, i))
            else:
                main = b.and_(extents[axis], e.int(-SIDE_BY_SIDE))
                with e.loop(0, main, SIDE_BY_SIDE) as i:
                    walk([moved(offsets, axis, b.add(i, e.int(k))) for k in range(SIDE_BY_SIDE)])
                with e.loop(main, extents[axis]) as i:
                    walk([moved(offsets, axis, i)])

        around(0, [e.int(0)] * 3)
        b.ret(e.int(0))


def lower_recurrence(planner: Any, node: Node) -> bool:
    axis, backwards, aval = node.params["axis"], node.params["backwards"], node.aval
    code = code_of(aval.dtype)
    if code not in ("f4", "f8") or any(
        arg.aval.dtype != aval.dtype or arg.aval.shape != aval.shape for arg in node.args
    ):
        return False
    views = [*map(planner.view, node.args), planner.allocate(node, aval.dtype, aval.shape)]
    numbers, operands = layout.along(views, axis, backwards)
    key = Recurrence(code, len(aval.shape) - 1)
    planner.command(key, operands, numbers, operands[:2], operands[2:], node.op.name)
    return True
