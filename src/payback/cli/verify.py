"""`payback verify FILE.py:f`: compiled values and gradients beside the interpreter's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from payback import native
from payback.cli.options import Out
from payback.cli.target import arguments, program
from payback.errors import DifferentiationError, InputError
from payback.trace.tree import leaves, paths
from payback.transforms.compile import compile as compiled
from payback.transforms.gradient import value_and_grad

FAILED = 3
# How far two ways of adding up, or of an elementary function, may be apart: in eps of the largest entry.
UNITS = 256


def verify(target: str, /, *values: str, out: Out) -> int:
    """Compare what machine code computes for your own function with what the interpreter does: value and gradient.

    The function is traced with shapes only, compiled, run once each way on the values that you give, and so is its
    gradient if it returns a single floating number.  Sums, products and elementary functions may
    differ by roundings: results agree up to 256 eps of the largest entry. A program that makes small errors large, such
    as a long chaotic loop, may differ by more. Both ways use the same derivative rules: whether those are right, also
    rules of your own (pb.custom_gradient), is asked by pb.check_grads, which compares with finite differences.

    Exit code 0: they agree; 3: they do not, or the function itself failed.

    With --json one object: payback ("verify"), version (1), target, agree, and results: name, shape, dtype, equal (how
    many entries have equal bits), units (the largest difference, in eps of the largest entry), agree.

    Parameters
    ----------
    target
        A file and a function in it, such as model.py:cost.
    values
        What the function is called with: name=VALUE for each argument; see "payback audit --help".
    """
    if not native.available():
        raise InputError("there is no compiler here", why="llvmlite is not installed, or PAYBACK_NATIVE is 0",
                         fix="pip install llvmlite, or unset PAYBACK_NATIVE")  # fmt: skip
    with program(target, out) as loaded:
        args, kwargs, varying = arguments(loaded, values)
        results = _both("value", loaded.function, args, kwargs, lambda made: made)
        if all(np.dtype(result["dtype"]).kind not in "biufc" for result in results):
            raise InputError("there is nothing to compare", where=target, why="it returns no number and no array",
                             fix="return what is to be computed")  # fmt: skip
        names = list(loaded.signature.parameters)
        by = [names[which] if isinstance(which, int) else which for which in varying]
        if by:
            both = value_and_grad(loaded.function, varying)
            try:
                results += _both("gradient", both, args, kwargs, lambda made: dict(zip(by, made[1], strict=True)))
            except DifferentiationError as problem:
                out.line(f"no gradient: {problem}")
    rows = [(r["name"], r["dtype"], "×".join(map(str, r["shape"])) or "scalar", f"{r['equal']} of {r['size']}",
             f"{r['units']:.3g}", "agree" if r["agree"] else "DIFFER") for r in results]  # fmt: skip
    out.table(rows, headers=("result", "dtype", "shape", "equal bits", "difference in eps", ""), align="lllrrl")
    agree = all(result["agree"] for result in results)
    out.result({"payback": "verify", "version": 1, "target": target, "agree": agree, "results": results})
    return 0 if agree else FAILED


def _both(
    name: str, f: Any, args: list[Any], kwargs: dict[str, Any], part: Callable[[Any], Any]
) -> list[dict[str, Any]]:
    made = [part(compiled(f, native=way)(*args, **kwargs)) for way in (True, False)]
    by_machine, by_interpreter = map(leaves, made)
    names = paths(made[0], name)
    return [_compared(n, a, b) for n, a, b in zip(names, by_machine, by_interpreter, strict=True)]


def _compared(name: str, found: Any, expected: Any) -> dict[str, Any]:
    a, b = np.asarray(found), np.asarray(expected)
    same = (a == b) | ((a != a) & (b != b))
    units = 0.0
    agree = bool(a.dtype == b.dtype and a.shape == b.shape and same.all())
    if not agree and a.shape == b.shape and a.dtype == b.dtype and a.dtype.kind == "f":
        finite = np.isfinite(b)
        if bool((same | finite).all()) and bool(np.isfinite(a[finite]).all()):
            size = float(np.max(np.abs(b[finite]).astype(float), initial=0.0))
            apart = float(np.max(np.abs(a[finite].astype(float) - b[finite].astype(float)), initial=0.0))
            units = apart / (size * float(np.finfo(b.dtype).eps)) if size else float("inf") if apart else 0.0
            agree = units <= UNITS
        else:
            units = float("inf")
    return {"name": name, "shape": list(b.shape), "dtype": str(b.dtype), "size": int(b.size), "equal": int(same.sum()),
            "units": units, "agree": agree}  # fmt: skip
