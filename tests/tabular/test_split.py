"""A text is cut into the cells that `csv.reader` reads, wherever its blocks end."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payback.errors import InputError
from payback.tabular import split
from payback.tabular.kinds import NUL

cells = st.sampled_from(["", "a", "1.5", " b", "cc ", '"q"', '"d,e"', '"two\nlines"', '"r\r\n"', '"say ""x"""', "ü"])
ends = st.sampled_from(["\n"] * 6 + ["\r\n", "\r", "\n\n", "\r\n\r\n", "\n  \n"])


def by_the_csv_module(text):
    """(the rows, the line on which each begins) of a text without rows of different length."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    rows, lines, line, width = [], [], 1, None
    for row in reader:
        blank = not row or (len(row) == 1 and not row[0].strip() and (width or 2) > 1)
        if not blank:
            width = width or len(row)
            rows.append(row)
            lines.append(line)
        line = reader.line_num + 1
    return rows, lines


@given(width=st.integers(1, 3), size=st.integers(1, 40), data=st.data())
def test_blocks_are_cut_as_the_csv_module_reads_them(width, size, data):
    drawn = data.draw(
        st.lists(st.tuples(st.lists(cells, min_size=width, max_size=width), ends), min_size=1, max_size=12)
    )
    if data.draw(st.booleans()):  # quotes around whole columns
        quoted = data.draw(st.lists(st.booleans(), min_size=width, max_size=width))
        drawn = [
            ([f'"{cell}"' if q and '"' not in cell else cell for cell, q in zip(row, quoted, strict=True)], end)
            for row, end in drawn
        ]
    text = "".join(",".join(row) + end for row, end in drawn)
    text = data.draw(st.sampled_from([text, text[:-1]]))
    rows, lines = by_the_csv_module(text)
    shares = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "_BLOCK", size)
        patch.setattr(split, "_CELLS", 1)
        if not rows or len({len(row) for row in rows}) > 1:
            with pytest.raises(InputError):
                split.split_text(text, ",", "t", shares.append)
            return
        made = split.split_text(text, ",", "t", shares.append)
    cut = zip(*[column.split(NUL) for column in made.columns], strict=True)
    assert [[cell.strip() for cell in row] for row in cut] == [[cell.strip() for cell in row] for row in rows]
    assert made.lines.tolist() == lines
    assert shares == sorted(shares)


WRONG = {"1": "a row with 1 cell", "1,2,3": "a row with 3 cells", '"1,2': "is not closed", '"1"2,3': "text after a"}


@pytest.mark.parametrize("place", [1, 500, 39_999])
@pytest.mark.parametrize(("row", "said"), WRONG.items())
def test_what_is_wrong_far_down_is_told_with_its_line(place, row, said):
    lines = ["1,2"] * 40_000
    lines[place] = row
    with pytest.raises(InputError, match=said) as told:
        split.split_text("\n".join(lines), ",", "t", lambda share: None)
    assert told.value.where == f"t, line {place + 1}"


def test_a_cell_is_as_long_as_the_csv_module_allows():
    limit = csv.field_size_limit()
    rows = ["a,b"] + ["1,2"] * 40_000
    assert split.split_text("\n".join([*rows, "x" * limit + ",1\n"]), ",", "t", lambda share: None).lines[-1] == 40_002
    with pytest.raises(InputError, match="a cell longer than") as told:
        split.split_text("\n".join([*rows, "x" * (limit + 1) + ",1\n"]), ",", "t", lambda share: None)
    assert told.value.where == "t, line 40002"
