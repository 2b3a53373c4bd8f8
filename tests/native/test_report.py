"""What a compiled program tells of itself: its commands, and how long each takes."""

from __future__ import annotations

import re

import numpy as np
import pytest

import payback as pb
from payback.native.codegen import library
from payback.native.running import report
from payback.native.running.program import Program
from payback.trace.abstract import trace


def model(w, x):
    return np.sum(np.tanh(x @ w) ** 2)


def seconds(text):
    return [float(found) for found in re.findall(r"([\d.]+) µs +[\d.]+ %", text)]


@pytest.mark.parametrize("threads", [1, 3])
def test_every_command_has_its_time(threads):
    pb.set_threads(threads)
    try:
        f = pb.compile(pb.value_and_grad(model))
        f(np.ones((300, 400)), np.ones((500, 300)))
        before = f.llvm
        text = f.explain_compilation()
        assert f.llvm == before  # the plain program does not read the clock
        assert "clock" not in before
    finally:
        pb.set_threads(None)
    head, rows = text.split("\n\n")
    assert f"on {threads} threads" in head if threads > 1 else "on one thread" in head
    commands = int(re.search(r"(\d+) commands", head).group(1))
    times = seconds(rows)
    assert len(times) == commands == len(rows.splitlines())
    assert sum(map(float, re.findall(r"µs +([\d.]+) %", rows))) == pytest.approx(100, abs=0.06 * commands)
    products = [row for row in rows.splitlines() if "contract" in row]
    assert len(products) == 2
    assert all("GF/s" in row for row in products)


def test_the_product_takes_the_time():
    """90 million operations against four: whoever counts for the wrong command is found out."""
    f = pb.compile(lambda a, b, x: (a @ b, np.sum(x), np.cumsum(x)))
    f(np.ones((360, 350)), np.ones((350, 370)), np.ones(4))
    rows = f.explain_compilation().split("\n\n")[1].splitlines()
    longest = max(rows, key=lambda row: seconds(row)[0])
    assert "contract" in longest


def test_rows_on_numpy_are_timed_too():
    f = pb.compile(lambda x: np.sort(x @ x.T, axis=0) * 2.0)
    f(np.ones((40, 40)))
    text = f.explain_compilation()
    assert "on NumPy" in text
    assert len(seconds(text)) == int(re.search(r"(\d+) commands", text).group(1))


def test_numbers_that_a_row_cannot_take():
    """The made-up matrix has no Cholesky factor, and the program says why it has no times."""
    f = pb.compile(lambda x: np.linalg.cholesky(-x) * 2.0)
    f(-np.eye(3))
    text = f.explain_compilation()
    assert "no times: LinAlgError" in text
    assert "cholesky" in text


def test_times_are_added_up_over_rounds():
    program = Program(trace(lambda x: np.exp(x) @ np.ones((50, 50)), np.ones((50, 50))).graph)
    (segment,) = program._parts
    inputs = [np.ones((50, 50))]
    once = program.measured(inputs)
    assert once.shape == (len(program.commands),)
    assert (once > 0).all()
    ticks = report.ticks_of(segment)
    memory = program.memory()
    bases = memory.bases
    out = np.empty((50, 50))
    bases[1], bases[program.outputs[0].buffer.base] = inputs[0].ctypes.data, out.ctypes.data
    segment.run(bases, rounds=20, ticks=ticks)
    assert ticks.sum() > 0
    assert np.array_equal(out, program(*inputs)[0])


def test_drivers_that_count_are_others():
    assert {library.symbol(key) for key in library.TIMED}.isdisjoint(
        map(library.symbol, (library.DRIVER, library.TEAM))
    )


@pytest.mark.parametrize("f", [np.linalg.inv, np.linalg.det, lambda a: np.linalg.solve(a, a[:, :2])])
def test_small_systems_are_machine_code_and_have_times(f):
    """The numbers that they are measured with are no singular matrix."""
    compiled = pb.compile(f, native=True)
    compiled(np.eye(5))
    text = compiled.explain_compilation()
    assert "0 of them on NumPy" in text
    assert "no times" not in text
    assert len(seconds(text)) == int(re.search(r"(\d+) commands", text).group(1))


def test_a_program_that_stops_at_the_numbers_has_no_times():
    """An arithmetic progression is no matrix to invert: machine code stops, and LAPACK may find a tiny pivot."""
    compiled = pb.compile(lambda x: np.linalg.inv(x.reshape(5, 5)), native=True)
    compiled(np.eye(5).ravel())
    assert "no times: " in compiled.explain_compilation()


def test_what_runs_neither_in_kernels_nor_on_numpy():
    def f(x):
        for _ in range(2000):
            x = [x[1] * 0.5, x[0] + x[1] * x[2], x[2]]
        return x[0] + x[1]

    compiled = pb.compile(pb.value_and_grad(lambda x: f(x) + np.sum(x * x)))
    compiled(np.ones(3))
    text = compiled.explain_compilation()
    assert "0 of them on NumPy, 1 by programs of their own" in text
    assert "call on a tape" in text
