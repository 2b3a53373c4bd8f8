"""Every bad table: the text of its error."""

from __future__ import annotations

import gzip
import pickle

import pytest

from payback.errors import InputError
from payback.tabular import Encoder, read_csv
from payback.tabular.source import read_text


def error_of(call, *args, **options):
    with pytest.raises(InputError) as error:
        call(*args, **options)
    return str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "'{file}' is empty: a table needs a line of names and rows of data."),
        ("\n \n", "'{file}' is empty: a table needs a line of names and rows of data."),
        (
            "a,b\n",
            "'{file}' has 2 column names but no rows of data: the first line is taken for the names. Add rows "
            "below it.",
        ),
        (
            'a,b\n"two\nlines",2\n1,2,3\n',
            "a row with 3 cells in a table with 2 columns ({file}, line 4): line 1 has 2 cells. "
            "Put a text that contains the delimiter in double quotes.",
        ),
        (
            "a,b\n1,2\n3\n",
            "a row with 1 cell in a table with 2 columns ({file}, line 3): line 1 has 2 cells. "
            "Add the missing cells, or remove the line.",
        ),
        (
            "My table\na,b\n1,2\n",
            "a row with 2 cells in a table with 1 column ({file}, line 2): line 1 has 1 cell. "
            "Remove the lines above the names, or name the delimiter.",
        ),
        (
            b"a,b\n1,\xfc\n",
            "'{file}' is not UTF-8 text (line 2, byte 6 of the file is 0xfc): it may be written in Latin-1 or "
            "Windows-1252. Save it as UTF-8.",
        ),
        (
            b"\xef\xbb\xbfa,b\r\n1,2\r\n1,\xff\r\n",
            "'{file}' is not UTF-8 text (line 3, byte 15 of the file is 0xff): it may be written in Latin-1 or "
            "Windows-1252. Save it as UTF-8.",
        ),
        (
            b"a,b\n1,\x00\n",
            "'{file}' holds a NUL character (line 2): text files have none: it may be UTF-16 without a "
            "byte-order mark, "
            "or not text at all. Save the file as UTF-8.",
        ),
        (
            'a,b\n1,2\n"x,3\n4,5\n',
            "a double quote is not closed ({file}, line 3): the text runs on through the next lines. "
            "Close the quote, or write a quote inside a quoted text twice.",
        ),
        (
            'a,b\n1,2\n"x,3\n' + "4,5\n" * 100_000,
            "a double quote is not closed ({file}, line 3): the text runs on through the next lines. "
            "Close the quote, or write a quote inside a quoted text twice.",
        ),
        (
            'a,b\n"x"y,2\n',
            "text after a closing double quote ({file}, line 2): a quoted cell ends there. "
            "Write a quote inside a quoted text twice.",
        ),
        (
            "a,b,a\n1,2,3\n",
            "two columns are called 'a' ({file}, line 1, columns 1 and 3): a column is known by its name. "
            "Rename one of them.",
        ),
        (
            "x" * 10_000_000,
            "a cell longer than 131,072 characters ({file}, line 1). Check that this is a table, and its delimiter.",
        ),
        (
            "a," * 5_000_000,
            "'{file}' has too many columns: its first line has 5,000,001 cells, "
            "and more than 100,000 columns are not read.",
        ),
        (
            b"PK\x03\x04....",
            "'{file}' is a zip archive or an Excel workbook: payback reads tables as CSV text. Save the sheet as CSV.",
        ),
        (
            pickle.dumps([1, 2]),
            "'{file}' is a Python pickle: payback reads tables as CSV text. Write the table as CSV.",
        ),
        (
            "a,b\né,1\n".encode("utf-16-le"),
            "'{file}' is not UTF-8 text (line 2, byte 8 of the file is 0xe9): it holds NUL characters: it may be "
            "UTF-16 without a byte-order mark, or no text at all. Save it as UTF-8.",
        ),
        (
            '[\n  {"a": 1}]',
            "'{file}' is JSON: payback reads tables as CSV text. Write the table as CSV.",
        ),
        ('{"a": [1]}\n{"a": [2]}\n', "'{file}' is JSON: payback reads tables as CSV text. Write the table as CSV."),
        (
            "\n<!DOCTYPE html>\n<p>a,b",
            "'{file}' is a page in HTML or XML: payback reads tables as CSV text. Save the table as CSV.",
        ),
        (
            gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:20],
            "'{file}' is a broken gzip file: Compressed file ended before the end-of-stream marker was reached. "
            "Compress it again.",
        ),
    ],
    ids=lambda value: repr(value[:30]),
)
def test_files(tmp_path, content, message):
    file = tmp_path / "data.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert error_of(read_csv, file) == message.replace("{file}", str(file))


def test_an_address():
    assert error_of(read_csv, "https://a.example/t.csv") == (
        "there is no file 'https://a.example/t.csv': payback downloads nothing. Fetch it first, as in: "
        "curl -L URL | payback train -."
    )


def test_missing_file(tmp_path):
    (tmp_path / "sales.csv").touch()
    path = tmp_path / "sale.csv"
    assert error_of(read_csv, path) == f"there is no file '{path}'. Did you mean 'sales.csv'?"
    path = tmp_path / "nowhere" / "sales.csv"
    assert error_of(read_csv, path) == f"there is no file '{path}': there is no folder '{path.parent}'."


def test_folder(tmp_path):
    message = f"'{tmp_path}' is a folder: a table is read from one CSV file"
    assert error_of(read_csv, tmp_path) == message + "."
    (tmp_path / "b.csv").touch()
    assert error_of(read_csv, tmp_path) == f"{message}. Did you mean '{tmp_path / 'b.csv'}'?"


def test_names_that_no_file_can_have():
    assert "cannot read 'a\0b'" in error_of(read_csv, "a\0b")
    assert "there is no file ''" in error_of(read_csv, "")


def test_a_file_larger_than_the_limit_is_not_read_into_memory(tmp_path):
    plain, packed = tmp_path / "a.csv", tmp_path / "a.csv.gz"
    plain.write_bytes(b"a,b\n" * 100)
    packed.write_bytes(gzip.compress(b"a,b\n" * 100_000, mtime=0))
    for file in (plain, packed):
        assert error_of(read_text, file, limit=399) == f"'{file}' is too large: more than 399 bytes. Split the table."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "::"}, "the delimiter is '::': it must be one character. Use ',', ';', '|', 'tab' or 'space'."),
        ({"decimal": "x"}, "the decimal mark is 'x': it is a point or a comma. Use '.' or ','."),
        ({"kinds": {"aa": "numeric"}}, "there is no column 'aa' ({file}). Did you mean 'a'?"),
        (
            {"kinds": {"a": "number"}},
            "the kind of column 'a' is 'number': a kind that can be given is 'numeric', 'categorical', 'identifier'.",
        ),
    ],
)
def test_options(tmp_path, options, message):
    file = tmp_path / "data.csv"
    file.write_text("a,b\n1,2\n")
    assert error_of(read_csv, file, **options) == message.replace("{file}", str(file))


def numbers_with(cell, line, n=60):
    """A table with a column of n different numbers, one of which is `cell`; columns a and b."""
    rows = [f"{i + 0.5},{i}" for i in range(n)]
    rows[line - 2] = f'"{cell}",0'
    return "a,b\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [("abc", "abc"), ("infer", "infer"), ("[red]", "[red]"), ("\x1b[31m", "\x1b[31m")],
)
def test_text_in_a_numeric_column(table, cell, shown):
    read = table(numbers_with(cell, line=17))
    assert read.column("a").kind == "mixed"
    assert error_of(Encoder.fit, read, ["a", "b"]) == (
        f"text in the numeric column 'a' ({read.source}, line 17): '{shown}' is not a number; 59 of 60 cells are. "
        "Correct the cell, or write ? if the value is missing."
    )


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_a_number_that_is_not_finite(table, cell):
    read = table(numbers_with(cell, line=17))
    assert error_of(Encoder.fit, read, ["a", "b"]) == (
        f"the number '{cell}' in column 'a' is not finite ({read.source}, line 17): the largest number that can be "
        "told is 1.8e308. Correct the cell, or write ? if the value is missing."
    )


def test_text_in_a_column_of_few_whole_numbers(table):
    rows = [f"{i % 10},{i}" for i in range(2000)]
    rows[1500] = "abc,7"
    read = table("digit,b\n" + "\n".join(rows))
    assert "text in the numeric column 'digit'" in error_of(Encoder.fit, read, ["digit"])
    assert "line 1502" in error_of(Encoder.fit, read, ["digit"])


def test_a_number_with_separators(table):
    read = table(numbers_with("1,234", line=5))
    assert error_of(Encoder.fit, read, ["a"]) == (
        f"the number '1,234' in column 'a' is unclear ({read.source}, line 5): this table is read with the "
        "decimal mark "
        "'.' and without thousands separators. Write the numbers without separators, or give the decimal mark."
    )


def test_long_cells_are_shortened(table):
    read = table(numbers_with("long " * 1000, line=9))
    message = error_of(Encoder.fit, read, ["a"])
    assert len(message) < 300 + len(read.source)
    assert "long long" in message


def test_a_huge_cell_takes_no_time_and_fails_clearly(table):
    for cell in ("1" * 100_000 + "x", "1," * 50_000, "01." * 40_000, " " * 100_000 + "x", "1-" * 50_000):
        assert table(f'a,b\n"{cell}",1\n2,2\n3,3\n').n_rows == 3
