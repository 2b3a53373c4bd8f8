"""The tape: big scalar programs replayed natively give what the interpreter gives.

Arithmetic, choices and roundings to the bit, in values and gradients: payments are added in the order of their payers.
Elementary functions are vector_math's, within 2 ulp of NumPy's: each row is tested by itself.
"""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import amount
import payback as pb
from native.compare import same_but_zeros
from ops.samples import POINTWISE
from payback.errors import TraceError
from payback.native.tape import columns as tape
from payback.native.tape import recorder as tape_recorder
from payback.native.tape.cases import able
from payback.ops import TABLE

EPS = np.finfo(float).eps
SPECIAL = (0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan, 5e-324, -1e-310, 1e300, 0.75)


@pytest.fixture
def short(monkeypatch):
    """Tapes of any length, so that small programs are on one."""
    monkeypatch.setattr(tape_recorder, "MANY", 1)


def tapes(compiled):
    """The tapes in the last call's graph."""
    return [node.params["body"] for node in compiled._last.body.graph.nodes if node.op.name == "call"]


def both(f, *args, argnums=0):
    """(value, gradient) from the tape, and from the interpreter."""
    compiled = pb.compile(pb.value_and_grad(f, argnums))
    with np.errstate(all="ignore"):
        found, wanted = compiled(*args), pb.value_and_grad(f, argnums)(*args)
    assert tapes(compiled), "it is not on a tape"
    return found, wanted


def same(found, wanted):
    assert type(found[0]) is type(wanted[0])
    assert same_but_zeros(found[0], wanted[0]), f"{found[0]!r} is not {wanted[0]!r}"
    assert same_but_zeros(found[1], wanted[1]), f"{found[1]!r} is not {wanted[1]!r}"


# --- random programs --------------------------------------------------------------------------------------------

EXACT = [
    lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: -a,
    lambda a, b: abs(a), lambda a, b: np.maximum(a, b), lambda a, b: np.minimum(a, b), lambda a, b: np.sqrt(abs(a)),
    lambda a, b: np.where(a > b, a, b * 2.0), lambda a, b: np.where(a <= 0.25, np.sqrt(a), b), lambda a, b: 1.5 - a,
    lambda a, b: a**2, lambda a, b: 3 * a, lambda a, b: np.clip(a, -0.5, b), lambda a, b: np.floor(a) + b,
    lambda a, b: pb.nn.relu(a), lambda a, b: np.where((a >= b) & (a < 1.0), b, a), lambda a, b: 0.5 / a,
    lambda a, b: np.square(a) + np.float64(0.1), lambda a, b: pb.stop_gradient(a) * b, lambda a, b: np.sign(a) * b,
]  # fmt: skip
SMOOTH = [
    *EXACT[:3], EXACT[5], lambda a, b: np.sin(a), lambda a, b: np.tanh(a * b), lambda a, b: np.exp(-a * a),
    lambda a, b: np.log(a * a + 1.0), lambda a, b: pb.nn.sigmoid(a), lambda a, b: math.cos(a) * b,
    lambda a, b: a / (b * b + 1.0), lambda a, b: np.arctan2(a, b * b + 1.0),
]  # fmt: skip
STEP = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
NUMBER = st.floats(-3.0, 3.0)


def program(steps, operations):
    def f(x):
        made = [x[k] for k in range(len(x))]
        for which, i, j in steps:
            made.append(operations[which % len(operations)](made[-1 - i % len(made)], made[-1 - j % len(made)]))
        return made[-1] + 0.5 * made[-2]

    return f


@given(st.lists(STEP, min_size=3, max_size=60), st.lists(st.one_of(NUMBER, st.sampled_from(SPECIAL)), min_size=3,
                                                        max_size=3))  # fmt: skip
def test_exact_programs_to_the_bit(steps, x):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape_recorder, "MANY", 1)
        same(*both(program(steps, EXACT), np.array(x)))


@given(st.lists(STEP, min_size=3, max_size=30), st.lists(NUMBER, min_size=3, max_size=3))
def test_smooth_programs_to_rounding(steps, x):
    """Each operation is within a few ulp; what becomes of that is bounded by the gross gradient's growth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tape_recorder, "MANY", 1)
        (value, gradient), (value_, gradient_) = both(program(steps, SMOOTH), np.array(x))
    if not np.isfinite([value_, *gradient_]).all() or max(map(abs, [value_, *gradient_])) > 1e6:
        return
    np.testing.assert_allclose([value, *gradient], [value_, *gradient_], rtol=1e-9, atol=1e-9)


# --- every row --------------------------------------------------------------------------------------------------

ROWS = sorted(able() - {"logical_and", "logical_or", "logical_not"})
EVERYTHING = {"add", "sub", "mul", "div", "neg", "power", "exp", "log", "sqrt", "sin", "tanh", "maximum", "select",
              "clip", "sigmoid", "erf", "hypot", "logaddexp", "mod", "copysign", "heaviside", "gt"}  # fmt: skip


def test_the_rows_of_the_tape():
    assert able() >= EVERYTHING
    assert {name for name in POINTWISE if TABLE[name].kind == "pointwise"} >= able()


@pytest.mark.parametrize("name", ROWS[:: amount.cases(2, 1)])
def test_a_row_at_its_samples_and_at_special_values(name, short):
    sample = POINTWISE[name]
    call, count = sample.call, len(sample.points)
    truth = TABLE[name].numeric == "bool"
    points = [tuple(map(float, row)) for row in zip(*sample.points, strict=True)]
    special = itertools.product(SPECIAL, repeat=min(count, 2))
    points += [(*row, *[0.5] * (count - len(row))) for row in special]

    def f(x):
        args = [x[k] for k in range(count)]
        if name == "select":
            args[0] = args[0] > 0.5
        made = call(*args)
        return np.where(made, x[0] * 2.0, x[count - 1]) if truth else made * 1.5

    compiled, plain = pb.compile(pb.value_and_grad(f)), pb.value_and_grad(f)
    with np.errstate(all="ignore"):
        for point in points:
            x = np.array(point)
            (value, gradient), (value_, gradient_) = compiled(x), plain(x)
            wanted = np.array([value_, *gradient_])
            found = np.array([value, *gradient])
            np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted), f"{name}{point}")
            # next to a zero of the derivative the last bit of the value shows
            np.testing.assert_allclose(found, wanted, rtol=64 * EPS, atol=sample.error * 8 * EPS + 1e-305,
                                       err_msg=f"{name}{point}")  # fmt: skip
    assert tapes(compiled)


# --- masks, orders, shapes --------------------------------------------------------------------------------------


def test_only_the_side_that_was_taken_is_paid(short):
    def f(x):
        return np.where(x[0] > 0.0, np.log(x[0]), x[1]) + np.where(x[2] < 1.0, 2.0 * x[2], np.sqrt(x[2] - 1.0))

    (value, gradient), wanted = both(f, np.array([0.0, 3.0, 1.0]))
    same((value, gradient), wanted)
    np.testing.assert_array_equal(gradient[:2], [0.0, 1.0])
    found, _ = both(lambda x: np.where(x[0] > 0.0, np.log(x[0]), 0.0) * 1.0, np.array([0.0]))
    np.testing.assert_array_equal(found[1], [0.0])


def test_what_only_a_comparison_looks_at_is_owed_nothing(short):
    found, wanted = both(lambda x: np.where(np.log(x[0]) > 0.0, x[1], x[1] * 3.0), np.array([0.0, 2.0]))
    same(found, wanted)
    np.testing.assert_array_equal(found[1], [0.0, 3.0])


def test_many_payments_are_added_in_the_order_of_their_payers(short):
    def f(x):
        a, s = x[0] * 1.0, x[0] * 0.0
        for k in range(500):
            s = s + a * (0.1 * 1.7 ** (k % 40) * (-1) ** k)
        return s

    same(*both(f, np.array([0.3])))


def test_a_result_that_is_used_further(short):
    def f(x):
        a = x[0] * x[1]
        b = a * a + a
        return np.sum(np.array([a, b, a * b, a]) * np.array([1.0, 0.5, -2.0, 0.25]))

    same(*both(f, np.array([0.7, -1.3])))


def test_numbers_trees_and_argnums(short):
    def f(a, p, b):
        return a * p["w"][1, 2] + math.sin(b) * b

    args = (2.0, {"w": np.arange(6.0).reshape(2, 3)}, 0.5)
    compiled, plain = (g(pb.value_and_grad(f, (0, 1, 2))) for g in (pb.compile, lambda f: f))
    (value, (a, p, b)), (value_, (a_, p_, b_)) = compiled(*args), plain(*args)
    assert value == pytest.approx(value_, rel=1e-15)
    assert (a, b) == pytest.approx((a_, b_), rel=1e-15)
    assert (type(value), type(a), type(b)) == (np.float64, float, float)
    assert type(pb.compile(f)(2.0, {"w": np.ones((2, 3))}, 0.5)) is np.float64
    np.testing.assert_array_equal(p["w"], p_["w"])
    assert tapes(compiled)


def test_an_argument_that_is_not_differentiated_by_and_one_without_path(short):
    f = lambda x, y: x[0] * y[1] + x[1]  # noqa: E731
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    same(*both(f, x, y))
    np.testing.assert_array_equal(pb.compile(pb.grad(f, 1))(x, y), [0.0, 1.0])


def test_rows_computed_before_and_after_the_tape(short):
    def f(x):
        y = np.tanh(x @ x)
        s = y[0, 0]
        for k in range(20):
            s = s * y[1, 0] + x[k % 2, 1]
        return np.sum(x) * s

    (value, gradient), (value_, gradient_) = both(f, np.array([[0.2, -0.4], [0.3, 0.9]]))
    assert value == pytest.approx(value_, rel=1e-14)
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-13)


def test_written_arrays(short):
    def f(x):
        out = np.zeros(50)
        for k in range(50):
            out[k] = x[k % 3] * 0.5 + (out[k - 1] * x[0] if k else 1.0)
        out[7] = 2.0
        return np.sum(out * out) + out[3]

    (value, gradient), (value_, gradient_) = both(f, np.array([0.3, 0.6, -0.2]))
    assert value == pytest.approx(value_, rel=1e-14)
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-13)


def test_values_alone_and_vectors_of_them(short):
    def f(x):
        return np.array([x[0] * x[k] for k in range(3)]), x[2] - 1.0

    x = np.array([1.5, -2.0, 0.25])
    compiled = pb.compile(f)
    (vector, single), (vector_, single_) = compiled(x), f(x)
    np.testing.assert_array_equal(vector, vector_)
    assert single == single_
    assert tapes(compiled)
    (_, pull), (_, pull_) = pb.vjp(compiled, x), pb.vjp(f, x)
    bars = (np.array([1.0, 2.0, -1.0]), 3.0)
    np.testing.assert_array_equal(pull(bars)[0], pull_(bars)[0])


def test_second_order_and_forward_mode(short):
    def f(x):
        s = x[0]
        for k in range(6):
            s = s * x[k % 3] + np.sin(s)
        return s

    x = np.array([0.5, 0.9, -0.4])
    np.testing.assert_allclose(pb.compile(pb.hessian(f))(x), pb.hessian(f)(x), rtol=1e-12)
    np.testing.assert_allclose(pb.hessian(pb.compile(f))(x), pb.hessian(f)(x), rtol=1e-12)
    _, dot = pb.jvp(pb.compile(f), (x,), (np.ones(3),))
    assert dot == pytest.approx(pb.jvp(f, (x,), (np.ones(3),))[1], rel=1e-13)
    twice = lambda x: np.sum(pb.grad(f)(x) ** 2)  # noqa: E731
    np.testing.assert_allclose(pb.compile(pb.grad(twice))(x), pb.grad(twice)(x), rtol=1e-12)
    xs = np.stack([x, 2 * x])
    np.testing.assert_allclose(pb.vmap(pb.compile(f))(xs), [f(row) for row in xs], rtol=1e-13)


# --- when -------------------------------------------------------------------------------------------------------


def chain(x, n):
    s = x[0]
    for k in range(n):
        s = s * 0.75 + x[k % 4]
    return s


def test_the_size_of_the_program_decides():
    x = np.array([1.0, 2.0, -1.0, 0.5])
    few, many = (pb.compile(pb.value_and_grad(lambda x, n=n: chain(x, n))) for n in (100, 2000))
    same(few(x), pb.value_and_grad(lambda x: chain(x, 100))(x))
    same(many(x), pb.value_and_grad(lambda x: chain(x, 2000))(x))
    assert not tapes(few)
    assert len(tapes(many)) == 1


def test_a_loop_of_more_rounds_than_nodes_are_allowed():
    """The guard against loops that unroll is for nodes; of an entry on a tape it need not guard."""
    x = np.array([1.0, 2.0, -1.0, 0.5])
    value, gradient = pb.compile(pb.value_and_grad(lambda x: chain(x, 60_000)))(x)
    assert np.isfinite(gradient).all()
    assert value == pb.compile(lambda x: chain(x, 60_000))(x) == chain(x, 60_000)


def test_rows_that_are_on_no_tape_split_the_program(short):
    from scipy import special

    f = lambda x: special.gammaln(x[0] * x[1]) * x[0] + x[1]  # noqa: E731
    x = np.array([1.5, 2.5])
    (value, gradient), (value_, gradient_) = pb.compile(pb.value_and_grad(f))(x), pb.value_and_grad(f)(x)
    assert value == pytest.approx(value_, rel=1e-14)
    np.testing.assert_allclose(gradient, gradient_, rtol=1e-13)


def test_other_dtypes_are_compiled_as_ever(short):
    x = np.array([0.5, 1.5], np.float32)
    compiled = pb.compile(pb.value_and_grad(lambda x: x[0] * x[1] + x[0]))
    value, gradient = compiled(x)
    assert value == np.float32(1.25)
    assert value.dtype == gradient.dtype == np.float32
    assert not tapes(compiled)


def test_a_branch_on_a_number_is_refused_with_its_place():
    with pytest.raises(TraceError, match=r"a value that is looked at is not known while a function is compiled "
                                         r"\(.*test_tape\.py:\d+ in .*: x\[0\] > 0\)"):  # fmt: skip
        pb.compile(lambda x: x[1] if x[0] > 0 else x[0])(np.ones(2))
    with pytest.raises(TraceError, match="float"):
        pb.compile(lambda x: math.ldexp(x[0] * 2.0, 1))(np.ones(2))


def test_indices_out_of_bounds_raise():
    with pytest.raises(IndexError):
        pb.compile(lambda x: x[2] * 1.0)(np.ones(2))


def test_recording_takes_twelve_bytes_an_entry():
    from payback.ir.aval import Aval
    from payback.trace.array import Traced
    from payback.trace.body import fresh
    from payback.trace.scalars.number import recorded

    recorder = tape_recorder.recorder()
    with recorded(recorder):
        top = chain(Traced(fresh(Aval((4,), np.dtype(float)))), 1000)
    columns = (recorder.what, recorder.first, recorder.second)
    assert {column.itemsize for column in columns} == {4}
    assert len(recorder.what) == 3002  # a constant, a first entry, and three a round
    assert top.node.op.name == "part"


def test_several_threads_at_once():
    compiled = pb.compile(pb.value_and_grad(lambda x: chain(x, 3000)))
    xs = np.random.default_rng(0).standard_normal((40, 4))
    wanted = [compiled(x) for x in xs]
    with ThreadPoolExecutor(8) as pool:
        for (value, gradient), (value_, gradient_) in zip(pool.map(compiled, xs), wanted, strict=True):
            assert value == value_
            np.testing.assert_array_equal(gradient, gradient_)


@pytest.mark.parametrize("name", ["mul", "div", "sin", "select", "power"])
def test_a_wrong_rule_is_caught(name, short, monkeypatch):
    """The kernels are written from the rows' rules: with a bent one they give another gradient."""
    f = {
        "mul": lambda x: x[0] * x[1], "div": lambda x: x[0] / x[1], "sin": lambda x: np.sin(x[1]) + x[0],
        "select": lambda x: np.where(x[0] > 0.0, x[1], x[0]), "power": lambda x: x[0] ** x[1],
    }[name]  # fmt: skip
    x = np.array([0.5, 1.25])
    found, wanted = both(f, x)
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-14)
    row = TABLE[name]
    bent = [None if rule is None else lambda m, *args, rule=rule: 1.001 for rule in row.partials]
    monkeypatch.setattr(tape, "VERSION", f"bent {name}")
    with monkeypatch.context() as patch:
        patch.setattr(row, "partials", tuple(bent))
        wrong = pb.compile(pb.value_and_grad(f))(x)
    assert np.max(np.abs(wrong[1] - wanted[1])) > 1e-4
