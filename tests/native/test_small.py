"""Kernels of small products, and parts of vectors that are made in their places."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback import native
from payback.native.codegen.emit import FLOAT32, lanes_of, vector_bytes
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products import product, small, small_tile
from payback.native.lower.products.small import Small
from payback.native.lower.products.small_tile import across
from payback.native.running import cores, reuse
from payback.optim import Adam
from payback.trace.tree import leaves
from payback.train import compiled
from payback.train.compiled import Compiled
from payback.train.step import Steps

pytestmark = pytest.mark.skipif(not native.available(), reason="native code is off")


def trained(sizes, batch, dtype, activation="tanh"):
    """The network after some steps on batches, and the kernels that were used."""
    rng = np.random.default_rng(0)
    X, y = (rng.normal(size=(3 * batch, width)).astype(dtype) for width in (sizes[0], sizes[-1]))
    net, optimizer = pb.nn.MLP(sizes, activation=activation, seed=1, dtype=dtype), Adam(1e-2)
    steps = Steps(net, pb.nn.squared_error, optimizer)
    run = Compiled(steps, optimizer, net, optimizer.init(net), X, y, None)
    order, done = np.tile(rng.permutation(3 * batch), 2), 0
    while done < 6:
        done += len(run.take(order[done * batch :], batch, 6 - done, np.full(6 - done, 1e-2), done + 1).costs)
    kernels = [command.kernel for command in run._loop(batch, True).planner.commands]
    return [leaf.tobytes() for leaf in leaves(run.net())], [k for k in kernels if isinstance(k, Small)]


def sizes_of(seed):
    rng = np.random.default_rng(seed)
    return [int(n) for n in rng.integers(1, 70, rng.integers(2, 5))], int(rng.integers(1, 80))


CASES = [([2, 16, 16, 1], 32), ([8, 8, 8], 1), ([64, 33, 10], 7), ([5, 4, 9], 320), ([5, 4, 9], 321),
         ([8, 64, 64, 8], 4), ([3, 65, 8], 5), ([4, 32, 64, 3], 9), ([8, 24, 40, 8], 2), ([4, 10, 10, 10, 3], 16),
         ([17, 6, 130, 5], 11), ([16, 256, 26], 4)]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("sizes", "batch"), [*CASES[:: amount.cases(2, 1)], *map(sizes_of, range(amount.cases(1, 30)))], ids=str
)
def test_small_products_have_the_bits_of_the_others(monkeypatch, dtype, sizes, batch):
    reuse.forget()
    of_small, kernels = trained(sizes, batch, dtype)
    monkeypatch.setattr(small, "MOST", 0)
    monkeypatch.setattr(product, "skinny", lambda *_: None)  # some of these sum in another order
    reuse.forget()
    of_others, none = trained(sizes, batch, dtype)
    assert of_small == of_others
    assert not none
    if (sizes, batch) in CASES[:4]:
        assert kernels


def commands_of(sizes, batch):
    rng = np.random.default_rng(0)
    X, y = (rng.normal(size=(2 * batch, width)).astype(np.float32) for width in (sizes[0], sizes[-1]))
    net, optimizer = pb.nn.MLP(sizes, activation="relu", seed=1), pb.optim.Momentum(1e-2)
    run = Compiled(Steps(net, pb.nn.squared_error, optimizer), optimizer, net, optimizer.init(net), X, y, None, False)
    return run._loop(batch, True).planner.commands


def test_a_step_keeps_its_differences_and_neither_predictions_nor_squares():
    """What was predicted is an output that nobody asks for; squares are made where they are added up."""
    large = [command for command in commands_of([5, 12, 300], 200) if "sub" in command.text]
    rows = [[view.shape[0] for view in command.writes if view.shape[1:] == (300,)] for command in large]
    assert all(len(each) == 1 for each in rows)
    assert sum(each[0] for each in rows) == 200  # in one piece, or one for each thread


def test_gradients_of_one_sample_are_made_where_they_are_used():
    """Entries of two vectors times each other: in one pass with their norm, the update and the step's length."""
    commands = commands_of([200, 300, 400], 1)
    for shape in ((200, 300), (300, 400)):
        (update,) = [c for c in commands if any(view.shape == shape for view in c.writes)]
        assert type(update.kernel) is Nest
        assert sum(sink[0] == "sum" for sink in update.kernel.sinks) == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        ([2, 16, 16, 1], 32),
        ([4, 32, 32, 3], 8),
        ([10, 10, 1], 1),
        ([2, 8, 1], 64),
        ([3, 17, 5, 2], 33),
        ([6, 6, 3], 128),
        ([30, 64, 64, 2], 100),
        ([7, 32, 8], 320),
    ],
    ids=str,
)
def test_columns_are_added_up_by_a_product_to_the_same_bits(monkeypatch, dtype, sizes, batch):
    """A bias's gradient, with its weight's: behind relu, whose mask is in the product before."""
    reuse.forget()
    beside, kernels = trained(sizes, batch, dtype, "relu")
    assert any(kernel.sums for kernel in kernels)
    monkeypatch.setattr(small, "MOST", 0)
    reuse.forget()
    assert trained(sizes, batch, dtype, "relu") == (beside, [])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_sums_are_made_in_parts_that_fit_in_the_first_cache(dtype):
    _, kernels = trained([30, 64, 64, 2], 100, dtype, "relu")
    assert {kernel.depth for kernel in kernels} == {0, 25 if dtype == "float64" else 50}
    for kernel in kernels:
        assert not kernel.depth or (kernel.k % kernel.depth == 0 and kernel.after is None)
    _, kernels = trained([30, 64, 64, 2], 97, dtype, "relu")  # a prime number is not cut
    assert {kernel.depth for kernel in kernels} == {0}
    _, kernels = trained([29, 30, 2], 400, dtype, "relu")  # rows or columns that would be added twice
    assert {kernel.depth for kernel in kernels} == {0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_product_of_a_small_network_has_a_kernel_for_its_shape(dtype):
    """Few columns, odd ones, less than a vector's: none is left to kernels for all sizes."""
    for sizes, batch in (([3, 7, 5, 2], 8), ([4, 10, 10, 3], 16), ([11, 23, 17, 4], 37), ([6, 1, 6], 1)):
        _, kernels = trained(sizes, batch, dtype, "relu")
        assert len(kernels) == 3 * (len(sizes) - 1) - 1, sizes
        assert all(kernel.scratch > 0 for kernel in kernels if kernel.turned == "packed")


def test_what_is_left_of_a_row_is_a_vector_of_fewer_lanes():
    lanes = lanes_of(FLOAT32)
    for columns in range(1, 4 * lanes + 1):
        for whole in (True, False):
            vectors = across(FLOAT32, columns, whole)
            entries = [entry for vector in vectors for entry in range(vector.start, vector.stop)]
            assert set(entries) == set(range(columns))
            assert len(entries) <= columns + vectors[-1].lanes - 1  # entries of one vector are computed twice at most
            assert all(vector.lanes & (vector.lanes - 1) == 0 <= vector.start for vector in vectors)
            assert whole or all(vector.count is None for vector in vectors)


@pytest.mark.skipif(vector_bytes() < 64, reason="vectors of 64 bytes")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_three_halves_are_as_good_as_one_and_a_half_of_the_whole(dtype, monkeypatch):
    made, lanes = {}, vector_bytes() // np.dtype(dtype).itemsize
    for double_pumped in (True, False):
        monkeypatch.setattr(small_tile, "is_double_pumped", lambda answer=double_pumped: answer)
        monkeypatch.setattr(reuse, "_kept", False)
        reuse.forget()
        made[double_pumped] = trained([12, 3 * lanes // 2], 9, dtype)
    beside = {key: {k.vectors for k in kernels if not k.turned and not k.down} for key, (_, kernels) in made.items()}
    assert 3 in beside[True]
    assert 3 not in beside[False]
    assert made[True][0] == made[False][0]


def test_a_column_is_a_row_of_the_transpose():
    _, kernels = trained([2, 16, 16, 1], 32, "float32", "relu")
    assert {kernel.turned for kernel in kernels if kernel.down} == {"", "squares"}
    _, kernels = trained([16, 16, 16], 3, "float64", "relu")  # few rows: squares without packing
    assert "squares" in {kernel.turned for kernel in kernels}


def test_tiles_are_low_and_wide_where_no_vector_lies_across_two_lines():
    _, kernels = trained([32, 64, 64, 64], 32, "float64")
    assert {(kernel.rows, kernel.vectors) for kernel in kernels} == {(2, 4)}
    _, kernels = trained([32, 63, 63], 32, "float64")  # rows of 504 bytes
    assert (2, 4) not in {(kernel.rows, kernel.vectors) for kernel in kernels if not kernel.turned}


@pytest.mark.parametrize("count", [0, 1, 7, 64])
def test_arrays_of_a_training_begin_a_line_of_the_cache(count):
    for dtype in ("<f4", ">f8"):
        given = np.arange(count, dtype=dtype)
        made = compiled._apart(given)
        assert count == 0 or made.ctypes.data % compiled.LINE == 0  # an empty array lies nowhere
        assert made.dtype.isnative
        assert made.flags.c_contiguous
        assert np.array_equal(made, given)


def test_the_bits_do_not_depend_on_threads():
    made = []
    for threads in (1, 2, 3):
        cores.set_threads(threads)
        made.append(trained([64, 128, 64, 10], 64, "float32", "relu")[0])
    cores.set_threads(None)
    assert made[0] == made[1] == made[2]


def test_programs_that_run_once_share_the_kernels_for_all_sizes():
    f = pb.compile(lambda x, w: x @ w)
    f(np.ones((8, 16)), np.ones((16, 16)))
    trained([2, 16, 16], 8, "float64")
    assert len({kernel.columns for kernel in trained([16, 16, 16], 8, "float64")[1]}) == 1


def joined(x, w):
    """Parts that have kernels of their own, one that has none, one that others read too, a vector in a vector."""
    product, total = x @ w, x.sum(axis=0)
    inner = np.concatenate([total, product.reshape(-1)])
    return np.concatenate([inner, np.tanh(total), (x * x).sum(axis=1), x.max(axis=1), inner]), product * 2.0, total


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (8, 16, 8), (0, 2, 3)])
def test_parts_of_a_vector(shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(m, k)), rng.normal(size=(k, n))
    if m == 0:
        k = 1
    f = joined if m else lambda x, w: (np.concatenate([(x @ w).reshape(-1), x.sum(axis=0)]),)
    for found, wanted in zip(pb.compile(f)(x, w), f(x, w), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-13)


def test_the_same_part_twice_and_as_a_result():
    def f(x, w):
        product = (x @ w).reshape(-1)
        return np.concatenate([product, product]), product, np.concatenate([product, product[:2]])

    x, w = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    for found, wanted in zip(pb.compile(f)(x, w), f(x, w), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_gradients_of_parts_of_a_vector():
    def f(p):
        w, b = p[:12].reshape(3, 4), p[12:]
        return (np.tanh(np.arange(6.0).reshape(2, 3) @ w + b) ** 2).sum()

    p = np.random.default_rng(0).normal(size=16)
    # terms of 1 nearly cancel
    np.testing.assert_allclose(pb.compile(pb.grad(f))(p), pb.grad(f)(p), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("width", amount.cases([1, 2, 3, 5, 9, 16, 33], [*range(1, 20), 31, 33, 64, 65, 100]))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_gathered_whole(width, dtype):
    """A linear network from `width` columns: one step on chosen rows, against NumPy."""
    rng = np.random.default_rng(width)
    X, y = rng.normal(size=(40, width)).astype(dtype), rng.normal(size=(40, 1)).astype(dtype)
    net, optimizer = pb.nn.MLP([width, 1], seed=0, dtype=dtype), pb.optim.GradientDescent(0.5)
    run = Compiled(Steps(net, pb.nn.squared_error, optimizer), optimizer, net, [(), ()], X, y, None)
    order = rng.permutation(40)[:7]
    run.take(order, 7, 1, np.array([0.5]), 1)
    w, b = leaves(net)
    error = X[order] @ w + b - y[order]
    after = leaves(run.net())
    np.testing.assert_allclose(after[0], w - 0.5 * 2 / 7 * X[order].T @ error, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after[1], b - 0.5 * 2 / 7 * error.sum(0), rtol=1e-4, atol=1e-5)
