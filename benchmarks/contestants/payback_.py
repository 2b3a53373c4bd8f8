"""payback: `fit` for trainings, `compile(value_and_grad(f))` for functions; natively, or on the interpreter."""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

import payback as pb
from benchmarks.works import BETA1, BETA2, EPSILON, RATE
from payback import native
from payback.optim.schedules import Schedule
from payback.trace.tree import leaves

VARIANTS = [""]

if native.available():
    import llvmlite.binding  # noqa: F401  a peer's compiler is imported with it, too
with contextlib.suppress(ImportError):  # and so is what programs call of SciPy
    import scipy.linalg
    import scipy.special  # noqa: F401


def prepare(work: Any, data: Any, threads: int, variant: str | None) -> Any:
    if work.kind == "net":
        from benchmarks.nets.in_payback import training

        return training(work, data)
    if work.kind == "blocks":
        return _blocks(work, data)
    if work.kind == "derivative":
        return _derivative(work, data)
    return _training(work, data) if work.kind == "training" else _function(work, data, variant)


def planned() -> int:
    """Bytes between arguments and results of the largest program that stands in this process."""
    from payback.native.running.program import Program
    from payback.native.running.table import Machine

    programs = [thing for thing in gc.get_objects() if isinstance(thing, Machine | Program)]
    return max((program.arena_bytes for program in programs), default=0)


def _training(work: Any, data: Any) -> Any:
    net = pb.nn.MLP(list(work.sizes), activation="relu", seed=0, dtype=work.dtype)
    net = _with(net, [array for layer in data["layers"] for array in layer])
    x, y = data["x"], data["y"]
    optimizer = pb.optim.Adam(RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    options: dict[str, Any] = dict(loss="squared_error", optimizer=optimizer, batch_size=work.batch, shuffle=False,
                                   progress=False, validation=0, seed=0)  # fmt: skip

    def repeat(count: int) -> float:
        """The steps of all epochs but the first, in which the step is compiled."""
        moments = pb.fit(net, x, y, epochs=max(count // work.batches, 1) + 1, **options).history["seconds"]
        return float(moments[-1] - moments[0])

    def check() -> list[float]:
        # the history has means over epochs: the cost before step 21 is that of a training of 20 steps on its batch
        epochs = -(-20 // work.batches)
        trained = pb.fit(net, x, y, epochs=epochs, **options | {"optimizer": replace(optimizer, rate=Until(RATE, 20))})
        batch = slice(20 % work.batches * work.batch, (20 % work.batches + 1) * work.batch)
        return [float(np.mean((trained.net(x[batch]) - y[batch]) ** 2))]

    return check, repeat


@dataclass(frozen=True)
class Until(Schedule):
    """A rate for so many steps, then none: what is trained stays as it is."""

    steps: int

    def __call__(self, step: int, total: int) -> float:
        return self.rate if step < self.steps else 0.0


def _with(net: Any, arrays: list[Any]) -> Any:
    from payback.trace.tree import unflatten

    assert [np.shape(leaf) for leaf in leaves(net)] == [array.shape for array in arrays]
    return unflatten(net, iter(arrays))


def _function(work: Any, data: Any, variant: str | None) -> Any:
    cost = work.of(np, pb.scan)

    f = pb.compile(cost) if variant == "value" else pb.compile(pb.value_and_grad(cost))

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    def check() -> list[float]:
        if variant == "value":
            return [float(f(*data))]
        value, gradient = f(*data)
        return [float(value), *(float(np.sum(g)) for g in leaves(gradient))]

    return check, repeat


def _derivative(work: Any, data: Any) -> Any:
    def pulled(f: Any, x: Any, bar: Any) -> Any:
        return pb.vjp(f, x)[1](bar)

    lib = SimpleNamespace(grad=pb.grad, hessian=pb.hessian, jacobian=pb.jacobian, jvp=pb.jvp, hvp=pb.hvp, vjp=pulled,
                          vmap=pb.vmap, jacfwd=partial(pb.jacobian, mode="forward"))  # fmt: skip
    f = pb.compile(work.of(np, lib))

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    return lambda: [float(np.sum(np.abs(part))) for part in leaves(f(*data))], repeat


def _blocks(work: Any, data: Any) -> Any:
    function, slots = work.many, work.slots

    def blocks(*args: Any) -> Any:
        residuals, pull = pb.vjp(lambda *wrt: function(np, *wrt, *args[slots:]), *args[:slots])
        unit = np.zeros(residuals.shape, work.dtype)
        rows = []
        for k in range(residuals.shape[-1]):
            one = unit.copy()
            one[..., k] = 1.0
            rows.append(pull(one))
        return residuals, rows

    f = pb.compile(blocks)

    def repeat(count: int) -> None:
        for _ in range(count):
            f(*data)

    def check() -> list[float]:
        residuals, rows = f(*data)
        return [float(np.sum(residuals)), *(float(np.sum(part)) for row in rows for part in row)]

    return check, repeat
