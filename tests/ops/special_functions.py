"""Uses of special functions and the same functions in mpmath: `test_special_functions.py` runs them.

A use is (call, exact, points for each argument); row k of all arguments is one point.  An argument given by one number
is a plain one, by which the function has no derivative in payback.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np
import scipy.special as sp

import payback as pb
from payback.ir.node import ancestors
from payback.trace.shim.shim import call

_ANY = (-2.5, -0.75, 0.0, 0.3, 1.25, 6.0)
_ABOVE = (0.125, 0.4, 0.8, 1.5, 3.0, 9.0)
_MORE = (0.5, 2.5, 1.0, 0.25, 4.0, 1.75)
_SHARE = (0.05, 0.2, 0.4, 0.5, 0.75, 0.95)
_HALF, _WHOLE = mp.mpf(1) / 2, np.int64(7)


def _beta(a, b, x):
    return mp.betainc(a, b, 0, x, regularized=True)


def _student(df, t):
    tail = mp.betainc(df / 2, _HALF, 0, df / (df + t * t), regularized=True) / 2
    return tail if t < 0 else 1 - tail


def _gamma(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def _inverse(f, start):
    """The argument at which f takes a value, near where SciPy has it."""
    return lambda *args: mp.findroot(lambda y: f(*args[:-1], y) - args[-1], start(*map(float, args)))


def _owens(h, a):
    return mp.quad(lambda t: mp.exp(-h * h * (1 + t * t) / 2) / (1 + t * t), [0, a]) / (2 * mp.pi)


def _huber(d, x):
    return x * x / 2 if abs(x) <= d else d * (abs(x) - d / 2)


def _sinus(n):
    """An elliptic function of Jacobi's."""
    return lambda u, m: mp.ellipfun(n, u, m=m)


def _series_of_zero(name):
    return lambda x: getattr(mp, name)(0, x)


def _slope_of_zero(name):
    return lambda x: mp.diff(lambda z: getattr(mp, name)(0, z), x)


def _series(f):
    return lambda n, x: f(int(n), x)


# rows that only derivatives are made of: of a probability by a parameter, of the digamma function none
DERIVATIVES = {"gammainc_by_a", "betainc_by_a", "betainc_by_b", "gammasgn"}
USES = {
    "erfi": (sp.erfi, mp.erfi, _ANY[:5]),
    "dawsn": (sp.dawsn, lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x), (*_ANY, -13.0, 25.0, 300.0)),
    "ndtri_exp": (sp.ndtri_exp, lambda x: mp.sqrt(2) * mp.erfinv(2 * mp.exp(x) - 1), (-3.0, -1.0, -0.4, -0.1)),
    "owens_t": (sp.owens_t, _owens, _ANY[:5], (0.5, -2.0, 1.0, 0.0, 0.75)),
    "trigamma": (lambda x: sp.polygamma(1, x), lambda x: mp.psi(1, x), (-2.5, -0.4, *_ABOVE)),
    "rgamma": (sp.rgamma, mp.rgamma, (-3.5, -2.0, -0.4, 0.0, *_ABOVE)),
    "loggamma": (sp.loggamma, mp.loggamma, _ABOVE),
    "poch": (sp.poch, mp.rf, _ABOVE, _MORE),
    "binom": (sp.binom, mp.binomial, (2.5, 4.0, 7.75), (1.25, 2.0, 0.5)),
    "powm1": (sp.powm1, lambda x, y: x**y - 1, _ABOVE, _MORE),
    "cosm1": (sp.cosm1, lambda x: mp.cos(x) - 1, _ANY),
    "exprel": (sp.exprel, lambda x: mp.expm1(x) / x if x else mp.mpf(1), (*_ANY, 1e-9, 40.0, -40.0)),
    "boxcox": (
        sp.boxcox,
        lambda x, p: mp.quad(lambda t: t ** (p - 1), [1, x]),
        _ABOVE,
        (0.0, 2.0, -1.5, 1e-6, 1.0, 0.5),
    ),
    "boxcox1p": (
        sp.boxcox1p,
        lambda x, p: mp.quad(lambda t: t ** (p - 1), [1, 1 + x]),
        _ABOVE,
        (0.0, 2, -1, 1e-6, 1, 0.5),
    ),
    "inv_boxcox": (sp.inv_boxcox, lambda x, p: (1 + p * x) ** (1 / p), _SHARE, (1.0, 2.0, -0.5, 1e-3, -0.2, 0.5)),
    "inv_boxcox1p": (
        sp.inv_boxcox1p,
        lambda x, p: (1 + p * x) ** (1 / p) - 1,
        _SHARE,
        (1.0, 2.0, -0.5, 1e-3, -0.2, 3.0),
    ),
    "huber": (sp.huber, _huber, _MORE, (-2.5, 0.75, 0.0, 0.3, 1.25, 6.0)),
    "pseudo_huber": (sp.pseudo_huber, lambda d, x: d * d * (mp.sqrt(1 + (x / d) ** 2) - 1), _MORE, _ANY),
    "wrightomega": (sp.wrightomega, lambda x: mp.lambertw(mp.exp(x)), _ANY),
    "k0e": (sp.k0e, lambda x: mp.exp(x) * mp.besselk(0, x), _ABOVE),
    "k1e": (sp.k1e, lambda x: mp.exp(x) * mp.besselk(1, x), _ABOVE),
    "jv": (sp.jv, mp.besselj, 1.5, _ABOVE),
    "yv": (sp.yv, mp.bessely, 0.5, _ABOVE),
    "iv": (sp.iv, mp.besseli, 1.5, _ABOVE),
    "kv": (sp.kv, mp.besselk, 2.0, _ABOVE),
    "jve": (sp.jve, mp.besselj, 2, _ANY),
    "yve": (sp.yve, mp.bessely, 1, _ABOVE),
    "ive": (sp.ive, lambda n, x: mp.exp(-abs(x)) * mp.besseli(n, x), 1.5, _ABOVE),
    "kve": (sp.kve, lambda n, x: mp.exp(x) * mp.besselk(n, x), 1.5, _ABOVE),
    "yn": (sp.yn, mp.bessely, 2, _ABOVE),
    "kn": (sp.kn, mp.besselk, 3, _ABOVE),
    "struve": (sp.struve, mp.struveh, 0.5, _ABOVE),
    "modstruve": (sp.modstruve, mp.struvel, 1.0, _ABOVE),
    "spherical_jn": (
        lambda n, x: sp.spherical_jn(n, x),
        lambda n, x: mp.sqrt(mp.pi / 2 / x) * mp.besselj(n + _HALF, x),
        2,
        _ABOVE,
    ),
    "spherical_yn": (
        lambda n, x: sp.spherical_yn(n, x),
        lambda n, x: mp.sqrt(mp.pi / 2 / x) * mp.bessely(n + _HALF, x),
        1,
        _ABOVE,
    ),
    "spherical_in": (
        lambda n, x: sp.spherical_in(n, x),
        lambda n, x: mp.sqrt(mp.pi / 2 / x) * mp.besseli(n + _HALF, x),
        0,
        _ABOVE,
    ),
    "spherical_kn": (
        lambda n, x: sp.spherical_kn(n, x),
        lambda n, x: mp.sqrt(mp.pi / 2 / x) * mp.besselk(n + _HALF, x),
        2,
        _ABOVE,
    ),
    "spherical slope": (
        lambda x: sp.spherical_jn(1, x, True),
        lambda x: mp.diff(lambda z: mp.sin(z) / z**2 - mp.cos(z) / z, x),
        _ABOVE,
    ),
    **{name: (getattr(sp, name), _series_of_zero(name), _ABOVE[:5]) for name in ("ber", "bei", "ker", "kei")},
    **{
        f"{name}p": (getattr(sp, f"{name}p"), _slope_of_zero(name), _ABOVE[:5]) for name in ("ber", "bei", "ker", "kei")
    },
    "hyp0f1": (sp.hyp0f1, mp.hyp0f1, 1.5, _ANY),
    "hyp1f1": (sp.hyp1f1, mp.hyp1f1, 0.5, 1.75, _ANY),
    "hyp2f1": (sp.hyp2f1, mp.hyp2f1, 0.5, 1.25, 2.0, (-3.0, -0.5, 0.0, 0.3, 0.8)),
    "hyperu": (sp.hyperu, mp.hyperu, 0.5, 1.75, _ABOVE),
    "ellipk": (sp.ellipk, mp.ellipk, (-30.0, -0.6, -0.3, 0.0, 1e-9, 0.2, 0.6, 0.99)),
    "ellipe": (sp.ellipe, mp.ellipe, (-30.0, -0.6, -0.3, 0.0, 1e-9, 0.2, 0.6, 0.99)),
    "ellipkm1": (sp.ellipkm1, lambda p: mp.ellipk(1 - p), (1e-12, 0.01, 0.3, 0.7, 1.0, 1.4, 9.0)),
    "ellipkinc": (sp.ellipkinc, mp.ellipf, _ANY[:5], 0.5),
    "ellipeinc": (sp.ellipeinc, mp.ellipe, _ANY[:5], 0.5),
    "agm": (sp.agm, mp.agm, _ABOVE, (0.125, 3.0, 0.8001, 1e-6, 100.0, 9.0)),
    "ellipj": (
        lambda u: sp.ellipj(u, 0.3)[0] + 2 * sp.ellipj(u, 0.3)[1] + 3 * sp.ellipj(u, 0.3)[2],
        lambda u: _sinus("sn")(u, 0.3) + 2 * _sinus("cn")(u, 0.3) + 3 * _sinus("dn")(u, 0.3),
        _ANY[:5],
    ),
    "ellipj's amplitude": (
        lambda u: sp.ellipj(u, 0.3)[3],
        lambda u: mp.asin(_sinus("sn")(u, 0.3)),
        (-0.75, 0.0, 0.3, 1.25),
    ),
    "spence": (sp.spence, lambda x: mp.polylog(2, 1 - x), (0.01, 0.4, 0.6, 1.0, 1.3, 1.9)),
    "sici": (lambda x: sp.sici(x)[0] + 2 * sp.sici(x)[1], lambda x: mp.si(x) + 2 * mp.ci(x), _ABOVE),
    "sine integral": (lambda x: sp.sici(x)[0], mp.si, _ANY),
    "shichi": (lambda x: sp.shichi(x)[0] + 2 * sp.shichi(x)[1], lambda x: mp.shi(x) + 2 * mp.chi(x), _ABOVE),
    "fresnel": (
        lambda x: sp.fresnel(x)[0] + 2 * sp.fresnel(x)[1],
        lambda x: mp.fresnels(x) + 2 * mp.fresnelc(x),
        _ANY[:5],
    ),
    "expn": (sp.expn, lambda n, x: mp.expint(int(n), x), 3, _ABOVE),
    "expn of order 0": (sp.expn, lambda n, x: mp.exp(-x) / x, 0, _ABOVE),
    "zeta": (lambda n, x: sp.zeta(n, x), mp.zeta, 2.5, _ABOVE),
    "airy": (
        lambda x: sum(sp.airy(x)),
        lambda x: mp.airyai(x) + mp.airyai(x, derivative=1) + mp.airybi(x) + mp.airybi(x, derivative=1),
        _ANY[:5],
    ),
    "eval_legendre": (sp.eval_legendre, _series(mp.legendre), 4, _ANY[:5]),
    "eval_chebyt": (sp.eval_chebyt, _series(mp.chebyt), 4, _ANY[:5]),
    "eval_chebyu": (sp.eval_chebyu, _series(mp.chebyu), 3, _ANY[:5]),
    "eval_chebyc": (sp.eval_chebyc, lambda n, x: 2 * mp.chebyt(int(n), x / 2), 3, _ANY[:5]),
    "eval_sh_legendre": (sp.eval_sh_legendre, lambda n, x: mp.legendre(int(n), 2 * x - 1), 3, _ANY[:5]),
    "eval_gegenbauer": (sp.eval_gegenbauer, lambda n, a, x: mp.gegenbauer(int(n), a, x), 3, 0.75, _ANY[:5]),
    "eval_jacobi": (sp.eval_jacobi, lambda n, a, b, x: mp.jacobi(int(n), a, b, x), 3, 0.75, 1.5, _ANY[:5]),
    "eval_laguerre": (sp.eval_laguerre, lambda n, x: mp.laguerre(int(n), 0, x), 3, _ANY),
    "eval_genlaguerre": (sp.eval_genlaguerre, lambda n, a, x: mp.laguerre(int(n), a, x), 3, 0.5, _ANY),
    "eval_hermite": (sp.eval_hermite, _series(mp.hermite), 4, _ANY),
    "eval_hermitenorm": (
        sp.eval_hermitenorm,
        lambda n, x: mp.hermite(int(n), x / mp.sqrt(2)) / mp.sqrt(2) ** int(n),
        4,
        _ANY,
    ),
    "eval_legendre of degree 0": (sp.eval_legendre, _series(mp.legendre), 0, _ANY[:5]),
    "gammainc": (sp.gammainc, _gamma, (0.01, 0.3, 1.0, 4.5, 30.0, 2.0), (0.3, 0.02, 2.0, 3.0, 33.0, 12.0)),
    "gammaincc": (
        sp.gammaincc,
        lambda a, x: mp.gammainc(a, x, regularized=True),
        (0.3, 1.0, 4.5, 2.0),
        (0.02, 2.0, 3.0, 12.0),
    ),
    "gammaincinv": (sp.gammaincinv, _inverse(_gamma, sp.gammaincinv), (0.75, 2.0, 9.0), (0.3, 0.9, 0.05)),
    "gammainccinv": (
        sp.gammainccinv,
        _inverse(lambda a, x: 1 - _gamma(a, x), sp.gammainccinv),
        (0.75, 2.0, 9.0),
        (0.3, 0.9, 0.05),
    ),
    "betainc": (
        sp.betainc,
        _beta,
        (0.02, 0.5, 2.0, 7.0, 3.0, 40.0),
        (3.0, 0.5, 2.5, 2.0, 0.03, 30.0),
        (0.01, 0.9, 0.4, 0.6, 0.7, 0.55),
    ),
    "betaincc": (sp.betaincc, lambda a, b, x: 1 - _beta(a, b, x), (0.5, 2.0, 7.0), (0.5, 2.5, 2.0), (0.9, 0.4, 0.6)),
    "betaincinv": (sp.betaincinv, _inverse(_beta, sp.betaincinv), (0.75, 2.0, 7.0), (1.5, 2.5, 2.0), (0.6, 0.4, 0.1)),
    "betainccinv": (
        sp.betainccinv,
        _inverse(lambda a, b, x: 1 - _beta(a, b, x), sp.betainccinv),
        (0.75, 2.0),
        (1.5, 2.5),
        (0.6, 0.4),
    ),
    "stdtr": (sp.stdtr, _student, (0.5, 3.0, 30.0, 2.0, 7.5), (-4.0, 0.25, 1.5, -0.5, 9.0)),
    "stdtrit": (sp.stdtrit, _inverse(_student, sp.stdtrit), (0.75, 3.0, 30.0), (0.1, 0.6, 0.95)),
    "chdtr": (sp.chdtr, lambda v, x: _gamma(v / 2, x / 2), _ABOVE, _MORE),
    "chdtri": (sp.chdtri, _inverse(lambda v, x: 1 - _gamma(v / 2, x / 2), sp.chdtri), (3.0, 5.5), (0.3, 0.9)),
    "gdtr": (sp.gdtr, lambda a, b, x: _gamma(b, a * x), (0.5, 2.0, 1.0), (1.5, 0.5, 4.0), (1.0, 2.0, 3.0)),
    "gdtrix": (
        sp.gdtrix,
        lambda a, b, p: _inverse(_gamma, sp.gammaincinv)(b, p) / a,
        (0.5, 2.0),
        (1.5, 0.5),
        (0.3, 0.8),
    ),
    "pdtr": (sp.pdtr, lambda k, m: mp.gammainc(k + 1, m, regularized=True), 3.0, _ABOVE),
    "pdtrc": (sp.pdtrc, lambda k, m: _gamma(k + 1, m), 3.0, _ABOVE),
    "bdtr": (lambda p: sp.bdtr(3.0, _WHOLE, p), lambda p: 1 - _beta(mp.mpf(4), mp.mpf(4), p), _SHARE),
    "bdtrc": (lambda p: sp.bdtrc(3.0, _WHOLE, p), lambda p: _beta(mp.mpf(4), mp.mpf(4), p), _SHARE),
    "nbdtr": (lambda p: sp.nbdtr(np.int64(3), _WHOLE, p), lambda p: _beta(mp.mpf(7), mp.mpf(4), p), _SHARE),
    "nbdtrc": (lambda p: sp.nbdtrc(np.int64(3), _WHOLE, p), lambda p: 1 - _beta(mp.mpf(7), mp.mpf(4), p), _SHARE),
    "fdtr": (
        sp.fdtr,
        lambda n, d, x: _beta(n / 2, d / 2, n * x / (d + n * x)),
        (2.0, 5.0, 9.0),
        (3.0, 4.5, 12.0),
        (0.3, 1.0, 2.5),
    ),
    "fdtrc": (
        sp.fdtrc,
        lambda n, d, x: _beta(d / 2, n / 2, d / (d + n * x)),
        (2.0, 5.0, 9.0),
        (3.0, 4.5, 12.0),
        (0.3, 1.0, 2.5),
    ),
    "fdtri": (
        sp.fdtri,
        _inverse(lambda n, d, x: _beta(n / 2, d / 2, n * x / (d + n * x)), sp.fdtri),
        (3.0, 5.0),
        (3.0, 9.0),
        (0.2, 0.8),
    ),
    "voigt_profile": (
        sp.voigt_profile,
        lambda x, s, g: (
            mp.re(mp.exp(-((z := mp.mpc(x, g) / s / mp.sqrt(2)) ** 2)) * mp.erfc(-1j * z)) / (s * mp.sqrt(2 * mp.pi))
        ),
        (0.5, -3.0, 90.0),
        (1.0, 0.5, 0.75),
        (0.5, 2.0, 1.0),
    ),
    "lambertw": (lambda x: sp.lambertw(x).real, lambda x: mp.re(mp.lambertw(x)), (-3.0, -0.3, 0.0, 0.5, 20.0)),
    "lambertw below": (lambda x: sp.lambertw(x, -1).real, lambda x: mp.re(mp.lambertw(x, -1)), (-0.3, -0.01, 0.5)),
    "wofz": (
        lambda x, y: (w := sp.wofz(x + 1j * y)).real + 2 * w.imag,
        lambda x, y: mp.re(w := mp.exp(-(mp.mpc(x, y) ** 2)) * mp.erfc(-1j * mp.mpc(x, y))) + 2 * mp.im(w),
        (0.5, -2.0, 30.0, 0.0),
        (1.0, -0.5, 0.0, 40.0),
    ),
    "complex erf": (
        lambda x, y: np.abs(sp.erf(x + 1j * y)) + sp.erfc(x - 1j * y).imag,
        lambda x, y: abs(mp.erf(mp.mpc(x, y))) + mp.im(mp.erfc(mp.mpc(x, -y))),
        (0.5, -1.5),
        (1.0, 0.75),
    ),
    "factorial": (lambda n: sp.factorial(n), mp.factorial, _ABOVE),
    "comb": (lambda n, k: sp.comb(n, k), mp.binomial, (2.5, 7.0), (1.25, 3.0)),
    "perm": (lambda n, x: sp.perm(n, x), lambda n, k: mp.rf(n - k + 1, k), (2.5, 7.0), (1.25, 3.0)),
    "diric": (lambda x: sp.diric(x, 5), lambda x: mp.sin(5 * x / 2) / (5 * mp.sin(x / 2)), (0.3, -1.0, 4.0, 9.0)),
    "cosdg": (sp.cosdg, lambda x: mp.cos(x * mp.pi / 180), _ANY),
    "tandg": (sp.tandg, lambda x: mp.tan(x * mp.pi / 180), _ANY),
    "cotdg": (sp.cotdg, lambda x: mp.cot(x * mp.pi / 180), _ABOVE),
    "sindg": (sp.sindg, lambda x: mp.sin(x * mp.pi / 180), _ANY),
}


def use(name, dtype=float):
    """The function of its live arguments, and the points."""
    of_name, _, *columns = USES[name]
    live = [i for i, column in enumerate(columns) if isinstance(column, tuple)]

    def f(*xs):
        given = list(columns)
        for i, x in zip(live, xs, strict=True):
            given[i] = x
        return of_name(*given)

    return f, tuple(np.array(columns[i], dtype) for i in live)


def rows():
    """Of the table, that the uses are made of."""
    found = set(DERIVATIVES)
    for name in USES:
        f, points = use(name)
        inputs = [pb.variable(p) for p in points]
        with np.errstate(all="ignore"):
            found |= {node.op.name for node in ancestors([call(f, inputs, {}).node])}
    return found
