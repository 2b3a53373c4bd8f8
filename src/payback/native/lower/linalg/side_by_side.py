"""Many small matrices at once: each lane of a vector is a matrix, each entry of them a vector.

A kernel's loops over rows and columns are written out, and what differs from matrix to matrix, as which row holds a
pivot, is chosen lane by lane.  Operations on a matrix, and so its bits, are those of `systems` and `panels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.linalg.factored import arena
from payback.native.lower.linalg.zeros import half_of
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.packing import least, turned_at_once, turned_part
from payback.native.lower.products.blocked.tile import multiply_add
from payback.native.planning import layout

LARGEST, COLUMNS = 5, 4  # rows of matrices, and columns of right sides


class SideBySide(NamedTuple):
    """what: "solve", "inv", "lower" (inverses of lower triangles) or "cholesky" (of lower triangles of a).

    columns  of right sides
    over     whether results are written columns first: what derivatives take of an inverse
    1 where a pivot is zero or not finite, or a square is not positive.  args: a, right sides (or a), the results, and
    count, which is no less than a vector has lanes.
    """

    code: str
    n: int
    what: str
    columns: int = 0
    over: bool = False
    stops = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b, n = Arguments(e, function), e.b, self.n
        a, right, made = (args.pointer() for _ in range(3))
        count = args.int()
        kind = pointwise.register_type(self.code)
        lanes = lanes_of(kind)
        last = b.sub(count, e.int(lanes))
        with e.loop(0, count, lanes) as start:
            number = least(e, start, last)  # the last ones again, where fewer are left

            def rows(pointer: ir.Value, columns: int, number: Any = number) -> Rows:
                place = e.at(pointer, b.mul(number, e.int(n * columns)), kind)
                entries = read(e, place, kind, n * columns, lanes)
                return [entries[i * columns : (i + 1) * columns] for i in range(n)]

            matrix = rows(a, n)
            if self.what == "solve":
                found = _solved(e, matrix, rows(right, self.columns))
            else:
                found = {"inv": _inverses, "lower": _of_triangles, "cholesky": _cholesky}[self.what](e, matrix)
            place = e.at(made, b.mul(number, e.int(n * (self.columns or n))), kind)
            write(e, place, kind, [x for row in (zip(*found, strict=True) if self.over else found) for x in row])
        b.ret(e.int(0))


Rows = list[list[ir.Value]]


def _inverses(e: Emitter, a: Rows) -> Rows:
    zero, one = (constant(a[0][0].type, value) for value in (0.0, 1.0))
    return _solved(e, a, [[one if i == j else zero for j in range(len(a))] for i in range(len(a))])


def eliminated(
    e: Emitter, a: Rows, beside: Sequence[tuple[Rows, int]] = (), singular: bool = False
) -> list[ir.Value]:  # fmt: skip
    """The upper factors, in place, by partial pivoting; the rows of each lane are exchanged by themselves, those of
    (rows, columns) beside the matrix too.  In which lanes there was an exchange, for each pivot but the last.

    singular: a column of zeros is left as it is.
    """
    b, n, exchanged, zero = e.b, len(a), [], constant(a[0][0].type, 0.0)
    for p in range(n):
        largest, at = e.intrinsic("fabs", a[p][p]), []
        for r in range(p + 1, n):
            size = e.intrinsic("fabs", a[r][p])
            more = b.fcmp_ordered(">", size, largest)
            largest = b.select(more, size, largest)
            at = [b.and_(before, b.not_(more)) for before in at] + [more]
        _stop_unless_positive(e, largest, or_zero=singular)
        for mine, r in zip(at, range(p + 1, n), strict=True):
            for rows, start, stop in ((a, p, n), *((rows, 0, columns) for rows, columns in beside)):
                for j in range(start, stop):
                    u, v = rows[p][j], rows[r][j]
                    rows[p][j], rows[r][j] = b.select(mine, v, u), b.select(mine, u, v)
        if at:
            exchanged.append(reduce(b.or_, at))
        for r in range(p + 1, n):
            factor = b.fdiv(a[r][p], a[p][p])
            if singular:
                factor = b.select(b.fcmp_ordered("==", largest, zero), zero, factor)
            for rows, start, stop in ((a, p + 1, n), *((rows, 0, columns) for rows, columns in beside)):
                for j in range(start, stop):
                    rows[r][j] = b.fsub(rows[r][j], b.fmul(factor, rows[p][j]))
    return exchanged


def _solved(e: Emitter, a: Rows, x: Rows) -> Rows:
    b, n, columns = e.b, len(a), len(x[0])
    eliminated(e, a, [(x, columns)])
    for p in reversed(range(n)):
        for j in range(columns):
            for c in range(p + 1, n):
                x[p][j] = b.fsub(x[p][j], b.fmul(a[p][c], x[c][j]))
            x[p][j] = b.fdiv(x[p][j], a[p][p])
    return x


def _of_triangles(e: Emitter, a: Rows) -> Rows:
    b, n, kind = e.b, len(a), a[0][0].type
    zero = constant(kind, 0.0)
    x = [[zero] * n for _ in range(n)]
    for i in range(n):
        size = e.intrinsic("fabs", a[i][i])
        _stop_unless_positive(e, size)
        scale = b.fdiv(constant(kind, 1.0), a[i][i])
        for j in range(i):
            total = b.fmul(a[i][j], x[j][j])
            for c in range(j + 1, i):
                total = multiply_add(e, a[i][c], x[c][j], total)
            x[i][j] = b.fneg(b.fmul(total, scale))
        x[i][i] = scale
    return x


def _cholesky(e: Emitter, a: Rows) -> Rows:
    b, n, kind = e.b, len(a), a[0][0].type
    zero = constant(kind, 0.0)
    made = [[zero] * n for _ in range(n)]
    for j in range(n):
        column = [a[i][j] for i in range(j, n)]
        for c in range(j):
            minus = b.fneg(made[j][c])
            column = [multiply_add(e, made[i][c], minus, x) for i, x in zip(range(j, n), column, strict=True)]
        pivot = column[0]
        _stop_unless_positive(e, pivot)
        root = e.intrinsic("sqrt", pivot)
        scale = b.fdiv(constant(kind, 1.0), root)
        for i, x in zip(range(j, n), column, strict=True):
            made[i][j] = b.fmul(x, scale) if i > j else root
    return made


def _stop_unless_positive(e: Emitter, pivots: ir.Value, or_zero: bool = False) -> None:
    """Give the program up where a lane's pivot is zero, negative, infinite or NaN: NumPy says what is to be said."""
    b, kind = e.b, pivots.type
    above, below = (constant(kind, bound) for bound in (0.0, float("inf")))
    good = b.and_(b.fcmp_ordered(">=" if or_zero else ">", pivots, above), b.fcmp_ordered("<", pivots, below))
    with b.if_then(b.not_(every(e, good)), likely=False):
        b.ret(e.int(1))


def every(e: Emitter, good: ir.Value) -> ir.Value:
    """One bit: whether it holds in all lanes."""
    if not isinstance(good.type, ir.VectorType):
        return good
    whole = ir.IntType(good.type.count)
    return e.b.icmp_signed("==", e.b.bitcast(good, whole), ir.Constant(whole, -1))


def _pieces(kind: ir.Type, size: int) -> list[int]:
    """Where parts of 128 bits of a matrix begin; the last one ends where it ends."""
    piece = turned_at_once(kind, lanes_of(kind))
    return [min(start, size - piece) for start in range(0, size, piece)]


def read(e: Emitter, first: ir.Value, kind: ir.Type, size: int, lanes: int) -> list[ir.Value]:
    """Each entry of so many matrices, which lie one after another."""
    if lanes == 1 or size == 1:
        return [e.load(first, i, kind, lanes) for i in range(size)]
    if size < turned_at_once(kind, lanes):
        return [_joined(e, [e.load(first, lane * size + i, kind) for lane in range(lanes)]) for i in range(size)]
    found: dict[int, ir.Value] = {}
    for start in _pieces(kind, size):

        def load(row: int, some: int, start: int = start) -> ir.Value:
            return e.load(first, row * size + start, kind, some)

        found |= {start + k: value for k, value in enumerate(turned_part(e, kind, load, lanes))}
    return [found[i] for i in range(size)]


def _joined(e: Emitter, numbers: list[ir.Value]) -> ir.Value:
    vector: Any = ir.Constant(ir.VectorType(numbers[0].type, len(numbers)), ir.Undefined)
    for lane, number in enumerate(numbers):
        vector = e.b.insert_element(vector, number, ir.Constant(INT32, lane))
    return vector


def write(e: Emitter, first: ir.Value, kind: ir.Type, values: list[ir.Value]) -> None:
    b, size = e.b, len(values)
    if not isinstance(values[0].type, ir.VectorType) or size == 1:
        for i, value in enumerate(values):
            e.store(value, first, i)
        return
    lanes, piece = values[0].type.count, turned_at_once(kind, lanes_of(kind))
    if size < piece:
        for i, value in enumerate(values):
            for lane in range(lanes):
                e.store(b.extract_element(value, ir.Constant(INT32, lane)), first, lane * size + i)
        return
    for start in _pieces(kind, size):
        for lane in range(lanes):
            parts, order = values[start : start + piece], [lane, lanes + lane]
            while len(parts) > 1:
                mask = ir.Constant(ir.VectorType(INT32, len(order)), order)
                parts = [b.shuffle_vector(x, y, mask) for x, y in zip(parts[::2], parts[1::2], strict=True)]
                order = list(range(2 * len(order)))
            e.store(parts[0], first, lane * size + start)


def lower_side_by_side(planner: Any, node: Node) -> bool:
    """solve, inv and cholesky, of no fewer matrices than lanes"""
    a, what = node.args[0], node.op.name
    dtype, shape = node.aval.dtype, node.aval.shape
    code = code_of(dtype)
    if code not in ("f4", "f8") or any(arg.aval.dtype != dtype for arg in node.args):
        return False
    if not 0 < shape[-2] <= LARGEST or a.aval.shape[:-2] != shape[:-2] or (what == "solve" and shape[-1] > COLUMNS):
        return False
    count = prod(shape[:-2])
    if count < lanes_of(pointwise.register_type(code)) or shape[-1] == 0:
        return False
    half = half_of(a) if what == "inv" else ""
    turned = half == "upper" or (what == "cholesky" and node.params["upper"])
    axes = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
    views = [planner.view(arg) for arg in node.args]
    views = [layout.transposed(view, axes) if turned else view for view in views]
    views = [planner.contiguous(view, dtype) for view in views]
    users = planner.users.get(node, ())
    over = what == "inv" and not half and len(users) == 1 and node not in planner.wanted
    over = over and users[0].op.name == "transpose" and users[0].params["axes"] == axes
    target = arena(dtype, *shape) if turned else planner.allocate(users[0] if over else node, dtype, shape)
    key = SideBySide(code, shape[-2], "lower" if half else what, shape[-1] if what == "solve" else 0, over)
    planner.command(key, [views[0], views[-1], target], [count], views, [target], what)
    if turned or over:
        planner.views[node] = layout.transposed(target, axes)
    return True
