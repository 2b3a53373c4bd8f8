"""Masks and indices that have no numbers: in compiled functions, batches and bodies of loops."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import TraceError, UnsupportedError
from payback.trace.abstract import trace

X = np.array([-1.0, 0.0, 2.0, 0.5])


def cut(x):
    y = x.copy()
    y[y < 0] = 0.0
    return y


def into_zeros(x):
    out = np.zeros(4)
    out[x > 0] = x[3]
    return out


def flags(x):
    seen = np.zeros(4, bool)
    seen[x > 0] = True
    return np.where(seen, np.sin(x), 0.0)


def counts(x):
    n = np.ones(4, int)
    n[x > 0] = 2.9  # NumPy cuts it
    return n * x


def rows(x):
    out = np.outer(x, x)
    out[x > 0] = np.cos(x)
    out[out > 1.0] = 1.0
    return out


def through_a_view(x):
    out = np.outer(x, x)
    column = out[:, 1:3]
    column[column > -0.1] = x[0]
    return out


def careful(x):
    y = np.log(x)
    y[x <= 0] = 0.0
    return y


def doubled(x):
    y = x.copy()
    y[y > 0] *= 2
    y[x < 0.3] -= x[0]
    return y


def one_column(x):
    out = np.zeros((4, 2, 3))
    out[x > 0, 0] = x[:3]
    out[x < 0, :, 1] = 7.0
    out[x > 0.3, 1, 1:] = x[x > 0.3][:, None] ** 2
    out[0, x[:2] > 0] = x[1:]
    return out


def sent_back(x):
    m = x > 0
    out = np.empty(4)
    out[m] = np.sqrt(x[m]) + x[m].max()
    out[~m] = np.exp(x[~m]) * np.where(x[~m] < -0.5, x[~m], 2.0)
    return out


def of_two_axes(x):
    a = np.outer(x, x)
    b = np.zeros((2, 4, 4))
    b[:, a > 0] = np.log(a[a > 0])
    b[1][a < 0] = a[a < 0] ** 2
    return b


def summed(x):
    v = x[x > 0]
    w = v**2 + x[2] * v - np.abs(np.sin(v))
    return np.array([
        np.sum(v), v.mean(), np.max(w), w.min(), v.prod(), np.std(w), w.var(ddof=1), v @ w, np.dot(v, v), v.size,
        np.linalg.norm(v), np.log(v).sum(), np.ptp(v), np.count_nonzero(v > 0.3), v[v > 0.3].sum(), np.average(w),
        (v / v.sum()).max(), np.add.reduce(v), np.clip(v, 0.3, 1.0).sum(), np.extract(x > 0, x).sum(), (v > 0.3).mean(),
    ])  # fmt: skip


def chosen_rows(x):
    a, m = np.outer(x, x) + np.arange(4.0), x > 0
    r = a[m] * 2 + x
    return np.concatenate([r.sum(axis=0), a[:, m].mean(axis=1), (r @ x).sum()[None], a[m].max(axis=0),
                           a[m, 1].sum()[None], a[1:3, m].sum(1), a[m][:, 1:].min(axis=0)])  # fmt: skip


def in_place(x):
    v = x[x > 0]
    v += 1.0
    v *= v
    v[v > 2.0] = 0.5
    v[:] = v - 1
    return np.sum(v) * x


def one_place(x):
    out, i = np.zeros((4, 3)), np.argmax(x)
    out[i] = x[:3]
    out[i - 1, 1] += x[i] ** 2
    out[np.argmin(x), 1:] *= np.sum(x)
    return out


def permuted(x):
    rank = np.empty(4, int)
    rank[np.argsort(-x)] = np.arange(4)
    out = np.zeros(4)
    out[rank] = np.sin(x)
    out[rank[1:] // 2] = x[:3]  # a place twice: the last one stays
    return out / np.log2(rank + 2.0)


def at_places(x):
    out, i = np.ones(4), np.argsort(x) // 2
    np.add.at(out, i, x**2)
    np.subtract.at(out, i, 1.0)
    np.put(out, np.argmax(x), x[0])
    out.flat[np.argmin(x)] = x[1] * x[2]
    np.putmask(out, out > 0.9, x)
    np.place(out, x < -0.5, 3.0)
    np.put_along_axis(out, np.argsort(x)[:1], x[3], 0)
    return out * out.flat[np.argmax(x)] + np.take(np.arange(4.0) ** 2, i)


def sorted_buffer(x):
    out = np.zeros((2, 4))
    out[0] = x
    out[1] = np.sort(out[0]) * np.median(out[0]) + np.take_along_axis(out[0], np.argsort(-x), 0)
    return out


FUNCTIONS = [cut, into_zeros, flags, counts, rows, through_a_view, careful, doubled, one_column, sent_back, of_two_axes,
             summed, chosen_rows, in_place, one_place, permuted, at_places, sorted_buffer]  # fmt: skip


@pytest.mark.parametrize("f", FUNCTIONS[:: cases(3, 1)], ids=lambda f: f.__name__)
def test_it_is_what_numpy_does(f):
    def slope(x):
        return pb.grad(lambda x: np.sum(np.sin(f(x))))(x)

    def second(x):
        return pb.grad(lambda x: np.sum(slope(x) * np.arange(4.0)))(x)

    with np.errstate(all="ignore"):
        for native in (None, False):
            np.testing.assert_allclose(pb.compile(f, native=native)(X), f(X), rtol=1e-15)
            np.testing.assert_allclose(pb.compile(slope, native=native)(X), slope(X), rtol=1e-14)
            if cases(native is None, True):
                np.testing.assert_allclose(pb.compile(second, native=native)(X), second(X), rtol=1e-13)
        batch = np.stack([X, X + 0.25, 0.75 - X])
        np.testing.assert_allclose(pb.vmap(f)(batch), np.stack([f(x) for x in batch]), rtol=1e-15)
        np.testing.assert_allclose(pb.vmap(slope)(batch), np.stack([slope(x) for x in batch]), rtol=1e-14)
        scanned = pb.scan(lambda c, x: (c, f(x)), 0.0, batch)[1]
        np.testing.assert_allclose(scanned, np.stack([f(x) for x in batch]), rtol=1e-15)
        np.testing.assert_allclose(pb.compile(lambda x: pb.jvp(f, (x,), (x * 0 + 1,))[1])(X),
                                   pb.jvp(f, (X,), (X * 0 + 1,))[1], rtol=1e-14)  # fmt: skip
        assert np.isfinite(slope(X)).all()


def test_what_cannot_be_written():
    def one_for_each_place(x):
        x = x.copy()
        x[x > 0] = np.ones(2)
        return x

    def of_another_shape(x):
        x = x.copy()
        x[x[:2] > 0] = 1.0
        return x

    def into_whole_numbers(x):
        n = np.zeros(4, int)
        n[x > 0] = x[0]
        return n

    with pytest.raises(TraceError, match=r"where to write these values.*test_unknown_masks.py:\d+ in one_for_each"):
        pb.compile(one_for_each_place)(X)
    with pytest.raises(IndexError, match=r"a mask of shape \(2,\)"):
        pb.compile(of_another_shape)(X)
    with pytest.raises(UnsupportedError, match="cannot be stored in an array of int64"):
        pb.compile(into_whole_numbers)(X)


TABLE = np.arange(16.0).reshape(4, 4)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: x[x > 0], r"to return x\[mask\] needs to know how many entries"),
        (lambda x: len(x[x > 0]), r"len\(x\[mask\]\) needs"),
        (lambda x: x[x > 0].shape, r"the shape of x\[mask\] needs"),
        (lambda x: x[x > 0][0], r"an index of x\[mask\] needs"),
        (lambda x: sum(x[x > 0]), r"a loop over x\[mask\] needs .*np\.sum"),
        (lambda x: x[x > 0] + x, r"an array of known length needs"),
        (lambda x: x[x > 0] + x[x > 0.2], r"two masks .*Name the mask once"),
        (lambda x: np.sort(x[x > 0]), r"np\.sort of x\[mask\] needs"),
        (lambda x: x[x > 0].cumsum(), r"\.cumsum of x\[mask\] needs"),
        (lambda x: np.array(x[x > 0]), r"an array of x\[mask\] needs"),
        (lambda x: x[x > 0] @ np.ones(3), r"a product of x\[mask\] and an array"),
        (lambda x: float(x[x > 0]), r"float\(x\[mask\]\) needs"),
        (lambda x: 1 if np.any(x[x > 0]) else 0, "is not known"),
        (lambda x: np.ones(np.sum(x > 0)), r"is not known while .*np\.ones"),
        (lambda x: np.full((x > 0).sum(), x[0]), r"is not known while .*np\.full"),
        (lambda x: np.outer(x, x)[x > 0, np.arange(2)], "a mask stands beside another array"),
        (lambda x: x[x[0] > 0], "is not known"),
        (lambda x: TABLE[np.argmax(x)], r"a plain array cannot be indexed .*np\.take\(table, i, axis\)"),
        (lambda x: TABLE[x > 0], r"a plain array cannot be indexed .*np\.where"),
        (lambda x: np.bincount(np.argsort(x), x), r"np\.bincount .*minlength="),
    ],
)
def test_what_cannot_be_known_is_said(f, text):
    with pytest.raises((TraceError, UnsupportedError), match=rf"(?s)(?=.*{text}).*test_unknown_masks\.py:\d+ in "):
        pb.compile(f)(X)


def test_of_nothing_there_is_no_extreme():
    """NumPy raises; where it is not known whether there is anything, the answer is NaN."""
    assert np.isnan(pb.compile(lambda x: x[x > 9].max())(X))
    assert np.isnan(pb.compile(lambda x: x[x > 9].mean())(X))
    assert pb.compile(lambda x: x[x > 9].sum())(X) == 0.0


def test_an_index_out_of_bounds_raises():
    def f(x):
        out = np.zeros(3)
        out[np.argmax(x) + 1] = x[0]
        return out

    with pytest.raises(IndexError, match="out of bounds"):
        pb.compile(f)(X)
    with pytest.raises(IndexError, match="out of bounds"):
        pb.compile(f, native=False)(X)


def test_rows_of_a_loop_are_written_by_its_number():
    """`path[i] = …` in the body of a scan that counts."""

    def f(x):
        def step(state, _):
            path, i, y = state
            path = path.copy()
            path[i] = y
            return (path, i + 1, np.sin(y) + x), None

        return pb.scan(step, (np.zeros((3, 4)), 0, x), None, length=3)[0][0]

    np.testing.assert_allclose(f(X), [X, np.sin(X) + X, np.sin(np.sin(X) + X) + X], rtol=1e-15)
    pb.check_grads(f, X, order=2)


WHOLE = slice(None)
KEYS = {  # of an array of 7 × 5 × 4, and the shape of what is written
    "i": (lambda i, j: i, (4, 5, 4)),
    "i, :": (lambda i, j: (i, WHOLE), (5, 4)),
    "i, ...": (lambda i, j: (i, ...), (4, 1, 4)),
    "i, ..., :": (lambda i, j: (i, ..., WHOLE), (4, 5, 4)),
    "..., j": (lambda i, j: (..., j % 4), (7, 5, 4)),
    ":, j": (lambda i, j: (WHOLE, j), (7, 4, 4)),
    "i, :, j": (lambda i, j: (i, WHOLE, j % 4), (4, 5)),
    "i, j": (lambda i, j: (i, j), (4, 4)),
    "i, 1:3": (lambda i, j: (i, slice(1, 3)), (4, 2, 4)),
    "i[:, None], j": (lambda i, j: (i[:, None], j), (4, 4, 4)),
    "i, None": (lambda i, j: (i, None), (4, 1, 5, 4)),
    "i[0]": (lambda i, j: i[0], (5, 4)),
    "i, mask": (lambda i, j: (i[:2], [True, False, True, False, False]), (2, 4)),
}


@pytest.mark.parametrize("name", KEYS)
def test_places_that_have_no_numbers(name):
    """Written twice the last value stays, in compiled functions as in NumPy."""
    key, shape = KEYS[name]
    g = np.random.default_rng(0)
    x, v, i, j = g.standard_normal((7, 5, 4)), g.standard_normal(shape), np.array([1, 3, 1, 6]), np.array([0, 2, 2, 4])

    def f(x, v, i, j):
        x = x * 1.5
        x[key(i, j)] = v
        return x

    def cost(x, v, i, j):
        return np.sum(np.sin(f(x, v, i, j)))

    np.testing.assert_array_equal(pb.compile(f)(x, v, i, j), f(x, v, i, j))
    for found, wanted in zip(pb.compile(pb.grad(cost, (0, 1)))(x, v, i, j), pb.grad(cost, (0, 1))(x, v, i, j),
                             strict=True):  # fmt: skip
        np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_of_rows_that_are_written_whole_it_is_asked_once():
    def f(x, i):
        x = x.copy()
        x[i] = 0.0
        return x

    graph = trace(f, np.ones((7, 5)), np.array([1, 2])).graph
    assert [node.aval.shape for node in graph.nodes if node.op.name == "last_written"] == [(7,)]
