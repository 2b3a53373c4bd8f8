"""Programs as people write them, compiled: value and gradient, beside JAX."""

from benchmarks.programs import networks, physics, statistics
from benchmarks.programs.listed import PROGRAMS, named

__all__ = ["PROGRAMS", "named", "networks", "physics", "statistics"]
