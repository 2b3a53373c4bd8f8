"""`why_nan`: where a NaN or an infinity was born, in the value or in its gradient.

Born is what is not finite and was made from finite numbers.  What came of it is not listed: infinities minus each
other, a NaN that has travelled.  Whether it is to blame is asked of the sweep: from the result back along edges that
something was taken from (so a logarithm in the branch of a `where` that was not taken is innocent), or, for the
payments of the backward pass, on to the gradients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.paths import MULTILINEAR, Links
from payback.ad.sweep import Entry, everything, sweep
from payback.errors import ShapeError
from payback.glass.explain import Wrt, chosen_nodes, run
from payback.glass.inside import Opened
from payback.glass.names import read_last
from payback.glass.origins import Origin, Telling, bad_entries
from payback.glass.story import shown
from payback.ir.node import Node, ancestors
from payback.ops.namespace import Values
from payback.ops.reduce import reduced
from payback.ops.several import PART
from payback.trace.backward import seed_for
from payback.transforms.argnums import ArgNums

_SHOWN = 10  # origins that are told in full


@dataclass(frozen=True, slots=True)
class WhyNan:
    """What `why_nan` found: the origins, in the order in which they came about; none if all is finite.

    value: of the function.  bad: leaves whose gradient is not finite -> how many entries of it.
    """

    origins: tuple[Origin, ...]
    value: float
    bad: dict[str, int]

    def __bool__(self) -> bool:
        return bool(self.origins)

    def __len__(self) -> int:
        return len(self.origins)

    def __iter__(self) -> Iterator[Origin]:
        return iter(self.origins)

    def __getitem__(self, k: int) -> Origin:
        return self.origins[k]

    def __str__(self) -> str:
        if not self.origins:
            return f"everything is finite: the value is {shown(float(self.value))}, and so is its gradient"
        if self.origins[0].phase == "step":
            head = f"the value is {shown(float(self.value))}, and its gradient is finite, but the step is not"
        elif np.isfinite(self.value):
            entries = ", ".join(f"{name} ({count:,})" for name, count in self.bad.items())
            head = f"the value is {shown(float(self.value))}, but its gradient is not finite: {entries}"
        else:
            head = f"the value is {shown(float(self.value))}"
        lines = [f"{k}. {origin}" for k, origin in enumerate(self.origins[:_SHOWN], 1)]
        more = len(self.origins) - _SHOWN
        cures = dict.fromkeys(origin.cure for origin in self.origins[:_SHOWN] if origin.cure)
        return "\n".join(
            [head, *lines, *([f"… and {more:,} more"] if more > 0 else []), *map("what helps: {}".format, cures)]
        )


def why_nan(f: Any, *args: Any, wrt: Wrt = None, argnums: ArgNums | None = None, **kwargs: Any) -> WhyNan:
    """Where a NaN or an infinity was born, in the value of `f(*args, **kwargs)` or in its gradient.

    f, wrt, argnums: as for `pb.explain`; f may be a value computed from `pb.variable`s.  Loops, branches and calls are
    looked into, step by step.

    Returns a WhyNan: all origins in order, each with its element, the operands' values, the rule, the user's own
    sub-expression and the reason.  It is empty, and false, if value and gradient are finite.
    Raises InputError for what is neither a function with its arguments nor a value of variables, and for a name that is
    none of the leaves.

    >>> import numpy as np, payback as pb
    >>> def cost(p):
    ...     return -np.log(p).sum()
    >>> for origin in pb.why_nan(cost, np.array([0.5, 0.0, 0.25])):
    ...     print(origin.index, origin.operands, origin.fact)
    (1,) (('p', 0.0),) log needs x > 0
    """
    seen = run(f, args, kwargs, argnums)
    return nan_origins(seen.top, chosen_nodes(seen, wrt), seen.names, seen.data)


def nan_origins(top: Node, wrt: Sequence[Node], names: Mapping[Node, str], data: Mapping[str, Any]) -> WhyNan:
    """The same for a graph that has values: a scalar node, the leaves to differentiate by, what nodes are called.

    data: arrays by name; a constant with the same numbers is called so.
    """
    if top.shape:
        raise ShapeError(f"the result has the shape {top.shape}", why="NaN is looked for in the gradient of one number",
                         fix="sum what the function returns, or take one entry of it")  # fmt: skip
    value = float(np.asarray(top.value))
    finite = bool(np.isfinite(value))
    opened = Opened(top, wrt, values=True, custom=not finite)
    called = {opened.of.get(node, node): name for node, name in names.items()}
    told = Telling(called, data)
    with np.errstate(all="ignore"):
        if not finite:
            return WhyNan(_grouped(_births(opened.top, told), opened.top, wrt, called), value, {})
        origins, bad = _births_backward(opened.top, list(wrt), told)
    return WhyNan(
        _grouped(origins, opened.top, wrt, called),
        value,
        {names.get(node, "?"): count for node, count in bad.items()},
    )


def _is_bad(node: Node) -> bool:
    value = node.value
    if isinstance(value, tuple):
        return any(bad_entries(part).any() for part in value)
    return bool(bad_entries(value).any())


class _Guilt(Links):
    """From the result back to whatever was taken from, as far as it is not finite."""

    def __init__(self) -> None:
        super().__init__("choices")

    def total(self, node: Node, pile: list[Entry]) -> Any:
        total = super().total(node, pile)
        if type(total) is float:
            return total if bad_entries(node.value) else 0.0
        if isinstance(total, list):
            return [None if t is None else t * bad_entries(v) for t, v in zip(total, node.value, strict=True)]
        return total * bad_entries(node.value)


def _births(top: Node, told: Telling) -> list[tuple[Node, Origin]]:
    """Forward: entries of nodes that are not finite, are to blame for the top, and were made from finite ones."""
    nodes = ancestors([top])
    told.learn(nodes)
    infinite_data = _infinite_data(nodes)
    guilt: dict[Node, Any] = {}
    tops: dict[Node, Any] = {top: 1.0}
    while tops:
        ends = [n for n in nodes if not n.args or n.op.no_edge]
        found = sweep(_Guilt(), tops, ends, keep=everything)
        tops = {}
        for node, mask in found.items():
            old = guilt.get(node)
            guilt[node] = mask if old is None or isinstance(mask, list) else np.maximum(mask, old)
            for slot in (
                node.op.no_edge if node.op.kind == "pointwise" else ()
            ):  # a value goes on where no derivative does
                arg = node.args[slot]
                if arg not in guilt and _is_bad(arg) and np.any(mask) and arg.shape == node.shape:
                    tops[arg] = np.asarray(mask) * bad_entries(arg.value)
    origins, data = [], []
    for node in sorted(guilt, key=lambda node: node.id):
        mask = guilt[node]
        if isinstance(mask, list) or (node.op is PART and isinstance(mask, list)):
            if not any(_is_bad(arg) for arg in node.args):
                origins.append((node, told.whole(node)))
            continue
        mask = np.asarray(mask) != 0
        if not mask.any():
            continue
        if not node.args:
            data.append((node, told.data(node, mask)))
            continue
        born = mask & ~_fed(node, infinite_data)
        if born.any() and node.op is not PART:
            origins.append((node, told.forward(node, born)))
    fine = [(node, origin) for node, origin in data if not np.isinf(origin.result)]
    merged = [*fine, *origins] or data
    return sorted(merged, key=lambda pair: pair[0].id)


def _infinite_data(nodes: Sequence[Node]) -> set[Node]:
    """Nodes whose infinities were given, not made: nothing but infinities has come of them so far."""
    found: set[Node] = set()
    for node in nodes:
        if not node.args or (_is_bad(node) and _handed_on(node, found)):
            found.add(node)
    return found


def _handed_on(node: Node, given: Set[Node]) -> bool:
    """Whether all that is not finite in a node is infinite, and comes of infinities that were given."""
    if isinstance(node.value, tuple) or np.isnan(node.value).any():
        return False
    if not all(arg in given for arg in node.args if _is_bad(arg)):
        return False
    return not (bad_entries(node.value) & ~_fed(node)).any()


def _fed(node: Node, infinite_data: Set[Node] = frozenset()) -> Any:
    """The entries of a node that were made from something that is not finite.

    An infinity that was given is no fault as long as only infinities come of it: 0·∞ is where the NaN is born.
    """
    row, params = node.op, node.params
    if row.kind == "pointwise" and type(node.value) is float and all(type(arg.value) is float for arg in node.args):
        alone = node.value != node.value  # a NaN, which infinities that were given do not excuse
        return np.bool_(any(
            arg.value != arg.value if alone and arg in infinite_data else not isfinite(arg.value) for arg in node.args
        ))  # fmt: skip
    becomes_nan = np.isnan(np.asarray(node.value))

    def masks(given: bool) -> list[Any]:
        found = []
        for arg in node.args:
            if isinstance(arg.value, tuple):
                found.append(np.asarray(_is_bad(arg)))
                continue
            value = np.asarray(arg.value)
            mask = bad_entries(value)
            found.append(mask & ~np.isinf(value) if given and arg in infinite_data else mask)
        return found

    def spread(args: list[Any]) -> Any:
        if row.name == "select":
            return np.where(node.args[0].value, args[1], args[2])
        if row.kind == "pointwise" or row.name == "cast":
            return np.logical_or.reduce([np.broadcast_to(mask, node.shape) for mask in args])
        floats = [arg.aval.dtype.kind == "f" for arg in node.args]
        if row.kind == "linear":
            values = [m.astype(float) if is_float else a.value
                      for m, a, is_float in zip(args, node.args, floats, strict=True)]  # fmt: skip
            if row.name == "contract":
                ones = [np.ones(arg.shape) for arg in node.args]
                made = row.value(Values, values[0], ones[1], **params) + row.value(Values, ones[0], values[1], **params)
            else:
                made = row.value(
                    Values, *values, **(params | ({"dtype": np.dtype(float)} if "dtype" in params else {}))
                )
            return np.asarray(made) > 0
        if row.kind == "reduction" or row.name in MULTILINEAR & {"prod"}:
            shape = reduced(node.args[0].shape, params["axes"], params["keepdims"])
            return args[0].any(axis=params["axes"]).reshape(shape)
        return np.full(node.shape, any(mask.any() for mask in args))

    return np.where(becomes_nan, spread(masks(True)), spread(masks(False)))


def _births_backward(top: Node, wrt: list[Node], told: Telling) -> tuple[list[tuple[Node, Origin]], dict[Node, int]]:
    """Payments that are not finite though their payer holds finite numbers, and that come through to a gradient."""
    gradient = Gradient(on_graph=False)
    bars = sweep(gradient, {top: seed_for(top)}, wrt, keep=everything)
    told.learn(ancestors([top]))
    dense = {node: gradient.dense(bar) for node, bar in bars.items() if not isinstance(bar, list)}
    bad = {node: bad_entries(bar) for node, bar in dense.items()}
    leaves_bad = {node: int(bad[node].sum()) for node in wrt if node in bad and bad[node].any()}
    if not leaves_bad:
        return [], {}
    links = Links("masks")
    places: set[Any] = set()  # sub-expressions that are known to be to blame
    origins: list[tuple[Node, Origin]] = []
    for node in sorted(bars, key=lambda node: -node.id):
        bar = bars[node]
        if node.op is PART:
            continue
        for slot, arg in enumerate(node.args):
            if arg not in bad or slot in node.op.no_edge or not bad[arg].any():
                continue
            paid = gradient.pull(node, slot, bar)
            if paid is None:
                continue
            amount = np.asarray(gradient.dense(gradient.total(arg, [(None, 0, paid)])))
            born = bad_entries(amount)
            if not born.any():
                continue
            if isinstance(bar, list):
                if any(part is not None and bad_entries(gradient.dense(part)).any() for part in bar):
                    continue
            elif bad[node].any():
                came = links.total(arg, [(None, 0, links.pull(node, slot, bad[node] * 1.0))])
                born = born & ~(np.asarray(came) != 0)
            if not born.any():
                continue
            place = (node.where[:2] if node.where is not None else node, node.op)
            if place in places or _reaches(arg, born, bad, wrt):
                places.add(place)
                origins.append((node, told.backward(node, slot, born, amount, dense.get(node))))
    for node in sorted(bars, key=lambda node: -node.id):  # sums that are too large
        if node in bad and bad[node].any() and node is not top and not origins:
            origins.append((node, told.summed(node, bad[node], dense[node])))
            break
    return origins, leaves_bad


def _reaches(arg: Node, born: Any, bad: dict[Node, Any], wrt: list[Node]) -> bool:
    if arg in wrt:
        return True
    found = sweep(Links("masks"), {arg: born * 1.0}, wrt)
    return any(np.any((np.asarray(mask) != 0) & bad[leaf]) for leaf, mask in found.items() if leaf in bad)


def _place(node: Node) -> Any:
    return node.where[:2] if node.where is not None and node.args else node


def _layers(top: Node, wrt: Sequence[Node], names: Mapping[Node, str]) -> dict[Node, str]:
    """Of nodes whose sub-expression is run by several layers: the leaf that was read last."""
    read = read_last(top, wrt, names)
    those: dict[Any, Counter[str]] = {}
    for node, name in read.items():
        those.setdefault((_place(node), node.op), Counter())[name] += 1
    alike = {key for key, count in those.items() if len(count) > 1 and len(set(count.values())) == 1}  # else a loop
    return {node: name for node, name in read.items() if (_place(node), node.op) in alike}


def rounds(top: Node) -> dict[Node, tuple[int, int]]:
    """Of nodes whose sub-expression is run several times: which time it is, from 1, and how many there are."""
    count: Counter[Any] = Counter()
    number: dict[Node, tuple[Any, int]] = {}
    for node in ancestors([top]):
        if node.where is not None and node.args:
            key = _place(node), node.op
            count[key] += 1
            number[node] = key, count[key]
    return {node: (k, count[key]) for node, (key, k) in number.items() if count[key] > 1}


def _grouped(
    found: list[tuple[Node, Origin]], top: Node, wrt: Sequence[Node], names: Mapping[Node, str]
) -> tuple[Origin, ...]:
    """Births at one sub-expression told once: the first of them, and how many there were."""
    if not found:
        return ()
    layers, runs = _layers(top, wrt, names), rounds(top)
    first: dict[Any, Origin] = {}
    for node, origin in found:
        key = (origin.phase, _place(node), origin.rule)
        old = first.get(key)
        if old is not None:
            first[key] = _again(old)
        elif node in layers:
            first[key] = replace(origin, after=layers[node])
        else:
            first[key] = replace(origin, run=runs.get(node, (0, 0)))
    return tuple(first.values())


def _again(origin: Origin) -> Origin:
    return replace(origin, times=origin.times + 1)


__all__ = ["Origin", "WhyNan", "nan_origins", "why_nan"]
