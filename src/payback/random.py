"""Random numbers from explicit keys: the same key gives the same numbers, on every machine and in any order.

A key is a uint32 array of shape (2,).  Draw with a key once; for more, split it.

>>> import payback as pb
>>> key = pb.random.key(0)
>>> for_weights, for_noise = pb.random.split(key)
>>> pb.random.normal(for_weights, (2, 3)).shape
(2, 3)
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from payback.elsewhere import hook
from payback.errors import InputError
from payback.ir.arguments import told
from payback.ops.philox import PIECE, folded, order_of, random_bits
from payback.trace.array import Traced
from payback.trace.dispatch import emit

__all__ = ["bernoulli", "fold_in", "key", "normal", "permutation", "split", "uniform"]

if not TYPE_CHECKING:  # which would let it pass any name
    __getattr__ = hook("payback.random")

Array = np.ndarray[Any, Any]


@told("pb.random.key")
def key(seed: int) -> Array:
    """The key of a seed, a whole number from 0 to 2**64 − 1.

    Returns a read-only uint32 array of shape (2,).  Raises InputError for anything else.

    >>> import payback as pb
    >>> pb.random.key(7)
    array([7, 0], dtype=uint32)
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise InputError(f"the seed is {seed!r}", why="a seed is a whole number from 0 to 2**64 − 1")
    made = np.array([int(seed) & 0xFFFFFFFF, int(seed) >> 32], np.uint32)
    made.flags.writeable = False
    return made


def floating(dtype: Any) -> Any:
    """The dtype, checked.  Raises InputError unless its numbers are floating ones."""
    if np.dtype(dtype).kind != "f":
        raise InputError(f"the dtype is {np.dtype(dtype)}", why="what is drawn are floating numbers")
    return np.dtype(dtype)


def checked(key: Any) -> Any:
    """The key.  Raises InputError for what is none."""
    if not isinstance(key, (np.ndarray, Traced)) or key.shape != (2,) or key.dtype != np.uint32:
        raise InputError(
            "a random function was given no key", why=f"it got {key!r}", fix="make one with pb.random.key(seed)"
        )
    return key


@told("pb.random.fold_in")
def fold_in(key: Array, number: int) -> Array:
    """Another key, made from a key and a whole number (a step, a layer): independent streams without a chain.

    Raises InputError for what is no key or no whole number.

    >>> import payback as pb
    >>> keys = [pb.random.fold_in(pb.random.key(0), step) for step in range(3)]
    >>> len({tuple(key) for key in keys})
    3
    """
    if isinstance(key, Traced) or isinstance(number, Traced):
        return emit("fold_in", checked(key), number)
    made = folded(checked(key), number & 0xFFFFFFFFFFFFFFFF).copy()
    made.flags.writeable = False
    return made


@told("pb.random.split")
def split(key: Array, count: int = 2) -> list[Array]:
    """`count` independent keys, in a list; the key itself is not to be used again.

    Raises InputError for what is no key.

    >>> import payback as pb
    >>> for_weights, for_noise = pb.random.split(pb.random.key(0))
    """
    return [fold_in(key, i) for i in range(count)]


@told("pb.random.uniform")
def uniform(
    key: Array, shape: tuple[int, ...] = (), dtype: Any = np.float64, low: float = 0.0, high: float = 1.0
) -> Any:
    """Uniform on [low, high), `shape` entries of a floating dtype.

    key: used for this draw alone.  Bits are those of Philox 4x32-10 (Salmon et al., SC 2011).
    Raises InputError for what is no key, shape or floating dtype.

    >>> import payback as pb
    >>> drawn = pb.random.uniform(pb.random.key(0), (1000,), low=-1.0, high=1.0)
    >>> drawn.dtype, bool(abs(drawn).max() < 1.0)
    (dtype('float64'), True)
    """
    dtype, shape = floating(dtype), (shape,) if isinstance(shape, int) else tuple(shape)
    size = prod(shape)
    if isinstance(checked(key), Traced):  # the same bits, with the rows of the table
        if dtype == np.float64:
            words = emit("random_bits", key, shape=(2 * size,)).astype(np.float64)
            unit = (words[0::2] * 2.0**21 + np.floor(words[1::2] * 2.0**-11)) * 2.0**-53
        else:
            words = emit("random_bits", key, shape=(size,)).astype(np.float64)
            unit = np.floor(words * 2.0**-8).astype(np.float32) * np.float32(2.0**-24)
    elif dtype == np.float64:
        bits, unit = random_bits(checked(key), (2 * size,)), np.empty(size)
        for start in range(0, size, PIECE):
            words = bits[2 * start : 2 * (start + PIECE)].astype(np.uint64)
            unit[start : start + PIECE] = (words[0::2] << np.uint64(32) | words[1::2]) >> np.uint64(11)
        unit *= 2.0**-53
    else:
        unit = (random_bits(checked(key), (size,)) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (unit * (high - low) + low).astype(dtype).reshape(shape)[()]


@told("pb.random.normal")
def normal(key: Array, shape: tuple[int, ...] = (), dtype: Any = np.float64) -> Any:
    """Standard normal numbers, by Box and Muller's transform (Ann. Math. Stat. 29, 1958).

    key: used for this draw alone; `shape` entries of a floating dtype.
    Raises InputError for what is no key, shape or floating dtype.

    >>> import numpy as np, payback as pb
    >>> pb.random.normal(pb.random.key(0), (2, 3), np.float32).shape
    (2, 3)
    """
    dtype, shape = floating(dtype), (shape,) if isinstance(shape, int) else tuple(shape)
    half = (prod(shape) + 1) // 2
    u = uniform(key, (2 * half,))
    if not isinstance(u, Traced):
        made = np.empty(2 * half, dtype)
        for start in range(0, half, PIECE):
            a, b = u[:half][start : start + PIECE], u[half:][start : start + PIECE]
            radius, angle = np.sqrt(-2.0 * np.log1p(-a)), 2.0 * np.pi * b
            made[:half][start : start + PIECE] = radius * np.cos(angle)
            made[half:][start : start + PIECE] = radius * np.sin(angle)
        return made[: prod(shape)].reshape(shape)[()]
    radius, angle = np.sqrt(-2.0 * np.log1p(-u[:half])), 2.0 * np.pi * u[half:]
    return (
        np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[: prod(shape)].astype(dtype).reshape(shape)[()]
    )


@told("pb.random.bernoulli")
def bernoulli(key: Array, probability: float = 0.5, shape: tuple[int, ...] = ()) -> Any:
    """Booleans, each True with this probability, to 32 bits of it: a mask, the toss of a coin.

    key: used for this draw alone; probability: a number from 0 to 1.
    Raises InputError for others, and for what is no key.

    >>> import payback as pb
    >>> pb.random.bernoulli(pb.random.key(0), 0.25, (10000,)).mean().round(2)
    np.float64(0.25)
    """
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if isinstance(probability, bool) or not 0 <= probability <= 1:
        raise InputError(f"the probability is {probability!r}", why="it is a number from 0 to 1")
    least = round(probability * 2**32)
    words = emit("random_bits", key, shape=shape) if isinstance(checked(key), Traced) else random_bits(key, shape)
    return words <= np.uint32(least - 1) if least else np.zeros(shape, bool)[()]


@told("pb.random.permutation")
def permutation(key: Array, n: int) -> Array:
    """A random order of range(n), as int64.

    Raises InputError for a traced key: an order decides places.

    >>> import payback as pb
    >>> sorted(pb.random.permutation(pb.random.key(0), 5).tolist())
    [0, 1, 2, 3, 4]
    """
    if isinstance(key, Traced):
        raise InputError("permutation was given a key whose value is not known while a function is traced",
                         why="an order decides places", fix="draw it outside, and give it as an argument")  # fmt: skip
    return order_of(random_bits(checked(key), (2 * n,)))
