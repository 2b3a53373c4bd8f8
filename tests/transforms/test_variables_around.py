"""compile: variables around a function are inputs of its graph, unless it looks at their numbers."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError
from transforms.modes import counted

X = np.array([0.5, 1.0, 2.0])


def test_variables_around_it():
    """A variable's present value, and its gradient."""
    v = pb.variable(2.0)
    compiled = pb.compile(lambda x: np.sum(x * v * v))
    for _ in range(2):
        compiled(X).backward()
        assert v.grad == pytest.approx(2 * v.value * X.sum())
        v.value -= 0.5


def test_a_variable_s_new_value_is_no_new_graph():
    """Wherever a name leads to it; its gradient follows, and so does that of what was computed from it inside."""
    v, w = pb.variable(2.0), pb.variable(np.array([1.0, 2.0, 4.0]), name="w")
    held = {"both": [v, SimpleNamespace(w=w)]}
    f, traces = counted(lambda x: np.sum(np.sin(x * (held["both"][1].w * w)) * v))
    compiled = pb.compile(f)
    for _ in range(4):
        compiled(X).backward()
        assert v.grad == pytest.approx(np.sin(X * w.value**2).sum(), rel=1e-14)
        np.testing.assert_allclose(w.grad, v.value * np.cos(X * w.value**2) * 2 * X * w.value, rtol=1e-12)
        assert compiled(X).value == pytest.approx(v.value * np.sin(X * w.value**2).sum(), rel=1e-14)
        v.value, w.value = v.value - 0.3, w.value * 1.1
    np.testing.assert_allclose(pb.grad(compiled)(X).value, v.value * np.cos(X * w.value**2) * w.value**2, rtol=1e-12)
    assert len(traces) == 1
    assert compiled.reasons == ["first call"]


def test_another_variable_under_a_name_is_a_new_graph():
    v = pb.variable(2.0)
    f, traces = counted(lambda x: x * v)
    compiled = pb.compile(f)
    assert np.array_equal(compiled(X).value, X * 2.0)
    v = pb.variable(3.0)
    assert np.array_equal(compiled(X).value, X * 3.0)
    v = pb.variable(X)
    assert np.array_equal(compiled(X).value, X * X)
    v = 4.0
    assert np.array_equal(compiled(X), X * 4.0)
    assert len(traces) == 4


def test_a_variable_that_becomes_of_another_kind_is_a_new_graph():
    v = pb.variable(2.0)
    compiled = pb.compile(lambda x: x * v)
    x = X.astype(np.float32)
    assert compiled(x).dtype == np.float32
    v.node = pb.variable(np.float64(2.0)).node
    assert compiled(x).dtype == (x * np.float64(2.0)).dtype
    assert compiled.reasons[1:] == ["a variable around it is of another kind"]


LOOKING = {
    "a branch": lambda v: lambda x: x * v if v > 1.0 else x - v,
    "a branch alone": lambda v: lambda x: x * 2.0 if v > 1.0 else x - 3.0,
    "its value": lambda v: lambda x: x * v.value,
    "its gradient": lambda v: lambda x: x * (v.grad if v.grad is not None else 3.0),
    "a count": lambda v: lambda x: sum([x] * int(v + 1.5)) + v,
    "an index": lambda v: lambda x: x[[int(v)]] * v,
    "a mask": lambda v: lambda x: x[v.value < X] * v,
}


@pytest.mark.parametrize("name", LOOKING)
def test_what_looks_at_a_variable_s_number_is_never_stale(name):
    v = pb.variable(2.0)
    f = LOOKING[name](v)
    compiled = pb.compile(f)
    for number in (2.0, 0.5, 1.0, 2.0):
        v.value = number
        expected, found = f(X), compiled(X)
        np.testing.assert_array_equal(np.shape(found), np.shape(expected))
        np.testing.assert_allclose(*(getattr(x, "value", x) for x in (found, expected)), rtol=1e-15)
        if hasattr(expected, "node"):
            gradients = []
            for result in (expected, found):
                np.sum(result).backward()
                gradients.append(v.grad)
            assert gradients[0] == pytest.approx(gradients[1], rel=1e-14)


def test_a_variable_is_itself_elsewhere_while_a_function_that_uses_it_is_traced():
    v, seen = pb.variable(2.0), []

    def elsewhere():
        seen.append((v.value, (v * v).value))

    def f(x):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        return x * v

    assert np.array_equal(pb.compile(f)(X).value, X * 2.0)
    assert seen == [(2.0, 4.0)]
    v.value *= 2
    v += 1.0
    assert v.value == 5.0


def test_variables_through_several_compiled_functions():
    v = pb.variable(0.7)
    inner = pb.compile(lambda x: np.sin(x * v))
    outer = pb.compile(lambda x: np.sum(inner(x) * v))
    slope = pb.compile(lambda x: pb.grad(lambda x: np.sum(inner(x)) * v)(x))
    for _ in range(2):
        outer(X).backward()
        a = v.value
        assert v.grad == pytest.approx(np.sum(np.sin(X * a) + a * X * np.cos(X * a)), rel=1e-13)
        np.testing.assert_allclose(slope(X).value, a * a * np.cos(X * a), rtol=1e-13)
        v.value += 0.4
    assert outer.reasons == inner.reasons == slope.reasons == ["first call"]


def of_a_variable(x):
    w = pb.variable(X)
    np.sum(w**2 * x).backward()
    return np.sum(w.grad)


@pytest.mark.parametrize("transform", [pb.grad, pb.compile, pb.vmap, lambda f: lambda x: pb.jvp(f, (x,), (x,))])
def test_gradients_left_on_variables_are_plain_numbers(transform):
    """So they are refused where they depend on what is differentiated by, and are constants where they do not."""
    assert pb.grad(lambda x: x * of_a_variable(2.0))(1.0) == 4 * X.sum()
    with pytest.raises(DifferentiationError, match=r"backward\(\) of a result that another derivative"):
        transform(lambda x: np.sum(of_a_variable(x[0])))(np.ones((2, 3)))
