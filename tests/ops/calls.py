"""Calls of NumPy's functions, chapter by chapter, and the checks that every one of them must pass.

A call is the same expression on traced values and on arrays, so it is its own truth: the value is NumPy's, bit for
bit unless a number of roundings is stated; derivatives are those of finite differences of the call on plain arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import assert_same
from ops.samples import traced
from payback.trace.array import Traced
from payback.trace.tree import leaves

FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True)
class Call:
    """call      of arguments all of which are differentiated by
    args      in float64; given in float32 and float16 too
    ulps      how many roundings of the largest entry the value may differ from NumPy's
    abstract  whether it runs without numbers
    dtypes    that NumPy itself has the call for
    """

    call: Callable[..., Any]
    args: tuple[Any, ...]
    ulps: float = 0
    abstract: bool = True
    dtypes: tuple[Any, ...] = FLOATS


def apart(generator: Any, *shape: int) -> Any:
    """Numbers of both signs, none near another one or near 0: finite differences change no order and no sign."""
    size = int(np.prod(shape))
    grid = np.linspace(-1.8, 1.8, size) if size % 2 == 0 else np.linspace(-1.8, 1.5, size + 1)[1:]
    return (generator.permutation(grid) + generator.uniform(-0.2, 0.2, size) / size).reshape(shape)


def table(*calls: tuple[Any, ...], **options: Any) -> list[Call]:
    """Calls with common options: (call, *args) each."""
    return [Call(call, tuple(np.asarray(arg, np.float64)[()] for arg in args), **options) for call, *args in calls]


def _plain(leaf: Any) -> Any:
    return leaf.node.value if isinstance(leaf, Traced) else np.asarray(leaf)[()]


def check_value(case: Call, dtype: Any) -> None:
    """NumPy's container, values, dtypes and shapes."""
    args = [np.asarray(arg, dtype)[()] for arg in case.args]
    with np.errstate(all="ignore"):
        expected, found = case.call(*args), case.call(*map(traced, args))
    assert isinstance(expected, (tuple, list)) == isinstance(found, (tuple, list))
    if isinstance(expected, (tuple, list)):
        assert isinstance(found, list) == isinstance(expected, list)
    for want, got in zip(leaves(expected), map(_plain, leaves(found)), strict=True):
        want = np.asarray(want)[()]
        assert want.dtype == got.dtype
        assert want.shape == got.shape
        if case.ulps and want.dtype.kind == "f":
            rounding = case.ulps * float(np.finfo(min(want.dtype, np.dtype(dtype), key=lambda d: d.itemsize)).eps)
            size = float(np.max(np.abs(want[np.isfinite(want)]), initial=0))
            np.testing.assert_allclose(got, want, rtol=rounding, atol=rounding * size)
        else:
            assert_same(got + 0 if got.dtype.kind == "f" else got, want + 0 if want.dtype.kind == "f" else want)


def _floating(case: Call) -> Callable[..., tuple[Any, ...]]:
    """The call's floating results."""

    def floating(*args: Any) -> tuple[Any, ...]:
        found = leaves(case.call(*args))
        return tuple(x for x in found if (x.dtype if isinstance(x, Traced) else np.asarray(x).dtype).kind == "f")

    return floating


def bars(like: Any, seed: int) -> tuple[Any, ...]:
    generator = np.random.default_rng(seed)
    return tuple(np.asarray(generator.uniform(0.5, 1.5, np.shape(x)), np.asarray(x).dtype)[()] for x in like)


def check_derivatives(case: Call, order: int) -> None:
    """Against finite differences; forward and reverse mode alike; in float32 the same to its own precision."""
    f = _floating(case)
    pb.check_grads(f, *case.args, order=order)
    dots = bars(case.args, 3)
    out, moved = pb.jvp(f, case.args, dots)
    owed = bars(out, 4)
    pulled = pb.vjp(f, *case.args)[1](owed)
    terms = [np.sum(np.float64(a) * b) for a, b in zip(moved, owed, strict=True)]
    terms += [-np.sum(np.float64(a) * b) for a, b in zip(pulled, dots, strict=True)]
    size = sum(float(np.sum(np.abs(np.float64(a) * b))) for a, b in zip(moved, owed, strict=True))
    assert abs(sum(terms)) <= 1e-13 * max(size, 1)
    assert any(np.any(p) for p in pulled), "nothing is differentiated"
    if np.float32 in case.dtypes:
        args = tuple(np.asarray(a, np.float32)[()] for a in case.args)
        with np.errstate(all="ignore"):
            narrow = pb.vjp(f, *args)
            narrow = narrow[1](tuple(np.asarray(b, np.asarray(o).dtype)[()]
                                     for o, b in zip(narrow[0], owed, strict=True)))  # fmt: skip
        for wide, got in zip(pulled, narrow, strict=True):
            assert np.asarray(got).dtype == np.float32
            np.testing.assert_allclose(got, wide, rtol=2e-3, atol=2e-3 * float(np.max(np.abs(wide), initial=1)))


def check_without_numbers(case: Call) -> None:
    """Compiled for the interpreter, value and gradient together: the bits of the eager run."""
    f = _floating(case)

    def both(*xs: Any) -> Any:
        out, pull = pb.vjp(f, *xs)
        return out, pull(bars(owed, 4))

    owed = f(*case.args)
    expected = both(*case.args)
    with np.errstate(all="ignore"):
        found = pb.compile(both, native=False)(*case.args)
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        assert_same(np.asarray(a) + 0.0, np.asarray(b) + 0.0)


def _values(cases: list[Call]) -> list[Any]:
    """(case, dtype): every dtype with --full, else one or two, another one for each case in turn."""
    return [
        pytest.param(case, dtype, id=f"{i}-{np.dtype(dtype).name}")
        for i, case in enumerate(cases)
        for k, dtype in enumerate(case.dtypes)
        if amount.full() or k != i % 3
    ]


def _orders(cases: list[Call]) -> list[Any]:
    """(case, order of derivatives that finite differences confirm): the second with --full, else every other case."""
    return [pytest.param(case, 2 if amount.full() or i % 2 else 1, id=str(i)) for i, case in enumerate(cases)]


def tests(cases: list[Call]) -> tuple[Callable[..., None], ...]:
    """The tests of a table: its values, its derivatives, and those that need no numbers without any."""

    @pytest.mark.parametrize(("case", "dtype"), _values(cases))
    def test_value(case: Call, dtype: Any) -> None:
        check_value(case, dtype)

    @pytest.mark.parametrize(("case", "order"), _orders(cases))
    def test_derivatives(case: Call, order: int) -> None:
        check_derivatives(case, order)

    @pytest.mark.parametrize("case", [case for case in cases if case.abstract], ids=lambda c: None)
    def test_without_numbers(case: Call) -> None:
        check_without_numbers(case)

    return test_value, test_derivatives, test_without_numbers
