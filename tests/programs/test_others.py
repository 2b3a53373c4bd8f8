"""Code that knows nothing of payback, and libraries that such code is used with: SciPy's solvers, SymPy, data frames.

Every gradient is compared with finite differences or with a truth from elsewhere; what cannot be done must say so, with
the user's line.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import operator
import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.integrate
import scipy.optimize
import sympy
from sklearn.preprocessing import StandardScaler

import payback as pb
from payback.errors import DifferentiationError, TraceError

X = np.array([0.7, -1.3, 2.1])


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


# SciPy calls our derivatives

START = np.array([-1.2, 1.0, 0.7])


@pytest.mark.parametrize("method", ["BFGS", "CG", "L-BFGS-B", "SLSQP", "Newton-CG", "trust-ncg", "trust-exact",
                                    "trust-krylov", "trust-constr"])  # fmt: skip
def test_minimize(method):
    second = method in ("Newton-CG", "trust-ncg", "trust-exact", "trust-krylov", "trust-constr")
    options = {"hess": pb.hessian(rosenbrock)} if second else {}
    found = scipy.optimize.minimize(rosenbrock, START, jac=pb.grad(rosenbrock), method=method, tol=1e-8, **options)
    assert found.success
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-3)


def test_minimize_with_value_and_gradient_in_one_and_with_hessian_products():
    both = pb.value_and_grad(rosenbrock)
    found = scipy.optimize.minimize(
        both, START, jac=True, hessp=lambda x, v: pb.hvp(rosenbrock, x, v), method="trust-ncg"
    )
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-4)


def test_minimize_under_a_constraint():
    def inside(x):
        return np.sum(x**2)

    limit = scipy.optimize.NonlinearConstraint(
        inside, 0.0, 2.0, jac=pb.grad(inside), hess=lambda x, v: v[0] * pb.hessian(inside)(x)
    )
    found = scipy.optimize.minimize(rosenbrock, START, jac=pb.grad(rosenbrock), hess=pb.hessian(rosenbrock),
                                    method="trust-constr", constraints=[limit], tol=1e-8)  # fmt: skip
    np.testing.assert_allclose(inside(found.x), 2.0, rtol=1e-5)
    across = pb.grad(rosenbrock)(found.x)
    np.testing.assert_allclose(np.cross(across, found.x), 0.0, atol=1e-3)  # the gradient is normal to the sphere


def test_check_grad():
    assert scipy.optimize.check_grad(rosenbrock, pb.grad(rosenbrock), START) < 1e-4


T = np.linspace(0, 1, 9)
DECAY = 2 * np.exp(-1.3 * T) + 0.1


def residuals(p, t, y):
    return p[0] * np.exp(-p[1] * t) + p[2] - y


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    found = scipy.optimize.least_squares(
        residuals, [1.0, 1.0, 0.0], jac=pb.jacobian(residuals), args=(T, DECAY), method=method
    )
    np.testing.assert_allclose(found.x, [2.0, 1.3, 0.1], rtol=1e-6)


def test_curve_fit():
    def model(t, a, b, c):
        return a * np.exp(-b * t) + c

    found, _ = scipy.optimize.curve_fit(
        model, T, DECAY, p0=[1.0, 1.0, 0.0],
        jac=lambda t, *p: np.stack(pb.jacobian(model, argnums=(1, 2, 3))(t, *p), axis=1),
    )  # fmt: skip
    np.testing.assert_allclose(found, [2.0, 1.3, 0.1], rtol=1e-6)


def system(x):
    return np.array([x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]])


def system_as_a_list(x):
    return [x[0] + 0.5 * (x[0] - x[1]) ** 3 - 1.0, 0.5 * (x[1] - x[0]) ** 3 + x[1]]


@pytest.mark.parametrize("f", [system, system_as_a_list])
@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(f, method):
    found = scipy.optimize.root(f, [0.0, 0.0], jac=pb.jacobian(f), method=method)
    np.testing.assert_allclose(f(found.x), 0.0, atol=1e-10)
    assert found.njev <= 3 or method == "lm"


def test_root_scalar_by_two_derivatives():
    def f(x):
        return np.cos(x) - x**3

    found = scipy.optimize.root_scalar(f, x0=1.0, fprime=pb.grad(f), fprime2=pb.grad(pb.grad(f)), method="halley")
    assert abs(f(found.root)) < 1e-14


def van_der_pol(t, y):
    dy = np.zeros(2)
    dy[0] = y[1]
    dy[1] = 50 * (1 - y[0] ** 2) * y[1] - y[0]
    return dy


def van_der_pol_as_a_list(t, y):
    return [y[1], 50 * (1 - y[0] ** 2) * y[1] - y[0]]


@pytest.mark.parametrize("f", [van_der_pol, van_der_pol_as_a_list])
@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_stiff_equations(f, method):
    ours = scipy.integrate.solve_ivp(f, (0, 5), [2.0, 0.0], method=method, jac=pb.jacobian(f, argnums=1), rtol=1e-6)
    truth = [1.93145, -0.0141459]  # by Radau at rtol 1e-11
    assert ours.success
    np.testing.assert_allclose(ours.y[:, -1], truth, rtol=1e-4)


# ... and what SciPy computes has no history: said, with the user's line


@pytest.mark.parametrize(
    "call",
    [
        lambda x: scipy.optimize.differential_evolution(lambda t: np.sum((t - x) ** 2), [(0, 1)] * 3, maxiter=2).fun,
        lambda x: scipy.optimize.linprog(x, bounds=(0, 1)).fun,
        lambda x: scipy.optimize.nnls(np.eye(3), x)[0],
        lambda x: (
            scipy.integrate.solve_bvp(
                lambda t, y: -x[0] * y, lambda a, b: a - 1.0, np.linspace(0, 1, 5), np.ones((1, 5))
            ).y
        ),
    ],
)
def test_scipys_own_results(call):
    with pytest.raises(
        TraceError, match=r"SciPy's compiled code takes bare numbers \(.*test_others\.py:\d+ in <lambda>"
    ):
        pb.grad(lambda x: np.sum(call(x)))(X)


# SymPy

A, B = sympy.symbols("a b", real=True)
EXPRESSIONS = [
    sympy.exp(-(A**2)) * sympy.sin(B) + sympy.sqrt(A**2 + B**2),
    sympy.Max(A, B) + sympy.Min(A * B, B) + sympy.Abs(B - A),
    sympy.log(A) + sympy.atan2(A, B) + sympy.tanh(A) ** 3 / (1 + sympy.cosh(B)),
    A**B + B**A + sympy.pi * A,
    sympy.expand((A + B) ** 6),
]


@pytest.mark.parametrize("modules", ["numpy", "math", None])
@pytest.mark.parametrize("expression", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_lambdified_expressions(expression, modules):
    at = {A: 1.25, B: 0.75}
    f = sympy.lambdify((A, B), expression, modules, cse=modules == "numpy")
    gradient = pb.grad(f, argnums=(0, 1))(1.25, 0.75)
    np.testing.assert_allclose(gradient, [float(expression.diff(v).subs(at)) for v in (A, B)], rtol=1e-13)
    second = pb.grad(pb.grad(f, argnums=0), argnums=1)(1.25, 0.75)
    np.testing.assert_allclose(second, float(expression.diff(A, B).subs(at)), rtol=1e-12, atol=1e-14)


def test_a_lambdified_condition():
    f = sympy.lambdify((A, B), sympy.Piecewise((A * B, A > B), (B**2, True)), "math")
    assert pb.grad(f, argnums=(0, 1))(1.25, 0.75) == (0.75, 1.25)
    assert pb.grad(f, argnums=(0, 1))(0.25, 0.75) == (0.0, 1.5)


matrix = sympy.lambdify((A, B), sympy.Matrix([[A * B, sympy.sin(A)], [sympy.cos(B), A**2]]), "numpy")


def test_a_lambdified_matrix():
    """`array([[…]])` stands in a namespace that is no module's; the function is a global name here, and a local one."""
    found = pb.jacobian(lambda a: matrix(a, 0.75))(1.25)
    np.testing.assert_allclose(found, [[0.75, np.cos(1.25)], [0.0, 2.5]], rtol=1e-15)
    local = matrix
    np.testing.assert_allclose(pb.jacobian(lambda a: local(a, 0.75))(1.25), found)


def test_lambdified_of_arrays():
    f = sympy.lambdify((A, B), EXPRESSIONS[0], "numpy")
    found = pb.grad(lambda v: f(v, v + 1).sum())(np.array([0.5, 1.5]))
    for x, slope in zip([0.5, 1.5], found, strict=True):
        along = EXPRESSIONS[0].subs(B, A + 1).diff(A).subs(A, x)
        assert slope == pytest.approx(float(along), rel=1e-13)


# data frames

TABLE = {"x": [1.0, 2.0, 3.0], "k": [1, 2, 3], "y": [2.0, 4.0, 7.0]}
FRAME, POLARS = pd.DataFrame(TABLE), pl.DataFrame(TABLE)
W = np.array([1.0, 0.5])
SLOPES = [-28 / 3, -11 / 3]  # of the mean squared error


@pytest.mark.parametrize(
    "cost",
    [
        lambda w: np.mean((w[0] * FRAME["x"] + w[1] - FRAME["y"]) ** 2),
        lambda w: np.mean((FRAME["x"] * w[0] + w[1] - FRAME["y"]) ** 2),
        lambda w: np.mean((FRAME["y"] - (FRAME["k"] * w[0] + w[1])) ** 2),
        lambda w: np.mean((FRAME.x.to_numpy() * w[0] + w[1] - FRAME.y.values) ** 2),
        lambda w: ((np.column_stack([FRAME["x"], np.ones(3)]) @ w - FRAME["y"]) ** 2).mean(),
        lambda w: np.mean((w[0] * POLARS["x"] + w[1] - POLARS["y"]) ** 2),
        lambda w: np.mean((POLARS["x"].to_numpy() * w[0] + w[1] - POLARS["y"].to_numpy()) ** 2),
    ],
)
def test_columns_in_a_cost(cost):
    np.testing.assert_allclose(pb.grad(cost)(W), SLOPES, rtol=1e-14)


def test_other_forms_of_columns():
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(np.exp(FRAME["x"]) * w))(2.0), np.exp([1.0, 2.0, 3.0]).sum())
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(np.dot(FRAME[["x", "k"]], w)))(W), [6.0, 6.0])
    assert pb.grad(lambda w, x: np.sum(w * x**2))(2.0, FRAME["x"]) == 14.0
    assert pb.grad(lambda w, x: np.sum(w * x**2))(2.0, POLARS["x"]) == 14.0


@pytest.mark.parametrize(
    "column", [FRAME["x"], POLARS["x"], pd.Index([1.0, 2.0, 3.0])], ids=["pandas", "polars", "index"]
)
def test_to_differentiate_by_a_column(column):
    gradient = pb.grad(lambda x: np.sum(x**3))(column)
    assert type(gradient) is np.ndarray
    np.testing.assert_array_equal(gradient, [3.0, 12.0, 27.0])


def test_what_data_frames_cannot_do_is_said():
    with pytest.raises(DifferentiationError, match="x is an array of int64 and has no derivative"):
        pb.grad(lambda x: np.sum(x))(FRAME["k"])
    with pytest.raises(DifferentiationError, match=r"nothing to differentiate by \(x\): it is DataFrame: no number"):
        pb.grad(lambda x: np.sum(x**2))(FRAME)
    for call in (
        lambda w: FRAME[["x", "k"]] @ w,
        lambda w: FRAME["x"].dot(w[[0, 1, 0]]),
    ):
        with pytest.raises(
            TraceError, match=r"pandas takes bare numbers \(.*test_others\.py:\d+ in <lambda>.*to_numpy\(\)"
        ):
            pb.grad(lambda w, call=call: np.sum(call(w)))(W)
    with pytest.raises(TraceError, match=r"column of pandas.*test_others\.py:\d+ in <lambda>: .*column = column \* x"):
        pb.grad(lambda w: np.sum(operator.imul(COLUMN.copy(), w)))(2.0)
    with pytest.raises(TraceError, match=r"polars takes bare numbers \(.*test_others\.py:\d+"):
        pb.grad(lambda w: np.sum(POLARS["x"] * w[0]))(W)


def test_rows_that_are_labelled_in_two_ways_are_told():
    """pandas would bring together what has the same label."""
    a, b = pd.Series([1.0, 2.0], index=[0, 1]), pd.Series([3.0, 40.0], index=[1, 0])
    assert pb.grad(lambda w: np.sum((w * b - b) ** 2))(2.0) == pytest.approx(2 * (9 + 1600))
    for f in (lambda w: np.sum(w * a + b), lambda w: np.sum(np.multiply(a, w) * b), pb.compile(lambda w: w * a + b)):
        with pytest.raises(TraceError, match=r"labelled in two ways \(.*test_others\.py:\d+.*to_numpy"):
            pb.jacobian(f)(2.0)


COLUMN, HOLED = pd.Series([1.0, 2.0, 4.0]), pd.Series([1.0, np.nan, 2.0])
TABLE = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [3.0, 1.0, 2.0]})


def _neighbors(column):
    return (column[1:] * column[:-1]).sum()


@pytest.mark.parametrize(("told", "f"), [
    (r"\.std\(\) of an array.*test_others\.py:\d+ in <lambda>.*ddof=1 or ddof=0", lambda w: (COLUMN * w).std()),
    (r"\.var\(\)", lambda w: np.exp(pd.Series([1, 2]) * w)[:2].var()),
    (r"\.std\(\)", lambda w: (w * POLARS["x"]).std()),
    (r"\.mean\(\) with NaN.*np\.nanmean\(x\) leaves them out", lambda w: (HOLED * w).mean()),
    (r"np\.sum with NaN", lambda w: np.sum(HOLED * w)),
    (r"\.sum\(\).*axis=0 or axis=None", lambda w: (TABLE * w).sum()),
    (r"np\.cumsum", lambda w: np.cumsum(TABLE * w)),
    (r"x\[…\].*np\.asarray", lambda w: (COLUMN[COLUMN > 1] * w)[1]),
    (r"x\[…\]", lambda w: (TABLE * w)[0]),
    (r"for of", lambda w: list(TABLE * w)),
    (r"in of", lambda w: (1 in COLUMN * w) * w),
    (r"taken in two ways meet", lambda w: _neighbors(COLUMN * w)),
    (r"taken in two ways meet", lambda w: np.sum((COLUMN * w)[[0, 1]] * COLUMN[1:])),
    (r"columns that are labelled in two ways", lambda w: TABLE * w + TABLE[["b", "a"]]),
])  # fmt: skip
def test_what_is_another_thing_of_a_column_than_of_an_array_is_told(told, f):
    for run in (pb.jacobian(f), pb.compile(f)):
        with pytest.raises(TraceError, match=told):
            run(2.0)


def test_what_is_the_same_of_a_column_and_of_an_array_is_computed():
    def f(w):
        rows = (TABLE * w).sum(axis=1)
        spread = (COLUMN * w).std(ddof=1) + np.std(COLUMN * w) + np.asarray(COLUMN * w).std() + np.nanmean(HOLED * w)
        spread += np.sum((COLUMN * w)[1:] * COLUMN[1:]) + np.sum(np.abs(np.diff(COLUMN * w))) + (COLUMN * w)[:2][1]
        return spread + np.sum(TABLE * w) + rows.mean() + (COLUMN * w)[1] + (COLUMN * w)[COLUMN > 1].max()

    assert f(2.0) == pytest.approx(pb.compile(f)(2.0)) == pytest.approx(2.0 * pb.grad(f)(2.0))
    with pytest.raises(TraceError, match=r"\.std\(\)"):
        pb.grad(lambda x: x.std())(COLUMN)
    with pytest.raises(TraceError, match=r"\.std\(\)"):
        _ = (pb.variable(2.0) * COLUMN).std()


def test_a_compiled_function_sees_what_a_column_holds_now():
    column = pd.Series([1.0, 2.0, 3.0])
    compiled = pb.compile(lambda w: np.sum(w * column))
    assert compiled(2.0) == 12.0
    column.iloc[0] = 10.0
    assert compiled(2.0) == 30.0


def _frame():
    columns = {"x": [1.0, 2.0, 3.0], "n": pd.array([1, 2, 3], dtype="Int64"), "k": pd.Categorical(["u", "v", "v"])}
    return pd.DataFrame(columns)


@pytest.mark.parametrize("f", [
    lambda w, frame: w * frame["x"].mean(),
    lambda w, frame: np.sum(w * np.exp(frame["x"])),
    lambda w, frame: w * frame.iloc[0, 0],
    lambda w, frame: w * float(frame["n"].sum()) + w * float((frame["k"] == "u").sum()),
    lambda w, frame: w * frame["x"].loc[2],
])  # fmt: skip
def test_a_compiled_function_sees_what_has_been_done_to_a_frame(f):
    frame = _frame()
    compiled = pb.compile(lambda w: f(w, frame))
    assert compiled(2.0) == f(2.0, frame)
    for change in (
        lambda: frame.loc.__setitem__((0, "x"), 10.0),
        lambda: frame.loc.__setitem__((0, "n"), 7),
        lambda: frame.loc.__setitem__((1, "k"), "u"),
        lambda: frame.__setitem__("x", [4.0, 6.0, 7.0]),
        lambda: setattr(frame, "index", [1, 2, 0]),
    ):
        change()
        assert compiled(2.0) == f(2.0, frame)


def test_a_compiled_function_sees_what_polars_and_estimators_hold_now():
    frame, scaler = pl.DataFrame({"x": [1.0, 2.0]}), StandardScaler().fit([[1.0], [3.0]])
    compiled = pb.compile(lambda w: w * frame["x"].sum() + w * scaler.mean_[0])
    assert compiled(2.0) == 2.0 * 3.0 + 2.0 * 2.0
    frame[0, "x"] = 5.0
    assert compiled(2.0) == 2.0 * 7.0 + 2.0 * 2.0
    scaler.fit([[5.0], [7.0]])
    assert compiled(2.0) == 2.0 * 7.0 + 2.0 * 6.0


def test_storing_into_a_column_is_said():
    def f(w):
        column = FRAME["x"].copy()
        column[0] = w
        return column.sum()

    with pytest.raises(TraceError, match=r"pandas takes bare numbers \(.*test_others\.py:\d+ in f: column\[0\]"):
        pb.grad(f)(1.0)


# Python itself


@dataclasses.dataclass
class Layer:
    w: np.ndarray
    b: float
    name: str = "layer"

    def __call__(self, x):
        return np.tanh(self.w @ x + self.b)


def twice(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(f(*args, **kwargs))

    return wrapper


@twice
def damped(x):
    return x * np.exp(-x)


def power(x, n):
    return 1.0 if n == 0 else x * power(x, n - 1)


def horner(coefficients, x):
    return functools.reduce(lambda total, c: total * x + c, coefficients)


def make_scaled(scale):
    def inner(x):
        nonlocal scale
        scale = scale * 2
        return x * scale

    return inner


class Oscillator:
    def __init__(self, stiffness):
        self.stiffness, self.log = stiffness, []

    @property
    def frequency(self):
        return np.sqrt(self.stiffness)

    def swing(self, x):
        self.log.append(x)
        return x * np.cos(self.frequency)


def oscillate(x):
    oscillator = Oscillator(x[2])
    for _ in range(3):
        oscillator.swing(x[0])
    return sum(oscillator.log) * oscillator.swing(x[1])


def comprehension(x):
    table = {name: value**2 for name, value in zip("abc", x, strict=True)}
    return sum(value * k for k, (_, value) in enumerate(sorted(table.items()), 1))


def generator(x):
    def running():
        total = 0.0
        for value in x:
            total += value
            yield total

    *_, last = running()
    return last * max(running())


def newton(x):
    y = x[2]
    while abs(y**3 - x[2]) > 1e-13:
        y = y - (y**3 - x[2]) / (3 * y**2)
    return y * x[0]


def matched(x):
    match [x[0], x[1]]:
        case [a, b] if a > b:
            return a * b
        case _:
            return x[2]


LANGUAGE = [
    lambda x: functools.reduce(lambda a, b: a * b + 1, x),
    lambda x: functools.reduce(np.minimum, [x * 2, x**2, np.ones(3)]).sum(),
    lambda x: horner([x[0], 2.0, x[1]], x[2]),
    lambda x: damped(x).sum(),
    lambda x: power(x[2], 5) + power(x[0], 0),
    lambda x: make_scaled(1.5)(x).sum() * make_scaled(x[0])(x[1]),
    lambda x: sum([x[0] * 2, x[1], 3]) + sum(v**2 for v in x),
    lambda x: max(x[0], x[1]) * min(x[1], x[2], 0.5) + max(x) ** 2,
    lambda x: sorted([x[0] ** 2, x[1], x[2]])[1] + sorted(x, key=lambda v: -v)[0],
    lambda x: np.array([x[0] * x[1], x[2]]) @ np.array([x[1], 1.0]),
    lambda x: np.array([[x[0], 1], [x[1] ** 2, x[2]]]).sum(axis=0)[1] * x[0],
    lambda x: sum(map(np.sin, x)) + sum(filter(lambda v: v > 0, x)),
    lambda x: (lambda a, *rest, k=2: a * k + sum(rest))(*x, k=x[2]),
    lambda x: np.dot(*np.array_split(np.concatenate([x, x]), 2)),
    lambda x: functools.partial(np.sum, axis=0)(np.stack([x, x**2]))[1],
    lambda x: dict(a=x[0], b=x[1])["a"] ** 2 + {1: x}[1][2],
    lambda x: (y := x[0] * 2) * y + (x[1] if x[1] > 0 else -x[1]),
    lambda x: Layer(np.outer(x, x), x[0])(x).sum(),
    lambda x: abs(x[1]) + divmod(x[2], 0.8)[1] + -x[0] + (+x[2]) ** 2 + round(x[2]) * x[0],
    oscillate, comprehension, generator, newton, matched,
]  # fmt: skip


@pytest.mark.parametrize("f", LANGUAGE, ids=range(len(LANGUAGE)))
def test_the_language(f):
    value, gradient = pb.value_and_grad(f)(X)
    np.testing.assert_allclose(value, f(X), rtol=1e-14)
    numeric = [(f(X + step) - f(X - step)) / 2e-6 for step in np.eye(3) * 1e-6]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_a_dataclass_is_an_argument():
    layer = Layer(np.ones((2, 3)), 0.5)
    gradient = pb.grad(lambda layer: layer(X).sum())(layer)
    assert isinstance(gradient, Layer)
    assert gradient.name == "layer"
    slope = 1 - np.tanh(X.sum() + 0.5) ** 2
    np.testing.assert_allclose(gradient.w, slope * np.stack([X, X]), rtol=1e-13)
    assert gradient.b == pytest.approx(2 * slope)


def test_what_is_lost_by_float_is_said():
    def f(x):
        scale = x[0].__float__()
        return scale * x[1]

    with pytest.raises(TraceError) as raised:
        pb.grad(f)(X)
    line = f.__code__.co_firstlineno + 1
    assert str(raised.value) == (
        f"float(x) would lose the derivative ({__file__}:{line} in f: x[0].__float__()): a Python float has no "
        "history, so what is computed from it would have no gradient. Leave x as it is; for the bare number write "
        "float(pb.stop_gradient(x)), for those of an array pb.stop_gradient(x)."
    )


def test_a_cache_is_said():
    @functools.lru_cache
    def cached(x):
        return x * x

    with pytest.raises(TraceError, match=r"a traced value is unhashable .*functools\.lru_cache"):
        pb.grad(lambda x: cached(x))(2.0)


# a module that says `import numpy as np` at its top, as one finds them

THEIRS = '''
    import numpy as np
    from numpy import zeros, exp
    import math

    G = 9.81
    DEFAULT = np.linspace(0.0, 1.0, 5)


    def trajectory(v, angle, drag, steps=80, dt=0.05):
        """Positions of a projectile with quadratic drag, by Heun's method."""
        out = zeros((steps + 1, 2))
        velocity = np.array([v * math.cos(angle), v * math.sin(angle)])
        for i in range(steps):
            a = acceleration(velocity, drag)
            predicted = velocity + dt * a
            b = acceleration(predicted, drag)
            out[i + 1] = out[i] + dt * (velocity + predicted) / 2
            velocity += dt * (a + b) / 2
            if out[i + 1, 1] < 0:
                break
        return out[: i + 2]


    def acceleration(velocity, drag):
        return -drag * np.linalg.norm(velocity) * velocity - np.array([0.0, G])


    def reach(v, angle, drag):
        path = trajectory(v, angle, drag)
        below, above = path[-1], path[-2]
        share = above[1] / (above[1] - below[1])
        return above[0] + share * (below[0] - above[0])


    class Smoother:
        def __init__(self, width=1.0, grid=DEFAULT):
            self.width, self.grid = width, grid

        def kernel(self):
            k = np.empty((len(self.grid), len(self.grid)))
            for i, a in enumerate(self.grid):
                k[i, :] = exp(-((a - self.grid) ** 2) / (2 * self.width**2))
            k /= k.sum(axis=1, keepdims=True)
            return k

        def __call__(self, y):
            smooth = self.kernel() @ y
            smooth[0] = y[0]
            return smooth
    '''


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    file = tmp_path_factory.mktemp("theirs") / "theirs.py"
    file.write_text(textwrap.dedent(THEIRS), "utf-8")
    spec = importlib.util.spec_from_file_location("theirs", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_simulation(theirs):
    at = (20.0, 0.7, 0.02)
    gradient = pb.grad(theirs.reach, argnums=(0, 1, 2))(*at)
    for i, slope in enumerate(gradient):
        high, low = ([*at] for _ in range(2))
        high[i] += 1e-6
        low[i] -= 1e-6
        assert slope == pytest.approx((theirs.reach(*high) - theirs.reach(*low)) / 2e-6, rel=1e-6)
    best = scipy.optimize.minimize(lambda p: -theirs.reach(20.0, p[0], 0.02), [0.3],
                                   jac=pb.grad(lambda p: -theirs.reach(20.0, p[0], 0.02)))  # fmt: skip
    assert 0.5 < best.x[0] < np.pi / 4  # drag makes the best angle flatter than 45°


def test_a_class_with_state(theirs):
    y = np.array([0.2, 1.0, -0.5, 0.3, 0.9])

    def cost(width):
        return np.sum((theirs.Smoother(width)(y) - y) ** 2)

    slope = pb.grad(cost)(0.4)
    assert slope == pytest.approx((cost(0.4 + 1e-6) - cost(0.4 - 1e-6)) / 2e-6, rel=1e-7)
    pb.check_grads(lambda y: theirs.Smoother(0.4)(y), y)
