"""The polynomials of `payback.native.vector_math`: found here, by Remez' exchange in mpmath's arithmetic.

    python -m benchmarks.minimax            # every polynomial's degree and error, compared with the file
    python -m benchmarks.minimax --write    # writes src/payback/native/vector_math/coefficients.py

Each entry approximates `target` on `interval` so that the largest |weight · (polynomial − target)| is smallest; the
weight makes that the relative error of the function that the polynomial is a part of.  The bound is in bits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 60
FILE = Path(__file__).parents[1] / "src/payback/native/vector_math/coefficients.py"
POINTS = 24  # of the grid, per coefficient

Function = Callable[[mp.mpf], mp.mpf]


@dataclass(frozen=True)
class Polynomial:
    name: str
    note: str  # what it approximates, for the comment above it
    target: Function
    weight: Function
    interval: tuple[mp.mpf, mp.mpf]
    degrees: dict[int, int]  # bits of the format: degree


def remez(target: Function, weight: Function, low: mp.mpf, high: mp.mpf, degree: int) -> tuple[list[mp.mpf], mp.mpf]:
    """The coefficients, lowest first, of the best polynomial on a grid that is dense at the ends, and its error."""
    count = POINTS * (degree + 2)
    middle, half = (low + high) / 2, (high - low) / 2
    grid = [middle - half * mp.cos(mp.pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    weights, goals = [weight(x) for x in grid], [target(x) for x in grid]
    powers = [[x**k for k in range(degree + 1)] for x in grid]
    chosen = [round((count - 1) * (1 - float(np.cos(np.pi * k / (degree + 1)))) / 2) for k in range(degree + 2)]
    chosen = sorted(set(chosen))
    for _ in range(60):
        system = mp.matrix(degree + 2, degree + 2)
        right = mp.matrix(degree + 2, 1)
        for row, at in enumerate(chosen):
            for k in range(degree + 1):
                system[row, k] = powers[at][k]
            system[row, degree + 1] = (-1) ** row / weights[at]
            right[row] = goals[at]
        solution = mp.lu_solve(system, right)
        coefficients, level = [solution[k] for k in range(degree + 1)], abs(solution[degree + 1])
        errors = [
            w * (mp.fsum(c * p for c, p in zip(coefficients, row, strict=True)) - goal)
            for w, row, goal in zip(weights, powers, goals, strict=True)
        ]
        worst = max(abs(e) for e in errors)
        if worst <= level * (1 + mp.mpf("1e-6")):
            break
        chosen = _exchange(errors, degree + 2)
    return coefficients, worst


def _exchange(errors: list[mp.mpf], count: int) -> list[int]:
    """The grid points of the largest errors with alternating signs."""
    runs: list[int] = []
    for at, error in enumerate(errors):
        if runs and (errors[runs[-1]] > 0) == (error > 0):
            if abs(error) > abs(errors[runs[-1]]):
                runs[-1] = at
        else:
            runs.append(at)
    while len(runs) > count:
        surplus = len(runs) - count
        ends = (0, -1) if surplus == 1 else None
        if ends:
            runs.pop(min(ends, key=lambda i: abs(errors[runs[i]])))
            continue
        least = min(range(len(runs)), key=lambda i: abs(errors[runs[i]]))
        if least in (0, len(runs) - 1):
            runs.pop(least)
        else:  # a neighbor goes with it, so that the signs still alternate
            side = min((least - 1, least + 1), key=lambda i: abs(errors[runs[i]]))
            for i in sorted((least, side), reverse=True):
                runs.pop(i)
    return runs


def _sqrt(function: Function) -> Function:
    """A function of z = x², given as one of x."""
    return lambda z: function(mp.sqrt(z))


LN2 = mp.log(2)
LOG_EDGE = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2
WIDER = mp.mpf("1.0001")  # a reduced argument may lie a little outside
TINY = mp.mpf("1e-12")  # where a target has a removable singularity at 0

TURN = (mp.sqrt(2) - 1) ** 2


def _scaled_erfc(x: mp.mpf) -> mp.mpf:
    if x > 40:  # the asymptotic series, to 10⁻³⁵
        t = 1 / (2 * x**2)
        return (1 + 2 * x) / (x * mp.sqrt(mp.pi)) * mp.fsum(mp.fac2(2 * k - 1) * (-t) ** k for k in range(25))
    with mp.workdps(400):
        return mp.exp(x**2) * mp.erfc(x) * (1 + 2 * x)


MIDDLE = (-mp.mpf("0.5000001"), mp.mpf("0.5000001"))  # of an argument between 1 and 2
DIGAMMA_ZERO = mp.findroot(mp.digamma, mp.mpf(1.46))


def _gammaln_quotient(t: mp.mpf) -> mp.mpf:
    r = t + mp.mpf(3) / 2
    return mp.loggamma(r) / ((r - 1) * (r - 2))


def _gammaln_rest(x: mp.mpf) -> mp.mpf:
    half = mp.mpf(1) / 2
    return mp.loggamma(x) - (x - half) * (mp.log(x) - 1) - (mp.log(2 * mp.pi) - 1) / 2


def _digamma_quotient(t: mp.mpf) -> mp.mpf:
    r = t + mp.mpf(3) / 2
    return mp.digamma(r) / (r - DIGAMMA_ZERO)


@cache
def _normal_quantile(r: mp.mpf) -> mp.mpf:
    """x with Φ(−x) = exp(−r²/2)."""
    return mp.findroot(lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2) + r**2 / 2, r - 1 / r)


def _of_large(function: Function) -> Function:
    """A function of w = 1/x², given as one of x."""
    return lambda w: function(1 / mp.sqrt(w))


POLYNOMIALS = [
    Polynomial(
        "EXP",
        "(eʳ − 1 − r) / r², |r| ≤ ½·ln 2",
        lambda r: (mp.expm1(r) - r) / r**2,
        lambda r: r**2 / mp.exp(r),
        (-LN2 / 2 * WIDER, LN2 / 2 * WIDER),
        {32: 4, 64: 9},
    ),
    Polynomial(
        "EXP2",
        "(2ʳ − 1 − r·ln 2) / r², |r| ≤ ½",
        lambda r: (mp.expm1(r * LN2) - r * LN2) / r**2,
        lambda r: r**2 / mp.exp(r * LN2),
        (-WIDER / 2, WIDER / 2),
        {32: 4, 64: 9},
    ),
    Polynomial(
        "LOG",
        "(2·artanh s − 2s) / s³ in z = s², |s| ≤ (√2 − 1)/(√2 + 1)",
        _sqrt(lambda s: (2 * mp.atanh(s) / s - 2) / s**2),
        lambda z: z / 2,
        (TINY, LOG_EDGE * WIDER),
        {32: 2, 64: 6},
    ),
    Polynomial(
        "LOG_OF_RATIO",
        "(2·artanh s − 2s) / s³ in z = s², |s| ≤ 1/5: for logit",
        _sqrt(lambda s: (2 * mp.atanh(s) / s - 2) / s**2),
        lambda z: z / 2,
        (TINY, mp.mpf("0.201") ** 2),
        {32: 2, 64: 7},
    ),
    Polynomial(
        "LOG_TAIL",
        "(2·artanh s − 2s − ⅔s³) / s⁵ in z = s²: for power, with the first terms in two words",
        _sqrt(lambda s: (2 * mp.atanh(s) / s - 2 - 2 * s**2 / 3) / s**4),
        lambda z: z**2 / 2,
        (TINY, LOG_EDGE * WIDER),
        {32: 2, 64: 7},
    ),
    Polynomial(
        "SIN",
        "(sin r − r) / r³ in z = r², |r| ≤ π/4",
        _sqrt(lambda r: (mp.sin(r) / r - 1) / r**2),
        _sqrt(lambda r: r**3 / mp.sin(r)),
        (TINY, (mp.pi / 4) ** 2 * WIDER),
        {32: 2, 64: 5},
    ),
    Polynomial(
        "COS",
        "(cos r − 1 + r²/2) / r⁴ in z = r², |r| ≤ π/4",
        _sqrt(lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4),
        _sqrt(lambda r: r**4 / mp.cos(r)),
        (TINY, (mp.pi / 4) ** 2 * WIDER),
        {32: 2, 64: 5},
    ),
    Polynomial(
        "SIN_OF_HALF_TURN",
        "(sin r − r) / r³ in z = r², |r| ≤ π/2",
        _sqrt(lambda r: (mp.sin(r) / r - 1) / r**2),
        _sqrt(lambda r: r**3 / mp.sin(r)),
        (TINY, (mp.pi / 2) ** 2 * WIDER),
        {32: 4},
    ),
    Polynomial(
        "ATAN",
        "(arctan t − t) / t³ in z = t², |t| ≤ √2 − 1",
        _sqrt(lambda t: (mp.atan(t) / t - 1) / t**2),
        _sqrt(lambda t: t**3 / mp.atan(t)),
        (TINY, TURN * WIDER),
        {32: 4, 64: 10},
    ),
    Polynomial(
        "ASIN",
        "(arcsin s − s) / s³ in z = s², |s| ≤ ½",
        _sqrt(lambda s: (mp.asin(s) / s - 1) / s**2),
        _sqrt(lambda s: s**3 / mp.asin(s)),
        (TINY, WIDER / 4),
        {32: 5, 64: 12},
    ),
    Polynomial(
        "SINH",
        "(sinh x − x) / x³ in z = x², |x| ≤ 1",
        _sqrt(lambda x: (mp.sinh(x) / x - 1) / x**2),
        _sqrt(lambda x: x**3 / mp.sinh(x)),
        (TINY, WIDER),
        {32: 3, 64: 6},
    ),
    Polynomial(
        "CBRT", "∛x between 1 and 2: a first guess", mp.cbrt, lambda x: 1 / mp.cbrt(x), (mp.mpf(1), mp.mpf(2)), {64: 3}
    ),
    Polynomial(
        "ERF",
        "erf(x)/x − 1 in z = x², |x| ≤ 1",
        _sqrt(lambda x: mp.erf(x) / x - 1),
        _sqrt(lambda x: x / mp.erf(x)),
        (TINY, WIDER),
        {32: 6, 64: 11},
    ),
    Polynomial(
        "LOG_ERFC",
        "−log erfc(x)/x − 1, 0 ≤ x ≤ 4: for erf in float32; the weight is for 1 − exp of it",
        lambda x: -mp.log(mp.erfc(x)) / x - 1,
        lambda x: x * mp.erfc(x) / mp.erf(x),
        (TINY, mp.mpf(4)),
        {32: 8},
    ),
    Polynomial(
        "ERFC",
        "exp(x²)·erfc(x)·(1 + 2x) in t = (x − 3)/(x + 3), ½ ≤ x",
        lambda t: _scaled_erfc(3 * (1 + t) / (1 - t)),
        lambda t: 1 / _scaled_erfc(3 * (1 + t) / (1 - t)),
        (mp.mpf(-2.5) / mp.mpf(3.5), 1 - TINY),
        {32: 11, 64: 24},
    ),
    Polynomial(
        "QUANTILE",
        "(Φ⁻¹(½ + u)/u − √(2π)) / u² in z = u², |u| ≤ 0.35",
        _sqrt(lambda u: (mp.sqrt(2) * mp.erfinv(2 * u) / u - mp.sqrt(2 * mp.pi)) / u**2),
        _sqrt(lambda u: u**3 / (mp.sqrt(2) * mp.erfinv(2 * u))),
        (TINY, mp.mpf("0.35") ** 2 * WIDER),
        {32: 7, 64: 20},
    ),
    Polynomial(
        "QUANTILE_TAIL",
        "r + Φ⁻¹(q) with r = s² = √(−2·log q) in t = (s − 2)/(s + 2), q ≤ 0.15",
        lambda t: (4 * ((1 + t) / (1 - t)) ** 2) - _normal_quantile(4 * ((1 + t) / (1 - t)) ** 2),
        lambda t: 1 / _normal_quantile(4 * ((1 + t) / (1 - t)) ** 2),
        (mp.mpf("-0.1782"), mp.mpf("0.5133")),
        {32: 8, 64: 23},
    ),
    Polynomial(
        "GAMMALN",
        "log Γ(r) / ((r − 1)·(r − 2)) − ½ in t = r − 3/2, 1 ≤ r ≤ 2",
        lambda t: _gammaln_quotient(t) - mp.mpf(1) / 2,
        lambda t: 1 / _gammaln_quotient(t),
        MIDDLE,
        {32: 9, 64: 21},
    ),
    Polynomial(
        "GAMMALN_TAIL",
        "x·(log Γ(x) − (x − ½)·(log x − 1) − ½·log 2π + ½) in w = 1/x², x ≥ 3",
        _of_large(lambda x: x * _gammaln_rest(x)),
        _of_large(lambda x: 1 / (x * mp.loggamma(x))),
        (TINY, WIDER / 9),
        {32: 2, 64: 9},
    ),
    Polynomial(
        "DIGAMMA",
        "ψ(r) / (r − x₀) − 1 in t = r − 3/2, 1 ≤ r ≤ 2",
        lambda t: _digamma_quotient(t) - 1,
        lambda t: 1 / _digamma_quotient(t),
        MIDDLE,
        {32: 10, 64: 22},
    ),
    Polynomial(
        "DIGAMMA_TAIL",
        "x²·(log x − 1/(2x) − ψ(x)) in w = 1/x², x ≥ 3",
        _of_large(lambda x: (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) * x**2),
        _of_large(lambda x: 1 / (x**2 * mp.digamma(x))),
        (TINY, WIDER / 9),
        {32: 2, 64: 10},
    ),
    Polynomial(
        "TRIGAMMA_TAIL",
        "x³·(ψ′(x) − 1/x − 1/(2x²)) in w = 1/x², x ≥ 2",
        _of_large(lambda x: (mp.psi(1, x) - 1 / x - 1 / (2 * x**2)) * x**3),
        _of_large(lambda x: 1 / (x**3 * mp.psi(1, x))),
        (TINY, WIDER / 4),
        {32: 5, 64: 17},
    ),
    Polynomial(
        "SINE",
        "(sin(πr)/π − r) / r³ in z = r², |r| ≤ ½",
        _sqrt(lambda r: (mp.sinpi(r) / (mp.pi * r) - 1) / r**2),
        _sqrt(lambda r: mp.pi * r**3 / mp.sinpi(r)),
        (TINY, WIDER / 4),
        {32: 4, 64: 7},
    ),
    Polynomial(
        "COT",
        "(πr·cot(πr) / (1 − 4r²) − 1) / r² in z = r², |r| ≤ ½",
        _sqrt(lambda r: (mp.pi * r * mp.cospi(r) / mp.sinpi(r) / (1 - 4 * r**2) - 1) / r**2),
        _sqrt(lambda r: r * (1 - 4 * r**2) / (mp.pi * mp.cospi(r) / mp.sinpi(r))),
        (TINY, WIDER / 4),
        {32: 5, 64: 13},
    ),
]


@dataclass(frozen=True)
class Constant:
    """A number in several words: their sum is closer to it than a float can be."""

    name: str
    note: str
    value: mp.mpf
    words: int = 2
    first: dict[int, int] | None = None  # bits of the format: significant bits of the first word (all, if not given)

    def split(self, bits: int) -> tuple[float, ...]:
        rest, found = self.value, []
        for at in range(self.words):
            kept = self.first[bits] if self.first and at == 0 else {32: 24, 64: 53}[bits]
            with mp.workprec(kept):
                word = +rest
            found.append(float(word))
            rest = rest - word
        return tuple(found)


CONSTANTS = [
    Constant("LN2", "ln 2; an exponent times the first word is exact", mp.log(2), first={32: 15, 64: 41}),
    Constant("LN2_WORDS", "ln 2", mp.log(2)),
    Constant("LOG2_E", "1/ln 2", 1 / mp.log(2)),
    Constant("LOG10_E", "1/ln 10", 1 / mp.log(10)),
    Constant("LOG10_2", "ln 2 / ln 10; an exponent times the first word is exact", mp.log10(2), first={32: 15, 64: 41}),
    Constant("TWO_THIRDS", "⅔", mp.mpf(2) / 3),
    Constant("HALF_PI", "π/2", mp.pi / 2, words=3),
    Constant("CBRT_2", "∛2", mp.cbrt(2)),
    Constant("CBRT_4", "∛4", mp.cbrt(4)),
    Constant("ROOT_HALF", "√½", mp.sqrt(mp.mpf(1) / 2)),
    Constant("ROOT_2PI", "√(2π)", mp.sqrt(2 * mp.pi)),
    Constant("DIGAMMA_ZERO", "x₀ − 1 with ψ(x₀) = 0", DIGAMMA_ZERO - 1),
]


def two_over_pi(bits: int) -> int:
    with mp.workprec(bits + 64):
        return int(mp.floor(2 / mp.pi * mp.mpf(2) ** bits))


def table() -> list[tuple[Polynomial, dict[int, tuple[list[float], float]]]]:
    return [
        (
            p,
            {
                bits: ([float(x) for x in c], -float(mp.log(e, 2)))
                for bits, degree in p.degrees.items()
                for c, e in [remez(p.target, p.weight, *p.interval, degree)]
            },
        )
        for p in POLYNOMIALS
    ]


def text(entries: list[tuple[Polynomial, dict[int, tuple[list[float], float]]]]) -> str:
    digits = f"{two_over_pi(1472):x}"
    lines = [
        '"""Coefficients of polynomials, lowest power first, by the bits of the format: made by benchmarks/minimax.py.',
        "",
        "Each comment names what is approximated, and to how many bits, relative to the function it is a part of.",
        "Those for float32 have more digits than it holds: some are used in float64.",
        '"""',
        "",
        "# fmt: off",
    ]
    for constant in CONSTANTS:
        lines += [f"# {constant.note}", f"{constant.name} = {{"]
        lines += [f"    {bits}: {constant.split(bits)!r}," for bits in (32, 64)]
        lines.append("}")
    lines += [
        "# ⌊2/π · 2¹⁴⁷²⌋",
        "TWO_OVER_PI = int(",
        *[f'    "{digits[k : k + 92]}"' for k in range(0, len(digits), 92)],
        "    , 16)",
    ]
    for p, found in entries:
        bounds = ", ".join(f"{bits}: {error:.1f}" for bits, (_, error) in found.items())
        lines += [f"# {p.note}; bits: {bounds}", f"{p.name} = {{"]
        for bits, (coefficients, _) in found.items():
            lines.append(f"    {bits}: [")
            for k in range(0, len(coefficients), 4):
                lines.append("        " + " ".join(f"{c!r}," for c in coefficients[k : k + 4]))
            lines.append("    ],")
        lines.append("}")
    return "\n".join([*lines, "# fmt: on", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the file of coefficients")
    options = parser.parse_args()
    entries = table()
    for p, found in entries:
        for bits, (coefficients, error) in found.items():
            print(f"{p.name:<18} float{bits}  degree {len(coefficients) - 1:>2}  2^-{error:.1f}")
    if options.write:
        FILE.write_text(text(entries), encoding="utf-8")
        return 0
    same = FILE.read_text(encoding="utf-8") == text(entries)
    print("the file agrees" if same else "the file differs: --write")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
