"""What the tests of the proof have in common: programs, and the way of functions that are not proved."""

import dataclasses
import functools

import numpy as np

import payback as pb
from payback.trace.proof.proved import proved
from payback.trace.proof.pure import Known
from payback.transforms import gradient

X, Y = np.array([0.3, -1.2, 2.0]), np.array([1.5, 0.4, -0.7])
SQUARE = np.array([[2.0, 0.3, 0.1], [0.1, 1.5, -0.2], [0.4, 0.0, 1.0]])


def is_proved(f, *args, wrt=(0,)):
    return [proved(f, args, {}, wrt) for _ in range(3)][-1] == Known(plain=True)


def helper(a, b=2.0):
    return np.tanh(a) * b


class Data(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        X[0] += 1.0
        return getattr(ufunc, method)(*map(np.asarray, inputs), **kwargs)


SUBCLASS = X.view(Data)


def writer(a, b):
    a += b
    return a


def decorated(f):
    @functools.wraps(f)
    def inside(*args, **kwargs):
        return f(*args, **kwargs)

    return inside


@dataclasses.dataclass
class Layer:
    weight: object
    act: object = np.tanh
    kind: str = "dense"

    def __call__(self, x):
        return self.act(x @ self.weight) if self.kind == "dense" else x


class Base:
    scale = 2.0

    @property
    def total(self):
        return self.scale + len(self.layers)

    @staticmethod
    def square(x):
        return x * x

    def loss(self, w, *rest, power=2):
        for layer in self.layers:
            w = layer(w)
        return np.sum(self.square(w) ** power) * self.total + sum(np.sum(part) for part in rest)


class Net(Base):
    def __init__(self):
        self.layers = [Layer(SQUARE), Layer(SQUARE, lambda x: np.maximum(x, 0.1)), Layer(SQUARE, kind="none")]


NET = Net()


class Found:
    def __get__(self, thing, owner):
        X.fill(4.0)
        return X


def generally(f, *args, **kwargs):
    """The way of functions that are not proved."""
    kept = gradient.proved
    gradient.proved = lambda *_: None
    try:
        return pb.value_and_grad(f)(*args, **kwargs)
    finally:
        gradient.proved = kept


def alike(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return all(map(alike, a, b))
    if isinstance(a, Layer):
        return a.act is b.act and alike(a.weight, b.weight)
    return type(a) is type(b) and np.array_equal(a, b, equal_nan=True)
