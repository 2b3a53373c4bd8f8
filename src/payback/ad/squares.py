"""Products that have |x|, a norm or hypot as a factor twice: differentiated as the smooth functions of x that they are.

At x = 0 the derivative of n = |x| is taken as 0, and so is that of n² then, rightly; but the slope 2·n·sign x, written
down and differentiated once more, would be 2·sign² x = 0 where the truth is 2.  So of what such a product owes n, the
factor n that is left stays apart (`Rooted`), down through whatever n is a factor of, until n pays x: n·∂n/∂x is x.
On graphs alone: what is computed at once is not differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.ir.node import Node, by_id
from payback.ops.index import Scattered
from payback.ops.row import CONST

if TYPE_CHECKING:
    from payback.ad.algebra import Gradient

_ROOTS = ("abs", "norm", "hypot")  # each the root of a sum of squares
_MOVES = ("reshape", "transpose", "broadcast", "index", "cast")
_FEW = 1 << 12  # bytes of a constant that is compared
_NONE: frozenset[Node] = frozenset()


class Rooted:
    """What a node is owed: the sum of `of[roots]` times these roots, which are factors of the node."""

    __slots__ = ("of",)

    def __init__(self, of: dict[frozenset[Node], Any]):
        self.of = of


def all_of(payments: Iterable[Any]) -> dict[frozenset[Node], list[Any]]:
    """What each product of roots is to be multiplied with, of several payments to one node."""
    piles: dict[frozenset[Node], list[Any]] = {}
    for paid in payments:
        for roots, by in paid.of.items() if type(paid) is Rooted else [(_NONE, paid)]:
            piles.setdefault(roots, []).append(by)
    return piles


def times_all(gradient: Gradient, by: Any, roots: Iterable[Node]) -> Any:
    """The product with some roots, in the order of their making."""
    for root in sorted(roots, key=by_id):
        by = gradient.times(by, gradient.operand(root))
    return by


def _told(x: Any) -> Any:
    """What two parameters or constants have in common only if they are the same."""
    kind = type(x)
    if kind is tuple:
        return tuple(map(_told, x))
    if kind is slice:
        return kind, x.start, x.stop, x.step
    if isinstance(x, (np.ndarray, np.generic)):
        return (x.dtype, x.shape, x.tobytes()) if x.nbytes <= _FEW else id(x)
    return (kind, repr(x)) if kind in (int, float, bool, str, type(None)) else id(x)


class Roots:
    """Which nodes of a graph have which roots as factors, and what such products pay.

    factors: of a root and of what moves its entries, itself, or an earlier node that is like it
    """

    def __init__(self, nodes: Iterable[Node]):
        self.factors: dict[Node, frozenset[Node]] = {}
        nodes = [*nodes]
        if not any(node.op.name in _ROOTS for node in nodes):
            return
        known: dict[Any, Node] = {}
        first: dict[Node, Node] = {}
        for node in sorted(nodes, key=by_id):
            name, args = node.op.name, node.args
            of = [self.factors.get(arg, _NONE) for arg in args]
            if args:
                given = [first.get(arg) or (_told(arg.value) if arg.op is CONST else arg) for arg in args]
                first[node] = known.setdefault((name, _told(tuple(node.params.items())), *given), node)
            if name in _ROOTS or (name in _MOVES and of and of[0]):
                found = frozenset([first[node]])
            elif name == "mul":
                found = of[0] | of[1]
            else:
                found = of[0] if name in ("neg", "div") else _NONE
            if found:
                self.factors[node] = found

    def twice(self, node: Node) -> frozenset[Node]:
        """The roots that are factors of both operands of a product, or of what is raised to an even power."""
        name, args, of = node.op.name, node.args, self.factors.get
        if name == "mul" or (name == "contract" and node.params["spec"][0] == node.params["spec"][1]):
            return of(args[0], _NONE) & of(args[1], _NONE)
        if name == "power" and (found := of(args[0])) and args[1].op is CONST and not args[1].shape:
            exponent = args[1].value
            return found if exponent >= 2 and exponent % 2 == 0 else _NONE
        return _NONE

    def paid(self, gradient: Gradient, node: Node, slot: int, bar: Any) -> Any:
        """What a node pays the argument in that slot, if it is such a product or what it is owed is `Rooted`."""
        terms = bar.of if type(bar) is Rooted else {_NONE: bar}
        payments = [self._paid(gradient, node, slot, roots, by) for roots, by in terms.items()]
        payments = [paid for paid in payments if paid is not None]
        return gradient.added(node.args[slot], payments) if payments else None

    def _paid(self, gradient: Gradient, node: Node, slot: int, roots: frozenset[Node], by: Any) -> Any:
        name, arg, twice = node.op.name, node.args[slot], self.twice(node)
        if name == "mul" and (roots or twice):
            other = node.args[1 - slot]
            here = roots & self.factors.get(arg, _NONE)
            by = times_all(gradient, by, (roots - here) | (here & twice))
            by = self._times_rest(gradient, by, other, twice)
            return Rooted({here | twice: gradient.fitted(by, arg)}) if here | twice else gradient.fitted(by, arg)
        if name == "power" and twice:
            by = self._times_rest(gradient, self._of_power(gradient, node, by), arg, twice)
            return None if slot else Rooted({twice: by})
        if name == "contract" and twice:
            args = [self._rest(gradient, arg, twice) for arg in node.args]
            by = node.op.adjoint(gradient.m, gradient.dense(by), slot, *args, **node.params)
            return Rooted({twice: gradient.fitted(by, arg)})
        if not roots:
            return gradient.plain_pull(node, slot, by)
        if name in _ROOTS:
            by = gradient.spread_bar(node, by, arg.shape) if name == "norm" else by
            return gradient.fitted(gradient.times(by, gradient.operand(arg)), arg)
        if name == "neg":
            return Rooted({roots: gradient.times(by, -1.0)})
        if name == "div" and not slot:
            by = gradient.times(by, gradient.m.div(1.0, gradient.operand(node.args[1])))
            return Rooted({roots: gradient.fitted(by, arg)})
        if name in _MOVES:
            of = self.factors[arg]
            paid = gradient.plain_pull(node, slot, by)
            if type(paid) is Scattered and arg not in of:
                paid = gradient.added(arg, [paid])
            return Rooted({of: self._times_rest(gradient, paid, arg, of)})
        return gradient.plain_pull(node, slot, gradient.dense(Rooted({roots: by})))

    def _of_power(self, gradient: Gradient, node: Node, by: Any) -> Any:
        """Times the slope of xᵏ divided by x: k·xᵏ⁻²."""
        exponent = float(node.args[1].value)
        by = gradient.times(by, exponent)
        if exponent == 2.0:
            return by
        return gradient.times(by, gradient.m.power(gradient.operand(node.args[0]), exponent - 2.0))

    def _times_rest(self, gradient: Gradient, by: Any, node: Node, roots: frozenset[Node]) -> Any:
        rest = self._without(gradient, node, roots)
        return by if rest is None else gradient.times(by, rest)

    def _rest(self, gradient: Gradient, node: Node, roots: frozenset[Node]) -> Any:
        """The node divided by these factors of it."""
        rest, ones = self._without(gradient, node, roots), gradient.constant(np.ones(node.shape, node.aval.dtype))
        return ones if rest is None else ones * rest

    def _without(self, gradient: Gradient, node: Node, roots: frozenset[Node]) -> Any:
        """The same, in a shape that may be smaller; None: it is 1."""
        name, args = node.op.name, node.args
        if not roots:
            return gradient.operand(node)
        if name == "neg":
            rest = self._without(gradient, args[0], roots)
            return gradient.constant(-1.0) if rest is None else -rest
        if name == "mul":
            here = roots & self.factors.get(args[0], _NONE)
            rests = [self._without(gradient, args[0], here), self._without(gradient, args[1], roots - here)]
            rests = [rest for rest in rests if rest is not None]
            return rests[0] * rests[1] if len(rests) == 2 else rests[0] if rests else None
        if name == "div":
            rest = self._without(gradient, args[0], roots)
            return gradient.m.div(1.0 if rest is None else rest, gradient.operand(args[1]))
        return None

    def pushed(self, gradient: Gradient, node: Node, dots: Mapping[Node, Any]) -> Any:
        """The tangent of such a product, of those of all nodes below it."""
        twice = self.twice(node)
        if node.op.name == "power":
            found = self._tangent(gradient, node.args[0], twice, dots)
            found = None if found is None else self._of_power(gradient, node, found)
            return None if found is None else self._times_rest(gradient, found, node.args[0], twice)
        parts = []
        for slot, arg in enumerate(node.args):
            found = self._tangent(gradient, arg, twice, dots)
            if found is not None and node.op.name == "mul":
                parts.append(self._times_rest(gradient, found, node.args[1 - slot], twice))
            elif found is not None:
                args = [self._rest(gradient, arg, twice) for arg in node.args]
                args[slot] = gradient.m.broadcast(found, shape=arg.shape)
                parts.append(node.op.value(gradient.m, *args, **node.params))
        return self._sum(gradient, node, parts)

    def _sum(self, gradient: Gradient, node: Node, parts: list[Any]) -> Any:
        if not parts:
            return None
        return gradient.m.broadcast(parts[0] if len(parts) == 1 else parts[0] + parts[1], shape=node.shape)

    def _tangent(self, gradient: Gradient, node: Node, roots: frozenset[Node], dots: Mapping[Node, Any]) -> Any:
        """The tangent of a node, times these factors of it; None: nothing reaches it."""
        name, args, m = node.op.name, node.args, gradient.m
        if node not in dots:
            return None
        if not roots:
            return gradient.dense(dots[node])
        if name in _ROOTS:
            parts = [gradient.operand(arg) * gradient.dense(dots[arg]) for arg in args if arg in dots]
            return m.sum(parts[0], **node.params) if name == "norm" else self._sum(gradient, node, parts)
        if name == "neg":
            return -self._tangent(gradient, args[0], roots, dots)
        if name in _MOVES:
            of = self.factors[args[0]]
            moved = self._times_rest(gradient, self._tangent(gradient, args[0], of, dots), args[0], of)
            moved = m.broadcast(moved, shape=args[0].shape)
            return node.op.value(m, moved, *map(gradient.operand, args[1:]), **node.params)
        parts = []
        for slot, arg in enumerate(args):
            here = roots if name == "div" and not slot else roots & self.factors.get(arg, _NONE)
            here = _NONE if name == "div" and slot else here
            part = self._tangent(gradient, arg, here, dots)
            if part is None:
                continue
            other = gradient.operand(args[1 - slot])
            if name == "div":
                part = m.div(part if not slot else -gradient.operand(node) * part, gradient.operand(args[1]))
            else:
                part = part * other
            parts.append(times_all(gradient, part, roots - here))
        return self._sum(gradient, node, parts)
