"""Machine code: a graph compiled with LLVM, for the CPU that it runs on."""

from __future__ import annotations

import importlib.util
import os

from payback.errors import InputError

VARIABLE = "PAYBACK_NATIVE"
_MEANINGS = {"": True, "1": True, "on": True, "0": False, "off": False}


def available() -> bool:
    """Whether graphs are compiled: llvmlite is installed and PAYBACK_NATIVE is not 0.

    Raises InputError for another word there.
    """
    told = os.environ.get(VARIABLE, "")
    if told not in _MEANINGS:
        raise InputError(f"{VARIABLE}={told!r:.60}", why="machine code is turned off by 0 and on by 1",
                         fix=f"unset {VARIABLE}")  # fmt: skip
    return _MEANINGS[told] and _installed()


def coverage() -> str:
    """The rows of the table that are lowered to machine code, and those that run on NumPy between native pieces."""
    from payback.native.running.program import lowered
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


def host(compiled: bool) -> str:
    """What the bits of a computation depend on besides the program: the CPU, and what makes code for it.

    >>> host(compiled=False).startswith("interpreter, NumPy ")
    True
    """
    import platform

    if not compiled:
        import numpy

        return f"interpreter, NumPy {numpy.__version__} on {platform.machine()}"
    import hashlib

    import llvmlite
    import llvmlite.binding as llvm

    features = hashlib.sha256(llvm.get_host_cpu_features().flatten().encode()).hexdigest()[:12]
    return f"{llvm.get_host_cpu_name()} with features {features}, llvmlite {llvmlite.__version__}"


def _installed() -> bool:
    try:
        return importlib.util.find_spec("llvmlite") is not None
    except (ImportError, ValueError):  # pragma: no cover  a module that is there in name only
        return False
