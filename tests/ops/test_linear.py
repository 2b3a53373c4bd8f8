"""Every use of a linear row × dtype × layout, by the dot-product identity, exactly; and the reductions."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops import checks
from ops.samples import FLOATS, LINEAR, REDUCTIONS, traced
from payback.ops import namespace

DTYPES = [pytest.param(dtype, id=np.dtype(dtype).name) for dtype in FLOATS]


@pytest.mark.parametrize("layout", ["plain", "strided", "reversed", "transposed"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINEAR)
def test_adjoint(name, dtype, layout):
    checks.check_linear(name, dtype, layout)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LINEAR)
def test_adjoint_of_the_adjoint(name, dtype):
    checks.check_linear_second(name, dtype)


@pytest.mark.parametrize("dtype", [*FLOATS, np.int8, np.uint16, np.int64, np.bool_], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("name", LINEAR)
def test_value(name, dtype):
    """NumPy's value and dtype, for whole numbers and booleans too."""
    case = LINEAR[name]
    if name in ("cast", "scatter") and np.dtype(dtype).kind != "f":
        dtype = np.float32
    args = [np.abs(checks.integers(shape, np.int8, k)).astype(dtype)[()] for k, shape in enumerate(case.shapes)]
    expected = case.call(*args, *case.more)
    found = case.call(*map(traced, args), *case.more)
    checks.assert_same(found.node.value, expected)
    checks.check_abstract(lambda *xs: case.call(*xs, *case.more), args)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name, case in LINEAR.items() if case.row in ("sum", "mean", "contract")])
def test_rounded_value(name, dtype):
    """Sums of numbers that do not add up exactly: NumPy's bits where the call is the same, else a sum's error."""
    case = LINEAR[name]
    generator = np.random.default_rng(5)
    args = [np.asarray(generator.standard_normal(shape)).astype(dtype)[()] for shape in case.shapes]
    found, expected = case.call(*map(traced, args)).node.value, case.call(*args)
    if case.row != "contract":
        checks.assert_same(found, expected)
        return
    # NumPy hands other shapes to BLAS than a contraction does, which adds in another order: n roundings of |a|·|b|
    bound = 8 * np.finfo(dtype).eps * np.asarray(case.call(*map(np.abs, args)), np.float64)
    assert (np.abs(np.asarray(found, np.float64) - np.asarray(expected, np.float64)) <= bound).all()


@pytest.mark.parametrize(("shape", "axis", "keepdims"), [
    ((7,), None, False), ((2, 3), 0, False), ((2, 3), 1, True), ((2, 3), -1, False), ((2, 2, 3), (0, 2), False),
    ((2, 2, 3), (0, 2), True), ((2, 3), None, True), ((1,), 0, False),
])  # fmt: skip
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(name, dtype, shape, axis, keepdims):
    x = (np.random.default_rng(3).integers(-12, 13, shape) / 4).astype(dtype)
    case = REDUCTIONS[name]
    if case.numpy is not None:
        checks.assert_same(
            case.call(traced(x), axis=axis, keepdims=keepdims).node.value, case.numpy(x, axis=axis, keepdims=keepdims)
        )
    checks.check_reduction(name, x, axis, keepdims)
    checks.check_abstract(lambda z: case.call(z, axis=axis, keepdims=keepdims), [x])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_of_other_layouts(name, dtype):
    x = (np.arange(24).reshape(4, 6) % 7 / 2).astype(dtype)
    for view in (x.T, x[::-1, ::2], np.asfortranarray(x), x[:, 1:2]):
        checks.check_reduction(name, view, 0, False)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction_of_a_scalar(name):
    for x in (2.5, np.float32(2.5), np.array(2.5, np.float16)):
        found = pb.grad(lambda z: REDUCTIONS[name].call(z))(x)
        assert found == 1.0
        assert np.asarray(found).dtype == np.asarray(x).dtype


def test_logsumexp_value():
    import mpmath as mp

    for numbers in ([0.5, -1.25, 3.0], [1000.0, 999.0], [-1000.0, -1000.5], [1e-300, 0.0], [0.5, 0.5]):
        exact = mp.log(mp.fsum(mp.exp(mp.mpf(n)) for n in numbers))
        found = REDUCTIONS["logsumexp"].call(traced(np.array(numbers))).node.value
        assert abs(found - exact) <= 4 * np.finfo(float).eps * max(abs(exact), 1)


def test_numbers_of_entries_beyond_float16():
    """70,000 entries are more than float16 can count to; their mean, its derivative and logsumexp are not."""
    x = np.zeros(70_000, np.float16)
    assert pb.grad(lambda z: z.mean())(x)[0] == np.float16(1 / 70_000)
    assert pb.grad(lambda z: z.max())(x)[0] == np.float16(1 / 70_000)
    assert REDUCTIONS["logsumexp"].call(traced(x)).node.value == np.float16(np.log(70_000))


WINDOWS = np.arange(12)[:, None] + np.arange(3)
PLACES = {  # whether they are paid by lines
    "windows": (WINDOWS, True),
    "windows in steps": (2 * np.arange(5)[:, None] + np.arange(3), True),
    "wide windows": (WINDOWS.T.copy(), True),
    "uneven windows": (np.array([[3, 5], [5, 9], [9, 10]]), True),
    "ascending": (np.array([1, 4, 9, 13]), True),
    "one twice": (np.array([1, 4, 4, 13]), False),
    "descending": (WINDOWS[::-1], False),
    "equal columns": (np.array([[1, 1], [2, 2]]), False),
    "from the end": (np.array([[-2, -1], [-1, 0]]), False),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", PLACES)
def test_payments_by_lines_are_added_in_the_order_of_numpy(name, axis, monkeypatch):
    monkeypatch.setattr(namespace, "_FEW_PAID", 0)
    at, by_lines = PLACES[name]
    rng = np.random.default_rng(0)
    template = (*[slice(None)] * axis, namespace.Place(0))
    buffer = rng.normal(size=(14, 14, 3)).astype(np.float32)
    payment = rng.normal(size=buffer[namespace.full_index(template, (at,))].shape).astype(np.float32)
    expected = buffer.copy()
    np.add.at(expected, namespace.full_index(template, (at,)), payment)
    assert (namespace._lines(buffer, template, (at,), payment) is not None) is by_lines
    namespace.scatter_into(buffer, template, (at,), payment)
    np.testing.assert_array_equal(buffer, expected)
