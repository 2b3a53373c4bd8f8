"""Rows that are written with others before they are lowered: logsumexp, norm, powers, sinc, whole scatters."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.ops.recording import Recording, Term
from payback.ops.reduce import reduced
from payback.ops.row import CONST

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
    """Small whole exponents as products, as NumPy does with squares."""
    if (
        node.aval.dtype.kind != "f"
        or exponent.op is not CONST
        or exponent.shape != ()
        or x.aval.dtype != node.aval.dtype
    ):
        return None
    m = Recording()
    m.origin = node.where
    base = Term(x, m)
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
    return None


def _scatter(node: Node, *payments: Node) -> Node | None:
    """Payments to all entries, by indices that only make new axes, in no buffer of zeros."""
    templates, aval = node.params["templates"], node.aval
    every = all(part is None or part is Ellipsis or part == slice(None) for template in templates for part in template)
    if (
        not every
        or any(node.params["counts"])
        or any(payment.aval.dtype != aval.dtype or payment.aval.size != aval.size for payment in payments)
        or aval.dtype.kind != "f"
    ):
        return None
    m = Recording()
    m.origin = node.where
    total: Any = 0.0  # as where payments are added to zeros: it makes 0 of −0
    for payment in payments:
        total = total + m.reshape(Term(payment, m), shape=aval.shape)
    return total.node  # type: ignore[no-any-return]


def _sinc(node: Node, x: Node) -> Node | None:
    if x.aval.dtype.kind != "f" or node.params["order"]:  # its derivatives are on NumPy
        return None
    m = Recording()
    m.origin = node.where
    y = Term(x, m) * np.pi
    safe = m.where(m.eq(y, 0.0), 1e-20 if x.aval.dtype.itemsize > 2 else 1e-7, y)
    return m.div(m.sin(safe), safe).node


def _logaddexp2(node: Node, x: Node, y: Node) -> Node | None:
    m = Recording()
    m.origin = node.where
    return (m.logaddexp(Term(x, m) * _LOG_2, Term(y, m) * _LOG_2) * (1.0 / _LOG_2)).node


_LOG_2 = float(np.log(2.0))
EXPANSIONS: dict[str, Parts] = {
    "sinc": _sinc,
    "logaddexp2": _logaddexp2,
    "logsumexp": _logsumexp,
    "norm": _norm,
    "power": _power,
    "scatter": _scatter,
}
