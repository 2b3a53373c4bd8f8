"""A ledger as text and as a graph for Graphviz; no program is needed to write either."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.glass import story
from payback.glass.counts import counted, rough_race
from payback.ir.node import Node
from payback.ir.where import position

if TYPE_CHECKING:
    from payback.glass.accounts import Account
    from payback.glass.ledger import Ledger

Row = tuple[str, ...]
HEADERS: Row = ("node", "op", "shape", "value", "owed", "paid by", "where")
TREE_HEADERS: Row = (*HEADERS[:5], HEADERS[6])
_STORY = 60  # edges between scalars that are told in full
_ROWS = 100


def to_text(book: Ledger) -> str:
    """A small scalar ledger as its story; any other as a table, a line for each node from the top down."""
    if is_story(book):
        parts = [story.partials(book), story.collecting(book), [story.race(book)], story.paying_back(book),
                 [story.visits(book)]]  # fmt: skip
        return "\n\n".join("\n".join(part) for part in parts if part)
    rows = [HEADERS, *rows_of(book)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEADERS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *closing(book)])


def is_story(book: Ledger) -> bool:
    """Whether it is small enough to be told in full."""
    return len(book.edges) <= _STORY and all(edge.scalar for edge in book.edges)


def tree_of(book: Ledger) -> list[Row]:
    """The table as a tree under TREE_HEADERS, at most 100 lines of it.

    A node stands below who pays it; below another one that pays it too it is only named, with an arrow up.
    """
    return [(*row[:5], row[6]) for row in itertools.islice(_tree(book), _ROWS)]


def rows_of(book: Ledger) -> list[Row]:
    """What the table says under HEADERS, layer by layer, at most 100 lines of it."""
    told = sorted((a for a in book.nodes if a.layer is not None), key=lambda a: (a.layer or 0, a.id))
    return [_row(book, account, account.name) for account in told[:_ROWS]]


def closing(book: Ledger) -> list[str]:
    """What stands below the table."""
    count = sum(account.layer is not None for account in book.nodes)
    lines = [f"… and {count - _ROWS:,} more"] if count > _ROWS else []
    paths, walks = rough_race(book)
    told = f"{counted(paths)} path{'s' * (paths != 1)}, {counted(walks)} walk{'s' * (walks != 1)}"
    edges = len(book.edges)
    lines.append(f"{edges:,} edge{'s' * (edges != 1)}, each paid once; path by path: {told}")
    unpaid = [leaf.name for leaf in book.leaves if leaf.settled is None]
    return [*lines, *([f"no path: {', '.join(unpaid)}"] if unpaid else []), *doubtful(book)]


def doubtful(book: Ledger) -> list[str]:
    """Operations of a row of n with a column of n, which are n×n: seldom meant, but where a row was made a column for
    it: of the very row, or by None in the same expression."""
    found = {}
    for account in book.nodes:
        if len(account.shape) == 2 and account.node.op.kind == "pointwise" and account.where is not None:
            n, columns = account.shape
            shapes = {arg.shape: arg for arg in account.node.args}
            if n == columns > 1 and (n,) in shapes and (n, 1) in shapes:
                if _made_for(shapes[n, 1], shapes[(n,)], account.node):
                    continue
                found[account.where] = (
                    f"is it meant? {account.where.at}: {account.where.text} takes every entry of a row of {n:,} "
                    f"with every entry of a column of {n:,}"
                )
    return list(found.values())


def _made_for(column: Node, row: Node, node: Node) -> bool:
    """Whether a column was made of a row on purpose, for a node that takes it with a row."""
    made = _moved(column)
    if len(made.shape) != 1:
        return False
    if made is _moved(row):
        return True
    inner, outer = position(column.where), position(node.where)
    if inner is None or outer is None or inner.file != outer.file:
        return False
    start, end = (outer.line, outer.column), (outer.end_line, outer.end_column)
    there = start <= (inner.line, inner.column) and (inner.end_line, inner.end_column) <= end
    return there and (inner == outer or "None" in inner.text or "newaxis" in inner.text)


def _moved(node: Node) -> Node:
    """What an array was made of that has its entries in another shape."""
    while node.op.name in ("reshape", "broadcast", "transpose", "identity", "cast", "index") and (
        node.args[0].aval.size == node.aval.size
    ):
        node = node.args[0]
    return node


def _tree(book: Ledger) -> Iterator[Row]:
    pays: dict[Account, dict[Account, None]] = {}
    for edge in book.edges:
        pays.setdefault(edge.payer, {})[edge.arg] = None
    seen: set[Account] = set()
    stack = [(book.top, "", "")]
    while stack:
        account, before, below = stack.pop()
        if account in seen:
            yield (f"{before}{account.name} ↑", *[""] * (len(HEADERS) - 1))
            continue
        seen.add(account)
        yield _row(book, account, before + account.name)
        below_it = list(pays.get(account, ()))
        if len(below_it) == 1:  # a chain stays in its column
            stack.append((below_it[0], below, below))
            continue
        for k, arg in reversed(list(enumerate(below_it))):
            last = k == len(below_it) - 1
            stack.append((arg, below + ("└─" if last else "├─"), below + ("  " if last else "│ ")))


def _row(book: Ledger, account: Account, name: str) -> Row:
    payers = ", ".join(dict.fromkeys(edge.payer.name for edge in book.pile(account)[:4])) or "(the top)"
    text = account.where.text if account.where is not None else ""
    shape = "×".join(map(str, account.shape))
    return (name, account.op, shape, size(account.value), size(account.settled), payers, text[:60])


def size(value: Any) -> str:
    """A number by six digits, an array by its norm.

    >>> size(2.0), size(np.array([3.0, 4.0]))
    ('2', '‖5‖')
    """
    if isinstance(value, tuple):
        return " ".join(size(part) for part in value)
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            return f"‖{float(np.linalg.norm(np.asarray(value, float).ravel())):.4g}‖"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def to_dot(book: Ledger) -> str:
    """The graph in Graphviz's language, the top above: values and sums in the nodes, partials on the edges."""
    lines = ["digraph ledger {", "  rankdir=TB; node [shape=box, fontname=monospace]; edge [fontname=monospace];"]
    ids = {account: f"n{k}" for k, account in enumerate(book.nodes)}
    for account, key in ids.items():
        style = ", style=bold" if account in book.leaves else ""
        label = f"{account.name} = {size(account.value)}\\nowed {size(account.settled)}"
        lines.append(f"  {key} [label={_quoted(label)}{style}];")
    for edge in book.edges:
        label = story.shown(edge.partial) if edge.scalar else edge.rule
        lines.append(f"  {ids[edge.payer]} -> {ids[edge.arg]} [label={_quoted(label)}];")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
