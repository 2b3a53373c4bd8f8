"""A `try` of the program is a branch: it goes as on plain numbers, or it is said that nobody can tell."""

from __future__ import annotations

import builtins
import contextlib
import contextvars
import decimal
import fractions
import heapq
import json
import math
import statistics
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, PaybackError, TraceError, UnsupportedError


def reciprocal(x):
    try:
        return 1 / x
    except ZeroDivisionError:
        return 7.0 + 2 * x


def suppressed(x):
    y = x * 3
    with contextlib.suppress(ArithmeticError):
        y = y * (5 % x)
    return y


def power(x):
    try:
        y = x**400
    except (ValueError, builtins.OverflowError):
        y = x * 3
    return y


def whole(x):
    try:
        return 5 // x + x
    except:  # noqa: E722
        return 3 * x


def inverse_power(x):
    try:
        return 0.0**x
    except ZeroDivisionError as error:
        return x if "negative" in str(error) else 0.0


def logarithm(x):
    try:
        return math.log(x)
    except ValueError:
        return x * 3.0


def divided(x):
    return 2 / x


def in_a_helper(x):
    try:
        return divided(x)
    except ZeroDivisionError:
        return 4 * x


def renamed(x):
    nothing = (KeyError, ZeroDivisionError)
    try:
        return 1 / x
    except nothing:
        return 6 * x


WAITING = {
    "division": (reciprocal, 0.0, 2.0), "suppress": (suppressed, 0.0, 3.0), "power": (power, 10.0, 3.0),
    "floor division": (whole, 0.0, 3.0), "a negative power of 0": (inverse_power, -1.0, 1.0),
    "math.log": (logarithm, -1.0, 3.0), "a helper": (in_a_helper, 0.0, 4.0), "a name": (renamed, 0.0, 6.0),
}  # fmt: skip


@pytest.mark.parametrize("name", WAITING)
def test_with_numbers_it_goes_as_on_plain_ones(name):
    f, x, slope = WAITING[name]
    value, gradient = pb.value_and_grad(f)(x)
    assert value == f(x)
    assert gradient == slope
    assert pb.jvp(f, (x,), (1.0,)) == (f(x), slope)
    assert pb.value_and_grad(f)(2.0)[0] == f(2.0)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", WAITING)
def test_without_numbers_it_is_said_that_nobody_can_tell(name, native):
    f, x, _ = WAITING[name]
    with pytest.raises(TraceError, match=r"whether .* fails is not known .*test_handled\.py:\d+ in .*np\.where"):
        pb.compile(f, native=native)(x)


def test_what_cannot_fail_is_no_branch():
    def halved(x):
        try:
            return x / 2 + np.float64(1.0) / (x + np.float64(0.0)) + x[0] / x[1]
        except ZeroDivisionError:
            return x

    x = np.array([0.0, 4.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(pb.compile(halved)(x), halved(x))


@pytest.mark.parametrize("f", [divided, lambda x: x**-1, lambda x: 5.0 % (x + 1) + 1 / x])
def test_where_nobody_waits_it_is_what_ieee_says(f):
    try:
        with np.errstate(all="ignore"):
            value = pb.value_and_grad(f)(0.0)[0]
    except ZeroDivisionError:  # that of somebody who calls a transform is not the function's
        pytest.fail("raised")
    assert value == np.inf


def test_an_infinite_partial_is_no_exception_of_the_program():
    def root(x):
        try:
            return x**0.5
        except ZeroDivisionError:
            return x

    assert pb.value_and_grad(root)(0.0) == (0.0, np.inf)


def test_errstate_raises_with_numbers_and_says_so_without():
    def f(x):
        with np.errstate(all="raise"):
            try:
                return np.sum(np.log(x))
            except FloatingPointError:
                return 3 * np.sum(x)

    x = np.array([0.0, 1.0])
    assert pb.value_and_grad(f)(x)[0] == f(x) == 3.0
    with pytest.raises(TraceError, match=r"np\.errstate cannot raise errors while a function is compiled .*in f"):
        pb.compile(f)(x)
    assert np.geterr()["divide"] != "raise"
    assert pb.grad(lambda x: pb.grad(f)(x) @ x)(x).tolist() == [3.0, 3.0]


# Errors of ours that the program's own `try` would swallow.


def scaled(x):
    try:
        factor = x[0].__float__()
    except (TypeError, ValueError):
        factor = 1.0
    return np.sum(x) * factor


def with_a_sort(x):
    try:
        return np.sort_complex(x)[0]
    except Exception:
        return np.sum(x)


def with_suppress(x):
    y = np.sum(x)
    with contextlib.suppress(Exception):
        y = y * x[0].__float__()
    return y


BUFFER = np.zeros(3)


def into_a_buffer(x):
    with contextlib.suppress(RuntimeError):
        BUFFER[0] = x[0]
    return np.sum(x * BUFFER)


@pytest.mark.parametrize(
    ("f", "error", "what"),
    [
        (scaled, TraceError, r"float\(x\) would lose the derivative .*in scaled: x\[0\]\.__float__"),
        (with_a_sort, UnsupportedError, r"np\.sort_complex has no derivative in payback .*in with_a_sort"),
        (with_suppress, TraceError, r"float\(x\) would lose the derivative .*in with_suppress"),
        (into_a_buffer, MutationError, r"a traced value cannot be stored in a plain array .*in into_a_buffer"),
    ],
)
def test_a_swallowed_error_is_raised_in_the_end(f, error, what):
    with pytest.raises(error, match=what):
        pb.grad(f)(np.array([3.0, 1.0, -2.0]))
    (obstacle,) = pb.audit(f, np.array([3.0, 1.0, -2.0]))  # which goes on with the plain value
    assert obstacle.function == f.__name__


def test_what_waits_for_ours_knows_what_it_does():
    def by_name(x):
        try:
            return np.sum(x) * x[0].__float__()
        except PaybackError:
            return np.sum(x)

    def by_shape(x):  # which plain arrays refuse too
        try:
            return np.sum(x @ np.ones((4, 4)))
        except ValueError:
            return np.sum(x)

    for f in (by_name, by_shape):
        assert pb.grad(f)(np.ones(3)).tolist() == [1.0, 1.0, 1.0]


def test_a_transform_inside_a_try_is_its_author_s():
    def f(x):
        try:
            slope = pb.grad(lambda y: y.__float__() * y)(x)
        except TypeError:
            slope = x * x
        return slope

    assert pb.grad(f)(3.0) == 6.0


# What a program asks of the arrays and numbers of other libraries.


@pytest.mark.parametrize("ask", [
    lambda x: x.value if hasattr(x, "value") else x, lambda x: getattr(x, "value", x),
    lambda x: getattr(x, "values", x), lambda x: x.magnitude if hasattr(x, "magnitude") else x,
])  # fmt: skip
def test_an_array_has_no_attribute_value(ask):
    f = lambda x: np.sum(ask(x) ** 2)  # noqa: E731
    assert pb.grad(f)(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert pb.compile(pb.grad(f))(np.array([1.0, 2.0])).tolist() == [2.0, 4.0]
    assert pb.grad(lambda x: ask(x) ** 2)(3.0) == 6.0


# Where the error stands, and what it says.


@pytest.mark.parametrize(
    ("f", "what", "expression"),
    [
        (lambda x: statistics.NormalDist(x[0]), r"float\(x\) would lose", r"statistics\.NormalDist\(x\[0\]\)"),
        (lambda x: fractions.Fraction(x[0]) * x[1], r"float\(x\) would lose", r"fractions\.Fraction\(x\[0\]\)"),
        (lambda x: decimal.Decimal(x.sum()), r"decimal\.Decimal takes bare numbers", r"decimal\.Decimal\(x\.sum\(\)\)"),
        (lambda x: json.loads(json.dumps({"a": x[0] * 1.0})), "json takes bare numbers", r"json\.dumps\("),
        (lambda x: struct.pack("d", x[0])[0], "struct takes bare numbers", r"struct\.pack\("),
        (lambda x: np.ctypeslib.as_ctypes(x)[0], "what looks at an array's memory takes bare numbers", "as_ctypes"),
    ],
)
def test_python_s_library_is_not_the_user_s_line(f, what, expression):
    with pytest.raises(TraceError, match=rf"^{what}.*test_handled\.py:\d+ in <lambda>: .*{expression}"):
        pb.grad(f)(np.array([1.0, 2.0]))


@pytest.mark.parametrize(
    ("f", "cure"),
    [
        (lambda x: heapq.nlargest(2, x)[0], "np.sort"), (lambda x: max(x, key=abs), "np.maximum"),
        (lambda x: min(x[0], x[1], key=abs), "np.minimum"), (lambda x: sorted(x)[0], "np.sort"),
        (lambda x: x[0] if x[0] > 1 else x[1], "np.where or pb.cond"), (lambda x: f"{x[0]:.3f}" and x[1], "outside"),
        (lambda x: x[1] if math.isnan(x[0]) else x[0], "np.isnan"), (lambda x: x[0] * int(x[1]), "np.floor"),
        (lambda x: x[x[0]], "the index as a Python int"),
    ],
)  # fmt: skip
def test_what_to_write_instead_depends_on_the_question(f, cure):
    for transform in (pb.compile, pb.vmap):
        with pytest.raises(TraceError, match=rf"is not known while .*test_handled\.py:\d+ in <lambda>.*{cure}"):
            transform(f)(np.array([[1.0, 2.0], [3.0, 4.0]]) if transform is pb.vmap else np.array([1.0, 2.0]))


def test_a_loop_and_an_assertion_are_told_what_to_write():
    def loop(x):
        while x > 1:
            x = x / 2
        return x

    def checked(x):
        assert x > 0
        return x

    with pytest.raises(TraceError, match=r"pb\.while_loop"):
        pb.compile(loop)(3.0)
    with pytest.raises(TraceError, match="outside of the compiled function"):
        pb.compile(checked)(3.0)


def test_a_thread_of_its_own():
    def work(x, i):
        out = np.zeros(2)
        out[i] = math.sin(x[i])
        return out

    def alone(x):
        with ThreadPoolExecutor(2) as pool:
            return np.sum(sum(pool.map(lambda i: work(x, i), range(2))))

    def with_context(x):
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(contextvars.copy_context().run, work, x, i) for i in range(2)]
            return np.sum(sum(job.result() for job in jobs))

    x = np.array([0.5, 1.5])
    with pytest.raises(PaybackError, match=r"in a thread of its own.*contextvars\.copy_context\(\)\.run"):
        pb.grad(alone)(x)
    np.testing.assert_allclose(pb.grad(with_context)(x), np.cos(x))


@pytest.mark.parametrize("text", ["%.3f", "%5.2e and %s", "%g%%"])
def test_a_text_made_by_percent_loses_nothing(text):
    seen = []

    def f(x):
        seen.append(text % ((x[0], x[1]) if text == "%5.2e and %s" else x[0]))
        return np.sum(x * x) + 7.5 % x[0]

    x = np.array([1.25, 2.0])
    np.testing.assert_array_equal(pb.grad(f)(x), [-3.5, 4])
    f(x)
    assert seen[0] == seen[1]
    with pytest.raises(TraceError, match=r"not known.*text % \("):
        pb.compile(f)(x)
    with pytest.raises(TraceError, match=r"float\(x\) would lose.*: x\[0\]\.__float__\(\)\)"):
        pb.grad(lambda x: 3.0 % x[0].__float__())(x)


def truths():
    def both(x):
        return x if x.ndim == 1 and x.sum() else -x

    def within(x):
        while not x.shape or (x * 2).max():
            x = x / 2
        return x

    return [(both, "x.sum()"), (within, "(x * 2).max()"),
            (lambda x: [k for k in range(2) if x.ndim and np.any(x)], "np.any(x)")]  # fmt: skip


@pytest.mark.parametrize(("f", "expression"), truths())
def test_of_several_conditions_the_one_that_is_asked_is_named(f, expression):
    with pytest.raises(TraceError) as problem:
        pb.compile(f)(np.ones(2))
    assert f": {expression})" in str(problem.value)
