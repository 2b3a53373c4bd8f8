"""Uses of the rows whose values are SciPy's: Bessel functions, distributions, functions of matrices, systems."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.special

from ops.own import Own
from ops.own_linalg import BATCH, POSITIVE, POSITIVES, SQUARE, _matrix
from payback.trace.dispatch import emit
from payback.trace.scipy import linalg as traced_linalg
from payback.trace.scipy import special as traced_special

_X = np.array([[0.5, 1.25, 2.0], [3.5, 0.75, 1.5]])


def _function(module: Any, name: str, pick: Any = None, **options: Any) -> tuple[Any, Any]:
    """A function that looks at no protocol: what stands for it, and SciPy's own."""
    pick = pick or (lambda made: made)
    of_traced = module.FUNCTIONS[name]
    of_arrays = getattr(scipy.linalg if module is traced_linalg else scipy.special, name)
    return (lambda *xs: pick(of_traced(*xs, **options))), (lambda *xs: pick(of_arrays(*xs, **options)))


def _linalg(row: str, name: str, *args: Any, pick: Any = None, ulps: float = 0, **options: Any) -> Own:
    call, numpy = _function(traced_linalg, name, pick, **options)
    return Own((row,), call, args, numpy, ulps)


def _analytic(name: str, **params: Any) -> Own:
    """Of the real and the imaginary part, which the row gives back as two."""
    of_scipy = getattr(scipy.special, name)

    def numpy(re: Any, im: Any) -> Any:
        made = of_scipy(re + 1j * im, *params.values())
        return made.real.astype(re.dtype), made.imag.astype(re.dtype)

    def call(re: Any, im: Any) -> Any:
        both = emit(f"complex_{name}", re, im, **params)
        return emit("part", both, k=0), emit("part", both, k=1)

    return Own((f"complex_{name}",), call, (_X, _matrix(2, 3)), numpy, ulps=8)


def _lu_solve(module: Any, **options: Any) -> Any:
    return lambda a, b: module["lu_solve"](module["lu_factor"](a), b, **options)


_OF_SCIPY = vars(scipy.linalg)
SMALL = np.array([[1.5, 0.5], [0.25, 0.75]])
LOWER = np.tril(SQUARE) + 2 * np.eye(3)
CASES: dict[str, Own] = {
    "polygamma": Own(("polygamma",), lambda x: traced_special.polygamma(2, x), (_X,),
                     lambda x: scipy.special.polygamma(2, x), ulps=4),
    "Faddeeva": _analytic("wofz"), "complex erf": _analytic("erf"), "complex erfi": _analytic("erfi"),
    "Lambert's W": _analytic("lambertw", k=1),
    "expm": _linalg("expm", "expm", SMALL), "expm of a batch": _linalg("expm", "expm", BATCH[:, 1:, 1:]),
    "expm_frechet": Own(("expm_frechet",), lambda a, e: emit("expm_frechet", a, e), (SMALL, _matrix(2, 2)),
                        lambda a, e: scipy.linalg.expm_frechet(a, e)[1].astype(a.dtype), ulps=4),
    "logm": Own(("logm",), traced_linalg.FUNCTIONS["logm"], (SMALL,),
                lambda a: scipy.linalg.logm(a.astype(float)), ulps=4),
    "sqrtm": _linalg("sqrtm", "sqrtm", SMALL),
    "sqrtm of a batch": _linalg("sqrtm", "sqrtm", POSITIVES[:, 1:, 1:]), "cosm": _linalg("cosm", "cosm", SMALL),
    "sinm": _linalg("sinm", "sinm", SMALL), "coshm": _linalg("coshm", "coshm", SMALL),
    "sinhm": _linalg("sinhm", "sinhm", SMALL),
    "triangle": _linalg("solve_triangular", "solve_triangular", LOWER, _matrix(3, 2), lower=True, ulps=4),
    "upper triangle": _linalg("solve_triangular", "solve_triangular", LOWER.T, _matrix(3), ulps=4),
    "transposed triangle": _linalg("solve_triangular", "solve_triangular", LOWER, _matrix(3, 1), lower=True, trans="T",
                                   ulps=4),
    "unit triangle": _linalg("solve_triangular", "solve_triangular", LOWER, _matrix(3, 2), lower=True,
                             unit_diagonal=True, ulps=4),
    "batch of triangles": Own(("solve_triangular",), traced_linalg.solve_triangular, (POSITIVES, _matrix(2, 3, 2)),
                              lambda a, b: np.stack([*map(scipy.linalg.solve_triangular, a, b)])),
    # its vectors jump from one sign to the other
    "eigh of SciPy": _linalg("eigh", "eigh", POSITIVE, pick=lambda made: (made[0], made[1] * made[1])),
    "eigh of SciPy, upper": _linalg("eigh", "eigh", POSITIVE, pick=lambda made: made[1] * made[1], lower=False),
    "Sylvester": _linalg("solve_sylvester", "solve_sylvester", SQUARE + 3 * np.eye(3), POSITIVE[:2, :2], _matrix(3, 2)),
    "LU": _linalg("lu_factor", "lu_factor", SQUARE, pick=lambda made: made[0]),
    "LU solve": Own(("lu_factor",), _lu_solve(traced_linalg.FUNCTIONS), (SQUARE, _matrix(3, 2)),
                    _lu_solve(_OF_SCIPY), ulps=8),
    "LU solve transposed": Own(("lu_factor",), _lu_solve(traced_linalg.FUNCTIONS, trans=1), (SQUARE, _matrix(3)),
                               _lu_solve(_OF_SCIPY, trans=1), ulps=8),
}  # fmt: skip
