"""Numbers in another order of bytes, as files hold them: gradients have the same precision, in this machine's order."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb


@pytest.mark.parametrize("dtype", [">f8", ">f4", "<f8", "<f4"])
def test_a_gradient_has_the_precision_and_this_machines_order(dtype):
    def f(x):
        return np.sum(np.sin(x) * np.array([1.0, 2.0], dtype) * x)

    x = np.array([0.5, 1.5], dtype)
    here = x.astype(x.dtype.newbyteorder("="))
    found = {
        "grad": pb.grad(f)(x), "compiled": pb.compile(pb.grad(f))(x), "of a compiled": pb.grad(pb.compile(f))(x),
        "interpreted": pb.compile(pb.grad(f), native=False)(x), "vmap": pb.vmap(pb.grad(f))(x[None])[0],
        "vjp": pb.vjp(f, x)[1](1.0)[0],
    }  # fmt: skip
    for way, gradient in found.items():
        assert gradient.dtype == here.dtype, way
        np.testing.assert_allclose(gradient, pb.grad(f)(here), rtol=1e-6, err_msg=way)
    assert pb.jvp(np.sin, (x,), (x,))[1].dtype == here.dtype
    assert pb.compile(lambda x: x)(x).dtype == here.dtype
    assert pb.hessian(f)(x).dtype == here.dtype
