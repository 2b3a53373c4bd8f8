"""`pb.explain`: ledgers of functions, networks and eager values, and of one entry of them number by number."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import DifferentiationError, InputError, TraceError
from payback.glass import LedgerError
from payback.glass.text import tree_of


def article(a, b):
    return (a + b) * (b + 1)


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


W, V, X, Y = rows(0, 3, 4), rows(1, 4), rows(2, 6, 3), rows(3, 6)


def cost(W, V, X, Y):
    h = np.tanh(X @ W)
    r = h @ V - Y
    return (r * r).mean() + 0.1 * (W * W).sum()


def recurrent(w, h, xs):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, h.sum()

    h, ys = pb.scan(step, h, xs)
    return (h * h).sum() + 0.1 * ys.sum() - h[0] * h[1]


def chosen(x):
    y = pb.cond(x[0] > 0, lambda x: x * x, lambda x: -x, x)
    return np.sort(y)[1:].sum() + np.prod(x) + np.cumprod(x)[1] + np.max(x) + np.cumsum(x)[2] ** 2


def algebra(a, b):
    return np.linalg.solve(a, b).sum() + np.linalg.det(a) + np.linalg.norm(b)


@pb.custom_gradient
def doubled(x):
    return x * x, lambda bar: 4.0 * x * bar


PROGRAMS = {
    "network": (cost, (W, V, X, Y)),
    "scan": (recurrent, (rows(4, 3, 3), rows(5, 3), rows(6, 5, 3))),
    "cond, sort, prod, cumprod, max, cumsum": (chosen, (np.array([0.5, -2.0, 3.0]),)),
    "solve, det": (algebra, (rows(7, 3, 3) + 3 * np.eye(3), rows(8, 3))),
    "indices": (lambda x: (x[[0, 2, 2]] * x[1:4]).sum() + x[0] * x[-1], (rows(9, 5),)),
    "written into": (lambda x: _written(x), (rows(10, 4),)),
    "broadcast, concatenate": (
        lambda a, b: (np.concatenate([a + b[:, None], a * b[:, None]]) ** 2).mean() / b.sum(),
        (rows(11, 2, 3), rows(12, 2)),
    ),
    "logsumexp, where": (
        lambda x: np.logaddexp.reduce(np.where(x > 0, x, 0.1 * x)) + pb.nn.log_softmax(x)[1],
        (rows(13, 4),),
    ),
    "custom": (lambda x: doubled(x).sum() * x[0], (rows(14, 3),)),
}


def _written(x):
    out = np.zeros(5)
    out[1:] = x * x
    out[2] += x[0]
    return (out * np.arange(5.0)).sum()


@pytest.mark.parametrize(("f", "args"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_ledger_adds_up_to_the_gradient(f, args):
    book = pb.explain(f, *args)
    book.check(replay=True)
    expected = pb.grad(f, argnums=tuple(range(len(args))))(*args)
    for leaf, gradient in zip(book.leaves, expected, strict=True):
        np.testing.assert_array_equal(leaf.settled, gradient)
        paid = [edge.paid for edge in book.pile(leaf)]
        np.testing.assert_allclose(sum(paid), gradient, rtol=1e-12)
    json.loads(book.to_json())
    assert book.top.name in book.to_text()
    assert book.to_dot().startswith("digraph")


@pytest.mark.parametrize(("f", "args"), PROGRAMS.values(), ids=PROGRAMS)
def test_number_by_number_it_is_the_same_gradient(f, args):
    book = pb.explain(f, *args)
    whole = book.by_entry()
    whole.check()
    settled = {leaf.name: leaf.settled for leaf in whole.leaves}
    for leaf in book.leaves:
        for index in np.ndindex(leaf.shape):
            found = settled[f"{leaf.name}[{','.join(map(str, index))}]"]
            assert (0.0 if found is None else found) == pytest.approx(leaf.settled[index], rel=1e-10, abs=1e-12)
    index = tuple(extent - 1 for extent in book.leaves[0].shape)
    one = book.leaves[0][index]
    one.check()
    assert [leaf.name for leaf in one.leaves] == [f"{book.leaves[0].name}[{','.join(map(str, index))}]"]
    assert one.leaves[0].settled == pytest.approx(book.leaves[0].settled[index], rel=1e-10)
    assert len(one.nodes) <= len(whole.nodes)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in ("solve, det", "custom")])
def test_kappa_of_an_array_is_that_of_its_numbers(name):
    f, args = PROGRAMS[name]
    book = pb.explain(f, *args)
    entries = book.by_entry().kappa
    for leaf in book.leaves:
        for index in np.ndindex(leaf.shape):
            found = entries[f"{leaf.name}[{','.join(map(str, index))}]"]
            assert found is None or book.kappa[leaf.name][index] == pytest.approx(found, rel=1e-8)


def test_kappa_is_what_brute_force_says():
    entry = pb.explain(cost, W, V, X, Y)["W"][1, 2]
    products = [path.product for path in entry.paths().all()]
    assert len(products) == entry.paths().count
    assert entry.kappa["W[1,2]"] == pytest.approx(math.fsum(map(abs, products)) / abs(math.fsum(products)), rel=1e-10)
    top = entry.paths().top(3)
    assert [path.product for path in top] == sorted(products, key=abs, reverse=True)[:3]


def test_sizes_of_paths_are_not_defined_for_a_factorization():
    book = pb.explain(*[algebra, *PROGRAMS["solve, det"][1]])
    with pytest.raises(DifferentiationError, match=r"sizes of paths are not defined for `\w+`"):
        book.kappa


def test_paths_between_arrays_pay_arrays_that_add_up():
    book = pb.explain(cost, W, V, X, Y)
    paths = book.paths(leaf="W")
    assert paths.count == 4  # r·r and W·W, each factor a path
    np.testing.assert_allclose(sum(path.paid for path in paths.all()), book.settled("W"), rtol=1e-12)
    sizes = [np.linalg.norm(path.paid) for path in paths.top(4)]
    assert sizes == sorted(sizes, reverse=True)


def test_paths_through_a_solution_pay_their_own_part():
    def f(a, b):
        x = np.linalg.solve(a, b)
        return (x * x).sum() + 3.0 * x.sum()

    a, b = PROGRAMS["solve, det"][1]
    book = pb.explain(f, a, b)
    for leaf, gradient in zip("ab", pb.grad(f, argnums=(0, 1))(a, b), strict=True):
        paths = list(book.paths(leaf=leaf).all())
        assert len(paths) == 3
        book.settled(leaf), [edge.paid for edge in book.edges]
        np.testing.assert_allclose(sum(path.paid for path in paths), gradient, rtol=1e-12)


def tanh_network(sizes, params, x, t):
    h = x
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    d = (h @ w + b)[0] - t
    return d * d


def closed_formula(sizes):
    """Paths and walks of such a network: every sum is a chain of additions of two, in order."""
    count, walks = 0, 0
    level = [(2, 4)]  # d·d, then y − t: paths to each output and the edges walked on them
    for layer in range(len(sizes) - 1, 0, -1):
        below = [(0, 0)] * sizes[layer - 1]
        for paths, walked in level:
            count, walks = count + paths, walks + walked + paths  # the bias
            for k in range(sizes[layer - 1]):
                additions = 1 + min(sizes[layer - 1] - 1, sizes[layer - 1] - k)  # of the bias, and of the chain
                product = walked + paths * (additions + 1)
                count, walks = count + paths, walks + product  # the weight
                below[k] = (below[k][0] + paths, below[k][1] + product)
        if layer > 1:
            level = [(paths, walked + paths) for paths, walked in below]  # tanh
    return count + sum(paths for paths, _ in below), walks + sum(walked for _, walked in below)


@pytest.mark.parametrize("hidden", [1, 8])
def test_a_network_of_eight_layers_has_more_paths_than_anyone_could_walk(hidden):
    sizes = [2, *[32] * hidden, 1]
    params = [(rows(k, m, n) / m**0.5, rows(k + 50, n)) for k, (m, n) in enumerate(itertools.pairwise(sizes))]
    book = pb.explain(lambda params, x: tanh_network(sizes, params, x, 0.3), params, rows(99, 2)).by_entry()
    race = book.race()
    assert (race.paths, race.walks) == closed_formula(sizes)
    if hidden == 8:
        assert race == (13_336_012_001_410, 2_127_292_993_333_698, 29_315)


def test_a_network_s_parameters_have_short_names():
    net = pb.nn.MLP([3, 4, 2], seed=0)
    book = pb.explain(lambda net, X: (net(X) ** 2).mean(), net, X)
    assert [leaf.name for leaf in book.leaves] == ["W1", "b1", "W2", "b2", "X"]
    assert book["net.layers[0].weight"] is book["W1"]
    narrow = pb.explain(lambda net, X: (net(X) ** 2).mean(), net, X, wrt=["W2", "net.layers[0].bias"])
    assert [leaf.name for leaf in narrow.leaves] == ["W2", "b1"]


def test_nodes_are_called_as_the_program_calls_them():
    names = [account.name for account in pb.explain(cost, W, V, X, Y).nodes]
    assert "h" in names
    assert "r" in names
    assert [account.name for account in pb.explain(article, 2, 1).nodes] == ["a", "b", "c", "d", "e"]


def test_each_node_knows_its_own_sub_expression():
    book = pb.explain(article, 2, 1)
    assert [account.where.text for account in book.nodes if account.where] == ["a + b", "b + 1", "(a + b) * (b + 1)"]


def test_an_eager_value_is_explained_by_its_variables():
    a, b = pb.variable(2.0, "a"), pb.variable(1.0)
    book = pb.explain((a + b) * (b + 1))
    assert [leaf.settled for leaf in book.leaves] == [2.0, 5.0]
    assert [leaf.settled for leaf in pb.explain((a + b) * (b + 1), wrt=b).leaves] == [5.0]
    book.check()


def test_integers_among_the_arguments_are_not_differentiated():
    labels = np.array([0, 1, 1, 0, 1, 1])
    book = pb.explain(lambda w, y: (X @ w)[np.arange(6), y].sum(), W, labels)
    assert [leaf.name for leaf in book.leaves] == ["w"]


COUNTER = itertools.count()


BAD = {
    "an unknown node": (lambda: pb.explain(article, 2, 1).settled("q"), InputError, "there is no node q in the ledger"),
    "an unknown leaf": (lambda: pb.explain(article, 2, 1, wrt="c"), InputError, "wrt names 'c': the leaves are a, b"),
    "an entry that is none": (lambda: pb.explain(cost, W, V, X, Y)["W"][7, 0], InputError, "is no entry"),
    "a slice": (
        lambda: pb.explain(cost, W, V, X, Y)["W"][0],
        InputError,
        "give one whole number for each axis|Give one",
    ),
    "a leaf without path": (
        lambda: pb.explain(lambda a, b: a * a, 1.0, 2.0).paths(leaf="b").top(),
        InputError,
        "no path leads from",
    ),
    "an entry without path": (
        lambda: pb.explain(lambda x: x[0] * x[0], np.ones(3))["x"][2],
        InputError,
        r"no path leads from .* to x\[2\]",
    ),
    "which leaf": (lambda: pb.explain(article, 2, 1).paths(), InputError, "does not say to which leaf"),
    "no such payment": (lambda: pb.explain(article, 2, 1).edge("e", "a"), InputError, "e does not pay a"),
    "an argument that is not differentiable": (
        lambda: pb.explain(lambda n: n * 1.0, np.arange(3), argnums=0),
        DifferentiationError,
        "n",
    ),
    "nothing to differentiate by": (
        lambda: pb.explain(lambda text: 1.0, "text"),
        DifferentiationError,
        "there is nothing to differentiate by",
    ),
    "an array as result": (lambda: pb.explain(lambda x: x * x, np.ones(2)), DifferentiationError, "not a scalar"),
    "no function": (lambda: pb.explain(3.0), InputError, "there is nothing to explain in float"),
    "side effects": (
        lambda: pb.explain(lambda x: x * float(next(COUNTER)), 2.0).check(replay=True),
        LedgerError,
        "the function gives other values when it is run again",
    ),
    "an edge of another ledger": (
        lambda: pb.explain(article, 2, 1).cut(pb.explain(article, 2, 1).edges[0]),
        InputError,
        "the edge is not of this ledger",
    ),
    "too many paths between arrays": (lambda: pb.explain(_deep, rows(0, 2)).paths().top(), InputError, "paths between"),
}


def _deep(x):
    for _ in range(20):
        x = x * x + x
    return x.sum()


@pytest.mark.parametrize(("do", "kind", "text"), BAD.values(), ids=BAD)
def test_bad_use_gets_a_clear_error(do, kind, text):
    with pytest.raises(kind, match=text) as caught:
        do()
    assert "\n" not in str(caught.value)


def test_a_replay_of_a_pure_function_is_the_same():
    pb.explain(cost, W, V, X, Y).check(replay=True)


def test_a_function_is_run_once():
    calls = []

    def f(x):
        calls.append(1)
        return x * x

    book = pb.explain(f, 2.0)
    book.check()
    book.kappa, book.cost(), book.flow(), book.to_json()
    assert len(calls) == 1


@pytest.mark.parametrize("seed", range(cases(3, 40)))
def test_a_cone_is_the_whole_narrowed(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 4, 2))
    a, b = rng.normal(size=shape), rng.normal(size=shape[::-1])
    book = pb.explain(lambda a, b: np.tanh(a @ b).sum() - (a * b.T).max() + (a @ b).mean() ** 2, a, b)
    whole = book.by_entry("a")
    index = tuple(int(rng.integers(n)) for n in shape)
    name = f"a[{index[0]},{index[1]}]"
    cone = book["a"][index]
    assert cone.race().paths == whole.paths(leaf=name).count
    assert cone.settled(name) == pytest.approx(whole.settled(name), rel=1e-12)


def test_json_has_strings_for_what_json_cannot_say():
    told = json.loads(pb.explain(lambda x: np.log(x), 0.0).to_json())
    assert told["gradient"]["x"] == "Infinity"
    assert told["paths"]["count"] == "1"
    assert {"format", "version", "nodes", "edges", "events", "places", "sources"} <= told.keys()
    place = told["places"][told["nodes"][1]["where"]]
    assert place["text"] == "np.log(x)"
    assert any("np.log(x)" in line for source in told["sources"] for line in source["lines"])


def test_a_notebook_shows_the_story():
    bundle = pb.explain(article, 2, 1)._repr_mimebundle_()
    assert "b settled 2+3 = 5" in bundle["text/plain"]
    assert "<pre>" in bundle["text/html"]


def test_a_compiled_function_shows_its_work():
    compiled = pb.compile(cost)
    book, plain = pb.explain(compiled, W, V, X, Y), pb.explain(cost, W, V, X, Y)
    assert [account.op for account in book.nodes] == [account.op for account in plain.nodes]
    assert [leaf.name for leaf in book.leaves] == ["W", "V", "X", "Y"]
    assert all(np.array_equal(book.settled(name), plain.settled(name)) for name in "WVXY")
    assert book["h"].where.text == "np.tanh(X @ W)"
    book.check(replay=True)


def test_events_are_a_sequence():
    events = pb.explain(article, 2, 1).events
    assert len(events) == 10
    assert events[0] == next(iter(events)) == events[:2][0]
    assert events[-1].account.name == "b"
    assert [type(event).__name__ for event in events[1:4]] == ["Pays", "Pays", "Settles"]
    with pytest.raises(IndexError):
        events[10]


def test_as_a_tree_a_shared_node_stands_once():
    book = pb.explain(cost, W, V, X, Y, wrt=["W", "V"])
    told = [row[0] for row in tree_of(book)]
    names = [line.lstrip("├─└│ ") for line in told]
    assert sorted(name for name in names if not name.endswith("↑")) == sorted(account.name for account in book.nodes)
    assert told[0] == book.top.name
    assert names.count("W ↑") == 1
    assert all(row[1] == "" for row, name in zip(tree_of(book), names, strict=True) if name.endswith("↑"))


def test_labels_of_an_entry_s_parts():
    cone = pb.explain(cost, W, V, X, Y)["W"][1, 2]
    assert cone.origin(cone.leaves[0].node) == ("W", (1, 2), "")
    assert cone.origin(pb.variable(1.0).node) is None
    products = [cone.origin(account.node) for account in cone.nodes if account.op == "mul"]
    assert ("product1", (3, 2), "·1") in products
    assert len({account.name for account in cone.nodes}) == len(cone.nodes)
    assert all(account.name == _called(cone.origin(account.node)) for account in cone.nodes)


def _called(origin):
    name, index, part = origin
    return f"{name}{list(index) if index else ''}{part}".replace(" ", "")


WHOLE = {
    "z[k]": lambda z, k: z[k], "z[:k]": lambda z, k: z[:k].sum(), "np.zeros(k)": lambda z, k: (z + np.zeros(k)).sum(),
    "z.reshape(k, -1)": lambda z, k: z.reshape(k, -1).sum(), "range(k)": lambda z, k: sum(z[i] for i in range(k)),
}  # fmt: skip


@pytest.mark.parametrize("text", WHOLE)
def test_a_number_that_is_no_float_to_differentiate_by_is_named(text):
    f, z = WHOLE[text], np.ones(3)
    with pytest.raises(TraceError, match="whole number is needed") as caught:
        pb.explain(f, z, 1)
    assert caught.value.where.endswith(f": {text}")
    assert "leave it out of argnums" in caught.value.fix
    assert pb.explain(f, z, 1, argnums=0)["z"].settled.shape == (3,)
