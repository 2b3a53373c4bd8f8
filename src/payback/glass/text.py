"""A ledger as text and as a graph for Graphviz; no program is needed to write either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from payback.glass import story

if TYPE_CHECKING:
    from payback.glass.accounts import Account
    from payback.glass.ledger import Ledger

_STORY = 60  # edges between scalars that are told in full
_ROWS = 100


def to_text(book: Ledger) -> str:
    """A small scalar ledger as its story; any other as a table, a line for each node from the top down."""
    if all(edge.scalar for edge in book.edges) and len(book.edges) <= _STORY:
        parts = [story.partials(book), story.collecting(book), [story.race(book)], story.paying_back(book),
                 [story.visits(book)]]  # fmt: skip
        return "\n\n".join("\n".join(part) for part in parts if part)
    rows: list[tuple[str, ...]] = [("node", "op", "shape", "value", "owed", "paid by", "where")]
    told = sorted((a for a in book.nodes if a.layer is not None), key=lambda a: (a.layer or 0, a.id))
    rows += [_row(book, account) for account in told[:_ROWS]]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(told) > _ROWS:
        lines.append(f"… and {len(told) - _ROWS:,} more")
    race = book.race()
    lines.append(f"{race.visits:,} edges, each paid once; path by path: {race.paths:,} paths, {race.walks:,} walks")
    unpaid = [leaf.name for leaf in book.leaves if leaf.settled is None]
    return "\n".join([*lines, *([f"no path: {', '.join(unpaid)}"] if unpaid else [])])


def _row(book: Ledger, account: Account) -> tuple[str, ...]:
    payers = ", ".join(edge.payer.name for edge in book.pile(account)[:4]) or "(the top)"
    text = account.where.text if account.where is not None else ""
    shape = "×".join(map(str, account.shape))
    return (account.name, account.op, shape, size(account.value), size(account.settled), payers, text[:60])


def size(value: Any) -> str:
    """A number as it is, an array by its norm.

    >>> size(2.0), size(np.array([3.0, 4.0]))
    ('2', '‖5‖')
    """
    if isinstance(value, tuple):
        return " ".join(size(part) for part in value)
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            return f"‖{float(np.linalg.norm(np.asarray(value, float).ravel())):.4g}‖"
    return story.shown(value) if isinstance(value, float) else str(value)


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
