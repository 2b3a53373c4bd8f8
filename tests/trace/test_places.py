"""The ten places from which ordinary code calls NumPy's creation functions, and other Python around traced values."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import sys
import textwrap
from math import sin as imported_sin
from pathlib import Path

import numpy as np
import pytest
from numpy import zeros

import payback as pb
from payback.errors import MutationError, PaybackError, TraceError

X = np.array([0.5, 1.25, 2.0])
BUFFER = np.zeros(3)


def squares(x):
    out = np.zeros(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out


def squares_by_name(x):
    out = zeros(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out


def right(f, x=X):
    """The gradient of Σ sin(f(x)) for f that squares, and of second order by finite differences."""
    cost = lambda v: np.sum(np.sin(f(v)))  # noqa: E731
    assert np.allclose(pb.grad(cost)(x), 2 * x * np.cos(x**2), rtol=1e-14)
    pb.check_grads(cost, x, order=2)


def test_same_function():
    right(squares)


def test_closure_over_an_import():
    def make():
        import numpy as inner
        from numpy import zeros as made

        def f(x):
            out, other = inner.zeros(3), made(3)
            for i in range(3):
                other[i] = x[i]
                out[i] = other[i] * x[i]
            return out

        return f

    f = make()
    cell = f.__closure__[1].cell_contents
    right(f)
    assert f.__closure__[1].cell_contents is cell is np.zeros


def test_local_import():
    def f(x):
        import numpy
        from numpy import empty

        out, other = numpy.zeros(3), empty(3)
        other[:] = x
        for i in range(3):
            out[i] = other[i] * x[i]
        return out

    right(f)


def test_callee():
    right(lambda x: squares(x))


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules: one imports NumPy, the other its names."""
    folder = tmp_path / "squaring"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "whole.py").write_text(
        textwrap.dedent("""
        import numpy as np
        def squares(x):
            out = np.empty_like(x)
            for i in range(len(x)):
                out[i] = x[i] ** 2
            return out
        """)
    )
    (folder / "names.py").write_text(
        textwrap.dedent("""
        from math import pow as power
        from numpy import zeros, array, asarray
        def squares(x):
            out = zeros(len(x))
            for i in range(len(x)):
                out[i] = power(x[i], 2)
            return asarray(array([out[0], out[1], out[2]]))
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "squaring"
    for name in [name for name in sys.modules if name.startswith("squaring")]:
        del sys.modules[name]


@pytest.mark.parametrize("module", ["whole", "names"])
def test_callee_in_another_module(package, module):
    right(importlib.import_module(f"{package}.{module}").squares)
    helper = importlib.import_module(f"{package}.{module}")
    right(lambda x: helper.squares(x))
    if module == "names":
        assert helper.zeros is np.zeros
        assert helper.power is math.pow


def test_a_module_imported_while_tracing_keeps_no_wrapper(package):
    def f(x):
        from squaring.names import squares

        return squares(x)

    right(f)
    module = sys.modules["squaring.names"]
    assert module.zeros is np.zeros
    assert module.array is np.array
    assert module.power is math.pow
    right(f)


def test_from_numpy_import_zeros():
    right(squares_by_name)
    assert zeros is np.zeros


def test_method():
    class Model:
        def __init__(self, n):
            self.n = n

        def squares(self, x):
            out = zeros(self.n)
            for i in range(self.n):
                out[i] = x[i] ** 2
            return out

        __call__ = squares

    right(Model(3).squares)
    right(Model(3))
    right(functools.partial(Model.squares, Model(3)))


def fills_the_module_buffer(x):
    BUFFER[0] = x[0]
    return BUFFER.sum()


def fills_its_default(x, work=np.zeros(3)):  # noqa: B008
    work[1:] = x[1:]
    return work.sum()


def adds_to_the_module_buffer(x):
    BUFFER[1:] += x[1:]
    return BUFFER.sum()


def line_of(text):
    lines = Path(__file__).read_text("utf-8").splitlines()
    return 1 + next(i for i, line in enumerate(lines) if line.strip().startswith(text))


@pytest.mark.parametrize(
    ("f", "stores", "made"),
    [
        (fills_the_module_buffer, "BUFFER[0] = x[0]", "BUFFER = np.zeros(3)"),
        (adds_to_the_module_buffer, "BUFFER[1:] += x[1:]", "BUFFER = np.zeros(3)"),
        (fills_its_default, "work[1:] = x[1:]", "def fills_its_default"),
    ],
)
def test_an_array_made_before_the_trace(f, stores, made):
    before = BUFFER.copy()
    with pytest.raises(MutationError) as raised:
        pb.grad(f)(X)
    text = str(raised.value)
    assert f"{__file__}:{line_of(stores)} in {f.__name__}" in text
    assert f"made before the differentiated function ran ({__file__}:{line_of(made)}: " in text
    assert "Write into a new one, made inside the function" in text
    assert (before == BUFFER).all()


def test_an_array_made_of_plain_arrays_inside():
    def f(x):
        work = BUFFER * 2
        work[0] = x[0]
        return work.sum()

    with pytest.raises(MutationError, match=r"work was made from plain arrays only \(.*: work = BUFFER \* 2\)"):
        pb.grad(f)(X)

    def g(x):
        work = np.array(BUFFER * 2)
        work[0] = x[0]
        return work.sum()

    assert (pb.grad(g)(X) == [1, 0, 0]).all()


def test_an_attribute_made_before_the_trace():
    class Model:
        def __init__(self):
            self.work = np.zeros(3)

        def __call__(self, x):
            self.work[0] = x[0]
            return self.work.sum()

    with pytest.raises(MutationError, match=r"the array self.work was made before .*self.work = np.zeros\(3\)"):
        pb.grad(Model())(X)


def test_math_sin():
    f = lambda s: math.sin(s) * imported_sin(s)  # noqa: E731
    assert pb.grad(f)(0.5) == pytest.approx(math.sin(1.0), rel=1e-14)
    pb.check_grads(f, 0.5, order=3)
    value, slope = pb.value_and_grad(f)(0.5)
    assert type(value) is type(slope) is float
    pb.check_grads(lambda x: np.sum([math.exp(v) for v in x]), X)


def test_what_was_called_often_before():
    """Python has specialized its instructions by then for what modules hold."""

    def f(x):
        made = np.zeros(2)
        made[0] = math.sin(x)
        return made.sum() + np.linalg.norm([x, 1.0])

    slopes = [f(0.5) for _ in range(50)] and pb.grad(f)(0.5), [f(0.5) for _ in range(50)] and pb.grad(f)(0.5)
    assert slopes == pytest.approx([math.cos(0.5) + 0.5 / math.hypot(0.5, 1.0)] * 2, rel=1e-14)


MATH = {
    "cos": 0.5, "exp": 0.5, "expm1": 0.5, "log": 0.5, "log1p": 0.5, "sqrt": 0.5, "tanh": 0.5, "fabs": -0.5,
    "tan": 0.5, "asin": 0.5, "acos": 0.5, "atan": 0.5, "sinh": 0.5, "cosh": 0.5, "asinh": 0.5, "acosh": 1.5,
    "atanh": 0.5, "log2": 0.5, "log10": 0.5, "exp2": 0.5, "cbrt": 0.5, "degrees": 0.5, "radians": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", MATH)
def test_math(name):
    f = getattr(math, name)
    assert pb.value_and_grad(f)(MATH[name])[0] == pytest.approx(f(MATH[name]), rel=1e-15)
    pb.check_grads(lambda s: getattr(math, name)(s), MATH[name], order=2)
    pb.check_grads(f, MATH[name], order=2)


def test_math_of_several():
    pb.check_grads(lambda a, b: math.pow(a, b) * math.hypot(a, b) + math.log(a, b), 1.5, 2.5)
    pb.check_grads(lambda x: math.fsum(v * v for v in x) * math.prod(x) + math.dist(x, [1.0, 2.0, 0.0]), X)
    assert pb.grad(lambda s: s * math.floor(s) + s * math.isfinite(s) + math.ceil(s))(2.5) == 3.0
    pb.check_grads(lambda s: math.gamma(s) + math.lgamma(s) * math.erf(s) + math.erfc(s), 2.5)
    parts = lambda s: math.modf(3 * s)[0] * s + math.modf(-s)[1] + math.frexp(5 * s)[0] * math.frexp(s)[1]  # noqa: E731
    assert pb.value_and_grad(parts)(2.3)[0] == parts(2.3)
    pb.check_grads(parts, 2.3)
    with pytest.raises(ValueError, match=r"math domain error|expected a nonnegative input"):
        pb.grad(lambda s: math.sqrt(s))(-1.0)
    with pytest.raises(OverflowError):
        pb.grad(lambda s: math.exp(s))(1e4)
    with pytest.raises(TypeError, match="only scalars"):
        pb.grad(lambda x: math.sin(x))(X)


def test_math_of_float32_is_a_python_float():
    def f(x):
        y = math.sin(x)
        assert y.node.aval.weak
        return y * x

    found = pb.grad(f)(np.float32(0.5))
    assert found.dtype == np.float32


def test_array_of_traced_values():
    pb.check_grads(lambda a, b: np.sum(np.array([a, b, 2.0, a * b]) ** 3), 0.5, 1.5)
    pb.check_grads(lambda x: np.array([[x[0], 1], [2, x[1] * x[2]]]).T[0] @ x[:2], X)
    pb.check_grads(lambda x: np.sum(np.array([x, 2 * x, X]) * np.array((x[0], x[1], 1.0))), X)
    pb.check_grads(lambda x: np.sum(np.asarray([x[0], x[1]]) ** 2), X)

    def types(x):
        assert np.array([x, 1]).dtype == np.float64
        assert np.array([x, 1], np.float32).dtype == np.float32
        assert np.array(x, ndmin=2).shape == (1, 1)
        assert np.array([[x]], ndmin=1).shape == (1, 1)
        assert np.asarray(x, float).shape == ()
        return x

    pb.grad(types)(1.0)


def test_array_of_many_traced_values():
    n = 1000
    x = np.linspace(0, 1, n)
    found = pb.grad(lambda v: np.sum(np.array([s * s for s in v]) * x))(x)
    assert np.allclose(found, 2 * x * x)


def _into_counted(x):
    y = np.fromfunction(lambda i: 2.0 * i, x.shape)
    y[1] = x[0]
    return np.sum(y * x)


def test_creation_from_traced_values():
    pb.check_grads(lambda a: np.sum(np.full((2, 3), a) * np.full(3, a * a)), 0.5)
    pb.check_grads(lambda x: np.sum(np.full((2, 3), x) ** 2 + np.full_like(X, x[0]) + np.full_like(x, x[1])), X)
    pb.check_grads(lambda a, b: np.sum(np.linspace(a, b, 5) ** 2), 0.5, 1.5)
    pb.check_grads(lambda a: np.sum(np.arange(a, 3.0, 0.5) ** 2), 0.6)
    pb.check_grads(lambda x: np.sum(np.fromiter((v * v for v in x), float) * X), X)
    pb.check_grads(_into_counted, X)
    pb.check_grads(lambda x: np.sum(np.ascontiguousarray(x) * np.asanyarray(x) * np.copy(x)), X)


def test_float_says_what_is_lost():
    with pytest.raises(TraceError, match=r"float\(x\) would lose the derivative .*history"):
        pb.grad(lambda x: x[0].__float__())(X)


def test_plain_python_around_it():
    pb.check_grads(lambda x: sum([v * v for v in x]), X)
    pb.check_grads(lambda x: max(x[0] * 3, x[1]) * min(x[1], x[2]), X)
    pb.check_grads(lambda x: functools.reduce(lambda a, b: a * b + a, x), X)
    pb.check_grads(lambda x: sum(map(lambda a, b: a * b, x, X)), X)
    pb.check_grads(lambda x: sorted(x, reverse=True)[0] * abs(x[0] - x[1]), X)


@np.vectorize
def decorated(v):
    return v * v if v > 1 else 3 * math.sin(v)


def test_vectorize():
    pb.check_grads(lambda x: np.sum(np.vectorize(lambda v, w: v * w + 1)(x, X[:, None])), X)
    pb.check_grads(lambda x: np.sum(decorated(x) * X), X)
    pb.check_grads(lambda x: np.sum(np.multiply(*np.vectorize(lambda v: (v * v, 2 * v))(x))), X)
    assert isinstance(decorated(X), np.ndarray)
    calls = []
    pb.grad(lambda x: np.sum(np.vectorize(lambda v: calls.append(v) or v)(x)))(X)
    assert len(calls) == 3


@pytest.mark.parametrize("f", [
    lambda x: np.vectorize(lambda a, b: np.sum(a * b), signature="(n),(n)->()")(np.outer(X, x), x),
    lambda x: np.vectorize(lambda a: a / np.sum(a * a), signature="(n)->(n)")(np.outer(X, x)),
    lambda x: np.vectorize(lambda m, a: (m @ a, np.sum(m)), signature="(k,n),(n)->(k),()", otypes=[float, float])(
        np.multiply.outer(np.ones((2, 1, 2)), x), np.stack([x, x * x]))[0],
    lambda x: np.vectorize(lambda a, p: np.polyval(p, a), excluded=[1])(x, x[:2]),
    lambda x: np.vectorize(lambda a, k, power=1: a**power * k)(x, k=x[0], power=2),
    lambda x: np.vectorize(lambda a, p=None: p[0] * a, excluded={"p"})(x, p=x[:2]),
    lambda x: np.vectorize(lambda v: 2 * v * v, otypes=[float], cache=True)(x * X[:, None]),
    lambda x: np.vectorize(np.linalg.norm, signature="(n)->()")([x, 2 * x]),
])  # fmt: skip
def test_vectorize_with_a_signature_keywords_and_exclusions(f):
    cost = lambda x: np.sum(np.sin(f(x)))  # noqa: E731
    assert cost(X) == pytest.approx(pb.value_and_grad(cost)(X)[0], rel=1e-14)
    pb.check_grads(cost, X)
    pb.check_grads(pb.grad(cost), X)
    np.testing.assert_allclose(pb.compile(pb.grad(cost))(X), pb.grad(cost)(X), rtol=1e-12)


def test_vectorize_says_what_it_cannot():
    with pytest.raises(PaybackError, match=r"np\.vectorize with otypes=\[int64\] of traced results"):
        pb.grad(lambda x: np.sum(np.vectorize(lambda v: v, otypes=[int])(x)))(X)
    with pytest.raises(PaybackError, match=r"the axis n of its signature has 3 entries in one argument and 2"):
        pb.grad(lambda x: np.sum(np.vectorize(np.dot, signature="(n),(n)->()")(x, x[:2])))(X)


def test_decorated_functions_recursion_and_dataclasses():
    def twice(f):
        @functools.wraps(f)
        def wrapper(x):
            return f(f(x))

        return wrapper

    @twice
    def step(x):
        out = zeros(3)
        out[:] = x
        out[0] = x[0] * x[1]
        return out

    pb.check_grads(lambda x: np.sum(step(x) ** 2), X)

    def power(x, n):
        if n == 0:
            return np.ones(3)
        out = np.empty(3)
        out[:] = power(x, n - 1)
        out *= x
        return out

    assert np.allclose(pb.grad(lambda x: np.sum(power(x, 4)))(X), 4 * X**3)

    @dataclasses.dataclass
    class State:
        position: object
        log: list

        def moved(self):
            new = np.zeros_like(self.position)
            new[1:] = self.position[:-1] * 2
            new[0] = self.position[-1]
            return State(new, [*self.log, 1])

    pb.check_grads(lambda x: np.sum(State(x, []).moved().moved().position ** 2), X)


def test_side_effects_happen_once():
    log = []

    def f(x):
        log.append("called")
        out = np.zeros(3)
        out[0] = x[0]
        log.append(out)
        return out.sum()

    pb.grad(f)(X)
    assert log[0] == "called"
    assert len(log) == 2


def test_what_frompyfunc_makes_of_a_function_is_called_for_each_entry():
    fused, both = np.frompyfunc(lambda a, b: a * b + 1, 2, 1), np.frompyfunc(lambda a: (a * a, 3 * a), 1, 2)
    pb.check_grads(lambda x: np.sum(fused(x, X[:, None])) + np.sum(np.multiply(*both(x))), X)
    pb.check_grads(lambda x: np.sum(fused.outer(x, x)) * fused(x[0], 2.0), X)
    assert np.sum(fused(X, 2.0)) == pb.value_and_grad(lambda x: np.sum(fused(x, 2.0)))(X)[0]
    np.testing.assert_array_equal(pb.compile(pb.grad(lambda x: np.sum(fused(x, x))))(X), 2 * X)
    with pytest.raises(PaybackError, match="reduce has no derivative"):
        pb.grad(lambda x: np.sum(fused.reduce(x)))(X)


def test_assertions_of_numpy_look_at_the_numbers():
    def f(x, shift):
        np.testing.assert_allclose(x + shift, [*x])
        return np.sum(x * x)

    np.testing.assert_array_equal(pb.grad(f)(X, 0.0), 2 * X)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        pb.grad(f)(X, 1.0)
    with pytest.raises(TraceError, match="not known while a function is compiled"):
        pb.compile(f)(X, 0.0)
