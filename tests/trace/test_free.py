"""What may become a bare number: values from which no derivative leads to what somebody differentiates by."""

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError

X = np.array([0.3, 1.2, 2.0])


def of_a_long_program(w, rounds, bare=float):
    s = pb.stop_gradient(w[0])
    for _ in range(rounds):
        s = s + 1.0
    return bare(s)


FREE = {
    "a whole number": (lambda w: int(np.argmax(w)), 2.0),
    "a condition": (lambda w: float(w[0] < w[1]), 1.0),
    "a stopped value": (lambda w: float(pb.stop_gradient(w[1])), 1.2),
    "of stopped values and constants": (lambda w: float(pb.stop_gradient(w[1]) * 2 + X[0]), 2.7),
    "of several stopped values": (lambda w: float(pb.stop_gradient(w[1]) * pb.stop_gradient(w)[2]), 2.4),
    "chosen by a traced value": (lambda w: float(np.where(w > 0.5, pb.stop_gradient(w), 0.0)[np.argmax(w)]), 2.0),
    "of a program not too long": (lambda w: of_a_long_program(w, 400), 400.3),
}
BOUND = {
    "a value": lambda w: w[0].__float__(),
    "of a stopped value and another": lambda w: (pb.stop_gradient(w[1]) * w[0]).__float__(),
    "an entry at a free place": lambda w: w[np.argmax(w)].__float__(),
    "of a gradient inside": lambda w: pb.grad(lambda v: v * v.__float__())(2.0),
    "of a gradient inside, by a traced value": lambda w: pb.grad(lambda v: v * v.__float__())(w[0]),
    "of a gradient inside, by a stopped value": lambda w: pb.grad(lambda v: v * v.__float__())(pb.stop_gradient(w[0])),
    "of the outer argument, inside": lambda w: pb.grad(lambda v: v * w[0].__float__())(2.0),
    "of a long program": lambda w: of_a_long_program(w, 1500, lambda s: s.__float__()),  # nobody looks so far
}


@pytest.mark.parametrize("name", FREE)
def test_a_number_that_loses_nothing(name):
    number, value = FREE[name]
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(w) * number(w))(X), np.full(3, value), rtol=1e-15)


@pytest.mark.parametrize("name", BOUND)
def test_a_number_that_would_lose_its_derivative(name):
    with pytest.raises(TraceError, match=r"float\(x\) would lose the derivative"):
        pb.grad(lambda w: np.sum(w) * BOUND[name](w))(X)
