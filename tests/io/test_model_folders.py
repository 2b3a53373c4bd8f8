"""Model folders: what is read is, bit for bit, what was written."""

from __future__ import annotations

import json
import os
import stat
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import payback as pb
from payback.errors import InputError, ModelFileError
from payback.io.model import read_model, save_model
from payback.io.network import LAYERS
from payback.trace.tree import leaves

NAMES = {"model.safetensors", "model.json", "history.jsonl"}


class Own(pb.nn.Module):
    scalar: Any
    table: Any
    parts: dict[str, Any]

    def __call__(self, x):
        return x * self.scalar


class Other(Own):
    pass


def same(a, b):
    return [(p.dtype, p.shape, p.tobytes()) for p in leaves(a)] == [(p.dtype, p.shape, p.tobytes()) for p in leaves(b)]


def linear(n_in, n_out, dtype=np.float32, bias=True):
    return pb.nn.Linear(n_in, n_out, key=pb.random.key(1), dtype=dtype, bias=bias)


NETS = {
    "mlp": lambda dtype: pb.nn.MLP([3, 4, 2], "tanh", dtype=dtype),
    "skip": lambda dtype: pb.nn.MLP([3, 4, 2], dtype=dtype, skip=True),
    "linear": lambda dtype: linear(2, 3, dtype),
    "bias-free": lambda dtype: pb.nn.Sequential(linear(2, 3, dtype, bias=False), pb.nn.Activation("softplus")),
    "flatten": lambda dtype: pb.nn.Sequential(pb.nn.Flatten(), pb.nn.MLP([6, 5, 1], "sigmoid", dtype=dtype)),
    "residual": lambda dtype: pb.nn.Residual(
        pb.nn.LayerNorm(2, dtype=dtype),
        linear(2, 3, dtype),
        pb.nn.RMSNorm(3, epsilon=1e-3, dtype=dtype),
        linear(3, 2, dtype),
    ),
    "conv": lambda dtype: pb.nn.Sequential(
        pb.nn.Conv(1, 2, (2, 1), key=pb.random.key(1), padding="same", dtype=dtype),
        pb.nn.MaxPool((2, 1)),
        pb.nn.Conv(2, 2, (1, 1), key=pb.random.key(1), groups=2, dtype=dtype),
        pb.nn.Conv(2, 1, [1, 2], key=pb.random.key(1), stride=2, bias=False, dtype=dtype),
        pb.nn.MeanPool((1, 1)),
    ),
    "recurrent": lambda dtype: pb.nn.Sequential(
        pb.nn.LSTM(2, 4, key=pb.random.key(1), dtype=dtype),
        pb.nn.GRU(4, 3, key=pb.random.key(1), reverse=True, dtype=dtype),
        pb.nn.RNN(3, 2, key=pb.random.key(1), last=True, dtype=dtype),
    ),
    "attention": lambda dtype: pb.nn.Attention(6, 3, key=pb.random.key(1), causal=True, dtype=dtype),
    "frozen": lambda dtype: pb.nn.Sequential(
        pb.nn.Frozen(pb.nn.MLP([2, 3, 3], dtype=dtype)), pb.nn.Frozen(linear(3, 1, dtype))
    ),
    "nested": lambda dtype: pb.nn.Sequential(pb.nn.Sequential(linear(1, 1, dtype)), pb.nn.Sequential()),
}


def test_every_layer_has_a_description():
    layers = {x for x in vars(pb.nn).values() if isinstance(x, type) and issubclass(x, pb.nn.Module)}
    assert layers - {pb.nn.Module} == set(LAYERS)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_written_is_read(tmp_path, name, dtype):
    net = NETS[name](dtype)
    save_model(tmp_path / "m", net)
    found = pb.load(tmp_path / "m")
    assert same(found, net)
    assert type(found) is type(net)
    assert repr(found) == repr(net)
    assert set(os.listdir(tmp_path / "m")) == NAMES
    several = {"flatten": (2, 2, 3), "conv": (2, 2, 3, 1), "recurrent": (2, 3, 2), "attention": (2, 3, 6)}
    x = np.ones(several[name] if name in several else (2, {"mlp": 3, "skip": 3, "nested": 1}.get(name, 2)), dtype)
    assert found(x).tobytes() == net(x).tobytes()


@pytest.mark.parametrize(
    "view",
    [np.asfortranarray, lambda a: a[::-1], lambda a: np.repeat(a, 2, 0)[::2, :], lambda a: np.repeat(a, 3, 1)[:, ::3]],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_arrays_that_are_not_c_contiguous(tmp_path, view, dtype):
    net = linear(5, 4, dtype)
    object.__setattr__(net, "weight", view(net.weight))
    assert not net.weight.flags.c_contiguous
    save_model(tmp_path / "m", net)
    np.testing.assert_array_equal(pb.load(tmp_path / "m").weight, net.weight)


@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_every_finite_number_survives(tmp_path_factory, numbers):
    net = linear(1, len(numbers), np.float64)
    object.__setattr__(net, "bias", np.array(numbers))
    folder = tmp_path_factory.mktemp("m")
    save_model(folder, net)
    assert same(pb.load(folder), net)


def own(kind=Own):
    return kind(
        np.float32(2.0), np.arange(6, dtype=np.int64).reshape(2, 3), {"deep": [np.array(1.5), np.zeros((0, 2))]}
    )


def test_a_network_of_ones_own_wants_like(tmp_path):
    save_model(tmp_path / "m", own())
    with pytest.raises(ModelFileError, match=r"the model is a Own .*never would be run from there.*like=net"):
        pb.load(tmp_path / "m")
    empty = Own(np.float32(0.0), np.zeros((2, 3), np.int64), {"deep": [np.array(0.0), np.ones((0, 2))]})
    found = pb.load(tmp_path / "m", like=empty)
    assert same(found, own())
    assert type(found) is Own
    with pytest.raises(ModelFileError, match="the network given is a Other"):
        pb.load(tmp_path / "m", like=own(Other))
    with pytest.raises(ModelFileError, match="the parameter table is int64"):
        pb.load(tmp_path / "m", like=Own(np.float32(0.0), np.zeros((3, 2), np.int64), empty.parts))
    with pytest.raises(ModelFileError, match="there are parameters that the network does not have"):
        pb.load(tmp_path / "m", like=Own(np.float32(0.0), np.zeros((2, 3), np.int64), {}))
    with pytest.raises(ModelFileError, match="is missing"):
        pb.load(tmp_path / "m", like=Own(empty.scalar, empty.table, {**empty.parts, "more": np.ones(1)}))


def test_a_part_of_ones_own_within_paybacks_layers(tmp_path):
    net = pb.nn.Sequential(linear(2, 2), own())
    save_model(tmp_path / "m", net)
    with pytest.raises(ModelFileError, match="the model is a Sequential"):
        pb.load(tmp_path / "m")
    assert same(pb.load(tmp_path / "m", like=net), net)


def test_like_must_be_like_paybacks_own_too(tmp_path):
    save_model(tmp_path / "m", pb.nn.MLP([3, 4, 2], "tanh"))
    assert same(pb.load(tmp_path / "m", like=pb.nn.MLP([3, 4, 2], "tanh", seed=9)), pb.nn.MLP([3, 4, 2], "tanh"))
    for other in (
        pb.nn.MLP([3, 4, 2], "relu"),
        pb.nn.MLP([3, 5, 2], "tanh"),
        pb.nn.MLP([3, 4, 2], "tanh", dtype=float),
    ):
        with pytest.raises(ModelFileError, match="the network given is not like the model"):
            pb.load(tmp_path / "m", like=other)


def test_history_and_extra(tmp_path):
    extra = {
        "names": ["size [cm]", "\x1b[31m", "\u202e"],
        "numbers": [0.1, 1e-300, -0.0, 2**53],
        "deep": {"a": [None, True]},
    }
    save_model(tmp_path / "m", linear(1, 1), history=[{"epoch": 1, "loss": 0.1}, {"epoch": 2}], extra=extra)
    assert read_model(tmp_path / "m")[1].extra == extra
    lines = (tmp_path / "m" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1, "loss": 0.1}, {"epoch": 2}]


def test_the_json_is_for_people_too(tmp_path):
    save_model(tmp_path / "m", pb.nn.MLP([2, 3, 1]))
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    assert document["format"] == "payback model"
    assert document["network"]["layers"][0] == {
        "layer": "linear",
        "n_in": 2,
        "n_out": 3,
        "bias": True,
        "dtype": "float32",
    }


def test_the_same_model_gives_the_same_files(tmp_path):
    for name in "ab":
        save_model(tmp_path / name, pb.nn.MLP([2, 3, 1]), extra={"x": 1, "y": 2} if name == "a" else {"y": 2, "x": 1})
    for name in NAMES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_run_is_saved_with_its_settings(tmp_path):
    X = np.ones((20, 2), np.float32)
    run = pb.fit(pb.nn.MLP([2, 1]), X, X[:, 0], epochs=2)
    run.save(tmp_path / "m")
    net, document = read_model(tmp_path / "m")
    assert same(net, run.net)
    assert document.extra["settings"] == run.settings
    with pytest.raises(InputError, match=r"the folder is not empty .*overwrite=True"):
        run.save(tmp_path / "m")
    run.save(tmp_path / "m", overwrite=True)


def test_a_relative_and_a_text_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model("m", linear(1, 1))
    assert same(pb.load("m"), pb.load(tmp_path / "m"))
    save_model("deep/er/m", linear(1, 1))
    assert same(pb.load("deep/er/../er/m"), linear(1, 1))


def test_the_folder_may_be_there_if_it_is_empty(tmp_path):
    save_model(tmp_path, linear(1, 1))
    assert same(pb.load(tmp_path), linear(1, 1))


def test_overwriting_leaves_other_files_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="the folder is not empty"):
        save_model(tmp_path, linear(1, 1))
    assert os.listdir(tmp_path) == ["notes.txt"]
    save_model(tmp_path, linear(1, 1), overwrite=True)
    save_model(tmp_path, linear(2, 1), overwrite=True)
    assert same(pb.load(tmp_path), linear(2, 1))
    assert set(os.listdir(tmp_path)) == NAMES | {"notes.txt"}


def test_files_have_the_permissions_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        save_model(tmp_path / "m", linear(1, 1))
    finally:
        os.umask(before)
    for name in NAMES:
        assert stat.S_IMODE((tmp_path / "m" / name).stat().st_mode) == 0o640


def test_a_folder_behind_a_link(tmp_path):
    save_model(tmp_path / "real", linear(1, 1))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert same(pb.load(tmp_path / "link"), linear(1, 1))
    (tmp_path / "real" / "model.json").rename(tmp_path / "real" / "inside")
    (tmp_path / "real" / "model.json").symlink_to("inside")
    assert same(pb.load(tmp_path / "link"), linear(1, 1))


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "m" / "model.json").symlink_to(tmp_path / "precious")
    save_model(tmp_path / "m", linear(1, 1), overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"
    assert same(pb.load(tmp_path / "m"), linear(1, 1))


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Own(np.array(1, np.clongdouble), np.ones(1), {}), "the parameter scalar.real is "),
        (linear(1, 1, ">f4"), "the parameter weight is >f4"),
        (Own(np.array(np.nan), np.ones(1), {}), "the parameter scalar holds NaN or infinite numbers"),
        (Own(np.array("text"), np.ones(1), {}), "the parameter scalar is <U4"),
    ],
)
def test_a_network_that_could_not_be_read_again_is_not_written(tmp_path, net, message):
    with pytest.raises(InputError) as caught:
        save_model(tmp_path / "m", net)
    assert message in str(caught.value)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("number", [np.array(1 + 2j), np.array([1 + 2j, 3.0]), np.array([[1j]], np.complex64)])
def test_complex_parameters_are_read_as_they_were(tmp_path, number):
    save_model(tmp_path / "m", Own(number, np.ones(1), {}))
    back = pb.load(tmp_path / "m", like=Own(np.zeros_like(number), np.zeros(1), {}))
    np.testing.assert_array_equal(back.scalar, number)
    assert back.scalar.dtype == number.dtype


def test_a_layer_of_two_dtypes_is_not_written(tmp_path):
    net = linear(2, 2)
    object.__setattr__(net, "bias", np.zeros(2))
    with pytest.raises(InputError, match="the parameter bias is float64 of shape"):
        save_model(tmp_path / "m", net)


def test_a_network_nested_too_deeply_is_not_written(tmp_path):
    deep = linear(1, 1)
    for _ in range(50):
        deep = pb.nn.Sequential(deep)
    save_model(tmp_path / "m", deep)
    assert same(pb.load(tmp_path / "m"), deep)
    with pytest.raises(InputError, match="nested too deeply"):
        save_model(tmp_path / "n", pb.nn.Sequential(deep))
