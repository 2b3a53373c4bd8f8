"""`scipy.special` on traced values: its ufuncs come through NumPy's protocol, its functions through the shim."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, UnsupportedError
from payback.ops.row import TABLE
from payback.trace.array import Traced, plain
from payback.trace.complex.numbers import NOTHING, Complex, pair, pair_of
from payback.trace.dispatch import COMPOSED, UFUNCS, emit, here
from payback.trace.numpy.arguments import array_of, axes_of
from payback.trace.numpy.map import astype
from payback.trace.operators import HOOKS
from payback.trace.plain_arrays import is_plain
from payback.trace.scalars.number import ROW_NAMES
from payback.trace.tree import is_complex

# Ufuncs whose rows have other names than SciPy's; of real numbers jve is jv.
_ROWS = {"psi": "digamma", "jve": "jv", "yve": "yv"}


def learn(ufunc: Any, inputs: tuple[Any, ...]) -> bool:
    """Whether SciPy has this ufunc and payback a row for it, which is then known.

    Raises UnsupportedError for one without a row, if one of the inputs has a derivative to lose.
    """
    special = sys.modules.get("scipy.special")
    name = ufunc.__name__
    if special is None:
        return False
    if name in _PRIVATE and getattr(special._ufuncs, name, None) is ufunc:
        COMPOSED[ufunc] = _PRIVATE[name]
        return True
    if getattr(special, name, None) is not ufunc:
        return False
    row = _ROWS.get(name, name)
    if name in _OTHERS:
        COMPOSED[ufunc] = _OTHERS[name]
    elif row in TABLE:
        UFUNCS[ufunc] = ROW_NAMES[ufunc] = row
    elif not any(isinstance(x, Traced) and x.dtype.kind == "f" for x in inputs):
        return False
    else:
        raise UnsupportedError(f"scipy.special.{name} has no derivative in payback", where=here(),
                               why="there is no row for it in the table",
                               fix="write it with functions that have one, or use "
                               "pb.custom_gradient(plain=True)")  # fmt: skip
    return True


HOOKS["ufunc"] = learn


def _wide(x: Any) -> Any:
    """float32 or float64: SciPy has no loops for other floating numbers."""
    x = array_of(x)
    dtype = np.result_type(x.dtype if x.dtype.kind == "f" else np.float64, np.float32)
    return x if x.dtype == dtype else astype(x, dtype) if isinstance(x, Traced) else x.astype(dtype)


def _double(x: Any) -> Any:
    return astype(x, np.float64) if isinstance(x, Traced) else np.asarray(x, np.float64)


def _of_order(name: str) -> Any:
    """Where SciPy has a loop for whole orders, which computes in float64."""

    def function(order: Any, *args: Any) -> Any:
        return emit(name, *_as_with_whole(order, order, *args))

    return function


def _several(*names: str) -> Any:
    return lambda *args: tuple(emit(name, *args) for name in names)


def _hankel(sign: float, damped: bool) -> Any:
    def function(order: Any, x: Any) -> Any:
        made = Complex(emit("jv", order, x), sign * emit("yv", order, x))
        return made * np.exp(pair(NOTHING, -sign * x)) if damped else made

    return function


def _analytic(name: str, **params: Any) -> Any:
    """A row of real and imaginary parts, of real numbers too."""

    def function(z: Any) -> Any:
        re, im = pair_of(z)
        return Complex(*(emit("part", both, k=k) for both in [emit(name, re, im, **params)] for k in range(2)))

    return function


def _floor(k: Any) -> Any:
    return float(math.floor(k)) if isinstance(k, (int, float)) else np.floor(k)


def _chances(name: str) -> Any:
    """A row whose Python numbers are of the dtype of the others: SciPy would compute in float64."""

    def function(*args: Any) -> Any:
        dtype = np.result_type(*[x.dtype if hasattr(x, "dtype") else x for x in args])
        return emit(name, *(x if hasattr(x, "dtype") else dtype.type(x) for x in args))

    return function


_P, _Q, _I, _J = map(_chances, ("gammainc", "gammaincc", "betainc", "betaincc"))
_P_INVERSE, _Q_INVERSE = map(_chances, ("gammaincinv", "gammainccinv"))


def _binomial(upper: bool) -> Any:
    def function(k: Any, n: Any, p: Any) -> Any:
        k, p = _floor(k), _as_with_whole(n, p)
        f, all_of_them = (_I, 0.0) if upper else (_J, 1.0)
        whole = n == k
        return np.where(whole, all_of_them, f(k + 1.0, np.where(whole, 1.0, n - k), p))

    return function


def _as_with_whole(n: Any, *args: Any) -> Any:
    """SciPy computes in float64 where an order is of whole numbers."""
    made = tuple(map(_double, args)) if np.asarray(plain(n)).dtype.kind in "biu" else args
    return made if len(args) > 1 else made[0]


def _negative_binomial(f: Any) -> Any:
    return lambda k, n, p: f(n, _floor(k) + 1.0, _as_with_whole(n, p))


def _fisher(f: Any) -> Any:
    """Of a share below: of dfn·x/(dfd + dfn·x), or above."""
    return lambda dfn, dfd, x: f(dfn / 2, dfd / 2, dfn * x / (dfd + dfn * x))


def _fisher_quantile(dfn: Any, dfd: Any, p: Any) -> Any:
    """By the smaller one of the share below and that above."""
    below, above = emit("betaincinv", dfn / 2, dfd / 2, p), emit("betainccinv", dfd / 2, dfn / 2, p)
    return dfd * np.where(below < 0.5, below, 1.0 - above) / (dfn * np.where(below < 0.5, 1.0 - below, above))


def _voigt(x: Any, sigma: Any, gamma: Any) -> Any:
    """By Faddeeva's function; of sigma = 0, around which it is even, Cauchy's density."""
    narrow = sigma == 0
    scale = 1.0 / (math.sqrt(2.0) * np.where(narrow, 1.0, sigma))
    shape = np.broadcast_shapes(*map(np.shape, (x, sigma, gamma)))
    z = Complex(*(np.broadcast_to(part, shape) for part in (x * scale, gamma * scale)))
    wide = _analytic("complex_wofz")(z).re * scale / math.sqrt(math.pi)
    return np.where(narrow, gamma / (math.pi * (x * x + gamma * gamma)), wide)


_POLYNOMIALS = ("legendre", "chebyt", "chebyu", "gegenbauer", "jacobi", "laguerre", "genlaguerre", "hermite",
                "hermitenorm")  # fmt: skip
# ufuncs that are not a row, or several
_OTHERS = {
    "exp10": lambda x: emit("power", 10.0, x),
    **{name: _of_order(name) for name in ("expn", "yn", "kn", *(f"eval_{name}" for name in _POLYNOMIALS))},
    "eval_chebyc": lambda n, x: 2.0 * _of_order("eval_chebyt")(n, x / 2.0),
    "eval_chebys": lambda n, x: _of_order("eval_chebyu")(n, x / 2.0),
    **{f"eval_sh_{name}": lambda n, x, name=f"eval_{name}": _of_order(name)(n, 2.0 * x - 1.0)
       for name in ("legendre", "chebyt", "chebyu")},
    "airy": _several("airy_ai", "airy_aip", "airy_bi", "airy_bip"),
    "ellipj": _several("ellipj_sn", "ellipj_cn", "ellipj_dn", "ellipj_ph"),
    "sici": _several("sine_integral", "cosine_integral"), "shichi": _several("sinh_integral", "cosh_integral"),
    "fresnel": _several("fresnel_s", "fresnel_c"),
    "hankel1": _hankel(1.0, False), "hankel2": _hankel(-1.0, False), "hankel1e": _hankel(1.0, True),
    "hankel2e": _hankel(-1.0, True), "wofz": _analytic("complex_wofz"),
    "voigt_profile": _voigt,
    "chdtr": lambda v, x: _P(v / 2, x / 2), "chdtrc": lambda v, x: _Q(v / 2, x / 2),
    "chdtri": lambda v, p: 2.0 * _Q_INVERSE(v / 2, p),
    "gdtr": lambda a, b, x: _P(b, a * x), "gdtrc": lambda a, b, x: _Q(b, a * x),
    "gdtrix": lambda a, b, p: _P_INVERSE(b, p) / a,
    "pdtr": lambda k, m: _Q(_floor(k) + 1.0, m), "pdtrc": lambda k, m: _P(_floor(k) + 1.0, m),
    "bdtr": _binomial(False), "bdtrc": _binomial(True),
    "nbdtr": _negative_binomial(_I), "nbdtrc": _negative_binomial(_J),
    "fdtr": _fisher(_I), "fdtrc": _fisher(_J), "fdtri": _fisher_quantile,
}  # fmt: skip
# of the formulas of scipy.stats
_PRIVATE = {
    "_beta_ppf": lambda q, a, b: emit("betaincinv", a, b, q),
    "_cauchy_ppf": lambda q, loc, scale: loc + scale * np.tan(np.pi * (q - 0.5)),
    "_cauchy_isf": lambda q, loc, scale: loc - scale * np.tan(np.pi * (q - 0.5)),
    "_skewnorm_cdf": lambda x, loc, scale, a: emit("ndtr", (z := (x - loc) / scale)) - 2.0 * emit("owens_t", z, a),
    "_binom_cdf": _binomial(False), "_binom_sf": _binomial(True), "_nbinom_cdf": _negative_binomial(_I),
    "_nbinom_sf": _negative_binomial(_J),
}  # fmt: skip
# of complex numbers
_OF_COMPLEX = {name: _analytic(f"complex_{name}") for name in ("wofz", "erf", "erfi")}
_OF_COMPLEX["erfc"] = lambda z: 1.0 - _OF_COMPLEX["erf"](z)


def of_complex(ufunc: Any) -> Any:
    """What answers one of SciPy's ufuncs of complex numbers, or None."""
    special = sys.modules.get("scipy.special")
    name = ufunc.__name__
    return _OF_COMPLEX.get(name) if special is not None and getattr(special, name, None) is ufunc else None


HOOKS["special_of_complex"] = of_complex


# functions ------------------------------------------------------------------------------------------------------


def polygamma(n: Any, x: Any) -> Any:
    if (isinstance(n, Traced) and n.dtype.kind == "f") or np.ndim(plain(n)) or int(plain(n)) != plain(n):
        raise UnsupportedError("scipy.special.polygamma of traced values takes one whole number as its order",
                               where=here(), fix="call it once for each order")  # fmt: skip
    n = int(plain(n))
    # unlike its ufuncs this function of SciPy computes in float64 whatever it is given
    x = _wide(x)
    x = x if x.dtype == np.float64 else astype(x, np.float64)
    return emit(("digamma", "trigamma")[n], x) if n in (0, 1) else emit("polygamma", x, n=n)


def multigammaln(a: Any, d: Any) -> Any:
    d = int(plain(d))
    total = d * (d - 1) * 0.25 * float(np.log(np.pi))
    for j in range(d):
        total = total + emit("gammaln", a - 0.5 * j)
    return total


def of_exponents(x: Any, axis: Any, keepdims: bool) -> Any:
    return emit("logsumexp", x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log Σ b·exp a.  Without `return_sign` it is NaN where the sum is negative, as in SciPy.

    Beside a largest exponent of 0, what adds less than one rounding to 1 is not seen: SciPy's log1p of the rest would
    take another pass over all exponents, a third of the time of programs that are made of such sums.
    """
    a = array_of(a)
    if b is None:
        total = of_exponents(a, axis, keepdims)
        return (total, np.ones(total.shape, total.dtype)[()]) if return_sign else total
    a, b = (a if isinstance(a, Traced) else _wide(a)), array_of(b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (x if x.shape == shape else np.broadcast_to(x, shape) for x in (a, b))
    present = b != 0
    top = np.max(emit("stop_gradient", np.where(present, a, -np.inf)), axis=axis, keepdims=True)
    top = np.where(abs(top) == np.inf, 0.0, top)
    above = a - top
    if isinstance(b, Traced) and b.dtype.kind == "f" and not is_plain(b.node):
        # a weight of 0 has a derivative, which is the exponential; that must not be so large that 0 times it is none
        above = np.where(present, above, np.minimum(above, np.log(np.finfo(above.dtype).max)))
    else:  # it stays one, so its exponent is not looked at
        above = np.where(present, above, -np.inf)
    total = np.sum(b * np.exp(above), axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # as SciPy, which says nothing of log 0
        made = np.log(abs(total) if return_sign else total) + top
    sign = np.sign(total)
    if not keepdims:
        axes = tuple(range(len(shape))) if axis is None else axis
        made, sign = np.squeeze(made, axes), np.squeeze(sign, axes)
    return (made, sign) if return_sign else made


def log_softmax(x: Any, axis: Any = None) -> Any:
    """x − logsumexp x, of the exponents below the largest one: they may be large where they are close to each other."""
    x = array_of(x)
    if not isinstance(x, Traced) or not x.size:
        return x - of_exponents(x, axis, True)
    top = np.max(emit("stop_gradient", x), axis=axis, keepdims=True)
    x = x - np.where(np.abs(top) < np.inf, top, 0.0)
    return x - of_exponents(x, axis, True)


def softmax(x: Any, axis: Any = None) -> Any:
    return np.exp(log_softmax(x, axis))


def _spherical(name: str, below: float, above: float) -> Any:
    def function(n: Any, z: Any, derivative: bool = False) -> Any:
        n, z = _double(n), array_of(z)
        z = astype(z, getattr(sys.modules["scipy.special"], name)(0, np.empty(0, z.dtype)).dtype)
        n = astype(n, z.dtype)
        if not derivative:
            return emit(name, n, z)
        lower = emit(name, np.maximum(n - 1.0, 0.0), z)
        return (below * n * lower + above * (n + 1.0) * emit(name, n + 1.0, z)) / (2.0 * n + 1.0)

    return function


def zeta(x: Any, q: Any = None, out: Any = None) -> Any:
    if out is not None:
        raise UnsupportedError("scipy.special.zeta of traced values with out=", where=here(), fix="leave it away")
    if isinstance(q, Traced):
        return emit("zeta", x, q)
    raise DifferentiationError("zeta has no derivative by its exponent in payback", where=here(),
                               why="it is no elementary or special function that SciPy has",
                               fix="give it as a plain number, or use pb.custom_gradient(plain=True)")  # fmt: skip


def lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Any:
    """Complex, as SciPy's, of real numbers too."""
    return _analytic("complex_lambertw", k=int(plain(k)))(z if is_complex(z) else _double(z))


def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    if exact or extend != "zero":
        raise UnsupportedError("scipy.special.factorial of traced values with exact=True or extend=", where=here(),
                               fix="use scipy.special.gamma(n + 1)")  # fmt: skip
    n = _double(n)
    return np.where(n < 0, 0.0, emit("gamma", np.where(n < 0, 0.0, n) + 1.0))


def _counted(name: str, made: Any) -> Any:
    def function(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
        if exact:
            raise UnsupportedError(f"scipy.special.{name} of traced values with exact=True", where=here(),
                                   why="what is exact is of whole numbers", fix="leave it away")  # fmt: skip
        if repetition:
            N = N + k - 1.0
        there = (k <= N) & (N >= 0) & (k >= 0)
        return np.where(there, made(np.where(there, N, 1.0), np.where(there, k, 0.0)), 0.0)

    return function


def diric(x: Any, n: Any) -> Any:
    """sin(nx/2)/(n·sin(x/2)), which is ±1 at whole turns and has no slope there."""
    n = int(plain(n))
    half = _double(x) / 2.0
    turns = np.floor(half / np.pi + 0.5)
    off = half - np.pi * turns
    sign = (-1.0) ** (np.remainder(turns, 2.0) * (n - 1))
    near = np.sin(off) == 0
    safe = np.where(near, 1.0, off)
    return sign * np.where(near, 1.0, np.sin(n * safe) / (n * np.sin(safe)))


FUNCTIONS = {
    "polygamma": polygamma, "multigammaln": multigammaln, "logsumexp": logsumexp, "softmax": softmax,
    "log_softmax": log_softmax, "softplus": lambda x: emit("softplus", x), "zeta": zeta, "lambertw": lambertw,
    "spherical_jn": _spherical("spherical_jn", 1.0, -1.0), "spherical_yn": _spherical("spherical_yn", 1.0, -1.0),
    "spherical_in": _spherical("spherical_in", 1.0, 1.0), "spherical_kn": _spherical("spherical_kn", -1.0, -1.0),
    "factorial": factorial, "comb": _counted("comb", lambda n, k: emit("binom", n, k)),
    "perm": _counted("perm", lambda n, k: emit("poch", n - k + 1.0, k)), "diric": diric,
}  # fmt: skip
