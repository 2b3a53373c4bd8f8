"""`np.einsum` of any formula, as rows that exist: diagonals, sums, products and pairwise contractions.

A formula becomes one list of labels per operand.  What concerns one operand alone is done first (repeated labels are
diagonals, labels that stand nowhere else are summed); then the operands are contracted in pairs, in the order that
`np.einsum_path` finds.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache, partial
from string import ascii_letters
from typing import Any

import numpy as np

from payback.errors import ShapeError, UnsupportedError
from payback.trace.array import Traced, as_traced, plain
from payback.trace.dispatch import emit, here, implements
from payback.trace.numpy_map import astype
from payback.trace.views import laid_by, looked_at

Labels = list[Hashable]


def _parsed(formula: str) -> tuple[list[Labels], Labels | None]:
    """The labels of each operand, and of the result if they are given."""
    left, arrow, right = formula.replace(" ", "").partition("->")
    terms = [_term(part) for part in left.split(",")]
    return terms, _term(right) if arrow else None


def _term(text: str) -> Labels:
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
    return found


def _interleaved(operands: tuple[Any, ...]) -> tuple[list[Labels], Labels | None, list[Any]]:
    """einsum(a, [0, 1], b, [1, 2], [0, 2])."""
    arrays = list(operands[: len(operands) // 2 * 2 : 2])
    terms = [list(labels) for labels in operands[1 : len(arrays) * 2 : 2]]
    return terms, list(operands[-1]) if len(operands) % 2 else None, arrays


def _spelled_out(terms: list[Labels], out: Labels | None, shapes: list[tuple[int, ...]]) -> tuple[list[Labels], Labels]:
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
        out = [Ellipsis, *sorted(label for label in set(letters) if letters.count(label) == 1)]  # type: ignore[type-var]
    known = {label for term in made for label in term}
    result = _replaced(out, widest)
    if len(set(result)) != len(result) or not known.issuperset(result):
        raise ValueError("the labels of an einsum result are distinct, and each is one of an operand's")
    if widest and Ellipsis not in out:
        raise ValueError("the axes of an ellipsis stand in the result of einsum, too")
    return made, result


def _replaced(term: Labels, count: int) -> Labels:
    at = term.index(Ellipsis) if Ellipsis in term else len(term)
    return [*term[:at], *((Ellipsis, k) for k in range(count, 0, -1) if Ellipsis in term), *term[at + 1 :]]


def _alone(x: Any, labels: Labels, extents: dict[Hashable, int], elsewhere: set[Hashable]) -> tuple[Any, Labels]:
    """One operand with distinct labels, all of which stand elsewhere, too: diagonals taken, the rest summed."""
    wide = [i for i, label in enumerate(labels) if x.shape[i] == extents[label]]
    if len(wide) < len(labels):  # an extent of 1 goes with any other
        repeated = [i for i in range(len(labels)) if i not in wide]
        x, labels = np.squeeze(x, tuple(repeated)), [labels[i] for i in wide]
    while len(set(labels)) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        rest = [i for i in range(len(labels)) if i not in (first, second)]
        # a view where NumPy's is one: np.einsum("ii->i", x)[:] = 1 writes into x
        x = looked_at(x, "crossed", {"of": [*range(second), first, *range(second + 1, x.ndim)], "first": first},
                      partial(_crossed, x, first, second))  # fmt: skip
        labels = [label, *(labels[i] for i in rest)]
    lonely = tuple(i for i, label in enumerate(labels) if label not in elsewhere)
    if lonely:
        x = np.sum(x, axis=lonely)
        labels = [label for label in labels if label in elsewhere]
    return x, labels


def _crossed(x: Any, first: int, second: int) -> Any:
    return np.moveaxis(np.diagonal(x, 0, first, second), -1, 0)


def _arranged(x: Any, labels: Labels, order: Labels) -> Any:
    """The operand with its axes where `order` has them, and axes of extent 1 for the labels that it has not."""
    axes = tuple(labels.index(label) for label in order if label in labels)
    if axes != tuple(range(len(axes))):
        x = np.transpose(x, axes)
    shape = iter(x.shape)
    # leading axes come by themselves where the operands are broadcast
    missing = next((i for i, label in enumerate(order) if label in labels), len(order))
    full = tuple(next(shape) if label in labels else 1 for label in order[missing:])
    return x if full == x.shape else np.reshape(x, full)


def _pair(a: Any, of_a: Labels, b: Any, of_b: Labels, kept: set[Hashable], out: Labels | None) -> tuple[Any, Labels]:
    """The product of two operands, summed over what nobody needs any more."""
    batch = [label for label in of_a if label in of_b and label in kept]
    free = [label for label in (*of_a, *of_b) if (label in of_a) != (label in of_b)]
    out = out or [*batch, *free]
    if all(label in kept for label in of_a if label in of_b):  # nothing to sum: the bits of a plain product
        return emit("mul", _arranged(a, of_a, out), _arranged(b, of_b, out)), out
    letter = dict(zip(dict.fromkeys([*of_a, *of_b]), ascii_letters, strict=False))
    spec = tuple("".join(letter[label] for label in labels) for labels in (of_a, of_b, out))
    return emit("contract", a, b, spec=spec), out


@lru_cache(maxsize=512)
def _path(terms: tuple[str, ...], out: str, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> list[Any]:
    if len(terms) < 3:
        return [tuple(range(len(terms)))]
    parts = [np.broadcast_to(np.empty(()), shape) for shape in shapes]
    optimize = list(optimize) if isinstance(optimize, tuple) and optimize[0] == "einsum_path" else optimize
    return np.einsum_path(f"{','.join(terms)}->{out}", *parts, optimize=optimize)[0][1:]  # type: ignore[return-value]


@implements(np.einsum)
def einsum(*operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, order: str = "K",
           casting: str = "safe") -> Any:  # fmt: skip
    """np.einsum.  Three and more operands are contracted in pairs, in the greedy order unless another is asked for."""
    if out is not None:
        raise UnsupportedError("np.einsum cannot write a traced result with out=", where=here())
    if isinstance(operands[0], str):
        (terms, result), arrays = _parsed(operands[0]), list(operands[1:])
    else:
        terms, result, arrays = _interleaved(operands)
    nodes = [as_traced(x) for x in arrays]
    arrays = [
        x if isinstance(x, Traced) else np.asarray(n) if n is x else n for x, n in zip(arrays, nodes, strict=True)
    ]
    arrays = [x if isinstance(x, (Traced, np.ndarray)) else Traced(x) for x in arrays]
    if not any(isinstance(x, Traced) and x.dtype.kind == "f" for x in arrays):  # no derivative can be lost
        given = operands if not isinstance(operands[0], str) else (operands[0], *map(plain, arrays))
        return np.einsum(*map(plain, given), dtype=dtype, casting=casting, optimize=optimize)
    common = np.result_type(*[x.dtype for x in arrays]) if dtype is None else np.dtype(dtype)
    arrays = [x if x.dtype == common else astype(x, common) if isinstance(x, Traced) else x.astype(common)
              for x in arrays]  # fmt: skip
    terms, wanted = _spelled_out(terms, result, [x.shape for x in arrays])
    extents = _extents(terms, arrays)
    parts = []
    for k, (x, term) in enumerate(zip(arrays, terms, strict=True)):
        others = {label for i, other in enumerate(terms) for label in other
                  if i != k and extents[label] == arrays[i].shape[other.index(label)]}  # fmt: skip
        parts.append(_alone(x, term, extents, others | set(wanted)))
    letter = dict(zip(extents, ascii_letters, strict=False))
    names = tuple("".join(letter[label] for label in labels) for _, labels in parts)
    spelled = "".join(letter[label] for label in wanted)
    how = tuple(optimize) if isinstance(optimize, list) else optimize or "greedy"
    for step in _path(names, spelled, tuple(x.shape for x, _ in parts), how):
        chosen = [parts[i] for i in step]
        parts = [part for i, part in enumerate(parts) if i not in step]
        while len(chosen) > 1:
            (a, of_a), (b, of_b), *chosen = chosen
            kept = {label for _, labels in (*parts, *chosen) for label in labels} | set(wanted)
            last = not parts and not chosen
            chosen.insert(0, _pair(a, of_a, b, of_b, kept, wanted if last else None))
        parts.append(chosen[0])
    ((x, labels),) = parts
    x = x if isinstance(x, Traced) else Traced(as_traced(x))
    if labels != wanted:
        x = np.transpose(x, [labels.index(label) for label in wanted])
    elif x is arrays[0]:
        return x[...]
    if len(nodes) == 1:
        return x
    texts = operands[:1] if isinstance(operands[0], str) else ()
    axes = operands[1::2] if not texts else ()

    def of_numpy(*small: Any) -> Any:
        given = (*texts, *small) if texts else [part for pair in zip(small, axes, strict=False) for part in pair]
        rest = () if texts or len(operands) % 2 == 0 else operands[-1:]
        return np.einsum(*given, *rest, order=order, optimize=optimize)

    return laid_by(of_numpy, x, *arrays)


def _extents(terms: list[Labels], arrays: list[Any]) -> dict[Hashable, int]:
    extents: dict[Hashable, int] = {}
    for term, x in zip(terms, arrays, strict=True):
        for label, extent in zip(term, x.shape, strict=True):
            known = extents.setdefault(label, extent)
            if extent != known and 1 not in (extent, known):
                shapes = ", ".join(str(x.shape) for x in arrays)
                raise ShapeError(f"np.einsum of shapes {shapes}", where=here(),
                                 why=f"one label has both {known} and {extent} entries")  # fmt: skip
            if known == 1:
                extents[label] = extent
    return extents
