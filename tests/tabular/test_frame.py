"""Data frames give the same table as a file with the same cells."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from payback.errors import InputError
from payback.tabular import table_from_frame

DATA = {
    "price": [1.5, None, 3.0],
    "rooms": [1, 2, 2],
    "color": ["red", None, "red"],
    "sold": [True, False, None],
    "day": [datetime.date(2024, 1, 1), None, datetime.date(2024, 3, 1)],
    "time": [datetime.datetime(2024, 1, 1, 5), datetime.datetime(2024, 1, 2), None],
    "text": ["1.5", "2", "?"],
}
TEXT = """price,rooms,color,sold,day,time,text
1.5,1,red,True,2024-01-01,2024-01-01T05:00:00,1.5
,2,,False,,2024-01-02T00:00:00,2
3.0,2,red,,2024-03-01,,?
"""


def frame(backend, data):
    library = pytest.importorskip(backend)
    return library.table(data) if backend == "pyarrow" else library.DataFrame(data)


@pytest.mark.parametrize("backend", ["polars", "pandas", "pyarrow"])
def test_a_frame_is_read_as_a_file(table, backend):
    expected, found = table(TEXT), table_from_frame(frame(backend, DATA))
    assert found.source == f"{backend} data frame"
    assert [column.kind for column in found.columns] == [column.kind for column in expected.columns]
    for one, other in zip(found.columns, expected.columns, strict=True):
        if one.numbers is not None:
            assert np.array_equal(one.numbers, other.numbers, equal_nan=True)
        else:
            assert one.values.tolist() == other.values.tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "the polars data frame has no columns."),
        ({"a": []}, "the polars data frame has no rows."),
        ({"a": [1.0, float("inf")]}, "an infinite number in column 'a' (polars data frame, row 1)."),
        ({"a": ["x\0y"]}, "a text with a NUL character in column 'a' (polars data frame, row 0). Write it as text."),
        ({"a": [[1], [2]]}, "a value of type list in column 'a' (polars data frame, row 0). Write it as text."),
    ],
)
def test_frames_that_cannot_be_read(data, message):
    with pytest.raises(InputError) as error:
        table_from_frame(frame("polars", data))
    assert str(error.value) == message


def test_something_else():
    with pytest.raises(InputError, match="'list' cannot be read as a data frame"):
        table_from_frame([1, 2])
