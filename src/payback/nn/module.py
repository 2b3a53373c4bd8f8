"""Modules: networks as immutable trees whose leaves are their parameters.

A subclass is a frozen dataclass.  Its array fields are parameters, its module fields are parts, and fields made
with `static()` are neither: names, sizes, options.  An `__init__` of one's own assigns each field once.  Training
returns a new module.

>>> import numpy as np, payback as pb
>>> class Scale(pb.nn.Module):
...     factor: np.ndarray
...     def __call__(self, x):
...         return x * self.factor
>>> Scale(np.array([2.0, 3.0]))(np.ones(2))
array([2., 3.])
>>> class Bump(pb.nn.Module):
...     center: np.ndarray
...     def __init__(self, n):
...         self.center = np.zeros(n)
...     def __call__(self, x):
...         return np.exp(-np.sum((x - self.center) ** 2, axis=-1))
>>> Bump(3)
Bump(center=float64[3])
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Self, dataclass_transform

import numpy as np

from payback.elsewhere import missing_method
from payback.errors import FieldError, InputError, ShapeError
from payback.ir.arguments import answered, told
from payback.trace.tree import leaves, paths, unflatten


def static(**options: Any) -> Any:
    """A dataclass field that is part of a module's structure, not a parameter.  Takes `default=` and the like.

    >>> import payback as pb
    >>> class Power(pb.nn.Module):
    ...     factor: float
    ...     exponent: int = pb.nn.static(default=2)
    ...     def __call__(self, x):
    ...         return self.factor * x**self.exponent
    >>> pb.grad(lambda net: net(3.0))(Power(1.0)).factor
    9.0
    """
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(field_specifiers=(static,))  # not frozen: __init__ assigns
class Module:
    """The base of all layers and networks: a class with typed fields and `__call__`.

    Fields that hold arrays are parameters, fields that hold modules are parts, and `static()` ones are options.  A
    module does not change; `replace` makes another.
    Raises FieldError where a field is assigned again, or is not declared.

    >>> import numpy as np, payback as pb
    >>> class Scale(pb.nn.Module):
    ...     factor: np.ndarray
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> net = Scale(np.array([2.0, 3.0]))
    >>> pb.grad(lambda net: net(np.ones(2)).sum())(net)
    Scale(factor=float64[2])
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        base, given = cls.__mro__[1], "__init__" in cls.__dict__
        dataclasses.dataclass(frozen=True, eq=False, repr=False, init=not given)(cls)
        init = cls.__init__
        if not given and dataclasses.is_dataclass(base) and _fields(cls) == _fields(base):
            init = inspect.getattr_static(base, "__init__").__wrapped__  # which may be written by hand
        name = f"pb.nn.{cls.__name__}" if _is_own(cls) else cls.__qualname__
        type.__setattr__(cls, "__init__", answered(name)(init))
        del cls.__setattr__  # a dataclass's own would refuse what __init__ assigns, and say no cure

    def __setattr__(self, name: str, value: Any) -> None:
        """Fields are assigned once, by `__init__`.  Raises FieldError for the rest."""
        if name in self.__dict__:
            raise FieldError(
                f"{type(self).__name__}.{name} was assigned again",
                why="a module does not change, so that gradients and trainings know what it was",
                fix=f"make another: net.replace({name}=…)",
            )
        self._check_declared(name, value)
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:  # which would let it pass any name

        def __getattr__(self, name: str) -> Any:
            raise missing_method("a module", self, name)

    def _check_declared(self, name: str, value: Any) -> None:
        kind = type(self).__name__
        if name not in {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise FieldError(
                f"{kind} has no field {name!r}",
                why="what is not declared would not be trained, nor saved",
                fix=f"write `{name}: {_kind(value)}` in the class {kind}, "
                f"or `{name}: int = pb.nn.static()` for an option",
            )

    def replace(self, **fields: Any) -> Self:
        """The same module with other values in these fields.  Raises FieldError for names of no field.

        >>> import numpy as np, payback as pb
        >>> line = pb.nn.Linear(2, 1, key=pb.random.key(0))
        >>> line.replace(weight=np.array([[1.0], [2.0]]), bias=None)(np.ones((1, 2)))
        array([[3.]])
        """
        for name, value in fields.items():
            self._check_declared(name, value)
        twin = copy(self)
        for name, value in fields.items():
            object.__setattr__(twin, name, value)
        return twin

    def __call__(self, x: Any) -> Any:
        """The module's result for a batch: rows are samples."""
        how = "rename forward to __call__" if hasattr(type(self), "forward") else "define __call__"
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: {how}")

    def __repr__(self) -> str:
        parts = ", ".join(
            f"{field.name}={_brief(getattr(self, field.name))}"
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
        )
        return f"{type(self).__name__}({parts})"


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith("payback.nn.")


def _kind(value: Any) -> str:
    """The type that a field for this value is declared with."""
    if isinstance(value, Module):
        return f"pb.nn.{type(value).__name__}" if _is_own(type(value)) else type(value).__name__
    return type(value).__name__ if isinstance(value, (list, tuple, dict)) else "np.ndarray"


def _brief(value: Any) -> str:
    if isinstance(value, (np.ndarray, np.generic)):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_brief, value))})"
    return repr(value)


@told("pb.nn.parameters")
def parameters(module: Any) -> dict[str, Any]:
    """The parameters by their paths: `layers[0].weight` and so on.

    >>> import payback as pb
    >>> {name: p.shape for name, p in pb.nn.parameters(pb.nn.MLP([2, 3, 1])).items()}
    {'layers[0].weight': (2, 3), 'layers[0].bias': (3,), 'layers[2].weight': (3, 1), 'layers[2].bias': (1,)}
    """
    return {path.lstrip("."): leaf for path, leaf in zip(paths(module), leaves(module), strict=True)}


@told("pb.nn.with_parameters")
def with_parameters(module: Any, values: Mapping[str, Any]) -> Any:
    """The same module with other parameters, by the paths that `parameters` tells; those that are not named stay.

    values: arrays in the shapes of the module's, of any file or library; they take its dtypes.  PyTorch has the weights
    of linear layers transposed.
    Raises InputError for other paths and for what holds no numbers, ShapeError for other shapes.

    >>> import numpy as np, payback as pb
    >>> net = pb.nn.MLP([2, 3, 1], seed=0)
    >>> kept = {name: p.copy() for name, p in pb.nn.parameters(net).items()}  # or np.load("weights.npz")
    >>> again = pb.nn.with_parameters(pb.nn.MLP([2, 3, 1], seed=1), kept)
    >>> np.array_equal(again.layers[0].weight, net.layers[0].weight)
    True
    """
    made = parameters(module)
    for path in values:
        if path not in made:
            close = difflib.get_close_matches(str(path), made, 1)
            raise InputError(f"there is no parameter {path!r:.60}", why=f"there are {', '.join(made):.300}",
                             fix=f"did you mean {close[0]!r}?" if close else None)  # fmt: skip
        value, old = np.asarray(values[path]), made[path]
        if value.dtype.kind not in "fiu":
            raise InputError(f"{path} holds {value.dtype}", why="parameters are numbers")
        if value.shape != np.shape(old):
            turned = value.ndim == 2 and value.shape[::-1] == np.shape(old)
            raise ShapeError(f"{path} has the shape {value.shape}", why=f"the network's has {np.shape(old)}",
                             fix="give its transpose, .T" if turned else None)  # fmt: skip
        made[path] = np.array(value, np.asarray(old).dtype)
    return unflatten(module, iter(made.values()))


@told("pb.nn.summary")
def summary(module: Any) -> str:
    """A table of the parameters: name, shape, dtype, count; and their number in all.

    >>> import payback as pb
    >>> print(pb.nn.summary(pb.nn.MLP([2, 1])))
    layers[0].weight  2×1  float32  2
    layers[0].bias    1    float32  1
    3 parameters
    """
    rows = [
        (name, "×".join(map(str, np.shape(p))) or "scalar", str(np.asarray(p).dtype), f"{np.size(p):,}")
        for name, p in parameters(module).items()
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(4)]
    lines = [
        "  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2].ljust(widths[2]), row[3].rjust(widths[3])))
        for row in rows
    ]
    total = sum(np.size(p) for p in leaves(module))
    return "\n".join([*lines, f"{total:,} parameters"])
