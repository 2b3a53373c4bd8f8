"""scan, cond and while_loop: the same as Python's loops and branches, in every mode."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, InputError, ShapeError, TraceError
from payback.ir.node import ancestors
from payback.trace.abstract import trace
from payback.trace.tree import tree_map
from transforms.modes import MODES, REVERSE, assert_close, check, chosen

GENERATOR = np.random.default_rng(11)
W, X, H = GENERATOR.uniform(-1, 1, (2, 2)), GENERATOR.uniform(-1, 1, (5, 2)), np.array([0.3, -0.2])


def scan(f, init, xs=None, length=None, *, reverse=False, remat=False):
    """The specification: a Python loop."""
    count = length if xs is None else len(xs[0] if isinstance(xs, tuple) else xs)
    carry, ys = init, []
    for i in reversed(range(count)) if reverse else range(count):
        carry, y = f(carry, tree_map(lambda x, i=i: x[i], xs))
        ys.append(y)
    if reverse:
        ys.reverse()
    return carry, _stack(ys)


def _stack(ys):
    if ys[0] is None:
        return None
    if isinstance(ys[0], tuple):
        return tuple(map(_stack, zip(*ys, strict=True)))
    return np.stack([y if hasattr(y, "node") else np.asarray(y) for y in ys])


class plain:  # noqa: N801 (stands for a module)
    """Python's own loops and branches under the names of payback's."""

    scan = staticmethod(scan)

    @staticmethod
    def cond(condition, high, low, *operands):
        return (high if condition else low)(*operands)

    @staticmethod
    def while_loop(test, step, init, max_steps=None):
        steps = 0
        while (max_steps is None or steps < max_steps) and test(init):
            init, steps = step(init), steps + 1
        return init


def recurrent(p, w, x, h, **options):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, np.sum(h * h)

    return p.scan(step, h, x, **options)


def containers(p, w, x, h):
    def step(carry, parts):
        a, b = parts
        new = {"h": np.sin(carry["h"] * b + a), "n": carry["n"] + 1, "s": carry["s"] + np.sum(carry["h"])}
        return new, (new["h"], carry["n"])

    carry, ys = p.scan(step, {"h": h, "n": np.int64(0), "s": x[0, 0] * 0.0}, (x, x[:, 0]))
    return carry["h"], carry["s"], ys[0]


def captured(p, w, x, h):
    """Constants that are traced: the step reads w and a value computed from h."""
    s = np.sum(h) * w
    return p.scan(lambda c, row: (np.cos(s @ c) + row * w[0, 0], c * s[0]), h, x)


def nested(p, w, x, h):
    def inner(c, row):
        return np.sin(c + row * w[0]), np.sum(c)

    def outer(c, row):
        c, ys = p.scan(inner, c * row, x)
        return c, ys * row[0]

    return p.scan(outer, h, x[:3])


def branching(p, w, x, h):
    def step(c, row):
        c = p.cond(np.sum(row) > 0, lambda c: np.sin(c) + w[0], lambda c: c * row, c)
        return c, c[0]

    return p.scan(step, h, x)


def inside_gradient(p, w, x, h):
    """Descent steps: the gradient of a function inside the loop."""

    def step(c, row):
        return c - 0.1 * pb.grad(lambda c: np.sum((w @ c - row) ** 2))(c), None

    return p.scan(step, h, x)[0]


def two_branches(p, w, x, h):
    a, b = x[0], x[1]
    high = p.cond(h[0] > 0, lambda h: (np.sin(h) * a, np.sum(h)), lambda h: (h * b * w[0], np.sum(b)), h)
    low = p.cond(h[1] > 0, lambda: np.sum(a), lambda: np.sum(w * w))
    return high, low


def newton(p, w, x, h):
    a = np.sum(w * w) + 1.0
    return p.while_loop(lambda r: abs(r * r - a) > 1e-9, lambda r: (r + a / r) / 2, a)


def counting(p, w, x, h, **bound):
    def step(c):
        i, h, s = c
        return i + 1, np.sin(w @ h) + x[0], s + np.sum(h)

    _, h, s = p.while_loop(lambda c: (c[2] < 2.0) & (c[0] < 7), step, (0, h, 0.0), **bound)
    return h, s * 1.0


PROGRAMS = {
    "recurrent": recurrent,
    "reverse": lambda p, w, x, h: recurrent(p, w, x, h, reverse=True),
    "remat": lambda p, w, x, h: recurrent(p, w, x, h, remat=True),
    "remat, reverse": lambda p, w, x, h: recurrent(p, w, x, h, remat=True, reverse=True),
    "length": lambda p, w, x, h: p.scan(lambda c, _: (np.sin(w @ c), c), h, length=4),
    "no results": lambda p, w, x, h: p.scan(lambda c, row: (c * row, None), h, x)[0],
    "containers": containers,
    "captured": captured,
    "nested": nested,
    "branching": branching,
    "inside gradient": inside_gradient,
    "cond": two_branches,
    "while_loop": newton,
    "while_loop with a counter": counting,
    "bounded while_loop": lambda p, w, x, h: counting(p, w, x, h, max_steps=9),
    "while_loop that is cut off": lambda p, w, x, h: counting(p, w, x, h, max_steps=2),
}
UNBOUNDED = {"while_loop", "while_loop with a counter"}
# the reverse mode of an unbounded loop needs to know how many steps it takes
NEEDS_VALUES = [mode for mode in REVERSE if "abstract" in mode or "compiled" in mode or mode == "vmap of grad"]


@pytest.mark.parametrize(("name", "mode"), chosen(PROGRAMS, MODES))
def test_as_in_python(name, mode):
    f = PROGRAMS[name]
    if name in UNBOUNDED and mode in NEEDS_VALUES:
        with pytest.raises(
            DifferentiationError, match=r"loop has no derivative in reverse mode.*Give while_loop a bound"
        ):
            check(mode, lambda *args: f(pb, *args), lambda *args: f(plain, *args), (W, X, H))
        return
    check(mode, lambda *args: f(pb, *args), lambda *args: f(plain, *args), (W, X, H))


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in UNBOUNDED])
def test_float32_stays(name):
    f = PROGRAMS[name]
    args = tuple(a.astype(np.float32) for a in (W, X, H))
    for mode in ("value", "grad", "jvp", "compiled grad", "grad of vmap"):
        check(mode, lambda *args: f(pb, *args), lambda *args: f(plain, *args), args, 1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_finite_differences(name):
    f = PROGRAMS[name]
    pb.check_grads(lambda *args: f(pb, *args), W, X, H, order=2)


def test_one_node_whatever_the_length():
    def count(n):
        graph = trace(lambda x: pb.scan(lambda c, a: (np.sin(c) * a, c), 1.0, x)[0], np.ones(n)).graph
        return len(graph.nodes)

    assert count(10) == count(10_000) < 10


@pytest.mark.parametrize("remat", [False, True])
def test_no_steps(remat):
    x = np.zeros((0, 2))

    def f(h, x, w):
        return pb.scan(lambda c, row: (np.sin(c + row) * w, c[0] * row), h, x, remat=remat)

    h, ys = f(H, x, 2.0)
    np.testing.assert_array_equal(h, H)
    assert ys.shape == (0, 2)
    slopes = pb.grad(lambda *args: np.sum(f(*args)[0] ** 2), (0, 1, 2))(H, x, 2.0)
    np.testing.assert_allclose(slopes[0], 2 * H)
    assert slopes[1].shape == (0, 2)
    assert slopes[2] == 0.0
    assert pb.jvp(lambda h: f(h, x, 2.0)[0], (H,), (H,))[1].tolist() == H.tolist()
    assert_close(pb.compile(f)(H, x, 2.0), (H, ys))
    around = lambda w: pb.scan(lambda c, t: (c + np.log(w) * t, None), w, np.zeros(0), remat=remat)[0]  # noqa: E731
    with np.errstate(divide="ignore"):
        assert [pb.grad(around)(0.0), pb.compile(pb.grad(around))(0.0)] == [1.0, 1.0]


def test_variables_from_around():
    w = pb.variable(W)
    for control in (pb, plain):
        np.sum(recurrent(control, w, X, H)[0]).backward()
        found = w.grad
        if control is pb:
            first = found
    np.testing.assert_allclose(first, found, rtol=1e-12)


def test_whole_numbers_in_the_carry_have_no_derivative():
    def f(x):
        (n, s), counts = pb.scan(lambda c, a: ((c[0] + 1, c[1] * a), c[0]), (0, 1.0), x)
        return s * n, counts

    out, tangent = pb.jvp(lambda x: f(x)[0], (np.array([2.0, 3.0]),), (np.ones(2),))
    assert (out, tangent) == (12.0, 10.0)
    np.testing.assert_array_equal(f(np.array([2.0, 3.0]))[1], [0, 1])


def test_a_carried_python_number_takes_the_dtype_of_the_steps():
    found = pb.scan(lambda c, a: (c + a, c), 0, np.ones(3, np.float32))
    assert found[0].dtype == np.float32
    assert found[1].dtype == np.float32
    assert pb.scan(lambda c, a: (c + a, None), 0.0, np.ones(3))[0].dtype == np.float64
    with pytest.raises(ShapeError, match=r"carry was f32.* and became f64"):
        pb.scan(lambda c, a: (c + a, None), np.float32(0), np.ones(3))


def peak(f, x):
    """Bytes at most; the least of three runs, for other threads allocate too."""
    f(x)
    found = []
    for _ in range(3):
        tracemalloc.start()
        try:
            f(x)
            found.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(found)


def test_remat_keeps_the_square_root():
    """Bytes at n and at 16·n steps: without remat they grow 16-fold, with it about 4-fold."""
    width = 400

    def slope(remat):
        def f(h, n):
            return np.sum(pb.scan(lambda c, _: (np.sin(c), None), h, length=n, remat=remat)[0])

        return lambda n: peak(lambda h: pb.grad(lambda h: f(h, n))(h), np.ones(width))

    least, most = 1024 * width * 8, 200 * width * 8
    for remat, low, high, bound in ((False, 11.0, 17.0, least.__lt__), (True, 2.5, 5.5, most.__gt__)):
        small, large = slope(remat)(64), slope(remat)(1024)
        assert low < large / small < high
        assert bound(large)


def test_cond_runs_one_branch():
    """A graph without numbers holds both; one of them is run."""
    seen = trace(lambda x: pb.cond(x > 0, lambda x: np.log(x), lambda x: np.sqrt(x) * x, x), 1.0)
    (node,) = [node for node in ancestors(seen.graph.outputs) if node.op.name == "branch"]
    used = [{inner.op.name for inner in node.params[key].graph.nodes} for key in ("high", "low")]
    assert used == [{"cast", "log"}, {"cast", "sqrt", "mul"}]
    with np.errstate(all="raise"):
        assert seen(1.0) == 0.0
        assert seen(-0.0) == 0.0
    # so the gradient of the branch that is not taken plays no part
    slope = pb.compile(pb.grad(lambda x: pb.cond(x > 0, lambda x: np.sqrt(x), lambda x: 0.0 * x, x)))
    assert slope(0.0) == 0.0
    assert slope(4.0) == 0.25


def test_what_a_branch_computes_of_values_around_it_is_not_run_without_it():
    slope = pb.compile(pb.grad(lambda x: pb.cond(x > 0, lambda: np.sqrt(x), lambda: 0.0 * x)))
    assert [slope(0.0), slope(4.0)] == [0.0, 0.25]
    entry = pb.compile(lambda x, i: pb.cond(i < 0, lambda: 0.0, lambda: pb.cond(i < 2, lambda: x[i], lambda: 9.0)))
    assert [entry(np.array([3.0, 4.0]), i) for i in (-5, 1, 7)] == [0.0, 4.0, 9.0]
    places = pb.compile(lambda x, i: pb.cond(i[0] < 2, lambda: x[..., i, :].sum(), lambda: 7.0))
    assert places(np.zeros((2, 0, 3)), np.array([4, 5])) == 7.0  # an axis without entries: no place is in bounds
    inverse = pb.compile(lambda x: pb.cond(x[0] > 0, lambda: np.linalg.inv(np.diag(x)).sum(), lambda: np.sum(x)))
    assert inverse(np.array([-1.0, 0.0])) == -1.0


def test_a_branch_pays_nothing_to_what_it_does_not_use():
    def f(x):
        root = np.sqrt(x)  # runs in any case
        return np.sum(pb.cond(x[0] > 0, lambda: root, lambda: 3.0 * x))

    with np.errstate(divide="ignore"):
        for slope in (pb.grad(f), pb.compile(pb.grad(f))):
            assert slope(np.array([0.0, 4.0])).tolist() == [3.0, 3.0]
            assert slope(np.array([4.0, 1.0])).tolist() == [0.25, 0.5]


def test_cond_brings_dtypes_together():
    f = pb.compile(lambda c, x: pb.cond(c, lambda x: x, lambda x: 1.0, x))
    assert f(np.True_, np.float32(2.0)) == np.float32(2.0)
    assert np.asarray(f(np.False_, np.float32(2.0))).dtype == np.float32


def test_samples_that_part():
    """Each sample takes its own branch, and its own number of steps; nothing is computed where it would fail."""
    table = np.array([1.0, 2.0, 4.0])
    x, k = np.array([1.5, -2.0, 0.5, 3.0]), np.array([0, 5, 2, 7])

    def lookup(x, k):
        inside = lambda x, k: x * np.array(table)[k]  # noqa: E731
        return pb.cond(k < 3, inside, lambda x, k: x * x, x, k)

    found = pb.vmap(lookup)(x, k)
    assert_close(found, np.array([1.5, 4.0, 2.0, 9.0]))
    around = lambda x, k: pb.cond(k < 3, lambda: x * np.array(table)[k], lambda: x * x)  # noqa: E731
    assert_close(pb.vmap(around)(x, k), found)
    assert_close(pb.vmap(pb.grad(lookup))(x, k), np.array([1.0, -4.0, 4.0, 6.0]))
    assert_close(pb.grad(lambda x: np.sum(pb.vmap(lookup)(x, k)))(x), np.array([1.0, -4.0, 4.0, 6.0]))

    def collatz(n):
        def step(c):
            return np.where(c[0] % 2 == 0, c[0] // 2, 3 * c[0] + 1), c[1] + 1

        return pb.while_loop(lambda c: c[0] != 1, step, (n, 0))[1]

    np.testing.assert_array_equal(pb.vmap(collatz)(np.array([1, 6, 7, 27])), [0, 8, 16, 111])

    def walk(x, k):  # reads from a table as far as its own bound
        return pb.while_loop(lambda c: c[0] < k, lambda c: (c[0] + 1, c[1] * np.array(table)[c[0]]), (k * 0, x))[1]

    assert_close(pb.vmap(walk)(x, np.array([3, 0, 2, 1])), x * np.array([8.0, 1.0, 2.0, 1.0]))


def test_an_unbounded_loop_forwards_without_numbers():
    root = lambda a: pb.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)  # noqa: E731
    along = pb.compile(lambda a: pb.jvp(root, (a,), (1.0,))[1])
    assert along(4.0) == pytest.approx(0.25, rel=1e-9)
    twice = pb.compile(lambda a: pb.jvp(lambda a: pb.jvp(root, (a,), (1.0,))[1], (a,), (1.0,))[1])
    assert twice(4.0) == pytest.approx(-1 / 32, rel=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: pb.scan(lambda c, x: (c, x), 1.0, 2.0), ShapeError, "is a scalar"),
        (lambda: pb.scan(lambda c, x: (c, x), 1.0), ShapeError, "does not know how many steps"),
        (lambda: pb.scan(lambda c, x: (c, None), 1.0, (np.ones(2), np.ones(3))), ShapeError, "are [2, 3]"),
        (lambda: pb.scan(lambda c, x: (c, x), 1.0, length=-1), InputError, "the length is -1"),
        (lambda: pb.scan(lambda c, x: c, 1.0, np.ones(2)), InputError, "returns no pair"),
        (lambda: pb.scan(lambda c, x: (c, x, x), 1.0, np.ones(2)), InputError, "a tuple of 3"),
        (lambda: pb.scan(lambda c, x: ((c, c), x), 1.0, np.ones(2)), InputError, "returns carry[0], carry[1]"),
        (
            lambda: pb.scan(lambda c, x: (c * x, x), 1.0, np.ones((2, 3))),
            ShapeError,
            "carry was f64[] and became f64[3]",
        ),
        (lambda: pb.scan(lambda c, x: (c * np.ones(2), x), np.float32(1), np.ones(2)), ShapeError, "changes what it"),
        (lambda: pb.scan(lambda c, x: (c if c > 0 else x, x), 1.0, np.ones(2)), TraceError, "test_control.py"),
        (lambda: pb.cond(np.ones(2) > 0, np.sin, np.cos, 1.0), ShapeError, "the condition has the shape (2,)"),
        (
            lambda: pb.compile(lambda x: pb.cond(x > 0, lambda x: x, lambda x: x[None], x))(1.0),
            ShapeError,
            "the two branches of cond return different things",
        ),
        (
            lambda: pb.compile(lambda x: pb.cond(x > 0, lambda x: x, lambda x: (x, x), x))(1.0),
            ShapeError,
            "the two branches of cond return different things",
        ),
        (lambda: pb.while_loop(lambda c: c < 3, lambda c: c + 1, 0.0, max_steps=-1), InputError, "max_steps is -1"),
        (lambda: pb.while_loop(lambda c: c < np.ones(2), lambda c: c + 1, 0.0), ShapeError, "no single truth"),
        (lambda: pb.while_loop(lambda c: True, lambda c: (c, c), 0.0), InputError, "another structure"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "test_control.py" in str(caught.value) or error is InputError
