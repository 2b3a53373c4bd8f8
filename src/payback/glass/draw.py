"""A ledger as a still picture: SVG for papers and READMEs, without a browser."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.glass.layout import routed
from payback.glass.story import shown

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

READABLE = 400  # nodes; more are no picture
LANES = 12  # that edges pass, for each node
ROW, HIGH, GAP, CHARACTER, LEAST = 104, 48, 22, 7.3, 70
_STYLE = "".join(
    f".payback {rule}"
    for rule in (
        "text{font:12.5px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;text-anchor:middle;fill:#1d2329}",
        ".box{fill:#e1f0fb;stroke:#0b62a8;stroke-width:1.5}",
        ".leaf{stroke-dasharray:5 3}",
        ".none{fill:#fff;stroke:#b6bfc7}",
        ".owed{font-weight:700;fill:#0b62a8}",
        ".edge{fill:none;stroke:#0b62a8;stroke-width:1.5}",
        ".partial{font-size:11px;fill:#5d6770;paint-order:stroke;stroke:#fff;stroke-width:6px}",
    )
)


def svg(ledger: Ledger) -> str:
    """The graph, the top above: in each box a name, its value and what it is owed; on each edge its partial.

    Raises InputError for more than 400 nodes.

    >>> import payback as pb
    >>> from payback.glass import Ledger
    >>> a = pb.variable(3.0, "a")
    >>> svg(Ledger((a * a).node, [a.node])).startswith("<svg")
    True
    """
    nodes = ledger.nodes
    if len(nodes) > READABLE:
        why = f"a picture of more than {READABLE} cannot be read"
        raise InputError(
            f"the ledger has {len(nodes):,} nodes", why=why, fix="write a page with .html(path), which folds"
        )
    depth = max((account.layer for account in nodes if account.layer is not None), default=0)
    layers = [depth if account.layer is None else account.layer for account in nodes]
    labels = [(f"{_cut(account.name, 18)} = {_amount(account.value)}", _amount(account.settled)) for account in nodes]
    widths = [max(LEAST, CHARACTER * max(map(len, label)) + 18) for label in labels]
    index = {account: k for k, account in enumerate(nodes)}
    edges = [(index[edge.payer], index[edge.arg]) for edge in ledger.edges]
    middles, lanes = routed(layers, edges, [width + GAP for width in widths], most=LANES)
    between = [x for passed in lanes.values() for _, x in passed]
    least = min([x - width / 2 for x, width in zip(middles, widths, strict=True)] + between, default=0.0)
    xs = [x - least + 8 for x in middles]
    ys = [8 + HIGH / 2 + layer * ROW for layer in layers]
    right = [x + width / 2 for x, width in zip(xs, widths, strict=True)] + [x - least + 8 for x in between]
    wide = max(right, default=0.0) + 8
    high = max(ys, default=0.0) + HIGH / 2 + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" '
        f'height="{high:.0f}" class="payback" role="img">'
        f"<title>{escape(_cut(ledger.top.name, 60))}: who owes whom</title><style>{_STYLE}</style>"
    ]
    partials = []
    for edge, (payer, arg) in zip(ledger.edges, edges, strict=True):
        passed = [(x - least + 8, 8.0 + layer * ROW) for layer, x in lanes.get((payer, arg), ())]  # beside boxes
        starts = [(xs[payer], ys[payer] + HIGH / 2), *((x, y + HIGH) for x, y in passed)]
        pieces = [(*start, *end, max(20.0, (end[1] - start[1]) / 2.2))
                  for start, end in zip(starts, [*passed, (xs[arg], ys[arg] - HIGH / 2)], strict=True)]  # fmt: skip
        drawn = "L".join(
            f"{x1:.1f} {y1:.1f}C{x1:.1f} {y1 + bend:.1f} {x2:.1f} {y2 - bend:.1f} {x2:.1f} {y2:.1f}"
            for x1, y1, x2, y2, bend in pieces
        )
        parts.append(f'<path class="edge" d="M{drawn}"/>')
        x1, y1, x2, y2, bend = pieces[0]
        t, u = 0.36, 0.64  # nearer to the payer, where edges are apart
        at = (u**3 + 3 * u * u * t) * x1 + (3 * u * t * t + t**3) * x2
        down = u**3 * y1 + 3 * u * u * t * (y1 + bend) + 3 * u * t * t * (y2 - bend) + t**3 * y2
        partials.append(
            f'<text class="partial" x="{at:.1f}" y="{down + 4:.1f}">{escape(_cut(_amount(edge.partial), 20))}</text>'
        )
    parts += partials  # above every edge
    for account, (first, second), x, y, width in zip(nodes, labels, xs, ys, widths, strict=True):
        kind = "box" + " leaf" * (account in ledger.leaves) + " none" * (account.settled is None)
        parts.append(
            f'<rect class="{kind}" x="{x - width / 2:.1f}" y="{y - HIGH / 2:.1f}" width="{width:.1f}" height="{HIGH}" '
            f'rx="9"/><text x="{x:.1f}" y="{y - 5:.1f}">{escape(first)}</text>'
            f'<text class="owed" x="{x:.1f}" y="{y + 14:.1f}">{escape(second)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _amount(value: Any) -> str:
    if value is None:
        return "no path"
    if isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_amount, value))
    if isinstance(value, np.ndarray):
        with np.errstate(all="ignore"):
            return f"[{'×'.join(map(str, value.shape))}] ‖{float(np.linalg.norm(value.ravel().astype(float))):.4g}‖"
    return shown(float(f"{value:.6g}")) if isinstance(value, float) else shown(value)


def _cut(text: str, most: int) -> str:
    """What can be seen of a text, and not too much of it."""
    seen = "".join(c if c.isprintable() else f"‹U+{ord(c):04X}›" for c in text)
    return seen if len(seen) <= most else seen[: most - 1] + "…"
