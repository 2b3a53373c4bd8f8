"""`searchsorted`: where numbers belong in a sorted row, by halving it without branches."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.emit import INT, Emitter
from payback.native.lower.kernel import Arguments, load
from payback.native.lower.pointwise import code_of

SIDE_BY_SIDE = 4  # numbers that are looked for together: each step waits for the one before it


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
        zero, one = e.int(0), e.int(1)

        def before(x: ir.Value, v: ir.Value) -> ir.Value:
            """Whether an entry stands before the place of v."""
            if self.code[0] != "f":
                less = b.icmp_signed if self.code[0] == "i" else b.icmp_unsigned
                return less("<" if self.left else "<=", x, v)
            if self.left:  # x < v, or x is a number and v none
                return b.or_(
                    b.fcmp_ordered("<", x, v), b.and_(b.fcmp_ordered("==", x, x), b.fcmp_unordered("!=", v, v))
                )
            return b.or_(b.fcmp_ordered("<=", x, v), b.fcmp_unordered("!=", v, v))

        def find(at: list[ir.Value]) -> None:
            values = [load(e, numbers, i, self.code) for i in at]
            head, body, after = (b.append_basic_block(name) for name in ("halve", "step", "found"))
            start = b.block
            b.branch(head)
            b.position_at_end(head)
            width = b.phi(INT)
            low = [b.phi(INT) for _ in at]
            width.add_incoming(length, start)
            for each in low:
                each.add_incoming(zero, start)
            b.cbranch(b.icmp_signed(">", width, zero), body, after)
            b.position_at_end(body)
            half = b.lshr(b.add(width, one), one)
            for each, value in zip(low, values, strict=True):
                further = b.add(each, half)
                entry = load(e, row, b.sub(further, one), self.code)
                each.add_incoming(b.select(before(entry, value), further, each), b.block)
            width.add_incoming(b.sub(width, half), b.block)
            b.branch(head)
            b.position_at_end(after)
            for i, each in zip(at, low, strict=True):
                e.store(each, places, i)

        main = b.and_(count, e.int(-SIDE_BY_SIDE))
        with e.loop(0, main, SIDE_BY_SIDE) as i:
            find([b.add(i, e.int(k)) for k in range(SIDE_BY_SIDE)])
        with e.loop(main, count) as i:
            find([i])
        b.ret(zero)


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
    given = [view if view.whole else planner.copy(view, row.aval.dtype) for view in given]
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    key = Search(code, node.params["side"] == "left")
    sizes = [row.aval.shape[0], prod(numbers.aval.shape)]
    planner.command(key, [*given, target], sizes, given, [target], "searchsorted")
    return True
