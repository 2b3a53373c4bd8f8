"""Tables: reading them, the kinds of their columns, and their encoding as numbers (part of a saved model)."""

from payback.tabular.column import KINDS, Column
from payback.tabular.doubts import doubts
from payback.tabular.encode import Encoder
from payback.tabular.frame import table_from_frame
from payback.tabular.kinds import column_from_cells, column_from_numbers
from payback.tabular.read import read_csv, table_from_text
from payback.tabular.table import Table
from payback.tabular.target import TargetEncoder, task_of

__all__ = [
    "KINDS",
    "Column",
    "Encoder",
    "Table",
    "TargetEncoder",
    "column_from_cells",
    "column_from_numbers",
    "doubts",
    "read_csv",
    "table_from_frame",
    "table_from_text",
    "task_of",
]
