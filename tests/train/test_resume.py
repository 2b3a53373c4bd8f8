"""A training that goes on: the bits of one that was never interrupted, or an error that says what is another."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
from itertools import count

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, NonFiniteError
from payback.native.running.loop import Loop
from payback.optim import Adam, AdamW, GradientDescent, Momentum, RMSprop
from payback.optim.schedules import Cosine, StepDecay, WarmUp
from payback.trace.tree import leaves
from payback.train.fit import fit
from payback.train.interrupts import Interrupts
from payback.train.resume import marks
from payback.train.runs import open_run
from payback.train.step import Steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 4))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int)
NOISE = RNG.integers(0, 2, 700)
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + 0.3

pytestmark = pytest.mark.usefixtures("heard")


@pytest.fixture(params=["native", "interpreted"])
def mode(request, monkeypatch):
    if request.param == "interpreted":
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    return request.param


def net(dtype=np.float32, outputs=2, activation="tanh"):
    return pb.nn.MLP([4, 6, outputs], activation, seed=1, dtype=dtype)


def told(**options):
    usual = dict(net=net(), X=X, y=CLASSES, optimizer=Adam(1e-2), epochs=6, batch_size=29, validation=0, seed=3)
    return usual | options


def bits(tree):
    return [np.asarray(p).tobytes() for p in leaves(tree)]


def assert_same(a, b):
    """Two trainings with the same history, the same network and the same state, to the bit."""
    assert a.history.columns == b.history.columns
    for name in a.history.columns:
        assert name == "seconds" or a.history[name] == b.history[name], name
    assert (a.stopped, a.best_epoch, bits(a.net)) == (b.stopped, b.best_epoch, bits(b.net))
    assert bits(a.standing.state) == bits(b.standing.state)


def ctrl_c(monkeypatch, after):
    """Ctrl-C in the step (of the interpreter) or call (of machine code) of this number, from 1."""
    for kind, name in ((Loop, "run"), (Steps, "train")):
        number, run = count(1), getattr(kind, name)

        def interrupted(self, *arguments, number=number, run=run):
            if next(number) == after:
                os.kill(os.getpid(), signal.SIGINT)
            return run(self, *arguments)

        monkeypatch.setattr(kind, name, interrupted)


TRAININGS = {
    "adam": told(),
    "float64": told(net=net(float), optimizer=AdamW(1e-2)),
    "momentum": told(optimizer=Momentum(0.1), batch_size=203),
    "warm-up and cosine": told(optimizer=Adam(WarmUp(1e-2, steps=20, then=Cosine(1e-2)))),
    "values": told(net=net(outputs=1), y=VALUES, optimizer=RMSprop(StepDecay(1e-2, every=5)), batch_size=50),
    "weights": told(sample_weight=RNG.integers(0, 2, 203).astype(float), batch_size=9, epochs=3),
    "validation": told(X=np.tile(X, (3, 1)), y=np.tile(CLASSES, 3), validation=0.2, patience=2, shuffle=False),
    "clipped": told(net=net(float), optimizer=GradientDescent(1.0, clip_norm=0.1)),
}


@pytest.mark.parametrize("name", [name for name in TRAININGS if "cosine" not in name][:: amount.cases(2, 1)])
def test_after_its_epochs(mode, name):
    """In two parts, the second of which is told how many epochs there are in all."""
    options = TRAININGS[name]
    whole, half = fit(**options), fit(**options | dict(epochs=2))
    before = bits(half.standing.state), bits(half.net), len(half.history)
    assert_same(whole, fit(**options, resume=half))
    assert before == (bits(half.standing.state), bits(half.net), len(half.history))
    assert_same(whole, fit(**options, resume=whole))


@pytest.mark.parametrize("name", list(TRAININGS)[:: amount.cases(2, 1)])
@pytest.mark.parametrize("at", [1, 2, 5][-amount.cases(1, 3) :])
def test_after_ctrl_c(mode, name, at, monkeypatch):
    """Within an epoch, or at its end: the steps that were taken count."""
    options = TRAININGS[name]
    whole = fit(**options)
    with monkeypatch.context() as patch:
        ctrl_c(patch, at)
        patch.setattr("payback.train.compiled.SLICE", 1e-9)  # a step a call
        half = fit(**options)
    assert half.stopped == "interrupted"
    assert at - 1 <= half.standing.step < whole.standing.step
    assert_same(whole, fit(**options, resume=half))
    assert_same(whole, fit(**options, resume=copy.deepcopy(half)))


def test_again_and_again(mode, monkeypatch):
    """Stopped after each step."""
    monkeypatch.setattr("payback.train.compiled.SLICE", 1e-9)
    options = told(epochs=2)
    run, steps = None, []
    for _ in range(steps_of := amount.cases(8, 13)):
        with monkeypatch.context() as patch:
            ctrl_c(patch, 1 if mode == "native" else 2)  # the interpreter's step is not applied
            run = fit(**options, resume=run)
        steps.append(run.standing.step)
    assert steps == [*range(1, steps_of + 1)]
    monkeypatch.undo()
    if mode == "interpreted":
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    assert_same(fit(**options), fit(**options, resume=run))


def test_of_an_interrupted_callback(mode):
    """Its epoch has ended: it is not called for that again."""
    called = []

    def stop(record, net):
        called.append(record["epoch"])
        if len(called) == 2:
            raise KeyboardInterrupt

    half = fit(**told(callbacks=[stop]))
    whole = fit(**told(callbacks=[stop]), resume=half)
    assert called == [1, 2, 3, 4, 5, 6]
    assert_same(fit(**told()), whole)


def test_of_an_interrupted_validation(mode, monkeypatch):
    """Its epoch has not ended, though all of its steps were taken."""
    options = TRAININGS["validation"]
    whole, number, cost = fit(**options), count(1), Steps.cost

    def interrupted(self, *arguments):
        if next(number) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return cost(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "cost", interrupted)
        half = fit(**options)
    assert (half.stopped, len(half.history), half.standing.step) == ("interrupted", 1, 2 * half.history[0]["step"])
    assert_same(whole, fit(**options, resume=half))


def test_the_best_network_counts(mode):
    """Patience goes on where it was; a run that would have stopped is as it was."""
    options = dict(X=RNG.normal(size=(700, 4)), y=NOISE, validation=0.3, optimizer=Adam(0.05), epochs=40)
    options = told(**options) | dict(batch_size=98)
    whole = fit(**options, patience=6)
    assert whole.stopped == "early stopping"
    for epochs in (1, whole.best_epoch, whole.best_epoch + 3):
        half = fit(**options | dict(epochs=epochs), patience=6)
        assert_same(whole, fit(**options, patience=6, resume=half))
    assert_same(whole, fit(**options, patience=6, resume=whole))
    longer = fit(**options, patience=9, resume=whole)
    assert_same(fit(**options, patience=9), longer)
    assert len(longer.history) > len(whole.history)


def test_line_searches(mode, tmp_path):
    options = told(net=net(float, 1), y=VALUES, optimizer=GradientDescent(line_search=True), batch_size="all")
    whole = fit(**options)
    half = fit(**options | dict(epochs=3), record=tmp_path)
    assert_same(whole, fit(**options, resume=half))
    assert_same(whole, fit(**options, resume=tmp_path))
    fit(**options | dict(epochs=3), resume=half, record=tmp_path / "no step")
    assert_same(whole, fit(**options, resume=tmp_path / "no step"))


def test_the_interrupted_best_of_unwatched_epochs(mode, monkeypatch):
    """Ctrl-C keeps the best network of all parts."""
    options = told(y=NOISE[:203], optimizer=GradientDescent(6.0), batch_size=203, epochs=50)
    seen = []
    fit(**options, callbacks=[lambda record, net: seen.append((record["loss"], bits(net)))])
    run = None
    for epoch in (10, 20, 30):

        def stop(record, net, epoch=epoch):
            if record["epoch"] == epoch:
                raise KeyboardInterrupt

        run = fit(**options, callbacks=[stop], resume=run)
        best = min(range(epoch), key=lambda k: seen[k][0])
        assert (run.best_epoch, bits(run.net)) == (best + 1, seen[best][1])


KILLED = """
import os, sys, numpy as np, payback as pb
from payback.train.recording import Recording
X = np.random.default_rng(0).normal(size=(203, 4))
def kill(record, net):
    if record["epoch"] == 3:
        os._exit(9)
pb.fit(pb.nn.MLP([4, 6, 2], "tanh", seed=1), X, (X[:, 0] + X[:, 1] > 0).astype(int), epochs=6, batch_size=29, seed=3,
       validation=0, optimizer=pb.optim.Adam(1e-2), record=Recording(sys.argv[1], every=4), callbacks=[kill])
"""


def test_after_its_process_was_killed(mode, tmp_path):
    """From the recording, and recorded again: the second recording goes on where the first has its last whole epoch."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "a")], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    run = fit(**told(), resume=tmp_path / "a", record=tmp_path / "b")
    assert_same(fit(**told()), run)
    first, second = open_run(tmp_path / "a"), open_run(tmp_path / "b")
    assert (second.first, len(second), second.history["loss"]) == (21, 42, run.history["loss"])
    assert bits(second.net) == bits(run.net)
    assert bits(second.step(21).net) == bits(first.step(21).net)
    with pytest.raises(InputError, match=r"there is no step 20: the run has the steps 21 to 42"):
        second.step(20)


def test_a_recording_from_within_an_epoch(mode, monkeypatch, tmp_path):
    """Its first rows are those that were left of the epoch."""
    with monkeypatch.context() as patch:
        ctrl_c(patch, 10)
        patch.setattr("payback.train.compiled.SLICE", 1e-9)
        half = fit(**told())
    run = fit(**told(), resume=half, record=tmp_path)
    assert_same(fit(**told()), run)
    again = open_run(tmp_path)
    assert half.standing.step % 7
    assert (again.first, len(again), again.history["loss"]) == (half.standing.step, 42, run.history["loss"])
    assert bits(again.net) == bits(run.net)
    assert again.batch(again.first + 1).X.shape == (29, 4)
    assert again.account("W1", (0, 0)).closing == run.net.layers[0].weight[0, 0]


def test_the_best_network_before_a_recording(mode, tmp_path):
    options = told(X=RNG.normal(size=(700, 4)), y=NOISE, validation=0.3, optimizer=Adam(0.05), patience=9)
    best = fit(**options | dict(epochs=12)).best_epoch
    half = fit(**options | dict(epochs=best + 2), record=tmp_path / "a")
    run = fit(**options | dict(epochs=best + 3), resume=open_run(tmp_path / "a"), record=tmp_path / "b")
    assert run.best_epoch == half.best_epoch == best
    assert bits(run.net) == bits(half.net)
    with pytest.raises(InputError, match=r"the network of epoch \d is not in this recording.*Open the one before"):
        open_run(tmp_path / "b").net


def test_a_killed_recording_after_the_best_epoch(mode, tmp_path):
    """The lowest cost came before this recording, so its network is not there; the training goes on without it."""
    options = told(y=NOISE[:203], optimizer=GradientDescent(6.0), batch_size=203)
    whole = fit(**options | dict(epochs=50))
    best = int(np.argmin(whole.history["loss"])) + 1
    assert best < 47
    fit(**options | dict(epochs=best + 3), resume=fit(**options | dict(epochs=best + 1)), record=tmp_path)
    log = tmp_path / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # without its end
    assert open_run(tmp_path).stopped is None
    assert_same(whole, fit(**options | dict(epochs=50), resume=tmp_path))


@pytest.mark.parametrize(("held", "patience"), [(120, None), (50, 3), (120, 9)])
def test_recordings_watched_or_not(held, patience, tmp_path):
    options = told(validation=(np.tile(X, (2, 1))[:held], np.tile(CLASSES, 2)[:held]), patience=patience, epochs=4)
    fit(**options | dict(epochs=2), record=tmp_path)
    assert_same(fit(**options), fit(**options, resume=tmp_path))


OTHERS = {
    "parameter": (dict(net=pb.nn.MLP([4, 7, 2])), r"layers\[0\].weight is float32\[4, 7\].*float32\[4, 6\]"),
    "dtype": (dict(net=net(float)), r"is float64\[4, 6\] where the training goes on: it was float32"),
    "activation": (dict(net=net(activation="relu")), r"the network is MLP\(.*relu.*it was MLP\(.*tanh"),
    "layers": (dict(net=pb.nn.MLP([4, 6, 2, 2])), r"the network is MLP\(.*it was MLP\("),
    "optimizer": (dict(optimizer=Momentum(1e-2)), r"the optimizer is Momentum.*it was Adam"),
    "rate": (dict(optimizer=Adam(1e-3)), r"the optimizer's rate is 0.001 where .*it was 0.01"),
    "schedule": (dict(optimizer=Adam(Cosine(1e-2))), r"the optimizer's rate is Cosine\(.*it was 0.01"),
    "size": (dict(batch_size=28), r"batch_size is 28 where the training goes on: it was 29"),
    "seed": (dict(seed=4), r"seed is 4 where"),
    "shuffle": (dict(shuffle=False), r"shuffle is False where"),
    "loss": (dict(y=np.eye(2)[CLASSES], loss="squared_error"), r"loss is 'squared_error' where.*was 'cross_entropy'"),
    "X": (dict(X=np.where(X[77, 2] == X, 0.0, X)), r"X holds other rows where the training goes on"),
    "y": (dict(y=1 - CLASSES), r"y holds other rows"),
    "weights": (dict(sample_weight=np.ones(203)), r"weights holds other rows"),
    "fewer": (dict(epochs=2), r"epochs is 2 in a training that went through 3.*Give epochs=3 or more"),
}  # fmt: skip


@pytest.mark.parametrize("other", OTHERS)
def test_another_training_is_an_error(other, tmp_path):
    options, message = OTHERS[other]
    half = fit(**told(epochs=3), record=tmp_path)
    for resume in (half, tmp_path):
        with pytest.raises(InputError, match=message):
            fit(**told(epochs=3) | options, resume=resume)


def test_a_schedule_that_would_have_been_another():
    half = fit(**told(optimizer=Adam(Cosine(1e-2)), epochs=3))
    with pytest.raises(InputError, match=r"with epochs=6 the schedule has other lengths for the steps that were taken"):
        fit(**told(optimizer=Adam(Cosine(1e-2)), epochs=6), resume=half)


def test_an_epoch_that_was_begun_counts(mode, monkeypatch):
    with monkeypatch.context() as patch:
        ctrl_c(patch, 10)
        patch.setattr("payback.train.compiled.SLICE", 1e-9)
        half = fit(**told())
    assert (len(half.history), len(half.standing.taken) > 0) == (1, True)
    with pytest.raises(InputError, match=r"epochs is 1 in a training that went through 2: .* Give epochs=2 or more"):
        fit(**told(epochs=1), resume=half)


def test_a_network_kept_by_another_cost():
    held = dict(validation=(np.tile(X[:60], (2, 1)), np.tile(CLASSES[:60], 2)))
    for before, now in ((None, 3), (3, None)):
        half = fit(**told(epochs=2, patience=before, **held))
        with pytest.raises(InputError, match=r"the network is kept by its .*loss where .*: it was by its"):
            fit(**told(patience=now, **held), resume=half)


def test_what_cannot_be_gone_on_with(monkeypatch):
    with pytest.raises(InputError, match=r"resume is 3: it is a run, or the folder of a recorded one"):
        fit(**told(), resume=3)
    with pytest.raises(NonFiniteError) as caught:
        fit(**told(optimizer=GradientDescent(1e30), loss="squared_error", y=np.eye(2)[CLASSES]))
    with pytest.raises(InputError, match=r"there is nothing to go on with: .* its cost became NaN or infinite"):
        fit(**told(), resume=caught.value.run)
    half = fit(**told())
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    with pytest.raises(InputError, match=r"steps are taken by the interpreter .*: they were by machine code"):
        fit(**told(epochs=9), resume=half)


def test_arrays_that_were_changed_are_an_error(mode):
    half = fit(**told())
    next(iter(leaves(half.standing.state)))[0, 0] += 1
    with pytest.raises(InputError, match=r"not as it ended: its arrays were changed since"):
        fit(**told(epochs=9), resume=half)


def test_a_handler_of_the_programs_own(mode, monkeypatch):
    """It is left alone; what it interrupts within a step cannot be gone on with, which is said."""

    def handler(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        with monkeypatch.context() as patch:
            ctrl_c(patch, 3)
            half = fit(**told())
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert half.stopped == "interrupted"
    if half.standing is None:
        with pytest.raises(InputError, match=r"nothing to go on with: the training was cut short within a step"):
            fit(**told(), resume=half)
    else:
        assert_same(fit(**told()), fit(**told(), resume=half))


def test_ctrl_c_waits_while_it_is_closed():
    before = signal.getsignal(signal.SIGINT)
    with Interrupts() as interrupts:
        interrupts.close()
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.open()
        interrupts.open()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("shape", [(3,), (1000,), (70, 1030), (600, 1024)])
def test_marks_tell_entries_that_changed_places(shape):
    array = RNG.normal(size=shape)
    known = {marks([array])}
    for i, j in ((0, 1), (0, -1), (1, -1)):
        other = array.copy()
        other.reshape(-1)[[i, j]] = other.reshape(-1)[[j, i]]
        known.add(marks([other]))
    known |= {marks([array.astype(np.float32)]), marks([array.reshape(1, -1)])}
    assert len(known) == 6
    assert marks([array.copy()]) in known


def test_the_standing_is_data():
    """Whoever holds a run holds arrays, not the program or the rows."""
    stands = fit(**told()).standing
    assert {field.name for field in dataclasses.fields(stands)} >= {"net", "state", "step"}
    assert len(pickle.dumps(stands)) < 20_000
