"""What a product must be: its bits in float32, its error bound in both, and nothing written outside of C."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.matmul import Product

from payback.native.lower.products.blocked import choice as plans
from payback.native.lower.products.blocked import tile

SIZES = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    13,
    15,
    16,
    17,
    31,
    33,
    48,
    63,
    64,
    65,
    100,
    127,
    200,
    255,
    256,
    257,
    300,
    520,
]
LAYOUTS = ["rows", "columns", "stepped", "reversed", "gapped columns", "repeated"]
K_BLOCK = 320  # the promise, not what the code happens to say
MARGIN = 37  # elements around C that must stay as they are


@dataclass
class Case:
    """Two matrices to be multiplied, and where the product goes."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    around: np.ndarray  # the memory that C is a part of
    accumulate: bool
    threads: int
    text: str

    @property
    def plan(self) -> plans.Plan:
        strides = [[s // x.itemsize for s in x.strides] for x in (self.a, self.b, self.c)]
        (m, k), n = self.a.shape, self.b.shape[1]
        return plans.plan(self.a.dtype, m, n, k, *strides, self.accumulate)


def laid_out(rng: np.random.Generator, rows: int, columns: int, dtype, layout: str) -> tuple[np.ndarray, np.ndarray]:
    """A matrix of normal numbers in that layout, and all of the memory that it lies in."""
    if layout == "rows":
        lead = columns + int(rng.integers(0, 5))
        memory = rng.standard_normal(rows * lead + 2 * MARGIN).astype(dtype)
        return memory[MARGIN : MARGIN + rows * lead].reshape(rows, lead)[:, :columns], memory
    if layout == "columns":
        matrix, memory = laid_out(rng, columns, rows, dtype, "rows")
        return matrix.T, memory
    if layout == "stepped":
        matrix, memory = laid_out(rng, 2 * rows, 3 * columns, dtype, "rows")
        return matrix[::2, ::3], memory
    if layout == "reversed":
        matrix, memory = laid_out(rng, rows, columns, dtype, "rows")
        return matrix[::-1, ::-1], memory
    if layout == "gapped columns":
        matrix, memory = laid_out(rng, 2 * rows, columns, dtype, "columns")
        return matrix[::2], memory
    matrix, memory = laid_out(rng, 1, columns, dtype, "rows")
    return np.broadcast_to(matrix, (rows, columns)), memory


def random_case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    dtype = np.dtype(rng.choice(["f4", "f8"]))
    m, n, k = (int(x) for x in rng.choice(SIZES, 3))
    if rng.random() < 0.1:  # few rows and columns of long sums
        m, n, k = int(rng.integers(1, 20)), int(rng.integers(1, 20)), int(rng.integers(2560, 4000))
    of_a, of_b = (str(x) for x in rng.choice(LAYOUTS, 2))
    of_c = str(rng.choice(LAYOUTS[:4]))
    a, _ = laid_out(rng, m, k, dtype, of_a)
    b, _ = laid_out(rng, k, n, dtype, of_b)
    c, around = laid_out(rng, m, n, dtype, of_c)
    accumulate, threads = bool(rng.random() < 0.25), int(rng.choice([1, 1, 2, 3, 4, 8]))
    text = f"seed {seed}: {dtype} {m}x{k} ({of_a}) times {k}x{n} ({of_b}) to {of_c}, {threads} threads, +{accumulate}"
    return Case(a, b, c, around, accumulate, threads, text)


def multiply_add(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a·b + c in float32, rounded once: in float64 with the last bit made odd where that was not exact.

    (Boldo and Melquiond, Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd, 2008.)
    """
    if not tile.has_fma():
        return a * b + c
    product, c = a.astype(np.float64) * b, c.astype(np.float64)  # the product is exact
    total = product + c
    other = total - product
    error = (product - (total - other)) + (c - other)
    odd = (total.view(np.int64) & 1) == 1
    toward = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where((error == 0) | odd, total, toward).astype(np.float32)


def in_order(a: np.ndarray, b: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """The promised float32 result: blocks of K, within a block one product after another."""
    result = start
    size = -(-a.shape[1] // max(-(-a.shape[1] // K_BLOCK), 1))
    for k0 in range(0, max(a.shape[1], 1), max(size, 1)):
        total = np.zeros((a.shape[0], b.shape[1]), np.float32)
        for k in range(k0, min(k0 + size, a.shape[1])):
            total = multiply_add(a[:, k : k + 1], b[k : k + 1], total)
        result = total if result is None else result + total
    return result


def check(case: Case, make=Product) -> None:
    """Run a case; AssertionError if the product is wrong, or anything but C was written."""
    a, b, c = case.a, case.b, case.c
    before, start = case.around.copy(), c.copy() if case.accumulate else None
    product = make(case.plan)
    product.run(product.prepare(a, b, c, case.threads), case.threads)
    found = c.copy()
    c[...] = 0
    mine = np.zeros(case.around.shape, bool)
    mine_of_c = np.lib.stride_tricks.as_strided(
        mine[(c.__array_interface__["data"][0] - case.around.__array_interface__["data"][0]) // c.itemsize :],
        c.shape,
        [s // c.itemsize for s in c.strides],
    )
    mine_of_c[...] = True
    assert np.array_equal(case.around[~mine], before[~mine]), f"{case.text}: written outside of C"

    exact = np.longdouble if a.dtype == np.float64 else np.float64
    truth = a.astype(exact) @ b.astype(exact) + (0 if start is None else start)
    size = np.abs(a).astype(exact) @ np.abs(b).astype(exact) + (0 if start is None else np.abs(start))
    terms = K_BLOCK + -(-a.shape[1] // K_BLOCK) + 1
    unit = np.finfo(a.dtype).eps / 2
    bound = terms * unit / (1 - terms * unit) * size
    assert (np.abs(found - truth) <= bound).all(), f"{case.text}: the error is {np.max(np.abs(found - truth) / size)}"
    if a.dtype == np.float32:
        assert np.array_equal(found, in_order(a, b, start)), f"{case.text}: not the promised order of summing"
