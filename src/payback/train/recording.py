"""Recording a training: what `fit(record=...)` writes while it runs.

Off by default, and nothing of it is in the training then.  With it, native steps are still the same program on the same
arrays, only called one at a time, so a recorded training has the same bits as one that is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from payback import __version__, native
from payback.errors import InputError
from payback.io.model import check_folder
from payback.io.network import describe
from payback.io.runs import (
    FORMAT,
    VERSION,
    Document,
    End,
    Epoch,
    Failed,
    Step,
    Writer,
    clear,
    digest,
    place,
    start_name,
)
from payback.io.training import describe_optimizer
from payback.nn.module import parameters
from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves
from payback.train.compiled import Compiled, Taken

Array = np.ndarray[Any, Any]
Moment = Callable[[], tuple[Any, Any]]  # network and state, made when they are asked for
STORED = 256 * 2**20  # bytes of rows that are stored without being asked for
STATES = 32  # states of a training that runs to its last epoch, unless told otherwise
FLUSH = 0.5  # seconds between the times that lines go to the disk


@dataclass(frozen=True)
class Recording:
    """How a training is recorded, for `pb.fit(record=…)`; a folder alone means the defaults.

    folder: new, or empty, or overwrite=True.  every: steps from one whole state to the next; by default about 32 states
    in all.  data: store the rows that are trained on; by default up to 256 MiB.  Without them, `pb.open_run` asks for
    the same rows again.  numbers: what the rows of X are called, (n,) whole numbers; by default 0, 1, …
    """

    folder: str | Path
    every: int | None = None
    data: bool | None = None
    overwrite: bool = False
    numbers: Any = None

    def __post_init__(self) -> None:
        every = self.every
        if every is not None and (isinstance(every, bool) or not isinstance(every, (int, np.integer)) or every < 1):
            raise InputError(f"every is {every!r}", why="it is a number of steps, from 1 up")
        if not isinstance(self.folder, (str, Path)):
            raise InputError(f"record is {self.folder!r:.60}", why="it is the folder to record into")


def recording(record: Any) -> Recording | None:
    """What `record=` means.  Raises InputError for a folder that cannot be recorded into."""
    if record is None:
        return None
    made = record if isinstance(record, Recording) else Recording(record)
    check_folder(made.folder, made.overwrite, "the run")
    return made


def clear_for_starts(options: Recording) -> None:
    """Make room for the recordings of several trainings.  Raises InputError where that cannot be."""
    check_folder(options.folder, options.overwrite, "the run")
    try:
        clear(Path(options.folder))
    except OSError as problem:
        raise InputError("the run cannot be recorded", where=str(options.folder), why=problem.strerror) from None


def start_of(options: Recording, k: int) -> Recording:
    """How the k-th of several trainings is recorded, from 1: in a folder of its own."""
    return replace(options, folder=Path(options.folder) / start_name(k))


def arrays_of(net: Any, state: Any) -> dict[str, Array]:
    """Parameters by their names, and what the optimizer keeps beside each: `layers[0].weight:0`, ..."""
    named = {name: np.asarray(p) for name, p in parameters(net).items()}
    made = dict(named)
    for name, slots in zip(named, state, strict=False):
        if isinstance(slots, tuple):
            made |= {f"{name}:{k}": np.asarray(slot) for k, slot in enumerate(slots)}
    return made


def weights_digest(net: Any) -> str:
    return digest(np.asarray(p) for p in leaves(net))


def rows_digest(rows: Array | None) -> str:
    """The digest of a batch's row numbers; None: all rows as they stand."""
    return "all" if rows is None else digest([np.asarray(rows, np.int64)])[:16]


class Recorder:
    """A training that is being recorded.  `step` is told every step, applied or not, `epoch` and `end` the rest."""

    def __init__(
        self,
        options: Recording,
        net: Any,
        state: Any,
        *,
        loss: str | None,
        optimizer: Optimizer,
        settings: Mapping[str, Any],
        data: Mapping[str, Array],
        steps: int,
        first: int = 0,
        native_steps: bool,
    ):
        data = dict(data)
        if options.numbers is not None:
            data["numbers"] = np.asarray(options.numbers, np.int64)[data["numbers"]]
        size = sum(array.nbytes for array in data.values())
        self.every = int(options.every or max(1, -(-steps // STATES)))
        document = Document(
            FORMAT, VERSION, __version__, describe(net),
            {name: place(np.asarray(p)) for name, p in parameters(net).items()}, loss, describe_optimizer(optimizer),
            dict(settings), {name: place(array) for name, array in data.items()},
            options.data if options.data is not None else size <= STORED, native_steps, native.host(native_steps),
            first, self.every,
        )  # fmt: skip
        self.folder = Path(options.folder)
        self._writer = Writer(self.folder, document, data)
        self._n, self._epochs, self._told = first, 0, monotonic()
        self._written = first
        self._weights = weights_digest(net)
        self._writer.state(first, arrays_of(net, state), self._weights)
        self._now: Moment = lambda: (net, state)

    def step(
        self, rows: Array | None, size: int, rate: float, told: tuple[Any, ...], weights: list[Array], after: Moment,
        before: Moment,
    ) -> None:  # fmt: skip
        """One step; told: its cost, the gradient's norm, its length; weights: after it; after, before: (net, state)."""
        cost, norm, length = (float(number) for number in told)
        where = self._n + 1, self._epochs + 1, rows_digest(rows), size, float(rate)
        if not np.isfinite([cost, norm, length]).all():  # it is not applied
            self._keep(*before())
            self._writer.line(Failed(*where, *(_number(number) for number in (cost, norm, length))))
            self._writer.flush()
            return
        self._n += 1
        self._now = after
        self._weights = digest(weights)
        self._writer.line(Step(*where, cost, norm, length, self._weights))
        if self._n % self.every == 0:
            self._keep(*after())
        elif monotonic() - self._told > FLUSH:
            self._writer.flush()
            self._told = monotonic()

    def keep(self, net: Any, state: Any) -> None:
        """Write the state now.  Raises InputError if it cannot be written."""
        self._keep(net, state)
        self.flush()

    def flush(self) -> None:
        self._writer.flush()

    def _keep(self, net: Any, state: Any) -> None:
        if self._n != self._written:
            self._writer.state(self._n, arrays_of(net, state), weights_digest(net))
            self._written = self._n

    def epoch(self, record: Mapping[str, Any]) -> None:
        self._epochs += 1
        self._writer.line(Epoch({name: _number(value) for name, value in record.items()}))
        self._writer.flush()

    def end(self, stopped: str, best_epoch: int) -> None:
        """The last line.  Raises InputError if it cannot be written."""
        net, state = self._now()
        if weights_digest(net) == self._weights:  # Ctrl-C may have come between a step and its line
            self._keep(net, state)
        self._writer.line(End(stopped, best_epoch, self._n))
        self._writer.flush()


def _number(value: Any) -> Any:
    """A number as JSON has it: NaN and infinities as texts."""
    return str(float(value)) if isinstance(value, (float, np.floating)) and not np.isfinite(value) else value


class Watched:
    """A compiled training that takes one step a call and tells a recorder of it."""

    def __init__(self, fast: Compiled, recorder: Recorder):
        self.fast, self.recorder = fast, recorder
        self.net, self.now, self.last = fast.net, fast.now, fast.last
        self.apart, self.ready = fast.apart, fast.ready

    def take(
        self, order: Array | None, size: int, steps: int, rates: Array, first: int, lasting: bool = True
    ) -> Taken:  # fmt: skip
        """What `Compiled.take` does."""
        rows = None if order is None else order[:size]
        taken = self.fast.take(rows, size, 1, rates[:1], first, lasting)
        told = taken.bad or (taken.costs[0], taken.norms[0], taken.lengths[0])
        self.recorder.step(rows, size, float(rates[0]), told, self.fast.weights(), self.fast.now, self.fast.now)
        return taken
