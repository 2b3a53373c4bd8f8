"""Classifier and Regressor: what scikit-learn asks of estimators, and what they are made of."""

from __future__ import annotations

import dataclasses
import pickle
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import estimator_checks_generator

import amount
import payback as pb
from payback.errors import InputError
from payback.estimators import Classifier, Regressor, networks
from payback.trace.tree import leaves
from payback.train.stream import Stream

X, Y = pb.datasets.load("iris")
LABELS = np.array(["red", "green", "blue"], object)[Y]

LEFT_OUT = {"check_array_api_input"}  # runs only where SCIPY_ARRAY_API is set


def checks():
    for estimator in (Classifier(hidden=(8,), weight_decay=0.5), Regressor(hidden=(8,), weight_decay=0.5)):
        for _, check in estimator_checks_generator(estimator):
            name = getattr(check, "func", check).__name__
            if name not in LEFT_OUT:
                yield pytest.param(estimator, check, id=f"{type(estimator).__name__}-{name}")


@pytest.mark.parametrize(("estimator", "check"), random.Random(1).sample(list(checks()), amount.cases(5, 30, 121)))
def test_the_checks_of_scikit_learn(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's own, some of which its checks wait for
        check(clone(estimator))


def test_all_checks_are_there():
    assert len(list(checks())) >= 110


def test_the_network_is_that_of_fit():
    """On standardized columns, with the recipe of tables."""
    model = Classifier((6,), optimizer=pb.optim.Adam(0.01), epochs=4, batch_size=32, random_state=3).fit(X, LABELS)
    assert model.classes_.tolist() == ["blue", "green", "red"]
    numbers = np.searchsorted(model.classes_.astype(str), LABELS.astype(str))
    scaled = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(X.dtype)
    net = pb.nn.MLP([4, 6, 3], seed=3, dtype=X.dtype)
    run = pb.fit(net, scaled, numbers, optimizer=pb.optim.Adam(0.01), epochs=4, batch_size=32, validation=0, seed=3)
    assert model.history_["loss"] == run.history["loss"]
    assert np.allclose(model.predict_proba(X), pb.nn.softmax(run.net(scaled)), atol=1e-12)
    assert (model.predict(X) == model.classes_[run.net(scaled).argmax(axis=1)]).all()
    assert np.allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


@pytest.mark.parametrize("dtype", [np.float64, np.float32][: amount.cases(1, 2)])
def test_values_come_back_in_their_units(dtype):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(dtype)
    y = 1000 + 50 * np.stack([x[:, 0], x[:, 1] - x[:, 2]], axis=1)
    model = Regressor((), epochs=200, optimizer="adam", rate=0.05, random_state=0).fit(x, y)
    assert model.net_.layers[0].weight.dtype == dtype
    assert np.allclose(model.predict(x), y, atol=1)
    assert model.fit(x, y[:, 0]).predict(x).shape == (200,)
    assert model.score(x, y[:, 0]) > 0.999
    weights = np.where(x[:, 0] > 0, 1.0, 0.0)
    kinked = abs(y[:, 0] - 1000)
    model = Regressor((), epochs=200, optimizer="adam", rate=0.05, random_state=0)
    half = model.fit(x, kinked, sample_weight=weights)
    assert half.score(x[weights > 0], kinked[weights > 0]) > 0.99
    assert half.score(x[weights == 0], kinked[weights == 0]) < 0


def test_within_scikit_learn():
    model = Classifier((8,), epochs=10, random_state=0)
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert twin.set_params(dropout=0.1, epochs=15).epochs == 15
    piped = make_pipeline(PolynomialFeatures(2), model)
    found = GridSearchCV(piped, {"classifier__rate": [1e-4, 2e-2], "classifier__hidden": [(8,)]}, cv=2).fit(X, Y)
    assert found.best_params_["classifier__rate"] == 2e-2
    again = pickle.loads(pickle.dumps(found))  # noqa: S301
    assert np.array_equal(again.predict_proba(X), found.predict_proba(X))


def test_numbers_may_be_those_of_numpy():
    told = dict(rate=0.02, weight_decay=0.1, epochs=3, batch_size=32, validation=0.2, patience=2)
    model = Classifier((4,), random_state=0, **told).fit(X.astype(np.float32), Y)
    twin = clone(model).set_params(**{name: np.asarray(value)[()] for name, value in told.items()})
    assert isinstance(twin.epochs, np.int64)
    assert np.array_equal(twin.fit(X.astype(np.float32), Y).predict_proba(X), model.predict_proba(X))


def test_weights_of_classes_and_networks_of_ones_own():
    def deep(n_in, n_out, key):
        first, last = pb.random.split(key)
        return pb.nn.Sequential(
            pb.nn.Linear(n_in, 7, key=first, dtype=float), np.tanh, pb.nn.Linear(7, n_out, key=last, dtype=float)
        )

    alone = Classifier(hidden=5, epochs=2, random_state=0).fit(X, Y)  # as MLPClassifier takes it
    assert np.array_equal(alone.predict_proba(X), clone(alone).set_params(hidden=(5,)).fit(X, Y).predict_proba(X))
    model = Classifier(net=deep, epochs=5, random_state=0).fit(X, Y)
    assert model.net_.layers[0].weight.shape == (4, 7)
    x, y = np.random.default_rng(0).normal(size=(110, 1)), np.repeat([0, 1], [100, 10])  # nothing to tell them by
    model = Classifier((), epochs=60, optimizer="adam", rate=0.05, random_state=0)
    fitted = [clone(model).set_params(class_weight=w).fit(x, y) for w in (None, {0: 1, 1: 10}, "balanced")]
    shares = [one.predict_proba(x)[:, 1].mean() for one in fitted]
    assert shares == pytest.approx([1 / 11, 1 / 2, 1 / 2], abs=0.05)


def test_all_classes_that_hold():
    x = np.random.default_rng(0).normal(size=(300, 3))
    y = (x > [0.0, 0.5, -0.5]).astype(int)
    model = Classifier((), epochs=60, optimizer="adam", rate=0.05, random_state=0).fit(x, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict(x).shape == y.shape
    assert (model.predict(x) == y).mean() > 0.95
    assert np.array_equal(model.predict_proba(x) > 0.5, model.predict(x) == 1)
    again = clone(model).partial_fit(x, y).partial_fit(x, csr_array(y))
    assert again.predict(x[:5]).shape == (5, 3)
    with pytest.raises(InputError, match=r"y has the shape \(300, 2\)"):
        again.partial_fit(x, y[:, :2])


def test_sparse_rows_are_those_that_they_write_out():
    x = np.random.default_rng(0).normal(size=(60, 5)).round() * 2.0
    for model, y in ((Classifier((4,), epochs=2, random_state=0), x[:, 0] > 0), (Regressor((4,), epochs=2), x[:, 0])):
        model.set_params(random_state=0)
        sparse, dense = clone(model).fit(csr_array(x), y), model.fit(x, y)
        assert np.array_equal(sparse.predict(csr_array(x)), dense.predict(x))


def test_logarithms_of_what_is_hardly_probable():
    model = Classifier((), epochs=60, optimizer="adam", rate=0.1, random_state=0).fit(X, Y)
    told = model.predict_log_proba(1e4 * X)
    assert told.min() < -1e4
    assert np.isfinite(told).all()


def test_partial_fit_goes_on_with_the_state_of_the_optimizer():
    model = Classifier((5,), optimizer=pb.optim.Adam(0.05), batch_size="all", random_state=1)
    for _ in range(4):
        model.partial_fit(X, LABELS, classes=np.unique(LABELS))
    whole = clone(model).set_params(epochs=4).fit(X, LABELS)
    for a, b in zip(leaves(model.net_), leaves(whole.net_), strict=True):
        assert np.array_equal(a, b)
    again = pickle.loads(pickle.dumps(model)).partial_fit(X, LABELS)  # noqa: S301
    assert np.array_equal(again.predict_proba(X), model.partial_fit(X, LABELS).predict_proba(X))
    assert model.n_iter_ == 5
    with pytest.raises(InputError, match=r"classes are .* they were"):
        model.partial_fit(X, LABELS, classes=[0, 1])
    values = Regressor((), optimizer="adam", rate=0.1, random_state=0)
    for _ in range(30):
        for start in range(3):
            values.partial_fit(X[start::3], X[start::3, 0] + 1)
    assert values.score(X, X[:, 0] + 1) > 0.99


def test_partial_fit_weighs_samples():
    model = Classifier((), optimizer="adam", rate=0.1, random_state=0)
    for _ in range(30):
        model.partial_fit(X, LABELS, classes=np.unique(LABELS), sample_weight=(LABELS[0] == LABELS) * 1.0)
    assert np.all(model.predict(X) == LABELS[0])


@pytest.mark.parametrize("native", ["1", "0"])
def test_a_stream_is_a_training_by_hand(native, monkeypatch):
    monkeypatch.setenv("PAYBACK_NATIVE", native)
    net = pb.nn.MLP([4, 3, 3], seed=0, dtype=float)
    stream = Stream(net, "cross_entropy", pb.optim.Momentum(0.1), 0)
    velocity = [np.zeros(p.shape) for p in leaves(net)]
    for start in range(3):
        x, y, w = X[start::5], Y[start::5], np.linspace(1, 2, 30)
        stream = stream.take(x, y, w, 30)
        gradient = pb.grad(lambda net, x=x, y=y, w=w: pb.nn.cross_entropy(net(x), y, w))(net)
        velocity = [0.9 * v + g for v, g in zip(velocity, leaves(gradient), strict=True)]
        moved = iter([p - 0.1 * v for p, v in zip(leaves(net), velocity, strict=True)])
        net = net.replace(layers=tuple(
            layer.replace(weight=next(moved), bias=next(moved)) if isinstance(layer, pb.nn.Linear) else layer
            for layer in net.layers
        ))  # fmt: skip
    assert stream.steps == 3
    for a, b in zip(leaves(stream.net), leaves(net), strict=True):
        assert np.allclose(a, b, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Classifier(hidden_layer_sizes=(3,)), "has no argument 'hidden_layer_sizes'.*Write hidden=…"),
        (lambda: Classifier(alpha=1e-4), "has no argument 'alpha'.*Use weight_decay=…"),
        (lambda: Classifier(nesterovs_momentum=True), "Give an optimizer"),
        (lambda: Classifier(warm_start=True), "has no argument 'warm_start'.*Use partial_fit"),
        (lambda: Classifier(activation="mish").fit(X, Y), "there is no activation 'mish'"),
        (lambda: Classifier(optimizer=pb.optim.Adam(), rate=0.1).fit(X, Y), "are given beside an optimizer"),
        (lambda: Classifier(hidden=(0,)).fit(X, Y), "hidden layers of 0 units"),
        (lambda: Regressor(loss="mae").fit(X, Y), "the loss is 'mae'"),
        (lambda: Classifier().partial_fit(X, Y), "the first partial_fit is given no classes"),
        (lambda: Classifier().partial_fit(X, Y, classes=[0, 1]), "y has labels that are no classes"),
        (lambda: Classifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2]), "it looks at all rows"),
        (lambda: Regressor(optimizer=pb.optim.Adam(pb.optim.Cosine(0.1))).partial_fit(X, Y), "no end is known"),
        (lambda: Regressor(optimizer=pb.optim.GradientDescent(line_search=True)).partial_fit(X, Y), "bit by bit"),
        (lambda: Regressor(()).partial_fit(X, Y).partial_fit(X, X), "y has the shape"),
    ],
)
def test_what_cannot_be(call, message):
    with pytest.raises((InputError, TypeError), match=message):
        call()


def test_without_scikit_learn():
    code = "import sys; sys.modules['sklearn'] = None; import payback as pb; pb.nn; print('there'); pb.estimators"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "InputError: pb.estimators needs scikit-learn, which is not installed" in done.stderr
    assert done.stdout == "there\n"


def test_what_suits_few_rows_is_cross_validated(monkeypatch):
    """As `payback train` does it, in X's dtype and for the training's own loss; not where it is told."""
    tried = []

    def last(recipes, new, x, y, weights, seed, loss):
        tried.append((len(recipes), [len(new(one).layers) for one in (recipes[0], recipes[-1])], seed, loss, weights))
        return dataclasses.replace(recipes[-1], epochs=2)

    monkeypatch.setattr(networks, "chosen_recipe", last)
    x, many = X.astype(np.float32), np.eye(3, dtype=int)[Y]
    for model, y, loss in (
        (Classifier(random_state=7), Y, "cross_entropy"),
        (Classifier(random_state=7), many, "binary_cross_entropy"),
        (Regressor(loss="huber", random_state=7), X[:, 0], "huber"),
    ):
        model.fit(x, y)
        line = loss != "huber"
        assert tried.pop() == (5 if line else 3, [3, 1 if line else 3], 7, loss, None)
        assert model.recipe_["hidden"] == ([] if line else [128])
        assert model.net_.layers[0].weight.dtype == np.float32
    Classifier(class_weight={1: 3.0}).fit(x, Y)
    assert tried.pop()[-1].tolist() == np.where(Y == 1, 3.0, 1.0).tolist()
    for options, several in ((dict(weight_decay=0.5), 1), (dict(epochs=2), 1), (dict(hidden=(5,)), 3)):
        Classifier(**options).fit(x, Y)
        assert tried.pop()[0] == several
    Classifier(optimizer=pb.optim.Adam(1e-2), epochs=2).fit(x, Y)
    assert not tried
