"""Why a partial is 0: the factor that is, the place where the function is flat, or that it has a kink there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from payback.ir.node import Node
from payback.ir.where import position, written_operands
from payback.ops.namespace import Values
from payback.ops.reduce import spread
from payback.ops.row import CONST

_FACTS = {"relu": "dead: its input is not above 0", "clip": "outside of the limits",
          "maximum": "dead: it is below the limit", "minimum": "it is above the limit",
          "fmax": "dead: it is below the limit", "fmin": "it is above the limit", "prod": "another factor is 0",
          "cumprod": "another factor is 0", "exp": "saturated: its result is nearer to 0 than any number",
          "logsumexp": "saturated: it is too small beside the largest"}  # fmt: skip
_LONGEST = 40  # of a factor's text


def why_flat(node: Node, arg: Node, stopped: Any, names: Mapping[Node, str]) -> str:
    """Why a node pays nothing to the entries `stopped`, a mask, of one of its arguments."""
    name, rule = node.op.name, str(node.op.facts.get("math", ""))
    if name in ("mul", "contract"):
        return _other(node, arg, names)
    if name == "div":
        if node.args[0] is arg:
            return "the denominator is infinite"
        a, b = (_there(x, arg, stopped) for x in node.args)
        if np.any(a == 0):
            return "the numerator is 0"
        return "the denominator is infinite" if np.isinf(b).any() else "its partial −y/b is nearer to 0 than any number"
    if name == "power" and node.args[0] is arg:
        a, b = (_there(x, arg, stopped) for x in node.args)
        if np.any(b == 0):
            return "its exponent is 0"
        return "what is raised is 0" if np.any(a == 0) else "its partial b·a**(b−1) is nearer to 0 than any number"
    if name in _FACTS:
        return _FACTS[name]
    kink = str(node.op.facts.get("kink", ""))
    if kink.endswith("taken as 0") and _at_kink(node, arg, stopped):
        return f"at its kink, {kink.removesuffix(', taken as 0')}: there its derivative is taken as 0"
    flat = node.op.facts.get("flat")
    return f"flat: {flat}" if flat else f"flat: its partial {rule} is 0" if rule else "flat: its partial is 0"


def _other(node: Node, arg: Node, names: Mapping[Node, str]) -> str:
    slot = node.args.index(arg)
    other = node.args[1 - slot]
    texts = written_operands(node.where)
    place = position(other.where) if other.op is not CONST else None
    text = names.get(other) or (texts[1 - slot] if len(texts) == 2 else place.text if place is not None else "")
    return f"the other factor, {text}, is 0 there" if 0 < len(text) <= _LONGEST else "the other factor is 0"


def _there(node: Node, arg: Node, stopped: Any) -> Any:
    """The numbers of an operand, or of the result, that belong to these entries of an argument."""
    value = np.asarray(node.value)
    shape = np.broadcast_shapes(value.shape, arg.shape)
    return np.broadcast_to(value, shape)[np.broadcast_to(stopped, shape)]


def _at_kink(node: Node, arg: Node, stopped: Any) -> bool:
    """Whether all operands are 0 there, as in all kinks that 0 stands for; of a norm the norm."""
    if node.op.kind == "pointwise":
        return all((_there(x, arg, stopped) == 0).all() for x in node.args)
    if node.op.kind != "reduction":
        return False
    norms = spread(Values, np.asarray(node.value), arg.shape, **node.params)
    return bool((np.broadcast_to(norms, arg.shape)[stopped] == 0).all())
