"""Nodes, abstract values, graphs and source positions."""

from __future__ import annotations

import linecache

import numpy as np
import pytest

import payback as pb
from payback.ir.aval import Aval, aval_of
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.row import INPUT


def place(x):
    return position(x.node.where)


def test_abstract_values():
    assert aval_of(2.0) == Aval((), np.dtype("f8"), True)
    assert aval_of(2) == Aval((), np.dtype("i8"), True)
    assert aval_of(True) == Aval((), np.dtype("?"), True)
    assert aval_of(np.float32(1)) == Aval((), np.dtype("f4"), False)
    assert aval_of(np.zeros((2, 0))).size == 0
    assert str(aval_of(np.zeros((2, 3), np.float32))) == "f32[2,3]"
    assert str(aval_of(1.5)) == "f64[]*"
    assert str(aval_of(np.True_)) == "bool[]"


def test_a_node_finds_its_aval_in_its_value():
    node = Node(INPUT, (), {}, np.zeros((2, 3), np.float32), None)
    assert node.aval == Aval((2, 3), np.dtype("f4"))
    assert node.aval is node.aval
    assert not hasattr(node, "avail")
    given = Aval((), np.dtype("f8"))
    assert Node(INPUT, (), {}, None, None, given).aval is given


def test_ids_are_a_topological_order():
    a, b = pb.variable(1.0), pb.variable(2.0)
    y = (a + b) * a
    nodes = ancestors([y.node])
    assert [n.id for n in nodes] == sorted(n.id for n in nodes)
    assert all(arg.id < n.id for n in nodes for arg in n.args)
    assert ancestors([y.node], floor=y.node.args[0].id) == [y.node.args[0], y.node]


def test_a_graph_holds_what_the_outputs_need():
    a, b = Node(INPUT, (), {}, 2.0, None), Node(INPUT, (), {}, 3.0, None)
    from payback.trace.array import Traced

    x, y = Traced(a), Traced(b)
    z = x * y + 1.0
    np.sin(x)  # nobody needs it
    graph = Graph([a, b], [z.node, z.node])
    assert [n.op.name for n in graph.nodes] == ["mul", "const", "add"]
    text = str(graph)
    assert text.splitlines()[0].startswith("inputs  %")
    assert "= mul %" in text
    assert "= const  1.0" in text
    assert text.splitlines()[-1].startswith("outputs %")
    assert repr(z.node).startswith(f"%{z.node.id} = add(%")


def test_three_operations_on_one_line():
    a, b, c = pb.variable(1.0), pb.variable(2.0), pb.variable(3.0)
    y = (a + b) * (b - c) / a
    division = y.node
    product = division.args[0]
    total, difference = product.args
    assert [position(n.where).text for n in (total, difference, product, division)] == [
        "a + b", "b - c", "(a + b) * (b - c)", "(a + b) * (b - c) / a",
    ]  # fmt: skip
    assert position(total.where).function == "test_three_operations_on_one_line"
    assert position(total.where).file == __file__


def test_over_several_lines():
    a = pb.variable(1.0)
    y = (
        a
        * 2.0
    )  # fmt: skip
    found = place(y)
    assert found.end_line == found.line + 1
    assert found.text == "a * 2.0"


def test_functions_methods_and_indices():
    x = pb.variable(np.array([1.0, 2.0]))
    assert place(np.sin(x)).text == "np.sin(x)"
    assert place(x.sum()).text == "x.sum()"
    assert place(np.sum(x)).text == "np.sum(x)"
    assert place(np.mean(x, axis=0)).text == "np.mean(x, axis=0)"
    assert place(x[0]).text == "x[0]"
    assert place(x[np.array([0, 0])]).text == "x[np.array([0, 0])]"
    assert place(-x).text == "-x"
    assert place(2 - x).text == "2 - x"
    assert place(np.array([1.0, 2.0]) * x).text == "np.array([1.0, 2.0]) * x"
    assert place(x @ x).text == "x @ x"
    assert place(np.where(x > 0, x, 0)).text == "np.where(x > 0, x, 0)"
    assert place(np.stack([x, x])).text == "np.stack([x, x])"
    assert place(x.reshape(2, 1)).text == "x.reshape(2, 1)"
    assert place(x.T).text == "x.T"
    assert place(x[0] + np.float32(1)).text == "x[0] + np.float32(1)"
    assert place(x**2).text == "x**2"
    assert place(np.clip(x, 0, 1)).text == "np.clip(x, 0, 1)"
    assert place(np.hstack([x, 1.0])).text == "np.hstack([x, 1.0])"
    assert place(np.add.reduce(x)).text == "np.add.reduce(x)"
    assert place((x > 0) & (x < 1)).text == "(x > 0) & (x < 1)"
    assert place(pb.nn.relu(x)).text == "pb.nn.relu(x)"
    assert place(pb.stop_gradient(x)).text == "pb.stop_gradient(x)"


def test_lambdas_comprehensions_and_generators():
    a = pb.variable(2.0)
    f = lambda t: t * t + 1  # noqa: E731
    assert position(f(a).node.args[0].where).text == "t * t"
    assert position(f(a).node.where).function == "<lambda>"
    assert [place(v).text for v in [a * k for k in (2.0, 3.0)]] == ["a * k", "a * k"]
    assert [place(v).text for v in (a - k for k in (2.0,))] == ["a - k"]


def test_methods():
    class Model:
        def __init__(self):
            self.w = pb.variable(2.0)

        def loss(self, x):
            return (self.w * x - 1.0) ** 2

    y = Model().loss(3.0)
    assert place(y).text == "(self.w * x - 1.0) ** 2"
    assert place(y).function == "loss"


def test_a_string_that_is_executed():
    text = "y = x * x  +  x\n"
    linecache.cache["<notebook cell>"] = (len(text), None, [text], "<notebook cell>")
    names = {"x": pb.variable(2.0)}
    exec(compile(text, "<notebook cell>", "exec"), names)
    assert place(names["y"]).text == "x * x  +  x"
    names = {"x": pb.variable(2.0)}
    exec(compile("y = {}".format("x * x"), "<gone>", "exec"), names)
    assert place(names["y"]).file == "<gone>"
    assert place(names["y"]).text == ""


def test_text_beyond_ascii():
    δ = pb.variable(2.0)
    y = "é" and δ * 3.0
    assert place(y).text == "δ * 3.0"


def test_positions_without_columns():
    """python -X no_debug_ranges: the whole line."""
    import subprocess
    import sys

    program = (
        "import payback as pb\nfrom payback.ir.where import position\n"
        "x = pb.variable(2.0)\ny = x * x + 1\nprint(position(y.node.where).line)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "no_debug_ranges", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "4"


def test_a_node_of_a_sweep_knows_where_it_comes_from():
    """Backward nodes carry the place of the forward one, and (its id, slot)."""
    seen = []

    def f(x):
        def g(y):
            return np.sin(y) * 2.0

        slope = pb.grad(g)(x)
        seen.append(slope)
        return slope

    pb.grad(f)(1.0)
    origins = {(n.where[2], n.where[3]) for n in ancestors([seen[0].node]) if n.where and len(n.where) == 4}
    assert origins
    texts = {position(n.where).text for n in ancestors([seen[0].node]) if n.where and len(n.where) == 4}
    assert texts <= {"np.sin(y)", "np.sin(y) * 2.0"}


@pytest.mark.parametrize("call", [lambda x: np.add.reduce(x, keepdims=True), lambda x: np.mean(x)])
def test_lambdas_given_to_parametrize(call):
    assert place(call(pb.variable(np.ones(2)))).text.startswith("np.")
