"""`payback bisect A B`: the first node at which two evaluations of a program part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from payback.cli.options import Out
from payback.cli.pages import check_new
from payback.cli.program import listed, shorten
from payback.cli.subject import split_names
from payback.cli.target import arguments, program
from payback.cli.terminal import Output
from payback.errors import InputError
from payback.glass.bisect import WAYS, Parting
from payback.glass.bisect import bisect as compare
from payback.glass.evaluation import BEGINNING, Evaluation, evaluate, load
from payback.train.runs import open_run

PARTED = 3


def bisect(
    a: str,
    /,
    *rest: str,
    tol: Annotated[float | None, Parameter(help="The relative difference that does not count.")] = None,
    wrt: str | None = None,
    save: Annotated[str | None, Parameter(help="A file for the evaluation of A, to compare others with later.")] = None,
    out: Out,
) -> int:
    """Show the first node at which two evaluations of a program part: values as computed, then adjoints as paid.

    payback bisect model.py:cost float32 x=@x.npy compares the function with itself in float32 (or float64, or native:
    as machine code); payback bisect old.json model.py:cost x=@x.npy with what was saved by an earlier version of the
    program, or for another input. Values are what the functions are called with, as for "payback audit".

    Exit code 0: they agree; 3: they part.

    With --json one object: payback ("bisect"), version (1), parted, tolerance, compared (how many nodes), worst (the
    largest difference), first (kind, name, op, where, number, entry, a, b, difference, inherited, born) or null, and
    programs: where the programs themselves differ, or null.

    Parameters
    ----------
    a
        FILE.py:function, or a JSON file: of --save, or of a ledger; or the folder of a recorded training, with another
        one as B: the first step that is not the same in both is looked at.
    wrt
        Names of leaves, separated by commas: only the gradient by these. Default: all that have a derivative.
    rest
        B: the same, or one of float32, float64, native, interpreter: A run that way; then name=VALUE for each argument.
        Without B, A is only saved.
    """
    b, values = (rest[0], rest[1:]) if rest and ("=" not in rest[0] or Path(rest[0]).is_file()) else (None, rest)
    if b is None and save is None:
        raise InputError("B is missing", why="there is nothing to compare with",
                         fix=f"write FILE.py:function, a JSON file, or one of {listed(list(WAYS))}")  # fmt: skip
    if b is not None and Path(a).is_dir() and Path(b).is_dir():
        return _tell(compare(open_run(a), open_run(b), tol=tol), out)
    if save is not None:
        check_new(save, BEGINNING, "evaluation")
    by = split_names(wrt) or None
    one = _evaluation(a, values, out, by)
    if save is not None:
        one.save(save)
        out.line(f"saved {len(one.records):,} nodes in {save}")
    if b is None:
        out.result({"payback": "bisect", "version": 1, "saved": save, "nodes": len(one.records)})
        return 0
    if b in WAYS and not _is_program(a):
        why = f"{shorten(a)} is a file of numbers, which cannot be run"
        raise InputError(f"B is {b}", why=why, fix="give a FILE.py:function as A")
    other = _evaluation(a, values, out, by, **WAYS[b]) if b in WAYS else _evaluation(b, values, out, by)
    return _tell(compare(one, other, tol=tol), out)


def _tell(found: Parting, out: Output) -> int:
    for line in str(found).splitlines():
        out.line(line)
    out.result(found.to_json())
    return PARTED if found.parted else 0


def _is_program(text: str) -> bool:
    return ".py:" in text


def _evaluation(text: str, values: tuple[str, ...], out: Output, wrt: list[str] | None, **way: Any) -> Evaluation:
    if not _is_program(text):
        return load(text)
    with program(text, out) as loaded:
        args, kwargs, varying = arguments(loaded, values)
        for which in varying:
            holder: Any = args if isinstance(which, int) else kwargs
            if type(holder[which]) is int:  # what varies is a number, not a count
                holder[which] = float(holder[which])
        return evaluate(loaded.function, *args, **kwargs, **way, wrt=wrt)
