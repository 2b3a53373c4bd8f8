"""Rules on the steps: too long, too short, cut, or drawn back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from payback.glass.findings import Finding, short
from payback.optim.optimizers import AdamW
from payback.train.diagnosis.evidence import Evidence

FAR = 64.0  # times as long as they are, steps would still have lowered the cost
CUT = 30.0


def lengths(at: Evidence) -> Iterator[Finding]:
    """Steps that overshoot, or get nowhere."""
    looks = [look for look in at.looks if np.isfinite(look.cost) and look.promise < 0]
    if not looks or at.optimizer.line_search:
        return
    rate = at.run.steps[looks[0].n].rate
    rose = [look for look in looks if look.rose]
    if (at.poor or at.run.failed or at.ended > at.began) and len(rose) > len(looks) / 2:
        best = float(np.median([look.best for look in rose]))
        shorter = f"1/{1 / best:.0f} as long would have been best" if best else "none of these directions is good"
        yield Finding("steps too long", f"{len(rose)} of {len(looks)} steps that were looked at raised the cost of "
                      "their own batch", f"the gradient said that it falls, which holds for shorter steps: {shorter}",
                      f"a smaller rate: {rate * (best or 1 / 256):.1g} where it is {short(rate)}")  # fmt: skip
        return
    if at.found:  # what else keeps the cost up is not the steps' fault
        return
    far = [look for look in looks if look.best >= FAR]
    floor = at.floor if np.isfinite(at.floor) else min(0.0, at.ended)
    stuck = at.began - at.ended < 0.01 * (at.began - floor)
    if (at.poor or stuck) and len(far) > 0.7 * len(looks):
        by = float(np.median([look.best for look in far]))
        clip, norms = at.optimizer.clip_norm, at.run.steps["norm"]
        if clip is not None and np.median(norms) > CUT * clip:
            yield Finding("clipped to nothing", f"clip_norm={clip:g} makes each gradient, of a norm of "
                          f"{short(np.median(norms))}, {clip / np.median(norms):.1g} of it",
                          f"steps {by:.0f} times as long would have lowered the cost more",
                          f"clip_norm={float(np.median(norms)):.0g}, which cuts only what is unusual")  # fmt: skip
        else:
            yield Finding("steps too short", f"in {len(far)} of {len(looks)} steps that were looked at one {by:.0f} "
                          "times as long would have lowered the cost more", "the cost falls as slowly as it does",
                          f"a larger rate: {rate * by / 4:.1g} where it is {short(rate)}; more epochs")  # fmt: skip


def decay(at: Evidence) -> Iterator[Finding]:
    """Weights that are drawn to 0 faster than the gradient can move them."""
    if not isinstance(at.optimizer, AdamW) or not at.poor or not at.looks:
        return
    sizes = [np.sqrt(sum(float(np.sum(np.square(np.asarray(leaf.value), dtype=float)))
                         for name, leaf in shown.leaves.items() if leaf.shape and len(leaf.shape) > 1))
             for shown in (at.at_first, at.at_last)]  # fmt: skip
    share = at.run.steps[at.looks[0].n].rate * at.optimizer.weight_decay
    if sizes[1] < 0.3 * sizes[0] and share * len(at.run) > 1:
        yield Finding("weight decay", f"weight_decay={at.optimizer.weight_decay:g} takes {short(share)} of all weights "
                      f"in a step: together they shrank from {short(sizes[0])} to {short(sizes[1])}",
                      "the gradient cannot make good for it, and the answers become one",
                      f"a smaller one: {0.1 / share * at.optimizer.weight_decay / len(at.run):.1g}")  # fmt: skip


RULES = (decay, lengths)
