"""Functions of modules that are imported when one of them is first called: most programs need few of them, and an
import is a part of the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def later(module: str, name: str) -> Callable[..., Any]:
    """The function of that name in a module of payback, imported when it is called."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(f"payback.{module}"), name)(*args, **kwargs)

    return call
