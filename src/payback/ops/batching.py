"""How the linear rows and the reductions run on a batch: every batched operand has one more axis, the first.

A rule is `batch(b, node, args, on)`: the node as it is for one sample, its arguments as terms of `b.m`, and which of
them are batched (one at least).  It returns the batched result.  `ad/batch.py` calls the rules; the rows that run
bodies have theirs in `control/batching.py`.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.ops import (  # noqa: F401 (the rows that the rules are for)
    contract,
    factorizations,
    floats,
    linalg,
    move,
    random,
    reduce,
    scans,
    smooth,
)
from payback.ops import order as _orders  # noqa: F401
from payback.ops.index import Place
from payback.ops.namespace import full_index
from payback.ops.row import TABLE


class Several(NamedTuple):
    """A batched node with several results: where the batch stands in each of them; None: that one has none."""

    term: Any
    axes: tuple[int | None, ...]


def lead(m: Any, x: Any, on: bool, shape: tuple[int, ...], size: int) -> Any:
    """The operand with the batch in front; what is the same for all samples is spread over them."""
    return x if on else m.broadcast(x, shape=(size, *shape))


def align(m: Any, x: Any, shape: tuple[int, ...], rank: int) -> Any:
    """A batched operand, of this shape for one sample, with axes after the batch so that samples have the rank."""
    if len(shape) == rank:
        return x
    return m.reshape(x, shape=(m.shape(x)[0], *(1,) * (rank - len(shape)), *shape))


def to_front(m: Any, x: Any, axis: int) -> Any:
    """The batch moved from an axis to the front."""
    rest = [k for k in range(len(m.shape(x))) if k != axis]
    return m.transpose(x, axes=(axis, *rest)) if axis else x


def from_front(m: Any, x: Any, axis: int) -> Any:
    """The batch moved from the front to an axis."""
    order = list(range(1, len(m.shape(x))))
    order.insert(axis, 0)
    return m.transpose(x, axes=tuple(order)) if axis else x


def reduction(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """Rows with `axes` and `keepdims`."""
    axes, keepdims = node.params["axes"], node.params["keepdims"]
    if node.op.name == "norm" and not axes:  # to NumPy the norm over no axis is that of the whole array
        return b.m.abs(args[0])
    return b.m.apply(node.op.name, args[0], axes=tuple(axis + 1 for axis in axes), keepdims=keepdims)


def along_axis(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """Rows whose parameter `axis` counts from the front; all operands are batched."""
    shapes = [arg.aval.shape for arg in node.args]
    parts = [lead(b.m, x, there, shape, b.size) for x, there, shape in zip(args, on, shapes, strict=True)]
    return b.m.apply(node.op.name, *parts, **{**node.params, "axis": node.params["axis"] + 1})


def leading(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """Rows that take any number of leading axes as they are."""
    shapes = [arg.aval.shape for arg in node.args]
    parts = [lead(b.m, x, there, shape, b.size) for x, there, shape in zip(args, on, shapes, strict=True)]
    return b.m.apply(node.op.name, *parts, **node.params)


def _cast(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    return b.m.cast(args[0], dtype=node.params["dtype"], weak=False)


def _broadcast(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    shape = node.params["shape"]
    return b.m.broadcast(align(b.m, args[0], node.args[0].aval.shape, len(shape)), shape=(b.size, *shape))


def _reshape(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    return b.m.reshape(args[0], shape=(b.size, *node.params["shape"]))


def _transpose(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    return b.m.transpose(args[0], axes=(0, *(axis + 1 for axis in node.params["axes"])))


def _contract(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """One more letter, in the operands that are batched."""
    left, right, out = node.params["spec"]
    letter = next(c for c in string.ascii_letters if c not in left + right)
    return b.m.contract(*args, spec=(letter * on[0] + left, letter * on[1] + right, letter + out))


def _random_bits(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    return b.m.random_bits(args[0], shape=node.params["shape"])


def _probe(template: tuple[Any, ...], source: tuple[int, ...], arrays: Sequence[tuple[int, ...]]) -> int:
    """Where the axis that is 2 long stands in what an index reads, all others being 1 long: NumPy itself is asked."""
    plain = tuple(
        0 if isinstance(part, (int, np.integer)) else slice(None) if isinstance(part, slice) else part
        for part in template
    )
    places = tuple(np.zeros(shape, np.intp) for shape in arrays)
    return np.zeros(source, bool)[full_index(plain, places)].shape.index(2)


def _ones(shapes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [(1,) * len(shape) for shape in shapes]


class _Read:
    """How a batch reads with an index: another template and further arrays, and how the axes stand afterwards."""

    def __init__(self, b: Any, template: tuple[Any, ...], shape: tuple[int, ...], arrays: Sequence[Any],
                 shapes: Sequence[tuple[int, ...]], source: bool, on: Sequence[bool]):  # fmt: skip
        self.m, m, rank = b.m, b.m, max(map(len, shapes), default=0)
        self.order: tuple[int, ...] | None = None  # of what is read, for the samples' own order behind the batch
        if not any(on):
            self.template, self.arrays = (slice(None), *template), list(arrays)
            self.at = _probe(self.template, (2, *(1,) * len(shape)), _ones(shapes))
            return
        aligned = [align(m, x, s, rank) if there else x for x, s, there in zip(arrays, shapes, on, strict=True)]
        if not source:
            self.template, self.arrays = template, aligned
            extents = [(2, *(1,) * rank) if there else (1,) * len(s) for s, there in zip(shapes, on, strict=True)]
            self.at = _probe(template, (1,) * len(shape), extents)
            return
        # each sample reads from its own source: the samples' numbers are an index array of their own, the first
        samples = np.arange(b.size).reshape((b.size, *(1,) * rank))
        self.arrays, self.at = [samples, *aligned], 0
        self.template = (Place(0), *(Place(part.k + 1) if isinstance(part, Place) else part for part in template))
        if rank:
            extents = [(2, *(1,) * (rank - 1)) if len(s) == rank else (1,) * len(s) for s in shapes]
            before = _probe(template, (1,) * len(shape), extents)  # axes of a sample ahead of those of the arrays
            if before:
                self.order = (0, *range(1 + rank, 1 + rank + before), *range(1, 1 + rank))

    def read(self, made: Any) -> Any:
        """What was read, the batch in front and the samples' axes in their order."""
        if self.order is None:
            return to_front(self.m, made, self.at)
        rest = range(len(self.order), len(self.m.shape(made)))
        return self.m.transpose(made, axes=(*self.order, *rest))

    def written(self, value: Any) -> Any:
        """What is to be written, its axes as the index has them."""
        if self.order is None:
            return from_front(self.m, value, self.at)
        axes = (*self.order, *range(len(self.order), len(self.m.shape(value))))
        return self.m.transpose(value, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__)))


def _index(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    shapes = [arg.aval.shape for arg in node.args]
    how = _Read(b, node.params["template"], shapes[0], args[1:], shapes[1:], on[0], on[1:])
    return how.read(b.m.index(args[0], *how.arrays, template=how.template))


def _scatter(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    shape, size = node.params["shape"], b.size
    shapes = [arg.aval.shape for arg in node.args]
    operands: list[Any] = []
    templates, counts, at = [], [], 0
    for template, count in zip(node.params["templates"], node.params["counts"], strict=True):
        own = slice(at + 1, at + 1 + count)
        how = _Read(b, template, shape, args[own], shapes[own], True, on[own])
        operands += [how.written(lead(b.m, args[at], on[at], shapes[at], size)), *how.arrays]
        templates.append(how.template)
        counts.append(len(how.arrays))
        at += 1 + count
    return b.m.scatter(*operands, shape=(size, *shape), dtype=node.params["dtype"],
                       templates=tuple(templates), counts=tuple(counts))  # fmt: skip


def _place(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """argmax and argmin; over all axes of a sample, its entries stand in a row."""
    axis, keepdims = node.params["axis"], node.params["keepdims"]
    if axis is not None:
        return b.m.apply(node.op.name, args[0], axis=axis + 1, keepdims=keepdims)
    found = b.m.apply(
        node.op.name, b.m.reshape(args[0], shape=(b.size, node.args[0].aval.size)), axis=1, keepdims=False
    )
    return b.m.reshape(found, shape=(b.size, *(1,) * len(node.args[0].aval.shape))) if keepdims else found


def _searchsorted(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    """Many places in one array; in many arrays, one after the other."""
    return None if on[0] else b.m.apply("searchsorted", *args, side=node.params["side"])


def _ldexp(b: Any, node: Any, args: list[Any], on: tuple[bool, ...]) -> Any:
    shapes = [arg.aval.shape for arg in node.args]
    rank = max(map(len, shapes))
    return b.m.ldexp(*(align(b.m, x, s, rank) if there else x for x, s, there in zip(args, shapes, on, strict=True)))


for _name, _rule in {
    "prod": reduction, "cumprod": along_axis, "recurrence": along_axis, "reduceat": along_axis, "argsort": along_axis,
    "argpartition": along_axis, "running": along_axis, "argmax": _place, "argmin": _place,
    "searchsorted": _searchsorted, "ldexp": _ldexp, "exponent": leading, "sinc": leading, "bessel_i": leading,
    "sum": reduction, "mean": reduction, "max": reduction, "min": reduction, "logsumexp": reduction,
    "norm": reduction, "concatenate": along_axis, "stack": along_axis, "cumsum": along_axis, "cast": _cast,
    "broadcast": _broadcast, "reshape": _reshape, "transpose": _transpose, "contract": _contract,
    "random_bits": _random_bits, "index": _index, "scatter": _scatter,
}.items():  # fmt: skip
    TABLE[_name].batch = _rule
for _name in (
    "qr", "repeated", "negligible", "eigh", "svd", "inv", "solve", "det", "cofactor", "cofactor_along", "slogdet",
    "cholesky", "pinv",
):  # fmt: skip
    TABLE[_name].batch = "leading"
