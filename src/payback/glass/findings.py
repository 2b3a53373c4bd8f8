"""What stands out in a training: findings in words, with what to do about each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


def short(x: float) -> str:
    """A number as people read it.

    >>> short(12380.4), short(113.2), short(1.5e-7)
    ('12,380', '113', '1.5e-07')
    """
    return f"{x:,.0f}" if 1_000 <= abs(x) < 1e6 else f"{x:.3g}"


@dataclass(frozen=True)
class Finding:
    """Something that keeps a training from what it is for.

    kind: in one word, such as "dead units".  what: is the case, with its place and numbers.  why: that hurts, or comes
    about.  fix: what helps.
    """

    kind: str
    what: str
    why: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.why}\n   what helps: {self.fix}"


@dataclass(frozen=True)
class Diagnosis:
    """What a training has come to, and what stands out in it; nothing may.  `found.kinds` are the kinds of findings.

    learned: one line on the cost, beside that of the best answer which is the same for all rows.
    """

    learned: str
    findings: tuple[Finding, ...]

    @property
    def kinds(self) -> list[str]:
        return [finding.kind for finding in self.findings]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, k: int) -> Finding:
        return self.findings[k]

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        told = [f"{k}. {finding}" for k, finding in enumerate(self.findings, 1)] or ["nothing stands out"]
        return "\n".join([self.learned, *told])

    def to_json(self) -> dict[str, Any]:
        return {"learned": self.learned, "findings": [asdict(finding) for finding in self.findings]}
