"""Every row forwards: the dot-product identity ⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩ ties forward mode to the sweep, which the other
tests tie to mpmath and finite differences; both namespaces give equal bits."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops import checks
from ops.samples import FLOATS, LINEAR, POINTWISE, REDUCTIONS

DTYPES = [pytest.param(dtype, id=np.dtype(dtype).name) for dtype in FLOATS]
LIVE = [name for name in sorted(POINTWISE) if checks.live_slots(name)]


def dot(a, b):
    return sum(float(np.sum(np.asarray(x, np.float64) * np.asarray(y, np.float64))) for x, y in zip(a, b, strict=True))


def check(f, floating, eps, exact=False):
    """f: of the floating arguments alone."""
    tangents = tuple(np.asarray(checks.integers(np.shape(x), x.dtype, 11 + k))[()] for k, x in enumerate(floating))
    out, dot_out = pb.jvp(f, floating, tangents)
    assert np.shape(dot_out) == np.shape(out)
    assert dot_out.dtype == out.dtype
    bar = np.asarray(checks.integers(np.shape(out), out.dtype, 7) * 4)[()]
    pulled = pb.vjp(f, *floating)[1](bar)
    left, right = dot([dot_out], [bar]), dot(tangents, pulled)
    size = dot([np.abs(dot_out)], [np.abs(bar)]) + dot(map(np.abs, tangents), map(np.abs, pulled))
    assert abs(left - right) <= (0.0 if exact else 64 * float(eps) * size)
    # inside another derivative the same tangent comes from a graph
    nested = pb.vjp(lambda *xs: pb.jvp(f, xs, tangents)[1], *floating)[0]
    checks.assert_same(nested, dot_out)
    return dot_out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LIVE)
def test_pointwise(name, dtype):
    for layout in ("vector", "0-d", "empty"):
        args = checks.arguments(name, dtype, layout)
        live = checks.live_slots(name)

        def f(*floating, args=args, live=live):
            given = dict(zip(live, floating, strict=True))
            return POINTWISE[name].call(*[given.get(slot, arg) for slot, arg in enumerate(args)])

        check(f, tuple(np.asarray(args[slot])[()] for slot in live), np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINEAR)
def test_linear(name, dtype):
    """Whole numbers: exact.  Of one argument the tangent is the row itself on the tangent."""
    case = LINEAR[name]
    args = tuple(np.asarray(checks.integers(shape, dtype, k))[()] for k, shape in enumerate(case.shapes))
    found = check(lambda *xs: case.call(*xs, *case.more), args, np.finfo(dtype).eps, exact="mean" not in name)
    if len(args) == 1:
        tangent = np.asarray(checks.integers(np.shape(args[0]), dtype, 11))[()]
        checks.assert_same(found, case.call(tangent, *case.more))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("axis", "keepdims"), [(None, False), (0, False), (1, True), ((0, 2), False)])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name, dtype, axis, keepdims):
    x = np.random.default_rng(3).permutation(24).reshape(2, 3, 4).astype(dtype) / dtype(8)
    check(lambda x: REDUCTIONS[name].call(x, axis=axis, keepdims=keepdims), (x,), np.finfo(dtype).eps)
