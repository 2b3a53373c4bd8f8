"""Functions of SciPy's matrices that are written with others: its own values, and derivatives."""

import numpy as np
import pytest
import scipy.linalg as sl

import amount
import payback as pb
from payback.errors import TraceError, UnsupportedError
from told import told

RANDOM = np.random.default_rng(4)
A, B = RANDOM.normal(size=(3, 3)), RANDOM.normal(size=(3, 3))
C = np.array([5.0, 1.0, -0.5])
I3 = np.eye(3)


def positive(z):
    return z @ np.conj(z.T) + 2 * I3


def banded(x):
    return np.stack([x[0], x[1] ** 2 + 9])


CALLS = {
    "eigvals": lambda x: told(sl.eigvals(x) ** 2),
    "eig": lambda x: told(sl.eig(x)) + told(sl.eig(x, right=False) ** 2),
    "eigh_tridiagonal": lambda x: told(sl.eigh_tridiagonal(x[0] * [1, 3, 5], x[1, :2])),
    "its values": lambda x: told(sl.eigh_tridiagonal(x[0] * [1, 3, 5], x[1, :2], eigvals_only=True)),
    "lu": lambda x: told(sl.lu(x)) + told(sl.lu(x.T, permute_l=True)),
    "polar": lambda x: told(sl.polar(x)) + told(sl.polar(x[:2], side="left")),
    "a rotation is its own": lambda x: told(sl.polar(np.array([[np.cos(x[0, 0]), -np.sin(x[0, 0])], [x[0, 1], 1.0]]))),
    "orthogonal_procrustes": lambda x: told(sl.orthogonal_procrustes(x, B)),
    "orth": lambda x: told(sl.orth(x[:, :2])),
    "pinvh": lambda x: told(sl.pinvh(positive(x))),
    "cholesky_banded": lambda x: (
        told(sl.cholesky_banded(banded(x))) + told(sl.cholesky_banded(banded(x)[::-1], lower=True))
    ),
    "cho_solve_banded": lambda x: told(sl.cho_solve_banded((sl.cholesky_banded(banded(x)), False), x[2])),
    "fractional_matrix_power": lambda x: told(sl.fractional_matrix_power(positive(x), 0.3 + x[0, 0] / 9)),
    "solve_toeplitz": lambda x: told(sl.solve_toeplitz((C, C * x[0]), x[1])) + told(sl.solve_toeplitz(C + x[0], B)),
    "matmul_toeplitz": lambda x: told(sl.matmul_toeplitz((x[0], x[1]), x)),
    "solve_circulant": lambda x: told(sl.solve_circulant(C + x[0] / 9, x[1])),
    "khatri_rao": lambda x: told(sl.khatri_rao(x, x[:2] * B[:2])),
    "companion": lambda x: told(sl.companion(np.append(2.0, x[0]))),
    "solve_continuous_are": lambda x: told(sl.solve_continuous_are(x, B[:, :2], positive(x), np.eye(2) * 3)),
    "solve_discrete_are": lambda x: told(sl.solve_discrete_are(x, B[:, :1], I3, [[1.0]])),
    "complex systems": lambda x: told(sl.solve(x + 1j * B, x[0])) + told(sl.inv(x + 1j * B)) + told(sl.det(x + 1j * B)),
    "complex factors": lambda x: told(sl.cholesky(positive(x + 1j * B), lower=True)) + told(sl.svd(x + 1j * B)),
    "Hermitian matrices": lambda x: told(sl.eigh(positive(x + 1j * B))) + told(sl.eigvalsh(positive(x + 1j * B))),
}
LOOKING = {"eigh_tridiagonal", "orth", "eig", "eigvals"}  # at numbers; eigenvalues of complex matrices do not


@pytest.mark.parametrize("name", list(CALLS)[:: amount.cases(3, 1)])
def test_values_and_derivatives(name):
    f = CALLS[name]
    np.testing.assert_allclose(pb.value_and_grad(f)(A)[0], f(A), rtol=1e-11)
    pb.check_grads(f, A)


def test_machine_code():
    f = lambda x: sum(CALLS[name](x) for name in ("solve_discrete_are", "polar", "lu", "complex factors"))  # noqa: E731
    compiled = pb.compile(pb.value_and_grad(f))
    compiled(B)
    for found, want in zip(compiled(A), pb.value_and_grad(f)(A), strict=True):
        np.testing.assert_allclose(found, want, rtol=1e-8)


def test_what_is_not_known_is_refused():
    for name in ("eigh_tridiagonal", "orth", "eig"):
        with pytest.raises(TraceError, match="without numbers"):
            pb.compile(CALLS[name])(A)
    for f in (lambda x: sl.polar(x[:2]), lambda x: sl.eig(x, left=True), lambda x: sl.solve_circulant(x[0], C, "lstsq"),
              lambda x: sl.solve(x + 1j * B, x, assume_a="her")):  # fmt: skip
        with pytest.raises(UnsupportedError):
            pb.grad(lambda x, f=f: told(f(x)))(A)
