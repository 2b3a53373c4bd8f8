"""`trajectory`: y at given times, of y' = body(t, y, *parameters) from y0, by any solver of such equations.

Its derivatives are trajectories: forward mode solves for y and how it moves together; reverse mode for y and its
sensitivities to all that is asked for, and sums.  Stiff equations are no exception, since nothing runs backwards in
time.  (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, 1993, § I.14.)
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.control.call import is_floating
from payback.ops.row import Row

# `solver(g, y0)` gives y at all the times, (times, n), with g(t, y) of plain numbers.


def trajectory_values(y0: Any, *parameters: Any, body: Any, solver: Any, again: Any, times: int) -> Any:
    found = solver(lambda t, y: body(np.float64(t), np.asarray(y, float), *parameters)[0], y0)
    return np.asarray(found, float).reshape(times, len(y0))


def _columns(m: Any, y: Any, first: int, last: int) -> Any:
    return m.index(y, template=(slice(None), slice(first, last)))


def _part(m: Any, y: Any, first: int, last: int) -> Any:
    return m.index(y, template=(slice(first, last),))


def _jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, body: Any, solver: Any, again: Any, times: int) -> Any:
    y0, *parameters = args
    n = m.shape(y0)[0]
    moved = tuple(slot for slot in sorted(dots) if slot)
    pushed, answered = body.pushforward((1, *[slot + 1 for slot in moved]))
    count = len(parameters)
    takes = [body.takes[0], Aval((2 * n,), body.takes[1].dtype),
             *body.takes[2:], *[body.takes[slot + 1] for slot in moved]]  # fmt: skip

    def build(m: Any, t: Any, both: Any, *terms: Any) -> list[Any]:
        at, way = _part(m, both, 0, n), _part(m, both, n, 2 * n)
        made = pushed.inline(m, [t, at, *terms[:count], way, *terms[count:]])
        return [m.concatenate(made[0], made[1] if answered[0] else way * 0.0, axis=0)]

    together = body.once(("moved", moved), takes, build)
    start = m.concatenate(y0, dots[0] if 0 in dots else np.zeros(n), axis=0)
    found = m.trajectory(start, *parameters, *[dots[slot] for slot in moved], body=together, solver=again, again=again,
                         times=times)  # fmt: skip
    return _columns(m, found, n, 2 * n)


def _vjp(m: Any, bar: Any, args: list[Any], y: Any, wanted: list[int], body: Any, solver: Any, again: Any, times: int
         ) -> list[Any]:  # fmt: skip
    y0, *parameters = args
    n = m.shape(y0)[0]
    slots = [slot for slot in wanted if slot == 0 or is_floating(body.takes[slot + 1])]
    shapes = [body.takes[slot + 1].shape for slot in slots]
    sizes = [prod(shape) for shape in shapes]
    asked = sum(sizes)
    begins = np.cumsum([0, *sizes])
    together = _with_sensitivities(body, n, tuple(slots), sizes, asked)
    start = np.zeros((asked, n))
    for slot, begin in zip(slots, begins, strict=False):
        if slot == 0:
            start[begin : begin + n] = np.eye(n)
    found = m.trajectory(m.concatenate(y0, start.reshape(-1), axis=0), *parameters, body=together, solver=again,
                         again=again, times=times)  # fmt: skip
    moved = m.reshape(_columns(m, found, n, n + asked * n), shape=(times, asked, n))
    owed = m.contract(bar, moved, spec=("tn", "tqn", "q"))
    answers: list[Any] = [None] * len(args)
    for slot, shape, begin, size in zip(slots, shapes, begins, sizes, strict=False):
        answers[slot] = m.reshape(_part(m, owed, int(begin), int(begin) + size), shape=shape)
    return answers


def _with_sensitivities(body: Any, n: int, slots: tuple[int, ...], sizes: list[int], asked: int) -> Any:
    """The body of y and, below it, of ∂y/∂ each number that is asked for."""
    moved = tuple(slot for slot in slots if slot)
    pushed, answered = body.pushforward((1, *[slot + 1 for slot in moved]))
    count = len(body.takes) - 2
    on = (*[False] * (2 + count), *[True] * (1 + len(moved)))
    batch, flags = pushed.batched(on, asked)
    units, begin = [], 0
    for slot, size in zip(slots, sizes, strict=True):
        if slot:
            unit = np.zeros((asked, size))
            unit[begin : begin + size] = np.eye(size)
            units.append(unit.reshape(asked, *body.takes[slot + 1].shape))
        begin += size

    def build(m: Any, t: Any, all_of: Any, *terms: Any) -> list[Any]:
        at, ways = _part(m, all_of, 0, n), m.reshape(_part(m, all_of, n, n + asked * n), shape=(asked, n))
        constant = [m.identity(unit) for unit in units]
        made = batch.inline(m, [t, at, *terms, ways, *constant])
        slope = m.index(made[0], template=(0,)) if flags[0] else made[0]
        moving = made[1] if answered[0] else ways * 0.0
        if answered[0] and not flags[1]:
            moving = ways * 0.0 + moving
        return [m.concatenate(slope, m.reshape(moving, shape=(asked * n,)), axis=0)]

    takes = [body.takes[0], Aval((n + asked * n,), body.takes[1].dtype), *body.takes[2:]]
    return body.once(("sensitivities", slots), takes, build)


Row(
    "trajectory",
    "own",
    lambda m, *args, **params: m.trajectory(*args, **params),
    shape=lambda y0, *parameters, body, solver, again, times: Aval((times, y0.shape[0]), y0.dtype),
    vjp=_vjp,
    jvp=_jvp,
    math="the equation of its sensitivities, solved with it",
)
