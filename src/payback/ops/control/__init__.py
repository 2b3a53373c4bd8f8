"""Rows that run a function inside a graph: calls, branches, loops, solutions.

Their parameter `body` is a function as a graph of its own (see `trace/body.py`): `body(*values)` runs it, and
`body.pullback`, `body.pushforward` and `body.once` give the bodies of its derivatives, which these rows run again.
"""

from payback.ops.control import branch, call, foreign, integral, loop, solution, trajectory

__all__ = ["branch", "call", "foreign", "integral", "loop", "solution", "trajectory"]
