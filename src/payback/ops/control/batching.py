"""How the rows that run bodies run on a batch: their bodies are batched, too.

`body.batched(on, size, force)` is the body for batched inputs where `on` says so, and which of its results are batched
(those of `force` in any case); `body.replay` is the same inside another graph.
"""

from __future__ import annotations

from typing import Any

from payback.ir.aval import Aval
from payback.ops.batching import Several, lead
from payback.ops.control import branch, call, loop, solution  # noqa: F401 (the rows that the rules are for)
from payback.ops.control.call import paid_by
from payback.ops.recording import Term
from payback.ops.row import CONST, TABLE

Flags = tuple[bool, ...]


def _axes(on: Flags, axis: int = 0) -> tuple[int | None, ...]:
    return tuple(axis if there else None for there in on)


def _batched_aval(aval: Aval, on: bool, size: int) -> Aval:
    return Aval((size, *aval.shape), aval.dtype) if on else aval


def _call(b: Any, node: Any, args: list[Any], on: Flags) -> Several:
    made, batched = node.params["body"].batched(on, b.size)
    return Several(b.m.call(*args, body=made), _axes(batched))


def _may_raise(body: Any) -> bool:
    """Whether a body can fail on numbers that its author never gives it: an index out of range, a singular matrix."""
    return any(node.op.kind == "own" or (node.op.name in ("index", "scatter") and len(node.args) > 1)
               for node in body.graph.nodes)  # fmt: skip


def _truth(m: Any, x: Any) -> Any:
    return x if m.dtype(x).kind == "b" else m.ne(x, 0)


def _chosen(m: Any, holds: Any, high: Any, low: Any, aval: Aval) -> Any:
    """One of two batched results for each sample."""
    rank = len(aval.shape)
    return m.where(m.reshape(holds, shape=(*m.shape(holds), *(1,) * rank)) if rank else holds, high, low)


def _branch(b: Any, node: Any, args: list[Any], on: Flags) -> Any:
    m, high, low = b.m, node.params["high"], node.params["low"]
    if on[0]:  # the samples part: both are run, and each takes its own
        if _may_raise(high) or _may_raise(low):
            return None
        everywhere = (True,) * len(high.gives)
        found = [body.replay(m, args[1:], on[1:], b.size, everywhere)[0] for body in (high, low)]
        return [_chosen(m, args[0], *both, aval) for *both, aval in zip(*found, high.gives, strict=True)]
    batched = tuple(map(max, *[body.batched(on[1:], b.size)[1] for body in (high, low)]))
    made = [body.batched(on[1:], b.size, batched)[0] for body in (high, low)]
    return Several(m.branch(*args, high=made[0], low=made[1]), _axes(batched))


def _carrying(body: Any, size: int, before: Flags, state: Flags, after: Flags) -> tuple[Any, Flags, Flags]:
    """A step's batched body: what is carried is batched if it is so at first, or after any step."""
    while True:
        made, on = body.batched((*before, *state, *after), size, state)
        grown = tuple(map(max, state, on[: len(state)]))
        if grown == state:
            return made, state, on[len(state) :]
        state = grown


def _scan(b: Any, node: Any, args: list[Any], on: Flags) -> Several:
    m, params = b.m, node.params
    constants, carried, body = params["constants"], params["carried"], params["body"]
    first = constants + carried
    made, state, results = _carrying(body, b.size, on[:constants], on[constants:first], on[first:])
    begun = [
        lead(m, x, there, aval.shape, b.size) if wanted else x
        for x, there, wanted, aval in zip(args[constants:first], on[constants:first], state,
                                          body.takes[constants:first], strict=True)
    ]  # fmt: skip
    # the steps stay in front: the batch is the second axis of a sequence
    sequences = [
        m.transpose(x, axes=(1, 0, *range(2, len(m.shape(x))))) if there else x
        for x, there in zip(args[first:], on[first:], strict=True)
    ]
    ran = m.scan(*args[:constants], *begun, *sequences, **{**params, "body": made})
    return Several(ran, (*_axes(state), *_axes(results, 1), *_axes(state, 1)))


def _loop(b: Any, node: Any, args: list[Any], on: Flags) -> Any:
    m, size = b.m, b.size
    test, body, constants = (node.params[key] for key in ("test", "body", "constants"))
    fixed = on[:constants]
    step, state, _ = _carrying(body, size, fixed, on[constants:], ())
    look, (parted,) = test.batched((*fixed, *state), size)
    if parted:  # the samples end at different times: all are run until the last one ends
        if _may_raise(body) or _may_raise(test):
            return None
        state = (True,) * len(state)
        flags = (*fixed, *state)
        avals = [_batched_aval(aval, there, size) for aval, there in zip(body.takes, flags, strict=True)]

        def holds(m: Any, terms: Any) -> Any:
            return _truth(m, test.replay(m, terms, flags, size, (True,))[0][0])

        def any_holds(m: Any, *terms: Any) -> list[Any]:
            return [m.ne(m.sum(holds(m, terms), axes=(0,), keepdims=False), 0)]

        def stepped(m: Any, *terms: Any) -> list[Any]:
            new = body.replay(m, terms, flags, size, state)[0]
            go_on = holds(m, terms)
            return [_chosen(m, go_on, *pair, aval) for *pair, aval in zip(new, terms[constants:], body.gives,
                                                                          strict=True)]  # fmt: skip

        look = test.once(("any holds", flags, size), avals, any_holds)
        step = body.once(("stepped", flags, size, test), avals, stepped)
    begun = [
        lead(m, x, there, aval.shape, size) if wanted else x
        for x, there, wanted, aval in zip(args[constants:], on[constants:], state, body.gives, strict=True)
    ]
    return Several(_run(m, [*args[:constants], *begun], look, step, constants), _axes(state))


def _run(m: Any, args: list[Any], test: Any, body: Any, constants: int) -> Any:
    """A loop; where its values are known and can be differentiated, a scan of as many steps as it takes."""
    nodes = [x.node for x in args if type(x) is Term]
    values = [node.value for node in nodes]
    if any(value is None for value in values) or all(node.op is CONST for node in nodes):
        return m.loop(*args, test=test, body=body, constants=constants)
    steps, state = 0, tuple(values[constants:])
    while test.run((*values[:constants], *state))[0]:
        state, steps = body.run((*values[:constants], *state)), steps + 1
    return m.scan(*args, body=body, constants=constants, carried=len(state), length=steps, backwards=False)


def _custom(b: Any, node: Any, args: list[Any], on: Flags) -> Several:
    """All results are batched, so that what each sample is owed stays apart until its author's rule has seen it."""
    m, size = b.m, b.size
    body, pull, label = (node.params[key] for key in ("body", "pull", "label"))
    made, batched = body.batched(on, size, (True,) * len(body.gives))
    flags = (*on, *(True,) * (len(pull.takes) - len(on)))
    floating = paid_by(pull, body)

    def pulled(m: Any, *terms: Any) -> list[Any]:
        paid = pull.replay(m, terms, flags, size, (True,) * len(floating))[0]
        return [
            x if on[slot]
            else m.cast(m.sum(x, axes=(0,), keepdims=False), dtype=body.takes[slot].dtype, weak=body.takes[slot].weak)
            for slot, x in zip(floating, paid, strict=True)
        ]  # fmt: skip

    avals = [_batched_aval(aval, there, size) for aval, there in zip(pull.takes, flags, strict=True)]
    owed = pull.once(("batched", on, size), avals, pulled)
    return Several(m.custom(*args, body=made, pull=owed, label=label), _axes(batched))


for _name, _rule in {"call": _call, "branch": _branch, "scan": _scan, "loop": _loop, "custom": _custom}.items():
    TABLE[_name].batch = _rule
