"""`step`: the sweep event by event, forwards and back, with breakpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.errors import InputError
from payback.glass.accounts import Account, Pays, Settles

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

Stop = Callable[[Account], Any] | float | str


class Walk:
    """A place in the events of a ledger: the first `at` of them have happened.

    piles     what has been paid so far and is not settled yet: name -> payments
    settled   what has been settled so far: name -> amount

    >>> import payback as pb
    >>> walk = pb.explain(lambda a, b: (a + b) * (b + 1), 2, 1).step()
    >>> walk.until(2.5).account.name, walk.at
    ('d', 5)
    >>> walk.piles, walk.settled
    ({}, {'e': 1.0, 'c': 2.0, 'd': 3.0})
    """

    def __init__(self, book: Ledger):
        self.book, self.events, self.at = book, book.events, 0

    @property
    def event(self) -> Settles | Pays | None:
        """What has happened last."""
        return self.events[self.at - 1] if self.at else None

    def forward(self, count: int = 1) -> Settles | Pays | None:
        """Go on by some events; returns the last, None if there was none left."""
        return self.goto(self.at + count) if self.at < len(self.events) else None

    def back(self, count: int = 1) -> Settles | Pays | None:
        """Take some events back; returns what is the last one now."""
        return self.goto(max(self.at - count, 0))

    def goto(self, at: int) -> Settles | Pays | None:
        """To the place after the first `at` events.  Raises InputError for a place that is not there."""
        if at < 0:
            raise InputError(f"there is no place {at}", why=f"there are {len(self.events)} events")
        self.at = min(at, len(self.events))
        return self.event

    def until(self, stop: Stop) -> Settles | Pays | None:
        """Forwards to the next settlement where the breakpoint holds; None, at the end, if there is none.

        stop: a predicate on the account; a number, for |adjoint| above it in any entry; or "nan".
        """
        return self._search(range(self.at, len(self.events)), stop, len(self.events))

    def back_until(self, stop: Stop) -> Settles | Pays | None:
        """Backwards to the settlement before the last event where the breakpoint holds; None, at the start, if none."""
        return self._search(range(self.at - 2, -1, -1), stop, 0)

    def _search(self, places: range, stop: Stop, end: int) -> Settles | Pays | None:
        holds = _breakpoint(stop)
        for k in places:
            event = self.events[k]
            if isinstance(event, Settles) and holds(event.account):
                return self.goto(k + 1)
        self.at = end
        return None

    @property
    def piles(self) -> dict[str, list[Any]]:
        """What accounts have been paid and have not settled yet, by name."""
        piles: dict[str, list[Any]] = {}
        for event in self.events[: self.at]:
            if isinstance(event, Pays):
                piles.setdefault(event.edge.arg.name, []).append(event.edge.paid)
            else:
                piles.pop(event.account.name, None)
        return piles

    @property
    def settled(self) -> dict[str, Any]:
        """What the accounts that have settled came to, by name."""
        done = (event.account for event in self.events[: self.at] if isinstance(event, Settles))
        return {account.name: account.settled for account in done}

    def __repr__(self) -> str:
        return f"<after {self.at} of {len(self.events)} events>"


def _breakpoint(stop: Stop) -> Callable[[Account], Any]:
    if callable(stop):
        return stop
    if stop == "nan":
        return lambda account: any(np.isnan(part).any() for part in _parts(account))
    if isinstance(stop, (int, float)) and not isinstance(stop, bool):
        return lambda account: any((np.abs(part) > stop).any() for part in _parts(account))
    raise InputError(f"the breakpoint is {stop!r}", why='it is a predicate, a number or "nan"')


def _parts(account: Account) -> list[Any]:
    settled = account.settled if isinstance(account.settled, tuple) else (account.settled,)
    return [np.asarray(part) for part in settled if part is not None]
