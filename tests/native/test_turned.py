"""Arrays that lie in other orders than their axes: nests follow the order in memory, results do not tell."""

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both, check
from ops.checks import same_bits
from payback.native.planning.layout import Buffer, transposed, whole
from payback.native.planning.nests import usual


@pytest.mark.parametrize("seed", range(amount.cases(8, 50, 300)))
def test_mixed_orders(seed):
    g = np.random.default_rng(seed)
    rank = int(g.integers(2, 5))
    shape = tuple(int(n) for n in g.integers(1, {2: 80, 3: 24, 4: 9}[rank], rank))
    dtype = g.choice([np.float32, np.float64])
    orders = [tuple(g.permutation(rank)) for _ in range(3)]
    given = [g.standard_normal(tuple(shape[a] for a in np.argsort(o))).astype(dtype) for o in orders]
    axes = tuple(int(a) for a in g.permutation(rank)[: g.integers(1, rank + 1)])

    def exact(x, y, z):
        a, b, c = (np.transpose(v, o) for v, o in zip((x, y, z), orders, strict=True))
        h = a * 2 + 1  # lies as x does
        k = np.sqrt(np.abs(h - b)) * c
        return k, np.max(h * h, axis=axes), k.T + h.T, np.where(a > b, c, h)

    def rounded(x, y, z):
        a, b, c = (np.transpose(v, o) for v, o in zip((x, y, z), orders, strict=True))
        e = np.exp(a - np.max(a, axis=-1, keepdims=True))
        s = e / np.sum(e, axis=-1, keepdims=True)
        return np.sum(s * b, axis=axes), np.mean(np.tanh(s) + c, axis=0), pb.grad(lambda b: np.sum(s * b * b * c))(b)

    check(*both(exact, *given), rtol=0, what=str((shape, orders)))
    check(*both(rounded, *given), rtol=2e-5 if dtype is np.float32 else 1e-12, what=str((shape, orders, axes)))
    if seed % 4 == 0:
        f, found = pb.compile(rounded), []
        try:
            for threads in (1, 2, 3):
                pb.set_threads(threads)
                found.append(f(*given))
        finally:
            pb.set_threads(None)
        assert all(same_bits(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_the_usual_order():
    shape, kind = (5, 6, 1, 7), np.dtype(float)
    own = whole(Buffer("arena", kind, 210), shape)
    turned = transposed(whole(Buffer("arena", kind, 210), (7, 6, 1, 5)), (3, 1, 2, 0))
    constant = own._replace(buffer=Buffer("const", kind, 210))
    row = own._replace(strides=(0, 7, 7, 1))
    assert usual(shape, [own, row]) == usual(shape, [turned, own]) == usual(shape, []) == (0, 1, 2, 3)
    assert usual(shape, [turned, constant]) == usual(shape, [own, turned, turned]) == (3, 1, 2, 0)


def backwards(x, y):
    """Rows that are read from their ends, written so, and summed; the last vectors of them are not full."""
    return (
        x[:, ::-1] * y,
        np.sum(x[::-1, ::-1] + y, axis=1),
        np.max(x[:, ::-1], axis=0),
        np.flip(x * y),
        x[:, :0:-1] + 1,
    )


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "?"])
@pytest.mark.parametrize("n", [1, 5, 16, 31, 40])
def test_rows_may_be_read_from_their_ends(n, dtype):
    x, y = (4 * np.random.default_rng(n).standard_normal((2, 9, n))).astype(dtype)
    for found, wanted in zip(pb.compile(backwards, native=True)(x, y), backwards(x, y), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert found.dtype == wanted.dtype


def test_they_are_read_by_vectors():
    x = np.ones((9, 100))
    compiled = pb.compile(lambda x: x[:, ::-1] * 2.0, native=True)
    compiled(x)
    ways = [kernel.operands for c in compiled._program().commands if hasattr(kernel := c.kernel, "onward")]
    assert ways == [(("f8", "r"), ("f8", "u"))]
