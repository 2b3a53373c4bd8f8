"""Numbers with currencies, units and thousands separators: read right by the whole column, or not read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payback.errors import InputError
from payback.tabular import Encoder, TargetEncoder, column_from_cells, task_of
from payback.tabular.written import find_written

WAYS = st.tuples(
    st.sampled_from(["", "$", "€", "US$", "CHF "]),
    st.sampled_from(["", " kg", "%", " €", "°C", "m²", "km/h", "年"]),
    st.sampled_from([",.", ".,", "'.", " ,", "\u202f,", ".", ","]),  # thousands, decimal
    st.integers(0, 3),
)


def text_of(number, before, after, marks, digits):
    group, mark = marks if len(marks) == 2 else ("", marks)
    body = f"{abs(number):{',' if group else ''}.{digits}f}"
    body = body.translate({ord(","): group, ord("."): mark})
    return f"{'-' if number < 0 else ''}{before}{body}{after}"


@given(st.lists(st.floats(-3e6, 3e6), min_size=2, max_size=30), WAYS, st.booleans())
def test_what_is_read_is_what_was_written(numbers, way, sure):
    before, after, marks, digits = way
    texts = [text_of(number, *way) for number in numbers]
    written = find_written(texts, marks[-1], sure)
    if written is not None:
        expected = [round(abs(x), digits) * (1 if x >= 0 else -1) for x in numbers]
        assert [written.number(text) for text in texts] == pytest.approx(expected)
    elif len({len(text) for text in texts}) > 1 and sure and (before or after or len(marks) == 2):
        assert not before + after
        assert not any(marks[0] in text for text in texts)


@given(st.lists(st.floats(0, 3e6), min_size=2, max_size=30), WAYS)
def test_a_mark_that_is_only_likely_changes_no_number(numbers, way):
    """The table's own mark may be another one: then the column is read right, or stays text."""
    _, _, marks, digits = way
    texts = [text_of(number, *way) for number in numbers]
    written = find_written(texts, "." if marks[-1] == "," else ",", False)
    if written is not None and written.mark == "," and digits != 3:
        assert [written.number(text) for text in texts] == pytest.approx([round(x, digits) for x in numbers])


@pytest.mark.parametrize(
    "texts",
    [
        ["1,234", "5,678"],
        ["1,234 kg", "2,345 kg"],
        ["user1", "user2"],
        ["Q1", "Q2"],
        ["1st", "2nd", "3rd"],
        ["10a", "12b", "7c"],
        ["5-10", "10-20"],
        ["555 123 456", "555 987 654"],
        ["030 123 456", "089 12 345"],
        ["001kg", "002kg"],
        ["10.0.0.1", "192.168.1.20"],
        ["12 kg", "30 lb"],
        ["12:30", "13:45"],
        ["1.2.3", "1.2.4"],
        ["3 - 5 kg", "2 - 4 kg"],
        ["2024-01-01", "2024-02-02"],
    ],
    ids=lambda texts: texts[0],
)
def test_what_is_no_amount_or_could_be_two_is_not_read(texts):
    assert find_written(texts, ".", False) is None


def test_a_column_is_numeric_and_says_how_it_was_read(table):
    prices = table('price,kind\n"$1,200.50",a\n$7.00,b\n?,a\n-$3.25,b\n')
    price = prices.column("price")
    assert (price.kind, price.note) == ("numeric", "read without '$' and the thousands separator ','")
    assert price.values[[0, 1, 3]].tolist() == [1200.5, 7.0, -3.25]
    german = table("preis;art\n1.275.985,37 €;a\n950,00 €;b\n12 €;a\n")
    assert german.column("preis").values.tolist() == [1275985.37, 950.0, 12.0]
    assert column_from_cells("size", "1,234\x00567", sure=True).values.tolist() == [1234, 567]


def test_a_cell_that_is_written_otherwise_is_named(table):
    cells = "".join(f"{k}.5 kg\n" for k in range(40))
    toys = table(f"weight,y\n{cells.replace(chr(10), ',1' + chr(10))}about 3,2\n")
    assert toys.column("weight").kind == "mixed"
    with pytest.raises(InputError, match=r"line 42\): 'about 3' is not a number; 40 of 41 cells are"):
        Encoder.fit(toys, ["weight"])


def test_prediction_reads_numbers_as_training_did(table):
    fitted = Encoder.fit(table("size;y\n1.234.567;1\n2.500;2\n12;1\n"), ["size"])
    fitted = Encoder.from_dict(json.loads(json.dumps(fitted.to_dict())))
    mean, scale = fitted.affine
    read = fitted.transform(table("size;y\n2.500;1,5\n1.234.567;2,5\n7;1\n")) * scale + mean
    assert read[:, 0] == pytest.approx([2500, 1234567, 7])
    with pytest.raises(InputError, match=r"numbers in column 'size' are unclear .*line 2.*separated thousands"):
        fitted.transform(table("size;y\n2.500;1\n7;2\n"))
    weights = Encoder.fit(table("w,y\n1.5 kg,1\n2 kg,2\n"), ["w"])
    assert weights.transform(table("w,y\n2,1\n")).tolist() == weights.transform(table("w,y\n2kg,1\n")).tolist()
    for cell, had in (("2 lb", "they had 'kg'"), ("$2", "they had 'kg'")):
        with pytest.raises(InputError, match=had):
            weights.transform(table(f"w,y\n{cell},1\n"))
    with pytest.raises(InputError, match=r"written with 'kg'.*they had none"):
        Encoder.fit(table("w,y\n1.5,1\n2,2\n"), ["w"]).transform(table("w,y\n2 kg,1\n"))


def test_a_model_made_before_units_were_read(table):
    fitted = Encoder.fit(table("a,b\n1,x\n2,y\n3,x\n4,y\n"), ["a", "b"])
    described = fitted.to_dict()
    for plan in described["plans"]:
        assert plan.pop("written", None) is None
    assert Encoder.from_dict(described) == fitted


def test_a_target_with_a_unit(table):
    toys = table("x,price\n" + "".join(f"{k},{k}.50 €\n" for k in range(30)))
    assert task_of(toys, ["price"]) == "regress"
    target = TargetEncoder.fit(toys, ["price"])
    assert target.decode(target.encode(toys))[:, 0] == pytest.approx(np.arange(30) + 0.5)
    stars = table("x,y\n" + "".join(f"{k},{1 + k % 3} stars\n" for k in range(60)))
    known = TargetEncoder.fit(stars, ["y"])
    assert known.classes == ("1 stars", "2 stars", "3 stars")
    assert known.decode(known.encode(stars)).tolist() == [f"{1 + k % 3} stars" for k in range(60)]
