"""Random user programs (`sources.py`): nothing differs from NumPy, and no gradient is wrong, without an error.

Values of all that a program makes, with their shapes and dtypes, are NumPy's; gradients are compared with differences,
forward mode and second order with them, and compiled programs with all of that at other arguments.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import PaybackError
from payback.trace.tree import leaves
from programs.sources import Writer, arguments, copied, function

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("quiet")]
EVERYDAY, FULL, SOAK = 15, 150, 4000


@pytest.fixture(name="quiet")
def _quiet():
    with np.errstate(all="ignore"):
        yield


@functools.lru_cache(maxsize=4)
def written(seed: int, wide: bool = True, known: bool = False) -> Writer:
    return Writer(seed, wide, known)


def assert_same(found: Any, wanted: Any, rtol: float, what: str) -> None:
    for a, b in zip(leaves(found), leaves(wanted), strict=True):
        if callable(b):
            continue
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{a.dtype}{a.shape} is not {b.dtype}{b.shape}:\n{what}"
        near = rtol if b.dtype.itemsize >= 8 else 1e-3
        assert np.allclose(a, b, near, 10 * near, equal_nan=True), f"{a!r} is not {b!r}:\n{what}"


def dot(a: Any, b: Any) -> float:
    return sum(float(np.sum(np.multiply(x, y))) for x, y in zip(a, b, strict=True))


def slope(f: Any, args: Any, direction: Any) -> tuple[float, float]:
    """The difference quotient along a direction, and what it may be wrong by: infinite beside a kink."""

    def at(t: float) -> float:
        return float(f(*[x + t * d for x, d in zip(args, direction, strict=True)]))

    middle, steps = at(0.0), (1e-5, 2e-6)
    quotients = [((at(h) - at(-h)) / (2 * h), abs(at(h) + at(-h) - 2 * middle) / h) for h in steps]
    (wide, bend), (found, left) = quotients
    size = 1 + abs(found) + abs(middle)
    kink = left > 1e-4 * size and left > 0.5 * bend
    return found, np.inf if kink or abs(wide - found) > 1e-3 * size else 10 * abs(wide - found) + 2e-5 * size


def split(result: Any) -> tuple[Any, Any, Any]:
    (value, made), gradients = result
    return value, made, gradients


@pytest.mark.parametrize("seed", range(amount.cases(EVERYDAY, FULL, SOAK)))
def test_values_and_derivatives(seed):
    program = written(seed)
    f, what, args = function(program.source), program.source, program.args
    value, made = f(*map(copied, args))
    given = [copied(x) for x in args]
    try:
        found = split(pb.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)(*given))
    except PaybackError:
        return  # counted below
    assert all(map(np.array_equal, given, args)), what
    assert_same(found[:2], (value, made), 1e-10, what)
    rng = np.random.default_rng(seed)
    direction, weight = ([rng.standard_normal(np.shape(x))[()] for x in args] for _ in range(2))
    direction[2] = float(direction[2])

    def cost(*args: Any) -> Any:
        return f(*map(copied, args))[0]

    def slopes(*args: Any) -> Any:
        return dot(pb.grad(cost, argnums=(0, 1, 2))(*args), weight)

    exact = dot(found[2], direction)
    expected, error = slope(cost, args, direction)
    assert abs(exact - expected) <= error, f"{exact} is not {expected} ± {error}:\n{what}"
    assert np.isclose(pb.jvp(lambda *args: f(*args)[0], args, tuple(direction))[1], exact, 1e-7, 1e-8), what
    if seed % 2:
        tangents = pb.jvp(
            lambda *args: pb.grad(lambda *args: f(*args)[0], argnums=(0, 1, 2))(*args), args, tuple(direction)
        )
        expected, error = slope(slopes, args, direction)
        assert abs(dot(tangents[1], weight) - expected) <= 10 * error, f"second order, {expected} ± {error}:\n{what}"


@pytest.mark.parametrize("seed", range(50_000, 50_000 + amount.cases(EVERYDAY, FULL, SOAK)))
def test_narrow_numbers(seed):
    program = written(seed, wide=False)
    f, what = function(program.source), program.source
    try:
        found = split(pb.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)(*map(copied, program.args)))
    except PaybackError:
        return
    assert_same(found[:2], f(*map(copied, program.args)), 1e-5, what)


@pytest.mark.parametrize("seed", range(100_000, 100_000 + amount.cases(EVERYDAY, FULL, SOAK)))
def test_compiled_and_batched(seed):
    program = written(seed, known=True)
    f, what = function(program.source), program.source
    eager = pb.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)
    compiled = pb.compile(eager, native=None if seed % 4 == 0 else False)
    samples = [program.args, arguments(seed + 1)]
    for args in samples:
        try:
            wanted = f(*map(copied, args))
        except Exception:  # such numbers do not suit the program
            return
        if not np.isfinite(wanted[0]):
            return
        try:
            found = split(compiled(*map(copied, args)))
        except PaybackError:
            return
        assert_same(found[:2], wanted, 1e-8, what)
        assert_same(found[2], split(eager(*map(copied, args)))[2], 1e-6, what)
    strong = [(x, v, np.float64(s)) for x, v, s in samples]
    try:  # a program can ask for the type of its number, and then do what does not suit it
        wanted = [f(*map(copied, args))[0] for args in strong]
    except Exception:
        return
    try:
        found = pb.vmap(lambda *args: f(*args)[0])(*map(np.stack, zip(*strong, strict=True)))
    except PaybackError:
        return
    assert np.allclose(found, wanted, 1e-8, 1e-7), what


def unaligned(x):
    made = np.ndarray(x.shape, x.dtype, np.zeros(x.nbytes + 1, np.uint8), 1)
    made[...] = x
    return made


def among_others(x):
    made = np.zeros([2 * extent + 1 for extent in x.shape])[(slice(1, None, 2),) * x.ndim]
    made[...] = x
    return made


LAYOUTS = {
    "by rows": np.copy, "by columns": lambda x: np.array(x, order="F"), "among others": among_others,
    "backwards": lambda x: np.flip(np.flip(x).copy()), "rows backwards": lambda x: x[::-1].copy()[::-1],
    "part of a row": lambda x: np.stack([x, x], -1)[..., 0], "unaligned": unaligned,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(150_000, 150_000 + amount.cases(5, 40, SOAK)))
def test_arguments_that_lie_otherwise(seed):
    """What is a view, and so what a write changes, follows how the arguments lie; one compiled function takes all."""
    program = written(seed, known=True)
    f, what, rng = function(program.source), program.source, np.random.default_rng(seed)
    compiled = pb.compile(f, native=None if seed % 4 == 0 else False)
    for _ in range(3):
        names = [list(LAYOUTS)[k] for k in rng.integers(len(LAYOUTS), size=2)]
        given = [*[LAYOUTS[name](x) for name, x in zip(names, program.args, strict=False)], program.args[2]]
        wanted = f(*[LAYOUTS[name](x) for name, x in zip(names, program.args, strict=False)], program.args[2])
        for way in (compiled, lambda *args: pb.value_and_grad(f, argnums=(0, 1, 2), has_aux=True)(*args)[0]):
            try:
                assert_same(way(*given), wanted, 1e-8, f"{names}:\n{what}")
            except PaybackError:
                continue
            assert all(map(np.array_equal, given, program.args)), what


def test_few_programs_are_refused():
    refused = []
    for seed in range(amount.cases(25, 200)):
        program = written(seed)
        try:
            pb.value_and_grad(function(program.source), has_aux=True)(*map(copied, program.args))
        except PaybackError as error:
            refused.append(str(error))
    assert len(refused) <= 0.1 * amount.cases(25, 200), refused
