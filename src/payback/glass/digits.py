"""Where digits are lost: a gradient beside the same graph and sweep in a wider dtype.

The graph that was computed is computed once more, node by node, with float32 as float64 and float64 as NumPy's long
double, on the same inputs, and swept.  What the two differ by is what rounding has done; a node that differs far more
than its operands do has lost the digits.  Inputs count as exact.

The wider dtype has roundings of its own.  So it is run a second time with each result that is not exact moved by up to
one of them (stochastic arithmetic: Vignes, Math. Comput. Simul. 35, 1993); digits that move are not known there
either, and count as lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.sweep import everything, sweep
from payback.errors import InputError
from payback.glass import cures
from payback.glass.wide import BY_ELIMINATION, Wide
from payback.ir.aval import Avals
from payback.ir.node import Node, ancestors
from payback.ir.where import Position, position
from payback.run.interpreter import quietly
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

Array = np.ndarray[Any, Any]
TOLD = 1.0  # digits: from here on a loss at one node is told
PLACES = 5
MOST_TEXT = 60
_OWED = "the gradient of "
_EXACT = frozenset(
    ("neg", "abs", "maximum", "minimum", "select", "cast", "identity", "relu", "stop_gradient", "sign", "max", "min")
)
_ROUNDED = frozenset(("contract", "conv", "sum", "mean", "cumsum"))  # of the linear ones; the others move entries


@dataclass(frozen=True, slots=True)
class Loss:
    """A node that loses digits.

    what: its expression, or whose adjoint.  lost: how many digits, beyond what its operands had lost.  fact: of which
    numbers, at the entry that is worst.  times: how often it is evaluated with such a loss; the worst is told.  cure:
    what is usually done about it, or empty.
    """

    what: str
    op: str
    place: Position | None
    lost: float
    fact: str
    times: int = 1
    cure: str = ""

    def __str__(self) -> str:
        often = f", and some in {self.times - 1:,} other evaluations" if self.times > 1 else ""
        where = f"{self.place.file}:{self.place.line}: " if self.place and self.place.file else ""
        return f"{where}{self.what} loses {self.lost:.1f} digits: {self.fact}{often}"


@dataclass(frozen=True, slots=True)
class Right:
    """The gradient by one leaf, or the value.

    digits: how many of each entry are right, from 0 to those of the dtype, none of a NaN; at least `least`, in the
    median `median`.
    noise: of how many entries none is: they are 0 but for rounding, as far as anybody knows.
    """

    leaf: str
    digits: Array
    most: float

    @property
    def least(self) -> float:
        return float(self.digits.min(initial=self.most))

    @property
    def median(self) -> float:
        return float(np.median(self.digits)) if self.digits.size else self.most

    @property
    def noise(self) -> int:
        return int(np.sum(self.digits < 1.0))

    def __str__(self) -> str:
        one = self.digits.size == 1
        count = f"{self.median:.1f}" if one else f"in the median {self.median:.1f}, at least {self.least:.1f}"
        told = f"{self.leaf}: of {self.most:.1f} digits {count} are right"
        if self.noise and not one:
            told += f"; {self.noise:,} of {self.digits.size:,} entries are 0 but for rounding, or all noise"
        return told


@dataclass(frozen=True, slots=True)
class Digits:
    """How many digits of a gradient are right, leaf by leaf (`found["x"].digits`), and the places that lose them.

    value: how many of the value are.
    wider: the dtype that it was put beside.  narrow: operations that have no such form, whose own roundings are not
    seen.
    """

    leaves: dict[str, Right]
    value: Right
    places: tuple[Loss, ...]
    wider: str
    narrow: tuple[str, ...]

    def __getitem__(self, name: str) -> Right:
        if name not in self.leaves:
            raise InputError(f"there is no leaf {name}", fix=f"its leaves are {', '.join(self.leaves)}")
        return self.leaves[name]

    def __str__(self) -> str:
        lines = [str(self.value), *(f"gradient of {right}" for right in self.leaves.values())]
        lines += map("  {}".format, self.places)
        if helps := dict.fromkeys(place.cure for place in self.places if place.cure):
            lines.append(f"what helps: {'; '.join(helps)}")
        if self.narrow:
            lines.append(f"not seen: roundings inside {', '.join(self.narrow)}, which have no form in {self.wider}")
        return "\n".join(lines)


def digits(book: Ledger) -> Digits:
    """See `Ledger.digits`."""
    opened = book.opened
    leaves = [leaf.node for leaf in opened.leaves]
    top = opened.top.node
    wider = _wider(top)
    with quietly():
        wide, moved = _Wide(top, leaves, wider), _Wide(top, leaves, wider, np.random.default_rng(0))
    error = _Errors(opened, wide, moved)
    right = {}
    for leaf in opened.leaves:
        if leaf.settled is not None:
            right[leaf.name] = Right(leaf.name, error.right(leaf.node), error.most)
    value = Right("value", error.digits(top.value, wide.of[top].value, moved.of[top].value), error.most)
    lost = any(found.least < error.most - TOLD for found in (value, *right.values()))
    places = error.places(_names(opened)) if lost else ()
    return Digits(right, value, tuple(places)[:PLACES], wider.__name__, tuple(sorted(wide.narrow)))


def _names(book: Ledger) -> dict[Node, str]:
    return {account.node: account.name for account in book.nodes} | dict(book.texts)


def _wider(top: Node) -> Any:
    dtype = top.aval.dtype
    if dtype.itemsize < 8:
        return np.float64
    if np.finfo(np.longdouble).eps < np.finfo(float).eps:
        return np.longdouble
    raise InputError("there is no wider number here to compare float64 with", why="NumPy's long double is float64",
                     fix='pb.bisect((f, x), "float32") tells where the same program loses digits')  # fmt: skip


class _Wide:
    """A graph and its adjoints in a wider dtype: of[node] is what stands for a node, adjoint[node] what it is owed.

    rng: moves what is rounded.  narrow: operations that NumPy does not have in it.
    """

    def __init__(self, top: Node, leaves: list[Node], wider: Any, rng: Any = None):
        self.wider, self.rng = wider, rng
        self.complex = np.result_type(wider, np.complex64)
        self.of: dict[Node, Node] = {}
        self.m = Wide(rng)
        self.narrow = self.m.narrow
        for node in ancestors([top]):
            self.of[node] = self._made(node)
        gradient = Gradient(on_graph=False)
        gradient.m = self.m
        back = {self.of[node]: node for node in self.of}
        seed = {self.of[top]: seed_for(self.of[top])}
        try:
            wrt = [self.of[leaf] for leaf in leaves if leaf in self.of]  # others are no part of it
            found = sweep(gradient, seed, wrt, keep=everything)
        except (TypeError, np.linalg.LinAlgError) as problem:
            told = ", ".join(sorted(self.narrow)) or str(problem)
            raise InputError(f"the gradient has no form in {wider.__name__}", why=f"{told} is not computed in it",
                             fix='write pb.bisect((f, x), "float32")') from None  # fmt: skip
        self.adjoint = {back[node]: gradient.dense(bar) for node, bar in found.items() if _plain(node)}

    def _cast(self, value: Any) -> Any:
        if type(value) is float:
            return self.wider(value)
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        if kind not in "fc" or not kind:
            return value
        made = value.astype(self.wider if kind == "f" else self.complex)
        if isinstance(made, np.ndarray):
            made.setflags(write=False)
        return made

    def _made(self, node: Node) -> Node:
        if not node.args or node.op.value is None:
            return Node(node.op, (), node.params, self._cast(node.value), node.where)
        args = tuple(self.of[arg] for arg in node.args)
        params = {name: np.dtype(self.wider) if isinstance(value, np.dtype) and value.kind == "f" else value
                  for name, value in node.params.items()}  # fmt: skip
        try:
            value = node.op.value(self.m, *(arg.value for arg in args), **params)
        except (TypeError, np.linalg.LinAlgError):  # what SciPy computes has no such numbers
            self.narrow.add(node.op.name)
            given = [_like(arg.value, old.value) for arg, old in zip(args, node.args, strict=True)]
            value = node.op.value(self.m, *given, **node.params)
        value = tuple(map(self._cast, value)) if isinstance(value, tuple) else self._cast(value)
        if self.rng is not None:
            value = self._shaken(node, args, value)
        return Node(node.op, args, params, value, node.where)

    def _shaken(self, node: Node, args: tuple[Node, ...], value: Any) -> Any:
        """The value moved by up to one rounding where it was rounded."""
        name = node.op.name
        if isinstance(value, tuple) or getattr(getattr(value, "dtype", None), "kind", "") != "f":
            return value
        if name in _EXACT or name in BY_ELIMINATION or (node.op.kind == "linear" and name not in _ROUNDED):
            return value
        eps = np.finfo(self.wider).eps
        by = (value * eps * self.rng.choice((-1, 1), np.shape(value))).astype(self.wider)
        if name in ("add", "sub"):
            by = by * (_rest(args[0].value, args[1].value if name == "add" else -args[1].value, value) != 0)
        made = value + by
        if isinstance(made, np.ndarray):
            made.setflags(write=False)
        return made


def _rest(a: Any, b: Any, total: Any) -> Any:
    """What a sum has been rounded by (Knuth's TwoSum)."""
    part = total - a
    return (a - (total - part)) + (b - part)


def _like(value: Any, old: Any) -> Any:
    return value.astype(old.dtype) if hasattr(old, "dtype") else type(old)(value)


def _plain(node: Node) -> bool:
    return not isinstance(node.aval, Avals) and not isinstance(node.value, tuple)


class _Errors:
    """How far values and adjoints are from the wider ones, relative to their largest entries."""

    def __init__(self, book: Ledger, wide: _Wide, moved: _Wide):
        self.book, self.wide, self.moved = book, wide, moved
        info = np.finfo(book.top.node.aval.dtype)
        self.eps, self.most = float(info.eps), -float(np.log10(info.eps))
        self.settled = {a.node: a.settled for a in book.nodes if a.settled is not None and _plain(a.node)}
        self.value = {node: self._of(node.value, made.value, moved.of[node].value, wide.adjoint.get(node))
                      for node, made in wide.of.items() if _plain(node) and _floating(node.value)}  # fmt: skip
        self.adjoint = {node: self._of(bar, wide.adjoint[node], moved.adjoint.get(node, wide.adjoint[node]))
                        for node, bar in self.settled.items() if node in wide.adjoint}  # fmt: skip

    def _apart(self, here: Any, there: Any, again: Any, paid: Any = None) -> tuple[Any, Any]:
        """(how far each entry is off, how large it is): as far as the largest is large, where it is beyond the dtype.

        paid: the adjoint of these; an entry that nothing is owed to is not taken.
        """
        here, there, again = (np.asarray(x) for x in (here, there, again))
        with np.errstate(all="ignore"):
            apart, size = np.abs(there - here.astype(there.dtype)), np.abs(there)
            apart = np.fmax(apart, np.abs(again - there))
        size = np.where(np.isfinite(size), size, 0.0)
        beyond = ~np.isfinite(here) & np.isfinite(there)
        if paid is not None and np.shape(paid) == np.shape(here):
            beyond &= np.asarray(paid) != 0
        return np.where(beyond, max(np.max(size, initial=0.0), 1.0), np.where(np.isfinite(apart), apart, 0.0)), size

    def _of(self, here: Any, there: Any, again: Any, paid: Any = None) -> float:
        if isinstance(here, float | np.float32) and isfinite(here):  # the same of a number, without arrays
            off, much = np.fmax(abs(there - here), abs(again - there)), abs(there)
            if not 0 < off < np.inf:
                return 0.0
            return float(off / much) if 0 < much < np.inf else np.inf
        apart, size = self._apart(here, there, again, paid)
        most, largest = (float(np.max(x, initial=0.0)) for x in (apart, size))
        return 0.0 if most == 0 else most / largest if largest else np.inf

    def right(self, leaf: Node) -> Array:
        """How many digits of each entry of a leaf's gradient are right."""
        there = self.wide.adjoint[leaf]
        return self.digits(self.settled[leaf], there, self.moved.adjoint.get(leaf, there))

    def digits(self, here: Any, there: Any, again: Any) -> Array:
        """How many digits of each number are right."""
        apart, size = self._apart(here, there, again)
        with np.errstate(all="ignore"):
            found = -np.log10(np.where(size > 0, apart / np.where(size > 0, size, 1), np.where(apart > 0, 1.0, 0.0)))
        found = np.where(np.isnan(here), 0.0, found)
        return np.asarray(np.clip(found, 0.0, self.most) + 0.0, float)  # no -0.0

    def places(self, names: Mapping[Node, str]) -> Iterator[Loss]:
        """Nodes that lose digits, those that lose most first."""
        found: list[Loss] = []
        for node in self.value:
            before = max((self.value.get(arg, 0.0) for arg in node.args), default=0.0)
            if node.op.name in BY_ELIMINATION:  # that many roundings are nobody's loss
                before = max(before, node.args[0].shape[-1] * self.eps)
            if node.args and (lost := self._lost(self.value[node], before)) >= TOLD:
                fact, place = self._fact(node, names), position(node.where)
                found.append(Loss(_text(node, names), node.op.name, place, lost, fact, cure=_cure(node)))
        found += self._slow(names)
        users: dict[Node, list[Node]] = {}
        for node in self.adjoint:
            for arg in node.args:
                users.setdefault(arg, []).append(node)
        around = {payer: max(error, *(self.value.get(node, 0.0) for node in (payer, *payer.args)))
                  for payer, error in self.adjoint.items()}  # fmt: skip
        for node, error in self.adjoint.items():
            payers = users.get(node, [])
            before = max((around[payer] for payer in payers), default=0.0)
            if len(payers) > 1 and (lost := self._lost(error, before)) >= TOLD:
                told = list(dict.fromkeys(_text(payer, names) for payer in payers))
                fact = f"what {' and '.join(told[:3])} pay{'s' * (len(told) == 1)} cancels"
                found.append(Loss(f"{_OWED}{_text(node, names)}", node.op.name,
                                  position(node.where) if node.args else None, lost,
                                  fact))  # fmt: skip
        merged: dict[Any, Loss] = {}
        # of about as much that of a value first: mended, it mostly mends the gradient, too
        for loss in sorted(found, key=lambda loss: -(loss.lost + loss.what.startswith(_OWED) * -TOLD)):
            one = merged.setdefault((loss.what, loss.op, loss.place), loss)
            if one is not loss:
                merged[loss.what, loss.op, loss.place] = replace(one, times=one.times + 1)
        yield from merged.values()

    def _slow(self, names: Mapping[Node, str]) -> Iterator[Loss]:
        """Sums that lose digits little by little: what the same place adds to what it has made."""
        begun: dict[Node, tuple[float, int]] = {}  # how far off what a chain began with was, and how long it is
        worst: dict[Any, tuple[float, Node]] = {}
        for node, error in self.value.items():
            if node.op.name not in ("add", "sub") or node.where is None:
                continue
            key = node.where[:2]
            longest = max((arg for arg in node.args if arg in begun and arg.where and arg.where[:2] == key),
                          key=lambda arg: begun[arg][1], default=None)  # fmt: skip
            others = max((self.value.get(arg, 0.0) for arg in node.args if arg is not longest), default=0.0)
            before, length = (0.0, 0) if longest is None else begun[longest]
            begun[node] = max(before, others), length + 1
            lost = self._lost(error, begun[node][0])
            sudden = self._lost(error, max(self.value.get(arg, 0.0) for arg in node.args))
            if length and sudden < TOLD <= lost and lost > worst.get(key, (0.0, node))[0]:
                worst[key] = lost, node
        for lost, node in worst.values():
            fact = f"little by little, in {begun[node][1]:,} steps"
            yield Loss(_text(node, names), node.op.name, position(node.where), lost, fact)

    def _lost(self, error: float, before: float) -> float:
        return float(np.log10(min(error, 1.0) / min(max(before, self.eps), 1.0))) if error > self.eps else 0.0

    def _fact(self, node: Node, names: Mapping[Node, str]) -> str:
        there = self.wide.of[node].value
        apart, _ = self._apart(node.value, there, self.moved.of[node].value, self.wide.adjoint.get(node))
        at = np.unravel_index(int(np.argmax(apart)), apart.shape)

        def entry(value: Any) -> str:
            array = np.asarray(value)
            spread = np.broadcast_to(array, apart.shape) if array.ndim <= apart.ndim and array.size != 1 else array
            return f"{spread[at] if array.size != 1 else array.reshape(()).item():.10g}"

        if not np.isfinite(np.asarray(node.value)[at]):
            return f"it is {np.format_float_scientific(np.asarray(there)[at], 1)}, beyond {node.aval.dtype}"
        if node.op.name in BY_ELIMINATION and np.ndim(matrix := node.args[0].value) == 2 and matrix.size:
            singular = np.linalg.svd(matrix, compute_uv=False)
            condition = singular[0] / singular[-1] if singular[-1] else np.inf
            return f"the condition number of {_text(node.args[0], names)} is {condition:.2g}"
        if node.op.name in ("add", "sub") and all(_spreads(arg.value, apart.shape) for arg in node.args):
            a, b = (entry(arg.value) for arg in node.args)
            sign = "+" if node.op.name == "add" else "-"
            return f"{a} {sign} {b.join('()') if b.startswith('-') else b} = {entry(node.value)}"
        if len(node.args) == 1 and _spreads(node.args[0].value, apart.shape):
            return f"{entry(node.args[0].value)} gives {entry(node.value)}, which changes far more for its size"
        return f"its terms cancel to {entry(node.value)}"


def _text(node: Node, names: Mapping[Node, str]) -> str:
    """The program's own words for a node, else its name."""
    if node in names and (not node.args or node.where is None):
        return names[node]
    place = position(node.where)
    text = " ".join(place.text.split()) if place is not None and place.text else ""
    nameless = names.get(node, node.op.name).startswith(node.op.name)  # in the program
    if nameless and len(text) > MOST_TEXT:
        return text[: MOST_TEXT - 1] + "…"
    return text if 0 < len(text) <= MOST_TEXT else names.get(node) or node.op.name


def _cure(node: Node) -> str:
    """What is usually done about digits that are lost there."""
    name, made = node.op.name, [arg.args[0].op.name if arg.op.name == "cast" else arg.op.name for arg in node.args]
    if name in BY_ELIMINATION:
        return cures.CONDITION
    if name == "log" and made[0] in ("add", "sub"):
        return cures.LOG1P
    if name not in ("add", "sub"):
        return ""
    if "mean" in made:
        return cures.MEAN
    for op, cure in (("exp", cures.EXPM1), ("cos", cures.COSINE), ("sqrt", cures.ROOT)):
        if made.count(op) == 1:
            return cure
    return ""


def _spreads(value: Any, shape: tuple[int, ...]) -> bool:
    try:
        return np.broadcast_shapes(np.shape(value), shape) == shape
    except ValueError:
        return False


def _floating(value: Any) -> bool:
    return type(value) is float or getattr(getattr(value, "dtype", None), "kind", "") == "f"
