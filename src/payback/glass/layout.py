"""Where nodes stand in a picture: rows by their distance to the top, places in a row by those they are tied to.

Source: Sugiyama, Tagawa & Toda, Methods for Visual Understanding of Hierarchical System Structures (1981): order by
barycentres; then each row takes the places nearest to its neighbours' that keep the order and the distance, which is
isotonic regression (pool adjacent violators).  An edge over several rows holds a narrow place free in those between.
"""

from __future__ import annotations

from collections.abc import Sequence

SWEEPS = 4
LANE = 0.25  # of the narrowest node: the place that an edge keeps free where it passes a row
MOST_LANES = 2  # for each node, unless more are asked for: beyond that edges pass behind nodes


def places(
    layers: Sequence[int], edges: Sequence[tuple[int, int]], widths: Sequence[float] | None = None
) -> list[float]:
    """The x of every node's middle, the least 0; nodes of a row are at least half their widths' sum apart.

    layers: the row of each node.  edges: pairs of nodes.  widths: 1 each unless given.

    >>> places([0, 1, 1, 2, 2], [(0, 1), (0, 2), (1, 3), (1, 4), (2, 4)])
    [0.75, 0.25, 1.25, 0.0, 1.0]
    """
    return routed(layers, edges, widths)[0]


def routed(
    layers: Sequence[int],
    edges: Sequence[tuple[int, int]],
    widths: Sequence[float] | None = None,
    most: int = MOST_LANES,
) -> tuple[list[float], dict[tuple[int, int], list[tuple[int, float]]]]:
    """The same, and for each edge (upper, lower) the rows that it passes between its ends with its x there.

    most: rows that edges may pass for each node, in the mean; beyond that none is told.

    >>> routed([0, 1, 2], [(0, 1), (1, 2), (0, 2)])[1]
    {(0, 2): [(1, 0.625)]}
    """
    real = len(layers)
    width = [1.0] * real if widths is None else list(widths)
    layers, edges, lanes = _with_lanes(layers, edges, most)
    count = len(layers)
    width += [LANE * min(width, default=1.0)] * (count - real)
    ties: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        if layers[a] != layers[b]:
            ties[a].append(b)
            ties[b].append(a)
    rows: dict[int, list[int]] = {}
    for node, layer in enumerate(layers):
        rows.setdefault(layer, []).append(node)
    levels = sorted(rows)
    x = [0.0] * count
    for row in rows.values():
        _spread(row, [0.0] * len(row), width, x)
    for turn in range(2 * SWEEPS):
        down = turn % 2 == 0
        for layer in levels if down else reversed(levels):
            row = rows[layer]
            wish: dict[int, float] = {}
            for node in row:
                near = [x[tie] for tie in ties[node] if (layers[tie] < layer) == down] or [x[tie] for tie in ties[node]]
                wish[node] = sum(near) / len(near) if near else x[node]
            if turn < 2 * SWEEPS - 2 and len(row) > 1:
                row.sort(key=lambda node: wish[node])  # stable: equal wishes keep their order
            _spread(row, [wish[node] for node in row], width, x)
    least = min(x[:real], default=0.0)
    at = [round(place - least, 4) for place in x]
    return at[:real], {edge: [(layers[lane], at[lane]) for lane in passed] for edge, passed in lanes.items()}


def _with_lanes(
    layers: Sequence[int], edges: Sequence[tuple[int, int]], most: int
) -> tuple[Sequence[int], Sequence[tuple[int, int]], dict[tuple[int, int], list[int]]]:
    """The graph with a node of its own wherever an edge passes a row, and which these are."""
    levels = sorted(set(layers))
    rank = {layer: k for k, layer in enumerate(levels)}
    spans = [(min(a, b, key=lambda node: rank[layers[node]]), max(a, b, key=lambda node: rank[layers[node]]))
             for a, b in dict.fromkeys(edges)]  # fmt: skip
    if sum(max(0, rank[layers[b]] - rank[layers[a]] - 1) for a, b in spans) > most * len(layers):
        return layers, edges, {}
    every, pieces, lanes = list(layers), [], {}
    for a, b in spans:
        last, first = a, len(every)
        for k in range(rank[layers[a]] + 1, rank[layers[b]]):
            every.append(levels[k])
            pieces.append((last, len(every) - 1))
            last = len(every) - 1
        pieces.append((last, b))
        if first < len(every):
            lanes[a, b] = [*range(first, len(every))]
    return every, pieces, lanes


def _spread(row: Sequence[int], wish: Sequence[float], width: Sequence[float], x: list[float]) -> None:
    """The places nearest to the wishes (least squares) at which the row keeps its order and its distances."""
    if len(row) <= 2:  # as in most of a long loop: the same in fewer steps
        x[row[0]] = wish[0]
        if len(row) == 2:
            apart = (width[row[0]] + width[row[1]]) / 2
            first, second = wish[0], wish[1] - apart
            if first >= second:
                first = second = (first + second) / 2
            x[row[0]], x[row[1]] = first, second + apart
        return
    offset, at = [], 0.0
    for k, node in enumerate(row):
        at += (width[row[k - 1]] + width[node]) / 2 if k else 0.0
        offset.append(at)
    blocks: list[list[float]] = []  # [sum of wishes less offsets, how many]
    for want, shift in zip(wish, offset, strict=True):
        blocks.append([want - shift, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, many = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += many
    k = 0
    for total, many in blocks:
        for _ in range(int(many)):
            x[row[k]] = total / many + offset[k]
            k += 1
