"""`root` and `fixed_point`: solutions of equations, differentiated through the equation and not through the solver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import InputError, NonFiniteError, ShapeError, no_function
from payback.ir.aval import WEAK_DTYPES, Aval
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import apply
from payback.ops.row import TABLE
from payback.run.interpreter import quietly
from payback.trace.body import Body, TracedBody, node_of, result_of, trace_body
from payback.trace.operators import where_of_caller
from payback.trace.tree import leaves, unflatten
from payback.transforms.control import strong

Function = Callable[..., Any]


def root(f: Function, x0: Any, *args: Any, solver: Function | None = None) -> Any:
    """x with `f(x, *args) = 0`, near `x0`.

    f: takes x (a number or an array) and returns as many values, in the shape of x.  It is traced with shapes only,
    once, and may use traced values from around it besides `args` (numbers, arrays, containers).
    solver: `solver(g, x0) -> x` with g(x) = f(x, *args) on plain arrays, and g.jacobian(x): any method, SciPy's too,
    for example `lambda g, x0: scipy.optimize.root(g, x0).x`.  By default Newton's method with a line search.

    The derivative by `args` and by what f uses from around it is that of the solution (implicit function theorem), in
    every mode and order, whatever the solver did; `x0` has none.
    Raises NonFiniteError when the default solver does not converge, or another one stops where no solution is near;
    ShapeError when f returns another shape.
    Source: Griewank & Walther, Evaluating Derivatives (2008), ch. 15; Blondel et al., Efficient and modular implicit
    differentiation (2022).

    >>> import payback as pb
    >>> pb.grad(lambda a: pb.root(lambda x: x * x - a, 1.0))(4.0)
    0.25
    """
    where = where_of_caller(2)
    # where to begin has no derivative: the solution does not depend on it
    start = apply(TABLE["stop_gradient"], (node_of(x0),), where)
    given = [node_of(leaf) for leaf in leaves(args)]
    start, traced = _equations(f, start, args, [node.aval for node in given], where)
    operands = (start, *given, *traced.captured)
    with quietly():
        node = apply(TABLE["solution"], operands, where, {"body": traced.body, "solver": solver or newton})
    found = result_of(node)
    return float(found) if type(x0) in WEAK_DTYPES and type(found) is np.float64 else found


def _equations(f: Function, start: Node, args: tuple[Any, ...], avals: list[Aval], where: Any
               ) -> tuple[Node, TracedBody]:  # fmt: skip
    """The body of f, and where to begin, both of the dtype that NumPy makes of them together."""
    if start.aval.dtype.kind != "f":
        start = strong(start, np.dtype(np.float64), weak=start.aval.weak)
    for _ in range(3):
        if start.aval.dtype == np.float16:
            place = position(where)
            raise InputError("root does not compute with float16", where=place,
                             why="linear systems are solved in float32 and float64",
                             fix="start with x0.astype(np.float32)")  # fmt: skip
        traced = trace_body(f, [start.aval, *avals], lambda values: (values[0], *unflatten(args, iter(values[1:]))))
        gives = traced.body.gives
        if len(gives) != 1 or gives[0].shape != start.shape:
            raise ShapeError(f"f returns {', '.join(map(str, gives))}", where=position(where),
                             why=f"there are as many equations as unknowns: {start.aval}")  # fmt: skip
        dtype = gives[0].dtype if start.aval.weak else np.result_type(start.aval.dtype, gives[0].dtype)
        if start.aval == Aval(start.shape, dtype):
            break
        start = strong(start, dtype if dtype.kind == "f" else np.dtype(np.float64))
    if gives[0] != start.aval:
        body = Body(traced.body.graph.inputs, [strong(traced.body.graph.outputs[0], dtype)])
        traced = traced._replace(body=body)
    return start, traced


def fixed_point(f: Function, x0: Any, *args: Any, solver: Function | None = None) -> Any:
    """x with `x = f(x, *args)`, near `x0`: `root` of x − f(x), and differentiated like it.

    solver: as in `root`, of g(x) = x − f(x).  By default x = f(x) is repeated until it changes x no more, and Newton's
    method takes over where that does not converge.  f returns a number or an array of x's shape.
    Raises as `root`.

    >>> import payback as pb
    >>> round(pb.grad(lambda a: pb.fixed_point(lambda x: (x + a / x) / 2, 1.0))(4.0), 12)
    0.25
    """

    if not callable(f):
        raise no_function(f)

    def difference(x: Any, *more: Any) -> Any:
        made = f(x, *more)
        if np.shape(made) != np.shape(x):
            raise ShapeError(f"f returns the shape {np.shape(made)} for x of {np.shape(x)}",
                             why="a fixed point is mapped to itself")  # fmt: skip
        return x - made

    return root(difference, x0, *args, solver=solver or _repeat)


_TOLERANCE = 4.0  # in units of the last place of the largest entry


def _settled(step: Any, x: Any) -> bool:
    eps = float(np.finfo(np.asarray(x).dtype).eps)
    return bool(np.max(np.abs(step), initial=0.0) <= _TOLERANCE * eps * np.max(np.abs(x), initial=0.0))


def newton(g: Any, x: Any) -> Any:
    """Newton's method on plain values, each step halved until the residual shrinks."""
    residual = np.asarray(g(x))
    size = float(np.linalg.norm(residual.ravel()))
    for _ in range(200):
        if size == 0.0:
            return x
        matrix = g.jacobian(x)
        try:
            step = np.linalg.solve(matrix, residual.reshape(-1, 1)).reshape(np.shape(x))
        except np.linalg.LinAlgError:
            step = np.linalg.lstsq(matrix, residual.reshape(-1, 1), rcond=None)[0].reshape(np.shape(x))
        length = 1.0
        while True:
            new = x - residual.dtype.type(length) * step
            new_residual = np.asarray(g(new))
            new_size = float(np.linalg.norm(new_residual.ravel()))
            if new_size < size:
                break
            length /= 2
            if not length * float(np.max(np.abs(step), initial=0.0)) > 0.0 or length < 1e-10:
                if np.isfinite(size) and size <= _noise(matrix, x):
                    return x
                raise _diverged(size)
        last = length == 1.0 and _settled(step, new)
        x, residual, size = new, new_residual, new_size
        if last:
            return x
    raise _diverged(size)


def _noise(matrix: Any, x: Any) -> float:
    """How large a residual is that comes from rounding x alone."""
    eps = float(np.finfo(np.asarray(x).dtype).eps)
    return 16 * eps * float(np.linalg.norm(np.abs(matrix) @ np.abs(np.asarray(x)).reshape(-1)))


def _diverged(size: float) -> NonFiniteError:
    return NonFiniteError("root found no solution", why=f"Newton's method stopped where |f(x)| = {size:.3g}",
                          fix="start nearer, or give a solver=")  # fmt: skip


def _repeat(g: Function, start: Any) -> Any:
    x, least = start, np.inf
    for _ in range(500):
        step = g(x)
        size = float(np.max(np.abs(step), initial=0.0))
        least = min(least, size)
        if not size <= 1e3 * least:  # it runs away, or is NaN
            break
        x = x - step
        if _settled(step, x):
            return x
    return newton(g, start)


newton.converges = _repeat.converges = True  # type: ignore[attr-defined]  # they raise where they do not
