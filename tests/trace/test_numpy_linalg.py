"""`np.linalg`: every function's value as NumPy's; norms of every order; singular and repeated values.

The rows themselves are tested in tests/ops/own_linalg.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from ops.checks import check_abstract
from ops.own_linalg import BATCH, POSITIVE, SINGULAR, SQUARE, TALL, WIDE, _symmetric, _with_values
from ops.samples import traced
from payback.errors import DifferentiationError, UnsupportedError
from payback.ops.factorizations import _negligible, _repeated
from payback.trace.array import Traced
from payback.trace.tree import leaves

LA = np.linalg
G = np.random.default_rng(6)
V, T = G.normal(size=5), G.normal(size=(2, 3, 4))
T = T + np.sign(T) / 2  # no entry is near 0
ORDERS = (None, 0, 1, 2, 3, 0.5, -1, -2, -0.5, 7, np.inf, -np.inf)
MATRIX_ORDERS = (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)

CALLS = {
    "solve of a batch by a vector": (lambda a: LA.solve(a, np.array([1.0, 2.0, 3.0])), BATCH),
    "pinv with a cutoff": (lambda a: LA.pinv(a, 0.4), _with_values(3.0, 2.0, 0.0)),
    "pinv of the large values": (lambda a: LA.pinv(a, 0.4), _with_values(3.0, 2.0, 0.5)),
    "pinv of the large values, wide": (lambda a: LA.pinv(a, rtol=0.4), _with_values(3.0, 2.0, 0.5).T),
    "lstsq of the large values": (lambda a: LA.lstsq(a, np.arange(len(a)), 0.4)[0], _with_values(3.0, 2.0, 0.5)),
    "pinv rtol": (lambda a: LA.pinv(a, rtol=1e-9), TALL),
    "pinv hermitian": (lambda a: LA.pinv(a, hermitian=True), SQUARE),
    "lstsq": (lambda a: LA.lstsq(a, np.arange(4.0)), TALL), "lstsq wide": (lambda a: LA.lstsq(a, np.arange(2.0)), WIDE),
    "lstsq of columns": (lambda a: LA.lstsq(a, np.arange(8.0).reshape(4, 2), rcond=1e-9), TALL),
    "tensorinv": (lambda a: LA.tensorinv(a, ind=1), 8 * np.eye(6).reshape(6, 2, 3) + G.normal(size=(6, 2, 3))),
    "tensorsolve": (lambda a: LA.tensorsolve(a, np.ones((2, 3))),
                    8 * np.eye(6).reshape(2, 3, 6) + G.normal(size=(2, 3, 6))),
    "tensorsolve axes": (lambda a: LA.tensorsolve(a, np.ones((2, 3)), axes=(0,)),
                         np.moveaxis(8 * np.eye(6).reshape(2, 3, 6) + G.normal(size=(2, 3, 6)), 2, 0).copy()),
    "matrix_power": (lambda a: LA.matrix_power(a, -3), SQUARE), "cond": (LA.cond, TALL),
    "cond of a batch": (LA.cond, BATCH),
    "cond -2": (lambda a: LA.cond(a, -2), SQUARE), "cond 1": (lambda a: LA.cond(a, 1), SQUARE),
    "cond fro": (lambda a: LA.cond(a, "fro"), BATCH),
    "qr complete": (lambda a: LA.qr(a, "complete"), SQUARE),
    "qr complete wide": (lambda a: LA.qr(a, mode="complete"), WIDE),
    "svd of a square": (LA.svd, SQUARE), "svdvals": (LA.svdvals, BATCH),
    "eigvalsh U": (lambda a: LA.eigvalsh(a, "U"), SQUARE),
    "svd hermitian": (lambda a: LA.svd(a, hermitian=True), _symmetric(3.0, -2.0, 1.0)),
    "svd hermitian values": (lambda a: LA.svd(a, compute_uv=False, hermitian=True), _symmetric(3.0, -2.0, 1.0)),
    "vector_norm": (lambda a: LA.vector_norm(a, ord=3), T),
    "vector_norm axes": (lambda a: LA.vector_norm(a, axis=(0, 2), keepdims=True, ord=1), T),
    "matrix_norm": (lambda a: LA.matrix_norm(a, ord="nuc", keepdims=True), T), "matrix_norm fro": (LA.matrix_norm, T),
} | {f"norm {p}": (lambda x, p=p: LA.norm(x, p), V) for p in ORDERS} | {
    f"norm {p} along": (lambda x, p=p: LA.norm(x, p, axis=1, keepdims=True), T) for p in ORDERS} | {
    f"matrix norm {p}": (lambda x, p=p: LA.norm(x, p, axis=(2, 0)), T) for p in MATRIX_ORDERS} | {
    f"matrix norm {p} of a matrix": (lambda x, p=p: LA.norm(x, p), WIDE) for p in MATRIX_ORDERS}  # fmt: skip


def floating(call):
    return lambda *xs: tuple(y for y in leaves(call(*xs)) if getattr(y, "dtype", np.dtype(int)).kind == "f")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CALLS)
def test_value(name, dtype):
    """Up to roundings: other routines of LAPACK may stand behind the same result."""
    call, x = CALLS[name]
    x = x.astype(dtype)
    for want, got in zip(leaves(call(x)), leaves(call(traced(x))), strict=True):
        found = getattr(got, "value", got)
        assert np.shape(found) == np.shape(want)
        assert np.asarray(found).dtype.kind in "iu" or np.asarray(found).dtype == np.asarray(want).dtype
        error = 100 * np.finfo(dtype).eps
        np.testing.assert_allclose(found, want, rtol=error, atol=error * np.max(np.abs(want), initial=1))


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name):
    call, x = CALLS[name]
    if name != "pinv with a cutoff":  # other matrices of this rank only
        pb.check_grads(floating(call), x)
    forward, reverse = (leaves(pb.jacobian(floating(call), mode=mode)(x)) for mode in ("forward", "reverse"))
    for a, b in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(a), initial=1))


@pytest.mark.parametrize("name", [name for name in CALLS if name != "pinv with a cutoff"])
def test_second_derivatives(name):
    """The same forwards and backwards: each mode has a rule of its own, and both are differentiated."""
    call, x = CALLS[name]

    def f(a):
        return sum(np.sum(np.sin(y) * np.cos(np.arange(np.size(y))).reshape(np.shape(y))) for y in floating(call)(a))

    v = np.random.default_rng(2).standard_normal(x.shape)
    backwards = pb.grad(lambda a: np.sum(pb.grad(f)(a) * v))(x)
    scale = 1e-9 * np.max(np.abs(backwards), initial=1)
    np.testing.assert_allclose(pb.hvp(f, x, v), backwards, rtol=1e-9, atol=scale)
    np.testing.assert_allclose(pb.grad(lambda a: pb.jvp(f, (a,), (v,))[1])(x), backwards, rtol=1e-9, atol=scale)


@pytest.mark.parametrize("name", [name for name in CALLS if "hermitian" not in name])
def test_without_numbers(name):
    call, x = CALLS[name]
    for k, found in enumerate(floating(call)(traced(x))):
        if isinstance(found, Traced):
            # how many residuals there are is not known without numbers: none, where the rank is not full
            seen = np.sum if name.startswith("lstsq") and k == 1 else lambda part: part
            check_abstract(lambda y, k=k, seen=seen: seen(floating(call)(y)[k]), [x])


def test_whole_numbers_become_float64():
    x = traced(np.array([[2, 1], [1, 3]]))
    for call in (LA.inv, LA.det, LA.cholesky, LA.norm, LA.eigvalsh, lambda a: LA.norm(a, 3, axis=0), LA.pinv):
        found = call(x)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.value, call(x.value), rtol=1e-14)


def test_results_have_names():
    x = traced(POSITIVE)
    assert LA.svd(x).S is not None
    assert LA.eigh(x).eigenvectors.shape == LA.qr(x).Q.shape == (3, 3)
    assert LA.slogdet(x).sign.value == 1.0
    assert LA.matrix_rank(traced(SINGULAR)) == 2


# norms where they have no derivative ----------------------------------------------------------------------------


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, np.inf])
def test_norm_of_zero(order):
    """The subgradient in the middle of all: 0."""
    np.testing.assert_array_equal(pb.grad(lambda x: LA.norm(x, order))(np.zeros(3)), np.zeros(3))
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    found = pb.grad(lambda y: LA.norm(y, order, axis=1).sum())(x)
    np.testing.assert_array_equal(found[0], [0, 0])
    assert np.isfinite(found).all()


@pytest.mark.parametrize("order", MATRIX_ORDERS)
def test_matrix_norm_of_zero(order):
    np.testing.assert_array_equal(pb.grad(lambda x: LA.norm(x, order))(np.zeros((3, 3))), np.zeros((3, 3)))


def test_nuclear_norm_of_a_matrix_without_full_rank():
    x = _with_values(3.0, 2.0, 0.0, high=4)
    u, _, vh = LA.svd(x, full_matrices=False)
    np.testing.assert_allclose(pb.grad(lambda a: LA.norm(a, "nuc"))(x), u[:, :2] @ vh[:2], atol=1e-14)


# singular matrices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [SINGULAR, np.outer([1.0, 2.0, 0.5], [1.0, -1.0, 2.0]), np.zeros((3, 3))], ids=str)
def test_the_determinant_of_a_singular_matrix(x):
    """Its derivative is the matrix of cofactors, which is not zero at rank n − 1; the second one at rank n − 2."""
    pb.check_grads(LA.det, x)
    cofactors = [[(-1) ** (i + j) * LA.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(pb.grad(LA.det)(x), cofactors, atol=1e-14)
    np.testing.assert_allclose(pb.hessian(LA.det)(x), pb.jacobian(pb.grad(LA.det), mode="reverse")(x), atol=1e-13)
    with pytest.raises(LA.LinAlgError):
        pb.jacobian(pb.hessian(LA.det))(x)


def test_third_derivatives_of_the_determinant():
    pb.check_grads(LA.det, SQUARE, order=3)
    third = pb.jacobian(pb.hessian(lambda x: LA.det(x.reshape(3, 3))))(SQUARE.ravel())
    levi_civita = np.zeros((3, 3, 3))
    levi_civita[[0, 1, 2], [1, 2, 0], [2, 0, 1]], levi_civita[[0, 2, 1], [2, 1, 0], [1, 0, 2]] = 1, -1
    exact = np.einsum("ikm,jln->ijklmn", levi_civita, levi_civita).reshape(9, 9, 9)
    np.testing.assert_allclose(third, exact, atol=1e-13)


def test_determinants_that_are_close_to_zero():
    for s in (1e-3, 1e-8, 1e-14):
        x = _with_values(2.0, 1.0, s)
        cofactors = [[(-1) ** (i + j) * LA.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(3)]
                     for i in range(3)]  # fmt: skip
        np.testing.assert_allclose(pb.grad(LA.det)(x), cofactors, atol=1e-14)


@pytest.mark.parametrize("call", [LA.inv, lambda a: LA.solve(a, np.ones(3)), lambda a: LA.matrix_power(a, -1)])
def test_singular_matrices_are_refused(call):
    with pytest.raises(LA.LinAlgError, match="Singular"):
        pb.grad(lambda a: call(a).sum())(np.zeros((3, 3)))
    with pytest.raises(LA.LinAlgError, match="Singular"):
        pb.grad(lambda a: LA.slogdet(a)[1])(np.zeros((3, 3)))


def test_the_pseudo_inverse_along_matrices_of_one_rank():
    """The Laplacian of a graph has rank n − 1 whatever its weights are."""

    def resistance(w):
        a = np.zeros((4, 4))
        a[[0, 1, 2, 0], [1, 2, 3, 3]] = w
        a = a + a.T
        p = LA.pinv(np.diag(a.sum(0)) - a)
        return p[0, 0] + p[2, 2] - 2 * p[0, 2]

    pb.check_grads(resistance, np.array([1.0, 2.0, 0.5, 1.5]))


# one triangle ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "read"), [
    (LA.cholesky, np.tril), (lambda a: LA.cholesky(a, upper=True), np.triu), (lambda a: LA.eigh(a)[0], np.tril),
    (lambda a: LA.eigh(a, "U")[0], np.triu), (lambda a: LA.eigh(a)[1][:, 0], np.tril),
])  # fmt: skip
def test_only_one_triangle_is_read(call, read):
    """What NumPy does not look at is owed nothing; of a symmetric argument the gradient is symmetric."""
    found = pb.grad(lambda a: (call(a) * np.arange(1.0, 4)).sum())(POSITIVE)
    np.testing.assert_array_equal(found, read(found))
    symmetric = pb.grad(lambda a: (call((a + a.T) / 2) * np.arange(1.0, 4)).sum())(POSITIVE)
    np.testing.assert_allclose(symmetric, symmetric.T, atol=1e-15)
    np.testing.assert_allclose(symmetric, (found + found.T) / 2, atol=1e-14)


# repeated values ------------------------------------------------------------------------------------------------

TWICE = _symmetric(1.0, 1.0, 2.0, 3.0)


def numerically(f, x, step=1e-6):
    slopes = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        e = np.zeros_like(x)
        e[i] = step
        slopes[i] = (f(x + e) - f(x - e)) / (2 * step)
    return slopes


@pytest.mark.parametrize("x", [TWICE, np.eye(3), np.zeros((3, 3)), np.diag([2.0, 1.0, 2.0])], ids=str)
def test_symmetric_functions_of_eigenvalues(x):
    for f in (
        lambda a: LA.eigvalsh(a).sum(),
        lambda a: (LA.eigvalsh(a) ** 3).sum(),
        lambda a: np.exp(LA.eigvalsh(a)).sum(),
    ):
        np.testing.assert_allclose(pb.grad(f)(x), numerically(f, x), atol=1e-7)


def test_one_of_equal_eigenvalues_shares():
    """As tied maxima do: the mean of the one-sided derivatives of all of them."""
    np.testing.assert_allclose(pb.grad(lambda a: LA.eigvalsh(a)[-1])(np.eye(3)), np.eye(3) / 3)
    np.testing.assert_allclose(pb.grad(lambda a: LA.norm(a, 2))(np.eye(3)), np.eye(3) / 3)
    forward, reverse = (pb.jacobian(LA.eigvalsh, mode=mode)(TWICE) for mode in ("forward", "reverse"))
    np.testing.assert_allclose(forward, reverse, atol=1e-14)


def test_vectors_of_single_eigenvalues_beside_repeated_ones():
    """A principal component of data with fewer samples than columns."""
    f = lambda a: LA.eigh(a)[1][:, -1] @ np.arange(4.0)  # noqa: E731
    expected = numerically(f, TWICE)
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(pb.jacobian(f, mode=mode)(TWICE), expected, atol=1e-7)
    both = lambda a: (LA.eigh(a)[1][:, 2:] ** 2 * np.arange(8.0).reshape(4, 2)).sum()  # noqa: E731
    np.testing.assert_allclose(pb.grad(both)(TWICE), numerically(both, TWICE), atol=1e-7)


def test_second_derivatives_of_a_single_eigenvalue_beside_repeated_ones():
    f = lambda a: LA.eigvalsh(a)[-1]  # noqa: E731
    forward, reverse = pb.hessian(f)(TWICE), pb.jacobian(pb.grad(f), mode="reverse")(TWICE)
    np.testing.assert_allclose(forward, reverse, atol=1e-13)
    step = np.zeros((4, 4))
    step[1, 0] = 1e-5
    slope = (pb.grad(f)(TWICE + step) - pb.grad(f)(TWICE - step)) / 2e-5
    np.testing.assert_allclose(forward[:, :, 1, 0], slope, atol=1e-7)


@pytest.mark.parametrize("f", [
    lambda a: LA.eigh(a)[1][:, 0].sum(), lambda a: LA.eigh(a)[1].sum(),
    lambda a: ((lambda w, v: (v * w) @ v.T)(*LA.eigh(a)))[0, 1],
], ids=["one vector", "all vectors", "a function of the matrix"])  # fmt: skip
@pytest.mark.parametrize("x", [TWICE, np.zeros((4, 4)), np.eye(4)], ids=str)
def test_vectors_of_repeated_eigenvalues_are_refused(f, x):
    with pytest.raises(DifferentiationError, match="eigenvectors of a repeated value have no derivative") as caught:
        pb.grad(f)(x)
    assert "test_numpy_linalg.py" in str(caught.value)
    assert np.isnan(pb.jacobian(f, mode="forward")(x)).all()


def test_a_second_derivative_that_needs_such_vectors_is_refused():
    with pytest.raises(DifferentiationError, match="repeated"):
        pb.jacobian(pb.grad(lambda a: (LA.eigvalsh(a) ** 2).sum()), mode="reverse")(TWICE)


def test_repeated_singular_values():
    x = _with_values(3.0, 1.0, 1.0, high=4)
    for f in (lambda a: LA.svdvals(a).sum(), lambda a: (LA.svdvals(a) ** 2).sum()):
        np.testing.assert_allclose(pb.grad(f)(x), numerically(f, x), atol=1e-7)
    top = lambda a: LA.svd(a, full_matrices=False)[0][:, 0] @ np.arange(4.0)  # noqa: E731
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(pb.jacobian(top, mode=mode)(x), numerically(top, x), atol=1e-7)
    right = lambda a: LA.svd(a, full_matrices=False)[2][0] @ np.arange(3.0)  # noqa: E731
    np.testing.assert_allclose(pb.grad(right)(x), numerically(right, x), atol=1e-7)
    with pytest.raises(DifferentiationError, match="singular vectors of a repeated value"):
        pb.grad(lambda a: LA.svd(a, full_matrices=False)[2].sum())(x)


def test_the_best_approximation_of_low_rank():
    """Where all further singular values are zero."""
    x = G.normal(size=(5, 2)) @ G.normal(size=(2, 4))

    def f(a):
        u, s, vh = LA.svd(a, full_matrices=False)
        return ((u[:, :2] * s[:2]) @ vh[:2] * np.arange(20.0).reshape(5, 4)).sum()

    np.testing.assert_allclose(pb.grad(f)(x), numerically(f, x), atol=1e-6)


def test_the_product_of_a_decomposition_is_the_matrix():
    """Also where a singular value is zero: u·s·vᵀ is smooth there."""

    def f(a):
        u, s, vh = LA.svd(a)
        return (u * s) @ vh

    x = np.diag([2.0, 1.0, 0.0])
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(pb.jacobian(f, mode=mode)(x).reshape(9, 9), np.eye(9), atol=1e-13)


def test_what_counts_as_repeated():
    same = _repeated(np.array([0.0, 1e-17, 1.0, 1.0 + 4e-16, 1.0 + 1e-9]), extent=5, what="vector")
    np.testing.assert_array_equal(same, np.array([[1, 1, 0, 0, 0]] * 2 + [[0, 0, 1, 1, 0]] * 2 + [[0, 0, 0, 0, 1]]))
    np.testing.assert_array_equal(_negligible(np.array([1.0, 1e-9, 1e-17, 0.0]), extent=4), [False, False, True, True])
    np.testing.assert_array_equal(_negligible(np.zeros(2), extent=2), [True, True])
    assert _repeated(np.zeros(0), extent=0, what="vector").shape == (0, 0)


@pytest.mark.parametrize("x", [TALL, WIDE, np.stack([TALL, 2 * TALL])], ids=["tall", "wide", "batch"])
def test_the_full_form(x):
    """What the matrix determines has derivatives; the further vectors have none."""
    for want, got in zip(LA.svd(x), LA.svd(traced(x)), strict=True):
        np.testing.assert_array_equal(got.value, want)
    k = min(x.shape[-2:])
    for f in (
        lambda a: (LA.svd(a)[0][..., :k] ** 2 * np.arange(1.0, k + 1)).sum() + LA.svd(a).S.sum(),
        lambda a: ((lambda u, s, vh: u[..., :, :k] * s[..., None, :] @ vh[..., :k, :])(*LA.svd(a)) ** 2).sum(),
        lambda a: (LA.svd(a)[2][..., :k, :] ** 2 * np.arange(1.0, x.shape[-1] + 1)).sum(),
    ):
        reduced = pb.grad(f)(x)
        np.testing.assert_allclose(reduced, numerically(f, x), atol=1e-6)
        np.testing.assert_allclose(pb.jacobian(f, mode="forward")(x), reduced, atol=1e-12)
        pb.check_grads(f, x)
        check_abstract(f, [x])
    for f in (lambda a: LA.svd(a)[0].sum() + LA.svd(a)[2].sum(), lambda a: sum(y.sum() for y in LA.svd(a))):
        with pytest.raises(DifferentiationError, match=r"further singular vectors.*no derivative.*full_matrices=False"):
            pb.grad(f)(x)
        assert np.isnan(pb.jacobian(f, mode="forward")(x)).all()


# what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: LA.qr(a[:, :2], "complete"), UnsupportedError, "use mode='reduced' or 'r'"),
        (lambda a: LA.qr(a, "raw"), UnsupportedError, "mode='raw'"),
        (lambda a: LA.pinv(a[None], np.array([1e-9])), UnsupportedError, "one cutoff"),
        (lambda a: LA.inv(a[:, :2]), LA.LinAlgError, "square"),
        (lambda a: LA.inv(a[0]), LA.LinAlgError, "two-dimensional"),
        (lambda a: LA.det(a.astype(np.float16)), TypeError, "float16"),
        (lambda a: LA.solve(a, np.ones(2)), ValueError, "number of equations"),
        (lambda a: LA.solve(a, np.ones(3, np.float16)), TypeError, "float16"),
        (lambda a: LA.eigh(a, "X"), ValueError, "UPLO"),
        (lambda a: LA.cholesky(-a @ a.T), LA.LinAlgError, "positive definite"),
        (lambda a: LA.norm(a, 3), ValueError, "Invalid norm order"),
        (lambda a: LA.norm(a, "nuc", axis=0), ValueError, "Invalid norm order"),
        (lambda a: LA.norm(a, 1, axis=(1, -1)), ValueError, "Duplicate axes"),
        (lambda a: LA.norm(a[None], 2), ValueError, "Improper number"),
        (lambda a: LA.lstsq(a, np.ones(2)), LA.LinAlgError, "lstsq of shapes"),
        (lambda a: LA.tensorinv(a, 0), ValueError, "ind"),
        (lambda a: LA.tensorsolve(a, np.ones(2)), ValueError, "number of equations"),
        (lambda a: LA.tensorsolve(a[:2], np.ones(2)), LA.LinAlgError, "number of equations"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(traced(SQUARE))
    assert text.lower() in str(caught.value).lower()
