"""Schedules: the step length (learning rate) as a function of the step.

`schedule(step, total)` gives the rate for step 0, 1, …, total − 1 of a run of `total` steps.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from payback.errors import InputError
from payback.ir.arguments import answered


def positive(name: str, value: float, zero: bool = False) -> float:
    """The number, checked.  Raises InputError unless it is finite and positive (or zero, if allowed)."""
    if (
        isinstance(value, (bool, np.timedelta64))  # which counts as an integer
        or not isinstance(value, (float, int, np.floating, np.integer))
        or (value > sys.float_info.max if isinstance(value, int) else not math.isfinite(value))
        or value < 0
        or (value == 0 and not zero)
    ):
        raise InputError(
            f"{name} is {value!r}", why=f"it must be a {'number from 0 up' if zero else 'positive number'}"
        )
    return float(value)


@answered("pb.optim.Schedule")
@dataclass(frozen=True)
class Schedule:
    """The base of schedules: `schedule(step, total)` is the length of step 0 … total − 1.

    rate: the highest step length, a positive number, else InputError.
    One of your own defines `__call__`.

    >>> from dataclasses import dataclass
    >>> import payback as pb
    >>> @dataclass(frozen=True)
    ... class Halving(pb.optim.Schedule):
    ...     def __call__(self, step, total):
    ...         return self.rate / 2**step
    >>> pb.optim.Adam(Halving(0.4)).schedule(2, 10)
    0.1
    """

    rate: float

    def __post_init__(self) -> None:
        positive("the step length", self.rate)

    def __call__(self, step: int, total: int) -> float:
        raise NotImplementedError

    def rates(self, first: int, count: int, total: int) -> np.ndarray[Any, Any]:
        """The rates of `count` steps from `first` on, as float64: those of the calls, to the bit.

        >>> Cosine(1.0).rates(0, 5, 5).round(3)
        array([1.   , 0.854, 0.5  , 0.146, 0.   ])
        """
        return np.array([self(step, total) for step in range(first, first + count)], np.float64)


@answered("pb.optim.Constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """Always the same: what a number as the rate means.

    rate: a positive number, else InputError.

    >>> import payback as pb
    >>> pb.optim.Constant(0.1)(7, 10)
    0.1
    """

    def __call__(self, step: int, total: int) -> float:
        return self.rate

    def rates(self, first: int, count: int, total: int) -> np.ndarray[Any, Any]:
        return np.full(count, self.rate, np.float64)


@answered("pb.optim.StepDecay")
@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiplied by `factor` after every `every` steps.

    every, factor: positive numbers, else InputError.

    >>> import payback as pb
    >>> [pb.optim.StepDecay(1.0, every=2, factor=0.5)(step, 6) for step in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    every: int = 1000
    factor: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("every", self.every)
        positive("factor", self.factor)

    def __call__(self, step: int, total: int) -> float:
        return self.rate * self.factor ** (step // self.every)

    def rates(self, first: int, count: int, total: int) -> np.ndarray[Any, Any]:
        times, which = np.unique(np.arange(first, first + count) // self.every, return_inverse=True)
        return np.array([self.rate * self.factor**k for k in times.tolist()], np.float64)[which]


@answered("pb.optim.Cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `rate` down to `final` over the run (Loshchilov & Hutter, ICLR 2017).

    final: a number from 0 up, else InputError.

    >>> import payback as pb
    >>> [round(pb.optim.Cosine(1.0)(step, 5), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("final", self.final, zero=True)

    def __call__(self, step: int, total: int) -> float:
        return float(self.rates(step, 1, total)[0])  # one cosine for both: the system's may round another way

    def rates(self, first: int, count: int, total: int) -> np.ndarray[Any, Any]:
        part = np.minimum(1.0, np.arange(first, first + count) / max(1, total - 1))
        return self.final + (self.rate - self.final) * 0.5 * (1 + np.cos(math.pi * part))


@answered("pb.optim.WarmUp")
@dataclass(frozen=True)
class WarmUp(Schedule):
    """Linear from near zero over `steps` steps, then what `then` says (constant unless given).

    steps: a positive number, else InputError.  then: a schedule, which is asked from its step 0 on.

    >>> import payback as pb
    >>> [pb.optim.WarmUp(1.0, steps=4)(step, 10) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    steps: int = 100
    then: Schedule | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive("steps", self.steps)

    def __call__(self, step: int, total: int) -> float:
        if step < self.steps:
            return self.rate * (step + 1) / self.steps
        return self.rate if self.then is None else self.then(step - self.steps, max(1, total - self.steps))

    def rates(self, first: int, count: int, total: int) -> np.ndarray[Any, Any]:
        if not isinstance(self.steps, int):
            return super().rates(first, count, total)
        then = Constant(self.rate) if self.then is None else self.then
        rising = min(max(self.steps - first, 0), count)
        after = then.rates(first + rising - self.steps, count - rising, max(1, total - self.steps))
        return np.concatenate([self.rate * np.arange(first + 1, first + rising + 1) / self.steps, after])


# The closed list of schedules that may be named in files.
SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step_decay": StepDecay,
    "cosine": Cosine,
    "warm_up": WarmUp,
}
