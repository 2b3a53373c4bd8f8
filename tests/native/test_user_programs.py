"""Random programs of user code: compiled they are what the interpreter makes of them, and that is what NumPy makes.

Values and gradients, on any number of threads.  Memory for intermediate values holds NaN at first: what is read before
it was written would show.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from native.user_programs import Program, write
from payback.errors import PaybackError
from payback.native.running import program
from payback.native.running import table as machine
from payback.trace.tree import leaves

NARROW = ("float16", "int8")


def numbers(result: Any) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in leaves(result) if isinstance(leaf, (np.ndarray, np.generic, int, float))]


def quietly(f: Any, args: Any) -> Any:
    """The result of f; None where it refuses such code, as it says."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return f(*args)
        except (PaybackError, np.exceptions.AxisError):  # an integer array that is to be known, an axis of a number
            return None


def tolerance(case: Program) -> float:
    kinds = {np.asarray(arg).dtype.name for arg in case.args}
    if any(word in case.source for word in NARROW) or kinds & {"float16", "int8", "uint8"}:
        return 0.1
    return 2e-4 if "float32" in case.source or "float32" in kinds else 1e-10


def assert_same(found: Any, expected: Any, case: Program, exact: bool) -> None:
    for a, b in zip(numbers(found), numbers(expected), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype), str(case)
        if exact or b.dtype.kind != "f":
            assert np.array_equal(a, b, equal_nan=b.dtype.kind == "f"), f"{a!r} is not {b!r}\n{case}"
            continue
        x, y = a.astype(float), b.astype(float)
        known = np.isfinite(y)
        assert np.array_equal(x[~known], y[~known], equal_nan=True), str(case)
        scale = max(np.max(np.abs(y), initial=0.0, where=known), 5.0)
        assert np.max(np.abs(x - y), initial=0.0, where=known) <= tolerance(case) * scale, f"{a!r} is not {b!r}\n{case}"


def loss_of(case: Program) -> Any:
    """A number made of all floating results."""
    f = case.f

    def loss(*args: Any) -> Any:
        rng, total = np.random.default_rng(case.seed), 0.0
        for leaf in leaves(f(*args)):
            weight = rng.integers(-4, 5) / 4
            if getattr(leaf, "dtype", np.dtype(float)).kind == "f":
                total = total + weight * np.sum(leaf)
        return total

    return loss


@pytest.fixture
def poisoned(monkeypatch):
    """Memory that programs ask for holds NaN."""

    class Poisoned:
        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        @staticmethod
        def empty(shape: Any, dtype: Any = float) -> Any:
            made = np.empty(shape, dtype)
            made.reshape(-1).view(np.uint8)[...] = 0xFF
            return made

    for module in (program, machine):
        monkeypatch.setattr(module, "np", Poisoned())


def compare(case: Program) -> None:
    f, args = case.f, case.args
    copies = [arg.copy("K") if isinstance(arg, np.ndarray) else arg for arg in args]
    interpreted = quietly(pb.compile(f, native=False), args)
    if interpreted is None:
        return
    assert_same(interpreted, quietly(f, copies), case, case.exact)
    compiled = pb.compile(f, native=True)
    for _ in range(2):  # the second call has a quicker way in
        assert_same(quietly(compiled, args), interpreted, case, case.exact)
    floating = tuple(k for k, arg in enumerate(args) if np.asarray(arg).dtype.kind == "f")
    if floating:
        both = pb.value_and_grad(loss_of(case), argnums=floating)
        expected = quietly(pb.compile(both, native=False), args)
        if expected is not None:
            assert_same(quietly(pb.compile(both, native=True), args), expected, case, False)


@pytest.mark.parametrize("seed", range(amount.cases(15, 300, 3000)))
def test_values_and_gradients(seed, poisoned):
    compare(write(seed))


@pytest.mark.parametrize("seed", range(amount.cases(4, 60, 600)))
def test_large_arrays_on_several_threads(seed, poisoned):
    case = write(500_000 + seed, large=True, steps=12)
    compare(case)
    results = []
    try:
        for count in (1, 3):
            pb.set_threads(count)
            found = quietly(pb.compile(case.f, native=True), case.args)
            results.append([] if found is None else [part.tobytes() for part in numbers(found)])
    finally:
        pb.set_threads(None)
    assert results[0] == results[1], str(case)
