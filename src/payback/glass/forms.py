"""The forms in which a ledger is given away: JSON, text, Graphviz, a notebook's bundle, a picture, a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger


class Forms:
    """What a ledger can be written as.  The modules that write are imported when they are asked."""

    @property
    def _book(self) -> Ledger:
        return self  # type: ignore[return-value]  # this is its base

    def to_json(self, values: int = 64) -> str:
        """The ledger as JSON text, see `record.py` for its format; arrays of up to `values` entries in full."""
        from payback.glass.record import to_json

        return to_json(self._book, values)

    def to_text(self) -> str:
        """The ledger for people: a small one as its story, a large one as a table."""
        from payback.glass.text import to_text

        return to_text(self._book)

    def to_dot(self) -> str:
        """The graph in Graphviz's language."""
        from payback.glass.text import to_dot

        return to_dot(self._book)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For notebooks: a still picture, the table, and the page in a frame of its own."""
        from payback.glass.page import bundle

        return bundle(self._book)

    def svg(self) -> str:
        """The graph as a still picture, see `draw.py`.  Raises InputError for more than 400 nodes."""
        from payback.glass.draw import svg

        return svg(self._book)

    def html(self, path: str | Path, title: str | None = None) -> Path:
        """Write the ledger as a page of its own, one file without network; returns the path.

        title: the page's; by default the source text of the top.  Raises InputError where the file cannot be written.
        """
        from payback.glass.page import html_of, write

        return write(path, html_of(self._book, title))
