"""Sums of products as one product.

Σₜ aₜ·bₜᵀ is Aᵀ·B, whose rows are the aₜ and the bₜ: what a matrix is owed by each of its uses on a vector is an outer
product as large as the matrix.  A matrix that a loop uses a hundred times would have a hundred of them written to
memory, and read again to be added.

Σₜ Xᵀ·bₜ is Xᵀ·Σₜ bₜ: what w is owed where a program says `X @ w` several times, as if it had said so once.

Σₜ (aₜ + aₜᵀ) is s + sᵀ, s = Σₜ aₜ: what w is owed where it says `w + w.T` several times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from payback.ir.aval import Aval
from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.row import TABLE
from payback.passes.rewrite import Change, rewrite

LEAST = 3  # products that are joined: of fewer, each may as well be added to what the other has left
SMALL = 2  # times an operand's entries that the result has at least, for the rows to cost less than the terms
_JOINED = ("contract", "transpose")


class Term(NamedTuple):
    """A product by the axes of the sum that it is a term of.

    spec     left and right operand's letters; those of the sum are "a", "b", … in their order
    operands left and right
    """

    spec: tuple[str, str]
    operands: tuple[Node, Node]

    @property
    def form(self) -> Any:
        """What terms that are joined have in common."""
        return self.spec, tuple(node.aval for node in self.operands)


def joined(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with sums of alike products as one; equal to rounding."""
    log: list[Change] = []
    users = Counter(arg for node in graph.nodes for arg in node.args)
    users.update(graph.outputs)
    inner = {
        arg for node in graph.nodes if node.op.name == "add" for arg in node.args
        if arg.op.name == "add" and users[arg] == 1 and arg.aval == node.aval
    }  # fmt: skip
    new: dict[Node, Node] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != "add" or node in inner:
            return None
        leaves = _leaves(node, inner)
        if sum(leaf.op.name in _JOINED for leaf in leaves) < 2:
            return None
        parts: list[Node] = []
        count = 0  # of products that became one
        repeated, leaves = _repeated(leaves, users)
        for orders, group in repeated:
            users.update(dict.fromkeys(group, 1 - len(orders)))
            terms, several = _parts(group, group[0], new, users)
            whole, count = _sum(terms, group[0]), count + several
            parts += [_turned(whole, axes, node) for axes in orders]
        terms, several = _parts(leaves, node, new, users)
        if not parts and not several:
            return None
        made = _sum([*terms, *parts], node)
        count += several
        log.append(
            Change(node, made, f"a sum of {count} products is one product" if count else "added up, then turned")
        )
        return made

    return rewrite(graph, rule, "add", new=new), log


def _leaves(root: Node, inner: set[Node]) -> list[Node]:
    """What a sum of sums consists of."""
    leaves, stack = [], [root]
    while stack:
        node = stack.pop()
        for arg in node.args:
            (stack if arg in inner else leaves).append(arg)
    return leaves


def _base(leaf: Node, users: Counter[Node]) -> tuple[tuple[int, ...], Node]:
    """A leaf as the axes of a node in some order."""
    axes, node = tuple(range(len(leaf.aval.shape))), leaf
    while node.op.name == "transpose" and users[node] == 1:
        axes = tuple(node.params["axes"][axis] for axis in axes)
        (node,) = node.args
    return axes, node


_Orders = list[tuple[int, ...]]


def _repeated(leaves: Sequence[Node], users: Counter[Node]) -> tuple[list[tuple[_Orders, list[Node]]], list[Node]]:
    """Orders of axes, with several nodes that the sum has in just these orders and that nobody else needs; and the
    leaves that are none of it."""
    bases = [_base(leaf, users) for leaf in leaves]
    orders: dict[Node, _Orders] = {}
    for axes, node in bases:
        orders.setdefault(node, []).append(axes)
    groups: dict[Any, list[Node]] = {}
    for node, found in orders.items():
        if users[node] == len(found) and len(set(found)) > 1 and node.aval.dtype.kind == "f":
            groups.setdefault((*sorted(found), node.aval), []).append(node)
    several = [(orders[group[0]], group) for group in groups.values() if len(group) > 1]
    taken = {node for _, group in several for node in group}
    return several, [leaf for leaf, (_, node) in zip(leaves, bases, strict=True) if node not in taken]


def _turned(node: Node, axes: tuple[int, ...], where: Node) -> Node:
    if axes == tuple(range(len(axes))):
        return node
    return Node(TABLE["transpose"], (node,), {"axes": axes}, None, where.where, where.aval)


def _sum(parts: Sequence[Node], where: Node) -> Node:
    made = parts[0]
    for part in parts[1:]:
        made = Node(TABLE["add"], (made, part), NO_PARAMS, None, where.where, where.aval)
    return made


def _parts(leaves: Sequence[Node], where: Node, new: dict[Node, Node], users: Counter[Node]) -> tuple[list[Node], int]:
    """What is to be added for the leaves of a sum, and how many products were joined."""
    rest, groups, shared = _terms(leaves, where.aval.size, users)
    parts = [new[leaf] for leaf in rest] + [_product(group, new, where) for group in groups]
    parts += [_of_sum(side, group, new, where) for side, group in shared]
    return parts, sum(map(len, groups)) + sum(len(group) for _, group in shared)


def _terms(
    leaves: Sequence[Node], size: int, users: Counter[Node]
) -> tuple[list[Node], list[list[Term]], list[tuple[int, list[Term]]]]:
    """What a sum of that size consists of: what stays as it is, and products to be joined, those of alike operands and
    those that have one in common, which is their left or right one."""
    found = {leaf: term for leaf in leaves if users[leaf] == 1 and (term := _term(leaf, users)) is not None}
    shared = []
    for side in (1, 0):
        with_one: dict[Any, list[Node]] = {}
        for leaf, term in found.items():
            with_one.setdefault((term.spec, term.operands[side], term.operands[1 - side].aval), []).append(leaf)
        several = [group for group in with_one.values() if len(group) > 1]
        shared += [(side, [found.pop(leaf) for leaf in group]) for group in several]
        leaves = [leaf for leaf in leaves if not any(leaf in group for group in several)]
    groups: dict[Any, list[Term]] = {}
    for term in found.values():
        if size >= SMALL * sum(operand.aval.size for operand in term.operands):
            groups.setdefault(term.form, []).append(term)
    many = {form for form, group in groups.items() if len(group) >= LEAST}
    rest = [leaf for leaf in leaves if (term := found.get(leaf)) is None or term.form not in many]
    return rest, [groups[form] for form in groups if form in many], shared


def _term(leaf: Node, users: Counter[Node]) -> Term | None:
    """A leaf as a product that nobody else needs, perhaps with its axes in another order."""
    axes, node = _base(leaf, users)
    if node.op.name != "contract" or users[node] != 1 or node.aval.dtype.kind != "f":
        return None
    left, right, out = node.params["spec"]
    letters = dict(zip((out[axis] for axis in axes), _letters(0), strict=False))
    letters |= dict(zip((c for c in left if c not in out), _letters(len(out)), strict=False))
    spec = tuple("".join(letters[c] for c in part) for part in (left, right))
    pairs = sorted(zip(spec, node.args, strict=True), key=lambda pair: pair[0])
    (one, a), (other, b) = pairs
    return Term((one, other), (a, b))


def _letters(first: int) -> Sequence[str]:
    return [chr(ord("a") + k) for k in range(first, 25)]


def _product(terms: Sequence[Term], new: dict[Node, Node], where: Node) -> Node:
    """One product of the operands' rows."""
    rows = []
    for side in (0, 1):
        parts = tuple(new[term.operands[side]] for term in terms)
        shape, dtype, _ = parts[0].aval
        aval = Aval((len(parts), *shape), dtype)
        rows.append(Node(TABLE["stack"], parts, {"axis": 0}, None, where.where, aval))
    left, right = terms[0].spec
    out = "".join(_letters(0)[: len(where.aval.shape)])
    spec = f"z{left}", f"z{right}", out
    return Node(TABLE["contract"], tuple(rows), {"spec": spec}, None, where.where, where.aval)


def _of_sum(side: int, terms: Sequence[Term], new: dict[Node, Node], where: Node) -> Node:
    """One product of what the terms have in common and the sum of what they have not."""
    common, (first, *others) = terms[0].operands[side], [new[term.operands[1 - side]] for term in terms]
    for other in others:
        first = Node(TABLE["add"], (first, other), NO_PARAMS, None, where.where, first.aval)
    operands = (first, new[common]) if side else (new[common], first)
    spec = (*terms[0].spec, "".join(_letters(0)[: len(where.aval.shape)]))
    return Node(TABLE["contract"], operands, {"spec": spec}, None, where.where, where.aval)
