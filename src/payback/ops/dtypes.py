"""Promotion, settled once, when a node is appended: NumPy's own rules, asked of NumPy on empty arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from payback.ir.aval import Aval, aval_of
from payback.ops.namespace import Values
from payback.ops.row import Row

_SAMPLES: dict[str, Any] = {"f": 1.0, "i": 1, "b": True}


@lru_cache(maxsize=4096)
def common_dtype(dtypes: tuple[np.dtype[Any] | str, ...], floating: Row | None = None) -> np.dtype[Any]:
    """The dtype that all arguments are cast to; weak ones are given by their kind, "f", "i" or "b".

    floating: a row that computes with floating numbers only; whole ones become what NumPy makes of them there, which
    differs: exp(int8) and hypot(int8, int8) are float16, int8 / int8 is float64.
    """
    dtype = np.result_type(*[_SAMPLES[d] if isinstance(d, str) else d for d in dtypes])
    if floating is None or (dtype.kind in "fc" and floating.numeric == "float"):
        return dtype
    assert floating.value is not None
    whole = np.dtype(np.int8) if dtype.kind == "b" else dtype  # a boolean is to such functions a small integer
    whole = np.dtype(np.bool_) if floating.numeric == "wide" else whole
    samples = [_SAMPLES[d] if isinstance(d, str) else np.empty(0, whole if d.kind == "b" else d) for d in dtypes]
    with np.errstate(all="ignore"):
        return np.asarray(floating.value(Values, *samples)).dtype


@lru_cache(maxsize=4096)
def _probe(row: Row, dtypes: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    assert row.value is not None
    with np.errstate(all="ignore"):
        return np.asarray(row.value(Values, *[np.empty(0, d) for d in dtypes])).dtype


@lru_cache(maxsize=4096)
def weak_result(row: Row, kinds: tuple[str, ...]) -> Aval:
    """What the row makes of Python numbers: operators make Python numbers again, ufuncs do not."""
    assert row.value is not None
    with np.errstate(all="ignore"):
        return aval_of(row.value(Values, *[_SAMPLES[kind] for kind in kinds]))


def result_dtype(row: Row, avals: Sequence[Aval]) -> np.dtype[Any]:
    """The dtype of a pointwise result, arguments promoted."""
    return _probe(row, tuple([a.dtype for a in avals]))


def kind_of(aval: Aval) -> np.dtype[Any] | str:
    """What promotion must know of an argument: its dtype, or the kind of a weak one."""
    return aval.dtype.kind if aval.weak else aval.dtype
