"""Which entries depend on which, for rows that work on one matrix, or one line, after another.

Sparse Jacobians and questions about samples need it: the matrices of a batch have nothing to do with each other.  A
rule is a row's `depends`, see `row.py`: numbers of the cases, for the entries of an argument and of the result.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops import linalg, matrix_functions, scans  # noqa: F401 (the rows that the rules are for)
from payback.ops.row import TABLE

Array = np.ndarray[Any, Any]


def _numbered(shape: tuple[int, ...]) -> Array:
    return np.arange(prod(shape)).reshape(shape)


def _each_matrix(slot: int, *avals: Aval, **params: Any) -> tuple[Array, Array]:
    """Matrices in, matrices out."""
    cases = _each_number(slot, *avals)[1]
    return cases[..., None, None], cases[..., None, None]


def _each_number(slot: int, *avals: Aval, **params: Any) -> tuple[Array, Array]:
    """Matrices in, a number for each out."""
    leading = {aval.shape[:-2] for aval in avals}
    # a matrix that is met by several others makes one case of all
    cases = _numbered(leading.pop()) if len(leading) == 1 else np.zeros((), np.intp)
    return cases[..., None, None], cases


def _each_line(slot: int, *avals: Aval, axis: int, **params: Any) -> tuple[Array, Array]:
    """Along an axis."""
    shape = avals[slot].shape
    axis %= len(shape)
    cases = _numbered((*shape[:axis], 1, *shape[axis + 1 :]))
    return cases, cases


def _each_reduced(slot: int, x: Aval, axes: tuple[int, ...], keepdims: bool) -> tuple[Array, Array]:
    """Along some axes, which the result has not, or with one entry."""
    axes = tuple(axis % len(x.shape) for axis in axes)
    cases = _numbered(tuple(1 if axis in axes else extent for axis, extent in enumerate(x.shape)))
    return cases, cases if keepdims else cases.squeeze(axes)


for _name, _rule in {
    "inv": _each_matrix, "solve": _each_matrix, "cofactor": _each_matrix, "cofactor_along": _each_matrix,
    "cholesky": _each_matrix, "pinv": _each_matrix, "expm": _each_matrix, "sqrtm": _each_matrix,
    "solve_triangular": _each_matrix, "det": _each_number, "cumprod": _each_line, "recurrence": _each_line,
    "prod": _each_reduced,
}.items():  # fmt: skip
    TABLE[_name].depends = _rule
