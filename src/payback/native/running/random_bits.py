"""Random words of many keys at once, by the kernel that compiled programs use."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from payback.native.codegen import library
from payback.native.lower.random import Philox
from payback.native.running.table import base_table


def random_bits(keys: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """What `ops.philox.random_bits` gives for (k, 2) keys: (k, *shape) uint32 words.

    >>> import numpy as np
    >>> from payback.ops import philox
    >>> keys = np.array([[0, 1], [2, 3]], np.uint32)
    >>> bool((random_bits(keys, (5,)) == philox.random_bits(keys, (5,))).all())
    True
    """
    keys = np.ascontiguousarray(keys, np.uint32)
    words = np.empty((len(keys), *shape), np.uint32)
    bases, args = base_table(2), np.array([0, 0, 1, 0, len(keys), prod(shape)], np.int64)
    bases[:] = keys.ctypes.data, words.ctypes.data
    run = library.PROTOTYPE(library.get([Philox()])(Philox()))
    run(bases.ctypes.data, args.ctypes.data)
    return words
