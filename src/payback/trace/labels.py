"""Columns and frames of pandas and polars beside traced values, which take their entries by place and not by label.

What is computed from both is an array, where the library would have given a column or a frame: those know rows by
their labels, leave out NaN, divide by n - 1 in a standard deviation, and a frame's sum is one for each column.  So what
is one thing of an array and another of a column is an error, told by what the array was computed from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from sys import _getframe
from typing import Any, NamedTuple, NoReturn

import numpy as np

from payback.errors import TraceError
from payback.ir.node import NO_PARAMS, Node, by_id
from payback.ir.where import caller, position
from payback.ops.append import append, const
from payback.ops.namespace import full_index
from payback.ops.row import TABLE
from payback.trace.operators import is_users
from payback.trace.plain_arrays import held

# those of the rows that have come to traced values in this trace, by how many they are; and of the columns of frames
LABELS: ContextVar[dict[Any, Any] | None] = ContextVar("labels", default=None)
MET: list[bool] = []  # not empty once there was a column or a frame: until then nobody need ask
_LIBRARIES = ("pandas", "polars")


class Labels(NamedTuple):
    """What array and library differ in: whether it is a frame, and whether it holds a NaN.

    rows: how its rows are labelled; None where the library takes them by place, too, Ellipsis where that is not known.
    """

    frame: bool
    rows: Any
    missing: bool

    @property
    def numbered(self) -> bool:
        """Whether a row's label is its place."""
        rows = self.rows
        return rows is None or (type(rows).__name__ == "RangeIndex" and rows.start == 0 and rows.step == 1)


class _Labelled(tuple[Any, ...]):
    """The place where a column or a frame came to a traced value."""

    labels: Labels


def without_labels(operand: Any) -> Any:
    """The entries, in their order.  Raises TraceError where pandas would have put them in another one.

    Nothing traced has labels, so of the rows of all operands of one length it is asked that they be labelled alike, and
    of the columns of all frames of one width.
    """
    rows, columns, known = getattr(operand, "index", None), getattr(operand, "columns", None), LABELS.get()
    if known is not None and hasattr(rows, "equals"):
        alike = known.setdefault(len(rows), rows).equals(rows)
        if hasattr(columns, "equals"):
            alike = alike and known.setdefault(("columns", len(columns)), columns).equals(columns)
        elif not alike:  # a column beside a frame has a label for each of the frame's columns
            alike = (across := known.get(("columns", len(rows)))) is not None and across.equals(rows)
        if not alike:
            raise TraceError("rows or columns that are labelled in two ways", where=_here(),
                             why="pandas brings together what has the same label, and a traced value has no labels",
                             fix="take plain arrays of the columns, .to_numpy(), with their rows in one order"
                             )  # fmt: skip
    return np.asarray(operand)


def labelled(operand: Any, made: Any, outside: Callable[[Any], Any]) -> Any:
    """The entries of an operand, or the node that stands for them, as a node that tells where they are from."""
    entries = made if made.flags.owndata else outside(made)  # a column's memory may change
    if (place := place_of(operand, made)) is None:
        return entries
    if isinstance(entries, Node):
        return append(TABLE["identity"], (entries,), NO_PARAMS, place)
    return const(entries, place)


def place_of(operand: Any, made: Any) -> Any:
    """The place that runs, for the node of a column's or a frame's entries; None for other operands."""
    if type(operand).__module__.split(".", 1)[0] not in _LIBRARIES or not np.ndim(made):
        return None
    place = _Labelled(caller() or (place_of.__code__, 0))
    rows = getattr(operand, "index", None)
    missing = made.dtype.kind == "f" and bool(np.isnan(made).any())
    place.labels = Labels(made.ndim > 1, rows if hasattr(rows, "equals") else None, missing)
    MET[:] = [True]
    return place


# rows whose result has the labels of an argument, beside those that work entry by entry
_KEEPING = {"cast", "index", "transpose", "contract", "sum", "mean", "prod", "cumsum", "cumprod"}
_SKIPPING = {"sum", "mean", "prod", "min", "max", "std", "var", "cumsum", "cumprod", "argmax", "argmin", "amin", "amax"}
_SPREADS = {"std", "var"}
_BY_COLUMNS = _SKIPPING | {"any", "all"}
_RUNNING = {"cumsum", "cumprod"}
_WORDS = {"x[…]": "a column is asked for a label and a frame for one of its columns, an array for a place",
          "in": "a column and a frame look among their labels, an array among its entries",
          "for": "a frame gives the names of its columns, an array its rows"}  # fmt: skip


def labels_of(node: Node) -> Labels | None:
    """What a value was computed with, if NumPy's own answer would have been a column or a frame; None for an array.

    Raises TraceError where rows were taken in two ways and met again, as in r[1:] * r[:-1].
    """
    seen, stack = {node}, [node]
    while stack:
        one = stack.pop()
        for arg in one.args if type(one.where) is not _Labelled and _keeps(one) else ():
            if arg not in seen and arg.shape:
                seen.add(arg)
                stack.append(arg)
    found: dict[Node, Labels] = {}
    for one in sorted(seen, key=by_id):
        if type(one.where) is _Labelled:
            found[one] = one.where.labels
        elif _keeps(one) and (given := [arg for arg in one.args if arg in found]):
            missing = any(found[arg].missing for arg in given)
            found[one] = Labels(len(one.shape) > 1, _rows(one, given, found), missing)
    return found.get(node)


def _keeps(node: Node) -> bool:
    row = node.op
    return (
        row.name in _KEEPING
        or row.kind == "reduction"
        or (row.kind == "pointwise" and row.name not in ("select", "identity"))
    )


def _rows(node: Node, given: list[Node], found: dict[Node, Labels]) -> Any:
    """How the rows of a node's value are labelled, by those of its arguments that have labels."""
    first, name = found[given[0]].rows, node.op.name
    if node.op.kind == "pointwise":
        rows = [found[arg].rows for arg in given if len(arg.shape) == len(node.shape)]
        known = [each for each in rows if each is not None and each is not Ellipsis]
        by_user = all(arg.where is not node.where for arg in given)  # and not within a function, as np.diff
        if by_user and any(each is not known[0] and not each.equals(known[0]) for each in known):
            place = position(node.where)
            raise TraceError("rows of a column that were taken in two ways meet", where=str(place) if place else None,
                             why="pandas brings together what has the same label, a traced value what has the same "
                             "place", fix="make it an array before it is cut: np.asarray(x)")  # fmt: skip
        return known[0] if known else Ellipsis if Ellipsis in rows else None
    if first is None or name in ("cast", "cumsum", "cumprod"):
        return first
    if name == "index" and first is not Ellipsis and len(node.params["template"]) == 1:
        arrays = tuple(held(arg) if arg.value is None else arg.value for arg in node.args[1:])
        (part,) = full_index(node.params["template"], arrays)
        return first[part] if type(part) is slice or np.ndim(part) == 1 else Ellipsis
    kept = name == "contract" or 0 not in (node.params.get("axes") or (0,))
    return first if kept and node.shape[0] == given[0].shape[0] and name != "transpose" else Ellipsis


def one_thing(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """The method of a traced array, that raises TraceError where a column's or a frame's would do another thing."""
    if name not in _BY_COLUMNS or not is_users(_getframe(3)):
        return method

    def checked(x: Any, *args: Any, **kwargs: Any) -> Any:
        check(name, x, args, kwargs, True)
        return method(x, *args, **kwargs)

    return checked


def check(name: str, x: Any, args: tuple[Any, ...], kwargs: dict[str, Any], is_method: bool) -> None:
    """Raise TraceError if a method or function of NumPy's does another thing to a column or a frame."""
    if name not in _BY_COLUMNS or (labels := labels_of(x.node)) is None:
        return
    called = f".{name}()" if is_method else f"np.{name}"
    if labels.frame and not args and "axis" not in kwargs and (is_method or name in _RUNNING):
        _refuse(called, "of a frame it is one for each column, of an array one for all",
                "say which: axis=0 or axis=None")  # fmt: skip
    if name in _SPREADS and is_method and not {"ddof", "correction"} & kwargs.keys():
        _refuse(called, "of a column it divides by n - 1, of an array by n", "say which: ddof=1 or ddof=0")
    if name in _SKIPPING and x.dtype.kind == "f":
        value = x.node.value
        if labels.missing if value is None else bool(np.isnan(value).any()):
            skipping = f"nan{name[1:] if name in ('amin', 'amax') else name}"
            _refuse(f"{called} with NaN", "a column leaves them out, an array's answer is NaN",
                    f"say which: np.{skipping}(x) leaves them out, np.{name}(np.asarray(x)) does not")  # fmt: skip


def by_place(x: Any, key: Any, frame: Any) -> None:
    """Raise TraceError if a column or a frame is asked for another thing than an array: `x[key]`, `for`, `in`."""
    if not x.node.shape or not is_users(frame):
        return
    word = key if type(key) is str and key in _WORDS else "x[…]"
    if (word == "x[…]" and _is_slices_or_mask(key)) or (labels := labels_of(x.node)) is None:
        return
    if labels.frame or word == "in" or (word == "x[…]" and not labels.numbered):
        _refuse(word, _WORDS[word], "make it an array first: np.asarray(x)")


def _is_slices_or_mask(key: Any) -> bool:
    """Whether an index means the same of a column, a frame and an array."""
    if type(key) is list:
        return bool(key) and type(key[0]) in (bool, np.bool_)
    parts = key if type(key) is tuple else (key,)
    return all(type(part) in (slice, type(None), type(Ellipsis)) for part in parts) or (
        len(parts) == 1 and getattr(getattr(key, "dtype", None), "kind", None) == "b"
    )


def _refuse(what: str, why: str, fix: str) -> NoReturn:
    raise TraceError(f"{what} of an array that was computed with a column or a frame", where=_here(), why=why, fix=fix)


def _here() -> str | None:
    place = position(caller())
    return str(place) if place else None
