"""What NumPy answers with a view sees later writes, and is written through; what it answers with a copy does neither.

Each case writes into the array, then into what the function made of it, and compares everything with plain NumPy.
"""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import UnsupportedError

X = np.arange(1.0, 17).reshape(4, 4) / 7

VIEWS = {
    "slice": lambda a: a[1:], "row": lambda a: a[1], "T": lambda a: a.T, "mT": lambda a: a.mT,
    "backwards": lambda a: a[::-1, ::2], "newaxis": lambda a: a[None, ..., None], "ellipsis": lambda a: a[...],
    "no axes": lambda a: a[0, 0, ...], "reshape": lambda a: a.reshape(2, 8), "ravel": lambda a: a.ravel(),
    "np.ravel": np.ravel, "flatten": lambda a: a.flatten(), "ravel F": lambda a: a.ravel("F"),
    "ravel of columns": lambda a: a.T.ravel(), "reshape of columns": lambda a: a.T.reshape(16),
    "reshape F": lambda a: a.reshape(2, 8, order="F"), "F of columns": lambda a: a.T.reshape(2, 8, order="F"),
    "as it lies": lambda a: a.T.ravel("K"), "A": lambda a: a.T.ravel("A"),
    "three axes as they lie": lambda a: a.reshape(2, 2, 4).transpose(1, 2, 0).ravel("K"),
    "of a slice": lambda a: a[:, 1:3].reshape(-1), "ravel of a column": lambda a: a[:, 1].ravel(),
    "reshape of a column": lambda a: a[:, 1].reshape(-1), "ravel of a row": lambda a: a[1].ravel(),
    "ravel backwards": lambda a: np.ravel(a[1, ::-1]), "gaps as they lie": lambda a: a[:, ::2].T.ravel("K"),
    "ravel of some rows": lambda a: a[1:3].ravel(), "ravel F of columns": lambda a: a.T[1:].ravel("F"),
    "K backwards": lambda a: a[::-1].ravel("K"), "ravel of one column": lambda a: a[:, :1].ravel("A"),
    "of a view of a copy": lambda a: a.T.ravel()[2:9],
    "broadcast as it lies": lambda a: np.broadcast_to(a, (2, 4, 4)).ravel("K"),
    "diagonal as it lies": lambda a: np.einsum("ii->i", a).ravel("K"),
    "windows in a row": lambda a: np.lib.stride_tricks.sliding_window_view(a[0], 2).reshape(-1),
    "reshape of a copy": lambda a: a.T.copy().reshape(16), "swapaxes": lambda a: np.swapaxes(a, 0, 1),
    "moveaxis": lambda a: np.moveaxis(a, 0, 1), "rollaxis": lambda a: np.rollaxis(a, 1), "permute": np.permute_dims,
    "squeeze": lambda a: np.squeeze(a[:1]), "expand_dims": lambda a: np.expand_dims(a, 1), "at least": np.atleast_3d,
    "diagonal": lambda a: a.diagonal(), "another": lambda a: np.diagonal(a, 1), "diag": lambda a: np.diag(a),
    "below": lambda a: np.diag(a, -1), "of a matrix": lambda a: np.linalg.diagonal(a),
    "of four axes": lambda a: a.reshape(2, 2, 2, 2).diagonal(0, 3, 1), "diag of a row": lambda a: np.diag(a[0]),
    "einsum": lambda a: np.einsum("ii->i", a), "einsum, transposed": lambda a: np.einsum("ij->ji", a),
    "einsum of three axes": lambda a: np.einsum("aba->ab", a.reshape(2, 4, 2)),
    "split": lambda a: np.split(a, [1, 3], axis=1)[1], "hsplit": lambda a: np.hsplit(a, 2)[1],
    "unstack": lambda a: np.unstack(a)[1], "iteration": lambda a: list(a)[2], "flip": np.flip, "rot90": np.rot90,
    "broadcast_to": lambda a: np.broadcast_to(a, (2, 4, 4)), "roll": lambda a: np.roll(a, 1),
    "meshgrid": lambda a: np.meshgrid(a[0], a[1])[0], "sparse": lambda a: np.meshgrid(a[0], a[1], sparse=True)[1],
    "meshgrid without copies": lambda a: np.meshgrid(a[0], a[1], copy=False, sparse=True)[0],
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a[0], 2),
    "windows of two axes": lambda a: np.lib.stride_tricks.sliding_window_view(a, (2, 3)),
    "real": lambda a: a.real, "conj": lambda a: a.conj(), "asarray": lambda a: np.asarray(a, float),
    "contiguous": np.ascontiguousarray, "contiguous columns": lambda a: np.ascontiguousarray(a.T),
    "contiguous part": lambda a: np.ascontiguousarray(a[:, :2]), "fortran": np.asfortranarray,
    "fortran columns": lambda a: np.asfortranarray(a.T), "require": lambda a: np.require(a, float, ["C"]),
    "array": np.array, "no copy": lambda a: np.array(a, copy=False), "if needed": lambda a: np.array(a, copy=None),
    "more axes": lambda a: np.array(a, ndmin=3, copy=None), "np.copy": np.copy, "astype": lambda a: a.astype(float),
    "astype, no copy": lambda a: a.astype(float, copy=False), "np.astype": lambda a: np.astype(a, float, copy=False),
    "view": lambda a: a.view(), "plus": lambda a: +a, "fancy": lambda a: a[[0, 1]], "mask": lambda a: a[X > 1],
    "one mask for all": lambda a: a[True], "take": lambda a: np.take(a, [0, 1], 0), "repeat": lambda a: np.repeat(a, 1),
    "tile": lambda a: np.tile(a, 1), "one block": lambda a: np.block([a]), "one part": lambda a: np.concatenate([a]),
    "nothing padded": lambda a: np.pad(a, 0), "no axis summed": lambda a: np.sum(a, axis=()), "sorted": np.sort,
    "clip": lambda a: np.clip(a, -9, 9), "no difference": lambda a: np.diff(a, n=0),
    "of a list": lambda a: np.array([*a]),
}  # fmt: skip
READ_ONLY = {VIEWS[name] for name in ["diagonal", "another", "diag", "below", "of a matrix", "of four axes", "windows",
                                      "windows of two axes", "broadcast_to"]}  # fmt: skip
MADE = {
    "a copy": lambda x: x.copy(),
    "a sum": lambda x: x + 0.0,
    "written into": lambda x: written(x.copy()),
    "zeros": lambda x: filled(np.zeros((4, 4)), x),
    "part of zeros": lambda x: filled(np.zeros((5, 5))[1:, :4], x),
    "columns": lambda x: filled(np.zeros((4, 4), order="F"), x),
}


def written(a):
    a[0, 0] = 3.0
    return a


def filled(a, x):
    a[...] = x
    return a


def program(view, made):
    def f(x):
        a = made(x)
        v = view(a)
        a += 1.0
        a[1:3] = a[1:3] * 2.0
        seen = [v * 1.0]
        if view not in READ_ONLY:
            v[...] = -5.0
            v *= 3.0
        a[:, 1] *= v.ravel()[0]
        return np.concatenate([np.ravel(part) for part in (*seen, v, a)])

    return f


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("name", VIEWS)
def test_views_are_numpys(name, made):
    f = program(VIEWS[name], MADE[made])
    np.testing.assert_array_equal(pb.vjp(f, X)[0], f(X))


@pytest.mark.parametrize("made", cases(["a copy", "zeros"], list(MADE)))
@pytest.mark.parametrize("name", VIEWS)
def test_views_without_numbers(name, made):
    f = program(VIEWS[name], MADE[made])
    np.testing.assert_allclose(pb.compile(f, native=False)(X), f(X), rtol=1e-14)


def test_gradients_go_through_views():
    def f(x):
        a = x.copy()
        d, windows = np.einsum("ii->i", a), np.lib.stride_tricks.sliding_window_view(a, (2, 2))
        columns = a.T.reshape(-1)
        d *= a[0]
        a[1] = columns[:4] * windows[0, 0].sum()
        return np.sum(np.sin(a)) + np.sum(windows**2) + np.prod(columns)

    pb.check_grads(f, X, order=2)


def test_what_a_view_cannot_be():
    with pytest.raises(UnsupportedError, match=r"test_views.py:\d+ .*Convert with \.astype"):
        pb.grad(lambda x: np.sum(x.view(np.float32)))(X)
    with pytest.raises(ValueError, match="read-only"):
        pb.grad(lambda x: np.fill_diagonal(np.broadcast_to(x.copy(), (4, 4, 4)), 0.0))(X)


_ARRAYS = {
    "by rows": lambda t: t.copy(),
    "by columns": lambda t: np.asfortranarray(t),
    "every other": lambda t: t.repeat(2, 0).repeat(2, 1)[::2, ::2],
    "middle": lambda t: np.concatenate([t, t, t], 1)[:, 4:8],
    "permuted": lambda t: t.transpose(1, 0, 2).copy().transpose(1, 0, 2),
    "reversed": lambda t: t[::-1].copy()[::-1],
    "permuted every other": lambda t: t.T.repeat(2, 1).copy()[:, ::2].T,
}
_LOOKS = {
    "itself": lambda x: x,
    "transposed": lambda x: x.T,
    "permuted": lambda x: x.transpose(1, 0, 2),
    "of twice it": lambda x: 2.0 * x,
    "permuted of twice it": lambda x: (2.0 * x + x[0]).transpose(1, 0, 2),
}


@pytest.mark.parametrize("look", _LOOKS.values(), ids=_LOOKS)
@pytest.mark.parametrize("lay", _ARRAYS.values(), ids=_ARRAYS)
def test_how_an_argument_lies_in_memory_decides_as_in_numpy(lay, look):
    """A reshape is a view or a copy, and order="K" is what it is, in every transform."""

    def written(x):
        z = look(x)
        y = z.reshape(-1)
        y[1] = 5.0
        return z.sum() + (y**2).sum()

    def in_order_of_memory(x):
        return (look(x).ravel("K") * np.arange(24.0)).sum()

    t = np.linspace(0.3, 1.7, 24).reshape(3, 4, 2)
    other = t**2
    computed = look(t) is not t and not np.may_share_memory(look(t), t)
    for f in (written,) if computed else (written, in_order_of_memory):  # refused: what is computed may lie otherwise
        compiled = pb.compile(f)
        for x in (other, t, other):  # what is compiled for arrays by rows is not run with others
            expected = f(lay(x))
            assert pb.value_and_grad(f)(lay(x))[0] == pytest.approx(expected, rel=1e-13)
            assert pb.compile(f, native=False)(lay(x)) == pytest.approx(expected, rel=1e-13)
            assert compiled(lay(x)) == pytest.approx(expected, rel=1e-13)
            assert compiled(x.copy()) == pytest.approx(f(x.copy()), rel=1e-13)
        batch = np.stack([t, other, t + other])
        for axis, samples in ((0, lay(batch[0])[None].repeat(2, 0)), (-1, np.moveaxis(batch, 0, -1))):
            copies = [np.moveaxis(samples.copy("K"), axis, 0)[k] for k in range(samples.shape[axis])]
            expected = [f(sample) for sample in copies]
            assert pb.vmap(f, in_axes=axis)(samples) == pytest.approx(np.array(expected), rel=1e-13)


# What NumPy makes anew lies in memory by rows, by columns or as the argument does; a reshape of it is a view or a copy.
MAKERS = {
    "take": lambda a: np.take(a, [1, 0, 2], 1), "take of one": lambda a: a.take(1, 1), "fancy": lambda a: a[:, [0, 2]],
    "fancy of two": lambda a: a[:, [0, 1], [1, 1]], "repeat": lambda a: np.repeat(a, 2, 1), "mask": lambda a: a[:, X0],
    "repeat unevenly": lambda a: a.repeat([1, 0, 2], 1), "tile": lambda a: np.tile(a, (2, 1, 1, 1)),
    "tile once": lambda a: np.tile(a, (1, 1, 1)), "compress": lambda a: np.compress(X0, a, 1),
    "choose": lambda a: np.choose([[0], [1], [0]], [a, 2 * a]), "select": lambda a: np.select([a < 1], [a], 2 * a),
    "where": lambda a: np.where(a < 1, a, 2 * a), "delete": lambda a: np.delete(a, -1, 2),
    "insert": lambda a: np.insert(a, 1, 3.0, 1), "append": lambda a: np.append(a, a, 1), "pad": lambda a: np.pad(a, 1),
    "pad edge": lambda a: np.pad(a, 1, mode="edge"), "roll": lambda a: np.roll(a, (1, 1), (0, 1)),
    "roll all": lambda a: np.roll(a, 1), "rot90": lambda a: np.rot90(a) * 1, "sort": lambda a: np.sort(a, 0),
    "partition": lambda a: np.partition(a, 1, axis=1), "cumsum": lambda a: np.cumsum(a, 1), "diff": np.diff,
    "gradient": lambda a: np.gradient(a, axis=1), "vander": lambda a: np.vander(a[0, 0]), "exp": np.exp,
    "meshgrid": lambda a: np.meshgrid(a[0, 0], a[0, 1])[1], "full": lambda a: np.full((3, 2), a[0, 0, :2]),
    "full of one": lambda a: np.full((3, 2), a[0, 0, 0]), "full_like": lambda a: np.full_like(a, a[0, 0, 0]),
    "add F": lambda a: np.add(a, 1, order="F"), "add C": lambda a: np.add(a, 1, order="C"), "positive": lambda a: +a,
    "array F": lambda a: np.array(a, order="F"), "array C": lambda a: np.array(a, order="C"),
    "np.array": lambda a: np.array(a),
    "astype F": lambda a: a.astype(float, order="F"), "astype": lambda a: a[:, ::2].astype(float), "copy": np.copy,
    "copy of a part": lambda a: a[:, ::2].copy(), "np.copy of a part": lambda a: np.copy(a[:, ::2]),
    "plus a part": lambda a: +a[:, ::2], "sum": lambda a: a.sum(1), "keepdims": lambda a: a.mean(0, keepdims=True),
    "stack": lambda a: np.stack([a, a], 1), "stack last": lambda a: np.stack([a.T, a.T], -1),
    "concatenate": lambda a: np.concatenate([a.T, a.T]), "list": lambda a: np.array([a, 2 * a]),
    "matmul": lambda a: a @ a.mT,
    "tensordot": lambda a: np.tensordot(a, a, ([0], [0])), "kron": lambda a: np.kron(a, a),
    "zeros_like": lambda a: np.zeros_like(a) + a, "ones_like": lambda a: np.ones_like(a.T) * a.T,
    "broadcast": lambda a: np.broadcast_to(a[0], a.shape) * 1, "with a row": lambda a: a + a[0],
    "with columns": lambda a: a + np.ones(a.shape, order="F"), "clip": lambda a: np.clip(a, 0, 1),
    "piecewise": lambda a: np.piecewise(a, [a < 1], [np.sin, np.cos]), "triu": np.triu, "round": lambda a: a.round(1),
    "einsum": lambda a: np.einsum("ijk->kji", a) * 2, "outer": np.outer, "dot": lambda a: np.dot(a[:, 0], 0.5),
    "delete two": lambda a: np.delete(a, [0, 2], 1), "tensordot of none": lambda a: np.tensordot(a, a[0], 0),
    "power": lambda a: np.linalg.matrix_power(a[:2, :2, :2], 0), "inv": lambda a: np.linalg.inv(a[:2, :2] + 1j).real,
}  # fmt: skip
X0 = np.array([True, False, True])


@pytest.mark.parametrize("order", ["C", "F"])
def test_without_numbers_a_copy_lies_as_it_was_asked(order):
    def f(x):
        made = x.copy(order)
        line = made.reshape(-1)
        line[1] = 5.0
        at = np.arange(made.size)
        return made.sum() + (line**2).sum() + x.T.copy(order).ravel("K") @ at + np.array(x, order=order).ravel("K") @ at

    for x in (X[:2], np.asfortranarray(X[:2])):
        assert pb.compile(f, native=False)(x) == pytest.approx(f(x.copy("K")), rel=1e-13)
        assert pb.value_and_grad(f)(x)[0] == pytest.approx(f(x.copy("K")), rel=1e-13)


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_made_lies_in_memory_as_numpys(name):
    def f(x):
        made = MAKERS[name](x) if name != "outer" else np.outer(x, x[0])
        line = made.reshape(-1)
        line[1] = 5.0
        in_memory = (2.0 * made).ravel("K")
        return (made * 1.5).sum() + (line**2).sum() + in_memory @ np.arange(in_memory.size)

    rows = np.linspace(0.3, 1.7, 18).reshape(3, 3, 2)
    for x in (rows, np.asfortranarray(rows)):
        np.testing.assert_allclose(pb.value_and_grad(f)(x)[0], f(x.copy("K")), rtol=1e-13)


def _first_written(a, b, x):
    a[...] = x


def _view_first(a, b, x):
    b[...] = x.ravel()[0]


def _then_plain(a, b, x):
    a[1] = x[1]
    b[...] = 2.0


def _plain_first(a, b, x):
    b[...] = 2.5
    a[0] = x[0]


def _in_place(a, b, x):
    a += x
    a *= 2.0


def _sorted_first(a, b, x):
    b.sort()
    a[0] = x[0]


@pytest.mark.parametrize("write", [_first_written, _view_first, _then_plain, _plain_first, _in_place, _sorted_first])
@pytest.mark.parametrize("order", cases(["C"], ["C", "F"]))
@pytest.mark.parametrize("name", VIEWS)
def test_views_of_an_array_that_holds_nothing_traced_yet(name, order, write):
    """The view is made of plain numbers, and what is stored later is seen through it all the same."""

    def f(x):
        a = np.zeros((4, 4), order=order)
        b = view(a)
        write(a, b, x)
        return np.sum(a * np.cos(np.arange(16.0).reshape(4, 4))) + np.sum(
            b * np.sin(np.arange(b.size)).reshape(b.shape)
        )

    of_numpy = {np.array, np.ascontiguousarray, np.asfortranarray}  # not called by their names: not answered
    view = VIEWS[name] if VIEWS[name] not in of_numpy else lambda a: getattr(np, VIEWS[name].__name__)(a)
    try:
        expected = f(X)
    except ValueError:  # what is read-only for NumPy
        with pytest.raises((ValueError, UnsupportedError)):
            pb.grad(f)(X)
        return
    assert pb.value_and_grad(f)(X)[0] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    "look", [lambda x: np.squeeze(x[1:2]), lambda x: x[:1].reshape(()), lambda x: x[:1, None].squeeze()]
)
@pytest.mark.parametrize("way", [lambda f: f, pb.compile, lambda f: lambda x: pb.value_and_grad(f)(x)[0]])
def test_an_array_without_axes_is_a_view_too(way, look):
    def filled(x):
        look(x)[...] = 5.0
        return np.sum(x * x)

    def added_to(x):
        z = look(x)
        z += 5.0
        return np.sum(x * x)

    for f in (filled, added_to):
        assert way(f)(np.arange(1.0, 5.0)) == f(np.arange(1.0, 5.0))


@pytest.mark.parametrize("lie", [
    lambda a: np.repeat(a, 2, 1)[:, ::2], lambda a: a[::-1].copy()[::-1], lambda a: np.hstack([a, a])[:, :4],
    lambda a: np.flip(np.flip(a).copy()), lambda a: np.vstack([a, a]).copy("F")[:3],
    lambda a: np.stack([a, a], -1)[..., 1],
])  # fmt: skip
@pytest.mark.parametrize("way", [
    lambda f: lambda x: pb.vjp(f, x)[0], lambda f: pb.compile(f, native=False),
    lambda f: lambda x: [part[0] for part in pb.vmap(f)(x[None])],
])  # fmt: skip
def test_an_array_with_gaps_has_them_after_a_write(lie, way):
    def f(x):
        x[0] = 5.0
        row, turned, line = x.reshape(-1), x.T, x.reshape(3, 2, 2)
        row[:2], turned[1], line[1, 0] = 0.5, x[2, 3], 7.0
        return x * 1.0, row, turned, line

    a = np.arange(12.0).reshape(3, 4)
    for found, wanted in zip(way(f)(lie(a)), f(lie(a.copy())), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("way", [lambda f: lambda x: pb.vjp(f, x)[0], lambda f: pb.compile(f, native=False)])
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_made_of_a_written_array_lies_as_it_does(way, turned):
    def f(x):
        x[0] = 5.0
        found = []
        for y in (x * 2.0, np.sin(x.T) + 1.0, (x + 2j).imag * x, abs(x * 1j)):
            row, line = y.reshape(-1), y.T.reshape(-1)
            row[0] += 9.0
            line[1] += 7.0
            found += [y * 1.0, row, line]
        return found

    a = np.arange(12.0).reshape(3, 4)
    a = np.asfortranarray(a) if turned else a
    for found, wanted in zip(way(f)(a.copy("K")), f(a.copy("K")), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-14)


def _strided(a):
    return np.lib.stride_tricks.as_strided(a[1:], (2, 3), (16, 8))


@pytest.mark.parametrize("made", [lambda x: x * 1.0, lambda x: np.zeros(6), lambda x: np.array([*x])])
def test_as_strided_is_a_view(made):
    """By strides of one's own: taken before a write and after it, and written through; nothing beyond the array."""

    def f(x):
        a = made(x)
        early = _strided(a)
        a[2:] = x[2:] ** 2
        late = _strided(a)
        late[1] *= x[0]
        np.lib.stride_tricks.as_strided(a, (2,), (24,))[:] += x[1]
        return (early**2).sum() + (late * a[:3]).sum() + (a**3).sum()

    x = np.array([0.5, -1.5, 2.0, 0.25, 1.0, -0.75])
    value, gradient = pb.value_and_grad(f)(x)
    np.testing.assert_allclose(value, f(x), rtol=1e-14)
    steps = 1e-6 * np.eye(6)
    np.testing.assert_allclose(gradient, [(f(x + h) - f(x - h)) / 2e-6 for h in steps], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pb.compile(pb.grad(f))(x), gradient, rtol=1e-13)
    for beyond in (lambda x: np.lib.stride_tricks.as_strided(x, (7,), (8,)),
                   lambda x: np.lib.stride_tricks.as_strided(x[::2], (3,), (8,))):  # fmt: skip
        with pytest.raises(UnsupportedError, match="as_strided of traced values"):
            pb.grad(lambda x, beyond=beyond: np.sum(beyond(x)))(x)
