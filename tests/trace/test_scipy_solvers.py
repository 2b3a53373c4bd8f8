"""SciPy's solvers inside a function: the derivative of the solution, by parameters in args= and in closures alike."""

import functools
import math

import numpy as np
import pytest
import scipy.optimize as so

import amount
import payback as pb
from payback.errors import NonFiniteError, PaybackError

P = np.array([1.3, 0.7, 0.4])
MOVE = np.array([0.3, -0.5, 0.2])
XS = np.linspace(0, 2, 9)
YS = np.exp(-0.8 * XS) * 1.7 + 0.05 * np.sin(9 * XS)


def cubic(t, a, b):
    return t**3 - a * t - b


def system(v, p):
    x, y = v
    return [x * x + p[0] * y - 2, math.exp(-x) * p[1] + y**3 - 1]


def counted(p):
    calls = 0

    def f(t):
        nonlocal calls
        calls += 1
        return cubic(t, p[0], p[1])

    found = so.brentq(f, 0, 3)
    assert calls > 5
    return found


def branching(p):
    def f(t):
        if t > 0.5:
            return t**3 + p[0] * t - 2
        return t - 10 * p[1]

    return so.brentq(f, -1, 3)


class Cubic:
    def __init__(self, p):
        self.p = p

    def __call__(self, t):
        return cubic(t, self.p[0], self.p[1])


def in_a_container(p):
    given = {"a": p[0], "b": [p[1]]}
    return so.brentq(lambda t: cubic(t, given["a"], given["b"][0]), 0, 3)


def in_a_buffer(p):
    given = np.zeros(2)
    given[:] = p[:2]
    return so.brentq(lambda t: cubic(t, *given), 0, 3)


def through_a_helper(p):
    def inner(t):
        return cubic(t, p[0], p[1])

    return so.brentq(lambda t: 2 * inner(t), 0, 3)


def valley(p):
    return lambda v: (p[0] - v[0]) ** 2 + p[1] * 100 * (v[1] - v[0] ** 2) ** 2 + p[2] * v[0]


def bowl(p):
    return lambda v: (v[0] - p[0]) ** 2 + (v[1] * p[1] - 1) ** 2 + v[0] * v[1] * p[2]


def residuals(p):
    return lambda v: v[1] * np.exp(-v[0] * XS) - YS * p[0] - p[1] * XS / 10


def decay(x, a, b):
    return a * np.exp(-b * x)


CLOSE = {"xtol": 1e-13, "ftol": 1e-13, "gtol": 1e-13}
ZEROS = {
    "brentq": lambda p: so.brentq(lambda t: cubic(t, p[0], p[1]), 0, 3),
    "brentq, args": lambda p: so.brentq(cubic, 0, 3, args=(p[0], p[1])),
    "brentq, told": lambda p: so.brentq(cubic, 0, 3, args=(p[0], p[1]), full_output=True)[1].root,
    "brentq, a moving bracket": lambda p: so.brentq(lambda t: cubic(t, p[0], p[1]), 0, 3 * p[0]),
    "others with a bracket": lambda p: sum(
        solve(lambda t: math.exp(t) - p[0] * t - p[1] - 3, 0, 3, xtol=1e-14)
        for solve in (so.brenth, so.bisect, so.ridder, so.toms748)
    ),
    "a counting function": counted,
    "a branch": branching,
    "an object": lambda p: so.brentq(Cubic(p), 0, 3),
    "a container": in_a_container,
    "a buffer": in_a_buffer,
    "a helper": through_a_helper,
    "a partial": lambda p: so.brentq(functools.partial(lambda a, t: cubic(t, a[0], a[1]), p), 0, 3),
    "newton": lambda p: so.newton(lambda t: cubic(t, p[0], p[1]), 2.0),
    "newton with a slope": lambda p: so.newton(cubic, 2.0, lambda t, a, b: 3 * t * t - a, (p[0], p[1]), tol=1e-13),
    "newton of many": lambda p: so.newton(lambda t: cubic(t, p[0], p), np.ones(3) * 2, tol=1e-13),
    "root_scalar": lambda p: so.root_scalar(lambda t: cubic(t, p[0], p[1]), bracket=[0, 3]).root,
    "root_scalar with a slope": lambda p: so.root_scalar(
        lambda t: (cubic(t, p[0], p[1]), 3 * t * t - p[0]), x0=2.0, fprime=True).root,
    "root": lambda p: so.root(lambda v: system(v, p), [1.0, 1.0], tol=1e-12).x,
    "root by another method": lambda p: so.root(system, [1.0, 1.0], args=(p,), method="lm", tol=1e-12).x,
    "fsolve": lambda p: so.fsolve(lambda v: system(v, p), [1.0, 1.0], xtol=1e-12),
    "fsolve, args": lambda p: so.fsolve(system, [1.0, 1.0], args=(p,), xtol=1e-12),
    "fsolve of one": lambda p: so.fsolve(lambda t: cubic(t, p[0], p[1]), 2.0, xtol=1e-13),
    "fixed_point": lambda p: so.fixed_point(lambda x: np.cos(p[0] * x) * p[1], 0.5, xtol=1e-12),
    "fixed_point of many": lambda p: so.fixed_point(lambda x: np.cos(x) * p, np.ones(3), xtol=1e-12),
    "nothing traced": lambda p: p[0] * so.brentq(lambda t: t**3 - 2, 0, 3),
}  # fmt: skip
MINIMA = {
    "minimize": lambda p: so.minimize(valley(p), [0.0, 0.0], tol=1e-11).x,
    "its least cost": lambda p: so.minimize(valley(p), [0.0, 0.0], tol=1e-10).fun,
    "minimize without slopes": lambda p: so.minimize(
        bowl(p), [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-16}).x,
    "minimize at a bound": lambda p: so.minimize(
        bowl(p), [0.5, 0.5], bounds=[(0, 1.0), (None, None)], tol=1e-12).x,
    "minimize_scalar": lambda p: so.minimize_scalar(lambda t: (t - p[0]) ** 4 + p[1] * t * t, tol=1e-12).x,
    "least_squares": lambda p: so.least_squares(residuals(p), [1.0, 1.0], **CLOSE).x,
    "its cost": lambda p: so.least_squares(residuals(p), [1.0, 1.0], **CLOSE).cost,
    "least_squares at a bound": lambda p: so.least_squares(
        residuals(p), [0.5, 1.0], bounds=([0, 0], [0.6, 9]), **CLOSE).x,
    "leastsq": lambda p: so.leastsq(residuals(p), [1.0, 1.0], xtol=1e-14, ftol=1e-14)[0],
    "curve_fit": lambda p: so.curve_fit(
        decay, XS, YS * p[0] + p[1] * XS / 10, [1.0, 1.0], 1 + XS * p[2], xtol=1e-14, ftol=1e-14)[0],
    "curve_fit of places": lambda p: so.curve_fit(
        lambda x, a, b: decay(x, a, b) + p[1] / 10, XS * p[0], YS, xtol=1e-14, ftol=1e-14)[0],
}  # fmt: skip
COMPILED = ["brentq", "brentq, args", "brentq, a moving bracket", "newton", "newton of many", "fsolve", "fsolve of one",
            "fixed_point", "fixed_point of many", "nothing traced"]  # fmt: skip


def moved(f, step):
    return (f(P + step * MOVE) - f(P - step * MOVE)) / (2 * step)


@pytest.mark.parametrize("name", list(ZEROS | MINIMA)[:: amount.cases(4, 1)])
def test_derivatives(name):
    f, step = (ZEROS | MINIMA)[name], 1e-5 if name in ZEROS else 1e-3  # what is least is known to fewer digits
    value, change = pb.jvp(f, (P,), (MOVE,))
    assert np.shape(value) == np.shape(f(P))
    np.testing.assert_allclose(value, f(P), rtol=1e-10)
    np.testing.assert_allclose(change, moved(f, step), rtol=2e-5, atol=1e-5)
    slope = pb.jacobian(f)
    np.testing.assert_allclose(slope(P) @ MOVE, change, rtol=1e-8, atol=1e-9)
    if name in ("brentq", "root", "minimize", "curve_fit"):
        np.testing.assert_allclose(pb.jacobian(slope)(P) @ MOVE, moved(slope, step), rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", COMPILED[:: amount.cases(9, 1)])
def test_without_numbers(name):
    f = ZEROS[name]
    slope = pb.jacobian(f)(P)
    np.testing.assert_allclose(pb.compile(f)(P), f(P), rtol=1e-9)
    np.testing.assert_allclose(pb.compile(pb.jacobian(f))(P), slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pb.vmap(pb.jacobian(f))(np.stack([P / 1.01, P]))[1], slope, rtol=1e-6, atol=1e-7)


def test_what_is_refused_has_a_cure():
    for f, cure in (
        (lambda p: so.minimize(bowl(p), [0.0, 0.0], constraints={"type": "eq", "fun": np.sum}).x[0], "Kuhn"),
        (lambda p: so.curve_fit(decay, XS, YS * p[0])[1][0, 0], "pcov has no derivative"),
        (lambda p: np.sum(np.sqrt(np.diag(so.curve_fit(decay, XS, YS * p[0])[1]))), "pcov has no derivative"),
        (lambda p: so.root(system, [1.0, 1.0], args=(p,)).fjac[0, 0] * 1.0, "root.fjac has no derivative"),
        (lambda p: so.least_squares(residuals(p), [1.0, 1.0], loss="soft_l1").x[0], "loss='linear'"),
        (pb.compile(lambda p: so.minimize(bowl(p), [0.0, 0.0]).x[0]), r"pb\.root\(pb\.grad\(cost\), x0\)"),
        (pb.compile(lambda p: so.brentq(cubic, 0, 3, (p[0], p[1]), full_output=True)[0]), "ake the solution alone"),
    ):
        with pytest.raises(PaybackError, match=cure):
            pb.grad(f)(P)


def test_what_a_function_leaves_elsewhere_is_found_out():
    def f(p):
        last = None

        def g(t):
            nonlocal last
            last = t * p[0]
            return cubic(t, p[0], p[1])

        return so.brentq(g, 0, 3) + last

    for derivative in (pb.grad(f), lambda p: pb.jvp(f, (p,), (MOVE,))):
        with pytest.raises(PaybackError, match="from the solution"):
            derivative(P)


def test_where_no_solution_is_near():
    with pytest.raises(NonFiniteError, match="no solution is near"), pytest.warns(RuntimeWarning):
        pb.grad(lambda p: so.fsolve(lambda t: t * t + p[0], 1.0)[0])(P)


def test_scipys_errors_are_its_own():
    with pytest.raises(ValueError, match="different signs"):
        pb.grad(lambda p: so.brentq(lambda t: t * t + p[0], 0, 1))(P)
    with pytest.raises(ZeroDivisionError):
        pb.grad(lambda p: so.brentq(lambda t: t / 0 + p[0], -1, 1))(P)
