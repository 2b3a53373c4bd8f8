"""Uses of the rows of linear algebra: square, high and wide matrices, batches, singular ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ops.own import Own
from payback.ops.namespace import Values
from payback.trace.dispatch import emit

_G = np.random.default_rng(12)
_LA = np.linalg


def _matrix(*shape: int) -> Any:
    return np.round(_G.normal(size=shape), 2)


def _symmetric(*values: float, turn: int = 0) -> Any:
    q = _LA.qr(np.random.default_rng(turn).normal(size=(len(values), len(values))))[0]
    return q * np.array(values) @ q.T


def _with_values(*values: float, high: int = 0, turn: int = 0) -> Any:
    """A matrix with these singular values."""
    generator = np.random.default_rng(turn)
    n = len(values)
    u, v = (_LA.qr(generator.normal(size=(k, k)))[0] for k in (max(high, n), n))
    return u[:, :n] * np.array(values) @ v.T


SQUARE, TALL, WIDE = _with_values(3.0, 2.0, 1.0), _with_values(3.0, 1.5, 0.75, high=4), _with_values(2.5, 1.0, high=3).T
BATCH = np.stack([_with_values(2.0, 1.0, 0.5, turn=k) for k in (1, 2)])
POSITIVE = _symmetric(3.0, 1.5, 0.5)
POSITIVES = np.stack([_symmetric(2.0, 1.0, 0.25, turn=k) for k in (3, 4)])
ILL = _with_values(2.0, 0.5, 0.01)
SINGULAR = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])  # rank 2


def _row(name: str, *args: Any) -> tuple[Any, Any, Any]:
    """A row that no function of NumPy is."""
    return (lambda *xs: emit(name, *xs)), args, getattr(Values, name)


def _svd(x: Any) -> Any:
    return tuple(_LA.svd(x, full_matrices=False))


def _eigenvalues(made: Any) -> Any:
    return emit("part", made, k=0), emit("part", made, k=1)


def _numpys_eigenvalues(re: Any, *im: Any) -> Any:
    w = _LA.eigvals(re + np.complex64(1j) * im[0] if im else re)
    return w.real.astype(re.dtype), w.imag.astype(re.dtype)


CASES: dict[str, Own] = {
    "inv": Own(("inv",), _LA.inv, (SQUARE,)),
    "inv of a batch": Own(("inv",), _LA.inv, (BATCH,)),
    "solve": Own(("solve",), _LA.solve, (SQUARE, _matrix(3, 2))),
    "solve for a vector": Own(("solve",), _LA.solve, (SQUARE, _matrix(3)), ulps=4),
    "solve a batch": Own(("solve",), _LA.solve, (BATCH, _matrix(2, 3, 2))),
    "solve a batch for one side": Own(("solve",), _LA.solve, (BATCH, _matrix(3, 1))),
    "solve for a batch": Own(("solve",), _LA.solve, (SQUARE, _matrix(2, 3, 2))),
    "det": Own(("det",), _LA.det, (SQUARE,)),
    "det of a batch": Own(("det",), _LA.det, (BATCH,)),
    "det of a singular matrix": Own(("det",), _LA.det, (SINGULAR,)),
    "det of 4 by 4": Own(("det",), _LA.det, (_matrix(4, 4),)),
    "cofactors": Own(("cofactor",), *_row("cofactor", SQUARE)),
    "cofactors of an ill-conditioned batch": Own(("cofactor",), *_row("cofactor", np.stack([SQUARE, ILL]))),
    "cofactors along": Own(("cofactor_along",), *_row("cofactor_along", SQUARE, _matrix(3, 3))),
    "slogdet": Own(("slogdet",), lambda x: tuple(_LA.slogdet(x)), (SQUARE,)),
    "slogdet of a batch": Own(("slogdet",), lambda x: _LA.slogdet(x).logabsdet, (1.5 * BATCH,)),  # BATCH: log 1
    "cholesky": Own(("cholesky",), _LA.cholesky, (POSITIVE,)),
    "cholesky upper": Own(("cholesky",), lambda x: _LA.cholesky(x, upper=True), (POSITIVE,)),
    "cholesky of a batch": Own(("cholesky",), _LA.cholesky, (POSITIVES,)),
    "pinv": Own(("pinv",), _LA.pinv, (TALL,)),
    "pinv wide": Own(("pinv",), _LA.pinv, (WIDE,)),
    "pinv of a batch": Own(("pinv",), _LA.pinv, (BATCH,)),
    "outside the columns": Own(
        ("rejected",),
        lambda a, z: emit("rejected", a, z, rcond=1e-15),
        (TALL, _matrix(4, 2)),
        lambda a, z: z - a @ (_LA.pinv(a) @ z),
        ulps=16,
    ),
    "outside the columns of a batch": Own(
        ("rejected",),
        lambda a, z: emit("rejected", a, z, rcond=1e-6),
        (np.stack([TALL, TALL[::-1] + 0.5 * TALL]), _matrix(2, 4, 1)),
        lambda a, z: z - a @ (_LA.pinv(a) @ z),
        ulps=32,
    ),
    "lstsq": Own(("lstsq",), lambda a, b: _LA.lstsq(a, b)[0], (TALL, _matrix(4, 2))),
    "lstsq wide": Own(("lstsq",), lambda a, b: _LA.lstsq(a, b)[0], (WIDE, _matrix(2, 2))),
    "eigenvalues": Own(
        ("eig",), lambda x: _eigenvalues(emit("eig", x, vectors=False)), (SQUARE,), _numpys_eigenvalues, ulps=8
    ),
    "complex eigenvalues": Own(
        ("eig",),
        lambda x, y: _eigenvalues(emit("eig", x, y, vectors=True)),
        (BATCH, BATCH[::-1]),
        _numpys_eigenvalues,
        ulps=8,
    ),
    "values of Hermitian matrices": Own(
        ("hermitian",), lambda x, y: _LA.eigvalsh(x + np.complex64(1j) * y), (BATCH, BATCH[::-1]), ulps=8
    ),
    "qr": Own(("qr",), lambda x: tuple(_LA.qr(x)), (TALL,)),
    "qr of a square": Own(("qr",), lambda x: tuple(_LA.qr(x)), (SQUARE,)),
    "qr of a batch": Own(("qr",), lambda x: _LA.qr(x)[0], (BATCH,)),
    "qr wide": Own(("qr",), lambda x: tuple(_LA.qr(x)), (WIDE,), ulps=8),
    "r alone": Own(("qr",), lambda x: _LA.qr(x, "r"), (TALL,), ulps=8),
    "eigh": Own(("eigh",), lambda x: tuple(_LA.eigh(x)), (POSITIVE,)),
    "eigh upper": Own(("eigh",), lambda x: tuple(_LA.eigh(x, "U")), (SQUARE,)),
    "eigh of a batch": Own(("eigh",), lambda x: tuple(_LA.eigh(x)), (POSITIVES,)),
    "eigvalsh": Own(("eigh",), _LA.eigvalsh, (SQUARE,), ulps=16),
    "one eigenvalue": Own(("eigh",), lambda x: _LA.eigvalsh(x)[-1], (POSITIVE,), ulps=16),
    "one eigenvector": Own(("eigh",), lambda x: _LA.eigh(x)[1][:, 1], (POSITIVE,)),
    "svd": Own(("svd",), _svd, (SQUARE,)),
    "svd tall": Own(("svd",), _svd, (TALL,)),
    "svd wide": Own(("svd",), _svd, (WIDE,)),
    "svd of a batch": Own(("svd",), _svd, (BATCH,)),
    "left vectors": Own(("svd",), lambda x: _svd(x)[0], (TALL,)),
    "right vectors": Own(("svd",), lambda x: _svd(x)[2], (WIDE,)),
    "one singular vector": Own(("svd",), lambda x: _svd(x)[0][:, 0], (TALL,)),
    "singular values": Own(("svd",), lambda x: _LA.svd(x, compute_uv=False), (TALL,), ulps=16),
}
