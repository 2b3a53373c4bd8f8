"""Nodes are called as the user's program calls what they are: variables, elements, items, attributes."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb

U, V, M = np.array([0.5, 2.0]), np.array([3.0, -1.0]), np.array([[2.0, 1.0], [1.0, 3.0]])


def pairs(A, C):
    total = 0.0
    for a, c in zip(A, C, strict=False):
        total = total + a * c
    return total


def counted(A, C):
    out = []
    for _, (a, c) in enumerate(zip(A, C[::-1])):  # noqa: B905
        z = a * c
        out.append(z)
    return sum(out)


def rows(P):
    return sum(p * q for p, q in P)


def unpacked(A):
    first, *others = A
    (u, v), w = (first * 2.0, others[0] * 3.0), first * others[0]
    return u * v * w


def kept(A):
    state = {}
    state["h"] = h = np.tanh(A)
    state["z"] = state["h"] * 2.0 if h[0] > 0 else h
    y, *rest = [np.exp(state["z"]), A * 3.0, A * 4.0]
    y += rest[1]
    return (y * (g := np.sin(rest[0])) + g).sum()


def decomposed(P):
    q, r = np.linalg.qr(P)
    w, _ = np.linalg.eigh(P + P.T)
    return q.sum() + (r * w).sum()


def looped(A):
    def body(c, u):
        z = c * u
        return z + 1.0, z

    last, made = pb.scan(body, 1.0, A)
    return last + made.sum()


class Net:
    def __init__(self):
        self.W = [M, U]

    def __call__(self, A):
        self.h = np.tanh(A @ self.W[0])
        return (self.h @ self.W[1]).sum()


@pytest.mark.parametrize(("f", "args", "expected"), [
    (pairs, (U, V), "a c total a#2 c#2 total#2"),
    (counted, (U, V), "a c z a#2 c#2 z#2"),
    (rows, (M,), "p q p#2 q#2"),
    (unpacked, (U,), "first others[0] u v w"),
    (unpacked, ([0.5, 2.0],), "u v w"),
    (kept, (U,), "state['h'] state['z'] y y#2 rest[0] rest[1] g"),
    (decomposed, (M,), "q r w"),
    (looped, (U,), "last made"),
    (lambda *ws, c: ws[0] * ws[1] * c, (2.0, 3.0), "ws[0] ws[1] c"),
    (Net(), (U,), "self.h"),
])  # fmt: skip
def test_names_are_the_program_s_own(f, args, expected):
    book = pb.explain(f, *args, **({"c": 4.0} if "ws" in expected else {}))
    book.check()
    found = {account.name: account for account in book.nodes}
    assert set(expected.split()) <= set(found)
    letters = {name for name in found if len(name) == 1 and name not in expected.split()}
    assert not letters.intersection(getattr(f, "__code__", looped.__code__).co_varnames) - {"A", "C", "P"}


def test_a_variable_is_called_by_a_long_name_too():
    def f(x):
        intermediate_result_of_the_first_computation = x * x
        return intermediate_result_of_the_first_computation + 1.0

    assert "intermediate_result_of_the_first_computation" in [node.name for node in pb.explain(f, 2.0).nodes]


def test_elements_are_those_of_the_array_that_the_name_goes_over():
    book = pb.explain(pairs, U, V)
    for name, array in (("a", U), ("c", V)):
        assert [book[name].value, book[f"{name}#2"].value] == array.tolist()
    assert [edge.payer.op for edge in book.pile("a")] == ["mul"]
    totals = [book["total"].value, book["total#2"].value]
    assert totals == pytest.approx([U[0] * V[0], U @ V], rel=1e-15)


def test_a_loop_that_is_opened_has_the_names_of_its_steps():
    book = pb.explain(looped, U).opened
    book.check()
    assert [book["z"].value, book["z#2"].value] == pytest.approx([0.5, 3.0])


def test_the_element_and_not_the_pair_is_blamed():
    def f(A, C):
        return sum(np.log(a) * np.maximum(c, 0.0) for a, c in zip(A, C, strict=True))

    (origin,) = pb.why_nan(f, np.array([1.0, 0.0]), np.array([1.0, 2.0]))
    assert origin.operands == (("a", 0.0),)
    assert origin.what == "np.log(a)"


def mix(left, right, *, gain):
    return left * right, gain - right


def halves(v):
    return np.split(np.exp(v), 2)


def ends(v):
    return v.max() - v.min()


def helped(A, C):
    up, down = mix(A * 2.0, C + 1.0, gain=np.sin(A))
    low, high = halves(np.concatenate([up, down]))
    _, second, _ = np.split(np.concatenate([A, C, low]), 3)
    return (high + second).sum() * ends(up * 3.0) * ends(np.cos(down))


def test_arguments_and_results_of_helpers_and_parts_of_arrays_have_names():
    book = pb.explain(helped, U, V)
    book.check()
    found = {account.name: account for account in book.nodes}
    assert {"left", "right", "gain", "up", "down", "low", "high", "second", "v", "v#2", "v#3", "ends", "ends#2"} <= set(
        found
    )
    assert found["left"].value.tolist() == (U * 2.0).tolist()
    assert found["gain"].value.tolist() == np.sin(U).tolist()
    assert found["down"].value.tolist() == (np.sin(U) - (V + 1.0)).tolist()
    assert found["second"].value.tolist() == V.tolist()
    assert found["high"].value.tolist() == np.exp(found["down"].value).tolist()
    assert book.top.name != "helped"
