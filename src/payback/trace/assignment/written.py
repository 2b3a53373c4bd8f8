"""Item assignment: `x[key] = v` on a traced array, with NumPy's views.

Values on nodes never change, so an array that is written into is kept as *where each of its entries comes from*: a
pool of pieces (what has been written, traced or plain) and an array of integers of the array's own shape, which says
for each entry its place in the pool.  An assignment appends its piece to the pool and writes the piece's numbers into
the integers, by NumPy itself: so broadcasting, repeated indices (the last one stays), slices, masks and every kind of
view are NumPy's own.  Reading gathers pieces into one node by rows of the table that are there for other purposes
(`stack`, `concatenate`, `index`), whose adjoints pay each written value for the entries where it is still seen, and
mask the rest.

So a write costs its own size, not the array's; an entry that is read right after it was written is the written value
itself; and no version of an array is ever copied.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from typing import Any

import numpy as np
from numpy import arange, array, empty, may_share_memory, ones, unique, where, zeros

from payback.errors import UnsupportedError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import append, apply, const, freeze
from payback.ops.index import Place
from payback.ops.row import TABLE
from payback.trace.array import Traced
from payback.trace.assignment.memory_order import laid, places_like
from payback.trace.gathering import as_box, joined, slabs
from payback.trace.operators import ARRAYS, HOOKS, METHODS, where_of_caller
from payback.trace.plain_arrays import decides, now
from payback.trace.refusals.cures import BARE, NO_INDEX
from payback.trace.refusals.free import free
from payback.trace.scalars.number import NUMBERS, Number, number_in, opened

_RUNS = 64  # of entries of one piece, side by side: so many are looked at one by one
SIMPLE = (int, slice, type(None), type(Ellipsis))


class Storage:
    """The entries of one array, shared by all its views.

    source   for each entry its place in the pool; laid out as the array is, so that a view of it is a view
    pieces   the pool: nodes and plain arrays, each with as many places as it has entries; starts: their first places
    version  how often it has been written into
    numbers  whether a piece is a number that is no node yet (see `number.py`)
    rows     families of views at places that are not known (see `views.at_unknown`)
    """

    __slots__ = ("__weakref__", "dtype", "memory", "numbers", "pieces", "rows", "source", "starts", "total", "version")

    def __init__(self, source: np.ndarray[Any, Any], first: Any, dtype: np.dtype[Any], memory: Any = None):
        self.source, self.dtype, self.memory = source, dtype, memory
        self.pieces: list[Any] = [first]
        self.starts = [0]
        self.total = source.size
        self.version = 0
        self.numbers = False
        self.rows: list[Any] = []

    @classmethod
    def of_node(cls, node: Node, lies: np.ndarray[Any, Any]) -> Storage:
        """Laid out as NumPy's array, so that `reshape` makes views where NumPy does."""
        source = places_like(lies)
        source[...] = np.arange(node.aval.size).reshape(node.shape)
        return cls(source, node, node.aval.dtype)

    @classmethod
    def of_array(cls, array: np.ndarray[Any, Any]) -> Storage:
        """Of a compact plain array: its numbers in the order in which they lie in memory are the first piece."""
        memory = np.arange(array.size)
        scale = memory.itemsize / array.itemsize
        strides = tuple(int(stride * scale) for stride in array.strides)
        first = array.ravel("K").copy()
        return cls(np.ndarray(array.shape, memory.dtype, memory, 0, strides), first, array.dtype, memory)

    # writing

    def write(self, at: np.ndarray[Any, Any], key: Any, value: Any, place: Any) -> None:
        """`array[key] = value` for the view whose sources are `at`."""
        for family in self.rows:
            HOOKS["lose"](family)
        self.rows = []
        if type(value) in NUMBERS:
            piece, size, self.numbers = number_in(value).strongly(), 1, True
        else:
            piece = self.fitting(value, place)
            size = piece.aval.size if type(piece) is Node else np.size(piece)
        shape = piece.shape
        if self.total > 4 * self.source.size + 4096:
            self.compact(place)
        at[key] = arange(self.total, self.total + size).reshape(shape) if shape else self.total
        self.pieces.append(piece)
        self.starts.append(self.total)
        self.total += size
        self.version += 1

    def fitting(self, value: Any, place: Any) -> Any:
        """What is written, in the array's dtype.  Raises UnsupportedError for floats cut to integers."""
        if type(value) is not Node:
            return np.asarray(value).astype(self.dtype)
        aval = value.aval
        if self.dtype.kind != "f" and value.value is not None and free(Traced(value)):
            return np.asarray(value.value).astype(self.dtype)
        if self.dtype.kind != "f" and aval.dtype.kind == "f":
            where = position(place)
            raise UnsupportedError(
                f"a traced {aval.dtype} cannot be stored in an array of {self.dtype}",
                where=str(where) if where else None,
                why="NumPy would cut off its fraction, and the derivative with it",
                fix="make the array floating, for example np.zeros(n) or .astype(float)"
                + ("" if value.value is None else f"; for the cut number write {BARE}"),
            )
        if aval.dtype != self.dtype or aval.weak:
            value = append(TABLE["cast"], (value,), {"dtype": self.dtype, "weak": False}, place)
        return value

    def compact(self, place: Any) -> None:
        """Forget what has been written over."""
        whole = self.read(self.source, place)
        self.pieces, self.starts, self.total = [whole], [0], self.source.size
        self.source[...] = np.arange(self.source.size).reshape(self.source.shape)

    def settle(self) -> None:
        """Make nodes of the numbers among the pieces: of those that stand side by side one, where they are many."""
        pieces, starts, end = self.pieces, self.starts, 0
        self.pieces, self.starts, self.numbers = [], [], False
        for number, some in itertools.groupby(pieces, lambda piece: type(piece) is Number):
            begin, run = end, list(some)
            end += len(run)
            row = run[0].recorder.vector(run) if number and len(run) > 1 else None
            self.pieces += [row] if row is not None else [piece.strongly().node for piece in run] if number else run
            self.starts += starts[begin : begin + 1] if row is not None else starts[begin:end]

    # reading

    def entry(self, at: int, place: Any) -> Any:
        """One entry: the node itself that was written there, a node that reads it, or a plain number."""
        k = bisect_right(self.starts, at) - 1
        piece, inside = self.pieces[k], at - self.starts[k]
        if type(piece) is Number:
            return piece.strongly()
        if type(piece) is not Node:
            return piece.reshape(-1)[inside]
        if not piece.shape:
            return piece
        index = tuple(int(i) for i in np.unravel_index(inside, piece.shape))
        return apply(TABLE["index"], (piece,), place, {"template": index})

    def read(self, at: np.ndarray[Any, Any], place: Any) -> Any:
        """The entries of a view: a node, or a plain array where nothing traced is seen."""
        at = np.asarray(at)
        if not at.ndim:
            return self.entry(int(at), place)
        if not at.size:
            return empty(at.shape, self.dtype)
        if self.numbers:
            self.settle()
        flat = at.ravel()
        if len(self.pieces) == 1 and type(self.pieces[0]) is Node:
            return self.gather(self.pieces[0], flat, at.shape, place)
        owners = self.owners(flat)
        cuts = (owners[1:] != owners[:-1]).nonzero()[0] + 1
        found = None if cuts.size < _RUNS else _each(owners)
        used = owners[[0, *cuts.tolist()]].tolist() if found is None else found[0].tolist()
        if not any(type(self.pieces[k]) is Node for k in used):
            made = empty(at.shape, self.dtype)
            line = made.reshape(-1)
            for k in set(used):
                mine = owners == k
                line[mine] = self.pieces[k].reshape(-1)[flat[mine] - self.starts[k]]
            return made
        if len(set(used)) == 1:
            return self.gather(self.pieces[used[0]], flat - self.starts[used[0]], at.shape, place)
        shown = may_share_memory(at, self.source)  # places that were copied are not told of a whole
        if at.size < self.source.size <= 2 * at.size and self.source.flags.writeable and shown:
            self.compact(place)  # of one whole this is a slice, and so are the neighbors that are read beside it
            return self.read(at, place)
        node = None
        if found is None and len(set(used)) < len(used):  # no order of the pieces is that of the entries
            node = self.assembled(at, owners.reshape(at.shape), place)
        if node is None:
            node = self.put_together(flat, owners, found or _each(owners), at.shape, place)
        if at.flags.writeable:  # the next reader finds one piece
            at[...] = arange(self.total, self.total + at.size).reshape(at.shape)
            self.pieces.append(node)
            self.starts.append(self.total)
            self.total += at.size
        return node

    def put_together(self, flat: Any, owners: Any, found: Any, shape: tuple[int, ...], place: Any) -> Any:
        """All pieces of which something is seen in one row, and what is seen by its places there."""
        used, first_seen, inverse, counts = found
        parts, offset = [], 0
        places = zeros(flat.size, np.int64)
        shift = zeros(len(used), np.int64)  # from places in the pool to places among the parts
        whole = ones(len(used), np.bool_)
        for j in first_seen.argsort().tolist():
            piece, start = self.pieces[used[j]], self.starts[used[j]]
            size = piece.aval.size if type(piece) is Node else piece.size
            if counts[j] < size:  # only what is still seen of it
                mine = (inverse == j).nonzero()[0]
                piece = self.gather(piece, flat[mine] - start, (len(mine),), place)
                places[mine] = arange(offset, offset + len(mine))
                whole[j], size = False, len(mine)
            else:
                shift[j] = offset - start
            parts.append(piece)
            offset += size
        places = where(whole[inverse], flat + shift[inverse], places)
        in_order = places.size == offset and (places == arange(offset)).all()
        node = None if in_order else self.assembled(flat.reshape(shape), owners.reshape(shape), place)
        return self.gather(joined(parts, place), places, shape, place) if node is None else node

    def assembled(self, at: np.ndarray[Any, Any], owners: np.ndarray[Any, Any], place: Any) -> Any:
        """Boxes of pieces put together slab by slab; None where they are too many, or no boxes."""
        first = int(owners.flat[0])
        cut = slabs(owners)
        if cut is None:
            piece, start = self.pieces[first], self.starts[first]
            if (owners != first).any() or as_box(at.reshape(-1) - start, at.shape, piece.shape or (1,)) is None:
                return None
            return self.gather(piece, at.reshape(-1) - start, at.shape, place)
        axis, ends = cut
        parts = []
        for start, stop in itertools.pairwise(ends):
            taken = (slice(None),) * axis + (slice(start, stop),)
            part = self.assembled(at[taken], owners[taken], place)
            if part is None:
                return None
            parts.append(part)
        return apply(TABLE["concatenate"], parts, place, {"axis": axis})

    def owners(self, flat: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Which piece each place belongs to."""
        if flat.size < 16:
            return array([bisect_right(self.starts, at) - 1 for at in flat.tolist()])
        return array(self.starts).searchsorted(flat, "right") - 1

    @staticmethod
    def gather(piece: Any, places: np.ndarray[Any, Any], shape: tuple[int, ...], place: Any) -> Any:
        """The entries of a piece at flat places, in a shape."""
        if type(piece) is not Node:
            return piece.reshape(-1)[places].reshape(shape)
        size = piece.aval.size
        if places.size == size and (places == arange(size)).all():
            return piece if piece.shape == shape else apply(TABLE["reshape"], (piece,), place, {"shape": shape})
        if not piece.shape:
            return apply(TABLE["broadcast"], (piece,), place, {"shape": shape})
        box = as_box(places, shape, piece.shape)
        if box is not None:  # a view
            made = apply(TABLE["index"], (piece,), place, {"template": box})
            return made if made.shape == shape else apply(TABLE["reshape"], (made,), place, {"shape": shape})
        if len(piece.shape) > 1:
            piece = apply(TABLE["reshape"], (piece,), place, {"shape": (size,)})
        return apply(TABLE["index"], (piece, places.reshape(shape)), place, {"template": (Place(0),)})


def _each(owners: np.ndarray[Any, Any]) -> Any:
    """The owners in order, where each is met first, which of them owns each place, and how many places each owns."""
    return unique(owners, return_index=True, return_inverse=True, return_counts=True)


class View:
    """A view of a storage as one traced value holds it, and what was last read through it."""

    __slots__ = ("at", "node", "storage", "version")

    def __init__(self, storage: Storage, at: np.ndarray[Any, Any]):
        self.storage, self.at, self.version, self.node = storage, at, -1, None

    def read(self, place: Any) -> Node:
        if self.version != self.storage.version:
            made = self.storage.read(self.at, place)
            node = made if type(made) is Node else made.node if type(made) is Number else const(freeze(made), place)
            if self.at.ndim > 1 and not self.at.flags.c_contiguous:  # what is made of it lies as it does
                node = laid(node, np.empty_like(self.at, np.bool_))
            self.node = node
            self.version = self.storage.version
        return self.node


node_slot = Traced.node  # the slot itself, beneath the property of Written


class Written(Traced):
    """A traced array that has been written into, or a view of one: its node is what is there now."""

    __slots__ = ()

    @property
    def node(self) -> Node:
        return node_slot.__get__(self).read(where_of_caller(3))

    @node.setter
    def node(self, view: View) -> None:
        node_slot.__set__(self, view)

    @property
    def shape(self) -> tuple[int, ...]:
        return node_slot.__get__(self).at.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return node_slot.__get__(self).storage.dtype

    @property
    def ndim(self) -> int:
        return node_slot.__get__(self).at.ndim

    @property
    def size(self) -> int:
        return node_slot.__get__(self).at.size

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a traced scalar")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        view: View = node_slot.__get__(self)
        if type(key) not in SIMPLE and HOOKS["unknown"](key):
            made = METHODS["__getitem__"](Traced(view.read(where_of_caller(2))), key)
            HOOKS["within"](made, view.storage)
            return made
        taken = view.at[plain_key(key)]
        place = where_of_caller(2)
        if not isinstance(taken, np.ndarray):
            return _bare_or_traced(view.storage.entry(int(taken), place))
        if may_share_memory(taken, view.at):
            return written(view.storage, taken)
        return _bare_or_traced(view.storage.read(taken, place))


class Lost(Storage):
    """In place of the entries of a view at a place that was not known, once its array was written into."""

    __slots__ = ()

    def __init__(self, dtype: np.dtype[Any]):
        super().__init__(np.empty(0, np.intp), None, dtype)

    def read(self, at: Any, place: Any) -> Any:
        where = position(place)
        raise UnsupportedError("a row whose number is unknown is looked at after its array was written into",
                               where=str(where) if where else None,
                               why="in NumPy it shows what the array holds now, and while a function is compiled it is "
                               "not known whether that row has changed",
                               fix="copy the row when it is taken, x[i].copy(), or take it again, x[i]")  # fmt: skip

    entry = read

    def write(self, at: Any, key: Any, value: Any, place: Any) -> None:
        self.read(at, place)


def times_written(x: Any) -> int:
    """How often an array has been written into since something traced is in it; -1 if it never was."""
    x = now(x)
    return node_slot.__get__(x).storage.version if type(x) is Written else -1


def _bare_or_traced(made: Any) -> Any:
    if type(made) is Node:
        return opened(made)
    return made if isinstance(made, (np.generic, Number)) else HOOKS["buffer"](made)


def written(storage: Storage, at: np.ndarray[Any, Any]) -> Written:
    return Written(View(storage, at))


def plain_key(key: Any) -> Any:
    """An index without traced parts.  Raises TraceError where a number is not known, IndexError for floats."""
    if type(key) in SIMPLE:
        return key
    if type(key) is tuple:
        return tuple(plain_key(part) for part in key)
    if isinstance(key, Traced):
        if key.dtype.kind == "f":
            raise IndexError(NO_INDEX if key.node.aval.weak else f"a floating {key.dtype} cannot be an index")
        return np.asarray(key.value)[()]
    if isinstance(key, np.ndarray):
        decides(key)
        return key.view(np.ndarray)
    return key


ARRAYS.add(Written)
