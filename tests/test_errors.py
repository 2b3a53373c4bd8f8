"""Every error class shows what · where · why · what to do, on one line, and is what one would catch."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import payback as pb
from payback import errors
from payback.trace.abstract import trace


def changed_variable():
    w = pb.variable(1.0, name="w")
    y = w * w
    w.value = 2.0
    y.backward()


def compiled_branch(x):
    return x if x > 0 else -x


def wrong_derivative(x):
    return x * pb.stop_gradient(x)


def model_file():
    raise errors.ModelFileError(
        "the file model.safetensors is 12 bytes long", where="folder m", why="its header says 4096", fix="save it again"
    )


def cost_is_nan():
    raise errors.NonFiniteError(
        "the cost became NaN", where="step 17", why="the step length is too large", fix="try --lr 0.001"
    )


# for each class: how a user meets it, and its text (… stands for this file's path)
SHOWN = {
    "PaybackError": (lambda: (_ for _ in ()).throw(errors.PaybackError("something is wrong")), "something is wrong."),
    "InputError": (lambda: pb.random.key(-1), "the seed is -1: a seed is a whole number from 0 to 2**64 − 1."),
    "ShapeError": (
        lambda: pb.grad(lambda x: (x + np.ones(4)).sum())(np.ones(3)),
        "shapes (3,) and (4,) do not broadcast together in add (…test_errors.py:N in <lambda>: x + np.ones(4)): "
        "(3,) from an argument; (4,) from …test_errors.py:N in <lambda>: x + np.ones(4). "
        "Give each of the 3 a row of its own: x[:, None] of shape (3, 1).",
    ),
    "ArgumentError": (
        lambda: pb.optim.Adam(lr=0.1),
        "pb.optim.Adam has no argument 'lr' (…test_errors.py:N in <lambda>: pb.optim.Adam(lr=0.1)): it takes rate, "
        "clip_norm, beta1, beta2, epsilon. Write rate=….",
    ),
    "MissingNameError": (
        lambda: exec("from payback import jit", {}),
        "'jit' cannot be imported from 'payback'. Use pb.compile(f).",
    ),
    "DifferentiationError": (
        lambda: pb.grad(lambda w: w)(np.array([1, 2])),
        "w is an array of int64 and has no derivative: integers and booleans do not vary continuously. "
        "Give w.astype(float), or leave it out of argnums.",
    ),
    "UnsupportedError": (
        lambda: pb.grad(lambda x: np.linalg.qr(x, mode="raw")[0].sum())(np.eye(2)),
        "np.linalg.qr(mode='raw') of a traced matrix of shape (2, 2) "
        '(…test_errors.py:N in <lambda>: np.linalg.qr(x, mode="raw")): '
        "it is not determined by the matrix alone, so it has no derivative. Use mode='reduced' or 'r'.",
    ),
    "MissingAttributeError": (
        lambda: pb.grad(lambda x: x.tobytes())(np.ones(3)),
        ".tobytes of a traced array has no derivative in payback (…test_errors.py:N in <lambda>: x.tobytes). "
        "Write it with NumPy functions that have one; for the bare numbers write pb.stop_gradient(x).",
    ),
    "TraceError": (
        lambda: trace(compiled_branch, 1.0),
        "a value that is looked at is not known while a function is compiled "
        "(…test_errors.py:N in compiled_branch: x > 0): compiled code is traced with shapes only, "
        "as are vmap and the bodies of scan, cond and while_loop, so no "
        "number can be looked at and no branch taken. "
        "Use np.where or pb.cond instead of if, or give what decides it as a plain argument.",
    ),
    "MutationError": (
        changed_variable,
        "the variable w was changed after this result was computed (…test_errors.py:N in changed_variable: w.value): "
        "the gradient would belong to neither value. Call backward() before changing it, or compute the result again.",
    ),
    "FieldError": (
        lambda: setattr(pb.nn.Flatten(), "size", 3),
        "Flatten has no field 'size': what is not declared would not be trained, nor saved. "
        "Write `size: np.ndarray` in the class Flatten, or `size: int = pb.nn.static()` for an option.",
    ),
    "ModelFileError": (
        model_file,
        "the file model.safetensors is 12 bytes long (folder m): its header says 4096. Save it again.",
    ),
    "GradientCheckError": (
        lambda: pb.check_grads(wrong_derivative, 2.0),
        "the derivative of wrong_derivative by argument 0 is N, finite differences give N (along a random direction): "
        "they differ by N, more than the tolerance N. Check the rule, or whether the function is smooth here.",
    ),
    "NonFiniteError": (cost_is_nan, "the cost became NaN (step 17): the step length is too large. Try --lr 0.001."),
}
CLASSES = {name: c for name, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.PaybackError)}


def test_every_class_is_shown():
    assert set(SHOWN) == set(CLASSES)


def masked(text):
    import re

    text = re.sub(r"[^ (]*test_errors\.py:\d+", "…test_errors.py:N", text)
    return (
        re.sub(r"(?<=is |ve |by |ce )-?\d+\.?\d*(e-?\d+)?(?=[,\s(.])", "N", text)
        if "finite differences" in text
        else text
    )


@pytest.mark.parametrize("name", SHOWN)
def test_the_text(name):
    cause, text = SHOWN[name]
    with pytest.raises(CLASSES[name]) as raised:
        cause()
    assert type(raised.value) is CLASSES[name]
    assert masked(str(raised.value)) == text
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("InputError", ValueError),
        ("ShapeError", ValueError),
        ("DifferentiationError", TypeError),
        ("UnsupportedError", TypeError),
        ("MissingAttributeError", AttributeError),
        ("TraceError", TypeError),
        ("MutationError", RuntimeError),
        ("FieldError", AttributeError),
        ("ModelFileError", ValueError),
        ("GradientCheckError", AssertionError),
        ("NonFiniteError", ArithmeticError),
    ],
)
def test_what_a_python_programmer_would_catch(name, builtin):
    assert issubclass(CLASSES[name], builtin)


def test_exit_codes():
    assert {name: c.exit_code for name, c in CLASSES.items()} == dict.fromkeys(CLASSES, 2) | {"NonFiniteError": 3}


def test_punctuation():
    assert str(errors.InputError("what", fix="is it a file?")) == "what. Is it a file?"
    assert str(errors.InputError("what", why="why", fix="do this.")) == "what: why. Do this."
    error = errors.InputError("what", where="here", why="why", fix="fix")
    assert (error.what, error.where, error.why, error.fix) == ("what", "here", "why", "fix")
