"""Embeddings, and trainings on whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.errors import InputError, ModelFileError, ShapeError
from payback.io.network import EmbeddingSpec, build
from payback.trace.tree import leaves, unflatten

IDS = np.random.default_rng(0).integers(0, 9, (60, 2))
CLASSES = (IDS[:, 0] + IDS[:, 1]) % 3


def net(dtype=float, rows=9):
    keys = pb.random.split(pb.random.key(0))
    table = pb.nn.Embedding(rows, 4, key=keys[0], dtype=dtype)
    return pb.nn.Sequential(table, pb.nn.Flatten(), pb.nn.MLP([8, 6, 3], key=keys[1], dtype=dtype))


class Own(pb.nn.Module):
    table: np.ndarray

    def __call__(self, x):
        return self.table[x].sum(axis=1)


def test_the_layer():
    layer = pb.nn.Embedding(9, 4, key=pb.random.key(1))
    assert (layer.table.shape, layer.table.dtype) == ((9, 4), np.float32)
    assert np.array_equal(layer(IDS), layer.table[IDS])
    assert np.array_equal(layer([3, 1]), layer.table[[3, 1]])
    for wrong, message in ((IDS + 1, "from 1 to 9: the rows are 0 to 8"), (IDS - 1, "-1 to 7"), (IDS * 1.0, "float64")):
        with pytest.raises(InputError, match=message):
            layer(wrong)
    for sizes in ((0, 3), (3, 0), (2.0, 3), (True, 3)):
        with pytest.raises(InputError, match="sizes are whole numbers from 1 up"):
            pb.nn.Embedding(*sizes, key=pb.random.key(0))


def test_a_gradient_is_one_of_rows():
    layer = pb.nn.Embedding(9, 4, key=pb.random.key(1), dtype=float)
    gradient = pb.grad(lambda layer: (layer(IDS) ** 2).sum())(layer).table
    counts = np.bincount(IDS.reshape(-1), minlength=9)
    assert np.allclose(gradient, 2 * counts[:, None] * layer.table, rtol=1e-13)


@pytest.mark.parametrize("make", [net, lambda: Own(np.random.default_rng(1).normal(size=(9, 3)))], ids=["net", "own"])
def test_steps_by_hand_and_on_any_number_of_threads(make):
    told = dict(optimizer=pb.optim.GradientDescent(0.1), batch_size="all", epochs=4, validation=0)
    run, here = pb.fit(make(), IDS, CLASSES, **told), make()
    for cost in run.history["loss"]:
        value, gradient = pb.value_and_grad(lambda net: pb.nn.cross_entropy(net(IDS), CLASSES))(here)
        assert cost == pytest.approx(float(value), rel=1e-12)
        moved = [p - 0.1 * g for p, g in zip(*map(leaves, (here, gradient)), strict=True)]
        here = unflatten(here, iter(moved))
    told |= dict(batch_size=16, shuffle=True)
    bits = {
        tuple(p.tobytes() for p in leaves(pb.fit(make(), IDS.astype(kind), CLASSES, **told).net))
        for threads, kind in ((1, "i8"), (3, "u1"), (2, "i4"), (8, "i8"))[: amount.cases(2, 4)]
        if pb.set_threads(threads) is None
    }
    pb.set_threads(None)
    assert len(bits) == 1


def test_whole_numbers_stay_where_the_network_wants_them_only():
    plain = pb.nn.MLP([2, 4, 3], seed=0)
    a, b = (pb.fit(plain, X, CLASSES, epochs=1) for X in (IDS, IDS.astype(np.float32)))
    assert a.history["loss"] == b.history["loss"]
    held = (IDS[:9], CLASSES[:9])
    assert pb.fit(net(), IDS, CLASSES, epochs=1, validation=held).history["validation_loss"]
    for wrong, kind, message in (
        (dict(X=IDS + 1), InputError, "from 1 to 9"),
        (dict(X=IDS - 1), InputError, "from -1 to 7"),
        (dict(X=IDS * 1.0), InputError, "an embedding was given float"),
        (dict(X=IDS[:, :1]), ShapeError, "a layer of 8 inputs"),
        (dict(validation=(IDS[:9] + 4, CLASSES[:9])), InputError, "to 1"),
        (dict(validation=(IDS[:9] * 1.0, CLASSES[:9])), InputError, "the validation X holds float64: X holds int64"),
    ):
        with pytest.raises(kind, match=message):
            pb.fit(**{"net": net(), "X": IDS, "y": CLASSES, "epochs": 1, **wrong})


def test_a_model_file_and_a_recorded_run(tmp_path):
    run = pb.fit(net(np.float32), IDS, CLASSES, epochs=2, record=tmp_path / "run")
    run.save(tmp_path / "model")
    assert np.array_equal(pb.load(tmp_path / "model")(IDS), run.net(IDS))
    recorded = pb.open_run(tmp_path / "run")
    assert float(recorded.explain(1).top.value) == pytest.approx(recorded.steps[1].cost, rel=1e-5)
    for wrong in (EmbeddingSpec(0, 3, "float32"), EmbeddingSpec(2**33, 4, "float32")):
        with pytest.raises(ModelFileError):
            build(wrong)
