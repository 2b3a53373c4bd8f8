"""NumPy's protocols on traced values: every spelling of an operation, and an error for each that has no row."""

from __future__ import annotations

import decimal
import fractions
import math
import operator

import numpy as np
import pytest

import payback as pb
from ops.checks import assert_same
from ops.samples import traced
from payback.errors import DifferentiationError, ShapeError, TraceError, UnsupportedError
from payback.trace.array import Traced

X = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -3.0]])
V = np.array([0.5, 1.5, 2.0])


def check(call, *args, rtol=0.0):
    """The same bits as NumPy on plain arrays, and (for floating results) right derivatives."""
    with np.errstate(all="ignore"):
        expected = call(*args)
        found = call(*[traced(a) for a in args])
    assert isinstance(found, Traced)
    if rtol:
        assert np.allclose(found.node.value, expected, rtol=rtol, atol=4e-15)
        assert found.dtype == np.asarray(expected).dtype
    else:
        assert_same(found.node.value, expected)
    if found.dtype.kind == "f":
        pb.check_grads(lambda *xs: call(*xs), *args, order=2)


CALLS = [
    lambda x: np.square(x),
    lambda x: np.positive(x),
    lambda x: np.reciprocal(x),
    lambda x: np.fabs(x),
    lambda x: np.negative(x),
    lambda x: np.float_power(np.fabs(x), 1.5),
    lambda x: np.absolute(x),
    lambda x: np.subtract.outer(x, V),
    lambda x: np.multiply.outer(x, 2.0),
    lambda x: np.add.reduce(x),
    lambda x: np.add.reduce(x, axis=1, keepdims=True),
    lambda x: np.maximum.reduce(x, 1),
    lambda x: np.minimum.reduce(x, axis=None),
    lambda x: np.sum(x, dtype=np.float64),
    lambda x: np.sum(x, -1),
    lambda x: x.sum(axis=(0, 1)),
    lambda x: x.mean(),
    lambda x: x.max(1),
    lambda x: x.min(axis=0),
    lambda x: np.amax(x),
    lambda x: np.amin(x, axis=1, keepdims=True),
    lambda x: x.T,
    lambda x: x.transpose(1, 0),
    lambda x: x.transpose((1, 0)),
    lambda x: x.transpose(),
    lambda x: np.transpose(x, (1, 0)),
    lambda x: x.swapaxes(0, 1),
    lambda x: x.reshape(-1),
    lambda x: x.reshape((3, 2)),
    lambda x: x.reshape(3, -1),
    lambda x: np.reshape(x, (1, 2, 3)),
    lambda x: x.ravel(),
    lambda x: x.flatten(),
    lambda x: np.expand_dims(x, 1),
    lambda x: x[:, None].squeeze(),
    lambda x: x[:, None].squeeze(1),
    lambda x: np.squeeze(x[None]),
    lambda x: np.moveaxis(x, 0, -1),
    lambda x: np.concatenate([x, X]),
    lambda x: np.concatenate((x, x[:1]), 0),
    lambda x: np.concatenate([X, x], axis=1),
    lambda x: np.concatenate([x, x], axis=None),
    lambda x: np.stack([x, X], axis=-1),
    lambda x: np.stack([x[0, 0], 1.0, 2]),
    lambda x: np.hstack([x, x]),
    lambda x: np.vstack([x, V]),
    lambda x: np.hstack([x[0], 1.0]),
    lambda x: np.copy(x),
    lambda x: x.copy(),
    lambda x: x.astype(np.float64),
    lambda x: np.where(X > 0, x, 0),
    lambda x: np.where(x > 0, x, -x),
    lambda x: np.where(np.array([1, 0, 2]), x, X),
    lambda x: np.clip(x, -1.125, 1.125),
    lambda x: np.clip(x, None, 1.25),
    lambda x: x.clip(-1.25),
    lambda x: np.clip(x, max=1.25),
    lambda x: np.clip(x, a_min=X - 0.125, a_max=None),
    lambda x: np.dot(x, V),
    lambda x: x.dot(V),
    lambda x: V @ x.T,
    lambda x: x @ V,
    lambda x: np.matmul(x, X.T),
    lambda x: np.outer(x[0], V),
    lambda x: np.inner(x, V),
    lambda x: np.vdot(x[0], V),
    lambda x: np.tensordot(x, X, 2),
    lambda x: np.tensordot(x, V, axes=(1, 0)),
    lambda x: np.dot(x, 2.0),
    lambda x: np.dot(x, x.T),
    lambda x: np.broadcast_to(x, (2, 2, 3)),
    lambda x: x + V,
    lambda x: V + x,
    lambda x: x - V.tolist(),
    lambda x: V.tolist() - x,
    lambda x: (1.0, 2.0, 3.0) * x,
    lambda x: np.float64(2) * x,
    lambda x: x * np.float64(2),
    lambda x: np.float32(2) / x,
    lambda x: np.array(2.0) * x,
    lambda x: 2 / x,
    lambda x: x / 2,
    lambda x: 2 - x,
    lambda x: x**2,
    lambda x: x**3.0,
    lambda x: 2**x,
    lambda x: 2.0**x,
    lambda x: np.float64(2) ** x,
    lambda x: abs(x),
    lambda x: -x,
    lambda x: +x,
    lambda x: x + [x[0, 0], 1.0, x[0, 1]],  # noqa: RUF005 (x is no list)
    lambda x: x * True,
    lambda x: x + np.int8(3),
    lambda x: x * np.arange(3),
    lambda x: x[np.argmax(x, 0), np.arange(3)],
    lambda x: x[np.argsort(x[:, 0])],
    lambda x: x[x > 0],
    lambda x: x[x[:, 0] > 0.75],
    lambda x: x[True],
    lambda x: x[..., np.newaxis],
    lambda x: x[[1, 0], [2, 0]],
    lambda x: x[np.array(1)],
    lambda x: x[-1, -1],
    lambda x: x[np.int64(0)],
    lambda x: x[:, [[0, 1], [2, 2]]],
    lambda x: x[1:, np.array([True, False, True])],
    lambda x: np.zeros_like(x) + x,
    lambda x: np.ones_like(x) * x,
    lambda x: x.item() if x.size == 1 else x,
    lambda x: sum(x),
    lambda x: x * len(x) + x.ndim + x.size + np.shape(x)[0] + np.ndim(x) + np.size(x) + np.size(x, 1),
    lambda x: np.where(np.isnan(x), 0.0, x),
    lambda x: np.where(np.isfinite(x) & (x > 0), x, 0.0),
    lambda x: np.where(~(x > 0) | (x > 1), x, 0.0),
    lambda x: np.where(np.logical_and(x, x > 0), x, 0.0),
    lambda x: max(x[0], key=lambda e: e),
    lambda x: x * (x > 0),
    lambda x: x if x.sum() > -100 else 0 * x,
    lambda x: sum(row @ row for row in x),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_calls(call):
    # other calls may be other routines of BLAS, which add in another order: a few ulp
    check(call, X, rtol=1e-15)


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_calls_in_float32(call):
    x = X.astype(np.float32)
    with np.errstate(all="ignore"):
        found, expected = call(traced(x)), call(x)
    assert np.asarray(found.node.value).dtype == np.asarray(expected).dtype
    assert found.shape == np.shape(expected)


@pytest.mark.parametrize(
    "operate",
    [
        operator.add,
        operator.sub,
        operator.mul,
        operator.truediv,
        operator.pow,
        operator.gt,
        operator.le,
        operator.eq,
        operator.ne,
        operator.matmul,
    ],
)
@pytest.mark.parametrize(
    "other",
    [[1.0, 2.0, 3.0], (1.0, 2.0, 3.0), np.array([1.0, 2.0, 3.0]), np.float32([1, 2, 3]), np.array([1, 2, 3])],
    ids=lambda o: type(o).__name__,
)
def test_operators_in_both_orders(operate, other):
    for found, expected in (
        (operate(traced(V), other), operate(V, np.asarray(other))),
        (operate(other, traced(V)), operate(np.asarray(other), V)),
    ):
        assert isinstance(found, Traced)
        assert_same(found.node.value, expected)


def test_a_fraction_asks_for_the_bare_number():
    half = fractions.Fraction(1, 2)
    with pytest.raises(TraceError, match="lose the derivative"):
        operator.mul(traced(2.0), half)
    with pytest.raises(TypeError):
        operator.mul(traced(V), half)
    assert operator.mul(half, traced(2.0)).value == 1.0  # as a float beside a float


@pytest.mark.parametrize(
    "other",
    [decimal.Decimal("0.5"), "text", None, object(), {"a": 1}],
    ids=lambda o: type(o).__name__,
)
def test_operands_that_are_no_numbers(other):
    for x in (traced(V), traced(2.0)):
        for operate in (operator.add, operator.mul):
            with pytest.raises(TypeError):
                operate(x, other)
            with pytest.raises(TypeError):
                operate(other, x)
        with pytest.raises(TypeError):
            np.multiply(x, other)


def test_integers_and_booleans_follow_numpy():
    """What has no derivative anyway is computed as NumPy does, bitwise operators too."""
    x = traced(np.array([5.0, 6.0]))
    k = x.astype(np.int64)
    assert_same(k & 3, np.array([5, 6]) & 3)
    assert_same(1 | k, 1 | np.array([5, 6]))
    assert_same(~k, ~np.array([5, 6]))
    assert_same(np.bitwise_and(k, 3), np.array([5, 6]) & 3)
    assert_same(np.reciprocal(k), np.array([0, 0]))
    assert_same(np.fabs(k), np.array([5.0, 6.0]))
    assert_same(np.clip(k, 0, 5), np.array([5, 5]))
    assert_same(((x > 5) & True).node.value, np.array([False, True]))
    assert_same((~(x > 5)).node.value, np.array([True, False]))
    assert_same(np.bincount(k), np.bincount([5, 6]))
    assert np.left_shift(k, 1).tolist() == [10, 12]
    with pytest.raises(TypeError):
        x & 3
    with pytest.raises(TypeError):
        ~x
    assert k.tolist() == [5, 6]
    assert np.asarray(x > 5).tolist() == [False, True]
    assert [10, 20, 30, 40, 50, 60][k[0]] == 60


def test_a_python_number_becomes_a_numpy_scalar_in_a_function():
    for call in (
        np.sin,
        np.square,
        np.positive,
        np.negative,
        np.sum,
        np.mean,
        np.max,
        lambda v: np.clip(v, 0, 1),
        lambda v: np.where(True, v, 0.0),
    ):
        found = call(traced(2.0)) * np.float32([1])
        assert found.dtype == (call(2.0) * np.float32([1])).dtype
    assert (traced(2.0) * np.float32([1])).dtype == np.float32


@pytest.mark.parametrize(("call", "text"), [
    (lambda x: np.sort_complex(x), "np.sort_complex has no derivative in payback"),
    (lambda x: np.add(x, 1.0, where=np.array([True, False, True])), "with where= and without out="),
    (lambda x: np.add(x, 1.0, dtype=np.int64), "does not take dtype=int64"),
    (lambda x: np.pad(x, 1, "empty"), "np.pad of traced values with mode=empty"),
    (lambda x: np.quantile(x, 0.5, weights=x), "does not take weights="),
    (lambda x: x[1, True], "a single boolean"),
])  # fmt: skip
def test_what_has_no_row_says_so(call, text):
    with pytest.raises(UnsupportedError) as raised:
        call(traced(V))
    assert text in str(raised.value)


def test_an_error_names_the_users_line_and_something_near():
    with pytest.raises(UnsupportedError) as raised:
        np.sort_complex(traced(V))
    assert "test_numpy.py" in str(raised.value)
    assert "np.sort_complex(traced(V))" in str(raised.value)
    assert "rite it with NumPy functions that have one, or give its derivative" in str(raised.value)
    with pytest.raises(UnsupportedError, match=r"Near it: np\.iscomplex"):
        np.sort_complex(traced(V))


@pytest.mark.parametrize("call", [
    float, np.asarray, np.array, lambda x: np.array([x, x]), math.sin,
    lambda x: np.array([1.0, x]), lambda x: math.exp(x), lambda x: np.float64(x), complex, lambda x: np.sum([x, x]),
])  # fmt: skip
def test_a_derivative_is_never_dropped_silently(call):
    with pytest.raises((TraceError, TypeError)) as raised:
        call(traced(np.float64(0.5)))
    if isinstance(raised.value, TraceError):
        assert "pb.stop_gradient(x)" in str(raised.value)
        assert "test_numpy.py" in str(raised.value)


def test_plain_python_questions():
    x = traced(np.array([1.0, 2.0]))
    s = traced(2.5)
    assert len(x) == 2
    assert [e.value for e in x] == [1.0, 2.0]
    assert bool(s > 2)
    assert int(s) == 2
    assert f"{s:.1f} {s}" == "2.5 2.5"
    assert repr(s) == "Traced(2.5)"
    assert str(x) == "[1. 2.]"
    assert repr(pb.variable(2.0, name="w")) == "variable(2.0, name='w')"
    assert x.ndim == 1
    assert x.size == 2
    assert x.dtype == float
    assert 2.0 in x
    assert round(s) == 2
    assert round(s, 1) == 2.5
    assert pb.grad(lambda v: v * round(v, 1))(2.26) == 2.3
    assert x.item is not None
    assert traced(np.array([3.0])).item().value == 3.0
    with pytest.raises(TypeError, match="len"):
        len(s)
    with pytest.raises(TypeError, match="iteration"):
        iter(s)
    with pytest.raises(TypeError, match="index"):
        [1, 2][s]
    with pytest.raises(TypeError, match="unhashable"):
        {s: 1}
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x > 1)
    with pytest.raises(AttributeError, match=r"\.tobytes of a traced array has no derivative"):
        _ = x.tobytes
    assert np.allclose(x, [1.0, 2.0])


@pytest.mark.parametrize(("call", "text"), [
    (lambda x: x + np.ones(4), r"shapes \(3,\) and \(4,\) do not broadcast together in add"),
    (lambda x: np.where(np.ones(4, bool), x, 0), "do not broadcast together in select"),
    (lambda x: x @ np.ones((4, 2)), r"np.matmul of shapes \(3,\) and \(4, 2\)"),
    (lambda x: x @ 2.0, "matmul of a scalar"),
    (lambda x: np.dot(x, np.ones(2)), "np.matmul of shapes"),
    (lambda x: np.tensordot(x, np.ones((2, 2)), 1), "np.tensordot of shapes"),
    (lambda x: x.reshape(2, 2), r"\(3,\) cannot be reshaped to \(2, 2\)"),
    (lambda x: x.reshape(-1, 2), "cannot be reshaped"),
    (lambda x: np.concatenate([x, np.ones((2, 2))]), "np.concatenate of shapes"),
    (lambda x: np.stack([x, np.ones(2)]), "np.stack of shapes"),
    (lambda x: np.broadcast_to(x, (2, 2)), "cannot be broadcast"),
    (lambda x: np.max(x[:0]), "np.max of an empty array"),
])  # fmt: skip
def test_shapes_that_do_not_match(call, text):
    with pytest.raises(ShapeError, match=text):
        call(traced(V))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x[5],
        lambda x: x[0, 0],
        lambda x: x[np.array([0, 7])],
        lambda x: x["a"],
        lambda x: x[1.5],
        lambda x: x[np.array([0.5])],
        lambda x: x[np.array([True, False])],
        lambda x: x[np.ones((3, 1), bool)],
        lambda x: x[:, None][np.ones((3, 2), bool)],
    ],
)
def test_indices_that_numpy_refuses(call):
    with pytest.raises(IndexError):
        call(V)
    with pytest.raises(IndexError):
        call(traced(V))


def test_axes_that_do_not_exist():
    for call in (lambda x: np.sum(x, axis=2), lambda x: x.max(axis=-3), lambda x: np.mean(x, axis=(0, 5))):
        with pytest.raises(np.exceptions.AxisError):
            call(traced(V))


def test_what_is_not_computed_with():
    for value, text in [
        (np.array(["a"]), "dtype <U1"),
        (np.array([object()]), "dtype object"),
        (np.ma.array([1.0], mask=[True]), "a masked array"),
        (np.ones((1, 1)).view(np.matrix), "a numpy.matrix"),
    ]:
        with pytest.raises(DifferentiationError, match=text):
            traced(V) * value
        with pytest.raises(DifferentiationError, match=text):
            pb.variable(value)


def test_other_calls_for_numpy_do_not_disturb():
    with pytest.raises(TypeError):
        traced(2.0) + np.array(["a", "b"])


@pytest.mark.parametrize("other", [2, 1.5, np.float32(1.5), np.array([1.5, -2.0]), np.float64(3.0), True])
@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.truediv, operator.pow])
def test_the_truth_of_a_python_number_is_computed_with(op, other):
    def f(s):
        return op(s > 0, other) + op(other, s > 0)

    for made in (pb.vjp(f, 0.7)[0], pb.compile(f)(0.7)):
        np.testing.assert_array_equal(made, f(0.7))
    assert pb.grad(lambda s: np.sum(op(s > 0, other) * s * s))(0.7) == pytest.approx(1.4 * np.sum(op(True, other)))


def test_an_outer_product_takes_a_number_for_an_array():
    x = np.float32([1.5, 2.5])
    for f in (lambda s: np.multiply.outer(x, s), lambda s: np.add.outer(s, x)):
        for made in (pb.vjp(f, 0.5)[0], pb.compile(f)(0.5)):
            assert made.dtype == f(0.5).dtype == np.float64
            np.testing.assert_array_equal(made, f(0.5))
