"""Calls of compiled functions: the fast way takes what it knows and leaves the rest to the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError
from payback.native.running.entry import entry, places
from payback.native.running.program import Program
from payback.trace.abstract import trace
from payback.trace.tree import leaves, structure


def f(x, s):
    return np.sin(x) * s, x.sum() * s


X = np.arange(12.0).reshape(3, 4)


@pytest.fixture
def fast():
    made = entry(Program(trace(f, X, 2.0).graph))
    assert made is not None
    return made


def test_the_layout_of_objects_is_known_here():
    assert places() is not None


def test_it_takes_arrays_and_floats(fast):
    for _ in range(3):
        array, number = fast((X, 2.0))
        np.testing.assert_allclose(array, np.sin(X) * 2.0, rtol=1e-15)
        assert type(number) is np.float64
        assert number == 132.0


@pytest.mark.parametrize(
    "args",
    [
        (X.astype(np.float32), 2.0), (X.T, 2.0), (np.asfortranarray(X), 2.0), (X[:, ::2], 2.0), (X[:2], 2.0), (X, 2),
        (X, np.float64(2.0)), (X, None), (X.tolist(), 2.0), (X,), (X, 2.0, 3.0), (X[None], 2.0), (2.0, X),
        (X.view(np.ma.MaskedArray), 2.0), (X.astype(">f8"), 2.0), (np.ones((3, 4), complex), 2.0),
    ],
    ids=range(16),
)  # fmt: skip
def test_it_refuses_what_it_was_not_made_for(fast, args):
    assert fast(args) is None


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.bool_])
def test_it_takes_numbers_of_numpy(kind):
    """Of the very type; a number of another one, or an array without axes, takes the long way."""
    program = Program(trace(lambda x, s: np.where(x > 1.0, x + s, x * s), X, kind(1)).graph)
    fast, of_arrays = entry(program), entry(program, {1})
    for number in (kind(1), kind(0), kind(3)):
        np.testing.assert_array_equal(fast((X, number))[0], np.where(X > 1.0, X + number, X * number))
        assert of_arrays((X, number)) is None
    for number in (np.array(kind(1)), np.ones((2, 3), kind)[1, 1:2].reshape(())):
        np.testing.assert_array_equal(of_arrays((X, number))[0], np.where(X > 1.0, X + number, X * number))
        assert fast((X, number)) is None
    others = np.ones(1, kind), np.array(1, np.int16), np.array(kind(1)).view(np.ma.MaskedArray)
    for other in (1.0, 1, True, np.float16(1.0), np.complex128(1.0), *others):
        assert fast((X, other)) is of_arrays((X, other)) is None


def test_arrays_without_axes_beside_a_row_on_numpy_take_the_fast_way():
    def f(x, s):
        return np.linalg.eigvalsh(x @ x.T * s) + s, s * 2.0

    program = Program(trace(f, X, np.float64(2.0)).graph)
    for fast, kind in ((entry(program), np.float64), (entry(program, {1}), np.array)):
        for s in (kind(2.0), kind(3.0)):
            for found, wanted in zip(fast((X, s)), f(X, s), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-10)
    offset = np.array(4.0)
    compiled = pb.compile(lambda x, s: x * s + offset)
    for s in (2.0, np.array(3.0), np.array(5.0)):
        np.testing.assert_array_equal(compiled(X, s), X * s + 4.0)
        assert compiled._fast((X, s)) is not None


def test_unaligned_memory_takes_the_long_way(fast):
    memory = np.zeros(12 * 8 + 1, np.uint8)
    odd = memory[1:].view(np.float64).reshape(3, 4)
    odd[...] = X
    assert fast((odd, 2.0)) is None
    with pytest.raises(TypeError, match="was given an array"):
        fast.program(X.astype(np.float32), 2.0)
    np.testing.assert_allclose(pb.compile(f)(odd, 2.0)[0], np.sin(X) * 2.0, rtol=1e-15)


@pytest.mark.parametrize(
    "args",
    [
        (X, 2.0),
        (X.T, 2.0),
        (X[:, ::2], 3.0),
        (X[::-1], -1.0),
        (X.astype(np.float32), 2.0),
        (X[:0], 1.0),
        (X.astype(">f8"), 2.0),
    ],
)
def test_compiled_functions_give_what_the_function_gives(args):
    compiled = pb.compile(f)
    for _ in range(3):
        for found, wanted in zip(compiled(*args), f(*args), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6 if args[0].dtype == np.float32 else 1e-14)
            assert found.dtype == wanted.dtype


@dataclass
class Line:
    slope: Any
    offset: Any
    kind: Any = field(default="plain", metadata={"static": True})


@dataclass(frozen=True)
class Frozen:
    parts: Any


class Twin(Line):
    """As a line, and no line."""


Pair = namedtuple("Pair", "slope offset")


def at_the_points(given, x):
    line = given.parts[0]["line"] if isinstance(given, Frozen) else given
    y = line.slope * x + line.offset
    return y * 3.0 if type(line) is Twin else np.exp(y) if getattr(line, "kind", "plain") == "curved" else y


def test_dataclasses_and_named_tuples_go_the_fast_way():
    compiled = pb.compile(at_the_points)
    for kind in ("plain", "curved"):
        for make in (Line, lambda *a: Frozen([{"line": Line(*a)}, None]), lambda *a: Frozen(({"line": Twin(*a)}, 2.0)),
                     lambda slope, offset, kind: Pair(slope, offset)):  # fmt: skip
            for scale in (1.0, 2.0, 3.0):
                given = make(np.full(4, scale), 0.5 * scale, kind)
                np.testing.assert_allclose(compiled(given, X), at_the_points(given, X), rtol=1e-14)
                quick = compiled._fast((given, X))
                np.testing.assert_allclose(quick, at_the_points(given, X), rtol=1e-14)
                assert compiled._fast((Twin(given, 1.0), X)) is None
    given = Line(np.ones(4), 0.5, ["a list may change"])
    compiled(Line(np.ones(4), 0.5), X)
    assert compiled._fast((Line(np.ones(4), 0.5, "curved"), X)) is None
    with pytest.raises(InputError, match="a static field"):
        compiled(given, X)
    net = pb.nn.MLP([4, 3, 1], seed=0, dtype="float64")
    step = pb.compile(lambda net, x: pb.value_and_grad(lambda net: np.sum(net(x) ** 2))(net))
    value, gradient = step(net, X)
    again, same = step._fast((net, X))
    assert (again, type(same)) == (value, type(gradient))
    assert all(np.array_equal(a, b) for a, b in zip(leaves(gradient), leaves(same), strict=True))


def test_a_name_that_changes_is_seen_by_the_fast_way():
    factor = 2.0
    g = pb.compile(lambda x: x * factor)
    assert g(X)[0, 1] == g(X)[0, 1] == 2.0
    factor = 3.0
    assert g(X)[0, 1] == 3.0


@pytest.mark.parametrize(
    "turned", [lambda x: x, lambda x: x.T[:, ::-1], lambda x: x.astype("f4")], ids=["by rows", "backwards", "float32"]
)
def test_arrays_around_it_go_the_fast_way(turned):
    """With what they hold at each call, a mask among them too."""
    data = np.arange(9.0).reshape(3, 3)
    table, chosen = turned(data), np.array([True, False, True])

    def f(x, rate):
        return np.sum((x @ table[:, chosen]) ** 2) * rate, x * table[0]

    compiled, x = pb.compile(f), np.array([0.5, -1.0, 2.0])
    compiled(x, 2.0)
    changes = (lambda: None, lambda: table.__setitem__((0, 1), 7.0), lambda: chosen.__setitem__(1, True))
    for change in changes:
        change()
        for _ in range(2):
            for found, wanted in zip(compiled(x, 2.0), f(x, 2.0), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-13)
            quick = compiled._fast((x, 2.0))
            np.testing.assert_allclose(quick[1], f(x, 2.0)[1], rtol=1e-13)
    assert len(compiled.reasons) == 3


@pytest.mark.parametrize("seed", range(3))
def test_arrays_that_do_not_lie_by_rows_go_the_fast_way(seed):
    """Turned, with steps, spread, alone and in containers; one that lies otherwise is another graph's."""
    rng = np.random.default_rng(seed)

    def laid(x):
        wide = np.repeat(x, 2, axis=1)
        ways = (x, np.asfortranarray(x), x.T, x[::-1], wide[:, ::2], np.broadcast_to(x[:1], x.shape))
        return ways[rng.integers(len(ways))]

    def cost(p, x, k):
        return np.sum(np.sin(p[0] @ p[1]["w"]) * x.ravel()[k]) + np.sum(p[0].reshape(-1)[:3] * x[0, 0])

    f, by_value, pairs = pb.compile(pb.value_and_grad(cost)), pb.value_and_grad(cost), rng.integers(0, 9, (3, 2))
    for _ in range(3):
        a, w, x = (laid(rng.standard_normal((3, 3))) for _ in range(3))
        args = (a, {"w": w}), x, pairs[:, 1]
        for _ in range(2):
            value, gradient = f(*args)
            wanted, by_hand = by_value(*args)
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(gradient[0], by_hand[0], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(gradient[1]["w"], by_hand[1]["w"], rtol=1e-12, atol=1e-13)
        assert f._fast(args) is not None
        assert f._fast((*args[:2], pairs[:, 1].copy())) is None


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8", "?"])
def test_results_and_arrays_whose_dtype_is_another_object_go_the_fast_way(dtype):
    """A step is given what the last one returned; what was unpickled has a dtype object of its own."""
    f, x = pb.compile(lambda x: (x + x, x[::-1])), np.arange(6).astype(dtype)
    for _ in range(3):
        wanted = x + x
        x = f(x)[0]
        np.testing.assert_array_equal(x, wanted)
        assert x.dtype is np.dtype(dtype)
        assert f._fast((x,)) is not None
    other = np.empty(6, np.dtype(dtype, copy=True))
    other[...] = x
    assert other.dtype is not x.dtype
    np.testing.assert_array_equal(f._fast((other,))[0], x + x)
    swapped = x.astype(x.dtype.newbyteorder(">"))
    assert f._fast((swapped,)) is None or dtype == "?"
    assert f._fast((x.astype("f2"),)) is f._fast((x.astype("M8[s]"),)) is None


def test_gradients_of_ten_numbers():
    compiled = pb.compile(pb.value_and_grad(lambda *a: sum(np.sin(x) * x for x in a), argnums=tuple(range(10))))
    plain = pb.value_and_grad(lambda *a: sum(np.sin(x) * x for x in a), argnums=tuple(range(10)))
    args = [0.1 * k for k in range(10)]
    for _ in range(3):
        value, slopes = compiled(*args)
        expected, wanted = plain(*args)
        assert value == pytest.approx(expected, rel=1e-14)
        assert slopes == pytest.approx(wanted, rel=1e-14)
        assert all(type(slope) is float for slope in slopes)


def test_it_explains_itself():
    compiled = pb.compile(f)
    with pytest.raises(InputError, match="made at the first call"):
        compiled.explain_compilation()
    compiled(X, 2.0)
    assert "commands" in compiled.explain_compilation()
    assert "define i64" in compiled.llvm


def test_without_llvmlite_all_runs_on_the_interpreter():
    script = """
import sys
sys.modules["llvmlite"] = None
import numpy as np, payback as pb
assert pb.compile(lambda x: x * 2.0)(np.ones(2)).tolist() == [2.0, 2.0]
run = pb.fit(pb.nn.MLP([1, 1]), np.arange(20.0)[:, None], np.arange(20.0), epochs=1, progress=False)
assert len(run.history) == 1
try:
    pb.compile(lambda x: x, native=True)
except pb.errors.InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert "there is no compiler here" in done.stdout


@pytest.mark.parametrize("seed", range(12))
def test_containers_of_arguments_are_taken_apart_quickly(seed):
    """The short way and the long way agree, whatever is nested in what; another nesting is never misread."""
    rng = np.random.default_rng(seed)

    def part(depth):
        kind = rng.integers(4) if depth else 0
        if kind == 0:
            return rng.standard_normal((2, 3)) if rng.random() < 0.7 else float(rng.standard_normal())
        children = [part(depth - 1) for _ in range(rng.integers(1, 4))]
        return {1: tuple, 2: list, 3: lambda c: {f"k{i}": x for i, x in enumerate(c)}}[kind](children)

    def cost(*args):
        return sum(np.sum(np.sin(leaf) * (k + 1.0)) for k, leaf in enumerate(leaves(args)))

    args = (part(3), part(2))
    f = pb.compile(pb.value_and_grad(cost, argnums=(0, 1)))
    for _ in range(3):
        value, gradient = f(*args)
        wanted, by_hand = pb.value_and_grad(cost, argnums=(0, 1))(*args)
        assert value == pytest.approx(wanted, rel=1e-13)
        assert structure(gradient) == structure(by_hand)
        for a, b in zip(leaves(gradient), leaves(by_hand), strict=True):
            assert type(a) is type(b)
            np.testing.assert_allclose(a, b, rtol=1e-13)
    other = (args[1], args[0])
    assert f(*other)[0] == pytest.approx(pb.value_and_grad(cost, argnums=(0, 1))(*other)[0], rel=1e-13)
    assert f(*args)[0] == pytest.approx(wanted, rel=1e-13)


def scaled(x, power=1, kind="sum", rate=1.0, weights=None, *, centred=False):
    x = x - np.mean(x) if centred else x
    x = x if weights is None else x * weights[0]
    return rate * (np.sum(x**power) if kind == "sum" else np.mean(x**power))


@pytest.mark.parametrize("seed", range(8))
def test_what_is_no_number_and_names_go_the_fast_way(seed):
    """Calls that differ in what decides the graph, in names or in their order are never mistaken for each other."""
    rng = np.random.default_rng(seed)
    compiled = pb.compile(pb.value_and_grad(scaled))
    entered = 0
    for _ in range(12):
        args = (rng.standard_normal(4), int(rng.integers(1, 4)), ["sum", "mean"][rng.integers(2)],
                float(rng.standard_normal()), [None, [rng.standard_normal(4)]][rng.integers(2)])  # fmt: skip
        plain, names = args[: rng.integers(1, 6)], ["power", "kind", "rate", "weights"][: rng.integers(0, 5)]
        named = {name: args[1 + k] for k, name in enumerate(names) if k + 1 >= len(plain)}
        if rng.random() < 0.5:
            named = dict(reversed([*named.items(), ("centred", bool(rng.integers(2)))]))
        wanted, by_hand = pb.value_and_grad(scaled)(*plain, **named)
        for _ in range(2):
            value, gradient = compiled(*plain, **named)
            np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-13)  # what cancels has no digits
            np.testing.assert_allclose(gradient, by_hand, rtol=1e-12, atol=1e-13)
        entered += compiled._fast([plain, named] if named else plain) is not None
    assert entered == 12


def test_keyword_arguments_are_not_mistaken_for_a_pair_of_arguments():
    compiled = pb.compile(lambda *args, **named: np.sum(args[0][0]) - 2 * np.sum(named["y"] if named else args[1]["y"]))
    x, y = np.arange(3.0), np.arange(3.0) + 5
    for _ in range(2):
        assert compiled((x,), {"y": y}) == np.sum(x) - 2 * np.sum(y)
        assert compiled(x, y=y) == x[0] - 2 * np.sum(y)


def test_a_static_argument_that_could_change_takes_the_long_way():
    class Level:
        def __init__(self, n):
            self.n = n

        def __eq__(self, other):
            return self.n == other.n

        def __hash__(self):
            return hash(self.n)

    level, x = Level(2), np.arange(3.0)
    compiled = pb.compile(lambda x, level: x * level.n)
    np.testing.assert_array_equal(compiled(x, level), x * 2)
    np.testing.assert_array_equal(compiled(x, level), x * 2)
    level.n = 5
    np.testing.assert_array_equal(compiled(x, level), x * 5)


def test_rows_on_numpy_lie_between_pieces_of_machine_code():
    """Of every kind of argument and result: what is given, what lies between, what is a number."""

    def f(x, s):
        order = np.sort(x * s, axis=0)
        return order @ x.T, np.sort(x, axis=None), np.linalg.eigvalsh(order[:3, :3] * s)[0], s * 2.0, np.median(x)

    quick = entry(Program(trace(f, X, 2.0).graph))
    assert quick is not None
    kept = []
    for k in range(3):
        x, s = np.random.default_rng(k).standard_normal((3, 4)), 0.5 + k
        kept.append((quick((x, s)), f(x, s)))
        assert type(kept[-1][0][3]) is float
        assert type(kept[-1][0][2]) is np.float64
    for found, wanted in kept:  # no result is overwritten by a later call
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    assert quick((X.T, 2.0)) is None


def test_a_row_on_numpy_that_fails_leaves_the_function_as_it_was():
    f = pb.compile(lambda a: np.sum(np.linalg.eigvalsh(np.sort(a) * 1.0)))
    a = np.eye(3)
    wanted = f(a)
    for _ in range(3):
        with pytest.raises(np.linalg.LinAlgError):
            f(np.full((3, 3), np.nan))
        assert f(a) == wanted


def test_what_a_function_of_the_user_is_given_cannot_be_written_into():
    @pb.custom_gradient
    def own(x):
        return np.sort(x), lambda bar: bar

    f = pb.compile(lambda x: own(x * 1.0) * x)
    for _ in range(3):
        x = np.array([3.0, 1.0, 2.0])
        np.testing.assert_array_equal(f(x), [3.0, 2.0, 6.0])
        np.testing.assert_array_equal(x, [3.0, 1.0, 2.0])
