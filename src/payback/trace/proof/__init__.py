"""The proof that a function writes into no array."""
