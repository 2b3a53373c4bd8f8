"""The result's dtype and bits are NumPy's for the same call: every dtype × every dtype, weak Python numbers, 0-d."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import scipy.special

import amount
import payback as pb
from ops import checks
from ops.samples import FLOATS, OPERATORS, POINTWISE, traced
from payback.ops.append import snapshot
from payback.trace.array import Traced

ARRAY_DTYPES = ("float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool")
OPERANDS = {
    **{name: np.array([1, 2, 3]).astype(name) for name in ARRAY_DTYPES},
    **{f"{name} scalar": np.array(2).astype(name)[()] for name in ARRAY_DTYPES},
    "0-d": np.array(1.5, np.float32),
    "float": 1.5, "int": 3, "negative int": -2, "bool": True, "list": [0.5, 1.5, 2.5], "large int": 300,
}  # fmt: skip
BINARY = [name for name, sample in POINTWISE.items() if len(sample.points) == 2]
UNARY = [
    name for name, sample in POINTWISE.items() if len(sample.points) == 1 and name not in ("identity", "stop_gradient")
]


def outcome(call, *args):
    """What the call gives, or the kind of error."""
    try:
        with np.errstate(all="ignore"):
            found = checks.value(call(*args))
    except (TypeError, ValueError, OverflowError) as error:
        return type(error).__mro__[-4:-3] and next(
            c for c in (TypeError, ValueError, OverflowError) if isinstance(error, c)
        )
    return found[()] if isinstance(found, np.ndarray) and not found.ndim else found


def same_outcome(found, expected):
    if isinstance(expected, type) or isinstance(found, type):
        return found is expected
    if type(expected) in (float, int, bool) or type(found) in (float, int, bool):
        return type(found) is type(expected) and (found == expected or found != found)
    return checks.same_bits(found, expected)


def same_power(found, expected):
    """NumPy has two powers for scalars, `a**b` and `np.power(a, b)`, and they differ by an ulp; payback has one.

    Of Python numbers, (-2)**1.5 is complex; in payback it is NaN, as it is for NumPy's floats.
    """
    if type(expected) is complex:
        return type(found) is float and found != found
    if isinstance(expected, np.floating) and type(found) is type(expected) and np.isfinite(expected):
        return abs(found - expected) <= np.spacing(expected)
    return same_outcome(found, expected)


def operand(key, is_traced):
    value = OPERANDS[key]
    return traced(value) if is_traced and key not in ("list", "int", "negative int", "large int", "bool") else value


def calls(name):
    return [POINTWISE[name].numpy, *([OPERATORS[name]] if name in OPERATORS else [])]


@pytest.mark.parametrize("left", OPERANDS)
@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name, left):
    """Traced left, right or both, as a function and as an operator."""
    for call in calls(name):
        for right in OPERANDS:
            if "list" in (left, right) and not any(np.ndim(OPERANDS[key]) and key != "list" for key in (left, right)):
                continue  # for operators a list is a sequence: Python's matter
            expected = outcome(
                call, *(snapshot(OPERANDS[key]) if key == "0-d" else OPERANDS[key] for key in (left, right))
            )
            for which in ((True, False), (False, True), (True, True)):
                args = [operand(key, w) for key, w in zip((left, right), which, strict=True)]
                if not any(isinstance(arg, Traced) for arg in args):
                    continue
                found = outcome(call, *args)
                same = same_power if name == "power" else same_outcome
                assert same(found, expected), (
                    f"{name} of {left} and {right}, traced {which}: {found!r}, NumPy: {expected!r}"
                )


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    for call in calls(name):
        for key in OPERANDS:
            arg = operand(key, True)
            if isinstance(arg, Traced):
                found, expected = (
                    outcome(POINTWISE[name].call if call is POINTWISE[name].numpy else call, arg),
                    outcome(call, OPERANDS[key]),
                )
                # no NumPy function: float16 of a small integer, as NumPy's exp; gelu's factors make it float64
                if POINTWISE[name].ulps is not None and name != "gelu":
                    expected = outcome(np.exp, OPERANDS[key])
                    assert np.asarray(found).dtype == np.asarray(expected).dtype or type(found) is float
                    continue
                assert same_outcome(found, expected), f"{name} of {key}: {found!r}, NumPy: {expected!r}"


@pytest.mark.parametrize("weak", [2.0, 3, True, 1e-3, 7e4])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_python_number_takes_the_dtype(dtype, weak):
    x = np.array([0.5, 1.5], dtype)
    for name in ("add", "sub", "mul", "div", "maximum", "power"):
        for call in calls(name):
            for args in ((x, weak), (weak, x)):
                with np.errstate(all="ignore"):
                    expected = call(*args)
                    found = call(*[traced(a) if a is x else a for a in args])
                checks.assert_same(found.node.value, expected)
                assert found.dtype == dtype
                if type(weak) is float:
                    with np.errstate(all="ignore"):
                        both = call(*map(traced, args))
                    checks.assert_same(both.node.value, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_adjoint_of_a_python_number_is_a_python_number(dtype):
    x, w = traced(np.array([0.5, 1.5], dtype)), traced(2.0)
    of_x, of_w = checks.sweep_both(x * w, np.ones(2, dtype), [x, w])
    assert of_x.dtype == dtype
    assert type(of_w) is float
    assert of_w == 2.0


@pytest.mark.parametrize("seed", range(amount.cases(30, 400, 1500)))
def test_chains_of_mixed_dtypes(seed):
    """Random expressions of mixed dtypes: value, dtype and weakness as in NumPy, adjoints in the argument's dtype."""
    rng = np.random.default_rng(seed)
    pool = [
        np.float16([1, 2]),
        np.float32([[3.0], [0.5]]),
        np.float64([0.25, 4]),
        np.float32(1.5),
        np.float64(2.0),
        0.75,
        3.0,
    ]
    inputs = [traced(v) for v in pool]
    plain, graph = list(pool), list(inputs)
    constants = [2, 0.5, np.int8(3), np.array([1, 2]), np.float32(2), [1.0, 2.0]]
    with np.errstate(all="ignore"):
        for _ in range(8):
            op = [operator.add, operator.mul, operator.sub, np.maximum, np.add, np.multiply, np.minimum][
                rng.integers(7)
            ]
            i = rng.integers(len(plain))
            if rng.random() < 0.3:
                c = constants[rng.integers(len(constants))]
                if isinstance(c, list) and not np.ndim(plain[i]):
                    continue
                p, g = op(plain[i], c), op(graph[i], c)
            else:
                j = rng.integers(len(plain))
                p, g = op(plain[i], plain[j]), op(graph[i], graph[j])
            assert same_outcome(g.node.value, p)
            assert g.node.aval.weak == (type(p) is float)
            plain.append(p)
            graph.append(g)
        top = graph[-1]
        owed = checks.sweep_both(top, 1.0 if top.node.aval.weak else np.ones(top.shape, top.dtype)[()], inputs)
    for bar, x in zip(owed, pool, strict=True):
        if bar is not None:
            assert np.shape(bar) == np.shape(x)
            assert np.asarray(bar).dtype == np.asarray(x).dtype, (bar, x)


def test_what_is_told_of_conditions_is_a_float():
    """Without numbers, too, where NumPy is not asked."""
    told = [np.mean, np.linalg.norm, scipy.special.logsumexp]
    found = pb.compile(lambda x: [f(x > 0) for f in told])(np.array([1.0, -2.0, 3.0]))
    np.testing.assert_allclose(found, [f(np.array([True, False, True])) for f in told], rtol=1e-15)
