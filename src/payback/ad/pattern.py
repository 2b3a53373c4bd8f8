"""Sparsity: the edge algebra whose payments are sets.

What an entry of a node holds is the set of the top's entries that depend on it; what an edge pays is the union of the
sets of those of the node's entries in which the argument's entry is used.  One sweep, and the leaf's sets are the
pattern of the Jacobian, transposed.  Partials are not looked at, with one exception: a zero of a constant in a
contraction is no edge (`constants=False` counts them as edges too).  Both branches of a choice count.

A row says how its entries hang together by its kind and name; a row of its own kind by `depends` (see `ops/row.py`).
Where nothing is said, every entry of the result is taken to depend on every entry of the argument: a pattern may be
larger than it has to be, never smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from payback.ad.sets import Ints, Sets, union
from payback.ad.sweep import Entry, sweep
from payback.ir.node import Node
from payback.ops.namespace import Values
from payback.ops.reduce import spread
from payback.ops.several import PART, Share

Payment = tuple[Ints | None, Sets]  # (to, sets): the entries of the argument that the rows go to; None: each to its own
_NOWHERE = -1
Held = Callable[[Node], Any]


def _nothing(node: Node) -> Any:
    return None


class Pattern:
    """Payments are sets of entries of the top.

    constants  whether the zeros of constants are used; `used` then tells whether any was
    held       what a plain array without a number of its own holds (an index, in a graph that is run later)
    """

    live: set[Node] | None = None

    def __init__(self, constants: bool = True, held: Held = _nothing):
        self.constants, self.used, self.held = constants, False, held

    def pull(self, node: Node, slot: int, bar: Any) -> Any:
        row, arg = node.op, node.args[slot]
        if row is PART:
            return Share(node.params["k"], bar)
        if row.kind == "pointwise" or row.name == "cast":
            if arg.shape == node.shape:
                return None, bar
            return _numbered(arg, node.shape).ravel(), bar
        if row.kind == "reduction":
            return None, _group(node, slot, bar)
        rule = _RULES.get(row.name)
        if rule is not None and (found := rule(self, node, slot, bar)) is not None:
            return found
        return None, _blocks(node, slot, bar)

    def values(self, node: Node) -> list[Any] | None:
        """The numbers of a node's arguments, of floating ones none; None where an index is not known."""
        found = [None if arg.aval.dtype.kind == "f" else self.held(arg) if arg.value is None else arg.value
                 for arg in node.args]  # fmt: skip
        known = all(x is not None or arg.aval.dtype.kind == "f" for arg, x in zip(node.args, found, strict=True))
        return found if known else None

    def total(self, node: Node, pile: list[Entry]) -> Any:
        if pile[0][0] is None and len(pile) == 1:
            return pile[0][2]
        if type(pile[0][2]) is Share:
            return _shares(node, pile)
        payments: list[Payment] = [entry[2] if entry[0] is not None else (None, entry[2]) for entry in pile]
        return union(payments, node.aval.size, payments[0][1].width)


def jacobian_pattern(top: Node, wrt: Node, reached: list[Node], constants: bool = True) -> tuple[Sets, bool]:
    """For each entry of the top the entries of `wrt` that it depends on, and whether zeros of constants were used."""
    algebra = Pattern(constants)
    (pattern,) = _patterns(algebra, [top], [wrt], reached, None)
    return pattern, algebra.used


def jacobian_patterns(
    tops: list[Node], wrt: list[Node], reached: list[Node], held: Held, most: int | None = None
) -> list[Sets]:
    """For each of `wrt`: on which of its entries each entry of the tops depends, of one top after the other.

    Zeros of constants count as edges.  Raises TooManyError where a node's sets would have more than `most` members.
    """
    return _patterns(Pattern(constants=False, held=held), tops, wrt, reached, most)


def _patterns(algebra: Pattern, tops: list[Node], wrt: list[Node], reached: list[Node], most: int | None) -> list[Sets]:
    sizes = [top.aval.size for top in tops]
    height, starts = sum(sizes), np.cumsum([0, *sizes])
    seeds: dict[Node, Sets] = {}
    for top, size, start in zip(tops, sizes, starts, strict=False):  # a node may be several results
        own = Sets.identity(size, int(start), height, most)
        seeds[top] = seeds[top] | own if top in seeds else own
    settled = sweep(algebra, seeds, wrt, reached=reached)
    return [settled[node].transposed() if node in settled else Sets.empty(height, node.aval.size) for node in wrt]


def _shares(node: Node, pile: list[Entry]) -> list[Sets | None]:
    """The sets of each of several results; None: nobody looks at it."""
    found: list[list[Payment]] = [[] for _ in node.aval]
    for _, _, share in pile:
        found[share.k].append((None, share.bar))
    return [union(p, aval.size, p[0][1].width) if p else None for p, aval in zip(found, node.aval, strict=True)]


def _numbered(arg: Node, shape: tuple[int, ...] | None = None) -> Ints:
    """The argument's entries by their numbers, in its shape or broadcast to another."""
    numbers = np.arange(arg.aval.size).reshape(arg.shape)
    return numbers if shape is None else np.broadcast_to(numbers, shape)


def _moved(algebra: Pattern, node: Node, slot: int, bar: Sets) -> Payment | None:
    """A row that only moves entries about, run on their numbers."""
    arg, values = node.args[slot], algebra.values(node)
    if values is None:
        return None
    operands = [
        _numbered(arg) if k == slot else np.full(other.shape, _NOWHERE) if other.aval.dtype.kind == "f" else values[k]
        for k, other in enumerate(node.args)
    ]
    source = np.ravel(node.op.value(Values, *operands, **node.params))
    if len(node.args) > 1:
        ours = np.flatnonzero(source != _NOWHERE)
        if ours.size < source.size:
            return source[ours], bar.take(ours)
    if source.size == arg.aval.size and (source == np.arange(source.size)).all():
        return None, bar
    return source, bar


def _scattered(algebra: Pattern, node: Node, slot: int, bar: Sets) -> Payment | None:
    """A payment of `scatter`: its adjoint is an index, so the index of the numbers tells where it went."""
    values = algebra.values(node)
    if values is None:
        return None
    numbers = np.arange(node.aval.size).reshape(node.shape)
    target = node.op.adjoint(Values, numbers, slot, *values, **node.params)
    arg = node.args[slot]
    return _numbered(arg, np.shape(target)).ravel(), bar.take(np.ravel(target))


def _group(node: Node, slot: int, bar: Sets) -> Sets:
    """A reduction: every entry goes into one entry of the result."""
    numbers = np.arange(node.aval.size).reshape(node.shape)
    return bar.take(np.ravel(spread(Values, numbers, node.args[slot].shape, **node.params)))


def _accumulated(_: Pattern, node: Node, slot: int, bar: Sets) -> Payment:
    """A running sum: an entry is in all sums from it on.  Unions over 1, 2, 4, … entries: log n steps."""
    shape, axis = node.shape, node.params["axis"]
    numbers = np.moveaxis(np.arange(node.aval.size).reshape(shape), axis, 0)
    numbers = numbers[::-1] if node.params["backwards"] else numbers
    step = 1
    while step < shape[axis]:
        bar = union([(None, bar), (numbers[:-step].ravel(), bar.take(numbers[step:].ravel()))], bar.height, bar.width)
        step *= 2
    return None, bar


def _contracted(algebra: Pattern, node: Node, slot: int, bar: Sets) -> Payment:
    """A product: along the other side's own letters, where a constant other side is not zero."""
    arg, other, spec = node.args[slot], node.args[1 - slot], node.params["spec"]
    mine, theirs, out = spec[slot], spec[1 - slot], spec[2]
    extent = dict(zip(mine, arg.shape, strict=True)) | dict(zip(theirs, other.shape, strict=True))
    if algebra.constants and other not in (algebra.live or ()) and other.value is not None:
        filled = np.not_equal(other.value, 0)  # NaN is not zero
        if not filled.all():
            algebra.used = True
            at = dict(zip(theirs, (k[:, None] for k in np.nonzero(filled)), strict=True))
            own = [c for c in mine if c not in theirs]
            pairs = (np.count_nonzero(filled), prod(extent[c] for c in own))
            grid = np.indices([extent[c] for c in own]).reshape(len(own), 1, pairs[1])
            at |= dict(zip(own, grid, strict=True))
            to, source = (
                np.broadcast_to(
                    np.ravel_multi_index([np.broadcast_to(at[c], pairs) for c in letters], shape) if letters else 0,
                    pairs,
                ).ravel()
                for letters, shape in ((mine, arg.shape), (out, node.shape))
            )
            return to, bar.take(source)
    # dense: unite along the letters that the argument has not, then the same sets for all letters that are summed
    shared = [c for c in out if c in mine]
    numbers = np.arange(prod(extent[c] for c in shared)).reshape([extent[c] for c in shared])
    bar = union([(_along(numbers, shared, out, node.shape), bar)], numbers.size, bar.width)
    return None, bar.take(_along(numbers, shared, mine, arg.shape))


def _along(numbers: Ints, letters: list[str], axes: str, shape: tuple[int, ...]) -> Ints:
    """Numbers with axes `letters`, at every entry of an array of the axes that has those letters among others."""
    moved = numbers.transpose([letters.index(c) for c in axes if c in letters])
    return np.broadcast_to(np.expand_dims(moved, [i for i, c in enumerate(axes) if c not in letters]), shape).ravel()


def _blocks(node: Node, slot: int, bar: Sets | list[Sets | None]) -> Sets:
    """Everything depends on everything, or does so among the entries of one case (`depends`)."""
    arg, row = node.args[slot], node.op
    bars = [part for part in bar if part is not None] if isinstance(bar, list) else [bar]
    if row.depends is None or isinstance(bar, list):
        ours, theirs = np.zeros(arg.aval.size, np.int64), [np.zeros(part.height, np.int64) for part in bars]
    else:
        labels = row.depends(slot, *[a.aval for a in node.args], **node.params)
        ours, results = (
            np.ravel(np.broadcast_to(label, x.shape)) for label, x in zip(labels, (arg, node), strict=True)
        )
        theirs = [results]
    cases = 1 + max((int(label.max()) for label in (ours, *theirs) if label.size), default=0)
    return union(list(zip(theirs, bars, strict=True)), cases, bars[0].width).take(ours)


_RULES: dict[str, Callable[..., Any]] = dict.fromkeys(
    ("index", "reshape", "transpose", "broadcast", "concatenate", "stack"), _moved
)
_RULES |= {
    "scatter": _scattered,
    "sum": lambda _, node, slot, bar: (None, _group(node, slot, bar)),
    "mean": lambda _, node, slot, bar: (None, _group(node, slot, bar)),
    "cumsum": _accumulated,
    "contract": _contracted,
}
