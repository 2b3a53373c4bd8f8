"""Which nodes are computed in one nest, and what is known of a node before it is."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np

from payback.ir.aval import BOOL
from payback.ir.node import Node, ancestors, by_id
from payback.native.lower import pointwise
from payback.native.lower.guard import Places
from payback.native.lower.pointwise import code_of
from payback.native.planning import alongside as carry
from payback.native.planning import even, layout, pieces, sooner
from payback.native.planning import recomputed as again
from payback.native.planning.alongside import GROUP
from payback.native.planning.commands import Command, Scalar, text_of
from payback.native.planning.layout import Buffer, View
from payback.native.planning.numbers import Numbers, Views
from payback.native.vector_math.logistic import OF_ONE

_MASKS = ("logical_and", "logical_or", "logical_not", "gt", "ge", "lt", "le", "eq", "ne")
ALONG = 4  # operations on other arrays that are done on the way of a product's epilogue, at most
VIEWS = ("broadcast", "reshape", "transpose", "identity")
REDUCES = ("sum", "mean", "max", "min")
_USUAL = frozenset(map(np.dtype, (np.float32, np.float64)))


def _is_half(aval: Any) -> bool:
    return bool(aval.dtype.itemsize == 2) and aval.dtype.kind == "f"


class Groups:
    """The part of the planner that gathers waiting nodes."""

    views: Views
    numbers: Numbers
    scalars: dict[Node, Scalar]
    commands: list[Command]
    users: dict[Node, list[Node]]
    waiting: dict[Node, None]
    wanted: dict[Node, None]
    gone: set[Node]
    pieced: set[Node]
    early: set[Node] | None
    placed_by: dict[tuple[View, int], View]
    repeated: bool

    # --- waiting nodes ------------------------------------------------------------------------------------

    def fusible(self, node: Node) -> bool:
        op, args = node.op, node.args
        name = op.name
        one_by_one = op.kind == "pointwise" and name != "identity"
        if not (one_by_one or name in ("cast", "index")) or op.value is None:
            return False
        if one_by_one and len(args) == 2 and args[0].aval == args[1].aval and args[0].aval.dtype in _USUAL:
            return pointwise.can(name, self.operand_code(node))
        aval = node.aval
        if aval.weak and aval.dtype.kind == "i":  # Python's whole numbers have no end
            return False
        half = _is_half(aval)
        for arg in args:
            given = arg.aval
            half = half or _is_half(given)
            if given.weak and arg.op.value is None and given.dtype.kind == "i" and abs(arg.value) > 2**53:
                return False
        if half and not pointwise.half_is_native():
            return False
        if name == "cast":
            return True
        if name == "index":
            return any(isinstance(part, layout.Place) for part in node.params["template"]) and self._fancy(node)
        return one_by_one and pointwise.can(name, self.operand_code(node))

    def _fancy(self, node: Node) -> bool:
        source, *arrays = node.args
        if any(a.aval.dtype.kind not in "iu" or a.aval.weak for a in arrays):
            return False
        view = layout.whole(Buffer("arena", source.aval.dtype, source.aval.size), source.aval.shape)
        template, contents = node.params["template"], even.known(arrays)
        if contents is not None and even.view(view, template, contents) is not None:
            return False  # it is a view
        return layout.indexed(view, template, [a.aval.shape for a in arrays]) is not None

    def operand_code(self, node: Node) -> str:
        """The dtype that a pointwise row computes in."""
        name, result = node.op.name, code_of(node.aval.dtype)
        if name.startswith("logical"):
            return "b1"
        if result != "b1" or name == "select":
            return result
        codes = {code_of(arg.aval.dtype) for arg in node.args}
        if len(codes) == 1:
            return codes.pop()
        return "f8" if any(c[0] == "f" for c in codes) else "i8"

    def inline(self, node: Node, shape: layout.Shape) -> bool:
        return node in self.waiting and node.aval.shape == shape

    def missing(self, root: Node) -> list[Node]:
        """What the nest of a waiting node reads and nobody has computed yet."""
        shape, seen, stack, found = root.aval.shape, {root}, [root], {}
        while stack:
            node = stack.pop()
            for arg in node.args:
                if arg in seen or arg in self.views or arg in self.scalars:
                    continue
                if arg in self.pieced:
                    found |= {base: None for base in pieces.bases(arg) if base not in self.views}
                    continue
                # what is indexed, and by what, is read from memory
                if self.inline(arg, shape) and node.op.name != "index" and len(seen) < GROUP:
                    seen.add(arg)
                    stack.append(arg)
                else:
                    found[arg] = None
        return list(found)

    def members(self, roots: Sequence[Node], shape: layout.Shape, sinking: Sequence[Node]) -> list[Node]:
        """The waiting nodes that the nest of these roots computes, in order."""
        seen = dict.fromkeys(root for root in roots if self.inline(root, shape))
        stack = list(seen)
        while stack:
            for arg in stack.pop().args:
                if arg not in seen and self.inline(arg, shape):
                    seen[arg] = None
                    stack.append(arg)
        if shape == ():
            self.numbers.join(self, seen, sinking)
        return sorted(seen, key=by_id)

    def require(self, nodes: Sequence[Node], shape: layout.Shape) -> None:
        """All that a nest over `shape` with these roots reads lies in memory."""
        for node in nodes:
            if self.inline(node, shape):
                while missing := self.missing(node):
                    for arg in missing:
                        if arg not in self.gone:  # with its last user, by a nest that was computed meanwhile
                            self.need(arg)
                    if not self.inline(node, shape):
                        break
            else:
                self.need(node)

    def group(
        self,
        roots: Sequence[Node],
        shape: layout.Shape,
        sinks: Sequence[tuple[Any, ...]] = (),
        extra: Sequence[View] = (),
        axes: layout.Shape | None = None,
        text: str = "",
        sinking: Sequence[Node] = (),
    ) -> None:
        """One nest for the roots and what waits for them.

        sinks: (kind, view over `shape`, number of its root, …) beside the stores of what others need; they stand for
        the nodes `sinking`.  extra: the places that sinks refer to by number.
        """
        members = self.members(roots, shape, sinking)
        members = sorted([*members, *self.alike(members)], key=by_id)
        inside = set(members)
        pieced = pieces.cut(self, members, sinks, axes)
        instrs: list[tuple[Any, ...]] = []
        codes: list[str] = []
        number: dict[Any, int] = {}

        def add(instr: tuple[Any, ...], code: str) -> int:
            key = (instr, code)
            if key not in number:
                number[key] = len(instrs)
                instrs.append(instr)
                codes.append(code)
            return number[key]

        def operand(node: Node, code: str | None = None) -> int:
            have = code_of(node.aval.dtype)
            if node in inside:
                at = number[node]
            elif node in self.scalars:
                scalar = self.scalars[node]
                at, have = add(("number", text_of(scalar), scalar.code), scalar.code), scalar.code
            elif node in pieced:
                at = add(("load", pieces.of(self, node), have), have)
            else:
                at = add(("load", layout.spread(self.view(node), shape), have), have)
            return at if code is None or code == have else add(("cast", have, code, at), code)

        for node in members:
            name, code = node.op.name, code_of(node.aval.dtype)
            if name == "cast":
                number[node] = operand(node.args[0], code)
            elif name == "index":
                number[node] = self._gather(node, add)
            else:
                inner = self.operand_code(node)
                args = [operand(arg, "b1" if name == "select" and slot == 0 else inner)
                        for slot, arg in enumerate(node.args)]  # fmt: skip
                number[node] = args[0] if name == "stop_gradient" else add((name, inner, *args), code)
        ends = [operand(root) for root in roots]
        loads = [add(("load", view, code_of(view.buffer.dtype)), code_of(view.buffer.dtype)) for view in extra]
        made: list[tuple[Any, ...]] = []
        for kind, view, root, *more in sinks:
            if kind in ("sum", "max", "min"):
                made.append((kind, view, operand(roots[root], more[0]), *more))
            else:
                made.append((kind, view, ends[root], *[(loads[k], stride) for k, stride in more]))
        for node in members:
            self.waiting.pop(node, None)
        for node in members:
            others = [user for user in self.users.get(node, ()) if user not in inside]
            if sinks and node in roots:  # an argument given twice is read again
                others = [user for user in others if user not in sinking or others.count(user) > 1]
            if not others and node not in self.wanted:
                self.gone.add(node)
            elif (sinks or node not in roots) and again.is_cheaper(self, node):
                self.waiting[node] = None
            else:
                place = self.placed(node, instrs, shape, carry.across(self, node, axes))
                made.append(("store", place, number[node]))
        text = text or "+".join(dict.fromkeys(n.op.name for n in members))
        make = partial(pieces.nests_of_cells, self) if pieced else self.nest
        make(instrs, codes, made, shape, text, axes)

    def _gather(self, node: Node, add: Any) -> int:
        source, *arrays = node.args
        code, view = code_of(node.aval.dtype), self.view(source)
        places = layout.indexed(view, node.params["template"], [a.aval.shape for a in arrays])
        assert places is not None
        indices = []
        strides, left = even.rest(places, lambda k, extent: self.places(arrays[k], extent))
        for there, stride in left:
            have = code_of(there.buffer.dtype)
            indices.append((add(("load", there, have), have), stride))
        moved = View(view.buffer, places.offset, places.shape, strides)
        return add(("gather", moved, code, *indices), code)

    def followers(self, node: Node, most: int) -> list[Node]:
        """Waiting nodes that can be computed right after an entry of `node`, in order: bias, activation, mask.

        They read nothing else but floating arrays that lie in memory, and numbers.
        """
        if node in self.wanted or self.waiting.keys().isdisjoint(self.users.get(node, ())):
            return []
        shape, dtype = node.aval.shape, node.aval.dtype
        inside = {node}
        made: list[Node] = []
        heap = [(user.id, user) for user in dict.fromkeys(self.users[node])]
        heapq.heapify(heap)
        while heap and len(made) < most:
            _, user = heapq.heappop(heap)
            if user in inside or not self._follows(user, shape, dtype):
                continue
            rest: dict[Node, None] = {}
            if not all(self._brought(arg, inside, rest, shape, dtype) for arg in user.args):
                continue
            for new in (*rest, user):
                inside.add(new)
                made.append(new)
                for further in self.users.get(new, ()):
                    heapq.heappush(heap, (further.id, further))
        while made and (made[-1].aval.dtype != dtype or self._is_made_again(made)):  # C holds the last one's values
            made.pop()
        return [*made[:-1], *self.alike([node, *made], made[-1]), *made[-1:]] if self._is_chain(node, made) else []

    def alike(self, members: Sequence[Node], last: Node | None = None) -> list[Node]:
        """What others will make of numbers in a nest, by the exponential that the nest computes of them: sigmoid(−z).

        It is made here, too, where else z would be stored and the exponential computed from it once more.  Nothing is
        made of `last`.
        """
        inside, made = set(members), []
        for node in members:
            if node.op.name not in OF_ONE or node.aval.dtype.itemsize < 4:
                continue
            (z,) = node.args
            if z.op.name == "neg" and z.args[0] in inside:
                (z,) = z.args
            if z not in inside or z in self.wanted:
                continue
            found: dict[Node, None] = {}
            for user in self.users[z]:
                turned = user.op.name == "neg" and user in self.waiting
                for each in self.users.get(user, ()) if turned else (user,):
                    if each not in inside:
                        found |= dict.fromkeys([user, each] if turned else [each])
            if all(new in self.waiting and (new.op.name in OF_ONE or new.op.name == "neg") for new in found):
                made += found
                inside.update(found)
        return made + sooner.instead(self, [*members, *made], last)

    def _is_made_again(self, made: Sequence[Node]) -> bool:
        """Whether the last one is a cheap operation on another that is stored anyway, and read where it is added up."""
        *before, last = made
        users, (x, *others) = self.users.get(last, ()), dict.fromkeys(last.args)
        return (
            last.op.name in again.AGAIN and not others and x in before and last not in self.wanted
            and any(user not in made for user in self.users[x]) and all(user.op.name in REDUCES for user in users)
        )  # fmt: skip

    def _is_chain(self, node: Node, made: list[Node]) -> bool:
        """Whether others need but the end of a chain of nodes and steps on the way to it; not the product itself."""
        users, inside = self.users, set(made)
        if not made or node in self.wanted or not inside.issuperset(users.get(node, ())):
            return False
        kept = [x for x in made if x in self.wanted or not inside.issuperset(users.get(x, ()))]
        if kept == made[-1:]:
            return True
        before = set(ancestors([made[-1]], floor=node.id))
        return all(x in before for x in kept)

    def _brought(
        self, node: Node, inside: set[Node], rest: dict[Node, None], shape: layout.Shape, dtype: np.dtype[Any]
    ) -> bool:
        """Whether an argument lies in memory, or is a mask or factor that comes along, computed from what does.

        rest: what comes along, in order.
        """
        if node in inside or node in rest or self._at_hand(node, shape, dtype):
            return True
        if len(rest) >= ALONG or not self._follows(node, shape, dtype):
            return False
        if not all(self._brought(arg, inside, rest, shape, dtype) for arg in node.args):
            return False
        rest[node] = None
        return len(rest) <= ALONG

    def _follows(self, node: Node, shape: layout.Shape, dtype: np.dtype[Any]) -> bool:
        if node not in self.waiting or node.op.kind != "pointwise" or node.aval.shape != shape:
            return False
        if self.early is not None and node not in self.early:
            return False
        for part in (node, *node.args):
            code = part.aval.dtype
            if code is not dtype and code != dtype and code != BOOL:
                return False
        return node.op.name in _MASKS or self.operand_code(node) != "b1"

    def _at_hand(self, node: Node, shape: layout.Shape, dtype: np.dtype[Any]) -> bool:
        if node in self.scalars:
            return True
        if node not in self.views and self.shows(node):
            self.need(node)
        return node in self.views and node.aval.dtype == dtype and len(node.aval.shape) <= len(shape)

    def shows(self, node: Node) -> bool:
        """Whether a node is another view of what lies in memory."""
        while node not in self.views:
            if node.op.name not in VIEWS and (node.op.name != "index" or len(node.args) != 1 or self.fusible(node)):
                return False
            node = node.args[0]
        return True

    def places(self, array: Node, extent: int) -> View:
        """An index array as places of an axis, none of them negative: 32 bits where that is enough.

        What is known is looked at now; else a command stops the program where an index is out of bounds.
        """
        view = self.view(array)
        if (view, extent) not in self.placed_by:
            self.placed_by[view, extent] = self._places(view, extent) if prod(view.shape) else view
        return self.placed_by[view, extent]

    def _places(self, view: View, extent: int) -> View:
        made = np.dtype(np.int32 if extent <= 2**31 else np.int64)
        if view.buffer.kind == "const":
            values = view.buffer.array
            if values.min() >= -extent and values.max() < extent:
                places = np.where(values < 0, values + extent, values).astype(made)
                self.constants.append(Buffer("const", made, places.size, places))
                return view._replace(buffer=self.constants[-1])
        if not view.whole:
            view = self.copy(view, view.buffer.dtype)
        target, codes = self.new(None, made, view.shape, "arena"), (code_of(view.buffer.dtype), code_of(made))
        numbers = [prod(view.shape), extent]
        self.command(Places(*codes), [view, target], numbers, [view], [target], "check indices")
        return target

    # --- reductions ---------------------------------------------------------------------------------------

    def reducible(self, node: Node) -> bool:
        x, axes = node.args[0].aval, node.params["axes"]
        if x.weak or (x.dtype.kind == "f" and x.dtype.itemsize == 2 and not pointwise.half_is_native()):
            return False
        return node.op.name not in ("max", "min") or prod(x.shape[a] for a in axes) > 0

    def reduce(self, node: Node) -> None:
        """The command of a reduction, and of others that can be found in the same pass."""
        axes, shape = node.params["axes"], node.args[0].aval.shape
        nodes = [node, *carry.beside(self, node)]
        self.require([each.args[0] for each in nodes], shape)
        nodes = [each for each in nodes if each not in self.views]  # what was needed first may have brought some along
        sources = [each.args[0] for each in nodes]
        carried = carry.carried(self, sources, shape)  # before the sums have their places: what reads them is not ready
        count, sinks = prod(shape[a] for a in axes), []
        for number, (each, source) in enumerate(zip(nodes, sources, strict=True)):
            name = each.op.name
            wide = code_of(each.aval.dtype) if name in ("sum", "mean") else code_of(source.aval.dtype)
            target = self.allocate(each, each.aval.dtype, each.aval.shape)
            kept = iter(layout.contiguous(tuple(n for a, n in enumerate(shape) if a not in axes)))
            strides = tuple(0 if a in axes else next(kept) for a in range(len(shape)))
            finish = ("div", float(count)) if name == "mean" else ()
            kind = "sum" if name == "mean" else name
            sinks.append((kind, View(target.buffer, target.offset, shape, strides), number, wide, finish))
        text = "+".join(dict.fromkeys(each.op.name for each in nodes))
        self.group([*sources, *carried], shape, sinks, axes=axes, text=text, sinking=nodes)
