"""Machine code: a graph compiled with LLVM, for the CPU that it runs on."""

from __future__ import annotations

import importlib.util
import os


def available() -> bool:
    """Whether graphs are compiled: llvmlite is installed and PAYBACK_NATIVE is not 0."""
    return os.environ.get("PAYBACK_NATIVE") != "0" and _installed()


def _installed() -> bool:
    try:
        return importlib.util.find_spec("llvmlite") is not None
    except (ImportError, ValueError):  # pragma: no cover  a module that is there in name only
        return False
