"""What a kernel is: a hashable description, and the function that its code is emitted into.

Every kernel is `i64 kernel(i8 **bases, i64 *args)`, 0 where all went well.  Sizes, strides, places and factors are read
from `args`, so that one piece of code serves every layer of a network, and every batch size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, POINTER, Emitter
from payback.native.lower.pointwise import from_memory, memory_type, to_memory

MOST = 24  # kernels of a kind that are compiled for one shape, in a program
SIGNATURE = ir.FunctionType(INT, [POINTER, POINTER])


def symbol(key: Any) -> str:
    """A kernel's name: its kind and a digest of all that it depends on."""
    digest = hashlib.sha256(repr((type(key).__name__, tuple(key))).encode()).hexdigest()[:20]
    return f"{type(key).__name__.lower()}_{digest}"


def admitted(made: set[Any], key: Any, most: int = MOST) -> Any:
    """The kernel, one more of those `made` for one shape; None where there are too many."""
    if key not in made and len(made) >= most:
        return None
    made.add(key)
    return key


class Arguments:
    """Reads `args` from front to back."""

    def __init__(self, e: Emitter, function: ir.Function):
        self.e = e
        self.bases, self.args = function.args
        self.position = 0

    def int(self) -> ir.Value:
        value = self.e.load(self.args, self.position, INT)
        self.position += 1
        return value

    def ints(self, count: int) -> list[ir.Value]:
        return [self.int() for _ in range(count)]

    def team(self) -> tuple[ir.Value, ir.Value]:
        """The number of this thread, and how many there are: they stand before the bases."""
        return self.e.load(self.bases, -2, INT), self.e.load(self.bases, -1, INT)

    def share(self, total: ir.Value, unit: int) -> tuple[ir.Value, ir.Value]:
        """This thread's part of range(total), cut at multiples of `unit`."""
        e, b = self.e, self.e.b
        thread, count = self.team()
        units = b.udiv(b.add(total, e.int(unit - 1)), e.int(unit))
        start = b.mul(b.udiv(b.mul(thread, units), count), e.int(unit))
        stop = b.mul(b.udiv(b.mul(b.add(thread, e.int(1)), units), count), e.int(unit))
        return start, b.select(b.icmp_signed("<", stop, total), stop, total)

    def pointer(self) -> ir.Value:
        """A place: the number of its memory block, and the bytes from its start."""
        base = self.e.load(self.bases, self.int(), POINTER)
        return self.e.at(base, self.int(), BYTE)


def load(e: Emitter, pointer: ir.Value, offset: Any, code: str, lanes: int = 1) -> ir.Value:
    """A register from consecutive elements in memory."""
    return from_memory(e, e.load(pointer, offset, memory_type(code), lanes), code)


def store(e: Emitter, value: ir.Value, pointer: ir.Value, offset: Any, code: str) -> None:
    e.store(to_memory(e, value, code), pointer, offset)


def fold(
    e: Emitter,
    start: Any,
    stop: Any,
    step: int,
    initial: Sequence[ir.Value],
    body: Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]],
) -> list[ir.Value]:
    """`for i in range(start, stop, step): values = body(i, values)`, and the values after it."""
    b = e.b
    start, stop = (e.int(x) if isinstance(x, int) else x for x in (start, stop))
    before = b.block
    head, inside, after = (b.append_basic_block(name) for name in ("head", "body", "after"))
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(INT)
    i.add_incoming(start, before)
    values: list[Any] = []
    for value in initial:
        phi = b.phi(value.type)
        phi.add_incoming(value, before)
        values.append(phi)
    b.cbranch(b.icmp_signed("<", i, stop), inside, after)
    b.position_at_end(inside)
    made = body(i, list(values))
    for phi, value in zip(values, made, strict=True):
        phi.add_incoming(value, b.block)
    i.add_incoming(b.add(i, e.int(step)), b.block)
    b.branch(head)
    b.position_at_end(after)
    return values
