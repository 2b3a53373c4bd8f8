"""np.fft: NumPy's values, derivatives by finite differences, in all lengths and forms."""

import numpy as np
import pytest

import payback as pb

RANDOM = np.random.default_rng(0)
FFT = np.fft


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 67, 250, 4096, 4099])
def test_every_length_in_both_precisions(n):
    """A product, two of them, or NumPy's own transform."""
    x, y = RANDOM.standard_normal((2, 2, n))
    for f in (lambda x, y: FFT.fft(x + 1j * y), lambda x, y: FFT.ifft(x + 1j * y, norm="ortho"),
              lambda x, y: FFT.rfft(x) * y[0, 0], lambda x, y: FFT.irfft(x + 1j * y, n)):  # fmt: skip
        value, tangent = pb.jvp(f, (x, y), (y, x))
        scale = np.abs(f(x, y)).max() + 1e-3
        np.testing.assert_allclose(value, f(x, y), rtol=0, atol=1e-13 * scale)
        moved = (f(x + y * 1e-3, y + x * 1e-3) - f(x - y * 1e-3, y - x * 1e-3)) / 2e-3
        np.testing.assert_allclose(tangent, moved, rtol=0, atol=1e-9 * (np.abs(moved).max() + scale))
        single = pb.jvp(f, (np.float32(x), np.float32(y)), (np.float32(y), np.float32(x)))[0]
        assert single.dtype == f(np.float32(x), np.float32(y)).dtype
        np.testing.assert_allclose(single, f(x, y), rtol=0, atol=3e-6 * scale)


def tangled(made):
    weights = np.cos(np.arange(made.size)).reshape(made.shape)
    return np.sum(made.real * weights) + np.sum(np.abs(made) ** 2) + np.sum(made.imag)


ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("options", [{}, {"n": 3}, {"n": 8, "norm": "ortho"}, {"axis": 0, "norm": "forward"}], ids=str)
def test_along_one_axis(name, options):
    x = RANDOM.standard_normal((4, 5))
    real = name in ("rfft", "ihfft")

    def f(x):
        return tangled(getattr(FFT, name)(x if real else x + 1j * np.sin(x), **options))

    np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x), rtol=1e-12)
    pb.check_grads(f, x)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("options", [{}, {"s": (3, 6), "axes": (0, 1)}, {"axes": (2, 0), "norm": "ortho"}], ids=str)
def test_along_several_axes(name, options):
    x = RANDOM.standard_normal((2, 4, 3))

    def f(x):
        return tangled(getattr(FFT, name)(x if name[0] == "r" else x * (1 + 2j), **options))

    np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x), rtol=1e-12)
    pb.check_grads(f, x)


def test_a_spectral_solver_compiled_and_in_a_batch():
    k = FFT.rfftfreq(32, 1 / 32)

    def f(u, nu):
        v = FFT.rfft(u)
        for _ in range(3):
            v = np.exp(-nu * k**2 * 0.01) * (v - 0.005j * k * FFT.rfft(FFT.irfft(v * (k < 11)) ** 2))
        return np.sum(FFT.fftshift(FFT.irfft(v)) ** 3)

    u = np.sin(np.linspace(0, 6, 32))
    both = pb.value_and_grad(f, (0, 1))
    value, (by_u, by_nu) = both(u, 0.1)
    pb.check_grads(f, u, 0.1)
    made, (compiled_u, compiled_nu) = pb.compile(both)(u, 0.1)
    np.testing.assert_allclose(made, value, rtol=1e-10)
    np.testing.assert_allclose(compiled_u, by_u, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(compiled_nu, by_nu, rtol=1e-10)
    np.testing.assert_allclose(
        pb.vmap(pb.grad(f), (0, None))(np.stack([u, u]), 0.1), [by_u, by_u], rtol=1e-10, atol=1e-13
    )


def test_scipys_own():
    import scipy.fft

    def f(x):
        made = scipy.fft.fft(x, 5, axis=0, workers=1)
        return tangled(made) + tangled(scipy.fft.irfft2(scipy.fft.rfft2(x, norm="ortho")))

    x = RANDOM.standard_normal((4, 6))
    np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x), rtol=1e-12)
    pb.check_grads(f, x)


@pytest.mark.parametrize("name", ["ifft", "rfft", "irfft", "rfft2", "fft2"])
def test_results_lie_in_memory_as_those_of_the_library(name):
    """So a reshape shows the same numbers, and is a view or a copy."""
    import scipy.fft

    def f(x):
        made = []
        for library in (FFT, scipy.fft):
            for a in (x, x.T, np.copy(x, "F")):
                for axis in (0, -1):
                    whole = getattr(library, name)(a, **{"axes": (1 + axis, axis)} if "2" in name else {"axis": axis})
                    row = whole.reshape(-1)
                    row[1], whole.ravel()[3] = x[0, 0], x[1, 1]
                    made += [whole.real, row.real, (whole * 1).T.reshape(-1).real]
        return made

    x = RANDOM.standard_normal((4, 6))
    for found in (pb.vjp(f, x)[0], pb.compile(f)(x)):
        for got, wanted in zip(found, f(x), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


def test_what_numpy_refuses():
    for f, error in [(lambda x: FFT.fft(x, 0), ValueError), (lambda x: FFT.fft(x, norm="no"), ValueError),
                     (lambda x: FFT.rfft(x * 1j), TypeError), (lambda x: FFT.fft(x, axis=3), IndexError)]:  # fmt: skip
        for call in (f, lambda x, f=f: pb.jvp(f, (x,), (x,))):
            with pytest.raises(error):
                call(np.ones(4))


@pytest.mark.parametrize("n", [2, 4, 8, 12, 16, 32, 100])
def test_coefficients_that_are_real_have_numpys_angle(n):
    """π or 0: an imaginary part of −1e-16 would make −π of the one."""
    compiled = pb.compile(lambda x: np.angle(np.fft.rfft(x)))
    for x in np.random.default_rng(n).normal(size=(4, n)):
        expected = np.angle(np.fft.rfft(x))[[0, -1]]
        for found in (pb.vjp(lambda x: np.angle(np.fft.rfft(x)), x)[0], compiled(x)):
            np.testing.assert_array_equal(found[[0, -1]], expected)
