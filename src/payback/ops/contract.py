"""The contraction: linear in each argument, so each adjoint is a contraction with the other one."""

from __future__ import annotations

from typing import Any

from payback.ir.aval import Aval
from payback.ops.contraction import Spec, adjoints, contract_shape
from payback.ops.namespace import Values
from payback.ops.row import Row


def _shape(a: Aval, b: Aval, spec: Spec) -> Aval:
    return Aval(contract_shape(a.shape, b.shape, spec), a.dtype)


def _adjoint(m: Any, bar: Any, slot: int, a: Any, b: Any, spec: Spec) -> Any:
    if m is Values:
        to_a, to_b = adjoints(spec)
        return to_a(bar, b) if slot == 0 else to_b(a, bar)
    left, right, out = spec
    return m.contract(bar, b, spec=(out, right, left)) if slot == 0 else m.contract(a, bar, spec=(left, out, right))


Row(
    "contract",
    "linear",
    lambda m, a, b, spec: m.contract(a, b, spec=spec),
    shape=_shape,
    adjoint=_adjoint,
    math="the other argument",
)
