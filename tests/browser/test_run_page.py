"""The page of a recorded training: it adds up by itself, and names what went wrong first."""

from __future__ import annotations

import json
import math
import re
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import payback as pb
from payback.cli.app import main
from payback.cli.report import gathered
from payback.glass.page import document, write

from .conftest import WIDTHS


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The digits, trained by the command line with --record."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert main(["train", "digits", "--epochs", "4", "--record", str(folder), "--seed", "0"]) == 0
    return folder


@pytest.fixture(scope="module")
def report(run, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("reports") / "report.html"
    assert main(["report", str(run), "--html", str(target), "--entry", "W1[20,7]", "--entry", "b2[3]"]) == 0
    return target


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["runmap", "curves", "statement", "microscope"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_view_opens(visit, report, width, view, language):
    page = visit(
        report, f"#view={view}&lang={language}", width=width, color_scheme="dark" if language == "zh" else "light"
    )
    assert page.get_by_role("tab", selected=True).count() == 1
    assert page.locator(".runview").inner_text()


def test_the_statement_is_reconciled_and_a_changed_amount_is_noticed(visit, report, run, tmp_path):
    page = visit(report, "#view=statement")
    assert page.locator(".verdict").get_attribute("data-ok") == "true"
    account = pb.open_run(run).account("W1", (20, 7))
    shown = page.locator("tr.closed .number").inner_text().replace("−", "-")
    assert float(shown) == pytest.approx(account.closing, rel=1e-6)
    text = report.read_text()
    amounts = json.loads(re.search(r'"amount":(\[[^\]]*\])', text)[1])
    largest = max(amounts, key=abs)
    forged = tmp_path / "forged.html"
    forged.write_text(text.replace(json.dumps(largest), json.dumps(largest * (1 + 1e-6) + 1e-9), 1))
    assert visit(forged, "#view=statement").locator(".verdict").get_attribute("data-ok") == "false"


@pytest.mark.parametrize(("at", "size"), [(7, 40), (35, 10)])
def test_a_step_that_was_not_applied_is_told_first(visit, tmp_path, at, size):
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[at, 1] = 1e200
    net, folder = pb.nn.MLP([3, 1], dtype=float), tmp_path / "run"
    with pytest.raises(ArithmeticError):
        pb.fit(net, X, X[:, 0], validation=0, batch_size=size, epochs=2, shuffle=False, record=folder)
    assert main(["report", str(folder), "--html", str(tmp_path / "page.html")]) == 0
    for view in ("runmap", "statement", "microscope", "curves"):
        page = visit(tmp_path / "page.html", f"#view={view}", width=390)
        told = page.locator(".findings li").first.inner_text()
        assert told.startswith(f"step {at // size + 1}: its ")
        assert f"row {at} of X" in told
        assert ("No step was applied." in page.locator(".runview").inner_text()) == (at < size and view != "curves")


def test_the_pages_sums_are_exact(visit, report):
    page, rng = visit(report), np.random.default_rng(0)
    for _ in range(20):
        terms = (rng.standard_normal(1000) * 10.0 ** rng.integers(-9, 9, 1000)).tolist()
        assert page.evaluate("t => payback.exactSum(t)", terms) == pytest.approx(math.fsum(terms), rel=1e-15)


def test_promises_and_rows_under_the_microscope(visit, tmp_path):
    """A poisoned row costs most, and is named first; for small steps the promise is kept."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 5))
    y = X @ np.arange(5.0)
    y[17] = 300.0
    net = pb.nn.MLP([5, 8, 1], activation="tanh", seed=0, dtype=float)
    pb.fit(net, X, y, loss="squared_error", batch_size=32, validation=0, epochs=3, progress=False,
           record=tmp_path / "run", optimizer=pb.optim.GradientDescent(1e-6))  # fmt: skip
    data = gathered(pb.open_run(tmp_path / "run"))
    for look in data["looks"]:
        assert sum(look["promise"]) == pytest.approx(look["after"] - look["before"], rel=1e-2)
    poisoned = [look for look in data["looks"] if 17 in pb.open_run(tmp_path / "run").batch(look["n"]).samples]
    assert poisoned
    assert all(look["rows"][0]["sample"] == 17 for look in poisoned)
    page = visit(write(tmp_path / "page.html", document(data)), "#view=microscope")
    page.locator(".microscope input[type=range]").focus()
    for _ in range(data["looks"].index(poisoned[0])):
        page.keyboard.press("ArrowRight")
    assert page.locator(".microscope table").nth(1).locator("tbody th").first.inner_text() == "17"


def test_any_step_is_replayed_to_the_bit_and_the_page_computes_it_again(visit, run, report, tmp_path):
    """20 steps on request: their weights are the log's; digest and promise are computed again in the page."""
    recorded = pb.open_run(run)
    steps = sorted(np.random.default_rng(3).choice(np.arange(1, len(recorded) + 1), 20, replace=False).tolist())
    target = tmp_path / "asked.html"
    assert main(["report", str(run), "--html", str(target), "--steps", f"{steps[0]}-{steps[0]},"
                 + ",".join(map(str, steps[1:]))]) == 0  # fmt: skip
    page, text = visit(target, f"#view=microscope&step={steps[4]}"), target.read_text()
    shown = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    by_number = {look["n"]: look for look in shown["looks"]}
    for n in steps:
        assert by_number[n]["weights"] == recorded.steps[n].weights
        assert by_number[n]["ledger"] is not None
        number = page.locator(".microscope input[type=number]")
        number.fill(str(n))
        number.press("Enter")
        verdict = page.locator(".microscope .verdict")
        assert (verdict.get_attribute("data-ok"), verdict.get_attribute("data-exact")) == ("true", "true")
        assert verdict.locator("code").inner_text() == recorded.steps[n].weights[:16]
    page.locator(".replay").click()
    assert page.locator(".stepbook .node").count() == len(recorded.explain(steps[-1]).nodes)
    weights = by_number[steps[0]]["exact"]["after"][0]
    changed = ("B" if weights[40] == "A" else "A").join((weights[:40], weights[41:]))
    forged = tmp_path / "forged.html"
    forged.write_text(text.replace(weights, changed))
    page = visit(forged, f"#view=microscope&step={steps[0]}")
    assert page.locator(".microscope .verdict").get_attribute("data-ok") == "false"
    for wrong in ("0", "1,x", f"1-{len(recorded) + 1}", "5-2", ""):
        assert main(["report", str(run), "--html", str(tmp_path / "no.html"), f"--steps={wrong}"]) == 2
    assert not (tmp_path / "no.html").exists()


def test_the_pages_digest_is_sha256(visit, report):
    page, rng = visit(report), np.random.default_rng(0)
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003):
        data = rng.integers(0, 256, size).astype(np.uint8)
        assert page.evaluate("b => payback.sha256(Uint8Array.from(b))", data.tolist()) == sha256(data).hexdigest()


def planted(folder: Path, kind: str):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((96, 6))
    y = np.sin(X @ np.arange(6.0) / 4)
    if kind == "vanishing":
        net = pb.nn.MLP([6] + [10] * 9 + [1], activation="sigmoid", seed=0, dtype=float)
    else:
        net = pb.nn.MLP([6, 16, 16, 1], activation="relu", seed=0, dtype=float)
    if kind == "dead":
        net.layers[0].bias[:] = -99.0
    if kind == "poisoned":
        y[17] = 1e6
    pb.fit(net, X, y, loss="squared_error", batch_size=32, validation=0, epochs=2, progress=False, record=folder,
           optimizer=pb.optim.GradientDescent(1e-9 if kind == "poisoned" else 0.01))  # fmt: skip
    run = pb.open_run(folder)
    return document(gathered(run, found=run.diagnose()))


@pytest.mark.parametrize(
    ("kind", "measure", "first", "told"),
    [
        ("vanishing", "gradient", "layers[0].", "×0.2"),
        ("dead", "dead", "layers[0].weight", "16 of 16 units of the relu after layers[0] answer 0 to all rows"),
        ("poisoned", "gradient", "", "Row 17 costs"),
    ],
)
def test_what_goes_wrong_in_a_run_is_named_and_sorts_first(visit, tmp_path, kind, measure, first, told):
    page = visit(write(tmp_path / "page.html", planted(tmp_path / "run", kind)))
    assert told in page.locator(".findings").inner_text()
    page.locator(".runmap select").select_option(measure)
    page.locator("[aria-pressed]").click()
    assert page.locator(".maprows li").first.get_attribute("title").startswith(first)


def test_a_curve_of_one_epoch_is_a_dot(visit, tmp_path):
    X = np.arange(8.0).reshape(8, 1)
    pb.fit(pb.nn.MLP([1, 1], seed=0), X, X, loss="squared_error", epochs=1, validation=0, progress=False,
           record=tmp_path / "run", optimizer=pb.optim.GradientDescent(0.001))  # fmt: skip
    page = visit(write(tmp_path / "page.html", document(gathered(pb.open_run(tmp_path / "run")))), "#view=curves")
    figures = page.locator(".curves figure").all()
    assert figures
    for figure in figures:
        assert figure.locator("circle.dot").count() == 1
        assert figure.locator("path.track").get_attribute("d") == ""
        assert "1 epoch" in figure.inner_text()
        assert "1 epochs" not in figure.inner_text()


def test_deposits_by_sample_and_class_are_the_same_money(visit, report, run):
    page = visit(report, "#view=statement")
    account = pb.open_run(run).account("W1", (20, 7))
    total = account.deposits
    for by in ("by step", "by class"):
        page.get_by_role("button", name=by).click()
        shown = [float(x.replace("−", "-")) for x in page.locator(".deposits .number").all_inner_texts()]
        assert math.fsum(shown) == pytest.approx(total, abs=1e-6 * math.fsum(map(abs, shown)))


def test_the_book_of_a_step_opens_under_the_microscope(visit, report, run):
    page = visit(report, "#view=microscope")
    page.locator(".replay").click()
    book = pb.open_run(run).explain(1)
    assert page.locator(".stepbook .node").count() == len(book.nodes)
    told = page.locator(".stepbook .told").inner_text()
    assert told.endswith(("]", "‖"))


def test_vanishing_and_dead_rows_sort_first(visit, tmp_path):
    rng = np.random.default_rng(0)
    rows, steps = 224, 5000
    gradient = 10.0 ** rng.normal(-2, 0.2, (rows, steps))
    gradient[100] *= 10.0 ** np.linspace(0, -6, steps)
    dead = np.zeros((rows, steps))
    dead[57, 2000:] = 1.0
    data = {
        "kind": "run", "title": "planted", "facts": [], "curves": [], "statements": [], "looks": [],
        "learned": "", "findings": [],
        "map": {"rows": [f"layer {k}" for k in range(rows)], "steps": list(range(steps)), "gradient": gradient.tolist(),
                "update": gradient.tolist(), "dead": dead.tolist()},
    }  # fmt: skip
    page = visit(write(tmp_path / "map.html", document(data)))
    page.locator("[aria-pressed]").click()
    assert page.locator(".maprows li").first.get_attribute("title") == "layer 100"
    page.locator(".runmap select").select_option("dead")
    assert page.locator(".maprows li").first.get_attribute("title") == "layer 57"


def test_rows_held_out_lie_beside_the_others_and_rows_of_the_first_steps_are_not_blamed(visit, tmp_path):
    loss, held = [2.0, 1.0, 0.5, 0.25], [1.9, 1.2, 1.3, 1.6]
    curves = {"loss": loss, "rate": [0.1] * 4, "validation_loss": held, "validation_auc": [0.5] * 4}
    costs = {1: [6.0, 5.0, 4.0], 50: [0.02, 0.01, 0.01], 60: [1.5, 0.01, 0.01], 70: [0.02, 0.01, 0.01]}
    looks = [{"n": n, "rows": [{"sample": k, "cost": cost} for k, cost in enumerate(row)]} for n, row in costs.items()]
    data = {
        "kind": "run", "title": "healthy", "facts": [], "statements": [], "looks": looks, "learned": "", "findings": [],
        "curves": [{"name": name, "values": values} for name, values in curves.items()],
        "map": {"rows": ["w"], "steps": [1], "gradient": [[1.0]], "update": [[1.0]], "dead": [[0.0]]},
    }  # fmt: skip
    page = visit(write(tmp_path / "a.html", document(data)), "#view=curves")
    figures = [" ".join(figure.inner_text().split()) for figure in page.locator(".curves figure").all()]
    assert [figure.partition(" ")[0] for figure in figures] == ["loss", "rate", "validation"]
    assert "loss 0.25 ╌ held out 1.6, least 1.2, epoch 2" in figures[0]
    first = page.locator(".curves figure").first
    lines = [first.locator(f"path.track{kind}").get_attribute("d") for kind in (":not(.held)", ".held")]
    heights = [[float(point.split()[1]) for point in line[1:].split("L")] for line in lines]
    assert heights[0][0] < heights[1][0] < heights[1][1] < heights[0][3]  # on one scale
    assert "Row" not in page.locator(".findings").inner_text()
    looks[2]["rows"][0]["cost"] = 1e6
    page = visit(write(tmp_path / "b.html", document(data)))
    assert (
        "Row 0 costs 1000000 at step 60; the others that cost most there cost 0.01"
        in page.locator(".findings").inner_text()
    )
