"""The namespace `m` on graphs: the same functions append nodes.  Rules run on it give derivatives as graphs."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from payback.ir.aval import Aval
from payback.ir.node import NO_PARAMS, Node
from payback.ops.append import apply, at_once, const
from payback.ops.namespace import Select
from payback.ops.row import CONST, TABLE, Row


class Term:
    """A node with the operators that rules use."""

    __slots__ = ("m", "node")
    __hash__ = None

    def __init__(self, node: Node, m: Recording):
        self.node, self.m = node, m

    def __add__(self, other: Any) -> Term:
        return self.m.apply("add", self, other)

    def __radd__(self, other: Any) -> Term:
        return self.m.apply("add", other, self)

    def __sub__(self, other: Any) -> Term:
        return self.m.apply("sub", self, other)

    def __rsub__(self, other: Any) -> Term:
        return self.m.apply("sub", other, self)

    def __mul__(self, other: Any) -> Term:
        return self.m.apply("mul", self, other)

    def __rmul__(self, other: Any) -> Term:
        return self.m.apply("mul", other, self)

    def __neg__(self) -> Term:
        return self.m.apply("neg", self)

    def __gt__(self, other: Any) -> Term:
        return self.m.apply("gt", self, other)

    def __ge__(self, other: Any) -> Term:
        return self.m.apply("ge", self, other)

    def __lt__(self, other: Any) -> Term:
        return self.m.apply("lt", self, other)

    def __le__(self, other: Any) -> Term:
        return self.m.apply("le", self, other)

    def __eq__(self, other: object) -> Term:
        return self.m.apply("eq", self, other)

    def __ne__(self, other: object) -> Term:
        return self.m.apply("ne", self, other)


def _changes_nothing(row: Row, aval: Aval, params: dict[str, Any]) -> bool:
    match row.name:
        case "broadcast" | "reshape":
            return bool(params["shape"] == aval.shape)
        case "sum":
            return params["axes"] == () and aval.dtype.kind == "f"
        case "cast":
            return params["dtype"] == aval.dtype and params["weak"] == aval.weak
        case "transpose":
            return params["axes"] == tuple(range(len(aval.shape)))
    return False


class Recording:
    """`m` for graphs.  `origin` is the `where` of the nodes that are appended."""

    @staticmethod
    def select(condition: Any, high: Any, low: Any) -> Any:
        """As on values a single condition that is known decides at once, such as whether a constant exponent is 0."""
        if type(condition) is Term and condition.node.op is CONST and not condition.node.shape:
            case = high if condition.node.value else low
            if case is not None:
                return case
        return Select(condition, high, low)

    def __init__(self) -> None:
        self.origin: Any = None

    def apply(self, name: str, *operands: Any, **params: Any) -> Term:
        row = TABLE[name]
        nodes = [operand.node if type(operand) is Term else operand for operand in operands]
        if not params and row.kind == "pointwise" and name != "select":
            node = at_once(row, nodes, self.origin)
            if node is not None:
                return Term(node, self)
        if row.kind == "linear" and type(operands[0]) is Term and _changes_nothing(row, nodes[0].aval, params):
            return operands[0]
        return Term(apply(row, nodes, self.origin, params or NO_PARAMS), self)

    def __getattr__(self, name: str) -> Callable[..., Term]:
        if name not in TABLE:
            raise AttributeError(name)

        def primitive(*operands: Any, **params: Any) -> Term:
            return self.apply(name, *operands, **params)

        self.__dict__[name] = primitive
        return primitive

    def where(self, condition: Any, high: Any, low: Any) -> Term:
        return self.apply("select", condition, high, low)

    def any(self, masks: list[Any]) -> Any:
        return reduce(lambda a, b: self.apply("logical_or", a, b), masks)

    def zeros(self, aval: Aval) -> Term:
        return Term(const(0.0 if aval.weak else np.zeros(aval.shape, aval.dtype)[()]), self)

    def constant(self, value: Any) -> Term:
        return Term(const(value), self)

    @staticmethod
    def shape(x: Any) -> tuple[int, ...]:
        return x.node.shape if type(x) is Term else getattr(x, "shape", ())

    @staticmethod
    def dtype(x: Term) -> np.dtype[Any]:
        return x.node.aval.dtype

    @staticmethod
    def is_weak(x: Term) -> bool:
        return x.node.aval.weak
