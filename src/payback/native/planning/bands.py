"""Band by band: a chain of kernels is run on some rows after others, so that what they hand on stays in a cache.

Kernels that work through the same long axis (samples, points, pixels) hand each other arrays as long as it.  Run one
after another, each writes its own to memory, and the next one reads it from there.  Here the whole chain is run for a
band of rows, then for the next band: arrays between kernels are no larger than a band, and what two kernels read is
read from memory once.  (The field calls it strip mining; Halide: `compute_at`.)

What is summed over the rows is summed in a fixed tree: band after band within a part, then the parts.  Parts do not
depend on the number of threads, which share them; so neither do the bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf, prod
from typing import Any

import numpy as np

from payback.native.lower.bands import Bands
from payback.native.lower.products.blocked.choice import K_BLOCK
from payback.native.lower.products.narrow import Few
from payback.native.planning import layout, memory
from payback.native.planning.band_units import Access, NestUnit, ProductUnit, Total, Unit, finished, started, units
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View
from payback.native.planning.prefetch import by_vectors, fetches, is_far
from payback.native.vector_math import FORMULAS

LEAST = 1 << 21  # bytes of a chain's rows, and of what need not go through memory, from which on bands pay
THIRD = 1 << 25  # the same, where there is little to compute: most of a third cache
CACHE = 7 << 16  # bytes that a band may take, and what all bands share: most of a second cache
ROOM = 1 << 18  # bytes of a band, where there is so much
FIXED = 3 << 17  # bytes that all bands read or add to
LIGHT, HEAVY = 1 << 16, 1 << 24  # bytes that all bands read; of a chain's rows, where it reads more than that
PRODUCT, MANY = 1 << 15, 40  # bytes that each band of a product reads, and rows that it must have if these are more
BESIDE, MANY_OF_VECTORS = 1 << 16, 64  # bytes of a band beside which the next one is fetched; rows where it is more
LONG, PATIENCE = 16, 200  # units of a long chain; units that are looked at in vain before a chain ends
BYTE = 0.1  # nanoseconds that a byte takes from memory or to it
ROWS, LARGE = 8, 1 << 14  # rows of a band, at least, but where one has so many bytes
PIECE = 32  # entries of it that lie together, at least
BANDS, PARTS = 4, 16  # bands at least; parts, which threads share


def banded(commands: Sequence[Command], threads: int) -> list[Command]:
    """The commands, with chains over the same rows as one command each."""
    if len(commands) < 2 or sum(command.bytes for command in commands) < LEAST:
        return list(commands)
    return _Bander(units(commands), threads).run()


class _Chain:
    """Units that run band by band along an axis of each.

    strides  of the rows in the buffers that they touch by rows: {buffer: stride}
    written  buffers whose rows they write; far: those of them whose rows do not lie one after another
    """

    def __init__(self, n: int, heavy: bool = True):
        self.n, self.heavy = n, heavy  # heavy: with products that every band has to read much for
        self.axes: dict[int, int] = {}
        self.strides: dict[Buffer, int] = {}
        self.written: set[Buffer] = set()
        self.far: set[Buffer] = set()
        self.whole: set[Buffer] = set()  # read by every band
        self.results: set[Buffer] = set()  # what is summed over the rows: it is there after the last band
        self.fixed: dict[Any, int] = {}  # what every band reads or adds to, and its bytes

    def axis_of(self, unit: Unit) -> int | None:
        """The axis that runs along the rows of what the chain touches; else of its length the one of longest steps."""
        if not isinstance(unit, (NestUnit, ProductUnit)):
            return None
        for axis, extent in enumerate(unit.extents):
            if extent == self.n and any(self.strides.get(x.view.buffer) == x.strides[axis] != 0 for x in unit.accesses):
                return axis
        long = [axis for axis, extent in enumerate(unit.extents) if extent == self.n]
        return max(long, key=lambda axis: max(x.strides[axis] for x in unit.accesses), default=None)

    def fits(self, unit: Unit, axis: int) -> bool:
        """Whether the unit can be cut along the axis, and needs nothing of the chain's results but its own rows."""
        totals = unit.totals(axis)
        if totals is None or sum((self.fixed | _fixed(unit, axis, totals)).values()) > FIXED:
            return False
        if not self.heavy and is_heavy(unit, axis):
            return False
        results = {total.view.buffer for total in totals}
        for access in unit.accesses:
            buffer, stride = access.view.buffer, access.strides[axis]
            if access.written:
                if buffer in results:
                    if buffer in self.written or buffer in self.whole:
                        return False
                elif buffer in self.whole or buffer in self.results or self.strides.get(buffer, stride) != stride:
                    return False
            elif buffer in self.results or not self._own_rows(unit, access, axis):
                return False
        return True

    def _own_rows(self, unit: Unit, access: Access, axis: int) -> bool:
        """Whether a unit reads nothing of what the chain writes but the rows that are there."""
        buffer = access.view.buffer
        if buffer not in self.written:
            return True
        same = buffer not in self.far and not access.whole and self.strides[buffer] == access.strides[axis]
        return same and _by_rows(unit, access, axis)

    def add(self, number: int, unit: Unit, axis: int) -> None:
        totals = unit.totals(axis) or []
        self.fixed |= _fixed(unit, axis, totals)
        self.axes[number] = axis
        results = {total.view.buffer for total in totals}
        for access in unit.accesses:
            buffer, stride = access.view.buffer, access.strides[axis]
            if access.written and buffer not in results:
                self.written.add(buffer)
                if not _by_rows(unit, access, axis) or stride * self.n != buffer.size:
                    self.far.add(buffer)
            if access.written and buffer in results:
                self.results.add(buffer)
            elif stride:
                self.strides.setdefault(buffer, stride)
            else:
                self.whole.add(buffer)

    def pieces(self, rows: int) -> float:
        """Entries of a band that lie together, in the array where these are fewest: columns are far apart."""
        found = self.strides.items()
        return min((rows * stride for buffer, stride in found if buffer.size > self.n * stride), default=inf)


def is_heavy(unit: Unit, axis: int) -> bool:
    """Whether a product of a band is mostly reading what all bands read, if there are few rows."""
    if not isinstance(unit, ProductUnit):
        return False
    fixed = [access.view for access in unit.accesses[:3] if not access.strides[axis]]
    return sum(prod(view.shape) * view.buffer.dtype.itemsize for view in fixed) > PRODUCT * unit.batch


def _by_rows(unit: Unit, access: Access, axis: int) -> bool:
    """Whether the rows of a view follow each other: what it touches for one lies before what it does for the next."""
    steps = [(n - 1) * step for a, (n, step) in enumerate(zip(unit.extents, access.strides, strict=True)) if a != axis]
    first = access.view.offset
    return min(steps, default=0) >= 0 <= first and first + sum(steps) < access.strides[axis]


def _fixed(unit: Unit, axis: int, totals: Sequence[Total]) -> dict[Any, int]:
    """What each band of the unit reads or adds to, and its bytes."""
    read: dict[Any, int] = {
        access.view.buffer: access.view.buffer.bytes
        for access in unit.accesses
        if not access.written and not access.strides[axis]
    }
    return read | {total.view: prod(total.view.shape) * np.dtype(total.wide).itemsize for total in totals}


class _Bander:
    def __init__(self, all_units: Sequence[Unit], threads: int):
        self.units, self.threads = all_units, threads
        self.few = Few()
        self.needs = _needs(all_units)
        self.users: dict[Buffer, set[int]] = {}
        for k, unit in enumerate(all_units):
            for buffer in _touched(unit):
                self.users.setdefault(buffer, set()).add(k)
        self.moved = [0, *accumulate(sum(buffer.bytes for buffer in _touched(unit)) for unit in all_units)]
        self.hopeless: set[tuple[int, int]] = set()  # units and their axes in chains that do not pay
        self.starts = {a for users in self.users.values() for a, b in pairwise(sorted(users)) if self._far(a, b)}

    def run(self) -> list[Command]:
        order: list[int | _Chain] = list(range(len(self.units)))
        for start in range(len(self.units)):
            if start not in self.starts or not isinstance(self.units[start], (NestUnit, ProductUnit)):
                continue
            axes = [a for a in range(len(self.units[start].extents)) if (start, a) not in self.hopeless]
            following = order[order.index(start) :] if axes and start in order else []
            chains = [c for axis in axes if following and (c := self._chain(following, axis))]
            if chains:
                order = self._ordered(order, max(chains, key=self._saved))
        made: list[Command] = []
        for each in order:
            if isinstance(each, _Chain):
                made += _Plan(self, each).commands()
            else:
                made += self.units[each].commands
        return made

    def _chain(self, order: Sequence[int | _Chain], axis: int, heavy: bool = True) -> _Chain | None:
        """The chain that begins with the first unit, along an axis of it; None where bands do not pay.

        A chain that is there already waits as a whole for what one of its units waits for.
        """
        assert isinstance(order[0], int)
        chain = _Chain(self.units[order[0]].extents[axis], heavy)
        if chain.n < ROWS * BANDS:
            return None
        behind: set[int] = set()  # units that wait for some of the chain and are not in it
        since = 0  # how many were looked at in vain
        for each in order:
            since += 1
            if since > PATIENCE:
                break
            needs = self._needed(each)
            waits = not behind.isdisjoint(needs)
            if isinstance(each, int) and not waits:
                unit = self.units[each]
                along = chain.axis_of(unit) if chain.axes else axis
                if along is not None and chain.fits(unit, along):
                    chain.add(each, unit, along)
                    since = 0
                    continue
            if not chain.axes:
                return None
            if waits or not needs.isdisjoint(chain.axes):
                behind |= _members(each)
        if heavy and self._rows(chain) < MANY and any(is_heavy(self.units[k], a) for k, a in chain.axes.items()):
            return self._chain(order, axis, heavy=False)
        rows_bytes = sum(buffer.bytes for buffer in chain.strides)
        few = len(chain.axes) < 2 or rows_bytes < (THIRD if self._is_light(chain) else LEAST)
        if few or (saved := self._saved(chain)) < LEAST // 2 or self._dearer(chain) > BYTE * saved:
            self.hopeless.update(chain.axes.items())  # nor will a part of it save enough
            return None
        light = sum(chain.fixed.values()) <= LIGHT
        rows = self._rows(chain)
        if rows and (light or rows_bytes >= HEAVY) and chain.pieces(rows) >= PIECE:
            return chain
        if len(chain.axes) > LONG:  # what begins a little later is as long
            self.hopeless.update(list(chain.axes.items())[: len(chain.axes) // 2])
        return None

    def _is_light(self, chain: _Chain) -> bool:
        """Whether it has neither products nor elementary functions: the third cache is as fast as what it does."""
        nests = [unit for k in chain.axes if isinstance(unit := self.units[k], NestUnit)]
        most = max((prod(unit.extents) for unit in nests), default=0)
        return len(nests) == len(chain.axes) and not any(
            instr[0] in FORMULAS for unit in nests if 32 * prod(unit.extents) >= most for instr in unit.source.instrs
        )

    def _needed(self, each: int | _Chain) -> set[int]:
        """The units that must run before one of the order."""
        return set().union(*(self.needs[k] for k in _members(each)))

    def _saved(self, chain: _Chain) -> int:
        """Bytes that need not go through memory: of what has left the caches before it is used again."""
        saved = 0
        for buffer in chain.strides:
            used = sorted(k for k in self.users[buffer] if k in chain.axes)
            saved += buffer.bytes * sum(self._far(a, b) for a, b in pairwise(used))
        return saved

    def _dearer(self, chain: _Chain) -> float:
        """Nanoseconds that products lose by being done for few rows at a time."""
        rows = self._rows(chain) or ROWS
        products = [(unit, a) for k, a in chain.axes.items() if isinstance(unit := self.units[k], ProductUnit)]
        return sum(unit.dearer(a, rows) for unit, a in products)

    def _far(self, first: int, second: int) -> bool:
        """Whether what one unit touches has left the second cache when another touches it."""
        return self.moved[second] - self.moved[first] >= LEAST // 4

    def _rows(self, chain: _Chain) -> int:
        """Rows of a band: as many as fit in the cache, with what lives at the same time between kernels."""
        streams, changes = 0, [0] * (len(chain.axes) + 1)  # what lives more from each unit on
        place = {k: at for at, k in enumerate(chain.axes)}
        for buffer in chain.strides:
            if self.is_own(chain, buffer):
                used = [place[k] for k in self.users[buffer]]
                changes[min(used)] += buffer.bytes
                changes[max(used) + 1] -= buffer.bytes
            else:
                streams += buffer.bytes
        each = (streams + max(accumulate(changes))) // chain.n
        cache, each = CACHE - sum(chain.fixed.values()), max(each, 1)
        least = ROWS if each < LARGE or cache // each >= ROWS else 1
        rows = min(cache // each, max(ROOM // each, least), chain.n // BANDS)
        if any(isinstance(self.units[k], ProductUnit) and self.units[k].totals(a) for k, a in chain.axes.items()):
            rows = min(rows, K_BLOCK)  # of which a product is one sum
        if by_vectors([self.units[k] for k in chain.axes]) and self.fetches(chain):
            rows = min(rows, max(BESIDE // each, MANY_OF_VECTORS))
        return rows // ROWS * ROWS or (rows if least == 1 else 0)

    def fetches(self, chain: _Chain) -> bool:
        streamed = sum(buffer.bytes for buffer in chain.strides if not self.is_own(chain, buffer))
        return is_far([self.units[k] for k in chain.axes], streamed)

    def is_own(self, chain: _Chain, buffer: Buffer) -> bool:
        """Whether only the chain touches an array: then there need only be a band of it."""
        return (
            buffer.kind == "arena"
            and buffer in chain.written
            and buffer not in chain.far
            and self.users[buffer] <= chain.axes.keys()
        )

    def _ordered(self, order: Sequence[int | _Chain], chain: _Chain) -> list[int | _Chain]:
        """The chain as one, after what it needs and before what needs it."""
        place = {k: at for at, each in enumerate(order) for k in _members(each)}
        first = min(place[k] for k in chain.axes)
        inside, behind = set(chain.axes), set[int]()
        before, after = list(order[:first]), []
        for each in order[first:]:
            if _members(each) <= inside:
                continue
            needs = self._needed(each)
            if not needs.isdisjoint(behind) or not needs.isdisjoint(inside):
                behind |= _members(each)
                after.append(each)
            else:
                before.append(each)
        return [*before, chain, *after]


class _Plan:
    """A chain as commands: the bands, and the sums of what their parts have summed."""

    def __init__(self, bander: _Bander, chain: _Chain):
        self.bander, self.chain = bander, chain
        self.rows = bander._rows(chain)
        self.bands = -(-chain.n // self.rows)
        self.of_part = -(-self.bands // PARTS)
        self.parts = -(-self.bands // self.of_part)
        self.own = {buffer for buffer in chain.written if bander.is_own(chain, buffer)}
        self.pointers: dict[tuple[Buffer, int], Buffer] = {}  # (buffer, bytes by band) -> what stands for it
        self.steps: list[tuple[View, int, int, int]] = []  # memory, bytes by band, by part, by thread
        self.number: dict[Buffer, int] = {}  # of the pointer that a buffer stands for
        self.band: dict[Buffer, Buffer] = {}  # arrays between kernels -> a band of them

    def pointer(self, memory_: Buffer, by_band: int, by_part: int = 0, by_thread: int = 0) -> Buffer:
        """What stands for memory that moves on in such steps."""
        key = memory_, by_band
        if key not in self.pointers:
            made = self.pointers[key] = Buffer("band", memory_.dtype, memory_.size)
            self.number[made] = len(self.steps)
            whole = layout.whole(memory_, (memory_.size,))
            self.steps.append((whole, by_band, by_part, by_thread))
        return self.pointers[key]

    def place(self, view: View, stride: int) -> Buffer:
        buffer = view.buffer
        if buffer in self.own:
            if buffer not in self.band:
                self.band[buffer] = Buffer("arena", buffer.dtype, buffer.size // self.chain.n * self.rows)
            return self.band[buffer]
        return self.pointer(buffer, stride * self.rows * buffer.dtype.itemsize)

    def commands(self) -> list[Command]:
        chain, last = self.chain, []
        before: list[Command] = []
        on_band: list[Command] = []
        on_short: list[Command] = []
        lives: list[Command] = []
        short = chain.n - (self.bands - 1) * self.rows
        for k, axis in chain.axes.items():
            unit = self.bander.units[k]
            sums: list[View] = []
            for total in unit.totals(axis) or []:
                size = prod(total.view.shape)
                dtype = np.dtype(total.wide)
                parts = layout.whole(Buffer("arena", dtype, self.parts * size), (self.parts, *total.view.shape))
                stand_in = self.pointer(parts.buffer, 0, size * dtype.itemsize)
                sums.append(layout.whole(stand_in, total.view.shape))
                before += started(total, sums[-1])
                last += finished(total, parts)
            for rows, made in ((self.rows, on_band), (short, on_short)):
                found = unit.cut(axis, rows, self.place, sums, self.bander.few)
                made += found
                lives += found
        own = [buffer for buffer in memory.lives(lives) if buffer.kind == "arena"]
        size = memory.arrange(own)
        scratch = Buffer("arena", np.dtype(np.uint8), size * self.bander.threads)
        for buffer in own:
            self.number[buffer] = self.number[self.pointer(scratch, 0, 0, size)]
        return [self._together(before, on_band, on_short if short != self.rows else [], scratch), *last]

    def _together(
        self, before: Sequence[Command], on_band: Sequence[Command], on_short: Sequence[Command], scratch: Buffer
    ) -> Command:
        inner = [*before, *on_band, *on_short]
        ahead = self._ahead(on_band)
        numbers = [self.parts, self.bands, self.of_part, int(bool(on_short)), *map(len, (before, on_band, on_short)), 0]
        for _, *steps in self.steps:
            numbers += steps
        table, kernels, words = len(numbers), [], []
        at = 2 * len(self.steps) + table + 2 * len(inner)
        for k, command in enumerate(inner):
            fetched = ahead.get(command, [])
            kernel = command.kernel._replace(ahead=fetched[3]) if fetched else command.kernel
            kernels.append((table + 2 * k, kernel))
            numbers += [0, at + len(words)]
            for view in command.operands:
                buffer = view.buffer
                start = buffer.start if buffer.kind == "arena" else 0
                words += [self.number[buffer], start + view.offset * buffer.dtype.itemsize]
            words += [*command.numbers, *fetched[:3]]
        views = [view for view, *_ in self.steps]
        touched = {view.buffer: view for view in views}
        writes = {buffer for buffer in self.chain.written if buffer in touched} | {scratch} & set(touched)
        writes |= {buffer for buffer in touched if buffer.kind == "arena" and buffer not in self.bander.users}
        reads = [view for buffer, view in touched.items() if buffer not in writes]
        texts = [text for k in self.chain.axes for text in dict.fromkeys(c.text for c in self.bander.units[k].commands)]
        flops = sum(c.flops for k in self.chain.axes for c in self.bander.units[k].commands)
        text = f"{self.bands} bands of {self.rows} rows: " + " | ".join(texts)
        made = Command(Bands(len(views), self.parts > 1), views, [*numbers, *words], reads,
                       [view for buffer, view in touched.items() if buffer in writes], None, text, flops)  # fmt: skip
        made.inner = tuple(kernels)
        return made

    def _ahead(self, on_band: Sequence[Command]) -> dict[Command, list[int]]:
        """What commands fetch of the largest array that is only read, while they compute."""
        read = [j for j, (view, *_) in enumerate(self.steps) if view.buffer not in self.chain.written]
        largest = max(read, key=lambda j: self.steps[j][1], default=-1)
        return fetches(on_band, largest, self.steps[largest][1]) if read and self.bander.fetches(self.chain) else {}


def _members(each: int | _Chain) -> set[int]:
    return set(each.axes) if isinstance(each, _Chain) else {each}


def _touched(unit: Unit) -> set[Buffer]:
    return {view.buffer for c in unit.commands for view in (*c.operands, *c.reads, *c.writes)}


def _needs(all_units: Sequence[Unit]) -> list[set[int]]:
    """For each unit those that must run before it: who writes what it reads, or touched what it writes.

    Nothing is moved over what may end the program, or runs on NumPy.
    """
    writer: dict[Buffer, int] = {}
    readers: dict[Buffer, set[int]] = {}
    fence, since = -1, set()
    found: list[set[int]] = []
    for k, unit in enumerate(all_units):
        needs: set[int] = {fence} if fence >= 0 else set()
        if type(unit) is Unit:
            needs |= since
            fence, since = k, set()
        else:
            since.add(k)
        written = {view.buffer for c in unit.commands for view in c.writes}
        touched: Any = _touched(unit)
        for buffer in touched:
            if buffer in writer:
                needs.add(writer[buffer])
        for buffer in written:
            needs |= readers.pop(buffer, set())
            writer[buffer] = k
        for buffer in touched - written:
            readers.setdefault(buffer, set()).add(k)
        found.append(needs - {k})
    return found
