"""Thousands of small random programs: native code gives what the interpreter gives.

Exact rows (arithmetic, comparisons, choices, moves) to the bit; programs with sums, products and elementary functions
to rounding: no further from the same program in float64 than the interpreter is, but for a few units in the last place.
A failing case prints a program that reproduces it.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from native.compare import check, is_exact, program_of
from ops.checks import same_bits
from payback.errors import PaybackError
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

# means of nothing are among the programs: NaN, and NumPy says so
pytestmark = pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning")
EXTENTS = (1, 3, 17, 8, 0, 2, 33)
# fmt: off
EXACT_UNARY = ["-{a}", "abs({a})", "np.sign({a})", "np.floor({a})", "np.maximum({a}, 0.25)", "np.clip({a}, -0.5, 0.75)",
               "pb.nn.relu({a})", "np.sqrt(abs({a}))", "{a} * 0.3", "1.5 - {a}", "np.where({a} > 0.1, {a}, -{a})",
               "{a}.astype(np.float32)", "{a}.astype(np.float64)", "{a}.astype(np.float16)", "{a} / 3.0",
               "np.where({a} == {a}, 1.0, {a})", "({a} > 0.0).astype(np.float32)", "np.rint({a} * 4.0)",
               "({a} * 8.0).astype(np.int64)", "np.trunc({a})"]
EXACT_BINARY = ["{a} + {b}", "{a} - {b}", "{a} * {b}", "{a} / ({b} * {b} + 1.0)", "np.maximum({a}, {b})",
                "np.minimum({a}, {b})", "np.where({a} > {b}, {a}, {b} * 2.0)",
                "np.where(({a} >= {b}) & ({a} < 1.0), {b}, {a})"]
MOVES = ["{a}.T", "{a}.reshape(-1)", "{a}[None]", "{a}[..., ::-1]", "{a}[..., :2]", "{a}[::2]", "{a}[..., 1:, None]",
         "np.concatenate([{a}, {a} * 2.0], axis=-1)", "np.stack([{a}, -{a}], axis=-1)", "np.stack([{a}, {a}])",
         "{a}[..., np.array([0, -1, 0])]", "np.max({a}, axis=-1)", "np.min({a}, axis=0, keepdims=True)",
         "np.broadcast_to({a}, (2, *{a}.shape))", "{a}[np.array([[0, -1]])]", "np.cumsum({a}, axis=-1)",
         "np.moveaxis({a}, 0, -1)",
         "{a}.reshape({a}.shape[::-1])", "{a}[:, 0]", "{a}[-1]"]
ROUNDED = ["np.sum({a})", "np.sum({a}, axis=-1)", "np.mean({a}, axis=0, keepdims=True)", "np.sum({a}, axis=0)",
           "np.exp(np.minimum({a}, 2.0))", "np.tanh({a})", "np.sin({a})", "pb.nn.sigmoid({a})", "pb.nn.softplus({a})",
           "np.log({a} * {a} + 1.0)", "({a} * {a} + 0.25) ** 1.5", "pb.nn.logsumexp({a}, axis=-1)", "{a} @ {a}.T",
           "{a} - np.mean({a}, axis=-1, keepdims=True)", "np.exp({a} - np.max({a}))", "np.expm1(np.sin({a}))",
           "np.einsum('ij,ij->j', {a}, {a})", "np.tensordot({a}, {a}, ([0], [0]))"]
# fmt: on


def write(seed: int, exact: bool) -> tuple[str, tuple[Any, ...]]:
    """The source of a program and arguments for it."""
    rng = np.random.default_rng(seed)
    dtypes = [np.float32, np.float32, np.float64, np.float64, np.float16]
    dtype = dtypes[rng.integers(len(dtypes))] if exact else dtypes[rng.integers(4)]
    n, k = (EXTENTS[rng.integers(len(EXTENTS))] for _ in range(2))
    if seed % 50 == 7:
        n, k = 1000, 3 + seed % 4
    wide = rng.standard_normal((n, 2 * k))
    x = (wide[:, ::2] if seed % 3 else wide[:, :k]).astype(dtype)  # strided inputs too
    special = exact and seed % 5 == 2
    if special and x.size:
        x = x.copy()
        x.flat[::7], x.flat[3::11], x.flat[5::13] = np.nan, np.inf, -0.0
    args = (x[::-1] if seed % 4 == 1 else x, rng.standard_normal(k).astype(dtype), float(rng.standard_normal()))
    values: dict[str, Any] = {"x": args[0], "v": args[1], "s": args[2]}
    lines: list[str] = []
    space = {"np": np, "pb": pb}
    while len(lines) < 10:
        pool = list(values)
        a, b = (pool[i] for i in rng.integers(len(pool), size=2))
        if rng.integers(3):
            a = pool[-1]
        kinds = [EXACT_UNARY, EXACT_BINARY, MOVES] + ([] if exact else [ROUNDED, ROUNDED])
        choice = kinds[rng.integers(len(kinds))]
        text = choice[rng.integers(len(choice))].format(a=a, b=b)
        if special and "np.int64" in text:  # what NaN becomes there is the processor's choice
            continue
        try:
            with np.errstate(all="ignore"):
                made = eval(text, space, values)  # noqa: S307
        except (ValueError, IndexError, TypeError, AttributeError, PaybackError):
            continue
        made = np.asarray(made)
        if choice is MOVES and np.ndim(values[a]) == 0:  # NumPy takes a number for an array there, a trace does not
            continue
        if made.size > 20_000 or made.ndim > 5 or (made.dtype == np.float16 and not exact):
            continue
        if made.dtype.kind == "f" and made.size and not np.all(abs(made[np.isfinite(made)]) < 1e4):
            continue
        name = f"t{len(lines)}"
        lines.append(f"{name} = {text}")
        values[name] = made[()]
    results = [f"t{i}" for i in sorted({9, *map(int, rng.integers(10, size=2))})]
    source = "def f(x, v, s):\n" + textwrap.indent("\n".join([*lines, f"return {', '.join(results)},"]), "    ")
    try:
        trace(function(source), *args)
    except (PaybackError, AttributeError, ValueError):  # such as .T of a number
        return write(seed + 1_000_003, exact)
    return source, args


def function(source: str) -> Any:
    space: dict[str, Any] = {"np": np, "pb": pb}
    exec(source, space)
    return space["f"]


def reproduce(source: str, args: tuple[Any, ...]) -> str:
    shown = [f"{name} = np.{arg!r}" if isinstance(arg, np.ndarray) else f"{name} = {arg!r}"
             for name, arg in zip("xvs", args, strict=True)]  # fmt: skip
    return "\n".join(["", "from numpy import array, float16, float32, float64", *shown, source])


def close(found: Any, wanted: Any, truth: Any, scale: float, what: str) -> None:
    """No further from the truth than the interpreter, but for rounding of the largest value on the way."""
    eps = np.finfo(np.asarray(wanted).dtype).eps
    a, b, t = (np.asarray(v, np.float64) for v in (found, wanted, truth))
    known = np.isfinite(b) & np.isfinite(t)
    assert same_bits(a[~np.isfinite(b)], b[~np.isfinite(b)]), what
    if known.any():
        assert np.max(np.abs(a - t)[known]) <= 4 * np.max(np.abs(b - t)[known]) + 64 * eps * scale, what


@pytest.mark.parametrize("seed", range(amount.cases(50, 500, 3000)))
def test_exact_programs_to_the_bit(seed):
    source, args = write(seed, True)
    f = function(source)
    with np.errstate(all="ignore"):
        graph = trace(f, *args).graph
        assert is_exact(graph)
        check(graph, program_of(graph)(*args), Interpreter(graph)(*args), 0.0, reproduce(source, args))


@pytest.mark.parametrize("seed", range(100_000, 100_000 + amount.cases(50, 500, 3000)))
def test_programs_to_rounding(seed):
    source, args = write(seed, False)
    f = function(source)
    with np.errstate(all="ignore"):
        graph = trace(f, *args).graph
        found, wanted = program_of(graph)(*args), Interpreter(graph)(*args)
        exactly = function(source.replace("np.float32", "np.float64").replace("np.float16", "np.float64"))
        wide = [arg.astype(np.float64) if isinstance(arg, np.ndarray) else arg for arg in args]
        sizes = [1.0]

        def largest(node: Any, value: Any) -> None:
            entries = np.abs(np.asarray(value, np.float64))
            sizes.append(float(np.max(entries, initial=0.0, where=np.isfinite(entries))))

        truth = Interpreter(trace(exactly, *wide).graph)(*wide, hook=largest)
    what = reproduce(source, args)
    for a, b, t in zip(found, wanted, truth, strict=True):
        assert np.shape(a) == np.shape(b), what
        assert np.asarray(a).dtype == np.asarray(b).dtype, what
        if np.asarray(b).dtype.kind == "f":
            close(a, b, t, max(sizes), what)
