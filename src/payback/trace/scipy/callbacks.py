"""Functions of the user's that SciPy calls many times with plain numbers, and that may use traced values.

SciPy's run is its own: the function is called with plain numbers, and what it closes over is given to it as such.  Only
afterwards it is traced, at the places that count; what it uses from around it is found there, as that of every body.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import Callable, Sequence
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, NoReturn

import numpy as np

from payback.errors import UnsupportedError
from payback.ir.aval import Aval
from payback.ir.node import Node
from payback.ops.append import freeze
from payback.ops.row import TABLE
from payback.ops.shadows import keeping
from payback.trace.array import Traced, plain
from payback.trace.assignment.buffer import any_traced
from payback.trace.dispatch import here
from payback.trace.numpy.arguments import known
from payback.trace.numpy.products import array_of
from payback.trace.plain_arrays import Buffered, now
from payback.trace.scipy.curves import doubles
from payback.trace.tree import leaves, tree_map

Function = Callable[..., Any]
FLOAT = np.dtype(np.float64)
_BARE = {float, int, bool, np.float64, type(None)}


class Callback:
    """`f(*x, *args)` of plain numbers; `traced` says whether something traced has been met.

    args: what SciPy is to give f beside x.
    """

    def __init__(self, f: Function, args: Any = ()):
        args = args if isinstance(args, tuple) else (args,)
        self.f, self.args = f, args
        self.found: list[Any] = [leaf for leaf in map(now, leaves(args)) if isinstance(leaf, Traced)]
        self._plain = _plainly(f, self.found, {}) if known(*self.found) else f
        self._args = tree_map(plain, args) if self.found and known(*self.found) else args
        self.traced = bool(self.found)

    @property
    def known(self) -> bool:
        """Whether it can be run on plain numbers: what it uses has some."""
        return known(*self.found)

    def __call__(self, *x: Any) -> Any:
        out = self._plain(*x, *self._args)
        if type(out) in _BARE or (type(out) is np.ndarray and out.dtype.kind != "O"):
            return out
        if not self.traced and any_traced(out):
            self.traced = True
        return tree_map(plain, out)

    @property
    def __signature__(self) -> inspect.Signature:  # curve_fit counts the parameters
        return inspect.signature(self.f)

    def at(self, *x: Any) -> Any:
        """What it returns for traced values."""
        return tree_map(_kept, self.f(*x, *self.args))


def _kept(x: Any) -> Any:
    """What it is now: a function may write into its result again at the next call."""
    return np.copy(now(x)) if isinstance(x, Buffered) else x


def plain_function(f: Any) -> Any:
    """A function that SciPy is given beside the one that counts, as a Jacobian, run on plain numbers; else as it is."""
    return Callback(f) if callable(f) else f


def _plainly(f: Any, found: list[Any], seen: dict[int, Any]) -> Any:
    """The function with plain values where it closes over traced ones; `found` gets those.

    A name that the function itself gives another value stays as it is, and so does what a container holds: the function
    may change it.  What is computed of these is made plain afterwards.
    """
    if isinstance(f, functools.partial):
        parts = (f.args, f.keywords)
        found += [leaf for leaf in map(now, leaves(parts)) if isinstance(leaf, Traced)]
        args, keywords = tree_map(plain, parts) if known(*found) else parts
        return functools.partial(_plainly(f.func, found, seen), *args, **keywords)
    if isinstance(f, MethodType) and isinstance(f.__func__, FunctionType):
        return MethodType(_plainly(f.__func__, found, seen), f.__self__)
    if type(f) is not FunctionType or not f.__closure__ or id(f) in seen:
        return seen.get(id(f), f)
    seen[id(f)] = f
    cells = [
        cell if name in _assigned(f.__code__) else _plain_cell(cell, found, seen)
        for name, cell in zip(f.__code__.co_freevars, f.__closure__, strict=True)
    ]
    if all(new is old for new, old in zip(cells, f.__closure__, strict=True)):
        return f
    made = FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, tuple(cells))
    made.__kwdefaults__ = f.__kwdefaults__
    seen[id(f)] = made
    return made


def _plain_cell(cell: CellType, found: list[Any], seen: dict[int, Any]) -> CellType:
    try:
        content = cell.cell_contents
    except ValueError:  # not yet bound
        return cell
    if isinstance(content, Traced) or (isinstance(content, tuple) and any_traced(content)):
        parts = [leaf for leaf in leaves(content) if isinstance(leaf, Traced)]
        found += parts
        return CellType(tree_map(plain, content)) if known(*parts) else cell
    if isinstance(content, (FunctionType, MethodType, functools.partial)):
        made = _plainly(content, found, seen)
        return cell if made is content else CellType(made)
    return cell


@functools.lru_cache(maxsize=1024)
def _assigned(code: CodeType) -> frozenset[str]:
    """The names from around it that a function, or one inside it, gives other values."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_DEREF", "DELETE_DEREF")}
    inner = [_assigned(part) for part in code.co_consts if isinstance(part, CodeType)]
    return frozenset(names).union(*inner)


# bodies ---------------------------------------------------------------------------------------------------------


def body_of(f: Function, values: Sequence[Any], around: Sequence[Any] = ()) -> tuple[Any, list[Node]]:
    """The body of f at plain numbers or, where one is an Aval, of shapes only; and what it uses from around it.

    At numbers f may look at them: the body is that of the branch that it takes there.
    around: what f is known to use: what it leaves elsewhere depends on that, see the row `tried`.
    """
    from payback.trace.body import enclosed, node_of, trace_body

    if any(isinstance(x, Aval) for x in values):
        traced = trace_body(f, [x if isinstance(x, Aval) else Aval(np.shape(x), FLOAT) for x in values], tuple)
        return traced.body, traced.captured
    places = [freeze(np.array(x, FLOAT)[()]) for x in values]
    nodes = tuple(x.node for x in around)
    inputs = [Node(TABLE["tried"], nodes, {"at": x}, x, None) for x in places]
    with keeping():
        output = node_of(f(*map(Traced, inputs)))
    return enclosed(inputs, [output])


def in_shape(x: Any, shape: tuple[int, ...]) -> Any:
    """What a function returned, a list too, in the shape that is wanted."""
    return np.reshape(doubles(array_of(now(x))), shape)


class Lost:
    """A result of SciPy's whose derivative payback does not give: it raises where it is used."""

    def __init__(self, name: str):
        self._name = name

    def _raise(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise UnsupportedError(f"{self._name} has no derivative in payback", where=here(),
                               why="the solver has computed it on its way",
                               fix="compute it from the solution with NumPy, or call the solver outside")  # fmt: skip

    __array__ = __array_ufunc__ = __array_function__ = __getitem__ = __iter__ = __len__ = __float__ = __bool__ = _raise
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __matmul__ = _raise
    __rmatmul__ = __neg__ = __abs__ = __pow__ = __rpow__ = _raise

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._raise()


# what SciPy says of its run beside numbers that vary
_TOLD = {"success", "status", "message", "nfev", "njev", "nhev", "nit", "method", "converged", "flag", "iterations",
         "function_calls", "active_mask", "nlu", "ier", "optimality"}  # fmt: skip


def results(found: Any, name: str, **traced: Any) -> Any:
    """SciPy's container of results with traced values; what else varies is lost."""
    made = type(found)()
    made.update({key: value if key in _TOLD else Lost(f"{name}.{key}") for key, value in found.items()} | traced)
    return made
