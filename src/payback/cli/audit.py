"""`payback audit FILE.py:f x=[1,2,3]`: every place of a function that cannot be differentiated, in one run."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.cli.options import Out
from payback.cli.program import listed
from payback.cli.target import arguments, program
from payback.cli.terminal import to_json
from payback.errors import InputError
from payback.transforms.audit import audit as examine

FAILED = 3


def audit(target: str, /, *values: str, wrt: str | None = None, out: Out) -> int:
    """List every place of your own function that cannot be differentiated, in one run.

    The file is run as "python FILE.py" would run it, without the part that a script keeps for itself, under
    `if __name__ == "__main__":`. The function is then called once with the values that you give; where a derivative
    would be lost the place is noted and the run goes on with the plain value.

    A VALUE is a number, a list such as [1,2,3] or [[1,2],[3,4]], True, False, None, 'a text', a dictionary with texts
    as keys, @FILE.npy, @FILE.npz:NAME, @FILE.csv (all columns, all numbers) or @FILE.csv:COLUMN.

    Exit code 0: nothing stands in the way of a derivative; 3: something does, or the function itself failed.

    With --json one object: payback ("audit"), version (1), target, wrt (names), value (of the function, null if it is
    no number or array), and obstacles: file, line, function, expression, what, why, fix.

    Parameters
    ----------
    target
        A file and a function in it, such as model.py:cost.
    values
        What the function is called with: name=VALUE for each argument.
    wrt
        Names, separated by commas: what to differentiate by. Default: all numbers and floating arrays, but for whole
        numbers where the function says int.
    """
    with program(target, out) as loaded:
        args, kwargs, varying = arguments(loaded, values)
        names = list(loaded.signature.parameters)
        if wrt is not None:
            varying = [_position(name.strip(), names, args, kwargs) for name in wrt.split(",")]
        if not varying:
            raise InputError(f"{loaded} has nothing to differentiate by", why="no number or floating array is given",
                             fix="give one of its arguments, or name one with --wrt")  # fmt: skip
        found = examine(loaded.function, *args, argnums=varying, **kwargs)
    for line in str(found).splitlines():
        out.line(line)
    if out.json:
        by = [names[which] if isinstance(which, int) else which for which in varying]
        head = {"payback": "audit", "version": 1, "target": target, "wrt": by, "value": _shown(found.value)}
        out.result(head | {"obstacles": list(found.obstacles)})
    return FAILED if found.obstacles else 0


def _position(name: str, names: list[str], args: list[Any], kwargs: dict[str, Any]) -> str | int:
    if name in kwargs:
        return name
    given = names[: len(args)]
    if name not in given:
        raise InputError(f"--wrt names {name!r}", why="no such argument is given",
                         fix=f"those given are {listed([*given, *kwargs])}")  # fmt: skip
    return given.index(name)


def _shown(value: Any) -> Any:
    """The function's value where JSON can show it."""
    try:
        to_json(value)
    except (TypeError, ValueError, RecursionError):
        return None
    return value if not isinstance(value, np.ndarray) or value.dtype.kind in "fiub" else None
