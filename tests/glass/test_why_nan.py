"""`pb.why_nan`: every planted fault is named, first and alone, with the exact sub-expression."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError

DATA = np.ones((4, 3))
DATA[2, 1] = np.nan
NET = pb.nn.MLP([3, 4, 1], seed=0)


def log_of_zero(p):
    return -np.log(p).sum()


def three_on_one_line(p):
    return (np.exp(p) + np.log(p - 1.0) * np.sqrt(p)).sum()


def root_at_zero(x):
    return np.sqrt(x * x).sum()


def zero_times_infinity(a, b):
    return (a * b).sum()


def overflow(a):
    z = np.exp(a)
    return (z / z.sum()).sum()


def exploding(w, h):
    for _ in range(2000):
        h = w * h
    return h


def exploding_scan(w, h):
    def step(h, _):
        return w @ h, None

    return pb.scan(step, h, None, length=800)[0].sum()


def division(prediction, target):
    return ((prediction - target) / target).mean()


def hidden_in_a_branch(x):
    return pb.cond(x[0] > 0, lambda x: np.log(x).sum(), lambda x: x.sum(), x)


def detached(x):
    return (x * pb.stop_gradient(np.log(x))).sum()


def in_compiled_code(x):
    return COMPILED(x) * 2.0


COMPILED = pb.compile(lambda x: np.log(x).sum())


@pb.custom_gradient
def given(x):
    return np.log(x), lambda bar: bar / x


def in_a_given_derivative(x):
    return given(x).sum()


def softmax_of_masked(s):
    z = s + np.array([[0.0, -np.inf], [-np.inf, -np.inf]])
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).sum()


@pb.custom_gradient
def root(x):
    y = np.sqrt(x)
    return y, lambda bar: bar / (2 * y)


def infinite_by_hand(x):
    return root(x).sum()


BAD_TABLE = np.array([1.0, np.nan])


# fault: (function, arguments, phase, sub-expression, element, operands, words of the reason)
FAULTS = {
    "log(0)": (log_of_zero, ([0.5, 0.0, 2.0],), "value", "np.log(p)", (1,), {"p": 0.0}, "log needs x > 0"),
    "three ops on a line": (
        three_on_one_line, ([2.0, 1.0],), "value", "np.log(p - 1.0)", (1,), {"p - 1.0": 0.0}, "log needs x > 0",
    ),
    "sqrt at 0, in the backward pass only": (
        root_at_zero, ([0.5, 0.0],), "gradient", "np.sqrt(x * x)", (1,), {"x * x": 0.0, "owed": 1.0, "partial": np.inf},
        "sqrt has a finite derivative where x > 0",
    ),
    "0·∞": (
        zero_times_infinity, ([1.0, 0.0], [2.0, np.inf]), "value", "a * b", (1,), {"a": 0.0, "b": np.inf},
        "0 · ∞ has no value",
    ),
    "overflow in exp": (
        overflow, ([1.0, 1000.0],), "value", "np.exp(a)", (1,), {"a": 1000.0}, "beyond the largest float64",
    ),
    "NaN in the data": (
        lambda net, X: (net(X) ** 2).mean(), (NET, DATA), "value", "X", (2, 1), {}, "row 2, column 1",
    ),
    "an exploding product": (
        exploding, (3.0, 1.0), "value", "w * h", (), {"w": 3.0, "h": 1.660850528023345e308},
        "beyond the largest float64",
    ),
    "an exploding recurrence": (
        exploding_scan, (np.eye(2) * 3.0, [1.0, 0.0]), "value", "w @ h", (0,),
        {"max |w|": 3.0, "max |h|": 1.660850528023345e308}, "beyond the largest float64",
    ),
    "a division in a loss": (
        division, ([1.0, 2.0], [3.0, 0.0]), "value", "(prediction - target) / target", (1,),
        {"prediction - target": 2.0, "target": 0.0}, "div needs b ≠ 0",
    ),
    "in a branch": (hidden_in_a_branch, ([1.0, 0.0],), "value", "np.log(x)", (1,), {"x": 0.0}, "log needs x > 0"),
    "in compiled code": (in_compiled_code, ([1.0, 0.0],), "value", "np.log(x)", (1,), {"x": 0.0}, "log needs x > 0"),
    "in a function whose derivative is given": (
        in_a_given_derivative, ([1.0, 0.0],), "value", "np.log(x)", (1,), {"x": 0.0}, "log needs x > 0",
    ),
    "a row of nothing but −∞": (
        softmax_of_masked, (np.zeros((2, 2)),), "value", "z - z.max(axis=1, keepdims=True)", (1, 0),
        {"z": -np.inf, "z.max(axis=1, keepdims=True)": -np.inf}, "−∞ − −∞ has no value",
    ),
    "a given derivative that is infinite": (
        infinite_by_hand, ([0.0, 4.0],), "gradient", "root(x)", (0,), {}, "the derivative that the function was given",
    ),
    "behind a detached part": (detached, ([1.0, 0.0],), "value", "np.log(x)", (1,), {"x": 0.0}, "log needs x > 0"),
}  # fmt: skip


def arrays(args):
    return [np.array(arg, float) if isinstance(arg, list) else arg for arg in args]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_named_first_and_alone(fault):
    f, args, phase, what, index, operands, words = fault
    found = pb.why_nan(f, *arrays(args))
    assert len(found) == 1, str(found)
    (origin,) = found
    assert (origin.phase, origin.what, origin.index) == (phase, what, index)
    assert dict(origin.operands) == operands
    assert words in origin.fact
    assert words in str(found)
    if what != "X":
        assert origin.place is not None
        assert origin.place.text == what
        assert origin.place.function in (f.__name__, "step", "<lambda>", "given")


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: np.where(x > 0, np.log(x), 0.0).sum(), ([1.0, 0.0, -1.0],)),
        (lambda x: np.linalg.norm(x), ([0.0, 0.0],)),
        (lambda x: (1.0 / (1.0 + np.exp(-x))).sum(), ([5.0, -5.0],)),
    ],
)
def test_nothing_is_named_where_all_is_finite(f, args):
    found = pb.why_nan(f, *arrays(args))
    assert not found
    with np.errstate(all="ignore"):
        assert np.isfinite(pb.grad(f)(*arrays(args))).all()
    assert str(found).startswith("everything is finite")


def test_what_was_not_taken_is_innocent_beside_a_fault():
    found = pb.why_nan(lambda x: np.where(x > 0, np.log(x), 0.0).sum() + np.log(x - 1.0).sum(), np.array([0.0, 3.0]))
    assert [origin.what for origin in found] == ["np.log(x - 1.0)"]


def test_several_faults_come_in_order():
    found = pb.why_nan(lambda x: (np.log(x) + 1.0 / (x - x)).sum(), np.array([0.0]))
    assert [origin.what for origin in found] == ["np.log(x)", "1.0 / (x - x)"]


def test_all_elements_are_counted():
    (origin,) = pb.why_nan(log_of_zero, np.array([0.0, 1.0, 0.0, 0.0]))
    assert (origin.count, origin.size) == (3, 4)


def test_an_infinity_born_inside_comes_back_in_the_gradient():
    (origin,) = pb.why_nan(lambda w: 1.0 / np.exp(w), np.float64(1000.0))
    assert (origin.phase, origin.what) == ("gradient", "np.exp(w)")
    assert dict(origin.operands)["partial"] == np.inf


def test_a_gradient_that_overflows_where_its_value_does_not():
    (origin,) = pb.why_nan(lambda x: np.exp(x * np.float32(1e30)) * np.float32(1e30), np.float32(0.0))
    assert origin.phase == "gradient"
    assert "beyond the largest float32" in origin.fact


def test_data_that_is_a_constant_is_found_by_its_numbers():
    (origin,) = pb.why_nan(lambda net, X: (net(X) ** 2).mean(), NET, DATA, argnums=0)
    assert (origin.what, origin.index) == ("X", (2, 1))


def test_a_constant_is_called_as_the_program_calls_it():
    (origin,) = pb.why_nan(lambda w: (w * BAD_TABLE).sum(), np.array([1.0, 2.0]))
    assert (origin.what, origin.index, origin.place.text) == ("BAD_TABLE", (1,), "w * BAD_TABLE")


def test_an_eager_value_has_its_story_too():
    x = pb.variable(np.array([1.0, 0.0]), "x")
    with np.errstate(divide="ignore"):
        y = np.log(x).sum()
    (origin,) = pb.why_nan(y)
    assert (origin.index, dict(origin.operands)) == ((1,), {"x": 0.0})


def test_data_behind_an_index_by_labels():
    labels = np.array([0, 1, 1, 0])
    net = pb.nn.MLP([3, 4, 2], seed=0)
    (origin,) = pb.why_nan(lambda net, X: pb.nn.cross_entropy(net(X), labels), net, DATA)
    assert (origin.what, origin.index) == ("X", (2, 1))


def test_steps_that_undo_each_other_are_innocent():
    def deep(w):
        h = w * np.float32(1e-38)
        for _ in range(300):
            h = np.float32(2.0) * h
            h = h * np.float32(0.5)
        return h

    assert not pb.why_nan(deep, np.float32(1.0))


def test_an_adjoint_that_explodes():
    def f(w):
        h = w
        for _ in range(200):
            h = h * np.float32(2.0)  # the value stays 0, its derivative does not stay a number
        return h

    (origin,) = pb.why_nan(f, np.float32(0.0))
    assert (origin.phase, origin.what) == ("gradient", "h * np.float32(2.0)")
    assert "beyond the largest float32" in origin.fact


def test_an_operand_that_was_made_at_the_same_place_is_not_called_as_the_result():
    (origin,) = pb.why_nan(lambda z: np.log(z).real, 0j)
    assert origin.what == "np.log(z)"
    assert origin.operands == (("hypot in it", 0.0),)


def test_what_a_loop_gives_is_called_by_the_loop_s_own_name():
    def loop(x):
        total = 0.0
        for number in x:
            total += np.log(number)
        return total

    programs = {
        "number": loop,
        "v": lambda x: sum(np.log(v) for v in x),
        "w": lambda x: sum(k + np.log(w) for k, w in enumerate(x)),
        "u": lambda x: sum([v * np.log(u) for v in x[:1] for u in x]),
    }
    for name, f in programs.items():
        assert pb.why_nan(f, np.array([1.0, 0.0]))[0].operands == ((name, 0.0),)
    texts = {account.where.text for account in pb.explain(programs["u"], np.ones(2)).nodes if account.op == "index"}
    assert texts == {"v", "u", "x[:1]"}
    texts = {account.where.text for account in pb.explain(programs["w"], np.ones(2)).nodes if account.op == "index"}
    assert texts == {"w"}


def over(a, b, choose=lambda b: np.where(b == 0, 1, b)):
    return np.where(b == 0, 0, a / choose(b)).sum()


ZERO, ONES = np.zeros(2), np.ones(2)
# what the cure names, in the words of the cure: (words, program, the program after the cure, arguments)
CURED = [
    ("np.maximum(x, 1e-12)", lambda x: np.log(x).sum(), lambda x: np.log(np.maximum(x, 1e-12)).sum(), (ZERO,)),
    ("np.log1p(x) for", lambda x: np.log(1 + x).sum(), lambda x: np.log1p(x + 1).sum(), (-ONES,)),
    ("log_softmax(x) for", lambda x: np.log(pb.nn.softmax(x)).sum(), lambda x: pb.nn.log_softmax(x).sum(),
     (np.array([0.0, 800.0]),)),
    ("np.where(b == 0, 1, b)", lambda a, b: (a / b).sum(), over, (ONES, ZERO)),
    ("logsumexp", lambda x: np.log(np.exp(x).sum()), lambda x: pb.nn.logsumexp(x), (800 * ONES,)),
    ("np.maximum(x, 0))", lambda x: np.sqrt(x).sum(), lambda x: np.sqrt(np.maximum(x, 0) + 1e-9).sum(), (-ONES,)),
    ("smaller weights", lambda W, x: (W @ (W @ x)).sum(), lambda W, x: (1e-3 * W @ (1e-3 * W @ x)).sum(),
     (np.full((2, 2), 1e20, np.float32), np.ones(2, np.float32))),
    ("np.linalg.norm", lambda x: np.sqrt((x * x).sum()), np.linalg.norm, (ZERO,)),
    ("x, 1)", lambda x: (x**0.5).sum(), lambda x: (np.where(x > 0, x, 1) ** 0.5 * (x > 0)).sum(), (ZERO,)),
]  # fmt: skip


@pytest.mark.parametrize(("words", "f", "cured", "args"), CURED, ids=[case[0] for case in CURED])
def test_what_is_said_to_help_helps(words, f, cured, args):
    found = pb.why_nan(f, *args)
    assert words in found[0].cure
    assert str(found).splitlines()[-1] == f"what helps: {found[0].cure}"
    assert not pb.why_nan(cured, *args)


def test_the_gradients_that_are_asked_for():
    def f(a, b):
        return np.sqrt(a) + np.sqrt(b) * 2.0

    assert list(pb.why_nan(f, 0.0, 0.0, wrt="a").bad) == list(pb.why_nan(f, 0.0, 0.0, argnums="a").bad) == ["a"]
    assert set(pb.why_nan(f, 0.0, 0.0).bad) == {"a", "b"}
    with pytest.raises(InputError, match="the leaves are a, b"):
        pb.why_nan(f, 0.0, 0.0, wrt="c")


@pytest.mark.parametrize(("f", "x", "fact"), [
    (np.sqrt, -1.0, "sqrt needs x ≥ 0"), (np.arccos, 1.5, "arccos needs |x| ≤ 1"),
    (lambda x: x**0.5, -1.0, "power needs a ≥ 0, or b a whole number"),
    (lambda x: x**-1.0, 0.0, "0 has no negative power"),
])  # fmt: skip
def test_a_value_has_a_wider_domain_than_a_derivative(f, x, fact):
    assert [origin.fact for origin in pb.why_nan(f, x)] == [fact]


def test_a_loop_says_in_which_round_it_was():
    def explosion(w, x):
        for _ in range(30):
            x = np.exp(w * x)
        return x.sum()

    (origin,) = pb.why_nan(explosion, 1.0, np.ones(2))
    assert origin.run == (4, 30)
    assert "np.exp(w * x)[0] in evaluation 4 of 30 is inf" in str(origin).replace("x#4", "np.exp(w * x)")


def test_a_zero_that_was_none_is_told():
    def likelihood(z):
        p = np.exp(z) / np.exp(z).sum()
        return -np.log(p[::-1][0])

    (origin,) = pb.why_nan(likelihood, np.array([-700.0, -1500.0]) + 705.0)
    assert "is 0 by underflow" in origin.fact
    (origin,) = pb.why_nan(likelihood, np.array([1000.0, 3.0]))
    assert origin.fact == "log needs x > 0; it is 0 because np.exp(z).sum() is infinite"
    (origin,) = pb.why_nan(lambda p: np.log(p * 3.0), 0.0)
    assert origin.fact == "log needs x > 0"


def test_what_is_masked_behind_a_root_is_to_be_chosen_before_it():
    (origin,) = pb.why_nan(lambda x, m: (np.sqrt(x) * m).sum(), np.array([4.0, 0.0]), np.array([1.0, 0.0]), wrt="x")
    assert "np.where(mask, x, 1)" in origin.cure
    (origin,) = pb.why_nan(lambda x: np.sqrt(x).sum(), np.array([4.0, 0.0]))
    assert "np.where(mask, x, 1)" not in origin.cure


def test_an_entropy_is_told_what_zero_times_a_logarithm_is():
    (origin,) = pb.why_nan(lambda p: -(p * np.log(p)).sum(), np.array([0.0, 1.0]))
    assert "scipy.special.xlogy" in origin.cure
