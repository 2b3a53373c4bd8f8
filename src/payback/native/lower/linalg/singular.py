"""Singular values and vectors of matrices of few rows or columns: Householder's reduction to bidiagonals, implicit QR.

That is what LAPACK's gesdd does where there are no more than `LAPACK_SMALL` of them, long matrices by QR factors first,
and in the same order, so vectors have its signs.  Larger ones it divides in halves.  NumPy calls the one for float64,
whatever the matrix's dtype.
"""

from __future__ import annotations

from functools import cache
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, POINTER, Emitter, constant, lanes_of
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.linalg.bidiagonal import STATE, diagonalized, raised
from payback.native.lower.linalg.factored import arena, as_batch, fits, flipped, shared
from payback.native.lower.linalg.orthogonal import NEAR
from payback.native.lower.linalg.panels import Columns, length_of
from payback.native.lower.linalg.reflections import EPS, TINY, middling, reflect, reflector, turns
from payback.native.lower.linalg.symmetric import DOUBLE, LAPACK_SMALL, in_double, results_in_double, round_to, signs
from payback.native.lower.linalg.tridiagonal import Numbers
from payback.native.lower.products.blocked.tile import multiply_add

LINES = 7  # of a panel, beside its five matrices: d, off, the τ of three, one row, two numbers


class Singular(NamedTuple):
    """a = u·diag(s)·vᵀ of m × n matrices, m ≥ n, or (`wide`) of the transposes of such; s alone if not `vectors`.

    args: a, u, s, vᵀ, panels, count, m, n, length, bytes of a panel.  1 where a number is not finite.
    """

    vectors: bool
    wide: bool
    split: bool
    stops = True

    def emit(self, e: Emitter, made: ir.Function) -> None:
        args, b = Arguments(e, made), e.b
        a, u, s, v, panels = (args.pointer() for _ in range(5))
        count, m, n, length, size = args.ints(5)
        start, stop = e.int(0), count
        if self.split:
            panels = e.at(panels, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        solved = decomposed(e, self.vectors, self.wide)
        with e.loop(start, stop) as number:
            tall, square, line = (b.mul(number, x) for x in (b.mul(m, n), b.mul(n, n), n))
            places = [e.at(a, tall, FLOAT64), u, e.at(s, line, FLOAT64), v]
            if self.vectors:
                of_u, of_v = (square, tall) if self.wide else (tall, square)
                places[1], places[3] = e.at(u, of_u, FLOAT64), e.at(v, of_v, FLOAT64)
            status = b.call(solved, [*places, panels, m, n, length])
            with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                b.ret(e.int(1))
        b.ret(e.int(0))


def panel_bytes(n: int, length: int) -> int:
    return -(-((5 * n + LINES) * length + STATE) * 8 // 64) * 64


def decomposed(e: Emitter, vectors: bool, wide: bool) -> ir.Function:
    """`i64 decomposed(a, u, s, v, memory, m, n, length)`: one matrix."""
    name = f"payback.decomposed.{int(vectors)}.{int(wide)}"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(INT, [*[POINTER] * 5, *[INT] * 3]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    a, u, s, v, memory, m, n, length = made.args
    b, of = e.b, Numbers(e)
    panel = Columns(e, "f8", memory, length)
    left, right, z, first = (Columns(e, "f8", panel.column(b.mul(n, e.int(k))), length) for k in range(1, 5))
    lines = Columns(e, "f8", first.column(n), length)
    d, off, taus, by_rows, of_first, _, pair = (lines.column(k) for k in range(LINES))
    state = lines.column(LINES)
    diagonal = diagonalized(e, vectors)

    panel.read(a, n, m, n)
    unit = middling(e, panel, m, n, TINY**0.5 / EPS)
    high = b.icmp_signed(">=", m, b.udiv(b.mul(n, e.int(11)), e.int(6)))
    with b.if_then(high):
        _triangle(e, panel, first, of_first, pair, m, n)
        if wide:
            _flip(e, panel, n)
    rows = b.select(high, n, m)
    with e.loop(0, n) as i:
        _reduced(e, panel, left, right, lines, rows, n, i)
    if vectors:  # those of the right take the matrix's place, which is not needed any more
        turns(e, left, z, taus, rows, n, first=0)
        turns(e, right, panel, by_rows, n, n, first=1)
    from_left, from_right, sizes = z, panel, (rows, n)
    if wide:  # the factor of a tall one was turned; else all of it is, and what is below its diagonal is now above
        from_left, from_right = (
            Columns(e, "f8", b.select(high, x.pointer, y.pointer), length) for x, y in ((z, panel), (panel, z))
        )
        sizes = n, rows
        with b.if_then(b.not_(high)):
            raised(e, d, off, from_left if vectors else None, n, n)
    status = b.call(diagonal, [d, off, from_left.pointer, from_right.pointer, state, *sizes, n, length])
    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
        b.ret(e.int(1))
    back = b.fdiv(of(1.0), unit)
    with e.loop(0, n) as i:
        e.store(b.fmul(e.load(d, i, FLOAT64), back), s, i)
    if vectors:
        with b.if_then(high):
            _all_rows(e, panel if wide else z, first, of_first, m, n)
        high_u, wide_v = (n, m) if wide else (m, n)
        from_left.write(u, n, high_u, n)
        with e.loop(0, n) as c, e.loop(0, wide_v) as i:
            e.store(from_right.entry(i, c), e.at(v, b.mul(c, wide_v), FLOAT64), i)
    b.ret(e.int(0))
    return made


def _flip(e: Emitter, panel: Columns, n: ir.Value) -> None:
    """The transpose of n × n entries."""
    with e.loop(0, n) as c, e.loop(0, c) as i:
        x, y = panel.entry(i, c), panel.entry(c, i)
        e.store(x, panel.column(i), c)
        e.store(y, panel.column(c), i)


def _vectors(e: Emitter, *places: ir.Value, row: ir.Value) -> list[ir.Value]:
    return [e.load(place, row, FLOAT64, lanes_of(FLOAT64)) for place in places]


def _triangle(
    e: Emitter, panel: Columns, factors: Columns, taus: ir.Value, pair: ir.Value, m: ir.Value, n: ir.Value
) -> None:
    """The panel becomes r of its QR factors, zeros below."""
    b, lanes = e.b, panel.lanes
    with e.loop(0, n) as i:
        mine, column = factors.column(i), panel.column(i)
        b.call(reflector(e), [column, mine, i, m, pair])
        beta, tau = (e.load(pair, k, FLOAT64) for k in range(2))
        e.store(tau, taus, i)
        with e.loop(b.add(i, e.int(1)), n) as c:
            reflect(e, panel.column(c), mine, tau, panel.begin(i), m)
        e.store(beta, column, i)
        below = b.add(i, e.int(1))
        end = b.and_(b.add(below, e.int(lanes - 1)), e.int(-lanes))
        with e.loop(below, end) as k:
            e.store(constant(FLOAT64, 0.0), column, k)
        with e.loop(end, m, lanes) as k:
            e.store(constant(ir.VectorType(FLOAT64, lanes), 0.0), column, k)


def _all_rows(e: Emitter, z: Columns, factors: Columns, taus: ir.Value, m: ir.Value, n: ir.Value) -> None:
    """n rows become m: q·z."""
    b, lanes = e.b, z.lanes
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)
    end = b.and_(b.add(n, e.int(lanes - 1)), e.int(-lanes))
    with e.loop(0, n) as c:
        with e.loop(end, m, lanes) as i:
            e.store(none, z.column(c), i)
        with e.loop(0, n) as k:
            i = b.sub(b.sub(n, e.int(1)), k)
            reflect(e, z.column(c), factors.column(i), e.load(taus, i, FLOAT64), z.begin(i), m)


def _reduced(
    e: Emitter, panel: Columns, left: Columns, right: Columns, lines: Columns, m: ir.Value, n: ir.Value, i: ir.Value
) -> None:
    """Column i below the diagonal becomes zeros, then row i right of its neighbor (gebd2)."""
    b, lanes = e.b, panel.lanes
    d, off, taus, by_rows, _, row, pair = (lines.column(k) for k in range(LINES))
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)
    following, mine = b.add(i, e.int(1)), left.column(i)
    b.call(reflector(e), [panel.column(i), mine, i, m, pair])
    beta, tau = (e.load(pair, k, FLOAT64) for k in range(2))
    e.store(beta, d, i)
    e.store(tau, taus, i)
    with e.loop(following, n) as c:
        reflect(e, panel.column(c), mine, tau, panel.begin(i), m)
    e.store(constant(FLOAT64, 0.0), off, i)
    e.store(constant(FLOAT64, 0.0), by_rows, i)
    with b.if_then(b.icmp_signed("<", following, n)):
        with e.loop(0, n, lanes) as c:
            e.store(none, row, c)
        with e.loop(following, n) as c:
            e.store(panel.entry(i, c), row, c)
        mine = right.column(i)
        b.call(reflector(e), [row, mine, following, n, pair])
        beta, tau = (e.load(pair, k, FLOAT64) for k in range(2))
        e.store(beta, off, i)
        e.store(tau, by_rows, i)
        many = e.splat(b.fneg(tau), lanes)
        with e.loop(panel.begin(following), m, lanes) as k:

            def times(c: ir.Value, found: list[ir.Value], k: Any = k) -> list[ir.Value]:
                (x,) = _vectors(e, panel.column(c), row=k)
                return [multiply_add(e, x, e.splat(e.load(mine, c, FLOAT64), lanes), found[0])]

            (product,) = fold(e, following, n, 1, [none], times)
            product = b.fmul(product, many)
            with e.loop(following, n) as c:
                (x,) = _vectors(e, panel.column(c), row=k)
                e.store(multiply_add(e, product, e.splat(e.load(mine, c, FLOAT64), lanes), x), panel.column(c), k)


def sample(tall: bool) -> np.ndarray[Any, Any]:
    """Matrices whose singular values lie well apart: no rounding decides about signs of their vectors."""
    i, k = np.arange(13.0 if tall else 7.0)[:, None], np.arange(6.0)
    return np.stack([np.cos(c * (i - 2 * k) + i * k) for c in range(1, 7)])


SIGNS = 0x9AB3D0B93, 0x167A22C94  # of the samples' left vectors: see `symmetric`


@cache
def signs_agree() -> bool:
    """Whether NumPy's LAPACK turns vectors as this does."""
    return all(signs(np.linalg.svd(sample(tall), full_matrices=False)[0]) == SIGNS[tall] for tall in (False, True))


def lower_svd(planner: Any, node: Node) -> bool:
    (a,) = node.args
    *lead, m, n = a.aval.shape
    parts = {part.params["k"]: part for part in planner.users.get(node, [])}
    vectors, few, many = set(parts) != {1}, min(m, n), max(m, n)
    if not fits(node) or a.aval.size == 0 or few > LAPACK_SMALL or 5 * many * few * DOUBLE.itemsize > NEAR:
        return False
    if vectors and (3 in parts or not signs_agree()):
        return False
    view: Any = planner.view(a)
    tall = as_batch(in_double(planner, view if m >= n else flipped(view)))
    shapes = ((*lead, m, few), (*lead, few), (*lead, few, n))
    made: list[Any] = [results_in_double(planner, parts[k], shapes[k]) if k in parts else None for k in range(3)]
    planner.gone.add(node)
    u, s, v = (x or (arena(DOUBLE, *shape) if vectors or k == 1 else None)
               for k, (x, shape) in enumerate(zip(made, shapes, strict=True)))  # fmt: skip
    u, v = u or s, v or s
    count, length = prod(lead), length_of(None, many, lanes_of(FLOAT64))
    size, flops = panel_bytes(few, length), (18 if vectors else 4) * many * few**2
    split = shared(planner, count, flops)
    panels = arena(np.dtype(np.uint8), size * (planner.threads if split else 1))
    planner.command(
        Singular(vectors, m < n and vectors, split), [tall, u, s, v, panels], [count, many, few, length, size],
        [tall], [u, s, v, panels] if vectors else [s, panels], "svd", count * flops,
    )  # fmt: skip
    for k, x in enumerate(made):
        if x is not None:
            round_to(planner, x, planner.views[parts[k]])
    return True
