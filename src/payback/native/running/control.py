"""Loops and branches: the step of a scan or of a loop as a native loop, the bodies of a branch as programs.

A program is split where one of these stands.  What they run is compiled at the first use and kept with the body.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.native.running import cores
from payback.native.running.loop import Loop, NotNativeError
from payback.ops.control.loop import loop_values, scan_values
from payback.ops.factorizations import VALUES_ALONE
from payback.ops.namespace import Values
from payback.trace.body import rebuilt

Array = np.ndarray[Any, Any]
SLICE = 0.1  # seconds in native code at a time: how long Ctrl-C may have to wait


class _Natively:
    """A body that runs as a program."""

    def __init__(self, body: Any):
        from payback.native.running.program import Program

        program = Program(body.graph)
        self.gives = body.gives
        self.run: Callable[[Any], tuple[Any, ...]] = lambda values: program(*values)


def _kept(body: Any, key: Any, make: Callable[[], Any]) -> Any:
    key = ("native", cores.threads(), *key)
    if key not in body.derived:
        body.derived[key] = make()
    return body.derived[key]


def natively(body: Any) -> Any:
    """The body, compiled."""
    return _kept(body, ("program",), lambda: _Natively(body))


def _loop(make: Callable[[], Loop]) -> Loop | None:
    try:
        return make()
    except NotNativeError:
        return None


def scan(
    *args: Any, body: Any, constants: int, carried: int, length: int, backwards: bool, into: Mapping[int, Array],
) -> tuple[Any, ...]:  # fmt: skip
    """What the rule of `scan` gives; only what is asked for in `into` is stacked, there."""
    stacked = [k for k in sorted(into) if k >= carried]

    def make() -> Loop:
        inputs, outputs = body.graph.inputs, body.graph.outputs
        results = [*outputs, *inputs[constants : constants + carried]]
        return Loop(
            Graph(inputs, [*outputs[:carried], *(results[k] for k in stacked)]),
            carried={k: constants + k for k in range(carried)}, rows={}, chosen=False,
            streams=range(constants + carried, len(inputs)), recorded=range(carried, carried + len(stacked)),
            before=[], after=[], backwards=backwards,
        )  # fmt: skip

    loop = _kept(body, ("scan", constants, carried, backwards, tuple(stacked)), lambda: _loop(make))
    if loop is None:
        return scan_values(*args, body=natively(body), constants=constants, carried=carried, length=length,
                           backwards=backwards)  # fmt: skip
    gives = (*body.gives, *body.gives[:carried])
    made = {k: _place(into[k], (length, *gives[k].shape), gives[k].dtype) for k in stacked}
    inputs = _arrays(args, body.takes, range(constants, constants + carried), range(constants + carried, len(args)))
    if length:
        records = dict(enumerate(made.values(), carried))
        if loop.run(inputs, None, records, length).steps != length:  # an index out of bounds: the rule tells where
            return scan_values(*args, body=body, constants=constants, carried=carried, length=length,
                               backwards=backwards)  # fmt: skip
    ends = _values(inputs[constants : constants + carried], body.gives)
    return (*ends, *(made.get(k) for k in range(carried, len(gives))))


def _place(there: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    fits = there.flags.c_contiguous and there.flags.aligned and (there.shape, there.dtype) == (shape, dtype)
    return there if fits else np.empty(shape, dtype)


def loop(*args: Any, test: Any, body: Any, constants: int, into: Mapping[int, Array]) -> tuple[Any, ...]:
    """What the rule of `loop` gives."""

    def make() -> Loop:
        inputs, outputs = body.graph.inputs, body.graph.outputs
        tested = rebuilt(test.graph.outputs, dict(zip(test.graph.inputs, inputs, strict=True)))
        return Loop(
            Graph(inputs, [*outputs, *tested]), carried={k: constants + k for k in range(len(outputs))}, rows={},
            chosen=False, streams=[], recorded=[], before=[len(outputs)], after=[],
        )  # fmt: skip

    ready = _kept(body, ("loop", test, constants), lambda: _loop(make))
    if ready is None:
        return loop_values(*args, test=natively(test), body=natively(body), constants=constants)
    inputs = _arrays(args, body.takes, range(constants, len(args)), ())
    some = 1
    while True:
        begun = time.perf_counter()
        done = ready.run(inputs, None, {}, some)
        took = time.perf_counter() - begun
        if done.stopped:  # the rule tells where
            return loop_values(*args, test=test, body=body, constants=constants)
        if done.bad:
            return _values(inputs[constants:], body.gives)
        some = max(1, min(some * 8, int(SLICE * some / max(took, 1e-9))))


def branch(condition: Any, *args: Any, high: Any, low: Any, into: Mapping[int, Array]) -> tuple[Any, ...]:
    """What the rule of `branch` gives."""
    return natively(high if condition else low).run(args)


RUNNERS: dict[str, Callable[..., tuple[Any, ...]]] = {"scan": scan, "loop": loop, "branch": branch}


def run(name: str, rule: Callable[..., Any], args: Any, params: dict[str, Any], into: Mapping[int, Array]) -> Any:
    """The value of a row that is not lowered; of several, those with a place in `into`, in their places if they can."""
    runner = RUNNERS.get(name)
    alone, of_values = VALUES_ALONE.get(name, (None, None))
    if of_values is not None and list(into) == [alone]:
        return {alone: of_values(*args, **params)}
    return rule(Values, *args, **params) if runner is None else runner(*args, **params, into=into)


def _arrays(args: Any, takes: Any, changed: range, stacked: Any) -> list[np.ndarray[Any, Any]]:
    """The arguments as native code reads them; what is changed in place is copied."""
    arrays = []
    for k, (value, aval) in enumerate(zip(args, takes, strict=True)):
        dtype = aval.dtype.newbyteorder("=")
        shape = (-1, *aval.shape) if k in stacked else aval.shape
        array = np.array(value, dtype, order="C") if k in changed else np.require(np.asarray(value), dtype, "CA")
        arrays.append(array if k in stacked else array.reshape(shape))
    return arrays


def _values(arrays: Any, gives: Any) -> tuple[Any, ...]:
    return tuple(
        array.item() if aval.weak else array[()] if not array.ndim else array
        for array, aval in zip(arrays, gives, strict=False)
    )
