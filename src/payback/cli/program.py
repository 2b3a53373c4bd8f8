"""A parsed expression: its steps, its values, the variables it needs and the names its parts get.

An expression is a list of *postfix steps* (operands first), so that its evaluation is one loop over a stack, without
recursion.  Numbers are floats from the start: `9**9**9**9` overflows at once where Python's integers would never end.
"""

from __future__ import annotations

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from payback.errors import InputError


def _sigmoid(x: float) -> float:
    small = math.exp(-abs(x))  # never above 1: no overflow on either side
    return 1.0 / (1.0 + small) if x >= 0.0 else small / (1.0 + small)


# What the functions are on plain numbers.  On other values the caller's functions are used, under the same names.
FLOAT_FUNCTIONS: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "tanh": math.tanh,
    "sigmoid": _sigmoid,
    "softplus": lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x))),
    "relu": lambda x: max(x, 0.0),
    "abs": abs,
    "sin": math.sin,
    "cos": math.cos,
    "maximum": max,
    "minimum": min,
}
_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "negate": operator.neg,
}
CONSTANTS = {"pi": math.pi}  # no `e`: it is the name of the article's top node

# Letters that pass for Latin ones (Cyrillic а, Greek ο) are left out: two names that look alike must be one name.
GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩ"
NAME = re.compile(rf"[A-Za-z_{GREEK}][A-Za-z0-9_{GREEK}]*")
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an expression in postfix order.

    kind: "number", "name", "operator" or "call".  symbol: the name, operator ("negate" is the unary minus) or function.
    arity: how many values it takes off the stack.  number: what a number is.  start, end: its characters in the text.
    """

    kind: str
    symbol: str
    arity: int
    start: int
    end: int
    number: float = 0.0


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands right of an `=`: its steps in the order of evaluation, and its characters in the text."""

    steps: tuple[Step, ...]
    start: int
    end: int


class Statement(NamedTuple):
    """`name = expression`; the name of the last statement may be left out (None)."""

    name: str | None
    expression: Expression


class Evaluation(NamedTuple):
    """The value of the last statement, and the values of all names that the program assigns."""

    top: Any
    named: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """Statements, as `payback.cli.expression.parse` reads them.

    inputs: the names whose values the user must give, in order of first appearance.  names: those that the statements
    assign.  constants: the names it reads that have a value (pi) unless the user gives another.
    """

    text: str
    statements: tuple[Statement, ...]
    inputs: tuple[str, ...]
    names: tuple[str, ...]
    constants: tuple[str, ...]

    def evaluate(
        self,
        values: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]],
        observe: Callable[[Any, str, tuple[int, int]], object] | None = None,
        number: Callable[[Any], float] | None = None,
    ) -> Evaluation:
        """Evaluate with Python's operators on `values`, and with `functions` (by the names in FLOAT_FUNCTIONS).

        A sub-expression of plain numbers is computed on Python floats and does not reach `functions`.
        observe(value, source, (start, end)) is called for every operation and call, in the order of evaluation.
        number(value) gives the float inside a value that is not a plain number, so that it too is tested.
        Raises InputError for a missing value, and at the first operation whose result is not a finite number.

        >>> from payback.cli.expression import parse
        >>> seen = []
        >>> parse("(a+b)*(b+1)").evaluate({"a": 2, "b": 1}, {}, lambda v, source, span: seen.append((source, v))).top
        6.0
        >>> seen
        [('a+b', 3.0), ('b+1', 2.0), ('(a+b)*(b+1)', 6.0)]
        """
        _check_missing(self, values)
        known: dict[str, Any] = dict(CONSTANTS)
        known.update((name, float(v) if type(v) in (int, float) else v) for name, v in values.items())
        named: dict[str, Any] = {}
        for name, expression in self.statements:
            stack: list[tuple[Any, Step]] = []
            for step in expression.steps:
                if step.arity == 0:
                    stack.append((step.number if step.kind == "number" else known[step.symbol], step))
                    continue
                operands = stack[-step.arity :]
                del stack[-step.arity :]
                value = _apply(step, [v for v, _ in operands], functions)
                result = _read(value, number)
                if result is not None and not math.isfinite(result):
                    shown = [(self._source(s), _read(v, number)) for v, s in operands]
                    raise non_finite(step.symbol, self._source(step), shown)
                if observe is not None:
                    observe(value, self._source(step), (step.start, step.end))
                stack.append((value, step))
            value = stack[-1][0]
            if name is not None:
                known[name] = named[name] = value
        return Evaluation(value, named)

    def _source(self, step: Step) -> str:
        return self.text[step.start : step.end]


def _apply(step: Step, operands: list[Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    plain = all(type(v) is float for v in operands)
    table = _OPERATORS if step.kind == "operator" else FLOAT_FUNCTIONS if plain else functions
    try:
        value = table[step.symbol](*operands)
    except (ZeroDivisionError, OverflowError, ValueError):
        if plain:
            return math.nan  # so that one place words the error, for plain and for traced values
        raise
    return math.nan if plain and isinstance(value, complex) else value  # (-8.0)**0.5 is complex in Python


def _read(value: Any, number: Callable[[Any], float] | None) -> float | None:
    return value if type(value) is float else None if number is None else number(value)


def non_finite(symbol: str, source: str, operands: Sequence[tuple[str, float | None]]) -> InputError:
    """The error for an operation that gave NaN or infinity.

    symbol: as in `Step`; source: the sub-expression; operands: source text and value of each (None if not known).

    >>> print(non_finite("/", "a/(b-1)", [("a", 2.0), ("b-1", 0.0)]))
    division by zero in a/(b-1): b-1 is 0. Choose other values or change the expression.
    """
    x, y = operands[0][1], operands[-1][1]
    source, told = shorten(source), list(operands)
    domains = {"log": (0.0, "above 0"), "log1p": (-1.0, "above -1"), "sqrt": (0.0, "of 0 or more")}
    what, rule = f"{source} is too large for a floating-point number", ""
    if symbol == "/" and y == 0.0:
        what, told = f"division by zero in {source}", told[1:]
    elif symbol == "**" and x == 0.0 and y is not None and y < 0.0:
        what, rule = f"division by zero in {source}", "0 has no negative power"
    elif symbol == "**" and x is not None and x < 0.0 and y is not None and not y.is_integer():
        what, rule = f"{source} has no real value", "a negative number has only whole powers"
    elif symbol in domains and x is not None and x <= domains[symbol][0]:
        what, rule = f"{source} has no finite value", f"{symbol} needs a number {domains[symbol][1]}"
    facts = {f"{shorten(text)} is {v:.10g}": None for text, v in told if v is not None and not _is_number(text)}
    why = "; ".join(filter(None, [" and ".join(facts), rule]))
    return InputError(what, why=why or None, fix="choose other values or change the expression")


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text[1:] if text[:1] in ("+", "-") else text) is not None


def parse_bindings(texts: Iterable[str], program: Program | None = None) -> dict[str, float]:
    """Read `name=number` texts; with a program, also check that they give exactly its inputs.

    Raises InputError for a text of another form, a number that is not finite, a name given twice, missing names (all
    are listed) and names that are not in the program (with the nearest).

    >>> parse_bindings(["a=2", "b=-1e-3"])
    {'a': 2.0, 'b': -0.001}
    """
    values: dict[str, float] = {}
    for text in texts:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not equals or not NAME.fullmatch(name):
            raise InputError(f"{shorten(text)!r} is not of the form NAME=NUMBER", fix="write for example a=2")
        if name in values:
            why = "a variable has one value"
            raise InputError(f"{name} is given twice", where=shorten(text), why=why, fix="remove one")
        if not _is_number(number):
            array = number.startswith(("@", "["))
            why = (
                "an expression takes numbers, FILE.py:FUNCTION arrays" if array
                else "it is not a decimal number" if number
                else "the number is missing"
            )  # fmt: skip
            example = number.replace(",", ".") if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", number) else "2"
            fix = f"write for example {name}={example}"
            raise InputError(f"{shorten(text)!r} gives {name} no value", why=why, fix=fix)
        if not math.isfinite(value := float(number)):
            raise InputError(f"the value of {name} is too large", where=shorten(text), fix="write a number below 1e308")
        values[name] = value
    if program is not None:
        _check_missing(program, values)
        _check_extra(program, values)
    return values


def _check_missing(program: Program, values: Mapping[str, Any]) -> None:
    missing = [name for name in program.inputs if name not in values]
    if missing:
        what = f"missing variable{'s' * (len(missing) > 1)} {listed(missing)}"
        give = f"give {' '.join(f'{name}=VALUE' for name in missing)}"
        unused = [name for name in values if name not in program.inputs + program.constants]
        why = f"{listed(unused)} {'is' if len(unused) == 1 else 'are'} given but not used" if unused else None
        raise InputError(what, why=why, fix=give) if why else InputError(what, why=give)


def _check_extra(program: Program, values: Mapping[str, Any]) -> None:
    for name in values:
        if name in program.names:
            raise InputError(f"{name} is given a value", why="the expression computes it", fix="remove that")
        if name not in program.inputs + program.constants:
            near = difflib.get_close_matches(name, program.inputs, 3)
            fix = f"its variables are {listed(program.inputs)}" if program.inputs else "remove that"
            fix = f"did you mean {listed(near, 'or')}?" if near else fix
            raise InputError(f"{name} is given a value", why="the expression has no such variable", fix=fix)


def listed(names: Sequence[str], last: str = "and") -> str:
    """Names as a phrase.

    >>> listed(["a", "b", "c"], "or")
    'a, b or c'
    """
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def shorten(text: str, limit: int = 60) -> str:
    """A text of at most `limit` characters: the middle of a longer one gives way to an ellipsis.

    >>> shorten("1+2+3+4+5+6", 5)
    '1+…+6'
    """
    return text if len(text) <= limit else text[: limit // 2] + "…" + text[len(text) - (limit - 1) // 2 :]
