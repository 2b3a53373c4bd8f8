"""A step whose numbers are not finite: where they were born, and what is needed to run it again."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.errors import InputError, NonFiniteError

ON_NAN = ("refuse", "explain")


class BadStep(NamedTuple):
    """The step that was not applied.  rows: of its batch; None: all."""

    rows: Any
    rate: float
    cost: float
    norm: float
    length: float


def check_on_nan(on_nan: Any) -> None:
    if on_nan not in ON_NAN:
        raise InputError(f"on_nan is {on_nan!r:.40}", why=f"it is {' or '.join(map(repr, ON_NAN))}")


def tell_bad_step(problem: NonFiniteError, *args: Any) -> None:
    pass
