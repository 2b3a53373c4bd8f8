"""numpy.polynomial with traced coefficients: the classes, and the functions of all six families."""

import numpy as np
import numpy.polynomial as npp
import pytest
from numpy.polynomial import Polynomial

import amount
import payback as pb
from payback.errors import PaybackError

C, D = np.array([0.5, -1.0, 2.0, 0.75]), np.array([1.5, 0.25])
X, Y = np.linspace(-1, 1.5, 7), np.sin(np.arange(7.0))
FAMILIES = {"polynomial": "poly", "chebyshev": "cheb", "legendre": "leg", "hermite": "herm", "hermite_e": "herme",
            "laguerre": "lag"}  # fmt: skip
CLASSES = {
    "value": lambda p, q: p(X) + q(0.5), "derivative": lambda p, q: p.deriv(2)(X) * q.deriv()(0.2),
    "integral": lambda p, q: p.integ(2, [1.0, 2.0], lbnd=0.5)(X), "sum": lambda p, q: (p + q - 2 * p + 1)(X),
    "product": lambda p, q: (p * q * 2.0)(X), "power": lambda p, q: (p**3)(X), "negative": lambda p, q: (-p / 2.0)(X),
    "coefficients": lambda p, q: (p * q).coef, "roots": lambda p, q: p.roots() * p.degree(),
    "cut": lambda p, q: (p.truncate(2) + q.cutdeg(0)).coef, "sampled": lambda p, q: p.linspace(5)[1],
}  # fmt: skip


def told(z):
    return np.sum(np.real(z) * np.arange(1.0, 1 + len(z))) + np.sum(np.imag(z) ** 2)


@pytest.mark.parametrize("kind", [module.title().replace("_", "") for module in FAMILIES][:: amount.cases(6, 1)])
@pytest.mark.parametrize("name", CLASSES)
def test_classes(name, kind):
    f = lambda c, d: told(CLASSES[name](getattr(npp, kind)(c, [-1, 2]), getattr(npp, kind)(d, [-1, 2])))  # noqa: E731
    np.testing.assert_allclose(pb.value_and_grad(f)(C, D)[0], f(C, D), rtol=1e-11)
    pb.check_grads(f, C, D, order=2 if kind == "Polynomial" else 1)


@pytest.mark.parametrize("module", list(FAMILIES)[:: amount.cases(3, 1)])
def test_functions(module):
    names, space = FAMILIES[module], getattr(npp, module)
    calls = [
        lambda c, d: getattr(space, f"{names}add")(c, d), lambda c, d: getattr(space, f"{names}sub")(d, c),
        lambda c, d: getattr(space, f"{names}mul")(c, d), lambda c, d: getattr(space, f"{names}pow")(c, 2),
        lambda c, d: getattr(space, f"{names}der")(c, 2), lambda c, d: getattr(space, f"{names}int")(c, 1, [0.5]),
        lambda c, d: getattr(space, f"{names}fit")(X, Y * c[0] + c[1], 3),
        lambda c, d: getattr(space, f"{names}roots")(c),
        lambda c, d: getattr(space, f"{names}fit")(X + c[0] / 9, Y, 2, w=X * d[0] + 3.0),
        lambda c, d: getattr(space, f"{names}vander")(c, 3).ravel(),
    ]  # fmt: skip
    for call in calls:
        f = lambda c, d, call=call: told(call(c, d))  # noqa: E731
        np.testing.assert_allclose(pb.value_and_grad(f)(C, D)[0], f(C, D), rtol=1e-10)
        pb.check_grads(f, C, D, order=1)


def test_mixed_with_plain_ones():
    p = Polynomial([1.0, 2.0])
    f = lambda c: ((p * Polynomial(c) + Polynomial(c) * p - p)(X) / (p - Polynomial(c) * 0.1)(0.3)).sum()  # noqa: E731
    pb.check_grads(f, C, order=2)
    quotient = lambda c: sum(np.sum(part.coef**2) for part in divmod(Polynomial(c), p))  # noqa: E731
    pb.check_grads(quotient, C)
    assert pb.grad(lambda x: float(isinstance(Polynomial(x), Polynomial)) * x.sum())(C).tolist() == [1.0] * 4
    assert isinstance(p, Polynomial)
    assert not isinstance(npp.Chebyshev([1.0]), Polynomial)


def test_fits():
    f = lambda y: Polynomial.fit(X, y, 3)(0.3) + npp.Chebyshev.fit(X, y, 2, w=Y + 2).coef[1]  # noqa: E731
    np.testing.assert_allclose(pb.value_and_grad(f)(Y)[0], f(Y), rtol=1e-12)
    pb.check_grads(f, Y)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(Y), pb.grad(f)(Y), rtol=1e-10)
    assert type(Polynomial.fit(X, Y, 2)) is Polynomial
    with pytest.raises(PaybackError, match="ive domain="):
        pb.grad(lambda x: Polynomial.fit(x, Y, 2)(0.3))(X)
    pb.check_grads(lambda x: Polynomial.fit(x, Y, 2, domain=[-1, 2])(0.3), X)


def test_a_quotient_of_another_family_is_refused():
    with pytest.raises(PaybackError, match="onvert them"):
        pb.grad(lambda c: npp.legendre.legdiv(c, D)[0].sum())(C)


@pytest.mark.parametrize("module", ["polynomial", "chebyshev", "legendre", "hermite", "hermite_e", "laguerre"])
def test_several_variables_roots_and_other_bases(module):
    of_numpy = getattr(np.polynomial, module)
    prefix = {"polynomial": "poly", "chebyshev": "cheb", "legendre": "leg", "laguerre": "lag"}.get(module, module[:4])
    prefix = "herme" if module == "hermite_e" else prefix

    def f(x):
        c = np.outer(x[:2], x)
        made = [called(name)(x, x[::-1], c) for name in ("val2d", "grid2d")] + [called("fromroots")(x)]
        made += [called(name)(x, x * x, x[::-1], c[:, :, None] * x[:2]) for name in ("val3d", "grid3d")]
        made += [called("vander2d")(x, x[::-1], [2, 1]), called("vander3d")(x, x, x * x, [1, 2, 1])]
        if prefix != "poly":
            made += [called("2poly")(x), getattr(of_numpy, f"poly2{prefix}")(x)]
        return sum(
            (k + 1) * np.sum(part * np.cos(np.arange(part.size)).reshape(part.shape)) for k, part in enumerate(made)
        )

    called = lambda name: getattr(of_numpy, prefix + name)  # noqa: E731
    x = np.array([0.3, -0.7, 1.1])
    np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x), rtol=1e-12)
    pb.check_grads(f, x, order=1)
