"""Sums that are found in one pass over memory: fewer commands, the same numbers, and never one that needs another."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.planning import alongside
from payback.native.running.program import Program
from payback.trace.abstract import trace

RNG = np.random.default_rng(0)
G, P, M = RNG.normal(size=(3, 40, 70))


def reductions(program):
    return [command for command in program.commands if "sum" in command.text and "of parts" not in command.text]


def compiled(f, *args):
    program = Program(trace(f, *args).graph)
    for found, wanted in zip(program(*args), program.interpreted(args), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    return program


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(alongside, "TOGETHER", 1)


def step(g, p, m):
    """What a training step does with one parameter."""
    m = 0.9 * m + g
    new = p - 0.1 * m / (np.sqrt(g * g) + 1e-3)
    return np.sqrt(np.sum(g * g)), new, m, np.sqrt(np.sum((new - p) ** 2))


def test_norm_update_and_length_are_one_pass():
    program = compiled(step, G, P, M)
    assert len(reductions(program)) == 1
    (command,) = reductions(program)
    assert {view.shape for view in command.writes} >= {(40, 70)}


def test_far_apart_below_the_size(monkeypatch):
    monkeypatch.setattr(alongside, "TOGETHER", 1 << 14)
    assert len(reductions(compiled(step, G, P, M))) == 2


def clipped(g, p, m):
    scale = 0.5 / np.maximum(np.sqrt(np.sum(g * g)), 0.5)
    return step(g * scale, p, m)


def test_a_sum_that_another_needs_comes_first():
    """Clipping: the step's length needs the norm."""
    program = compiled(clipped, G, P, M)
    assert len(reductions(program)) >= 2


@pytest.mark.parametrize("f", [
    lambda g, p, m: (np.sum(g), np.sum(g * np.sum(g)), np.sum(g * p), np.sum(p * np.sum(g * p))),
    lambda g, p, m: (np.sum(g * g), np.sum(g * g * np.sum(m * g)), np.sum(m * g)),
    lambda g, p, m: (np.sum(g * p, axis=0), np.sum(g * m, axis=0), np.sum(g * p, axis=1), np.sum(g + p)),
    lambda g, p, m: (np.sum(np.exp(g)), np.sum(np.exp(g) * p), np.exp(g), np.mean(np.exp(g))),
    lambda g, p, m: (np.sum(g @ p.T), np.sum((g @ p.T) ** 2), (g @ p.T) * 2.0),
])  # fmt: skip
def test_any_of_them(f):
    compiled(f, G, P, M)


TERMS = ["a", "b", "a * b", "np.exp(a)", "a - b", "a * s", "b * t", "(a + s) * (b - t)", "np.tanh(a) * b", "a @ k"]


@pytest.mark.parametrize("seed", range(amount.cases(20, 300)))
def test_random_sums(seed):
    """Sums of terms that use earlier sums, in any order."""
    rng = np.random.default_rng(seed)
    lines = ["s, t = a[0, 0], b[0, 1]"]
    made = []
    for number in range(rng.integers(2, 7)):
        term = TERMS[rng.integers(len(TERMS))]
        axis = ["", "", ", axis=0", ", axis=1"][rng.integers(4)]
        lines.append(f"x{number} = np.sum({term}{axis})")
        made.append(f"x{number}")
        if not axis:
            lines.append(f"{'st'[rng.integers(2)]} = 0.01 * x{number}")
        if rng.integers(3) == 0:
            lines.append(f"a = a + {'st'[rng.integers(2)]} * b")
            made.append("a")
    source = "def f(a, b, k):\n    " + "\n    ".join(lines) + f"\n    return ({', '.join(made)},)\n"
    names = {"np": np, "pb": pb}
    exec(source, names)  # a program of the test's own
    args = [rng.standard_normal((9, 6)) * 0.3, rng.standard_normal((9, 6)) * 0.3, rng.standard_normal((6, 6)) * 0.3]
    program = Program(trace(names["f"], *args).graph)
    for found, wanted in zip(program(*args), program.interpreted(args), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9, err_msg=source)
