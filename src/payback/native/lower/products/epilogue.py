"""What follows a product, done with its entries before they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from payback.native import ir, vector_math
from payback.native.codegen.emit import INT, INT32, POINTER, Emitter
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments
from payback.native.lower.nests.shared import Shared, shared
from payback.native.lower.products.blocked.place import Place, take
from payback.native.lower.products.blocked.storing import Epilogue


class After(NamedTuple):
    """What is done with a product's entries; as in `Nest`, and ("product",) is the entry itself.

    operands  (code, "u" | "z" | "s": along a row, the same from row to row) of the arrays that are read and written
    stores    (operand, x)
    result    the x that is stored in C
    """

    instrs: tuple[tuple[Any, ...], ...]
    operands: tuple[tuple[str, str, str], ...]
    stores: tuple[tuple[int, int], ...]
    result: int
    factors: int

    def epilogue(self) -> Epilogue:
        kinds: list[ir.Type] = []
        for _, across, down in self.operands:
            kinds += [POINTER] + [INT] * (across == "s") + [INT] * (down == "s")
        name = hashlib.sha256(repr(self).encode()).hexdigest()[:16]
        return Epilogue(name, (*kinds, *[INT] * self.factors), self._emit)

    def arguments(self, args: Arguments, pointers: Sequence[ir.Value]) -> list[ir.Value]:
        """What a kernel hands to `emit` as `extra`: the arrays, which it has read, their strides, and the numbers."""
        extra: list[ir.Value] = []
        for pointer, (_, across, down) in zip(pointers, self.operands, strict=True):
            extra += [pointer, *args.ints((across == "s") + (down == "s"))]
        return extra + args.ints(self.factors)

    def _emit(self, place: Place, value: ir.Value, extra: Sequence[ir.Value]) -> ir.Value:
        return self.emit([place], [value], extra)[0]

    def emit(self, places: Sequence[Place], entries: Sequence[ir.Value], extra: Sequence[ir.Value]) -> list[ir.Value]:
        """What becomes of a product's entries at some places.

        Elementary functions of several vectors are computed together: their chains hide each other's waits.
        """
        e, given = places[0].e, iter(extra)
        arrays = []
        for _, across, down in self.operands:
            pointer = next(given)
            column = next(given) if across == "s" else int(across == "u")
            row = next(given) if down == "s" else int(down == "u")
            arrays.append((pointer, row, column))
        factors = list(given)
        values: list[list[ir.Value]] = []
        of_one = {number: each for each in shared(self.instrs) for number in each.instrs}
        done: dict[int, list[ir.Value]] = {}
        for number, instr in enumerate(self.instrs):
            if number in of_one:
                if number not in done:
                    done |= _several(e, places, values, of_one[number])
                made = done[number]
            elif instr[0] == "product":
                made = list(entries)
            elif instr[0] == "load":
                made = [place.load(*arrays[instr[1]]) for place in places]
            elif instr[0] == "lit":
                made = [pointwise.literal(instr[1], instr[2], place.lanes) for place in places]
            elif instr[0] == "arg":
                bits, kind = factors[instr[2]], pointwise.register_type(instr[1])
                number = e.b.bitcast(bits if instr[1] == "f8" else e.b.trunc(bits, ir.IntType(32)), kind)
                made = [e.splat(number, place.lanes) for place in places]
            else:
                operands = list(zip(*[values[x] for x in instr[2:]], strict=True))
                count = together(places) if instr[0] in vector_math.FORMULAS else 1
                made = []
                for first in range(0, len(operands), count):
                    several = [joined(e, vectors) for vectors in zip(*operands[first : first + count], strict=True)]
                    made += _apart(e, places, pointwise.emit(e, instr[0], instr[1], several), count)
            values.append(made)
        for operand, x in self.stores:
            for place, value in zip(places, values[x], strict=True):
                place.store(pointwise.to_memory(e, value, self.operands[operand][0]), *arrays[operand])
        return values[self.result]


def _several(e: Emitter, places: Sequence[Place], values: list[list[ir.Value]], each: Shared) -> dict[int, list[Any]]:
    """What is made of one exponential, for all places."""
    count, made = together(places), {k: [] for k in each.instrs}
    for first in range(0, len(places), count):
        operands = {k: joined(e, values[k][first : first + count]) for k in each.operands}
        for k, result in each.emit(e, operands).items():
            made[k] += _apart(e, places, result, count)
    return made


def _apart(e: Emitter, places: Sequence[Place], result: ir.Value, count: int) -> list[ir.Value]:
    """A vector that was `joined` as `count` vectors again."""
    if count == 1:
        return [result]
    return [take(e, result, k * place.lanes, place.lanes) for k, place in enumerate(places[:count])]


def together(places: Sequence[Place]) -> int:
    """How many of these vectors an elementary function takes at once: four, or two, if that comes out even."""
    if places[0].lanes == 1:
        return 1
    return next(count for count in (4, 2, 1) if len(places) % count == 0)


def joined(e: Emitter, vectors: Sequence[ir.Value]) -> ir.Value:
    """Some vectors, a power of two of them, as one."""
    while len(vectors) > 1:
        lanes = ir.Constant(ir.VectorType(INT32, 2 * vectors[0].type.count), list(range(2 * vectors[0].type.count)))
        vectors = [e.b.shuffle_vector(low, high, lanes) for low, high in zip(vectors[::2], vectors[1::2], strict=True)]
    return vectors[0]
