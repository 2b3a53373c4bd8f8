"""The kernels of this process: each is compiled once, whichever programs use it, and stays."""

from __future__ import annotations

import ctypes
import hashlib
import threading
import time
from collections.abc import Iterable
from typing import Any

from llvmlite import ir

from payback.native import cache
from payback.native.emit import BYTE, INT, POINTER, Compiled, Emitter, Loaded
from payback.native.lower.kernel import SIGNATURE

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
            with e.loop(0, moves) as k:
                at = b.mul(k, e.int(2))
                base, step = e.load(advances, at, INT), e.load(advances, b.add(at, e.int(1)), INT)
                pointer = e.load(bases, base, POINTER)
                e.b.store(e.at(pointer, step, BYTE), e.at(bases, base, POINTER))
        b.ret(e.int(0))


DRIVER = Driver()


def get(keys: Iterable[Any]) -> dict[Any, int]:
    """The addresses of these kernels; those that are new are compiled together."""
    keys = list(dict.fromkeys(keys))
    with _lock:
        new = [key for key in keys if key not in _addresses]
        if new:
            _compile(new)
        return {key: _addresses[key] for key in keys}


def module_of(keys: Iterable[Any]) -> ir.Module:
    """The kernels as LLVM IR."""
    module = ir.Module("payback")
    for key in keys:
        function = ir.Function(module, SIGNATURE, symbol(key))
        key.emit(Emitter(module, ir.IRBuilder(function.append_basic_block("entry"))), function)
    return module


def _compile(keys: list[Any]) -> None:
    begun = time.perf_counter()
    symbols = {symbol(key): key for key in keys}
    name = cache.name_of(sorted(symbols))
    stored = cache.load(name)
    loaded = None if stored is None else Loaded(stored)
    if loaded is None or not all(loaded.address(found) for found in symbols):
        module = module_of([symbols[found] for found in sorted(symbols)])
        seconds["emit"] += time.perf_counter() - begun
        begun = time.perf_counter()
        loaded = Compiled(module)
        if loaded.code is not None:
            cache.save(name, loaded.code)
    _kept.append(loaded)
    for found, key in symbols.items():
        _addresses[key] = loaded.address(found)
    seconds["compile"] += time.perf_counter() - begun


PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
