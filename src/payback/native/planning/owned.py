"""Who does what in a small step: threads own rows of its batch, from product to product, and pieces of its parameters.

A network's layers hand each other rows, and no row needs another one before the gradients of the weights, which need
all of them.  So each thread takes the same rows through the whole chain, there and back, and what adds up over rows
comes afterwards, by who updates it.  Threads wait for each other a few times in a step, not before each product, and
what a core has written stays in its own cache.

Commands are cut, not changed: each entry of a product is summed by itself, so no bit depends on who owns its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

from payback.native.codegen.emit import vector_bytes
from payback.native.lower.guard import may_fail
from payback.native.lower.move import WORD, Published, Rows
from payback.native.lower.nests.nest import Nest
from payback.native.lower.products.product import Product
from payback.native.lower.products.small import Small
from payback.native.lower.products.streams import Streams
from payback.native.planning import waits
from payback.native.planning.commands import Command
from payback.native.planning.layout import Buffer, View, whole
from payback.native.planning.nests import Source, nest
from payback.native.running.table import seconds_of, team_of

UNIT = 8  # rows are cut at multiples of so many: no lower tile is left over
SMALL = 1 << 21  # bytes that a step writes: what does not stay in second caches is shared product by product
LINE, LINES = 64, 1 << 13  # bytes of a line of the cache; of parameters that are worth to be copied for all
MANY = 160  # commands that are looked through


def owned(commands: Sequence[Command], threads: int) -> list[list[Command]] | None:
    """The commands by phases: in each, every thread runs its own without waiting.  None where that does not pay."""
    buffers = {view.buffer for command in commands for view in command.writes}
    if threads == 1 or len(commands) > MANY or sum(buffer.bytes for buffer in buffers) > SMALL:
        return None
    homes = _homes(commands, threads)
    pieces = [_pieces(command, homes, threads) for command in commands]
    if team_of(seconds_of([*chain(*pieces)]), threads) > 1:
        phases = list(_phases([*_published(commands, homes, pieces), *pieces]))
        for phase in phases:
            _one_room(phase)
        return phases
    for command in commands:
        command.owner = None
    return None


def _phases(all_pieces: list[list[Command]]) -> Iterator[list[Command]]:
    """What needs no other thread first, then what needs that, and so on; else in the order in which they are."""
    numbers: dict[Any, int] = {}
    left = [(pieces, waits.uses(pieces, numbers)) for pieces in all_pieces]
    most = sum(len(uses) for _, uses in left)
    while left:
        now, later = waits.Uses(most), waits.Uses(most)
        phase, behind, lasts, fails = [], [], False, False
        for each in left:
            pieces, uses = each
            waits_too = fails or (lasts and waits.lasts(pieces[0]))
            if waits_too or later.meet(uses, anyone=True) or now.meet(uses):
                later.add(uses)
                lasts |= waits.lasts(pieces[0])  # what may end the step, and what remains of it, keep their order
                fails |= may_fail(pieces[0].kernel)  # nothing that comes after this may be begun before
                behind.append(each)
            else:
                now.add(uses)
                phase += pieces
        yield phase
        left = behind


def _one_room(phase: Sequence[Command]) -> None:
    """What a thread does in a phase it does one after another: all its products work in one room."""
    rooms: dict[int, Buffer] = {}
    for command in phase:
        if isinstance(command.kernel, Product) and not waits.shares(command):
            own = command.operands[3].buffer
            command.replace(own, rooms.setdefault(command.owner or 0, own))


def _homes(commands: Sequence[Command], threads: int) -> dict[Buffer, list[int]]:
    """Which entries of a buffer each thread reads in a nest that all share: where its parts begin, and end."""
    found: dict[Buffer, list[int]] = {}
    for command in commands:
        kernel = command.kernel
        if not isinstance(kernel, Nest) or not kernel.split or kernel.outer != 1:
            continue
        rows, loops = command.numbers[0], kernel.outer + kernel.reduced
        moves = command.numbers[loops + 1 :]
        for place, view in enumerate(command.operands):
            if view in command.reads and moves[loops * place] > 0:
                cuts = [rows * thread // threads for thread in range(threads + 1)]
                found.setdefault(view.buffer, [view.offset + moves[loops * place] * cut for cut in cuts])
    return found


def _published(
    commands: Sequence[Command], homes: dict[Buffer, list[int]], pieces: list[list[Command]]
) -> Iterator[list[Command]]:  # fmt: skip
    """Parameters that all threads read and their owner writes, as copies that are made anew when a step begins."""
    for buffer, home in homes.items():
        writers = [k for k, command in enumerate(commands) if any(view.buffer is buffer for view in command.writes)]
        readers = [k for k, command in enumerate(commands) if any(view.buffer is buffer for view in command.reads)]
        others, size = [k for k in readers if k not in writers], buffer.dtype.itemsize
        if len(writers) != 1 or not others or others[-1] > writers[0] or buffer.bytes < LINES or size < WORD:
            continue
        copy = Buffer("arena", buffer.dtype, buffer.size)
        for piece in chain(*pieces):
            if not any(view.buffer is buffer for view in piece.writes):
                piece.replace(buffer, copy)
        cuts = [0, *[at - at % (LINE // size) for at in home[1:-1]], buffer.size]
        made = []
        for owner, (first, last) in enumerate(pairwise(cuts)):
            source, target = (View(each, first, (last - first,), (1,)) for each in (buffer, copy))
            words = (last - first) * size // WORD
            made.append(Command(Published(vector_bytes()), [source, target], [words], [source], [target], None, "copy"))
            made[-1].owner = owner
        yield made


def _pieces(command: Command, homes: dict[Buffer, list[int]], threads: int) -> list[Command]:
    """A command as one for each thread, or as it is."""
    target = (
        command.operands[2]
        if isinstance(command.kernel, (Product, Small, Streams))
        else next(iter(command.writes), None)
    )
    home = homes.get(target.buffer) if target is not None else None
    rows = _rows(command)
    if rows >= 2 * UNIT:
        if home is not None and target is not None:
            cuts = [round((at - target.offset) / max(target.strides[0], 1) / UNIT) * UNIT for at in home]
            cuts = [0, *[min(max(cut, 0), rows - rows % UNIT) for cut in cuts[1:-1]], rows]
        else:
            cuts = [*[rows // UNIT * thread // threads * UNIT for thread in range(threads)], rows]
        parts = [(owner, first, last) for owner, (first, last) in enumerate(pairwise(cuts)) if first < last]
        made = [piece for _, *part in parts if (piece := _of_rows(command, *part)) is not None]
        if len(made) == len(parts):
            for (owner, *_), piece in zip(parts, made, strict=True):
                piece.owner = owner
            return made
    if home is not None and target is not None and not waits.shares(command):
        middle = target.offset + sum((n - 1) * step for n, step in zip(target.shape, target.strides, strict=True)) // 2
        command.owner = max(min(sum(at <= middle for at in home) - 1, threads - 1), 0)
    return [command]


def _rows(command: Command) -> int:
    """Rows that may be cut, or 0."""
    kernel = command.kernel
    if isinstance(kernel, Rows):
        return command.numbers[0]
    if isinstance(kernel, Product):
        return command.numbers[0] if not kernel.batch and not kernel.plan.accumulate else 0
    if isinstance(kernel, Streams):
        return command.numbers[0]
    if isinstance(kernel, Small):
        return 0 if kernel.down or kernel.turned == "squares" else command.numbers[0]
    source = command.source
    if isinstance(kernel, Nest) and isinstance(source, Source) and len(source.shape) > 1:
        own = all(sink[0] in ("store", "sum", "max", "min") and sink[1].strides[0] for sink in source.sinks)
        return source.shape[0] if own and 0 not in (source.axes or ()) else 0
    return 0


def _of_rows(command: Command, first: int, last: int) -> Command | None:
    """A command for some rows; None where it cannot be cut there."""
    if first == 0 and last == _rows(command) and not waits.shares(command):
        return command
    if isinstance(command.kernel, Rows):
        numbers, source, target = command.operands
        views = [_cut(numbers, 0, first, last), source, _cut(target, 0, first, last)]
        return _again(command, command.kernel._replace(split=False), views, [last - first, command.numbers[1]])
    if isinstance(command.kernel, Nest):
        return _nest(command, first, last)
    return _product(command, first, last)


def _nest(command: Command, first: int, last: int) -> Command | None:
    source = command.source
    instrs = [
        (instr[0], _cut(instr[1], 0, first, last), *instr[2:]) if instr[0] in ("load", "gather") else instr
        for instr in source.instrs
    ]
    sinks = [(kind, _cut(view, 0, first, last), *more) for kind, view, *more in source.sinks]
    shape = (last - first, *source.shape[1:])
    made = nest(instrs, source.codes, sinks, shape, source.text, source.axes)
    same = len(made) == 1 and made[0].kernel._replace(split=False) == command.kernel._replace(split=False)
    return made[0] if same else None


def _product(command: Command, first: int, last: int) -> Command | None:
    kernel, numbers = command.kernel, list(command.numbers)
    m, n, k, a_row, a_column, _, _, c_row, c_column = numbers[:9]
    a, _, target, scratch, *others = command.operands
    along = {((m, k), (a_row, a_column)): 0, ((k, m), (a_column, a_row)): 1}.get((a.shape, a.strides))
    if along is None or (target.shape, target.strides) != ((m, n), (c_row, c_column)):
        return None
    views = [_cut(a, along, first, last), command.operands[1], _cut(target, 0, first, last)]
    if isinstance(kernel, Product):
        plan = replace(kernel.plan, split="rows")
        kernel = kernel._replace(plan=plan, ways=plan.ways, split=False)
        size = kernel.plan.scratch(last - first, n, k)
        numbers[10] = size
    elif isinstance(kernel, Streams):
        if last - first < kernel.rows:
            return None
        kernel, size = kernel._replace(split=""), numbers[10]
    else:
        if (last - first) % kernel.rows and (kernel.depth or last - first < kernel.rows):
            return None
        size = kernel.scratch
        if kernel.sums and first:  # of all columns, by whoever has the first rows
            kernel, others = kernel._replace(sums=False), []
    own = whole(Buffer("arena", scratch.buffer.dtype, size), (size,))
    views += [own, *[_cut(view, 0, first, last) if view.shape == (m, n) else view for view in others]]
    return _again(command, kernel, views, [last - first, *numbers[1:]])


def _cut(view: View, axis: int, first: int, last: int) -> View:
    shape = (*view.shape[:axis], last - first, *view.shape[axis + 1 :])
    return View(view.buffer, view.offset + first * view.strides[axis], shape, view.strides)


def _again(command: Command, kernel: Any, views: Sequence[View], numbers: Sequence[int]) -> Command:
    """A command with other views of what it works on."""
    now = dict(zip(command.operands, views, strict=False))
    reads, writes = ([now[view] for view in some if view in now] for some in (command.reads, command.writes))
    share = numbers[0] / max(command.numbers[0], 1)
    return Command(kernel, views, numbers, reads, writes, None, command.text, round(command.flops * share))
