"""Scans as kernels of their own: bodies by generation against the interpreter, and what may become of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests import amount

import payback as pb
from payback.native.codegen.emit import lanes_of
from payback.native.lower import pointwise
from payback.native.lower.steps import Steps
from payback.native.planning import fission, scans
from payback.native.running import reuse
from payback.trace.tree import leaves

SHAPES: list[tuple[int, ...]] = [(), (), (3,), (4,), (2, 3), (3, 3), (17,), (5, 8)]


class Written:
    """A scan whose body is made of operations by chance: `f(*args)` is what it carries at last and what it stacks."""

    def __init__(self, seed: int):
        self.rng = rng = np.random.default_rng(seed)
        self.seed, self.length = int(rng.integers(1 << 30)), int(rng.integers(0, 9))
        self.dtype = np.dtype(str(rng.choice(["float64", "float32"])))
        self.carried = [self._shape() for _ in range(rng.integers(1, 4))]
        self.stacked = [self._shape() for _ in range(rng.integers(0, 3))]
        self.fixed = [self._shape() for _ in range(rng.integers(0, 3))]
        self.reverse, self.counts = bool(rng.integers(2)), bool(rng.integers(2))
        self.nested = rng.random() < 0.2
        arrays = [*self.carried, *self.fixed, *((self.length, *shape) for shape in self.stacked)]
        self.args = tuple(rng.standard_normal(shape).astype(self.dtype) for shape in arrays)

    def _shape(self) -> tuple[int, ...]:
        return SHAPES[self.rng.integers(len(SHAPES))]

    def f(self, *args: Any) -> Any:
        n, m = len(self.carried), len(self.carried) + len(self.fixed)
        start = (args[:n], np.int64(1)) if self.counts else (args[:n], 0.5)
        (ends, last), ys = pb.scan(lambda s, x: self.step(s, args[n:m], x), start, args[m:], length=self.length,
                                   reverse=self.reverse)  # fmt: skip
        return ends, last, ys

    def step(self, state: Any, fixed: Any, xs: Any) -> Any:
        rng = np.random.default_rng(self.seed)  # the same body whenever it is traced
        state, count = state
        pool = [*state, *fixed, *xs]
        if not self.counts:
            pool.append(count)
        for _ in range(rng.integers(2, 9)):
            pool.append(self.operation(rng, pool[rng.integers(len(pool))], pool[rng.integers(len(pool))], count))
        new = [np.tanh(self.fitted(pool[rng.integers(len(pool))], old.shape) + 0.3 * old).astype(self.dtype)
               for old in state]  # fmt: skip
        if len(new) > 1 and new[0].shape == new[1].shape and rng.integers(2):
            new[0], new[1] = new[1], new[0]
        made = [pool[rng.integers(len(pool))] for _ in range(rng.integers(0, 3))]
        return (tuple(new), count + 1 if self.counts else count * 0.5), tuple(made)

    def fitted(self, x: Any, shape: tuple[int, ...]) -> Any:
        return x if np.shape(x) == shape else np.zeros(shape, self.dtype) + np.mean(x)

    def operation(self, rng: Any, a: Any, b: Any, count: Any) -> Any:
        b = self.fitted(b, np.shape(a))
        match rng.integers(12):
            case 0:
                return a + b
            case 1:
                return a * b - 0.25
            case 2:
                return np.sin(a) / (1.5 + np.abs(b))
            case 3:
                return np.where(a > b, a * 0.5, np.exp(-np.abs(b)))
            case 4:
                return np.maximum(a, b)
            case 5:
                return a - np.sum(a, axis=-1, keepdims=True) * 0.1 if np.ndim(a) else a * 0.7
            case 6:
                return np.roll(a, 1, axis=-1) if np.ndim(a) else np.sqrt(a * a + 0.1)
            case 7:
                return a @ np.swapaxes(b, -1, -2) @ b * 0.2 if np.ndim(a) == 2 else np.cos(b)
            case 8:
                return np.concatenate([a[1:], b[:1]]) if np.ndim(a) else np.log(a * a + 1.0)
            case 9:
                return np.take(a, count % len(a), axis=0) * b if self.counts and np.ndim(a) else a
            case 10:
                return np.logaddexp(a, b)
            case _ if self.nested and np.ndim(a):
                last, ys = pb.scan(lambda s, x: (np.tanh(s * 0.5 + x), s * x), a[0] * 0.0, a)
                return ys + np.sum(last)
        return a * 0.9

    def cost(self, *args: Any) -> Any:
        ends, last, ys = self.f(*args)
        return sum(np.sum(x * np.cos(np.arange(np.size(x)).reshape(np.shape(x)))) for x in (*ends, *ys)) + last


def agree(found: Any, wanted: Any, dtype: Any) -> None:
    """Equal to the rounding of some steps in this dtype."""
    eps = np.finfo(dtype).eps
    for a, b in zip(leaves(found), leaves(wanted), strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        np.testing.assert_allclose(a, b, rtol=200 * eps, atol=200 * eps * max(np.abs(b).max(initial=0), 1))


def on_threads(f: Any, args: Any) -> Any:
    """The result, which is the same to the bit on any number of threads."""
    found = []
    try:
        for count in (1, 2, 3, 4, 8) if amount.full() else (1, 3):
            pb.set_threads(count)
            found.append(pb.compile(f)(*args))
    finally:
        pb.set_threads(None)
    for other in found[1:]:
        for a, b in zip(leaves(found[0]), leaves(other), strict=True):
            assert np.array_equal(a, b, equal_nan=True)
    return found[0]


@pytest.mark.parametrize("seed", range(amount.cases(2, 8, 400)))
@pytest.mark.parametrize("inside", [True, False])
def test_random_bodies(seed, inside, monkeypatch):
    """Kernels written into the loop, and called."""
    if not inside:
        monkeypatch.setattr(scans, "WRITTEN_INSIDE", 0)
        monkeypatch.setattr(scans, "LOCAL", seed % 2 * 64)
        monkeypatch.setattr(scans, "HELD", 0)
    program = Written(seed)
    slots = tuple(range(len(program.args)))
    gradient = pb.value_and_grad(program.cost, argnums=slots)
    agree(on_threads(program.f, program.args), program.f(*program.args), program.dtype)
    agree(pb.compile(gradient)(*program.args), gradient(*program.args), program.dtype)


def test_loops_are_kernels_too():
    """Also inside a scan; what is found is what Newton's steps find one by one."""

    def root(a):
        return pb.while_loop(lambda x: np.abs(x * x - a) > 1e-12 * a, lambda x: 0.5 * (x + a / x), a)

    f = pb.compile(lambda xs: pb.scan(lambda s, x: (s + root(x + s), root(x)), 1.0, xs))
    xs = np.arange(1.0, 9.0)
    last, roots = f(xs)
    np.testing.assert_allclose(roots, np.sqrt(xs), rtol=1e-12)
    total = 1.0
    for x in xs:
        total += np.sqrt(x + total)
    np.testing.assert_allclose(last, total, rtol=1e-11)
    assert f._program().segment is not None


@pytest.mark.parametrize("held", [0, 1024])
def test_a_loop_that_goes_on_is_left_and_begun_anew(held, monkeypatch):
    """Then it can be interrupted; what it was given is as it was, donated or not."""
    monkeypatch.setattr(scans, "MOST", 10)
    monkeypatch.setattr(scans, "HELD", held)

    def f(n, x):
        return pb.while_loop(lambda s: s[0] < n, lambda s: (s[0] + 1.0, s[1] * 0.5 + n), (0.0, x))[1]

    compiled, x = pb.compile(f, donate="x"), np.arange(5.0)
    for n in (3.0, 10.0, 11.0, 40.0, 3.0):
        np.testing.assert_array_equal(compiled(n, x.copy()), f(n, x))
    assert compiled._program()._split is not None


def test_an_error_names_the_line_and_leaves_what_was_donated():
    def f(x, order):
        return pb.scan(lambda h, i: (h + x[i], None), 0.0 * x, order)[0]  # this line

    compiled, x = pb.compile(f, donate="x"), np.arange(4.0)
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(x, np.array([1, 7]))
    np.testing.assert_array_equal(x, np.arange(4.0))


def test_systems_that_have_no_solution_stop_a_scan():
    a = np.stack([np.eye(3), np.zeros((3, 3))])
    f = pb.compile(lambda x, a: pb.scan(lambda s, m: (np.linalg.solve(m, s), None), x, a)[0])
    np.testing.assert_allclose(f(np.ones(3), a[:1]), np.ones(3))
    with pytest.raises(np.linalg.LinAlgError):
        f(np.ones(3), a)


def test_what_is_not_finite_goes_on():
    xs = np.array([1.0, np.inf, -np.inf, 2.0, np.nan])
    f = lambda xs: pb.scan(lambda s, x: (s * 0.5 + x, s), 0.0, xs)  # noqa: E731
    for found, wanted in zip(leaves(pb.compile(f)(xs)), leaves(f(xs)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_sequences_lie_as_they_lie():
    """Turned round, spread from one entry, each second column."""
    x = np.arange(24.0).reshape(6, 4)
    for view in (x[::-1], np.broadcast_to(x[0], (6, 4)), x[:, ::2], x.T, np.asfortranarray(x)):
        for reverse in (False, True):

            def f(view, reverse=reverse):
                view = view * 1.0 + 0.0
                return pb.scan(lambda s, v: (np.sin(s + v), s), view[0], view[:, :], reverse=reverse)

            for found, wanted in zip(leaves(pb.compile(f)(view)), leaves(f(view)), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("inside", [True, False])
def test_blocks_of_steps_are_kernels_in_kernels(inside, monkeypatch):
    monkeypatch.setattr(scans, "WRITTEN_INSIDE", 1_000_000 * inside)
    w, xs = np.random.default_rng(0).standard_normal((2, 4, 4)) / 2, np.arange(44.0).reshape(11, 4) / 44

    def f(w, xs):
        return pb.scan(lambda h, x: (np.tanh(h @ w[0] + x @ w[1]), h), xs[0], xs, remat=True)[1].sum()

    compiled, gradient = pb.compile(pb.grad(f, argnums=(0, 1))), pb.grad(f, argnums=(0, 1))
    agree(compiled(w, xs), gradient(w, xs), np.float64)
    assert compiled._program().segment is not None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_shorter_than_a_vector_is_one(dtype):
    """To the bits that long rows have."""
    xs = np.random.default_rng(0).standard_normal((5, 3)).astype(dtype)
    compiled = pb.compile(lambda xs: pb.scan(lambda s, x: (np.tanh(np.where(s < 2.0, x, s)[::-1]), s), xs[0], xs))
    last, before = compiled(xs)
    long = pb.compile(np.tanh)(np.tile(xs, (16, 1)))[:5, ::-1]
    np.testing.assert_array_equal(np.vstack([before[1:], last[None]]), long)
    (steps,) = (command.kernel for command in compiled._program().commands if isinstance(command.kernel, Steps))
    if lanes_of(pointwise.register_type(np.dtype(dtype).str[1:])) > 3:
        assert 3 in {getattr(call.kernel, "few", 0) for call in steps.calls}


def left_in_loops(f, *args):
    """Of each scan of a function that has agreed with the interpreter: its kernel, and the shapes that it gives."""
    compiled = pb.compile(f)
    agree(compiled(*args), f(*args), np.asarray(args[0]).dtype)
    commands = [command for command in compiled._program().commands if isinstance(command.kernel, Steps)]
    return [(command.kernel, [view.shape for view in command.writes]) for command in commands]


@pytest.mark.parametrize("large", [False, True])
def test_what_no_later_step_needs_is_computed_after_the_scan(monkeypatch, large):
    """The variances are what steps wait for, their logarithms are not; large steps fill vectors as they are."""
    reuse.forget()
    if large:
        monkeypatch.setattr(fission, "STEP", 0)

    def cost(p, r):
        def step(v, e):
            v = p[0] + p[1] * e * e + p[2] * v
            return v, np.log(v) + e * e / v

        return np.sum(pb.scan(step, p[0], r)[1])

    p, r = np.array([0.1, 0.2, 0.7]), np.random.default_rng(0).standard_normal(6)
    for f in (cost, pb.value_and_grad(cost)):
        assert ("'log'" in str(left_in_loops(f, p, r))) == large


@pytest.mark.parametrize("reverse", [False, True])
def test_what_waits_for_nothing_is_computed_before_the_scan(reverse):
    """Products with what comes in, and the gradients of weights, are products of all steps."""
    rng = np.random.default_rng(1)
    w, u, xs = rng.standard_normal((40, 60)) / 7, rng.standard_normal((60, 60)) / 8, rng.standard_normal((5, 40))

    def cost(w, u, xs):
        def step(h, x):
            h = np.tanh(x @ w + h @ u)
            return h, h

        h, hs = pb.scan(step, 0.0 * u[0], xs, reverse=reverse)
        return np.sum(hs * hs) + np.sum(h)

    there, back = left_in_loops(pb.grad(cost, argnums=(0, 1, 2)), w, u, xs)
    assert there[1] == [(60,), (5, 60), (5, 60)]
    assert back[1] == [(60,), (5, 60)]
    assert len(there[0].calls) == len(back[0].calls) == 2


def test_scans_in_steps_are_run_side_by_side_where_no_step_waits_for_them():
    """On the way back the values of inner scans are known, so only what they pay is left."""
    ds = np.random.default_rng(2).standard_normal((5, 4))

    def cost(ds):
        def cell(left, at):
            made = np.tanh(left + at)
            return made, made

        def row(before, d):
            return pb.scan(cell, 0.0 * d[0], before * d)[1], None

        return np.sum(pb.scan(row, 0.1 + 0.0 * ds[0], ds)[0])

    inner = [str(kernel).count("Steps(") - 1 for kernel, _ in left_in_loops(pb.grad(cost), ds)]
    assert inner == [1, 0, 1]  # there; all of them again, side by side; back
