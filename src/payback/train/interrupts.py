"""Ctrl-C waits while a step, and what is told of it, are written down: a training is always where it says it is."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupts:
    """With it, Ctrl-C raises KeyboardInterrupt as ever while this is open, and as soon as it opens while it is closed.

    Another handler of the program's own is left alone.  closed: what was interrupted now is in the middle of something.
    """

    def __init__(self) -> None:
        self.closed = self.waiting = self._ours = False

    def __enter__(self) -> Interrupts:
        self._ours = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._ours:
            signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._ours and signal.getsignal(signal.SIGINT) == self._heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _heard(self, number: int, frame: Any) -> None:
        if not self.closed:
            raise KeyboardInterrupt
        self.waiting = True

    def close(self) -> None:
        self.closed = True

    def open(self) -> None:
        """Raises the KeyboardInterrupt that waits."""
        self.closed = False
        if self.waiting:
            self.waiting = False
            raise KeyboardInterrupt

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open for a while, and closed after it if it was before."""
        before = self.closed
        self.open()
        yield
        self.closed = before
