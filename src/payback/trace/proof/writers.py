"""Code that writes into arrays: what it makes of plain arrays can be written into, wherever a wrapper sees it made."""

from __future__ import annotations

import dis
from types import CodeType
from typing import Any

import numpy as np

from payback.trace.assignment.buffer import buffer

_STORES = {dis.opmap[name] for name in ("STORE_SUBSCR", "STORE_SLICE") if name in dis.opmap}
_WRITERS = {"at", "copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}  # of NumPy
_known: dict[int, tuple[CodeType, bool]] = {}
_MOST_CODES = 4000  # code that is made while a program runs is not kept for ever


def writes(code: CodeType) -> bool:
    """Whether a code writes into something by index, or calls what does."""
    known = _known.get(id(code))
    if known is None:
        if len(_known) >= _MOST_CODES:
            _known.clear()
        stores = not _WRITERS.isdisjoint(code.co_names) or not _STORES.isdisjoint(code.co_code[::2])
        known = _known[id(code)] = code, stores
    return known[1]


def for_writer(made: np.ndarray[Any, Any], code: CodeType) -> Any:
    """A new array as a buffer if the code that it is made for writes into arrays; as it is elsewhere."""
    return buffer(made) if made.ndim and writes(code) else made
