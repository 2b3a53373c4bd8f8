"""`jacobian(f, sparse=True)` and `hessian(f, sparse=True)`: one pattern, a coloring, and one sweep for each color.

See `compressed.py`.  Zeros and infinities: a zero of a seed stays zero whatever it meets.  One place could let a column
into another one's entries: a contraction in which a zero of a constant was taken for no edge, where 0·∞ is NaN.  So
where that was done and something is not finite, all is computed again with a coloring for which those zeros count as
edges; and they count so from the start in a graph that is run later, where nobody could say it.

Each derivative logs one line at the level DEBUG to the logger `payback.transforms.sparse`.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.ad.pattern import jacobian_pattern, jacobian_patterns
from payback.ad.sets import Sets
from payback.errors import InputError
from payback.ir.node import Node
from payback.trace.array import Traced
from payback.trace.plain_arrays import held
from payback.trace.tree import is_leaf
from payback.transforms.argnums import ArgNums, Function
from payback.transforms.compressed import Plan, plan_hessian, plan_jacobian
from payback.transforms.forward import Called, few_sweeps
from payback.transforms.gradient import grad
from payback.transforms.pullback import pull_back
from payback.transforms.sparse_result import SparseResult, csr

log = logging.getLogger(__name__)


def sparse_jacobian(f: Function, argnums: ArgNums, mode: str, has_aux: bool) -> Function:
    csr()

    @functools.wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        called = Called(f, args, kwargs, argnums, has_aux)
        found = _derivative(called, lambda pattern: plan_jacobian(pattern, mode))
        return (found, called.finished_aux()) if has_aux else found

    return jacobian_of_f


def sparse_hessian(f: Function, argnums: ArgNums) -> Function:
    csr()

    @functools.wraps(f)
    def hessian_of_f(*args: Any, **kwargs: Any) -> Any:
        called = Called(grad(f, argnums), args, kwargs, argnums, False)
        # A row of its own kind may be a user's gradient, which need not be one: nothing says its Hessian is symmetric.
        own = any(node.op.kind == "own" for node in called.reached)
        return _derivative(called, lambda pattern: plan_hessian(pattern, not own))

    return hessian_of_f


def _derivative(called: Called, planned: Callable[[Sets], Plan]) -> Any:
    top, wrt = _single(called)
    if called.outside or top.value is None:
        return _recorded(called, planned)
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
    return SparseResult(values, pattern.members, pattern.starts, (pattern.height, pattern.width)).made(values)


def _recorded(called: Called, planned: Callable[[Sets], Plan]) -> SparseResult:
    """The derivative in a graph that is run later, or differentiated: zeros of constants count as edges.

    Nobody could say there that something is not finite, and compute it again.
    """
    (pattern,) = jacobian_patterns(called.tops, called.wrt, called.reached, held)
    plan = planned(pattern)
    _tell(pattern, plan)
    values = few_sweeps(called, plan)
    return SparseResult(values, pattern.members, pattern.starts, (pattern.height, pattern.width))


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
    return called.tops[0], called.wrt[0]


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
