"""A long body in stages: each a loop of its own over a group of vectors; what lives between them lies in a cache.

A body of several elementary functions is a chain of hundreds of cycles, and a processor looks no more than some two
hundred instructions ahead: it waits for the chain, however many vectors are computed side by side.  A stage is a piece
of a chain that is short enough for several of its vectors to lie in that window, and needs no more registers than there
are.  What a stage makes for later ones is written to an array of one group's vectors, and read from there.  (Loop
fission, or distribution; the cuts are those for which an estimate of all stages' cycles is least.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BIT, BYTE, INT, POINTER, Emitter, itemsize
from payback.native.ir.module import Block

REGISTERS = 2  # of a vector: constants are loaded once for both
VECTORS = 8  # of a group; fewer would cost more in loops than they save
ROOM = 20_000  # bytes of arrays between stages: more of them leave the first cache, and waiting there costs more
AT_ONCE = 2  # of them that are added at once
WINDOW = 140.0  # instructions that a processor looks ahead, of those that wait
WIDTH, MULTIPLIERS, ADDERS = 5.0, 2.0, 2.0  # instructions of all kinds in a cycle, and of some
OPEN = 5.0  # instructions of a loop by itself
STORED, READ = 1.0, 0.5  # instructions for what is written for later stages, or read; many of these are no extra ones
LONGEST, GRAIN = 80, 3  # instructions of a stage; cuts are looked for at each third one
LATENCY = {"fadd": 3, "fsub": 3, "fmul": 3, "fdiv": 13, "sqrt": 20, "fma": 4, "load": 7, "fptrunc": 4, "fpext": 4,
           "sitofp": 4, "call": 4}  # fmt: skip
BUSY = {"fdiv": 5.0, "sqrt": 8.0}  # cycles of the divider

_NAME = re.compile(r"%v\d+")
_KIND = re.compile(r"(?:load|call) (<\d+ x \w+>|\w+)")
_CHEAP = ("bitcast", "fcmp", "icmp", "getelementptr", "add i64", "sub i64", "mul i64", "and <", "or <", "xor <", "fneg",
          "insertelement", "shufflevector")  # fmt: skip


class Step(NamedTuple):
    """An instruction: its name ("": it stores), text, and the names that it uses.

    again: whether it is computed again in each stage that needs it, for it costs nothing
    """

    name: str
    text: str
    uses: tuple[str, ...]
    again: bool


class Stages:
    """A body as steps, and where they are cut.

    record   writes the body at an index, a value, into the current block, and returns values that are wanted afterwards
    lanes    of a vector
    fits     whether what lives from one stage to another stays in the first cache
    """

    def __init__(self, e: Emitter, lanes: int, record: Callable[[ir.Value], Sequence[ir.Value]], fixed: str):
        self.e, self.lanes = e, lanes
        before = e.b.block
        block = Block(before.function, "recorded")
        e.b.position_at_end(block)
        self.index = ir.Value(INT, e.b._name())
        self.wanted = list(record(self.index))
        e.b.position_at_end(before)
        self.kinds = {value.text: value.type for value in block.known.values()}
        places = {fixed}  # in the table of constants
        self.steps = [_step(line, places) for line in block.lines]
        self.made = {step.name: step for step in self.steps if step.name}
        for step in self.steps:
            if step.name and step.name not in self.kinds:
                self.kinds[step.name] = _kind(step.text)
        for k, step in enumerate(self.steps):
            wanted = any(step.name == value.text for value in self.wanted)
            if step.name and (wanted or _is_bit(self.kinds[step.name])):  # bits have no place in memory
                self.steps[k] = self.made[step.name] = step._replace(again=not wanted)
        self.needs = self._needs()
        self.order = [step for step in self.steps if not step.again]
        self.cuts = self._cut()
        self._place()

    def _needs(self) -> dict[str, tuple[str, ...]]:
        """What each step needs of steps that are not computed again."""
        found: dict[str, tuple[str, ...]] = {}
        for step in self.steps:
            names: dict[str, None] = {}
            for name in step.uses:
                of = self.made.get(name)
                if of is not None:
                    names |= dict.fromkeys(found[name]) if of.again else {name: None}
            found[step.name or step.text] = tuple(names)
        return found

    def _cut(self) -> list[tuple[int, int]]:
        """Beginnings and ends of stages."""
        order, count = self.order, len(self.order)
        place = {step.name: k for k, step in enumerate(order) if step.name}
        inputs = [[place[x] for x in self.needs[step.name or step.text]] for step in order]
        last = list(range(count))
        for k, used in enumerate(inputs):
            for x in used:
                last[x] = k
        for value in self.wanted:
            last[place[value.text]] = count
        costs = [(_delay(step.text), *_busy(step.text)) for step in order]
        whole = [not end % GRAIN or end == count for end in range(count + 1)]  # where a stage may end
        best = [inf] * (count + 1)  # cycles of all stages up to there
        before, ready = [0] * (count + 1), [0.0] * count
        best[0] = 0.0
        for start in range(0, count, GRAIN):
            chain = divider = products = sums = 0.0
            crossing = read = 0
            seen: set[int] = set()
            for k in range(start, min(start + LONGEST, count)):
                begin = 0.0
                for x in inputs[k]:
                    if x >= start:
                        if ready[x] > begin:
                            begin = ready[x]
                        crossing -= last[x] == k
                    elif x not in seen:
                        seen.add(x)
                        read += 1
                delay, dividing, product, added = costs[k]
                ready[k] = begin = begin + delay
                if begin > chain:
                    chain = begin
                divider += dividing
                products += product
                sums += added
                end = k + 1
                crossing += last[k] > k
                if not whole[end]:
                    continue
                number = end - start + STORED * crossing + READ * read + OPEN / REGISTERS
                cycles = best[start] + max(number / WIDTH, number * (chain + 8.0) / WINDOW, divider,
                                           products / MULTIPLIERS, sums / ADDERS, crossing)  # fmt: skip
                if cycles < best[end]:
                    best[end], before[end] = cycles, start
        cuts, end = [], count
        while end:
            cuts.append((before[end], end))
            end = before[end]
        return cuts[::-1]

    def _place(self) -> None:
        """Arrays for what lives from one stage to another; those that nobody needs any more are taken again."""
        stage = {step.name: k for k, (a, b) in enumerate(self.cuts) for step in self.order[a:b] if step.name}
        last: dict[str, int] = {}
        for k, (a, b) in enumerate(self.cuts):
            for step in self.order[a:b]:
                for name in self.needs[step.name or step.text]:
                    if stage[name] < k:
                        last[name] = k
        for value in self.wanted:
            last[value.text] = len(self.cuts)
        self.slots: dict[str, int] = {}  # bytes from the start of all arrays
        free: dict[str, list[tuple[int, int]]] = {}
        size = 0
        for name in sorted(last, key=stage.__getitem__):
            kind = self.kinds[name]
            waiting = free.setdefault(kind.text, [])
            found = next((each for each in waiting if each[0] < stage[name]), None)
            if found is not None:
                waiting.remove(found)
                self.slots[name] = found[1]
            else:
                self.slots[name] = size
                size += VECTORS * _bytes(kind)
            waiting.append((last[name], self.slots[name]))
        self.fits = size <= ROOM
        with self.e.b.goto_entry_block():
            self.memory = opaque(self.e, self.e.b.alloca(ir.ArrayType(ir.VectorType(INT, 8), -(-size // 64))))

    def run(self, first: ir.Value, count: ir.Value, beside: Callable[[int, ir.Value], None]) -> None:
        """All stages for `count` vectors from entry `first` on; beside: what else is done at each vector of one."""
        e = self.e
        for number, (start, end) in enumerate(self.cuts):
            with e.loop(e.int(0), count) as j:
                beside(number, j)
                names = {self.index.text: e.b.add(first, e.b.mul(j, e.int(self.lanes))).text}
                here = {step.name for step in self.order[start:end]}
                for step in self.order[start:end]:
                    self._write(step, names, here, j)
                    if step.name in self.slots:
                        value = ir.Value(self.kinds[step.name], names[step.name])
                        e.b.store(value, self._array(step.name, j))

    def _write(self, step: Step, names: dict[str, str], here: set[str], j: ir.Value) -> None:
        b = self.e.b
        for name in step.uses:
            of = self.made.get(name)
            if of is None or name in names:
                continue
            if of.again:
                self._write(of, names, here, j)
            else:
                names[name] = b.load(self._array(name, j), typ=self.kinds[name]).text
        text = _NAME.sub(lambda found: names.get(found[0], found[0]), step.text)
        if not step.name:
            b._lines.append(text)
            return
        names[step.name] = b._made(text, self.kinds[step.name]).text

    def result(self, value: ir.Value, j: ir.Value, lanes: int) -> ir.Value:
        """A wanted value of vectors from number j on."""
        kind = self.kinds[value.text]
        return self.e.b.load(self._array(value.text, j), typ=ir.VectorType(kind.element, lanes), align=_bytes(kind))

    def _array(self, name: str, j: ir.Value) -> ir.Value:
        """Where a step's vector number j is.  Arrays of one type have one register in common, and an offset each."""
        e = self.e
        row = e.at(self.memory, e.b.mul(j, e.int(_bytes(self.kinds[name]))), BYTE)
        return e.at(row, self.slots[name], BYTE)


def opaque(e: Emitter, pointer: ir.Value) -> ir.Value:
    """A pointer by way of memory: it will be in a register and no part of each address."""
    held = e.b.alloca(POINTER)
    e.b.store(pointer, held)
    return e.b.load(held, typ=POINTER)


def _bytes(kind: ir.Type) -> int:
    return kind.count * itemsize(kind.element)


def _step(line: str, places: set[str]) -> Step:
    name, found, text = line.partition(" = ") if line.startswith("%") else ("", "", line)
    uses = tuple(_NAME.findall(text))
    constant = not places.isdisjoint(uses)
    if constant and text.startswith("getelementptr"):
        places.add(name)
    again = bool(found) and (text.startswith(_CHEAP) or (constant and text.startswith("load ")))
    return Step(name if found else "", text, uses, again)


def _is_bit(kind: ir.Type) -> bool:
    return isinstance(kind, ir.VectorType) and kind.element == BIT


def _kind(text: str) -> ir.Type:
    found = _KIND.match(text)
    assert found is not None, text
    name = found[1]
    if name[0] != "<":
        return {"double": ir.DoubleType(), "float": ir.FloatType(), "ptr": ir.PointerType()}.get(name) or ir.IntType(
            int(name[1:])
        )
    count, element = name[1:-1].split(" x ")
    return ir.VectorType(_kind(f"load {element}"), int(count))


def _delay(text: str) -> float:
    word = text.split(" ", 1)[0]
    if word == "call":
        word = "fma" if "@llvm.fma" in text else "sqrt" if "@llvm.sqrt" in text else word
    return LATENCY.get(word, 1)


def _busy(text: str) -> tuple[float, float, float]:
    """Cycles of the divider, products and sums."""
    word = text.split(" ", 1)[0]
    if word in ("fmul", "fadd", "fsub"):
        return 0.0, float(word == "fmul"), float(word != "fmul")
    if word == "fdiv":
        return BUSY["fdiv"], 1.0, 0.0
    if word == "call":
        return (BUSY["sqrt"], 1.0, 0.0) if "@llvm.sqrt" in text else (0.0, float("@llvm.fma" in text), 0.0)
    return 0.0, 0.0, 0.0
