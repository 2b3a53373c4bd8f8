"""Steps that are not one piece of machine code: a program a step, with what it needs of NumPy and of Python between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.native.running.loop import Done, Loop, NotNativeError
from payback.native.running.program import Program
from payback.native.running.reuse import loop_again


class Stepwise:
    """What a `Loop` does (see there for the arguments), step by step."""

    def __init__(
        self, graph: Graph, *, carried: Mapping[int, int], rows: Mapping[int, tuple[int, ...]], chosen: bool | str,
        streams: Sequence[int], recorded: Sequence[int], before: Sequence[int], after: Sequence[int],
    ):  # fmt: skip
        self.program = Program(graph)
        self.graph = self.program.graph
        self.carried, self.rows, self.streams, self.recorded = dict(carried), dict(rows), set(streams), list(recorded)
        self.chosen, self.guards = chosen, (*before, *after)
        self._before = len(before)

    @property
    def records(self) -> list[Any]:
        """Shape and dtype of what is recorded."""
        return [(aval.shape, aval.dtype) for aval in (self.graph.outputs[i].aval for i in self.recorded)]

    def run(
        self, inputs: Sequence[Any], order: np.ndarray[Any, Any] | None, records: Mapping[int, np.ndarray[Any, Any]],
        steps: int,
    ) -> Done:  # fmt: skip
        """Run up to `steps` steps on these arrays, as `Loop.run` does; a step that is not finite is not applied."""
        for step in range(steps):
            results = self.program(*(self._given(i, array, order, step) for i, array in enumerate(inputs)))
            for output in self.recorded:
                records[output][step] = results[output]
            for place, output in enumerate(self.guards):
                if not np.isfinite(results[output]).all():
                    return Done(step, True, place < self._before)
            for output, number in self.carried.items():
                inputs[number][...] = results[output]
        return Done(steps, False, False)

    def _given(self, number: int, array: Any, order: Any, step: int) -> Any:
        node = self.graph.inputs[number]
        if number in self.streams:
            value = array[step]
        elif number in self.rows and self.chosen:
            size = node.aval.shape[0]
            value = array[order[step * size : (step + 1) * size]]
        else:
            value = array
        return value.item() if node.aval.weak else value


def loop_of(graph: Callable[[], Graph], told: Any = None, **options: Any) -> Loop | Stepwise:
    """The step as one native loop; where that cannot be, step by step.  graph: is called where it is needed; told: see
    `loop_again`."""
    try:
        return loop_again(graph, options, told)
    except NotNativeError:
        return Stepwise(graph(), **options)
