"""What a call of the program gives."""

from __future__ import annotations


def good(run, *arguments):
    code, out, err = run(*arguments)
    assert (code, err) == (0, ""), err
    return out
