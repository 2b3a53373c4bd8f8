"""Products and recurrences along an axis, and convolution: rows with rules of their own.

`recurrence` is y_i = a_i·y_{i−1} + b_i.  Its adjoint is the same recurrence from the other end, and so is that of a
cumulative product, so this small family is closed under differentiation in every mode and to any order.  Nothing is
divided by an entry: with one zero or several in it a product has its true derivatives.
(Blelloch, Prefix sums and their applications, 1990; for exclusive products see also Griewank & Walther 2008, § 3.3.)
"""

from __future__ import annotations

from math import prod as product
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops import sequences
from payback.ops.reduce import kept, reduced, spread
from payback.ops.row import Row


def _along(axis: int, part: slice) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, part)


def shifted(m: Any, x: Any, axis: int, backwards: bool, fill: float) -> Any:
    """Each entry replaced by the one before it (backwards: after it), the first by `fill`."""
    shape = m.shape(x)
    if not shape[axis]:
        return x
    edge = np.full((*shape[:axis], 1, *shape[axis + 1 :]), fill, m.dtype(x))
    rest = m.index(x, template=_along(axis, slice(1, None) if backwards else slice(None, -1)))
    return m.concatenate(*((rest, edge) if backwards else (edge, rest)), axis=axis)


def _recurrence_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Any, axis: int, backwards: bool) -> list[Any]:
    a, _ = args
    owed = m.recurrence(shifted(m, a, axis, not backwards, 0.0), bar, axis=axis, backwards=not backwards)
    return [owed * shifted(m, y, axis, backwards, 0.0) if 0 in wanted else None, owed]


def _recurrence_jvp(m: Any, dots: dict[int, Any], args: Any, y: Any, axis: int, backwards: bool) -> Any:
    term = dots.get(1)
    if 0 in dots:
        moved = dots[0] * shifted(m, y, axis, backwards, 0.0)
        term = moved if term is None else moved + term
    return m.recurrence(args[0], term, axis=axis, backwards=backwards)


Row("recurrence", "own", lambda m, a, b, axis, backwards: m.recurrence(a, b, axis=axis, backwards=backwards),
    shape=lambda a, b, axis, backwards: b, vjp=_recurrence_vjp, jvp=_recurrence_jvp, numeric="float",
    math="the same recurrence from the other end")  # fmt: skip


def _cumprod_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Any, axis: int, backwards: bool) -> list[Any]:
    owed = m.recurrence(shifted(m, args[0], axis, not backwards, 0.0), bar, axis=axis, backwards=not backwards)
    return [owed * shifted(m, y, axis, backwards, 1.0)]


def _cumprod_jvp(m: Any, dots: dict[int, Any], args: Any, y: Any, axis: int, backwards: bool) -> Any:
    return m.recurrence(args[0], dots[0] * shifted(m, y, axis, backwards, 1.0), axis=axis, backwards=backwards)


Row("cumprod", "own", lambda m, x, axis, backwards: m.cumprod(x, axis=axis, backwards=backwards),
    shape=lambda x, axis, backwards: Aval(x.shape, np.multiply.reduce(np.empty(0, x.dtype)).dtype),
    vjp=_cumprod_vjp, jvp=_cumprod_jvp, math="the product of the other entries up to there")  # fmt: skip


def _others(m: Any, x: Any, axes: tuple[int, ...]) -> Any:
    """At each entry the product of all the others of its group: what stands before it times what stands after it."""
    shape = m.shape(x)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    if type(x) is np.ndarray and x.size:
        turned = x.transpose((*axes, *rest))
        made = sequences.others(turned.reshape(product(shape[axis] for axis in axes), -1)).reshape(turned.shape)
        return made.transpose(np.argsort((*axes, *rest)))
    order = (*rest, *axes)
    lead = tuple(shape[axis] for axis in rest)
    line, last = m.reshape(m.transpose(x, axes=order), shape=(*lead, product(shape[a] for a in axes))), len(rest)
    before = shifted(m, m.cumprod(line, axis=last, backwards=False), last, False, 1.0)
    after = shifted(m, m.cumprod(line, axis=last, backwards=True), last, True, 1.0)
    back = tuple(sorted(range(len(order)), key=order.__getitem__))
    return m.transpose(m.reshape(before * after, shape=tuple(shape[axis] for axis in order)), axes=back)


def _prod_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Any, axes: tuple[int, ...], keepdims: bool) -> list[Any]:
    others = _others(m, args[0], axes)
    if type(others) is np.ndarray:  # NumPy spreads it
        return [np.multiply(kept(m, bar, others.shape, axes, keepdims), others, out=others)]
    return [spread(m, bar, m.shape(args[0]), axes, keepdims) * others]


def _prod_jvp(m: Any, dots: dict[int, Any], args: Any, y: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return m.sum(dots[0] * _others(m, args[0], axes), axes=axes, keepdims=keepdims)


Row("prod", "own", lambda m, x, axes, keepdims: m.prod(x, axes=axes, keepdims=keepdims),
    shape=lambda x, axes, keepdims: Aval(reduced(x.shape, axes, keepdims),
                                         np.multiply.reduce(np.empty(0, x.dtype)).dtype),
    vjp=_prod_vjp, jvp=_prod_jvp, math="the product of the other entries")  # fmt: skip


def _flipped(m: Any, x: Any) -> Any:
    return m.index(x, template=(slice(None, None, -1),))


def _convolve_shape(a: Aval, v: Aval, mode: str) -> Aval:
    n, k = a.shape[0], v.shape[0]
    return Aval((n + k - 1 if mode == "full" else n - k + 1,), a.dtype)


def _convolve_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Any, mode: str) -> list[Any]:
    a, v = args
    paid: list[Any] = [None, None]
    if 0 in wanted:
        paid[0] = m.convolve(bar, _flipped(m, v), mode="valid" if mode == "full" else "full")
    if 1 in wanted:
        if mode == "full":
            paid[1] = m.convolve(bar, _flipped(m, a), mode="valid")
        else:
            paid[1] = _flipped(m, m.convolve(a, _flipped(m, bar), mode="valid"))
    return paid


def _convolve_jvp(m: Any, dots: dict[int, Any], args: Any, y: Any, mode: str) -> Any:
    a, v = args
    parts = [m.convolve(dots[0], v, mode=mode)] if 0 in dots else []
    if 1 in dots:
        parts.append(m.convolve(a, dots[1], mode=mode))
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


# "valid": the first argument is the longer one
Row("convolve", "own", lambda m, a, v, mode: m.convolve(a, v, mode=mode), shape=_convolve_shape,
    vjp=_convolve_vjp, jvp=_convolve_jvp, numeric="float", math="the other argument, mirrored")  # fmt: skip


# `recursion` is y_i = x_i − a_1·y_{i−1} − a_2·y_{i−2} − … along the first axis of x (n, columns): a filter with
# feedback.  `filtered(a, x)` computes it; its adjoint is the same recursion from the other end.


def _late(m: Any, y: Any, k: int) -> Any:
    """y, k samples later."""
    n, columns = m.shape(y)
    return m.concatenate(np.zeros((min(k, n), columns), m.dtype(y)),
                         m.index(y, template=(slice(0, max(n - k, 0)),)), axis=0)  # fmt: skip


def _recursion_vjp(m: Any, bar: Any, args: Any, y: Any, wanted: Any, filtered: Any) -> list[Any]:
    a = args[0]
    owed = _flipped(m, m.recursion(a, _flipped(m, bar), filtered=filtered))
    paid: list[Any] = [None, owed]
    if 0 in wanted:
        each = [m.contract(owed, _late(m, y, k), spec=("nc", "nc", "")) for k in range(1, m.shape(a)[0])]
        none = np.zeros(1, m.dtype(a))
        paid[0] = m.concatenate(none, *[-m.reshape(one, shape=(1,)) for one in each], axis=0)
    return paid


def _recursion_jvp(m: Any, dots: dict[int, Any], args: Any, y: Any, filtered: Any) -> Any:
    term = dots.get(1)
    if 0 in dots:
        for k in range(1, m.shape(args[0])[0]):
            part = m.index(dots[0], template=(k,)) * _late(m, y, k)
            term = -part if term is None else term - part
    return None if term is None else m.recursion(args[0], term, filtered=filtered)


Row("recursion", "own", lambda m, a, x, filtered: m.recursion(a, x, filtered=filtered),
    shape=lambda a, x, filtered: Aval(x.shape, x.dtype), vjp=_recursion_vjp, jvp=_recursion_jvp, numeric="float",
    math="the same recursion from the other end")  # fmt: skip
