"""Differentiation as graph → graph: the reverse sweep and its edge algebras."""
