"""`A @ x` of SciPy's sparse matrices and traced arrays: the product with the dense matrix, in every mode."""

import numpy as np
import pytest
import scipy.sparse as sp

import payback as pb
from payback.errors import PaybackError, ShapeError

DENSE = np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
X = np.array([0.3, -0.2, 0.9])
Y = np.array([0.3, -0.2, 0.9, 0.5])
MANY = np.arange(6.0).reshape(3, 2) - 2.5
FORMATS = ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"]
KINDS = [sp.csr_array, sp.csr_matrix]

PRODUCTS = {
    "A @ x": (lambda a, x: a @ x, X),
    "A.dot(x)": (lambda a, x: a.dot(x), X),
    "A @ X": (lambda a, x: a @ x, MANY),
    "A @ column": (lambda a, x: a @ x, X[:, None]),
    "y @ A": (lambda a, x: x @ a, Y),
    "Y @ A": (lambda a, x: x @ a, np.stack([Y, -Y])),
    "A.T @ y": (lambda a, x: a.T @ x, Y),
    "of a slice": (lambda a, x: a[:2] @ x[::-1], X),
}


def checked(f, dense, x):
    cost, law = (lambda x: np.sum(f(x) ** 3)), (lambda x: np.sum(dense(x) ** 3))
    np.testing.assert_allclose(f(x), dense(x), rtol=1e-14)
    np.testing.assert_allclose(pb.grad(cost)(x), pb.grad(law)(x), rtol=1e-13)
    np.testing.assert_allclose(pb.hessian(cost)(x), pb.hessian(law)(x), rtol=1e-13)
    np.testing.assert_allclose(pb.jvp(f, (x,), (np.ones_like(x),))[1], dense(np.ones_like(x)), rtol=1e-13)
    np.testing.assert_allclose(pb.compile(pb.grad(cost))(x), pb.grad(law)(x), rtol=1e-13)
    np.testing.assert_allclose(pb.vmap(pb.grad(cost))(np.stack([x, x]))[1], pb.grad(law)(x), rtol=1e-13)


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("kind", KINDS)
def test_products(name, kind):
    f, x = PRODUCTS[name]
    sparse = kind(DENSE)
    checked(lambda x: f(sparse, x), lambda x: f(DENSE, x), x)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name):
    sparse = sp.csr_array(DENSE).asformat(name)
    checked(lambda x: sparse @ x, lambda x: DENSE @ x, X)


def test_the_star_of_a_matrix_is_its_product():
    matrix = sp.csr_matrix(DENSE)
    checked(lambda x: matrix * x, lambda x: DENSE @ x, X)
    checked(lambda x: x * matrix, lambda x: x @ DENSE, Y)
    with pytest.raises(PaybackError, match="takes bare numbers"):
        pb.grad(lambda x: (sp.csr_array(DENSE) * x).sum())(X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * sp.csr_array(DENSE[:3]),
        lambda x: sp.csr_matrix(DENSE) * x[0],
        lambda x: x[0] * sp.csr_matrix(DENSE),
    ],
)
def test_entries_times_something_are_not_a_product(f):
    with pytest.raises(PaybackError, match="takes bare numbers"):
        pb.grad(lambda x: f(x).sum())(X)


def test_entries_that_stand_twice_are_added():
    twice = sp.coo_array(([1.0, 2.0, 4.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 3))
    checked(lambda x: twice @ x, lambda x: twice.toarray() @ x, X)


def test_types_are_kept():
    single = sp.csr_array(DENSE.astype(np.float32))
    assert pb.jvp(lambda x: single @ x, (X.astype(np.float32),), (X.astype(np.float32),))[1].dtype == np.float32
    single = X.astype(np.float32)
    wide = pb.vjp(lambda x: sp.csr_array(DENSE) @ x, single)[0]
    assert wide.dtype == (sp.csr_array(DENSE) @ single).dtype == np.float64
    whole = sp.csr_array(DENSE.astype(int))
    checked(lambda x: whole @ x, lambda x: DENSE @ x, X)


def test_what_it_held_is_what_counts():
    sparse = sp.csr_array(DENSE)

    def f(x):
        y = sparse @ x
        sparse.data[:] = 0.0
        return np.sum(y)

    np.testing.assert_allclose(pb.grad(f)(X), DENSE.sum(0))


def test_the_laplacian_of_a_chain():
    n = 50
    laplacian = sp.diags([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], [-1, 0, 1], format="csr")
    x = np.sin(np.arange(n))
    np.testing.assert_allclose(pb.grad(lambda x: 0.5 * x @ (laplacian @ x))(x), laplacian @ x, rtol=1e-13)


@pytest.mark.parametrize("f", [lambda a, x: a @ x[:2], lambda a, x: x @ a, lambda a, x: a @ np.sum(x)])
def test_shapes_that_do_not_fit(f):
    sparse = sp.csr_array(DENSE)
    with pytest.raises((PaybackError, ValueError)):
        pb.grad(lambda x: np.sum(f(sparse, x)))(X)


@pytest.mark.parametrize(
    "f",
    [lambda x: sp.coo_array(DENSE[0]) @ x, lambda x: x @ sp.coo_array(DENSE[0]),
     lambda x: sp.csr_array(DENSE) @ np.stack([np.outer(x, x)] * 2)],
)  # fmt: skip
def test_products_of_other_than_two_axes(f):
    with pytest.raises(ShapeError, match="a product with a sparse matrix"):
        pb.grad(lambda x: np.sum(f(x)))(X)


@pytest.mark.parametrize(
    "f", [lambda a, x: sp.diags(x) @ X, lambda a, x: a.multiply(x).sum(), lambda a, x: np.dot(a, x)]
)
def test_what_is_not_answered_raises(f):
    sparse = sp.csr_array(DENSE)
    with pytest.raises(PaybackError, match=r"bare numbers|dtype object"):
        pb.grad(lambda x: np.sum(f(sparse, x)))(X)
