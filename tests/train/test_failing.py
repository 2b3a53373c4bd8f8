"""A cost that is not finite: the error says where it was born, and the step can be taken again."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import payback as pb
from payback import native
from payback.errors import InputError, NonFiniteError
from payback.optim import Adam, GradientDescent, Momentum
from payback.trace.tree import leaves
from payback.train.explanations import BOUNDS
from payback.train.fit import fit
from payback.train.recording import weights_digest
from payback.train.runs import open_run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3))
VALUES = X @ [1.0, -2.0, 0.5] + 0.3
ways = pytest.mark.parametrize("interpreted", [pytest.param(True, id="interpreter"), pytest.param(False, id="native")])


def log_loss(prediction, target, weights=None):
    r = prediction - target
    return np.log(1.0 - r * r * 0.001).mean()


def three_on_a_line(prediction, target, weights=None):
    r = prediction - target
    return (np.exp(r * 0.0) + np.sqrt(2.5 - r) + np.exp(r * 0.0)).mean()


def divided(prediction, target, weights=None):
    spread = (target * 0.0).sum()
    return ((prediction - target) ** 2).sum() / spread


class Rooted(pb.nn.Module):
    """Finite itself, but its derivative at 0 is not."""

    w: np.ndarray

    def __call__(self, x):
        inside = x * self.w * 0.0
        return np.sqrt(inside).sum(axis=1, keepdims=True)


class Recurrent(pb.nn.Module):
    w: np.ndarray

    def __call__(self, x):
        h = x
        for _ in range(60):
            h = h * self.w
        return h.sum(axis=1, keepdims=True)


# planted fault -> (what fit is told, the expression that is named, a word of its story)
PLANTED = {
    "log of a negative number": (dict(loss=log_loss, optimizer=GradientDescent(30.0)),
                                 "np.log(1.0 - r * r * 0.001)", "log needs x > 0"),
    "three on one line": (dict(loss=three_on_a_line, optimizer=GradientDescent(-0.5 + 1.0)),
                          "np.sqrt(2.5 - r)", "sqrt needs"),
    "a division in a loss": (dict(loss=divided), "((prediction - target) ** 2).sum() / spread", "div"),
    "a root in the backward pass": (dict(net=Rooted(np.ones(3))), "np.sqrt(inside)", "the backward pass"),
    "an exploding product": (dict(net=Recurrent(np.full(3, 1e6)), loss="squared_error"), "h * self.w", "beyond"),
}  # fmt: skip


def failing(name, **others):
    told = dict(net=pb.nn.MLP([3, 8, 1], "tanh", seed=0, dtype=float), X=X, y=VALUES, epochs=50, batch_size=20,
                validation=0, seed=3) | PLANTED[name][0] | others  # fmt: skip
    with pytest.raises(NonFiniteError) as caught:
        fit(**told)
    return caught.value, told


@ways
@pytest.mark.parametrize("name", PLANTED)
def test_the_error_says_where_it_was_born_first_and_alone(monkeypatch, name, interpreted):
    if interpreted:
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    error, _ = failing(name)
    _, expression, story = PLANTED[name]
    assert [origin.what for origin in error.origins] == [expression]
    assert expression in str(error)
    assert story in str(error)
    assert "test_failing.py:" in str(error)
    assert "Give a smaller step length" in str(error)


@ways
def test_what_the_layers_compute_is_called_by_its_layer(monkeypatch, interpreted):
    if interpreted:
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    net = pb.nn.MLP([3, 8, 1], seed=0)
    with pytest.raises(NonFiniteError) as caught:
        fit(net, X, VALUES, optimizer=GradientDescent(0.9), epochs=50, batch_size=20, validation=0)
    assert "mul in the loss" in str(caught.value)
    assert "is beyond the largest float32" in str(caught.value)
    far = X * 1e30
    object.__setattr__(net.layers[0], "weight", net.layers[0].weight * np.float32(1e10))
    with pytest.raises(NonFiniteError, match=r"contract at layers\[0\]"):
        fit(net, far, VALUES, epochs=1, validation=0)


@ways
@pytest.mark.parametrize("name", PLANTED)
def test_explained_the_step_is_kept_and_comes_back(monkeypatch, capsys, tmp_path, name, interpreted):
    if interpreted:
        monkeypatch.setenv("PAYBACK_NATIVE", "0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    refused, _ = failing(name)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == ""
    error, told = failing(name, on_nan="explain")
    assert str(error) == str(refused)
    story = capsys.readouterr().err
    assert f"{error.what} ({error.where}), which was not applied" in story
    assert PLANTED[name][1] in story
    assert f"the step is kept in {error.folder}" in story
    again = dict(loss=told["loss"]) if callable(told.get("loss")) else {}
    if not isinstance(told["net"], pb.nn.MLP):
        again["like"] = told["net"]
    run = open_run(error.folder, **again)
    assert (run.finished, run.stopped) == (False, None)
    assert run.failed.n == len(run) + 1
    assert f"at step {run.failed.n}" in error.what
    assert [origin.what for origin in run.why_nan()] == [origin.what for origin in error.origins]
    # the weights are those that the training has without the bad step
    steps = run.failed.n - 1
    if steps:
        per_epoch = 5
        shorter = told | dict(epochs=-(-steps // per_epoch), record=tmp_path / "whole")
        with pytest.raises(NonFiniteError):
            fit(**(shorter | dict(epochs=50)))
        assert open_run(tmp_path / "whole", **again).step(steps).weights == run.step(steps).weights
    if not interpreted and native.available():
        found = run.agreement(run.failed.n)
        assert not found.parted, str(found)
        assert found.tolerance == BOUNDS["float64"]
        assert f"bound {BOUNDS['float64']:.0g}" in story


def test_the_error_says_what_helps_in_a_line_of_the_user_s():
    error, _ = failing("log of a negative number")
    assert error.fix == f"give a smaller step length, or clip the gradient with clip_norm; {error.origins[0].cure}"
    assert "argument above 0" in error.fix


def test_a_recorded_training_keeps_the_step_in_its_own_folder(tmp_path, capsys):
    error, _ = failing("log of a negative number", on_nan="explain", record=tmp_path / "run")
    assert error.folder == tmp_path / "run"
    run = open_run(tmp_path / "run", loss=log_loss)
    assert run.why_nan()[0].what == PLANTED["log of a negative number"][1]
    assert weights_digest(run.step(len(run)).net) == run.step(len(run)).weights
    assert run.batch(run.failed.n).X.shape == (20, 3)
    assert "a cost that is not finite" in repr(run)
    # a step that did not fail can be explained too
    book = run.explain(1)
    book.check()
    assert book.top.value == pytest.approx(run.steps[1].cost, rel=1e-12)
    gradient = np.concatenate([np.ravel(leaf.settled) for leaf in book.leaves])
    assert np.linalg.norm(gradient) == pytest.approx(run.steps[1].norm, rel=1e-10)


def test_an_extreme_row_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = X.copy()
    rows[37, 1] = 1e200
    with pytest.raises(NonFiniteError, match=r"; row 37 of X.* Look at row 37 of X; if it is as it should be, give a"):
        fit(pb.nn.MLP([3, 1], dtype=float), rows, VALUES, batch_size=10, epochs=1, validation=0, on_nan="explain")
    assert "; row 37 of X" in capsys.readouterr().err


def test_a_gradient_whose_square_is_too_large_and_steps_too_long(tmp_path):
    line = pb.nn.MLP([3, 1], dtype=float)
    told = dict(epochs=1, validation=0, batch_size="all")
    with pytest.raises(
        NonFiniteError,
        match=r"^the step became .* or its square, is beyond .* Give a smaller step",
    ):
        fit(line, X, VALUES * 1e10, optimizer=Momentum(1e300), **told)
    X_big, values = X * 1e90, VALUES * 1e70
    with pytest.raises(NonFiniteError, match=r"^the norm of the gradient became .* Give columns and targets of"):
        fit(line, X_big, values, loss=far, optimizer=pb.optim.Adam(), record=tmp_path / "run", **told)
    (origin,) = pb.open_run(tmp_path / "run", loss=far).why_nan()
    gradient = pb.grad(lambda weight: far(X_big @ weight, values))(line.layers[0].weight)
    assert origin.phase == "step"
    assert origin.fact.startswith("its square is beyond the largest float64, 1.8e+308")
    assert origin.operands == (("gradient", pytest.approx(gradient[origin.index], rel=1e-12)),)
    assert abs(gradient[origin.index]) == np.abs(gradient).max()


def far(prediction, target, weights=None):
    return (np.abs(prediction - np.reshape(target, (-1, 1))) * 1e70).mean()


def test_line_search(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error, _ = failing("a division in a loss", optimizer=GradientDescent(line_search=True), batch_size="all",
                       on_nan="explain")  # fmt: skip
    run = open_run(error.folder, loss=divided)
    assert run.why_nan()[0].what == PLANTED["a division in a loss"][1]


def test_the_best_network_is_kept_as_before():
    error, _ = failing("log of a negative number")
    assert all(np.isfinite(p).all() for p in leaves(error.run.net))


def test_other_words_are_refused(tmp_path):
    with pytest.raises(InputError, match="on_nan is 'ignore': it is 'refuse' or 'explain'"):
        fit(pb.nn.MLP([3, 1]), X, VALUES, on_nan="ignore")
    fit(pb.nn.MLP([3, 1]), X, VALUES, epochs=1, optimizer=Adam(), record=tmp_path)
    with pytest.raises(InputError, match="no step of the run failed"):
        open_run(tmp_path).why_nan()
    assert not open_run(tmp_path).why_nan(1)


def test_what_cannot_be_looked_into_is_told_as_it_is(monkeypatch):
    from payback.errors import TraceError
    from payback.train import explanations

    def cannot(*args):
        raise TraceError("the loss looks at numbers")

    monkeypatch.setattr(explanations, "why", cannot)
    with pytest.raises(NonFiniteError, match="the steps are too long, or the data hold extreme values") as caught:
        fit(pb.nn.MLP([3, 8, 1], seed=0), X, VALUES, optimizer=GradientDescent(0.9), validation=0)
    assert caught.value.__notes__ == ["where it was born could not be found out: the loss looks at numbers."]


@pytest.mark.parametrize("record", [False, True])
def test_a_cost_of_the_rows_held_out_has_its_story_too(capsys, tmp_path, record):
    held = X[:20].copy()
    held[7, 1] = 1e200
    net = pb.nn.MLP([3, 4, 1], "relu", seed=0, dtype=float)
    told = dict(loss="squared_error", epochs=3, batch_size=16, validation=(held, X[:20, :1]), progress=False)
    with pytest.raises(NonFiniteError, match=r"the validation cost became inf after step \d+ \(epoch 1\)") as caught:
        pb.fit(net, X, X[:, :1], **told)
    assert caught.value.why.startswith("(mul in the loss)[7, 0] is inf")
    with pytest.raises(NonFiniteError) as caught:
        pb.fit(net, X, X[:, :1], **told, on_nan="explain", record=tmp_path / "run" if record else None)
    assert (caught.value.folder == tmp_path / "run") is record
    run = pb.open_run(caught.value.folder)
    (origin,) = run.why_nan(held=True)
    assert (origin.index, origin.rule) == ((7, 0), "mul")
    assert "; row 7 of the rows held out" in capsys.readouterr().err
    with pytest.raises(InputError, match="no step of the run failed"):
        run.why_nan()
    if not record:
        shutil.rmtree(caught.value.folder)


def test_rows_that_are_combined_with_every_other_are_told():
    def summed(prediction, target, weights=None):
        return ((prediction[:, 0] - target) ** 2).sum()

    told = dict(loss=summed, optimizer=GradientDescent(10.0), epochs=200, batch_size="all", validation=0)
    with pytest.raises(NonFiniteError, match=r"prediction.:, 0. - target combines .{1,6},. with .{1,4}, 1., each row"):
        fit(pb.nn.MLP([3, 1], dtype=float), X, VALUES[:, None], **told)


def test_what_layers_compute_is_not_laid_to_the_line_that_asks(tmp_path):
    line = pb.nn.MLP([3, 1], dtype=float)
    told = dict(epochs=1, batch_size=10, validation=0)
    for name, seed in (("a", 1), ("b", 2)):
        fit(line, X, VALUES, seed=seed, record=tmp_path / name, **told)
    a, b = (pb.open_run(tmp_path / name) for name in "ab")
    first = pb.bisect(a, b).first
    assert (first.a.name, first.a.where) == ("contract at layers[0]", None)
    book = a.explain(2, wrt="W1")
    assert [leaf.name for leaf in book.leaves] == ["W1"]
    assert not [account for account in book.nodes if account.where is not None]
