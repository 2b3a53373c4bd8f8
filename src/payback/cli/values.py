"""The VALUE of `name=VALUE`: a number, a nested list, a dictionary, or the content of a file.

It is read by a whitelist over Python's own syntax tree: literals and nothing else.  Array files are read
without pickle.
"""

from __future__ import annotations

import ast
import warnings
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from payback.cli.program import listed, shorten
from payback.errors import InputError
from payback.tabular import read_csv

MAX_LENGTH = 100_000
_FORMS = "write a number, a list such as [1,2,3], or @FILE.npy, @FILE.npz:NAME, @FILE.csv"


def parse_value(name: str, text: str) -> Any:
    """The value that the text stands for.

    A number is a Python float or int; a list of numbers, or of lists of one length, a float64 array; True, False, None
    and 'texts' are themselves; {'w': [1,2], 'b': 0} is a dict.  `@FILE.npy` is the array of the file, `@FILE.npz:NAME`
    one of several, `@FILE.csv` its numeric columns as float64 (rows, columns), `@FILE.csv:COLUMN` one column (rows,).

    name: of the argument, for errors.  Raises InputError for everything else.

    >>> parse_value("x", "[[1, 2], [3, 4e-1]]")
    array([[1. , 2. ],
           [3. , 0.4]])
    >>> parse_value("x", "__import__('os')")
    Traceback (most recent call last):
    payback.errors.InputError: x has no value in "__import__('os')": a call is not a value. ...
    """
    if text.startswith("@"):
        return _file(name, text[1:])
    if len(text) > MAX_LENGTH:
        raise InputError(f"the value of {name} has {len(text):,} characters", why=f"at most {MAX_LENGTH:,} are read",
                         fix="save it with np.save and give @FILE.npy")  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):  # ValueError: a null byte, a number of too many digits
        _refuse(name, text, "it cannot be read")
    except (RecursionError, MemoryError):
        _refuse(name, text, "it is nested too deeply")
    return _literal(name, text, tree)


def _literal(name: str, text: str, node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as value)) if (
            type(value) is not bool
        ):
            return -value if isinstance(sign, ast.USub) else value
        case ast.Name(id="nan" | "inf" as word):
            return float(word)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Name(id="inf")):
            return float("-inf")
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return _array(name, text, [_literal(name, text, part) for part in parts])
        case ast.Dict(keys=keys, values=parts):
            if not all(isinstance(key, ast.Constant) and isinstance(key.value, str) for key in keys):
                _refuse(name, text, "the keys of a dictionary are texts in quotes")
            return {key.value: _literal(name, text, part) for key, part in zip(keys, parts, strict=True)}  # type: ignore[union-attr]
    kinds: dict[type, str] = {
        ast.Call: "a call",
        ast.Name: "a name",
        ast.Attribute: "an attribute",
        ast.BinOp: "an expression",
    }
    _refuse(name, text, f"{kinds.get(type(node), 'this')} is not a value")


def _array(name: str, text: str, parts: list[Any]) -> Any:
    if any(isinstance(part, (str, dict)) or part is None for part in parts):
        return parts
    if len({np.shape(part) for part in parts}) > 1:
        _refuse(name, text, "its rows have different lengths")
    return np.array(parts, bool if parts and all(_is_truth(part) for part in parts) else float)


def _is_truth(part: Any) -> bool:
    return isinstance(part, bool) or getattr(part, "dtype", None) == np.bool_


def _refuse(name: str, text: str, why: str) -> NoReturn:
    raise InputError(f"{name} has no value in {shorten(text)!r}", why=why, fix=_FORMS) from None


def _file(name: str, text: str) -> Any:
    path, part = Path(text), None
    if path.suffix.partition(":")[0].lower() not in (".npy", ".npz", ".csv") or ":" in path.suffix:
        before, colon, part = text.rpartition(":")
        path, part = (Path(before), part) if colon else (path, None)
    kind = path.suffix.lower()
    if kind not in (".npy", ".npz", ".csv"):
        raise InputError(f"{name} cannot be read from {path}", why="the name ends in none of .npy, .npz, .csv",
                         fix="save it with np.save")  # fmt: skip
    if not path.is_file():
        raise InputError(f"there is no file {path}", where=f"{name}=@{text}")
    if kind == ".csv":
        return _csv(name, path, part)
    try:
        with path.open("rb") as stream:
            value = np.load(stream, allow_pickle=False)
            if not isinstance(value, np.ndarray):
                names = list(value.files)
                if part is None and len(names) == 1:
                    part = names[0]
                if part not in names:
                    what = f"{path} has no array {part}" if part else f"{path} holds {len(names)} arrays"
                    raise InputError(what, fix=f"its arrays are {listed(names)}: write @{path}:NAME")
                value = value[part]
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as problem:
        why = "it holds Python objects, which are not loaded" if "pickle" in str(problem) else str(problem)
        raise InputError(f"{path} cannot be read", where=name, why=why, fix="save it again with np.save") from problem
    return value[()] if value.ndim == 0 else value


def _csv(name: str, path: Path, column: str | None) -> Any:
    table = read_csv(path)
    numeric = {each.name: each.numbers for each in table.columns if each.numbers is not None}
    if column is not None:
        if column not in numeric:
            raise InputError(
                f"{path} has no numeric column {column}", where=name, fix=f"it has {listed(list(numeric))}"
            )
        return np.array(numeric[column], float)
    others = [each.name for each in table.columns if each.numbers is None]
    if others:
        raise InputError(f"{path} has columns that are not numbers", where=name, why=f"they are {listed(others)}",
                         fix=f"give one column: {name}=@{path}:COLUMN")  # fmt: skip
    return np.column_stack([np.asarray(numbers, float) for numbers in numeric.values()])
