"""`jacobian(f, sparse=True)` and `hessian(f, sparse=True)`: one pattern, a coloring, and one sweep for each color.

The pattern is found by one sweep over sets (`ad/pattern.py`).  The columns or rows of one color share no entry of the
result, so that a sweep with the sum of their unit vectors gives them all at once, and every entry is read off as it is:
nothing is solved for, nothing is subtracted.

Zeros and infinities: the seeds are masked as unit vectors are, so a zero of a seed stays zero whatever it meets.  One
place could let a column into another one's entries: a contraction in which a zero of a constant was taken for no edge,
where 0·∞ is NaN.  So where that was done and something is not finite, all is computed again with a coloring for which
those zeros count as edges.

Each derivative logs one line at the level DEBUG to the logger `payback.transforms.sparse`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from payback.ad.coloring import color_columns, color_star, readable
from payback.ad.pattern import jacobian_pattern
from payback.ad.sets import Ints, Sets
from payback.errors import DifferentiationError, InputError
from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.tree import is_leaf
from payback.transforms.forward import Called
from payback.transforms.gradient import ArgNums, Function, grad
from payback.transforms.pullback import pull_back

log = logging.getLogger(__name__)


class Plan(NamedTuple):
    """How the entries of a sparse derivative are found.

    mode    "forward" (columns share a sweep) or "reverse" (rows do)
    colors  of the columns or rows, -1 where there is no entry; number: of the colors
    shade   for each entry of the pattern the sweep that it is read from; place: and which entry of what that one gives
    """

    mode: str
    colors: Ints
    number: int
    shade: Ints
    place: Ints


def _csr() -> Callable[..., Any]:
    try:
        from scipy.sparse import csr_array
    except ImportError:
        raise InputError("sparse=True needs SciPy, which is not installed", why="it returns a scipy.sparse.csr_array",
                         fix="pip install scipy, or leave sparse=True away") from None  # fmt: skip
    return csr_array


def sparse_jacobian(f: Function, argnums: ArgNums, mode: str, has_aux: bool) -> Function:
    csr = _csr()

    @functools.wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        called = Called(f, args, kwargs, argnums, has_aux)
        found = _derivative(called, lambda pattern: plan_jacobian(pattern, mode), csr)
        return (found, called.finished_aux()) if has_aux else found

    return jacobian_of_f


def sparse_hessian(f: Function, argnums: ArgNums) -> Function:
    csr = _csr()

    @functools.wraps(f)
    def hessian_of_f(*args: Any, **kwargs: Any) -> Any:
        called = Called(grad(f, argnums), args, kwargs, argnums, False)
        # A row of its own kind may be a user's gradient, which need not be one: nothing says its Hessian is symmetric.
        own = any(node.op.kind == "own" for node in called.reached)
        return _derivative(called, lambda pattern: plan_hessian(pattern, not own), csr)

    return hessian_of_f


def plan_jacobian(pattern: Sets, mode: str = "auto") -> Plan:
    """The cheaper of columns in forward mode and rows in reverse mode, or the one that is asked for."""
    plans = []
    if mode != "reverse":
        colors, number = color_columns(pattern)
        plans.append(Plan("forward", colors, number, colors[pattern.members], pattern.rows()))
    if mode != "forward" and not (plans and plans[0].number <= pattern.transposed().counts.max(initial=0)):
        colors, number = color_columns(pattern.transposed())
        plans.append(Plan("reverse", colors, number, colors[pattern.rows()], pattern.members))
    return min(plans, key=lambda plan: plan.number)


def plan_hessian(pattern: Sets, symmetric: bool = True) -> Plan:
    """By a star coloring, if the pattern is symmetric and so are the numbers; else as any Jacobian, by columns."""
    by_columns = plan_jacobian(pattern, "forward")
    twin = np.argsort(pattern.members, kind="stable")  # entry (i, j) and entry (j, i)
    rows = pattern.rows()
    if not symmetric or by_columns.number <= 2 or not np.array_equal(pattern.members[twin], rows):
        return by_columns
    if not np.array_equal(rows[twin], pattern.members):
        return by_columns
    colors, number = color_star(pattern)
    if number >= by_columns.number:
        return by_columns
    direct = readable(pattern, colors)
    assert (direct | direct[twin]).all(), "a coloring that is no star coloring"
    shade = np.where(direct, colors[pattern.members], colors[rows])
    return Plan("forward", colors, number, shade, np.where(direct, rows, pattern.members))


def _derivative(called: Called, planned: Callable[[Sets], Plan], csr: Callable[..., Any]) -> Any:
    top, wrt = _single(called)
    pattern, used = jacobian_pattern(top, wrt, called.reached)
    plan = planned(pattern)
    _tell(pattern, plan)
    values = compressed(called, top, wrt, plan)
    if used and not np.isfinite(values).all():
        wide, _ = jacobian_pattern(top, wrt, called.reached, constants=False)
        plan = planned(wide)
        _tell(wide, plan)
        width = wrt.aval.size
        at = np.searchsorted(wide.rows() * width + wide.members, pattern.rows() * width + pattern.members)
        values = compressed(called, top, wrt, plan._replace(shade=plan.shade[at], place=plan.place[at]))
    return csr((values, pattern.members, pattern.starts), shape=(top.aval.size, wrt.aval.size))


def _tell(pattern: Sets, plan: Plan) -> None:
    log.debug("%d x %d with %d entries: %d sweeps in %s mode",
              pattern.height, pattern.width, len(pattern.members), plan.number, plan.mode)  # fmt: skip


def _single(called: Called) -> tuple[Node, Node]:
    """The result and the argument, both one array or number.  Raises InputError for anything else."""
    if not called.opened.single or not is_leaf(called.opened.given[0]):
        raise InputError("sparse=True differentiates by one array", why="a sparse matrix has rows and columns only",
                         fix="give the argument as one vector and take it apart inside the function")  # fmt: skip
    if not is_leaf(called.out):
        raise InputError(f"sparse=True wants one array as the result, not a {type(called.out).__name__}",
                         why="a sparse matrix has rows and columns only",
                         fix="join the results: np.concatenate([...])")  # fmt: skip
    top, wrt = called.tops[0], called.wrt[0]
    if called.outside or top.value is None:
        raise DifferentiationError(
            "a sparse derivative cannot be differentiated again, nor compiled",
            why="the argument or something that the function uses is traced by another transform, or is a variable",
            fix="use the dense derivative there (sparse=False), or pb.hvp, pb.jvp, pb.vjp",
        )
    return top, wrt


def compressed(called: Called, top: Node, wrt: Node, plan: Plan) -> Any:
    """The value of every entry of the pattern: one sweep for each color, read off where the plan says."""
    seeded = wrt if plan.mode == "forward" else top
    values = np.zeros(len(plan.shade), top.aval.dtype if plan.mode == "forward" else wrt.aval.dtype)
    order = np.argsort(plan.shade, kind="stable")
    ends = np.searchsorted(plan.shade[order], np.arange(plan.number + 1))
    for color in range(plan.number):
        entries = order[ends[color] : ends[color + 1]]
        if not entries.size:  # all of them are read from elsewhere
            continue
        seed = (plan.colors == color).reshape(seeded.shape).astype(seeded.aval.dtype)
        values[entries] = np.ravel(_sweep(called, top, wrt, plan.mode, seed))[plan.place[entries]]
    return values


def _sweep(called: Called, top: Node, wrt: Node, mode: str, seed: Any) -> Any:
    seed = 1.0 if (wrt if mode == "forward" else top).aval.weak else seed[()]
    found = called.push([seed], 0)[0] if mode == "forward" else pull_back([top], [seed], [wrt], units=True)[0][0]
    assert not isinstance(found, Traced)
    return found
