"""Lowering: rows of the table as machine code, family by family."""
