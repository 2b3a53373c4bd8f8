"""The memory plan: buffers that live at the same time never overlap, and the arena is no larger than it need be."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.layout import Buffer
from payback.native.memory import ALIGNMENT, arrange


def buffers(seed):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(int(rng.integers(1, 80))):
        buffer = Buffer("arena", np.dtype(np.uint8), int(rng.integers(0, 5000)))
        buffer.first = int(rng.integers(0, 40))
        buffer.last = buffer.first + int(rng.integers(0, 12))
        made.append(buffer)
    return made


@pytest.mark.parametrize("seed", range(amount.cases(40, 200, 1000)))
def test_what_lives_together_lies_apart(seed):
    made = buffers(seed)
    top = arrange(made)
    for i, a in enumerate(made):
        assert a.start % ALIGNMENT == 0
        assert a.start + a.bytes <= top
        for b in made[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert a.start + max(a.bytes, 1) <= b.start or b.start + max(b.bytes, 1) <= a.start


@pytest.mark.parametrize("seed", range(20))
def test_the_arena_is_not_much_larger_than_what_lives_at_once(seed):
    made = buffers(seed)
    rounded = [-(-max(b.bytes, 1) // ALIGNMENT) * ALIGNMENT for b in made]
    most = max(sum(size for b, size in zip(made, rounded, strict=True) if b.first <= t <= b.last) for t in range(52))
    assert arrange(made) <= 1.5 * most


def test_what_is_cheap_is_not_stored():
    """The square of an array that is there is computed where it is needed, in each of two loops."""
    f = pb.compile(lambda g, v: ((g * g).sum(), 0.9 * v + 0.1 * (g * g) * (g * g).mean()), native=True)
    g, v = np.arange(1000.0), np.ones(1000)
    total, new = f(g, v)
    assert f._program().arena_bytes < g.nbytes
    np.testing.assert_allclose(total, (g * g).sum())
    np.testing.assert_allclose(new, 0.9 * v + 0.1 * (g * g) * (g * g).mean())
