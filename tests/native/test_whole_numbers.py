"""Whole numbers at the ends of their dtypes: NumPy's results in NumPy's dtypes, interpreted and compiled."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb

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
