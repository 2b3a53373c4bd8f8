"""Constants computed once, operations that change nothing taken out, and choices that the numbers make needless."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from payback.ir.graph import Graph
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import freeze
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE
from payback.passes.cse import once
from payback.passes.indices import composed, spelled
from payback.passes.masks import MOST, everywhere, holds_where_paid, known_truth, what_is_read, without_mask
from payback.passes.rewrite import Change, Rule, rewrite

LARGEST = 1 << 14  # entries of a folded constant: larger ones are cheaper to compute than to keep


def _number(node: Node) -> Any:
    """The Python number of a constant scalar, or None."""
    value = node.value
    if node.op is not CONST or value is None or getattr(value, "shape", ()) != ():
        return None
    return value.item() if isinstance(value, np.generic) else value


def _zero(node: Node) -> bool:
    value = _number(node)
    return value is not None and value == 0 and not np.signbit(float(value))


_PASSING = frozenset({"identity", "broadcast", "reshape", "cast", "transpose", "sum"})  # what may change nothing
_CHOOSING = frozenset({"select", "logical_and", "logical_or"})  # what a mask may decide
_DECIDED = frozenset({"index", "ne", "logical_not"})  # what a known condition decides
_INDICES = frozenset({"index", "scatter"})
_BY_ONE = frozenset({"mul", "div"})  # what one does nothing to
_LOOKED_AT = _PASSING | _CHOOSING | _DECIDED | _BY_ONE | {"scatter", "power"}
_MOVING = ("reshape", "broadcast", "transpose")
_DEEP = 16  # steps from a value to what is masked in it
_OF_SIGNS = frozenset({"relu", "gt", "le", "select"})  # what `_reusing` looks at


def _same(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What an operation that changes nothing passes on."""
    x, params = args[0] if args else None, node.params
    if x is None or x.aval != node.aval:
        return None
    match node.op.name:
        case "identity" | "broadcast" | "reshape" | "cast":
            return x
        case "transpose":
            return x if params["axes"] == tuple(range(len(x.aval.shape))) else None
        case "sum":
            return x if params["axes"] == () else None
    return None


def _by_one(node: Node, args: tuple[Node, ...]) -> Node | None:
    """What is multiplied by ones, or divided by them, as what a sum pays is."""
    pairs = (args, args[::-1]) if node.op.name == "mul" else (args,)
    return next((x for x, factor in pairs if x.aval == node.aval and _is_one(factor)), None)


def _ones(node: Node, args: tuple[Node, ...]) -> Node | None:
    """x⁰, which is one whatever x is, NaN too: the second derivative of a square has it."""
    if node.aval.dtype.kind != "f" or _number(args[1]) != 0:
        return None
    shape = node.aval.shape
    one = Node(CONST, (), NO_PARAMS, freeze(np.ones((), node.aval.dtype)[()]), node.where, node.aval._replace(shape=()))
    return one if not shape else Node(TABLE["broadcast"], (one,), {"shape": shape}, None, node.where, node.aval)


def _is_one(node: Node) -> bool:
    while node.op.name in _MOVING:
        (node,) = node.args
    if node.op is not CONST or node.value is None or not node.aval.size:
        return False
    value = np.asarray(node.value)
    if not any(value.strides):  # one number, spread
        return bool(value.flat[0] == 1)
    return value.size <= LARGEST and bool(np.all(np.equal(value, 1)))


def _silent(value: Node, mask: Node, slopes: dict[Node, Node], deep: int = 0) -> bool:
    """Whether a value is +0 wherever a mask is false, as it is: sums of zeros are zeros, wherever they are moved.

    slopes: what stands for a choice -> its mask.
    """
    if value.aval.shape != mask.aval.shape:
        return False
    if slopes.get(value) is mask or everywhere(mask):
        return True
    name, args, of = value.op.name, value.args, mask.args
    if name == "select":
        return args[0] is mask and _zero(args[2])
    if deep == _DEEP:
        return False
    if name == "add" and _zero(args[0]):  # as where payments are added to zeros
        return _silent(args[1], mask, slopes, deep + 1)
    if name == "mul":
        moved = [x for x, factor in (args, args[::-1]) if 0.0 < (_number(factor) or 0.0) < inf]
        return bool(moved) and _silent(moved[0], mask, slopes, deep + 1)
    if name == "add" and mask.op.name == "logical_or":
        return all(_silent(*pair, slopes, deep + 1) for pair in zip(args, of, strict=True))
    if name == "scatter" and value.aval.dtype.kind == "f" and holds_where_paid(mask, value):
        return True
    alike = mask.op.name == name and value.params == mask.params and args[1:] == of[1:]
    if alike and name in (*_MOVING, "index"):
        return _silent(args[0], of[0], slopes, deep + 1)
    if name == "scatter" == mask.op.name and len(args) == len(of):
        return value.params == mask.params | {"dtype": value.params["dtype"]} and all(
            x is y or _silent(x, y, slopes, deep + 1) for x, y in zip(args, of, strict=True)
        )
    if mask.op.name != "ne" or not _zero(of[1]):
        return False
    count = of[0]
    while value.op.name == count.op.name == "reshape" and value.args[0].aval.shape == count.args[0].aval.shape:
        value, count = value.args[0], count.args[0]
    return (
        value.op.name == count.op.name == "sum"
        and (count.params, value.aval.dtype.kind) == (value.params, "f")
        and _silent(value.args[0], count.args[0], slopes, deep + 1)
    )


def fold(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph without operations on constants and operations that change nothing; the same bits."""
    log: list[Change] = []
    folded = folding(log)

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        plain = spelled(node, args) if node.op.name in _INDICES else node
        return folded(plain, args) or (plain if plain is not node else None)

    return rewrite(graph, rule), log


def folding(log: list[Change], slopes: dict[Node, Node] | None = None) -> Rule:
    """The rule of `fold`.  slopes: choices that `reuse_signs` has written otherwise -> their masks."""
    slopes = {} if slopes is None else slopes

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        op = node.op
        if op.value is None:
            return None
        if op.name in _PASSING:
            same = _same(node, args)
            if same is not None:
                log.append(Change(node, same, "it changes nothing"))
                return same
        if op.name in _BY_ONE:
            same = _by_one(node, args)
            if same is not None:
                log.append(Change(node, same, "it is by one"))
                return same
        if op.name == "power" and (one := _ones(node, args)) is not None:
            log.append(Change(node, one, "its exponent is zero"))
            return one
        constant = args and args[0].op is CONST and all(arg.op is CONST and arg.value is not None for arg in args)
        if constant and node.aval.size <= (MOST if node.aval.dtype == np.bool_ else LARGEST):
            with np.errstate(all="ignore"):
                value = freeze(node.op.value(Values, *[arg.value for arg in args], **node.params))
            made = Node(CONST, (), NO_PARAMS, value, node.where, node.aval)
            log.append(Change(node, made, "its arguments are constants"))
            return made
        if op.name in _DECIDED and node.aval.dtype == np.bool_:
            decided = known_truth(node, args)
            if decided is not None:
                log.append(Change(node, decided, "it is known already"))
                return decided
        if op.name == "index":
            picked = composed(node, args)
            if picked is not None:
                log.append(Change(node, picked, "it is picked at once"))
            return picked
        if op.name == "scatter" and node.aval.dtype == np.bool_:
            read = what_is_read(node, args)
            if read is not None:
                log.append(Change(node, read, "it is known what is read"))
            return read
        if op.name not in _CHOOSING:
            return None
        bare = without_mask(node, args)
        if bare is not None:
            log.append(Change(node, bare, "its mask changes nothing"))
            return bare
        if op.name == "select" and args[1].aval == node.aval and _zero(args[2]) and _silent(args[1], args[0], slopes):
            log.append(Change(node, args[1], "it is zero already where the mask says so"))
            return args[1]
        return None

    return rule


def _slope(
    node: Node, args: tuple[Node, ...], rectified: dict[Node, Node], made_once: Callable[[Node], Node]
) -> Node | None:
    """select(not y ≤ 0, v·sign x, 0) with y = relu(x): v where y > 0, and NaN where x is NaN; written with y alone."""
    if not _zero(args[2]) or args[0].op.name != "logical_not":
        return None
    below, product = args[0].args[0], args[1]
    if below.op.name != "le" or product.op.name != "mul" or product.args[1].op.name != "sign":
        return None
    y, v = rectified.get(product.args[1].args[0]), product.args[0]
    if y is None or below.args[0] is not y or v.aval != y.aval or y.aval.dtype != node.aval.dtype:
        return None
    zero = below.args[1]
    above = made_once(Node(TABLE["gt"], (y, zero), NO_PARAMS, None, node.where, below.aval))
    taken = made_once(Node(TABLE["select"], (above, v, y), NO_PARAMS, None, node.where, node.aval))
    return made_once(Node(TABLE["select"], (below, args[2], taken), NO_PARAMS, None, node.where, node.aval))


def reuse_signs(graph: Graph) -> tuple[Graph, list[Change]]:
    """x > 0 and x ≤ 0 read off relu(x) where that is computed anyway, and its slope too: then x need not be kept."""
    log: list[Change] = []
    return rewrite(graph, _reusing(log, lambda node, args: None)), log


def _reusing(log: list[Change], known: Rule, slopes: dict[Node, Node] | None = None) -> Rule:
    """The rule of `reuse_signs`; `known` says which node there is already for one that would be made.

    slopes: is told the masks of what is written otherwise.
    """
    rectified: dict[Node, Node] = {}

    def made_once(node: Node) -> Node:
        return known(node, node.args) or node

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        name = node.op.name
        if name == "relu" and node.aval.dtype.kind == "f":
            if args != node.args:
                node = Node(node.op, args, node.params, None, node.where, node.aval)
            made = rectified[args[0]] = made_once(node)
            return made
        if name in ("gt", "le") and args[0] in rectified and _zero(args[1]):
            made = made_once(Node(node.op, (rectified[args[0]], args[1]), node.params, None, node.where, node.aval))
            log.append(Change(node, made, "relu(x) has the signs of x"))
            return made
        if name == "select":
            slope = _slope(node, args, rectified, made_once)
            if slope is not None:
                log.append(Change(node, slope, "the slope of relu(x) is read off it"))
                if slopes is not None:
                    slopes[slope] = args[0]
            return slope
        return None

    return rule


def tidy(graph: Graph) -> Graph:
    """What `fold`, `cse` and `reuse_signs` come to when they are repeated until nothing changes.

    One pass does, for a node's arguments are final before it is looked at; what is folded by the form that it has
    before the signs are read off is remembered by that form.
    """
    log: list[Change] = []
    slopes: dict[Node, Node] = {}
    folded, known = folding(log, slopes), once(log)
    signs = _reusing(log, known, slopes)

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        name, made, given = node.op.name, None, node
        if name in _INDICES:
            node = spelled(node, args)
        if name in _LOOKED_AT or (args and args[0].op is CONST):  # what `folding` looks at
            made = folded(node, args)
        if made is None and name in _OF_SIGNS:
            made = signs(node, args)
        if made is None:
            return known(node, args) or (node if node is not given else None)
        return made if made in args else known(made, made.args) or made

    return rewrite(graph, rule)
