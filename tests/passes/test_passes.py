"""Passes: the same values from fewer nodes, and a log that says what was done."""

from __future__ import annotations

import re

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import same_bits
from payback.ir.graph import Graph
from payback.native.running.program import Program, simplified
from payback.ops.append import apply, const
from payback.ops.index import Place
from payback.ops.row import TABLE
from payback.passes.cse import cse
from payback.passes.entrywise import entrywise
from payback.passes.fold import fold, reuse_signs, tidy
from payback.passes.joined import joined
from payback.passes.rewrite import rewrite
from payback.passes.short_rows import short_rows
from payback.passes.tiled import tiled
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace
from payback.trace.array import Traced
from payback.trace.body import node_of
from programs.test_random_programs import arguments, program

PASSES = {"fold": fold, "cse": cse, "reuse_signs": reuse_signs, "tidy": lambda graph: (tidy(graph), [])}
X = np.array([[1.0, -2.0, 0.0], [np.nan, -0.0, np.inf]])


def names(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if node.op.value is not None]


def test_a_rule_is_shown_its_rows_alone_until_it_changes_one():
    graph = trace(lambda x: np.sin(np.exp(x)) * np.cos(x), X).graph
    shown = []

    def rule(node, args, change=None):
        shown.append(node.op.name)
        return args[0] if node.op.name == change else None

    assert rewrite(graph, rule, "sin", "cos") is graph
    assert shown == ["sin", "cos"]
    changed = rewrite(graph, lambda node, args: rule(node, args, "sin"), "sin", new=(new := {}))
    assert names(changed) == ["exp", "cos", "mul"]
    assert all(new[node] is node for node in graph.nodes if node.op.name == "exp")
    (product,) = graph.outputs
    assert new[product] is changed.outputs[0] is not product


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize("seed", range(amount.cases(12, 100, 300)))
def test_values_and_gradients_keep_their_bits(name, seed):
    f, args = program(seed), arguments(seed)
    try:
        graph = trace(pb.value_and_grad(f, argnums=(0, 1)), *args).graph
    except pb.errors.TraceError:
        return
    changed, log = PASSES[name](graph)
    assert len(changed.nodes) <= len(graph.nodes)
    assert all(str(line) for line in log)
    ids = [node.id for node in changed.nodes]
    assert ids == sorted(ids)
    for a, b in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), strict=True):
        assert same_bits(a, b)


def test_cse_computes_once():
    graph = trace(lambda x: np.sin(x * 2.0) + np.sin(x * 2.0), X).graph
    changed, log = cse(graph)
    assert names(changed) == ["mul", "sin", "add"]
    assert len([line for line in log if line.node.op.value is not None]) == 2


def test_cse_tells_zeros_and_dtypes_apart():
    graph = trace(lambda x: (x * 0.0, x * -0.0, x.astype(np.float32) * 0.0), X).graph
    changed, _ = cse(graph)
    assert names(changed).count("mul") == 3


def test_cse_tells_bodies_apart_that_look_alike():
    """Of as many nodes, on the same arguments: they are the same only if they are one body."""

    def f(x):
        twice, thrice = (pb.scan(lambda c, _, k=k: (c * k, c), x, None, length=3)[0] for k in (2.0, 3.0))
        chosen = [pb.cond((x > k).sum() > 0, lambda x, k=k: x * k, lambda x, k=k: x - k, x) for k in (0.5, 0.25)]
        return (twice, thrice, *chosen)

    x = np.array([1.0, -2.0, 0.5])
    graph = trace(f, x).graph
    changed, _ = cse(graph)
    assert (names(changed).count("scan"), names(changed).count("branch")) == (2, 2)
    for found, wanted in zip(pb.compile(f)(x), f(x), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert names(cse(trace(lambda x: np.stack([x, x]) + np.stack([x, x]), X).graph)[0]).count("stack") == 1


def test_cse_tells_parameters_apart_that_look_alike():
    rows = np.arange(5000)
    others = rows.copy()
    others[2000] = 0  # in the middle, which NumPy does not show
    graph = trace(lambda x: (x[rows], x[others], x[1:], x[1:2], x[True]), np.arange(5000.0)).graph
    assert names(cse(graph)[0]).count("index") == 5
    zeros = (np.float64(0.0), np.float64(-0.0))
    found = pb.compile(lambda x: [x * zero for zero in zeros])(np.ones(2))
    assert [np.signbit(part).all() for part in found] == [False, True]


def test_fold_takes_out_what_changes_nothing():
    graph = trace(lambda x: pb.grad(lambda x: (x * x).sum())(x), X).graph
    changed, log = fold(graph)
    assert "identity" in names(graph)
    assert "identity" not in names(changed)
    assert any("changes nothing" in str(line) for line in log)


def test_what_is_by_one_stays_what_it_is():
    """Whatever it is, and where the result is no larger: what a sum pays is ones."""
    ones, row = np.ones((2, 1)), X[:1]
    graph = trace(lambda x, y: (x * ones, 1.0 * x / np.ones(3), 1.0 / x, y * ones, y * 2.0), X, row).graph
    folded, log = fold(graph)
    assert names(folded) == ["div", "mul", "mul"]
    assert [line.why for line in log].count("it is by one") == 3
    for a, b in zip(Interpreter(folded)(X, row), Interpreter(graph)(X, row), strict=True):
        assert same_bits(a, b)
    wide = np.ones((200, 100))  # what a large sum pays is one number, spread
    graph = trace(pb.grad(lambda x, y: np.sum(x * y)), wide, wide).graph
    assert names(fold(graph)[0]).count("mul") < names(graph).count("mul") == 1


def test_a_masked_sum_needs_no_mask():
    """The gradient of what is added before a rectifier: the sum itself is zero where the mask is empty."""

    def cost(b, x):
        return (pb.nn.relu(x + (b + 1.0)) ** 2).sum()

    graph = trace(pb.grad(cost), np.zeros(3), X).graph
    changed = fold(cse(fold(graph)[0])[0])[0]
    assert "ne" in names(graph)
    assert "ne" not in names(changed)
    for x in (X, -np.ones((2, 3)), np.full((2, 3), np.nan), np.zeros((0, 3))):
        graph = trace(pb.grad(cost), np.zeros(3), x).graph
        changed = fold(cse(fold(graph)[0])[0])[0]
        for a, b in zip(Interpreter(changed)(np.zeros(3), x), Interpreter(graph)(np.zeros(3), x), strict=True):
            assert same_bits(a, b)


def test_the_sign_of_a_rectified_value_is_the_values():
    graph = trace(lambda x: (pb.nn.relu(x), np.where(x > 0.0, 2.0, 3.0)), X).graph
    changed, log = reuse_signs(graph)
    assert len(log) == 1
    for a, b in zip(Interpreter(changed)(X), Interpreter(graph)(X), strict=True):
        assert same_bits(a, b)


def test_the_place_of_a_node_is_kept():
    graph = trace(lambda x: np.sin(x * 1.0) + np.sin(x * 1.0), X).graph
    for node in cse(fold(graph)[0])[0].nodes:
        assert node.op.value is None or node.where is not None


def test_the_slope_of_a_rectifier_is_read_off_its_value():
    def cost(x, v):
        return (pb.nn.relu(x + 0.25) * v).sum()

    v = np.array([[2.0, -3.0, np.inf], [1.0, 4.0, np.nan]])
    graph = trace(pb.value_and_grad(cost), X, v).graph
    simple = reuse_signs(cse(fold(graph)[0])[0])[0]
    assert "sign" in names(graph)
    assert "sign" not in names(simple)
    for a, b in zip(Interpreter(simple)(X, v), Interpreter(graph)(X, v), strict=True):
        assert same_bits(a, b)


def test_masks_that_hold_everywhere_are_no_masks():
    x = np.arange(12.0).reshape(3, 4)
    i = np.array([0, 2, 2])

    def f(x, i, w):  # all of x is read in one place, some of it in others
        return np.sum(x**2) + np.sum(x[i] * w) + np.sum(x[1:, ::2] ** 3) + np.sum(x[:-1, 1] * x[1:, 1])

    graph = trace(pb.grad(f), x, i, np.array([[1.0], [np.inf], [-0.0]])).graph
    changed, log = fold(graph)
    assert "select" in names(graph)
    assert not {"select", "logical_or"} & set(names(changed))
    assert names(changed).count("scatter") < names(graph).count("scatter")
    assert any("mask" in line.why for line in log)
    args = x, i, np.array([[1.0], [np.inf], [-0.0]])
    assert same_bits(Interpreter(changed)(*args)[0], Interpreter(graph)(*args)[0])


MASKS = {  # what tells entries that were paid, instead of the payments' own index with a mask that always holds
    "by another array": lambda v, i, j, every: ((every, j), (Place(0),)),
    "by another index": lambda v, i, j, every: ((every,), (slice(2, 4),)),
    "by some payments": lambda v, i, j, every: ((node_of(Traced(v) > 0), i), (Place(0),)),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_of_other_payments_stay(name):
    def f(v, i, j):
        every = const(np.array([True, True]))
        (parts, template), put = MASKS[name](node_of(v), node_of(i), node_of(j), every), {"shape": (4,)}
        mask = put | {"templates": (template,), "counts": (len(parts) - 1,), "dtype": np.dtype(bool)}
        paid = put | {"templates": ((Place(0),),), "counts": (1,), "dtype": np.dtype(float)}
        total = apply(TABLE["scatter"], (node_of(v), node_of(i)), None, paid)
        return np.where(Traced(apply(TABLE["scatter"], parts, None, mask)), Traced(total), 0.0)

    graph = trace(f, np.array([1.0, -2.0]), np.array([0, 1]), np.array([1, 2])).graph
    assert names(fold(graph)[0])[-1] == "select"


@pytest.mark.parametrize("seed", range(amount.cases(12, 100, 300)))
def test_one_pass_does_what_all_come_to_when_they_are_repeated(seed):
    try:
        graph = trace(pb.value_and_grad(program(seed), argnums=(0, 1)), *arguments(seed)).graph
    except pb.errors.TraceError:
        return
    repeated, before = graph, None
    while len(repeated.nodes) != before:
        before = len(repeated.nodes)
        for one in (fold, cse, reuse_signs):
            repeated = one(repeated)[0]
    assert sorted(names(tidy(graph))) == sorted(names(repeated))
    assert len(tidy(graph).nodes) == len(repeated.nodes)


@pytest.mark.parametrize("cost", [
    lambda t, x: np.minimum(t[:, None] * x, 1.0).sum(),
    lambda t, x: np.minimum((t[:, None] * x)[:, :2], np.maximum(x[:, 1:], t[:, None])).sum(),
    lambda t, x: np.maximum(x.T, (t * 2.0)[None]).sum(),
    lambda t, x: np.where((x > 0.5)[:, :, None], t[:, None, None] + x[:, :, None], 2.0).sum(),
])  # fmt: skip
def test_what_is_zero_outside_a_mask_needs_no_mask(cost):
    """Wherever it is moved on the way: sums along axes, broadcasts, slices, transposes."""
    t, x = np.array([0.5, -1.0]), X * 2.0
    for each in (x, np.full_like(x, -5.0), np.full_like(x, np.nan)):
        graph = trace(pb.grad(cost, argnums=(0, 1)), t, each).graph
        changed = simplified(graph)
        assert "ne" in names(graph)
        assert "ne" not in names(changed)
        for a, b in zip(Interpreter(changed)(t, each), Interpreter(graph)(t, each), strict=True):
            assert same_bits(a, b)


def test_what_is_read_at_places_and_in_slices_needs_no_mask():
    """Where neither pays there is the zero that the sum began as."""
    x, i = np.array([0.5, -1.0, 2.0, 0.0, 3.0]), np.array([3, 0, 3])

    def f(x, i):
        return np.sum(np.sqrt(x)[i] ** 2) + np.sum((x[2:] - x[1:-1]) ** 2)

    with np.errstate(invalid="ignore", divide="ignore"):
        for cost, masks in ((lambda x, i: np.sum(x[i] ** 2) + np.sum((x[2:] - x[1:-1]) ** 2), 0), (f, 1)):
            graph = trace(pb.grad(cost), x, i).graph
            changed = simplified(graph)
            assert names(changed).count("select") == masks
            assert same_bits(Interpreter(changed)(x, i)[0], Interpreter(graph)(x, i)[0])


def sums_by_index(x, i, count):
    total = np.zeros((count, *x.shape[1:]), x.dtype)
    np.add.at(total, i, x)
    return total


def test_what_a_condition_decides_that_is_known_everywhere():
    """Taken by an index, counted along rows, moved: no mask is left of one that began as true."""
    args = (
        np.array([np.inf, 1.0, -0.0, 2.0]), np.arange(12.0).reshape(4, 3) - 5.0, np.array([1, 0, 3, 1]),
        np.array([2, 2, 0, 1]),
    )  # fmt: skip
    graph = trace(pb.grad(lambda w, x, i, j: np.sum(sums_by_index(w[:, None] * x[i], j, 4) ** 2)), *args).graph
    changed = simplified(graph)
    assert "select" in names(graph)
    assert not {"select", "ne", "logical_or"} & set(names(changed))
    assert same_bits(Interpreter(changed)(*args)[0], Interpreter(graph)(*args)[0])


def test_what_an_index_reads_of_the_mask_of_what_it_reads_holds():
    """Means of groups: what they are owed is masked by who reads them, and paid back to those very ones."""
    i, j = np.array([1, 0, 3, 1]), np.array([1, 0, 3, 2])
    args = np.array([[np.inf, 1.0], [-0.0, 2.0], [np.nan, 3.0], [4.0, 5.0]]), np.array([1.0, 2.0, 0.0, 4.0]), i, j
    for cost, masks in (
        (lambda x, n, i, j: np.sum((x - (sums_by_index(x, i, 4) / n[:, None])[i]) ** 2), 0),
        (lambda x, n, i, j: np.sum((x - (sums_by_index(x, i, 4) / n[:, None])[j]) ** 2), 1),  # read by others
    ):
        with np.errstate(invalid="ignore", divide="ignore"):
            graph = trace(pb.grad(cost), *args).graph
            changed = simplified(graph)
            assert names(changed).count("select") == masks
            assert same_bits(Interpreter(changed)(*args)[0], Interpreter(graph)(*args)[0])


def test_entries_that_are_taken_from_zeros_need_no_mask():
    """Payments to what an index reads, of a mask that the same index takes: one choice a round is left, by ∞."""
    i, j = np.array([1, 0, 3, 1, 1]), np.array([2, 2, 0, 1, 0])

    def f(v, x, i, j):
        for _ in range(3):
            x = sums_by_index(v * x[i], j, 4)
        return np.sum(x * x)

    args = np.array([np.inf, 1.0, -0.0, 2.0, np.nan]), np.arange(4.0), i, j
    graph = trace(pb.grad(f, argnums=(0, 1)), *args).graph
    changed = simplified(graph)
    assert names(changed).count("select") < names(graph).count("select") - 2
    assert "ne" in names(graph)
    assert "ne" not in names(changed)
    for a, b in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("cost", [
    lambda x, y: x[:, 0] * x[:, 1] + y[:, 2] / x[:, 2] * x[:, 0],
    lambda x, y: np.sqrt(x[0] ** 2 * y[1] + x[-1]) - x[1],
    lambda x, y: np.concatenate([x[:, :1] * y[:, 1:], x[:, 1:] ** 2]),
    lambda x, y: np.where(y[:, 0] > 0, np.log(x[:, 0]), x[:, 1]) * x[:, 2],
    lambda x, y: np.cross(x, y) * x,
])  # fmt: skip
def test_payments_that_fill_an_array_are_put_together(cost):
    """Columns in any order and several times, slices side by side, masks of them: the bits of a scatter."""
    g = np.random.default_rng(0)
    for dtype in (np.float64, np.float32):
        x, y = np.abs(g.standard_normal((2, 3, 3))).astype(dtype)
        x[0, 2], y[1] = 0.0, -y[1]
        graph = trace(pb.grad(lambda x, y: np.sum(cost(x, y) * 0.5)), x, y).graph
        changed = tiled(tidy(graph))[0]
        assert "scatter" in names(graph)
        assert "scatter" not in names(changed)
        assert same_bits(Interpreter(changed)(x, y)[0], Interpreter(graph)(x, y)[0])


@pytest.mark.parametrize("read", [
    lambda x: x[:, 0] * x[:, 1], lambda x: x[:, 0] + x[0], lambda x: x[:, :2] * 2.0, lambda x: x[:, [0, 1, 2]] * x[0],
])  # fmt: skip
def test_payments_that_leave_gaps_are_none(read):
    graph = trace(pb.grad(lambda x: np.sum(read(x) ** 2)), np.ones((3, 3))).graph
    assert names(tiled(graph)[0]).count("scatter") == names(graph).count("scatter") > 0


@pytest.mark.parametrize("read", [
    lambda x: x[0, :, ::-1] * x[0] + x[1] ** 3 - x[2], lambda x: x[..., 0] ** 2 * x[..., 1] + x[..., 2],
    lambda x: x[::-1, 0, ...] ** 2 + x[:, 1] * x[:, 2, ::-1],
])  # fmt: skip
def test_layers_that_are_read_backwards_or_after_an_ellipsis_are_paid_where_they_lie(read):
    x = np.random.default_rng(0).standard_normal((3, 3, 3))
    graph = trace(pb.grad(lambda x: np.sum(read(x) * np.arange(9.0).reshape(3, 3))), x).graph
    assert np.allclose(Interpreter(simplified(graph))(x)[0], Interpreter(graph)(x)[0], rtol=1e-13)


@pytest.mark.parametrize("key", [
    (..., 0), (0, ...), (None, ..., [1, 0]), ([0, 1], ..., [2, 0]), (slice(None), [0, 1], ..., [2, 0]),
    (..., np.arange(4) > 1),
])  # fmt: skip
def test_an_ellipsis_is_the_axes_that_it_stands_for(key):
    """One that stands for none still parts index arrays."""
    x = np.arange(24.0).reshape(2, 3, 4)
    graph = trace(
        pb.value_and_grad(lambda x: np.sum(x[key] ** 2 * np.arange(float(x[key].size)).reshape(x[key].shape))), x
    ).graph
    changed = tidy(graph)
    for a, b in zip(Interpreter(changed)(x), Interpreter(graph)(x), strict=True):
        assert same_bits(a, b)
    templates = [node.params.get("template", ()) for node in changed.nodes if node.op.name == "index"]
    assert any(Ellipsis in template for template in templates) == (key[2:3] == (...,))


def test_a_mask_that_says_more_stays():
    """One that is broadcast otherwise than the value, or of other entries."""

    def f(m, n, v):
        kept = np.where(m, v, 0.0)
        return np.where(n, kept, 0.0), np.where(m.any(axis=0), kept.sum(axis=1), 0.0), np.where(m, v, -0.0)

    args = np.eye(3) > 0.5, np.ones((3, 3)) > np.arange(3), np.full((3, 3), 2.0)
    graph = trace(f, *args).graph
    changed, _ = fold(cse(graph)[0])
    assert names(changed).count("select") == names(cse(graph)[0]).count("select")


@pytest.mark.parametrize("uses", [2, 3, 9])
def test_sums_of_outer_products_are_one_product(uses):
    """What a matrix is owed by its uses on vectors, turned or not; other payments stay beside them."""

    def f(w, x):
        total = np.sum(w**2 * x)
        for k in range(uses):
            x = np.tanh((w.T if k % 2 else w) @ x)
        return total + np.sum(x)

    g = np.random.default_rng(uses)
    args = g.standard_normal((12, 12)), g.standard_normal(12)
    graph = trace(pb.grad(f), *args).graph
    changed, log = joined(graph)
    assert [names(changed).count("stack"), len(log)] == ([0, 0] if uses < 3 else [2, 1])
    assert names(changed).count("contract") == names(graph).count("contract") - (uses - 1 if uses > 2 else 0)
    for a, b in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("uses", [2, 3, 7])
@pytest.mark.parametrize("matrix", [lambda w: w + w.T, lambda w: w.T + w, lambda w: w.T + w + w.T, lambda w: w @ w.T])
def test_what_is_owed_turned_and_not_turned_is_added_up_first(uses, matrix):

    def f(w, x):
        for k in range(uses):
            x = np.tanh(matrix(w) @ x + k)
        return np.sum(x) + np.sum(w**3)

    g = np.random.default_rng(uses)
    args = g.standard_normal((11, 11)) / 4, g.standard_normal(11)
    graph = cse(trace(pb.grad(f), *args).graph)[0]
    changed, log = joined(graph)
    if names(graph).count("add") == names(trace(pb.grad(f), *args).graph).count("add") - uses + 1:  # one w + w.T
        assert len(log) == 1
        assert names(changed).count("transpose") == 2
        assert names(changed).count("contract") == 2 * uses - 1 + (1 if uses > 2 else uses)
    for a, b in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize(("use", "by"), [
    (lambda X, w: X @ w, 0), (lambda X, w: X @ w, 1), (lambda X, w: w @ X.T, 0), (lambda X, w: np.tanh(X) @ w, 0),
    (lambda X, w: np.einsum("ij,j->i", X, w), 1), (lambda X, w: X @ np.outer(w, w), 1),
])  # fmt: skip
def test_what_is_said_several_times_is_paid_once(use, by, count):

    def f(w, X):
        return sum(np.sum(np.sin(use(X, w) * (k + 1))) * (k + 0.5) for k in range(count))

    g = np.random.default_rng(count)
    args = g.standard_normal(6), g.standard_normal((9, 6))
    graph = cse(trace(pb.grad(f, by), *args).graph)[0]
    changed, log = joined(graph)
    once = cse(trace(pb.grad(lambda w, X: np.sum(np.sin(use(X, w))), by), *args).graph)[0]
    assert len(log) >= 1
    assert names(changed).count("contract") == names(once).count("contract")
    for a, b in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pb.compile(pb.grad(f, by))(*args), pb.grad(f, by)(*args), rtol=1e-12, atol=1e-12)


def test_products_that_someone_else_needs_stay():
    graph = trace(lambda a, b: (sum((p := np.outer(a[k], b[k])) * 1.0 for k in range(4)), p),
                  np.ones((4, 9)), np.ones((4, 9))).graph  # fmt: skip
    changed, log = joined(graph)
    assert not log
    assert names(changed) == names(graph)


def test_infinities_in_a_sum_of_products_stay_what_they_are():
    a, b = np.ones((2, 5, 20))
    a[1, 3], a[2, 4], b[3, 5], b[2, 6] = np.inf, np.nan, -np.inf, 0.0
    graph = trace(lambda a, b: sum(np.outer(a[k], b[k]) for k in range(5)), a, b).graph
    changed, log = joined(graph)
    assert len(log) == 1
    np.testing.assert_array_equal(*[Interpreter(each)(a, b)[0] for each in (changed, graph)])


@pytest.mark.parametrize("seed", range(amount.cases(10, 150)))
def test_what_multiplies_entries_in_their_places_is_no_product_of_matrices(seed):
    """Whole numbers, so that sums have one value in any order; on the interpreter and in machine code."""
    g = np.random.default_rng(seed)
    extent = dict(zip("abcd", g.permutation([6, 8, 9, 7]), strict=True))
    letters = g.permutation(list("abcd"))[: 3 + seed % 2]
    all_of_both = seed % 3 > 0
    others = g.permutation(letters)[: len(letters) if all_of_both else int(g.integers(0, len(letters)))]
    kept = int(g.integers(0, len(letters))) if all_of_both else len(letters)
    sides = [letters, others] if seed % 5 else [others, letters]
    spec = *map("".join, sides), "".join(g.permutation(letters)[:kept])
    args = [g.integers(-9, 9, [extent[c] for c in side]).astype([np.float32, np.float64][seed % 2]) for side in sides]

    def product(x, y):
        return Traced(apply(TABLE["contract"], (node_of(x), node_of(y)), None, {"spec": spec}))

    graph = trace(product, *args).graph
    changed, log = entrywise(graph)
    assert len(log) == 1
    assert "contract" not in names(changed)
    for found in (Interpreter(changed)(*args), Program(graph)(*args)):
        np.testing.assert_array_equal(found[0], np.einsum(f"{spec[0]},{spec[1]}->{spec[2]}", *args))


OF_VECTORS = ["bij,bj->bi", "bj,bij->bi", "bi,bij->bj", "abij,abj->abi", "bi,bj->bij", "bj,bi->jbi"]


@pytest.mark.parametrize("spec", OF_VECTORS)
@pytest.mark.parametrize("shape", [(3, 5), (9, 70), (64, 17)])
def test_many_small_matrices_by_a_vector_each_are_none(spec, shape):
    """A large one is a product, unless nothing is summed."""
    g = np.random.default_rng(0)
    inputs = spec.split("->")[0].split(",")
    for many, size in ((8, shape), (2, shape), (10, (100, 100))):
        extent = dict(zip("baij", (many, 1, *size), strict=True))
        args = [g.integers(-9, 9, [extent[c] for c in part]).astype(float) for part in inputs]
        letters = *inputs, spec.split("->")[1]

        def product(x, y, letters=letters):
            return Traced(apply(TABLE["contract"], (node_of(x), node_of(y)), None, {"spec": letters}))

        graph = trace(product, *args).graph
        changed, _ = entrywise(graph)
        large = size == (100, 100) and not spec.endswith(("bij", "jbi"))
        assert ("contract" in names(changed)) == (many == 2 or large) or many * np.prod(size) < 256
        for found in (Interpreter(changed)(*args), Program(graph)(*args)):
            np.testing.assert_array_equal(found[0], np.einsum(spec, *args))


@pytest.mark.parametrize("spec", ["ki,kj->ij", "ik,jk->ji", "kilj,kl->ji", "ik,j->ij"])
def test_sums_of_one_product_each_are_products_of_entries(spec):
    g = np.random.default_rng(0)
    inputs, out = spec.split("->")
    extent = dict(zip("klij", (1, 1, 64, 70), strict=True))
    args = [g.integers(-9, 9, [extent[c] for c in part]).astype(float) for part in inputs.split(",")]

    def product(x, y):
        letters = *inputs.split(","), out
        return Traced(apply(TABLE["contract"], (node_of(x), node_of(y)), None, {"spec": letters}))

    graph = trace(product, *args).graph
    changed, log = entrywise(graph)
    assert len(log) == 1
    assert "contract" not in names(changed)
    for found in (Interpreter(changed)(*args), Program(graph)(*args)):
        np.testing.assert_array_equal(found[0], np.einsum(spec, *args))


@pytest.mark.parametrize("spec", ["ij,jk->ik", "ij,j->i", "ij,jk->"])
def test_products_of_matrices_stay(spec):
    args = [np.ones([20] * len(part)) for part in spec.split("->")[0].split(",")]
    graph = trace(lambda x, y: np.einsum(spec, x, y), *args).graph
    assert names(entrywise(graph)[0]).count("contract") == names(graph).count("contract") == 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "by", "count"), [
    ((30, 50, 2), (50, 1), 1), ((9, 40, 7), (1, 40, 1), 1), ((5, 6, 50, 3), (6, 50, 1), 1),
    ((20, 30, 8), (20, 30, 1), 0), ((40, 50), (50,), 0), ((500, 3), (500, 1), 0), ((30, 50, 9), (50, 1), 0),
    ((4, 50, 2), (50, 1), 0), ((600, 1, 2), (1, 1), 0),
])  # fmt: skip
def test_what_is_the_same_along_short_rows_is_written_out_where_it_is_little(shape, by, count, dtype):
    def f(x, t):
        return (1 - t) * x + t * np.abs(x), x / t

    g = np.random.default_rng(0)
    args = g.standard_normal(shape).astype(dtype), g.standard_normal(by).astype(dtype)
    graph = trace(f, *args).graph
    changed, log = short_rows(graph)
    assert names(changed).count("concatenate") == 2 * count  # of t, and of 1 - t
    assert len(log) == 3 * count
    for a, b, c in zip(Interpreter(changed)(*args), Interpreter(graph)(*args), pb.compile(f)(*args), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(c, b)
    both = pb.grad(lambda x, t: sum(np.sum(part) for part in f(x, t)), (0, 1))
    for a, b in zip(pb.compile(both)(*args), both(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if dtype == "float32" else 1e-11)


def test_short_rows_that_are_made_for_their_sums_stay_as_they_are():
    x, t = np.ones((30, 50, 2)), np.ones((50, 1))
    for count, f in enumerate([lambda x, t: np.sum((x - t) ** 2, -1), lambda x, t: np.sum((x - t) ** 2)]):
        changed, log = short_rows(trace(f, x, t).graph)
        assert len(log) == names(changed).count("concatenate") == count


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_to_the_power_of_zero_is_one(dtype):
    """The second derivative of x**2 has x**0: no power is left to compute, nor a choice that is known."""
    x, v = np.array([0.5, -0.0, np.nan, np.inf], dtype), np.ones(4, dtype)
    f = pb.compile(lambda x, v: pb.hvp(lambda x: np.sum((1 - x) ** 2 * 3), x, v))
    np.testing.assert_array_equal(f(x, v), pb.hvp(lambda x: np.sum((1 - x) ** 2 * 3), x, v))
    assert not re.search("power|select", f.explain_compilation())
    g = pb.compile(lambda x: (x**0.0, np.where(np.zeros(4, bool), x, 2.0)))
    for found, wanted in zip(g(x), (np.ones(4, dtype), np.full(4, 2.0, np.result_type(dtype, 2.0))), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
