"""`fit`: every row once an epoch, the same seed the same bits, when it stops and what it keeps."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError, NonFiniteError, ShapeError, UnsupportedError
from payback.optim import Adam, GradientDescent, Momentum
from payback.trace.tree import leaves
from payback.train import blocks, checks
from payback.train.checks import hold_out
from payback.train.compiled import Compiled
from payback.train.fit import fit
from payback.train.step import Steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
VALUES = X @ [1.0, -2.0, 0.5] + 0.3
NOISE = RNG.integers(0, 2, 400)  # nothing to learn: the validation cost soon rises


def bits(net):
    return [p.tobytes() for p in leaves(net)]


def classifier(seed=0, dtype=np.float32):
    return pb.nn.MLP([3, 8, 3], seed=seed, dtype=dtype)


def line(dtype=float):
    return pb.nn.MLP([3, 1], dtype=dtype)


class Counted(pb.nn.Module):
    """A network with a field that is no parameter, and does not say so."""

    weight: np.ndarray
    calls: int

    def __call__(self, x):
        return x @ self.weight


@pytest.fixture
def batches(monkeypatch):
    """The first feature of every batch that is trained on."""
    seen = []
    train = Steps.train

    def watched(self, net, state, x, *others):
        seen.append(x.reshape(len(x), -1)[:, 0].astype(int).tolist())
        return train(self, net, state, x, *others)

    take = Compiled.take

    def watched_natively(self, order, size, steps, *others):
        x = self._data[0].reshape(len(self._data[0]), -1)[:, 0].astype(int)
        rows = np.tile(np.arange(len(x)), steps) if order is None else order
        taken = take(self, order, size, steps, *others)
        seen.extend(x[part].tolist() for part in rows[: len(taken.costs) * size].reshape(-1, size))
        return taken

    monkeypatch.setattr(Steps, "train", watched)
    monkeypatch.setattr(Compiled, "take", watched_natively)
    return seen


def numbered(n):
    return np.arange(n, dtype=float)[:, None], np.arange(n) / n


@pytest.mark.parametrize(
    ("n", "size", "sizes"),
    [(20, 5, [5] * 4), (22, 5, [5, 5, 5, 5, 2]), (7, 100, [7]), (9, "all", [9]), (9, 9, [9]), (5, 1, [1] * 5)],
)
def test_every_row_is_seen_once_an_epoch(batches, n, size, sizes):
    fit(pb.nn.MLP([1, 1]), *numbered(n), batch_size=size, epochs=3, validation=0)
    assert [len(batch) for batch in batches] == sizes * 3
    for epoch in range(3):
        rows = [row for batch in batches[epoch * len(sizes) : (epoch + 1) * len(sizes)] for row in batch]
        assert sorted(rows) == list(range(n))


def test_the_order_comes_from_the_seed_and_changes_every_epoch(batches):
    for seed in (1, 1, 2):
        fit(pb.nn.MLP([1, 1]), *numbered(20), batch_size=5, epochs=2, validation=0, seed=seed)
    first, again, other = batches[:8], batches[8:16], batches[16:]
    assert first == again
    assert first != other
    assert first[:4] != first[4:]


def test_the_same_seed_gives_the_same_bits():
    runs = [fit(classifier(), X, CLASSES, epochs=3, seed=seed) for seed in (4, 4, 5)]
    assert bits(runs[0].net) == bits(runs[1].net)
    assert bits(runs[0].net) != bits(runs[2].net)
    without_time = [[{k: v for k, v in record.items() if k != "seconds"} for record in run.history] for run in runs]
    assert without_time[0] == without_time[1]


SCRIPT = """
import hashlib, numpy as np, payback as pb
rng = np.random.default_rng(0)
X, y = rng.normal(size=(500, 64)), rng.integers(0, 10, 500)
net = pb.fit(pb.nn.MLP([64, 128, 10]), X, y, epochs=2, seed=3, validation=0.2).net
print(hashlib.sha256(b"".join(p.tobytes() for p in pb.nn.parameters(net).values())).hexdigest())
"""


def test_another_process_gives_the_same_bits():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(500, 64)), rng.integers(0, 10, 500)
    net = fit(pb.nn.MLP([64, 128, 10]), X, y, epochs=2, seed=3, validation=0.2).net
    here = hashlib.sha256(b"".join(bits(net))).hexdigest()
    there = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    assert there.strip() == here


def test_the_network_given_is_not_changed():
    net = classifier()
    before = bits(net)
    run = fit(net, X, CLASSES, epochs=1)
    assert bits(net) == before
    assert bits(run.net) != before
    assert type(run.net) is pb.nn.MLP


def hand_softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
def test_twenty_steps_of_adam_are_those_written_by_hand(dtype, tolerance):
    """A tanh network with cross-entropy: forward, backward and Adam in NumPy alone, on the same batches."""
    net = pb.nn.MLP([3, 5, 3], "tanh", seed=2, dtype=dtype)
    p = [net.layers[0].weight, net.layers[0].bias, net.layers[2].weight, net.layers[2].bias]
    p = [array.astype(np.float64) for array in p]
    m, v = [0 * a for a in p], [0 * a for a in p]
    data, classes = X[:100].astype(dtype).astype(np.float64), CLASSES[:100]
    shuffle, t = pb.random.split(pb.random.key(9), 2)[1], 0
    for epoch in (1, 2, 3, 4):
        order = pb.random.permutation(pb.random.fold_in(shuffle, epoch), 100)
        for start in range(0, 100, 20):
            rows = order[start : start + 20]
            x, h = data[rows], np.tanh(data[rows] @ p[0] + p[1])
            dz = (hand_softmax(h @ p[2] + p[3]) - np.eye(3)[classes[rows]]) / 20
            dh = (dz @ p[2].T) * (1 - h**2)
            t += 1
            for i, g in enumerate([x.T @ dh, dh.sum(axis=0), h.T @ dz, dz.sum(axis=0)]):
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.999 * v[i] + 0.001 * g * g
                p[i] = p[i] - 0.01 * (m[i] / (1 - 0.9**t)) / (np.sqrt(v[i] / (1 - 0.999**t)) + 1e-8)
    assert t == 20
    run = fit(net, X[:100], classes, optimizer=Adam(0.01), epochs=4, batch_size=20, validation=0, seed=9)
    for found, expected in zip(leaves(run.net), p, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_network_keeps_its_dtype(dtype):
    run = fit(line(dtype), X.astype(np.float32 if dtype == np.float64 else np.float64), VALUES, epochs=2)
    assert {p.dtype for p in leaves(run.net)} == {np.dtype(dtype)}
    assert run.settings["dtype"] == np.dtype(dtype).name


def test_what_history_holds():
    run = fit(classifier(), X, CLASSES, epochs=3, validation=0.25, batch_size=50, optimizer=Momentum(0.1))
    assert run.history.columns == [
        "epoch", "step", "loss", "accuracy", "gradient_norm", "step_length", "rate", "validation_loss",
        "validation_accuracy", "seconds",
    ]  # fmt: skip
    assert run.history["epoch"] == [1, 2, 3]
    assert run.history["step"] == [6, 12, 18]
    assert run.history["rate"] == [0.1] * 3
    assert run.history["seconds"] == sorted(run.history["seconds"])
    assert "validation_loss" not in fit(line(), X, VALUES, epochs=1, validation=0).history.columns
    assert "validation_r2" in fit(line(), X, VALUES, epochs=1).history.columns


def test_the_numbers_of_the_history_by_hand():
    net = line()
    run = fit(
        net, X, VALUES, epochs=1, batch_size="all", validation=(X[:150], VALUES[:150]), optimizer=GradientDescent(0.1)
    )
    w, b = net.layers[0].weight[:, 0], net.layers[0].bias[0]
    error = X @ w + b - VALUES
    gradient = np.append(2 * X.T @ error, 2 * error.sum()) / 400
    record = run.history[0]
    assert record["loss"] == pytest.approx(np.mean(error**2))
    assert record["gradient_norm"] == pytest.approx(np.linalg.norm(gradient))
    assert record["step_length"] == pytest.approx(0.1 * np.linalg.norm(gradient))
    np.testing.assert_allclose(run.net.layers[0].weight[:, 0], w - 0.1 * gradient[:3])
    after = run.net(X[:150])[:, 0] - VALUES[:150]
    assert record["validation_loss"] == pytest.approx(np.mean(after**2))
    assert record["validation_r2"] == pytest.approx(
        1 - np.sum(after**2) / np.sum((VALUES[:150] - VALUES[:150].mean()) ** 2)
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_predictions_are_looked_at_a_few_steps_at_a_time(monkeypatch, loss, shuffle):
    name = "right_classes" if loss == "cross_entropy" else "right_answers"
    right, rows = getattr(checks, name), []
    y = CLASSES[:60] if loss == "cross_entropy" else np.eye(3, dtype=np.float32)[CLASSES[:60]]
    net = pb.nn.MLP([X.shape[1], 3], seed=0)
    train = lambda: pb.fit(net, X[:60], y, loss=loss, epochs=8, batch_size=10, shuffle=shuffle, validation=0)  # noqa: E731
    expected = train().history["accuracy"]

    def counted(logits, target):
        rows.append(len(logits))
        return right(logits, target)

    monkeypatch.setattr(blocks, "HITS", 60)
    monkeypatch.setattr(checks, name, counted)
    if name == "right_answers":
        monkeypatch.setattr(blocks, name, counted)
    assert train().history["accuracy"] == expected
    assert max(rows) <= 20
    assert sum(rows) == 8 * 60


def test_accuracy_and_loss_of_an_epoch_are_means_over_rows_of_uneven_batches():
    net = classifier(dtype=float)
    run = fit(net, X[:50], CLASSES[:50], epochs=1, batch_size=30, validation=0, optimizer=GradientDescent(1e-12))
    assert run.history[0]["loss"] == pytest.approx(float(pb.nn.cross_entropy(net(X[:50]), CLASSES[:50])))
    assert run.history[0]["accuracy"] == pytest.approx(np.mean(net(X[:50]).argmax(axis=1) == CLASSES[:50]))


def test_a_schedule_runs_over_all_steps():
    run = fit(
        line(), X, VALUES, epochs=4, batch_size=100, validation=0, optimizer=GradientDescent(pb.optim.Cosine(0.1))
    )
    schedule = pb.optim.Cosine(0.1)
    assert run.history["rate"] == [schedule(step, 16) for step in (3, 7, 11, 15)]


def watched_run(**options):
    seen = []
    run = fit(
        classifier(),
        X,
        NOISE,
        optimizer=Adam(0.05),
        callbacks=[lambda record, net: seen.append((record, net))],
        **options,
    )
    return run, seen


def test_early_stopping_restores_the_best_weights():
    run, seen = watched_run(epochs=200, validation=0.3, patience=4)
    costs = run.history["validation_loss"]
    best = int(np.argmin(costs))
    assert run.stopped == "early stopping"
    assert len(run.history) == len(seen) == best + 1 + 4
    assert run.best_epoch == best + 1
    assert bits(run.net) == bits(seen[best][1])
    assert bits(run.net) != bits(seen[-1][1])


def test_the_best_weights_are_kept_when_the_epochs_end_first():
    run, seen = watched_run(epochs=30, validation=0.3, patience=1000)
    assert run.stopped == "epochs"
    assert run.best_epoch == 1 + int(np.argmin(run.history["validation_loss"])) < 30
    assert bits(run.net) == bits(seen[run.best_epoch - 1][1])


@pytest.mark.parametrize(("rows", "stops"), [(99, False), (100, True)])
def test_a_validation_part_under_100_rows_never_stops(rows, stops):
    run, seen = watched_run(epochs=25, validation=rows / 400, patience=1)
    assert run.settings["validation_rows"] == rows
    assert (run.stopped == "early stopping") == stops
    if not stops:
        assert (len(run.history), run.best_epoch) == (25, 25)
        assert bits(run.net) == bits(seen[-1][1])


def test_without_patience_nothing_stops_and_the_last_weights_are_kept():
    run, seen = watched_run(epochs=25, validation=0.3, patience=None)
    assert (run.stopped, run.best_epoch) == ("epochs", 25)
    assert bits(run.net) == bits(seen[-1][1])


def test_validation_rows_are_split_class_by_class():
    classes = np.array([0] * 300 + [1] * 60 + [2] * 40)
    seen = []
    held = hold_out(None, X, classes, None, 0.1, pb.random.key(0), True)[3][1]
    assert np.bincount(held).tolist() == [30, 6, 4]
    run = fit(classifier(), X, classes, epochs=1, validation=0.1, callbacks=[lambda record, net: seen.append(record)])
    assert run.settings["validation_rows"] == 40
    assert run.settings["rows"] == 360


def test_whole_numbers_as_values_are_not_classes():
    run = fit(line(), X, np.arange(400), loss="squared_error", epochs=1, validation=0.25)
    assert run.settings["validation_rows"] == 100


def full(**options):
    return fit(line(), X, VALUES, batch_size="all", validation=0, **options)


def test_stopped_at_the_gradient_norm():
    run = full(optimizer=GradientDescent(0.1), epochs=2000, tol=1e-6)
    assert run.stopped == "gradient norm"
    assert run.history[-1]["gradient_norm"] <= 1e-6 < run.history[-2]["gradient_norm"]


def test_stopped_at_the_change_of_cost():
    run = fit(
        line(), X, VALUES + NOISE, batch_size="all", validation=0, optimizer=GradientDescent(0.1), epochs=2000, tol=1e-3
    )
    assert run.stopped in ("change of cost", "gradient norm")
    flat = fit(
        line(),
        X,
        VALUES + 1e4 * NOISE,
        batch_size="all",
        validation=0,
        optimizer=GradientDescent(0.1),
        epochs=2000,
        tol=1e-3,
    )
    assert flat.stopped == "change of cost"
    cost = flat.history["loss"]
    assert abs(cost[-1] - cost[-2]) <= 1e-6 * cost[-1]
    assert abs(cost[-2] - cost[-3]) > 1e-6 * cost[-2]


def test_stopped_at_the_epochs():
    run = fit(line(), X, VALUES, epochs=2)
    assert (run.stopped, len(run.history), run.best_epoch) == ("epochs", 2, 2)
    none = fit(line(), X, VALUES, epochs=0)
    assert (none.stopped, len(none.history), none.best_epoch) == ("epochs", 0, 0)
    assert bits(none.net) == bits(line())


def interrupt_at(epoch):
    def callback(record, net):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


def test_stopped_by_an_interruption_keeps_the_best_so_far():
    seen = []
    callbacks = [lambda record, net: seen.append(net), interrupt_at(12)]
    run = fit(classifier(), X, NOISE, optimizer=Adam(0.05), epochs=99, validation=0.3, patience=99, callbacks=callbacks)
    assert run.stopped == "interrupted"
    assert len(run.history) == 12
    assert run.best_epoch == 1 + int(np.argmin(run.history["validation_loss"])) < 12
    assert bits(run.net) == bits(seen[run.best_epoch - 1])


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_callback_that_returns_true_ends_the_training(answer):
    def callback(record, net):
        return answer if record["epoch"] == 3 else record["loss"] * 0 + 1

    told = dict(epochs=6, validation=0.3, seed=1)
    run = fit(classifier(), X, NOISE, **told, callbacks=[callback, lambda record, net: None])
    assert (run.stopped, len(run.history)) == ("callback", 3)
    assert bits(run.net) == bits(fit(classifier(), X, NOISE, **told | {"epochs": 3}).net)
    again = fit(classifier(), X, NOISE, **told, resume=run)
    assert bits(again.net) == bits(fit(classifier(), X, NOISE, **told).net)


@pytest.mark.parametrize("call", [1, 3, 9])
def test_interrupted_in_the_middle_of_an_epoch(monkeypatch, call, tmp_path):
    train, count = Steps.train, []

    def interrupted(self, *arguments):
        count.append(1)
        if len(count) == call:
            raise KeyboardInterrupt
        return train(self, *arguments)

    monkeypatch.setattr(Steps, "train", interrupted)
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    run = fit(classifier(), X, CLASSES, epochs=5, batch_size=100, validation=0)
    assert run.stopped == "interrupted"
    assert len(run.history) == (call - 1) // 4
    assert np.isfinite(run.net(X)).all()
    run.save(tmp_path / "m")
    assert bits(pb.load(tmp_path / "m")) == bits(run.net)


def test_a_line_search_goes_down_and_stops():
    run = full(optimizer=GradientDescent(line_search=True), epochs=500, tol=1e-9)
    assert run.stopped in ("gradient norm", "change of cost")
    assert (np.diff(run.history["loss"]) < 0).all()
    np.testing.assert_allclose(run.net.layers[0].weight[:, 0], [1.0, -2.0, 0.5], atol=1e-7)


def test_a_line_search_that_finds_no_lower_cost_stops():
    run = full(optimizer=GradientDescent(line_search=True), epochs=10_000, tol=0.0)
    assert run.stopped in ("gradient norm", "change of cost")
    assert len(run.history) < 10_000


@pytest.mark.parametrize("size", [1, 3])
def test_several_outputs_at_once(size):
    Y = np.stack([VALUES * (i + 1) for i in range(size)], axis=1)
    run = fit(pb.nn.MLP([3, size], dtype=float), X, Y, epochs=60, optimizer=Adam(0.1))
    np.testing.assert_allclose(run.net(X), Y, atol=1e-2)


def test_one_output_of_a_column_and_of_a_vector_are_the_same():
    assert bits(fit(line(), X, VALUES, epochs=2).net) == bits(fit(line(), X, VALUES[:, None], epochs=2).net)


def test_rows_of_rank_3_through_flatten():
    images = X[:396].reshape(198, 2, 3)
    net = pb.nn.Sequential(pb.nn.Flatten(), pb.nn.MLP([6, 4, 1], dtype=float))
    flat = pb.nn.Sequential(pb.nn.MLP([6, 4, 1], dtype=float))
    deep, shallow = (fit(n, x, VALUES[:198], epochs=3) for n, x in ((net, images), (flat, images.reshape(198, 6))))
    assert bits(deep.net) == bits(shallow.net)
    assert deep.net(images).shape == (198, 1)


def test_weight_2_is_a_row_twice_and_weight_0_a_row_left_out():
    weights = np.where(np.arange(400) < 100, 2.0, np.where(np.arange(400) < 300, 1.0, 0.0))
    rows = np.concatenate([np.arange(100), np.arange(300)])
    options = dict(batch_size="all", validation=0, epochs=30, optimizer=Adam(0.1))
    weighted = fit(line(), X, VALUES, sample_weight=weights, **options)
    repeated = fit(line(), X[rows], VALUES[rows], **options)
    np.testing.assert_allclose(weighted.history["loss"], repeated.history["loss"], rtol=1e-10)
    for a, b in zip(leaves(weighted.net), leaves(repeated.net), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_weights_count_in_the_validation_too():
    weights = np.where(NOISE, 1.0, 0.0)
    run = fit(
        line(),
        X,
        VALUES + 100 * (1 - NOISE),
        sample_weight=weights,
        epochs=1,
        validation=0.25,
        optimizer=GradientDescent(1e-9),
    )
    held = run.history[0]["validation_loss"]
    assert held < 100  # rows of weight 0 are 100 away


def test_batches_of_rows_without_weight_are_skipped():
    weights = np.zeros(400)
    weights[:3] = 1.0
    run = fit(line(), X, VALUES, sample_weight=weights, batch_size=4, validation=0, epochs=2)
    assert run.history[-1]["step"] <= 6
    assert np.isfinite(run.history["loss"]).all()
    steps = run.history["step"]
    lengths = fit(
        line(), X, VALUES, sample_weight=weights, batch_size=4, validation=0, epochs=1, optimizer=GradientDescent(0.1)
    ).history[0]
    assert lengths["step_length"] == pytest.approx(0.1 * lengths["gradient_norm"])
    assert steps[1] > steps[0]


def test_a_loss_of_ones_own_with_two_arguments_or_three():
    def two(prediction, target):
        return np.mean((prediction[:, 0] - target) ** 2)

    def three(prediction, target, weights):
        assert weights is None
        return two(prediction, target)

    usual = dict(epochs=2, validation=0, seed=1)
    nets = [fit(pb.nn.MLP([3, 6, 1], seed=0), X, VALUES, loss=loss, **usual).net for loss in (two, three)]
    assert bits(nets[0]) == bits(nets[1])
    with pytest.raises(InputError, match="the loss two takes no weights"):
        fit(line(), X, VALUES, loss=two, sample_weight=np.ones(len(X)))
    with pytest.raises(InputError, match=r"takes \(prediction\): it is called with"):
        fit(line(), X, VALUES, loss=lambda prediction: prediction.sum())
    with pytest.raises(InputError, match="the loss is 3"):
        fit(line(), X, VALUES, loss=3)


@pytest.mark.parametrize("loss", ["huber", "binary_cross_entropy", pb.nn.squared_error])
def test_other_losses(loss):
    run = fit(pb.nn.MLP([3, 6, 1]), X, NOISE.astype(float), loss=loss, epochs=3)
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert ("accuracy" in run.history.columns) == (loss == "binary_cross_entropy")


def test_a_loss_function_gets_the_classes_as_they_are():
    by_name = fit(classifier(), X, CLASSES, epochs=2)
    assert bits(fit(classifier(), X, CLASSES, loss=pb.nn.cross_entropy, epochs=2).net) == bits(by_name.net)

    def smoothed(prediction, target, weights):
        return 0.9 * pb.nn.cross_entropy(prediction, target, weights)

    run = fit(classifier(), X, CLASSES, loss=smoothed, epochs=2)
    assert run.settings["loss"] == "smoothed"
    assert "accuracy" not in run.history.columns


def test_probabilities_as_targets():
    soft = np.eye(3)[CLASSES] * 0.9 + 0.1 / 3
    run = fit(classifier(), X, soft, loss="cross_entropy", epochs=20, optimizer=Adam(0.01))
    assert run.history["accuracy"][-1] > 0.8


def test_a_network_of_ones_own():
    class Cubic(pb.nn.Module):
        coefficients: np.ndarray

        def __call__(self, x):
            c = self.coefficients
            return c[0] + x * (c[1] + x * (c[2] + x * c[3]))

    t = np.linspace(-1, 1, 50)[:, None]
    run = fit(
        Cubic(np.zeros(4)), t, 1 - 2 * t[:, 0] ** 3, epochs=600, batch_size="all", validation=0, optimizer=Adam(0.1)
    )
    assert type(run.net) is Cubic
    np.testing.assert_allclose(run.net.coefficients, [1, 0, 0, -2], atol=1e-2)


def test_a_cost_that_is_not_finite_names_the_step_and_carries_the_best():
    seen = []
    with pytest.raises(NonFiniteError) as caught:
        fit(line(), X, VALUES, optimizer=GradientDescent(3.0), epochs=10_000, batch_size=100, validation=0,
            callbacks=[lambda record, net: seen.append((record["loss"], net))])  # fmt: skip
    assert "became" in caught.value.what
    step = int(caught.value.what.rpartition("at step ")[2])
    assert 4 * len(seen) < step <= 4 * len(seen) + 4
    assert caught.value.where == f"epoch {len(seen) + 1}"
    run = caught.value.run
    best = int(np.argmin([cost for cost, _ in seen]))
    assert run.best_epoch == best + 1
    assert bits(run.net) == bits(seen[best][1])
    assert np.isfinite(run.net(X)).all()


@pytest.mark.parametrize(("rate", "size"), [(1e30, 64), (1e3, 1)])
def test_a_step_that_fails_before_the_first_epoch_ends_leaves_the_initial_weights(rate, size):
    with pytest.raises(NonFiniteError) as caught:
        fit(line(np.float32), X, VALUES, optimizer=GradientDescent(rate), epochs=3, batch_size=size, validation=0)
    step = int(caught.value.what.rpartition("at step ")[2])
    assert step == 1 if size == 64 else 1 < step < 400
    assert caught.value.run.best_epoch == 0
    assert bits(caught.value.run.net) == bits(line(np.float32))


def test_a_progress_line_with_the_time_left_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    fit(line(), X, VALUES, epochs=3, validation=0)
    shown = terminal.getvalue()
    assert re.match(r"\repoch 1/3 \[#+-+\] \d:\d\d left  loss \d", shown)
    assert "epoch 3/3 [####################] 0:00 left" in shown
    assert shown.endswith(" \r")
    assert "\n" not in shown
    monkeypatch.setattr(sys, "stderr", silent := Terminal())
    fit(line(), X, VALUES, epochs=3, validation=0, progress=False)
    assert silent.getvalue() == ""


def test_half_precision():
    run = fit(pb.nn.MLP([3, 8, 3], dtype=np.float16), X, CLASSES, epochs=5, optimizer=Momentum(0.05))
    assert {p.dtype for p in leaves(run.net)} == {np.dtype(np.float16)}
    assert run.history["loss"][-1] < run.history["loss"][0]


def test_a_validation_cost_that_is_not_finite_raises():
    held = X[:120].copy()
    held[7] = 1e30
    with pytest.raises(NonFiniteError, match="the validation cost became inf after step 7"):
        fit(line(np.float32), X, VALUES, validation=(held, VALUES[:120]), epochs=2)


def test_progress_is_shown_on_a_terminal_only(capsys):
    fit(line(), X, VALUES, epochs=2)
    fit(line(), X, VALUES, epochs=2, progress=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"loss": "crossentropy"}, InputError, "there is no loss 'crossentropy'"),
        ({"optimizer": pb.optim.Adam}, InputError, "Write pb.optim.Adam(1e-3)"),
        ({"optimizer": Adam}, InputError, "optimizer is <class"),
        ({"epochs": -1}, InputError, "epochs is -1"),
        ({"epochs": 1.5}, InputError, "epochs is 1.5"),
        ({"batch_size": 0}, InputError, "batch_size is 0"),
        ({"batch_size": "some"}, InputError, "batch_size is 'some'"),
        ({"patience": 0}, InputError, "patience is 0"),
        ({"tol": float("nan")}, InputError, "tol is nan"),
        ({"tol": -1}, InputError, "tol is -1"),
        ({"seed": -1}, InputError, "the seed is -1"),
        ({"validation": 1.0}, InputError, "validation is 1.0"),
        ({"validation": -0.1}, InputError, "validation is -0.1"),
        ({"validation": "some"}, InputError, "validation is 'some'"),
        ({"validation": (X,)}, InputError, "or a pair (X, y)"),
        ({"validation": (X[:, :2], CLASSES)}, ShapeError, "the validation rows have the shape (2,)"),
        ({"validation": (X, CLASSES + 1)}, InputError, "the validation y has classes from 1 to 3"),
        ({"validation": (X, CLASSES - 1)}, InputError, "the validation y has classes from -1 to 1"),
        ({"validation": (X, CLASSES * 1.0)}, ShapeError, "the validation y has the shape (400,)"),
        ({"sample_weight": np.ones(3)}, ShapeError, "sample_weight has the shape (3,)"),
        ({"optimizer": GradientDescent(line_search=True)}, InputError, 'Give batch_size="all"'),
    ],
)
def test_options_that_cannot_be_are_named(options, kind, message):
    with pytest.raises(kind) as caught:
        fit(classifier(), X, CLASSES, **{"epochs": 1, **options})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("net", "y", "loss", "message"),
    [
        (classifier(), CLASSES + 1, None, "y has classes from 1 to 3: whole numbers are classes to cross_entropy, and"),
        (classifier(), CLASSES + 1, None, "Number the classes from 0: write y - 1"),
        (classifier(), CLASSES + 2, None, "give the last layer an output for each"),
        (classifier(), CLASSES * 1.0, None, 'for classes, which are whole numbers, y.astype(int) and loss="cross_'),
        (classifier(), CLASSES[:, None] * 1.0, "cross_entropy", "Write y[:, 0].astype(int)"),
        (line(), CLASSES, None, "the network has 1 output, one a class"),
        (classifier(), CLASSES[:, None], None, "Write y[:, 0]"),
        (classifier(), np.eye(3, dtype=int)[CLASSES], None, "Write y.astype(float)"),
        (classifier(), VALUES, None, "Give the last layer 1 output,"),
        (line(), np.stack([VALUES, VALUES], 1), None, "Give the last layer 2 outputs"),
        (pb.nn.MLP([2, 1]), VALUES, None, "which does not fit the network: for a single row, a layer of 2"),
        (pb.nn.MLP([2, 1]), VALUES, None, "its last axis must have 2 entries, one a feature"),
        (classifier(), CLASSES * 1.0, "cross_entropy", "Write y.astype(int)"),
        (classifier(), np.array(["a", "b"])[CLASSES % 2], None, "np.unique(y, return_inverse=True)"),
        (pb.nn.MLP, VALUES, None, "the network is the class MLP"),
        (pb.nn.Sequential(), VALUES, None, "the network has no parameters"),
        (3, VALUES, None, "callable on a batch"),
        (Counted(np.ones((3, 1)), 0), VALUES, None, "parameters are floating arrays"),
    ],
)  # fmt: skip
def test_networks_and_targets_that_do_not_go_together(net, y, loss, message):
    with pytest.raises((InputError, ShapeError)) as caught:
        fit(net, X, y, loss=loss, epochs=1)
    assert message in str(caught.value)


def test_rows_that_all_weigh_nothing_are_named():
    weights = np.zeros(400)
    weights[0] = 1.0
    with pytest.raises(InputError, match="rows all weigh nothing"):
        fit(line(), X, VALUES, sample_weight=weights)


def test_numbers_of_numpy_in_the_settings_can_be_saved(tmp_path):
    run = fit(
        line(),
        X,
        VALUES,
        epochs=np.int64(1),
        seed=np.int64(2),
        tol=np.float64(1e-9),
        patience=np.int64(3),
        batch_size=np.int64(9),
    )
    run.save(tmp_path / "m")
    assert bits(pb.load(tmp_path / "m")) == bits(run.net)


def test_without_shuffling_the_rows_are_taken_as_they_stand():
    """One epoch is then the chain of epochs of one batch each."""
    x = np.random.default_rng(0).standard_normal((12, 3))
    y = x @ np.array([[1.0], [2.0], [-1.0]])
    net = pb.nn.MLP([3, 4, 1], seed=0, dtype=float)
    options = dict(optimizer=pb.optim.GradientDescent(0.1), validation=0, progress=False)
    whole = pb.fit(net, x, y, epochs=1, batch_size=4, shuffle=False, **options).net
    for start in (0, 4, 8):
        net = pb.fit(net, x[start : start + 4], y[start : start + 4], epochs=1, batch_size="all", **options).net
    for a, b in zip(leaves(whole), leaves(net), strict=True):
        np.testing.assert_array_equal(a, b)
    shuffled = pb.fit(pb.nn.MLP([3, 4, 1], seed=0, dtype=float), x, y, epochs=1, batch_size=4, **options).net
    assert any((a != b).any() for a, b in zip(leaves(whole), leaves(shuffled), strict=True))


def test_random_numbers_that_all_steps_would_share_are_refused():
    generator, once = np.random.default_rng(0), []

    def noisy(prediction, target):
        return np.mean((prediction + generator.standard_normal() - target) ** 2)

    def scaled(prediction, target):
        if not once:
            once.append(np.random.rand())
        return once[0] * np.mean((prediction - target) ** 2)

    steps = [0]

    def warmed(prediction, target):
        steps[0] += 1
        return np.mean((prediction - target) ** 2) * min(1.0, steps[0] / 100)

    rows, targets = np.ones((8, 2)), np.ones((8, 1))
    options = {"epochs": 2, "validation": 0.0, "seed": 0}
    with pytest.raises(UnsupportedError, match="a training draws random numbers: it is traced once"):
        fit(pb.nn.MLP([2, 1], seed=0), rows, targets, loss=noisy, **options)
    with pytest.raises(UnsupportedError, match="a training changes what it reads around it"):
        fit(pb.nn.MLP([2, 1], seed=0), rows, targets, loss=warmed, **options)
    fit(pb.nn.MLP([2, 1], seed=0), rows, targets, loss=scaled, **options)
