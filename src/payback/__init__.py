"""payback: backpropagation that shows its work.

>>> import payback as pb
>>> def e(a, b):
...     return (a + b) * (b + 1)
>>> pb.grad(e, argnums=(0, 1))(2, 1)
(2.0, 5.0)
"""

from __future__ import annotations

import importlib
import sys
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
    "vmap": "transforms.vmap",
    "compile": "transforms.compile",
    "remat": "transforms.custom",
    "custom_gradient": "transforms.custom",
    "scan": "transforms.control",
    "cond": "transforms.control",
    "while_loop": "transforms.control",
    "root": "transforms.implicit",
    "fixed_point": "transforms.implicit",
    "set_threads": "native.running.cores",
    "check_grads": "transforms.check",
    "audit": "transforms.audit",
    "explain": "glass.explain",
    "why_nan": "glass.why_nan",
    "why_zero": "glass.why_zero",
    "stop_gradient": "trace.array",
    "variable": "trace.array",
    "tree_map": "trace.tree",
    "minimize": "optim.minimize",
    "surface": "optim.surface",
    "fit": "train.fit",
    "open_run": "train.runs",
    "bisect": "glass.bisect",
    "load": "io.model",
}
_MODULES = ("nn", "optim", "random", "datasets", "errors")
_OPTIONAL = ("estimators",)  # needs another library, so that `from payback import *` leaves it out

__all__ = ["__version__", *_PUBLIC, *_MODULES]  # pyright: ignore


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        module = importlib.import_module(f"payback.{_PUBLIC[name]}")
        importlib.import_module("payback.trace.shim.shim")
        value = importlib.import_module("payback.ir.arguments").answered(f"pb.{name}")(getattr(module, name))
    elif name in (*_MODULES, *_OPTIONAL):
        value = importlib.import_module(f"payback.{name}")
    else:
        raise importlib.import_module("payback.elsewhere").missing("payback", name, sys._getframe(1))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted((*__all__, *_OPTIONAL))


if TYPE_CHECKING:
    from payback import datasets as datasets
    from payback import errors as errors
    from payback import estimators as estimators
    from payback import nn as nn
    from payback import optim as optim
    from payback import random as random
    from payback.glass.bisect import bisect as bisect
    from payback.glass.explain import explain as explain
    from payback.glass.why_nan import why_nan as why_nan
    from payback.glass.why_zero import why_zero as why_zero
    from payback.io.model import load as load
    from payback.native.running.cores import set_threads as set_threads
    from payback.optim.minimize import minimize as minimize
    from payback.optim.surface import surface as surface
    from payback.trace.array import stop_gradient as stop_gradient
    from payback.trace.array import variable as variable
    from payback.trace.tree import tree_map as tree_map
    from payback.train.fit import fit as fit
    from payback.train.runs import open_run as open_run
    from payback.transforms.audit import audit as audit
    from payback.transforms.check import check_grads as check_grads
    from payback.transforms.compile import compile as compile
    from payback.transforms.control import cond as cond
    from payback.transforms.control import scan as scan
    from payback.transforms.control import while_loop as while_loop
    from payback.transforms.custom import custom_gradient as custom_gradient
    from payback.transforms.custom import remat as remat
    from payback.transforms.forward import hessian as hessian
    from payback.transforms.forward import hvp as hvp
    from payback.transforms.forward import jacobian as jacobian
    from payback.transforms.forward import jvp as jvp
    from payback.transforms.gradient import grad as grad
    from payback.transforms.gradient import value_and_grad as value_and_grad
    from payback.transforms.gradient import vjp as vjp
    from payback.transforms.implicit import fixed_point as fixed_point
    from payback.transforms.implicit import root as root
    from payback.transforms.vmap import vmap as vmap
