"""grad, value_and_grad, vjp, check_grads: arguments, containers, aux, nesting, errors."""

from __future__ import annotations

import collections
import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, GradientCheckError, InputError, TraceError
from payback.trace.array import Traced
from payback.trace.tree import leaves, same_structure


def e(a, b):
    return (a + b) * (b + 1)


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: Any
    bias: Any
    name: str = "layer"


def is_plain(tree):
    return not any(isinstance(leaf, Traced) for leaf in pb_leaves(tree))


def pb_leaves(tree):
    from payback.trace.tree import leaves

    return leaves(tree)


# which arguments


def test_the_seed_example():
    assert pb.grad(e, argnums=(0, 1))(2, 1) == (2.0, 5.0)
    assert pb.value_and_grad(e)(2, 1) == (6.0, 2.0)
    assert pb.grad(e, argnums=1)(2, 1) == 5.0


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 2.0),
        (-1, 5.0),
        ("b", 5.0),
        (("b", "a"), (5.0, 2.0)),
        ([0, "b"], (2.0, 5.0)),
        ((1,), (5.0,)),
        (np.int64(1), 5.0),
    ],
)
def test_argnums(argnums, expected):
    assert pb.grad(e, argnums=argnums)(2, 1) == expected


def test_keyword_arguments():
    assert pb.grad(e)(2.0, b=1.0) == 2.0
    assert pb.grad(e, argnums="b")(2.0, b=1.0) == 5.0
    assert pb.grad(e, argnums=("a", "b"))(a=2.0, b=1.0) == (2.0, 5.0)
    assert pb.grad(lambda x, *, scale=2.0: x * scale, argnums="scale")(3.0, scale=1.0) == 3.0


@pytest.mark.parametrize(
    ("argnums", "text"),
    [
        ("c", "argnums names 'c': the arguments given are a, b"),
        (2, "argnums is 2: 2 positional arguments were given"),
        (-3, "argnums is -3"),
        ((0, 0), "each argument may stand in it once"),
        ((0, "a"), "each argument may stand in it once"),
        ((), "one at least"),
    ],
)
def test_argnums_that_do_not_exist(argnums, text):
    with pytest.raises(InputError, match=text.replace("(", r"\(")):
        pb.grad(e, argnums=argnums)(2.0, 1.0)


def test_an_argument_left_to_its_default():
    with pytest.raises(InputError, match="Give that argument explicitly"):
        pb.grad(lambda x, scale=2.0: x * scale, argnums="scale")(3.0)


def test_functions_of_all_kinds():
    assert pb.grad(np.sin)(0.0) == 1.0
    assert pb.grad(functools.partial(e, 2.0))(1.0) == 5.0

    class Scaled:
        def __call__(self, x):
            return 3.0 * x

        def method(self, x):
            return 4.0 * x

    assert pb.grad(Scaled())(1.0) == 3.0
    assert pb.grad(Scaled().method)(1.0) == 4.0
    assert pb.grad(e).__name__ == "e"


# numbers and arrays


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(dtype):
    value, g = pb.value_and_grad(lambda x: np.sum(x * x))(np.array([1, 2], dtype))
    assert value.dtype == g.dtype == dtype
    g = pb.grad(lambda x: x * x)(dtype(3))
    assert g == 6
    assert type(g) is dtype
    mixed = pb.grad(lambda x: np.sum(x * np.ones(2)))(np.array([1, 2], dtype))
    assert mixed.dtype == dtype


def test_python_numbers():
    for number in (3.0, 3):
        value, g = pb.value_and_grad(lambda x: x * x)(number)
        assert (value, g) == (9.0, 6.0)
        assert type(value) is type(g) is float
    assert type(pb.grad(lambda x: np.sin(x))(0)) is float
    assert type(pb.grad(lambda x: np.float32(2) * x)(1.0)) is float
    assert pb.grad(lambda x: x * 0 + 5)(2) == 0.0


def test_zero_d_and_empty():
    assert pb.grad(lambda x: x * x)(np.array(3.0)) == 6.0
    assert pb.grad(np.sum)(np.zeros((0, 3))).shape == (0, 3)
    assert pb.grad(lambda x: np.mean(x[1:]))(np.ones(3)).tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("x", [np.array([1, 2]), np.array([True]), np.uint8(3), {"w": np.array([1, 2])}])
def test_integer_arrays_are_refused_by_name(x):
    def loss(params):
        return 0.0

    with pytest.raises(
        DifferentiationError, match=r"params(\['w'\])? is an array of (int64|bool|uint8) and has no derivative"
    ) as raised:
        pb.grad(loss)(x)
    assert ".astype(float), or leave it out of argnums" in str(raised.value)


def test_a_complex_cost_is_refused():
    for z in (np.array([1j]), 1j):
        with pytest.raises(DifferentiationError, match="returns a complex number: a cost is real"):
            pb.grad(lambda z: 2 * z)(z)


def test_results_that_have_no_gradient():
    with pytest.raises(DifferentiationError, match=r"the result is an array of shape \(2,\), not a scalar") as raised:
        pb.grad(lambda x: x * 2.0)(np.ones(2))
    assert "x * 2.0" in str(raised.value)
    for f, text in [
        (lambda x: x > 0, "a result of bool has no derivative"),
        (lambda x: "text", "returns str, not a number"),
        (lambda x: None, "returns NoneType"),
        (lambda x: [x, x], "returns list, not a number"),
        (lambda x: {"cost": x}, "returns dict"),
        (lambda x: x.astype(int), "a result of int64"),
        (lambda x: np.array([1, 2]), "has no derivative"),
        (lambda x: 1j, "returns a complex number"),
    ]:
        with pytest.raises(DifferentiationError, match=text):
            pb.grad(f)(np.float64(2.0))


def test_constant_results():
    assert pb.value_and_grad(lambda x: 5)(2.0) == (5.0, 0.0)
    value, g = pb.value_and_grad(lambda x: np.float64(5.0))(np.ones(2, np.float32))
    assert value == 5.0
    assert g.dtype == np.float32
    assert not g.any()


# containers


def test_containers():
    tree = {"w": [np.array([1.0, 2.0]), 3], "p": Pair(np.float32(2), (4.0, None)), "l": Layer(np.ones(2), 0.5)}

    def loss(t):
        return np.sum(t["w"][0]) * t["w"][1] + t["p"].left * t["p"].right[0] + np.sum(t["l"].weight) * t["l"].bias

    g = pb.grad(loss)(tree)
    assert g["w"][0].tolist() == [3.0, 3.0]
    assert g["w"][1] == 3.0
    assert isinstance(g["p"], Pair)
    assert g["p"] == Pair(4.0, (2.0, None))
    assert isinstance(g["l"], Layer)
    assert g["l"].weight.tolist() == [0.5, 0.5]
    assert g["l"].bias == 2.0
    assert g["l"].name == "layer"
    assert list(g) == list(tree)
    assert is_plain(g)
    pb.check_grads(loss, tree)


def test_other_dictionaries():
    for tree in (collections.OrderedDict(b=1.0, a=2.0), collections.defaultdict(float, b=1.0, a=2.0)):
        g = pb.grad(lambda t: t["a"] * t["b"])(tree)
        assert type(g) is type(tree)
        assert list(g.items()) == [("b", 2.0), ("a", 1.0)]
    assert g["missing"] == 0.0
    assert "missing" not in tree


def test_carried_leaves():
    """What is no number is carried, and stands in the gradient as it was given."""
    tree = {"w": 2.0, "activation": "tanh", "flag": True, "f": len, "none": None}
    g = pb.grad(lambda t: t["w"] * 3.0 if t["flag"] and t["activation"] == "tanh" else 0.0)(tree)
    assert g == {"w": 3.0, "activation": "tanh", "flag": True, "f": len, "none": None}
    with pytest.raises(DifferentiationError, match="nothing to differentiate by"):
        pb.grad(lambda t: 1.0)({"a": "text"})


def test_the_same_array_twice():
    x = np.array([1.0, 2.0])
    g = pb.grad(lambda t: np.sum(t[0] * 2 + t[1] * 3))([x, x])
    assert (g[0] == 2).all()
    assert (g[1] == 3).all()


# aux


def test_aux():
    def loss(x):
        return x * x, {"double": x * 2, "text": "t", "array": np.array([1])}

    (value, aux), g = pb.value_and_grad(loss, has_aux=True)(3.0)
    assert (value, g, aux["double"], aux["text"]) == (9.0, 6.0, 6.0, "t")
    assert is_plain(aux)
    g, aux = pb.grad(loss, has_aux=True)(3.0)
    assert (g, aux["double"]) == (6.0, 6.0)
    y, pull, aux = pb.vjp(loss, 3.0, has_aux=True)
    assert (y, pull(1.0), aux["double"]) == (9.0, (6.0,), 6.0)
    for call in (lambda f: pb.grad(f, has_aux=True)(1.0), lambda f: pb.vjp(f, 1.0, has_aux=True)):
        with pytest.raises(DifferentiationError, match="returns one value where has_aux=True wants"):
            call(lambda x: x)


def test_aux_under_another_derivative():
    """An aux that depends on an outer value stays differentiable, whatever the inner result depends on."""

    def outer(x):
        _, aux = pb.grad(lambda y: (y * y, x * x), has_aux=True)(1.0)
        return aux

    assert pb.grad(outer)(3.0) == 6.0

    def through_vjp(x):
        _, _, aux = pb.vjp(lambda y: (y * y, {"a": x * x}), 1.0, has_aux=True)
        return aux["a"]

    assert pb.grad(through_vjp)(3.0) == 6.0

    def inner_only(x):
        g, aux = pb.grad(lambda y: (y * y * x, y * 2), has_aux=True)(1.5)
        assert aux == 3.0
        assert type(aux) is float
        return g

    assert pb.grad(inner_only)(3.0) == 3.0


# nesting


def test_perturbation_confusion():
    assert pb.grad(lambda x: x * pb.grad(lambda y: x + y)(x))(3.0) == 1.0
    assert pb.grad(lambda x: x * pb.grad(lambda y: x * y)(x))(3.0) == 6.0
    assert pb.grad(lambda x: pb.grad(lambda y: x * x * y * y)(x))(2.0) == 6 * 2.0**2
    assert pb.grad(lambda x: pb.grad(lambda y: pb.grad(lambda z: x * y * z)(y))(x))(2.0) == 1.0
    assert pb.grad(lambda x: x * pb.grad(lambda x: x * x)(x))(3.0) == 4 * 3.0


def test_an_inner_result_that_depends_on_the_outside_alone():
    assert pb.grad(lambda x: x * pb.value_and_grad(lambda y: x)(1.0)[0])(3.0) == 6.0
    assert pb.grad(lambda x: x * pb.vjp(lambda y: x * x, 1.0)[0])(3.0) == 27.0
    assert pb.grad(lambda x: x + pb.grad(lambda y: x)(1.0))(3.0) == 1.0


def test_an_inner_argument_that_is_constant():
    """A zero gradient is a constant; a derivative by it is not lost."""

    def f(x):
        zero = pb.grad(lambda y: x)(1.0)
        return x * pb.grad(np.sin)(zero)

    assert pb.grad(f)(3.0) == 1.0
    assert pb.vjp(lambda x: pb.grad(lambda z: np.sin(z) * x)(pb.grad(lambda y: x)(x)), 3.0)[0] == 3.0


def test_an_inner_derivative_by_plain_arguments():
    """The result of an inner derivative that depends on an outer value is traced; at the outermost nothing is."""
    found = pb.grad(lambda x: pb.grad(lambda y: x * y * y)(2.0))(3.0)
    assert found == 4.0
    assert type(found) is float
    value, pull = pb.vjp(lambda x: pb.grad(lambda y: np.sum(x * y * y))(np.ones(2)), np.ones(2))
    assert is_plain([value, pull(np.ones(2))])
    seen = []
    pb.grad(lambda x: seen.append(pb.grad(np.sin)(0.5)) or x)(1.0)
    assert type(seen[0]) is float


@pytest.mark.parametrize("make", [float, np.float32, np.float64, np.array, lambda v: np.array([v])])
def test_high_orders(make):
    f = lambda x: np.sum(x**5)  # noqa: E731
    g = pb.grad(f)
    for order, expected in enumerate([80.0, 160.0, 240.0, 240.0, 120.0, 0.0][1:], 2):
        g = pb.grad(lambda x, g=g: np.sum(g(x)))
        found = g(make(2.0))
        assert np.allclose(found, expected), order
        assert np.asarray(found).dtype == np.asarray(make(2.0)).dtype
    assert pb.grad(pb.grad(pb.grad(np.sin)))(0.0) == -1.0
    assert pb.grad(pb.grad(pb.grad(pb.grad(np.exp))))(0.0) == 1.0


def test_vjp_of_vjp():
    x, w = np.array([0.5, -1.0]), np.array([2.0, 3.0])
    y, pull = pb.vjp(np.sin, x)
    assert (y == np.sin(x)).all()
    z, pull_back = pb.vjp(lambda u: pb.vjp(np.sin, u)[1](w)[0], x)
    assert np.allclose(z, w * np.cos(x))
    assert np.allclose(pull_back(np.ones(2))[0], -w * np.sin(x))
    linear, of_seed = pb.vjp(lambda seed: pull(seed)[0], w)
    assert np.allclose(linear, w * np.cos(x))
    assert np.allclose(of_seed(np.ones(2))[0], np.cos(x))


def test_a_pull_may_be_called_again_and_late():
    _, pull = pb.vjp(lambda a, b: (a * b, {"s": a + b}), 2.0, 3.0)
    assert pull((1.0, {"s": 0.0})) == (3.0, 2.0)
    assert pull((1.0, {"s": 10.0})) == (13.0, 12.0)
    assert pull((np.float32(2), {"s": 0})) == (6.0, 4.0)


def test_adjoints_take_the_dtype_of_the_result():
    _, pull = pb.vjp(lambda x: x * x, np.float32([2]))
    for seed in (np.float64([2]), np.array([2])):
        assert pull(seed)[0].dtype == np.float32
        assert pull(seed)[0] == 8.0
    inner = pb.vjp(lambda s: pull(s)[0], np.float64([2]))
    assert inner[0].dtype == np.float32
    assert inner[1](np.float32([1]))[0].dtype == np.float64


@pytest.mark.parametrize(
    ("seed", "text"),
    [
        (np.ones(3), r"a seed of shape \(3,\) for a result of shape \(2,\)"),
        (1.0, r"a seed of shape \(\)"),
        ((np.ones(2), 1.0), "pull was given 2 adjoints"),
    ],
)
def test_adjoints_that_do_not_fit(seed, text):
    _, pull = pb.vjp(lambda x: x * x, np.ones(2))
    with pytest.raises(DifferentiationError, match=text):
        pull(seed)
    with pytest.raises(DifferentiationError, match=text):
        pb.vjp(
            lambda s: pull((s, 1.0) if isinstance(seed, tuple) else s)[0], seed[0] if isinstance(seed, tuple) else seed
        )


def test_nested_derivatives_of_weak_numbers_stay_weak():
    def f(x):
        g = pb.grad(np.sin)(x)
        return (g * np.float32([1, 2])).sum()

    assert pb.vjp(f, 2.0)[0].dtype == np.float32


def test_outer_values_in_containers_and_closures():
    def f(x):
        box = {"x": x, "list": [x * 2]}

        def g(y, extra):
            return y * y * box["x"] + extra["x"] * box["list"][0]

        return pb.grad(g)(1.5, box)

    assert pb.grad(f)(2.0) == 3.0
    assert pb.grad(lambda x: pb.grad(lambda t: t["a"] * t["b"] * t["a"])({"a": x, "b": 2.0})["a"])(3.0) == 4.0


@pytest.mark.parametrize("hold", [lambda x: [x, (x, 1)], lambda x: {"a": x}, lambda x: Pair(x, 2.0), lambda x: x + 1j])
def test_stop_gradient_of_a_container_stops_all_that_it_holds(hold):
    def both(x):
        kept = pb.stop_gradient(hold(x))
        assert same_structure(kept, hold(x))
        return np.sum(np.real(leaves(kept)[0])) * x

    assert pb.grad(both)(3.0) == 3.0
    assert pb.compile(pb.grad(both))(3.0) == 3.0


def test_stop_gradient_freezes_a_layer():
    net, x = pb.nn.MLP([3, 4, 2], seed=0, dtype=float), np.ones((2, 3))

    def cost(net):
        return np.sum(net.replace(layers=(pb.stop_gradient(net.layers[0]), *net.layers[1:]))(x) ** 2)

    frozen, whole = pb.grad(cost)(net), pb.grad(lambda net: np.sum(net(x) ** 2))(net)
    assert not frozen.layers[0].weight.any()
    assert whole.layers[0].weight.any()
    np.testing.assert_array_equal(frozen.layers[2].weight, whole.layers[2].weight)


def test_stop_gradient():
    assert pb.grad(lambda x: x * pb.stop_gradient(x))(3.0) == 3.0
    assert pb.grad(pb.grad(lambda x: x * x * pb.stop_gradient(x)))(3.0) == 6.0
    assert pb.grad(lambda x: pb.stop_gradient(x))(3.0) == 0.0
    assert pb.grad(lambda x: x.astype(int) * x)(np.float64(2.5)) == 2.0


def test_concrete_control_flow():
    def f(x, n):
        for _ in range(n):
            x = x * x if x < 10 else x - 1.0
        while x > 100:
            x = x / 2
        return x

    assert pb.grad(f)(2.0, 2) == 4 * 2.0**3
    assert pb.grad(f)(20.0, 1) == 1.0
    pb.check_grads(lambda x: f(x, 5), 3.0, order=1)


def test_an_error_inside_leaves_nothing_behind():
    def bad(x):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        pb.grad(bad)(1.0)
    assert pb.grad(np.sin)(0.0) == 1.0


# variables


def test_backward():
    a, b = pb.variable(2.0, name="a"), pb.variable(1.0, name="b")
    c = a + b
    y = c * (b + 1)
    assert c.grad is None
    y.backward()
    assert (a.grad, b.grad, c.grad, y.grad) == (2.0, 5.0, 2.0, 1.0)
    y.backward()
    assert b.grad == 5.0
    y.backward(accumulate=True)
    assert (b.grad, c.grad) == (10.0, 4.0)
    y.backward(10.0)
    assert b.grad == 50.0


def test_backward_of_arrays():
    w = pb.variable(np.array([1.0, 2.0], np.float32))
    with pytest.raises(DifferentiationError, match="not a scalar"):
        (w * w).backward()
    (w * w).backward([1.0, 10.0])
    assert w.grad.tolist() == [2.0, 40.0]
    assert w.grad.dtype == np.float32
    y = np.where(w > 1.5, np.log(w), 0.0)
    z = y.sum()
    z.backward()
    assert w.grad.tolist() == [0.0, 0.5]
    assert y.grad.tolist() == [1.0, 1.0]
    with pytest.raises(DifferentiationError, match="bool has no derivative"):
        (w > 1).backward()


def test_every_node_of_the_sweep_has_a_plain_gradient_of_its_dtype():
    w, s = pb.variable(np.ones((2, 3), np.float32)), pb.variable(0.5)
    nodes = [w * s]
    nodes.append(np.where(nodes[-1] > 0, np.sqrt(nodes[-1]), 0.0))
    nodes.append(nodes[-1][0] + nodes[-1][1, 1])
    nodes.append(nodes[-1].astype(np.float64).mean())
    nodes[-1].backward()
    for x in (w, s, *nodes):
        assert not isinstance(x.grad, Traced)
        assert np.shape(x.grad) == x.shape
        assert np.asarray(x.grad).dtype == x.dtype
    assert type(s.grad) is float


def test_grad_by_a_variable():
    """A variable given to grad keeps its history: the answer can be differentiated by it again."""
    w = pb.variable(3.0)
    g = pb.grad(lambda x: x * x * x)(w)
    assert isinstance(g, Traced)
    g.backward()
    assert w.grad == 18.0
    y = pb.grad(lambda x: x * w)(2.0)
    y.backward()
    assert w.grad == 1.0


@pytest.mark.parametrize("value", [np.array([1, 2]), np.array([True]), np.array([1j]), "text", [1 + 2j]])
def test_variables_that_have_no_derivative(value):
    with pytest.raises(DifferentiationError):
        pb.variable(value)


def test_variables_of_lists():
    assert pb.variable([[1, 2], [3, 4]]).dtype == float
    assert pb.variable((1, 2.5)).shape == (2,)
    assert pb.variable(3).value == 3.0


# check_grads


def test_check_grads_finds_a_wrong_derivative():
    def wrong(x):
        return np.sum(x * x - x * pb.stop_gradient(x))

    with pytest.raises(GradientCheckError, match=r"the derivative of wrong by argument 0 is .* differences give"):
        pb.check_grads(wrong, np.array([1.0, 2.0]))

    def wrong_second(x):
        kept = pb.stop_gradient(x)
        return np.sum(2 * x * kept - kept * kept)  # x² with the derivative 2x, of which the derivative is lost

    pb.check_grads(wrong_second, np.array([1.0, 2.0]), order=1)
    with pytest.raises(GradientCheckError, match="the derivative of the derivative of wrong_second by argument 0"):
        pb.check_grads(wrong_second, np.array([1.0, 2.0]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_check_grads_in_every_dtype(dtype):
    pb.check_grads(
        lambda x, t: {"y": np.sin(x) * t["a"], "z": np.sum(x * x)},
        np.array([0.5, 1.5], dtype),
        {"a": dtype(2), "n": "text"},
    )
    pb.check_grads(lambda x: np.sum(x), np.zeros(0, dtype))


def test_check_grads_of_numbers_and_third_order():
    pb.check_grads(lambda x, y: x**3 * np.sin(y), 1.5, 0.5, order=3)


def test_abstract_values_cannot_be_looked_at():
    from payback.trace.abstract import trace

    with pytest.raises(TraceError, match="a value that is looked at is not known while a function is compiled"):
        trace(lambda x: x if x.sum() > 0 else -x, np.ones(2))


@pytest.mark.parametrize("argnums", [1.0, True, (0, None), object()])
def test_argnums_are_numbers_and_names(argnums):
    with pytest.raises(InputError, match="an argument is told by its position or by its name"):
        pb.grad(e, argnums=argnums)(2.0, 1.0)
    assert pb.grad(e, argnums=range(2))(2.0, 1.0) == (2.0, 5.0)


@pytest.mark.parametrize("transform", [pb.grad, pb.jacobian, pb.vmap, pb.compile, pb.remat])
def test_what_is_no_function_is_said(transform):
    with pytest.raises(InputError, match="an object of type float was given where a function belongs"):
        transform(pb.grad(lambda x: x * x)(3.0))(np.ones(2))


def test_functions_that_have_computed_nothing_yet():
    async def later(x):
        return np.sum(x)

    def one_by_one(x):
        yield np.sum(x)

    for f in (later, one_by_one):
        with pytest.raises(DifferentiationError, match="it has computed nothing yet"):
            pb.grad(f)(np.ones(2))


AS_ARRAYS = {  # of a number, with the derivative of each
    "mean": (np.mean, 1.0), "sum": (np.sum, 1.0), "median": (np.median, 1.0), "nanmean": (np.nanmean, 1.0),
    "kron": (lambda x: np.sum(np.kron(x, np.ones((2, 3)))), 6.0), "full": (lambda x: np.sum(np.full(3, x)), 3.0),
    "broadcast": (lambda x: np.sum(np.broadcast_to(x, (2, 3))), 6.0), "tile": (lambda x: np.sum(np.tile(x, 3)), 3.0),
    "outer": (lambda x: np.sum(np.outer(x, np.ones(2))), 2.0), "ravel": (lambda x: np.sum(np.ravel(x) * 2), 2.0),
    "einsum": (lambda x: np.einsum(",i->", x, np.ones(2)), 2.0), "quantile": (lambda x: np.quantile(x, 0.5), 1.0),
    "repeat": (lambda x: np.sum(np.repeat(x, 3)), 3.0), "matrix": (lambda x: np.sum(np.atleast_2d(x) * 3), 3.0),
}  # fmt: skip


@pytest.mark.parametrize("number", [0.75, np.float64(0.75), np.float32(0.75)], ids=repr)
@pytest.mark.parametrize("name", AS_ARRAYS)
def test_a_number_that_is_worked_with_as_an_array_is_owed_a_number(name, number):
    f, slope = AS_ARRAYS[name]
    value, gradient = pb.value_and_grad(f)(number)
    assert value == slope * 0.75
    assert (type(gradient), gradient) == (type(number), slope)
    assert pb.grad(lambda x: f(x) * f(x))(number) == pytest.approx(2 * 0.75 * slope**2)
    assert pb.hessian(lambda x: f(x) * f(x))(number) == pytest.approx(2 * slope**2)
    assert pb.compile(pb.grad(f))(number) == slope


class _Called:
    def __call__(self, x, y=1.0):
        return x * y

    def method(self, x, y):
        return x * y

    of_class = classmethod(method)


@pytest.mark.parametrize(
    "f", [_Called(), _Called().method, _Called.of_class, functools.partial(_Called().method, y=5.0)]
)
def test_arguments_of_objects_and_methods_have_their_names(f):
    with pytest.raises(InputError, match=r"the arguments given are x$|the arguments given are x, y"):
        pb.grad(f, argnums="self")(2.0, y=3.0)
    assert pb.grad(f, argnums="x")(2.0, y=3.0) == 3.0
    assert pb.grad(f, argnums="y")(2.0, y=3.0) == 2.0
