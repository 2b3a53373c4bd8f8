"""`scan`, `cond` and `while_loop`: loops and branches as one node of the graph each."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import numpy as np

from payback.errors import InputError, MutationError, ShapeError, UnsupportedError, no_function
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import append, apply
from payback.ops.row import TABLE
from payback.run.interpreter import quietly
from payback.trace.body import Body, TracedBody, fresh, node_of, run_node, trace_body
from payback.trace.operators import where_of_caller
from payback.trace.refusals.free import noted
from payback.trace.tree import leaves, paths, same_structure, unflatten
from payback.transforms.retracing import steady
from payback.transforms.shared_memory import check_apart
from payback.transforms.surroundings import Around

Function = Callable[..., Any]


def strong(node: Node, dtype: Any = None, *, weak: bool = False) -> Node:
    """The node as NumPy's scalars are, not weak, of the dtype; or weak all the same."""
    aval = node.aval
    dtype = aval.dtype if dtype is None else dtype  # (NumPy takes None for float64 when it compares dtypes)
    if aval.weak == weak and dtype == aval.dtype:
        return node
    return append(TABLE["cast"], (node,), {"dtype": dtype, "weak": weak}, node.where)


def _place(depth: int) -> str | None:
    found = position(where_of_caller(depth + 1))
    return str(found) if found else None


def _carrying(name: str, step: Callable[[list[Any]], Any], carry: Any, more: Sequence[Aval], where: Any,
              ) -> tuple[TracedBody, list[Node]]:  # fmt: skip
    """The body of a step and the nodes of what is carried at first, both of the same avals.

    step: takes the leaves (carried, then more) and returns (carry, ...).  A carried Python number takes the dtype that
    the step makes of it: to find out, the step is traced twice.  Raises ShapeError when a step changes what it carries
    otherwise.
    """
    first = state = [node_of(leaf) for leaf in leaves(carry)]
    for attempt in (1, 2):
        taken = [*(node.aval for node in state), *more]
        one = functools.partial(trace_body, lambda *xs: step(list(xs)), taken, tuple)
        traced = steady(step, one, f"a step of {name}", where)
        found = position(where)
        carried = leaves(carry)
        check_apart([carried[k] for k in traced.written if k < len(carried)], carried)
        if not isinstance(traced.result, tuple) or len(traced.result) != 2:
            many = f"a tuple of {len(traced.result)}" if isinstance(traced.result, tuple) else "no pair"
            raise InputError(f"a step of {name} returns {many}", where=str(found) if found else None,
                             why="a step returns a pair: what is carried on, and what is kept of the step",
                             fix="return (carry, y), or (carry, None)")  # fmt: skip
        if not same_structure(traced.result[0], carry):
            raise InputError(
                f"a step of {name} carries on a container of another structure",
                where=str(found) if found else None,
                why=f"it was given {', '.join(paths(carry, 'carry'))} and returns "
                f"{', '.join(paths(traced.result[0], 'carry')) or 'nothing'}",
                fix="return what is carried as it came",
            )
        wanted = [aval._replace(weak=False) for aval in traced.body.gives[: len(state)]]
        have = [node.aval for node in state]
        if wanted == have:
            return traced, state
        if attempt == 1 and all(
            a.shape == b.shape and (a.dtype == b.dtype or n.aval.weak)
            for a, b, n in zip(wanted, have, first, strict=True)
        ):
            state = [strong(node, aval.dtype) for node, aval in zip(first, wanted, strict=True)]
            continue
        break
    changed = "; ".join(
        f"{path} was {old._replace(weak=False)} and became {new}"
        for path, old, new in zip(paths(carry, "carry"), have, wanted, strict=True)
        if old != new
    )
    found = position(where)
    raise ShapeError(f"a step of {name} changes what it carries", where=str(found) if found else None, why=changed,
                     fix="give the first carry in the shape and dtype that the steps return")  # fmt: skip


def _strengthened(traced: TracedBody) -> Body:
    """The body whose first results are strong, as what is carried must be."""
    body = traced.body
    if not any(aval.weak for aval in body.gives):
        return body
    return Body(body.graph.inputs, [strong(node) for node in body.graph.outputs])


def scan(f: Function, init: Any, xs: Any = None, length: int | None = None, *, reverse: bool = False,
         remat: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """`(carry, ys)` of a loop `carry, y = f(carry, x)` over the entries of `xs` along their first axis.

    f: called with shapes only; takes what is carried and one entry, returns `(carry, y)`.  It may use traced values
    from around it.
    init: what is carried at first: a number, array or container; a step returns the same structure, shapes and dtypes.
    A Python number takes the dtype that the step makes of it; to find out, f is called twice, else once.
    xs: an array or container of arrays of equal first extent; or None, with `length=` as the number of steps.
    reverse: from the last entry to the first.
    remat: keep √n of the carried values instead of all, and compute the others again in the reverse sweep.

    Returns what is carried at last, and what the steps returned as y, stacked.  A loop of n steps is one node: its
    reverse mode keeps n carried values (with `remat` about 2·√n), never what a step computes inside.
    Raises ShapeError when a step changes what it carries or the extents differ, TraceError where f looks at a number,
    UnsupportedError where it draws random numbers without a key, reads an iterator or changes what it reads around it,
    for all steps would see the same.
    Source of the memory scheme: Griewank, Achieving logarithmic growth of temporal and spatial complexity in reverse
    automatic differentiation (1992); here with two levels.

    >>> import numpy as np, payback as pb
    >>> def total(x):
    ...     return pb.scan(lambda c, a: (c * a, None), 1.0, x)[0]
    >>> pb.grad(total)(np.array([2.0, 3.0, 4.0]))
    array([12.,  8.,  6.])
    """
    where = where_of_caller(2)
    if not callable(f):
        raise no_function(f)
    sequences = [node_of(leaf) for leaf in leaves(xs)]
    for node, path in zip(sequences, paths(xs, "xs"), strict=True):
        if not node.shape:
            raise ShapeError(f"{path} is a scalar", where=_place(2), why="scan goes along the first axis of arrays")
    extents = {node.shape[0] for node in sequences} | ({length} if length is not None else set())
    if len(extents) != 1:
        raise ShapeError("scan does not know how many steps to take" if not extents else "scan got different lengths",
                         where=_place(2), why=f"the first extents are {sorted(extents)}" if extents else None,
                         fix="give xs arrays of one first extent, or length=")  # fmt: skip
    steps = int(extents.pop())
    if steps < 0:
        raise InputError(f"the length is {steps}", where=_place(2), why="a loop takes 0 steps at least")
    count = len(leaves(init))

    def step(values: list[Any]) -> Any:
        return f(unflatten(init, iter(values[:count])), unflatten(xs, iter(values[count:])))

    entries = [Aval(node.shape[1:], node.aval.dtype) for node in sequences]
    traced, state = _carrying("scan", step, init, entries, where)
    body = _strengthened(traced)
    # inputs in the order of the row: constants first
    inputs = body.graph.inputs
    own = count + len(entries)
    body = Body([*inputs[own:], *inputs[:own]], body.graph.outputs)
    args = [*traced.captured, *state, *sequences]
    params = {"constants": len(traced.captured), "carried": count, "length": steps, "backwards": reverse}
    made = len(body.gives) - count
    if remat and steps > 3:
        results = _in_blocks(body, args, params, where)
    else:
        results = run_node("scan", args, where, body=body, **params)
    carry, y = traced.result
    ys = unflatten(y, iter(results[count : count + made]))
    return unflatten(carry, iter(results[:count])), ys


def _in_blocks(body: Body, args: list[Node], params: dict[str, Any], where: Any) -> list[Any]:
    """A scan over blocks of about √n steps, each of them a scan: only the outer one's carried values are kept."""
    constants, carried, length, backwards = (params[key] for key in ("constants", "carried", "length", "backwards"))
    size = max(isqrt(length), 1)
    blocks, rest = divmod(length, size)
    made = len(body.gives) - carried
    sequences = args[constants + carried :]

    def part(start: int, stop: int) -> list[Node]:
        return [apply(TABLE["index"], (xs,), where, {"template": (slice(start, stop),)}) for xs in sequences]

    def inner(m: Any, *terms: Any) -> list[Any]:
        ran = m.scan(*terms, body=body, **{**params, "length": size})
        return [m.part(ran, k=k) for k in range(carried + made)]

    avals = [*body.takes[: constants + carried]]
    avals += [Aval((size, *aval.shape), aval.dtype) for aval in body.takes[constants + carried :]]
    block = body.once(("block", size, backwards), avals, inner)
    # the steps that do not fill a block come first in the order of the loop
    first = slice(blocks * size, length) if backwards else slice(0, rest)
    whole = slice(0, blocks * size) if backwards else slice(rest, length)
    head: list[Any] = []
    state: list[Any] = list(args[constants : constants + carried])
    if rest:
        head = run_node("scan", [*args[:constants], *state, *part(first.start, first.stop)], where, body=body,
                   **{**params, "length": rest})  # fmt: skip
        state = [node_of(x) for x in head[:carried]]
    shaped = [
        apply(TABLE["reshape"], (xs,), where, {"shape": (blocks, size, *xs.shape[1:])})
        for xs in part(whole.start, whole.stop)
    ]
    ran = run_node("scan", [*args[:constants], *state, *shaped], where, body=block, **{**params, "length": blocks})
    ys = [np.reshape(y, (blocks * size, *y.shape[2:])) for y in ran[carried : carried + made]]
    if rest:
        rests = head[carried : carried + made]
        ys = [np.concatenate((y, r) if backwards else (r, y)) for y, r in zip(ys, rests, strict=True)]
    return [*ran[:carried], *ys]


def _branch(f: Function, operands: tuple[Any, ...], avals: list[Aval]) -> TracedBody:
    around = Around(f, False, large=False)
    traced = trace_body(f, avals, lambda values: unflatten(operands, iter(values)), whole=True)
    if around.is_decided([around]):
        raise UnsupportedError(f"a branch of cond changes what it reads around it ({around.changes()[0]})",
                               where=_place(3), why="both are traced, whichever of them runs",
                               fix="return what it changes")  # fmt: skip
    return traced


def _with_captured(traced: TracedBody, own: int, captured: list[Node], gives: Sequence[Aval]) -> Body:
    """The body that takes its own arguments and then all that any of the branches captured, and gives these avals."""
    given = dict(zip(traced.captured, traced.body.graph.inputs[own:], strict=True))
    more = [given.get(node) or fresh(node.aval) for node in captured]
    outputs = [
        node if node.aval == aval else append(TABLE["cast"], (node,), {"dtype": aval.dtype, "weak": aval.weak}, None)
        for node, aval in zip(traced.body.graph.outputs, gives, strict=True)
    ]
    return Body([*traced.body.graph.inputs[:own], *more], outputs)


def cond(condition: Any, high: Function, low: Function, *operands: Any) -> Any:
    """`high(*operands)` if the condition holds, else `low(*operands)`.

    condition: a boolean scalar, traced or not.  Where its value is known the function is simply called; in a graph that
    is traced without numbers both are traced, and one of them runs when the graph does.
    high, low: return the same structure and shapes.  Both may use traced values from around them.

    Raises ShapeError when the two return different things.

    >>> import payback as pb
    >>> pb.grad(lambda x: pb.cond(x > 0, lambda x: x * x, lambda x: -x, x))(3.0)
    6.0
    """
    for branch in (high, low):
        if not callable(branch):
            raise no_function(branch)
    node = node_of(condition)
    if node.shape:
        raise ShapeError(f"the condition has the shape {node.shape}", where=_place(2), why="it is one boolean",
                         fix="use np.where to choose entry by entry")  # fmt: skip
    if node.value is not None:
        noted(node)
        return (high if node.value else low)(*operands)
    args = [node_of(leaf) for leaf in leaves(operands)]
    avals = [arg.aval for arg in args]
    both = [_branch(f, operands, avals) for f in (high, low)]
    if any(traced.written for traced in both):
        raise MutationError("a branch of cond writes into what it is given", where=_place(2),
                            why="which branch runs is not known, so it is given a copy",
                            fix="write into a copy, x.copy(), and return it")  # fmt: skip
    if not same_structure(both[0].result, both[1].result) or any(
        a.shape != b.shape for a, b in zip(both[0].body.gives, both[1].body.gives, strict=True)
    ):
        raise ShapeError(
            "the two branches of cond return different things",
            where=_place(2),
            why=f"{_told(both[0])} and {_told(both[1])}",
            fix="return the same structure and shapes",
        )
    captured = list(dict.fromkeys([*both[0].captured, *both[1].captured]))
    gives = [
        a if a == b else Aval(a.shape, np.result_type(*(x.dtype for x in (a, b) if not x.weak or (a.weak and b.weak))))
        for a, b in zip(both[0].body.gives, both[1].body.gives, strict=True)
    ]
    bodies = [_with_captured(traced, len(args), captured, gives) for traced in both]
    truth = node if node.aval.dtype.kind == "b" else apply(TABLE["ne"], (node, 0), None)
    results = run_node("branch", [truth, *args, *captured], where_of_caller(2), high=bodies[0], low=bodies[1])
    return unflatten(both[0].result, iter(results))


def _told(traced: TracedBody) -> str:
    return ", ".join(f"{path or 'one'} {aval}" for path, aval in
                     zip(paths(traced.result), traced.body.gives, strict=True)) or "nothing"  # fmt: skip


def while_loop(test: Function, step: Function, init: Any, *, max_steps: int | None = None) -> Any:
    """What is carried when `test(carry)` fails: `while test(carry): carry = step(carry)`.

    init: a number, array or container; each step returns the same structure, shapes and dtypes.
    max_steps: the loop ends after so many steps, whether the test holds or not.

    In forward mode any loop has a derivative.  For the reverse mode the number of steps must be known or bounded: it is
    known wherever values are (in `grad` of concrete arguments), and bounded by `max_steps` in a graph that is traced
    without numbers.
    Raises what `scan` raises, and DifferentiationError for the reverse mode of a loop without bound.

    >>> import payback as pb
    >>> def root(a):  # Heron's method
    ...     return pb.while_loop(lambda x: abs(x * x - a) > 1e-12, lambda x: (x + a / x) / 2, a)
    >>> round(pb.grad(root)(4.0), 9)
    0.25
    """
    where = where_of_caller(2)
    if max_steps is not None and (not isinstance(max_steps, (int, np.integer)) or max_steps < 0):
        raise InputError(f"max_steps is {max_steps!r}", where=_place(2), why="it is a number of steps, 0 or more")
    count = len(leaves(init))

    def carried(values: list[Any]) -> Any:
        return (step(unflatten(init, iter(values))), None)

    traced, state = _carrying("while_loop", carried, init, (), where)
    avals = [node.aval for node in state]
    look = functools.partial(trace_body, test, avals, lambda values: (unflatten(init, iter(values)),))
    tested = steady(test, look, "the test of while_loop", where)
    if len(tested.body.gives) != 1 or tested.body.gives[0].shape:
        raise ShapeError("the test of while_loop returns no single truth", where=_place(2), why=_told(tested))
    captured = list(dict.fromkeys([*traced.captured, *tested.captured]))
    gives = [aval._replace(weak=False) for aval in avals]
    body = _constants_first(_with_captured(traced, count, captured, gives), count)
    asked = _constants_first(_with_captured(tested, count, captured, tested.body.gives), count)
    fixed = len(captured)
    values = [node.value for node in (*captured, *state)]
    if any(value is None for value in values):
        if max_steps is None:
            results = run_node("loop", [*captured, *state], where, test=asked, body=body, constants=fixed)
            return unflatten(init, iter(results))
        steps, stepping = int(max_steps), _guarded(asked, body, fixed)
    else:
        steps, stepping = _count(asked, body, values, fixed, max_steps), body
    params = {"constants": fixed, "carried": count, "length": steps, "backwards": False}
    return unflatten(init, iter(run_node("scan", [*captured, *state], where, body=stepping, **params)[:count]))


def _constants_first(body: Body, own: int) -> Body:
    inputs = body.graph.inputs
    return Body([*inputs[own:], *inputs[:own]], body.graph.outputs)


def _count(test: Body, body: Body, values: list[Any], fixed: int, most: int | None) -> int:
    """How many steps a loop takes on these values."""
    steps, constants, state = 0, values[:fixed], tuple(values[fixed:])
    with quietly():
        while (most is None or steps < most) and test.run((*constants, *state))[0]:
            state, steps = body.run((*constants, *state)), steps + 1
    return steps


def _guarded(test: Body, body: Body, fixed: int) -> Body:
    """A step that changes nothing once the test fails."""
    stay = body.once(("stay", fixed), body.takes, lambda m, *terms: terms[fixed:])

    def build(m: Any, *terms: Any) -> list[Any]:
        (holds,) = test.inline(m, terms)
        holds = holds if m.dtype(holds).kind == "b" else m.ne(holds, 0)
        chosen = m.branch(holds, *terms, high=body, low=stay)
        return [m.part(chosen, k=k) for k in range(len(body.gives))]

    return body.once(("guarded", test), body.takes, build)
