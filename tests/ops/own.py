"""Rows with rules of their own: uses of them, and the checks that every such use must pass.

A family of rows lists its uses in a file of its own (`own_*.py`, a dict CASES), which `test_own.py` gathers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import payback as pb
from ops.checks import assert_same, check_abstract
from payback.ad.algebra import Gradient
from payback.ad.sweep import sweep
from payback.ir.node import Node, ancestors
from payback.trace.array import Traced
from payback.trace.tree import leaves


@dataclass(frozen=True)
class Own:
    """One use of a row with a rule of its own.

    rows     the rows that it uses
    call     takes traced values and arrays alike, and returns one of them or a tuple
    args     floating arrays in float64; they are given in float32 and, if `half`, in float16 too
    numpy    the same on plain arrays, where `call` itself cannot take them
    ulps     how far the value may be from NumPy's
    abstract whether it runs without numbers
    """

    rows: tuple[str, ...]
    call: Callable[..., Any]
    args: tuple[Any, ...]
    numpy: Callable[..., Any] | None = None
    ulps: float = 0
    half: bool = False
    abstract: bool = True


def inputs(args: Any) -> list[Traced]:
    return [pb.variable(a) for a in args]


def _weights(result: Any, seed: int = 5) -> list[Any]:
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.uniform(0.5, 1.5, np.shape(x)), x.dtype)[()] for x in leaves(result)]


def check_value(case: Own, dtype: Any) -> None:
    """NumPy's value, dtype and shape."""
    args = [np.asarray(a, dtype)[()] for a in case.args]
    found = [x.value if isinstance(x, Traced) else x for x in leaves(case.call(*inputs(args)))]
    expected = leaves((case.numpy or case.call)(*args))
    for got, want in zip(found, expected, strict=True):
        assert np.shape(got) == np.shape(want)
        assert np.asarray(got).dtype == np.asarray(want).dtype
        if case.ulps:
            tolerance = case.ulps * float(np.finfo(dtype).eps)
            np.testing.assert_allclose(
                got, want, rtol=tolerance, atol=tolerance * float(np.max(np.abs(want), initial=0))
            )
        else:
            assert_same(got, want)


def floating(result: Any) -> list[Any]:
    return [x for x in leaves(result) if isinstance(x, Traced) and x.dtype.kind == "f"]


def check_vjp(case: Own, dtype: Any) -> None:
    """Against finite differences, twice; then both namespaces, bit for bit."""
    args = [np.asarray(a, dtype)[()] for a in case.args]

    def f(*xs: Any) -> Any:
        made = case.call(*xs)
        return tuple(x for x in leaves(made) if np.asarray(getattr(x, "value", x)).dtype.kind == "f")

    pb.check_grads(f, *args, order=2 if dtype is np.float64 else 1)
    sources = inputs(args)
    tops = floating(case.call(*sources))
    bars = _weights(tops)
    wrt = [x.node for x in sources]
    plain = sweep(Gradient(False), {t.node: b for t, b in zip(tops, bars, strict=True)}, wrt)
    gradient = Gradient(True)
    on_graph = sweep(gradient, {t.node: gradient.constant(b) for t, b in zip(tops, bars, strict=True)}, wrt)
    for node in wrt:
        if node not in plain:
            assert node not in on_graph
            continue
        got = Gradient(False).result(plain[node])
        assert np.asarray(got).dtype == dtype
        assert np.shape(got) == node.shape
        assert_same(np.asarray(gradient.result(on_graph[node]).value) + 0.0, np.asarray(got) + 0.0)


def check_jvp(case: Own, dtype: Any) -> None:
    """⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩, and both namespaces alike."""
    args = tuple(np.asarray(a, dtype)[()] for a in case.args)
    tangents = tuple(np.asarray(w)[()] for w in _weights(list(args), 9))

    def f(*xs: Any) -> Any:
        return tuple(x for x in leaves(case.call(*xs)) if isinstance(x, Traced) and x.dtype.kind == "f")

    out, dots = pb.jvp(f, args, tangents)
    bars = tuple(_weights(out))
    pulled = pb.vjp(f, *args)[1](bars)
    left = sum(float(np.sum(np.float64(d) * b)) for d, b in zip(dots, bars, strict=True))
    right = sum(float(np.sum(np.float64(p) * t)) for p, t in zip(pulled, tangents, strict=True))
    size = sum(float(np.sum(np.abs(np.float64(d) * b))) for d, b in zip(dots, bars, strict=True))
    size += sum(float(np.sum(np.abs(np.float64(p) * t))) for p, t in zip(pulled, tangents, strict=True))
    assert abs(left - right) <= 1e3 * float(np.finfo(dtype).eps) * size
    nested = pb.vjp(lambda *xs: pb.jvp(f, xs, tangents)[1], *args)[0]
    for a, b in zip(leaves(nested), leaves(dots), strict=True):
        assert_same(np.asarray(a) + 0.0, np.asarray(b) + 0.0)
    if dtype is np.float64:
        for first in (lambda *xs: pb.vjp(f, *xs)[1](bars), lambda *xs: pb.jvp(f, xs, tangents)[1]):
            _check_both_modes(first, args, tangents)


def _check_both_modes(f: Any, args: tuple[Any, ...], tangents: tuple[Any, ...]) -> None:
    """A first derivative differentiated forwards and backwards: the rules of both modes are differentiated in both."""
    out, dots = pb.jvp(f, args, tangents)
    bars = tuple(_weights(out, 3))
    pulled = pb.vjp(f, *args)[1](bars if isinstance(out, tuple) else bars[0])
    terms = [np.float64(d) * b for d, b in zip(leaves(dots), bars, strict=True)]
    terms += [-np.float64(p) * t for p, t in zip(leaves(pulled), tangents, strict=True)]
    size = sum(float(np.sum(np.abs(term))) for term in terms)
    assert abs(sum(float(np.sum(term)) for term in terms)) <= 1e-9 * size


def check_without_numbers(case: Own, dtype: Any) -> None:
    args = [np.asarray(a, dtype) for a in case.args]
    count = len(leaves(case.call(*inputs(args))))
    for k in range(count):
        check_abstract(lambda *xs, k=k: leaves(case.call(*xs))[k], args)


def check_compiled(case: Own, dtype: Any) -> None:
    """Value, derivative and (in float64) second derivative in machine code, beside the interpreter."""
    args = tuple(np.asarray(a, dtype)[()] for a in case.args)

    def f(*xs: Any) -> Any:
        return tuple(x for x in leaves(case.call(*xs)) if isinstance(x, Traced) and x.dtype.kind == "f")

    plain, _ = pb.vjp(f, *args)
    bars, tangents = tuple(_weights(plain, 3)), tuple(_weights(list(args), 9))

    def first(*xs: Any) -> Any:
        return pb.vjp(f, *xs)[1](bars)

    orders = [(f, plain), (first, first(*args))]
    if dtype is np.float64:
        orders.append((lambda *xs: pb.jvp(first, xs, tangents)[1], pb.jvp(first, args, tangents)[1]))
    for of_order, wanted in orders:
        for got, want in zip(leaves(pb.compile(of_order)(*args)), leaves(wanted), strict=True):
            size = float(np.max(np.abs(want), initial=0, where=np.isfinite(want)))
            assert np.asarray(got).dtype == np.asarray(want).dtype
            np.testing.assert_allclose(got, want, rtol=0, atol=1e4 * float(np.finfo(dtype).eps) * size)


def rows_used(case: Own) -> set[str]:
    """The rows in the graph of a use: those that it says it uses must be among them."""
    tops: list[Node] = [x.node for x in leaves(case.call(*inputs(case.args))) if isinstance(x, Traced)]
    return {node.op.name for node in ancestors(tops)}
