"""Reductions, statistics, scans and orders: the value is NumPy's, derivatives are right in every mode."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import payback as pb
from ops import calls
from ops.calls import apart, table

G = np.random.default_rng(11)
V, M, T = apart(G, 7), apart(G, 3, 4), apart(G, 2, 3, 4)
P = np.abs(M) + 0.5
Z1, Z2 = np.array([1.5, 0.0, -2.0, 3.0]), np.array([1.5, 0.0, -2.0, 0.0])
HOLES = np.array([[False, True, False, False], [False, False, False, True], [True, False, True, False]])
MASK = np.array([[True, False, True, True], [False, True, True, False], [True, True, True, True]])


def holes(f):
    """The function of an array with NaN in some places."""
    return lambda x: f(np.where(HOLES, np.nan, x))


W = np.array([0.5, 2.0, 1.0, 0.25])
METHODS = ["inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen",
           "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"]  # fmt: skip

QUANTILES = 0 if np.lib.NumpyVersion(np.__version__) >= "2.4.0" else 2  # it computed their places in lower precision


def in_parts(x):
    """The order within the parts is NumPy's own matter, and another on other processors."""
    made = np.partition(x, 2)
    return np.concatenate([np.sort(made[:2]), made[2:3], np.sort(made[3:])])


# fmt: off
# ruff: noqa: E501 (a table of calls)
CASES = [
    *table(
        (np.max, M), (lambda x: np.max(x, axis=1, keepdims=True), M), (lambda x: np.min(x, axis=(0, -1)), T),
        (lambda x: x.max(-1), T), (np.ptp, M), (lambda x: np.ptp(x, axis=0, keepdims=True), M),
        (lambda x: np.max(x, initial=0.25), M), (lambda x: np.min(x, axis=1, initial=0.125, where=MASK), M),
        (lambda x: np.max(x, axis=0, initial=-9.0, where=MASK), M), (lambda x: np.max(x[:, :0], axis=1, initial=3.0) + x[:, 0], M),
        (lambda x: np.maximum.reduce(x, axis=1), M), (lambda x: np.minimum.reduce(x, axis=(0, 1)), M),
        (lambda x: np.maximum.accumulate(x), V), (lambda x: np.minimum.accumulate(x, axis=1), M),
        (lambda x: np.median(x), V), (lambda x: np.median(x, axis=1), M), (lambda x: np.median(x, axis=(0, 2), keepdims=True), T),
        (lambda x: np.sort(x), V), (lambda x: np.sort(x, axis=0), T), (lambda x: np.sort(x, axis=None, kind="stable"), M),
        (lambda x: np.sort(x, axis=1, kind="heapsort"), T), (in_parts, V), (lambda x: np.partition(x, (1, 2), axis=0), M),
        (lambda x: x[np.argsort(x)], V), (lambda x: np.take_along_axis(x, np.argpartition(x, 1, axis=1), 1), M),
        (lambda x: x[np.argmax(x, axis=0), [0, 1, 2, 3]], M), (lambda x: np.take_along_axis(x, np.argmin(x, axis=1, keepdims=True), 1), M),
        (lambda x: np.take(x, np.searchsorted([-1.0, 0.0, 1.0], x)), V), (lambda x: x * np.digitize(x, [-1.0, 0.0, 1.0]), V),
        (lambda x: x * np.count_nonzero(x > 0, axis=0), M), (lambda x: np.where(np.any(x > 1, axis=1, keepdims=True), x, 0), M),
        (lambda x: np.where(np.all(x > -1, axis=0), x, -x), M), (lambda x: np.where((x > 0).any(), x, 0), M),
        (lambda x: np.prod(x), V), (lambda x: np.prod(x, axis=1), M), (lambda x: np.prod(x, axis=(0, 2), keepdims=True), T),
        (lambda x: x.prod(-1, initial=2.0), M), (lambda x: np.prod(x, axis=0, where=MASK), M), (lambda x: np.multiply.reduce(x), M),
        (np.cumprod, V), (lambda x: np.cumprod(x, axis=1), M), (lambda x: x.cumprod(-2), T), (np.cumprod, M), (np.cumprod, Z1), (np.cumprod, Z2),
        (np.prod, Z1), (lambda x: np.prod(x) + x[0], Z2), (lambda x: np.multiply.accumulate(x, axis=1), M), (lambda x: np.add.accumulate(x), V),
        (lambda x: np.cumulative_sum(x, axis=1, include_initial=True), M), (lambda x: np.cumulative_prod(x), V),
        (lambda x: np.cumsum(x, axis=-1), T), (holes(np.nancumsum), M), (holes(lambda x: np.nancumprod(x, axis=1)), M),
        (holes(lambda x: np.nanmax(x, axis=1)), M), (holes(np.nanmin), M), (holes(lambda x: np.nanmax(x, axis=0, keepdims=True, initial=-9.0)), M),
        (holes(lambda x: x[np.nanargmax(x, axis=0), [0, 1, 2, 3]]), M), (holes(lambda x: np.fmax.reduce(x, axis=0)), M), (lambda x: np.fmin.reduce(x), V),
        (holes(lambda x: np.nanprod(x, axis=1)), M), (holes(lambda x: np.nanmedian(x)), M), (holes(lambda x: np.nanmedian(x, axis=1)), M),
        (holes(lambda x: np.nanmedian(x, axis=(0, 1), keepdims=True)), M), (holes(lambda x: np.nan_to_num(x, nan=3.0)), M),
        (lambda x: np.hypot.reduce(x), V), (lambda x: np.subtract.reduce(x, axis=1), M),
        (lambda x: np.logaddexp.reduce(x), V), (lambda x: np.divide.accumulate(x), P[0]), (lambda x: np.add.reduceat(x, [0, 3, 1, 5]), V),
        (lambda x: np.add.reduceat(x, [0, 2], axis=1), M), (lambda x: np.multiply.reduceat(x, [0, 2, 1], axis=0), M),
        (lambda x: np.maximum.reduceat(x, [0, 4]), V), (lambda x: np.add.reduce(x, axis=None, initial=2.0), V),
        (lambda x: np.average(x, axis=1), M),
    ),
    *table(
        *[(lambda x, m=m: np.quantile(x, [0.0, 0.3, 0.51, 1.0], method=m), V) for m in METHODS],
        *[(holes(lambda x, m=m: np.nanquantile(x, 0.4, axis=1, method=m)), M) for m in METHODS],
        (lambda x: np.quantile(x, 0.37, axis=1, keepdims=True), M), (lambda x: np.percentile(x, [20, 60.5], axis=(0, 2)), T),
        (lambda x: np.percentile(x, 50, axis=-1), T), (holes(lambda x: np.nanpercentile(x, [10, 90], axis=0, keepdims=True)), M),
        (lambda x: np.quantile(x, np.array([[0.25], [0.5]]), axis=0), M), (holes(lambda x: np.nanpercentile(x, 35)), M),
        ulps=QUANTILES,
    ),
    *table(
        (lambda x: np.sum(x, where=MASK, axis=0), M), (lambda x: np.sum(x, axis=1, initial=1.5, keepdims=True), M),
        (lambda x: np.mean(x, axis=0, where=MASK), M), (lambda x: np.mean(x, where=x > 0), M), (np.var, M), (np.std, M),
        (lambda x: np.var(x, axis=1, ddof=1, keepdims=True), M), (lambda x: np.std(x, axis=(0, 2), correction=1), T),
        (lambda x: np.var(x, axis=0, where=MASK), M), (lambda x: np.std(x, where=MASK, keepdims=True, ddof=1), M),
        (lambda x: np.var(x, axis=1, mean=np.mean(x, axis=1, keepdims=True)), M), (lambda x: x.var(0), T), (lambda x: x.std(-1), T),
        (holes(np.nansum), M), (holes(lambda x: np.nansum(x, axis=1)), M), (holes(np.nanmean), M), (holes(lambda x: np.nanmean(x, axis=0, keepdims=True)), M),
        (holes(np.nanvar), M), (holes(lambda x: np.nanvar(x, axis=1, ddof=1)), M), (holes(np.nanstd), M), (holes(lambda x: np.nanstd(x, axis=0)), M),
        (lambda x: np.average(x, axis=1, weights=W), M), (lambda x: np.average(x, axis=1, weights=W, returned=True), M),
        (lambda x, w: np.average(x, weights=w), M, P), (lambda x, w: np.average(x, axis=(0, 2), weights=w), T, np.abs(T[:, 0]) + 1),
        (lambda x: np.average(x, axis=0, returned=True), M), (lambda x, w: np.average(x, 1, w, keepdims=True), M, W),
        ulps=8,
    ),
    *table(
        (np.cov, M), (lambda x: np.cov(x, rowvar=False), M), (np.cov, V), (lambda x, y: np.cov(x, y), V, V**2),
        (lambda x: np.cov(x, bias=True), M), (lambda x: np.cov(x, ddof=0, aweights=W), M), (lambda x: np.cov(x, fweights=[1, 2, 3, 1]), M),
        (lambda x, w: np.cov(x, aweights=w, fweights=[1, 2, 3, 1]), M, W), (np.corrcoef, M), (lambda x: np.corrcoef(x, rowvar=False), M),
        (lambda x, y: np.corrcoef(x, y), V, V**2),
        ulps=16,
    ),
    *table(
        (lambda x: np.unique(x), V), (lambda x: np.unique(x[[0, 1, 0, 2]], return_index=True, return_inverse=True), V), (lambda x: np.unique(x, axis=0), M),
        (lambda x: np.unique_all(x), V), (lambda x: np.unique_counts(x), V), (lambda x: np.unique_inverse(x), V), (lambda x: np.unique_values(x).sum(), V),
        (lambda x: np.union1d(x[:4], x[2:]), V), (lambda x: np.intersect1d(x[:4], x[2:], return_indices=True), V), (lambda x: np.setdiff1d(x, x[2:]), V),
        (lambda x: np.setxor1d(x[:4], x[2:]), V),
        abstract=False,
    ),
    # by the quantile's place, too
    *table((lambda x, q: np.quantile(x, q), V, 0.37), (lambda x, q: np.percentile(x, q, method="hazen"), V, [37.0, 61.0]), ulps=QUANTILES),
]
# fmt: on
test_value, test_derivatives, test_without_numbers = calls.tests(CASES)
test_value = pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")(test_value)


@pytest.mark.parametrize("name", ["std", "var", "nanstd", "nanvar"])
@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("compiled", [False, True])
def test_a_spread_of_too_few_is_nan_and_so_is_its_derivative(name, ddof, compiled):
    """NumPy divides 0 by 0: what cannot be saved is NaN, in both modes."""
    x = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 2.0]])
    mask = np.array([[True, True, True], [bool(ddof), False, False]])

    def f(x):
        return getattr(np, name)(x, axis=1, ddof=ddof, where=mask)

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        wrap = pb.compile if compiled else lambda f: f
        gradient = wrap(pb.jacobian(f, mode="reverse"))(x)
        along = wrap(lambda x: pb.jvp(f, (x,), (np.ones_like(x),)))(x)
        expected = pb.jacobian(lambda x: getattr(np, name)(x, axis=1, ddof=ddof))(x)[0]
        np.testing.assert_allclose(along[0], f(x), equal_nan=True)
        alone = pb.grad(lambda x: getattr(np, name)(x, ddof=1))(np.ones(1))
    np.testing.assert_allclose(gradient[0], expected, rtol=1e-12)
    assert np.isnan(gradient[1, 1]).any()
    assert np.isnan(along[1][1])
    assert not np.isnan(along[1][0])
    assert np.isnan(alone).all()


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int8", "uint8", "bool"])
def test_a_descending_order_keeps_equal_entries_in_their_order(dtype):
    """The truth is Python's own sort."""
    x = np.array([1, 0, 1, 3, 0, 5, 1, 0]).astype(dtype)
    x[4] = {"f": np.nan, "i": np.iinfo(np.int8).min}.get(x.dtype.kind, 0)
    order = sorted(range(8), key=lambda i: (x[i] == x[i], x[i]), reverse=True)

    def f(x):
        inside = x.copy()
        inside.sort(descending=True)
        return np.argsort(x, stable=True, descending=True), np.sort(x, descending=True), inside

    if np.lib.NumpyVersion(np.__version__) < "2.5.0":  # where NumPy has no such order, neither have traced values
        for function in (np.sort, np.argsort):
            with pytest.raises(TypeError, match="descending"):
                pb.compile(lambda x, function=function: function(x, descending=True))(x)
        return
    places, values, inside = pb.compile(f)(x)
    assert list(places) == order
    for made in (values, inside):
        assert made.dtype == x.dtype
        np.testing.assert_array_equal(made, x[order])
    if x.dtype.kind == "f":
        g = pb.grad(lambda x: np.sum(np.sort(x[None], stable=True, descending=True) * np.arange(8.0)))(x)
        assert list(g[order]) == list(range(8))


@pytest.mark.parametrize("keys", [
    lambda x: (x[0], np.array([1.0, 0.0, 1.0, 0.0, 1.0])), lambda x: (np.array([1, 0, 1, 0, 1]), x[0]),
    lambda x: np.stack([x[0], np.round(x[1])]), lambda x: [x[1] > 0, x[0] > 0, x[0]], lambda x: [x[0]],
])  # fmt: skip
def test_an_order_by_several_keys(keys):
    """The places are NumPy's, with and without numbers, and so in every case of a batch."""
    x = np.random.default_rng(3).normal(size=(3, 2, 5)).round(1)

    def f(x):
        return x[1, np.lexsort(keys(x))] * np.arange(5.0)

    for one in x:
        np.testing.assert_array_equal(pb.compile(f)(one), f(one))
        np.testing.assert_array_equal(pb.vjp(f, one)[0], f(one))
        pb.check_grads(f, one)
    np.testing.assert_array_equal(pb.vmap(f)(x), [f(one) for one in x])


def test_an_order_by_several_keys_along_an_axis():
    x = np.random.default_rng(4).normal(size=(4, 3)).round()
    for axis in (0, 1, -1):

        def f(x, axis=axis):
            return np.take_along_axis(x, np.lexsort((x, x > 0), axis), axis)

        np.testing.assert_array_equal(pb.compile(f)(x), f(x))
