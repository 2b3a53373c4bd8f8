"""compile: what a function reads from around it is never stale, and nothing is traced again without a reason."""

from __future__ import annotations

import argparse
import configparser
import ctypes
import dataclasses
import functools
import logging
import os
import sys
import threading
import unittest.mock
import weakref
from array import array as typed_array
from collections import ChainMap, OrderedDict, deque
from contextvars import ContextVar
from os import getenv
from types import MappingProxyType, ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy.stats
from numpy import get_printoptions
from scipy.interpolate import interp1d

import payback as pb
from payback.trace.tree import tree_map
from payback.transforms.surroundings import Around
from transforms.modes import assert_close, counted

X = np.array([0.5, 1.0, 2.0])
SCALE = np.array([1.0, 2.0, 3.0])
NUMBER = 2.0
logging.getLogger("payback_test")
LOG = logging.getLogger("payback_test.below")
SETTINGS = {"rate": 0.5, "weights": [np.ones(3)]}


def helper(x):
    return x * NUMBER + np.sum(SCALE)


class Model:
    rate = 2.0

    def __init__(self):
        self.w = np.ones(3)
        self.inner = SimpleNamespace(b=1.0)

    def __call__(self, x):
        return self.w * x * self.inner.b * self.rate

    def method(self, x):
        return self(x) + self.w.sum()


@dataclasses.dataclass
class Options:
    power: float
    array: np.ndarray


def default(x, w=np.ones(3)):  # noqa: B008 (on purpose: it is written into below)
    return x * w


class Slotted:
    __slots__ = ("k",)

    def __init__(self):
        self.k = 2.0


class Shared:
    """What is read by way of a class: attributes, inherited ones, methods of each kind, properties."""

    k = 2.0

    @property
    def twice(self):
        return 2.0 * self.k

    @staticmethod
    def still(x):
        return x * Shared.k

    @classmethod
    def of_class(cls, x):
        return x * cls.k

    def __mul__(self, x):
        return x * self.k


class Heir(Shared):
    pass


class Kind(type):
    rate = 2.0


class OfKind(metaclass=Kind):
    def times(self, x, k):
        return x * k * Shared.k

    twice = functools.partialmethod(times, k=2.0)


class Child(Shared):
    def still(self, x):
        return super().still(x)


def scaled_by_attribute(x):
    return x * scaled_by_attribute.k


STILL, HELPERS_CODE = vars(Shared)["still"], helper.__code__
CHOSEN = np.tanh
FOUND = ModuleType("payback_test_settings")  # as an import finds it
INSTALLED = ModuleType("payback_test_installed")
INSTALLED.__file__ = "site-packages/payback_test_installed.py"


@pytest.fixture
def restored():
    globals()["CHOSEN"], Shared.k, scaled_by_attribute.k = np.tanh, 2.0, 2.0
    vars(FOUND).update(k=2.0, helper=lambda x: x * Shared.k, __name__="payback_test_settings")
    INSTALLED.k = 2.0
    errors = np.geterr()
    sys.modules |= {FOUND.__name__: FOUND, INSTALLED.__name__: INSTALLED}
    yield
    os.environ.pop("PAYBACK_TEST", None)
    sys.argv[:] = [arg for arg in sys.argv if arg != "--test"]
    np.seterr(**errors)
    np.set_printoptions(precision=8)
    LOG.setLevel(0)
    LOG.parent.setLevel(0)
    vars(Shared).get("asked") and delattr(Shared, "asked")
    del sys.modules[FOUND.__name__], sys.modules[INSTALLED.__name__]
    Shared.still, helper.__code__ = STILL, HELPERS_CODE
    for kind, name in ((Heir, "k"), (Heir, "of_class"), (Heir, "__mul__")):
        if name in vars(kind):
            delattr(kind, name)
    globals()["NUMBER"], SETTINGS["rate"], SETTINGS["weights"] = 2.0, 0.5, [np.ones(3)]
    SCALE[:] = [1.0, 2.0, 3.0]
    default.__defaults__[0][:] = 1.0
    Model.rate = Kind.rate = 2.0


def _cases():
    """(the function, what is done to change what it computes): all of them in plain Python change it at once."""
    model, options, box, array, f32 = Model(), Options(2.0, np.ones(3)), [1.0], np.ones(3), np.ones(3, np.float32)
    mask, places, nested, number = X > 0.6, np.array([0, 1]), np.ones(3), 3.0
    listed = [np.ones(3), {"deep": (np.ones(3),)}]
    turned = functools.partial(lambda x, k, parts: x * k * parts[0], k=1.0, parts=[2.0])

    def rebound(x):
        return x * number

    def change_number():
        nonlocal number
        number = 4.0

    def function(x):
        return x + 1

    def calls_function(x):
        return function(x)

    def change_function():
        nonlocal function
        function = lambda x: x + 2  # noqa: E731

    def put(where, key, value):
        return lambda: where.__setitem__(key, value)

    def loops(x):
        return pb.scan(lambda c, a: (c * a, c), 1.0, array)[0] * x

    def imports(x):
        import payback_test_settings

        return x * payback_test_settings.k

    installed, holder = INSTALLED, SimpleNamespace(installed=1.0)
    slotted, heir, child, members, queue, frozen = Slotted(), Heir(), Child(), {1.0}, deque([1.0]), {"k": 2.0}
    typed, raw, chain, proxy = typed_array("d", [1.0]), bytearray(b"\1"), ChainMap({}, frozen), MappingProxyType(frozen)
    record, masked = np.ones(3).view(np.recarray), np.ma.MaskedArray([1.0, 2.0, 4.0], [False, True, False])
    triple, left = functools.lru_cache(lambda: 3.0 * Shared.k), functools.lru_cache(lambda: 3.0 * loose.k)
    setting, local, bare = ContextVar("setting", default=1.0), threading.local(), SimpleNamespace()
    referred, ordered, things = Model(), OrderedDict(a=1.0, b=2.0), np.array([[1.0], None], object)
    weakly = weakref.ref(referred)
    local.k, loose = 1.0, type("Loose", (), {"k": 1.0, "__module__": "numpy"})  # whose attributes nobody looks at

    def asks(x):
        return x * getattr(asks, "k", 1.0) if hasattr(Shared, "asked") else -x

    shared_k = functools.partial(setattr, Shared, "k", 5.0)

    return {
        "an attribute of a module": (lambda x: x * FOUND.k, lambda: setattr(FOUND, "k", 5.0)),
        "of a module, by a text": (lambda x: x * getattr(FOUND, "k"), lambda: setattr(FOUND, "k", 5.0)),  # noqa: B009
        "of a module that the function imports": (imports, lambda: setattr(FOUND, "k", 5.0)),
        "of an installed module around it, named as an attribute is": (
            lambda x: x * installed.k * holder.installed,
            lambda: setattr(INSTALLED, "k", 5.0),
        ),
        "what a function of a module reads": (lambda x: FOUND.helper(x), shared_k),
        "a function of a module": (lambda x: FOUND.helper(x), lambda: setattr(FOUND, "helper", lambda x: x * 7.0)),
        "an attribute of a class": (lambda x: x * Shared.k, shared_k),
        "an attribute of its class": (lambda x: x * heir.k, shared_k),
        "an attribute that hides another": (lambda x: x * heir.k, lambda: setattr(Heir, "k", 5.0)),
        "a method that super finds": (child.still, lambda: setattr(Shared, "still", staticmethod(lambda x: -x))),
        "the code of a function": (
            lambda x: helper(x),
            lambda: setattr(helper, "__code__", (lambda x: x * NUMBER).__code__),
        ),
        "an attribute of a metaclass": (lambda x: x * OfKind.rate, lambda: setattr(Kind, "rate", 5.0)),
        "behind a partial method": (lambda x: OfKind().twice(x), shared_k),
        "what a weak reference refers to": (lambda x: x * weakly().rate, lambda: setattr(referred, "rate", 5.0)),
        "the order of a mapping": (lambda x: x * next(iter(ordered.values())), lambda: ordered.move_to_end("a")),
        "a list in an array of objects": (lambda x: x * things[0][0], lambda: things[0].append(things[0].pop() + 1)),
        "a property": (lambda x: x * heir.twice, shared_k),
        "a static method": (lambda x: Shared.still(x), shared_k),
        "a class method": (lambda x: heir.of_class(x), shared_k),
        "a method that hides another": (lambda x: heir.of_class(x), lambda: setattr(Heir, "of_class", lambda _, x: -x)),
        "a method that an operator calls": (lambda x: heir * x, shared_k),
        "a slot": (lambda x: x * slotted.k, lambda: setattr(slotted, "k", 5.0)),
        "a set": (lambda x: x * sum(members), lambda: members.add(5.0)),
        "a queue": (lambda x: x * queue[0], lambda: queue.appendleft(5.0)),
        "an array of Python's": (lambda x: x * typed[0], put(typed, 0, 5.0)),
        "bytes": (lambda x: x * raw[0], put(raw, 0, 5)),
        "a chain of mappings": (lambda x: x * chain["k"], put(frozen, "k", 5.0)),
        "a mapping that cannot be written into": (lambda x: x * proxy["k"], put(frozen, "k", 5.0)),
        "an array of a class of its own": (lambda x: x * np.asarray(record), put(record, 0, 5.0)),
        "a mask of a masked array": (lambda x: x * masked.sum(), put(masked, 0, np.ma.masked)),
        "an attribute of a function": (scaled_by_attribute, lambda: setattr(scaled_by_attribute, "k", 5.0)),
        "a function in a list": (lambda x, fs=[lambda x: x * Shared.k]: fs[0](x), shared_k),
        "a function of NumPy by a name": (lambda x: CHOSEN(x), lambda: globals().__setitem__("CHOSEN", np.sin)),
        "behind a cache": (lambda x: x * triple(), lambda: (shared_k(), triple.cache_clear())),
        "of which only the cache knows": (
            lambda x: x * left(),
            lambda: (setattr(loose, "k", 5.0), left.cache_clear()),
        ),
        "the environment": (
            lambda x: x * float(os.environ.get("PAYBACK_TEST", "1")),
            lambda: os.environ.update(PAYBACK_TEST="5"),
        ),
        "the environment, by its function": (
            lambda x: x * float(os.getenv("PAYBACK_TEST", "1")),
            lambda: os.environ.update(PAYBACK_TEST="5"),
        ),
        "the environment, by a name of its function": (
            lambda x: x * float(getenv("PAYBACK_TEST", "1")),
            lambda: os.environ.update(PAYBACK_TEST="5"),
        ),
        "the arguments of the process": (
            lambda x: x * (2 if "--test" in sys.argv else 1),
            lambda: sys.argv.append("--test"),
        ),
        "what NumPy does about errors": (
            lambda x: x if np.geterr()["over"] == "ignore" else -x,
            lambda: np.seterr(over="ignore"),
        ),
        "how NumPy prints, by a name": (
            lambda x: x * get_printoptions()["precision"],
            lambda: np.set_printoptions(precision=3),
        ),
        "the level of a logger": (lambda x: x if LOG.isEnabledFor(10) else -x, lambda: LOG.setLevel(10)),
        "the level of a logger above it": (
            lambda x: x if LOG.isEnabledFor(10) else -x,
            lambda: LOG.parent.setLevel(10),
        ),
        "a variable of a context": (lambda x: x * setting.get(), lambda: setting.set(5.0)),
        "an attribute of a thread": (lambda x: x * local.k, lambda: setattr(local, "k", 5.0)),
        "an attribute that is there later": (lambda x: x * getattr(bare, "k", 1.0), lambda: setattr(bare, "k", 5.0)),
        "an attribute of a class that is there later": (asks, lambda: setattr(Shared, "asked", True)),
        "an array in place": (lambda x: x * array, put(array, 0, 5.0)),
        "an array in place, used by NumPy itself": (lambda x: x * array.sum(), put(array, 0, 5.0)),
        "an array that decides a shape": (lambda x: x * int(array[0]), put(array, 0, 5.0)),
        "an array of another dtype": (lambda x: x * f32, put(f32, 0, 5.0)),
        "a global array in place": (lambda x: x * SCALE, put(SCALE, 0, 5.0)),
        "a global number": (lambda x: x * NUMBER, lambda: globals().__setitem__("NUMBER", 7.0)),
        "a number that a called function reads": (lambda x: helper(x), lambda: globals().__setitem__("NUMBER", 7.0)),
        "an array that a called function reads": (helper, put(SCALE, 0, 9.0)),
        "through partial": (functools.partial(lambda w, x: helper(x) * w, array), put(SCALE, 0, 9.0)),
        "an argument of partial": (functools.partial(lambda w, x: x * w, array), put(array, 0, 9.0)),
        "an entry of a global container": (lambda x: x * SETTINGS["rate"], put(SETTINGS, "rate", 3.0)),
        "an array in a global container": (
            lambda x: x * SETTINGS["weights"][0],
            lambda: SETTINGS["weights"][0].__setitem__(0, 9.0),
        ),
        "an array deep in a container": (lambda x: x * listed[1]["deep"][0], lambda: listed[1]["deep"][0].fill(3.0)),
        "an entry of a closed-over list": (lambda x: x * box[0], put(box, 0, 9.0)),
        "a name of the closure": (rebound, change_number),
        "a function of the closure": (calls_function, change_function),
        "a default argument": (default, lambda: default.__defaults__[0].__setitem__(0, 9.0)),
        "an attribute": (lambda x: model(x), lambda: setattr(model, "w", np.full(3, 2.0))),
        "an array in an attribute": (lambda x: model(x), lambda: model.w.fill(9.0)),
        "a method that Python calls": (lambda x: heir * x, lambda: setattr(Heir, "__mul__", lambda self, x: x * 5.0)),
        "an attribute of an attribute": (lambda x: model(x), lambda: setattr(model.inner, "b", 5.0)),
        "of a method": (model.method, lambda: setattr(model, "w", np.full(3, 2.0))),
        "of a callable object": (model, lambda: setattr(model, "w", np.full(3, 2.0))),
        "all attributes at once": (lambda x: model(x), lambda: setattr(model, "__dict__", vars(model) | {"rate": 7.0})),
        "a keyword of a partial that has others": (turned, lambda: turned.keywords.update(k=2.0)),
        "a field of a dataclass": (lambda x: x**options.power, lambda: setattr(options, "power", 3.0)),
        "an array in a dataclass": (lambda x: x * options.array, lambda: options.array.fill(3.0)),
        "a mask": (lambda x: x[mask], put(mask, slice(None), np.array([True, False, False]))),
        "a mask as numbers": (lambda x: np.where(mask, x, 0.0), put(mask, slice(None), np.array([True, False, False]))),
        "places": (lambda x: x[places], put(places, 0, 2)),
        "in a gradient": (pb.grad(lambda x: np.sum(x * x * array)), put(array, 0, 5.0)),
        "what a gradient is taken by": (lambda x: x * pb.grad(lambda w: np.sum(w**3))(array), put(array, 0, 5.0)),
        "in a loop": (loops, put(array, 0, 5.0)),
        "in vmap": (lambda x: pb.vmap(lambda a, b: a * b * array)(x, array), put(array, 0, 5.0)),
        "in another compiled function": (lambda x: pb.compile(lambda x: x * array)(x), put(array, 0, 5.0)),
        "a result": (lambda x: (x, nested), put(nested, 0, 5.0)),
        "in remat": (pb.remat(lambda x: np.sin(x * array)), put(array, 0, 5.0)),
    }


@pytest.mark.parametrize("name", _cases())
def test_never_stale(name, restored):
    f, change = _cases()[name]
    compiled = pb.compile(f)
    before = tree_map(np.array, f(X))
    assert_close(compiled(X), before, 1e-15)
    assert_close(compiled(X), before, 1e-15)
    change()
    after = f(X)
    with pytest.raises(AssertionError):  # the change is one
        assert_close(after, before, 1e-15)
    assert_close(compiled(X), after, 1e-15)
    assert_close(compiled(X), after, 1e-15)


def test_what_it_looks_into():
    """A very deep list, one that holds itself, and objects of libraries are no hindrance."""
    deep: list[object] = []
    for _ in range(20_000):
        deep = [deep]
    ring: list[object] = [1.0]
    ring.append(ring)
    generator = np.random.default_rng(0)
    compiled = pb.compile(lambda x: x * ring[0] if deep and generator else x)
    np.testing.assert_array_equal(compiled(X), X)
    ring[0] = 2.0
    np.testing.assert_array_equal(compiled(X), 2 * X)
    generator.normal()
    compiled(X)
    assert len(compiled.reasons) == 2


def test_reasons_say_what_has_changed(restored):
    array = np.ones(3)
    compiled = pb.compile(lambda x: x * array * NUMBER)
    compiled(X)
    array[0] = 2.0
    compiled(X)
    globals()["NUMBER"] = 3.0
    compiled(X)
    compiled(X)
    assert compiled.reasons == [
        "first call", "the array array was written into", "NUMBER was given another value"
    ]  # fmt: skip


def test_nothing_is_traced_again_without_a_reason():
    nan, array, model = float("nan"), np.array([np.nan, 1.0]), Model()
    f, traces = counted(lambda x: x * nan + array.sum() + model.w.sum() + NUMBER)
    compiled = pb.compile(f)
    for _ in range(3):
        compiled(X)
    assert len(traces) == 1


@pytest.mark.parametrize("kind", ["partial", "partial of keywords", "defaults"])
def test_partial_and_defaults_are_traced_once(kind):
    f, traces = counted(lambda x, w=2.0: x * w)
    weights = np.array([1.0, 2.0, 3.0])
    compiled = pb.compile({"partial": functools.partial(f, weights), "defaults": f,
                           "partial of keywords": functools.partial(f, w=weights)}[kind])  # fmt: skip
    for _ in range(3):
        np.testing.assert_array_equal(compiled(X), X * (2.0 if kind == "defaults" else weights))
    assert len(traces) == 1
    assert compiled.reasons == ["first call"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.bool_])
@pytest.mark.parametrize("layout", [lambda a: a, lambda a: a.T, lambda a: a[::2]], ids=["whole", "turned", "strided"])
def test_one_entry_of_a_large_array(dtype, layout):
    """Each entry counts; a NaN is no change."""
    array = layout(np.zeros((600, 300), dtype))
    if array.dtype.kind == "f":
        array[0, 0] = np.nan
    compiled = pb.compile(lambda x: x * array[-1, -1])
    compiled(1.0)
    compiled(1.0)
    assert len(compiled.reasons) == 1
    array[-1, -1] = 1
    assert compiled(1.0) == 1.0
    array[5, 7] = 1
    compiled(1.0)
    assert compiled.reasons[1:] == ["the array array was written into"]


def scaled(v, scale=1.5, *, shift=0.5):
    return scale * v + shift


@pytest.mark.parametrize(
    "f", [lambda x: scaled(x), scaled, functools.partial(scaled, shift=2.0), lambda x: functools.partial(scaled)(x)]
)
def test_defaults_and_partial_are_the_same_at_each_call(f):
    compiled = pb.compile(f)
    for k in range(3):
        assert np.array_equal(compiled(X * k), f(X * k))
    assert compiled.reasons == ["first call"]


def test_another_default_is_noticed(monkeypatch):
    compiled = pb.compile(lambda x: scaled(x))
    assert compiled(2.0) == 3.5
    monkeypatch.setattr(scaled, "__defaults__", (10.0,))
    assert compiled(2.0) == 20.5
    monkeypatch.setitem(scaled.__kwdefaults__, "shift", 1.0)
    assert compiled(2.0) == 21.0


BIG = np.arange(4096.0)  # more than is kept as bytes


@pytest.mark.parametrize("make", [
    lambda: BIG[:8].copy(), lambda: BIG.copy(), lambda: BIG.copy()[::2], lambda: BIG.reshape(64, 64).copy("F"),
    lambda: BIG.reshape(64, 64).copy()[:, ::-1], lambda: BIG.reshape(16, 16, 16).copy().transpose(1, 0, 2),
    lambda: BIG.astype(np.int16), lambda: BIG.astype(np.float32)[1:],
], ids=["few", "many", "every other", "by columns", "backwards", "turned", "short", "odd start"])  # fmt: skip
def test_one_bit_of_an_array_around_it(make):
    """The last entry counts, -0.0 is not 0.0, and the same NaN is no change."""
    array = make()
    last, floating = (-1,) * array.ndim, array.dtype.kind == "f"
    f, traces = counted(lambda x: np.copysign(x, array[last]) + array.sum() * 0.0)
    compiled = pb.compile(f)
    for number in (0, 1, 1, *((-0.0, 0.0, np.nan, np.nan) if floating else ())):
        array[last] = number
        np.testing.assert_array_equal(compiled(1.0), np.copysign(1.0, array[last]) + array.sum() * 0.0)
    assert len(traces) == (5 if floating else 2)


T = np.ones(3)


def test_an_attribute_is_no_name_of_the_module():
    """x.T does not read the module's T; what does read it is traced anew."""
    turned, read = pb.compile(lambda x: x.T * 2.0), pb.compile(lambda x: x.T * T)
    try:
        for factor in (1.0, 2.0):
            T[:] = factor
            np.testing.assert_array_equal(turned(X), X * 2.0)
            np.testing.assert_array_equal(read(X), X * factor)
        assert (len(turned.reasons), len(read.reasons)) == (1, 2)
    finally:
        T[:] = 1.0


def test_containers_are_looked_into_quickly(monkeypatch):
    options = Options(2.0, np.ones(3))
    f = functools.partial(lambda o, held, x: x**o.power * held["s"][0].b, options, {"s": [SimpleNamespace(b=1.0)]})
    around = Around(f)
    monkeypatch.setattr(Around, "changes", lambda self: ["looked at one by one"])
    assert around.unchanged()
    options.power = 3.0
    assert not around.unchanged()


def test_a_partial_without_keywords_may_be_given_some():
    def f(a, x, b=2.0):
        return a * b * np.sum(x * x)

    part = functools.partial(f, 3.0)
    compiled = pb.compile(pb.grad(part))
    assert (compiled(np.ones(2)) == 12).all()
    around = Around(pb.grad(part))
    assert around.unchanged()
    part.keywords["b"] = 5.0
    assert not around.unchanged()
    assert (compiled(np.ones(2)) == 30).all()
    part.keywords["b"] = 7.0
    assert (compiled(np.ones(2)) == 42).all()


def test_a_frozen_dataclass_is_looked_at_as_quickly_as_a_tuple():
    """If all in it is fixed, too; an array in it may be written into."""

    @dataclasses.dataclass(frozen=True)
    class Settings:
        rate: float
        shape: object

    for shape, fixed in (((2, lambda x: x), True), (np.ones(2), False)):
        settings = Settings(3.0, shape)
        around = Around(lambda x, settings=settings: x * settings.rate)
        assert len(around._holders) == 1  # the defaults; what these hold stays what it is
        assert bool(around.copies) != fixed
        assert around.unchanged()
    shape[0] = 2.0
    assert not around.unchanged()


OF_LIBRARIES = {
    "options": (argparse.Namespace(k=2.0), lambda o: o.k, lambda o: setattr(o, "k", 3.0)),
    "a configuration": (
        configparser.ConfigParser(defaults={"k": "2"}),
        lambda o: float(o["DEFAULT"]["k"]),
        lambda o: o["DEFAULT"].__setitem__("k", "3"),
    ),
    "a series": (np.polynomial.Polynomial([1.0, 2.0]), lambda o: o(2.0), lambda o: o.coef.__setitem__(0, 9.0)),
    "a polynomial": (np.poly1d([1.0, 2.0]), lambda o: o.c[0], lambda o: o.__setitem__(1, 9.0)),
    "a curve": (interp1d([0.0, 1.0], [2.0, 3.0]), lambda o: o.y[0], lambda o: setattr(o, "y", np.array([5.0, 6.0]))),
    "a distribution": (scipy.stats.norm(2.0, 1.0), lambda o: o.args[0], lambda o: setattr(o, "args", (3.0, 1.0))),
    "a number of C's": (ctypes.c_double(2.0), lambda o: o.value, lambda o: setattr(o, "value", 3.0)),
    "an array of C's": ((ctypes.c_double * 2)(2.0, 1.0), lambda o: o[0], lambda o: o.__setitem__(0, 3.0)),
    "a record": (np.ones(1, [("k", float)])[0], lambda o: o["k"], lambda o: o.__setitem__("k", 3.0)),
}


@pytest.mark.parametrize("name", OF_LIBRARIES)
def test_objects_of_libraries_that_hold_what_they_are_given(name):
    held, read, change = OF_LIBRARIES[name]
    compiled = pb.compile(lambda x: x * read(held))
    assert compiled(1.5) == 1.5 * read(held)
    change(held)
    assert compiled(1.5) == 1.5 * read(held)


def test_what_has_every_attribute_is_looked_at_once():
    mock = unittest.mock.Mock(k=2.0)
    assert pb.compile(lambda x: x * mock.k)(1.5) == 3.0
