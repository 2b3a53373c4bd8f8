"""`searchsorted`: where numbers belong in a sorted row, by halving it for a vector of them at once; and which of
several places names an entry last."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT, INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, load
from payback.native.lower.pointwise import code_of

SIDE_BY_SIDE = 4  # vectors of numbers that are looked for together, a power of two: each step waits for the one before


class Search(NamedTuple):
    """args: row, numbers, places, length of the row, how many numbers.

    A NaN stands behind all numbers, and `left` says whether a number belongs before its equals.
    """

    code: str
    left: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        row, numbers, places = (args.pointer() for _ in range(3))
        length, count = args.ints(2)
        one = e.int(1)
        wide = lanes_of(pointwise.register_type("f8"))

        def before(x: ir.Value, v: ir.Value, beyond: ir.Value | None) -> ir.Value:
            """Whether an entry stands before the place of v; beyond: whether v is no number."""
            if beyond is None:
                less = b.icmp_signed if self.code[0] == "i" else b.icmp_unsigned
                return less("<" if self.left else "<=", x, v)
            if self.left:  # a number stands before what is none
                return b.or_(b.fcmp_ordered("<", x, v), b.and_(b.fcmp_ordered("==", x, x), beyond))
            return b.or_(b.fcmp_ordered("<=", x, v), beyond)

        def entries(at: ir.Value, lanes: int) -> ir.Value:
            if lanes == 1:
                return load(e, row, at, self.code)
            kind = pointwise.register_type(self.code, lanes)
            vector: ir.Value = ir.Constant(kind, ir.Undefined)
            for lane in range(lanes):
                place = ir.Constant(INT32, lane)
                vector = b.insert_element(vector, load(e, row, b.extract_element(at, place), self.code), place)
            return vector

        def find(at: list[ir.Value], lanes: int) -> None:
            values = [load(e, numbers, i, self.code, lanes) for i in at]
            beyond = [b.fcmp_unordered("!=", v, v) if self.code[0] == "f" else None for v in values]
            head, body, after = (b.append_basic_block(name) for name in ("halve", "step", "found"))
            start = b.block
            b.branch(head)
            b.position_at_end(head)
            width = b.phi(INT)
            kind = pointwise.register_type("i8", lanes)
            low = [b.phi(kind) for _ in at]
            width.add_incoming(length, start)
            for each in low:
                each.add_incoming(constant(kind, 0), start)
            b.cbranch(b.icmp_signed(">", width, e.int(0)), body, after)
            b.position_at_end(body)
            half = b.lshr(b.add(width, one), one)
            for each, value, none in zip(low, values, beyond, strict=True):
                further = b.add(each, e.splat(half, lanes))
                entry = entries(b.sub(further, e.splat(one, lanes)), lanes)
                each.add_incoming(b.select(before(entry, value, none), further, each), b.block)
            width.add_incoming(b.sub(width, half), b.block)
            b.branch(head)
            b.position_at_end(after)
            for i, each in zip(at, low, strict=True):
                e.store(each, places, i)

        done = e.int(0)
        for lanes, many in ((wide, SIDE_BY_SIDE), (wide, 1), (1, 1)) if wide > 1 else ((1, 1),):
            end = b.and_(count, e.int(-lanes * many))
            with e.loop(done, end, lanes * many) as i:
                find([b.add(i, e.int(k * lanes)) for k in range(many)], lanes)
            done = end
        b.ret(e.int(0))


def lower_searchsorted(planner: Any, node: Node) -> bool:
    row, numbers = node.args
    code = code_of(row.aval.dtype)
    known = code in ("f4", "f8") or code[0] in "iu"
    if (
        not known
        or numbers.aval.dtype != row.aval.dtype
        or len(row.aval.shape) != 1
        or code_of(node.aval.dtype) != "i8"
    ):
        return False
    given = [planner.view(arg) for arg in node.args]
    given = [planner.contiguous(view, row.aval.dtype) for view in given]
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    key = Search(code, node.params["side"] == "left")
    sizes = [row.aval.shape[0], prod(numbers.aval.shape)]
    planner.command(key, [*given, target], sizes, given, [target], "searchsorted")
    return True


class LastWritten(NamedTuple):
    """args: places, result, rows, places of a row, entries of the result's row."""

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        places, result = args.pointer(), args.pointer()
        rows, count, size = args.ints(3)
        with e.loop(0, rows) as row:
            here, there = e.at(places, b.mul(row, count), INT), e.at(result, b.mul(row, size), INT)
            with e.loop(0, size) as i:
                e.store(e.int(-1), there, i)
            with e.loop(0, count) as k:
                e.store(k, there, e.load(here, k, INT))
        b.ret(e.int(0))


def lower_last_written(planner: Any, node: Node) -> bool:
    """The places are entries of an array of all numbers below the size: none lies outside."""
    places = node.args[0]
    if code_of(places.aval.dtype) != "i8" or code_of(node.aval.dtype) != "i8":
        return False
    view = planner.contiguous(planner.view(places), places.aval.dtype)
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    sizes = [prod(places.shape[:-1]), places.shape[-1], node.params["size"]]
    planner.command(LastWritten(), [view, target], sizes, [view], [target], "last_written")
    return True
