"""Random bits from a key: Philox 4x32-10 (Salmon et al., 2011), counter-based, the same bits everywhere.

A key is a uint32 array of shape (2,).  Bit number i depends on (key, i) alone, so any part of a stream can be
made by anyone, in any order.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
FOLDED = 0xF01D  # the last word of a counter that makes a key, which no stream of words comes to
PIECE = 1 << 14  # of long streams, so that what is computed on the way stays in a cache


def philox(counters: np.ndarray[Any, Any], key: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Philox 4x32-10: (..., n, 4) uint32 counters and a (..., 2) uint32 key -> (..., n, 4) uint32 random words.

    >>> import numpy as np
    >>> [hex(int(word)) for word in philox(np.zeros((1, 4), np.uint32), np.zeros(2, np.uint32))[0]]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (counters[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (key[..., i, None].astype(np.uint64) for i in range(2))
    for _ in range(ROUNDS):
        p0, p1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (p1 >> _HALF) ^ c1 ^ k0,
            p1 & _LOW,
            (p0 >> _HALF) ^ c3 ^ k1,
            p0 & _LOW,
        )
        k0, k1 = (k0 + WEYL[0]) & _LOW, (k1 + WEYL[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def folded(key: np.ndarray[Any, Any], number: Any) -> np.ndarray[Any, Any]:
    """The key that a key and a whole number make: (..., 2) uint32 keys and (...) numbers -> (..., 2) uint32 keys."""
    number = np.asarray(number).astype(np.uint64)
    counters = np.stack([number & _LOW, number >> _HALF, 0 * number, 0 * number + np.uint64(FOLDED)], axis=-1)
    return philox(counters[..., None, :], key)[..., 0, :2]


def random_bits(key: np.ndarray[Any, Any], shape: tuple[int, ...]) -> Any:
    """The first random words of a key's stream, as a uint32 array of the shape; of several keys, (..., *shape)."""
    size, lead = prod(shape), key.shape[:-1]
    blocks = -(-size // 4)
    made = np.empty((*lead, blocks, 4), np.uint32)
    for start in range(0, blocks, PIECE):
        number = np.arange(start, min(start + PIECE, blocks), dtype=np.uint64)
        counters = np.zeros((len(number), 4), np.uint32)
        counters[:, 0], counters[:, 1] = number & _LOW, number >> _HALF
        made[..., start : start + PIECE, :] = philox(counters, key)
    return made.reshape((*lead, 4 * blocks))[..., :size].reshape((*lead, *shape))


def order_of(words: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The orders that random words make: of each row of (..., 2·n) words, the stable order of its n pairs.

    Pairs are sorted with their numbers in their lowest bits, which is several times as fast as sorting numbers by
    pairs and gives the same, unless two pairs agree in all other bits.

    >>> import numpy as np
    >>> order_of(np.array([7, 0, 3, 9, 3, 8], np.uint32))
    array([2, 1, 0])
    """
    wide = words.astype(np.uint64)
    pairs = wide[..., 0::2] << _HALF | wide[..., 1::2]
    n = pairs.shape[-1]
    bits = np.uint64(max(n - 1, 1).bit_length())
    number = np.uint64((1 << int(bits)) - 1)
    mixed = pairs & ~number | np.arange(n, dtype=np.uint64)
    mixed.sort(axis=-1)
    high = mixed >> bits
    if (high[..., 1:] == high[..., :-1]).any():
        return np.argsort(pairs, axis=-1, kind="stable")
    return (mixed & number).astype(np.int64)
