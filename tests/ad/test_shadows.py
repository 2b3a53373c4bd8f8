"""Large values that no rule reads are let go: no bit of a gradient depends on it, and little memory is taken."""

import tracemalloc

import numpy as np
import pytest
import scipy.optimize

import payback as pb
from payback.errors import DifferentiationError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ops import shadows
from payback.ops.row import CONST, INPUT, TABLE
from payback.trace import operators

x = np.linspace(0.2, 1.7, 12)
square = np.sin(np.arange(16.0)).reshape(4, 4) + np.diag([4.0, 5.0, 7.0, 9.0])


def written(x):
    out = np.zeros(12)
    for k in range(4):
        out[3 * k : 3 * k + 3] = np.exp(x[:3]) * (k + 1)
    y = out * x
    y += out
    return np.sum(y * out)


def nested(x):
    y = np.sin(x) * x
    inner = pb.grad(lambda z: np.sum(z * z * y + np.exp(z) * z))(y + 1.0)
    return np.sum(inner * y)


def fitted(x):
    t = np.linspace(0.0, 1.0, 12)
    (rate,), _ = scipy.optimize.curve_fit(lambda t, a: np.exp(-a * t), t, np.exp(-1.5 * t) * (x / x[0]) ** 0.1, [1.0])
    return rate * np.sum(x)


def kept_outside(x):
    kept = []
    for _ in range(3):
        x = np.tanh(x) * 1.5 + 0.1
        kept.append(x)
    return np.sum(np.stack(kept) ** 2) + sum(np.max(k) for k in kept)


PROGRAMS = {
    "chain": lambda x: np.sum(np.exp(np.sin(x) * 1.01 + 0.1) / (1.0 + x * x)),
    "choices": lambda x: np.sum(np.where(x > 1.0, np.log(x), x**3) * np.maximum(x, 1.0) + np.clip(x, 0.5, 1.5)),
    "reductions": lambda x: np.std(x) * np.max(x * 2) + np.linalg.norm(np.cos(x)) + np.prod(x + 0.1) + np.var(x - 1),
    "moves": lambda x: np.sum(np.roll(x, 1) * x[::-1] + np.concatenate([x[6:] * 2, x[:6]]) * np.tile(x[:4], 3)),
    "orders": lambda x: np.sum(np.sort(np.sin(x)) * np.cumsum(x)) + np.median(x * x),
    "powers": lambda x: np.sum(x ** (x - 0.1) + np.hypot(x, x + 1.0) + np.logaddexp(x, 2.0 * x)),
    "written": written,
    "nested": nested,
    "fitted": fitted,
    "kept outside": kept_outside,
}
MATRICES = {
    "products": lambda a: np.sum(np.tanh(a @ (a * 0.1)) @ a.T),
    "factors": lambda a: np.sum(np.linalg.cholesky(a @ a.T) + np.linalg.inv(a + 1.0)) + np.linalg.slogdet(a * 2.0)[1],
    "solves": lambda a: np.sum(np.linalg.solve(a * 2.0, a[0] + 1.0) ** 2) + np.linalg.det(a * 0.5),
    "eigenvalues": lambda a: np.sum(np.linalg.eigh(a @ a.T)[1] ** 4) + np.sum(np.linalg.svd(a * 2.0)[1] ** 2),
    "sums": lambda a: np.einsum("ij,jk,ki->", a, a + 1.0, a * a) + np.sum(np.mean(a * a, axis=0) / np.sum(a, axis=1)),
}


@pytest.fixture(params=[float, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


def large_from(monkeypatch, size):
    monkeypatch.setattr(shadows, "LARGE", size)
    monkeypatch.setattr(operators, "LARGE", size)


@pytest.mark.parametrize("name", [*PROGRAMS, *MATRICES])
def test_no_bit_depends_on_what_is_kept(name, dtype, monkeypatch):
    f, at = (PROGRAMS[name], x) if name in PROGRAMS else (MATRICES[name], square)
    at = at.astype(dtype)
    found = []
    for size in (1 << 40, 0):
        large_from(monkeypatch, size)
        found += [pb.value_and_grad(f)(at) for _ in range(2)]  # the second one may be proved plain
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


def test_a_pull_of_results_that_were_made_from_each_other(monkeypatch):
    def f(x):
        y = np.exp(x) * 2.0
        z = np.sin(y) * y
        return y, z, np.sum(z)

    found = []
    for size in (1 << 40, 0):
        large_from(monkeypatch, size)
        results, pull = pb.vjp(f, x)
        for _ in range(2):
            found.append((*results, *pull((x, x + 1.0, 2.0))))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_nothing_is_let_go_where_forward_mode_follows(monkeypatch):
    large_from(monkeypatch, 0)
    asked = []
    monkeypatch.setattr(operators, "shade", lambda node: asked.append(shadows.sparing.get()))
    for _ in range(3):  # proved plain from the second one on
        pb.hvp(PROGRAMS["chain"], x, x)
    assert asked
    assert not any(asked)


def test_a_chain_keeps_what_its_rules_read():
    def f(x):
        for _ in range(20):
            x = np.sin(x) * 1.01 + 0.1
        return np.sum(x)

    at = np.linspace(0.0, 1.0, 10_000)
    for _ in range(2):
        pb.grad(f)(at)
    tracemalloc.start()
    pb.grad(f)(at)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 * at.nbytes  # an argument of the sine in each round, and three in work; all values were 60


def test_what_rules_read_is_found_by_running_them():
    def read(name, *shapes, constant=(), **params):
        args = tuple(Node(CONST if k in constant else INPUT, (), {}, np.ones(shape), None, Aval(shape, np.dtype(float)))
                     for k, shape in enumerate(shapes))  # fmt: skip
        value = np.ones(shapes[0]) if name != "sum" else np.ones(())
        return set(shadows.reads(TABLE[name], args, params, value))

    assert read("sin", (3,)) == {0}
    assert read("exp", (3,)) == {-1}
    assert read("add", (3,), (3,)) == set()
    assert read("mul", (3,), (3,)) == {0, 1}
    assert read("mul", (3,), (3,), constant={1}) == {1}
    assert read("div", (3,), (3,)) == {1, -1}
    assert read("sum", (3,), axes=(0,), keepdims=False) == set()
    assert read("concatenate", (3,), (3,), axis=0) == set()
    assert read("contract", (3, 3), (3, 3), spec=("ij", "jk", "ik")) == {0, 1}
    assert read("cholesky", (3, 3), upper=False) == {-1}


def test_what_has_been_let_go_is_not_explained(monkeypatch):
    w = pb.variable(x, name="w")
    with_variable = pb.value_and_grad(lambda x: np.sum(np.sin(x * w) * 2.0 + w))
    pb.explain(with_variable(x)[0])  # it is small
    large_from(monkeypatch, 0)
    value, _ = with_variable(x)
    with pytest.raises(DifferentiationError, match="let go"):
        pb.explain(value)
    value.backward()
    np.testing.assert_allclose(w.grad, 2.0 * np.cos(x * x) * x + 1.0)
