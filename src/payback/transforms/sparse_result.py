"""A sparse derivative whose entries are traced: what stands for SciPy's matrix while a function is recorded.

Where the entries lie is known, for the structure of the computation says it.  So it is a container of one leaf, its
entries; what is put together of bare numbers again, as a compiled function does with its result, is SciPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import InputError, UnsupportedError
from payback.ops.index import Place
from payback.trace.array import Traced
from payback.trace.dispatch import emit, here
from payback.trace.tree import CONTAINERS

_INT32 = int(np.iinfo(np.int32).max)


class SparseResult:
    """`data[indptr[i]:indptr[i + 1]]` are the entries of row i, in the columns `indices` of the same places."""

    ndim = 2

    def __init__(self, data: Any, indices: Any, indptr: Any, shape: tuple[int, int]):
        # as SciPy would have them, which would look through all of them for that
        index = np.int32 if max(*shape, len(indices)) <= _INT32 else np.int64
        self.data, self.indices, self.indptr = data, np.asarray(indices, index), np.asarray(indptr, index)
        self.shape = shape

    @property
    def nnz(self) -> int:
        return len(self.indices)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.data.dtype

    @property
    def T(self) -> SparseResult:  # noqa: N802
        order = np.argsort(self.indices, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(self.indices, minlength=self.shape[1]))])
        return SparseResult(self.data[order], self._rows()[order], starts, self.shape[::-1])

    def toarray(self) -> Any:
        size = self.shape[0] * self.shape[1]
        return _added(self.data, self._rows() * self.shape[1] + self.indices, size).reshape(self.shape)

    todense = toarray

    def diagonal(self) -> Any:
        on = np.flatnonzero(self._rows() == self.indices)
        return _added(self.data[on], self.indices[on], min(self.shape))

    def dot(self, other: Any) -> Any:
        return self @ other

    def __matmul__(self, other: Any) -> Any:
        if np.ndim(other) not in (1, 2) or np.shape(other)[0] != self.shape[1]:
            return NotImplemented
        data = self.data if np.ndim(other) == 1 else self.data[:, None]
        return _added(data * other[self.indices], self._rows(), self.shape[0])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise UnsupportedError(f".{name} of a sparse derivative", where=here(),
                               why="its entries are not known while a function is compiled or differentiated",
                               fix="use data, indices, indptr, T, diagonal(), toarray() or @, or return it and go on "
                               "with SciPy's matrix")  # fmt: skip

    def made(self, data: Any) -> Any:
        """The same with other entries: SciPy's matrix, where they are numbers."""
        if np.ndim(data) != 1:
            raise UnsupportedError("a sparse derivative of each sample of a batch", where=here(),
                                   why="SciPy has no stack of sparse matrices",
                                   fix="return its entries (.data) or .toarray() from what is batched")  # fmt: skip
        if isinstance(data, Traced):
            return SparseResult(data, self.indices, self.indptr, self.shape)
        # SciPy's methods may write into all three
        return csr()((data, self.indices.copy(), self.indptr.copy()), shape=self.shape)

    def __repr__(self) -> str:
        return f"<sparse derivative of shape {self.shape} with {self.nnz} entries, traced>"

    def _rows(self) -> Any:
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))  # int64: so are products of them

    # NumPy would take it for a scalar of its own
    __array_ufunc__ = None


def _added(values: Any, at: Any, size: int) -> Any:
    """Values that share a place are added."""
    if isinstance(values, Traced):
        shape = (size, *values.shape[1:])
        return emit("scatter", values, at, shape=shape, templates=((Place(0),),), counts=(1,), dtype=values.dtype)
    made = np.zeros((size, *values.shape[1:]), values.dtype)
    np.add.at(made, at, values)
    return made


def csr() -> Any:
    """SciPy's class.  Raises InputError where it is not installed."""
    try:
        from scipy.sparse import csr_array
    except ImportError:
        raise InputError("sparse=True needs SciPy, which is not installed", why="it returns a scipy.sparse.csr_array",
                         fix="pip install scipy, or leave sparse=True away") from None  # fmt: skip
    return csr_array


CONTAINERS[SparseResult] = lambda tree: tree.data, SparseResult.made
