"""Many steps of a training in one call: the step's graph run over batches of rows, parameters and state in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from payback.errors import PaybackError, TraceError
from payback.ir.collector import uncollected
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native.codegen import library
from payback.native.lower.guard import AllFinite, AllTrue
from payback.native.lower.move import SHORT, Located, Rows
from payback.native.lower.pointwise import code_of
from payback.native.planning import layout, memory
from payback.native.planning.fuse import Planner
from payback.native.planning.inplace import InPlace, last_that_may_fail
from payback.native.planning.layout import Buffer, View
from payback.native.planning.nests import SHARED
from payback.native.planning.owned import owned
from payback.native.planning.scratch import fit
from payback.native.planning.stripes import striped
from payback.native.running import cores
from payback.native.running.program import BOUNDED, simplified
from payback.native.running.table import DRIVERS, Machine, Segment, write


class NotNativeError(PaybackError):
    """A step that native code cannot run as one piece: a row of it needs NumPy."""


class Done(NamedTuple):
    """How far a call came.

    steps   that are good
    bad     whether the next one is not finite
    before  whether that was seen before its update: then it is not applied
    stopped  whether a kernel left the next step to the interpreter: an index out of bounds, a singular matrix
    """

    steps: int
    bad: bool
    before: bool
    stopped: bool = False


def _bytes(node: Node) -> int:
    return node.aval.size * node.aval.dtype.itemsize


class Loop:
    """A step as a native loop.

    carried   number of an output -> number of the input that it becomes in the next step; updated in place
    rows      inputs that are batches: rows of a whole array, chosen by an index array (None: the array as it stands)
    chosen    whether there is such an array, or "runs": the rows of a batch lie side by side, the first is looked up
    streams   inputs that are one entry of an array a step
    recorded  outputs that are written to arrays, one entry a step
    before    outputs that must be finite (or true) before anything is updated
    after     outputs that must be finite afterwards
    backwards whether streams and records are gone through from their last entry to the first
    """

    hooks, inside = BOUNDED, False

    def __init__(
        self,
        graph: Graph,
        *,
        carried: Mapping[int, int],
        rows: Mapping[int, tuple[int, ...]],
        chosen: bool | str,
        streams: Sequence[int],
        recorded: Sequence[int],
        before: Sequence[int],
        after: Sequence[int],
        backwards: bool = False,
    ):
        self._options(carried, rows, chosen, streams, recorded, before, after, backwards)
        needed = sorted({*self.carried, *self.recorded, *self.before, *self.after})  # of what nobody asks for, nothing
        with uncollected():
            self.graph = simplified(Graph(graph.inputs, [graph.outputs[i] for i in needed]))
            self.outputs = dict(zip(needed, self.graph.outputs, strict=True))
            self._build()

    def _options(
        self, carried: Any, rows: Any, chosen: bool, streams: Any, recorded: Any, before: Any, after: Any,
        backwards: bool = False,
    ) -> None:  # fmt: skip
        self.carried, self.rows, self.streams, self.recorded = dict(carried), dict(rows), list(streams), list(recorded)
        self.before, self.after, self.chosen, self.backwards = list(before), list(after), chosen, backwards
        self.known: dict[int, Any] | None = None  # {}: the arrays of the last call are kept, they come again

    def _build(self) -> None:
        for output, number in self.carried.items():
            new, old = self.outputs[output].aval, self.graph.inputs[number].aval
            if (new.shape, new.dtype) != (old.shape, old.dtype):
                raise TraceError(f"a step makes {new} of {old}", why="what a step changes keeps its shape and dtype",
                                 fix="cast it in the optimizer, or write numbers as Python floats")  # fmt: skip
        self.planner = planner = Planner(self.graph, self.hooks, cores.threads())
        planner.repeated, planner.inside = True, self.inside
        self.order = Buffer("input", np.dtype(np.int64), 0)
        self.sources: dict[int, Buffer] = {}
        self.guards: dict[int, int] = {}  # command -> index into before + after
        self.located: list[tuple[Buffer, int, Buffer]] = []  # an array, bytes of a row, and its rows of a batch
        for i, shape in self.rows.items() if self.chosen else ():
            self._gather(self.graph.inputs[i], i, shape)
        if self.located:
            numbers = View(self.order, 0, (1,), (1,))
            planner.command(Located(len(self.located)), [numbers], [], [numbers], [], "batches")
        self.first = planner.commands[-1:]
        before = [self.outputs[i] for i in self.before]
        planner.plan(before, lambda planner: self._guard(before))
        self.results = dict(zip(self.outputs, planner.outputs, strict=True))
        self._guard([self.outputs[i] for i in self.after])
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
        size = int(np.prod(shape[1:], dtype=int)) * aval.dtype.itemsize
        if self.chosen == "runs":
            self.located.append((whole, size, planner.views[node].buffer))
            return
        batch = planner.views[node] = layout.whole(Buffer("arena", aval.dtype, aval.size), aval.shape)
        kernel = Rows(size if 0 < size <= SHORT else 0, aval.size >= SHARED)
        numbers, source = View(self.order, 0, aval.shape[:1], (1,)), layout.whole(whole, shape)
        count = aval.shape[0] if size else 0
        planner.command(kernel, [numbers, source, batch], [count, size], [numbers, source], [batch], "batch")

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
        memory_of = InPlace(planner.commands)
        last = max(self.stops[0], last_that_may_fail(planner.commands)) if self.before else -1
        for output, number in self.carried.items():
            new, old = self.results[output], planner.views[self.graph.inputs[number]]
            if memory_of.move(new, old, after=last):
                self.results[output] = old
            else:
                new.buffer.kind = "arena"
                code = code_of(new.buffer.dtype)
                planner.nest([("load", new, code)], [code], [("store", old, 0)], new.shape, "carry over")
                memory_of.add(len(planner.commands) - 1)

    def _finish(self) -> None:
        planner, inputs = self.planner, self.graph.inputs
        in_stripes = striped(planner.commands, planner.threads)
        phases = owned(planner.commands, planner.threads) if len(in_stripes) == len(planner.commands) else None
        planner.commands = [*chain(*phases)] if phases else in_stripes
        self.stops = [k for k, c in enumerate(planner.commands) if isinstance(c.kernel, (AllFinite, AllTrue))]
        number = 1
        self.input_bases: dict[int, int] = {}
        for i, node in enumerate(inputs):
            buffer = self.sources.get(i) or planner.views[node].buffer
            if buffer.kind == "input":
                buffer.base, number = number, number + 1
                self.input_bases[i] = buffer.base
        self.order.base, number = number, number + 1
        for whole, size, batch in self.located:
            batch.base, number = number, number + 1
            self.first[0].numbers += whole.base, size, batch.base
        for buffer in planner.constants:
            buffer.base, number = number, number + 1
        self.output_bases: dict[int, int] = {}
        for i, view in self.results.items():
            if i in self.carried:
                continue
            if i not in self.recorded:
                view.buffer.kind = "arena"
            else:
                view.buffer.base, number = number, number + 1
                self.output_bases[i] = view.buffer.base
        fit(planner.commands, planner.threads)
        times = [time for time, phase in enumerate(phases) for _ in phase] if phases else None
        self.arena_bytes = memory.arrange(memory.lives(planner.commands, times))
        written = write(planner.commands)
        segment = Segment(written, library.get([*written.all_kernels, *DRIVERS]), planner.threads)
        self.machine = Machine(segment, {b.base: b.array for b in planner.constants}, number, self.arena_bytes)
        advances: list[tuple[int, int]] = []
        for i in self.streams:
            advances.append((self.input_bases[i], _bytes(inputs[i])))
        for i in self.recorded:
            advances.append((self.output_bases[i], _bytes(self.outputs[i])))
        if self.backwards:
            advances = [(base, -size) for base, size in advances]
        if self.chosen and self.rows:
            batch = inputs[next(iter(self.rows))].aval.shape[0]
            advances.append((self.order.base, batch * 8))
        self.advances = np.array(advances, np.int64).reshape(-1, 2)

    @property
    def records(self) -> list[tuple[layout.Shape, np.dtype[Any]]]:
        """Shape and dtype of what is recorded."""
        return [(aval.shape, aval.dtype) for aval in (self.outputs[i].aval for i in self.recorded)]

    def twin(self, make: Any = None) -> Loop:
        """The same loop, with memory of its own when it runs.  make: for loops from the disk."""
        made = copy(self)
        made.machine = self.machine.twin()
        return made

    def run(
        self,
        inputs: Sequence[np.ndarray[Any, Any] | None],
        order: np.ndarray[Any, Any] | None,
        records: Mapping[int, np.ndarray[Any, Any]],
        steps: int,
        ticks: np.ndarray[Any, Any] | None = None,
    ) -> Done:
        """Run up to `steps` steps on these arrays; carried inputs are changed in place.

        A step that is not finite before its update is not applied: the carried arrays are as they were before it.  One
        that is found afterwards has changed them: whoever kept a copy goes back to it and runs the good steps again.
        """
        status = self._call(inputs, order, records, steps, ticks)
        if not status:
            return Done(steps, False, False)
        done, command = divmod(status - 1, self.machine.segment.commands)
        if command not in self.stops:
            return Done(done, False, False, stopped=True)
        return Done(done, True, not (bool(self.after) and command == self.stops[-1]))

    def _call(self, inputs: Any, order: Any, records: Any, steps: int, ticks: Any = None) -> int:
        """0, or 1 + the number of commands that were run, over all rounds."""
        places = {base: inputs[i] for i, base in self.input_bases.items()}
        places |= {base: records[i] for i, base in self.output_bases.items()}
        if self.backwards:
            for base, _ in self.advances:
                places[base] = places[base][steps - 1 :]
        if order is not None:
            places[self.order.base] = order
        return self.machine.run(places, steps, self.advances, self.known, ticks)
