"""Where two runs part: the first value or adjoint, in the order in which they are computed, that is not the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.glass.evaluation import Evaluation, Record, evaluate, from_nodes, load
from payback.glass.explain import Wrt
from payback.glass.ledger import Ledger

UNITS = 256  # eps of the coarser dtype that two ways of computing the same may be apart
BORN = 16  # times the difference of the operands: from here on a node has made it itself
WAYS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"}, "float64": {"dtype": "float64"}, "native": {"native": True}, "interpreter": {},
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """The same node in both runs.

    number: its place in the sweep.  difference: the largest, relative to the larger run's largest entry (of an adjoint
    by machine code to what that would be if no paths cancelled, which rounding goes by); infinite where only one of
    them is finite.  inherited: the largest difference of its operands.  worst: the entry that differs most.
    """

    number: int
    a: Record
    b: Record
    difference: float
    inherited: float
    worst: tuple[int, ...]

    @property
    def born(self) -> bool:
        """Whether the node has made the difference, rather than been given it by its operands."""
        return self.difference > BORN * self.inherited

    def __str__(self) -> str:
        of = "adjoint of " if self.a.kind == "adjoint" else ""
        place = f" ({self.a.where})" if self.a.where else ""
        entry = f"[{', '.join(map(str, self.worst))}]" if self.worst else ""
        return (f"{of}{self.a.name}{entry}, {self.a.op}{place}: {self.a.value[self.worst]!s} against "
                f"{self.b.value[self.worst]!s}")  # fmt: skip


@dataclass(frozen=True)
class Parting:
    """What a comparison found.

    pairs       the nodes that both runs have, in the order of the sweep, up to where their programs differ
    tolerance   the relative difference that does not count
    programs    (record of a, record of b) where the programs differ, None for the one that has ended; or None
    step        of two recorded trainings: the first step that was not the same in both; the nodes are of its cost
    """

    pairs: tuple[Pair, ...]
    tolerance: float
    programs: tuple[Record | None, Record | None] | None
    step: tuple[Any, Any] | None = None

    @property
    def first(self) -> Pair | None:
        """The first node whose difference counts, or None."""
        return next((pair for pair in self.pairs if pair.difference > self.tolerance), None)

    @property
    def parted(self) -> bool:
        return self.first is not None or self.programs is not None or self.step is not None

    @property
    def worst(self) -> float:
        """The largest difference of all."""
        return max((pair.difference for pair in self.pairs), default=0.0)

    def to_json(self) -> dict[str, Any]:
        """As one object: payback ("bisect"), version (1), parted, tolerance, compared, worst, first, programs."""

        def told(record: Record | None) -> Any:
            return record and {"kind": record.kind, "name": record.name, "op": record.op, "where": record.where}

        first = self.first
        return {
            "payback": "bisect", "version": 1, "parted": self.parted, "tolerance": self.tolerance,
            "compared": len(self.pairs), "worst": _number(self.worst), "step": self.step and self.step[0].n,
            "first": first and {
                **told(first.a), "number": first.number, "difference": _number(first.difference),
                "inherited": _number(first.inherited), "born": first.born, "entry": list(first.worst),
                "a": _number(first.a.value[first.worst].item()), "b": _number(first.b.value[first.worst].item()),
            },
            "programs": self.programs and [told(record) for record in self.programs],
        }  # fmt: skip

    def __str__(self) -> str:
        """What was found, in a few lines.

        >>> print(bisect((lambda x: x * x, 3.0), (lambda x: x * x, 3.0)))
        the runs agree to the bit in all 4 nodes
        """
        first = self.first
        lines = []
        if self.step is not None:
            a, b = self.step
            pairs = [(name, getattr(a, name), getattr(b, name)) for name in ("rows", "rate", "cost", "norm")]
            parts = [f"{name} {one} against {other}" for name, one, other in pairs if one != other]
            lines.append(f"the trainings part at step {a.n}: {', '.join(parts) or 'the weights after it'}")
        if first is not None:
            of = f"its operands were {first.inherited:.2g} apart"
            how = of if not first.born else f"made here, {of}" if first.inherited else "born here"
            lines.append(f"the runs part at node {first.number + 1} of {len(self.pairs)}: {first}")
            lines.append(f"they are {first.difference:.2g} apart, beyond {self.tolerance:.2g}; {how}")
        elif not self.programs:
            if not self.pairs:
                return "the trainings agree to the bit in all steps"
            exact = "to the bit" if self.worst == 0 else f"to {self.worst:.2g}, within {self.tolerance:.2g},"
            lines.append(f"the runs agree {exact} in all {len(self.pairs)} nodes")
        if self.programs is not None:
            a, b = (f"{r.kind} {r.name}, {r.op}{list(r.value.shape) or ''}" + (f" ({r.where})" if r.where else "")
                    if r else "nothing more" for r in self.programs)  # fmt: skip
            also = "also, " if first is not None else ""
            lines.append(f"{also}the programs differ after {len(self.pairs)} nodes: {a} against {b}")
        return "\n".join(lines)


def _number(value: Any) -> Any:
    if not isinstance(value, float) or np.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def bisect(a: Any, b: Any, *, tol: float | None = None, wrt: Wrt = None) -> Parting:
    """The first node in the order of the sweep at which two runs part: values as computed, then adjoints as paid.

    a, b: what to compare: (function, *arguments), an `Evaluation`, a ledger, or a path to JSON that one of them wrote,
    say by an earlier version of the program; or two runs of `pb.open_run`, whose first step that is not the same is
    looked at; b may also be "float32", "float64", "native" or "interpreter": a's
    function, run that way.
    tol: the relative difference that does not count.  By default none, if both were computed in the same way and
    dtype, and else 256 roundings of the coarser dtype.
    wrt: of functions, the leaves to differentiate by, as `pb.explain` names them; all floating ones if None.

    Returns a Parting: `first` (None if they agree), `pairs`, `programs` (where the programs themselves differ); printed
    it says so.  Raises InputError for what is no run.

    >>> import numpy as np, payback as pb
    >>> def f(x):
    ...     y = x + 1e4
    ...     return (y - 1e4) * x
    >>> found = pb.bisect((f, 0.1), "float32")
    >>> found.first.a.op, found.first.born
    ('sub', True)
    """
    if _recorded(a) and _recorded(b) and wrt is None:
        return _trainings(a, b, tol)
    if isinstance(b, str) and b in WAYS:
        if not _call(a):
            raise InputError(f"{b!r} needs a function to run that way", fix="write pb.bisect((f, x), 'float32')")
        one, other = _evaluation(a, wrt), evaluate(a[0], *a[1:], **WAYS[b], wrt=wrt)
    else:
        one, other = _evaluation(a, wrt), _evaluation(b, wrt)
    pairs, programs, apart = [], None, []
    for number, (x, y) in enumerate(_both(one.records, other.records)):
        if x is None or y is None or (x.kind, x.op, x.value.shape) != (y.kind, y.op, y.value.shape):
            programs = x, y
            break
        difference, worst = _difference(x.value, y.value, max(x.gross, y.gross))
        apart.append(difference)
        inherited = max((apart[k] for k in x.operands), default=0.0)
        pairs.append(Pair(number, x, y, difference, inherited, worst))
    if tol is None:
        tol = _tolerance(one, other)
    elif not (isinstance(tol, (int, float)) and 0 <= tol < np.inf):
        raise InputError(f"tol is {tol!r:.40}", why="it is a relative difference, from 0 up")
    return Parting(tuple(pairs), float(tol), programs)


def _recorded(run: Any) -> bool:
    """A recorded training; told by what it has, for what glass reads is data."""
    return hasattr(run, "evaluation") and hasattr(run, "steps")


def _trainings(a: Any, b: Any, tol: float | None) -> Parting:
    for one, other in zip(a.steps, b.steps, strict=False):
        if one.n != other.n:
            raise InputError(f"the runs begin after steps {one.n - 1} and {other.n - 1}", why="they must begin alike")
        if (one.rows, one.rate, one.cost, one.norm, one.weights) != (
            other.rows, other.rate, other.cost, other.norm, other.weights
        ):  # fmt: skip
            found = bisect(a.evaluation(one.n), b.evaluation(one.n), tol=tol)
            return replace(found, step=(one, other))
    if len(a.steps) != len(b.steps):
        fewer, more = sorted((len(a.steps), len(b.steps)))
        raise InputError(f"the trainings agree in all {fewer} steps that both have", why=f"one has {more}")
    return Parting((), 0.0, None)


def _call(run: Any) -> bool:
    return isinstance(run, tuple) and bool(run) and callable(run[0])


def _evaluation(run: Any, wrt: Wrt = None) -> Evaluation:
    if _call(run):
        return evaluate(run[0], *run[1:], wrt=wrt)
    if wrt is not None:
        raise InputError("wrt is given", why="what was computed already has the leaves that it has",
                         fix="give (function, *arguments)")  # fmt: skip
    if isinstance(run, Evaluation):
        return run
    if isinstance(run, Ledger):
        return of_ledger(run)
    if isinstance(run, (str, Path)):
        return load(run)
    raise InputError(
        f"{run!r:.60} is no run", fix="give (function, *arguments), an evaluation, a ledger, or a JSON file"
    )


def of_ledger(book: Ledger) -> Evaluation:
    """The values and adjoints of a ledger."""
    nodes = [account.node for account in book.nodes]
    return from_nodes(nodes, {account.node: account.settled for account in book.nodes if account.settled is not None},
                      {account.node: account.name for account in book.nodes})  # fmt: skip


def _both(a: Any, b: Any) -> Iterator[tuple[Record | None, Record | None]]:
    for i in range(max(len(a), len(b))):
        yield a[i] if i < len(a) else None, b[i] if i < len(b) else None


def _tolerance(a: Evaluation, b: Evaluation) -> float:
    dtypes = {record.value.dtype for run in (a, b) for record in run.records if record.value.dtype.kind == "f"}
    ways = {run.how == "machine code" for run in (a, b)}
    alike = [x.value.dtype == y.value.dtype for x, y in zip(a.records, b.records, strict=False)]
    if len(ways) == 1 and all(alike):
        return 0.0
    return UNITS * max(float(np.finfo(dtype).eps) for dtype in dtypes)


def _apart(x: float, y: float, gross: float) -> float:
    """The difference of two numbers, as `_difference` has it."""
    if x == y or (x != x and y != y):
        return 0.0
    apart = abs(x - y)
    if not isfinite(apart):
        return inf
    size = max(*(abs(v) for v in (x, y) if isfinite(v)), gross if isfinite(gross) else 0.0)
    return apart / size if size else apart


def _difference(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any], gross: float) -> tuple[float, tuple[int, ...]]:
    """(the largest difference, relative to the largest entry or to `gross`; where it is)."""
    if a.size == 0:
        return 0.0, ()
    if a.dtype == b.dtype and a.tobytes() == b.tobytes():
        return 0.0, (0,) * a.ndim
    if a.size == 1:
        return _apart(float(a.reshape(())), float(b.reshape(())), gross), (0,) * a.ndim
    x, y = a.astype(float).reshape(-1), b.astype(float).reshape(-1)
    with np.errstate(all="ignore"):
        apart = np.abs(x - y)
    apart[(x == y) | (np.isnan(x) & np.isnan(y))] = 0.0
    apart[np.isnan(apart)] = np.inf
    at = int(np.argmax(apart))
    worst = tuple(int(i) for i in np.unravel_index(at, a.shape))
    size = max(float(np.max(np.abs(v), where=np.isfinite(v), initial=0.0)) for v in (x, y))
    size = max(size, gross) if np.isfinite(gross) else size
    largest = float(apart[at])
    return (largest / size if size and np.isfinite(largest) else largest), worst
