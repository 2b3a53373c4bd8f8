"""Classes of NumPy's that dispatch nothing: they stay, and a method of theirs asks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

from payback.trace.array import NODE_TYPES
from payback.trace.assignment.buffer import any_traced
from payback.trace.numpy.concatenators import CONCATENATOR, enumerated, joined
from payback.trace.numpy.vectorize import vectorized
from payback.trace.refusals.handled import BOUNDARIES, errors_raised
from payback.trace.scalars.number import NUMBERS
from payback.trace.shim.wrappers import special_wrapper
from payback.trace.tree import leaves


def _vectorize_call(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    return vectorized(self, *args, **kwargs) if any_traced((args, kwargs)) else original(self, *args, **kwargs)


def _without_numbers() -> bool:
    """Whether the function that is being traced was given shapes only."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code not in BOUNDARIES:
        frame = frame.f_back
    given = leaves((frame.f_locals["args"], frame.f_locals["kwargs"])) if frame is not None else []
    return any(type(x) in NUMBERS or (type(x) in NODE_TYPES and x.node.value is None) for x in given)


def _errstate(original: Callable[..., Any], self: Any) -> Any:
    return errors_raised(original, self, _without_numbers)


SPECIAL = [
    special_wrapper(np.vectorize, "__call__", _vectorize_call, always=True),
    special_wrapper(CONCATENATOR, "__getitem__", joined, always=False),
    special_wrapper(np.ndenumerate, "__init__", enumerated, always=True),
    special_wrapper(np.errstate, "__enter__", _errstate, always=False),
]
