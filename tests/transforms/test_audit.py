"""`pb.audit`: one run names every place that cannot be differentiated."""

from __future__ import annotations

import atexit
import datetime
import decimal
import functools
import importlib
import json
import math
import pickle
import sqlite3
import sys
import textwrap

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError, PaybackError

X = np.array([0.5, 1.25, 2.0])

MODULES = {
    "__init__": "",
    "helper": """
        import numpy as np
        from math import ldexp

        def spectrum(x):
            return np.sort_complex(x)

        def factor(x):
            return ldexp(x[0] + 1.0, -1)
        """,
    "state": """
        import numpy as np

        class Model:
            def __init__(self):
                self.work = np.zeros(3)
                self.calls = 0

            def step(self, x):
                self.calls += 1
                self.work[1] = x[1]
                return self.work * x
        """,
    "main": """
        import numpy as np
        from planted.helper import spectrum, factor
        from planted.state import Model
        from planted.solver import root_of

        model = Model()

        def cost(x):
            total = np.zeros(3)
            for i in range(3):
                total[i] = x[i] ** 2
            if total.sum() > 1:
                total *= 2
            while total.sum() < 20:
                total += model.step(x)
            scale = x[2].__float__()
            return np.sum(total) * scale + factor(x) + np.sum(np.abs(spectrum(x))) + root_of(x)
        """,
    "solver": """
        def solve(g, low, high):
            for _ in range(60):
                middle = (low + high) / 2
                low, high = (middle, high) if bare(g(middle)) < 0 else (low, middle)
            return middle

        def bare(value):
            return value.__array__()

        def root_of(x):
            return solve(lambda t: t**3 - x[0], 0.0, 2.0)
        """,
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    folder = tmp_path / "planted"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    import planted.main

    yield planted.main
    for name in [name for name in sys.modules if name.partition(".")[0] == "planted"]:
        del sys.modules[name]


def test_all_obstacles_of_a_package_in_one_run(planted):
    found = pb.audit(planted.cost, X)
    by_place = {(o.file.rpartition("/")[2], o.function): o for o in found}
    assert set(by_place) == {
        ("state.py", "step"), ("main.py", "cost"), ("helper.py", "factor"), ("helper.py", "spectrum"),
        ("solver.py", "bare"),
    }  # fmt: skip
    assert len(found) == 5
    assert by_place["helper.py", "spectrum"].what == "np.sort_complex has no derivative in payback"
    assert by_place["helper.py", "factor"].expression == "ldexp(x[0] + 1.0, -1)"
    assert by_place["main.py", "cost"].expression == "x[2].__float__()"
    assert "self.work was made before" in by_place["state.py", "step"].why
    assert by_place["state.py", "step"].line == 11
    assert "np.zeros(...)" in by_place["state.py", "step"].fix
    text = str(found)
    assert text.startswith("5 places cannot be differentiated:\n")
    assert "state.py:11 in step: self.work[1]\n" in text


def test_the_value_is_that_of_a_plain_run(planted):
    planted.model.work[:] = 0
    expected = planted.cost(X)
    planted.model.work[:] = 0
    planted.model.calls = 0
    assert pb.audit(planted.cost, X).value == pytest.approx(expected, rel=1e-14)


def test_classes_beside_what_varies_stand_in_no_way():
    net, rows, classes = pb.nn.MLP([3, 4, 2], seed=0), np.ones((5, 3)), np.array([0, 1, 1, 0, 1])

    def loss(net, rows, classes):
        return pb.nn.cross_entropy(net(rows), classes)

    assert not pb.audit(loss, net, rows, classes).obstacles
    with pytest.raises(PaybackError, match="classes is an array of int64"):
        pb.audit(loss, net, rows, classes, argnums=2)
    with pytest.raises(PaybackError, match="is an array of int64"):
        pb.audit(lambda n: n.sum(), classes)


def test_nothing_in_the_way():
    found = pb.audit(lambda x: np.sum(np.sin(x)), X)
    assert len(found) == 0
    assert str(found) == "nothing stands in the way of a derivative"


@pytest.mark.parametrize(
    ("f", "what"),
    [
        (lambda x: np.sum(np.sort_complex(x).real), "sort_complex has no derivative"),
        (lambda x: x[0].__float__() * x[1], "float(x) would lose the derivative"),
        (lambda x: np.add(x, 1.0, dtype=np.int64, casting="unsafe").sum() * x[0], "does not take dtype=int64"),
        (lambda x: x.tobytes() and x.sum(), ".tobytes of a traced array"),
        (lambda x: math.ldexp(x[0], 2) + x[1], "float(x) would lose the derivative"),
        (lambda x: np.sum(np.linalg.svd(x[:, None] * 1j)[1]), "np.linalg.svd of traced complex numbers"),
        (lambda x: np.argmax(x), "the result is of int64"),
    ],
)
def test_each_kind(f, what):
    (obstacle,) = pb.audit(f, X).obstacles
    assert what in obstacle.what
    assert obstacle.file == __file__


def test_stores():
    buffer = np.zeros(3)

    def f(x):
        whole = np.zeros(3, int)
        whole[0] = x[2]
        buffer[:] = x
        made = buffer * 1
        also = made
        made += x
        np.copyto(buffer, x)
        return also.sum() + whole.sum()

    found = pb.audit(f, X)
    assert [o.line - f.__code__.co_firstlineno for o in found] == [2, 3, 6, 7]
    assert (buffer == X).all()
    assert found.value == 2 * X.sum() + 2


def test_nothing_is_left_behind():
    names = dict(vars(pb.variable(1.0).__class__.__mro__[1]))
    pb.audit(lambda x: x[0].__float__() * x[1], X)
    with pytest.raises(ZeroDivisionError):
        pb.audit(lambda x: 1 / 0, X)
    assert dict(vars(pb.variable(1.0).__class__.__mro__[1])) == names
    with pytest.raises(TypeError, match="would lose the derivative"):
        pb.grad(lambda x: x[0].__float__())(X)


def test_a_cache_a_set_and_a_pickle_are_obstacles_among_others():
    @functools.lru_cache
    def damped(k):
        return k * 0.5

    def f(x):
        kept = damped(x[0])
        both = {x[0], x[1]}
        sent = pickle.loads(pickle.dumps(x))  # noqa: S301
        return x[1].__float__() * x.sum() + kept + len(both) + sent[0]

    x = np.array([0.3, 0.5])
    found = pb.audit(f, x)
    assert [obstacle.expression for obstacle in found.obstacles] == [
        "damped(x[0])", "{x[0], x[1]}", "pickle.dumps(x)", "x[1].__float__()"]  # fmt: skip
    assert f(x) == 0.5 * x.sum() + 0.15 + 2 + 0.3  # nothing traced is left in the cache under a number


DATABASE = sqlite3.connect(":memory:")
atexit.register(DATABASE.close)
# name: what C code or a library refuses to take, and raises at
REFUSED = {
    "decimal": lambda x: float(decimal.Decimal(x[1])),
    "json": lambda x: json.loads(json.dumps({"a": list(x)}))["a"][1],
    "timedelta": lambda x: datetime.timedelta(seconds=x[1]).total_seconds(),
    "a slot of float": lambda x: float.__add__(x[1], 1.0),
    "memory": lambda x: memoryview(x)[1],
    "a database": lambda x: DATABASE.execute("select ?", (x[1],)).fetchone()[0],
    "an iterator": lambda x: sum(float(v) for v in np.nditer(x)),
    "a percent": lambda x: len(b"%a %d" % (len(x), x[1])),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_audit_goes_on_after_compiled_code_has_raised(name):
    refused = REFUSED[name]

    def f(x):
        a = x[0].__float__()
        b = refused(x)
        c = np.sort_complex(x)[0].real
        return a * x.sum() + b + c + decimal.Decimal(x[0]).as_tuple().sign

    x = np.array([0.3, 0.5])
    found = pb.audit(f, x)
    lines = [obstacle.line - f.__code__.co_firstlineno for obstacle in found]
    inside = refused.__code__.co_firstlineno - f.__code__.co_firstlineno
    assert {1, inside, 3, 4} >= {*lines} >= {1, 3, 4}
    assert inside in lines or name == "a percent"
    assert found.value == f(x)
    assert "__payback_bare__" not in globals()
    with pytest.raises(PaybackError):  # the code is what it was
        pb.grad(f)(x)


def test_an_error_of_the_program_is_raised_once_it_is_seen_that_bare_numbers_do_not_help():
    runs = []

    def f(x):
        runs.append(1)
        return x.sum() + [1.0, 2.0][int(x[0]) + 5]

    with pytest.raises(IndexError):
        pb.audit(f, np.ones(2))
    with pytest.raises(RuntimeError, match="mine"):
        pb.audit(lambda x: runs.append(1) or _raise(), np.ones(2))
    assert len(runs) == 3


def _raise():
    raise RuntimeError("mine")


PLANT = {
    "__init__": "",
    "codec": """
        import struct
        import numpy as np
        import payback as pb

        def packed(x):
            return struct.unpack("d", struct.pack("d", {stopped_x}))[0]

        def rounded(values):
            return [{rounded} for v in values]
        """,
    "store": """
        import array
        from fractions import Fraction
        import numpy as np
        import payback as pb

        class Store:
            def __init__(self):
                self.rows = array.array("d")

            def add(self, v):
                self.rows.append({stopped_v})
                return self.rows[-1]

            def exact(self, v):
                return Fraction({stopped_v}) * 2

            def bits(self, x):
                return {bits}.sum() % 7
        """,
    "main": """
        import numpy as np
        import payback as pb
        from scipy.optimize import brentq, broyden1
        from PLANT import codec
        from PLANT.store import Store

        def cost(x):
            store = Store()
            total = x[0] * 2.0
            if total > 1:
                total = total + codec.packed(x[1])
            level = {root}
            while total < 9:
                total = total + store.add(x[0])
            total = total + float(store.exact(x[1])) + store.bits(x) + sum(codec.rounded(x))
            return total * level
        """,
}
PLANTED = {"stopped_x": "x", "stopped_v": "v", "rounded": 'float("%.6g" % v)', "bits": "x.view(np.uint64)",
           "root": "broyden1(lambda t: t**3 + t - x[2], 1.0, f_tol=1e-13)"}  # fmt: skip
CURED = {"stopped_x": "pb.stop_gradient(x)", "stopped_v": "pb.stop_gradient(v)", "rounded": "np.round(v, 6)",
         "bits": "x.astype(np.uint64)",
         "root": "pb.root(lambda t: t**3 + t - x[2], 1.0, solver=lambda g, x0: brentq(g, 0.0, 3.0))"}  # fmt: skip


@pytest.fixture
def plant(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(name, parts):
        folder = tmp_path / name
        folder.mkdir()
        for module, text in PLANT.items():
            (folder / f"{module}.py").write_text(textwrap.dedent(text).format(**parts).replace("PLANT", name))
        made.append(name)
        return importlib.import_module(f"{name}.main").cost

    yield make
    for name in [name for name in sys.modules if name.partition(".")[0] in made]:
        del sys.modules[name]


def test_obstacles_of_other_kinds_and_their_cures(plant):
    x = np.array([0.7, 1.1, 1.9])
    cost = plant("ill", PLANTED)
    found = pb.audit(cost, x)
    assert {(o.file.rpartition("/")[2], o.line, o.expression) for o in found} == {
        ("codec.py", 7, 'struct.pack("d", x)'), ("codec.py", 10, '"%.6g" % v'), ("main.py", 13, PLANTED["root"]),
        ("store.py", 12, "self.rows.append(v)"), ("store.py", 16, "Fraction(v)"), ("store.py", 19, PLANTED["bits"]),
    }  # fmt: skip
    assert found.value == cost(x)
    cured = plant("well", CURED)
    assert not pb.audit(cured, x).obstacles
    value, gradient = pb.value_and_grad(cured)(x)
    assert value == pytest.approx(cured(x), rel=1e-14)
    level = 1.0
    for _ in range(60):
        level -= (level**3 + level - x[2]) / (3 * level**2 + 1)
    np.testing.assert_allclose(gradient, [2 * level, 0.0, value / level / (3 * level**2 + 1)], rtol=1e-9)


@pytest.mark.parametrize(("given", "message"), [((3,), "a function belongs"), ((np.sum,), "Write pb.audit(f, x)")])
def test_what_cannot_be_audited_is_told(given, message):
    with pytest.raises(InputError) as caught:
        pb.audit(*given)
    assert message in str(caught.value)


def test_only_the_leaves_that_are_asked_for():
    def f(x, p):
        return x.__float__() * p["w"] + p["v"].__float__()

    def places(**which):
        return [obstacle.expression for obstacle in pb.audit(f, 2.0, {"w": 1.0, "v": 3.0}, **which).obstacles]

    assert places() == ["x.__float__()", 'p["v"].__float__()']
    assert places(wrt="p['w']") == []
    assert places(wrt="x") == places(argnums="x") == ["x.__float__()"]
    assert places(wrt=["p['v']", "p['w']"]) == places(argnums=1) == ['p["v"].__float__()']
    with pytest.raises(InputError, match=r"the leaves are x, p\['w'\], p\['v'\]"):
        pb.audit(f, 2.0, {"w": 1.0, "v": 3.0}, wrt="p")
