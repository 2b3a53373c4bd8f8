"""Arguments that do not lie by rows: turned where that is all, else copied, and nothing of it shows."""

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import same_bits
from payback.ir.aval import aval_of
from payback.trace.body import fresh
from payback.trace.plain_arrays import strides_of
from payback.transforms.strides import by_rows, orders


def laid(g, whole):
    """An array that lies in some order, some of whose axes have one entry; with steps unless it is to be whole."""
    shape = tuple(int(n) for n in g.choice([1, 2, 3, 5, 8], g.integers(1, 5)))
    x = g.standard_normal(shape if whole else (*shape[:-1], 2 * shape[-1]))
    return (x if whole else x[..., ::2]).transpose(g.permutation(x.ndim))


@pytest.mark.parametrize("seed", range(amount.cases(20, 60, 300)))
def test_axes_in_another_order_are_turned(seed):
    g = np.random.default_rng(seed)
    x = laid(g, whole=seed % 2)
    spread = [] if strides_of(x) is None else [(0, strides_of(x))]
    found = orders(spread, [fresh(aval_of(x), strides_of(x))])
    (rows,) = by_rows((x,), spread, found)
    assert rows.flags.c_contiguous
    if seed % 2 and spread:
        assert rows.base is x.base
        assert rows.transpose(np.argsort(found[0])).shape == x.shape
    assert by_rows((x.copy(),), spread, found) is None or not spread


@pytest.mark.parametrize("seed", range(amount.cases(6, 20, 100)))
def test_functions_of_arrays_in_any_order(seed):
    g = np.random.default_rng(seed)
    x, y = laid(g, whole=g.random() < 0.7), laid(g, whole=g.random() < 0.7)

    def f(x, y):
        last = x.reshape(-1)[-1] * y.ravel(order="K")[0]
        x[(0,) * x.ndim] = 2.0
        return (
            x * 2.0 + last,
            np.sum(y, axis=-1),
            y.T - x.ravel()[0],
            x[..., :1] @ np.swapaxes(x, -1, -2)[..., :1, :] if x.ndim > 1 else x,
        )

    compiled = pb.compile(f)
    wanted = f(x.copy(order="K"), y)
    for _ in range(2):
        for one, other in zip(compiled(x, y), wanted, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)
    gradient = pb.grad(lambda x: np.sum(x.reshape(-1)[::2] ** 2) + np.sum(np.abs(x)))
    assert same_bits(pb.compile(gradient)(x), gradient(x))
