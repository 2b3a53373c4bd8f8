"""What `explain`, `why-nan` and `why-zero` look at: an expression, a function of the user's program, or a model on a
table.

What files and models need is imported where they are looked at: an expression needs none of it.
"""

from __future__ import annotations

import contextlib
import linecache
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from payback.cli.expression import parse, parse_bindings
from payback.cli.program import FLOAT_FUNCTIONS
from payback.cli.terminal import Output
from payback.errors import InputError
from payback.glass.explain import Seen
from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.numpy.map import emit

_FILE = re.compile(r".*\.py(:.*)?")
_ENTRY = re.compile(r"(.+)\[(\d+(?:,\d+)*)\]")
# what a model is looked at through
_COST = "def cost(net, x, y):\n    prediction = net(x)\n    return loss(prediction, y)\n"
_COST_FILE = "<model>"
_MOST_ROWS = 4096  # of a table, unless they are asked for one by one


@dataclass
class Subject:
    """A function and what it is called with.

    argnums: which arguments vary.  names: what nodes are called by the expression that they come from; filled in when
    the function is run.  named: what nodes are called by whoever ran it.
    """

    text: str
    function: Any
    args: list[Any]
    kwargs: dict[str, Any] = field(default_factory=dict)
    argnums: list[str | int] | None = None
    names: dict[Node, str] = field(default_factory=dict)
    named: Callable[[Seen], dict[Node, str]] = field(default=lambda seen: seen.names)


def is_file(target: str) -> bool:
    return _FILE.fullmatch(target) is not None


def is_model(target: str) -> bool:
    """Whether it is a folder: what follows is the name of a table."""
    return os.path.isdir(target)


@contextlib.contextmanager
def subject(target: str, values: Sequence[str], row: str | None, out: Output) -> Iterator[Subject]:
    """Load what a command looks at; it has to be run inside the block.  Raises InputError."""
    if is_file(target):
        _no_row(row)
        from payback.cli.target import arguments, program

        with program(target, out) as loaded:
            args, kwargs, varying = arguments(loaded, values)
            if not varying:
                why = "no number or floating array is given"
                raise InputError(f"{loaded} has nothing to differentiate by", why=why, fix="give one of its arguments")
            yield Subject(target, loaded.function, args, kwargs, varying)
    elif is_model(target):
        yield _model(target, values, row, out)
    else:
        _no_row(row)
        yield _expression(target, values)


def split_names(text: str | None) -> list[str]:
    """Names separated by commas, the commas of an index not counted.

    >>> split_names("a, W1[3,7]")
    ['a', 'W1[3,7]']
    """
    return [name.strip() for name in re.split(r",(?![^\[]*\])", text)] if text is not None else []


def entry_of(name: str) -> tuple[str, tuple[int, ...]] | None:
    """`W1[3,7]` as a name and an index; None for a bare name.

    >>> entry_of("W1[3,7]"), entry_of("W1")
    (('W1', (3, 7)), None)
    """
    match = _ENTRY.fullmatch(name.replace(" ", ""))
    return (match[1], tuple(int(i) for i in match[2].split(","))) if match else None


def _no_row(row: str | None) -> None:
    if row is not None:
        raise InputError("--row is given", why="only a model on a table has rows", fix="leave it out")


def _model(folder: str, values: Sequence[str], row: str | None, out: Output) -> Subject:
    if len(values) != 1 or "=" in values[0]:
        raise InputError(f"{folder} is a model", why="it is looked at on a table",
                         fix=f"write {folder} TABLE: a CSV file with the target column")  # fmt: skip
    from payback.cli.tables import open_table
    from payback.nn.losses import cross_entropy, squared_error
    from payback.train.table import TableModel

    trained = TableModel.load(folder)
    table = open_table(out, values[0]).with_missing(trained.encoder.missing)
    rows = _rows(row, table.n_rows)
    with np.errstate(over="ignore"):  # it is told what is infinite
        x = np.ascontiguousarray(trained.encoder.transform(table, rows), trained.net.layers[0].weight.dtype)
    y: Any = trained.target.encode(table, rows)
    classify = trained.target.task == "classify"
    y = np.asarray(y) if classify else np.asarray(y, x.dtype).reshape(len(x), -1)
    result: list[Node] = []

    def loss(prediction: Any, y: Any) -> Any:
        result.append(prediction.node)
        return (cross_entropy if classify else squared_error)(prediction, y)

    # a function of nobody's file, so that its lines are shown and not those of the command
    code = next(part for part in compile(_COST, _COST_FILE, "exec").co_consts if isinstance(part, CodeType))
    linecache.cache[_COST_FILE] = (len(_COST), None, _COST.splitlines(keepends=True), _COST_FILE)
    cost = FunctionType(code, {"__name__": "__payback_model__", "loss": loss})

    def named(seen: Seen) -> dict[Node, str]:
        from payback.train.explanations import called_by_layers

        return called_by_layers(seen, trained.net, result, lambda where: where[0] is code)

    return Subject(folder, cost, [trained.net, x, y], argnums=[0], named=named)


def _rows(row: str | None, count: int) -> Any:
    if row is None or row == "all":
        if count > _MOST_ROWS and row is None:
            why = f"more than {_MOST_ROWS:,} are looked at only if asked for"
            raise InputError(f"the table has {count:,} rows", why=why, fix="add --row all, or --row N for one of them")
        return None
    if not row.isdigit() or int(row) >= count:
        raise InputError(f"--row is {row!r}", why=f"it is 'all' or a number from 0 to {count - 1}")
    return np.array([int(row)])


def _expression(text: str, values: Sequence[str]) -> Subject:
    parsed = parse(text)
    given = parse_bindings(values, parsed)
    if not given:
        raise InputError("the expression is constant", why="without a variable there is nothing to differentiate by",
                         fix='write for example "(a+b)*(b+1)" a=2 b=1')  # fmt: skip
    names: dict[Node, str] = {}

    def observe(value: Any, source: str, span: tuple[int, int]) -> None:
        if isinstance(value, Traced):
            names.setdefault(value.node, source)
            value.node.where = None  # its place is in the expression, not in the program that called this one

    def evaluate(**variables: Any) -> Any:
        functions = {name: _emit(name) for name in FLOAT_FUNCTIONS}
        return parsed.evaluate(variables, functions, observe).top

    return Subject(text, evaluate, [], {name: np.float64(value) for name, value in given.items()}, list(given), names)


def _emit(name: str) -> Any:
    return lambda *args: emit(name, *args)
