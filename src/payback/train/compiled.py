"""Training in native code: whole steps, many a call, on arrays that are updated in place."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from payback import native
from payback.optim.optimizers import Optimizer
from payback.trace.tree import leaves, rebuilder, unflatten
from payback.train.description import told
from payback.train.flat import flat
from payback.train.step import Steps

SLICE = 0.1  # seconds in native code at a time: how long Ctrl-C may have to wait
SMALL = 1 << 20  # bytes of arrays that are copied at each call, to go back to
LITTLE = 1 << 12  # bytes of a batch in order that is not copied; of others short rows are not: a copy reads ahead
LINE = 64  # bytes of a line of the cache
KEEP = 2.0  # seconds of steps, at least, from one copy of larger arrays to the next, by which one goes back
RARELY = 100  # times as long as a copy takes, at least, from one to the next
NEW_MEMORY = 1e9  # bytes a second that are copied into pages which the system has yet to find, roughly
Array = np.ndarray[Any, Any]


class Taken(NamedTuple):
    """What some steps came to, one entry a step; valid until more steps are taken.

    predictions  of every step, where they were asked for
    bad          the step after them is not finite: its cost, norm and length
    after        the network after so many of these steps, made when it is called; if `lasting`, at any time
    """

    costs: Array
    norms: Array
    lengths: Array
    predictions: Array | None
    bad: tuple[float, float, float] | None
    after: Callable[[int], Any]


class _Past:
    """The arrays as they were, and the steps since (order, size, rates, first): any of these can be taken again."""

    def __init__(self, arrays: list[Array], lasting: bool = False):
        """`lasting`: the arrays are somebody's, who does not change them."""
        self.arrays = arrays
        self.calls: list[tuple[Array | None, int, Array, int]] = []
        self.made, self.lasting = time.perf_counter(), lasting

    def copy_of(self, arrays: list[Array]) -> _Past:
        """What takes this one's place: in its memory if that is free, for new pages take longer than the copy."""
        kept = [np.empty_like(array) for array in arrays] if self.lasting else self.arrays
        for place, array in zip(kept, arrays, strict=True):
            place[...] = array
        return _Past(kept)


class Compiled:
    """A training whose steps run natively.

    predictions: whether those of the steps are wanted.
    alone: whether nobody else runs between steps, who could write into the arrays given: then they are what can be gone
    back to.
    in_order: whether batches are rows as they stand, one after another: then they are read where they lie.
    """

    def __init__(
        self, steps: Steps, optimizer: Optimizer, net: Any, state: Any, X: Any, y: Any, weights: Any,
        predictions: bool = True, alone: bool = True, in_order: bool = False,
    ):  # fmt: skip
        self.steps, self.predictions, self._in_order = steps, predictions, in_order
        self._rebuilt, self.flat, self._net = rebuilder(net), flat(net, optimizer), net
        if self.flat is not None:
            net, state = self.flat.join(net), self.flat.join_state(state)
        self._state, self._parameters = state, len(leaves(net))
        given = [np.ascontiguousarray(leaf, _native(leaf)).reshape(leaf.shape) for leaf in leaves((net, state))]
        self._arrays = [_apart(array) for array in given]
        self._data = [np.ascontiguousarray(array, _native(array)) for array in (X, y, weights) if array is not None]
        self._loops: dict[tuple[int, bool], Any] = {}
        self._makers: dict[tuple[int, bool], Callable[[], Any]] = {}
        self._stepwise: dict[tuple[int, bool], Any] = {}  # for steps that machine code leaves to the interpreter
        self._records: dict[tuple[int, bool], Any] = {}  # shape and dtype of what each step tells
        self._rooms: dict[tuple[int, bool], tuple[list[Array], list[Array]]] = {}
        size = sum(array.nbytes for array in self._arrays)
        self._small, self._copying = size <= SMALL, size / NEW_MEMORY  # seconds that a copy takes
        others = alone or self._small  # of small ones there is a copy at each call anyway
        self._past = _Past(given if others else [array.copy() for array in given], lasting=others)
        self._kept: list[Array] = []
        self._pace: dict[tuple[int, bool], int] = {}  # steps a call, so that Ctrl-C is heard soon

    def net(self, again: bool = False) -> Any:
        """A copy of the network as it is now; `again`: in the memory of the last one that was made so."""
        arrays = self._arrays[: self._parameters]
        if not again:
            return self._net_of([array.copy() for array in arrays])
        self._kept = self._kept or [np.empty_like(array) for array in arrays]
        for place, array in zip(self._kept, arrays, strict=True):
            place[...] = array
        return self._net_of(self._kept)

    def last(self) -> Any:
        """The network as it is now, of which no further step is taken."""
        arrays = self._arrays[: self._parameters]
        return self._net_of([array if array.base is None else array.copy() for array in arrays])  # arrays of their own

    def apart(self, steps: int, size: int, chosen: bool) -> bool:
        """Whether networks that are to last are copied at the ends of epochs of so many steps, and calls end there.

        Else they are made by taking steps again, from a copy of all arrays that lasts as long as they do.
        """
        seconds = steps * SLICE / self._pace.get((size, chosen), 1)
        return not self._small and self._copying * RARELY / 2 <= seconds

    def _net_of(self, arrays: list[Array]) -> Any:
        return self._rebuilt(iter(arrays)) if self.flat is None else self.flat.spread(arrays[0])

    def weights(self) -> list[Array]:
        """The network's leaves, on the arrays themselves."""
        return self._arrays[: self._parameters] if self.flat is None else self.flat.views(self._arrays[0])

    def now(self) -> tuple[Any, Any]:
        """Network and state on the arrays themselves, which the next step changes."""
        if self.flat is not None:
            vector, *slots = self._arrays
            return self.flat.spread(vector), self.flat.spread_state(slots)
        net, state = unflatten((self._net, self._state), iter(self._arrays))
        return net, state

    def ready(self, size: int, chosen: bool) -> None:
        """Compile what takes steps of batches like these, unless it is there."""
        self._loop(size, chosen)

    def _loop(self, size: int, chosen: bool) -> Any:
        if (size, chosen) not in self._loops:
            from payback.native.running.stepwise import Stepwise, loop_of

            X, y, *rest = self._data
            batch = X[:size], y[:size], rest[0][:size] if rest else None

            steps, vector, state = self.steps, self.flat, self._state  # a loop may hold on to these, not to this object

            @cache
            def graph() -> Any:
                traced = (
                    steps.traced_train(state, *batch) if vector is None else steps.traced_flat(vector, state, *batch)
                )
                return traced.graph

            known = told(self._net, steps.loss, steps.optimizer, vector is not None, state, batch)
            carried = len(self._arrays)
            rows = {carried + k: array.shape for k, array in enumerate(self._data)}
            numbers = range(carried + len(rows), carried + len(rows) + len(self._streams(np.ones(1), 1)))
            cost, prediction, norm, length = range(carried, carried + 4)
            recorded = [cost, norm, length, *[prediction] * self.predictions]
            short = all(array[:1].nbytes <= LINE for array in self._data)
            there = short or sum(array[:size].nbytes for array in self._data) <= LITTLE
            options: dict[str, Any] = dict(
                carried={i: i for i in range(carried)}, rows=rows, streams=list(numbers),
                chosen="runs" if chosen and self._in_order and there else chosen,
                recorded=recorded, before=[cost], after=[norm, length],
            )  # fmt: skip
            loop: Any = loop_of(graph, known, **options)
            self._makers[size, chosen] = lambda: Stepwise(graph(), **options)
            loop.known = {}
            self._loops[size, chosen] = loop
            self._records[size, chosen] = loop.records
        return self._loops[size, chosen]

    def _streams(self, rates: Array, first: int) -> tuple[Array, ...]:
        """What steps of these lengths are told, the first of them being number `first`."""
        numbers = np.arange(first, first + len(rates), dtype=np.float64)
        made = (rates, numbers) if self.flat is None else self.flat.optimizer.numbers(rates, numbers)
        draws = self.steps.draws
        return made if draws is None else (*made, draws.keys(first, len(rates)))

    def _made(self, pace: tuple[int, bool], count: int) -> list[Array]:
        return [np.empty((count, *shape), dtype) for shape, dtype in self._records[pace]]

    def _room(self, pace: tuple[int, bool], count: int) -> tuple[list[Array], list[Array]]:
        """Arrays for what so many steps tell and are told: the same as in the last call of as many."""
        if pace not in self._rooms or len(self._rooms[pace][1][0]) != count:
            streams = [np.empty((count, *one.shape[1:]), one.dtype) for one in self._streams(np.ones(1), 1)]
            self._rooms[pace] = self._made(pace, count), streams
        return self._rooms[pace]

    def _again(self, arrays: list[Array], order: Array | None, size: int, rates: Array, first: int) -> None:
        """Take steps that were good, on these arrays; what they tell is known."""
        if not len(rates):
            return
        loop, pace, count = self._loop(size, order is not None), (size, order is not None), len(rates)
        streams = [np.ascontiguousarray(numbers) for numbers in self._streams(rates, first)]
        unread = dict(zip(loop.recorded, self._made(pace, count), strict=True))
        found = self._run(loop, pace, arrays, streams, order, unread, count)
        assert not found.bad, "a step that was finite is not when it is taken again"

    def _run(
        self, loop: Any, pace: tuple[int, bool], arrays: list[Array], streams: list[Array], order: Array | None,
        records: dict[int, Array], count: int,
    ) -> Any:  # fmt: skip
        """What `Loop.run` does, with the steps that it leaves to the interpreter: that raises, or knows what comes of
        them."""
        done, given = 0, [*arrays, *self._data]
        while True:
            rest = [*given, *[numbers[done:] for numbers in streams]]
            rows = order if order is None else order[done * pace[0] :]
            told_here = {output: array[done:] for output, array in records.items()} if done else records
            found = loop.run(rest, rows, told_here, count - done)
            done += found.steps
            if not found.stopped:
                return found._replace(steps=done)
            if pace not in self._stepwise:
                self._stepwise[pace] = self._makers[pace]()
            rest = [*given, *[numbers[done:] for numbers in streams]]
            rows = order if order is None else order[done * pace[0] :]
            one = self._stepwise[pace].run(rest, rows, {output: array[done:] for output, array in records.items()}, 1)
            done += one.steps
            if one.bad or done == count:
                return one._replace(steps=done)

    def take(
        self, order: Array | None, size: int, steps: int, rates: Array, first: int, lasting: bool = True
    ) -> Taken:  # fmt: skip
        """Take up to `steps` steps on batches of `size` rows in this order (None: on all), the first being number
        `first`: as many as a moment allows, and none from one on that is not finite.  rates: float64, one a step."""
        loop, pace = self._loop(size, order is not None), (size, order is not None)
        count = min(self._pace.get(pace, 1), steps)
        room, streams = self._room(pace, count)
        for stream, numbers in zip(streams, self._streams(rates[:count], first), strict=True):
            stream[:] = numbers
        records = dict(zip(loop.recorded, room, strict=True))
        past, begun = self._past, time.perf_counter()
        if self._small or begun - past.made >= max(KEEP, RARELY * self._copying):
            past = self._past = past.copy_of(self._arrays)
            self._copying = past.made - begun
        past.lasting |= lasting
        earlier = len(past.calls)
        begun = time.perf_counter()
        result = self._run(loop, pace, self._arrays, streams, order, records, count)
        took = time.perf_counter() - begun
        self._pace[pace] = max(1, min(count * 8, int(SLICE * count / max(took, 1e-9))))
        done = result.steps
        costs, norms, lengths, *others = room
        bad = None
        if result.bad:
            bad = float(costs[done]), float(norms[done]), 0.0 if result.before else float(lengths[done])

        def again(arrays: list[Array], some: int) -> None:
            """The arrays as they were before this call, and so many of its steps."""
            for args in (*past.calls[:earlier], (order, size, rates[:some], first)):
                self._again(arrays, *args)

        if result.bad and not result.before:  # the step is there already
            for array, old in zip(self._arrays, past.arrays, strict=True):
                array[...] = old
            again(self._arrays, done)
        if not self._small:
            past.calls.append((order, size, rates[:done].copy(), first))

        def after(some: int) -> Any:
            arrays = [array.copy() for array in past.arrays]
            again(arrays, some)
            return self._net_of(arrays)

        return Taken(costs[:done], norms[:done], lengths[:done], others[0][:done] if others else None, bad, after)


def _apart(array: Any) -> Array:
    """A copy; a small one at the begin of a line of the cache: a vector across two lines takes as long as two."""
    kind = _native(array)
    if array.nbytes > SMALL:
        return np.array(array, kind, order="C")
    room = np.empty(array.size * kind.itemsize + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    made = room[start : start + array.size * kind.itemsize].view(kind).reshape(array.shape)
    made[...] = array
    return made


def _native(array: Any) -> Any:
    """The dtype in this machine's byte order."""
    return array.dtype.newbyteorder("=")


def compiled(
    steps: Steps, optimizer: Optimizer, net: Any, state: Any, X: Any, y: Any, weights: Any, predictions: bool,
    alone: bool = True, in_order: bool = False,
) -> Compiled | None:  # fmt: skip
    """The training in native code, or None where it runs on the interpreter."""
    if not native.available() or optimizer.line_search:
        return None
    return Compiled(steps, optimizer, net, state, X, y, weights, predictions, alone, in_order)
