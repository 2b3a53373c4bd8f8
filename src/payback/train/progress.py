"""How far a long work is: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

_REFRESH = 0.1  # seconds between two pictures
_PATIENCE = 0.3  # seconds that pass before somebody waits
_TICK = 1.0  # seconds between two pictures of a work that does not know how far it is


class Line:
    """A line that can be redrawn, at most ten times a second, and taken away.

    Only a carriage return moves the cursor: there is nothing that NO_COLOR would forbid.
    """

    def __init__(self, draw: Callable[[str], object], columns: int):
        """draw writes to the terminal, which is `columns` wide; 0: there is none, and nothing is drawn."""
        self._draw, self._columns = draw, columns
        self._start = time.monotonic()
        self._drawn_at = -math.inf
        self._drawn = 0  # columns of the line that is on the terminal now

    def _due(self, now: float) -> bool:
        return self._columns > 0 and now - self._drawn_at >= _REFRESH

    def _show(self, line: str, now: float) -> None:
        if len(line) >= self._columns:
            line = line[: self._columns - 2] + "…"
        self._draw("\r" + line + " " * (self._drawn - len(line)))
        self._drawn, self._drawn_at = len(line), now

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._drawn:
            self._draw("\r" + " " * self._drawn + "\r")
            self._drawn, self._drawn_at = 0, -math.inf


class Progress(Line):
    """A line that says how far the training is."""

    def __init__(self, total: int, draw: Callable[[str], object], columns: int):
        """total: the number of epochs; draw and columns: as of `Line`."""
        super().__init__(draw, columns)
        self._total = max(total, 1)

    def update(self, epoch: int, **values: float) -> None:
        """Show that `epoch` epochs are done, with numbers such as loss=0.31, accuracy=0.9."""
        now = time.monotonic()
        if not (self._due(now) or (self._columns and epoch >= self._total)):
            return
        done = min(max(epoch / self._total, 0.0), 1.0)
        left = _duration((now - self._start) * (1.0 - done) / done) if done > 0.0 else "?"
        facts = "".join(f"  {name} {value:.4g}" for name, value in values.items())
        bar = "#" * round(20 * done) + "-" * (20 - round(20 * done))
        self._show(f"epoch {epoch}/{self._total} [{bar}] {left} left{facts}", now)


class Waiting(Line):
    """A line that says what is being done and how much of it, once it has taken long enough to be asked for."""

    def __init__(self, what: str, draw: Callable[[str], object], columns: int):
        super().__init__(draw, columns)
        self._what = what

    def update(self, share: float) -> None:
        """Show that this share of the work is done, 0 to 1."""
        now = time.monotonic()
        if self._due(now) and now - self._start >= _PATIENCE:
            self._show(f"{self._what} {100 * share:.0f} %", now)


class Elapsed(Line):
    """A line that says what is being done and for how long, of a work that does not know how much of it is done."""

    def __init__(self, what: str, draw: Callable[[str], object], columns: int):
        super().__init__(draw, columns)
        self._what = what

    def update(self) -> None:
        now = time.monotonic()
        if self._due(now) and now - self._start >= _TICK:
            self._show(f"{self._what} … {_duration(now - self._start)}", now)

    @contextlib.contextmanager
    def ticking(self) -> Iterator[None]:
        """While the block runs the line is drawn once a second, by a thread: the block must not write itself."""
        if self._columns == 0:
            yield
            return
        done = threading.Event()

        def tick() -> None:
            while not done.wait(_TICK):
                self.update()

        thread = threading.Thread(target=tick, name="elapsed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is looking at the stream."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # the stream is closed
        return False


def columns_of(stream: TextIO | None) -> int:
    """The width of the terminal behind the stream; 80 if it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80 if stream is not None else 80
    except (OSError, ValueError):
        return 80


def progress_on_stderr(total: int) -> Progress:
    """A progress line on standard error, if that is a terminal."""

    def draw(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

    return Progress(total, draw, columns_of(sys.stderr) if is_terminal(sys.stderr) else 0)
