"""The kernels of this process: each is compiled once, whichever programs use it, and stays."""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from llvmlite import ir

from payback.native import cache
from payback.native.emit import BYTE, INT, POINTER, Compiled, Emitter, Loaded
from payback.native.lower import elementary
from payback.native.lower.kernel import SIGNATURE
from payback.native.threads import emit_barrier

_lock = threading.Lock()
_addresses: dict[Any, int] = {}
_kept: list[Any] = []  # engines: their code lives as long as they do
seconds = {"emit": 0.0, "compile": 0.0}


def symbol(key: Any) -> str:
    """A kernel's name: its kind and a digest of all that it depends on."""
    digest = hashlib.sha256(repr((type(key).__name__, tuple(key))).encode()).hexdigest()[:20]
    return f"{type(key).__name__.lower()}_{digest}"


class Driver(tuple):
    """Runs a table of (kernel, its args): the native part of a program, once or many times over."""

    __slots__ = ()

    def emit(self, e: Emitter, function: ir.Function) -> None:
        """bases: pointers; args: [table, commands, rounds, advances, their number].

        Returns 0, or 1 + the number of commands that were run before one said stop.  After every round each
        (base, step) of `advances` moves a base pointer by so many bytes.
        """
        b, (bases, args) = e.b, function.args
        table, advances = (b.inttoptr(e.load(args, k, INT), POINTER) for k in (0, 3))
        count, rounds, moves = (e.load(args, k, INT) for k in (1, 2, 4))
        with e.loop(0, rounds) as turn:
            with e.loop(0, count) as i:
                at = b.mul(i, e.int(2))
                kernel = b.inttoptr(e.load(table, at, INT), ir.PointerType(SIGNATURE))
                own = b.inttoptr(e.load(table, b.add(at, e.int(1)), INT), POINTER)
                status = b.call(kernel, [bases, own])
                with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                    b.ret(b.add(b.add(b.mul(turn, count), i), e.int(1)))
            _advance(e, bases, advances, moves)
        b.ret(e.int(0))


class TeamDriver(tuple):
    """Runs a table in several threads: what is shared by all of them, the rest by the first.

    argument: [bases of the first thread, bytes from one thread's to the next's, table, flags, commands, rounds,
    advances, their number, state of the barrier, status].  A flag's bit 0: all threads run the command; bit 1: they
    wait for each other before it.  The status is as the driver's.
    """

    __slots__ = ()
    signature = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT])

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b, (argument, thread, threads) = e.b, function.args
        word = [e.load(argument, k, INT) for k in range(9)]
        bases = b.inttoptr(b.add(word[0], b.mul(thread, word[1])), POINTER)
        table, flags, advances, barrier = (b.inttoptr(word[k], POINTER) for k in (2, 3, 6, 8))
        count, rounds, moves = word[4], word[5], word[7]

        def meet() -> None:
            emit_barrier(e, barrier, threads)
            with b.if_then(b.icmp_signed("!=", e.load(argument, 9, INT), e.int(0)), likely=False):
                b.ret_void()

        with e.loop(0, rounds) as turn:
            with e.loop(0, count) as i:
                at, flag = b.mul(i, e.int(2)), e.load(flags, i, INT)
                with b.if_then(b.icmp_signed("!=", b.and_(flag, e.int(2)), e.int(0))):
                    meet()
                mine = b.or_(
                    b.icmp_signed("==", thread, e.int(0)), b.icmp_signed("!=", b.and_(flag, e.int(1)), e.int(0))
                )
                with b.if_then(mine):
                    kernel = b.inttoptr(e.load(table, at, INT), ir.PointerType(SIGNATURE))
                    status = b.call(kernel, [bases, b.inttoptr(e.load(table, b.add(at, e.int(1)), INT), POINTER)])
                    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                        e.store(b.add(b.add(b.mul(turn, count), i), e.int(1)), argument, 9)
                        emit_barrier(e, barrier, threads)
                        b.ret_void()
            meet()
            _advance(e, bases, advances, moves)
        b.ret_void()


def _advance(e: Emitter, bases: ir.Value, advances: ir.Value, moves: ir.Value) -> None:
    """Move base pointers on to the next round."""
    b = e.b
    with e.loop(0, moves) as k:
        at = b.mul(k, e.int(2))
        base, step = e.load(advances, at, INT), e.load(advances, b.add(at, e.int(1)), INT)
        pointer = e.load(bases, base, POINTER)
        b.store(e.at(pointer, step, BYTE), e.at(bases, base, POINTER))


DRIVER, TEAM = Driver(), TeamDriver()


def get(keys: Iterable[Any]) -> Callable[[Any], int]:
    """Where these kernels are, as a function of the key; those that are new are compiled together."""
    wanted = {(type(key), key): key for key in keys}  # tuples of two types may be equal
    with _lock:
        new = [key for typed, key in wanted.items() if typed not in _addresses]
        if new:
            _compile(new)
        found = {typed: _addresses[typed] for typed in wanted}
    return lambda key: found[type(key), key]


def module_of(keys: Iterable[Any]) -> ir.Module:
    """The kernels as LLVM IR."""
    module = ir.Module("payback")
    for key in keys:
        function = ir.Function(module, getattr(key, "signature", SIGNATURE), symbol(key))
        key.emit(Emitter(module, ir.IRBuilder(function.append_basic_block("entry"))), function)
    return module


def _compile(keys: list[Any]) -> None:
    begun = time.perf_counter()
    for key in keys:
        elementary.link(key)
    symbols = {symbol(key): key for key in keys}
    name = cache.name_of(sorted(symbols))
    stored = cache.load(name)
    loaded = None if stored is None else Loaded(stored)
    if loaded is None or not all(loaded.address(found) for found in symbols):
        module = module_of([symbols[found] for found in sorted(symbols)])
        seconds["emit"] += time.perf_counter() - begun
        begun = time.perf_counter()
        loaded = Compiled(module)
        cache.save(name, loaded.code)
    _kept.append(loaded)
    for found, key in symbols.items():
        _addresses[type(key), key] = loaded.address(found)
    seconds["compile"] += time.perf_counter() - begun


PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
