"""500 random graphs with shared nodes, zero and negative partials: everything a ledger says, against brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from amount import cases
from payback.glass import Ledger
from payback.glass.entries import row_of_partials
from payback.ir.node import NO_PARAMS, Node
from payback.ops.row import TABLE, VARIABLE


def random_dag(seed):
    """(leaves, all nodes, {(payer, slot): partial}): up to 14 nodes with one to three arguments each."""
    rng = np.random.default_rng(seed)
    leaves = [
        Node(VARIABLE, (), {"name": f"x{k}", "replaced": None}, float(k), None) for k in range(rng.integers(1, 4))
    ]
    nodes, partials = list(leaves), {}
    for _ in range(int(rng.integers(1, 15 - len(leaves)))):
        args = tuple(nodes[i] for i in rng.integers(max(0, len(nodes) - 5), len(nodes), int(rng.integers(1, 4))))
        numbers = [float(x) for x in rng.choice([-2.0, -1.0, -0.5, 0.0, 0.0, 0.25, 1.0, 3.0], len(args))]
        node = Node(row_of_partials(TABLE["add"], numbers), args, NO_PARAMS, 0.0, None)
        nodes.append(node)
        partials |= {(node, slot): number for slot, number in enumerate(numbers)}
    return leaves, nodes, partials


def brute_paths(node, leaf, trail=()):
    if node is leaf:
        yield trail
    for slot, arg in enumerate(node.args):
        yield from brute_paths(arg, leaf, (*trail, (node, slot)))


@pytest.mark.parametrize("seed", range(cases(60, 500)))
def test_brute_force_says_the_same(seed):
    leaves, nodes, partials = random_dag(seed)
    top = nodes[-1]
    book = Ledger(top, leaves)
    book.check()
    walked = {leaf: list(brute_paths(top, leaf)) for leaf in leaves}
    products = {leaf: [math.prod(partials[e] for e in path) for path in walked[leaf]] for leaf in leaves}
    for leaf in leaves:
        paths = book.paths(leaf=leaf)
        assert paths.count == len(walked[leaf])
        assert paths.walks == sum(map(len, walked[leaf]))
        if not walked[leaf]:
            assert book.settled(leaf) is None
            assert book.kappa[book[leaf].name] is None
            continue
        net, gross = math.fsum(products[leaf]), math.fsum(map(abs, products[leaf]))
        assert book.settled(leaf) == paths.sum == pytest.approx(net, abs=1e-12 * gross)
        assert paths.gross == pytest.approx(gross, rel=1e-12)
        if abs(net) > 1e-9 * gross:
            assert book.kappa[book[leaf].name] == pytest.approx(gross / abs(net), rel=1e-9)
        elif gross == 0:
            assert book.kappa[book[leaf].name] == 1.0
        k = min(7, len(walked[leaf]))
        top_k = paths.top(k)
        assert [abs(path.product) for path in top_k] == sorted(map(abs, products[leaf]), reverse=True)[:k]
        told = [tuple((e.payer.node, e.slot) for e in reversed(path.edges)) for path in top_k]
        assert len(set(told)) == k
        assert set(told) <= set(walked[leaf])
        assert [path.product for path in top_k] == [math.prod(partials[e] for e in path) for path in told]
        assert paths.share(top_k) == pytest.approx(
            sum(sorted(map(abs, products[leaf]), reverse=True)[:k]) / gross if gross else 1.0
        )
    used = set(itertools.chain.from_iterable(path for paths in walked.values() for path in paths))
    assert {(e.payer.node, e.slot) for e in book.edges} == used
    assert book.race().visits == len(used)
    for edge in book.edges:
        cut = book.cut(edge)
        for leaf in leaves:
            left = [p for path, p in zip(walked[leaf], products[leaf], strict=True)
                    if (edge.payer.node, edge.slot) not in path]  # fmt: skip
            found = cut.gradient[book[leaf].name]
            if not left:
                assert found is None
            else:
                assert found == pytest.approx(math.fsum(left), abs=1e-12 * (1 + math.fsum(map(abs, left))))
