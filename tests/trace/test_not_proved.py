"""What might write into an array, or needs the shim, must never be taken for plain."""

import functools

import numpy as np
import pytest
from tests.trace.proving import SQUARE, SUBCLASS, Found, X, Y, decorated, helper, is_proved, writer

import payback as pb
from payback.trace.proof.proved import proved

SCALE = 2.0
HIDDEN, VARIABLE = {"out": Y}, pb.variable(2.0)
MASKED, OBJECTS = np.ma.array(X, mask=[0, 1, 0]), np.array([1.0, 2, 3], object)
exec("def executed(w):\n    X[0] = 1.0\n    return np.sum(w * X)")
executed = globals()["executed"]


def rebinds(w):
    global SCALE
    SCALE = SCALE * 1.0
    return np.sum(w) * SCALE


def comprehends(w):
    return np.sum(w * [X.fill(1.0) or x for x in X])


def defines(w):
    def inner():
        X[0] = 2.0
        return X

    return np.sum(w * inner())


def keeps(w, kept=[]):  # noqa: B006
    kept.append(1.0)
    return np.sum(w)


def augments(w):
    y = X
    y *= 2.0
    return np.sum(w * y)


def augments_after_a_branch(w):
    y = 0.0
    if w[0] > 0:
        y = X
    y += 1.0
    return np.sum(w * y)


def augments_in_a_loop(w):
    y = 1.0
    for row in (X, Y):
        y += row
        y = row
    return np.sum(w * y)


def augments_the_answer(w):
    y = np.reshape(X, (3, 1))
    y -= 1.0
    return np.sum(w * X)


def augments_a_part(w):
    y = X[1:]
    y += 1.0
    return np.sum(w[1:] * y)


def augments_rows(w):
    for row in SQUARE:
        row += 1.0
    return np.sum(w)


def augments_a_sum_of_nothing(w):
    y = sum([], X)
    y += 1.0
    return np.sum(w * y)


def augments_an_absolute_value(w):
    y = abs(np.ravel(X))
    y += 1.0
    return np.sum(w * y)


def augments_a_default(w, y=X):
    y += 1.0
    return np.sum(w * y)


def calls_either(w):
    g = helper
    if w[0] > 0:
        g = writer
    return np.sum(w * g(X, Y))


def calls_the_other(w):
    g = writer
    if w[0] > 0:
        g = helper
    return np.sum(w * g(X, Y))


def a_method_of_what_may_be_plain(w):
    y = w
    if w[0] > 0:
        y = X
    return (y * 1.0).dot(w)


def recurs(w, n=2):
    return np.sum(w) if n == 0 else recurs(w, n - 1)


def named(w, *, y=X):
    y += 1.0
    return np.sum(w * y)


def augments_what_a_list_came_to_hold(w):
    rows = [w]
    same = rows
    rows.append(X)
    y = same[-1]
    y += 1.0
    return np.sum(w)


def augments_what_a_callee_appends(w):
    def add(rows):
        rows.append(X)

    rows = []
    add(rows)
    for row in rows:
        row += 1.0
    return np.sum(w)


def appends(rows, row):
    rows.append(row)


def augments_what_a_helper_appends(w):
    rows = [1.0]
    rows.append(2.0)
    appends(rows, X)
    y = rows[1]
    y += 1.0
    return np.sum(w)


def augments_what_a_cell_holds_later(w):
    def inner():
        return y

    y, total = 1.0, 0.0
    for _ in range(2):
        z = inner()
        z += 1.0
        total = total + np.sum(z)
        y = X
    return np.sum(w) * total


def augments_a_comprehension(w):
    y = [row[:] for row in (X,)][0]  # noqa: RUF015
    y += 1.0
    return np.sum(w)


def augments_what_is_yielded(w):
    for row in (row for row in (X, Y)):
        row += 1.0
    return np.sum(w)


def takes_any(*rows):
    w, y = rows
    y += 1.0
    return np.sum(w)


def augments_values(w):
    for value in {"a": X, "b": 1.0}.values():
        value += 1.0
    return np.sum(w)


def keeps_outside(w):
    KEPT.append(1.0)
    return np.sum(w)


def nonlocally(w):
    def change():
        nonlocal y
        y = X

    y = 1.0
    change()
    y += 1.0
    return np.sum(w)


class Odd:
    def __init__(self, data=None):
        self.data, self.rows = data, [X]

    @property
    def shifted(self):
        row = self.rows[0]
        row += 1.0
        return row

    def __bool__(self):
        X.fill(1.0)
        return True

    def __getattr__(self, name):
        X.fill(2.0)
        return 1.0

    def __len__(self):
        X.fill(3.0)
        return 3

    def cost(self, w):
        row = self.rows[0]
        row += 1.0
        return np.sum(w)


class Asked(Odd):
    def __getattribute__(self, name):
        X.fill(1.0)
        return 1.0

    @property
    def __class__(self):
        X.fill(2.0)
        return float


class Finding:
    data, value = Found(), property(lambda self: X.fill(1.0) or 1.0)

    def __init__(self):
        self.__dict__["value"] = 1.0
        self.__call__ = lambda w: np.sum(w)


def odd():
    """Hidden from pytest, which asks what stands in a module for its attributes."""
    odd, asked, finding = Odd(), Asked(), Finding()
    return {
        "a property that writes": lambda w: np.sum(w * odd.shifted),
        "an object's truth": lambda w: np.sum(w) if odd else 0.0,
        "an object's truth, for its value": lambda w: np.sum(w) * (odd and 1.0),
        "an object's length": lambda w: np.sum(w) * len(odd),
        "an attribute that is made": lambda w: np.sum(w) * odd.other,
        "attributes that are all made": lambda w: np.sum(w) * asked.data,
        "an object that says of what class it is": lambda w: np.sum(w) * isinstance(asked, float),
        "a descriptor": lambda w: np.sum(w * finding.data),
        "a property before an attribute": lambda w: np.sum(w * finding.value),
        "a call that is an attribute": finding,
        "a method that writes": odd.cost,
    }


KEPT = []
NOT_PLAIN = odd() | {
    "a function of several that writes": lambda w: sum(f(X, Y)[0] for f in (helper, writer)) * np.sum(w),
    "a text of a traced value": lambda w: np.sum(w) * len(f"{w}"),
    "an array of lists of traced values": lambda w: np.sum(np.array([[w[0], w[1]], [1.0, 2.0]])),
    "a list of lists of traced values": lambda w: np.sum(np.concatenate([[w[0], w[1]], X])),
    "a method of whole numbers": lambda w: np.argsort(w).dot(w),
    "a traced shift": lambda w: np.sum(w * np.roll(X, w[0])),
    "a traced order": lambda w: np.sum(w * np.linalg.norm(X, ord=w[0])),
    "a traced bound": lambda w: np.sum(X[: w[0]]),
    "a traced range": lambda w: sum(range(w[0])) + np.sum(w),
    "identity": lambda w: np.sum(w) if w is X else 0.0,
    "object dtype by name": lambda w: np.sum(w * np.zeros(3, dtype="O")),
    "a subclass": lambda w: np.sum(w * SUBCLASS),
    "a masked array": lambda w: np.sum(w * MASKED),
    "an array of objects": lambda w: np.sum(w * OBJECTS),
    "out by position": lambda w: np.sum(w * np.add(X, Y, Y)),
    "out by position, one argument": lambda w: np.sum(w * np.exp(X, Y)),
    "out of a sum": lambda w: np.sum(w * np.sum(np.ones((2, 3)), 0, None, Y)),
    "out of a product": lambda w: np.sum(w * np.dot(SQUARE, X, Y)),
    "out of a method": lambda w: np.sum(w * SQUARE.dot(X, Y)),
    "out of a clip": lambda w: np.sum(w * np.clip(X, 0.0, 1.0, Y)),
    "out by name": lambda w: np.sum(w * np.add(X, Y, out=Y)),
    "out in a dictionary": lambda w: np.sum(w * np.exp(X, **HIDDEN)),
    "arguments in a tuple": lambda w: np.sum(w * np.add(*(X, Y, Y))),
    "copyto": lambda w: np.copyto(X, Y) or np.sum(w * X),
    "put": lambda w: np.put(X, [0], 1.0) or np.sum(w * X),
    "nan_to_num": lambda w: np.sum(w * np.nan_to_num(X, False)),
    "sort": lambda w: X.sort() or np.sum(w * X),
    "fill": lambda w: X.fill(2.0) or np.sum(w * X),
    "a callee": lambda w: np.sum(w * writer(X, Y)),
    "a partial": functools.partial(writer, X),
    "a partial that names an argument": functools.partial(lambda w, y: writer(y, w[0]), y=X),
    "a method": np.sum(X).sum,
    "a function called by a decorated one": lambda w: np.sum(decorated(helper)(w)),
    "executed": executed,
    "walrus": lambda w: np.sum(w * (y := X).__iadd__(1.0)) + np.sum(y),
    "an attribute": lambda w: np.sum(w * X.base),
    "type": lambda w: np.sum(w) if type(w) is np.ndarray else 0.0,
    "at": lambda w: np.add.at(X, 0, 1.0) or np.sum(w),
    "a list of traced values": lambda w: np.sum([w[0], w[1]]),
    "an array of traced values": lambda w: np.sum(np.array([w[0], w[1]])),
    "a traced extent": lambda w: np.sum(w) + np.sum(np.full(3, w[0])),
    "print": lambda w: print(end="") or np.sum(w),
    "a variable": lambda w: np.sum(w) * VARIABLE,
    "object dtype": lambda w: np.sum(w * np.zeros(3, "O")),
}
NOT_PLAIN |= {f.__name__: f for f in (rebinds, comprehends, defines, keeps, augments, augments_after_a_branch,
              augments_in_a_loop, augments_the_answer, augments_a_part, augments_rows,
              augments_a_sum_of_nothing, augments_an_absolute_value, augments_a_default, calls_either, calls_the_other,
              a_method_of_what_may_be_plain, recurs, named,
              augments_what_a_list_came_to_hold, augments_what_a_callee_appends, augments_what_a_helper_appends,
              augments_what_a_cell_holds_later, augments_a_comprehension, augments_what_is_yielded, takes_any,
              augments_values, keeps_outside, nonlocally)}  # fmt: skip


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_might_write_or_needs_the_shim_is_not_proved(name):
    assert not is_proved(NOT_PLAIN[name], *([X, Y] if name == "takes_any" else [X]))


def test_a_wrapper_of_many_functions_is_proved_for_those_that_are_plain():
    def around(inner):
        return lambda w: inner(w)

    for _ in range(40):
        assert not is_proved(around(NOT_PLAIN["augments"]), X)
    plain = around(helper)
    assert [proved(plain, (X,), {}, (0,)) for _ in range(20)][-1].plain


def test_arguments_of_which_some_parts_are_not_traced_are_not_proved():
    f = lambda p: np.sum(p[0] * p[1])  # noqa: E731
    assert is_proved(f, [X, Y])
    assert not is_proved(f, [X, np.arange(3)])
    assert not is_proved(f, [X, SUBCLASS])
    assert not is_proved(f, {"a": X, 1: Y})


def test_a_traced_argument_is_not_proved():
    found = []
    pb.grad(lambda w: found.append(is_proved(helper, w)) or np.sum(w))(X)
    assert found == [False]
