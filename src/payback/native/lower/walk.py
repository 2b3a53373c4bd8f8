"""Lines walked from their first entry to the last, where the order is part of the result: products, and the places of
the largest and smallest entries, of all or of those so far (cumprod; running extremes); and sums so far (cumsum)."""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT, INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold, load, store
from payback.native.lower.pointwise import code_of
from payback.native.planning import layout
from payback.native.planning.layout import View

UNITS: dict[str, tuple[int, float]] = {
    "prod": (1, 1.0),
    "sum": (0, -0.0),
}  # what they start from: −0 + x is x for every x
SIDE_BY_SIDE = 4  # lines, or vectors of a line, that are walked together: each entry waits for the one before it

Values = list[ir.Value]


class _Walk(NamedTuple):
    """What a line is walked for: what is held before the first entry, and after each."""

    e: Emitter
    code: str
    what: str

    def start(self, line: ir.Value, x: ir.Value, lanes: int) -> Values:
        """Where a place is looked for, the first entry: it is no better than itself."""
        if self.what in UNITS:
            whole, real = UNITS[self.what]
            return [constant(pointwise.register_type(self.code, lanes), real if self.code[0] == "f" else whole)]
        return [load(self.e, x, line, self.code, lanes), constant(pointwise.register_type("i8", lanes), 0)]

    def better(self, x: ir.Value, best: ir.Value) -> ir.Value:
        """Whether x is taken instead of what came before: the first of equal ones stays, and so does a NaN."""
        b, largest = self.e.b, self.what == "argmax"
        if self.code == "b1":
            return b.and_(x, b.not_(best)) if largest else b.and_(b.not_(x), best)
        if self.code[0] == "f":
            return b.and_(b.fcmp_unordered(">" if largest else "<", x, best), b.fcmp_ordered("==", best, best))
        return pointwise.compare(self.e, "gt" if largest else "lt", self.code, x, best)

    def sooner(self, a: Values, c: Values) -> Values:
        """Of two entries with their places, the one that is taken: of equal ones that which comes first."""
        b = self.e.b
        first = b.icmp_signed("<", a[1], c[1])
        chosen = b.or_(self.better(a[0], c[0]), b.and_(first, b.not_(self.better(c[0], a[0]))))
        return [b.select(chosen, x, y) for x, y in zip(a, c, strict=True)]

    def step(self, held: Values, x: ir.Value, i: ir.Value, lanes: int) -> Values:
        e, b = self.e, self.e.b
        if self.what in UNITS:
            return [pointwise.emit(e, "mul" if self.what == "prod" else "add", self.code, [held[0], x])]
        chosen = self.better(x, held[0])
        return [b.select(chosen, x, held[0]), b.select(chosen, e.splat(i, lanes), held[1])]


class Walk(NamedTuple):
    """args: x, result, extents (outer…, walked…), strides of x and of the result over them.

    what     "prod", "sum", "argmax" or "argmin"
    source   the dtype of x
    outer    axes of lines, walked: axes that together are a line
    running  whether each entry's result is stored, and not that of the last alone
    beside   whether neighbours along the last outer axis lie side by side
    """

    what: str
    source: str
    code: str
    outer: int
    walked: int
    running: bool
    beside: bool

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        x, result = args.pointer(), args.pointer()
        axes = self.outer + self.walked
        extents = args.ints(axes)
        strides = [args.ints(axes) for _ in range(2)]
        walk, of_result = _Walk(e, self.code, self.what), self.code if self.what in UNITS else "i8"

        def moved(offsets: Values, axis: int, i: ir.Value) -> Values:
            return [b.add(offset, b.mul(i, s[axis])) for offset, s in zip(offsets, strides, strict=True)]

        def lines(starts: list[Values], lanes: int) -> None:
            before = [value for line in starts for value in walk.start(line[0], x, lanes)]
            each = len(before) // len(starts)

            def over(axis: int, at: list[Values], held: Values) -> Values:
                if axis < axes - 1:

                    def further(i: ir.Value, held: Values) -> Values:
                        return over(axis + 1, [moved(line, axis, i) for line in at], held)

                    return fold(e, 0, extents[axis], 1, held, further)

                def body(i: ir.Value, held: Values) -> Values:
                    made: Values = []
                    for k, line in enumerate(at):
                        here = moved(line, axis, i)
                        entry = pointwise.cast(e, load(e, x, here[0], self.source, lanes), self.source, self.code)
                        made += walk.step(held[k * each : k * each + each], entry, i, lanes)
                        if self.running:
                            store(e, made[-1], result, here[1], of_result)
                    return made

                return fold(e, 0, extents[axis], 1, held, body)

            held = over(self.outer, starts, before)
            if not self.running:
                for k, line in enumerate(starts):
                    store(e, held[k * each + each - 1], result, line[1], of_result)

        def around(axis: int, offsets: Values) -> None:
            if axis == self.outer:
                lines([offsets], 1)
            elif axis < self.outer - 1:
                with e.loop(0, extents[axis]) as i:
                    around(axis + 1, moved(offsets, axis, i))
            else:
                done, wide = e.int(0), lanes_of(pointwise.register_type(self.code))
                vectors = [(wide, SIDE_BY_SIDE), (wide, 1)] if self.beside else []
                for lanes, many in (*vectors, (1, SIDE_BY_SIDE), (1, 1)):
                    end = b.and_(extents[axis], e.int(-lanes * many))
                    with e.loop(done, end, lanes * many) as i:
                        lines([moved(offsets, axis, b.add(i, e.int(k * lanes))) for k in range(many)], lanes)
                    done = end

        around(0, [e.int(0)] * 2)
        b.ret(e.int(0))


class LongLines(NamedTuple):
    """The places of the largest or smallest entries of lines whose entries lie side by side, by vectors of them.

    args: x, result, extents (outer…, line), strides of x and of the result over them.
    """

    what: str
    code: str
    outer: int

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        x, result = args.pointer(), args.pointer()
        extents = args.ints(self.outer + 1)
        strides = [args.ints(self.outer + 1) for _ in range(2)]
        lanes, n = lanes_of(pointwise.register_type(self.code)), extents[-1]
        block = lanes * SIDE_BY_SIDE
        number = ir.IntType(8 * int(self.code[1:]))  # a place takes as much room as an entry
        walk = _Walk(e, self.code, self.what)
        steps = ir.Constant(ir.VectorType(number, lanes), [number(k) for k in range(lanes)])

        def places(i: ir.Value) -> ir.Value:
            at = i if number == INT else b.trunc(i, number)
            return b.add(e.splat(at, lanes), steps)

        def vectors(source: ir.Value, i: ir.Value) -> list[Values]:
            at = [b.add(i, e.int(k * lanes)) for k in range(SIDE_BY_SIDE)]
            return [[load(e, x, b.add(source, j), self.code, lanes), places(j)] for j in at]

        def line(source: ir.Value, target: ir.Value) -> None:
            def body(i: ir.Value, held: Values) -> Values:
                made: Values = []
                for k, (entries, here) in enumerate(vectors(source, i)):
                    best, place = held[2 * k : 2 * k + 2]
                    chosen = walk.better(entries, best)
                    made += [b.select(chosen, entries, best), b.select(chosen, here, place)]
                return made

            last = b.sub(n, e.int(block))
            held = fold(e, block, last, block, [v for pair in vectors(source, e.int(0)) for v in pair], body)
            held = body(last, held)  # what is left, and some entries again, which are no better than they were
            best = held[:2]
            for k in range(1, SIDE_BY_SIDE):
                best = walk.sooner(held[2 * k : 2 * k + 2], best)
            parts = [[b.extract_element(v, INT32(lane)) for v in best] for lane in range(lanes)]
            found = parts[0]
            for part in parts[1:]:
                found = walk.sooner(part, found)
            store(e, found[1] if number == INT else b.zext(found[1], INT), result, target, "i8")

        def around(axis: int, offsets: Values) -> None:
            if axis == self.outer:
                line(*offsets)
                return
            with e.loop(0, extents[axis]) as i:
                around(axis + 1, [b.add(o, b.mul(i, s[axis])) for o, s in zip(offsets, strides, strict=True)])

        around(0, [e.int(0)] * 2)
        b.ret(e.int(0))


def lower_prod(planner: Any, node: Node) -> bool:
    x, axes, aval = node.args[0], node.params["axes"], node.aval
    if x.aval.dtype != aval.dtype or code_of(aval.dtype) not in ("f4", "f8", "i8", "i4"):
        return False
    view = planner.view(x)  # first: what reads an allocated result is taken to be ready
    target = planner.allocate(node, aval.dtype, aval.shape)
    _walked(planner, node, "prod", view, axes, _over(target, x.aval.shape, axes))
    return True


def lower_place(planner: Any, node: Node) -> bool:
    """argmax and argmin."""
    x, axis, aval = node.args[0], node.params["axis"], node.aval
    if not _known(x, node):
        return False
    view, target = planner.view(x), planner.allocate(node, aval.dtype, aval.shape)
    if axis is None:
        flat = (x.aval.size,)
        view = layout.reshaped(view, flat) or layout.reshaped(planner.copy(view, x.aval.dtype), flat)
        target = layout.View(target.buffer, target.offset, (), ())
        axis = 0
    axis %= len(view.shape)
    _walked(planner, node, node.op.name, view, (axis,), _over(target, view.shape, (axis,)))
    return True


def lower_running(planner: Any, node: Node) -> bool:
    """Places of the largest or smallest entries so far."""
    if not _known(node.args[0], node) or not node.aval.size:
        return False
    what = "argmax" if node.params["largest"] else "argmin"
    _so_far(planner, node, what, node.params["axis"] % len(node.aval.shape), backwards=False)
    return True


def lower_cumsum(planner: Any, node: Node) -> bool:
    source, code = code_of(node.args[0].aval.dtype), code_of(node.aval.dtype)
    if "f2" in (source, code) and not pointwise.half_is_native():
        return False
    _so_far(planner, node, "sum", node.params["axis"], node.params["backwards"])
    return True


def lower_cumprod(planner: Any, node: Node) -> bool:
    x, aval = node.args[0].aval, node.aval
    if x.dtype != aval.dtype or code_of(aval.dtype) not in ("f4", "f8"):
        return False
    _so_far(planner, node, "prod", node.params["axis"], node.params["backwards"])
    return True


def _so_far(planner: Any, node: Node, what: str, axis: int, backwards: bool) -> None:
    """Lines in the order in which they lie in memory, neighbors last."""
    source, target = planner.view(node.args[0]), planner.allocate(node, node.aval.dtype, node.aval.shape)
    _, views = layout.along([source, target], axis, backwards)
    x, last = views[0], len(views[0].shape) - 1
    order = (*sorted(range(last), key=lambda a: -abs(x.strides[a])), last)
    strides = [tuple(view.strides[a] for a in order) for view in views]
    extents, moves, kinds = layout.collapsed([x.shape[a] for a in order], strides, "k" * last + "r")
    if "r" not in kinds:
        extents, moves = [*extents, 1], [[*move, 0] for move in moves]
    outer, codes = len(extents) - 1, [code_of(view.buffer.dtype) for view in views]
    if what not in UNITS:
        codes[1] = codes[0]
    beside = outer > 0 and codes[0] == codes[1] in ("f4", "f8") and all(move[outer - 1] == 1 for move in moves)
    key = Walk(what, *codes, outer, 1, True, beside)
    planner.command(key, views, [*extents, *moves[0], *moves[1]], views[:1], views[1:], node.op.name)


def _known(x: Node, node: Node) -> bool:
    return not x.aval.weak and code_of(x.aval.dtype) != "f2" and code_of(node.aval.dtype) == "i8"


def _over(target: View, shape: layout.Shape, axes: layout.Shape) -> View:
    """A result over the axes of what it was made of, in whose `axes` it does not move."""
    kept = list(target.strides) if len(target.strides) < len(shape) else [
        s for a, s in enumerate(target.strides) if a not in axes]  # fmt: skip
    strides = tuple(0 if a in axes else kept.pop(0) for a in range(len(shape)))
    return View(target.buffer, target.offset, shape, strides)


def _walked(planner: Any, node: Node, what: str, source: View, axes: layout.Shape, target: View) -> None:
    code = code_of(source.buffer.dtype)
    views = [source, target]
    letters = ["r" if a in axes else "k" for a in range(len(source.shape))]
    order = sorted(range(len(letters)), key=lambda a: letters[a])
    shape = [source.shape[a] for a in order]
    extents, moves, kinds = layout.collapsed(
        shape, [tuple(v.strides[a] for a in order) for v in views], [letters[a] for a in order]
    )
    if "r" not in kinds:
        extents, moves, kinds = [*extents, 1], [[*move, 0] for move in moves], kinds + "r"
    outer = kinds.count("k")
    lanes = lanes_of(pointwise.register_type(code)) if code in ("f4", "f8") else 1
    size = extents[-1]
    if what != "prod" and moves[0][-1] == 1 and SIDE_BY_SIDE * lanes <= size < 2**31 and lanes > 1:
        key: Any = LongLines(what, code, outer)
    else:
        beside = lanes > 1 and outer > 0 and moves[0][outer - 1] == moves[1][outer - 1] == 1
        key = Walk(what, code, code, outer, len(kinds) - outer, False, beside)
    numbers = [*extents, *moves[0], *moves[1]]
    planner.command(key, views, numbers, [source], [target], node.op.name)
