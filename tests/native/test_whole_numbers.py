"""Whole numbers at the ends of their dtypes: NumPy's results in NumPy's dtypes, interpreted and compiled."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import DifferentiationError, InputError, PaybackError

SMALL = np.array([[255, 5, 0]], np.uint8)
LARGE = np.array([[2**64 - 1, 2**53 + 1, 0]], np.uint64)
TRUE = np.array([True, False, True])
PROGRAMS = {
    "more than a number below": lambda x, y: x > -1,
    "a number above": lambda x, y: (x <= 2**70, x == 2**70, x != 2**70, x > -1),
    "chosen by it": lambda x, y: np.where(x > -1, x, 1),
    "one bound": lambda x, y: (np.clip(x, None, 3), np.clip(x, 2, None), x.clip(min=1)),
    "bounds beyond": lambda x, y: (np.clip(x, -2, 2), np.clip(x, 1, 2**70), np.clip(x, -1, 2**70)),
    "cases of several dtypes": lambda x, y: np.select([x > 1, y > 0], [x, y], 0),
    "past NaN": lambda x, y: (np.nansum(x), np.nanprod(x[:, 1:]), np.nancumsum(x)),
    "convolved": lambda x, y: (np.convolve(x[0], x[0]), np.convolve(y, y, "same"), np.correlate(x[0], x[0, :2])),
    "close": lambda x, y: (np.isclose(x, y), np.isclose(y, x), np.isclose(x[:, ::-1], x)),
    "sums in a dtype": lambda x, y: (
        np.sum(x, dtype=np.int8),
        x.sum(1, np.uint16, initial=3),
        np.sum(y, dtype=bool),
        np.cumsum(x, dtype=np.int8),
        np.add.accumulate(x[0], dtype=bool),
        np.add.reduceat(x[0], [0, 2], dtype=np.int16),
        np.trace(x.T, dtype=np.int8),
    ),
    "products in a dtype": lambda x, y: (
        np.prod(x[:, :2], dtype=np.int8),
        np.multiply.reduce(x[0], dtype=np.uint16),
        np.prod(y, dtype=bool),
        np.multiply.reduceat(x[0], [0, 2], dtype=np.int16),
        np.cumprod(x, dtype=np.int16),
    ),
    "angles": lambda x, y: (np.angle(x), np.angle(y), np.angle(x[0, 0], deg=True)),
    "squares of conditions": lambda x, y: (np.square(y), y**2, y[0] ** 2, y**3, y**True),
}


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("x", [SMALL, LARGE], ids=["uint8", "uint64"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_as_numpy_has_them(program, x, native):
    made, expected = pb.compile(program, native=native)(x, TRUE), program(x, TRUE)
    for a, b in zip(*[v if isinstance(v, tuple) else (v,) for v in (made, expected)], strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert np.array_equal(a, b)


WEAK = {  # a Python number n beside an array a
    "clipped": lambda a, n: (np.clip(n, a, None), np.clip(n, a, a + 1), np.clip(a, n, None)),
    "multiplied": lambda a, n: (np.dot(n, a), np.dot(a, n), np.inner(n, a), np.tensordot(n, a, 0), np.outer(a, n)),
    "put together": lambda a, n: (np.array([n, a[0]]), np.stack([n, a[0]]), np.hstack([a, n]), np.append(a, n)),
    "in a row": lambda a, n: (np.r_[n, a], np.r_[a, n, a], np.c_[a, a * n]),
    "chosen": lambda a, n: (np.where(a > 1, a, n), np.where(a > 1, n, a), np.select([a > 1], [a], n)),
    "by powers of two": lambda a, n: (np.ldexp(n, np.array([1, 2], np.uint8)), np.ldexp(n, a.astype(np.int16))),
    "compared": lambda a, n: (np.isclose(a, n), a < n, a == n),
    "computed with": lambda a, n: (a + n, n - a, a * n, np.maximum(a, n), np.square(n) * a, np.ones_like(n) + a),
}


@pytest.mark.parametrize("program", WEAK.values(), ids=WEAK)
def test_a_python_number_counts_as_numpy_has_it_count(program):
    """Weak in operators; what takes an array makes one of it.  As a literal and as an argument."""
    for dtype in (np.uint8, np.int16, np.float16, np.float32, np.bool_):
        a = np.array([1, 2, 3]).astype(dtype)
        for number in (2, 1.5, True, -3, 300):
            for f, args in ((program, (a, number)), (lambda a, number=number: program(a, number), (a,))):
                with np.errstate(all="ignore"):
                    try:
                        wanted = f(*args)
                    except (OverflowError, TypeError):  # −3 as a uint8, the difference of conditions
                        continue
                    for native in (False, True)[: amount.cases(1, 2)]:
                        for x, y in zip(pb.compile(f, native=native)(*args), wanted, strict=True):
                            assert np.asarray(x).dtype == np.asarray(y).dtype, (dtype, number, len(args), x, y)
                            np.testing.assert_allclose(x, y, rtol=1e-3)


def test_every_ufunc_has_numpys_dtype():
    """On booleans, whole numbers and halves too: what NumPy refuses is refused."""
    ufuncs = {u.__name__: u for u in vars(np).values() if isinstance(u, np.ufunc) and u.nin < 3}
    kinds = "?bBilefd" if amount.soak() else "?Ble"
    for name, ufunc in list(ufuncs.items()) if amount.full() else [(n, ufuncs[n]) for n in ("conjugate", "positive")]:
        for types in itertools.product(kinds, repeat=ufunc.nin):
            args = [np.array([0, 1, 3, 2, 1, 0]).astype(kind) for kind in types]
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    found = pb.compile(ufunc, native=False)(*args)
                except (TypeError, PaybackError):
                    continue
                wanted = ufunc(*args)
            for a, b in zip(np.atleast_1d(found), np.atleast_1d(wanted), strict=True):
                assert a.dtype == b.dtype, f"{name} of {types}"
                np.testing.assert_allclose(a.astype(float), b.astype(float), rtol=4e-3 if b.dtype.char == "e" else 3e-6)


BEYOND = (2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30)
PYTHONS = {
    "computed": lambda x, n: (x * n, n + x, x - n, x / n, n / x, x % n, n // x),
    "again": lambda x, n: ((x * n + n) / n, sum([x, n, x])),
    "a half": lambda x, n: x * float(n) + (n >> 3) * 0.0,
}


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("program", PYTHONS.values(), ids=PYTHONS)
def test_python_floats_beside_whole_numbers_of_any_size(program, native):
    for n in BEYOND:
        for f, args in ((program, (2.5, n)), (lambda x, n=n: program(x, n), (2.5,))):
            assert pb.compile(f, native=native)(*args) == program(2.5, n)


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda n: n + 1, (2**70,)),
        (lambda n: n * 2, (2**62,)),
        (lambda x: x + 2**63, (np.arange(2),)),
        (np.sum, ([10**30],)),
    ],
)
def test_a_whole_number_of_more_than_64_bits_is_refused(f, args):
    with pytest.raises(InputError, match=r"more than 64 bits cannot be compiled.*: with its sign it needs \d+"):
        pb.compile(f)(*args)


def test_a_derivative_by_a_whole_number_beyond_the_floats_is_refused():
    with pytest.raises(InputError, match="n is a whole number beyond the floats"):
        pb.grad(lambda n: n * 1.0)(10**400)


@pytest.mark.parametrize("x", [np.array([1, 2.5], object), np.array(["a"]), np.array(["2020-01-01"], "datetime64[D]")])
def test_arrays_of_no_numbers_are_refused(x):
    for f in (np.sum, np.mean, np.cumsum, np.max, np.exp, lambda x: x + 1, lambda x: x * 2.0, lambda x: x @ x):
        with pytest.raises(DifferentiationError, match="cannot enter a computation"):
            pb.compile(f)(x)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("power", [0.5, 1.5, 0.0, 2.0, -1.0, -0.5, np.nan])
def test_a_power_that_is_an_argument_is_the_power_that_stands_there(dtype, power):
    """NumPy takes the root of an array for 0.5: of −0 it is −0, of −∞ it is NaN.  Of a number it takes the power."""
    x = np.array([-np.inf, -0.0, 0.0, np.inf, -1.0, 4.0, 0.3, np.nan], dtype)
    with np.errstate(all="ignore"):
        for a in (x, x.reshape(2, 4), x[1:2], x[1]):
            given, standing = pb.compile(lambda a, p: a**p)(a, power), pb.compile(lambda a: a**power)(a)
            for made in (given, standing):
                np.testing.assert_allclose(made, a**power, rtol=1e-6)
                assert np.array_equal(np.signbit(made) & ~np.isnan(made), np.signbit(a**power) & ~np.isnan(a**power))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_powers_of_whole_numbers_wrap_as_numpys(dtype):
    k = np.arange(-9, 12).astype(dtype)
    for power in (1, 2, 3, 7, 13, 63):
        f = pb.compile(lambda k, power=power: k**power, native=True)
        np.testing.assert_array_equal(f(k), k**power)
        assert f(k).dtype == (k**power).dtype
        assert "0 of them on NumPy" in f.explain_compilation()


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.bool_])
def test_averages_of_whole_numbers_are_floating_before_they_are_weighed(dtype):
    a, w = np.array([100, 120, 50, 3]).astype(dtype), np.array([3, 90, 70, 1]).astype(dtype)
    for f in (lambda a, w: np.average(a, weights=w), lambda a, w: np.average(a, weights=w * np.float32(0.3))):
        found, wanted = pb.compile(f)(a, w), f(a, w)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(found, wanted, 1e-6)
