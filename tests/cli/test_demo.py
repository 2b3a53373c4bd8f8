"""`payback demo`: the figures of the story are what the engine computes, and the words hold them."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import payback as pb
from payback.cli import main
from payback.cli.demo import _cost


@pytest.fixture(scope="module")
def chapters(tmp_path_factory):
    target = tmp_path_factory.mktemp("demo") / "demo.html"
    assert main(["demo", "--html", str(target), "--no-open"]) == 0
    return json.loads(re.search(r'id="data">(.*?)</script>', target.read_text("utf-8"), re.DOTALL)[1])["chapters"]


def test_every_chapter_is_told_in_both_languages(chapters):
    assert len(chapters) == 8
    assert chapters[0]["title"] == {"en": "b is owed 5: why?", "zh": "b 应得 5：为什么？"}
    for chapter in chapters:
        assert all(re.search(r"[一-鿿]", part["zh"]) or part["zh"] == part["en"] for part in chapter["text"])


def test_the_ledger_is_the_seeds(chapters):
    nodes = chapters[0]["figure"]["data"]["nodes"]
    assert dict(zip(nodes["name"], nodes["settled"], strict=True)) == {"a": 2.0, "b": 5.0, "c": 2.0, "d": 3.0, "e": 1.0}
    text = chapters[5]["text"]
    assert any("∂e/∂b = 2·1 + 3·1 = 5" in part["en"] for part in text)
    assert f"{2**60:,} paths and 120 edges" in chapters[6]["text"][0]["en"]


def test_the_last_line_is_the_one_of_least_squares(chapters):
    figure = chapters[1]["figure"]
    x, y = np.array(figure["points"]).T
    assert figure["lines"][-1] == pytest.approx(np.polyfit(x, y, 1), abs=1e-2)
    costs = [np.mean((k * x + b - y) ** 2) for k, b in figure["lines"]]
    assert costs == sorted(costs, reverse=True)


def test_the_curve_follows_the_sine(chapters):
    x, y = np.array(chapters[2]["figure"]["curve"]).T
    assert np.abs(y - np.sin(3 * x)).max() < 0.2


def test_the_surface_its_minima_and_the_descents(chapters):
    figure = chapters[4]["figure"]
    at = np.array([figure["x"][7], figure["y"][30]])
    assert figure["z"][30][7] == pytest.approx(_cost(at), abs=1e-6)
    for minimum in figure["minima"]:
        assert np.linalg.norm(pb.grad(_cost)(np.array(minimum))) < 1e-3
        assert (np.linalg.eigvalsh(pb.hessian(_cost)(np.array(minimum))) > 0).all()
    assert len(figure["trails"]) == 4
    for trail in figure["trails"]:
        assert min(np.hypot(*(np.array(trail[-1]) - m)) for m in figure["minima"]) < 0.05
