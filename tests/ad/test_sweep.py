"""The sweep on random DAGs with shared nodes: each edge once, and the sum over all paths."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import amount
import payback as pb
from payback.ad.algebra import Gradient, PathCount, Walks
from payback.ad.sweep import sweep
from payback.ir.node import Node, ancestors
from payback.ops import TABLE
from payback.ops.append import append, const
from payback.ops.row import INPUT

# Whole numbers, so that any order of adding gives the same sum: a difference is a wrong sum, not a rounding.
VALUES = (1.0, 2.0, 3.0, -1.0, -2.0)


@st.composite
def dags(draw):
    """Inputs and nodes (sum, difference, product, negative, identity, stop) of earlier nodes, many of them shared."""
    leaves = [Node(INPUT, (), {}, draw(st.sampled_from(VALUES)), None) for _ in range(draw(st.integers(1, 3)))]
    nodes = [*leaves, const(2.0)]
    for _ in range(draw(st.integers(1, 9))):
        name = draw(st.sampled_from(["add", "sub", "mul", "mul", "neg", "identity", "stop_gradient"]))
        count = 2 if name in ("add", "sub", "mul") else 1
        nodes.append(append(TABLE[name], tuple(draw(st.sampled_from(nodes)) for _ in range(count)), {}, None))
    return leaves, nodes[-1]


def local(node, slot):
    a = [arg.value for arg in node.args]
    return {"add": 1, "sub": 1 - 2 * slot, "mul": a[1 - slot] if len(a) > 1 else 0, "neg": -1, "identity": 1}[
        node.op.name
    ]


def edges_on_paths(top, wrt):
    """All edges (user, slot, argument) on a path from the top to one of `wrt`, by walking every path."""
    found, paths = set(), {leaf: [] for leaf in wrt}

    def walk(node, path):
        if node in paths:
            paths[node].append(path)
            found.update(path)
        for slot, arg in enumerate(node.args):
            if node.op.name != "stop_gradient":
                walk(arg, (*path, (node, slot, arg)))

    walk(top, ())
    return found, paths


class Counting(Gradient):
    def __init__(self):
        super().__init__(on_graph=False)
        self.visits, self.settled = Counter(), Counter()

    def pull(self, node, slot, bar):
        self.visits[node, slot, node.args[slot]] += 1
        return super().pull(node, slot, bar)

    def total(self, node, pile):
        self.settled[node] += 1
        return super().total(node, pile)


@given(dags())
def test_each_edge_once_and_the_sum_over_paths(dag):
    leaves, top = dag
    algebra = Counting()
    settled = sweep(algebra, {top: 1.0}, leaves)
    edges, paths = edges_on_paths(top, leaves)
    assert algebra.visits == Counter(edges)
    assert set(algebra.settled.values()) <= {1}
    for leaf in leaves:
        expected = sum(prod(local(node, slot) for node, slot, _ in path) for path in paths[leaf])
        if paths[leaf]:
            assert settled[leaf] == expected
        else:
            assert leaf not in settled  # no path is not zero


@given(dags())
def test_path_counts(dag):
    leaves, top = dag
    counted = sweep(PathCount(), {top: Walks(1, 0)}, leaves)
    _, paths = edges_on_paths(top, leaves)
    for leaf in leaves:
        assert counted.get(leaf, Walks(0, 0)) == Walks(len(paths[leaf]), sum(map(len, paths[leaf])))


@given(dags())
def test_the_graph_has_the_same_bits_and_can_be_swept_again(dag):
    leaves, top = dag
    values = sweep(Gradient(on_graph=False), {top: 1.0}, leaves)
    graph = Gradient(on_graph=True)
    recorded = sweep(graph, {top: graph.operand(const(1.0))}, leaves)
    assert {leaf: graph.result(bar).value for leaf, bar in recorded.items()} == values


@given(dags(), st.data())
def test_wrt_an_inner_node(dag, data):
    """Differentiating by an inner node and its own arguments too: each gets its sum over paths."""
    _, top = dag
    wrt = data.draw(st.lists(st.sampled_from(ancestors([top])), min_size=1, max_size=3, unique=True))
    settled = sweep(Gradient(on_graph=False), {top: 1.0}, wrt)
    _, paths = edges_on_paths(top, wrt)
    for node in wrt:
        if paths[node]:
            assert settled[node] == sum(prod(local(n, slot) for n, slot, _ in path) for path in paths[node])


def test_several_tops():
    x = Node(INPUT, (), {}, 3.0, None)
    y = append(TABLE["mul"], (x, x), {}, None)
    z = append(TABLE["mul"], (y, x), {}, None)
    assert sweep(Gradient(False), {y: 10.0, z: 1.0}, [x])[x] == 10 * 6 + 27
    assert sweep(Gradient(False), {x: 5.0}, [x]) == {x: 5.0}
    assert sweep(Gradient(False), {y: 1.0}, []) == {}


def test_sixty_doublings():
    """2**60 paths, and 60 nodes settled over 120 edges."""
    x = node = Node(INPUT, (), {}, 1.0, None)
    for _ in range(60):
        node = append(TABLE["add"], (node, node), {}, None)
    assert sweep(PathCount(), {node: Walks(1, 0)}, [x])[x] == Walks(2**60, 60 * 2**60)
    algebra = Counting()
    assert sweep(algebra, {node: 1.0}, [x])[x] == 2.0**60
    assert sum(algebra.visits.values()) == 120
    assert sum(n is not x for n in algebra.settled) == 60
    assert set(algebra.visits.values()) == {1}


def test_the_ledger_keeps_the_piles():
    """The article's example: every node with what it was paid, by whom, for which argument."""
    a, b = pb.variable(2.0), pb.variable(1.0)
    c, d = a + b, b + 1
    e = c * d
    ledger = {}
    names = {x.node: name for name, x in {"a": a, "b": b, "c": c, "d": d, "e": e}.items()}
    sweep(Gradient(False), {e.node: 1.0}, [a.node, b.node], ledger=ledger)
    told = {
        names[node]: [(names.get(payer), slot, paid) for payer, slot, paid in pile] for node, pile in ledger.items()
    }
    assert told == {
        "e": [(None, 0, 1.0)],
        "d": [("e", 1, 3.0)],
        "c": [("e", 0, 2.0)],
        "b": [("d", 0, 3.0), ("c", 1, 2.0)],
        "a": [("c", 0, 2.0)],
    }


def _pile(rng):
    payers = [Node(INPUT, (), {}, 0.0, None) for _ in range(6)]
    return [(node, slot, rng.standard_normal(3) * 10.0 ** rng.integers(-8, 8)) for node in payers for slot in (0, 1)]


@pytest.mark.parametrize("seed", range(amount.cases(5, 50)))
def test_a_pile_is_added_by_ascending_payer(seed):
    """Entries stand in descending order, whatever the program looked like; the sum starts with the oldest payer."""
    pile = sorted(_pile(np.random.default_rng(seed)), key=lambda entry: (entry[0].id, entry[1]), reverse=True)
    total = Gradient(False).total(Node(INPUT, (), {}, np.zeros(3), None), pile)
    expected = None
    for *_, paid in reversed(pile):
        expected = paid if expected is None else expected + paid
    assert (total == expected).all()


@pytest.mark.parametrize("seed", range(amount.cases(5, 100)))
def test_the_order_of_a_traversal_changes_no_bit(seed, monkeypatch):
    """`ancestors` may find nodes in any order: sets and stacks leave no trace in the sums."""
    rng = np.random.default_rng(seed)
    x = pb.variable(rng.standard_normal(4))
    pool = [x]
    for _ in range(30):
        i, j = rng.integers(len(pool), size=2)
        pool.append(np.sin(pool[i]) * pool[j] + pool[rng.integers(len(pool))])
    top = sum(pool).sum()
    expected = sweep(Gradient(False), {top.node: 1.0}, [x.node])[x.node]
    order = ancestors([top.node])
    shuffled = random.Random(seed).sample(order, len(order))
    again = sweep(Gradient(False), {top.node: 1.0}, [x.node], reached=sorted(shuffled, key=lambda n: n.id))
    assert (again[x.node] == expected).all()
    args = [n.args for n in order]
    assert list(itertools.chain(*args))  # not an empty graph
