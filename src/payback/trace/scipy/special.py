"""`scipy.special` on traced values: its ufuncs come through NumPy's protocol, its functions through the shim."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, UnsupportedError
from payback.trace.array import Traced, plain
from payback.trace.dispatch import COMPOSED, UFUNCS, emit, here
from payback.trace.numpy.arguments import array_of, axes_of
from payback.trace.numpy.map import astype
from payback.trace.operators import HOOKS
from payback.trace.scalars.number import ROW_NAMES

# SciPy's names of ufuncs, where they are not the rows' own
_ROWS = {
    name: name
    for name in (
        "erf", "erfc", "erfcx", "erfinv", "erfcinv", "ndtr", "log_ndtr", "ndtri", "gammaln", "gamma", "beta", "betaln",
        "expit", "logit", "log_expit", "xlogy", "xlog1py", "entr", "rel_entr", "kl_div", "exp1", "expi", "j0", "j1",
        "y0", "y1", "i0", "i1", "i0e", "i1e", "k0", "k1", "expm1", "log1p", "exp2", "cbrt",
    )
} | {"psi": "digamma"}  # fmt: skip


def learn(ufunc: Any, inputs: tuple[Any, ...]) -> bool:
    """Whether SciPy has this ufunc and payback a row for it, which is then known.

    Raises UnsupportedError for one without a row, if one of the inputs has a derivative to lose.
    """
    special = sys.modules.get("scipy.special")
    if special is None or getattr(special, ufunc.__name__, None) is not ufunc:
        return False
    name = ufunc.__name__
    if name in _ROWS:
        UFUNCS[ufunc] = ROW_NAMES[ufunc] = _ROWS[name]
    elif name in _OTHERS:
        COMPOSED[ufunc] = _OTHERS[name]
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


def _ordered(name: str) -> Any:
    def function(order: Any, x: Any) -> Any:
        if isinstance(order, Traced) and order.dtype.kind == "f":
            raise DifferentiationError(f"scipy.special.{name} has no derivative by its order in payback", where=here(),
                                       fix="give the order as a plain number")  # fmt: skip
        order = np.asarray(plain(order))
        if order.ndim:
            raise UnsupportedError(f"scipy.special.{name} of traced values takes one order", where=here(),
                                   fix="call it once for each order")  # fmt: skip
        return emit(name, _wide(x), n=float(order))

    return function


def _with_parameters(name: str) -> Any:
    def function(*args: Any) -> Any:
        wide = np.result_type(np.float32, *[getattr(x, "dtype", np.float64) for x in args])
        return emit(name, *[_wide(x) if isinstance(x, Traced) else np.asarray(x, wide) for x in args])

    return function


_OTHERS = {name: _ordered(name) for name in ("jv", "yv", "iv", "kv", "ive")}
_OTHERS |= {name: _with_parameters(name) for name in ("gammainc", "gammaincc", "betainc")}
_OTHERS["exp10"] = lambda x: emit("power", 10.0, x)


# functions ------------------------------------------------------------------------------------------------------


def polygamma(n: Any, x: Any) -> Any:
    if (isinstance(n, Traced) and n.dtype.kind == "f") or np.ndim(plain(n)) or int(plain(n)) != plain(n):
        raise UnsupportedError("scipy.special.polygamma of traced values takes one whole number as its order",
                               where=here(), fix="call it once for each order")  # fmt: skip
    n = int(plain(n))
    # unlike its ufuncs this function of SciPy computes in float64 whatever it is given
    x = _wide(x)
    x = x if x.dtype == np.float64 else astype(x, np.float64)
    return emit("digamma", x) if n == 0 else emit("polygamma", x, n=n)


def multigammaln(a: Any, d: Any) -> Any:
    d = int(plain(d))
    total = d * (d - 1) * 0.25 * float(np.log(np.pi))
    for j in range(d):
        total = total + emit("gammaln", a - 0.5 * j)
    return total


def of_exponents(x: Any, axis: Any, keepdims: bool) -> Any:
    return emit("logsumexp", x, axes=axes_of(axis, x.ndim), keepdims=keepdims)


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False) -> Any:
    """log Σ b·exp a.  Without `return_sign` it is NaN where the sum is negative, as in SciPy."""
    a = array_of(a)
    if b is None:
        total = of_exponents(a, axis, keepdims)
        return (total, np.ones(total.shape, total.dtype)[()]) if return_sign else total
    a, b = (a if isinstance(a, Traced) else _wide(a)), array_of(b)
    shape = np.broadcast_shapes(a.shape, b.shape)
    a, b = (x if x.shape == shape else np.broadcast_to(x, shape) for x in (a, b))
    present = b != 0
    if not (isinstance(b, Traced) and b.dtype.kind == "f"):  # a weight of 0 stays one, so its exponent is not looked at
        a = np.where(present, a, -np.inf)
    top = np.max(emit("stop_gradient", np.where(present, a, -np.inf)), axis=axis, keepdims=True)
    top = np.where(abs(top) == np.inf, 0.0, top)
    total = np.sum(b * np.exp(a - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):  # as SciPy, which says nothing of log 0
        made = np.log(abs(total) if return_sign else total) + top
    sign = np.sign(total)
    if not keepdims:
        axes = tuple(range(len(shape))) if axis is None else axis
        made, sign = np.squeeze(made, axes), np.squeeze(sign, axes)
    return (made, sign) if return_sign else made


def log_softmax(x: Any, axis: Any = None) -> Any:
    x = array_of(x)
    return x - of_exponents(x, axis, True)


def softmax(x: Any, axis: Any = None) -> Any:
    return np.exp(log_softmax(x, axis))


FUNCTIONS = {
    "polygamma": polygamma, "multigammaln": multigammaln, "logsumexp": logsumexp, "softmax": softmax,
    "log_softmax": log_softmax, "softplus": lambda x: emit("softplus", x),
}  # fmt: skip
