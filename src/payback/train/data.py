"""Rows: what may be trained on, what each counts, and how they are split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from payback import random
from payback.errors import InputError, ShapeError

Array = np.ndarray[Any, Any]


def check_rows(
    X: Any, y: Any, weights: Any, dtype: np.dtype[Any], as_it_is: Callable[[Array], bool] = lambda X: False
) -> tuple[Array, Array, Array | None]:
    """X, y and the sample weights as arrays that can be trained on; floating ones in `dtype`.

    as_it_is: whether an X of whole numbers is to stay one.
    Raises ShapeError when the numbers of rows differ, InputError for values that are not finite numbers.
    """
    given, X, y = X, _numbers(X, "X"), _numbers(y, "y")
    if X.ndim < 2:
        raise ShapeError(
            f"X has the shape {X.shape}",
            why="its rows are samples and its columns features",
            fix="write X[:, None] for one feature, X[None, :] for one sample",
        )
    if y.ndim == 0 or len(X) != len(y):
        several = isinstance(given, (list, tuple)) and X.shape[1:2] == y.shape[:1]
        fix = "put arrays side by side, np.concatenate(X, axis=1): a network may take its columns apart"
        raise ShapeError(f"X has {len(X)} rows and y has the shape {y.shape}", why="each sample needs its target",
                         fix=fix if several else None)  # fmt: skip
    if len(X) == 0:
        raise InputError("X has no rows", why="there is nothing to learn from")
    if weights is not None:
        weights = in_dtype(_numbers(weights, "sample_weight"), dtype, "sample_weight")
        if weights.shape != (len(X),):
            raise ShapeError(
                f"sample_weight has the shape {weights.shape}",
                why=f"there are {len(X)} samples",
                fix="give one number a sample",
            )
        if weights.min() < 0 or not weights.any():
            raise InputError(
                "sample_weight holds negative numbers or only zeros", why="a weight says how much a sample counts"
            )
        if not weights.sum(dtype=np.float64) < np.finfo(dtype).max:
            raise InputError("sample_weight is too large", why=f"its sum is beyond the largest {dtype}",
                             fix="divide all weights by the largest")  # fmt: skip
    y = in_dtype(y, dtype, "y") if y.dtype.kind == "f" else np.ascontiguousarray(y)
    if X.dtype.kind in "iu" and as_it_is(X):
        return np.ascontiguousarray(X, np.int64), y, weights
    return in_dtype(X, dtype, "X"), y, weights


def weights_of_classes(y: Any, class_weight: Any) -> dict[int, float]:
    """The weight of each class that is in y.  Raises InputError for what gives classes none."""
    labels = _labels(_numbers(y, "y"))
    if labels.ndim != 1 or (labels != np.rint(labels)).any():
        raise InputError("class_weight is given for targets that are no classes", why="a class is a whole number",
                         fix="give sample_weight, one number a sample")  # fmt: skip
    classes, counts = np.unique(labels, return_counts=True)
    known = classes.astype(np.int64).tolist()
    if isinstance(class_weight, str) and class_weight == "balanced":
        each = len(labels) / (len(known) * counts)
    elif isinstance(class_weight, Mapping):
        if other := [label for label in class_weight if label not in known]:
            raise InputError(f"class_weight names the class {other[0]!r:.40}", why=f"y has the classes {known!r:.80}",
                             fix="leave it out, or look at y")  # fmt: skip
        each = _numbers([class_weight.get(label, 1.0) for label in known], "class_weight").astype(float)
    else:
        raise InputError(f"class_weight is {class_weight!r:.60}", why='it is "balanced", or numbers by class',
                         fix="write class_weight={0: 1.0, 1: 5.0}")  # fmt: skip
    if not (each >= 0).all():
        raise InputError("class_weight holds negative numbers", why="a weight says how much a sample counts")
    return dict(zip(known, each.tolist(), strict=True))


def _labels(y: Array) -> Array:
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def weighted_by_class(y: Any, by_class: Mapping[int, float], weights: Any = None) -> Array:
    """Sample weights: those of the samples' classes, 1 for others, times `weights` where there are any.

    Raises ShapeError for weights that are not one a sample.
    """
    classes, which = np.unique(_labels(_numbers(y, "y")), return_inverse=True)
    made: Array = np.array([by_class.get(label, 1.0) for label in classes.tolist()])[which.reshape(-1)]
    if weights is None:
        return made
    given = _numbers(weights, "sample_weight")
    if given.shape != made.shape:
        raise ShapeError(f"sample_weight has the shape {given.shape}", why=f"there are {len(made)} samples",
                         fix="give one number a sample")  # fmt: skip
    return made * given


def in_dtype(array: Array, dtype: np.dtype[Any], name: str) -> Array:
    with np.errstate(over="ignore", under="ignore"):
        made: Array = np.ascontiguousarray(array, dtype)
    if not np.isfinite(made).all():
        place = _first(~np.isfinite(made))
        raise InputError(
            f"{name}[{', '.join(map(str, place))}] is {array[place]}",
            why=f"it is too large for {dtype}",
            fix="bring the columns to a common scale, or give a float64 network",
        )
    return made


def _first(wrong: Array) -> tuple[int, ...]:
    """The place of the first True."""
    return tuple(int(i) for i in np.argwhere(wrong)[0])


def _numbers(values: Any, name: str) -> Array:
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise InputError(f"{name} is a sparse matrix", why="training wants all entries", fix=f"write {name}.toarray()")
    if isinstance(values, dict) or (name == "y" and isinstance(values, tuple) and np.ndim(values[:1]) > 1):
        what = f"{name} is a {type(values).__name__} of {len(values)} arrays"
        raise InputError(what, why="rows are those of one array",
                         fix="put them side by side, np.column_stack([a, b]), and take the columns apart in the "
                         + ("network" if name == "X" else "loss"))  # fmt: skip
    if isinstance(values, np.ma.MaskedArray) and (masked := np.ma.getmaskarray(values)).any():
        raise InputError(
            f"{name}[{', '.join(map(str, _first(masked)))}] is masked",
            why="missing values cannot be trained on",
            fix="fill them or drop those rows",
        )
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(
            f"the rows of {name} differ in length",
            why="training wants a table of numbers",
            fix="give every row the same number of entries",
        ) from None
    if array.dtype.kind == "b":
        array = array.astype(np.int64)
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{name} holds {array.dtype}",
            why="training wants numbers",
            fix="number the classes: classes, y = np.unique(y, return_inverse=True)"
            if name == "y"
            else "encode text and dates first, or use payback train on the table",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = _first(~np.isfinite(array))
        raise InputError(
            f"{name}[{', '.join(map(str, place))}] is {array[place]}",
            why="missing and infinite values cannot be trained on",
            fix="fill them or drop those rows",
        )
    return array


def split_rows(n: int, fraction: float, key: Any, classes: Array | None = None) -> tuple[Array, Array]:
    """Two sorted arrays of row numbers: the larger part, and a random `fraction` of the n rows; the last ones where
    there is no key.

    classes: (n,) labels; each class is then split by itself, as evenly as whole rows allow (largest remainders), and
    every class keeps at least one row in the first part.
    """
    wanted = round(n * fraction)
    if key is None:
        return np.arange(n - wanted), np.arange(n - wanted, n)
    order = random.permutation(key, n)
    if classes is None:
        return np.sort(order[wanted:]), np.sort(order[:wanted])
    labels, counts = np.unique(classes, return_counts=True)
    shares = counts * fraction
    taken = np.floor(shares).astype(int)
    for i in np.argsort(taken - shares, kind="stable")[: max(0, wanted - taken.sum())]:
        taken[i] += 1
    taken = np.minimum(taken, counts - 1)
    ordered = classes[order]
    part = np.concatenate([order[ordered == label][:count] for label, count in zip(labels, taken, strict=True)])
    rest = np.ones(n, bool)
    rest[part] = False
    return np.flatnonzero(rest), np.sort(part)
