"""Loop nests: chains of pointwise rows, what they read, and the sums over what they compute."""
