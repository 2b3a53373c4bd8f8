"""Tables for the tests in this folder."""

from __future__ import annotations

import pytest

from payback.tabular import read_csv


@pytest.fixture
def table(tmp_path):
    """table(text, **options): the table that `read_csv` makes of a file data.csv with this text or these bytes."""

    def make(content, **options):
        file = tmp_path / "data.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_csv(file, **options)

    return make
