"""The body of a loop nest: what is read, computed and written at one position, in one lane or a vector of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from payback.native import ir
from payback.native.codegen.emit import BYTE, FLOAT64, INT, INT32, Emitter, host_features, itemsize, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, load, store
from payback.native.lower.nests.shared import shared
from payback.native.lower.nests.stages import AT_ONCE, VECTORS, Stages, opaque
from payback.native.lower.products.blocked.place import lane_mask, masked_load, store_first
from payback.native.lower.products.blocked.tile import fetch, has_masked_loads, prefetch
from payback.native.lower.products.epilogue import joined
from payback.native.vector_math.constants import Constants, empty_table

REDUCTIONS = ("sum", "max", "min")
SPACED, CLOSE = ("f4", "f8", "i4", "i8"), 4  # what is read by whole registers where it lies so close
AHEAD = 1  # groups between what is computed and what is fetched
Instr = tuple[Any, ...]


def way(stride: int) -> str:
    """How an operand moves along the inner axis: see `Nest`."""
    return {0: "z", 1: "u", -1: "r"}.get(stride) or (str(stride) if 1 < stride <= CLOSE else "s")


def turned_round(e: Emitter, vector: ir.Value) -> ir.Value:
    """A vector whose last lane comes first."""
    order = ir.Constant(ir.VectorType(INT32, vector.type.count), list(reversed(range(vector.type.count))))
    return e.b.shuffle_vector(vector, vector, order)


def _indexed(instr: Instr) -> tuple[int, ...]:
    """The index operands of a gather or scatter."""
    return instr[3:] if instr[0] == "gather" else instr[4:]


def _ways(instr: Instr) -> tuple[int, ...]:
    """How these move its operand: see `Nest`."""
    ways: tuple[int, ...] = instr[2] if instr[0] == "gather" else instr[3]
    return ways


def maskable(key: Any) -> bool:
    """Whether what is left of a row is done as one vector, some of whose lanes do not exist."""

    def stored(sink: Instr) -> bool:
        how = key.operands[sink[1]][1]
        return how == "u" if sink[0] == "store" or key.inner == "k" else sink[0] in REDUCTIONS

    codes = ("f4", "f8", "i4", "i8") + ("b1",) * bool(host_features().get("avx512bw"))  # else bytes go one by one
    return (
        has_masked_loads()
        and all(
            how == "z" or (code in codes and how == "u") or (code in SPACED and how == "r")
            for code, how in key.operands
        )
        and all(sink[0] in ("store", *REDUCTIONS) and stored(sink) for sink in key.sinks)
        and all(uniform(key, instr) for instr in key.instrs if instr[0] == "gather")
    )


def uniform(key: Any, place: Instr) -> bool:
    """Whether the indices of a gather or scatter do not change along the inner axis."""
    return all(_still(key, index) for index in _indexed(place))


def _still(key: Any, number: int) -> bool:
    instr = key.instrs[number]
    if instr[0] == "load":
        return bool(key.operands[instr[1]][1] == "z")
    return instr[0] in ("arg", "lit")


class Body:
    def __init__(self, key: Any, e: Emitter, args: Arguments):
        self.key, self.e = key, e
        self.pointers = [args.pointer() for _ in key.operands]
        self.extents = args.ints(key.outer + key.reduced + bool(key.inner))
        self.strides = [args.ints(key.outer + key.reduced) for _ in key.operands]
        if key.like:  # one offset serves them all
            self.strides = [self.strides[k] for k in key.like]
        self.inner_stride = [None if how in ("u", "z") else args.int() for _, how in key.operands]
        self.lane_steps: dict[tuple[int, int], ir.Value] = {}
        self.places = [each for each in (*key.instrs, *key.sinks) if each[0] in ("gather", "scatter")]
        self.index_strides = args.ints(max((way for place in self.places for way in _ways(place)), default=0))
        count = 1 + max((i[2] for i in key.instrs if i[0] == "arg"), default=-1)
        count = max(count, 1 + max((s[3][1] for s in key.sinks if s[0] in REDUCTIONS and s[3]), default=-1))
        self.factors = [args.int() for _ in range(count)]
        self.ahead = (args.pointer(), args.int()) if key.ahead else None
        self.args = args
        self.reductions = [sink for sink in key.sinks if sink[0] in REDUCTIONS]
        self.count: ir.Value | None = None  # of the lanes that exist, where not all of them do
        self.fixed: dict[tuple[int, int], ir.Value] = {}  # (instr, lanes): what no loop changes
        self.nowhere: ir.Value | None = None  # a byte that nobody reads
        self.shifts: dict[Instr, ir.Value] = {}  # of gathers and scatters whose indices do not move along a row
        self.shared = {number: each for each in shared(key.instrs) for number in each.instrs}

    def moved(self, offsets: list[ir.Value], axis: int, i: ir.Value) -> list[ir.Value]:
        b = self.e.b
        return [b.add(offset, b.mul(i, strides[axis])) for offset, strides in zip(offsets, self.strides, strict=True)]

    def along(self, offsets: list[ir.Value], i: ir.Value) -> list[ir.Value]:
        """Moved by i along the inner axis."""
        b, made = self.e.b, []
        for (_, how), stride, offset in zip(self.key.operands, self.inner_stride, offsets, strict=True):
            made.append(offset if how == "z" else b.add(offset, i if how == "u" else b.mul(i, stride)))
        return made

    def may_mask(self) -> bool:
        return maskable(self.key)

    def fetch(self, i: ir.Value) -> None:
        """Have lines of other memory brought to the second cache, while there is much to compute."""
        if self.ahead is not None:
            pointer, step = self.ahead
            fetch(self.e, self.e.at(pointer, self.e.b.mul(i, step), BYTE), self.key.ahead)

    def beside(self, first: ir.Value, offsets: list[ir.Value], count: int, stage: int, j: ir.Value) -> None:
        """What is fetched beside vector number j of a stage: a line of the next group, and of other memory.

        first, offsets: of the group; count: of the stages.  Each line comes once, in one of the stages.
        """
        e, b, key = self.e, self.e.b, self.key
        if self.ahead is not None and stage < -(-key.ahead // AT_ONCE):
            pointer, step = self.ahead
            line = b.add(e.int(stage * VECTORS), j)
            fetch(e, e.at(pointer, b.add(b.mul(first, step), b.mul(line, e.int(64))), BYTE), 1)
        moving = [k for k, (_, how) in enumerate(key.operands) if how == "u"]
        stored = {sink[1] for sink in key.sinks}
        for place, k in enumerate(moving):
            kind = pointwise.memory_type(key.operands[k][0])
            for line in range(-(-key.vector * itemsize(kind) // 64) if place % count == stage else 0):
                at = b.add(b.add(offsets[k], e.int(AHEAD * VECTORS * key.vector + line * 64 // itemsize(kind))),
                           b.mul(j, e.int(key.vector)))  # fmt: skip
                prefetch(e, e.at(self.pointers[k], at, kind), k in stored)

    @contextmanager
    def written_in(self, name: str) -> Iterator[ir.Value]:
        """Functions are written into the body and not called; their constants are in one table of the kernel, whose
        address is given."""
        e = self.e
        table = empty_table(e.module, f"{e.b.function.name}.{name}.constants")
        with e.b.goto_entry_block():
            address = opaque(e, table)
        e.constants = Constants(address)
        yield address
        constants, e.constants = e.constants, None
        constants.fill(table)

    def stages(self, lanes: int, record: Callable[[ir.Value], Sequence[ir.Value]]) -> Stages:
        """The body in stages."""
        with self.written_in("stages") as address:
            return Stages(self.e, lanes, record, address.text)

    # --- reading ------------------------------------------------------------------------------------------

    def factor(self, k: int, code: str) -> ir.Value:
        bits, kind = self.factors[k], pointwise.register_type(code)
        if code == "f8":
            return self.e.b.bitcast(bits, FLOAT64)
        if code in ("f4", "f2"):
            return self.e.b.bitcast(self.e.b.trunc(bits, INT32), kind)
        return bits if kind == INT else self.e.b.trunc(bits, kind)

    def fix(self, lanes: int, offsets: list[ir.Value]) -> None:
        """Before the inner loop: constants, and what does not move along the inner axis."""
        for number, instr in enumerate(self.key.instrs):
            if instr[0] == "arg":
                if (number, 1) not in self.fixed:
                    self.fixed[number, 1] = self.factor(instr[2], instr[1])
                self.fixed[number, lanes] = self.e.splat(self.fixed[number, 1], lanes)
            elif instr[0] == "lit":
                self.fixed[number, lanes] = pointwise.literal(instr[1], instr[2], lanes)

    def hold(self, lanes: int, offsets: list[ir.Value]) -> None:
        for number, instr in enumerate(self.key.instrs):
            if instr[0] == "load" and self.key.operands[instr[1]][1] == "z":
                if lanes == 1 or (number, 1) not in self.fixed:
                    code = self.key.operands[instr[1]][0]
                    self.fixed[number, 1] = load(self.e, self.pointers[instr[1]], offsets[instr[1]], code)
                if lanes > 1:
                    self.fixed[number, lanes] = self.e.splat(self.fixed[number, 1], lanes)
        for place in self.places:
            if uniform(self.key, place):
                self.shifts[place] = self.shift(place, {k: self.fixed[k, 1] for k in _indexed(place)})

    def hold_anew(self, lanes: int, offsets: list[ir.Value]) -> None:
        """What stood still along another row does not stand still here."""
        for number, instr in enumerate(self.key.instrs):
            if instr[0] == "load":
                for each in (1, self.key.lanes):
                    self.fixed.pop((number, each), None)
        self.hold(1, offsets)
        if lanes > 1:
            self.hold(lanes, offsets)

    def read(self, operand: int, offset: ir.Value, lanes: int) -> ir.Value:
        code, how = self.key.operands[operand]
        if self.count is not None and how == "u":
            e, kind = self.e, pointwise.memory_type(code)
            there = lane_mask(e, self.count, kind, lanes)
            value = masked_load(e, e.at(self.pointers[operand], offset, kind), kind, lanes, there)
            return pointwise.from_memory(e, value, code)
        few = self.key.few if lanes > 1 else 0
        if how == "r" and lanes > 1 and not few and code in SPACED:
            return self._backwards(operand, offset, lanes)
        if few and (
            few < lanes or how not in ("u", "z")
        ):  # number by number; the last one again in lanes that are left
            return self.collect(operand, [self.lane_offset(operand, offset, min(j, few - 1)) for j in range(lanes)])
        if lanes == 1 or how == "u":
            return load(self.e, self.pointers[operand], offset, code, lanes)
        if how.isdigit() and code in SPACED:
            return self._spaced(operand, offset, lanes, int(how))
        return self.collect(operand, [self.lane_offset(operand, offset, lane) for lane in range(lanes)])

    def _backwards(self, operand: int, offset: ir.Value, lanes: int) -> ir.Value:
        """A vector that ends where the offset says, turned round."""
        e, kind = self.e, pointwise.memory_type(self.key.operands[operand][0])
        place = e.at(self.pointers[operand], e.b.sub(offset, e.int(lanes - 1)), kind)
        if self.count is None:
            vector = e.load(place, 0, kind, lanes)
        else:
            vector = masked_load(e, place, kind, lanes, turned_round(e, lane_mask(e, self.count, kind, lanes)))
        return pointwise.from_memory(e, turned_round(e, vector), self.key.operands[operand][0])

    def _spaced(self, operand: int, offset: ir.Value, lanes: int, step: int) -> ir.Value:
        """A vector of every second entry, or third, …: registers are read from its first entry to its last, and
        shuffled."""
        e, code = self.e, self.key.operands[operand][0]
        kind = pointwise.memory_type(code)
        size = min(lanes, lanes_of(kind))
        starts = [min(k * size, (size - 1) * step + 1 - size) for k in range(step)]
        made = []
        for first in range(0, lanes, size):
            here = [
                e.at(self.pointers[operand], e.b.add(offset, e.int(first * step + start)), kind) for start in starts
            ]
            vector = e.load(here[0], 0, kind, size)
            for k in range(1, step):
                lie = [(lane, lane * step) for lane in range(size)]  # each lane's entry, counted from the first
                mask = [size + at - starts[k] if at // size == k else at if at < size and k == 1 else lane
                        for lane, at in lie]  # fmt: skip
                lanes_now = ir.Constant(ir.VectorType(INT32, size), mask)
                vector = e.b.shuffle_vector(vector, e.load(here[k], 0, kind, size), lanes_now)
            made.append(vector)
        return pointwise.from_memory(e, joined(e, made), code)

    def lane_offset(self, operand: int, offset: ir.Value, lane: int) -> ir.Value:
        how, b = self.key.operands[operand][1], self.e.b
        if lane == 0 or how == "z":
            return offset
        return b.add(offset, self.e.int(lane) if how == "u" else self._step(operand, lane))

    def _step(self, operand: int, lane: int) -> ir.Value:
        """How far a lane of a strided operand is from the first; computed once, before all loops."""
        if (operand, lane) not in self.lane_steps:
            with self.e.b.goto_entry_block():
                self.lane_steps[operand, lane] = self.e.b.mul(self.e.int(lane), self.inner_stride[operand])
        return self.lane_steps[operand, lane]

    def collect(self, operand: int, offsets: list[ir.Value]) -> ir.Value:
        """A vector from places anywhere."""
        e, code = self.e, self.key.operands[operand][0]
        kind = pointwise.memory_type(code)
        vector = ir.Constant(ir.VectorType(kind, len(offsets)), ir.Undefined)
        for lane, offset in enumerate(offsets):
            single = e.load(self.pointers[operand], offset, kind)
            vector = e.b.insert_element(vector, single, ir.Constant(INT32, lane))
        return pointwise.from_memory(e, vector, code)

    def shift(self, place: Instr, values: Any) -> ir.Value:
        """How far the places of a gather or scatter move its operand."""
        b, total = self.e.b, None
        for index, way_ in zip(_indexed(place), _ways(place), strict=True):
            at = pointwise.cast(self.e, values[index], self.key.codes[index], "i8")
            part = b.mul(at, self.index_strides[way_ - 1]) if way_ else at
            total = part if total is None else b.add(total, part)
        return total

    def lanes_at(self, place: Instr, offsets: list[ir.Value], lanes: int, known: dict[Any, ir.Value]) -> list[ir.Value]:
        """Where each lane of a gather or scatter is; places are read one by one: taking a vector apart takes longer.

        known: how far indices move what they are indices of, at this position.
        """
        operand, found = place[1], []
        indexed = _indexed(place), _ways(place)
        for lane in range(self.key.few or lanes):
            if (*indexed, lane) not in known:
                values = {}
                for index in indexed[0]:
                    read = self.key.instrs[index][1]
                    at = self.lane_offset(read, offsets[read], lane)
                    values[index] = self.fixed[index, 1] if (index, 1) in self.fixed else self.read(read, at, 1)
                known[*indexed, lane] = self.shift(place, values)
            found.append(self.e.b.add(self.lane_offset(operand, offsets[operand], lane), known[*indexed, lane]))
        return found

    def gather(
        self, instr: Instr, values: list[ir.Value], offsets: list[ir.Value], lanes: int, known: dict[Any, ir.Value]
    ) -> ir.Value:
        b, operand = self.e.b, instr[1]
        offset = offsets[operand]
        if instr in self.shifts:
            offset = b.add(offset, self.shifts[instr])
            if self.key.operands[operand][1] == "z":
                return self.e.splat(self.read(operand, offset, 1), lanes)
            return self.read(operand, offset, lanes)
        if lanes == 1:
            return self.read(operand, b.add(offset, self.shift(instr, values)), 1)
        found = self.lanes_at(instr, offsets, lanes, known)
        return self.collect(operand, [*found, *found[-1:] * (lanes - len(found))])

    def evaluate(self, offsets: list[ir.Value], lanes: int) -> list[ir.Value]:
        """All instrs at one position."""
        values: list[ir.Value] = []
        done: dict[int, ir.Value] = {}
        known: dict[Any, ir.Value] = {}
        for number, instr in enumerate(self.key.instrs):
            name = instr[0]
            if number in self.shared and number not in done:
                done |= self.shared[number].emit(self.e, values)
            if number in done:
                value = done[number]
            elif name == "lit" and self.e.constants is not None and instr[1][0] == "f":
                kind = pointwise.register_type(instr[1], lanes)
                value = self.e.constants.value(self.e, kind, float(instr[2]))
            elif (number, lanes) in self.fixed:
                value = self.fixed[number, lanes]
            elif name == "load":
                value = self.read(instr[1], offsets[instr[1]], lanes)
            elif name == "cast":
                value = pointwise.cast(self.e, values[instr[3]], instr[1], instr[2])
            elif name == "gather":
                value = self.gather(instr, values, offsets, lanes, known)
            else:
                value = pointwise.emit(self.e, name, instr[1], [values[i] for i in instr[2:]])
            values.append(value)
        return values

    # --- writing ------------------------------------------------------------------------------------------

    def write(self, operand: int, offset: ir.Value, value: ir.Value, lanes: int) -> None:
        code, how = self.key.operands[operand]
        if self.count is not None:
            place = self.e.at(self.pointers[operand], offset, pointwise.memory_type(code))
            store_first(self.e, pointwise.to_memory(self.e, value, code), place, self.count)
            return
        if lanes == 1 or (how == "u" and self.key.few in (0, lanes)):
            store(self.e, value, self.pointers[operand], offset, code)
            return
        if how == "r" and not self.key.few and code in SPACED:
            first = self.e.b.sub(offset, self.e.int(lanes - 1))
            store(self.e, turned_round(self.e, value), self.pointers[operand], first, code)
            return
        for lane in range(self.key.few or lanes):
            single = self.e.b.extract_element(value, ir.Constant(INT32, lane))
            store(self.e, single, self.pointers[operand], self.lane_offset(operand, offset, lane), code)

    def sink(self, values: list[ir.Value], offsets: list[ir.Value], lanes: int) -> None:
        """What is stored at one position; reductions are kept by the loops."""
        e = self.e
        for sink in self.key.sinks:
            name, operand, x = sink[:3]
            if name in REDUCTIONS:
                continue
            offset, code = offsets[operand], self.key.operands[operand][0]
            if name == "scatter":
                moves = self.key.operands[operand][1] != "z"
                if lanes == 1 or (sink in self.shifts and moves):
                    at = e.b.add(offset, self.shifts[sink] if sink in self.shifts else self.shift(sink, values))
                    if lanes > 1 and self.key.few:
                        self._pay_few(sink, at, values[x])
                        continue
                    self.write(operand, at, self.added(sink, self.read(operand, at, lanes), values[x]), lanes)
                    continue
                for lane, at in enumerate(self.lanes_at(sink, offsets, lanes, {})):  # two may pay the same entry
                    single = e.b.extract_element(values[x], ir.Constant(INT32, lane))
                    if code == "b1":
                        self._hold_true(operand, at, single)
                        continue
                    self.write(operand, at, self.added(sink, self.read(operand, at, 1), single), 1)
            elif name == "plus":
                there = self.read(operand, offset, lanes)
                self.write(operand, offset, self.added(sink, there, values[x]), lanes)
            else:
                self.write(operand, offset, values[x], lanes)

    def _pay_few(self, sink: tuple[Any, ...], offset: ir.Value, values: ir.Value) -> None:
        """Number by number: the next row may be paid to the same place, and what was stored in parts is not there yet
        for who reads several at once."""
        operand = sink[1]
        for lane in range(self.key.few):
            at, single = (
                self.lane_offset(operand, offset, lane),
                self.e.b.extract_element(values, ir.Constant(INT32, lane)),
            )
            self.write(operand, at, self.added(sink, self.read(operand, at, 1), single), 1)

    def _hold_true(self, operand: int, at: ir.Value, condition: ir.Value) -> None:
        """Write a condition if it holds, else somewhere else: so none waits for the one before it."""
        b = self.e.b
        if self.nowhere is None:
            with b.goto_entry_block():
                self.nowhere = b.alloca(BYTE)
        place = self.e.at(self.pointers[operand], at, BYTE)
        self.e.store(ir.Constant(BYTE, 1), b.select(condition, place, self.nowhere), 0)

    def added(self, sink: tuple[Any, ...], there: ir.Value, paid: ir.Value) -> ir.Value:
        """As NumPy adds to an array of another precision: in the wider of the two, and what comes out is rounded."""
        code, given = self.key.operands[sink[1]][0], self.key.codes[sink[2]]
        wide = max(code, given, key=lambda each: int(each[1:]))
        a, b = pointwise.cast(self.e, there, code, wide), pointwise.cast(self.e, paid, given, wide)
        return pointwise.cast(self.e, self.plus(wide, a, b), wide, code)

    def plus(self, code: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return pointwise.emit(self.e, "add", code, [a, b])
