"""Training in native code: the interpreter's steps, to rounding; stopping in time; no Python in between."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

import amount
import payback as pb
from payback import native
from payback.errors import NonFiniteError
from payback.native.running import cores, reuse
from payback.native.running.loop import Loop
from payback.nn.losses import LOSSES
from payback.optim import Adam, AdamW, Cosine, GradientDescent, Momentum, Nesterov, RMSprop, StepDecay, WarmUp
from payback.trace.tree import leaves
from payback.train import fit as fit_of
from payback.train.compiled import Compiled
from payback.train.fit import fit
from payback.train.flat import flat
from payback.train.step import Steps

pytestmark = pytest.mark.skipif(not native.available(), reason="native code is off")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 5))
CLASSES = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
VALUES = X @ [1.0, -2.0, 0.5, 0.0, 3.0] + 0.3
OPTIMIZERS = [
    GradientDescent(0.05), Momentum(0.01), Nesterov(0.01), RMSprop(1e-3), Adam(1e-2), AdamW(1e-2, clip_norm=0.5),
    Adam(WarmUp(1e-2, steps=5, then=Cosine(1e-2))), GradientDescent(StepDecay(0.1, every=3, factor=0.5), clip_norm=1.0),
]  # fmt: skip


def both(monkeypatch, **options):
    """The same training by native code and by the interpreter."""
    fast = fit(**options)
    monkeypatch.setenv("PAYBACK_NATIVE", "0")
    return fast, fit(**options)


def assert_alike(fast, slow, rtol):
    for name in slow.history.columns:
        if name == "seconds":
            continue
        np.testing.assert_allclose(fast.history[name], slow.history[name], rtol=rtol, err_msg=name)
    for a, b in zip(leaves(fast.net), leaves(slow.net), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())
    assert fast.stopped == slow.stopped


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("target", ["classes", "values"])
def test_every_optimizer_and_schedule(monkeypatch, optimizer, target):
    y = CLASSES if target == "classes" else VALUES
    net = pb.nn.MLP([5, 9, 3 if target == "classes" else 1], activation="tanh", dtype=float)
    fast, slow = both(monkeypatch, net=net, X=X, y=y, optimizer=optimizer, epochs=3, batch_size=32)
    assert_alike(fast, slow, 1e-8)


@pytest.mark.parametrize(
    "options",
    [
        dict(batch_size="all"), dict(batch_size=1, epochs=1), dict(sample_weight=RNG.integers(0, 3, 203)),
        dict(loss="huber", net=pb.nn.MLP([5, 4, 1], dtype=float, skip=True), y=VALUES), dict(validation=0),
        dict(sample_weight=(np.arange(203) > 150).astype(float), batch_size=8), dict(patience=1, epochs=20),
    ],
    ids=lambda options: " ".join(options),
)  # fmt: skip
def test_every_option(monkeypatch, options):
    usual = dict(net=pb.nn.MLP([5, 9, 3], dtype=float), X=X, y=CLASSES, epochs=3, batch_size=32)
    fast, slow = both(monkeypatch, **(usual | options))
    assert_alike(fast, slow, 1e-7)


@pytest.mark.parametrize("activation", sorted(pb.nn.activations.ACTIVATIONS))
def test_every_activation_in_float32(monkeypatch, activation):
    net = pb.nn.MLP([5, 16, 16, 3], activation=activation)
    fast, slow = both(monkeypatch, net=net, X=X, y=CLASSES, epochs=2)
    assert_alike(fast, slow, 2e-3)


def test_random_networks(monkeypatch):
    for seed in range(amount.cases(3, 15, 60)):
        rng = np.random.default_rng(seed)
        sizes = [5, *map(int, rng.integers(1, 40, rng.integers(1, 4))), 3]
        size = int(rng.integers(1, 250))
        monkeypatch.delenv("PAYBACK_NATIVE", raising=False)
        fast, slow = both(monkeypatch, net=pb.nn.MLP(sizes, seed=seed, dtype=float), X=X, y=CLASSES, epochs=2,
                          batch_size=size, seed=seed, optimizer=OPTIMIZERS[seed % len(OPTIMIZERS)])  # fmt: skip
        assert_alike(fast, slow, 1e-6)


@pytest.mark.parametrize("at", [0, 100, 195])
def test_a_step_that_is_not_finite_is_not_applied(monkeypatch, at):
    """The run of the error holds the network before the bad step, which rows without it give as well."""
    bad = X.copy()
    bad[at, 0] = 1e200  # its square is infinite: so is the gradient's norm
    net = pb.nn.MLP([5, 1], dtype=float)
    errors = []
    for setting in (None, "0"):
        if setting:
            monkeypatch.setenv("PAYBACK_NATIVE", setting)
        with pytest.raises(NonFiniteError) as caught:
            fit(net, bad, VALUES, epochs=3, batch_size=10, validation=0, shuffle=False)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    for a, b in zip(leaves(errors[0].run.net), leaves(errors[1].run.net), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_step_too_long_is_taken_back(monkeypatch):
    """Cost and gradient are finite, the new weights are not: seen after the update, which is undone by a replay."""
    net, y = pb.nn.MLP([5, 1], dtype=float), VALUES * 1e100
    optimizer = GradientDescent(WarmUp(1e200, steps=10**6))
    errors = []
    for setting in (None, "0"):
        if setting:
            monkeypatch.setenv("PAYBACK_NATIVE", setting)
        with pytest.raises(NonFiniteError, match="became") as caught:
            fit(net, X, y, optimizer=optimizer, epochs=1, batch_size=10, validation=0)
        errors.append(caught.value)
    told = [re.sub(r"\d\.\d{13,}", lambda digits: f"{float(digits[0]):.11f}", str(error)) for error in errors]
    assert told[0] == told[1]
    assert all(np.isfinite(p).all() for p in leaves(errors[0].run.net))


def test_an_epoch_is_one_call(monkeypatch):
    counts, run = [], Loop.run

    def counted(self, inputs, order, records, steps):
        counts.append(steps)
        return run(self, inputs, order, records, steps)

    monkeypatch.setattr(Loop, "run", counted)
    fit(pb.nn.MLP([5, 3]), np.tile(X, (10, 1)), np.tile(CLASSES, 10), epochs=1, batch_size=1, validation=0)
    assert sum(counts) == 2030
    assert len(counts) < 10  # slices of a tenth of a second, so that Ctrl-C is heard


@pytest.mark.parametrize(("call", "epochs"), [(1, 0), (2, 1), (4, 73)])
def test_interrupted(monkeypatch, call, epochs):
    """Calls are of 1, 8, 64 … epochs of one step; those of the calls that came back are told."""
    counts, run = [], Loop.run

    def interrupted(self, *arguments):
        counts.append(1)
        if len(counts) == call:
            raise KeyboardInterrupt
        return run(self, *arguments)

    monkeypatch.setattr("payback.train.compiled.SLICE", 60.0)
    monkeypatch.setattr(Loop, "run", interrupted)
    result = fit(pb.nn.MLP([5, 3]), X, CLASSES, epochs=500, batch_size=203, validation=0)
    assert result.stopped == "interrupted"
    assert len(result.history) == epochs
    assert all(np.isfinite(p).all() for p in leaves(result.net))


BLOCKS = [
    dict(batch_size="all", epochs=300), dict(batch_size=29, epochs=20), dict(batch_size=29, epochs=20, shuffle=False),
    dict(batch_size=30, epochs=5), dict(batch_size=1, epochs=3), dict(y=VALUES, net=pb.nn.MLP([5, 4, 1]), epochs=4),
    dict(batch_size=29, epochs=9, sample_weight=RNG.integers(0, 3, 203)),
    dict(batch_size=29, epochs=9, sample_weight=np.arange(203) % 3 + 0.5),
    dict(batch_size="all", epochs=9, sample_weight=np.arange(203) % 3),
    dict(batch_size=29, epochs=9, optimizer=Adam(WarmUp(1e-2, steps=30, then=Cosine(1e-2)))),
]  # fmt: skip


@pytest.mark.parametrize("options", BLOCKS, ids=lambda options: " ".join(map(str, options)))
def test_epochs_that_nobody_looks_at_are_the_same(options):
    """Many epochs a call, or one: the same history and the same network, to the bit."""
    usual = dict(net=pb.nn.MLP([5, 9, 3]), X=X, y=CLASSES, optimizer=Adam(1e-2), validation=0) | options
    quiet, looked = fit(**usual), fit(**usual, callbacks=[lambda record, net: None])
    for name in looked.history.columns:
        assert name == "seconds" or quiet.history[name] == looked.history[name], name
    assert quiet.history["seconds"] == sorted(quiet.history["seconds"])
    for a, b in zip(leaves(quiet.net), leaves(looked.net), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("size", [203, 29])
def test_the_best_network_of_epochs_that_nobody_looked_at(monkeypatch, size):
    """It is made again from where its call began."""
    usual = dict(net=pb.nn.MLP([5, 9, 3]), X=X, y=RNG.integers(0, 3, 203), batch_size=size, validation=0, epochs=400,
                 optimizer=GradientDescent(6.0))  # fmt: skip
    seen, run, calls = [], Loop.run, []
    fit(**usual, callbacks=[lambda record, net: seen.append((record["loss"], net))])

    def interrupted(self, inputs, order, records, steps, *more):
        epochs = sum(calls) // -(-203 // size)
        calls.append(steps)
        if len(calls) > 3 and np.argmin([cost for cost, _ in seen[:epochs]]) + 1 < epochs:
            monkeypatch.undo()
            raise KeyboardInterrupt
        return run(self, inputs, order, records, steps, *more)

    monkeypatch.setattr(Loop, "run", interrupted)
    result = fit(**usual)
    costs = [cost for cost, _ in seen[: len(result.history)]]
    best = int(np.argmin(costs))
    assert result.best_epoch == best + 1 < len(costs)
    for a, b in zip(leaves(result.net), leaves(seen[best][1]), strict=True):
        assert a.tobytes() == b.tobytes()


def test_not_finite_among_epochs_that_nobody_looked_at():
    """The epoch is named, and the run holds the best network before it."""
    usual = dict(net=pb.nn.MLP([5, 1], dtype=float), X=X, y=VALUES, batch_size="all", validation=0, epochs=4000,
                 optimizer=GradientDescent(0.9))  # fmt: skip
    errors = []
    for callbacks in ([], [lambda record, net: None]):
        with pytest.raises(NonFiniteError) as caught:
            fit(**usual, callbacks=callbacks)
        errors.append(caught.value)
    assert str(errors[0]) == str(errors[1])
    runs = [error.run for error in errors]
    assert runs[0].history["loss"] == runs[1].history["loss"]
    assert runs[0].best_epoch == runs[1].best_epoch
    for a, b in zip(*(leaves(run.net) for run in runs), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_small_network_steps_as_one_vector(monkeypatch):
    """Its update is one loop; an optimizer that others wrote gets its parameters one by one."""
    net = pb.nn.MLP([5, 9, 3], dtype=float)
    for optimizer in OPTIMIZERS:
        assert flat(net, optimizer) is not None
    monkeypatch.setattr("payback.train.flat.LARGEST", 10)
    assert flat(net, Adam()) is not None  # many, each of them small
    monkeypatch.setattr("payback.train.flat.SMALL", 10)
    assert flat(net, Adam()) is None
    monkeypatch.undo()

    class Largest(GradientDescent):
        """The step of each array has the length `rate`."""

        def leaf(self, p, g, slots, rate, step):
            return p - rate * g / np.sqrt((g * g).sum()), ()

    assert flat(net, Largest(0.1)) is None
    fast, slow = both(monkeypatch, net=net, X=X, y=CLASSES, optimizer=Largest(0.01), epochs=2)
    assert_alike(fast, slow, 1e-8)


def test_an_optimizer_that_changes_the_dtype_is_refused():
    class Widening(GradientDescent):
        def leaf(self, p, g, slots, rate, step):
            return p - np.float64(0.1) * g, ()

    with pytest.raises(pb.errors.TraceError, match="keeps its shape and dtype"):
        fit(pb.nn.MLP([5, 3]), X, CLASSES, optimizer=Widening(0.1), epochs=1)


def test_the_networks_of_callbacks_stay_as_they_are():
    seen = []
    fit(
        pb.nn.MLP([5, 3]),
        X,
        CLASSES,
        epochs=3,
        callbacks=[lambda record, net: seen.append((net, leaves(net)[0].copy()))],
    )
    assert all((leaves(net)[0] == then).all() for net, then in seen)
    assert (seen[0][1] != seen[1][1]).any()


@pytest.mark.parametrize(("threads", "weighted"), [(1, False), (2, True), (3, False)])
def test_batches_in_order_are_read_where_they_lie(monkeypatch, threads, weighted):
    """To the bits of a training that gathers them, over several epochs in a call, with a rest; long rows are copied."""
    monkeypatch.setattr(cores, "threads", lambda: threads)
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    reuse.forget()
    weights = np.arange(203.0) % 3 if weighted else None
    net = pb.nn.MLP([5, 9, 1], dtype=float, seed=0)

    def trained():
        options = dict(batch_size=25, shuffle=False, sample_weight=weights, optimizer=Adam(1e-2), validation=0)
        run = fit(net, X, VALUES, epochs=4, **options)
        return [leaf.tobytes() for leaf in leaves(run.net)], run.history["loss"]

    made = []
    monkeypatch.setattr(Loop, "_finish", lambda self, old=Loop._finish: (old(self), made.append(self.chosen)))
    there, costs = trained()
    assert set(made) == {"runs"}
    wide = np.tile(X, 40)
    fit(
        pb.nn.MLP([200, 1], dtype=float),
        wide[:200],
        VALUES[:200],
        epochs=1,
        batch_size=100,
        shuffle=False,
        validation=0,
    )
    assert made.pop() is True
    compiled = fit_of.compiled
    monkeypatch.setattr(fit_of, "compiled", lambda *args: compiled(*args[:-1]))
    gathered, same = trained()
    assert set(made) == {"runs", True}
    assert there == gathered
    np.testing.assert_array_equal(costs, same)


def test_data_in_the_other_byte_order(monkeypatch):
    fast, slow = both(
        monkeypatch, net=pb.nn.MLP([5, 3], dtype=float), X=X.astype(">f8"), y=CLASSES.astype(">i8"), epochs=2
    )
    assert_alike(fast, slow, 1e-9)


@dataclass
class Recurrent:
    """A network of one's own, with a scan over the axis of time."""

    W: np.ndarray
    U: np.ndarray
    v: np.ndarray

    def __call__(self, x):
        def step(h, now):
            h = np.tanh(h @ self.W + now @ self.U)
            return h, h

        return pb.scan(step, np.zeros((x.shape[0], 4), x.dtype), np.swapaxes(x, 0, 1))[0] @ self.v


@dataclass
class Solving:
    """A network with a row that may stop its program."""

    A: np.ndarray
    v: np.ndarray

    def __call__(self, x):
        return np.linalg.solve(self.A @ self.A.T + np.eye(5), x.T).T @ self.v


@pytest.mark.parametrize("kind", ["scan", "solve"])
def test_steps_that_are_not_one_piece_of_machine_code(monkeypatch, kind):
    net = (
        Recurrent(*(RNG.normal(size=shape) / 2 for shape in ((4, 4), (5, 4), (4,))))
        if kind == "scan"
        else Solving(RNG.normal(size=(5, 5)), RNG.normal(size=5))
    )
    inputs = np.stack([X, X**2, np.cos(X)], axis=1) if kind == "scan" else X
    usual = dict(net=net, X=inputs, y=VALUES, epochs=3, batch_size=32, loss=lambda p, t, w: np.mean((p - t) ** 2))
    fast, slow = both(monkeypatch, **usual)
    assert_alike(fast, slow, 1e-8)
    monkeypatch.delenv("PAYBACK_NATIVE")
    with pytest.raises(NonFiniteError) as problem:
        fit(**usual | dict(optimizer=GradientDescent(1e200), epochs=5))
    assert all(np.isfinite(leaf).all() for leaf in leaves(problem.value.run.net))


@dataclass
class Factored:
    """A network whose steps stop their program where a is not positive."""

    a: np.ndarray
    v: np.ndarray

    def __call__(self, x):
        return np.concatenate([x] * 4, axis=1) @ np.linalg.cholesky(np.diag(self.a)) @ self.v


class Inverted(Factored):
    """One whose steps do that where an inverse is subnormal, which the interpreter finds all the same."""

    def __call__(self, x):
        return np.concatenate([x] * 4, axis=1) @ (np.linalg.inv(np.diag(self.a)) * 1e300) @ self.v


def test_steps_that_machine_code_leaves_to_the_interpreter(monkeypatch):
    usual = dict(X=X, y=VALUES, epochs=3, batch_size=32, loss=lambda p, t, w: np.mean((p - t) ** 2))
    huge = Inverted(np.full(20, 1e308), np.ones(20))
    fast, slow = both(monkeypatch, **usual, net=huge, optimizer=GradientDescent(1e-3))
    assert_alike(fast, slow, 1e-12)
    monkeypatch.delenv("PAYBACK_NATIVE", raising=False)
    falling = Factored(np.full(20, 0.1), np.full(20, -30.0))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        fit(**usual, net=falling, optimizer=GradientDescent(1.0))


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize(("small", "keep"), [(True, 2.0), (False, 2.0), (False, 0.0)])
def test_going_back_is_exact(monkeypatch, small, keep, lasting):
    """Step 8 is seen to be bad when it is there already: all is as after 7, from a copy of this call or an earlier."""
    monkeypatch.setattr("payback.train.compiled.SMALL", 1 << 30 if small else 0)
    monkeypatch.setattr("payback.train.compiled.KEEP", keep)
    monkeypatch.setattr("payback.train.compiled.SLICE", 0.0)  # a step a call
    order, rates = np.arange(100) % len(X), np.full(10, 0.01)

    def training():
        net, optimizer = pb.nn.MLP([5, 6, 1], seed=0, dtype=float), pb.optim.Momentum()
        steps = Steps(net, LOSSES["squared_error"], optimizer)
        return Compiled(steps, optimizer, net, optimizer.init(net), X, VALUES[:, None], None, predictions=False)

    def take(fast, count, rates):
        """Until so many steps are taken, or one is bad."""
        done, taken = 0, None
        while done < count:
            taken = fast.take(order[done * 10 :], 10, count - done, rates[done:], done + 1, lasting)
            done += len(taken.costs)
            if taken.bad:
                break
        return done, taken

    wanted, failing = training(), training()
    assert take(wanted, 7, rates)[0] == 7
    rates[7] = 1e308
    done, taken = take(failing, 10, rates)
    assert done == 7
    assert np.isfinite(taken.bad[:2]).all()
    assert not np.isfinite(taken.bad[2])
    for net in (failing.net(), taken.after(0)):
        for a, b in zip(leaves(net), leaves(wanted.net()), strict=True):
            assert np.array_equal(a, b)


def test_a_callback_that_writes_into_the_network_given_spoils_no_way_back(monkeypatch):
    """Its arrays are what a large training goes back to, but not where a callback could write into them."""
    monkeypatch.setattr("payback.train.compiled.SMALL", 0)
    told = []
    monkeypatch.setattr("payback.train.fit.tell", lambda problem, bad, at, *rest: told.append(leaves(at.net)))

    @dataclass(frozen=True)
    class Jump(pb.optim.Schedule):
        def __call__(self, step, steps):
            return 1e308 if step == 12 else 0.01

    for spoil in (False, True):
        net = pb.nn.MLP([5, 300, 300, 1], seed=0, dtype=float)

        assert flat(net, Momentum()) is None

        def callback(record, now, net=net, spoil=spoil):
            for leaf in leaves(net) if spoil else ():
                leaf[...] = 7.0

        with pytest.raises(NonFiniteError):
            fit(net, X[:100], VALUES[:100], optimizer=Momentum(Jump(0.01)), epochs=5, batch_size=20, validation=0,
                callbacks=[callback])  # fmt: skip
    for a, b in zip(*told, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("callbacks", [(), (lambda record, net: None,)], ids=["alone", "with callbacks"])
@pytest.mark.parametrize("width", [6, 300, 900])
def test_the_network_given_stays_as_it_is(width, callbacks):
    """As one vector, as arrays that are copied at each call, and as such that are not."""
    net = pb.nn.MLP([5, width, width, 1], seed=0)
    before = [leaf.copy() for leaf in leaves(net)]
    for _ in range(2):
        fit(net, X, VALUES, optimizer=Momentum(1e-3), epochs=3, batch_size=64, validation=0, callbacks=callbacks)
        assert all(np.array_equal(a, b) for a, b in zip(leaves(net), before, strict=True))


@pytest.mark.parametrize("width", [20, 80, 600])
def test_the_network_of_a_run_holds_arrays_of_its_own(width):
    X = np.random.default_rng(0).normal(size=(64, width)).astype(np.float32)
    net = pb.nn.MLP([width, width, 3], seed=0)
    run = pb.fit(net, X, X[:, :3].copy(), loss="squared_error", epochs=2, validation=0, progress=False)
    for old, new in zip(leaves(net), leaves(run.net), strict=True):
        assert not np.shares_memory(old, new)
        assert new.flags.writeable
        assert new.base is None or new.base.dtype == new.dtype  # a part of the vector of all parameters, at the most
