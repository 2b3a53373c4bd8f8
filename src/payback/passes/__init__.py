"""Passes: graph → graph, each with a log of what it did."""
