"""`Frozen`: layers of another training under new ones."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError

X = np.random.default_rng(0).normal(size=(40, 3))
Y = (X[:, 0] > 0).astype(int)
BASE = pb.nn.MLP([3, 4, 2], seed=0, dtype=float)
OPTIMIZERS = [
    *pb.optim.OPTIMIZERS,
    pb.optim.AdamW(0.1, weight_decay=9.0, clip_norm=0.1),
    pb.optim.GradientDescent(line_search=True),
]


def net(frozen):
    keys = pb.random.split(pb.random.key(1))
    first, last = pb.nn.Linear(3, 3, key=keys[0], dtype=float), pb.nn.Linear(2, 2, key=keys[1], dtype=float)
    return pb.nn.Sequential(first, pb.nn.Frozen(BASE) if frozen else BASE, last)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
@pytest.mark.parametrize("flat", [True, False])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_is_trained(optimizer, flat):
    if not flat:
        optimizer = pb.optim.AdamW(0.1, weight_decay=9.0) if isinstance(optimizer, str) else optimizer
    run = pb.fit(net(True), X, Y, optimizer=optimizer, epochs=3, batch_size="all", validation=0,
                 callbacks=[] if flat else [lambda record, net: None])  # fmt: skip
    trained, given = pb.nn.parameters(run.net), pb.nn.parameters(net(True))
    assert sum(".frozen." in name for name in given) == 4
    for name, now in trained.items():
        assert np.array_equal(now, given[name]) == (".frozen." in name), name


def test_gradients_pass_through_and_are_nothing_for_it():
    def cost(net):
        return pb.nn.cross_entropy(net(X), Y)

    frozen, all_of_it = pb.grad(cost)(net(True)), pb.grad(cost)(net(False))
    assert np.array_equal(frozen.layers[0].weight, all_of_it.layers[0].weight)
    assert not any(p.any() for p in pb.nn.parameters(frozen.layers[1]).values())
    assert any(p.any() for p in pb.nn.parameters(all_of_it.layers[1]).values())
    assert np.array_equal(net(True)(X), net(False)(X))


def test_the_account_of_a_frozen_weight_has_no_deposits(tmp_path):
    pb.fit(net(True), X, Y, optimizer=pb.optim.AdamW(0.1, weight_decay=1.0), epochs=2, record=tmp_path / "run")
    account = pb.open_run(tmp_path / "run").account("layers[1].frozen.layers[0].weight", (0, 0))
    account.check()
    assert account.closing == account.opening
    assert not account.decay.any()


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InputError, match=r"pb.nn.Frozen was given ndarray: .* Write pb.nn.Frozen\(net\)"):
        pb.nn.Frozen(np.ones(3))
