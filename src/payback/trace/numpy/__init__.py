"""NumPy's functions on traced values, chapter by chapter."""
