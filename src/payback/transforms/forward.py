"""`jvp`, `jacobian`, `hessian` and `hvp`: derivatives of functions of many results, forwards and backwards."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from payback.ad.algebra import Gradient, Masked
from payback.ad.push import push
from payback.ad.sweep import sweep
from payback.errors import DifferentiationError, InputError
from payback.ir.aval import BOOL, Aval
from payback.ir.node import Node, ancestors
from payback.ops.append import const, snapshot
from payback.ops.recording import Recording, Term
from payback.ops.several import PART
from payback.run.interpreter import quietly
from payback.trace.array import Traced
from payback.trace.body import enclosed, fresh, result_of
from payback.trace.plain_arrays import now
from payback.trace.shim.shim import call
from payback.trace.tree import leaves, leaves_like, paths, tree_map, unflatten
from payback.transforms.argnums import ArgNums, Function
from payback.transforms.compressed import Plan, Structure, entries, scattered, seeds
from payback.transforms.gradient import (
    Opened,
    bare_leaf,
    check_no_point,
    grad,
    scalar_result,
    with_aux,
)
from payback.transforms.pullback import cast_like, own, pull_back, reached_from, zero


class Called:
    """One call of a function with fresh leaves: its results as nodes, ready to be differentiated several times."""

    def __init__(
        self, f: Function, args: tuple[Any, ...], kwargs: dict[str, Any], argnums: ArgNums, has_aux: bool,
        briefly: bool = False,
    ):  # fmt: skip
        """briefly: whether nothing that f has computed is given to the caller, only derivatives of it."""
        self.opened = Opened(f, args, kwargs, argnums, briefly)
        out = call(f, self.opened.args, self.opened.kwargs, self.opened.is_plain, known=self.opened.known)
        self.opened.close()
        self.aux: Any = None
        if has_aux:
            out, self.aux = with_aux(out, f)
        self.out = out
        self.tops = [scalar_result(leaf, f).node for leaf in leaves(out)]
        for top in self.tops:
            if top.aval.dtype.kind != "f":
                raise DifferentiationError(
                    f"a result of {top.aval.dtype} has no derivative", fix="return floating results"
                )
        self.wrt = [node for node in self.opened.wrt if node is not None]
        self.outside = any(reached_from(top, self.wrt)[1] for top in self.tops)
        self.reached = ancestors(self.tops, min(node.id for node in self.wrt))

    def push(self, tangents: Sequence[Any], unit: int | None = None) -> list[Any]:
        """The tangents of all results for tangents of the leaves: plain, or traced if someone outside may look.

        unit: all tangents are zero but for this leaf's, which is a unit vector; its zeros stay zeros.
        """
        on_graph = self.outside or any(isinstance(t, Traced) for t in tangents)
        gradient = Gradient(on_graph)
        dots = {}
        for k, (node, tangent) in enumerate(zip(self.wrt, tangents, strict=True)):
            if unit is not None and k != unit:
                continue
            asked = tangent != 0 if unit is not None else None
            if on_graph:
                tangent = gradient.operand(tangent.node if isinstance(tangent, Traced) else const(tangent))
                tangent = cast_like(gradient, tangent, node)
            dots[node] = tangent if asked is None or not node.shape else Masked(gradient.constant(asked), tangent)
        with np.errstate(all="ignore"):
            found = push(gradient, self.reached, dots)
            answers = []
            for top in self.tops:
                dot = found.get(top)
                if on_graph:
                    dot = gradient.constant(zero(top)) if dot is None else cast_like(gradient, gradient.dense(dot), top)
                    answers.append(Traced(dot.node))
                else:
                    answers.append(own(top, zero(top) if dot is None else gradient.result(dot)))
        return answers

    def results(self) -> Any:
        """What the function returned: plain values unless someone outside may differentiate them."""
        return unflatten(self.out, iter([Traced(top) if self.outside else top.value for top in self.tops]))

    def finished_aux(self) -> Any:
        return self.aux if self.outside else tree_map(functools.partial(bare_leaf, wrt=self.wrt), self.aux)


def jvp(f: Function, primals: Sequence[Any], tangents: Sequence[Any], *, has_aux: bool = False) -> Any:
    """`(f(*primals), tangent)`: the result, and its derivative along `tangents`, in one forward pass.

    primals: the arguments.  tangents: one for each, of the same structure, shapes and (after rounding) dtypes; what is
    not differentiated in an argument takes None or anything in its place.
    With `has_aux=True` f returns `(result, aux)` and jvp `(result, tangent, aux)`.

    Raises DifferentiationError for tangents that do not fit, or results that are not floating.
    Method: forward accumulation (Griewank & Walther, Evaluating Derivatives, 2008, ch. 3).

    >>> import numpy as np, payback as pb
    >>> pb.jvp(np.sin, (np.array([0.0, 1.0]),), (np.array([1.0, 0.0]),))
    (array([0.        , 0.84147098]), array([1., 0.]))
    """
    if (
        not isinstance(primals, (tuple, list))
        or not isinstance(tangents, (tuple, list))
        or len(primals) != len(tangents)
    ):
        raise InputError(
            "jvp wants a tuple of arguments and a tuple of as many tangents", fix="write jvp(f, (x,), (v,))"
        )
    called, found = _along(f, primals, tangents, has_aux)
    made = unflatten(called.out, iter(found))
    return (called.results(), made, called.finished_aux()) if has_aux else (called.results(), made)


def _along(
    f: Function, primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False, briefly: bool = False
) -> tuple[Called, list[Any]]:
    """A call, and the tangents of its results."""
    called = Called(f, tuple(primals), {}, tuple(range(len(primals))), has_aux, briefly)
    given = leaves_like(list(primals), list(tangents))
    if given is None:
        raise DifferentiationError("the tangents are not built as the arguments are", why="each leaf of the arguments "
                                   f"needs its own: {len(called.opened.wrt)} numbers and arrays")  # fmt: skip
    names = paths(list(primals), "argument ")
    pairs = zip(called.opened.wrt, given, names, strict=True)
    return called, called.push(
        [_tangent(node, now(tangent), name) for node, tangent, name in pairs if node is not None]
    )


def _tangent(node: Node, tangent: Any, name: str) -> Any:
    shape = tangent.shape if isinstance(tangent, Traced) else np.shape(tangent)
    if shape != node.shape:
        raise DifferentiationError(f"the tangent of {name} has the shape {shape}", why=f"the argument has {node.shape}")
    if isinstance(tangent, Traced):
        return tangent
    aval = node.aval
    return float(tangent) if aval.weak else np.asarray(snapshot(tangent), aval.dtype)[()]


def jacobian(
    f: Function,
    argnums: ArgNums = 0,
    *,
    mode: Literal["auto", "forward", "reverse"] = "auto",
    has_aux: bool = False,
    sparse: bool = False,
) -> Function:
    """The function that returns all derivatives of all results of `f`.

    For a result of shape S and an argument of shape T an array of shape S + T; entry [i, j] is ∂result[i]/∂argument[j].
    Containers nest: the result's structure outside, the argument's inside (for several argnums a tuple of them).
    mode: "reverse" costs one sweep for each entry of the results, "forward" one pass for each entry of the arguments
    (from a dozen on they are made as one batch, see `vmap`); "auto" takes the fewer.
    With `has_aux=True` the function returns `(jacobian, aux)`.
    sparse: the answer is a `scipy.sparse.csr_array` of shape (entries of the result, entries of the argument), both
    counted in C order, and holds every entry that the structure of the computation allows, zeros among them.  One
    pattern is found, then one sweep made for each color of its columns or rows: three for a band of three, whatever its
    length.  It wants one array (or number) as argument and as result, and needs SciPy.  Inside of what is compiled or
    differentiated again it has data, indices, indptr, T, diagonal(), toarray() and @; what is returned from there is a
    csr_array.  Dense derivatives take as few sweeps where the pattern permits and the work is worth it.

    Raises what `grad` raises, but the result may have any shape and structure; InputError where sparse=True does not
    fit.
    Method: Gebremedhin, Manne, Pothen, What Color Is Your Jacobian?, SIAM Review 47 (2005).

    >>> import numpy as np, payback as pb
    >>> pb.jacobian(lambda x: x[1:] * x[:-1])(np.array([1.0, 2.0, 3.0]))
    array([[2., 1., 0.],
           [0., 3., 2.]])
    >>> pb.jacobian(lambda x: x[1:] * x[:-1], sparse=True)(np.ones(1000)).nnz
    1998
    """
    check_no_point(argnums, "pb.jacobian(f)")
    return _jacobian(f, argnums, mode, has_aux, sparse)


def _jacobian(
    f: Function, argnums: ArgNums, mode: str, has_aux: bool = False, sparse: bool = False, symmetric: bool = False
) -> Function:
    """symmetric: whether f is a gradient by the same arguments."""
    if not isinstance(mode, str) or mode not in ("auto", "forward", "reverse"):
        raise InputError(f"the mode is {mode!r}", why='it is "auto", "forward" or "reverse"')
    if sparse:
        from payback.transforms.sparse import sparse_jacobian

        return sparse_jacobian(f, argnums, mode, has_aux)

    @functools.wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        called = Called(f, args, kwargs, argnums, has_aux, not has_aux)
        results = sum(top.aval.size for top in called.tops)
        arguments = sum(node.aval.size for node in called.wrt)
        forward = mode == "forward" or (mode == "auto" and arguments < results)
        blocks = _columns(called, symmetric) if forward else _rows(called)
        trees = [called.opened.gradients(row) for row in blocks]
        made = unflatten(called.out, iter(trees))
        return (made, called.finished_aux()) if has_aux else made

    return jacobian_of_f


def _basis(node: Node) -> list[Any]:
    """The unit vectors of a node's shape, in its dtype."""
    aval = node.aval
    if aval.weak:
        return [1.0]
    units = np.eye(aval.size, dtype=aval.dtype)
    return [unit.reshape(aval.shape)[()] for unit in units]


def _assembled(parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], like: Node) -> Any:
    """Blocks along a new leading axis, as one array of shape outer + inner."""
    if not parts:
        return np.zeros(outer + inner, like.aval.dtype)
    if any(isinstance(part, Traced) for part in parts):
        return np.stack(parts).reshape(outer + inner)
    return parts[0] if outer + inner == () else np.stack(parts).reshape(outer + inner)


_MANY = 12  # unit vectors from which on it pays to record a graph and run it for all of them at once
_ROOM = 1 << 22  # entries of the largest array that is made for all of them


def _at_once(
    called: Called,
    like: Node,
    derive: Callable[[Gradient, Any, Any], list[Any]],
    nodes: Sequence[Node],
    units: Any = None,
) -> list[Any] | None:
    """For each of the unit vectors of a node, or of sums of such, what `derive` makes of it, all of them as one batch.

    derive: takes the algebra, a unit vector and the mask of what it asks for, and returns terms (None: no path).
    units: the sums, along a leading axis.
    Returns for each of `nodes` the answers along a leading axis; None where it does not pay.
    """
    size = like.aval.size if units is None else len(units)
    fewest = _MANY if units is None else 1
    if size < fewest:
        return None
    gradient = Gradient(on_graph=True)
    unit, asked = fresh(like.aval), fresh(Aval(like.shape, BOOL))
    with quietly():
        found = derive(gradient, gradient.operand(unit), gradient.operand(asked))
        made = [None if term is None else cast_like(gradient, gradient.dense(term), node).node
                for term, node in zip(found, nodes, strict=True)]  # fmt: skip
    body, captured = enclosed([unit, asked], [node for node in made if node is not None])
    largest = max((node.aval.size for node in body.graph.nodes if node.op is not PART), default=1)
    step = max(_ROOM // max(largest, 1), 1)
    if step < fewest:
        return None
    around = captured if called.outside else [const(node.value) for node in captured]
    if units is None:
        units = np.eye(size, dtype=like.aval.dtype).reshape(size, *like.shape)
    pieces = []
    with quietly():
        for start in range(0, size, step):
            m, seeds = Recording(), units[start : start + step]
            terms = [Term(node, m) for node in (const(seeds), const(seeds != 0), *around)]
            on = [True, True, *[False] * len(around)]
            answers, _ = body.replay(m, terms, on, len(seeds), [True] * len(body.gives))
            pieces.append([result_of(term.node) for term in answers])
    columns = zip(*pieces, strict=True)
    joined: Iterator[Any] = iter([column[0] if len(pieces) == 1 else np.concatenate(column) for column in columns])
    return [np.zeros((size, *node.shape), node.aval.dtype) if there is None else next(joined)
            for there, node in zip(made, nodes, strict=True)]  # fmt: skip


def _pulled_at_once(called: Called, top: Node, units: Any = None) -> list[Any] | None:
    def derive(gradient: Gradient, unit: Any, asked: Any) -> list[Any]:
        settled = sweep(gradient, {top: Masked(asked, unit)}, called.wrt)
        return [settled.get(node) for node in called.wrt]

    return _at_once(called, top, derive, called.wrt, units)


def _pushed_at_once(called: Called, node: Node, units: Any = None) -> list[Any] | None:
    def derive(gradient: Gradient, unit: Any, asked: Any) -> list[Any]:
        found = push(gradient, called.reached, {node: Masked(asked, unit)})
        return [found.get(top) for top in called.tops]

    return _at_once(called, node, derive, called.tops, units)


def _by_few_rows(called: Called, structure: Structure | None, r: int) -> list[Any] | None:
    """The blocks of one result, by one reverse sweep for each color of its entries; None where they are not few."""
    few = None if structure is None else structure.by_rows(r)
    if few is None:
        return None
    (plan, pattern), top = few, called.tops[r]
    found = _pulled_at_once(called, top, seeds(plan, top))
    if found is None:
        return None
    blocks, left, rows = [], 0, pattern.rows()
    for node, answers in zip(called.wrt, found, strict=True):
        size = node.aval.size
        own = np.flatnonzero((pattern.members >= left) & (pattern.members < left + size))
        values = entries(plan, answers, own, left, size)
        block = scattered(values, rows[own], pattern.members[own] - left, (top.aval.size, size))
        blocks.append(block.reshape(top.shape + node.shape))
        left += size
    return blocks


def _by_few_columns(called: Called, structure: Structure | None, k: int) -> list[Any] | None:
    """The blocks of one argument, by one forward pass for each color of its entries; None where they are not few."""
    plan = None if structure is None else structure.by_columns(k)
    if structure is None or plan is None:
        return None
    node, pattern = called.wrt[k], structure.patterns[k]
    found = _pushed_at_once(called, node, seeds(plan, node))
    if found is None:
        return None
    blocks, rows = [], pattern.rows()
    for top, answers, start in zip(called.tops, found, structure.starts, strict=False):
        size = top.aval.size
        own = slice(pattern.starts[start], pattern.starts[start + size])
        values = entries(plan, answers, own, start, size)
        block = scattered(values, rows[own] - start, pattern.members[own], (size, node.aval.size))
        blocks.append(block.reshape(top.shape + node.shape))
    return blocks


def few_sweeps(called: Called, plan: Plan) -> Any:
    """The entries of the pattern that a plan reads, of one result by one argument."""
    top, node = called.tops[0], called.wrt[0]
    if plan.mode == "forward":
        found, size, like = _pushed_at_once(called, node, seeds(plan, node)), top.aval.size, top
    else:
        found, size, like = _pulled_at_once(called, top, seeds(plan, top)), node.aval.size, node
    if found is None:  # no entries
        return np.zeros(0, like.aval.dtype)
    return entries(plan, found[0], slice(None), 0, size)


def _rows(called: Called) -> list[list[Any]]:
    """blocks[result][argument], by one reverse sweep for each entry of the results."""
    blocks = []
    structure = Structure.of(called, max((top.aval.size for top in called.tops), default=0))
    for r, top in enumerate(called.tops):
        few = _by_few_rows(called, structure, r)
        if few is not None:
            blocks.append(few)
            continue
        together = _pulled_at_once(called, top)
        if together is not None:
            blocks.append([block.reshape(top.shape + node.shape)
                           for block, node in zip(together, called.wrt, strict=True)])  # fmt: skip
            continue
        pulled = [pull_back([top], [unit], called.wrt, units=True)[0] for unit in _basis(top)]
        blocks.append(
            [_assembled([row[k] for row in pulled], top.shape, node.shape, node) for k, node in enumerate(called.wrt)]
        )
    return blocks


def _columns(called: Called, symmetric: bool) -> list[list[Any]]:
    """blocks[result][argument], by one forward pass for each entry of the arguments."""
    single = len(called.tops) == len(called.wrt) == 1 and not any(node.op.kind == "own" for node in called.reached)
    structure = Structure.of(called, max(node.aval.size for node in called.wrt), symmetric and single)
    by_argument = [_by_few_columns(called, structure, k) or _by_columns(called, k) for k in range(len(called.wrt))]
    return [[blocks[r] for blocks in by_argument] for r in range(len(called.tops))]


def _by_columns(called: Called, k: int) -> list[Any]:
    """The blocks of one argument, one for each result."""
    node = called.wrt[k]
    together, blocks = _pushed_at_once(called, node), []
    if together is None:
        zeros = [zero(other) for other in called.wrt]
        pushed = [called.push([unit if i == k else plain for i, plain in enumerate(zeros)], k) for unit in _basis(node)]
        together = [_assembled([found[r] for found in pushed], node.shape, top.shape, top)
                    for r, top in enumerate(called.tops)]  # fmt: skip
    else:
        together = [block.reshape(node.shape + top.shape) for top, block in zip(called.tops, together, strict=True)]
    for top, block in zip(called.tops, together, strict=True):
        ahead, behind = len(node.shape), len(top.shape)
        if ahead and behind:
            block = np.transpose(block, (*range(ahead, ahead + behind), *range(ahead)))
        blocks.append(block)
    return blocks


def hessian(f: Function, argnums: ArgNums = 0, *, sparse: bool = False) -> Function:
    """The function that returns all second derivatives of a function that returns a scalar.

    For an argument of shape T an array of shape T + T; containers and several argnums nest as in `jacobian`.
    Computed forward over reverse: one reverse sweep, and one pass over it for each entry of the argument.
    sparse: a `scipy.sparse.csr_array` as in `jacobian`, for one array; symmetry saves sweeps (a star coloring).
    Raises as `value_and_grad`.

    >>> import numpy as np, payback as pb
    >>> pb.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    check_no_point(argnums, "pb.hessian(f)")
    if sparse:
        from payback.transforms.sparse import sparse_hessian

        return sparse_hessian(f, argnums)
    return _jacobian(grad(f, argnums), argnums, "forward", symmetric=True)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The Hessian of a scalar function at `x` times `v`, without the Hessian: one sweep, one forward pass.

    x: a number, array or container; v: of the same structure and shapes; so is the result.
    Raises as `value_and_grad`; DifferentiationError too for a v that does not fit x.

    >>> import numpy as np, payback as pb
    >>> pb.hvp(lambda x: x[0] ** 2 * x[1], np.array([3.0, 5.0]), np.array([1.0, 0.0]))
    array([10.,  6.])
    """
    called, found = _along(grad(f), (x,), (v,), briefly=True)
    return unflatten(called.out, iter(found))
