"""How many cases a generated test gets: few in the everyday run, many with `--full`, more still with `--soak`.

It works where tests are collected, in `parametrize` and in the bodies of tests alike:

    @pytest.mark.parametrize("seed", range(amount.cases(5, 200)))
"""

from __future__ import annotations

import os

VARIABLE = "PAYBACK_TEST_FULL"


def full() -> bool:
    """Whether pytest was started with --full or --soak (kept in the environment, so that subprocesses know it too)."""
    return os.environ.get(VARIABLE) in ("1", "2")


def soak() -> bool:
    """Whether pytest was started with --soak: for hours, not for CI."""
    return os.environ.get(VARIABLE) == "2"


def cases(few: int, many: int, most: int | None = None) -> int:
    """`many` with --full, `most` (if it is given) with --soak, else `few`."""
    if most is not None and soak():
        return most
    return many if full() else few
