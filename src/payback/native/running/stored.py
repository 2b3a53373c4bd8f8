"""Loops and programs kept on disk as what planning came to: another process need not plan them.

An entry holds numbers, names of kernels and names of the entries with their code; it is sealed as these are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.native.codegen import cache, library
from payback.native.lower import elementary
from payback.native.planning import layout
from payback.native.planning.layout import Buffer
from payback.native.running.loop import Loop
from payback.native.running.program import Program
from payback.native.running.table import DRIVERS, Machine, Segment, Written, base_table

LARGEST = 1 << 20  # bytes of constants: with more of them a loop is planned anew
Array = np.ndarray[Any, Any]


class _Code:
    """What commands are run by, as it is kept.

    drivers    what is needed beside the commands' own kernels
    constants  by the numbers of their bases
    """

    def __init__(self, written: Written, drivers: Sequence[Any], constants: Mapping[int, Array]):
        distinct = {id(kernel): kernel for kernel in (*written.all_kernels, *drivers)}  # many commands have one
        names = {number: library.symbol(kernel) for number, kernel in distinct.items()}
        kernels = {names[number]: kernel for number, kernel in distinct.items()}
        numbers = {symbol: number for number, symbol in enumerate(kernels)}
        flat = written.flat.copy()
        flat[[place for place, _ in written.inner]] = 0  # addresses of this process
        which = np.array([numbers[names[id(kernel)]] for kernel in written.kernels], np.int64)
        self.entries = library.entries_of(kernels)
        self.arrays = [flat, written.starts, written.flags, which, *constants.values()]
        self.keeps = self.entries is not None and sum(array.nbytes for array in constants.values()) <= LARGEST
        self.told = {
            "symbols": list(kernels),
            "entries": self.entries,
            "scipy": any(map(elementary.calls_scipy, kernels.values())),
            "seconds": written.seconds,
            "inner": [(place, numbers[names[id(kernel)]]) for place, kernel in written.inner],
            "constants": list(constants),
        }


def _write(name: str, told: dict[str, Any], arrays: Sequence[Array]) -> None:
    head = json.dumps(told | {"arrays": [(array.shape, array.dtype.str) for array in arrays]}).encode()
    content = [len(head).to_bytes(8, "little"), head, *[array.tobytes() for array in arrays]]
    cache.save(name, b"".join(content))


class _Read:
    """An entry: what it tells, its arrays (those of `_Code` first), and where its kernels are."""

    def __init__(self, told: dict[str, Any], arrays: list[Array], addresses: dict[str, int]):
        self.told, self.addresses = told, addresses
        flat, starts, flags, which, *self.others = arrays
        symbols = told["symbols"]
        inner = [(place, symbols[k]) for place, k in told["inner"]]
        self.written = Written([symbols[k] for k in which], flat, starts, flags, told["seconds"], inner)

    def segment(self, most: int) -> Segment:
        """The commands, for so many threads at most."""

        def address_of(kernel: Any) -> int:
            return self.addresses[kernel if type(kernel) is str else library.symbol(kernel)]

        return Segment(self.written, address_of, most)

    def constants(self) -> dict[int, Array]:
        """By the numbers of their bases."""
        return dict(zip(self.told["constants"], self.others, strict=False))


def _read(name: str) -> _Read | None:
    """None where there is no such entry, or code that it needs is gone."""
    content = cache.load(name)
    if content is None:
        return None
    size = 8 + int.from_bytes(content[:8], "little")
    told = json.loads(content[8:size])
    if told["scipy"] and not elementary.linked():
        return None
    addresses = library.get_named(told["symbols"], told["entries"])
    if addresses is None:
        return None
    arrays = []
    for shape, code in told["arrays"]:
        dtype = np.dtype(code)
        arrays.append(np.frombuffer(content, dtype, prod(shape), size).reshape(shape).copy())  # where it is aligned
        size += arrays[-1].nbytes
    return _Read(told, arrays, addresses)


def keep(name: str, loop: Loop) -> None:
    """Write a loop to the entry, if the code of all its kernels is kept."""
    machine = loop.machine
    code = _Code(machine.segment.written, DRIVERS, machine.constants)
    if not code.keeps:
        return
    told = {
        "bases": machine.bases,
        "arena_bytes": machine.arena_bytes,
        "input_bases": list(loop.input_bases.items()),
        "output_bases": list(loop.output_bases.items()),
        "order_base": loop.order.base,
        "stops": loop.stops,
        "records": [(shape, dtype.str) for shape, dtype in loop.records],
    }
    _write(name, code.told | told, [*code.arrays, loop.advances])


def kept(name: str, options: dict[str, Any], most: int, make: Callable[[], Loop]) -> KeptLoop | None:
    """The loop of an entry; None where there is none, or code that it needs is gone."""
    found = _read(name)
    return None if found is None else KeptLoop(found, options, most, make)


class KeptLoop(Loop):
    """A loop from the disk.  make: plans it anew, for those who want to look at its plan."""

    def __init__(self, found: _Read, options: dict[str, Any], most: int, make: Callable[[], Loop]):
        told = found.told
        self._options(**options)
        self._make, self.known, self.advances = make, None, found.others[-1]
        self.input_bases, self.output_bases = dict(told["input_bases"]), dict(told["output_bases"])
        self.order = Buffer("input", np.dtype(np.int64), 0)
        self.order.base = told["order_base"]
        self.stops, self.arena_bytes = told["stops"], told["arena_bytes"]
        self._records = [(tuple(shape), np.dtype(code)) for shape, code in told["records"]]
        self.machine = Machine(found.segment(most), found.constants(), told["bases"], told["arena_bytes"])

    def twin(self, make: Callable[[], Loop] | None = None) -> KeptLoop:
        made = super().twin()
        made._make = make
        return made

    @property
    def records(self) -> Any:
        return self._records

    @cached_property
    def _planned(self) -> Loop:
        return self._make()

    @property
    def graph(self) -> Any:
        return self._planned.graph

    @property
    def planner(self) -> Any:
        return self._planned.planner


def keep_program(name: str, program: Program) -> None:
    """Write a program to the entry, if all of it is machine code that is kept."""
    segment = program.segment
    if segment is None:
        return
    drivers = (*(DRIVERS if segment.threads > 1 else DRIVERS[:1]), *program.beside)
    constants = {buffer.base: buffer.array for buffer in program.planner.constants}
    code = _Code(segment.written, drivers, constants)
    if not code.keeps:
        return
    told = {
        "bases": program.bases,
        "arena_bytes": program.arena_bytes,
        "outputs": [(view.shape, view.buffer.dtype.str, view.buffer.base) for view in program.outputs],
    }
    _write(name, code.told | told, code.arrays)


def kept_program(
    name: str, graph: Graph, donated: Mapping[int, int], most: int, make: Callable[[], Program]
) -> KeptProgram | None:  # fmt: skip
    """The program of an entry; None where there is none, or code that it needs is gone."""
    found = _read(name)
    return None if found is None else KeptProgram(found, graph, donated, most, make)


class KeptProgram(Program):
    """A program from the disk.  make: plans it anew, for those who want to look at its plan."""

    def __init__(
        self, found: _Read, graph: Graph, donated: Mapping[int, int], most: int, make: Callable[[], Program]
    ):  # fmt: skip
        told = found.told
        self.source = self.graph = graph  # simplified or not, it takes and gives the same
        self.donated, self._make = dict(donated), make
        self.bases, self.arena_bytes = told["bases"], told["arena_bytes"]
        self.outputs = []
        for shape, code, base in told["outputs"]:
            view = layout.whole(Buffer("output", np.dtype(code), prod(shape)), tuple(shape))
            view.buffer.base = base
            self.outputs.append(view)
        self.segment = found.segment(most)
        self._constants = found.constants()
        self._template = base_table(self.bases)
        for base, array in self._constants.items():
            self._template[base] = array.ctypes.data
        self._ready([self.segment])

    @cached_property
    def _planned(self) -> Program:
        return self._make()

    def measured(self, inputs: Sequence[Any]) -> Array:
        return self._planned.measured(inputs)

    def llvm(self) -> str:
        return self._planned.llvm()

    def explain(self) -> str:
        return self._planned.explain()

    @property
    def commands(self) -> Any:
        return self._planned.commands

    @property
    def planner(self) -> Any:
        return self._planned.planner
