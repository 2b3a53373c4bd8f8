"""`cost`: what a value and its gradient compute and move, counted op by op.

The bound (Baur & Strassen 1983; Griewank & Walther, Evaluating Derivatives, 2008, § 4.6): a gradient costs a small
multiple of the value, whatever the number of variables; with the weights below at most 5 for elementary programs.

Weights, in flops an entry: + − · comparisons and choices 1; ÷ √ 4; exp, log, sin and their like 10; powers and other
special functions 20.  A product of matrices: 2 for each pair that is multiplied and added.  What only moves entries
computes nothing, nor do operations on truth values.  Bytes: each op reads its arguments and writes its result, once;
views move nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.squares import Roots
from payback.ad.sweep import Entry, sweep
from payback.glass.accounts import Account
from payback.ir.aval import Avals
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors
from payback.ops.append import const
from payback.ops.recording import Recording, Term
from payback.ops.row import CONST, TABLE
from payback.trace.backward import seed_for

if TYPE_CHECKING:
    from payback.glass.ledger import Ledger

BOUND = 5.0
_WEIGHTS = {  # flops an entry
    1: "add sub mul neg abs sign relu maximum minimum fmax fmin select gt ge lt le eq ne deg2rad rad2deg floor ceil "
    "trunc rint copysign heaviside ldexp fraction",
    2: "clip",
    4: "div sqrt mod fmod floor_divide",
    10: "exp expm1 log log1p sin cos tan tanh sigmoid softplus exp2 log2 log10 cbrt sinh cosh arcsin arccos arctan "
    "arcsinh arccosh arctanh hypot arctan2 logaddexp logaddexp2 expit logit log_expit",
}
_WEIGHT = {name: weight for weight, names in _WEIGHTS.items() for name in names.split()}
_MOVES = frozenset(
    ["identity", "stop_gradient", "cast", "reshape", "transpose", "broadcast", "index", "concatenate", "stack", "part",
     "logical_and", "logical_or", "logical_not"]  # truth values are no floating numbers
)  # fmt: skip
_VIEWS = frozenset({"identity", "stop_gradient", "reshape", "transpose", "broadcast", "part"})
_SPECIAL = 20  # of every other pointwise op


@dataclass(frozen=True, slots=True)
class Line:
    """One op: flops and bytes of its value and of what the sweep does for it (its payments and its pile)."""

    account: Account
    value_flops: int
    gradient_flops: int
    value_bytes: int
    gradient_bytes: int

    @property
    def ratio(self) -> float | None:
        """(value + gradient) / value in flops; None for what computes nothing."""
        return (self.value_flops + self.gradient_flops) / self.value_flops if self.value_flops else None

    def __str__(self) -> str:
        ratio = f"{self.ratio:8.2f}" if self.ratio is not None else "        "
        place = self.account.where
        return (f"{self.value_flops:>14,} {self.gradient_flops:>14,} {ratio} {self.value_bytes:>14,}"
                f" {self.gradient_bytes:>14,}  {self.account.name} ({self.account.op})"
                + (f"  {place.text}" if place is not None else ""))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """What value and gradient cost together; the lines in order of their flops, most first.

    uncounted: names of ops that nobody has counted; where there are any, the numbers are lower bounds.
    Inside a loop, where each step may take another side of a branch, the dearer one is counted.
    """

    lines: tuple[Line, ...]
    uncounted: tuple[str, ...]

    @property
    def value_flops(self) -> int:
        return sum(line.value_flops for line in self.lines)

    @property
    def gradient_flops(self) -> int:
        """Of the sweep, the value not counted again."""
        return sum(line.gradient_flops for line in self.lines)

    @property
    def value_bytes(self) -> int:
        return sum(line.value_bytes for line in self.lines)

    @property
    def gradient_bytes(self) -> int:
        return sum(line.gradient_bytes for line in self.lines)

    @property
    def ratio(self) -> float | None:
        """(value + gradient) / value, in flops, at most 5 for elementary programs; None where ops are not counted."""
        if self.uncounted or not self.value_flops:
            return None
        return (self.value_flops + self.gradient_flops) / self.value_flops

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    @property
    def summary(self) -> str:
        """One line about all."""
        none = f"not known without {', '.join(self.uncounted)}" if self.uncounted else "none: nothing is computed"
        ratio = f"{self.ratio:.2f} (bound {BOUND:g})" if self.ratio is not None else none
        least = "at least " if self.uncounted else ""
        return (f"flops {least}{self.value_flops:,} + {self.gradient_flops:,} for the gradient, ratio {ratio}; "
                f"bytes {self.value_bytes:,} + {self.gradient_bytes:,}")  # fmt: skip

    def __str__(self) -> str:
        lines = [
            self.summary,
            "   value flops gradient flops    ratio    value bytes gradient bytes",
            *map(str, self.lines[:30]),
        ]
        if len(self.lines) > 30:
            lines.append(f"… and {len(self.lines) - 30:,} more")
        if self.uncounted:
            lines.append(f"not counted: {', '.join(self.uncounted)}")
        return "\n".join(lines)


class _Counting(Recording):
    """`m` on graphs, which also counts."""

    def __init__(self, counter: _Counter):
        super().__init__()
        self.counter = counter

    def apply(self, name: str, *operands: Any, **params: Any) -> Term:
        term = super().apply(name, *operands, **params)
        made = term.node
        if any(term is operand for operand in operands):
            return term
        if made.op is not TABLE[name]:  # of constants: it is computed all the same
            args = tuple(x.node if type(x) is Term else x if isinstance(x, Node) else const(x) for x in operands)
            made = Node(TABLE[name], args, params, made.value, None, made.aval)
        self.counter.tally(made)
        return term


class _Counter(Gradient):
    """The sweep on graphs, each op that it appends counted for the node that it is done for.

    What a pointwise node pays costs what a node like it has paid, so of a loop one round is done and the others are
    looked up: a payment stands for all of its shape and dtype, for nobody asks for its numbers.
    """

    def __init__(self, by_entry: bool) -> None:
        super().__init__(on_graph=True)
        self._by_entry = by_entry
        self.m = _Counting(self)
        self.flops: dict[Node, int] = {}
        self.bytes: dict[Node, int] = {}
        self.uncounted: set[str] = set()
        self._for: Node | None = None
        self._like: dict[Any, tuple[Term, int, int]] = {}

    @property
    def roots(self) -> Roots:
        """None number by number: there a norm is a node with its partials and nothing inside."""
        return Roots(()) if self._by_entry else super().roots

    def tally(self, node: Node) -> None:
        assert self._for is not None
        flops = flops_of(node, self.uncounted)
        self.flops[self._for] = self.flops.get(self._for, 0) + flops
        self.bytes[self._for] = self.bytes.get(self._for, 0) + bytes_of(node)

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        self._for = node
        kind = _kind(node, slot, bar)
        if kind is None or self.roots.factors:
            return super().pull(node, slot, bar)
        return self._once(kind, node, lambda: super(_Counter, self).pull(node, slot, bar))

    def total(self, node: Node, pile: list[Entry]) -> Any:
        self._for = node
        if any(type(paid) is not Term or paid.node.op is CONST for _, _, paid in pile):
            return super().total(node, pile)
        if len(pile) == 1:
            return pile[0][2]
        kind = node.aval, *(paid.node.aval for _, _, paid in pile)
        return self._once(kind, node, lambda: super(_Counter, self).total(node, pile))

    def _once(self, kind: Any, node: Node, do: Callable[[], Any]) -> Any:
        """What a node of this kind has paid or added up, done for the first of them."""
        flops, moved = self.flops.get(node, 0), self.bytes.get(node, 0)
        if kind in self._like:
            made, flops_like, bytes_like = self._like[kind]
            self.flops[node], self.bytes[node] = flops + flops_like, moved + bytes_like
            return made
        made = do()
        if type(made) is Term and made.node.op is not CONST:
            self._like[kind] = made, self.flops.get(node, 0) - flops, self.bytes.get(node, 0) - moved
        return made


def _kind(node: Node, slot: int, bar: Any) -> Any:
    """What the cost of a payment depends on; None where that is more than shapes, dtypes and constants."""
    if node.op.kind != "pointwise" or node.params or type(bar) is not Term or bar.node.op is CONST:
        return None
    args = []
    for arg in node.args:
        if arg.op is CONST and arg.shape:
            return None
        args.append((arg.aval, arg.value if arg.op is CONST else None))
    same = tuple(node.args.index(arg) for arg in node.args)
    return node.op, slot, node.aval, same, bar.node.aval, *args


def cost(book: Ledger) -> Cost:
    """Count the value and the gradient of a ledger's top; its leaves are what is differentiated by."""
    top = book.top.node
    counter = _Counter(book.level == "entry")
    with np.errstate(all="ignore"):
        seed = counter.operand(const(seed_for(top)))
        sweep(counter, {top: seed}, [leaf.node for leaf in book.leaves])
    lines = []
    for node in ancestors([top]):
        flops, moved = flops_of(node, counter.uncounted) if node.args else 0, bytes_of(node) if node.args else 0
        found = book.accounts.get(node)
        swept = counter.flops.get(node, 0), counter.bytes.get(node, 0)
        if not node.args and not any(swept):
            continue
        account = found if found is not None else _outside(book, node)
        lines.append(Line(account, flops, swept[0], moved, swept[1]))
    lines.sort(key=lambda line: -(line.value_flops + line.gradient_flops))
    return Cost(tuple(lines), tuple(sorted(counter.uncounted)))


def _outside(book: Ledger, node: Node) -> Account:
    return Account(book, node, f"%{node.id}")


def _size(node: Node) -> int:
    aval = node.aval
    return sum(part.size for part in aval) if isinstance(aval, Avals) else aval.size


def flops_of(node: Node, uncounted: set[str]) -> int:
    """The flops of one op; of a row that nobody has counted 0, and its name goes into `uncounted`."""
    name, size = node.op.name, _size(node)
    if name in _MOVES or node.op.kind in ("constant", "leaf"):
        return 0
    if node.op.kind == "pointwise":
        return _WEIGHT.get(name, _SPECIAL) * size
    given = _size(node.args[0])
    if name == "contract":
        left, right, out = node.params["spec"]
        extent = dict(zip(left, node.args[0].shape, strict=True)) | dict(zip(right, node.args[1].shape, strict=True))
        terms = prod(extent[c] for c in left if c in right and c not in out)
        summed = any(c in right and c not in out for c in left)
        return (2 if summed else 1) * size * terms
    match name:
        case "sum" | "max" | "min" | "prod":
            return max(given - size, 0)
        case "mean":
            return max(given - size, 0) + 4 * size
        case "cumsum" | "cumprod" | "reduceat":
            return size
        case "logsumexp":
            return 13 * given + 11 * size
        case "norm":
            return 2 * given + 4 * size
        case "recurrence":
            return 2 * size
        case "scatter":
            return sum(_size(arg) for arg in node.args if arg.aval.dtype.kind == "f")
        case "convolve":
            return 2 * given * _size(node.args[1])
        case "call":
            return _inside(node.params["body"].graph, uncounted)
        case "branch":
            high, low = (_inside(node.params[side].graph, uncounted) for side in ("high", "low"))
            if node.args[0].value is None:  # inside a loop, where a step may take either
                return max(high, low)
            return high if node.args[0].value else low
        case "scan":
            return int(node.params["length"]) * _inside(node.params["body"].graph, uncounted)
        case "solve" | "inv" | "cholesky" | "det" | "slogdet" | "solve_triangular" | "lu_factor":
            return _matrices(node)
    uncounted.add(name)
    return 0


def _inside(graph: Graph, uncounted: set[str]) -> int:
    return sum(flops_of(node, uncounted) for node in graph.nodes)


def _matrices(node: Node) -> int:
    """The leading terms (Golub & Van Loan, Matrix Computations, 2013)."""
    *lead, n, _ = node.args[0].shape
    columns = node.args[1].shape[-1] if len(node.args) > 1 and len(node.args[1].shape) > 1 else 1
    cube = n**3
    each = {"cholesky": cube / 3, "inv": 2 * cube, "det": 2 * cube / 3, "slogdet": 2 * cube / 3,
            "lu_factor": 2 * cube / 3, "solve_triangular": n * n * columns,
            "solve": 2 * cube / 3 + 2 * n * n * columns}  # fmt: skip
    return round(prod(lead) * each[node.op.name])


def bytes_of(node: Node) -> int:
    """What one op reads and writes; views move nothing."""
    name = node.op.name
    if name in _VIEWS or node.op.kind == "leaf":
        return 0
    read = (node, *node.args[1:]) if name == "index" else node.args  # the entries that it takes, not all that are there
    return sum(_bytes(part) for part in (*read, node))


def _bytes(node: Node) -> int:
    aval = node.aval
    return sum(a.size * a.dtype.itemsize for a in (aval if isinstance(aval, Avals) else (aval,)))
