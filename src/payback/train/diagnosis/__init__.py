"""Why a recorded training has not come to what it is for.

A rule is a function of the `Evidence` that yields findings.  What a rule needs to speak is a fact of the run, never a
habit of trainings: what is only unusual is not told, and of what may be meant (a narrow waist, a frozen layer, a large
column) only where the training has come to hardly more than the same answer for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from payback.errors import PaybackError
from payback.glass.findings import Diagnosis, Finding
from payback.train.diagnosis import loss, network, steps, table
from payback.train.diagnosis.evidence import Evidence
from payback.train.runs import RecordedRun

Rule = Callable[[Evidence], Iterator[Finding]]
RULES: tuple[Rule, ...] = (*loss.RULES, *table.RULES, *network.RULES, *steps.RULES)


def diagnose(run: RecordedRun) -> Diagnosis:
    """See `RecordedRun.diagnose`."""
    evidence = Evidence(run)
    with np.errstate(all="ignore"):  # what is not finite is told
        evidence.found += _failed(run)
        for rule in RULES:
            evidence.found += rule(evidence)
    return Diagnosis(evidence.learned, tuple(evidence.found))


def _failed(run: RecordedRun) -> Iterator[Finding]:
    """The step that was not applied."""
    if run.failed is None:
        return
    try:
        origins = run.why_nan().origins
    except PaybackError:  # the loss cannot be looked into
        origins = ()
    names = [name for name in ("cost", "norm", "length") if isinstance(getattr(run.failed, name), str)]
    what = {"norm": "gradient", "length": "step"}.get(names[0], names[0]) if names else "cost"
    why = str(origins[0]) if origins else "where it was born is not known"
    cure = origins[0].cure if origins else ""
    yield Finding("not finite", f"step {run.failed.n:,}: its {what} is not finite", why,
                  cure or "smaller steps, or clip_norm=")  # fmt: skip


__all__ = ["RULES", "diagnose"]
