"""vmap: what it returns is what a loop over the samples returns, stacked; in every nesting."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

import payback as pb
from amount import cases
from ops.test_own import CASES
from payback.errors import InputError, ShapeError, TraceError
from payback.ir.aval import Aval
from payback.ops.batching import leading
from payback.ops.row import TABLE
from payback.trace.abstract import trace
from payback.trace.tree import leaves, tree_map
from transforms.modes import N, assert_close, looped

GENERATOR = np.random.default_rng(4)


def sample(generator, *shape):
    return generator.uniform(0.5, 2.0, (N, *shape))


SYSTEM = scipy.sparse.csc_array(np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 0.5], [1.0, 0.0, 4.0]]))
I1, I2 = np.array([2, 0, 2]), np.array([[0, 1], [1, 1]])


def written(x):
    out = np.zeros(4)
    out[1:] = x
    out[0] = x[0] * x[1]
    out[[2, 2]] += x[0]
    return out


# name: (function of one sample, shapes of its arguments); at least one use of each row that has a form for batches
def written_at_places(x):
    """A place that is named twice keeps the last value."""
    out = np.ones(3)
    out[np.argsort(x) // 2] = x
    return out


PROGRAMS = {
    "pointwise": (lambda x, y: np.exp(x) * y + np.tanh(x) / y - np.minimum(x, y), [(4,), (4,)]),
    "pointwise of different ranks": (lambda x, y, z: x * y + y * z - x * z, [(), (4,), (2, 4)]),
    "broadcasting": (lambda x, y: x * y[:, None] + y[:, None] ** x, [(1, 4), (3,)]),
    "scalars": (lambda a, b: a * b + 2.0 * a - 1 / b, [(), ()]),
    "where": (lambda x, c: np.where(c > 1, x, np.sin(x)), [(2, 4), (4,)]),
    "where with a scalar condition": (lambda x, c: np.where(c > 1, x, 0.0), [(2, 4), ()]),
    "clip and comparisons": (lambda x: np.clip(x, 0.7, 1.5) * (x > 1) + abs(x - 1), [(5,)]),
    "sum": (lambda x: x.sum(axis=1) + x.sum() + x.sum(axis=-1, keepdims=True)[:, 0], [(3, 4)]),
    "mean, variance": (lambda x: x.mean(0) * x.var() + np.std(x, axis=0, ddof=1), [(3, 4)]),
    "max, min": (lambda x: x.max(axis=0) - x.min(axis=(0, 1)) * x.max(), [(3, 4)]),
    "logsumexp": (lambda x: pb.nn.logsumexp(x, axis=1) + pb.nn.softmax(x, axis=0)[:, 0], [(3, 4)]),
    "norm": (lambda x: np.linalg.norm(x) + np.linalg.norm(x, axis=1), [(3, 4)]),
    "broadcast": (lambda x, s: np.broadcast_to(x, (2, 3)) * np.broadcast_to(s, (2, 3)), [(3,), ()]),
    "reshape": (lambda x: x.reshape(4, 3) @ x.ravel().reshape(3, 4), [(3, 4)]),
    "transpose": (lambda x: x.transpose(2, 0, 1) * np.swapaxes(x, 0, 2), [(2, 2, 2)]),
    "concatenate and stack": (
        lambda x, y: np.concatenate([x, np.stack([y, y * 2, np.ones(2)]), x], axis=0) + np.stack([y[0], y[1]]),
        [(3, 2), (2,)],
    ),
    "cumsum": (lambda x: np.cumsum(x, axis=1) + np.cumsum(x, axis=0), [(3, 4)]),
    "products": (lambda a, v, b: a @ v + v @ b @ v * (a @ b) @ v + np.outer(v, v)[0], [(3, 3), (3,), (3, 3)]),
    "a sparse system": (lambda b: scipy.sparse.linalg.spsolve(SYSTEM, b * b) * b, [(3,)]),
    "tensordot": (
        lambda a, b: np.tensordot(a, b, axes=([1], [0])) + np.tensordot(a, b, axes=0).sum(),
        [(2, 3), (3, 2)],
    ),
    "basic index": (lambda x: x[1] * x[0, ::-1] + x[..., -1:] + x[None, 2, 1], [(3, 4)]),
    "index arrays": (lambda x: x[I1] * x[I1, :] + x[:, I2].sum(axis=(1, 2))[I1][:, None], [(3, 4)]),
    "separated index arrays": (lambda x: x[I1, :, I1] * x[0, :, I1] + x[I1, 1, I1][:, None], [(3, 2, 3)]),
    "index arrays behind a slice": (lambda x: x[:, I2, 1:, None] * x[:, I2[:, :, None], [0]][..., None], [(2, 3, 2)]),
    "take": (lambda x: np.take(x, I2, axis=1) + x[0, 0], [(3, 4)]),
    "places": (
        lambda x: (
            x.ravel()[np.argmax(x)],
            x * np.argmin(x, axis=1)[:, None],
            np.argsort(x, axis=0),
            np.argpartition(x, 1, axis=1)[:, 1],
            np.sort(x, axis=1),
        ),
        [(3, 4)],
    ),
    "written at places": (written_at_places, [(5,)]),
    "places of numbers": (lambda x: np.searchsorted(np.array([0.8, 1.2, 1.6]), x) * x, [(5,)]),
    "a place in each sample": (lambda x: x[np.searchsorted(np.sort(x), 1.2) // 2] * x[1], [(5,)]),
    "powers of two": (lambda x: np.ldexp(x, 2) + np.frexp(x**8)[1], [(5,)]),
    "running": (lambda x: np.maximum.accumulate(x, axis=1) * np.add.reduceat(x, [0, 2], axis=0)[1], [(3, 4)]),
    "prod, cumprod": (lambda x: np.prod(x, axis=1)[:, None] * np.cumprod(x, axis=1), [(3, 4)]),
    "item assignment": (written, [(3,)]),
    "of one sample only": (lambda x: np.arange(3.0), [()]),
    "partly of one sample": (lambda x: (x, np.ones(2), 3.0, 4), [(2,)]),
    "containers": (lambda p: {"a": p["u"] * p["v"][0], "b": (p["v"][1].sum(),)}, [{"u": (2,), "v": [(2,), (3,)]}]),
    "remat": (lambda x, w: pb.remat(lambda x: np.sin(w @ np.sin(x)))(x), [(3,), (3, 3)]),
    "compile inside": (pb.compile(lambda x, w: np.sin(w @ x) + 1), [(3,), (3, 3)]),
    "gradient": (pb.grad(lambda x, w: np.sum(np.sin(w @ x) * x)), [(3,), (3, 3)]),
    "gradients of a gradient": (
        pb.grad(lambda x: np.sum(pb.grad(lambda y: np.sum(np.sin(y * x) * y**2))(x * 2) ** 2)),
        [(3,)],
    ),
    "jvp": (lambda x, v: pb.jvp(lambda x: np.cumsum(np.sin(x) * x[::-1]), (x,), (v,)), [(3,), (3,)]),
    "vjp": (lambda x, v: pb.vjp(lambda x: x[I1] * x, x)[1](v)[0], [(3,), (3,)]),
    "jacobian": (pb.jacobian(lambda x: np.sin(x)[:, None] * x), [(3,)]),
    "hessian": (pb.hessian(lambda x: np.sum(x**3 * x[::-1])), [(3,)]),
    "hvp": (lambda x, v: pb.hvp(lambda x: np.sum(x**3 * x[::-1]), x, v), [(3,), (3,)]),
    "solve, inv, det": (
        lambda a, b: (
            np.linalg.solve(a @ a.T + 3 * np.eye(3), b) * np.linalg.det(a) + np.linalg.inv(a + 9 * np.eye(3)) @ b
        ),
        [(3, 3), (3,)],
    ),
    "cholesky, slogdet": (
        lambda a: np.linalg.cholesky(a @ a.T + np.eye(3)) * np.linalg.slogdet(a + 5 * np.eye(3))[1],
        [(3, 3)],
    ),
    "eigh": (lambda a: (lambda r: (r[0], r[1] ** 2))(np.linalg.eigh(a + a.T + np.diag([1.0, 4.0, 9.0]))), [(3, 3)]),
    "svd": (lambda a: (lambda r: (r[0] ** 2, r[1], r[2] ** 2))(np.linalg.svd(a + np.diag([1.0, 4.0, 9.0]))), [(3, 3)]),
    "complex qr": (lambda a: np.abs(np.linalg.qr(a + 1j * np.eye(3))[0]), [(3, 3)]),
    "eigenvalues": (lambda a: pb.grad(lambda a: np.sum(np.abs(np.linalg.eigvals(a + 0j))))(a), [(3, 3)]),
    "qr, pinv": (lambda a: np.linalg.qr(a + np.eye(3))[1][:2] + np.linalg.pinv((a + np.eye(3))[:, :2]), [(3, 3)]),
    "lstsq, which is run on one sample after another": (
        lambda a, b: np.linalg.lstsq(a + np.eye(4, 2), b, rcond=None)[0],
        [(4, 2), (4,)],
    ),
    "scan": (lambda x, h: pb.scan(lambda c, r: (np.sin(c + r) * x[0], c), h, x), [(4, 2), (2,)]),
    "scan with a counter": (lambda x: pb.scan(lambda c, r: ((c[0] + 1, c[1] * r), (c[0], r)), (0, 1.0), x), [(4,)]),
    "cond": (lambda x, s: pb.cond(s > 1.2, lambda x: np.sin(x), lambda x: x * s, x), [(3,), ()]),
    "while_loop": (lambda x: pb.while_loop(lambda c: np.sum(c) < 10.0, lambda c: c * 1.5, x, max_steps=9), [(3,)]),
    "root": (lambda a: pb.root(lambda x: x**3 - a, a), [(2,)]),
    "custom_gradient": (pb.custom_gradient(lambda x, s: (x * s, lambda bar: (bar * s, np.sum(bar * x)))), [(3,), ()]),
    "vmap": (pb.vmap(lambda x: np.sin(x) * x.sum()), [(4, 2)]),
    "vmap over another axis": (pb.vmap(lambda x, y: x * y, (1, None), 1), [(4, 2), ()]),
}


FEW = list(PROGRAMS)[:: cases(3, 1)]
# NumPy has no linear algebra in float16
NO_FLOAT16 = {name for name in PROGRAMS if any(word in name for word in ("inv", "chol", "eig", "svd", "lst", "root"))}


def arguments(shapes, dtype=np.float64, seed=4):
    generator = np.random.default_rng(seed)

    def build(shape):
        if isinstance(shape, dict):
            return {key: build(part) for key, part in shape.items()}
        if isinstance(shape, list):
            return [build(part) for part in shape]
        return sample(generator, *shape).astype(dtype)

    return [build(shape) for shape in shapes]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_a_loop(name):
    f, shapes = PROGRAMS[name]
    args = arguments(shapes)
    assert_close(pb.vmap(f)(*args), looped(f)(*args))


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_argument_alone(name):
    """The others are the same for all samples."""
    f, shapes = PROGRAMS[name]
    if len(shapes) == 1:
        shapes = [*shapes, ()]
        f = (lambda g: lambda x, s: tree_map(lambda leaf: leaf * s, g(x)))(f)
    args = arguments(shapes)
    for k in range(len(args)):
        given = [arg if i == k else tree_map(lambda leaf: leaf[0], arg) for i, arg in enumerate(args)]
        axes = tuple(0 if i == k else None for i in range(len(args)))
        assert_close(pb.vmap(f, axes)(*given), looped(f, axes)(*given))


def squares(f):
    """A scalar of all floating results, in which samples are added up."""

    def summed(*args):
        made = [leaf for leaf in leaves(f(*args)) if type(leaf) not in (int, float) and leaf.dtype.kind == "f"]
        return sum((np.sum(leaf * leaf) for leaf in made), 0.0)

    return summed


WHOLE = {"places", "scan with a counter"}  # they return whole numbers too, which have no tangent
DIFFERENTIABLE = [name for name in PROGRAMS if name not in ("of one sample only", "partly of one sample")]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_the_gradient_of_a_batch(name):
    """grad∘vmap, and vmap∘grad, against the gradient of each sample by itself."""
    f, shapes = PROGRAMS[name]
    args = arguments(shapes)
    every = tuple(range(len(args)))
    expected = looped(pb.grad(squares(f), every))(*args)
    assert_close(pb.grad(squares(pb.vmap(f)), every)(*args), expected, 1e-11)
    assert_close(pb.vmap(pb.grad(squares(f), every))(*args), expected, 1e-11)


@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if name not in WHOLE])
def test_the_tangents_of_a_batch(name):
    f, shapes = PROGRAMS[name]
    args, tangents = tuple(arguments(shapes)), tuple(arguments(shapes, seed=5))

    def pushed(*given):
        half = len(given) // 2
        return pb.jvp(f, given[:half], given[half:])[1]

    expected = looped(pushed)(*args, *tangents)
    assert_close(pb.jvp(pb.vmap(f), args, tangents)[1], expected, 1e-11)
    assert_close(pb.vmap(pushed)(*args, *tangents), expected, 1e-11)


@pytest.mark.parametrize("name", FEW)
def test_without_numbers(name):
    """In a graph that is traced without numbers, and compiled."""
    f, shapes = PROGRAMS[name]
    args = arguments(shapes)
    expected = pb.vmap(f)(*args)
    assert_close(trace(pb.vmap(f), *args)(*args), expected, 0)
    assert_close(pb.compile(pb.vmap(f))(*args), expected, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("name", FEW)
def test_dtypes_stay(name, dtype):
    if dtype is np.float16 and name in NO_FLOAT16:
        return
    f, shapes = PROGRAMS[name]
    args = arguments(shapes, dtype)
    found, expected = pb.vmap(f)(*args), looped(f)(*args)
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if b.dtype.kind == "f":
            tolerance = 100 * float(np.finfo(b.dtype).eps)
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(np.max(np.abs(b), initial=1)))


@pytest.mark.parametrize("name", FEW)
def test_no_samples(name):
    f, shapes = PROGRAMS[name]
    args = tree_map(lambda leaf: leaf[:0], arguments(shapes))
    found, full = pb.vmap(f)(*args), pb.vmap(f)(*arguments(shapes))
    assert [(leaf.shape, leaf.dtype) for leaf in leaves(found)] == [
        ((0, *leaf.shape[1:]), leaf.dtype) for leaf in leaves(full)
    ]


def values(result):
    return tree_map(lambda x: x.value if hasattr(x, "node") else x, result)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.abstract][:: cases(3, 1)])
def test_every_row_of_its_own(name):
    """All uses of rows with a rule of their own, and their gradients, in a batch of nearby samples."""
    case = CASES[name]
    factors = 1 + np.arange(N) / 64
    args = [np.stack([np.asarray(a, float) * s for s in factors]) for a in case.args]

    def f(*xs):
        return values(case.call(*[pb.variable(x) for x in xs]))

    assert_close(pb.vmap(case.call)(*args), looped(f)(*args), 1e-9)
    every = tuple(range(len(args)))
    if TABLE[case.rows[0]].vjp is not None:
        slope = pb.grad(squares(case.call), every)
        assert_close(pb.vmap(slope)(*args), looped(slope)(*args), 1e-7)


@pytest.mark.parametrize("seed", range(cases(3, 60)))
def test_random_indices(seed):
    """Reading, and paying back, through any index of slices, numbers, arrays and new axes, all batched in any way."""
    generator = np.random.default_rng(seed)
    for _ in range(10):
        rank = int(generator.integers(1, 4))
        shape = tuple(generator.integers(2, 4, rank))
        template, arrays, common = [], [], tuple(generator.integers(1, 3, generator.integers(0, 3)))
        for extent in shape:
            kind = generator.integers(0, 5)
            if kind == 0:
                template.append(slice(None, None, int(generator.choice([-1, 1, 2]))))
            elif kind == 1:
                template.append(int(generator.integers(-extent, extent)))
            else:
                template.append(len(arrays))
                own = common[int(generator.integers(0, len(common) + 1)) :]
                arrays.append(generator.integers(-extent, extent, (N, *own)))
                template[-1] = ("array", len(arrays) - 1)
            if generator.integers(0, 5) == 0:
                template.append(None)
        if generator.integers(0, 3) == 0:
            template.insert(int(generator.integers(0, len(template) + 1)), Ellipsis)
        batched = generator.integers(0, 2, 1 + len(arrays)).astype(bool)
        if not batched.any():
            batched[0] = True
        x = generator.normal(size=(N, *shape))

        def read(x, *arrays, template=tuple(template)):
            return x[tuple(arrays[part[1]] if isinstance(part, tuple) else part for part in template)] ** 2

        args = [arg if there else arg[0] for arg, there in zip((x, *arrays), batched, strict=True)]
        axes = tuple(0 if there else None for there in batched)
        # NumPy itself would index a plain array, and cannot with a traced index
        uses = (read, pb.grad(lambda *args: np.sum(read(*args) ** 2)))
        for f in uses if batched[0] else uses[1:]:
            assert_close(pb.vmap(f, axes)(*args), looped(f, axes)(*args))
        wide = pb.grad(lambda x, *rest, axes=axes: np.sum(pb.vmap(read, axes)(x, *rest) ** 2))
        expected = looped(uses[1], axes)(*args)
        assert_close(wide(*args), expected if batched[0] else expected.sum(0), 1e-11)


# axes


def test_axes_of_arguments_and_results():
    x, y = GENERATOR.normal(size=(2, N, 4)), GENERATOR.normal(size=(4, N))
    f = lambda x, y: (x @ y, x)  # noqa: E731
    expected = [f(x[:, i], y[:, i]) for i in range(N)]
    found = pb.vmap(f, (1, -1), (1, 0))(x, y)
    assert_close(found, (np.stack([e[0] for e in expected], 1), np.stack([e[1] for e in expected])))
    found = pb.vmap(f, (1, 1), -1)(x, y)
    assert_close(found, (np.stack([e[0] for e in expected], -1), np.stack([e[1] for e in expected], -1)))
    slope = pb.grad(lambda x: np.sum(pb.vmap(f, (1, 1), (1, -1))(x, y)[1] ** 3))(x)
    np.testing.assert_allclose(slope, 3 * x**2)


def test_axes_of_containers():
    p = {"w": GENERATOR.normal(size=(2, N)), "b": GENERATOR.normal(size=N), "k": 2.0}
    x = [GENERATOR.normal(size=(N, 2)), GENERATOR.normal(size=2)]
    f = lambda p, x: (p["w"] * x[0] + p["b"] * x[1]) * p["k"]  # noqa: E731
    expected = np.stack([f({"w": p["w"][:, i], "b": p["b"][i], "k": 2.0}, [x[0][i], x[1]]) for i in range(N)])
    assert_close(pb.vmap(f, ({"w": 1, "b": 0, "k": None}, [0, None]))(p, x), expected)
    assert_close(pb.vmap(f, [{"w": 1, "b": 0, "k": None}, [0, None]])(p, x), expected)


def test_out_axes_of_none_and_of_containers():
    x = np.arange(3.0)
    found = pb.vmap(lambda x: {"x": x[None] * [1.0, 2.0], "same": 3.0}, out_axes={"x": 1, "same": None})(x)
    np.testing.assert_array_equal(found["x"], [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]])
    assert found["same"] == 3.0
    np.testing.assert_array_equal(pb.vmap(lambda x: 2.0)(x), [2.0, 2.0, 2.0])


def test_keyword_arguments_have_their_samples_in_front():
    found = pb.vmap(lambda x, *, scale: x * scale, (None,))(2.0, scale=np.arange(3.0))
    np.testing.assert_array_equal(found, [0.0, 2.0, 4.0])


def test_what_is_the_same_for_all_keeps_its_numbers():
    """Arguments without samples can be branched on, and what is no number is handed on."""

    def f(x, flag, how):
        return (x if flag > 0 else -x) * (2 if how == "twice" else 1)

    np.testing.assert_array_equal(pb.vmap(f, (0, None, 0))(np.arange(3.0), 1.0, "twice"), [0.0, 2.0, 4.0])


def test_modules_as_arguments():
    net = pb.nn.MLP([3, 4, 2], activation="tanh", dtype=float)
    X, y = GENERATOR.normal(size=(N, 3)), GENERATOR.normal(size=(N, 2))

    def loss(net, x, y):
        return np.sum((net(x[None])[0] - y) ** 2)

    each = pb.vmap(pb.grad(loss), (None, 0, 0))(net, X, y)
    assert type(each) is pb.nn.MLP
    for i in range(N):
        assert_close(tree_map(lambda leaf, i=i: leaf[i], each), pb.grad(loss)(net, X[i], y[i]))
    nets = tree_map(lambda leaf: np.stack([leaf, 2 * leaf]), net)
    found = pb.vmap(loss, (0, None, None))(nets, X[0], y[0])
    np.testing.assert_allclose(found, [loss(net, X[0], y[0]), loss(tree_map(lambda p: 2 * p, net), X[0], y[0])])


def test_results_belong_to_the_caller():
    """Writable arrays that share no memory with an argument or with each other."""
    x = np.arange(6.0).reshape(3, 2)
    found = pb.vmap(lambda x: (x, x, x * 1, x[::-1], np.zeros(2), x.T))(x)
    for k, leaf in enumerate(found):
        assert leaf.flags.writeable
        assert not np.shares_memory(leaf, x)
        assert not any(np.shares_memory(leaf, other) for other in found[:k])
        leaf[...] = 7.0
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(3, 2))


# what the function uses from around it


def test_captured_traced_values_and_variables():
    x = np.array([1.0, 2.0, 3.0])
    found = pb.grad(lambda a: np.sum(pb.vmap(lambda x: np.sin(a * x) * a)(x)))(0.7)
    np.testing.assert_allclose(found, np.sum(np.cos(0.7 * x) * x * 0.7 + np.sin(0.7 * x)), rtol=1e-14)
    v = pb.variable(np.array([1.0, -1.0]))
    np.sum(pb.vmap(lambda x: v * x * v)(x)).backward()
    np.testing.assert_allclose(v.grad, 2 * v.value * x.sum())
    w = pb.variable(x)
    np.sum(pb.vmap(lambda w: w * w)(w)).backward()
    np.testing.assert_array_equal(w.grad, 2 * x)


def test_perturbations_are_not_confused():
    """Derivatives of different depth by variables of one name."""
    x = np.array([1.0, 2.0, 3.0])
    f = pb.grad(lambda x: x * np.sum(pb.vmap(lambda y: pb.jvp(lambda x: x * y, (x,), (1.0,))[1])(np.ones(2))))
    np.testing.assert_array_equal(pb.vmap(f)(x), [2.0, 2.0, 2.0])
    g = pb.vmap(lambda x: x * pb.grad(lambda y: x + y)(x))
    assert_close(g(x), x)
    assert_close(pb.jvp(g, (x,), (np.ones(3),))[1], np.ones(3))
    h = pb.vmap(lambda x: pb.jvp(lambda x: x * pb.grad(lambda x: x * x)(x), (x,), (1.0,))[1])
    assert_close(h(x), 4 * x)
    k = pb.grad(lambda x: np.sum(pb.vmap(lambda y: pb.grad(lambda z: z * y * x[0])(y))(x)))
    assert_close(k(x), np.array([x[0] + x.sum(), x[0], x[0]]))  # of Σ y·x₀


def test_a_batch_of_batches():
    x, y = GENERATOR.normal(size=4), GENERATOR.normal(size=3)
    table = pb.vmap(pb.vmap(lambda a, b: np.sin(a * b), (None, 0)), (0, None))
    assert_close(table(x, y), np.sin(np.outer(x, y)))
    mixed = pb.vmap(pb.vmap(pb.grad(lambda a, b: np.sin(a * b), 1), (0, None)), (None, 0), 1)(x, y)
    assert mixed.shape == (4, 3)
    assert_close(mixed, np.cos(np.outer(x, y)) * x[:, None])
    assert_close(pb.jacobian(lambda x: table(x, y))(x), np.einsum(
        "ab,ac->abc", np.cos(np.outer(x, y)) * y, np.eye(4)), 1e-11)  # fmt: skip


def test_masks_sink_in_a_batch():
    """0 times infinity of a case that was not taken never arises, whatever stands outside."""
    x = np.array([-1.0, 0.0, 4.0])
    safe = lambda x: np.where(x > 0, np.log(x) * np.sqrt(x), 0.0)  # noqa: E731
    with np.errstate(all="ignore"):
        expected = np.array([0.0, 0.0, 0.5 + np.log(4.0) / 4])
    assert_close(pb.vmap(pb.grad(safe))(x), expected)
    assert_close(pb.grad(lambda x: np.sum(pb.vmap(safe)(x)))(x), expected)
    assert_close(pb.jvp(pb.vmap(safe), (x,), (np.ones(3),))[1], expected)
    chosen = pb.vmap(lambda x: pb.cond(x > 0, lambda x: np.log(x) * np.sqrt(x), lambda x: 0.0 * x, x))
    assert_close(pb.grad(lambda x: np.sum(chosen(x)))(x), expected)
    assert_close(pb.jvp(chosen, (x,), (np.ones(3),))[1], expected)
    second = pb.vmap(pb.grad(pb.grad(safe)))(x)
    np.testing.assert_array_equal(second[:2], 0.0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda key: pb.random.uniform(key, (3, 2)),
        lambda key: pb.random.uniform(key, (5,), np.float32, -1.0, 2.0),
        lambda key: pb.random.normal(key, (3,)),
        lambda key: pb.random.normal(pb.random.fold_in(key, 2**33 + 5), (2, 2), np.float32),
        lambda key: [pb.random.uniform(k) for k in pb.random.split(key, 3)],
        lambda key: pb.scan(lambda c, i: (c + pb.random.normal(pb.random.fold_in(key, i)), c), 0.0, np.arange(4)),
    ],
)
def test_one_key_for_each_sample(draw):
    """The bits of the draw with that key alone: in a batch, compiled, and traced without numbers."""
    keys = np.stack([pb.random.key(seed) for seed in (0, 1, 2**40)])
    expected = looped(draw)(keys)
    assert_close(pb.vmap(draw)(keys), expected, 0)
    assert_close(pb.compile(pb.vmap(draw))(keys), expected, 0)
    assert_close(pb.compile(draw)(keys[2]), draw(keys[2]), 0)
    for a, b in zip(leaves(pb.vmap(draw)(keys)), leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_order_of_an_unknown_key_is_refused():
    with pytest.raises(InputError, match="Draw it outside"):
        pb.vmap(lambda key: pb.random.permutation(key, 3))(np.stack([pb.random.key(0), pb.random.key(1)]))


# errors


def test_a_branch_on_a_sample_names_the_line():
    with pytest.raises(TraceError, match=r"not known while .*test_vmap.py"):
        pb.vmap(lambda x: x if x > 0 else -x)(np.ones(3))


def test_a_function_of_no_samples_runs_once():
    seen = []
    pb.vmap(lambda x: seen.append(x) or x)(np.ones(3))
    assert len(seen) == 1
    assert seen[0].node.aval == Aval((), np.dtype(float))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: pb.vmap(lambda x, y: x)(np.ones(3), np.ones((4, 2))),
            ShapeError,
            "3 in x along axis 0, 4 in y along axis 0",
        ),
        (lambda: pb.vmap(lambda p: p["a"])({"a": np.ones(3), "b": np.ones(2)}), ShapeError, "2 in p['b'] along axis 0"),
        (lambda: pb.vmap(lambda x: x, None)(np.ones(3)), InputError, "vmap was given no samples"),
        (lambda: pb.vmap(lambda: 1.0)(), InputError, "vmap was given no samples"),
        (lambda: pb.vmap(lambda x: x)(2.0), ShapeError, "x has no axis 0"),
        (lambda: pb.vmap(lambda x: x, 2)(np.ones((3, 3))), ShapeError, "x has no axis 2 "),
        (lambda: pb.vmap(lambda x, y: x, (0,))(np.ones(3), 1.0), InputError, "1 axes for 2 arguments"),
        (lambda: pb.vmap(lambda x: x, ({"a": 0},))({"b": np.ones(3)}), InputError, "the arguments are args[0]['b']"),
        (lambda: pb.vmap(lambda x: x, out_axes=(0, 0))(np.ones(3)), InputError, "out_axes is (0, 0)"),
        (lambda: pb.vmap(lambda x: x, out_axes=1)(np.ones(3)), ShapeError, "cannot have its samples along axis 1"),
        (lambda: pb.vmap(lambda x: x, out_axes=None)(np.ones(3)), InputError, "differs from sample to sample"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


# wrong rules are caught


def rows_of(f, args):
    """The rows of the graph for one sample, those inside bodies too."""
    from payback.trace.body import Body

    def inside(nodes):
        for node in nodes:
            yield node.op.name
            for value in node.params.values():
                if isinstance(value, Body):
                    yield from inside(value.graph.nodes)

    made = trace(f, *[tree_map(lambda leaf: leaf[0], arg) for arg in args])
    return set(inside(made.graph.nodes))


def uses():
    """For each row with a form for batches the first program that uses it."""
    found = {}
    for name, (f, shapes) in PROGRAMS.items():
        for h in (f, pb.grad(squares(f))) if name in DIFFERENTIABLE else (f,):
            for row in rows_of(h, arguments(shapes)):
                found.setdefault(row, (name, h))
    return found


# the draws and `loop` have tests of their own; whether values repeat is the same for all samples of these programs
ELSEWHERE = {"random_bits", "fold_in", "loop", "repeated", "negligible", "distinct", "signs_of_qr", "phases_of_svd"}
RULES = sorted(name for name, row in TABLE.items() if row.batch is not None and name not in ELSEWHERE)
USED = uses()


def test_most_rules_stand_in_a_program():
    """The rules that are not bent here are those of the own rows, which are batched one by one above."""
    own_rows = {name for name, row in TABLE.items() if row.kind == "own"}
    assert set(RULES) - set(USED) <= own_rows


@pytest.mark.parametrize("row", [row for row in RULES if row in USED])
def test_a_wrong_rule_is_caught(row, monkeypatch):
    """The samples in another order, as a rule would have them that confuses axes."""
    name, f = USED[row]
    rule = TABLE[row].batch
    rule = {"leading": leading}.get(rule, rule)

    def bent(b, node, args, on):
        turned = [b.m.index(x, template=(slice(None, None, -1),)) if there else x
                  for x, there in zip(args, on, strict=True)]  # fmt: skip
        return rule(b, node, turned, on)

    args = arguments(PROGRAMS[name][1])
    expected = looped(f)(*args)
    assert_close(pb.vmap(f)(*args), expected, 1e-11)
    if row == "index":  # what turns the samples is one itself
        return
    monkeypatch.setattr(TABLE[row], "batch", bent)
    with pytest.raises((AssertionError, np.linalg.LinAlgError)):
        assert_close(pb.vmap(f)(*args), expected, 1e-11)


def test_a_batch_that_is_not_aligned_is_caught(monkeypatch):
    from payback.ad import batch

    monkeypatch.setattr(batch, "align", lambda m, x, shape, rank: x)
    f, shapes = PROGRAMS["pointwise of different ranks"]
    args = arguments(shapes)
    with pytest.raises((AssertionError, ShapeError)):
        assert_close(pb.vmap(f)(*args), looped(f)(*args))


@pytest.mark.parametrize("name", FEW)
def test_a_row_without_a_form_for_batches_is_run_on_one_sample_after_another(name, monkeypatch):
    """All rules taken away: the same results."""
    for row in RULES:
        if row not in ("scan", "transpose"):
            monkeypatch.setattr(TABLE[row], "batch", None)
    f, shapes = PROGRAMS[name]
    args = arguments(shapes)
    assert_close(pb.vmap(f)(*args), looped(f)(*args), 1e-11)


def test_what_all_samples_share_is_read_where_each_wants_it():
    """And may be written into, as any argument: a sample's writes are its own."""
    table, mask_of = np.arange(12.0).reshape(4, 3), np.array([0.2, 1.7, 4.1])

    def read(a, table):
        return table[np.floor(a).astype(int), 1] * a + np.sum(table[table[:, 0] > a])

    def write(a, table):
        table[0, 0] = a
        return np.sum(table**2)

    points = np.array([0.2, 1.7, 2.1])
    both = pb.value_and_grad(read)
    assert_close(pb.vmap(both, (0, None))(points, table), looped(both, (0, None))(points, table))
    assert_close(pb.vmap(write, (0, None))(points, table), looped(write, (0, None))(points, table.copy()))
    assert_close(pb.vmap(lambda a, t: np.sum(t[t[:, 0] > a]), (0, None))(mask_of, table), np.array([63.0, 63.0, 51.0]))
    np.testing.assert_array_equal(table, np.arange(12.0).reshape(4, 3))
