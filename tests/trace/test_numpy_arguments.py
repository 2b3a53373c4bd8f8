"""What NumPy documents for the arguments of its functions, asked of calls that are written as text.

Each call is run by NumPy on plain arrays and by payback: value, dtype and shape are NumPy's; the gradient is that of
finite differences, forwards as well, in second order, compiled and on batches.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import PaybackError

X = np.random.default_rng(0).uniform(0.3, 2.0, (3, 4))
AXES = ["axis=None", "axis=0", "axis=-1", "axis=(0, 1)", "axis=(1,)", "axis=(), keepdims=True", "axis=1, keepdims=True"]
MASKS = ["where=x > 0.8", "where=[[True], [False], [True]], axis=0", "where=[True, False, True, True]"]
REDUCTIONS = ["sum", "prod", "mean", "var", "std", "max", "min", "median", "nansum", "nanmean", "nanstd", "nanmax"]
OTHERS = """
np.average(x, axis=1, weights=x[0], returned=True)
np.average(x, returned=True)
np.var(x, ddof=1, axis=0)
np.std(x, axis=0, mean=x.mean(0, keepdims=True))
np.mean(x, dtype=np.float32)
x.reshape(-1, copy=True)
np.linspace(x[0], x[1], 3, axis=1, endpoint=False)
np.linspace(0, x[0], 4, retstep=True)
np.linspace(0, x[0], 1)
np.logspace(x[0], 1, 4, axis=-1)
np.geomspace(x[0], [3.0, 4, 5, 6], 4, axis=1)
np.choose([[0], [1], [0]], [x, 2 * x])
np.broadcast_arrays(x, x)
np.repeat(x, [1, 0, 2], axis=0)
np.add(x, 1, order="F")
np.array(x, order="F")
np.concatenate([x, x], dtype=np.float32)
np.ascontiguousarray(x[0, ::-1])
x[0].item(1) * x
np.quantile(x, [0.2, 0.7], axis=1, method="hazen")
np.pad(x, 1, mode="reflect", reflect_type="odd")
np.full(3, x[0, 0])
np.take(x, [5, -7], axis=1, mode="wrap")
np.cumulative_sum(x, axis=1, include_initial=True)
np.tile(x, (2, 1, 1))
np.linalg.pinv(x, rtol=0.3)
np.linalg.lstsq(x, np.ones(3))[0]
np.diff(x, prepend=x[:, :1], append=1.0)
np.maximum.reduce(x, axis=None)
np.subtract.reduce(x, axis=1)
np.add.reduceat(x, [0, 2, 1], axis=1)
np.quantile(x, np.array([0, 1]), axis=1)
np.nanquantile(x, np.array(1), axis=0)
np.quantile(x, 0.3, axis=[0, 1])
np.nanmedian(x, axis=[0, 1], keepdims=True)
np.flip(x, [0, 1])
np.average(x, axis=[0, 1], weights=x)
np.var(x, correction=1, axis=0)
np.angle(x, deg=True) + x
np.nan_to_num(x * [np.inf, 1, np.nan, -np.inf], nan=2.0, posinf=3.0, neginf=-4.0)
np.cross(x[:, :3], x[:, 1:], axisa=0, axisb=1)
np.polynomial.polynomial.polyval(x[0], x, tensor=False)
np.logspace(x[0], x[1], 3, endpoint=False, base=2.0, axis=1)
np.sum(x, axis=1, dtype=np.float32, initial=x[0, 0])
np.max(x.astype(np.float32), axis=0, initial=np.float64(0.7))
np.geomspace(x[0].astype(np.float32), x[1].astype(np.float32), 3)
"""
CALLS = [
    *[f"np.{name}(x, {axes})" for name in REDUCTIONS for axes in AXES],
    *[f"np.{name}(x, {mask}{', initial=1.1' if 'm' in name[-3:-2] else ''})" for name in REDUCTIONS if name != "median"
      for mask in MASKS],
    *OTHERS.strip().splitlines(),
]  # fmt: skip


def program(call):
    return eval(f"lambda x: {call}", {"np": np})  # noqa: S307


def floating(made):
    parts = made if isinstance(made, (list, tuple)) else [made]
    return [part for part in parts if np.dtype(getattr(part, "dtype", float)).kind == "f"]


@pytest.mark.parametrize("dtype", cases([np.float64], [np.float64, np.float32]))
@pytest.mark.parametrize("call", cases(CALLS[::3] + CALLS[-40:], CALLS))
def test_calls(call, dtype):
    f, x = program(call), X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing, where all is masked
        expected = floating(f(x))
        found = floating(pb.vjp(lambda x: tuple(floating(f(x))), x)[0])
    error = 16 * np.finfo(dtype).eps
    for want, got in zip(expected, found, strict=True):
        assert np.shape(got) == np.shape(want)
        assert np.asarray(got).dtype == np.asarray(want).dtype
        np.testing.assert_allclose(got, want, rtol=error, atol=error)
    if dtype == np.float64 and all(np.isfinite(want).all() for want in expected) and "float32" not in call:

        def cost(x):
            return sum(np.sum(np.sin(part) * (1.0 + np.arange(np.size(part)).reshape(np.shape(part))))
                       for part in floating(f(x)))  # fmt: skip

        pb.check_grads(cost, x, order=2)
        gradient = pb.grad(cost)
        np.testing.assert_allclose(pb.vmap(gradient)(np.stack([x, x])), [gradient(x)] * 2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("call", ["np.mean(x, dtype=int)", "np.std(x, dtype=int)", "np.sum(x, dtype=complex)",
                                  "np.cumsum(x, dtype=complex)", "x.astype(object)",
                                  "np.nanquantile(x, [[0.2], [0.4]], axis=(0, 1))", "x[True, 0]"])  # fmt: skip
def test_what_is_refused_names_the_line(call):
    with pytest.raises(PaybackError, match="<string>"):
        pb.grad(lambda x: np.sum(program(call)(x)))(X)


def test_a_set_keeps_its_dtype():
    x = np.array([2, 1, 2], np.float32)
    assert pb.vjp(lambda x: np.setdiff1d(x, [0.0]), x)[0].dtype == np.float32


def test_a_sum_of_nothing_warns_no_more_than_scipys():
    special = pytest.importorskip("scipy.special")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pb.vjp(lambda x: special.logsumexp(x, b=0), X)[0] == -np.inf


PLACES = ["np.argsort(x)", "np.argpartition(x, 2)", "np.searchsorted([0.5, 1.0], x)", "x.argsort(axis=0)",
          "np.argmax(x[:, None] * x, axis=0)",
          "np.digitize(x, [0.5, 1.0])", "np.argmin(x[:, :, None] * x[0], axis=2)"]  # fmt: skip


@pytest.mark.parametrize("call", PLACES)
def test_places_are_the_programs_own_to_write_into(call):
    def f(x):
        i = program(call)(x)
        y = x[i % 3]
        i[i > 1] = 0
        i += 1
        return np.sum(y) + np.sum(x * i)

    assert pb.value_and_grad(f)(X)[0] == f(X)
    pb.check_grads(f, X)


@pytest.mark.parametrize("made", [lambda x: x * 1, np.zeros_like])
def test_the_real_part_is_written_into(made):
    def f(x):
        y = made(x)
        y.real = x**2
        y.real[0] = 3.0
        return np.sum(y)

    np.testing.assert_array_equal(pb.grad(f)(X), np.vstack([np.zeros(4), 2 * X[1:]]))
