"""Machine code: a graph compiled with LLVM, for the CPU that it runs on."""

from __future__ import annotations

import importlib.util
import os


def available() -> bool:
    """Whether graphs are compiled: llvmlite is installed and PAYBACK_NATIVE is not 0."""
    return os.environ.get("PAYBACK_NATIVE") != "0" and _installed()


def coverage() -> str:
    """The rows of the table that are lowered to machine code, and those that run on NumPy between native pieces."""
    from payback.native.program import lowered
    from payback.ops import TABLE

    rows = {name: lowered(row) for name, row in TABLE.items() if row.value is not None}
    on_numpy = [f"{name}: {why}" for name, why in rows.items() if why not in (None, "split")]
    split = [name for name, why in rows.items() if why == "split"]
    native = [name for name, why in rows.items() if why is None]
    return "\n".join(
        [
            f"native: {' '.join(native)}",
            f"native, by calls of their own: {' '.join(split)}",
            "on NumPy:",
            *(f"  {line}" for line in on_numpy),
        ]
    )


def _installed() -> bool:
    try:
        return importlib.util.find_spec("llvmlite") is not None
    except (ImportError, ValueError):  # pragma: no cover  a module that is there in name only
        return False
