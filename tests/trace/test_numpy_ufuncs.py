"""Every ufunc of NumPy, its options and its methods, on traced values."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops import calls
from ops.calls import apart, table
from ops.samples import abstract, traced
from payback.errors import MutationError, PaybackError, UnsupportedError
from payback.ir.aval import Aval
from payback.trace.array import Traced

G = np.random.default_rng(15)
V, M, S = apart(G, 5), apart(G, 3, 4), np.float64(0.75)
P = np.abs(V) + 0.25
W = np.roll(V, 2) * 1.5
MASK = np.array([True, False, True, True, False])

# fmt: off
# ruff: noqa: E501 (a table of calls)
CASES = [
    *table(
        (np.copysign, V, W), (np.fmod, V, W), (lambda x: np.fmod(x, 0.3), V), (np.fmax, V, W), (np.fmin, V, W), (np.fmax, M, M[0] * 1.25),
        (np.nextafter, V, W), (lambda x: x * np.spacing(x), V), (lambda x: x * np.heaviside(x, 0.5), V),
        (lambda x: np.ldexp(x, [3, -2, 0, 1, 5]), V), (lambda x: np.ldexp(x, 2), M), (lambda x: np.frexp(8 * x)[0], V), (lambda x: x * np.frexp(8 * x)[1], V),
        (np.modf, 3 * V), (lambda x, y: np.divmod(x, y), V, W), (lambda x: divmod(x, 0.7), V), (np.logaddexp2, V, W), (np.conjugate, V),
        (lambda x: np.where(np.logical_xor(x > 0, x > 1) ^ (x < -1), x, -x), V), (lambda x: np.where(np.signbit(x), x, 2 * x), V), (lambda x: np.where(np.isfinite(x) & ~np.isnan(x) & ~np.isinf(x), x, 0), V),
        (lambda x: x * np.trunc(2 * x) + np.floor(x) + np.ceil(x) * np.rint(x), V), (np.maximum, V, W), (np.minimum, M, M[:, :1] * 1.25), (lambda x: np.clip(x, -0.5, 0.75), V),
        (lambda x: np.add(x, 1.0, dtype=np.float64), V), (lambda x: np.multiply(x, 2, casting="same_kind", order="C"), V),
        (np.add.outer, V, W), (lambda x: np.multiply.outer(x, x), V), (lambda x: np.subtract.outer(x, M), V), (lambda x: np.maximum.outer(x, [0.25, -0.35]), V),
        (lambda x: np.hypot.accumulate(x, axis=1), M), (lambda x: np.hypot.reduce(-abs(x[:, :1]), axis=1), M), (lambda x: np.hypot.reduceat(-abs(x), [0, 1], axis=1), M), (lambda x: np.subtract.accumulate(x), V), (lambda x: np.power.reduce(x), P[:2]),
        (lambda x: np.add.reduce(x, axis=(0, 1)), M), (lambda x: np.minimum.reduce(x, initial=-0.1), V), (lambda x: np.true_divide.reduce(x, axis=0), M + 3),
        (lambda x: np.fmax.reduce(x, axis=1, keepdims=True), M), (lambda x: x * np.logical_or.reduce(x > 1), V), (lambda x: x * np.logical_and.reduce(x > -3), V),
        (lambda x: x * np.logical_or.accumulate(x > 1), V), (lambda x: x * np.logical_xor.accumulate(np.floor(x)), V),
    ),
    *table((np.float_power, P, V), ulps=1),  # NumPy takes it of the C library, and power of vectors where there are some
]
# fmt: on
test_value, test_derivatives, test_without_numbers = calls.tests(CASES)


def test_every_ufunc_is_differentiated_or_refused():
    """With floating arguments each gives a traced value, a truth, a plain whole number, or an error of payback's."""
    x = traced(np.array([0.5, 0.75]))
    for name in sorted(vars(np)):
        ufunc = getattr(np, name)
        if not isinstance(ufunc, np.ufunc) or ufunc.signature:  # products of arrays are tested with linear algebra
            continue
        try:
            with np.errstate(all="ignore"):
                plain = ufunc(*[x.value] * ufunc.nin)
        except (TypeError, ValueError):
            continue
        try:
            with np.errstate(all="ignore"):
                found = ufunc(*[x] * ufunc.nin)
        except PaybackError:
            raise AssertionError(name) from None
        for made, expected in zip(*(y if isinstance(y, tuple) else (y,) for y in (found, plain)), strict=True):
            assert isinstance(made, Traced) or np.asarray(expected).dtype.kind in "bi", name
            np.testing.assert_array_equal(getattr(made, "value", made), expected)


# options --------------------------------------------------------------------------------------------------------


def written(x, y=None):
    """Functions that write with out=."""
    out = np.zeros(5)
    np.multiply(x, x, out=out)
    np.add(out, 1.0, out=out)
    return out


OUTS = {
    "out": written,
    "where": lambda x: np.log(x, where=x > 0, out=np.full(5, 0.5)),
    "where plain": lambda x: np.sqrt(x, where=x.value > 0 if isinstance(x, Traced) else x > 0, out=np.zeros(5)),
    "where a mask": lambda x: np.square(x, where=MASK, out=np.ones(5)),
    "two results": lambda x: sum(np.divmod(x, 0.7, out=(np.zeros(5), np.zeros(5)))),
    "one of two": lambda x: np.modf(3 * x, out=(np.zeros(5), None))[0],
    "reduce": lambda x: np.add.reduce(np.outer(x, x), axis=1, out=np.zeros(5)),
    "sum": lambda x: np.sum(np.outer(x, x), axis=0, out=np.zeros(5)),
    "functions": lambda x: (np.cumprod(x, out=np.zeros(5)) + np.clip(x, -1, 1, out=np.zeros(5))
                            + np.take(x, [1, 1, 0, 2, 3], out=np.zeros(5)) + np.max(np.outer(x, x), 1, out=np.zeros(5))),
    "broadcast": lambda x: np.add(x[:1], 1.0, out=np.zeros(5)),
    "joined": lambda x: (np.concatenate([x[:3], x[:2] * x[0]], out=np.zeros(5))
                         + np.stack([x[:5], x[:5] ** 2], out=np.zeros((2, 5))).sum(0)),
    "products": lambda x: (np.einsum("i,i->i", x, x, out=np.zeros(5))
                           + np.linalg.multi_dot([np.outer(x, x), np.eye(5) * x, np.eye(5)], out=np.zeros((5, 5)))[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTS)
def test_results_are_written_into_traced_arrays(name):
    call = OUTS[name]
    with np.errstate(all="ignore"):
        value, pull = pb.vjp(call, V)
        np.testing.assert_allclose(value, call(V), rtol=1e-15)
        assert np.isfinite(pull(np.ones(5))[0]).all()
        pb.check_grads(call, V)


def test_masked_entries_keep_what_was_there():
    def f(x, y):
        out = y * 1.0
        np.log(x, where=x > 0, out=out)
        return (out * np.arange(1.0, 6.0)).sum()

    x = np.array([1.0, 0.0, -2.0, 4.0, 0.0])
    by_x, by_y = pb.grad(f, argnums=(0, 1))(x, np.ones(5))
    np.testing.assert_array_equal(by_x, [1.0, 0.0, 0.0, 1.0, 0.0])
    np.testing.assert_array_equal(by_y, [0.0, 2.0, 3.0, 0.0, 5.0])


def test_a_result_is_not_written_into_a_plain_array():
    plain = np.zeros(5)
    for call in (
        lambda x: np.exp(x, out=plain), lambda x: np.sum(x, keepdims=True, out=plain), lambda x: np.modf(x, out=(plain, plain)),
        lambda x: np.concatenate([x], out=plain), lambda x: np.quantile(x, 0.5, out=plain), lambda x: np.add.at(plain, [0], x),
    ):  # fmt: skip
        with pytest.raises(MutationError):
            pb.grad(lambda x, call=call: np.sum(call(x)))(V)
    assert not plain.any()


def test_computing_in_another_dtype():
    x = traced(np.float32([0.1, 0.2]))
    for call in (lambda v: np.add(v, 1, dtype=np.float64), lambda v: np.exp(v, dtype=np.float64),
                 lambda v: np.multiply(v, np.float64(3), dtype=np.float32), lambda v: np.less(v, 0.15, dtype=bool)):  # fmt: skip
        found, expected = call(x), call(x.value)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.value, expected)
    assert pb.grad(lambda v: np.exp(v, dtype=np.float64).sum())(np.float32([0.0])).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: np.exp(x, where=x > 0), "np.exp with where= and without out="),
        (lambda x: np.add(x, 1, dtype=int), "np.add on traced values does not take dtype=int64"),
        (lambda x: np.add(x, 1, signature="dd->d"), "does not take signature="),
        (lambda x: np.arctan2.reduce(np.stack([x, x]), axis=(0, 1)), "goes along one axis"),
        (lambda x: np.hypot.reduce(x, where=MASK, initial=0.0), "does not take where="),
    ],
)
def test_refused(call, text):
    with pytest.raises(UnsupportedError) as caught:
        call(traced(V))
    assert text in str(caught.value)


# .at ------------------------------------------------------------------------------------------------------------

TWICE = np.array([3, 1, 3, 3, 0])
ATS = {
    "add": (np.add, V), "subtract": (np.subtract, V), "multiply": (np.multiply, V), "divide": (np.true_divide, P),
    "maximum": (np.maximum, V * 2), "minimum": (np.minimum, V * 2), "power": (np.power, P), "negative": (np.negative, None),
    "tanh": (np.tanh, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ATS)
def test_at(name):
    """Entries that repeat are worked on one after the other, as NumPy's are."""
    ufunc, values = ATS[name]

    def f(x, v):
        out = np.array(x * 1.0)
        ufunc.at(out, TWICE, *([] if values is None else [v]))
        return out * np.arange(1.0, 6.0)

    args = (P + 0.5, V if values is None else values)
    rounding = 1e-15 if name in ("add", "subtract") else 0  # all that is added to one place is added up first
    np.testing.assert_allclose(pb.vjp(f, *args)[0], f(*args), rtol=rounding, atol=0)
    pb.check_grads(f, *args)


def test_at_places_of_a_matrix():
    def f(x):
        out = np.zeros((3, 4))
        np.add.at(out, (slice(None), [1, 1]), x[:, :2])
        np.multiply.at(out, (0, 1), x[0, 0])
        return out

    np.testing.assert_array_equal(pb.vjp(f, M)[0], f(M))
    pb.check_grads(f, M)


# NaN ------------------------------------------------------------------------------------------------------------

NAN = np.nan
HIDERS = {
    "relu": lambda x: pb.nn.relu(x), "maximum": lambda x: np.maximum(x, 0.0), "maximum, the other way": lambda x: np.maximum(0.0, x),
    "minimum": lambda x: np.minimum(x, 0.0), "clip": lambda x: np.clip(x, -1.0, 1.0), "fmax of two": lambda x: np.fmax(x, NAN * x),
    "max": lambda x: np.max(x), "min": lambda x: np.min(x, keepdims=True), "max axis": lambda x: np.max(x.reshape(1, -1), axis=1),
    "ptp": lambda x: np.ptp(x), "median": lambda x: np.median(x), "quantile": lambda x: np.quantile(x, 0.3),
    "heaviside": lambda x: x * np.heaviside(x, 0.0), "std": lambda x: np.std(x),
}  # fmt: skip


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("name", HIDERS)
def test_a_nan_is_not_hidden(name, second):
    """Where the argument is NaN the derivative is NaN, never a zero that looks like an answer."""
    x = np.array([1.5, NAN, -0.5])
    with np.errstate(all="ignore"):
        f = lambda z: np.sum(HIDERS[name](z))  # noqa: E731
        found = pb.grad((lambda z: np.sum(pb.grad(f)(z) * z)) if second else f)(x)
        assert np.isnan(found[1])
        if not second:
            tangent = pb.jvp(f, (x,), (np.array([0.0, 1.0, 0.0]),))[1]
            assert np.isnan(tangent)


def test_extremes_that_pass_over_nan():
    with np.errstate(all="ignore"):
        assert pb.grad(np.fmax, argnums=(0, 1))(NAN, 2.0) == (0.0, 1.0)
        assert pb.grad(np.fmin, argnums=(0, 1))(2.0, NAN) == (1.0, 0.0)
        assert pb.grad(np.fmax, argnums=(0, 1))(2.0, 2.0) == (0.5, 0.5)


def test_places_where_only_numpys_own_rule_gives_its_number():
    x = np.array([-0.0, 0.0, -3.0, NAN, 2.0])
    for f in (np.angle, lambda x: np.logaddexp2(x - 1, -1.0 * np.ones(5)), lambda x: np.i0(x * 1e300)):
        with np.errstate(all="ignore"):
            for found in (pb.vjp(f, x)[0], pb.compile(f)(x)):
                np.testing.assert_allclose(found, f(x), rtol=1e-15, atol=0)


def test_questions_without_numbers():
    x = abstract(Aval((2,), np.dtype(np.float64)))
    for question in (np.isnan, np.isinf, np.isfinite, np.signbit):
        found = question(x)
        assert isinstance(found, Traced)
        assert found.dtype == bool
        values = np.array([0.0, -0.0, NAN, np.inf, -np.inf, -2.0, np.copysign(NAN, -1.0)])
        from payback.trace.abstract import trace

        np.testing.assert_array_equal(trace(question, values)(values), question(values))


@pytest.mark.parametrize("ufunc", [np.power, np.arctan2, np.hypot, np.fmod, np.true_divide])
def test_a_reduction_takes_one_after_another(ufunc):
    """NumPy 2.4 and 2.5 leave out all between the first and the last of power and arctan2 where a processor has AVX-512."""
    x = np.array([2.7, 1.4, 1.1, 0.3])
    value, slope = pb.value_and_grad(lambda x: ufunc.reduce(x))(x)
    np.testing.assert_allclose(value, ufunc(ufunc(ufunc(x[0], x[1]), x[2]), x[3]), rtol=1e-15)
    by_hand = pb.grad(lambda x: ufunc(ufunc(ufunc(x[0], x[1]), x[2]), x[3]))(x)
    np.testing.assert_allclose(slope, by_hand, rtol=1e-13)


def test_what_a_dtype_answers_needs_no_numbers():
    def f(x):
        assert np.isrealobj(x)
        assert not np.iscomplexobj(x)
        assert np.common_type(x) is np.float64
        assert np.einsum_path("i,i", x, x)[0] == ["einsum_path", (0, 1)]
        there = np.isreal(x) & ~np.iscomplex(x)
        return np.sum(np.where(np.isposinf(1 / x) | np.isneginf(1 / x), 0.0, x * there) ** 2)

    x = np.array([1.0, 0.0, -0.0, 3.0])
    with np.errstate(divide="ignore"):
        assert pb.compile(pb.grad(f))(x).tolist() == pb.grad(f)(x).tolist() == [2.0, 0.0, 0.0, 6.0]
    assert pb.grad(lambda x: x * np.isreal(x))(2.0) == 1.0
