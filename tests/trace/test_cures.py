"""What a library that takes bare numbers is answered with: the user's line, and a cure that works."""

from __future__ import annotations

import array
import ast
import decimal
import fractions
import io
import json
import math
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import scipy.integrate
import scipy.interpolate
import scipy.ndimage
import scipy.optimize
import scipy.signal
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial
import scipy.special
import scipy.stats

import payback as pb
from payback.errors import PaybackError, TraceError

X = np.array([0.3, 0.5, 0.7, 0.9])
A = scipy.sparse.random_array((6, 4), density=0.5, rng=1, format="csr")
SQUARE = scipy.sparse.csr_array(np.eye(4) * 3 + 0.1)

REFUSED = {
    "norminvgauss.cdf": (lambda x: np.sum(scipy.stats.norminvgauss.cdf(x, 1.2, 0.3)), "another with NumPy"),
    "ttest_ind": (lambda x: scipy.stats.ttest_ind(x, X).statistic, "ndtr"),
    "cumulative_simpson": (lambda x: scipy.integrate.cumulative_simpson(x, dx=0.5)[0], "leggauss"),
    "solve_bvp": (
        lambda x: scipy.integrate.solve_bvp(
            lambda t, y: -x[0] * y, lambda a, b: a - 1.0, np.linspace(0, 1, 5), np.ones((1, 5))
        ).y[0, -1],
        r"pb\.scan",
    ),
    "differential_evolution": (
        lambda x: scipy.optimize.differential_evolution(lambda t: np.sum((t - x) ** 2), [(0, 1)] * 4).fun,
        r"pb\.root\(f, x0, solver=lambda g, x0: scipy\.optimize\.root\(g, x0\)\.x\)",
    ),
    "linprog": (lambda x: scipy.optimize.linprog(x, A_ub=np.eye(4), b_ub=np.ones(4)).fun, r"pb\.root"),
    "a sparse matrix by entries": (lambda x: A.multiply(x).sum(), r"c\.data \* x\[c\.col\]"),
    "a sparse matrix made of it": (lambda x: scipy.sparse.diags(x), r"custom_gradient"),
    "cg": (lambda x: scipy.sparse.linalg.cg(SQUARE, x)[0][0], "whose pull solves"),
    "one polynomial": (lambda x: scipy.interpolate.KroghInterpolator(np.arange(4.0), x)(0.5), r"np\.linalg\.solve"),
    "a smoothing spline": (lambda x: scipy.interpolate.UnivariateSpline(np.arange(4.0), x)(1.5), "make_interp_spline"),
    "resample": (lambda x: scipy.signal.resample_poly(x, 3, 2)[0], "loop over the samples"),
    "a chain": (lambda x: scipy.signal.lsim(([1.0], [1.0, 0.5]), x, X)[1][0], "loop over the samples"),
    "a blur": (lambda x: scipy.ndimage.generic_filter(x, np.max, 3)[0], r"np\.pad"),
    "hausdorff": (
        lambda x: scipy.spatial.distance.directed_hausdorff(x.reshape(2, 2), np.eye(2))[0],
        r"np\.sqrt\(np\.sum",
    ),
    "a tree": (lambda x: scipy.spatial.KDTree(np.eye(4)).query(x)[0], r"pb\.stop_gradient\(x\), and its indices"),
    "fht": (lambda x: scipy.fft.fht(x, 0.1, 0.0)[0], "its matrix"),
    "a special function": (lambda x: scipy.special.lqn(1, x[0])[0][0], "gammaln"),
    "a ufunc without a name of NumPy's": (lambda x: scipy.special.zeta(x[0] + 2), "custom_gradient"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_each_part_of_scipy_has_its_own_cure(name):
    f, cure = REFUSED[name]
    with pytest.raises(PaybackError) as raised:
        pb.grad(f)(X)
    text = str(raised.value)
    assert re.search(rf"test_cures\.py:\d+ in <lambda>: .*{cure}", text), text
    assert "\n" not in text
    assert "pb.grad" not in (raised.value.where or "")


def agrees(f, plain):
    """The cure's value is the library's, its gradient the slope of the library's."""
    value, gradient = pb.value_and_grad(f)(X)
    np.testing.assert_allclose(value, plain(X), rtol=1e-12)
    slopes = [(plain(X + 1e-6 * e) - plain(X - 1e-6 * e)) / 2e-6 for e in np.eye(4)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-9)


def test_the_cure_for_the_entries_of_a_sparse_matrix():
    c = A.tocoo()
    f = lambda x: np.sum(np.sin(c.data * x[c.col]))  # noqa: E731
    agrees(f, lambda x: np.sum(np.sin(A.multiply(x).data)))
    np.testing.assert_allclose(pb.compile(pb.grad(f))(X), pb.grad(f)(X), rtol=1e-12)


def test_the_cure_for_a_sparse_matrix_of_traced_entries():
    c = SQUARE.tocoo()

    def f(x):
        made = np.zeros((4, 4))
        np.add.at(made, (c.row, c.col), c.data * x[c.col])
        return np.sum(np.sin(made @ np.ones(4)))

    agrees(f, lambda x: np.sum(np.sin(scipy.sparse.coo_array((c.data * x[c.col], (c.row, c.col))) @ np.ones(4))))


def test_the_cure_for_a_sparse_solver():
    lu = scipy.sparse.linalg.splu(SQUARE.tocsc())

    @pb.custom_gradient(plain=True, like=np.zeros_like)
    def solve(b):
        return lu.solve(b), lambda bar: lu.solve(bar, trans="T")

    agrees(lambda x: np.sum(solve(x) ** 2), lambda x: np.sum(scipy.sparse.linalg.spsolve(SQUARE.tocsc(), x) ** 2))

    batch = np.stack([X, 2 * X])
    np.testing.assert_allclose(pb.vmap(solve)(batch), np.linalg.solve(SQUARE.toarray(), batch.T).T)


def test_the_cures_for_densities_quadrature_and_distances():
    def density(x):
        z, s = (x - 0.1) / 2.0, 2.0
        return np.sum(-0.5 * z * z - np.log(s) - 0.5 * np.log(2 * np.pi)) + np.sum(scipy.special.log_ndtr(x))

    agrees(density, lambda x: np.sum(scipy.stats.norm.logpdf(x, 0.1, 2.0)) + np.sum(scipy.stats.norm.logcdf(x)))

    def integral(x):
        t, w = np.polynomial.legendre.leggauss(20)
        t, w = 0.5 * (t + 1), 0.5 * w
        return np.sum(w * np.exp(-x[0] * t) * x[1])

    agrees(integral, lambda x: scipy.integrate.quad(lambda t: math.exp(-x[0] * t) * x[1], 0, 1, epsabs=1e-13)[0])

    def distances(x):
        d = x.reshape(2, 2)[:, None] - np.eye(2)[None]
        return np.sum(np.sqrt(np.sum(d * d, axis=-1)))

    agrees(distances, lambda x: np.sum(scipy.spatial.distance.cdist(x.reshape(2, 2), np.eye(2))))


def test_the_cure_for_a_minimum():
    cost = lambda t, x: np.sum((t - x) ** 2 + np.exp(t * x))  # noqa: E731
    solver = lambda g, start: scipy.optimize.root(g, start, jac=g.jacobian, tol=1e-13).x  # noqa: E731
    agrees(
        lambda x: cost(pb.root(lambda t, x: pb.grad(cost)(t, x), np.zeros(4), x, solver=solver), x),
        lambda x: scipy.optimize.minimize(cost, np.zeros(4), args=(x,), jac=pb.grad(cost), tol=1e-13).fun,
    )


BARE = {
    "float": (lambda x: x[0].__float__(), 0.3),
    "an array": (lambda x: scipy.spatial.KDTree(np.eye(4)).query(x)[0], math.sqrt(0.84)),
    "struct": (lambda x: struct.unpack("d", struct.pack("d", x[0]))[0], 0.3),
    "an array of Python's": (lambda x: array.array("d", [x[0]])[0], 0.3),
    "a fraction": (lambda x: float(fractions.Fraction(x[0])), 0.3),
    "a text": (lambda x: float(f"{x[0]:.1f}"), 0.3),
    "str": (lambda x: float(str(x[0])), 0.3),
    "a buffer": (lambda x: _stored(x), 0.3),
    "compiled code": (lambda x: scipy.integrate.cumulative_simpson(x[0] * np.ones(3), dx=0.5)[1], 0.3),
}


def _stored(x):
    kept = BUFFER.copy()
    kept[0] = x[0]
    BUFFER[0] = x[0]
    return kept[0] + BUFFER[0] - kept[0]


BUFFER = np.zeros(2)


@pytest.mark.parametrize("name", BARE)
def test_what_has_no_derivative_on_purpose_is_a_bare_number_too(name):
    """As the error's own cure says, and on plain values the same program runs."""
    taken, value = BARE[name]

    def f(x):
        return taken(pb.stop_gradient(x) if name == "an array" else [pb.stop_gradient(v) for v in x]) * x[1]

    np.testing.assert_allclose(f(X), value * X[1])
    got, gradient = pb.value_and_grad(f)(X)
    np.testing.assert_allclose(got, value * X[1])
    np.testing.assert_allclose(gradient, [0, value, 0, 0])
    np.testing.assert_allclose(pb.jvp(f, (X,), (np.ones(4),))[1], value)
    np.testing.assert_allclose(pb.hessian(f)(X), 0)
    assert not pb.audit(f, X).obstacles
    with pytest.raises(PaybackError):
        pb.compile(f)(X)


def _counted(x):
    counts = np.zeros(4, int)
    counts[1:3] = x[:2]
    return counts @ np.arange(4.0)


def _cached(x):
    kept = {x: 2.0}
    return kept[x]


def _saved(x):
    file = io.BytesIO()
    np.save(file, x)
    return np.load(io.BytesIO(file.getvalue()))[0]


def _left(x):
    LEFT.append(x)
    return np.sum(LEFT[0] * x)


LEFT = []
FOLLOWED = {
    "float": (lambda x: struct.unpack("f", struct.pack("f", x))[0] * 2, "number"),
    "math": (lambda x: math.ldexp(x, 2), "number"),
    "a buffer of Python's": (lambda x: array.array("d", x)[1], "array"),
    "a list for a ufunc": (lambda x: np.exp([x, x])[0] * 2, "number"),
    "whole numbers": (_counted, "array"),
    "pickle": (lambda x: len(pickle.dumps(x)) * 1.0 + pickle.loads(pickle.dumps(x))[0], "array"),  # noqa: S301
    "pickle of a number": (lambda x: pickle.loads(pickle.dumps(x)) + 1.0, "number"),  # noqa: S301
    "a key": (_cached, "number"),
    "np.save": (_saved, "array"),
    "np.sort_complex": (lambda x: np.sort_complex(x).real[0], "array"),
    "a method": (lambda x: len(x.tobytes()) * 1.0, "array"),
    "json": (lambda x: json.loads(json.dumps({"x": x}))["x"], "number"),
    "json of an array": (lambda x: json.loads(json.dumps([*x]))[1], "list"),
    "decimal": (lambda x: float(decimal.Decimal(x) + 1), "number"),
    "struct": (lambda x: struct.unpack("d", struct.pack("d", x))[0], "number"),
    "ctypes": (lambda x: np.ctypeslib.as_ctypes(x)[1], "kept"),
    "a tree": (lambda x: scipy.spatial.KDTree(x[:, None]).query(x[:, None] + 0.01)[1] @ np.arange(4.0), "array"),
    "SciPy's integral": (lambda x: scipy.integrate.cumulative_simpson(x * np.ones(3), dx=0.5)[1], "number"),
    "a ufunc without a row": (lambda x: scipy.special._ufuncs._log1pmx(x)[0], "array"),
    "a text": (lambda x: float(f"{x:.3f}"), "number"),
    "a leak": (_left, "kept"),
}
_CURE = re.compile(r"(?:np\.array\(|float\()?pb\.stop_gradient\(x\)(?:\.tolist\(\)|\))?")


@pytest.mark.parametrize("name", FOLLOWED)
def test_the_bare_numbers_that_an_error_speaks_of_are_had_by_what_it_says(name):
    """Word for word: its expression stands where x stood, and the program runs under each transform and plainly."""
    taken, kind = FOLLOWED[name]
    of = (lambda x: x[0]) if kind == "number" else (lambda x: x)
    LEFT.clear()
    with pytest.raises(PaybackError) as raised:  # noqa: PT012 (the second time what the first has left)
        for _ in range(2):
            pb.grad(lambda x: taken(of(x)) * x[1])(X)
    wanted = {"number": "float(pb.stop_gradient(x))", "list": "pb.stop_gradient(x).tolist()",
              "kept": "np.array(pb.stop_gradient(x))"}.get(kind, "pb.stop_gradient(x)")  # fmt: skip
    found = [cure + ")" * (cure.count("(") - cure.count(")")) for cure in _CURE.findall(raised.value.fix)]
    either = [wanted, "pb.stop_gradient(x)"] if kind == "number" else [wanted]
    followed = [cure for cure in found if cure in either]
    if raised.value.what.startswith("SciPy"):  # SciPy's own cures have no bare numbers
        followed = followed or either[:1]
    assert followed, raised.value.fix
    for cure in followed:
        bare = eval(f"lambda x: {cure}", {"pb": pb, "np": np})  # noqa: S307
        f = lambda x: taken(bare(of(x))) * x[1]  # noqa: E731, B023
        LEFT.clear()
        plain = f(X)
        for _ in range(2):
            value, gradient = pb.value_and_grad(f)(X)
            np.testing.assert_allclose(value, plain, rtol=1e-14)
            np.testing.assert_allclose(gradient, [0, plain / X[1], 0, 0], rtol=1e-14)
        assert type(f(X)) in (float, np.float64)  # nothing traced has stayed behind
        np.testing.assert_allclose(pb.jvp(f, (X,), (np.ones(4),))[1], plain / X[1], rtol=1e-14)
        np.testing.assert_allclose(pb.hessian(f)(X), 0)


def test_an_object_of_which_numpy_makes_an_array():
    class Held:
        def __init__(self, a):
            self.a = a

        def __array__(self, dtype=None, copy=None):
            return np.asarray(self.a)

    with pytest.raises(TraceError, match=r"holds a traced value.*__array__.*Give NumPy what the object holds"):
        pb.grad(lambda x: np.sum(np.sin(Held(x))))(X)
    assert (pb.grad(lambda x: np.sum(np.sin(Held(X)) * x))(X) == np.sin(X)).all()


def test_no_text_tells_what_works_in_a_trace_alone():
    """A plain number has no `.value`."""
    for path in Path(pb.__file__).parent.rglob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "x.value" in text else ():
            if isinstance(node, ast.keyword) and node.arg == "fix":
                assert "x.value" not in ast.unparse(node).replace("x.value = ...", ""), (path.name, node.value.lineno)


def test_what_is_made_of_stopped_values_is_free_and_a_derivative_inside_is_not():
    stopped = lambda x: float(2 * pb.stop_gradient(x) + 1) * x  # noqa: E731
    assert pb.grad(stopped)(1.5) == 4.0
    assert pb.grad(lambda x: float(np.floor(x * 2.7)) * x)(1.5) == 4.0  # constant in pieces
    with pytest.raises(PaybackError, match="float"):
        pb.grad(lambda x: (pb.stop_gradient(x) + x).__float__() * x)(1.5)
    with pytest.raises(PaybackError, match="float"):  # x of the inner function has a derivative, what it is given not
        pb.grad(lambda x: pb.grad(lambda t: t.__float__() * t)(pb.stop_gradient(x)) * x)(1.5)
    with pytest.raises(PaybackError, match="float"):
        pb.grad(lambda x: pb.jvp(lambda t: (t * 1.0).__float__() * t, (pb.stop_gradient(x),), (1.0,))[1] * x)(1.5)
