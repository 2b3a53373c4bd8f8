"""NumPy's composed functions: NumPy's value, shape and dtype for the same call; derivatives by finite differences."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops.samples import traced
from payback.errors import ShapeError

G = np.random.default_rng(4)
V, M, T = G.normal(size=6), G.normal(size=(3, 4)), G.normal(size=(2, 3, 4))
# fmt: off
# ruff: noqa: E501 (a table of calls)
CALLS = {
    "var": (np.var, M), "var ddof": (lambda x: np.var(x, axis=1, ddof=1, keepdims=True), M), "x.var": (lambda x: x.var(0), T),
    "std": (np.std, M), "std axes": (lambda x: np.std(x, axis=(0, 2)), T), "x.std": (lambda x: x.std(axis=-1, ddof=1), M),
    "ptp": (lambda x: np.ptp(x, axis=0), M), "average": (np.average, M),
    "weighted average": (lambda x: np.average(x, axis=1, weights=[1.0, 2.0, 3.0, 4.0]), M),
    "average by entries": (lambda x: np.average(x, weights=np.arange(12.0).reshape(3, 4), axis=0), M),
    "norm": (np.linalg.norm, V), "norm of a matrix": (np.linalg.norm, M), "frobenius": (lambda x: np.linalg.norm(x, "fro"), M),
    "norm axis": (lambda x: np.linalg.norm(x, axis=1, keepdims=True), M), "norm axes": (lambda x: np.linalg.norm(x, axis=(0, 2)), T),
    "norm 1": (lambda x: np.linalg.norm(x, 1), V), "norm inf": (lambda x: np.linalg.norm(x, np.inf, axis=0), M),
    "norm -inf": (lambda x: np.linalg.norm(x, -np.inf), V), "matrix norm 1": (lambda x: np.linalg.norm(x, 1), M),
    "matrix norm inf": (lambda x: np.linalg.norm(x, np.inf, axis=(0, 2)), T), "matrix norm -1": (lambda x: np.linalg.norm(x, -1), M),
    "cumsum": (np.cumsum, M), "cumsum axis": (lambda x: x.cumsum(-1), T), "diff": (np.diff, V),
    "diff twice": (lambda x: np.diff(x, 2, axis=0), M), "trapezoid": (np.trapezoid, V),
    "trapezoid x": (lambda y: np.trapezoid(y, np.array([0.0, 1.0, 1.5, 4.0]), axis=1), M),
    "trapezoid by x": (lambda x: np.trapezoid(np.arange(6.0) ** 2, x), V),
    "flip": (np.flip, T), "flip axis": (lambda x: np.flip(x, 1), T), "fliplr": (np.fliplr, M), "flipud": (np.flipud, M),
    "roll": (lambda x: np.roll(x, 2), M), "roll axes": (lambda x: np.roll(x, (1, -2), (0, 1)), M), "roll far": (lambda x: np.roll(x, 9, 0), M),
    "take": (lambda x: np.take(x, [[0, 5], [5, 7]]), M), "take axis": (lambda x: x.take([2, 0, 2], axis=1), M),
    "take along": (lambda x: np.take_along_axis(x, np.argsort(M, 1), 1), M),
    "take along flat": (lambda x: np.take_along_axis(x, np.array([3, 3, 0]), None), M),
    "repeat": (lambda x: np.repeat(x, 3), M), "repeat each": (lambda x: x.repeat([1, 0, 2], axis=0), M),
    "tile": (lambda x: np.tile(x, 2), M), "tile up": (lambda x: np.tile(x, (2, 1, 3)), M), "tile short": (lambda x: np.tile(x, 2), T),
    "atleast_1d": (np.atleast_1d, np.float64(2.5)), "atleast_2d": (np.atleast_2d, V),
    "column_stack": (lambda x: np.column_stack([x, x * x]), V), "dstack": (lambda x: np.dstack([x, 2 * x]), M),
    "append": (lambda x: np.append(x, x[:1], axis=0), M), "append flat": (lambda x: np.append(x, 3.0), M),
    "tril": (np.tril, M), "triu": (lambda x: np.triu(x, 1), T), "tril low": (lambda x: np.tril(x, -1), M),
    "diagonal": (lambda x: np.diagonal(x, 1), M), "diagonal low": (lambda x: np.diagonal(x, -2), M),
    "diagonal axes": (lambda x: x.diagonal(0, 0, 2), T), "trace": (np.trace, M), "trace axes": (lambda x: np.trace(x, 1, 1, 2), T),
    "diag": (np.diag, V), "diag up": (lambda x: np.diag(x, 2), V), "diag low": (lambda x: np.diag(x, -1), V), "diag of": (np.diag, M),
}
# fmt: on
SPLITS = {
    "split": lambda x: np.split(x, 2, axis=1),
    "array_split": lambda x: np.array_split(x, 3, axis=1),
    "split at": lambda x: np.split(x, [1, 1, 3], axis=1),
    "vsplit": lambda x: np.vsplit(x, 3),
    "hsplit": lambda x: np.hsplit(x, [3]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_value(name, dtype):
    """Equal to NumPy's; the statistics to a few roundings, for they are not computed in quite its order."""
    f, x = CALLS[name]
    x = x.astype(dtype)
    expected, found = f(x), f(traced(x)).value
    assert found.dtype == expected.dtype
    assert np.shape(found) == np.shape(expected)
    rounding = 4 * np.finfo(dtype).eps if any(word in name for word in ("var", "std", "average", "trapezoid")) else 0
    np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name):
    f, x = CALLS[name]
    pb.check_grads(f, x)
    forward, reverse = (pb.jacobian(f, mode=mode)(x) for mode in ("forward", "reverse"))
    np.testing.assert_allclose(forward, reverse, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", SPLITS)
def test_splits(name):
    f = SPLITS[name]
    expected, found = f(M), f(traced(M))
    assert type(found) is list
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.value, b)
    pb.check_grads(f, M)


def test_no_slope_where_there_is_none():
    """The documented subgradients: the length of the zero vector, the spread of constant data."""
    np.testing.assert_array_equal(pb.grad(np.linalg.norm)(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(pb.grad(np.std)(np.full(4, 2.5)), np.zeros(4))
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(pb.grad(lambda x: np.linalg.norm(x, axis=1).sum())(rows), [[0, 0], [0.6, 0.8]])
    second = pb.hessian(lambda x: np.linalg.norm(x, axis=1).sum())(rows)
    assert np.isfinite(second).all()


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: np.average(x, weights=[1.0, 2.0]), ShapeError, "np.average of (3, 4) with weights of (2,)"),
        (lambda x: np.diag(x[None]), ShapeError, "np.diag of an array of shape (1, 3, 4)"),
        (lambda x: np.split(x, 3, axis=1), ValueError, "equal division"),
        (lambda x: np.cumsum(x, axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(traced(M))
    assert text in str(caught.value)
