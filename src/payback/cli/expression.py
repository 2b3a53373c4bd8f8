"""The language of `payback explain`: `(a+b)*(b+1)`, `e=(a+b)*(b+1)`, `c=a+b; d=b+1; e=c*d`.

Python's own parser reads the text, and a whitelist decides: whatever is not listed here is refused, by name and
column.  Nothing that the user wrote is ever compiled, run or looked up.  The result is a `Program`.
"""

from __future__ import annotations

import ast
import difflib
import keyword
import math
import re
import string
import unicodedata
import warnings
from typing import NoReturn

from payback.cli.program import (
    CONSTANTS,
    FLOAT_FUNCTIONS,
    GREEK,
    NUMBER,
    Expression,
    Program,
    Statement,
    Step,
    listed,
    parse_bindings,
    shorten,
)
from payback.errors import InputError

__all__ = ["Program", "parse", "parse_bindings"]

MAX_LENGTH = 10_000
MAX_DEPTH = 100
MAX_DIGITS = 1_000
MAX_OPERATIONS = 1_000

_BINARY: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_ALIASES = {"max": "maximum", "min": "minimum"}
_CALLABLE = sorted([*FLOAT_FUNCTIONS, *_ALIASES])
_LANGUAGE = "use numbers, names, + - * / **, parentheses and functions such as exp, log and max"

# Signs that only other constructs of Python use are let through, so that these can be refused by their names.
_CHARACTERS = frozenset(string.ascii_letters + string.digits + GREEK + "_ +-*/().,=;<>!%@&|^~:[]{}")
_INSTEAD = {"−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "²": "**2", "³": "**3", "√": "sqrt(...)"}
_CLOSING = {")": "(", "]": "[", "}": "{"}
_REFUSED: dict[type[ast.AST], str] = {
    ast.Assign: "an assignment to more than one name",
    ast.Attribute: "attribute access",
    ast.AugAssign: "an assignment that changes a value",
    ast.BoolOp: "a logical operator",
    ast.Compare: "a comparison",
    ast.Dict: "a dictionary",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "a condition",
    ast.Lambda: "a lambda",
    ast.List: "a list",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "the sign :=",
    ast.Set: "a set",
    ast.SetComp: "a comprehension",
    ast.Subscript: "an index",
    ast.Tuple: "a tuple",
}


def parse(text: str) -> Program:
    """Read statements separated by `;`: each `name = expression`, the last may be an expression alone.

    Raises InputError, with the column, for everything that is not part of the language or over its limits.

    >>> program = parse("c=a+b; d=b+1; e=c*d")
    >>> program.inputs, program.names
    (('a', 'b'), ('c', 'd', 'e'))
    >>> parse("(a+b")
    Traceback (most recent call last):
    payback.errors.InputError: the bracket ( is never closed (at column 1). Close it.
    """
    text = re.sub(r"\s", " ", text, flags=re.ASCII)
    _check_text(text)
    shift = len(text) - len(text.lstrip())
    try:
        with warnings.catch_warnings():  # Python's tokenizer warns of `1if`; here that is refused anyway
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip())
    except SyntaxError as error:
        _refuse_syntax(text, shift + (error.offset or 1) - 1)
    except (RecursionError, MemoryError):  # what the parser raises for thousands of signs or powers in a row
        _refuse_size()
    return _Reader(text, shift).program(tree)


def _check_text(text: str) -> None:
    """What must be known before Python's parser sees the text: its characters, its brackets, its length."""
    open_brackets: list[tuple[str, int]] = []
    for position, character in enumerate(text):
        where = f"at column {position + 1}"
        if character not in _CHARACTERS:
            if character in "'\"`":
                raise InputError("text in quotes is not part of an expression", where=where, fix=_LANGUAGE)
            instead = _INSTEAD.get(character) or unicodedata.normalize("NFKC", character)
            usable = _CHARACTERS.issuperset(instead)
            raise InputError(
                f"the character {character!r} cannot be used in an expression",
                where=where,
                why=f"it is U+{ord(character):04X} {unicodedata.name(character, 'a control character')}",
                fix=f"write {instead}" if usable else "write names with a-z, A-Z, Greek letters, digits and _",
            )
        if character in "([{":
            open_brackets.append((character, position))
            if len(open_brackets) > MAX_DEPTH:
                why, fix = f"at most {MAX_DEPTH} are read", "name the parts: c=a+b; d=b+1; c*d"
                raise InputError("too many brackets inside each other", where=where, why=why, fix=fix)
        elif character in ")]}" and (not open_brackets or open_brackets.pop()[0] != _CLOSING[character]):
            raise InputError(f"the bracket {character} closes nothing", where=where, fix="remove it or open it before")
    if open_brackets:
        bracket, position = open_brackets[-1]
        raise InputError(f"the bracket {bracket} is never closed", where=f"at column {position + 1}", fix="close it")
    if len(text) > MAX_LENGTH:
        why = f"at most {MAX_LENGTH:,} are read"
        raise InputError(f"the expression has {len(text):,} characters", why=why, fix="shorten it")
    if digits := re.search(rf"[0-9_]{{{MAX_DIGITS}}}", text):  # Python limits them too, in words for programmers
        where, why = f"at column {digits.start() + 1}", f"at most {MAX_DIGITS:,} digits are read"
        raise InputError("a number is too long", where=where, why=why, fix="write for example 1.5e300")
    if not text.strip(" ;"):
        raise InputError("the expression is empty", fix='write for example "(a+b)*(b+1)" a=2 b=1')


def _refuse_size() -> NoReturn:
    why = f"at most {MAX_OPERATIONS:,} are read"
    raise InputError("the expression has too many operations", why=why, fix="shorten it") from None


def _refuse_syntax(text: str, position: int) -> NoReturn:
    if reserved := re.search(rf"\b({'|'.join(keyword.kwlist)})\b", text):
        where, word = f"at column {reserved.start() + 1}", reserved.group()
        why, fix = "the word has a meaning of its own", "choose another name"
        raise InputError(f"the name {word} cannot be used", where=where, why=why, fix=fix) from None
    found = re.match(r"\s*(\w+|\S)", text[position:])
    if found is None:
        why, where = "a number, a name or a bracket is missing there", f"at column {len(text.rstrip()) + 1}"
        raise InputError("the expression ends too early", where=where, why=why, fix="complete it") from None
    where = f"at column {position + found.start(1) + 1}: {shorten(found.group(1))!r}"
    why = "something is missing or out of place there"
    fix = "write products with *, powers with ** and a ; between statements"
    raise InputError("the expression cannot be read", where=where, why=why, fix=fix) from None


class _Reader:
    """From Python's syntax tree to a Program: the whitelist.  A node that no case names is refused."""

    def __init__(self, text: str, shift: int):
        self.text, self.shift = text, shift
        self.stripped = text.strip().encode()  # the tree's columns count the bytes of what was parsed
        self.inputs: dict[str, int] = {}  # free name -> where it was first read
        self.names: dict[str, int] = {}  # assigned name -> where
        self.operations = 0

    def program(self, tree: ast.Module) -> Program:
        statements = [self.statement(node, last=node is tree.body[-1]) for node in tree.body]
        constants = tuple(name for name in self.inputs if name in CONSTANTS)
        inputs = tuple(name for name in self.inputs if name not in CONSTANTS)
        return Program(self.text, tuple(statements), inputs, tuple(self.names), constants)

    def statement(self, node: ast.stmt, last: bool) -> Statement:
        match node:
            case ast.Expr(value=value):
                expression = self.expression(value)
                if not last:
                    self.refuse("the value of a statement is not used", node, fix="give it a name, or remove it")
                return Statement(None, expression)
            case ast.Assign(targets=[ast.Name(id=name) as target], value=value):
                if name in _CALLABLE:
                    self.refuse(f"{name} is the name of a function", target, fix="choose another name")
                expression = self.expression(value)
                if name in self.names:
                    why, fix = "a name has one value", "choose another name"
                    self.refuse(f"{name} is assigned twice", target, why=why, fix=fix)
                if name in self.inputs:
                    why, fix = "it is an input of the expression", "assign it first, or choose another name"
                    self.refuse(f"{name} is assigned after it was used", target, why=why, fix=fix)
                self.names[name] = self.span(target)[0]
                return Statement(name, expression)
        self.refuse(f"{_REFUSED.get(type(node), 'a statement')} is not part of an expression", node, fix=_LANGUAGE)

    def expression(self, root: ast.expr) -> Expression:
        steps: list[Step] = []
        stack: list[ast.expr | Step] = [root]
        while stack:  # a step goes below its operands: it comes off the stack when they are done
            item = stack.pop()
            if isinstance(item, Step):
                steps.append(item)
                continue
            step, operands = self.step(item)
            if step is not None:
                self.operations += step.arity > 0
                stack.append(step)
            stack.extend(reversed(operands))
        if self.operations > MAX_OPERATIONS:
            _refuse_size()
        return Expression(tuple(steps), *self.span(root))

    def step(self, node: ast.expr) -> tuple[Step | None, list[ast.expr]]:
        """The step of one node (None for a unary plus) and the operands that come before it."""
        start, end = self.span(node)
        match node:
            case ast.Constant(value=int() | float() | complex() as value) if not isinstance(value, bool):
                return Step("number", "", 0, start, end, self.number(node)), []
            case ast.Name(id=name):
                if name in _CALLABLE:
                    self.refuse(f"the function {name} is used without arguments", node, fix=f"write {name}(...)")
                if name not in self.names:
                    self.inputs.setdefault(name, start)
                return Step("name", name, 0, start, end), []
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return None, [operand]
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Step("operator", "negate", 1, start, end), [operand]
            case ast.BinOp(left=left, op=op, right=right):
                if type(op) not in _BINARY:
                    fix = "write a power with **" if isinstance(op, ast.BitXor) else "use + - * / **"
                    self.refuse("this operator is not part of an expression", node, fix=fix)
                return Step("operator", _BINARY[type(op)], 2, start, end), [left, right]
            case ast.Call(func=func, args=args, keywords=keywords):
                return Step("call", self.function(node, func, args, keywords), len(args), start, end), args
        fix = _LANGUAGE
        if isinstance(node, ast.Attribute) and node.attr in _CALLABLE:
            fix = f"write {node.attr}(...) alone"  # from np.exp and math.exp
        self.refuse(f"{_REFUSED.get(type(node), 'this')} is not part of an expression", node, fix=fix)

    def function(self, node: ast.expr, func: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> str:
        if not isinstance(func, ast.Name):
            if isinstance(func, ast.Attribute):
                self.step(func)  # refuses it, in its own words
            self.refuse("only a function's name can be called", node, fix="write a product with *")
        name = func.id
        if name not in _CALLABLE:
            near = difflib.get_close_matches(name, _CALLABLE, 3)
            fix = f"write a product as {name}*(...); the functions are {', '.join(_CALLABLE)}"
            fix = f"did you mean {listed(near, 'or')}?" if near else fix
            self.refuse(f"there is no function {name}", func, fix=fix)
        arity = 2 if _ALIASES.get(name, name) in ("maximum", "minimum") else 1
        form = f"write {name}(x, y)" if arity == 2 else f"write {name}(x)"
        if keywords:
            self.refuse(f"{name} takes no arguments by name", node, fix=form)
        if len(args) != arity:
            why = f"it takes {arity} argument{'s' * (arity > 1)}, not {len(args)}"
            self.refuse(f"{name} is called wrongly", node, why=why, fix=form)
        return _ALIASES.get(name, name)

    def number(self, node: ast.expr) -> float:
        start, end = self.span(node)
        source = self.text[start:end]
        if not NUMBER.fullmatch(source):
            why = "a complex number has no place here" if source[-1] in "jJ" else "only decimal numbers are read"
            self.refuse("this number cannot be used", node, why=why, fix="write for example 2, 0.5 or 1e-3")
        if not math.isfinite(value := float(source)):
            self.refuse("this number is too large", node, why="the largest is about 1.8e308", fix="write a smaller one")
        return value

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        ends = (node.col_offset, node.end_col_offset or node.col_offset)
        start, end = (self.shift + len(self.stripped[:offset].decode()) for offset in ends)
        return start, end

    def refuse(self, what: str, node: ast.expr | ast.stmt, *, why: str | None = None, fix: str) -> NoReturn:
        start, end = self.span(node)
        raise InputError(what, where=f"at column {start + 1}: {shorten(self.text[start:end])!r}", why=why, fix=fix)
