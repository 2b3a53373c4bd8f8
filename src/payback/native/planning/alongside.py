"""What is computed on the way: results over the same entries as a sum, in its pass over memory.

A gradient by an array reads what its value is a sum of.  Computed after the sum, all that both need would be written to
memory and read again; computed with it, only the results are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from payback.ir.node import Node, ancestors, by_id
from payback.native.codegen.emit import lanes_of
from payback.native.lower.pointwise import code_of, register_type
from payback.native.planning.layout import View
from payback.native.vector_math.logistic import OF_ONE

GROUP = 160  # nodes in one nest at most
MANY = 64  # rows that may lie across
TOGETHER = 64  # entries from which on two results are worth to be found in one pass


def settle(planner: Any, node: Node) -> None:
    """The large parts of a stack that wait to be computed are to lie in their places."""
    if node.aval.size < TOGETHER:
        return
    target = planner.homes.get(node) or planner.new(node, node.aval.dtype, node.aval.shape, "arena")
    planner.homes[node] = target
    axis = node.params["axis"]
    strides = target.strides[:axis] + target.strides[axis + 1 :]
    for k, part in enumerate(node.args):
        fits = part in planner.waiting and part.aval.dtype == node.aval.dtype and not part.aval.weak
        if fits and part not in planner.wanted and part not in planner.homes:
            place = View(target.buffer, target.offset + k * target.strides[axis], part.aval.shape, strides)
            planner.homes[part] = place


def carried(planner: Any, sources: Sequence[Node], shape: tuple[int, ...]) -> list[Node]:
    """Waiting results over `shape` that a pass computing `sources` can make as well: they share work, and need
    nothing else but what lies in memory or is a view of it."""
    if prod(shape) < TOGETHER:
        return []
    members = set(planner.members(sources, shape, ()))
    powers = _powers(members)
    found: list[Node] = []
    for node in sorted({*planner.homes, *planner.wanted, *_multiplied(planner, members, shape)}, key=by_id):
        if node in members or not planner.inline(node, shape):
            continue
        if planner.early is not None and node not in planner.early:
            continue
        more = planner.members([node], shape, ())
        if members.isdisjoint(more) and powers.isdisjoint(_powers(more)):
            continue
        if len(members.union(more)) > GROUP:
            continue
        missing = planner.missing(node)
        if not all(planner.shows(arg) for arg in missing):
            continue
        for arg in missing:
            planner.need(arg)
        if planner.missing(node) or not planner.inline(node, shape):
            continue
        members.update(more)
        found.append(node)
    return found


def _powers(nodes: Iterable[Node]) -> set[Any]:
    """What functions of one exponential are taken of, but for the sign: those of the same are computed together."""
    found: set[Any] = set()
    for node in nodes:
        if node.op.name == "logaddexp":
            found.add(frozenset(node.args))
        elif node.op.name in OF_ONE:
            (x,) = node.args
            while x.op.name == "neg":
                (x,) = x.args
            found.add(frozenset(x.args) if x.op.name == "sub" else x)
    return found


def _multiplied(planner: Any, members: set[Node], shape: tuple[int, ...]) -> list[Node]:
    """What is made of the members, entry by entry, and is an operand of a product: it has to lie in memory anyway."""
    seen, stack, found = set(members), list(members), []
    while stack and len(seen) < GROUP:
        for user in planner.users.get(stack.pop(), ()):
            if user not in seen and planner.inline(user, shape):
                seen.add(user)
                stack.append(user)
                if any(further.op.name == "contract" for further in planner.users.get(user, ())):
                    found.append(user)
    return found


def across(planner: Any, node: Node, axes: tuple[int, ...] | None) -> bool:
    """Whether what a nest makes on the way is to lie column by column, in rows of less than a vector.

    A nest that adds up such rows runs across them, and so do those that read this: all move by one then.
    """
    return axes == (len(node.aval.shape) - 1,) and by_columns(planner, node)


def by_columns(planner: Any, node: Node) -> bool:
    """Whether an array of many short rows is read entry by entry, row by row or column by column, and nothing else."""
    shape, last = node.aval.shape, (len(node.aval.shape) - 1,)
    if not 1 < shape[-1] < lanes_of(register_type(code_of(node.aval.dtype))) or prod(shape[:-1]) < MANY:
        return False
    return all(
        user.op.kind == "pointwise"
        or (user.op.name in ("sum", "mean", "max", "min") and user.params["axes"] == last)
        or (user.op.name == "index" and len(user.args) == 1)
        for user in planner.users.get(node, ())
    )


def beside(planner: Any, node: Node) -> list[Node]:
    """Sums of other things over the same entries, which can be found in the same pass over memory.

    The norm of a gradient and the length of the step that is taken with it, for one: the optimizer's update is done
    on the way.  Only large ones, or those of a step that is taken very often, that read or compute some of the same
    arrays and need but numbers to be computed first.
    """
    source, axes, shape = node.args[0], node.params["axes"], node.args[0].aval.shape
    if (prod(shape) < TOGETHER and not planner.repeated) or not _summed(planner, node):
        return []
    inside, read = {source}, {}
    stack = [source]
    while stack:
        for arg in stack.pop().args:
            if arg in inside or arg in planner.scalars:
                continue
            if planner.inline(arg, shape) and len(inside) < GROUP:
                inside.add(arg)
                stack.append(arg)
            elif arg in planner.views and arg.aval.shape == shape:
                read[arg] = None
    seen: dict[Node, None] = dict.fromkeys([*read, *inside])  # what is computed for the one is there for the others
    stack, found = list(seen), []
    while stack and len(seen) < GROUP:
        for user in planner.users.get(stack.pop(), ()):
            if user in seen:
                continue
            if planner.inline(user, shape):
                seen[user] = None
                stack.append(user)
            elif user is not node and _summed(planner, user) and user.params["axes"] == axes and (
                user.args[0].aval.shape == shape and user not in found and _ready(planner, user)
            ):  # fmt: skip
                found.append(user)
    accepted = [node]
    for each in sorted(found, key=by_id):
        makes = ancestors([each], floor=min(x.id for x in accepted))
        if not any(x in makes for x in accepted) and each not in ancestors([node], floor=each.id):
            accepted.append(each)
    fits = len(planner.members([x.args[0] for x in accepted], shape, ())) <= GROUP
    return accepted[1:] if fits else []


def _summed(planner: Any, node: Node) -> bool:
    there = node in planner.views or node in planner.scalars
    return node.op.name == "sum" and not there and planner.reducible(node) and node.args[0] in planner.waiting


def _ready(planner: Any, node: Node) -> bool:
    """Whether a sum needs but numbers to be computed first, or other views of what lies in memory."""
    allowed = planner.early is None or node in planner.early
    return allowed and all(arg.aval.shape == () or planner.shows(arg) for arg in planner.missing(node.args[0]))
