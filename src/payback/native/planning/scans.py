"""Scans and loops as commands of the program that they stand in: one kernel runs all the steps.

What is large enough for several threads, or needs NumPy, splits the program instead: see `control.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native.codegen import library
from payback.native.lower.guard import AllTrue, may_stop
from payback.native.lower.pointwise import code_of
from payback.native.lower.steps import Call, Place, Steps
from payback.native.planning import layout, memory
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View
from payback.native.planning.scratch import fit
from payback.native.running import cores
from payback.native.running.loop import Loop, NotNativeError
from payback.native.running.table import seconds_of, team_of, write
from payback.trace.body import rebuilt

LOCAL = 1 << 14  # bytes of variables on the stack: what kernels of a step hand on, and then what is carried
HELD = 1 << 10  # bytes of what is carried, up to which it is a variable during the loop
WRITTEN_INSIDE = 150_000  # characters of the kernels of a step, up to which they are written into the loop
ALONE = 20  # times as much as elsewhere has a second thread to save in a step, for its loop to be no kernel
MOST = 1 << 16  # steps of a loop with a test, after which Ctrl-C is listened to: see `Program`


class Stepped(Loop):
    """A loop as a kernel, and what that is given.

    key, called  the kernel, and those that it calls
    operands     what its pointers are for: ("input", number), ("record", number of the output), ("constant", buffer),
                 or ("room", None) for `room` bytes between the kernels of a step
    """

    inside = True

    def __init__(self, hooks: Mapping[str, Any], graph: Graph, **options: Any):
        self.hooks = hooks
        super().__init__(graph, rows={}, chosen=False, after=[], **options)

    def _finish(self) -> None:
        planner, graph = self.planner, self.graph
        commands = planner.commands
        if team_of(seconds_of(commands) / ALONE, planner.threads) > 1:
            raise NotNativeError("threads share this step")
        fit(commands, 1)
        places: list[Place] = []
        self.operands: list[tuple[str, Any]] = []

        def place(buffer: Buffer, kind: str, size: int = 0, *operand: Any) -> None:
            buffer.base, buffer.start = len(places), 0
            places.append(Place(kind, size))
            self.operands += [operand] if operand else []

        for i, view in enumerate(planner.outputs):
            if i not in self.carried and i not in self.recorded:
                view.buffer.kind = "arena"
        between = memory.lives(commands)
        self.room, left = 0, LOCAL - sum(memory.aligned(buffer.bytes) for buffer in between)
        if left >= 0:
            for buffer in between:
                place(buffer, "local", max(buffer.bytes, 1))
        else:
            self.room = memory.arrange(between)  # base 0, as in any program
            places.append(Place("fixed"))
            self.operands.append(("room", None))
            left = LOCAL
        sign, carried = -1 if self.backwards else 1, set(self.carried.values())
        for i, node in enumerate(graph.inputs):
            size = node.aval.size * node.aval.dtype.itemsize
            if i in self.streams:
                place(planner.views[node].buffer, "moving", sign * size, "input", i)
            else:
                held = i in carried and 0 < size <= min(HELD, left)
                left -= held * memory.aligned(size)
                place(planner.views[node].buffer, "held" if held else "fixed", size * held, "input", i)
        for buffer in planner.constants:
            place(buffer, "fixed", 0, "constant", buffer)
        for i in self.recorded:
            aval = graph.outputs[i].aval
            place(planner.outputs[i].buffer, "moving", sign * aval.size * aval.dtype.itemsize, "record", i)
        written = write(commands)
        kernels, ends = list(written.kernels), [*written.starts[: len(commands)].tolist(), len(written.flat)]
        numbers = [tuple(written.flat[a:b].tolist()) for a, b in pairwise(ends)]
        inside = len(str(library.module_of(dict.fromkeys(kernels)))) <= WRITTEN_INSIDE
        calls, self.called = [], []
        for command, given in zip(commands, numbers, strict=True):
            first = 2 * len(command.operands)
            calls.append(Call(command.kernel if inside else None, given, tuple(first + at for at, _ in command.inner)))
            self.called += [*([] if inside else [command.kernel]), *(kernel for _, kernel in command.inner)]
        test = next((k for k, kernel in enumerate(kernels) if isinstance(kernel, AllTrue)), -1)
        self.key = Steps(tuple(calls), tuple(places), any(map(may_stop, kernels)), test)


def _stepped(planner: Any, body: Any, key: tuple[Any, ...], make: Callable[[], Stepped]) -> Stepped | None:
    """The steps of a body as a kernel, made once; None where they are not to be one."""
    key = ("native", cores.threads(), "loop" in planner.hooks, *key)
    if key not in body.derived:
        try:
            body.derived[key] = make()
        except NotNativeError:
            body.derived[key] = None
    return body.derived[key]


def _parts(planner: Any, node: Node) -> dict[int, list[Node]]:
    """The parts of a node that are used, by their numbers."""
    parts: dict[int, list[Node]] = {}
    for part in planner.users.get(node, ()):
        parts.setdefault(part.params["k"], []).append(part)
    return parts


def _takes(node: Node, body: Any, moving: int) -> bool:
    """Whether the arguments are what the body takes; those from `moving` on are sequences."""
    return all(
        (arg.aval.dtype, arg.aval.shape[k >= moving :]) == (aval.dtype, aval.shape)
        for k, (arg, aval) in enumerate(zip(node.args, body.takes, strict=True))
    )


def lower_scan(planner: Any, node: Node) -> bool:
    """One command, if its body is machine code that one thread runs."""
    body, backwards, length = (node.params[name] for name in ("body", "backwards", "length"))
    constants, carried = node.params["constants"], node.params["carried"]
    parts = _parts(planner, node)
    stacked = tuple(sorted(k for k in parts if k >= carried))

    def make() -> Stepped:
        inputs, outputs = body.graph.inputs, body.graph.outputs
        results = [*outputs, *inputs[constants : constants + carried]]
        return Stepped(
            planner.hooks, Graph(inputs, [*outputs[:carried], *(results[k] for k in stacked)]),
            carried={k: constants + k for k in range(carried)}, before=[], backwards=backwards,
            streams=range(constants + carried, len(inputs)), recorded=range(carried, carried + len(stacked)),
        )  # fmt: skip

    if not _takes(node, body, constants + carried):
        return False
    loop = _stepped(planner, body, ("scan", constants, carried, backwards, stacked, "kernel"), make)
    if loop is None:
        return False
    gives = (*body.gives, *body.gives[:carried])
    shapes = {k: (length, *gives[k].shape) if k >= carried else gives[k].shape for k in (*range(carried), *stacked)}
    _emit(planner, node, loop, length, parts, [(k, gives[k].dtype, shape) for k, shape in shapes.items()])
    return True


def lower_loop(planner: Any, node: Node) -> bool:
    """One command, as of a scan; it gives up where there are too many steps to wait for them."""
    body, test, constants = (node.params[name] for name in ("body", "test", "constants"))
    carried = len(body.gives)

    def make() -> Stepped:
        inputs, outputs = body.graph.inputs, body.graph.outputs
        tested = rebuilt(test.graph.outputs, dict(zip(test.graph.inputs, inputs, strict=True)))
        return Stepped(
            planner.hooks, Graph(inputs, [*outputs, *tested]), carried={k: constants + k for k in range(carried)},
            before=[carried], streams=[], recorded=[],
        )  # fmt: skip

    if not _takes(node, body, len(node.args)):
        return False
    loop = _stepped(planner, body, ("loop", test, constants, "kernel"), make)
    if loop is None:
        return False
    results = [(k, aval.dtype, aval.shape) for k, aval in enumerate(body.gives)]
    _emit(planner, node, loop, MOST, _parts(planner, node), results)
    return True


def _emit(
    planner: Any, node: Node, loop: Stepped, length: int, parts: dict[int, list[Node]], results: list[Any],
) -> None:  # fmt: skip
    """The command, after those that put what is carried into its place."""
    sources = [planner.view(arg) for arg in node.args]  # first: what is computed with them must not read the results
    views: list[View] = []
    for k, dtype, shape in results:
        part = parts.get(k, [None])[0]
        view = planner.new(part, dtype, shape, "arena")
        planner.views |= dict.fromkeys(parts.get(k, ()), view)
        views.append(view)
    planner.gone.add(node)
    carried = {number: views[output] for output, number in loop.carried.items()}
    given: list[View] = []
    for number, (arg, view) in enumerate(zip(node.args, sources, strict=True)):
        if number in carried:
            target, code = carried[number], code_of(arg.aval.dtype)
            planner.nest([("load", view, code)], [code], [("store", target, 0)], target.shape, "carry in")
            view = target
        elif view.strides != layout.contiguous(view.shape):
            view = planner.copy(view, arg.aval.dtype)
        given.append(view)
    if not length:
        return
    reads, writes, operands = list(given), list(views), []
    for what, which in loop.operands:
        if what == "room":
            view = layout.whole(Buffer("arena", np.dtype(np.uint8), loop.room), (loop.room,))
            writes.append(view)
        elif what == "constant":
            view = layout.whole(Buffer("const", which.dtype, which.size, which.array), (which.size,))
            planner.constants.append(view.buffer)
            reads.append(view)
        else:
            view = given[which] if what == "input" else views[which]
            if loop.backwards and (what == "record" or which in loop.streams):
                view = view._replace(offset=view.offset + (length - 1) * view.strides[0])
        operands.append(view)
    steps = f"scan of {length} steps" if node.op.name == "scan" else "loop"
    text = f"{steps}, {len(loop.key.calls)} kernels in each"
    command = Command(loop.key, operands, [length, *[0] * len(loop.called)], reads, writes, None, text)
    command.inner = tuple((1 + k, kernel) for k, kernel in enumerate(loop.called))
    planner.commands.append(command)
