"""Products of few rows, few columns or short sums, alone and in batches: each has its kernel, and NumPy's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from payback.native.codegen.emit import lanes_of, llvm_type
from payback.native.lower.products.blocked.tile import registers
from payback.native.lower.products.high import High, high
from payback.native.lower.products.inner import Inner
from payback.native.lower.products.matrix_vector import Dots
from payback.native.lower.products.streams import Streams
from payback.native.lower.products.tiny import Tiny
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace

DTYPES = [np.float64, np.float32]
ONE_TILE = 7 * registers() // 8  # rows of the highest tile that reads a large matrix once
BATCHED = [
    "bij,bjk->bik", "bji,bjk->bik", "bij,bkj->bik", "bji,bkj->bik", "bij,bjk->bki", "ibj,bjk->bik", "bij,jk->bik",
    "bij,bj->bi", "bij,bi->bj", "bi,bj->bij", "cbij,bjk->cbik", "bcij,bcjk->cbik",
]  # fmt: skip
LAYOUTS = {
    "NN": lambda a, b: a @ b, "NT": lambda a, b: a @ b.T, "TN": lambda a, b: a.T @ b, "TT": lambda a, b: a.T @ b.T,
}  # fmt: skip


def kernels(program):
    return {type(command.kernel) for command in program.commands}


def compared(f, *args):
    """The kernels, when what they make has been compared with NumPy's result of higher precision."""
    program = Program(trace(f, *args).graph)
    exact, scale = (f(*[np.longdouble(part) for part in parts]) for parts in (args, [abs(x) for x in args]))
    (found,) = program(*args)
    assert found.dtype == args[0].dtype
    assert found.shape == exact.shape
    assert np.all(abs(found - exact) <= 20 * np.finfo(found.dtype).eps * scale)
    return kernels(program)


def within(rng, dtype, *shape):
    """Random numbers with NaN before and behind each row."""
    wide = np.full((*shape[:-1], shape[-1] + 4), np.nan, dtype)
    wide[..., 2:-2] = rng.standard_normal(shape)
    return wide


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", BATCHED)
def test_batches_of_small_products(form, dtype):
    rng = np.random.default_rng(len(form))
    ins, _ = form.split("->")
    for _ in range(amount.cases(1, 6)):
        size = dict(zip("ijk", rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 13, 16], 3), strict=True), b=5, c=3)
        args = [rng.standard_normal([size[c] for c in letters]).astype(dtype) for letters in ins.split(",")]
        compared(lambda a, b: np.einsum(form, a, b), *args)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_lies_beside_a_batch_is_not_met(dtype):
    rng = np.random.default_rng(0)
    for n in amount.cases((3,), (1, 2, 3, 5, 6, 9)):
        a, b = within(rng, dtype, 6, n, n), within(rng, dtype, 6, n, n)
        for form in ("bij,bjk->bik", "bij,bkj->bik"):
            found = pb.compile(lambda a, b: np.einsum(form, a[..., 2:-2], b[..., 2:-2]))(a, b)  # noqa: B023
            np.testing.assert_allclose(found, np.einsum(form, a[..., 2:-2], b[..., 2:-2]), rtol=1e-4, atol=1e-5)


def shapes(rng, kind):
    if kind is Tiny:
        return int(rng.integers(64, 100)), int(rng.integers(1, 17)), int(rng.integers(2, 17))
    if kind is Streams:
        return int(rng.choice([8, 9, 33, 64])), int(rng.integers(2, 17)), int(rng.integers(5000, 5999))
    if kind is High:
        return int(rng.integers(2, ONE_TILE + 1)), int(rng.choice([103, 320, 701])), int(rng.integers(350, 399))
    return int(rng.integers(2, 9)), int(rng.integers(64, 1500)), int(rng.choice([65, 70, 101]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [Tiny, Streams, Inner, High])
def test_products_that_are_no_squares(kind, layout, dtype):
    rng = np.random.default_rng(7)
    for _ in range(amount.cases(1, 8)):
        m, k, n = shapes(rng, kind)
        shape = [(m, k), (k, n)]
        a, b = (
            rng.standard_normal(s[:: -1 if way == "T" else 1]).astype(dtype)
            for s, way in zip(shape, layout, strict=True)
        )
        used = compared(LAYOUTS[layout], a, b)
        assert kind in used or layout[1] == {Inner: "N", High: "T"}.get(kind)


@pytest.mark.parametrize("dtype", DTYPES)
def test_large_matrices_by_a_vector_each(dtype):
    rng = np.random.default_rng(5)
    for m, k in ((71, 83), (16, 401), (300, 9)):
        a, x = rng.standard_normal((2, 3, m, k)).astype(dtype), rng.standard_normal((2, 3, k)).astype(dtype)
        assert compared(lambda a, x: np.einsum("cbij,cbj->cbi", a, x), a, x) & {Dots}


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_longer_than_a_part(dtype):
    """They are added up part by part; rows of A may be apart."""
    rng = np.random.default_rng(1)
    for m, k, n in ((2, 4096, 2), (3, 8201, 5), (7, 4100, 70)):
        a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((n, k)).astype(dtype)
        assert Inner in compared(LAYOUTS["NT"], a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_follows_is_done_with_the_product(dtype):
    rng = np.random.default_rng(2)
    for (m, k, n), kind in (((99, 3, 4), Tiny), ((70, 5, 13), Tiny), ((33, 2, 9001), Streams), ((9, 64, 901), High)):
        a, b, c, d = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (n, k), (n,), (m, n)))
        rows = kind is High  # of B are contiguous, else its columns
        b = b.reshape(k, n) if rows else b
        program = Program(
            trace(f := lambda a, b, c, d: np.tanh(a @ (b if rows else b.T) + c) * d, a, b, c, d).graph  # noqa: B023
        )
        assert kernels(program) == {kind}
        np.testing.assert_allclose(program(a, b, c, d)[0], f(a, b, c, d), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_those_of_other_products(dtype):
    """Batches have the bits of each of their products, alone and among larger ones."""
    rng, lanes = np.random.default_rng(3), lanes_of(llvm_type(np.dtype(dtype)))
    for n in (3, lanes + 1):
        a, b = rng.standard_normal((2, n, 7)).astype(dtype), rng.standard_normal((2, 7, n)).astype(dtype)
        many = pb.compile(lambda a, b: a @ b)(a, b)
        wide = np.concatenate([b, rng.standard_normal((2, 7, 40)).astype(dtype)], axis=2)
        for one, x, y in zip(many, a, wide, strict=True):
            np.testing.assert_array_equal(one, pb.compile(lambda a, b: a @ b)(x, y)[:, :n])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", amount.cases((12, 31), range(2, 43, 3)))
def test_some_rows_have_the_bits_that_they_have_among_many(rows, dtype):
    """In one tile or in two, whose last rows are not made twice."""
    rng = np.random.default_rng(rows)
    a, b = rng.standard_normal((130, 701)).astype(dtype), rng.standard_normal((701, 203)).astype(dtype)
    few, many = (pb.compile(lambda a, b: a @ b)(x, b) for x in (a[:rows].copy(), a))
    assert High in kernels(Program(trace(lambda a, b: a @ b, a[:rows].copy(), b).graph)) or rows > ONE_TILE
    np.testing.assert_array_equal(few, many[:rows])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_do_not_depend_on_the_threads(dtype, monkeypatch):
    monkeypatch.setattr(cores, "WORTHWHILE", 0.0)
    rng = np.random.default_rng(4)
    for f, shapes, kind in (
        (lambda a, b: a @ b, ((1003, 8, 8), (1003, 8, 8)), Tiny),
        (lambda a, b: np.einsum("cbij,bkj->cbik", a, b), ((2, 701, 8, 7), (701, 8, 7)), Tiny),
        (lambda a, b: a @ b, ((9007, 9), (9, 8)), Tiny),
        (lambda a, b: a @ b, ((201, 3), (3, 2001)), Streams),
        (lambda a, b: a @ b.T, ((9, 12), (20_003, 12)), Streams),
        (lambda a, b: a @ b, ((3, 5), (5, 70_003)), Streams),
        (lambda a, b: a @ b, ((13, 401), (401, 801)), High),
        (lambda a, b: (b.T @ a.T).T, ((ONE_TILE // 28 * 17 + 14, 201), (201, 3001)), High),
        (lambda a, x: np.einsum("bij,bj->bi", a, x), ((9, 301, 203), (9, 203)), Dots),
        (lambda a, b: a @ b.T, ((5, 1201), (203, 1201)), Inner),
        (lambda a, b: a @ b, ((203, 1201), (1201, 5)), Inner),
    ):
        args, found = [rng.standard_normal(shape).astype(dtype) for shape in shapes], []
        for threads in (1, 2, 3, 4, 8):
            cores.set_threads(threads)
            try:
                program = Program(trace(f, *args).graph)
            finally:
                cores.set_threads(None)
            assert kind in kernels(program)
            assert all(command.kernel.split for command in program.commands)
            found.append(program(*args)[0].tobytes())
        assert len(set(found)) == 1


def test_rows_are_copied_block_by_block():
    """What is copied of a long sum's rows is no more than a block of it; threads that have no columns copy none."""
    wide, thin = (high("f8", (40, n, 7000, 7000, 1, n, 1, n, 1), None, True) for n in (300, 30))
    assert wide.scratch(40, 7000) <= wide.scratch(40, 320) < wide.scratch(40, 7000) * 2
    assert wide.split > thin.split
