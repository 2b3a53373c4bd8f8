"""`check_grads`: derivatives against finite differences."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from math import isfinite
from typing import Any

import numpy as np

from payback.errors import GradientCheckError, InputError
from payback.ir.aval import WEAK_DTYPES
from payback.ir.where import position as place_of
from payback.trace.array import Traced, plain
from payback.trace.tree import leaves, paths, tree_map, unflatten
from payback.transforms.gradient import vjp

_RTOL = {np.dtype(np.float64): 1e-5, np.dtype(np.float32): 1e-3, np.dtype(np.float16): 3e-2}

# None; True while every rule that a user has given is to be checked where it is called; False while one of them is.
_every_rule: ContextVar[bool | None] = ContextVar("every_rule", default=None)


def _floating(leaf: Any) -> bool:
    return (type(leaf) in WEAK_DTYPES and type(leaf) is not bool) or (
        isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f"
    )


def _slope(line: Callable[[float], float], size: float) -> tuple[float, float]:
    """The derivative of `line` at 0 and an estimate of its error: Ridders' extrapolation of central differences.

    C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4 (1982).
    """
    shrink, best, error = 1.6, float("nan"), float("inf")
    step = 0.02 * max(size, 1e-3)
    while step > 1e-300 and not (isfinite(line(step)) and isfinite(line(-step))):  # not defined there
        step /= 4
    rows: list[list[float]] = []
    for i in range(12):
        row = [(line(step) - line(-step)) / (2 * step)]
        factor = 1.0
        for j in range(1, i + 1):
            factor *= shrink * shrink
            row.append((row[j - 1] * factor - rows[i - 1][j - 1]) / (factor - 1))
            guess = max(abs(row[j] - row[j - 1]), abs(row[j] - rows[i - 1][j - 1]))
            if guess <= error:
                error, best = guess, row[j]
        rows.append(row)
        if i and abs(row[i] - rows[i - 1][i - 1]) > 2 * error:
            break
        step /= shrink
    return best, error


def check_grads(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> None:
    """Compare derivatives of `f` at `args` with finite differences along random directions.

    f: any function of numbers, floating arrays and containers of them; its result may have any shape.  Other arguments,
    such as classes, are handed on.
    order: 1 checks the first derivatives, 2 (the default) those of the first derivatives as well, and so on.
    rtol: relative tolerance; by default 1e-5 for float64, 1e-3 for float32, 3e-2 for float16.
    atol: absolute tolerance; by default 1e-7 of the size of the result, 1e-7 at most and 1e-12 at least.
    seed: of the random directions.

    The finite differences are computed in float64 whatever the arguments are, and the error of extrapolation that
    they estimate themselves is allowed for.  Returns None.
    Raises GradientCheckError that names the argument, both numbers and the order, and where a function with a
    `custom_gradient` is called whose rule, checked by itself, is wrong.

    >>> import numpy as np, payback as pb
    >>> pb.check_grads(lambda x: np.sin(x) * x, np.array([0.3, 2.0]))
    """
    generator = np.random.default_rng(seed)
    out, pull = _pulled(f, args)
    bar = unflatten(out, iter([_direction(leaf, generator) for leaf in leaves(out)]))
    exact = pull(bar)
    size = sum(float(np.sum(np.abs(np.asarray(plain(a), np.float64)))) for a in leaves(out) if _floating(plain(a)))
    absolute = 1e-7 * min(1.0, max(size, 1e-5)) if atol is None else atol
    for gradient, position in zip(exact, _varying(args), strict=True):
        arg = args[position]
        names = paths(arg, f"argument {position}")
        for k, (leaf, name) in enumerate(zip(leaves(arg), names, strict=True)):
            if not _floating(leaf):
                continue
            direction = np.asarray(generator.standard_normal(np.shape(leaf)))
            found = float(np.sum(np.asarray(leaves(gradient)[k], np.float64) * direction))

            def line(t: float, position: int = position, k: int = k, direction: Any = direction) -> float:
                moved = [_in_float64(a) for a in args]
                parts = leaves(moved[position])
                parts[k] = parts[k] + t * direction
                moved[position] = unflatten(moved[position], iter(parts))
                with np.errstate(all="ignore"):
                    result = f(*moved)
                return float(sum(np.sum(np.asarray(plain(a), np.float64) * np.asarray(b, np.float64))
                                 for a, b in zip(leaves(result), leaves(bar), strict=True)))  # fmt: skip

            expected, error = _slope(line, float(np.max(np.abs(np.asarray(leaf, np.float64)), initial=0.0)))
            dtype = leaf.dtype.newbyteorder("=") if isinstance(leaf, (np.ndarray, np.generic)) else np.dtype(np.float64)
            tolerance = (rtol or _RTOL[dtype]) * abs(expected) + absolute + 10 * error
            if not abs(found - expected) <= tolerance:
                derivative_of = f"the derivative of {getattr(f, '__name__', 'f')} by {name}"
                raise GradientCheckError(
                    f"{derivative_of} is {found:.9g}, finite differences give {expected:.9g}",
                    where="along a random direction",
                    why=f"they differ by {abs(found - expected):.3g}, more than the tolerance {tolerance:.3g}",
                    fix=_wrong_rule(f, args) or "check the rule, or whether the function is smooth here",
                )
    if order > 1:

        def derivative(*inner: Any) -> Any:
            return [leaf for leaf in leaves(_pulled(f, inner)[1](bar)) if isinstance(leaf, Traced) or _floating(leaf)]

        derivative.__name__ = f"the derivative of {getattr(f, '__name__', 'f')}"
        check_grads(derivative, *args, order=order - 1, rtol=rtol, atol=atol, seed=seed + 1)


def rules_are_checked() -> bool:
    """Whether a function with a rule of the user's has to check it."""
    return _every_rule.get() is True


@contextlib.contextmanager
def checking(name: str, where: Any) -> Iterator[None]:
    """While the rule of a function that is called there is checked."""
    told, token = _every_rule.get() is True, _every_rule.set(False)
    try:
        yield
    except GradientCheckError as problem:
        if told:
            problem.what = f"the rule of {name} is wrong at {place_of(where)}: {problem.what}"
        raise
    finally:
        _every_rule.reset(token)


def _wrong_rule(f: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    """Which of the rules that the user has given, taken by itself, is not the derivative of its function."""
    if _every_rule.get() is not None:
        return None
    token = _every_rule.set(True)
    try:
        _pulled(f, args)
    except GradientCheckError as problem:
        return problem.what
    finally:
        _every_rule.reset(token)
    return None


def _varying(args: Sequence[Any]) -> list[int]:
    """The arguments that are differentiated by: those with something floating in them."""
    return [k for k, arg in enumerate(args) if any(isinstance(x, Traced) or _floating(x) for x in leaves(arg))]


def _pulled(f: Callable[..., Any], args: Sequence[Any]) -> Any:
    """`vjp` by these."""
    varying = _varying(args)
    if not varying and callable(f):
        raise InputError("check_grads was given nothing to differentiate by",
                         why="no argument is a number or a floating array, or holds one",
                         fix="give the numbers at which to check, arrays as floats")  # fmt: skip
    if len(varying) == len(args) or not callable(f):
        return vjp(f, *args)

    def of_varying(*moving: Any) -> Any:
        given = dict(zip(varying, moving, strict=True))
        return f(*(given.get(k, arg) for k, arg in enumerate(args)))

    return vjp(of_varying, *(args[k] for k in varying))


def _direction(leaf: Any, generator: np.random.Generator) -> Any:
    direction = generator.standard_normal(np.shape(leaf))
    return float(direction) if type(leaf) is float else direction.astype(np.asarray(leaf).dtype)


def _in_float64(tree: Any) -> Any:
    def widened(leaf: Any) -> Any:
        is_array = isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f"
        return np.asarray(leaf, np.float64)[()] if is_array else leaf

    return tree_map(widened, tree)
