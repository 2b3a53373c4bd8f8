"""Derivatives beyond the gradient of a number: Hessians, Jacobians, products with them, and those of each sample.

Each is one text for both libraries: `np` is NumPy's namespace or JAX's, `lib` has `grad`, `hessian`, `jacobian`,
`jacfwd`, `jvp`, `hvp`, `vjp` and `vmap` of either, with one meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from benchmarks.programs.listed import cast

DERIVATIVES: dict[str, Entry] = {}


@dataclass(frozen=True)
class Entry:
    """f(np, lib) -> a function of the data, which `made` makes."""

    f: Callable[[Any, Any], Callable[..., Any]]
    made: Callable[[numpy.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Derivative:
    """An entry with a precision, in the form that contestants are given works in."""

    name: str
    dtype: str = "float64"

    kind = "derivative"
    flops = moved = 0.0

    def data(self) -> tuple[Any, ...]:
        return tuple(cast(part, self.dtype) for part in DERIVATIVES[self.name].made(numpy.random.default_rng(0)))

    def of(self, np: Any, lib: Any) -> Callable[..., Any]:
        return DERIVATIVES[self.name].f(np, lib)


def derivative(name: str, *shapes: Any) -> Callable[[Any], Any]:
    """Puts f(np, lib) on the list: its function takes positive numbers of these shapes (tuples of them: containers)."""

    def numbers(g: numpy.random.Generator, shape: Any) -> Any:
        if isinstance(shape, tuple) and shape and isinstance(shape[0], tuple):
            return tuple(numbers(g, each) for each in shape)
        return g.uniform(0.5, 1.5, shape)

    def listed(f: Any) -> Any:
        DERIVATIVES[name] = Entry(f, lambda g: tuple(numbers(g, shape) for shape in shapes))
        return f

    return listed


def _rosenbrock(np: Any) -> Any:
    return lambda x: np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


for size in (10, 100, 1000):
    derivative(f"rosenbrock_{size}_hessian", (size,))(lambda np, lib: lib.hessian(_rosenbrock(np)))


@derivative("rosenbrock_product", (1000,), (1000,))
def _(np: Any, lib: Any) -> Any:
    return lambda x, v: lib.hvp(_rosenbrock(np), x, v)


def _logistic(np: Any) -> Any:
    def cost(w: Any, x: Any, y: Any) -> Any:
        z = (x - 1.0) @ w
        return np.sum(np.logaddexp(0.0, z) - y * z)

    return cost


@derivative("logistic_hessian", (20,), (500, 20), (500,))
def _(np: Any, lib: Any) -> Any:
    return lib.hessian(_logistic(np))


@derivative("logistic_product", (20,), (20,), (500, 20), (500,))
def _(np: Any, lib: Any) -> Any:
    return lambda w, v, x, y: lib.hvp(lambda w: _logistic(np)(w, x, y), w, v)


def _network(np: Any) -> Any:
    def network(p: Any, x: Any) -> Any:
        w1, b1, w2, b2 = p
        return np.tanh((x - 1.0) @ (w1 - 1.0) + b1) @ w2 + b2

    return network


def _flat(np: Any) -> Any:
    return lambda p, x: _network(np)((p[:256].reshape(8, 32), p[256:288], p[288:384].reshape(32, 3), p[384:]), x)


_WEIGHTS = ((8, 32), (32,), (32, 3), (3,))


@derivative("gradients_of_samples", _WEIGHTS, (128, 8), (128, 3))
def _(np: Any, lib: Any) -> Any:
    return lib.vmap(lib.grad(lambda p, x, y: np.mean((_network(np)(p, x) - y) ** 2)), (None, 0, 0))


@derivative("norms_of_gradients_of_samples", _WEIGHTS, (128, 8), (128, 3))
def _(np: Any, lib: Any) -> Any:
    each = lib.vmap(lib.grad(lambda p, x, y: np.mean((_network(np)(p, x) - y) ** 2)), (None, 0, 0))
    return lambda p, x, y: sum(np.sum(g.reshape(128, -1) ** 2, axis=1) for g in each(p, x, y))


@derivative("jacobians_by_inputs", _WEIGHTS, (128, 8))
def _(np: Any, lib: Any) -> Any:
    return lib.vmap(lib.jacobian(_network(np), 1), (None, 0))


@derivative("network_hessian", (387,), (128, 8), (128, 3))
def _(np: Any, lib: Any) -> Any:
    return lib.hessian(lambda p, x, y: np.mean((_flat(np)(p, x) - y) ** 2))


@derivative("gauss_newton_product", (387,), (387,), (128, 8))
def _(np: Any, lib: Any) -> Any:
    def product(p: Any, v: Any, x: Any) -> Any:
        outputs = lambda p: _flat(np)(p, x)  # noqa: E731
        return lib.vjp(outputs, p, lib.jvp(outputs, (p,), (v,))[1])

    return product


@derivative("gradient_of_a_laplacian", ((2, 32), (32,), (32, 1), (1,)), (128, 2))
def _(np: Any, lib: Any) -> Any:
    def cost(p: Any, x: Any) -> Any:
        h = lib.vmap(lib.hessian(lambda z: np.sum(_network(np)(p, z))))(x)
        return np.mean((h[:, 0, 0] + h[:, 1, 1]) ** 2)

    return lib.grad(cost)


@derivative("gradient_penalty", _WEIGHTS, (128, 8), (128, 3))
def _(np: Any, lib: Any) -> Any:
    def cost(p: Any, x: Any, y: Any) -> Any:
        slopes = lib.grad(lambda x: np.sum(_network(np)(p, x) ** 2))(x)
        return np.mean((_network(np)(p, x) - y) ** 2) + np.sum(slopes**2)

    return lib.grad(cost)


def _residuals(np: Any) -> Any:
    return lambda p, t, y: p[0] * np.exp(-p[1] * t) + p[2] * np.sin(p[3] * t + p[4]) - y


@derivative("residuals_jacobian", (5,), (200,), (200,))
def _(np: Any, lib: Any) -> Any:
    return lib.jacfwd(_residuals(np))


def _arm(np: Any) -> Any:
    def place(q: Any) -> Any:
        angles = np.cumsum(q)
        return np.stack([np.sum(np.cos(angles)), np.sum(np.sin(angles))])

    return place


@derivative("arm_jacobian", (30,))
def _(np: Any, lib: Any) -> Any:
    return lib.jacobian(_arm(np))


@derivative("arm_jacobians", (1000, 7))
def _(np: Any, lib: Any) -> Any:
    return lib.vmap(lib.jacobian(_arm(np)))


def _burgers(np: Any) -> Any:
    def slope(u: Any) -> Any:
        n, right, left = u.shape[0], np.roll(u, -1), np.roll(u, 1)
        return u * (right - left) * n / 2 - 0.01 * (right - 2 * u + left) * n * n

    return slope


@derivative("burgers_product", (10_000,), (10_000,))
def _(np: Any, lib: Any) -> Any:
    return lambda u, v: lib.jvp(_burgers(np), (u,), (v,))[1]


for size in (200, 1000):
    derivative(f"burgers_{size}_jacobian", (size,))(lambda np, lib: lib.jacobian(_burgers(np)))


@derivative("gaussian_process_hessian", (5,), (50, 3), (50,))
def _(np: Any, lib: Any) -> Any:
    def cost(t: Any, x: Any, y: Any) -> Any:
        distance = np.sum((x[:, None] - x[None]) ** 2 * np.exp(t[:-2]), axis=-1)
        root = np.linalg.cholesky(np.exp(t[-2] - 0.5 * distance) + np.exp(t[-1]) * np.eye(50, dtype=x.dtype))
        z = np.linalg.solve(root, y)
        return 0.5 * z @ z + np.sum(np.log(np.diagonal(root)))

    return lib.hessian(cost)


@derivative("third_derivatives", (10_000,))
def _(np: Any, lib: Any) -> Any:
    return lib.vmap(lib.grad(lib.grad(lib.grad(lambda a: np.sin(a) * np.exp(-a * a)))))


@derivative("gradients_through_solutions", (1000, 4, 4), (1000, 4))
def _(np: Any, lib: Any) -> Any:
    at = 3.0 * numpy.eye(4)
    return lib.vmap(lib.grad(lambda m, b: np.sum(np.linalg.solve(m + at.astype(m.dtype), b) ** 2)))


@derivative("softmax_jacobians", (256, 10))
def _(np: Any, lib: Any) -> Any:
    def softmax(z: Any) -> Any:
        e = np.exp(z - np.max(z))
        return e / np.sum(e)

    return lib.vmap(lib.jacobian(softmax))


@derivative("triples_hessian", (300,))
def _(np: Any, lib: Any) -> Any:
    return lib.hessian(lambda z: np.sum(np.sin(z[:-2] * z[1:-1] * z[2:])))
