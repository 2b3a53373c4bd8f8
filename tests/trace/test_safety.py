"""Values are safe: what changed after it was recorded gives the right gradient or an error, and nothing is shared."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from payback.errors import MutationError, TraceError
from payback.ops.append import snapshot
from payback.trace.array import plain


def test_a_reused_work_buffer():
    """autograd gives a silently wrong gradient here."""

    def f(v):
        work, s = np.zeros(3), 0.0
        for k in range(3):
            work[:] = k + 1.0
            s = s + np.sum(v * work)
        return s

    assert (pb.grad(f)(np.ones(3)) == 6.0).all()


@pytest.mark.parametrize("use", [
    lambda x, w: x * w, lambda x, w: w + x * w, lambda x, w: x @ w, lambda x, w: np.where(w > 0, x, 0) * w,
    lambda x, w: np.concatenate([x * x, w])[:3] * w, lambda x, w: np.maximum(x, w) * w, lambda x, w: x * w[::-1][::-1],
    lambda x, w: x * np.broadcast_to(w[:1], (3,)) + x * (w - w[0]), lambda x, w: np.clip(x, -w, w) * w,
])  # fmt: skip
def test_data_changed_between_forward_and_backward(use):
    w, x = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, -0.5])
    expected = pb.vjp(lambda v: np.sum(use(v, w.copy())), x)[1](1.0)[0]
    _, pull = pb.vjp(lambda v: np.sum(use(v, w)), x)
    w[:] = 100.0
    assert (pull(1.0)[0] == expected).all()


def test_an_argument_changed_after_the_call():
    x = np.array([1.0, 2.0])
    _, pull = pb.vjp(lambda v: np.sum(v * v), x)
    x[:] = 7.0
    assert (pull(1.0)[0] == [2.0, 4.0]).all()
    w = pb.variable(x)
    y = (w * w).sum()
    x[:] = 9.0
    y.backward()
    assert (w.grad == 14.0).all()


def test_an_index_array_or_mask_changed_after_the_call():
    index, mask = np.array([0, 0, 1]), np.array([True, False])
    _, pull = pb.vjp(lambda v: np.sum(v[index] * v[index]) + v[mask].sum() * 3, np.array([1.0, 2.0]))
    index[:], mask[:] = 1, True
    assert (pull(1.0)[0] == [2 * 2 * 1 + 3, 2 * 2]).all()


def test_memory_lent_by_other_objects():
    class Lends:
        def __init__(self, data):
            self.data = data

        def __array__(self, dtype=None, copy=None):
            return self.data

    data = np.array([1.0, 2.0])
    w = pb.variable(Lends(data))
    y = (w * Lends(data)).sum()
    data[:] = 50.0
    y.backward()
    assert (w.grad == [1.0, 2.0]).all()
    assert data.flags.writeable
    lent = bytearray(np.array([1.0, 2.0]).tobytes())
    view = np.frombuffer(lent)
    assert snapshot(view) is not view
    read_only_view = view[:]
    read_only_view.flags.writeable = False
    assert snapshot(read_only_view) is not read_only_view


def test_what_cannot_change_is_not_copied():
    x = np.ones(3)
    x.flags.writeable = False
    assert snapshot(x) is x
    view = x[1:]
    assert snapshot(view) is view
    base = np.ones(3)
    window = base[1:]
    window.flags.writeable = False
    assert snapshot(window) is not window


def test_a_variable_changed_before_backward_raises():
    w = pb.variable(np.array([1.0, 2.0]), name="w")
    y = (w * w).sum()
    w.value -= 0.1
    with pytest.raises(
        MutationError,
        match=r"the variable w was changed after this result was computed \(.*test_safety.py:\d+ in .*: w.value",
    ):
        y.backward()
    (w * w).sum().backward()
    assert np.allclose(w.grad, [1.8, 3.8])


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.value.__setitem__(0, 9.0),
        lambda w: np.add(w.value, 1.0, out=w.value),
        lambda w: w.value.fill(0.0),
        lambda w: np.asarray(w.value).__setitem__(0, 1.0),
        lambda w: np.copyto(w.value, 1.0),
    ],
)
def test_a_variable_cannot_be_written_into(change):
    w = pb.variable(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="read-only"):
        change(w)
    assert (w.value == [1.0, 2.0]).all()


def test_in_place_operators_make_a_new_value():
    w = pb.variable(np.array([1.0, 2.0], np.float32))
    before = w.value
    w.value *= 2.0
    w.value += 1.0
    w.value /= 2.0
    assert (w.value == [1.5, 2.5]).all()
    assert w.value.dtype == np.float32
    assert (before == [1.0, 2.0]).all()
    s = pb.variable(2.0)
    s.value -= 0.5
    assert s.value == 1.5
    assert type(s.value) is float


def test_another_shape_is_another_variable():
    w = pb.variable(np.zeros(2))
    with pytest.raises(MutationError, match=r"the variable has the shape \(2,\), not \(3,\)"):
        w.value = np.zeros(3)
    with pytest.raises(TraceError, match=r"pb\.stop_gradient\(x\)"):
        w.value = w - 1.0


def test_values_on_nodes_are_read_only():
    w = pb.variable(np.ones(3))
    y = w * 2
    y.sum().backward()
    for array in (w.value, y.value, w.grad, y.grad, np.sin(w).value, w.reshape(3, 1).value, w[1:].value):
        assert not array.flags.writeable


def _gradients():
    x = np.array([1.0, 2.0, 3.0])
    other = np.array([4.0, 5.0, 6.0])
    yield x, other, lambda v: np.sum(v)
    yield x, other, lambda v: np.sum(v * other)
    yield x, other, lambda v: np.sum(v.reshape(3, 1))
    yield x, other, lambda v: np.sum(np.broadcast_to(v, (2, 3)))
    yield x, other, lambda v: v[0]
    yield x, other, lambda v: np.sum(v[::-1] @ other)
    yield x, other, lambda v: np.sum(other)  # no path: zeros
    yield x, other, lambda v: np.max(v)


@pytest.mark.parametrize(("x", "other", "f"), list(_gradients()))
def test_gradients_belong_to_their_receiver(x, other, f):
    """Fresh, writable, of the right layout; changing one changes nothing else."""
    kept_x, kept_other = x.copy(), other.copy()
    first, second = pb.grad(f)(x), pb.grad(f)(x)
    value, pull = pb.vjp(lambda v: v * 1.0, x)
    seed = np.ones(3)
    pulled = [pull(seed)[0], pull(seed)[0]]
    for array in (first, *pulled):
        assert type(array) is np.ndarray
        assert array.flags.writeable
        assert array.flags.c_contiguous
        assert array.flags.owndata
        assert not any(np.shares_memory(array, a) for a in (x, other, second, value, seed))
        array[:] = 99.0
    assert (x == kept_x).all()
    assert (other == kept_other).all()
    assert (seed == 1.0).all()
    assert (pb.grad(f)(x) == second).all()


def test_a_gradient_by_two_arguments_is_two_arrays():
    a, b = pb.grad(lambda x, y: np.sum(x + y), argnums=(0, 1))(np.ones(2), np.ones(2))
    a[:] = 5.0
    assert (b == 1.0).all()
    x = np.ones(2)
    g = pb.grad(lambda t: np.sum(t["u"] * t["v"]))({"u": x, "v": x})
    g["u"][:] = 7.0
    assert (g["v"] == 1.0).all()
    assert (x == 1.0).all()


def test_the_identity_does_not_return_its_seed():
    seed = np.ones(2)
    value, pull = pb.vjp(lambda v: v, np.array([1.0, 2.0]))
    found = pull(seed)[0]
    assert not np.shares_memory(found, seed)
    assert (value == [1.0, 2.0]).all()


def test_the_callers_array_is_not_written_into():
    """Inside a transform the argument is a copy: its function may write into it, the caller's array stays."""
    x = np.array([1.0, 2.0])

    def f(x):
        x[0] = 3.0 * x[1]
        x += 1.0
        return np.sum(x * x)

    assert (pb.grad(f)(x) == [0.0, 2 * 3 * 7 + 2 * 3]).all()
    assert (x == [1.0, 2.0]).all()


def test_in_place_operators_change_the_array_as_in_numpy():
    def f(x):
        y = x
        y += 1.0
        y *= x  # y is x
        return np.sum(y)

    x = np.array([1.0, 2.0])
    assert (pb.grad(f)(x) == 2 * (x + 1)).all()
    assert pb.value_and_grad(f)(x)[0] == f(x.copy())
    assert (x == [1.0, 2.0]).all()


def test_a_plain_array_that_takes_a_traced_value_raises():
    """Outside a transform there is no shim: `np.zeros` makes a plain array."""
    w = pb.variable(np.ones(2))
    total = kept = np.zeros(2)
    with pytest.raises(MutationError, match=r"np.add cannot write a traced result with out= .*total \+= w.*made"):
        total += w
    with pytest.raises(
        ValueError, match="setting an array element"
    ) as raised:  # NumPy's words; the reason is the cause
        total[0] = w[0]
    assert isinstance(raised.value.__cause__, MutationError)
    assert "test_safety.py" in str(raised.value.__cause__)
    with pytest.raises(MutationError, match="a traced value cannot be stored in a plain array"):
        total[:] = w
    whole = np.zeros(2, int)
    with pytest.raises((MutationError, ValueError)):
        whole[0] = w[0]
    assert (total == 0).all()
    assert (whole == 0).all()
    assert kept is total
    alone = np.zeros(2)
    alone += w  # no one else sees it: the name is given a traced array, as `w + alone` would be one
    np.sum(alone * w).backward()
    np.testing.assert_array_equal(w.grad, [2.0, 2.0])


def test_plain_leaves_other_things_alone():
    assert plain("text") == "text"
    assert plain(pb.variable(2.0)) == 2.0
    assert pb.stop_gradient("text") == "text"


def test_item_takes_a_place():
    x = np.array([0.5, 2.0, 3.0, 4.0])
    for f in (lambda x: x.item(1), lambda x: np.outer(x, x).item(1, 2), lambda x: np.outer(x, x).item((1, -2)),
              lambda x: np.outer(x, x).item(-10), lambda x: x[:1].item()):  # fmt: skip
        value, gradient = pb.value_and_grad(f)(x)
        assert value == f(x)
        assert gradient.any()


@pytest.mark.parametrize("transform", [
    lambda f, x: pb.grad(f)(x), lambda f, x: pb.vjp(f, x), lambda f, x: pb.jvp(f, (x,), (np.ones(3),)),
    lambda f, x: pb.jacobian(f)(x), lambda f, x: pb.grad(pb.compile(f))(x), lambda f, x: pb.vmap(f)(x[None]),
    lambda f, x: pb.vmap(f, in_axes=1)(x[:, None]), lambda f, x: pb.grad(lambda p: f(p["x"]))({"x": x}),
])  # fmt: skip
def test_an_argument_that_its_function_writes_into_by_another_name(transform):
    x = np.array([1.0, np.nan, 3.0])

    def f(v):
        x[0] = first
        return np.sum(v**2)

    first = 1.0  # nothing is changed
    transform(f, x)
    first = 5.0
    with pytest.raises(MutationError, match=r"written into while the function ran.*a copy of its argument"):
        transform(f, x)


OUTSIDE = np.array([1.0, 2.0, 4.0])


@pytest.mark.parametrize("make", [lambda x: x * 1.0, lambda x: np.full(3, x[0]), lambda x: np.stack([*x])[::-1],
                                  lambda x: np.ones(3), lambda x: OUTSIDE.copy()])  # fmt: skip
def test_an_array_of_the_program_that_an_inner_function_writes_into(make):
    def f(x, writes):
        y = make(x)

        def inner(z):
            if writes:
                y[0] = 5.0
            return np.sum(z**2)

        return np.sum(pb.grad(inner)(y) * x)

    x = np.array([1.0, 2.0, 3.0])
    pb.check_grads(lambda x: f(x, False), x)
    for transformed in (pb.grad(f), pb.compile(f)):
        with pytest.raises(MutationError, match="written into while the function ran"):
            transformed(x, True)
