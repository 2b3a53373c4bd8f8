"""Convolutions by windows, native: products with views, and payments that are added where they belong."""

import re

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both
from ops.checks import same_bits
from payback.native.lower.products.paid import alone
from payback.native.lower.products.shape import shape_of
from payback.native.planning.layout import contiguous
from payback.trace.tree import leaves

windows_of = np.lib.stride_tricks.sliding_window_view


def convolved(x, w, step):
    """Images or series (b, c, …) with weights (o, c, …), where they lie whole."""
    rank = w.ndim - 2
    windows = windows_of(x, w.shape[2:], axis=tuple(range(2, 2 + rank)))
    windows = windows[(slice(None), slice(None), *[slice(None, None, step)] * rank)]
    space, taps = "yx"[:rank], "kl"[:rank]
    return np.einsum(f"bc{space}{taps},oc{taps}->bo{space}", windows, w)


@pytest.mark.parametrize("seed", range(amount.cases(4, 40)))
def test_convolutions(seed):
    """In whole numbers, so every order of sums is exact; two layers, so payments go on through the windows."""
    g = np.random.default_rng(seed)
    rank, dtype = int(g.integers(1, 3)), g.choice([np.float32, np.float64])
    b, c, o, p = (int(n) for n in g.choice([1, 2, 3, 8, 17], 4))
    taps, step = tuple(int(n) for n in g.integers(1, 5, rank)), int(g.choice([1, 1, 2]))
    space = tuple(int(n) for n in g.integers(11, {1: 60, 2: 24}[rank], rank))
    x = g.integers(-2, 3, (b, c, *space)).astype(dtype)
    v, w = (g.integers(-1, 2, (*ends, *taps)).astype(dtype) for ends in ((o, c), (p, o)))

    def f(x, v, w):
        y = convolved(np.maximum(convolved(x, v, 1), 0.0), w, step)
        return np.sum(y * (np.arange(y.shape[-1]) % 3 - 1.0).astype(dtype))

    made = pb.value_and_grad(f, argnums=(0, 1, 2))
    value, gradients = made(x, v, w)
    compiled = pb.compile(made)
    try:
        for threads in (1, 2, 3, 8):
            pb.set_threads(threads)
            found, found_gradients = compiled(x, v, w)
            assert found == value, threads
            for one, other in zip(found_gradients, gradients, strict=True):
                np.testing.assert_array_equal(one, other, err_msg=f"{threads} threads")
    finally:
        pb.set_threads(None)


def test_neither_windows_nor_their_payments_are_written_out():
    x, w = np.ones((4, 8, 20, 20), np.float32), np.ones((8, 8, 3, 3), np.float32)
    f = pb.compile(pb.grad(lambda x, w: np.sum(np.tanh(convolved(np.tanh(x), w, 1)))))
    f(x, w)
    told = f.explain_compilation()
    assert "paid to windows" in told
    assert not re.search(r"index|scatter", told)


@pytest.mark.parametrize("seed", range(amount.cases(10, 80)))
def test_evenly_spaced_indices(seed):
    """Windows, diagonals and steps by index arrays, read and paid back: the interpreter's bits."""
    g = np.random.default_rng(seed)
    shape = tuple(int(n) for n in g.integers(6, 30, 2))
    count, taps = int(g.integers(1, 5)), int(g.integers(1, 3))
    line = np.arange(count)[:, None] * g.integers(-1, 2) + np.arange(taps) * g.integers(0, 2)
    line -= line.min() + (line.max() - line.min() + 1) * int(g.integers(0, 2))
    index = [(line,), (slice(1, None), line), (line, line.copy()), (slice(None, None, 2), line + 0 * line[:, :1])]
    index = index[int(g.integers(0, 4))]
    x = np.where(g.random(shape) < 0.2, -0.0, g.standard_normal(shape))

    def f(x):
        y = x[index]
        return y, pb.grad(lambda x: np.sum(np.sqrt(np.abs(x))[index] * y))(x)

    _, found, wanted = both(f, x)
    for one, other in zip(found, wanted, strict=True):
        assert same_bits(one, other), index


def test_indices_that_are_out_of_bounds_raise():
    x = np.arange(6.0)
    for places in (np.arange(4) + 3, np.arange(-7, -2)):
        with pytest.raises(IndexError):
            pb.compile(lambda x, places=places: x[places] * 2)(x)
    mixed = np.arange(-2, 3)  # evenly spaced, but not in memory
    np.testing.assert_array_equal(pb.compile(lambda x: x[mixed])(x), x[mixed])


def test_what_no_window_reads_is_owed_nothing():
    """An infinite partial there meets no zero."""
    x = np.random.default_rng(0).random((2, 3, 9, 9))
    x[:, :, -1] = x[:, :, :, -1] = 0.0
    w = np.ones((2, 3, 2, 2))
    gradient = pb.grad(lambda x: np.sum(convolved(np.sqrt(x), w, 2)))
    found = pb.compile(gradient)(x)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, gradient(x), rtol=1e-14)


@pytest.mark.parametrize("seed", range(60))
def test_an_axis_that_is_alone(seed):
    """Whatever is said to be apart is: counted."""
    g = np.random.default_rng(seed)
    extents, strides = g.integers(1, 5, 3).tolist(), g.integers(0, 12, 3).tolist()
    places = sum(
        np.arange(n).reshape(-1, *(1,) * (2 - k)) * s for k, (n, s) in enumerate(zip(extents, strides, strict=True))
    )
    for axis in range(3):
        slabs = [set(slab.ravel()) for slab in np.moveaxis(places, axis, 0)]
        apart = sum(map(len, slabs)) == len(set().union(*slabs))
        assert apart or not alone(axis, extents, strides)


def test_windows_that_are_copied_for_a_product_serve_its_gradient():
    g = np.random.default_rng(0)
    w, x = g.standard_normal((4, 2, 3, 3)), g.standard_normal((4, 2, 10, 10))
    made = pb.value_and_grad(lambda w, x: np.sum(convolved(x, w, 1) ** 2))
    compiled = pb.compile(made)
    for found, wanted in zip(compiled(w, x), made(w, x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10)
    assert len(re.findall(r"copy  →", compiled.explain_compilation())) == 1


def test_columns_are_not_copied_where_that_is_no_product():
    """Places first in the result, images after: channels that are neighbors would leave two axes of columns."""
    x, w = np.ones((2, 5, 5, 5), np.float32), np.arange(90, dtype=np.float32).reshape(3, 3, 5, 2)

    def f(x, r):
        windows = windows_of(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3), axis=(1, 2))[:, ::2, ::2]
        return np.sum(np.einsum("nhwcij,ijcd->hwnd", windows, w) * r)

    r = np.arange(36, dtype=np.float32).reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(pb.compile(pb.grad(f))(x, r), pb.grad(f)(x, r))


def test_a_layer_reads_neighborhoods_where_they_lie():
    """Whole rows of them: entries and channels are one run of memory, however the letters are ordered."""
    net, x = pb.nn.Conv(4, 8, (3, 3), key=pb.random.key(0)), np.ones((4, 20, 20, 4), np.float32)
    f = pb.compile(pb.grad(lambda x: np.sum(np.tanh(net(np.tanh(x))))))
    f(x)
    told = f.explain_compilation()
    assert "paid to windows" in told
    assert not re.search(r"(copy|concatenate) +→ +4×18×18", told)


@pytest.mark.parametrize("letters", ["nyxckl,klco->nyxo", "nyxklc,klco->nyxo", "nyxlkc,klco->nyxo"])
def test_sums_are_taken_in_the_order_of_the_memory(letters):
    strides = {"n": 4096, "y": 128, "x": 4, "k": 128, "l": 4, "c": 1, "o": 1}
    extents = {"n": 4, "y": 18, "x": 18, "k": 3, "l": 3, "c": 4, "o": 8}
    left, *_ = spec = tuple(re.split(",|->", letters))
    sizes = [tuple(extents[c] for c in part) for part in spec]
    forms = [(sizes[0], tuple(strides[c] for c in left)), *((size, contiguous(size)) for size in sizes[1:])]
    found = shape_of(spec, *forms)
    assert found.size("k") == 3 * 4
    assert found.stride(0, "m") == 4, "rows are neighbors"


@pytest.mark.parametrize("layer", ["images", "groups", "LSTM", "Attention"])
def test_layers_have_the_same_bits_on_any_number_of_threads(layer):
    g, key = np.random.default_rng(0), pb.random.key(0)
    net, x = {
        "images": lambda: (pb.nn.Conv(8, 16, (3, 3), key=key, padding="same"), (8, 16, 16, 8)),
        "groups": lambda: (pb.nn.Conv(16, 16, (3, 3), key=key, stride=2, groups=16), (8, 32, 32, 16)),
        "LSTM": lambda: (pb.nn.LSTM(16, 32, key=key), (32, 8, 16)),
        "Attention": lambda: (pb.nn.Attention(32, 4, key=key), (16, 32, 32)),
    }[layer]()
    x = g.normal(size=x).astype(np.float32)
    f = pb.value_and_grad(lambda net, x: np.mean(net(x) ** 2), argnums=(0, 1))
    compiled, expected, first = pb.compile(f), leaves(f(net, x)), None
    try:
        for threads in (1, 2, 3):
            pb.set_threads(threads)
            found = leaves(compiled(net, x))
            first = first or found
            assert all(map(same_bits, found, first)), threads
    finally:
        pb.set_threads(None)
    for one, other in zip(first, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=1e-5 * np.abs(other).max())
