"""`payback evaluate`: how well a saved model predicts a table that has the answers."""

from __future__ import annotations

from payback.cli.options import Out
from payback.cli.tables import Decimal, Delimiter, ModelFolder, TableName, open_table, tell_metrics
from payback.train.table import TableModel


def evaluate(
    model: ModelFolder, table: TableName, /, *, delimiter: Delimiter = None, decimal: Decimal = None, out: Out
) -> None:
    """Compare a model's predictions with a table's target column: accuracy and confusion matrix, or RMSE and R²."""
    trained = TableModel.load(model)
    data = open_table(out, table, delimiter, decimal)
    notes: list[str] = []
    metrics = trained.evaluate(data, notes=notes)
    for note in notes:
        out.note(f"note: {note}")
    tell_metrics(out, metrics, "table")
    out.result({"model": model, "table": data.source, **metrics})
