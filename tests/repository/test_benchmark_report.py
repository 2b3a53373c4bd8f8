"""The benchmark keeps what it measured in RESULTS.md, work by work, and touches nothing else there."""

import pytest
from benchmarks.arena import Row
from benchmarks.contestants.__main__ import work_of
from benchmarks.report import HEAD, SECTIONS, TABLE, keep, line, section
from benchmarks.works import FUNCTIONS, Training, parsed

TEXT = f"""# Measurements

Before.

{TABLE[0]}
{TABLE[1]}

{SECTIONS[0]}

### a work that was not measured, 1 thread

its table

{SECTIONS[1]}

**Missed**: after.
"""


def rows(ours, theirs, check=(1.0,)):
    return [Row("payback", 0.1, ours, list(check), 1e6), Row("jax jit", 0.2, theirs, [1.0], 2e6)]


def kept(tmp_path, *runs):
    path = tmp_path / "RESULTS.md"
    path.write_text(TEXT, encoding="utf-8")
    for run in runs:
        keep([section(work, found, 1) for _, work, found in run], [line(*of, 1) for of in run], path)
    return path.read_text(encoding="utf-8")


def test_a_run_replaces_what_it_measured_and_nothing_else(tmp_path):
    first = [("small", FUNCTIONS["small"](), rows([4e-6, 4e-6], [8e-6, 8e-6]))]
    again = [("small", FUNCTIONS["small"](), rows([3e-6, 3e-6], [12e-6, 12e-6]))]
    other = [("tiny", Training((2, 16, 16, 1), 32), rows([1e-6], [16e-6]))]
    text = kept(tmp_path, first, other, again)
    assert text.startswith("# Measurements\n\nBefore.\n")
    assert text.endswith("**Missed**: after.\n")
    assert "### a work that was not measured, 1 thread\n\nits table\n" in text
    assert text.count("### one call of a function of 10 parameters") == 1
    assert "| jax jit | 12 µs | 200 ms | 2 MB | **4.00×** (4.00–4.00) |" in text
    assert "| 8 µs |" not in text
    assert text.count(HEAD[0]) == 1
    assert kept(tmp_path, first, other, again, again) == text


@pytest.mark.parametrize(
    ("ours", "theirs", "check", "verdict"),
    [
        ([3e-6] * 3, [12e-6] * 3, [1.0], "| met |"),
        ([3e-6] * 3, [8e-6] * 3, [1.0], "| **missed:** ratio |"),
        ([6e-6] * 3, [60e-6] * 3, [1.0], "| **missed:** time |"),
        ([3e-6] * 3, [12e-6] * 3, [1.1], "void"),
    ],
)
def test_the_table_says_what_was_missed(ours, theirs, check, verdict):
    work = FUNCTIONS["small"]()
    found = [*rows(ours, theirs, check), Row("torch eager", 0.2, [1.0] * 3, [1.0], 2e6)]
    assert verdict in line("small", work, found, 1)


def test_sizes_and_data_of_ones_own():
    assert parsed("gmm") == ("gmm", {})
    assert parsed("network:sizes=8-4-1,batch=32") == ("network", {"sizes": (8, 4, 1), "batch": 32})
    (alphas, means, *_), x = work_of("gmm:d=3,k=4,n=50", {"dtype": "float32"}).data()
    assert (alphas.shape, means.shape, x.shape, x.dtype) == ((4,), (4, 3), (50, 3), "float32")
    assert work_of("12-5-2:7", {}).data()["x"].shape[1] == 12
    assert not (work_of("gmm:d=3,k=4,n=50", {"seed": 1}).data()[1] == x).any()
    for name, says in (
        ("gmmm", "is none of"),
        ("gmm:q=3", "d=NUMBER, k=NUMBER, n=NUMBER"),
        ("small:parameters=x", "'parameters=x'"),
    ):
        with pytest.raises(SystemExit, match=says):
            work_of(name, {})
