"""Contractions that are no products of matrices: entries multiplied in their places, then added along some axes.

As rows of their own kind they join the loops of what stands around them, and no product is kept for a second use.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod

from payback.ir.aval import Aval
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.row import TABLE
from payback.passes.rewrite import Change, rewrite

LEAST = 256  # products: fewer may be part of a loop's code, where they are a contraction
LARGE = 4096  # entries of a matrix of such products: small ones are a kernel with what follows them, and sums beside
MANY, SMALL = 8, 2048  # products with a vector, and entries of each matrix, which are used but once


def entrywise(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with such contractions of real numbers as products and sums; equal to rounding."""
    log: list[Change] = []

    @cache
    def users() -> dict[Node, list[Node]]:
        found: dict[Node, list[Node]] = {}
        for each in graph.nodes:
            for arg in each.args:
                found.setdefault(arg, []).append(each)
        return found

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != "contract" or node.aval.dtype.char not in "fd":
            return None
        left, right, out = node.params["spec"]
        a, b = args
        if a.aval.dtype == b.aval.dtype and _of_one_product(node, args) and not _is_part(node, users()):
            (left, a), (right, b) = (_without(x, letters, out) for x, letters in ((a, left), (b, right)))
            made = _node("mul", (_beside(a, left, out), _beside(b, right, out)), {}, node.aval.shape, node)
            log.append(Change(node, made, "its sums are of one product"))
            return made
        if a.aval.dtype == b.aval.dtype and _of_many_vectors(node, left, right):
            made = _node("mul", (_beside(a, left, out), _beside(b, right, out)), {}, node.aval.shape, node)
            log.append(Change(node, made, "it multiplies entries in their places"))
            return made
        if set(left) < set(right):
            (left, a), (right, b) = (right, b), (left, a)
        extent = dict(zip(left, a.aval.shape, strict=True))
        several = prod(extent[letter] for letter in right if letter in extent and letter in out)
        small = several >= MANY and a.aval.size <= SMALL * several  # many small matrices by a vector each
        fits = set(left) == set(right) or (set(right) < set(left) and (set(left) == set(out) or small))
        if not fits or a.aval.size < LEAST or a.aval.dtype != b.aval.dtype:
            return None
        made = _node("mul", (a, _beside(b, right, left)), {}, a.aval.shape, node)
        axes = tuple(axis for axis, letter in enumerate(left) if letter not in out)
        kept = "".join(letter for letter in left if letter in out)
        if axes:
            shape = tuple(a.aval.shape[left.index(letter)] for letter in kept)
            made = _node("sum", (made,), {"axes": axes, "keepdims": False}, shape, node)
        made = _turned(made, kept, out)
        log.append(Change(node, made, "it multiplies entries in their places"))
        return made

    return rewrite(graph, rule, "contract"), log


def _of_one_product(node: Node, args: Sequence[Node]) -> bool:
    """Whether nothing is added up: what a batch of one sample pays to a weight is each of its entries times another."""
    *operands, out = node.params["spec"]
    summed = [n for x, letters in zip(args, operands, strict=True)
              for c, n in zip(letters, x.aval.shape, strict=True) if c not in out]  # fmt: skip
    return bool(summed) and set(summed) == {1} and node.aval.size >= LARGE


def _is_part(node: Node, users: dict[Node, list[Node]]) -> bool:
    """Whether it is put in its place in a larger array, and read there: that is what products do best."""
    found = users.get(node, ())
    return any(user.op.name in ("concatenate", "stack") for user in found) or any(
        user.op.name == "reshape" and _is_part(user, users) for user in found
    )


def _without(x: Node, letters: str, wanted: str) -> tuple[str, Node]:
    """An operand without the axes of length 1 that are added up."""
    kept = "".join(c for c in letters if c in wanted)
    shape = tuple(n for c, n in zip(letters, x.aval.shape, strict=True) if c in wanted)
    return kept, x if kept == letters else _node("reshape", (x,), {"shape": shape}, shape, x)


def _of_many_vectors(node: Node, left: str, right: str) -> bool:
    """Whether a contraction is every entry of one vector times every entry of another, for many of them."""
    out = node.params["spec"][2]
    several = prod(n for letter, n in zip(out, node.aval.shape, strict=True) if letter in left and letter in right)
    return set(left) | set(right) == set(out) and several >= MANY and node.aval.size >= LEAST


def _node(name: str, args: tuple[Node, ...], params: dict[str, object], shape: Sequence[int], like: Node) -> Node:
    return Node(TABLE[name], args, params or NO_PARAMS, None, like.where, Aval(tuple(shape), like.aval.dtype))


def _turned(x: Node, letters: str, wanted: str) -> Node:
    """The axes in another order."""
    if letters == wanted:
        return x
    axes = tuple(letters.index(letter) for letter in wanted)
    return _node("transpose", (x,), {"axes": axes}, [x.aval.shape[axis] for axis in axes], x)


def _beside(x: Node, letters: str, wanted: str) -> Node:
    """The axes where those of another array are, with one of length 1 for each that is missing."""
    there = "".join(letter for letter in wanted if letter in letters)
    x = _turned(x, letters, there)
    if there == wanted:
        return x
    shape = tuple(x.aval.shape[there.index(letter)] if letter in there else 1 for letter in wanted)
    return _node("reshape", (x,), {"shape": shape}, shape, x)
