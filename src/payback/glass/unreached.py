"""Entries that nothing of the result leads to: the steps without derivative that cut them off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from payback.ad.paths import Links
from payback.ad.sweep import live_nodes, reach, sweep
from payback.glass.cures import of_zeros
from payback.ir.node import Node, ancestors
from payback.ir.where import Position, position
from payback.ops.row import CONST


@dataclass(frozen=True, slots=True)
class Cause:
    """Where entries of a gradient become zero.

    kind      as above
    count     entries of the leaf's gradient below it that are zero for this reason (of some there are several causes)
    what      the user's sub-expression; op: the operation; place: where it is
    stopped   entries at which it stops the sweep, of `size`; 0 where the edge has no derivative at all
    fact      why
    after     the leaf that was read last, where one sub-expression is run by several layers; else empty
    """

    kind: str
    count: int
    what: str
    op: str
    place: Position | None
    stopped: int
    size: int
    fact: str
    after: str = ""

    @property
    def cure(self) -> str:
        """What is usually done about it; else empty."""
        return of_zeros(self.kind, self.op)

    def __str__(self) -> str:
        where = f"{self.place.at}: " if self.place else ""
        op = f"{self.op} after {self.after}" if self.after else self.op
        part = f", {self.stopped:,} of {self.size:,} entries" if self.stopped else ""
        return f"{where}{self.what} ({op}{part}): {self.fact}"


def cuts(
    top: Node, leaf: Node, mask: Any, names: Mapping[Node, str], rounded: Sequence[tuple[Node, Any]]
) -> Iterator[Cause]:
    """Steps without derivative between a leaf and the top."""
    depends, users = {leaf}, []
    for node in ancestors([top], leaf.id):
        if node is not leaf and any(arg in depends for arg in node.args):
            depends.add(node)
            users.append(node)
    moving = set(live_nodes(reach([top], leaf.id, [leaf]), {leaf})[1]) | {leaf}
    smooth = {leaf}
    for node in users:
        if any(arg in smooth and slot not in node.op.no_edge for slot, arg in enumerate(node.args)):
            smooth.add(node)
    further, inner = _steps_to(top, users), moving | _inner(users, moving)
    whole = {node.args[0] for node in users if node.op.name == "cast" and node.aval.dtype.kind != "f"}
    stops: dict[int, dict[Any, list[tuple[Node, Node]]]] = {}
    for node in users:
        for slot, arg in enumerate(node.args):
            if (
                arg in smooth
                and slot in node.op.no_edge
                and node not in moving
                and node in further
                and node not in inner
            ):
                place = (node.where[:2] if node.where is not None else node, node.op)
                stops.setdefault(further[node], {}).setdefault(place, []).append((node, arg))
    # An entry is told the cuts after which it would be nearest to the top: what s > 0 in np.where(s > 0, s, 0) cuts
    # goes on beside it, and is cut in earnest where the s that was chosen is.
    left = mask
    for level in sorted(stops):
        covered = np.zeros(leaf.shape, bool)
        for group in stops[level].values():
            below = left & _leads(leaf, [arg for _, arg in group])
            if below.any():
                node = group[0][0]
                op, fact = node.op.name, _no_edge(node, group[0][1])
                if node in whole:
                    op, fact = "cast", "whole numbers are constant in pieces"
                yield Cause("no path", int(below.sum()), text_of(node, names), op, position(node.where), 0,
                            node.aval.size, f"cut: {fact}")  # fmt: skip
                covered |= below
        left = left & ~covered
        if not left.any():
            return
    covered = np.zeros(leaf.shape, bool)
    whole_places = {node.where[:2] for node in moving if node.where is not None}
    for (where, op), nodes in _places(rounded).items():
        if where in whole_places:  # of an expression that has a derivative: the order that `np.sort` asks for
            continue
        below = left & _leads(leaf, _floating_in(nodes, leaf))
        if below.any():
            at, node = position(where), nodes[0]
            fact = "a condition that only decides what is done" if op == "if" else "its bare whole number is taken"
            fact = "no more than whole numbers or truths are made of it" if node.aval.dtype.kind == "f" else fact
            yield Cause("no path", int(below.sum()), at.text if at and at.text else op, op, at, 0,
                        node.aval.size, f"cut: {fact}, which is constant in pieces")  # fmt: skip
            covered |= below
    left = left & ~covered
    count = int(left.sum())
    if not count:
        return
    if leaf not in moving or top not in moving:
        fact = "the result does not depend on it, or on its bare value only"
        user = _reads_a_copy(top, leaf)
        if user is not None:
            fact += f"; {text_of(user, names)} reads another array with the same numbers"
        yield Cause("no path", count, names.get(leaf, "it"), "unused", position(user.where) if user else None, 0,
                    leaf.aval.size, fact)  # fmt: skip
    else:
        fact = "nothing that the result depends on reads these entries, or what is made of them is written over"
        yield Cause("no path", count, names.get(leaf, "it"), "index", None, 0, leaf.aval.size, fact)


def _no_edge(node: Node, arg: Node) -> str:
    """Why a node has no derivative by an argument."""
    math = str(node.op.facts.get("math", "no derivative"))
    parts = math.split(", ")
    math = parts[node.args.index(arg)] if len(parts) == len(node.args) else math
    return f"{node.op.name} has no derivative by it" if math == "0" else math.removeprefix("0: ")


def _inner(users: Sequence[Node], moving: Set[Node]) -> set[Node]:
    """Nodes of an expression that has a derivative as a whole: the order in which `np.sort` puts the entries."""
    inner: set[Node] = set()
    for node in reversed(users):
        if node in moving or node in inner:
            inner.update(arg for arg in node.args if arg not in moving and _together(arg, node))
    return inner


def _together(arg: Node, node: Node) -> bool:
    return arg.where is not None and node.where is not None and arg.where[:2] == node.where[:2]


def _reads_a_copy(top: Node, leaf: Node) -> Node | None:
    """What reads a constant with a leaf's numbers: the program may have kept an old one."""
    if leaf.aval.size < 2:
        return None
    found: set[Node] = set()
    for node in ancestors([top]):
        if node.op is CONST and node.shape == leaf.shape and np.array_equal(node.value, leaf.value):
            found.add(node)
        elif not found.isdisjoint(node.args):
            return node
    return None


def _places(rounded: Sequence[tuple[Node, Any]]) -> dict[tuple[Any, str], list[Node]]:
    """By the user's sub-expression, and what it is, the values of which the program has had bare numbers."""
    places: dict[tuple[Any, str], list[Node]] = {}
    for node, where in rounded:
        kind = node.aval.dtype.kind
        op = "if" if kind == "b" else "int" if kind == "f" else node.op.name
        at = where if kind == "f" or node.where is None else node.where
        places.setdefault((at and at[:2], op), []).append(node)
    return places


def _floating_in(nodes: Sequence[Node], leaf: Node) -> list[Node]:
    """The floating values that conditions or whole numbers were made of; a floating value itself; and what steps
    without derivative on the way to these were made of."""
    found = {node for node in nodes if node.aval.dtype.kind == "f"}
    for node in ancestors(nodes, leaf.id):
        for slot, arg in enumerate(node.args):
            if arg.aval.dtype.kind == "f" and (node.aval.dtype.kind != "f" or slot in node.op.no_edge):
                found.add(arg)
    return list(found)


def _steps_to(top: Node, users: Sequence[Node]) -> dict[Node, int]:
    """How many steps without derivative there are from a node to the top, at least."""
    steps = {top: 0}
    for node in reversed(users):
        if node in steps:
            for slot, arg in enumerate(node.args):
                more = steps[node] + (slot in node.op.no_edge)
                steps[arg] = min(more, steps.get(arg, more))
    return steps


def _leads(leaf: Node, nodes: Sequence[Node]) -> Any:
    """A mask: which entries of the leaf lead to one of the nodes."""
    under = sweep(Links("edges"), {node: np.ones(node.shape) for node in nodes}, [leaf])
    return np.broadcast_to(np.not_equal(under[leaf], 0) if leaf in under else False, leaf.shape)


def text_of(node: Node, names: Mapping[Node, str]) -> str:
    if node in names:
        return names[node]
    place = position(node.where)
    return place.text if place is not None and place.text else node.op.name
