"""Variables that compiled functions use: while one is traced, an input stands for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from payback.ir.node import Node
from payback.trace.array import NODE_TYPES, Traced, Variable, become
from payback.trace.refusals.asked import not_known


class Shared(Variable):
    """A variable that compiled functions use: while one is traced, an input without a number stands for it there."""

    __slots__ = ()

    @property
    def node(self) -> Node:
        stand = _stands.get().get(id(self))
        return _slot.__get__(self) if stand is None else stand

    @node.setter
    def node(self, node: Node) -> None:
        _slot.__set__(self, node)

    def _look(self) -> None:
        node = self.node
        if node.value is None:
            raise not_known(node.params.get("name"))

    @property
    def value(self) -> Any:
        """As of any variable.  Raises TraceError while a function that uses it is compiled."""
        self._look()
        return _variable_value.fget(self)

    @value.setter
    def value(self, new: Any) -> None:
        self._look()
        _variable_value.fset(self, new)

    @property
    def grad(self) -> Any:
        self._look()
        return self.node.grad


_slot: Any = Traced.node  # the slot itself, beneath the property
_variable_value: Any = Variable.value
_stands: ContextVar[dict[int, Node]] = ContextVar("stands", default={})  # noqa: B039  (never written into)


@contextmanager
def standing(variables: Sequence[Variable], inputs: Sequence[Node]) -> Iterator[None]:
    """Meanwhile, here, these inputs stand for the variables."""
    for variable in variables:
        become(variable, Shared)
    token = _stands.set({id(variable): node for variable, node in zip(variables, inputs, strict=True)})
    try:
        yield
    finally:
        _stands.reset(token)


NODE_TYPES.add(Shared)
