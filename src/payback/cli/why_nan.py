"""`payback why-nan TARGET`: where a NaN or an infinity was born, in a value or in its gradient."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from cyclopts import Parameter

from payback.cli.options import Out
from payback.cli.subject import split_names, subject
from payback.glass.explain import chosen_nodes, run
from payback.glass.record import number
from payback.glass.why_nan import nan_origins


def why_nan(
    target: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *values: str,
    wrt: str | None = None,
    row: str | None = None,
    out: Out,
) -> None:
    """Find where a NaN or an infinity was born, in a value or in its gradient.

    All origins are listed in order: the element, the operands' values, the operation, your own sub-expression and the
    reason.  Loops, branches and calls are looked into, step by step.

    With --json one object: payback ("why-nan"), version (1), target, value, bad (gradients that are not finite -> how
    many entries) and origins: phase, what, index, count, size, operands, result, rule, fact, place, times,
    after, run, cure.

    Parameters
    ----------
    target
        An expression such as "log(a)", a file and a function such as model.py:cost, or the folder of a model.
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
        with out.working("looking for what is not finite"):
            found = nan_origins(seen.top, chosen, looked_at.names | looked_at.named(seen), seen.data)
    for line in str(found).splitlines():
        out.line(line)
    if not out.json:
        return
    origins = [
        {"phase": o.phase, "what": o.what, "index": list(o.index), "count": o.count, "size": o.size,
         "operands": {text: number(float(value)) for text, value in o.operands}, "result": number(float(o.result)),
         "rule": o.rule, "fact": o.fact, "place": o.place._asdict() if o.place else None, "times": o.times,
         "after": o.after, "run": list(o.run), "cure": o.cure}
        for o in found
    ]  # fmt: skip
    head = {"payback": "why-nan", "version": 1, "target": target, "value": number(float(np.asarray(found.value)))}
    out.result(head | {"bad": found.bad, "origins": origins})
