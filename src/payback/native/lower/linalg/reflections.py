"""Householder's reflections of one column, as LAPACK's larfg makes them: for matrices of a few vectors' length."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.native import ir
from payback.native.codegen.emit import FLOAT64, INT, INT32, POINTER, Emitter, constant, lanes_of
from payback.native.lower.kernel import fold
from payback.native.lower.linalg.orthogonal import total
from payback.native.lower.linalg.panels import Columns
from payback.native.lower.linalg.tridiagonal import Numbers
from payback.native.lower.products.blocked.place import lane_mask
from payback.native.lower.products.blocked.tile import multiply_add

EPS, TINY = float(np.finfo(float).eps), float(np.finfo(float).tiny)
# numbers whose squares vanish are multiplied with UP; of a matrix of middling size less than NOTHING is zero
UP, NOTHING = 2.0**500, 2.0**-960


def reflector(e: Emitter) -> ir.Function:
    """`void reflector(x, v, i, n, found)`: I − τ·v·vᵀ makes β of x[i], zeros of what is below it; found: β, τ.

    v is 1 at i and 0 above; x and v are columns of n numbers and zeros to the end of a vector.
    """
    name = "payback.reflector"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, INT, INT, POINTER]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    column, mine, i, n, found = made.args
    b, of, lanes = e.b, Numbers(e), lanes_of(FLOAT64)
    below, top = b.add(i, e.int(1)), b.and_(i, e.int(-lanes))
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)

    def tail(row: ir.Value) -> ir.Value:
        above = lane_mask(e, b.sub(below, row), FLOAT64, lanes)
        return b.select(above, none, e.load(column, row, FLOAT64, lanes))

    def sizes(row: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        x = tail(row)
        return [multiply_add(e, x, x, found[0]), b.fadd(found[1], e.intrinsic("fabs", x))]

    def scaled(row: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        x = b.fmul(tail(row), constant(none.type, UP))
        return [multiply_add(e, x, x, found[0])]

    square, size = (total(e, x) for x in fold(e, top, n, lanes, [none, none], sizes))
    flat = of.less(size, of(NOTHING))
    good, before = b.or_(flat, b.fcmp_ordered(">=", square, of(TINY / EPS**2))), b.block
    low, after = b.append_basic_block("low"), b.append_basic_block("measured")
    b.cbranch(good, after, low, likely=True)
    b.position_at_end(low)
    ways = [(square, of(1.0), before), (total(e, fold(e, top, n, lanes, [none], scaled)[0]), of(UP), b.block)]
    b.branch(after)
    b.position_at_end(after)
    square, unit = b.phi(FLOAT64), b.phi(FLOAT64)
    for measured, by, block in ways:
        square.add_incoming(measured, block)
        unit.add_incoming(by, block)
    first = e.load(column, i, FLOAT64)
    alpha = b.fmul(first, unit)
    beta = b.fneg(of.signed(of.length(alpha, b.select(flat, of(1.0), of.sqrt(square))), alpha))
    scale = b.fdiv(of(1.0), b.fsub(alpha, beta))
    e.store(b.select(flat, first, b.fdiv(beta, unit)), found, 0)
    e.store(b.select(flat, of(0.0), b.fdiv(b.fsub(beta, alpha), beta)), found, 1)
    many, units = e.splat(scale, lanes), e.splat(unit, lanes)
    with e.loop(0, top, lanes) as row:
        e.store(none, mine, row)
    with e.loop(top, n, lanes) as row:
        e.store(b.fmul(b.fmul(tail(row), units), many), mine, row)
    e.store(of(1.0), mine, i)
    b.ret_void()
    return made


def reflect(e: Emitter, place: ir.Value, mine: ir.Value, tau: ir.Value, top: ir.Value, n: ir.Value) -> None:
    """A column becomes (I − τ·v·vᵀ)·column; from row `top` on, the first of a vector."""
    b, lanes = e.b, lanes_of(FLOAT64)
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)

    def dot(row: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        x, v = (e.load(vector, row, FLOAT64, lanes) for vector in (place, mine))
        return [multiply_add(e, x, v, found[0])]

    inside = total(e, fold(e, top, n, lanes, [none], dot)[0])
    multiple = e.splat(b.fneg(b.fmul(tau, inside)), lanes)
    with e.loop(top, n, lanes) as row:
        x, v = (e.load(vector, row, FLOAT64, lanes) for vector in (place, mine))
        e.store(multiply_add(e, v, multiple, x), place, row)


def turns(e: Emitter, factors: Columns, z: Columns, taus: ir.Value, m: ir.Value, n: ir.Value, first: int) -> None:
    """z = the product of n − first reflections of m rows, n columns of it; reflection i leaves rows above i + first."""
    b, lanes = e.b, z.lanes
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)
    with e.loop(0, n) as c:
        with e.loop(0, m, lanes) as i:
            e.store(none, z.column(c), i)
        e.store(constant(FLOAT64, 1.0), z.column(c), c)
    with e.loop(first, n) as k:  # from the last one on: each meets only columns behind its own
        i = b.sub(b.sub(n, e.int(1)), k)
        mine, tau = factors.column(i), e.load(taus, i, FLOAT64)
        begin = b.add(i, e.int(first))
        with e.loop(begin, n) as c:
            reflect(e, z.column(c), mine, tau, z.begin(begin), m)


def middling(e: Emitter, panel: Columns, m: ir.Value, n: ir.Value, low: float) -> ir.Value:
    """What an m × n matrix is multiplied with, to have its largest entry between low and 1 / low; the function returns
    1 where an entry is not finite."""
    b, of, lanes = e.b, Numbers(e), panel.lanes
    many = ir.VectorType(FLOAT64, lanes)

    def of_column(c: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
        def of_rows(i: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
            x = e.intrinsic("fabs", e.load(panel.column(c), i, FLOAT64, lanes))
            larger = b.select(b.fcmp_ordered("<", found[0], x), x, found[0])
            return [larger, b.fadd(found[1], b.fmul(x, constant(many, 0.0)))]  # 0, or NaN

        return fold(e, 0, m, lanes, found, of_rows)

    sizes, wrong = fold(e, 0, n, 1, [constant(many, 0.0)] * 2, of_column)
    with b.if_then(b.fcmp_unordered("!=", total(e, wrong), of(0.0)), likely=False):
        b.ret(e.int(1))
    size = of(0.0)
    for k in range(lanes):
        size = of.larger(size, b.extract_element(sizes, ir.Constant(INT32, k)))
    small, large = of.less(size, of(low)), of.less(of(1 / low), size)
    unit: Any = b.select(small, b.fdiv(of(low), size), b.select(large, b.fdiv(of(1 / low), size), of(1.0)))
    unit = b.select(b.fcmp_ordered("==", size, of(0.0)), of(1.0), unit)
    with b.if_then(b.fcmp_ordered("!=", unit, of(1.0)), likely=False), e.loop(0, n) as c, e.loop(0, m, lanes) as i:
        place = panel.column(c)
        e.store(b.fmul(e.load(place, i, FLOAT64, lanes), e.splat(unit, lanes)), place, i)
    return unit
