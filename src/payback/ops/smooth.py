"""Smooth functions each derivative of which is in the same family: one row for all of its members."""

from __future__ import annotations

from typing import Any

from payback.ops.row import Row, like_first


def _sinc_slope(m: Any, x: Any, order: int) -> Any:
    return m.sinc(x, order=order + 1)


def _bessel_slope(m: Any, x: Any, order: int) -> Any:
    """I₀′ = I₁, and 2Iₙ′ = Iₙ₋₁ + Iₙ₊₁."""
    above = m.bessel_i(x, order=order + 1)
    return above if order == 0 else (m.bessel_i(x, order=order - 1) + above) * 0.5


for _name, _slope, _math in (
    ("sinc", _sinc_slope, "the next derivative of sin(πx)/(πx)"),
    ("bessel_i", _bessel_slope, "I₁ of I₀; (Iₙ₋₁ + Iₙ₊₁)/2"),
):
    Row(
        _name,
        "own",
        (lambda name: lambda m, x, order: getattr(m, name)(x, order=order))(_name),
        shape=like_first,
        vjp=(lambda slope: lambda m, bar, args, y, wanted, order: [bar * slope(m, args[0], order)])(_slope),
        jvp=(lambda slope: lambda m, dots, args, y, order: dots[0] * slope(m, args[0], order))(_slope),
        numeric="float",
        math=_math,
    )
