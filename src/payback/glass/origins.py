"""Where something that is not finite was born, in words: the element, the operands, the rule, the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.glass import cures
from payback.glass.bound import with_elements
from payback.glass.story import shown
from payback.glass.vanished import vanished
from payback.ir.aval import Avals
from payback.ir.node import Node
from payback.ir.where import Position, position, written_operands
from payback.ops.namespace import Select, Values
from payback.ops.row import CONST

_GROWS = frozenset(
    [
        "add",
        "sub",
        "mul",
        "div",
        "power",
        "exp",
        "expm1",
        "exp2",
        "sinh",
        "cosh",
        "contract",
        "sum",
        "mean",
        "prod",
        "cumprod",
        "cumsum",
        "recurrence",
        "convolve",
        "softplus",
        "norm",
        "hypot",
    ]
)
_SIGNS = {"add": "+", "sub": "−", "mul": "·", "div": "/"}
MOVES = frozenset({"index", "reshape", "transpose", "broadcast", "concatenate", "stack", "cast", "part", "identity"})
_CONSTANT = "a constant"
_SILENT = frozenset({"cast", "part", "identity"})  # in no program, or no operation
_ATOM = re.compile(r"[\w.\[\]']*(\([^()]*\))?")  # a name or one call: no parentheses are needed around it


@dataclass(frozen=True, slots=True)
class Origin:
    """A place where something that is not finite was born.

    phase     "value", or "gradient": in the backward pass, or "step": of a training, in what the optimizer makes of it
    what      the sub-expression, or the name of an argument
    index     the first entry there; count: how many, of how many
    operands  (text, number) at that entry
    result    what came of them: a NaN or an infinity
    rule      the operation; in the backward pass its partial
    fact      why that has no finite result
    place     the user's sub-expression; None for data
    times     how often the sub-expression gave birth: the steps of a loop
    after     the leaf that was read last, where one sub-expression is run by several layers; else empty
    run       where it is evaluated several times (a loop): which time it is, from 1, of how many; else (0, 0)
    row       of a training: the row that the entry belongs to; else empty
    cure      what is usually done about it; else empty
    """

    phase: str
    what: str
    index: tuple[int, ...]
    count: int
    size: int
    operands: tuple[tuple[str, float], ...]
    result: float
    rule: str
    fact: str
    place: Position | None
    times: int = 1
    after: str = ""
    row: str = ""
    cure: str = ""
    run: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        what = self.what if not self.index or _ATOM.fullmatch(self.what) else f"({self.what})"
        what += f"[{', '.join(map(str, self.index))}]" if self.index else ""
        what += f" after {self.after}" if self.after else ""
        what += f" in evaluation {self.run[0]:,} of {self.run[1]:,}" if self.run[1] else ""
        where = f"{self.place.at}: " if self.place else ""
        with_ = " and ".join(f"{text} = {shown(float(number))}" for text, number in self.operands)
        born = "in the backward pass of " if self.phase == "gradient" else ""
        told = f"{where}{born}{what} is {shown(float(self.result))}"
        if self.phase == "gradient":
            told = f"{where}{born}{what}: it pays {shown(float(self.result))}"
        if self.phase == "step":
            told = f"in the step, {what}"
        told += f" ({with_})" if with_ else ""
        told += f": {self.fact}"
        told += f"; {self.row}" if self.row else ""
        told += f"; {self.count:,} of {self.size:,} entries" if self.size > 1 else ""
        return told + (f"; first of {self.times:,} times" if self.times > 1 else "")


def bad_entries(value: Any) -> Any:
    """A mask of the entries that are not finite."""
    if type(value) is float:
        return np.bool_(not isfinite(value))
    value = np.asarray(value)
    return ~np.isfinite(value) if value.dtype.kind == "f" else np.zeros(value.shape, bool)


class Telling:
    """Origins in words."""

    def __init__(self, names: Mapping[Node, str], data: Mapping[str, Any]):
        self.names, self._data = dict(names), data
        self._users: dict[Node, Node] = {}

    def learn(self, nodes: Sequence[Node]) -> None:
        self.names = with_elements(nodes, self.names)
        for node in nodes:
            for arg in node.args:
                self._users.setdefault(arg, node)

    def text(self, node: Node) -> str:
        """What a node is called where it is an operand."""
        if node in self.names:
            return self.names[node]
        if not node.args:
            return self._constant(node)
        if node.op.name in MOVES and (node.op.name in _SILENT or not (node.where and position(node.where))):
            return self.text(node.args[0])
        place = position(node.where)
        text = place.text if place is not None else ""
        return text if 0 < len(text) <= 60 else node.op.name

    def _constant(self, node: Node) -> str:
        for name, array in self._data.items():
            if np.shape(array) == node.shape and np.array_equal(array, node.value, equal_nan=array.dtype.kind == "f"):
                return name
        user = self._users.get(node)
        while user is not None and user.op.name in _SILENT:
            node, user = user, self._users.get(user)
        texts = _written(user) if user is not None else ()
        return texts[user.args.index(node)] if user is not None and len(texts) == len(user.args) else _CONSTANT

    def operands(self, node: Node, index: tuple[int, ...]) -> tuple[tuple[str, float], ...]:
        """The numbers that went into an entry of a pointwise node; of others those that are single numbers."""
        found, own = [], self.text_of(node)
        texts = _written(node) if node not in self.names else ()
        for slot, arg in enumerate(node.args):
            if isinstance(arg.value, tuple) or arg.aval.dtype.kind == "b":
                continue
            inside = arg.op is not node.op and arg.op.name not in _SILENT and _place(arg) == _place(node) is not None
            text = texts[slot] if len(texts) == len(node.args) and not inside else self.text(arg)
            if _is_number(text) or (
                text == _CONSTANT and node.op.kind == "own"
            ):  # it says itself what it is, or nothing
                continue
            if node.op.kind == "pointwise":
                number = np.broadcast_to(arg.value, node.shape)[index]
            elif not arg.shape:
                number = arg.value
            elif node.op.name in ("sum", "mean", "prod", "max", "min", "logsumexp", "norm", "contract"):
                if not arg.aval.size:
                    continue
                number = np.max(np.abs(arg.value))
                if np.isfinite(number) or node.op.name != "contract":  # there other rows may not be finite
                    found.append((f"max |{text}|", _shortest(number)))
                continue
            else:
                continue
            if text == own and arg.op is not node.op:  # a step of the same expression, not an earlier round of a loop
                text = f"{arg.op.name} in it"
            found.append((text, _shortest(number)))
        return tuple(dict.fromkeys(found))

    def forward(self, node: Node, born: Any) -> Origin:
        index = _first(born)
        result = float(np.asarray(node.value)[index])
        operands = self.operands(node, index)
        fact, cure = _fact(node, operands, result), _cure("value", node, result)
        if node.op.kind == "pointwise" and (why := vanished(node, index, self.text)):
            fact += f"; {why}"
        return Origin("value", self.text_of(node), index, int(born.sum()), born.size, operands, result, node.op.name,
                      fact, position(node.where), cure=cure)  # fmt: skip

    def text_of(self, node: Node) -> str:
        if node in self.names:
            return self.names[node]
        place = position(node.where)
        return place.text if place is not None and place.text else node.op.name

    def whole(self, node: Node) -> Origin:
        """Of an operation with several results."""
        domain = node.op.facts.get("domain")
        fact = f"{node.op.name} needs this: {domain}" if domain else "the operation has no finite result"
        numbers = np.concatenate([np.ravel(part)[bad_entries(part).ravel()] for part in node.value])
        return Origin("value", self.text_of(node), (), 1, 1, (), float(numbers[0]), node.op.name, fact,
                      position(node.where))  # fmt: skip

    def data(self, node: Node, mask: Any) -> Origin:
        index = _first(mask)
        result = float(np.asarray(node.value)[index])
        fact = "it was given"
        if len(index) == 2:
            fact = f"it was given: row {index[0]}, column {index[1]}"
        name = self.names.get(node) or self._constant(node)
        user = self._users.get(node)
        place = position(user.where) if user is not None and node.op is CONST and name not in self._data else None
        return Origin("value", name, index, int(mask.sum()), mask.size, (), result, "data", fact, place)

    def backward(self, node: Node, slot: int, born: Any, amount: Any, bar: Any) -> Origin:
        index, result = _first(born), float(amount[_first(born)])
        operands: tuple[tuple[str, float], ...] = ()
        partial = None
        if node.op.kind == "pointwise" and bar is not None:
            partial = node.op.partials[slot](Values, *[arg.value for arg in node.args], node.value)
            if type(partial) is Select:
                partial = np.asarray(Gradient(False).dense(Gradient(False).times(np.ones(node.shape)[()], partial)))
            paid = np.broadcast_to(np.asarray(bar) * partial, node.shape)
            at = _first(bad_entries(paid)) if bad_entries(paid).any() else _first(np.ones(node.shape, bool))
            partial = float(np.broadcast_to(partial, node.shape)[at])
            owed = float(np.broadcast_to(bar, node.shape)[at])
            operands = (*self.operands(node, at), ("owed", owed), ("partial", partial))
            result = float(paid[at])
        rule = str(node.op.facts.get("math", node.op.name))
        fact, cure = _fact_backward(node, partial, rule), _cure("gradient", node, result)
        if operands and operands[-2] == ("owed", 0.0) and np.isinf(operands[-1][1]):
            cure = cures.NOTHING_OWED
        return Origin("gradient", self.text_of(node), index, int(born.sum()), born.size, operands, result, rule, fact,
                      position(node.where), cure=cure)  # fmt: skip

    def summed(self, node: Node, mask: Any, bar: Any) -> Origin:
        index = _first(mask)
        return Origin("gradient", self.text(node), index, int(mask.sum()), mask.size, (), float(np.asarray(bar)[index]),
                      "sum", f"the sum of its payments is beyond {_largest(node)}", position(node.where))  # fmt: skip


def _place(node: Node) -> Any:
    return node.where[:2] if node.where is not None else None


def _written(node: Node) -> tuple[str, ...]:
    """The operands in the user's words; none where the arguments of a call are others than those of the operation."""
    texts = written_operands(node.where)
    fit = len(texts) == len(node.args) and all(map(_can_be, texts, (arg.value for arg in node.args)))
    return texts if fit else ()


def _can_be(text: str, value: Any) -> bool:
    """Whether a text in the program can stand for a value: another number cannot, nor can a function."""
    return not text.startswith("lambda") and not (_is_number(text) and np.any(np.not_equal(float(text), value)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shortest(number: Any) -> float:
    """A number of any dtype as the shortest float that is rounded to it."""
    return float(str(number)) if isinstance(number, (np.float32, np.float16)) else float(number)


def _cure(phase: str, node: Node, result: float) -> str:
    if np.isnan(result) and node.op.name in ("contract", "exp"):  # of what was given
        return ""
    return cures.NAN.get((phase, node.op.name), "")


def _first(mask: Any) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0]) if np.ndim(mask) else ()


def _largest(node: Node) -> str:
    if isinstance(node.aval, Avals):
        return "the largest number"
    return f"the largest {node.aval.dtype}, {float(np.finfo(node.aval.dtype).max):.3g}"


_VALUES = {"sqrt": "x ≥ 0", "arcsin": "|x| ≤ 1", "arccos": "|x| ≤ 1", "arccosh": "x ≥ 1",
           "power": "a ≥ 0, or b a whole number"}  # where there is a value, but at the edge no derivative  # fmt: skip


def _fact(node: Node, operands: tuple[tuple[str, float], ...], result: float) -> str:
    name, domain = node.op.name, node.op.facts.get("domain")
    numbers = [number for _, number in operands]
    if np.isnan(result) and any(np.isinf(number) for number in numbers):
        if name in _SIGNS and len(numbers) == 2:
            return f"{_short(numbers[0])} {_SIGNS[name]} {_short(numbers[1])} has no value"
        return f"{name} of an infinity has no value"
    overflow = np.isinf(result) and name in _GROWS and not (name == "div" and numbers[-1:] == [0.0])
    if overflow and not (name == "power" and numbers[:1] == [0.0]):
        return f"the result is beyond {_largest(node)}"
    if name == "power" and numbers[:1] == [0.0]:
        return "0 has no negative power"
    if name == "integral":
        return "between the limits the function, or what it adds up to, is not finite"
    if domain:
        return f"{name} needs {_VALUES.get(name, domain)}"
    if node.args and not node.args[0].aval.size:
        return f"{name} of no entries has no value"
    return "0·∞ or ∞ − ∞ in the sum" if name in ("contract", "sum") else f"{name} has no finite value there"


def _fact_backward(node: Node, partial: float | None, rule: str) -> str:
    domain = node.op.facts.get("domain")
    if node.op.name == "custom":
        return "so says the derivative that the function was given"
    if partial is None:
        return (
            f"{node.op.name} has a finite derivative where {domain}"
            if domain
            else f"what it pays is beyond {_largest(node)}"
        )
    if np.isfinite(partial):
        return f"what it pays is beyond {_largest(node)}"
    if not domain:
        return f"the partial {rule} is {shown(partial)} there"
    return f"the partial {rule} is {shown(partial)} there: {node.op.name} has a finite derivative where {domain}"


def _short(number: float) -> str:
    return {"inf": "∞", "-inf": "−∞", "nan": "NaN"}.get(repr(float(number)), shown(float(number)))
