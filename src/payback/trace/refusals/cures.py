"""What to write instead of a library's function that takes bare numbers: by the part of the library that was called."""

from __future__ import annotations

NO_INDEX = "a traced floating value cannot be an index"  # what `meaning.py` knows it by
BARE = "pb.stop_gradient(x)"
BARE_NUMBER = f"for the bare number write float({BARE})"
BARE_NUMBERS = f"for the bare numbers write {BARE}"
_MEMORY = "it has no memory of its own: to look at windows of it use np.lib.stride_tricks.sliding_window_view, slices"
INSTEAD = {"strides": _MEMORY, "data": _MEMORY, "flags": "it is never written into by others: leave this out"}

_SCIPY = "SciPy's compiled code takes bare numbers"
_NO_HISTORY = "what it computes from them has no history"
_FRAME = "compute with the plain arrays of its columns: .to_numpy()"
_NUMPY = "write this step with NumPy functions"
_AUTHOR = "or give its derivative with pb.custom_gradient(plain=True)"

_OF_SCIPY = {
    "optimize": "brentq and its like, newton, root, root_scalar, fsolve, fixed_point, minimize, least_squares and "
    "curve_fit are answered; pb.root and pb.fixed_point differentiate through any other solver: for a zero "
    "pb.root(f, x0, solver=lambda g, x0: scipy.optimize.root(g, x0).x), for a minimum "
    "pb.root(pb.grad(cost), x0, solver=...)",
    "integrate": "quad, dblquad, fixed_quad, the rules for samples, solve_ivp and odeint are answered; else sum a rule "
    "with NumPy (t, w = np.polynomial.legendre.leggauss(n); np.sum(w * f(t)); np.trapezoid), or step through time in a "
    "loop or with pb.scan",
    "stats": "norm's methods and the usual densities are answered; write another with NumPy, as z = (x - m) / s; "
    "-0.5 * z * z - np.log(s) - 0.5 * np.log(2 * np.pi); "
    "scipy.special's ndtr, log_ndtr, ndtri, gammaln, betaln, xlogy, betainc are differentiated",
    "sparse": "A @ x of a plain A is answered; for its entries times x take c = A.tocoo() and c.data * x[c.col]; a "
    "matrix whose entries are traced is np.add.at(out, (row, column), entries); spsolve(A, b) and splu(A).solve(b) of a"
    " plain A are answered; for another solver use pb.custom_gradient(plain=True), whose pull solves with A.T",
    "interpolate": "CubicSpline, PchipInterpolator, Akima1DInterpolator, make_interp_spline, BSpline, PPoly, interp1d, "
    "RegularGridInterpolator, RectBivariateSpline, RBFInterpolator and LinearNDInterpolator are answered; "
    "for another curve make its coefficients of plain arrays outside, "
    f"or solve for them with np.linalg.solve, and evaluate the polynomial with NumPy; {_AUTHOR}",
    "signal": "convolve, correlate, lfilter, filtfilt, sosfilt, sosfiltfilt and savgol_filter are answered; write "
    "another filter as a loop over the samples, or with pb.scan",
    "ndimage": f"filters with constant weights along the axes are answered; for others add up shifted slices of "
    f"np.pad(x, ...), {_AUTHOR}",
    "spatial.transform": "write the matrix of the rotation with NumPy, np.array([[np.cos(t), -np.sin(t)], ...]), by "
    "Rodrigues' formula np.eye(3) + np.sin(t) * K + (1 - np.cos(t)) * K @ K",
    "spatial": "cdist and pdist are answered; write other distances with NumPy: d = x[:, None] - y[None]; "
    "np.sqrt(np.sum(d * d, axis=-1)); a search for "
    "neighbors takes bare numbers, pb.stop_gradient(x), and its indices are used on x",
    "fft": f"a transform is linear: multiply by its matrix of cosines and sines, {_AUTHOR}",
    "special": f"write it with functions of scipy.special that have a row, as gammaln, {_AUTHOR}",
    "linalg": f"use the function of np.linalg or scipy.linalg that has a row, {_AUTHOR}",
}
_OF = {
    "scipy": (_SCIPY, _NO_HISTORY, f"{_NUMPY}, {_AUTHOR}"),
    **{f"scipy.{name}": (_SCIPY, _NO_HISTORY, cure) for name, cure in _OF_SCIPY.items()},
    "pandas": ("pandas takes bare numbers", _NO_HISTORY, _FRAME),
    "polars": ("polars takes bare numbers", _NO_HISTORY, _FRAME),
    "numpy.polynomial": (
        "the classes of np.polynomial take bare coefficients",
        "they make plain arrays of them",
        "use functions, which take traced ones: np.polynomial.polynomial.polyval, chebyshev.chebval; np.polyfit to fit",
    ),
    "sklearn": ("scikit-learn takes bare numbers", _NO_HISTORY, _NUMPY),
}


def of_library(module: str) -> tuple[str, str, str] | None:
    """(what, why, what to do) where code of this module asks a traced value for its bare number; None for others."""
    parts = module.split(".")
    return _OF.get(".".join(parts[:3])) or _OF.get(".".join(parts[:2])) or _OF.get(parts[0])
