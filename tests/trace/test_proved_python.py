"""Python's own things in what is proved plain: exceptions, attributes, dictionaries, named tuples, `math`, texts."""

import collections
import functools
import math
from math import sin
from typing import NamedTuple

import numpy as np
import pytest
import scipy.special
from scipy.special import gammaln
from tests.trace.test_proved import X, Y, alike, generally, is_proved, writer

import payback as pb
from payback.errors import PaybackError
from payback.trace.proof.proved import proved
from payback.trace.proof.pure import Known


class Model:
    scale = 2.0

    def __init__(self):
        self.calls, self.data, self.z = 0, X, None

    def forward(self, w):
        self.z = np.tanh(w * self.data)
        return self.z

    def loss(self, w):
        self.calls += 1
        return np.sum(self.forward(w) * self.z) * self.scale

    def counted(self, w):
        self.calls += 1
        return np.sum(w * w)

    def writes_into_what_it_keeps(self, w):
        self.row = X
        y = SAME.row
        y += 1.0
        return np.sum(w)


class Options:
    rate, rows = 0.5, {"a": X}

    @classmethod
    def of(cls, w):
        return cls.rate * np.sum(w * cls.rows["a"])

    @staticmethod
    def squared(w):
        return w * w

    def both(self, w):
        return self.of(w) + Options.of(self.squared(w)) * Options.rate + np.sum(Options.squared(w))

    @classmethod
    def writes(cls, w):
        y = cls.rows["a"]
        y += 1.0
        return np.sum(w)

    def __call__(self, w):
        return w


class Watched(type):
    def __getattribute__(cls, name):
        X.fill(1.0)
        return 1.0


class State(NamedTuple):
    place: object
    speed: object = 1.0


class Told:
    def __str__(self):
        X.fill(1.0)
        return ""

    def __enter__(self):
        X.fill(1.0)

    def __exit__(self, *_):
        X.fill(2.0)

    def __setattr__(self, name, value):
        X.fill(3.0)

    def write(self, text):
        X.fill(4.0)


class Setting:
    def __get__(self, thing, owner):
        return 1.0

    def __set__(self, thing, value):
        X.fill(5.0)


class Storing:
    value = Setting()

    @property
    def shown(self):
        return 1.0

    @shown.setter
    def shown(self, value):
        X.fill(6.0)


class Reads(collections.namedtuple("Reads", "a b")):
    def __getitem__(self, i):
        X.fill(7.0)
        return 1.0


class Shows(NamedTuple):
    a: object

    def __iter__(self):
        X.fill(8.0)
        return iter(())


MODEL = SAME = Model()
TOLD, STORING = Told(), Storing()
STORING.__dict__["shown"] = STORING.__dict__["value"] = 1.0
CALLED = np.frompyfunc(lambda x: X.fill(9.0) or x, 1, 1)


def options(w, act=np.tanh, **others):
    return act(w) * others.get("scale", 1.0) + others["shift"] + sum(np.sum(v) for v in others.values())


def falls_back(w):
    try:
        factor = np.linalg.cholesky(np.diag(w))
    except (np.linalg.LinAlgError, ValueError) as problem:
        if len(w) > 9:
            raise TypeError(f"{problem} for {w}") from problem
        return np.sum(w) * 3.0
    else:
        return np.sum(factor)
    finally:
        w = None


def silently(w):
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = w / X
        if w[0] > 100.0:
            return ratio[0]
    return np.sum(np.where(X > 0, ratio, w))


def fills(w):
    values, rows = {"a": w}, [w]
    values["b"] = np.sin(values["a"])
    values[f"c{len(w)}"] = w * 2.0
    rows += [values["b"]]
    rows.extend([w, w * X])
    del w
    total = sum(np.sum(row) for row in rows + rows[:1] * 2)
    for name, value in values.items():
        total = total + np.sum(value) * (2.0 if name == "a" else 1.0) * len(values)
    return total + np.sum(values.get("c", 1.0))


def moves(w):
    state = State(w)
    for _ in range(2):
        state = State(place=state.place + 0.1 * state.speed, speed=state.speed - 0.1 * state[0])
    place, speed = state
    return np.sum(place) + np.sum(speed)


def asks(w, verbose=False):
    if verbose:
        print("at", w, f"{np.sum(w):.3f}", "of {}".format(len(w)), sep=" ")  # noqa: UP032
    if np.any(~(w > -9.0)) or not all(x > -9.0 for x in w) or w.shape != (3,) or w.dtype != np.float64:
        raise ValueError("bad values: %s" % w)  # noqa: UP031
    largest, order = max(w[0], w[1], 0.0), sorted([2, 0, 1])
    total = sum(map(lambda i: w[i] * i, order))  # noqa: C417
    return largest * float(X[0]) + total + round(X[1], 1) * min(w)


def multiplied(w):
    return np.sum(functools.reduce(lambda a, b: a * b, [w, w, X], 1.0)) / math.sqrt(2 * math.pi) * math.log(len(w))


PLAIN = [
    falls_back, silently, fills, moves, asks, multiplied,
    lambda w: np.sum(options(w, scale=2.0, shift=X)),
    lambda w: np.sum(gammaln(np.exp(w)) + scipy.special.erf(w) * w),
    lambda w: np.sum(np.select([w > 0, w > 1], [w, 2 * w], 0.0)) + np.sum(np.column_stack([w, X]) ** 2),
    lambda w: math.sin(w[0]) * math.hypot(w[1], X[0]),
    MODEL.counted, Options().both, Options.of,
]  # fmt: skip


@pytest.mark.parametrize("f", PLAIN)
@pytest.mark.parametrize("w", [X, np.abs(X)])
def test_what_only_computes_is_proved_and_gives_the_same_bits(f, w):
    assert [proved(f, (w,), {}, (0,)) for _ in range(3)][-1].plain
    assert alike(pb.value_and_grad(f)(w), generally(f, w))


def test_numbers_of_python_and_named_tuples_are_arguments():
    f = lambda s: np.sum(s.place * s.speed)  # noqa: E731
    assert is_proved(f, State(X, 2.0))
    assert pb.grad(f)(State(X, 2.0)) == State(pytest.approx(np.full(3, 2.0)), X.sum())
    g = lambda x: math.exp(-x) * math.cos(x) / math.sqrt(x)  # noqa: E731
    assert proved(g, (1.5,), {}, (0,)) is None
    for _ in range(3):
        assert pb.value_and_grad(g)(1.5) == generally(g, 1.5)
    assert proved(g, (1.5,), {}, (0,)) == Known(plain=True, shown=True)
    assert math.exp.__name__ == "exp"
    assert type(math) is type(np)


def test_what_keeps_traced_values_keeps_snapshots_and_the_model_is_what_it_would_be():
    model = Model()
    for _ in range(3):
        found = pb.value_and_grad(model.loss)(X)
    assert proved(model.loss, (X,), {}, (0,)) == Known(plain=False)
    assert alike(found, generally(model.loss, X))
    assert model.calls == 4
    model.data = X.view(type("Data", (np.ndarray,), {}))
    assert proved(model.loss, (X,), {}, (0,)) is None


def raises_late(w):
    y = 1.0
    try:
        y = X
        np.linalg.inv(w)
    except np.linalg.LinAlgError:
        y += 1.0
    return np.sum(w * y)


def finally_writes(w):
    y = X
    try:
        return np.sum(w)
    finally:
        y += 1.0


def holds(w):
    with TOLD:
        return np.sum(w)


def calls_back(w):
    with np.errstate(all="call", call=CALLED):
        return np.sum(w)


def writes_into_values(w):
    values = {}
    values["a"] = 1.0
    same = values
    same["b"] = X
    for value in values.values():
        value += 1.0
    return np.sum(w)


def writes_under_any_key(w):
    values = {"a": 1.0}
    for name, value in (("b", 2.0), ("a", X)):
        values[name] = value
    y = values["a"]
    y += 1.0
    return np.sum(w)


def writes_into_what_it_gets(w):
    values = {}
    values["a"] = X
    y = values.get("a", 1.0)
    y += 1.0
    return np.sum(w)


def writes_into_what_is_added(w):
    rows = [1.0]
    same = rows
    same += [X]
    y = rows[-1]
    y += 1.0
    return np.sum(w)


def writes_into_what_extends(w):
    rows = [1.0]
    rows.extend((X,))
    y = ([2.0] + rows * 2)[-1]
    y += 1.0
    return np.sum(w)


def writes_into_the_largest(w):
    y = max(X[:1], X[1:2])
    y += 1.0
    return np.sum(w)


def writes_into_the_first(w):
    y = sorted([X[:1], X[1:2]])[0]
    y += 1.0
    return np.sum(w)


def writes_into_an_option(w, **others):
    y = others["y"]
    y += 1.0
    return np.sum(w)


def takes_one_away(w, **others):
    others.pop("y")
    return writes_into_a_default(w, **others)


def writes_into_a_default(w, y=X):
    y += 1.0
    return np.sum(w)


def writes_into_a_field(w):
    y = State(1.0, X)._replace(speed=X).speed if w[0] > 9.0 else State(1.0, X).speed
    y += 1.0
    return np.sum(w)


def bares_what_is_stored(w):
    out = np.zeros(3)
    out[0] = w[0]
    return np.sum(w) * float(out[0])


def lengthens_a_list_outside(w, rows=[1.0]):  # noqa: B006
    rows += [1.0]
    return np.sum(w)


def odd():
    """Hidden from pytest, which goes through what stands in a module."""
    reads, shows, watched = Reads(X, Y), Shows(X), Watched("watched", (), {"a": 1.0})
    return {
        "a tuple that reads in its own way": lambda w: np.sum(w) * reads[0],
        "a tuple that is gone through in its own way": lambda w: np.sum(w) + sum(shows),
        "a class of which its class is asked": lambda w: np.sum(w) * watched.a,
        "a class's descriptor": lambda w: np.sum(w) * Storing.value,
        "a class that is called": lambda w: np.sum(w) * Options(w),
        "a method of a class that writes": lambda w: Options.writes(w) + np.sum(w),
        "a method of an object's class that writes": lambda w: Options().writes(w) + np.sum(w),
    }


NOT_PLAIN = odd() | {
    "a map that writes": lambda w: sum(np.sum(row) for row in map(writer, (X, Y), (Y, X))) + np.sum(w),
    "a product that writes": lambda w: np.sum(functools.reduce(lambda a, b: writer(a, b), [X, Y])) + np.sum(w),
    "an option that is written into": lambda w: writes_into_an_option(w, y=X),
    "an option less": lambda w: takes_one_away(w, y=1.0),
    "a class's own way of storing": lambda w: setattr(TOLD, "a", 1.0) or np.sum(w),
    "a text of an object": lambda w: np.sum(w) * len(f"{TOLD}"),
    "a text of an object, by its sign": lambda w: np.sum(w) * len("%s" % TOLD),  # noqa: UP031
    "a text of an object, by its method": lambda w: np.sum(w) * len("{}".format(TOLD)),  # noqa: UP032
    "a text of an object, by its class": lambda w: np.sum(w) * len(str(TOLD)),
    "a number of a text": lambda w: np.sum(w) * float("%g" % w[0]),  # noqa: UP031
    "what is printed": lambda w: print(TOLD) or np.sum(w),
    "where it is printed": lambda w: print(1.0, file=TOLD) or np.sum(w),
    "a float of a traced value": lambda w: np.sum(w) * float(w[0]),
    "a name of `math`": lambda w: np.sum(w) * sin(w[0]),
    "a ufunc of Python's": lambda w: np.sum(w) * CALLED(X)[0],
    "out of a ufunc of SciPy's": lambda w: np.sum(w) * np.sum(gammaln(X, Y)),
    "a tuple's method": lambda w: np.sum(w) * State(1.0, X).count(1.0),
    "a cell of another's": lambda w: np.sum(w) * MODEL.writes_into_what_it_keeps(w),
    "nan_to_num in place": lambda w: np.sum(w * np.nan_to_num(X, copy=False)),
}
NOT_PLAIN |= {f.__name__: f for f in (raises_late, finally_writes, holds, calls_back, writes_into_values,
              writes_under_any_key, writes_into_what_it_gets, writes_into_what_is_added, writes_into_what_extends,
              writes_into_the_largest, writes_into_the_first, writes_into_a_default, writes_into_a_field,
              bares_what_is_stored, lengthens_a_list_outside)}  # fmt: skip


def stores_by_its_way(w):
    TOLD.a = 1.0
    return np.sum(w)


def stores_by_a_property(w):
    STORING.shown = 2.0
    return np.sum(w)


def stores_by_a_descriptor(w):
    STORING.value = 2.0
    return np.sum(w)


def stores_into_a_class(w):
    Model.scale = 2.0
    return np.sum(w)


def stores_into_a_module(w):
    scipy.special.other = 2.0
    return np.sum(w)


NOT_PLAIN |= {f.__name__: f for f in (stores_by_its_way, stores_by_a_property, stores_by_a_descriptor,
              stores_into_a_class, stores_into_a_module)}  # fmt: skip


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_might_write_or_needs_the_shim_is_not_proved(name):
    assert not is_proved(NOT_PLAIN[name], X)


def test_a_class_that_comes_to_store_in_its_own_way_is_seen(monkeypatch):
    assert is_proved(MODEL.counted, X)
    monkeypatch.setattr(Model, "__setattr__", lambda self, name, value: X.fill(1.0), raising=False)
    assert not is_proved(MODEL.counted, X)
    monkeypatch.undo()
    assert is_proved(MODEL.counted, X)
    monkeypatch.setattr(Model, "calls", Setting(), raising=False)
    assert not is_proved(MODEL.counted, X)


def test_attributes_of_classes_are_looked_at_in_every_call(monkeypatch):
    f = Options().both
    assert is_proved(f, X)
    monkeypatch.setattr(Options, "rate", np.array([1.0]).view(type("Data", (np.ndarray,), {})))
    assert not is_proved(f, X)
    monkeypatch.setattr(Options, "rate", 0.5)
    assert is_proved(f, X)
    monkeypatch.setattr(Options, "of", classmethod(lambda cls, w: X.fill(1.0) or np.sum(w)))
    assert not is_proved(f, X)


def test_functions_of_math_that_are_replaced_are_seen(monkeypatch):
    f = lambda w: np.sum(w) * math.sqrt(2.0)  # noqa: E731
    assert is_proved(f, X)
    monkeypatch.setattr(math, "sqrt", lambda x: X.fill(1.0) or x)
    assert not is_proved(f, X)


def test_errors_that_a_try_swallows_are_raised_all_the_same():
    def swallows(w):
        try:
            return np.sum(w @ np.ones((2, 2)))
        except ValueError:
            return np.sum(w)

    def loses(w):
        try:
            return np.sum(np.modf(w)[0])
        except TypeError:
            return np.sum(w)

    for f in (swallows, loses):
        told = []
        for way in (generally, *[lambda f, w: pb.value_and_grad(f)(w)] * 3):
            try:
                told.append(way(f, X))
            except PaybackError as problem:
                told.append(str(problem))
        assert all(a == told[0] if isinstance(a, str) else alike(a, told[0]) for a in told)
