"""Gradients that nobody needs whole: made and used stripe by stripe, in a piece of memory that stays in a cache.

A large weight's gradient is a product, and its one reader is the loop that updates the weight.  Both are cut at the
same rows: the product of some rows, their update, the next ones.  No entry's bits change: each entry of a product is
summed by itself, and the parts of the sums over it (the gradient's norm) are the same.

Such a pair is run as early as the old weight is not needed any more, so that activations can go, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from payback.native.lower.guard import may_stop
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.product import Product
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View, whole

# A stripe has at least ROWS rows, or FEW where there would be less than PARTS of them: what they are multiplied with is
# packed for each anew.  Where that would take more room than a SHARE of all that must be there, beside what the most
# activations leave, it has as few as LEAST: an optimizer that keeps nothing has little memory beside.
ROWS, FEW, LEAST, PARTS, SHARE = 256, 96, 24, 4, 11
LARGE = 1 << 16  # bytes of a product that is worth to be run at another time
SHORT, BOTH = 32, 4  # products that are added up; tiles, of which each of two threads has a few
SMALL = 1 << 12  # bytes of a command that may be run earlier than it stands, for what waits for it


class Pair(NamedTuple):
    """The numbers of a product and of its only reader; how many rows of the product each stripe has."""

    product: int
    update: int
    rows: int


def striped(commands: Sequence[Command], threads: int) -> list[Command]:
    """The commands, with products and what alone reads them side by side and in stripes."""
    found = _pairs(commands)
    if not found:
        return list(commands)
    needs = _needs(commands)
    late = {pair.product for pair in found}
    ready: dict[int, list[Pair]] = {}  # after which command a pair can run
    room, pairs = _Room(commands, late), []
    for pair in found:
        last = _last(commands, needs, late, pair)
        product = commands[pair.product]
        rows = _rows(product, commands[pair.update], room.after(last, product), threads)
        pairs.append(pair._replace(rows=rows))
        ready.setdefault(last, []).append(pairs[-1])
    made: dict[int, None] = {}  # numbers of commands in the order in which they run

    def run(k: int) -> None:
        stack = [k]
        while stack:
            waiting = [n for n in needs[stack[-1]] if n not in made]
            if waiting:
                stack += waiting
            else:
                made.setdefault(stack.pop())

    both = {pair.update: pair for pair in pairs}
    for k in range(len(commands)):
        if k not in late and k not in both:
            run(k)
        for pair in (*ready.get(k, ()), *([both[k]] if k in both else ())):
            for n in needs[pair.update]:  # the product last, so that nothing comes between
                if n != pair.product:
                    run(n)
            run(pair.product)
            run(pair.update)
    place = {k: at for at, k in enumerate(made)}
    stripes = {pair.product: pair for pair in pairs if place[pair.update] == place[pair.product] + 1}
    ends = {pair.update for pair in stripes.values()}
    run_so: list[Command] = []
    for k in made:
        if k in stripes:
            run_so += _stripes(commands, stripes[k], threads)
        elif k not in ends:
            run_so.append(commands[k])
    return run_so


class _Room:
    """How many bytes a stripe may take, with what its product works in, so that little more is planned than must be."""

    def __init__(self, commands: Sequence[Command], late: set[int]):
        """late: products whose results are not there whole."""
        apart = {commands[k].operands[2].buffer for k in late}
        written = {view.buffer for command in commands for view in command.writes}
        updated = sum(buffer.bytes for buffer in written if buffer.kind == "input")
        self.first: dict[Buffer, int] = {}
        self.last: dict[Buffer, int] = {}
        for k, command in enumerate(commands):
            for view in (*command.reads, *command.writes):
                if view.buffer.kind == "arena" and view.buffer not in apart and view.buffer.dtype != np.uint8:
                    self.first.setdefault(view.buffer, k)
                    self.last[view.buffer] = k
        change = [0] * (len(commands) + 1)
        for buffer, k in self.first.items():
            change[k] += buffer.bytes
            change[self.last[buffer] + 1] -= buffer.bytes
        most = max(accumulate(change))
        self.all = most + (updated + most) // SHARE

    def after(self, k: int, product: Command) -> int:
        """When command number k has run and a product is next."""
        needed = {view.buffer for view in product.reads}
        there = (b for b in self.first if b in needed or self.first[b] <= k < self.last[b])
        return self.all - sum(buffer.bytes for buffer in there)


def _last(commands: Sequence[Command], needs: list[list[int]], late: set[int], pair: Pair) -> int:
    """The last command that must have run before a pair does; little ones do not count, for they run when needed."""
    stack, seen, last = [*needs[pair.product], *needs[pair.update]], {pair.product, pair.update}, -1
    while stack:
        k = stack.pop()
        if k in seen or k <= last:
            continue
        seen.add(k)
        if k in late:  # a pair that needs another one runs where it stands
            return pair.update
        if may_stop(commands[k].kernel) or commands[k].bytes > SMALL:
            last = max(last, k)
        else:
            stack += needs[k]
    return max(last, 0)


def _needs(commands: Sequence[Command]) -> list[list[int]]:
    """For each command those that must run before it: who writes what it reads, or touched what it writes."""
    writer: dict[Buffer, int] = {}
    readers: dict[Buffer, list[int]] = {}
    fence, since = -1, []
    found: list[list[int]] = []
    for k, command in enumerate(commands):
        needs = {fence} if fence >= 0 else set()
        if may_stop(command.kernel):
            needs |= set(since)
            fence, since = k, []
        else:
            since.append(k)
        written = {view.buffer for view in command.writes}
        for buffer in {view.buffer for view in (*command.reads, *command.operands)} - written:
            if buffer in writer:
                needs.add(writer[buffer])
            readers.setdefault(buffer, []).append(k)
        for buffer in written:
            needs |= {*readers.pop(buffer, []), *([writer[buffer]] if buffer in writer else [])}
            writer[buffer] = k
        found.append(sorted(needs - {k}))
    return found


def _pairs(commands: Sequence[Command]) -> list[Pair]:
    large = [
        k for k, command in enumerate(commands)
        if isinstance(command.kernel, Product) and command.operands[2].buffer.bytes >= LARGE
    ]  # fmt: skip
    if not large:
        return []
    users: dict[Buffer, list[int]] = {}
    for k, command in enumerate(commands):
        for buffer in {view.buffer for view in (*command.operands, *command.reads, *command.writes)}:
            users.setdefault(buffer, []).append(k)
    pairs = []
    taken: set[int] = set()
    for k in large:
        command = commands[k]
        both = users[command.operands[2].buffer]
        if len(both) == 2 and both[0] == k and both[1] not in taken and command.operands[2].buffer.kind == "arena":
            taken.add(both[1])
            pairs.append(Pair(k, both[1], command.numbers[0]))
    return pairs


def _cuttable(command: Command) -> bool:
    kernel = command.kernel
    if kernel.batch or kernel.after is not None or not kernel.split:
        return False
    return command.operands[2].whole and tuple(command.numbers[7:9]) == (command.numbers[1], 1)


def _rows(product: Command, update: Command, room: int, threads: int) -> int:
    """How many rows a stripe has: whole parts of the sums over them, an equal share of all; all if it cannot be cut.

    room  bytes that a stripe may take
    """
    nest, target = update.kernel, product.operands[2]
    if not _cuttable(product) or not isinstance(nest, Nest) or not nest.split:
        return product.numbers[0]
    if (nest.outer, nest.reduced, nest.inner) != (1, 0, "r"):
        return product.numbers[0]
    parts, step = update.numbers[:2]
    m, n, k = product.numbers[:3]
    if parts * step != m * n or any(instr[0] == "gather" for instr in nest.instrs):
        return m
    moves = update.numbers[2 : 2 + len(update.operands)]
    sums = {sink[1] for sink in nest.sinks if sink[0] in ("sum", "max", "min")}
    for place, (view, move) in enumerate(zip(update.operands, moves, strict=True)):
        how = nest.operands[place][1]
        if place in sums:
            if move != 1:
                return m
        elif (how, move) not in (("u", step), ("z", 0)):
            return m
        if view.buffer is target.buffer and (view.offset != 0 or how != "u"):
            return m
    counts = [count for count in range(1, parts + 1) if parts % count == 0 and m % count == 0]
    fitting = [count for count in counts if m // count >= FEW]
    rows = m
    if fitting:
        enough = next((count for count in fitting if count >= PARTS), fitting[-1])
        rows = m // max(enough, *(count for count in fitting if m // count >= ROWS), 1)
    for fewer in [m // count for count in counts if LEAST <= m // count < rows]:
        works_in = _of_rows(product, rows).plan.scratch(rows, n, k, threads) * threads
        if rows * n * target.buffer.dtype.itemsize + works_in <= room:
            break
        rows = fewer
    return rows


def _of_rows(product: Command, rows: int) -> Product:
    """A product's kernel for a stripe.  Of short sums threads share the rows, as they do those of the update: what one
    of them makes would take longer to come to the other than to be made."""
    plan = product.kernel.plan
    plan = plan if plan.down else plan.of_rows(rows, product.numbers[2], product.numbers[3:5])
    if not plan.down and product.numbers[2] <= SHORT and rows >= BOTH * plan.rows:
        plan = replace(plan, split="rows", rest=plan.rest and replace(plan.rest, split="rows"))
    return product.kernel._replace(plan=plan, ways=plan.ways)


def _stripes(commands: Sequence[Command], pair: Pair, threads: int) -> list[Command]:
    product, update = commands[pair.product], commands[pair.update]
    kernel, rows = _of_rows(product, pair.rows), pair.rows
    m, n, k, a_row = product.numbers[:4]
    count = m // rows
    if count == 1:
        return [product, update]
    old = product.operands[2].buffer
    stripe = whole(Buffer("arena", old.dtype, rows * n), (rows, n))
    size = kernel.plan.scratch(rows, n, k)
    scratch = whole(Buffer("arena", np.dtype(np.uint8), size * threads), (size,))
    parts = update.numbers[0] // count
    moves = update.numbers[2 : 2 + len(update.operands)]
    made = []
    for i in range(count):
        a, b, _, _, *others = product.operands
        part = View(a.buffer, a.offset + i * rows * a_row, (rows, k), a.strides[:2])
        numbers = [rows, *product.numbers[1:10], size, *product.numbers[11:]]
        text = f"{product.text}, stripe {i + 1} of {count}"
        made.append(Command(kernel, [part, b, stripe, scratch, *others], numbers, [part, b], [stripe, scratch], None,
                            text, product.flops // count))  # fmt: skip
        views = [
            view._replace(buffer=stripe.buffer) if view.buffer is old
            else view._replace(offset=view.offset + i * parts * move)
            for view, move in zip(update.operands, moves, strict=True)
        ]  # fmt: skip
        places = [update.operands.index(view) for view in update.reads]
        stored = [update.operands.index(view) for view in update.writes]
        made.append(Command(update.kernel, views, [parts, *update.numbers[1:]], [views[p] for p in places],
                            [views[p] for p in stored], None, update.text))  # fmt: skip
    return made
