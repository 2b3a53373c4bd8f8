"""Loop fission (Allen & Kennedy 1987): what a scan's steps need not wait for is computed for all of them at once.

What depends on no carried value is computed before the scan, whose steps read it from a sequence; what no later step
needs, and the sums that a backward scan carries for its constants, are computed afterwards, from sequences that the
scan leaves.  Only what later steps wait for is left in the loop: elementary functions fill vectors across steps, and
products of all steps are one product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from string import ascii_letters
from typing import Any

from payback.ad.batch import Batch
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors, by_id
from payback.native.lower.products.product import flops_of
from payback.native.planning.groups import REDUCES, VIEWS
from payback.ops.recording import Recording, Term
from payback.ops.row import CONST
from payback.passes.rewrite import rewrite
from payback.trace.body import Body, fresh, rebuilt

LEAST = 4  # steps
MOST = 1 << 20  # entries of the sequences that are handed over: more would leave the caches
STEP = 1 << 12  # of them in one step
SHORT = 512  # entries of each: more fill vectors by themselves, but products of all steps read a matrix once
PRODUCT = 4096  # operations in a product
CHEAP = ("add", "sub", "mul", "neg", "abs", "select", "maximum", "minimum", "gt", "ge", "lt", "le", "eq", "ne", "relu",
         "sign", "clip", "logical_and", "logical_or", "logical_not", "stop_gradient")  # fmt: skip
_MOVED = (*VIEWS, *REDUCES, "cast", "contract", "concatenate", "stack", "part")


def fission(graph: Graph, prepared: Callable[[Graph], Graph]) -> Graph:
    """The graph with what its scans need not do step by step before and after them; equal to rounding.

    prepared: a body's graph as it is simplified.
    """
    if not any(node.op.name == "scan" for node in graph.nodes):
        return graph
    used: dict[Node, set[int]] = {}
    for node in graph.nodes:
        if node.op.name == "part":
            used.setdefault(node.args[0], set()).add(node.params["k"])
    results: dict[Node, dict[int, Node]] = {}

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name == "scan":
            split = _split(node, frozenset(used.get(node, ())), prepared)
            if split is not None:
                results[node] = split.emit(node, args)
                return next(iter(results[node].values()))  # nobody asks for the node itself
        if node.op.name == "part" and node.args[0] in results:
            return results[node.args[0]][node.params["k"]]
        return None

    return rewrite(graph, rule, "scan", "part")


def _may_move(node: Node) -> bool:
    """Whether a row does the same for many steps as for one, and cannot fail."""
    name = node.op.name
    if name == "index":
        return len(node.args) == 1
    if name == "scan":  # of the steps of a scan around it
        return all(inner.op is CONST or _may_move(inner) for inner in node.params["body"].graph.nodes)
    return node.op.kind in ("pointwise", "reduction") or name in _MOVED


def _is_work(node: Node) -> bool:
    """Whether it costs more than to read what it gives."""
    if node.op.name == "scan":
        return True
    if node.op.name == "contract":
        return flops_of(node.params["spec"], *(arg.aval.shape for arg in node.args)) >= PRODUCT
    return node.op.kind == "pointwise" and node.op.name not in CHEAP


def _split(node: Node, used: frozenset[int], prepared: Callable[[Graph], Graph]) -> Split | None:
    """How a scan is split, found once for its body; None where it stays as it is."""
    params = node.params
    body, length = params["body"], params["length"]
    key = ("fission", params["constants"], params["carried"], length, used)
    if key not in body.derived:
        body.derived[key] = None
        if length >= LEAST and used:
            split = Split(prepared(body.graph), params["constants"], params["carried"], length, used)
            if (split.early or split.late or split.sums) and split.is_small():
                body.derived[key] = split
    return body.derived[key]


class Split:
    """A body in three parts.

    early  nodes that the loop reads from sequences, or from constants where they are the same in all steps
    left   nodes that the loop leaves as sequences, for what is computed afterwards
    late   results that are computed from those, by their numbers
    sums   what is added in a step to carried values that are sums, by their numbers
    """

    def __init__(self, graph: Graph, constants: int, carried: int, length: int, used: frozenset[int]):
        self.carried, self.length = carried, length
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.fixed, self.state = self.inputs[:constants], self.inputs[constants : constants + carried]
        self.sequences = self.inputs[constants + carried :]
        self._look_ahead(graph)
        sums = self._sums(graph, used)
        waiting = [self.outputs[k] for k in range(carried) if k not in sums]
        waiting += [node for node in graph.nodes if node not in self.ready and not _may_move(node)]
        self.waited = set(ancestors(waiting, cut=frozenset(self.inputs)))
        made = {k: self.outputs[k] for k in range(carried, len(self.outputs)) if k in used}
        self.late = {k: node for k, node in made.items() if self._saves(node)}
        self.sums = {k: node for k, node in sums.items() if self._saves(node)}
        self.kept = [k for k in made if k not in self.late]
        self.rest = [k for k in range(carried) if k not in self.sums]
        terms = [term for node in self.sums.values() for term in self._terms(node)]
        self.tops = list(dict.fromkeys([*self.late.values(), *terms]))
        self.given, _ = _reached(self.tops, self._is_given)
        self.left = [node for node in self.given if node not in self.ahead and node not in self.inputs]
        of_loop = [*(self.outputs[k] for k in (*self.rest, *self.kept)), *self.left]
        self.early = [node for node in _reached(of_loop, self.ahead.__contains__)[0] if node in self.ahead]
        self.body, self.takes = self._loop(of_loop)

    def _look_ahead(self, graph: Graph) -> None:
        """What waits for nothing that is carried (`ready`), what of it is worth being computed ahead, and what is
        another in each step."""
        self.ready, self.varies = {*self.fixed, *self.sequences}, set(self.sequences)
        self.ahead: set[Node] = set()
        for node in graph.nodes:
            if node.op is CONST:
                self.ready.add(node)
            elif _may_move(node) and all(arg in self.ready for arg in node.args):
                self.ready.add(node)
                if any(arg in self.varies for arg in node.args):
                    self.varies.add(node)
                if _is_work(node) or any(arg in self.ahead for arg in node.args):
                    self.ahead.add(node)

    def _sums(self, graph: Graph, used: frozenset[int]) -> dict[int, Node]:
        """What is added to carried values that nothing else looks at."""
        users = Counter(arg for node in graph.nodes for arg in node.args)
        users.update(self.outputs)
        found = {}
        for k, (node, out) in enumerate(zip(self.state, self.outputs, strict=False)):
            if out.op.name == "add" and users[node] == users[out] == 1 and len(self.outputs) + k not in used:
                others = [arg for arg in out.args if arg is not node]
                if len(others) == 1 and others[0].aval == out.aval == node.aval and out.aval.dtype.kind == "f":
                    found[k] = others[0]
        return found

    def _is_given(self, node: Node) -> bool:
        """Whether what is computed afterwards need not compute a node."""
        return node in self.inputs or node in (self.ahead if node in self.ready else self.waited)

    def _saves(self, node: Node) -> bool:
        """Whether a node is better computed outside of the loop."""
        return node in self.ahead or any(map(_is_work, _reached([node], self._is_given)[1]))

    def _terms(self, node: Node) -> list[Node]:
        """What a sum over the steps is made of: it is done before what is linear."""
        if not self._is_given(node):
            if node.op.name in ("add", "transpose") and all(a.aval.size == node.aval.size for a in node.args):
                return [term for arg in node.args for term in self._terms(arg)]
            if node.op.name == "contract":
                return list(node.args)
        return [node]

    def is_small(self) -> bool:
        """Whether what is handed over stays near, and something is gained by it."""
        sizes = [node.aval.size for node in (*self.early, *self.left) if not self._is_same(node)]
        moved = (*self.ahead, *_reached(self.tops, self._is_given)[1], *self.sums.values())
        gains = max(sizes, default=0) <= SHORT or any(node.op.name == "contract" and _is_work(node) for node in moved)
        most = max(sum(sizes), sum(node.aval.size for node in self.tops))
        return gains and sum(sizes) <= STEP and self.length * most <= MOST

    def _loop(self, outputs: Sequence[Node]) -> tuple[Body, tuple[list[Node], list[Node], list[Node]]]:
        """The loop's body, and for which nodes its inputs stand: constants, what is carried, sequences."""
        outer = frozenset((*self.inputs, *self.early))
        needed = {node for node in ancestors(outputs, cut=outer) if node in outer}
        fixed = [node for node in (*self.fixed, *self.early) if node in needed and node not in self.varies]
        moving = [node for node in (*self.sequences, *self.early) if node in needed and node in self.varies]
        takes = fixed, [self.state[k] for k in self.rest], moving
        given = {node: fresh(node.aval) for part in takes for node in part}
        return Body(list(given.values()), rebuilt(outputs, given)), takes

    def emit(self, scan: Node, args: Sequence[Node]) -> dict[int, Node]:
        """The nodes in the places of the scan's parts, by their numbers."""
        m = Recording()
        m.origin = scan.where
        batch = Batch(m, self.length, Body)
        terms = {node: Term(arg, m) for node, arg in zip(self.inputs, args, strict=True)}
        known = list(dict.fromkeys([*self.early, *(node for node in self.given if node in self.ahead)]))
        self._compute(batch, [*self.fixed, *self.sequences], known, terms)
        results: dict[int, Any] = {}
        if self.body.graph.outputs:
            fixed, state, _ = self.takes
            ran = m.scan(*(terms[node] for part in self.takes for node in part), body=self.body, constants=len(fixed),
                         carried=len(state), length=self.length, backwards=scan.params["backwards"])  # fmt: skip
            names = [*self.rest, *self.kept, *self.left, *(len(self.outputs) + k for k in self.rest)]
            for place, name in enumerate(names):
                (terms if isinstance(name, Node) else results)[name] = m.part(ran, k=place)
            terms |= {self.state[k]: results[len(self.outputs) + k] for k in self.rest}
        first = {k: terms[self.state[k]] for k in self.sums}
        self._compute(batch, self.given, self.tops, terms)
        results |= {k: self._along(m, node, terms) for k, node in self.late.items()}
        results |= {k: first[k] + self._total(m, node, terms) for k, node in self.sums.items()}
        return {k: term.node for k, term in results.items()}

    def _compute(self, batch: Batch, given: Sequence[Node], wanted: Sequence[Node], terms: dict[Node, Any]) -> None:
        """Of all steps at once."""
        on, force = ([not self._is_same(node) for node in nodes] for nodes in (given, wanted))
        made, _ = batch.graph(Graph(given, wanted), [terms[node] for node in given], on, force)
        terms.update(zip(wanted, made, strict=True))

    def _is_same(self, node: Node) -> bool:
        """Whether a node is the same in all steps."""
        return node in self.ready and node not in self.varies

    def _along(self, m: Recording, node: Node, terms: dict[Node, Any]) -> Any:
        """A node of all steps, as a sequence."""
        return m.broadcast(terms[node], shape=(self.length, *node.aval.shape)) if self._is_same(node) else terms[node]

    def _summed(self, m: Recording, node: Node, terms: dict[Node, Any]) -> Any:
        if self._is_same(node):
            return terms[node] * float(self.length)
        return m.sum(terms[node], axes=(0,), keepdims=False)

    def _total(self, m: Recording, node: Node, terms: dict[Node, Any]) -> Any:
        """The sum of a node over the steps."""
        if self._terms(node) == [node]:
            return self._summed(m, node, terms)
        if node.op.name == "add":
            left, right = (self._total(m, arg, terms) for arg in node.args)
            return left + right
        if node.op.name == "transpose":
            return m.transpose(self._total(m, node.args[0], terms), **node.params)
        a, b, out = node.params["spec"]
        x, y = node.args
        if self._is_same(x):  # Σ W·xₜ is W·Σ xₜ
            return m.contract(terms[x], self._summed(m, y, terms), spec=(a, b, out))
        if self._is_same(y):
            return m.contract(self._summed(m, x, terms), terms[y], spec=(a, b, out))
        letter = next(c for c in ascii_letters if c not in a + b)
        return m.contract(terms[x], terms[y], spec=(letter + a, letter + b, out))


def _reached(tops: Sequence[Node], stop: Callable[[Node], bool]) -> tuple[list[Node], list[Node]]:
    """The nodes that ways from the tops stop at, and those on the way, both in ascending id."""
    seen, ends, inside = set(tops), [], []
    stack = list(seen)
    while stack:
        node = stack.pop()
        if stop(node):
            ends.append(node)
            continue
        inside.append(node)
        for arg in node.args:
            if arg not in seen:
                seen.add(arg)
                stack.append(arg)
    return sorted(ends, key=by_id), sorted(inside, key=by_id)
