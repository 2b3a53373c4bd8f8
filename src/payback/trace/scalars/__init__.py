"""Programs of numbers: floats that are their own history, and columns of them."""
