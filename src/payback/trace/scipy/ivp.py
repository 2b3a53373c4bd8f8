"""`scipy.integrate.solve_ivp` and `odeint` of equations that use traced values.

Explicit Runge-Kutta methods are gone through again, with the steps that SciPy took held fixed: the derivative is that
of the numbers that were computed.  Of all other methods, and of what is compiled, y solves its equation, and so do its
sensitivities: these are found by the same solver (see the row `trajectory`).
(Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 1993.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, TraceError, UnsupportedError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ops.append import apply, freeze
from payback.ops.row import TABLE
from payback.trace.array import Traced, plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import as_node, known
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import now
from payback.trace.scipy.callbacks import FLOAT, Callback, body_of, in_shape, results
from payback.trace.scipy.curves import doubles
from payback.trace.tree import leaves, tree_map

Function = Callable[..., Any]


# explicit Runge-Kutta methods -----------------------------------------------------------------------------------


def _as_found(made: Any, found: Any) -> Any:
    """The numbers that SciPy found, with the history of those that were computed again."""
    if not isinstance(made, Traced):
        return found
    off = found - plain(made)
    if not np.max(np.abs(off), initial=0.0) <= 1e-6 * max(np.max(np.abs(found), initial=0.0), 1e-6):
        raise DifferentiationError("the steps of solve_ivp give other numbers when they are taken again", where=here(),
                                   why="the function does not depend on t and y alone",
                                   fix="let it draw or count nothing")  # fmt: skip
    return made + off


class _Step:
    """From t to t + h, by the method's table: y at both ends, and the slopes at the stages."""

    def __init__(self, f: Function, kind: Any, t: Any, h: Any, y: Any, slope: Any, found: Any):
        self.f, self.kind, self.t, self.h, self.y = f, kind, t, h, y
        self.slopes = [slope]
        for row, c in zip(kind.A[1:], kind.C[1:], strict=True):
            self._stage(row, c)
        self.end = _as_found(y + h * self._sum(kind.B), found)
        self.slopes.append(f(t + h, self.end))

    def _sum(self, weights: Any) -> Any:
        used = np.flatnonzero(weights[: len(self.slopes)])
        return np.tensordot(weights[used], np.stack([self.slopes[k] for k in used]), 1) if len(used) else 0.0 * self.y

    def _stage(self, row: Any, c: Any) -> None:
        self.slopes.append(self.f(self.t + c * self.h, self.y + self.h * self._sum(row)))

    def at(self, t: Any) -> Any:
        """y at times within the step, (n, times), by the method's own polynomial."""
        x = np.reshape((t - self.t) / self.h, (1, -1))
        if isinstance(self.kind.P, np.ndarray):
            powers = np.cumprod(np.repeat(x, self.kind.P.shape[1], axis=0), axis=0)
            weights = np.tensordot(self.kind.P, powers, 1)
            return self.y[:, None] + self.h * np.tensordot(np.stack(self.slopes).T, weights, 1)
        return self._by_parts(x)

    def _by_parts(self, x: Any) -> Any:
        """DOP853's polynomial of degree 7, in x and 1 − x by turns."""
        count = self.kind.n_stages + 1
        if len(self.slopes) == count:
            for row, c in zip(self.kind.A_EXTRA, self.kind.C_EXTRA, strict=True):
                self._stage(row, c)
        change, first, last = self.end - self.y, self.slopes[0], self.slopes[count - 1]
        rest = self.h * np.tensordot(self.kind.D, np.stack(self.slopes), 1)
        parts = [change, self.h * first - change, 2.0 * change - self.h * (last + first), *rest]
        made: Any = 0.0
        for k, part in enumerate(reversed(parts)):
            made = (made + part[:, None]) * (x if k % 2 == 0 else 1.0 - x)
        return made + self.y[:, None]


class _Path:
    """The solution at all times, as SciPy's OdeSolution."""

    def __init__(self, times: Sequence[Any], steps: list[_Step]):
        self.steps = steps
        self.ts = np.array([float(plain(t)) for t in times])
        self.t_min, self.t_max = self.ts.min(), self.ts.max()

    def __call__(self, t: Any) -> Any:
        t = doubles(now(t))
        made = self.at(np.reshape(t, (-1,)))
        return np.reshape(made, (made.shape[0], *t.shape))

    def at(self, t: Any) -> Any:
        sign = 1.0 if self.ts[-1] >= self.ts[0] else -1.0
        step = np.clip(np.searchsorted(sign * self.ts, sign * plain(t)) - 1, 0, len(self.steps) - 1)
        parts = [self.steps[k].at(t[step == k]) for k in np.unique(step)]
        order = np.argsort(np.argsort(step, kind="stable"))
        return np.concatenate(parts, axis=1)[:, order]


def _again(f: Function, kind: Any, found: Any, t_span: Any, y0: Any, t_eval: Any) -> dict[str, Any]:
    """t, y and the path of what SciPy found."""
    n = len(plain(y0))
    times: list[Any] = [now(t_span[0]), *found.sol.ts[1:-1], now(t_span[1])]
    ends = [*(part.y_old for part in found.sol.interpolants[1:]), found.sol(found.sol.ts[-1])]
    if t_eval is None:
        ends[-1] = found.y[:, -1]

    def slope(t: Any, y: Any) -> Any:
        return in_shape(f(t, y), (n,))

    y, steps = y0, []
    k = slope(times[0], y0)
    for t, after, end in zip(times, times[1:], ends, strict=False):
        steps.append(_Step(slope, kind, t, after - t, y, k, end))
        y, k = steps[-1].end, steps[-1].slopes[kind.n_stages]
    path = _Path(times, steps)
    if t_eval is None:
        ys = np.stack([y0, *(step.end for step in steps)], axis=1)
        return {"t": found.t if not any_traced(times) else np.stack(times), "y": ys, "sol": path}
    return {"t": now(t_eval), "y": _as_found(path.at(doubles(now(t_eval))), found.y), "sol": path}


# any method -----------------------------------------------------------------------------------------------------


def _trajectory(f: Function, y0: Any, times: Any, solver: Function, again: Function, found: Any = None) -> Any:
    """y at the times, (times, n), as the solution of its equation; found: its numbers, if they are known."""
    y0 = doubles(now(y0))
    n = y0.shape[0]
    body, captured = body_of(lambda t, y: in_shape(f(t, y), (n,)), [Aval((), FLOAT), Aval((n,), FLOAT)])
    row, operands = TABLE["trajectory"], (as_node(y0), *captured)
    params = {"body": body, "solver": solver, "again": again, "times": len(times)}
    where = where_of_caller(3)
    if found is None:
        return Traced(apply(row, operands, where, params))
    return Traced(Node(row, operands, params, freeze(np.array(found, float)), where))


_CLOSE = {"rtol": 1e-6, "atol": 1e-9}  # at most, where sensitivities are solved for


def _closer(options: dict[str, Any]) -> dict[str, Any]:
    kept = {key: options[key] for key in ("max_step", "min_step") if key in options}
    return kept | {key: min(most, float(np.min(options.get(key, most)))) for key, most in _CLOSE.items()}


def _event(event: Any, args: Any) -> Any:
    """An event as SciPy is given it, with what is told about it."""
    made = Callback(event, args)
    made.__dict__.update(getattr(event, "__dict__", {}))
    return made


def _no_numbers(why: str, fix: str) -> TraceError:
    return TraceError("solve_ivp of an equation without numbers", where=here(), why=why, fix=fix)


def _solve_ivp(original: Function, fun: Function, t_span: Any, y0: Any, method: Any = "RK45", t_eval: Any = None,
               dense_output: bool = False, events: Any = None, vectorized: bool = False, args: Any = None,
               **options: Any) -> Any:  # fmt: skip
    called, given = Callback(fun, args or ()), (t_span, y0, t_eval)
    if callable(options.get("jac")):
        options["jac"] = Callback(options["jac"], args or ())
    kind = vars(sys.modules["scipy.integrate"]).get(method, method) if isinstance(method, str) else method
    if not called.known or not known(*map(now, leaves(given))):
        _refuse_events(events)
        return _unknown(original, called, t_span, y0, method, t_eval, options)
    bare = [tree_map(plain, part) for part in given]
    watched = events
    if events is not None:
        several = isinstance(events, (list, tuple))
        watched = [_event(event, args or ()) for event in (events if several else (events,))]
        watched = watched if several else watched[0]

    def run(dense: bool) -> Any:
        return original(called, bare[0], bare[1], method, bare[2], dense, watched, vectorized, **options)

    is_traced = bool(called.found) or any_traced(given)
    found = run(dense_output or is_traced)
    if not is_traced and not called.traced:
        return found
    _refuse_events(events)
    if found.status < 0:
        raise DifferentiationError("solve_ivp has not reached the end", where=here(), why=found.message,
                                   fix="see what its message says on plain numbers")  # fmt: skip
    if found.sol is None:
        found = run(True)
    if hasattr(kind, "A") and hasattr(kind, "B"):
        made = _again(called.at, kind, found, t_span, doubles(now(y0)), t_eval)
    else:
        made = _by_sensitivities(original, called, given, method, found, dense_output, options)
    made["sol"] = made["sol"] if dense_output else None
    return results(found, "solve_ivp", t_events=None, y_events=None, **made)


def _refuse_events(events: Any) -> None:
    if events is not None:
        raise UnsupportedError("solve_ivp of traced values with events", where=here(),
                               why="when an event happens depends on the parameters",
                               fix="find its time with pb.root, of y at the end of t_span")  # fmt: skip


def _by_sensitivities(original: Function, called: Callback, given: Any, method: Any, found: Any, dense: bool,
                      options: dict[str, Any]) -> dict[str, Any]:  # fmt: skip
    t_span, y0, t_eval = given
    if dense or any_traced((t_span, t_eval)):
        raise UnsupportedError(f"solve_ivp of traced values by {method} with dense_output or traced times",
                               where=here(), why="only explicit methods are differentiated by time",
                               fix="use method='RK45' or 'DOP853', or give t_eval as plain numbers")  # fmt: skip
    solver = _solver(original, t_span, method, found.t, _closer(options))
    return {"t": found.t, "y": _trajectory(called.at, y0, found.t, solver, solver, found.y.T).T, "sol": None}


def _solver(original: Function, t_span: Any, method: Any, times: Any, options: dict[str, Any]) -> Function:
    def solve(g: Function, y0: Any) -> Any:
        found = original(g, t_span, y0, method, times, **options)
        if found.status < 0:
            raise DifferentiationError("solve_ivp has not reached the end", why=found.message)
        return found.y.T

    return solve


def _unknown(original: Function, called: Callback, t_span: Any, y0: Any, method: Any, t_eval: Any,
             options: dict[str, Any]) -> Any:  # fmt: skip
    if t_eval is None or any_traced((t_span, t_eval)):
        raise _no_numbers("how many steps there are depends on the numbers",
                          "give plain t_span and t_eval in what is compiled")  # fmt: skip
    times = np.asarray(t_eval, float)
    first, then = (_solver(original, t_span, method, times, how) for how in (options, _closer(options)))
    y = _trajectory(called.at, np.reshape(doubles(now(y0)), (-1,)), times, first, then).T
    return vars(sys.modules["scipy.integrate._ivp.ivp"])["OdeResult"](
        t=times, y=y, sol=None, t_events=None, y_events=None, status=0, success=True)  # fmt: skip


def _odeint(original: Function, func: Function, y0: Any, t: Any, args: Any = (), Dfun: Any = None, *more: Any,
            **options: Any) -> Any:  # fmt: skip
    called, tfirst = Callback(func, args), options.get("tfirst", False)
    slope = Callback(Dfun, args) if Dfun is not None else None
    is_known = called.known and known(*map(now, leaves((y0, t))))
    found = None
    if is_known:
        found = original(called, tree_map(plain, y0), tree_map(plain, t), (), slope, *more, **options)
        if not called.traced and not any_traced((y0, t)):
            return found
    if any_traced(t) or options.get("full_output") or more:
        raise UnsupportedError("odeint of traced values with traced times or full_output", where=here(),
                               fix="give plain times, or use solve_ivp(method='RK45')")  # fmt: skip
    times = np.asarray(t, float)
    close = {key: options[key] for key in ("rtol", "atol", "mxstep", "hmax") if key in options}
    close |= {key: float(np.min(value)) for key, value in close.items() if key in ("rtol", "atol")}

    def solver(how: dict[str, Any]) -> Function:
        return lambda g, y0: original(g, y0, times, tfirst=True, **how)

    def f(t: Any, y: Any) -> Any:
        return called.at(t, y) if tfirst else called.at(y, t)

    return _trajectory(f, np.reshape(doubles(now(y0)), (-1,)), times, solver(close), solver(close), found)


CALLERS: dict[str, Function] = {"solve_ivp": _solve_ivp, "odeint": _odeint}
