"""How well the defaults predict, beside scikit-learn's MLP and the linear model, on the same splits.

    python -m benchmarks.accuracy                          # the tables that payback carries and three more, seeds 0–9
    python -m benchmarks.accuracy --seeds 100-109 digits FILE.csv:TARGET

For every seed the rows are split and encoded once, by payback, and all three see the same numbers: the encoded training
rows and the same test rows (the peers also get the rows that payback holds out to watch its training).  Targets of
regressions are standardized for all.  Accuracy for classes, R² for values; differences are paired by seed, with their
standard error.  Needs scikit-learn (the extra `benchmarks`).
"""

from __future__ import annotations

import argparse
import csv
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from payback.cli.tables import open_table, target_names
from payback.cli.terminal import Output
from payback.tabular import Table, table_from_text
from payback.train.table import Prepared, prepare, train_prepared

CARRIED = ("digits", "iris", "wine", "breast_cancer", "moons")
SCORES = {"classify": "accuracy", "regress": "R²"}


def _generated(make: Callable[[], Any], target: str, classes: bool = False) -> Table:
    """A table of scikit-learn's as CSV text, so that it takes the way that every table takes."""
    x, y = make()
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*[f"x{i}" for i in range(x.shape[1])], target])
    writer.writerows(
        [*map(repr, row.tolist()), f"class {label}" if classes else repr(float(label))]
        for row, label in zip(x, y, strict=True)
    )
    return table_from_text(text.getvalue(), target)


def _others() -> dict[str, Callable[[], Table]]:
    from sklearn import datasets

    return {
        "diabetes": lambda: _generated(lambda: datasets.load_diabetes(return_X_y=True), "progression"),
        "friedman1": lambda: _generated(lambda: datasets.make_friedman1(1000, noise=1.0, random_state=0), "y"),
        "clusters": lambda: _generated(
            lambda: datasets.make_classification(1500, 20, n_informative=6, n_classes=3, flip_y=0.05, random_state=0),
            "class",
            True,
        ),
    }


def _table(name: str) -> tuple[Table, list[str]]:
    others = _others()
    if name in others:
        table = others[name]()
        return table, [table.names[-1]]
    file, _, target = name.partition(":")
    table = open_table(Output(), file)
    return table, target_names(table, target or None)


def _scores(prepared: Prepared, seed: int) -> tuple[float, float, float]:
    """payback, scikit-learn's MLP, the linear model."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    trained = train_prepared(prepared, seed=seed, progress=False)
    assert trained.test is not None
    model, rows = prepared.model, np.sort(np.concatenate([prepared.train, prepared.valid]))
    x, x_test = (
        model.encoder.transform(prepared.table, rows, unseen="zero"),
        model.encoder.transform(prepared.table, prepared.test, unseen="zero"),
    )
    y, y_test = model.target.encode(prepared.table, rows), model.target.encode(prepared.table, prepared.test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its 200 epochs do not always converge; they are its defaults
        if model.target.task == "classify":
            peers = MLPClassifier(random_state=seed), LogisticRegression(max_iter=5000)
            ours = trained.test["accuracy"]
        else:
            peers = MLPRegressor(random_state=seed), LinearRegression()
            ours = float(np.mean(trained.test["r2"]))
            y, y_test = (a[:, 0] if a.shape[1] == 1 else a for a in (y, y_test))
        found = [float(peer.fit(x, y).score(x_test, y_test)) for peer in peers]
    return ours, found[0], found[1]


def compare(name: str, seeds: list[int]) -> str:
    """One row of the report."""
    table, targets = _table(name)
    scores = []
    task = "classify"
    for seed in seeds:
        prepared = prepare(table, targets, seed=seed)
        task = prepared.model.target.task
        scores.append(_scores(prepared, seed))
    found = np.array(scores)
    means = found.mean(axis=0)
    better = 1 + int(np.argmax(means[1:]))
    difference = found[:, 0] - found[:, better]
    error = difference.std(ddof=1) / np.sqrt(len(seeds)) if len(seeds) > 1 else float("nan")
    cells = [
        name.rsplit("/", 1)[-1],
        f"{table.n_rows:,} × {len(table.columns) - len(targets)}",
        SCORES[task],
        *(f"{mean:.4f}" for mean in means),
        f"{difference.mean():+.4f} ± {error:.4f} against {('', 'MLP', 'linear')[better]}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="NAME|FILE.csv[:TARGET]")
    parser.add_argument("--seeds", default="0-9", help="a range such as 0-9, or numbers with commas")
    options = parser.parse_args()
    first, _, last = options.seeds.partition("-")
    seeds = list(range(int(first), int(last) + 1)) if last else [int(s) for s in options.seeds.split(",")]
    print(f"seeds {options.seeds}, 20 % test rows\n")
    print("| table | rows × columns | score | payback | scikit-learn MLP | linear | difference to the better, paired |")
    print("|---|---|---|---|---|---|---|")
    for name in options.tables or [*CARRIED, *_others()]:
        print(compare(name, seeds), flush=True)


if __name__ == "__main__":
    main()
