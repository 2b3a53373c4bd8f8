"""Views of traced arrays: which array a write goes into, and who sees it.

NumPy's `row = y[1]; row[0] = v` writes into y too, so every value made by a view remembers whose view it is, and the
array its views (weakly): the first write turns them all into `Written` ones (`written.py`).  What NumPy copies, by a
reshape of what lies in memory in another order, is an array of its own; the layout is NumPy's where the numbers are
known, and told by `memory_order.py` where they are not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from payback.errors import MutationError, UnsupportedError
from payback.ir.aval import FLOAT64
from payback.ir.node import NO_PARAMS, Node
from payback.ir.where import position
from payback.ops.append import append, apply
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE
from payback.trace.array import NODE_TYPES, Traced, as_traced, become
from payback.trace.assignment.memory_order import LaidOut, Parted, exactly, few, laid, lying, order_of, ordered, same
from payback.trace.assignment.outside import by_compiled_code, is_stored_back
from payback.trace.assignment.written import SIMPLE, Lost, Storage, View, Written, node_slot, plain_key, written
from payback.trace.operators import COMPLEX, FUNCTIONS, HOOKS, made
from payback.trace.plain_arrays import now
from payback.trace.scalars.number import Number, cell, number_in


class Family:
    """A traced array and the views of it, each with the steps that lead to it.

    lies: an array that lies in memory as the root does in NumPy, where its node does not tell.
    within: a storage whose entries the root shows, as they were (weakly), if there is one.
    written: whether another transform's function has written into the copy that it was given of it.
    """

    __slots__ = ("is_variable", "lies", "members", "prune_at", "root", "within", "written")

    def __init__(self, root: Traced, lies: np.ndarray[Any, Any] | None = None):
        self.root, self.is_variable, self.lies = root.node, type(root) is not Traced, lies
        self.members: list[tuple[weakref.ref[Traced], tuple[Any, ...]]] = [(weakref.ref(root), ())]
        self.prune_at = 32
        self.within: Any = None
        self.written = False

    def add(self, member: Traced, steps: tuple[Any, ...]) -> None:
        if len(self.members) >= self.prune_at:
            self.members = [known for known in self.members if known[0]() is not None]
            self.prune_at = 2 * len(self.members) + 32
        self.members.append((weakref.ref(member), steps))


def argument(x: Traced) -> Traced:
    """An argument of the caller's, with the gaps that it has in memory: NumPy copies where it reshapes it."""
    if type(x) is Traced and ("strides" in x.node.params or type(x.node.aval) is LaidOut):
        lies = exactly(x.node)
        if not _dense(lies):
            x.alias = (Family(x, lies), ())
    return x


def without_axes(x: Any) -> Any:
    """NumPy's array without axes where it gives that and no number: it can be written into, and has views.

    Anything else as it is.
    """
    if type(x) is Number:
        return cell(x)
    if type(x) in COMPLEX and x.is_number:
        return HOOKS["complex_array"](x)
    if type(x) is not Traced or x.shape:
        return x
    if x.alias is None:
        x.alias = (Family(x), ())
    return x


def is_written(x: Any, node: Node) -> bool:
    """Whether a function has written into this argument, whose node was that: or a transform in it has, into a copy."""
    if type(x) is Written:
        return True
    alias = getattr(x, "alias", None) if type(x) is Traced else None
    return type(x) is Traced and ((alias is not None and alias[0].written) or (bool(node.shape) and x.node is not node))


def was_written(given: Any) -> None:
    """Say that what stood for this value was written into where it is the argument of another transform."""
    if type(given) is Traced and not is_number(given):
        given.alias = given.alias or (Family(given), ())
        given.alias[0].written = True


def is_number(x: Traced) -> bool:
    """Whether it has no axes and is, in NumPy, no array, but one of its numbers."""
    return not x.shape and type(x) is not Written and getattr(x, "alias", None) is None


def _dense(x: np.ndarray[Any, Any]) -> bool:
    """Whether entries follow each other without gaps, in some order of the axes, none of them backwards."""
    size = x.itemsize
    for step, extent in sorted(zip(x.strides, x.shape, strict=True)):
        if extent > 1 and step != size:
            return False
        size *= extent
    return True


def view(name: str, x: Any, params: dict[str, Any], place: Any) -> Traced:
    """A row that only looks at x in another way, appended, and remembered as a view as NumPy's result would be."""
    if type(x) is Written and (there := _seen_through(x, name, params)) is not None:
        return there
    if type(x) is Traced:
        node = x.node
        value = node.value
        if type(value) is np.ndarray and node.op is not CONST:  # most views
            seen = _LOOKS[name](value, **params)
            look = made(TABLE[name], (node,), params, seen, place)
            alias = x.alias
            if type(seen) is not np.ndarray or not seen.ndim:
                return _remembered(look, x, name, params)
            if name == "reshape" and (_told_by_steps(alias) or not _of_one(seen, value)):
                return _remembered(look, x, name, params)
            if alias is None:
                alias = x.alias = (Family(x), ())
            family, steps = alias
            steps = (*steps, (name, params))
            look.alias = (family, steps)
            family.add(look, steps)
            return look
        if value is not None:
            return _remembered(Traced(append(TABLE[name], (node,), params, place)), x, name, params)
    return _remembered(Traced(apply(TABLE[name], (as_traced(x),), place, params)), x, name, params)


def _of_one(view: np.ndarray[Any, Any], array: np.ndarray[Any, Any]) -> bool:
    """Whether an array is seen to be a view of the same memory as the one that it was made from."""
    base = view.base
    return base is not None and (base is array or base is array.base)


# What `view` is asked for, on values: as the rows compute it.
_LOOKS: dict[str, Callable[..., Any]] = {
    "index": lambda value, template: value[template], "transpose": lambda value, axes: value.transpose(axes),
    "reshape": lambda value, shape: value.reshape(shape), "broadcast": Values.broadcast,
}  # fmt: skip


def looked_at(x: Any, name: str, params: dict[str, Any], make: Callable[[], Any]) -> Any:
    """What `make` computes: entries of x, of which NumPy's function would be a view."""
    if type(x) is Written and (there := _seen_through(x, name, params)) is not None:
        return there
    entries = make()
    return _remembered(Traced(entries.node), x, name, params) if type(x) is Traced else entries


def _seen_through(x: Written, name: str, params: dict[str, Any]) -> Written | None:
    held: View = node_slot.__get__(x)
    at = _replay(held.at, name, params)
    return written(held.storage, at) if np.may_share_memory(at, held.at) else None


def _remembered(look: Traced, x: Any, name: str, params: dict[str, Any]) -> Traced:
    if type(x) not in NODE_TYPES:
        return look
    if not x.node.shape and getattr(x, "alias", None) is None:  # of a number a new array
        array = x.node.aval.weak if name != "index" else Ellipsis in params["template"]  # NumPy's numbers stay numbers
        return without_axes(look) if array else look
    if not look.node.shape and name == "index" and Ellipsis not in params["template"]:
        return look  # a number of its own
    alias = getattr(x, "alias", None)
    if name == "reshape" and _copies(look, x, alias, params):
        return look
    if alias is None:
        alias = x.alias = (Family(x), ())
    steps = (*alias[1], (name, params))
    look.alias = (alias[0], steps)
    alias[0].add(look, steps)
    if not look.node.shape and name == "index" and not alias[0].is_variable:  # x[0, ...] is an array
        open_for_writing(look, None)
    return look


def _copies(look: Traced, x: Traced, alias: Any, params: dict[str, Any]) -> bool:
    """Whether NumPy would copy to reshape: what lies in memory in another order."""
    value, of = look.node.value, x.node.value
    root, steps = (x.node, ()) if alias is None else (alias[0].root, alias[1])
    if type(value) is type(of) is np.ndarray and not _told_by_steps(alias):
        return value.size > 0 and not np.may_share_memory(value, of)
    at = memory = lying(root) if alias is None or alias[0].lies is None else alias[0].lies
    if memory.flags.c_contiguous and all(name == "reshape" for name, _ in steps):
        return False
    for name, how in steps:
        at = _replay(at, name, how)
    return memory.size > 0 and not np.may_share_memory(_replay(at, "reshape", params), memory)


def _told_by_steps(alias: Any) -> bool:
    """Whether the value of a node may lie otherwise than NumPy's: NumPy views where it was gathered."""
    return alias is not None and (alias[0].lies is not None or any(name in _GATHERED for name, _ in alias[1]))


_GATHERED = {"diagonal", "crossed", "windows", "strided"}


def laid_out(x: Traced) -> np.ndarray[Any, Any]:
    """An array that lies in memory as x does in NumPy, as far as that is known."""
    if type(x) is Written:
        return np.asarray(node_slot.__get__(x).at)
    alias = getattr(x, "alias", None)
    root, steps = (x.node, ()) if alias is None else (alias[0].root, alias[1])
    if x.node.value is not None and not _told_by_steps(alias):
        return np.asarray(x.node.value)
    at: Any = lying(root) if alias is None or alias[0].lies is None else alias[0].lies
    for name, params in steps:
        at = _replay(at, name, params)
    return np.asarray(at)


def has_gaps(x: Traced, order: str) -> bool:
    """Whether NumPy has to copy x to have it by rows ("C"), by columns ("F"), or in either way ("A") without gaps."""
    if type(x) is Written:
        parted = type(node_slot.__get__(x).at) is Parted
    else:
        alias = getattr(x, "alias", None)
        parted = alias is not None and ("part", NO_PARAMS) in alias[1]
    flags = laid_out(x).flags
    return (parted and x.size > 1) or not (flags.forc if order == "A" else flags[f"{order}_CONTIGUOUS"])


def part_of(x: Any) -> Any:
    """The real or the imaginary part of an array of complex numbers, as NumPy shows it."""
    x = made if isinstance(made := now(x), Traced) else x
    if type(x) is Written:
        held: View = node_slot.__get__(x)
        return written(held.storage, held.at.view(Parted))
    return _remembered(Traced(x.node), x, "part", NO_PARAMS) if type(x) is Traced and x.shape else x


def in_order(made: Any, order: str | None) -> Any:
    """The same value, laid out in memory as asked: later reshapes are views where NumPy's are, later results lie so.

    order: "C", "F", "A" (by columns if it lies so, else by rows) or "K" (as it lies, without gaps).
    """
    if type(made) is not Traced or not made.shape or order is None:
        return made
    at = laid_out(made)
    if order == "A":
        order = "F" if at.flags.fnc else "C"
    if not has_gaps(made, order) if order != "K" else same(at, np.empty_like(at)):
        return made
    return Traced(laid(made.node, np.empty_like(at, np.bool_, order)))


def laid_by(function: Callable[..., Any], made: Any, *args: Any, key: Hashable = None) -> Any:
    """The same value, as it lies where the function of NumPy's makes it of such arguments.

    key: what tells the function from others; with it what NumPy does is asked once for arguments that lie alike.
    """
    if type(made) is not Traced or made.ndim < 2:
        return made
    lie = [laid_out(x) if isinstance(x, Traced) else np.asarray(x) for x in args]
    if key is None:
        order = order_of(function(*map(few, lie)))
    else:
        alike = (key, *[(x.shape, x.strides) for x in lie])
        try:
            order = _orders[alike]
        except KeyError:
            if len(_orders) >= _MOST_ORDERS:
                _orders.clear()
            order = _orders[alike] = order_of(function(*map(few, lie)))
    value = made.node.value
    if order is None and type(value) is np.ndarray and value.flags.c_contiguous:
        return Traced(made.node)
    return Traced(laid(made.node, ordered(order, made.shape)))


_orders: dict[Any, tuple[int, ...] | None] = {}  # what `laid_by` was told
_MOST_ORDERS = 1 << 12


def laid_as(made: Any, like: np.ndarray[Any, Any]) -> Any:
    """The same value, as an array that lies in memory as `like` does, without gaps."""
    return Traced(laid(made.node, np.empty_like(like, np.bool_))) if type(made) is Traced else made


_WAYS: dict[str, Callable[..., Any]] = {
    "index": lambda at, template: at[template],
    "unknown": lambda at, template: at[template],
    "transpose": lambda at, axes: np.transpose(at, axes),
    "reshape": lambda at, shape: np.reshape(at, shape),
    "broadcast": lambda at, shape: np.broadcast_to(at, shape),
    "diagonal": lambda at, **how: np.diagonal(at, **how),
    "crossed": lambda at, of, first: np.einsum(at, of, [first, *sorted({*of} - {first})]),  # unlike diagonal, writable
    "windows": lambda at, **how: np.lib.stride_tricks.sliding_window_view(at, **how),
    "strided": lambda at, shape, strides, writeable: np.lib.stride_tricks.as_strided(
        at, shape, [step * at.itemsize for step in strides], writeable=writeable
    ),
    "part": lambda at: at.view(Parted),
}


def _replay(at: Any, name: str, params: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.asanyarray(_WAYS[name](at, **params))


def open_for_writing(x: Traced, place: Any) -> View:
    """Make x, and all that are views of the same array, `Written`.  Raises MutationError for a variable."""
    if type(x) is Written:
        return node_slot.__get__(x)
    family, steps = getattr(x, "alias", None) or (Family(x), ())
    if _is_unknown(steps):
        if _is_seen(family, x):
            where = position(place)
            raise UnsupportedError("a row whose number is unknown is written into", where=str(where) if where else None,
                                   why="in NumPy that changes the array it was taken from, and while a function is "
                                   "compiled it is not known where",
                                   fix="write x[i] = ... or x[i, k] = ..., or copy the row: x[i].copy()")  # fmt: skip
        x.alias, family = None, Family(x)
    if family.is_variable:
        where = position(place)
        raise MutationError("a variable cannot be written into", where=str(where) if where else None,
                            why="it is what results are differentiated by",
                            fix="write into a copy: y = x.copy(); for a new value, x.value = ...")  # fmt: skip
    storage = Storage.of_node(family.root, lying(family.root) if family.lies is None else family.lies)
    for member, steps in family.members:
        y = member()
        if y is None or _is_unknown(steps):
            continue
        at = storage.source
        for name, params in steps:
            at = _replay(at, name, params)
        y.alias = None
        become(y, Written)
        y.node = View(storage, at)
    lose(family)
    return node_slot.__get__(x)


def at_unknown(look: Traced, x: Traced, template: tuple[Any, ...]) -> Traced:
    """x[i] where i has no number: a view, but of which row is not known.

    So what is written into x afterwards cannot be seen through it, nor the other way round: both are refused, unless
    nobody looks.  template: of such a row.
    """
    if 0 in x.node.shape or not look.node.shape:
        return look
    alias = getattr(x, "alias", None) or (Family(x), ())
    x.alias, steps = alias, (*alias[1], ("unknown", {"template": template}))
    look.alias = (alias[0], steps)
    alias[0].add(look, steps)
    return look


def _is_unknown(steps: tuple[Any, ...]) -> bool:
    return any(name == "unknown" for name, _ in steps)


def _is_seen(family: Family, x: Traced) -> bool:
    """Whether something else shows the array of which x is a row."""
    others = any(member() is not None and member() is not x for member, _ in family.members)
    return others or (family.within is not None and family.within() is not None)


def lose(family: Family) -> None:
    """The array was written into: rows of unknown number cannot be looked at any more."""
    for member, steps in family.members:
        y = member()
        if y is not None and type(y) is Traced and _is_unknown(steps):
            lost = View(Lost(y.dtype), np.empty(y.shape, np.intp))
            y.alias = None
            become(y, Written)
            y.node = lost


def within(look: Any, storage: Storage) -> None:
    """Say that a row of unknown number, if it is one, shows what a storage held."""
    alias = getattr(look, "alias", None)
    if alias is not None and _is_unknown(alias[1]):
        alias[0].within = weakref.ref(storage)
        storage.rows.append(alias[0])


def share_memory(a: Any, b: Any, max_work: Any = None) -> bool:
    """np.may_share_memory and np.shares_memory: whether a write into one is seen in the other."""
    a, b = now(a), now(b)
    if not isinstance(a, Traced) or not isinstance(b, Traced):
        return False
    if a is b:
        return True
    held = [node_slot.__get__(x) if type(x) is Written else None for x in (a, b)]
    if held[0] is not None and held[1] is not None:
        return held[0].storage is held[1].storage and bool(np.intersect1d(held[0].at, held[1].at).size)
    (first, steps), (second, others) = (getattr(x, "alias", None) or (None, ()) for x in (a, b))
    if first is None or first is not second:
        return False
    at = np.arange(first.root.aval.size).reshape(first.root.shape)
    seen = []
    for way in (steps, others):
        part = at
        for name, params in way:
            part = _replay(part, name, params)
        seen.append(part)
    return bool(np.intersect1d(*seen).size)


def setitem(x: Traced, key: Any, value: Any, place: Any) -> None:
    """`x[key] = value`: the value is written where NumPy would write it, through views too."""
    if type(key) not in SIMPLE and HOOKS["unknown"](key):
        HOOKS["write_unknown"](x, key, value, place)
        return
    key, given = plain_key(key), value
    value = number_in(value)
    if type(value) is not Number or x.dtype != FLOAT64:
        value = as_traced(value)  # read before: it may be a view of x
    if is_number(x):
        where = position(place)
        raise UnsupportedError("a number cannot be written into", where=str(where) if where else None,
                               why="NumPy's numbers stay what they are: only an array would change",
                               fix="give the name another value, or write into np.array(x)")  # fmt: skip
    shown = type(given) is Written and given.ndim and type(key) is int
    held = open_for_writing(x, place)
    if shown and node_slot.__get__(given).storage is held.storage and by_compiled_code():
        where = position(place)
        raise UnsupportedError("rows of a traced array cannot be exchanged by compiled code",
                               where=str(where) if where else None, why="it would write one of them twice",
                               fix="take them in another order: y = y[rng.permutation(len(y))]")  # fmt: skip
    held.storage.write(held.at, key, value, place)


def store(x: Traced, value: Any, place: Any) -> Traced:
    """`x[...] = value` as `x += y` does it: an array that nothing else looks at only changes its node."""
    alias = getattr(x, "alias", None)
    if alias is not None and _is_unknown(alias[1]) and is_stored_back():  # x[i] += y
        x.alias = alias = None
    if type(x) is Traced and alias is None and value.shape == x.shape and value.dtype == x.dtype:
        x.node = value.node
    else:
        setitem(x, ..., value, place)
    return x


FUNCTIONS[np.may_share_memory] = FUNCTIONS[np.shares_memory] = share_memory
HOOKS.update(lose=lose, within=within)
HOOKS.update(view=view, setitem=setitem, store=store, in_order=in_order, without_axes=without_axes)
