"""Linear algebra by blocks: factors, systems, inverses and determinants of matrices that are no longer tiny.

A factorization is a list of commands: panels and triangles (`panels`), and between them products, which threads share
as any others.  The factors of a matrix are kept while a program is planned: all systems with it, or with its
transpose, and its determinant are computed from them.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.ir.node import Node
from payback.native.codegen.emit import lanes_of
from payback.native.lower import pointwise
from payback.native.lower.linalg import triangles
from payback.native.lower.linalg.panels import INNER, Cholesky, Exchanges, Pivoted, length_of
from payback.native.lower.linalg.zeros import half_of, original_of
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.choice import K_BLOCK
from payback.native.lower.products.blocked.tile import has_masked_loads
from payback.native.lower.products.product import Product, Source
from payback.native.planning import layout
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View

ALONE = 64  # rows of a matrix that is one panel
BLOCK = 48  # columns of a panel of others
NARROW = 4  # columns of a right side that are found in one go: products with so few are no faster
NEAR = 1 << 20  # bytes of b that are read where they lie: a second cache, about
# operations that threads share: of several matrices, and of one product; panels stand between products, and who waits
# for one longer than a moment sleeps and has to be woken
WORTH_SHARING, LONG = 1_000_000, 16_000_000


class Factored(NamedTuple):
    """count matrices n × n in one buffer; of pivoted factors the exchanges of rows."""

    factors: View
    pivots: View | None

    @property
    def count(self) -> int:
        return prod(self.factors.shape[:-2])

    @property
    def n(self) -> int:
        return self.factors.shape[-1]


def _blocks(n: int) -> list[tuple[int, int]]:
    size = n if n <= ALONE else BLOCK
    return [(start, min(start + size, n)) for start in range(0, n, size)] if n else []


def part(view: View, rows: tuple[int, int], columns: tuple[int, int]) -> View:
    """Rows and columns of matrices (count, n, k)."""
    (r0, r1), (c0, c1) = rows, columns
    count, *_ = view.shape
    next_, row, column = view.strides
    return View(view.buffer, view.offset + r0 * row + c0 * column, (count, r1 - r0, c1 - c0), (next_, row, column))


def as_batch(view: View) -> View:
    """A whole view as (count, n, k)."""
    shape = (prod(view.shape[:-2]), *view.shape[-2:])
    return View(view.buffer, view.offset, shape, layout.contiguous(shape))


def arena(dtype: np.dtype[Any], *shape: int) -> View:
    return layout.whole(Buffer("arena", dtype, prod(shape)), shape)


def product(planner: Any, a: View, b: View, target: View, plus: bool = False) -> None:
    """target (+)= a·b."""
    letters = ("zij", "zjk", "zik")
    if target.shape[0] == 1:
        letters = ("ij", "jk", "ik")
        a, b, target = (View(x.buffer, x.offset, x.shape[1:], x.strides[1:]) for x in (a, b, target))
    source = Source(letters, (a, b, target), None, (), (), "product of blocks", planner.threads)
    for command in source.commands(plus=plus):
        command.source = None  # not for bands: what it adds to is there already
        if isinstance(command.kernel, Product):
            _unpack(command)
            _settle(command)
        planner.commands.append(command)


def _settle(command: Command) -> None:
    """Short products are not shared by threads."""
    if command.kernel.split and command.flops < LONG:
        how = replace(command.kernel.plan, split="rows")
        command.kernel = command.kernel._replace(plan=how, ways=how.ways, split=False)


def _unpack(command: Command) -> None:
    """Products of a block with contiguous rows of b read them where they lie: few of them, or for few rows of a.

    So there are fewer kernels to compile, and packing would cost about what it saves.
    """
    how, (m, n, k) = command.kernel.plan, command.numbers[:3]
    few = k <= ALONE or (m <= ALONE and k * n * how.dtype.itemsize <= NEAR)
    if few and how.pack_b and how.b_unit == "column" and not how.down and has_masked_loads():
        how = replace(how, pack_a=False, pack_b=False, blocked=k > K_BLOCK)
        command.kernel = command.kernel._replace(plan=how, ways=how.ways)
        command.numbers = (*command.numbers[:10], 0, *command.numbers[11:])
        command.operands[3].buffer.size = 0


def shared(planner: Any, count: int, flops: int) -> bool:
    return planner.threads > 1 and count > 1 and count * flops >= WORTH_SHARING


def flipped(view: View) -> View:
    return View(
        view.buffer, view.offset, (*view.shape[:-2], *view.shape[:-3:-1]), (*view.strides[:-2], *view.strides[:-3:-1])
    )


# factors --------------------------------------------------------------------------------------------------------


def _eliminated(planner: Any, node: Node) -> Factored:
    """Factors with partial pivoting of the matrices of a node."""
    made = planner.factored.get(("pivoted", node))
    if made is not None:
        return made
    dtype, code = node.aval.dtype, code_of(node.aval.dtype)
    lanes = lanes_of(pointwise.register_type(code))
    square = as_batch(planner.copy(planner.view(node), dtype))
    count, n, _ = square.shape
    pivots = arena(np.dtype(np.int64), count, n)
    alone = len(_blocks(n)) <= 1
    split = alone and shared(planner, count, n**3 // 2)
    for p, stop in _blocks(n):
        w, length = stop - p, length_of(None, n - p, lanes)
        columns = w + INNER
        size = columns * length
        panels = arena(dtype, planner.threads if split else 1 if alone else count, columns, length)
        planner.command(
            Pivoted(code, split), [square, panels, pivots],
            [count, n, p, w, length, 0 if alone and not split else size * dtype.itemsize],
            [square], [square, panels, pivots], "factors with pivots", count * (n - p) * w * w,
        )  # fmt: skip
        if stop == n:
            continue
        right = part(square, (p, stop), (stop, n))
        corner = part(square, (p, stop), (p, stop))
        _triangle(planner, corner, right, None, lower=True, unit=True)
        below = View(panels.buffer, w, (count, n - stop, w), (size, 1, length))
        product(planner, below, right, part(square, (stop, n), (stop, n)), plus=True)
    made = planner.factored["pivoted", node] = Factored(square, pivots)
    return made


def _cholesky(planner: Any, node: Node, a: View, target: View) -> None:
    dtype, code = node.aval.dtype, code_of(node.aval.dtype)
    lanes = lanes_of(pointwise.register_type(code))
    a, target = as_batch(a), as_batch(target)
    count, n, _ = a.shape
    for p, stop in _blocks(n):
        w, length = stop - p, length_of(None, n - p, lanes)
        products = arena(dtype, count, n - p, w) if p else target
        if p:
            left, top = part(target, (p, n), (0, p)), part(target, (p, stop), (0, p))
            product(planner, left, flipped(top), products)
        split = shared(planner, count, (n - p) * w * w)
        panels = arena(dtype, planner.threads if split else 1, w, length)
        planner.command(
            Cholesky(code, p == 0, split), [a, target, products, panels],
            [count, n, p, w, length, w * length * dtype.itemsize],
            [a, target, products] if p else [a], [target, panels], "cholesky", count * (n - p) * w * w,
        )  # fmt: skip


# systems --------------------------------------------------------------------------------------------------------


def _triangle(planner: Any, t: View, x: View, products: View | None, lower: bool, unit: bool) -> None:
    """One block: x = t⁻¹·(x − products)."""
    code = code_of(x.buffer.dtype)
    count, w, k = x.shape
    flops = w * w * k
    split = "matrices" if shared(planner, count, flops) else ""
    if count == 1 and planner.threads > 1 and flops >= WORTH_SHARING:
        split = "columns"
    t_next, t_row, t_column = t.strides
    other = x if products is None else products
    key = triangles.Triangle(code, lower, unit, products is None, split)
    reads = [t, x] if products is None else [t, x, products]
    numbers = [count, w, k, t_row, t_column, t_next, x.strides[1], x.strides[0], other.strides[1], other.strides[0]]
    planner.command(key, [t, x, other], numbers, reads, [x], "triangle", count * flops)


def solve_triangle(planner: Any, t: View, x: View, lower: bool, unit: bool, square: bool = False) -> None:
    """x = t⁻¹·x, all of t, block by block; square: x is the identity, and lower factors keep its upper half empty."""
    count, n, k = x.shape
    if k <= NARROW:
        _triangle(planner, t, x, None, lower, unit)
        return
    blocks = _blocks(n)
    for p, stop in blocks if lower else blocks[::-1]:
        done = (0, p) if lower else (stop, n)
        columns = (0, stop if square and lower else k)
        mine = part(x, (p, stop), columns)
        products = None
        if done[1] > done[0]:
            products = arena(x.buffer.dtype, count, stop - p, columns[1])
            product(planner, part(t, (p, stop), done), part(x, done, columns), products)
        _triangle(planner, part(t, (p, stop), (p, stop)), mine, products, lower, unit)


def _exchanged(planner: Any, found: Factored, x: View, backwards: bool) -> None:
    key = Exchanges(code_of(x.buffer.dtype), backwards)
    numbers = [found.count, found.n, x.shape[-1]]
    planner.command(key, [x, found.pivots], numbers, [x, found.pivots], [x], "rows exchanged")


def regular(planner: Any, square: View) -> None:
    """Stop where a triangle has no inverse, or none to be trusted: LAPACK says what comes of it."""
    key = triangles.Regular(code_of(square.buffer.dtype))
    planner.command(key, [square], [prod(square.shape[:-2]), square.shape[-1]], [square], [], "pivots")


def _sound(planner: Any, node: Node, square: View) -> None:
    """The same for what is known to be a triangle; Cholesky's factors were looked at when they were made."""
    if node.op.name != "cholesky":
        regular(planner, square)


def _solved(planner: Any, found: Factored, x: View, transposed: bool, square: bool = False) -> None:
    """x = a⁻¹·x, or a⁻ᵀ·x, from the pivoted factors of a."""
    f = found.factors
    regular(planner, f)
    if transposed:
        solve_triangle(planner, flipped(f), x, lower=True, unit=False, square=square)
        solve_triangle(planner, flipped(f), x, lower=False, unit=True)
        _exchanged(planner, found, x, backwards=True)
    else:
        _exchanged(planner, found, x, backwards=False)
        solve_triangle(planner, f, x, lower=True, unit=True)
        solve_triangle(planner, f, x, lower=False, unit=False)


# rows -----------------------------------------------------------------------------------------------------------


def whole(planner: Any, node: Node) -> View:
    return planner.contiguous(planner.view(node), node.aval.dtype)


def fits(node: Node) -> bool:
    """Whether these are matrices for kernels."""
    return all(
        code_of(arg.aval.dtype) in ("f4", "f8") and arg.aval.dtype == node.args[0].aval.dtype for arg in node.args
    )


def lower_cholesky(planner: Any, node: Node) -> bool:
    if not fits(node) or node.aval.size == 0:
        return False
    view = planner.view(node.args[0])
    upper = node.params["upper"]
    if upper:
        view = flipped(view)
    a = planner.contiguous(view, node.aval.dtype)
    shape, dtype = node.aval.shape, node.aval.dtype
    target = layout.whole(Buffer("arena", dtype, prod(shape)), shape) if upper else planner.allocate(node, dtype, shape)
    _cholesky(planner, node, a, target)
    if upper:
        planner.views[node] = flipped(target)
    return True


def lower_system(planner: Any, node: Node) -> bool:
    """solve"""
    a, b = node.args
    if not fits(node) or node.aval.size == 0 or b.aval.shape[:-1] != a.aval.shape[:-1]:
        return False
    original, turned = original_of(a)
    half = half_of(a)
    right = planner.view(b)
    given = whole(planner, original) if half else None
    found = None if half else _eliminated(planner, original)
    x = _started(planner, node, right)
    if given is not None:
        square = as_batch(given)
        _sound(planner, original, square)
        solve_triangle(planner, flipped(square) if turned else square, x, lower=half == "lower", unit=False)
    else:
        _solved(planner, found, x, turned)
    return True


def _started(planner: Any, node: Node, right: View) -> View:
    """The result, which holds the right side at first."""
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    code = code_of(node.aval.dtype)
    planner.nest([("load", right, code)], [code], [("store", target, 0)], target.shape, "right side")
    return as_batch(target)


def identity(planner: Any, square: View) -> None:
    key = triangles.Identity(code_of(square.buffer.dtype))
    planner.command(key, [square], [square.shape[0], square.shape[-1]], [], [square], "identity")


def lower_inverse(planner: Any, node: Node) -> bool:
    (a,) = node.args
    if not fits(node) or node.aval.size == 0:
        return False
    shape, dtype = node.aval.shape, node.aval.dtype
    original, turned = original_of(a)
    half = half_of(a)
    # lower factors first, for half of the identity stays empty: of an upper triangle, or of factors u, the transpose
    flips = (half == "upper") if half else not turned
    given = whole(planner, original) if half else None
    found = None if half else _eliminated(planner, original)
    x = layout.whole(Buffer("arena", dtype, prod(shape)), shape) if flips else planner.allocate(node, dtype, shape)
    square = as_batch(x)
    identity(planner, square)
    if given is not None:
        t = as_batch(given)
        _sound(planner, original, t)
        lower = half_of(original) == "lower"
        solve_triangle(planner, t if lower else flipped(t), square, lower=True, unit=False, square=True)
    else:
        _solved(planner, found, square, transposed=True, square=True)
    if flips:
        planner.views[node] = flipped(x)
    return True


def lower_determinant(planner: Any, node: Node) -> bool:
    """det and slogdet"""
    (a,) = node.args
    if not fits(node) or a.aval.size == 0:
        return False
    original, _ = original_of(a)
    found = _eliminated(planner, original)
    logarithm = node.op.name == "slogdet"
    lead, dtype = a.aval.shape[:-2], a.aval.dtype
    parts: list[Any] = [None, None]
    if logarithm:
        for part in planner.users.get(node, []):
            parts[part.params["k"]] = planner.allocate(part, dtype, lead)
        planner.gone.add(node)
        parts = [layout.whole(Buffer("arena", dtype, prod(lead)), lead) if part is None else part for part in parts]
    else:
        parts = [planner.allocate(node, dtype, lead)] * 2
    key = triangles.Determinant(code_of(dtype), logarithm)
    operands = [found.factors, found.pivots, *parts]
    planner.command(key, operands, [found.count, found.n], operands[:2], parts[: 1 + logarithm], node.op.name)
    return True


def lower_cofactors(planner: Any, node: Node) -> bool:
    """Inverses times determinants, by the same factors: see `ops/linalg.py`."""
    (a,) = node.args
    if not fits(node) or node.aval.size == 0:
        return False
    shape, dtype = node.aval.shape, node.aval.dtype
    original, turned = original_of(a)
    found = _eliminated(planner, original)
    x = arena(dtype, *shape) if turned else planner.allocate(node, dtype, shape)
    square, numbers, code = as_batch(x), arena(dtype, found.count), code_of(dtype)
    identity(planner, square)
    _solved(planner, found, square, transposed=True, square=True)
    operands = [found.factors, found.pivots, numbers, numbers]
    key = triangles.Determinant(code, logarithm=False)
    planner.command(key, operands, [found.count, found.n], operands[:2], [numbers], "determinants")
    size = [found.count, found.n**2]
    planner.command(triangles.Scaled(code), [square, numbers], size, [square, numbers], [square], node.op.name)
    if turned:
        planner.views[node] = flipped(x)
    return True


def lower_triangular(planner: Any, node: Node) -> bool:
    """solve_triangular"""
    a, b = node.args
    if not fits(node) or node.aval.size == 0 or b.aval.shape[:-2] != a.aval.shape[:-2]:
        return False
    lower, trans, unit = (node.params[name] for name in ("lower", "trans", "unit"))
    square, right = as_batch(whole(planner, a)), planner.view(b)
    if not unit:
        regular(planner, square)
    x = _started(planner, node, right)
    solve_triangle(planner, flipped(square) if trans else square, x, lower=lower != trans, unit=unit)
    return True
