"""The target: classes or values, and what cannot be one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from payback.errors import InputError, ModelFileError
from payback.tabular import Table, TargetEncoder, column_from_cells, task_of

rng = np.random.default_rng(0)


def toys(**columns):
    made = tuple(column_from_cells(name, "\0".join(map(str, cells))) for name, cells in columns.items())
    return Table(made, len(made[0]), "toys.csv")


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (rng.integers(0, 10, 1797), "classify"),  # digits
        (["setosa", "versicolor", "virginica"] * 50, "classify"),
        (
            rng.permutation([3] * 10 + [4] * 53 + [5] * 681 + [6] * 638 + [7] * 199 + [8] * 18),
            "classify",
        ),  # wine quality
        (rng.integers(0, 2, 569), "classify"),  # breast cancer
        ([1, 2, 3, 5, 6, 7] * 30, "classify"),  # glass
        ([2, 4] * 300, "classify"),
        ([0, 100] * 10, "classify"),
        ([0, 1, 1, 0], "classify"),  # exclusive or
        (["yes", "no"] * 5, "classify"),
        (["0", "1", "2", "3+"] * 10, "classify"),
        (rng.normal(size=500), "regress"),
        ([0.5, 1.5] * 100, "regress"),
        (rng.integers(18, 90, 5000), "regress"),
        ([100, 200, 500] * 50, "regress"),
        (range(10), "regress"),  # a line
        ([2 * i + 1 for i in range(15)], "regress"),
        ([1, 3], "regress"),
        ([7, 7, 7], "regress"),
    ],
)
def test_auto_task(cells, task):
    assert task_of(toys(y=cells), ["y"]) == task


def test_several_targets_are_values():
    table = toys(a=[0, 1] * 20, b=[1.5, 2.5] * 20)
    target = TargetEncoder.fit(table, ["a", "b"])
    assert (target.task, target.n_outputs) == ("regress", 2)
    encoded = target.encode(table)
    assert encoded.shape == (40, 2)
    assert encoded.flags.c_contiguous
    assert encoded.mean(axis=0) == pytest.approx([0, 0])
    assert encoded.std(axis=0) == pytest.approx([1, 1])
    assert target.decode(encoded)[:2] == pytest.approx(np.array([[0, 1.5], [1, 2.5]]))


def test_classes_keep_their_texts_and_are_in_order():
    assert TargetEncoder.fit(toys(y=["b [x]", "a", "b [x]", "Ü"] * 3), ["y"]).classes == ("a", "b [x]", "Ü")
    target = TargetEncoder.fit(toys(y=[10, 9, 2, 10] * 20), ["y"], "classify")
    assert target.classes == ("2", "9", "10")
    assert target.encode(toys(y=["9.0", "10"])).tolist() == [1, 2]
    assert target.encode(toys(y=[2])).tolist() == [0]
    assert target.encode(toys(y=[2, 9])).dtype == np.int64
    assert target.decode(np.array([2, 0])).tolist() == ["10", "2"]
    assert TargetEncoder.fit(toys(y=["01", "02", "01"]), ["y"]).classes == ("01", "02")


def test_only_training_rows_are_looked_at():
    a, b = toys(y=[1.5, 2, 3, 900]), toys(y=[1.5, 2, 3, -7])
    assert TargetEncoder.fit(a, ["y"], rows=[0, 1, 2]) == TargetEncoder.fit(b, ["y"], rows=[0, 1, 2])
    c, d = toys(y=[*"xyxyz"]), toys(y=[*"xyxyw"])
    assert TargetEncoder.fit(c, ["y"], rows=slice(4)) == TargetEncoder.fit(d, ["y"], rows=slice(4))


def test_unseen_class():
    target = TargetEncoder.fit(toys(y=[*"xyxy"]), ["y"])
    with pytest.raises(InputError) as error:
        target.encode(toys(y=[*"xzyz"]))
    assert str(error.value) == (
        "unseen class 'z' in the target 'y' (toys.csv, rows 1 and 3): the training rows had 'x', 'y'."
    )
    assert target.encode(toys(y=[*"xzyz"]), unseen="mark").tolist() == [0, -1, 1, -1]


@pytest.mark.parametrize(
    ("columns", "names", "task", "message"),
    [
        (
            {"price": [1.5, 2]},
            ["prize"],
            "auto",
            "there is no column 'prize' (toys.csv): its columns are 'price'. Did you mean 'price'?",
        ),
        (
            {"y": ["a", "a", "a"]},
            ["y"],
            "auto",
            "the target 'y' has one class only (toys.csv): every training row has 'a'. "
            "Choose another target, or bring rows of another class.",
        ),
        (
            {"y": [1, 1, 1]},
            ["y"],
            "classify",
            "the target 'y' has one class only (toys.csv): every training row has '1'. "
            "Choose another target, or bring rows of another class.",
        ),
        (
            {"y": [1, 1, 1]},
            ["y"],
            "auto",
            "the target 'y' is constant (toys.csv): every training row has 1.",
        ),
        (
            {"y": ["a", "", "b", "?", "a"]},
            ["y"],
            "auto",
            "2 missing values in the target 'y' (toys.csv, rows 1 and 3): a cell such as ?, NA, None or an empty "
            "one is a missing value. Fill them in, or remove these rows.",
        ),
        (
            {"y": [1.5, *[""] * 9]},
            ["y"],
            "auto",
            "9 missing values in the target 'y' (toys.csv, rows 1, 2, 3, 4, 5 and 4 more): a cell such as ?, NA, "
            "None or an empty one is a missing value. Fill them in, or remove these rows.",
        ),
        (
            {"y": ["", "", ""]},
            ["y"],
            "auto",
            "the target 'y' is empty (toys.csv): all cells are missing.",
        ),
        (
            {"y": [*"abcdef"]},
            ["y"],
            "auto",
            "the target 'y' is an identifier (toys.csv): no two rows have the same. Name another target column.",
        ),
        (
            {"y": ["2024-01-01", "2024-01-02"]},
            ["y"],
            "auto",
            "the target 'y' is a date (toys.csv): only classes and numbers can be learned. Name another target column.",
        ),
        (
            {"y": [i + 0.5 for i in range(50)]},
            ["y"],
            "classify",
            "the target 'y' has 50 classes in 50 training rows (toys.csv): a class is learned from several "
            "examples. Name another target, or take the task 'regress'.",
        ),
        (
            {"y": ["a", "b", "a"]},
            ["y"],
            "regress",
            "column 'y' must hold numbers (toys.csv, row 0): 'a' is not a number; 0 of 3 cells are. Correct the "
            "cell, or write ? if the value is missing.",
        ),
        (
            {"y": [1.5, 2.5, "abc", 4]},
            ["y"],
            "auto",
            "text in the numeric column 'y' (toys.csv, row 2): 'abc' is not a number; 3 of 4 cells are. Correct "
            "the cell, or write ? if the value is missing.",
        ),
        (
            {"a": [1, 2], "b": [2, 1]},
            ["a", "b"],
            "classify",
            "classes are told by one target column (toys.csv): 'a', 'b' are several.",
        ),
        (
            {"a": [1, 2]},
            ["a", "a"],
            "auto",
            "a target is named twice (toys.csv): 'a', 'a'.",
        ),
        (
            {"a": [1, 2]},
            [],
            "auto",
            "no target is named (toys.csv).",
        ),
        (
            {"a": [1, 2]},
            ["a"],
            "banana",
            "the task is 'banana': it is 'auto', 'classify' or 'regress'.",
        ),
    ],
)
def test_what_cannot_be_a_target(columns, names, task, message):
    with pytest.raises(InputError) as error:
        TargetEncoder.fit(toys(**columns), names, task)
    assert str(error.value) == message


@pytest.mark.parametrize("columns", [{"y": [*"xyxy"]}, {"y": [1.1, 2.7, 0.1]}, {"y": [1, 2] * 20}])
def test_round_trip_through_json(columns):
    target = TargetEncoder.fit(toys(**columns), ["y"])
    again = TargetEncoder.from_dict(json.loads(json.dumps(target.to_dict())))
    assert again == target
    assert again.encode(toys(**columns)).tobytes() == target.encode(toys(**columns)).tobytes()


def test_damaged_records_are_refused():
    classes = TargetEncoder.fit(toys(y=[*"xyxy"]), ["y"]).to_dict()
    values = TargetEncoder.fit(toys(y=[1.1, 2.7, 0.1]), ["y"]).to_dict()
    for record, changes in [
        (
            classes,
            [{"task": "eval"}, {"task": "regress"}, {"classes": ["x"]}, {"classes": ["x", "x"]}, {"classes": "xy"}],
        ),
        (classes, [{"names": []}, {"names": ["y", "z"]}, {"mean": [1.0]}, {"numeric": 1}, {"more": 1}]),
        (classes, [{"classes": [f"c{i}" for i in range(1_000_001)]}]),
        (values, [{"scale": [value]} for value in (0.0, -1.0, float("nan"), float("inf"), "1")]),
        (
            values,
            [{"mean": [float("nan")]}, {"mean": []}, {"names": ["y", "z"]}, {"names": 3}, {"classes": ["a", "b"]}],
        ),
    ]:
        for change in changes:
            with pytest.raises(ModelFileError, match="in the model file is"):
                TargetEncoder.from_dict(record | change)
    for bad in (None, [], {}, "x"):
        with pytest.raises(ModelFileError, match="in the model file is"):
            TargetEncoder.from_dict(bad)
