"""Small systems, running products, places in sorted rows, and contractions of several axes a kind, compiled."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.lower.linalg.minors import LARGEST as MINORS
from payback.native.lower.linalg.systems import LARGEST
from payback.native.lower.products.arranged import around

TOLERANCE = {np.float32: 2e-3, np.float64: 1e-11}


def numbers(*shape, dtype):
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(dtype)


def agrees(f, *args, tolerance):
    """Compiled, what the function gives as it is; to rounding."""
    found, wanted = pb.compile(f, native=True)(*args), f(*args)
    for a, b in zip(_flat(found), _flat(wanted), strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.max(np.abs(b), initial=0.0))


def _flat(value):
    return [leaf for part in value for leaf in _flat(part)] if isinstance(value, tuple) else [value]


def systems(a, b):
    return np.sum(np.linalg.solve(a, b) ** 2) + np.sum(np.linalg.det(a)) + np.sum(np.linalg.inv(a) ** 3)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("lead", [(2, 3), (), (7,)][: amount.cases(1, 3)])
def test_small_systems(lead, dtype):
    for n in (1, 5, LARGEST + 1, 2, 4, LARGEST)[: amount.cases(2, 6)]:
        a = numbers(*lead, n, n, dtype=dtype) + (2 * n**0.5 * np.eye(n, dtype=dtype))[::-1]  # rows must be exchanged
        b = numbers(*lead, n, 3, dtype=dtype)
        agrees(pb.value_and_grad(systems, (0, 1)), a, b, tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_determinants_of_many_small_matrices(dtype):
    """By vectors, whose last ones are not full; each matrix as it is by itself, and singular ones as others."""
    for n in (3, 5, 4, 8, 2, 1)[: amount.cases(2, 6)]:
        a = numbers(37, n, n, dtype=dtype)
        a[5], a[6, :, 0] = 1.0, 0.0
        f = pb.compile(lambda a: (np.linalg.det(a), *np.linalg.slogdet(a)), native=True)
        agrees(lambda a: (np.linalg.det(a), *np.linalg.slogdet(a)[:1]), a[7:], tolerance=TOLERANCE[dtype])
        agrees(lambda a: np.linalg.slogdet(a)[1], a[7:], tolerance=TOLERANCE[dtype])
        agrees(pb.grad(lambda a: np.sum(np.linalg.det(a) ** 2 + np.linalg.det(a))), a, tolerance=TOLERANCE[dtype])
        found = f(a)
        assert [x[6] for x in found] == [0, 0, -np.inf]
        for k in (0, 5, 36):
            alone = f(a[k : k + 1] if n <= MINORS else np.repeat(a[k : k + 1], 16, 0))
            np.testing.assert_array_equal([x[k] for x in found], [x[0] for x in alone])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_factors_and_inverses_of_many_small_matrices(dtype):
    """By vectors, with the bits of each matrix by itself; where one has none, with NumPy's error."""
    for n in (4, 5, 3, 2, 1)[: amount.cases(1, 5)]:
        a = numbers(37, n, n, dtype=dtype) + (2 * n**0.5 * np.eye(n, dtype=dtype))[::-1]
        s = a @ np.swapaxes(a, 1, 2) + np.eye(n, dtype=dtype)
        for f, x in (
            (lambda a: np.linalg.inv(a), a),
            (lambda a: np.linalg.solve(a, a[..., :1]) + np.linalg.solve(a, a[..., ::-1])[..., :1], a),
            (lambda s: np.linalg.cholesky(s), s),
            (lambda s: np.linalg.inv(np.linalg.cholesky(s, upper=True)), s),
            (pb.grad(lambda s: np.sum(np.linalg.cholesky(s) ** 3)), s),
        ):
            agrees(f, x, tolerance=TOLERANCE[dtype])
        compiled = pb.compile(
            lambda a, s: (np.linalg.inv(a), np.linalg.cholesky(s), np.linalg.solve(a, s[..., :1])), native=True
        )
        for together, alone in zip(compiled(a, s), compiled(a[35:], s[35:]), strict=True):
            np.testing.assert_array_equal(together[35:], alone)
        a[20], s[21] = 0.0, -s[21]
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            pb.compile(lambda a: np.linalg.inv(a), native=True)(a)
        with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
            pb.compile(lambda s: np.linalg.cholesky(s), native=True)(s)


def test_logarithms_of_determinants_that_are_out_of_range():
    a = np.array([np.diag([1e200, 1e-3, 1e200]), np.diag([1e-200, -1e-200, 3.0]), np.zeros((3, 3))])
    agrees(lambda a: tuple(np.linalg.slogdet(a)), a[:2], tolerance=1e-15)
    np.testing.assert_array_equal(pb.compile(lambda a: np.linalg.slogdet(a)[1], native=True)(a[2:]), [-np.inf])


def test_an_inverse_that_is_only_read_turned_is_written_so():
    a = numbers(40, 3, 3, dtype=np.float64) + 3 * np.eye(3)
    f = pb.compile(pb.grad(lambda a: np.sum(np.linalg.slogdet(a)[1])), native=True)
    np.testing.assert_allclose(f(a), np.swapaxes(np.linalg.inv(a), 1, 2), rtol=1e-12)
    assert [line.split()[-3] for line in f.explain_compilation().splitlines() if "→" in line] == ["inv"]


def test_a_singular_matrix_is_numpys_error():
    a = np.ones((2, 3, 3))
    with pytest.raises(np.linalg.LinAlgError):
        pb.compile(lambda a: np.linalg.inv(a), native=True)(a)
    assert np.all(pb.compile(pb.grad(lambda a: np.sum(np.linalg.det(a))), native=True)(a) == 0.0)
    a[0] = np.diag([1.0, np.nan, 1.0])
    a[1] = np.eye(3)
    np.testing.assert_array_equal(pb.compile(lambda a: np.linalg.inv(a), native=True)(a), np.linalg.inv(a))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", [(9,), (3, 4, 5), (0, 3), (5, 7), (2, 0)][: amount.cases(3, 5)])
def test_running_products(shape, dtype):
    for axis in range(len(shape)):
        x = numbers(*shape, dtype=dtype)
        agrees(lambda x, axis=axis: np.cumprod(x, axis=axis), x, tolerance=0.0)
        f = pb.value_and_grad(lambda x, axis=axis: np.sum(np.cumprod(x[..., ::-1], axis=axis) ** 2))
        agrees(f, x, tolerance=TOLERANCE[dtype])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.uint8])
def test_places_in_a_sorted_row(dtype, side):
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 7, 50, 51):
        row, values = np.sort(rng.integers(0, 30, length).astype(dtype)), rng.integers(0, 32, (3, 5)).astype(dtype)
        if np.dtype(dtype).kind == "f" and length > 2:
            row[-2:], values[0, :3] = (np.inf, np.nan), (np.nan, np.inf, -np.inf)
        found = pb.compile(lambda a, v: np.searchsorted(a, v, side=side), native=True)(row, values)
        np.testing.assert_array_equal(found, np.searchsorted(row, values, side=side))


FORMS = """abc,adc->db abc,db->adc abc,bdc->ad bckyx,ock->boyx bcyxkl,ockl->boyx bcyxkl,boyx->ockl boyx,ockl->bcyxkl
ab,cd->acbd acb,cdb->bad abcd,dcba-> abc,cba->b"""


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("form", FORMS.split()[: amount.cases(8, 11)])
def test_contractions_of_several_axes_a_kind(form, dtype):
    """Whole numbers: exact in every order."""
    left, right = form.partition("->")[0].split(",")
    rng = np.random.default_rng(0)
    for sizes in ([9, 8, 12, 11, 3, 10, 4], [1, 5, 2, 17, 1, 3, 2])[: amount.cases(1, 2)]:
        extent = dict(zip(dict.fromkeys(left + right), sizes, strict=False))
        a, b = (rng.integers(-3, 4, [extent[x] for x in part]).astype(dtype) for part in (left, right))
        agrees(lambda a, b: np.einsum(form, a, b), a, b, tolerance=0.0)


def test_sums_go_on_around_a_product():
    """Rows a, columns d; c is summed in the product, b around it."""
    extents, moves = [30, 40, 50, 60], [[1, 0, 9000, 40], [0, 1, 6000, 40], [40, 1, 0, 0]]
    assert around(extents, moves, "mnkk") == (
        [50, 30, 40, 60],
        [[9000, 1, 0, 40], [6000, 0, 1, 40], [0, 40, 1, 0]],
        "rmnk",
    )
    assert around([2, 2, 2, 2], [[1] * 4] * 3, "mnkk") is None


LENGTHS = [(40, 5), (3, 9), (129, 64), (1300, 600), (1, 1), (17, 17), (1200, 31), (33, 700), (64, 1), (5000, 4990)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n", "m"), LENGTHS[: amount.cases(4, 10)])
def test_convolutions(n, m, dtype):
    """Every output is as near to its sum as its terms allow, also the ones at the ends and the ones done last."""
    a, v = numbers(n, dtype=dtype), numbers(m, dtype=dtype)[::-1]
    for mode in ("full", "valid", "same"):
        found = pb.compile(lambda a, v, mode=mode: np.convolve(a, v, mode), native=True)(a, v)
        exact = np.convolve(a.astype(np.longdouble), v.astype(np.longdouble), mode)
        terms = np.convolve(abs(a.astype(np.longdouble)), abs(v.astype(np.longdouble)), mode)
        assert found.dtype == dtype
        assert np.all(abs(found - exact) <= 4 * np.finfo(dtype).eps * terms)
        f = pb.value_and_grad(lambda a, v, mode=mode: np.sum(np.sin(np.convolve(a, v, mode))), (0, 1))
        agrees(f, a, v, tolerance=TOLERANCE[dtype])


def test_a_convolution_multiplies_nothing_by_what_lies_beyond_its_ends():
    a, v = np.ones(70), np.array([np.inf, 1.0, 0.0])
    a[[5, 40]] = np.nan, -np.inf
    compiled = pb.compile(lambda a, v: (np.convolve(a, v), np.correlate(a, v)), native=True)
    with np.errstate(invalid="ignore"):
        for found, wanted in zip(compiled(a, v), (np.convolve(a, v), np.correlate(a, v)), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_a_convolution_is_machine_code():
    f = pb.compile(pb.grad(lambda v, a: np.sum(np.convolve(a, v) ** 2)), native=True)
    f(numbers(3, dtype=np.float64), numbers(90, dtype=np.float64))
    assert "0 of them on NumPy" in f.explain_compilation()


def test_a_matrix_without_inverse_leaves_what_was_donated():
    """Results go into donated memory after all that may fail."""
    f = pb.compile(lambda x, a: (x * 2.0, np.linalg.solve(a, np.ones(3))), donate="x")
    x = np.arange(4.0)
    with pytest.raises(np.linalg.LinAlgError):
        f(x, np.zeros((3, 3)))
    np.testing.assert_array_equal(x, np.arange(4.0))
    assert f(x, np.eye(3))[0] is x


def test_contractions_of_nothing():
    """Any axis may be empty: a sum over it is 0, a result with it is empty."""
    for form in (*FORMS.split()[: amount.cases(3, 8)], "ij,jk->ik", "ij,j->i"):
        inputs = form.split("->")[0].split(",")
        for none in dict.fromkeys("".join(inputs)):
            many = 99 if len(form) < 10 else 3
            a, b = (np.ones([0 if letter == none else many for letter in letters]) for letters in inputs)
            for x, y in ((a, b), (a.T.copy().T, b)):
                found = pb.compile(lambda x, y, form=form: np.einsum(form, x, y), native=True)(x, y)
                np.testing.assert_array_equal(found, np.einsum(form, x, y))
