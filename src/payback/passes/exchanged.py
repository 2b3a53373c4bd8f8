"""A product whose axes are put in another order is a product that is made in that order: (A·B)ᵀ = Bᵀ·Aᵀ.

What a program multiplies with a transpose, it pays through one: the product would be written to memory, and then copied
across.
"""

from __future__ import annotations

from collections import Counter

from payback.ir.graph import Graph
from payback.ir.node import Node
from payback.passes.rewrite import Change, rewrite


def exchanged(graph: Graph) -> tuple[Graph, list[Change]]:
    """The graph with such products; every entry is the same sum."""
    log: list[Change] = []
    users = Counter(arg for node in graph.nodes for arg in node.args)
    users.update(graph.outputs)

    def rule(node: Node, args: tuple[Node, ...]) -> Node | None:
        if node.op.name != "transpose" or args[0].op.name != "contract" or users[node.args[0]] > 1:
            return None
        product = args[0]
        left, right, out = product.params["spec"]
        wanted = "".join(out[axis] for axis in node.params["axes"])
        if not _is_product(left, right, wanted):
            return None
        made = Node(product.op, product.args, {"spec": (left, right, wanted)}, None, product.where, node.aval)
        log.append(Change(node, made, "a product's axes in another order"))
        return made

    return rewrite(graph, rule, "transpose"), log


def _is_product(left: str, right: str, out: str) -> bool:
    """Whether rows and columns of the result follow the batch, each in the order in which an operand has them.

    >>> _is_product("bij", "bjk", "bki"), _is_product("bij", "bjk", "kbi"), _is_product("ijz", "zk", "kji")
    (True, False, False)
    """
    batch = "".join(c for c in out if c in left and c in right)
    rows = "".join(c for c in left if c in out and c not in right)
    columns = "".join(c for c in right if c in out and c not in left)
    return out in (batch + rows + columns, batch + columns + rows)
