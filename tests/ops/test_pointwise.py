"""Every pointwise row × dtype × layout × {value, first and second derivatives, both namespaces, abstract}."""

from __future__ import annotations

import numpy as np
import pytest

import amount
from ops import checks, special_functions
from ops.samples import ELSEWHERE, FLOATS, LEAVES, LINEAR, OPERATORS, POINTWISE, REDUCTIONS, SPECIAL, traced
from payback.ops import TABLE

ROWS = sorted(POINTWISE)
DTYPES = [pytest.param(dtype, id=np.dtype(dtype).name) for dtype in FLOATS]


# How an array lies in memory is no matter of a row: SciPy's functions, the slow ones, and float16 see all layouts with
# --full.
FEWER = ("0-d", "empty", "vector", "transposed")
LAID_OUT = [
    pytest.param(name, layout, dtype, id=f"{name}-{layout}-{np.dtype(dtype).name}")
    for name in ROWS for layout in checks.LAYOUTS for dtype in FLOATS
    if (name not in SPECIAL and dtype is not np.float16) or layout in FEWER or amount.full()
]  # fmt: skip


def test_every_row_has_a_sample():
    own = {name for name, row in TABLE.items() if row.kind == "own"}  # see test_own.py
    linear = {case.row for case in LINEAR.values()}
    described = {*own, *POINTWISE, *special_functions.rows(), *linear, *REDUCTIONS, *ELSEWHERE, *LEAVES}
    assert described == set(TABLE)


@pytest.mark.parametrize("name", ROWS)
def test_samples_and_rows_agree_on_the_arguments(name):
    row = TABLE[name]
    assert row.kind == "pointwise"
    assert len(row.partials) == len(POINTWISE[name].points)
    live = {slot for slot, partial in enumerate(row.partials) if partial is not None}
    assert live == set(checks.live_slots(name))
    assert row.facts["math"]


@pytest.mark.parametrize(("name", "layout", "dtype"), LAID_OUT)
def test_value(name, dtype, layout):
    checks.check_value(name, checks.arguments(name, dtype, layout, start=3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in ROWS if len(POINTWISE[name].points) > 1])
def test_value_and_vjp_of_broadcast_arguments(name, dtype):
    for args in checks.broadcast_arguments(name, dtype):
        checks.check_value(name, args)
        checks.check_vjp(name, args)
        checks.check_abstract(POINTWISE[name].call, args)


@pytest.mark.parametrize(("name", "layout", "dtype"), LAID_OUT)
def test_vjp(name, dtype, layout):
    checks.check_vjp(name, checks.arguments(name, dtype, layout))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in ROWS if checks.live_slots(name)])
def test_second_order(name, dtype):
    for layout in ("vector", "0-d", "empty"):
        checks.check_second(name, checks.arguments(name, dtype, layout))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_abstract(name, dtype):
    for layout in ("0-d", "empty", "transposed"):
        checks.check_abstract(POINTWISE[name].call, checks.arguments(name, dtype, layout))


@pytest.mark.parametrize("name", ROWS)
def test_python_numbers(name):
    """A Python number is weak: a NumPy function makes a NumPy scalar of it, an operator a Python number."""
    sample = POINTWISE[name]
    args = [column[1] for column in sample.points]
    for call, numpy in [(sample.call, sample.numpy), *[(f, f) for f in [OPERATORS.get(name)] if f]]:
        if sample.ulps is None:
            found, expected = checks.value(call(*map(traced, args))), numpy(*args)
            assert type(found) is type(
                expected if np.ndim(expected) or not isinstance(expected, np.ndarray) else expected[()]
            )
            assert found == expected
        if not all(type(arg) is bool for arg in args):
            checks.check_abstract(call, args)


@pytest.mark.parametrize("name", [name for name in OPERATORS if checks.live_slots(name)])
def test_derivatives_of_python_numbers(name):
    """Programs of Python floats have their own short path: the same truth."""
    for start in range(len(POINTWISE[name].points[0])):
        args = [column[start] for column in POINTWISE[name].points]
        inputs = [traced(arg) for arg in args]
        top = OPERATORS[name](*inputs)
        assert type(top.node.value) is float
        for slot, got in enumerate(checks.sweep_both(top, 1.0, inputs)):
            exact = checks.exact_partial(name, tuple(args), tuple(int(k == slot) for k in range(len(args))))
            checks._close(got, exact, abs(exact), 1, 1, 0)
