"""`grad`, `value_and_grad` and `vjp`: a function in, its derivative as a function out."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from payback.errors import DifferentiationError, InputError
from payback.ir.aval import WEAK_DTYPES
from payback.ir.node import Node
from payback.ops.append import const, lasting, snapshot
from payback.ops.row import INPUT
from payback.trace.array import Traced, plain
from payback.trace.assignment.memory_order import leaf_of
from payback.trace.assignment.views import argument, is_number, is_written, without_axes
from payback.trace.backward import seed_for
from payback.trace.labels import place_of
from payback.trace.leaf import leaf_value
from payback.trace.plain_arrays import named, now, outside, recording, watched
from payback.trace.proof.proved import proved
from payback.trace.proof.pure import Known
from payback.trace.refusals.leaks import close
from payback.trace.scalars.floats import Float
from payback.trace.scalars.number import on_tape, opened
from payback.trace.shim.shim import call, tracing
from payback.trace.tree import is_complex, is_leaf, leaves, leaves_like, map_named, tree_map, unflatten
from payback.transforms.argnums import ArgNums, Function, argument_names, differentiated, positions_of, say_whose
from payback.transforms.pullback import of_scalars, of_seeds, pull_back, pull_graph, reached_from
from payback.transforms.shared_memory import (
    check_kept,
    check_unchanged,
    is_written_since,
    not_apart,
    note_written,
    written_before,
)

_LEAVES = {float, int, np.ndarray, np.float64, np.float32}  # no containers, and surely differentiated


class Opened:
    """The arguments of one call, those to differentiate by replaced with fresh leaves.

    A leaf of a traced argument is a new node too (an identity): the derivative is by *this* argument, whatever
    else the same value is used for, so nested derivatives are never confused.
    """

    def __init__(
        self, f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: ArgNums, briefly: bool = False
    ):
        """briefly: whether the graph is needed no longer than the call; so only f may be called as one proved plain."""
        names = argument_names(f, len(args))
        self.positions, self.single = positions_of(names, args, kwargs, argnums)
        self.given: list[Any] = [args[p] if isinstance(p, int) else kwargs[p] for p in self.positions]
        self.wrt: list[Node | None] = []
        self._all, self._before = (args, kwargs), written_before()
        self._arrays: list[tuple[Any, Any, Node]] = []  # what was given, what stands for it, and its node
        self._compiled: list[tuple[Any, Node]] = []  # plain arrays as they were, while a function is compiled
        fresh: list[Any] = []
        usual = not watched() and recording.get() is None
        self.known = self._proved(f, args, kwargs) if usual and not tracing() else None
        # within what is proved the function of a gradient is: it is the same one
        plain = usual and lasting.get() if self.known is None else self.known.plain
        self.is_plain = briefly and plain
        for position, tree in zip(self.positions, self.given, strict=True):
            name = position if isinstance(position, str) else names[position]
            kind = type(tree)
            if not usual:
                made = map_named(self._leaf, tree, name)
            elif kind is np.ndarray:
                made = self._array(tree, name)
            elif kind is list:
                made = [self._array(part, f"{name}[{k}]") for k, part in enumerate(tree)]
            else:
                made = map_named(self._leaf, tree, name)
            fresh.append(made)
        if not any(self.wrt):
            raise DifferentiationError(
                "there is nothing to differentiate by",
                where=", ".join(p if isinstance(p, str) else names[p] for p in self.positions),
                why=f"it is {_kinds(self.given)}: no number and no floating array",
                fix="give what varies as a floating array, for example with np.asarray(data, float)",
            )
        if self.single and type(at := self.positions[0]) is int:
            self.args, self.kwargs = (*args[:at], fresh[0], *args[at + 1 :]), kwargs
            return
        changed = dict(zip(self.positions, fresh, strict=True))
        self.args = tuple([changed.get(i, arg) for i, arg in enumerate(args)])
        self.kwargs = {key: changed.get(key, value) for key, value in kwargs.items()}

    def _proved(self, f: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Known | None:
        """What is known of f, or of the function whose gradient, by the same argument, it is."""
        while (known := differentiated(f)) is not None:
            f, argnums = known
            if [argnums] != self.positions:
                return None
        return proved(f, args, kwargs, self.positions)

    def _array(self, leaf: Any, name: str) -> Any:
        """What `map_named` makes of an array, sooner, and of anything else."""
        if type(leaf) is np.ndarray and leaf.ndim and leaf.flags.c_contiguous:
            dtype, given = leaf.dtype, leaf
            if dtype.kind == "f" and dtype.isnative:
                if self.is_plain and leaf.flags.aligned:  # nobody can write into it meanwhile
                    leaf = leaf.view()
                    leaf.setflags(False)
                else:
                    leaf = snapshot(leaf)
                node = Node(INPUT, (), {"name": name}, leaf, None)
                self.wrt.append(node)
                made = Traced(node)
                self._arrays.append((given, made, node))
                return made
        return map_named(self._leaf, leaf, name)

    def _leaf(self, leaf: Any, name: str) -> Any:
        given = leaf
        if recording.get() is not None and isinstance(bare := now(leaf), np.ndarray) and not isinstance(bare, Traced):
            self._compiled.append((given, const(bare.copy())))  # the node of what is read at each run has no numbers
        leaf = outside(_column(now(leaf)))
        leaf = Traced(leaf) if isinstance(leaf, Node) else leaf  # a plain array that is read anew at each run
        if isinstance(leaf, Traced):
            if leaf.dtype.kind != "f":
                raise DifferentiationError(
                    f"{name} is of {leaf.dtype} and has no derivative", fix="leave it out of argnums"
                )
            node = leaf_of(leaf.node)  # `append` would fold the identity of a constant into a constant
            if not node.shape and not is_number(leaf):
                return self._without_axes(given, node)
        elif type(leaf) in WEAK_DTYPES or isinstance(leaf, (np.ndarray, np.generic)):
            if type(leaf) is bool:
                self.wrt.append(None)
                return leaf
            node = Node(INPUT, (), named(name, leaf), leaf_value(leaf, name), place_of(given, leaf))
            if type(leaf) is np.ndarray and not leaf.ndim:
                return self._without_axes(given, node)
        else:  # carried, not differentiated
            self.wrt.append(None)
            return leaf
        self.wrt.append(node)
        made = argument(opened(node))
        if len(node.shape):
            self._arrays.append((given, made, node))
        return made

    def _without_axes(self, given: Any, node: Node) -> Any:
        self.wrt.append(node)
        made = without_axes(Traced(node))
        self._arrays.append((given, made, node))
        return made

    def close(self) -> None:
        """The function has run: its leaves are no use to it any more.  Raises MutationError as `check_apart` does."""
        close(self.wrt)
        self.check_written()

    def check_written(self) -> None:
        if not self.is_plain and any(is_written_since(self._before, given) for given, _, _ in self._arrays):
            raise not_apart()
        written = [given for given, made, node in self._arrays if is_written(made, node)]
        if written:
            note_written(written, leaves(self._all))
        args, kwargs = self._all
        if not self.is_plain and self._arrays and len(self.positions) < len(args) + len(kwargs):
            others = [arg for place, arg in (*enumerate(args), *kwargs.items()) if place not in self.positions]
            check_unchanged([(given, node) for given, _, node in self._arrays], leaves(others))
        if not self.is_plain:
            check_kept([*[(given, node) for given, _, node in self._arrays], *self._compiled])

    def gradients(self, found: Sequence[Any]) -> Any:
        """Gradients in the structure of the arguments; what is not differentiated stands there as it was given."""
        if self.single and type(self.given[0]) in _LEAVES and len(found) == 1:
            return found[0]
        if self.single and type(given := self.given[0]) is list and all(type(leaf) in _LEAVES for leaf in given):  # noqa: SIM102
            if len(found) == len(given):  # of complex numbers there are two each
                return list(found)
        answers, asked = iter(found), iter(self.wrt)
        trees = [tree_map(lambda leaf: leaf if next(asked) is None else next(answers), tree) for tree in self.given]
        return trees[0] if self.single else tuple(trees)


def _column(leaf: Any) -> Any:
    """The column of a data frame (what has one axis and `__array__`) as the array that NumPy makes of it."""
    if type(leaf) in WEAK_DTYPES or isinstance(leaf, (Traced, np.ndarray, np.generic, str)):
        return leaf
    column = hasattr(leaf, "__array__") and len(getattr(leaf, "shape", ())) == 1
    return made if column and (made := np.asarray(leaf)).dtype.kind in "fiub" else leaf


def _kinds(given: Sequence[Any]) -> str:
    """What was given, by type, for errors."""
    kinds = list(dict.fromkeys(type(leaf).__name__ for tree in given for leaf in leaves(tree)))
    return ", ".join(kinds[:5]) or "empty"


def check_no_point(argnums: Any, call: str) -> None:
    """Raises InputError for an array or a number where one says by which arguments, as in `grad(f, x)`."""
    if isinstance(argnums, (float, complex, np.ndarray, Traced)):
        raise InputError(f"argnums is {argnums!r:.40}", why="an argument is told by its position or by its name",
                         fix=f"write {call}(x) for what that is at x")  # fmt: skip


def scalar_result(out: Any, f: Function) -> Traced:
    if isinstance(out, Traced):
        return out
    if is_complex(out):
        raise DifferentiationError(f"{_name(f)} returns a complex number", why="a cost is real",
                                   fix="return its real part, or its absolute value")  # fmt: skip
    value = np.asarray(out if is_leaf(out) else None)
    if value.dtype.kind not in "fiub":
        later = inspect.isgenerator(out) or inspect.iscoroutine(out)
        if inspect.iscoroutine(out):
            out.close()  # or Python warns that nobody has awaited it
        raise DifferentiationError(f"{_name(f)} returns {type(out).__name__}, not a number",
                                   why="it has computed nothing yet" if later else None,
                                   fix="give a plain function that runs it to its end and returns the number" if later
                                   else "return the cost alone, or (cost, extra) with has_aux=True")  # fmt: skip
    return Traced(const(float(out) if type(out) in (int, bool) else value[()]))


def with_aux(out: Any, f: Function) -> tuple[Any, Any]:
    if not isinstance(out, tuple) or len(out) != 2:
        kind = f"a tuple of {len(out)}" if isinstance(out, tuple) else "one value"
        raise DifferentiationError(f"{_name(f)} returns {kind} where has_aux=True wants (result, aux)",
                                   fix="return (result, aux), or leave has_aux away")  # fmt: skip
    return out


def bare_leaf(leaf: Any, wrt: list[Node]) -> Any:
    """A leaf of aux as a plain value, unless someone outside may differentiate it."""
    if not isinstance(leaf, Traced):
        return plain(leaf)
    return leaf if leaf.node.value is None or reached_from(leaf.node, wrt)[1] else plain(leaf)


def _name(f: Function) -> str:
    return getattr(f, "__name__", type(f).__name__)


def value_and_grad(f: Function, argnums: ArgNums = 0, *, has_aux: bool = False) -> Function:
    """The function that returns `(f(...), gradient)`, from one forward pass and one reverse sweep.

    f: returns a floating scalar, or `(scalar, aux)` with `has_aux=True`.
    argnums: which arguments to differentiate by: a position, a name, or several of them.

    The gradient has the structure, shapes and dtypes of the argument (a tuple of them for several argnums):
    numbers, arrays, dicts, lists, tuples, dataclasses and modules.  Python numbers give Python floats, complex numbers
    ∂/∂re + i·∂/∂im.  An argument that the result does not depend on gets zeros.  Inside another derivative everything
    is traced again, so derivatives nest to any order; so too where f uses a `pb.variable` from outside: what comes back
    is then traced, for it may be differentiated by that variable.

    Raises DifferentiationError when the result is not a floating scalar or an argument has no derivative;
    InputError for argnums that do not exist.
    Method: reverse accumulation (Griewank & Walther, Evaluating Derivatives, 2008, ch. 3).

    >>> import numpy as np, payback as pb
    >>> pb.value_and_grad(lambda w: (w * w).sum())(np.array([1.0, 2.0]))
    (np.float64(5.0), array([2., 4.]))
    """

    if type(argnums) is not int:
        check_no_point(argnums, "pb.grad(f)")

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        given = Opened(f, args, kwargs, argnums, not has_aux)
        out = call(f, given.args, given.kwargs, given.is_plain, not tracing(), given.known)
        given.close()
        aux = None
        if has_aux:
            out, aux = with_aux(out, f)
        top = scalar_result(out, f)
        wrt = [node for node in given.wrt if node is not None]
        scalar = of_scalars(top, wrt) if type(top) is Float else None
        taped = on_tape(top)
        value: Any
        if scalar is not None:
            value, found, bare = top.value, scalar, True
        elif taped is None:
            tops, seeds, value = [top.node], [seed_for(top.node)], top.node.value
            del out, top  # nothing but the list holds the graph, so that it can be freed while it is swept
            found, bare = pull_back(tops, seeds, wrt, free=True)
            value = value if bare else Traced(tops[0])
        else:  # the tape pays what it has read, and the sweep goes on from there
            value, read, bars = taped
            found, bare = pull_back(read, bars, wrt)
            value = plain(value) if bare else value
        if has_aux:
            aux = tree_map(lambda leaf: bare_leaf(leaf, wrt), aux)
        gradient = given.gradients(found)
        return ((value, aux), gradient) if has_aux else (value, gradient)

    return value_and_gradient


def traced_gradient(f: Function, args: tuple[Any, ...], wrt: list[Node]) -> tuple[Any, Any, list[Any]]:
    """`value_and_grad(f, has_aux=True)` while a graph is traced, by nodes that the arguments hold already.

    Each must be its user's own, so that it needs no identity to be told from the same value used elsewhere.  Returns
    (value, aux, gradients); how these lie in memory is not asked.
    """
    out, aux = with_aux(call(f, args, {}), f)
    top = scalar_result(out, f)
    taped = on_tape(top)
    value, tops, bars = taped or (top, [top.node], [seed_for(top.node)])
    reached = reached_from(tops[0], wrt)[0] if len(tops) == 1 else None
    return value, aux, [Traced(bar) for bar in pull_graph(tops, bars, wrt, reached, False)]


def grad(f: Function, argnums: ArgNums = 0, *, has_aux: bool = False) -> Function:
    """The gradient of a function that returns a scalar; see `value_and_grad` for arguments and errors.

    With `has_aux=True` it returns `(gradient, aux)`.

    >>> import payback as pb
    >>> def e(a, b):
    ...     return (a + b) * (b + 1)
    >>> pb.grad(e, argnums=(0, 1))(2, 1)
    (2.0, 5.0)
    >>> pb.grad(pb.grad(lambda x: x**3))(2.0)
    12.0
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    if not has_aux:
        say_whose(gradient, f, argnums)
    return gradient


def vjp(f: Function, *args: Any, has_aux: bool = False) -> Any:
    """`(f(*args), pull)`: the result, and the function that pulls adjoints of it back to the arguments.

    pull(bar): `bar` has the structure and shapes of the result; returns a tuple with one gradient an argument,
    each Σ bar · ∂result/∂argument.  It may be called any number of times.
    With `has_aux=True` f returns `(result, aux)` and vjp `(result, pull, aux)`.

    Raises DifferentiationError for a result that is not floating, or a `bar` that does not fit it.

    >>> import numpy as np, payback as pb
    >>> y, pull = pb.vjp(np.sin, np.array([0.0, 1.0]))
    >>> pull(np.array([1.0, 0.0]))
    (array([1., 0.]),)
    """
    opened = Opened(f, args, {}, tuple(range(len(args))))
    out = call(f, opened.args, {}, spare=not tracing(), known=opened.known)
    opened.check_written()
    aux = None
    if has_aux:
        out, aux = with_aux(out, f)
    tops = [scalar_result(leaf, f) for leaf in leaves(out)]
    wrt = [node for node in opened.wrt if node is not None]
    nodes = [top.node.shadow or top.node for top in tops]  # one may be an argument of another
    outside = any(reached_from(node, wrt)[1] for node in nodes)

    def pull(bar: Any) -> Any:
        bars = leaves_like(out, bar)
        if bars is None or any(b is None for b in bars):
            raise DifferentiationError(f"pull was given {len(leaves(bar))} adjoints",
                                       why=f"the result has {len(tops)} parts, and each needs its own")  # fmt: skip
        seeds = [seed_for(top.node, now(b)) for top, b in zip(tops, bars, strict=True)]
        found, plainly = pull_back(nodes, seeds, wrt)
        return opened.gradients(found if plainly or outside else of_seeds(found, wrt))

    result = unflatten(out, iter(tops if outside else [plain(top) for top in tops]))
    if not has_aux:
        return result, pull
    return result, pull, tree_map(lambda leaf: bare_leaf(leaf, wrt), aux)
