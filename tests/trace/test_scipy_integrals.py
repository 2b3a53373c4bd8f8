"""SciPy's integrals and differential equations inside a function, with parameters in args= and in closures alike."""

import math

import numpy as np
import pytest
import scipy.integrate as si

import amount
import payback as pb
from payback.errors import DifferentiationError, PaybackError

P = np.array([1.3, 0.7, 0.4])
MOVE = np.array([0.3, -0.5, 0.2])
TIMES = np.linspace(0, 2, 5)
CLOSE = {"rtol": 1e-8, "atol": 1e-10}


def nested(p):
    return si.quad(lambda x: si.quad(lambda y: np.exp(-p[0] * x * y), 0, p[1])[0], 0, 1)[0]


INTEGRALS = {
    "quad": lambda p: si.quad(lambda t: math.exp(-p[0] * t) * np.sin(p[1] * t), 0, 2)[0],
    "quad, args": lambda p: si.quad(lambda t, a, b: np.exp(-a * t) * b, 0, 2, args=(p[0], p[1]))[0],
    "quad's limits": lambda p: si.quad(lambda t: math.exp(-t * p[2]), p[0] * 0.1, p[1])[0],
    "quad's limits alone": lambda p: si.quad(lambda t: math.exp(-t), 0.0, p[1])[0],
    "quad without ends": lambda p: si.quad(lambda t: np.exp(-p[0] * t * t), -np.inf, np.inf)[0],
    "quad with one end": lambda p: si.quad(lambda t: np.exp(-p[0] * t), p[1], np.inf)[0],
    "quad of a pole": lambda p: si.quad(lambda t: p[0] * t ** (-p[2]), 0, 1)[0],
    "quad of a kink": lambda p: si.quad(lambda t: abs(t - 0.5) * p[0] + p[1] * t**2, 0, 1, points=[0.5])[0],
    "quad of an array's entries": lambda p: si.quad(lambda t: np.sum(p * t ** np.arange(3)), 0, 1)[0],
    "quad and a plain one": lambda p: si.quad(lambda t: p[0] * t, 0, 1)[0] * p[1] + si.quad(np.sin, 0, 1)[0] * p[2],
    "an integral in an integral": nested,
    "quad_vec": lambda p: si.quad_vec(lambda t: np.exp(-np.outer(p, p) * t), 0, p[1])[0],
    "dblquad": lambda p: si.dblquad(lambda y, x: np.exp(-p[0] * x * y) * p[2], 0, 1, 0, lambda x: x * p[1])[0],
    "fixed_quad": lambda p: si.fixed_quad(lambda t: np.exp(-p[0] * t), 0, p[1], n=7)[0],
    "romb": lambda p: si.romb(np.exp(-np.outer(p, np.linspace(0, 1, 17))), dx=1 / 16),
    "romb of three": lambda p: si.romb(p, dx=p[0]),
}


@pytest.mark.parametrize("name", list(INTEGRALS)[:: amount.cases(4, 1)])
def test_integrals(name):
    f, slope = INTEGRALS[name], pb.jacobian(INTEGRALS[name])
    value, change = pb.jvp(f, (P,), (MOVE,))
    assert np.shape(value) == np.shape(f(P))
    np.testing.assert_allclose(value, f(P), rtol=1e-9)
    np.testing.assert_allclose(change, moved(f, 1e-4), rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(slope(P) @ MOVE, change, rtol=1e-8, atol=1e-9)
    if name in ("quad", "quad's limits", "an integral in an integral"):
        np.testing.assert_allclose(pb.jacobian(slope)(P) @ MOVE, moved(slope, 1e-4), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(pb.compile(slope)(P), slope(P), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(pb.vmap(slope)(np.stack([P / 1.01, P]))[1], slope(P), rtol=1e-8, atol=1e-9)


def moved(f, step):
    return (f(P + step * MOVE) - f(P - step * MOVE)) / (2 * step)


def rabbits(t, y, p):
    return [p[0] * y[0] - p[1] * y[0] * y[1], -y[1] + p[2] * y[0] * y[1]]


def with_a_work_array(p):
    out = np.zeros(2)

    def f(t, y):
        out[0] = y[1]
        out[1] = -p[0] * y[0] - p[1] * y[1]
        return out

    return si.solve_ivp(f, (0, 1), [1.0, 0.0]).y[:, -1]


def ivp(p, *args, y0=(1.0, 0.5), span=(0, 2), **options):
    return si.solve_ivp(lambda t, y: rabbits(t, y, p), span, y0, *args, **options)


def decay(p, **options):
    return si.solve_ivp(lambda t, y: -p[1] * y, (0, 2), [1.0], **(CLOSE | options))


# by the steps that were taken; the change of the steps with the parameters is less than the tolerance of the solver
STEPS = {
    "RK45": lambda p: ivp(p).y[:, -1],
    "RK45 at times": lambda p: ivp(p, t_eval=TIMES).y,
    "RK23, args": lambda p: si.solve_ivp(rabbits, (0, 2), [1.0, 0.5], "RK23", t_eval=TIMES, args=(p,)).y,
    "DOP853": lambda p: ivp(p, "DOP853", **CLOSE).y[:, -1],
    "DOP853 at times": lambda p: ivp(p, "DOP853", t_eval=TIMES[1:], **CLOSE).y,
    "where it begins": lambda p: si.solve_ivp(
        lambda t, y: [-y[0] * y[1], y[2] - y[1], -y[2]], (0, 1), p, t_eval=[0.0, 0.3, 1.0]).y,
    "when it ends": lambda p: si.solve_ivp(lambda t, y: -t * y, (0, p[0]), [1.0, 2.0]).y[:, -1],
    "the last time": lambda p: si.solve_ivp(lambda t, y: -t * y, (0, p[0]), [1.0, 2.0]).t[-1],
    "when it begins": lambda p: si.solve_ivp(lambda t, y: -t * y * p[1], (p[2], 2.0), [1.0], **CLOSE).y[:, -1],
    "backwards": lambda p: si.solve_ivp(lambda t, y: -p[0] * y, (2, 0), [p[1]], t_eval=[1.5, 1.0, 0.2]).y,
    "moving times": lambda p: decay(p, t_eval=np.sort(p)).y,
    "a path": lambda p: decay(p, dense_output=True).sol(p),
    "DOP853's path": lambda p: decay(p, method="DOP853", dense_output=True).sol(p),
    "a work array": with_a_work_array,
}  # fmt: skip
SENSITIVITIES = {
    "Radau": lambda p: ivp(p, "Radau", y0=[1.0, p[0]], t_eval=TIMES, **CLOSE).y,
    "BDF": lambda p: ivp(p, "BDF", y0=[1.0, p[0]], t_eval=TIMES, **CLOSE).y,
    "LSODA": lambda p: ivp(p, "LSODA", **CLOSE).y[:, -1],
    "odeint": lambda p: si.odeint(lambda y, t: rabbits(t, y, p), [1.0, 0.5], TIMES),
    "odeint, args": lambda p: si.odeint(lambda y, t, p: rabbits(t, y, p), [1.0, p[1]], TIMES, args=(p,)),
    "odeint, the time first": lambda p: si.odeint(rabbits, [1.0, p[1]], TIMES, args=(p,), tfirst=True),
    "where odeint begins": lambda p: si.odeint(lambda y, t: -y * t, p, TIMES),
    "stiff": lambda p: si.solve_ivp(
        lambda t, y: [-p[0] * 100 * (y[0] - np.cos(t)), -p[1] * y[1]], (0, 1), [0.0, 1.0], "Radau",
        t_eval=[0.5, 1.0], **CLOSE).y,
}  # fmt: skip


@pytest.mark.parametrize("name", list(STEPS | SENSITIVITIES)[:: amount.cases(5, 1)])
def test_equations(name):
    f = (STEPS | SENSITIVITIES)[name]
    value, change = pb.jvp(f, (P,), (MOVE,))
    np.testing.assert_allclose(value, f(P), rtol=1e-12)
    assert np.shape(value) == np.shape(f(P))
    near = {"rtol": 5e-3, "atol": 1e-3} if name in STEPS else {"rtol": 2e-5, "atol": 1e-5}
    np.testing.assert_allclose(change, moved(f, 1e-3), **near)
    np.testing.assert_allclose(pb.jacobian(f)(P) @ MOVE, change, rtol=1e-10 if name in STEPS else 1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["RK45", "RK23", "DOP853"][: amount.cases(1, 3)])
def test_the_derivative_is_that_of_the_numbers_computed(method):
    """With the steps held fixed, to all digits: a step of that length is all that this method takes."""

    def f(p):
        steps = {"max_step": 0.1, "first_step": 0.1, "t_eval": [0.33, 0.4]}
        return si.solve_ivp(rabbits, (0, 0.4), [1.0, 0.5], method, args=(p,), **steps).y

    np.testing.assert_allclose(pb.jacobian(f)(P) @ MOVE, moved(f, 1e-5), rtol=1e-8, atol=1e-9)
    second = pb.jacobian(pb.jacobian(f))(P) @ MOVE
    np.testing.assert_allclose(second, moved(pb.jacobian(f), 1e-5), rtol=1e-7, atol=1e-8)


def test_branches_on_the_time():
    def f(p):
        def dose(t, y):
            if t < 0.5:
                return -p[0] * y
            return -p[1] * y

        return si.solve_ivp(dose, (0, 1), [1.0], max_step=0.1, **CLOSE).y[0, -1]

    np.testing.assert_allclose(pb.grad(f)(P), [-f(P) / 2, -f(P) / 2, 0.0], rtol=1e-6)


@pytest.mark.parametrize("name", ["odeint", "RK45 at times", "Radau"][: amount.cases(1, 3)])
def test_sensitivities_again_and_without_numbers(name):
    f = (STEPS | SENSITIVITIES)[name]
    slope, near = pb.jacobian(f), {"rtol": 1e-2, "atol": 1e-2} if name in STEPS else {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(pb.compile(f)(P), f(P), rtol=1e-9)
    np.testing.assert_allclose(pb.compile(slope)(P), slope(P), **near)
    np.testing.assert_allclose(pb.vmap(f)(np.stack([P / 1.01, P]))[1], f(P), rtol=1e-9)
    if name != "RK45 at times":
        np.testing.assert_allclose(pb.jacobian(slope)(P) @ MOVE, moved(slope, 1e-3), rtol=1e-3, atol=1e-3)


def test_a_plain_equation_is_scipys():
    seen = []

    def f(x):
        seen.append(si.solve_ivp(lambda t, y: -y, (0, 1), [1.0], events=lambda t, y: y[0] - 0.5))
        return x * x

    pb.grad(f)(2.0)
    plain = si.solve_ivp(lambda t, y: -y, (0, 1), [1.0], events=lambda t, y: y[0] - 0.5)
    assert seen[0].nfev == plain.nfev
    np.testing.assert_array_equal(seen[0].y, plain.y)
    np.testing.assert_array_equal(seen[0].t_events[0], plain.t_events[0])


def test_what_is_refused_has_a_cure():
    for f, cure in (
        (lambda p: ivp(p, events=lambda t, y: y[0]).y[0, -1], "pb.root"),
        (lambda p: si.quad(lambda t: p[0] * t, 0, 1, weight="cos", wvar=1.0)[0], "a part of the function"),
        (lambda p: decay(p, method="Radau", dense_output=True).sol(1.0)[0], "method='RK45'"),
        (lambda p: si.odeint(lambda y, t: -y, [1.0], TIMES * p[0])[-1, 0], "plain times"),
        (lambda p: si.quad(lambda t: p[0] if t < 0.5 else p[1], 0, 1)[0], r"np\.where"),
        (pb.compile(lambda p: ivp(p).y[0, -1]), "plain t_span and t_eval"),
        (pb.compile(lambda p: si.quad(lambda t: p[0], 0, 1)[1] * 1.0), "quad's error has no derivative"),
    ):
        with pytest.raises(PaybackError, match=cure):
            pb.grad(f)(P)


def test_a_function_that_counts_is_found_out():
    calls = [0.0]

    def f(t, y):
        calls[0] += 1.0
        return -y * calls[0]

    with pytest.raises(DifferentiationError, match="depend on t and y alone"):
        pb.grad(lambda p: si.solve_ivp(lambda t, y: f(t, y) * p[0], (0, 1), [1.0]).y[0, -1])(P)
