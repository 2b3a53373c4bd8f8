"""A second training of the same step is not planned again; another one is."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.native.running import reuse
from payback.native.running.loop import Loop
from payback.trace.abstract import trace


@pytest.fixture
def planned(monkeypatch):
    """How many loops were planned."""
    count = []
    build = Loop._build
    monkeypatch.setattr(Loop, "_build", lambda self, *args: (count.append(1), build(self, *args))[1])
    monkeypatch.setattr(reuse, "_known", type(reuse._known)())
    monkeypatch.setattr(reuse, "_kept", False)  # those on the disk are in test_kept.py
    return count


def fit(width=8, rate=1e-2, activation="tanh", loss="squared_error", rows=64, seed=0, **options):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, 3)).astype(np.float32)
    net = pb.nn.MLP([3, width, 2], activation=activation, seed=seed)
    options = {"optimizer": pb.optim.Adam(rate), "epochs": 3, "batch_size": 32, "validation": 0} | options
    return pb.fit(net, x, np.sin(x[:, :2]), loss=loss, progress=False, **options)


def numbers(run):
    return [record["loss"] for record in run.history]


def test_the_same_step_again(planned):
    first = numbers(fit())
    made = len(planned)
    assert made == 1
    assert numbers(fit()) == first
    assert numbers(fit(seed=1)) != first  # other numbers, the same step
    assert len(planned) == made


CHANGES = [
    {"width": 9}, {"activation": "relu"}, {"loss": "huber"}, {"batch_size": 16}, {"rows": 128},
    {"optimizer": pb.optim.Adam(1e-2, beta1=0.8)}, {"optimizer": pb.optim.Momentum(1e-2)},
    {"optimizer": pb.optim.Adam(1e-2, clip_norm=1.0)},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_another_step(planned, change):
    fit()
    before = len(planned)
    again = numbers(fit(**change))
    assert len(planned) > before
    reuse._known.clear()
    assert numbers(fit(**change)) == again


def test_a_loss_that_computes_something_else_under_the_same_name(planned):
    def scaled(factor):
        def loss(prediction, y, weights=None):
            return factor * np.mean((prediction - y) ** 2)

        return loss

    one, two = (numbers(fit(loss=scaled(factor))) for factor in (1.0, 2.0))
    assert len(planned) == 2
    np.testing.assert_allclose(two[0], 2.0 * one[0], rtol=0.2)
    assert numbers(fit(loss=scaled(2.0))) == two
    assert len(planned) == 2


def test_a_step_of_own_parts_is_not_even_traced_again(planned, monkeypatch):
    from payback.train import step

    first = numbers(fit())
    with monkeypatch.context() as patched:
        patched.delattr(step, "trace")
        assert numbers(fit()) == first
        with pytest.raises(NameError, match="trace"):
            fit(width=9)


def test_two_trainings_at_once_have_memory_of_their_own():
    from concurrent.futures import ThreadPoolExecutor

    alone = [numbers(fit(seed=seed, epochs=20)) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: numbers(fit(seed=seed, epochs=20)), range(4)))
    assert together == alone


def sign_of(f, *args):
    return reuse.signature(trace(f, *args).graph)


def test_what_a_signature_tells_apart():
    x, k = np.ones(4), np.array([0, 1, 2])
    functions = [
        lambda x: x + 1.0, lambda x: x + 2.0, lambda x: x + 0.0, lambda x: x + -0.0, lambda x: x - 1.0,
        lambda x: 1.0 - x,
        lambda x: x[1:], lambda x: x[:3], lambda x: x[::-1], lambda x: x[k], lambda x: x[k + 1], lambda x: x * x,
        lambda x: (x, x + 1.0), lambda x: (x + 1.0, x), lambda x: x.sum(), lambda x: x.sum(keepdims=True),
        lambda x: x + np.array([1.0, 2.0, 3.0, 4.0]), lambda x: x + np.array([1.0, 2.0, 3.0, 5.0]),
        lambda x: x.astype(np.float32), lambda x: x.reshape(2, 2), lambda x: x.reshape(4, 1),
    ]  # fmt: skip
    found = [sign_of(f, x) for f in functions]
    assert len(set(found)) == len(found)
    assert [sign_of(f, x) for f in functions] == found
    assert sign_of(functions[0], np.ones(5)) != found[0]
    assert sign_of(functions[0], np.ones(4, np.float32)) != found[0]
    assert sign_of(functions[0], 1.0) != sign_of(functions[0], np.float64(1.0))


def test_what_has_no_signature_is_planned_each_time():
    body = trace(lambda x: pb.root(lambda z: z * z - x, x), 2.0).graph  # has a function: the solver
    with pytest.raises(reuse._UnknownError):
        reuse.signature(body)
