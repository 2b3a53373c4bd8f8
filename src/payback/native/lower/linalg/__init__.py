"""Kernels of linear algebra: factorizations, systems, exponentials of matrices."""
