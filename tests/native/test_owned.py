"""Threads that own rows of a small step's batch: the same bits as on one thread, and few waits however deep it is."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.lower.move import Published
from payback.native.lower.products.product import Product
from payback.native.lower.products.streams import Streams
from payback.native.planning import owned, waits
from payback.native.running import cores, loop, reuse
from payback.trace.tree import leaves


class Late(pb.optim.Optimizer):
    """A step by the mean as it was before: nothing but its own memory reads the new one."""

    slots = 1

    def leaf(self, p, g, slots, rate, step):
        return p - rate * (0.9 * slots[0] + 0.1 * g), (0.99 * slots[0] + 0.01 * g,)


OPTIMIZERS = [pb.optim.Adam(1e-2), pb.optim.Momentum(1e-2), pb.optim.AdamW(1e-2, clip_norm=0.1), Late(1e-2)]


@pytest.fixture(autouse=True)
def all_shared(monkeypatch):
    """However little there is to do; every loop is planned here, and forgotten afterwards."""
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    reuse.forget()
    yield
    reuse.forget()
    pb.set_threads(None)


def trained(sizes, threads, *, batch=24, dtype="float32", activation="relu", loss="squared_error", optimizer=0):
    """What a training makes of a network on so many threads, to the bit; and its largest loop."""
    made = []

    class Kept(loop.Loop):
        def _finish(self):
            super()._finish()
            made.append(self)

    rng = np.random.default_rng(1)
    X = rng.standard_normal((3 * batch, sizes[0])).astype(dtype)
    y = rng.standard_normal((3 * batch, sizes[-1])).astype(dtype)
    if loss == "cross_entropy":
        y = rng.integers(0, sizes[-1], 3 * batch)
    net = pb.nn.MLP(list(sizes), activation=activation, seed=1, dtype=dtype)
    pb.set_threads(threads)
    reuse.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reuse, "Loop", Kept)
        run = pb.fit(net, X, y, loss=loss, optimizer=OPTIMIZERS[optimizer], epochs=3, batch_size=batch, seed=0,
                     validation=0, progress=False)  # fmt: skip
    numbers = [run.history["loss"], run.history["gradient_norm"], run.history["step_length"]]
    found = [np.asarray(x).tobytes() for x in (*leaves(run.net), *numbers)]
    return found, max(made, key=lambda each: len(each.planner.commands))


@pytest.mark.parametrize("seed", range(amount.cases(2, 12, 40)))
def test_bits_do_not_depend_on_who_owns_a_row(seed):
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.choice([1, 3, 8, 10, 16, 33, 64], rng.integers(3, 6))]
    options = dict(
        batch=int(rng.choice([16, 24, 37, 64])),
        dtype=str(rng.choice(["float32", "float64"])),
        activation=str(rng.choice(["relu", "tanh", "sigmoid"])),
        loss="cross_entropy" if sizes[-1] > 1 and rng.integers(2) else "squared_error",
        optimizer=int(rng.integers(len(OPTIMIZERS))),
    )
    expected, _ = trained(sizes, 1, **options)
    for threads in (2, 3, 4, 8):
        found, made = trained(sizes, threads, **options)
        assert found == expected, (sizes, threads, options)
        owners = {command.owner for command in made.planner.commands} - {None}
        assert len(owners) >= min(threads, options["batch"] // owned.UNIT), (sizes, threads, options)


def test_parameters_belong_to_who_updates_them():
    """A shared update's thread makes the gradients that it reads, but for a few rows."""
    expected, _ = trained((64, 128, 64, 10), 1, batch=64)
    found, made = trained((64, 128, 64, 10), 2, batch=64)
    assert found == expected
    assert sum(type(command.kernel) is Published for command in made.planner.commands) == 2
    homes = owned._homes(made.planner.commands, 2)
    (gradient,) = [buffer for buffer in homes if buffer.kind == "arena"]
    _, middle, _ = homes[gradient]
    foreign = 0
    for command in made.planner.commands:
        for view in command.writes:
            if view.buffer is gradient and not waits.shares(command):
                first = view.offset
                last = first + sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)) + 1
                before = min(max(middle - first, 0), last - first)
                foreign += before if command.owner == 1 else last - first - before
    assert foreign <= owned.UNIT * 128


def test_what_a_thread_does_one_after_another_works_in_one_room():
    expected, _ = trained((20, 64, 64, 64, 1), 1, batch=200)
    found, made = trained((20, 64, 64, 64, 1), 2, batch=200)
    assert found == expected
    for owner in (0, 1):
        products = [c for c in made.planner.commands if type(c.kernel) is Product and (c.owner or 0) == owner]
        rooms = {command.operands[3].buffer for command in products if not waits.shares(command)}
        assert len(products) >= 2 * len(rooms), (len(products), len(rooms))


def test_rows_that_are_written_from_end_to_end_have_owners():
    """Short sums and long rows: no thread waits for the other before, or after."""
    expected, _ = trained((12, 10, 300), 1, batch=128)
    for threads in (2, 3):
        found, made = trained((12, 10, 300), threads, batch=128)
        assert found == expected
        owners = [command.owner for command in made.planner.commands if type(command.kernel) is Streams]
        assert owners == list(range(threads))


def test_what_is_updated_in_place_is_where_each_thread_writes_its_part():
    expected, _ = trained((64, 10), 1, batch=64, optimizer=3)
    found, made = trained((64, 10), 2, batch=64, optimizer=3)
    assert found == expected
    assert any(command.owner == 1 for command in made.planner.commands)


def test_depth_adds_no_waits():
    def count(layers, **options):
        _, made = trained([16] * (layers + 1), 2, batch=32, **options)
        return sum(bool(flag & waits.WAITS) for flag in made.machine.segment.flags)

    assert count(12) == count(4) <= 5
    assert count(12, loss="cross_entropy") == count(4, loss="cross_entropy") <= 7


def test_large_steps_are_shared_product_by_product(monkeypatch):
    _, made = trained((64, 64, 8), 2, batch=64)
    assert any(command.owner == 1 for command in made.planner.commands)
    monkeypatch.setattr(owned, "SMALL", 1 << 10)
    _, made = trained((64, 64, 8), 2, batch=64)
    assert all(command.owner is None for command in made.planner.commands)
