"""Loops: `scan`, whose number of steps is known, and `loop`, which runs until a condition fails.

A scan keeps what it carried at the beginning of each step; the reverse mode is a scan again, backwards, which pulls
through one step at a time.  So only the carried values are kept, never what a step computed inside.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from payback.ir.aval import Aval, Avals
from payback.ops.control.call import is_floating
from payback.ops.row import Row

# The arguments of a scan stand in this order: constants, what is carried (at first), sequences (the step along axis 0).
# Its results: what is carried (at last), the sequences that the steps made, and for each carried value the sequence of
# what it was before each step.


def scan_values(*args: Any, body: Any, constants: int, carried: int, length: int, backwards: bool) -> tuple[Any, ...]:
    fixed, state = args[:constants], args[constants : constants + carried]
    sequences = args[constants + carried :]
    run = body.run
    before = [np.empty((length, *aval.shape), aval.dtype) for aval in body.gives[:carried]]
    made = [np.empty((length, *aval.shape), aval.dtype) for aval in body.gives[carried:]]
    for i in reversed(range(length)) if backwards else range(length):
        for kept, value in zip(before, state, strict=True):
            kept[i] = value
        results = run((*fixed, *state, *[xs[i] for xs in sequences]))
        state = results[:carried]
        for ys, y in zip(made, results[carried:], strict=True):
            ys[i] = y
    return (*state, *made, *before)


def _stacked(avals: Any, length: int) -> list[Aval]:
    return [Aval((length, *aval.shape), aval.dtype) for aval in avals]


def _scan_shape(*args: Aval, body: Any, carried: int, length: int, **_: Any) -> Avals:
    gives = body.gives
    return Avals([*gives[:carried], *_stacked(gives[carried:], length), *_stacked(gives[:carried], length)])


def _scan_vjp(
    m: Any,
    bar: list[Any],
    args: list[Any],
    y: Any,
    wanted: list[int],
    body: Any,
    constants: int,
    carried: int,
    length: int,
    backwards: bool,
) -> list[Any]:
    takes, gives = body.takes, body.gives
    made = len(gives) - carried
    moving = [k for k in range(carried) if is_floating(gives[k])]  # of what is carried
    # no step pays nothing, which an infinite partial of what is around the loop must not meet as a zero
    fixed = [slot for slot in wanted if length and slot < constants and is_floating(takes[slot])]
    sequences = [slot for slot in wanted if slot >= constants + carried and is_floating(takes[slot])]
    paid = [k for k in range(made) if bar[carried + k] is not None]
    kept = [k for k in moving if bar[carried + made + k] is not None]
    state_slots = [constants + k for k in moving]
    pulled, answered = body.pullback((*state_slots, *fixed, *sequences), (*moving, *(carried + k for k in paid)))
    n_state, n_fixed = len(moving), len(fixed)

    def build(m: Any, *terms: Any) -> list[Any]:
        at = constants
        state_bars, at = terms[at : at + n_state], at + n_state
        fixed_bars, at = terms[at : at + n_fixed], at + n_fixed
        here, at = terms[at : at + carried], at + carried
        xs, at = terms[at : at + len(takes) - constants - carried], at + len(takes) - constants - carried
        paid_bars, at = terms[at : at + len(paid)], at + len(paid)
        kept_bars = dict(zip(kept, terms[at:], strict=True))
        found = iter(pulled.inline(m, [*terms[:constants], *here, *xs, *state_bars, *paid_bars]))
        answers = [next(found) if there else None for there in answered]
        new_state = []
        for k, answer in zip(moving, answers[:n_state], strict=True):
            extra = kept_bars.get(k)
            total = m.zeros(gives[k]) if answer is None and extra is None else answer
            new_state.append(total if extra is None else extra if answer is None else answer + extra)
        sums = [
            old if answer is None else old + answer
            for old, answer in zip(fixed_bars, answers[n_state : n_state + n_fixed], strict=True)
        ]
        own = [
            m.zeros(takes[slot]) if answer is None else answer
            for slot, answer in zip(sequences, answers[n_state + n_fixed :], strict=True)
        ]
        return [*new_state, *sums, *own]

    state_avals = [takes[slot] for slot in state_slots]
    back = body.once(
        ("backwards", tuple(fixed), tuple(sequences), tuple(paid), tuple(kept), constants, carried),
        [
            *takes[:constants],
            *state_avals,
            *(takes[slot] for slot in fixed),
            *takes[constants : constants + carried],
            *takes[constants + carried :],
            *(gives[carried + k] for k in paid),
            *(gives[k] for k in kept),
        ],
        build,
    )
    before = [m.part(y, k=carried + made + k) for k in range(carried)]
    swept = m.scan(
        *args[:constants],
        *[m.zeros(gives[k]) if bar[k] is None else bar[k] for k in moving],
        *[m.zeros(takes[slot]) for slot in fixed],
        *before,
        *args[constants + carried :],
        *[bar[carried + k] for k in paid],
        *[bar[carried + made + k] for k in kept],
        body=back,
        constants=constants,
        carried=n_state + n_fixed,
        length=length,
        backwards=not backwards,
    )
    answers: list[Any] = [None] * len(args)
    for place, slot in enumerate((*state_slots, *fixed, *sequences)):
        answers[slot] = m.part(swept, k=place)
    return answers


def _scan_jvp(
    m: Any,
    dots: dict[int, Any],
    args: list[Any],
    y: Any,
    body: Any,
    constants: int,
    carried: int,
    length: int,
    backwards: bool,
) -> list[Any]:
    takes, gives = body.takes, body.gives
    made = len(gives) - carried
    moving = [k for k in range(carried) if is_floating(gives[k])]
    fixed = [slot for slot in sorted(dots) if slot < constants]
    sequences = [slot for slot in sorted(dots) if slot >= constants + carried]
    state_slots = [constants + k for k in moving]
    moved = (*fixed, *state_slots, *sequences)
    pushed, answered = body.pushforward(moved)
    moving_made = [k for k in range(made) if answered[carried + k]]

    def build(m: Any, *terms: Any) -> list[Any]:
        counts = [constants, len(fixed), carried, len(moving), len(takes) - constants - carried]
        ends = np.cumsum([0, *counts])
        own_fixed, fixed_dots, state, state_dots, xs = (terms[a:b] for a, b in pairwise(ends))
        results = pushed.inline(m, [*own_fixed, *state, *xs, *fixed_dots, *state_dots, *terms[ends[-1] :]])
        found = iter(results[len(gives) :])
        new = [next(found) if there else None for there in answered]
        return [
            *results[:carried],
            *(m.zeros(gives[k]) if new[k] is None else new[k] for k in moving),
            *results[carried : len(gives)],
            *(new[carried + k] for k in moving_made),
        ]

    forward = body.once(
        ("forwards", tuple(fixed), tuple(sequences), constants, carried),
        [
            *takes[:constants],
            *(takes[slot] for slot in fixed),
            *takes[constants : constants + carried],
            *(takes[slot] for slot in state_slots),
            *takes[constants + carried :],
            *(takes[slot] for slot in sequences),
        ],
        build,
    )
    run = m.scan(
        *args[:constants],
        *[dots[slot] for slot in fixed],
        *args[constants : constants + carried],
        *[dots[slot] if slot in dots else m.zeros(takes[slot]) for slot in state_slots],
        *args[constants + carried :],
        *[dots[slot] for slot in sequences],
        body=forward,
        constants=constants + len(fixed),
        carried=carried + len(moving),
        length=length,
        backwards=backwards,
    )
    answers: list[Any] = [None] * (len(gives) + carried)
    n = carried + len(moving)  # results that are carried at last
    total = n + made + len(moving_made)
    for place, k in enumerate(moving):
        answers[k] = m.part(run, k=carried + place)
        answers[len(gives) + k] = m.part(run, k=total + carried + place)
    for place, k in enumerate(moving_made):
        answers[carried + k] = m.part(run, k=n + made + place)
    return answers


Row(
    "scan",
    "own",
    lambda m, *args, **params: m.scan(*args, **params),
    shape=_scan_shape,
    vjp=_scan_vjp,
    jvp=_scan_jvp,
    math="the steps', backwards",
)


# A loop's arguments: what the test and the body read besides (constants), and what is carried.


def loop_values(*args: Any, test: Any, body: Any, constants: int) -> tuple[Any, ...]:
    fixed, state = args[:constants], args[constants:]
    while test.run((*fixed, *state))[0]:
        state = body.run((*fixed, *state))
    return tuple(state)


def _loop_shape(*args: Aval, test: Any, body: Any, constants: int) -> Avals:
    return Avals(body.gives)


def _loop_jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, test: Any, body: Any, constants: int) -> list[Any]:
    takes, gives = body.takes, body.gives
    carried = len(gives)
    moving = [k for k in range(carried) if is_floating(gives[k])]
    fixed = [slot for slot in sorted(dots) if slot < constants]
    state_slots = [constants + k for k in moving]
    pushed, answered = body.pushforward((*fixed, *state_slots))
    n = len(fixed)

    def build(m: Any, *terms: Any) -> list[Any]:
        own_fixed, fixed_dots = terms[:constants], terms[constants : constants + n]
        state, state_dots = terms[constants + n : constants + n + carried], terms[constants + n + carried :]
        results = pushed.inline(m, [*own_fixed, *state, *fixed_dots, *state_dots])
        found = iter(results[carried:])
        new = [next(found) if there else None for there in answered]
        return [*results[:carried], *(m.zeros(gives[k]) if new[k] is None else new[k] for k in moving)]

    def look(m: Any, *terms: Any) -> list[Any]:
        return test.inline(m, [*terms[:constants], *terms[constants + n : constants + n + carried]])

    avals = [
        *takes[:constants],
        *(takes[slot] for slot in fixed),
        *takes[constants:],
        *(takes[slot] for slot in state_slots),
    ]
    key = (tuple(fixed), constants)
    ran = m.loop(
        *args[:constants],
        *[dots[slot] for slot in fixed],
        *args[constants:],
        *[dots[slot] if slot in dots else m.zeros(takes[slot]) for slot in state_slots],
        test=test.once(("tested", key, body), avals, look),
        body=body.once(("forwards", key), avals, build),
        constants=constants + n,
    )
    answers: list[Any] = [None] * carried
    for place, k in enumerate(moving):
        answers[k] = m.part(ran, k=carried + place)
    return answers


Row(
    "loop",
    "own",
    lambda m, *args, **params: m.loop(*args, **params),
    shape=_loop_shape,
    jvp=_loop_jvp,
    math="the steps', forwards only",
    why="the number of steps is not known before the graph is run, so what they carry cannot be kept",
    fix="give while_loop a bound with max_steps=",
)
