"""NumPy by hand: the derivative written out, buffers used again."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.works import BETA1, BETA2, EPSILON, RATE

VARIANTS = [""]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind != "training":
        raise NotImplementedError("nobody writes this derivative by hand")
    real = np.dtype(work.dtype).type
    x, y = data["x"], data["y"]
    layers = [[w.copy(), b.copy()] for w, b in data["layers"]]
    first = [[np.zeros_like(p) for p in layer] for layer in layers]
    second = [[np.zeros_like(p) for p in layer] for layer in layers]
    done = 0
    b1, b2, eps = real(BETA1), real(BETA2), real(EPSILON)

    def step() -> float:
        nonlocal done
        at = done % work.batches * work.batch
        done += 1
        h = x[at : at + work.batch]
        acts = [h]
        for i, (w, b) in enumerate(layers):
            h = h @ w
            h += b
            if i < len(layers) - 1:
                np.maximum(h, 0, out=h)
            acts.append(h)
        d = h - y[at : at + work.batch]
        cost = float((d * d).mean())
        d *= real(2 / d.size)
        rate = real(RATE * np.sqrt(1 - BETA2**done) / (1 - BETA1**done))
        damping = eps * real(np.sqrt(1 - BETA2**done))
        for i in range(len(layers) - 1, -1, -1):
            w, b = layers[i]
            gradients = (acts[i].T @ d, d.sum(0))
            if i:
                below = d @ w.T
                below *= acts[i] > 0
                d = below
            for p, g, m, v in zip((w, b), gradients, first[i], second[i], strict=True):
                m *= b1
                m += (1 - b1) * g
                v *= b2
                g *= g
                v += (1 - b2) * g
                root = np.sqrt(v)
                root += damping
                p -= rate * m / root
        return cost

    def repeat(count: int) -> None:
        for _ in range(count):
            step()

    return lambda: [step() for _ in range(21)][-1:], repeat
