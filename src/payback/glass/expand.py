"""Number by number: a computation on arrays as the scalar one that it stands for, as far as chosen entries reach.

An array becomes an array of nodes, one for each entry that depends on the chosen ones and None for the others, which
are constants.  What only moves entries makes no nodes.  A sum is a chain of additions of two, in the order of its
entries; a product of matrices is products and such sums.  Entries keep the values that the array had: nothing is
computed anew but the partial sums.  A row that has no such form (a maximum, a solution) is one node for each entry of
its result, with its partials on the edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from operator import add, mul
from typing import Any

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.sweep import live_nodes, reach
from payback.errors import InputError
from payback.glass.entries import (
    Array,
    Labels,
    constant,
    no_collecting,
    nobody,
    objects,
    row_of_partials,
    scalar,
    scalars,
    there,
)
from payback.ir.aval import Avals
from payback.ir.node import NO_PARAMS, Node
from payback.ops.index import payment_positions
from payback.ops.namespace import Values
from payback.ops.row import INPUT, TABLE, Row
from payback.ops.several import PART

MOST = 3_000_000  # nodes
_MOVES = frozenset({"index", "reshape", "transpose", "broadcast", "concatenate", "stack"})
_ADD, _MUL, _DIV = TABLE["add"], TABLE["mul"], TABLE["div"]


class _Numbered:
    """Labels of parts: a sign and a number each, and none for what comes after the last number."""

    def __init__(self, sign: str, numbers: Any):
        self._sign, self._numbers = sign, numbers

    def __getitem__(self, k: int) -> str:
        return f"{self._sign}{self._numbers[k]}" if k < len(self._numbers) else ""


class Expansion:
    """The scalar computation behind `top`, as far as the entries `wanted` (leaf -> mask or None: all) reach.

    leaves    the scalar nodes of the wanted entries, in order
    entries   node -> the array of its scalar nodes
    labels    scalar node -> what it is
    """

    def __init__(self, top: Node, wanted: Mapping[Node, Array | None], most: int = MOST):
        self.most, self._made = most, 0
        self.entries: dict[Node, Any] = {}
        self.labels = Labels()
        self.leaves: list[Node] = []
        self._gradient = Gradient(on_graph=False)
        order, live = live_nodes(reach([top], min(leaf.id for leaf in wanted), list(wanted)), set(wanted))
        self._live = live
        self._used = {(node.args[0], node.params["k"]) for node in order if node.op is PART}
        with np.errstate(all="ignore"), no_collecting():
            for node in order:
                if any(arg in self.entries for slot, arg in enumerate(node.args) if slot not in node.op.no_edge):
                    self.entries[node] = self._expanded(node)
                if node in wanted:
                    self._leaf(node, wanted[node])
            for node in wanted:
                if node not in live:  # no path leads there, but it is asked for
                    self._leaf(node, wanted[node])

    def _leaf(self, node: Node, mask: Array | None) -> None:
        entries = self.entries.get(node)
        if entries is None:
            entries = self.entries[node] = nobody(node.shape)
        for index in np.ndindex(node.shape) if mask is None else map(tuple, np.argwhere(mask).tolist()):
            if entries[index] is None:
                entries[index] = self._node(INPUT, (), scalar(node.value, index), node, index)
            self.leaves.append(entries[index])

    def _node(
        self, row: Row, args: tuple[Node, ...], value: Any, of: Node, index: tuple[int, ...], part: str = ""
    ) -> Node:
        self._count(1)
        made = Node(row, args, NO_PARAMS, value, of.where)
        self.labels.parts(of, index, (part,), [made])
        return made

    def _count(self, number: int) -> None:
        self._made += number
        if self._made > self.most:
            raise InputError(f"the computation has more than {self.most:,} numbers",
                             why="every number that depends on the entry is a node of its own",
                             fix="take fewer samples, or an entry nearer to the top")  # fmt: skip

    def _expanded(self, node: Node) -> Any:
        row = node.op
        if row is PART:
            return self.entries[node.args[0]][node.params["k"]]
        if row.kind == "pointwise" or row.name == "cast":
            return self._pointwise(node)
        if row.name in _MOVES:
            return self._moved(node)
        rule = getattr(self, f"_{row.name}", None)
        return rule(node, **node.params) if rule is not None else self._whole(node)

    def _operands(self, node: Node) -> list[tuple[Any, Any]]:
        """(entries or None, values) of each argument, broadcast to the node's shape."""
        found = []
        for slot, arg in enumerate(node.args):
            entries = None if slot in node.op.no_edge else self.entries.get(arg)
            found.append((None if entries is None else np.broadcast_to(entries, node.shape),
                          np.broadcast_to(arg.value, node.shape)))  # fmt: skip
        return found

    def _pointwise(self, node: Node) -> Array:
        made = nobody(node.shape)
        operands = self._operands(node)
        live = np.zeros(node.shape, bool)
        for entries, _ in operands:
            if entries is not None:
                live = live | there(entries)
        indices = np.argwhere(live)
        self._count(len(indices))
        columns = []
        for entries, values in operands:
            column = None if entries is None else entries[live]
            if column is None or (column == None).any():  # noqa: E711
                numbers = map(constant, scalars(values[live]))
                column = [n if e is None else e for e, n in zip(column, numbers, strict=True)] if column is not None \
                    else list(numbers)  # fmt: skip
            columns.append(column)
        row, params, where = node.op, node.params, node.where
        values = scalars(np.broadcast_to(node.value, node.shape)[live])
        nodes = [
            Node(row, args, params, value, where)
            for args, value in zip(zip(*columns, strict=True), values, strict=True)
        ]
        self.labels.entries(node, indices, nodes)
        made[live] = nodes
        return made

    def _moved(self, node: Node) -> Array:
        """A row that only moves entries, run on their numbers."""
        sizes = [arg.aval.size if slot not in node.op.no_edge else 0 for slot, arg in enumerate(node.args)]
        starts = np.cumsum([0, *sizes[:-1]])
        operands = [
            np.arange(arg.aval.size).reshape(arg.shape) + start if arg.aval.dtype.kind == "f" else arg.value
            for arg, start in zip(node.args, starts, strict=True)
        ]
        source = np.asarray(node.op.value(Values, *operands, **node.params))
        pool = nobody((int(sum(sizes)),))
        for arg, start in zip(node.args, starts, strict=True):
            if (entries := self.entries.get(arg)) is not None:
                pool[start : start + arg.aval.size] = entries.ravel()
        return objects(pool[source], node.shape)

    def _scatter(self, node: Node, counts: tuple[int, ...], **params: Any) -> Array:
        made = nobody((node.aval.size,))
        terms: dict[int, list[Node]] = {}
        numbers = np.arange(node.aval.size).reshape(node.shape)
        for slot in payment_positions(counts):
            entries = self.entries.get(node.args[slot])
            if entries is None:
                continue
            target = node.op.adjoint(Values, numbers, slot, *[a.value for a in node.args], counts=counts, **params)
            for to, entry in zip(np.ravel(target).tolist(), np.broadcast_to(entries, np.shape(target)).ravel(),
                                 strict=True):  # fmt: skip
                if entry is not None:
                    terms.setdefault(to, []).append(entry)
        for to, summed in terms.items():
            index = tuple(int(i) for i in np.unravel_index(to, node.shape))
            value = scalar(node.value, index)
            made[to] = self._chain(node, index, summed, value != sum(term.value for term in summed), value)
        return made.reshape(node.shape)

    def _chain(
        self, node: Node, index: tuple[int, ...], terms: list[Node], rest: bool, value: Any, row: Row = _ADD
    ) -> Node:
        """terms[0] ∘ terms[1] ∘ … (∘ what is constant), whose value is known."""
        sign = "+" if row is _ADD else "·"
        total, where = terms[0], node.where
        nodes: list[Node] = []
        if len(terms) > 1:
            sums = itertools.accumulate((term.value for term in terms), add if row is _ADD else mul)
            for term, so_far in zip(terms, sums, strict=True):
                if term is not terms[0] or nodes:
                    total = Node(row, (total, term), NO_PARAMS, so_far, where)
                    nodes.append(total)
        if rest:
            other = value - total.value if row is _ADD else Values.div(value, total.value)
            total = Node(row, (total, constant(other)), NO_PARAMS, value, where)
            nodes.append(total)
        elif nodes:
            total.value = value
        self._count(len(nodes))
        self.labels.parts(node, index, _Numbered(sign, range(1, len(nodes))), nodes)
        return total

    def _groups(self, node: Node, axes: tuple[int, ...], keepdims: bool) -> Iterable[tuple[tuple[int, ...], Any]]:
        """(index of the result, entries that go into it) for those that live."""
        entries = self.entries[node.args[0]]
        kept = [axis for axis in range(entries.ndim) if axis not in axes]
        rows = entries.transpose([*kept, *axes]).reshape(*(entries.shape[a] for a in kept), -1)
        live = there(rows).any(axis=-1)
        for at in map(tuple, np.argwhere(live).tolist()):
            index = at
            if keepdims:
                full = [0] * entries.ndim
                for axis, i in zip(kept, at, strict=True):
                    full[axis] = i
                index = tuple(full)
            yield index, rows[at]

    def _sum(self, node: Node, axes: tuple[int, ...], keepdims: bool) -> Array:
        made = nobody(node.shape)
        for index, row in self._groups(node, axes, keepdims):
            terms = [entry for entry in row if entry is not None]
            made[index] = self._chain(node, index, terms, len(terms) < len(row), scalar(node.value, index))
        return made

    def _mean(self, node: Node, axes: tuple[int, ...], keepdims: bool) -> Array:
        made = nobody(node.shape)
        for index, row in self._groups(node, axes, keepdims):
            terms, value, count = [entry for entry in row if entry is not None], scalar(node.value, index), len(row)
            total = value * count
            whole = self._chain(node, index, terms, len(terms) < count, total)
            if len(terms) > 1 or len(terms) < count:
                self.labels.rename(whole, "Σ")
            made[index] = self._node(_DIV, (whole, constant(type(value)(count))), value, node, index)
        return made

    def _prod(self, node: Node, axes: tuple[int, ...], keepdims: bool) -> Array:
        values = np.asarray(node.args[0].value)
        made = nobody(node.shape)
        numbers = np.arange(values.size).reshape(values.shape)
        kept = [axis for axis in range(values.ndim) if axis not in axes]
        groups = numbers.transpose([*kept, *axes]).reshape(*(values.shape[a] for a in kept), -1)
        for index, row in self._groups(node, axes, keepdims):
            at = tuple(index[axis] for axis in kept) if keepdims else index
            factors = [
                constant(scalar(values.ravel(), (int(number),))) if entry is None else entry
                for entry, number in zip(row, groups[at], strict=True)
            ]
            made[index] = self._chain(node, index, factors, False, scalar(node.value, index), _MUL)
        return made

    def _cumsum(self, node: Node, axis: int, backwards: bool) -> Array:
        return self._running(node, axis, backwards, lambda before, here, k: (_ADD, (before, here)))

    def _cumprod(self, node: Node, axis: int, backwards: bool) -> Array:
        return self._running(node, axis, backwards, lambda before, here, k: (_MUL, (before, here)))

    def _running(self, node: Node, axis: int, backwards: bool, step: Any) -> Array:
        entries, values = self.entries[node.args[0]], np.asarray(node.args[0].value)
        made = nobody(node.shape)
        lines = [range(extent) for k, extent in enumerate(node.shape) if k != axis]
        places = range(node.shape[axis])[::-1] if backwards else range(node.shape[axis])
        for rest in itertools.product(*lines):
            before: Node | None = None
            last: tuple[int, ...] | None = None
            for i in places:
                index = (*rest[:axis], i, *rest[axis:])
                entry = entries[index]
                if before is None and entry is None:
                    last = index
                    continue
                here = constant(scalar(values, index)) if entry is None else entry
                if before is None and last is None:
                    before = here
                else:
                    row, args = step(constant(scalar(node.value, last or ())) if before is None else before, here, i)
                    before = self._node(row, args, scalar(node.value, index), node, index)
                made[index], last = before, index
        return made

    def _recurrence(self, node: Node, axis: int, backwards: bool) -> Array:
        (a_entries, a), (b_entries, b) = ((self.entries.get(arg), np.asarray(arg.value)) for arg in node.args)
        made = nobody(node.shape)
        lines = [range(extent) for k, extent in enumerate(node.shape) if k != axis]
        places = list(range(node.shape[axis]))[:: -1 if backwards else 1]
        for rest in itertools.product(*lines):
            last: tuple[int, ...] | None = None
            for i in places:
                index = (*rest[:axis], i, *rest[axis:])
                here = None if b_entries is None else b_entries[index]
                factor = None if a_entries is None else a_entries[index]
                before = None if last is None else made[last]
                if last is not None and (factor is not None or before is not None):
                    x = constant(scalar(a, index)) if factor is None else factor
                    y = constant(scalar(node.value, last)) if before is None else before
                    term = self._node(_MUL, (x, y), x.value * y.value, node, index, "·")
                    other = constant(scalar(b, index)) if here is None else here
                    here = self._node(_ADD, (term, other), scalar(node.value, index), node, index)
                made[index], last = here, index
        return made

    def _contract(self, node: Node, spec: tuple[str, str, str]) -> Array:
        """Σ over the letters that the result has not of the products, in their order."""
        left, right, out = spec
        summed = [c for c in left if c in right and c not in out]
        sides = []
        for letters, arg in zip((left, right), node.args, strict=True):
            free = [c for c in out if c in letters]
            axes = [letters.index(c) for c in (*free, *summed)]
            lead = [arg.shape[letters.index(c)] for c in free]
            values = np.asarray(arg.value).transpose(axes).reshape(*lead, -1)
            entries = self.entries.get(arg)
            entries = None if entries is None else entries.transpose(axes).reshape(*lead, -1)
            mask = None if entries is None else there(entries)
            sides.append(([out.index(c) for c in free], values, entries, mask))
        kept: dict[Any, dict[int, Node]] = {}

        def numbers(side: int, values: Array, i: tuple[int, ...], used: Array) -> dict[int, Node]:
            """Constants of a row by their places; each is made once, however many products it is in."""
            row = kept.setdefault((side, i), {})
            new = [k for k in used.tolist() if k not in row]
            row.update(zip(new, map(constant, scalars(values[i][new])), strict=True))
            return row

        made = nobody(node.shape)
        live = np.zeros(node.shape, bool)
        for places, _, _, mask in sides:
            if mask is not None:
                hit = mask.any(axis=-1)
                live |= np.broadcast_to(
                    np.expand_dims(hit, [i for i in range(len(out)) if i not in places]), node.shape
                )
        where = node.where
        for index in map(tuple, np.argwhere(live).tolist()):
            at = [tuple(index[i] for i in side[0]) for side in sides]
            masks = [side[3][i] for side, i in zip(sides, at, strict=True) if side[3] is not None]
            used = np.flatnonzero(masks[0] if len(masks) == 1 else masks[0] | masks[1])
            count, value = len(masks[0]), scalar(node.value, index)
            columns: list[list[Node]] = []
            for n, ((_, values, entries, mask), i) in enumerate(zip(sides, at, strict=True)):
                row = nobody(used.shape) if entries is None else entries[i][used]
                if mask is None or not mask[i].all():
                    fixed = numbers(n, values, i, used)
                    row = [fixed[k] if e is None else e for k, e in zip(used.tolist(), row.tolist(), strict=True)]
                columns.append(list(row))
            self._count(len(used))
            products = [a.value * b.value for a, b in zip(*columns, strict=True)] if count > 1 else [value]
            terms = [Node(_MUL, pair, NO_PARAMS, x, where)
                     for pair, x in zip(zip(*columns, strict=True), products, strict=True)]  # fmt: skip
            self.labels.parts(node, index, _Numbered("·", used) if count > 1 else ("",), terms)
            made[index] = self._chain(node, index, terms, len(terms) < count, value)
        return made

    def _whole(self, node: Node) -> Any:
        """One node for each entry of the result; its partials are found by paying from that entry alone."""
        several = isinstance(node.aval, Avals)
        avals: list[Any] = list(node.aval) if several else [node.aval]
        slots = [slot for slot, arg in enumerate(node.args) if arg in self.entries and slot not in node.op.no_edge]
        self._gradient.live = self._live
        answers = []
        for k, aval in enumerate(avals):
            made = nobody(aval.shape)
            unused = several and (node, k) not in self._used
            for index in () if unused else np.ndindex(aval.shape):
                unit = np.zeros(aval.shape, aval.dtype)
                unit[index] = 1
                bar: Any = unit[()]
                if several:
                    bar = [None] * len(avals)
                    bar[k] = unit[()]
                self._gradient._payments = (None, [])
                args: list[Node] = []
                partials: list[Any] = []
                for slot in slots:
                    paid = self._gradient.pull(node, slot, bar)
                    if paid is None:
                        continue
                    paid = self._gradient.total(node.args[slot], [(None, 0, paid)])
                    mask = np.broadcast_to(paid.mask, node.args[slot].shape) if type(paid) is Masked else None
                    amounts, entries = np.asarray(self._gradient.dense(paid)), self.entries[node.args[slot]]
                    candidates = there(entries)
                    candidates &= (amounts != 0) if mask is None else (amounts != 0) | ~mask
                    for at in map(tuple, np.argwhere(candidates).tolist()):
                        partial = scalar(amounts, at)
                        if partial != 0 or self._same_case(node, at, index):
                            args.append(entries[at])
                            partials.append(partial if mask is None or mask[at] else None)
                if args:
                    value = scalar(node.value[k] if several else node.value, index)
                    made[index] = self._node(row_of_partials(node.op, partials), tuple(args), value, node, index)
            answers.append(made)
        return answers if several else answers[0]

    def _same_case(self, node: Node, at: tuple[int, ...], index: tuple[int, ...]) -> bool:
        """Whether an entry that is paid nothing goes into that entry of the result all the same."""
        if node.op.kind != "reduction":
            return True
        axes, keepdims = node.params["axes"], node.params["keepdims"]
        mine = tuple(i for axis, i in enumerate(at) if axis not in axes)
        theirs = tuple(i for axis, i in enumerate(index) if axis not in axes) if keepdims else index
        return mine == theirs
