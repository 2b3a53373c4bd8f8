"""Products and norms of small square matrices: rows of whole vectors, in whole tiles, zeros beyond n."""

from __future__ import annotations

from payback.native import ir
from payback.native.codegen.emit import FLOAT64, INT, INT32, POINTER, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import fold
from payback.native.lower.products.blocked.packing import function
from payback.native.lower.products.blocked.tile import multiply_add

HIGH = 4  # rows of a tile


def square_product(e: Emitter, code: str, plus: bool) -> ir.Function:
    """`void product(c, a, b, n, rows, ld)`: c (+)= a·b, n products an entry."""
    name = f"payback.square_product.{code}.{plus}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = function(e, name, [POINTER, POINTER, POINTER, INT, INT, INT])
    c, a, right, n, rows, ld = made.args
    b, kind = e.b, pointwise.register_type(code)
    lanes = lanes_of(kind)
    pairs = b.and_(ld, e.int(-2 * lanes))
    with e.loop(0, rows, HIGH) as i:
        lines = [b.mul(b.add(i, e.int(r)), ld) for r in range(HIGH)]
        for start, stop, vectors in ((e.int(0), pairs, 2), (pairs, ld, 1)):
            with e.loop(start, stop, vectors * lanes) as j:
                places = [
                    e.at(c, b.add(line, b.add(j, e.int(v * lanes))), kind) for line in lines for v in range(vectors)
                ]
                zero = constant(ir.VectorType(kind, lanes), 0.0)
                initial = [e.load(place, 0, kind, lanes) if plus else zero for place in places]

                def add(k: ir.Value, sums: list[ir.Value], j=j, lines=lines, vectors=vectors) -> list[ir.Value]:
                    at = b.add(b.mul(k, ld), j)
                    values = [e.load(e.at(right, at, kind), v * lanes, kind, lanes) for v in range(vectors)]
                    found = []
                    for r, line in enumerate(lines):
                        factor = e.splat(e.load(a, b.add(line, k), kind), lanes)
                        found += [multiply_add(e, factor, x, sums[r * vectors + v]) for v, x in enumerate(values)]
                    return found

                for place, total in zip(places, fold(e, 0, n, 1, initial, add), strict=True):
                    e.store(total, place, 0)
    b.ret_void()
    return made


def _returning(e: Emitter, name: str, kinds: list[ir.Type]) -> tuple[Emitter, ir.Function]:
    made = ir.Function(e.module, ir.FunctionType(FLOAT64, kinds), name)
    made.linkage = "internal"
    return Emitter(e.module, ir.IRBuilder(made.append_basic_block("entry"))), made


def _most_of(e: Emitter, vector: ir.Value) -> ir.Value:
    """The largest lane; NaN if one is."""
    b, best = e.b, None
    for lane in range(vector.type.count):
        x = b.extract_element(vector, ir.Constant(INT32, lane))
        best = (
            x
            if best is None
            else b.select(b.or_(b.fcmp_ordered("<=", x, best), b.fcmp_unordered("uno", best, best)), best, x)
        )
    return best


def norm(e: Emitter, code: str) -> ir.Function:
    """`double norm(a, n, ld)`: the 1-norm, the largest sum of a column."""
    name = f"payback.norm.{code}"
    if name in e.module.globals:
        return e.module.globals[name]
    e, made = _returning(e, name, [POINTER, INT, INT])
    a, n, ld = made.args
    b, kind = e.b, pointwise.register_type(code)
    lanes = lanes_of(kind)
    zero = constant(ir.VectorType(kind, lanes), 0.0)

    def columns(step: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
        def add(i: ir.Value, total: list[ir.Value]) -> list[ir.Value]:
            value = e.load(a, b.add(b.mul(i, ld), step), kind, lanes)
            return [b.fadd(total[0], e.intrinsic("fabs", value))]

        (total,) = fold(e, 0, n, 1, [zero], add)
        less = b.or_(b.fcmp_ordered("<=", total, best[0]), b.fcmp_unordered("uno", best[0], best[0]))
        return [b.select(less, best[0], total)]

    (best,) = fold(e, 0, ld, lanes, [zero], columns)
    found = _most_of(e, best)
    b.ret(found if kind is FLOAT64 else b.fpext(found, FLOAT64))
    return made


def power_norm(e: Emitter, code: str) -> ir.Function:
    """`double power_norm(a, n, ld, power, two vectors)`: ‖|a|ᵖ‖₁ / ‖a‖₁ᵖ, which is no more than 1."""
    name = f"payback.power_norm.{code}"
    if name in e.module.globals:
        return e.module.globals[name]
    norm_of = norm(e, code)
    e, made = _returning(e, name, [POINTER, INT, INT, INT, POINTER])
    a, n, ld, power, vectors = made.args
    b, kind = e.b, pointwise.register_type(code)
    lanes = lanes_of(kind)
    wide = ir.VectorType(FLOAT64, lanes)
    one, zero = constant(wide, 1.0), constant(wide, 0.0)
    scale = e.splat(b.fdiv(constant(FLOAT64, 1.0), b.call(norm_of, [a, n, ld])), lanes)
    with e.loop(0, ld, lanes) as j:
        e.store(one, vectors, j)

    def times(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
        given, into, _ = state

        def columns(j: ir.Value, best: list[ir.Value]) -> list[ir.Value]:
            def add(i: ir.Value, total: list[ir.Value]) -> list[ir.Value]:
                value = e.intrinsic("fabs", e.load(a, b.add(b.mul(i, ld), j), kind, lanes))
                value = value if kind is FLOAT64 else b.fpext(value, wide)
                return [multiply_add(e, e.splat(e.load(given, i, FLOAT64), lanes), value, total[0])]

            (total,) = fold(e, 0, n, 1, [zero], add)
            total = b.fmul(total, scale)
            e.store(total, into, j)
            return [b.select(b.fcmp_ordered(">", total, best[0]), total, best[0])]

        (best,) = fold(e, 0, ld, lanes, [zero], columns)
        return [into, given, best]

    _, _, best = fold(e, 0, power, 1, [vectors, e.at(vectors, ld, FLOAT64), zero], times)
    b.ret(_most_of(e, best))
    return made
