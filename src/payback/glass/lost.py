"""Where what nodes are owed becomes 0 though no partial is: products that are too small, payments that cancel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient
from payback.ad.paths import Links
from payback.ad.sweep import sweep
from payback.ir.node import Node
from payback.ops.several import PART


@dataclass(slots=True)
class Lost:
    """Entries of nodes that are owed 0, and the payers of one sub-expression that hold something else.

    kind: "underflow" or "cancellation".  entries: a mask for each node that is paid.
    """

    kind: str
    payers: list[Node] = field(default_factory=list)
    entries: dict[Node, Any] = field(default_factory=dict)

    def below(self, leaf: Node) -> Any:
        """A mask: the entries of a leaf that these lead to."""
        found = sweep(Links("nonzero"), {node: mask * 1.0 for node, mask in self.entries.items()}, [leaf])
        return np.broadcast_to(np.not_equal(found[leaf], 0) if leaf in found else False, leaf.shape)

    @property
    def size(self) -> int:
        return sum(node.aval.size for node in self.entries)

    @property
    def count(self) -> int:
        return sum(int(mask.sum()) for mask in self.entries.values())


def lost(bars: Mapping[Node, Any], gross: Mapping[Node, Any], linked: Mapping[Node, Any]) -> list[Lost]:
    """The places where it happens, from the top down.

    Of each node: bars, what it is owed; gross, what it would be owed if nothing cancelled; linked, whether anything
    leads to it along partials that are not 0.
    """
    dense = {node: Gradient(False).dense(bar) for node, bar in bars.items() if not isinstance(bar, list)}
    zero = {node: np.equal(bar, 0) & np.not_equal(linked.get(node, 0), 0) for node, bar in dense.items()}
    links = Links("nonzero")
    found: dict[Any, Lost] = {}
    for node, bar in dense.items():
        if node.op is PART or not np.any(bar):
            continue
        for slot, arg in enumerate(node.args):
            if slot in node.op.no_edge or arg not in zero or not zero[arg].any():
                continue
            paid = links.pull(node, slot, np.not_equal(bar, 0) * 1.0)
            if paid is None:
                continue
            born = zero[arg] & np.not_equal(links.total(arg, [(None, 0, paid)]), 0)
            for kind, mask in _told_apart(born, gross[arg]):
                place = arg if kind == "cancellation" else node
                where = place.where[:2] if place.where is not None else place
                group = found.setdefault((kind, where, place.op), Lost(kind))
                if node not in group.payers:
                    group.payers.append(node)
                group.entries[arg] = group.entries.get(arg, False) | mask
    return list(found.values())


def _told_apart(born: Any, gross: Any) -> Iterator[tuple[str, Any]]:
    small = np.equal(gross, 0)
    for kind, mask in (("underflow", born & small), ("cancellation", born & ~small)):
        if np.any(mask):
            yield kind, np.asarray(mask)


def fact_of(group: Lost, texts: Sequence[str]) -> str:
    """What happens there; texts: what the payers are called."""
    node = next(iter(group.entries))
    if group.kind == "underflow":
        least = float(np.finfo(node.aval.dtype).smallest_subnormal)
        return f"what it pays is nearer to 0 than any {node.aval.dtype}, {least:.3g}"
    told = list(dict.fromkeys(texts))
    return f"what it is paid by {' and '.join(told[:3])}{' and others' if len(told) > 3 else ''} adds up to 0"
