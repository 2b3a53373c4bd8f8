"""What the tests know of each row of the table, from outside: the same call in NumPy, the same function in mpmath.

`test_every_row_has_a_sample` fails for a row that is not described here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from scipy import special

import payback as pb
from payback.ir import node as ir_node
from payback.ir.aval import Aval
from payback.ops.append import snapshot
from payback.ops.row import INPUT
from payback.trace.array import Traced
from payback.trace.dispatch import emit
from payback.trace.numpy.map import axes_of

FLOATS = (np.float16, np.float32, np.float64)


def traced(value: Any) -> Traced:
    """The value as an input of a graph, whatever its dtype."""
    return Traced(ir_node.Node(INPUT, (), {}, snapshot(value), None))


def abstract(aval: Aval) -> Traced:
    """An input of which only shape and dtype are known."""
    return Traced(ir_node.Node(INPUT, (), {}, None, None, aval))


def row_of(name: str) -> Callable[..., Any]:
    return lambda *args: emit(name, *args)


@dataclass(frozen=True)
class Pointwise:
    """call   on traced values
    numpy     the same on arrays
    exact     the same on mpmath numbers; None: the row has no derivative at all
    points    for each argument, numbers that float16 holds too; row k of all arguments is one point
    ulps      how far the value may be from `exact` where NumPy has no such function (None: bits equal to NumPy's)
    error     how far a derivative may be off whatever its size, in units of eps (see the reasons below)
    dead      arguments without a derivative
    """

    call: Callable[..., Any]
    numpy: Callable[..., Any]
    exact: Callable[..., Any] | None
    points: tuple[tuple[float, ...], ...]
    ulps: int | None = None
    error: float = 0.0
    dead: tuple[int, ...] = ()


def _unary(f: Callable[..., Any], exact: Any, *points: float, **more: Any) -> Pointwise:
    return Pointwise(f, f, exact, (points,), **more)


def _binary(f: Callable[..., Any], exact: Any, a: tuple[float, ...], b: tuple[float, ...], **more: Any) -> Pointwise:
    return Pointwise(f, f, exact, (a, b), **more)


def _sigmoid(x: Any) -> Any:
    x = np.asarray(x)
    return (1 / (1 + np.exp(-x.astype(np.longdouble)))).astype(x.dtype)[()]


def _softplus(x: Any) -> Any:
    x = np.asarray(x)
    return np.logaddexp(x.astype(np.longdouble), 0).astype(x.dtype)[()]


def _gelu(x: Any) -> Any:
    return x / (1 + mp.exp(-mp.sqrt(8 / mp.pi) * (x + mp.mpf(0.044715) * x**3)))


_A, _B = (1.5, -2.25, 0.75, -0.125, 3.0, -1.0, 0.5, 2.0), (0.5, 1.75, -3.0, 2.5, -0.25, -1.5, 4.0, 0.875)
_ANY = (-3.5, -1.25, -0.5, -0.125, 0.25, 0.75, 1.5, 3.0)
_POSITIVE = (0.125, 0.25, 0.75, 1.0, 1.5, 2.5, 7.0, 30.0)
_ODD = (0.40625, 1.71875, -2.53125, 2.71875, -0.65625, -1.46875, 4.28125, 0.90625)  # no entry of _A is a multiple
_UNIT = (-0.9375, -0.625, -0.25, -0.125, 0.125, 0.375, 0.75, 0.875)
_MASKS = ((True, True, False, False, True, False, True, False), (True, False, True, False, False, True, True, True))

POINTWISE: dict[str, Pointwise] = {
    "identity": Pointwise(row_of("identity"), lambda x: x, lambda x: x, (_ANY,)),
    "stop_gradient": Pointwise(pb.stop_gradient, lambda x: x, None, (_ANY,)),
    "add": _binary(np.add, operator.add, _A, _B),
    "sub": _binary(np.subtract, operator.sub, _A, _B),
    "mul": _binary(np.multiply, operator.mul, _A, _B),
    "div": _binary(np.true_divide, operator.truediv, _A, _B),
    "neg": _unary(np.negative, operator.neg, *_ANY),
    "power": _binary(np.power, mp.power, _POSITIVE, _B),
    "exp": _unary(np.exp, mp.exp, *_ANY),
    "expm1": _unary(np.expm1, mp.expm1, *_ANY),
    "log": _unary(np.log, mp.log, *_POSITIVE),
    "log1p": _unary(np.log1p, mp.log1p, -0.875, -0.5, -0.125, 0.0078125, *_POSITIVE[:4]),
    "sqrt": _unary(np.sqrt, mp.sqrt, *_POSITIVE),
    "sin": _unary(np.sin, mp.sin, *_ANY, error=1),  # near a zero of cos the last bit of sin's neighbour shows
    "cos": _unary(np.cos, mp.cos, *_ANY, error=1),
    # 1 − y² is exact to a unit in the last place of y, not of itself: DESIGN.md's (1 − y)·(1 + y)
    "tanh": _unary(np.tanh, mp.tanh, *_ANY, error=4),
    "sigmoid": Pointwise(row_of("sigmoid"), _sigmoid, lambda x: 1 / (1 + mp.exp(-x)), (_ANY,), ulps=3),
    "softplus": Pointwise(row_of("softplus"), _softplus, lambda x: mp.log1p(mp.exp(x)), (_ANY,), ulps=3),
    "silu": Pointwise(row_of("silu"), pb.nn.silu, lambda x: x / (1 + mp.exp(-x)), (_ANY,), ulps=4, error=4),
    "gelu": Pointwise(row_of("gelu"), pb.nn.gelu, _gelu, (_ANY,), ulps=16, error=8),
    "abs": _unary(np.absolute, abs, *_ANY),
    "sign": _unary(np.sign, None, *_ANY),
    "relu": Pointwise(
        row_of("relu"),
        lambda x: max(x, 0.0) if type(x) is float else np.maximum(x, 0),
        lambda x: max(x, mp.mpf(0)),
        (_ANY,),
    ),
    "maximum": _binary(np.maximum, max, _A, _B),
    "minimum": _binary(np.minimum, min, _A, _B),
    "clip": Pointwise(
        np.clip,
        np.clip,
        lambda x, low, high: min(max(x, low), high),
        (  # no two of them are ever equal, whatever is broadcast against what; low > high is among them
            (-2.0, 0.5, 3.0, 1.0, -0.5, 0.0, 2.0, 1.0),
            (-1.125, -0.625, 1.125, 1.875, 0.375, -3.125, 2.625, 4.125),
            (1.25, 0.75, 2.25, 2.75, 0.25, 3.25, 1.75, -0.75),
        ),
    ),
    "select": Pointwise(np.where, np.where, lambda c, a, b: a if c else b, (_MASKS[0], _A, _B)),
    "tan": _unary(np.tan, mp.tan, *_ANY[1:7], 0.0, 1.0),
    "arcsin": _unary(np.arcsin, mp.asin, *_UNIT),
    "arccos": _unary(np.arccos, mp.acos, *_UNIT),
    "arctan": _unary(np.arctan, mp.atan, *_ANY),
    "arctan2": _binary(np.arctan2, mp.atan2, _A, _B),
    "hypot": _binary(np.hypot, mp.hypot, _A, _B),
    "sinh": _unary(np.sinh, mp.sinh, *_ANY),
    "cosh": _unary(np.cosh, mp.cosh, *_ANY),
    "arcsinh": _unary(np.arcsinh, mp.asinh, *_ANY),
    "arccosh": _unary(np.arccosh, mp.acosh, 1.125, 1.25, 1.5, 2.0, 2.5, 4.0, 7.0, 30.0),
    "arctanh": _unary(np.arctanh, mp.atanh, *_UNIT),
    "exp2": _unary(np.exp2, lambda x: mp.mpf(2) ** x, *_ANY),
    "log2": _unary(np.log2, lambda x: mp.log(x, 2), *_POSITIVE),
    "log10": _unary(np.log10, mp.log10, *_POSITIVE),
    "cbrt": _unary(np.cbrt, lambda x: mp.sign(x) * mp.cbrt(abs(x)), *_ANY),
    "logaddexp": _binary(np.logaddexp, lambda a, b: mp.log(mp.exp(a) + mp.exp(b)), _A, _B),
    "deg2rad": _unary(np.deg2rad, mp.radians, *_ANY),
    "rad2deg": _unary(np.rad2deg, mp.degrees, *_ANY),
    "mod": _binary(np.remainder, lambda a, b: a - b * mp.floor(a / b), _A, _ODD),
    "floor_divide": _binary(np.floor_divide, None, _A, _B),
    "copysign": _binary(np.copysign, lambda a, b: abs(a) * mp.sign(b), _A, _B, dead=(1,)),
    "fmod": _binary(np.fmod, lambda a, b: a - b * int(a / b), _A, _ODD),
    "fraction": Pointwise(lambda x: np.modf(x)[0], lambda x: np.modf(x)[0], lambda x: x - int(x), (_ANY[:7],)),
    "heaviside": _binary(
        np.heaviside,
        lambda a, b: b if a == 0 else mp.mpf(a > 0),
        (0.0, 1.5, -2.0, 0.0, 0.25, -1.0, 0.0, 3.0),
        _B,
        dead=(0,),
    ),
    "fmax": _binary(np.fmax, max, _A, _B),
    "fmin": _binary(np.fmin, min, _A, _B),
    "logaddexp2": _binary(np.logaddexp2, lambda a, b: mp.log(mp.mpf(2) ** a + mp.mpf(2) ** b, 2), _A, _B),
    "nextafter": _binary(np.nextafter, lambda a, b: a, _A, _B, dead=(1,)),
    "spacing": _unary(np.spacing, None, *_ANY),
    "floor": _unary(np.floor, None, *_ANY),
    "ceil": _unary(np.ceil, None, *_ANY),
    "trunc": _unary(np.trunc, None, *_ANY),
    "rint": _unary(np.rint, None, *_ANY),
    "gt": _binary(np.greater, None, _A, _B),
    "ge": _binary(np.greater_equal, None, _A, _B),
    "lt": _binary(np.less, None, _A, _B),
    "le": _binary(np.less_equal, None, _A, _B),
    "eq": _binary(np.equal, None, _A, (*_A[:4], *_B[4:])),
    "ne": _binary(np.not_equal, None, _A, (*_A[:4], *_B[4:])),
    "logical_and": _binary(np.logical_and, None, *_MASKS),
    "logical_or": _binary(np.logical_or, None, *_MASKS),
    "logical_not": _unary(np.logical_not, None, *_MASKS[0]),
}

_SHARE = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 0.9375)
_MORE = (0.5, 1.75, 3.0, 2.5, 0.25, 1.5, 4.0, 0.875)
SPECIAL = {
    "erf": _unary(special.erf, mp.erf, *_ANY),
    "erfc": _unary(special.erfc, mp.erfc, *_ANY),
    "erfcx": _unary(special.erfcx, lambda x: mp.exp(x * x) * mp.erfc(x), -2.0, *_ANY[1:7], 60.0, error=4),
    "erfinv": _unary(special.erfinv, mp.erfinv, *_UNIT),
    "erfcinv": _unary(special.erfcinv, lambda x: mp.erfinv(1 - x), *_SHARE),
    "ndtr": _unary(special.ndtr, mp.ncdf, *_ANY),
    "log_ndtr": _unary(special.log_ndtr, lambda x: mp.log(mp.ncdf(x)), *_ANY[:7], -60.0),
    "ndtri": _unary(special.ndtri, lambda x: mp.sqrt(2) * mp.erfinv(2 * x - 1), *_SHARE),
    "gammaln": _unary(special.gammaln, lambda x: mp.log(abs(mp.gamma(x))), *_POSITIVE[:7], -0.5),
    "gamma": _unary(special.gamma, mp.gamma, *_POSITIVE[:7], -0.5),
    "digamma": _unary(special.psi, mp.digamma, *_POSITIVE),
    # the two ψ of the rule, up to 3.4, differ by less than they are
    "beta": _binary(special.beta, mp.beta, _POSITIVE, _MORE, error=1),
    "betaln": _binary(special.betaln, lambda a, b: mp.log(mp.beta(a, b)), _POSITIVE, _MORE, error=4),
    "expit": _unary(special.expit, lambda x: 1 / (1 + mp.exp(-x)), *_ANY),
    "logit": _unary(special.logit, lambda x: mp.log(x / (1 - x)), *_SHARE),
    "log_expit": _unary(special.log_expit, lambda x: -mp.log1p(mp.exp(-x)), *_ANY),
    "xlogy": _binary(special.xlogy, lambda x, y: x * mp.log(y), _A, _POSITIVE),
    "xlog1py": _binary(special.xlog1py, lambda x, y: x * mp.log1p(y), _A, _SHARE),
    "entr": _unary(special.entr, lambda x: -x * mp.log(x), *_POSITIVE),
    "rel_entr": _binary(special.rel_entr, lambda x, y: x * mp.log(x / y), _POSITIVE, _MORE),
    "kl_div": _binary(special.kl_div, lambda x, y: x * mp.log(x / y) - x + y, _POSITIVE, _MORE),
    "exp1": _unary(special.exp1, mp.e1, *_POSITIVE[:7]),
    "expi": _unary(special.expi, mp.ei, *_ANY),
} | {
    name: _unary(getattr(special, name), lambda x, f=f, n=int(name[1]): f(n, x), *points, error=1)
    for f, points, names in (
        (mp.besselj, _ANY, ("j0", "j1")), (mp.bessely, _POSITIVE[1:4], ("y0", "y1")),
        (mp.besseli, _ANY, ("i0", "i1")), (mp.besselk, _POSITIVE[1:4], ("k0", "k1")),
        (lambda n, x: mp.exp(-abs(x)) * mp.besseli(n, x), _ANY, ("i0e", "i1e")),
    ) for name in names
}  # fmt: skip
POINTWISE |= SPECIAL

OPERATORS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "power": operator.pow,
    "mod": operator.mod,
    "floor_divide": operator.floordiv,
    "neg": operator.neg,
    "abs": operator.abs,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


@dataclass(frozen=True)
class Linear:
    """One use of a linear row.  `call` takes traced values and arrays alike; so it is its own NumPy call.

    shapes  of the floating arguments, in each of which the call is linear by itself
    more    further arguments without a derivative
    """

    row: str
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    more: tuple[Any, ...] = ()


def _scatter(value: Any, *arrays: Any) -> Any:
    from payback.ops.index import Place

    params = {"shape": (3, 4), "templates": ((slice(None), Place(0)),), "counts": (1,)}
    if isinstance(value, Traced):
        return emit("scatter", value, *arrays, dtype=value.dtype, **params)
    made = np.zeros((3, 4), value.dtype)
    np.add.at(made, (slice(None), arrays[0]), value)
    return made


_SOLVED = np.array([[0.5, -0.25, 0.0], [0.0, 1.0, 2.0], [0.125, 0.0, -0.5]])


def _solve_constant(b: Any) -> Any:
    from payback.ops.constant_systems import Factors

    def by(matrix: Any) -> Any:
        return lambda x: matrix.astype(np.result_type(x, np.float16) if x.dtype.kind == "f" else float) @ x

    factors = Factors(by(_SOLVED), by(_SOLVED.T))
    return emit("solve_constant", b, factors=factors) if isinstance(b, Traced) else factors.solve(b)


_TWICE = np.array([2, 0, 2])
_WIDER = {np.float16: np.float32, np.float32: np.float64, np.float64: np.float32}
_MASK = np.array([True, False, True])

LINEAR: dict[str, Linear] = {
    "cast": Linear("cast", lambda x: x.astype(_WIDER[x.dtype.type]), ((2, 3),)),
    "sum": Linear("sum", np.sum, ((2, 3),)),
    "sum of a scalar": Linear("sum", np.sum, ((),)),
    "sum of nothing": Linear("sum", np.sum, ((0, 3),)),
    "sum axis": Linear("sum", lambda x: np.sum(x, axis=1), ((2, 3, 4),)),
    "sum axes keepdims": Linear("sum", lambda x: x.sum((-1, 0), keepdims=True), ((2, 3, 4),)),
    "sum no axes": Linear("sum", lambda x: np.sum(x, axis=()), ((2, 3),)),
    "add.reduce": Linear("sum", np.add.reduce, ((4, 2),)),
    "mean": Linear("mean", np.mean, ((4, 2),)),
    "mean axis": Linear("mean", lambda x: x.mean(1, keepdims=True), ((3, 4),)),
    "solve_constant": Linear("solve_constant", _solve_constant, ((3, 2),)),
    "broadcast": Linear("broadcast", lambda x: np.broadcast_to(x, (4, 2, 3)), ((2, 1),)),
    "broadcast a scalar": Linear("broadcast", lambda x: np.broadcast_to(x, (2, 3)), ((),)),
    "broadcast to nothing": Linear("broadcast", lambda x: np.broadcast_to(x, (0, 3)), ((1, 3),)),
    "reshape": Linear("reshape", lambda x: x.reshape(3, -1), ((2, 6),)),
    "reshape to a scalar": Linear("reshape", lambda x: np.reshape(x, ()), ((1, 1),)),
    "ravel": Linear("reshape", np.ravel, ((2, 3),)),
    "squeeze": Linear("reshape", lambda x: np.squeeze(x, 1), ((2, 1, 3),)),
    "expand_dims": Linear("reshape", lambda x: np.expand_dims(x, (0, 2)), ((2, 3),)),
    "transpose": Linear("transpose", lambda x: x.T, ((2, 3),)),
    "transpose axes": Linear("transpose", lambda x: np.transpose(x, (1, 2, 0)), ((2, 3, 4),)),
    "swapaxes": Linear("transpose", lambda x: np.swapaxes(x, 0, -1), ((2, 3, 4),)),
    "moveaxis": Linear("transpose", lambda x: np.moveaxis(x, 0, 2), ((2, 3, 4),)),
    "concatenate": Linear("concatenate", lambda *p: np.concatenate(p, axis=-1), ((2, 3), (2, 1), (2, 0))),
    "concatenate flat": Linear("concatenate", lambda *p: np.concatenate(p, axis=None), ((2, 2), (3,))),
    "hstack": Linear("concatenate", lambda *p: np.hstack(p), ((2, 2), (2, 3))),
    "vstack": Linear("concatenate", lambda *p: np.vstack(p), ((3,), (2, 3))),
    "stack": Linear("stack", lambda *p: np.stack(p, axis=1), ((2, 3), (2, 3))),
    "ldexp": Linear("ldexp", lambda x, n: np.ldexp(x, n), ((2, 3),), (np.array([1, 2, 0]),)),
    "ldexp broadcast": Linear("ldexp", lambda x, n: np.ldexp(x, n), ((2, 1),), (np.array([1, 2, 0]),)),
    "reduceat": Linear("reduceat", lambda x: np.add.reduceat(x, [0, 3, 1, 1]), ((5,),)),
    "reduceat axis": Linear("reduceat", lambda x: np.add.reduceat(x, [1, 0], axis=1), ((2, 3, 2),)),
    "cumsum": Linear("cumsum", lambda x: np.cumsum(x, axis=1), ((2, 4),)),
    "cumsum of all": Linear("cumsum", np.cumsum, ((5,),)),
    "index": Linear("index", lambda x: x[1], ((3, 4),)),
    "index slices": Linear("index", lambda x: x[::-2, None, 1:3], ((3, 4),)),
    "index ellipsis": Linear("index", lambda x: x[..., -1], ((2, 3, 4),)),
    "index an entry": Linear("index", lambda x: x[1, 2], ((3, 4),)),
    "index all": Linear("index", lambda x: x[()], ((3,),)),
    "index nothing": Linear("index", lambda x: x[3:, :0], ((3, 4),)),
    "index array": Linear("index", lambda x, i: x[i], ((3, 4),), (_TWICE,)),
    "index array of an axis": Linear("index", lambda x, i: x[:, i], ((3, 4),), (_TWICE,)),
    "index arrays": Linear("index", lambda x, i, j: x[i, :, j], ((3, 4, 5),), (_TWICE[:, None], _TWICE)),
    "index list": Linear("index", lambda x: x[[0, 0, -1]], ((3, 2),)),
    "index empty list": Linear("index", lambda x: x[[]], ((3, 2),)),
    "index mask": Linear("index", lambda x: x[_MASK], ((3, 2),)),
    "index mask of an axis": Linear("index", lambda x: x[:, _MASK], ((2, 3),)),
    "index mask of all": Linear("index", lambda x: x[np.array([[True, False], [True, True]])], ((2, 2),)),
    "scatter": Linear("scatter", _scatter, ((3, 3),), (np.array([1, 1, 3]),)),
    "matmul": Linear("contract", operator.matmul, ((3, 2), (2, 4))),
    "matmul of squares": Linear("contract", np.matmul, ((3, 3), (3, 3))),
    "matmul vectors": Linear("contract", np.matmul, ((3,), (3,))),
    "matmul vector matrix": Linear("contract", np.matmul, ((3,), (3, 2))),
    "matmul matrix vector": Linear("contract", np.matmul, ((2, 3), (3,))),
    "matmul batches": Linear("contract", np.matmul, ((4, 3, 2), (4, 2, 5))),
    "matmul broadcast batches": Linear("contract", np.matmul, ((4, 1, 3, 2), (5, 2, 3))),
    "matmul of nothing": Linear("contract", np.matmul, ((2, 0), (0, 3))),
    "dot": Linear("contract", np.dot, ((2, 3), (3, 4))),
    "dot of many axes": Linear("contract", np.dot, ((2, 3, 4), (5, 4, 2))),
    "outer": Linear("contract", np.outer, ((3,), (2,))),
    "inner": Linear("contract", np.inner, ((2, 3), (4, 3))),
    "tensordot": Linear("contract", lambda a, b: np.tensordot(a, b, ([0, 2], [1, 0])), ((2, 3, 4), (4, 2, 5))),
    "tensordot to a scalar": Linear("contract", np.tensordot, ((2, 3), (2, 3))),
}


@dataclass(frozen=True)
class Reduction:
    """numpy: the same on arrays, or None where NumPy has none; exact: on a list of mpmath numbers."""

    call: Callable[..., Any]
    numpy: Callable[..., Any] | None
    exact: Callable[[list[Any]], Any]


def _logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return pb.nn.logsumexp(x, axis, keepdims)


def _norm(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return emit("norm", x, axes=axes_of(axis, np.ndim(x)), keepdims=keepdims)


REDUCTIONS: dict[str, Reduction] = {
    "max": Reduction(np.max, np.max, max),
    "min": Reduction(np.min, np.min, min),
    "norm": Reduction(_norm, None, lambda xs: mp.sqrt(mp.fsum(x * x for x in xs))),
    "logsumexp": Reduction(_logsumexp, None, lambda xs: mp.log(mp.fsum(mp.exp(x) for x in xs))),
}

# No derivative, and no NumPy call to compare with: tests/random knows their bits.
# `part` is tested with the rows that have several results.
# `repeated`, `negligible`, `distinct`, `signs_of_qr`, `phases_of_svd` ask about factors: tests/trace/test_*linalg.py.
# Orders and places are tested with what is taken by them, in tests/trace/test_numpy_statistics.py.
ELSEWHERE = {
    "random_bits",
    "fold_in",
    "part",
    "repeated",
    "distinct",
    "signs_of_qr",
    "phases_of_svd",
    "negligible",
    "argsort",
    "argpartition",
    "argmax",
    "argmin",
    "running",
    "last_written",
    "searchsorted",
    "exponent",
}
LEAVES = {"input", "variable", "const"}
