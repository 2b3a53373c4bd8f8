"""The table of primitives.  Importing this package fills it."""

from payback.ir.allocator import keep_freed_blocks
from payback.ops import (  # noqa: F401
    analytic,
    batching,
    bessel,
    constant_systems,
    contract,
    control,
    dependence,
    eigenvalues,
    elementary,
    factorizations,
    floats,
    hermitian,
    hypergeometric,
    incomplete,
    index,
    linalg,
    matrix_functions,
    move,
    order,
    pointwise,
    random,
    reduce,
    scans,
    several,
    smooth,
    special,
)
from payback.ops.control import batching as _bodies  # noqa: F401
from payback.ops.row import TABLE, Row

__all__ = ["TABLE", "Row"]

keep_freed_blocks()  # all that computes comes by here first
