"""One number of any result, for a gradient."""

import numpy as np


def told(z):
    """A number that depends on every part of every entry."""
    if isinstance(z, tuple):
        return sum((k + 1) * told(part) for k, part in enumerate(z))
    z = np.asarray(z)
    weights = np.cos(np.arange(z.size)).reshape(z.shape)
    return np.sum(np.real(z) * weights) + np.sum(np.imag(z) * np.flip(weights))
