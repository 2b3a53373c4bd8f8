"""Every public function of NumPy, called with a traced argument: what becomes of it is written down in probe.txt.

    differentiated  the value is NumPy's, and the derivative that of finite differences
    constant        the answer is NumPy's and does not vary with the argument: a shape, an index, a truth, zeros
    raises          a PaybackError that says so

Anything else (a bare TypeError, an object array, a plain floating answer that varies) is a failure, so a new NumPy
cannot change it unseen.  A second word stands where an array that was written into (`out = np.zeros(n); out[:] = x`)
fares differently.  `python tests/trace/test_probe.py` writes the list anew.
"""

from __future__ import annotations

import array
import copy
import decimal
import fractions
import functools
import io
import json
import math
import pickle
import struct
import types
import warnings
from pathlib import Path

import numpy as np
import numpy.polynomial as polynomials
import pytest

import payback as pb
from payback.errors import PaybackError
from payback.trace.array import Traced
from payback.trace.complex.numbers import Complex
from payback.trace.plain_arrays import Buffered

LIST = Path(__file__).with_name("probe.txt")
SERIES = [
    (place, kind)
    for module, kind in (("polynomial", "Polynomial"), ("chebyshev", "Chebyshev"), ("legendre", "Legendre"),
                         ("hermite", "Hermite"), ("hermite_e", "HermiteE"), ("laguerre", "Laguerre"))
    for place in ("", f"{module}.")
]  # fmt: skip
CLEAR = ("differentiated", "constant", "raises")
P = np.random.default_rng(7).uniform(0.2, 0.9, 40)
NOTHING = object()

# Not called: they take no array, print, read or write files, give objects, or set how NumPy behaves.
SKIPPED = {
    "array2string", "array_repr", "array_str", "asarray_chkfinite", "bmat", "busday_count", "busday_offset", "can_cast",
    "from_dlpack", "frombuffer", "fromfile", "fromfunction", "fromregex", "fromstring", "genfromtxt", "get_include",
    "get_printoptions", "getbufsize", "geterr", "geterrcall", "info", "is_busday", "isdtype", "issubdtype",
    "loadtxt", "load", "mask_indices", "mintypecode", "nested_iters", "printoptions", "promote_types", "save", "savez",
    "savez_compressed", "set_printoptions", "setbufsize", "seterr", "seterrcall", "show_config", "show_runtime",
    "typename", "typecodes", "test", "datetime_as_string", "datetime_data", "min_scalar_type", "set_numeric_ops",
    "format_float_positional", "format_float_scientific", "base_repr", "binary_repr", "errstate", "finfo", "iinfo",
    "einsum_path", "apply_over_axes", "piecewise", "diag_indices", "tri", "indices", "ix_", "unravel_index",
    "tril_indices", "triu_indices", "ndindex", "sctypeDict", "get_state", "set_state", "seed", "default_rng", "bytes",
    "get_bit_generator", "set_bit_generator", "ranf", "sample", "rand", "randn", "random", "random_sample",
    "random_integers", "in1d", "trapz", "row_stack", "get_array_wrap", "broadcast_shapes", "from_iter", "cross",
    "spacing", "nextafter", "zeros", "ones", "empty", "eye", "identity", "isnat", "chebgauss", "chebpts1", "chebpts2",
    "hermgauss", "hermegauss", "laggauss", "leggauss", "standard_cauchy", "standard_exponential", "standard_normal",
    "bitwise_count", "set_default_printstyle", "set_string_function", "frompyfunc", "savetxt",
}  # fmt: skip


class Parts:
    """What the functions are called with, all of it made of the one vector p: plain, traced or written into."""

    def __init__(self, p, enter=lambda x: x):
        m = p[12:28].reshape(4, 4)
        self.s, self.v, self.w, self.u = p[0], enter(p[0:4]), enter(p[4:8]), enter(p[8:12])
        self.m, self.n = enter(m), enter(p[20:36].reshape(4, 4))
        self.spd, self.sym = enter(m @ m.T + 4 * np.eye(4)), enter(m + m.T)
        self.t = enter(p[0:24].reshape(2, 3, 4))


# The first of these calls that NumPy itself takes is made.
FORMS = [
    lambda f, a: f(a.v), lambda f, a: f(a.m), lambda f, a: f(a.v, a.w), lambda f, a: f(a.spd),
    lambda f, a: f(a.m, a.n), lambda f, a: f([a.v, a.w]), lambda f, a: f(a.s), lambda f, a: f(a.v, 1),
    lambda f, a: f(a.v + 1), lambda f, a: f(a.m, 1), lambda f, a: f(a.m, 0, 1), lambda f, a: f(a.v, a.w, a.u),
    lambda f, a: f(a.v, 2, 1), lambda f, a: f(a.s, 2), lambda f, a: f(a.s, 2, 3), lambda f, a: f(a.t),
    lambda f, a: f(a.v > 0.5, a.w > 0.5), lambda f, a: f(a.v > 0.5), lambda f, a: f((a.v * 9).astype(int)),
    lambda f, a: f((a.v * 9).astype(int), (a.w * 9).astype(int)), lambda f, a: f(4, a.s),
    lambda f, a: f(a.v, a.w, 2), lambda f, a: f(a.v, a.w, a.u, a.t), lambda f, a: f(a.v, a.w, [1, 2]),
    lambda f, a: f(a.v, a.w, a.u, [1, 1, 1]), lambda f, a: f(lambda x: x * a.s, 2),
    lambda f, a: f((a.v * 9).astype(np.uint8)),
]  # fmt: skip


def into(f, *where):
    """A function that writes into its first argument: what that has become."""

    def call(a):
        target = a.m * 1.0
        f(target, *where, a.v)
        return target

    return call


# How the others are called.
CALLS = {
    "numpy.allclose": lambda f, a: f(a.v, a.v),
    "numpy.apply_along_axis": lambda f, a: f(lambda r: r.sum() ** 2, 0, a.m),
    "numpy.arange": lambda f, a: f(a.s, 4.0),
    "numpy.array_split": lambda f, a: f(a.v, 3),
    "numpy.append": lambda f, a: f(a.v, a.w),
    "numpy.argpartition": lambda f, a: f(a.v, 2),
    "numpy.argwhere": lambda f, a: f(a.v > 0.5),
    # of two: NumPy leaves out what lies between the first and the last where a processor has AVX-512
    **dict.fromkeys([f"numpy.{name}.reduce" for name in ("power", "pow", "arctan2", "atan2")], lambda f, a: f(a.v[:2])),
    "numpy.array_equiv": lambda f, a: f(a.v, a.v),
    "numpy.bincount": lambda f, a: f(np.array([0, 1, 1, 2]), a.v),
    "numpy.block": lambda f, a: f([[a.m, a.n], [a.n, a.m]]),
    "numpy.broadcast_arrays": lambda f, a: f(a.v, a.m),
    "numpy.broadcast_to": lambda f, a: f(a.v, (3, 4)),
    "numpy.choose": lambda f, a: f(np.array([0, 1, 1, 0]), [a.v, a.w]),
    "numpy.clip": lambda f, a: f(a.v, 0.3, 0.8),
    "numpy.compress": lambda f, a: f(np.array([True, False, True, True]), a.v),
    "numpy.concat": lambda f, a: f([a.v, a.w]),
    "numpy.copyto": lambda f, a: into(f)(a),
    "numpy.delete": lambda f, a: f(a.v, 1),
    "numpy.digitize": lambda f, a: f(a.v, np.array([0.3, 0.6])),
    "numpy.divmod": lambda f, a: f(a.v, 0.15),
    "numpy.ediff1d": lambda f, a: f(a.v),
    "numpy.einsum": lambda f, a: f("ij,j->i", a.m, a.v),
    "numpy.extract": lambda f, a: f(np.array([True, False, True, True]), a.v),
    "numpy.fill_diagonal": lambda f, a: into(f)(a),
    "numpy.floor_divide": lambda f, a: f(a.v, 0.15),
    "numpy.fmod": lambda f, a: f(a.v, 0.15),
    "numpy.frompyfunc": lambda f, a: f(lambda x: x * x, 1, 1)(a.v),
    "numpy.fromiter": lambda f, a: f((x for x in a.v), float),
    "numpy.full": lambda f, a: f(3, a.s),
    "numpy.full_like": lambda f, a: f(np.ones(3), a.s),
    "numpy.geomspace": lambda f, a: f(a.s, 4.0, 5),
    "numpy.gradient": lambda f, a: f(a.v),
    "numpy.histogram": lambda f, a: f(a.v, np.array([0.0, 0.3, 1.0]))[0],
    "numpy.histogram2d": lambda f, a: f(a.v, a.w, 3)[0],
    "numpy.histogramdd": lambda f, a: f((a.v, a.w), 3)[0],
    "numpy.insert": lambda f, a: f(a.v, 1, a.s),
    "numpy.interp": lambda f, a: f(a.v, np.array([0.0, 0.5, 1.0]), a.w[:3]),
    "numpy.isin": lambda f, a: f(a.v, a.w),
    "numpy.ldexp": lambda f, a: f(a.v, 2),
    "numpy.lexsort": lambda f, a: f((a.v, a.w)),
    "numpy.linspace": lambda f, a: f(a.s, 4.0, 5),
    "numpy.logspace": lambda f, a: f(a.s, 1.0, 5),
    "numpy.matrix_transpose": lambda f, a: f(a.m),
    "numpy.matvec": lambda f, a: f(a.m, a.v),
    "numpy.meshgrid": lambda f, a: f(a.v, a.w),
    "numpy.moveaxis": lambda f, a: f(a.t, 0, 2),
    "numpy.nanpercentile": lambda f, a: f(a.v, 30),
    "numpy.nanquantile": lambda f, a: f(a.v, 0.3),
    "numpy.ndenumerate": lambda f, a: [entry for _, entry in f(a.m)],
    "numpy.nditer": lambda f, a: [entry * 1.0 for entry in f(a.v)],
    "numpy.pad": lambda f, a: f(a.v, 2),
    "numpy.partition": lambda f, a: f(a.v, 2),
    "numpy.percentile": lambda f, a: f(a.v, 30),
    "numpy.permute_dims": lambda f, a: f(a.t, (2, 0, 1)),
    "numpy.place": lambda f, a: into(f, np.eye(4) > 0)(a),
    "numpy.poly1d": lambda f, a: f(a.v)(2.0),
    "numpy.polyfit": lambda f, a: f(np.arange(4.0), a.v, 2),
    "numpy.polyval": lambda f, a: f(a.v, a.s),
    "numpy.power": lambda f, a: f(a.v, a.w),
    "numpy.put": lambda f, a: into(f, [0, 5, 9, 2])(a),
    "numpy.put_along_axis": lambda f, a: (t := a.m * 1.0, f(t, np.array([[0], [1], [2], [3]]), a.v[:, None], 1), t)[-1],
    "numpy.putmask": lambda f, a: into(f, np.eye(4) > 0)(a),
    "numpy.quantile": lambda f, a: f(a.v, 0.3),
    "numpy.ravel_multi_index": lambda f, a: f((np.array([0, 1]), np.array([1, 2])), (3, 4)),
    "numpy.remainder": lambda f, a: f(a.v, 0.15),
    "numpy.mod": lambda f, a: f(a.v, 0.15),
    "numpy.repeat": lambda f, a: f(a.v, 2),
    "numpy.reshape": lambda f, a: f(a.m, (2, 8)),
    "numpy.resize": lambda f, a: f(a.v, (2, 3)),
    "numpy.roll": lambda f, a: f(a.v, 1),
    "numpy.rollaxis": lambda f, a: f(a.t, 2),
    "numpy.savetxt": lambda f, a: f(io.StringIO(), a.v),
    "numpy.searchsorted": lambda f, a: f(np.array([0.3, 0.6]), a.v),
    "numpy.select": lambda f, a: f([a.v > 0.5], [a.w], 0.0),
    "numpy.shares_memory": lambda f, a: f(a.v, a.w),
    "numpy.may_share_memory": lambda f, a: f(a.v, a.w),
    "numpy.swapaxes": lambda f, a: f(a.t, 0, 2),
    "numpy.take": lambda f, a: f(a.v, [0, 2, 2]),
    "numpy.take_along_axis": lambda f, a: f(a.m, np.array([[0, 1, 2, 3]]), 0),
    "numpy.tensordot": lambda f, a: f(a.m, a.n, 1),
    "numpy.tile": lambda f, a: f(a.v, 2),
    "numpy.vander": lambda f, a: f(a.v, 3),
    "numpy.vecmat": lambda f, a: f(a.v, a.m),
    "numpy.vectorize": lambda f, a: f(lambda x: x * x)(a.v),
    "numpy.where": lambda f, a: f(a.v > 0.5, a.v, a.w),
    "numpy.dsplit": lambda f, a: f(a.t, 2),
    "numpy.hsplit": lambda f, a: f(a.m, 2),
    "numpy.vsplit": lambda f, a: f(a.m, 2),
    "numpy.split": lambda f, a: f(a.v, 2),
    "numpy.empty_like": lambda f, a: f(a.v).shape,
    "numpy.packbits": lambda f, a: f(a.v > 0.5),
    "numpy.random.multinomial": lambda f, a: f(5, a.v / 9),
    "numpy.random.binomial": lambda f, a: f(5, a.s),
    "numpy.random.hypergeometric": lambda f, a: (np.random.seed(3), f(5, 5, 1 + (a.s > 0.5)))[1],
    "numpy.random.multivariate_normal": lambda f, a: (np.random.seed(3), f(a.v, a.spd))[1],
    "numpy.random.choice": lambda f, a: (np.random.seed(3), f(a.v))[1],
    "numpy.random.permutation": lambda f, a: (np.random.seed(3), f(a.v))[1],
    "numpy.random.shuffle": lambda f, a: (np.random.seed(3), t := a.v * 1.0, f(t), t)[-1],
    "numpy.expand_dims": lambda f, a: f(a.v, 1),
    "numpy.squeeze": lambda f, a: f(a.v.reshape(1, 4)),
    "numpy.flip": lambda f, a: f(a.v),
    "numpy.rot90": lambda f, a: f(a.m),
    "numpy.unstack": lambda f, a: f(a.m),
    "numpy.astype": lambda f, a: f(a.v, np.float64),
    "numpy.linalg.lstsq": lambda f, a: f(a.m, a.v, None)[0],
    "numpy.linalg.matrix_power": lambda f, a: f(a.m, 3),
    "numpy.linalg.multi_dot": lambda f, a: f([a.m, a.n, a.m]),
    "numpy.linalg.solve": lambda f, a: f(a.spd, a.v),
    "numpy.linalg.tensorsolve": lambda f, a: f(a.spd.reshape(2, 2, 2, 2), a.v.reshape(2, 2)),
    "numpy.linalg.tensorinv": lambda f, a: f(a.spd.reshape(2, 2, 2, 2), 2),
    "numpy.linalg.cholesky": lambda f, a: f(a.spd),
    "numpy.linalg.eigh": lambda f, a: f(a.sym)[0],
    "numpy.linalg.eigvalsh": lambda f, a: f(a.sym),
    **{f"numpy.polynomial.{place}{kind}": lambda f, a: f(a.v).coef for place, kind in SERIES},
    "numpy.linalg.eig": lambda f, a: f(a.sym)[0],
    "numpy.linalg.eigvals": lambda f, a: f(a.sym),
    "numpy.linalg.svd": lambda f, a: f(a.m)[1],
    "numpy.linalg.qr": lambda f, a: f(a.m),
    "numpy.linalg.cross": lambda f, a: f(a.v[:3], a.w[:3]),
    "numpy.linalg.outer": lambda f, a: f(a.v, a.w),
    "numpy.linalg.vecdot": lambda f, a: f(a.v, a.w),
    "numpy.linalg.tensordot": lambda f, a: f(a.m, a.n, axes=1),
    "numpy.r_": lambda f, a: f[a.v, 1.0],
    "numpy.c_": lambda f, a: f[a.v, a.w],
    "numpy.mgrid": lambda f, a: f[0 : a.s : 3j],
    "numpy.ogrid": lambda f, a: f[0 : a.s : 3j],
    "numpy.s_": lambda f, a: f[1:2],
    "ndarray.astype": lambda f, a: f(a.m)(np.float64),
    "ndarray.choose": lambda f, a: f((a.v * 2).astype(int))([a.v, a.w]),
    "ndarray.compress": lambda f, a: f(a.m)([True, False], axis=0),
    "ndarray.dot": lambda f, a: f(a.m)(a.v),
    "ndarray.fill": lambda f, a: (lambda t: (f(t)(a.s), t)[1])(a.m * 1.0),
    "ndarray.flat": lambda f, a: list(f(a.m)),
    "ndarray.item": lambda f, a: f(a.v[:1])(),
    "ndarray.partition": lambda f, a: (lambda t: (f(t)(2), t)[1])(a.v * 1.0),
    "ndarray.put": lambda f, a: (lambda t: (f(t)([0, 2], a.v), t)[1])(a.w * 1.0),
    "ndarray.repeat": lambda f, a: f(a.v)(2),
    "ndarray.reshape": lambda f, a: f(a.m)(2, 8),
    "ndarray.resize": lambda f, a: f(a.m * 1.0)(2, 8),
    "ndarray.searchsorted": lambda f, a: f(a.v)(0.5),
    "ndarray.sort": lambda f, a: (lambda t: (f(t)(), t)[1])(a.v * 1.0),
    "ndarray.swapaxes": lambda f, a: f(a.t)(0, 2),
    "ndarray.take": lambda f, a: f(a.v)([0, 2, 2]),
    "ndarray.view": lambda f, a: f(a.v)(),
    "ndarray.setfield": lambda f, a: f(a.v * 1.0)(1.0, np.float64),
    "ndarray.getfield": lambda f, a: f(a.v)(np.float64),
    "ndarray.argpartition": lambda f, a: f(a.v)(2),
}  # fmt: skip
METHODS = [name for name in dir(np.ndarray) if not name.startswith("_")]
METHOD_SKIPPED = {
    "ctypes",
    "data",
    "dump",
    "tofile",
    "setflags",
    "to_device",
    "newbyteorder",
    "itemset",
    "base",
    "flags",
    "strides",
    "itemsize",
    "device",
    "nbytes",
    "dumps",
    "byteswap",
    "ptp",
}  # fmt: skip  (ptp: NumPy 2.0 to 2.3 have it to say that it is gone)
# Python's own questions.
QUESTIONS = {
    "0.5 in x": lambda a: 0.5 in a.v,
    "2.0 % x": lambda a: 2.0 % a.v,
    "[*x]": lambda a: [*a.v],
    "abs(x)": lambda a: abs(a.v),
    "array.array(x)": lambda a: array.array("d", a.v).tolist(),
    "bool(x)": lambda a: bool(a.s),
    "complex(x)": lambda a: abs(complex(a.s, a.s)),
    "copy.copy(x)": lambda a: copy.copy(a.v),
    "copy.deepcopy(x)": lambda a: copy.deepcopy(a.v),
    "decimal.Decimal(x)": lambda a: float(decimal.Decimal(a.s)),
    "divmod(x, y)": lambda a: divmod(a.v, 0.15),
    "divmod(y, x)": lambda a: divmod(2.0, a.s),
    "float(x)": lambda a: float(a.s),
    "format(x)": lambda a: f"{a.s:.3f}",
    "fractions.Fraction(x)": lambda a: float(fractions.Fraction(a.s)),
    "functools.lru_cache(f)(x)": lambda a: functools.lru_cache(lambda x: x * x)(a.s),
    "functools.reduce(f, x)": lambda a: functools.reduce(lambda x, y: x * y, a.v),
    "hash(x)": lambda a: hash(a.s) * 0,
    "int(x)": lambda a: int(a.s),
    "iter(x)": lambda a: list(a.v),
    "json.dumps(x)": lambda a: json.dumps(a.s),
    "len(x)": lambda a: len(a.v),
    "math.floor(x)": lambda a: math.floor(a.s),
    "math.fsum(x)": lambda a: math.fsum(a.v),
    "math.gamma(x)": lambda a: math.gamma(a.s),
    "max(x)": lambda a: max(a.v),
    "max(x, y)": lambda a: max(a.s, 0.1),
    "min(x)": lambda a: min(a.v),
    "pickle.dumps(x)": lambda a: pickle.dumps(a.v),
    "pow(x, y)": lambda a: pow(a.v, a.w),
    "range(x)": lambda a: list(range(int(a.s * 9))),
    "reversed(x)": lambda a: list(reversed(a.v)),
    "round(x)": lambda a: round(a.s),
    "round(x, 1)": lambda a: round(a.s, 1),
    "sorted(x)": lambda a: sorted(a.v),
    "str(x)": lambda a: str(a.v),
    "struct.pack(x)": lambda a: struct.pack("d", a.s),
    "sum(x)": lambda a: sum(a.v),
    "x % y": lambda a: a.v % 0.15,
    "x // y": lambda a: a.v // 0.15,
    "x == y": lambda a: a.v == a.w,
    "x @ y": lambda a: a.m @ a.v,
    "x and y": lambda a: a.s and a.v,
    "x[i]": lambda a: a.v[[0, 2, 2]],
    "x[i] = y": lambda a: setitem(a),
}


def setitem(a):
    target = a.v * 1.0
    target[1] = a.s
    return target


def functions():
    """(name, the object) of everything that is probed."""
    spaces = {"numpy": np, "numpy.linalg": np.linalg, "numpy.fft": np.fft, "numpy.random": np.random}
    spaces |= {"numpy.lib.scimath": np.lib.scimath, "numpy.lib.stride_tricks": np.lib.stride_tricks}
    spaces |= {"numpy.polynomial": polynomials}
    for name in ("polynomial", "chebyshev", "legendre", "hermite", "hermite_e", "laguerre"):
        spaces[f"numpy.polynomial.{name}"] = getattr(polynomials, name)
    classes = {"ndenumerate", "nditer", "broadcast", "vectorize", "poly1d", "float64", "float32", "int64", "bool",
               "Polynomial", "Chebyshev", "Legendre", "Hermite", "HermiteE", "Laguerre"}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path, space in spaces.items():
            for name in sorted(getattr(space, "__all__", None) or dir(space)):
                thing = getattr(space, name, None)
                if name.startswith("_") or name in SKIPPED or isinstance(thing, types.ModuleType) or thing is None:
                    continue
                if (callable(thing) and not isinstance(thing, type)) or name in classes or f"{path}.{name}" in CALLS:
                    yield f"{path}.{name}", thing
                    if isinstance(thing, np.ufunc) and path == "numpy" and thing.signature is None:
                        for method in ("reduce", "accumulate", "outer", "reduceat", "at"):
                            yield f"{path}.{name}.{method}", getattr(thing, method)
    for name in METHODS:
        if name not in METHOD_SKIPPED:
            yield f"ndarray.{name}", name
    yield from QUESTIONS.items()


def call_of(name, thing):
    """What is done with the parts, or None where NumPy itself takes no call of ours."""
    if name in QUESTIONS:
        return QUESTIONS[name]
    if name.startswith("ndarray."):
        attribute = thing

        def method(f, a):
            value = f(a.m if attribute not in ("tolist",) else a.v)
            return value() if callable(value) else value

        chosen = CALLS.get(name, method)
        return lambda a: chosen(lambda x: getattr(x, attribute), a)
    if name in CALLS:
        return lambda a: CALLS[name](thing, a)
    if name.endswith(".at"):

        def at(a, shift):
            target = a.v + shift
            thing(target, [0, 2, 2], *([] if thing.__self__.nin == 1 else [a.w[:3]]))
            return target

        with np.errstate(all="ignore"):  # twice at one place: log(log(x)) is for larger x
            shift = 0.0 if works(lambda a: at(a, 0.0)) and np.isfinite(at(Parts(P.copy()), 0.0)).all() else 3.0
        return lambda a: at(a, shift)
    if name.endswith(".reduceat"):
        return lambda a: thing(a.v, [0, 2])
    for form in FORMS:
        with np.errstate(all="ignore"):
            try:
                made = form(thing, Parts(P.copy()))
            except Exception:
                continue
        if all(np.isfinite(leaf).all() for leaf in flat(made) if np.asarray(leaf).dtype.kind in "fc"):
            return lambda a, form=form: form(thing, a)
    return None


def works(call):
    """Whether NumPy itself takes the call."""
    with np.errstate(all="ignore"):
        try:
            call(Parts(P.copy()))
        except Exception:
            return False
    return True


def flat(made):
    """The numbers of an answer, in order: arrays and what is not a number as it is; complex ones by their parts."""
    if (
        type(made) is Complex
        or np.asarray(made if isinstance(made, (np.ndarray, np.generic)) else None).dtype.kind == "c"
    ):
        return flat([made.real, made.imag])
    if isinstance(made, (tuple, list)):
        return [leaf for part in made for leaf in flat(part)]
    if isinstance(made, dict):
        return [leaf for part in made.values() for leaf in flat(part)]
    if isinstance(made, types.GeneratorType) or hasattr(made, "__next__"):
        return [leaf for part in made for leaf in flat(part)]
    return [made.now() if isinstance(made, Buffered) else made]


def written(p):
    """The same numbers in an array that was made and then written into."""
    made = np.zeros(p.shape)
    made[:] = p
    return made


def classify(call, enter):
    """One of CLEAR, or what went wrong."""
    seen = {}

    def total(p):
        seen["out"] = flat(call(Parts(p, enter)))
        parts = [leaf for leaf in seen["out"] if isinstance(leaf, Traced) and leaf.dtype.kind == "f"]
        if not parts:
            return p.sum()
        return sum((part * (np.arange(part.size).reshape(part.shape) * 0.1 + 1)).sum() for part in parts)

    def plain(p):
        return [np.asarray(leaf) for leaf in flat(call(Parts(p)))]

    with np.errstate(all="ignore"):
        expected = plain(P.copy())
        try:
            gradient = pb.grad(total)(P)
        except PaybackError:
            return "raises"
        except Exception as problem:
            return f"{type(problem).__name__}: {str(problem)[:80]}"
        found = seen["out"]
        step = np.cos(np.arange(P.size)) * 1e-6
        high, low = plain(P + step), plain(P - step)
    if len(found) != len(expected):
        return f"{len(found)} answers instead of {len(expected)}"
    traced = False
    change = 0.0
    for leaf, value, up, down in zip(found, expected, high, low, strict=True):
        if isinstance(leaf, Traced) and leaf.dtype.kind == "f":
            traced = True
            if value.dtype.kind != "f":
                return f"a traced {leaf.dtype} instead of {value.dtype}"
            weights = np.arange(value.size).reshape(value.shape) * 0.1 + 1
            change += np.sum((up - down) * weights) / 2e-6
            leaf = leaf.value
        elif isinstance(leaf, Traced):
            leaf = leaf.value
        elif value.dtype.kind in "fc" and not np.array_equal(up, down, equal_nan=True):
            return "a plain answer that varies"
        bare = np.asarray(leaf)
        if bare.dtype == object and value.dtype != object:
            return "an object array"
        if value.dtype.kind in "fciub" and not np.allclose(bare, value, rtol=1e-10, atol=1e-12, equal_nan=True):
            return "another value than NumPy's"
        if value.dtype.kind in "fciub" and (bare.shape, bare.dtype) != (value.shape, value.dtype):
            return f"{bare.dtype}{bare.shape} instead of {value.dtype}{value.shape}"
    if not traced:
        return "constant"
    slope = gradient @ step / 1e-6
    return "differentiated" if np.isclose(slope, change, rtol=1e-5, atol=1e-6) else f"the slope {slope}, not {change}"


def probe():
    """{name: what became of it}, for the NumPy that is installed."""
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, thing in functions():
            call = call_of(name, thing)
            if call is None or not works(call):
                if not hasattr(getattr(thing, "__self__", None), "nin"):  # not every ufunc has every method
                    found[name] = "NOT CALLED"
                continue
            of_value, of_array = (classify(call, enter) for enter in (lambda p: p, written))
            found[name] = of_value if of_array == of_value else f"{of_value} | {of_array}"
    return found


def committed():
    lines = [line for line in LIST.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("\t", 1) for line in lines)


@pytest.fixture(scope="module")
def found():
    return probe()


# A class that extension modules look for when they are imported, so no wrapper can stand for it: it reads the memory of
# an array that has become traced, in which there are no numbers.
BARE = {"numpy.broadcast"}


def test_every_function_of_numpy_is_clear(found):
    unclear = {n: what for n, what in found.items() if n not in BARE and not set(what.split(" | ")) <= set(CLEAR)}
    assert unclear == {}


def test_the_list_is_what_numpy_does(found):
    """After a change for the better: python tests/trace/test_probe.py.  A name that this NumPy lacks is no change.

    Another NumPy than the list's may compute with what the list's refused.
    """
    known = committed()
    changed = {name: what for name, what in found.items() if name in known and known[name] != what}
    if f"NumPy {np.__version__}." not in LIST.read_text("utf-8").partition("\n")[0]:
        changed = {name: what for name, what in changed.items() if (known[name], what) != ("raises", "differentiated")}
    assert changed == {}


def bare(x):
    return pb.stop_gradient(x).value if isinstance(x, Traced) else x


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda a: bare(a.v) * 2.0, "a plain answer that varies"),
        (lambda a: np.full(1, 0.5, object) if isinstance(a.s, Traced) else np.array([0.5]), "an object array"),
        (lambda a: a.v * (3.0 if isinstance(a.s, Traced) else 2.0), "another value than NumPy's"),
        (lambda a: a.v[None] if isinstance(a.s, Traced) else a.v, "float64(1, 4) instead of float64(4,)"),
        (lambda a: [a.v] * (2 if isinstance(a.s, Traced) else 1), "2 answers instead of 1"),
        (lambda a: {}["k"] if isinstance(a.s, Traced) else a.v, "KeyError: 'k'"),
        (lambda a: len(3) if isinstance(a.s, Traced) else a.v, "TypeError: object of type 'int'"),
        (lambda a: a.v * bare(a.v), "the slope"),
        (lambda a: np.sin(a.v), "differentiated"),
        (lambda a: np.floor(a.v), "differentiated"),
        (lambda a: a.v.shape, "constant"),
        (lambda a: a.s.__float__(), "raises"),
    ],
)  # fmt: skip
def test_the_probe_sees_what_it_looks_for(call, what):
    assert classify(call, lambda p: p).startswith(what)


if __name__ == "__main__":
    made = probe()
    head = f"# What becomes of a traced argument; see test_probe.py, which writes this file.  NumPy {np.__version__}.\n"
    LIST.write_text(head + "".join(f"{name}\t{what}\n" for name, what in sorted(made.items())), "utf-8")
