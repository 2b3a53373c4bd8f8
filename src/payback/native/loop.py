"""Many steps of a training in one call: the step's graph run over batches of rows, parameters and state in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.errors import PaybackError
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native import cores, layout, memory
from payback.native.commands import Command
from payback.native.fuse import Planner
from payback.native.layout import Buffer, View
from payback.native.lower.guard import AllFinite, AllTrue
from payback.native.lower.nest import Nest
from payback.native.lower.pointwise import code_of
from payback.native.machine import Machine
from payback.native.program import HOOKS, simplified


class NotNativeError(PaybackError):
    """A step that native code cannot run as one piece: a row of it needs NumPy."""


class Done(NamedTuple):
    """How far a call came: the steps that were applied; bad: the next one is not finite, and before the update?"""

    steps: int
    bad: bool | None
    before: bool = False


def _bytes(node: Node) -> int:
    return node.aval.size * node.aval.dtype.itemsize


class Loop:
    """A step as a native loop.

    carried   number of an output -> number of the input that it becomes in the next step; updated in place
    rows      inputs that are batches: rows of a whole array, chosen by an index array (None: the array as it stands)
    streams   inputs that are one entry of an array a step
    recorded  outputs that are written to arrays, one entry a step
    before    outputs that must be finite (or true) before anything is updated
    after     outputs that must be finite afterwards
    backwards whether streams and records are gone through from their last entry to the first
    """

    def __init__(
        self,
        graph: Graph,
        *,
        carried: Mapping[int, int],
        rows: Mapping[int, tuple[int, ...]],
        chosen: bool,
        streams: Sequence[int],
        recorded: Sequence[int],
        before: Sequence[int],
        after: Sequence[int],
        backwards: bool = False,
    ):
        self.graph = simplified(graph)
        self.carried, self.rows, self.streams, self.recorded = dict(carried), dict(rows), list(streams), list(recorded)
        self.before, self.after, self.chosen, self.backwards = list(before), list(after), chosen, backwards
        self.planner = planner = Planner(self.graph, HOOKS, cores.threads())
        self.order = Buffer("input", np.dtype(np.int64), 0)
        self.sources: dict[int, Buffer] = {}
        self.guards: dict[int, int] = {}  # command -> index into before + after
        for i, shape in self.rows.items() if chosen else ():
            self._gather(self.graph.inputs[i], i, shape)
        outputs = self.graph.outputs
        planner.plan([outputs[i] for i in before], lambda planner: self._guard([outputs[i] for i in before]))
        self._guard([outputs[i] for i in after])
        self.stops = [k for k, c in enumerate(planner.commands) if isinstance(c.kernel, (AllFinite, AllTrue))]
        self._in_place()
        if any(command.kernel is None for command in planner.commands):
            raise NotNativeError("this step needs NumPy")
        self._finish()

    def _gather(self, node: Node, number: int, shape: tuple[int, ...]) -> None:
        """A batch is made of the rows that the index array names."""
        planner, aval = self.planner, node.aval
        whole = Buffer("input", aval.dtype, int(np.prod(shape)))
        self.sources[number] = whole
        batch = planner.views[node] = layout.whole(Buffer("arena", aval.dtype, aval.size), aval.shape)
        rest = (0,) * (len(aval.shape) - 1)
        code, stride = code_of(aval.dtype), int(np.prod(shape[1:], dtype=int))
        instrs = [
            ("load", View(self.order, 0, aval.shape, (1, *rest)), "i8"),
            ("gather", View(whole, 0, aval.shape, (0, *layout.contiguous(aval.shape)[1:])), code,
             (0, shape[0], stride)),
        ]  # fmt: skip
        planner.nest(instrs, ["i8", code], [("store", batch, 1)], aval.shape, "batch")

    def _guard(self, nodes: Sequence[Node]) -> None:
        """The program stops here if one of these is not finite."""
        views = [self.planner.view(node) for node in nodes]
        if views:
            codes = tuple(code_of(node.aval.dtype) for node in nodes)
            kernel = AllTrue(len(codes)) if codes[0] == "b1" else AllFinite(codes)
            self.planner.command(kernel, views, [], views, [], "all finite?")

    def _in_place(self) -> None:
        """An output that is carried takes its input's memory, where nobody reads the old value any more."""
        planner = self.planner
        for output, number in self.carried.items():
            new, old = planner.outputs[output], planner.views[self.graph.inputs[number]]
            writes = [k for k, c in enumerate(planner.commands) if any(v.buffer is new.buffer for v in c.writes)]
            guarded = not self.before or writes[0] > self.stops[0]
            if guarded and all(
                self._may_write(command, k, writes[0], new, old) for k, command in enumerate(planner.commands)
            ):
                for command in planner.commands:
                    command.replace(new.buffer, old.buffer)
                planner.outputs[output] = old
            else:
                new.buffer.kind = "arena"
                code = code_of(new.buffer.dtype)
                planner.nest([("load", new, code)], [code], [("store", old, 0)], new.shape, "carry over")

    def _may_write(self, command: Command, k: int, first: int, new: View, old: View) -> bool:
        reads = [v for v in command.reads if v.buffer is old.buffer]
        if not reads or k < first:
            return True
        if k > first or not isinstance(command.kernel, Nest):
            return False
        if any(instr[0] == "gather" and command.operands[instr[1]].buffer is old.buffer
               for instr in command.kernel.instrs):  # fmt: skip
            return False
        writes = [v for v in command.writes if v.buffer is new.buffer]
        return all((r.offset, r.shape, r.strides) == (w.offset, w.shape, w.strides) for r in reads for w in writes)

    def _finish(self) -> None:
        planner, inputs = self.planner, self.graph.inputs
        number = 1
        self.input_bases: dict[int, int] = {}
        for i, node in enumerate(inputs):
            buffer = self.sources.get(i) or planner.views[node].buffer
            if buffer.kind == "input":
                buffer.base, number = number, number + 1
                self.input_bases[i] = buffer.base
        self.order.base, number = number, number + 1
        for buffer in planner.constants:
            buffer.base, number = number, number + 1
        self.output_bases: dict[int, int] = {}
        for i, view in enumerate(planner.outputs):
            if i in self.carried:
                continue
            if i not in self.recorded:
                view.buffer.kind = "arena"
            else:
                view.buffer.base, number = number, number + 1
                self.output_bases[i] = view.buffer.base
        self.arena_bytes = memory.arrange(memory.lives(planner.commands))
        self.machine = Machine(planner.commands, planner.constants, number, self.arena_bytes, planner.threads)
        self.advances: list[tuple[int, int]] = []
        for i in self.streams:
            self.advances.append((self.input_bases[i], _bytes(inputs[i])))
        for i in self.recorded:
            self.advances.append((self.output_bases[i], _bytes(self.graph.outputs[i])))
        if self.backwards:
            self.advances = [(base, -size) for base, size in self.advances]
        if self.chosen and self.rows:
            batch = inputs[next(iter(self.rows))].aval.shape[0]
            self.advances.append((self.order.base, batch * 8))

    def run(
        self,
        inputs: Sequence[np.ndarray[Any, Any] | None],
        order: np.ndarray[Any, Any] | None,
        records: Mapping[int, np.ndarray[Any, Any]],
        steps: int,
    ) -> Done:
        """Run up to `steps` steps on these arrays; carried inputs are changed in place.

        Where a step is not finite it is not applied: the carried arrays are as they were before it.
        """
        kept = [inputs[i].copy() for i in self.carried.values()] if self.after else []
        status = self._call(inputs, order, records, steps)
        if not status:
            return Done(steps, None)
        count = len(self.planner.commands)
        done, command = divmod(status - 1, count)
        late = bool(self.after) and command == self.stops[-1]
        if late:  # the update is there already: go back, and to just before it
            for i, array in zip(self.carried.values(), kept, strict=True):
                inputs[i][...] = array
            again = self._call(inputs, order, records, done)
            assert not again, "a step that was finite is not when it is replayed"
        return Done(done, True, not late)

    def _call(self, inputs: Any, order: Any, records: Any, steps: int) -> int:
        """0, or 1 + the number of commands that were run, over all rounds."""
        places = {base: inputs[i] for i, base in self.input_bases.items()}
        places |= {base: records[i] for i, base in self.output_bases.items()}
        if self.backwards:
            for base, _ in self.advances:
                places[base] = places[base][steps - 1 :]
        if order is not None:
            places[self.order.base] = order
        for base, array in places.items():
            assert array.flags.c_contiguous, f"base {base} is not in order"
        return self.machine.run(places, steps, self.advances)
