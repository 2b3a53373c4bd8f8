"""Loop nests as commands: axes merged, strides classified, so that what is equal in form becomes one kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from payback.native import vector_math
from payback.native.codegen.emit import lanes_of
from payback.native.lower import pointwise
from payback.native.lower.nests.body import REDUCTIONS, maskable, way
from payback.native.lower.nests.nest import Nest
from payback.native.lower.nests.stages import AT_ONCE, REGISTERS
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.tile import has_masked_loads
from payback.native.planning import layout
from payback.native.planning.commands import Command, bits_of, number
from payback.native.planning.layout import Buffer, View

SHORT, COSTLY = 15, 24  # entries of a row that vectors do not run along but across; of one of elementary functions
PRICES, FORMULA = {"load": 0, "arg": 0, "lit": 0, "div": 8, "sqrt": 8}, 24  # operations of a vector, about
PRICES |= {f"power_{exponent}": 12 for exponent in pointwise.POWERS}
LONG = ("logaddexp", "softplus", "log_expit", "power")  # functions that are more than one
STAGED = frozenset(vector_math.FORMULAS) - vector_math.BRANCHING
PLAIN = (
    "load", "arg", "lit", "cast", "select", "add", "sub", "mul", "div", "neg", "abs", "sign", "sqrt", "maximum",
    "minimum", "clip", "relu", "gt", "ge", "lt", "le", "eq", "ne", "logical_and", "logical_or", "logical_not",
    "identity", "stop_gradient", "floor", "ceil", "trunc", "rint", "copysign", "fmax", "fmin",
    *(f"power_{exponent}" for exponent in pointwise.POWERS),
)  # fmt: skip
FEWEST = 4  # entries of a row that is picked by an index and done without a loop
COLUMNS = 1 << 10  # entries from which on a sum of short rows is made column by column
SHARED = 1 << 14  # entries of a nest, from which on threads share it
ONWARD = 8  # vectors of a row whose sums go on in the next one
FEW_COLUMNS = 128  # sums of fewer columns are shared by rows


class Source(NamedTuple):
    """What a nest was lowered from: the arguments of `nest`."""

    instrs: tuple[tuple[Any, ...], ...]
    codes: tuple[str, ...]
    sinks: tuple[tuple[Any, ...], ...]
    shape: layout.Shape
    text: str
    axes: layout.Shape | None
    form: layout.Shape | None = None


def nest(
    instrs: Sequence[tuple[Any, ...]],
    codes: Sequence[str],
    sinks: Sequence[tuple[Any, ...]],
    shape: layout.Shape,
    text: str,
    axes: layout.Shape | None = None,
    inside: bool = False,
    form: layout.Shape | None = None,
) -> list[Command]:
    """Commands for instrs and sinks that name their views: what is equal in form becomes one kernel.

    inside: they may be written into a loop of steps, where short rows are worth kernels of their own.
    form: the shape whose kernel is used, if another.
    """
    source = Source(tuple(instrs), tuple(codes), tuple(sinks), shape, text, axes, form)
    commands = _Forming(source, inside).commands() if sinks else []
    for command in commands:
        command.source = source
    return commands


class _Forming:
    """A nest on the way from its source to a kernel's key and numbers.

    body, ends  its instrs and sinks, which name views by number
    letters     of the axes, from the outermost to the innermost: "k" kept, "r" reduced
    extents     of these axes, which the kernel is chosen by; `counts`: how many entries there are
    moves       each view's strides along these axes
    """

    def __init__(self, source: Source, inside: bool):
        self.source, self.inside, self.codes = source, inside, source.codes
        self.views: list[View] = []
        self.kinds: list[str] = []
        self.factors: list[int] = []
        self.strides: list[int] = []  # of indices, each once, but for 1
        self.body = [self._placed(instr) for instr in source.instrs]
        self.ends = [self._end(sink) for sink in source.sinks]
        # which payment comes first is part of the result
        self.ordered = any(end[0] in ("scatter", "plus") for end in self.ends)
        self._merge()

    def commands(self) -> list[Command]:
        seconds = self._in_parts() or self._in_columns()
        self._turn()
        key, numbers = self._key()
        stored = {end[1] for end in self.ends}
        adding = {end[1] for end in self.ends if end[0] in ("plus", "scatter")}
        reads = [view for k, view in enumerate(self.views) if k not in stored or k in adding]
        writes = [view for k, view in enumerate(self.views) if k in stored]
        made = [Command(key, self.views, numbers, reads, writes, None, self.source.text)]
        for second in seconds:
            made += _Forming(second, self.inside).commands()
        return made

    def _place(self, view: View, code: str) -> int:
        self.views.append(view)
        self.kinds.append(code)
        return len(self.views) - 1

    def _placed(self, instr: tuple[Any, ...]) -> tuple[Any, ...]:
        if instr[0] == "load":
            return ("load", self._place(instr[1], instr[2]))
        if instr[0] == "gather":
            return ("gather", self._place(instr[1], instr[2]), *self._indexed(instr[3:]))
        return number(instr[1], instr[2], self.factors) if instr[0] == "number" else instr

    def _indexed(self, indices: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
        """How indices move what they are indices of, 0: by one, else which of the strides; and their numbers."""
        self.strides += dict.fromkeys(stride for _, stride in indices if stride != 1 and stride not in self.strides)
        ways = tuple(0 if stride == 1 else 1 + self.strides.index(stride) for _, stride in indices)
        return (ways, *[at for at, _ in indices])

    def _end(self, sink: tuple[Any, ...]) -> tuple[Any, ...]:
        kind, view, at, *more = sink
        where = self._place(view, code_of(view.buffer.dtype))
        if kind not in REDUCTIONS:
            return (kind, where, at, *(self._indexed(more) if kind == "scatter" else ()))
        if not more[1]:
            return (kind, where, at, ())
        self.factors.append(bits_of("f8" if self.codes[at] == "f8" else "f4", more[1][1]))
        return (kind, where, at, ("div", len(self.factors) - 1))

    def _merge(self) -> None:
        """The axes as most of memory has them, those that all views go through in one step as one."""
        shape, axes = self.source.shape, self.source.axes
        form = self.source.form or shape
        order = range(len(shape)) if self.ordered else usual(form, self.views)
        along = [tuple(view.strides[a] for a in order) for view in self.views]
        letters = "".join("r" if axes is not None and a in axes else "k" for a in order)
        sizes, chosen = (tuple(of[a] for a in order) for of in (shape, form))
        self.counts, self.moves, self.letters = layout.collapsed(sizes, along, letters, chosen)
        self.extents = self.counts if form == shape else layout.collapsed(chosen, along, letters)[0]
        if len(self.extents) != len(self.counts):  # axes that are one in the other shape alone
            self.extents = self.counts
        if axes is not None and self.letters and "r" not in self.letters:
            self.extents, self.counts, self.letters = [1, *self.extents], [1, *self.counts], "r" + self.letters
            self.moves = [[0, *move] for move in self.moves]

    def _in_parts(self) -> list[Source]:
        """A long sum, or those of few columns, are made in parts that threads can share, always the same ones; what
        adds these up."""
        parts, columns, size = 1, self.extents[1:], prod(self.extents)
        if "f2" not in self.codes:
            if set(self.letters) == {"r"} and size >= SHARED and self.extents[-1] > self._short("r"):
                parts, columns = _parts(self.extents[0], -(-2048 * self.extents[0] // size)), []
            elif self.letters == "rk" and 0 < columns[0] < FEW_COLUMNS and not self.ordered:
                parts = _parts(self.extents[0], -(-SHARED // columns[0]))
        if parts == 1:
            return []
        step, alone = self.extents[0] // parts, [0] * self.letters.count("r")
        other, self.letters = self.counts != self.extents, "k" + self.letters
        self.counts = [1, *self.counts] if other else [parts, step, *self.counts[1:]]  # in one part
        self.extents = [parts, step, *self.extents[1:]]
        self.moves = [[0 if other else move[0] * step, *move] for move in self.moves]
        if other:
            return []
        return self._of_parts((parts, *columns), [prod(columns), *alone, *[1] * len(columns)])

    def _in_columns(self) -> list[Source]:
        """A sum of short rows is made column by column, and in parts that threads can share; what adds these up."""
        extents, size = self.extents, prod(self.extents)
        if "k" in self.letters or len(extents) < 2 or "f2" in self.codes or self.ordered or self.counts != extents:
            return []
        if self.inside or size < COLUMNS or not 1 < extents[-1] <= self._short("r"):
            return []
        first, columns = extents[0], extents[-1]
        parts = _parts(first, -(-2048 * first // size)) if size >= SHARED else 1
        self.letters = "k" + self.letters[:-1] + "k"
        self.extents = self.counts = [parts, first // parts, *extents[1:]]
        self.moves = [[move[0] * (first // parts), *move] for move in self.moves]
        return self._of_parts((parts * columns,), [columns, *[0] * (len(extents) - 1), 1])

    def _of_parts(self, shape: layout.Shape, move: list[int]) -> list[Source]:
        """Has reductions end in parts of them, that lie as `move` says; what adds up the first axis of these."""
        seconds, text = [], f"{self.source.text} of parts"
        for k, end in enumerate(self.ends):
            kind, where, at = end[:3]
            if kind in REDUCTIONS:
                code, total = self.codes[at], self.views[where]
                along = self.moves[where][len(self.letters) + 1 - len(shape) :]
                part = self.views[where] = layout.whole(Buffer("arena", np.dtype(code), prod(shape)), shape)
                self.moves[where], self.ends[k] = move, (kind, where, at, ())
                target = View(total.buffer, total.offset, shape, (0, *along))
                sums = ((kind, target, 0, code, self.source.sinks[k][4]),)
                seconds.append(Source((("load", part, code),), (code,), sums, shape, text, (0,)))
        return seconds

    def _turn(self) -> None:
        """Vectors run along another axis where the last one is short."""
        if self.ordered or _reads_rows(self.body, self.moves, self.body):
            return
        across = None
        if len(self.letters) > 1 and 0 < self.extents[-1] <= self._short(self.letters[-1], self._strided()):
            across = _across(self.letters, self.extents, self.codes, self.moves, self.body)
        if across is not None:
            order = [*range(across), *range(across + 1, len(self.letters)), across]
            self.letters = "".join(self.letters[i] for i in order)
            self.extents, self.counts = ([of[i] for i in order] for of in (self.extents, self.counts))
            self.moves = [[move[i] for i in order] for move in self.moves]

    def _strided(self) -> int:
        """How many arrays vectors would read lane by lane, were they not to run along the last axis."""
        return sum(instr[0] == "load" and self.moves[instr[1]][-1] == 1 for instr in self.body)

    def _short(self, letter: str, strided: int = 1) -> int:
        """The most entries of a row that vectors do not run along.

        A short row that is summed is a vector or two, whose lanes have to be added up, and a rest as expensive as they
        are; one that is kept and shorter than a vector would be computed number by number.
        """
        return short_sum(self.body, strided) if letter == "r" else _lanes(self.codes, 1 << 10) - 1

    def _key(self) -> tuple[Nest, list[int]]:
        """The kernel, and the numbers that it is given."""
        letters, extents, moves, body, ends = self.letters, self.extents, self.moves, self.body, self.ends
        inner, outer = letters[-1:], letters[:-1]
        loops = [i for kind in "kr" for i, letter in enumerate(outer) if letter == kind]
        ways = tuple((code, way(move[-1]) if inner else "z") for code, move in zip(self.kinds, moves, strict=True))
        lanes, few = self._lanes() if inner else (1, 0)
        staged = inner != "" and _in_stages(body, ways, ends, self.codes, inner, extents[-1])
        if staged:
            lanes = AT_ONCE * REGISTERS * _lanes(self.codes, extents[-1])
        strips = lanes > 1 and not few and "r" not in letters and not self.ordered and _turned(moves, loops)
        shape, axes = self.source.shape, self.source.axes
        empty = axes is not None and prod(shape[a] for a in axes) == 0
        key = Nest(tuple(body), ways, tuple(ends), self.codes, outer.count("k"), outer.count("r"), inner, lanes, empty,
                   _worth_sharing(letters, extents, loops, ends), staged, strips, few)  # fmt: skip
        if inner == "k" and lanes > 1 and "r" in letters and _row_by_row(key, extents[loops[-1]], extents[-1]):
            key = key._replace(by_rows=True)
        sums = [moves[end[1]] for end in ends]
        shorter = inner == "r" and not few and lanes < extents[-1] < _lanes(self.codes, 1 << 10)
        if ((lanes == 1 and inner and extents[-1] > 1) or shorter) and maskable(key):  # it is one vector all the same
            wide = key._replace(lanes=1 << (extents[-1] - 1).bit_length())
            if inner == "k" or _together(wide, sums, loops, extents, self.counts):
                key = wide
        if inner == "r" and key.lanes > 1:
            key = key._replace(together=_together(key, sums, loops, extents, self.counts))
        if inner == "r" and 1 < extents[-1] <= key.lanes and not staged and maskable(key):
            key = key._replace(single=True)
        if inner == "r" and key.reduced and key.lanes > 1 and not staged and maskable(key):
            key = key._replace(onward=0 < extents[-1] <= ONWARD * key.lanes)
        if loops:
            key = key._replace(like=alike([[move[i] for i in loops] for move in moves]))
        numbers = [self.counts[i] for i in loops] + self.counts[-1:]
        numbers += [move[i] for move in moves for i in loops]
        numbers += [move[-1] for (_, how), move in zip(ways, moves, strict=True) if how not in ("u", "z")]
        return key, numbers + self.strides + self.factors

    def _lanes(self) -> tuple[int, int]:
        """Lanes of the vectors, and the entries of a row that is one vector although it is shorter; 0: it is not."""
        extent, body, ends = self.extents[-1], self.body, self.ends
        lanes = _lanes(self.codes, extent, body)
        if lanes > 1 or extent <= 1:
            return lanes, 0
        if self.inside and self.letters[-1] == "k" and _is_few(body, ends, self.codes):
            return max(1 << (extent - 1).bit_length(), 16 // int(max(self.codes)[1:])), extent
        if extent > 1 and _reads_rows([*body, *ends], self.moves, body):
            if extent <= FEWEST and "r" not in self.letters:
                return 1 << (extent - 1).bit_length(), extent
            return 1 << extent.bit_length() - 1, 0  # a short row is a short vector
        return 1, 0


def alike(moves: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Of each operand the first one that loops move as they do it; () where no two are."""
    first = tuple(moves.index(move) for move in moves)
    return first if len(set(first)) < len(first) else ()


def short_sum(instrs: Iterable[tuple[Any, ...]], strided: int) -> int:
    """The most entries of a row that vectors run across where it is summed; strided: see `_strided`."""
    return COSTLY if any(instr[0] in vector_math.FORMULAS for instr in instrs) else SHORT // max(strided, 1)


def usual(shape: layout.Shape, views: Iterable[View]) -> tuple[int, ...]:
    """The axes in the order in which most of what is as large as the nest lies in memory: their own where none is."""
    own = tuple(range(len(shape)))
    if sum(extent > 1 for extent in shape) < 2:
        return own
    found: dict[tuple[int, ...], float] = {}
    for view in views:
        way = lies(shape, view)
        if way is not None:  # constants only break ties
            found[way] = found.get(way, 0) + (0.1 if view.buffer.kind == "const" else 1)
    return max(found, key=lambda way: (found[way], way == own), default=own)


def lies(shape: layout.Shape, view: View) -> tuple[int, ...] | None:
    """The axes from the outermost to the innermost in memory; None where some are not moved along."""
    if any(extent > 1 and not stride for extent, stride in zip(shape, view.strides, strict=True)):
        return None
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    inner = iter(sorted(axes, key=lambda axis: -abs(view.strides[axis])))
    return tuple(next(inner) if shape[axis] > 1 else axis for axis in range(len(shape)))


def _lanes(codes: Sequence[str], extent: int, body: Sequence[tuple[Any, ...]] = ()) -> int:
    """Lanes of a nest's vectors: those of its smallest floating numbers; none where the inner axis is too short.

    Twice as many where elementary functions are computed, four times where several are: their chains are long, and
    vectors side by side hide each other's waits.
    """
    sizes = [4 if code in ("f4", "f2") else 8 for code in codes if code in ("f4", "f2", "f8")]
    lanes = lanes_of(pointwise.register_type("f4" if 4 in sizes or not sizes else "f8"))
    chains = sum(instr[0] in vector_math.FORMULAS for instr in body) + sum(instr[0] in LONG for instr in body)
    if chains and extent >= 16 * lanes:
        return 4 * lanes if chains > 1 and extent >= 64 * lanes else 2 * lanes
    return lanes if extent >= lanes else 1


def _is_few(body: Sequence[tuple[Any, ...]], ends: Sequence[tuple[Any, ...]], codes: Sequence[str]) -> bool:
    """Whether a row that is shorter than a vector is worth to be one: for elementary functions, of numbers alike."""
    return (
        any(instr[0] in STAGED for instr in body)
        and all(instr[0] in STAGED or instr[0] in PLAIN for instr in body)
        and all(end[0] == "store" for end in ends)
        and set(codes) - {"b1"} in ({"f4"}, {"f8"})
    )


def _in_stages(
    body: Sequence[tuple[Any, ...]], ways: Sequence[tuple[str, str]], ends: Sequence[tuple[Any, ...]],
    codes: Sequence[str], inner: str, extent: int,
) -> bool:  # fmt: skip
    """Whether a body of elementary functions is done in stages: see `lower/nests/stages.py`."""
    sums = [end for end in ends if end[0] in REDUCTIONS]
    return (
        has_masked_loads()
        and extent >= 16 * _lanes(codes, extent)
        and (inner == "r" or not sums)
        and any(instr[0] in vector_math.FORMULAS for instr in body)
        and all(instr[0] in STAGED or instr[0] in PLAIN for instr in body)
        and all(code in ("f4", "f8") and how in ("u", "z") for code, how in ways)
        and all(code in ("f4", "f8", "b1") for code in codes)
        and all(end in sums or (end[0] == "store" and ways[end[1]][1] == "u") for end in ends)
        and not any(body[end[2]][0] in ("arg", "lit", "load") for end in ends)
    )


def _across(
    letters: str, extents: Sequence[int], codes: Sequence[str], moves: Sequence[Sequence[int]],
    body: Sequence[tuple[Any, ...]],
) -> int | None:  # fmt: skip
    """The axis that vectors run along instead of the last one, which is short; None where there is no better one."""
    kept, vector = [i for i, letter in enumerate(letters[:-1]) if letter == "k"], _lanes(codes, 1 << 10)
    # the one whose entries are nearest in memory
    near = sorted(kept, key=lambda i: (sum(abs(move[i]) for move in moves), -extents[i]))
    # where rows are summed the last one: what it makes lies side by side
    across = letters.rfind("k") if letters[-1] == "r" else near[0] if near else -1
    if across >= 0 and extents[across] < vector and any(move[-1] not in (0, 1) for move in moves):
        # no vector lies along any axis: numbers are computed one by one, or a vector of them is collected
        far = next((i for i in near if extents[i] >= vector), -1)
        return far if far >= 0 and vector > 1 and _is_worth_collecting(far, moves, price(body), vector) else None
    if letters[-1] == "k" and across >= 0 and _rows_are_cheaper(across, extents, codes, moves, body):
        return None
    return across if across >= 0 and extents[across] >= vector > 1 else None


def _is_worth_collecting(across: int, moves: Sequence[Sequence[int]], work: int, lanes: int) -> bool:
    """Whether operands that lie apart are put in vectors, as what is done with them is more than that."""
    collected = sum(move[across] not in (0, 1) for move in moves)
    return 2 * collected + work / lanes < len(moves) + work


def _rows_are_cheaper(
    across: int, extents: Sequence[int], codes: Sequence[str], moves: Sequence[Sequence[int]],
    body: Sequence[tuple[Any, ...]],
) -> bool:  # fmt: skip
    """Whether a short kept row is better one masked vector than a part of many that are gathered, lane by lane."""
    plain = set(codes) <= {"f4", "f8", "b1"} and not any(instr[0] == "gather" for instr in body)
    if not plain or not has_masked_loads() or any(move[-1] not in (0, 1) for move in moves):
        return False
    work = price(body)
    gathered = sum(move[across] not in (0, 1) for move in moves)
    return (len(moves) + work) / extents[-1] < 2 * gathered + work / _lanes(codes, extents[across])


def _reads_rows(
    instrs: Sequence[tuple[Any, ...]], moves: Sequence[Sequence[int]], body: Sequence[tuple[Any, ...]]
) -> bool:
    """Whether an index picks whole rows of an array, which lie side by side in memory."""

    def still(at: int) -> bool:
        return body[at][0] == "load" and moves[body[at][1]][-1:] == [0]

    first = {"gather": 3, "scatter": 4}  # of an instr's indices
    return any(i[0] in first and moves[i[1]][-1:] == [1] and all(map(still, i[first[i[0]] :])) for i in instrs)


def _turned(moves: Sequence[Sequence[int]], loops: Sequence[int]) -> bool:
    """Whether something lies along the last loop: vectors that go along it, too, read whole lines of the cache."""
    return bool(loops) and any(move[-1] > 1 and move[loops[-1]] == 1 for move in moves)


def _row_by_row(key: Nest, rows: int, columns: int) -> bool:
    """Whether sums of columns go on row by row; where rows and columns are few, sums stay in registers all the way."""
    sums = {key.codes[end[2]] for end in key.sinks if end[0] in REDUCTIONS}
    return rows >= 8 and rows * columns >= SHARED and maskable(key) and sums <= {"f4", "f8"}


def _together(
    key: Nest, moves: Sequence[Sequence[int]], loops: Sequence[int], extents: Sequence[int], counts: Sequence[int]
) -> int:
    """Through how many loops short rows, whose sums lie side by side, are added across together; 0: they are not."""
    sums = [(key.codes[end[2]], move) for end, move in zip(key.sinks, moves, strict=True) if end[0] in REDUCTIONS]
    if key.staged or key.reduced or not key.outer or not sums or extents[-1] > 8 * key.lanes or not maskable(key):
        return 0
    last = loops[-1]
    rows = extents[last]
    if not all(code in ("f4", "f8") and move[last] == 1 for code, move in sums):
        return 0
    few = rows % key.lanes and rows < 8 * key.lanes  # a vector of sums would be part of one
    if key.outer > 1 and few and rows == counts[last] and key.lanes > FEWEST:
        around = loops[-2]
        if rows * extents[around] >= key.lanes and all(move[around] == rows for _, move in sums):
            return 2
    return 1 if rows >= key.lanes else 0


def _parts(entries: int, least: int) -> int:
    """Into how many equal parts a long sum is cut, of so many entries at least."""
    return next((parts for parts in range(64, 1, -1) if entries % parts == 0 and entries // parts >= least), 1)


def _worth_sharing(letters: str, extents: list[int], order: list[int], ends: Sequence[tuple[Any, ...]]) -> bool:
    """Whether a nest is large, and its first loop or its columns can be cut: no two threads would write one place."""
    if prod(extents) < SHARED or any(end[0] in ("scatter", "plus") for end in ends):
        return False
    if order and letters[order[0]] == "k":
        return extents[order[0]] >= 2
    return letters[-1:] == "k"  # its columns


def price(instrs: Iterable[tuple[Any, ...]]) -> int:
    """How many operations of a vector these are, about."""
    return sum(PRICES.get(instr[0], FORMULA if instr[0] in vector_math.FORMULAS else 1) for instr in instrs)
