"""`payback explain "(a+b)*(b+1)" a=2 b=1`: every value, every partial, every payment of one gradient."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from payback.cli.expression import letters, parse, parse_bindings
from payback.cli.frame import Out, unknown_option
from payback.cli.program import FLOAT_FUNCTIONS, Program, listed
from payback.errors import InputError
from payback.glass import story
from payback.glass.ledger import Ledger, plain_number
from payback.glass.record import record
from payback.ir.node import Node
from payback.ops.append import const
from payback.trace.array import Traced, variable
from payback.trace.numpy_map import emit

_FUNCTIONS = {name: partial(emit, name) for name in FLOAT_FUNCTIONS}
_OPTION = re.compile(r"--([A-Za-z][A-Za-z0-9-]*)(=.*)?")


def explain(
    expression: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *bindings: Annotated[str, Parameter(name="NAME=NUMBER")],
    wrt: str | None = None,
    out: Out,
) -> None:
    """Show where a derivative comes from: every value, every partial, every path, every payment.

    It prints the value of each node, the partial on each edge, what collecting path by path would walk, the payments
    of the reverse sweep in order, and the ledger of each node. Parts without a name are called by the next free
    letters.

    An expression has numbers, names, + - * / ** and parentheses, and the functions abs, cos, exp, expm1, log, log1p,
    max, min, relu, sigmoid, sin, softplus, sqrt and tanh. Its parts may be named: "c=a+b; d=b+1; e=c*d".

    With --json one object: payback ("explain"), version (1), expression, top (a name), wrt (names), values (by name,
    in order), then nodes, edges, paths, events, ledger and gradient as `payback.glass.record` describes them. Integers
    beyond 2**53, NaN and infinities are strings; "no path" is null.

    Parameters
    ----------
    expression
        What to explain, such as "(a+b)*(b+1)". It may begin with a minus sign.
    bindings
        The value of each variable, such as a=2 b=1.
    wrt
        Names, separated by commas: only the paths to these are followed. Default: all variables.
    """
    _check_expression(expression, bindings)
    program = parse(expression)
    values = parse_bindings(bindings, program)
    if not values:
        why = "without a variable there is nothing to differentiate by"
        raise InputError("the expression is constant", why=why, fix='write for example "(a+b)*(b+1)" a=2 b=1')
    sheet = evaluate(program, values)
    leaves = sheet.nodes(wrt.split(",")) if wrt is not None else [sheet.leaves[name] for name in values]
    leaves.sort(key=lambda leaf: leaf.id)
    ledger = Ledger(sheet.top, leaves, sheet.names)
    tell(sheet, ledger, out)
    head: dict[str, Any] = {"payback": "explain", "version": 1, "expression": expression, "top": ledger.top.name}
    head["wrt"] = [leaf.name for leaf in ledger.leaves]
    out.result(head | {"values": {name: value for name, _, value in sheet.lines}} | record(ledger))


def _check_expression(expression: str, bindings: tuple[str, ...]) -> None:
    """A mistyped option before the expression would be taken for one: `--wtr b`.  (`--a` with a=2 is minus minus a.)"""
    option = _OPTION.fullmatch(expression)
    if option and not any(binding.partition("=")[0].strip() == option[1] for binding in bindings):
        raise unknown_option(expression.partition("=")[0], ["--wrt"])


@dataclass(frozen=True, slots=True)
class Sheet:
    """An evaluated program: its top, the node of each variable, what nodes are called, and (name, formula, value) in
    order; the formula of a variable is empty."""

    top: Node
    leaves: dict[str, Node]
    names: dict[Node, str]
    lines: list[tuple[str, str, float]]

    def nodes(self, names: list[str]) -> list[Node]:
        """The nodes of these names; raises InputError for a name that is no node's."""
        known = {name: node for node, name in self.names.items()}
        for name in (name.strip() for name in names):
            if name not in known:
                near = difflib.get_close_matches(name, known, 3)
                fix = f"did you mean {listed(near, 'or')}?" if near else f"its names are {listed(list(known)[:20])}"
                raise InputError(f"--wrt names {name!r}", why="the expression has no such variable", fix=fix)
        return [known[name.strip()] for name in names]


def evaluate(program: Program, values: dict[str, float]) -> Sheet:
    """Evaluate on traced values: every operation on a variable becomes a node with a name.

    Raises InputError at the first operation whose result is not a finite number.
    """
    order = [name for name in (*program.inputs, *program.constants) if name in values]
    # np.float64, as the functions of the table return it: with Python floats the engine would add casts
    variables = {name: variable(np.float64(values[name]), name) for name in order}
    seen: list[tuple[Node, int]] = []  # each operation with where it begins and ends in the text

    def observe(value: Any, source: str, span: tuple[int, int]) -> None:
        if isinstance(value, Traced):
            seen.append((value.node, span[0]))

    with np.errstate(all="ignore"):  # what is not finite is found and named by `evaluate`
        top, named = program.evaluate(variables, _FUNCTIONS, observe, number=lambda v: float(v.node.value))
    leaves = {name: v.node for name, v in variables.items()}
    names = {node: name for name, node in leaves.items()}
    for name, value in named.items():
        if isinstance(value, Traced):
            names.setdefault(value.node, name)
    free = letters({*program.inputs, *program.constants, *program.names}, program.inputs)
    for node, _ in seen:
        if node not in names:
            names[node] = next(free)
    lines = [(name, "", values[name]) for name in order]
    lines += _lines(program, seen, named, names)
    if not isinstance(top, Traced):  # the last statement is a number, whatever the variables are
        name = program.statements[-1].name or next(free)
        node = const(top)
        names[node] = name
        if program.statements[-1].name is None:
            expression = program.statements[-1].expression
            lines.append((name, program.text[expression.start : expression.end], top))
        return Sheet(node, leaves, names, lines)
    return Sheet(top.node, leaves, names, lines)


def _lines(
    program: Program, seen: list[tuple[Node, int]], named: dict[str, Any], names: dict[Node, str]
) -> Iterator[tuple[str, str, float]]:
    """The values statement by statement: the operations in it, then its name if that is one more for a known value."""
    for name, expression in program.statements:
        for node, start in seen:
            if expression.start <= start < expression.end:
                yield names[node], story.formula(node, names), plain_number(node.value)
        if name is not None:
            value = named[name]
            if not isinstance(value, Traced):
                yield name, program.text[expression.start : expression.end], value
            elif names[value.node] != name:
                yield name, names[value.node], plain_number(value.node.value)


def tell(sheet: Sheet, ledger: Ledger, out: Any) -> None:
    """Print the story."""
    out.line("values", style="bold")
    for name, formula, value in sheet.lines:
        middle = f"{formula} = " if formula and formula != story.shown(value) else ""
        out.line(f"  {name} = {middle}{story.shown(value)}")
    _section(out, "partials, one on every edge", story.partials(ledger) or ["none: there is no edge to pay along"])
    _section(out, "collecting, path by path", story.collecting(ledger))
    out.line(story.race(ledger))
    start = f", from the top down: {ledger.top.name} starts with 1" if ledger.top.settled is not None else ""
    _section(out, f"paying back{start}", story.paying_back(ledger))
    out.line(story.visits(ledger))
    rows = story.book(ledger)
    if rows:
        out.line()
        out.line("ledger", style="bold")
        out.table(rows, headers=("node", "payer", "owes", "× local", "= paid", "sum"), align="llrrrr")


def _section(out: Any, title: str, lines: list[str]) -> None:
    out.line()
    out.line(title, style="bold")
    for line in lines:
        out.line(f"  {line}")
