"""The kernels of this process: each is compiled once, whichever programs use it, and stays."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm

from payback.ir.forks import whole_in_children
from payback.native import ir
from payback.native.codegen import cache
from payback.native.codegen.assemble import assemble
from payback.native.codegen.clock import emit_now
from payback.native.codegen.emit import BYTE, INT, POINTER, Emitter, Loaded
from payback.native.codegen.split import parts
from payback.native.lower import elementary
from payback.native.lower.kernel import SIGNATURE, symbol
from payback.native.running import cores
from payback.native.running.threads import emit_barrier

_lock = whole_in_children(threading.RLock())  # LLVM's own locks are held under it
_addresses: dict[Any, int] = {}
_named: dict[str, int] = {}  # the same by symbol
_homes: dict[str, tuple[str, ...]] = {}  # symbol -> the entries of the cache that it was found in
_kept: list[Any] = []  # engines: their code lives as long as they do
seconds = {"emit": 0.0, "load": 0.0, "compile": 0.0}  # writing IR; reading, linking, keeping; all of it
UNIT = 8  # kernels in one module
PART = 50_000  # characters of a module that is compiled in one piece, or a little more


class Driver(tuple):
    """Runs a table of (kernel, its args): the native part of a program, once or many times over.

    Empty, or ("timed",): this one adds up the ticks that each command takes, at the address in the next arg.
    """

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
                begun = emit_now(e) if self else None
                status = b.call(kernel, [bases, own])
                if self:
                    _count(e, b.inttoptr(e.load(args, 5, INT), POINTER), i, begun)
                with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                    b.ret(b.add(b.add(b.mul(turn, count), i), e.int(1)))
            _advance(e, bases, advances, moves)
        b.ret(e.int(0))


class TeamDriver(tuple):
    """Runs a table in several threads: what is shared by all of them, the rest by its owner.

    argument: [bases of the first thread, bytes from one thread's to the next's, table, flags, commands, rounds,
    advances, their number, state of the barrier, status].  A flag's bit 0: all threads run the command; bit 1: they
    wait for each other before it; the rest: which thread runs it, if not all.  The status is as the driver's.
    ("timed",) adds up ticks at the address in the next word, a row for each thread.
    """

    __slots__ = ()
    signature = ir.FunctionType(ir.VoidType(), [POINTER, INT, INT])

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b, (argument, thread, threads) = e.b, function.args
        word = [e.load(argument, k, INT) for k in range(9)]
        bases = b.inttoptr(b.add(word[0], b.mul(thread, word[1])), POINTER)
        e.store(threads, bases, -1)  # there may be one, where more were asked for
        table, flags, advances, barrier = (b.inttoptr(word[k], POINTER) for k in (2, 3, 6, 8))
        count, rounds, moves = word[4], word[5], word[7]

        status_at = e.at(argument, 9, INT)

        def meet(run: ir.Value) -> None:
            """Wait; return if one of so many commands said stop.  A later one may have said so too, to a thread that
            was quicker: it waits for this one where that is known to all."""
            emit_barrier(e, barrier, threads)
            status = b.load_atomic(status_at, "monotonic", 8, typ=INT)
            stop = b.and_(b.icmp_signed("!=", status, e.int(0)), b.icmp_signed("<=", status, run))
            with b.if_then(stop, likely=False):
                b.ret_void()

        with e.loop(0, rounds) as turn:
            before = b.mul(turn, count)
            with e.loop(0, count) as i:
                at, flag = b.mul(i, e.int(2)), e.load(flags, i, INT)
                with b.if_then(b.icmp_signed("!=", b.and_(flag, e.int(2)), e.int(0))):
                    meet(b.add(before, i))
                everyone = b.icmp_signed("!=", b.and_(flag, e.int(1)), e.int(0))
                owner = b.select(b.icmp_signed("==", threads, e.int(1)), thread, b.lshr(flag, e.int(2)))
                mine = b.or_(b.icmp_signed("==", thread, owner), everyone)
                with b.if_then(mine):
                    kernel = b.inttoptr(e.load(table, at, INT), ir.PointerType(SIGNATURE))
                    begun = emit_now(e) if self else None
                    status = b.call(kernel, [bases, b.inttoptr(e.load(table, b.add(at, e.int(1)), INT), POINTER)])
                    if self:
                        _count(e, b.inttoptr(e.load(argument, 10, INT), POINTER), b.add(b.mul(thread, count), i), begun)
                    with b.if_then(b.icmp_signed("!=", status, e.int(0)), likely=False):
                        b.atomic_rmw("xchg", status_at, b.add(b.add(before, i), e.int(1)), "monotonic")
                        emit_barrier(e, barrier, threads)
                        b.ret_void()
            meet(b.add(before, count))
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


def _count(e: Emitter, ticks: ir.Value, at: ir.Value, begun: ir.Value) -> None:
    e.store(e.b.add(e.load(ticks, at, INT), e.b.sub(emit_now(e), begun)), ticks, at)


DRIVER, TEAM = Driver(), TeamDriver()
TIMED = Driver(("timed",)), TeamDriver(("timed",))


def get(keys: Iterable[Any]) -> Callable[[Any], int]:
    """Where these kernels are, as a function of the key; those that are new are compiled together."""
    objects = {id(key): key for key in keys}  # many commands have one kernel; to look at all of it takes long
    wanted = {(type(key), key): key for key in objects.values()}  # tuples of two types may be equal
    with _lock:
        new = [key for typed, key in wanted.items() if typed not in _addresses]
        if new:
            _compile(new)
        found = {typed: _addresses[typed] for typed in wanted}
    addresses = {number: found[type(key), key] for number, key in objects.items()}

    def address(key: Any) -> int:
        there = addresses.get(id(key)) if objects.get(id(key)) is key else None
        return found[type(key), key] if there is None else there

    return address


def entries_of(symbols: Iterable[str]) -> list[str] | None:
    """The entries of the cache that hold these kernels; None where one of them is in none."""
    homes = [_homes.get(name) for name in symbols]
    return list(dict.fromkeys(entry for home in homes if home for entry in home)) if all(homes) else None


def get_named(symbols: Sequence[str], entries: Sequence[str]) -> dict[str, int] | None:
    """Where kernels of these names are, which these entries of the cache hold; None if one cannot be had so."""
    with _lock:
        missing = [name for name in symbols if name not in _named]
        if missing:
            begun = time.perf_counter()
            codes = [cache.load(entry) for entry in entries]
            if any(code is None for code in codes):
                return None
            loaded = Loaded(*[code for code in codes if code is not None])
            _kept.append(loaded)
            for name in missing:
                at = loaded.address(name)
                if at:
                    _named[name], _homes[name] = at, tuple(entries)
            seconds["load"] += time.perf_counter() - begun
            seconds["compile"] += time.perf_counter() - begun
        found = {name: _named.get(name, 0) for name in symbols}
    return found if all(found.values()) else None


def module_of(keys: Iterable[Any]) -> ir.Module:
    """The kernels as LLVM IR."""
    module = ir.Module("payback")
    for key in keys:
        function = ir.Function(module, getattr(key, "signature", SIGNATURE), symbol(key))
        key.emit(Emitter(module, ir.IRBuilder(function.append_basic_block("entry"))), function)
    return module


def _compile(keys: list[Any]) -> None:
    """Kernels from the disk, and those that are not there from LLVM, as objects of several kernels each."""
    begun = time.perf_counter()
    symbols: dict[str, Any] = {}
    for key in keys:
        name = symbol(key)
        if name in _named:
            _addresses[type(key), key] = _named[name]
        else:
            elementary.link(key)
            symbols[name] = key
    if not symbols:
        return
    stored = cache.objects_of(list(symbols))
    missing = dict(symbols)
    if stored:
        entries = tuple(entry for line in stored for entry in line.split())
        for name in _keep(Loaded(*[code for codes in stored.values() for code in codes]), symbols):
            del missing[name]
            _homes[name] = entries
    seconds["load"] += time.perf_counter() - begun
    if missing:
        homes: dict[str, tuple[str, ...]] = {}
        codes = assemble(_texts(missing, homes), cores.threads())
        begun_linking = time.perf_counter()
        made = dict(zip(dict.fromkeys(entry for home in homes.values() for entry in home), codes, strict=True))
        cache.keep_objects(made, homes, list(symbols), list(stored))
        _homes.update(homes)
        _keep(Loaded(*codes), missing)
        seconds["load"] += time.perf_counter() - begun_linking
    seconds["compile"] += time.perf_counter() - begun


def _keep(loaded: Loaded, symbols: dict[str, Any]) -> list[str]:
    """Remember where kernels are; returns the names of those that are there."""
    _kept.append(loaded)
    found = {name: address for name in symbols if (address := loaded.address(name))}
    for name, address in found.items():
        key = symbols[name]
        _addresses[type(key), key] = _named[name] = address
    return list(found)


def _units(symbols: dict[str, Any]) -> list[list[str]]:
    """Kernels that become one module: those that share functions, and not so many that others would have to wait.

    Small ones come first, so that other threads need not wait for the first text either, then the largest.
    """
    families: dict[str, list[str]] = {}
    for name in sorted(symbols):
        key = symbols[name]
        # what calls SciPy stands alone: others that ask for this object would have to import it
        family = f"SciPy {name}" if elementary.calls_scipy(key) else getattr(key, "family", "")
        families.setdefault(family, []).append(name)
    small = families.pop("", [])
    parts = -(-len(small) // UNIT)
    units = [small[k::parts] for k in range(parts)]
    return [*units[:1], *(families[family] for family in sorted(families)), *units[1:]]


def _texts(symbols: dict[str, Any], homes: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """The objects to be made, as LLVM IR; `homes` is told which entries of the cache will hold a kernel."""
    for unit in _units(symbols):
        begun = time.perf_counter()
        texts = parts(_for_here([symbols[name] for name in unit]), PART)
        entries = tuple(cache.name_of([*unit, str(number)]) for number in range(len(texts)))
        homes.update(dict.fromkeys(unit, entries))
        seconds["emit"] += time.perf_counter() - begun
        yield from texts


def _for_here(keys: Iterable[Any]) -> ir.Module:
    """The kernels as LLVM IR for this process's kind of machine."""
    module = module_of(keys)
    module.triple = llvm.get_process_triple()
    return module


PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
