"""Scans, loops and branches inside compiled functions: machine code that does what the interpreter does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import payback as pb
from payback.native.lower.steps import Steps
from payback.native.planning import scans
from payback.native.running import control, reuse
from payback.trace.tree import leaves

rng = np.random.default_rng(0)
W, U = rng.standard_normal((4, 4)) / 2, rng.standard_normal((3, 4))
XS = rng.standard_normal((7, 3))


def recurrent(W, U, h, xs):
    def step(h, x):
        h = np.tanh(h @ W + x @ U)
        return h, (h * h).sum()

    h, ys = pb.scan(step, h, xs)
    return ys.sum() + (h * np.arange(4, dtype=h.dtype)).sum()


def swap(a, b, xs):
    """What is carried changes places, and nothing may be overwritten before it is read."""
    (a, b, c), ys = pb.scan(lambda s, x: ((s[1], s[2] + x, s[0] * s[1]), s[0] - s[2]), (a, b, a + b), xs)
    return (a * b + c).sum() + (ys * np.arange(ys.shape[0])[:, None]).sum()


def counted(x, xs):
    """A whole number, a truth value and an empty array are carried beside the numbers."""

    def step(state, x):
        n, seen, empty, total = state
        return (n + 1, seen | (x > 0), empty * 2.0, total * np.where(seen, 0.5, 1.0) + x * n), total

    (n, seen, empty, total), ys = pb.scan(step, (np.int64(0), np.bool_(False), np.zeros((0, 2)), x), xs)
    return total * n + np.where(seen, 1.0, 2.0) * ys.sum() + empty.sum()


def nested(x, xs):
    def row(h, x):
        h, ys = pb.scan(lambda h, v: (np.sin(h) + v, h * v), h, x)
        return h, ys.sum()

    h, ys = pb.scan(row, x, xs)
    return h * ys.sum()


def chosen(x, xs):
    return pb.scan(lambda h, v: (pb.cond(h > 0.5, lambda h: h * 0.5, lambda h: h + v * v, h), h), x, xs)[1].sum()


def newton(a):
    return pb.while_loop(lambda x: np.abs(x * x - a) > 1e-13, lambda x: 0.5 * (x + a / x), a)


def bounded(a):
    return pb.while_loop(lambda x: x < 100.0, lambda x: x * x + a, a, max_steps=12)


def gates(w, xs):
    """Layers of gates: more results of one shape than one nest makes."""

    def step(state, x):
        new = []
        for k, (hidden, cell) in enumerate(state):
            forget, ingate, outgate = (1.0 / (1.0 + np.exp(-(x * w[k, j] + hidden * w[k, j + 1]))) for j in range(3))
            cell = cell * forget + ingate * np.tanh(hidden * w[k, 4])
            x = outgate * np.tanh(cell)
            new.append((x, cell))
        return tuple(new), x

    start = tuple((w[k, 0], w[k, 1]) for k in range(w.shape[0]))
    state, ys = pb.scan(step, start, xs)
    return (ys * ys).sum() + sum((h * c).sum() for h, c in state)


def twice(x, xs):
    """One value is a result several times, an old one and a constant too."""

    def step(s, v):
        new = np.sin(s[0]) * v
        return (new, s[0], 2.0), (new, new, s[1], s[0] + s[2])

    (a, b, c), (p, q, r, t) = pb.scan(step, (x, x * 2.0, 1.0), xs)
    return a * b * c + (p * q + r * t).sum()


PROGRAMS = {
    "layers of gates": (gates, (rng.standard_normal((4, 5, 3)), XS)),
    "one value several times": (twice, (0.3, XS[:, 0])),
    "a recurrent network": (recurrent, (W, U, np.zeros(4), XS)),
    "in float32": (recurrent, tuple(np.float32(a) for a in (W, U, np.zeros(4), XS))),
    "one step": (recurrent, (W, U, np.zeros(4), XS[:1])),
    "no step": (recurrent, (W, U, np.ones(4), XS[:0])),
    "strided sequences": (recurrent, (W.T, U, np.zeros(8)[::2], XS[::-2])),
    "places change": (swap, (np.arange(3.0), np.ones(3), XS)),
    "whole numbers": (counted, (0.5, XS[:, 0])),
    "a scan of scans": (nested, (0.3, XS)),
    "a branch in a scan": (chosen, (0.3, XS[:, 0])),
    "a loop with a bound": (bounded, (1.5,)),
}


def close(found: Any, wanted: Any) -> None:
    for a, b in zip(leaves(found), leaves(wanted), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        eps = np.finfo(np.asarray(b).dtype).eps if np.asarray(b).dtype.kind == "f" else 0
        np.testing.assert_allclose(a, b, rtol=64 * eps, atol=64 * eps * max(np.abs(b).max(initial=0), 1))


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_derivatives(name):
    f, args = PROGRAMS[name]
    slots = tuple(range(len(args)))
    for transform in (lambda f: f, lambda f: pb.value_and_grad(f, argnums=slots)):
        close(pb.compile(transform(f))(*args), transform(f)(*args))
    tangents = tuple(np.ones_like(a) if isinstance(a, np.ndarray) else 1.0 for a in args)
    close(pb.compile(lambda *a: pb.jvp(f, a, tangents))(*args), pb.jvp(f, args, tangents))


def test_second_order_and_batches():
    g = pb.hessian(lambda h: recurrent(W, U, h, XS))
    close(pb.compile(g)(np.ones(4)), g(np.ones(4)))
    many = pb.vmap(pb.grad(chosen), in_axes=(0, None))
    close(pb.compile(many)(np.linspace(0, 1, 5), XS[:, 0]), many(np.linspace(0, 1, 5), XS[:, 0]))


def test_a_loop_without_a_bound():
    close(pb.compile(newton)(7.0), newton(7.0))
    assert pb.compile(newton)(7.0) == pytest.approx(7.0**0.5, rel=1e-14)
    assert pb.compile(lambda n: pb.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + s[0]), (0.0, 0.0)))(
        100_000.0
    ) == (100_000.0, 4_999_950_000.0)


@pytest.mark.parametrize("name", ["a recurrent network", "places change", "whole numbers", "a loop with a bound"])
def test_the_steps_run_natively(name, monkeypatch):
    """As kernels of the program; where they are not, each as a loop of its own."""
    f, args = PROGRAMS[name]
    whole = pb.compile(pb.grad(f))
    whole(*args)
    assert whole._program().segment is not None
    calls = []
    for rule in ("scan_values", "loop_values"):
        monkeypatch.setattr(control, rule, lambda *a, **k: calls.append(a))
    monkeypatch.setattr(scans, "team_of", lambda *_: 2)
    monkeypatch.setattr(reuse, "_kept", False)  # what lies on the disk was planned otherwise
    split = pb.compile(pb.grad(f))
    close(split(*args), whole(*args))
    assert split._program().segment is None
    assert "0 of them on NumPy, 2 by programs of their own" in split.explain_compilation()
    assert not calls


def test_small_results_of_one_shape_are_made_together():
    """A step's kernel does nothing but compute: nothing is stacked that nobody reads, states stay where they are."""
    f = pb.compile(pb.value_and_grad(gates, argnums=(0, 1)), native=True)
    f(rng.standard_normal((1, 5, 3)), XS)
    steps = [command.kernel for command in f._program().commands if isinstance(command.kernel, Steps)]
    assert [len(kernel.calls) for kernel in steps] == [1, 1]


def test_a_branch_that_costs_much_runs_one_side():
    big = np.ones(10_000)
    f = pb.compile(lambda c, x: pb.cond(c > 0, lambda x: np.sin(x), lambda x: np.sqrt(x) * x, x))
    close(f(1.0, big), np.sin(big))
    close(f(-1.0, big), big)
    assert "branch" in f.explain_compilation()
    small = pb.compile(lambda c, x: pb.cond(c > 0, lambda x: np.log(x), lambda x: x * 0.0, x))
    close(small(0.0, np.zeros(3)), np.zeros(3))  # the side not taken is no number, and is not seen
    assert "branch" not in small.explain_compilation()


def test_an_index_out_of_bounds_is_told_as_by_the_interpreter():
    def f(x, order):
        return pb.scan(lambda h, i: (h + x[i], h), 0.0 * x[0], order)[0]

    g = pb.compile(f)
    assert g(np.arange(3.0), np.array([0, 2, 1])) == 3.0
    with pytest.raises(IndexError):
        g(np.arange(3.0), np.array([0, 5, 1]))
    assert g(np.arange(3.0), np.array([2, 2, 2])) == 6.0


def test_several_threads_at_once():
    g = pb.compile(pb.grad(recurrent, argnums=2))
    starts = [np.full(4, 0.1 * k) for k in range(16)]
    alone = [g(W, U, h, XS) for h in starts]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            for a, b in zip(pool.map(lambda h: g(W, U, h, XS), starts), alone, strict=True):
                assert np.array_equal(a, b)


def test_arguments_are_left_as_they_were():
    h = np.ones(4)
    before = [a.copy() for a in (W, U, h, XS)]
    pb.compile(pb.grad(recurrent, argnums=(0, 1, 2, 3)))(W, U, h, XS)
    assert all(np.array_equal(a, b) for a, b in zip(before, (W, U, h, XS), strict=True))


def test_a_loop_that_a_kernel_stops_is_gone_through_by_the_interpreter():
    """At the third step the matrix is singular: that is an error, and no end of the loop."""

    def f(a):
        def step(state):
            return state[0] - 1.0, np.linalg.inv(state[0] * a) + state[1]

        return pb.while_loop(lambda state: state[0] > -1.0, step, (2.0, a))[1]

    compiled = pb.compile(f, native=True)
    for n in (3, 20):
        with pytest.raises(np.linalg.LinAlgError, match="Singular"):
            compiled(np.eye(n))


@pytest.mark.parametrize("n", [0, 3])
def test_a_scan_of_constants_is_a_constant_of_several_results(n):
    def f(x, v):
        made = np.array([row * 2 for row in x])  # of no rows: plain
        ys = pb.scan(lambda c, r: (np.tanh(c + r), c * r), np.zeros(()), made)[1]
        return (ys - 1.0) ** 2, np.signbit(v)

    x, v = np.linspace(-1.0, 2.0, n), np.ones(2)
    for found, wanted in zip(pb.compile(f)(x, v), f(x, v), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)
