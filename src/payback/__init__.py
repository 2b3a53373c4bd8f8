"""payback: backpropagation that shows its work.

>>> import payback as pb
>>> def e(a, b):
...     return (a + b) * (b + 1)
>>> pb.grad(e, argnums=(0, 1))(2, 1)
(2.0, 5.0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# The public names and where they live; loaded at first use, so that `import payback` costs NumPy and no more.
_PUBLIC = {
    "grad": "transforms.gradient",
    "value_and_grad": "transforms.gradient",
    "vjp": "transforms.gradient",
    "jvp": "transforms.forward",
    "jacobian": "transforms.forward",
    "hessian": "transforms.forward",
    "hvp": "transforms.forward",
    "check_grads": "transforms.check",
    "stop_gradient": "trace.array",
    "variable": "trace.array",
    "minimize": "optim.minimize",
    "surface": "optim.surface",
    "fit": "train.fit",
    "load": "io.model",
}
_MODULES = ("nn", "optim", "random")

__all__ = ["__version__", *_PUBLIC, *_MODULES]  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module = importlib.import_module(f"payback.{_PUBLIC[name]}")
        importlib.import_module("payback.trace.numpy_composed")
        value = getattr(module, name)
    elif name in _MODULES:
        value = importlib.import_module(f"payback.{name}")
    else:
        raise AttributeError(f"module 'payback' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from payback import nn as nn
    from payback import optim as optim
    from payback import random as random
    from payback.io.model import load as load
    from payback.optim.minimize import minimize as minimize
    from payback.optim.surface import surface as surface
    from payback.trace.array import stop_gradient as stop_gradient
    from payback.trace.array import variable as variable
    from payback.train.fit import fit as fit
    from payback.transforms.check import check_grads as check_grads
    from payback.transforms.forward import hessian as hessian
    from payback.transforms.forward import hvp as hvp
    from payback.transforms.forward import jacobian as jacobian
    from payback.transforms.forward import jvp as jvp
    from payback.transforms.gradient import grad as grad
    from payback.transforms.gradient import value_and_grad as value_and_grad
    from payback.transforms.gradient import vjp as vjp
