"""jacobian(sparse=True) and hessian(sparse=True) as users call them, against the dense ones."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import payback as pb
from payback.ad.sets import Sets
from payback.errors import DifferentiationError, InputError, UnsupportedError
from payback.trace.tree import leaves
from payback.transforms import compressed, forward
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


INDEX = np.array([3, 1, 2, 5, 0, 4] * 10)
IN_GRAPHS = {
    "rosenbrock": (pb.hessian, rosenbrock),
    "an index": (pb.jacobian, lambda x: x[INDEX] ** 2 * x[:60]),
    "an index that is computed": (pb.jacobian, lambda x: x[np.argsort(x)] * x),
    "a matrix": (pb.jacobian, lambda x: np.tanh((np.eye(60) + np.eye(60, k=1) * 0.5) @ x) * x[0]),
    "no path": (pb.jacobian, np.sign),
}


@pytest.mark.parametrize("name", IN_GRAPHS)
def test_in_graphs_that_are_run_later(name):
    """Compiled, differentiated and batched, and with products, as the sparse derivative of here and now."""
    derived, f = IN_GRAPHS[name]
    x, v = RNG.uniform(0.5, 1.5, 60), RNG.normal(size=60)
    compiled = pb.compile(derived(f, sparse=True))
    for point in (x, 1.5 * x[::-1].copy()):
        made, dense = compiled(point), derived(f)(point)
        assert isinstance(made, scipy.sparse.csr_array)
        np.testing.assert_allclose(made.toarray(), dense, rtol=1e-12, atol=1e-12 * np.max(np.abs(dense)))
        assert made.nnz >= derived(f, sparse=True)(point).nnz
    made.data[:], made.indices[:], made.indptr[:] = 0, 0, 0  # they are the caller's own
    J = derived(f)(x)
    np.testing.assert_allclose(compiled(x).toarray(), J, rtol=1e-12, atol=1e-12 * np.max(np.abs(J)))
    sparse = lambda x: derived(f, sparse=True)(x)  # noqa: E731
    found = pb.compile(lambda x: (sparse(x) @ v, sparse(x).T @ v, sparse(x) @ np.ones((60, 2)), sparse(x).toarray(),
                                  sparse(x).diagonal()))(x)  # fmt: skip
    for answer, wanted in zip(found, (J @ v, J.T @ v, J @ np.ones((60, 2)), J, np.diagonal(J)), strict=True):
        np.testing.assert_allclose(answer, wanted, rtol=1e-12, atol=1e-12 * np.max(np.abs(J)))
    twice = [pb.grad(lambda x, a=a: np.sum(np.sin(derived(f, sparse=a)(x) @ v)))(x) for a in (False, True)]
    np.testing.assert_allclose(*twice, rtol=1e-10, atol=1e-10 * np.max(np.abs(twice[0])))
    batch = pb.vmap(lambda x: sparse(x).data)(np.stack([x, 2 * x]))
    np.testing.assert_allclose(batch[1].sum(), derived(f)(2 * x).sum(), rtol=1e-10, atol=1e-10)


def test_a_compiled_sparse_derivative_follows_what_is_around_it():
    index = np.arange(40)
    g = pb.compile(pb.jacobian(lambda x: x[index] ** 2, sparse=True))
    dense = pb.compile(pb.jacobian(lambda x: x[index] ** 2))
    x = RNG.normal(size=40)
    for place in (0, 7, 3):
        index[0] = place
        wanted = np.zeros((40, 40))
        wanted[np.arange(40), index] = 2 * x[index]
        np.testing.assert_allclose(g(x).toarray(), wanted)
        np.testing.assert_allclose(dense(x), wanted)


def test_what_a_sparse_derivative_cannot_do_in_a_graph():
    with pytest.raises(UnsupportedError, match=r"\.sum of a sparse derivative .*: its entries are not known"):
        pb.compile(lambda x: pb.jacobian(np.sin, sparse=True)(x).sum())(np.ones(3))
    with pytest.raises(UnsupportedError, match=r"of each sample of a batch.*: SciPy has no stack"):
        pb.vmap(pb.jacobian(np.sin, sparse=True))(np.ones((2, 3)))


# dense derivatives by few sweeps


@pytest.fixture
def few(monkeypatch):
    """Few sweeps wherever they are fewer at all, or never."""

    def switch(on):
        monkeypatch.setattr(compressed, "_FEWEST", 1 if on else 1 << 30)
        monkeypatch.setattr(compressed, "_SAVED", 1)
        monkeypatch.setattr(compressed, "_PATTERN", 0)

    return switch


@pytest.fixture
def colors(monkeypatch):
    """How many sweeps there were, of each derivative that was made by few."""
    made = []

    def counted(plan, node):
        made.append(plan.number)
        return seeds(plan, node)

    seeds = compressed.seeds
    monkeypatch.setattr(forward, "seeds", counted)
    return made


@given(programs(), st.integers(0, 10_000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dense_derivatives_of_random_programs(few, program, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, 6)
    f = lambda x: run(program, x)  # noqa: E731
    both = []
    for on in (False, True):
        few(on)
        both.append([pb.jacobian(f, mode="forward")(x), pb.jacobian(f, mode="reverse")(x),
                     pb.hessian(lambda x: np.sum(np.sin(f(x))))(x)])  # fmt: skip
    for slow, quick in zip(*both, strict=True):
        np.testing.assert_allclose(quick, slow, rtol=1e-12, atol=1e-12 * max(1, np.max(np.abs(slow))))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_dense_derivatives_of_containers_and_infinities(few, colors, mode):
    def f(p):
        a, b = p["a"], p["b"]
        return {"u": np.sqrt(a[:, 1:]) + a[:, :-1], "v": (b * a[0], np.where(b > 0, np.log(b), 0.0)), "n": np.sum(b)}

    p = {"a": np.abs(RNG.normal(size=(3, 5))).round(), "b": np.array([0.0, 1.0, -2.0, 3.0, 0.0])}
    both = []
    for on in (False, True):
        few(on)
        with np.errstate(all="ignore"):
            both.append(pb.jacobian(f, mode=mode)(p))
    assert len(colors) >= 2
    for slow, quick in zip(leaves(both[0]), leaves(both[1]), strict=True):
        assert slow.shape == quick.shape
        assert slow.dtype == quick.dtype
        np.testing.assert_allclose(quick, slow, rtol=1e-13)


def test_dense_derivatives_take_few_sweeps_where_few_do(colors):
    """In compiled code for a few dozen entries, else for many; a full matrix has no few."""
    x = RNG.normal(size=64)
    wanted = pb.hessian(rosenbrock)(x)
    assert not colors
    np.testing.assert_allclose(pb.compile(pb.hessian(rosenbrock))(x), wanted, rtol=1e-12, atol=1e-9)
    assert colors == [3]
    pb.compile(pb.hessian(lambda x: np.sum(x) ** 3))(x)
    pb.compile(pb.jacobian(lambda x: np.tanh(RNG.normal(size=(64, 64)) @ x)))(x)
    assert colors == [3]
    pb.hessian(rosenbrock)(RNG.normal(size=1000))
    assert colors == [3, 3]


def test_what_a_user_calls_a_gradient_need_not_have_a_symmetric_derivative(few):
    @pb.custom_gradient
    def odd(x):
        return np.sum(x), lambda bar: bar * np.concatenate([x[1:], x[:1] * 0])

    both = []
    for on in (False, True):
        few(on)
        both.append(pb.hessian(odd)(np.arange(5.0)))
    np.testing.assert_array_equal(*both)
    assert both[0][0, 1] == 1
    assert both[0][1, 0] == 0


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
