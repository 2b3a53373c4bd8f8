"""Networks as people train them beside multilayer perceptrons, for payback, JAX and PyTorch."""

from benchmarks.nets import models  # noqa: F401  which are put on the list
from benchmarks.nets.listed import NETS, Net, named

__all__ = ["NETS", "Net", "named"]
