"""`surface`: the cost around a point, on a grid along one or two directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError
from payback.optim.minimize import flat
from payback.optim.schedules import positive
from payback.trace.tree import leaves, same_structure, tree_map, unflatten


@dataclass(frozen=True)
class Surface:
    """Costs on a grid: costs[i] (or costs[i, j]) is the cost at `at + axes[0][i]·d0 (+ axes[1][j]·d1)`.

    path: the coordinates of a descent's points in the directions, (points, directions), by least squares;
    path_costs: the costs at the points as they lie in the grid's plane; off_plane: how far each point is from it.
    """

    axes: tuple[np.ndarray[Any, Any], ...]
    costs: np.ndarray[Any, Any]
    directions: tuple[Any, ...] = field(repr=False)
    path: np.ndarray[Any, Any] | None = None
    path_costs: np.ndarray[Any, Any] | None = None
    off_plane: np.ndarray[Any, Any] | None = None


def surface(
    cost: Callable[[Any], Any],
    at: Any,
    directions: Sequence[Any] | None = None,
    *,
    extent: float | None = None,
    points: int = 41,
    path: Sequence[Any] | None = None,
    seed: int = 0,
) -> Surface:
    """The cost on a grid around `at`.

    cost: returns a scalar.  at: a number, array or container of them.
    directions: one or two of the same structure as `at`.  Without them: the coordinate itself if `at` is one number,
    both coordinates if it is two, else two random directions scaled leaf by leaf to the norm of `at`
    (filter normalization, Li et al., NeurIPS 2018).
    extent: the grid runs from −extent to +extent; by default just past the path, or 1.
    points: of the grid along each direction.  path: a descent's points (`minimize(...).path`).

    Returns a Surface; costs are NaN where the function is not defined.
    Raises InputError for directions and points that do not fit, and for directions that depend on each other.

    >>> import payback as pb
    >>> f = lambda w: w**4 - 3 * w**2 + w
    >>> found = pb.minimize(f, 2.0)
    >>> pb.surface(f, found.x, path=found.path).costs.shape
    (41,)
    """
    size = flat(at).size
    if directions is None:
        directions = _axes(at, size) if size <= 2 else _random(at, seed)
    if not 1 <= len(directions) <= 2 or not all(same_structure(at, d) for d in directions):
        raise InputError(f"{len(directions)} directions", why="surface wants one or two, of the structure of the point")
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise InputError(f"points is {points!r}", why="a grid has at least 2 points along a direction")
    basis = np.stack([flat(d) for d in directions], axis=1)
    if basis.shape[0] != size or np.linalg.matrix_rank(basis) < basis.shape[1]:
        raise InputError("the directions do not span a grid", why="they do not fit the point, are zero or parallel")

    def cost_at(coordinates: np.ndarray[Any, Any]) -> float:
        moved = tree_map(
            lambda p, *ds: p + sum((float(c) * d for c, d in zip(coordinates, ds, strict=True)), 0.0 * p),
            at,
            *directions,
        )
        return float(cost(moved))

    found = off = None
    if path is not None:
        _check_path(path, at)
        steps = np.stack([flat(p) for p in path], axis=1) - flat(at)[:, None]
        coordinates = np.linalg.lstsq(basis, steps, rcond=None)[0]
        found, off = coordinates.T, np.linalg.norm(steps - basis @ coordinates, axis=0)
    if extent is None:
        extent = 1.0 if found is None else 1.1 * float(np.max(np.abs(found), initial=0.0)) or 1.0
    positive("extent", extent)
    line = np.linspace(-extent, extent, points)
    axes = tuple(line for _ in directions)
    with np.errstate(all="ignore"):
        grid = np.array(
            [cost_at(np.array(c)) for c in np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))]
        )
        path_costs = None if found is None else np.array([cost_at(c) for c in found])
    return Surface(axes, grid.reshape([points] * len(axes)), tuple(directions), found, path_costs, off)


def _check_path(path: Sequence[Any], at: Any) -> None:
    if not len(path):
        raise InputError("the path has no points", fix="give the path of a descent, or leave it away")
    for i, point in enumerate(path):
        if not same_structure(at, point) or any(
            np.shape(p) != np.shape(a) for p, a in zip(leaves(point), leaves(at), strict=True)
        ):
            raise InputError(f"path[{i}] is not like the point", why="it has another structure or other shapes")


def _axes(at: Any, size: int) -> list[Any]:
    directions = []
    for i in range(size):
        parts, seen = [], 0
        for leaf in leaves(at):
            unit = np.zeros(np.shape(leaf))
            if seen <= i < seen + unit.size:
                unit.reshape(-1)[i - seen] = 1.0
            seen += unit.size
            parts.append(float(unit) if unit.ndim == 0 else unit)
        directions.append(unflatten(at, iter(parts)))
    return directions


def _random(at: Any, seed: int) -> list[Any]:
    directions = []
    for key in random.split(random.key(seed), 2):
        parts = []
        for leaf, leaf_key in zip(leaves(at), random.split(key, len(leaves(at))), strict=True):
            drawn = np.asarray(random.normal(leaf_key, np.shape(leaf)))
            scale = np.linalg.norm(np.asarray(leaf)) / max(float(np.linalg.norm(drawn)), np.finfo(float).tiny)
            parts.append((drawn * (scale or 1.0)).astype(np.asarray(leaf).dtype))
        directions.append(unflatten(at, iter(parts)))
    return directions
