"""Which of some sorted numbers are one number but for rounding: what derivatives of eigenvalues ask."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, Emitter, constant
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.pointwise import code_of
from payback.native.planning import layout
from payback.native.planning.commands import bits_of
from payback.native.planning.layout import Buffer
from payback.ops.factorizations import rounding


class Repeated(NamedTuple):
    """same[i, j], for rows of n sorted numbers; 1 where one of several is `used`: then the rule says what is wrong.

    args: numbers, whether each is used, the result, n whole numbers to work with, count, n, tolerance (a double).
    """

    code: str
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        v, used, made, groups = (args.pointer() for _ in range(4))
        count, n, bits = args.ints(3)
        kind, zero = pointwise.register_type(self.code), e.int(0)
        tolerance = b.bitcast(bits, FLOAT64)

        def wide(value: ir.Value) -> ir.Value:
            return value if kind is FLOAT64 else b.fpext(value, FLOAT64)

        with e.loop(0, count) as number:
            row = e.at(v, b.mul(number, n), kind)

            def larger(i: ir.Value, best: list[ir.Value], row: Any = row) -> list[ir.Value]:
                size = wide(e.intrinsic("fabs", e.load(row, i, kind)))
                less = b.or_(b.fcmp_ordered("<=", size, best[0]), b.fcmp_unordered("uno", best[0], best[0]))
                return [b.select(less, best[0], size)]

            (largest,) = fold(e, 0, n, 1, [constant(FLOAT64, 0.0)], larger)
            bound = b.fmul(tolerance, largest)
            e.store(zero, groups, 0)

            def numbered(i: ir.Value, group: list[ir.Value], row: Any = row, bound: Any = bound) -> list[ir.Value]:
                step = b.fsub(e.load(row, i, kind), e.load(row, b.sub(i, e.int(1)), kind))
                apart = b.fcmp_ordered(">", wide(e.intrinsic("fabs", step)), bound)
                following = b.add(group[0], b.zext(apart, INT))
                e.store(following, groups, i)
                return [following]

            fold(e, 1, n, 1, [zero], numbered)
            with e.loop(0, n) as i:
                mine = e.load(groups, i, INT)
                line = e.at(made, b.mul(b.add(b.mul(number, n), i), n), BYTE)

                def counted(j: ir.Value, total: list[ir.Value], mine: Any = mine, line: Any = line) -> list[ir.Value]:
                    same = b.icmp_signed("==", e.load(groups, j, INT), mine)
                    e.store(b.zext(same, BYTE), line, j)
                    return [b.add(total[0], b.zext(same, INT))]

                (size,) = fold(e, 0, n, 1, [zero], counted)
                asked = b.icmp_signed("!=", e.load(used, b.add(b.mul(number, n), i), BYTE), ir.Constant(BYTE, 0))
                with b.if_then(b.and_(asked, b.icmp_signed(">", size, e.int(1))), likely=False):
                    b.ret(e.int(1))
        b.ret(zero)


def lower_repeated(planner: Any, node: Node) -> bool:
    v, *used = node.args
    shape, dtype = v.aval.shape, v.aval.dtype
    if code_of(dtype) not in ("f4", "f8") or v.aval.size == 0:
        return False
    n, bools = shape[-1], np.dtype(bool)
    numbers = planner.contiguous(planner.view(v), dtype)
    if used:
        asked = planner.copy(layout.spread(planner.view(used[0]), shape), bools)
    else:
        asked = layout.whole(Buffer("const", bools, prod(shape), np.zeros(prod(shape), bools)), shape)
        planner.constants.append(asked.buffer)
    groups = layout.whole(Buffer("arena", np.dtype(np.int64), n), (n,))
    made = planner.allocate(node, bools, node.aval.shape)
    tolerance = rounding(dtype, node.params["extent"])
    planner.command(
        Repeated(code_of(dtype)), [numbers, asked, made, groups], [prod(shape[:-1]), n, bits_of("f8", tolerance)],
        [numbers, asked], [made, groups], "repeated",
    )  # fmt: skip
    return True
