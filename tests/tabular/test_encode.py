"""The encoder: fitted on the training rows, applied to any table."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from payback.errors import InputError, ModelFileError
from payback.tabular import Encoder, Table, column_from_cells, column_from_numbers

MIXED = (
    "size,color,old,born,id,same\n"
    "1,red,yes,2024-01-01,a1,7\n"
    "3,blue,no,2024-07-02,a2,7\n"
    "?,red,no,2024-01-03,a3,7\n"
    "5,?,yes,2023-03-05,a4,7\n"
)
NAMES = ["size", "color", "old", "born", "id", "same"]


def test_every_kind(table):
    encoder = Encoder.fit(table(MIXED), NAMES)
    assert encoder.feature_names == ["size", "color", "old", "born"]
    assert encoder.left_out == (("id", "it only tells the rows apart"), ("same", "it is constant"))
    assert encoder.feature_names_out == [
        *["size", "size is missing"],
        *["color=blue", "color=red", "color is missing"],
        "old",
        *["born", "born month sin", "born month cos", "born weekday sin", "born weekday cos"],
    ]
    features = encoder.transform(table(MIXED))
    assert features.dtype == np.float64
    assert features.flags.c_contiguous
    scale = np.std([1, 3, 5])
    assert features[:, 0] == pytest.approx([-2 / scale, 0, 0, 2 / scale])
    assert features[:, 1:6].tolist() == [[0, 0, 1, 0, 1], [0, 1, 0, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert features[:, 6].mean() == pytest.approx(0)
    assert features[:, 7] == pytest.approx([0, 0, 0, np.sqrt(3) / 2], abs=1e-12)  # January, July, January, March
    assert features[:, 8] == pytest.approx([1, -1, 1, 0.5])


def test_only_training_rows_are_looked_at(table):
    training = [0, 1, 2]
    fitted = Encoder.fit(table(MIXED), NAMES, training)
    changed = MIXED.replace("5,?,yes,2023-03-05,a4", "900,green,no,1999-12-31,a5")
    assert Encoder.fit(table(changed), NAMES, training) == fitted
    assert Encoder.fit(table(MIXED), NAMES, np.array([True, True, True, False])) == fitted
    assert Encoder.fit(table(MIXED), NAMES, slice(3)) == fitted
    assert "color is missing" not in fitted.feature_names_out
    assert Encoder.fit(table(MIXED), NAMES) != fitted


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=30), st.integers(0, 29))
def test_standardized_numbers_have_mean_0_and_deviation_1(numbers, at):
    column = column_from_numbers("x", np.array([*numbers, np.nan]), kind="numeric")
    toys = Table((column,), len(column), "toys")
    encoder = Encoder.fit(toys, ["x"])
    features = encoder.transform(toys)
    if encoder.feature_names_out[0] == "x":
        assert features[:-1, 0].mean() == pytest.approx(0, abs=1e-9)
        assert features[:-1, 0].std() == pytest.approx(1, abs=1e-9)
        mean, scale = encoder.affine
        row = at % len(numbers)
        assert features[row, 0] * scale[0] + mean[0] == pytest.approx(numbers[row], rel=1e-6, abs=1e-9 * scale[0])
    assert features[-1].tolist() == [0.0] * (features.shape[1] - 1) + [1.0]


@pytest.mark.parametrize("seed", range(3))
def test_skewed_numbers_have_their_logarithm_beside_them(seed):
    draw = np.random.default_rng(seed)
    unit = 10.0 ** draw.integers(-6, 7)
    values = {
        "money": unit * np.exp(1.2 * draw.normal(size=400)),
        "spent": unit * np.exp(1.5 * draw.normal(size=400)) * (draw.random(400) < 0.7),
        "normal": draw.normal(size=400),
        "uniform": draw.uniform(size=400),
        "seldom": (draw.random(400) < 0.02).astype(float),
        "debt": -np.exp(1.2 * draw.normal(size=400)),
    }
    toys = Table(tuple(column_from_numbers(*pair, kind="numeric") for pair in values.items()), 400, "toys")
    encoder = Encoder.fit(toys, list(values), slice(300))
    assert encoder.with_logarithms == ["money", "spent"]
    features = encoder.transform(toys, slice(300))
    assert features.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert features.std(axis=0) == pytest.approx(1, abs=1e-9)
    mean, scale = encoder.affine
    least = np.quantile(values["spent"][:300][values["spent"][:300] > 0], 0.1)
    names = encoder.feature_names_out
    assert names[:4] == ["money", "log(money)", "spent", f"log(spent + {least:g})"]
    truth = values["money"], np.log(values["money"]), values["spent"], np.log(values["spent"] + least), values["normal"]
    features = encoder.transform(toys)[300:]
    for j, true in enumerate(truth):
        known = true[300:] >= true[:300].min()
        assert (features[known, j] * scale[j] + mean[j]) == pytest.approx(true[300:][known], rel=1e-9)
    assert Encoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder
    assert Encoder.fit(toys, list(values), slice(300), logarithms=False).feature_names_out == list(values)


def test_a_logarithm_of_what_is_less_than_ever_and_of_what_is_missing(table):
    encoder = Encoder.fit(table("a,b\n" + "".join(f"{4.0 ** (k % 12)},{k}\n" for k in range(48))), ["a"])
    assert encoder.feature_names_out == ["a", "log(a)"]
    low, least, missing, high = encoder.transform(table("a\n-5\n1\n?\n1e300\n"))
    assert low[1] == least[1]
    assert low[0] < least[0]
    assert missing.tolist() == [0, 0]
    assert least[1] < 0 < high[1] < 1000 < high[0]


def test_prediction_does_not_depend_on_what_its_table_looks_like(table):
    """One row at a time, columns in another order, more columns: the same numbers."""
    encoder = Encoder.fit(table(MIXED), NAMES)
    expected = encoder.transform(table(MIXED))
    lines = MIXED.splitlines()
    for row, line in enumerate(lines[1:]):
        cells = line.split(",")[:4]
        single = table("more,born,old,color,size\n" + ",".join(["x", *reversed(cells)]) + "\n")
        assert encoder.transform(single).tolist() == [expected[row].tolist()]


def test_categories_that_are_numbers_in_another_table(table):
    encoder = Encoder.fit(table("doors,b\n" + "2,1\n3,2\n5more,3\n" * 10), ["doors"])
    assert encoder.transform(table("doors,b\n3,1\n2,1\n")).tolist() == [[0, 1, 0], [1, 0, 0]]
    codes = Encoder.fit(table("zip,b\n" + "00501,1\n10001,2\n" * 10), ["zip"])
    assert codes.transform(table("zip,b\n10001,1\n10001,1\n")).tolist() == [[0, 1], [0, 1]]


def test_unseen_category(table):
    encoder = Encoder.fit(table(MIXED), ["color", "size"])
    new = table("color,size\nred,1\ngreen,2\ngreen,3\n")
    with pytest.raises(InputError) as error:
        encoder.transform(new)
    assert str(error.value) == (
        f"unseen category 'green' in column 'color' ({new.source}, lines 3 and 4): the training rows had "
        "'blue', 'red'. "
        "Correct the cell, or write ? if the value is missing."
    )
    notes = []
    assert encoder.transform(new, unseen="zero", notes=notes)[:, :3].tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert notes == ["2 cells of 'color' with categories not seen in training: read as none of the categories"]
    assert encoder.transform(new, rows=[0]).shape == (1, 5)
    with pytest.raises(InputError, match="unseen is 'none': it is 'error' or 'zero'"):
        encoder.transform(new, unseen="none")


def test_missing_column(table):
    encoder = Encoder.fit(table(MIXED), ["color", "size"])
    with pytest.raises(
        InputError, match=r"no column 'color' .*its columns are 'colour', 'size', and .*had it\. Did you mean 'colour'"
    ):
        encoder.transform(table("colour,size\nred,1\n"))
    with pytest.raises(InputError, match=r"there are no columns 'color', 'size' .*Add them, with \? where"):
        encoder.transform(table("a,b\nred,1\n"))


def test_missing_where_training_had_none(table):
    encoder = Encoder.fit(table("a,b,c\n1,x,yes\n3,y,no\n5,x,no\n3,y,no\n"), ["a", "b", "c"])
    notes = []
    features = encoder.transform(table("a,b,c\n?,?,?\n"), notes=notes)
    assert features.tolist() == [[0, 0, 0, 0.25]]
    assert notes == [
        "1 missing cell in 'a', where training had none: read as the training mean",
        "1 missing cell in 'b', where training had none: read as none of the categories",
        "1 missing cell in 'c', where training had none: read as the training mean",
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("abc,red,yes,2024-01-01", "column 'size' must hold numbers (.*line 2): 'abc' is not a number"),
        ("1,red,perhaps,2024-01-01", "column 'old' must hold truth values (.*line 2): 'perhaps' is neither true nor"),
        (
            "1,red,yes,01.02.2024",
            "column 'born' must hold dates (.*line 2): '01.02.2024' is not a date like 2024-12-31",
        ),
    ],
)
def test_cells_of_another_kind(table, row, message):
    encoder = Encoder.fit(table(MIXED), NAMES)
    with pytest.raises(InputError, match=message.replace("(.*", r"\(.*").replace("2):", r"2\):")):
        encoder.transform(table("size,color,old,born\n" + row + "\n"))


def test_constant_in_the_training_rows_only(table):
    toys = table("a,b\n1,2\n1,3\n5,4\n")
    encoder = Encoder.fit(toys, ["a", "b"], [0, 1])
    assert encoder.left_out == (("a", "it is constant in the training rows"),)
    assert encoder.transform(toys).shape == (3, 1)


def test_more_categories_than_can_be_learned(table):
    n = 600
    rows = [f"{i % 200},n{i % 400},c{i % 300},k{i % 30}" for i in range(n)]
    toys = table("a,name,county,kind\n" + "\n".join(rows))
    encoder = Encoder.fit(toys, ["a", "name", "county", "kind"])
    assert encoder.left_out == (("name", "400 categories in 600 training rows: nearly every row has its own"),)
    assert encoder.grouped == ["county"]
    assert len(encoder.feature_names_out) == 31 + 256


def test_the_rarest_of_many_categories_are_one_and_so_are_unseen_ones(table):
    many = [f"c{i}" for i in range(300) for _ in range(3 + i % 7)]
    encoder = Encoder.fit(table("county,b\n" + "".join(f"{text},{k % 5}\n" for k, text in enumerate(many))), ["county"])
    (plan,) = encoder.plans
    counts = {text: many.count(text) for text in many}
    rarest = max(counts[text] for text in set(many) - set(plan.categories))
    assert len(plan.categories) == 255
    assert min(counts[text] for text in plan.categories) >= rarest
    one = next(text for text in many if text not in plan.categories)
    coded = encoder.transform(table(f"county,b\n{one},1\nnew,1\n{plan.categories[7]},1\n"))
    assert encoder.feature_names_out[-1] == "county is another"
    assert np.argwhere(coded).tolist() == [[0, 255], [1, 255], [2, 7]]
    assert Encoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder


@pytest.mark.parametrize(
    ("text", "names", "rows", "message"),
    [
        (
            MIXED,
            ["id", "same"],
            None,
            "there is no column to learn from .*'id': it only tells the rows apart; 'same': it is",
        ),
        (MIXED, [], None, "there is no column to learn from .*the table has no column beside the target"),
        (MIXED, ["size", "size"], None, "a feature is named twice"),
        (MIXED, ["size"], [], "there are no training rows"),
        (MIXED, ["size"], [9], "the rows chosen are not in the table"),
        (MIXED, ["sise"], None, "there is no column 'sise' .* Did you mean 'size'"),
    ],
)
def test_nothing_to_fit(table, text, names, rows, message):
    with pytest.raises(InputError, match=message):
        Encoder.fit(table(text), names, None if rows is None else np.array(rows, dtype=int))


def test_numbers_too_large_for_the_scale_are_an_error(table):
    encoder = Encoder.fit(table("a,b\n1e-300,1\n2e-300,2\n"), ["a", "b"])
    with pytest.raises(InputError, match=r"a number in column 'a' is too large \(.*line 2\)"):
        encoder.transform(table("a,b\n1e300,1\n"))


def test_numbers_far_beyond_those_of_training_are_said(table):
    encoder = Encoder.fit(table("a,b\n" + "".join(f"{k % 3 + 1},{2**k}\n" for k in range(20))), ["a", "b"])
    assert encoder.with_logarithms == ["b"]
    notes = []
    encoder.transform(table("a,b\n5,1\n-1,-524286\n3,1048575\n"), notes=notes)
    assert notes == []
    encoder.transform(table("a,b\n5.1,1\n-1.1,1\n3,1048576\n"), notes=notes)
    assert notes == [
        "2 cells of 'a' lie far beyond the 1 … 3 of training (5.1): what is predicted from there is a guess",
        "1 cell of 'b' lies far beyond the 1 … 524288 of training (1048576): what is predicted from there is a guess",
    ]


def test_numbers_in_pieces(table):
    toys = table("a,b,c\n" + "".join(f"{k / 2},{k % 3},{4.0**k}\n" for k in range(13)) + "?,1,1\n")
    encoder = Encoder.fit(toys, ["a", "b", "c"], pieces=4)
    names = encoder.feature_names_out
    pieces = ["a from 0 to 1.5", "a from 1.5 to 3", "a from 3 to 4.5", "a from 4.5 to 6"]
    assert names[:6] == ["a", *pieces, "a is missing"]
    assert names[6:9] == ["b", "b from 0 to 1", "b from 1 to 2"]  # fewer, for it has three values
    assert names[9:12] == ["c", "log(c)", "c from 1 to 16"]
    out = encoder.transform(table("a,b,c\n-9,0,1\n2.25,0.25,1\n99,2,8.5\n?,1,16\n"))
    assert out[:, 1:5].tolist() == [[-1, -1, -1, -1], [1, 0, -1, -1], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert out[:, 7:9].tolist() == [[-1, -1], [-0.5, -1], [1, 1], [1, -1]]
    assert out[:, 11].tolist() == [-1, -1, 0, 1]
    plain = Encoder.fit(toys, ["a", "b", "c"])
    assert np.array_equal(plain.transform(toys), encoder.transform(toys)[:, [0, 5, 6, 9, 10]])
    written = json.loads(json.dumps(encoder.to_dict()))
    assert Encoder.from_dict(written) == encoder
    for plan in written["plans"]:
        plan["knots"] = plan["knots"][::-1]
    with pytest.raises(ModelFileError):
        Encoder.from_dict(written)
    for plan in written["plans"]:
        del plan["knots"]  # of models made before there were any
    assert Encoder.from_dict(written) == plain


def test_what_means_a_missing_value_is_part_of_the_encoder(table):
    toys = table("a,c\n1,x\n-999,y\n3,n. s.\n5,x\n2,y\n")
    plain = Encoder.fit(toys, ["a", "c"])
    fitted = Encoder.fit(toys.with_missing(["-999", "n. s."]), ["a", "c"])
    encoder = dataclasses.replace(fitted, missing=("-999", "n. s."))
    assert encoder.feature_names_out == ["a", "a is missing", "c=x", "c=y", "c is missing"]
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert again.transform(table("a,c\n-999.0,n. s.\n")).tolist() == [[0, 1, 0, 0, 1]]
    assert plain.transform(toys)[1, 0] < -1
    assert "missing" not in plain.to_dict()


def test_round_trip_through_json(table):
    encoder = Encoder.fit(table(MIXED), NAMES)
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert again.transform(table(MIXED)).tobytes() == encoder.transform(table(MIXED)).tobytes()


def damaged(data):
    """Copies of a record, each with one thing wrong."""

    def with_plan(**fields):
        return data | {"plans": [data["plans"][0] | fields, *data["plans"][1:]]}

    yield from (None, [], "x", {}, data | {"more": 1}, {"plans": data["plans"]}, data | {"plans": 5})
    yield from (data | {"plans": []}, data | {"plans": [5]}, data | {"plans": data["plans"][:1] * 2})
    yield from (with_plan(kind=kind) for kind in ("boolean", "UselessColumnError", "__class__", None, 3, ["numeric"]))
    yield from (with_plan(scale=value) for value in (0.0, -1.0, float("nan"), float("inf"), "1", None, True, [1.0]))
    yield from (with_plan(mean=value) for value in (float("nan"), "0", None))
    yield from (with_plan(name=5), with_plan(varies=1), with_plan(varies=False, has_missing=False), with_plan(extra=1))
    yield data | {"left_out": [["a"]]}
    yield data | {"left_out": "ab"}
    yield data | {"missing": "ab"}
    yield data | {"missing": [5]}
    yield from (with_plan(range=value) for value in ([1.0], [2.0, 1.0], [1.0, float("inf")], [1, "2"], 3))
    color = data["plans"][1]
    for categories in ([], ["a", "a"], [1], "ab", None):
        yield data | {"plans": [color | {"categories": categories}]}
    yield data | {"plans": [color | {"categories": ["c"] * 1_000_001}]}
    born = data["plans"][3]
    yield data | {"plans": [born | {"order": "dym"}]}
    yield data | {"plans": [born | {"circles": ["month", "month"]}]}
    yield data | {"plans": [born | {"circles": ["year"]}]}


def test_damaged_records_are_refused(table):
    data = json.loads(json.dumps(Encoder.fit(table(MIXED), NAMES).to_dict()))
    assert Encoder.from_dict(data).feature_names == ["size", "color", "old", "born"]
    for bad in damaged(data):
        with pytest.raises(ModelFileError, match="in the model file is"):
            Encoder.from_dict(bad)


def test_transform_is_the_same_for_each_row_alone():
    column = column_from_cells("c", "\0".join("abcab" * 4))
    toys = Table((column,), 20, "toys")
    encoder = Encoder.fit(toys, ["c"])
    whole = encoder.transform(toys)
    assert (whole.sum(axis=1) == 1).all()
    assert np.concatenate([encoder.transform(toys, [i]) for i in range(20)]).tolist() == whole.tolist()
