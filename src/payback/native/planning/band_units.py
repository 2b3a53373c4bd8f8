"""What a band can be cut from: nests and contractions, by the axes that they run over and what each access moves.

A unit is all that came of one nest or one contraction.  `cut` lowers it again for some rows: part of one of its axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.native.lower.pointwise import code_of
from payback.native.lower.products import product
from payback.native.lower.products.arranged import price_of
from payback.native.lower.products.narrow import Few
from payback.native.planning import layout
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, Shape, View
from payback.native.planning.nests import Source, nest

REDUCTIONS = ("sum", "max", "min")
BANDED_SINKS = ("store", *REDUCTIONS)
STARTS = {"sum": "-0.0", "max": "-inf", "min": "inf"}  # what an accumulator holds at first
JOINED = {"sum": "add", "max": "maximum", "min": "minimum"}


class Access(NamedTuple):
    """A view that is read or written, with its stride along each axis of the unit; `whole`: by all rows."""

    view: View
    strides: Shape
    written: bool
    whole: bool = False


class Total(NamedTuple):
    """A result that is summed over the rows: over the axes of its view.

    kind, finish  as in a nest's sink; code: of the result
    wide          of its accumulators
    """

    kind: str
    view: View
    code: str
    wide: str
    finish: tuple[Any, ...]


Place = Callable[[View, int], Buffer]  # of a view and its stride along the rows: what the rows of a band are read from


class Unit:
    """Commands number `first` to `first + count`."""

    extents: Shape
    accesses: list[Access]

    def __init__(self, commands: Sequence[Command]):
        self.commands = commands

    def totals(self, axis: int) -> list[Total] | None:
        """What is summed over this axis; None where rows cannot be taken one band after another."""
        raise NotImplementedError

    def cut(self, axis: int, rows: int, place: Place, sums: Sequence[View], few: Few) -> list[Command]:
        """Commands for so many rows, that add to `sums` what `totals` says."""
        raise NotImplementedError


class NestUnit(Unit):
    def __init__(self, commands: Sequence[Command], source: Source):
        super().__init__(commands)
        self.source, self.extents, self.accesses = source, source.shape, []
        for instr in source.instrs:
            if instr[0] in ("load", "gather"):
                self.accesses.append(Access(instr[1], instr[1].strides, False, instr[0] == "gather"))
        self.accesses += [Access(sink[1], sink[1].strides, True) for sink in source.sinks]

    def _summed(self, sink: tuple[Any, ...], axis: int) -> bool:
        return sink[0] in REDUCTIONS and self.source.axes is not None and axis in self.source.axes

    def totals(self, axis: int) -> list[Total] | None:
        found = []
        for sink in self.source.sinks:
            if sink[0] not in BANDED_SINKS:
                return None
            if self._summed(sink, axis):
                code = self.source.codes[sink[2]]
                if code not in ("f4", "f8"):
                    return None
                wide = "f8" if sink[0] == "sum" else code
                found.append(Total(sink[0], _without(sink[1], self.source.axes), code, wide, sink[4]))
            elif sink[1].strides[axis] == 0:
                return None
        return found

    def cut(self, axis: int, rows: int, place: Place, sums: Sequence[View], few: Few) -> list[Command]:
        source, given, after = self.source, iter(sums), []
        shape = (*source.shape[:axis], rows, *source.shape[axis + 1 :])

        def moved(view: View) -> View:
            return View(place(view, view.strides[axis]), view.offset, shape, view.strides)

        sinks: list[tuple[Any, ...]] = []
        for sink in source.sinks:
            if not self._summed(sink, axis):
                sinks.append((sink[0], moved(sink[1]), *sink[2:]))
                continue
            total, code = next(given), source.codes[sink[2]]
            part = layout.whole(Buffer("arena", np.dtype(code), max(int(np.prod(total.shape)), 1)), total.shape)
            strides = iter(part.strides)
            along = tuple(0 if a in source.axes else next(strides) for a in range(len(shape)))
            sinks.append((sink[0], View(part.buffer, 0, shape, along), *sink[2:4], ()))
            after += joined(sink[0], code, part, total)
        instrs = [
            (instr[0], moved(instr[1]), *instr[2:]) if instr[0] in ("load", "gather") else instr
            for instr in source.instrs
        ]
        return [*nest(instrs, source.codes, sinks, shape, source.text, source.axes), *after]


class ProductUnit(Unit):
    def __init__(self, commands: Sequence[Command], source: product.Source):
        super().__init__(commands)
        self.source = source
        left, right, out = source.spec
        self.letters = "".join(dict.fromkeys(out + left + right))
        a, b, target = source.operands
        extent = dict(zip(left + right, a.shape + b.shape, strict=True))
        self.extents = tuple(extent[letter] for letter in self.letters)
        self.batch = int(np.prod([extent[x] for x in out if x in left and x in right], dtype=int))
        of_result = dict(enumerate(out))
        self.accesses = [
            Access(view, tuple(dict(zip(letters, view.strides, strict=True)).get(x, 0) for x in self.letters), written)
            for view, letters, written in ((a, left, False), (b, right, False), (target, out, True))
        ]
        for view, store in source.others:
            moves = {of_result[axis]: stride for axis, stride in enumerate(view.strides)}
            self.accesses.append(Access(view, tuple(moves.get(x, 0) for x in self.letters), store))

    def totals(self, axis: int) -> list[Total] | None:
        source, letter = self.source, self.letters[axis]
        target = source.operands[2]
        code = code_of(target.buffer.dtype)
        forms = source.forms, self._cut(letter)
        plain, in_bands = (product.is_matrix(product.shape_of(source.spec, *form), code) for form in forms)
        if plain and not in_bands:  # axes that are one where all of it is done, and two in a band
            return None
        if letter in source.spec[2]:
            return []
        if source.after is not None or not plain or letter not in source.spec[0] or letter not in source.spec[1]:
            return None
        return [Total("sum", target, code, code, ())]

    def _cut(self, letter: str, rows: int = 2) -> Any:
        """Shapes and strides of the operands in a band."""
        return [
            (tuple(min(n, rows) if x == letter else n for x, n in zip(letters, view.shape, strict=True)), view.strides)
            for letters, view in zip(self.source.spec, self.source.operands, strict=True)
        ]

    def dearer(self, axis: int, rows: int) -> float:
        """The nanoseconds that products of so many rows take more than the whole one, on paper."""
        whole, part = (
            price_of(product.shape_of(self.source.spec, *forms))
            for forms in (self.source.forms, self._cut(self.letters[axis], rows))
        )
        return part * self.extents[axis] / rows - whole

    def cut(self, axis: int, rows: int, place: Place, sums: Sequence[View], few: Few) -> list[Command]:
        source, letter = self.source, self.letters[axis]

        def moved(view: View, letters: str) -> View:
            if letter not in letters:
                return view._replace(buffer=place(view, 0))
            at = letters.index(letter)
            shape = (*view.shape[:at], rows, *view.shape[at + 1 :])
            return View(place(view, view.strides[at]), view.offset, shape, view.strides)

        left, right, out = source.spec
        a, b, target = source.operands
        operands = moved(a, left), moved(b, right), sums[0] if sums else moved(target, out)
        others = tuple((moved(view, out), store) for view, store in source.others)
        return source._replace(operands=operands, others=others, threads=1).commands(few=few, plus=bool(sums))


def units(commands: Sequence[Command]) -> list[Unit]:
    """Commands that came of one thing, together; what cannot be cut by itself."""
    made: list[Unit] = []
    k = 0
    while k < len(commands):
        source, end = commands[k].source, k + 1
        while source is not None and end < len(commands) and commands[end].source is source:
            end += 1
        part = commands[k:end]
        if isinstance(source, Source):
            made.append(NestUnit(part, source))
        elif isinstance(source, product.Source):
            made.append(ProductUnit(part, source))
        else:
            made.append(Unit(part))
        k = end
    return made


def _without(view: View, axes: Shape | None) -> View:
    """A view over the axes that are left."""
    kept = [a for a in range(len(view.shape)) if a not in (axes or ())]
    return View(view.buffer, view.offset, tuple(view.shape[a] for a in kept), tuple(view.strides[a] for a in kept))


def joined(kind: str, code: str, part: View, total: View) -> list[Command]:
    """total = total + part, or the larger one."""
    wide = code_of(total.buffer.dtype)
    instrs: list[tuple[Any, ...]] = [("load", total, wide), ("load", part, code)]
    codes = [wide, code]
    if wide != code:
        instrs.append(("cast", code, wide, 1))
        codes.append(wide)
    instrs.append((JOINED[kind], wide, 0, len(instrs) - 1))
    return nest(instrs, [*codes, wide], [("store", total, len(codes))], total.shape, f"{kind} so far")


def started(total: Total, sums: View) -> list[Command]:
    """Accumulators as they are before the first band of a part."""
    return nest([("number", STARTS[total.kind], total.wide)], [total.wide], [("store", sums, 0)], sums.shape, "start")


def finished(total: Total, parts: View) -> list[Command]:
    """The result of the accumulators of all parts, which lie along the first axis."""
    instrs: list[tuple[Any, ...]] = [("load", parts, total.wide)]
    codes = [total.wide]
    if total.wide != total.code:
        instrs.append(("cast", total.wide, total.code, 0))
        codes.append(total.code)
    view = total.view
    target = View(view.buffer, view.offset, parts.shape, (0, *view.strides))
    sink = (total.kind, target, len(codes) - 1, total.code, total.finish)
    return nest(instrs, codes, [sink], parts.shape, f"{total.kind} of bands", (0,))
