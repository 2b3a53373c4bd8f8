"""Derivatives beyond a gradient, compiled, beside JAX's jit, as one table.

    python -m benchmarks.derivatives --peers PYTHON                       # all, float32 and float64, 1 and 2 threads
    python -m benchmarks.derivatives --peers PYTHON network_hessian --threads 1 --dtype float64

Sums of the results' absolute values must agree, or the row is void.
"""

from __future__ import annotations

from benchmarks.derivatives import DERIVATIVES
from benchmarks.programs.__main__ import table

if __name__ == "__main__":
    table(__doc__, DERIVATIVES, None)
