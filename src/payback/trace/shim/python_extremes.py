"""`max` and `min` of numbers that are not known while a function is compiled: the first that no later one exceeds.

Python compares, and takes one of them.  Where it cannot, each comparison is a choice in the graph, with the same result
for equal ones and NaN, and the same derivative: that of the one which is taken.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from payback.trace.array import Traced
from payback.trace.dispatch import emit
from payback.trace.plain_arrays import now
from payback.trace.scalars.number import NUMBERS
from payback.trace.shim.wrappers import TRACING


def _unknown(x: Any) -> bool:
    return type(x) in NUMBERS or (isinstance(x, Traced) and x.dtype.kind == "f" and x.node.value is None)


def _number(x: Any) -> bool:
    return isinstance(x, (int, float, Traced)) and not getattr(x, "shape", ())


def _extreme(original: Callable[..., Any], exceeds: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def longer(a: Any, b: Any) -> Any:
        chosen = exceeds(b, a)
        return (b if chosen else a) if isinstance(chosen, bool) else emit("select", chosen, b, a)

    @functools.wraps(original)
    def extreme(*args: Any, **kwargs: Any) -> Any:
        if not TRACING.get() or "key" in kwargs:
            return original(*args, **kwargs)
        if len(args) == 1 and not _number(args[0]):
            args = (list(args[0]),)
        items = args if len(args) > 1 else args[0]
        if isinstance(items, (list, tuple)) and items:
            numbers = [now(x) for x in items]
            if any(map(_unknown, numbers)) and all(map(_number, numbers)):
                return functools.reduce(longer, numbers)
        return original(*args, **kwargs)

    return extreme


MAX, MIN = _extreme(max, operator.gt), _extreme(min, operator.lt)
