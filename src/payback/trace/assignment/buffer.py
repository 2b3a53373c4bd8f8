"""The arrays that creation functions return while a function is differentiated.

A `Buffer` is an ordinary array (of a subclass) until something traced is stored in it.  From then on every operator,
function and method of NumPy on it or on a view of it is answered by the traced array that it has become (`written.py`).
C code that looks past the subclass finds a dtype that nothing converts to numbers, whose name says why; through an
older view it finds NaN.
"""

from __future__ import annotations

import contextlib
import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

import payback.trace.assignment.views  # noqa: F401 (is found by its hooks)
from payback.errors import MissingAttributeError, MutationError, UnsupportedError
from payback.trace.array import NODE_TYPES, Traced, holds_traced
from payback.trace.assignment.flat import Flat  # noqa: F401 (puts `flat` on traced values)
from payback.trace.assignment.unknown import write_unknown  # noqa: F401 (is found by its hook)
from payback.trace.assignment.written import Storage, Written, plain_key, written
from payback.trace.dispatch import array_function, array_ufunc, current, here
from payback.trace.indexing import unknown
from payback.trace.operators import COMPLEX, HOOKS, METHODS, where_of_caller
from payback.trace.plain_arrays import Buffered, now
from payback.trace.refusals.free import free
from payback.trace.tree import leaves

_KINDS = "fiub"
# What C code that takes the memory for numbers says in its error; see `shim.call`, which says it in our words.
MARK = "traced values, which have no plain numbers"


class Buffer(Buffered):
    """Made by `buffer`; its views and copies are buffers.  What views share is kept on the one that has the memory."""

    _storage: Storage | None = None
    _of: Any = None  # whose memory it is, where NumPy's `base` does not say
    _shown: tuple[tuple[str, Any], ...] = ()  # ways past NumPy in which its memory was given away, weakly
    __hash__ = None

    def now(self) -> Any:
        """The traced value that it has become, or a plain array of the same memory."""
        storage = _root(self)._storage
        return np.ndarray.view(self, np.ndarray) if storage is None else self._written(storage)

    def _written(self, storage: Storage) -> Written:
        root = _root(self)
        if root is self:
            return written(storage, storage.source)
        if self.dtype != storage.dtype:
            raise UnsupportedError("the bytes of traced values cannot be viewed as another dtype", where=here(),
                                   why=f"the array is of {storage.dtype}, the view of {self.dtype}",
                                   fix="convert with .astype")  # fmt: skip
        # the view of the sources that lies in their memory as this view lies in the array's
        memory, scale = storage.memory, storage.memory.itemsize / self.itemsize
        offset = _interface(self)["data"][0] - _interface(root)["data"][0]
        strides = tuple(int(stride * scale) for stride in self.strides)
        sources = np.ndarray(self.shape, memory.dtype, memory, int(offset * scale), strides)
        sources.flags.writeable = self.flags.writeable
        return written(storage, sources)

    def _become_traced(self) -> Written:
        root = _root(self)
        if root._storage is None:
            if root._shown and any(map(_is_seen, root._shown)):
                raise MutationError("a traced value is stored in an array whose memory is looked at past NumPy",
                                    where=here(), why=f"{root._shown[-1][0]} of it would not see the value, and "
                                    "what it writes would be lost",
                                    fix="take it of a copy, or write through NumPy's views: x[:], "
                                    "x.reshape(-1)")  # fmt: skip
            root._storage = Storage.of_array(root)
            if root.dtype.kind == "f":
                np.ndarray.fill(root, np.nan)
            root.flags.writeable = False
            _hide(root)
        _hide(self)
        return self._written(root._storage)

    def __getitem__(self, key: Any) -> Any:
        if _root(self)._storage is not None:
            return self.now()[key]
        if unknown(key):
            return self._become_traced()[key]  # read at places that are not known yet: of a row, a view
        return np.ndarray.__getitem__(self, plain_key(key))

    def __setitem__(self, key: Any, value: Any) -> None:
        if _root(self)._storage is None:
            open_end = unknown(key)
            if not (open_end or holds_traced(value)):
                np.ndarray.__setitem__(self, plain_key(key), value)
                return
            bare = isinstance(value, Traced) and value.node.value is not None and self.dtype.kind != "f" and free(value)
            if bare and not open_end:  # no derivative to lose
                np.ndarray.__setitem__(self, plain_key(key), value.value)
                return
            if not self.flags.writeable:
                raise ValueError("assignment destination is read-only")
        HOOKS["setitem"](self._become_traced(), key, value, where_of_caller(2))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if any_traced((*inputs, *kwargs.values(), out or ())):
            inputs, kwargs = current(inputs), current(kwargs)
            return array_ufunc(ufunc, method, inputs, kwargs if out is None else kwargs | {"out": out})
        if method == "at":
            return ufunc.at(np.asarray(inputs[0]), plain_key(inputs[1]), *map(now, inputs[2:]))
        if out is not None:
            kwargs["out"] = tuple(now(target) for target in out)
        made = getattr(ufunc, method)(*map(now, inputs), **{key: now(value) for key, value in kwargs.items()})
        if out is not None:
            return out[0] if len(out) == 1 else out
        return tuple(map(buffer, made)) if isinstance(made, tuple) else buffer(made)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if any_traced(args) or any_traced(kwargs):
            return array_function(function, types, args, kwargs)
        if function is np.put_along_axis:  # with axis=None NumPy writes into a copy of a subclass
            return function(*map(now, args), **{key: now(value) for key, value in kwargs.items()})
        made = super().__array_function__(function, types, args, kwargs)
        return _again(made, [leaf for leaf in leaves([list(args), kwargs]) if type(leaf) is Buffer])

    def __eq__(self, other: Any) -> Any:  # NumPy would compare the memory
        return np.ndarray.__eq__(self, other) if _root(self)._storage is None else self.now() == other

    def __ne__(self, other: Any) -> Any:
        return np.ndarray.__ne__(self, other) if _root(self)._storage is None else self.now() != other

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else _again(np.asarray(array), [self])

    def __repr__(self) -> str:
        return repr(self.now())

    def __str__(self) -> str:
        return str(self.now())

    def __format__(self, spec: str) -> str:
        return format(self.now(), spec)

    def __reduce__(self) -> Any:
        made = self.now()
        if isinstance(made, Traced):
            raise UnsupportedError("an array that holds traced values cannot be saved", where=here(),
                                   why="a file has no history",
                                   fix="save its bare numbers, pb.stop_gradient(x)")  # fmt: skip
        return made.__reduce__()


def _hide(x: Any) -> None:
    """Let C code see no numbers in a buffer that has become traced; where NumPy does not allow it, it sees NaN."""
    size = x.itemsize
    if MARK not in (_dtype_of(x).names or ()):
        with warnings.catch_warnings(), contextlib.suppress(AttributeError, TypeError, ValueError):
            warnings.simplefilter("ignore", DeprecationWarning)
            _set_dtype(x, np.dtype([(MARK, f"u{size // 2}"), ("_", f"u{size // 2}")] if size > 1 else "V1"))


def memory_view(x: Buffer) -> memoryview:
    """Its memory, which is not to become traced as long as somebody sees it."""
    _show(x, "a memoryview")
    return memoryview(x)


def _show(x: Buffer, way: str) -> None:
    root = _root(x)
    if root._storage is None:
        root._shown = (*root._shown, (way, weakref.ref(x)))


def _is_seen(shown: tuple[str, Any]) -> bool:
    """Whether somebody still has a memoryview, or may have an address."""
    way, of = shown
    x = of()
    return way not in _VIEWS or any(type(holder).__name__ == "managedbuffer" for holder in gc.get_referrers(x))


_VIEWS = {"a memoryview", ".data"}
_dtype_of, _set_dtype = np.ndarray.dtype.__get__, np.ndarray.dtype.__set__


def _root(x: Any) -> Any:
    """The buffer whose memory it is."""
    if type(x.base) is Buffer:
        x = x.base
    return x if x._of is None else x._of


def _again(made: Any, of: list[Any]) -> Any:
    """What NumPy made of buffers as a buffer: of the same memory, where it is a view; containers by their parts."""
    if type(made) in (tuple, list):
        return type(made)([_again(part, of) for part in made])
    if type(made) is not np.ndarray or made.dtype.kind not in _KINDS:
        return made
    for x in of:
        if np.may_share_memory(made, x):
            return alias(made, x)
    return buffer(made)


def alias(made: np.ndarray[Any, Any], x: Buffer) -> Buffer:
    """A plain view of a buffer's memory as a buffer."""
    view = made.view(Buffer)
    view._of = _root(x)
    return view


def any_traced(x: Any) -> bool:
    if type(x) in NODE_TYPES:
        return True
    if isinstance(x, (tuple, list)):
        return any(any_traced(part) for part in x)
    if isinstance(x, dict):
        return any(any_traced(part) for part in x.values())
    if type(x) in COMPLEX:
        return x.traced
    return isinstance(x, Traced) or (isinstance(x, Buffer) and _root(x)._storage is not None)


def buffer(made: Any) -> Any:
    """A new plain array as a buffer; anything else as it is."""
    if type(made) is np.ndarray and made.dtype.kind in _KINDS and made.base is None and made.flags.owndata:
        return made.view(Buffer)
    return made


HOOKS["buffer"] = buffer


# Methods and attributes of ndarray that look at the memory: once traced, those of the traced value answer.


def _method(name: str) -> Callable[..., Any]:
    of_array = getattr(np.ndarray, name)

    def method(self: Buffer, *args: Any, **kwargs: Any) -> Any:
        if _root(self)._storage is not None:
            traced = self.now()
            if not hasattr(type(traced), name) and name not in METHODS:
                what = f".{name} of an array that holds traced values has no derivative in payback"
                raise MissingAttributeError(what, where=here(), fix="write it with NumPy functions that have one")
            return getattr(traced, name)(*args, **kwargs)
        if any_traced(args) or any_traced(kwargs):
            return getattr(self._become_traced(), name)(*args, **kwargs)
        return of_array(self, *args, **kwargs)

    method.__name__ = name
    return method


READING_METHODS = [
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "byteswap", "choose", "clip", "compress",
    "conj", "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "dump", "dumps", "flatten", "item", "max",
    "mean", "min", "nonzero", "partition", "prod", "ptp", "put", "ravel", "repeat", "reshape", "resize", "round",
    "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take", "tobytes", "tofile", "tolist", "trace",
    "transpose", "var", "view", "__bool__", "__float__", "__int__", "__index__", "__complex__", "__contains__",
    "__copy__", "__deepcopy__", "__iter__",
]  # fmt: skip
for _name in READING_METHODS:
    if hasattr(np.ndarray, _name):
        setattr(Buffer, _name, _method(_name))


def _fill(self: Any, value: Any) -> None:
    if any_traced((self, value)):
        self[...] = value
    else:
        np.ndarray.fill(self, value)


def _attribute(name: str) -> property:
    of_array = getattr(np.ndarray, name)

    def get(self: Buffer) -> Any:
        return of_array.__get__(self) if _root(self)._storage is None else getattr(self.now(), name)

    return property(get)


def _address(name: str) -> property:
    """What tells where the memory is, which a traced value has not."""
    of_array = getattr(np.ndarray, name)

    def get(self: Buffer) -> Any:
        if _root(self)._storage is not None:
            return getattr(self.now(), name)
        _show(self, f".{name}")
        return of_array.__get__(self)

    return property(get)


def _dlpack(self: Buffer, **how: Any) -> Any:
    if _root(self)._storage is not None:
        return self.now().__dlpack__(**how)
    _show(self, ".__dlpack__()")
    return np.ndarray.__dlpack__(self, **how)


def _get_dtype(self: Any) -> Any:
    made = _dtype_of(self)
    storage = _root(self)._storage if made.kind == "V" else None
    return made if storage is None else storage.dtype


Buffer.dtype = property(_get_dtype, lambda self, dtype: _set_dtype(self, dtype))
Buffer._set_dtype = None  # from NumPy 2.5 on: view(dtype) asks no setter of ours
Buffer.fill = _fill
_interface = np.ndarray.__array_interface__.__get__
for _name in ("data", "ctypes", "__array_interface__", "__array_struct__"):
    setattr(Buffer, _name, _address(_name))
Buffer.__dlpack__ = _dlpack
Buffer.T = _attribute("T")
Buffer.mT = _attribute("mT")
Buffer.flat = Traced.flat
Buffer.real = _attribute("real").setter(lambda self, value: self.__setitem__(..., value))
Buffer.imag = _attribute("imag")
