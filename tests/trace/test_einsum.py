"""Formulas of einsum, and products of vectors, matrices and tensors: NumPy's values, both modes."""

from __future__ import annotations

import numpy as np
import pytest

import amount
import payback as pb
from ops.checks import check_abstract
from ops.samples import traced
from payback.errors import MutationError, ShapeError
from payback.trace.abstract import trace

G = np.random.default_rng(8)
EXTENTS = {"i": 3, "j": 4, "k": 5, "l": 2, "b": 2, "a": 3}
FORMULAS = [
    "ij,jk->ik", "ij,jk", "ij,kj->ki", "ii->i", "ii->", "ii", "iij->j", "iji->j", "iii->i", "ijij->ij", "ij->",
    "ij->ji", "ba", "i->i", "ij->ij", "i,j->ij", "ij,ij->i", "ij,ij", "ij,j->ij", "i,i", "i,i->i", "ij,jk,kl",
    "ij,jk,kl->li", "i,i,i->i", "i,i,i->", "ijk,k,j->i", "iij,jjk->ik", "i,->i", ",", ",i,->i", "i,k->",
    "ij,kl->ijkl", "ijk,ilk->jl", "...ij,...jk", "...ij,...jk->...ik", "...i->...", "i...->i...", "...,...",
    "...i,...i->...", "i...,...->...i", " i j , j k -> i k ", "ij,ik,il->jkl", "bij,bjk,bkl->bil",
]  # fmt: skip


def operands(formula):
    """Arrays for a formula; an ellipsis is two axes in the first operand and one that is broadcast in the others."""
    terms = formula.replace(" ", "").partition("->")[0].split(",")
    made = []
    for k, term in enumerate(terms):
        before, dots, after = term.partition("...")
        hidden = ((2, 3) if k == 0 else (1,)) if dots else ()
        made.append(G.normal(size=(*(EXTENTS[c] for c in before), *hidden, *(EXTENTS[c] for c in after))))
    return made


def check(call, args, second=True):
    want, found = call(*args), call(*map(traced, args))
    assert found.shape == np.shape(want)
    assert found.dtype == np.asarray(want).dtype
    np.testing.assert_allclose(found.value, want, rtol=1e-13, atol=1e-14)
    pb.check_grads(call, *args, order=2 if second else 1)
    everything = tuple(range(len(args)))
    forward, reverse = (pb.jacobian(call, everything, mode=mode)(*args) for mode in ("forward", "reverse"))
    for a, b in zip(forward, reverse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    check_abstract(call, [np.asarray(a) for a in args])


@pytest.mark.parametrize("formula", FORMULAS)
def test_formula(formula):
    check(lambda *xs: np.einsum(formula, *xs), operands(formula))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_dtypes(dtype):
    for formula in ("ij,jk->ik", "ii->i", "ij->"):
        args = [x.astype(dtype) for x in operands(formula)]
        found = np.einsum(formula, *map(traced, args))
        assert found.dtype == np.einsum(formula, *args).dtype
    x = operands("ij")[0].astype(dtype)
    assert np.einsum("ij,j->i", traced(x), np.arange(4)).dtype == np.einsum("ij,j->i", x, np.arange(4)).dtype
    assert np.einsum("ij->", traced(x), dtype=np.float64).dtype == np.float64


def random_formula(generator):
    """A formula with up to four operands of up to four letters of five, any of which may repeat."""
    letters = list("abcde")
    extents = dict(zip(letters, generator.integers(1, 4, 5).tolist(), strict=True))
    terms = ["".join(generator.choice(letters, generator.integers(0, 5))) for _ in range(generator.integers(1, 5))]
    known = sorted(set("".join(terms)))
    out = "".join(generator.permutation(known)[: generator.integers(0, len(known) + 1)]) if known else ""
    formula = ",".join(terms) + (f"->{out}" if generator.random() < 0.8 else "")
    return formula, [generator.normal(size=tuple(extents[c] for c in term)) for term in terms]


@pytest.mark.parametrize("seed", range(amount.cases(40, 120, 400)))
def test_any_formula(seed):
    formula, args = random_formula(np.random.default_rng(seed))
    check(lambda *xs: np.einsum(formula, *xs), args, second=seed % 4 == 0)


def test_an_extent_of_one_goes_with_any():
    check(lambda a, b: np.einsum("ij,ij->ij", a, b), [G.normal(size=(3, 1)), G.normal(size=(1, 4))])
    check(lambda a, b: np.einsum("ij,ij->", a, b), [G.normal(size=(3, 1)), G.normal(size=(3, 4))])
    check(lambda a, b: np.einsum("ii,ij->j", a, b), [G.normal(size=(1, 1)), G.normal(size=(3, 4))])


def test_no_entries():
    check(lambda a, b: np.einsum("ij,jk->ik", a, b), [np.zeros((2, 0)), np.zeros((0, 3))], second=False)
    check(lambda a: np.einsum("ii->i", a), [np.zeros((0, 0))], second=False)


def test_interleaved():
    a, b = operands("ij,jk")
    check(lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), [a, b])
    check(lambda x, y: np.einsum(x, [0, 1], y, [1, 2]), [a, b])
    check(lambda x: np.einsum(x, [Ellipsis, 1], [1, Ellipsis]), [a])
    check(lambda x: np.einsum(x, [5, 3]), [a])


@pytest.mark.parametrize("optimize", [False, True, "greedy", "optimal", ["einsum_path", (0, 2), (0, 1)]], ids=str)
def test_order_of_contraction(optimize):
    check(lambda *xs: np.einsum("ij,jk,kl->il", *xs, optimize=optimize), operands("ij,jk,kl"))


@pytest.mark.parametrize("formula", ["i,ij,jk->k", "ij,jk,kl,l->i"])
def test_no_two_matrices_are_multiplied_where_a_vector_may_be_first(formula):
    graph = trace(lambda *xs: np.einsum(formula, *xs), *operands(formula)).graph
    assert max(node.aval.size for node in graph.nodes) <= max(EXTENTS.values())


def test_what_has_no_derivative_is_numpys():
    k = traced(np.array([0.5, 1.5, 2.5])) > 1
    assert np.einsum("i,i", k.astype(int), np.arange(3)) == 3


def test_a_diagonal_is_a_view():
    """np.einsum("ii->i", x)[:] = … writes into x, as NumPy's does."""

    def f(v):
        x = np.zeros((3, 3)) + v[0]
        np.einsum("ii->i", x)[:] = v
        return x

    v = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(pb.vjp(f, v)[0], f(v))
    pb.check_grads(f, v)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: np.einsum("ij,jk", x, np.ones((5, 2))), ShapeError, "one label has both 4 and 5 entries"),
        (lambda x: np.einsum("ii", x), ShapeError, "one label has both 3 and 4 entries"),
        (lambda x: np.einsum("i", x), ShapeError, "operand 0 has the shape (3, 4)"),
        (lambda x: np.einsum("ijk...", x), ShapeError, "the formula gives it 3 letters and an ellipsis"),
        (lambda x: np.einsum("ij,jk", x), ValueError, "has 2 operands, 1 were given"),
        (lambda x: np.einsum("ij->ii", x), ValueError, "distinct"),
        (lambda x: np.einsum("ij->k", x), ValueError, "distinct"),
        (lambda x: np.einsum("i1", x), ValueError, "no letter"),
        (lambda x: np.einsum("i...->i", x), ValueError, "ellipsis"),
        (lambda x: np.einsum("ij->", x, out=np.zeros(())), MutationError, "out="),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(traced(G.normal(size=(3, 4))))
    assert text in str(caught.value)


A, B, C, V3 = G.normal(size=(3, 4)), G.normal(size=(4, 5)), G.normal(size=5), G.normal(size=(4, 3))
PRODUCTS = {
    "kron": (np.kron, A, B), "kron of a vector": (np.kron, C, A), "kron of a number": (np.kron, np.float64(2.0), A),
    "vdot": (np.vdot, A, 2 * A), "vdot of vectors": (np.vdot, C, C), "outer": (np.linalg.outer, C, C[:2]),
    "cross": (np.cross, V3, G.normal(size=3)), "cross axis": (lambda a, b: np.cross(a, b, axis=0), A, A * A),
    "cross axes": (lambda a, b: np.cross(a, b, axisa=0, axisc=0), A, V3), "linalg.cross": (np.linalg.cross, V3, V3 + 1),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a, b]), A, B),
    "multi_dot of 3": (lambda a, b, c: np.linalg.multi_dot([a, b, c]), A, B, C),
    "multi_dot of 4": (lambda a, b, c, d: np.linalg.multi_dot([a, b, c, d]), A[0], V3, A, B),
    "matrix_power 0": (lambda a: np.linalg.matrix_power(a, 0) * a, A[:, :3]),
    "matrix_power 1": (lambda a: np.linalg.matrix_power(a, 1), A[:, :3]),
    "matrix_power 5": (lambda a: np.linalg.matrix_power(a, 5), A[:, :3]),
    "matrix_power of a batch": (lambda a: np.linalg.matrix_power(a, 3), np.stack([A[:, :3], A[:, 1:]])),
    "linalg.matmul": (np.linalg.matmul, A, B), "vecdot": (np.vecdot, A, A + 1),
    "linalg.vecdot": (lambda a, b: np.linalg.vecdot(a, b, axis=0), A, A + 1),
    "linalg.tensordot": (lambda a, b: np.linalg.tensordot(a, b, axes=1), A, B),
    "linalg.diagonal": (lambda a: np.linalg.diagonal(a, offset=1), np.stack([A, A])),
    "linalg.trace": (np.linalg.trace, np.stack([A, A])), "mT": (lambda a: a.mT, np.stack([A, A])),
    "matrix_transpose": (np.matrix_transpose, A), "linalg.matrix_transpose": (np.linalg.matrix_transpose, A),
}  # fmt: skip
if hasattr(np, "matvec"):
    PRODUCTS |= {"matvec": (np.matvec, A, B[:, 0]), "vecmat": (np.vecmat, B[0, :3], A)}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(name):
    call, *args = PRODUCTS[name]
    check(call, args)


def test_the_cross_product_of_two_entries():
    """The z component; NumPy warns that it will leave it."""
    a, b = traced(G.normal(size=(4, 2))), G.normal(size=(4, 2))
    np.testing.assert_array_equal(np.cross(a, b).value, a.value[:, 0] * b[:, 1] - a.value[:, 1] * b[:, 0])
    b = np.array([1.0, 2.0, 3.0])
    padded = np.column_stack([a.value, np.zeros(4)])
    np.testing.assert_array_equal(np.cross(a, b).value, np.cross(padded, b))
    np.testing.assert_array_equal(np.cross(b, a).value, np.cross(b, padded))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda x: np.cross(x, x), ShapeError),
        (lambda x: np.linalg.cross(x[:, :2], x[:, :2]), ShapeError),
        (lambda x: np.linalg.matrix_power(x, 2), np.linalg.LinAlgError),
        (lambda x: np.linalg.matrix_power(x[:, :3], 0.5), TypeError),
        (lambda x: np.linalg.multi_dot([x]), ValueError),
        (lambda x: np.linalg.multi_dot([x, x[None], x]), np.linalg.LinAlgError),
        (lambda x: np.linalg.multi_dot([x, x.T], out=np.zeros((3, 3))), MutationError),
        (lambda x: np.matrix_transpose(x[0]), ShapeError),
    ],
)
def test_products_that_do_not_exist(call, error):
    with pytest.raises(error):
        call(traced(A))


@pytest.mark.parametrize("formula", ["ij,jk->ik", "ij,kj->ki", "bij,bjk->bik", "ij,ij->ij", "i,j->ij", "ij,jk,kl->li"])
def test_a_formula_that_is_known_answers_for_arrays_that_lie_otherwise(formula):
    shapes = [x.shape for x in operands(formula)]
    for orders in ("CCC", "FFF", "CFC", "FCF", "CCC"):
        args = [np.asarray(G.normal(size=shape), order=order) for shape, order in zip(shapes, orders, strict=False)]
        want, found = np.einsum(formula, *args), np.einsum(formula, *map(traced, args))
        np.testing.assert_allclose(found.value, want, rtol=1e-13, atol=1e-14)
        if len(args) == 2:
            assert found.value.strides == want.strides


def test_a_formula_that_is_known_answers_for_other_shapes():
    for n in (2, 3, 1, 3):
        for formula in ("ij,jk->ik", "ij,jk", "ii,i->i", "...i,i->..."):
            terms = formula.partition("->")[0].split(",")
            args = [G.normal(size=(n,) * (1 + term.endswith(("j", "k", "ii", ".i")))) for term in terms]
            np.testing.assert_allclose(
                np.einsum(formula, *map(traced, args)).value, np.einsum(formula, *args), rtol=1e-13
            )
    with pytest.raises(ShapeError, match="one label has both 3 and 4"):
        np.einsum("ij,jk->ik", traced(np.ones((2, 3))), traced(np.ones((4, 2))))
