"""Every row with a rule of its own: value, both modes, second order, both namespaces, and without numbers."""

from __future__ import annotations

import numpy as np
import pytest

import amount
from ops import own, own_control, own_linalg, own_scans, own_scipy
from payback.ops import TABLE

CASES = {**own_control.CASES, **own_linalg.CASES, **own_scans.CASES, **own_scipy.CASES}
DTYPES = [pytest.param(dtype, id=np.dtype(dtype).name) for dtype in (np.float32, np.float64)]
# Everyday every second row in float32 too.
IN_TURNS = [
    pytest.param(name, dtype, id=f"{name}-{np.dtype(dtype).name}")
    for i, name in enumerate(CASES)
    for dtype in (np.float32, np.float64)
    if dtype is np.float64 or i % 2 or amount.full()
]


def test_every_own_row_has_a_use():
    used = {row for case in CASES.values() for row in case.rows} | own_control.ONLY_WITHOUT_NUMBERS
    assert used == {name for name, row in TABLE.items() if row.kind == "own"}


@pytest.mark.parametrize("name", CASES)
def test_the_use_is_of_the_row(name):
    assert set(CASES[name].rows) <= own.rows_used(CASES[name])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_value(name, dtype):
    own.check_value(CASES[name], dtype)


@pytest.mark.parametrize(("name", "dtype"), IN_TURNS)
def test_reverse_mode(name, dtype):
    own.check_vjp(CASES[name], dtype)


@pytest.mark.parametrize(("name", "dtype"), IN_TURNS)
def test_forward_mode(name, dtype):
    own.check_jvp(CASES[name], dtype)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.abstract])
def test_without_numbers(name):
    own.check_without_numbers(CASES[name], np.float64)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.abstract][:: amount.cases(8, 1)])
@pytest.mark.parametrize("dtype", DTYPES[-amount.cases(1, 2) :])
def test_compiled(name, dtype):
    own.check_compiled(CASES[name], dtype)


@pytest.mark.parametrize("factor", [-1.0, 2.0, 1.001], ids=["sign flipped", "factor 2", "a thousandth off"])
@pytest.mark.parametrize("name", CASES)
def test_a_wrong_rule_is_caught(name, factor, monkeypatch):
    """The vjp of the first row that a use names is bent: the check of reverse mode must fail."""
    row = TABLE[CASES[name].rows[0]]
    rule = row.vjp
    monkeypatch.setattr(
        row, "vjp", lambda *args, **params: [p if p is None else p * factor for p in rule(*args, **params)]
    )
    with np.errstate(all="ignore"), pytest.raises((AssertionError, TypeError)):
        own.check_vjp(CASES[name], np.float64)
