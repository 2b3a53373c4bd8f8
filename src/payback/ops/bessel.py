"""Bessel functions and their kin, by their argument; the order has no derivative.

Derivatives: NIST Digital Library of Mathematical Functions, chapters 9 to 11.
"""

from __future__ import annotations

import math
from typing import Any

from payback.ops.special import scipy_special, special

# fmt: off
special("j0", lambda m, x, y: -m.j1(x), math="−J₁")
special("j1", lambda m, x, y: (m.j0(x) - m.jv(2.0, x)) * 0.5, math="(J₀ − J₂)/2")
special("y0", lambda m, x, y: -m.y1(x), math="−Y₁", domain="x > 0")
special("y1", lambda m, x, y: (m.y0(x) - m.yv(2.0, x)) * 0.5, math="(Y₀ − Y₂)/2", domain="x > 0")
special("i0", lambda m, x, y: m.i1(x), math="I₁")
special("i1", lambda m, x, y: (m.i0(x) + m.iv(2.0, x)) * 0.5, math="(I₀ + I₂)/2")
special("i0e", lambda m, x, y: m.i1e(x) - m.sign(x) * y, math="i1e − sign(x)·y", kink="x = 0, taken as 0")
special("i1e", lambda m, x, y: (m.i0e(x) + m.ive(2.0, x)) * 0.5 - m.sign(x) * y, math="(i0e + ive₂)/2 − sign(x)·y")
special("k0", lambda m, x, y: -m.k1(x), math="−K₁", domain="x > 0")
special("k1", lambda m, x, y: (m.k0(x) + m.kv(2.0, x)) * -0.5, math="−(K₀ + K₂)/2", domain="x > 0")
special("k0e", lambda m, x, y: y - m.k1e(x), math="y − k1e", domain="x > 0")
special("k1e", lambda m, x, y: y - (m.k0e(x) + m.kve(2.0, x)) * 0.5, math="y − (k0e + kve₂)/2", domain="x > 0")
# fmt: on


def _bessel(name: str, below: float, above: float, math: str, damping: Any = None) -> None:
    """A function of an order and an argument, whose derivative is half the sum of its neighbors with these signs."""

    def partial(m: Any, n: Any, x: Any, y: Any) -> Any:
        row = getattr(m, name)
        made = row(n - 1.0, x) * (0.5 * below) + row(n + 1.0, x) * (0.5 * above)
        return made if damping is None else made + damping(m, x) * y

    special(name, "order", partial, math=math)


_bessel("jv", 1.0, -1.0, "(Jₙ₋₁ − Jₙ₊₁)/2")
_bessel("yv", 1.0, -1.0, "(Yₙ₋₁ − Yₙ₊₁)/2")
_bessel("iv", 1.0, 1.0, "(Iₙ₋₁ + Iₙ₊₁)/2")
_bessel("kv", -1.0, -1.0, "−(Kₙ₋₁ + Kₙ₊₁)/2")
_bessel("ive", 1.0, 1.0, "(iveₙ₋₁ + iveₙ₊₁)/2 − sign(x)·y", lambda m, x: -m.sign(x))
_bessel("kve", -1.0, -1.0, "y − (kveₙ₋₁ + kveₙ₊₁)/2", lambda m, x: 1.0)

# of whole orders, by other algorithms
special("yn", "order", lambda m, n, x, y: (m.yv(n - 1.0, x) - m.yv(n + 1.0, x)) * 0.5, math="(Yₙ₋₁ − Yₙ₊₁)/2")
special("kn", "order", lambda m, n, x, y: (m.kv(n - 1.0, x) + m.kv(n + 1.0, x)) * -0.5, math="−(Kₙ₋₁ + Kₙ₊₁)/2")


def _struve(name: str, sign: float, math_: str) -> None:
    """Hₙ and Lₙ: of the recurrences 11.4.25 and 11.4.30, whose last term is a power."""

    def partial(m: Any, n: Any, x: Any, y: Any) -> Any:
        row = getattr(m, name)
        last = m.power(x * 0.5, n) * m.rgamma(n + 1.5) * (0.5 / math.sqrt(math.pi))
        return (row(n - 1.0, x) + row(n + 1.0, x) * sign) * 0.5 + last

    special(name, "order", partial, math=math_)


_struve("struve", -1.0, "(Hₙ₋₁ − Hₙ₊₁ + (x/2)ⁿ/(√π·Γ(n + 3/2)))/2")
_struve("modstruve", 1.0, "(Lₙ₋₁ + Lₙ₊₁ + (x/2)ⁿ/(√π·Γ(n + 3/2)))/2")


def _spherical(name: str, below: float, above: float, math: str) -> None:
    """A function of a whole order: (±n·fₙ₋₁ ± (n + 1)·fₙ₊₁)/(2n + 1), 10.51.2 and 10.51.5."""

    def value(n: Any, x: Any) -> Any:
        made = getattr(scipy_special(), name)(whole(n), x)
        return made.astype(x.dtype) if hasattr(x, "dtype") else made

    def partial(m: Any, n: Any, x: Any, y: Any) -> Any:
        row = getattr(m, name)
        lower = row(m.maximum(n - 1.0, 0.0), x) * n
        return m.div(lower * below + row(n + 1.0, x) * (n + 1.0) * above, n * 2.0 + 1.0)

    special(name, "order", partial, scipy=value, math=math)


def whole(n: Any) -> Any:
    """An order that SciPy takes for a whole number."""
    return n.astype(int) if hasattr(n, "astype") else int(n)


_spherical("spherical_jn", 1.0, -1.0, "(n·jₙ₋₁ − (n + 1)·jₙ₊₁)/(2n + 1)")
_spherical("spherical_yn", 1.0, -1.0, "(n·yₙ₋₁ − (n + 1)·yₙ₊₁)/(2n + 1)")
_spherical("spherical_in", 1.0, 1.0, "(n·iₙ₋₁ + (n + 1)·iₙ₊₁)/(2n + 1)")
_spherical("spherical_kn", -1.0, -1.0, "−(n·kₙ₋₁ + (n + 1)·kₙ₊₁)/(2n + 1)")


# Airy functions and Kelvin's: SciPy computes several at once, each is a row -------------------------------------


def part_of(name: str, k: int) -> Any:
    return lambda *args: getattr(scipy_special(), name)(*args)[k]


# fmt: off
special("airy_ai", lambda m, x, y: m.airy_aip(x), scipy=part_of("airy", 0), math="Ai′")
special("airy_aip", lambda m, x, y: x * m.airy_ai(x), scipy=part_of("airy", 1), math="x·Ai")
special("airy_bi", lambda m, x, y: m.airy_bip(x), scipy=part_of("airy", 2), math="Bi′")
special("airy_bip", lambda m, x, y: x * m.airy_bi(x), scipy=part_of("airy", 3), math="x·Bi")
for _real, _imag in (("ber", "bei"), ("ker", "kei")):
    special(_real, lambda m, x, y, f=f"{_real}p": getattr(m, f)(x), math=f"{_real}′")
    special(_imag, lambda m, x, y, f=f"{_imag}p": getattr(m, f)(x), math=f"{_imag}′")
    special(f"{_real}p", lambda m, x, y, f=_imag: -getattr(m, f)(x) - m.div(y, x), math=f"−{_imag} − y/x")
    special(f"{_imag}p", lambda m, x, y, f=_real: getattr(m, f)(x) - m.div(y, x), math=f"{_real} − y/x")
# fmt: on
