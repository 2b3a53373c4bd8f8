"""Loops kept on disk as what planning came to: another process need neither trace the step nor plan it.

An entry holds numbers, names of kernels and names of the entries with their code; it is sealed as these are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from payback.native import cache, library
from payback.native.layout import Buffer
from payback.native.loop import Loop
from payback.native.lower import elementary
from payback.native.machine import DRIVERS, Machine, Segment, Written

LARGEST = 1 << 20  # bytes of constants: with more of them a loop is planned anew


def keep(name: str, loop: Loop) -> None:
    """Write a loop to the entry, if the code of all its kernels is kept."""
    machine, written = loop.machine, loop.machine.segment.written
    names = {id(kernel): kernel for kernel in (*written.kernels, *DRIVERS)}  # many commands have one
    names = {number: library.symbol(kernel) for number, kernel in names.items()}
    kernels = {names[id(kernel)]: kernel for kernel in (*written.kernels, *DRIVERS)}
    entries = library.entries_of(kernels)
    if entries is None or sum(array.nbytes for array in machine.constants.values()) > LARGEST:
        return
    numbers = {symbol: number for number, symbol in enumerate(kernels)}
    which = np.array([numbers[names[id(kernel)]] for kernel in written.kernels], np.int64)
    arrays = [written.flat, written.starts, written.shared, which, loop.advances, *machine.constants.values()]
    told = {
        "symbols": list(kernels),
        "entries": entries,
        "scipy": any(map(elementary.calls_scipy, kernels.values())),
        "seconds": written.seconds,
        "bases": machine.bases,
        "constants": list(machine.constants),
        "arena_bytes": machine.arena_bytes,
        "input_bases": list(loop.input_bases.items()),
        "output_bases": list(loop.output_bases.items()),
        "order_base": loop.order.base,
        "stops": loop.stops,
        "records": [(shape, dtype.str) for shape, dtype in loop.records],
        "arrays": [(array.shape, array.dtype.str) for array in arrays],
    }
    head = json.dumps(told).encode()
    content = [len(head).to_bytes(8, "little"), head, *[array.tobytes() for array in arrays]]
    cache.save(name, b"".join(content))


def kept(name: str, options: dict[str, Any], most: int, make: Callable[[], Loop]) -> KeptLoop | None:
    """The loop of an entry; None where there is none, or code that it needs is gone."""
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
    return KeptLoop(told, arrays, addresses, options, most, make)


class KeptLoop(Loop):
    """A loop from the disk.  make: plans it anew, for those who want to look at its plan."""

    def __init__(
        self, told: dict[str, Any], arrays: list[np.ndarray[Any, Any]], addresses: dict[str, int],
        options: dict[str, Any], most: int, make: Callable[[], Loop],
    ):  # fmt: skip
        flat, starts, shared, which, self.advances, *constants = arrays
        self._options(**options)
        self._make, self.known = make, None
        self.input_bases, self.output_bases = dict(told["input_bases"]), dict(told["output_bases"])
        self.order = Buffer("input", np.dtype(np.int64), 0)
        self.order.base = told["order_base"]
        self.stops, self.arena_bytes = told["stops"], told["arena_bytes"]
        self._records = [(tuple(shape), np.dtype(code)) for shape, code in told["records"]]
        symbols = told["symbols"]
        written = Written([symbols[k] for k in which], flat, starts, shared, told["seconds"])

        def address_of(kernel: Any) -> int:
            return addresses[kernel if type(kernel) is str else library.symbol(kernel)]

        self.machine = Machine(
            Segment(written, address_of, most), dict(zip(told["constants"], constants, strict=True)), told["bases"],
            told["arena_bytes"],
        )  # fmt: skip

    def twin(self, make: Callable[[], Loop] | None = None) -> KeptLoop:  # type: ignore[override]
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
    def graph(self) -> Any:  # type: ignore[override]
        return self._planned.graph

    @property
    def planner(self) -> Any:  # type: ignore[override]
        return self._planned.planner
