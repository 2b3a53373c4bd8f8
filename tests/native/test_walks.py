"""Products and places of extremes along axes, compiled: NumPy's own, in NumPy's order."""

import numpy as np
import pytest

import amount
import payback as pb

SHAPES = [(9,), (3, 4, 5), (70, 3), (5, 300), (2, 130, 17), (1, 1), (33, 40), (3, 0, 2)]
PLACES = {"argmax": np.argmax, "argmin": np.argmin}


def some(shape, dtype, seed=0):
    """Few different numbers, so that the first of equal ones matters; NaN and infinities among them."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, shape).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[rng.random(shape) < 0.02] = np.nan
        x[rng.random(shape) < 0.02] = -np.inf
        x[rng.random(shape) < 0.02] = -0.0
    return x


def views(x):
    """The same numbers as they lie, transposed, and every second one backwards."""
    return [x, x.T, x[..., ::-2]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("name", PLACES)
def test_places(name, dtype):
    for shape in SHAPES[: amount.cases(5, 7)]:
        for x in views(some(shape, dtype)):
            for axis in (None, *range(x.ndim)):
                for keepdims in (False, True):

                    def f(x, axis=axis, keepdims=keepdims):
                        return PLACES[name](x, axis=axis, keepdims=keepdims)

                    found = pb.compile(f, native=True)(x)
                    np.testing.assert_array_equal(found, f(x), err_msg=f"{shape} {axis} {keepdims}")
                    assert np.shape(found) == np.shape(f(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_running_extremes(dtype):
    for shape in SHAPES[: amount.cases(4, 8)]:
        for x in views(some(shape, dtype)):
            for axis in range(x.ndim):
                for extreme in (np.maximum, np.minimum):

                    def f(x, extreme=extreme, axis=axis):
                        return extreme.accumulate(x, axis=axis)

                    np.testing.assert_array_equal(pb.compile(f, native=True)(x), f(x))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_products(dtype):
    for shape in SHAPES[: amount.cases(4, 8)]:
        for x in views(some(shape, dtype) - np.array(2, dtype)):
            for axis in (None, *range(x.ndim), tuple(range(x.ndim))[1:]):

                def f(x, axis=axis):
                    return np.prod(x, axis=axis)

                compiled = pb.compile(f, native=True)
                with np.errstate(invalid="ignore"):
                    wanted = f(x)
                np.testing.assert_array_equal(compiled(x), wanted)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.bool_])
def test_sums_so_far(dtype):
    """And backwards, as their gradients are; bit for bit, signs of zeros too."""
    for shape in [(9, 4, 40), (5, 300), (70, 3), (1, 1), (3, 0, 2)][: amount.cases(1, 5)]:
        for x in views(some(shape, dtype)):
            for axis in range(x.ndim):

                def f(x, axis=axis):
                    return np.cumsum(x, axis), np.flip(np.cumsum(np.flip(x, axis), axis), axis)

                with np.errstate(invalid="ignore"):
                    wanted = f(x)
                for a, b in zip(pb.compile(f, native=True)(x), wanted, strict=True):
                    np.testing.assert_array_equal(a, b)
                    assert a.dtype == b.dtype
                    assert np.array_equal(np.signbit(a[b == 0]), np.signbit(b[b == 0]))


def test_neighbors_are_summed_up_by_vectors():
    compiled = pb.compile(lambda x: (np.cumsum(x, 0), np.cumsum(x, 1)), native=True)
    compiled(np.ones((30, 40)))
    assert [kernel.beside for c in compiled._program().commands if hasattr(kernel := c.kernel, "beside")] == [
        True, False
    ]  # fmt: skip


def test_none_of_them_leaves_machine_code():
    def f(x):
        return np.argmax(x), np.argmin(x, axis=0), np.prod(x, axis=1), np.minimum.accumulate(x)

    compiled = pb.compile(f, native=True)
    compiled(np.ones((3, 4)))
    assert "0 of them on NumPy" in compiled.explain_compilation()


def test_a_product_goes_from_the_first_to_the_last_entry():
    """Large and small numbers in turns: their product is 1, those of all the large ones overflow."""
    x = np.tile([1e200, 1e-200], 40)
    for each in (x, np.stack([x, x[::-1]]), np.stack([x] * 9, axis=1)):
        assert np.all(pb.compile(lambda x, axis=int(each.shape[0] < 80): np.prod(x, axis=axis), native=True)(each) == 1)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_what_is_computed_of_a_product_waits_for_it(shape):
    """Numbers at hand are computed together: those of the product's own argument before it, its users after it."""
    f = pb.compile(pb.value_and_grad(lambda s: np.prod(np.reshape(s * 2.0, shape)) * 3.0), native=True)
    assert f(-1.5) == (-9.0, 6.0)


def test_a_step_of_a_loop_finds_places():
    def f(x):
        def step(carry, row):
            chosen = row[np.argmax(np.abs(row))]
            return carry * 0.5 + chosen * np.prod(1 + 0.1 * row), np.argmin(row)

        return pb.scan(step, 0.0, x)

    x = np.random.default_rng(1).standard_normal((20, 6))
    compiled = pb.compile(pb.value_and_grad(lambda x: f(x)[0]), native=True)
    found, wanted = compiled(x), pb.value_and_grad(lambda x: f(x)[0])(x)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-13)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(pb.compile(lambda x: f(x)[1], native=True)(x), np.argmin(x, axis=1))
    assert "0 of them on NumPy" in compiled.explain_compilation()


def test_keys_are_folded_and_split():
    for numbers in (np.int64(-3), 7, np.int64(2**40 + 5)):
        found = pb.compile(lambda key, n: pb.random.fold_in(key, n), native=True)(pb.random.key(5), numbers)
        np.testing.assert_array_equal(found, pb.random.fold_in(pb.random.key(5), int(numbers)))

    def walk(key, x):
        def step(x, k):
            here = pb.random.fold_in(key, k)
            return x + pb.random.normal(here, x.shape, x.dtype), x[0]

        return pb.scan(step, x, np.arange(12))

    compiled = pb.compile(walk, native=True)
    for seed in range(3):
        key = pb.random.split(pb.random.key(seed))[1]
        for found, wanted in zip(compiled(key, np.zeros(3)), walk(key, np.zeros(3)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-14)
    assert "0 of them on NumPy" in compiled.explain_compilation()


def test_many_keys_are_folded_at_once():
    keys = np.stack(pb.random.split(pb.random.key(1), 6))
    fold = pb.vmap(pb.random.fold_in)
    numbers = np.arange(6) * 10**9
    np.testing.assert_array_equal(pb.compile(fold, native=True)(keys, numbers), fold(keys, numbers))
    alone = pb.vmap(lambda key: pb.random.fold_in(key, 3))
    np.testing.assert_array_equal(pb.compile(alone, native=True)(keys), alone(keys))


def test_the_last_of_repeated_places_is_written():
    def f(x, places, values):
        x = x * 1.0
        x[places] = values
        return x

    rng = np.random.default_rng(0)
    x, values = rng.standard_normal((2, 7))
    compiled = pb.compile(f, native=True)
    for _ in range(5):
        places = rng.integers(-7, 7, 7)
        np.testing.assert_array_equal(compiled(x, places, values), f(x, places, values))
    assert "0 of them on NumPy" in compiled.explain_compilation()
    with pytest.raises(IndexError):
        compiled(x, np.full(7, 7), values)
