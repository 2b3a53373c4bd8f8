"""Solving with SciPy's sparse matrices and a traced right side: as with the dense matrix, in every mode."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, factorized, splu, spsolve, spsolve_triangular

import payback as pb
from payback.errors import PaybackError

DENSE = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 4.0]])
LOWER = np.array([[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [1.0, 0.0, 4.0]])
A, L = sp.csc_array(DENSE), sp.csr_array(LOWER)
KEPT = splu(A)
B = np.array([0.3, -0.2, 0.9])
MANY = np.arange(6.0).reshape(3, 2) - 2.5

SOLVES = {
    "spsolve": (lambda b: spsolve(A, b), lambda b: np.linalg.solve(DENSE, b), B),
    "spsolve, transposed": (lambda b: spsolve(A.T, b), lambda b: np.linalg.solve(DENSE.T, b), B),
    "spsolve of columns": (lambda b: spsolve(A, b), lambda b: np.linalg.solve(DENSE, b), MANY),
    "spsolve of one column": (lambda b: spsolve(A, b), lambda b: np.linalg.solve(DENSE, b)[:, 0], B[:, None]),
    "splu": (lambda b: splu(A).solve(b), lambda b: np.linalg.solve(DENSE, b), B),
    "kept factors": (lambda b: KEPT.solve(b), lambda b: np.linalg.solve(DENSE, b), MANY),
    "kept factors, transposed": (lambda b: KEPT.solve(b, "T"), lambda b: np.linalg.solve(DENSE.T, b), B),
    "factorized": (lambda b: factorized(A)(b), lambda b: np.linalg.solve(DENSE, b), B),
    "a triangle": (lambda b: spsolve_triangular(L, b), lambda b: np.linalg.solve(LOWER, b), B),
    "an upper triangle": (lambda b: spsolve_triangular(L.T, b, lower=False), lambda b: np.linalg.solve(LOWER.T, b), B),
    "in turn": (lambda b: KEPT.solve(KEPT.solve(b) * b),
                lambda b: np.linalg.solve(DENSE, np.linalg.solve(DENSE, b) * b), B),
}  # fmt: skip


@pytest.mark.parametrize("name", SOLVES)
def test_solves(name):
    f, dense, b = SOLVES[name]
    cost, law = (lambda b: np.sum(f(b) ** 3)), (lambda b: np.sum(dense(b) ** 3))
    np.testing.assert_allclose(pb.value_and_grad(cost)(b)[0], law(b), rtol=1e-13)
    np.testing.assert_allclose(pb.grad(cost)(b), pb.grad(law)(b), rtol=1e-12)
    np.testing.assert_allclose(pb.hessian(cost)(b), pb.hessian(law)(b), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(pb.jvp(f, (b,), (b * b,))[1], pb.jvp(dense, (b,), (b * b,))[1], rtol=1e-12)
    np.testing.assert_allclose(pb.compile(pb.grad(cost))(b), pb.grad(law)(b), rtol=1e-12)
    np.testing.assert_allclose(pb.vmap(pb.grad(cost))(np.stack([b, -b]))[0], pb.grad(law)(b), rtol=1e-12)


def test_a_buffer_with_traced_entries_is_a_right_side():
    def f(w):
        b = np.zeros(3)
        b[1] = w[0]
        return np.sum(spsolve(A, b) * KEPT.solve(b))

    column = np.linalg.inv(DENSE)[:, 1]
    np.testing.assert_allclose(pb.grad(f)(B), [2 * B[0] * column @ column, 0, 0], rtol=1e-13)


def test_the_matrix_is_never_made_dense_and_is_factored_once():
    """200,000 unknowns, of which a full matrix would take 320 GB."""
    n = 200_000
    kept = splu(sp.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsc())
    slope = pb.grad(lambda b: np.sum(kept.solve(b)))(np.ones(n))
    np.testing.assert_allclose(slope, kept.solve(np.ones(n), "T"), rtol=1e-13)


def test_types_are_those_of_the_plain_call():
    single = B.astype(np.float32)
    kept = splu(A.astype(np.float32))
    for f in (lambda b: spsolve(A, b), lambda b: spsolve(A.astype(np.float32), b),
              lambda b: KEPT.solve(b), lambda b: kept.solve(b)):  # fmt: skip
        assert pb.value_and_grad(lambda b, f=f: np.sum(f(b)))(single)[0].dtype == f(single).sum().dtype
    with pytest.raises(TypeError, match="Cannot cast array data"):
        pb.grad(lambda b: kept.solve(b).sum())(B)


def test_outside_of_a_trace_the_method_is_scipys():
    before = vars(SuperLU)["solve"]
    pb.grad(lambda b: KEPT.solve(b).sum())(B)
    assert vars(SuperLU)["solve"] is before
    assert type(KEPT.solve(B)) is np.ndarray


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(RuntimeError, match="singular"):
        pb.grad(lambda b: spsolve(sp.csc_array(np.diag([1.0, 0.0, 1.0])), b).sum())(B)
    for f in (lambda b: spsolve(A, b[:2]), lambda b: KEPT.solve(b[:2])):
        with pytest.raises(PaybackError, match="shapes that do not fit"):
            pb.grad(lambda b, f=f: f(b).sum())(B)
    with pytest.raises(PaybackError, match=r"complex.* real and the imaginary"):
        pb.grad(lambda b: spsolve(A * 1j, b).sum())(B)
    with pytest.raises(PaybackError, match=r"Use np\.linalg\.solve"):
        pb.grad(lambda b: spsolve(np.outer(b, b) + np.eye(3), B).sum())(B)
    early = factorized(A)
    with pytest.raises(PaybackError, match=r"lu\.solve\(b\) in the function"):
        pb.grad(lambda b: early(b).sum())(B)
