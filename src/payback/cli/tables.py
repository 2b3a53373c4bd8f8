"""What the commands share that read tables: names and files, and how a table is told to people."""

from __future__ import annotations

import difflib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from payback import datasets
from payback.cli.options import STDIN
from payback.cli.program import listed
from payback.cli.terminal import Output
from payback.errors import InputError
from payback.tabular import Encoder, Table, read_csv, table_from_text
from payback.tabular.cells import counted
from payback.tabular.plans import MAX_CATEGORIES
from payback.tabular.source import MAX_BYTES, text_of
from payback.tabular.table import listed as names_listed

MANY_COLUMNS = 24  # a table with more is told by kinds, not column by column

TableName = Annotated[
    str,
    Parameter(help=f"A CSV file, also gzipped; - for standard input; or {listed(datasets.names(), 'or')}."),
]
ModelFolder = Annotated[str, Parameter(help="The folder that `payback train --out` wrote.")]
Delimiter = Annotated[
    str | None, Parameter(help="What separates the cells, if it is not recognized; also tab or space.")
]
Decimal = Annotated[str | None, Parameter(help="The decimal mark, . or , if it is not recognized.")]


def open_table(
    out: Output,
    name: str,
    delimiter: str | None = None,
    decimal: str | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    missing: Sequence[str] = (),
) -> Table:
    """The table of a name that payback carries, of a CSV file, or of standard input.  Raises InputError.

    The options are those of `read_csv`.
    """
    told_of: Any = {"delimiter": delimiter, "decimal": decimal, "kinds": kinds, "missing": missing}
    if name == STDIN:
        data = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_BYTES + 1)
        return table_from_text(text_of(data, name), name, **told_of)
    if name in datasets.names():
        return table_from_text(datasets.csv_text(name), name, kinds=kinds, missing=missing)
    try:
        with out.waiting(f"reading {name}") as told:
            return read_csv(name, **told_of, told=told)
    except InputError as problem:
        if problem.fix is not None and "." in name:
            raise
        near = difflib.get_close_matches(name, datasets.names(), 1)
        fix = f"did you mean the table {near[0]}?" if near else problem.fix
        known = f"give a CSV file, or one of {', '.join(datasets.names())}"
        raise InputError(problem.what, where=problem.where, why=problem.why, fix=fix or known) from None


def target_names(table: Table, given: str | None) -> list[str]:
    """The columns of --target, or the last one."""
    return [table.names[-1]] if given is None else columns_named(table, given)


def columns_named(table: Table, given: str) -> list[str]:
    """Names separated by commas; a name with a comma may stand alone.  Raises InputError for others."""
    if given in table.names:
        return [given]
    names = texts_of(given)
    for name in names:
        table.column(name)
    return names


def texts_of(given: str | None) -> list[str]:
    """Texts separated by commas."""
    return [] if given is None else [text.strip() for text in given.split(",")]


def tell_columns(out: Output, table: Table, targets: Sequence[str], encoder: Encoder) -> None:
    """A row a column: kind, missing cells, values, and what it is used for."""
    reasons, skewed = dict(encoder.left_out), encoder.with_logarithms
    role = dict.fromkeys(targets, "target") | dict.fromkeys(skewed, "skewed: its logarithm is a column too")
    role |= dict.fromkeys(encoder.grouped, f"all but the {MAX_CATEGORIES - 1} most frequent are one")
    role |= {name: f"left out: {why}" for name, why in reasons.items()}
    if len(table.columns) <= MANY_COLUMNS:
        with out.waiting("looking at its columns") as told:
            summary = table.summary(told)
        rows = [
            (
                c["name"],
                c["kind"],
                c["missing"],
                c["distinct"],
                c["values"],
                "; ".join(filter(None, (role.get(str(c["name"]), ""), str(c["note"] or "")))),
            )
            for c in summary
        ]
        out.table(rows, headers=("column", "kind", "missing", "distinct", "values", ""), align="llrrll")
    else:
        kinds = Counter(
            (c.kind, "target" if c.name in targets else "left out" if c.name in reasons else "feature")
            for c in table.columns
        )
        out.table(
            [(count, kind, use) for (kind, use), count in kinds.most_common()],
            headers=("columns", "kind", "used as"),
            align="rll",
        )
        for name, why in list(reasons.items())[:10]:
            out.line(f"  {name} left out: {why}")
        if len(reasons) > 10:
            out.line(f"  and {len(reasons) - 10} more left out")
        if skewed:
            out.line(f"  {counted(len(skewed), 'skewed column')} with the logarithm too: {names_listed(skewed)}")
        if encoder.grouped:
            most = MAX_CATEGORIES - 1
            out.line(f"  all but the {most} most frequent categories are one in {names_listed(encoder.grouped)}")
    missing = sum(int(c.missing.sum()) for c in table.columns)
    if missing:
        out.line(f"  {counted(missing, 'missing cell')}")
    for note in table.notes:
        out.line(f"  note: {note}")


def tell_metrics(out: Output, metrics: dict[str, Any], what: str = "test") -> None:
    """Accuracy and confusion matrix, or RMSE and R² in the table's units."""
    rows = counted(metrics["rows"], "row")
    if "accuracy" in metrics:
        right = round(metrics["accuracy"] * metrics["rows"])
        beside = ""
        if (always := metrics.get("always")) is not None:  # models made before have it not
            of_classes = f", balanced {100 * metrics['balanced_accuracy']:.2f} %"
            beside = f"{of_classes}; always {always['class']}: {100 * always['accuracy']:.2f} %"
        out.line(f"{what:9} accuracy {100 * metrics['accuracy']:.2f} % ({right:,} of {rows}){beside}")
        if metrics["unknown_classes"]:
            unknown = metrics["unknown_classes"]
            are = "is of a class" if unknown == 1 else "are of classes"
            out.line(f"          {counted(unknown, 'row')} {are} that the model does not know")
        classes = metrics["classes"]
        if len(classes) <= 30:
            out.line("          confusion matrix: rows are true classes, columns predicted ones")
            table = [[name, *counts] for name, counts in zip(classes, metrics["confusion"], strict=True)]
            out.table(table, headers=("", *classes), align="l" + "r" * len(classes))
        return
    for name, error, share in zip(metrics["targets"], metrics["rmse"], metrics["r2"], strict=True):
        told = "undefined, for the true values are all equal" if share is None else f"{share:.4f}"
        label = f" of {name}" if len(metrics["targets"]) > 1 else ""
        out.line(f"{what:9} RMSE{label} {error:.6g}, R² {told} ({rows})")
