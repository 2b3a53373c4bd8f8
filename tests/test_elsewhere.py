"""Names of other libraries, as arguments, methods and texts: the error says what to write, and that is there."""

from __future__ import annotations

import inspect
import operator
import re

import numpy as np
import pytest

import amount
import payback as pb
from payback.elsewhere import ARGUMENTS, INSTEAD, METHODS, SYNONYMS, VALUES
from payback.errors import ArgumentError, FieldError, InputError, MissingAttributeError, MissingNameError, TraceError
from payback.train.fit import Run
from payback.train.history import History

NET = pb.nn.MLP([2, 3, 1], seed=0)
MODULES = {"pb": pb, "pb.nn": pb.nn, "pb.optim": pb.optim, "pb.random": pb.random, "pb.estimators": pb.estimators}
FUNCTIONS = {
    f"{place}.{name}": function
    for place, module in MODULES.items()
    for name in module.__all__
    if callable(function := getattr(module, name)) and not inspect.ismodule(function)
}
THINGS = {
    "a module": NET,
    "a traced value": pb.variable(np.ones(3)),
    "a run": Run(NET, History([]), "epochs", 0, {}),
    "a history": History([]),
    "an optimizer": pb.optim.Adam(),
}
# Their own Python error is as good, or they take anything.
OWN = {"pb.stop_gradient", "pb.nn.static", "pb.nn.Module", "pb.nn.training"}


def arguments(function):
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_argument_that_there_is_not(name):
    function = FUNCTIONS[name]
    known = arguments(function)
    if any(p.kind is p.VAR_KEYWORD for p in known) or name in OWN:
        return
    with pytest.raises(ArgumentError, match=f"^{re.escape(name)} has no argument 'no_such_thing' \\(.*test_elsewhere"):
        function(no_such_thing=1)
    for own in (p.name for p in known if p.kind is not p.VAR_POSITIONAL):
        for word in {own + "s", own[:-1]} - {p.name for p in known} if len(own) > 5 else ():  # a slip of the pen
            with pytest.raises(ArgumentError, match=f"{own}=…"):
                function(**{word: 1})
        for word in set(SYNONYMS.get(own, ())) - {p.name for p in known}:
            with pytest.raises(ArgumentError) as told:
                function(**{word: 1})
            assert told.value.fix
    if not any(p.kind is p.VAR_POSITIONAL for p in known):
        with pytest.raises(ArgumentError, match=f"^{re.escape(name)} was given 99 arguments by position"):
            function(*range(99))
    if needed := [p.name for p in known if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]:
        with pytest.raises(ArgumentError, match=f"^{re.escape(name)} was not given {' and '.join(needed)}"):
            function()


@pytest.mark.parametrize(("own", "words"), SYNONYMS.items(), ids=list(SYNONYMS))
def test_each_name_of_an_argument_is_of_some_function(own, words):
    assert any(own in inspect.signature(function).parameters for function in FUNCTIONS.values())
    assert own not in words


def of_ours(text):
    """What a text names of ours is there."""
    for found in re.findall(r"\bpb((?:\.\w+)+)", text):
        operator.attrgetter(found[1:])(pb)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_of_one_function(name):
    of_module = (f"{name}.Adam", f"{name}.Classifier") if name in MODULES else ()
    some = [key for key in FUNCTIONS if key == name or key in of_module]
    assert some
    for word, instead in ARGUMENTS[name].items():
        of_ours(instead)
        with pytest.raises(ArgumentError, match=re.escape(instead[1:])):
            FUNCTIONS[some[0]](**{word: 1}) if word else FUNCTIONS[some[0]](*range(99))


@pytest.mark.parametrize("kind", METHODS)
def test_methods(kind):
    thing = THINGS[kind]
    for name, instead in METHODS[kind].items():
        of_ours(instead)
        assert not hasattr(thing, name) or hasattr(np.ndarray, name)
        if not hasattr(thing, name):
            with pytest.raises(AttributeError, match=re.escape(instead[1:]) if kind != "a traced value" else name):
                getattr(thing, name)
    with pytest.raises(AttributeError, match="no_such_thing") as told:
        _ = thing.no_such_thing
    assert told.value.name == "no_such_thing"


def test_methods_of_a_traced_value():
    def f(x):
        return x.detach().sum() if hasattr(x, "detach") else (x * x).sum()  # a program that knows PyTorch's as well

    assert pb.grad(f)(np.ones(2)).tolist() == [2.0, 2.0]
    for x in (pb.variable(np.ones(2)), pb.variable(1.0)):
        with pytest.raises(MissingAttributeError, match="Leave it out: backward"):
            x.zero_grad()
    with pytest.raises(MissingAttributeError, match=r"Use pb\.stop_gradient\(x\)"):
        pb.grad(lambda x: x.detach().sum())(np.ones(2))
    with pytest.raises(MissingAttributeError, match="item assignment"):
        pb.grad(lambda x: x.at[0].set(1.0).sum())(np.ones(2))


CALLS = {
    "loss": lambda name: pb.fit(NET, np.ones((4, 2)), np.ones(4), loss=name),
    "activation": pb.nn.Activation,
    "optimizer": lambda name: pb.fit(NET, np.ones((4, 2)), np.ones(4), optimizer=name),
    "metric": lambda name: pb.fit(NET, np.ones((4, 2)), np.ones(4), metrics=[name], validation=0.5),
    "initializer": lambda name: pb.nn.Linear(2, 1, key=pb.random.key(0), initializer=name),
}


@pytest.mark.parametrize("what", VALUES)
def test_texts(what):
    for name, instead in VALUES[what].items():
        of_ours(instead)
        with pytest.raises(InputError, match=f"there is no {what} {name!r}.*{re.escape(instead[1:])}"):
            CALLS[what](name)


def test_an_optimizer_by_its_name_has_its_usual_options():
    given = dict(X=np.linspace(-1, 1, 20).reshape(10, 2), y=np.ones(10), epochs=2, validation=0)
    for name, kind in list(pb.optim.OPTIMIZERS.items())[: amount.cases(1, 3, 6)]:
        a, b = (pb.fit(NET, **given, optimizer=o) for o in (name, kind()))
        assert a.history["loss"] == b.history["loss"]


def test_a_step_of_scan_without_xs_that_computes_with_x():
    with pytest.raises(TraceError, match=r"None is computed with .*: c \* x.*a step of pb.scan is given None"):
        pb.grad(lambda a: pb.scan(lambda c, x: (c * x, c), a, None, length=3)[0])(1.0)


def test_layers_in_a_list():
    with pytest.raises(InputError, match=r"layer 0 is \[Flatten\(\)\].*Write pb\.nn\.Sequential\(\*layers\)"):
        pb.nn.Sequential([pb.nn.Flatten()])


@pytest.mark.parametrize("module", INSTEAD)
def test_names_that_are_imported(module):
    for name in INSTEAD[module]:
        with pytest.raises(MissingNameError, match=f"{name!r} cannot be imported from {module!r}"):
            exec(f"from {module} import {name}", {})
    with pytest.raises(ImportError, match="cannot import name 'nothing_of_that'"):
        exec(f"from {module} import nothing_of_that", {})


@pytest.mark.parametrize("name", ["grad", "value_and_grad", "jacobian", "hessian"])
def test_a_point_in_the_place_of_argnums(name):
    for point in (3.0, np.ones(2), pb.variable(1.0)):
        with pytest.raises(InputError, match=r"Write pb\.\w+\(f\)\(x\) for what that is at x"):
            getattr(pb, name)(lambda x: x * x, point)


def test_layers_and_initializers_by_their_functions():
    net = pb.nn.MLP([2, 3, 1], pb.nn.tanh, initializer=pb.nn.he_uniform)
    assert net.layers[1].name == "tanh"
    with pytest.raises(InputError, match="Put the function itself"):
        pb.nn.Activation(np.tanh)
    with pytest.raises(InputError, match=r"Write pb\.nn\.MLP\(\[2, 16, 1\]\)"):
        pb.nn.MLP(3)


def test_modules_in_the_way_of_pytorch():
    class Named(pb.nn.Module):
        def __init__(self):
            self.first = pb.nn.Flatten()

    class Forward(pb.nn.Module):
        def forward(self, x):
            return x

    with pytest.raises(FieldError, match=r"Write `first: pb\.nn\.Flatten` in the class Named"):
        Named()
    with pytest.raises(NotImplementedError, match="rename forward to __call__"):
        Forward()(1.0)
    with pytest.raises(InputError, match=r"Give arrays: np\.array\(x\)"):
        NET([[1.0, 2.0]])


def test_two_classes_and_one_output():
    with pytest.raises(InputError, match='Write loss="binary_cross_entropy", or give the last'):
        pb.fit(NET, np.ones((4, 2)), np.array([0, 1, 0, 1]))
