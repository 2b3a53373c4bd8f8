"""compile: a function that changes what it reads from around it computes at each call what it does in plain Python."""

from __future__ import annotations

import functools
import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError, UnsupportedError
from transforms.modes import counted

X = np.array([0.5, 1.0, 2.0])
CALLS = 0


def _list():
    count = [0]

    def f(x):
        count[0] += 1
        return x * count[0]

    return f


def _nonlocal():
    turned = False

    def f(x):
        nonlocal turned
        turned = not turned
        return x if turned else -x

    return f


def _global():
    globals()["CALLS"] = 0

    def f(x):
        global CALLS
        CALLS += 1
        return x + CALLS

    return f


def _default():
    def f(x, total=np.zeros(3)):  # noqa: B008 (on purpose)
        total += 1.0
        return x * total

    return f


def _array(first):
    table = np.arange(3.0)

    def f(x):
        y = x * table if first else 0.0
        table[:] = table[::-1] + 1.0
        return y + x @ table

    return f


def _object():
    model = SimpleNamespace(rate=1.0, seen=[])

    def f(x):
        model.rate *= 0.5
        model.seen.append(model.rate)
        return x * sum(model.seen)

    return f


def _result():
    count = [0]

    def f(x):
        count[0] += 1
        return {"y": x * 2.0, "calls": count[0]}

    return f


def _gradient(f):
    return pb.grad(lambda x: np.sum(f(x) * x))


def _generator(make):
    def state():
        np.random.seed(3)
        random.seed(3)
        draw = make()
        return lambda x: x + draw()

    return state


def _scalars():
    rates = [0.5]

    def f(x):
        total = 0.0
        for k in range(200):
            total = total * rates[-1] + np.sin(x[k % 3])
        rates.append(rates[-1] * 0.9)
        return total

    return f


def _drawn():
    generator = np.random.default_rng(5)
    return lambda: generator.standard_normal(3)


def _coin():
    """Two draws alike say nothing about the third."""
    generator = np.random.default_rng(5)  # 1, 1, 0, 1
    return lambda: generator.integers(2)


def _taken():
    rates = [1.0, 2.0, 3.0, 4.0]
    return rates.pop


def _batches():
    def rows():
        while True:
            yield generator.standard_normal(3)

    generator, made = np.random.default_rng(5), rows()
    return lambda: next(made)


def _thirds(count):
    """Two traces alike say nothing about the third."""

    def state():
        here = count()

        def f(x):
            here.n += 1
            return x * (here.n // 3)

        return f

    return state


def _attribute_of_itself():
    def f(x):
        f.n = getattr(f, "n", 0) + 1
        return x * (f.n // 3)

    return f


def _cleared():
    made = []

    @functools.cache
    def rate():
        made.append(1.0)
        return sum(made)

    def f(x):
        return x * rate()

    f.before = rate.cache_clear
    return f


class _Steps:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


STATES = {
    "a list": _list, "a name of the closure": _nonlocal, "a global": _global, "a default": _default,
    "an array": lambda: _array(False), "an array, read before": lambda: _array(True), "an object": _object,
    "in the result": _result, "in a gradient": lambda: _gradient(_list()),
    "a generator": _generator(_drawn), "NumPy's generator": _generator(lambda: lambda: np.random.rand(3)),
    "a method of a generator": _generator(lambda: np.random.default_rng(5).standard_normal),
    "a method of a list": _generator(_taken), "a coin": _generator(_coin), "batches": _generator(_batches),
    "an iterator": _generator(lambda: iter((1.0, 2.0, 3.0, 4.0)).__next__),
    "Python's generator": _generator(lambda: random.random), "of many scalars": _scalars,
    "a third of a count": _thirds(lambda: SimpleNamespace(n=0)), "a third of a slot": _thirds(_Steps),
    "an attribute of the function": _attribute_of_itself, "a cache": _cleared,
    "a cycle": _generator(lambda: itertools.cycle([1.0, 1.0, 2.0]).__next__),
    "a cycle that an object holds": _generator(
        lambda: functools.partial(lambda s: next(s.items), SimpleNamespace(items=itertools.cycle([1.0, 1.0, 2.0])))
    ),
}  # fmt: skip


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", STATES)
def test_state_goes_on(name, native):
    f, wanted = STATES[name](), []
    for k in (1.0, 2.0, 2.0, 3.0):
        getattr(f, "before", int)()
        wanted.append(f(X * k))
    f = STATES[name]()
    compiled = pb.compile(f, native=native)
    for k, y in zip((1.0, 2.0, 2.0, 3.0), wanted, strict=True):
        getattr(f, "before", int)()
        found = compiled(X * k)
        if isinstance(y, dict):
            assert found["calls"] == y["calls"]
            found, y = found["y"], y["y"]
        np.testing.assert_allclose(found, y, 1e-14)


def test_state_of_an_argument():
    """An object that is an argument decides which graph is run by what is in it."""

    class Model(SimpleNamespace):
        __hash__ = object.__hash__

    def f(x, model):
        model.count[0] += 1
        return x * model.rate * model.count[0]

    model = Model(rate=2.0, count=[0])
    compiled = pb.compile(f)
    for calls, rate in ((1, 2.0), (2, 2.0), (3, 5.0), (4, 5.0)):
        model.rate = rate
        np.testing.assert_array_equal(compiled(X, model), X * rate * calls)
    settled, traces = counted(lambda x, model: x * model.rate)
    compiled = pb.compile(settled)
    for rate in (1.0, 1.0, 1.0, 2.0, 2.0, 2.0):
        model.rate = rate
        np.testing.assert_array_equal(compiled(X, model), X * rate)
    assert len(traces) == 2


def test_what_changes_nothing_is_traced_twice():
    """A count of calls, what is kept of them, and what is made once."""
    model = SimpleNamespace(calls=0, last=None, table=None)

    def f(x):
        model.calls += 1
        model.last = x * 2.0
        model.table = np.arange(3.0) if model.table is None else model.table
        return np.sin(model.last) * model.table

    f, traces = counted(f)
    compiled = pb.compile(f)
    for x in (X, X[:1], X, X[:1], X, X, X[:1]):
        np.testing.assert_allclose(compiled(x), np.sin(2 * x) * np.arange(3.0), 1e-14)
    assert len(traces) == 3
    assert "it changes what it reads around it" in compiled.reasons


def _weights():
    model = SimpleNamespace(w=X.copy())

    def step(x):
        model.w = model.w - 0.1 * x
        return model.w

    return step


def _history():
    history = []

    def f(x):
        history.append(x)
        return sum(history)

    return f


@pytest.mark.parametrize("make", [_weights, _history])
def test_traced_values_that_are_kept_for_the_next_call(make):
    compiled, f = pb.compile(make()), make()
    np.testing.assert_array_equal(compiled(X), f(X))
    for _ in range(2):
        with pytest.raises(TraceError, match="of another call"):
            compiled(X)


def test_arguments_are_no_results():
    def f(x, out):
        out[:] = x * 2.0

    with pytest.raises(UnsupportedError, match=r"writes into \[0\]\[1\] and returns nothing.*Return what it writes"):
        pb.compile(f)(X, np.zeros(3))


def _counts():
    here = SimpleNamespace(n=0)

    def draw():
        here.n += 1
        return here.n // 3

    return draw


def _written():
    hits = np.zeros(2)

    def draw():
        hits[0] += 1.0
        return hits[0]

    return draw


UNSTEADY = {
    "changes what it reads around it": (_counts, _written),
    "reads an iterator": (lambda: functools.partial(next, itertools.count(1.0)), lambda: iter([1.0] * 9).__next__),
}


@pytest.mark.parametrize(("why", "make"), [(why, make) for why, makes in UNSTEADY.items() for make in makes])
def test_what_is_traced_once_for_many_runs_may_not_go_on(why, make):
    """As with random numbers: all samples and steps would see the same count, or the same item."""
    for what, run in {
        "batched": lambda draw: pb.vmap(lambda x: x + draw())(X),
        "a step of scan": lambda draw: pb.scan(lambda c, x: (c + x * draw(), c), 0.0, X)[1],
        "the test of while_loop": lambda draw: pb.while_loop(lambda c: c < 2.0 + draw(), lambda c: c + 1.0, 0.0),
    }.items():
        for around in (lambda f: f(), lambda f: pb.compile(lambda x: f())(1.0)):
            with pytest.raises(UnsupportedError, match=f"{what} {why}.*traced once"):
                around(lambda run=run: run(make()))


def test_what_is_traced_once_for_many_runs_may_count_and_keep():
    """What it never reads, or has made once for all."""
    here = SimpleNamespace(calls=0, seen=[], table=None, last=None, rows=iter([]))

    def f(x):
        here.calls += 1
        here.calls = here.calls + 1
        here.seen.append(x.shape)
        here.table = np.arange(3.0) if here.table is None else here.table
        here.last = {"x": x * 2.0, "k": [1]}
        return here.last["x"] * here.table

    np.testing.assert_array_equal(pb.vmap(f)(X), 2.0 * X[:, None] * np.arange(3.0))
    np.testing.assert_array_equal(pb.scan(lambda c, x: (c, f(x)), 0.0, X)[1], 2.0 * X[:, None] * np.arange(3.0))


@pytest.mark.parametrize("draw", [np.random.rand, np.random.default_rng(5).random, random.random])
def test_what_is_traced_once_for_many_runs_may_not_draw(draw):
    """All samples and steps would see the same number; one that is seeded there is the same in plain Python too."""
    bodies = {
        "batched": lambda draw: pb.vmap(lambda x: x + draw())(X),
        "a step of scan": lambda draw: pb.scan(lambda c, x: (c + x * draw(), c), 0.0, X)[1],
        "a step of while_loop": lambda draw: pb.while_loop(lambda c: c < 2.0, lambda c: c + 1.0 + draw(), 0.0),
    }
    for what, run in bodies.items():
        for around in (lambda f: f(), lambda f: pb.compile(lambda x: f())(1.0)):
            with pytest.raises(UnsupportedError, match=f"{what} draws random numbers.*traced once"):
                around(lambda run=run: run(draw))
        first = draw()
        assert np.isfinite(run(lambda first=first: first + np.random.default_rng(3).random())).all()
