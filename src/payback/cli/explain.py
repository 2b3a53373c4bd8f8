"""`payback explain "(a+b)*(b+1)" a=2 b=1`: every value, every partial, every payment of one gradient."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from cyclopts import Parameter

from payback.cli.expression import parse, parse_bindings
from payback.cli.options import Out, unknown_option
from payback.cli.program import FLOAT_FUNCTIONS, Program, listed
from payback.cli.subject import entry_of, is_file, is_model, split_names, subject
from payback.cli.terminal import Output
from payback.errors import DifferentiationError, InputError
from payback.glass import story
from payback.glass.counts import counted
from payback.glass.explain import explain as glass_explain
from payback.glass.ledger import Account, Ledger, plain_number
from payback.glass.names import letters
from payback.glass.page import Written, html_of
from payback.glass.record import VERSION, number, record
from payback.glass.text import HEADERS, TREE_HEADERS, closing, is_story, rows_of, tree_of
from payback.ir.node import Node
from payback.ops.append import const
from payback.trace.array import Traced, variable
from payback.trace.numpy.map import emit

_FUNCTIONS = {name: partial(emit, name) for name in FLOAT_FUNCTIONS}
_ROWS = 40
_LEAVES, _PATHS = 12, 5  # that are listed with --paths
_OPTION = re.compile(r"--([A-Za-z][A-Za-z0-9-]*)(=.*)?")


def explain(
    target: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *values: str,
    wrt: str | None = None,
    row: str | None = None,
    paths: Annotated[bool, Parameter(negative="")] = False,
    flow: Annotated[bool, Parameter(negative="")] = False,
    cost: Annotated[bool, Parameter(negative="")] = False,
    digits: Annotated[bool, Parameter(negative="")] = False,
    html: str | None = None,
    open: bool = False,
    out: Out,
) -> None:
    """Show where a derivative comes from: every value, every partial, every path, every payment.

    Of an expression it prints the value of each node, the partial on each edge, what collecting path by path would
    walk, the payments of the reverse sweep in order, and the ledger of each node; parts without a name are called by
    the next free letters. Of a function or a model it prints the nodes from the result down, and of one entry
    (--wrt W1[3,7]) its paths, number by number.

    An expression has numbers, names, + - * / ** and parentheses, and the functions abs, cos, exp, expm1, log, log1p,
    max, min, relu, sigmoid, sin, softplus, sqrt and tanh. Its parts may be named: "c=a+b; d=b+1; e=c*d". A file is run
    as "python FILE.py" would run it, without the part under `if __name__ == "__main__":`.

    With --json one object: payback ("explain"), version (2), target, top (a name), wrt (names), of an expression also
    expression, values and formulas (by name, in order), then the ledger as payback.glass.record describes it, and
    kappa, flow, cost and digits where they are asked for. NaN, infinities and numbers of paths are strings; "no path"
    is null.

    Parameters
    ----------
    target
        An expression such as "(a+b)*(b+1)", which may begin with a minus sign; a file and a function such as
        model.py:cost; or the folder of a model.
    values
        The value of each variable or argument, such as a=2 b=1 or x=[1,2]; for a model a table.
    wrt
        Names, separated by commas: only the paths to these are followed. Default: all variables, of a model its
        weights, W1, b1, W2, ... One entry of an array: W1[3,7].
    row
        For a model: the number of a row of the table, from 0, or all.
    paths
        Also the largest paths to each leaf, and how much cancels on the way.
    flow
        Also how large the adjoints are on their way down, in powers of two.
    cost
        Also the flops and bytes of the value and of its gradient.
    digits
        Also how many digits of the gradient are right, and where the others are lost.
    html
        Also write the account book as a page into this file.
    open
        Open the page in the browser; without --html it lies in a new private temporary folder.
    """
    extra = {"paths": paths, "flow": flow, "cost": cost, "digits": digits}
    if html is not None:
        from payback.cli.pages import check_place

        check_place(html)
    if is_file(target) or is_model(target):
        with subject(target, values, row, out) as looked_at:
            called = looked_at.function, *looked_at.args
            book = glass_explain(*called, argnums=looked_at.argnums, wrt=_bare(wrt), **looked_at.kwargs)
        book = _entry(book, wrt)
        _tell_book(book, out)
        told = tell_more(book, out, **extra)
        if html is not None or open:
            with out.working("drawing the page"):
                page = html_of(book, target)
            _page(page, html, open, out)
        if out.json:
            by = [leaf.name for leaf in book.leaves]
            head = {"payback": "explain", "version": VERSION, "target": target, "top": book.top.name, "wrt": by}
            with out.working("writing the book"):
                recorded = record(book)
            out.result(head | recorded | told)
        return
    if row is not None:
        raise InputError("--row is given", why="only a model on a table has rows", fix="leave it out")
    ledger, written = _explain_expression(target, values, wrt, extra, out)
    if html is not None or open:
        _page(html_of(ledger, target, written), html, open, out)


def _tell_book(book: Ledger, out: Output) -> None:
    """A small one of numbers as its story; else a table, which is a tree on a terminal."""
    if is_story(book):
        for line in book.to_text().splitlines():
            out.line(line)
        return
    if out.styled:
        out.table(tree_of(book), headers=TREE_HEADERS, align="lllrrl")
    else:
        out.table(rows_of(book), headers=HEADERS)
    for line in closing(book):
        out.line(line)


def _page(text: str, file: str | None, browser: bool, out: Output) -> None:
    from payback.cli.pages import show_page

    out.line()
    out.line(str(show_page(text, file, browser)))


def _bare(wrt: str | None) -> list[str] | None:
    """The names without an index."""
    return [entry[0] if (entry := entry_of(name)) else name for name in split_names(wrt)] or None


def _entry(book: Ledger, wrt: str | None) -> Ledger:
    entries = [entry for name in split_names(wrt) if (entry := entry_of(name)) is not None]
    if not entries:
        return book
    if len(entries) > 1 or len(split_names(wrt)) > 1:
        raise InputError(f"--wrt is {wrt!r}", why="of entries one at a time is explained", fix="give one of them")
    return book.entry(*entries[0])


def _explain_expression(
    expression: str, bindings: tuple[str, ...], wrt: str | None, extra: dict[str, bool], out: Output
) -> tuple[Ledger, Written]:
    _check_expression(expression, bindings)
    program = parse(expression)
    values = parse_bindings(bindings, program)
    if not values:
        why = "without a variable there is nothing to differentiate by"
        raise InputError("the expression is constant", why=why, fix='write for example "(a+b)*(b+1)" a=2 b=1')
    sheet = evaluate(program, values)
    leaves = [sheet.node(name.strip()) for name in wrt.split(",")] if wrt is not None else sheet.variables
    ledger = Ledger(sheet.top, leaves, sheet.names)
    ledger.texts = {node: program.text[start:end] for node, (start, end) in sheet.spans.items() if node.args}
    tell(sheet, ledger, out)
    told = tell_more(ledger, out, **extra)
    if out.json:
        head = {"payback": "explain", "version": VERSION, "expression": expression, "top": ledger.top.name}
        given = {
            "wrt": [leaf.name for leaf in ledger.leaves],
            "values": {name: value for name, _, value in sheet.lines},
            "formulas": {name: formula for name, formula, _ in sheet.lines if formula},
        }
        out.result(head | given | record(ledger) | told)
    return ledger, Written(program.text, sheet.spans)


def tell_more(book: Ledger, out: Output, paths: bool, flow: bool, cost: bool, digits: bool) -> dict[str, Any]:
    """Print what is asked for, and return it as data."""
    told: dict[str, Any] = {}
    if paths:
        told["kappa"] = _tell_paths(book, out)
    if flow:
        told["flow"] = _tell_flow(book, out)
    if cost:
        told["cost"] = _tell_cost(book, out)
    if digits:
        told["digits"] = _tell_digits(book, out)
    return told


def _tell_paths(book: Ledger, out: Output) -> dict[str, Any]:
    rows = []
    try:
        with out.working("sizing paths"):
            kappas = book.kappa
    except DifferentiationError as problem:  # a factorization: its paths are counted, not sized
        kappas = {}
        rows.append(str(problem))
    for leaf in book.leaves[:_LEAVES]:
        found = book.paths(leaf=leaf)
        if not found.count:
            continue
        told = f"{leaf.name}: {counted(found.count)} path{'s' * (found.count != 1)}"
        kappa = kappas.get(leaf.name)
        if kappa is not None:
            size = _short(kappa) if np.ndim(kappa) == 0 else f"up to {_short(np.max(kappa))}"
            told += f", cancellation κ = {size}" if np.ndim(kappa) == 0 else f", κ {size}"
        rows.append(told)
        if all(edge.scalar for edge in book.edges):
            top = found.top(_PATHS)
            rows += [f"  {story.along(path)}" for path in top]
            if len(top) < found.count and kappas:
                rows.append(f"  … these {len(top)} carry {found.share(top):.1%} of Σ|paths|")
    if len(book.leaves) > _LEAVES:
        rows.append(f"… and {len(book.leaves) - _LEAVES:,} more leaves")
    _section(out, "largest paths", rows)
    return {name: _data(kappa) for name, kappa in kappas.items()}


def _tell_digits(book: Ledger, out: Output) -> dict[str, Any]:
    with out.working("counting digits"):
        found = book.digits()
    _section(out, "digits", str(found).splitlines())
    rights = {name: {"least": r.least, "median": r.median, "noise": r.noise} for name, r in found.leaves.items()}
    places = [{"what": loss.what, "op": loss.op, "place": loss.place._asdict() if loss.place else None,
               "lost": loss.lost, "fact": loss.fact, "times": loss.times, "cure": loss.cure}
              for loss in found.places]  # fmt: skip
    return {"wider": found.wider, "value": found.value.least, "leaves": rights, "places": places}


def _tell_flow(book: Ledger, out: Output) -> list[dict[str, Any]]:
    with out.working("following the flow"):
        steps = book.flow()
        telling = steps.telling()
    _section(out, "flow: norms in powers of two", [])
    out.table([
        (f"{s.edge.payer.name} → {s.edge.arg.name}", s.edge.payer.op, f"{s.before:.2f}", f"{s.gain:+.2f}",
         f"{s.after:.2f}", _text(s.edge.payer)) for s in itertools.islice(steps, _ROWS)
    ], headers=("payment", "op", "before", "gain", "after", "where"), align="llrrrl")  # fmt: skip
    if len(steps) > _ROWS:
        out.line(f"… and {len(steps) - _ROWS:,} more")
    for line in telling:
        out.line(line)
    return [
        {"payer": s.edge.payer.name, "slot": s.edge.slot, "arg": s.edge.arg.name, "before": number(s.before),
         "gain": number(s.gain), "after": number(s.after)}
        for s in steps
    ]  # fmt: skip


def _tell_cost(book: Ledger, out: Output) -> dict[str, Any]:
    with out.working("counting flops"):
        counted = book.cost()
    _section(out, "cost", [counted.summary])
    out.table([
        (line.account.name, f"{line.value_flops:,}", f"{line.gradient_flops:,}",
         "" if line.ratio is None else f"{line.ratio:.2f}", f"{line.value_bytes:,}", f"{line.gradient_bytes:,}",
         _text(line.account)) for line in itertools.islice(counted, _ROWS)
    ], headers=("node", "flops", "sweep", "ratio", "bytes", "sweep", "where"),
        align="lrrrrrl")  # fmt: skip
    if len(counted.lines) > _ROWS:
        out.line(f"… and {len(counted.lines) - _ROWS:,} more")
    if counted.uncounted:
        out.line(f"not counted: {', '.join(counted.uncounted)}")
    return {
        "value_flops": counted.value_flops, "gradient_flops": counted.gradient_flops,
        "ratio": counted.ratio, "value_bytes": counted.value_bytes,
        "gradient_bytes": counted.gradient_bytes, "uncounted": list(counted.uncounted),
        "ops": [
            {"name": line.account.name, "op": line.account.op, "value_flops": line.value_flops,
             "gradient_flops": line.gradient_flops, "ratio": line.ratio, "value_bytes": line.value_bytes,
             "gradient_bytes": line.gradient_bytes}
            for line in counted
        ],
    }  # fmt: skip


def _text(account: Account) -> str:
    return account.where.text if account.where is not None else ""


def _short(kappa: Any) -> str:
    return f"{float(kappa):.4g}"


def _data(kappa: Any) -> Any:
    if kappa is None or np.ndim(kappa) == 0:
        return None if kappa is None else number(float(kappa))
    return {"shape": list(np.shape(kappa)), "max": number(float(np.max(kappa)))}


def _check_expression(expression: str, bindings: tuple[str, ...]) -> None:
    """A mistyped option before the expression would be taken for one: `--wtr b`.  (`--a` with a=2 is minus minus a.)"""
    option = _OPTION.fullmatch(expression)
    if option and not any(binding.partition("=")[0].strip() == option[1] for binding in bindings):
        raise unknown_option(
            expression.partition("=")[0],
            ["--wrt", "--row", "--paths", "--flow", "--cost", "--digits", "--html", "--open"],
        )


@dataclass(frozen=True, slots=True)
class Sheet:
    """An evaluated program.

    variables: their nodes, in order of appearance.  names: what nodes are called.  known: the node behind each name; a
    node may have several.  lines: (name, formula, value) in order; the formula of a variable is empty.  spans: where in
    the text each operation stands.
    """

    top: Node
    variables: list[Node]
    names: dict[Node, str]
    known: dict[str, Node]
    lines: list[tuple[str, str, float]]
    spans: dict[Node, tuple[int, int]]

    def node(self, name: str) -> Node:
        """The node of this name; raises InputError, with the nearest names, if there is none."""
        if name not in self.known:
            near = difflib.get_close_matches(name, self.known, 3)
            fix = f"did you mean {listed(near, 'or')}?" if near else f"its names are {listed(list(self.known)[:20])}"
            raise InputError(f"--wrt names {name!r}", why="the expression has no such variable", fix=fix)
        return self.known[name]


def evaluate(program: Program, values: dict[str, float]) -> Sheet:
    """Evaluate on traced values: every operation on a variable becomes a node with a name.

    Raises InputError at the first operation whose result is not a finite number.

    >>> sheet = evaluate(parse("(a+b)*(b+1)"), {"a": 2.0, "b": 1.0})
    >>> sheet.lines[2:]
    [('c', 'a+b', 3.0), ('d', 'b+1', 2.0), ('e', 'c·d', 6.0)]
    """
    order = [name for name in (*program.inputs, *program.constants) if name in values]
    # np.float64, as the functions of the table return it: with Python floats the engine would add casts
    variables = {name: variable(np.float64(values[name]), name) for name in order}
    seen: list[tuple[Node, int]] = []  # each operation on a variable, with where it begins in the text
    spans: dict[Node, tuple[int, int]] = {}

    def observe(value: Any, source: str, span: tuple[int, int]) -> None:
        if isinstance(value, Traced):
            seen.append((value.node, span[0]))
            value.node.where = None  # its place is in the expression, not in the program that called this one
            spans[value.node] = span

    with np.errstate(all="ignore"):  # what is not finite is found and named by `evaluate`
        top, named = program.evaluate(variables, _FUNCTIONS, observe, number=lambda v: float(v.node.value))
    known = {name: v.node for name, v in (variables | named).items() if isinstance(v, Traced)}
    names: dict[Node, str] = {}
    for name, node in known.items():
        names.setdefault(node, name)
    free = letters({*program.inputs, *program.constants, *program.names}, program.inputs)
    for node, _ in seen:
        if node not in names:
            names[node] = next(free)
    lines = [(name, "", values[name]) for name in order]
    lines += _lines(program, seen, named, names)
    top_node = top.node if isinstance(top, Traced) else const(top)
    if top_node not in names:  # the last statement is a number, whatever the variables are
        name, expression = program.statements[-1]
        names[top_node] = name or next(free)
        if name is None:
            lines.append((names[top_node], program.text[expression.start : expression.end], top))
    return Sheet(
        top_node, [known[name] for name in order], names, {n: v for v, n in names.items()} | known, lines, spans
    )


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


def tell(sheet: Sheet, ledger: Ledger, out: Output) -> None:
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


def _section(out: Output, title: str, lines: list[str]) -> None:
    out.line()
    out.line(title, style="bold")
    for line in lines:
        out.line(f"  {line}")
