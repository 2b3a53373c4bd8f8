"""Folders that are wrong, truncated, altered or foreign are refused; writing that fails leaves what was there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

import amount
import payback as pb
from payback import files
from payback.errors import InputError, ModelFileError
from payback.io import model
from payback.io.model import check_folder, read_model, save_model
from payback.trace.tree import leaves

NAMES = ["model.safetensors", "model.json", "history.jsonl"]
NET = pb.nn.MLP([2, 3, 1], "tanh")
OTHER = pb.nn.MLP([2, 3, 1], "tanh", seed=1)
EXTRA = {"é": "naïve\u202e", "numbers": [0.1, 1e-300, 0.30000000000000004, 12], "nothing": None}


def bits(net):
    return [p.tobytes() for p in leaves(net)]


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "m", NET, history=[{"epoch": 1, "loss": 0.5}], extra=EXTRA)
    return tmp_path / "m"


def refused(folder, *words):
    with pytest.raises(ModelFileError) as caught:
        read_model(folder)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text
    return text


def sealed(folder, **changes):
    """Write model.json anew, with a digest that agrees: what somebody could make on purpose."""
    document = json.loads((folder / "model.json").read_text())
    document.update(changes)
    document["digest"] = "0" * 64
    text = json.dumps(document).encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    before, _, after = text.rpartition(b"0" * 64)
    (folder / "model.json").write_bytes(before + digest + after)


def with_tensors(folder, data):
    (folder / "model.safetensors").write_bytes(data)
    sealed(folder, tensors=hashlib.sha256(data).hexdigest())


def test_a_folder_sealed_by_the_test_is_accepted(folder):
    sealed(folder)
    assert bits(pb.load(folder)) == bits(NET)


def test_no_folder(tmp_path):
    refused(tmp_path / "none", "this is not a model folder", "there is no such folder", "Give the folder that --out")
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "it is a file")
    refused(tmp_path / ("x" * 5000), "this is not a model folder")
    refused("a\0b", "this is not a model folder")


def test_an_empty_folder(tmp_path):
    refused(tmp_path, "there is no model.json")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    refused(folder, f"there is no {name}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.99, None])
def test_a_truncated_file(folder, name, share):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:-1] if share is None else data[: int(share * len(data))])
    refused(folder, name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_something_behind_it(folder, name):
    for more in (b"\n", b" ", b"\0", b"x" * 100):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data + more)
        refused(folder, name)
        (folder / name).write_bytes(data)


def test_every_bit_of_the_json(folder, monkeypatch):
    path = folder / "model.json"
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            monkeypatch.setattr(model, "read_file", lambda *_, changed=changed: bytes(changed))
            with pytest.raises(ModelFileError):
                model._read_document(path)
    monkeypatch.setattr(model, "read_file", lambda *_: data)
    assert model._read_document(path).extra == EXTRA


@pytest.mark.parametrize("name", ["model.safetensors", "history.jsonl"])
def test_bits_of_the_other_files(folder, name):
    data = (folder / name).read_bytes()
    step = max(1, 8 * len(data) // amount.cases(150, 600, 3000))
    for place in range(0, 8 * len(data), step):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        (folder / name).write_bytes(changed)
        refused(folder, f"{name} is damaged or belongs to another model")


def test_json_that_only_means_the_same_was_altered_too(folder):
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(document))
    refused(folder, "model.json is damaged or was altered", "Copy the folder again")


def test_the_files_of_another_model(folder, tmp_path):
    save_model(tmp_path / "n", OTHER)
    shutil.copy(tmp_path / "n" / "model.safetensors", folder)
    refused(folder, "model.safetensors is damaged or belongs to another model")


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", "{}", '{"format": "keras", "version": 1}', '{"model": "x"}', "[" * 100_000,
     '{"a":' * 50_000, "\ufeff{}", "{'format': 'payback model'}",
     '{"format": "payback model", "version": 1}', "9" * 10_000, '"\\ud800"'],
    ids=lambda text: text[:30],
)  # fmt: skip
def test_foreign_json(folder, text):
    (folder / "model.json").write_text(text, encoding="utf-8")
    refused(folder, "model.json")


def test_json_that_is_no_text(folder):
    (folder / "model.json").write_bytes(b"\x80\x04\x95 pickled \xff")
    refused(folder, "model.json is damaged or not payback's")


@pytest.mark.parametrize("version", [2, 99, "1", None, 1.5, [1]])
def test_another_version(folder, version):
    sealed(folder, version=version)
    refused(folder, "the model's version is", "this payback reads version 1", "Install the payback that wrote it")


@pytest.mark.parametrize(
    "changes",
    [{"network": None}, {"network": {"layer": "lambda"}}, {"network": {"layer": "linear"}}, {"unknown": 1},
     {"extra": []},
     {"network": {"layer": "linear", "n_in": 2.5, "n_out": 1, "bias": True, "dtype": "float32"}},
     {"network": {"layer": "linear", "n_in": 2, "n_out": 1, "bias": True, "dtype": "object"}},
     {"network": {"layer": "linear", "n_in": 2, "n_out": 1, "bias": True, "dtype": "float32", "code": "x"}},
     {"network": {"layer": "sequential", "layers": [{"layer": "custom", "name": "os"}]}}],
    ids=str,
)  # fmt: skip
def test_a_document_of_other_fields(folder, changes):
    sealed(folder, **changes)
    refused(folder, "model.json is damaged or not payback's")


CONV = {"layer": "conv", "n_in": 2, "n_out": 2, "size": [3, 3], "stride": 1, "padding": "same", "bias": True,
        "dtype": "float32", "groups": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"layer": "activation", "name": "mish"}, "known are relu, tanh, sigmoid"),
        ({"layer": "activation", "name": "__import__"}, "is not known"),
        ({"layer": "linear", "n_in": 0, "n_out": 1, "bias": True, "dtype": "float32"}, "no such layer can be"),
        ({"layer": "linear", "n_in": -5, "n_out": 1, "bias": True, "dtype": "float32"}, "no such layer can be"),
        ({"layer": "linear", "n_in": 2**40, "n_out": 2**40, "bias": True, "dtype": "float32"}, "no such layer can be"),
        ({"layer": "linear", "n_in": 2**63 - 1, "n_out": 1, "bias": True, "dtype": "float32"}, "no such layer can be"),
        ({"layer": "mlp", "layers": [], "skip": True}, "an MLP begins and ends with linear layers"),
        (
            {"layer": "mlp", "layers": [{"layer": "activation", "name": "relu"}], "skip": False},
            "an MLP begins and ends with linear layers",
        ),
        ({"layer": "flatten"}, "there are parameters that the network does not have"),
        ({"layer": "sequential", "layers": []}, "there are parameters that the network does not have"),
        (
            {"layer": "linear", "n_in": 3, "n_out": 1, "bias": False, "dtype": "float64"},
            "the parameter weight is missing",
        ),
        ({"layer": "norm", "of": "layer", "size": 0, "epsilon": 1e-5, "dtype": "float32"}, "a norm of 0 features"),
        ({"layer": "norm", "of": "rms", "size": 3, "epsilon": 0.0, "dtype": "float32"}, "epsilon 0.0"),
        ({"layer": "norm", "of": "rms", "size": 2**40, "epsilon": 1e-5, "dtype": "float32"}, "none can be"),
        ({"layer": "pool", "of": "max", "size": [2, 0]}, "a pool of"),
        ({"layer": "pool", "of": "mean", "size": [2, 2, 2]}, "a pool of"),
        (CONV | {"size": [3, 0]}, "a convolution of"),
        (CONV | {"groups": 3}, "3 groups"),
        (CONV | {"groups": 0}, "0 groups"),
        (CONV | {"stride": 0}, "stride 0"),
        (CONV | {"size": [2**20, 2**20]}, "none can be"),
    ],
)
def test_a_network_that_cannot_be(folder, network, message):
    sealed(folder, network=network)
    refused(folder, message)


def nested(depth, inner):
    return {"layer": "sequential", "layers": [nested(depth - 1, inner)]} if depth else inner


def test_a_network_nested_too_deeply(folder):
    flat = {"layer": "flatten"}
    sealed(folder, network=nested(51, flat))
    refused(folder, "nested too deeply")
    text = (folder / "model.json").read_text()
    deep = '{"layer": "sequential", "layers": [' * 5000 + '{"layer": "flatten"}' + "]}" * 5000
    (folder / "model.json").write_text(text.replace(json.dumps(nested(51, flat)), deep))
    refused(folder, "model.json")


def test_declared_shapes_allocate_nothing(folder):
    huge = {"layer": "linear", "n_in": 2**17, "n_out": 2**17, "bias": True, "dtype": "float64"}
    sealed(folder, network={"layer": "mlp", "layers": [huge, huge], "skip": True})
    tracemalloc.start()
    refused(folder, "the network wants float64 of shape (131072, 131072)")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_tensors_that_do_not_fit(folder):
    arrays = {name: np.array(p) for name, p in pb.nn.parameters(NET).items()}
    with_tensors(folder, save_tensors({**arrays, "layers[0].weight": np.ones((3, 2), np.float32)}))
    refused(
        folder, "the parameter layers[0].weight is float32 of shape (3, 2)", "the network wants float32 of shape (2, 3)"
    )
    with_tensors(folder, save_tensors({**arrays, "layers[0].bias": np.ones(3)}))
    refused(folder, "the parameter layers[0].bias is float64")
    with_tensors(folder, save_tensors({**arrays, "more": np.ones(3)}))
    refused(folder, "there are parameters that the network does not have", "more")
    with_tensors(folder, save_tensors({name: p for name, p in arrays.items() if "bias" not in name}))
    refused(folder, "the parameter layers[0].bias is missing")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(folder, number):
    arrays = {name: np.array(p) for name, p in pb.nn.parameters(NET).items()}
    arrays["layers[2].bias"] = np.array([number], np.float32)
    with_tensors(folder, save_tensors(arrays))
    refused(folder, "the parameter layers[2].bias holds NaN or infinite numbers")


def header(text, data=b""):
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 a torch file",
        b"\x80\x04\x95pickle",
        header(b"{}"),
        header(b"not json"),
        (2**63).to_bytes(8, "little") + b"{}",
        header(b'{"layers[0].weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'),
        header(
            b'{"layers[0].weight":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,24]}}', b"0" * 24
        ),
        header(b'{"layers[0].weight":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}}', b"0" * 12),
        header(b'{"layers[0].weight":{"dtype":"F8_E4M3","shape":[2,3],"data_offsets":[0,6]}}', b"0" * 6),
        header(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            b"0" * 4,
        ),
        header(b"[" * 5000),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_foreign_tensors_with_a_digest_that_agrees(folder, data):
    with_tensors(folder, data)
    refused(folder, "model.safetensors")


def test_a_link_that_leads_out_of_the_folder(folder, tmp_path):
    for name in NAMES:
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        refused(folder, f"{name} is a link that leads out of the folder")
        (folder / name).unlink()
        (tmp_path / name).rename(folder / name)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, f"{name} is not a file")
    (folder / name).rmdir()
    os.mkfifo(folder / name)
    refused(folder, f"{name} is not a file")  # and does not wait for a writer
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    refused(folder, f"{name} is not a file")
    (folder / name).unlink()
    (folder / name).symlink_to(name)
    refused(folder, f"{name} cannot be read")


def test_a_file_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(model, "MAX_DOCUMENT", 100)
    refused(folder, "model.json is too large", "the limit is")


# Writing


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper" / "m"):
        with pytest.raises(InputError, match=r"^the model .*: \S+ is a file, not a folder\. Choose another folder\.$"):
            save_model(place, NET)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("place", ["/proc/payback", "/proc/self/payback", "x" * 300, "/dev/null/m", "m\0"])
def test_a_place_that_cannot_be_written_is_known_before_the_training(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the model cannot be written") as caught:
        check_folder(place)
    assert "choose another folder" in str(caught.value).lower()
    with pytest.raises(InputError, match="the model cannot be written"):
        save_model(place, NET)
    assert os.listdir(tmp_path) == []


def test_checking_leaves_nothing_behind(tmp_path):
    check_folder(tmp_path / "deep" / "m")
    check_folder(tmp_path)
    assert os.listdir(tmp_path) == []


def failing(function, at, problem):
    """The function, that fails on its call number `at`."""
    calls = []

    def wrapped(*arguments, **options):
        calls.append(1)
        if len(calls) == at:
            raise problem
        return function(*arguments, **options)

    return wrapped


@pytest.mark.parametrize(
    "problem", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=["full", "ctrl-c"]
)
@pytest.mark.parametrize(("name", "calls"), [("replace", 5), ("fsync", 3), ("fdopen", 3)])
def test_writing_that_fails_leaves_the_old_model(folder, monkeypatch, name, calls, problem):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for at in range(1, calls + 1):
        with monkeypatch.context() as patch:
            patch.setattr(files.os, name, failing(getattr(os, name), at, problem))
            with pytest.raises((InputError, KeyboardInterrupt)) as caught:
                save_model(folder, OTHER, overwrite=True)
        if isinstance(problem, OSError):
            assert "the model cannot be written" in str(caught.value)
            assert "No space left on device" in str(caught.value)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    save_model(folder, OTHER, overwrite=True)
    assert bits(pb.load(folder)) == bits(OTHER)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_writing_that_fails_leaves_no_new_folder(tmp_path, monkeypatch, at):
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", failing(os.replace, at, OSError(errno.EIO, "Input/output error")))
        with pytest.raises(InputError, match="Input/output error"):
            save_model(tmp_path / "deep" / "m", NET)
    assert os.listdir(tmp_path) == []


class Killed(BaseException):
    """The end of a process, as far as one process can play it: from then on nothing can be changed any more."""


def killed_at(monkeypatch, at, write):
    """Run `write`, killed before its call number `at` that changes a name; what would clean up is dead, too."""
    calls = []

    def deadly(function):
        def wrapped(*arguments, **options):
            calls.append(1)
            if len(calls) >= at:
                raise Killed
            return function(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", deadly(os.replace))
        patch.setattr(files.Path, "unlink", deadly(files.Path.unlink))
        patch.setattr(files.Path, "rmdir", deadly(files.Path.rmdir))
        with pytest.raises(Killed):
            write()


@pytest.mark.parametrize("at", range(1, 8))
def test_a_process_that_is_killed_leaves_the_old_model_or_the_new_one(folder, monkeypatch, at):
    killed_at(monkeypatch, at, lambda: save_model(folder, OTHER, overwrite=True))
    assert bits(pb.load(folder)) == bits(OTHER if at > 5 else NET)
    third = pb.nn.MLP([2, 3, 1], seed=3)
    save_model(folder, third, overwrite=True)
    assert bits(pb.load(folder)) == bits(third)
    assert {name for name in os.listdir(folder) if not name.startswith(".")} == set(NAMES)


def test_killed_again_and_again(folder, monkeypatch):
    """The old files lie beside their names after a first time: the next writing must not replace them too early."""
    for at in (2, 3, 2, 4, 1, 5, 6, 7):
        killed_at(monkeypatch, at, lambda: save_model(folder, OTHER, overwrite=True))
        assert bits(pb.load(folder)) in (bits(NET), bits(OTHER))
    killed_at(monkeypatch, 1, lambda: save_model(folder.parent / "new", OTHER))
    refused(folder.parent / "new", "there is no model.json")


def test_extra_that_is_no_json(tmp_path):
    with pytest.raises(TypeError):
        save_model(tmp_path / "m", NET, extra={"a": object()})
    assert not (tmp_path / "m").exists()
