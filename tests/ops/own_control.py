"""Uses of the rows that run bodies: calls, loops, solutions, custom gradients.

`branch` and `loop` stand only in graphs that are traced without numbers: tests/transforms/test_control.py.
"""

from __future__ import annotations

import numpy as np

import payback as pb
from ops.own import Own

# foreign: tests/transforms/test_foreign.py; the last three: tests/trace/test_scipy_*.py
ONLY_WITHOUT_NUMBERS = {"branch", "loop", "foreign", "integral", "trajectory", "tried"}

_W = np.random.default_rng(1).uniform(-1, 1, (3, 3))
_X = np.random.default_rng(2).uniform(-1, 1, (5, 3))


def _step(w):
    def step(h, x):
        h = np.tanh(w @ h + x)
        return h, (h * h).sum()

    return step


def _scan(w, x, **options):
    return pb.scan(_step(w), np.ones(3, x.dtype), x, **options)


def _plain_scan(w, x):
    h, ys = np.ones(3, x.dtype), []
    for row in x:
        h, y = _step(w)(h, row)
        ys.append(y)
    return h, np.array(ys)


@pb.custom_gradient
def _scaled_sine(x, s):
    return np.sin(x) * s, lambda bar: (bar * np.cos(x) * s, (bar * np.sin(x)).sum())


CASES = {
    "scan": Own(("scan",), _scan, (_W, _X), _plain_scan, ulps=4),
    "solution": Own(
        ("solution",),
        lambda w, x: pb.root(lambda y: w @ y + y * 3.0 - x[0], x[1]),
        (_W, _X),
        lambda w, x: np.linalg.solve(w + np.eye(3, dtype=x.dtype) * x.dtype.type(3), x[0]),
        ulps=64,
    ),
    "scan with remat": Own(("scan",), lambda w, x: _scan(w, x, remat=True), (_W, _X), _plain_scan, ulps=4),
    "remat": Own(("call",), pb.remat(lambda x: np.sin(np.sin(x) * x)), (_X,), lambda x: np.sin(np.sin(x) * x)),
    "custom_gradient": Own(("custom",), _scaled_sine, (_X, np.float64(1.5)), lambda x, s: np.sin(x) * s),
}
