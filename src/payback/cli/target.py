"""`FILE.py:function`: the user's own program, loaded so that one of its functions can be called.

The file is run as `python FILE.py` would run it: its folder comes first on `sys.path`, so the modules beside it can be
imported, and `sys.argv` is the file alone.  One thing differs: `__name__` is `__payback_main__`, so what stands under
`if __name__ == "__main__":` does not run (as in the processes that `multiprocessing` starts).  A file in a
package (its folder has an `__init__.py`) may import relatively, as with `python -m`.  Nothing is read from the file but
the function that the user named.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from payback.cli.program import listed, shorten
from payback.cli.terminal import Output
from payback.cli.values import parse_value
from payback.errors import InputError, PaybackError

MODULE = "__payback_main__"
_FORM = "write FILE.py:FUNCTION"


@dataclass(frozen=True)
class Target:
    """A function of the user's program.

    text: as it was given.  file: the path.  name: of the function, with dots for attributes (`model.cost`).
    """

    text: str
    file: Path
    name: str
    function: Callable[..., Any]

    @property
    def signature(self) -> inspect.Signature:
        """Raises InputError for something that Python knows no signature of."""
        try:
            return inspect.signature(self.function)
        except (TypeError, ValueError):
            why = "Python does not know what arguments it takes"
            raise InputError(f"{self.name} cannot be called by name", why=why, fix="wrap it in a function") from None

    def __str__(self) -> str:
        return f"{self.name}{self.signature}"


@contextlib.contextmanager
def program(text: str, out: Output) -> Iterator[Target]:
    """Load `FILE.py:function`; in the block its folder is on the path, for it may import more when it is called.

    With --json what the program prints goes to standard error.  An error of the program itself, in loading or in the
    block, becomes a PaybackError that names the last of its lines, with exit code 3 in the block.

    Raises InputError for a file that is not there or cannot be loaded, and for a function that it does not have.
    """
    file, name = _split(text)
    folder = str(file.resolve().parent)
    before = list(sys.path), sys.argv, sys.modules.get(MODULE)
    sys.path[:0] = [folder, *_package(file)[:1]]
    sys.argv = [str(file)]
    try:
        with contextlib.redirect_stdout(sys.stderr) if out.json else contextlib.nullcontext():
            with _told(f"{file} cannot be loaded", file, exit_code=2):
                module = _run(file)
            target = Target(text, file, name, _function(module, file, name))
            with _told(f"{name} failed", file, exit_code=3):
                yield target
    finally:
        sys.path[:], sys.argv = before[0], before[1]
        sys.modules.pop(MODULE, None)
        if before[2] is not None:
            sys.modules[MODULE] = before[2]


def arguments(target: Target, texts: Sequence[str]) -> tuple[list[Any], dict[str, Any], list[str | int]]:
    """The values of `name=VALUE` texts as the function takes them: positional, by keyword, and which of them vary.

    What varies: every argument that is given, but for whole numbers where the signature says int (or has one as the
    default), truths, texts, and arrays of integers.

    Raises InputError for a text of another form, a value that cannot be read, a name that is given twice or that the
    function does not have, and, all together, for the names that are missing.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            raise InputError(f"{shorten(text)!r} is not of the form NAME=VALUE", fix="write for example x=2 or x=[1,2]")
        if name in values:
            raise InputError(f"{name} is given twice", why="an argument has one value", fix="remove one")
        values[name] = parse_value(name, value.strip())
    signature = target.signature
    parameters = signature.parameters
    _check_names(target, values)
    args: list[Any] = []
    kwargs = dict(values)
    for name, parameter in parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) or name not in kwargs:
            break
        args.append(kwargs.pop(name))
    varying: list[str | int] = []
    for name, value in values.items():
        if _varies(value, parameters.get(name)):
            varying.append(name if name in kwargs else list(parameters).index(name))
    return args, kwargs, varying


def _split(text: str) -> tuple[Path, str]:
    path, colon, name = text.rpartition(":")
    if not colon or os.sep in name or not name.replace(".", "_").isidentifier():
        file = Path(text.removesuffix(":"))
        known = _functions(file) if file.is_file() else []
        fix = f"write {file}:{known[0]}" if len(known) == 1 else _FORM
        why = f"its functions are {listed(known[:20])}" if known else None
        raise InputError(f"{shorten(text)!r} names no function", why=why, fix=fix)
    file = Path(path)
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [p.name for p in file.parent.glob("*.py") if p.is_file()], 3)
        fix = f"did you mean {listed([str(file.with_name(n)) for n in near], 'or')}?" if near else _FORM
        raise InputError(f"{path} is a folder" if file.is_dir() else f"there is no file {path}", fix=fix)
    return file, name


def _run(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} is no Python file", fix="give one whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    if package := ".".join(_package(file)[1:]):  # both must tell the same
        module.__package__ = package
        module.__spec__ = ModuleSpec(f"{package}.{file.stem}", spec.loader, origin=spec.origin)
    sys.modules[MODULE] = module  # dataclasses and the shim look there
    spec.loader.exec_module(module)
    return module


def _package(file: Path) -> list[str]:
    """The folder that holds the outermost package that the file is in, and the names of the packages; [] for none."""
    folder = file.resolve().parent
    names: list[str] = []
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        folder, names = folder.parent, [folder.name, *names]
    return [str(folder), *names] if names else []


def _function(module: ModuleType, file: Path, name: str) -> Callable[..., Any]:
    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = _functions(file)
            near = difflib.get_close_matches(name, known, 3)
            fix = f"did you mean {listed(near, 'or')}?" if near else f"its functions are {listed(known[:20])}"
            raise InputError(f"{file} has no function {name}", fix=fix if near or known else None) from None
    if not callable(found):
        raise InputError(f"{name} in {file} is of type {type(found).__name__}", why="only a function has a derivative",
                         fix="name a function, or an object with a __call__")  # fmt: skip
    return found


def _functions(file: Path) -> list[str]:
    """The names of the functions that a file defines, without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return []
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def _check_names(target: Target, values: dict[str, Any]) -> None:
    parameters = target.signature.parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = [name for name, parameter in parameters.items() if parameter.kind not in variable]
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, 3)
                fix = f"did you mean {listed(near, 'or')}?" if near else "remove it"
                raise InputError(f"{target.name} has no argument {name}", why=f"it is {target}", fix=fix)
    missing = [name for name in known if name not in values and parameters[name].default is inspect.Parameter.empty]
    if missing:
        what = f"{listed(missing)} of {target} {'is' if len(missing) == 1 else 'are'} missing"
        raise InputError(what, fix=f"give {' '.join(f'{name}=VALUE' for name in missing)}")


def _varies(value: Any, parameter: inspect.Parameter | None) -> bool:
    if isinstance(value, dict):
        return any(_varies(part, None) for part in value.values())
    if isinstance(value, (bool, str)) or value is None:
        return False
    if isinstance(value, int):
        whole = parameter is not None and (
            parameter.annotation in (int, "int", bool, "bool") or isinstance(parameter.default, int)
        )
        return not whole
    return getattr(value, "dtype", None) is None or value.dtype.kind == "f"


@contextlib.contextmanager
def _told(what: str, file: Path, exit_code: int) -> Iterator[None]:
    """An exception of the user's program as one line, at the last line of the program that it passed."""
    try:
        yield
    except PaybackError:
        raise
    except SystemExit as error:
        problem = InputError(what, why=f"the program ended itself with SystemExit({error.code!r})",
                             fix='put what is not part of the function under if __name__ == "__main__":')  # fmt: skip
        problem.exit_code = exit_code
        raise problem from error
    except SyntaxError as error:
        where = f"{error.filename}:{error.lineno}"
        raise InputError(what, where=where, why=f"{type(error).__name__}: {error.msg}") from error
    except Exception as error:
        line = _line(error)
        if line is None:  # not the program's fault
            raise
        alone = isinstance(error, ImportError) and "no known parent package" in str(error)
        fix = "put an __init__.py into the folders of its package" if alone else None
        problem = InputError(what, where=line, why=f"{type(error).__name__}: {error}".rstrip(": "), fix=fix)
        problem.exit_code = exit_code
        raise problem from error


def _line(error: Exception) -> str | None:
    """The last line that is the user's: not in a library, not in payback."""
    own = str(Path(__file__).parents[1])
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith((own, "<")) and "site-packages" not in frame.filename
              and not frame.filename.startswith(os.path.dirname(os.__file__))]  # fmt: skip
    if not frames:
        return None
    last = frames[-1]
    return f"{last.filename}:{last.lineno} in {last.name}: {last.line}"
