"""Cosine and sine transforms of scipy.fft: SciPy's values; linear, so the tangent is the transform of the tangent."""

import numpy as np
import pytest
import scipy.fft

import amount
import payback as pb

RANDOM = np.random.default_rng(4)
NAMES = ["dct", "idct", "dst", "idst"]


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_every_type_and_norm(name, kind):
    for n in (2, 3, 8, 17, 36)[:: amount.cases(2, 1)]:
        x = RANDOM.normal(size=(2, n))
        for norm in ("backward", "ortho", "forward"):
            for options in ({}, {"orthogonalize": norm != "ortho"}):
                f = lambda x, o=options, norm=norm: getattr(scipy.fft, name)(x, kind, norm=norm, **o)  # noqa: E731
                value, pull = pb.vjp(f, x)
                np.testing.assert_allclose(value, f(x), rtol=0, atol=1e-13 * np.abs(f(x)).max())
                bar = RANDOM.normal(size=x.shape)
                np.testing.assert_allclose(np.sum(pull(bar)[0] * x), np.sum(bar * value), rtol=1e-11, atol=1e-11)
                np.testing.assert_allclose(pb.jvp(f, (x,), (bar,))[1], f(bar), rtol=0, atol=1e-12 * n)


@pytest.mark.parametrize("options", [{"n": 3}, {"n": 9, "axis": 0}, {"axis": -2}], ids=str)
def test_lengths_and_axes(options):
    x = RANDOM.normal(size=(4, 5, 2))
    f = lambda x: scipy.fft.dst(x, 3, **options)  # noqa: E731
    np.testing.assert_allclose(pb.jvp(f, (x,), (x,))[1], f(x), atol=1e-13)
    single = pb.vjp(f, x.astype(np.float32))[0]
    assert single.dtype == np.float32
    np.testing.assert_allclose(
        pb.compile(pb.grad(lambda x: np.sum(f(x) ** 2)))(x), pb.grad(lambda x: np.sum(f(x) ** 2))(x)
    )


@pytest.mark.parametrize("options", [{}, {"s": (3, 6), "axes": (0, 1)}, {"axes": 2, "norm": "ortho"}], ids=str)
@pytest.mark.parametrize("name", ["dctn", "idctn", "dstn", "idstn"])
def test_along_several_axes(name, options):
    x = RANDOM.normal(size=(2, 4, 3))
    f = lambda x: getattr(scipy.fft, name)(x, **options)  # noqa: E731
    np.testing.assert_allclose(pb.jvp(f, (x,), (x,))[1], f(x), atol=1e-12)
    pb.check_grads(lambda x: np.sum(f(x * x) ** 2), x)


def test_complex_numbers_by_parts():
    z = RANDOM.normal(size=(3, 5))
    f = lambda x: scipy.fft.dct(x + 1j * x**2).imag  # noqa: E731
    np.testing.assert_allclose(pb.vjp(f, z)[0], f(z), atol=1e-13)


def test_what_scipy_refuses():
    with pytest.raises(ValueError, match="not defined for size < 2"):
        pb.grad(lambda x: np.sum(scipy.fft.dct(x, 1)))(np.ones(1))
    with pytest.raises(pb.errors.PaybackError, match="types are 1 to 4"):
        pb.grad(lambda x: np.sum(scipy.fft.dct(x, 5)))(np.ones(4))
