"""Even powers of |x|, norms and hypot against the smooth functions that they are, at zeros of them and elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases

W = np.array([0.3, 1.1, -0.7])
V = np.array([0.2, -0.5, 0.9])
NORM = np.linalg.norm
# a program, and what it comes to without roots
PAIRS = {
    "abs": (lambda x: np.abs(x) ** 2 @ W, lambda x: x * x @ W),
    "product": (lambda x: np.abs(x) * np.abs(x) @ W, lambda x: x * x @ W),
    "fourth power": (lambda x: np.abs(x) ** 4 @ W, lambda x: x * x * x * x @ W),
    "norm": (lambda x: NORM(x) ** 2 + NORM(x) ** 4, lambda x: x @ x + (x @ x) * (x @ x)),
    "scaled": (lambda x: np.exp(-0.5 * (NORM(x) / 1.7) ** 2), lambda x: np.exp(-0.5 * x @ x / 1.7 / 1.7)),
    "beside others": (lambda x: (-NORM(x) * np.sin(x[0]) / (1 + x[1])) ** 2,
                      lambda x: x @ x * (np.sin(x[0]) / (1 + x[1])) * (np.sin(x[0]) / (1 + x[1]))),
    "hypot": (lambda x: np.square(np.hypot(x[0], x[1:])[::-1]) @ W[1:],
              lambda x: (x[0] ** 2 + x[1:] ** 2)[::-1] @ W[1:]),
    "of two": (lambda x: np.sum((NORM(np.outer(x, W), axis=1)[:, None] * np.abs(x)) ** 2),
               lambda x: np.sum((x * x)[:, None] * (W @ W) * (x * x))),
    "apart": (lambda x: (np.cos(x[0]) * NORM(x)) * (NORM(x) / (2 + x[1])),
              lambda x: np.cos(x[0]) * (x @ x) / (2 + x[1])),
    "computed twice": (lambda x: NORM(x - x[0] * W) * np.cos(x[1]) * NORM(x - x[0] * W),
                       lambda x: np.cos(x[1]) * np.sum((x - x[0] * W) ** 2)),
    "in turns": (lambda x: (lambda n, d: np.sum(np.cos(x) * n * d * W * -n * d))(NORM(x), np.abs(x)),
                 lambda x: np.sum(np.cos(x) * -W * (x @ x) * x * x)),
    "contracted": (lambda x: np.abs(x) @ (np.abs(x) * np.sin(x)) + np.vdot(np.abs(x), np.abs(x)),
                   lambda x: np.sum(x * x * np.sin(x)) + x @ x),
    "entries": (lambda x: (lambda n: n[0] * np.cos(x[1]) * n[0] + np.sum(n[None] * (n[None] * x)))(np.abs(x)),
                lambda x: x[0] ** 2 * np.cos(x[1]) + np.sum(x * x * x)),
    "and itself": (lambda x: (lambda n: n**2 + 2 * n)(NORM(x[:2] - 2)) + abs(x[2]) ** 2,
                   lambda x: (x[:2] - 2) @ (x[:2] - 2) + 2 * NORM(x[:2] - 2) + x[2] * x[2]),
    "complex": (lambda x: np.abs(np.fft.fft(x)) ** 2 @ W,
                lambda x: (np.fft.fft(x).real ** 2 + np.fft.fft(x).imag ** 2) @ W),
    "scan": (lambda x: pb.scan(lambda c, t: (c + np.abs(t) ** 2, None), 0.0, x)[0], lambda x: x @ x),
}  # fmt: skip
ORDERS = {
    "hessian": lambda f, x: pb.hessian(f)(x),
    "forward twice": lambda f, x: pb.jvp(lambda x: pb.jvp(f, (x,), (V,))[1], (x,), (V,))[1],
    "back of forward": lambda f, x: pb.grad(lambda x: pb.jvp(f, (x,), (V,))[1])(x),
    "third": lambda f, x: pb.grad(lambda x: pb.hvp(f, x, V) @ V)(x),
    "compiled": lambda f, x: pb.compile(pb.hessian(f))(x),
    "sparse": lambda f, x: pb.hessian(f, sparse=True)(x).toarray(),
}


@pytest.mark.parametrize("order", cases([*ORDERS][:4], [*ORDERS]))
@pytest.mark.parametrize("name", PAIRS)
def test_they_are_smooth_at_zero(name, order):
    f, smooth = PAIRS[name]
    for x in (np.zeros(3), np.array([0.0, 1.3, 0.0]), V):
        np.testing.assert_allclose(ORDERS[order](f, x), ORDERS[order](smooth, x), rtol=1e-9, atol=1e-9)


def test_compiled_layers_alike_in_everything_but_a_root():
    """Payments like earlier ones are copied, but not those of a square."""
    square = lambda x: np.sum(x * x)  # noqa: E731
    f = pb.compile(pb.hessian(lambda x: square(x * 1.0) + square(np.abs(x)) + square(x - 1.0)))
    np.testing.assert_array_equal(f(np.zeros(3)), 6 * np.eye(3))
