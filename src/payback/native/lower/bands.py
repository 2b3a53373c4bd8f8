"""The kernel that runs other kernels on one band of rows after another, so that what they hand on stays in a cache."""

from __future__ import annotations

from typing import NamedTuple

from payback.native import ir
from payback.native.codegen.emit import BYTE, INT, POINTER, Emitter
from payback.native.lower.kernel import SIGNATURE, Arguments

HEAD = 8  # words before the steps of the pointers


class Bands(NamedTuple):
    """args: the pointers; then parts, bands, bands of a part, whether the last band is short, and how many kernels run
    before the bands of a part, on a band, on the short one, and 0; then for each pointer the bytes that it moves by
    band, by part and by thread; then for each kernel its address and the place of its own args, in words from here.

    pointers  how many there are; they are the bases of the other kernels
    split     threads share the parts, which are the same for any number of threads
    """

    pointers: int
    split: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        bases = [args.pointer() for _ in range(self.pointers)]
        parts, bands, of_part, short, before, on_band, on_short, _ = args.ints(HEAD)
        steps = [args.ints(3) for _ in bases]
        table = args.position
        thread, _ = args.team()
        start, stop = args.share(parts, 1)
        room = b.alloca(ir.ArrayType(INT, self.pointers + 2))
        room.type = POINTER
        e.store(e.int(0), room, 0)  # these kernels have one thread
        e.store(e.int(1), room, 1)
        inner = e.at(room, 2, INT)
        own = [e.at(base, b.mul(thread, by_thread), BYTE) for base, (_, _, by_thread) in zip(bases, steps, strict=True)]

        def run(first: ir.Value, many: ir.Value) -> None:
            with e.loop(first, b.add(first, many)) as k:
                at = b.add(e.int(table), b.mul(k, e.int(2)))
                kernel = b.inttoptr(e.load(args.args, at, INT), ir.PointerType(SIGNATURE))
                words = e.load(args.args, b.add(at, e.int(1)), INT)
                b.call(kernel, [inner, e.at(args.args, words, INT)])

        with e.loop(start, stop) as part:
            first = b.mul(part, of_part)
            after = b.add(first, of_part)
            after = b.select(b.icmp_signed("<", after, bands), after, bands)
            of_this = [
                e.at(pointer, b.mul(part, by_part), BYTE)
                for pointer, (_, by_part, _) in zip(own, steps, strict=True)
            ]  # fmt: skip
            for k, pointer in enumerate(of_this):
                b.store(pointer, e.at(inner, k, INT))
            run(e.int(0), before)
            with e.loop(first, after) as band:
                for k, (pointer, (by_band, _, _)) in enumerate(zip(of_this, steps, strict=True)):
                    b.store(e.at(pointer, b.mul(band, by_band), BYTE), e.at(inner, k, INT))
                last = b.icmp_signed("==", band, b.sub(bands, e.int(1)))
                little = b.and_(last, b.icmp_signed("!=", short, e.int(0)))
                run(b.select(little, b.add(before, on_band), before), b.select(little, on_short, on_band))
        b.ret(e.int(0))
