"""Convolutions and pooling of rows of numbers and of images, whose last axis are channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from payback import random
from payback.errors import InputError, ShapeError
from payback.ir.arguments import told
from payback.nn.initializers import INITIALIZERS
from payback.nn.layers import check_size, known
from payback.nn.module import Module, static
from payback.trace.array import Traced


class Conv(Module):
    """Each place's neighborhood times a matrix: cross-correlation with `weight`, plus `bias` (LeCun et al., 1989).

    n_in, n_out: numbers of channels; x is (n, length, n_in) or (n, height, width, n_in): write x[..., None] for one.
    size: of a neighborhood, one number for each axis: (3, 3) for images, (5,) for rows of numbers.
    padding: "valid": neighborhoods lie within x; "same": it is continued with zeros, so the result has its places (all
    of them, or every stride-th).  stride: from one place to the next.
    groups: the channels are so many groups, in order, and each makes its part of the outputs; groups=n_in is each
    channel by itself (depthwise: Chollet, CVPR 2017).  Other options: as of `Linear`.
    Its parameters are `weight`, (*size, n_in // groups, n_out), and `bias`, (n_out,) or None.

    Raises InputError for sizes below 1, groups that do not divide the channels, and unknown names, ShapeError for an x
    that does not fit.

    >>> import numpy as np, payback as pb
    >>> images, key = np.ones((5, 8, 8, 1), np.float32), pb.random.key(0)
    >>> pb.nn.Conv(1, 16, (3, 3), key=key)(images).shape
    (5, 6, 6, 16)
    >>> pb.nn.Conv(1, 16, (3, 3), key=key, padding="same", stride=2)(images).shape
    (5, 4, 4, 16)
    """

    weight: Any
    bias: Any
    stride: int = static()
    padding: str = static()
    groups: int = static()

    @told("pb.nn.Conv")
    def __init__(
        self,
        n_in: int,
        n_out: int,
        size: Sequence[int],
        *,
        key: Any,
        stride: int = 1,
        padding: str = "valid",
        groups: int = 1,
        bias: bool = True,
        initializer: str = "he_normal",
        dtype: Any = np.float32,
    ):
        places = _each(size)
        n_in, n_out = check_size(n_in, "inputs"), check_size(n_out, "outputs")
        self.groups = check_size(groups, "groups")
        if n_in % self.groups or n_out % self.groups:
            raise InputError(f"{n_in} inputs and {n_out} outputs in {groups} groups", why="all groups are alike")
        draw, sums = known(initializer, INITIALIZERS, "initializer"), prod(places) * (n_in // self.groups)
        self.weight = draw(key, sums, n_out, random.floating(dtype)).reshape(*places, n_in // self.groups, n_out)
        self.bias = np.zeros(n_out, dtype) if bias else None
        self.stride = check_size(stride, "places from one to the next")
        if padding not in ("valid", "same"):
            raise InputError(f"padding is {padding!r:.40}", why='it is "valid" or "same"')
        self.padding = padding

    @told("pb.nn.Conv")
    def __call__(self, x: Any) -> Any:
        *size, inner, n_out = self.weight.shape
        x = _checked(x, len(size), inner * self.groups)
        if self.padding == "same":
            x = np.pad(
                x, [(0, 0), *(_beside(n, k, self.stride) for n, k in zip(x.shape[1:-1], size, strict=True)), (0, 0)]
            )
        counts = _counts(x.shape[1:-1], size, self.stride)
        if self.groups == 1:
            y = self._product(x, self.weight)
        elif inner == 1:  # a sum of as many products as neighborhoods have places, each of whole arrays
            x = x if n_out == self.groups else np.repeat(x, n_out // self.groups, axis=-1)
            ends = [self.stride * (n - 1) + 1 for n in counts]
            y = sum(
                x[:, *(slice(k, k + end, self.stride) for k, end in zip(at, ends, strict=True))] * self.weight[*at, 0]
                for at in product(*map(range, size))
            )
        else:
            parts = zip(np.split(x, self.groups, -1), np.split(self.weight, self.groups, -1), strict=True)
            y = np.concatenate([self._product(*part) for part in parts], axis=-1)
        return y if self.bias is None else y + self.bias

    def _product(self, x: Any, weight: Any) -> Any:
        """All neighborhoods times a matrix.  They are a view: compiled, they are read and paid back where they lie."""
        *size, _, _ = weight.shape
        axes = tuple(range(1, len(size) + 1))
        around = sliding_window_view(x, size, axis=axes)[:, *[slice(None, None, self.stride)] * len(size)]
        return np.tensordot(around, weight, (range(-1 - len(size), 0), (len(size), *range(len(size)))))


class _Pool(Module):
    size: tuple[int, ...] = static()

    def __init__(self, size: Sequence[int]):
        self.size = _each(size)

    def _blocks(self, x: Any) -> tuple[Any, tuple[int, ...]]:
        """x with an axis within each block behind that of the blocks, and which axes those are."""
        x = _checked(x, len(self.size), None)
        counts = [n // k for n, k in zip(x.shape[1:-1], self.size, strict=True)]
        _counts(x.shape[1:-1], self.size, 1)
        whole = [n * k for n, k in zip(counts, self.size, strict=True)]
        if whole != list(x.shape[1:-1]):  # else what it is owed would be paid to a part that is all of it
            x = x[:, *map(slice, whole)]
        shape = [extent for pair in zip(counts, self.size, strict=True) for extent in pair]
        return x.reshape(x.shape[0], *shape, x.shape[-1]), tuple(range(2, 2 * len(counts) + 1, 2))


class MaxPool(_Pool):
    """The greatest number of each block of places, channel by channel.

    size: of a block, (2, 2) for images, (2,) for rows of numbers; what is left at the end is dropped.
    Raises InputError for sizes below 1, ShapeError for an x that does not fit; its axes are those of `Conv`.

    >>> import numpy as np, payback as pb
    >>> pb.nn.MaxPool((2,))(np.array([1.0, 3.0, 2.0, 0.0, 9.0]).reshape(1, 5, 1)).ravel()
    array([3., 2.])
    """

    @told("pb.nn.MaxPool")
    def __init__(self, size: Sequence[int]):
        super().__init__(size)

    @told("pb.nn.MaxPool")
    def __call__(self, x: Any) -> Any:
        x, axes = self._blocks(x)
        return x.max(axis=axes)


class MeanPool(_Pool):
    """The mean of each block of places, channel by channel.  size, and what is raised: as of `MaxPool`.

    >>> import numpy as np, payback as pb
    >>> pb.nn.MeanPool((2,))(np.array([1.0, 3.0, 2.0, 0.0, 9.0]).reshape(1, 5, 1)).ravel()
    array([2., 1.])
    """

    @told("pb.nn.MeanPool")
    def __init__(self, size: Sequence[int]):
        super().__init__(size)

    @told("pb.nn.MeanPool")
    def __call__(self, x: Any) -> Any:
        x, axes = self._blocks(x)
        return x.mean(axis=axes)


def _each(size: Any) -> tuple[int, ...]:
    if not isinstance(size, (tuple, list)) or len(size) not in (1, 2):
        raise InputError(f"size is {size!r:.40}", why="it has a number for each axis of places",
                         fix="write (3, 3) for images, (3,) for rows of numbers")  # fmt: skip
    return tuple(check_size(k, "places") for k in size)


def _checked(x: Any, axes: int, channels: int | None) -> Any:
    """x as an array of samples with so many axes of places, and so many channels."""
    if not isinstance(x, Traced):
        x = np.asarray(x)
    if len(x.shape) == axes + 2 and channels in (None, x.shape[-1]):
        return x
    last = "channels" if channels is None else f"channels, {channels} here"
    wanted = f"(samples, {'height, width' if axes == 2 else 'length'}, {last})"
    single = channels in (None, 1) and len(x.shape) == axes + 1
    fix = "write x[..., None] for one channel" if single else None
    if len(x.shape) == axes + 2 and x.shape[1] == channels:
        fix = "channels come last: write np.moveaxis(x, 1, -1)"
    raise ShapeError(f"a layer was given an array of shape {x.shape}", why=f"it wants {wanted}", fix=fix)


def _counts(places: Sequence[int], size: Sequence[int], stride: int) -> list[int]:
    """How many neighborhoods there are along each axis.  Raises ShapeError where there is none."""
    counts = [(n - k) // stride + 1 for n, k in zip(places, size, strict=True)]
    if min(counts) < 1:
        raise ShapeError(f"neighborhoods of {'×'.join(map(str, size))} places in {'×'.join(map(str, places))}",
                         why="none fits", fix='give smaller ones, or padding="same"')  # fmt: skip
    return counts


def _beside(places: int, size: int, stride: int) -> tuple[int, int]:
    """How many zeros go before and behind, so that every stride-th place is the middle of a neighborhood."""
    missing = max((-(-places // stride) - 1) * stride + size - places, 0)
    return missing // 2, missing - missing // 2
