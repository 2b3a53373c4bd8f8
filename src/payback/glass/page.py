"""A ledger as a page: one HTML file that needs no network, no server and no other file.

The page holds the data, the script and the style (built from `ui/`, see there); a content security policy that names
their hashes lets nothing else run or load.  Texts from the user's program are data, never markup.

The data are columns, so that 100,000 nodes open at once.  Nodes are numbered in ascending order, an edge's payer comes
after what it pays.  Events are not stored: the page tells them by the same rule as `Ledger.events`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from payback.errors import InputError, PaybackError
from payback.files import write_file
from payback.glass.layout import places
from payback.glass.paths import walks_per_edge
from payback.glass.record import number, sources
from payback.ir.node import Node
from payback.ir.where import Position
from payback.ops.row import TABLE

if TYPE_CHECKING:
    from payback.glass.accounts import Edge
    from payback.glass.ledger import Ledger


class Written(NamedTuple):
    """A ledger's source where it is no file: an expression, and where in it each operation stands, in characters."""

    text: str
    spans: Mapping[Node, tuple[int, int]]

    def position(self, node: Node) -> Position | None:
        if node not in self.spans:
            return None
        start, end = (len(self.text[:k].encode()) for k in self.spans[node])
        return Position("expression", "", 1, 1, start, end, self.text[slice(*self.spans[node])])


COUNTED = 5_000  # nodes up to which every path is counted and the largest are looked for
WALKED = 50_000  # edges on all paths between arrays to a leaf, up to which the largest are looked for
LEAVES_SHOWN = 20
LIVE = 400  # nodes up to which a notebook shows picture and page
PATHS_SHOWN = 12


def html_of(ledger: Ledger, title: str | None = None, written: Written | None = None) -> str:
    """The page's text."""
    return document({"kind": "ledger", "title": title or _title(ledger), **columns(ledger, written)})


def bundle(ledger: Ledger) -> dict[str, str]:
    """What a notebook shows: a still picture and the table, and below them the page, in a frame of its own."""
    told = ledger.to_text()
    parts = [f"<pre>{html.escape(told)}</pre>"]
    if len(ledger.nodes) <= LIVE:
        page = html.escape(html_of(ledger), quote=True)
        parts.insert(0, ledger.svg())
        parts.append(
            '<details><summary>account book</summary><iframe sandbox="allow-scripts" width="100%" height="760" '
            f'style="border:0" srcdoc="{page}"></iframe></details>'
        )
    return {"text/plain": told, "text/html": "\n".join(parts)}


def write(path: str | Path, text: str) -> Path:
    """Write a page, whole or not at all.  Raises InputError where that cannot be."""
    target = Path(path)
    try:
        write_file(target, text.encode())
    except OSError as error:
        raise InputError(f"{target} cannot be written", why=str(error.strerror or error)) from error
    return target


def document(data: dict[str, Any]) -> str:
    """A page of these data."""
    script, style = (_built(name) for name in ("page.js", "page.css"))
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":  # so that nothing in it ends the element or begins another
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(_short(str(data['title']), 120))}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<main id="page"></main>\n<noscript>This page shows its data by a script.</noscript>\n'
        f'<script type="application/json" id="data">{text}</script>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _built(name: str) -> str:
    return (resources.files("payback") / "ui" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _title(ledger: Ledger) -> str:
    top = ledger.top
    return top.where.text if top.where is not None and top.where.text else top.name


def columns(ledger: Ledger, written: Written | None = None) -> dict[str, Any]:
    """The ledger in columns."""
    nodes, edges = ledger.nodes, ledger.edges
    index = {account: k for k, account in enumerate(nodes)}
    of_node = {account.node: k for k, account in enumerate(nodes)}
    names = {account.node: account.name for account in nodes}
    ends = [(index[edge.payer], index[edge.arg]) for edge in edges]
    depth = max((account.layer for account in nodes if account.layer is not None), default=0)
    layers = [account.layer if account.layer is not None else depth for account in nodes]
    counted = len(nodes) <= COUNTED
    found: dict[Any, int] = {}
    spots = [account.where if written is None else written.position(account.node) for account in nodes]
    where = [found.setdefault(spot, len(found)) if spot is not None else -1 for spot in spots]
    race = ledger.race() if counted else None
    walks = walks_per_edge(ledger) if counted else None
    return {
        "level": ledger.level,
        "top": index[ledger.top],
        "leaves": [index[leaf] for leaf in ledger.leaves],
        "nodes": {
            "name": [account.name for account in nodes],
            "op": [account.op for account in nodes],
            "value": [amount(account.value) for account in nodes],
            "settled": [amount(account.settled) for account in nodes],
            "layer": layers,
            "x": places(layers, ends),
            "where": where,
            "stage": stages(ledger),
            "args": [[_argument(arg, of_node) for arg in account.node.args] for account in nodes],
        },
        "edges": {
            "payer": [payer for payer, _ in ends],
            "arg": [arg for _, arg in ends],
            "slot": [edge.slot for edge in edges],
            "partial": [_partial(edge, names) for edge in edges],
            "paid": [amount(edge.paid) for edge in edges],
            "walks": [str(walks[edge]) for edge in edges] if walks is not None else None,
            "heat": [log10(walks[edge]) if walks[edge] else 0.0 for edge in edges] if walks is not None else None,
        },
        "race": {"paths": str(race.paths), "walks": str(race.walks), "visits": race.visits} if race else None,
        "paths": [_paths(ledger, leaf, index) for leaf in ledger.leaves[:LEAVES_SHOWN]] if counted else [],
        "places": [[p.file, p.function, p.line, p.end_line, p.column, p.end_column, p.text] for p in found],
        "sources": sources(found) if written is None else [{"file": "expression", "first": 1, "lines": [written.text]}],
    }


_PARAMETER = re.compile(r"[Wb](\d+)(?:\[.*)?")


def stages(ledger: Ledger) -> list[int]:
    """The layer of the network that each node belongs to: the last one whose weights it was made from; 0: none."""
    found: dict[Node, int] = {}
    for account in ledger.nodes:  # ascending: what a node was made from comes first
        own = _PARAMETER.fullmatch(account.name) if not account.node.args else None
        found[account.node] = int(own[1]) if own else max((found.get(arg, 0) for arg in account.node.args), default=0)
    return list(found.values())


def amount(value: Any) -> Any:
    """A number; of an array its shape and norm; a list for several; null where there is none."""
    if value is None:
        return None
    if isinstance(value, (tuple, list)):
        return [amount(part) for part in value]
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            norm = float(np.linalg.norm(np.asarray(value, np.float64).ravel()))
        made: dict[str, Any] = {"shape": "×".join(map(str, value.shape)), "norm": number(norm)}
        if not np.isfinite(value).all():
            made["bad"] = True
        if value.size <= 16:
            made["values"] = [number(float(entry)) for entry in value.ravel()]
        return made
    return number(float(value))


def _partial(edge: Edge, names: Mapping[Node, str]) -> Any:
    """A partial as it is shown: a number; of arrays the rule of the edge's own argument, with names for its letters."""
    if not isinstance(edge.partial, str):
        return number(edge.partial)
    args, rules = edge.payer.node.args, edge.partial.split(", ")
    text = rules[edge.slot] if len(rules) == len(args) else edge.partial
    words = set(re.findall(r"[^\W\d_]+", text))
    called = {"y": edge.payer.name}
    for letter, arg in zip("abc", args, strict=False):
        if arg in names:
            called[letter] = names[arg]
        elif arg.shape == () and isinstance(arg.value, (float, int, np.number)):
            called[letter] = f"{float(arg.value):g}"
    letters = words & set("abcy")
    if letters <= set(called) and all(word in TABLE for word in words - letters):  # a formula, not a sentence
        return re.sub(r"\b[abcy]\b", lambda found: called[found[0]], text)
    return text


def _argument(arg: Any, of_node: dict[Any, int]) -> Any:
    """The number of a node; a constant as [value]; null for what is no number."""
    if arg in of_node:
        return of_node[arg]
    return [number(float(arg.value))] if arg.shape == () and isinstance(arg.value, (float, int, np.number)) else None


def _paths(ledger: Ledger, leaf: Any, index: dict[Any, int]) -> dict[str, Any]:
    """What the paths to a leaf carry: how many, the largest, how much of them cancels."""
    paths = ledger.paths(ledger.top, leaf)
    numbered = {edge: k for k, edge in enumerate(ledger.edges)}
    short = paths.walks <= WALKED or not paths.between_arrays
    try:
        gross = amount(ledger.gross.get(leaf.node))
        kappa = ledger.kappa[leaf.name]
        top = paths.top(PATHS_SHOWN) if paths.count and short else []
    except PaybackError:  # a row that has no paths inside, or too many paths between arrays
        gross, kappa, top = None, None, []
    return {
        "leaf": index[leaf],
        "count": str(paths.count),
        "walks": str(paths.walks),
        "gross": gross,
        "kappa": amount(kappa),
        "largest": [
            {
                "edges": [numbered[edge] for edge in path.edges],
                "product": number(path.product),
                "paid": amount(path.paid),
            }
            for path in top
        ],
    }
