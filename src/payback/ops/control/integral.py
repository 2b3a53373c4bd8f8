"""`integral`: ∫ body(x, *parameters) dx from a to b, by any rule; differentiated by Leibniz's rule.

What the parameters are owed, and how the integral moves with them, are integrals themselves, each by a rule that
chooses its own places: so every order is as exact as the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.control.call import is_floating, scattered_among
from payback.ops.row import Row

# `rule(g, a, b)` integrates g, a function of a number that gives an array of the body's shape.


def integral_values(a: Any, b: Any, *parameters: Any, body: Any, rule: Any, again: Any) -> Any:
    aval = body.gives[0]
    found = rule(lambda x: body(np.float64(x), *parameters)[0], a, b)
    return np.asarray(found, aval.dtype).reshape(aval.shape)[()]


def _integral(m: Any, ends: Sequence[Any], parameters: Sequence[Any], body: Any, again: Any) -> Any:
    return m.integral(*ends, *parameters, body=body, rule=again, again=again)


def _at(m: Any, x: Any, parameters: Sequence[Any], body: Any) -> Any:
    return m.part(m.call(x, *parameters, body=body), k=0)


def _flat(m: Any, x: Any) -> Any:
    return m.reshape(x, shape=(prod(m.shape(x)),))


def _vjp(m: Any, bar: Any, args: list[Any], y: Any, wanted: list[int], body: Any, rule: Any, again: Any) -> list[Any]:
    a, b, *parameters = args
    answers: list[Any] = [None] * len(args)
    for slot, sign in ((0, -1.0), (1, 1.0)):
        if slot in wanted:
            height = _at(m, args[slot], parameters, body)
            answers[slot] = sign * m.contract(_flat(m, bar), _flat(m, height), spec=("i", "i", ""))
    slots = tuple(slot - 1 for slot in wanted if slot > 1 and is_floating(body.takes[slot - 1]))
    pulled, answered = body.pullback(slots, (0,))
    avals = [body.takes[slot] for slot, there in zip(slots, answered, strict=True) if there]
    if avals:

        def build(m: Any, *terms: Any) -> list[Any]:
            return [m.concatenate(*[_flat(m, part) for part in pulled.inline(m, terms)], axis=0)]

        together = pulled.once("together", pulled.takes, build)
        made, found, at = _integral(m, (a, b), [*parameters, bar], together, again), [], 0
        for aval in avals:
            part = m.index(made, template=(slice(at, at + aval.size),))
            found.append(m.reshape(part, shape=aval.shape))
            at += aval.size
        answers[1:] = [
            old if new is None else new
            for old, new in zip(answers[1:], scattered_among(slots, answered, found, len(args) - 1), strict=True)
        ]
    return answers


def _jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, body: Any, rule: Any, again: Any) -> Any:
    a, b, *parameters = args
    terms = []
    for slot, sign in ((0, -1.0), (1, 1.0)):
        if slot in dots:
            terms.append(sign * dots[slot] * _at(m, args[slot], parameters, body))
    moved = tuple(slot - 1 for slot in sorted(dots) if slot > 1)
    if moved:
        pushed, answered = body.pushforward(moved)
        if answered[0]:
            alone = pushed.once("moved", pushed.takes, lambda m, *terms: pushed.inline(m, terms)[1:])
            terms.append(_integral(m, (a, b), [*parameters, *[dots[slot + 1] for slot in moved]], alone, again))
    return sum(terms[1:], terms[0]) if terms else None


Row(
    "integral",
    "own",
    lambda m, *args, **params: m.integral(*args, **params),
    shape=lambda a, b, *parameters, body, rule, again: Aval(body.gives[0].shape, body.gives[0].dtype),
    vjp=_vjp,
    jvp=_jvp,
    math="the integral of ∂f/∂θ; f at the ends",
)
