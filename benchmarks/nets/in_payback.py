"""What the networks call, by payback's layers; and their training by `fit`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

import payback as pb
from benchmarks.nets.listed import Net

OPTIMIZERS = {
    "adam": pb.optim.Adam(1e-3),
    "adamw": pb.optim.AdamW(1e-3, weight_decay=0.01),
    "momentum": pb.optim.Momentum(1e-2, momentum=0.9),
    "sgd": pb.optim.GradientDescent(1e-2),
    "rmsprop": pb.optim.RMSprop(1e-3),
    "clip": pb.optim.Adam(1e-3, clip_norm=0.1),
}


def conv(x: Any, weight: Any, padding: str = "valid", stride: int = 1) -> Any:
    layer = pb.nn.Conv(1, 1, weight.shape[:-2], key=pb.random.key(0), bias=False, padding=padding, stride=stride)
    return layer.replace(weight=weight)(x)


def pool(x: Any) -> Any:
    return pb.nn.MaxPool((2,) * (x.ndim - 2))(x)


def depthwise(x: Any, weight: Any) -> Any:
    n = x.shape[-1]
    layer = pb.nn.Conv(n, n, weight.shape[:-1], key=pb.random.key(0), bias=False, padding="same", groups=n)
    return layer.replace(weight=weight[:, :, None])(x)


def sums(rows: Any, places: Any, count: int) -> Any:
    total = np.zeros((count, rows.shape[1]), rows.dtype)
    np.add.at(total, places, rows)
    return total


LIB = SimpleNamespace(conv=conv, pool=pool, depthwise=depthwise, scan=pb.scan, sigmoid=pb.nn.sigmoid,
                      softmax=pb.nn.softmax, gelu=pb.nn.gelu, jvp=pb.jvp, sums=sums)  # fmt: skip


def elbo(made: Any, given: Any, weights: Any = None) -> Any:
    logits, mean, spread, x = made[:, :196], made[:, 196:212], made[:, 212:], given[:, :196]
    likelihood = np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)
    divergence = -0.5 * np.sum(1.0 + spread - mean**2 - np.exp(spread), axis=1)
    return np.mean(divergence - likelihood)


def training(work: Net, data: Any) -> Any:
    """`check` and `repeat` of a contestant."""
    f = work.entry.f

    class Model(pb.nn.Module):
        p: Any

        def __call__(self, x: Any) -> Any:
            return f(np, LIB, self.p, x)

    net, x, y = Model(data["p"]), data["x"], data["y"]
    loss: Any = elbo if work.entry.loss == "elbo" else work.entry.loss
    optimizer = OPTIMIZERS[work.optimizer]
    options: dict[str, Any] = dict(loss=loss, batch_size=data["batch"], shuffle=False, progress=False, validation=0,
                                   patience=None)  # fmt: skip

    def repeat(count: int) -> float:
        """The steps of all epochs but the first, in which the step is compiled."""
        epochs = max(count // work.batches, 1) + 1
        moments = pb.fit(net, x, y, epochs=epochs, optimizer=optimizer, **options).history["seconds"]
        return float(moments[-1] - moments[0])

    def check() -> list[float]:
        """The mean cost of as many steps as an epoch has, after as many."""
        return [float(pb.fit(net, x, y, epochs=2, optimizer=optimizer, **options).history["loss"][1])]

    return check, repeat
