"""jacobian(sparse=True) and hessian(sparse=True) as users call them, against the dense ones."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

import payback as pb
from payback.ad.sets import Sets
from payback.errors import DifferentiationError, InputError
from payback.transforms import sparse as sparse_module

RNG = np.random.default_rng(0)


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.fixture
def sweeps(monkeypatch):
    """The patterns and the compressed sweeps that are made, counted where they are made."""
    made = {"pattern": 0, "sweep": 0}

    def counted(name, function):
        def call(*args, **kwargs):
            made[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(sparse_module, "_sweep", counted("sweep", sparse_module._sweep))
    monkeypatch.setattr(sparse_module, "jacobian_pattern", counted("pattern", sparse_module.jacobian_pattern))
    return made


def check_against_dense(f, x, **options):
    """Every non-zero of the dense derivative is in the pattern, and every entry of the pattern has its value."""
    made = pb.jacobian(f, sparse=True, **options)(x)
    dense = np.asarray(pb.jacobian(f, **options)(x)).reshape(np.size(f(x)), np.size(x))
    assert isinstance(made, scipy.sparse.csr_array)
    assert made.shape == dense.shape
    assert made.dtype == dense.dtype
    assert made.has_canonical_format
    np.testing.assert_allclose(made.toarray(), dense, rtol=1e-12, atol=1e-12)
    return made


def check_hessian(f, x):
    made = pb.hessian(f, sparse=True)(x)
    dense = np.asarray(pb.hessian(f)(x)).reshape(np.size(x), np.size(x))
    np.testing.assert_allclose(made.toarray(), dense, rtol=1e-12, atol=1e-12 * max(1, np.max(np.abs(dense), initial=0)))
    return made


def test_rosenbrock_of_100_000_variables_takes_one_pattern_and_three_sweeps(sweeps, caplog):
    n = 100_000
    x = np.linspace(-1.5, 2.0, n)
    with caplog.at_level(logging.DEBUG, "payback.transforms.sparse"):
        made = pb.hessian(rosenbrock, sparse=True)(x)
    assert sweeps == {"pattern": 1, "sweep": 3}
    assert caplog.messages == ["100000 x 100000 with 299998 entries: 3 sweeps in forward mode"]
    main = 1200 * x**2 - 400 * np.append(x[1:], 0.0) + 2
    main[1:] += 200
    main[-1] = 200
    expected = scipy.sparse.diags_array([main, -400 * x[:-1], -400 * x[:-1]], offsets=[0, 1, -1])
    assert made.nnz == 3 * n - 2
    assert abs((made - expected).tocsr()).max() <= 1e-12 * abs(expected.tocsr()).max()


@pytest.mark.parametrize("n", [2, 3, 4, 17])
def test_small_rosenbrock_agrees_with_the_dense_hessian(n):
    assert check_hessian(rosenbrock, RNG.normal(size=n)).nnz == 3 * n - 2


def test_the_newton_step_that_it_is_for():
    """Newton's method with the sparse Hessian ends at the minimum, all ones."""
    from scipy.sparse.linalg import spsolve

    x = np.full(200, 1.2)
    gradient, hessian = pb.grad(rosenbrock), pb.hessian(rosenbrock, sparse=True)
    for _ in range(20):
        x = x - spsolve(hessian(x).tocsc(), gradient(x))
    np.testing.assert_allclose(x, 1.0, rtol=1e-12)


CAMERA, POINT = RNG.integers(0, 5, 60), RNG.integers(0, 12, 60)


def project(v):
    """Residuals of 60 observations: a camera has 4 numbers, a point 3."""
    cameras, points = v[:20].reshape(5, 4), v[20:].reshape(12, 3)
    c, p = cameras[CAMERA], points[POINT]
    seen = p[:, :2] * c[:, :1] + c[:, 1:3] * np.sin(p[:, 2:]) + c[:, 3:] ** 2
    return (seen / (1.0 + p[:, 2:] ** 2)).ravel()


def test_bundle_adjustment(sweeps):
    v = RNG.normal(size=56)
    made = check_against_dense(project, v)
    assert made.nnz == 120 * 5  # a coordinate depends on 3 numbers of the camera and 2 of the point
    assert 5 <= sweeps["sweep"] <= 10
    check_hessian(lambda v: np.sum(project(v) ** 2), v)


A = np.where(RNG.random((6, 8)) < 0.3, RNG.normal(size=(6, 8)), 0.0)
FUNCTIONS = {
    "a band": lambda x: x[1:] * np.sin(x[:-1]),
    "a stencil": lambda x: x[2:] - 2 * x[1:-1] + x[:-2] + np.exp(x[1:-1]),
    "a sparse matrix": lambda x: np.tanh(A @ x),
    "groups": lambda x: np.max(x.reshape(4, 2), axis=1) * np.sum(x.reshape(2, 4), axis=1).repeat(2),
    "to a matrix": lambda x: x[:, None] * x[None, :4],
    "to a number": lambda x: np.sum(x[::2] ** 3),
    "of everything": lambda x: x * np.linalg.norm(x),
    "no path": lambda x: np.sign(x),
    "a constant": lambda x: np.ones(2),
    "nothing": lambda x: x[:0],
    "written": lambda x: written(x),
}


def written(x):
    out = np.zeros(9)
    for i in range(8):
        out[i] = x[i] ** 2
        out[i + 1] += x[i]
    return out


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("mode", ["auto", "forward", "reverse"])
def test_every_mode(name, mode):
    x = RNG.uniform(0.5, 1.5, 8)
    check_against_dense(FUNCTIONS[name], x, mode=mode)
    check_against_dense(lambda m: FUNCTIONS[name](m.T.reshape(8)), x.reshape(2, 4), mode=mode)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes(dtype):
    assert pb.jacobian(np.sin, sparse=True)(np.ones(3, dtype)).dtype == dtype
    assert pb.hessian(lambda x: np.sum(np.sin(x)), sparse=True)(np.ones(3, dtype)).dtype == dtype
    assert check_against_dense(lambda x: np.stack([x, x * x]), 2.0).shape == (2, 1)
    assert check_hessian(lambda x: x**3, 2.0).toarray() == [[12.0]]


def test_auto_takes_the_fewer_sweeps(sweeps):
    x = np.arange(1.0, 9.0)
    assert pb.jacobian(lambda x: np.concatenate([x, np.sum(x, keepdims=True)]), sparse=True)(x).nnz == 16
    assert sweeps["sweep"] == 2  # the rows: a diagonal, and one that is full
    assert pb.jacobian(lambda x: x * x[0], sparse=True)(x).nnz == 15
    assert sweeps["sweep"] == 4  # the columns


def test_symmetry_saves_sweeps(sweeps):
    """An arrow: the column of the first variable is full, yet two sweeps do for the Hessian."""
    f = lambda x: np.sum(x[0] * x[1:] ** 2)  # noqa: E731
    check_hessian(f, RNG.normal(size=30))
    assert sweeps["sweep"] == 2


# programs of many small steps; each step takes vectors and makes a vector of the same length
STEPS = [
    lambda a, b: a + b,
    lambda a, b: a * np.sin(b),
    lambda a, b: a * b[0],
    lambda a, b: np.concatenate([a[1:], b[:1] * a[0]]),
    lambda a, b: np.roll(a, 2) * b,
    lambda a, b: np.where(b > 0.2, a * a, b),
    lambda a, b: np.maximum(a, 0.5 * b),
    lambda a, b: a[[0, 0, 3, 2, 5, 1]] * b,
    lambda a, b: np.cumsum(a) * 0.25,
    lambda a, b: np.repeat(np.sum(a.reshape(3, 2), axis=1), 2) * b,
    lambda a, b: np.tanh(A[:, :6] @ a) + b * 0.5,
    lambda a, b: (a.reshape(2, 3) @ np.outer(b[:3], [1.0, 0.0, 2.0])).ravel(),
    lambda a, b: a.reshape(2, 3).T.ravel() - b**2,
    lambda a, b: pb.nn.logsumexp(np.stack([a, b]), axis=0),
    lambda a, b: overwritten(a, b),
]


def overwritten(a, b):
    out = np.zeros(6)
    out[:] = a
    out[[1, 4]] *= b[:2]
    return out


@st.composite
def programs(draw):
    picks = st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 3), st.integers(0, 3))
    return draw(st.lists(picks, min_size=1, max_size=6))


def run(program, x):
    pool = [x]
    for step, i, j in program:
        pool.append(STEPS[step](pool[-1 - i % len(pool)], pool[-1 - j % len(pool)]))
    return pool[-1]


@given(programs(), st.integers(0, 10_000))
def test_random_programs(program, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, 6)
    check_against_dense(lambda x: run(program, x), x)
    check_hessian(lambda x: np.sum(np.sin(run(program, x))), x)


# infinities


def test_an_infinite_entry_stays_its_own():
    x = np.array([0.0, 1.0, 4.0, 0.0, 9.0])
    made = check_against_dense(np.sqrt, x)
    assert made.toarray()[0, 0] == np.inf
    check_against_dense(lambda x: np.sqrt(x[1:]) + x[:-1], x)
    with np.errstate(divide="ignore"):
        check_against_dense(lambda x: np.where(x > 0, np.log(x), 0.0), x)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_zero_of_a_constant_does_not_let_an_infinity_through(mode, sweeps):
    """In one sweep 0·∞ would make NaN of an entry that is finite: other columns share it then."""
    B = np.eye(4) + np.eye(4, k=1) * 0.5
    f = {"forward": lambda x: B @ np.sqrt(x), "reverse": lambda x: np.sqrt(B @ x)}[mode]
    x = np.array([0.0, 0.0, 4.0, 0.25])
    made = pb.jacobian(f, sparse=True, mode=mode)(x)
    assert sweeps["pattern"] == 2
    dense = pb.jacobian(f, mode=mode)(x)
    kept = B != 0
    np.testing.assert_allclose(made.toarray()[kept], dense[kept], rtol=1e-12)
    assert made.nnz == kept.sum()
    assert np.isfinite(made.toarray()[1:, 2:]).all()


# what is refused


def test_containers_are_refused():
    with pytest.raises(InputError, match=r"sparse=True differentiates by one array: .* give the argument|one array"):
        pb.jacobian(lambda d: d["a"], sparse=True)({"a": np.ones(2)})
    with pytest.raises(InputError, match="sparse=True differentiates by one array"):
        pb.jacobian(lambda a, b: a * b, argnums=(0, 1), sparse=True)(np.ones(2), np.ones(2))
    with pytest.raises(InputError, match=r"one array as the result, not a tuple: .*\. Join the results"):
        pb.jacobian(lambda a: (a, a), sparse=True)(np.ones(2))
    with pytest.raises(InputError, match="the mode is 'rows'"):
        pb.jacobian(np.sin, sparse=True, mode="rows")


def test_a_sparse_derivative_is_not_differentiated_again():
    message = "a sparse derivative cannot be differentiated again"
    with pytest.raises(DifferentiationError, match=message):
        pb.grad(lambda x: np.sum(pb.jacobian(np.sin, sparse=True)(x).data))(np.ones(3))
    with pytest.raises(DifferentiationError, match=message):
        pb.grad(lambda y: np.sum(pb.hessian(lambda x: np.sum(x * x * y), sparse=True)(np.ones(3)).data))(np.ones(3))
    w = pb.variable(np.ones(3))
    with pytest.raises(DifferentiationError, match=message):
        pb.jacobian(lambda x: x * w, sparse=True)(np.ones(3))


def test_what_grad_refuses_is_refused():
    with pytest.raises(DifferentiationError, match="not a scalar"):
        pb.hessian(np.sin, sparse=True)(np.ones(3))
    with pytest.raises(DifferentiationError, match="int64"):
        pb.jacobian(np.sin, sparse=True)(np.ones(3, int))


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.sparse", None)
    with pytest.raises(InputError, match=r"sparse=True needs SciPy, which is not installed: .* Pip install scipy"):
        pb.jacobian(np.sin, sparse=True)
    assert pb.jacobian(np.sin)(np.zeros(2)).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_aux():
    made, aux = pb.jacobian(lambda x: (x * x, {"n": 3, "x": x}), sparse=True, has_aux=True)(np.ones(2))
    assert made.toarray().tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert aux["n"] == 3
    assert type(aux["x"]) is np.ndarray


def test_other_arguments():
    f = lambda a, x, k: a * x[1:] ** k  # noqa: E731
    made = pb.jacobian(f, argnums="x", sparse=True)(2.0, np.ones(3), k=3)
    assert made.toarray().tolist() == [[0.0, 6.0, 0.0], [0.0, 0.0, 6.0]]


@pytest.mark.parametrize("wrong", ["an entry missing", "a color too few"])
@pytest.mark.parametrize("name", ["a band", "a stencil", "a sparse matrix", "groups"])
def test_what_is_wrong_is_caught(name, wrong, monkeypatch):
    """By the comparison with the dense derivative, in which all tests of this file end."""
    x = RNG.uniform(0.5, 1.5, 8)
    check_against_dense(FUNCTIONS[name], x)
    right = sparse_module.jacobian_pattern
    plan = sparse_module.plan_jacobian

    def short(*args, **kwargs):
        pattern, used = right(*args, **kwargs)
        return Sets.of_pairs(pattern.rows()[1:], pattern.members[1:], pattern.height, pattern.width), used

    def fewer(*args):
        made = plan(*args)
        merged = np.where(made.colors == made.number - 1, 0, made.colors)
        shade = np.where(made.shade == made.number - 1, 0, made.shade)
        return made._replace(colors=merged, shade=shade, number=made.number - 1)

    if wrong == "an entry missing":
        monkeypatch.setattr(sparse_module, "jacobian_pattern", short)
    else:
        monkeypatch.setattr(sparse_module, "plan_jacobian", fewer)
    with pytest.raises(AssertionError):
        check_against_dense(FUNCTIONS[name], x)
