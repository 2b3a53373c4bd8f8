"""Rows that move entries: joined parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, INT32, POINTER, Emitter, vector_bytes
from payback.native.lower.kernel import Arguments
from payback.native.lower.products.blocked.packing import least
from payback.native.lower.products.blocked.tile import prefetch
from payback.native.planning import layout
from payback.native.planning.alongside import by_columns
from payback.native.planning.layout import View
from payback.native.running.threads import fence


def lower_concatenate(planner: Any, node: Node) -> bool:
    """Each part is computed where it belongs."""
    axis = node.params["axis"]
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    start = 0
    for part in node.args:
        shape = part.aval.shape
        place = View(target.buffer, target.offset + start * target.strides[axis], shape, target.strides)
        start += shape[axis]
        if part not in planner.waiting:
            planner.need(part)
            if planner.views.get(part) == place:  # it was made there
                continue
        planner.write(node, part, shape, ("store", place, 0), "concatenate")
    return True


def lower_stack(planner: Any, node: Node) -> bool:
    """Parts are computed where they belong, several in one pass: columns of a cross product read the same columns."""
    axis, shape = node.params["axis"], node.aval.shape
    across = axis == len(shape) - 1 and by_columns(planner, node)
    target = planner.allocate(node, node.aval.dtype, shape, across=across)
    strides, shape = target.strides[:axis] + target.strides[axis + 1 :], node.args[0].aval.shape
    pending: list[tuple[Node, View]] = []
    for k, part in enumerate(node.args):
        place = View(target.buffer, target.offset + k * target.strides[axis], shape, strides)
        if part in planner.waiting and part not in [other for other, _ in pending]:
            pending.append((part, place))
            if len(pending) == TOGETHER:
                _store(planner, node, pending, shape)
            continue
        planner.need(part)
        if planner.views.get(part) != place:  # else it was made there
            planner.write(node, part, shape, ("store", place, 0), "stack")
    _store(planner, node, pending, shape)
    return True


def _store(planner: Any, node: Node, parts: list[tuple[Node, View]], shape: layout.Shape) -> None:
    """Has parts of a stack computed where they belong, in one nest."""
    roots = [part for part, _ in parts]
    if roots:
        planner.require(roots, shape)
        sinks = [("store", place, k) for k, (_, place) in enumerate(parts)]
        planner.group(roots, shape, sinks, text="stack", sinking=[node])
    parts.clear()


TOGETHER = 4  # parts of a stack that one nest computes
SHORT = 64  # bytes of a row that is copied without a loop


AHEAD = 4096  # bytes of longer rows that are fetched before they are copied: each begins elsewhere, unforeseen


class Rows(NamedTuple):
    """Rows of an array, in the order of an array of numbers; args: numbers, array, rows, count, bytes of a row.

    width  the bytes of a row, where they are SHORT at most; else 0
    split  whether threads share the rows
    """

    width: int
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        numbers, source, target = args.pointer(), args.pointer(), args.pointer()
        count, size = args.int(), args.int()
        wide = vector_bytes()

        def copy(start: Any, to: ir.Value, at: ir.Value, bytes_: int) -> None:
            kind = ir.VectorType(BYTE, bytes_)
            e.b.store(e.b.load(e.at(start, at, BYTE), typ=kind, align=1), e.at(to, at, BYTE), align=1)

        start, stop = args.share(count, 1) if self.split else (e.int(0), count)
        final = b.sub(stop, e.int(1))
        further = b.add(b.udiv(e.int(AHEAD), b.add(size, e.int(1))), e.int(1))
        with e.loop(start, stop) as i:
            row = e.at(source, b.mul(e.load(numbers, i, INT), size), BYTE)
            to = e.at(target, b.mul(i, size), BYTE)
            for at, part in _pieces(self.width, wide):
                copy(row, to, e.int(at), part)
            if not self.width:
                last = b.sub(size, e.int(wide))
                far = e.load(numbers, least(e, b.add(i, further), final), INT)
                far = e.at(source, b.mul(far, size), BYTE)
                with e.loop(0, last, wide) as at:
                    prefetch(e, e.at(far, at, BYTE), write=False, cache=2)
                    copy(row, to, at, wide)
                copy(row, to, last, wide)  # some bytes once more, unless the row is of whole vectors
        b.ret(e.int(0))


class Located(NamedTuple):
    """Rows that lie side by side are read where they are: each thread's base pointers are set to the first of them.

    args: numbers of rows, of which the first is read; for each array the number of its base, bytes of a row, and the
    number of the base that is set.
    """

    count: int
    split: bool = True

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args = Arguments(e, function)
        first = e.load(args.pointer(), 0, INT)
        for _ in range(self.count):
            source, size, target = args.ints(3)
            row = e.at(e.load(args.bases, source, POINTER), e.b.mul(first, size), BYTE)
            e.b.store(row, e.at(args.bases, target, POINTER))
        e.b.ret(e.int(0))


WORD = 4  # bytes


class Published(NamedTuple):
    """Numbers for all threads to read, from where only their owner does; args: numbers, target, count of words.

    Lines that others have a copy of can only be written one after another, in 60 ns each where cores are far apart;
    stored past the caches they take a tenth of that.  The target begins a line.
    """

    wide: int  # bytes of a vector

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        source, target, count = args.pointer(), args.pointer(), args.int()
        several = b.icmp_signed(">", args.team()[1], e.int(1))
        lanes = self.wide // WORD
        whole = b.and_(count, e.int(-lanes))
        with b.if_else(several) as (past, plain):
            with past:
                with e.loop(0, whole, lanes) as i:
                    b.store(e.load(source, i, INT32, lanes), e.at(target, i, INT32), self.wide, past=True)
                fence(e)
            with plain, e.loop(0, whole, lanes) as i:
                e.store(e.load(source, i, INT32, lanes), target, i)
        with e.loop(whole, count) as i:
            e.store(e.load(source, i, INT32), target, i)
        b.ret(e.int(0))


def _pieces(size: int, wide: int) -> Iterator[tuple[int, int]]:
    """Bytes in pieces of powers of two: (start, size) of each."""
    at = 0
    while at < size:
        part = min(wide, 1 << (size - at).bit_length() - 1)
        yield at, part
        at += part
