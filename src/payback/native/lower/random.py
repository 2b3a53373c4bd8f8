"""Random bits and keys: Philox 4x32-10, the words of `ops.philox`, a vector of counters at a time."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT, INT32, Emitter, constant, lanes_of
from payback.native.lower.kernel import Arguments
from payback.native.lower.pointwise import code_of
from payback.ops.philox import FOLDED, MULTIPLIERS, ROUNDS, WEYL


def _words(e: Emitter, c: list[ir.Value], k0: ir.Value, k1: ir.Value) -> list[ir.Value]:
    """The four words of a counter of four and a key, or of a vector of counters; 32 bits each, held in 64."""
    b, low, half = e.b, constant(k0.type, 0xFFFFFFFF), constant(k0.type, 32)
    for _ in range(ROUNDS):
        p0, p1 = (b.mul(x, constant(x.type, int(y))) for x, y in zip((c[0], c[2]), MULTIPLIERS, strict=True))
        c = [
            b.xor(b.xor(b.lshr(p1, half), c[1]), k0), b.and_(p1, low),
            b.xor(b.xor(b.lshr(p0, half), c[3]), k1), b.and_(p0, low),
        ]  # fmt: skip
        k0, k1 = (b.and_(b.add(k, constant(k.type, int(y))), low) for k, y in zip((k0, k1), WEYL, strict=True))
    return c


def _key(e: Emitter, keys: ir.Value, row: ir.Value) -> list[ir.Value]:
    key = e.at(keys, e.b.mul(row, e.int(2)), INT32)
    return [e.b.zext(e.load(key, k, INT32), INT) for k in range(2)]


def _halves(e: Emitter, number: ir.Value) -> list[ir.Value]:
    return [e.b.and_(number, constant(number.type, 0xFFFFFFFF)), e.b.lshr(number, constant(number.type, 32))]


class Philox(NamedTuple):
    """args: the keys, the words, how many keys there are and how many words each of them makes."""

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        keys, every, rows, count = args.pointer(), args.pointer(), args.int(), args.int()
        lanes = lanes_of(INT)
        zeros, steps = _vector(INT, [0] * lanes), _vector(INT, range(lanes))
        with e.loop(0, rows) as row:
            words, key = e.at(every, b.mul(row, count), INT32), _key(e, keys, row)
            done = b.and_(count, e.int(-4 * lanes))
            with e.loop(0, done, 4 * lanes) as i:
                number = b.add(e.splat(b.lshr(i, e.int(2)), lanes), steps)
                made = _words(e, [*_halves(e, number), zeros, zeros], *(e.splat(k, lanes) for k in key))
                e.store(_in_turns(e, [b.trunc(word, ir.VectorType(INT32, lanes)) for word in made]), words, i)
            with e.loop(done, count, 4) as i:
                counter = [*_halves(e, b.lshr(i, e.int(2))), e.int(0), e.int(0)]
                for k, word in enumerate(_words(e, counter, *key)):
                    at = b.add(i, e.int(k))
                    with b.if_then(b.icmp_signed("<", at, count)):
                        e.store(b.trunc(word, INT32), words, at)
        b.ret(e.int(0))


def _vector(kind: ir.Type, numbers: Iterable[int]) -> ir.Constant:
    values = list(numbers)
    return ir.Constant(ir.VectorType(kind, len(values)), [kind(value) for value in values])


def _in_turns(e: Emitter, vectors: list[ir.Value]) -> ir.Value:
    """The first lanes of four vectors, then their second ones, and so on."""
    lanes = vectors[0].type.count
    pairs = [
        e.b.shuffle_vector(a, c, _vector(INT32, [k + lanes * turn for k in range(lanes) for turn in range(2)]))
        for a, c in (vectors[:2], vectors[2:])
    ]
    order = [2 * k + turn + 2 * lanes * pair for k in range(lanes) for pair in range(2) for turn in range(2)]
    return e.b.shuffle_vector(*pairs, _vector(INT32, order))


class FoldIn(NamedTuple):
    """args: the keys, the numbers, the new keys, how many there are, how far apart the numbers lie."""

    code: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        keys, numbers, made = (args.pointer() for _ in range(3))
        rows, stride = args.ints(2)
        kind = ir.IntType(8 * int(self.code[1:]))
        with e.loop(0, rows) as row:
            number = e.load(numbers, b.mul(row, stride), kind)
            if kind != INT:
                number = b.sext(number, INT) if self.code[0] == "i" else b.zext(number, INT)
            counter = [*_halves(e, number), e.int(0), e.int(FOLDED)]
            target = e.at(made, b.mul(row, e.int(2)), INT32)
            for k, word in enumerate(_words(e, counter, *_key(e, keys, row))[:2]):
                e.store(b.trunc(word, INT32), target, k)
        b.ret(e.int(0))


def lower_fold_in(planner: Any, node: Node) -> bool:
    key, number = node.args
    code, rows = code_of(number.aval.dtype), prod(key.shape[:-1])
    if code[0] not in "iu" or prod(number.shape) not in (1, rows):
        return False
    given = [planner.view(arg) for arg in node.args]
    given = [
        view if view.whole or (arg is number and not number.shape) else planner.copy(view, arg.aval.dtype)
        for view, arg in zip(given, node.args, strict=True)
    ]
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    sizes = [rows, int(prod(number.shape) == rows != 1)]
    planner.command(FoldIn(code), [*given, target], sizes, given, [target], "fold_in")
    return True


def lower_random_bits(planner: Any, node: Node) -> bool:
    key = planner.view(node.args[0])
    if not key.whole:
        key = planner.copy(key, node.args[0].aval.dtype)
    target = planner.allocate(node, node.aval.dtype, node.aval.shape)
    rows = prod(node.args[0].shape[:-1])
    sizes = [rows, prod(node.aval.shape) // rows if rows else 0]
    planner.command(Philox(), [key, target], sizes, [key], [target], "random_bits")
    return True
