"""The checks of the table, as functions: tests/ops runs them on the rules, tests/guards on wrong rules.

The truth is mpmath's (40 digits): it never sees a rule.
"""

from __future__ import annotations

import itertools
from functools import cache
from math import prod
from typing import Any

import mpmath as mp
import numpy as np

import payback as pb
from ops.samples import LINEAR, POINTWISE, REDUCTIONS, abstract, traced
from payback.ad.algebra import Gradient
from payback.ad.sweep import sweep
from payback.ir.aval import aval_of
from payback.ir.graph import Graph
from payback.ops.append import const, snapshot
from payback.run.interpreter import Interpreter
from payback.trace.array import Traced

mp.mp.dps = 40

# A partial is a few correctly rounded operations: 4 ulp a factor, twice that for a derivative of a derivative.
ULPS = {1: 4, 2: 12}


def same_bits(a: Any, b: Any) -> bool:
    """Equal in dtype, shape and every bit; a NaN equals any NaN."""
    a, b = np.asarray(a), np.asarray(b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    return bool((((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))).all())


def assert_same(found: Any, expected: Any) -> None:
    assert same_bits(found, expected), f"{found!r} is not {expected!r}"


def value(x: Any) -> Any:
    return x.node.value if isinstance(x, Traced) else x


# layouts: how the same numbers can lie in memory


def columns(sample: Any, size: int, start: int = 0) -> list[list[Any]]:
    """`size` points of a pointwise row, cyclically, one list an argument."""
    return [[column[(start + i) % len(column)] for i in range(size)] for column in sample.points]


def _laid_out(flat: list[Any], shape: tuple[int, ...], layout: str, dtype: Any) -> Any:
    array = np.array(flat, dtype).reshape(shape)
    match layout:
        case "strided":
            buffer = np.zeros((*shape[:-1], 2 * shape[-1]), dtype)
            buffer[..., ::2] = array
            return buffer[..., ::2]
        case "reversed":
            return array[::-1].copy()[::-1]
        case "transposed":
            return np.asfortranarray(array)
        case "scalar":
            return array[()]
    return array


LAYOUTS: dict[str, tuple[tuple[int, ...], str]] = {
    "0-d": ((), "plain"),
    "NumPy scalar": ((), "scalar"),
    "empty": ((0,), "plain"),
    "empty matrix": ((2, 0), "plain"),
    "vector": ((8,), "plain"),
    "strided": ((2, 4), "strided"),
    "reversed": ((8, 1), "reversed"),
    "transposed": ((4, 2), "transposed"),
}


def arguments(name: str, dtype: Any, layout: str, start: int = 0) -> list[Any]:
    shape, how = LAYOUTS[layout]
    made = []
    for column in columns(POINTWISE[name], prod(shape), start):
        kind = bool if column and type(column[0]) is bool else bool if name.startswith("logical") else dtype
        made.append(_laid_out(column, shape, how, kind))
    if name == "select" and not made[0].size:
        made[0] = made[0].astype(bool)
    return made


def broadcast_arguments(name: str, dtype: Any) -> list[list[Any]]:
    """Arguments of different shapes that broadcast, for rows with two or three."""
    count = len(POINTWISE[name].points)
    patterns = {2: [((2, 3), (3,)), ((), (3,)), ((2, 1), (1, 3)), ((3,), (2, 1)), ((0, 1), (3,))],
                3: [((2, 1), (3,), ()), ((3,), (2, 3), (2, 1)), ((), (2, 1), (3,))]}  # fmt: skip
    made = []
    for shapes in patterns.get(count, []):
        args = []
        for column, shape in zip(POINTWISE[name].points, shapes, strict=True):
            kind = bool if type(column[0]) is bool else dtype
            args.append(np.array([column[i % len(column)] for i in range(prod(shape))], kind).reshape(shape))
        made.append(args)
    return made


# the checks


def check_value(name: str, args: list[Any]) -> None:
    """The row's value on traced arguments: NumPy's bits, or near the truth where NumPy has no such function."""
    sample = POINTWISE[name]
    with np.errstate(all="ignore"):
        # NumPy's own last bits depend on how an array lies in memory; what a graph holds is a compact snapshot
        found, expected = value(sample.call(*map(traced, args))), sample.numpy(*map(snapshot, args))
    if sample.ulps is None:
        assert_same(found, expected)
        return
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    assert np.shape(found) == np.shape(expected)
    assert sample.exact is not None
    for x, y in zip(np.ravel(args[0]), np.ravel(found), strict=True):
        truth = sample.exact(mp.mpf(float(x)))
        assert abs(mp.mpf(float(y)) - truth) <= sample.ulps * np.finfo(y.dtype).eps * abs(truth), (x, y, truth)


def _input_nodes(args: list[Any]) -> list[Traced]:
    return [traced(arg) for arg in args]


def sweep_both(top: Any, bar: Any, wrt: list[Any]) -> list[Any]:
    """The adjoints of one sweep on values and one on a graph; asserts that they have the same bits."""
    nodes = [x.node for x in wrt]
    with np.errstate(all="ignore"):
        plain = Gradient(on_graph=False)
        settled = sweep(plain, {top.node: bar}, nodes)
        values = {node: plain.result(owed) for node, owed in settled.items()}
        graph = Gradient(on_graph=True)
        recorded = sweep(graph, {top.node: graph.operand(const(bar))}, nodes)
    assert recorded.keys() == values.keys()
    for node, owed in recorded.items():
        assert_same(graph.result(owed).value, values[node])
    return [values.get(node) for node in nodes]


@cache
def exact_partial(name: str, point: tuple[float, ...], order: tuple[int, ...]) -> Any:
    """∂f/∂… at the point, by mpmath's numerical differentiation with 40 digits."""
    exact = POINTWISE[name].exact
    assert exact is not None
    if name == "select":
        condition, *rest = point
        return mp.diff(lambda a, b: exact(condition, a, b), tuple(map(mp.mpf, rest)), order[1:])
    numbers = tuple(map(mp.mpf, point))
    return mp.diff(exact, numbers if len(numbers) > 1 else numbers[0], order if len(numbers) > 1 else order[0])


def live_slots(name: str) -> list[int]:
    sample = POINTWISE[name]
    if sample.exact is None:
        return []
    return [k for k, column in enumerate(sample.points) if type(column[0]) is not bool and k not in sample.dead]


def bars(shape: tuple[int, ...], dtype: Any) -> Any:
    """Adjoints of both signs that float16 holds."""
    return np.resize(np.array([1.0, -0.5, 2.0, 0.75, -1.5], dtype), shape)[()]


def _close(found: Any, exact: Any, scale: Any, terms: int, order: int, error: float) -> None:
    dtype = np.asarray(found).dtype
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    # each of `terms` payments is ULPS off by its own size, and adding them up rounds once a term
    bound = (ULPS[order] + terms) * eps * scale + error * eps * terms + tiny
    assert abs(mp.mpf(float(found)) - exact) <= bound, f"{found!r} is not {mp.nstr(exact, 20)} (± {mp.nstr(bound, 3)})"


def check_vjp(name: str, args: list[Any]) -> None:
    """The adjoint of every argument against Σ bar·∂f, with the exact partials; on values and on graph alike."""
    sample, slots = POINTWISE[name], live_slots(name)
    inputs = _input_nodes(args)
    with np.errstate(all="ignore"):
        top = sample.call(*inputs)
    if not slots:
        if top.dtype.kind == "f":
            assert sweep_both(top, bars(top.shape, top.dtype), inputs) == [None] * len(inputs)
        return
    bar = bars(top.shape, top.dtype)
    found = sweep_both(top, bar, [inputs[slot] for slot in slots])
    spread = [np.broadcast_to(arg, top.shape) for arg in args]
    for slot, got in zip(slots, found, strict=True):
        assert np.shape(got) == np.shape(args[slot])
        assert np.asarray(got).dtype == np.asarray(args[slot]).dtype
        total, scale = _zeros(args[slot]), _zeros(args[slot])
        unit = tuple(int(k == slot) for k in range(len(args)))
        for index in np.ndindex(top.shape):
            term = exact_partial(name, tuple(a[index].item() for a in spread), unit) * float(np.asarray(bar)[index])
            home = _home(index, np.shape(args[slot]))
            total[home] += term
            scale[home] += abs(term)
        terms = max(prod(top.shape) // max(total.size, 1), 1)
        for index in np.ndindex(total.shape):
            _close(np.asarray(got)[index], total[index], scale[index], terms, 1, sample.error)


def _zeros(like: Any) -> Any:
    return np.full(np.shape(like), mp.mpf(0), object)


def _home(index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Where an entry of a broadcast result comes from."""
    tail = index[len(index) - len(shape) :]
    return tuple(0 if extent == 1 else i for i, extent in zip(tail, shape, strict=True))


def check_second(name: str, args: list[Any]) -> None:
    """The gradient of each first derivative, by a sweep of the sweep, against exact second derivatives."""
    sample, slots = POINTWISE[name], live_slots(name)
    for first, second in itertools.product(slots, slots):

        def slope(x: Any, first: int = first, second: int = second) -> Any:
            def inner(y: Any) -> Any:
                changed = {second: x} | {first: y}
                return sample.call(*[changed.get(k, arg) for k, arg in enumerate(args)])

            _, pull = pb.vjp(inner, x if first == second else args[first])
            return pull(bars(np.shape(args[first]), np.asarray(args[first]).dtype))[0]

        with np.errstate(all="ignore"):
            _, pull = pb.vjp(slope, args[second])
            weight = bars(np.shape(args[second])[::-1], np.asarray(args[second]).dtype).reshape(np.shape(args[second]))[
                ()
            ]
            found = pull(weight)[0]
        order = tuple(int(k == first) + int(k == second) for k in range(len(args)))
        bar = bars(np.shape(args[first]), np.float64)
        for index in np.ndindex(np.shape(args[0])):
            point = tuple(np.asarray(a)[index].item() for a in args)
            factor = float(np.asarray(bar)[index]) * float(np.asarray(weight)[index])
            exact = exact_partial(name, point, order) * factor
            # a second derivative may be a difference of terms as large as the first derivatives at the point
            parts = [
                abs(exact_partial(name, point, tuple(int(k == s) for k in range(len(args))))) for s in (first, second)
            ]
            scale = max(abs(exact), *(part * abs(factor) for part in parts), abs(factor) / 4)
            _close(np.asarray(found)[index], exact, scale, 1, 2, sample.error)


def integers(shape: tuple[int, ...], dtype: Any, seed: int) -> Any:
    """Small whole numbers without zeros: sums of products of them are exact in every dtype."""
    generator = np.random.default_rng(seed)
    return (generator.integers(1, 4, shape) * generator.choice([-1, 1], shape)).astype(dtype)[()]


def _others(name: str, args: list[Any]) -> list[Any]:
    """What stands in the other arguments while one moves: a contraction is linear in each, the rest in all together."""
    return args if LINEAR[name].row == "contract" else [np.zeros_like(arg)[()] for arg in args]


def check_linear(name: str, dtype: Any, layout: str = "plain") -> None:
    """⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩ for each argument alone, exactly, and both namespaces alike."""
    case = LINEAR[name]
    args = [integers(shape, dtype, k) for k, shape in enumerate(case.shapes)]
    if layout != "plain" and all(np.ndim(arg) for arg in args):
        args = [_laid_out(list(arg.ravel()), arg.shape, layout, dtype) for arg in args]
    inputs = _input_nodes(args)
    top = case.call(*inputs, *case.more)
    bar = integers(top.shape, top.dtype, 7) * top.dtype.type(4)  # divisible, for means of four
    for slot, (got, arg) in enumerate(zip(sweep_both(top, bar, inputs), args, strict=True)):
        assert got.dtype == arg.dtype
        assert np.shape(got) == np.shape(arg)
        direction = integers(np.shape(arg), dtype, 11 + slot)
        others = _others(name, args)
        moved = case.call(*others[:slot], direction, *others[slot + 1 :], *case.more)  # linear: the row itself is J
        left = np.sum(np.asarray(moved, np.float64) * np.asarray(bar, np.float64))
        right = np.sum(np.asarray(direction, np.float64) * np.asarray(got, np.float64))
        assert left == right
        assert name in ("index nothing", "index empty list") or not np.size(arg) or not np.size(bar) or np.any(got)


def check_linear_second(name: str, dtype: Any) -> None:
    """The adjoint is linear as well: its own adjoint is J, exactly."""
    case = LINEAR[name]
    args = [integers(shape, dtype, k) for k, shape in enumerate(case.shapes)]
    expected_bar = np.asarray(case.call(*args, *case.more))
    for slot, arg in enumerate(args):

        def adjoint(bar: Any, slot: int = slot, arg: Any = arg) -> Any:
            _, pull = pb.vjp(lambda x: case.call(*args[:slot], x, *args[slot + 1 :], *case.more), arg)
            return pull(bar)[0]

        bar = integers(expected_bar.shape, expected_bar.dtype, 7) * expected_bar.dtype.type(4)
        _, pull = pb.vjp(adjoint, bar)
        direction = integers(np.shape(arg), dtype, 11 + slot) * np.asarray(arg).dtype.type(4)
        others = _others(name, args)
        moved = case.call(*others[:slot], direction, *others[slot + 1 :], *case.more)
        assert_same(
            np.asarray(pull(direction)[0]) + 0.0, np.asarray(moved) + 0.0
        )  # −0 + 0 = 0: zeros have no sign here


def check_reduction(name: str, x: Any, axis: Any, keepdims: bool) -> None:
    """A reduction's adjoint against exact derivatives of the function of each group of entries; second order too."""
    case = REDUCTIONS[name]
    source = traced(x)
    top = case.call(source, axis=axis, keepdims=keepdims)
    bar = bars(top.shape, top.dtype)
    (got,) = sweep_both(top, bar, [source])
    assert got.dtype == x.dtype
    assert np.shape(got) == x.shape
    (second,) = pb.vjp(lambda z: pb.vjp(lambda y: case.call(y, axis=axis, keepdims=keepdims), z)[1](bar)[0], x)[1](
        bars(x.shape, x.dtype)
    )
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis))
    kept = [a for a in range(x.ndim) if a not in axes]
    weight = np.asarray(bars(x.shape, np.float64))
    for outer in np.ndindex(*[x.shape[a] for a in kept]):
        members = [index for index in np.ndindex(x.shape) if tuple(index[a] for a in kept) == outer]
        numbers = [mp.mpf(float(x[index])) for index in members]
        owed = mp.mpf(float(np.asarray(bar).reshape([x.shape[a] for a in kept])[outer]))
        first, hessian = _exact_reduction(name, numbers)
        # exp(x − y) is as exact as x − y is: a rounding of y shows |y| times
        error = 2 * float(max(abs(n) for n in numbers)) + 2 if name == "logsumexp" else 0
        length = mp.sqrt(mp.fsum(n * n for n in numbers))
        curvature = max(1, 1 / length) if name == "norm" and length else 1  # how large second derivatives are
        for i, index in enumerate(members):
            _close(got[index], owed * first[i], abs(owed * first[i]), 1, 1, error)
            exact = owed * mp.fsum(hessian[i][j] * float(weight[member]) for j, member in enumerate(members))
            _close(second[index], exact, abs(owed) * len(members) * curvature, 1, 2, error * 2)


def _exact_reduction(name: str, numbers: list[Any]) -> tuple[list[Any], list[list[Any]]]:
    if name == "logsumexp":
        total = mp.fsum(mp.exp(n) for n in numbers)
        p = [mp.exp(n) / total for n in numbers]
        return p, [[p[i] * ((i == j) - p[j]) for j in range(len(p))] for i in range(len(p))]
    if name == "norm":
        y = mp.sqrt(mp.fsum(n * n for n in numbers)) or mp.inf  # at 0 all derivatives are taken as 0
        return [n / y for n in numbers], [
            [((i == j) - numbers[i] * numbers[j] / y / y) / y for j in range(len(numbers))] for i in range(len(numbers))
        ]
    best = REDUCTIONS[name].exact(numbers)
    winners = [n == best for n in numbers]  # ties share equally: the centre of the subgradients
    return [mp.mpf(w) / sum(winners) for w in winners], [[mp.mpf(0)] * len(numbers) for _ in numbers]


def check_abstract(call: Any, args: list[Any]) -> None:
    """Without numbers: the shape rule says what the value has, and running the graph gives the eager bits."""
    with np.errstate(all="ignore"):
        expected = call(*map(traced, args))
    inputs = [abstract(aval_of(arg[()] if isinstance(arg, np.ndarray) and not arg.ndim else arg)) for arg in args]
    top = call(*inputs)
    assert top.node.aval == aval_of(expected.node.value)
    (ran,) = Interpreter(Graph([x.node for x in inputs], [top.node]))(*args)
    assert type(ran) is type(expected.node.value) or np.ndim(ran) == 0
    assert_same(ran, expected.node.value)
