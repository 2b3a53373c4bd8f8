"""Recorded trainings: every step of them can be had again, to the bit.

`open_run` reads what `fit(record=…)` wrote.  A step is restored by running the same native program from the nearest
state that was written, on the same rows in the same order, and the digest of its weights must be the one in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from payback import __version__, native, random
from payback.errors import InputError, ModelFileError
from payback.io import runs as files
from payback.io.model import network_of
from payback.io.training import CUSTOM, build_optimizer
from payback.nn.module import parameters
from payback.optim.optimizers import Optimizer
from payback.trace.tree import unflatten
from payback.train.history import History
from payback.train.recording import rows_digest, weights_digest
from payback.train.replay import Batch, Interpreted, Log, Native, Searched
from payback.train.resume import Standing, recorded
from payback.train.rows import Rows, loss_function, training_rows
from payback.train.step import Draws, Steps, draws_of

if TYPE_CHECKING:
    from payback.glass.bisect import Parting
    from payback.glass.evaluation import Evaluation
    from payback.glass.explain import Wrt
    from payback.glass.findings import Diagnosis
    from payback.glass.ledger import Ledger
    from payback.glass.statement import Statement
    from payback.glass.why_nan import WhyNan
    from payback.transforms.argnums import ArgNums

Array = np.ndarray[Any, Any]
STRETCH = 64  # steps of a replay in one native call, at most


class Restored(NamedTuple):
    """The training after n steps: the network, the optimizer's arrays, and the digest of the weights."""

    n: int
    net: Any
    state: Any
    weights: str


class RecordedRun:
    """A training as it was recorded.

    history      one record an epoch, as in the run itself
    steps        the numbers of every step: epoch, rate, cost, norm (of the gradient), length
    finished     whether it came to its end; a run that is still being written, or was cut short, can be read too
    stopped      why it ended, None for a run without an end; best_epoch: whose weights it kept
    failed       the step that was not applied because a number of it is not finite, or None
    settings     what the training was told; optimizer: how its steps were taken
    """

    def __init__(
        self,
        read: files.Read,
        *,
        data: tuple[Any, ...] | None = None,
        loss: Callable[..., Any] | None = None,
        optimizer: Optimizer | None = None,
        like: Any = None,
    ):
        self.folder, self._document = read.folder, read.document
        document = read.document
        self.settings: dict[str, Any] = document.settings
        for name, kind in (("batch_size", int), ("seed", int), ("shuffle", bool)):
            if type(self.settings.get(name)) is not kind or (kind is int and self.settings[name] < (name != "seed")):
                raise ModelFileError(f"the run has no {name} that can be", where=str(self.folder / files.DOCUMENT))
        self.first = document.first
        self.steps = Log([line for line in read.lines if isinstance(line, files.Step)], document.first)
        self.history = History([_epoch(line.record) for line in read.lines if isinstance(line, files.Epoch)])
        self._states = {line.n: line for line in read.lines if isinstance(line, files.State)}
        self.failed: files.Failed | None = next((x for x in read.lines if isinstance(x, files.Failed)), None)
        end = next((line for line in read.lines if isinstance(line, files.End)), None)
        self.finished = end is not None
        self.stopped = end.stopped if end else None
        self.best_epoch = end.best_epoch if end else None
        if not self._states:
            raise ModelFileError("the run has no state", where=str(self.folder), why="it was cut short at its start")
        self._like = network_of(document.network, self.folder, like, "pb.open_run")
        self._data = data
        self._rows: Rows | None = None
        self._now: Restored | None = None
        self._loss = loss_function(_given("loss", document.loss is None, loss) or document.loss)[1]  # type: ignore[arg-type]
        own = _given("optimizer", CUSTOM in document.optimizer, optimizer)
        self.optimizer: Optimizer = own or build_optimizer(document.optimizer)
        self._begins: dict[int, int] = {}  # the number of steps before each epoch
        resumed = self.settings.get("resumed", 0)
        for step in self.steps:
            self._begins.setdefault(step.epoch, step.n - 1 - (resumed if step.n - 1 == self.first else 0))
        self._epoch: tuple[int, list[Array | None]] = (0, [])
        self._traced: Steps | None = None

    def evaluation(self, n: int, *, native: bool = False) -> Evaluation:
        """The cost of step n and its gradient by the network, node by node, on the unsimplified graph.

        The weights are those of before the step, restored as by `step`; n may be the step that failed.
        native: each node by machine code, else by the interpreter.  Raises as `batch` and `step` do.
        """
        # it loads the glass box, a tenth of a second that only those pay who ask; so below
        from payback.train.explanations import evaluation

        return evaluation(self.loss, self.step(n - 1).net, self.batch(n), native)

    def agreement(self, n: int) -> Parting:
        """Machine code beside the interpreter on step n, within 1e-12 (float64) or 1e-5 (float32), relative."""
        from payback.train.explanations import agreement

        return agreement(self.evaluation(n, native=True), self.evaluation(n))

    def why_nan(self, n: int | None = None, *, held: bool = False) -> WhyNan:
        """Where what is not finite in step n was born; by default in the step that failed.

        held: in the cost of the rows held out, by the weights after step n; by default after the last one.
        Raises InputError for a run in which no step failed, or without such rows, and as `batch` and `step` do.
        """
        from payback.train.explanations import why

        if held:
            X, y, weights = self._held()
            now = self.step(len(self) if n is None else n)
            return why(self.loss, now.net, Batch(now.n, np.arange(len(X)), X, y, weights, of="the rows held out"))
        if n is None:
            if self.failed is None:
                raise InputError("no step of the run failed",
                                 fix="give the number of a step, or held=True for the rows held out")  # fmt: skip
            n = self.failed.n
        told = self._line(n)
        return why(self.loss, self.step(n - 1).net, self.batch(n), (told.rate, told.norm, told.length))

    def _held(self) -> tuple[Array, Array, Array | None]:
        if self.rows.held is None:
            raise InputError("the run held no rows out", why="there was no validation part")
        X, y, weights = self.rows.held
        return X, y, weights

    def explain(self, n: int, *, wrt: Wrt = None, argnums: ArgNums | None = None) -> Ledger:
        """The ledger of step n; wrt, argnums: as for `pb.explain`, of (net, X, y, weights), by default the network.

        Raises as `batch` and `step` do, and as `pb.explain`.
        """
        from payback.train.explanations import ledger

        return ledger(self.loss, self.step(n - 1).net, self.batch(n), wrt, argnums)

    def diagnose(self) -> Diagnosis:
        """What keeps this training from what it is for, in rows, loss, network and steps: where, why, what helps.

        Nine steps are taken again; the result prints itself.  Raises as `batch` and `step` do.
        """
        from payback.train.diagnosis import diagnose

        return diagnose(self)

    def svg(self) -> str:
        """The run as a picture for papers (SVG): the cost and the gradient's norm of every step."""
        from payback.train.explanations import picture

        return picture(self)

    def __len__(self) -> int:
        """The number of the last step that was applied."""
        return self.first + len(self.steps)

    def __repr__(self) -> str:
        how = self.stopped or ("a cost that is not finite" if self.failed else "no end")
        return f"RecordedRun({self.folder}: {len(self)} steps, {len(self.history)} epochs, stopped: {how})"

    @property
    def loss(self) -> Callable[..., Any]:
        """The loss as a function (prediction, target, weights) -> scalar."""
        return self._loss

    @property
    def loss_name(self) -> str | None:
        """The name of a loss of payback's own; None for a function of somebody's."""
        return self._document.loss

    @property
    def interpreted(self) -> bool:
        """Whether the training ran without machine code."""
        return not self._document.native

    @property
    def first_net(self) -> Any:
        """The network as the training began."""
        return self._load(min(self._states)).net

    def account(self, name: str, entry: Any = (), *, start: int | None = None, stop: int | None = None) -> Statement:
        """The statement of one weight: opening + every deposit, by step and sample, = closing.

        name: a parameter's path, such as "layers[0].weight", or its letter: W1 is the first layer's weight, and
        W1[i, j] leads from input i to output j.  entry: its index, from 0.
        start, stop: after which steps the account opens and closes; by default the whole training.
        A deposit is a sample's own share of the gradient at a step, with all that momentum carries of it later.
        Returns a `payback.glass.statement.Statement`.  Raises InputError for an entry that there is not,
        UnsupportedError for an optimizer that is not payback's own, LedgerError if the statement does not add up.
        """
        from payback.train.explanations import statement

        return statement(self, name, entry, start, stop)

    @property
    def net(self) -> Any:
        """The network that the run kept; of a run without an end, the last one.

        Raises as `step` does, and InputError where that network was there before this recording began.
        """
        # a run that ended before its first epoch did has kept where it was
        return (self.after_epoch(self.best_epoch) if self.best_epoch else self.step(len(self))).net

    def after_epoch(self, epoch: int) -> Restored:
        """The training after an epoch of its history, as by `step`."""
        n = int(self.history[epoch - 1]["step"])
        if n < self.first:
            raise InputError(f"the network of epoch {epoch} is not in this recording", where=str(self.folder),
                             why=f"it goes on with a training after step {self.first}",
                             fix="open the one before")  # fmt: skip
        return self.step(n)

    @property
    def standing(self) -> Standing:
        """What `fit(resume=run)` goes on from: the end of the last whole epoch.  Raises as `step` and `net` do."""
        return recorded(self, self._document.data)

    @property
    def rows(self) -> Rows:
        """The rows as they were trained on.  Raises InputError where they are not stored and were not given."""
        if self._rows is None:
            self._rows = self._stored() if self._document.stored else self._brought()
        return self._rows

    def batch(self, n: int) -> Batch:
        """The rows of step n, from 1; of the step that failed too.  Raises InputError for a step that there is not."""
        line = self._line(n)
        rows, draws = self._rows_of(line), self._draws
        X, y, weights, _, numbers = self.rows
        key = None if draws is None else draws.key(n)
        if rows is None:
            return Batch(n, numbers, X, y, weights, key)
        return Batch(n, numbers[rows], X[rows], y[rows], None if weights is None else weights[rows], key)

    @cached_property
    def _draws(self) -> Draws | None:
        return draws_of(self._like, self.rows.X, self.settings["seed"])

    def step(self, n: int) -> Restored:
        """The training after n steps, computed again from the nearest state; n = 0: before the first.

        Raises InputError for a step that there is not, or that this machine cannot compute as it was;
        ModelFileError where the weights are not those of the log.
        """
        n = self._number(n, self.first)
        start = max(m for m in self._states if m <= n)
        if self._now is not None and start <= self._now.n <= n:
            start = self._now.n
        *_, restored = self._walk(start, n, STRETCH)
        return restored

    def walk(self, start: int | None = None, stop: int | None = None) -> Iterator[Restored]:
        """The training before step start + 1, after it, and so on to after step stop, each restored as by `step`."""
        first = self._number(self.first if start is None else start, self.first)
        last = self._number(len(self) if stop is None else stop, self.first)
        if last < first:
            raise InputError(f"the steps from {first} to {last} are none", why="the first comes after the last")
        self._now = self.step(first)
        yield from self._walk(first, last, 1)

    def _walk(self, start: int, stop: int, stretch: int) -> Iterator[Restored]:
        """States from `start`, which is written or was the last one restored, to `stop`."""
        now = self._now if self._now is not None and self._now.n == start else self._load(start)
        yield now
        if start == stop:
            return
        player = self._player(now)
        while now.n < stop:
            some = self._alike(now.n, min(stop, now.n + stretch))
            player.take([self.steps[k] for k in some], [self._rows_of(self.steps[k]) for k in some])
            net, state = player.copy()
            now = Restored(some[-1], net, state, weights_digest(net))
            if now.weights != self.steps[now.n].weights:
                raise ModelFileError(
                    f"step {now.n} came to other weights than the recorded ones", where=str(self.folder),
                    why=f"it was recorded with payback {self._document.payback}, {self._document.machine}; this is "
                    f"payback {__version__}, {native.host(self._document.native)}",
                    fix="replay it there, or record it here",
                )  # fmt: skip
            self._now = now
            yield now

    def _alike(self, n: int, stop: int) -> list[int]:
        """Numbers of steps after n, up to stop, that one native call can take: batches of one size."""
        size = self.steps[n + 1].size
        some = [n + 1]
        while some[-1] < stop and self.steps[some[-1] + 1].size == size and size < len(self.rows.X):
            some.append(some[-1] + 1)
        return some

    def _player(self, now: Restored) -> Any:
        if self._document.native and not native.available():
            raise InputError("the run was recorded with machine code", where=str(self.folder), why="there is none here",
                             fix="install llvmlite, or unset PAYBACK_NATIVE")  # fmt: skip
        self._traced = self._traced or Steps(
            self._like, self._loss, self.optimizer, self._draws, interpreted=not self._document.native
        )
        searching = bool(self.optimizer.line_search)
        kind = Searched if searching else Native if self._document.native else Interpreted
        return kind(self._traced, now.net, now.state, self.rows, self._document.loss)

    def _number(self, n: Any, least: int) -> int:
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not least <= n <= len(self):
            raise InputError(f"there is no step {n!r:.40}", why=f"the run has the steps {least} to {len(self)}")
        return int(n)

    def _line(self, n: int) -> Any:
        if self.failed is not None and n == self.failed.n:
            return self.failed
        return self.steps[self._number(n, self.first + 1)]

    def _rows_of(self, line: Any) -> Array | None:
        """The row numbers of a step; None: all rows."""
        batches, number = self._batches(line.epoch), line.n - 1 - self._begins.get(line.epoch, len(self))
        rows = batches[number] if 0 <= number < len(batches) else np.empty(0, np.int64)
        if rows_digest(rows) != line.rows:
            raise ModelFileError(f"step {line.n} was taken on other rows", where=str(self.folder),
                                 why="the order that the seed gives is not the recorded one")  # fmt: skip
        return rows

    def _batches(self, epoch: int) -> list[Array | None]:
        """The batches of an epoch as `fit` takes them: without those whose samples all weigh nothing."""
        if self._epoch[0] != epoch:
            n, size, weights = len(self.rows.X), self.settings["batch_size"], self.rows.weights
            batches: list[Array | None] = [None]
            if size < n:
                key = random.fold_in(random.split(random.key(self.settings["seed"]), 2)[1], epoch)
                order = random.permutation(key, n) if self.settings["shuffle"] else np.arange(n)
                parts = [order[start : start + size] for start in range(0, n, size)]
                batches = [p for p in parts if weights is None or weights[p].sum(dtype=float) > 0.0]
            self._epoch = epoch, batches
        return self._epoch[1]

    def _load(self, n: int) -> Restored:
        """A state that was written."""
        line, name = self._states[n], files.state_name(n)
        found = files.read_arrays(self.folder, name, line.digest)
        names = list(parameters(self._like))
        for parameter in names:
            made, wanted = found.get(parameter), self._document.parameters.get(parameter)
            if made is None or wanted is None or (list(made.shape), made.dtype.str[1:]) != (wanted.shape, wanted.dtype):
                raise ModelFileError(f"the parameter {parameter} of step {n} is missing or not like the network's",
                                     where=str(self.folder / name))  # fmt: skip
        net = unflatten(self._like, iter([found[parameter] for parameter in names]))
        slots = range(self.optimizer.slots)
        state = [tuple(found[f"{parameter}:{k}"] for k in slots) for parameter in names]
        if weights_digest(net) != line.weights:
            raise ModelFileError(f"the weights of step {n} are not the recorded ones", where=str(self.folder / name))
        return Restored(n, net, state, line.weights)

    def _stored(self) -> Rows:
        found = files.read_arrays(self.folder, files.DATA)
        self._check_rows(found, "the stored rows", set())
        held = (found["held_X"], found["held_y"], found.get("held_weights")) if "held_X" in found else None
        return Rows(found["X"], found["y"], found.get("weights"), held, found["numbers"])

    def _brought(self) -> Rows:
        if self._data is None:
            raise InputError("the rows of the run are not stored", where=str(self.folder),
                             why="there were too many, or data=False was said",
                             fix="give them again: pb.open_run(RUN, data=(X, y))")  # fmt: skip
        X, y, *rest = self._data
        share = self.settings["validation"]
        key = random.split(random.key(self.settings["seed"]), 2)[0]
        # the network only tells the shape of its results, which its first state does
        net = self._load(min(self._states)).net
        _, _, rows = training_rows(net, X, y, rest[0] if rest else None, self._document.loss or self._loss,
                                   0.0 if share is None else share, key)  # fmt: skip
        # not compared: what the rows were called, and a validation part that was given by itself
        self._check_rows({k: v for k, v in rows.named().items() if k != "numbers"}, "the rows that are given",
                         {"numbers", "held_X", "held_y", "held_weights"})  # fmt: skip
        return rows

    def _check_rows(self, found: dict[str, Array], what: str, optional: set[str]) -> None:
        for name, wanted in self._document.data.items():
            if name not in found and name in optional:
                continue
            if name not in found or files.place(found[name]) != wanted:
                raise ModelFileError(f"{what} are not those of the run", where=str(self.folder),
                                     why=f"the digest of {name} is another one")  # fmt: skip


def _given(name: str, wanted: bool, given: Any) -> Any:
    """What the caller must supply: a function or a class of their own, whose code is in no file."""
    if wanted and given is None:
        raise InputError(f"the run's {name} is not payback's own", why="its code is not in the run, and never would be",
                         fix=f"give it again: pb.open_run(RUN, {name}=…)")  # fmt: skip
    if not wanted and given is not None:
        raise InputError(f"the run has a {name} of its own", fix=f"leave {name}= away")
    return given


def _epoch(record: dict[str, Any]) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, str) else value for name, value in record.items()}


def open_run(
    folder: str | Path,
    *,
    data: tuple[Any, ...] | None = None,
    loss: Callable[..., Any] | None = None,
    optimizer: Optimizer | None = None,
    like: Any = None,
) -> RecordedRun:
    """A training that `pb.fit(record=folder)` or `payback train --record folder` recorded.

    data: (X, y) or (X, y, sample_weight) as they were given to `fit`, for a run whose rows are not stored; digests must
    agree.  loss, optimizer, like: a loss function, an optimizer of your own class, a network of the same structure, for
    a training that had such.
    Returns a RecordedRun.  Raises ModelFileError for a folder that is no run, was damaged or altered; InputError where
    something must be given, or must not.

    >>> import tempfile, numpy as np, payback as pb
    >>> X, folder = np.linspace(-1, 1, 40)[:, None], tempfile.mkdtemp()
    >>> net = pb.nn.MLP([1, 4, 1], seed=0)
    >>> kept = pb.fit(net, X, X[:, 0] ** 2, epochs=3, batch_size=8, validation=0, record=folder)
    >>> run = pb.open_run(folder)
    >>> len(run), run.stopped, run.step(7).n
    (15, 'epochs', 7)
    >>> bool((run.net.layers[0].weight == kept.net.layers[0].weight).all())
    True
    """
    return RecordedRun(files.read_run(folder), data=data, loss=loss, optimizer=optimizer, like=like)


__all__ = ["Batch", "RecordedRun", "Restored", "open_run"]
