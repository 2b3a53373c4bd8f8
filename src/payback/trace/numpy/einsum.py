"""`np.einsum` of any formula, as rows that exist: diagonals, sums, products and pairwise contractions.

A formula becomes one list of labels per operand.  What concerns one operand alone is done first (repeated labels are
diagonals, labels that stand nowhere else are summed); then the operands are contracted in pairs, in the order that
`np.einsum_path` finds.  All that follows from the formula and the shapes alone is found once, and kept: see `Plan`.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache, partial
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from payback.errors import ShapeError
from payback.trace.array import Traced, as_traced, plain
from payback.trace.assignment.views import laid_by, looked_at
from payback.trace.dispatch import contraction, emit, here, implements, into
from payback.trace.numpy.map import astype

FEW = 4  # operands, of which all orders are looked at

Labels = list[Hashable]
Term = tuple[Hashable, ...]
Shape = tuple[int, ...]


@lru_cache(maxsize=512)
def _parsed(formula: str) -> tuple[tuple[Term, ...], Term | None]:
    """The labels of each operand, and of the result if they are given."""
    left, arrow, right = formula.replace(" ", "").partition("->")
    terms = tuple([_term(part) for part in left.split(",")])
    return terms, _term(right) if arrow else None


def _term(text: str) -> Term:
    found: Labels = []
    while text:
        if text.startswith("..."):
            found.append(Ellipsis)
            text = text[3:]
        elif text[0] in ascii_letters:
            found.append(text[0])
            text = text[1:]
        else:
            raise ValueError(f"{text[0]!r} in an einsum formula is no letter")
    return tuple(found)


def _interleaved(operands: tuple[Any, ...]) -> tuple[tuple[Term, ...], Term | None, list[Any]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    arrays = list(operands[: len(operands) // 2 * 2 : 2])
    terms = tuple([tuple(labels) for labels in operands[1 : len(arrays) * 2 : 2]])
    return terms, tuple(operands[-1]) if len(operands) % 2 else None, arrays


def _spelled_out(terms: tuple[Term, ...], out: Term | None, shapes: tuple[Shape, ...]) -> tuple[list[Labels], Labels]:
    """The labels with every ellipsis replaced by the axes that it stands for (aligned at the right, as in NumPy)."""
    if len(terms) != len(shapes):
        raise ValueError(f"the einsum formula has {len(terms)} operands, {len(shapes)} were given")
    made, widest = [], 0
    for position, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        hidden = len(shape) - (len(term) - term.count(Ellipsis))
        if term.count(Ellipsis) > 1 or hidden < 0 or (hidden and Ellipsis not in term):
            raise ShapeError(f"np.einsum: operand {position} has the shape {shape}", where=here(),
                             why=f"the formula gives it {len(term) - term.count(Ellipsis)} letters"
                             + (" and an ellipsis" if Ellipsis in term else ""))  # fmt: skip
        made.append(_replaced(term, hidden))
        widest = max(widest, hidden if Ellipsis in term else 0)
    if out is None:
        letters = [label for term in terms for label in term if label is not Ellipsis]
        out = (Ellipsis, *sorted(label for label in set(letters) if letters.count(label) == 1))
    known = {label for term in made for label in term}
    result = _replaced(out, widest)
    if len(set(result)) != len(result) or not known.issuperset(result):
        raise ValueError("the labels of an einsum result are distinct, and each is one of an operand's")
    if widest and Ellipsis not in out:
        raise ValueError("the axes of an ellipsis stand in the result of einsum, too")
    return made, result


def _replaced(term: Term, count: int) -> Labels:
    at = term.index(Ellipsis) if Ellipsis in term else len(term)
    return [*term[:at], *((Ellipsis, k) for k in range(count, 0, -1) if Ellipsis in term), *term[at + 1 :]]


class Plan(NamedTuple):
    """What to do with arrays of such shapes.

    alone   by operand: what to do with it alone, steps of a name and its axes
    pairs   which of the parts to take, and how each further one is multiplied by what the ones before have come to;
            what they come to is the last of the parts
    turned  the order of the axes in the end, None where they stand in it
    """

    alone: tuple[tuple[tuple[str, Any], ...], ...]
    pairs: tuple[tuple[tuple[int, ...], tuple[Pair, ...]], ...]
    turned: tuple[int, ...] | None


class Pair(NamedTuple):
    """A contraction by its letters, or if there are none a plain product of the two, arranged."""

    spec: tuple[str, str, str] | None
    first: Arrangement = (None, None)
    second: Arrangement = (None, None)


Arrangement = tuple[tuple[int, ...] | None, Shape | None]  # the order of the axes and then the shape; None: as it is


@lru_cache(maxsize=512)
def _planned(terms: tuple[Term, ...], out: Term | None, shapes: tuple[Shape, ...], how: Any) -> Plan:
    spelled, wanted = _spelled_out(terms, out, shapes)
    extents = _extents(spelled, shapes)
    alone, parts = [], []
    for k, (shape, term) in enumerate(zip(shapes, spelled, strict=True)):
        others = {label for i, other in enumerate(spelled) for label in other
                  if i != k and extents[label] == shapes[i][other.index(label)]}  # fmt: skip
        steps, labels, shape = _alone(shape, term, extents, others | set(wanted))
        alone.append(steps)
        parts.append((shape, labels))
    letter = dict(zip(extents, ascii_letters, strict=False))
    names = tuple("".join(letter[label] for label in labels) for _, labels in parts)
    pairs = []
    for step in _path(names, "".join(letter[label] for label in wanted), tuple(shape for shape, _ in parts), how):
        chosen = [parts[i] for i in step]
        parts = [part for i, part in enumerate(parts) if i not in step]
        found = []
        while len(chosen) > 1:
            a, b, *chosen = chosen
            kept = {label for _, labels in (*parts, *chosen) for label in labels} | set(wanted)
            pair, labels = _pair(a, b, kept, None if parts or chosen else wanted)
            found.append(pair)
            chosen.insert(0, (tuple(extents[label] for label in labels), labels))
        pairs.append((tuple(step), tuple(found)))
        parts.append(chosen[0])
    ((_, labels),) = parts
    turned = None if labels == wanted else tuple(labels.index(label) for label in wanted)
    return Plan(tuple(alone), tuple(pairs), turned)


def _alone(
    shape: Shape, labels: Labels, extents: dict[Hashable, int], elsewhere: set[Hashable]
) -> tuple[tuple[tuple[str, Any], ...], Labels, Shape]:
    """How one operand comes to distinct labels, all of which stand elsewhere, too: diagonals taken, the rest summed."""
    steps: list[tuple[str, Any]] = []
    wide = [i for i, label in enumerate(labels) if shape[i] == extents[label]]
    if len(wide) < len(labels):  # an extent of 1 goes with any other
        steps.append(("squeeze", tuple(i for i in range(len(labels)) if i not in wide)))
        labels = [labels[i] for i in wide]
    while len(set(labels)) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        steps.append(("crossed", (first, second)))
        labels = [label, *(other for i, other in enumerate(labels) if i not in (first, second))]
    lonely = tuple(i for i, label in enumerate(labels) if label not in elsewhere)
    if lonely:
        steps.append(("sum", lonely))
        labels = [label for label in labels if label in elsewhere]
    return tuple(steps), labels, tuple(extents[label] for label in labels)


def _made_alone(x: Any, steps: tuple[tuple[str, Any], ...]) -> Any:
    for name, axes in steps:
        if name == "squeeze":
            x = np.squeeze(x, axes)
        elif name == "sum":
            x = np.sum(x, axis=axes)
        else:  # a view where NumPy's is one: np.einsum("ii->i", x)[:] = 1 writes into x
            first, second = axes
            x = looked_at(x, "crossed", {"of": [*range(second), first, *range(second + 1, x.ndim)], "first": first},
                          partial(_crossed, x, first, second))  # fmt: skip
    return x


def _crossed(x: Any, first: int, second: int) -> Any:
    return np.moveaxis(np.diagonal(x, 0, first, second), -1, 0)


def _arrangement(part: tuple[Shape, Labels], order: Labels) -> Arrangement:
    """How an operand gets its axes where `order` has them, and axes of extent 1 for the labels that it has not."""
    shape, labels = part
    axes = tuple(labels.index(label) for label in order if label in labels)
    moved = tuple(shape[axis] for axis in axes)
    extents = iter(moved)
    # leading axes come by themselves where the operands are broadcast
    missing = next((i for i, label in enumerate(order) if label in labels), len(order))
    full = tuple(next(extents) if label in labels else 1 for label in order[missing:])
    return None if axes == tuple(range(len(axes))) else axes, None if full == moved else full


def _arranged(x: Any, arrangement: Arrangement) -> Any:
    axes, full = arrangement
    if axes is not None:
        x = np.transpose(x, axes)
    return x if full is None else np.reshape(x, full)


def _pair(
    first: tuple[Shape, Labels], second: tuple[Shape, Labels], kept: set[Hashable], out: Labels | None
) -> tuple[Pair, Labels]:
    """The product of two operands, summed over what nobody needs any more."""
    of_a, of_b = first[1], second[1]
    batch = [label for label in of_a if label in of_b and label in kept]
    free = [label for label in (*of_a, *of_b) if (label in of_a) != (label in of_b)]
    out = out or [*batch, *free]
    if all(label in kept for label in of_a if label in of_b):  # nothing to sum: the bits of a plain product
        return Pair(None, _arrangement(first, out), _arrangement(second, out)), out
    letter = dict(zip(dict.fromkeys([*of_a, *of_b]), ascii_letters, strict=False))
    left, right, result = ("".join(letter[label] for label in labels) for labels in (of_a, of_b, out))
    return Pair((left, right, result)), out


def _path(terms: tuple[str, ...], out: str, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Any]:
    if len(terms) < 3:
        return [tuple(range(len(terms)))]
    parts = [np.broadcast_to(np.empty(()), shape) for shape in shapes]
    if isinstance(optimize, bool):
        # NumPy's greedy order looks at sizes alone, and may multiply two matrices by a vector
        optimize = ("optimal", 2**62) if len(terms) <= FEW else "greedy"
    optimize = list(optimize) if isinstance(optimize, tuple) and optimize[0] == "einsum_path" else optimize
    return np.einsum_path(f"{','.join(terms)}->{out}", *parts, optimize=optimize)[0][1:]


class _OfNumpy(NamedTuple):
    """NumPy's function on other arrays."""

    texts: tuple[str, ...]
    axes: tuple[Term, ...]  # of the operands, and of the result if they are given
    order: str
    optimize: Any

    def __call__(self, *arrays: Any) -> Any:
        if self.texts:
            given: list[Any] = [*self.texts, *arrays]
        else:
            axes = [list(term) for term in self.axes]
            given = [part for pair in zip(arrays, axes, strict=False) for part in pair] + axes[len(arrays) :]
        optimize = list(self.optimize) if type(self.optimize) is tuple else self.optimize
        return np.einsum(*given, order=self.order, optimize=optimize)


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, **options: Any) -> Any:
    """np.einsum.  Three or four operands are contracted in pairs, with the fewest operations; more in the greedy
    order, unless another is asked for."""
    return into(out, "einsum", _contracted(operands, **options))


def _contracted(
    operands: tuple[Any, ...], optimize: Any = False, dtype: Any = None, order: str = "K", casting: str = "safe"
) -> Any:
    if isinstance(operands[0], str):
        (terms, result), arrays = _parsed(operands[0]), list(operands[1:])
    else:
        terms, result, arrays = _interleaved(operands)
    arrays = [x if isinstance(x, Traced) else _array(x) for x in arrays]
    if not any(isinstance(x, Traced) and x.dtype.kind == "f" for x in arrays):  # no derivative can be lost
        given = operands if not isinstance(operands[0], str) else (operands[0], *map(plain, arrays))
        return np.einsum(*map(plain, given), dtype=dtype, casting=casting, optimize=optimize)
    common = np.result_type(*[x.dtype for x in arrays]) if dtype is None else np.dtype(dtype)
    arrays = [x if x.dtype == common else astype(x, common) if isinstance(x, Traced) else x.astype(common)
              for x in arrays]  # fmt: skip
    how = tuple(optimize) if isinstance(optimize, list) else optimize
    plan = _planned(terms, result, tuple([x.shape for x in arrays]), how)
    parts = [_made_alone(x, steps) if steps else x for x, steps in zip(arrays, plan.alone, strict=True)]
    for step, pairs in plan.pairs:
        x, *others = [parts[i] for i in step]
        parts = [part for i, part in enumerate(parts) if i not in step]
        for y, (spec, first, second) in zip(others, pairs, strict=True):
            if spec is None:
                x = emit("mul", _arranged(x, first), _arranged(y, second))
            else:
                x = contraction(x, y, spec)
        parts.append(x)
    (x,) = parts
    x = x if isinstance(x, Traced) else Traced(as_traced(x))
    if plan.turned is not None:
        x = np.transpose(x, plan.turned)
    elif x is arrays[0]:
        return x[...]
    if len(arrays) == 1:
        return x
    function = _OfNumpy(operands[:1], (), order, how) if isinstance(operands[0], str) else \
        _OfNumpy((), terms if result is None else (*terms, result), order, how)  # fmt: skip
    return laid_by(function, x, *arrays, key=function)


def _array(x: Any) -> Any:
    """An operand that is no traced value itself."""
    node = as_traced(x)
    if node is x:
        return np.asarray(x)
    return node if isinstance(node, np.ndarray) else Traced(node)


def _extents(terms: list[Labels], shapes: tuple[Shape, ...]) -> dict[Hashable, int]:
    extents: dict[Hashable, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, extent in zip(term, shape, strict=True):
            known = extents.setdefault(label, extent)
            if extent != known and 1 not in (extent, known):
                raise ShapeError(f"np.einsum of shapes {', '.join(map(str, shapes))}", where=here(),
                                 why=f"one label has both {known} and {extent} entries")  # fmt: skip
            if known == 1:
                extents[label] = extent
    return extents
