"""The parts of a ledger: accounts, the payments between them, and the events of their story.

What is expensive to know (a payment between arrays, a partial) is computed when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from payback.errors import PaybackError
from payback.glass.counts import EXACT, counted
from payback.ir.aval import Avals
from payback.ir.node import Node
from payback.ir.where import Position, position

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger


@lru_cache(maxsize=65536)
def _position(code: Any, offset: int) -> Position | None:
    return position((code, offset))


_LARGE = 1 << 14  # bytes


class lazy:  # noqa: N801 (as `property`)
    """An attribute that is computed when it is first read.  (`cached_property` takes a lock each time, in Python 3.11:
    of a ledger's hundred thousand amounts that is most of the time.)"""

    def __init__(self, compute: Callable[[Any], Any]):
        self.compute, self.__doc__ = compute, compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, thing: Any, owner: type | None = None) -> Any:
        if thing is None:
            return self
        value = self.compute(thing)
        setattr(thing, self.name, value)  # from now on it is found there
        return value


class lazy_unless_large(lazy):  # noqa: N801
    """One that keeps no large array: of what a loop pays an array, entry by entry, each is as large as all of it."""

    def __get__(self, thing: Any, owner: type | None = None) -> Any:
        if thing is None:
            return self
        value = self.compute(thing)
        if not isinstance(value, np.ndarray) or value.nbytes <= _LARGE:
            setattr(thing, self.name, value)
        return value


class LedgerError(PaybackError, AssertionError):
    """A ledger that does not add up."""


class Account:
    """One node in the book.

    settled: the sum of its pile, the derivative of the top by this node (of a node with several results a tuple of
    them, None for one that nobody pays); None where no path leads from the top to it, which is not the same as 0.

    `account[i, j]`, for an array, is the ledger of that entry alone, number by number (see `expand.py`).
    """

    def __init__(self, book: Ledger, node: Node, name: str | None = None):
        self.book, self.node = book, node
        if name is not None:
            self.name = name

    @lazy
    def name(self) -> str:
        """What the user's program calls it, else a letter (a number) or its operation (an array)."""
        return self.book.names[self.node]

    @lazy
    def settled(self) -> Any:
        """What its pile came to; None where nothing is paid."""
        bar = self.book.bars.get(self.node)
        return bar if type(bar) is float or bar is None else self.book.plain(bar)

    @lazy
    def layer(self) -> int | None:
        """Edges from the top on the longest path; None where none leads here."""
        return self.book.layers.get(self.node)

    @property
    def id(self) -> int:
        """The node's number: a node is younger than all that it is computed from."""
        return self.node.id

    @property
    def op(self) -> str:
        """The name of its row in the table, as "add"."""
        return str(self.node.op.name)

    @property
    def value(self) -> Any:
        """The node's value: a Python number, or an array that cannot be written into."""
        return plain_number(self.node.value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its value; () of a number."""
        return self.node.shape

    @lazy
    def where(self) -> Position | None:
        """The user's sub-expression that made it."""
        return _position(*self.node.where[:2]) if self.node.where is not None else None

    def __getitem__(self, index: Any) -> Ledger:
        return self.book.entry(self, index)

    def __repr__(self) -> str:
        return f"<{self.name} = {self.value!r}, settled {self.settled!r}>"


class Edge:
    """One payment: `payer` pays `arg`, its argument in `slot`, what it holds × the partial on the edge."""

    def __init__(self, book: Ledger, payer: Account, slot: int, arg: Account, paid: Any = None):
        self.book, self.payer, self.slot, self.arg = book, payer, slot, arg
        if type(paid) is float:
            self.paid = paid
        else:
            self._paid = paid  # as it lay on the pile; None: not kept

    @lazy
    def partial(self) -> float | str:
        """A number; between arrays the text of the op's rule, for the partial itself would be a large matrix."""
        return self.book.partial(self.payer.node, self.slot)

    @lazy_unless_large
    def paid(self) -> Any:
        """What is paid, of the shape of `arg`."""
        if self._paid is not None:
            return self.book.plain(self._paid)
        return self.book.payment(self.payer.node, self.slot)

    @property
    def rule(self) -> str:
        """The text of the op's rule."""
        row = self.payer.node.op
        return str(row.facts.get("math", row.name))

    @property
    def parallel(self) -> bool:
        """Whether the payer uses the same argument more than once, as in a·a."""
        return self.payer.node.args.count(self.arg.node) > 1

    @property
    def scalar(self) -> bool:
        """Whether its partial is a number."""
        return not (self.payer.shape or self.arg.shape or isinstance(self.payer.node.aval, Avals)
                    or isinstance(self.arg.node.aval, Avals))  # fmt: skip

    def __repr__(self) -> str:
        return f"<{self.payer.name} pays {self.arg.name} {self.paid!r}>"


class Settles(NamedTuple):
    """The event: all its users have paid, and the node adds up its pile (the top: what it is owed to begin with)."""

    account: Account
    pile: tuple[Edge, ...]


class Pays(NamedTuple):
    """The event: a settled node pays one argument."""

    edge: Edge


_event: Any = tuple.__new__  # a NamedTuple's own constructor is a function of Python's


class Events(Sequence[Settles | Pays]):
    """What happened, in order; an event is made when it is looked at.  A slice is a tuple."""

    def __init__(self, things: list[Account | Edge], received: Mapping[Account, tuple[Edge, ...]]):
        self._things, self._received = things, received

    def __len__(self) -> int:
        return len(self._things)

    def __iter__(self) -> Iterator[Settles | Pays]:
        received = self._received
        for thing in self._things:
            if isinstance(thing, Edge):
                yield _event(Pays, (thing,))
            else:
                yield _event(Settles, (thing, received.get(thing, ())))

    @overload
    def __getitem__(self, which: int) -> Settles | Pays: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Settles | Pays, ...]: ...
    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return tuple(Events(self._things[which], self._received))
        return next(iter(Events([self._things[which]], self._received)))

    def __repr__(self) -> str:
        return f"<{len(self):,} events>"


class Race(NamedTuple):
    """Collecting path by path against paying back: exact numbers of paths, edges walked on them, edges swept."""

    paths: int
    walks: int
    visits: int

    def __repr__(self) -> str:  # Python writes no more than 4,300 digits
        exact = max(self.paths, self.walks).bit_length() <= EXACT
        paths, walks = (self.paths, self.walks) if exact else (counted(self.paths), counted(self.walks))
        return f"Race(paths={paths}, walks={walks}, visits={self.visits})"


def plain_number(value: Any) -> Any:
    """A scalar as a Python float, whatever type computed it; anything else as it is.

    >>> plain_number(np.float64(2.0))
    2.0
    """
    if type(value) is float:
        return value
    return float(value) if not isinstance(value, (tuple, list)) and np.ndim(value) == 0 else value


def ratio(gross: Any, net: Any) -> Any:
    """κ: how many times as large the amounts on the way are as what comes out; None where nothing does."""
    if net is None or gross is None or isinstance(net, tuple):
        return None
    with np.errstate(all="ignore"):
        size = np.abs(net)
        return plain_number(np.where((gross == 0) & (size == 0), 1.0, np.divide(gross, size))[()])
