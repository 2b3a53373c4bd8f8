"""A graph as a program: a table of kernels and their arguments, and what calls it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from payback.ir.aval import Avals
from payback.ir.collector import uncollected
from payback.ir.graph import Graph
from payback.ir.later import later
from payback.ir.node import Node
from payback.native.codegen import library
from payback.native.lower import pointwise
from payback.native.lower.expand import EXPANSIONS
from payback.native.lower.pointwise import code_of
from payback.native.planning import memory
from payback.native.planning.bands import banded
from payback.native.planning.commands import Command
from payback.native.planning.fission import fission
from payback.native.planning.fuse import SPLIT, Planner
from payback.native.planning.groups import REDUCES, VIEWS
from payback.native.planning.inplace import InPlace, last_that_may_fail
from payback.native.planning.scratch import fit
from payback.native.running import cores, report
from payback.native.running.on_numpy import OnNumpy, Places
from payback.native.running.table import DRIVERS, Segment, Written, address, base_table, team_of, write
from payback.ops.recording import Recording, Term
from payback.ops.row import Row
from payback.passes.entrywise import entrywise
from payback.passes.exchanged import exchanged
from payback.passes.fold import tidy
from payback.passes.joined import joined
from payback.passes.rewrite import rewrite
from payback.passes.short_rows import short_rows
from payback.passes.tiled import tiled
from payback.passes.weights import weights
from payback.run.interpreter import Interpreter, quietly
from payback.trace.body import Body, rebuilt

# of a row: the functions of `native.lower` that make it machine code, of which the first that can does
_WAYS = {
    "contract": "linalg.halves.lower_halves products.product.lower_contract",
    "concatenate": "move.lower_concatenate",
    "stack": "move.lower_stack",
    "cumsum": "walk.lower_cumsum",
    "scatter": "index.lower_scatter",
    "random_bits": "random.lower_random_bits",
    "fold_in": "random.lower_fold_in",
    "last_written": "search.lower_last_written",
    "searchsorted": "search.lower_searchsorted",
    "recurrence": "recurrence.lower_recurrence",
    "cumprod": "walk.lower_cumprod",
    "prod": "walk.lower_prod",
    "argmax": "walk.lower_place",
    "argmin": "walk.lower_place",
    "running": "walk.lower_running",
    "convolve": "convolve.lower_convolve",
    "solve_constant": "fourier.lower_transform chirp.lower_chirped",
    "solve": "linalg.side_by_side.lower_side_by_side linalg.systems.lower_solve linalg.factored.lower_system",
    "inv": "linalg.side_by_side.lower_side_by_side linalg.systems.lower_inv linalg.factored.lower_inverse",
    "det": "linalg.minors.lower_minors linalg.determinants.lower_determinants linalg.systems.lower_det "
    "linalg.factored.lower_determinant",
    "slogdet": "linalg.minors.lower_minors linalg.determinants.lower_determinants linalg.factored.lower_determinant",
    "cholesky": "linalg.side_by_side.lower_side_by_side linalg.factored.lower_cholesky",
    "solve_triangular": "linalg.factored.lower_triangular",
    "cofactor": "linalg.minors.lower_minors linalg.factored.lower_cofactors",
    "qr": "linalg.orthogonal.lower_qr",
    "pinv": "linalg.orthogonal.lower_pinv",
    "lstsq": "linalg.orthogonal.lower_lstsq",
    "rejected": "linalg.orthogonal.lower_rejected",
    "expm": "linalg.exponential.lower_expm",
    "expm_frechet": "linalg.exponential.lower_expm",
    "eigh": "linalg.symmetric.lower_eigh",
    "svd": "linalg.singular.lower_svd",
    "repeated": "linalg.repeated.lower_repeated",
}


def _first_of(ways: str) -> Callable[[Any, Node], bool]:
    functions = [later(f"native.lower.{file}", name) for file, _, name in (way.rpartition(".") for way in ways.split())]
    return lambda planner, node: any(lower(planner, node) for lower in functions)


HOOKS: dict[str, Callable[[Any, Node], bool]] = {
    **{row: _first_of(ways) for row, ways in _WAYS.items()},
    "scan": later("native.planning.scans", "lower_scan"),
    "loop": later("native.planning.scans", "lower_loop"),
}
# without what may take any time, or stop for numbers that are met again: for steps of loops, and where that was seen
UNSURE = ("loop", "pinv", "lstsq", "rejected")
BOUNDED = {name: hook for name, hook in HOOKS.items() if name not in UNSURE}


CHEAP = 2048  # entries that a side of a branch computes, at most, for both to be computed always
_WRITTEN_OUT = {"part", *EXPANSIONS}


def lowered(row: Row) -> str | None:
    """None for a row that is machine code, else what of it runs on NumPy ("all", or some of its uses); "split": it is
    machine code of its own, called between two pieces of the program."""
    from payback.native.lower.linalg.exponential import LARGEST
    from payback.native.lower.linalg.symmetric import LAPACK_SMALL

    masks = "masks whose contents are not known"
    partly = dict.fromkeys(("expm", "expm_frechet"), f"matrices of more than {LARGEST} rows")
    partly |= {"index": masks, "scatter": masks, "power": "whole numbers to powers that are not known"}
    partly["qr"] = "large matrices"
    partly["eigh"] = f"matrices of more than {LAPACK_SMALL} rows, vectors of SciPy's or by the upper half"
    partly["svd"] = f"matrices of more than {LAPACK_SMALL} rows and columns, further vectors of the full form"
    name = row.name
    known = (*HOOKS, *VIEWS, *REDUCES, *EXPANSIONS, "cast", "index", "call", "custom", "part", "stop_gradient")
    if name in known or (row.kind == "pointwise" and any(pointwise.can(name, c) for c in ("f4", "b1"))):
        return partly.get(name)
    return "split" if name in SPLIT else "all"


def cheap(body: Any) -> bool:
    """Whether both sides of a branch may as well be computed: little work, and nothing in it can fail."""
    nodes = body.graph.nodes
    safe = all(
        node.op.kind == "pointwise" or node.op.name in (*VIEWS, *REDUCES, "cast", "part") or node.op.value is None
        or (node.op.name == "branch" and cheap(node.params["high"]) and cheap(node.params["low"]))
        for node in nodes
    )  # fmt: skip
    return safe and sum(node.aval.size for node in nodes if not isinstance(node.aval, Avals)) <= CHEAP


def is_unsure(graph: Graph) -> bool:
    """Whether the number of steps of some loop in it, or the rank of some matrix, is not known."""
    return any(
        node.op.name in UNSURE or any(type(body) is Body and is_unsure(body.graph) for body in node.params.values())
        for node in graph.nodes
    )


def simplified(graph: Graph) -> Graph:
    """The graph as it is lowered: the passes, and rows that are written with others."""
    graph = fission(_written_out(graph), lambda body: tidy(_written_out(body)))
    graph = joined(tiled(weights(tidy(graph))[0])[0])[0]
    return short_rows(entrywise(exchanged(graph)[0])[0])[0]


def _written_out(graph: Graph) -> Graph:
    """The graph with what is called, and rows that are written with others, as parts of it."""
    bodies: dict[tuple[Node, Any], list[Node]] = {}

    def inside(call: Node, body: Any, args: tuple[Node, ...]) -> list[Node]:
        if (call, body) not in bodies:
            bodies[call, body] = rebuilt(body.graph.outputs, dict(zip(body.graph.inputs, args, strict=True)))
        return bodies[call, body]

    def expand(node: Node, args: tuple[Node, ...]) -> Node | None:
        parts = EXPANSIONS.get(node.op.name)
        if parts is not None:
            return parts(node, *args)
        if node.op.name != "part":
            return None
        (call,) = args
        if call.op.name in ("call", "custom") and not hasattr(call.params["body"], "replayed"):
            return inside(call, call.params["body"], call.args)[
                node.params["k"]
            ]  # what is called is part of the program
        if call.op.name == "branch" and all(cheap(call.params[side]) for side in ("high", "low")):
            m = Recording()
            m.origin = node.where
            sides = [
                Term(inside(call, call.params[side], call.args[1:])[node.params["k"]], m) for side in ("high", "low")
            ]
            return m.where(Term(call.args[0], m), *sides).node
        return None

    def expands(node: Node) -> bool:
        parts = EXPANSIONS.get(node.op.name)
        return node.op.name == "part" or (parts is not None and parts(node, *node.args) is not None)

    while any(node.op.name in _WRITTEN_OUT and expands(node) for node in graph.nodes):
        before = graph.nodes
        graph = rewrite(graph, expand)
        if graph.nodes == before:
            break
    return graph


class Memory(NamedTuple):
    """What a call works in: an arena, the table of base pointers with what is known of it, and where this is; rows on
    NumPy made ready."""

    arena: np.ndarray[Any, Any]
    bases: np.ndarray[Any, Any]
    address: int
    rows: dict[Command, OnNumpy]


class Program:
    """A compiled graph.  Calling it gives what the interpreter gives: sums and products to rounding, the
    rest to the bit.

    donated: number of an output -> number of the input whose array that result is written into.  Such an array has the
    graph's dtype, is aligned, C-contiguous and writable, and no other argument shares its memory.
    Safe to call from several threads at once: each call has memory of its own.
    """

    bounded = False  # whether nothing in it is of `UNSURE`

    def __init__(
        self, graph: Graph, donated: Mapping[int, int] | None = None, beside: Sequence[Any] = (), hooks: Any = HOOKS,
    ):  # fmt: skip
        """beside: kernels that will be asked for, compiled with its own."""
        self.source, self.beside = graph, beside
        self.bounded = hooks is BOUNDED
        self.donated = dict(donated or {})
        with uncollected():
            self.graph = simplified(graph)
            self.planner = planner = Planner(self.graph, hooks, cores.threads())
            planner.plan()
            planner.commands = self.commands = banded(planner.commands, planner.threads)
            self._in_place()
            self.finish()

    def _in_place(self) -> None:
        """Results take the memory of what was donated for them: last, where it is needed until then."""
        planner = self.planner
        in_place, failing = InPlace(self.commands), last_that_may_fail(self.commands)
        for output, number in self.donated.items():
            new, old = planner.outputs[output], planner.views[self.graph.inputs[number]]
            if not in_place.move(new, old, after=failing):
                new.buffer.kind = "arena"
                code = code_of(new.buffer.dtype)
                planner.nest([("load", new, code)], [code], [("store", old, 0)], new.shape, "into what was donated")
                in_place.add(len(self.commands) - 1)
            planner.outputs[output] = old

    def finish(self) -> None:
        """Memory and code for the commands."""
        planner = self.planner
        self.outputs = planner.outputs
        number = 1
        for buffer in planner.input_buffers:
            buffer.base, number = number, number + 1
        for buffer in planner.constants:
            buffer.base, number = number, number + 1
        for view in self.outputs:
            if view.buffer.kind == "output":
                view.buffer.base, number = number, number + 1
        self.bases = number
        for native, run_of in groupby(self.commands, lambda command: command.kernel is not None):
            if native:
                fit(list(run_of), planner.threads)
        self.arena_bytes = memory.arrange(memory.lives(self.commands))
        self._parts: list[Any] = []
        run: list[Command] = []
        for command in [*self.commands, None]:
            if command is not None and command.kernel is not None:
                run.append(command)
                continue
            if run:
                self._parts.append(write(run))
                run = []
            if command is not None:
                self._parts.append(command)
        written = [part for part in self._parts if type(part) is Written]
        # the driver of several threads is not compiled for what one does
        several = any(team_of(part.seconds, planner.threads) > 1 for part in written)
        drivers = (*(DRIVERS if several else DRIVERS[:1]), *self.beside)
        addresses = library.get([*(kernel for part in written for kernel in part.all_kernels), *drivers])
        self._parts = [Segment(part, addresses, planner.threads) if type(part) is Written else part
                       for part in self._parts]  # fmt: skip
        # the whole program, where none of it runs on NumPy
        self.segment = self._parts[0] if len(self._parts) == 1 and type(self._parts[0]) is Segment else None
        self._template = base_table(self.bases)
        for buffer in planner.constants:
            self._template[buffer.base] = buffer.array.ctypes.data
        self._ready(self._parts)

    def _ready(self, parts: list[Any]) -> None:
        self._parts = parts
        self._pool: list[Memory] = []
        self._interpreter: Interpreter | None = None
        self._split: Program | None = None

    def interpreted(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        if self._interpreter is None:
            self._interpreter = Interpreter(self.source)
        return self._interpreter(*inputs)

    def _given_up(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """A loop that goes on can be interrupted from now on, and NumPy tells ranks; of an index out of bounds the
        interpreter tells where."""
        if self.bounded or not is_unsure(self.source):
            return self.interpreted(inputs)
        if self._split is None:
            self._split = Program(self.source, hooks=BOUNDED)
        return self._split(*inputs)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        """The outputs' values for inputs of the graph's shapes and dtypes."""
        return self._called(inputs, self.run) if self._split is None else self._split(*inputs)

    def measured(self, inputs: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Seconds of each command, in a call with these inputs."""
        found: list[np.ndarray[Any, Any]] = []

        def run(memory: Memory, places: Places) -> int:
            with quietly():
                seconds = report.run(self._parts, memory.bases, lambda part: self._on_numpy(part, memory).run(places))
            found.append(seconds)
            return int(seconds.size < len(self.commands))

        self._called(inputs, run)
        return found[0]

    def _called(self, inputs: Sequence[Any], run: Callable[..., int]) -> tuple[Any, ...]:
        if len(inputs) != len(self.graph.inputs):
            raise TypeError(f"the graph has {len(self.graph.inputs)} inputs, {len(inputs)} were given")
        room = self._pool.pop() if self._pool else self.memory()
        bases, arrays = room.bases, []
        for number, (node, value) in enumerate(zip(self.graph.inputs, inputs, strict=True), 1):
            aval = node.aval
            if aval.weak and aval.dtype.kind == "i" and abs(value) > 2**53:
                return self.interpreted(inputs)
            given = np.asarray(value)
            if given.shape != aval.shape or (not aval.weak and given.dtype != aval.dtype):
                raise TypeError(f"{node!r} was given an array {given.dtype}{list(given.shape)}")
            array = np.require(given, np.dtype(aval.dtype.char), "CA")
            arrays.append(array)
            bases[number] = array.ctypes.data
        made = []
        for k, view in enumerate(self.outputs):
            if k in self.donated:
                array = arrays[self.donated[k]]
            else:
                array = np.empty(view.shape, view.buffer.dtype)
                bases[view.buffer.base] = array.ctypes.data
            made.append(array)
        places = [None, *arrays, *[None] * (self.bases - len(arrays) - 1)]
        for view, array in zip(self.outputs, made, strict=True):
            places[view.buffer.base] = array
        status = run(room, places)
        self._pool.append(room)
        if status:
            return self._given_up(inputs)
        return tuple(
            array.item() if node.aval.weak else array[()] if not array.ndim else array
            for node, array in zip(self.graph.outputs, made, strict=True)
        )

    def memory(self) -> Memory:
        arena = np.empty(self.arena_bytes + memory.ALIGNMENT, np.uint8)
        bases = self._template.base.copy()[2:]
        bases[0] = -(-arena.ctypes.data // memory.ALIGNMENT) * memory.ALIGNMENT
        return Memory(arena, bases, address(bases), {})

    def run(self, room: Memory, places: Places) -> int:
        """All parts in turn, on memory whose table knows where the inputs and results lie; 0, or where it stopped."""
        if self.segment is not None:
            return self.segment.once(room)
        with quietly():
            for part in self._parts:
                if type(part) is not Segment:
                    self._on_numpy(part, room).run(places)
                elif status := part.once(room):
                    return status
        return 0

    def _on_numpy(self, command: Command, room: Memory) -> OnNumpy:
        row = room.rows.get(command)
        if row is None:
            assert command.node is not None
            users, arena = self.planner.users.get(command.node, []), room.arena
            row = room.rows[command] = OnNumpy(command, users, arena, int(room.bases[0]) - address(arena))
        return row

    def llvm(self) -> str:
        """The kernels of this program as LLVM IR."""
        return str(library.module_of(dict.fromkeys(kernel for c in self.commands for kernel in c.kernels)))

    def explain(self) -> str:
        """What the program consists of and how long each part takes, for people."""
        return report.explain(self)
