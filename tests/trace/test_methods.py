"""Methods of plain arrays: `X.dot(w)` of a traced w, and `out = X.copy()` that is written into."""

import functools
import threading
import types

import numpy as np
import pytest

import payback as pb
from payback.errors import PaybackError
from payback.trace.shim.methods import _ORIGINALS, calls_methods

X = np.arange(12.0).reshape(4, 3) / 7
W = np.array([0.3, -0.2, 0.9])
LAW = X.T @ (2 * (X @ W))


def by_name(w):
    return (X.dot(w) ** 2).sum()


class Model:
    def __init__(self, data):
        self.data = {"x": data}

    def cost(self, w):
        return np.sum(self.data["x"].dot(w) ** 2)


def from_another_module():
    module = types.ModuleType("far_away")
    exec(compile("import numpy as np\ndef far(x, w):\n    return x.dot(w)\n", "far_away.py", "exec"), module.__dict__)
    return lambda w: np.sum(module.far(X, w) ** 2)


def local_import(w):
    import numpy as numbers

    return numbers.sum(X.T.T.dot(w) ** 2)


CALLS = {
    "a global name": by_name,
    "an attribute": Model(X).cost,
    "a module not in sys.modules": from_another_module(),
    "a local import": local_import,
    "by keyword": lambda w: np.sum(X.dot(b=w) ** 2),
    "within itself": lambda w: np.sum(w.dot(X.T).dot(np.eye(4)) ** 2),
    "a partial": functools.partial(lambda x, w: np.sum(x.dot(w) ** 2), X),
    "in a comprehension": lambda w: sum([row.dot(w) ** 2 for row in X]),
    "getattr": lambda w: np.sum(X.dot(w) ** 2 if X.size else getattr(X, "dot")(w)),  # noqa: B009
    "a bound method": lambda w: np.sum(next(map(X.dot, [w])) ** 2),
    "through the class": lambda w: np.sum(np.ndarray.dot(X, w) ** 2),
    "whole numbers": lambda w: np.sum((7 * X).astype(int).dot(w) ** 2) / 49,
    "a written array": lambda w: np.sum(X.dot(np.array([w[0], w[1], w[2]])) ** 2),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_product_by_its_method(name):
    f = CALLS[name]
    for _ in range(3):  # what is proved, is proved at the second call
        np.testing.assert_allclose(pb.grad(f)(W), LAW, rtol=1e-12)
    np.testing.assert_allclose(pb.hessian(f)(W), 2 * X.T @ X, rtol=1e-12)
    np.testing.assert_allclose(pb.jvp(f, (W,), (np.ones(3),))[1], LAW.sum(), rtol=1e-12)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(W), LAW, rtol=1e-12)
    np.testing.assert_allclose(pb.vmap(pb.grad(f))(np.stack([W, W])), [LAW, LAW], rtol=1e-12)


def test_products_with_what_shapes_there_are():
    for a, b in [((), ()), ((3,), ()), ((), (2, 3)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)),
                 ((2, 4, 3), (5, 3, 2)), ((0, 3), (3,))]:  # fmt: skip
        c, x = np.random.default_rng(0).standard_normal(a), np.random.default_rng(1).standard_normal(b)
        got = pb.jacobian(lambda x, c=c: np.asarray(c).dot(x))(x)
        np.testing.assert_allclose(got, pb.jacobian(lambda x, c=c: np.dot(c, x))(x), rtol=1e-13)


def test_bounds_and_places():
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(X[0].clip(w, 1.0) * [1, 2, 3]))(W + 5.0), [0, 0, 0])
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(X[0].clip(w, 9.0) * [1, 2, 3]))(W + 5.0), [1, 2, 3])
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(w * np.arange(9.0).searchsorted(w)))(W), [1.0, 0.0, 1.0])


def test_what_was_there_is_there_again():
    with pytest.raises(ZeroDivisionError):
        pb.grad(lambda w: X.dot(w).sum() / (1 // 0))(W)
    assert all(vars(np.ndarray)[name] is method for name, method in _ORIGINALS.items())
    assert type(X.dot) is type([].append)


def test_the_methods_of_ufuncs_are_there_again():
    before = [vars(np.ufunc)[name] for name in ("reduce", "accumulate", "outer")]
    pb.grad(lambda x: np.maximum.reduce([x[0], x[1]]))(np.array([1.0, 2.0]))
    assert [vars(np.ufunc)[name] for name in ("reduce", "accumulate", "outer")] == before


def test_other_threads_see_the_method_that_they_know():
    seen, begun, done = [], threading.Event(), threading.Event()

    def f(w):
        begun.set()
        assert done.wait(30)
        return np.sum(X.dot(w) ** 2)

    def other():
        assert begun.wait(30)
        seen.extend([X.dot(W), X.dot(W, out=np.empty(4)), np.dot(X, W)])
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    np.testing.assert_allclose(pb.grad(f)(W), LAW)
    thread.join()
    assert all(type(result) is np.ndarray and (result == X @ W).all() for result in seen)


def test_who_calls_no_such_method_pays_nothing():
    assert not calls_methods([lambda w: np.dot(X, w), lambda w: w @ w])
    assert calls_methods([by_name, Model])
    pb.grad(lambda w: np.sum(np.ndarray is not None) * np.dot(w, w))(W)


def test_an_outside_array_is_not_written_into():
    made = np.empty(4)
    with pytest.raises(PaybackError, match="out"):
        pb.grad(lambda w: np.sum(X.dot(w, out=made)))(W)


def copied(w):
    a = X.copy()
    a[1] = w * w
    return np.sum(a**2 * X)


def converted(w):
    a = (np.arange(4) * 2).astype(float)
    a[1:3] += w[:2]
    return np.sum(a**3)


def flattened(w):
    a = X.flatten()
    a[3:6] *= w
    return np.sum(a**2)


def of_a_function(w):
    a, b, c = np.where(X > 0.5, X, 0.0), np.outer(W, W), np.sort(W)
    a[0], b[0, 1], c[:2] = w, w[0] * w[1], w[1:]
    return np.sum(a**2) + np.sum(b**3) + np.sum(c**2)


def put_in(w):
    a, b = X[0].copy(), np.cumsum(X[1])
    np.put(a, [0, 2], w[:2])
    np.add.at(b, [0, 0, 1], w)
    return np.sum(a * b)


def in_place_in_part(w):
    a = X[0].copy()
    a[1:] += w[1:]
    return np.sum(a**2)


def reduced(w):
    scale, level, total = X.std(axis=0), X.mean(0), X.cumsum(axis=1)
    scale[0], level[1] = w[0], w[1]
    total[:, 2] *= w[2]
    return np.sum(((X - level) * scale) ** 2) + np.sum(total**2) + X.sum()


def along(w):
    return np.sum(np.apply_along_axis(lambda row: row * w, 1, X) ** 2)


def differences(f):
    return [(f(W + 1e-6 * e) - f(W - 1e-6 * e)) / 2e-6 for e in np.eye(3)]


@pytest.mark.parametrize(
    "f",
    [copied, converted, flattened, of_a_function, put_in, in_place_in_part, reduced, along],
    ids=lambda f: f.__name__,
)
def test_new_arrays_are_written_into(f):
    before = X.copy()
    for transform in (pb.grad(f), pb.compile(pb.grad(f)), lambda w: pb.vmap(pb.grad(f))(np.stack([w, w]))[0]):
        np.testing.assert_allclose(transform(W), differences(f), rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(X, before)
    np.testing.assert_allclose(pb.hessian(f)(W), np.stack(differences(pb.grad(f))), rtol=1e-5, atol=1e-7)


def test_what_answers_with_what_it_was_given_makes_nothing_new():
    given = np.ones(3)

    def f(w):
        same = np.asarray(given)
        same[0] = w[0]
        return np.sum(w)

    with pytest.raises(PaybackError, match="plain array"):
        pb.grad(f)(W)
    assert type(given) is np.ndarray


def test_what_is_put_out_into_an_array_is_that_array():
    out = np.zeros(3)

    def f(w):
        made = X.sum(axis=0, out=out)
        made[0] = w[0]
        return np.sum(made)

    with pytest.raises(PaybackError, match="plain array"):
        pb.grad(f)(W)
    np.testing.assert_array_equal(out, X.sum(axis=0))


def test_who_writes_nothing_has_plain_arrays():
    kinds = []

    def f(w):
        kinds.extend([type(X.copy()), type(np.outer(W, W))])
        return np.sum(w)

    pb.grad(f)(W)
    assert kinds == [np.ndarray, np.ndarray]


class Table(np.ndarray):
    pass


def writing_as(name):
    module = types.ModuleType(name)
    exec("def work(x):\n    y = x.copy()\n    y[...] = 1.0\n    return type(y)\n", module.__dict__)
    return module.work


def test_only_new_plain_arrays_of_the_users_traced_code_can_be_written_into():
    kinds, given, numbers = {}, X.copy(), np.array(2.0)

    def f(w):
        a = X.copy()
        a[0] = w
        thread = threading.Thread(target=lambda: kinds.update(thread=writing_as("far")(X)))
        thread.start()
        thread.join()
        kinds["of a user"] = writing_as("far")(X)
        kinds["of a package"] = writing_as("scipy.far")(X)
        kinds["of a class"] = type(X.view(Table).copy())
        kinds["a number"] = writing_as("far")(numbers)
        same = given.astype(float, copy=False)
        assert same is given
        same[0] = 5.0
        return np.sum(a**2)

    np.testing.assert_allclose(pb.grad(f)(W), 2 * W)
    np.testing.assert_array_equal(given[0], 5.0)
    assert kinds.pop("of a user") is not np.ndarray
    assert kinds.pop("of a class") is Table
    assert set(kinds.values()) == {np.ndarray}


def test_the_same_array_converted_is_no_new_one():
    def f(w):
        same = X.astype(float, copy=False)
        same[0] = w
        return np.sum(same)

    with pytest.raises(PaybackError, match="cannot be stored in a plain array"):
        pb.grad(f)(W)


def through_a_class(w):
    class Inner:
        def cost(self, v):
            return np.sum(X.dot(v) ** 2)

    return Inner().cost(w)


class Other:
    @staticmethod
    def product(w):
        return X.dot(w)


def test_methods_of_classes_are_looked_through():
    assert calls_methods([Model])
    assert not calls_methods([type("Empty", (), {"cost": lambda self, w: w @ w})])
    assert calls_methods([through_a_class])
    np.testing.assert_allclose(pb.grad(through_a_class)(W), LAW)
    np.testing.assert_allclose(pb.grad(lambda w: np.sum(Other.product(w) ** 2))(W), LAW)
