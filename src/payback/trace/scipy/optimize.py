"""`scipy.optimize` of functions that use traced values: the solution, differentiated by the implicit function theorem.

SciPy finds the solution on plain numbers, by whatever method; x0, brackets and tolerances have no derivative.  What it
solves is then traced at the solution: a zero, a fixed point, or where the gradient of a cost vanishes.
(Griewank & Walther 2008, ch. 15.)
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.ir.aval import Aval
from payback.ops.append import apply
from payback.ops.row import TABLE
from payback.trace.array import Traced, plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import emit, here
from payback.trace.numpy.arguments import as_node, known
from payback.trace.numpy.order import in_pieces
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import now
from payback.trace.scipy.callbacks import FLOAT, Callback, Lost, body_of, in_shape, plain_function, results
from payback.trace.scipy.curves import doubles
from payback.trace.tree import leaves, tree_map

Function = Callable[..., Any]


def _plain(tree: Any) -> Any:
    """Where to begin: the solution does not depend on it."""
    return tree_map(plain, tree)


def _solution(called: Callback, start: Any, found: Any, equations: Function | None = None,
              of: Function | None = None) -> Any:  # fmt: skip
    """The solution that SciPy has found of `equations(x) = 0`, by default of the function that it called, traced.

    of: the body that is solved, from that of the equations.
    """
    equations = equations or called.at
    shape = np.shape(found)
    body, captured = body_of(lambda x: in_shape(equations(x), shape if of is None else ()), [found], called.found)
    if not captured:
        return found
    begin = np.array(np.broadcast_to(np.asarray(start, float), shape))[()]
    made = _row(body if of is None else of(body), [begin], captured, lambda g, x0: found)
    return emit("cast", made, dtype=FLOAT, weak=True) if type(found) is float else made


def _row(body: Any, starts: list[Any], captured: list[Any], solver: Function) -> Traced:
    where = where_of_caller(4)
    given = [apply(TABLE["stop_gradient"], (as_node(x),), where) for x in starts]
    return Traced(apply(TABLE["solution"], [*given, *captured], where, {"body": body, "solver": solver}))


def at_each_run(equations: Function, starts: list[Any], solver: Function) -> Any:
    """A solution without numbers: found at each run by `solver(g, *starts)`, with g of plain numbers."""
    starts = [doubles(now(x)) for x in starts]
    shape = starts[0].shape
    body, captured = body_of(lambda x, *rest: in_shape(equations(x), shape), [Aval(x.shape, FLOAT) for x in starts])
    count = len(starts) - 1
    return _row(body, starts, captured, lambda g, x0: solver(g, x0, *g.parameters[:count]))


def _told(name: str) -> TraceError:
    return TraceError(f"what {name} tells of its run is not known while a function is compiled", where=here(),
                      why="the solution is found when it runs", fix="take the solution alone")  # fmt: skip


# zeros of one function ------------------------------------------------------------------------------------------


def _bracketing(original: Function, f: Function, a: Any, b: Any, args: Any = (), **options: Any) -> Any:
    name, told = original.__name__, options.pop("full_output", False)
    called = Callback(f, args)
    if not called.known or not known(now(a), now(b)):
        if told:
            raise _told(name)
        return at_each_run(called.at, [a, b], lambda g, a, b: original(lambda x: float(g(x)), a, b, **options))
    x, run = original(called, _plain(a), _plain(b), full_output=True, **options)
    if called.traced:
        x = _solution(called, _plain(a), x)
        run.root = x
    return (x, run) if told else x


def _newton(original: Function, func: Function, x0: Any, fprime: Any = None, args: Any = (), *more: Any,
            **options: Any) -> Any:  # fmt: skip
    told = options.pop("full_output", False)
    called = Callback(func, args)
    options = {key: _plain_option(key, value, called) for key, value in options.items()}
    slope = fprime if fprime is None else Callback(fprime, args)
    if not called.known or not known(now(x0)):
        if told or slope is not None:
            raise _told("newton with fprime")
        return at_each_run(called.at, [x0], lambda g, x0: original(g, x0, None, (), *more, **options))
    found = original(called, _plain(x0), slope, (), *more, full_output=told, **options)
    if not called.traced:
        return found
    x, *rest = found if told else (found,)
    x = _solution(called, _plain(x0), x)
    if told and np.ndim(x) == 0:
        rest[0].root = x
    return (x, *rest) if told else x


def _plain_option(key: str, value: Any, called: Callback) -> Any:
    return Callback(value, called.args) if key in ("fprime", "fprime2") and callable(value) else _plain(value)


def _root_scalar(original: Function, f: Function, args: Any = (), method: Any = None, bracket: Any = None,
                 fprime: Any = None, fprime2: Any = None, x0: Any = None, x1: Any = None,
                 **options: Any) -> Any:  # fmt: skip
    called = Callback(f, args)
    starts = {"bracket": bracket, "x0": x0, "x1": x1}
    _known("root_scalar", called, starts)
    slopes = {"fprime": fprime, "fprime2": fprime2}
    slopes = {key: Callback(f, args) if callable(f) else f for key, f in slopes.items()}
    found = original(called, (), method, **_plain(starts), **slopes, **options)
    if called.traced:
        start = _plain(bracket)[0] if x0 is None else _plain(x0)
        found.root = _solution(called, start, found.root, lambda x: _first(called.at(x), fprime))
    return found


def _first(out: Any, together: Any) -> Any:
    """The function's value, where it returns its derivative with it."""
    return out[0] if together and not callable(together) else out


def _known(name: str, called: Callback, starts: Any = ()) -> None:
    if not called.known or not known(*map(now, leaves(starts))):
        raise TraceError(f"scipy.optimize.{name} while a function is compiled", where=here(),
                         why="it is run on plain numbers",
                         fix="use brentq or fsolve there, or pb.root, which is compiled: for a minimum "
                         "pb.root(pb.grad(cost), x0)")  # fmt: skip


# systems --------------------------------------------------------------------------------------------------------


def _root(original: Function, fun: Function, x0: Any, args: Any = (), method: str = "hybr", jac: Any = None,
          **options: Any) -> Any:  # fmt: skip
    called = Callback(fun, args)
    _known("root", called, x0)
    slope = Callback(jac, args) if callable(jac) else jac
    found = original(called, _plain(x0), (), method, slope, **options)
    if not called.traced:
        return found
    x = _solution(called, _plain(x0), found.x, lambda x: _first(called.at(x), jac))
    return results(found, "root", x=x, fun=found.fun)  # zero, whatever the parameters


def _fsolve(original: Function, func: Function, x0: Any, args: Any = (), fprime: Any = None, full_output: Any = 0,
            **options: Any) -> Any:  # fmt: skip
    called = Callback(func, args)
    slope = Callback(fprime, args) if fprime is not None else None
    if not called.known or not known(*map(now, leaves(x0))):
        if full_output or slope is not None:
            raise _told("fsolve with fprime or full_output")
        start = np.reshape(doubles(now(x0)), (-1,))
        return at_each_run(called.at, [start], lambda g, x0: original(g, x0, **options))
    found = original(called, _plain(x0), (), slope, full_output, **options)
    if not called.traced:
        return found
    x, *rest = found if full_output else (found,)
    x = _solution(called, np.ravel(_plain(x0)), x)
    if full_output:
        rest[0] = {key: value if key in ("nfev", "njev", "fvec") else Lost(key) for key, value in rest[0].items()}
    return (x, *rest) if full_output else x


def _fixed_point(original: Function, func: Function, x0: Any, args: Any = (), *more: Any, **options: Any) -> Any:
    called = Callback(func, args)

    def difference(x: Any) -> Any:
        return x - in_shape(called.at(x), np.shape(x))

    if not called.known or not known(now(x0)):
        return at_each_run(difference, [x0], lambda g, x0: original(lambda x: x - g(x), x0, (), *more, **options))
    found = original(called, _plain(x0), (), *more, **options)
    return _solution(called, _plain(x0), found, difference) if called.traced else found


# minima ---------------------------------------------------------------------------------------------------------


def _slope(fixed: Any, of_squares: bool = False) -> Function:
    """From the body of a cost, or of residuals, that of its gradient; x itself where it is held at a bound."""

    def of(body: Any) -> Any:
        pulled, answered = body.pullback((0,), (0,))

        def build(m: Any, *terms: Any) -> list[Any]:
            x = terms[0]
            bar = body.inline(m, terms)[0] if of_squares else np.ones(body.gives[0].shape)
            (slope,) = pulled.inline(m, [*terms, _term(m, bar)]) if answered[0] else (x * 0.0,)
            return [slope if fixed is None else m.where(fixed[0], x - fixed[1], slope)]

        return body.once(("slope", of_squares, id(fixed)), body.takes, build)

    return of


def _term(m: Any, x: Any) -> Any:
    return m.cast(m.identity(x), dtype=FLOAT, weak=False) if isinstance(x, np.ndarray) else x


def _at_bounds(x: Any, bounds: Any) -> Any:
    """Which entries are held at a bound, and where; None if none is."""
    if bounds is None:
        return None
    low, high = (bounds.lb, bounds.ub) if hasattr(bounds, "lb") else (
        np.array([np.inf * sign if end is None else end for end in ends], float)
        for sign, ends in zip((-1, 1), zip(*bounds, strict=True), strict=True))  # fmt: skip
    held = np.broadcast_to((x <= low) | (x >= high), np.shape(x))
    return (held, np.array(x)) if held.any() else None


def _minimize(original: Function, fun: Function, x0: Any, args: Any = (), method: Any = None, jac: Any = None,
              hess: Any = None, hessp: Any = None, bounds: Any = None, constraints: Any = (),
              *more: Any, **options: Any) -> Any:  # fmt: skip
    called = Callback(fun, args)
    _known("minimize", called, x0)
    others = [Callback(f, called.args) if callable(f) else f for f in (jac, hess, hessp)]
    found = original(called, _plain(x0), (), method, *others, bounds, constraints, *more, **options)
    if not called.traced:
        return found
    if (np.size(constraints) or isinstance(constraints, dict)) or any_traced(bounds):
        raise UnsupportedError("scipy.optimize.minimize of traced values with constraints or traced bounds",
                               where=here(), why="where a constraint holds the minimum, its gradient is not zero",
                               fix="solve the conditions of Karush, Kuhn and Tucker with pb.root")  # fmt: skip

    def cost(x: Any) -> Any:
        return _first(called.at(x), jac)

    return _minimum("minimize", called, cost, x0, found, _at_bounds(found.x, bounds))


def _minimum(name: str, called: Callback, cost: Function, x0: Any, found: Any, held: Any = None) -> Any:
    x = _solution(called, _plain(x0), found.x, cost, _slope(held))
    return results(found, name, x=x, fun=in_shape(cost(x), ()))


def _minimize_scalar(original: Function, fun: Function, bracket: Any = None, bounds: Any = None, args: Any = (),
                     *more: Any, **options: Any) -> Any:  # fmt: skip
    called = Callback(fun, args)
    _known("minimize_scalar", called, (bracket, bounds))
    found = original(called, _plain(bracket), _plain(bounds), (), *more, **options)
    return _minimum("minimize_scalar", called, called.at, found.x + 1.0, found) if called.traced else found


def _least_squares(original: Function, fun: Function, x0: Any, jac: Any = "2-point", bounds: Any = (-np.inf, np.inf),
                   method: str = "trf", *, loss: Any = "linear", args: Any = (), kwargs: Any = None,
                   **options: Any) -> Any:  # fmt: skip
    called = Callback(functools.partial(fun, **kwargs) if kwargs else fun, args)
    _known("least_squares", called, x0)
    slope = Callback(jac, args) if callable(jac) else jac
    found = original(called, _plain(x0), slope, bounds, method, loss=loss, **options)
    if not called.traced:
        return found
    if loss != "linear" or any_traced(bounds):
        raise UnsupportedError(f"scipy.optimize.least_squares of traced values with loss={loss!r}", where=here(),
                               fix="use loss='linear', or minimize of the cost")  # fmt: skip
    shape, mask = np.shape(found.fun), found.active_mask != 0
    x = _squares(
        lambda x: in_shape(called.at(x), shape), called.found, x0, found.x, (mask, found.x) if mask.any() else None
    )
    left = in_shape(called.at(x), shape)
    return results(found, "least_squares", x=x, fun=left, cost=0.5 * np.sum(left**2))


def _squares(residuals: Function, around: Any, x0: Any, found: Any, held: Any = None) -> Any:
    """Where the sum of the squares of residuals is least."""
    body, captured = body_of(residuals, [found], around)
    if not captured:
        return found
    start = np.array(np.broadcast_to(np.asarray(_plain(x0), float), np.shape(found)))
    return _row(_slope(held, of_squares=True)(body), [start], captured, lambda g, x0: found)


def _leastsq(original: Function, func: Function, x0: Any, args: Any = (), Dfun: Any = None, full_output: Any = False,
             **options: Any) -> Any:  # fmt: skip
    called = Callback(func, args)
    _known("leastsq", called, x0)
    slope = Callback(Dfun, args) if Dfun is not None else None
    x, *rest = original(called, _plain(x0), (), slope, full_output, **options)
    if called.traced:
        x = _squares(lambda x: np.reshape(doubles(called.at(x)), (-1,)), called.found, x0, x)
        if full_output:
            rest[:2] = Lost("leastsq's cov_x"), Lost("leastsq's infodict")
    return (x, *rest)


def _curve_fit(original: Function, f: Function, xdata: Any, ydata: Any, p0: Any = None, sigma: Any = None,
               absolute_sigma: bool = False, *more: Any, **options: Any) -> Any:  # fmt: skip
    called = Callback(f)
    data = (xdata, ydata, sigma)
    _known("curve_fit", called, (data, p0))
    options = {key: plain_function(value) for key, value in options.items()}
    given = tuple(map(_plain, data))
    found = original(called, *given[:2], _plain(p0), given[2], absolute_sigma, *more, **options)
    if not called.traced and not any_traced(data):
        return found
    bounds = options.get("bounds", more[1] if len(more) > 1 else (-np.inf, np.inf))
    held = np.broadcast_to((found[0] <= np.asarray(bounds[0])) | (found[0] >= np.asarray(bounds[1])), found[0].shape)
    shape, y = np.shape(given[1]), doubles(now(ydata))

    def residuals(p: Any) -> Any:
        off = in_shape(called.at(now(xdata), *p), shape) - y
        if sigma is None:
            return off
        s = doubles(now(sigma))
        return off / s if s.ndim < 2 else np.linalg.solve(np.linalg.cholesky(s), off)

    popt = _squares(residuals, called.found, found[0], found[0], (held, found[0]) if held.any() else None)
    return (popt, Lost("curve_fit's pcov"), *found[2:])


# functions of numbers -------------------------------------------------------------------------------------------


def rosen(x: Any) -> Any:
    x = doubles(now(x))
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2, axis=0)


def rosen_der(x: Any) -> Any:
    x = doubles(now(x))
    off = x[1:] - x[:-1] ** 2
    below, above = -400 * off * x[:-1] - 2 * (1 - x[:-1]), 200 * off
    return np.concatenate([below, above[-1:] * 0]) + np.concatenate([above[:1] * 0, above])


def linear_sum_assignment(cost_matrix: Any, maximize: bool = False) -> Any:
    """Which entries are taken is constant in pieces."""
    return vars(sys.modules["scipy.optimize"])["linear_sum_assignment"](
        np.asarray(in_pieces(doubles(cost_matrix))), maximize
    )


FUNCTIONS: dict[str, Function] = {f.__name__: f for f in (rosen, rosen_der, linear_sum_assignment)}
CALLERS: dict[str, dict[str, Function]] = {
    "scipy.optimize": {
        **dict.fromkeys(("brentq", "brenth", "bisect", "ridder", "toms748"), _bracketing),
        "newton": _newton, "root_scalar": _root_scalar, "root": _root, "fsolve": _fsolve, "fixed_point": _fixed_point,
        "minimize": _minimize, "minimize_scalar": _minimize_scalar, "least_squares": _least_squares,
        "leastsq": _leastsq, "curve_fit": _curve_fit,
    }
}  # fmt: skip
