"""The memory plan: buffers that live at the same time never overlap, and the arena is no larger than it need be."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.planning.layout import Buffer
from payback.native.planning.memory import ALIGNMENT, arrange
from payback.native.running import reuse


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


def test_holes_are_filled():
    """What lives long does not lie in the middle of what is free later: in the order of time it would."""
    lives = [(100, 0, 1), (40, 1, 6), (100, 2, 3), (140, 4, 6)]
    made = []
    for size, first, last in lives:
        buffer = Buffer("arena", np.dtype(np.uint8), size * ALIGNMENT)
        buffer.first, buffer.last = first, last
        made.append(buffer)
    assert arrange(made) == 180 * ALIGNMENT


@pytest.mark.parametrize("seed", range(amount.cases(10, 100)))
def test_the_order_of_sizes_leaves_few_holes(seed):
    made = buffers(seed)
    rounded = [-(-max(b.bytes, 1) // ALIGNMENT) * ALIGNMENT for b in made]
    most = max(sum(size for b, size in zip(made, rounded, strict=True) if b.first <= t <= b.last) for t in range(52))
    assert arrange(made) <= 1.15 * most


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("sizes", "batch", "dtype"),
    [((784, 128, 10), 128, "float32"), ((100, 300, 300, 7), 64, "float32"), ((50, 50, 50), 1000, "float64"),
     ((200, 1000, 10), 64, "float64"), ((1000, 500, 250, 125, 62, 10), 256, "float64")][:: amount.cases(2, 1)],
)  # fmt: skip
def test_the_room_that_products_work_in_is_little(sizes, batch, dtype, threads):
    """With parameters and Adam's state, at most a tenth above what must be there: the activations that live at once."""
    from payback.native.planning import memory
    from payback.nn.losses import LOSSES
    from payback.train.compiled import Compiled
    from payback.train.step import Steps

    net, optimizer = pb.nn.MLP(list(sizes), activation="relu", seed=0, dtype=dtype), pb.optim.Adam(1e-3)
    steps, state = Steps(net, LOSSES["squared_error"], optimizer), optimizer.init(net)
    x, y = (np.zeros((2 * batch, columns), dtype) for columns in (sizes[0], sizes[-1]))
    reuse.forget()
    pb.set_threads(threads)
    try:
        training = Compiled(steps, optimizer, net, state, x, y, None, predictions=False)
        loop = training._loop(batch, True)
        commands = loop.planner.commands
    finally:
        pb.set_threads(None)
        reuse.forget()
    activations = {
        view.buffer for command in commands for view in (*command.reads, *command.writes)
        if view.shape[:1] == (batch,) and len(view.shape) > 1
    } & set(memory.lives(commands))  # fmt: skip
    needed = sum(array.nbytes for array in training._arrays) + max(
        sum(buffer.bytes for buffer in activations if buffer.first <= k <= buffer.last) for k in range(len(commands))
    )
    assert sum(array.nbytes for array in training._arrays) + loop.arena_bytes <= 1.1 * needed
