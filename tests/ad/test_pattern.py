"""Patterns: exact for every row that declares its structure, dense where nothing is known, never too small."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import payback as pb
from payback.ad import pattern as pattern_module
from payback.ad.pattern import jacobian_pattern
from payback.errors import DifferentiationError
from payback.ops import TABLE
from payback.ops.append import apply
from payback.ops.row import Row
from payback.trace.array import Traced
from payback.transforms.forward import Called

RNG = np.random.default_rng(0)
X, M = RNG.uniform(0.5, 1.5, 6), RNG.uniform(0.5, 1.5, (3, 4))
T = RNG.uniform(0.5, 1.5, (2, 3, 4))
S = RNG.uniform(0.5, 1.5, (3, 2, 2)) + 2.0 * np.eye(2)
HOLES = np.where(RNG.random((4, 5)) < 0.4, RNG.normal(size=(4, 5)), 0.0)
BATCHES = np.where(RNG.random((2, 4, 3)) < 0.5, 1.5, 0.0)


def assigned(x):
    out = np.zeros(8)
    out[1:7] = x * x
    out[3] = x[0] * 2.0
    out[::4] += x[1:3]
    return out


def loop(x):
    out = np.zeros(6)
    out[0] = x[0]
    for i in range(1, 6):
        out[i] = 0.5 * out[i - 1] + x[i] * x[i]
    return out


# no entry of these derivatives is zero by chance: the pattern must be exactly their non-zeros
# fmt: off
EXACT = {
    "identity": (lambda x: x, X),
    "pointwise": (lambda x: np.sin(x) * np.exp(x), X),
    "broadcast to rows": (lambda x: x[0] * x, M),
    "broadcast to columns": (lambda x: x[:, :1] + x * x, M),
    "a scalar spread": (lambda x: x * x[2], X),
    "a number": (lambda x: x * np.arange(1.0, 4.0), 1.5),
    "slice": (lambda x: x[1:] * x[:-1], X),
    "slice backwards": (lambda x: x[::-2], X),
    "index array": (lambda x: x[[0, 0, 3, 5, 3]] ** 2, X),
    "index arrays": (lambda x: x[[0, 2, 0], [1, 1, 3]], M),
    "mask": (lambda x: x[x > 1.0], M),
    "new axes": (lambda x: x[:, None] * x[None, :], X),
    "reshape": (lambda x: x.reshape(2, 6) * 2.0, M),
    "transpose": (lambda x: np.transpose(x, (2, 0, 1)), T),
    "transpose and pointwise": (lambda x: x.T.reshape(3, 4) * x, M),
    "broadcast_to": (lambda x: np.broadcast_to(x, (2, 3, 4)), M),
    "sum": (lambda x: np.sum(x * x, axis=1), T),
    "sum of two axes": (lambda x: np.sum(x, axis=(0, 2), keepdims=True), T),
    "sum to a number": (lambda x: np.sum(x[::2]), X),
    "mean": (lambda x: x.mean(axis=0), M),
    "logsumexp": (lambda x: pb.nn.logsumexp(x, axis=1), M),
    "norm": (lambda x: np.linalg.norm(x, axis=0), M),
    "softmax": (lambda x: np.exp(x) / np.sum(np.exp(x), axis=1, keepdims=True), M),
    "concatenate": (lambda x: np.concatenate([x[:2], np.ones(2), x * 2.0]), X),
    "concatenate along 1": (lambda x: np.concatenate([x[:, 1:], x], axis=1), M),
    "stack": (lambda x: np.stack([x[0], np.zeros(4), x[2]], axis=1), M),
    "cumsum": (lambda x: np.cumsum(x), X),
    "cumsum of columns": (lambda x: np.cumsum(x, axis=0), M),
    "diff": (lambda x: np.diff(x, n=2), X),
    "matrix by vector": (lambda x: x @ np.arange(1.0, 5.0), M),
    "constant by vector": (lambda x: HOLES @ x[:5], X),
    "matrix by constant": (lambda x: x @ HOLES, M),
    "constant by matrix": (lambda x: HOLES.T @ x.T, M),
    "batches by constants": (lambda x: x @ BATCHES, T),
    "batches by one constant": (lambda x: x @ HOLES, T),
    "tensordot": (lambda x: np.tensordot(x, HOLES, ((2,), (0,))), T),
    "outer": (lambda x: np.outer(x, [1.0, 0.0, 2.0]), X),
    "dot": (lambda x: np.dot(x, [1.0, 0.0, 2.0, 0.0, 3.0, 0.0]), X),
    "product of both": (lambda x: x @ x.T, M),
    "product of both, in batches": (lambda x: x @ np.swapaxes(x, 1, 2), T),
    "product of one with a part": (lambda x: x[:2] @ x[2], M),
    "item assignment": (assigned, X),
    "a loop of assignments": (loop, X),
    "stop_gradient": (lambda x: x * pb.stop_gradient(x[::-1]), X),
    "a choice by a constant": (lambda x: np.concatenate([np.where([True, False, True], x[:3], 1.0 + x[:3])]), X),
    "no path": (lambda x: np.sign(x), X),
    "a constant": (lambda x: np.ones(3), X),
    "nothing": (lambda x: x[:0], X),
    "inverses": (np.linalg.inv, S),
    "systems": (lambda x: np.linalg.solve(x, x[..., :1] * x[..., 1:]), S),
    "determinants": (np.linalg.det, S),
    "cofactors": (pb.grad(lambda x: np.sum(np.linalg.det(x) ** 2)), S),
    "pseudoinverses": (np.linalg.pinv, S),
    "exponentials": (scipy.linalg.expm, S),
    "products": (lambda x: np.prod(x, axis=(0, -1)), T),
    "products that keep axes": (lambda x: np.prod(x, axis=1, keepdims=True), T),
    "the adjoint of an index": (pb.grad(lambda x: np.sum(x[1:] ** 2 * x[:-1] ** 2)), X),
    "the adjoint of an index array": (pb.grad(lambda x: np.sum(x[[0, 1, 1, 4]] ** 3)), X),
    "the adjoint of sum and mean": (pb.grad(lambda x: np.sum(np.sum(x, axis=0) ** 2) + np.sum(x.mean(1) ** 2)), M),
    "the adjoint of a product": (pb.grad(lambda x: np.sum((HOLES @ x[:5]) ** 2)), X),
    "the adjoint of a running sum": (pb.grad(lambda x: np.sum(np.cumsum(x) ** 2)), X),
}  # fmt: skip
# an entry more than there has to be: the value decides, or a derivative is zero
LARGER = {
    "both branches": (lambda x: np.where(x > 1.0, x * x, x[::-1]), X),
    "maximum": (lambda x: np.maximum(x, x[::-1]), X),
    "max": (lambda x: np.max(x, axis=1), M),
    "min": (lambda x: np.min(x), M),
    "triangles": (lambda x: np.linalg.cholesky(x @ np.swapaxes(x, -1, -2)), S),
    "one matrix for several systems": (lambda x: np.linalg.solve(x[0], x[1:]), S),
    "triangular systems": (lambda x: scipy.linalg.solve_triangular(x, np.ones((3, 2, 1))), S),
    "running products": (lambda x: np.cumprod(x, axis=1), M),
    "the adjoint of running products": (pb.grad(lambda x: np.sum(np.cumprod(x, axis=-1) ** 2)), M),
    "times zero": (lambda x: np.concatenate([x * 0.0, x]), X),
    "a difference that vanishes": (lambda x: x - x, X),
}
# fmt: on


def found(f, x, **options):
    called = Called(f, (x,), {}, 0, False)
    pattern, _ = jacobian_pattern(called.tops[0], called.wrt[0], called.reached, **options)
    made = np.zeros((pattern.height, pattern.width), bool)
    made[pattern.rows(), pattern.members] = True
    assert (np.diff(pattern.rows() * max(pattern.width, 1) + pattern.members) > 0).all()
    return made


def expected(f, x):
    jacobian = np.asarray(pb.jacobian(f)(x))
    return jacobian.reshape(-1, np.size(x)) != 0


@pytest.mark.parametrize("name", EXACT)
def test_exact(name):
    f, x = EXACT[name]
    np.testing.assert_array_equal(found(f, x), expected(f, x))


@pytest.mark.parametrize("name", LARGER)
def test_never_smaller(name):
    f, x = LARGER[name]
    assert (found(f, x) >= expected(f, x)).all()


@pytest.mark.parametrize(
    "name", ["triangles", "triangular systems", "running products", "the adjoint of running products"]
)
def test_what_has_nothing_to_do_with_each_other(name):
    """Matrices of a batch, and lines along an axis: blocks, however little is known inside."""
    f, x = LARGER[name]
    blocks = np.kron(np.eye(3), np.ones((f(x).size // 3, x.size // 3)))
    assert (found(f, x) <= blocks).all()


def test_both_branches_of_a_choice_count():
    pattern = found(lambda x: np.where(x > 1.0, x[0], x[1]), X)
    np.testing.assert_array_equal(pattern, np.tile([True, True, False, False, False, False], (6, 1)))


def test_zeros_of_constants_may_count_as_edges():
    assert found(lambda x: HOLES @ x[:5], X, constants=False)[:, :5].all()
    assert (found(lambda x: x @ BATCHES, T, constants=False) >= expected(lambda x: x @ BATCHES, T)).all()


def test_a_row_without_a_declared_pattern_is_dense(monkeypatch):
    for name in ("cumsum", "index", "contract"):
        monkeypatch.delitem(pattern_module._RULES, name)
    assert found(lambda x: np.cumsum(x), X).all()
    assert found(lambda x: x[1:3], X).all()
    assert found(lambda x: HOLES @ x[:5], X).all()


def triples(x, depends):
    """A row of its own kind: the cumulative product along the last axis (values only: no mode is asked for)."""
    row = Row("test_cumprod", "own", lambda m, x: np.cumprod(x, axis=-1), depends=depends)
    try:
        return Traced(apply(row, (x.node,), None))
    finally:
        del TABLE["test_cumprod"]


def test_a_row_of_its_own_kind():
    assert found(lambda x: triples(x * x, None), M).all()
    rows = np.kron(np.eye(3), np.ones((4, 4))).astype(bool)
    np.testing.assert_array_equal(found(lambda x: triples(x * x, lambda slot, x: 2 * [np.arange(3)[:, None]]), M), rows)


def test_a_row_with_several_results():
    row = Row("test_split", "own", lambda m, x: (x[0] * 2.0, x[1:] * 3.0))
    try:
        made = found(
            lambda x: Traced(apply(TABLE["part"], (apply(row, (x.node,), None),), None, {"k": 1})) * x[0, 0], M
        )
    finally:
        del TABLE["test_split"]
    assert made.shape == (8, 12)
    assert made.all()


def test_a_pattern_that_would_fill_the_memory(monkeypatch):
    monkeypatch.setattr("payback.ad.sets.MOST", 1000)
    with pytest.raises(DifferentiationError, match=r"a sparsity pattern grows beyond 1,000 entries: .* pb.hvp"):
        found(lambda x: x * np.sum(x), np.ones(40))


@pytest.mark.parametrize("name", ["slice", "index array", "sum", "concatenate", "constant by vector", "cumsum", "loop"])
def test_a_wrong_pattern_is_caught(name, monkeypatch):
    """Every rule that pays the first of its entries nothing is seen by the comparison above."""
    f, x = EXACT.get(name, (loop, X))

    def bent(rule):
        def short(*args):
            to, sets = rule(*args)
            return (np.arange(1, sets.height) if to is None else to[1:]), sets.take(np.arange(1, sets.height))

        return short

    np.testing.assert_array_equal(found(f, x), expected(f, x))
    for rule in ("index", "sum", "concatenate", "contract", "cumsum", "stack"):
        monkeypatch.setitem(pattern_module._RULES, rule, bent(pattern_module._RULES[rule]))
    assert (expected(f, x) & ~found(f, x)).any()
