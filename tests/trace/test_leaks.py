"""Traced values that outlive their function, and Python loops that unroll too far in a graph without numbers."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError, UnsupportedError
from payback.ir import loops
from payback.trace.abstract import trace

X = np.array([1.0, 2.0, 3.0])


class Model:
    kept = None

    def cost(self, x):
        if self.kept is None:
            self.kept = x * 2
        return np.sum(x * self.kept)


@pytest.mark.parametrize(
    "transform", [lambda f: pb.grad(f)(X), lambda f: pb.value_and_grad(f)(X)[1], lambda f: pb.jacobian(f)(X)]
)
def test_a_value_kept_from_an_earlier_call(transform):
    model = Model()
    np.testing.assert_array_equal(transform(model.cost), 4 * X)
    np.testing.assert_array_equal(model.kept.value, [2.0, 4.0, 6.0])
    line = Model.cost.__code__.co_firstlineno + 3
    with pytest.raises(
        TraceError, match=rf"depends on x of another call .*test_leaks\.py:{line} in cost: x \* self\.kept"
    ):
        transform(model.cost)


def test_to_differentiate_by_it():
    model = Model()
    pb.grad(model.cost)(X)
    with pytest.raises(TraceError, match=r"depends on x of another call"):
        pb.grad(lambda y: np.sum(y * y))(model.kept)


def test_its_number_can_be_used_and_aux_hands_it_out():
    model = Model()
    pb.grad(model.cost)(X)
    assert str(model.kept) == "[2. 4. 6.]"
    np.testing.assert_array_equal(pb.grad(lambda y: np.sum(y * model.kept.value))(X), [2.0, 4.0, 6.0])
    _, kept = pb.grad(lambda x: (np.sum(x * x), x * 2), has_aux=True)(X)
    assert type(kept) is np.ndarray
    with pytest.raises(TraceError, match="a traced value cannot become a plain array"):
        np.asarray(model.kept)


def test_what_is_no_leak():
    """Values of an enclosing function, of a variable, and of a function in another thread that still runs."""
    assert pb.grad(lambda x: x * pb.grad(lambda y: y * x * x)(2.0))(3.0) == 27.0
    w = pb.variable(3.0)
    u = w * w
    found = pb.grad(lambda x: x * u)(2.0)
    found.backward()
    assert (found.value, w.grad) == (9.0, 6.0)
    nested = pb.grad(lambda x: x * pb.grad(lambda y: y * y * x * u)(2.0))(3.0)
    assert nested.value == 2 * 3.0 * 4.0 * 9.0
    _, pull = pb.vjp(lambda x: x * x, 3.0)
    assert (pull(1.0), pull(2.0)) == ((6.0,), (12.0,))

    def outer(x):
        inner = []
        thread = threading.Thread(target=lambda: inner.append(pb.grad(lambda y: y * y * x)(2.0)))
        thread.start()
        thread.join()
        return inner[0] * x

    assert pb.grad(outer)(3.0) == 24.0


def test_in_a_graph_without_numbers():
    kept = []
    trace(lambda x: kept.append(x * 2) or x, X)
    with pytest.raises(
        TraceError, match=r"depends on .* of another call .*test_leaks\.py:\d+ in <lambda>: x \* kept\[0\]"
    ):
        trace(lambda x: x * kept[0], X)


def rounds(x, n):
    for _ in range(n):
        x = x * 0.5 + x
    return x


def by_helper(x, n):
    k = 0
    while k < n:
        x = helper(x)
        k += 1
    return x


def helper(x):
    return np.sin(x)


def without_loop(x, n):
    return x if n == 0 else without_loop(x * 0.5, n - 1)


def test_a_loop_that_unrolls_too_far(monkeypatch):
    """The catalogue of errors has one that goes beyond the limit that holds for users."""
    assert loops.LIMIT == 50_000
    monkeypatch.setattr(loops, "LIMIT", 1000)
    with pytest.raises(TraceError) as raised:
        trace(lambda x: rounds(x, 1200), X)
    file, line = __file__, rounds.__code__.co_firstlineno
    assert str(raised.value) == (
        f"the loop 'for _ in range(n):' ({file}:{line + 1}) makes more than 1,000 nodes of 'x * 0.5' "
        f"({file}:{line + 2} in rounds: x * 0.5): a Python loop is repeated in the graph for each of its rounds. "
        "Write it with pb.scan, which is one node of any length."
    )


def test_the_loop_is_named_where_it_stands(monkeypatch):
    monkeypatch.setattr(loops, "LIMIT", 100)
    with pytest.raises(TraceError, match=r"the loop 'while k < n:' \(.*\) makes more than 100 nodes of 'np\.sin\(x\)'"):
        trace(lambda x: by_helper(x, 200), X)
    with pytest.raises(TraceError, match=r"one line makes more than 100 nodes of 'x \* 0\.5' .* in without_loop"):
        trace(lambda x: without_loop(x, 200), X)
    trace(lambda x: rounds(x, 99), X)
    assert loops.counts.get() is None


def test_loops_with_numbers_may_be_of_any_length(monkeypatch):
    monkeypatch.setattr(loops, "LIMIT", 100)
    assert pb.grad(lambda x: rounds(x, 1000))(1e-300) == pytest.approx(1.5**1000)


def test_compiled_functions(monkeypatch):
    monkeypatch.setattr(loops, "LIMIT", 100)
    kept = []
    compiled = pb.compile(lambda x: kept.append(x * 2) or x.sum())
    assert compiled(X) == 6.0
    with pytest.raises(
        TraceError, match=r"depends on an argument of another call .*test_leaks\.py:\d+ in <lambda>: x \* kept\[0\]"
    ):
        pb.compile(lambda x: x * kept[0])(X)
    with pytest.raises(TraceError, match=r"depends on an argument of another call"):
        pb.grad(lambda x: np.sum(x * kept[0]))(X)
    with pytest.raises(TraceError, match="the loop 'for _ in range"):
        pb.compile(lambda x: rounds(x, 200))(X)
    assert pb.grad(lambda x: pb.compile(lambda y: np.sum(x * y))(x))(X).tolist() == [2.0, 4.0, 6.0]


@pytest.mark.filterwarnings("ignore:Setting the shape on a NumPy array:DeprecationWarning")  # NumPy 2.5
def test_the_shape_of_a_traced_array_is_not_set():
    def of_value(x):
        y = x * 2
        y.shape = (3, 1)
        return y.sum()

    def of_array(x):
        y = np.zeros(3)
        y.shape = (1, 3)  # nothing traced is in it yet
        y[0] = x
        y.shape = (3, 1)
        return y.sum()

    for f in (of_value, of_array):
        with pytest.raises(
            UnsupportedError, match=r"the shape of a traced array cannot be set .* y\.reshape\(\(3, 1\)\)"
        ):
            pb.grad(f)(X)
