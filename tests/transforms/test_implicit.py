"""root and fixed_point: solutions, and their derivatives in every mode, whatever solver found them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

import payback as pb
from payback.errors import InputError, NonFiniteError, ShapeError, TraceError
from transforms.modes import MODES, assert_close, check, chosen

A = np.array([[2.0, 0.3, 0.0], [0.1, 3.0, 0.2], [0.0, 0.4, 2.5]])
B = np.array([0.5, 1.0, 2.0])


def spd(a):
    return a @ a.T


# name: (through a solver, the same in closed form)
PROGRAMS = {
    "a scalar": (lambda a, b: pb.root(lambda x: x * x - np.sum(b), 1.0), lambda a, b: np.sqrt(np.sum(b))),
    "arguments": (
        lambda a, b: pb.root(lambda x, s: x**3 - s[0] * s["k"], 1.0, {0: np.sum(b), "k": a[0, 0]}),
        lambda a, b: np.cbrt(np.sum(b) * a[0, 0]),
    ),
    "a linear system": (lambda a, b: pb.root(lambda x: a @ x - b, np.zeros(3, b.dtype)), np.linalg.solve),
    "a matrix": (
        lambda a, b: pb.root(lambda x: a @ x - np.outer(b, b) - x, np.zeros((3, 3), b.dtype)),
        lambda a, b: np.linalg.solve(a - np.eye(3, dtype=b.dtype), np.outer(b, b)),
    ),
    "entry by entry": (
        lambda a, b: pb.root(lambda x: np.exp(x) * x - b * np.exp(b), np.ones(3, b.dtype)),
        lambda a, b: b * 1.0,
    ),
    "a fixed point": (
        lambda a, b: pb.fixed_point(lambda x: (x + b / x) / 2, np.ones(3, b.dtype)),
        lambda a, b: np.sqrt(b),
    ),
    "a fixed point with arguments": (
        lambda a, b: pb.fixed_point(lambda x, a, b: a @ x / 4 + b, np.zeros(3, b.dtype), a, b),
        lambda a, b: np.linalg.solve(np.eye(3, dtype=b.dtype) - a / 4, b),
    ),
    "a fixed point that does not attract": (
        lambda a, b: pb.fixed_point(lambda x: 3.0 * x - 2 * b, np.zeros(3, b.dtype)),
        lambda a, b: b * 1.0,
    ),
    "one root inside another": (
        lambda a, b: pb.root(lambda x: x**3 - pb.root(lambda y: y * y - x * b[0], 1.0), 1.0),
        lambda a, b: b[0] ** 0.2,
    ),
    "SciPy's root": (
        lambda a, b: pb.root(
            lambda x: a @ x - b, np.zeros(3, b.dtype), solver=lambda g, x: scipy.optimize.root(g, x, tol=1e-14).x
        ),
        np.linalg.solve,
    ),
    "SciPy's brentq": (
        lambda a, b: pb.root(
            lambda x: x**3 - b[2], 1.0, solver=lambda g, x: scipy.optimize.brentq(g, 0.0, 3.0, xtol=1e-15)
        ),
        lambda a, b: np.cbrt(b[2]),
    ),
    "a fixed point by SciPy's brentq": (
        lambda a, b: pb.fixed_point(
            lambda x: x - (x**3 - b[2]) / 9.0, 1.0, solver=lambda g, x: scipy.optimize.brentq(g, 0.0, 3.0, xtol=1e-15)
        ),
        lambda a, b: np.cbrt(b[2]),
    ),
    "SciPy's root with the Jacobian": (
        lambda a, b: pb.root(
            lambda x: a @ x - b + x,
            np.zeros(3, b.dtype),
            solver=lambda g, x: scipy.optimize.root(g, x, jac=g.jacobian, tol=1e-14).x,
        ),
        lambda a, b: np.linalg.solve(a + np.eye(3), b),
    ),
}


@pytest.mark.parametrize(("name", "mode"), chosen(PROGRAMS, MODES))
def test_as_in_closed_form(name, mode):
    # a solver stops a few roundings away from the solution
    check(mode, *PROGRAMS[name], (A, B), 1e-8)


@pytest.mark.parametrize("name", PROGRAMS)
def test_finite_differences(name):
    pb.check_grads(PROGRAMS[name][0], A, B, order=1 if "inside another" in name else 2)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if "SciPy" not in name])
def test_float32_stays(name):
    args = (A.astype(np.float32), B.astype(np.float32))
    for mode in ("value", "grad", "jvp", "compiled grad"):
        check(mode, *PROGRAMS[name], args, 1e-4)


def test_dtypes_of_the_start_and_of_the_equations():
    """The result has the dtype that NumPy makes of both; a Python number takes that of the equations."""
    for start, data, dtype in [
        (1.0, np.float32(4), np.float32), (1, np.float32(4), np.float32), (np.float32(1), np.float64(4), np.float64),
        (np.float64(1), np.float32(4), np.float64), (np.float32(1), 4.0, np.float32),
    ]:  # fmt: skip
        f = lambda a, start=start: pb.root(lambda x: x * x - a, start)  # noqa: E731
        assert np.asarray(f(data)).dtype == dtype
        np.testing.assert_allclose(f(data), 2.0, rtol=1e-6)
        slope = pb.grad(f)(data)
        assert np.asarray(slope).dtype == np.asarray(data).dtype
        np.testing.assert_allclose(slope, 0.25, rtol=1e-6)
    narrow = pb.root(lambda x: (x * x - 4.0).astype(np.float32), np.float64(1))
    assert narrow.dtype == np.float64


def test_python_numbers_stay():
    assert pb.root(lambda x: x * x - 4.0, 1.0) == 2.0
    assert type(pb.root(lambda x: x * x - 4.0, 1)) is float
    assert type(pb.fixed_point(lambda x: (x + 4.0 / x) / 2, 1.0)) is float
    assert pb.grad(lambda a: pb.root(lambda x: x * x - a, 1.0))(4.0) == 0.25


def test_captured_traced_values_and_variables():
    v = pb.variable(np.array([4.0, 9.0]))
    np.sum(pb.root(lambda x: x * x - v, np.ones(2))).backward()
    np.testing.assert_allclose(v.grad, [1 / 4, 1 / 6])
    found = pb.grad(lambda a: pb.root(lambda x: x * x - a, 1.0) * a)(4.0)
    assert found == pytest.approx(3.0, rel=1e-15)


def test_the_start_has_no_derivative():
    assert pb.grad(lambda x0: pb.root(lambda x: x * x - 4.0, x0))(1.0) == 0.0
    assert pb.grad(lambda x0: pb.root(lambda x: x * x - 4.0 * x0 / x0, x0))(1.0) == 0.0
    assert pb.jvp(lambda x0: pb.root(lambda x: x * x - 4.0, x0), (1.0,), (1.0,)) == (2.0, 0.0)


def test_the_start_chooses_the_solution():
    def f(a, x0):
        return pb.root(lambda x: x * x - a, x0)

    assert (f(4.0, 1.0), f(4.0, -1.0)) == (2.0, -2.0)
    assert (pb.grad(f)(4.0, 1.0), pb.grad(f)(4.0, -1.0)) == (0.25, -0.25)
    np.testing.assert_allclose(pb.vmap(pb.grad(f), (None, 0))(4.0, np.array([1.0, -1.0])), [0.25, -0.25])


def test_how_the_solver_got_there_plays_no_part():
    """Two solvers of very different paths: the same bits of the derivative."""

    def slope(solver):
        return pb.grad(lambda b: np.sum(pb.root(lambda x: x**3 - b, np.ones(3), solver=solver)))(B)

    exact = lambda g, x: np.cbrt(B)  # noqa: E731
    wandering = lambda g, x: [g(x + k) for k in range(50)] and np.cbrt(B)  # noqa: E731
    np.testing.assert_array_equal(slope(exact), slope(wandering))
    np.testing.assert_allclose(slope(exact), 1 / (3 * np.cbrt(B) ** 2), rtol=1e-14)


def test_nothing_of_the_solver_is_kept():
    from payback.ir.node import ancestors

    v = pb.variable(2.0)
    top = pb.fixed_point(lambda x: np.cos(x * v), 0.5)
    assert len(ancestors([top.node])) < 10


# what does not work


def test_no_solution():
    for f in (lambda x: x * x + 1.0, lambda x: np.abs(x) + 1.0, lambda x: np.exp(-x) + 1.0):
        with pytest.raises(NonFiniteError, match=r"root found no solution.*stopped where"):
            pb.root(f, 0.7)
    with pytest.raises(NonFiniteError, match="root found no solution"):
        pb.fixed_point(lambda x: x + 1.0, 0.0)
    with pytest.raises(NonFiniteError, match="root found no solution"):
        pb.root(lambda x: x * np.nan, 1.0)


def test_a_singular_jacobian_has_no_derivative():
    with pytest.raises(np.linalg.LinAlgError):
        pb.grad(lambda a: pb.root(lambda x: (x - a) ** 2, 1.0, solver=lambda g, x: 2.0))(2.0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pb.root(lambda x: np.sum(x), np.ones(2)), ShapeError, "there are as many equations as unknowns"),
        (lambda: pb.root(lambda x: (x, x), 1.0), ShapeError, "there are as many equations as unknowns"),
        (lambda: pb.fixed_point(lambda x: np.sum(x), np.ones(2)), ShapeError, "a fixed point is mapped to itself"),
        (lambda: pb.root(lambda x: x * x, np.float16(1)), InputError, "root does not compute with float16"),
        (lambda: pb.root(lambda x: x if x > 0 else -x, 1.0), TraceError, "test_implicit.py"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_batch_of_roots():
    found = pb.vmap(lambda a, b: pb.root(lambda x: a @ x - b, np.zeros(3, b.dtype)))(
        np.stack([A, 2 * A]), np.stack([B, B])
    )
    assert_close(found, np.stack([np.linalg.solve(A, B), np.linalg.solve(2 * A, B)]), 1e-10)


@pytest.mark.parametrize("wrong", ["elsewhere", "nowhere", "overflow"])
def test_a_solver_that_stops_where_no_solution_is_raises(wrong):
    """The implicit function theorem would make a number of it all the same."""

    def solver(g, x):
        if wrong == "overflow":
            raise OverflowError("cannot convert float infinity to integer")
        return x * 1.5 if wrong == "elsewhere" else x * np.nan

    def solution(a):
        return pb.root(lambda x: x * x - a, np.array([3.0]), solver=solver)[0]

    with pytest.raises(NonFiniteError, match=r"no solution \(.*test_implicit.py.*solver"):
        pb.grad(solution)(4.0)
    loose = pb.grad(lambda a: pb.root(lambda x: x * x - a, 3.0, solver=lambda g, x: 2.001))(4.0)
    assert abs(loose - 0.25) < 1e-3
