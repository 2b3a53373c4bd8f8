"""`y = DATA * 2; y += x`: a plain array that one local variable alone refers to becomes traced; others are refused."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, UnsupportedError

DATA = np.array([1.0, -2.0, 0.5])
X = np.array([0.3, 1.7, -0.4])


class Holder:
    def __init__(self, y):
        self.y = y


def accumulated(x):
    total = DATA * 0.0
    for i in range(1, 4):
        total += x**i
    return total


def copied_then_all_kinds(x):
    y = DATA.copy()
    y += x
    y[0] = x[1] * y[2]
    y -= 0.5
    y *= x
    y /= 2.0
    y **= 2
    y[1:] += x[1:]
    return y


def of_a_product(x):
    y = np.outer(DATA, DATA) @ DATA
    y -= np.sin(x)
    return y


def in_a_callee(x):
    def add(target, x):
        target += x * x
        return target

    return add(DATA / 2, x)


def in_a_generator(x):
    def running():
        total = DATA * 0
        for power in range(3):
            total += x**power
            yield total * 1.0

    return sum(running())


def broadcast(x):
    y = np.multiply.outer(DATA, DATA)
    y *= x
    return y


def given_on_afterwards(x):
    y = DATA * 2
    y += x
    kept = [y, y[1:]]
    y *= 3.0
    return kept[0] + kept[1].sum()


def float32(x):
    y = (DATA * 2).astype(np.float32)
    y += x
    return y.astype(float)


def made_in_a_branch(x):
    for i in range(3):
        if i == 0:
            total = DATA * 0.0
        total += x**i
    return total


def after_a_branch(x):
    total = DATA * 0.0
    for i in range(3):
        total += x**i if i % 2 else np.sin(x) + (x if i else -x)
    return total


def on_one_line(x):
    total = DATA * 1.0
    for part in (x, x * x): total += part  # noqa: E701  # fmt: skip
    return total


def in_a_new_one_of_the_same_name(x):
    def add(target, x):
        target = target * 2
        target += x
        return target

    y = DATA * 3
    return add(y, x) + y


@pytest.mark.parametrize("f", [accumulated, copied_then_all_kinds, of_a_product, in_a_callee, in_a_generator, broadcast,
                               given_on_afterwards, made_in_a_branch, after_a_branch, on_one_line,
                               in_a_new_one_of_the_same_name], ids=lambda f: f.__name__)  # fmt: skip
def test_the_gradient_is_right(f):
    np.testing.assert_allclose(pb.vjp(f, X)[0], f(X), rtol=1e-14)
    pb.check_grads(f, X)
    np.testing.assert_array_equal(DATA, [1.0, -2.0, 0.5])


def test_the_dtype_stays():
    assert pb.vjp(float32, X)[0].dtype == np.float64
    np.testing.assert_array_equal(pb.vjp(float32, X)[0], float32(X))


def another_name(x):
    y = DATA.copy()
    z = y
    y += x
    return z


def in_a_list(x):
    y = DATA.copy()
    kept = [y]
    y += x
    return kept[0]


def a_view_of_it(x):
    y = DATA.copy()
    v = y[1:]
    y += x
    return v


def it_is_a_view(x):
    y = DATA.copy()[1:]
    y += x[1:]
    return y


def by_out(x):
    y = DATA.copy()
    np.add(y, x, out=y)
    return y


def the_outside_one(x):
    y = DATA
    y += x
    return y


def an_attribute(x):
    holder = Holder(DATA * 1)
    holder.y += x
    return holder.y


def in_a_closure(x):
    y = DATA.copy()

    def read():
        return y

    y += x
    return read()


def held_by_the_caller(x):
    y = DATA * 1

    def add(target, x):
        target += x

    add(y, x)
    return y


def held_by_the_caller_s_caller(x):
    y = DATA * 1

    def add(*, target, x):
        target += x if x.size else -x

    def give(z, x):
        add(target=z, x=x)

    give(y, x)
    return y


def held_by_the_caller_of_a_generator(x):
    y = DATA * 1

    def add(target, x):
        for _ in range(2):
            target += x
            yield target

    for _ in add(y, x):
        pass
    return y


def another_name_after_a_branch(x):
    y = DATA.copy()
    z = y
    y += x if len(z) else -x
    return z


def another_name_made_in_a_branch(x):
    for i in range(2):
        if i == 0:
            y = z = DATA.copy()
        y += x
    return z


SEEN = [another_name, in_a_list, a_view_of_it, it_is_a_view, by_out, the_outside_one, an_attribute,
        in_a_closure, another_name_after_a_branch, another_name_made_in_a_branch]  # fmt: skip
LENT = [held_by_the_caller, held_by_the_caller_s_caller, held_by_the_caller_of_a_generator]


@pytest.mark.parametrize("f", SEEN + LENT, ids=lambda f: f.__name__)
def test_what_something_else_can_see_is_refused(f):
    with pytest.raises(MutationError, match=rf"test_owned\.py:\d+ in {'add' if f in LENT else f.__name__}: "):
        pb.grad(lambda x: np.sum(f(x)))(X)
    np.testing.assert_array_equal(DATA, [1.0, -2.0, 0.5])


def test_integers_are_refused():
    def f(x):
        y = np.arange(3) * 2
        y += x
        return y.sum()

    def g(x):
        y = DATA.astype(int)
        y += x
        return y.sum()

    for function in (f, g):
        with pytest.raises(UnsupportedError, match="a traced float64 cannot be stored in an array of int64"):
            pb.grad(function)(X)


def test_audits_agree():
    assert len(pb.audit(accumulated, X)) == 0
    (found,) = pb.audit(another_name, X)
    assert found.line == another_name.__code__.co_firstlineno + 3
    assert len(pb.audit(accumulated, X)) == 0


def test_many_threads():
    failed = []

    def work():
        try:
            for _ in range(20):
                np.testing.assert_allclose(pb.grad(lambda x: accumulated(x).sum())(X), 1 + 2 * X + 3 * X**2)
                with pytest.raises(MutationError):
                    pb.grad(lambda x: another_name(x).sum())(X)
        except BaseException as problem:
            failed.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# what the refusals say

GRID = np.zeros((2, 3))
BUFFERS = {"a": GRID, "list": [GRID]}


def view(x):
    v = GRID[0]
    v[1] = x[0]


def rows(x):
    for row in GRID:
        row[1] = x[0]


def reshaped(x):
    flat = GRID.ravel()
    flat[2:4] = x[:2]


def arithmetic(x):
    y = GRID * 2
    y[0, 0] = x[0]


def default(x, buffer=np.zeros(3)):  # noqa: B008
    buffer[1] = x[0]


def passed(x):
    fill_first(GRID, x)


def fill_first(target, x):
    target[0] = x


def alias(x):
    w = Holder(GRID).y
    w[0] = x


def in_a_dict(x):
    BUFFERS["a"][0] = x


def in_a_list_of_a_dict(x):
    BUFFERS["list"][0][1] = x


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (view, "the array v is a view of a plain array (…: v = GRID[0])"),
        (rows, "the array row is a view of a plain array (…: for row in GRID:)"),
        (reshaped, "the array flat is a view of a plain array (…: flat = GRID.ravel())"),
        (arithmetic, "the array y was made from plain arrays only (…: y = GRID * 2)"),
        (default, "the array buffer was made before the differentiated function ran "
                  "(…: def default(x, buffer=np.zeros(3)):  # noqa: B008)"),
        (passed, "the array target was made before the differentiated function ran (…: GRID = np.zeros((2, 3)))"),
        (alias, "the array w is one that was there before (…: w = Holder(GRID).y)"),
        (in_a_dict, "the array BUFFERS['a'] was made before the differentiated function ran "
                    "(…: GRID = np.zeros((2, 3)))"),
        (in_a_list_of_a_dict, "the array BUFFERS['list'][0] was made before the differentiated function ran "
                              "(…: GRID = np.zeros((2, 3)))"),
    ],
    ids=lambda case: getattr(case, "__name__", ""),
)  # fmt: skip
def test_both_lines_are_named(f, text):
    with pytest.raises(MutationError) as raised:
        pb.grad(lambda x: f(x) or x.sum())(X)
    import re

    assert re.sub(rf"{re.escape(__file__)}:\d+", "…", raised.value.why) == f"{text}, and a plain array has no history"
    assert __file__ in raised.value.where
    assert (GRID == 0).all()
