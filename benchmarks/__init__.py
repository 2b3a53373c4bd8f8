"""Measurements: accuracy against other tools on the same splits, and the time limits that payback promises."""
