"""What is wanted of each work: how many times faster than the best peer, and which share of the machine's limit."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    ratio: float  # of the best peer's time to payback's, at least
    share: float | None = None  # of the machine's limit that payback reaches, at least
    seconds: float | None = None  # at most


TARGETS = {
    "tiny": Target(8.0),
    "digits": Target(2.5, 0.45),
    "deep": Target(3.0),
    "mnist": Target(1.3, 0.70),
    "wide": Target(1.15, 0.70),
    "logistic": Target(1.5, 0.70),
    "gmm": Target(2.0),
    "bundle": Target(2.0),
    "lstm": Target(2.0),
    "options": Target(1.5, 0.50),
    "small": Target(3.0, seconds=5e-6),
    "scalars": Target(3.0),
}
