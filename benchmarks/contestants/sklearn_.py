"""scikit-learn: its multilayer perceptron, which trains from the weights that it is given.

Its loss has other factors, which Adam does not see but for ε: that is given to it accordingly.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.neural_network import MLPRegressor

from benchmarks.works import BETA1, BETA2, EPSILON, RATE

VARIANTS = [""]


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind != "training":
        raise NotImplementedError("it has no derivatives of functions")
    warnings.simplefilter("ignore")  # that it has not converged
    x, y = data["x"], data["y"]
    targets = y[:, 0] if y.shape[1] == 1 else y

    def network(epochs: int) -> MLPRegressor:
        net = MLPRegressor(
            hidden_layer_sizes=work.sizes[1:-1], activation="relu", solver="adam", alpha=0.0, batch_size=work.batch,
            max_iter=epochs, learning_rate_init=RATE, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON, shuffle=False,
            tol=0.0, n_iter_no_change=10**9, warm_start=True, random_state=0,
        )  # fmt: skip
        net.partial_fit(x[: work.batch], targets[: work.batch])
        net.coefs_ = [w.copy() for w, _ in data["layers"]]
        net.intercepts_ = [b.copy() for _, b in data["layers"]]
        del net._optimizer  # it holds the arrays that were there before
        return net

    def repeat(count: int) -> None:
        network(max(count // work.batches, 1)).fit(x, targets)

    def check() -> list[float]:
        net = network(1)
        for step in range(20):
            at = step % work.batches * work.batch
            net.partial_fit(x[at : at + work.batch], targets[at : at + work.batch])
        at = 20 % work.batches * work.batch
        predicted = net.predict(x[at : at + work.batch]).reshape(work.batch, -1)
        return [float(np.mean((predicted - y[at : at + work.batch]) ** 2))]

    return check, repeat
