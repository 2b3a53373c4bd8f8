"""Products with triangles: what is known to be zero is not multiplied.

Rows and columns are taken in blocks, and each block of the result sums what neither operand is known to lack.  A zero
times what is not finite would be NaN, so operands are looked at first; then the interpreter multiplies.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.later import later
from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.linalg.zeros import OTHER, half_of, kept_half
from payback.native.lower.pointwise import code_of
from payback.native.planning.layout import View, contiguous

STEP = 64  # rows and columns of a block
LEAST = 96  # rows and columns of a product that is worth it

part = later("native.lower.linalg.factored", "part")  # other products are asked for halves, too
product = later("native.lower.linalg.factored", "product")


class Finite(NamedTuple):
    """1 if an entry is not finite; args: array, count."""

    code: str
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        a, count = args.pointer(), args.int()
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        even = b.and_(count, e.int(-4 * lanes))
        found = []
        for start, stop, some, many in ((e.int(0), even, lanes, 4), (even, count, 1, 1)):
            zero = constant(ir.VectorType(kind, lanes) if some > 1 else kind, 0.0)

            def add(i: ir.Value, sums: list[ir.Value], zero: Any = zero, some: int = some) -> list[ir.Value]:
                values = [e.load(e.at(a, i, kind), k * some, kind, some) for k in range(len(sums))]
                return [b.fadd(total, b.fmul(value, zero)) for total, value in zip(sums, values, strict=True)]

            found += fold(e, start, stop, some * many, [zero] * many, add)
        *vectors, rest = found
        total = vectors[0]
        for vector in vectors[1:]:
            total = b.fadd(total, vector)
        for lane in range(lanes):
            rest = b.fadd(rest, b.extract_element(total, ir.Constant(ir.IntType(32), lane)))
        b.ret(b.zext(b.fcmp_unordered("uno", rest, rest), ir.IntType(64)))


def _needed(planner: Any, node: Node) -> str:
    """The half of a result that all who use it keep."""
    users = planner.users.get(node, ())
    halves = {kept_half(user) if user.op.name == "select" else "" for user in users}
    return halves.pop() if len(halves) == 1 and node not in planner.wanted else ""


def _blocks(extent: int, cut: bool) -> list[tuple[int, int]]:
    return [(start, min(start + STEP, extent)) for start in range(0, extent, STEP)] if cut else [(0, extent)]


def lower_halves(planner: Any, node: Node) -> bool:
    """A product of two matrices of which one is a triangle, or of whose result half is needed."""
    if len(node.aval.shape) != 2 or code_of(node.aval.dtype) not in ("f4", "f8"):
        return False
    left, right, out = node.params["spec"]
    if len(left) != 2 or len(right) != 2 or min(*node.aval.shape, *node.args[0].aval.shape) < LEAST:
        return False
    (shared,) = set(left) & set(right) or ("",)
    if not shared or shared in out or left == right:
        return False
    if out[0] != left[left[0] == shared]:
        return False
    views, halves = [], []
    for arg, letters, at in ((node.args[0], left, 1), (node.args[1], right, 0)):
        view = planner.view(arg)
        half = half_of(arg)
        if letters[at] != shared:
            view = View(view.buffer, view.offset, view.shape[::-1], view.strides[::-1])
            half = OTHER[half]
        square = view.shape[0] == view.shape[1]
        views.append(view)
        halves.append(half if square else "")
    (m, n), inner, needed = node.aval.shape, views[0].shape[1], _needed(planner, node)
    if halves == ["", ""] and not needed:
        return False
    if halves != ["", ""] and not all(_looked_at(planner, arg) for arg in node.args):
        return False
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    a, b, c = (View(x.buffer, x.offset, (1, *x.shape), (0, *x.strides)) for x in (*views, target))
    for rows in _blocks(m, halves[0] != "" or needed != ""):
        for columns in _blocks(n, halves[1] != "" or needed != ""):
            if (needed == "lower" and columns[0] >= rows[1]) or (needed == "upper" and columns[1] <= rows[0]):
                continue
            start = max(rows[0] if halves[0] == "upper" else 0, columns[0] if halves[1] == "lower" else 0)
            stop = min(rows[1] if halves[0] == "lower" else inner, columns[1] if halves[1] == "upper" else inner)
            block = part(c, rows, columns)
            if start < stop:
                product(planner, part(a, rows, (start, stop)), part(b, (start, stop), columns), block)
            else:
                code = code_of(node.aval.dtype)
                planner.nest([("number", "0.0", code)], [code], [("store", block, 0)], block.shape, "zeros")
    return True


def _looked_at(planner: Any, node: Node) -> bool:
    """Have the program stop where an entry is not finite; False where they do not fill their memory."""
    view = planner.view(node)
    if prod(view.shape) != view.buffer.size:
        return False
    if node.op.name == "cholesky" or ("finite", view.buffer) in planner.factored:  # a factor's pivots were looked at
        return True
    planner.factored["finite", view.buffer] = True
    flat = View(view.buffer, 0, (view.buffer.size,), contiguous((view.buffer.size,)))
    planner.command(Finite(code_of(node.aval.dtype)), [flat], [view.buffer.size], [flat], [], "finite?")
    return True
