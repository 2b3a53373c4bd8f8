"""np.matmul, dot, tensordot, inner and outer: contractions of two arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.errors import ShapeError
from payback.ir.where import position
from payback.trace.array import Traced
from payback.trace.assignment.views import in_order, laid_by
from payback.trace.dispatch import contraction, emit, here, implements, into, matmul_spec, product_at_once
from payback.trace.numpy.arguments import arrayed, factor
from payback.trace.numpy.map import broadcast_any
from payback.trace.operators import METHODS


@implements(np.matmul)
def matmul(a: Any, b: Any) -> Any:
    """np.matmul, with its rules for vectors and batches."""
    a, b = (x if isinstance(x, Traced) else factor(x) for x in (a, b))
    if not a.shape or not b.shape:
        raise ShapeError("matmul of a scalar", where=here(), why=f"the shapes are {a.shape} and {b.shape}", fix="use *")
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise _mismatch("matmul", a, b)
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    if batch_a and batch_b and batch_a != batch_b:
        batch = np.broadcast_shapes(batch_a, batch_b)
        a, b = broadcast_any(a, batch + a.shape[-2:]), broadcast_any(b, batch + b.shape[-2:])
    made = emit("contract", a, b, spec=matmul_spec(len(a.shape), len(b.shape)))
    return made if len(made.shape) < 3 else laid_by(np.matmul, made, a, b, key=np.matmul)


def _origin(x: Any) -> str:
    """Where a value came from, for errors."""
    place = position(x.node.where) if isinstance(x, Traced) else None
    return str(place) if place else "a plain array" if not isinstance(x, Traced) else "an argument"


def _mismatch(name: str, a: Any, b: Any) -> ShapeError:
    made = "; ".join(f"{x.shape} from {_origin(x)}" for x in (a, b))
    inner = b.shape[-2] if len(b.shape) > 1 else b.shape[0]
    return ShapeError(
        f"np.{name} of shapes {a.shape} and {b.shape}",
        where=here(),
        why=f"the summed axes have {a.shape[-1]} and {inner} entries ({made})",
        fix="transpose one of them, or check the number of features",
    )


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    if out is None and (product := product_at_once(a, b)) is not None:
        return product
    a, b = factor(a), factor(b)
    if not a.shape or not b.shape:
        return into(out, "dot", in_order(a * b, "C") if max(len(a.shape), len(b.shape)) <= 2 else a * b)
    if len(a.shape) <= 2 and len(b.shape) <= 2:
        return into(out, "dot", matmul(a, b))
    return into(out, "dot", tensordot(a, b, ((len(a.shape) - 1,), (max(len(b.shape) - 2, 0),))))


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = arrayed(a), arrayed(b)
    na, nb = len(a.shape), len(b.shape)
    if isinstance(axes, (int, np.integer)):
        of_a, of_b = tuple(range(na - axes, na)), tuple(range(axes))
    else:
        of_a, of_b = (
            tuple(x % n for x in ((side,) if isinstance(side, int) else side))
            for side, n in zip(axes, (na, nb), strict=True)
        )
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ShapeError(f"np.tensordot of shapes {a.shape} and {b.shape} over axes {of_a} and {of_b}", where=here())
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    left = [next(letters) for _ in range(na)]
    right = [left[of_a[of_b.index(i)]] if i in of_b else next(letters) for i in range(nb)]
    out = [c for i, c in enumerate(left) if i not in of_a] + [c for i, c in enumerate(right) if i not in of_b]
    return in_order(emit("contract", a, b, spec=("".join(left), "".join(right), "".join(out))), "C")


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Any:
    a, b = (
        x.reshape(-1) if x.ndim != 1 else x for x in (y if isinstance(y, Traced) else np.asarray(y) for y in (a, b))
    )
    return into(out, "outer", contraction(a, b, ("i", "j", "ij")))


@implements(np.inner, np.vdot)
def inner(a: Any, b: Any) -> Any:
    a, b = factor(a), factor(b)
    return a * b if not a.shape or not b.shape else tensordot(a, b, ((len(a.shape) - 1,), (len(b.shape) - 1,)))


METHODS["dot"] = dot
