"""Random bits: Philox 4x32-10, the words of `ops.philox`, four at a time."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT, INT32, Emitter
from payback.native.lower.kernel import Arguments
from payback.ops.philox import MULTIPLIERS, ROUNDS, WEYL


class Philox(NamedTuple):
    """args: the keys, the words, how many keys there are and how many words each of them makes."""

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        keys, every, rows, count = args.pointer(), args.pointer(), args.int(), args.int()
        low, half = e.int(0xFFFFFFFF), e.int(32)
        with e.loop(0, rows) as row, e.loop(0, count, 4) as i:
            key, words = e.at(keys, b.mul(row, e.int(2)), INT32), e.at(every, b.mul(row, count), INT32)
            k0, k1 = (b.zext(e.load(key, k, INT32), INT) for k in range(2))
            number = b.lshr(i, e.int(2))
            c = [b.and_(number, low), b.lshr(number, half), e.int(0), e.int(0)]
            key0, key1 = k0, k1
            for _ in range(ROUNDS):
                p0, p1 = (b.mul(x, e.int(int(factor))) for x, factor in zip((c[0], c[2]), MULTIPLIERS, strict=True))
                c = [
                    b.xor(b.xor(b.lshr(p1, half), c[1]), key0), b.and_(p1, low),
                    b.xor(b.xor(b.lshr(p0, half), c[3]), key1), b.and_(p0, low),
                ]  # fmt: skip
                key0, key1 = b.and_(b.add(key0, e.int(WEYL[0])), low), b.and_(b.add(key1, e.int(WEYL[1])), low)
            for k, word in enumerate(c):
                at = b.add(i, e.int(k))
                with b.if_then(b.icmp_signed("<", at, count)):
                    e.store(b.trunc(word, INT32), words, at)
        b.ret(e.int(0))


def lower_random_bits(planner: Any, node: Node) -> bool:
    key = planner.view(node.args[0])
    if not key.whole:
        key = planner.copy(key, node.args[0].aval.dtype)
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    rows = prod(node.args[0].shape[:-1])
    sizes = [rows, prod(node.aval.shape) // rows if rows else 0]
    planner.command(Philox(), [key, target], sizes, [key], [target], "random_bits")
    return True
