"""What was proved is looked at in every call: names, attributes and functions may have come to stand for others."""

import sys
import types

import numpy as np
from tests.trace.proving import Base, Data, Found, Layer, Net, X, helper, is_proved

from payback.trace.proof.proved import proved


def test_what_names_stand_for_is_looked_at_in_every_call():
    data = np.ones(3)

    def f(w):
        return np.sum(w * data) * helped(w)

    helped = lambda w: np.sum(w)  # noqa: E731
    assert is_proved(f, X)
    data = data.view(Data)
    assert not is_proved(f, X)
    data = np.ones(3)
    assert is_proved(f, X)
    helped = lambda w: data.fill(2.0) or np.sum(w)  # noqa: E731
    assert not is_proved(f, X)


def test_what_attributes_stand_for_is_looked_at_in_every_call(monkeypatch):
    model = Net()
    assert is_proved(model.loss, X)
    model.layers[0].act = lambda x: X.fill(1.0) or x
    assert not is_proved(model.loss, X)
    model.layers[0].act = np.tanh
    assert is_proved(model.loss, X)
    monkeypatch.setattr(Base, "square", lambda self, x: X.fill(1.0) or x)
    assert not is_proved(model.loss, X)
    monkeypatch.undo()
    assert is_proved(model.loss, X)
    monkeypatch.setattr(Net, "scale", Found(), raising=False)
    assert not is_proved(model.loss, X)
    monkeypatch.undo()
    monkeypatch.setattr(Layer, "__getattribute__", lambda self, name: X.fill(1.0), raising=False)
    assert not is_proved(model.loss, X)


def test_replaced_functions_of_numpy_are_seen(monkeypatch):
    f = lambda w: np.sum(np.exp(w) * X)  # noqa: E731
    assert is_proved(f, X)
    monkeypatch.setattr(np, "exp", lambda x: X.fill(1.0) or x)
    assert not is_proved(f, X)
    monkeypatch.undo()
    assert is_proved(f, X)
    f = lambda w: np.sum(helper(w) * X)  # noqa: E731
    assert is_proved(f, X)
    monkeypatch.setattr(np, "tanh", lambda x: X.fill(1.0) or x)
    assert not is_proved(f, X)


def test_functions_of_python_that_a_module_replaces_are_seen():
    space = {"np": np, "X": X}
    f = types.FunctionType((lambda w: np.sum(w) * len(w)).__code__, space)
    assert is_proved(f, X)
    space["len"] = lambda w: X.fill(0.0) or 3
    assert not is_proved(f, X)


def test_under_a_debugger_nothing_is_proved():
    f = lambda w: np.sum(w * X)  # noqa: E731
    assert is_proved(f, X)
    last = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert not proved(f, (X,), {}, (0,))
    finally:
        sys.settrace(last)
