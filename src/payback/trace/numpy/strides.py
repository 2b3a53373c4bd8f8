"""np.lib.stride_tricks.as_strided: a view by strides of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback.errors import UnsupportedError
from payback.trace.array import Traced
from payback.trace.assignment.buffer import Buffer, alias
from payback.trace.assignment.views import laid_out, looked_at
from payback.trace.dispatch import here
from payback.trace.plain_arrays import now


def as_strided(
    original: Callable[..., Any], x: Any, shape: Any = None, strides: Any = None, subok: bool = False,
    writeable: bool = True,
) -> Any:  # fmt: skip
    """A view of a traced array as NumPy has it, where it stays inside: what lies beyond is anybody's."""
    traced = now(x)
    if not isinstance(traced, Traced):
        made = original(traced, shape, strides, writeable=writeable)
        return alias(made, x) if type(x) is Buffer else original(x, shape, strides, subok, writeable)
    size, at = x.dtype.itemsize, laid_out(traced)
    if strides is None:
        strides = [step // at.itemsize * size for step in at.strides]
    shape, strides = (int(n) for n in np.atleast_1d(traced.shape if shape is None else shape)), np.atleast_1d(strides)
    shape, steps = tuple(shape), [int(step) // size for step in strides]
    ends = [step * (extent - 1) for step, extent in zip(steps, shape, strict=True)]
    inside = 0 in shape or (sum(min(end, 0) for end in ends) == 0 and sum(ends) < traced.size)
    if not at.flags.c_contiguous or any(int(step) % size for step in strides) or not inside:
        raise UnsupportedError("as_strided of traced values", where=here(),
                               why="it reaches beyond the array, or into the gaps of one that does not lie by rows",
                               fix="write it with slices, np.ascontiguousarray or sliding_window_view")  # fmt: skip
    how = {"shape": shape, "strides": steps, "writeable": writeable}
    places = original(np.arange(traced.size), shape, [8 * step for step in steps])
    return looked_at(traced, "strided", how, lambda: traced.reshape(-1)[places])


CALLERS = {"numpy.lib.stride_tricks": {"as_strided": as_strided}}
