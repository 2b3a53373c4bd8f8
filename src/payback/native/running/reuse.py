"""Loops that are planned once: a second training of the same step finds what the first one had planned, in this process
or on the disk.  Programs are found on the disk.

What is compared is the traced graph: everything that the step computes, its constants to the bit.  So a changed
network, loss or optimizer is another step, whatever it is called.  Where the step consists of payback's own parts alone
(see `train.told`), what it is made of is compared instead, and it is not even traced.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from payback.ir.collector import uncollected
from payback.ir.forks import free_in_children
from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.native.codegen import cache, library
from payback.native.running import cores
from payback.native.running.loop import Loop
from payback.native.running.program import Program
from payback.native.running.stored import keep, keep_program, kept, kept_program
from payback.ops.fourier import Fourier, RealFourier
from payback.ops.namespace import Place
from payback.trace.body import Body

MOST = 16  # steps that are remembered
LARGEST = 1 << 16  # bytes of a constant: larger ones would be kept alive, and take long to compare

_lock = free_in_children(threading.Lock())
_known: OrderedDict[bytes, Loop] = OrderedDict()
_kept = True  # whether loops are kept on the disk


class _UnknownError(Exception):
    """Something whose meaning is not told by its value: a function."""


def loop_again(graph: Callable[[], Graph], options: dict[str, Any], told: Any) -> Loop:
    """The loop for this graph and these options, with memory of its own; from the disk, if it is there.

    told: all that the graph depends on but payback itself, where that is known: then it need not be traced.
    """

    def make() -> Loop:
        with uncollected():
            return Loop(graph(), **options)

    most = cores.threads()
    more = most, *sorted(options.items())
    try:
        key = signature(graph(), more) if told is None else _digest(("told", told, more)).digest()
    except _UnknownError:
        return make()
    with _lock:
        known = _known.get(key)
        if known is not None:
            _known.move_to_end(key)
    if known is not None:
        return known.twin(make)
    name = cache.plan_of(key) if _kept else None
    made = kept(name, options, most, make) if name is not None else None
    if made is None:
        made = make()
        if name is not None:
            keep(name, made)
    with _lock:
        _known[key] = made.twin()  # which never runs, so it keeps no memory
        while len(_known) > MOST:
            _known.popitem(last=False)
    return made


def program_again(graph: Graph, donated: Mapping[int, int] | None = None, beside: Sequence[Any] = ()) -> Program:
    """`Program` with these arguments, from the disk if it is there."""

    def make() -> Program:
        return Program(graph, donated, beside)

    most = cores.threads()
    try:
        more = "program", most, *sorted((donated or {}).items()), *map(library.symbol, beside)
        key = signature(graph, more) if _kept and cache.folder() is not None else None
    except _UnknownError:
        key = None
    name = cache.plan_of(key) if key is not None else None
    if name is None:
        return make()
    made: Program | None = kept_program(name, graph, donated or {}, most, make)
    if made is None:
        made = make()
        keep_program(name, made)
    return made


def forget() -> None:
    """Plan every loop anew from here on: what is on the disk is not looked at either, nor is anything added to it."""
    global _kept
    with _lock:
        _known.clear()
        _kept = False


def signature(graph: Graph, more: Any = ()) -> bytes:
    """A digest of all that a graph computes.  Raises _UnknownError for what it does not know."""
    number = {node: k for k, node in enumerate((*graph.inputs, *graph.nodes))}
    digest = _digest(more)
    for k, node in enumerate((*graph.inputs, *graph.nodes)):
        digest.update(_line(node, number, k < len(graph.inputs)).encode())
        if type(node.value) is np.ndarray:
            digest.update(node.value.tobytes())
    digest.update(repr([number[node] for node in graph.outputs]).encode())
    return digest.digest()


def _digest(thing: Any) -> Any:
    return hashlib.blake2b(repr(_told(thing)).encode())


def _line(node: Node, number: dict[Node, int], given: bool) -> str:
    aval = node.aval
    try:
        kind = aval.shape, aval.dtype.str, aval.weak
    except AttributeError:
        raise _UnknownError from None
    if given:
        return repr(kind)
    value: Any = None
    if node.op.value is None:
        if node.value is None:
            raise _UnknownError
        if type(node.value) is np.ndarray:
            if node.value.nbytes > LARGEST:
                raise _UnknownError
            value = node.value.shape, node.value.dtype.str, node.value.strides
        else:
            value = _told(node.value)
    return repr((node.op.name, kind, [number[arg] for arg in node.args], _told(node.params), value))


def _told(thing: Any) -> Any:
    """A value as what its repr tells all of it."""
    kind = type(thing)
    if kind in (int, bool, str, type(None), type(Ellipsis), bytes):
        return thing
    if kind is float:
        return thing.hex()  # every bit but those of a NaN
    if kind in (tuple, list):
        return (kind.__name__, *map(_told, thing))
    if kind is dict:
        return ("dict", *((_told(key), _told(value)) for key, value in thing.items()))
    if kind is range:
        return ("range", thing.start, thing.stop, thing.step)
    if kind is slice:
        return ("slice", _told(thing.start), _told(thing.stop), _told(thing.step))
    if isinstance(thing, np.dtype) and not thing.hasobject:
        return ("dtype", thing.str)
    if isinstance(thing, np.generic):
        return (thing.dtype.str, thing.tobytes())
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject and thing.nbytes <= LARGEST:
        return (thing.dtype.str, thing.shape, thing.tobytes())
    if kind is Place:
        return ("Place", thing.k)
    if kind in (Fourier, RealFourier):
        return (kind.__name__, thing.n, thing.inverse)
    if kind is Body and not hasattr(thing, "replayed"):
        return ("body", signature(thing.graph))
    raise _UnknownError
