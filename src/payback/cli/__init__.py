"""The command line: `payback` and `python -m payback`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these arguments (default: the process's) and return its exit code; see `payback.cli.app`."""
    try:
        from payback.cli.app import main as run

        return run(argv)
    except KeyboardInterrupt:  # while the program is loaded
        print("payback: interrupted", file=sys.stderr)
        return 130
