"""How a matrix product is run: a fixed table, by shape and strides.  Nothing is timed; equal shapes give equal code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import gcd
from typing import Any

import numpy as np

from payback.native.codegen.emit import lanes_of, llvm_type
from payback.native.lower.products.blocked.packing import SLACK
from payback.native.lower.products.blocked.tile import has_masked_loads, tile

BLOCK = 331776  # bytes of A that are packed at a time: most of a usual second cache
NEAR = 140000  # bytes of A, K_BLOCK of its columns at most, that are not packed: they stay in the second cache
SETS, WAYS = 4096, 8  # lines so far apart push each other out of a usual first cache, which holds so many of them
FEW = 8  # columns
LARGE = 1_000_000  # products that are summed: fewer have other kernels
LONG = 264  # rows of A that are packed at a time, at most: for so many, packing a panel of B takes about a hundredth
FULL = 64  # rows of A: for more of them the columns of B that are packed are used often enough
LITTLE = 12  # vectors of columns, of which a part of one is not worth a function of its own
AGAIN = 4194304  # bytes of A, at most, that are read a second time for the last columns: they come from a cache
FAR = 131072  # bytes that do not stay in the first cache: of such a C tiles follow each other along its rows
ALONG = 524288  # bytes of B, at most, for that: they stay in the second cache, and no panel of it is packed
K_BLOCK = 320  # products that are summed one after another; part of what results are, so it is the same everywhere


@dataclass(frozen=True)
class Plan:
    """How a product is run; all that is fixed when code is emitted.  `plan` chooses one by a product's shape.

    Plans that agree in the fields that are compared have one function.
    """

    dtype: np.dtype[Any]
    rows: int  # of the register tile
    vectors: int
    down: bool = False  # run as Cᵀ = Bᵀ·Aᵀ
    c_unit: bool = True  # lanes are neighbors in C
    pack_b: bool = False
    turned: str = ""  # squares of B are transposed in registers: its columns are "long" or "short"
    blocked: bool = False  # K may be more than K_BLOCK
    accumulate: bool = False  # C += A·B
    across: bool = False  # columns of C are contiguous (after `down`): tiles are turned before they are stored
    copied: bool = False  # rows of B are contiguous, and packed beside the sums: see `packing_ahead`
    along: bool = False  # tiles follow each other along the rows of C, not down its columns
    pack_a: bool = field(default=False, compare=False)  # only where B is
    a_unit: str = field(default="column", compare=False)  # which stride is 1 (after `down`): "row", "column" or "none"
    b_unit: str = field(default="column", compare=False)
    split: str = field(default="rows", compare=False)  # among threads (after `down`): "rows", "columns" or "batch"
    rest: Plan | None = field(default=None, compare=False)  # of columns that would fill little of a vector

    @property
    def name(self) -> str:
        flags = ("down", "c_unit", "blocked", "accumulate", "across", "copied", "along")
        return ".".join(
            [f"{self.dtype}.{self.rows}x{self.vectors}", self.b_is, *(flag for flag in flags if getattr(self, flag))]
        )

    @property
    def ways(self) -> tuple[Any, ...]:
        """What is not compared: plans of one function may differ here, but what calls it may not."""
        return self.pack_a, self.a_unit, self.b_unit, self.split, self.rest and (self.rest, self.rest.ways)

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.vectors * lanes_of(llvm_type(self.dtype))

    @property
    def edges(self) -> list[tuple[int, int]]:
        """The (rows, vectors) of tiles for what does not fill a whole one, smallest first.

        A tile of few chains of fused multiply-adds waits for their latency: below 8 chains a smaller one is no faster.
        """
        if self.turned:
            return [(self.rows, 1)]
        sizes = {(self.rows, self.vectors)}
        if self.vectors == 2:
            sizes |= {(rows, 2) for rows in (4, 8) if rows < self.rows} | {(self.rows, 1)}
        return sorted(sizes, key=lambda size: (size[1], size[0]))

    @property
    def unit(self) -> int:
        """Threads share rows at multiples of so many: what is left of a share is no slower than whole tiles."""
        lower = [rows for rows, vectors in self.edges if vectors == 2 and rows < self.rows < 2 * rows]
        return 2 * lower[-1] - self.rows if lower else self.rows

    @property
    def low(self) -> int:
        """Rows of a lower tile, of which two are run instead of a whole one and very few rows; 0: there is none."""
        lower = [rows for rows, vectors in self.edges if vectors == 2 and rows < self.rows < 2 * rows]
        return lower[-1] if lower and self.pack_b else 0

    @property
    def b_is(self) -> str:
        """How a tile finds B: see `tile.edge_tile`."""
        return "packed" if self.pack_b else self.turned or "masked"

    def block_columns(self, k: int) -> int:
        """Columns of B that all blocks of rows are multiplied with before the next ones: in the third cache."""
        return max(4194304 // (max(min(k, K_BLOCK), 1) * self.dtype.itemsize * self.width), 1) * self.width

    @property
    def most_of_a(self) -> int:
        """Bytes of A that are packed at a time, at most."""
        return max(BLOCK, self.rows * K_BLOCK * self.dtype.itemsize)

    def bytes_of_a(self, rows: int, k: int) -> int:
        """Room for packed A, before that for B: a multiple of 64."""
        tiles = max(min(-(-rows // self.rows), LONG // self.rows), 1) * self.rows
        size = min(self.most_of_a, tiles * blocks_of(k)[1] * self.dtype.itemsize) + SLACK
        return -(-size // 64) * 64

    def of_rows(self, m: int, k: int, a: Sequence[int]) -> Plan:
        """This plan for so many rows of A (after `down`): few of them are read where they lie."""
        size = self.dtype.itemsize
        most = {"column": NEAR, "row": NEAR // 2, "none": 0}[self.a_unit]
        near = m * blocks_of(k)[1] * size < most and not crowded(self.a_unit, a, k, size, self.rows)
        return replace(self, pack_a=False) if near else self

    def scratch(self, m: int, n: int, k: int, team: int = 1) -> int:
        """Bytes that each thread of a team needs to work in: 0, or a multiple of 64."""
        if self.rest:
            few = n % lanes_of(llvm_type(self.dtype))
            return max(replace(self, rest=None).scratch(m, n - few, k, team), self.rest.scratch(m, few, k, team))
        if not self.pack_b:
            return 0
        rows, columns = (n, m) if self.down else (m, n)
        if self.split == "rows":
            rows = -(-max(-(-rows // self.unit), 1) // team) * self.unit
        elif self.split == "columns":
            columns = -(-max(-(-columns // self.width), 1) // team) * self.width
        row = self.width * self.dtype.itemsize
        panels = min(-(-columns // self.width), 2) * row * blocks_of(k)[1] + row  # and a row that nobody reads
        size = panels + SLACK + (self.bytes_of_a(rows, k) if self.pack_a else 0)
        return -(-size // 64) * 64


def blocks_of(k: int) -> tuple[int, int]:
    """Into how many blocks K is cut, and the size of all but the last."""
    blocks = max(-(-k // K_BLOCK), 1)
    size = max(-(-k // blocks), 1)
    return max(-(-k // size), 1), size


def plan(
    dtype: Any, m: int, n: int, k: int, a: Sequence[int], b: Sequence[int], c: Sequence[int], accumulate: bool = False,
    in_band: bool = False,
) -> Plan:  # fmt: skip
    """The plan for a product of these sizes and strides (of rows, of columns; in elements).

    in_band: whether other kernels are looked for first, which take rows as they are.
    """
    dtype = np.dtype(dtype)
    lanes, size = lanes_of(llvm_type(dtype)), dtype.itemsize
    rows, vectors = tile()
    down = (n < m and 2 * n < lanes) or (n == 1 and m > 1)
    # few columns of long sums: lanes are not left empty, and rows of Aᵀ are contiguous
    down = down or (n < m and n <= FEW and n % lanes > 0 and k > K_BLOCK and a[0] == 1 != a[1])
    down = down or (not in_band and b[0] == 1 != b[1] and c[1] == 1 and _read_once(m, n, k, lanes))
    if down:
        m, n, a, b, c = n, m, (b[1], b[0]), (a[1], a[0]), (c[1], c[0])
    b_unit = unit(b, k, n)
    turned = "" if m > 4 or b_unit != "row" else "long" if k >= 512 else "short"
    if turned:
        rows = max(m, 1)
    elif 2 * m <= rows:  # few rows: a low and wide tile, of 8 chains if there are so many columns
        rows = max(m, 1)
        vectors = max(min(-(-8 // rows), -(-n // lanes)), 1)
    width = vectors * lanes
    far = (m * k + k * n) * size > FAR  # does not stay in the second cache, beside C
    a_unit = unit(a, m, k)
    crowd = crowded(a_unit, a, k, size, rows)
    often = (4 if crowd or a_unit != "column" else 16) * width  # contiguous rows are about as well read where they lie
    pack_a = (far or (crowd and m * n * k >= LARGE)) and n > often and m > rows
    pack_b = pack_a or (b_unit != "column" and not turned) or (far and m > 4 * rows)
    pack_b = pack_b or (n % width > 0 and not turned and not has_masked_loads())
    along = b_unit == "column" and not turned and a_unit != "none" and c[1] == 1 and vectors == 2 and not down
    along = along and k <= K_BLOCK and k * n * size <= ALONG and m * n * size >= FAR
    along = along and (n % width == 0 or has_masked_loads())
    pack_a, pack_b = pack_a and not along, pack_b and not along
    split = "rows" if m // rows >= n // width else "columns"
    made = Plan(
        dtype, rows, vectors, down, c[1] == 1 or n == 1, pack_b, turned, pack_b or k > K_BLOCK, accumulate,
        across=c[0] == 1 != c[1] and n > 1 and not turned, copied=pack_b and b_unit == "column",
        pack_a=pack_a, a_unit=a_unit, b_unit=b_unit, split=split, along=along,
    )  # fmt: skip
    few = n % lanes  # columns that would fill a quarter of a vector; a product of their own has rows in its lanes
    large = m * n * k >= LARGE and m * k * size <= AGAIN
    if large and 0 < few <= lanes // 4 and lanes < n <= LITTLE * lanes and not (down or turned):
        made = replace(made, rest=plan(dtype, m, few, k, a, b, c, accumulate))
    return made.of_rows(m, k, a)


def _read_once(m: int, n: int, k: int, lanes: int) -> bool:
    """Whether columns of B are better read as rows of a product across: packing them would cost more than turning C.

    Its vectors are along the rows of A, so they must fill them.
    """
    return lanes <= m <= FULL and m < n and -m % lanes * 10 <= m and m * n * k >= LARGE


def crowded(a_unit: str, a: Sequence[int], k: int, size: int, rows: int) -> bool:
    """Whether the columns of A, which are contiguous, push each other out of the first cache; or a tile's rows do."""
    if a_unit == "column":
        return rows * gcd(a[0] * size, SETS) > WAYS * SETS
    return a_unit == "row" and blocks_of(k)[1] * gcd(a[1] * size, SETS) >= WAYS // 2 * SETS


def unit(strides: Sequence[int], rows: int, columns: int) -> str:
    """Which stride of a matrix is 1; that of a side of length 1 may be any."""
    if strides[1] == 1 or columns <= 1:
        return "column"
    return "row" if strides[0] == 1 or rows <= 1 else "none"
