"""`.backward()`: the sweep on values, from one result to every variable it was computed from."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.scalars import pay_scalars
from payback.ad.sweep import reach
from payback.ad.values import pay_values
from payback.errors import DifferentiationError, MutationError
from payback.ir.node import Node
from payback.ir.where import position
from payback.ops.append import freeze, snapshot
from payback.ops.row import VARIABLE
from payback.trace.array import Traced, plain
from payback.trace.operators import where_of_caller
from payback.trace.refusals.leaks import check_ended, is_open
from payback.trace.scalars.floats import Float
from payback.trace.shim.shim import tracing


def seed_for(node: Node, seed: Any = None) -> Any:
    """What a top is owed to begin with, in the top's own dtype and shape; a traced seed stays as it is.

    Raises DifferentiationError when there is none: the top is no scalar, or not floating.
    """
    aval = node.aval
    if aval.dtype.kind != "f":
        place = position(node.where)
        raise DifferentiationError(
            f"a result of {aval.dtype} has no derivative",
            where=place,
            why="integers and booleans do not vary continuously",
            fix="differentiate a floating result",
        )
    if seed is None:
        if aval.shape:
            raise DifferentiationError(
                f"the result is an array of shape {aval.shape}, not a scalar",
                where=position(node.where),
                why="a gradient belongs to one number",
                fix="sum it up (.sum(), .mean()), or say what each entry is owed: backward(seed), pb.vjp",
            )
        return 1.0 if aval.weak else aval.dtype.type(1)
    if np.shape(seed) != aval.shape:
        raise DifferentiationError(f"a seed of shape {np.shape(seed)} for a result of shape {aval.shape}",
                                   fix="give one number for each entry of the result")  # fmt: skip
    if isinstance(seed, Traced):
        return seed
    return float(seed) if aval.weak else np.asarray(snapshot(seed), aval.dtype)[()]


def backward(top: Traced, seed: Any, accumulate: bool) -> None:
    if type(top) is Float and seed is None and top.row is not None:
        with np.errstate(all="ignore"):
            found = pay_scalars(top, 1.0, _is_unchanged)
        if found is not None:
            for x, bar in zip(*found[:2], strict=True):
                x.owed = bar if not accumulate or x.owed is None else x.owed + bar
            for leaf, bar in zip(*found[2:], strict=True):
                leaf.grad = bar if not accumulate or leaf.grad is None else leaf.grad + bar
            return
    node = top.node
    bar = seed_for(node, plain(seed))
    reached = reach([node])
    check_ended(reached.nodes, (), (node,))
    if node.value is None or (tracing() and any(is_open(end) for end in reached.ends)):
        raise DifferentiationError("backward() of a result that another derivative or a compiled function follows",
                                   where=position(where_of_caller(3)),
                                   why="the gradients that it leaves are plain numbers: their derivative would be lost",
                                   fix="use pb.grad or pb.vjp there, whose results are followed too")  # fmt: skip
    leaves = [n for n in reached.ends if n.op is VARIABLE]
    for leaf in leaves:
        replaced = leaf.params["replaced"]
        if replaced is not None:
            place = position(replaced) if replaced is not True else None
            raise MutationError(
                f"the variable {leaf.params['name'] or ''} was changed after this result was computed".replace(
                    "  ", " "
                ),
                where=place,
                why="the gradient would belong to neither value",
                fix="call backward() before changing it, or compute the result again",
            )
    gradient = Gradient(on_graph=False)
    with np.errstate(all="ignore"):
        settled = pay_values(gradient, {node: bar}, set(leaves or [node]), reached, keep=True)
        if accumulate:
            for n, owed in settled.items():
                owed = _kept(gradient, n, owed)
                n.grad = owed if n.grad is None else n.grad + owed
        else:
            for n, owed in settled.items():
                n.grad = owed if type(owed) is float else _kept(gradient, n, owed)


def _is_unchanged(node: Node) -> bool:
    return node.op is VARIABLE and node.params["replaced"] is None and type(node.value) is float


def _kept(gradient: Gradient, node: Node, owed: Any) -> Any:
    """What a node is owed, in the node's own kind of number, as it may stay on it."""
    if type(owed) is float:
        return owed
    return float(gradient.dense(owed)) if type(node.value) is float else freeze(gradient.dense(owed))
