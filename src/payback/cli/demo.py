"""`payback demo`: the small graph, "b is owed 5: why?", and the story of back propagation in seven steps, as a page."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np

from payback import nn
from payback.cli.explain import evaluate
from payback.cli.expression import parse
from payback.cli.options import Out
from payback.cli.pages import show_page
from payback.glass.ledger import Ledger
from payback.glass.page import Written, columns, document
from payback.optim.minimize import minimize
from payback.optim.optimizers import GradientDescent
from payback.optim.surface import surface
from payback.train.fit import fit

EXPRESSION, GIVEN = "e=(a+b)*(b+1)", {"a": 2.0, "b": 1.0}


def demo(*, html: str | None = None, open: bool = True, out: Out) -> None:
    """Open the story of back propagation as a page: one line of code, its graph, and "b is owed 5: why?".

    Eight short chapters in English and Chinese, from fitting a line to paying back the debts. Everything in them is
    computed by payback while the page is made. The page is one file that needs no network.

    Parameters
    ----------
    html
        Where to write the page. By default in a new private temporary folder; the path is printed.
    open
        Open it in the browser.
    """
    target = show_page(document(story()), html, open and not out.json, "demo.html")
    if out.json:
        out.result({"payback": "demo", "page": str(target)})
    else:
        out.line(str(target))


def story() -> dict[str, Any]:
    """The chapters, with figures of what the engine computes."""
    sheet = evaluate(parse(EXPRESSION), GIVEN)
    ledger = Ledger(sheet.top, sheet.variables, sheet.names)
    seed = {"kind": "ledger", "title": EXPRESSION, **columns(ledger, Written(EXPRESSION, sheet.spans))}
    owed, race = ledger.settled("b"), ledger.race()
    partials = {f"{edge.payer.name}{edge.arg.name}": edge.partial for edge in ledger.edges}
    path_texts = {
        leaf: " + ".join(
            "·".join(f"{factor:g}" for factor in path.factors) for path in ledger.paths(ledger.top, leaf).all()
        )
        for leaf in ("a", "b")
    }
    line, steps = _line()
    return {
        "kind": "story",
        "title": "e = (a + b) * (b + 1)",
        "chapters": [
            _chapter(
                f"b is owed {owed:g}: why?", f"b 应得 {owed:g}：为什么？",
                [(f"One line of code, e = (a + b) * (b + 1), at a = 2 and b = 1. Its result is "
                  f"{ledger.top.value:g}. If b grows a little, "
                  f"the result grows {owed:g} times as much. Who paid that? Click.",
                  f"一行代码 e = (a + b) * (b + 1)，取 a = 2、b = 1，结果是 {ledger.top.value:g}。b 增加一点点，结果的增量就是它的 {owed:g} 倍。"
                  "这笔账是谁付的？点一下看看。")],
                {"kind": "ledger", "data": seed, "view": "question"},
            ),
            _chapter(
                "Learning is fitting", "学习就是拟合",
                [("Given sample points, find the curve that explains how they vary. For y = k·x + b the unknowns "
                  "are k and b.",
                  "给定样本点，求能解释其变化的曲线。对 y = k·x + b，未知数是 k 和 b。"),
                 (f"Gradient descent from a poor line, after {', '.join(map(str, steps))} epochs. The last one "
                  f"has k = {_signed(line[-1][0])} and b = {_signed(line[-1][1])}; "
                  "the points were made with k = 2 and b = −1 and some noise.",
                  f"从一条很差的直线开始做梯度下降，图中是经过 {'、'.join(map(str, steps))} 轮的直线。最后一条的 k = {_signed(line[-1][0])}，"
                  f"b = {_signed(line[-1][1])}；样本点由 k = 2、b = −1 加上一些噪声生成。")],
                {"kind": "line", "points": _points().tolist(), "lines": line, "labels": [f"{n}" for n in steps]},
            ),
            _chapter(
                "A network is a composite function", "网络是复合函数",
                [("A multilayer network is a function of functions; the weights W between neighbouring layers "
                  "are its unknowns. "
                  "With enough of them it follows any curve: here 1-8-8-1 with tanh, trained on samples of sin(3x).",
                  "多层网络就是函数套函数；相邻两层之间的权重 W 是未知数。只要数量足够，它可以逼近任何曲线：这里是 1-8-8-1 的 tanh 网络，"
                  "用 sin(3x) 的样本训练。")],
                _curve(),
            ),
            _chapter(
                "The cost surface", "代价曲面",
                [("A cost function says which parameters are good. It is a composite function of all weights, "
                  "and not convex: "
                  "it has many local minima. This one has two unknowns; the rings are its minima, deep is dark.",
                  "代价函数衡量一组参数的好坏。它是所有权重的复合函数，而且不是凸函数：有许多局部极小值。这个例子只有两个未知数；"
                  "圆环标出极小值，颜色越暗，代价越低。")],
                _surface(descents=0),
            ),
            _chapter(
                "Descent", "下降",
                [("An initial point, the gradient there, a step along the negative gradient, again, until the "
                  "cost converges. "
                  "Where one arrives depends on where one starts: four starts, on the same surface.",
                  "取一个初始点，求该处的梯度，沿负梯度方向走一步，如此反复，直到代价收敛。走到哪里取决于从哪里出发：图中是同一曲面上的四个起点。")],
                _surface(descents=4),
            ),
            _chapter(
                "Edges and paths", "边与路径",
                [(f"On every edge stands the partial derivative between neighbours: ∂e/∂c = d = "
                  f"{partials['ec']:g}, ∂e/∂d = c = {partials['ed']:g}, all others 1. "
                  "The derivative of the top by a lower node is the sum over all paths of the product of the partials:",
                  f"每条边上标着相邻节点之间的偏导数：∂e/∂c = d = {partials['ec']:g}，∂e/∂d = c = {partials['ed']:g}，其余都是 1。"
                  f"顶层节点对下层节点的导数，等于各条路径上偏导数之积的总和："),
                 (f"∂e/∂a = {path_texts['a']} = {ledger.settled('a'):g},  ∂e/∂b = {path_texts['b']} = {owed:g}.",) * 2],
                {"kind": "ledger", "data": seed, "view": "paths"},
            ),
            _chapter(
                "The race", "赛跑",
                [(f"Path by path is redundant: {race.paths} paths are {race.walks} walks, and the edge between c "
                  f"and e is walked twice. "
                  f"Paying back visits each of the {race.visits} edges once. With tens of thousands of weights "
                  f"the difference is astronomical: "
                  f"{_astronomical()}.",
                  f"逐条路径去算是冗余的：{race.paths} 条路径要走 {race.walks} 次边，其中 c 与 e 之间的边走了两次。还债时，{race.visits} 条边各经过一次。"
                  f"有数万个权重时，差别是天文数字：{_astronomical(chinese=True)}。")],
                {"kind": "ledger", "data": seed, "view": "race"},
            ),
            _chapter(
                "The debts", "还债",
                [("An arrow c → e means that e owes c. Instead of a and b each going to collect, e pays "
                  "actively: the top starts with 1, "
                  "pays c and d, they pile up what they are paid, settle, and pass it on. Play it.",
                  "箭头 c → e 表示 e 欠 c 的债。不必让 a 和 b 各自上门讨债，而是由 e 主动偿还：顶层节点从 1 开始，付给 c 和 d；"
                  "它们把收到的累加起来，结清，再继续往下付。播放看看。"),
                 ("Then ask what your own function owes: payback explain FILE.py:function --html page.html",
                  "然后看看你自己的函数欠了什么：payback explain FILE.py:function --html page.html")],
                {"kind": "ledger", "data": seed, "view": "ledger"},
            ),
        ],
    }  # fmt: skip


def _chapter(
    english: str, chinese: str, paragraphs: list[tuple[str, ...]], figure: dict[str, Any]
) -> dict[str, Any]:  # fmt: skip
    return {
        "title": {"en": english, "zh": chinese},
        "text": [{"en": pair[0], "zh": pair[1]} for pair in paragraphs],
        "figure": figure,
    }


def _signed(x: float) -> str:
    return f"{x:.3f}".replace("-", "−")


def _points() -> Any:
    generator = np.random.default_rng(7)
    x = np.linspace(-1.0, 1.0, 25)
    return np.stack([x, 2.0 * x - 1.0 + 0.25 * generator.standard_normal(25)], axis=1).round(6)


def _line() -> tuple[list[list[float]], list[int]]:
    """Slope and height after some numbers of epochs."""
    points, steps = _points(), [0, 1, 3, 10, 100]
    found = []
    for epochs in steps:
        net = nn.MLP([1, 1], seed=3, dtype=float)
        run = fit(net, points[:, :1], points[:, 1], optimizer=GradientDescent(0.2), batch_size="all", validation=0,
                  epochs=epochs, progress=False)  # fmt: skip
        low, high = (float(run.net(np.array([[x]]))[0, 0]) for x in (0.0, 1.0))
        found.append([high - low, low])
    return found, steps


def _curve() -> dict[str, Any]:
    x = np.linspace(-1.5, 1.5, 60)[:, None]
    y = np.sin(3.0 * x)
    net = nn.MLP([1, 8, 8, 1], activation="tanh", seed=0, dtype=float)
    run = fit(net, x, y, optimizer=GradientDescent(line_search=True), batch_size="all", validation=0, epochs=600,
              progress=False)  # fmt: skip
    return {
        "kind": "curve",
        "points": np.concatenate([x[::2], y[::2]], axis=1).round(6).tolist(),
        "curve": np.concatenate([x, run.net(x)], axis=1).round(6).tolist(),
    }


def _cost(w: Any) -> Any:
    return 0.2 * (w[0] ** 2 + w[1] ** 2) + np.sin(2.0 * w[0]) * np.cos(1.5 * w[1]) + 0.1 * w[0]


@cache
def _minima() -> list[list[float]]:
    """Where descents from a grid of starts end: every well of the surface has starts in it."""
    found: list[list[float]] = []
    for start in product(np.linspace(-2.5, 2.5, 5), repeat=2):
        place = [float(v) for v in minimize(_cost, np.array(start), step=0.08).x]
        if not any(np.hypot(*(np.array(place) - other)) < 0.05 for other in found):
            found.append(place)
    return found


def _surface(descents: int) -> dict[str, Any]:
    grid = surface(_cost, np.zeros(2), extent=3.0, points=49)
    starts = [np.array(s) for s in ((2.7, 2.4), (-2.6, 2.5), (2.5, -2.6), (0.6, 0.3))]
    ends = [minimize(_cost, start, step=0.08) for start in starts]
    return {
        "kind": "surface",
        "x": grid.axes[0].tolist(),
        "y": grid.axes[1].tolist(),
        "z": grid.costs.T.round(6).tolist(),
        "trails": [np.stack(end.path).round(4)[:200].tolist() for end in ends[:descents]],
        "minima": _minima(),
        "names": ["W₁", "W₂"],
    }


def _astronomical(chinese: bool = False) -> str:
    """The race on a chain of products, 60 squares long."""
    from payback.trace.array import variable

    x = variable(1.0001, "x")
    top = x
    for _ in range(60):
        top = top * top
    race = Ledger(top.node, [x.node]).race()
    if chinese:
        return f"连续平方 60 次，有 {race.paths:,} 条路径，却只有 {race.visits} 条边"
    return f"squaring 60 times over has {race.paths:,} paths and {race.visits} edges"
