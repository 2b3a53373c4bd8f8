"""through, blame, cut, flow, cost and step: parts add up, edges can be taken out, costs are formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import payback as pb
from payback.ad.paths import Sizes
from payback.ad.sweep import sweep
from payback.errors import InputError

RNG = np.random.default_rng(0)
W, V, X, Y = (RNG.normal(size=shape) for shape in ((3, 4), (4,), (6, 3), (6,)))


def cost(W, V, X, Y):
    h = np.tanh(X @ W)
    r = h @ V - Y
    return (r * r).mean() + 0.1 * (W * W).sum() - 0.01 * np.abs(V).sum()


@pytest.fixture(scope="module")
def book():
    return pb.explain(cost, W, V, X, Y)


@pytest.mark.parametrize("by", ["line", "layer", "op", "term", "sample"])
def test_the_parts_add_up_to_the_whole(book, by):
    found = book.blame(by, samples=["X", "Y"] if by == "sample" else None)
    for name, whole in found.total.items():
        parts = [part.gradient[name] for part in found if part.gradient[name] is not None]
        np.testing.assert_allclose(sum(parts), whole, rtol=1e-13, atol=1e-15)
    assert sum(part.share for part in found) == pytest.approx(1.0, abs=1e-12)
    assert str(found).startswith(f"the gradient by {by}")


def test_a_sample_s_part_is_the_gradient_of_that_sample_alone(book):
    found = book.blame("sample", samples=["X", "Y"])
    for i in range(6):
        alone = pb.grad(lambda W, V, i=i: ((np.tanh(X[i] @ W) @ V - Y[i]) ** 2) / 6, argnums=(0, 1))(W, V)
        for name, expected in zip("WV", alone, strict=True):
            np.testing.assert_allclose(found[i].gradient[name], expected, rtol=1e-12, atol=1e-16)
            np.testing.assert_array_equal(
                book.through(sample=i, samples=["X", "Y"]).gradient[name], found[i].gradient[name]
            )
    penalty = pb.grad(lambda W: 0.1 * (W * W).sum())(W)
    np.testing.assert_allclose(found["no sample"].gradient["W"], penalty, rtol=1e-14)


def test_samples_are_followed_where_they_are_sorted_and_indexed():
    def f(w, X):
        order = np.argsort(X[:, 0])
        z = np.concatenate([X[order], X[order] ** 2], axis=1) @ w
        return np.sum(np.exp(z.reshape(6, 1))) / 6

    w = RNG.normal(size=6) / 9
    found = pb.explain(f, w, X).blame("sample", samples="X")
    assert len(found) == 6
    for i in range(6):
        alone = pb.grad(lambda w, i=i: np.exp(np.concatenate([X[i], X[i] ** 2]) @ w) / 6)(w)
        np.testing.assert_allclose(found[i].gradient["w"], alone, rtol=1e-12)


@pytest.mark.parametrize(
    "f",
    [
        lambda w, A: np.sum(np.linalg.solve(A, w[None, :, None] * np.ones((len(A), 2, 1))) ** 2),
        lambda w, A: np.sum(np.linalg.inv(A * w) ** 2) + np.sum(np.linalg.det(A + w)),
        lambda w, A: np.sum(np.cumprod(A * w, axis=2)) + np.sum(np.prod(A + w, axis=(1, 2))),
    ],
)
def test_samples_are_followed_through_batches_of_matrices(f):
    A, w = RNG.normal(size=(4, 2, 2)) + 3.0 * np.eye(2), RNG.normal(size=2)
    found = pb.explain(f, w, A).blame("sample", samples="A")
    assert len(found) == 4
    for i in range(4):
        alone = pb.grad(lambda w, i=i: f(w, A[i : i + 1]))(w)
        np.testing.assert_allclose(found[i].gradient["w"], alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "flops"),
    [
        (lambda a: np.linalg.cholesky(a).sum(), 2 * 6**3 // 3),
        (lambda a: np.linalg.inv(a).sum(), 2 * 2 * 6**3),
        (lambda a: np.linalg.det(a).sum(), 2 * 2 * 6**3 // 3),
        (lambda a: np.linalg.solve(a, np.ones((2, 6, 3))).sum(), 2 * (2 * 6**3 // 3 + 2 * 6 * 6 * 3)),
    ],
)
def test_the_flops_of_linear_algebra_are_the_leading_terms(f, flops):
    a = RNG.normal(size=(2, 6, 6))
    a = a @ a.transpose(0, 2, 1) + 6.0 * np.eye(6)
    book = pb.explain(f, a)
    added = max(account.node.args[0].aval.size for account in book.nodes if account.op == "sum") - 1
    assert book.cost().value_flops == flops + added


def test_samples_that_meet_belong_to_the_one_that_comes_first(book):
    def normalized(w, X):
        z = X @ w
        return (((z - z.mean()) ** 2) * np.arange(6.0)).sum()

    found = pb.explain(normalized, V[:3], X).blame("sample", samples="X")
    total = sum(part.gradient["w"] for part in found)
    np.testing.assert_allclose(total, pb.grad(normalized)(V[:3], X), rtol=1e-12)


def test_a_term_s_part_is_the_gradient_of_that_term(book):
    found = book.blame("term")
    assert {part.name for part in found} == {"(r * r).mean()", "(W * W).sum()", "np.abs(V).sum()"}
    np.testing.assert_allclose(found["np.abs(V).sum()"].gradient["V"], -0.01 * np.sign(V), rtol=1e-14)
    assert found["np.abs(V).sum()"].gradient["W"] is None


def test_through_is_linear_in_paths(book):
    everything = book.through(layer=0)
    np.testing.assert_allclose(everything.gradient["W"], book.settled("W"), rtol=1e-14)
    tanh = book.through(lambda account: account.op == "tanh")
    rest = book.settled("W") - tanh.gradient["W"]
    np.testing.assert_allclose(rest, 0.2 * W, rtol=1e-12)
    line = book["h"].where.line
    np.testing.assert_allclose(book.through(line=line).gradient["W"], tanh.gradient["W"], rtol=1e-14)


def test_a_cut_is_the_gradient_without_that_edge(book):
    edge = book.edge("h", book["h"].node.args[0])
    found = book.cut(edge)
    np.testing.assert_allclose(found.gradient["W"], 0.2 * W, rtol=1e-12)
    np.testing.assert_array_equal(found.gradient["V"], book.settled("V"))
    assert found.gradient["X"] is None
    assert {account.name for account in found.unpaid} >= {"X"}
    whole = np.concatenate([np.ravel(book.settled(name)) for name in "WVXY"])
    zeros = {name: np.zeros(book[name].shape) for name in "WVXY"}
    left = np.concatenate([np.ravel(zeros[n] if found.gradient[n] is None else found.gradient[n]) for n in "WVXY"])
    assert found.cosine == pytest.approx(whole @ left / np.linalg.norm(whole) / np.linalg.norm(left), rel=1e-12)


@pytest.mark.parametrize(
    ("do", "text"),
    [
        (lambda book: book.blame("color"), "by is 'color'"),
        (lambda book: book.blame("sample"), "it is not said what the samples are"),
        (lambda book: book.blame("sample", samples="Q"), "samples names 'Q'"),
        (lambda book: book.blame("sample", samples=["X", "W"]), "have no rows in common"),
        (lambda book: book.through(), "through\\(\\) got 0 places"),
        (lambda book: book.through(layer=1, line=2), "through\\(\\) got 2 places"),
        (lambda book: book.through(line=1), "no node of the ledger is in line 1"),
        (lambda book: book.through(sample=6, samples="X"), "there is no sample 6"),
        (lambda book: book.through(term="q"), "there is no term q"),
        (lambda book: book.step().until("inf"), "the breakpoint is 'inf'"),
        (lambda book: book.step().goto(-1), "there is no place -1"),
    ],
)
def test_bad_use_gets_a_clear_error(book, do, text):
    with pytest.raises(InputError, match=text):
        do(book)


# flow


def test_flow_says_where_a_gradient_vanishes():
    def deep(x):
        for _ in range(6):
            x = np.tanh(4.0 * x)
        return x.sum()

    found = pb.explain(deep, np.array([0.5, 0.3])).flow()
    for step in found:
        assert step.before + step.gain == pytest.approx(step.after)
        assert step.after == pytest.approx(math.log2(np.linalg.norm(step.edge.paid)), rel=1e-12)
    assert found.shrinking(1)[0].edge.payer.op == "tanh"
    assert found.growing(1)[0].edge.payer.op == "mul"
    assert found.layers[0] == 0.0


def test_flow_knows_norms_whose_squares_are_no_numbers():
    small = pb.explain(lambda x: (x * 1e-200 * 1e-100).sum(), np.ones(4)).flow()
    assert small.layers[-1] == pytest.approx(math.log2(2e-300))


# cost


@pytest.mark.parametrize(("batch", "sizes"), [(16, (20, 30, 10)), (1, (3, 5)), (7, (4, 4, 4, 2))])
def test_the_flops_of_a_network_are_the_formula(batch, sizes):
    pairs = list(itertools.pairwise(sizes))
    weights = [RNG.normal(size=pair) for pair in pairs]
    data = RNG.normal(size=(batch, sizes[0]))

    def product(weights):
        h = data
        for w in weights:
            h = h @ w
        return h.sum()

    found = pb.explain(product, weights).cost()
    products = [2 * batch * m * n for m, n in pairs]
    assert found.value_flops == sum(products) + batch * sizes[-1] - 1
    assert found.gradient_flops == 2 * sum(products) - products[0]  # nobody asks for the data's gradient
    assert found.uncounted == ()


def test_where_an_op_is_not_counted_there_is_no_ratio():
    found = pb.explain(lambda a: np.linalg.qr(a)[0].sum(), np.eye(4) + 0.1).cost()
    assert found.uncounted == ("qr",)
    assert found.ratio is None
    assert found.summary.startswith(f"flops at least {found.value_flops:,} + ")
    assert "ratio not known without qr;" in found.summary


def test_a_loop_costs_its_steps():
    def loop(x):
        return pb.scan(lambda h, _: (h * x + x, None), x, None, length=50)[0]

    assert pb.explain(loop, 1.01).cost().value_flops == 2 * 50


@pytest.mark.parametrize("x", [1.01, -1.01])
def test_a_branch_costs_the_side_that_is_taken(x):
    def branch(x):
        return pb.cond(x > 0, lambda x: x * x * x * x, lambda x: x + 1.0, x)

    def loop(x):
        return pb.scan(lambda h, _: (branch(h), None), x, None, length=50)[0]

    assert pb.explain(branch, x).cost().value_flops == (3 if x > 0 else 1)
    assert pb.explain(loop, x).cost().value_flops == 50 * (1 + 3)  # a comparison, and the dearer side


ELEMENTARY = {
    "+": lambda x, y: x + y, "-": lambda x, y: x - y, "*": lambda x, y: x * y, "/": lambda x, y: x / (y * y + 1.0),
    "exp": lambda x, y: np.exp(x), "sin": lambda x, y: np.sin(x), "cos": lambda x, y: np.cos(y),
    "tanh": lambda x, y: np.tanh(x), "log": lambda x, y: np.log(x * x + 1.0), "sqrt": lambda x, y: np.sqrt(y * y + 1.0),
    "neg": lambda x, y: -y, "sigmoid": lambda x, y: pb.nn.sigmoid(x), "relu": lambda x, y: pb.nn.relu(x),
}  # fmt: skip


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(ELEMENTARY)), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20
    ),
    st.booleans(),
)
def test_a_gradient_costs_at_most_five_times_its_value(program, arrays):
    def f(a, b):
        known = [a, b]
        for name, i, j in program:
            known.append(ELEMENTARY[name](known[-1 - i % len(known)], known[-1 - j % len(known)]))
        return known[-1].sum() if arrays else known[-1]

    start = (np.array([0.3, -0.2, 0.9]), np.array([0.7, 0.1, -0.4])) if arrays else (0.3, 0.7)
    found = pb.explain(f, *start).cost()
    assert found.ratio <= 5.0, str(found)


# step


def test_a_walk_goes_both_ways():
    walk = pb.explain(lambda a, b: (a + b) * (b + 1), 2, 1).step()
    there = []
    while walk.forward() is not None:
        there.append((walk.at, walk.piles, walk.settled))
    back = [(walk.at, walk.piles, walk.settled)]
    while walk.back() is not None:
        back.append((walk.at, walk.piles, walk.settled))
    assert back == there[::-1]
    assert there[-1][2] == {"e": 1.0, "c": 2.0, "d": 3.0, "a": 2.0, "b": 5.0}
    assert walk.at == 0


def test_breakpoints_in_both_directions():
    walk = pb.explain(lambda x: ((x * 10.0) * 10.0) * 10.0, 1.0).step()
    assert walk.until(50).account.settled == 100.0
    assert walk.until(50).account.settled == 1000.0
    assert walk.until(50) is None
    assert walk.back_until(lambda account: account.settled == 10.0).account.settled == 10.0
    assert walk.back_until(1e6) is None
    assert walk.at == 0


def test_a_breakpoint_at_the_first_nan():
    walk = pb.explain(lambda x: (np.sqrt(x) * 0.0).sum(), np.zeros(2)).step()
    assert walk.until("nan").account.name == "x"


def rolled(x, w):
    def step(c, u):
        z = c * w
        return np.tanh(z + u), c

    return pb.scan(step, 0.3, x)[0] ** 2


def unrolled(x, w):
    c = 0.3
    for u in x:
        z = c * w
        c = np.tanh(z + u)
    return c**2


def test_loops_are_looked_into():
    x, w = RNG.normal(size=4), 0.7
    books = [pb.explain(f, x, w) for f in (rolled, unrolled)]
    gains = [
        sorted((s.edge.payer.op, s.edge.slot, round(s.gain, 9)) for s in b.flow() if s.edge.payer.op in ("tanh", "mul"))
        for b in books
    ]
    assert gains[0] == gains[1]
    assert len(gains[0]) == 4 + 4 + 3
    loop = books[0]
    assert loop.opened.paths(leaf="w").count == books[1].paths(leaf="w").count == 4
    assert books[1].opened is books[1]
    line = rolled.__code__.co_firstlineno + 2
    part = loop.through(line=line)  # z = c * w
    np.testing.assert_allclose(part.gradient["w"], loop.settled("w"), rtol=1e-12)
    edge = next(step.edge for step in loop.flow() if (step.edge.payer.name, step.edge.slot) == ("z#3", 1))
    without = loop.cut(edge)
    np.testing.assert_allclose(without.gradient["w"], loop.settled("w") - edge.paid, rtol=1e-12)
    assert {part.name.rpartition(":")[2] for part in loop.blame("line")} >= {str(line)}


def test_a_loop_that_reads_entries_moves_those_entries():
    def walked(x, n):
        total = 0.0
        for i in range(n):
            total = total + x[i] * x[i]
        return total

    small, large = (pb.explain(walked, np.ones(1000), n, argnums=0).cost().value_bytes for n in (10, 20))
    assert large == 2 * small


def test_a_change_of_dtype_is_nobody_s():
    def f(a, u):
        x = 0.5
        for i in range(3):
            x = a * x * (1 - x) + u[i]
        return np.tanh(x) * a

    book = pb.explain(f, 2.0, np.ones(5))
    parts = book.blame("op")
    assert {part.name for part in parts} == {"mul", "index"}
    for name in ("a", "u"):
        added = sum(part.gradient[name] for part in parts if part.gradient[name] is not None)
        assert np.allclose(added, book.settled(name), rtol=1e-14)


def test_flow_adds_up_what_a_loop_does_again_and_again():
    def recurrent(W, u):
        h = np.zeros(3)
        for x in u:
            h = np.tanh(W @ h + x)
        return (h * h).sum()

    book = pb.explain(recurrent, np.full((3, 3), 0.01), np.ones(40))
    flow = book.flow()
    worst = flow.repeated()[0]
    assert (worst.first.edge.payer.op, worst.first.edge.arg.name, worst.times) == ("contract", "h#39", 39)
    assert worst.gain == pytest.approx(sum(s.gain for s in flow if s.edge.payer.op == "contract" and s.edge.slot == 1))
    assert "→ h (contract)" in str(flow)
    (trend,) = flow.trends()
    owed = [float(np.linalg.norm(book[name].settled)) for name in ("h", "h#40")]
    assert (trend.name, len(trend.norms)) == ("h", 40)
    assert trend.norms == sorted(trend.norms, reverse=True)
    assert trend.factor == pytest.approx((owed[0] / owed[1]) ** (1 / 39))
    assert "what h is owed shrinks with each round back" in str(flow)
    assert any(line.endswith("in recurrent: W @ h") for line in flow.telling())
    assert not pb.explain(lambda x: np.tanh(0.01 * x).sum(), np.ones(3)).flow().telling()
    apart = pb.explain(lambda x: sum(np.tanh(0.01 * np.sin(k * x[k])) for k in range(9)), np.ones(9)).flow()
    assert not apart.telling()  # as often, and none after another


def test_a_row_with_a_column_is_asked_about():
    def squares(w, X, y):
        return ((X @ w - y) ** 2).mean()

    w, X, y = np.ones(2), np.ones((4, 2)), np.ones(4)
    assert "is it meant?" in pb.explain(squares, w, X, y[:, None]).to_text()
    assert "is it meant?" not in pb.explain(squares, w, X, y).to_text()
    outer = pb.explain(lambda a, b: (a[:, None] * b[None, :]).sum(), np.ones(4), np.ones(4))
    assert "is it meant?" not in outer.to_text()


def test_what_is_alike_costs_alike():
    """Rounds of a loop are looked up; what the first costs is what each costs."""

    def looped(a, n):
        x = 0.3
        for _ in range(n):
            x = np.maximum(a * x * (1.0 - x), x**2) + np.float32(0.5) * x
        return x

    costs = [pb.explain(looped, 3.2, n, argnums=0).cost() for n in (2, 3, 9)]
    for kind in ("value_flops", "gradient_flops", "value_bytes", "gradient_bytes"):
        two, three, nine = (getattr(cost, kind) for cost in costs)
        assert nine - three == 6 * (three - two) > 0


def test_a_norm_is_counted_number_by_number():
    book = pb.explain(lambda x: np.linalg.norm(x) ** 2 * x[0], np.array([1.0, 2.0])).by_entry()
    assert book.cost().gradient_flops > 0


def test_terms_of_a_loop_and_of_sums_that_meet():
    def looped(w, X):
        total = 0.0
        for i in range(len(X)):
            total = total + (X[i] @ w) ** 2
        for _ in range(40):
            total = total + total
        return total - w[0]

    w, X = np.array([2.0, 3.0]), np.random.default_rng(5).normal(size=(4, 2))
    parts = pb.explain(looped, w, X, wrt="w").blame("term")
    assert len({part.name for part in parts}) == 5
    assert np.allclose(parts["(X[i] @ w) ** 2#3"].gradient["w"], 2.0**41 * (X[2] @ w) * X[2], rtol=1e-13)
    assert np.allclose(sum(part.gradient["w"] for part in parts), parts.total["w"], rtol=1e-14)
    expected = {tuple(2.0**41 * (x @ w) * x) for x in X} | {(-1.0, 0.0)}
    found = [part.gradient["w"] for part in parts]
    assert all(any(np.allclose(part, other, rtol=1e-13) for part in found) for other in expected)


def test_of_too_many_terms_those_of_one_expression_are_one_part():
    def looped(x, y):
        total = 0.1 * y
        for k in range(300):
            total = total + x * y * k
            total = total - x**2
        return total

    parts = pb.explain(looped, 2.0, 3.0).blame("term")
    assert {part.name for part in parts} == {"y", "x * y (×300)", "x**2 (×300)"}
    assert parts["x**2 (×300)"].gradient["x"] == -1200.0
    assert parts["x * y (×300)"].gradient == {"x": 3.0 * 44850, "y": 2.0 * 44850}

    def nested(x):  # a term below another
        for _ in range(300):
            x = np.sin(x) + 0.5 * x
        return x

    book = pb.explain(nested, 0.3)
    parts = book.blame("term")
    assert len(parts) == 2
    assert sum(part.gradient["x"] for part in parts) == pytest.approx(book.settled("x"), rel=1e-13)


def test_what_a_scan_hands_to_its_steps_is_paid_by_their_lines():
    def scanned(a, u):
        return pb.scan(lambda c, x: (np.tanh(a * c) + x * x, None), 0.5, u)[0]

    u = np.array([1.0, 2.0, 3.0])
    book = pb.explain(scanned, 0.7, u)
    assert {part.name for part in book.blame("op")} == {"mul"}
    (part,) = book.blame("line")
    assert np.allclose(part.gradient["u"], book.settled("u"), rtol=1e-15)


def test_large_payments_are_not_kept():
    x = np.ones(5000)
    book = pb.explain(lambda x: sum(x[k] * x[k + 1] for k in range(3)), x)
    edges = book.pile("x")
    assert all(edge.paid.shape == (5000,) and "paid" not in vars(edge) for edge in edges)
    assert np.array_equal(sum(edge.paid for edge in edges), book.settled("x"))


def test_sizes_look_at_a_stack_once_and_not_once_for_each_argument():
    class Counting(Sizes):
        looked = 0

        def factor(self, x):
            self.looked += 1
            return super().factor(x)

    book = pb.explain(lambda x: (np.stack([x[k] for k in range(40)]) ** 2).sum(), np.ones(40))
    algebra = Counting()
    sweep(algebra, {book.top.node: 1.0}, [book["x"].node])
    assert 40 <= algebra.looked < 200


def test_a_column_that_is_made_for_a_row_is_meant():
    x, y, X = np.arange(4.0), np.ones(4), np.ones((4, 3))
    for f in (
        lambda x: (x[:, None] - x).sum(),
        lambda x, y: (x[:, None] * y).sum(),
        lambda x, y: np.subtract.outer(x, y).sum(),
        lambda x: (x.reshape(-1, 1) - x).sum(),
    ):
        assert "is it meant?" not in pb.explain(f, *(x, y)[: f.__code__.co_argcount]).to_text()
    f = lambda w, y: ((X @ w - y.reshape(-1, 1)) ** 2).mean()  # noqa: E731
    assert "is it meant?" in pb.explain(f, np.ones(3), y).to_text()
