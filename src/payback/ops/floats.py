"""How floating numbers are put together: signs, parts, exponents, neighbours, and the extremes that ignore NaN."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.elementary import LN2, share_of
from payback.ops.pointwise import NAN, pointwise
from payback.ops.row import Row


def _ignoring_nan(m: Any, x: Any, other: Any, wins: Any) -> Any:
    """1 for the one that is taken; the other one of a NaN is, and of two NaN neither."""
    return m.select(m.ne(other, other), m.select(m.ne(x, x), NAN, 1.0),
                    m.select(wins, 1.0, m.select(x == other, 0.5, None)))  # fmt: skip


# fmt: off
#         name       value                              partials, one per argument
pointwise("copysign", lambda m, a, b: m.copysign(a, b), [lambda m, a, b, y: m.sign(a) * m.copysign(1.0, b), None],
          "float", math="sign a·sign b, 0", kink="a = 0, taken as 0")
pointwise("fmod", lambda m, a, b: m.fmod(a, b), [lambda m, a, b, y: 1.0, lambda m, a, b, y: -m.rint(m.div(a - y, b))],
          math="1, −trunc(a/b)", kink="a a multiple of b", domain="b ≠ 0")
pointwise("fraction", lambda m, x: m.fraction(x), [lambda m, x, y: 1.0], math="1", kink="x a whole number, taken as 1")
pointwise("heaviside", lambda m, a, b: m.heaviside(a, b),
          [None, lambda m, a, b, y: m.select(a == 0, 1.0, m.select(m.ne(a, a), NAN, None))],
          "float", math="0: constant in pieces, 1 where a = 0")
pointwise("fmax", lambda m, a, b: m.fmax(a, b),
          [lambda m, a, b, y: _ignoring_nan(m, a, b, a > b), lambda m, a, b, y: _ignoring_nan(m, b, a, b > a)],
          math="1 for the larger", kink="a = b, each ½")
pointwise("fmin", lambda m, a, b: m.fmin(a, b),
          [lambda m, a, b, y: _ignoring_nan(m, a, b, a < b), lambda m, a, b, y: _ignoring_nan(m, b, a, b < a)],
          math="1 for the smaller", kink="a = b, each ½")
pointwise("logaddexp2", lambda m, a, b: m.logaddexp2(a, b),
          [lambda m, a, b, y: share_of(m, a, b, LN2), lambda m, a, b, y: share_of(m, b, a, LN2)],
          "float", math="sigmoid((a − b)·ln 2), sigmoid((b − a)·ln 2)")
pointwise("nextafter", lambda m, a, b: m.nextafter(a, b), [lambda m, a, b, y: 1.0, None], "float",
          math="1, 0", kink="a = b")
pointwise("spacing", lambda m, x: m.spacing(x), [None], "float", math="0: constant in pieces")
# fmt: on


def _ldexp_shape(x: Aval, n: Aval) -> Aval:
    dtype = np.ldexp(*(a.dtype.type(0).item() if a.weak else np.empty(0, a.dtype) for a in (x, n))).dtype
    return Aval(np.broadcast_shapes(x.shape, n.shape), dtype)


Row("ldexp", "linear", lambda m, x, n: m.ldexp(x, n), shape=_ldexp_shape,
    adjoint=lambda m, bar, slot, x, n: m.ldexp(bar, n), carry=lambda m, mask, slot, x, n: mask,
    math="2**n")  # fmt: skip
Row("exponent", "constant", lambda m, x: m.exponent(x), shape=lambda x: Aval(x.shape, np.dtype(np.int32)),
    math="0: constant in pieces")  # fmt: skip
