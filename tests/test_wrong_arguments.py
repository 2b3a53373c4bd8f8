"""Every public function with wrong arguments: what comes out is right, or an error of ours in a line that says why."""

from __future__ import annotations

import gc
import inspect
import random
import re
import traceback
import types
import warnings

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import PaybackError

X = np.ones(3)
KEY = pb.random.key(0)

# What Python says where a call and a signature do not go together.
BINDING = re.compile(
    r"[\w.<>]+\(\) (takes (no|exactly|at most|from|\d+) |missing \d+ required |got (an unexpected|multiple values) )"
)


def square(x):
    return np.sum(x * x)


async def later(x):
    return x


def each(x):
    yield x


class Thing:
    def method(self, x):
        return x


WRONG = [
    None, "text", b"bytes", 3, -1, 2.5, True, float("nan"), 10**40, 1 + 2j, [], {}, (), object(), Thing, Thing(),
    Thing().method, [1, "a"], {"a": None}, [[1.0, 2.0], [3.0]], set("a"), range(3), slice(1), ..., NotImplemented, each,
    each(1.0), later, iter([1.0]), lambda: None, lambda x: None, lambda *x: "text", lambda x: {"a": (x, None)},
    lambda x: x > 0, np.array(["x"]), np.array([1, None], object), np.array([1j]), np.arange(3), np.ones((2, 0)),
    np.datetime64("2020"), np.timedelta64(3, "s"), np.ma.array([1.0, 2.0], mask=[0, 1]), np.rec.array([(1.0, 2.0)]), np,
    np.dtype(float), type, np.ones(3, ">f8"), np.random.default_rng(0),
]  # fmt: skip
TRANSFORMS = ["grad", "value_and_grad", "jacobian", "hessian", "vmap", "compile", "remat"]
CALLS = {
    **{f"{name} of it": lambda b, name=name: getattr(pb, name)(b)(X) for name in TRANSFORMS},
    **{f"{name} at it": lambda b, name=name: getattr(pb, name)(square)(b) for name in TRANSFORMS},
    **{f"{name} giving it": lambda b, name=name: getattr(pb, name)(lambda x: b)(X) for name in TRANSFORMS},
    **{f"{name} argnums": lambda b, name=name: getattr(pb, name)(square, argnums=b)(X) for name in TRANSFORMS[:4]},
    "jacobian mode": lambda b: pb.jacobian(square, mode=b)(X), "vmap in_axes": lambda b: pb.vmap(square, in_axes=b)(X),
    "vjp": lambda b: pb.vjp(b, X), "vjp at": lambda b: pb.vjp(square, b), "pull": lambda b: pb.vjp(np.sin, X)[1](b),
    "jvp": lambda b: pb.jvp(b, (X,), (X,)), "jvp at": lambda b: pb.jvp(square, b, (X,)),
    "jvp along": lambda b: pb.jvp(square, (X,), b), "hvp": lambda b: pb.hvp(square, X, b),
    "hvp at": lambda b: pb.hvp(square, b, X), "check_grads": lambda b: pb.check_grads(square, b),
    "check_grads of": lambda b: pb.check_grads(b, X), "audit": lambda b: pb.audit(b, X), "stop": pb.stop_gradient,
    "audit at": lambda b: pb.audit(square, b), "variable": pb.variable, "custom": lambda b: pb.custom_gradient(b)(X),
    "scan of": lambda b: pb.scan(b, 0.0, X), "scan over": lambda b: pb.scan(lambda c, x: (c + x, c), 0.0, b),
    "scan from": lambda b: pb.scan(lambda c, x: (c * x, c), b, X), "cond": lambda b: pb.cond(b, square, square, X),
    "cond of": lambda b: pb.cond(True, b, square, X), "root": lambda b: pb.root(b, 1.0),
    "root at": lambda b: pb.root(lambda x: x * x - 4.0, b), "fixed": lambda b: pb.fixed_point(b, 1.0),
    "minimize": lambda b: pb.minimize(b, X), "minimize step": lambda b: pb.minimize(square, X, step=b, steps=3),
    "while": lambda b: pb.while_loop(lambda x: x < 5.0, lambda x: x + 1.0, b, max_steps=9),
    "set_threads": lambda b: pb.set_threads(b) if type(b) is not int else None,
    "why_nan": lambda b: pb.why_nan(b, X), "why_zero": lambda b: pb.why_zero(square, b),
}  # fmt: skip


def _members():
    """Each parameter of each function and class of the submodules, wrong by itself."""
    right = {"key": KEY, "shape": (3, 2), "n": 4, "count": 3, "seed": 1, "data": 2, "target": np.array([0, 2]),
             "n_in": 2, "n_out": 3, "number": 1, "sizes": [2, 3, 1], "rate": 0.1}  # fmt: skip
    for module in (pb.nn, pb.optim, pb.random):
        for name in module.__all__:
            function = getattr(module, name)
            if not callable(function) or isinstance(function, types.ModuleType) or name in ("static", "Module"):
                continue
            parameters = inspect.signature(function).parameters.values()
            for wrong in parameters:
                given = {
                    p.name: right.get(p.name, X) for p in parameters if p.default is p.empty and p.kind not in (2, 4)
                }
                if wrong.kind not in (2, 4):
                    yield (
                        f"{module.__name__}.{name}({wrong.name})",
                        lambda b, f=function, w=wrong.name, g=given: f(**{**g, w: b}),
                    )


def _trainings():
    """Each argument of `fit`, wrong by itself; `record` makes a folder of any name that is one."""
    X = np.linspace(-1.0, 1.0, 24).reshape(12, 2)
    for name in [name for name in inspect.signature(pb.fit).parameters if name != "record"]:
        right = {"net": pb.nn.MLP([2, 3, 1], seed=0), "X": X, "y": X[:, 0], "epochs": 1, "progress": False}
        yield f"fit({name})", lambda b, given=right, name=name: pb.fit(**{**given, name: b})


CALLS |= dict(_members()) | dict(_trainings())


@pytest.fixture
def young():
    """What is there already is not looked through each time that garbage is collected, which would take minutes."""
    gc.freeze()


@pytest.mark.parametrize("name", random.Random(3).sample(sorted(CALLS), cases(24, len(CALLS))))
@pytest.mark.usefixtures("young")
def test_wrong_arguments_are_told(name):
    threads = pb.set_threads
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for wrong in WRONG:
            beyond = (type(wrong) is int and wrong > 9) or getattr(wrong, "dtype", None) == np.dtype(object)
            if beyond and name.startswith("compile"):
                continue  # machine code has no whole numbers beyond 64 bits, and no objects
            if name.endswith(("(count)", "(n)", "(shape)")) and (
                type(wrong) is bytes or (type(wrong) is int and wrong > 9)
            ):
                continue  # so many there can be
            if name == "fit(epochs)" and type(wrong) is int and wrong > 9:
                continue  # so many, too
            try:
                CALLS[name](wrong)
            except PaybackError as problem:
                told = str(problem)
            except Exception as problem:
                told = "an error of the function's own, or of Python's call of it: one line, and long enough"
                last = traceback.extract_tb(problem.__traceback__)[-1]
                bound = type(problem) is TypeError and BINDING.match(str(problem))
                if last.filename != __file__ and not bound:
                    pytest.fail(f"{name} with {wrong!r}: {type(problem).__name__}: {problem} ({last})")
            else:
                continue
            finally:
                threads(None)
                if wrong is later:
                    gc.collect()  # the coroutine that nobody waited for, while its warning is ignored
            assert "\n" not in told
            assert len(told) > 20


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: np.reshape(pb.variable(X), "abc"), "no array has the shape 'abc'"),
        (lambda: pb.variable(X).reshape(1.5), "no array has the shape 1.5"),
        (lambda: pb.grad(lambda x: x.reshape((3, x[0])).sum())(X), "a floating value stands where a whole"),
        (lambda: pb.optim.Adam(10**400), "the step length is 1000"),
        (lambda: pb.optim.Adam(np.timedelta64(3, "s")), "the step length is np.timedelta64(3,'s')"),
        (lambda: pb.variable([[1.0, 2.0], [3.0]]), "lists of different lengths make no array"),
        (lambda: pb.compile(square)(np.array(["x"])), "an array of dtype <U1 cannot enter a computation"),
        (lambda: train(callbacks=None), "callbacks is None, not a list of functions"),
        (lambda: train(callbacks=print), "not a list of functions"),
        (lambda: train(callbacks=[3]), "a callback is 3"),
        (lambda: train(callbacks=[lambda entry: None]), "the callback <lambda> takes (entry)"),
        (lambda: train(shuffle=None), "shuffle is None"),
        (lambda: train(progress="no"), "progress is 'no'"),
        (lambda: train(loss=np.arange(3)), "the loss is array([0, 1, 2])"),
        (lambda: train(X=[[1.0, 2.0], [3.0]]), "the rows of X differ in length"),
    ],
)
def test_what_is_told(call, what):
    with pytest.raises(PaybackError) as caught:
        call()
    assert what in str(caught.value)
    assert caught.value.why


def train(**kwargs):
    return pb.fit(**{"net": pb.nn.MLP([2, 1], seed=0), "X": np.ones((3, 2)), "y": np.ones(3), "epochs": 1, **kwargs})
