"""The ledger against brute force: every path enumerated, every payment added up, on random graphs with shared nodes."""

from __future__ import annotations

import itertools
import json
import math
import operator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import payback as pb
from payback.ad.algebra import Gradient
from payback.errors import DifferentiationError, InputError
from payback.glass import Ledger, LedgerError, Pays, Settles
from payback.glass.paths import walks_per_edge
from payback.trace.array import Traced

APPLY = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
PARTIALS = {
    "+": lambda x, y: (1.0, 1.0),
    "-": lambda x, y: (1.0, -1.0),
    "*": lambda x, y: (y, x),
    "/": lambda x, y: (1.0 / y, -x / (y * y)),
}
NUMBERS = st.sampled_from([-3.0, -2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 3.0])


@st.composite
def programs(draw):
    """(values of the variables, operations); an operand is ("v", i) a variable or earlier result, or ("k", number)."""
    values = draw(st.lists(NUMBERS, min_size=1, max_size=3))
    operations = []
    for i in range(draw(st.integers(1, 8))):
        known = st.tuples(st.just("v"), st.integers(0, len(values) + i - 1))
        operand = st.one_of(known, known, known, st.tuples(st.just("k"), NUMBERS))
        operations.append((draw(st.sampled_from("+-*/")), draw(operand), draw(operand)))
    return values, operations


class Brute:
    """The same graph in the plainest way: a list of values, and recursion over all paths from the top."""

    def __init__(self, values, operations):
        self.first = len(values)
        self.values = list(values)
        self.edges = {}  # result -> [(slot, argument, partial)]
        live = set(range(self.first))
        for op, *operands in operations:
            numbers = [self.values[n] if kind == "v" else n for kind, n in operands]
            assume(op != "/" or numbers[1] != 0.0)
            self.values.append(APPLY[op](*numbers))
            partials = PARTIALS[op](*numbers)
            self.edges[len(self.values) - 1] = [
                (slot, n, partials[slot]) for slot, (kind, n) in enumerate(operands) if kind == "v" and n in live
            ]
            if self.edges[len(self.values) - 1]:
                live.add(len(self.values) - 1)
        assume(all(abs(v) < 1e12 for v in self.values))

    def paths(self, node, trail=()):
        if node < self.first:
            yield node, trail
        for slot, arg, partial in self.edges.get(node, []):
            yield from self.paths(arg, (*trail, (node, slot, arg, partial)))


def traced(values, operations):
    """The program on payback's variables: the nodes of all variables and results (None for plain numbers)."""
    known = [pb.variable(np.float64(v), f"v{i}") for i, v in enumerate(values)]
    for op, *operands in operations:
        known.append(APPLY[op](*[known[n] if kind == "v" else n for kind, n in operands]))
    nodes = [getattr(x, "node", None) for x in known]
    assume(nodes[-1] is not None)
    return nodes


@given(programs())
def test_brute_force_equals_counts_sums_and_gradients(program):
    values, _ = program
    brute, nodes = Brute(*program), traced(*program)
    index = {node: i for i, node in enumerate(nodes) if node is not None}
    book = Ledger(nodes[-1], nodes[: len(values)])
    walked = {}
    everything = list(brute.paths(len(nodes) - 1))
    for i in range(len(values)):
        mine = [trail for leaf, trail in everything if leaf == i]
        paths = book.paths(book.top, nodes[i])
        assert paths.count == len(mine)
        assert paths.walks == sum(map(len, mine))
        expected = sorted([(n, slot, arg) for n, slot, arg, _ in trail] for trail in mine)
        shown = list(paths.all())
        told = [[(index[e.payer.node], e.slot, index[e.arg.node]) for e in reversed(path.edges)] for path in shown]
        assert sorted(told) == expected
        for path, edges in zip(shown, told, strict=True):
            partials = {(n, slot): p for n, slot, _, p in itertools.chain(*mine)}
            assert path.factors == pytest.approx([partials[n, slot] for n, slot, _ in edges])
            assert path.product == pytest.approx(math.prod(path.factors))
            assert [index[a.node] for a in path.accounts] == [*(arg for *_, arg in reversed(edges)), edges[0][0]]
        for edge in itertools.chain(*told):
            walked[edge] = walked.get(edge, 0) + 1
        if mine:
            gross = sum(abs(path.product) for path in shown)
            assert book.settled(nodes[i]) == pytest.approx(sum(path.product for path in shown), abs=1e-12 * gross)
        else:
            assert book.settled(nodes[i]) is None
    assert book.race() == (len(everything), sum(len(trail) for _, trail in everything), len(walked))
    assert {(index[e.payer.node], e.slot, index[e.arg.node]): n for e, n in walks_per_edge(book).items()} == walked
    book.check()


@given(programs())
def test_the_ledger_has_the_bits_of_backward(program):
    values, _ = program
    Brute(*program)  # leaves out what is not finite
    nodes = traced(*program)
    book = Ledger(nodes[-1], nodes[: len(values)])
    Traced(nodes[-1]).backward()
    assert [account.settled for account in book.leaves] == [node.grad for node in nodes[: len(values)]]


@given(programs())
def test_events_are_in_a_possible_order(program):
    values, _ = program
    Brute(*program)  # leaves out what is not finite
    nodes = traced(*program)
    book = Ledger(nodes[-1], nodes[: len(values)])
    piles, settled, places = {}, {}, []
    for event in book.events:
        if isinstance(event, Settles):
            node = event.account
            assert node not in settled
            told = sorted(piles.get(node, []), key=lambda e: (e.payer.id, e.slot))
            assert told == list(event.pile) == list(book.pile(node))
            settled[node] = 1.0 if node is book.top else sum(e.paid for e in event.pile)
            assert settled[node] == node.settled
            places.append((node.layer, 0, node.id))
        else:
            edge = event.edge
            assert edge.arg not in settled
            assert edge.paid == settled[edge.payer] * edge.partial
            assert edge.arg.layer > edge.payer.layer
            piles.setdefault(edge.arg, []).append(edge)
            places.append((edge.payer.layer, 1, edge.payer.id, edge.slot))
    assert places == sorted(places)
    assert settled.keys() == {node for node in book.nodes if node.settled is not None}
    assert sum(isinstance(event, Pays) for event in book.events) == len(book.edges)


def article():
    a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    c = a + b
    d = b + 1
    e = c * d
    return Ledger(e.node, [a.node, b.node], {c.node: "c", d.node: "d", e.node: "e"})


def test_the_article():
    book = article()
    assert [(n.name, n.op, n.value, n.layer, n.settled) for n in book.nodes] == [
        ("a", "variable", 2.0, 2, 2.0),
        ("b", "variable", 1.0, 2, 5.0),
        ("c", "add", 3.0, 1, 2.0),
        ("d", "add", 2.0, 1, 3.0),
        ("e", "mul", 6.0, 0, 1.0),
    ]
    assert [(e.payer.name, e.slot, e.arg.name, e.partial, e.paid) for e in book.edges] == [
        ("c", 0, "a", 1.0, 2.0),
        ("c", 1, "b", 1.0, 2.0),
        ("d", 0, "b", 1.0, 3.0),
        ("e", 0, "c", 2.0, 2.0),
        ("e", 1, "d", 3.0, 3.0),
    ]
    told = [
        f"{event.account.name} settled" if isinstance(event, Settles)
        else f"{event.edge.payer.name} pays {event.edge.arg.name}"
        for event in book.events
    ]  # fmt: skip
    assert told == [
        *("e settled", "e pays c", "e pays d"),
        *("c settled", "d settled", "c pays a", "c pays b", "d pays b"),
        *("a settled", "b settled"),
    ]


def test_one_sweep_on_values_visits_each_edge_once(monkeypatch):
    seen = []

    class Watched(Gradient):
        def pull(self, node, slot, bar):
            seen.append((node, slot))
            return super().pull(node, slot, bar)

    monkeypatch.setattr("payback.glass.ledger.Gradient", Watched)
    book = article()
    assert len(set(seen)) == len(seen) == len(book.edges) == 5  # what an edge has paid is computed when it is asked


def tampered(change):
    book = article()
    change(book)
    return book


def changed(part, name, value):
    object.__setattr__(part, name, value)


TAMPERINGS = {
    "an amount": lambda book: changed(book.edges[3], "paid", 2.5),
    "a sign": lambda book: changed(book.edges[0], "paid", -2.0),
    "NaN": lambda book: changed(book.edges[0], "paid", math.nan),
    "a partial": lambda book: changed(book.edges[2], "partial", 1.5),
    "a sum": lambda book: changed(book.nodes[1], "settled", 6.0),
    "no sum": lambda book: changed(book.nodes[1], "settled", None),
    "what the top starts with": lambda book: changed(book.top, "settled", 2.0),
    "an edge is missing": lambda book: setattr(book, "edges", book.edges[1:]),
    "a payment is missing": lambda book: setattr(book, "events", book.events[:5] + book.events[6:]),
    "a settlement is missing": lambda book: setattr(book, "events", book.events[:-1]),
    "paid twice": lambda book: setattr(book, "events", (*book.events[:2], book.events[1], *book.events[2:])),
    "settled twice": lambda book: setattr(book, "events", (*book.events, book.events[-1])),
    "pays before it has settled": lambda book: setattr(book, "events", (book.events[5], *book.events)),
    "settled before all have paid": lambda book: setattr(
        book, "events", (*book.events[:7], book.events[9], book.events[7], book.events[8])
    ),
    "to another slot": lambda book: changed(book.edges[0], "slot", 1),
}  # fmt: skip


@pytest.mark.parametrize("change", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_tampered_ledger_fails_its_check(change):
    article().check()
    with pytest.raises(LedgerError):
        tampered(change).check()


def test_the_check_says_what_is_wrong():
    with pytest.raises(LedgerError) as caught:
        tampered(TAMPERINGS["an amount"]).check()
    assert str(caught.value) == "e pays c a wrong amount, 2.5: it holds 1.0, and the partial is 2.0, not 2.0."


def test_no_path_is_not_zero():
    a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    book = Ledger((a * 0).node, [a.node, b.node])
    assert book.settled("a") == 0.0
    assert book.settled("b") is None
    assert book.pile("b") == ()
    assert book.paths(book.top, "b").count == 0
    assert list(book.paths(book.top, "b").all()) == []
    book.check()


def test_the_top_may_be_a_leaf():
    a = pb.variable(2.0, "a")
    book = Ledger(a.node, [a.node])
    assert (book.settled("a"), book.edges, book.race()) == (1.0, (), (1, 0, 0))
    assert [path.product for path in book.paths("a", "a").all()] == [1.0]
    book.check()


def test_paths_between_any_two_nodes():
    book = article()
    assert [path.product for path in book.paths("e", "c").all()] == [2.0]
    assert [path.product for path in book.paths("d", "b").all()] == [1.0]
    assert book.paths("d", "a").count == 0


def test_a_masked_payment_adds_up():
    a, b = pb.variable(np.float64(0), "a"), pb.variable(np.float64(1), "b")
    top = np.maximum(np.sqrt(a), b)  # the partial of the square root is infinite, and nothing is owed there
    book = Ledger(top.node, [a.node, b.node])
    assert [book.settled(name) for name in "ab"] == [0.0, 1.0]
    assert [path.product for path in book.paths(book.top, "a").all()] == [0.0]
    book.check()


def test_sixty_doublings_are_told_at_once():
    x = leaf = pb.variable(1.0, "x")
    for _ in range(60):
        x = x + x
    book = Ledger(x.node, [leaf.node])
    assert book.race() == (2**60, 60 * 2**60, 120)
    assert set(walks_per_edge(book).values()) == {2**59}
    assert next(book.paths(book.top, "x").all()).product == 1.0
    book.check()


def test_a_deep_graph_needs_no_recursion():
    x = leaf = pb.variable(1.0, "x")
    for _ in range(5000):
        x = x * 1.0
    book = Ledger(x.node, [leaf.node])
    assert len(next(book.paths(book.top, "x").all()).edges) == 5000
    book.check()


def test_between_arrays_the_rule_stands_for_the_partial():
    w, x = pb.variable(np.arange(6.0).reshape(2, 3), "w"), pb.variable(np.ones(3), "x")
    y = np.tanh(w @ x)
    top = (y * y)[0] + w[0].sum() + w[1, 2]
    book = Ledger(top.node, [w.node, x.node])
    w.node.grad = None
    top.backward()
    np.testing.assert_array_equal(book.settled("w"), w.grad)
    np.testing.assert_array_equal(book.settled("x"), x.grad)
    assert {e.partial for e in book.edges if e.payer.op == "tanh"} == {"1 − y²"}
    assert {path.product for path in book.paths(book.top, "x").all()} == {None}
    assert all(np.shape(e.paid) == e.arg.node.shape for e in book.edges)
    book.check()
    changed(next(e for e in book.edges if e.arg.name == "w"), "paid", np.zeros((2, 3)))
    with pytest.raises(LedgerError):
        book.check()


def test_what_is_not_in_the_ledger():
    with pytest.raises(InputError, match=r"there is no node bb in the ledger\. Did you mean b\?"):
        article().settled("bb")
    with pytest.raises(InputError, match="Its nodes are a, b, c, d, e"):
        article().pile("nothing")
    with pytest.raises(InputError):
        article().account(pb.variable(1.0).node)
    with pytest.raises(DifferentiationError):
        Ledger(pb.variable(np.ones(2)).node, [])


def test_more_paths_than_python_writes_digits():
    def doubled(x):
        for _ in range(15_000):
            x = x + x
        return x * 0.0

    book = pb.explain(doubled, 1.0)
    assert book.race().paths == 2**15_000
    assert repr(book.race()).startswith("Race(paths=about 2.8·10^4515, ")
    assert "path by path: about 2.8·10^4515 paths" in book.to_text()
    told = json.loads(book.to_json())
    assert told["paths"]["count"] == "2.818e+4515"
    assert {edge["walks"] for edge in told["edges"]} >= {"2.818e+4515", "1.409e+4515"}
    assert told["edges"][-1]["partial"] == 0.0


def test_counts_up_to_their_bound_are_exact():
    def doubled(x):
        for _ in range(1000):
            x = x + x
        return x

    told = json.loads(pb.explain(doubled, 1.0).to_json())
    assert told["paths"]["by_leaf"]["x"]["count"] == str(2**1000)
    assert {edge["walks"] for edge in told["edges"]} == {str(2**999)}


def test_entries_of_an_array_are_not_made_an_array_of_all_to_be_written(monkeypatch):
    """Of a loop that reads an array entry by entry that would be the square of its steps, in time and memory."""

    def f(x):
        return sum(np.sin(x[k]) * x[-1 - k] for k in range(len(x)))

    x = np.linspace(-1.0, 1.0, 80)
    book, whole = pb.explain(f, x), pb.explain(f, x)
    payment, asked = Ledger.payment, []
    monkeypatch.setattr(Ledger, "payment", lambda *args: asked.append(args) or payment(*args))
    data = json.loads(book.to_json())
    assert (
        sum(payer.op.name == "index" for _, payer, _ in asked) == 1
    )  # the first of the pile, that the others are added to
    for told, edge in zip(data["edges"], whole.edges, strict=True):
        if edge.arg.name == "x":
            values = edge.paid
            assert (told["paid"]["min"], told["paid"]["max"]) == (values.min(), values.max())
            assert told["paid"]["zeros"] == 80 - np.count_nonzero(values)
            assert np.isclose(told["paid"]["norm"], np.linalg.norm(values), rtol=1e-15)
    sums = [row["sum"]["norm"] for row in data["ledger"]["x"]]
    running = np.cumsum([edge.paid for edge in whole.pile("x")], axis=0)
    np.testing.assert_allclose(sums, np.linalg.norm(running, axis=1), rtol=1e-14)
