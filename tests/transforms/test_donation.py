"""Donated arguments: results are written into their arrays, and are what they are without."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, PaybackError

ENGINES = pytest.mark.parametrize("native", [True, False])
# fmt: off
UPDATES = ["{a} + {b}", "{a} - 2.0 * {c}", "{a}", "{a}.T", "{a}[::-1]", "{a}.T[::-1] + {b}", "{a} @ {b}",
           "{a}.sum(0) + {b}", "np.where({a} > {b}, {a}, {c})", "{a}[p]", "{a}[p][:, p] - {b}", "{a}[1:2] + {b}",
           "np.sort({a}, axis=0) + {c}", "np.concatenate([{a}[2:], {b}[:2]])", "np.maximum({a}, 0.0)", "{a} * {a}",
           "np.cumsum({a}, axis=1)"]
# fmt: on


def arrays(seed=0, n=5, dtype="float64"):
    generator = np.random.default_rng(seed)
    return [generator.integers(-3, 4, (n, n)).astype(dtype) for _ in range(3)]


def written(seed):
    """A random step: three arrays in, three out, by any of the others; whole numbers, so that all engines agree."""
    generator = np.random.default_rng(seed)
    names, lines = ["x", "y", "z"], []
    for k in range(int(generator.integers(1, 5))):
        text = UPDATES[generator.integers(len(UPDATES))]
        a, b, c = (names[i] for i in generator.integers(len(names), size=3))
        lines.append(f"    t{k} = " + text.format(a=a, b=b, c=c))
        names.append(f"t{k}")
    results = ", ".join(names[i] for i in generator.integers(len(names), size=3))
    return "\n".join(["def f(x, y, z, p):", *lines, f"    return {results}, (x + y + z).sum()"])


@pytest.mark.parametrize("seed", range(amount.cases(60, 1000)))
def test_random_steps(seed):
    source = written(seed)
    space = {"np": np}
    exec(source, space)
    f, p = space["f"], np.random.default_rng(seed).integers(-5, 5, 5)
    expected = [np.array(part) for part in f(*arrays(seed), p)]
    for native in (True, False):
        for donated in ("x", ("y", "z"), ("x", "y", "z")):
            given = arrays(seed)
            before = [array.copy() for array in given]
            results = pb.compile(f, donate=donated, native=native)(*given, p)
            for got, wanted in zip(results, expected, strict=True):
                np.testing.assert_array_equal(got, wanted, err_msg=source)
            ours = [name in donated for name in "xyz"]
            assert all(any(r is array for r in results) for array, on in zip(given, ours, strict=True) if on)
            for array, was, on in zip(given, before, ours, strict=True):
                if not on:
                    np.testing.assert_array_equal(array, was)
            for k, one in enumerate(results):  # no two results share memory
                assert not any(np.may_share_memory(one, other) for other in results[k + 1 :])


@ENGINES
def test_a_step_on_a_container(native):
    @pb.compile(donate="state", native=native)
    def step(state, x):
        return {name: value - 0.5 * x for name, value in state.items()}, (x * x).sum()

    state, x = {"a": np.ones(4), "b": np.zeros(4)}, np.full(4, 2.0)
    new, cost = step(state, x)
    assert new["a"] is state["a"]
    assert new["b"] is state["b"]
    assert (state["a"][0], state["b"][0], cost, x[0]) == (0.0, -1.0, 16.0, 2.0)
    again, _ = step(state=new, x=x)  # by name
    assert again["a"] is state["a"]
    assert state["a"][0] == -1.0


def test_memory_is_reused():
    """Updating entry by entry needs no memory but that of the argument itself."""
    step = pb.compile(lambda w, g: w - 0.1 * g, donate="w", native=True)
    step(np.ones(1000), np.ones(1000))
    assert step._program().arena_bytes == 0
    assert "into what was donated" not in step.explain_compilation()


@ENGINES
@pytest.mark.parametrize("kind", ["read-only", "view", "fortran", "strided", "twice", "overlaps", "subclass"])
def test_what_cannot_be_written_into_is_left_alone(native, kind):
    f = pb.compile(lambda a, b: (a * 2.0 + b, a - b), donate="a", native=native)
    base = np.arange(32.0).reshape(8, 4)
    a, b = base[:4].copy(), np.ones((4, 4))
    if kind == "read-only":
        a.flags.writeable = False
    elif kind == "view":
        a = base[:4]
    elif kind == "fortran":
        a = np.asfortranarray(a)
    elif kind == "strided":
        a = base[::2]
    elif kind == "twice":
        b = a
    elif kind == "overlaps":
        b = a[::-1]
    else:
        a = a.view(type("Mine", (np.ndarray,), {}))
    before_a, before_b = np.array(a), np.array(b)
    first, second = f(a, b)
    np.testing.assert_array_equal(first, before_a * 2.0 + before_b)
    np.testing.assert_array_equal(second, before_a - before_b)
    np.testing.assert_array_equal(a, before_a)
    np.testing.assert_array_equal(b, before_b)
    assert not any(np.may_share_memory(result, array) for result in (first, second) for array in (a, b))
    assert type(first) is np.ndarray


@ENGINES
def test_an_array_that_is_captured_too(native):
    shared = np.ones(3)
    f = pb.compile(lambda a: (a + shared, shared * 5.0), donate="a", native=native)
    first, second = f(shared)
    np.testing.assert_array_equal(first, 2.0)
    np.testing.assert_array_equal(second, 5.0)
    np.testing.assert_array_equal(shared, 1.0)
    assert f(np.zeros(3))[0][0] == 1.0


@ENGINES
def test_the_same_array_donated_twice(native):
    f = pb.compile(lambda a, b: (a + 1.0, b * 10.0), donate=("a", "b"), native=native)
    a = np.full(3, 2.0)
    first, second = f(a, a)
    np.testing.assert_array_equal(first, 3.0)
    np.testing.assert_array_equal(second, 20.0)
    np.testing.assert_array_equal(a, 2.0)


@ENGINES
def test_a_failing_call_leaves_the_arguments_as_they_were(native):
    """Nothing is written before the last thing that can fail."""
    f = pb.compile(lambda a, b, p: (a * 2.0, b[p]), donate=("a", "b"), native=native)
    a, b = np.ones(4), np.ones(4)
    with pytest.raises((IndexError, PaybackError)):
        f(a, b, np.array([0, 1, 9, 2]))
    np.testing.assert_array_equal(a, 1.0)
    np.testing.assert_array_equal(b, 1.0)
    g = pb.compile(lambda a, s: (a * 2.0, np.linalg.cholesky(s)), donate=("a", "s"), native=native)
    s = -np.eye(3)
    with pytest.raises(np.linalg.LinAlgError):
        g(a, s)
    np.testing.assert_array_equal(a, 1.0)
    np.testing.assert_array_equal(s, -np.eye(3))


def test_nothing_is_donated_inside_a_transform():
    f = pb.compile(lambda a: a * a, donate="a")
    x = np.arange(1.0, 4.0)
    np.testing.assert_array_equal(pb.grad(lambda x: f(x).sum())(x), [2.0, 4.0, 6.0])
    np.testing.assert_array_equal(x, [1.0, 2.0, 3.0])


def test_numbers_and_other_shapes_are_not_donated():
    f = pb.compile(lambda a, s: (a.sum(), a[:2] * s), donate=("a", "s"))
    a = np.ones(3)
    total, part = f(a, 2.0)
    assert total == 3.0
    np.testing.assert_array_equal(part, 2.0)
    np.testing.assert_array_equal(a, 1.0)


def test_threads_change_no_bit():
    def step(w, m, g):
        m = 0.9 * m + 0.1 * g
        return w - 0.01 * m / (np.sqrt((m * m).mean()) + 1e-8), m, (w * w).sum()

    found = []
    for threads in (1, 2, 3):
        pb.set_threads(threads)
        try:
            f = pb.compile(step, donate=("w", "m"), native=True)
            w, m, g = (np.random.default_rng(k).standard_normal((400, 300)) for k in range(3))
            for _ in range(3):
                w, m, cost = f(w, m, g)
            found.append((w.copy(), m.copy(), cost))
        finally:
            pb.set_threads(None)
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("donate", "options", "text"),
    [
        ("b", {}, "no argument of this name"),
        (1.5, {}, "by its name or its position"),
        ((True,), {}, "by its name or its position"),
        (0, {"static_argnums": 0}, "static and donated"),
    ],
)
def test_errors(donate, options, text):
    with pytest.raises(InputError, match=text):
        pb.compile(lambda a: a, donate=donate, **options)


def test_donated_arrays_go_the_fast_way():
    """Not those that cannot be written into, or whose memory another argument shows."""
    f = pb.compile(lambda w, m, x: ({"w": w["w"] - m * x[0]}, 0.5 * m, np.sum(x)), donate=("w", "m"))
    w, m, x = {"w": np.ones(6)}, np.arange(6.0), np.arange(12.0).reshape(2, 6)
    f({"w": np.ones(6)}, np.ones(6), x)
    for step in range(3):
        wanted = w["w"] - m * x[step % 2], 0.5 * m
        new, half, total = f._fast((w, m, x[step % 2 : step % 2 + 1].repeat(2, 0)))
        assert new["w"] is w["w"]
        assert half is m
        np.testing.assert_array_equal(new["w"], wanted[0])
        np.testing.assert_array_equal(half, wanted[1])
        assert total == 2 * np.sum(x[step % 2])
    table = np.arange(24.0).reshape(4, 6)
    fixed = np.ones(6)
    fixed.setflags(write=False)
    for args in (
        ({"w": table[0]}, m, x),
        ({"w": m}, m, x),
        ({"w": fixed}, m, x),
        (w, m, np.lib.stride_tricks.as_strided(m, (2, 6), (0, 8))),
    ):
        before = args[0]["w"].copy(), args[1].copy(), args[2].copy()
        assert f._fast(args) is None
        for one, other in zip((args[0]["w"], *args[1:]), before, strict=True):
            np.testing.assert_array_equal(one, other)
    big = np.arange(12.0)
    assert f._fast(({"w": np.ones(6)}, big[:6], big.reshape(2, 6))) is None
