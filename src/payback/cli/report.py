"""`payback report RUN`: a recorded training as a page: its map, its curves, the statement of a weight, its steps."""

from __future__ import annotations

import base64
import contextlib
import re
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from payback.cli.options import Out
from payback.cli.pages import check_place, show_page
from payback.cli.subject import entry_of
from payback.cli.target import program
from payback.errors import InputError, PaybackError
from payback.glass.findings import Diagnosis
from payback.glass.page import amount, columns, document
from payback.nn.drawing import training
from payback.nn.module import parameters
from payback.trace.tree import leaves, unflatten
from payback.train.runs import RecordedRun, open_run
from payback.transforms.compile import compile
from payback.transforms.gradient import value_and_grad

COLUMNS, LOOKS, BOOKS, ROWS_SHOWN, MOST_DEPOSITS = 400, 40, 12, 10, 200_000
MOST_STEPS = 200  # that may be asked for
MOST_HELD, MOST_ASKED = 2_000, 50_000  # weights up to which a page holds all numbers of a step, chosen or asked for


def report(
    run: str,
    /,
    *,
    entry: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    steps: str | None = None,
    html: str | None = None,
    loss: str | None = None,
    like: str | None = None,
    open: bool = False,
    out: Out,
) -> None:
    """Show a recorded training as a page: where gradients vanish or explode, what steps did, where a weight is from.

    The run map has a row for each parameter and a column for each step (of long runs every n-th): the size of the
    gradient, of the update beside the weight, and the share of units without a gradient. Then the learning curves,
    the statement of each weight that --entry names, and steps under the microscope: what the gradient promised, how the
    cost of the batch changed, which of its rows cost most, and the account book. Steps are computed again to the bits
    of the run, and their weights must have the digest of its log. The page is one file that needs no network.

    First it says what stands out: dead or saturated units, gradients that vanish or reach nothing, steps too long or
    too short, targets that belong to other rows, and others, each with what helps.

    Parameters
    ----------
    run
        The folder that payback train --record, or pb.fit(record=...), wrote.
    entry
        Weights whose statements the page has, such as W1[3,7]; may be given more than once.
    steps
        Steps to look at besides those that are chosen, with their account books: 37, 1,5,9 or 100-120.
    html
        Where to write the page. By default in a new private temporary folder; the path is printed.
    loss
        The loss function of a training that had one of its own, FILE.py:NAME.
    like
        A network of its structure, for a training of a class of its own, FILE.py:NAME.
    open
        Open it in the browser.
    """
    check_place(html)
    with contextlib.ExitStack() as programs:
        own: dict[str, Any] = {
            name: programs.enter_context(program(text, out)).function
            for name, text in (("loss", loss), ("like", like))
            if text is not None
        }
        recorded = open_run(run, **own)
        found = recorded.diagnose()
        data = gathered(recorded, entry, numbers(steps, recorded) if steps is not None else (), found)
    target = show_page(document(data), html, open and not out.json, "report.html")
    if out.json:
        out.result({"payback": "report", "run": run, "page": str(target), **found.to_json()})
    else:
        for line in str(found).splitlines():
            out.line(line)
        out.line(str(target))


def numbers(text: str, run: RecordedRun) -> tuple[int, ...]:
    """The steps that a text such as 1,5,100-120 names.  Raises InputError for what is none of the run."""
    found: set[int] = set()
    first, last = run.first + 1, len(run)
    for part in text.split(","):
        matched = re.fullmatch(r"\s*(\d{1,12})\s*(?:-\s*(\d{1,12})\s*)?", part)
        if matched is None:
            raise InputError(f"--steps has {part!r:.40}", fix="write numbers of steps, such as 1,5,9 or 100-120")
        start, stop = int(matched[1]), int(matched[2] or matched[1])
        if not first <= start <= stop <= last:
            raise InputError(f"the run has no step {part.strip()}", why=f"it has the steps {first} to {last}")
        if stop - start >= MOST_STEPS or len(found := found | set(range(start, stop + 1))) > MOST_STEPS:
            raise InputError("--steps names too many steps", why=f"a page holds {MOST_STEPS}")
    return tuple(sorted(found))


def gathered(
    run: RecordedRun, entries: tuple[str, ...] = (), steps: tuple[int, ...] = (), found: Diagnosis | None = None
) -> dict[str, Any]:
    """What the page shows.  steps: to look at besides those that are chosen.  found: what stands out."""
    statements = []
    for text in entries:
        named = entry_of(text)
        if named is None:
            raise InputError(f"{text!r:.60} names no entry", fix="write for example W1[3,7] or b1[0]")
        made = run.account(*named)
        if len(made) > MOST_DEPOSITS:
            raise InputError(f"the account of {text} has {len(made):,} deposits", why=f"a page holds {MOST_DEPOSITS:,}",
                             fix="print it with payback account, --start and --stop")  # fmt: skip
        statements.append(made.to_json())
    mapped = _map(run, steps)
    history = run.history
    curves = [
        {"name": name, "values": [amount(value) for value in history[name]]}
        for name in history.columns
        if name not in ("epoch", "step", "seconds")
    ]
    facts = [
        ("steps", f"{len(run) - run.first:,}"),
        ("epochs", f"{len(history):,}"),
        ("stopped", run.stopped or ("a number that is not finite" if run.failed else "no end")),
    ]
    names = ("optimizer", "loss", "batch_size", "rows", "dtype")
    settings = ((name, run.settings[name]) for name in names if name in run.settings)
    facts += [(name, f"{x:,}" if isinstance(x, int) else str(x).partition("(")[0]) for name, x in settings]
    title = f"{str(run.settings.get('optimizer', '')).partition('(')[0]} · {run.folder.name}"
    head = {"kind": "run", "title": title, "facts": facts, "curves": curves, "statements": statements}
    stands = {"learned": "", "findings": []} if found is None else found.to_json()
    return head | mapped | {"failed": _failed(run)} | stands


def _failed(run: RecordedRun) -> dict[str, Any] | None:
    """The step that was not applied, and where what is not finite in it was born, if that can be found out."""
    if run.failed is None:
        return None
    try:
        origins = run.why_nan().origins
    except PaybackError as problem:  # the rows are not stored, say
        return {"n": run.failed.n, "told": str(problem)}
    numbers = ", ".join(f"{name} {getattr(run.failed, name)}" for name in ("cost", "norm", "length"))
    return {"n": run.failed.n, "told": str(origins[0]) if origins else numbers}


def _chosen(first: int, last: int, most: int) -> list[int]:
    """Numbers of steps, evenly from the first to the last, and no more than so many."""
    return sorted({round(n) for n in np.linspace(first, last, min(most, last - first + 1))}) if last >= first else []


def _map(run: RecordedRun, asked: tuple[int, ...]) -> dict[str, Any]:
    """Gradients and updates by parameter and step, and the steps to look at."""
    steps = _chosen(run.first + 1, len(run), COLUMNS)
    looked = set(_chosen(run.first + 1, len(run), LOOKS))
    booked = set(_chosen(run.first + 1, len(run), BOOKS)) | set(asked)
    looked |= booked
    most = max((step.cost for step in run.steps), default=None)
    looked |= {step.n for step in run.steps if step.cost == most}  # the worst of all
    loss = run.loss

    def cost(net: Any, X: Any, y: Any, weights: Any, key: Any) -> Any:
        with training(key):
            prediction = net(X)
        return loss(prediction, y, weights)

    value, both = compile(cost), compile(value_and_grad(cost))
    names: list[str] = []
    gradient: list[list[Any]] = []
    update: list[list[Any]] = []
    dead: list[list[Any]] = []
    looks = []
    for n in sorted({*steps, *looked}):
        before, after, batch = run.step(n - 1), run.step(n), run.batch(n)
        with np.errstate(all="ignore"):
            at_first, slope = both(before.net, batch.X, batch.y, batch.weights, batch.key)
            old, new, slopes = leaves(before.net), leaves(after.net), leaves(slope)
            if not names:
                names = list(parameters(before.net))
                gradient, update, dead = ([[] for _ in names] for _ in range(3))
            if n in steps:
                for k, (a, b, g) in enumerate(zip(old, new, slopes, strict=True)):
                    size = float(np.linalg.norm(a.ravel()))
                    gradient[k].append(amount(float(np.linalg.norm(g.ravel()))))
                    update[k].append(amount(float(np.linalg.norm((b - a).ravel())) / size) if size else None)
                    dead[k].append(float(np.mean(~np.any(g.reshape(-1, g.shape[-1]), axis=0))) if g.ndim else None)
            if n in looked:
                limit = MOST_ASKED if n in asked else MOST_HELD
                held = n in booked and sum(array.size for array in old) <= limit
                costs = partial(value, X=batch.X, y=batch.y, weights=batch.weights, key=batch.key)
                promise = [float(np.sum(g.astype(float) * (b.astype(float) - a))) for a, b, g in
                           zip(old, new, slopes, strict=True)]  # fmt: skip
                looks.append({
                    "n": n, "epoch": run.steps[n].epoch, "before": amount(at_first),
                    "after": amount(value(after.net, batch.X, batch.y, batch.weights, batch.key)),
                    "promise": [amount(part) for part in promise],
                    "alone": _alone(costs, before.net, old, new, float(at_first)),
                    "rows": _rows(value, before.net, batch),
                    "weights": after.weights,
                    "exact": _exact(old, new, slopes) if held else None,
                    "ledger": _book(run, n) if n in booked else None,
                })  # fmt: skip
    return {
        "map": {"rows": names, "steps": steps, "gradient": gradient, "update": update, "dead": dead},
        "looks": looks,
    }


def _alone(cost: Callable[[Any], Any], net: Any, old: list[Any], new: list[Any], before: float) -> list[Any]:
    """How the cost changes if one parameter is updated and the others are not, for each."""
    return [
        amount(float(cost(unflatten(net, iter([*old[:k], new[k], *old[k + 1 :]])))) - before) for k in range(len(old))
    ]


def _exact(before: list[Any], after: list[Any], gradient: list[Any]) -> dict[str, Any] | None:
    """All numbers of a step, from which the page computes digest and promise again; None for mixed dtypes."""
    dtypes = {array.dtype.newbyteorder("<") for array in [*before, *after, *gradient]}
    if dtypes not in ({np.dtype("<f4")}, {np.dtype("<f8")}):
        return None
    dtype = dtypes.pop()
    texts = [[base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode() for array in arrays]
             for arrays in (before, after, gradient)]  # fmt: skip
    return {"dtype": dtype.str, "shapes": [list(array.shape) for array in after],
            **dict(zip(("before", "after", "gradient"), texts, strict=True))}  # fmt: skip


def _book(run: RecordedRun, n: int) -> dict[str, Any]:
    """The ledger of a step, computed again from the weights before it."""
    return {"kind": "ledger", "title": f"step {n}", **columns(run.explain(n))}


def _rows(value: Any, net: Any, batch: Any) -> list[dict[str, Any]]:
    """The rows of a batch that cost most; what is no number first."""
    costs = [
        (float(value(net, batch.X[k : k + 1], batch.y[k : k + 1], None, None)), int(sample))
        for k, sample in enumerate(batch.samples)
    ]
    costs.sort(key=lambda pair: (np.isfinite(pair[0]), -pair[0] if np.isfinite(pair[0]) else 0.0, pair[1]))
    return [{"sample": sample, "cost": amount(cost)} for cost, sample in costs[:ROWS_SHOWN]]
