"""What kernels of a band fetch for the next one: the largest array that all bands together read once.

Memory is slow and always at work, so each kernel that computes longer than it waits for memory fetches a share of the
next band's lines, and finds this band in the second cache.
"""

from __future__ import annotations

from collections.abc import Sequence

from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.matrix_vector import Dots
from payback.native.lower.products.narrow import Narrow
from payback.native.planning.band_units import NestUnit, ProductUnit, Unit
from payback.native.planning.commands import Command
from payback.native.vector_math import FORMULAS

FETCHED = 1 << 14  # bytes of an array, by band, that are fetched
NEAR = 1 << 24  # bytes of a chain's rows that stay in a third cache from one call to the next
LINES, LINES_OF_ROW = 1, 8  # beside an entry for each elementary function of it, and beside a row of a product


def by_vectors(units: Sequence[Unit]) -> bool:
    """Whether all products of a chain are with vectors, and so wait for memory."""
    products = [unit for unit in units if isinstance(unit, ProductUnit)]
    return bool(products) and all(len(unit.extents) == 2 for unit in products)


def is_far(units: Sequence[Unit], streamed: int) -> bool:
    """Whether fetching pays: what products alone read from a third cache, in order, comes in time by itself."""
    by_entries = any(len(unit.extents) > 1 for unit in units if isinstance(unit, NestUnit))
    return by_entries or streamed > NEAR or not by_vectors(units)


def fetches(on_band: Sequence[Command], pointer: int, by_band: int) -> dict[Command, list[int]]:
    """The commands that fetch: pointer, its place, bytes by entry or row, and lines beside each vector or row.

    pointer: the number of what is read; by_band: its bytes in a band, the next band follows this one.
    """
    if by_band < FETCHED:
        return {}
    found: dict[Command, list[int]] = {}
    start = by_band
    nests = [c for c in on_band if _functions(c)]
    products = [c for c in on_band if _rows(c)]
    entries = sum(_functions(c) * c.numbers[0] for c in nests)
    for command in nests:
        kernel, functions = command.kernel, _functions(command)
        lines = min(-(-by_band * functions * kernel.lanes // (64 * entries)), LINES * functions * kernel.lanes)
        found[command] = [pointer, start, 64 * lines // kernel.lanes, lines]
        start += command.numbers[0] * 64 * lines // kernel.lanes
    rest = max(2 * by_band - start, 0)
    rows = sum(map(_rows, products))
    for command in products:
        lines = min(-(-rest // (64 * rows)), LINES_OF_ROW)
        if lines and start < 2 * by_band:
            found[command] = [pointer, start, 64 * lines, lines]
            start += 64 * lines * _rows(command)
    return found


def _rows(command: Command) -> int:
    """Of a product with one vector that reads what is in the second cache, once; 0 for other commands."""
    kernel = command.kernel
    if isinstance(kernel, Dots):
        return command.numbers[1]
    weighted = (
        isinstance(kernel, Narrow)
        and kernel.batch == 0
        and kernel.plus
        and not kernel.turned
        and kernel.after is None
        and command.numbers[0] == 1
    )
    return command.numbers[2] if weighted else 0


def _functions(command: Command) -> int:
    """How many elementary functions a command that is one loop computes at each entry; 0 for other commands."""
    kernel = command.kernel
    if not isinstance(kernel, Nest) or (kernel.outer, kernel.reduced, bool(kernel.inner)) != (0, 0, True):
        return 0
    return sum(instr[0] in FORMULAS for instr in kernel.instrs) if kernel.lanes > 1 else 0
