"""Programs with complex numbers: NumPy's values on plain numbers, and derivatives as finite differences see them."""

import cmath
import inspect
import operator

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, PaybackError, TraceError, UnsupportedError
from payback.trace.complex.functions import IN_C

X = np.array([0.9, 1.7, 0.5, -0.7])
C = np.array([1 + 2j, 0.5 - 1j, 2j, -1.0])
LA = np.linalg


def z(x):
    return x + 1j * np.sin(x[::-1])


def m(x):
    return z(x).reshape(2, 2)


def written(x):
    a = np.zeros((2, 2), dtype=complex)
    a[0, 0] = x[0]
    a[0, 1] += 1j * x[1]
    a[1] = z(x)[:2]
    a *= 2
    a += C.reshape(2, 2)
    a[1, 1] -= 1 / x[0]
    b = np.empty_like(a)
    b[...] = a @ a
    whole = np.ones(3, complex)
    whole[:2] *= np.exp(1j * x[:2])
    whole.imag[2] = x[3]
    np.add.at(whole, [0, 0, 1], z(x)[:3])
    return np.concatenate([a.ravel(), b.ravel(), whole])


def read_as_a_view(x):
    a = 1j * x
    a[1:3] = a[:2] * x[0]
    part = a.real
    part[0] = x[1]
    return a


def gates(x):
    state = np.zeros((2, 2), complex)
    state[0, 0] = 1
    for axis, angle in enumerate(x[:2]):
        gate = np.array([[np.cos(angle), -1j * np.sin(angle)], [-1j * np.sin(angle), np.cos(angle)]])
        state = np.moveaxis(np.tensordot(gate, state, axes=(1, axis)), 0, axis)
    return state * np.exp(-1j * x.reshape(2, 2))


PROGRAMS = {
    "sums": lambda x: x * C + 1j - z(x) + (2 - C) * x - x * 1j,
    "quotients": lambda x: C / z(x) + z(x) / C + x / C + 2 / z(x) + z(x) / x + 1j / x + np.reciprocal(z(x)),
    "powers": lambda x: z(x) ** 2 + z(x) ** -3 + z(x) ** 0.5 + z(x) ** 1.7 + z(x) ** (1 - 1j) + 2 ** z(x) + z(x) ** x
    + z(x) ** 0 + np.square(z(x)) + (x + 3) ** 1j,
    "exponentials": lambda x: np.exp(z(x)) + np.log(z(x)) + np.sqrt(z(x)) + np.log2(z(x)) + np.log10(z(x))
    + np.expm1(z(x)),
    "the root of what lies left": lambda x: np.sqrt(-2 + 1j * x) + np.sqrt(-2 - 1j * x) + np.sqrt(x * 1j),
    "circular": lambda x: np.sin(z(x)) + np.cos(z(x)) + np.tan(z(x)),
    "hyperbolic": lambda x: np.sinh(z(x)) + np.cosh(z(x)) + np.tanh(z(x)) + np.tanh(500 * z(x)),
    "parts": lambda x: np.abs(z(x)) + abs(z(x)[0]) + np.angle(z(x)) + np.angle(z(x), deg=True) + np.conj(z(x)) * x
    + z(x).conj().imag + np.real(z(x)) + np.imag(z(x)) + (-z(x)).real,
    "moved": lambda x: np.concatenate([z(x)[1:3], m(x).T[0], np.roll(z(x), 1), m(x)[:, ::-1].ravel(), np.flip(z(x)),
                                       np.where(x > 0, z(x), 1j), np.where(x > 0, x, C), m(x)[0, None].squeeze(),
                                       np.stack([z(x), x]).flatten(), np.split(z(x), 2)[1], m(x).swapaxes(0, 1)[1],
                                       np.append(z(x), 1j), np.block([[m(x)], [m(x) * x[0]]])[2], np.tile(z(x), 2)]),
    "put beside": lambda x: np.concatenate([np.diff(z(x), append=z(x)[:1], prepend=2.0),
                                            np.pad(z(x), 1, constant_values=3 - 1j), np.pad(z(x), 1)]),
    "reduced": lambda x: np.array([z(x).sum(), z(x).mean(), np.prod(z(x)), np.trace(m(x)), m(x).sum(axis=0)[1],
                                   np.prod(m(x), axis=1)[0], np.cumprod(z(x))[2], z(x).var() + 0j, np.std(m(x)),
                                   np.add.reduce(z(x)), np.polyval(C, z(x))[1], np.polyval(z(x), x)[0]]),
    "products": lambda x: np.concatenate([(m(x) @ m(x).conj().T).ravel(), C.reshape(2, 2) @ x.reshape(2, 2)[0],
                                          [np.vdot(z(x), C), np.dot(z(x), x), np.inner(x, z(x))], np.kron(z(x), C[:2]),
                                          np.outer(x, z(x))[1], np.multiply.outer(z(x), x)[2], np.convolve(z(x), C)]),
    "einsum": lambda x: np.einsum("ij,jk,kl->il", m(x), C.reshape(2, 2), m(x)) + np.einsum("i,i", x, C)
    + np.einsum("ij->j", m(x)) + np.einsum("a,b,c,a->", z(x), x, C, z(x)),
    "systems": lambda x: LA.inv(m(x)) + LA.solve(m(x), C[:2]) + LA.solve(m(x), C.reshape(2, 2)) + LA.det(m(x))
    + LA.matrix_power(m(x), 3) + LA.matrix_power(m(x), -1) + LA.matrix_power(m(x), 0),
    "determinants": lambda x: LA.det(np.outer(z(x), x) + np.diag(C + 1))
    + LA.det(np.stack([m(x), C[::-1].reshape(2, 2)])),
    "norms": lambda x: LA.norm(z(x)) + LA.norm(m(x)) + LA.norm(m(x), axis=0) + LA.norm(z(x), 3) + LA.norm(m(x), np.inf),
    "written": written, "read as a view": read_as_a_view, "gates": gates,
    "made": lambda x: np.array([[x[0], -1j * x[1]], [1j * x[2], x[3] * C[0]]]) + np.asarray([z(x)[0], 1.0])
    + np.array([x[0], x[1]], dtype=complex) + x.astype(complex)[:2] + np.full(2, z(x)[1]) + np.array(z(x)[:2]),
}  # fmt: skip


def cost(f):
    def of(x):
        y = f(x)
        return np.sum((y.real + 0.3 * y.imag) * np.linspace(0.5, 1.5, y.size).reshape(y.shape)) + np.sum(np.abs(y))

    return of


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_derivatives(name):
    f = PROGRAMS[name]
    expected = f(X)
    found, _ = pb.jvp(f, (X,), (X,))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    pb.check_grads(cost(f), X, order=2)


@pytest.mark.parametrize("name", ["powers", "systems", "written"])
def test_compiled_and_in_a_batch(name):
    value_and_gradient = pb.value_and_grad(cost(PROGRAMS[name]))
    batch = np.stack([X, X * 1.1])
    expected = [value_and_gradient(x) for x in batch]
    compiled = pb.compile(value_and_gradient)
    for x, (value, gradient) in zip(batch, expected, strict=True):
        made = compiled(x)
        np.testing.assert_allclose(made[0], value, rtol=1e-12)
        np.testing.assert_allclose(made[1], gradient, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(pb.vmap(value_and_gradient)(batch)[1], [g for _, g in expected], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["sums", "quotients", "powers", "circular", "products", "systems"])
def test_single_precision_stays_single(name):
    f = PROGRAMS[name]
    x = X.astype(np.float32)
    single = {"C": C.astype(np.complex64)}
    before = globals()["C"]
    globals().update(single)
    try:
        assert pb.vjp(f, x)[0].dtype == f(x).dtype == np.complex64
        assert pb.grad(cost(f))(x).dtype == np.float32
    finally:
        globals()["C"] = before


@pytest.mark.parametrize("f", [
    lambda x, s: x + 1j, lambda x, s: 1j - x, lambda x, s: np.sin(x + 0.5j), lambda x, s: (x + 1j) ** 1.5,
    lambda x, s: np.where(x > 0, x + 1j, x), lambda x, s: s * (x + 1j), lambda x, s: x + 1j * s,
    lambda x, s: s + 1j + x,
    lambda x, s: (x[0] + 2j) * s, lambda x, s: np.stack([x + 1j, x]), lambda x, s: np.array([x[0] + 1j, x[1]]),
    lambda x, s: np.prod(x + 1j), lambda x, s: np.linalg.norm(x + 1j), lambda x, s: (x + 2j) / (x - 1j),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_python_numbers_take_the_precision_of_arrays(f, dtype):
    """As 2.0 does, in real or in imaginary parts."""
    x = X[:3].astype(dtype)
    for found in (pb.vjp(f, x, 0.5)[0], pb.compile(f)(x, 0.5)):
        assert found.dtype == f(x, 0.5).dtype
        np.testing.assert_allclose(found, f(x, 0.5), rtol=1e-5 if dtype is np.float32 else 1e-12)


ELEMENTARY = [np.sqrt, np.log, np.log1p, np.exp, np.expm1, np.exp2, np.sign, np.sin, np.cos, np.tan, np.sinh, np.cosh,
              np.tanh, np.arcsin, np.arccos, np.arctan, np.arcsinh, np.arccosh, np.arctanh]  # fmt: skip
PLACES = np.array(
    [re + 1j * im for re in (0.0, 0.5, -0.5, 1.0, -1.0, 2.5, -2.5) for im in (0.0, 0.25, -0.25, 1.5, -1.5)]
)


@pytest.mark.parametrize("f", ELEMENTARY)
def test_elementary_functions_on_the_axes_and_beside(f):
    """Values at both sides of each cut; derivatives, parts that are 0 among them, where there is one."""

    def of_parts(re, im):
        z = np.zeros(re.shape, complex)
        z.real, z.imag = re, im
        w = f(z)
        return w.real, w.imag

    z = np.concatenate([PLACES, np.conj(PLACES)])  # so that each zero has both signs
    with np.errstate(all="ignore"):
        expected, made = f(z), pb.vjp(of_parts, z.real, z.imag)[0]
        finite = np.isfinite(expected)
        np.testing.assert_allclose((made[0] + 1j * made[1])[finite], expected[finite], rtol=1e-13, atol=1e-15)
        h = 1e-6
        by_re, by_im = (f(z + h) - f(z - h)) / (2 * h), (f(z + 1j * h) - f(z - 1j * h)) / (2 * h)
        by_half = (f(z + 0.5j * h) - f(z - 0.5j * h)) / h
        smooth = finite & (abs(by_re) < 50) & (abs(by_im) < 50) & (abs(by_im - by_half) < 1e-4)  # no pole, no cut
        assert np.count_nonzero(smooth) >= 40
        for part, weights in (("real", (1.0, 0.0)), ("imag", (0.0, 1.0))):
            bars = tuple(np.full(z.shape, weight) for weight in weights)
            slopes = pb.vjp(of_parts, z.real, z.imag)[1](bars)
            for found, true in zip(slopes, (by_re, by_im), strict=True):
                np.testing.assert_allclose(found[smooth], getattr(true, part)[smooth], rtol=1e-6, atol=1e-7)


ON_CUTS = {  # of x·1j, x + 0j and their conjugates, whose zeros have signs
    "powers": lambda z: (z**2) ** 0.5 + (z**-2) ** 0.5 + (z**5) ** 0.5 + (z**1.5) ** 0.5 + np.reciprocal(z) ** 0.5,
    "products": lambda z: np.sqrt(z * -2.0) + np.sqrt(z * 1j) + np.sqrt(-1j * z) + np.arctan(2 * z) + np.log(z * C[0]),
    "quotients": lambda z: np.sqrt(z / -2.0) + np.sqrt(z / 1j) + np.sqrt(1 / z) + np.sqrt(1j / z) + np.log(z / C[0]),
    "sums": lambda z: np.sqrt(z + 0.25) + np.sqrt(z - 0.25) + np.sqrt(0.25 - z) + np.arctanh(z + 1j),
    "functions": lambda z: (
        np.sqrt(np.exp(z)) + np.arctan(z - 1j) + np.log(np.sin(z)) + np.sqrt(np.exp2(z)) + np.sqrt(np.tanh(z))
    ),
}


@pytest.mark.parametrize("name", ON_CUTS)
def test_sides_of_cuts(name):
    """The sign of a zero says on which side of a cut a number lies: NumPy's values, interpreted and compiled."""

    def of(x):
        made = [ON_CUTS[name](z) for z in (x * 1j, x * -1j, x + 0j, np.conj(x + 0j), -(x * 1j), 1j * x * 2)]
        w = np.concatenate(made)
        return w.real, w.imag

    x = np.array([-2.5, -0.7, 0.3, 3.0])
    for found in (pb.vjp(of, x)[0], pb.compile(of)(x), pb.vmap(of)(x[:, None])):
        if found[0].ndim > 1:
            found = [part.T.ravel() for part in found]
        for part, expected in zip(found, of(x), strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("f", [np.expm1, np.log1p])
def test_digits_near_nothing(f):
    import mpmath as mp

    z = np.array([1e-9 + 1e-9j, -1e-12 + 1e-7j, 1e-5 - 3e-3j, 0.3 + 0.2j, 1e-3 - 1e-8j])
    exact = [complex(mp.expm1(mp.mpc(x)) if f is np.expm1 else mp.log1p(mp.mpc(x))) for x in z]
    made = pb.vjp(lambda x: f(x * z), 1.0)[0]
    np.testing.assert_allclose(made.real, np.real(exact), rtol=1e-12)
    np.testing.assert_allclose(made.imag, np.imag(exact), rtol=1e-12)


def test_a_gradient_by_complex_numbers_points_where_the_cost_rises_most():
    """∂/∂re + i·∂/∂im, which for |z|² is 2z."""
    np.testing.assert_allclose(pb.grad(lambda z: np.sum(np.abs(z) ** 2))(C), 2 * C)
    assert pb.grad(lambda z: (z * z).real)(1 + 2j) == 2 - 4j
    weights = {"w": C, "b": X}
    moved = pb.grad(lambda p: np.sum(np.abs(p["w"] * p["b"] - 1) ** 2))(weights)
    np.testing.assert_allclose(moved["w"], 2 * (C * X - 1) * X)
    np.testing.assert_allclose(moved["b"], 2 * ((C * X - 1) * C.conj()).real)


def test_complex_numbers_go_through_calls_loops_and_batches():
    turned = pb.compile(lambda z, x: z * np.exp(1j * x))
    np.testing.assert_allclose(turned(C, X), C * np.exp(1j * X), rtol=1e-14)
    np.testing.assert_allclose(pb.vmap(lambda z: z * z.conj())(C), C * C.conj())
    last, parts = pb.scan(lambda z, x: (z * np.exp(1j * x), z.real), C[:2], X)
    np.testing.assert_allclose(last, C[:2] * np.exp(1j * X.sum()), rtol=1e-14)
    np.testing.assert_allclose(parts[1], (C[:2] * np.exp(1j * X[0])).real, rtol=1e-14)
    pb.check_grads(lambda x: np.abs(pb.scan(lambda z, a: (z * np.exp(1j * a) + a, None), 1 + 0j, x)[0]), X, order=2)
    assert pb.hessian(lambda x: np.angle(x[0] + 1j * x[1]))(X[:2]).shape == (2, 2)


def test_an_infinity_beside_nothing_stays_one():
    """Python's 1j has no real part, so there is no 0·∞ in it."""
    value, tangent = pb.jvp(lambda x: (1j * x).imag + np.abs(1j / x), (np.array([np.inf, 2.0]),), (np.ones(2),))
    np.testing.assert_array_equal(value, [np.inf, 2.5])
    np.testing.assert_array_equal(tangent, [1.0, 0.75])


def test_powers_of_nothing():
    x = np.array([0.0, -0.0, 2.0])
    f = lambda x: (x + 1j * x) ** 1.5  # noqa: E731
    slope = lambda x: pb.grad(lambda x: np.sum(f(x).real))(x)  # noqa: E731
    for compiled in (lambda f: f, pb.compile):
        np.testing.assert_allclose(compiled(f)(x), f(x), rtol=1e-14)
        np.testing.assert_allclose(compiled(slope)(x), [0, 0, 1.5 * f(x)[2].real / 2], rtol=1e-14)
    assert pb.grad(lambda s: ((s + 1j * s) ** 1.5).imag)(0.0) == 0.0


def test_roots_of_the_largest_numbers_and_quotients_by_nothing():
    big = np.array([1e308, -1e308, 3e-305])
    root = lambda x: np.sqrt(x + 1j * x)  # noqa: E731
    np.testing.assert_allclose(pb.vjp(root, big)[0], root(big), rtol=1e-9)
    zeros = np.array([0.0, -0.0])
    with np.errstate(all="ignore"):
        for f in (lambda x: 1 / (x + 0j), lambda x: (2 - 1j) / (x * 1j), lambda x: (x + 1j) / (x - 0j)):
            for found in (pb.vjp(f, zeros)[0], pb.compile(f)(zeros)):
                np.testing.assert_array_equal(found, f(zeros))


def test_large_and_small_numbers_are_divided():
    for scale in (1e200, 1e-200):
        value, slope = pb.value_and_grad(lambda x, s=scale: ((s * 2j) / (s * (x + 1j))).real)(1.0)
        np.testing.assert_allclose([value, slope], [1.0, -1.0], rtol=1e-14)


def test_plain_complex_arrays_of_a_traced_function_stay_numpys():
    def f(x):
        mask = np.zeros(4, complex)
        mask[1:3] = 1j
        values = np.linalg.eig(np.diag(mask) + np.eye(4))[0]  # payback knows no derivative of it
        assert type(values) is np.ndarray
        assert type(mask * 2) is np.ndarray
        return np.sum(x * values.imag)

    np.testing.assert_allclose(pb.grad(f)(X), [0, 1, 1, 0])


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: LA.svd(m(x)[:1])[2].real.sum(), UnsupportedError, "np.linalg.svd of traced complex numbers"),
        (lambda x: np.maximum(z(x), 1j).real.sum(), UnsupportedError, "np.maximum of traced complex numbers"),
        (lambda x: np.pad(z(x), 1, "maximum").real.sum(), UnsupportedError, "np.pad with mode='maximum' of traced"),
        (lambda x: z(x).argsort().sum(), PaybackError, ".argsort of traced complex numbers"),
        (lambda x: z(x)[0], DifferentiationError, "returns a complex number"),
        (lambda x: C.__iadd__(z(x)), TraceError, "cannot be written into a plain array"),
    ],
)
def test_what_is_refused(f, error, text):
    with pytest.raises(error) as caught:
        pb.grad(f)(X)
    assert text in str(caught.value)
    with pytest.raises(TypeError, match="no float"):
        pb.grad(lambda x: float(z(x)[0]))(X)


def _into(shape, write):
    out = np.zeros(shape, complex)
    write(out)
    return out


@pytest.mark.parametrize("f", [
    lambda x: np.sum(z(x), initial=1 + 1j), lambda x: np.sum(z(x), where=x > 0), lambda x: np.prod(z(x), initial=2j),
    lambda x: np.sum(z(x), dtype=np.complex64), lambda x: _into((), lambda out: np.sum(z(x), out=out)),
    lambda x: np.prod(z(x), where=x > 0), lambda x: np.cumprod(z(x), dtype=complex),
    lambda x: np.mean(z(x), dtype=complex), lambda x: _into((), lambda out: np.sum(z(x), None, None, out)),
    lambda x: _into((1, 4), lambda out: np.cumsum(z(x)[None], 1, None, out)),
    lambda x: np.var(z(x), None, None, None, 1), lambda x: np.std(z(x), where=x > 0, ddof=1),
    lambda x: _into(2, lambda out: np.sum(m(x), 0, None, out)),
    lambda x: _into((), lambda out: z(x).prod(0, None, out)),
    lambda x: _into(4, lambda out: np.cumsum(z(x), 0, complex, out)), lambda x: np.sum(z(x), 0, np.complex64),
    lambda x: np.diff(z(x), 1, -1, 1j, x[0] * 2j), lambda x: _into((2, 2), lambda out: np.dot(m(x), m(x), out)),
])  # fmt: skip
def test_options_of_reductions(f):
    def parts(x):
        made = f(x)
        return np.real(made), np.imag(made)

    for found in (pb.vjp(parts, X)[0], pb.compile(parts)(X)):
        np.testing.assert_allclose(found, parts(X), 1e-6)


def change(t):
    t *= 2j


MAKE = [
    lambda x: np.array(z(x)[0]), lambda x: np.asarray(z(x)[0] * 1j), lambda x: z(x)[0, ...],
    lambda x: np.copy(z(x)[1]), lambda x: np.where(x[0] > 0, z(x)[0], x[1]), lambda x: np.array(x[0], complex),
    lambda x: np.zeros((), complex) + z(x)[0], lambda x: z(x)[1], lambda x: np.full((), z(x)[0]),
    lambda x: np.reshape(z(x)[:1], ()),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKE)
def test_arrays_without_axes_are_written_into(make):
    """And numbers are not: an operator in place gives their name another one."""

    def parts(x):
        t = make(x)
        u = t
        u += x[1] * 1j
        change(t)
        row = np.atleast_1d(t)
        row[0] -= x[2]
        return np.array([t.real, t.imag, u.real, u.imag, row[0].real, row[0].imag])

    for found in (pb.vjp(parts, X)[0], pb.compile(parts)(X)):
        np.testing.assert_allclose(found, parts(X), 1e-14)
    pb.check_grads(parts, X)


def test_an_argument_without_axes_is_written_into():
    def f(t):
        u = t
        u += 1.0
        return t.real * u.imag

    at = np.array(1 + 2j)
    for way in (pb.value_and_grad(f), pb.compile(pb.value_and_grad(f))):
        value, slope = way(at)
        assert (value, slope) == (4.0, 2 + 2j)
    assert at == 1 + 2j


def test_each_array_of_several():
    def parts(x):
        made = np.atleast_1d(z(x), x, 1j * x[0])
        return [part for a in made for part in (np.real(a), np.imag(a))]

    for a, b in zip(pb.vjp(parts, X)[0], parts(X), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(UnsupportedError, match=r"np\.trapezoid of traced complex numbers"):
        pb.vjp(lambda x: np.trapezoid(x, z(x)).real, X)


@pytest.mark.parametrize("compare", [operator.gt, operator.ge, operator.lt, operator.le, operator.eq, operator.ne])
def test_they_are_compared_as_numpy_orders_them(compare):
    """By the real parts, then by the imaginary ones."""
    other = np.array([X[0] + 1j, 1 - 1j, X[2] + 0j, 0j])
    for pair in (lambda x: (x + 0j, other), lambda x: (other, x * 1j), lambda x: (x * 1j, x)):

        def f(x, pair=pair):
            return compare(*pair(x)) * x

        np.testing.assert_array_equal(pb.vjp(f, X)[0], f(X))
        np.testing.assert_array_equal(pb.compile(f)(X), f(X))


WITHOUT_AXES = {
    "asarray": lambda x: np.asarray(x[0] + 1j * x[1]), "array": lambda x: np.array(x[0] + 1j * x[1]),
    "np.copy": lambda x: np.copy(x[0] + 1j * x[1]), "where": lambda x: np.where(x[0] > 0, x[0] + 1j * x[1], x[2]),
    "full": lambda x: np.full((), x[0] + 1j * x[1]), "zeros": lambda x: np.zeros((), complex),
    "[...]": lambda x: np.sum(x * 1j)[...], "a number": lambda x: np.sum(x * 1j), "an entry": lambda x: (x * 1j)[0],
    "squeezed": lambda x: (x[:1] * (1 + 1j)).squeeze(), "reshaped": lambda x: (x[:1] * (1 + 1j)).reshape(()),
    "entry of a list": lambda x: np.array([x[0] + 1j])[0], "astype": lambda x: np.asarray(x[0]).astype(complex),
    "of a dtype": lambda x: np.array(x[0], complex), "copy": lambda x: np.array(x[0] * 1j).copy(),
}  # fmt: skip


def _added(w, x):
    other = w
    other += x[2]
    return w * 1


def _multiplied(w, x):
    other = w
    other *= 1j * x[2]
    return w + other


def _through_a_view(w, x):
    if isinstance(w, np.ndarray):
        row = w.reshape(1)
        row[0] += x[1]
    return w * 2


def _overwritten(w, x):
    if isinstance(w, np.ndarray):
        w[...] = x[1] * 2j
    return w * 1


@pytest.mark.parametrize("use", [_added, _multiplied, _through_a_view, _overwritten])
@pytest.mark.parametrize("make", WITHOUT_AXES)
def test_arrays_without_axes_are_arrays(make, use):
    """They are changed by operators in place, have views, and `isinstance` says what they are."""

    def f(x):
        made = use(WITHOUT_AXES[make](x), x)
        return np.real(made) * 2 + np.imag(made)

    for found in (pb.vjp(f, X)[0], pb.compile(f)(X)):
        np.testing.assert_allclose(found, f(X.copy()), 1e-14)


@pytest.mark.parametrize("of", [
    lambda x: x * 1j, lambda x: np.sum(x) * 1j, lambda x: x[0] + 1j, lambda x: np.asarray(x[0] * 1j),
    lambda x: np.zeros(2, complex), lambda x: (x * 1j)[:1], lambda x: x.astype(np.complex64)[0],
])  # fmt: skip
def test_isinstance_is_told_the_class(of):
    def f(x):
        w = of(x)
        kinds = (np.ndarray, complex, np.complex128, np.complex64, np.generic, float)
        return x * sum(2.0**k for k, kind in enumerate(kinds) if isinstance(w, kind))

    for found in (pb.vjp(f, X)[0], pb.compile(f)(X)):
        np.testing.assert_array_equal(found, f(X))


@pytest.mark.parametrize("g", [np.log, np.sqrt, np.angle, np.arccos, lambda z: z**0.3])
@pytest.mark.parametrize("of", [
    lambda x: (x + 0j) * -2.0, lambda x: -1 * x.astype(complex), lambda x: (x + 0j) * x[::-1],
    lambda x: np.array([-1.0, 3.0, 1.0, -1.0]) * (x - 0j) * -1.0,
])  # fmt: skip
def test_a_product_lies_on_numpys_side_of_a_cut(of, g):
    def f(x):
        made = g(of(x))
        return np.real(made) + 2 * np.imag(made)

    for x in (X, -X):
        for found in (pb.vjp(f, x)[0], pb.compile(f)(x)):
            np.testing.assert_allclose(found, f(x), 1e-12)


@pytest.mark.parametrize("of", [
    lambda x: x * 1j, lambda x: x + 0j, lambda x: (2.0 - x) * 1j, lambda x: x + 1j * np.copy(x, "F"),
    lambda x: (x.T.copy().T + 2j) * np.exp(1j * x), lambda x: np.copy(x, "F") * 1j - x,
])  # fmt: skip
def test_both_parts_lie_as_the_numbers_do(of):
    """By columns: a reshape by rows is a copy, so a write into it changes neither part."""

    def f(x):
        z = of(x)
        row = z.reshape(-1)
        row[0] = 5.0 + 2j
        return np.real(z), np.imag(z), np.real(row), np.imag(row)

    x = np.arange(6.0).reshape(2, 3)
    for given in (x, np.asfortranarray(x)):
        for found in (pb.vjp(f, given)[0], pb.compile(f)(given)):
            for a, b in zip(found, f(given), strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("part", ["real", "imag"])
@pytest.mark.parametrize("look", [
    lambda a: a, np.ravel, lambda a: a.reshape(4, 1), lambda a: a.T, lambda a: a[0].ravel(), lambda a: a.flat,
    lambda a: a[:1, :1].ravel(), lambda a: a.T.ravel("F"), lambda a: a.reshape(4).astype(float, copy=False),
    np.ascontiguousarray,
])  # fmt: skip
def test_a_part_is_a_view_where_numpys_is(look, part):
    def f(x, written):
        z = x * (1 + 2j)
        if written:  # before, or into what was made by NumPy
            z[1, 0] = x[0, 0]
        for a in (z, z.T.copy().T, np.zeros((2, 2), complex) + z):
            look(getattr(a, part))[0] = 5 * x[1, 1]
            x = x + np.abs(a) ** 2
        return x

    for written in (False, True):
        expected = f(X.reshape(2, 2), written)
        np.testing.assert_allclose(pb.vjp(f, X.reshape(2, 2), written)[0], expected, rtol=1e-14)


@pytest.mark.parametrize("function", IN_C)
def test_functions_in_c_are_called_as_they_tell(function):
    """Where NumPy is old enough not to tell, nothing is asked."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        parameters = None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert parameters is None or IN_C[function] == tuple(one.name for one in parameters if one.kind in kinds)


@pytest.mark.parametrize("exponent", [0j, 2 + 0j, np.complex128(-3), 5 + 0j])
def test_whole_exponents_that_are_complex_are_whole(exponent):
    """As NumPy multiplies: to the power 0 anything is 1, infinity too."""
    x, n = np.array([0.5, -1.5, 2.0]), exponent.real
    value, pull = pb.vjp(lambda x: (x + 0j) ** exponent, x)
    np.testing.assert_allclose(value, (x + 0j) ** exponent, rtol=1e-14)
    np.testing.assert_allclose(pull(np.ones(3, complex))[0], n * x ** (n - 1), rtol=1e-13)
    assert exponent or pb.value_and_grad(lambda x: ((x + 0j) ** exponent).real)(np.inf) == (1.0, 0.0)


WHOLE = [np.array([200, 2], np.uint8), np.array([127, 100], np.int8), np.array([True, True]), np.int64(3), True,
         np.float16([0.5, 2.0]), np.float32(1.5), 2.0, 3 + 0j, np.array([1.0, 2.0], np.float32)]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("operate", [
    lambda a, b: a / b, lambda a, b: a * b, lambda a, b: a - b, lambda a, b: b - a, lambda a, b: b / a,
    lambda a, b: b ** (a if np.size(a) < 2 else 1), lambda a, b: np.power(2.0 if np.size(a) < 2 else a, b),
])  # fmt: skip
def test_what_meets_complex_numbers_is_promoted_first(operate, dtype):
    """As NumPy does it: of a byte 200 the negative is 56, and the power of a float32 is no complex128."""
    z = np.array([1 + 2j, 3 - 1j], dtype)
    for other in WHOLE:
        expected = operate(other, z)
        found = pb.vjp(lambda z, other=other: operate(other, z), z)[0]
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=2e-5 if expected.dtype == np.complex64 else 1e-13)


def _python_s(a, b):
    z = complex(a, b)
    assert isinstance(z, complex)
    assert type(z) is complex
    made = cmath.exp(z) + cmath.log(z, 3) * cmath.sqrt(a - 5) + cmath.rect(*cmath.polar(z)) + cmath.phase(z)
    return abs(made + cmath.atanh(z) + complex(a) * complex(real=1, imag=b)) + np.zeros(2, dtype=complex).real.sum()


def test_python_s_complex_numbers():
    assert pb.value_and_grad(_python_s)(0.3, 0.2)[0] == pytest.approx(_python_s(0.3, 0.2), rel=1e-14)
    pb.check_grads(_python_s, 0.3, 0.2)
    assert pb.compile(pb.grad(_python_s))(0.3, 0.2) == pytest.approx(pb.grad(_python_s)(0.3, 0.2), rel=1e-12)
    assert "complex" not in globals()


def test_questions_and_roundings():
    def f(x):
        z = x + 1j * np.array([0.0, 1.0, np.nan])
        told = (
            np.isreal(z) * 1.0,
            np.iscomplex(z),
            np.isclose(z, z + 1e-9),
            np.isclose(z, z, equal_nan=True),
            np.round(z, 1),
        )
        asked.append([np.asarray(pb.stop_gradient(part.real)) for part in told])
        assert np.real_if_close(z[:1]).dtype == np.float64
        assert np.real_if_close(z[1:]).dtype == np.complex128
        return np.sum(x) * np.allclose(z[:2], z[:2] + 1e-9)

    asked = []
    x = np.array([0.26, 1.0, 2.0])
    assert pb.grad(f)(x).tolist() == [1.0, 1.0, 1.0]
    f(x)
    np.testing.assert_array_equal(*asked)
