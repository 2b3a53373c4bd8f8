"""Two interleaving half circles: the smallest table that no straight line separates."""

from __future__ import annotations

from io import StringIO

import numpy as np

from payback.errors import InputError


def moons(n: int = 1000, noise: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """`n` points on two half circles of radius 1, and the number of the moon that each belongs to.

    The upper moon is (cos t, sin t), the lower (1 − cos t, ½ − sin t), with t in even steps from 0 to π; Gaussian
    noise with standard deviation `noise` is added to both coordinates.  The upper moon comes first, with n // 2 of the
    points; within a moon they are in the order of t.  The same `seed` draws the same points.

    Returns X, float64 (n, 2), and y, int64 (n,): 0 for the upper moon, 1 for the lower.

    Raises InputError for n < 2, or a noise that is negative or not finite.

    >>> X, y = moons(n=4, noise=0.0)
    >>> print(X.round(6) + 0.0)
    [[ 1.   0. ]
     [-1.   0. ]
     [ 0.   0.5]
     [ 2.   0.5]]
    >>> y
    array([0, 0, 1, 1])
    """
    if n < 2:
        raise InputError(f"moons of {n} points", why="each of the two moons needs at least one point")
    if not 0 <= noise < np.inf:
        raise InputError(f"moons with noise {noise}", why="a standard deviation is finite and not negative")
    upper, lower = np.linspace(0, np.pi, n // 2), np.linspace(0, np.pi, n - n // 2)
    X = np.concatenate(
        [np.stack([np.cos(upper), np.sin(upper)], 1), np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], 1)]
    )
    X += noise * np.random.default_rng(seed).standard_normal(X.shape)
    return X, np.repeat(np.array([0, 1], dtype=np.int64), [len(upper), len(lower)])


def moons_csv() -> str:
    """The points of `moons()` as CSV text, with six decimals: beyond them cos and sin differ by platform."""
    X, y = moons()
    text = StringIO()
    text.write("x,y,moon\n")
    for (x1, x2), lower in zip(X, y, strict=True):
        text.write(f"{x1:.6f},{x2:.6f},{'lower' if lower else 'upper'}\n")
    return text.getvalue()
