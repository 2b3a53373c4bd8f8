"""Indices in one form: an ellipsis as the axes that it stands for, part of what an index array picks at once."""

from __future__ import annotations

from typing import Any

from payback.ir.node import Node
from payback.ops.index import Place, payment_positions

_ALL = slice(None)


def spelled(node: Node, args: tuple[Node, ...]) -> Node:
    """x[..., 0] as x[:, 0], and payments alike, so that no pass need know of ellipses.

    One that stands for no axis is left: it parts index arrays, which decides where their axes come to lie.  So is one
    beside a mask, which takes as many axes as it has.
    """
    index = node.op.name == "index"
    templates = (node.params["template"],) if index else node.params["templates"]
    if not any(Ellipsis in template for template in templates):
        return node
    values = {0} if index else set(payment_positions(node.params["counts"]))
    if any(arg.aval.dtype.kind == "b" for at, arg in enumerate(args) if at not in values):
        return node
    ndim = len((args[0] if index else node).aval.shape)
    written = tuple(_written_out(template, ndim) if Ellipsis in template else template for template in templates)
    if written == templates:
        return node
    params = {**node.params, **({"template": written[0]} if index else {"templates": written})}
    return Node(node.op, args, params, None, node.where, node.aval)


def _written_out(template: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    at, used = template.index(Ellipsis), sum(part is not None and part is not Ellipsis for part in template)
    return (*template[:at], *[_ALL] * (ndim - used), *template[at + 1 :]) if used < ndim else template


def composed(node: Node, args: tuple[Node, ...]) -> Node | None:
    """x[i][:, 3] is x[i, 3]: the rows need not be put together for it."""
    x = args[0]
    if len(args) != 1 or x.op.name != "index" or x.params["template"] != (Place(0),) or len(x.args) != 2:
        return None
    taken, places = node.params["template"], len(x.args[1].aval.shape)
    front, rest = taken[:places], taken[places:]
    if len(front) < places or not places or any(type(part) is not slice or part != _ALL for part in front):
        return None
    if not rest or any(type(part) not in (int, slice) for part in rest):
        return None
    return Node(node.op, x.args, {"template": (Place(0), *rest)}, None, node.where, node.aval)
