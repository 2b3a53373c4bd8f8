"""Functions that change nothing here: where NumPy answers with its argument or a view, a write goes through."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import PaybackError

X = np.arange(6.0).reshape(2, 3) + 0.5
# fmt: off
SAME = [
    "np.asarray(a, order='F')", "np.asarray(a, None, 'F')", "np.asarray(a, order='C')", "np.asarray(a, copy=True)",
    "np.asanyarray(a, order='F')", "np.asarray(a.T, order='F').T", "np.asarray(a.T, order='C').T",
    "np.array(a, copy=False)", "np.array(a, order='F', copy=None)", "np.array(a.T, order='C', copy=None).T",
    "a.view(np.ndarray)", "a.view(type=np.ndarray)", "np.asarray(a, dtype=float, order='F')",
    "np.asarray(a, order='A')", "np.asarray(a, order='K')", "np.ascontiguousarray(a.T).T",
    "np.require(a.T, requirements='C').T", "a.astype(float, order='F', copy=False)", "a.astype(float, copy=False)",
    "np.astype(a, float, copy=False)", "np.copy(a)", "a.reshape(2, 3, copy=True)", "a.reshape(2, 3, order='F')",
    "np.reshape(a, (3, 2), order='F').T", "np.atleast_2d(a)", "np.squeeze(a)", "np.real(a)",
    "np.nan_to_num(a, copy=False)", "np.array(a, ndmin=2, copy=None)", "np.array(a, subok=True, copy=None)",
    "np.asfortranarray(a)", "np.broadcast_to(a, (2, 3)).copy()", "np.asarray(np.zeros((2, 3)) + 0 * a, copy=True)",
    "a.squeeze()", "np.clip(a, 0, 9, out=a)", "a.round(1, out=a)", "np.concatenate([a])", "np.vstack([a])",
    "np.atleast_1d(a, a)[0]", "np.broadcast_arrays(a, a[:1])[0].copy()", "np.split(a, 1)[0]",
    "np.diagonal(a[:, :2]).copy()", "np.take(a, [0, 1], axis=0)", "np.compress([1, 1], a, axis=0)",
    "np.delete(a, [], axis=0)", "np.pad(a, 0)", "np.roll(a, 0)", "np.repeat(a, 1, axis=0)", "np.tile(a, 1)",
    "np.resize(a, (2, 3))", "np.flip(a, ())", "np.rot90(a, 0)", "np.moveaxis(a, 0, 0)", "np.swapaxes(a, 0, 0)",
    "np.rollaxis(a, 0)", "np.unwrap(a)", "np.fft.fftshift(a, axes=())", "np.round(a)", "np.sort(a)", "np.triu(a, -9)",
    "np.insert(a, [], 0, axis=0)", "np.unstack(a[None])[0]", "np.select([a > -1], [a])", "np.where(True, a, 0)", "+a",
    "np.positive(a)", "np.conj(a)", "a.conj()", "a.real", "np.conjugate(a)", "np.einsum('ij', a)",
    "np.einsum('ij->ij', a)", "np.matrix_transpose(np.matrix_transpose(a))", "np.permute_dims(a)",
    "np.permute_dims(a).T", "np.linalg.matrix_transpose(a).T", "np.ravel(a).reshape(2, 3)",
    "np.ravel(a, 'K').reshape(2, 3)", "np.ravel(a.T, 'K').reshape(2, 3)", "np.ravel(a.T).reshape(3, 2).T",
    "a.T.ravel('A').reshape(2, 3)", "a.flatten().reshape(2, 3)", "np.expand_dims(a, ())", "a[()]", "a[...]", "a[:, :]",
    "a[[0, 1]]", "np.array_split(a, 1)[0]", "np.block([[a]])", "np.column_stack([a])", "np.dstack([a])[..., 0]",
    "np.average(a[None], axis=0)", "np.sum(a[None], axis=0)", "np.max(a[None], axis=0)", "np.median(a[None], axis=0)",
    "np.cumsum(a, axis=0)", "np.diff(a, n=0)", "np.linalg.matrix_power(a[:, :2], 1)", "np.interp(a, [0, 9], [0, 9])",
    "np.choose(0, [a])", "np.piecewise(a, [a > -1], [lambda z: z])", "np.apply_along_axis(lambda z: z, 0, a)",
    "np.vectorize(lambda z: z)(a)", "np.tensordot(1.0, a, 0)", "np.dot(a, 1.0)", "np.real_if_close(a)", "np.fix(a)",
    "np.trunc(a)", "np.nan_to_num(a)", "np.ldexp(a, 0)", "np.meshgrid(a[0])[0][None].repeat(2, 0)",
    "np.linalg.multi_dot([np.eye(2), a])", "np.broadcast_to(a, (2, 3))",
    "np.lib.stride_tricks.sliding_window_view(a, 1, 0)[..., 0]", "np.hstack([a])",
    "np.append(a, np.zeros((0, 3)), axis=0)", "np.kron(np.ones((1, 1)), a)",
    "np.fromiter(a.ravel(), float).reshape(2, 3)", "np.array([*a])", "np.array(a.tolist())", "np.stack([*a])",
    "np.ediff1d(a)[:4].reshape(2, 2)", "np.hsplit(a, 1)[0]", "np.vsplit(a, 1)[0]", "np.fliplr(np.fliplr(a))",
    "np.flipud(a)[::-1]", "np.flip(a)[::-1, ::-1]", "np.diag(a.ravel())", "np.diagflat(a)", "np.diag(a @ a.T) * 1.0",
]
# fmt: on
MAKE = {
    "argument": lambda x: x,
    "complex": lambda x: x * (1 + 2j),
    "buffer": lambda x: _filled(np.zeros((2, 3)), x),
    "by columns": lambda x: np.asfortranarray(x + 0.0),
    "made": lambda x: np.zeros((2, 3)) + x,
    "columns of a buffer": lambda x: _filled(np.zeros((3, 2)).T, x),
    "with gaps": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
}


def _filled(a, x):
    a[...] = x
    return a


@pytest.mark.filterwarnings("ignore:numpy.fix is deprecated")
@pytest.mark.parametrize("make", list(MAKE)[: cases(1, len(MAKE))])
@pytest.mark.parametrize("source", SAME)
def test_writes_go_where_they_do_in_numpy(source, make):
    same = eval(f"lambda a: {source}", {"np": np})  # noqa: S307

    def f(x):
        a = MAKE[make](x)
        before = a * 1.0
        b = same(a)
        b[0] = 7.0
        a[..., 0] *= 2.0
        return [part for z in (before, a, b) for part in (np.real(z), np.imag(z))]

    try:
        wanted = f(X.copy())
    except (TypeError, ValueError, np.exceptions.ComplexWarning):  # NumPy does not take it
        return
    for way in (lambda f: lambda x: pb.vjp(f, x)[0], lambda f: pb.compile(f, native=False)):
        try:
            found = way(f)(X.copy())
        except PaybackError as error:
            if make != "complex" and "follow the memory" not in str(error):
                raise
            return
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, 1e-13)
