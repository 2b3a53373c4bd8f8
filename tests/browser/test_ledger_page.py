"""The page of a ledger: what it shows is what the engine computed, in every view, at every event."""

from __future__ import annotations

import functools
import json
import linecache
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest

import payback as pb
from glass.test_dags import random_dag
from payback.cli.explain import evaluate
from payback.cli.expression import parse
from payback.glass.ledger import Ledger, Settles
from payback.glass.page import Written, columns, html_of, write

from .conftest import WIDTHS


def seed_ledger() -> Ledger:
    a, b = pb.variable(2.0, "a"), pb.variable(1.0, "b")
    c = a + b
    d = b + 1
    e = c * d
    return Ledger(e.node, [a.node, b.node], {c.node: "c", d.node: "d", e.node: "e"})


@pytest.fixture(scope="module")
def seed(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("pages") / "seed.html", html_of(seed_ledger()))


def of_expression(text: str, values: dict[str, float]) -> tuple[Ledger, str]:
    program = parse(text)
    sheet = evaluate(program, values)
    ledger = Ledger(sheet.top, sheet.variables, sheet.names)
    return ledger, html_of(ledger, text, Written(program.text, sheet.spans))


def test_no_label_of_an_edge_lies_on_another(visit, tmp_path):
    a, b = pb.variable(np.eye(3), "a"), pb.variable(np.ones((3, 3)), "b")
    y = np.sum(np.maximum(a @ b, 0.0) @ (b @ a))
    page = visit(write(tmp_path / "page.html", html_of(Ledger(y.node, [a.node, b.node]))))
    labels = page.locator(".graph .partial")
    boxes = labels.evaluate_all(
        "all => all.map(e => e.getBBox()).map(b => ({x: b.x, y: b.y, width: b.width, height: b.height}))"
    )  # of the letters, without the ground that is drawn around them
    assert labels.all_text_contents().count("the other argument") == 6
    for i, one in enumerate(boxes):
        for two in boxes[:i]:
            assert apart(one, two)


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_stay_in_their_cells_and_boxes(visit, tmp_path, width):
    def loss(a_rather_long_name_for_a_parameter, the_name_of_another_parameter):
        the_product_of_the_two = a_rather_long_name_for_a_parameter @ the_name_of_another_parameter
        return np.sum(the_product_of_the_two * 1.2345678)

    page = visit(write(tmp_path / "page.html", html_of(pb.explain(loss, np.eye(3), np.ones((3, 40))))), width=width)
    outside = """all => all.filter(([outer, inner]) => {
        const o = outer.getBoundingClientRect(), i = inner.getBoundingClientRect();
        return i.left < o.left - 1 || i.right > o.right + 1;
    }).map(([, inner]) => inner.textContent)"""
    for outer, inner in ((".book tbody th", ".link"), (".graph .node", "text")):
        holder = "o" if inner == ".link" else "o.querySelector('rect')"
        found = f"[...o.querySelectorAll('{inner}')].map(i => [{holder}, i])"
        pairs = f"[...document.querySelectorAll('{outer}')].flatMap(o => {found})"
        assert page.evaluate(f"{pairs}.length") > 3
        assert page.evaluate(f"({outside})({pairs})") == []


def apart(one, two):
    beside = one["x"] + one["width"] <= two["x"] or two["x"] + two["width"] <= one["x"]
    return beside or one["y"] + one["height"] <= two["y"] or two["y"] + two["height"] <= one["y"]


def test_no_label_of_an_edge_lies_on_a_box(visit, tmp_path):
    x, y = pb.variable(np.ones(3), "x"), pb.variable(np.ones(3), "y")
    page = visit(
        write(tmp_path / "page.html", html_of(Ledger((np.log(x) * y + np.sqrt(x)).sum().node, [x.node, y.node])))
    )
    labels, boxes = (
        [part.bounding_box() for part in page.locator(f".graph {kind}").all()] for kind in (".partial", ".node rect")
    )
    assert (len(labels), len(boxes)) == (7, 7)
    assert all(apart(label, box) for label in labels for box in boxes)


CROSSED = """lines => {
    const nodes = [...document.querySelectorAll(".graph .node")];
    const at = nodes.map(n => n.transform.baseVal.consolidate().matrix);
    const boxes = nodes.map(n => n.querySelector("rect").getBBox());
    return lines.flatMap(line => {
        const length = line.getTotalLength(), steps = Math.ceil(length / 2);
        return [...Array(steps - 1).keys()].map(k => line.getPointAtLength((k + 1) * length / steps)).flatMap(p =>
            boxes.map((b, i) => [p.x - at[i].e - b.x, p.y - at[i].f - b.y, b]).filter(([x, y, b]) =>
                x > 1 && x < b.width - 1 && y > 1 && y < b.height - 1));
    }).length;
}"""


@pytest.mark.parametrize("seed", range(3))
def test_no_edge_passes_behind_a_box(visit, tmp_path, seed):
    def residual(x, *weights):
        for w in weights:
            x = x + np.tanh(x * w) * x
        return x * weights[0]

    def drawn(*leaves):
        rng, values = np.random.default_rng(seed), list(leaves)
        for _ in range(20):
            i, j = rng.integers(0, len(values), 2)
            values.append(values[i] * values[j] if rng.random() < 0.5 else np.sin(values[i]) + values[j])
        return sum(values)

    book = pb.explain(drawn if seed else residual, *(0.1 * k for k in range(1, 6)))
    page = visit(book.html(tmp_path / "page.html"), width=1600)
    page.locator(".graph-bar select").select_option("none")
    lines = page.locator(".graph .edge .line")
    assert lines.count() > 20
    assert lines.evaluate_all(CROSSED) == 0


def test_folded_boxes_lie_close_together(visit, tmp_path):
    def chain(x, y):
        for _ in range(200):
            x = x * 0.99 + y * np.sin(x)
        return x

    page = visit(pb.explain(chain, 1.0, 0.5).html(tmp_path / "page.html"), width=1600)
    assert page.locator(".node").count() == 4
    for node in page.locator(".node").all():
        assert node.bounding_box()["x"] >= page.locator(".graph-frame").bounding_box()["x"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_screen_asks_and_one_click_answers(visit, seed, width):
    page = visit(seed, width=width)
    question = page.locator(".question")
    assert question.inner_text() == "b is owed 5 — why?"
    question.click()
    rows = [row.inner_text().split() for row in page.locator(".book tbody tr").all()]
    assert rows == [["b", "c", "2", "1", "2", "2"], ["d", "3", "1", "3", "5"]]
    told = page.locator(".answer").inner_text()
    assert told == "b is owed 5 = 2 (from c) + 3 (from d). If b grows a little, e changes 5 times as much."
    for answer in (page.locator(".answer"), page.locator('.node[data-node="1"]')):
        box = answer.bounding_box()
        assert box["y"] >= 0
    assert page.locator(".answer").bounding_box()["y"] < 400  # seen without scrolling
    assert page.locator(".edge.due").count() == 2


def test_every_event_shows_the_engines_partial_sums(visit, seed):
    ledger = seed_ledger()
    page = visit(seed, "#step=-1")
    assert page.locator(".told").inner_text() == "Nothing has been paid yet."
    received: dict[str, list[float]] = {}
    settled: dict[str, float] = {}
    for event in ledger.events:
        page.keyboard.press("ArrowRight")
        if isinstance(event, Settles):
            assert not [e for e in ledger.pile(event.account) if e.payer.name not in settled], (
                "a pile that is not complete"
            )
            settled[event.account.name] = event.account.settled
        else:
            assert event.edge.payer.name in settled
            received.setdefault(event.edge.arg.name, []).append(event.edge.paid)
        for account in ledger.nodes:
            text = page.locator(f'.node[data-node="{ledger.nodes.index(account)}"] .owed').text_content()
            if account.name in settled:
                assert text == f"{settled[account.name]:g}"
            elif account.name in received:
                assert text == "(" + "+".join(f"{x:g}" for x in received[account.name]) + ")"
            else:
                assert text == "·"
    assert page.locator(".told").inner_text() == "b settles 2+3 = 5"


def test_piles_and_paths_of_random_graphs(visit, seed):
    """200 graphs: at every event the page's piles are the engine's; brute force in the page = counts = gradients."""
    page = visit(seed)
    for number in range(200):
        leaves, nodes, _ = random_dag(number)
        ledger = Ledger(nodes[-1], leaves)
        data = json.loads(json.dumps({"kind": "ledger", "title": "", **columns(ledger)}))
        found = page.evaluate(
            """data => {
                const book = new payback.Book(data), { partial } = data.edges;
                const piles = book.events.map((_, now) => data.nodes.name.map((_, n) => book.sum(book.pile(n, now))));
                const walks = data.leaves.map(leaf => payback.walksTo(book, leaf, Infinity));
                return { events: book.events, piles, walks,
                         products: walks.map(paths => paths.map(path => path.reduce((t, e) => t * partial[e], 1))) };
            }""", data,
        )  # fmt: skip
        index = {account: k for k, account in enumerate(ledger.nodes)}
        edges = {edge: k for k, edge in enumerate(ledger.edges)}
        sums: list[float | None] = [None] * len(index)
        assert len(found["events"]) == len(ledger.events)
        for event, shown, piles in zip(ledger.events, found["events"], found["piles"], strict=True):
            if isinstance(event, Settles):
                assert shown == {"node": index[event.account], "edge": -1}
                assert event.account is ledger.top or sums[index[event.account]] == event.account.settled
            else:
                assert shown == {"node": index[event.edge.payer], "edge": edges[event.edge]}
                at = index[event.edge.arg]
                sums[at] = event.edge.paid if sums[at] is None else sums[at] + event.edge.paid
            assert piles == sums
        assert data["race"]["paths"] == str(sum(map(len, found["walks"])))
        assert data["race"]["walks"] == str(sum(len(path) for paths in found["walks"] for path in paths))
        assert data["race"]["visits"] == len(ledger.edges)
        for leaf, products, paths in zip(ledger.leaves, found["products"], data["paths"], strict=True):
            assert paths["count"] == str(len(products))
            if products:
                gross = math.fsum(map(abs, products))
                assert leaf.settled == pytest.approx(math.fsum(products), abs=1e-12 * gross)
                assert paths["gross"] == pytest.approx(gross, rel=1e-12)
                largest = [abs(path["product"]) for path in paths["largest"]]
                assert largest == sorted(map(abs, products), reverse=True)[: len(largest)]
                assert len(largest) == min(len(products), 12)


def test_a_link_opens_the_same_picture(visit, seed):
    page = visit(seed, "#step=7&node=b")
    again = visit(seed, re.search("#.*", page.url)[0])
    for where in (page, again):
        assert where.locator(".counter").inner_text() == "Event 8 of 10"
        assert "chosen" in where.locator('.node[data-node="1"]').get_attribute("class")
    assert page.locator(".panes").inner_html() == again.locator(".panes").inner_html()


def test_the_race(visit, seed):
    page = visit(seed, "#view=race", reduced_motion="reduce")
    page.locator(".race .primary").click()
    assert page.locator('[data-count="collect"]').inner_text() == "3 paths, 6 edges walked / 3 paths, 6 edges walked"
    assert page.locator('[data-count="sweep"]').inner_text() == "5 / 5 edges paid"


def test_the_race_is_exact_beyond_the_numbers_of_the_browser(visit, tmp_path):
    x = pb.variable(1.0001, "x")
    top = x
    for _ in range(200):
        top = top * top
    page = visit(write(tmp_path / "deep.html", html_of(Ledger(top.node, [x.node]))), "#view=race")
    shown = page.locator('[data-count="collect"]').inner_text()
    assert f"{str(2**200)[0]}.{str(2**200)[1:3]}·10^{len(str(2**200)) - 1} paths" in shown


class Model:
    def method(self, a, b):
        return np.sin(a + b) * (a + b) - b


def cell():
    """A function of a notebook's cell: its text is in `linecache`, as IPython leaves it."""
    text, name = "def f(a, b):\n    return (a + b) * (b + 1); 0\n", "<ipython-input-7-0123456789ab>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    found: dict = {}
    exec(compile(text, name, "exec"), found)
    return found["f"]


PLACES = {
    "a notebook's cell": cell(),
    "a lambda inside": lambda a, b: (lambda u, v: u * 2 - v)(a + b, 3) * b,
    "a loop": lambda a, b: functools.reduce(lambda t, _: t * (a + b), range(3), 1.0),
    "three on a line": lambda a, b: (a + b) * (b + 1) - a * b,
    "a method": Model().method,
    "a comprehension": lambda a, b: sum([a + b for _ in range(2)]) * b,
}


@pytest.mark.parametrize("name", PLACES)
def test_the_source_lens_marks_the_very_expression(visit, tmp_path, name):
    ledger = pb.explain(PLACES[name], 2.0, 1.0)
    page = visit(write(tmp_path / "lens.html", html_of(ledger)))
    plus = [k for k, account in enumerate(ledger.nodes) if account.where is not None and account.where.text == "a + b"]
    assert plus
    for k in plus:
        page.locator(f'.node[data-node="{k}"]').hover()
        assert page.locator("mark").first.inner_text() == "a + b"


def test_the_source_lens_in_an_expression_and_at_the_first_nan(visit, tmp_path):
    _, text = of_expression("e=(a+b)*(b+1)", {"a": 2.0, "b": 1.0})
    page = visit(write(tmp_path / "text.html", text))
    page.locator(".node", has_text="c = 3").hover()
    assert page.locator("mark").inner_text() == "a+b"
    with np.errstate(all="ignore"):
        sick = pb.explain(
            lambda x: (np.log(x - 1.0) * x + np.sqrt(x)).sum() if x.shape else np.log(x - 2.0) * x, np.float64(1.0)
        )
    page = visit(write(tmp_path / "nan.html", html_of(sick)))
    assert page.locator("mark.sick").inner_text() == "np.log(x - 2.0)"


def test_paths_that_pay(visit, tmp_path):
    ledger, text = of_expression("(a+b)*(b+1)*a - a*b", {"a": 2.0, "b": 1.0})
    page = visit(write(tmp_path / "paths.html", text), "#view=paths")
    for leaf in ledger.leaves:
        page.locator(".paths select").select_option(label=leaf.name)
        products = sorted((path.product for path in ledger.paths(ledger.top, leaf).all()), key=abs, reverse=True)
        shown = [float(t.replace("−", "-")) for t in page.locator(".route .number").all_inner_texts()]
        assert sorted(shown) == pytest.approx(sorted(products))
        assert page.locator('[data-fact="count"]').inner_text() == str(len(products))
        gross = float(page.locator('[data-fact="gross"]').inner_text())
        assert gross == pytest.approx(sum(map(abs, products)))


def test_what_cancels_is_shown(visit, tmp_path):
    _, text = of_expression("x - x", {"x": 3.0})
    page = visit(write(tmp_path / "cancel.html", text), "#view=paths")
    assert page.locator(".route .number").all_inner_texts() in (["1", "−1"], ["−1", "1"])
    assert page.locator('[data-fact="net"]').inner_text() == "0"
    assert page.locator('[data-fact="kappa"]').inner_text() == "∞"


def test_what_if(visit, seed):
    page = visit(seed, "#view=whatif")
    page.locator('input[data-leaf="b"]').fill("1.1")
    assert page.locator('[data-fact="predicted"]').inner_text() == "6.5"
    assert page.locator('[data-fact="truth"]').inner_text() == "6.51"
    page.get_by_role("button", name="e → c").focus()
    page.keyboard.press("Enter")
    assert page.locator('[data-without="a"]').inner_text() == "–"
    assert page.locator('[data-without="b"]').inner_text() == "3"
    page.get_by_role("button", name="mend all edges").click()
    assert page.locator('[data-without="b"]').inner_text() == "5"


def random_expression(rng: random.Random, depth: int) -> str:
    if depth == 0 or rng.random() < 0.12:
        return rng.choice(["a", "b", "c", f"{rng.uniform(0.1, 3):.3f}", str(rng.randint(1, 4))])
    part = lambda: random_expression(rng, depth - 1)  # noqa: E731
    kind = rng.choice(["binary"] * 4 + ["call"] * 3 + ["power", "choice"])
    if kind == "binary":
        return f"({part()}{rng.choice(['+', '-', '*', '/'])}{part()})"
    if kind == "power":
        return f"(abs({part()})+0.5)**{rng.choice(['2', '3', '0.5', '(-1)', 'a'])}"
    if kind == "choice":
        return f"{rng.choice(['max', 'min'])}({part()},{part()})"
    call = rng.choice(["sin", "cos", "tanh", "sigmoid", "softplus", "relu", "abs"])
    return rng.choice(
        [f"{call}({part()})", f"log(abs({part()})+1)", f"sqrt(abs({part()})+0.1)", f"exp(tanh({part()}))"]
    )


def test_the_pages_arithmetic_is_pythons(visit, seed):
    """500 expressions evaluated at other values: to 1e-12 of the largest value on the way."""
    page, rng, done = visit(seed), random.Random(1), 0
    while done < 500:
        text = random_expression(rng, 4)
        try:
            program = parse(text)
            values = {name: rng.uniform(-2, 2) for name in program.inputs}
            others = {name: rng.uniform(-2, 2) for name in program.inputs}
            if not values:
                continue
            sheet, moved = evaluate(program, values), evaluate(program, others)
        except pb.errors.PaybackError:
            continue
        data = json.loads(
            json.dumps({"kind": "ledger", "title": text, **columns(Ledger(sheet.top, sheet.variables, sheet.names))})
        )
        changed = [[data["nodes"]["name"].index(name), value] for name, value in others.items()
                   if name in data["nodes"]["name"]]  # fmt: skip
        found = page.evaluate(
            "([data, changed]) => { const book = new payback.Book(data);"
            " return payback.evaluate(book, new Map(changed))[data.top]; }", [data, changed],
        )  # fmt: skip
        size = max([1.0, *(abs(value) for _, _, value in moved.lines)])
        assert math.isclose(found, float(moved.top.value), rel_tol=1e-12, abs_tol=1e-12 * size), text
        done += 1


MALICIOUS = [
    "</script><script>window.bad=1</script>",
    "<img src=x onerror=window.bad=1>",
    "\u202eevil\u2066",
    "x" * 10_000,
]


def test_names_stay_text(visit, tmp_path):
    names = [pb.variable(1.0 + k, name) for k, name in enumerate(MALICIOUS)]
    top = names[0] * names[1] + names[2] * names[3]
    ledger = Ledger(top.node, [n.node for n in names])
    for view in ("ledger", "race", "paths", "whatif"):
        page = visit(write(tmp_path / f"{view}.html", html_of(ledger, MALICIOUS[0])), f"#view={view}", width=390)
        assert page.evaluate("window.bad") is None
        assert page.locator("img").count() == 0
        assert "</script>" in page.locator("h1").inner_text()
        assert "‹U+202E›" in page.locator(".middle").text_content()


def test_a_sandboxed_frame_and_the_keyboard_alone(visit, seed, tmp_path):
    frame = tmp_path / "frame.html"
    source = seed.read_text().replace("&", "&amp;").replace('"', "&quot;")
    frame.write_text(
        '<!doctype html><p class="top">outside</p><iframe sandbox="allow-scripts" width="900" height="700" '
        f'srcdoc="{source}"></iframe>'
    )
    page = visit(frame)
    inner = page.frame_locator("iframe")
    inner.locator(".question").wait_for()
    inner.locator(".question").focus()
    page.keyboard.press("Enter")
    assert inner.locator(".book tbody tr").count() == 2
    page.keyboard.press("Escape")
    page.keyboard.press("Home")
    assert inner.locator(".told").inner_text() == "Nothing has been paid yet."
    page.keyboard.press("/")
    page.keyboard.type("c")
    page.keyboard.press("Enter")
    assert "chosen" in inner.locator('.node[data-node="2"]').get_attribute("class")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["ledger", "race", "paths", "whatif"])
def test_both_languages_and_shades(visit, seed, width, view):
    page = visit(seed, f"#view={view}&lang=zh", width=width, color_scheme="dark", reduced_motion="reduce")
    assert page.locator(".question").inner_text() == "b 应得 5 — 为什么？"
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    page.get_by_role("button", name="English").click()
    assert page.locator(".question").inner_text() == "b is owed 5 — why?"


def test_a_hundred_thousand_nodes_open_folded(visit, tmp_path):
    def f(x):
        total = x[0] * 0.0
        for k in range(16_800):
            total = np.sin(total + x[k % 5]) * 0.5 + x[(k + 1) % 5]
        return total

    x = [pb.variable(0.1 * k, f"x{k}") for k in range(5)]
    ledger = Ledger(f(x).node, [v.node for v in x])
    assert len(ledger.nodes) >= 100_000
    file = write(tmp_path / "large.html", html_of(ledger))
    page = visit(file)
    boxes = page.locator(".node").count()
    assert 2 <= boxes < 40  # lines of code, folded
    page.locator("input.search").fill("x3")
    page.keyboard.press("Enter")
    assert page.locator(".chosen").count() == 1
    shown = page.locator(".node").count()  # only the debts of x3, and what is near
    assert 2 < shown <= 61
    page.keyboard.press("Escape")
    assert page.locator(".node").count() == boxes
    page.locator(".graph-bar select").select_option("functions")
    assert page.locator(".node").count() < boxes
    page.locator(".node.box").first.focus()
    smallest = 1_000_000
    while smallest > 1:  # a box of many opens into boxes of fewer, down to nodes; the smallest is opened each time
        labels = page.locator(".node.box").evaluate_all("boxes => boxes.map(box => box.getAttribute('aria-label'))")
        sizes = [int(label.split()[4]) for label in labels]
        plain, boxes = page.locator(".node:not(.box)").count(), len(sizes)
        assert min(sizes) < smallest
        smallest = min(sizes)
        page.locator(".node.box").nth(sizes.index(smallest)).focus()
        page.keyboard.press("Enter")
        assert boxes + plain < page.locator(".node").count() <= 400
        if page.locator(".node:not(.box)").count() > plain + 1:
            break
    page.locator(".graph-bar select").select_option("none")
    assert page.locator("canvas").count() == 1  # more than can be read is drawn, not written
    page.keyboard.press("Escape")
    again = visit(file, "#step=100&node=x3")
    assert again.locator(".node.chosen .name").text_content().startswith("x3 = ")
    assert again.locator(".counter").inner_text().startswith("Event 101 of ")


def test_a_network_is_folded_by_layers_and_modules(visit, tmp_path):
    net = pb.nn.MLP([3, 5, 4, 2], activation="tanh", seed=0, dtype=float)
    book = pb.explain(lambda net, X: pb.nn.cross_entropy(net(X), np.array([0, 1])), net, np.ones((2, 3)))
    page = visit(write(tmp_path / "net.html", html_of(book)))
    page.locator(".graph-bar select").select_option("layers")
    folded = page.locator(".node.box")
    names = folded.locator(".name").all_text_contents()
    assert sorted(names) == ["layer 1", "layer 2", "layer 3"]
    assert page.locator(".node").count() == 3 + 1 + len(book.leaves)  # and the top
    folded.nth(names.index("layer 2")).focus()
    page.keyboard.press("Enter")
    assert page.locator(".node.box").count() == 2
    page.locator(".graph-bar select").select_option("modules")
    assert page.locator(".node.box .name").all_text_contents() == ["test_ledger_page.py"]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_demo_tells_its_story(visit, tmp_path, width):
    from payback.cli.app import main

    target = tmp_path / "demo.html"
    assert main(["demo", "--no-open", "--html", str(target)]) == 0
    for chapter in range(1, 9):
        for language, count in (("en", 8), ("zh", 8)):
            page = visit(target, f"#chapter={chapter}&lang={language}", width=width)
            assert page.locator(".chapters button").count() == count
            assert page.locator(".figure svg, .figure .panes").count() >= 1
    assert len(target.read_bytes()) < 300_000
