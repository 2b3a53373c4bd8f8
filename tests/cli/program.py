"""What a call of the program gives."""

from __future__ import annotations

# Options that fit a line by gradient descent until it is exact.
LINE = [
    "--hidden", "none", "--optimizer", "gd", "--line-search", "--batch-size", "all", "--valid", "0", "--test", "0",
    "--tol", "1e-10",
]  # fmt: skip


def good(run, *arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, ""), err
    return out
