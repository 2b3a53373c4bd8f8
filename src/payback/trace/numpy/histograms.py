"""Histograms: which bin an entry falls into is constant in pieces; weights, widths of bins and edges are not."""

from __future__ import annotations

from typing import Any

import numpy as np

from payback.trace.array import Traced, holds_traced, plain
from payback.trace.dispatch import implements
from payback.trace.numpy.creation import listed
from payback.trace.numpy.map import astype
from payback.trace.numpy.order import in_pieces
from payback.trace.plain_arrays import now
from payback.trace.tree import tree_map


def _plain(x: Any) -> Any:
    return tree_map(plain, x) if isinstance(x, (list, tuple)) else plain(x)


def _edges(a: Any, bins: Any, range: Any, found: Any) -> Any:
    """The edges that NumPy has found, with the history of what they were made from."""
    if np.ndim(bins) == 1 and not isinstance(bins, str):
        return listed(bins) if holds_traced(bins) else found
    if range is None and (not holds_traced(a) or not a.size):
        return found
    low, high = (np.min(a), np.max(a)) if range is None else (now(range[0]), now(range[1]))
    half = 0.5 if plain(low) == plain(high) else 0.0
    made = np.linspace(low - half, high + half, len(found))
    return astype(made, found.dtype) if isinstance(made, Traced) else found


def _places(a: Any, edges: Any) -> Any:
    """The bin of each entry, and whether it has one; the last bin holds its right edge too."""
    at = np.searchsorted(edges, a, "right") - 1
    at = np.where(a == edges[-1], len(edges) - 2, at)
    return at, (a >= edges[0]) & (a <= edges[-1])


@implements(np.histogram)
def histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    """np.histogram: counts are constant, sums of weights and densities are not."""
    a, weights = now(listed(a)), now(listed(weights))
    moving = isinstance(weights, Traced)
    value = np.asarray(in_pieces(a))
    if not moving:
        counts, found = np.histogram(value, _plain(bins), _plain(range), weights=weights)
    else:
        found = np.histogram_bin_edges(value, _plain(bins), _plain(range))
        counts = _sums(_places(value.ravel(), found), weights.ravel(), (len(found) - 1,))
    edges = _edges(a, bins, range, found)
    if density:
        counts = counts / np.diff(edges) / counts.sum()
    return counts, edges


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    a = now(listed(a))
    return _edges(a, bins, range, np.histogram_bin_edges(plain(a), _plain(bins), _plain(range), _plain(weights)))


@implements(np.histogramdd)
def histogramdd(sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    sample, weights = now(sample), now(listed(weights))
    columns = [*sample.T] if getattr(sample, "ndim", 0) == 2 else [now(listed(column)) for column in sample]
    values = [np.asarray(plain(column)) for column in columns]
    moving = isinstance(weights, Traced)
    counts, found = np.histogramdd(values, _plain(bins), _plain(range), weights=None if moving else weights)
    if moving:
        each = [_places(value, edges) for value, edges in zip(values, found, strict=True)]
        inside = np.logical_and.reduce([held for _, held in each])
        at = np.ravel_multi_index([np.where(inside, place, 0) for place, _ in each], counts.shape)
        counts = _sums((at, inside), weights, counts.shape)
    if isinstance(bins, (str, int, np.integer)):
        bins = [bins] * len(columns)
    ranges = [None] * len(columns) if range is None else range
    edges = tuple(_edges(*given) for given in zip(columns, bins, ranges, found, strict=True))
    if density:
        for axis, edge in enumerate(edges):
            counts = counts / np.diff(edge).reshape([-1 if k == axis else 1 for k, _ in enumerate(edges)])
        counts = counts / _total(counts, edges)
    return counts, edges


def _total(density: Any, edges: Any) -> Any:
    """What the counts were in all: those of a density times its bins' volumes."""
    for axis, edge in enumerate(edges):
        density = density * np.diff(edge).reshape([-1 if k == axis else 1 for k, _ in enumerate(edges)])
    return density.sum()


@implements(np.histogram2d)
def histogram2d(x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    bins = now(bins)
    if np.ndim(bins) == 1 and len(bins) != 2:  # the same edges for both, as NumPy has it
        bins = [bins, bins]
    counts, (across, along) = histogramdd([x, y], bins, range, density, weights)
    return counts, across, along


def _sums(places: Any, weights: Any, shape: tuple[int, ...]) -> Any:
    at, inside = places
    made = np.bincount(at[inside], weights[inside], int(np.prod(shape)))
    return astype(made.reshape(shape), weights.dtype)
