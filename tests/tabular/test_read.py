"""Reading CSV: what is in the file is what is in the table."""

from __future__ import annotations

import csv
import gzip
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payback.errors import InputError
from payback.tabular import read_csv, table_from_text
from payback.tabular.cells import MISSING

# Any text but NUL and lone surrogates, which no UTF-8 text file holds; much of what CSV finds hard.
hard = st.text(st.sampled_from("ab,;|\t\"'\n\r .ü\u202e\x1b") | st.characters(exclude_characters="\0", codec="utf-8"))
same_file = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def written(rows, delimiter=",", quoting=csv.QUOTE_MINIMAL, end="\r\n"):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows(rows)
    return file.getvalue()


def values(table):
    return [column.values.tolist() for column in table.columns]


@same_file
@given(
    rows=st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(hard, min_size=n, max_size=n), min_size=1, max_size=6)),
    delimiter=st.sampled_from(",;\t|"),
    # Before Python 3.13 the writer leaves a \r unquoted where lines end in \n.
    form=st.sampled_from([(csv.QUOTE_MINIMAL, "\r\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_ALL, "\n")]),
)
def test_texts_come_back_as_the_csv_module_wrote_them(table, rows, delimiter, form):
    names = [f"name {j}" for j in range(len(rows[0]))]
    kinds = dict.fromkeys(names, "categorical")
    # Blank rows are not data, and cells are stripped; a first cell such as x makes no row blank.
    rows = [["x", *row[1:]] for row in rows]
    read = table(written([names, *rows], delimiter, *form), delimiter=delimiter, header=True, kinds=kinds)
    expected = [[None if cell.strip() in MISSING else cell.strip() for cell in row] for row in rows]
    assert read.names == names
    assert values(read) == [list(column) for column in zip(*expected, strict=True)]


@same_file
@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), min_size=3, max_size=3), min_size=1
    ),
    delimiter=st.sampled_from(",;\t|"),
)
def test_floats_come_back_bit_for_bit(table, rows, delimiter):
    read = table(written([["a", "b", "c"], *rows], delimiter), delimiter=delimiter)
    expected = np.array(rows, dtype=float)
    assert [column.numbers.tobytes() for column in read.columns] == [column.tobytes() for column in expected.T]


@same_file
@given(rows=st.lists(st.tuples(st.integers(0, 99), st.text('ab\n\r," ', max_size=6)), min_size=2, max_size=20))
def test_line_numbers_are_those_of_the_file(table, rows):
    text = written([["number", "text"], *rows])
    reader, ends = csv.reader(io.StringIO(text, newline="")), []
    for _ in reader:
        ends.append(reader.line_num)
    assert table(text, delimiter=",", header=True).lines.tolist() == [end + 1 for end in ends[:-1]]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a,b\n1,2\n3,4\n", {"a": [1, 3], "b": [2, 4]}),
        ("a;b\n1;2\n3;4\n", {"a": [1, 3], "b": [2, 4]}),
        ("a\tb\n1\t2\n3\t4\n", {"a": [1, 3], "b": [2, 4]}),
        ("a|b\n1|2\n3|4\n", {"a": [1, 3], "b": [2, 4]}),
        ('a,b\n"x;y;z",2\n"u;v;w",4\n', {"a": ["x;y;z", "u;v;w"], "b": [2, 4]}),
        ("a;b\n1,5;2,25\n3,5;-4\n", {"a": [1.5, 3.5], "b": [2.25, -4]}),
        ("1,5;2,5\n3,5;4,5\n", {"x1": [1.5, 3.5], "x2": [2.5, 4.5]}),
        ("last, first\tage\nDoe, J\t3\nRoe, R\t4\n", {"last, first": ["Doe, J", "Roe, R"], "age": [3, 4]}),
        ("a, b\n1, ?\n2, 5\n", {"a": [1, 2], "b": [None, 5]}),
        ("only\n1\n2\n", {"only": [1, 2]}),
        ("a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
        ("a,b\n+1,.5\n1e3,2.\n", {"a": [1, 1000], "b": [0.5, 2]}),
    ],
)
def test_delimiter_and_decimal_mark_are_recognized(table, text, columns):
    read = table(text)
    found = [[None if cell != cell else cell for cell in column] for column in values(read)]
    assert dict(zip(read.names, found, strict=True)) == columns


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks(table, encoding):
    read = table("größe,b\n1,ü\n2,ö\n2,ö\n".encode(encoding))
    assert read.names == ["größe", "b"]
    assert values(read) == [[1, 2, 2], ["ü", "ö", "ö"]]


@pytest.mark.parametrize("cell", ["", " ", "?", '""', '" "'])
def test_one_row_with_a_missing_cell(table, cell):
    read = table(f"a,b\n1,{cell}\n")
    assert [len(column) for column in read.columns] == [1, 1]
    assert [column.kind for column in read.columns] == ["constant", "empty"]


def test_gzip(tmp_path):
    file = tmp_path / "data.csv.gz"
    file.write_bytes(gzip.compress(b"a,b\n1,2\n3,4\n"))
    assert values(read_csv(file)) == [[1, 3], [2, 4]]


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "nan", "null", "None", "?", "-", "#N/A", "<NA>", " NA "])
def test_missing_cells(table, cell):
    numbers, texts = table(f"a,b\n1,x\n{cell},{cell}\n3,x\n").columns
    assert numbers.kind == "numeric"
    assert numbers.missing.tolist() == texts.missing.tolist() == [False, True, False]


@pytest.mark.parametrize("cell", ["1,234", "1_000"])
def test_a_number_that_could_be_two_is_not_read(table, cell):
    column = table(f'a,b\n"{cell}",1\n2,2\n3,3\n').column("a")
    assert column.kind == "mixed"
    assert cell in column.values.tolist()


def test_a_point_in_a_table_with_decimal_commas_is_not_read(table):
    read = table("a;b\n1,5;1.234\n2,5;2.345\n")
    assert [column.kind for column in read.columns] == ["numeric", "mixed"]


def test_decimal_mark_can_be_given(table):
    assert values(table("a;b\n1,234;1\n5,678;2\n", decimal=",")) == [[1.234, 5.678], [1, 2]]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,2\n3,4\n", ["x1", "x2"]),
        ("5.1,3.5,setosa\n4.9,3.0,setosa\n6.1,3.0,virginica\n", ["x1", "x2", "x3"]),
        ("0,1,2,3\n7,8,9,6\n", ["0", "1", "2", "3"]),
        ("0,1,2,target\n7,8,9,6\n", ["0", "1", "2", "target"]),
        ("2019,2020,city\n7,8,Rome\n1,2,Oslo\n", ["2019", "2020", "city"]),
        ("city,kind\nRome,big\nOslo,small\n", ["city", "kind"]),
    ],
)
def test_whether_the_first_line_holds_names(table, text, names):
    read = table(text)
    assert read.names == names
    assert any("first line holds data" in note for note in read.notes) == (names[0] == "x1")


def test_header_can_be_given(table):
    assert table("1,2\n3,4\n", header=True).names == ["1", "2"]
    assert table("a,b\nc,d\n", header=False).names == ["x1", "x2"]


def test_columns_without_a_name_and_blank_lines_are_said(table):
    read = table(",a,\n1,2,3\n\n2,2,4\n")
    assert read.names == ["column_1", "a", "column_3"]
    assert read.lines.tolist() == [2, 4]
    assert read.notes == ("2 columns without a name: called 'column_1', 'column_3'", "1 blank line skipped")


@pytest.mark.parametrize("line", ["sep=;", '"SEP=;"', "sep=\t"])
def test_a_first_line_that_names_the_delimiter(table, line):
    mark = line.strip('"')[-1]
    read = table(f"{line}\r\na,b{mark}c\r\n1{mark}x\r\n2{mark}y\r\n")
    assert (read.names, read.notes, read.lines.tolist()) == (["a,b", "c"], (), [3, 4])


@pytest.mark.parametrize(
    ("text", "options", "columns"),
    [
        ("  a  b\r\n 1.5   2 \n\t3 4\n", {}, [[1.5, 3.0], [2.0, 4.0]]),
        ("0.5 7 yes\n.25   8  no\n1 2 yes\n", {}, [[0.5, 0.25, 1.0], [7.0, 8.0, 2.0], ["yes", "no", "yes"]]),
        ('a b\n1 "x  ""y"\n2 z\n', {"delimiter": "space"}, [[1.0, 2.0], ['x  "y', "z"]]),
        ("a b\n1 x\n2 y\n", {"delimiter": " "}, [[1.0, 2.0], ["x", "y"]]),
        ("a b\n" + "12 30.25\n" * 9000, {}, [[12.0] * 9000, [30.25] * 9000]),  # more than is looked at
        ("first name\nAda L.\nAlan T.\n", {}, [["Ada L.", "Alan T."]]),
        ("weight\n1 kg\n2 kg\n", {}, [[1.0, 2.0]]),
    ],
)
def test_spaces_between_cells(table, text, options, columns):
    made = table(text, **options)
    assert values(made) == columns
    assert ("cells are divided by spaces" in made.notes) == (len(columns) > 1)


def test_blank_lines_before_the_names(table):
    read = table("\n  \na,b\n1,2\n")
    assert read.names == ["a", "b"]
    assert read.lines.tolist() == [4]


def test_names_are_kept_as_they_are(table):
    names = ["size [cm]", "[red]", "[/]", "\x1b[31mred", "\u202egnp"]
    assert table(",".join(names) + "\n1,2,3,4,5\n2,3,4,5,6\n").names == names


def test_summary(table):
    read = table("when,size,color,id\n2024-01-02,1,red,1\n2023-05-01,?,red,2\n2024-01-02,3.5,blue,3\n")
    rows = {row.pop("name"): tuple(row.values()) for row in read.summary()}
    assert rows == {
        "when": ("date", 0, 2, "2023-05-01 … 2024-01-02", ""),
        "size": ("numeric", 1, 2, "1 … 3.5", ""),
        "color": ("categorical", 0, 2, "red (2), blue (1)", ""),
        "id": ("identifier", 0, 3, "1 … 3", "a different whole number in each row"),
    }


def test_a_table_cannot_be_changed(table):
    read = table("a,b\n1,x\n2,x\n")
    with pytest.raises(ValueError, match="read-only"):
        read.column("a").numbers[0] = 5
    with pytest.raises(AttributeError):
        read.n_rows = 3


def test_unknown_column(table):
    with pytest.raises(InputError) as error:
        table("price,size\n1,2\n2,3\n").column("Prise")
    assert "there is no column 'Prise'" in str(error.value)
    assert str(error.value).endswith("Did you mean 'price'?")


def test_a_text_and_its_cells_go_as_they_are_read():
    """What is read takes little more memory than the text and its numbers: neither the text nor the cells twice."""
    rows, names = 2_000, ",".join(f"x{j}" for j in range(40))
    line = ",".join(f"{j}.{j * 37 + 10_000_000:010}" for j in range(40)) + "\n"
    table_from_text(f"{names}\n{line}{line}", "once, for what is imported")
    tracemalloc.start()
    try:
        table = table_from_text(f"{names}\n" + line * rows, "numbers")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert table.n_rows == rows
    assert peak < 3.3 * len(line) * rows
