"""`pb.why_zero`: every zero of a gradient belongs to one kind, with exact counts."""

from __future__ import annotations

import linecache
import random

import numpy as np
import pytest
import scipy.linalg

import payback as pb
from amount import cases
from payback.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3))
W1, W2 = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 2))
DEAD = np.array([0.0, 0.0, -100.0, 0.0, -100.0])


def relu_network(W1, b1, W2):
    z = X @ W1 + b1
    h = np.maximum(z, 0.0)
    return (h @ W2).sum()


def counts(f, *args, leaf=None, **options):
    found = pb.why_zero(f, *args, **options)
    zeros = found[leaf] if leaf else next(iter(found))
    assert sum(zeros.counts.values()) == zeros.zeros
    for kind, mask in zeros.entries.items():
        assert mask.sum() == zeros.counts[kind]
    return {kind: count for kind, count in zeros.counts.items() if count}


# what is planted: (function, arguments, leaf, counts by kind)
PLANTED = {
    "dead ReLUs": (relu_network, (W1, DEAD, W2), "W1", {"zero partial": 6}),
    "dead ReLUs, biases": (relu_network, (W1, DEAD, W2), "b1", {"zero partial": 2}),
    "what dead ReLUs feed": (relu_network, (W1, DEAD, W2), "W2", {"zero partial": 4}),
    "saturated sigmoids": (
        lambda x: pb.nn.sigmoid(x).sum(), (np.array([0.0, 800.0, -800.0]),), "x", {"zero partial": 2},
    ),
    "saturated tanh": (lambda x: np.tanh(x).sum(), (np.array([0.0, 40.0]),), "x", {"zero partial": 1}),
    "clips": (lambda x: np.clip(x, -1, 1).sum(), (np.array([0.0, 2.0, -3.0, 0.5]),), "x", {"zero partial": 2}),
    "a detached part": (
        lambda x, y: (pb.stop_gradient(x) * y).sum(), (np.ones(3), np.ones(3)), "x", {"no path": 3},
    ),
    "a step function": (lambda x: np.floor(x).sum() + x[0] * 0 + x[0], (np.ones(3),), "x", {"no path": 2}),
    "two factors are 0": (lambda x: np.prod(x), (np.array([0.0, 2.0, 0.0]),), "x", {"zero partial": 3}),
    "unused": (lambda x, y: y.sum(), (np.ones(3), np.ones(2)), "x", {"no path": 3}),
    "never read": (lambda x: x[np.array([0, 2, 2])].sum(), (np.ones(5),), "x", {"no path": 3}),
    "exact cancellation": (lambda x: (x - x).sum() + x[0], (np.ones(3),), "x", {"cancellation": 2}),
    "underflow": (lambda x: (x * 1e-200 * 1e-200).sum(), (np.ones(3),), "x", {"underflow": 3}),
    "a branch not taken": (
        lambda x: np.where(x > 0, x * x, 0.0).sum(), (np.array([1.0, -1.0, 2.0]),), "x", {"masked": 1},
    ),
    "not the largest": (lambda x: np.max(x), (np.array([1.0, 3.0, 2.0]),), "x", {"masked": 2}),
    "the smaller of two": (
        lambda x, y: np.maximum(x, y).sum(), (np.array([1.0, 3.0]), np.array([2.0, 2.0])), "x", {"masked": 1},
    ),
    "all at once": (
        lambda x: (
            np.where(x[0] > 0, 0.0, x[0]) + np.maximum(x[1], 0.0) + (x[2] - x[2]) + x[3] * 1e-300 * 1e-300
            + pb.stop_gradient(x[4]) + x[5]
        ),
        (np.array([1.0, -1.0, 1.0, 1.0, 1.0, 1.0]),), "x",
        {"masked": 1, "zero partial": 1, "cancellation": 1, "underflow": 1, "no path": 1},
    ),
    "inside a scan": (
        lambda w: pb.scan(lambda h, x: (h + np.maximum(w * x, 0.0).sum(), None), np.float64(0.0), np.ones(4))[0],
        (np.array([1.0, -1.0]),), "w", {"zero partial": 1},
    ),
    "nothing": (lambda x: (x * x).sum(), (np.ones(2),), "x", {}),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_classified_and_counted(case):
    f, args, leaf, expected = case
    assert counts(f, *args, leaf=leaf) == expected
    gradient = pb.grad(f, argnums=leaf)(*args)
    assert sum(expected.values()) == np.count_nonzero(gradient == 0)


def test_causes_are_the_user_s_sub_expressions():
    found = pb.why_zero(relu_network, W1, DEAD, W2, wrt="W1")
    (cause,) = found["W1"].causes
    assert (cause.what, cause.op, cause.count) == ("np.maximum(z, 0.0)", "maximum", 6)
    assert (cause.stopped, cause.size) == (int((X @ W1 + DEAD <= 0).sum()), 35)
    assert "dead" in cause.fact
    (cut,) = pb.why_zero(lambda x, y: (pb.stop_gradient(x) * y).sum(), np.ones(3), np.ones(3))["x"].causes
    assert (cut.kind, cut.what, cut.op) == ("no path", "pb.stop_gradient(x)", "stop_gradient")


def test_layers_that_run_one_sub_expression_are_told_apart():
    net = pb.nn.MLP([3, 4, 4, 2], "relu", seed=1, dtype=float)
    net.layers[0].bias[1] = net.layers[2].bias[3] = -100.0
    found = pb.why_zero(lambda net: pb.nn.cross_entropy(net(X), np.arange(7) % 2), net)
    z1 = X @ net.layers[0].weight + net.layers[0].bias
    z2 = np.maximum(z1, 0) @ net.layers[2].weight + net.layers[2].bias
    dead = {cause.after: (cause.stopped, cause.size) for cause in found["b1"].causes if cause.op == "relu"}
    assert dead["b1"] == (np.count_nonzero((z1 <= 0)[(z2 > 0).any(axis=1)]), z1.size)
    assert {cause.after: cause.stopped for cause in found["b2"].causes} == {"b2": np.count_nonzero(z2 <= 0)}
    recurrent = pb.why_zero(lambda w, h: sum([h := np.maximum(w * h, 0.0) for _ in range(3)]).sum(), -np.ones(2), 1.0)
    assert {cause.after for zeros in recurrent for cause in zeros.causes} == {""}


def test_where_products_are_too_small_and_where_payments_cancel():
    def f(x, y):
        small = x * 1e-200
        a, b = np.sin(y), -np.sin(y)
        return (small * 1e-200).sum() + (a + b).sum() + (y[0] * 2.0 - y[0]) - y[0]

    found = pb.why_zero(f, np.ones(3), np.ones(2))
    (cause,) = found["x"].causes
    assert (cause.kind, cause.what, cause.count) == ("underflow", "x * 1e-200", 3)
    (cause,) = found["y"].causes
    assert (cause.kind, cause.what, cause.count, cause.stopped) == ("cancellation", "y", 2, 2)
    assert "np.sin(y)" in cause.fact
    inside = pb.why_zero(lambda x: (np.exp(x[:1]) * np.array([1.0, -1.0])).sum() + x[1], np.zeros(2))["x"]
    assert [(cause.what, cause.kind) for cause in inside.causes] == [("np.exp(x[:1])", "cancellation")]
    quiet = pb.why_zero(lambda x: np.exp(-x * x), np.float32(12.0))["x"]
    assert [(cause.kind, cause.op) for cause in quiet.causes] == [("zero partial", "exp")]


def test_it_does_not_pretend_to_know_the_inside_of_a_factorization():
    assert counts(lambda a, b: np.linalg.solve(a, b)[0], np.eye(2), np.ones(2), leaf="b") == {"not told apart": 1}


B = np.arange(1.0, 4.0)
READ = {
    "cholesky": (lambda a: np.linalg.cholesky(a), np.tril),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a), np.tril),
    "upper eigh": (lambda a: np.linalg.eigh(a, UPLO="U")[0], np.triu),
    "upper cholesky": (lambda a: scipy.linalg.cholesky(a), np.triu),
    "triangle": (lambda a: scipy.linalg.solve_triangular(a, B, lower=True), np.tril),
    "upper triangle": (lambda a: scipy.linalg.solve_triangular(a, B), np.triu),
    "ones on the diagonal": (
        lambda a: scipy.linalg.solve_triangular(a, B, lower=True, unit_diagonal=True), lambda a: np.tril(a, -1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_the_triangle_that_is_not_read_has_no_path(name):
    f, part = READ[name]
    a = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
    found = pb.why_zero(lambda a: (f(a) ** 2).sum(), a)["a"]
    assert found.counts["no path"] == found.zeros >= 3
    assert np.array_equal(found.entries["no path"], part(np.ones((3, 3))) == 0)


# Steps that keep s away from 0 and its gradient alive, among them many that cut or stop a path beside another one.
STEPS = [
    "s = s + 0.01 * np.sin(s * {i})",
    "s = np.where(s > 0, s, 0.5 * s)",
    "s = s + 1e-3 * s ** 2",
    "s = s + 0.1 * np.maximum(s - 1e6, 0.0)",
    "s = s + 0.01 * np.sign(s)",
    "s = s * (1.0 + 0.01 * (s > 0))",
]
FATAL = {
    "np.floor(s)": "s = np.floor(s) + 0.25",
    "s.astype(int)": "s = s.astype(int).astype(float) + 0.25",
    "pb.stop_gradient(s)": "s = pb.stop_gradient(s)",
    "np.sign(s)": "s = 0.5 * np.sign(s)",
    "np.round(s, 1)": "s = np.round(s, 1) + 0.01",
    "np.argmax(s)": "s = np.arange(1.0, 4.0)[np.argmax(s)] * np.ones(3)",
    "np.sum(s) > 0": "s = np.ones(3) if np.sum(s) > 0 else s",
    "int(np.sum(s))": "s = np.ones(3) * int(np.sum(s)) + 0.25",
    "np.exp(-800.0 - s ** 2)": "s = np.exp(-800.0 - s ** 2)",
    "np.maximum(s - 1e9, 0.0)": "s = np.maximum(s - 1e9, 0.0)",
    "np.where(s > 1e9, s, 0.25)": "s = np.where(s > 1e9, s, 0.25)",
}


def planted_in(steps, fatal, generator):
    """A program of random steps with one that ends every path, and the line of that one."""
    lines = [f"    {generator.choice(STEPS).format(i=i)}" for i in range(steps)]
    line = generator.randrange(steps)
    lines[line] = f"    {fatal}"
    text = "\n".join(["def f(x):", "    s = x", *lines, "    return np.sum(s)", ""])
    name = f"<planted {generator.random()}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space = {"np": np, "pb": pb}
    exec(compile(text, name, "exec"), space)
    return space["f"], line + 3


@pytest.mark.parametrize("what", FATAL)
@pytest.mark.parametrize("seed", range(cases(1, 6)))
def test_the_first_cause_is_the_line_that_ends_every_path(what, seed):
    f, line = planted_in(cases(30, 120), FATAL[what], random.Random(f"{what} {seed}"))
    zeros = pb.why_zero(f, np.array([0.7, 1.3, 2.1]))["x"]
    assert zeros.zeros == 3
    cause = zeros.causes[0]
    assert (cause.what, cause.place.line, cause.count) == (what, line, 3)


def test_each_entry_has_the_cuts_that_it_lies_nearest_to_the_top_below():
    found = pb.why_zero(lambda x: np.floor(x[:2]).sum() + np.sign(np.rint(x[1:])).sum() + 0 * x[3], np.ones(5))["x"]
    assert [(cause.op, cause.count) for cause in found.causes] == [("floor", 2), ("rint", 2), ("mul", 1)]


TABLE = np.arange(12.0).reshape(6, 2)
# what the program has bare numbers of: (function, argument, sub-expression, operation)
BARE = {
    "an index": (
        lambda x: TABLE[np.floor(2 * x).astype(int), 0].sum(),
        np.ones(2),
        "np.floor(2 * x).astype(int)",
        "cast",
    ),
    "np.isclose": (lambda x: np.isclose(x, 1.0).sum() * 2.0, np.ones(2), "np.isclose(x, 1.0)", "int"),
    "a histogram": (lambda x: (np.histogram(x)[0] ** 2.0).sum(), np.ones(2), "np.histogram(x)", "int"),
    "pb.cond": (lambda x: pb.cond(x > 0, lambda x: 2.0, lambda x: x, x), 1.0, "x > 0", "if"),
}


@pytest.mark.parametrize("case", BARE.values(), ids=BARE)
def test_bare_numbers_are_cuts_too(case):
    f, x, what, op = case
    (zeros,) = pb.why_zero(f, x)
    assert [(cause.what, cause.op, cause.count) for cause in zeros.causes] == [(what, op, np.size(x))]


def test_whole_rows_and_columns_are_named():
    text = str(pb.why_zero(relu_network, W1, DEAD, W2))
    assert "W1: 6 of 15 entries have a zero gradient: zero partial 6 (columns 2, 4)\n" in text
    assert "b1: 2 of 5 entries have a zero gradient: zero partial 2 (entries 2, 4)\n" in text
    assert "W2: 4 of 10 entries have a zero gradient: zero partial 4 (rows 2, 4)\n" in text
    (zeros,) = pb.why_zero(lambda w: (w * np.array([[0.0, 1.0], [1.0, 0.0]])).sum(), np.ones((2, 2)))
    assert "zero partial 2\n" in str(zeros)


def test_an_old_copy_that_is_read_instead_is_named():
    def loss(w, v):
        return (np.tanh(X @ w) @ old).sum()

    old = W2.copy()
    (cause,) = pb.why_zero(loss, W1, W2)["v"].causes
    assert cause.op == "unused"
    assert cause.fact.endswith("np.tanh(X @ w) @ old reads another array with the same numbers")
    assert pb.why_zero(loss, W1, W2 + 1.0)["v"].causes[0].place is None


def test_no_such_leaf():
    with pytest.raises(InputError, match="there is no leaf q"):
        pb.why_zero(lambda x: x * x, 1.0)["q"]
    with pytest.raises(InputError, match="wrt names 'q'"):
        pb.why_zero(lambda x: x * x, 1.0, wrt="q")


@pytest.mark.parametrize("f", [lambda x: np.sort(x)[-2:].sum(), lambda x: np.median(x[:3])])
def test_the_order_that_sorting_asks_for_cuts_nothing(f):
    x = np.array([4.0, 1.0, 3.0, 2.0])
    found = pb.why_zero(f, x)["x"]
    assert found.zeros == np.count_nonzero(pb.grad(f)(x) == 0)
    assert [cause.op for cause in found.causes] == ["index"]
    own = pb.why_zero(lambda x: x[np.argsort(x)[-1]] * 2.0, x)["x"]
    assert [(cause.op, cause.what) for cause in own.causes] == [("argsort", "np.argsort(x)")]


def test_what_helps_and_what_is_not_finite_is_said():
    told = str(pb.why_zero(lambda w: (np.maximum(w, 0.0) * 1.0).sum(), np.array([1.0, -2.0])))
    assert told.endswith(
        "what helps: a leak (pb.nn.leaky_relu), a smaller step length, inputs of mean 0 and a size near 1"
    )
    found = pb.why_zero(lambda x, t: ((x > t) * 1.0 + np.sqrt(x)).sum(), np.array([4.0, 0.0]), 2.0)
    assert (found["x"].nonfinite, found["t"].nonfinite) == (1, 0)
    assert "of 1 it is not finite: pb.why_nan tells why" in str(found["x"])
    assert "pb.nn.sigmoid((x - t) / width)" in str(found)


AT_KINK = "at its kink, x = 0: there its derivative is taken as 0"
# what is planted: (function, arguments, what the first cause says of the first leaf)
FLAT = {
    "a factor": (lambda v, w: (np.tanh(v) * w).sum(), (np.ones(2), np.zeros(2)), "the other factor, w, is 0 there"),
    "a kink": (lambda x: np.abs(x).sum(), (np.zeros(2),), AT_KINK),
    "the kink of a norm": (lambda x: np.linalg.norm(x), (np.zeros(2),), AT_KINK),
    "an axis of a norm": (lambda x: np.linalg.norm(x), (np.array([0.0, 1.0]),), "flat: its partial x/y is 0"),
    "a root that is met": (lambda x: ((x - 1.0) ** 2).sum(), (np.ones(2),), "what is raised is 0"),
    "an exponent": (lambda x, p: (x**p).sum(), (np.ones(2), np.zeros(2)), "its exponent is 0"),
    "a sigmoid by hand": (
        lambda z: (1 / (1 + np.exp(-z))).sum(), (np.array([-400.0]),),
        "its partial −y/b is nearer to 0 than any number"
    ),
    "a numerator": (lambda x, y: (y / x).sum(), (np.ones(2), np.zeros(2)), "the numerator is 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", FLAT.values(), ids=FLAT)
def test_why_a_partial_is_zero_is_told_by_the_numbers(case):
    f, args, fact = case
    causes = next(iter(pb.why_zero(f, *args))).causes
    assert causes[0].fact == fact


def test_what_cuts_a_path_has_a_cure():
    for f, helps in [
        (lambda x: (x.astype(int) * 2.0).sum(), "np.round"),
        (lambda x: 1.1 ** int(x[0]) * 1.0 + 0 * x[1], "length of each step"),
        (lambda x: pb.stop_gradient(x).sum(), "pb.stop_gradient"),
    ]:
        assert helps in pb.why_zero(f, np.array([1.5, 2.5]))["x"].causes[0].cure
