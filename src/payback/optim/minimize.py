"""`minimize`: gradient descent on any function, with its path."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from payback.errors import InputError, NonFiniteError
from payback.optim.optimizers import global_norm
from payback.optim.schedules import positive
from payback.trace.tree import leaves, tree_map
from payback.transforms.gradient import value_and_grad

ARMIJO = 1e-4  # the share of the promised decrease that a step must bring


@dataclass(frozen=True)
class Minimum:
    """What a descent found.

    x: where it ended; cost: there.  path, costs: every point and its cost, from the start on;
    steps: the step lengths taken; gradient_norms: at every point of the path;
    stopped: "gradient norm", "change of cost" or "steps".
    """

    x: Any
    cost: float
    path: list[Any] = field(repr=False)
    costs: list[float] = field(repr=False)
    steps: list[float] = field(repr=False)
    gradient_norms: list[float] = field(repr=False)
    stopped: str


def backtrack(cost_at: Callable[[float], float], cost: float, slope: float, length: float) -> tuple[float, float]:
    """A step length that lowers the cost enough, and the cost there: halved until Armijo's condition holds.

    cost_at(length) is the cost after a step of that length; slope is the squared norm of the gradient.
    Returns (0.0, cost) when no length brings a decrease that can be told from rounding.
    """
    while length * slope > 1e-2 * np.finfo(float).eps * abs(cost) and length > np.finfo(float).tiny:
        there = cost_at(length)
        if there <= cost - ARMIJO * length * slope:
            return length, there
        length *= 0.5
    return 0.0, cost


def has_converged(cost: float, previous: float, norm: float, tol: float) -> str | None:
    """Why a descent stops: the gradient's norm is at most tol, or the cost changed by at most tol² of itself.

    The square, because near a minimum the cost is quadratic in the distance while the gradient is linear.
    """
    if norm <= tol:
        return "gradient norm"
    if abs(previous - cost) <= tol * tol * abs(cost):
        return "change of cost"
    return None


def minimize(
    f: Callable[[Any], Any],
    x0: Any,
    *,
    step: float = 0.01,
    line_search: bool = False,
    tol: float = 1e-8,
    max_steps: int = 100_000,
) -> Minimum:
    """Plain gradient descent from `x0`: x ← x − step·gradient, until it converges.

    f: returns a floating scalar.  x0: a number, a floating array, or a container of them.
    step: the step length; with `line_search=True` the first one tried (see `optim.GradientDescent`).
    tol: stop when the norm of the gradient is at most `tol`, or the cost changes by at most tol² of itself.
    max_steps: stop after so many steps in any case.

    Returns a Minimum with the whole path.
    Raises NonFiniteError when the cost becomes NaN or infinite, InputError for bad options.

    >>> import payback as pb
    >>> found = pb.minimize(lambda w: w**4 - 3 * w**2 + w, 2.0)
    >>> round(found.x, 5), found.stopped
    (1.1309, 'change of cost')
    """
    step, tol = positive("step", step), positive("tol", tol, zero=True)
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 0:
        raise InputError(f"max_steps is {max_steps!r}", why="it must be a whole number from 0 up")
    both = value_and_grad(f)
    x = tree_map(
        lambda leaf: float(leaf) if type(leaf) is int else copy(leaf), x0
    )  # the path is not the caller's array
    path, costs, norms = [x], [], []
    lengths: list[float] = []
    length, stopped = step, "steps"
    while True:
        with np.errstate(all="ignore"):  # what is not finite raises below
            cost, gradient = both(x)
            cost, norm = float(cost), float(global_norm(tree_map(np.asarray, gradient)))
        costs.append(cost)
        norms.append(norm)
        if not np.isfinite(cost) or not np.isfinite(norm):
            what, value = ("gradient", norm) if np.isfinite(cost) else ("cost", cost)
            raise NonFiniteError(
                f"the {what} is {value} {f'after step {len(lengths)}' if lengths else 'at the start'}",
                why="the steps are too long, or the function is not defined there" if lengths else None,
                fix="give a smaller step, or line_search=True"
                if lengths
                else "start where the function is defined; pb.why_nan(f, x0) says where it is not",
            )
        reason = (
            "gradient norm" if norm <= tol else has_converged(cost, costs[-2], norm, tol) if len(costs) > 1 else None
        )
        if reason or len(lengths) == max_steps:
            stopped = reason or stopped
            break

        def moved(by: float, x: Any = x, gradient: Any = gradient) -> Any:
            with np.errstate(over="ignore"):
                return tree_map(lambda p, g: p - by * g, x, gradient)

        if line_search:
            with np.errstate(all="ignore"):
                length, _ = backtrack(lambda by: float(f(moved(by))), cost, norm * norm, length)
            if length == 0.0:
                stopped = "change of cost"
                break
            lengths.append(length)
            x = moved(length)
            length *= 2
        else:
            lengths.append(step)
            x = moved(step)
        path.append(x)
    return Minimum(x, costs[-1], path, costs, lengths, norms, stopped)


def flat(x: Any) -> np.ndarray[Any, Any]:
    """All leaves as one float64 vector."""
    return np.concatenate([np.ravel(np.asarray(leaf, np.float64)) for leaf in leaves(x)])
