"""Calling a program within a microsecond: its arguments are looked at in native code, which CPython calls as its own
(by ctypes a call takes 0.3 µs longer).

Where CPython and NumPy keep an array's data, shape and dtype is found by looking at known objects (the layout of
PyArrayObject is part of NumPy's ABI; a tuple's has changed between versions of Python).  Where something does not look
as expected there is no fast way, and the caller takes the long one.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Collection, Mapping
from functools import cache
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from payback.native import ir
from payback.native.codegen import library
from payback.native.codegen.emit import BYTE, INT, INT32, POINTER, Emitter
from payback.native.lower.kernel import SIGNATURE
from payback.native.running.table import address

_empty = np.empty
_FASTCALL = 0x0080  # of a PyMethodDef: called with an array of arguments
_OF_PYTHON = ("PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef")
CONTIGUOUS_ALIGNED = 0x0001 | 0x0100
TELLING = ~(0xFF << 24)  # of a word of a dtype, all but its flags


class Places(NamedTuple):
    """Offsets in bytes: of a tuple's items, of a float's value, of an array's data, of an object's type, and of what
    tells dtypes apart."""

    items: int
    value: int
    data: int
    type: int
    kind: int


def _words(thing: Any, size: int) -> list[int]:
    return list((ctypes.c_int64 * (size // 8)).from_address(id(thing)))


@cache
def places() -> Places | None:
    """The layout of this process's objects, or None where it is not the one that we know."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    if getattr(sys, "_is_gil_enabled", lambda: True)() is False:
        return None
    array, number = np.zeros((2, 3, 5), np.float32), 1.9375
    pair = (array, number)
    words = _words(array, np.ndarray.__basicsize__)
    if array.ctypes.data not in words or id(type(array)) not in words:
        return None
    data = words.index(array.ctypes.data)
    nd, shape, descr, flags = words[data + 1] & 0xFFFFFFFF, words[data + 2], words[data + 5], words[data + 6]
    if nd != 3 or descr != id(array.dtype) or flags & 0xFFFFFFFF != array.flags.num:
        return None
    if tuple((ctypes.c_int64 * 3).from_address(shape)) != array.shape:
        return None
    bits = int(np.float64(number).view(np.int64))
    floats, items = _words(number, float.__basicsize__), _words(pair, tuple.__basicsize__ + 16)
    if bits not in floats or id(array) not in items or items[items.index(id(array)) + 1] != id(number):
        return None
    kind = words.index(id(type(array)))
    if floats[kind] != id(float):
        return None
    single = np.float32(number)  # NumPy's numbers lie as Python's do
    words = _words(single, floats.index(bits) * 8 + 8)
    if words[kind] != id(np.float32) or words[floats.index(bits)] & 0xFFFFFFFF != int(single.view(np.int32)):
        return None
    scalar = _words(array.dtype, np.dtype.__basicsize__).index(id(np.float32))
    found = Places(8 * items.index(id(array)), 8 * floats.index(bits), 8 * data, 8 * kind, 8 * scalar + 8)
    known = [np.dtype(each) for each in ("f4", "f8", "i4", "?", ">f4")]
    if [_told(each, found) for each in known] != [_written(each) for each in known]:
        return None
    return found


def _told(dtype: np.dtype[Any], places: Places) -> int:
    """The word of a dtype that holds its kind, character, byte order and number; many objects have the same."""
    return ctypes.c_int64.from_address(id(dtype) + places.kind).value & TELLING


def _written(dtype: np.dtype[Any]) -> int:
    """What that word should be."""
    order = "|" if dtype.itemsize == 1 else dtype.byteorder
    return int.from_bytes(f"{dtype.kind}{dtype.char}{order}\0".encode() + dtype.num.to_bytes(4, "little"), "little")


class Enter(NamedTuple):
    """Checks the arguments, puts their pointers and those of the results among the bases, and runs the table, without
    the GIL.

    Its arguments: a tuple of the program's, a tuple of the arrays for its results, and an array of words: [addresses of
    _OF_PYTHON, bases, driver job, inputs, outputs, then for each input its base, type, dtype (0: a number, Python's or
    NumPy's), rank, extents…, then the base of each output].
    Returns the results; the words, where an argument is of another kind or the driver was stopped.
    """

    places: Places
    signature = ir.FunctionType(POINTER, [POINTER, POINTER, INT])

    def emit(self, e: Emitter, function: ir.Function) -> None:
        b, (_, three, _), at = e.b, function.args, self.places
        word = self._word
        given, results, words = (e.load(three, k, POINTER) for k in range(3))
        args = e.load(e.at(words, at.data, BYTE), 0, POINTER)
        bases = b.inttoptr(word(e, args, 3), POINTER)
        job, inputs, outputs = (word(e, args, k) for k in (4, 5, 6))
        cursor = b.alloca(INT)
        b.store(e.int(7), cursor)

        def of_python(k: int, result: ir.Type, arguments: list[ir.Value]) -> ir.Value:
            kind = ir.FunctionType(result, [POINTER] * len(arguments))
            return b.call(b.inttoptr(word(e, args, k), ir.PointerType(kind)), arguments)

        def answer(thing: ir.Value) -> None:
            of_python(2, ir.VoidType(), [thing])
            b.ret(thing)

        def following() -> ir.Value:
            position = b.load(cursor, typ=INT)
            b.store(b.add(position, e.int(1)), cursor)
            return word(e, args, position)

        def refuse(wrong: ir.Value) -> None:
            with b.if_then(wrong, likely=False):
                answer(words)

        with e.loop(0, inputs) as i:
            thing = e.load(e.at(given, at.items, BYTE), i, POINTER)
            base, kind, dtype, rank = (following() for _ in range(4))
            refuse(b.icmp_signed("!=", word(e, e.at(thing, at.type, BYTE), 0), kind))
            with b.if_else(b.icmp_signed("==", dtype, e.int(0))) as (number, array):
                with number:
                    e.b.store(e.at(thing, at.value, BYTE), e.at(bases, base, POINTER))
                with array:
                    fields = e.at(thing, at.data, BYTE)
                    told = e.at(b.inttoptr(word(e, fields, 5), POINTER), at.kind, BYTE)
                    refuse(b.icmp_signed("!=", b.and_(word(e, told, 0), e.int(TELLING)), dtype))
                    nd = b.sext(e.load(fields, 2, INT32), INT)
                    refuse(b.icmp_signed("!=", nd, rank))
                    flags = b.and_(e.load(fields, 12, INT32), ir.Constant(INT32, CONTIGUOUS_ALIGNED))
                    refuse(b.icmp_signed("!=", flags, ir.Constant(INT32, CONTIGUOUS_ALIGNED)))
                    shape = e.load(fields, 2, POINTER)
                    with e.loop(0, rank) as axis:
                        refuse(b.icmp_signed("!=", word(e, shape, axis), following()))
                    e.b.store(e.load(fields, 0, POINTER), e.at(bases, base, POINTER))
        with e.loop(0, outputs) as i:
            thing = e.load(e.at(results, at.items, BYTE), i, POINTER)
            e.b.store(e.load(e.at(thing, at.data, BYTE), 0, POINTER), e.at(bases, following(), POINTER))
        driver = e.module.globals.get("driver_here") or ir.Function(e.module, SIGNATURE, "driver_here")
        if not driver.blocks:
            driver.linkage = "internal"
            library.DRIVER.emit(Emitter(e.module, ir.IRBuilder(driver.append_basic_block("entry"))), driver)
        thread = of_python(0, POINTER, [])
        status = b.call(driver, [bases, b.inttoptr(job, POINTER)])
        of_python(1, ir.VoidType(), [thread])
        refuse(b.icmp_signed("!=", status, e.int(0)))
        answer(results)

    @staticmethod
    def _word(e: Emitter, pointer: ir.Value, k: Any) -> ir.Value:
        return e.load(pointer, k, INT)


class _Method(ctypes.Structure):
    """A PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@cache
def _function(address: int) -> Callable[..., Any]:
    """The native function there, as one of CPython's."""
    method = _Method(b"enter", address, _FASTCALL, None)
    _methods.append(method)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    made: Callable[..., Any] = make(ctypes.addressof(method), None, None)
    return made


_methods: list[_Method] = []  # their functions read them as long as they are


def kernels() -> list[Any]:
    """What a fast way into a program consists of."""
    layout = places()
    return [] if layout is None else [Enter(layout)]


class Entry:
    """The fast way into a program; `entry(args)` is the list of its results, or None where it cannot take them."""

    def __init__(self, program: Any, without_axes: Collection[int] = (), donated: Mapping[int, int] | None = None):
        """without_axes: which inputs that have no axes are arrays all the same; donated: output -> input whose array
        it is written into."""
        (enter,) = kernels()
        self.program = program
        self._segment = segment = program.segment
        self._pace = None if segment is None else segment.pace
        # whether that is all; else the call puts pointers in their places, and parts are run after it
        self._whole = segment is not None and (segment.threads == 1 or self._pace is not None)
        self._call = _function(library.get([enter])(enter))
        outputs = list(zip(program.graph.outputs, program.outputs, strict=True))
        self._shapes = [(view.shape, view.buffer.dtype) for _, view in outputs if view.shape]
        self._scalars = [view for _, view in outputs if not view.shape]
        self._floats = all(view.buffer.dtype == np.float64 for view in self._scalars)
        self._arrays_only = not self._scalars
        self._weak = [node.aval.weak for node, view in outputs if not view.shape]
        self._strong = [k for k, weak in enumerate(self._weak) if not weak]
        self._where = [k for k, (_, view) in enumerate(outputs) if view.shape]
        # by the number among the results that are arrays
        self._into = {self._where.index(k): number for k, number in (donated or {}).items()}
        self._one = self._shapes[0] if len(self._shapes) == 1 and not self._into else None
        # a value of NumPy's and then arrays: what a value and its gradient are
        self._value_first = self._weak == [False] and 0 not in self._where
        kinds: list[int] = []
        layout = places()
        assert layout is not None
        for k, node in enumerate(program.graph.inputs):
            aval = node.aval
            if not aval.shape and k not in without_axes:
                kinds += [k + 1, id(float if aval.weak else aval.dtype.type), 0, 0]
            else:
                told = _told(np.dtype(aval.dtype.char), layout)
                kinds += [k + 1, id(np.ndarray), told, len(aval.shape), *aval.shape]
        self._bases = [view.buffer.base for _, view in outputs if view.shape]
        nothing = np.zeros(5, np.int64)  # a job of no commands: only addresses are written
        self._nothing = nothing, address(nothing)
        job = segment.address if self._whole else self._nothing[1]
        python = [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value for name in _OF_PYTHON]
        self._words = [*python, 0, job, len(program.graph.inputs), len(self._bases), *kinds, *self._bases]
        self._pool: list[Any] = []
        self.count = len(program.graph.inputs)

    def _state(self) -> Any:
        """Memory for a call: results that are numbers have their places there too."""
        memory = self.program.memory()
        bases = memory.bases
        numbers = [np.empty(1, view.buffer.dtype) for view in self._scalars]
        if self._floats:
            together = np.empty(len(self._scalars))
            numbers = [together[k:] for k in range(len(self._scalars))]
        places: list[Any] = [None] * self.program.bases
        for view, number in zip(self._scalars, numbers, strict=True):
            bases[view.buffer.base] = address(number)
            places[view.buffer.base] = number[:1].reshape(())
        words = np.array(self._words, np.int64)
        words[3] = memory.address
        given = words.copy()
        given[4] = self._nothing[1]
        return words, together if self._floats else numbers, memory, given, places

    def __call__(self, args: tuple[Any, ...]) -> list[Any] | None:
        if len(args) != self.count:
            return None
        try:
            state = self._pool.pop()
        except IndexError:
            state = self._state()
        made: tuple[Any, ...] | None
        if self._one is not None:  # one array, as gradients often are
            made = (_empty(*self._one),)
        else:
            made = self._donated(args) if self._into else tuple([_empty(*each) for each in self._shapes])
            if made is None:
                self._pool.append(state)
                return None
        if self._pace is not None:
            good = self._paced(args, made, state)
        else:
            good = self._call(args, made, state[0]) is made and (self._whole or self._in_parts(args, made, state))
        if not good:
            return None
        if self._arrays_only:
            self._pool.append(state)
            return list(made)
        numbers = state[1]
        if self._value_first:
            found = [(numbers if self._floats else numbers[0])[0], *made]
            self._pool.append(state)
            return found
        if self._floats:
            found = numbers.tolist()
            for k in self._strong:  # NumPy's scalars, not Python's numbers
                found[k] = numbers[k]
        else:
            found = [number[0].item() if weak else number[0] for number, weak in zip(numbers, self._weak, strict=True)]
        self._pool.append(state)
        for k, array in zip(self._where, made, strict=True):
            found.insert(k, array)
        return found

    def _donated(self, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Arrays for the results, those that are given up among them; None where one of these cannot be written into,
        or another argument may show its memory."""
        offered = set(self._into.values())
        owners = {id(args[number]) for number in offered}
        if len(owners) < len(offered):
            return None
        for number, x in enumerate(args):
            if type(x) is not np.ndarray:
                continue
            flags, base = x.flags, x.base
            if id(x) in owners:
                if number not in offered or not (flags.owndata and flags.writeable):
                    return None
            elif not flags.owndata:
                while type(base) is np.ndarray and base.base is not None:
                    base = base.base
                if type(base) is not np.ndarray or id(base) in owners:
                    return None
        return tuple([args[self._into[k]] if k in self._into else _empty(*each) for k, each in enumerate(self._shapes)])

    def _paced(self, args: tuple[Any, ...], made: tuple[Any, ...], state: Any) -> bool:
        """Run by one thread or by several, whichever is quicker; whether all is well."""
        shared, _ = self._pace.next(1)
        begun = perf_counter()
        good = self._call(args, made, state[3] if shared else state[0]) is made
        if good and shared:
            good = not self._segment.shared(state[2].bases)
        if good:
            self._pace.learn(shared, 1, perf_counter() - begun)
        return good

    def _in_parts(self, args: tuple[Any, ...], made: tuple[Any, ...], state: Any) -> bool:
        """Pieces of machine code with rows on NumPy between them, or a piece that several threads always share."""
        _, _, memory, _, places = state
        places[1 : 1 + self.count] = args
        for base, array in zip(self._bases, made, strict=True):
            places[base] = array
        return not self.program.run(memory, places)


def entry(
    program: Any, without_axes: Collection[int] = (), donated: Mapping[int, int] | None = None
) -> Callable[[tuple[Any, ...]], list[Any] | None] | None:
    """The fast way into a program, where there is one; the others as of `Entry`."""
    if hasattr(program, "replayed"):  # a tape
        distinct = len(set(program.parts)) == len(program.parts)  # no result is another
        return program.quickly if distinct and not donated else None
    if places() is None:
        return None
    inputs, outputs = ([node.aval for node in nodes] for nodes in (program.graph.inputs, program.graph.outputs))
    if any(aval.weak and aval.dtype.kind != "f" for aval in (*inputs, *outputs)):
        return None
    if any(not aval.weak and not aval.dtype.isnative for aval in inputs):  # numbers in the other byte order
        return None
    return Entry(program, without_axes, donated)
