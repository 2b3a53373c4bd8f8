"""`isinstance` says of a traced value what it says of the plain one, so that a program takes the same branch."""

from __future__ import annotations

import functools
import numbers
import sys
import types
from collections import abc

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError
from payback.trace.array import Traced

VALUES = [2.0, np.float64(2.0), np.float32(2.0), np.float16(2.0), np.ones(2), np.ones((2, 0), np.float32)]
CLASSES = [float, int, bool, str, list, tuple, complex, np.ndarray, np.generic, np.number, np.floating, np.float64,
           np.float32, np.float16, np.integer, numbers.Number, numbers.Real, numbers.Integral, object, abc.Iterable,
           abc.Sized, abc.Hashable, abc.Sequence, abc.Collection, abc.Container]  # fmt: skip


def asked(x, told):
    told.append([isinstance(x, kind) for kind in CLASSES] + [np.isscalar(x)])
    told[-1] += [hasattr(x, name) for name in ("__len__", "__iter__", "grad", "backward")]
    told[-1] += [type(x), type(x) is float, type(x) in (np.ndarray, list), issubclass(type(x), np.floating)]
    told[-1] += [type(x).__name__, np.issubdtype(type(x), np.floating), isinstance(type(x), type), type(float) is type]
    return np.sum(x * x)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_the_answers_are_those_for_the_plain_value(value):
    plain, eager, compiled, forward = [], [], [], []
    asked(value, plain)
    pb.grad(lambda x: asked(x, eager))(value)
    pb.compile(pb.grad(lambda x: asked(x, compiled)))(value)
    pb.jvp(lambda x: asked(x, forward), (value,), (value,))
    assert plain == eager[:1] == compiled[:1] == forward[:1]


NAMES = sorted({*dir(np.ndarray), *dir(float), *dir(np.float64), *vars(Traced), "node", "units", "_fields"} - {"mT"})


def attributes(x, told):
    told.append([name for name in NAMES if hasattr(x, name)])
    return np.sum(x * x)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_it_has_what_the_plain_value_has(value):
    plain, eager, compiled, forward = [], [], [], []
    attributes(value, plain)
    pb.grad(lambda x: attributes(x, eager))(value)
    pb.compile(pb.grad(lambda x: attributes(x, compiled)))(value)
    pb.jvp(lambda x: attributes(x, forward), (value,), (value,))
    assert plain == eager[:1] == compiled[:1] == forward[:1]
    assert hasattr is __builtins__["hasattr"]


@pytest.mark.parametrize("value", [2.0, np.float64(2.0), np.ones(2)], ids=repr)
def test_truths_and_counts_are_asked_as_the_plain_ones(value):
    def told(x):
        total, kinds = np.sum(x), (bool, int, np.bool_, np.integer, np.int64, np.generic, numbers.Integral)
        made = [
            total > 1.0 if np.shape(x) else x > 1.0,
            np.sum(x > 0),
            np.argmax(x),
            np.isnan(total),
            total.astype(int),
        ]
        answers.append([(*(isinstance(one, kind) for kind in kinds), type(one), hasattr(one, "dtype")) for one in made])
        return total * 1.0

    answers: list = []
    told(value)
    pb.grad(told)(value)
    pb.jvp(told, (value,), (value,))
    pb.compile(pb.grad(told))(value)
    scalars = pb.compile(lambda x: (told(x), sum(x[k % 2] for k in range(3000)))) if np.shape(value) else told
    scalars(value)
    assert all(answer == answers[0] for answer in answers)


def test_a_matrix_transposed_has_two_axes():
    for call in (lambda x: x.mT, lambda x: hasattr(x, "mT")):
        with pytest.raises(ValueError, match=r"two axes|ndim < 2"):
            pb.grad(lambda x, call=call: np.sum(x * x) if call(x) is None else 0.0)(np.ones(3))
    with pytest.raises(np.exceptions.AxisError):
        pb.grad(lambda x: np.sum(x.swapaxes(0, 2)))(np.ones(3))


def test_an_entry_is_a_number_of_numpy():
    def f(x):
        return x[0] * 3 if isinstance(x[0], np.float64) and isinstance(x[0], float) else -x[0]

    assert (pb.grad(f)(np.ones(2)) == [3, 0]).all()
    assert (pb.compile(pb.grad(f))(np.ones(2)) == [3, 0]).all()


def test_on_the_tape_too():
    def f(x):
        total = 0.0
        for k in range(3000):
            v = x[k % 3]
            total = total + (v * 2 if isinstance(v, float) and not isinstance(v, np.ndarray) else -v)
        return total if isinstance(total, float) else -total

    assert (pb.compile(pb.grad(f))(np.ones(3)) == 2000).all()


def test_single_dispatch_and_patterns():
    @functools.singledispatch
    def square(x):
        raise AssertionError(type(x))

    @square.register
    def _(x: float):
        return x * x

    @square.register
    def _(x: np.ndarray):
        return np.sum(x * x)

    def matched(x):
        match x:
            case float():
                return x * 3
            case np.ndarray():
                return np.sum(x) * 5
        raise AssertionError(type(x))

    assert pb.grad(square)(3.0) == 6.0
    assert (pb.grad(square)(np.ones(2)) == 2).all()
    assert pb.grad(matched)(3.0) == 3.0
    assert (pb.grad(matched)(np.ones(2)) == 5).all()


def test_a_pattern_of_a_list_takes_a_traced_array_where_it_takes_an_array():
    def f(x):
        match x:
            case [a, b]:
                return a * b
            case [a, *_, z]:
                return a * z * 3
        return x.sum()

    for x in (np.array([2.0, 3.0]), np.array([2.0, 3.0, 5.0]), np.eye(3)):
        assert np.array_equal(pb.compile(f)(x), f(x))
        pb.check_grads(lambda x: f(x).sum(), x)


def test_it_is_a_traced_value_all_the_same():
    x = pb.variable(np.ones(2))
    assert isinstance(x, Traced)
    assert isinstance(np.argmax(x), (Traced, np.integer))
    with pytest.raises(pb.errors.TraceError, match=r"x\.value"):
        x.value = x - 1.0


def test_the_name_type_is_there_for_the_trace_only():
    def f(x):
        made = type("Made", (), {"x": 1})
        return np.sum(x) * (2.0 if type(made) is type and isinstance(made, type) and type([]) is list else 1.0)

    assert (pb.grad(f)(np.ones(2)) == 2.0).all()
    assert "type" not in globals()
    v = pb.variable(1.0)
    assert type(v) is not float
    assert hasattr(v, "grad")
    with pytest.raises(TypeError):
        pb.grad(lambda x: len(x) * x)(1.0)
    with pytest.raises(TypeError):
        pb.grad(lambda x: sum(list(x)))(1.0)


class Whole(int):
    """A whole number that says more than its number."""


class Real(float):
    """And a float that does."""


@pytest.mark.parametrize("other", [Whole(2), Real(2.5)], ids=repr)
@pytest.mark.parametrize("value", [1.5, np.float32(1.5), np.full(2, 1.5, np.float32)], ids=repr)
def test_numbers_of_classes_derived_from_python_s(value, other):
    """They are arrays to NumPy, and promote; beside Python's own numbers they are such."""
    for f in (lambda x: x * other, lambda x: other - x, lambda x: (x + 1.0) ** other):
        told = []
        pb.jvp(lambda x, f=f, told=told: (told.append(f(x)), x)[1], (value,), (value,))
        plain = f(value)
        assert told[0].__class__ is type(plain)
        assert np.asarray(pb.stop_gradient(told[0])).dtype == np.asarray(plain).dtype
        np.testing.assert_allclose(pb.stop_gradient(told[0]), plain, rtol=1e-14)


X = np.array([0.5, 1.0, 2.0])


class Tagged(np.ndarray):
    """Changes nothing about arithmetic."""


class InMetres(np.ndarray):
    """Does not let a length be multiplied as a number."""

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return getattr(ufunc, method)(*map(np.asarray, inputs), **kwargs).view(InMetres)


@pytest.mark.parametrize("use", [
    lambda x: pb.grad(lambda x: np.sum(x * x))(x), lambda x: pb.jvp(lambda y: y * x, (X,), (X,)), pb.variable,
    lambda x: pb.compile(lambda y: y * x)(X), lambda x: [f := pb.compile(lambda y: y * 2.0), f(X), f(x)],
])  # fmt: skip
def test_classes_of_arrays_with_an_arithmetic_of_their_own_are_refused(use):
    use(X.view(Tagged))
    with pytest.raises(DifferentiationError, match="class InMetres cannot enter"):
        use(X.view(InMetres))


class Tripled(np.ndarray):
    """Makes something else of NumPy's results."""

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return np.asarray(array) * 3


class OneFirst(np.ndarray):
    """Has one operator of its own."""

    def __rsub__(self, other):
        return np.asarray(other) - np.asarray(self) + 1


@pytest.mark.parametrize("use", [
    lambda x: X.view(Tripled) * x, lambda x: x - X.view(OneFirst), lambda x: x @ X.view(InMetres),
    lambda x: X[None].view(np.matrix) @ x, lambda x: X[None].view(np.matrix).dot(x),
    lambda x: np.inner(X[None].view(np.matrix), x), lambda x: x @ np.ma.array(X, mask=[0, 1, 0]),
])  # fmt: skip
def test_what_classes_of_arrays_make_of_results_is_not_lost(use):
    with pytest.raises(DifferentiationError, match="cannot enter"):
        pb.vjp(use, X)


def keeps(x):
    r = x - np.arange(3.0)
    out = np.zeros(3, dtype=float)
    out[0] = float(r[0])
    log = [float(v) for v in r.astype(float)]
    assert isinstance(log[0], float), type(log[0])
    assert type(log[0]) is float
    assert issubclass(type(log[0]), float)
    assert {float: 1}[float] == 1
    return float(np.sum(r**2)) + float(out[0]) * log[2] + sum(map(float, x)) + float("1.5") + float(3)


def test_float_is_python_s_number_with_its_derivative():
    pb.check_grads(keeps, X)
    np.testing.assert_allclose(pb.compile(pb.grad(keeps))(X), pb.grad(keeps)(X), rtol=1e-12)
    assert pb.grad(lambda x: float(x) * np.float32(2))(np.float32(3)).dtype == np.float32
    assert pb.grad(lambda x: float(pb.stop_gradient(x)) * x)(2.0) == 2.0
    assert pb.grad(lambda x: pb.grad(lambda t: t * float(t))(x) * x)(3.0) == 12.0
    assert pb.vmap(lambda x: float(x * x))(X).tolist() == (X * X).tolist()
    with pytest.raises(TypeError, match="length-1"):
        pb.grad(lambda x: float(x))(X)
    assert float(3) == 3.0
    assert "float" not in globals()


def _extremes(x, y):
    both = [x * y, x, 0.7, 2 * x - x]
    made = max(x, 0.0) + 2 * min(x, y, 0.4) + 3 * max(both) + 4 * min(v * v for v in both) + max([], default=1)
    return made + max(1, x) * min(x, 1.0, 3) + max(np.array([x, y])) + max(2, 3)


def test_extremes_without_numbers_choose_as_python_does():
    compiled = pb.compile(pb.value_and_grad(_extremes, argnums=(0, 1)))
    for x, y in (
        (0.3, 0.7),
        (0.7, 0.3),
        (-0.5, 0.2),
        (0.7, 0.7),
        (0.4, np.nan),
        (np.nan, 0.4),
        (1.0, 1.0),
        (0.0, -0.0),
    ):
        np.testing.assert_allclose(compiled(x, y)[0], _extremes(x, y), rtol=1e-12)
        np.testing.assert_allclose(compiled(x, y)[1], pb.grad(_extremes, argnums=(0, 1))(x, y), rtol=1e-12)
    tree = pb.compile(pb.grad(lambda s: max(max(s - 1.0, 0) * 0.6, 1.5 - s)))
    assert [tree(s) for s in (2.0, 1.4, 0.5)] == [0.6, 0.6, -1.0]


def test_a_function_that_no_module_names_is_looked_through_too():
    script = "import numpy as np, payback as pb\nmade = pb.grad(lambda x: float(x) * x)(3.0)\n"
    sys.modules["a_script"] = module = types.ModuleType("a_script")
    try:
        exec(script, vars(module))
    finally:
        del sys.modules["a_script"]
    assert module.made == 6.0
    assert "float" not in vars(module)


def test_paybacks_own_modules_keep_their_names():
    from payback.transforms import gradient

    seen = []
    pb.grad(lambda x: pb.grad(lambda t: seen.append({*vars(gradient)} & {"type", "float", "max"}) or t * t)(x) * x)(2.0)
    assert seen == [set()]
