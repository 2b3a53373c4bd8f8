"""What is proved plain needs neither snapshots nor the shim: the same bits, errors and memory without them."""

import functools
import types

import numpy as np
import pytest
from tests.trace.proving import NET, SQUARE, Layer, X, Y, alike, generally, helper, is_proved, writer

import payback as pb
from payback.errors import PaybackError
from payback.trace.proof.proved import proved
from payback.trace.proof.pure import Known
from payback.trace.shim import shim
from payback.transforms import gradient

SCALE = 2.0


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


class Model:
    def sum(self):
        return 0.0

    def __call__(self, w):
        return np.sum(w * X)


OPTIONS, MODEL = {"axis": 0}, Model()


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


KEPT = [1.0]


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
