"""What records the scalars of a trace, from before it is known whether there are enough of them for a tape."""

from __future__ import annotations

from payback.ir.later import later
from payback.native.tape.cases import able
from payback.trace.scalars.number import Recorder

MANY = 3000  # entries from which on a tape is made: LLVM compiles fewer within a tenth of a second
ON = True  # off only to compare
ANCESTORS = later("native.tape.columns", "ancestors")
BODIES = later("native.tape.bodies", "call_of"), later("native.tape.bodies", "value_and_gradient")


def recorder() -> Recorder | None:
    """What records the scalars of one trace; None: nothing is recorded, they become nodes."""
    return Recorder(able(), MANY, ANCESTORS, *BODIES) if ON else None
