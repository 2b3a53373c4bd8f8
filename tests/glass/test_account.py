"""The account of a weight: it adds up, each deposit is a sample's own share, and a wrong line is noticed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, UnsupportedError
from payback.glass.accounts import LedgerError
from payback.glass.statement import Statement, Taken
from payback.optim import Adam, AdamW, Cosine, GradientDescent, Momentum, Nesterov, RMSprop, StepDecay
from payback.optim.linear import Line, line
from payback.train.fit import fit
from payback.train.recording import Recording
from payback.train.runs import open_run

RNG = np.random.default_rng(7)
X = RNG.normal(size=(320, 4))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
VALUES = np.sin(X @ [1.0, -2.0, 0.5, 1.5])
OPTIMIZERS = {
    "gd": GradientDescent(0.05),
    "momentum": Momentum(0.01, momentum=0.8),
    "nesterov": Nesterov(0.01),
    "rmsprop": RMSprop(1e-3),
    "adam": Adam(1e-2),
    "adamw": AdamW(1e-2, weight_decay=0.3),
    "adam, clipped and falling": Adam(Cosine(1e-2), clip_norm=0.2),
    "momentum, clipped in steps": Momentum(StepDecay(0.02, every=50, factor=0.5), clip_norm=0.3),
}
every_optimizer = pytest.mark.parametrize("name", list(OPTIMIZERS)[:: amount.cases(2, 1)])


def recorded(folder, optimizer, dtype=np.float64, **options):
    usual = dict(net=pb.nn.MLP([4, 8, 3], "tanh", seed=2, dtype=dtype), X=X, y=CLASSES, batch_size=64, epochs=80,
                 validation=0, seed=1, optimizer=optimizer)  # fmt: skip
    fit(**(usual | options), record=Recording(folder, every=100))
    return open_run(folder)


def entries(net, count, seed=0):
    """Some entries of some parameters."""
    rng = np.random.default_rng(seed)
    parameters = pb.nn.parameters(net)
    names = [list(parameters)[i] for i in rng.permutation(len(parameters))]
    return [(name, tuple(int(rng.integers(n)) for n in parameters[name].shape)) for name in (names * count)[:count]]


@every_optimizer
def test_opening_and_deposits_come_to_the_closing_value_over_400_steps(tmp_path, name):
    run = recorded(tmp_path, OPTIMIZERS[name])
    assert len(run) == 400
    for parameter, entry in entries(run.net, amount.cases(1, 6)):
        made = run.account(parameter, entry)
        assert made.opening == pb.nn.parameters(run.step(0).net)[parameter][entry]
        assert made.closing == pb.nn.parameters(run.net)[parameter][entry]
        assert len(made) == 400 * 64
        total = made.opening + math.fsum(made.amounts) + math.fsum(made.decay) + made.initial
        assert abs(total - made.closing) <= 1e-12
        assert made.bound <= 1e-12
        assert abs(made.closing - made.opening) > 1e-3  # there is something to explain


@every_optimizer
def test_in_float32_within_the_stated_bound(tmp_path, name):
    epochs = amount.cases(20, 80)
    run = recorded(tmp_path, OPTIMIZERS[name], np.float32, net=pb.nn.MLP([4, 8, 3], "relu", seed=2), epochs=epochs)
    for parameter, entry in entries(run.net, amount.cases(1, 6)):
        made = run.account(parameter, entry)
        rest = made.closing - made.opening - made.deposits - math.fsum(made.decay) - made.initial
        assert abs(rest) <= made.bound
        ulp = float(np.spacing(np.float32(max(abs(made.closing), abs(made.opening), 1e-2))))
        assert made.bound <= 5 * epochs * 64 * ulp


def by_hand(run, optimizer, parameter, entry):
    """Deposits by following each one through every later step on its own: (step, sample) -> amount."""
    walk = run.walk()
    old, leaf = next(walk), list(pb.nn.parameters(run.net)).index(parameter)
    momentum, deposits = {}, {}
    for now in walk:
        told, batch = run.steps[now.n], run.batch(now.n)
        scale = 1.0 if optimizer.clip_norm is None else min(1.0, optimizer.clip_norm / told.norm)
        fresh = {}
        for i, sample in enumerate(batch.samples.tolist()):

            def cost(net, i=i, batch=batch):
                return pb.nn.cross_entropy(net(batch.X[i : i + 1]), batch.y[i : i + 1]) / len(batch.samples)

            fresh[now.n, sample] = scale * float(pb.nn.parameters(pb.grad(cost)(old.net))[parameter][entry])
        slots = [float(slot[entry]) for slot in now.state[leaf]]
        for key in {*momentum, *fresh}:
            g, m = fresh.get(key, 0.0), momentum.get(key, 0.0)
            match optimizer:
                case Adam():
                    m = optimizer.beta1 * m + (1 - optimizer.beta1) * g
                    moved = m / (1 - optimizer.beta1**now.n)
                    moved /= math.sqrt(slots[1] / (1 - optimizer.beta2**now.n)) + optimizer.epsilon
                case RMSprop():
                    moved = g / (math.sqrt(slots[0]) + optimizer.epsilon)
                case Nesterov():
                    m = optimizer.momentum * m + g
                    moved = g + optimizer.momentum * m
                case Momentum():
                    m = optimizer.momentum * m + g
                    moved = m
                case GradientDescent():
                    moved = g
            momentum[key] = m
            deposits[key] = deposits.get(key, 0.0) - told.rate * moved
        old = now
    return deposits


@every_optimizer
def test_each_deposit_is_the_sample_s_own_share_carried_to_the_end(tmp_path, name):
    optimizer = OPTIMIZERS[name]
    run = recorded(tmp_path, optimizer, X=X[:30], y=CLASSES[:30], batch_size=10, epochs=3)
    parameter, entry = entries(run.net, 1, seed=len(name))[0]
    expected = by_hand(run, optimizer, parameter, entry)
    made = run.account(parameter, entry)
    assert {(d.step, d.sample) for d in made} == set(expected)
    for deposit in made:
        assert deposit.amount == pytest.approx(expected[deposit.step, deposit.sample], rel=1e-9, abs=1e-15)
        assert deposit.at_once + deposit.carried == pytest.approx(deposit.amount, rel=1e-12, abs=1e-18)
        if deposit.step == 9:
            assert deposit.carried == pytest.approx(0.0, abs=1e-16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("interpreted", [True, False])
def test_equal_rows_in_one_batch_have_equal_deposits_to_the_bit(tmp_path, monkeypatch, dtype, interpreted):
    if interpreted:
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    twice = np.concatenate([np.arange(29), np.arange(29)])
    run = recorded(tmp_path, Adam(1e-2), dtype, X=X[twice], y=CLASSES[twice], batch_size="all", epochs=20)
    made = run.account("W1", (2, 5))
    amounts = made.amounts.reshape(20, 58)
    assert (amounts[:, :29] == amounts[:, 29:]).all()
    assert len(np.unique(amounts[0])) > 20


def test_a_sample_that_weighs_nothing_pays_nothing_and_one_of_weight_two_pays_double(tmp_path):
    weights = np.ones(40)
    weights[3], weights[5] = 0.0, 2.0
    rows = X[:40].copy()
    rows[6] = rows[5]
    classes = CLASSES[:40].copy()
    classes[6] = classes[5]
    run = recorded(tmp_path, GradientDescent(0.1), X=rows, y=classes, sample_weight=weights, batch_size="all", epochs=5)
    by_sample = dict(run.account("W2", (4, 1)).by("sample"))
    assert by_sample[3] == 0.0
    assert by_sample[5] == pytest.approx(2 * by_sample[6], rel=1e-12)


@pytest.mark.parametrize("start", [0, 1, 37])
def test_an_account_that_opens_later_has_what_momentum_brought_as_a_line_of_its_own(tmp_path, start):
    run = recorded(tmp_path, Momentum(0.01), epochs=20)
    whole, made = run.account("W1", (2, 1)), run.account("W1", (2, 1), start=start)
    assert (made.start, made.stop) == (start, 100)
    made.check()
    assert (made.initial != 0) == (start > 0)
    earlier, later = whole.amounts[whole.steps <= start], whole.amounts[whole.steps > start]
    assert made.amounts.tolist() == later.tolist()
    before = run.account("W1", (2, 1), stop=start)
    # what the earlier samples did in all = what they had done by then + what momentum brought
    assert math.fsum(earlier) == pytest.approx(before.deposits + made.initial, abs=1e-14)


def test_weight_decay_is_a_line_of_its_own_and_biases_have_none(tmp_path):
    run = recorded(tmp_path, AdamW(1e-2, weight_decay=0.3), epochs=20)
    made = run.account("W1", (2, 1))
    path = [now.net.layers[0].weight[2, 1] for now in run.walk()][:-1]
    np.testing.assert_allclose(made.decay, -1e-2 * 0.3 * np.array(path), rtol=1e-12)
    assert not run.account("b1", 2).decay.any()


def test_exempt_parameters_do_not_decay(tmp_path):
    net = pb.nn.MLP([4, 8, 1], dtype=float, skip=True)
    run = recorded(tmp_path, AdamW(1e-2, exempt=("skip",)), net=net, y=VALUES, epochs=5)
    assert not run.account("W0", (3, 0)).decay.any()
    assert run.account("W0", (3, 0)).name == "skip"
    assert run.account("W1", (0, 3)).decay.any()


def test_line_search_custom_losses_and_networks(tmp_path):
    class Own(pb.nn.Module):
        w: np.ndarray
        shift: np.ndarray

        def __call__(self, x):
            return (x - x.mean(axis=0)) @ self.w + self.shift  # a network that mixes its rows

    def loss(prediction, target, weights=None):
        return np.sqrt(((prediction - target) ** 2).mean() + 0.1)

    own = Own(RNG.normal(size=(4, 1)), np.zeros(()))
    line_search = GradientDescent(line_search=True)
    fit(own, X, VALUES, loss=loss, optimizer=line_search, batch_size="all", epochs=30, validation=0, record=tmp_path)
    run = open_run(tmp_path, loss=loss, like=own)
    for name, entry in (("w", (2, 0)), ("shift", ())):
        made = run.account(name, entry)
        made.check()
        assert abs(made.rounding) < 1e-12
    assert made.label == "shift"


def test_letters_are_those_of_the_formula(tmp_path):
    run = recorded(tmp_path, Adam(1e-2), epochs=1)
    by_letter, by_path = run.account("W₁", (2, 5)), run.account("layers[0].weight", (2, 5))
    assert (by_letter.name, by_letter.entry, by_letter.opening) == (by_path.name, by_path.entry, by_path.opening)
    assert run.account("b2", 1).label == "layers[2].bias[1]"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("runs") / "run", Adam(1e-2), epochs=10)


def test_sums_by_step_sample_and_class(run):
    made = run.account("W1", (0, 0))
    for what in ("step", "sample", "class"):
        assert math.fsum(amount for _, amount in made.by(what)) == pytest.approx(made.deposits, abs=1e-14)
    assert [step for step, _ in made.by("step")] == list(range(1, 51))
    assert {label for label, _ in made.by("class")} == {0, 1, 2}
    sizes = [abs(amount) for _, amount in made.by("sample")]
    assert sizes == sorted(sizes, reverse=True)
    expected = math.fsum(d.amount for d in made if CLASSES[d.sample] == 1)
    assert dict(made.by("class"))[1] == pytest.approx(expected, rel=1e-12)


def test_as_data_and_as_text(run):
    made = run.account("W1", (0, 0), stop=5)
    data = json.loads(json.dumps(made.to_json()))
    assert (data["payback"], data["version"], data["name"], data["entry"]) == ("account", 1, "layers[0].weight", [0, 0])
    amounts, decay = data["deposits"]["amount"], data["steps"]["decay"]
    rest = math.fsum(
        [data["closing"], -data["opening"], -data["initial"], *(-a for a in amounts), *(-a for a in decay)]
    )
    assert abs(rest) <= data["bound"]
    assert len(amounts) == 5 * 64
    text = str(made)
    assert text.startswith("layers[0].weight[0, 0], steps 1 to 5\nopening ")
    assert "320 deposits, at once" in text


def test_a_statement_that_was_tampered_with_does_not_add_up(run):
    for change in ("amounts", "decay", "opening", "closing", "initial"):
        made = run.account("W1", (1, 1))
        made.check()
        value = getattr(made, change)
        if isinstance(value, np.ndarray):
            value = value.copy()
            value[7] += 1e-9
        else:
            value += 1e-9
        setattr(made, change, value)
        with pytest.raises(LedgerError, match=r"the account of layers\[0\].weight\[1, 1\] does not add up"):
            made.check()


@pytest.mark.parametrize(
    ("change", "by"),
    [("keep", 0.99), ("take", 0.99), ("through", 1.01), ("scale", 0.99), ("decay", 1e-3), ("direct", 1e-3)],
)
def test_a_wrong_line_of_an_optimizer_is_noticed(run, monkeypatch, change, by):
    from payback.train import explanations

    def wrong(*args, **options):
        right = line(*args, **options)
        value = getattr(right, change)
        return right._replace(**{change: value * by if value else by})

    monkeypatch.setattr(explanations, "line", wrong)
    with pytest.raises(LedgerError, match="does not add up"):
        run.account("W1", (1, 1))


def test_a_share_that_is_left_out_or_given_twice_is_noticed(run, monkeypatch):
    from payback.glass.shares import Shares

    right = Shares.__call__
    for change in (0.0, 2.0):

        def wrong(self, *args, change=change):
            shares = right(self, *args).copy()
            shares[11] *= change
            return shares

        monkeypatch.setattr(Shares, "__call__", wrong)
        with pytest.raises(LedgerError, match="does not add up"):
            run.account("W1", (1, 1))


def test_bad_use(run, tmp_path):
    for name, entry, message in (
        ("W7", (0, 0), "the network has no parameter W7. Its parameters are W1, b1, W2, b2"),
        ("W1", (4, 0), r"W1 has no entry \[4, 0\]: its shape is \(4, 8\)"),
        ("W1", (0,), r"W1 has no entry \[0\]"),
        ("layers[0].weight", (0, 8, 1), "its shape is \\(4, 8\\)"),
        ("b1", -1, r"b1 has no entry \[-1\]"),
    ):
        with pytest.raises(InputError, match=message):
            run.account(name, entry)
    with pytest.raises(InputError, match="there is no step 51"):
        run.account("W1", (0, 0), stop=51)
    with pytest.raises(InputError, match="deposits by 'day'"):
        run.account("W1", (0, 0), stop=1).by("day")

    class Halved(GradientDescent):
        pass

    own = recorded_own(tmp_path, Halved(0.1))
    with pytest.raises(UnsupportedError, match="the account of a weight under Halved"):
        own.account("W1", (0, 0))


class Centred(pb.nn.Module):
    """The first bias adds nothing to what is centred: its gradient is rounding."""

    first: object
    second: object

    def __init__(self, dtype):
        self.first = pb.nn.Linear(4, 6, key=pb.random.key(0), dtype=dtype)
        self.second = pb.nn.Linear(6, 3, key=pb.random.key(1), dtype=dtype)

    def __call__(self, x):
        h = self.first(x)
        return self.second(np.tanh(h - h.mean(0)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_that_is_rounding_and_nothing_else_is_told_as_such(tmp_path, dtype):
    fit(Centred(dtype), X, CLASSES, epochs=4, validation=0, optimizer=RMSprop(1e-3), record=tmp_path / "run")
    run = open_run(tmp_path / "run", like=Centred(dtype))
    made = run.account("first.bias", (2,))
    assert 0 < abs(made.rounding) <= made.bound
    assert abs(made.deposits) <= 1e-3 * abs(made.rounding) + 1e-12
    assert abs(run.account("first.weight", (1, 2)).rounding) < 1e-5
    for n in range(1, 21, 5):
        found = run.agreement(n)
        assert not found.parted
        assert found.worst < found.tolerance / 10


def recorded_own(folder, optimizer):
    fit(pb.nn.MLP([4, 3]), X, CLASSES, epochs=1, optimizer=optimizer, record=folder)
    return open_run(folder, optimizer=optimizer)


def test_values_have_no_classes(tmp_path):
    run = recorded(tmp_path, Adam(1e-2), net=pb.nn.MLP([4, 1], dtype=float), y=VALUES, epochs=1)
    with pytest.raises(InputError, match="the targets of this training are not classes"):
        run.account("W1", (0, 0)).by("class")


def test_an_account_of_no_step(run):
    made = run.account("W1", (0, 0), start=7, stop=7)
    assert (made.opening, len(made), made.rounding) == (made.closing, 0, 0.0)


def test_a_statement_is_plain_data():
    """No training is needed: two steps of momentum on one weight, by hand."""
    rows = np.arange(2)
    steps = [
        Taken(1, 0.1, 0.0, Line(1.0, 0.5, 1.0, 0.0, 1.0, 0.0), 1.0, 0.7, rows, None, np.array([1.0, 2.0])),
        Taken(2, 0.1, 0.0, Line(1.0, 0.5, 1.0, 0.0, 1.0, 0.0), 0.7, 0.85, rows, None, np.array([0.0, -3.0])),
    ]
    made = Statement("w", (0,), float, 1.0, 0.0, steps)
    made.check()
    np.testing.assert_allclose(made.amounts, [-0.15, -0.3, 0.0, 0.3])
    np.testing.assert_allclose(made.at_once, [-0.1, -0.2, 0.0, 0.3])
    kept = Statement("w", (0,), float, 1.0, 4.0, steps)
    with pytest.raises(LedgerError):
        kept.check()
    assert kept.initial == pytest.approx(-0.1 * (2.0 + 1.0))
