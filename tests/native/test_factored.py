"""Factors, systems, inverses, determinants and exponentials of matrices that are no longer tiny, compiled.

Errors are bounded backwards: what is found is right for a matrix near the one given (Higham, Accuracy and Stability of
Numerical Algorithms, theorems 8.5, 9.4 and 10.3).
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import scipy.linalg

import amount
import payback as pb
from payback.native.lower.linalg import exponential
from payback.native.lower.linalg.factored import ALONE, BLOCK
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace
from payback.trace.dispatch import emit

DTYPES = [np.float64, np.float32]
SIZES = (
    [(), 17],
    [(3,), ALONE + 1],
    [(2, 2), 40],
    [(), ALONE],
    [(), 3 * BLOCK + 5],
    [(2,), 4 * BLOCK],
    [(), 231],
    [(5,), 1],
)
SIZES = SIZES[: amount.cases(2, 8)]


def t(x):
    return np.swapaxes(x, -1, -2)


def numbers(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def square(lead, n, dtype, seed=0):
    """Rows must be exchanged."""
    return numbers(*lead, n, n, dtype=dtype, seed=seed)


def positive(lead, n, dtype):
    a = square(lead, n, dtype)
    return a @ t(a) / dtype(n) + np.eye(n, dtype=dtype)


def native(f, *args):
    """The results of machine code alone."""
    program = Program(trace(f, *args).graph)
    assert all(command.kernel is not None for command in program.commands)
    program.interpreted = None  # nothing is left to the interpreter
    found = program(*args)
    return found if len(found) > 1 else found[0]


def small(error, bound):
    __tracebackhide__ = True
    assert np.all(np.abs(error) <= bound), np.max(np.abs(error) / bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lead", "n"), SIZES)
def test_cholesky(lead, n, dtype):
    s = positive(lead, n, dtype)
    eps = np.finfo(dtype).eps
    for upper in (False, True):
        given = np.where(np.tri(n, dtype=bool).T if upper else np.tri(n, dtype=bool), s, np.nan)  # one half is read
        found = native(lambda a, upper=upper: np.linalg.cholesky(a, upper=upper), given)
        assert found.dtype == dtype
        low = (t(found) if upper else found).astype(np.float64)
        assert np.array_equal(low, np.tril(low))
        small(low @ t(low) - s, (n + 2) * eps * (abs(low) @ abs(t(low))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lead", "n"), SIZES)
def test_systems_and_inverses(lead, n, dtype):
    """Of a matrix and its transpose, from the same factors."""
    a, eps = square(lead, n, dtype), np.finfo(dtype).eps
    size = np.max(abs(a), axis=(-1, -2), keepdims=True)
    for k in (1, 3, 37):
        b = numbers(*lead, n, k, dtype=dtype, seed=1)
        for x, matrix in zip(
            native(lambda a, b: (np.linalg.solve(a, b), np.linalg.solve(t(a), b)), a, b), (a, t(a)), strict=True
        ):
            wide = x.astype(np.float64)
            small(matrix.astype(np.float64) @ wide - b, 4 * n * eps * size * np.sum(abs(wide), axis=-2, keepdims=True))
    inverses = native(lambda a: (np.linalg.inv(a), np.linalg.inv(t(a))), a)
    for x, matrix in zip(inverses, (a, t(a)), strict=True):
        for left, right in ((matrix, x), (x, matrix)):  # only one of them is bounded in theory; both hold here
            product = left.astype(np.float64) @ right
            bound = np.max(np.sum(abs(matrix), -1), -1) * np.max(np.sum(abs(x), -1), -1)
            small(product - np.eye(n), 2 * n * eps * bound[..., None, None])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lead", "n"), SIZES)
def test_triangles(lead, n, dtype):
    """What only one half of a matrix says, and what is known of Cholesky's factors."""
    eps, low = np.finfo(dtype).eps, np.linalg.cholesky(positive(lead, n, dtype))
    b = numbers(*lead, n, 5, dtype=dtype)
    for lower in (True, False):
        for trans in (0, 1):
            for unit in (False, True):
                half = np.tri(n, dtype=bool) if lower else np.tri(n, dtype=bool).T
                whole = low if lower else t(low)
                given = np.where(half, whole, np.nan)
                if unit:
                    given[..., range(n), range(n)] = np.nan
                    whole = np.where(np.eye(n), 1, whole)

                def f(a, b, lower=lower, trans=trans, unit=unit):
                    return scipy.linalg.solve_triangular(
                        a, b, lower=lower, trans=trans, unit_diagonal=unit, check_finite=False
                    )

                if lead:  # a batch by vmap: SciPy's own came late
                    for _ in lead:
                        f = pb.vmap(f)
                x = native(f, given, b).astype(np.float64)
                matrix = t(whole) if trans else whole
                small(matrix @ x - b, (n + 2) * eps * (abs(matrix) @ abs(x)))
    s = positive(lead, n, dtype)
    if not lead:  # a choice of entries, and what QR leaves
        for f in (
            lambda s, b: np.linalg.solve(np.where(np.tri(n, dtype=bool), s, 0.0), b),
            lambda s, b: np.linalg.solve(np.where(np.tri(n, dtype=bool), s, 0.0).T, b),
        ):
            program = Program(trace(f, s, b).graph)
            assert not any(command.text == "factors with pivots" for command in program.commands)
            wanted = f(s.astype(np.float64), b.astype(np.float64))
            small(program(s, b)[0] - wanted, 200 * n * eps * np.max(abs(wanted)))
    factor = np.linalg.cholesky(s)
    for f in (
        lambda s, b: np.linalg.solve(np.linalg.cholesky(s), b),
        lambda s, b: np.linalg.solve(t(np.linalg.cholesky(s)), b),
        lambda s, b: np.linalg.inv(np.linalg.cholesky(s)),
        lambda s, b: np.linalg.inv(np.linalg.cholesky(s, upper=True)),
    ):
        condition = np.max(np.linalg.cond(factor.astype(np.float64)))
        np.testing.assert_allclose(native(f, s, b), f(s, b), rtol=0, atol=n * eps * condition * np.max(abs(b)) * 4)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("lead", "n"), SIZES)
def test_determinants(lead, n, dtype):
    a, eps = square(lead, n, dtype), np.finfo(dtype).eps
    sign, logarithm = native(lambda a: tuple(np.linalg.slogdet(a)), a)
    wanted = np.linalg.slogdet(a.astype(np.float64))
    condition = np.linalg.cond(a.astype(np.float64))
    assert np.array_equal(sign, wanted.sign)
    small(logarithm - wanted.logabsdet, n * eps * (condition + abs(wanted.logabsdet)))
    scaled = (a / np.exp(wanted.logabsdet / n)[..., None, None]).astype(dtype)  # of determinant ±1, or nearly
    small(native(np.linalg.det, scaled) - wanted.sign, 2 * n * eps * condition)


def test_a_determinant_neither_overflows_nor_loses_its_sign():
    large = np.diag(np.array([1e200, -1e250, 1e-300, 1e-150] * 5))[::-1].copy()
    assert native(np.linalg.det, large) == pytest.approx(-1.0, rel=1e-13)
    flat = np.ones((2, 20, 20))
    flat[1] = np.eye(20)
    assert native(np.linalg.det, flat).tolist() == [0.0, 1.0]
    assert [x.tolist() for x in native(lambda a: tuple(np.linalg.slogdet(a)), flat)] == [[0.0, 1.0], [-np.inf, 0.0]]
    small_ones = np.eye(20) * 1e-16
    assert native(np.linalg.det, small_ones) == pytest.approx(1e-320, rel=1e-2)  # subnormal
    assert native(np.linalg.det, np.eye(20) * 1e20) == np.inf


def exact_determinant(rows):
    """Of whole numbers, by Bareiss's elimination."""
    rows, sign, before = [[int(x) for x in row] for row in rows], 1, 1
    for p in range(len(rows) - 1):
        at = next((i for i in range(p, len(rows)) if rows[i][p]), None)
        if at is None:
            return 0
        if at != p:
            rows[p], rows[at], sign = rows[at], rows[p], -sign
        for i in range(p + 1, len(rows)):
            rows[i] = [(x * rows[p][p] - rows[i][p] * y) // before for x, y in zip(rows[i], rows[p], strict=True)]
        before = rows[p][p]
    return sign * rows[-1][-1]


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_cofactors_of_matrices_whose_rows_nearly_depend(missing):
    """Also of some rank less than n: of n − 2 they are nothing but rounding errors."""
    n, rng = 7, np.random.default_rng(missing)
    a = rng.integers(-9, 10, (2, n, n))
    for k in range(missing):
        a[:, k] = a[:, 4:].sum(1) * (k + 1) + a[:, 3]
    minors = [[[exact_determinant(np.delete(np.delete(x, i, 0), j, 1)) * (-1) ** (i + j) for j in range(n)]
               for i in range(n)] for x in a]  # fmt: skip
    wanted, sizes = np.array(minors, float), np.linalg.norm(a.astype(float), axis=1)
    columns = np.prod(sizes, axis=-1, keepdims=True) / sizes  # Hadamard's bound of a minor: what the others may be
    for f in (
        pb.grad(lambda a: np.sum(np.linalg.det(a))),
        pb.grad(lambda a: np.sum(np.linalg.det(np.swapaxes(a, 1, 2)))),
    ):
        for found in (f(a.astype(float)), pb.compile(f, native=True)(a.astype(float))):
            small((found - wanted) / columns[:, None], 1e-14)


def test_values_whose_vectors_nobody_has_are_computed_alone():
    a = numbers(3, 30, 30)  # rows that NumPy runs
    for f in (lambda a: np.linalg.svd(a, compute_uv=False), np.linalg.eigvalsh, lambda a: np.linalg.norm(a[0], 2)):
        np.testing.assert_array_equal(pb.compile(f, native=True)(a), f(a))
        np.testing.assert_allclose(pb.compile(pb.grad(lambda a, f=f: np.sum(f(a))), native=True)(a),
                                   pb.grad(lambda a, f=f: np.sum(f(a)))(a), rtol=0, atol=1e-14)  # fmt: skip


def density(p, x):
    """A normal density and a few more: everything that shares factors."""
    k = np.exp(-np.sum((x[:, None] - x) ** 2, axis=-1) * np.exp(p[0])) + np.exp(p[1]) * np.eye(len(x), dtype=x.dtype)
    y = np.sin(x[:, 0])
    low = np.linalg.cholesky(k)
    z = np.linalg.solve(low, y)
    return z @ z + y @ np.linalg.solve(k + k.T, y) + np.linalg.slogdet(k)[1] + np.sum(np.linalg.inv(k) ** 2) * 1e-3


@pytest.mark.parametrize("dtype", DTYPES[: amount.cases(1, 2)])
@pytest.mark.parametrize("n", [20, 3 * BLOCK + 7][: amount.cases(1, 2)])
def test_derivatives(n, dtype):
    p, x = np.array([0.3, -0.5], dtype), numbers(n, 3, dtype=dtype)
    modes = [pb.value_and_grad(density), lambda p, x: pb.jvp(density, (p, x), (p, x)), pb.hessian(density)]
    for f in modes[: amount.cases(1, 3)]:
        graph = trace(f, p, x).graph
        tolerance = n * 50 * np.finfo(dtype).eps
        for found, wanted in zip(Program(graph)(p, x), Interpreter(graph)(p, x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.max(abs(wanted)))


def test_a_matrix_is_factorized_once():
    a, b = square((), 40, np.float64), numbers(40)

    def f(a, b):
        x = np.linalg.solve(a, b)
        return x @ np.linalg.solve(a.T, x) + np.linalg.slogdet(a)[1] + np.linalg.inv(a.T)[0, 0]

    program = Program(trace(pb.value_and_grad(f), a, b).graph)
    assert [command.text for command in program.commands].count("factors with pivots") == 1


HALVES = {
    "left": lambda low, x: low @ x,
    "right, turned": lambda low, x: x.T @ low.T,
    "both": lambda low, x: low.T @ low,
    "both, the other way": lambda low, x: low @ low.T,
    "of one kind": lambda low, x: low @ (low * 0.5),
    "inverse": lambda low, x: np.linalg.inv(low) @ x,
    "known zeros": lambda low, x: np.where(np.tri(len(low), k=-1, dtype=bool), low, 0.0) @ x,
    "half of the result": lambda low, x: np.where(np.tri(len(low), dtype=bool).T, x @ x.T, 0.0),
}


@pytest.mark.parametrize("dtype", DTYPES[: amount.cases(1, 2)])
@pytest.mark.parametrize("kind", list(HALVES)[: amount.cases(3, 8)])
def test_products_with_triangles(kind, dtype):
    def f(s, x):
        return HALVES[kind](np.linalg.cholesky(s), x)

    s, x = positive((), 150, dtype), numbers(150, 131, dtype=dtype)
    program = Program(trace(f, s, x).graph)
    assert sum(command.text == "product of blocks" for command in program.commands) >= 4
    wanted = f(s.astype(np.float64), x.astype(np.float64))
    small(program(s, x)[0] - wanted, 1000 * np.finfo(dtype).eps * np.max(abs(wanted)))
    x[3, 4] = np.inf  # a zero of a triangle times this is NaN
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isnan(program(s, x)[0]), np.isnan(f(s, x)))


SINGULAR = np.eye(90)
SINGULAR[70] = 0.0
ERRORS = [
    (np.linalg.inv, SINGULAR, "Singular matrix"),
    (lambda a: np.linalg.solve(a, np.ones(90)), SINGULAR, "Singular matrix"),
    (np.linalg.cholesky, np.eye(90) - 2.0 * np.diag(np.arange(90.0) == 71), "not positive definite"),
    (lambda a: scipy.linalg.solve_triangular(a, np.ones(90)), SINGULAR, "singular matrix"),
]


@pytest.mark.parametrize(("f", "a", "why"), ERRORS)
def test_errors_are_numpys(f, a, why):
    compiled = pb.compile(f, native=True)
    np.testing.assert_allclose(compiled(2.0 * np.eye(90)), f(2.0 * np.eye(90)), rtol=1e-15)
    with pytest.raises(np.linalg.LinAlgError, match=why):
        compiled(a)


def test_what_is_not_finite_is_numpys():
    a = square((), 30, np.float64)
    a[3, 4] = np.nan
    for f in (np.linalg.inv, np.linalg.det, lambda a: tuple(np.linalg.slogdet(a))):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(pb.compile(f, native=True)(a), f(a))


def everything(a, s, b):
    x, low = np.linalg.solve(a, b), np.linalg.cholesky(s)
    return (x, np.linalg.solve(t(a), x), np.linalg.inv(a), low, np.linalg.solve(low, b), np.linalg.slogdet(a)[1],
            scipy.linalg.expm(a[..., :30, :30] * 0.1))  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES[: amount.cases(1, 2)])
@pytest.mark.parametrize(("lead", "n"), [((6,), 70), ((), 200), ((9,), 48)][: amount.cases(1, 3)])
def test_the_bits_do_not_depend_on_the_threads(monkeypatch, lead, n, dtype):
    monkeypatch.setattr("payback.native.lower.linalg.factored.WORTH_SHARING", 1)
    monkeypatch.setattr("payback.native.lower.linalg.factored.LONG", 1)
    monkeypatch.setattr("payback.native.running.cores.WORTHWHILE", 0.0)  # however little there is to do
    args = square(lead, n, dtype), positive(lead, n, dtype), numbers(*lead, n, 130, dtype=dtype)
    monkeypatch.setenv("PAYBACK_THREADS", "1")
    graph = trace(everything, *args).graph
    expected = Program(graph)(*args)
    for count in (3, 8, 2, 4)[: amount.cases(1, 4)]:
        monkeypatch.setenv("PAYBACK_THREADS", str(count))
        program = Program(graph)
        assert program.segment.threads == count
        assert sum(getattr(command.kernel, "split", False) not in (False, "") for command in program.commands) >= 3
        for found, wanted in zip(program(*args), expected, strict=True):
            assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_repeated_numbers(dtype):
    """Which eigenvalues are one is told as the interpreter tells it; one whose vector is asked for is an error."""
    v = np.sort(np.random.default_rng(0).integers(0, 9, (4, 12)), axis=-1).astype(dtype)
    v[1, 3:] += dtype(1e-3)
    v[2, 5] = np.nan
    v *= 1 + np.finfo(dtype).eps * np.arange(12, dtype=dtype) / 4
    for used in ((), (np.zeros(12, bool),)):

        def f(*args):
            return emit("repeated", *args, extent=12, what="eigenvector")

        graph = trace(f, v, *used).graph
        np.testing.assert_array_equal(Program(graph)(v, *used)[0], Interpreter(graph)(v, *used)[0])
    apart = np.arange(12.0, dtype=dtype) * np.ones((4, 1), dtype)
    graph = trace(f, apart, np.ones((4, 12), bool)).graph
    assert Program(graph)(apart, np.ones((4, 12), bool))[0].sum() == 48
    with pytest.raises(pb.errors.DifferentiationError, match="repeated"):
        Program(graph)(v, np.ones((4, 12), bool))


# exponentials ---------------------------------------------------------------------------------------------------


def norms():
    """Around each bound between degrees, and of some halvings."""
    return [0.0, 1e-9, *[bound * part for bound in exponential.THETA for part in (0.9, 1.1)], 30.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [3, 1, 2, 5, 18][: amount.cases(2, 5)])
def test_exponentials(n, dtype):
    eps = np.finfo(dtype).eps
    for number, norm in enumerate(norms()):
        a = square((), n, np.float64, seed=number)
        a = (a * norm / np.max(np.sum(abs(a), axis=0))).astype(dtype)
        found = native(scipy.linalg.expm, a)
        with mpmath.workdps(40):
            exact = np.array(mpmath.expm(mpmath.matrix(a.tolist()), method="taylor").tolist(), float)
            condition = 1 + norm * np.exp(2 * norm if n > 1 else 0) if norm < 2 else 40.0 * norm
        small(found - exact, 4 * n * eps * condition * np.max(np.sum(abs(exact), axis=0)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_derivatives_of_exponentials(dtype):
    """A batch whose matrices take each its degree, against the exponential of a matrix twice as large."""
    scales = np.array(norms()[1:-1])
    for n in (2, 7)[: amount.cases(1, 2)]:
        a, w = (square((len(scales),), n, dtype, seed=seed) for seed in (0, 1))
        a = (a * (scales / np.max(np.sum(abs(a), -2), -1))[:, None, None]).astype(dtype)
        found = native(pb.grad(lambda a, w: np.sum(w * scipy.linalg.expm(a))), a, w).astype(np.float64)
        block = np.zeros((len(scales), 2 * n, 2 * n))
        block[:, :n, :n] = block[:, n:, n:] = t(a)
        block[:, :n, n:] = w
        with mpmath.workdps(30):
            exact = [mpmath.expm(mpmath.matrix(x.tolist()), method="taylor")[:n, n:].tolist() for x in block]
        wanted = np.array(exact, float)
        small(found - wanted, 8 * n * np.finfo(dtype).eps * np.max(abs(wanted), axis=(-1, -2), keepdims=True))
    f = pb.compile(
        pb.grad(lambda a: np.sum(pb.grad(lambda a: np.sum(np.sin(scipy.linalg.expm(a))))(a) ** 2)), native=True
    )
    few = square((), 3, np.float64)
    np.testing.assert_allclose(f(few), pb.compile(f, native=False)(few), rtol=1e-9)


def test_exponentials_of_what_is_not_finite_or_too_large_are_scipys():
    compiled = pb.compile(scipy.linalg.expm, native=True)
    nilpotent = np.array([[0.0, 1e300], [0.0, 0.0]])
    np.testing.assert_allclose(compiled(nilpotent), scipy.linalg.expm(nilpotent), rtol=1e-15)
    large = np.array([[1.0, 1e200], [1e-200, 1.0]])
    np.testing.assert_allclose(compiled(large), scipy.linalg.expm(large), rtol=1e-13)
