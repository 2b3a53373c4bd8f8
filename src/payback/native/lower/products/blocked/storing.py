"""How the sums of a tile are stored: where each vector belongs, what C holds is added, the epilogue is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import Emitter, lanes_of, llvm_type
from payback.native.lower.products.blocked.choice import Plan
from payback.native.lower.products.blocked.packing import columns_of, together
from payback.native.lower.products.blocked.place import Place


class Epilogue(NamedTuple):
    """What is done with a vector of results before it is stored.

    `emit(place, value, extra)` returns what is stored in C, or None to store nothing (C is still needed where
    K > K_BLOCK: longer sums are kept there between blocks).  `extra` are run-time arguments of the types `kinds`.
    Equal names mean equal code.
    """

    name: str
    kinds: tuple[ir.Type, ...]
    emit: Callable[[Place, ir.Value, Sequence[ir.Value]], ir.Value | None]


def place_of(
    e: Emitter, plan: Plan, row: ir.Value, column: ir.Value, count: ir.Value | None,
    offset: tuple[int, int] = (0, 0), known: dict[Any, ir.Value] | None = None,
) -> Place:  # fmt: skip
    """The place of a vector of the product that is run, in the product as written."""
    kind = llvm_type(plan.dtype)
    if plan.down:
        row, column, offset = column, row, offset[::-1]
    return Place(e, kind, lanes_of(kind), row, column, count, plan.down, offset, known)


def strides_of(plan: Plan, c_row: ir.Value, c_column: ir.Value) -> tuple[Any, Any]:
    if not plan.c_unit:
        return c_row, c_column
    return (1, c_column) if plan.down else (c_row, 1)


def finish(e: Emitter, plan: Plan, epilogue: Epilogue | None, sums, first, last, c, strides, extra) -> None:
    """Vectors of sums and their places: add what C holds, run the epilogue, store."""
    b = e.b

    def end() -> None:
        for place, value in sums:
            value = value if epilogue is None else epilogue.emit(place, value, extra)
            if value is not None:
                place.store(value, c, *strides)

    if plan.accumulate:
        sums = [(place, b.fadd(place.load(c, *strides), value)) for place, value in sums]
    elif plan.blocked:
        before, add, after = b.block, b.append_basic_block("add"), b.append_basic_block("added")
        b.cbranch(first, after, add)
        b.position_at_end(add)
        added = [b.fadd(place.load(c, *strides), value) for place, value in sums]
        add = b.block
        b.branch(after)
        b.position_at_end(after)
        merged = []
        for (place, old), new in zip(sums, added, strict=True):
            phi = b.phi(old.type)
            phi.add_incoming(old, before)
            phi.add_incoming(new, add)
            merged.append((place, phi))
        sums = merged
    if not plan.blocked or epilogue is None:
        end()
        return
    with b.if_else(last) as (yes, no):
        with yes:
            end()
        with no:
            for place, value in sums:
                place.store(value, c, *strides)


def store_across(e: Emitter, plan: Plan, sums: Any, first: Any, begin: ir.Value, stride: ir.Value) -> None:
    """A tile whose columns are contiguous in memory, from `begin` on: it is turned, some rows at a time."""
    b, kind = e.b, llvm_type(plan.dtype)
    lanes = lanes_of(kind)
    parts: list[tuple[int, int, ir.Value]] = []  # column, first row, and some rows of that column
    for start, size in together(plan.rows, kind):
        for v in range(plan.vectors):
            columns = columns_of(e, kind, [sums[start + r][v] for r in range(size)])
            parts += [(v * lanes + column, start, value) for column, value in columns]
    lines = [begin]
    for _ in range(plan.width - 1):
        lines.append(e.at(lines[-1], stride, kind))

    def store(added: bool) -> None:
        for column, start, value in sorted(parts, key=lambda part: part[:2]):
            place = e.at(lines[column], start, kind)
            count = 1 if not isinstance(value.type, ir.VectorType) else value.type.count
            e.store(b.fadd(e.load(place, 0, kind, count), value) if added else value, place, 0)

    if plan.accumulate or first is None:
        store(plan.accumulate)
        return
    with b.if_else(first) as (yes, no):
        with yes:
            store(False)
        with no:
            store(True)
