"""Long bodies in stages: the bits of the same bodies in one piece, wherever rows and groups end and stages are cut."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import same_bits
from payback.native.codegen import cache, emit, library
from payback.native.lower.nests import stages
from payback.native.lower.nests.nest import Nest
from payback.native.planning import nests
from payback.native.planning.inplace import InPlace
from payback.native.running import cores
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

pytestmark = pytest.mark.skipif(emit.vector_bytes() < 32, reason="bodies of short vectors are done in one piece")
EDGES = (63, 64, 65, 127, 128, 129, 255, 256, 257, 511, 575, 1000, 1001)  # a group is 64 to 128 numbers
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -1e-40, 1e308, -1e308, 710.0, -745.2, 1.0, -1.0)


def chain(x, y):
    """One function after another."""
    for k in range(6):
        y = np.exp(-0.3 * y * y) + (0.1 + 0.1 * k) * x
    return y


def side_by_side(x, y):
    """More that lives at once than there are registers."""
    parts = [np.tanh(x * (0.1 + 0.1 * k)) for k in range(9)]
    total = y
    for part in parts:
        total = total + part
    for part in parts:
        total = total * (part + 0.3)
    return total


def several(x, y):
    """Several results; divisions and roots."""
    root = np.sqrt(1.0 + y * y)
    d = (np.log(1.0 + x * x) + root) / (root + 0.5)
    half = np.exp(-root)
    return pb.nn.sigmoid(d) * x - half * np.tanh(d - root), half / d, x * half


def choices(x, y):
    """Bits, which have no place in memory; what is used from the first stage to the last."""
    low, high = x < y, np.abs(x) > 0.5
    e = np.exp(np.minimum(x, 2.0))
    z = np.where(low & ~high, np.tanh(e * y), np.where(high | (e > 1.0), np.log1p(e), np.floor(e * 3.0)))
    return np.where(low, z, -z) + np.sign(y) * np.clip(z, -0.5, 0.5)


def of_both_widths(x, y):
    wide, narrow = x.astype(np.float64), y.astype(np.float32)
    e = np.exp(-wide * wide) + np.tanh(narrow).astype(np.float64)
    return np.log(e * e + 0.5), np.tanh(e.astype(np.float32) * narrow), e


BODIES = (chain, side_by_side, several, choices, of_both_widths)


def numbers(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def staged(program):
    return [c for c in program.commands if any(isinstance(k, Nest) and k.staged for k in c.kernels)]


def in_one_piece(graph):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nests, "_in_stages", lambda *_: False)
        return Program(graph)


def results(f, *args, threads=1, least=1):
    """What f gives in stages, and in one piece."""
    graph = trace(f, *args).graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAYBACK_THREADS", str(threads))
        patch.setattr(cores, "WORTHWHILE", 0.0)  # however little there is to do
        program, plain = Program(graph), in_one_piece(graph)
    assert len(staged(program)) >= least
    assert not staged(plain)
    assert program.segment.threads == plain.segment.threads == threads
    return program(*args), plain(*args)


def assert_equal(f, *args, **more):
    found, expected = results(f, *args, **more)
    for a, b in zip(found, expected, strict=True):
        assert same_bits(a, b), f"{f.__name__}, {[np.shape(x) for x in args]}: {np.flatnonzero(np.ravel(a != b))}"
    return found


@pytest.mark.parametrize("dtype", [np.float64, np.float32][: amount.cases(1, 2)])
@pytest.mark.parametrize("f", BODIES, ids=lambda f: f.__name__)
def test_rows_end_anywhere(f, dtype):
    for n in EDGES[amount.cases(6, 0) :]:
        args = numbers(n, dtype=dtype), numbers(n, dtype=dtype, seed=1)
        found = assert_equal(f, *args, least=n >= 256)
        if n == 257:
            close(found, Interpreter(trace(f, *args).graph)(*args))


def close(found, expected):
    eps = 64 * max(float(np.finfo(b.dtype).eps) for b in expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=eps, atol=eps)


@pytest.mark.parametrize("f", BODIES, ids=lambda f: f.__name__)
def test_every_lane_takes_every_number(f):
    """The other operand is moved, so that each pair of numbers comes to stand in some lane."""
    x = np.resize(SPECIAL, 1001)
    for move in range(0, len(SPECIAL), amount.cases(6, 1)):
        y = np.roll(x, move)
        found = assert_equal(f, x, y)
        for a, b in zip(found, Interpreter(trace(f, x, y).graph)(x, y), strict=True):
            b = np.where(np.abs(b) < np.finfo(b.dtype).tiny, 0, b)
            assert same_bits(a[~np.isfinite(b)], b[~np.isfinite(b)])
            assert (np.isfinite(a) == np.isfinite(b)).all()


@pytest.mark.parametrize("f", [chain, several][: amount.cases(1, 2)], ids=lambda f: f.__name__)
def test_the_bits_do_not_depend_on_the_threads(f):
    for shape in [(40_003,), (37, 1001)]:
        args = numbers(*shape), numbers(*shape, seed=1)
        expected = assert_equal(f, *args)
        for threads in (2, 3, 8):
            for a, b in zip(assert_equal(f, *args, threads=threads), expected, strict=True):
                assert same_bits(a, b)


def test_operands_are_spread():
    """Along a row they stand still in a register, or rows of one array are read again and again."""
    by_row, by_column, number = numbers(5, 1), numbers(300, seed=1), np.float64(0.3)
    full = assert_equal(lambda x, y, z: chain(x, y * z), numbers(5, 300), by_row, number)
    assert full[0].shape == (5, 300)
    assert_equal(chain, by_row, numbers(5, 300))
    assert_equal(chain, by_column, numbers(5, 300))
    assert_equal(chain, numbers(5, 400)[:, 7:307], numbers(5, 303)[:, 3:])
    assert_equal(chain, numbers(5, 600)[:, ::2], numbers(5, 300), least=0)  # not in stages


def test_results_take_the_place_of_operands(monkeypatch):
    """A carry that is computed into its own memory, entry by entry."""
    moved, move = [], InPlace.move

    def spied(self, new, old, after=-1):
        done = move(self, new, old, after)
        moved.extend(self.commands[k].kernel for k in self.users[old.buffer] if done)
        return done

    def f(x, y):
        return pb.scan(lambda carry, _: (chain(carry, carry), None), x, np.zeros(3))[0] + y

    monkeypatch.setattr(InPlace, "move", spied)
    x, y = numbers(1001), numbers(1001, seed=1)
    graph = trace(f, x, y).graph
    (found,) = Program(graph)(x, y)
    assert any(isinstance(kernel, Nest) and kernel.staged for kernel in moved)
    (plain,) = in_one_piece(graph)(x, y)
    for _ in range(3):
        x = chain(x, x)
    assert same_bits(found, plain)
    np.testing.assert_allclose(found, x + y, rtol=1e-12)


def sums(x, y):
    z = np.tanh(x * y) * np.exp(-0.5 * y * y)
    terms = np.log1p(np.exp(z)) + z / (1.0 + np.sqrt(np.abs(x)))
    return terms.sum(-1), terms.max(-1), z.min(-1), (z * z).mean(-1), terms


@pytest.mark.parametrize("dtype", [np.float64, np.float32][: amount.cases(1, 2)])
def test_sums_of_long_bodies(dtype):
    """The largest and least to the bit; sums to rounding, for their order is another one."""
    for shape in [(1001,), (7, 257), (3, 2500), (2, 256), (3, 319), (3, 70_001)][: amount.cases(3, 6)]:
        args = numbers(*shape, dtype=dtype), numbers(*shape, dtype=dtype, seed=1)
        found, plain = results(sums, *args)
        true = sums(*(x.astype(np.float64) for x in args))
        for k, (a, b, t) in enumerate(zip(found, plain, true, strict=True)):
            if k not in (0, 3):
                assert same_bits(a, b)
            scale = np.abs(true[4]).sum(-1) if k == 0 else 1.0
            assert np.max(np.abs(a - t) / scale) <= 8 * np.finfo(dtype).eps


def test_what_is_largest_is_nan_where_an_entry_is():
    x, y = numbers(4, 1001), numbers(4, 1001, seed=1)
    for row, place in enumerate((0, 511, 1000)):
        x[row, place] = np.nan
    (total, largest, least, mean, _), plain = results(sums, x, y)
    for a, b in zip((total, largest, least, mean), plain, strict=False):
        assert np.isnan(a).tolist() == np.isnan(b).tolist() == [True, True, True, False]


def wide(x, y):
    """So much lives from one stage to another that it would leave the first cache."""
    parts = [np.tanh(x * (0.5 + 0.1 * k)) for k in range(20)]
    total = y
    for part in parts + parts:
        total = total * 0.9 + part * y
    return total


@pytest.mark.parametrize("dtype", [np.float64, np.float32][: amount.cases(1, 2)])
def test_what_does_not_fit_the_cache_is_done_in_one_piece(dtype, monkeypatch):
    def summed(x, y):
        return wide(x, y).max(-1), wide(x, y).sum(-1)

    fits, place = [], stages.Stages._place
    monkeypatch.setattr(library, "_addresses", {})
    monkeypatch.setattr(library, "_named", {})
    monkeypatch.setenv(cache.SETTING, "off")
    monkeypatch.setattr(stages.Stages, "_place", lambda self: (place(self), fits.append(self.fits)))
    for n in (300, 511, 575, 1001):
        args = numbers(n, dtype=dtype), numbers(n, dtype=dtype, seed=1)
        assert_equal(wide, *args)
        found, plain = results(summed, *args)
        assert same_bits(found[0], plain[0])
        np.testing.assert_allclose(found[1], plain[1], rtol=1000 * float(np.finfo(dtype).eps))
    assert fits
    assert not any(fits)


@pytest.mark.parametrize("seed", range(amount.cases(2, 60)))
def test_wherever_it_is_cut(seed, monkeypatch):
    """Random bodies, and random sizes of stages and groups: none of them changes a bit."""
    rng = np.random.default_rng(seed)
    monkeypatch.setenv(cache.SETTING, "off")
    monkeypatch.setattr(library, "_addresses", {})
    monkeypatch.setattr(library, "_named", {})
    monkeypatch.setattr(stages, "WINDOW", float(rng.choice([5, 30, 140, 1e4])))
    monkeypatch.setattr(stages, "LONGEST", int(rng.choice([3, 12, 80, 500])))
    monkeypatch.setattr(stages, "GRAIN", int(rng.choice([1, 2, 3])))
    functions = [np.exp, np.tanh, np.log1p, pb.nn.sigmoid, np.sqrt, np.abs, np.floor, np.negative, np.log, np.sign]
    program = [(functions[rng.integers(len(functions))], *rng.integers(0, 1 << 30, 3)) for _ in range(14)]

    def f(x, y):
        values = [x, y, np.tanh(x)]
        for function, *picks in program:
            a, b, c = (values[-1 - pick % min(len(values), 6)] for pick in picks)
            values.append(np.where(a > b, function(c), a * b) if picks[0] % 3 == 0 else function(a) - 0.5 * b)
        return values[-1], values[-3], values[-5]

    f.__name__ = f"seed {seed}"
    dtype = (np.float64, np.float32)[seed % 2]
    x, y = (rng.standard_normal(1000 + seed).astype(dtype) for _ in range(2))
    with np.errstate(all="ignore"):
        assert_equal(f, x, y)
