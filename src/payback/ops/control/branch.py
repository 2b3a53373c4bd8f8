"""`branch`: one of two bodies, chosen by a boolean scalar when the graph is run."""

from __future__ import annotations

from typing import Any

from payback.ir.aval import Aval, Avals
from payback.ops.control.call import is_floating, owed, parts, scattered_among
from payback.ops.row import Row


def branch_values(condition: Any, *args: Any, high: Any, low: Any) -> tuple[Any, ...]:
    return (high if condition else low)(*args)


def _shape(condition: Aval, *args: Aval, high: Any, low: Any) -> Avals:
    return Avals(high.gives)


def _complete(body: Any, derived: Any, answers: list[Aval], keep: int) -> Any:
    """The derivative's body with zeros for what no path leads to, so that both branches give the same."""

    def build(m: Any, *terms: Any) -> list[Any]:
        made = derived.body.inline(m, terms)
        following = iter(made[keep:])
        return [
            *made[:keep],
            *(next(following) if there else m.zeros(aval)
              for there, aval in zip(derived.answered, answers, strict=True)),
        ]  # fmt: skip

    return body.once(("complete", derived), derived.body.takes, build)


def _vjp(m: Any, bar: list[Any], args: list[Any], y: Any, wanted: list[int], high: Any, low: Any) -> list[Any]:
    present = owed(bar)
    slots = tuple(slot - 1 for slot in wanted if slot and is_floating(high.takes[slot - 1]))
    avals = [high.takes[slot] for slot in slots]
    pulled = [body.pullback(slots, present) for body in (high, low)]
    pays, otherwise = (_complete(body, made, avals, 0) for body, made in zip((high, low), pulled, strict=True))
    made = m.branch(*args, *[bar[k] for k in present], high=pays, low=otherwise)
    found = parts(m, made, len(slots))
    answers: list[Any] = [None] * len(args)
    for slot, paid, of_high, of_low in zip(slots, found, *(each.answered for each in pulled), strict=True):
        if of_high and of_low:
            answers[slot + 1] = paid
        elif of_high or of_low:  # the zero of the branch that does not use it must not meet an infinite partial
            answers[slot + 1] = m.select(args[0] if of_high else m.logical_not(args[0]), paid, None)
    return answers


def _jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, high: Any, low: Any) -> list[Any]:
    moved = tuple(sorted(slot - 1 for slot in dots))
    floating = [k for k, aval in enumerate(high.gives) if is_floating(aval)]
    count = len(high.gives)
    pushed = []
    for body in (high, low):
        derived = body.pushforward(moved)
        derived = type(derived)(derived.body, tuple(derived.answered[k] for k in floating))
        pushed.append(_complete(body, derived, [high.gives[k] for k in floating], count))
    made = m.branch(*args, *[dots[slot + 1] for slot in moved], high=pushed[0], low=pushed[1])
    found = parts(m, made, count + len(floating))
    return scattered_among(floating, [True] * len(floating), found[count:], count)


Row("branch", "own", lambda m, *args, high, low: m.branch(*args, high=high, low=low), shape=_shape, vjp=_vjp, jvp=_jvp,
    math="the taken branch's", kink="where the condition changes")  # fmt: skip
