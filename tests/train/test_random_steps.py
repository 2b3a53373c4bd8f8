"""Random networks, losses, optimizers and batches: each native step from where the training is, and the interpreter's.

Step by step, so that nothing grows: a step that differs by more than rounding is compared with what one changed bit of
every number makes of the interpreter's own step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import amount
import payback as pb
from payback import optim
from payback.nn.activations import ACTIVATIONS
from payback.nn.losses import LOSSES
from payback.trace.tree import leaves, tree_map
from payback.train.compiled import Compiled
from payback.train.step import Steps

SHAPES = {  # a layer between width and width: its arrays by shape, and what it does with them
    "layer norm": (lambda n: [(n,), (n,)], lambda x, g, b: (x - x.mean(-1, keepdims=True)) / np.sqrt(
        x.var(-1, keepdims=True) + 1e-3) * g + b),
    "batch norm": (lambda n: [(n,)], lambda x, g: (x - x.mean(0)) / np.sqrt(((x - x.mean(0)) ** 2).mean(0) + 0.01) * g),
    "residual": (lambda n: [(n, n), (n, n)], lambda x, v, w: x + np.tanh(x @ v * 0.3) @ w * 0.3),
    "gate": (lambda n: [(n, n), (n,)], lambda x, v, b: x * pb.nn.sigmoid(x @ v * 0.3 + b)),
    "twice": (lambda n: [(n, n)], lambda x, w: np.tanh(np.tanh(x @ w * 0.3) @ w * 0.3)),
    "scan": (lambda n: [(3, 3), (3,), (3, n)], lambda x, w, u, v: pb.scan(
        lambda h, now: (np.tanh(h @ w * 0.5 + now[:, None] * u), None), np.zeros((len(x), 3), x.dtype), x.T)[0] @ v),
    "dropout": (lambda n: [], lambda x: np.where(
        pb.random.uniform(pb.random.key(3), x.shape, dtype=x.dtype) > 0.3, x / 0.7, 0)),
    "rows of a table": (lambda n: [(5, n)], lambda x, t: x + t[np.clip(x[:, 0] * 3, -4, 4).astype(int)]),
    "written": (lambda n: [()], lambda x, s: _written(x, s)),
    "unread": (lambda n: [(3,)], lambda x, w: x), "sorted": (lambda n: [], lambda x: np.sort(x, axis=-1)),
    "softmax": (lambda n: [], lambda x: pb.nn.softmax(x)), "sums": (lambda n: [], lambda x: np.cumsum(x, -1) * 0.3),
    "largest": (lambda n: [], lambda x: np.maximum(x, x[..., ::-1])),
} | {name: (lambda n: [], f) for name, f in ACTIVATIONS.items()}  # fmt: skip
OPTIMIZERS = (optim.GradientDescent, optim.Momentum, optim.Nesterov, optim.RMSprop, optim.Adam, optim.AdamW)
SIZES = (1, 2, 3, 5, 8, 9, 16, 17, 33, 64)


def _written(x: Any, s: Any) -> Any:
    y = x * 1.0
    y[:, ::2] = y[:, ::2] * s
    y[y > 1.5] = 1.5
    return y


class Net(pb.nn.Module):
    arrays: list
    kinds: tuple = pb.nn.module.static()

    def __call__(self, x: Any) -> Any:
        at = 0
        for kind in self.kinds:
            count, f = (
                (2, lambda x, w, b: x @ w + b) if kind == "linear" else (len(SHAPES[kind][0](1)), SHAPES[kind][1])
            )
            x, at = f(x, *self.arrays[at : at + count]), at + count
        return x


def drawn(seed: int) -> tuple[Any, ...]:
    random = np.random.default_rng(seed)
    dtype = (np.float32, np.float64)[seed % 2]
    width, outputs = int(random.choice(SIZES[:8])), int(random.choice(SIZES[:4]))
    shapes, kinds, first = [], [], width
    for _ in range(random.integers(0, 4)):
        wide = int(random.choice(SIZES))
        shapes += [(width, wide), (wide,)]
        kinds.append("linear")
        width = wide
        for kind in random.choice(list(SHAPES), random.integers(0, 3)).tolist():
            shapes += SHAPES[kind][0](width)
            kinds.append(kind)
    shapes += [(width, outputs), (outputs,)]
    arrays = [np.asarray(random.normal(size=s) / np.sqrt(max(s[0] if s else 1, 1)), dtype) for s in shapes]
    X = random.normal(size=(100, first)).astype(dtype)
    loss = random.choice(list(LOSSES))
    y = random.normal(size=(100, outputs)).astype(dtype)
    y = (
        random.integers(0, outputs, 100)
        if loss == "cross_entropy"
        else (y > 0).astype(dtype)
        if "binary" in loss
        else y
    )
    weights = random.integers(0, 3, 100).astype(dtype) + dtype(0.25) if random.random() < 0.4 else None
    clip = None if random.random() < 0.6 else float(10 ** random.uniform(-3, 1))
    optimizer = OPTIMIZERS[random.integers(6)](float(10 ** random.uniform(-4, -1)), clip_norm=clip)
    return random, Net(arrays, (*kinds, "linear")), X, y, weights, LOSSES[loss], optimizer, dtype


def far(found: Any, wanted: Any) -> list[float]:
    """How far each array is from the one wanted, against the largest entry there and among those beside it."""
    most = max((float(np.abs(b).max()) for b in leaves(wanted) if np.size(b)), default=0.0)
    return [
        float(np.abs(np.asarray(a, float) - b).max()) / max(float(np.abs(b).max()), 1e-4 * most, 1e-30)
        for a, b in zip(leaves(found), leaves(wanted), strict=True)
        if np.size(b)
    ]


def test_steps(monkeypatch):
    monkeypatch.setattr("payback.train.compiled.SLICE", 0.0)  # a step a call
    for seed in range(amount.cases(2, 12, 2000)):
        random, net, X, y, weights, loss, optimizer, dtype = drawn(seed)
        native, slow = Steps(net, loss, optimizer), Steps(net, loss, optimizer, interpreted=True)
        fast, eps = Compiled(native, optimizer, net, optimizer.init(net), X, y, weights), np.finfo(dtype).eps
        size = int(random.choice([1, 2, 7, 33, 64]))
        for step in range(4):
            rows = random.choice(100, size)
            batch = X[rows], y[rows], None if weights is None else weights[rows]
            before = tree_map(np.copy, fast.now())
            with np.errstate(all="ignore"):
                wanted = slow.train(*before, *batch, optimizer.rate, step + 1.0)
                taken = fast.take(rows, size, 1, np.array([optimizer.rate]), step + 1)
            assert (taken.bad is None) == bool(np.isfinite([wanted[2], wanted[4], wanted[5]]).all()), seed
            if taken.bad is not None:
                break
            found = (*fast.now(), taken.costs[0], taken.predictions[0], taken.norms[0], taken.lengths[0])
            distances = [far(a, b) for a, b in zip(found, wanted, strict=True)]
            if max(map(max, filter(None, distances))) <= 64 * eps:
                continue
            own = [[0.0] * len(part) for part in distances]  # what one bit makes of the interpreter's step

            def jittered(a, random=random, eps=eps):
                return np.asarray(a * (1 + eps * random.choice([-1, 0, 1], np.shape(a))), a.dtype)

            for _ in range(4):
                with np.errstate(all="ignore"):
                    moved = slow.train(*tree_map(jittered, before), jittered(batch[0]), *batch[1:], optimizer.rate,
                                       step + 1.0)  # fmt: skip
                for place, (a, b) in enumerate(zip(moved, wanted, strict=True)):
                    own[place] = [max(pair) for pair in zip(own[place], far(a, b), strict=True)]
            for part, bounds in zip(distances, own, strict=True):
                assert all(d <= 64 * eps + 8 * bound for d, bound in zip(part, bounds, strict=True)), (seed, step, part)
