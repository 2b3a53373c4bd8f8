"""`custom_gradient` and `remat`: functions as one node, with a derivative given by their author, or computed again."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

from payback.errors import DifferentiationError, InputError, MutationError
from payback.ir.aval import Avals
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.append import append, const
from payback.ops.row import CONST, INPUT, TABLE
from payback.trace.array import Traced
from payback.trace.array import plain as bare_value
from payback.trace.assignment.views import is_number, is_written, without_axes
from payback.trace.body import Body, enclosed, fresh, node_of, rebuilt, result_of
from payback.trace.operators import HOOKS, where_of_caller
from payback.trace.plain_arrays import is_plain, now
from payback.trace.refusals.leaks import close
from payback.trace.shim.shim import call
from payback.trace.tree import leaves, same_structure, tree_map, unflatten
from payback.transforms.check import check_grads, checking, rules_are_checked
from payback.transforms.foreign import kind_of, line_of, with_plain_numbers
from payback.transforms.shared_memory import check_apart

Function = Callable[..., Any]


class _Arguments:
    """The traced leaves of a call, each replaced by a leaf of its own; everything else stays as it is."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]):
        tree = (args, kwargs)
        self.all = [now(leaf) for leaf in leaves(tree)]
        self.given = [leaf.node for leaf in self.all if isinstance(leaf, Traced)]
        self.own = [Node(INPUT, (), {}, node.value, node.where, node.aval) for node in self.given]
        fresh_leaves = iter(self.own)
        self.opened = [_standing(next(fresh_leaves), leaf) if isinstance(leaf, Traced) else leaf for leaf in self.all]
        self.args, self.kwargs = unflatten(tree, iter(self.opened))

    def written(self) -> list[tuple[Any, Any]]:
        """The traced arguments that the function has written into, and what stands for them.

        Raises MutationError where one of them shares its memory with another argument.
        """
        own = iter(self.own)
        pairs = [(x, made) for x, made in zip(self.all, self.opened, strict=True)
                 if isinstance(x, Traced) and is_written(made, next(own))]  # fmt: skip
        check_apart([x for x, _ in pairs], self.all)
        return pairs


def _standing(node: Node, x: Traced) -> Traced:
    return Traced(node) if node.shape or is_number(x) else without_axes(Traced(node))


def _emit(name: str, args: Sequence[Node], outputs: Sequence[Node], where: Any, **params: Any) -> list[Any]:
    """The node for a body that has been run already: its values are those of the outputs."""
    values = tuple(node.value for node in outputs)
    known = all(value is not None for value in values)
    aval = Avals(node.aval for node in outputs)
    node = Node(TABLE[name], tuple(args), params, values if known else None, where, aval)
    return [result_of(append(TABLE["part"], (node,), {"k": k}, where)) for k in range(len(outputs))]


def remat(f: Function) -> Function:
    """The same function, whose intermediate values are not kept for the reverse sweep but computed again in it.

    It costs one more evaluation of `f`, and saves the memory of what `f` computes inside.  With concrete arguments the
    branches that `f` took are taken again.  Raises what `f` raises.

    Source: checkpointing (Griewank & Walther, Evaluating Derivatives, 2008, ch. 12).

    >>> import numpy as np, payback as pb
    >>> pb.grad(pb.remat(lambda x: np.sin(np.sin(x))))(0.5) == pb.grad(lambda x: np.sin(np.sin(x)))(0.5)
    True
    """

    @functools.wraps(f)
    def computed_again(*args: Any, **kwargs: Any) -> Any:
        arguments = _Arguments(args, kwargs)
        out = call(f, arguments.args, arguments.kwargs)
        close(arguments.own, ended=True)
        where, written = where_of_caller(2), arguments.written()
        outputs = [node_of(leaf) for leaf in (*leaves(out), *(made for _, made in written))]
        body, captured = enclosed(arguments.own, outputs)
        if not body.takes:
            return out
        found = iter(_emit("call", [*arguments.given, *captured], outputs, where, body=body))
        result = unflatten(out, found)
        for (x, _), now_there in zip(written, found, strict=True):
            HOOKS["setitem"](x, ..., now_there, where)
        return result

    return computed_again


@overload
def custom_gradient(
    f: Function, *, check: bool = False, plain: bool = False, like: Function | None = None
) -> Function: ...
@overload
def custom_gradient(
    f: None = None, *, check: bool = False, plain: bool = False, like: Function | None = None
) -> Callable[[Function], Function]: ...


def custom_gradient(
    f: Function | None = None, *, check: bool = False, plain: bool = False, like: Function | None = None
) -> Function:
    """A function whose derivative is given by its author.

    f: returns `(result, pull)`.  `pull(bar)` takes what the result is owed (in its structure and shapes) and returns
    what the arguments are owed: one gradient for one argument, else a tuple with one for each.  Both may use NumPy;
    `pull` may read the arguments and the result from around it.  It is differentiated itself for higher orders; forward
    mode uses its transpose, so there it must be linear in `bar`.
    check: compare with finite differences at the first use with numbers (straight-through and reversed gradients are
    legitimate, so it is off by default).
    plain: `f` and `pull` are called with bare numbers and arrays, so that they may use any library (a sparse solver, an
    interpolation, compiled code).  Such a derivative has none itself: reverse mode, first order.
    like: with `plain=True`, a function of the same arguments that returns an array (or a container) in the shapes and
    dtypes of the result; needed where numbers are not known (compile, vmap, the bodies of scan and its like).

    The function returned gives the result alone.  Traced values other than the arguments must not be used inside: they
    would get no gradient.
    Raises DifferentiationError for a `pull` of another form, GradientCheckError when the check fails.

    >>> import numpy as np, payback as pb
    >>> @pb.custom_gradient
    ... def rounded(x):  # straight through
    ...     return np.rint(x), lambda bar: bar
    >>> pb.grad(lambda x: rounded(x) ** 2)(2.6)
    6.0
    >>> import math
    >>> @pb.custom_gradient(plain=True)
    ... def erf(x):
    ...     return math.erf(x), lambda bar: bar * 2 / math.sqrt(math.pi) * math.exp(-x * x)
    >>> pb.grad(erf)(0.0) == 2 / math.sqrt(math.pi)
    True
    """
    if f is None:
        return functools.partial(custom_gradient, check=check, plain=plain, like=like)
    name = getattr(f, "__name__", "f")
    checked = not check
    if like is not None and not plain:
        raise InputError(
            "like= goes with plain=True", where=line_of(f), why="any other function is traced for its shapes"
        )
    on_plain = with_plain_numbers(f, name, like, functools.partial(_emit, "custom", label=name)) if plain else None

    @functools.wraps(f)
    def with_custom_gradient(*args: Any, **kwargs: Any) -> Any:
        nonlocal checked
        given = [leaf for leaf in map(now, leaves(args)) if isinstance(leaf, Traced)]
        if (not checked or rules_are_checked()) and all(leaf.node.value is not None for leaf in given):
            before, checked = checked, True  # already, for the check itself calls it
            try:
                bare = tree_map(bare_value, args)
                with checking(name, where_of_caller(2)):
                    check_grads(functools.wraps(f)(functools.partial(with_custom_gradient, **kwargs)), *bare, order=1)
            except BaseException:
                checked = before
                raise
        if on_plain is not None:
            return on_plain(*args, **kwargs)
        arguments = _Arguments(args, kwargs)
        out = call(f, arguments.args, arguments.kwargs)
        if not isinstance(out, tuple) or len(out) != 2 or not callable(out[1]):
            raise DifferentiationError(f"{name} returns {kind_of(out)}", where=line_of(f),
                                       why="a function with a custom gradient returns (result, pull)")  # fmt: skip
        result, pull = out
        if not arguments.given:
            return result
        if arguments.written():
            raise MutationError(f"{name} writes into an argument", where=line_of(f),
                                why="it has a gradient by its arguments as they came, and was given copies of them",
                                fix="write into a copy, x.copy()")  # fmt: skip
        outputs = [node_of(leaf) for leaf in leaves(result)]
        body, captured = enclosed(arguments.own, outputs)
        _refuse(captured, name, f)
        pulled, more = _pull_body(pull, result, outputs, arguments, captured, name, f)
        close(arguments.own, ended=True)
        body = Body([*body.graph.inputs, *(fresh(node.aval) for node in more)], body.graph.outputs)
        nodes = [*arguments.given, *captured, *more]
        made = _emit("custom", nodes, outputs, where_of_caller(2), body=body, pull=pulled, label=name)
        return unflatten(result, iter(made))

    return with_custom_gradient


def _pull_body(
    pull: Function,
    result: Any,
    outputs: list[Node],
    arguments: _Arguments,
    captured: list[Node],
    name: str,
    f: Function,
) -> tuple[Body, list[Node]]:
    """(*arguments, *plain arrays, *results, *what the floating results are owed) -> what the arguments are owed.

    captured: plain arrays of the function itself; those that only `pull` reads are returned too.
    """
    bars = {k: fresh(node.aval) for k, node in enumerate(outputs) if node.aval.dtype.kind == "f"}
    bar = unflatten(result, iter([Traced(bars[k]) if k in bars else None for k in range(len(outputs))]))
    paid = call(pull, (bar,), {})
    trees = list(arguments.args)
    if len(trees) == 1 and not (isinstance(paid, tuple) and len(paid) == 1 and not isinstance(trees[0], tuple)):
        paid = (paid,)
    if not isinstance(paid, tuple) or len(paid) != len(trees):
        raise DifferentiationError(
            f"the pull of {name} returns {len(paid) if isinstance(paid, tuple) else 1} gradients",
            where=line_of(f),
            why=f"there are {len(trees)} arguments",
        )
    floating: list[Node] = []
    answers: list[Node] = []
    for tree, gradient in zip(trees, paid, strict=True):
        own = leaves(tree)
        if not same_structure(tree, gradient):
            raise DifferentiationError(f"the pull of {name} returns a gradient of another structure than its argument",
                                       where=line_of(f))  # fmt: skip
        for leaf, part in zip(own, leaves(gradient), strict=True):
            if not isinstance(leaf, Traced) or leaf.dtype.kind != "f":
                continue
            node = node_of(part)
            if node.shape != leaf.shape:
                raise DifferentiationError(f"the pull of {name} returns a gradient of shape {node.shape}",
                                           where=line_of(f), why=f"the argument has {leaf.shape}")  # fmt: skip
            aval = leaf.node.aval
            if node.aval != aval:
                node = append(TABLE["cast"], (node,), {"dtype": aval.dtype, "weak": aval.weak}, node.where)
            floating.append(leaf.node)
            answers.append(node)
    known = frozenset((*arguments.own, *captured, *outputs, *bars.values()))
    used = [node for node in ancestors(answers, cut=known) if node.op is INPUT and node not in known]
    more = [node for node in used if is_plain(node)]
    inputs = [*arguments.own, *captured, *more, *outputs, *bars.values()]
    new = [fresh(node.aval) for node in inputs]
    # the arguments come last, so that a result which is an argument itself stands for the argument
    given = dict(zip(reversed(inputs), reversed(new), strict=True))
    # those of derivatives inside the function, which are done (see `enclosed`)
    given |= {node: const(node.value) for node in used if node.value is not None and node.id > arguments.own[0].id}
    made = Body(new, rebuilt(answers, given))
    _refuse([node for node in made.graph.nodes if node.op is not CONST and not node.args], name, f)
    _refuse([node for node in made.graph.nodes if node.op is not CONST and node.value is not None], name, f)
    return made, more


def _refuse(captured: Sequence[Node], name: str, f: Function) -> None:
    for node in captured:
        if is_plain(node):
            continue
        place = position(node.where)
        raise DifferentiationError(
            f"{name} uses a traced value that is not an argument",
            where=str(place) if place else line_of(f),
            why="a custom gradient says nothing about it, so its derivative would be lost",
            fix="give it as an argument",
        )
