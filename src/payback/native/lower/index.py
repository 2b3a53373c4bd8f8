"""`scatter`: payments added to the entries that an index reads, in order, twice where it reads twice."""

from __future__ import annotations

from typing import Any

from payback.ir.node import Node
from payback.native.lower import boxes, pointwise
from payback.native.lower.pointwise import code_of
from payback.native.planning import even, layout
from payback.native.planning.layout import View


def _in_boxes(node: Node, payments: list[tuple[Node, Any, Any]]) -> tuple[list[boxes.Payment], int]:
    """The first payments as large boxes of the result, and how many payments these are."""
    found: list[boxes.Payment] = []
    if node.aval.size < boxes.LEAST:
        return found, 0
    for count, ((value, arrays, _), template) in enumerate(zip(payments, node.params["templates"], strict=True)):
        contents = even.known(arrays)
        parts = None if contents is None else boxes.payments(value, template, contents, node.aval.shape)
        if parts is None:
            return found, count
        found += parts
    return found, len(payments)


def lower_scatter(planner: Any, node: Node) -> bool:
    params, dtype, shape = node.params, node.aval.dtype, node.aval.shape
    code = code_of(dtype)
    if "f2" in (code, *map(code_of, (arg.aval.dtype for arg in node.args))) and not pointwise.half_is_native():
        return False
    payments, position = [], 0
    sketch = layout.whole(layout.Buffer("arena", dtype, node.aval.size), shape)
    for template, count in zip(params["templates"], params["counts"], strict=True):
        value, arrays = node.args[position], node.args[position + 1 : position + 1 + count]
        position += 1 + count
        alike = value.aval.dtype == dtype or (value.aval.dtype.kind == dtype.kind == "f" and not value.aval.weak)
        if not alike or any(a.aval.dtype.kind not in "iu" or a.aval.weak for a in arrays):
            return False
        places = layout.indexed(sketch, template, [a.aval.shape for a in arrays])
        if places is None:
            return False
        payments.append((value, arrays, places))
    boxed = code in ("f4", "f8") and all(value.aval.dtype == dtype for value, *_ in payments)
    large, done = _in_boxes(node, payments) if boxed else ([], 0)
    last = node
    if done == len(payments) and large:
        for end, paid in boxes.added(planner, node):
            planner.gone.add(last)
            planner.waiting.pop(end)
            large, last = [*large, paid], end
    if large:
        target = boxes.pay(planner, last, large, done == len(payments))
    else:
        target = planner.allocate(node, dtype, shape)
        zero = ("lit", code, "0.0" if code[0] == "f" else "0")
        planner.nest([zero], [code], [("store", target, 0)], shape, "zeros")
    for value, arrays, places in payments[done:]:
        strides, left = even.rest(places, lambda number, extent: planner.places(arrays[number], extent))  # noqa: B023
        place = View(target.buffer, places.offset, places.shape, strides)
        extra, indices = [view for view, _ in left], [(k, stride) for k, (_, stride) in enumerate(left)]
        sink = ("scatter", place, 0, *indices) if indices else ("plus", place, 0)
        planner.write(node, value, places.shape, sink, "scatter", extra)
    return True
