"""Recorded trainings: the same bits as without recording, and every step again, whatever the training was told."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import numpy as np
import pytest

import amount
import payback as pb
from payback import native
from payback.errors import InputError, ModelFileError
from payback.io import runs as files
from payback.optim import Adam, AdamW, Cosine, GradientDescent, Momentum, Nesterov, RMSprop, WarmUp
from payback.optim.schedules import SCHEDULES
from payback.trace.tree import leaves
from payback.train.fit import fit
from payback.train.recording import Recorder, Recording, weights_digest
from payback.train.runs import open_run
from payback.train.step import Steps

RNG = np.random.default_rng(3)
X = RNG.normal(size=(150, 4))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
VALUES = X @ [1.0, -2.0, 0.5, 1.5] + 0.3
WEIGHTS = RNG.integers(0, 3, 150).astype(float)


def bits(net):
    return [np.asarray(p).tobytes() for p in leaves(net)]


def shifted(prediction, target, weights=None):
    """A loss of the caller's own."""
    return ((prediction - target - 1.0) ** 2).mean()


class Halved(GradientDescent):
    """An optimizer of the caller's own."""

    def leaf(self, p, g, slots, rate, step):
        return p - 0.5 * rate * g, ()


TRAININGS = {
    "adam": dict(optimizer=Adam(1e-2)),
    "adamw and a schedule": dict(optimizer=AdamW(WarmUp(1e-2, steps=5, then=Cosine(1e-2)), exempt=("skip",))),
    "momentum, clipped": dict(optimizer=Momentum(0.01, clip_norm=0.5)),
    "nesterov": dict(optimizer=Nesterov(0.01)),
    "rmsprop": dict(optimizer=RMSprop(1e-3)),
    "gradient descent": dict(optimizer=GradientDescent(0.05)),
    "line search": dict(optimizer=GradientDescent(line_search=True), batch_size="all"),
    "all rows": dict(batch_size="all"),
    "one row": dict(batch_size=1, epochs=1),
    "as they stand": dict(shuffle=False),
    "weights, some of whole batches zero": dict(sample_weight=WEIGHTS * (np.arange(150) > 60), batch_size=8),
    "values, huber": dict(y=VALUES, net=pb.nn.MLP([4, 5, 1], dtype=float), loss="huber"),
    "own loss": dict(y=VALUES, net=pb.nn.MLP([4, 5, 1]), loss=shifted),
    "own optimizer": dict(optimizer=Halved(0.1)),
    "own network": dict(net={"layer": 0}),
    "early stopping": dict(validation=0.7, patience=1, epochs=30, y=RNG.integers(0, 2, 150)),
    "held out beside": dict(validation=(X[:20], CLASSES[:20])),
    "tolerance": dict(tol=1e-1, epochs=30),
}


class Own(pb.nn.Module):
    w: np.ndarray

    def __call__(self, x):
        return np.tanh(x) @ self.w


def training(name):
    """(arguments of fit, arguments of open_run)."""
    told = dict(net=pb.nn.MLP([4, 6, 3], seed=1), X=X, y=CLASSES, epochs=3, batch_size=32, seed=5) | TRAININGS[name]
    again = {}
    if name == "own loss":
        again = dict(loss=shifted)
    if name == "own optimizer":
        again = dict(optimizer=Halved(0.1))
    if name == "own network":
        told["net"] = Own(RNG.normal(size=(4, 3)))
        again = dict(like=Own(np.zeros((4, 3))))
    return told, again


@pytest.fixture
def each_step(monkeypatch):
    """The weights after every step of a training on the interpreter, seen apart from the recording."""
    seen = []
    train = Steps.train

    def watched(self, *args):
        made = train(self, *args)
        seen.append(bits(made[0]))
        return made

    monkeypatch.setattr(Steps, "train", watched)
    return seen


@pytest.mark.parametrize("name", TRAININGS)
def test_a_recorded_training_has_the_same_bits_and_every_step_comes_back(tmp_path, name):
    told, again = training(name)
    plain = fit(**told)
    kept = fit(**told, record=tmp_path / "run")
    assert bits(kept.net) == bits(plain.net)
    run = open_run(tmp_path / "run", **again)
    assert bits(run.net) == bits(plain.net)
    assert (run.finished, run.stopped, run.best_epoch) == (True, plain.stopped, plain.best_epoch)
    assert [{k: v for k, v in r.items() if k != "seconds"} for r in run.history] == [
        {k: v for k, v in r.items() if k != "seconds"} for r in plain.history
    ]
    assert run.history.records == kept.history.records
    assert len(run) == plain.history[-1]["step"]
    for n in np.random.default_rng(0).permutation(len(run) + 1)[: amount.cases(8, 60)]:
        restored = run.step(int(n))
        assert restored.weights == weights_digest(restored.net)
        assert n == 0 or restored.weights == run.steps[int(n)].weights


@pytest.mark.parametrize("name", ["adam", "weights, some of whole batches zero", "momentum, clipped"])
def test_what_is_restored_is_what_was(tmp_path, monkeypatch, each_step, name):
    """On the interpreter, whose every step can be seen."""
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    told, again = training(name)
    fit(**told, record=Recording(tmp_path, every=5))
    steps = list(each_step)
    run = open_run(tmp_path, **again)
    assert len(run) == len(steps)
    for n in RNG.permutation(len(run))[:20]:
        assert bits(run.step(int(n) + 1).net) == steps[n]
    walked = list(run.walk(3, 12))
    assert [restored.n for restored in walked] == list(range(3, 13))
    assert [bits(restored.net) for restored in walked] == [steps[n - 1] for n in range(3, 13)]


@pytest.mark.skipif(not native.available(), reason="native code is off")
def test_the_program_is_the_same_with_recording_and_without(tmp_path, monkeypatch):
    """Machine code: the same kernels with the same LLVM text, the same commands on the same numbers."""
    from payback.native.codegen import library
    from payback.native.running import loop, reuse

    made = []
    finish = loop.Loop._finish

    def noted(self):
        finish(self)
        commands = self.planner.commands
        kernels = {library.symbol(command.kernel): command.kernel for command in commands}
        text = str(library.module_of(kernels[name] for name in sorted(kernels)))
        made.append((text, [(library.symbol(command.kernel), list(command.numbers)) for command in commands]))

    monkeypatch.setattr(loop.Loop, "_finish", noted)
    told, _ = training("adam")
    reuse.forget()
    fit(**told)
    without = list(made)
    made.clear()
    reuse.forget()
    fit(**told, record=tmp_path)
    assert "define" in without[0][0]
    assert made == without


def test_the_batches_are_those_of_the_training(tmp_path):
    told, _ = training("weights, some of whole batches zero")
    fit(**told, record=tmp_path, validation=0.2)
    run = open_run(tmp_path)
    rows = run.rows
    for epoch in (1, 2, 3):
        steps = [step for step in run.steps if step.epoch == epoch]
        batches = [run.batch(step.n) for step in steps]
        seen = np.concatenate([batch.samples for batch in batches])
        assert len(set(seen.tolist())) == len(seen)
        assert set(rows.numbers[np.flatnonzero(rows.weights)]) <= set(seen.tolist())
        for batch in batches:
            assert (X.astype(np.float32)[batch.samples] == batch.X).all()
            assert (batch.y == CLASSES[batch.samples]).all()
            assert batch.weights.sum() > 0


@pytest.mark.parametrize("stored", [True, False])
def test_rows_that_are_not_stored_are_asked_for_and_checked(tmp_path, stored):
    told, _ = training("weights, some of whole batches zero")
    fit(**told, record=Recording(tmp_path, data=stored, every=7))
    assert (tmp_path / "data.safetensors").exists() is stored
    plain = open_run(tmp_path)
    assert len(plain.history) == 3
    weights = told["sample_weight"]
    if stored:
        assert plain.step(10).n == 10
    else:
        assert plain.step(7).n == 7  # a state that was written needs no rows
        with pytest.raises(InputError, match=r"rows of the run are not stored .* give them again|Give them again"):
            plain.step(10)
    if not stored:
        assert open_run(tmp_path, data=(X, CLASSES, weights)).step(10).n == 10
        for other in ((X + 1e-9, CLASSES, weights), (X, CLASSES), (X, CLASSES, weights[::-1])):
            with pytest.raises(ModelFileError, match="the rows that are given are not those of the run"):
                open_run(tmp_path, data=other).step(10)


def test_a_run_without_an_end_can_be_read_up_to_where_it_came(tmp_path):
    """Cut anywhere: what was told in whole lines counts, and every step of it comes back."""
    told, _ = training("adam")
    fit(**told, record=Recording(tmp_path, every=4))
    whole = open_run(tmp_path)
    log = (tmp_path / "log.jsonl").read_bytes()
    lines = log.splitlines(keepends=True)
    for cut in np.random.default_rng(1).integers(len(lines[0]), len(log), amount.cases(6, 60)):
        (tmp_path / "log.jsonl").write_bytes(log[:cut])
        run = open_run(tmp_path)
        assert not run.finished or cut >= len(log) - 1
        assert run.stopped is None
        assert len(run) <= len(whole)
        if len(run):
            n = len(run)
            assert run.step(n).weights == whole.steps[n].weights
            assert bits(run.net) == bits(whole.step(n).net)


def test_a_run_can_be_read_while_it_is_written(tmp_path):
    told, _ = training("adam")
    seen = []

    def look(record, net):
        run = open_run(tmp_path)
        seen.append((run.finished, len(run.history), bits(run.step(record["step"]).net) == bits(net)))

    fit(**told, record=tmp_path, callbacks=[look])
    assert seen == [(False, epoch, True) for epoch in (1, 2, 3)]


def test_interrupted_and_stopped_by_a_callback(tmp_path):
    told, _ = training("adam")

    def stop(record, net):
        raise KeyboardInterrupt

    run = fit(**told, record=tmp_path / "a", callbacks=[stop])
    assert run.stopped == "interrupted"
    again = open_run(tmp_path / "a")
    assert (again.stopped, again.best_epoch) == ("interrupted", 1)
    assert bits(again.net) == bits(run.net)

    def fail(record, net):
        raise OSError("the user's own")

    with pytest.raises(OSError, match="own"):
        fit(**told, record=tmp_path / "b", callbacks=[fail])
    assert not open_run(tmp_path / "b").finished
    assert len(open_run(tmp_path / "b").history) == 1


KILLED = """
import os, sys, numpy as np, payback as pb
from payback.train.recording import Recording
X = np.random.default_rng(3).normal(size=(150, 4))
def kill(record, net):
    if record["epoch"] == 3:
        os._exit(9)  # nothing is closed, nothing is flushed
pb.fit(pb.nn.MLP([4, 6, 2], seed=1), X, (X[:, 0] > 0).astype(int), epochs=9, batch_size=32,
       record=Recording(sys.argv[1], every=4), callbacks=[kill])
"""


def test_a_run_whose_process_was_killed(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "run")], check=False, capture_output=True)
    assert done.returncode == 9, done.stderr
    run = open_run(tmp_path / "run")
    assert (run.finished, len(run.history), len(run)) == (False, 3, 15)
    net, y = pb.nn.MLP([4, 6, 2], seed=1), (X[:, 0] > 0).astype(int)
    assert bits(run.net) == bits(fit(net, X, y, epochs=3, batch_size=32, patience=None).net)


def test_a_disk_that_fails_is_an_error_that_names_the_folder(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    told, _ = training("adam")
    monkeypatch.setattr(files, "write_file", full)
    with pytest.raises(InputError, match=r"the run cannot be recorded .*: No space left on device. Choose another"):
        fit(**told, record=tmp_path / "a")


def test_a_training_whose_disk_becomes_full_goes_on(tmp_path, monkeypatch):
    told, _ = training("adam")
    whole = fit(**told)
    write, count = files.write_file, [0]

    def later_full(path, data):
        count[0] += 1
        if count[0] > 5:
            raise OSError(28, "No space left on device")
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_file", later_full)
        with pytest.raises(InputError, match=r"No space left on device. Make room and go on .* with resume='.*a'"):
            fit(**told, record=Recording(tmp_path / "a", every=3))
    assert bits(fit(**told, resume=tmp_path / "a").net) == bits(whole.net)


@pytest.mark.parametrize("interpreted", [True, False])
def test_interrupted_before_the_first_epoch_ends(tmp_path, monkeypatch, interpreted):
    if interpreted:
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    told, _ = training("adam")
    count, step = [0], Recorder.step

    def third(self, *args):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(Recorder, "step", third)
    fit(**told, record=Recording(tmp_path, every=50))  # the third step was taken, but not written down
    run = open_run(tmp_path)
    assert (run.stopped, run.best_epoch, len(run), len(run.history)) == ("interrupted", 0, 2, 0)
    assert weights_digest(run.net) == run.steps[2].weights


def test_no_epochs(tmp_path):
    told, _ = training("adam")
    fit(**(told | dict(epochs=0)), record=tmp_path)
    run = open_run(tmp_path)
    assert (len(run), run.finished) == (0, True)
    assert bits(run.net) == bits(told["net"])
    assert run.account("W1", (0, 0)).closing == told["net"].layers[0].weight[0, 0]


@pytest.fixture
def recorded(tmp_path):
    told, _ = training("adam")
    fit(**told, record=Recording(tmp_path, every=4))
    return tmp_path


def resealed(lines):
    """Lines with seals that agree, as someone who knows how could write them."""
    seal, made = "0" * 64, b""
    for line in lines:
        body = line.rpartition(b',"seal":"')[0] + b"}"
        seal = files._chained(seal, body)
        made += body[:-1] + b',"seal":"' + seal[:16].encode() + b'"}\n'
    return made


def test_a_log_that_was_altered_is_refused(recorded):
    log = recorded / "log.jsonl"
    data = log.read_bytes()
    lines = data.splitlines(keepends=True)
    for changed in (
        data.replace(b'"rate":0.01', b'"rate":0.02', 1),
        b"".join(lines[:3] + lines[4:]),
        b"".join([lines[1], lines[0], *lines[2:]]),
        data.replace(b'"cost":0', b'"cost":1', 1),
        b"\x00" + data,
    ):
        assert changed != data
        log.write_bytes(changed)
        with pytest.raises(ModelFileError, match=r"the log was damaged or altered \(.*log.jsonl:\d+\)"):
            open_run(recorded)
    steps = [line for line in lines if b'"kind":"step"' in line]
    log.write_bytes(resealed([lines[0], steps[1]]))
    with pytest.raises(ModelFileError, match="step 2 follows step 0"):
        open_run(recorded)


def test_another_rate_gives_other_weights_which_is_seen(recorded):
    """Seals are against damage, not forgery; what is replayed is compared with the digests all the same."""
    log = recorded / "log.jsonl"
    data = log.read_bytes()
    log.write_bytes(resealed(data.replace(b'"rate":0.01', b'"rate":0.010000001').splitlines(keepends=True)))
    run = open_run(recorded)
    assert run.step(4).n == 4  # was written
    with pytest.raises(ModelFileError, match="step 2 came to other weights than the recorded ones"):
        run.step(2)


def test_other_rows_are_seen(recorded):
    log = recorded / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    rows = [json.loads(line)["rows"].encode() for line in lines if b'"kind":"step"' in line]
    log.write_bytes(resealed([line.replace(rows[0], rows[1]) for line in lines]))
    with pytest.raises(ModelFileError, match="step 1 was taken on other rows"):
        open_run(recorded).step(1)


@pytest.mark.parametrize("name", ["data.safetensors", "state-4.safetensors", "run.json"])
def test_files_that_are_damaged_missing_or_links(recorded, tmp_path_factory, name):
    path = recorded / name
    data = path.read_bytes()
    at = len(data) - 3
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(ModelFileError):
        open_run(recorded).step(5)
    path.write_bytes(data[:-1])
    with pytest.raises(ModelFileError):
        open_run(recorded).step(5)
    path.unlink()
    with pytest.raises(ModelFileError, match=f"there is no {name}"):
        open_run(recorded).step(5)
    away = tmp_path_factory.mktemp("away") / name
    away.write_bytes(data)
    path.symlink_to(away)
    with pytest.raises(ModelFileError, match="a link that leads out of the folder"):
        open_run(recorded).step(5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["optimizer"].update(name="os.system"), "the optimizer 'os.system' is not known"),
        (lambda d: d["optimizer"].update(rate={"name": "evil"}), "the schedule 'evil' is not known"),
        (lambda d: d["optimizer"].update(more=1), "has other settings"),
        (lambda d: d["optimizer"].update(beta1=3.0), "the optimizer adam cannot be"),
        (lambda d: d.update(loss="os.system"), "the loss 'os.system'|loss is 'os.system'|os.system"),
        (lambda d: d["settings"].update(batch_size=0), "the run has no batch_size that can be"),
        (lambda d: d["settings"].update(seed="1"), "the run has no seed that can be"),
        (lambda d: d["settings"].pop("shuffle"), "the run has no shuffle that can be"),
        (lambda d: d.update(version=2), "run.json is not a run that can be read"),
        (lambda d: d.update(format="payback model"), "run.json is not a run that can be read"),
        (lambda d: d.update(extra=1), "run.json is damaged"),
        (lambda d: d["network"].update(layer="lambda"), "run.json is damaged"),
    ],
)
def test_documents_that_name_what_is_not_known(recorded, change, message):
    path = recorded / "run.json"
    document = json.loads(path.read_text())
    change(document)
    document["digest"] = "0" * 64
    try:
        path.write_bytes(files._sealed(msgspec.convert(document, files.Document)))
    except msgspec.ValidationError:
        path.write_text(json.dumps(document))
    with pytest.raises((ModelFileError, InputError), match=message):
        open_run(recorded)


def test_folders_that_are_no_runs(tmp_path):
    for name, why in (("nothing", "there is no such folder"), ("file", "it is a file")):
        (tmp_path / "file").write_text("x")
        with pytest.raises(ModelFileError, match=why):
            open_run(tmp_path / name)
    with pytest.raises(ModelFileError, match=r"there is no run.json"):
        open_run(tmp_path)


def test_what_must_be_given_and_what_must_not(tmp_path):
    told, _ = training("own loss")
    fit(**told, record=tmp_path / "a")
    with pytest.raises(InputError, match=r"the run's loss is not payback's own"):
        open_run(tmp_path / "a")
    told, _ = training("own optimizer")
    fit(**told, record=tmp_path / "b")
    with pytest.raises(InputError, match=r"the run's optimizer is not payback's own"):
        open_run(tmp_path / "b")
    told, _ = training("adam")
    fit(**told, record=tmp_path / "c")
    with pytest.raises(InputError, match=r"the run has a loss of its own"):
        open_run(tmp_path / "c", loss=shifted)
    told, _ = training("own network")
    fit(**told, record=tmp_path / "d")
    with pytest.raises(ModelFileError, match="the model is a Own"):
        open_run(tmp_path / "d")


def test_another_loss_than_the_one_of_the_training_is_seen(tmp_path):
    told, _ = training("own loss")
    fit(**told, record=Recording(tmp_path, every=5))
    run = open_run(tmp_path, loss=lambda prediction, target, weights: ((prediction - target) ** 2).mean())
    with pytest.raises(ModelFileError, match="came to other weights"):
        run.step(2)


def test_bad_use(tmp_path, recorded):
    told, _ = training("adam")
    with pytest.raises(InputError, match="the folder is not empty"):
        fit(**told, record=recorded)
    fit(**told, record=Recording(recorded, overwrite=True))
    run = open_run(recorded)
    for n in (-1, len(run) + 1, 2.0, True, "1"):
        with pytest.raises(InputError, match=r"there is no step .*the run has the steps 0 to"):
            run.step(n)
    with pytest.raises(InputError, match="the run has the steps 1 to"):
        run.batch(0)
    with pytest.raises(InputError, match="every is 0"):
        Recording(tmp_path, every=0)
    with pytest.raises(InputError, match="record is 3"):
        fit(**told, record=3)
    with pytest.raises(KeyError, match="the history has"):
        run.history["nothing"]


@pytest.mark.skipif(not native.available(), reason="native code is off")
def test_native_runs_need_native_code_and_interpreted_ones_do_without(tmp_path, monkeypatch):
    told, _ = training("adam")
    fit(**told, record=Recording(tmp_path / "native", every=4))
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    fit(**told, record=Recording(tmp_path / "interpreted", every=4))
    with pytest.raises(InputError, match="the run was recorded with machine code"):
        open_run(tmp_path / "native").step(2)
    monkeypatch.delenv("PAYBACK_NATIVE")
    run = open_run(tmp_path / "interpreted")
    assert run.step(2).weights == run.steps[2].weights


def test_nothing_is_written_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told, _ = training("adam")
    fit(**told)
    assert list(tmp_path.iterdir()) == []


def test_schedules_are_a_closed_list():
    import inspect

    from payback.optim import schedules

    made = {c for c in vars(schedules).values() if inspect.isclass(c) and issubclass(c, schedules.Schedule)}
    assert made - {schedules.Schedule} == set(SCHEDULES.values())
