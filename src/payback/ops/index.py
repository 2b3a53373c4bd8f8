"""Reading entries, and paying them back: `index` and its adjoint `scatter`.

An index is a template, a tuple as NumPy takes it in which `Place(k)` stands for the k-th index array; the
arrays are arguments without a derivative.  What an entry that was read is owed comes back as a *scattered
payment* (template, arrays, value): the sweep adds all of a pile into one buffer.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ops.namespace import Place, full_index
from payback.ops.row import Row


class Scattered:
    """A payment to the entries that an index read."""

    __slots__ = ("arrays", "template", "value")

    def __init__(self, template: tuple[Any, ...], arrays: tuple[Any, ...], value: Any):
        self.template, self.arrays, self.value = template, arrays, value


def _index_shape(x: Aval, *arrays: Aval, template: tuple[Any, ...]) -> Aval:
    if x.shape and len(template) == 1 and type(template[0]) is slice:
        return Aval((len(range(*template[0].indices(x.shape[0]))), *x.shape[1:]), x.dtype)
    # NumPy's own rules, on arrays without storage: every entry is the same zero
    source = np.broadcast_to(np.zeros((), bool), x.shape)
    places = tuple(np.broadcast_to(np.zeros((), np.intp), a.shape) for a in arrays)
    if any(extent == 0 for extent in x.shape):
        read = _axes_of_places(template, len(x.shape))
        roomy = tuple(1 if axis in read else extent for axis, extent in enumerate(x.shape))
        source = np.broadcast_to(np.zeros((), bool), roomy)
    return Aval(source[full_index(template, places)].shape, x.dtype)


def _axes_of_places(template: tuple[Any, ...], rank: int) -> set[int]:
    """The axes that index arrays read: of an axis without entries even the place 0 is out of bounds."""
    before = next((at for at, part in enumerate(template) if part is ...), len(template))
    front = [part for part in template[:before] if part is not None]
    back = [part for part in template[before + 1 :] if part is not None]
    axes = {axis for axis, part in enumerate(front) if isinstance(part, Place)}
    return axes | {rank - len(back) + k for k, part in enumerate(back) if isinstance(part, Place)}


def _index_adjoint(m: Any, bar: Any, slot: int, x: Any, *arrays: Any, template: tuple[Any, ...]) -> Scattered:
    return Scattered(template, arrays, bar)


def reshaped(payment: Scattered, shape: tuple[int, ...]) -> Any:
    """What adding it to zeros comes to, where every entry was read once, in order; else None."""
    value = payment.value
    if type(value) is not np.ndarray or payment.arrays or value.size != prod(shape):
        return None
    for part in payment.template:
        if not (part is None or type(part) is int or part is Ellipsis or part == _ALL):
            return None
    return value.reshape(shape) + 0.0


_ALL = slice(None)


def _scatter_shape(*operands: Aval, shape: tuple[int, ...], dtype: np.dtype[Any], **_: Any) -> Aval:
    return Aval(shape, dtype)


def payment_positions(counts: tuple[int, ...]) -> list[int]:
    positions, at = [], 0
    for count in counts:
        positions.append(at)
        at += 1 + count
    return positions


def _scatter_adjoint(
    m: Any, bar: Any, slot: int, *operands: Any, templates: tuple[Any, ...], counts: tuple[int, ...], **_: Any
) -> Any:
    payment = payment_positions(counts).index(slot)
    return m.index(bar, *operands[slot + 1 : slot + 1 + counts[payment]], template=templates[payment])


Row("index", "linear", lambda m, x, *arrays, template: m.index(x, *arrays, template=template),
    shape=_index_shape, adjoint=_index_adjoint, math="1 at the entries that are read")  # fmt: skip
Row("scatter", "linear", lambda m, *operands, **params: m.scatter(*operands, **params),
    shape=_scatter_shape, adjoint=_scatter_adjoint, carry=_scatter_adjoint, math="1")  # fmt: skip

__all__ = ["Place", "Scattered", "reshaped"]
