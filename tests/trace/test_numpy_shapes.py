"""NumPy's manipulation chapter: the value is NumPy's, derivatives are right in every mode."""

from __future__ import annotations

import numpy as np

from ops import calls
from ops.calls import table

G = np.random.default_rng(12)
V, M, T, S = G.normal(size=5), G.normal(size=(3, 4)), G.normal(size=(2, 3, 4)), np.float64(1.25)
Q = G.normal(size=(3, 3))
PADS = [2, (1, 3), ((1, 2), (0, 5)), ((0, 0), (2, 1))]
MODES = ["constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"]
EXACT = [mode for mode in MODES if mode not in ("linear_ramp", "mean")]
VERSION = np.lib.NumpyVersion(np.__version__)

# fmt: off
# ruff: noqa: E501 (a table of calls)
CASES = [
    *table(
        (np.ravel, T), (lambda x: np.ravel(x, "F"), T), (lambda x: x.flatten(order="F"), T), (lambda x: x.ravel("K"), M),
        (lambda x: np.reshape(x, (4, 3), order="F"), M), (lambda x: x.reshape(2, -1, order="F"), M), (lambda x: np.reshape(x, -1, order="A"), M),
        (lambda x: np.transpose(x, (2, 0, 1)), T), (lambda x: np.permute_dims(x, (1, 0, 2)), T), (np.matrix_transpose, T),
        (lambda x: np.moveaxis(x, [0, 1], [-1, 0]), T), (lambda x: np.rollaxis(x, 2), T), (lambda x: np.rollaxis(x, 0, 3), T),
        (lambda x: np.swapaxes(x, -1, 0), T), (lambda x: np.squeeze(x[None, :, None], (0, 2)), M), (lambda x: np.expand_dims(x, (0, -1)), M),
        (np.rot90, M), (lambda x: np.rot90(x, 2), M), (lambda x: np.rot90(x, -1, (1, 2)), T), (lambda x: np.rot90(x, 4), M),
        (np.flip, T), (lambda x: np.flip(x, (0, -1)), T), (np.fliplr, M), (np.flipud, V), (lambda x: np.roll(x, 2), M),
        (lambda x: np.roll(x, (1, -2), (0, 1)), M), (lambda x: np.roll(x, 9, -1), T),
        (lambda x: np.concatenate([x, x[:1]], axis=0, dtype=np.float64), M), (lambda x, y: np.concatenate((x, y), axis=-1), M, Q),
        (lambda x, y: np.stack([x, y], axis=-1), V, V**2), (lambda x: np.hstack([x, x]), M), (lambda x: np.vstack((x, x[::-1])), V),
        (lambda x: np.dstack((x, x)), V), (lambda x: np.column_stack((x, x[:, 0])), M),
        (lambda a, b: np.block([[a, b], [np.ones((1, 4)), np.zeros((1, 3))]]), M, Q), (lambda a: np.block([a, a]), V), (lambda a: np.block([[a, 1.0]]), V),
        (lambda a: np.block(a), M), (lambda a: np.append(a, a[0]), M), (lambda a: np.append(a, a, axis=1), M), (lambda a, b: np.append(a, b), V, S),
        (lambda x: np.tile(x, 3), V), (lambda x: np.tile(x, (2, 1, 2)), M), (lambda x: np.repeat(x, 2), M), (lambda x: x.repeat([1, 0, 2], axis=0), M),
        (lambda x: np.resize(x, (4, 5)), M), (lambda x: np.resize(x, 3), M), (lambda x: np.insert(x, 1, 9.0), V), (lambda x: np.insert(x, [1, 3, 3], x[:3]), V),
        (lambda x, y: np.insert(x, 1, y, axis=1), M, M[:, 0]), (lambda x: np.insert(x, slice(0, 2), 0.5, axis=0), M), (lambda x, y: np.insert(x, 0, y, axis=0), M, S),
        (lambda x: np.insert(x, [0, 2], [[1.0, 2.0]], axis=1), M), (lambda x: np.insert(x, -1, 7.0), M),
        (lambda x: np.delete(x, 1), V), (lambda x: np.delete(x, [0, -1], axis=1), M), (lambda x: np.delete(x, slice(None, None, 2), axis=0), M), (lambda x: np.delete(x, 3), M),
        (lambda x: np.split(x, 2, axis=1), M), (lambda x: np.array_split(x, 3, axis=1), M), (lambda x: np.split(x, [1, 1, 3], axis=-1), M),
        (lambda x: np.vsplit(x, 3), M), (lambda x: np.hsplit(x, [3]), M), (lambda x: np.dsplit(x, 2), T), (lambda x: np.unstack(x, axis=1), M),
        (np.atleast_1d, S), (np.atleast_2d, V), (np.atleast_3d, S), (np.atleast_3d, V), (np.atleast_3d, M), (lambda a, b: np.atleast_2d(a, b), S, V),
        (lambda a, b: np.broadcast_arrays(a, b), M, M[:1]), (lambda a: np.broadcast_to(a, (2, 3, 4)), M),
        (lambda a, b: np.meshgrid(a, b), V, M[0]), (lambda a, b: np.meshgrid(a, b, indexing="ij", sparse=True), V, M[0]), (lambda a: np.meshgrid(a), V),
        (lambda a, b: np.meshgrid(a, b, [1.0, 2.0], copy=False), V, S),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, 3), V), (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2)), M),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(-1, 1)), T),
        (np.tril, M), (lambda x: np.triu(x, 1), T), (lambda x: np.tril(x, -1), Q), (np.triu, V), (lambda x: x[np.triu_indices_from(x)], Q),
        (lambda x: x[np.tril_indices(3)], Q), (lambda x: x[np.tril_indices_from(x, -1)], M), (lambda x: x[np.diag_indices(3)], Q), (lambda x: x[np.diag_indices_from(x)], Q),
        (np.diag, V), (lambda x: np.diag(x, 2), V), (lambda x: np.diag(x, -1), M), (lambda x: np.diagflat(x, 1), Q), (lambda x: np.diagonal(x, 1), M),
        (lambda x: x.diagonal(0, 0, 2), T), (np.vander, V), (lambda x: np.vander(x, 3, increasing=True), V),
        (np.copy, M),
        *[(lambda x, mode=mode: np.pad(x, 2, mode), V) for mode in EXACT], *[(lambda x, mode=mode, w=w: np.pad(x, w, mode), M) for mode in EXACT for w in PADS[2:]],
        *([(lambda x: np.pad(x, {1: (2, 1)}, "edge"), M)] if VERSION >= "2.4.0" else []), (lambda x, c: np.pad(x, 1, constant_values=c), M, S), (lambda x: np.pad(x, 1, constant_values=((1, 2), (3, 4))), M),
        (lambda x: np.pad(x, ((1, 2), (3, 4)), "maximum", stat_length=2), M), (lambda x: np.pad(x, 2, "minimum", stat_length=((1, 2), (3, 1))), M),
        (lambda x: np.pad(x, 2, "median", stat_length=3), M), (lambda x: np.pad(x, 11, "wrap"), V), (lambda x: np.pad(x, 11, "reflect"), V),
        (lambda x: np.pad(x, 2, "reflect"), S.reshape(1)), (lambda x: np.pad(x, (9, 7), "reflect", reflect_type="odd"), V),
        (lambda x: np.pad(x, (7, 11), "symmetric", reflect_type="odd"), V), (lambda x: np.pad(x, ((2, 1), (5, 3)), "reflect", reflect_type="odd"), M),
        (lambda x: np.pad(x, 2, "symmetric", reflect_type="odd"), M), (lambda x: np.pad(x, 2, "reflect", reflect_type="odd"), S.reshape(1)),
        (lambda x: np.pad(x, 0), M), (lambda x: x.transpose(np.array([1, 0])), M),
        (lambda x: np.pad(x, np.array([[1, 2], [0, 1]]), "maximum", stat_length=np.array([1, 2])), M),
    ),
    *table(
        *[(lambda x, mode=mode, w=w: np.pad(x, w, mode), M) for mode in ("linear_ramp", "mean") for w in PADS],
        (lambda x, e: np.pad(x, 3, "linear_ramp", end_values=e), M, S), (lambda x: np.pad(x, 3, "linear_ramp", end_values=(-1, 2)), V),
        (lambda x: np.pad(x, 2, "mean", stat_length=((2, 3), (1, 9))), M), (np.trace, M), (lambda x: np.trace(x, 1, 1, 2), T),
        ulps=4,
    ),
    *table((lambda x: np.trim_zeros(np.pad(x, 3)), V), (lambda x: np.trim_zeros(np.pad(x, 2), "f"), V), *([(lambda x: np.trim_zeros(np.pad(x, 2), "b", axis=1), M)] if VERSION >= "2.2.0" else []), abstract=False),
]
# fmt: on
test_value, test_derivatives, test_without_numbers = calls.tests(CASES)
