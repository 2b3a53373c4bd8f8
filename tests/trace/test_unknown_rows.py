"""Rows whose number is not known while a function is compiled: views in NumPy, so a write that would be lost raises."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import UnsupportedError

M, A = np.arange(12.0).reshape(3, 4), np.array([0.1, 3.0, 2.0])


def into_the_row(M, i):
    row = M[i]
    row += 1.0
    return M * 1.0


def into_an_entry(M, i):
    M[i][0] = 100.0
    return M * 1.0


def into_the_array(M, i):
    row = M[i]
    M[:] = 7.0
    return row * 2.0


def into_a_column(M, i):
    column = M[:, i]
    M *= 2.0
    return column + 1.0


def into_a_part(M, i):
    part = M[i, 1:]
    M[0] = 5.0
    return part.sum()


def into_a_row_of_what_was_written(M, i):
    N = M.copy()
    N[i] = 0.0
    row = N[i]
    row += 1.0
    return N


def into_the_array_of_a_written_one(M, i):
    N = np.zeros((3, 4))
    N[0] = M[0]
    row = N[i]
    N += 1.0
    return row * 2.0


def augmented(M, i):
    M[i] += 1.0
    M[i, 0] *= 3.0
    return M * 1.0


def copied(M, i):
    row = M[i].copy()
    M[:] = 7.0
    row += 1.0
    return row + M[0]


def taken_again(M, i):
    row = M[i] * 2.0
    M[i] = row
    row = M[i]
    return row + 1.0


def entries(M, i):
    entry = M[i, i]
    M[:] = 7.0
    return entry * 2.0


def of_a_result(M, i):
    row = (M * 2.0)[i]
    row += 1.0
    return row


REFUSED = [into_the_row, into_an_entry, into_the_array, into_a_column, into_a_part, into_a_row_of_what_was_written,
           into_the_array_of_a_written_one]  # fmt: skip


@pytest.mark.parametrize("f", REFUSED, ids=lambda f: f.__name__)
def test_what_would_be_lost_is_refused(f):
    def g(M, a):
        return f(M, np.argmax(a))

    np.testing.assert_array_equal(pb.vjp(g, M, A)[0], g(M.copy(), A))  # with numbers it is NumPy's
    for transformed in (pb.compile(g), pb.compile(g, native=False), lambda *args: pb.vmap(g)(*[x[None] for x in args])):
        with pytest.raises(UnsupportedError, match=r"a row whose number is unknown is .*copy"):
            transformed(M.copy(), A)


@pytest.mark.parametrize("f", [augmented, copied, taken_again, entries, of_a_result], ids=lambda f: f.__name__)
def test_what_is_not_lost(f):
    def g(M, a):
        return f(M, np.argmax(a))

    for a in (A, A[::-1].copy()):
        np.testing.assert_array_equal(pb.compile(g)(M.copy(), a), g(M.copy(), a))
    batch = pb.vmap(lambda M, a: g(M * 1.0, a))(np.stack([M, -M]), np.stack([A, A[::-1]]))
    np.testing.assert_array_equal(batch, [g(M.copy(), A), g(-M, A[::-1])])
