"""What the instructions of `try` and `with` do: the third part of the table of `instructions.py`.

Where an instruction raises the program goes on at the handler that its code has for it, if there is one, with the stack
that it had there (`Proof._go`).  So nothing is known of an exception but that it is one.
"""

from __future__ import annotations

import dis
from typing import TYPE_CHECKING

from payback.trace.proof.instructions import Stack, Variables, Way, rule
from payback.trace.proof.pure import NUMBER, RAISED, Unproved

if TYPE_CHECKING:
    from payback.trace.proof.proof import Proof

SILENT = ("silent",)  # `np.errstate`, whose end answers with None
LEAVING = ("leaving",)


@rule("PUSH_EXC_INFO")
def _begin(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.insert(-1, RAISED)  # the one that was handled before


@rule("POP_EXCEPT")
def _end(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    stack.pop()


@rule("CHECK_EXC_MATCH")
def _is_such(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    wanted = stack.pop()
    for kind in wanted[1] if wanted[0] == "tuple" else (wanted,):
        if type(kind) is int or kind[0] != "raises":
            raise Unproved
    stack.append(NUMBER)


@rule("RERAISE")
def _again(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return []


@rule("BEFORE_WITH")
def _enter(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> None:
    if stack.pop() != SILENT:
        raise Unproved
    stack += [LEAVING, ("none",)]


@rule("WITH_EXCEPT_START")
def _leave(proof: Proof, step: dis.Instruction, stack: Stack, names: Variables) -> list[Way]:
    return []  # what `np.errstate` is told of is raised again
