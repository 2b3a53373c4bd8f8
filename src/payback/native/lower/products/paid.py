"""Products whose entries are payments to windows: each is added where it belongs, and the product itself is nowhere.

A convolution is a product with a view of windows.  What it pays back is a product, too, and the sum of that over all
windows that an entry was in (the transposed convolution; im2col's inverse): the result's windows are a view like any
other, and products are added to views.
"""

from __future__ import annotations

from math import gcd
from typing import Any

from payback.ir.node import Node
from payback.native.planning import even, layout
from payback.native.planning.layout import View


def windows(planner: Any, node: Node) -> list[Node] | None:
    """What stands between a product and the total of what it pays to windows, which comes last."""
    steps: list[Node] = []
    end = node
    while end not in planner.wanted and len(users := planner.users.get(end, ())) == 1:
        (user,) = users
        one = user.op.name == "scatter" and len(user.params["counts"]) == 1 and user.args[0] is end
        if user.aval.dtype != node.aval.dtype or not (one or user.op.name == "transpose"):
            break
        steps.append(user)
        end = user
    while steps and steps[-1].op.name != "scatter":
        steps.pop()
    return steps if steps and node.aval.size > steps[-1].aval.size else None


def place(steps: list[Node], total: View) -> View | None:
    """Where in the total a product lies; None where that is no view."""
    lies: View | None = total
    for step in reversed(steps):
        assert lies is not None
        if step.op.name == "transpose":
            axes = step.params["axes"]
            lies = layout.transposed(lies, tuple(map(axes.index, range(len(axes)))))
            continue
        contents = even.known(step.args[1:])
        lies = None if contents is None else even.view(lies, step.params["templates"][0], contents)
        if lies is None:
            return None
    return lies


def by_columns(spec: Any, a: View, b: View, turned: bool, lies: View) -> tuple[Any, View]:
    """The operand that has the columns, its axes in the order in which they are neighbors, as they are in the result,
    once it is copied; after what the product is then."""
    letters, out = spec[not turned], spec[2]
    along = dict(zip(out, lies.strides, strict=True))
    now = "".join(sorted(letters, key=lambda c: (c in out, -along.get(c, 0))))
    view = layout.transposed((b, a)[turned], tuple(map(letters.index, now)))
    return ((now, spec[1], out) if turned else (spec[0], now, out)), view


def alone(axis: int, extents: list[int], strides: list[int]) -> bool:
    """Whether entries of a view that differ along an axis differ in place, whatever the other axes say."""
    others = [(n, stride) for k, (n, stride) in enumerate(zip(extents, strides, strict=True)) if k != axis and n > 1]
    own = strides[axis]
    if extents[axis] == 1:
        return True
    if own <= 0 or min((stride for _, stride in others), default=0) < 0:
        return False
    below = sum((n - 1) * stride for n, stride in others if stride < own)
    above = [stride for _, stride in others if stride >= own]
    apart = not any(stride % own for stride in above) and (not above or gcd(*above) >= own * extents[axis])
    return apart and below < own
