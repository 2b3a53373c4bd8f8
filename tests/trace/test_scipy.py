"""SciPy's functions on traced values: values, derivatives, and how they are reached from anywhere in a program.

The rows themselves are tested in tests/ops (samples.py, own_scipy.py).
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from scipy import linalg as sl
from scipy.linalg import expm, solve_triangular
from scipy.special import erf, logsumexp, polygamma

import amount
import payback as pb
from ops.own_linalg import POSITIVE, SQUARE, TALL
from ops.samples import traced
from payback.errors import DifferentiationError, PaybackError, UnsupportedError
from payback.trace.array import Traced
from payback.trace.scipy import linalg as scipy_linalg
from payback.trace.scipy import special as scipy_special
from payback.trace.tree import leaves

G = np.random.default_rng(9)
B, V, X = G.normal(size=(3, 2)), G.normal(size=3), G.normal(size=(3, 4))
INF = float("inf")
LINALG = {
    "solve": (sl.solve, SQUARE, B), "solve vector": (sl.solve, SQUARE, V),
    "solve transposed": (lambda a, b: sl.solve(a, b, transposed=True), SQUARE, V),
    "solve positive": (lambda a, b: sl.solve(a, b, assume_a="pos"), POSITIVE, V),
    "solve symmetric": (lambda a, b: sl.solve(a, b, assume_a="sym", lower=True), SQUARE + 3 * np.eye(3), V),
    "inv": (sl.inv, SQUARE), "det": (sl.det, SQUARE), "norm": (sl.norm, X),
    "norm nuc": (lambda a: sl.norm(a, "nuc"), X),
    "cholesky": (sl.cholesky, POSITIVE), "cholesky lower": (lambda a: sl.cholesky(a, lower=True), POSITIVE),
    "cho_solve": (lambda a, b: sl.cho_solve(sl.cho_factor(a), b), POSITIVE, V),
    "cho_solve lower": (lambda a, b: sl.cho_solve(sl.cho_factor(a, lower=True), b), POSITIVE, B),
    "cho_solve of a plain factor": (lambda b: sl.cho_solve(sl.cho_factor(POSITIVE), b), B),
    "lu_solve of a plain factor": (lambda b: sl.lu_solve(sl.lu_factor(SQUARE), b), B),
    "lu_solve": (lambda a, b: sl.lu_solve(sl.lu_factor(a), b), SQUARE, B),
    "lu_solve transposed": (lambda a, b: sl.lu_solve(sl.lu_factor(a), b, trans=1), SQUARE, B),
    "inv positive": (lambda a: sl.inv(a, assume_a="pos", lower=True), POSITIVE),
    "solveh_banded lower": (lambda b: sl.solveh_banded(np.array([[4.0, 4, 4], [1, 1, 0]]), b, lower=True), B),
    "Lyapunov": (sl.solve_continuous_lyapunov, SQUARE + 4 * np.eye(3), POSITIVE),
    "discrete Lyapunov": (sl.solve_discrete_lyapunov, SQUARE / 4, POSITIVE),
    "lstsq": (lambda a, b: sl.lstsq(a, b)[0], TALL, G.normal(size=4)), "pinv": (sl.pinv, TALL),
    "qr": (sl.qr, SQUARE), "qr economic": (lambda a: sl.qr(a, mode="economic"), TALL),
    "qr r": (lambda a: sl.qr(a, mode="r"), SQUARE),
    "eigh": (sl.eigh, POSITIVE), "eigvalsh": (sl.eigvalsh, POSITIVE),
    "eigh generalized": (sl.eigh, SQUARE + SQUARE.T, POSITIVE),
    "eigh subset": (lambda a: sl.eigvalsh(a, subset_by_index=[1, 2]), POSITIVE),
    "svd": (sl.svd, SQUARE), "svd reduced": (lambda a: sl.svd(a, full_matrices=False), TALL),
    "svdvals": (sl.svdvals, TALL),
    "expm_frechet": (sl.expm_frechet, SQUARE, POSITIVE), "sqrtm": (sl.sqrtm, POSITIVE),
    "block_diag": (sl.block_diag, SQUARE, B, V), "toeplitz": (sl.toeplitz, V),
    "toeplitz of two": (sl.toeplitz, V, X[0]),
    "circulant": (sl.circulant, V), "hankel": (sl.hankel, V), "hankel of two": (sl.hankel, V, X[0]),
}  # fmt: skip
SPECIAL = {
    "logsumexp": (logsumexp, X), "logsumexp axis": (lambda x: logsumexp(x, axis=1, keepdims=True), X),
    "logsumexp axes": (lambda x: logsumexp(x, axis=(0, 1)), X),
    "softmax": (lambda x: scipy.special.softmax(x, axis=0), X),
    "weighted logsumexp": (lambda x, b: logsumexp(x, b=b), X, np.exp(X)), "softmax of all": (scipy.special.softmax, X),
    "logsumexp with zeros": (lambda x: logsumexp(x, b=np.array([1.0, 0.0, 2.0, 0.0]), axis=1), X),
    "logsumexp with signs": (lambda x, b: logsumexp(x, b=b, return_sign=True, axis=0), X, np.sign(X) * np.exp(X)),
    "logsumexp with a sign": (lambda x: logsumexp(x, return_sign=True), X),
    "log_softmax": (lambda x: scipy.special.log_softmax(x, axis=-1), X),
    "polygamma": (lambda x: polygamma(1, x), np.exp(X)), "polygamma 0": (lambda x: polygamma(0, x), np.exp(X)),
    "multigammaln": (lambda x: scipy.special.multigammaln(x, 3), np.float64(4.5)),
    "expm1": (scipy.special.expm1, X), "log1p": (scipy.special.log1p, np.exp(X)), "exp2": (scipy.special.exp2, X),
    "exp10": (scipy.special.exp10, X), "cbrt": (scipy.special.cbrt, X), "psi": (scipy.special.psi, np.exp(X)),
    "jv of an integer order": (lambda x: scipy.special.jv(2, x), X),
    "gammainc of integers": (lambda x: scipy.special.gammainc(2, x), np.exp(X)),
}  # fmt: skip
CALLS = LINALG | SPECIAL


def traced_call(call, *args):
    """The traced result inside a trace: what a transform sees."""
    return leaves(pb.vjp(lambda *xs: tuple(leaves(call(*xs))), *args)[0])


@pytest.mark.parametrize("name", CALLS)
def test_value(name):
    call, *args = CALLS[name]
    for want, found in zip(leaves(call(*args)), traced_call(call, *args), strict=True):
        assert np.shape(found) == np.shape(want)
        assert np.asarray(found).dtype == np.asarray(want).dtype
        error = 50 * np.finfo(float).eps
        np.testing.assert_allclose(found, want, rtol=error, atol=error * np.max(np.abs(want)))


@pytest.mark.parametrize("name", CALLS)
def test_derivatives(name):
    call, *args = CALLS[name]
    f = lambda *xs: tuple(leaves(call(*xs)))  # noqa: E731
    pb.check_grads(f, *args, order=1 if name in LINALG else 2)
    everything = tuple(range(len(args)))
    forward, reverse = (leaves(pb.jacobian(f, everything, mode=mode)(*args)) for mode in ("forward", "reverse"))
    for a, b in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.max(np.abs(a), initial=1))


@pytest.mark.parametrize("name", ["softmax", "logsumexp", "log_softmax", "expm1"])
def test_float32_stays(name):
    call, x = SPECIAL[name]
    found, slope = pb.vjp(call, x.astype(np.float32))
    assert found.dtype == np.float32
    assert slope(np.ones_like(found))[0].dtype == np.float32


# how the functions are reached ----------------------------------------------------------------------------------

DEFAULT = expm


def by_attribute(x):
    return scipy.linalg.expm(x).sum()


def by_module_name(x):
    return sl.expm(x).sum()


def by_name(x):
    return expm(x).sum()


def by_local_import(x):
    from scipy.linalg import expm as exponential

    return exponential(x).sum()


def by_callee(x):
    return by_name(x)


def make_closure():
    exponential = scipy.linalg.expm
    return lambda x: exponential(x).sum()


class Model:
    def value(self, x):
        return expm(x).sum()


PLACES = [by_attribute, by_module_name, by_name, by_local_import, by_callee, make_closure(), Model().value]


@pytest.mark.parametrize("f", PLACES, ids=lambda f: f.__qualname__.rpartition(".")[2])
def test_every_place_of_the_call(f):
    original = vars(scipy.linalg)["expm"]
    np.testing.assert_allclose(pb.grad(f)(SQUARE), scipy.linalg.expm_frechet(SQUARE.T, np.ones((3, 3)))[1], rtol=1e-12)
    assert vars(scipy.linalg)["expm"] is original is expm is DEFAULT


def test_the_function_itself():
    np.testing.assert_allclose(pb.grad(logsumexp)(V), scipy.special.softmax(V), rtol=1e-14)
    assert pb.grad(erf)(0.5) == pytest.approx(2 / math.sqrt(math.pi) * math.exp(-0.25), rel=1e-15)


def test_weights_of_zero_in_logsumexp():
    """Of a whole row of them too; the derivative by one of them is its exponential, which the value leaves out."""
    x, weights = np.array([[0.5, -1.0], [2.0, 3.0]]), np.array([[2.0, 0.0], [0.0, 0.0]])

    def total(x):
        return np.sum(np.exp(logsumexp(x, axis=1, b=weights)))

    truth = np.array([[2 * np.exp(0.5), 0.0], [0.0, 0.0]])
    for derivative in (pb.grad(total), pb.compile(pb.grad(total))):
        np.testing.assert_allclose(derivative(x), truth, rtol=1e-14)
    far, alone = np.array([1000.0, 0.0]), np.array([0.0, 1.0])
    for f in (lambda a, b: logsumexp(a, b=b), pb.compile(lambda a, b: logsumexp(a, b=b))):
        value, pull = pb.vjp(f, far, alone)
        assert value == logsumexp(far, b=alone) == 0.0
        np.testing.assert_array_equal(pull(1.0)[0], alone)
        assert pull(1.0)[1][0] > 1e308
        np.testing.assert_allclose(pb.grad(f, 1)(far / 1000, alone), [np.e, 1.0], rtol=1e-15)


def test_plain_arrays_inside_a_trace_are_scipys():
    seen = []

    def f(x):
        seen.append(expm(SQUARE))
        seen.append(logsumexp(V))
        return x.sum()

    pb.grad(f)(V)
    np.testing.assert_array_equal(seen[0], expm(SQUARE))
    assert seen[1] == logsumexp(V)


def test_an_array_that_became_traced():
    def f(x):
        a = np.zeros((2, 2))
        a[0, 1] = x
        return (
            expm(a)[0, 1] + scipy.special.logsumexp(a) + solve_triangular(a + np.eye(2), np.ones(2))[0] + erf(a).sum()
        )

    pb.check_grads(f, 0.7)


def test_other_threads_see_scipy():
    inside, done = threading.Event(), threading.Event()
    found = []

    def other():
        inside.wait()
        found.append(expm(np.zeros((2, 2))))
        found.append(scipy.linalg.expm(np.zeros((2, 2))))
        done.set()

    thread = threading.Thread(target=other)
    thread.start()

    def f(x):
        inside.set()
        done.wait()
        return expm(x).sum()

    pb.grad(f)(SQUARE)
    thread.join()
    for made in found:
        np.testing.assert_array_equal(made, np.eye(2))


def test_the_wrappers_are_gone_after_an_error():
    original = scipy.linalg.expm
    with pytest.raises(ZeroDivisionError):
        pb.grad(lambda x: expm(x).sum() / (1 // 0))(SQUARE)
    assert scipy.linalg.expm is original


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_scipy_is_not_loaded_before_it_is_needed():
    program = """
import sys, numpy as np, payback as pb
pb.grad(lambda x: np.linalg.det(x) + np.linalg.eigvalsh(x).sum())(np.eye(2))
print("scipy" in sys.modules)
"""
    assert run(program) == ["False"]


def test_scipy_imported_after_the_first_trace():
    program = """
import numpy as np, payback as pb
pb.grad(lambda x: x * x)(2.0)
from scipy.special import logsumexp
from scipy.linalg import expm
print(pb.grad(lambda x: logsumexp(x) + expm(x[:, None] * 0)[0, 0])(np.zeros(1))[0])
"""
    assert run(program) == ["1.0"]


def test_scipy_imported_in_the_function():
    """At its first call nobody has imported it; afterwards its names are its own, in a module that took them too."""
    program = """
import sys, types, numpy as np, payback as pb

def f(x):
    from scipy.linalg import expm
    from scipy.special import logsumexp
    if "helper" not in sys.modules:
        sys.modules["helper"] = types.ModuleType("helper")
        exec("from scipy.linalg import expm", sys.modules["helper"].__dict__)
    import helper
    return logsumexp(x) + expm(x[:, None] * 0)[0, 0] + helper.expm(x[:, None])[0, 0]

before = list(sys.meta_path)
print(*(pb.grad(f)(np.zeros(1))[0] for _ in range(2)), sys.meta_path == before)
import helper, scipy.linalg
print(scipy.linalg.expm is helper.expm)
try:
    pb.grad(lambda x: f(x) / (1 // 0))(np.zeros(1))
except ZeroDivisionError:
    print(scipy.linalg.expm is helper.expm)
"""
    assert run(program)[:4] == ["2.0", "2.0", "True", "True"]
    assert run(program)[-1] == "True"


def test_without_scipy():
    program = """
import math, sys, payback as pb
from payback.errors import PaybackError
sys.modules["scipy"] = sys.modules["scipy.special"] = sys.modules["scipy.linalg"] = None
print(pb.grad(math.erf)(0.0) == 2 / math.sqrt(math.pi))
try:
    pb.grad(math.lgamma)(0.5)
except PaybackError as error:
    print("which is not installed" in str(error), "Pip install scipy" in str(error))
"""
    assert run(program) == ["True", "True", "True"]


# edges ----------------------------------------------------------------------------------------------------------


def slopes(f, *args):
    with np.errstate(all="ignore"):
        return pb.grad(f, argnums=tuple(range(len(args))))(*args)


@pytest.mark.parametrize(("name", "args", "expected"), [
    ("xlogy", (0.0, 0.0), (0.0, 0.0)), ("xlogy", (0.0, 2.0), (np.log(2.0), 0.0)), ("xlogy", (2.0, 0.0), (-INF, INF)),
    ("xlog1py", (0.0, -1.0), (0.0, 0.0)), ("xlog1py", (0.0, 0.0), (0.0, 0.0)), ("entr", (0.0,), (INF,)),
    ("entr", (1.0,), (-1.0,)), ("rel_entr", (0.0, 0.0), (0.0, 0.0)), ("rel_entr", (0.0, 2.0), (-INF, 0.0)),
    ("kl_div", (0.0, 0.0), (0.0, 1.0)), ("kl_div", (0.0, 2.0), (-INF, 1.0)), ("kl_div", (2.0, 2.0), (0.0, 0.0)),
    ("i0e", (0.0,), (0.0,)), ("i1e", (0.0,), (0.5,)), ("j1", (0.0,), (0.5,)), ("i1", (0.0,), (0.5,)),
    ("erf", (INF,), (0.0,)), ("erfc", (-INF,), (0.0,)), ("expit", (1000.0,), (0.0,)), ("log_expit", (-1000.0,), (1.0,)),
    ("log_ndtr", (INF,), (0.0,)), ("log_ndtr", (40.0,), (0.0,)), ("ndtr", (-50.0,), (0.0,)),
])  # fmt: skip
def test_slopes_at_special_points(name, args, expected):
    assert slopes(getattr(scipy.special, name), *args) == expected


def test_all_derivatives_of_bessel_functions_at_zero():
    """Rules that divide by x would lose them."""
    j1 = scipy.special.j1
    third = pb.grad(pb.grad(pb.grad(j1)))
    assert third(0.0) == pytest.approx(-3 / 8, abs=1e-15)
    assert pb.grad(pb.grad(j1))(0.0) == 0.0


@pytest.mark.parametrize("x", [-1e3, -1e8, -1e150])
def test_log_ndtr_far_out(x):
    """log Φ is −x²/2 there: its slope −x, its curvature −1."""
    f = scipy.special.log_ndtr
    assert pb.grad(f)(x) == pytest.approx(-x, rel=2e-6)
    assert pb.grad(pb.grad(f))(x) == pytest.approx(-1.0, rel=2e-6)


def test_logsumexp_far_out():
    with np.errstate(all="ignore"):
        assert (pb.grad(logsumexp)(np.array([1000.0, -INF])) == [1, 0]).all()
        assert pb.value_and_grad(lambda a: logsumexp(a, b=np.array([1.0, 0.0])))(np.array([0.0, 1e4]))[0] == 0.0
        assert (pb.grad(lambda a: logsumexp(a, b=np.array([1.0, 0.0])))(np.array([0.0, 1e4])) == [1, 0]).all()
        assert pb.grad(lambda b: logsumexp(V, b=b))(np.array([0.0, 1.0, 0.0]))[0] == pytest.approx(np.exp(V[0] - V[1]))
        weights = pb.grad(lambda x: (scipy.special.softmax(x) * np.arange(3.0)).sum())(np.array([0.0, -INF, 0.0]))
        assert np.allclose(weights, [-0.5, 0, 0.5])
        assert np.isnan(pb.vjp(lambda a: logsumexp(a, b=-1.0), V)[0])
        for x in (np.array([1e308, 1e308, -INF]), np.array([1e6, 1e6 + 1, 5.0], np.float32), np.full(2, -INF)):
            for f in (scipy.special.log_softmax, scipy.special.softmax):
                np.testing.assert_array_max_ulp(pb.vjp(f, x)[0], f(x), 2)


def test_mathematics_of_python_numbers():
    """math.erf and its like are Python floats, and Python's errors."""
    for f in (math.erf, math.erfc, math.gamma, math.lgamma):
        value, slope = pb.value_and_grad(f)(1.75)
        assert type(value) is float
        assert type(slope) is float
        assert value == f(1.75)
        pb.check_grads(f, 1.75, order=3)
    for f, x in ((math.gamma, -1.0), (math.gamma, 200.0), (math.lgamma, 0.0)):
        with pytest.raises((ValueError, OverflowError)):
            f(x)
        with pytest.raises((ValueError, OverflowError)):
            pb.grad(f)(x)


def test_without_numbers():
    from payback.trace.abstract import trace

    def f(a, b):
        return (
            scipy.linalg.solve(a, b) + expm(a) @ b + erf(b) + logsumexp(a, axis=1, b=np.ones(3)) + polygamma(1, b * b)
        )

    np.testing.assert_allclose(trace(f, SQUARE, V)(SQUARE, V), f(SQUARE, V), rtol=1e-13)


# what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda a: scipy.linalg.schur(a)[0].sum(), UnsupportedError, "scipy.linalg.schur has no derivative in payback"),
        (lambda a: sl.qr(a, pivoting=True)[0].sum(), UnsupportedError, "does not take pivoting=True"),
        (
            lambda a: sl.eigh(a, subset_by_index=[0, 1])[0].sum(),
            UnsupportedError,
            "does not take subset_by_index=[0, 1]",
        ),
        (lambda a: sl.eigh(a, type=2)[0].sum(), UnsupportedError, "does not take type=2"),
        (lambda a: sl.sqrtm(-a @ a.T).sum(), DifferentiationError, "sqrtm of this matrix is complex"),
        (lambda a: sl.lu_factor(a[None])[0].sum(), UnsupportedError, "lu_factor of a batch"),
        (lambda a: sl.block_diag(a[None]).sum(), UnsupportedError, "block_diag of batches"),
        (lambda a: sl.toeplitz(a).sum(), UnsupportedError, "Toeplitz"),
        (lambda a: sl.solve(a, np.ones(2)).sum(), ValueError, "incompatible"),
        (lambda a: sl.solve(a, np.ones(3), assume_a="odd").sum(), ValueError, "not a recognized"),
        (lambda a: solve_triangular(0 * a, np.ones(3)).sum(), np.linalg.LinAlgError, "zero on the diagonal"),
        (lambda a: scipy.special.pbdv(1, a)[0].sum(), UnsupportedError, "scipy.special.pbdv has no derivative"),
        (lambda a: polygamma(1.5, a).sum(), UnsupportedError, "one whole number"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        pb.grad(call)(SQUARE)
    assert text in str(caught.value)
    if isinstance(caught.value, PaybackError) and "complex" not in text:
        assert "test_scipy.py" in str(caught.value)


def test_what_has_no_derivative_to_lose_is_scipys():
    k = traced(np.array([0.5, 1.5])) > 1
    assert scipy.special.mathieu_a(1, k.astype(int))[1] == scipy.special.mathieu_a(1, 1)


def test_the_answers_are_functions_of_scipy():
    """A name that SciPy drops must not stay here unseen; solve_lyapunov and its like come and go."""
    newer = {"softplus"}  # SciPy 1.17
    for module, answers in ((scipy.linalg, scipy_linalg.FUNCTIONS), (scipy.special, scipy_special.FUNCTIONS)):
        assert {name for name in answers if not callable(getattr(module, name, None))} <= newer
    for name in (*scipy_special._ROWS, *scipy_special._OTHERS):
        assert isinstance(getattr(scipy.special, name), np.ufunc)


def test_every_function_of_scipy_linalg_is_answered_or_refused():
    """No function computes with a traced matrix as if it were a plain one."""
    unary = [name for name in scipy.linalg.__all__ if name.islower() and callable(getattr(scipy.linalg, name))]

    def attempt(x, name):
        with pytest.raises((PaybackError, TypeError, ValueError, AttributeError)) if name not in FINE else _anything():
            found = leaves(getattr(scipy.linalg, name)(x))
            assert name not in FINE or any(isinstance(y, Traced) for y in found)
            raise TypeError
        return x.sum()

    for name in unary:
        pb.grad(attempt)(POSITIVE, name)


class _anything:  # noqa: N801
    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        return kind is TypeError


FINE = {"inv", "det", "norm", "cholesky", "cho_factor", "lu_factor", "pinv", "qr", "eigh", "eigvalsh", "svd", "svdvals",
        "expm", "logm", "sqrtm", "cosm", "sinm", "coshm", "sinhm", "block_diag"}  # fmt: skip


def test_what_a_bare_broadcast_reads_of_a_traced_array_is_no_number():
    seen = []

    def f(x):
        a = np.zeros(2)
        a[0] = x
        seen.extend(first for first, _ in np.broadcast(a, np.ones(2)))
        return a.sum()

    pb.grad(f)(2.0)
    assert [type(entry) for entry in seen] == [np.void] * 2
    with pytest.raises(PaybackError, match="cannot become a plain array"):
        pb.grad(lambda x: np.broadcast(x, x).size * x)(2.0)


@pytest.mark.parametrize("name", ["ConvexHull", "Delaunay", "Voronoi"][:: amount.cases(3, 1)])
@pytest.mark.parametrize("imported", [True, False])
def test_what_would_crash_on_a_traced_array_raises(name, imported):
    """Qhull trusts what np.ascontiguousarray gives: a traced value there was a segmentation fault."""
    text = ("import numpy as np, payback as pb\n" + ("import scipy.spatial\n" if imported else "")
            + "def f(x):\n    import scipy.spatial\n    scipy.spatial." + name + "(x)\n    return x.sum()\n"
            "try:\n    pb.grad(f)(np.random.default_rng(0).normal(size=(6, 2)))\n"
            "except pb.errors.TraceError as problem:\n    print(problem)\n"
            "assert scipy.spatial._qhull.np is np\n"
            "print(len(scipy.spatial.ConvexHull(np.random.default_rng(0).normal(size=(6, 2))).points))\n")  # fmt: skip
    text = text if imported else text.replace("assert", "import scipy.spatial\nassert")
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "scipy.spatial." + name + "(x)" in done.stdout
    assert done.stdout.endswith("6\n")


def test_an_error_of_compiled_code_that_hides_ours_is_ours():
    from scipy import optimize, signal, sparse, stats
    from scipy.sparse import linalg as sparse_linalg

    x = np.array([0.3, 0.5, 0.9, 0.45])
    solve = sparse_linalg.splu(sparse.csc_matrix(np.eye(4))).solve  # a method that was taken before
    for f, expected in {
        lambda x: signal.decimate(np.tile(x, 9), 2).sum(): "write another filter",
        lambda x: stats.circstd(x): "bare numbers",
        lambda x: solve(x).sum(): "cannot compute with a traced value",
        lambda x: optimize.nnls(np.eye(4), x)[0].sum(): "pb.root",
        lambda x: np.random.default_rng(0).dirichlet(x).sum(): "random generator",
    }.items():
        with pytest.raises(PaybackError, match=expected) as problem:
            pb.grad(f)(x)
        assert "\n" not in str(problem.value)


class Kept:
    """Functions that an object keeps: under other names than those they are looked up by."""

    def __init__(self):
        self.total, self.act, self.room = scipy.special.logsumexp, math.exp, np.zeros

    def __call__(self, x):
        room = self.room(3)
        room[1:] = x[:2]
        return self.total(room) + self.act(x[2])

    method = __call__


KEPT = Kept()
PLAIN = SimpleNamespace(total=scipy.special.logsumexp, act=math.exp, room=np.zeros)


@pytest.mark.parametrize("f", [KEPT, KEPT.method, lambda x: KEPT(x), lambda x: Kept.method(PLAIN, x)])
def test_functions_that_an_object_keeps(f):
    x, shares = np.array([0.5, -1.0, 0.25]), np.exp([0.0, 0.5, -1.0])
    for gradient in (pb.grad(f), pb.compile(pb.grad(f), native=True)):
        np.testing.assert_allclose(gradient(x), [*(shares / shares.sum())[1:], np.exp(0.25)], rtol=1e-14)
        for kept in (KEPT, PLAIN):  # afterwards it has what it had
            assert (kept.total, kept.act, kept.room) == (scipy.special.logsumexp, math.exp, np.zeros)
