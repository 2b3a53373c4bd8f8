"""Networks: gradients against finite differences, machine code against the interpreter, calls that are quick."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.trace.tree import leaves, tree_map
from programs.networks import NETWORKS

NAMES = list(NETWORKS)


def drawn(name, dtype):
    parameters, *data = NETWORKS[name][1](np.random.default_rng(NAMES.index(name)))
    return tree_map(lambda x: x.astype(dtype) if x.dtype.kind == "f" else x, (parameters, *data))


@pytest.mark.parametrize("name", NAMES)
def test_against_finite_differences(name):
    parameters, *data = drawn(name, np.float64)
    pb.check_grads(lambda p: NETWORKS[name][0](p, *data), parameters, order=amount.cases(1, 2), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32][: amount.cases(1, 2)])
@pytest.mark.parametrize("name", NAMES[:: amount.cases(3, 1)])
def test_compiled(name, dtype):
    """Near the interpreter's numbers and of its dtypes, the same bits on any number of threads."""
    given = drawn(name, dtype)
    f = pb.value_and_grad(NETWORKS[name][0])
    compiled, wanted = pb.compile(f), leaves(f(*given))
    scale = max(np.max(np.abs(x)) for x in wanted)
    found = []
    try:
        for threads in (1, 2, 3):
            pb.set_threads(threads)
            found.append(leaves(compiled(*given)))
    finally:
        pb.set_threads(None)
    for one, other, third, value in zip(*found, wanted, strict=True):
        assert np.asarray(one).dtype == np.asarray(value).dtype
        np.testing.assert_allclose(one, value, rtol=0, atol=30 * np.finfo(dtype).eps * scale)
        assert np.array_equal(one, other)
        assert np.array_equal(one, third)
    assert not compiled._last.outside, "arrays that it makes itself are read at each call"
