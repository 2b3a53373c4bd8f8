"""What a ledger is asked: for paths, parts and sizes of its gradient, for what it costs, and whether it adds up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from payback.errors import InputError
from payback.glass import blame
from payback.glass.accounts import Account, Edge
from payback.glass.blame import Blame, Cut, Part
from payback.glass.check import check, check_replay
from payback.glass.cost import Cost, cost
from payback.glass.digits import Digits, digits
from payback.glass.flow import Flow, flow
from payback.glass.forms import Forms
from payback.glass.paths import Paths
from payback.glass.step import Walk
from payback.ir.node import Node

Which = Account | Node | str


class Questions(Forms):
    """A method for each question; the file that it calls has the answer."""

    def paths(self, top: Which | None = None, leaf: Which | None = None) -> Paths:
        """The paths from one node (the top) down to another (the only leaf); raises InputError as `account` does."""
        book = self._book
        if leaf is None and len(book.leaves) != 1:
            known = ", ".join(account.name for account in book.leaves)
            raise InputError("paths() does not say to which leaf", fix=f"name one of {known}")
        return Paths(book, book.account(top or book.top), book.account(book.leaves[0] if leaf is None else leaf))

    def cut(self, edge: Edge) -> Cut:
        """The exact gradient without an edge, by one more sweep, and its cosine to the real one.

        edge: of this ledger, or of what is inside its loops (`opened`).  Raises InputError for one of another ledger.
        """
        return blame.cut(self._book.opened if edge.book is not self._book else self._book, edge)

    def through(self, predicate: Callable[[Account], Any] | None = None, **where: Any) -> Part:
        """The part of the gradient along the paths that pass a place: see `blame.through`.

        One of: a predicate on accounts, layer=3 (edges from the top), line=12 or "file.py:12", term="…" (of the loss),
        sample=5 with samples="X".  Lines are those in loops too.  Raises InputError for a place that is not there.
        """
        return blame.through(self._book.opened if "line" in where else self._book, predicate, **where)

    def blame(self, by: str, samples: Any = None) -> Blame:
        """The gradient in parts that add up to it.

        by: "line", "layer" or "op" (who pays the leaves in the end), "term" (of the loss), "sample" (through which row
        of the arrays that `samples` names; one sweep for each).  Of a loop, lines and ops are those inside.  Raises
        InputError for other words.
        """
        return blame.blame(self._book.opened if by in ("line", "op") else self._book, by, samples)

    def flow(self) -> Flow:
        """How large the adjoints are on their way down: norms before and after each payment, in powers of two.

        Loops are looked into, step by step.  Raises InputError as `opened` does.
        """
        return flow(self._book.opened)

    def cost(self) -> Cost:
        """Flops and bytes of the value and of its gradient, counted op by op, beside the bound."""
        return cost(self._book)

    def digits(self) -> Digits:
        """How many digits of the gradient are right, entry by entry, and which nodes lose the others: by the same graph
        and sweep in a wider dtype (float64 for float32, NumPy's long double for float64).

        Returns a `payback.glass.digits.Digits`, which prints itself.  Raises InputError where no wider dtype is.
        """
        return digits(self._book)

    def step(self) -> Walk:
        """A walk through the events, forwards and back, with breakpoints."""
        return Walk(self._book)

    def check(self, replay: bool = False) -> None:
        """Add everything up again, from an empty book: see `check.py`.

        replay: also run the function once more, and compare every value.  Raises LedgerError naming the first thing
        that does not add up.
        """
        check(self._book)
        if replay:
            check_replay(self._book)
