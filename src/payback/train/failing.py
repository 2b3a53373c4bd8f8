"""A step whose numbers are not finite: where they were born, and what is needed to take it again."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from payback import native
from payback.errors import InputError, NonFiniteError, PaybackError
from payback.train.recording import Recorder, Recording
from payback.train.replay import Batch
from payback.train.rows import Rows
from payback.train.step import Steps

ON_NAN = ("refuse", "explain")


class BadStep(NamedTuple):
    """The step that was not applied.  rows: of its batch; None: all."""

    rows: Any
    rate: float
    cost: float
    norm: float
    length: float


class Failing(NamedTuple):
    """A training at its bad step: n is the number of the last good one, after which net and state are."""

    net: Any
    state: Any
    n: int
    rows: Rows
    steps: Steps
    named: str | None
    settings: dict[str, Any]

    @property
    def loss(self) -> Callable[..., Any]:
        return self.steps.loss

    def held(self) -> Batch:
        """The rows that are held out."""
        assert self.rows.held is not None
        X, y, weights = self.rows.held
        return Batch(self.n, np.arange(len(X)), X, y, weights, of="the rows held out")

    def batch(self, rows: Any) -> Batch:
        X, y, weights, _, numbers = self.rows
        some = slice(None) if rows is None else rows
        key = None if self.steps.draws is None else self.steps.draws.key(self.n + 1)
        return Batch(self.n + 1, numbers[some], X[some], y[some], None if weights is None else weights[some], key)


def check_on_nan(on_nan: Any) -> None:
    if not isinstance(on_nan, str) or on_nan not in ON_NAN:
        raise InputError(f"on_nan is {on_nan!r:.40}", why=f"it is {' or '.join(map(repr, ON_NAN))}")


def tell(problem: NonFiniteError, bad: BadStep | None, at: Failing, recorder: Recorder | None, on_nan: str) -> None:
    """Have the error say where the numbers were born; with "explain" keep the step and print its whole story.

    bad: None where the steps are finite and the cost of the rows held out is not.
    The weights are the training's own, to the bit; the step is looked at in the interpreter, on the unsimplified graph.
    problem.origins: what `pb.why_nan` found.  problem.folder: a run folder, which has the step.
    """
    from payback.train.explanations import agreement, evaluation, why

    batch = at.held() if bad is None else at.batch(bad.rows)
    try:
        found = why(at.loss, at.net, batch, None if bad is None else (bad.rate, bad.norm, bad.length))
    except PaybackError as other:  # the loss or the network cannot be looked into: the error is told as it is
        problem.add_note(f"where it was born could not be found out: {other}")
        return
    problem.origins = found.origins  # type: ignore[attr-defined]
    if found.origins:
        first = found.origins[0]
        problem.why = str(first)
        if first.row.startswith("row ") and first.count * len(batch.X) <= first.size:  # no more than that row
            problem.fix = f"look at {first.row}; if it is as it should be, {problem.fix}"
        if first.phase == "step":
            problem.what = problem.what.replace("the gradient became", "the norm of the gradient became")
            problem.fix = f"give {first.cure}"
        if first.cure and first.place is not None:  # in a line of the user's
            problem.fix = f"{problem.fix}; {first.cure}"
    if on_nan == "refuse":
        return
    if recorder is not None:
        folder = recorder.folder
        recorder.keep(at.net, at.state)
    else:
        folder = _kept(bad, at, batch)
    problem.folder = folder  # type: ignore[attr-defined]
    applied = ", which was not applied" if bad is not None else ""
    lines = [f"{problem.what} ({problem.where}){applied}", str(found)]
    if native.available():
        both = agreement(evaluation(at.loss, at.net, batch, True), evaluation(at.loss, at.net, batch, False))
        bound = f"machine code and the interpreter are {both.worst:.2g} apart on this step, bound {both.tolerance:.0g}"
        lines.append(bound if not both.parted else f"{bound}: {both}")
    again = "why_nan()" if bad is not None else "why_nan(held=True)"
    lines.append(f"the step is kept in {folder}: pb.open_run({str(folder)!r}).{again} tells this again")
    print("\n".join(lines), file=sys.stderr)


def _kept(bad: BadStep | None, at: Failing, batch: Batch) -> Path:
    """A run folder of its own that has this step alone, in a private temporary place."""
    folder = Path(tempfile.mkdtemp(prefix="payback-nan-"))
    size = len(batch.X)
    rows = Rows(batch.X, batch.y, batch.weights, at.rows.held if bad is None else None, batch.samples)
    settings = at.settings | {"batch_size": size, "rows": size, "shuffle": False, "validation": None, "epochs": 1}
    recorder = Recorder(
        Recording(folder, every=1, data=True), at.net, at.state, loss=at.named, optimizer=at.steps.optimizer,
        settings=settings, data=rows.named(), steps=1, first=at.n, native_steps=native.available(),
    )  # fmt: skip
    if bad is None:
        recorder.flush()
        return folder
    told = bad.cost, bad.norm, bad.length
    recorder.step(None, size, bad.rate, told, [], lambda: (at.net, at.state), lambda: (at.net, at.state))
    return folder
