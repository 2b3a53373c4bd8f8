"""Fourier transforms in machine code: NumPy's in double precision, for all lengths."""

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.lower.chirp import Chirped
from payback.native.lower.fourier import Transforms
from payback.native.running import cores
from payback.native.running.program import Program
from payback.ops.fourier import radices
from payback.trace.abstract import trace

DTYPES = (np.float64, np.float32)
RANDOM = np.random.default_rng(0)
HANDY = [n for n in range(17, 1200) if radices(n)] + [2048, 3000, 4096, 5005, 8192]
OTHERS = [n for n in range(33, 1200) if not radices(n)] + [2018, 4099, 10007]


def both(function):
    def f(re, im):
        z = function(re + 1j * im)
        return z.real, z.imag

    return f


def lines(*shape, dtype=np.float64):
    return RANDOM.standard_normal(shape).astype(dtype), RANDOM.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [np.fft.fft, np.fft.ifft])
def test_all_lengths(function, dtype):
    drawn = [RANDOM.choice(lengths, amount.cases(1, 20), replace=False) for lengths in (HANDY, OTHERS)]
    for n in np.concatenate(drawn):
        re, im = lines(3, n, dtype=dtype)
        wanted = function(re.astype(float) + 1j * im)
        found = np.array(pb.compile(both(function), native=True)(re, im))
        assert found.dtype == dtype
        np.testing.assert_allclose(found, [wanted.real, wanted.imag], rtol=0,
                                   atol=2 * np.finfo(dtype).eps * np.log2(n) * np.abs(wanted).max())  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_numbers_of_all_lengths(dtype):
    for n in RANDOM.integers(17, 600, amount.cases(1, 30)):
        (re, im), x = lines(3, n // 2 + 1, dtype=dtype), lines(3, n, dtype=dtype)[0]

        def f(x, re, im, n=n):
            y = np.fft.rfft(x)
            return y.real, y.imag, np.fft.irfft(re + 1j * im, n), np.fft.hfft(re + 1j * im, n + 3)

        found = pb.compile(f, native=True)(x, re, im)
        for a, b in zip(found, f(x.astype(float), re.astype(float), im.astype(float)), strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=8 * np.finfo(dtype).eps * np.log2(n) * np.abs(b).max())


def test_lines_as_they_lie():
    """Along another axis, transposed, backwards, and of no lines at all."""
    for shape, axis in [((40, 3), 0), ((2, 24, 5), 1), ((0, 32), 1), ((32,), 0)]:
        x, y = lines(*shape)
        for re, im in ((x, y), (x[::-1], y), (np.asfortranarray(x), y)):

            def f(re, im, axis=axis):
                return both(lambda z: np.fft.fft(z, axis=axis))(re, im)

            for found, wanted in zip(pb.compile(f, native=True)(re, im), f(re, im), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-13)


def filtered(x, h, y):
    return np.mean((np.fft.irfft(np.fft.rfft(x) * h) - y) ** 2) + np.mean(np.abs(np.fft.fft2(x * 1j)) ** 2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_the_interpreters(dtype):
    x, y = lines(6, 96, dtype=dtype)
    f = pb.value_and_grad(filtered, (0, 1))
    found, wanted = pb.compile(f, native=True)(x, x[0, :49], y), f(x, x[0, :49], y)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e3 * np.finfo(dtype).eps)
    for a, b in zip(found[1], wanted[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e2 * np.finfo(dtype).eps * np.abs(b).max())


def test_in_a_batch():
    x = lines(3, 5, 36)[0]
    f = pb.vmap(pb.vmap(lambda x: np.sin(np.fft.irfft(np.fft.rfft(x) * np.fft.fft(x)[:19]))), in_axes=1, out_axes=1)
    compiled = pb.compile(f, native=True)
    np.testing.assert_allclose(compiled(x), f(x), rtol=0, atol=1e-12)
    assert "solve_constant" not in str(compiled.explain_compilation())


def test_in_the_step_of_a_loop():
    def f(u):
        def step(u, _):
            return np.fft.irfft(np.fft.rfft(u) * np.exp(-0.01 * np.arange(33))) + 0.1 * np.sin(u), None

        return np.sum(pb.scan(step, u, None, length=5)[0] ** 2)

    u = lines(64)[0]
    for found, wanted in zip(pb.compile(pb.value_and_grad(f), native=True)(u), pb.value_and_grad(f)(u), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [360, 61])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_do_not_depend_on_the_threads(dtype, n, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    monkeypatch.setattr("payback.native.lower.linalg.factored.WORTH_SHARING", 1)
    args, found = lines(37, n, dtype=dtype), []
    for threads in (1, 2, 3, 4, 8):
        cores.set_threads(threads)
        try:
            program = Program(trace(both(lambda z: np.fft.fft(z)[:, : n // 2 + 1] + np.fft.rfft(z.real)), *args).graph)
        finally:
            cores.set_threads(None)
        keys = [command.kernel for command in program.commands if isinstance(command.kernel, (Transforms, Chirped))]
        assert [key.split for key in keys] == 2 * [threads > 1]
        found.append(b"".join(part.tobytes() for part in program(*args)))
    assert len(set(found)) == 1
