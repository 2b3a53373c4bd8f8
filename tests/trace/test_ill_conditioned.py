"""Matrices that are nearly singular, eigenvalues and singular values that nearly meet: derivatives against mpmath.

The truth is a difference quotient in 80 digits.  Double precision knows a derivative to about ε·cond, or ε/gap, of its
size; no rule may lose more than that, in either mode, in first or second order.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
import scipy.linalg

import payback as pb
from amount import cases

N, EPS = 4, 2.0**-52
LA = np.linalg


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(80):
        yield


def orthogonal(rng, n):
    return LA.qr(rng.standard_normal((n, n)))[0]


def exactly(a):
    return mp.matrix(a.tolist())


def entries(m):
    return np.array(m.tolist(), dtype=object)


def derivatives(f, a, e):
    """First and second derivative of f(a + t·e) by t."""
    a, e, h = exactly(a), exactly(e), mp.mpf(10) ** -20
    low, at, high = (entries(f(a + t * e)) for t in (-h, 0, h))
    return ((high - low) / (2 * h)).astype(float), ((high - 2 * at + low) / h**2).astype(float)


def check(f, precise, a, e, bound, second=True):
    """Errors are measured against the largest entry, and in reverse mode against that times the weights."""
    first, bent = derivatives(precise, a, e)

    def along(x):
        return pb.jvp(f, (x,), (e,))[1]

    found = along(a)
    first, bent = (part.reshape(np.shape(found)) for part in (first, bent))
    weights = np.random.default_rng(0).uniform(0.5, 1.5, np.shape(found))

    def back(x):
        return pb.vjp(f, x)[1](weights)[0]

    def near(got, want, of):
        assert np.max(np.abs(got - want)) <= bound * np.max(np.abs(of)), (got, want)

    near(found, first, first)
    near(np.sum(back(a) * e) / np.sum(weights), np.sum(weights * first) / np.sum(weights), first)
    if second:
        near(pb.jvp(along, (a,), (e,))[1], bent, bent)
        twice = np.sum(pb.vjp(back, a)[1](e)[0] * e)
        near(twice / np.sum(weights), np.sum(weights * bent) / np.sum(weights), bent)


B = np.arange(1.0, N + 1)
LONG = np.arange(1.0, N + 4)
REGULAR = {
    "inv": (LA.inv, lambda a: a**-1),
    "pinv": (lambda a: LA.pinv(a, rcond=1e-15), lambda a: a**-1),
    "solve": (lambda a: LA.solve(a, B), lambda a: mp.lu_solve(a, mp.matrix(B.tolist()))),
    "lstsq": (lambda a: LA.lstsq(a, B, rcond=None)[0], lambda a: mp.lu_solve(a, mp.matrix(B.tolist()))),
    "det": (LA.det, lambda a: mp.matrix([[mp.det(a)]])),
    "slogdet": (lambda a: LA.slogdet(a)[1], lambda a: mp.matrix([[mp.log(abs(mp.det(a)))]])),
    "matrix_power": (lambda a: LA.matrix_power(a, -2), lambda a: a**-2),
    "cond": (LA.cond, lambda a: (lambda s: mp.matrix([[s[0] / s[N - 1]]]))(mp.svd_r(a, compute_uv=False))),
    "norm": (lambda a: LA.norm(a, 2), lambda a: mp.matrix([[mp.svd_r(a, compute_uv=False)[0]]])),
    "solve_triangular": (lambda a: scipy.linalg.solve_triangular(a, B, lower=True),
                         lambda a: mp.lu_solve(lower(a), mp.matrix(B.tolist()))),
}  # fmt: skip
POSITIVE = {
    "cholesky": (LA.cholesky, mp.cholesky),
    "cho_solve": (lambda a: scipy.linalg.cho_solve(scipy.linalg.cho_factor(a), B), REGULAR["solve"][1]),
    "sqrtm": (scipy.linalg.sqrtm, lambda a: a * root(a)),
    "eigvalsh": (LA.eigvalsh, lambda a: mp.eigsy(a, eigvals_only=True)),
    "log det": (lambda a: 2 * np.sum(np.log(np.diag(LA.cholesky(a)))), REGULAR["slogdet"][1]),
}
TALL = {
    "lstsq": (lambda a: LA.lstsq(a, LONG, rcond=None)[0],
              lambda a: mp.lu_solve(a.T * a, a.T * mp.matrix(LONG.tolist()))),
    "pinv": (lambda a: LA.pinv(a, rcond=1e-15), lambda a: (a.T * a) ** -1 * a.T),
    "polar": (lambda a: (lambda u, s, v: u @ v)(*LA.svd(a, full_matrices=False)), lambda a: a * root(a.T * a)),
}  # fmt: skip
CONDITIONS = cases([1e4, 1e12], [1e2, 1e4, 1e6, 1e8, 1e10, 1e12])


def lower(a):
    return mp.matrix([[a[i, j] if j <= i else 0 for j in range(N)] for i in range(N)])


def root(a):
    """a to the power −½."""
    values, vectors = mp.eigsy(a)
    return vectors * mp.diag([1 / mp.sqrt(v) for v in values]) * vectors.T


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", REGULAR)
def test_nearly_singular(name, condition):
    rng = np.random.default_rng(7)
    a = orthogonal(rng, N) * np.geomspace(1, 1 / condition, N) @ orthogonal(rng, N).T
    if name == "solve_triangular":
        a = np.diag(np.geomspace(1, 1 / condition, N)) @ (np.eye(N) + np.tril(rng.standard_normal((N, N)), -1))
    check(*REGULAR[name], a, rng.standard_normal((N, N)), 200 * EPS * condition)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("name", POSITIVE)
def test_nearly_semidefinite(name, condition):
    rng = np.random.default_rng(8)
    q, e = orthogonal(rng, N), rng.standard_normal((N, N))
    a = q * np.geomspace(1, 1 / condition, N) @ q.T
    check(*POSITIVE[name], (a + a.T) / 2, e + e.T, 200 * EPS * condition)


@pytest.mark.parametrize("condition", cases([1e4, 1e10], CONDITIONS))
@pytest.mark.parametrize("name", TALL)
def test_nearly_of_lower_rank(name, condition):
    rng = np.random.default_rng(9)
    q = LA.qr(rng.standard_normal((N + 3, N)))[0]
    a = q * np.geomspace(1, 1 / condition, N) @ orthogonal(rng, N).T
    check(*TALL[name], a, rng.standard_normal(a.shape), 500 * EPS * condition)


def of_the_sign(vectors, like):
    """Eigenvectors are known up to their signs: NumPy's are taken."""
    for j in range(vectors.cols):
        if sum(vectors[i, j] * like[i, j] for i in range(vectors.rows)) < 0:
            for i in range(vectors.rows):
                vectors[i, j] = -vectors[i, j]
    return vectors


@pytest.mark.parametrize("gap", cases([1e-6], [1e-2, 1e-4, 1e-6, 1e-8, 1e-10]))
def test_eigenvalues_that_nearly_meet(gap):
    rng = np.random.default_rng(10)
    q, e = orthogonal(rng, N), rng.standard_normal((N, N))
    a = q * np.array([1.0, 1.0 + gap, 2.0, 3.0]) @ q.T
    a, e = (a + a.T) / 2, e + e.T
    like = exactly(LA.eigh(a)[1])
    check(LA.eigvalsh, lambda a: mp.eigsy(a, eigvals_only=True), a, e, 500 * EPS / gap)
    check(lambda a: LA.eigh(a)[1], lambda a: of_the_sign(mp.eigsy(a)[1], like), a, e, 500 * EPS / gap)


@pytest.mark.parametrize("gap", cases([1e-6], [1e-2, 1e-4, 1e-6, 1e-8, 1e-10]))
def test_singular_values_that_nearly_meet(gap):
    rng = np.random.default_rng(11)
    a = orthogonal(rng, N) * np.array([3.0, 2.0, 1.0 + gap, 1.0]) @ orthogonal(rng, N).T
    e = rng.standard_normal((N, N))
    like = exactly(LA.svd(a)[0])
    check(lambda a: LA.svd(a, compute_uv=False), lambda a: mp.svd_r(a, compute_uv=False), a, e, 500 * EPS / gap)
    check(lambda a: LA.svd(a)[0], lambda a: of_the_sign(mp.svd_r(a)[0], like), a, e, 500 * EPS / gap)
