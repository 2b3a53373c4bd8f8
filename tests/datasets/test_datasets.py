"""The carried tables are the published ones, come as plain text, and are written whole or not at all."""

import csv
import os
from collections import Counter
from importlib import resources

import numpy as np
import pytest

from payback import datasets
from payback.errors import InputError


def table(name):
    header, *rows = csv.reader(datasets.csv_text(name).splitlines())
    return header, np.array([row[:-1] for row in rows], dtype=np.float64), [row[-1] for row in rows]


@pytest.mark.parametrize("name", datasets.names())
def test_a_table_is_what_its_description_says(name):
    known, (header, X, y) = datasets.describe(name), table(name)
    assert known.name == name
    assert X.shape == (known.rows, known.inputs)
    assert header[-1] == known.target
    assert len(set(header)) == len(header)
    assert len(set(y)) == known.classes
    assert np.isfinite(X).all()


@pytest.mark.parametrize("name", datasets.names())
def test_a_table_as_arrays(name):
    (X, y), (_, numbers, labels) = datasets.load(name), table(name)
    np.testing.assert_array_equal(X, numbers)
    assert (X.dtype, y.dtype) == (np.float64, np.int64)
    assert [sorted(CLASSES[name])[k] for k in y] == labels


@pytest.mark.parametrize("name", datasets.names())
def test_the_text_is_plain_csv(name):
    text = datasets.csv_text(name)
    assert text.isascii()
    assert text.endswith("\n")
    assert not any(c in text for c in '\r";\t ')


CLASSES = {  # as the repository's pages give them
    "breast_cancer": {"malignant": 212, "benign": 357},
    "digits": dict(zip("0123456789", (178, 182, 177, 183, 181, 182, 181, 179, 174, 180), strict=True)),
    "iris": {"setosa": 50, "versicolor": 50, "virginica": 50},
    "moons": {"upper": 500, "lower": 500},
    "wine": {"cultivar_1": 59, "cultivar_2": 71, "cultivar_3": 48},
}


@pytest.mark.parametrize("name", datasets.names())
def test_the_classes_have_the_published_sizes(name):
    assert Counter(table(name)[2]) == CLASSES[name]


@pytest.mark.parametrize(
    ("name", "column", "lowest", "mean", "highest"),
    [  # as published with the data
        ("iris", "sepal_length", 4.3, 5.84, 7.9),
        ("iris", "petal_width", 0.1, 1.20, 2.5),
        ("wine", "alcohol", 11.0, 13.0, 14.8),
        ("wine", "proline", 278, 746, 1680),
        ("breast_cancer", "mean_radius", 6.981, 14.127, 28.11),
        ("breast_cancer", "worst_fractal_dimension", 0.055, 0.084, 0.208),
    ],
)
def test_the_columns_have_the_published_range(name, column, lowest, mean, highest):
    header, X, _ = table(name)
    values = X[:, header.index(column)]
    assert (values.min(), values.mean(), values.max()) == pytest.approx((lowest, mean, highest), rel=0.01)


def test_digits_are_images_of_0_to_16():
    header, X, y = table("digits")
    assert header[0] == "pixel_0_0"
    assert header[63] == "pixel_7_7"
    assert set(np.unique(X)) == set(range(17))
    zero, one = (X[np.array(y) == digit].mean(0).reshape(8, 8) for digit in "01")
    assert zero[3:5, 3:5].max() < 4 < 10 < one[3:5, 3:5].min()  # a zero is empty in the middle, a one is not


def test_moons_without_noise_lie_on_two_half_circles():
    X, y = datasets.moons(n=101, noise=0)
    upper, lower = X[y == 0], X[y == 1]
    assert (len(upper), len(lower)) == (50, 51)
    np.testing.assert_allclose(np.hypot(*upper.T), 1)
    np.testing.assert_allclose(np.hypot(lower[:, 0] - 1, lower[:, 1] - 0.5), 1)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5


def test_moons_repeat_with_their_seed():
    (a, _), (b, _), (c, _) = datasets.moons(), datasets.moons(), datasets.moons(seed=1)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_noise_is_a_standard_deviation():
    noise = datasets.moons(n=20_000, noise=0.3)[0] - datasets.moons(n=20_000, noise=0)[0]
    assert noise.std() == pytest.approx(0.3, rel=0.02)


def test_the_table_of_moons_is_the_default_call():
    X, y = datasets.moons()
    _, X_text, y_text = table("moons")
    np.testing.assert_allclose(X_text, X, atol=5.1e-7, rtol=0)
    assert y_text == ["lower" if lower else "upper" for lower in y]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(n=1), "moons of 1 points: each of the two moons needs at least one point."),
        (dict(noise=-0.1), "moons with noise -0.1: a standard deviation is finite and not negative."),
        (dict(noise=np.nan), "moons with noise nan: a standard deviation is finite and not negative."),
    ],
)
def test_moons_that_cannot_be_drawn(call, message):
    with pytest.raises(InputError) as error:
        datasets.moons(**call)
    assert str(error.value) == message


CARRIED = "payback carries breast_cancer, digits, iris, moons, wine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("irsi", f"unknown data set 'irsi': {CARRIED}. Did you mean iris?"),
        ("Wine", f"unknown data set 'Wine': {CARRIED}. Did you mean wine?"),
        ("zzz", f"unknown data set 'zzz': {CARRIED}. To train on a table of your own, name its CSV file."),
        ("../iris", f"unknown data set '../iris': {CARRIED}. Did you mean iris?"),
        ("", f"unknown data set '': {CARRIED}. To train on a table of your own, name its CSV file."),
    ],
)
def test_an_unknown_name_lists_the_nearest(name, message):
    for ask in (datasets.describe, datasets.csv_text, datasets.load):
        with pytest.raises(InputError) as error:
            ask(name)
        assert str(error.value) == message


@pytest.mark.parametrize("name", datasets.names())
def test_the_written_file_is_the_text(name, tmp_path):
    path = datasets.write_csv(name, tmp_path / "table.csv")
    assert path.read_bytes() == datasets.csv_text(name).encode()
    assert os.listdir(tmp_path) == ["table.csv"]


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("mine")
    with pytest.raises(InputError, match=r"mine\.csv' exists already\. Choose another name, or add --overwrite"):
        datasets.write_csv("iris", path)
    assert path.read_text() == "mine"
    datasets.write_csv("iris", path, overwrite=True)
    assert path.read_text() == datasets.csv_text("iris")


def test_a_link_to_nowhere_is_kept(tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="exists already"):
        datasets.write_csv("iris", tmp_path / "link.csv")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("", r"it is a folder\. Name a file, such as FILE\.csv\.$"),
        ("missing/iris.csv", r"no such file or directory\. Choose a folder that you may write to\.$"),
    ],
)
def test_a_place_that_cannot_be_written(place, message, tmp_path):
    with pytest.raises(InputError, match=message):
        datasets.write_csv("iris", tmp_path / place)
    assert os.listdir(tmp_path) == []


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "iris.csv"
    path.write_text("old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(InputError, match="no space left on device"):
        datasets.write_csv("iris", path, overwrite=True)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["iris.csv"]


@pytest.mark.parametrize("name", datasets.names())
def test_each_table_has_its_source_and_license_beside_it(name):
    text = (resources.files("payback.datasets") / "LICENSES.md").read_text(encoding="utf-8")
    known = datasets.describe(name)
    section = text.split(f"## {name}", 1)[1].split("\n## ", 1)[0]
    assert known.license in section
    if "doi:" in known.source:
        assert known.source.split("doi:")[1] in section
