"""compile: the function's results, from one graph for each kind of arguments."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, InputError, TraceError, UnsupportedError
from payback.trace.tree import tree_map
from transforms.modes import assert_close, counted

X = np.array([0.5, 1.0, 2.0])


# what is dynamic and what is static


def test_one_graph_for_each_kind_of_arguments():
    f, traces = counted(lambda x, s: np.sin(x) * s)
    compiled = pb.compile(f)
    for x, s in ((X, 2.0), (X + 1, 3.0), (X[::-1].copy(), 0.0)):
        np.testing.assert_array_equal(compiled(x, s), np.sin(x) * s)
    assert len(traces) == 1  # arrays and Python floats are dynamic
    for x in (X[::-1], np.repeat(X, 2)[::2], np.repeat(X, 3)[::3]):
        np.testing.assert_array_equal(compiled(x, 2.0), np.sin(x) * 2.0)
    assert len(traces) == 2  # with gaps in memory: NumPy copies where it reshapes
    for k, (x, s) in enumerate([(X[:2], 2.0), (X.astype(np.float32), 2.0), (X, np.float32(2.0)), (X, 2), (X, 3)]):
        assert_close(compiled(x, s), np.sin(x) * s, 0)
        assert_close(compiled(x, s), np.sin(x) * s, 0)
        assert len(traces) == k + 3  # another shape, another dtype, a whole number
    assert compiled.reasons[0] == "first call"
    assert "f64[2]" in compiled.reasons[2]
    assert "f32[3]" in compiled.reasons[3]


def test_python_floats_stay_weak():
    assert pb.compile(lambda x, s: x * s)(X.astype(np.float32), 2.0).dtype == np.float32
    assert type(pb.compile(lambda s: s * 2.0)(3.0)) is float


def test_static_arguments():
    f, traces = counted(lambda x, n, how: sum([x**k for k in range(n)]) if how == "sum" else x * n)
    compiled = pb.compile(f, static_argnums=1)
    np.testing.assert_array_equal(compiled(X, 3, "sum"), 1 + X + X**2)
    np.testing.assert_array_equal(compiled(X, 2, "sum"), 1 + X)
    np.testing.assert_array_equal(compiled(X, 2.0, how="times"), X * 2)
    np.testing.assert_array_equal(compiled(X, 3.0, how="times"), X * 3)
    assert len(traces) == 4
    by_end = pb.compile(lambda x, n: x * [1, 2, 3][n], static_argnums=(-1,))
    np.testing.assert_array_equal(by_end(X, 2), 3 * X)

    @pb.compile(static_argnums=(0,))
    def repeated(n, x):
        return np.concatenate([x] * n)

    assert repeated(3, X).shape == (9,)
    with pytest.raises(InputError, match=r"the argument .* is a list that cannot be hashed|cannot be hashed"):
        pb.compile(lambda n, x: x, static_argnums=0)({1, 2}, X)


def test_a_step_number_that_makes_a_graph_at_each_call_is_told_once():
    compiled = pb.compile(lambda x, at: x * at["step"], native=False)
    with pytest.warns(RuntimeWarning, match=r"argument at\['step'\] has been 16 whole numbers.*static_argnums") as told:
        [compiled(1.0, {"step": step, "kind": "a"}) for step in range(40)]
    assert [warning.filename for warning in told] == [__file__]
    meant = pb.compile(lambda x, n: x * n, static_argnums=1, native=False)
    for n in range(20):  # of a warning here an error is made
        meant(1.0, n), compiled(1.0, {"step": float(n), "kind": "a"})


def test_keywords_containers_and_modules():
    compiled = pb.compile(lambda p, *, scale, names: {"y": [p["a"] * scale, (p["b"].sum(), names)], "none": None})
    found = compiled({"a": X, "b": X[:2]}, scale=2.0, names="kept")
    np.testing.assert_array_equal(found["y"][0], 2 * X)
    assert found["y"][1] == (1.5, "kept")
    assert found["none"] is None
    net = pb.nn.MLP([3, 4, 2], dtype=float)
    compiled = pb.compile(lambda net, x: net(x))
    np.testing.assert_array_equal(compiled(net, X[None]), net(X[None]))
    halved = pb.compile(lambda net: tree_map(lambda p: p / 2, net))(net)
    assert type(halved) is type(net)
    np.testing.assert_array_equal(halved.layers[0].weight, net.layers[0].weight / 2)


def test_results_never_alias():
    """What comes back is the caller's own: writable, and no view of an argument, a constant or another result."""
    constant = np.arange(3.0)
    compiled = pb.compile(lambda x: (x, x[::-1], x.reshape(3, 1), constant, np.ones(3), x * 1, x.T))
    first, x = compiled(X), X.copy()
    for k, leaf in enumerate(first):
        assert leaf.flags.writeable
        assert not any(np.shares_memory(leaf, other) for other in (X, constant, *first[:k]))
        leaf[...] = -1.0
    np.testing.assert_array_equal(X, x)
    second = compiled(X)
    np.testing.assert_array_equal(second[4], 1.0)
    np.testing.assert_array_equal(second[3], [0.0, 1.0, 2.0])
    np.testing.assert_array_equal(second[0], X)


def test_it_is_the_same_function():
    @pb.compile
    def documented(x):
        """Says what it does."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "Says what it does."


@pytest.mark.parametrize("native", [True, False])
def test_a_numpy_function_makes_a_float64_of_a_python_float_compiled_too(native):
    """Then a float32 beside it becomes a float64, as it does in NumPy."""
    x = np.ones((2, 3), np.float32)
    for f in (lambda s: np.where(s > 0.0, s, s), lambda s: np.clip(s, -1.0, 1.0), lambda s: np.maximum(s, 0.25)):
        made = pb.compile(lambda x, s, f=f: (f(s), np.arctan2(x, f(s))), native=native)(x, -0.125)
        assert [part.dtype for part in made] == [np.float64, np.float64]
        assert np.array_equal(made[1], np.arctan2(x, np.asarray(f(-0.125))))
    relu = pb.compile(lambda x, s: (pb.nn.relu(s), x * pb.nn.relu(s)), native=native)(x, 0.5)
    assert (type(relu[0]), relu[1].dtype) == (float, np.float32)


def test_whole_numbers_stay_whole_with_one_bound():
    x = np.array([3, 2**60 + 1, -4])
    for f in (lambda x: np.clip(x, None, 2**60), lambda x: np.clip(x, 2, None), lambda x: x.clip(min=0)):
        for native in (True, False):
            made = pb.compile(f, native=native)(x)
            assert made.dtype == np.int64
            assert np.array_equal(made, f(x))
    assert pb.compile(np.square)(np.array([True, False])).dtype == np.int8


@pytest.mark.parametrize("f", [lambda x: np.sum(x * x), lambda x: np.max(x.astype(float).astype(np.longdouble))])
def test_wider_numbers_than_machine_code_has_are_refused(f):
    x = np.ones(3, np.longdouble)
    assert pb.grad(f)(x).dtype == np.longdouble
    if np.dtype(np.longdouble).itemsize > 8:
        with pytest.raises(UnsupportedError, match=r"is not compiled to machine code.*leave pb\.compile away"):
            pb.compile(f)(x)


def test_an_argument_that_cannot_be_hashed_is_named():
    with pytest.raises(InputError, match="memoryview that cannot be hashed"):
        pb.compile(lambda x, m: x)(1.0, memoryview(np.ones(3)))


# inside and outside of the other transforms


def test_nesting():
    f = pb.compile(lambda x: np.sum(np.sin(x) * x))
    slope = np.cos(X) * X + np.sin(X)
    curve = np.diag(2 * np.cos(X) - np.sin(X) * X)
    np.testing.assert_allclose(pb.grad(f)(X), slope)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(X), slope)
    np.testing.assert_allclose(pb.compile(pb.compile(pb.grad(pb.compile(f))))(X), slope)
    np.testing.assert_allclose(pb.hessian(f)(X), curve, atol=1e-15)
    np.testing.assert_allclose(pb.compile(pb.hessian(f))(X), curve, atol=1e-15)
    np.testing.assert_allclose(pb.jvp(f, (X,), (X,))[1], slope @ X)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.stack([X, 2 * X]))[0], slope)
    pb.check_grads(f, X, order=2)


def test_captured_traced_values():
    def f(a):
        return np.sum(pb.compile(lambda x: np.sin(x * a))(X)) * a

    expected = np.sum(np.sin(X * 0.7)) + 0.7 * np.sum(np.cos(X * 0.7) * X)
    assert pb.grad(f)(0.7) == pytest.approx(expected, rel=1e-14)
    assert pb.compile(pb.grad(f))(0.7) == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.array([0.7])), [expected])
    # one compiled function that meets another traced value each time
    a = 1.0
    inner = pb.compile(lambda x: x * a)

    def g(b):
        nonlocal a
        a = b
        return np.sum(inner(X))

    assert pb.grad(g)(2.0) == pb.grad(g)(5.0) == X.sum()


def test_perturbations_are_not_confused():
    inner = pb.compile(lambda x, y: x * y)
    f = pb.compile(lambda x: x * pb.grad(lambda y: inner(x, y))(1.0))
    assert pb.grad(f)(3.0) == 6.0
    assert pb.grad(pb.compile(lambda x: x * pb.jvp(lambda y: x + y, (x,), (1.0,))[1]))(3.0) == 1.0


def test_a_branch_on_a_number_names_the_line():
    with pytest.raises(TraceError, match=r"not known while .*test_compile.py.*: x > 0\)"):
        pb.compile(lambda x: x if x > 0 else -x)(1.0)
    with pytest.raises(TraceError, match=r"to return x\[mask\] needs to know how many entries"):
        pb.compile(lambda x: x[x > 0])(X)


def test_a_function_that_fails_is_traced_anew():
    fails = [True]

    def f(x):
        if fails[0]:
            raise RuntimeError("not yet")
        return x * 2

    compiled = pb.compile(f)
    with pytest.raises(RuntimeError, match="not yet"):
        compiled(1.0)
    fails[0] = False
    assert compiled(1.0) == 2.0


@pytest.mark.parametrize("f", [
    lambda x: (part * 2 for part in x), lambda x: {"parts": map(np.sin, x)}, lambda x: [x, zip(x, x, strict=True)],
])  # fmt: skip
def test_what_would_go_on_computing_is_no_result(f):
    for transformed in (pb.compile(f), lambda x: pb.vmap(f)(x[None])):
        with pytest.raises(InputError, match=r"returns a (generator|map|zip).*Return what it gives, for example list"):
            transformed(X)
    np.testing.assert_array_equal(pb.compile(lambda x: np.array([part * 2 for part in x]))(X), 2 * X)


def test_arguments_that_are_no_numbers_of_a_graph():
    with pytest.raises(DifferentiationError, match="object"):
        pb.compile(lambda x: x)(np.array([None]))


def cube(x, n=3):
    return np.sum(x**n)


cubed = pb.compile(cube, static_argnums=1)


@pb.compile
def tripled(x):
    return np.sum(3 * x)


def test_they_go_to_other_processes_and_into_copies():
    """By the function that they were made of; a graph is of one process."""
    x = np.arange(4.0)
    for compiled in (cubed, tripled):
        wanted = compiled(x)  # and has machine code
        held = SimpleNamespace(f=compiled)
        for again in (pickle.loads(pickle.dumps(compiled)), copy.copy(compiled), copy.deepcopy(held).f):  # noqa: S301
            assert again(x) == wanted
            assert again.__name__ == compiled.__name__
    assert pickle.loads(pickle.dumps(tripled)) is tripled  # noqa: S301
    assert pickle.loads(pickle.dumps(cubed))(x, 2) == cubed(x, 2) == x @ x  # noqa: S301


@dataclasses.dataclass
class Scaled:
    x: float
    by: object = dataclasses.field(metadata={"static": True})


@pytest.mark.parametrize("wrapped", [False, True])
def test_static_values_are_told_apart_to_the_bit_and_by_type(wrapped):
    """Those that are equal, too; and NaN is one value."""

    def f(x, by):
        return x * np.copysign(2.0, by) * (3.0 if isinstance(by, bool) else 5.0 if isinstance(by, int) else 7.0)

    followed, traces = counted(f)
    compiled = pb.compile((lambda s: followed(s.x, s.by)) if wrapped else followed, static_argnums=() if wrapped else 1)
    values = (0.0, -0.0, 0, False, 1, True, 1.0, np.nan)
    for by in (*values, *values[::-1], float("nan")):
        assert compiled(*([Scaled(1.5, by)] if wrapped else [1.5, by])) == f(1.5, by)
    assert len(traces) == len(values)
