"""Who cannot see the page or use a mouse: every control has a name and shows its focus, texts can be read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import payback as pb
from payback.cli.report import gathered
from payback.glass.page import document, html_of, write


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> Path:
    def f(a, b):
        return (a + b) * (b + 1) + np.log(a - 2)

    with np.errstate(all="ignore"):
        return write(tmp_path_factory.mktemp("access") / "book.html", html_of(pb.explain(f, 2.0, 1.0)))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    rng = np.random.default_rng(0)
    X = rng.standard_normal((64, 5))
    pb.fit(pb.nn.MLP([5, 4, 1], activation="tanh", seed=0, dtype=float), X, X.sum(axis=1), loss="squared_error",
           batch_size=32, validation=0, epochs=2, progress=False, record=folder / "run")  # fmt: skip
    return write(folder / "run.html", document(gathered(pb.open_run(folder / "run"), ("W1[2,1]",))))


VIEWS = [("book", view) for view in ("ledger", "race", "paths", "whatif")] + [
    ("run", view) for view in ("runmap", "curves", "statement", "microscope")
]


@pytest.mark.parametrize(("which", "view"), VIEWS)
def test_what_takes_the_focus_has_a_name_and_shows_it(visit, request, which, view):
    page = visit(request.getfixturevalue(which), f"#view={view}" + ("&node=b" if which == "book" else ""),
                 reduced_motion="reduce")  # fmt: skip
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    for node in tree:
        takes = any(p["name"] == "focusable" and p["value"]["value"] for p in node.get("properties", []))
        if takes and node["role"]["value"] not in ("RootWebArea", "generic", "none"):
            assert node.get("name", {}).get("value", "").strip(), f"a {node['role']['value']} without a name"
    for image in (node for node in tree if node.get("role", {}).get("value") == "image"):
        assert image["name"]["value"].strip()
    seen = []
    for _ in range(200):
        page.keyboard.press("Tab")
        found = page.evaluate(
            """() => {
                const at = document.activeElement;
                if (!at || at === document.body) return null;
                const style = getComputedStyle(at), part = at.querySelector("rect, .line");
                at.dataset.visited = (at.dataset.visited ?? 0) * 1 + 1;
                const box = at.getBoundingClientRect();
                return { again: at.dataset.visited > 1, name: at.outerHTML.slice(0, 90), high: box.height,
                         shown: parseFloat(style.outlineWidth) > 1 && style.outlineStyle !== "none"
                                || part !== null && parseFloat(getComputedStyle(part).strokeWidth) >= 4 };
            }"""
        )
        if found is None or found["again"]:
            break
        assert found["shown"], found["name"]
        assert found["high"] > 0, found["name"]
        seen.append(found["name"])
    assert len(seen) >= 3
    if which == "book":
        assert sum("node" in name for name in seen) >= 6


CONTRAST = """() => {
    const parts = text => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
    const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((t, v, k) => t + v * [0.2126, 0.7152, 0.0722][k], 0);
    const ground = element => {
        for (let at = element; at; at = at.parentElement) {
            const box = at.matches(".node") ? at.querySelector("rect") : null;
            const c = parts(box ? getComputedStyle(box).fill : getComputedStyle(at).backgroundColor);
            if (c[3] > 0.99) return c;
        }
        return [255, 255, 255, 1];
    };
    const found = [];
    const walk = document.createTreeWalker(document.getElementById("page"), NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const at = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || at.closest("[hidden], option, title, desc, .walked")) continue;
        if (!at.getClientRects().length) continue;
        const style = getComputedStyle(at), svg = at instanceof SVGElement;
        const a = light(parts(svg ? style.fill : style.color)), b = light(ground(at));
        found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walk.currentNode.data.slice(0, 40)]);
    }
    return found;
}"""


@pytest.mark.parametrize(("which", "view"), VIEWS)
def test_texts_stand_out_from_their_ground(visit, request, which, view):
    page = visit(request.getfixturevalue(which), f"#view={view}" + ("&node=b" if which == "book" else ""),
                 reduced_motion="reduce")  # fmt: skip
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = page.evaluate(CONTRAST)
        assert len(found) > 10
        for contrast, text in found:
            assert contrast >= 4.5, f"{text!r} has a contrast of {contrast:.2f} in the {scheme}"


def test_the_keyboard_alone(visit, book, run):
    page = visit(book)
    page.get_by_role("tab", name="Ledger").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "The race"
    assert page.evaluate("document.activeElement.textContent") == "The race"
    page.get_by_role("button", name="中文").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "English"  # the focus stays where it was
    assert page.get_by_role("tab", selected=True).inner_text() == "赛跑"
    page = visit(book, "#step=3")
    for _ in range(2):  # each language once
        page.locator(".switches button").first.click()
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    assert page.locator(".counter").inner_text().startswith("Event 5 of")  # one event, however often it was drawn
    page = visit(run)
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.locator(".runmap .told").inner_text().startswith("layers[0].bias · step 2 ·")
    page.keyboard.press("Enter")
    assert page.get_by_role("tab", selected=True).inner_text() == "Step microscope"
    assert page.locator(".microscope input[type=number]").input_value() == "2"
    assert re.search("#view=microscope&step=2$", page.url)


def test_a_printed_page_has_no_controls(visit, book):
    page = visit(book)
    page.emulate_media(media="print")
    assert not page.locator(".scrubber").is_visible()
    assert not page.locator(".question").is_visible()
    assert page.locator(".graph svg").is_visible()
    assert page.locator(".book").is_visible()
