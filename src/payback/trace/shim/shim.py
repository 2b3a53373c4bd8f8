"""What NumPy's protocols do not dispatch, answered while a function is differentiated, in that context only.

Creation functions and `math` look at no protocol.  While any function is traced, their names in `numpy` and `math` (and
in the modules that have imported them by name, and in closures of the function) stand for wrappers, which ask a context
variable whether *this* call is inside a trace and comes from outside NumPy, SciPy and payback; every other call goes
straight to the original.  The first trace puts the wrappers there and the last one takes them away again, so without
a trace nothing is changed and nothing costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import Any

from payback.errors import PaybackError, no_function, witness
from payback.ir.loops import counts
from payback.ops.append import lasting
from payback.ops.shadows import sparing
from payback.trace.array import Traced
from payback.trace.assignment.buffer import Buffer
from payback.trace.assignment.outside import refused
from payback.trace.assignment.selected import Selected
from payback.trace.labels import LABELS
from payback.trace.numpy import (  # noqa: F401 (what they answer is known once they are imported)
    calculus,
    einsum,
    histograms,
    indexing,
    linalg,
    nan,
    order,
    pad,
    polynomials,
    products,
    series_values,
    shapes,
    statistics,
    ufuncs,
    where,
)
from payback.trace.plain_arrays import now
from payback.trace.proof.pure import Known
from payback.trace.refusals.handled import BOUNDARIES, Witness
from payback.trace.refusals.meaning import meant
from payback.trace.scalars.floats import Float
from payback.trace.scipy import sparse_products  # noqa: F401
from payback.trace.shim import questions  # noqa: F401
from payback.trace.shim.installed import INSTALLED, WRAPPERS, standing_for
from payback.trace.shim.wrappers import TRACING
from payback.trace.tree import tree_map

_FUNCTIONS = {BuiltinFunctionType, FunctionType}

tracing = TRACING.get  # whether a function is being differentiated in this context


def call(
    f: Callable[..., Any],
    args: Any,
    kwargs: Any,
    is_plain: bool = False,
    spare: bool = False,
    known: Known | None = None,
) -> Any:
    """`f(*args, **kwargs)` with the shim; buffers in what it returns become traced values or plain arrays.

    is_plain: whether f is proved so, see `proved.py`, and the graph is needed no longer than this call of the caller's.
    known: what is known of f otherwise: whether it needs the shim.
    spare: whether the graph is for a sweep on plain values and for nobody else; see `ops/shadows.py`.
    """
    if not callable(f):
        raise no_function(f)
    sparely, token = sparing.set(spare), TRACING.set(True)
    counting = counts.set({}) if counts.get() is None else None
    labels = LABELS.set({} if (there := LABELS.get()) is None else there)
    refused.set(None)
    witnessing = witness.set(seen := Witness())
    last = lasting.set(True) if is_plain else None
    bare = is_plain if known is None else not known.shown  # the function of a gradient that is plain is so too
    try:
        if not bare:
            INSTALLED.enter(f, known)
        try:
            if not _FUNCTIONS.isdisjoint(map(type, args)):
                args = [WRAPPERS.get(id(arg), arg) for arg in args]
            out = standing_for(f)(*args, **kwargs)
            if seen.errors:  # swallowed, for the function has returned
                raise seen.errors[0]
            return out if type(out) is Traced or type(out) is Float else tree_map(_settled, out)
        except PaybackError:
            raise
        except Exception as problem:
            hidden = meant(problem)
            if hidden is not None:
                raise hidden from None
            raise
        finally:
            if not bare:
                INSTALLED.leave()
    finally:
        if last is not None:
            lasting.reset(last)
        witness.reset(witnessing)
        TRACING.reset(token)
        sparing.reset(sparely)
        if counting is not None:
            counts.reset(counting)
        LABELS.reset(labels)


BOUNDARIES.add(call.__code__)


@contextmanager
def untraced() -> Iterator[None]:
    """Meanwhile plain code runs here: nothing is answered."""
    token = TRACING.set(False)
    try:
        yield
    finally:
        TRACING.reset(token)


def _settled(leaf: Any) -> Any:
    if type(leaf) is Selected:
        raise leaf.unknown("to return x[mask]")
    return now(leaf) if isinstance(leaf, Buffer) else leaf
