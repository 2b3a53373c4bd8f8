"""`payback report`: what the page of a recorded training says, put beside the training itself."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

import payback as pb
from payback.cli import main
from payback.trace.tree import leaves


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    net = pb.nn.MLP([3, 4, 2], "relu", seed=0, dtype=float)
    where = tmp_path_factory.mktemp("runs") / "run"
    pb.fit(net, X, (X[:, 0] > 0).astype(int), epochs=3, batch_size=10, validation=0, record=str(where), progress=False)
    return where


@pytest.fixture(scope="module")
def page(folder):
    target = folder.parent / "page.html"
    assert main(["report", str(folder), "--html", str(target), "--entry", "W1[2,1]", "--steps", "4,6-7"]) == 0
    return json.loads(re.search(r'id="data">(.*?)</script>', target.read_text("utf-8"), re.DOTALL)[1])


def test_what_stands_out_is_told_on_the_page_and_before_it(tmp_path, capsys):
    (tmp_path / "own.py").write_text("def loss(p, t): return -((p[:, 0] - t) ** 2).mean()\n")
    X = np.random.default_rng(0).normal(size=(20, 2))
    pb.fit(pb.nn.MLP([2, 1], seed=0), X, X[:, 0], loss=lambda p, t: -((p[:, 0] - t) ** 2).mean(), epochs=1,
           validation=0, record=tmp_path / "run", progress=False)  # fmt: skip
    target = tmp_path / "page.html"
    told = ["report", str(tmp_path / "run"), "--html", str(target), "--loss", f"{tmp_path / 'own.py'}:loss"]
    assert main(told) == 0
    _, what, cure, *_ = capsys.readouterr().out.splitlines()
    assert what.startswith("1. answers that hit their targets cost")
    assert cure.startswith("   what helps: turn its sign")
    shown = json.loads(re.search(r'id="data">(.*?)</script>', target.read_text("utf-8"), re.DOTALL)[1])
    assert shown["findings"][0]["kind"] == "wrong sign"


def slopes(run, n):
    """Cost and gradient of step n, at the weights before it."""
    batch = run.batch(n)
    return pb.value_and_grad(lambda net: run.loss(net(batch.X), batch.y, batch.weights))(run.step(n - 1).net)


def test_the_map_holds_the_norms_of_gradients_and_of_updates_beside_the_weights(folder, page):
    run, shown = pb.open_run(folder), page["map"]
    assert shown["steps"] == list(range(1, 10))
    assert shown["rows"] == ["layers[0].weight", "layers[0].bias", "layers[2].weight", "layers[2].bias"]
    for n in (1, 5, 9):
        old, new = leaves(run.step(n - 1).net), leaves(run.step(n).net)
        for k, gradient in enumerate(leaves(slopes(run, n)[1])):
            assert shown["gradient"][k][n - 1] == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
            size = np.linalg.norm(old[k])
            moved = np.linalg.norm(new[k] - old[k]) / size if size else None
            assert shown["update"][k][n - 1] == (None if moved is None else pytest.approx(moved, rel=1e-12))
            still = np.mean(~np.any(gradient.reshape(-1, gradient.shape[-1]), axis=0))
            assert shown["dead"][k][n - 1] == pytest.approx(still)


def test_a_step_under_the_microscope(folder, page):
    run = pb.open_run(folder)
    looks = {look["n"]: look for look in page["looks"]}
    assert {4, 6, 7} <= looks.keys()
    for n in (4, 7):
        look, batch = looks[n], run.batch(n)
        old, new = leaves(run.step(n - 1).net), leaves(run.step(n).net)
        cost, gradient = slopes(run, n)
        assert look["before"] == pytest.approx(cost, rel=1e-12)
        assert look["after"] == pytest.approx(run.loss(run.step(n).net(batch.X), batch.y, batch.weights), rel=1e-12)
        promised = [np.sum(g * (b - a)) for a, b, g in zip(old, new, leaves(gradient), strict=True)]
        assert look["promise"] == pytest.approx(promised, rel=1e-12)
        assert look["weights"] == run.steps[n].weights
        after = [np.frombuffer(base64.b64decode(text), look["exact"]["dtype"]) for text in look["exact"]["after"]]
        assert all(np.array_equal(a, b.ravel()) for a, b in zip(after, new, strict=True))
        alone = run.step(n - 1).net.layers[0].replace(weight=new[0])
        moved = run.step(n - 1).net.replace(layers=(alone, *run.step(n - 1).net.layers[1:]))
        assert look["alone"][0] == pytest.approx(run.loss(moved(batch.X), batch.y, batch.weights) - cost, rel=1e-9)
        rows = [row["cost"] for row in look["rows"]]
        assert rows == sorted(rows, reverse=True)
        assert sum(rows) / 10 == pytest.approx(cost, rel=1e-12)  # all ten rows of the batch are shown


def test_curves_and_statements_are_the_runs(folder, page):
    run = pb.open_run(folder)
    curves = {curve["name"]: curve["values"] for curve in page["curves"]}
    assert curves["loss"] == run.history["loss"]
    (statement,) = page["statements"]
    assert statement == json.loads(json.dumps(run.account("W1", (2, 1)).to_json()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "x"], "--steps has 'x'. Write numbers of steps"),
        (["--steps", "3-"], "--steps has '3-'"),
        (["--steps", "10"], "the run has no step 10: it has the steps 1 to 9"),
        (["--steps", "5-4"], "the run has no step 5-4"),
        (["--entry", "W1"], "names no entry"),
    ],
)
def test_what_a_run_does_not_have_is_told(folder, options, message, capsys):
    assert main(["report", str(folder), *options]) == 2
    assert message in capsys.readouterr().err
