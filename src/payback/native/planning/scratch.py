"""Room that products work in: for as many threads as will run them, and for each thread's share."""

from __future__ import annotations

from collections.abc import Sequence

from payback.native.lower.products.product import Product
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer
from payback.native.running.table import seconds_of, team_of


def fit(commands: Sequence[Command], most: int) -> None:
    """Give the products of commands that run in one go the room that they need on so many threads at most."""
    team = team_of(seconds_of(commands), most)
    rooms: dict[Buffer, int] = {}  # several products of one thread may work in one
    for command in commands:
        kernel = command.kernel
        if isinstance(kernel, Product):
            count = team if kernel.split else 1
            m, n, k = command.numbers[:3]
            size = kernel.plan.scratch(m, n, k, count)
            command.numbers = (*command.numbers[:10], size, *command.numbers[11:])
            room = command.operands[3].buffer
            room.size = rooms[room] = max(size * count, rooms.get(room, 0))
