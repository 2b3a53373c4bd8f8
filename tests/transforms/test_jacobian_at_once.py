"""Jacobians of many entries: all unit vectors as one batch, which must be the rows and columns one by one."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.transforms import forward
from transforms.modes import assert_close
from transforms.test_forward_transforms import FUNCTIONS

GENERATOR = np.random.default_rng(8)
X = GENERATOR.normal(size=20)
W = GENERATOR.normal(size=(20, 20))
MORE = {
    "layers": (lambda x: np.tanh(W @ np.maximum(W @ x, 0)), X),
    "infinite partials": (lambda x: np.sqrt(np.abs(np.round(x))) * np.where(x > 0, np.log(np.maximum(x, 0)), 0.0), X),
    "no path": (lambda x: np.zeros(20) + 0.0 * x.sum(), X),
    "a loop": (lambda x: pb.scan(lambda c, a: (np.sin(c + a * x), c.sum()), x, x[:6])[1].repeat(2), X),
    "a factorization": (lambda x: np.linalg.solve(W + np.diag(x) * 9, x), X),
    "containers": (lambda p: {"a": W @ p["x"] * p["s"], "b": p["s"] ** 2}, {"x": X, "s": 2.0}),
    "float32": (lambda x: np.cumsum(np.sin(x)) * x, X.astype(np.float32)),
}


@pytest.fixture(params=[1 << 22, 70], ids=["in one piece", "in pieces"])
def at_once(request, monkeypatch):
    def switch(on):
        monkeypatch.setattr(forward, "_MANY", 2 if on else 1 << 30)
        monkeypatch.setattr(forward, "_ROOM", request.param)

    return switch


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", [*FUNCTIONS, *MORE])
def test_it_is_the_same(name, mode, at_once):
    f, x = (FUNCTIONS | MORE)[name]
    found = []
    for on in (True, False):
        at_once(on)
        with np.errstate(all="ignore"):
            found.append(pb.jacobian(f, mode=mode)(x))
    assert_close(*found, 1e-13)


@pytest.mark.parametrize("name", ["pointwise", "contraction", "reductions", "layers", "a loop"])
def test_it_can_be_differentiated_and_compiled(name, at_once):
    f, x = (FUNCTIONS | MORE)[name]
    found = []
    for on in (True, False):
        at_once(on)
        g = lambda x: np.sum(pb.jacobian(f)(x) ** 2)  # noqa: E731
        found.append((pb.hessian(lambda x: np.sum(np.sin(f(x))))(x), pb.grad(g)(x), pb.compile(pb.jacobian(f))(x),
                      pb.vmap(pb.jacobian(f))(np.stack([x, 2 * x])), pb.jvp(g, (x,), (x,))[1]))  # fmt: skip
    assert_close(*found, 1e-12)


def test_it_is_used(monkeypatch):
    """From a dozen entries on no sweep is made for one of them."""
    monkeypatch.setattr(forward, "pull_back", None)
    np.testing.assert_allclose(pb.jacobian(np.sin, mode="reverse")(X), np.diag(np.cos(X)))
    with pytest.raises(TypeError):
        pb.jacobian(np.sin, mode="reverse")(X[:3])


def test_the_zeros_stay_zeros(at_once):
    for mode in ("forward", "reverse"):
        at_once(True)
        with np.errstate(all="ignore"):
            found = pb.jacobian(lambda x: np.sqrt(x[::-1])[::-1] + np.sqrt(x), mode=mode)(np.arange(16.0) // 8)
        np.testing.assert_array_equal(found[~np.eye(16, dtype=bool)], 0.0)
        assert (np.diag(found)[:8] == np.inf).all()
