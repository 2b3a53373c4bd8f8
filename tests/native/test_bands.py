"""Chains of kernels over the same rows run band by band: the same results, the same bits on any number of threads."""

from __future__ import annotations

import re

import numpy as np
import pytest

import amount
import payback as pb
from native import user_programs
from native.compare import check
from native.test_random_programs import close
from native.test_user_programs import compare, poisoned, quietly  # noqa: F401  is a fixture
from native.test_user_programs import numbers as entries
from payback.native.lower.bands import Bands
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.matrix_vector import Dots
from payback.native.lower.products.narrow import Narrow
from payback.native.planning import bands
from payback.native.planning import prefetch as next_band
from payback.native.running import cores
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

RNG = np.random.default_rng(0)


def numbers(*shape, dtype=np.float64):
    return RNG.standard_normal(shape).astype(dtype)


def logistic(w, x, y):
    z = y * (x @ w)
    return np.mean(np.logaddexp(0.0 * z, -z))


def softmax_regression(w, x, y):
    z = x @ w
    return -np.mean(np.sum(y * (z - pb.nn.logsumexp(z, axis=1)[:, None]), axis=1))


def least_squares(w, x, y):
    return np.sum((x @ w - y) ** 2)


def poisson(w, x, y):
    z = x @ w
    return np.mean(np.exp(0.1 * z) - y * z)


def hinge(w, x, y):
    return np.mean(np.maximum(0.0, 1.0 - y * (x @ w))) + 0.1 * np.sum(w * w)


def mixture(means, x, y):
    distance = np.sum((x[:, None, :] - means[None]) ** 2, axis=2)
    return np.sum(pb.nn.logsumexp(-0.5 * distance, axis=1))


def two_layers(w, x, y):
    h = np.tanh(x @ w)
    mean = np.mean(h, axis=1, keepdims=True)
    normal = (h - mean) / np.sqrt(np.mean((h - mean) ** 2, axis=1, keepdims=True) + 1e-3)
    return np.max(normal) + np.sum(normal @ w.T) + np.sum(np.max(normal, axis=0))


ROWS = {
    logistic: (),
    least_squares: (),
    poisson: (),
    hinge: (),
    softmax_regression: (5,),
    mixture: (),
    two_layers: (6,),
}


def data(f, n, columns, dtype):
    shape = ROWS[f]
    w = numbers(4, columns, dtype=dtype) if f is mixture else numbers(columns, *shape, dtype=dtype)
    y = np.sign(numbers(n, *shape, dtype=dtype))
    return 0.3 * w, numbers(n, columns, dtype=dtype), y


@pytest.fixture
def small_bands(monkeypatch):
    """Bands of few rows for little programs."""
    small = {"LEAST": 0, "THIRD": 0, "ROWS": 1, "ROOM": 12_000, "BANDS": 2, "HEAVY": 0, "BYTE": np.inf}
    for name, value in small.items():
        monkeypatch.setattr(bands, name, value)
    monkeypatch.setattr(next_band, "FETCHED", 1)
    monkeypatch.setattr(next_band, "NEAR", 0)


def banded(program):
    return [c for c in program.commands if isinstance(c.kernel, Bands)]


def close_to_exact(f, args, made=None, transform=pb.value_and_grad):
    """Compiled, as near to the truth as the interpreter is."""
    graph = trace(transform(f), *args).graph
    program = made or Program(graph)
    found, wanted = program(*args), Interpreter(graph)(*args)
    wide = [arg.astype(np.float64) for arg in args]
    truth = Interpreter(trace(transform(f), *wide).graph)(*wide)
    for a, b, t in zip(found, wanted, truth, strict=True):
        assert np.shape(a) == np.shape(b)
        assert np.asarray(a).dtype == np.asarray(b).dtype
        close(a, b, t, float(np.max(np.abs(t), initial=0.0)), f.__name__)
    return program


@pytest.mark.parametrize("dtype", [np.float32, np.float64][: amount.cases(1, 2)])
@pytest.mark.parametrize("f", ROWS, ids=lambda f: f.__name__)
def test_value_and_gradient(small_bands, f, dtype):
    for n, columns in [(1003, 7), (96, 1), (257, 50)][: amount.cases(1, 3)]:
        assert banded(close_to_exact(f, data(f, n, columns, dtype)))


@pytest.mark.parametrize("columns", [4, 7, 20, 50, 61])
def test_what_is_read_twice_is_fetched_for_the_next_band(small_bands, columns):
    """By nests with elementary functions, and by products with the rows that are there."""
    program = close_to_exact(logistic, data(logistic, 1003, columns, np.float64))
    (command,) = banded(program)
    fetching = {type(kernel) for _, kernel in command.inner if getattr(kernel, "ahead", 0)}
    assert Nest in fetching
    assert columns < 50 or {Narrow, Dots} <= fetching


def test_nothing_is_fetched_where_products_stream_from_a_third_cache(small_bands, monkeypatch):
    monkeypatch.setattr(next_band, "NEAR", 1 << 24)
    program = close_to_exact(least_squares, data(least_squares, 1003, 50, np.float64))
    (command,) = banded(program)
    assert not any(getattr(kernel, "ahead", 0) for _, kernel in command.inner)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_by_a_vector(small_bands, dtype):
    """Exact in whole numbers; what a vector at a row's end reads again is not added again, nor 0·∞."""
    kernels = set()
    for columns in [4, 8, 11, 16, 50, 61, 131, 140][:: amount.cases(2, 1)]:
        x = RNG.integers(-9, 9, (1003, columns)).astype(dtype)
        w = RNG.integers(-9, 9, 2 * columns).astype(dtype)[::2]
        places = range(5, 5 + 3 * columns, 3)
        x[places, range(columns)] = np.inf
        w[w == 0] = 1
        program = Program(trace(lambda w, x: (x @ w, np.max(np.abs(x @ w))), w, x).graph)
        found, _ = program(w, x)
        np.testing.assert_array_equal(found, x @ w)
        assert np.isinf(found).sum() == columns
        kernels |= {type(kernel) for command in banded(program) for _, kernel in command.inner}
    assert Dots in kernels


@pytest.mark.parametrize("f", [logistic, softmax_regression, mixture], ids=lambda f: f.__name__)
def test_hessian_times_vector(small_bands, f):
    w, x, y = data(f, 501, 6, np.float64)
    v = numbers(*w.shape)
    close_to_exact(f, (w, x, y), transform=lambda f: lambda w, x, y: (pb.hvp(lambda w: f(w, x, y), w, v),))


def test_rows_of_results_and_their_sums(small_bands):
    """By x too: what each row is paid is a result, and what leaves a band as a row is as long as all."""

    def f(x, w):
        h = np.exp(-np.abs(x @ w))
        return h, np.sum(h, axis=0), np.max(h, axis=0), np.min(h, axis=1), h.T @ x

    x, w = numbers(333, 5), numbers(5, 3)
    graph = trace(f, x, w).graph
    program = Program(graph)
    assert banded(program)
    check(graph, program(x, w), Interpreter(graph)(x, w), 1e-12, "f")
    check_x = trace(pb.grad(logistic, argnums=1), w[:, 0], x, x[:, 0]).graph
    check(check_x, Program(check_x)(w[:, 0], x, x[:, 0]), Interpreter(check_x)(w[:, 0], x, x[:, 0]), 1e-12, "by x")


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("f", [logistic, mixture], ids=lambda f: f.__name__)
def test_the_bits_do_not_depend_on_the_threads(small_bands, monkeypatch, f, count):
    args = data(f, 1003, 7, np.float32)
    monkeypatch.setenv("PAYBACK_THREADS", "1")
    graph = trace(pb.value_and_grad(f), *args).graph
    expected = Program(graph)(*args)
    monkeypatch.setenv("PAYBACK_THREADS", str(count))
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)  # however little there is to do
    program = Program(graph)
    assert banded(program)
    assert program.segment.threads == count
    for _ in range(3):
        for a, b in zip(program(*args), expected, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_strided_and_empty_rows(small_bands):
    w, x, y = data(logistic, 600, 6, np.float64)
    close_to_exact(logistic, (w, x[::-2], y[::-2]))
    close_to_exact(logistic, (w, np.asfortranarray(x), y))
    value, gradient = pb.compile(pb.value_and_grad(least_squares))(w, x[:0], y[:0])
    assert value == 0.0
    assert not gradient.any()


def test_what_is_read_by_other_rows_waits_for_the_last_band(small_bands):
    """A row's own sum may be used in its band; a sum of all rows, another row, a choice of rows may not."""

    def f(x, which):
        h = np.tanh(x)
        own = h / (1.0 + np.sum(h * h, axis=1, keepdims=True))
        return own - np.mean(own, axis=0), own[::-1] * h, own[which] + h, np.cumsum(own, axis=0) + own @ own.T @ h

    x, which = numbers(130, 4), RNG.integers(0, 130, 130)
    graph = trace(lambda x: f(x, which), x).graph
    program = Program(graph)
    assert banded(program)
    check(graph, program(x), Interpreter(graph)(x), 1e-11, "f")


def test_what_all_rows_make_is_not_read_before(small_bands):
    centered(numbers(130, 4))


def centered(x):
    def f(x):
        h = np.tanh(x) / (1.0 + np.sum(x * x, axis=1, keepdims=True))
        return h - np.mean(h, axis=0), np.sum(h, axis=1) + 1.0

    graph = trace(f, x).graph
    program = Program(graph)
    assert banded(program)
    check(graph, program(x), Interpreter(graph)(x), 1e-12, "f")


def test_results_in_donated_memory(small_bands):
    def f(w, x, y):
        return w - 0.1 * pb.grad(logistic)(w, x, y), x * np.sum(x, axis=1, keepdims=True) + (x @ w)[:, None]

    w, x, y = data(logistic, 400, 6, np.float64)
    expected = f(w, x, y)
    made = pb.compile(f, donate=(0, 1))(w.copy(), x.copy(), y)
    for a, b in zip(made, expected, strict=True):
        assert np.allclose(a, b, rtol=1e-12, atol=1e-14)


def test_arrays_between_kernels_are_no_larger_than_a_band():
    """A mixture's array of all points, all components and all coordinates would be 6 MB, three times."""
    args = data(mixture, 20_000, 10, np.float64)
    args = (numbers(4, 10), *args[1:])
    program = close_to_exact(mixture, args)
    assert banded(program)
    assert program.arena_bytes < 2e6
    assert "bands of" in program.explain()
    assert "bands" in program.llvm()


def in_bands_of(monkeypatch, rows):
    """Every chain in bands of so few rows, on any number of threads."""
    small = {"LEAST": 0, "THIRD": 0, "ROWS": 1, "BANDS": 2, "HEAVY": 0, "FIXED": 1 << 30, "MANY": 1}
    for name, value in small.items():
        monkeypatch.setattr(bands, name, value)
    monkeypatch.setattr(next_band, "FETCHED", 1)
    monkeypatch.setattr(next_band, "NEAR", 0)
    monkeypatch.setattr(bands._Bander, "_rows", lambda self, chain: max(min(rows, chain.n // 2), 1))
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("seed", range(amount.cases(6, 70, 3000)))
def test_random_programs(seed, monkeypatch):
    """Values and gradients, to the bit where they are exact; the same bits on one thread and on several."""
    rng = np.random.default_rng(seed)
    in_bands_of(monkeypatch, int(rng.choice([1, 2, 3, 5, 8, 16])))
    choices = [7, 12, 17, 33, 64, 129], [1, 2, 3, 4, 5, 8, 17], [2, 4, 16, 33]
    n, *others = (int(rng.choice(sizes)) for sizes in choices)
    monkeypatch.setattr(user_programs, "SIZES", (n, n, n, *others))
    case = user_programs.write(seed, steps=int(rng.integers(6, 25)))
    compare(case)
    results = []
    for count in (1, 2, 3, 8) if amount.full() else (1, 3):
        monkeypatch.setenv("PAYBACK_THREADS", str(count))
        found = quietly(pb.compile(case.f, native=True), case.args)
        results.append([] if found is None else [part.tobytes() for part in entries(found)])
    assert all(result == results[0] for result in results), str(case)


def test_chains_wait_for_chains_as_a_whole(small_bands):
    """Each of two chains could have what the other one waits for: then one of them is done without that."""

    def f(x, w, y):
        a = x @ w
        s = np.tanh(y)
        r = np.sum(a * s, axis=1)  # with a, along rows; it needs s
        return r, np.sum(np.exp(a[::-1] * s), axis=0)  # with s, along columns; it needs all of a

    x, w, y = numbers(40, 8), numbers(8, 64), numbers(64)
    graph = trace(f, x, w, y).graph
    check(graph, Program(graph)(x, w, y), Interpreter(graph)(x, w, y), 1e-12, "f")


def test_reading_too_early_is_caught(small_bands, monkeypatch):
    monkeypatch.setattr(bands._Chain, "fits", lambda self, unit, axis: unit.totals(axis) is not None)
    with pytest.raises(AssertionError):
        centered(numbers(130, 4))


def test_a_forgotten_band_is_caught(small_bands, monkeypatch):
    cut = bands.ProductUnit.cut
    monkeypatch.setattr(bands.ProductUnit, "cut", lambda self, axis, rows, *more: (
        cut(self, axis, rows, *more) if rows % 8 == 0 else []))  # fmt: skip
    with pytest.raises(AssertionError):
        close_to_exact(logistic, data(logistic, 1003, 7, np.float64))


def weighted_softmax(x, w):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return np.sum((e / np.sum(e, axis=1, keepdims=True)) @ w)


@pytest.mark.parametrize("columns", [600, 700])
def test_a_square_matrix_goes_by_rows_as_others_do(columns):
    """Both of its axes have the length of a chain; columns would be read in pieces of a line or two."""
    x, w = numbers(600, columns), numbers(columns)
    program = Program(trace(pb.value_and_grad(weighted_softmax), x, w).graph)
    (chain,) = [command for command in program.commands if isinstance(command.kernel, Bands)]
    assert "max" in chain.text
    assert program.arena_bytes < x.nbytes
    value, gradient = program(x, w)
    wanted, by_hand = pb.value_and_grad(weighted_softmax)(x, w)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_rows_are_bands_by_themselves(dtype):
    """The matrices of a batch, a few of which would fill the cache: the same bits on any number of threads."""
    g = np.random.default_rng(4)
    x, y = g.standard_normal((128, 8)).astype(dtype), g.standard_normal((128, 3)).astype(dtype)

    def cost(p):
        hidden = np.tanh(x @ p[:256].reshape(8, 32) + p[256:288])
        return np.mean((hidden @ p[288:384].reshape(32, 3) + p[384:] - y) ** 2)

    hessian, p = pb.hessian(cost), g.standard_normal(387).astype(dtype)
    compiled, found = pb.compile(hessian), []
    try:
        for threads in (1, 2, 3):
            pb.set_threads(threads)
            found.append(compiled(p))
    finally:
        pb.set_threads(None)
    assert re.search(r"\d bands of [1-7] rows", compiled.explain_compilation())
    tolerance = 1e-3 if dtype is np.float32 else 1e-11
    np.testing.assert_allclose(found[0], hessian(p), rtol=tolerance, atol=tolerance * np.max(np.abs(found[0])))
    assert all(np.array_equal(found[0], other) for other in found[1:])
