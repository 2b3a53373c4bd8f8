"""Factorizations of complex matrices, eigenvalues of any, roots: NumPy's values; derivatives by finite differences."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import DifferentiationError, TraceError, UnsupportedError

LA = np.linalg
RANDOM = np.random.default_rng(2)
A, B, T = (RANDOM.normal(size=shape) for shape in ((3, 3), (3, 3), (4, 2)))
I3 = np.eye(3)


def told(z):
    """A number that depends on every part of every entry."""
    weights = np.cos(np.arange(z.size)).reshape(z.shape)
    return np.sum(np.real(z) * weights) + np.sum(np.imag(z) * weights[::-1]) + np.sum(np.abs(z) ** 2)


def positive(z):
    return z @ np.conj(z).T + 2 * np.eye(z.shape[0])


CALLS = {
    "cholesky": lambda z: told(LA.cholesky(positive(z))),
    "cholesky, upper": lambda z: told(LA.cholesky(positive(z), upper=True)),
    "cholesky of a triangle": lambda z: told(LA.cholesky(positive(z) + np.triu(z, 1))),
    "qr": lambda z: told(LA.qr(z)[0]) + told(LA.qr(z).R),
    "r": lambda z: told(LA.qr(z, mode="r")),
    "tall qr": lambda z: told(LA.qr(z[:, :2])[0]) + told(LA.qr(z[:, :2])[1]),
    "singular values": lambda z: np.sum(LA.svd(z, compute_uv=False) * np.arange(3)) + LA.svdvals(z[:2])[1],
    "eigvalsh": lambda z: np.sum(LA.eigvalsh(positive(z) + np.tril(z, -1), "U") * np.arange(3)),
    "pinv": lambda z: told(LA.pinv(z[:, :2])) + told(LA.pinv(z[:2])),
    "lstsq": lambda z: told(LA.lstsq(z[:, :2], z[:, 2])[0]) + LA.lstsq(z[:, :2], z[:, 1:], rcond=None)[1][1],
    "norms": lambda z: LA.norm(z, 2) + LA.norm(z, -2) + LA.norm(z, "nuc") + LA.cond(z) + LA.cond(z, 1),
    "slogdet": lambda z: LA.slogdet(z)[1] + np.imag(LA.slogdet(z)[0]),
    "eigenvalues": lambda z: told(LA.eigvals(z) ** 3),
    "eigenvalues of a real matrix": lambda z: told(LA.eigvals(z.real) ** 3),
    "eigenvalues that are real": lambda z: told(LA.eigvals(np.diag([1.0, 3.0, 7.0]) + z.real / 9) ** 3),
    "a batch": lambda z: told(LA.eigvals(np.stack([z, 2 * z + I3]))) + told(LA.cholesky(np.stack([positive(z)] * 2))),
    "eigenvectors of a Hermitian matrix": lambda z: told(LA.eigh(positive(z))[1]) + told(LA.eigh(z, "U").eigenvectors),
    "singular vectors": lambda z: (
        sum(map(told, LA.svd(z))) + told(LA.svd(np.stack([z, z * 1j, z.T, z])[..., :2], False)[0])
    ),
    "tall and wide singular vectors": lambda z: sum(told(part) for a in (z[:, :2], z[:2]) for part in LA.svd(a, False)),
    "eigenvectors": lambda z: told(LA.eig(z)[1]) + told(LA.eig(np.stack([z, 2 * z + I3]))[1]),
    "eigenvectors of a real matrix": lambda z: told(LA.eig(z.real)[1]) + told(LA.eig(z.real + 9 * np.diag(I3[0]))[1]),
    "roots": lambda z: told(np.roots(z.real.ravel()[:6])),
}


def test_values_are_numpys():
    """Phases of vectors are among them."""
    z = A + 1j * B
    for name in ("cholesky", "qr", "svdvals", "eigvalsh", "pinv", "eigvals", "slogdet", "cond", "eigh", "svd", "eig"):

        def f(x, name=name):
            z = x + 1j * B
            return getattr(LA, name)(positive(z) if name in ("cholesky", "eigvalsh", "eigh") else z)

        found, want = pb.vjp(f, A)[0], f(A)
        for got, one in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, want)), strict=True):
            np.testing.assert_allclose(got, one, rtol=1e-12, atol=1e-13)
            assert np.asarray(got).dtype == np.asarray(one).dtype
    found, want = (
        pb.vjp(lambda x: LA.lstsq(x[:, :2] + 1j * B[:, :2], z[:, 2], rcond=None), A)[0],
        LA.lstsq(z[:, :2], z[:, 2]),
    )
    for got, one in zip(found, want, strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-12)
    for shift in (0.0, 1.0):
        f = lambda x, shift=shift: LA.eigvals(np.diag([1.0, 3.0, 7.0]) * shift + x / 9)  # noqa: E731
        assert pb.vjp(f, A)[0].dtype == f(A).dtype


@pytest.mark.parametrize("name", list(CALLS)[:: amount.cases(4, 1)])
def test_derivatives(name):
    f = lambda x, y: CALLS[name](x + 1j * y)  # noqa: E731
    np.testing.assert_allclose(pb.value_and_grad(f)(A, B)[0], f(A, B), rtol=1e-12)
    pb.check_grads(f, A, B, order=2)


def test_machine_code_and_float32():
    f = lambda x: sum(CALLS[name](x + 1j * B) for name in ("r", "eigenvalues"))  # noqa: E731
    want = pb.grad(f)(A)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(A), want, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.stack([A, A])), np.stack([want, want]), rtol=1e-9, atol=1e-9)
    single = pb.grad(lambda x: told(LA.cholesky(positive(x + np.complex64(1j) * x))))(A.astype(np.float32))
    assert single.dtype == np.float32


def test_vectors_of_blocks_keep_the_phases_of_their_blocks():
    """The first entry of a vector is 0 then, and says nothing of its phase."""
    blocks = np.kron(np.eye(2), np.ones((2, 2)))
    f = lambda x, y: told(LA.eigh(positive(blocks * (np.eye(4) * [1, 2, 3, 5] + x + 1j * y)))[1])  # noqa: E731
    pb.check_grads(f, T @ T.T, np.sin(T @ T.T))


def test_roots_at_the_ends():
    """Leading zeros are no roots, trailing ones are 0."""
    f = lambda c: np.roots(np.array([0.0, 2.0, c, 1.0, 0.0]))  # noqa: E731
    np.testing.assert_allclose(pb.vjp(f, 5.0)[0], f(5.0))
    np.testing.assert_allclose(np.sum(pb.jacobian(f)(5.0)), -0.5)  # the sum of the roots is −c/2


def test_what_has_no_derivative_says_so():
    for f in (lambda x: LA.eigvals(x * I3), lambda x: np.roots(np.array([1.0, -2 * x, x * x])),
              lambda x: LA.eigvals(np.array([[1.0, x], [0.0, 1.0]]))):  # fmt: skip
        with pytest.raises(DifferentiationError, match="repeats"):
            pb.grad(lambda x, f=f: np.sum(np.abs(f(x))))(1.0)
        with pytest.raises(DifferentiationError, match="repeats"):
            pb.jvp(f, (1.0,), (1.0,))
    if LA.eigvals(I3).dtype.kind == "f":  # before NumPy 2.5
        with pytest.raises(TraceError, match=r"a \+ 0j"):
            pb.compile(lambda x: np.abs(LA.eigvals(x)))(A)
    np.testing.assert_allclose(pb.compile(lambda x: np.abs(LA.eigvals(x + 0j)))(A), np.abs(LA.eigvals(A)))
    with pytest.raises(UnsupportedError, match="full_matrices=False"):
        pb.grad(lambda x: np.sum(np.abs(LA.svd(x[:2] + 1j * B[:2])[2])))(A)
    if LA.eig(I3)[0].dtype.kind == "f":
        with pytest.raises(TraceError, match=r"a \+ 0j"):
            pb.compile(lambda x: np.abs(LA.eig(x)[1]))(A)
