"""Scalar programs as columns in memory, and the machine code that replays them."""
