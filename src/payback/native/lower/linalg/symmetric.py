"""Eigenvalues and eigenvectors of small symmetric matrices: Householder's reduction to tridiagonals, then implicit QL.

That is what LAPACK's syevd does with matrices of no more than `LAPACK_SMALL` rows, and in the same order, so vectors
have its signs.  Larger ones it divides in halves.  NumPy calls the one for float64, whatever the matrix's dtype.
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
from payback.native.lower.linalg.factored import arena, as_batch, fits, flipped, shared
from payback.native.lower.linalg.orthogonal import total
from payback.native.lower.linalg.panels import Columns, length_of
from payback.native.lower.linalg.reflections import EPS, TINY, middling, reflector, turns
from payback.native.lower.linalg.tridiagonal import STATE, Numbers, diagonalized
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.place import lane_mask
from payback.native.lower.products.blocked.tile import multiply_add
from payback.native.planning.layout import View

LAPACK_SMALL = 25  # SMLSIZ of ilaenv: more rows are divided and conquered
DOUBLE = np.dtype(np.float64)
LINES = 5  # of a panel, beside the matrix, its reflections and the vectors: d, off, w, tau, two numbers


class Symmetric(NamedTuple):
    """Eigenvalues w and, if `vectors`, eigenvectors v of symmetric matrices, whose upper halves are not read.

    args: matrices, w, v, panels, count, n, length, bytes of a panel.  1 where a number is not finite.
    """

    vectors: bool
    split: bool
    stops = True

    def emit(self, e: Emitter, made: ir.Function) -> None:
        args, b = Arguments(e, made), e.b
        a, w, v, panels = (args.pointer() for _ in range(4))
        count, n, length, size = args.ints(4)
        start, stop = e.int(0), count
        if self.split:
            panels = e.at(panels, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        solved = eigenvalues(e, self.vectors)
        with e.loop(start, stop) as number:
            square, line = b.mul(number, b.mul(n, n)), b.mul(number, n)
            places = e.at(a, square, FLOAT64), e.at(w, line, FLOAT64), e.at(v, square, FLOAT64) if self.vectors else v
            status = b.call(solved, [*places, panels, n, length])
            with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                b.ret(e.int(1))
        b.ret(e.int(0))


def panel_bytes(n: int, length: int) -> int:
    return -(-((3 * n + LINES) * length + STATE + 1) * 8 // 64) * 64  # one number more beside the state


def eigenvalues(e: Emitter, vectors: bool) -> ir.Function:
    """`i64 eigenvalues(a, w, v, memory, n, length)`: of one matrix."""
    name = f"payback.eigenvalues.{int(vectors)}"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(INT, [*[POINTER] * 4, *[INT] * 2]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    a, w, v, memory, n, length = made.args
    b, of, code = e.b, Numbers(e), "f8"
    panel = Columns(e, code, memory, length)
    factors = Columns(e, code, panel.column(n), length)
    z = Columns(e, code, factors.column(n), length)
    lines = Columns(e, code, z.column(n), length)
    d, off, _, taus, _ = (lines.column(k) for k in range(LINES))
    state, last = lines.column(LINES), b.sub(n, e.int(1))
    diagonal = diagonalized(e, vectors)

    panel.read(a, n, n, n)
    _halves(e, panel, n)
    unit = middling(e, panel, n, n, (TINY / EPS) ** 0.5)
    with e.loop(0, last) as i:
        _reflected(e, of, panel, factors, lines, n, i)
    e.store(panel.entry(last, last), d, last)
    e.store(of(0.0), off, last)
    if vectors:
        turns(e, factors, z, taus, n, n, first=1)
    status = b.call(diagonal, [d, off, z.pointer, state, n, length])
    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
        b.ret(e.int(1))
    back = b.fdiv(of(1.0), unit)
    with e.loop(0, n) as i:
        e.store(b.fmul(e.load(d, i, FLOAT64), back), w, i)
    if vectors:
        z.write(v, n, n, n)
    b.ret(e.int(0))
    return made


def _halves(e: Emitter, panel: Columns, n: ir.Value) -> None:
    """The upper half becomes the lower one."""
    with e.loop(0, n) as c, e.loop(0, c) as i:
        e.store(panel.entry(c, i), panel.column(c), i)


def _reflected(e: Emitter, of: Numbers, panel: Columns, factors: Columns, lines: Columns, n: Any, i: Any) -> None:
    """Column i below its first coupling becomes zeros: a − v·wᵀ − w·vᵀ of what is right of it (sytd2, larfg)."""
    b, lanes = e.b, panel.lanes
    d, off, work, taus, pair = (lines.column(k) for k in range(LINES))
    below = b.add(i, e.int(1))
    top, column, mine = panel.begin(below), panel.column(i), factors.column(i)
    none = constant(ir.VectorType(FLOAT64, lanes), 0.0)

    def vector(place: ir.Value, row: ir.Value) -> ir.Value:
        return e.load(place, row, FLOAT64, lanes)

    def cleared(row: ir.Value, rows: ir.Value, x: ir.Value) -> ir.Value:
        """Without what lies above these rows."""
        return b.select(lane_mask(e, b.sub(rows, row), FLOAT64, lanes), none, x)

    b.call(reflector(e), [column, mine, below, n, pair])
    beta, tau = (e.load(pair, k, FLOAT64) for k in range(2))
    e.store(panel.entry(i, i), d, i)
    e.store(beta, off, i)
    e.store(tau, taus, i)
    flat = b.fcmp_ordered("==", tau, of(0.0))
    with b.if_then(b.not_(flat)):
        with e.loop(top, n, lanes) as row:

            def times(c: ir.Value, found: list[ir.Value], row: Any = row) -> list[ir.Value]:
                factor = e.splat(e.load(mine, c, FLOAT64), lanes)
                return [multiply_add(e, vector(panel.column(c), row), factor, found[0])]

            (x,) = fold(e, below, n, 1, [none], times)
            e.store(cleared(row, below, b.fmul(x, e.splat(tau, lanes))), work, row)

        def dot(row: ir.Value, found: list[ir.Value]) -> list[ir.Value]:
            return [multiply_add(e, vector(work, row), vector(mine, row), found[0])]

        inside = total(e, fold(e, top, n, lanes, [none], dot)[0])
        part = e.splat(b.fmul(b.fmul(of(-0.5), tau), inside), lanes)
        with e.loop(top, n, lanes) as row:
            e.store(multiply_add(e, part, vector(mine, row), vector(work, row)), work, row)
        with e.loop(below, n) as c:
            place = panel.column(c)
            by_v, by_w = (e.splat(b.fneg(e.load(x, c, FLOAT64)), lanes) for x in (work, mine))
            with e.loop(top, n, lanes) as row:
                x = multiply_add(e, vector(mine, row), by_v, vector(place, row))
                e.store(multiply_add(e, vector(work, row), by_w, x), place, row)


def sample() -> np.ndarray[Any, Any]:
    """Matrices whose eigenvalues lie well apart: no rounding decides about signs of their vectors."""
    i = np.arange(7.0)
    return np.stack([np.cos(k * (i[:, None] + i) + i[:, None] * i) for k in range(1, 7)])


SIGNS = 0xE968EEC030  # of the sample's vectors, column by column: 1 where the entry of largest magnitude is negative


def signs(v: Any) -> int:
    first = np.take_along_axis(v, np.argmax(np.abs(v), axis=-2)[..., None, :], -2)
    return int("".join(str(int(x < 0)) for x in first.ravel()), 2)


@cache
def signs_agree() -> bool:
    """Whether NumPy's LAPACK turns vectors as this does: makers' own libraries and old versions (lartg's before 3.10)
    may choose other signs."""
    return signs(np.linalg.eigh(sample())[1]) == SIGNS


def lower_eigh(planner: Any, node: Node) -> bool:
    (a,) = node.args
    *lead, n, _ = a.aval.shape
    parts = {part.params["k"]: part for part in planner.users.get(node, [])}
    vectors, low = 1 in parts, node.params["lower"]
    if not fits(node) or a.aval.size == 0 or n > LAPACK_SMALL:
        return False
    if vectors and (node.params["scipy"] or not low or not signs_agree()):
        return False  # LAPACK goes another way there, and signs are others
    view: Any = planner.view(a)
    square = as_batch(in_double(planner, view if low else flipped(view)))
    shapes = ((*lead, n), (*lead, n, n))
    made = [results_in_double(planner, parts[k], shapes[k]) if k in parts else None for k in range(2)]
    planner.gone.add(node)
    w = made[0] or arena(DOUBLE, *shapes[0])
    v = made[1] or w
    count, length = prod(lead), length_of(None, n, lanes_of(FLOAT64))
    size, flops = panel_bytes(n, length), (9 if vectors else 2) * n**3
    split = shared(planner, count, flops)
    panels = arena(np.dtype(np.uint8), size * (planner.threads if split else 1))
    planner.command(
        Symmetric(vectors, split), [square, w, v, panels], [count, n, length, size],
        [square], [w, v, panels] if vectors else [w, panels], "eigh", count * flops,
    )  # fmt: skip
    for part, view in zip(range(2), made, strict=True):
        if view is not None:
            round_to(planner, view, planner.views[parts[part]])
    return True


def in_double(planner: Any, view: View) -> View:
    """The same entries in float64, by rows, without gaps."""
    code = code_of(view.buffer.dtype)
    if code == "f8":
        return planner.contiguous(view, DOUBLE)
    target = arena(DOUBLE, *view.shape)
    instrs = [("load", view, code), ("cast", code, "f8", 0)]
    planner.nest(instrs, [code, "f8"], [("store", target, 1)], view.shape, "in float64")
    return target


def results_in_double(planner: Any, node: Node, shape: tuple[int, ...]) -> View:
    """Where a result is computed: its own place if that holds float64."""
    target: View = planner.allocate(node, node.aval.dtype, shape)
    return target if target.buffer.dtype == DOUBLE else arena(DOUBLE, *shape)


def round_to(planner: Any, made: View, target: View) -> None:
    code = code_of(target.buffer.dtype)
    if made is not target:
        instrs = [("load", made, "f8"), ("cast", "f8", code, 0)]
        planner.nest(instrs, ["f8", code], [("store", target, 1)], target.shape, "rounded")
