"""Every row of the table in native code: on all dtypes, at special values, in all layouts; what is left to NumPy."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from functools import partial

import mpmath
import numpy as np
import pytest
import scipy.special

import amount
import payback as pb
from native.compare import both, check
from ops.checks import integers
from ops.samples import FLOATS, LINEAR, POINTWISE, REDUCTIONS
from payback.errors import PaybackError
from payback.native import coverage
from payback.native.running.program import Program
from payback.ops import TABLE
from payback.run.interpreter import Interpreter
from payback.trace.abstract import trace
from payback.trace.dispatch import emit

# how far elementary functions may be from the interpreter's: 2 ulp each
RTOL = {np.float16: 2e-3, np.float32: 5e-7, np.float64: 1e-15}
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -3e38, 1.0, -1.0, 0.5, 2.0, -3.0]
WHOLE = (np.int64, np.int8, np.uint8, np.bool_)


def entrywise(name, calls, args, rtol):
    """Each result against the interpreter's, entry by entry."""
    with np.errstate(all="ignore"):
        graph, found, wanted = both(lambda *a: tuple(calls(*a)), *args)
    for a, b in zip(found, wanted, strict=True):
        limit = max(rtol, RTOL.get(np.asarray(b).dtype.type, rtol))
        check(graph, [a], [b], limit, name)


# Everyday one dtype a row, in turns.
@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, d) for i, name in enumerate(POINTWISE) for j, d in enumerate(FLOATS) if (i - j) % 3 == 1 or amount.full()],
)
def test_pointwise_rows(name, dtype):
    sample = POINTWISE[name]
    columns = [np.resize(np.array(points), 19).astype(dtype if np.array(points).dtype != bool else bool)
               for points in sample.points]  # fmt: skip
    shapes = [c[:1] for c in columns], [c[:3] for c in columns], columns, [np.tile(c, (3, 1))[:, ::2] for c in columns]
    flat = [array for arrays in shapes for array in arrays]
    count = len(columns)
    entrywise(name, lambda *a: [sample.call(*a[i : i + count]) for i in range(0, len(a), count)], flat, RTOL[dtype])


@pytest.mark.parametrize("name", list(POINTWISE)[:: amount.cases(2, 1)])
def test_pointwise_rows_at_special_values(name):
    sample = POINTWISE[name]
    for dtype in FLOATS:
        with np.errstate(all="ignore"):
            grid = np.array(list(itertools.product(SPECIAL, repeat=min(len(sample.points), 2)))).astype(dtype)
        columns = [np.ascontiguousarray(column) for column in grid.T]
        if len(sample.points) == 3:
            columns = [columns[0] > 0 if name == "select" else columns[0], columns[1], columns[0][::-1].copy()]
        if np.array(sample.points[0]).dtype == bool and name != "select":
            columns = [column > 0 for column in columns]
        entrywise(name, lambda *a: [sample.call(*a)], columns, RTOL[dtype])


@pytest.mark.parametrize("name", amount.cases(list(POINTWISE)[1::2], list(POINTWISE)))
def test_pointwise_rows_of_whole_numbers(name):
    sample = POINTWISE[name]
    tried = 0
    others = WHOLE[1:]
    for dtype in amount.cases((np.int64, others[list(POINTWISE).index(name) % len(others)]), WHOLE):
        columns = [np.resize(np.array(points), 19).astype(dtype) for points in sample.points]
        if name == "power":
            columns = [abs(column) for column in columns]
        try:
            with np.errstate(all="ignore"):
                sample.numpy(*columns)
                trace(sample.call, *columns)
        except (TypeError, PaybackError):
            continue
        tried += 1
        entrywise(name, lambda *a: [sample.call(*a)], columns, 2e-3 if dtype in (np.int8, np.uint8) else 1e-15)
    assert tried or name in ("sub", "neg", "clip", "fraction")


@pytest.mark.parametrize("name", LINEAR)
def test_linear_rows(name):
    case = LINEAR[name]
    for dtype in FLOATS:
        args = [integers(shape, dtype, k) for k, shape in enumerate(case.shapes)]
        for more in ([], case.more) if case.more else ([],):
            whole = (*args, *case.more) if more else args
            call = case.call if more else lambda *a: case.call(*a, *case.more)
            with np.errstate(all="ignore"):
                graph, found, wanted = both(call, *whole)
            check(graph, found, wanted, 0.0 if dtype != np.float16 else 1e-3, name)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_reductions(name, dtype):
    call = REDUCTIONS[name].call
    options = [(axis, keep) for axis in (None, 0, 1, 2, (0, 1), (0, 2), (1, 2)) for keep in (False, True)]
    for shape in ((3, 4, 5), (2, 9, 40), (1, 1, 1)):
        x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        entrywise(name, lambda x: [call(x, axis=axis, keepdims=keep) for axis, keep in options], [x], 4 * RTOL[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_close_to_the_truth(dtype):
    """|error| is at most the depth of the tree times eps: 4096 entries over lanes, then float64."""
    rng = np.random.default_rng(0)
    for shape in ((1_000_003,), (7, 100_003), (100_003, 5), (64, 33, 300)):
        x = (rng.standard_normal(shape) * 100).astype(dtype)
        for axis in (None, *range(x.ndim)):
            found = Program(trace(lambda x, axis=axis: np.sum(x, axis=axis), x).graph)(x)[0]
            exact, size = (np.sum(v.astype(np.longdouble), axis=axis) for v in (x, abs(x)))
            assert np.all(abs(found - exact) <= 600 * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.bool_])
def test_contractions_of_every_form(dtype):
    rng = np.random.default_rng(0)
    extent = dict(zip("abijkl", (2, 3, 5, 17, 9, 4), strict=True))
    forms = """ij,jk->ik ij,kj->ki ji,jk->ik aij,ajk->aik aij,jk->iak ijk,kjl->il i,j->ij i,i-> abij,bjk->abik ij,ij->ij
    ij,ij->j ijk,jl->kil aij,bjk->abik ij,j->i j,jk->k"""
    for form in forms.split():
        spec = (*form.partition("->")[0].split(","), form.partition("->")[2])
        args = [rng.integers(-3, 4, [extent[c] for c in part]).astype(dtype) for part in spec[:2]]
        graph, found, wanted = both(lambda a, b, spec=spec: emit("contract", a, b, spec=spec), *args)
        check(graph, found, wanted, 0.0, form)  # whole numbers: exact in every order


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [*range(2, 41, amount.cases(13, 1))])
def test_rows_and_columns_that_end_in_part_of_a_vector(columns, dtype):
    """Entries behind the last one are neither read nor written, in rows shorter than a vector and in longer ones."""
    rng = np.random.default_rng(columns)
    whole = rng.normal(size=(7, columns + 3)).astype(dtype)
    x, row = whole[:, :columns], rng.normal(size=(7, 1)).astype(dtype)
    x[rng.random(x.shape) < 0.1] = 0.0  # whose neighbors would be seen in a quotient

    def f(x, row):
        y = np.where(x > row, np.exp(x - row), row / (x * x + 1))
        return y, y.sum(0), np.sqrt(y).max(0), (x > row) & (y < 2), y[1] / 3

    graph, found, wanted = both(f, x, row)
    check(graph, found, wanted, RTOL[dtype], "rows")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(amount.cases(3, 20)))
def test_a_columns_sum_does_not_depend_on_the_columns_beside_it(seed, dtype):
    """One or several sums of short and long bodies, in strips of any width: row after row, to the bit."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(2, 60), rng.integers(16, 400)
    x, y = (rng.normal(size=(rows, columns + 3)).astype(dtype)[:, :columns] for _ in range(2))
    bodies = [
        lambda x, y: [x],
        lambda x, y: [x, x * y],
        lambda x, y: [x * y * (1 - y) * (1 + y) * (x - y), x * y * (1 - y)],
        lambda x, y: [(x + k) * (y - k) / (1 + y * y) for k in range(6)],
    ]
    for body in bodies:
        program = Program(trace(lambda x, y, body=body: tuple(np.sum(z, axis=0) for z in body(x, y)), x, y).graph)
        for found, z in zip(program(x, y), body(x, y), strict=True):
            np.testing.assert_array_equal(found, np.add.accumulate(z, axis=0)[-1])


def test_an_index_out_of_bounds_is_the_interpreters_error():
    x, i = np.arange(5.0), np.array([0, 5])
    program = Program(trace(lambda x, i: x[i] * 2.0, x, i).graph)
    with pytest.raises(IndexError, match="out of bounds"):
        program(x, i)
    assert program(x, np.array([-5, 4]))[0].tolist() == [0.0, 8.0]


def test_rows_that_numpy_runs_split_the_program():
    def f(a, b):
        return np.tanh(np.linalg.eigvalsh(a * 2.0) + b) - np.sum(b)

    a, b = np.eye(30) + 0.1, np.arange(30.0)  # more rows than native code has eigenvalues of
    graph, found, wanted = both(f, a, b)
    check(graph, found, wanted, 1e-14, "eigvalsh")
    program = Program(graph)
    assert [command.node.op.name for command in program.commands if command.kernel is None] == ["eigh"]
    assert "on NumPy" in program.explain()


def test_calls_are_part_of_the_program():
    inner = pb.compile(lambda x: (np.sin(x) * x, x.sum()))
    x = np.arange(6.0)
    graph, found, wanted = both(lambda x: inner(x * 2.0), x)
    check(graph, found, wanted, 1e-15, "call")
    assert all(command.kernel is not None for command in Program(graph).commands)


def test_the_coverage_tells_every_row():
    text = coverage()
    for name, row in TABLE.items():
        assert row.value is None or f" {name}" in text
    assert "  eig: all" in text
    assert "  eigh: matrices of more than 25 rows" in text
    assert " tanh " in text


def test_results_never_share_memory():
    x = np.arange(6.0)
    program = Program(trace(lambda x: (x, x, x.reshape(2, 3), x[1:], x * 1.0), x).graph)
    results = [x, *program(x)]
    assert not any(np.shares_memory(a, b) for a, b in itertools.combinations(results, 2))
    again = program(x)
    assert not any(np.shares_memory(a, b) for a in results for b in again)


def test_kernels_are_shared_by_signature():
    def deep(layers):
        def f(x):
            for _ in range(layers):
                x = np.tanh(x * 0.5) + np.max(x, axis=1, keepdims=True)
            return x

        return Program(trace(f, np.ones((4, 6))).graph)

    few, many = deep(3), deep(60)
    assert len({c.kernel for c in many.commands}) == len({c.kernel for c in few.commands})
    assert np.array_equal(many(np.ones((4, 6)))[0], many(np.ones((4, 6)))[0])


def test_a_chain_of_thousands_of_operations():
    def f(x):
        for k in range(2000):
            x = x * 0.999 + k
        return x

    x = np.arange(5.0)
    graph = trace(f, x).graph
    assert np.array_equal(Program(graph)(x)[0], Interpreter(graph)(x)[0])


def test_an_index_that_only_makes_axes_is_paid_without_a_buffer_of_zeros():
    f = pb.grad(lambda x: (x[:, None] * x[None, ..., :] * np.arange(9.0).reshape(3, 3) * -0.0 + x[None] ** 3).sum())
    for x in (np.array([1.0, -2.0, 3.0]), np.array([0.0, -0.0, 1.0])):
        graph, found, wanted = both(f, x)
        check(graph, found, wanted, 1e-15, "axes")
        assert np.array_equal(np.signbit(found[0]), np.signbit(wanted[0]))
    assert not any(node.op.name == "scatter" for node in Program(graph).graph.nodes)


def test_code_that_calls_scipy_is_found_again_in_the_cache(tmp_path):
    program = "import payback as pb, scipy.special as s; print(pb.compile(lambda x: s.gamma(x) * s.j0(x))(2.5))"
    environment = {**os.environ, "PAYBACK_CACHE": str(tmp_path / "cache")}
    run = partial(subprocess.run, [sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    first, second = run(check=True), run(check=True)
    assert first.stdout == second.stdout
    assert float(first.stdout) == pytest.approx(scipy.special.gamma(2.5) * scipy.special.j0(2.5), rel=1e-15)
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize(
    ("exponent", "dtype"),
    [(k - 1.5, d) for k in range(5) for j, d in enumerate(("float32", "float64")) if (j + k) % 2 or amount.full()],
)
def test_powers_by_the_root(exponent, dtype):
    """Within 2 units in the last place of arrays and of numbers, and NumPy's zeros, infinities and NaNs."""
    facts, f = np.finfo(dtype), pb.compile(lambda x: x**exponent)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -1.0, facts.tiny / 8, facts.max, 1.0], dtype)
    usual = np.exp(np.random.default_rng(0).uniform(np.log(facts.tiny), np.log(facts.max), 200)).astype(dtype)
    with np.errstate(all="ignore"):
        one_by_one = [f(x) for x in special], np.array([x**exponent for x in special])  # the half of −0 differs
        arrays = [(x, f(x), x**exponent) for x in (special, usual)]
        for x, found, wanted in ((special, *one_by_one), *arrays):
            finite = np.isfinite(wanted) & (wanted != 0)
            np.testing.assert_array_equal(np.where(finite, 1.0, found), np.where(finite, 1.0, wanted))
            assert (np.signbit(found) == np.signbit(wanted))[~np.isnan(wanted)].all()
            exact = np.array([float(mpmath.mpf(float(v)) ** exponent) for v in x[finite]])
            assert (np.abs(np.asarray(found)[finite] - exact) <= 2 * np.spacing(np.abs(wanted[finite]))).all()
