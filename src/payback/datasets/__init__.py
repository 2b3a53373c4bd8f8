"""The tables that payback carries: four small real ones, and two moons that it draws itself.

>>> from payback import datasets
>>> datasets.names()
['breast_cancer', 'digits', 'iris', 'moons', 'wine']
>>> print(datasets.csv_text("iris")[:88])
sepal_length,sepal_width,petal_length,petal_width,species
5.1,3.5,1.4,0.2,setosa
4.9,3.0

Every table is text: CSV in UTF-8 with a header, the target in the last column, nothing missing.
What `write_csv` writes is what is trained on by name.  LICENSES.md, beside this file, names the
creators, the licence and what was changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from payback.datasets.moons import moons, moons_csv
from payback.elsewhere import hook
from payback.errors import InputError
from payback.files import write_file

if not TYPE_CHECKING:  # which would let it pass any name
    __getattr__ = hook("payback.datasets")

__all__ = ["Dataset", "csv_text", "describe", "load", "moons", "names", "write_csv"]


@dataclass(frozen=True)
class Dataset:
    """What is known of a table: `rows` × `inputs` numbers, and the `target` column that holds `classes` classes."""

    name: str
    title: str
    rows: int
    inputs: int
    target: str
    classes: int
    source: str
    license: str


_CC_BY = "CC BY 4.0"
_UCI = "UCI Machine Learning Repository"
_TABLES = {
    table.name: table
    for table in (
        Dataset(
            name="breast_cancer",
            title="Breast Cancer Wisconsin (Diagnostic): 30 measures of cell nuclei, malignant or benign",
            rows=569,
            inputs=30,
            target="diagnosis",
            classes=2,
            source=f"W. Wolberg, O. Mangasarian, N. Street, W. Street (1993), {_UCI}, doi:10.24432/C5DW2B",
            license=_CC_BY,
        ),
        Dataset(
            name="digits",
            title="Optical Recognition of Handwritten Digits: images of 8 × 8 pixels from 0 to 16, which digit",
            rows=1797,
            inputs=64,
            target="digit",
            classes=10,
            source=f"E. Alpaydin, C. Kaynak (1998), {_UCI}, doi:10.24432/C50P49",
            license=_CC_BY,
        ),
        Dataset(
            name="iris",
            title="Iris: sepal and petal of 150 flowers in cm, which of three species",
            rows=150,
            inputs=4,
            target="species",
            classes=3,
            source=f"R. A. Fisher (1936), {_UCI}, doi:10.24432/C56C76",
            license=_CC_BY,
        ),
        Dataset(
            name="moons",
            title="Two interleaving half circles with Gaussian noise 0.2, upper or lower",
            rows=1000,
            inputs=2,
            target="moon",
            classes=2,
            source="drawn by payback.datasets.moons(n=1000, noise=0.2, seed=0)",
            license="MIT",
        ),
        Dataset(
            name="wine",
            title="Wine: chemical analysis of 178 wines of one region, which of three cultivars",
            rows=178,
            inputs=13,
            target="cultivar",
            classes=3,
            source=f"S. Aeberhard, M. Forina (1992), {_UCI}, doi:10.24432/C5PC7J",
            license=_CC_BY,
        ),
    )
}


def names() -> list[str]:
    """The names of all tables, in alphabetical order."""
    return list(_TABLES)


def describe(name: str) -> Dataset:
    """Size, target, source and licence of the table `name`.

    Raises InputError for a name that is not in `names()`.

    >>> describe("wine").rows, describe("wine").target, describe("wine").license
    (178, 'cultivar', 'CC BY 4.0')
    """
    if name not in _TABLES:
        near = get_close_matches(name.lower(), _TABLES, n=3)
        raise InputError(
            f"unknown data set {name!r}",
            why=f"payback carries {', '.join(_TABLES)}",
            fix=f"did you mean {' or '.join(near)}?" if near else "to train on a table of your own, name its CSV file",
        )
    return _TABLES[name]


@cache
def csv_text(name: str) -> str:
    r"""The table `name` as CSV text: a header, `,` between cells, `\n` after each row, the target last.

    Raises InputError for a name that is not in `names()`.
    """
    describe(name)
    if name == "moons":
        return moons_csv()
    return (resources.files(__name__) / f"{name}.csv").read_text(encoding="utf-8")


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The table `name` as X, float64 (rows, inputs), and y, int64 (rows,): the class numbers 0 … classes − 1.

    Classes are numbered in the alphabetical order of their names.

    Raises InputError for a name that is not in `names()`.

    >>> X, y = load("iris")
    >>> X.shape, X[0], y[[0, 50, 100]]
    ((150, 4), array([5.1, 3.5, 1.4, 0.2]), array([0, 1, 2]))
    """
    cells = np.array([line.split(",") for line in csv_text(name).splitlines()[1:]])
    return cells[:, :-1].astype(float), np.unique(cells[:, -1], return_inverse=True)[1].astype(np.int64)


def write_csv(name: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write the table `name` to the file `path`, and return the path.

    The file appears whole or not at all.  Raises InputError for an unknown name, for a file that
    exists (unless `overwrite` is true), and for a place that cannot be written.
    """
    text, path = csv_text(name), Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {str(path)!r}", why="it is a folder", fix="name a file, such as FILE.csv")
    if os.path.lexists(path) and not overwrite:
        fix = "choose another name, or add --overwrite (in Python overwrite=True)"
        raise InputError(f"{str(path)!r} exists already", fix=fix)
    try:
        write_file(path, text.encode("utf-8"))
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise InputError(f"cannot write {str(path)!r}", why=why, fix="choose a folder that you may write to") from error
    return path
