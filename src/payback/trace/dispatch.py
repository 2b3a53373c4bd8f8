"""NumPy's calls on traced values: which row of the table or which function of `trace/numpy` answers.

`implements` registers a function under the NumPy function that it stands for.  A function that is not
registered raises, naming the nearest one that is: nothing is computed silently without its derivative.  Where no
argument is floating (masks, indices) nothing is differentiable, and NumPy itself computes on the bare values.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import lru_cache
from sys import _getframe
from typing import Any

import numpy as np

from payback.elsewhere import METHODS as ELSEWHERE
from payback.errors import UnsupportedError, witness
from payback.ir.aval import WEAK_DTYPES, Aval
from payback.ir.node import NO_PARAMS, Node
from payback.ir.where import caller, position
from payback.ops.append import append, apply, check_broadcast, freeze, snapshot
from payback.ops.contraction import Spec, plan
from payback.ops.namespace import Values
from payback.ops.row import CONST, TABLE, Row
from payback.ops.shadows import constant
from payback.trace.array import NODE_TYPES, Traced, Variable, as_traced
from payback.trace.assignment.outside import calling, into_plain_array
from payback.trace.assignment.owned import adopt
from payback.trace.indexing import getitem
from payback.trace.labels import MET, check
from payback.trace.operators import FLOATING, FUNCTIONS, HOOKS, LATER, METHODS, is_users, made, where_of_caller
from payback.trace.plain_arrays import Buffered, recording
from payback.trace.refusals.asked import Elsewhere
from payback.trace.refusals.cures import BARE, BARE_NUMBERS
from payback.trace.refusals.free import free
from payback.trace.refusals.handled import FACTORIZING, unsure
from payback.trace.scalars import arithmetic  # noqa: F401 (gives numbers their operators)
from payback.trace.scalars.number import ROW_NAMES, record
from payback.trace.tree import leaves, tree_map

Function = Callable[..., Any]
# What NumPy answers with a copy though it can be made of views: writing into it must not write through.
COPIES = {np.tile, np.repeat, np.roll, np.take, np.take_along_axis, np.cumsum, np.copy, np.average}
# These give users an array where others give a number, if there are no axes (see `views.without_axes`).
NUMBERLESS, SPREAD = {np.select, np.piecewise, np.block, np.resize, np.i0}, np.broadcast_to
_VIEWS = {"reshape", "transpose", "broadcast"}  # with basic indexing: what NumPy answers with a view


def implements(*functions: Any) -> Callable[[Function], Function]:
    """Register what stands for these NumPy functions."""

    def register(f: Function) -> Function:
        for function in functions:
            FUNCTIONS[function] = f
        return f

    return register


def emit(name: str, *operands: Any, **params: Any) -> Traced:
    """The row's node on traced and plain operands, with the place of the user's code that is running."""
    if not params and recording.get() is not None and (number := record(name, operands)) is not None:
        return number
    if name in _VIEWS:
        return HOOKS["view"](name, operands[0], params, where_of_caller(2))
    if len(operands) == 1 and type(operands[0]) in NODE_TYPES:  # most calls: nothing is to be promoted
        node, row = operands[0].node, TABLE[name]
        value = node.value
        if (type(value) is np.ndarray and node.op is not CONST and value.dtype.kind == "f"
                and (row.numeric == "same" or row.numeric == "float")):  # fmt: skip
            value = row.value(Values, value, **params)
            if type(value) is not tuple:
                return made(row, (node,), params or NO_PARAMS, value, where_of_caller(2))
            return Traced(Node(row, (node,), params or NO_PARAMS, freeze(value), where_of_caller(2)))
    if name in FACTORIZING and any(isinstance(x, Traced) and x.node.value is None for x in operands):
        unsure(name, _getframe(1))
    return Traced(
        apply(TABLE[name], [as_traced(operand) for operand in operands], where_of_caller(2), params or NO_PARAMS)
    )


def here() -> str | None:
    """The user's call that is running, for errors."""
    place = position(caller(1))
    return str(place) if place else None


# NumPy's ufuncs and their rows: those of the same name, and the others.
UFUNCS: dict[Any, str] = {
    f: name for name in TABLE if isinstance(f := getattr(np, name, None), np.ufunc)
} | {
    np.subtract: "sub", np.multiply: "mul", np.true_divide: "div", np.negative: "neg",
    np.greater: "gt", np.greater_equal: "ge", np.less: "lt", np.less_equal: "le", np.equal: "eq", np.not_equal: "ne",
    np.bitwise_and: "logical_and", np.bitwise_or: "logical_or", np.invert: "logical_not",
    np.radians: "deg2rad", np.degrees: "rad2deg",
}  # fmt: skip
ROW_NAMES.update(UFUNCS)
# What is quickly told where no operand needs promotion, see `_at_once`; products of matrices and vectors by their axes.
_CONTRACT = TABLE["contract"]
_FLOATING = {u: TABLE[name] for u, name in UFUNCS.items() if not name.startswith("logical")} | {np.matmul: _CONTRACT}
COMPOSED: dict[Any, Function] = {np.matmul: lambda a, b: FUNCTIONS[np.matmul](a, b)}  # more in `numpy/ufuncs.py`
# Questions about a floating number whose answers are not numbers: nothing that could have a derivative.
_QUESTIONS: dict[Any, Function] = {
    np.isnan: lambda x: emit("ne", x, x),
    np.isinf: lambda x: emit("eq", emit("abs", x), np.inf),
    np.isfinite: lambda x: emit("lt", emit("abs", x), np.inf),
    np.signbit: lambda x: emit("lt", emit("copysign", emit("identity", 1.0), x), 0.0),
}
_SAVING = {np.save, np.savetxt, np.savez, np.savez_compressed}
_BITWISE = {np.bitwise_and, np.bitwise_or, np.invert}  # of integers they are nothing logical
_TRUTHS = {f for f, name in UFUNCS.items() if TABLE[name].numeric == "bool"}


# What a ufunc may be given besides its arguments without changing what it computes.
_HARMLESS = {"order", "subok", "casting"}
_REAL = {float, int, bool, str, type(None), slice, np.float64, np.float32, np.int64, np.bool_}
_LAST_AXES = ([(-2, -1), (-2, -1), (-2, -1)], [(-1,), (-2, -1), (-1,)])


def _protocol(self: Traced, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """`Traced.__array_ufunc__`: what most calls are at once, see `_pair_at_once`, and all others."""
    if not kwargs and method == "__call__" and (row := _FLOATING.get(ufunc)) is not None:
        if len(inputs) == 1:
            if type(self) in NODE_TYPES:
                node = self.node
                value = node.value
                if (type(value) in FLOATING and node.op is not CONST and value.dtype.kind == "f"
                        and (row.numeric != "wide" or value.dtype.itemsize != 2)):  # fmt: skip
                    return made(row, (node,), NO_PARAMS, row.value(Values, value), where_of_caller(2))
        elif (answer := _pair_at_once(row, *inputs)) is not None:
            return answer
    return array_ufunc(ufunc, method, inputs, kwargs)


def _complex_among(args: tuple[Any, ...]) -> bool:
    """Whether one of these arguments is complex: see `complex/numbers.py`."""
    for x in args:
        kind = type(x)
        if kind is np.ndarray:
            if x.dtype.kind == "c":
                return True
        elif kind not in NODE_TYPES and kind not in _REAL and HOOKS["holds_complex"](x):
            return True
    return False


def array_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if any(type(x) in LATER for x in inputs):
        return NotImplemented
    if _complex_among(inputs):
        return HOOKS["complex_ufunc"](ufunc, method, inputs, dict(kwargs))
    if kwargs.get("out") is not None:
        return _into(ufunc, method, inputs, dict(kwargs))
    if method != "__call__":
        return METHODS["__ufunc_method__"](ufunc, method, inputs, kwargs)
    if kwargs:
        given = {key: value for key, value in kwargs.items() if value is not None and key not in _HARMLESS}
        if kwargs.get("order") in ("C", "F"):
            made = array_ufunc(ufunc, method, inputs, {key: kwargs[key] for key in kwargs if key != "order"})
            return HOOKS["in_order"](made, kwargs["order"])
        if given.pop("where", True) is not True:
            raise UnsupportedError(f"np.{ufunc.__name__} with where= and without out=", where=here(),
                                   why="NumPy never sets the entries where the mask is false",
                                   fix="give out=, or choose with np.where")  # fmt: skip
        if ufunc is np.matmul and given.get("axes") in _LAST_AXES:  # as `a @= b` says it
            del given["axes"]
        inputs = _in_dtype(ufunc, inputs, given.pop("dtype", None))
        if given:
            raise UnsupportedError(f"np.{ufunc.__name__} on traced values does not take {', '.join(given)}=",
                                   where=here())  # fmt: skip
    operands = [as_traced(x) for x in inputs]
    place = where_of_caller(3)
    if all((x.aval.weak if isinstance(x, Node) else type(x) in WEAK_DTYPES) for x in operands):
        # unlike an operator, a ufunc makes a NumPy scalar of a Python number
        operands = [strong(x, place) if isinstance(x, Node) and x.aval.weak else x for x in operands]
    if ufunc in COMPOSED:
        return COMPOSED[ufunc](*[Traced(x) if isinstance(x, Node) else x for x in operands])
    name = UFUNCS.get(ufunc)
    if name is None:
        if HOOKS["ufunc"](ufunc, inputs):  # one of SciPy's, met for the first time
            return array_ufunc(ufunc, method, inputs, kwargs)
        if ufunc in _QUESTIONS:
            return _question(ufunc, operands)
        if ufunc.types in (["O->O"], ["O" * ufunc.nin + "->" + "O" * ufunc.nout]):  # of np.frompyfunc
            return HOOKS["objects"](ufunc, inputs)
        if all(free(Traced(x)) for x in operands if isinstance(x, Node)):
            return ufunc(*[Traced(x).value if isinstance(x, Node) else x for x in operands])
        raise _unknown(ufunc, here())
    if ufunc in _BITWISE and any((x if isinstance(x, Traced) else np.asarray(x)).dtype.kind != "b" for x in inputs):
        return ufunc(*[x.value if isinstance(x, Traced) else x for x in inputs])
    return Traced(apply(TABLE[name], operands, place))


@lru_cache
def matmul_spec(a: int, b: int) -> tuple[str, str, str]:
    """The letters of np.matmul of arrays of so many axes; where both have batches they are the same."""
    letters = "abcdefghABCDEFGH"
    rows, columns = "i" * (a > 1), "j" * (b > 1)
    lead_a, lead_b = letters[: max(a - 2, 0)], letters[: max(b - 2, 0)]
    return f"{lead_a}{rows}k", f"{lead_b}k{columns}", f"{max(lead_a, lead_b)}{rows}{columns}"


@lru_cache
def _product_of(a: int, b: int) -> tuple[dict[str, Any], Callable[[Any, Any], Any]]:
    """The parameters of np.matmul's node for arrays of so many axes, and what computes it."""
    spec = matmul_spec(a, b)
    return {"spec": spec}, plan(spec)


def product_at_once(a: Any, b: Any) -> Traced | None:
    """np.dot of vectors and matrices, where no operand needs promotion."""
    if len(getattr(a, "shape", ())) > 2 or len(getattr(b, "shape", ())) > 2:
        return None
    return _pair_at_once(_CONTRACT, a, b)


def contraction(a: Any, b: Any, spec: Spec) -> Traced:
    """The contraction of arrays whose shapes are known to fit."""
    answer = _pair_at_once(_CONTRACT, a, b, spec)
    return emit("contract", a, b, spec=spec) if answer is None else answer


def _pair_at_once(row: Row, a: Any, b: Any, spec: Spec | None = None) -> Traced | None:
    """What most calls are: floating values at hand, of one dtype, or one beside a Python float: nothing is promoted.

    spec: of a contraction that fits; else of two arrays that np.matmul takes.
    None for all others; `apply` would make the same of these.
    """
    first = second = dtype = None
    fixed = True
    if type(a) in NODE_TYPES:
        first = a.node
        a = first.value
        if type(a) not in FLOATING:
            return None
        fixed, dtype = first.op is CONST, a.dtype
    elif type(a) is np.ndarray or type(a) is np.float64:
        dtype = a.dtype
    elif type(a) is not float or row is _CONTRACT:
        return None
    if type(b) in NODE_TYPES:
        second = b.node
        b = second.value
        if type(b) not in FLOATING:
            return None
        fixed = fixed and second.op is CONST
        if dtype is None:
            dtype = b.dtype
        elif b.dtype is not dtype:
            return None
    elif type(b) is np.ndarray or type(b) is np.float64:
        if b.dtype is not dtype:
            return None
    elif type(b) is not float or row is _CONTRACT:
        return None
    if fixed or dtype.kind != "f" or (dtype.itemsize == 2 and row.numeric == "wide"):
        return None
    params, product = NO_PARAMS, None
    if spec is not None:
        params, product = {"spec": spec}, plan(spec)
    elif row is _CONTRACT:
        left, right = a.shape, b.shape
        if not left or not right or left[-1] != right[-2 if len(right) > 1 else 0]:
            return None
        if left[:-2] != right[:-2] and len(left) > 2 and len(right) > 2:
            return None
        if max(len(left), len(right)) > 2 and (left[-1] == 1 or len(left) != len(right)):
            return None  # they may be computed otherwise, and lie in memory otherwise
        params, product = _product_of(len(left), len(right))
    place = where_of_caller(3)
    if first is None:
        a = snapshot(a)
        first = constant(a, place, Aval((), dtype) if type(a) is float else None)
    elif second is None:
        b = snapshot(b)
        second = constant(b, place, Aval((), dtype) if type(b) is float else None)
    args = (first, second)
    try:
        value = row.value(Values, a, b) if product is None else product(a, b)
    except ValueError:
        if row is not _CONTRACT:
            check_broadcast(row, args, place)
        raise
    return made(row, args, params, value, place)


def _question(ufunc: Any, operands: list[Any]) -> Any:
    """Plain truths; where there are no numbers, nodes that will find them."""
    (x,) = (Traced(operand) if isinstance(operand, Node) else operand for operand in operands)
    return ufunc(x.value) if x.node.value is not None else _QUESTIONS[ufunc](x)


def _in_dtype(ufunc: Any, inputs: tuple[Any, ...], dtype: Any) -> tuple[Any, ...]:
    """The arguments in the dtype that is to be computed in.  Raises UnsupportedError for one without derivative."""
    if dtype is None or (ufunc in _TRUTHS and np.dtype(dtype).kind == "b"):
        return inputs
    dtype = np.dtype(dtype)
    if dtype.kind != "f" or ufunc in _TRUTHS:
        raise UnsupportedError(f"np.{ufunc.__name__} on traced values does not take dtype={dtype}", where=here(),
                               why="only floating numbers have a derivative",
                               fix="use .astype on the result")  # fmt: skip
    cast = {"dtype": dtype, "weak": False}
    return tuple(
        emit("cast", Traced(node), **cast) if isinstance(node := as_traced(x), Node)
        else x if type(x) in WEAK_DTYPES else np.asarray(x).astype(dtype)
        for x in inputs
    )  # fmt: skip


def _into(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc with `out=`, as `a += b` calls it: its results are written into traced arrays, where a mask says so."""
    targets, mask = kwargs.pop("out"), kwargs.pop("where", True) if method == "__call__" else True
    if not isinstance(targets, tuple):
        targets = (targets,)
    adopted = adopt(targets)
    if adopted is targets[0]:  # only to measure
        return adopted
    if adopted is not None:
        targets = (adopted,)
    for target in targets:
        if target is not None and (isinstance(target, Variable) or not isinstance(target, (Traced, Buffered))):
            raise into_plain_array(target, f"np.{ufunc.__name__} cannot write a traced result with out=")
    with np.errstate(**({} if mask is True else {"all": "ignore"})):  # NumPy does not look at what is masked
        made = array_ufunc(ufunc, method, inputs, kwargs)
    results = made if isinstance(made, tuple) else (made,)
    answers = tuple(
        result if target is None else write_into(target, result, mask)
        for result, target in zip(results, targets if len(targets) == len(results) else (None,) * len(results),
                                  strict=True)
    )  # fmt: skip
    if adopted is not None:
        return adopted.now()
    return answers if isinstance(made, tuple) else answers[0]


def write_into(target: Any, made: Any, mask: Any = True) -> Any:
    """What a function with `out=` does with its result."""
    target[...] = made if mask is True else np.where(mask, made, target)
    return target


def into(out: Any, name: str, made: Any, joined: Sequence[Any] = ()) -> Any:
    """The result of np.`name`, or `out` with the result in it.  Raises MutationError for an array that is plain.

    joined: arrays that NumPy copies into `out` one after the other: UnsupportedError if one of them lies there.
    """
    if isinstance(out, tuple):
        (out,) = out
    if out is None or out is np._NoValue:
        return made
    if isinstance(out, Variable) or not isinstance(out, (Traced, Buffered)):
        raise into_plain_array(out, f"np.{name} cannot write a traced result with out=")
    if any(np.may_share_memory(part, out) for part in joined if isinstance(part, Traced)):
        raise UnsupportedError(f"np.{name} into one of its arguments", where=here(),
                               why="NumPy reads entries that it has written already",
                               fix="give it as a copy")  # fmt: skip
    return write_into(out, made)


def strong(node: Node, place: Any) -> Node:
    return append(TABLE["cast"], (node,), {"dtype": node.aval.dtype, "weak": False}, place)


def _unknown(function: Any, place: str | None) -> UnsupportedError:
    name = getattr(function, "__name__", str(function))
    module = {"numpy": "np"}.get(
        getattr(function, "__module__", "numpy") or "numpy", getattr(function, "__module__", "np")
    )
    if (library := calling()) is not None:
        what, why, fix = library
        return UnsupportedError(what, where=place, why=why, fix=fix)
    if isinstance(function, np.ufunc) and getattr(np, name, None) is not function:  # another library's
        return UnsupportedError(f"the ufunc {name.lstrip('_')} has no derivative in payback", where=place,
                                why="there is no row for it in the table",
                                fix="write it with functions that have one, or use pb.custom_gradient(plain=True); "
                                f"{BARE_NUMBERS}")  # fmt: skip
    known = sorted({f.__name__ for f in (*FUNCTIONS, *UFUNCS, *COMPOSED)})
    near = [f"np.{other}" for other in difflib.get_close_matches(name, known, 3, 0.7)]
    where = f"near it: {', '.join(near)}; otherwise " if near else ""
    return UnsupportedError(
        f"{module}.{name} has no derivative in payback",
        where=place,
        why="there is no row for it in the table",
        fix=f"save its bare numbers, {BARE}" if name.startswith("save") else
        f"{where}write it with NumPy functions that have one, or give its derivative with "
        f"pb.custom_gradient(plain=True); {BARE_NUMBERS}",
    )  # fmt: skip


def array_function(function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    for kind in types:
        if kind in LATER:
            return NotImplemented
        if kind is not Traced and issubclass(kind, Buffered):
            args, kwargs = current(args), current(kwargs)
            break
    if _complex_among(args):
        return HOOKS["complex_function"](function, args, kwargs)
    implementation = FUNCTIONS.get(function)
    if implementation is not None:
        if MET and args and type(args[0]) in NODE_TYPES and is_users(_getframe(2)):
            check(function.__name__, args[0], args[1:], kwargs, False)
        made = implementation(*args, **kwargs)
        if function in COPIES and isinstance(made, Traced):
            made = Traced(made.node)
        return HOOKS["without_axes"](made) if function in NUMBERLESS else made
    args, kwargs = current(args), current(kwargs)  # the dispatcher of np.roots names the entries, not the array
    traced = [leaf for leaf in leaves([list(args), dict(kwargs)]) if isinstance(leaf, Traced)]
    if traced and all(map(free, traced)):  # no derivative can be lost
        args, kwargs = tree_map(lambda x: x.value if isinstance(x, Traced) else x, (tuple(args), dict(kwargs)))
        return function(*args, **kwargs)
    if function in _SAVING and (running := witness.get()) is not None:
        return HOOKS["save"](function, args, kwargs, running)
    raise _unknown(function, here())


def current(x: Any) -> Any:
    """Arguments in which buffers that became traced are traced values; the others stay, they may be written into."""
    if isinstance(x, (tuple, list)) and not hasattr(x, "_fields"):
        return type(x)(current(part) for part in x)
    if type(x) is dict:
        return {key: current(part) for key, part in x.items()}
    return made if isinstance(x, Buffered) and isinstance(made := x.now(), Traced) else x


HOOKS["product"] = lambda a, b: _pair_at_once(_CONTRACT, a, b)
Traced.__array_ufunc__ = _protocol
METHODS["__array_function__"] = array_function
METHODS["__getitem__"] = getitem
for _name in ELSEWHERE["a traced value"].keys() - {*dir(Traced)}:
    setattr(Traced, _name, Elsewhere(_name))
