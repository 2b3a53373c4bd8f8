"""Updating in place: a result takes the memory of an input, where nobody reads the old values any more."""

from __future__ import annotations

from collections.abc import Sequence

from payback.native.lower.guard import may_fail
from payback.native.lower.nests.nest import Nest
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View


class InPlace:
    """Which commands touch which memory, kept up to date while results move into the memory of inputs.

    commands  of a whole program, in order; they are changed
    """

    def __init__(self, commands: Sequence[Command]):
        self.commands = commands
        self.users: dict[Buffer, list[int]] = {}  # ascending
        for k in range(len(commands)):
            self.add(k)

    def add(self, k: int) -> None:
        """A further command."""
        command = self.commands[k]
        for buffer in dict.fromkeys(view.buffer for view in (*command.operands, *command.reads, *command.writes)):
            self.users.setdefault(buffer, []).append(k)

    def move(self, new: View, old: View, after: int = -1) -> bool:
        """Let what is written to `new` be written to `old`; False where the old values would be lost too early.

        after: the command by which it is known that the old values are not needed any more.
        """
        touching, reading = self.users.get(new.buffer, []), self.users.get(old.buffer, [])
        first = next(k for k in touching if any(view.buffer is new.buffer for view in self.commands[k].writes))
        if first <= after or not all(_may_write(self.commands[k], k, first, new, old) for k in reading):
            return False
        for k in touching:
            self.commands[k].replace(new.buffer, old.buffer)
        self.users[old.buffer] = sorted({*reading, *touching})
        return True


def last_that_may_fail(commands: Sequence[Command]) -> int:
    """The last command after which a program may be given up."""
    return max((k for k, command in enumerate(commands) if may_fail(command.kernel)), default=-1)


def _may_write(command: Command, k: int, first: int, new: View, old: View) -> bool:
    """Whether command number k reads the old values before the first one that overwrites them, or entry by entry."""
    reads = [view for view in command.reads if view.buffer is old.buffer]
    if not reads or k < first:
        return True
    if k > first or not isinstance(command.kernel, Nest):
        return False
    if any(instr[0] == "gather" and command.operands[instr[1]].buffer is old.buffer for instr in command.kernel.instrs):
        return False
    writes = [view for view in command.writes if view.buffer is new.buffer]
    return all((r.offset, r.shape, r.strides) == (w.offset, w.shape, w.strides) for r in reads for w in writes)
