"""Plain arrays that a function makes and writes into while it runs: each use of one sees what it held then."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, TraceError, UnsupportedError

C = np.array([1.0, 2.0, 3.0])
Z = np.array([0.3, 0.5, 0.7])


def made_by_zeros(z):
    w = np.zeros(3)
    s = z + w
    w[0] = 5.0
    return s + z * w


def made_by_a_ufunc(z):
    t = np.sin(C)
    s = z * t
    t += 1
    return s + z * t


def made_by_an_operator(z):
    t = C * 2
    s = z * t
    t[0] = 9.0
    return s + z * t


def unit_vectors(z):
    k, parts = np.zeros(3), []
    for i in range(3):
        k[i] = 1.0
        parts.append(np.sum(z * k))
        k[i] = 0.0
    return np.array(parts)


def reversed_in_place(z):
    k = C.copy()
    a = z @ k
    k[:] = k[::-1]
    return a * z + k * z


def scaled_matrix(z):
    k = np.eye(3)
    a = k @ z
    k *= 2
    return a + k @ z


def drawn(z):
    k = np.random.default_rng(0).standard_normal(3)
    a = k * z
    k *= 2
    return a + k * z


def joined(z):
    k = C.copy()
    a = np.concatenate([z, k])
    k *= 2
    return a + np.concatenate([z, k])


def places(z):
    k = np.zeros(3, int)
    a = z[k]
    k += 1
    return a + z[k]


def mask(z):
    m = np.zeros(3, bool)
    a = np.where(m, z, 2 * z)
    m[1] = True
    return a + np.where(m, z, 0)


def mask_of_a_constant(z):
    m = C > 2
    a = z[m]
    m[1] = True
    return a * z[m]


def rows_of_a_buffer(z):
    k, out = np.zeros(3), np.zeros((3, 3))
    for i in range(3):
        k[i] = 1.0
        out[i] = k
        k[i] = 0.0
        out[i] += z
    return out


def becomes_traced_after_its_use(z):
    out = np.zeros(3)
    out[[0, 2]] += z[:2]
    np.add.at(out, [1, 1], z[1:])
    return out


def read_before_and_after(z):
    out = np.ones(3)
    first = out * z
    out[1] = z[0]
    return first + out


FUNCTIONS = [made_by_zeros, made_by_a_ufunc, made_by_an_operator, unit_vectors, reversed_in_place, scaled_matrix, drawn,
             joined, places, mask, mask_of_a_constant, rows_of_a_buffer, becomes_traced_after_its_use,
             read_before_and_after]  # fmt: skip
WAYS = {
    "vjp": lambda f: lambda z: pb.vjp(f, z)[0],
    "compiled": pb.compile,
    "interpreted": lambda f: pb.compile(f, native=False),
    "vmap": lambda f: lambda z: pb.vmap(f)(z[None])[0],
    "scan": lambda f: lambda z: pb.scan(lambda carry, x: (carry, f(x)), 0.0, z[None])[1][0],
    "compiled scan": lambda f: pb.compile(lambda z: pb.scan(lambda carry, x: (carry, f(x)), 0.0, z[None])[1][0]),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_each_use_sees_what_the_array_held_then(f, way):
    done = WAYS[way](f)
    for z in (Z, Z + 1.0):
        np.testing.assert_allclose(done(z), f(z), rtol=1e-15)
    gradient = pb.grad(lambda z: np.sum(np.sin(done(z))))(Z)
    np.testing.assert_allclose(gradient, pb.grad(lambda z: np.sum(np.sin(f(z))))(Z), rtol=1e-13)


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_once_traced_it_is_not_traced_again(f):
    compiled = pb.compile(f)
    for z in (Z, Z + 1.0, Z):
        compiled(z)
    assert compiled.reasons == ["first call"]


def test_an_array_from_around_that_the_function_writes_into():
    """It keeps what it held at each use of the call that was traced; its owner's later change is seen."""
    table = np.array([1.0, 2.0, 3.0])

    def f(z):
        first = z * table
        table[0] += 1.0
        return first + z * table

    compiled = pb.compile(f)
    np.testing.assert_array_equal(compiled(Z), Z * [1.0, 2.0, 3.0] + Z * [2.0, 2.0, 3.0])
    table[:] = 10.0
    np.testing.assert_array_equal(compiled(Z), Z * 10.0 + Z * [11.0, 10.0, 10.0])


def overwritten(x, y):
    x[0] = 7.0
    return np.sum(x * y)


def added(x, y):
    x += y
    return np.sum(x * y)


def carried(f):
    def step(carry, _):
        f(*carry)
        return carry, 0.0

    return lambda x, y: np.sum(pb.scan(step, (x, y), length=2)[0][0])


@pytest.mark.parametrize("f", [overwritten, added], ids=lambda f: f.__name__)
@pytest.mark.parametrize("way", [
    lambda f: pb.grad(f, argnums=(0, 1)), pb.grad, pb.compile, lambda f: pb.compile(pb.grad(f)),
    lambda f: lambda *args: pb.vjp(f, *args), lambda f: lambda *args: pb.jvp(f, args, args),
    lambda f: pb.grad(pb.compile(f), argnums=(0, 1)), pb.hessian, carried, lambda f: pb.grad(pb.remat(f)),
    lambda f: lambda x, y: pb.vmap(f)(x[None], y[None]), lambda f: pb.jacobian(pb.compile(f)),
    lambda f: lambda *args: pb.vmap(f)(*[np.broadcast_to(x, (2, *x.shape)) for x in args]),
    lambda f: pb.grad(lambda x, y: pb.vmap(f)(x[None], y[None])[0]),
    lambda f: lambda *args: pb.vjp(pb.compile(f), *args),
])  # fmt: skip
def test_arguments_that_share_memory(way, f):
    """Each is a copy: the write into one would not be seen in the other, as it is in NumPy."""
    transformed = way(f)
    transformed(C.copy(), Z)
    for y in (C.copy(), np.arange(4.0)):
        with pytest.raises(MutationError, match=r"shares its memory with another one.*copy"):
            transformed(y, y) if len(y) == 3 else transformed(y[:3], y[1:])
    way(lambda x, y: np.sum(x * y))(C, C)
    way(lambda x, y: f(x.copy(), y))(C, C)
    transformed(C[:1].copy(), C[1:2])


@pytest.mark.parametrize("f", [overwritten, added], ids=lambda f: f.__name__)
@pytest.mark.parametrize("way", [pb.grad, pb.compile, pb.remat], ids=lambda way: way.__name__)
def test_a_value_that_is_given_twice(f, way):
    with pytest.raises(MutationError, match="shares its memory"):
        pb.grad(lambda z: np.sum((lambda y: way(f)(y, y))(z * 1.0)))(C)


@pytest.mark.parametrize("way", [
    lambda f: pb.grad(pb.compile(f)), lambda f: pb.hessian(pb.compile(f)),
    lambda f: lambda x, y: pb.vjp(lambda x: pb.compile(f)(x, y), x),
    lambda f: lambda x, y: pb.jvp(lambda x: pb.grad(f, argnums=1)(x, y), (x,), (x,)),
    lambda f: lambda x, y: pb.vmap(f, (0, None))(x[None], y),
    lambda f: lambda x, y: pb.vmap(pb.compile(f), (0, None))(x[None], y),
    lambda f: lambda x, y: pb.grad(lambda x: pb.vmap(pb.compile(f), (0, None))(x[None], y)[0])(x),
])  # fmt: skip
def test_the_other_argument_of_an_inner_transform(way):
    """It is written into alone, and it is a plain array of which the outer transform knows nothing."""

    def f(x, y):
        y[0] = x[1]
        return np.sum(x * y)

    transformed = way(f)
    for _ in range(2):
        for y in (C, C[::-1]):
            with pytest.raises(MutationError, match="shares its memory"):
                transformed(C, y)
        transformed(C, C.copy())
        way(lambda x, y: f(x, y.copy()))(C, C)


def test_what_is_not_differentiated_by_shares_memory():
    def f(x, y):
        y *= 2.0
        return np.sum(x * y)

    for x in (C.copy(), C.copy()[::-1]):
        with pytest.raises(MutationError, match="shares its memory"):
            pb.grad(f)(x, x[:])
    np.testing.assert_array_equal(pb.grad(f)(C, Z.copy()), 2 * Z)


def test_remat_writes_into_its_arguments():
    def f(x, s, remat):
        y = x * 2.0
        first = y[:1]
        made = remat(lambda z, s: added(z, z * s) ** 0.5)(y, s)
        return made * y.sum() + first[0]

    for s in (0.5, np.float64(2.0)):
        wanted = pb.value_and_grad(f, argnums=(0, 1))(C, s, lambda f: f)
        assert wanted[0] == f(C, s, lambda f: f)
        for way in (lambda f: f, pb.compile):
            found = way(pb.value_and_grad(lambda x, s: f(x, s, pb.remat), argnums=(0, 1)))(C, s)
            np.testing.assert_allclose(np.hstack(found[1]), np.hstack(wanted[1]), 1e-13)


def test_branches_and_custom_gradients_have_copies():
    with pytest.raises(MutationError, match="a branch of cond writes into what it is given"):
        pb.compile(lambda x: pb.cond(x[0] > 0, added, overwritten, x * 1.0, x))(C)
    with pytest.raises(MutationError, match="square writes into an argument"):
        pb.grad(lambda x: square(x * 1.0))(C)


@pb.custom_gradient
def square(x):
    x += 1.0
    return np.sum(x), lambda bar: bar * x


@pytest.mark.parametrize("by", [lambda x: 1.0, lambda x: x[0]])
def test_what_a_sample_writes_into_what_all_share_is_its_own(by):
    def f(x, w):
        w[0] += by(x)
        return np.sum(x * w)

    samples = np.stack([Z, 2 * Z])
    alone = [np.sum(x * np.array([C[0] + by(x), *C[1:]])) for x in samples]
    np.testing.assert_allclose(pb.vmap(f, (0, None))(samples, C), alone, 1e-14)

    def total(w):
        return pb.vmap(f, (0, None))(samples, w).sum() + w[0]

    value, gradient = pb.value_and_grad(total)(C)
    np.testing.assert_allclose(value, sum(alone) + C[0], 1e-14)
    np.testing.assert_allclose(gradient, samples.sum(0) + np.eye(C.size)[0], 1e-14)


def doubled_first(x):
    x[0] = x[1] * 2.0
    return np.sum(x * x)


@pytest.mark.parametrize("f", [
    lambda x: pb.grad(pb.compile(doubled_first))(x).sum(), lambda x: pb.grad(doubled_first)(x * 1.0)[1],
    lambda x: pb.hessian(pb.compile(doubled_first))(x).sum(),
    lambda x: pb.vmap(pb.grad(pb.compile(doubled_first)))(np.stack([x, x])).sum(),
    lambda x: pb.grad(pb.remat(doubled_first))(np.stack([x, x])[0]).sum(),
])  # fmt: skip
@pytest.mark.parametrize("native", [True, False])
def test_a_write_into_a_copy_leaves_the_graph_as_it_is(f, native):
    """What stood for the argument is any operation of the graph, and is run as it was."""
    for g in (f, pb.grad(f)):
        wanted = g(C.copy())
        np.testing.assert_allclose(pb.compile(g, native=native)(C.copy()), wanted, rtol=1e-13)


def _begun(x):
    made = np.zeros(3)
    made[0], made[1:] = x[0] * 2, x[1:]
    return made


def nothing(x):
    return np.zeros(3)


BODIES = {
    "scan": lambda f, x: np.sum(pb.scan(lambda c, a: (np.tanh(c) + np.sum(f(a * C)), None), x[0], x)[0]),
    "while_loop": lambda f, x: pb.while_loop(lambda c: c < 9.0, lambda c: c + np.sum(f(c * C)) ** 2 + 1.0, x[0]),
    "vmap": lambda f, x: np.sum(pb.vmap(lambda a: f(a * C))(x)),
    "cond": lambda f, x: np.sum(pb.compile(lambda x: pb.cond(x[0] > 0, f, np.sin, x))(x)),
    "remat": lambda f, x: np.sum(pb.remat(f)(x)),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_reads_what_a_work_array_holds(name):
    """One of the function's own, into which something traced has been written."""

    def f(x):
        made = _begun(x)
        return BODIES[name](lambda a: a * made, x)

    pb.check_grads(f, Z, order=1)


@pytest.mark.parametrize("value", [lambda a: a[1], lambda a: 7.0], ids=["its own", "a constant"])
@pytest.mark.parametrize("begun", [_begun, nothing, lambda x: x], ids=["traced", "plain", "an argument"])
@pytest.mark.parametrize("name", BODIES)
def test_a_body_writes_into_no_array_around_it(name, begun, value):
    """What it writes would be there once, whatever runs; a gradient by it was lost, told nowhere."""

    def f(x):
        made, x = begun(x), x * 1.0

        def body(a):
            made[1] = value(a)
            return a * x

        return BODIES[name](body, x) + np.sum(made)

    if value(Z) == 7.0 and (name == "remat" or (name != "cond" and begun is nothing)):  # once is as good as many times
        pb.check_grads(f, Z, order=1)
        return
    for way in (pb.grad(f), pb.compile(pb.grad(f)), lambda z: pb.jvp(f, (z,), (z,))):
        with pytest.raises((TraceError, UnsupportedError), match=r"changes what it reads around|is used after it"):
            way(Z.copy())


def test_what_a_rematerialized_function_keeps():
    """It is used after it only where nobody asks for its derivative, as running means are."""
    kept = []

    def f(x):
        return np.sum(pb.remat(lambda a: (kept.append(np.where(a > 0, a * a, 0.0)), a * a)[1])(x))

    assert np.array_equal(pb.grad(lambda x: f(x) + np.sum(pb.stop_gradient(kept.pop())))(Z), 2 * Z)
    with pytest.raises(TraceError, match=r"is used after it \(.*test_work_arrays.py:\d+"):
        pb.grad(lambda x: f(x) + np.sum(kept.pop()))(Z)
    v = pb.variable(Z)
    with pytest.raises(TraceError, match="is used after it"):
        (f(v) + np.sum(kept.pop())).backward()
