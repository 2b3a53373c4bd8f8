"""`explain`: the ledger of a function's gradient, or of a value computed from variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from payback.ad.sweep import live_nodes, reach
from payback.errors import DifferentiationError, InputError
from payback.glass.inside import CALLS
from payback.glass.inside import Opened as Inside
from payback.glass.ledger import Ledger
from payback.glass.names import name_nodes, parameter_names
from payback.ir.node import Node, ancestors
from payback.ops.row import VARIABLE
from payback.ops.shadows import is_let_go
from payback.trace.array import Traced
from payback.trace.refusals.free import rounding
from payback.trace.refusals.leaks import check, close
from payback.trace.shim.shim import call
from payback.trace.tree import leaves, paths
from payback.transforms.argnums import ArgNums, argument_names
from payback.transforms.gradient import Opened, scalar_result

Wrt = str | Traced | Sequence[str | Traced] | None


class Seen(NamedTuple):
    """A function that has been run once: its result, the leaves to differentiate by and what they are called.

    again: runs it once more, and returns the result's node.  aliases: other names of leaves.  data: arrays among the
    arguments, by name.  rounded: values of which the program has had a bare whole number, and where.
    """

    top: Node
    wrt: list[Node]
    names: dict[Node, str]
    aliases: dict[str, str]
    again: Callable[[], Node] | None
    data: dict[str, Any]
    rounded: Sequence[tuple[Node, Any]] = ()


def explain(f: Any, *args: Any, wrt: Wrt = None, argnums: ArgNums | None = None, **kwargs: Any) -> Ledger:
    """The ledger of one gradient: every value, every payment of the reverse sweep, every path.

    f: a function that returns a floating scalar, called as `f(*args, **kwargs)`; its arguments as `pb.grad` takes them
    (numbers, arrays, containers, networks).  Or a value that was computed from `pb.variable`s.
    argnums: which arguments to differentiate by: a position, a name, or several; all floating ones if None.
    wrt: narrows that to some leaves, by their names: "x", "params['w']", "W1".  A network's weights are W1, b1, W2, …

    f is run once.  Returns a Ledger: `nodes`, `edges`, `events`, `pile(node)`, `settled(node)`, `check()`,
    `paths(leaf=…)`, `kappa`, `through`, `blame`, `cut`, `flow`, `cost`, `step`, `to_json` and others;
    `ledger["W1"][3, 7]` is the ledger of one entry, number by number.

    Raises InputError for a name that is none of the leaves, DifferentiationError for a result or an argument that has
    no derivative.

    >>> import payback as pb
    >>> def e(a, b):
    ...     return (a + b) * (b + 1)
    >>> book = pb.explain(e, 2, 1)
    >>> book.settled("b"), [edge.paid for edge in book.pile("b")]
    (5.0, [2.0, 3.0])
    >>> [(path.factors, path.product) for path in book.paths(leaf="b").all()]
    [((2.0, 1.0), 2.0), ((3.0, 1.0), 3.0)]
    """
    return ledger_of(run(f, args, kwargs, argnums), wrt)


def ledger_of(seen: Seen, wrt: Wrt = None) -> Ledger:
    """The ledger of a function that has been run."""
    chosen = chosen_nodes(seen, wrt)
    top = Inside(seen.top, [], values=True, bodies=CALLS).top  # a compiled function shows its work as any other does
    between = [node for node in ancestors([top], min(node.id for node in chosen)) if node.op.name != "const"]
    live = _depending(between, chosen)
    names = name_nodes(live, seen.names)
    if top not in names and "result" not in names.values():  # it depends on nothing
        names[top] = "result"
    book = Ledger(top, chosen, names)
    book._aliases, book.data = seen.aliases, seen.data
    if (again := seen.again) is not None:
        book.again = lambda: Inside(again(), [], values=True, bodies=CALLS).top
    return book


def run(f: Any, args: Sequence[Any], kwargs: dict[str, Any], argnums: ArgNums | None = None) -> Seen:
    """Run a function on values, keeping its graph; or look at a value that has one."""
    if isinstance(f, Traced):
        if args or kwargs or argnums is not None:
            raise InputError("a value takes no arguments", why="it has been computed already",
                             fix="narrow it with wrt=, or give a function")  # fmt: skip
        found = sorted((n for n in reach([f.node]).ends if n.op is VARIABLE), key=lambda node: node.id)
        if not found:
            raise DifferentiationError("there is nothing to differentiate by", why="no pb.variable leads to the value")
        if any(map(is_let_go, ancestors([f.node]))):
            raise DifferentiationError("large numbers that this value was computed from have been let go",
                                       why="a function that was differentiated keeps what its rules read",
                                       fix="explain the function, with its arguments")  # fmt: skip
        names = {node: node.params.get("name") or f"x{k}" for k, node in enumerate(found, 1)}
        return Seen(f.node, found, names, {}, None, {})
    if not callable(f):
        raise InputError(f"there is nothing to explain in {type(f).__name__}",
                         fix="give a function and its arguments, or a value computed from pb.variable")  # fmt: skip
    given = tuple(args)
    if argnums is None:
        argnums = [*(k for k, arg in enumerate(given) if _varies(arg)),
                   *(name for name, arg in kwargs.items() if _varies(arg))]  # fmt: skip
        if not argnums:
            raise DifferentiationError("there is nothing to differentiate by",
                                       why="no argument is a number or a floating array",
                                       fix="give what varies as an argument of the function")  # fmt: skip
    with np.errstate(all="ignore"):
        opened = Opened(f, given, kwargs, argnums)
        with rounding() as rounded:
            out = call(f, opened.args, opened.kwargs)
    wrt = [node for node in opened.wrt if node is not None]
    close(opened.wrt)
    top = scalar_result(out, f).node
    check([top], wrt)

    def again() -> Node:
        with np.errstate(all="ignore"):
            anew = Opened(f, given, kwargs, argnums)
            node = scalar_result(call(f, anew.args, anew.kwargs), f).node
        close(anew.wrt)
        return node

    called = argument_names(f, len(given))
    names, short = leaf_names(f, len(given), opened)
    data = {
        name + path: leaf
        for name, tree in [*zip(called, given, strict=True), *kwargs.items()]
        for leaf, path in zip(leaves(tree), paths(tree), strict=True)
        if isinstance(leaf, np.ndarray)
    }
    return Seen(top, wrt, names, short, again, data, rounded)


def leaf_names(f: Any, count: int, opened: Opened) -> tuple[dict[Node, str], dict[str, str]]:
    """What the leaves are called, and the short names of a network's parameters by their long ones."""
    called = argument_names(f, count)
    written = [
        (called[position] if isinstance(position, int) else position) + path
        for position, tree in zip(opened.positions, opened.given, strict=True)
        for _, path in zip(leaves(tree), paths(tree), strict=True)
    ]
    texts = {node: path for node, path in zip(opened.wrt, written, strict=True) if node is not None}
    short = parameter_names(list(texts.values()))
    return {node: short.get(path, path) for node, path in texts.items()}, short


def _varies(arg: Any) -> bool:
    kinds = [_kind(leaf) for leaf in leaves(arg)]
    return any(kind == "f" for kind in kinds) and "i" not in kinds


def _kind(leaf: Any) -> str:
    """f: differentiated; i: whole numbers, which are not; an empty text: neither."""
    if type(leaf) in (int, float):
        return "f"
    if isinstance(leaf, Traced):
        return leaf.dtype.kind
    if isinstance(leaf, (np.ndarray, np.generic)):
        return {"u": "i", "f": "f", "i": "i"}.get(leaf.dtype.kind, "")
    return ""


def chosen_nodes(seen: Seen, wrt: Wrt) -> list[Node]:
    return seen.wrt if wrt is None else named_leaves(seen.names, seen.aliases, wrt)


def named_leaves(names: Mapping[Node, str], aliases: Mapping[str, str], wrt: Wrt) -> list[Node]:
    """The leaves that `wrt` names; raises InputError for a name that is none, and for none at all."""
    wanted: Iterable[Any] = [wrt] if isinstance(wrt, (str, Traced)) else wrt or ()
    by_name = {name: node for node, name in names.items()}
    chosen = []
    for which in wanted:
        if isinstance(which, Traced):
            chosen.append(which.node)
            continue
        name = aliases.get(which, which)
        if name not in by_name:
            raise InputError(f"wrt names {which!r}", why=f"the leaves are {', '.join(list(by_name)[:20])}")
        chosen.append(by_name[name])
    if not chosen:
        raise InputError("wrt is empty", fix="leave it out, or name a leaf")
    return chosen


def _depending(nodes: Sequence[Node], leaves: Sequence[Node]) -> list[Node]:
    return live_nodes(list(nodes), set(leaves))[0]
