"""What happened, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from payback.elsewhere import missing_method


class History:
    """Records of a training, one dict an epoch.  `history["loss"]` is the column, `history[-1]` the last record.

    >>> history = History()
    >>> history.append({"epoch": 1, "loss": 0.5})
    >>> history["loss"], len(history), history[-1]["epoch"]
    ([0.5], 1, 1)
    """

    def __init__(self, records: list[dict[str, Any]] | None = None) -> None:
        self.records: list[dict[str, Any]] = list(records or [])

    def append(self, record: dict[str, Any]) -> None:
        """One epoch more: its numbers by name."""
        self.records.append(record)

    def __getitem__(self, which: int | str) -> Any:
        """A record by its number, or a column by its name.  Raises KeyError naming the columns."""
        if isinstance(which, int):
            return self.records[which]
        columns = self.columns
        if which not in columns:
            raise KeyError(f"{which}: the history has {', '.join(columns) or 'no epochs yet'}")
        return [record.get(which) for record in self.records]

    @property
    def columns(self) -> list[str]:
        """The names that records have, in the order in which they first came."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    @property
    def history(self) -> Any:
        """Keras's name.  (A `__getattr__` would make every attribute slow to find, in each epoch.)"""
        raise missing_method("a history", self, "history")

    def __repr__(self) -> str:
        return f"History({len(self.records)} epochs: {', '.join(self.columns)})"
