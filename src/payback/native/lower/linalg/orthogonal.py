"""QR factors by Householder's reflections, and least squares and pseudo-inverses by them.

Reflections are those of LAPACK's larfg, so signs are NumPy's; a few of them are applied together as I − V·T·Vᵀ (R.
Schreiber & C. Van Loan, A storage-efficient WY representation for products of Householder transformations, 1989).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, INT32, POINTER, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.linalg.factored import (
    arena,
    as_batch,
    fits,
    flipped,
    identity,
    product,
    regular,
    shared,
    solve_triangle,
)
from payback.native.lower.linalg.panels import INNER, Columns, length_of
from payback.native.lower.linalg.zeros import original_of
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.packing import least
from payback.native.lower.products.blocked.place import lane_mask
from payback.native.lower.products.blocked.tile import multiply_add
from payback.native.planning.commands import bits_of
from payback.native.planning.layout import View

TURNS = 2  # columns that are reflected together
NEAR = 1 << 20  # bytes of panels that stay in a second cache: of larger matrices LAPACK's products are faster


class Orthogonal(NamedTuple):
    """a = q·r for m × n matrices, m ≥ n; 1 where a column's length is out of range, or nearly.

    args: a, q, r, panels, count, m, n, length, bytes of the panels of one matrix.
    """

    code: str
    split: bool
    stops = True

    def emit(self, e: Emitter, made: ir.Function) -> None:
        args, b = Arguments(e, made), e.b
        a, q, r, panels = (args.pointer() for _ in range(4))
        count, m, n, length, size = args.ints(5)
        kind = pointwise.register_type(self.code)
        start, stop = e.int(0), count
        if self.split:
            panels = e.at(panels, b.mul(args.team()[0], size), BYTE)
            start, stop = args.share(count, 1)
        factorized = orthogonal(e, self.code)
        with e.loop(start, stop) as number:
            tall, square = b.mul(number, b.mul(m, n)), b.mul(number, b.mul(n, n))
            places = e.at(a, tall, kind), e.at(q, tall, kind), e.at(r, square, kind)
            status = b.call(factorized, [*places, panels, m, n, length])
            with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                b.ret(e.int(1))
        b.ret(e.int(0))


def columns_of(n: int) -> int:
    """Of a matrix's panels: itself, then q; reflections, some of them zeros; and the T of each few."""
    return n + -(-n // INNER) * INNER


def orthogonal(e: Emitter, code: str) -> ir.Function:
    """`i64 orthogonal(a, q, r, panels, m, n, length)`: what `Orthogonal` does to one matrix."""
    name = f"payback.orthogonal.{code}"
    if name in e.module.globals:
        return e.module.globals[name]
    made = ir.Function(e.module, ir.FunctionType(INT, [*[POINTER] * 4, *[INT] * 3]), name)
    made.linkage = "internal"
    e = Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry")))
    a, q, r, memory, m, n, length = made.args
    _Reflections(e, code, memory, m, n, length).write(a, q, r)
    e.b.ret(e.int(0))
    return made


class _Reflections:
    """The code that factorizes one matrix, whose columns lie in a panel, by reflections I − V·T·Vᵀ, INNER at a time.

    panel         the matrix, of which r becomes; then q
    columns       V: the vectors of the reflections, at last some zeros, column by column
    tables        T of each INNER reflections, row by row
    mine, top, tau  of the last reflection: its vector, the row where that is read from, its factor
    """

    def __init__(self, e: Emitter, code: str, memory: ir.Value, m: ir.Value, n: ir.Value, length: ir.Value):
        self.e, self.m, self.n, self.length = e, m, n, length
        self.kind, self.info = pointwise.register_type(code), np.finfo(code)
        self.lanes = lanes_of(self.kind)
        self.panel = Columns(e, code, memory, length)
        self.columns = Columns(e, code, self.panel.column(n), length)
        self.groups = e.b.udiv(e.b.add(n, e.int(INNER - 1)), e.int(INNER))
        self.tables = self.columns.column(e.b.mul(self.groups, e.int(INNER)))
        self.zero, self.one = constant(self.kind, 0.0), constant(self.kind, 1.0)
        self.none = constant(ir.VectorType(self.kind, self.lanes), 0.0)

    def write(self, a: ir.Value, q: ir.Value, r: ir.Value) -> None:
        e, b, n, panel = self.e, self.e.b, self.n, self.panel
        panel.read(a, n, self.m, n)
        padded = b.mul(self.groups, e.int(INNER))
        self._cleared(self.columns.pointer, b.mul(padded, self.length))
        with e.loop(0, b.mul(padded, e.int(INNER))) as i:
            e.store(self.zero, self.tables, i)
        with e.loop(0, n, INNER) as j0:
            end = least(e, b.add(j0, e.int(INNER)), n)
            with e.loop(j0, end) as j:
                self._reflect(j, end)
                self._extend_table(j, j0)
            self._apply(j0, end, turned=True)
        panel.write(r, n, n, n)
        with e.loop(0, n) as i, e.loop(0, i) as c:
            e.store(self.zero, e.at(r, b.mul(i, n), self.kind), c)
        with e.loop(0, n) as c:
            self._cleared(panel.column(c), self.m)
            e.store(self.one, panel.column(c), c)
        with e.loop(0, self.groups) as k:
            j0 = b.mul(b.sub(b.sub(self.groups, e.int(1)), k), e.int(INNER))
            self._apply(j0, j0, turned=False)
        panel.write(q, n, self.m, n)

    def _cleared(self, place: ir.Value, count: ir.Value) -> None:
        with self.e.loop(0, count, self.lanes) as i:
            self.e.store(self.none, place, i)

    def _load(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.e.load(place, i, self.kind, self.lanes)

    def _apply(self, j0: ir.Value, first: ir.Value, turned: bool) -> None:
        """Columns from the first on are reflected by INNER reflections from j0 on: (I − V·T·Vᵀ)·c, or its transpose."""
        e, b = self.e, self.e.b
        top, table = self.panel.begin(j0), e.at(self.tables, b.mul(j0, e.int(INNER)), self.kind)
        factors = [self.columns.column(b.add(j0, e.int(k))) for k in range(INNER)]
        t = {(p, k): e.load(table, p * INNER + k, self.kind) for k in range(INNER) for p in range(k + 1)}
        paired = b.sub(self.n, b.srem(b.sub(self.n, first), e.int(TURNS)))
        for low, high, some in ((first, paired, TURNS), (paired, self.n, 1)):
            with e.loop(low, high, some) as c0:
                places = [self.panel.column(b.add(c0, e.int(k))) for k in range(some)]

                def dots(i: ir.Value, sums: list[ir.Value], places: Any = places) -> list[ir.Value]:
                    values = [self._load(factor, i) for factor in factors]
                    entries = [self._load(place, i) for place in places]
                    pairs = [(x, value) for x in entries for value in values]
                    return [multiply_add(e, x, value, total) for (x, value), total in zip(pairs, sums, strict=True)]

                none = [self.none] * (INNER * some)
                found = [total(e, x) for x in fold(e, top, self.m, self.lanes, none, dots)]
                multiples = [self._multiples(t, found[k * INNER : (k + 1) * INNER], turned) for k in range(some)]
                with e.loop(top, self.m, self.lanes) as i:
                    values = [self._load(factor, i) for factor in factors]
                    for place, mine in zip(places, multiples, strict=True):
                        x = self._load(place, i)
                        for value, u in zip(values, mine, strict=True):
                            x = multiply_add(e, value, u, x)
                        e.store(x, place, i)

    def _multiples(self, t: dict[tuple[int, int], ir.Value], w: list[ir.Value], turned: bool) -> list[ir.Value]:
        """−T·w, or −Tᵀ·w, each number in all lanes."""
        e, multiples = self.e, []
        for p in range(INNER):
            terms = [(t[o, p], w[o]) for o in range(p + 1)] if turned else [(t[p, o], w[o]) for o in range(p, INNER)]
            u = e.b.fmul(*terms[0])
            for x, y in terms[1:]:
                u = multiply_add(e, x, y, u)
            multiples.append(e.splat(e.b.fneg(u), self.lanes))
        return multiples

    def _reflect(self, j: ir.Value, end: ir.Value) -> None:
        """Column j, whose entries below the diagonal become zeros, and what is right of it up to `end`."""
        e, b, lanes, kind, zero, one = self.e, self.e.b, self.lanes, self.kind, self.zero, self.one
        top, here, mine = self.panel.begin(j), self.panel.column(j), self.columns.column(j)

        def below(i: ir.Value) -> ir.Value:
            above = lane_mask(e, b.add(b.sub(j, i), e.int(1)), kind, lanes)
            return b.select(above, self.none, self._load(here, i))

        def sizes(i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            x = below(i)
            return [multiply_add(e, x, x, sums[0]), b.fadd(sums[1], e.intrinsic("fabs", x))]

        squares, magnitude = (total(e, x) for x in fold(e, top, self.m, lanes, [self.none] * 2, sizes))
        alpha = self.panel.entry(j, j)
        flat = b.fcmp_ordered("==", magnitude, zero)
        squares = multiply_add(e, alpha, alpha, squares)
        high, low = constant(kind, float(self.info.max)), constant(kind, float(self.info.tiny / self.info.eps**2))
        good = b.and_(b.fcmp_ordered("<=", squares, high), b.fcmp_ordered(">=", squares, low))
        with b.if_then(b.not_(b.or_(flat, good)), likely=False):
            b.ret(e.int(1))
        beta = b.fneg(e.intrinsic("copysign", e.intrinsic("sqrt", squares), alpha))
        beta = b.select(flat, alpha, beta)
        self.tau = b.select(flat, zero, b.fdiv(b.fsub(beta, alpha), b.select(flat, one, beta)))
        scale = b.select(flat, zero, b.fdiv(one, b.fsub(alpha, b.select(flat, one, beta))))
        many = e.splat(scale, lanes)
        with e.loop(top, self.m, lanes) as i:
            e.store(b.fmul(below(i), many), mine, i)
        e.store(one, mine, j)
        e.store(beta, here, j)
        self.top, self.mine = top, mine
        with e.loop(b.add(j, e.int(1)), end) as c:
            place = self.panel.column(c)
            multiple = e.splat(b.fneg(b.fmul(self.tau, self._dot(place))), lanes)
            with e.loop(top, self.m, lanes) as i:
                e.store(multiply_add(e, self._load(mine, i), multiple, self._load(place, i)), place, i)

    def _dot(self, other: ir.Value) -> ir.Value:
        """A column by the last reflection's vector."""
        e = self.e

        def add(i: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
            return [multiply_add(e, self._load(other, i), self._load(self.mine, i), sums[0])]

        return total(e, fold(e, self.top, self.m, self.lanes, [self.none], add)[0])

    def _extend_table(self, j: ir.Value, j0: ir.Value) -> None:
        """Column j − j0 of T: −τ·T·(Vᵀ·v), over τ."""
        e, b, tau = self.e, self.e.b, self.tau
        table, column = e.at(self.tables, b.mul(j0, e.int(INNER)), self.kind), b.sub(j, j0)
        e.store(tau, table, b.mul(column, e.int(INNER + 1)))
        with e.loop(0, column) as k:
            dot = self._dot(self.columns.column(b.add(j0, k)))
            with e.loop(0, b.add(k, e.int(1))) as p:
                place = b.add(b.mul(p, e.int(INNER)), column)
                factor = b.fneg(b.fmul(tau, e.load(table, b.add(b.mul(p, e.int(INNER)), k), self.kind)))
                e.store(multiply_add(e, factor, dot, e.load(table, place, self.kind)), table, place)


def total(e: Emitter, vector: ir.Value) -> ir.Value:
    """The sum of all lanes, halves first."""
    b, lanes = e.b, vector.type.count
    while lanes > 1:
        lanes //= 2
        low, high = (ir.Constant(ir.VectorType(INT32, lanes), [INT32(k) for k in range(start, start + lanes)])
                     for start in (0, lanes))  # fmt: skip
        vector = b.fadd(b.shuffle_vector(vector, vector, low), b.shuffle_vector(vector, vector, high))
    return b.extract_element(vector, INT32(0))


class Independent(NamedTuple):
    """1 where ‖r‖·‖r⁻¹‖ in Frobenius's norm, which the condition is no more than, is not below a limit.

    args: r, its inverses (transposed or not), count, entries of a matrix, the limit as the bits of a float64.
    """

    code: str
    stops = True

    def emit(self, e: Emitter, made: ir.Function) -> None:
        args, b = Arguments(e, made), e.b
        places = args.pointer(), args.pointer()
        count, size, bits = args.ints(3)
        kind, limit = pointwise.register_type(self.code), b.bitcast(bits, FLOAT64)
        with e.loop(0, count) as number:
            product = constant(FLOAT64, 1.0)
            for place in places:
                matrix = e.at(place, b.mul(number, size), kind)

                def add(i: ir.Value, sums: list[ir.Value], matrix: Any = matrix) -> list[ir.Value]:
                    x = e.load(matrix, i, kind)
                    x = x if kind is FLOAT64 else b.fpext(x, FLOAT64)
                    return [multiply_add(e, x, x, sums[0])]

                (squares,) = fold(e, 0, size, 1, [constant(FLOAT64, 0.0)], add)
                product = b.fmul(product, e.intrinsic("sqrt", squares))
            with b.if_then(b.not_(b.fcmp_ordered("<", product, limit)), likely=False):
                b.ret(e.int(1))
        b.ret(e.int(0))


# rows -----------------------------------------------------------------------------------------------------------


def _command(planner: Any, a: View, q: View, r: View) -> None:
    """q and r of a whole view."""
    dtype = a.buffer.dtype
    count, m, n = as_batch(a).shape
    code, length = code_of(dtype), length_of(None, m, lanes_of(pointwise.register_type(code_of(dtype))))
    numbers = columns_of(n) * length + -(-n // INNER) * INNER**2
    size = -(-numbers * dtype.itemsize // 64) * 64
    flops = 4 * m * n * n
    split = shared(planner, count, flops)
    panels = arena(np.dtype(np.uint8), size * (planner.threads if split else 1))
    operands = [a, q, r, panels]
    planner.command(
        Orthogonal(code, split), operands, [count, m, n, length, size], [a], operands[1:], "qr", count * flops
    )


def lower_qr(planner: Any, node: Node) -> bool:
    (a,) = node.args
    *lead, m, n = a.aval.shape
    if not fits(node) or a.aval.size == 0 or m < n or 2 * m * n * a.aval.dtype.itemsize > NEAR:
        return False
    dtype, shapes = a.aval.dtype, ((*lead, m, n), (*lead, n, n))
    view: Any = planner.view(a)
    made: list[Any] = [None, None]
    for part in planner.users.get(node, []):
        k = part.params["k"]
        made[k] = planner.allocate(part, dtype, shapes[k])
    planner.gone.add(node)
    made = [arena(dtype, *shape) if x is None else x for x, shape in zip(made, shapes, strict=True)]
    _command(planner, planner.contiguous(view, dtype), made[0], made[1])
    return True


class _Thin(NamedTuple):
    """Factors of a matrix that has no more columns than rows: the one meant, or (`turned`) its transpose.

    inverses: those of r, transposed, so lower triangles.
    """

    q: View
    r: View
    inverses: View
    turned: bool


def _thin(planner: Any, a: Node, cutoff: float) -> _Thin:
    """The program stops where a's columns, or rows, might depend on each other by such a cutoff of singular values."""
    original, turned = original_of(a)
    *lead, m, n = original.aval.shape
    wide, dtype = m < n, a.aval.dtype
    found = planner.factored.get(("orthogonal", original))
    if found is None:
        view: Any = planner.view(original)
        view = flipped(view) if wide else view
        high, few = max(m, n), min(m, n)
        q, r = arena(dtype, *lead, high, few), arena(dtype, *lead, few, few)
        _command(planner, planner.contiguous(view, dtype), q, r)
        q, r = as_batch(q), as_batch(r)
        regular(planner, r)
        inverses = arena(dtype, *r.shape)
        identity(planner, inverses)
        solve_triangle(planner, flipped(r), inverses, lower=True, unit=False, square=True)
        found = planner.factored["orthogonal", original] = (q, r, inverses)
    q, r, inverses = found
    limit = 1.0 / max(cutoff, max(m, n) * float(np.finfo(dtype).eps))
    if ("independent", original, limit) not in planner.factored:
        planner.factored["independent", original, limit] = True
        count, few, _ = r.shape
        numbers = [count, few * few, bits_of("f8", limit)]
        planner.command(Independent(code_of(dtype)), [r, inverses], numbers, [r, inverses], [], "independent columns")
    return _Thin(q, r, inverses, turned != wide)


def lower_pinv(planner: Any, node: Node) -> bool:
    (a,), rcond = node.args, node.params["rcond"]
    if not fits(node) or node.aval.size == 0:
        return False
    thin = _thin(planner, a, 1e-15 if rcond is None else rcond)
    target = as_batch(planner.allocate(node, node.aval.dtype, node.aval.shape))
    if thin.turned:
        product(planner, thin.q, thin.inverses, target)
    else:
        product(planner, flipped(thin.inverses), flipped(thin.q), target)
    return True


def lower_lstsq(planner: Any, node: Node) -> bool:
    (a, b), rcond, dtype = node.args, node.params["rcond"], node.aval.dtype
    if not fits(node) or node.aval.size == 0 or a.aval.size == 0:
        return False
    eps = float(np.finfo(dtype).eps)
    thin = _thin(planner, a, eps * max(a.aval.shape) if rcond is None else eps if rcond < 0 else rcond)
    right = as_batch(planner.contiguous(planner.view(b), dtype))
    target = as_batch(planner.allocate(node, dtype, node.aval.shape))
    if thin.turned:
        x = as_batch(planner.copy(right, dtype))
        solve_triangle(planner, flipped(thin.r), x, lower=True, unit=False)
        product(planner, thin.q, x, target)
    else:
        product(planner, flipped(thin.q), right, target)
        solve_triangle(planner, thin.r, target, lower=False, unit=False)
    return True


def lower_rejected(planner: Any, node: Node) -> bool:
    """z − q·(qᵀ·z), twice as in `ops/linalg.py`; nothing lies outside the columns of a matrix without further rows."""
    (a, z), rcond, dtype = node.args, node.params["rcond"], node.aval.dtype
    if not fits(node) or node.aval.size == 0 or a.aval.size == 0:
        return False
    code, shape = code_of(dtype), node.aval.shape
    thin = _thin(planner, a, 1e-15 if rcond is None else rcond)
    target = planner.allocate(node, dtype, shape)
    if a.aval.shape[-2] <= a.aval.shape[-1]:
        planner.nest([("lit", code, "0.0")], [code], [("store", target, 0)], shape, "zeros")
        return True
    source: Any = planner.view(z)
    few, columns = thin.r.shape[-1], shape[-1]
    for made in (arena(dtype, *shape), target):
        left = planner.contiguous(source, dtype)
        inside, within = arena(dtype, thin.r.shape[0], few, columns), arena(dtype, *shape)
        product(planner, flipped(thin.q), as_batch(left), inside)
        product(planner, thin.q, inside, as_batch(within))
        instrs = [("load", left, code), ("load", within, code), ("sub", code, 0, 1)]
        planner.nest(instrs, [code] * 3, [("store", made, 2)], shape, "what is left")
        source = made
    return True
