"""Elementary functions of a body that are made of one exponential: sigmoid(a − b), sigmoid(b − a), logaddexp(a, b)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from payback.native import ir, vector_math
from payback.native.codegen.emit import Emitter, lanes_of
from payback.native.vector_math import logistic

Instr = tuple[Any, ...]


class Shared(NamedTuple):
    """operands: numbers of the one or two instrs; wanted: what `vector_math.together` calls the functions;
    instrs: their numbers."""

    operands: tuple[int, ...]
    wanted: tuple[str, ...]
    instrs: tuple[int, ...]

    def emit(self, e: Emitter, values: Sequence[ir.Value] | Mapping[int, ir.Value]) -> dict[int, ir.Value]:
        """The values of the instrs.  A number is computed in a vector's first lane, as a function by itself is."""
        operands = [values[k] for k in self.operands]
        kind = operands[0].type
        if isinstance(kind, ir.VectorType):
            return dict(zip(self.instrs, vector_math.together(e, self.wanted, *operands), strict=True))
        made = vector_math.together(e, self.wanted, *[e.splat(x, lanes_of(kind)) for x in operands])
        first = ir.Constant(ir.IntType(32), 0)
        return {k: e.b.extract_element(x, first) for k, x in zip(self.instrs, made, strict=True)}


def shared(instrs: Sequence[Instr]) -> list[Shared]:
    """What can be computed together; each is complete when its first instr is reached."""
    found: dict[Instr, dict[int, str]] = {}
    for number, instr in enumerate(instrs):
        name, code = instr[0], instr[1] if len(instr) > 1 else None
        if code not in ("f4", "f8"):
            continue
        if name in logistic.OF_ONE:
            turned, key = _origin(instrs, code, instr[2])
            found.setdefault(key, {})[number] = f"-{name}" if turned else name
        elif name == "logaddexp":
            a, b = sorted(instr[2:])
            found.setdefault((code, a, b), {})[number] = name
    made = []
    for (_, *operands), names in found.items():
        if len(names) > 1 and (len(operands) == 2 or "logaddexp" not in names.values()):
            made.append(Shared(tuple(operands), tuple(names.values()), tuple(names)))
    return made


def _origin(instrs: Sequence[Instr], code: str, number: int) -> tuple[bool, Instr]:
    """Whether a number is turned, and its code with what it is but for the sign: one number, or two subtracted."""
    turned = False
    while instrs[number][0] == "neg" and instrs[number][1] == code:
        turned, number = not turned, instrs[number][2]
    if instrs[number][0] == "sub" and instrs[number][1] == code:
        a, b = instrs[number][2:]
        return turned ^ (a > b), (code, min(a, b), max(a, b))
    return turned, (code, number)
