"""Going on with a training that ended, as if it had not."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.io.runs import place
from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves, paths
from payback.train.epochs import Progressing, same
from payback.train.history import History
from payback.train.rows import Rows

if TYPE_CHECKING:
    from payback.train.runs import RecordedRun

Array = np.ndarray[Any, Any]
MIN_ROWS_TO_STOP = 100  # a smaller validation part is too noisy to decide when to stop
WORDS = 512  # of a row of `marks`
TOLD = ("loss", "dtype", "rows", "validation_rows", "batch_size", "shuffle", "seed")  # what must be told again


@dataclass(frozen=True)
class Standing:
    """Where a training stood when it ended.

    net, state  after `step` steps
    taken       what was told of the steps since the last whole epoch, a row each
    kept, epoch the network that the run keeps, and the epoch that it is of; 0: it has kept none
    watched     the column of the history that decides which network is kept
    native      whether steps ran as machine code
    other_rows  what is not the same in rows that are given again, or None
    marks       of net and state
    """

    net: Any
    state: Any
    step: int
    taken: Array
    history: History
    kept: Any
    epoch: int
    watched: str
    optimizer: Optimizer
    settings: dict[str, Any]
    native: bool
    other_rows: Callable[[Rows], str | None]
    marks: str

    def check(
        self, net: Any, rows: Rows, optimizer: Optimizer, settings: dict[str, Any], watched: str, native: bool
    ) -> None:
        """Raises InputError unless a training with all this begins as this one did."""
        if self.marks != marks(leaves((self.net, self.state))):
            raise InputError("the training to go on with is not as it ended", why="its arrays were changed since")
        begun, given = _structure(self.net), _structure(net)
        if begun != given:
            name, was, now = next(
                (name, *pair) for name in [*begun, *given] if (pair := (begun.get(name), given.get(name)))[0] != pair[1]
            )
            raise _other(f"{name} is {now or 'not there'}", f"it was {was or 'not there'}", "the same network")
        if not _same(optimizer, self.optimizer):
            name, now, was = _apart("the optimizer", optimizer, self.optimizer)
            raise _other(f"{name} is {now!r:.200}", f"it was {was!r:.200}", "the same one")
        for name in TOLD:
            if settings[name] != self.settings[name]:
                raise _other(f"{name} is {settings[name]!r:.80}", f"it was {self.settings[name]!r:.80}", "the same")
        if (found := self.other_rows(rows)) is not None:
            raise _other(f"{found} holds other rows", "their digest is another one", "the same rows")
        if watched != self.watched:
            raise _other(
                f"the network is kept by its {watched}",
                f"it was by its {self.watched}",
                "a patience where there was one",
            )
        if native != self.native:
            how = ["the interpreter", "machine code"]
            raise _other(f"steps are taken by {how[native]}", f"they were by {how[self.native]}",
                         "set or unset PAYBACK_NATIVE as it was, and steps of the same kind")  # fmt: skip
        done, epochs = len(self.history) + bool(len(self.taken)), settings["epochs"]
        if epochs < done:
            raise InputError(f"epochs is {epochs} in a training that went through {done}",
                             why="it counts those before as well", fix=f"give epochs={done} or more")  # fmt: skip
        if epochs == self.settings["epochs"]:
            return
        a, b = (optimizer.schedule.rates(0, self.step, told["epochs"] * -(-told["rows"] // told["batch_size"]))
                for told in (self.settings, settings))  # fmt: skip
        if not np.array_equal(a, b):
            raise InputError(
                f"with epochs={epochs} the schedule has other lengths for the steps that were taken",
                why=f"it was to end after {self.settings['epochs']} epochs",
                fix=f"give epochs={self.settings['epochs']}, or begin a training of its own",
            )


def standing(resume: Any) -> Standing | None:
    """What `resume=` means.  Raises InputError for what cannot be gone on with; as `pb.open_run` for a folder."""
    if resume is None:
        return None
    if isinstance(resume, (str, Path)):
        from payback.train.runs import open_run

        resume = open_run(resume)
    if not hasattr(type(resume), "standing"):
        raise InputError(f"resume is {resume!r:.60}", why="it is a run, or the folder of a recorded one")
    found = resume.standing
    if found is None:
        raise InputError("there is nothing to go on with", why="the training was cut short within a step, or its cost "
                         "became NaN or infinite", fix="begin a training of its own from run.net")  # fmt: skip
    made: Standing = found
    return made


def progressing(before: Standing) -> Progressing:
    """A training that is where this one ended."""
    at = Progressing(before.net, before.state, history=History([dict(record) for record in before.history]))
    at.step, at.taken = before.step, (before.step - len(before.taken), before.taken)
    if before.epoch:
        at.best = before.history[before.epoch - 1][before.watched], before.epoch, partial(same, before.kept)
    return at


def ended(
    at: Progressing, net: Any, state: Any, run: Any, watched: str, optimizer: Optimizer, native: bool, rows: Rows
) -> Standing:
    """Where a training stands that comes to this run.  net, state: as they are after its last step."""
    begun, taken = at.taken
    return Standing(
        net, state, at.step, np.array(taken[at.told - begun :]), History(at.history.records), run.net, run.best_epoch,
        watched, optimizer, run.settings, native, partial(other_rows, rows_marks(rows)), marks(leaves((net, state))),
    )  # fmt: skip


def recorded(run: RecordedRun, data: dict[str, Any]) -> Standing:
    """Where a recorded training stands at the end of its last whole epoch.  data: digests of its rows, by name."""
    history, settings, optimizer = run.history, run.settings, run.optimizer
    rows = settings["validation_rows"]
    watched = "validation_loss" if rows >= MIN_ROWS_TO_STOP and settings["patience"] is not None else "loss"
    last, epoch, kept = history[-1]["step"] if history.records else 0, 0, None
    if history.records:
        costs = history[watched]
        if watched == "loss":  # of epochs before this recording the networks are gone, and only Ctrl-C asks for them
            costs = [c if record["step"] >= run.first else np.inf for c, record in zip(costs, history, strict=True)]
        epoch = run.best_epoch or 1 + int(np.argmin(costs))
        kept = run.after_epoch(epoch).net if epoch != len(history) else None
    now = run.step(last)
    state = now.state
    if optimizer.line_search and last:
        state = (2 * history[-1]["rate"],)  # where the next search begins
    return Standing(
        now.net, state, last, np.empty(0), history, now.net if kept is None else kept, epoch, watched, optimizer,
        settings, not run.interpreted, partial(_other_recorded, data), marks(leaves((now.net, state))),
    )  # fmt: skip


def _other_recorded(known: dict[str, Any], rows: Rows) -> str | None:
    found = {name: place(array) for name, array in rows.named().items()}
    return next((name for name in [*known, *found] if name != "numbers" and known.get(name) != found.get(name)), None)


def marks(arrays: Iterable[Any]) -> str:
    """A digest of arrays at the speed of memory: of the sums of their rows of 512 words, and of the columns of these.

    It tells arrays that were taken for each other, or changed, from those that were not; it is no seal.

    >>> marks([np.arange(3)]) == marks([np.arange(3)]), marks([np.arange(3)]) == marks([np.arange(3)[::-1]])
    (True, False)
    """
    found = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array)
        found.update(f"{plain.dtype.str}{plain.shape}".encode())
        data = plain.reshape(-1).view(np.uint8)
        whole = data.size // (8 * WORDS) * (8 * WORDS)
        words = data[:whole].view(np.uint64).reshape(-1, WORDS)
        for start in range(0, len(words), WORDS):
            part = words[start : start + WORDS]
            found.update(part.sum(0))
            found.update(part.sum(1))
        found.update(data[whole:].data)
    return found.hexdigest()


def rows_marks(rows: Rows) -> dict[str, str]:
    """Of the rows of a training and those held out, by name."""
    return {name: marks([array]) for name, array in rows.named().items() if name != "numbers"}


def other_rows(known: dict[str, str], rows: Rows) -> str | None:
    """The first array whose marks are not those known, if there is one."""
    found = rows_marks(rows)
    return next((name for name in [*known, *found] if known.get(name) != found.get(name)), None)


def _same(a: Any, b: Any) -> bool:
    try:
        return a is b or (type(a) is type(b) and bool(vars(a) == vars(b)))
    except (ValueError, TypeError):  # what an optimizer of the caller's own may hold
        return False


def _equal(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except (ValueError, TypeError):
        return False


def _apart(name: str, a: Any, b: Any) -> tuple[str, Any, Any]:
    """What of two that differ does, as deep as their fields tell: its name, and both."""
    if type(a) is type(b) and hasattr(a, "__dict__") and vars(a).keys() == vars(b).keys():
        for field in vars(a):
            if not _equal(vars(a)[field], vars(b)[field]):
                return _apart(f"{name}'s {field}", vars(a)[field], vars(b)[field])
    return name, a, b


def _structure(net: Any) -> dict[str, str]:
    """The parameters, by name, and all else that the network is made of."""
    made = {f"the parameter {name.lstrip('.')}": f"{leaf.dtype}{list(leaf.shape)}"
            for name, leaf in zip(paths(net), leaves(net), strict=True)}  # fmt: skip
    return made | {"the network": _told(net)}


def _told(tree: Any) -> str:
    """A container without its numbers: classes, and what their fields hold beside parameters."""
    if isinstance(tree, (np.ndarray, np.generic)):
        return "_"
    if isinstance(tree, (list, tuple)):
        return f"{type(tree).__name__}({', '.join(map(_told, tree))})"
    if isinstance(tree, dict):
        return f"{{{', '.join(f'{key!r}: {_told(part)}' for key, part in tree.items())}}}"
    if hasattr(tree, "__dict__") and not callable(getattr(tree, "__code__", None)) and not isinstance(tree, type):
        return f"{type(tree).__qualname__}({', '.join(f'{name}={_told(part)}' for name, part in vars(tree).items())})"
    if isinstance(tree, (bool, int, float, complex, str, bytes, type(None))):
        return repr(tree)
    return str(getattr(tree, "__qualname__", type(tree).__qualname__))


def _other(what: str, why: str, fix: str) -> InputError:
    return InputError(f"{what} where the training goes on", why=why, fix=f"give {fix}, or begin a training of its own")
