"""What index arrays read and pay, native: all dtypes of indices, short and long rows, repeats in NumPy's order."""

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import both, check
from ops.checks import same_bits
from payback.native.running.program import Program
from payback.trace.abstract import trace

WHOLE = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("dtype", WHOLE[:: amount.cases(3, 1)])
def test_an_index_out_of_bounds_is_found_wherever_it_stands(dtype):
    f, x = pb.compile(lambda x, i: x[i]), np.arange(7.0)
    for count in (1, 5, 17):
        i = (np.arange(count) % 7).astype(dtype)
        np.testing.assert_array_equal(f(x, i), x[i])
        for wrong in (7, 100) if np.dtype(dtype).kind == "u" else (7, 100, -8, -128):
            for place in (0, count - 1):
                j = i.copy()
                j[place] = wrong
                with pytest.raises(IndexError):
                    f(x, j)


def test_every_part_of_a_table_of_indices_is_looked_at():
    """Columns, rows and slices of one array are other indices, for a larger array as for a smaller one."""
    parts = [np.s_[:, 0], np.s_[:, 1], np.s_[:, 2], np.s_[1], np.s_[::2, 1], np.s_[4:, 2]]

    def f(x, y, t):
        return [z[t[part]] * 2.0 for part in parts for z in (x, y)]

    g = np.random.default_rng(0)
    x, y, table = g.standard_normal(9), g.standard_normal(7), g.integers(-7, 7, (6, 3))
    assert all(map(np.array_equal, pb.compile(f)(x, y, table), f(x, y, table)))
    for part in parts:
        one = pb.compile(lambda x, y, t, part=part: (x[t[:1, 0]], y[t[part]], x[t[part]]))
        for wrong in (8, -9, 9, 1 << 40):
            t = table.copy()
            t[part].flat[-1] = wrong
            with pytest.raises(IndexError):
                one(x, y, t)
    for place in np.ndindex(table.shape):
        t = table.copy()
        t[place] = 8
        with pytest.raises(IndexError):
            pb.compile(f)(x, y, t)


@pytest.mark.parametrize("seed", range(amount.cases(8, 60, 300)))
def test_rows_by_index(seed):
    """Reading, sums of what was read, and payments: the bits of one payment after another."""
    g = np.random.default_rng(seed)
    rows, columns, count = (int(n) for n in (g.integers(1, 40), g.integers(1, g.choice([6, 40])), g.integers(1, 200)))
    dtype = g.choice([np.float32, np.float64])
    x, w = g.standard_normal((rows, columns)).astype(dtype), g.standard_normal((count, columns)).astype(dtype)
    i = g.integers(-rows, rows, count).astype(g.choice([np.int32, np.int64]))
    if g.random() < 0.3:
        i.sort()
    j = g.integers(0, columns, count)

    def read(x, w, i, j):
        taken = x[i]
        return np.sum(taken * w, axis=1), taken[:, ::2] + 1, taken[:, -1], x[i, j] * w[:, 0], x.T[:, i] * 2

    check(*both(read, x, w, i, j), rtol=1e-5 if dtype is np.float32 else 1e-13, what=str((rows, columns, count)))

    def paid(x, w, i, j):
        y = x * 1
        np.add.at(y, i, w)
        np.add.at(y, (i, j), w[:, 0])
        np.subtract.at(y, (slice(None), j), w[0, 0])
        return y, pb.grad(lambda x: np.sum(x[i] * w))(x)

    found, gradient = pb.compile(paid)(x, w, i, j)
    sums = np.zeros_like(x)
    np.add.at(sums, i, w)
    assert same_bits(gradient, sums)
    wanted = x + sums
    for index, value in (((i, j), w[:, 0]), ((slice(None), j), -w[0, 0])):
        sums = np.zeros_like(x)
        np.add.at(sums, index, value)
        wanted = wanted + sums
    assert same_bits(found, wanted)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_that_are_read_go_to_places_of_their_own(dtype):
    g = np.random.default_rng(0)

    def f(x, y, i, j):
        z = y * 1
        np.add.at(z, j, x[i])
        return z, x[i] * y[j]

    for columns in range(1, 6):
        x, y = g.standard_normal((9, columns)).astype(dtype), g.standard_normal(20).astype(dtype)
        i, j = g.integers(-9, 9, 30), g.integers(-20, 20, (30, columns))
        _, found, wanted = both(f, x, y, i, j)
        assert all(map(same_bits, found, wanted))


@pytest.mark.parametrize(("dtype", "given"), [("f4", "f8"), ("f2", "f4")])
def test_numbers_are_added_to_narrower_ones_and_rounded_each_time(dtype, given):
    g = np.random.default_rng(0)

    def f(x, v, w, i):
        rows, columns, all_, one = x - x, x - x, x - x, x[:, 0] - x[:, 0]
        np.add.at(rows, i, v)
        np.add.at(columns, (slice(None), i), v.T)
        np.subtract.at(all_, (slice(1, None),), w[1:])
        np.add.at(one, i, v[:, 0])
        return rows, columns, all_, one

    for n in (9, 37):  # a row that is one vector, and more than two
        x, i = g.standard_normal((n, n)).astype(dtype), g.integers(-9, 9, 60)
        v, w = g.standard_normal((60, n)).astype(given), g.standard_normal((n, n)).astype(given)
        found = pb.compile(f)
        for native, exact in zip(found(x, v, w, i), f(x, v, w, i), strict=True):
            assert same_bits(native, exact)
        assert " 0 of them on NumPy" in found.explain_compilation()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_masks_by_index(dtype):
    """What nobody has read is owed nothing, whatever it is multiplied with."""
    g = np.random.default_rng(0)
    i, j = g.integers(0, 60, (2, 70))
    v, x = g.standard_normal(70).astype(dtype), g.standard_normal(60).astype(dtype)
    v[9] = np.inf

    def f(v, x, i, j):
        for _ in range(3):
            y = np.zeros_like(x)
            np.add.at(y, i, v * x[j])
            x = y
        return np.sum(x * x)

    graph, found, wanted = both(pb.grad(f, argnums=(0, 1)), v, x, i, j)
    assert all(map(same_bits, found, wanted))
    assert all(0 < np.isfinite(each).sum() < each.size for each in wanted)
    assert any(node.op.name == "scatter" and node.aval.dtype == np.bool_ for node in graph.nodes)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_places_in_a_sorted_row(side, dtype):
    g = np.random.default_rng(3)
    for length in (0, 1, 2, 7, 51):
        row, numbers = (np.sort(g.integers(0, 30, length)).astype(dtype), g.integers(0, 33, 45).astype(dtype))
        if np.dtype(dtype).kind == "f":
            numbers[::7], row[length - length // 4 :] = np.nan, np.nan
            numbers[1::9] = [np.inf, -np.inf, -0.0, np.inf, 0.5]
        found = pb.compile(lambda row, numbers: np.searchsorted(row, numbers, side=side))(row, numbers)
        np.testing.assert_array_equal(found, np.searchsorted(row, numbers, side=side))


def test_rows_of_nothing():
    i = np.array([2, 0, 2])
    f = pb.compile(lambda x: x[i] * 2.0, native=True)
    assert f(np.zeros((4, 0))).shape == (3, 0)
    assert f(np.zeros((4, 3, 0))).shape == (3, 3, 0)


@pytest.mark.parametrize("places", [(0, 0), ([0, 1], 0), ([0, 1], [0, 0]), (1, [0])])
def test_an_ellipsis_that_stands_for_no_axis_parts_index_arrays(places):
    """Their axis comes first then, as in NumPy."""
    x, rows = np.arange(18.0).reshape(3, 3, 2, 1), [1, 2]
    index = (slice(None), rows, Ellipsis, *places)
    np.testing.assert_array_equal(pb.compile(lambda x: x[index])(x), x[index])
    weights = np.cos(np.arange(x[index].size)).reshape(x[index].shape)
    paid = pb.grad(lambda x: np.sum(x[index] ** 2 * weights))
    np.testing.assert_allclose(pb.compile(paid)(x), paid(x), rtol=1e-14)


@pytest.mark.parametrize("repeated", [False, True])
def test_places_that_are_rows_are_read_once_a_row(repeated):
    """Of places that are known, what is evenly spaced is no index: rows are added with vectors, each in its order."""
    g = np.random.default_rng(0)
    rows = g.integers(-30, 30, 90) if repeated else g.permutation(30)[:20]
    flat = (rows % 30)[:, None] * 21 + np.arange(21)[::-1]
    x = g.standard_normal((len(rows), 21)).astype(np.float32)

    def f(x):
        out = np.zeros(630, x.dtype)
        np.add.at(out, flat, x)
        return out[flat[:, ::2]] * x[:, ::2]

    program = Program(trace(f, x).graph)
    assert same_bits(program(x)[0], f(x))
    for command in program.commands:
        for view in command.operands:
            if view.buffer.dtype.kind == "i":
                assert view.strides[-1] == 0, command.text
    gradient = pb.grad(lambda x: np.sum(f(x) ** 2))
    np.testing.assert_allclose(pb.compile(gradient)(x), gradient(x), rtol=1e-5)
