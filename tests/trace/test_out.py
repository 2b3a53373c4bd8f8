"""`out=` of all of NumPy's functions that have it, and writes into what is read at the same time."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest

import payback as pb
from payback.errors import UnsupportedError

X = np.array([[0.5, -1.0, 2.0], [3.0, 0.2, 0.7], [1.0, 4.0, -2.0]])
V = np.array([0.5, -1.0, 2.0, 3.0])
ARGUMENTS = {
    "outer": lambda p: (p[0], p[1]), "dot": lambda p: (p, p), "take": lambda p: (p, [0, 1]),
    "choose": lambda p: ([0, 1, 1], [p, p * 2]), "compress": lambda p: ([1, 0, 1], p),
    "concatenate": lambda p: ([p, p],), "stack": lambda p: ([p, p],),
    "quantile": lambda p: (p, 0.3), "percentile": lambda p: (p, 30),
    "nanquantile": lambda p: (p, 0.3), "nanpercentile": lambda p: (p, 30), "einsum": lambda p: ("ij->i", p),
    "clip": lambda p: (p, 0, 1), "cumulative_sum": lambda p: (p[0],), "cumulative_prod": lambda p: (p[0],),
}  # fmt: skip
DATES = {"busday_count", "busday_offset", "is_busday"}


def _with_out():
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of names that later versions give up
        for name in dir(np):
            f = getattr(np, name)
            if callable(f) and not isinstance(f, (type, np.ufunc)) and name not in DATES:
                try:
                    given = inspect.signature(f).parameters
                except ValueError:
                    continue
                if "out" in given and np.asarray(f(*ARGUMENTS.get(name, lambda p: (p,))(X))).dtype.kind != "b":
                    found.append(name)
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", _with_out())
def test_the_result_is_in_out(name):
    f, args = getattr(np, name), ARGUMENTS.get(name, lambda p: (p,))
    wanted = np.asarray(f(*args(X)))

    def g(x):
        out = np.zeros(wanted.shape, wanted.dtype)
        result = f(*args(x), out=out)
        return out * 1, result * 1

    def of_plain_numbers(x):
        out = np.full(wanted.shape, x[0, 0])
        result = f(*args(X), out=out)
        return out * 1, result * 1

    for found in (pb.vjp(g, X)[0], pb.compile(g, native=False)(X), pb.vjp(of_plain_numbers, X)[0]):
        np.testing.assert_allclose(found, [wanted, wanted], 1e-13)


@pytest.mark.parametrize("write", [
    lambda p: np.put(p, [1, 2, 3], p), lambda p: np.putmask(p, p > 0, p[::-1]), lambda p: np.copyto(p[1:], p[:-1]),
    lambda p: np.add(p[1:], p[:-1], out=p[1:]), lambda p: np.put_along_axis(p, np.array([1, 2, 3]), p[:3], 0),
    lambda p: np.add.at(p, [1, 2, 3], p[:3]), lambda p: np.multiply.at(p, [1, 1, 2], p[:3]),
    lambda p: p.__setitem__([1, 2, 3], p[:3]), lambda p: p[1:].__iadd__(p[:-1]), lambda p: np.cumsum(p[::-1], out=p),
    lambda p: np.add.accumulate(p, out=p[::-1]), lambda p: np.take(p, [3, 2, 1, 0], out=p), lambda p: p[::-1].sort(),
    lambda p: np.dot(np.ones((4, 4)), p, out=p), lambda p: np.fill_diagonal(p.reshape(2, 2), p[:2]),
    lambda p: np.multiply(p, p[::-1], out=p, where=p > 0), lambda p: np.divmod(p[::-1], 0.7, out=(p, np.zeros(4))),
    lambda p: np.sum(p.reshape(2, 2), axis=0, out=p[:2]), lambda p: np.outer(p[:2], p[2:], out=p.reshape(2, 2)),
    lambda p: p.reshape(2, 2).__iadd__(p.reshape(2, 2).T), lambda p: p[:].__setitem__(slice(None), p[1]),
    lambda p: np.choose([0, 1, 1, 0], [p, p[::-1]], out=p), lambda p: np.add.at(p, p > 0, p[1]),
    lambda p: np.maximum.at(p, p < 0, 7.0), lambda p: np.negative.at(p, p > 0),
])  # fmt: skip
def test_writes_into_what_is_read(write):
    def f(v):
        p = v * 1.0
        q = p[::-1]
        write(p)
        return p, q

    for found in (pb.vjp(f, V)[0], pb.compile(f, native=False)(V)):
        np.testing.assert_array_equal(found, f(V))


@pytest.mark.parametrize("write", [
    lambda p: np.concatenate([p[2:], p[:2]], out=p), lambda p: np.stack([p[2:], p[:2]], out=p.reshape(2, 2)),
    lambda p: np.place(p, p > 0, p[:]),
])  # fmt: skip
def test_what_numpy_reads_after_it_has_written_is_refused(write):
    with pytest.raises(UnsupportedError, match="reads entries that it has written already"):
        pb.grad(lambda v: np.sum(write(v * 1.0)))(V)


def test_a_distance_of_nothing_has_a_derivative():
    for way in (lambda f: f, pb.compile):  # on a tape too
        np.testing.assert_array_equal(way(pb.grad(lambda v: math.dist(v, v)))(V), np.zeros(4))
        assert way(pb.grad(lambda s: math.hypot(s, 2.0, -1.0)))(2.0) == pytest.approx(2 / 3)
        assert way(lambda s: math.hypot(s, s))(3e200) == pytest.approx(math.hypot(3e200, 3e200))
    assert type(pb.vjp(lambda v: math.fsum(v), V)[0]) is float
