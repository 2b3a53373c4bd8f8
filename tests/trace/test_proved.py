"""What is proved plain needs neither snapshots nor the shim; what is not must never be taken for it."""

import dataclasses
import functools
import sys
import types

import numpy as np
import pytest

import payback as pb
from payback.errors import PaybackError
from payback.trace.proof.proved import proved
from payback.trace.proof.pure import Known
from payback.trace.shim import shim
from payback.transforms import gradient

X, Y = np.array([0.3, -1.2, 2.0]), np.array([1.5, 0.4, -0.7])
TABLE, SCALE = {"a": X, "b": Y}, 2.0


def is_proved(f, *args, wrt=(0,)):
    return [proved(f, args, {}, wrt) for _ in range(3)][-1] == Known(plain=True)


def helper(a, b=2.0):
    return np.tanh(a) * b


def layers(w, parts):
    h = X
    for W, b in parts:
        h = np.maximum(W @ h + b, 0.0)
    return np.sum(h * w)


def steps(w):
    y, loss = X, 0.0
    for i in range(4):
        y = y + 0.1 * helper(w * y, SCALE)
        loss += np.sum(y**2) / (i + 1)
        if loss > 100.0:
            return loss
    return loss - (w[0] if w is None else w[-1])


def statistics(w):
    centered = w[None, :] - np.stack([X, Y])
    both = np.concatenate([centered, np.zeros((1, 3))], axis=0)
    n, d = both.shape
    return np.linalg.norm(both) + both.sum(axis=1).mean() + np.einsum("ij,ij->", both, both) / len(both) + n * d


def dictionary(p):
    h = p["W"] @ X + p["b"]
    h += Y
    return -np.sum(np.log(np.where(h > 0, h, 1.0))) + abs(h[1]) + sum(h[:2])


SQUARE = np.array([[2.0, 0.3, 0.1], [0.1, 1.5, -0.2], [0.4, 0.0, 1.0]])
ORDER = np.array([2, 0, 1])


def moved(w):
    first, rest = np.split(np.append(np.tile(w, 2), np.repeat(Y, 2)), [4])
    rows, columns = np.meshgrid(w, Y)
    return np.sum(np.take(rest, ORDER).clip(-9.0, 9.0) * np.take_along_axis(X, X.argsort(), 0)) + np.sum(
        first
    ) * np.sum(rows * np.flipud(columns))


def measured(w):
    grid = np.fliplr(np.rot90(np.atleast_2d(w) * SQUARE)) + np.linalg.pinv(SQUARE)
    line = np.interp(w, np.sort(X), Y) + np.cross(w, Y) + np.convolve(w, X)[1:4]
    return np.nansum(grid) + np.nanmean(line) + np.quantile(w, 0.3) + np.percentile(w, 60.0) + np.trapezoid(w, X)


class Data(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        X[0] += 1.0
        return getattr(ufunc, method)(*map(np.asarray, inputs), **kwargs)


class Model:
    def sum(self):
        return 0.0

    def __call__(self, w):
        return np.sum(w * X)


def writer(a, b):
    a += b
    return a


def decorated(f):
    @functools.wraps(f)
    def inside(*args, **kwargs):
        return f(*args, **kwargs)

    return inside


HIDDEN, OPTIONS = {"out": Y}, {"axis": 0}
SUBCLASS, MODEL, MASKED, OBJECTS = X.view(Data), Model(), np.ma.array(X, mask=[0, 1, 0]), np.array([1.0, 2, 3], object)
VARIABLE = pb.variable(2.0)
exec("def executed(w):\n    X[0] = 1.0\n    return np.sum(w * X)")
executed = globals()["executed"]


@dataclasses.dataclass
class Layer:
    weight: object
    act: object = np.tanh
    kind: str = "dense"

    def __call__(self, x):
        return self.act(x @ self.weight) if self.kind == "dense" else x


class Base:
    scale = 2.0

    @property
    def total(self):
        return self.scale + len(self.layers)

    @staticmethod
    def square(x):
        return x * x

    def loss(self, w, *rest, power=2):
        for layer in self.layers:
            w = layer(w)
        return np.sum(self.square(w) ** power) * self.total + sum(np.sum(part) for part in rest)


class Net(Base):
    def __init__(self):
        self.layers = [Layer(SQUARE), Layer(SQUARE, lambda x: np.maximum(x, 0.1)), Layer(SQUARE, kind="none")]


class Slots:
    __slots__ = ("data",)

    def __init__(self, data):
        self.data = data

    def cost(self, w):
        return np.sum(w * self.data)


def rolled(w):
    path, total = [w], 0.0
    path.append(np.tanh(path[-1]))
    rows = [1.0, 2.0]
    rows.append(path[0][0])
    for row in path:
        total = total + np.sum(row)
    return total + np.sum(np.stack(path)[::-1]) + rows[-1]


exec("def checked(w):\n    assert w.ndim == 1, f'{w.ndim} axes'\n    return w")  # pytest rewrites assertions
checked = globals()["checked"]


def within(w, scale=0.5, name="l2"):
    w = checked(w)
    if scale is None or name not in ("l1", "l2"):
        raise ValueError(f"not {name:>3}")
    step = lambda x, by=1.5: np.cos(x * scale) * w[0] * by  # noqa: E731
    values = {"a": [step(w[i]) for i in range(3)], "b": w}
    first, *rest = [step(part, by=2.0) for part in reversed(w)]
    found = {**values}["a"]
    return sum(step(part) for part in found) + first * rest[1] + sum(np.sum(v) for k, v in {"c": w}.items())


def gathered(w, *rest, scale=2.0, bias=None):
    scale = scale if bias is None else bias
    return (
        np.sum(w) * scale + sum(np.sum(part * part) for part in rest) * np.max(np.hypot(*(w, w)))
        if isinstance(w, np.ndarray)
        else 0.0
    )


NET = Net()
PLAIN = [
    (MODEL, X),
    (lambda w: MODEL.sum() + np.sum(w), X),
    (lambda w: np.sum(np.sum(w, **OPTIONS)), X),
    (NET.loss, X),
    (lambda w: NET.loss(w, w, Y, power=3), X),
    (Slots(X).cost, X),
    (rolled, X),
    (within, X),
    (lambda w: gathered(w, w, Y, bias=3.0), X),
    (functools.partial(gathered, scale=3.0), X),
    (lambda layer: np.sum(layer(X)), Layer(SQUARE)),
    (functools.partial(lambda a, b: np.sum(writer(a, b)), b=1.0), X),
    (lambda w: np.sum(w * X), X),
    (lambda w: np.sum(X[::2] * w[1:]) * np.pi, X),
    (lambda w: layers(w, [(SQUARE, Y), (SQUARE.T, X)]) if len(w) > 2 else w[0], X),
    (lambda w, np=np: np.dot(w, X) ** 2, X),
    (steps, X),
    (statistics, X),
    (moved, X),
    (measured, X),
    (dictionary, {"W": SQUARE, "b": X}),
    (lambda x: x**3 - 2 * x, 1.7),
]


def generally(f, *args, **kwargs):
    """The way of functions that are not proved."""
    kept = gradient.proved
    gradient.proved = lambda *_: None
    try:
        return pb.value_and_grad(f)(*args, **kwargs)
    finally:
        gradient.proved = kept


def alike(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return all(map(alike, a, b))
    if isinstance(a, Layer):
        return a.act is b.act and alike(a.weight, b.weight)
    return type(a) is type(b) and np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize(("f", "w"), PLAIN)
def test_what_only_computes_is_proved_and_gives_the_same_bits(f, w):
    assert is_proved(f, w)
    assert alike(pb.value_and_grad(f)(w), generally(f, w))


def test_a_proved_function_reads_the_arrays_where_they_are_and_leaves_them_as_they_were():
    seen, data, w = [], np.linspace(0, 1, 5), np.ones(5)
    f = lambda w: np.sum(np.exp(w * data))  # noqa: E731
    for _ in range(3):
        pb.grad(f)(w)
    kept = gradient.pull_back
    gradient.pull_back = lambda tops, *rest, **how: seen.append(tops[0]) or kept(tops, *rest, **how)
    try:
        pb.grad(f)(w)
    finally:
        gradient.pull_back = kept
    product = seen[0].args[0].args[0]
    for node, array in zip(product.args, (w, data), strict=True):
        assert np.shares_memory(node.value, array)
        assert not node.value.flags.writeable
    assert data.flags.writeable
    assert w.flags.writeable
    data[0] = w[0] = 3.0


def test_gradients_share_no_memory_with_what_was_given():
    w, data = np.ones(4), np.arange(4.0)
    for f in (lambda w: np.sum(w * data), lambda w: np.dot(w, data), lambda w: np.sum(w), lambda w: w @ w):
        for _ in range(3):
            found = pb.grad(f)(w)
        assert not np.shares_memory(found, data)
        assert not np.shares_memory(found, w)
        assert found.flags.writeable


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


class Found:
    def __get__(self, thing, owner):
        X.fill(4.0)
        return X


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


def filled(w):
    out = np.zeros((len(w), 2), dtype=float)
    for i in range(len(w)):
        out[i, 0] = w[i] * w[i - 1]
        out[i, 1] += np.sin(w[i]) * X[i]
    out[1:] *= 2.0
    rows = [np.array([w[0], 1.0]), out[1]]
    rows[0] = rows[1] * 2.0
    return np.sum(out) + out[:, 1].sum() + rows[0][0] * np.mean([w[0], w[1]])


def copies(w):
    y = X.copy()
    y[1] = w[0]
    return y.dot(w) + X.dot(w)


def takes_a_name(w, make=np.zeros):
    out = make(3)
    out[0] = w[0]
    return np.sum(out)


KNOWN = {
    "an array of traced values": (lambda w: np.sum(np.array([w[0], w[1]])), Known(plain=True, shown=True)),
    "traced values in lists": (lambda w: np.sum(np.array([[w[0], 1.0], [w[1], w[2]]])), Known(plain=True, shown=True)),
    "a product of a plain array": (lambda w: X.dot(w), Known(plain=True, shown=True, asks=True)),
    "what is filled": (filled, Known(plain=False, shown=True, asks=True)),
    "copies": (copies, Known(plain=False, shown=True, asks=True)),
    "a name of a maker": (takes_a_name, None),
    "a random number": (lambda w: np.sum(w * np.random.random(3)), None),
    "an entry of a list outside": (lambda w: KEPT.__setitem__(0, 1.0) or np.sum(w), None),
}


def stores_outside(w):
    KEPT[0] = w
    return np.sum(w)


@pytest.mark.parametrize("name", KNOWN)
def test_of_what_stores_or_needs_names_of_numpy_as_much_is_known(name):
    f, known = KNOWN[name]
    assert [proved(f, (X,), {}, (0,)) for _ in range(3)][-1] == known


@pytest.mark.parametrize("name", [name for name, (_, known) in KNOWN.items() if known])
def test_what_is_known_gives_the_same_bits_and_leaves_numpy_as_it_was(name):
    f, usual = KNOWN[name][0], (type(np), np.zeros, np.ndarray.dot)
    expected = generally(f, X)
    for _ in range(3):
        assert alike(pb.value_and_grad(f)(X), expected)
    value, pull = pb.vjp(f, X)
    assert alike((value, pull(1.0)[0]), expected)
    assert alike(pb.value_and_grad(lambda w: (f(w), w * 2.0), has_aux=True)(X)[1], expected[1])
    assert (type(np), np.zeros, np.ndarray.dot) == usual


def test_lists_outside_are_not_stored_into():
    assert [proved(stores_outside, (X,), {}, (0,)) for _ in range(3)][-1] is None


def test_within_what_is_known_others_get_the_whole_shim():
    from numpy import zeros

    def other(w):
        out = zeros(3)
        out[:] = w * w
        return np.sum(out)

    for _ in range(3):
        pb.grad(filled)(X)
    kept = shim.INSTALLED
    kept.enter(filled, Known(plain=False, shown=True))
    try:
        assert type(np) is not types.ModuleType
        np.testing.assert_array_equal(pb.grad(other)(X), 2 * X)
        assert type(np) is not types.ModuleType
    finally:
        kept.leave()
    assert type(np) is types.ModuleType
    np.testing.assert_array_equal(pb.grad(other)(X), 2 * X)


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


def test_what_names_stand_for_is_looked_at_in_every_call():
    data = np.ones(3)

    def f(w):
        return np.sum(w * data) * helped(w)

    helped = lambda w: np.sum(w)  # noqa: E731
    assert is_proved(f, X)
    data = data.view(Data)
    assert not is_proved(f, X)
    data = np.ones(3)
    assert is_proved(f, X)
    helped = lambda w: data.fill(2.0) or np.sum(w)  # noqa: E731
    assert not is_proved(f, X)


def test_what_attributes_stand_for_is_looked_at_in_every_call(monkeypatch):
    model = Net()
    assert is_proved(model.loss, X)
    model.layers[0].act = lambda x: X.fill(1.0) or x
    assert not is_proved(model.loss, X)
    model.layers[0].act = np.tanh
    assert is_proved(model.loss, X)
    monkeypatch.setattr(Base, "square", lambda self, x: X.fill(1.0) or x)
    assert not is_proved(model.loss, X)
    monkeypatch.undo()
    assert is_proved(model.loss, X)
    monkeypatch.setattr(Net, "scale", Found(), raising=False)
    assert not is_proved(model.loss, X)
    monkeypatch.undo()
    monkeypatch.setattr(Layer, "__getattribute__", lambda self, name: X.fill(1.0), raising=False)
    assert not is_proved(model.loss, X)


def test_replaced_functions_of_numpy_are_seen(monkeypatch):
    f = lambda w: np.sum(np.exp(w) * X)  # noqa: E731
    assert is_proved(f, X)
    monkeypatch.setattr(np, "exp", lambda x: X.fill(1.0) or x)
    assert not is_proved(f, X)
    monkeypatch.undo()
    assert is_proved(f, X)
    f = lambda w: np.sum(helper(w) * X)  # noqa: E731
    assert is_proved(f, X)
    monkeypatch.setattr(np, "tanh", lambda x: X.fill(1.0) or x)
    assert not is_proved(f, X)


def test_functions_of_python_that_a_module_replaces_are_seen():
    space = {"np": np, "X": X}
    f = types.FunctionType((lambda w: np.sum(w) * len(w)).__code__, space)
    assert is_proved(f, X)
    space["len"] = lambda w: X.fill(0.0) or 3
    assert not is_proved(f, X)


def test_under_a_debugger_nothing_is_proved():
    f = lambda w: np.sum(w * X)  # noqa: E731
    assert is_proved(f, X)
    last = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        assert not proved(f, (X,), {}, (0,))
    finally:
        sys.settrace(last)


def test_a_pull_that_is_called_later_reads_what_was_there():
    f, data = lambda w: np.sum(w**2 * data), np.ones(3)
    for _ in range(3):
        pb.value_and_grad(f)(X)
    _, pull = pb.vjp(f, X)
    data[:] = 0.0
    np.testing.assert_array_equal(pull(1.0)[0], 2 * X)


def test_derivatives_of_derivatives_read_what_was_there():
    data = np.ones(3)
    inner = lambda w: np.sum(w**3 * data)  # noqa: E731
    for _ in range(3):
        pb.grad(inner)(X)

    def outer(w):
        first = pb.grad(inner)(w)
        data[:] = 5.0
        return np.sum(first)

    found = pb.grad(outer)(X)
    data[:] = 1.0
    np.testing.assert_allclose(found, 6 * X)


def test_second_derivatives_of_what_is_proved_have_the_same_bits_and_memory_of_their_own():
    of = [
        lambda w: pb.hvp(steps, w, Y), pb.hessian(steps), pb.jacobian(lambda w: w * Y + np.sum(w)),
        pb.jacobian(pb.grad(lambda w: np.sum(w * w * Y))), pb.jacobian(lambda w: np.tile(w, 2)),
        pb.jacobian(lambda w: w),
    ]  # fmt: skip
    for derivative in of:
        found = [derivative(X) for _ in range(3)][-1]
        kept = gradient.proved
        gradient.proved = lambda *_: None
        try:
            assert alike(found, derivative(X))
        finally:
            gradient.proved = kept
        assert found.flags.writeable
        assert not any(np.shares_memory(found, array) for array in (X, Y))


def test_the_wrapper_of_a_gradient_is_not_taken_for_it():
    data = np.ones(3)
    inner = pb.grad(lambda w: np.sum(w**3 * data))

    @functools.wraps(inner)  # takes over what the gradient says of itself
    def outer(w):
        data[:] = 5.0
        return inner(w)

    for _ in range(3):
        data[:] = 1.0
        np.testing.assert_allclose(pb.jacobian(outer)(X), np.diag(30 * X))


def test_aux_is_the_callers_own():
    w, both = X.copy(), pb.grad(lambda w: (np.sum(w * w), w.T), has_aux=True)
    for _ in range(3):
        _, aux = both(w)
        assert not np.shares_memory(aux, w)


def test_errors_are_those_of_the_general_way():
    f = lambda w: np.sum(w @ SQUARE[:2])  # noqa: E731
    told = []
    for way in (generally, pb.value_and_grad(f), pb.value_and_grad(f), pb.value_and_grad(f)):
        with pytest.raises(PaybackError) as raised:
            way(f, X) if way is generally else way(X)
        told.append(str(raised.value))
    assert len(set(told)) == 1
    assert "test_proved.py" in told[0]
