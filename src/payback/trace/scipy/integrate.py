"""`scipy.integrate` of functions that use traced values: integrals, by Leibniz's rule."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import TraceError, UnsupportedError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ops.append import apply, freeze
from payback.ops.row import TABLE
from payback.trace.array import Traced, plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import emit, here
from payback.trace.numpy.arguments import as_node, known
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import now
from payback.trace.scipy.callbacks import FLOAT, Callback, Lost, body_of, in_shape
from payback.trace.scipy.curves import doubles
from payback.trace.scipy.signal import trapezoid

Function = Callable[..., Any]
_CLOSE = {"epsabs": 1e-13, "epsrel": 1e-10, "limit": 2000}


def _integral(f: Function, a: Any, b: Any, rule: Function, found: Any = None, points: Any = None) -> Any:
    """∫ f(x) dx, traced; found: its value, if it is known; else it is a number."""
    vector = vars(sys.modules["scipy.integrate"])["quad_vec"]

    def again(g: Function, a: Any, b: Any) -> Any:
        return vector(lambda x: np.asarray(g(x)), a, b, points=points, **_CLOSE)[0]

    shape = np.shape(found) if found is not None else ()
    body, captured = body_of(lambda x: in_shape(f(x), shape), [Aval((), FLOAT)])
    operands = [as_node(doubles(now(end))) for end in (a, b)] + captured
    row, params = TABLE["integral"], {"body": body, "rule": rule, "again": again}
    where = where_of_caller(3)
    if found is None:
        return Traced(apply(row, operands, where, params))
    made = Traced(Node(row, tuple(operands), params, freeze(np.array(found, FLOAT)[()]), where))
    return emit("cast", made, dtype=FLOAT, weak=True) if type(found) is float else made


def _quad(original: Function, func: Function, a: Any, b: Any, args: Any = (), full_output: int = 0,
          **options: Any) -> Any:  # fmt: skip
    called, ends = Callback(func, args), (now(a), now(b))
    is_known = called.known and known(*ends)
    found = original(called, *map(plain, ends), (), full_output, **options) if is_known else None
    if is_known and not called.traced and not any_traced(ends):
        return found
    if options.get("weight") is not None or options.get("complex_func"):
        raise UnsupportedError("scipy.integrate.quad of traced values with weight= or complex_func=", where=here(),
                               fix="write the weight as a part of the function")  # fmt: skip

    def rule(g: Function, a: Any, b: Any) -> Any:
        return original(g, a, b, **options)[0]

    value = _integral(called.at, *ends, rule, None if found is None else found[0], options.get("points"))
    if found is None:
        return (value, Lost("quad's error"), *([Lost("quad's infodict")] if full_output else []))
    return (value, *found[1:])


def _quad_vec(original: Function, f: Function, a: Any, b: Any, *more: Any, args: Any = (), **options: Any) -> Any:
    called, ends = Callback(f, args), (now(a), now(b))
    if not called.known or not known(*ends):
        raise TraceError("quad_vec while a function is compiled", where=here(),
                         why="the shape of what it integrates is not known", fix="use quad of each entry")  # fmt: skip
    found = original(called, *map(plain, ends), *more, **options)
    if not called.traced and not any_traced(ends):
        return found

    def rule(g: Function, a: Any, b: Any) -> Any:
        return original(g, a, b, *more, **options)[0]

    return (_integral(called.at, *ends, rule, found[0], options.get("points")), *found[1:])


def _dblquad(original: Function, func: Function, a: Any, b: Any, gfun: Any, hfun: Any, args: Any = (),
             **options: Any) -> Any:  # fmt: skip
    """Of an integral the integral."""
    quad = vars(sys.modules["scipy.integrate"])["quad"]

    def inner(x: Any) -> Any:
        low, high = (end(x) if callable(end) else end for end in (gfun, hfun))
        return _quad(quad, lambda y: func(y, x, *args), low, high, **options)[0]

    return _quad(quad, inner, a, b, **options)


def _tplquad(original: Function, func: Function, a: Any, b: Any, gfun: Any, hfun: Any, qfun: Any, rfun: Any,
             args: Any = (), **options: Any) -> Any:  # fmt: skip
    def ends(low: Any, high: Any) -> Any:
        return lambda *at: tuple(end(*at) if callable(end) else end for end in (low, high))

    ranges = [lambda y, x: ends(qfun, rfun)(x, y), ends(gfun, hfun), (a, b)]
    return _nquad(original, lambda z, y, x: func(z, y, x, *args), ranges, (), options or None)


def _nquad(original: Function, func: Function, ranges: Any, args: Any = None, opts: Any = None,
           full_output: bool = False) -> Any:  # fmt: skip
    """Of integrals the integral; the first variable is the innermost one."""
    quad = vars(sys.modules["scipy.integrate"])["quad"]
    ranges, args = list(ranges), tuple(args) if isinstance(args, (tuple, list)) else () if args is None else (args,)
    options = [opts or {}] * len(ranges) if not isinstance(opts, (tuple, list)) else list(opts)
    if full_output:
        raise UnsupportedError("scipy.integrate.nquad of traced values with full_output=True", where=here(),
                               fix="leave full_output= away")  # fmt: skip

    def along(k: int, outer: tuple[Any, ...]) -> Any:
        ends = ranges[k](*outer, *args) if callable(ranges[k]) else ranges[k]
        how = options[k](*outer, *args) if callable(options[k]) else options[k]

        def inside(x: Any) -> Any:
            return along(k - 1, (x, *outer))[0] if k else func(x, *outer, *args)

        return _quad(quad, inside, *ends, **how)

    return along(len(ranges) - 1, ())


def _fixed_quad(original: Function, func: Function, a: Any, b: Any, args: Any = (), n: int = 5) -> Any:
    """Gauss's rule, written out: what the function makes of the places is traced as it is."""
    if np.any(np.isinf([plain(x) for x in (now(a), now(b)) if known(x)])):
        return original(func, plain(a), plain(b), args, n)  # which says that it takes none
    x, w = np.polynomial.legendre.leggauss(n)
    half = (now(b) - now(a)) / 2.0
    return half * np.sum(w * Callback(func, args).at(half * (x + 1.0) + now(a)), axis=-1), None


def romb(y: Any, dx: Any = 1.0, axis: int = -1, show: bool = False) -> Any:
    """Richardson's extrapolation of the rule of trapezoids."""
    y = np.moveaxis(doubles(y), axis, 0)
    step = y.shape[0] - 1
    if step < 1 or step & (step - 1):
        raise ValueError("Number of samples must be one plus a non-negative power of 2.")
    line: list[Any] = []
    while step:
        sums = [trapezoid(y[::step], dx=dx * step, axis=0)]
        for k, before in enumerate(line, 1):
            sums.append(sums[-1] + (sums[-1] - before) / (4.0**k - 1.0))
        line, step = sums, step // 2
    return line[-1]


FUNCTIONS: dict[str, Any] = {"romb": romb}
CALLERS: dict[str, Function] = {"quad": _quad, "quad_vec": _quad_vec, "dblquad": _dblquad,
                                "tplquad": _tplquad, "nquad": _nquad, "fixed_quad": _fixed_quad}  # fmt: skip
