"""Matrix products: their bits, on any sizes, strides and threads, with what is done before they are stored."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.matmul import Product, made, product

import amount
from native import products
from payback.native import ir
from payback.native.codegen import emit
from payback.native.codegen.emit import POINTER
from payback.native.lower.products.blocked import choice as plans
from payback.native.lower.products.blocked import gemm, packing, tile
from payback.native.lower.products.blocked.storing import Epilogue
from payback.native.lower.products.product import shape_of
from payback.native.planning.layout import contiguous
from payback.native.running import cores
from payback.native.running.program import Program
from payback.trace.abstract import trace


@pytest.mark.parametrize("seed", range(amount.cases(15, 150, 1500)))
def test_any_sizes_and_strides(seed):
    products.check(products.random_case(seed), made)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    "shape",
    [
        (1000, 65, 513),
        (65, 1000, 300),
        (90, 66, 700),
        (2000, 1, 50),
        (1, 600, 1000),
        (3, 700, 64),
        (50, 1, 3000),
        (5, 7, 9000),
    ][:: amount.cases(2, 1)],
)
def test_threads_change_no_bit(dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    alone = product(a, b)
    for left, right in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
        assert np.array_equal(product(left, right), alone)
        for count in (2, 3, 4, 8):
            assert np.array_equal(product(left, right, count=count), alone)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_an_element_has_its_bits_in_every_product_it_is_part_of(dtype):
    """Whatever the tile, the packing and the way round: rows and columns alone, and the transposed product."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((70, 300)).astype(dtype), rng.standard_normal((300, 66)).astype(dtype)
    lanes = emit.vector_bytes() // np.dtype(dtype).itemsize
    assert plans.plan(dtype, 70, 66, 300, (300, 1), (66, 1), (66, 1)).rest or lanes < 8
    whole = product(a, b)
    assert np.array_equal(product(b.T, a.T), whole.T)
    for rows in (slice(0, 1), slice(3, 5), slice(7, 10), slice(10, 14), slice(11, 60)):
        for columns in (slice(0, 1), slice(2, 4), slice(5, 14), slice(14, 60), slice(14, 66)):
            assert np.array_equal(product(a[rows], b[:, columns]), whole[rows, columns])


def test_nothing_leaks_from_one_row_or_column_to_another():
    a, b = np.ones((13, 40), np.float32), np.ones((40, 21), np.float32)
    a[12, 7], b[3, 20] = np.inf, np.nan
    found = product(a, b)
    assert np.isinf(found[12, :20]).all()
    assert np.isnan(found[:, 20]).all()
    assert (found[:12, :20] == 40).all()


def bias_relu() -> Epilogue:
    """max(v + bias[column], 0), as the first layer of a network does."""

    def emit_it(place, value, extra):
        b = place.e.b
        value = b.fadd(value, place.load(extra[0], 0, 1))
        nothing = ir.Constant(value.type, None)
        return b.select(b.fcmp_ordered(">", value, nothing), value, nothing)

    return Epilogue("bias_relu", (POINTER,), emit_it)


def descent(rows_of_c: int) -> Epilogue:
    """The value is a gradient: weights −= value/2, and it is not stored."""

    def emit_it(place, value, extra):
        e = place.e
        old = place.load(extra[0], rows_of_c, 1)
        place.store(e.b.fsub(old, e.b.fmul(value, emit.constant(value.type, 0.5))), extra[0], rows_of_c, 1)

    return Epilogue(f"descent{rows_of_c}", (POINTER,), emit_it)


SHAPES = [
    (64, 128, 64),
    (13, 37, 5),
    (32, 1, 16),
    (50, 3, 20),
    (1, 33, 4),
    (130, 70, 600),
    (300, 1, 600),
    (6, 16, 1),
    (50, 1, 3000),
]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES[:: amount.cases(2, 1)])
def test_an_epilogue_is_done_once_to_every_element(dtype, shape):
    m, n, k = shape
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    bias, c = rng.standard_normal(n).astype(dtype), np.empty((m, n), dtype)
    strides = [[s // x.itemsize for s in x.strides] for x in (a, b, c)]
    fused = Product(plans.plan(dtype, m, n, k, *strides), bias_relu())
    for threads in (1, 3):
        c[...] = np.nan
        fused.run(fused.prepare(a, b, c, threads, [bias.ctypes.data]), threads)
        assert np.array_equal(c, np.maximum(product(a, b) + bias, 0)), threads


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[2] <= plans.K_BLOCK])
def test_an_epilogue_may_keep_the_value(shape):
    m, n, k = shape
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((k, m)).astype("f4").T, rng.standard_normal((k, n)).astype("f4")
    weights, c = rng.standard_normal((m, n)).astype("f4"), np.full((m, n), 7, "f4")
    expected = weights - product(a, b) * np.float32(0.5)
    strides = [[s // x.itemsize for s in x.strides] for x in (a, b, c)]
    fused = Product(plans.plan("f4", m, n, k, *strides), descent(n))
    fused.run(fused.prepare(a, b, c, 1, [weights.ctypes.data]))
    assert np.array_equal(weights, expected)
    assert (c == 7).all()


def test_the_function_of_a_product_is_emitted_once():
    """Compile time does not grow with the number of layers."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "net")
    e = emit.Emitter(module, ir.IRBuilder(function.append_basic_block()))
    lengths = []
    for size in (32, 48, 64):
        plan = plans.plan("f4", 64, size, size, (size, 1), (size, 1), (size, 1))
        gemm.call(e, plan, 64, size, size, *[(function.args[0], size, 1)] * 3)
        lengths.append(len(module.functions))
    assert len(set(lengths)) == 1


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_square_of_vectors_is_transposed(dtype):
    kind = emit.llvm_type(np.dtype(dtype))
    lanes = emit.lanes_of(kind)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER]), "turn")
    e = emit.Emitter(module, ir.IRBuilder(function.append_basic_block()))
    columns = packing.turned(e, kind, lambda row, at, size: e.load(function.args[0], row * lanes + at, kind, size))
    for i, column in enumerate(columns):
        e.store(column, function.args[1], i * lanes)
    e.b.ret_void()
    square, turned = np.arange(lanes**2, dtype=dtype).reshape(lanes, lanes), np.empty((lanes, lanes), dtype)
    run(emit.Compiled(module), "turn", square, turned)
    assert np.array_equal(turned, square.T)


def run(compiled, name, *arrays):
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays))(compiled.address(name))
    call(*(array.ctypes.data for array in arrays))


GUARDED = """
import ctypes, mmap
import numpy as np
from benchmarks.matmul import product

page = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)

def at_the_end(array, front):
    "The array in pages of its own, next to one that cannot be touched: before it or after it."
    size = -(-max(array.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, size + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (start, start + page + size):
        assert libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    first = page if front else page + size - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, first).reshape(array.shape)
    copy[...] = array
    return copy

rng = np.random.default_rng(0)
for dtype in ("f4", "f8"):
    for m, n, k in ((1, 1, 1), (7, 17, 5), (33, 1, 50), (70, 90, 300)):
        for front in (False, True):
            for turn_a in (False, True):
                for turn_b in (False, True):
                    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
                    guarded = [at_the_end(x.T.copy() if turn else x, front) for x, turn in ((a, turn_a), (b, turn_b))]
                    guarded = [x.T if turn else x for x, turn in zip(guarded, (turn_a, turn_b))]
                    out = at_the_end(np.zeros((m, n), dtype), front)
                    product(*guarded, out)
                    assert np.array_equal(out, product(a, b)), (dtype, m, n, k)
print("within bounds")
"""


@pytest.mark.parametrize("script", [GUARDED] if sys.platform != "win32" else [])
def test_nothing_is_read_or_written_out_of_bounds(script):
    """Every array ends, or begins, where a page begins that cannot be touched: one step over kills the process."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "within bounds", (done.returncode, done.stderr)


def checked(seeds: int) -> None:
    """The first cases that the everyday run has, compiled anew."""
    for seed in range(seeds):
        products.check(products.random_case(seed), Product)


def rounded_twice(patch):
    patch.setattr(tile, "multiply_add", lambda e, a, b, c: e.b.fadd(e.b.fmul(a, b), c))


def shorter_blocks_of_k(patch):
    for module in (plans, gemm):
        patch.setattr(module, "K_BLOCK", 128)


def one_lane_short(patch):
    least = gemm.least
    patch.setattr(gemm, "least", lambda e, x, y: e.b.sub(least(e, x, y), e.int(1)))


def rows_not_turned(patch):
    for module in (packing, tile):
        patch.setattr(module, "turned", lambda e, kind, load: [
            load(i, 0, emit.lanes_of(kind)) for i in range(emit.lanes_of(kind))
        ])  # fmt: skip


def all_lanes_stored(patch):
    def store(place, value, pointer, row_stride, column_stride):
        place.e.store(value, place.address(pointer, row_stride, column_stride, place.kind), 0)

    patch.setattr(gemm.Place, "store", store)


WRONG = [
    *([rounded_twice] if tile.has_fma() else []),
    shorter_blocks_of_k,
    one_lane_short,
    rows_not_turned,
    all_lanes_stored,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_kernel_is_caught(wrong, monkeypatch):
    wrong(monkeypatch)
    with pytest.raises(AssertionError):
        checked(40)


@pytest.mark.parametrize(
    ("width", "features"), [(16, {}), (16, {"avx": True}), (64, {"avx512f": True, "avx": True, "fma": True})]
)
@pytest.mark.parametrize("seed", range(amount.cases(3, 60)))
def test_the_tiles_of_other_hosts(width, features, seed, monkeypatch):
    """Vectors of 128 and 512 bits, 16 and 32 registers, with and without masked loads: split by LLVM where need be."""
    if features.get("fma") and not tile.has_fma():
        features = {**features, "fma": False, "avx512f": False}
    for module in (emit, tile):
        monkeypatch.setattr(module, "host_features", lambda: features)
    monkeypatch.setattr(emit, "vector_bytes", lambda: width)
    monkeypatch.setattr(tile, "_arm", False)
    products.check(products.random_case(1000 + seed), Product)


@pytest.mark.parametrize("k", [3, 4, 7, 66, 321])
@pytest.mark.parametrize("tiles", [1, 3, 5])
def test_rows_that_are_copied_beside_the_sums_are_those_that_are_packed_between_tiles(tiles, k):
    """Few tiles leave some of them to be packed afterwards; the last panel is not whole."""
    (rows, vectors), lanes = tile.tile(), emit.lanes_of(emit.llvm_type(np.dtype(np.float64)))
    m, n, rng = tiles * rows + 5, 3 * vectors * lanes + 1, np.random.default_rng(k)
    a, apart = rng.standard_normal((2 * k, m)).T[:, ::2], rng.standard_normal((k, 2 * n))[:, ::2]
    side_by_side, outs = apart.copy(), [np.empty((m, n)), np.empty((m, n))]
    for b, out in zip((side_by_side, apart), outs, strict=True):
        how = plans.plan("float64", m, n, k, *[[s // 8 for s in x.strides] for x in (a, b, out)])
        product = made(replace(how, pack_b=True, blocked=True, along=False, copied=b is side_by_side))
        product.run(product.prepare(a, b, out, 1), 1)
    np.testing.assert_array_equal(*outs)
    np.testing.assert_allclose(outs[0], a @ side_by_side, rtol=0, atol=1e-12 * k)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "n", "k", "turned"), [(131, 300, 33, False), (72, 530, 64, True), (1001, 67, 5, False)])
def test_tiles_that_follow_the_rows_of_a_large_result_make_the_bits_of_those_that_go_down(m, n, k, turned, dtype):
    rng = np.random.default_rng(m)
    a = rng.standard_normal((k, m)).astype(dtype).T if turned else rng.standard_normal((m, k)).astype(dtype)
    b, outs = rng.standard_normal((k, n)).astype(dtype), [np.empty((m, n), dtype) for _ in range(4)]
    how = plans.plan(dtype, m, n, k, *[[s // x.itemsize for s in x.strides] for x in (a, b, outs[0])])
    assert how.along or not tile.has_masked_loads()  # without these what fills no vector is packed
    assert not (how.along and how.pack_b)
    for plan, count, out in zip([how, how, replace(how, along=False, rest=None)], [1, 3, 1], outs, strict=False):
        kernel = made(plan)
        kernel.run(kernel.prepare(a, b, out, count), count)
        assert np.array_equal(out, outs[0])
    np.testing.assert_allclose(outs[0], a @ b, rtol=0, atol=k * np.finfo(dtype).eps * 30)


def test_threads_share_rows_by_less_than_a_tile():
    """100 rows of tiles of 12 are 48 and 52, not 60 and 40; what is left of a share has lower tiles."""
    how = plans.plan("float32", 100, 300, 400, (400, 1), (300, 1), (300, 1))
    lower = [rows for rows, vectors in how.edges if vectors == 2 and rows < how.rows]
    assert how.rows % how.unit == 0
    assert not lower or how.unit <= lower[-1]
    assert how.unit < how.rows or not lower


@pytest.mark.parametrize("first", [0, 1], ids=["packed first", "packed second"])
def test_a_product_that_packs_a_is_another_kernel_than_one_that_does_not(first):
    """Their plans have one function, but the room that they need is not the same: one ran over the other's."""

    def graph(m, n, k):
        return trace(lambda x, y: x[:, ::2] @ y.T, np.ones((m, 2 * k), np.float32), np.ones((n, k), np.float32)).graph

    (rows, vectors), lanes = tile.tile(), emit.lanes_of(emit.llvm_type(np.dtype(np.float32)))
    n = 4 * vectors * lanes + 30
    m = 4 * rows + 1  # with fewer, long rows are a kernel of inner products
    k = 140_000 // (4 * (m + n))  # just so much that the second cache is too small, but no work for threads
    sizes = [(m, n, k), (m, n, 5)]
    programs = [Program(graph(*sizes[which])) for which in (first, 1 - first)]
    kernels = [next(c.kernel for c in program.commands if hasattr(c.kernel, "plan")) for program in programs]
    assert {kernel.plan.pack_a for kernel in kernels} == {True, False}
    assert kernels[0].plan == kernels[1].plan
    assert kernels[0] != kernels[1]
    for which, program in zip((first, 1 - first), programs, strict=True):
        m, n, k = sizes[which]
        assert (program(np.ones((m, 2 * k), np.float32), np.ones((n, k), np.float32))[0] == k).all()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("m", "n", "k", "turned"),
    [(150, 136, 784, False), (181, 512, 300, False), (48, 512, 300, False), (730, 200, 50, False), (400, 513, 64, True),
     (257, 130, 330, True)],
)  # fmt: skip
def test_each_thread_stays_in_the_room_of_its_share(m, n, k, turned, dtype, count, monkeypatch):
    """What lies behind the room that is planned for so many threads is not written, and every bit is that of one."""
    monkeypatch.setattr(plans, "ALONG", 0)  # all but few rows of A are packed
    rng = np.random.default_rng(m)
    a = rng.standard_normal((k, m)).astype(dtype).T if turned else rng.standard_normal((m, k)).astype(dtype)
    b, out, alone = rng.standard_normal((k, n)).astype(dtype), np.zeros((m, n), dtype), np.zeros((m, n), dtype)
    strides = [[stride // x.itemsize for stride in x.strides] for x in (a, b, out)]
    product = made(plans.plan(dtype, m, n, k, *strides))
    vectors = -(-n // (emit.vector_bytes() // np.dtype(dtype).itemsize))
    assert product.plan.pack_a == (m != 48 and (turned or vectors > 32))
    table, kept = product.prepare(a, b, out, count)
    of_one = product.plan.scratch(m, n, k, count)
    assert of_one <= product.plan.scratch(m, n, k)
    room = np.full(of_one * count + 4096 + 64, 0xA5, np.uint8)
    start = -room.ctypes.data % 64
    table[15] = room.ctypes.data + start
    product.run((table, kept), count)
    assert (room[start + of_one * count :] == 0xA5).all()
    product.run(product.prepare(a, b, alone, 1), 1)
    assert out.tobytes() == alone.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_share_batches_and_long_sums_and_every_bit_is_that_of_one(dtype):
    """Products of a batch are each made by one thread; of few rows and columns, parts of the result."""
    rng = np.random.default_rng(0)
    for spec, of_a, of_b in [
        ("bij,bjk->bik", (50, 17, 60), (50, 60, 33)), ("abij,abkj->abik", (3, 9, 40, 30), (3, 9, 40, 30)),
        ("bij,bjk->ibk", (9, 70, 40), (9, 40, 50)), ("ki,kj->ij", (9000, 20), (9000, 130)),
        ("ik,kj->ij", (32, 4096), (4096, 130)),
    ]:  # fmt: skip
        a, b = rng.standard_normal(of_a).astype(dtype), rng.standard_normal(of_b).astype(dtype)
        graph = trace(lambda a, b, spec=spec: np.einsum(spec, a, b), a, b).graph
        found = []
        try:
            for count in (1, 2, 3, 8):
                cores.set_threads(count)
                program = Program(graph)
                found.append(program(a, b)[0].tobytes())
        finally:
            cores.set_threads(None)
        assert any(getattr(command.kernel, "split", False) for command in program.commands), spec
        assert len({*found}) == 1, spec
        exact = np.einsum(spec, *(x.astype(np.float64) for x in (a, b)))
        np.testing.assert_allclose(program(a, b)[0], exact, rtol=0, atol=1e-3 if dtype == np.float32 else 1e-11)


@pytest.mark.parametrize(
    ("spec", "sizes", "kept"),
    [
        ("aik,ij->akj", {"a": 162, "i": 128, "k": 32, "j": 3}, "kj"),
        ("ik,aij->akj", {"a": 277, "i": 200, "k": 6, "j": 6}, "kj"),
        ("aik,kj->aij", {"a": 162, "i": 32, "k": 128, "j": 3}, "aij"),  # one axis of both
    ],
)
def test_the_axes_of_a_product_are_those_that_lie_in_runs(spec, sizes, kept):
    """Not the longest ones: a loop over an axis whose entries lie side by side reads all lines of memory each time."""
    left, right, out = spec.replace("->", ",").split(",")
    forms = [tuple(sizes[c] for c in letters) for letters in (left, right, out)]
    found = shape_of((left, right, out), *[(form, contiguous(form)) for form in forms])
    rows_and_columns = [found.extents[found.of(kind)[0]] for kind in "mn"]
    wanted = [sizes[kept[0]] * sizes[kept[1]], sizes[kept[2]]] if len(kept) == 3 else [sizes[kept[0]], sizes[kept[1]]]
    assert sorted(rows_and_columns) == sorted(wanted)
