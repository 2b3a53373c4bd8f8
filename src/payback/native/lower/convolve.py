"""np.convolve: every output is a sum of products of entries of the two vectors, one of them read backwards.

Outputs are computed side by side in registers.  Where the vectors overlap in part, only products of their own entries
are added: padding with zeros would make NaN of an infinite weight.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from payback.ir.node import Node
from payback.native import ir
from payback.native.codegen.emit import INT32, Emitter, constant, lanes_of
from payback.native.lower import pointwise
from payback.native.lower.kernel import Arguments, fold
from payback.native.lower.pointwise import code_of
from payback.native.lower.products.blocked.tile import multiply_add

SUMS = ((4, 2), (2, 4), (1, 8))  # (vectors of outputs, sums of each that wait for one another)
CHUNK = 512  # products that are summed before they are added to the rest: long sums stay accurate


class Convolution(NamedTuple):
    """y_k = Σ_j a_{k+first−j}·v_j over the j that both have; a is the longer one.

    args: a, v, y, outputs, entries of a and of v, first.
    """

    code: str

    def emit(self, e: Emitter, function: ir.Function) -> None:
        args, b = Arguments(e, function), e.b
        kind = pointwise.register_type(self.code)
        a, v, y = (args.pointer() for _ in range(3))
        outputs, n, m, first = args.ints(4)
        width, zero = lanes_of(kind), constant(kind, 0.0)
        row = ir.VectorType(kind, width)
        backwards = ir.Constant(ir.VectorType(INT32, width), list(range(width))[::-1])

        def smaller(x: ir.Value, z: ir.Value) -> ir.Value:
            return b.select(b.icmp_signed("<", x, z), x, z)

        def larger(x: ir.Value, z: ir.Value) -> ir.Value:
            return b.select(b.icmp_signed(">", x, z), x, z)

        def low(at: ir.Value) -> ir.Value:
            return larger(e.int(0), b.sub(b.add(at, e.int(1)), n))

        def high(at: ir.Value) -> ir.Value:
            return smaller(m, b.add(at, e.int(1)))

        def one(at: ir.Value, start: ir.Value, stop: ir.Value, initial: ir.Value) -> ir.Value:
            """A number plus the products of one output from `start` to `stop`."""
            count = larger(b.sub(stop, start), e.int(0))
            main = b.add(start, b.and_(count, e.int(-2 * width)))

            def several(j: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                made = []
                for k, total in enumerate(sums):
                    here = b.add(j, e.int(k * width))
                    entries = e.load(a, b.sub(at, b.add(here, e.int(width - 1))), kind, width)
                    turned = b.shuffle_vector(entries, entries, backwards)
                    made.append(multiply_add(e, turned, e.load(v, here, kind, width), total))
                return made

            def single(j: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                return [multiply_add(e, e.load(a, b.sub(at, j), kind), e.load(v, j, kind), sums[0])]

            left, right = fold(e, start, main, 2 * width, [constant(row, 0.0)] * 2, several)
            joined, total = b.fadd(left, right), initial
            (total,) = fold(e, main, stop, 1, [total], single)
            return b.fadd(total, _sum(e, joined))

        def block(k: ir.Value, vectors: int, turns: int) -> None:
            """Outputs from number k on: what all of them have, then what only some have."""
            at = b.add(k, first)
            last = b.add(at, e.int(vectors * width - 1))
            start = low(last)
            stop = larger(start, high(at))

            def chunk(begin: ir.Value, totals: list[ir.Value]) -> list[ir.Value]:
                end = smaller(stop, b.add(begin, e.int(CHUNK)))
                main = b.add(begin, b.and_(b.sub(end, begin), e.int(-turns)))

                def products(j: ir.Value, sums: list[ir.Value]) -> list[ir.Value]:
                    made = []
                    for turn in range(len(sums) // vectors):
                        here = b.add(j, e.int(turn))
                        factor = e.splat(e.load(v, here, kind), width)
                        for k in range(vectors):
                            entries = e.load(a, b.add(b.sub(at, here), e.int(k * width)), kind, width)
                            made.append(multiply_add(e, entries, factor, sums[turn * vectors + k]))
                    return made

                sums = fold(e, begin, main, turns, [constant(row, 0.0)] * (vectors * turns), products)
                sums[:vectors] = fold(e, main, end, 1, sums[:vectors], products)
                while len(sums) > vectors:
                    half = len(sums) // 2
                    sums = [b.fadd(x, z) for x, z in zip(sums[:half], sums[half:], strict=True)]
                return [b.fadd(x, z) for x, z in zip(totals, sums, strict=True)]

            made = fold(e, start, stop, CHUNK, [constant(row, 0.0)] * vectors, chunk)
            for number, value in enumerate(made):
                e.store(value, y, b.add(k, e.int(number * width)))
            uneven = b.or_(b.icmp_signed("<", low(at), start), b.icmp_signed("<", stop, high(last)))
            with b.if_then(uneven), e.loop(0, vectors * width) as lane:
                place, output = b.add(k, lane), b.add(at, lane)
                before = smaller(start, high(output))
                total = one(output, low(output), before, e.load(y, place, kind))
                e.store(one(output, stop, high(output), total), y, place)

        with b.if_else(b.icmp_signed("<", outputs, e.int(width))) as (few, many):
            with few, e.loop(0, outputs) as k:
                output = b.add(k, first)
                e.store(one(output, low(output), high(output), zero), y, k)
            with many:
                done = e.int(0)
                for vectors, turns in SUMS[:-1]:
                    end = b.and_(outputs, e.int(-vectors * width))
                    with e.loop(done, end, vectors * width) as k:
                        block(k, vectors, turns)
                    done = end
                with e.loop(done, outputs, width) as k:  # the last ones once more with some before them
                    block(smaller(k, b.sub(outputs, e.int(width))), *SUMS[-1])
        b.ret(e.int(0))


def _sum(e: Emitter, lanes: ir.Value) -> ir.Value:
    """Of a vector's lanes, by halves."""
    b, parts = e.b, [e.b.extract_element(lanes, ir.Constant(INT32, k)) for k in range(lanes.type.count)]
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [b.fadd(x, z) for x, z in zip(parts[:half], parts[half:], strict=True)]
    return parts[0]


def lower_convolve(planner: Any, node: Node) -> bool:
    dtype = node.aval.dtype
    if code_of(dtype) not in ("f4", "f8") or any(arg.aval.dtype != dtype for arg in node.args):
        return False
    long, short = sorted(node.args, key=lambda arg: -arg.aval.shape[0])
    given = [planner.contiguous(planner.view(part), dtype) for part in (long, short)]
    n, m = (view.shape[0] for view in given)
    target = planner.allocate(node, dtype, node.aval.shape)
    first = 0 if node.params["mode"] == "full" else m - 1
    numbers = [node.aval.shape[0], n, m, first]
    planner.command(Convolution(code_of(dtype)), [*given, target], numbers, given, [target], "convolve")
    return True
