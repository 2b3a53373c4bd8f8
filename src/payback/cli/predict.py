"""`payback predict`: a saved model on new rows."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from cyclopts import Parameter

from payback.cli.options import Out
from payback.cli.tables import Decimal, Delimiter, ModelFolder, TableName, open_table
from payback.errors import InputError
from payback.files import write_file
from payback.tabular.plans import UnseenError
from payback.train.table import TableModel


def predict(
    model: ModelFolder,
    table: TableName,
    /,
    *,
    o: Annotated[
        str | None, Parameter(name=("-o", "--output"), help="A CSV file to write; by default standard output.")
    ] = None,
    proba: Annotated[bool, Parameter(help="Add each class's probability.", negative="")] = False,
    unseen: Annotated[
        Literal["refuse", "none"],
        Parameter(help="What becomes of categories that training had not: none reads them as none of those it had."),
    ] = "refuse",
    overwrite: Annotated[bool, Parameter(help="Replace the file if there is one.", negative="")] = False,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    out: Out,
) -> None:
    """Predict the target for every row of a table, with the model of a folder that `payback train --out` wrote.

    Writes CSV with one row a row of the table, in the same order.
    """
    if o is not None and os.path.isdir(o):
        raise InputError(
            "the file cannot be written", where=o, why="it is a folder", fix="name a file, such as FILE.csv"
        )
    if o is not None and os.path.lexists(o) and not overwrite:
        raise InputError(
            "the file exists already", where=o, why="it would be lost", fix="choose another name, or add --overwrite"
        )
    trained = TableModel.load(model)
    data = open_table(out, table, delimiter, decimal)
    notes: list[str] = []
    try:
        outputs = trained.outputs(data, unseen="zero" if unseen == "none" else "error", notes=notes)
    except UnseenError as problem:
        raise InputError(problem.what, where=problem.where, why=problem.why,
                         fix=f"{problem.fix}, or add --unseen none") from None  # fmt: skip
    decoded = trained.decode(outputs)
    header = [f"predicted_{name}" for name in trained.target.names]
    columns: list[Any] = [decoded] if decoded.ndim == 1 else list(decoded.T)
    if proba:
        header += [f"probability_{name}" for name in trained.target.classes]
        columns += list(trained.probabilities(outputs).T)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*[column.tolist() for column in columns], strict=True))
    for note in notes:
        out.note(f"note: {note}")
    if o is not None:
        write_text(o, text.getvalue())
        out.line(f"{data.n_rows:,} predictions written to {o}")
    elif not out.json:
        out.raw(text.getvalue())
    out.result(
        {
            "model": model,
            "table": data.source,
            "rows": data.n_rows,
            "file": o,
            "predictions": {name: np.asarray(column).tolist() for name, column in zip(header, columns, strict=True)},
        }
    )


def write_text(path: str, text: str) -> None:
    """Write a file whole or not at all.  Raises InputError when it cannot be written."""
    try:
        write_file(Path(path), text.encode("utf-8", "backslashreplace"))
    except OSError as problem:
        raise InputError(
            "the file cannot be written", where=path, why=problem.strerror or str(problem), fix="choose another place"
        ) from None
