"""The source text of a piece of code: from its file, and of code without a file from the string that it was made of.

`exec(text)` and `python -c text` leave no file behind.  The text is still found where the program holds it: in a
variable or a constant of the functions that are running, or on the command line.  It counts as found only if compiling
it again gives that very code, instruction by instruction and position by position.
"""

from __future__ import annotations
import __future__

import itertools
import linecache
import sys
import threading
import warnings
from collections.abc import Iterator
from types import CodeType

from payback.ir.forks import whole_in_children

parsing = whole_in_children(threading.RLock())  # Python's own parser is not safe in several threads (3.11)

_ANY_STRING = "<string>"  # what `exec` calls each of them; 3.13.0 keeps the lines of `python -c` under it
_FUTURE = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_LONGEST = 1_000_000  # characters of a string that may be a program
_KEPT = 256
_found: dict[tuple[str, CodeType], list[str]] = {}  # equal code may have several names


def lines_of(code: CodeType) -> list[str]:
    """The lines of the file or string that the code was made from; none where they are not to be had."""
    lines = _known_by_name(code.co_filename)
    if lines or not code.co_filename.startswith("<"):
        return lines
    key = code.co_filename, code
    if key not in _found:
        if len(_found) >= _KEPT:
            _found.clear()
        _found[key] = next((text.splitlines(keepends=True) for text in _strings() if _makes(text, code)), [])
    return _found[key]


def line_of(code: CodeType, number: int) -> str:
    """One of these lines, without what is around it; empty where it is not to be had."""
    return "".join(lines_of(code)[number - 1 : number]).strip()


def lines_of_file(file: str) -> list[str]:
    """The lines of a file, or of the one string that code of this name was found to be made of."""
    lines = _known_by_name(file)
    if lines or not file.startswith("<"):
        return lines
    texts = {tuple(text) for (name, _), text in _found.items() if text and name == file}
    return [*texts.pop()] if len(texts) == 1 else []


def _known_by_name(file: str) -> list[str]:
    return linecache.getlines(file) if file != _ANY_STRING else []


def _strings() -> Iterator[str]:
    arguments = getattr(sys, "orig_argv", [])
    seen: set[int] = set()
    yield from (text for option, text in itertools.pairwise(arguments) if option == "-c")
    frame = sys._getframe(2)
    while frame is not None:
        spaces = [frame.f_code.co_consts, frame.f_locals.values(), frame.f_globals.values()]
        for space in spaces:
            for text in [*space]:
                if type(text) is str and id(text) not in seen and len(text) <= _LONGEST:
                    seen.add(id(text))
                    yield text
        frame = frame.f_back  # type: ignore[assignment]


def _makes(text: str, code: CodeType) -> bool:
    """Whether compiling the text gives that code, or has it inside."""
    words = [word for word in (code.co_name, *code.co_varnames[: code.co_argcount]) if word.isidentifier()]
    if not all(word in text for word in words) or text.count("\n") + 1 < code.co_firstlineno:
        return False
    for mode in ("exec", "eval"):
        try:
            with parsing, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                whole = compile(text, code.co_filename, mode, code.co_flags & _FUTURE, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if any(_same(inner, code) for inner in _inside(whole)):
            return True
    return False


def _same(one: CodeType, other: CodeType) -> bool:
    return one == other and [*one.co_positions()] == [*other.co_positions()]


def _inside(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _inside(constant)
