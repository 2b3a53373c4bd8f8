"""How many cases a generated test gets: few in the everyday run, many with `--full`.

It works where tests are collected, in `parametrize` and in the bodies of tests alike:

    @pytest.mark.parametrize("seed", range(amount.cases(5, 200)))
"""

from __future__ import annotations

import os

VARIABLE = "PAYBACK_TEST_FULL"


def full() -> bool:
    """Whether pytest was started with --full (kept in the environment, so that subprocesses know it too)."""
    return os.environ.get(VARIABLE) == "1"


def cases(few: int, many: int) -> int:
    """`many` with --full, else `few`."""
    return many if full() else few
