"""Products with loops around them in one kernel: convolutions and what they pay back, batches, few columns."""

import numpy as np
import pytest

import payback as pb
from payback.native.codegen.emit import FLOAT32, lanes_of
from payback.native.lower.products.looped import Looped
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

windows_of = np.lib.stride_tricks.sliding_window_view


def images(x, w):
    """Channels last, as `pb.nn.Conv` has it."""
    return np.tensordot(windows_of(x, w.shape[:2], (1, 2)), w, ([3, 4, 5], [2, 0, 1]))


def planes(x, w):
    return np.einsum("bcyxkl,ockl->boyx", windows_of(x, w.shape[2:], (2, 3)), w)


CASES = {
    "half a vector": (images, (4, 12, 12, 8), (3, 3, 8, 8)),
    "odd columns and rows": (images, (3, 13, 15, 5), (3, 3, 5, 7)),
    "more than a vector": (images, (2, 9, 11, 6), (2, 3, 6, 20)),
    "several groups of columns": (images, (2, 8, 8, 12), (3, 3, 12, 72)),
    "sums in parts": (images, (2, 7, 9, 48), (3, 3, 48, 12)),
    "channels first": (planes, (3, 6, 14, 14), (10, 6, 3, 3)),
    "rows on few sets of a cache": (planes, (2, 16, 34, 34), (16, 16, 3, 3)),
    "a batch": (lambda x, w: x @ w, (9, 40, 33), (9, 33, 21)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
def test_exact_and_the_same_bits_on_any_number_of_threads(case, dtype, monkeypatch):
    """In whole numbers every order of sums is exact; in others it is one order, whoever makes them."""
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    f, *shapes = CASES[case]
    g = np.random.default_rng(0)
    made = pb.value_and_grad(lambda x, w: np.sum(f(x, w) ** 2), argnums=(0, 1))
    whole = [g.integers(-2, 3, shape).astype(dtype) for shape in shapes]
    other = [g.standard_normal(shape).astype(dtype) for shape in shapes]
    value, gradients = made(*whole)
    seen = set()
    for threads in (1, 2, 3):
        cores.set_threads(threads)
        try:
            program = Program(trace(made, *whole).graph)
        finally:
            cores.set_threads(None)
        assert Looped in {type(command.kernel) for command in program.commands}
        found, *paid = program(*whole)
        assert found == value
        for one, wanted in zip(paid, gradients, strict=True):
            np.testing.assert_array_equal(one, wanted)
        seen.add(b"".join(np.asarray(part).tobytes() for part in program(*other)))
    assert len(seen) == 1


def test_columns_that_lie_the_other_way_are_copied_where_vectors_would_stay_half_empty():
    lanes = lanes_of(FLOAT32)
    g = np.random.default_rng(0)
    for columns, turned in ((lanes + lanes // 4, True), (2 * lanes, False)):
        x = g.integers(-2, 3, (400, 25, 40)).astype(np.float32)
        w = g.integers(-2, 3, (25, columns, 40)).astype(np.float32)
        program = Program(trace(lambda x, w: np.einsum("kij,nkj->nki", w, x), x, w).graph)
        assert (Looped in {type(command.kernel) for command in program.commands}) == turned
        np.testing.assert_array_equal(program(x, w)[0], np.einsum("kij,nkj->nki", w, x))
