"""`vmap`: a function of one sample becomes a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from payback.errors import InputError, ShapeError, no_function
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.batching import from_front, to_front
from payback.ops.recording import Recording, Term
from payback.ops.row import CONST
from payback.run.interpreter import quietly
from payback.trace.array import Traced
from payback.trace.assignment.buffer import buffer
from payback.trace.assignment.memory_order import exactly
from payback.trace.assignment.views import is_written
from payback.trace.assignment.written import Written, node_slot
from payback.trace.body import is_number, node_of, result_of, trace_body
from payback.trace.operators import where_of_caller
from payback.trace.plain_arrays import native, now, strides_of
from payback.trace.tree import leaves, paths, spread_prefix, unflatten
from payback.transforms.argnums import leaf_names
from payback.transforms.retracing import steady
from payback.transforms.shared_memory import check_kept, is_written_since, note_written, written_before

Function = Callable[..., Any]


def vmap(f: Function, in_axes: Any = 0, out_axes: Any = 0) -> Function:
    """`f`, written for one sample, on a batch of them at once: as if it were called in a loop and its results stacked.

    f: is called once, with the shapes of one sample and no numbers, so it may not look at a number that differs from
    sample to sample (use np.where, `pb.cond`, `pb.while_loop`).  It may use traced values from around it.
    in_axes: the axis of each argument along which its samples lie; None: the argument is the same for all samples.  One
    for all arguments, or a tuple with one for each; for a container a container of axes like it, or one for all of it.
    What is no array or number is given to f as it is.  Keyword arguments have their samples along axis 0.
    out_axes: where the samples are to lie in the results, likewise; None for a result that is the same for all.

    Costs what array operations on the whole batch cost: `vmap(grad(loss), (None, 0, 0))(w, X, y)` are the gradients of
    each sample.  All transforms go inside and outside.  A row of the table that has no form for batches, such as the
    solver of `root`, is run on one sample after another.
    Raises ShapeError for arguments without the axis or of different sizes, InputError where no argument has samples or
    the axes do not fit the arguments, TraceError where f looks at a number, UnsupportedError where it draws random
    numbers without a key, for all samples would see the same.
    Source: JAX's vmap (Bradbury et al., 2018); graph to graph, as in Futhark's vectorization.

    >>> import numpy as np, payback as pb
    >>> pb.vmap(np.dot)(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [0.0, 1.0]]))
    array([3., 4.])
    >>> pb.vmap(pb.grad(lambda w, x: np.sin(w * x)), (None, 0))(1.0, np.array([0.0, 1.0]))
    array([0.        , 0.54030231])
    """

    @functools.wraps(f)
    def batched(*args: Any, **kwargs: Any) -> Any:
        if not callable(f):
            raise no_function(f)
        where = where_of_caller(2)
        tree = (args, kwargs)
        given = [native(now(leaf)) for leaf in leaves(tree)]
        names = leaf_names(f, args, kwargs)
        axes = _in_axes(in_axes, args, kwargs)
        mapped = {
            k: _to_front(leaf, axis, name, where)
            for k, (leaf, axis, name) in enumerate(zip(given, axes, names, strict=True))
            if axis is not None and is_number(leaf)
        }
        size = _size(mapped, axes, names, where)
        avals = [Aval(node.shape[1:], node.aval.dtype) for node in mapped.values()]
        strides = [strides_of(_sample(given[k], axes[k])) for k in mapped]

        shared: list[tuple[Any, Any]] = []

        def one(*values: Any) -> Any:
            following = iter(values)
            opened = [next(following) if k in mapped else _shared(leaf) for k, leaf in enumerate(given)]
            shared[:] = [pair for k, pair in enumerate(zip(given, opened, strict=True)) if k not in mapped]
            its_args, its_kwargs = unflatten(tree, iter(opened))
            return f(*its_args, **its_kwargs)

        before = written_before()
        traced = steady(f, lambda: trace_body(one, avals, tuple, strides), "a function that is batched", where)
        written = [given[list(mapped)[k]] for k in traced.written]
        note_written([*written, *(leaf for leaf, own in shared if _is_written(own, leaf, before))], given)
        check_kept((np.moveaxis(given[k], axes[k] or 0, 0), node) for k, node in mapped.items()
                   if type(given[k]) is np.ndarray)  # fmt: skip
        nodes = [*mapped.values(), *traced.captured]
        on = [True] * len(mapped) + [False] * len(traced.captured)
        m = Recording()
        with quietly():
            made, there = traced.body.replay(m, [Term(node, m) for node in nodes], on, size)
            m.origin = where
            outs = spread_prefix(out_axes, traced.result)
            if outs is None:
                raise InputError(f"out_axes is {out_axes!r}", where=_told(where),
                                 why=f"the result is {paths(traced.result, 'result')}")  # fmt: skip
            found = [
                _placed(m, term, batched, axis, node.aval.shape, size, name, where)
                for term, batched, axis, node, name in zip(
                    made, there, outs, traced.body.graph.outputs, paths(traced.result, "result"), strict=True
                )
            ]
        taken = {id(node.value) for node in (*nodes, *traced.body.graph.nodes)}
        return unflatten(traced.result, iter([_result(term.node, taken) for term in found]))

    return batched


def _result(node: Node, taken: set[int]) -> Any:
    """What a user gets: an array of its own.  One that was computed here, and that nobody else has, is not copied."""
    value = node.value
    if node.op is not CONST or type(value) is not np.ndarray or value.base is not None or id(value) in taken:
        return result_of(node)
    taken.add(id(value))
    value.flags.writeable = True
    return value


def _shared(leaf: Any) -> Any:
    """What all samples are given: of an array a copy, which can be read at places that differ from sample to sample,
    and written into: a sample's writes are its own.
    """
    if type(leaf) is np.ndarray:
        return buffer(leaf.copy())
    return Traced(leaf.node) if isinstance(leaf, Traced) and leaf.shape else leaf


def _is_written(own: Any, leaf: Any, before: Any) -> bool:
    """Whether a sample has written into what `_shared` has made of an argument."""
    if isinstance(leaf, Traced):
        return is_written(own, leaf.node)
    own = now(own)
    if isinstance(own, Written):
        return bool(node_slot.__get__(own).storage.version)  # type: ignore[attr-defined]
    return isinstance(leaf, np.ndarray) and (own.tobytes() != leaf.tobytes() or is_written_since(before, own))


def _told(where: Any) -> str | None:
    place = position(where)
    return str(place) if place else None


def _in_axes(in_axes: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[int | None]:
    """The axis of each leaf."""
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)
    of_args = spread_prefix(in_axes, args)
    if of_args is None:
        count = f"{len(in_axes)} axes for {len(args)} arguments" if isinstance(in_axes, tuple) else "no such argument"
        fits = isinstance(in_axes, tuple) and len(in_axes) == len(args)
        raise InputError(
            f"in_axes is {in_axes!r}",
            why=f"the arguments are {', '.join(paths(list(args), 'args'))}" if fits else f"these are {count}",
            fix="give an axis, None, or a tuple with one of them or a container like the argument for each",
        )
    return [*of_args, *[0] * len(leaves(kwargs))]


def _to_front(leaf: Any, axis: int, name: str, where: Any) -> Node:
    """The argument with its samples along the first axis."""
    node = node_of(leaf)
    rank = len(node.shape)
    if not -rank <= axis < rank:
        raise ShapeError(
            f"{name} has no axis {axis}",
            where=_told(where),
            why=f"its shape is {node.shape}, and vmap takes its samples along that axis",
            fix="give in_axes=, with None for what is the same for all samples",
        )
    axis %= rank
    if not axis:
        return node
    m = Recording()
    m.origin = where
    with quietly():
        return to_front(m, Term(node, m), axis).node


def _sample(leaf: Any, axis: Any) -> Any:
    """The first sample as NumPy would see it, or None."""
    leaf = exactly(leaf.node) if isinstance(leaf, Traced) else leaf
    return np.moveaxis(leaf, axis, 0)[:1][0] if type(leaf) is np.ndarray and leaf.shape[axis] else None


def _size(mapped: dict[int, Node], axes: Sequence[int | None], names: Sequence[str], where: Any) -> int:
    """How many samples there are."""
    if not mapped:
        raise InputError("vmap was given no samples", where=_told(where),
                         why="no argument has an axis along which they lie",
                         fix="give at least one array, and an axis for it in in_axes")  # fmt: skip
    sizes = {names[k]: node.shape[0] for k, node in mapped.items()}
    if len(set(sizes.values())) > 1:
        told = [f"{size} in {names[k]} along axis {axes[k]}" for k, size in zip(mapped, sizes.values(), strict=True)]
        raise ShapeError("vmap was given different numbers of samples", where=_told(where), why=", ".join(told))
    return next(iter(sizes.values()))


def _placed(m: Recording, term: Any, batched: bool, axis: int | None, shape: tuple[int, ...], size: int, name: str,
            where: Any) -> Any:  # fmt: skip
    """A result with its samples along the axis that was asked for."""
    if axis is None:
        if batched:
            raise InputError(f"out_axes is None for {name}", where=_told(where),
                             why="it differs from sample to sample")  # fmt: skip
        return term
    rank = len(shape) + 1
    if not -rank <= axis < rank:
        raise ShapeError(f"{name} cannot have its samples along axis {axis}", where=_told(where),
                         why=f"it has {rank} axes with them")  # fmt: skip
    if not batched:
        term = m.broadcast(term, shape=(size, *shape))
    return from_front(m, term, axis % rank)


__all__ = ["vmap"]
