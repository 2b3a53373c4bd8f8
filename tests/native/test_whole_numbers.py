"""Whole numbers at the ends of their dtypes: NumPy's results in NumPy's dtypes, interpreted and compiled."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import PaybackError

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
    "squares of conditions": lambda x, y: np.square(y),
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
