"""Functions written in Python that answer for traced values wherever a program keeps them.

`logpdf = norm.logpdf`, a table of densities, `pb.grad(norm.logpdf)`: a method that was looked up before is not
found again by its name. So the function itself has other code while functions are traced, which asks the answer, and
the answer calls a function that has the code it was written with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType, FunctionType
from typing import Any


def original(f: FunctionType) -> FunctionType:
    """A function that goes on doing what f does now."""
    made = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
    made.__kwdefaults__ = f.__kwdefaults__
    return made


def _asking(*args: Any, **kwargs: Any) -> Any:
    answer: Any = "answer"
    return answer(*args, **kwargs)


def _code(f: FunctionType, answer: Callable[..., Any]) -> CodeType:
    constants = tuple(answer if part == "answer" else part for part in _asking.__code__.co_consts)
    code: CodeType = f.__code__
    return _asking.__code__.replace(co_consts=constants, co_name=code.co_name, co_filename=code.co_filename,
                                    co_firstlineno=code.co_firstlineno, co_freevars=code.co_freevars)  # fmt: skip


class Bodies:
    """Functions, their code, and the code that asks their answers; it has as many free variables, and uses none."""

    def __init__(self, answers: Mapping[FunctionType, Callable[..., Any]]):
        self.codes = [(f, f.__code__, _code(f, answer)) for f, answer in answers.items()]

    def put(self) -> None:
        for f, _, asking in self.codes:
            f.__code__ = asking

    def take_away(self) -> None:
        for f, code, _ in self.codes:
            f.__code__ = code
