"""Whether a program's threads all run it or one does: whichever has been quicker lately.

What a second core saves is not known before: cores may be far from each other, slowed by each other, or busy, and a
virtual machine's change places while it runs.  Results do not depend on it, so it may be tried out.
"""

from __future__ import annotations

from collections import deque
from math import ceil

FIRST, LONGEST = 0.03, 0.96  # seconds of running between two trials: at first, and where the same wins again and again
TRIAL = 0.006  # seconds of a trial, or one round: waking others takes a twentieth of it
FEW = 8  # rounds that are run before others count
GIVEN_UP = 4  # calls after which a trial ends if each of them took a quarter longer than usual
RARELY = 64  # times as long as a trial takes are at least between two
WAKING = 200e-6  # seconds that others have to save to be woken before anything is known
LAST = 32  # measurements whose median is what a round takes: where cores come and go, the least is seldom met again


class Pace:
    """shared: what is chosen now; several threads may ask at once, whose numbers then get mixed up and no more."""

    def __init__(self, seconds: float):
        """seconds: that the others save in a round, roughly."""
        self._seconds = seconds
        self.shared: bool | None = None
        self._trial, self._calls = False, 0
        self._least = [0.0, 0.0]  # seconds of a round, alone and shared; 0: not known
        self._last: list[deque[float]] = [deque(maxlen=LAST), deque(maxlen=LAST)]
        self._begun = False
        self._spent, self._wait = 0.0, FIRST

    def next(self, rounds: int) -> tuple[bool, int]:
        """Whether the threads share what comes next, and how many of so many rounds that is."""
        if self.shared is None:
            self.shared = self._seconds * rounds >= WAKING
        shared = self.shared ^ self._trial
        round_ = self._least[shared] or self._least[not shared]
        if not round_:
            return shared, min(rounds, FEW)
        until = TRIAL if self._trial else max(self._wait - self._spent, TRIAL)
        first = self._trial and not self._calls  # threads that come from sleep are slow
        return shared, min(rounds, ceil(until / round_), FEW if first else rounds)

    def learn(self, shared: bool, rounds: int, seconds: float) -> None:
        """So many rounds took so long."""
        if not self._begun:  # it was the first to touch its memory
            self._begun = True
            return
        a_round, known = seconds / rounds, self._least[shared]
        self._least[shared] = min(known, a_round) if known else a_round
        self._last[shared].append(a_round)
        self._spent += seconds
        if shared == (not self.shared):
            self._calls += 1
            hopeless = self._calls >= GIVEN_UP and self._least[shared] > 1.25 * self._least[not shared] > 0.0
            self._trial = self._spent < TRIAL and not hopeless
            if not self._trial:
                self._decide()
        elif self._spent >= self._wait:
            self._trial, self._calls, self._spent = True, 0, 0.0
            self._forget(not shared)

    def _decide(self) -> None:
        tried = not self.shared
        other, usual = (_median(self._last[way]) for way in (tried, not tried))
        self._wait = FIRST if other < usual else min(2 * self._wait, LONGEST)
        self._wait = max(self._wait, RARELY * other)
        self.shared = tried if other < usual else not tried
        self._forget(self.shared)  # what it takes from now on
        self._spent = 0.0

    def _forget(self, shared: bool) -> None:
        self._least[shared] = 0.0
        self._last[shared].clear()


def _median(seconds: deque[float]) -> float:
    return sorted(seconds)[(len(seconds) - 1) // 2] if seconds else 0.0
