"""Products of SciPy's sparse matrices with traced arrays: `A @ x`, `x @ A`, `A.dot(x)`, and `A * x` of matrices.

SciPy asks an operand of a class that it does not know for an array, and where it gets an object without axes it leaves
the product to that operand.  So a traced array says no more than that to SciPy's dispatch (`leaves_to_operand`), and
Python comes here.  What the matrix holds is constant; entries that stand twice are added, as SciPy adds them.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np

from payback.errors import ShapeError
from payback.ops.index import Place
from payback.trace.array import Traced
from payback.trace.dispatch import emit, here
from payback.trace.operators import HOOKS

_DISPATCH = {"_matmul_dispatch", "_mul_dispatch"}  # of SciPy from 1.13 on, and of those before


def leaves_to_operand(frame: FrameType) -> bool:
    """Whether SciPy's dispatch of a product runs there, which hands it over to who is no array."""
    return frame.f_code.co_name in _DISPATCH and frame.f_globals.get("__name__", "").startswith("scipy.sparse")


def asked_by_product(frame: FrameType) -> bool:
    """Whether that dispatch asks for an array, through a wrapper of ours or by itself."""
    while frame.f_globals.get("__name__", "").startswith("payback.") and frame.f_back is not None:
        frame = frame.f_back
    return leaves_to_operand(frame)


def is_sparse(x: Any) -> bool:
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(x))


def _is_matrix(x: Any) -> bool:
    """Whether `*` is the matrix product."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and isinstance(x, sparse.spmatrix)


def product(a: Any, b: Any) -> Any:
    """`a @ b` of a sparse matrix and a traced array of one or two axes."""
    from_left = is_sparse(a)
    matrix, x = (a, b) if from_left else (b.T, b if from_left else a)
    x = x if isinstance(x, Traced) else np.asarray(x)
    if len(matrix.shape) != 2 or len(x.shape) not in (1, 2):
        raise ShapeError("a product with a sparse matrix", where=here(), why=f"the shapes are {a.shape} and {b.shape}",
                         fix="multiply a matrix by a vector or a matrix")  # fmt: skip
    rows = x if from_left or len(x.shape) == 1 else x.T
    if matrix.shape[1] != rows.shape[0]:
        raise ShapeError("matmul of shapes that do not fit", where=here(), why=f"they are {a.shape} and {b.shape}",
                         fix="the inner axes must be equally long")  # fmt: skip
    entries = matrix.tocoo()
    data = entries.data if len(rows.shape) == 1 else entries.data[:, None]
    made = emit("scatter", data * rows[entries.col], entries.row, shape=(matrix.shape[0], *rows.shape[1:]),
                templates=((Place(0),),), counts=(1,), dtype=np.result_type(entries.data, rows.dtype))  # fmt: skip
    return made if from_left or len(x.shape) == 1 else made.T


def multiplied(a: Any, b: Any) -> Any:
    """`a * b` where one is sparse and the other traced; NotImplemented where SciPy multiplies entry by entry."""
    matrix, x = (a, b) if _is_matrix(a) else (b, a)
    return product(a, b) if _is_matrix(matrix) and x.shape else NotImplemented


HOOKS.update(
    sparse_product=product,
    sparse_multiplied=multiplied,
    is_sparse=is_sparse,
    leaves_to_operand=leaves_to_operand,
    asked_by_product=asked_by_product,
)
