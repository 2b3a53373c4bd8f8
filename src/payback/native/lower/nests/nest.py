"""The loop nest: pointwise chains, broadcasts, gathers and reductions in one pass over a domain.

The axes of the domain are ordered (kept…, reduced…) around one inner axis that vectors run along.  Where the inner axis
is a reduced one, a row is summed in vectors; where it is kept, whole columns are (`reductions.py`).
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

from payback.native import ir
from payback.native.codegen.emit import Emitter
from payback.native.lower.kernel import Arguments
from payback.native.lower.nests.body import Instr
from payback.native.lower.nests.reductions import Reductions
from payback.native.lower.nests.stages import AT_ONCE
from payback.native.vector_math import FORMULAS

WRITTEN = 3  # elementary functions that are written into a body and not called, where rows are short


class Nest(NamedTuple):
    """A kernel's key.

    instrs   what is computed at each entry, in order; operands are numbers of earlier instrs:
             ("load", operand), ("arg", code, k), ("lit", code, number), ("cast", from, to, x),
             ("gather", operand, ways, index, …), or (row, code of its operands, operand, …); ways: how each index moves
             the operand, 0: by one, k: by the k-th of the strides of indices
    operands (code, how it moves along the inner axis: "u" by one, "r" by one backwards, "z" not at all, "2" to "4" by
             so many, "s" by any stride)
    sinks    ("store", operand, x), ("plus", operand, x): added to what is there,
             ("scatter", operand, x, ways, index, …),
             ("sum" | "max" | "min", operand, x, finish): finish ("div", k) or ()
    codes    the dtype code of each instr
    outer, reduced  numbers of kept and reduced axes beside the inner one
    inner    "k", "r", or "" where the domain is one entry
    lanes    of a vector; empty: whether nothing is reduced over; split: whether threads share the first axis
    """

    instrs: tuple[Instr, ...]
    operands: tuple[tuple[str, str], ...]
    sinks: tuple[tuple[Any, ...], ...]
    codes: tuple[str, ...]
    outer: int
    reduced: int
    inner: str
    lanes: int
    empty: bool
    split: bool  # whether threads share its first axis
    staged: bool = False  # whether the body is done in stages, by groups of vectors of a register: see `stages`
    strips: bool = False  # whether each vector goes along the last outer axis before the next one does
    few: int = 0  # entries of a row that is shorter than a vector, and done as one
    together: int = 0  # loops around rows of which as many are summed at a time as a vector has lanes; 0: each alone
    single: bool = False  # whether a row that is summed is one vector at most
    by_rows: bool = False  # whether sums of columns go on row by row, as memory has them
    onward: bool = False  # whether the sums of short rows go on from one row to the next
    like: tuple[int, ...] = ()  # of each operand the first one that all loops move as they do it
    ahead: int = 0  # lines of other memory that are fetched beside each vector: for who comes next

    @property
    def vector(self) -> int:
        """Lanes of a stage's vectors."""
        return self.lanes // AT_ONCE if self.staged else self.lanes

    def emit(self, e: Emitter, function: ir.Function) -> None:
        _Loops(self, e, Arguments(e, function)).run()
        e.b.ret(e.int(0))


class _Loops(Reductions):
    """The loops around the body."""

    # --- loops --------------------------------------------------------------------------------------------

    def run(self) -> None:
        key, e = self.key, self.e
        start = [e.int(0)] * len(key.operands)
        self.fix(1, start)
        if key.lanes > 1:
            self.fix(key.lanes, start)
        if key.staged:
            self.fix(key.vector, start)
        functions = 0 if key.staged or key.lanes == 1 else sum(instr[0] in FORMULAS for instr in key.instrs)
        written = 0 < functions <= WRITTEN and self.may_mask()
        with self.written_in("body") if written else nullcontext():
            if self.reductions:
                self.totals = {}
                self._kept(0, start)
            elif key.strips:
                self._outer(0, key.outer - 1, start, self._strips)
            else:
                self._outer(0, key.outer, start, self._pointwise)

    def _pointwise(self, offsets: list[ir.Value]) -> None:
        e, lanes = self.e, self.key.lanes
        self.hold(1, offsets)
        if not self.key.inner:
            self.sink(self.evaluate(offsets, 1), offsets, 1)
            return
        if self.key.few:
            self.hold(lanes, offsets)
            self.sink(self.evaluate(offsets, lanes), offsets, lanes)
            return
        n, start = self.extents[-1], e.int(0)
        if self.key.split and not self.key.outer:
            start, n = self.args.share(n, lanes)
        main = start
        if self.key.staged:
            lanes = self.key.vector
            self.hold(lanes, offsets)
            main = self._in_stages(offsets, start, n, [])[0]
            with e.loop(main, n, lanes) as i:
                self._rest(offsets, i, n, [])
            return
        if lanes > 1:
            self.hold(lanes, offsets)
            main = e.b.add(start, e.b.and_(e.b.sub(n, start), e.int(-lanes)))
            with e.loop(start, main, lanes) as i:
                self.fetch(i)
                here = self.along(offsets, i)
                self.sink(self.evaluate(here, lanes), here, lanes)
            if self.may_mask():
                with e.loop(main, n, lanes) as i:  # once, or not at all
                    self._rest(offsets, i, n, [])
                return
        with e.loop(main, n) as i:
            here = self.along(offsets, i)
            self.sink(self.evaluate(here, 1), here, 1)

    def _strips(self, offsets: list[ir.Value]) -> None:
        """Vectors side by side along the inner axis, each of them along the last outer one."""
        e, key = self.e, self.key
        n, done, last = self.extents[-1], e.int(0), key.outer - 1
        start, stop = e.int(0), self.extents[last]
        if key.split and not last:
            start, stop = self.args.share(stop, 1)
        for lanes in (key.lanes, 1):
            end = e.b.add(done, e.b.and_(e.b.sub(n, done), e.int(-lanes)))
            with e.loop(done, end, lanes) as j:
                strip = self.along(offsets, j)
                with e.loop(start, stop) as i:
                    here = self.moved(strip, last, i)
                    self.hold_anew(lanes, here)
                    self.sink(self.evaluate(here, lanes), here, lanes)
            done = end
