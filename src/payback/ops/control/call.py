"""Calls of bodies: `call`, and `custom`, whose derivative is given by its author."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from payback.errors import DifferentiationError
from payback.ir.aval import Aval, Avals
from payback.ops.row import Row
from payback.ops.several import PART


def is_floating(aval: Aval) -> bool:
    return aval.dtype.kind == "f"


def parts(m: Any, several: Any, count: int) -> list[Any]:
    """The results of a node that has several."""
    return [m.part(several, k=k) for k in range(count)]


def owed(bar: Sequence[Any]) -> tuple[int, ...]:
    """The results that are owed something."""
    return tuple(k for k, b in enumerate(bar) if b is not None)


def scattered_among(slots: Sequence[int], answered: Sequence[bool], found: Sequence[Any], count: int) -> list[Any]:
    """Answers for some of the slots as a list for all; None where there is none."""
    answers: list[Any] = [None] * count
    following = iter(found)
    for slot, there in zip(slots, answered, strict=True):
        if there:
            answers[slot] = next(following)
    return answers


def _shape(*args: Aval, body: Any, **_: Any) -> Avals:
    return Avals(body.gives)


def _vjp(m: Any, bar: list[Any], args: list[Any], y: Any, wanted: list[int], body: Any) -> list[Any]:
    present = owed(bar)
    slots = tuple(slot for slot in wanted if is_floating(body.takes[slot]))
    masked, values, masks = _unmasked(m, {k: bar[k] for k in present}, body.gives)
    pulled, answered, beside = body.masked_pullback(slots, present, masked)
    made = _masked_again(m, m.call(*args, *values, *masks, body=pulled), len(pulled.gives), beside)
    return scattered_among(slots, answered, made[: sum(answered)], len(args))


def _jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, body: Any) -> list[Any]:
    moved, count = tuple(sorted(dots)), len(body.gives)
    masked, values, masks = _unmasked(m, {slot: dots[slot] for slot in moved}, body.takes)
    pushed, answered, beside = body.masked_pushforward(moved, masked)
    made = _masked_again(m, m.call(*args, *values, *masks, body=pushed), len(pushed.gives), beside)
    return scattered_among(range(count), answered, made[count : count + sum(answered)], count)


def _unmasked(m: Any, given: dict[int, Any], avals: Sequence[Aval]) -> tuple[tuple[int, ...], list[Any], list[Any]]:
    """Which of the adjoints or tangents are masked, their values, and the masks.

    Masks go into a body and come out of it: that a function is called changes nothing about its derivative.
    """
    masked = tuple(k for k, value in given.items() if hasattr(value, "mask"))
    masks = [given[k].mask for k in masked]
    for j, k in enumerate(masked):  # a condition may have been smaller
        if m.shape(masks[j]) != avals[k].shape:
            masks[j] = m.broadcast(masks[j], shape=avals[k].shape)
    return masked, [value.value if k in masked else value for k, value in given.items()], masks


def _masked_again(m: Any, several: Any, count: int, beside: dict[int, int]) -> list[Any]:
    made = parts(m, several, count)
    for position, k in beside.items():
        made[position] = m.select(made[k], made[position], None)
    return made


Row("call", "own", lambda m, *args, body: m.call(*args, body=body), shape=_shape, vjp=_vjp, jvp=_jvp,
    masked="both", math="the body's")  # fmt: skip


def paid_by(pull: Any, body: Any) -> list[int]:
    """The arguments that an author's rule pays: the floating ones, but not the plain arrays from outside at the end."""
    return [slot for slot, aval in enumerate(body.takes) if is_floating(aval)][: len(pull.gives)]


def _custom_vjp(
    m: Any, bar: list[Any], args: list[Any], y: Any, wanted: list[int], body: Any, pull: Any, label: str
) -> list[Any]:
    """pull: (*args, *results, *what the results are owed) -> what the arguments that it pays are owed."""
    results = parts(m, y, len(body.gives))
    bars = [m.zeros(aval) if b is None else b for b, aval in zip(bar, body.gives, strict=True) if is_floating(aval)]
    floating = paid_by(pull, body)
    made = parts(m, m.call(*args, *results, *bars, body=pull), len(floating))
    return scattered_among(floating, [True] * len(floating), made, len(args))


def _depends(body: Any, slots: Iterable[int]) -> set[int]:
    """Which results of a body depend on these inputs, calls and loops inside it looked into."""
    moved = {body.graph.inputs[slot] for slot in slots}
    several: dict[Any, set[int]] = {}  # which of their results
    for node in body.graph.nodes:
        given = [k for k, arg in enumerate(node.args) if arg in moved]
        if given and node.op.name == "call":
            several[node] = _depends(node.params["body"], given)
        if given and node.op.name == "scan":
            several[node] = _of_scan(given, **node.params)
        if given and (node.op is not PART or node.params["k"] in several.get(node.args[0], (node.params["k"],))):
            moved.add(node)
    return {k for k, node in enumerate(body.graph.outputs) if node in moved}


def _of_scan(slots: Iterable[int], body: Any, constants: int, carried: int, **_: Any) -> set[int]:
    """Of a loop's results (see `loop.py`): what is carried on brings along what it depends on."""
    moved: set[int] = set()
    more = set(slots)
    while more:
        moved |= more
        found = _depends(body, moved)
        more = {constants + k for k in found if k < carried} - moved
    return found | {len(body.gives) + k for k in range(carried) if constants + k in moved}


def _custom_jvp(m: Any, dots: dict[int, Any], args: list[Any], y: Any, body: Any, pull: Any, label: str) -> list[Any]:
    """pull is linear in what the results are owed: its transpose maps tangents to tangents."""
    results = parts(m, y, len(body.gives))
    floating = paid_by(pull, body)
    moved = tuple(k for k, slot in enumerate(floating) if slot in dots)
    first = len(args) + len(results)
    bars = tuple(range(first, len(pull.takes)))
    transposed, answered = pull.pullback(bars, moved)
    if _depends(transposed, bars):  # how it moves depends on where it is
        raise DifferentiationError(
            f"the derivative that was given for {label} cannot be used in forward mode",
            why="what it pays is not linear in what the result is owed, so it has no transpose",
            fix="use reverse mode (grad, vjp, jacobian(mode='reverse'))",
        )
    zeros = [m.zeros(pull.takes[slot]) for slot in bars]
    made = m.call(*args, *results, *zeros, *[dots[floating[k]] for k in moved], body=transposed)
    slots = [k for k, aval in enumerate(body.gives) if is_floating(aval)]
    return scattered_among(slots, answered, parts(m, made, sum(answered)), len(results))


Row(
    "custom",
    "own",
    lambda m, *args, body, pull, label: m.call(*args, body=body),
    shape=_shape,
    vjp=_custom_vjp,
    jvp=_custom_jvp,
    math="as its author says",
)
