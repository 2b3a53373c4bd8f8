"""Bisect: a planted difference is named first, whether it lies in values, in adjoints, in the dtype or in the code."""

from __future__ import annotations

import json

import numpy as np
import pytest

import amount
import payback as pb
from payback import native
from payback.errors import DifferentiationError, InputError
from payback.glass import Ledger
from payback.glass.bisect import BORN, bisect
from payback.glass.evaluation import Evaluation, Record, evaluate, load
from payback.native.codegen import library
from payback.native.lower import pointwise

natively = pytest.mark.skipif(not native.available(), reason="native code is off")
X = np.random.default_rng(0).normal(size=(9, 4))
Y = (X[:, 0] > 0).astype(int)


def article(a, b):
    return (a + b) * (b + 1)


def network(net):
    return pb.nn.cross_entropy(net(X), Y)


def net(dtype=float):
    return pb.nn.MLP([4, 6, 2], "tanh", seed=0, dtype=dtype)


def test_an_evaluation_is_values_and_then_adjoints_in_the_order_of_the_sweep():
    found = evaluate(article, 2.0, 1.0)
    assert [(r.kind, r.name, float(r.value)) for r in found.records] == [
        ("value", "a", 2.0), ("value", "b", 1.0), ("value", "a + b", 3.0), ("value", "b + 1", 2.0),
        ("value", "(a + b) * (b + 1)", 6.0), ("adjoint", "(a + b) * (b + 1)", 1.0), ("adjoint", "b + 1", 3.0),
        ("adjoint", "a + b", 2.0), ("adjoint", "b", 5.0), ("adjoint", "a", 2.0),
    ]  # fmt: skip
    for i, record in enumerate(found.records):
        assert all(operand < i for operand in record.operands)


def test_the_adjoints_are_the_gradient():
    found = {r.name: r.value for r in evaluate(network, net()).records if r.kind == "adjoint"}
    for path, expected in pb.nn.parameters(pb.grad(network)(net())).items():
        assert (found[f"net.{path}"] == expected).all()


def test_equal_runs_agree_to_the_bit():
    for f, *args in ((article, 2.0, 1.0), (network, net())):
        found = pb.bisect((f, *args), (f, *args))
        assert (found.parted, found.first, found.programs, found.worst, found.tolerance) == (False, None, None, 0, 0)
        assert str(found) == f"the runs agree to the bit in all {len(found.pairs)} nodes"


def test_two_inputs_part_at_the_input_and_at_what_is_beyond_the_tolerance():
    found = pb.bisect((article, 2.0, 1.0), (article, 2.0, 1.5))
    assert (found.first.a.name, found.first.born) == ("b", True)
    assert "the runs part at node 2 of 10: b, input: 1.0 against 1.5" in str(found)
    loose = pb.bisect((lambda x: np.exp(12 * x), 1.0), (lambda x: np.exp(12 * x), 1.002), tol=0.01)
    assert loose.first.a.op == "exp"
    assert not loose.first.born  # it was given it, and made it larger


def test_cancellation_in_float32_is_born_where_the_digits_go():
    def f(x):
        far = x + 1e6
        near = far - 1e6
        return (near * near).sum()

    found = pb.bisect((f, np.array([0.1, 0.2])), "float32")
    assert (found.first.a.name, found.first.a.op, found.first.born) == ("far - 1e6", "sub", True)
    assert found.first.difference > BORN * found.first.inherited


def test_a_difference_in_the_backward_pass_alone():
    f = pb.custom_gradient(lambda x: (np.sin(x), lambda bar: bar * np.cos(x)))
    g = pb.custom_gradient(lambda x: (np.sin(x), lambda bar: bar * np.sin(x)))
    found = pb.bisect((lambda x: f(x) * 2, 1.0), (lambda x: g(x) * 2, 1.0))
    assert (found.first.a.kind, found.first.a.name) == ("adjoint", "x")


def test_not_a_number_in_one_run_only():
    found = pb.bisect((lambda x: np.log(x) * x, 1e-300), (lambda x: np.log(x - 1e-300) * x, 1e-300))
    assert found.programs is not None  # one has a subtraction more
    f = lambda x, k: (np.sqrt(x - k) * np.ones(3)).sum()  # noqa: E731
    found = pb.bisect((f, 2.0, 1.0), (f, 2.0, 3.0), tol=1e9)
    assert found.first.a.op == "sqrt"
    assert found.first.difference == np.inf
    json.dumps(found.to_json(), allow_nan=False)
    assert pb.bisect((f, 2.0, 3.0), (f, 2.0, 3.0)).worst == 0  # the same NaN is no difference


def test_infinities_of_one_sign_agree_and_of_two_signs_part():
    f = lambda x: np.sum(x / np.zeros(2))  # noqa: E731
    one, other = np.array([1.0, 2.0]), np.array([-1.0, -2.0])
    assert pb.bisect((f, one), (f, one)).worst == 0
    assert pb.bisect((f, one), (f, other), tol=5.0).first.a.op == "div"


@natively
def test_machine_code_and_the_interpreter_agree_on_networks():
    for dtype in (np.float32, np.float64):
        for activation in sorted(pb.nn.activations.ACTIVATIONS):
            made = pb.nn.MLP([4, 6, 2], activation, seed=1, dtype=dtype)
            found = pb.bisect((network, made), "native")
            assert not found.parted, str(found)
            assert found.tolerance == 256 * np.finfo(dtype).eps or dtype is np.float32


@natively
def test_wrong_machine_code_is_named(monkeypatch):
    monkeypatch.setenv("PAYBACK_CACHE", "off")
    for known in ("_addresses", "_named", "_homes"):
        monkeypatch.setattr(library, known, {})
    right = pointwise.RULES["maximum"]
    monkeypatch.setitem(pointwise.RULES, "maximum", lambda e, code, x, y: e.b.fadd(right(e, code, x, y), x))

    def f(x):
        y = np.sin(x)
        z = np.maximum(y, 0.1)
        return (z * x).sum()

    found = pb.bisect((f, np.array([0.5, 1.0, 2.0])), "native")
    assert (found.first.a.name, found.first.a.op, found.first.born) == ("np.maximum(y, 0.1)", "maximum", True)


def before(x, w):
    h = np.tanh(x @ w)
    return (h * h).sum() / 3


def after(x, w):
    h = np.tanh(x @ w)
    return (h * h).sum() / 3.0000001


def other(x, w):
    h = np.tanh(x @ w)
    return abs(h).sum() / 3


def test_two_versions_of_the_code_from_a_file(tmp_path):
    args = X[:, :2], X[:2, :2]
    evaluate(before, *args).save(tmp_path / "before.json")
    assert not pb.bisect(tmp_path / "before.json", (before, *args)).parted
    found = pb.bisect(str(tmp_path / "before.json"), (after, *args))
    assert found.first.a.op == "div"
    assert "/ 3" in found.first.a.name
    found = pb.bisect(tmp_path / "before.json", (other, *args))
    assert (found.programs[0].op, found.programs[1].op) == ("mul", "abs")
    assert "the programs differ after 4 nodes: value h * h, mul[9, 2]" in str(found)
    longer = pb.bisect((article, 2.0, 1.0), (lambda a, b: article(a, b) + a, 2.0, 1.0))
    assert longer.parted


def test_files_give_back_every_bit(tmp_path):
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324, 0.1, np.pi])
    for dtype in (np.float64, np.float32):
        values = np.array([0.1, np.nan, -np.inf, -0.0], dtype)
        kept = Evaluation("interpreter", (Record("value", "x", "input", None, (), values),
                                          Record("adjoint", "x", "input", "f.py:3", (0,), odd),
                                          Record("value", "k", "eq", None, (0, 1), np.array(True))))  # fmt: skip
        kept.save(tmp_path / "a.json")
        read = load(tmp_path / "a.json")
        for a, b in zip(kept.records, read.records, strict=True):
            assert (a.kind, a.name, a.op, a.where, a.operands) == (b.kind, b.name, b.op, b.where, b.operands)
            assert a.value.dtype == b.value.dtype
            assert np.array_equal(np.signbit(a.value), np.signbit(b.value))
            assert np.array_equal(a.value, b.value, equal_nan=a.value.dtype.kind == "f")


def test_ledgers():
    a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    c = a + b
    book = Ledger((c * (b + 1)).node, [a.node, b.node], {c.node: "c"})
    assert not bisect(book, (article, 2.0, 1.0)).parted
    assert bisect(book, (article, 2.0, 1.5)).first.a.name == "b"
    with pytest.raises(InputError, match="'float32' needs a function"):
        bisect(book, "float32")


def test_the_file_of_a_ledger(tmp_path):
    """What was explained last week is compared with the program of today."""
    x = np.array([0.3, 0.7, 1.1])

    def f(x):
        return np.sum(np.sin(x) * x)

    file = tmp_path / "ledger.json"
    file.write_text(pb.explain(f, x).to_json())
    found = bisect(file, (f, x))
    assert not found.parted
    assert len(found.pairs) == 8
    found = bisect(file, (f, x + np.array([0.0, 0.0, 1e-3])))
    assert (found.first.a.name, found.first.worst) == ("x", (2,))
    large = tmp_path / "large.json"
    large.write_text(pb.explain(f, np.linspace(0.0, 1.0, 100_000)).to_json())
    with pytest.raises(InputError, match="the numbers of x are not in the file"):
        bisect(large, (f, x))


@pytest.mark.parametrize("seed", range(amount.cases(10, 300)))
def test_a_planted_change_is_found_at_its_node(seed):
    """A chain of random operations, one of which is a little off in the second run: it is named, and born there."""
    rng = np.random.default_rng(seed)
    steps = [(["sin", "tanh", "exp", "sqrt"][rng.integers(4)], float(rng.uniform(0.5, 2))) for _ in range(8)]
    wrong = int(rng.integers(8))

    def chain(off):
        def f(x):
            for i, (name, k) in enumerate(steps):
                x = getattr(np, name)(0.1 + 0.2 * abs(x))
                x = x * (k + off * (i == wrong))
            return x.sum()

        return f

    x = rng.normal(size=4)
    found = bisect((chain(0.0), x), (chain(1e-9), x))
    values = [pair for pair in found.pairs if pair.a.kind == "value"]
    products = [pair.number for pair in values if pair.a.name.startswith("x * (k")]
    assert found.first.number == products[wrong]
    assert found.first.born


def trained(folder, **others):
    told = dict(epochs=3, batch_size=3, validation=0, seed=2, record=folder) | others
    pb.fit(net(), X, Y, **told)
    return pb.open_run(folder)


def test_two_trainings_part_at_the_step_that_is_not_the_same(tmp_path):
    run = trained(tmp_path / "a")
    assert str(pb.bisect(run, trained(tmp_path / "b"))) == "the trainings agree to the bit in all steps"
    found = pb.bisect(run, trained(tmp_path / "c", seed=3))
    assert (found.step[0].n, found.parted) == (1, True)
    assert "the trainings part at step 1: rows " in str(found)
    falling = pb.optim.Adam(pb.optim.StepDecay(1e-3, every=4, factor=0.5))
    found = pb.bisect(run, trained(tmp_path / "d", optimizer=falling))
    assert (found.step[0].n, found.first) == (5, None)  # the same cost and gradient: another rate
    assert "the trainings part at step 5: rate 0.001 against 0.0005" in str(found)
    assert found.to_json()["step"] == 5
    with pytest.raises(InputError, match="the trainings agree in all 9 steps that both have: one has 12"):
        pb.bisect(run, trained(tmp_path / "e", epochs=4))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (3.0, 4.0, "3.0 is no run"),
        ((3.0,), (article, 1.0, 2.0), "is no run"),
        ((article, 1.0, 2.0), "float16", "the evaluation cannot be read"),
        ((lambda x: 3.0, 1.0), (lambda x: 3.0, 1.0), "the result does not depend on the arguments"),
    ],
)
def test_bad_use(a, b, message):
    with pytest.raises(InputError, match=message):
        pb.bisect(a, b)


def test_more_bad_use(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="tol is -1"):
        pb.bisect((article, 1.0, 2.0), (article, 1.0, 2.0), tol=-1)
    with pytest.raises(DifferentiationError, match="not a scalar"):
        evaluate(lambda x: x * 2, np.ones(3))
    for text, message in (
        ("{", "the file is not JSON"),
        ("[]", "the file holds no evaluation"),
        ('{"format": "payback evaluation", "version": 9}', "the file holds no evaluation"),
        ('{"format": "payback evaluation", "version": 1}', "the file is damaged"),
        ('{"format": "payback evaluation", "version": 1, "how": "x", "records": [{"kind": "value", "name": "x", '
         '"op": "mul", "where": null, "shape": [2], "dtype": "float64", "operands": [], "values": [1]}]}', "damaged"),
        ('{"format": "payback evaluation", "version": 1, "how": "x", "records": [{"kind": "value", "name": "x", '
         '"op": "mul", "where": null, "shape": [], "dtype": "O", "operands": [], "values": [1]}]}', "damaged"),
    ):  # fmt: skip
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=message):
            load(tmp_path / "bad.json")
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    with pytest.raises(InputError, match="there is no machine code here"):
        pb.bisect((article, 1.0, 2.0), "native")


def test_loops_are_told_step_by_step():
    def loop(x, far):
        def step(c, v):
            c = (c + far) - far + v * v
            return c, c

        return pb.scan(step, 0.0, x)[0]

    x = np.linspace(0.1, 0.5, 5)
    found = bisect((loop, x, 0.0), (loop, x, 1e9), tol=1e-9)
    assert (found.first.a.op, found.first.a.name) == ("input", "far")
    found = bisect((lambda x: loop(x, 1e9), x), "float32")
    assert (found.first.a.op, found.first.a.name) == ("sub", "(c + far) - far")
    assert found.first.a.where.endswith(f":{loop.__code__.co_firstlineno + 2}")
    assert len(bisect((loop, x, 1.0), (loop, x, 1.0)).pairs) > 5 * 4


def test_leaves_have_their_names_and_can_be_chosen():
    def cost(parts, x):
        return (parts["k"] * x).sum() * 1e-3

    a, b = ({"k": 2.0}, np.array([1.0, 2.0])), ({"k": 2.0}, np.array([1.0, 2.5]))
    found = pb.bisect((cost, *a), (cost, *b), tol=0.1)
    assert [pair.a.name for pair in found.pairs if pair.a.op == "input"] == ["parts['k']", "x", "x", "parts['k']"]
    found = pb.bisect((cost, *a), (cost, *b), wrt="x", tol=0.1)
    assert [pair.a.name for pair in found.pairs if pair.a.kind == "adjoint" and pair.a.op == "input"] == ["x"]
    with pytest.raises(InputError, match="wrt names 'z'"):
        pb.bisect((cost, *a), "float32", wrt="z")
    with pytest.raises(InputError, match="wrt is given"):
        pb.bisect(evaluate(cost, *a), (cost, *b), wrt="x")
