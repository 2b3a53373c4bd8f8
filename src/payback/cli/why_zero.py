"""`payback why-zero TARGET`: which entries of a gradient are zero, and why."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from payback.cli.options import Out
from payback.cli.subject import split_names, subject
from payback.glass.explain import chosen_nodes, run
from payback.glass.why_zero import zero_causes


def why_zero(
    target: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *values: str,
    wrt: str | None = None,
    row: str | None = None,
    out: Out,
) -> None:
    """Tell the zeros of a gradient apart: no path, masked, zero partial, underflow, cancellation; with exact counts.

    With --json one object: payback ("why-zero"), version (1), target, and leaves by name: size, zeros, counts (by kind)
    and causes: kind, count, what, op, place, stopped, size, fact, after, cure.

    Parameters
    ----------
    target
        An expression such as "max(a,b)", a file and a function such as model.py:cost, or the folder of a model.
    values
        What it is computed from: NAME=VALUE for each argument (see "payback audit --help"); for a model a table.
    wrt
        Names, separated by commas: only the gradients by these. A network's weights are W1, b1, W2, ...
    row
        For a model: the number of a row of the table, from 0, or all.
    """
    with subject(target, values, row, out) as looked_at:
        seen = run(looked_at.function, looked_at.args, looked_at.kwargs, looked_at.argnums)
        chosen = chosen_nodes(seen, split_names(wrt) or None)
        with out.working("telling zeros apart"):
            found = zero_causes(seen.top, chosen, looked_at.names | looked_at.named(seen), seen.rounded)
    for line in str(found).splitlines():
        out.line(line)
    if out.json:
        leaves = {
            zeros.leaf: {
                "size": zeros.size, "zeros": zeros.zeros, "counts": zeros.counts,
                "causes": [
                    {"kind": c.kind, "count": c.count, "what": c.what, "op": c.op, "stopped": c.stopped, "size": c.size,
                     "place": c.place._asdict() if c.place else None, "fact": c.fact, "after": c.after,
                     "cure": c.cure}
                    for c in zeros.causes
                ],
            }
            for zeros in found
        }  # fmt: skip
        out.result({"payback": "why-zero", "version": 1, "target": target, "leaves": leaves})
