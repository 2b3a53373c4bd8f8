"""`payback data`: the tables that payback carries, as files."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from payback import datasets
from payback.cli.options import Out


def data(
    name: Annotated[str | None, Parameter(help="One of them; without it they are listed.")] = None,
    /,
    *,
    o: Annotated[
        str | None, Parameter(name=("-o", "--output"), help="A CSV file to write; by default standard output.")
    ] = None,
    overwrite: Annotated[bool, Parameter(help="Replace the file if there is one.", negative="")] = False,
    out: Out,
) -> None:
    """List the tables that payback carries, with source and licence; or write one of them as CSV."""
    if name is None:
        tables = [datasets.describe(known) for known in datasets.names()]
        out.table(
            [(t.name, t.rows, t.inputs, t.classes, t.title, t.license, t.source) for t in tables],
            headers=("name", "rows", "inputs", "classes", "what it is", "licence", "source"),
            align="lrrrlll",
        )
        out.result(
            {
                "tables": [
                    {
                        "name": t.name,
                        "title": t.title,
                        "rows": t.rows,
                        "inputs": t.inputs,
                        "target": t.target,
                        "classes": t.classes,
                        "license": t.license,
                        "source": t.source,
                    }
                    for t in tables
                ]
            }
        )
        return
    table = datasets.describe(name)
    if o is None:
        if not out.json:
            out.raw(datasets.csv_text(name))
    else:
        datasets.write_csv(name, o, overwrite=overwrite)
        out.line(f"{table.rows:,} rows written to {o} ({table.license}; {table.source})")
    out.result(
        {"name": name, "file": o, "rows": table.rows, "license": table.license, "source": table.source}
        | ({"csv": datasets.csv_text(name)} if o is None else {})
    )
