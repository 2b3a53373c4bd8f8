"""Initial weights, from a key.

Glorot & Bengio (AISTATS 2010) for symmetric activations; He, Zhang, Ren & Sun (ICCV 2015) for rectifiers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from payback import random
from payback.ir.arguments import told
from payback.random import floating

Initializer = Callable[[Any, int, int, Any], Any]


@told("pb.nn.he_normal")
def he_normal(key: Any, n_in: int, n_out: int, dtype: Any = np.float32) -> Any:
    """Normal with variance 2 / n_in, shape (n_in, n_out).

    key: of `pb.random`; dtype: floating.  For rectifiers: He, Zhang, Ren & Sun (ICCV 2015).
    Raises InputError for what is no key, number of units or floating dtype.

    >>> import payback as pb
    >>> weight = pb.nn.he_normal(pb.random.key(0), 300, 200)
    >>> weight.shape, round(float(weight.var() * 300), 1)
    ((300, 200), 2.0)
    """
    return (random.normal(key, (n_in, n_out)) * sqrt(2 / n_in)).astype(floating(dtype))


@told("pb.nn.he_uniform")
def he_uniform(key: Any, n_in: int, n_out: int, dtype: Any = np.float32) -> Any:
    """Uniform on ±√(6 / n_in), shape (n_in, n_out).

    key: of `pb.random`; dtype: floating.  For rectifiers: He, Zhang, Ren & Sun (ICCV 2015).
    Raises InputError for what is no key, number of units or floating dtype.

    >>> import payback as pb
    >>> weight = pb.nn.he_uniform(pb.random.key(0), 300, 200)
    >>> weight.shape, round(float(weight.max() ** 2 * 300), 1)
    ((300, 200), 6.0)
    """
    bound = sqrt(6 / n_in)
    return random.uniform(key, (n_in, n_out), low=-bound, high=bound).astype(floating(dtype))


@told("pb.nn.glorot_normal")
def glorot_normal(key: Any, n_in: int, n_out: int, dtype: Any = np.float32) -> Any:
    """Normal with variance 2 / (n_in + n_out), shape (n_in, n_out).

    key: of `pb.random`; dtype: floating.  For symmetric activations: Glorot & Bengio (AISTATS 2010).
    Raises InputError for what is no key, number of units or floating dtype.

    >>> import payback as pb
    >>> weight = pb.nn.glorot_normal(pb.random.key(0), 300, 200)
    >>> weight.shape, round(float(weight.var() * 500), 1)
    ((300, 200), 2.0)
    """
    return (random.normal(key, (n_in, n_out)) * sqrt(2 / (n_in + n_out))).astype(floating(dtype))


@told("pb.nn.glorot_uniform")
def glorot_uniform(key: Any, n_in: int, n_out: int, dtype: Any = np.float32) -> Any:
    """Uniform on ±√(6 / (n_in + n_out)), shape (n_in, n_out).

    key: of `pb.random`; dtype: floating.  For symmetric activations: Glorot & Bengio (AISTATS 2010).
    Raises InputError for what is no key, number of units or floating dtype.

    >>> import payback as pb
    >>> weight = pb.nn.glorot_uniform(pb.random.key(0), 300, 200)
    >>> weight.shape, round(float(weight.max() ** 2 * 500), 1)
    ((300, 200), 6.0)
    """
    bound = sqrt(6 / (n_in + n_out))
    return random.uniform(key, (n_in, n_out), low=-bound, high=bound).astype(floating(dtype))


INITIALIZERS: dict[str, Initializer] = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "glorot_normal": glorot_normal,
    "glorot_uniform": glorot_uniform,
}


def initializer_for(activation: str) -> str:
    """Glorot for what is odd or bounded, He for rectifiers of any kind."""
    return "glorot_uniform" if activation in ("tanh", "sigmoid", "identity") else "he_normal"
