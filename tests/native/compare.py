"""Native code against the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ops.checks import same_bits
from payback.ir.graph import Graph
from payback.native.running.program import Program
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace

# Rows whose bits are the interpreter's; sums, products and elementary functions are compared to rounding.
EXACT = frozenset(
    """input const variable identity stop_gradient add sub mul div neg abs sign sqrt relu maximum minimum clip select gt
    ge lt le eq ne logical_and logical_or logical_not floor ceil trunc rint mod floor_divide cast broadcast reshape
    transpose concatenate stack index random_bits max min cumsum scatter deg2rad rad2deg""".split()  # noqa: SIM905
)


def is_exact(graph: Graph) -> bool:
    return all(node.op.name in EXACT for node in graph.nodes)


def same_but_zeros(a: Any, b: Any) -> bool:
    """Equal bits, but that the larger of 0 and −0 may be either."""
    return same_bits(np.asarray(a) + 0, np.asarray(b) + 0)


def program_of(graph: Graph) -> Program:
    """The graph compiled.  No command of it reads what none before it has written."""
    program = Program(graph)
    written: set[Any] = set()
    for command in program.commands:
        for view in command.reads:
            assert view.buffer.kind in ("input", "const") or view.buffer in written, f"{command.text} comes too soon"
        written |= {view.buffer for view in command.writes}
    return program


def both(f: Callable[..., Any], *args: Any) -> tuple[Graph, tuple[Any, ...], tuple[Any, ...]]:
    """The graph of f, and its results by native code and by the interpreter."""
    with np.errstate(all="ignore"):
        graph = trace(f, *args).graph
        return graph, program_of(graph)(*args), Interpreter(graph)(*args)


def check(graph: Graph, native: Sequence[Any], expected: Sequence[Any], rtol: float, what: str) -> None:
    """Results equal in type, shape and dtype; to the bit where all rows are exact, else to rtol of the largest."""
    exact = is_exact(graph)
    for found, wanted in zip(native, expected, strict=True):
        assert np.shape(found) == np.shape(wanted), what
        assert np.asarray(found).dtype == np.asarray(wanted).dtype, what
        assert type(found) is type(wanted) or np.ndim(wanted) == 0, f"{type(found)} is not {type(wanted)}: {what}"
        if exact or np.asarray(wanted).dtype.kind != "f":
            assert same_but_zeros(found, wanted), f"{found!r} is not {wanted!r}: {what}"
            continue
        a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
        assert (np.isfinite(a) == np.isfinite(b)).all(), f"{found!r} is not {wanted!r}: {what}"
        assert same_bits(a[~np.isfinite(a)], b[~np.isfinite(b)]), f"{found!r} is not {wanted!r}: {what}"
        b = b[np.isfinite(a)]
        a = a[np.isfinite(a)]
        if a.size:
            assert np.max(np.abs(a - b)) <= rtol * max(np.max(np.abs(b)), 1e-30), f"{found!r} is not {wanted!r}: {what}"
