"""custom_gradient and remat: every mode, every order, and what is refused."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import payback as pb
from payback.errors import DifferentiationError, GradientCheckError
from payback.trace.abstract import trace
from transforms.modes import MODES, assert_close, check, chosen

GENERATOR = np.random.default_rng(3)
X, S = GENERATOR.uniform(0.5, 1.5, (2, 3)), np.float64(1.25)


@pb.custom_gradient
def scaled_sine(x, s):
    return np.sin(x) * s, lambda bar: (bar * np.cos(x) * s, np.sum(bar * np.sin(x)))


@pb.custom_gradient
def exponential(x, s):
    """Its pull reads the result."""
    y = np.exp(x * s)
    return y, lambda bar: (bar * y * s, np.sum(bar * y * x))


@pb.custom_gradient
def several(x, s):
    """Containers, results that are the argument itself, whole numbers, and a constant."""

    def pull(bar):
        a, b = bar["a"], bar["b"][0]
        return 2 * x * a * s + b, np.sum(x * x * a) + bar["b"][2]

    return {"a": x * x * s, "b": [x, 3, s]}, pull


@pb.custom_gradient
def normalized(p):
    """One container as the argument."""
    norm = np.sqrt(np.sum(p["x"] ** 2))
    return p["x"] / norm * p["s"], lambda bar: {
        "x": (bar - p["x"] * np.sum(bar * p["x"]) / norm**2) / norm * p["s"],
        "s": np.sum(bar * p["x"]) / norm,
    }


WEIGHTS = GENERATOR.uniform(0.5, 1.5, (2, 3))


@pb.custom_gradient
def weighted(x, s):
    """It reads an array from around it, and has derivatives and calls inside."""
    y, pull = pb.vjp(pb.remat(lambda x: np.sin(x * WEIGHTS) ** 2), x)
    return y * s, lambda bar: (pull(bar * s)[0], np.sum(bar * y) * pb.grad(lambda t: t * t * s)(0.5) / s)


def summed(x, s):
    return pb.scan(lambda c, row: (np.sin(c) * row + c * s, None), x[0], x)[0]


@pb.custom_gradient
def looped(x, s):
    return pb.vjp(summed, x, s)


def spiral(x, s):
    for _ in range(3):
        x = np.sin(x) * s + x[::-1]
    return x


# name: (the function, the same written plainly)
PROGRAMS = {
    "several arguments": (scaled_sine, lambda x, s: np.sin(x) * s),
    "reads the result": (exponential, lambda x, s: np.exp(x * s)),
    "containers and whole numbers": (
        lambda x, s: (lambda r: (r["a"], r["b"][0], r["b"][2] * 1.0))(several(x, s)),
        lambda x, s: (x * x * s, x, s * 1.0),
    ),
    "what is around it, and inside": (weighted, lambda x, s: np.sin(x * WEIGHTS) ** 2 * s),
    "a loop inside": (looped, summed),
    "a container": (lambda x, s: normalized({"x": x, "s": s}), lambda x, s: x / np.sqrt(np.sum(x**2)) * s),
    "inside other things": (
        lambda x, s: np.cumsum(exponential(scaled_sine(x, s) * x[0], s), axis=1),
        lambda x, s: np.cumsum(np.exp(np.sin(x) * s * x[0] * s), axis=1),
    ),
    "in a scan": (
        lambda x, s: pb.scan(lambda c, row: (scaled_sine(c + row, s), c), x[0], x),
        lambda x, s: pb.scan(lambda c, row: (np.sin(c + row) * s, c), x[0], x),
    ),
    "remat": (pb.remat(spiral), spiral),
    "remat of captured values": (
        lambda x, s: pb.remat(lambda: spiral(x, s))() * pb.remat(lambda y: y * s)(x),
        lambda x, s: spiral(x, s) * x * s,
    ),
    "remat of remat": (pb.remat(lambda x, s: pb.remat(spiral)(x * s, s) * x), lambda x, s: spiral(x * s, s) * x),
    "remat of a gradient": (
        pb.remat(lambda x, s: pb.grad(lambda x: np.sum(spiral(x, s)))(x)),
        lambda x, s: pb.grad(lambda x: np.sum(spiral(x, s)))(x),
    ),
    "remat with keywords": (
        lambda x, s: pb.remat(lambda x, *, by, times: (x * by,) * times)(x, by=s, times=2),
        lambda x, s: (x * s,) * 2,
    ),
}


@pytest.mark.parametrize(("name", "mode"), chosen(PROGRAMS, MODES))
def test_as_written_plainly(name, mode):
    check(mode, *PROGRAMS[name], (X, S))


@pytest.mark.parametrize("name", PROGRAMS)
def test_float32_stays(name):
    args = (X.astype(np.float32), np.float32(S))
    for mode in ("value", "grad", "jvp", "grad of vmap"):
        check(mode, *PROGRAMS[name], args, 1e-4)


@pytest.mark.parametrize("name", PROGRAMS)
def test_check_grads_works_on_it(name):
    pb.check_grads(PROGRAMS[name][0], X, S, order=2)


def test_straight_through_and_reversal():
    rounded = pb.custom_gradient(lambda x: (np.rint(x), lambda bar: bar))
    flipped = pb.custom_gradient(lambda x: (x, lambda bar: -bar))
    assert rounded(2.6) == 3.0
    for f, slope in ((lambda x: rounded(x) ** 2, 6.0), (lambda x: flipped(x) ** 2, -5.2)):
        assert pb.grad(f)(2.6) == slope
        assert pb.jvp(f, (2.6,), (1.0,))[1] == slope
        assert pb.compile(pb.grad(f))(2.6) == slope
        np.testing.assert_array_equal(pb.vmap(pb.grad(f))(np.array([2.6])), [slope])
    # of second order: the derivative of what the author's rule computes
    assert pb.grad(pb.grad(lambda x: rounded(x) ** 2))(2.6) == 2.0
    assert pb.grad(pb.grad(lambda x: flipped(x) ** 2))(2.6) == 2.0
    v = pb.variable(np.array([0.4, 2.6]))
    np.sum(rounded(v) ** 2).backward()
    np.testing.assert_array_equal(v.grad, [0.0, 6.0])


def test_plain_arguments_are_computed_plainly():
    assert type(scaled_sine(np.ones(2), 2.0)) is np.ndarray


def test_the_result_alone_is_what_the_function_gives():
    assert_close(several(X, S)["b"][1], 3)
    graph = trace(lambda x: scaled_sine(x, 2.0), X).graph
    assert [node.op.name for node in graph.nodes if node.args] == ["custom", "part"]


def test_check_at_the_first_use():
    calls = []

    def wrong(x):
        calls.append(x)
        return np.sin(x), lambda bar: 1.01 * bar * np.cos(x)

    checked = pb.custom_gradient(wrong, check=True)
    for _ in range(2):
        with pytest.raises(GradientCheckError):
            pb.grad(checked)(0.5)
    right = pb.custom_gradient(lambda x: (np.sin(x), lambda bar: bar * np.cos(x)), check=True)
    assert pb.grad(right)(0.5) == np.cos(0.5)
    assert pb.grad(pb.custom_gradient(wrong))(0.5) == 1.01 * np.cos(0.5)
    with pytest.raises(GradientCheckError):
        pb.check_grads(pb.custom_gradient(wrong), 0.5, order=1)
    # in a graph without numbers there is nothing to check at: the first use with numbers is checked
    late = pb.custom_gradient(wrong, check=True)
    assert pb.compile(late)(0.5) == np.sin(0.5)
    with pytest.raises(GradientCheckError):
        pb.grad(late)(0.5)


def test_a_pull_that_is_not_linear_has_no_forward_mode():
    clipped = pb.custom_gradient(lambda x: (x * 1.0, lambda bar: np.clip(bar, -1.0, 1.0)))
    assert pb.grad(lambda x: 5.0 * clipped(x))(2.0) == 1.0
    with pytest.raises(DifferentiationError, match="not linear"):
        pb.jvp(clipped, (2.0,), (1.0,))


def test_what_an_unbatched_argument_of_a_batch_is_owed():
    """Each sample's payment once, whatever else the result shares."""
    shared = pb.custom_gradient(lambda x, s: ((x * s, s * s), lambda bar: (bar[0] * s, bar[0] * x + bar[1] * 2 * s)))

    def f(x, s):
        a, b = pb.vmap(shared, (0, None))(x, s)
        return np.sum(a * a) + np.sum(b)

    x = np.array([1.0, 2.0, 3.0])
    _, by_s = pb.grad(f, (0, 1))(x, 2.0)
    assert by_s == np.sum(2 * x * 2 * x) + 3 * 4
    assert pb.jvp(f, (x, 2.0), (np.zeros(3), 1.0))[1] == by_s


# remat


def test_remat_keeps_nothing_of_what_is_inside():
    """Bytes of a gradient through 64 blocks of 8 steps each."""

    def block(x):
        for _ in range(8):
            x = np.sin(x) + 0.1
        return x

    def peak(step):
        def f(x):
            for _ in range(64):
                x = step(x)
            return np.sum(x)

        x = np.ones(2000)
        slope = pb.grad(f)(x)
        tracemalloc.start()
        try:
            pb.grad(f)(x)
            return tracemalloc.get_traced_memory()[1], slope
        finally:
            tracemalloc.stop()

    (plain, expected), (kept, found) = peak(block), peak(pb.remat(block))
    np.testing.assert_array_equal(found, expected)
    assert kept < plain / 3


def test_remat_takes_the_branches_that_were_taken():
    def f(x):
        seen.append(x)
        return x * x if x > 1 else np.sin(x)

    seen: list[object] = []
    assert pb.grad(pb.remat(f))(2.0) == 4.0
    assert pb.grad(pb.remat(f))(0.5) == np.cos(0.5)
    assert len(seen) == 2  # the function itself is called once; its graph is run again


def test_remat_of_variables():
    v, w = pb.variable(2.0), pb.variable(3.0)
    pb.remat(lambda v: np.sin(v * w))(v).backward()
    assert v.grad == pytest.approx(3 * np.cos(6.0), rel=1e-15)
    assert w.grad == pytest.approx(2 * np.cos(6.0), rel=1e-15)


def test_remat_of_constants():
    assert pb.remat(lambda x: x + 1)(2.0) == 3.0
    assert pb.grad(lambda x: x * pb.remat(lambda y: y + 1)(2.0))(1.0) == 3.0


# refused


def _pull(pull):
    return lambda: pb.grad(lambda x: np.sum(pb.custom_gradient(lambda x: (x * 2, pull))(x)))(np.ones(2))


def _two(pull):
    return lambda: pb.grad(lambda x: np.sum(pb.custom_gradient(lambda x, y: (x * y, pull))(x, x)))(np.ones(2))


def _captured(where):
    def f(a):
        inside = {
            "result": lambda x: (x * a, lambda bar: bar * 2.0),
            "pull": lambda x: (x * 2.0, lambda bar: bar * a),
        }
        return pb.custom_gradient(inside[where])(a * 2.0)

    return lambda: pb.grad(f)(1.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (_pull(lambda bar: np.sum(bar)), "returns a gradient of shape ("),
        (_pull(lambda bar: (bar, bar)), "another structure than its argument"),
        (_pull(lambda bar: [bar]), "another structure than its argument"),
        (_two(lambda bar: bar), "returns 1 gradients"),
        (_two(lambda bar: (bar, bar, bar)), "returns 3 gradients"),
        (lambda: pb.custom_gradient(lambda x: x)(1.0), "returns a float"),
        (lambda: pb.grad(pb.custom_gradient(lambda x: (x, 2.0)))(1.0), "a function with a custom gradient returns"),
        (_captured("result"), "uses a traced value that is not an argument"),
        (_captured("pull"), "uses a traced value that is not an argument"),
        (lambda: pb.grad(pb.custom_gradient(lambda x: (x * VARIABLE, lambda bar: bar)))(1.0), "not an argument"),
    ],
)
def test_errors(call, text):
    with pytest.raises(DifferentiationError) as caught:
        call()
    assert text in str(caught.value)
    assert "test_custom.py" in str(caught.value)
    assert "\n" not in str(caught.value)


VARIABLE = pb.variable(2.0)


def test_one_pull_pays_all_arguments():
    pulls = []

    @pb.custom_gradient
    def product(a, b):
        def pull(bar):
            pulls.append(bar)
            return bar * b, bar * a

        return a * b, pull

    assert pb.grad(product, argnums=(0, 1))(2.0, 3.0) == (3.0, 2.0)
    assert len(pulls) == 1
