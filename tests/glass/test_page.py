"""Pages and pictures of a ledger, without a browser: they add up, stay within limits, and hold texts as data."""

from __future__ import annotations

import itertools
import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import payback as pb
from payback.errors import InputError
from payback.glass.curves import _thinned
from payback.glass.layout import places
from payback.glass.ledger import Ledger
from payback.glass.page import columns, html_of, write

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def seed() -> Ledger:
    a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    c = a + b
    d = b + 1
    e = c * d
    return Ledger(e.node, [a.node, b.node], {c.node: "c", d.node: "d", e.node: "e"})


def test_the_columns_are_the_ledgers():
    data = columns(seed())
    assert data["nodes"]["name"] == ["a", "b", "c", "d", "e"]
    assert data["nodes"]["settled"] == [2.0, 5.0, 2.0, 3.0, 1.0]
    assert data["race"] == {"paths": "3", "walks": "6", "visits": 5}
    assert [entry["count"] for entry in data["paths"]] == ["1", "2"]
    assert sum(path["product"] for path in data["paths"][1]["largest"]) == 5.0


def test_a_page_is_small_and_asks_for_nothing():
    text = html_of(seed())
    assert len(text.encode()) < 300_000
    assert re.search(r'http-equiv="Content-Security-Policy" content="default-src \'none\'; script-src \'sha256-', text)
    assert not re.search(r'(src|href)="', text)
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_nothing_in_the_data_ends_the_script():
    a = pb.variable(2.0, "</script><script>alert(1)</script>\u2028")
    text = html_of(Ledger((a * a).node, [a.node]), "<!-- <script>")
    assert text.count("<script") == 2
    assert text.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert data["nodes"]["name"][0] == "</script><script>alert(1)</script>\u2028"


def test_infinities_and_arrays_are_told():
    with np.errstate(all="ignore"):
        book = pb.explain(lambda x: np.sum(np.log(x) * x), np.array([0.0, 1.0, 2.0]))
    data = json.loads(json.dumps(columns(book), allow_nan=False))
    assert {"shape": "3", "norm": "NaN", "bad": True, "values": ["NaN", 0.0, pytest.approx(2 * np.log(2))]} in data[
        "nodes"
    ]["value"]


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    for umask in (0o077, 0o022):
        before = os.umask(umask)
        try:
            target = write(tmp_path / "page.html", "text")
        finally:
            os.umask(before)
        assert target.read_text() == "text"
        assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    with pytest.raises(InputError, match="cannot be written"):
        seed().html(tmp_path / "no" / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_edges_pass_beside_boxes():
    def skips(x):
        h = x
        for _ in range(4):
            h = np.tanh(h * 1.5 + x) + h
        return (h * x).sum()

    root = ElementTree.fromstring(pb.explain(skips, np.ones(3)).svg())
    boxes = [tuple(float(box.get(key)) for key in ("x", "y", "width", "height")) for box in root.iter(f"{SVG}rect")]
    wide = float(root.get("width"))
    long = 0
    for path in root.iter(f"{SVG}path"):
        numbers = [[float(word) for word in re.findall(r"[-\d.]+", piece)] for piece in path.get("d")[1:].split("L")]
        long += len(numbers) > 1
        for x1, y1, _, y2, _, y3, x4, y4 in numbers:
            for t in np.linspace(0, 1, 21)[1:-1]:
                weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3
                x, y = np.dot(weights, (x1, x1, x4, x4)), np.dot(weights, (y1, y2, y3, y4))
                assert 0 <= x <= wide
                assert not any(left < x < left + w and top < y < top + h for left, top, w, h in boxes)
        for (*_, x, y), (x2, y2, *_) in itertools.pairwise(numbers):  # straight through a row
            assert x == x2
            assert not any(left < x < left + w and y <= top + h / 2 <= y2 for left, top, w, h in boxes)
    assert long >= 5


def test_the_readmes_picture_is_drawn_by_the_engine():
    drawn = seed().svg()
    assert (ROOT / "docs" / "seed.svg").read_text(encoding="utf-8") == drawn
    for name in ("README.md", "README.zh-CN.md"):
        assert "(docs/seed.svg)" in (ROOT / name).read_text(encoding="utf-8")
    texts = [node.text for node in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert {"a = 2", "b = 1", "c = 3", "d = 2", "e = 6", "5"} <= set(texts)


def test_a_picture_escapes_and_refuses_what_cannot_be_read():
    a = pb.variable(2.0, '<b>&"\u202e')
    drawn = Ledger((a * a).node, [a.node]).svg()
    assert "<b>" not in drawn
    assert "‹U+202E›" in drawn
    ElementTree.fromstring(drawn)
    x = pb.variable(1.0, "x")
    top = x
    for _ in range(401):
        top = top * 1.01
    with pytest.raises(InputError, match="402 nodes"):
        Ledger(top.node, [x.node]).svg()


def test_a_notebook_gets_the_picture_the_table_and_the_page():
    bundle = seed()._repr_mimebundle_()
    assert bundle["text/html"].startswith("<svg")
    assert 'sandbox="allow-scripts"' in bundle["text/html"]
    assert bundle["text/plain"] == seed().to_text()
    framed = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: framed.append((tag, dict(attributes)))
    parser.feed(bundle["text/html"])
    assert [attributes["srcdoc"] for tag, attributes in framed if tag == "iframe"] == [html_of(seed())]


@pytest.mark.parametrize("seed_", range(20))
def test_the_layout_keeps_distances(seed_):
    rng = np.random.default_rng(seed_)
    count = int(rng.integers(1, 60))
    layers = np.sort(rng.integers(0, 6, count)).tolist()
    edges = [tuple(sorted(rng.choice(count, 2, replace=False).tolist())) for _ in range(2 * count)] if count > 1 else []
    widths = rng.uniform(0.5, 3, count).tolist()
    x = places(layers, edges, widths)
    assert min(x) == 0.0
    for layer in set(layers):
        row = sorted((x[k], widths[k]) for k in range(count) if layers[k] == layer)
        for (a, wide), (b, other) in itertools.pairwise(row):
            assert b - a >= (wide + other) / 2 - 1e-3


def test_a_run_is_drawn_for_papers(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 3))
    pb.fit(pb.nn.MLP([3, 1], seed=0, dtype=float), X, X.sum(axis=1), loss="squared_error", batch_size=16, validation=0,
           epochs=3, progress=False, record=tmp_path / "run")  # fmt: skip
    run = pb.open_run(tmp_path / "run")
    root = ElementTree.fromstring(run.svg())
    tracks = [path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path") if path.get("class") == "track"]
    assert [track.count("L") + 1 for track in tracks] == [len(run), len(run)]
    heights = [float(point.split()[1]) for point in tracks[0][1:].split("L")]
    assert np.argsort(heights)[::-1].tolist() == np.argsort([step.cost for step in run.steps], kind="stable").tolist()


def test_a_long_line_keeps_its_peaks():
    points = [(n, 1.0 + (n == 4_321) - 0.5 * (n == 7_777)) for n in range(10_000)]
    thinned = _thinned(points)
    assert len(thinned) <= 600
    assert {(4_321, 2.0), (7_777, 0.5)} <= set(thinned)


def test_largest_paths_between_arrays_are_walked_where_that_is_a_moment():
    def chain(x, rounds):
        s = 0.0
        for k in range(rounds):
            s = np.sin(s + x[k % 5])
        return s

    for rounds, shown in ((40, 12), (230, 0)):
        book = pb.explain(lambda x, rounds=rounds: chain(x, rounds), np.ones(5))
        (told,) = columns(book)["paths"]
        assert told["count"] == str(rounds)
        assert int(told["walks"]) == sum(len(path.edges) for path in book.paths().all())
        assert (int(told["walks"]) > 50_000) == (shown == 0)
        assert len(told["largest"]) == shown
