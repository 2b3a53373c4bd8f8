"""Rows that are written with others before they are lowered: sums of exponentials, norms, powers, scatters, SciPy's."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import inf, prod
from typing import Any

import numpy as np

from payback.ir.node import NO_PARAMS, Node
from payback.native.lower.pointwise import POWERS
from payback.ops.append import const
from payback.ops.factorizations import rounding
from payback.ops.namespace import Values
from payback.ops.recording import Recording, Term
from payback.ops.reduce import reduced
from payback.ops.row import CONST, Row

Parts = Callable[..., Node | None]


def _logsumexp(node: Node, x: Node) -> Node | None:
    axes, keepdims = node.params["axes"], node.params["keepdims"]
    if prod(x.aval.shape[a] for a in axes) == 0 or x.aval.weak:
        return None
    m = Recording()
    m.origin = node.where
    given = Term(x, m)
    wide = m.cast(given, dtype=np.dtype(np.float32), weak=False) if x.aval.dtype == np.float16 else given
    top = m.max(wide, axes=axes, keepdims=True)
    safe = m.where(m.lt(m.abs(top), float("inf")), top, 0.0)
    total = m.log(m.sum(m.exp(wide - safe), axes=axes, keepdims=True)) + safe
    if not keepdims:
        total = m.reshape(total, shape=reduced(x.aval.shape, axes, False))
    return m.cast(total, dtype=x.aval.dtype, weak=False).node


def _norm(node: Node, x: Node) -> Node | None:
    axes, keepdims = node.params["axes"], node.params["keepdims"]
    if x.aval.weak:
        return None
    m = Recording()
    m.origin = node.where
    given = Term(x, m)
    if x.aval.dtype == np.float16 and len(axes) == len(x.aval.shape) and not keepdims:
        wide = m.cast(given, dtype=np.dtype(np.float32), weak=False)  # a dot product, added in float32
        square = m.cast(m.sum(wide * wide, axes=axes, keepdims=keepdims), dtype=x.aval.dtype, weak=False)
    else:
        square = m.sum(given * given, axes=axes, keepdims=keepdims)
    return m.sqrt(square).node


def _power(node: Node, x: Node, exponent: Node) -> Node | None:
    """Small exponents as products and roots, within 2 ulp; one half as the root, as NumPy does, known or not."""
    if exponent.shape != () or x.aval.dtype != node.aval.dtype:
        return None
    m = Recording()
    m.origin = node.where
    base = Term(x, m)
    if node.aval.dtype.kind in "iu":
        known = not x.aval.weak and exponent.op is CONST and 0 < int(exponent.value) < 64
        return _repeated(base, int(exponent.value)).node if known else None
    if node.aval.dtype.kind != "f":
        return None
    if exponent.op is not CONST:
        if not x.aval.shape:
            return None
        given = m.cast(Term(exponent, m), dtype=node.aval.dtype, weak=False)
        by_entry = m.broadcast(given, shape=x.aval.shape)  # so it is not met here again
        return m.where(m.eq(given, 0.5), m.sqrt(base), m.power(base, by_entry)).node
    match float(exponent.value):
        case 1.0:
            return x
        case 2.0:
            return (base * base).node
        case 3.0:
            return (base * base * base).node
        case -1.0:
            return m.div(1.0, base).node
        case 0.5 if x.aval.shape:  # of arrays NumPy takes the root, of numbers the power: (−0)**0.5 tells
            return m.sqrt(base).node
        case 4.0 if x.aval.shape:
            return ((base * base) * (base * base)).node
        case -2.0 if x.aval.shape:  # where the square is subnormal its inverse would lose digits
            inverse = m.div(1.0, base)
            return (inverse * inverse).node
        case known if known in _WHOLE and x.aval.shape and node.aval.dtype in (np.float32, np.float64):
            return Node(_WHOLE[known], (x,), NO_PARAMS, None, node.where, node.aval)
        case -1.5 | -0.5 | 0.5 | 1.5 | 2.5 as half if node.aval.dtype in (np.float32, np.float64):
            return _half(m, base, half).node
    return None


_WHOLE = {
    float(k): Row(f"power_{k}", "pointwise", lambda m, x, k=k: m.power(x, float(k)), listed=False) for k in POWERS
}


def _repeated(base: Term, exponent: int) -> Term:
    """A whole number's power by squares, which wraps where the power itself does."""
    if exponent == 1:
        return base
    half = _repeated(base, exponent // 2)
    return half * half * base if exponent % 2 else half * half


def _half(m: Recording, base: Term, exponent: float) -> Term:
    """By the root: within 2 units in the last place, and the same where the power is zero, infinite or no number."""
    base = base + 0.0  # of −0 they are those of 0
    root = m.sqrt(base)
    made = {
        -1.5: lambda: m.div(m.div(1.0, base), root),
        -0.5: lambda: m.div(1.0, root),
        0.5: lambda: root,
        1.5: lambda: base * root,
        2.5: lambda: base * base * root,
    }[exponent]()
    return m.where(m.eq(base, float("-inf")), float("inf") if exponent > 0 else 0.0, made)


def _scatter(node: Node, *payments: Node) -> Node | None:
    """Payments to all entries, by indices that only make new axes, in no buffer of zeros."""
    templates, aval = node.params["templates"], node.aval
    stacked = _stacked(node, payments)
    if stacked is not None:
        return stacked
    every = all(part is None or part is Ellipsis or part == slice(None) for template in templates for part in template)
    if (
        not every
        or any(node.params["counts"])
        or any(payment.aval.dtype != aval.dtype or payment.aval.size != aval.size for payment in payments)
        or aval.dtype.kind not in "fb"
    ):
        return None
    m = Recording()
    m.origin = node.where
    parts = [m.reshape(Term(payment, m), shape=aval.shape) for payment in payments]
    if aval.dtype.kind == "b":
        return reduce(m.logical_or, parts).node
    total: Any = 0.0  # as where payments are added to zeros: it makes 0 of −0
    for part in parts:
        total = total + part
    return total.node


def _stacked(node: Node, payments: tuple[Node, ...]) -> Node | None:
    """Payments to the layers of an array, to each of them by its number, as a stack of the layers' sums."""
    templates, aval = node.params["templates"], node.aval
    if any(node.params["counts"]) or aval.dtype.kind != "f" or aval.size < _LARGE:
        return None
    places = [_layer(template, aval.shape) for template in templates]
    axes = {place[0] for place in places if place is not None}
    if None in places or len(axes) != 1:
        return None
    axis = axes.pop()
    layers: list[list[Node]] = [[] for _ in range(aval.shape[axis])]
    if len(layers) > _LAYERS or aval.size < _LARGE * len(layers):
        return None
    shape = aval.shape[:axis] + aval.shape[axis + 1 :]
    for place, payment in zip(places, payments, strict=True):
        if payment.aval.dtype != aval.dtype or payment.aval.shape != shape:
            return None
        layers[place[1]].append(payment)
    if not all(layers):
        return None
    m = Recording()
    m.origin = node.where
    totals = []
    for layer in layers:
        total: Any = 0.0  # as in `_scatter`
        for payment in layer:
            total = total + Term(payment, m)
        totals.append(total)
    return m.stack(*totals, axis=axis).node


def _layer(template: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[int, int] | None:
    """The axis and the number of the layer that an index reads: one whole number among full slices; else None."""
    parts = list(template)
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    numbers = [axis for axis, part in enumerate(parts) if isinstance(part, int) and not isinstance(part, bool)]
    if len(numbers) != 1 or any(part != slice(None) for axis, part in enumerate(parts) if axis != numbers[0]):
        return None
    return numbers[0], parts[numbers[0]] % shape[numbers[0]]


def _comparison(node: Node, x: Node, y: Node) -> Node | None:
    """With a Python number that the other's dtype cannot hold: the same everywhere."""
    for number, other in ((x, y), (y, x)):
        if number.op is CONST and type(number.value) is int and other.aval.dtype.kind in "iu" and not other.aval.weak:
            limits = np.iinfo(other.aval.dtype)
            if limits.min <= number.value <= limits.max:
                continue
            m = Recording()
            m.origin = node.where
            truth = node.op.value(Values, *(int(limits.min) if arg is other else number.value for arg in (x, y)))
            return m.broadcast(Term(const(np.bool_(truth)), m), shape=node.aval.shape).node
    return None


_LARGE = 1 << 12  # entries of what is worth to be rewritten
_LAYERS = 16


def _sinc(node: Node, x: Node) -> Node | None:
    if x.aval.dtype.kind != "f" or node.params["order"]:  # its derivatives are on NumPy
        return None
    m = Recording()
    m.origin = node.where
    y = Term(x, m) * np.pi
    safe = m.where(m.eq(y, 0.0), 1e-20 if x.aval.dtype.itemsize > 2 else 1e-7, y)
    return m.div(m.sin(safe), safe).node


def _logaddexp2(node: Node, x: Node, y: Node) -> Node | None:
    """The larger number and log₂(1 + 2⁻ᵈ), with the difference d in two words (Knuth's TwoSum)."""
    m = Recording()
    m.origin = node.where
    first, second = Term(x, m), Term(y, m)
    high, low = m.maximum(first, second), m.minimum(first, second)
    d = high - low
    again = high - d
    rest = (high - (d + again)) + (again - low)
    z = m.exp2(-d)
    z = m.where(m.lt(m.abs(rest), inf), z - z * (rest * _LOG_2), z)
    made = high + m.log1p(z) * (1.0 / _LOG_2)
    return m.where(m.eq(first, second), first + 1.0, made).node  # as NumPy: of −1 twice it is 0


def _of_floats(formula: Callable[..., Any]) -> Parts:
    """A pointwise row by `formula(m, ...)`, of operands that have its dtype."""

    def parts(node: Node, *args: Node) -> Node | None:
        dtype = node.aval.dtype
        if dtype not in (np.float32, np.float64) or any(arg.aval.dtype != dtype for arg in args):
            return None
        m = Recording()
        m.origin = node.where
        given = (m.cast(Term(arg, m), dtype=dtype, weak=False) if arg.aval.weak else Term(arg, m) for arg in args)
        made: Node = formula(m, *given).node
        return made if made.aval == node.aval else None

    return parts


# As scipy.special has them.  The logarithms are those of the derivatives too, once they are nodes.


def _entr(m: Any, x: Any) -> Any:
    return m.where(m.lt(x, 0.0), -inf, m.where(m.eq(x, 0.0), 0.0, -(x * m.log(x))))


def _xlogy(m: Any, x: Any, y: Any) -> Any:
    return m.where(m.logical_and(m.eq(x, 0.0), m.eq(y, y)), 0.0, x * m.log(y))


def _xlog1py(m: Any, x: Any, y: Any) -> Any:
    return m.where(m.logical_and(m.eq(x, 0.0), m.eq(y, y)), 0.0, x * m.log1p(y))


def _kl_div(m: Any, x: Any, y: Any) -> Any:
    """x·log(x/y) − x + y, in float64, for it cancels."""
    dtype = m.dtype(x)
    x, y = (m.cast(z, dtype=np.dtype(np.float64), weak=False) for z in (x, y))
    ratio = m.rel_entr(x, y)
    edge = m.where(m.logical_and(m.eq(x, 0.0), m.ge(y, 0.0)), y, ratio)
    return m.cast(m.where(m.logical_and(m.gt(x, 0.0), m.gt(y, 0.0)), ratio - x + y, edge), dtype=dtype, weak=False)


def _huber(m: Any, d: Any, x: Any) -> Any:
    size = m.abs(x)
    return m.where(m.lt(d, 0.0), inf, m.where(m.le(size, d), 0.5 * (x * x), d * (size - 0.5 * d)))


def _pseudo_huber(m: Any, d: Any, x: Any) -> Any:
    """d·(h − d) with h² = d² + x², as d·x²/(h + d)."""
    size = m.abs(x)
    made = m.where(m.lt(size, inf), d * (x * m.div(x, m.hypot(d, x) + d)), d * size + (d - d))
    made = m.where(m.logical_or(m.eq(d, 0.0), m.eq(x, 0.0)), 0.0, made)
    return m.where(m.lt(d, 0.0), inf, made)


def _negligible(node: Node, s: Node) -> Node | None:
    m = Recording()
    m.origin = node.where
    rank = len(s.aval.shape)
    if not s.aval.size:
        return None
    wide = m.cast(Term(s, m), dtype=np.dtype(np.float64), weak=False)
    tolerance = rounding(s.aval.dtype, node.params["extent"])
    return m.le(wide, m.max(m.abs(wide), axes=(rank - 1,), keepdims=True) * tolerance).node


_LOG_2 = float(np.log(2.0))


def _by_value(node: Node, *args: Node) -> Node | None:
    """As the row's own value says."""
    m = Recording()
    m.origin = node.where
    made = node.op.value(m, *[Term(arg, m) for arg in args])
    return made.node if isinstance(made, Term) else None


EXPANSIONS: dict[str, Parts] = {
    "silu": _by_value,
    "gelu": _by_value,
    "entr": _of_floats(_entr),
    "xlogy": _of_floats(_xlogy),
    "xlog1py": _of_floats(_xlog1py),
    "kl_div": _of_floats(_kl_div),
    "huber": _of_floats(_huber),
    "pseudo_huber": _of_floats(_pseudo_huber),
    "sinc": _sinc,
    "logaddexp2": _logaddexp2,
    "logsumexp": _logsumexp,
    "norm": _norm,
    "power": _power,
    "scatter": _scatter,
    "negligible": _negligible,
} | dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), _comparison)
