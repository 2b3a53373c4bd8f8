"""Kernels of matrix products and contractions: which one a shape has, and each of them."""
