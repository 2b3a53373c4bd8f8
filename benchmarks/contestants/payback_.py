"""payback: `fit` for trainings, `compile(value_and_grad(f))` for functions; natively, or on the interpreter."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

import payback as pb
from benchmarks.works import BETA1, BETA2, EPSILON, RATE
from payback.trace.tree import leaves

VARIANTS = [""]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    return (_training if work.kind == "training" else _function)(work, data)


def _training(work: Any, data: Any) -> Any:
    net = pb.nn.MLP(list(work.sizes), activation="relu", seed=0, dtype=work.dtype)
    net = _with(net, [array for layer in data["layers"] for array in layer])
    x, y = data["x"], data["y"]
    optimizer = pb.optim.Adam(RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    options: dict[str, Any] = dict(loss="squared_error", optimizer=optimizer, batch_size=work.batch, shuffle=False,
                                   progress=False, validation=0, seed=0)  # fmt: skip

    def repeat(count: int) -> float:
        """The steps of all epochs but the first, in which the step is compiled."""
        ends: list[float] = []
        epochs = max(count // work.batches, 1) + 1
        pb.fit(net, x, y, epochs=epochs, callbacks=[lambda *_: ends.append(time.perf_counter())], **options)
        return ends[-1] - ends[0]

    def check() -> list[float]:
        # the history has means over epochs: the cost before step 21 is that of a training of 20 steps on its batch
        rows = np.arange(21) % work.batches
        order = np.concatenate([np.arange(r * work.batch, (r + 1) * work.batch) for r in rows])
        first = order[: 20 * work.batch]
        trained = pb.fit(net, x[first], y[first], epochs=1, **options).net
        last = order[20 * work.batch :]
        return [float(np.mean((trained(x[last]) - y[last]) ** 2))]

    return check, repeat


def _with(net: Any, arrays: list[Any]) -> Any:
    from payback.trace.tree import unflatten

    assert [np.shape(leaf) for leaf in leaves(net)] == [array.shape for array in arrays]
    return unflatten(net, iter(arrays))


def _function(work: Any, data: Any) -> Any:
    function = work.f
    f = pb.compile(pb.value_and_grad(lambda *args: function(np, *args)))

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    def check() -> list[float]:
        value, gradient = f(*data)
        return [float(value), *(float(np.sum(g)) for g in leaves(gradient))]

    return check, repeat
