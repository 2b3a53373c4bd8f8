"""Results lie in memory as NumPy's do, with numbers and without: a write through a reshape is seen where NumPy's is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import amount
import payback as pb
from native import user_programs
from payback.errors import PaybackError
from payback.ir.aval import Aval
from payback.trace.array import Traced
from payback.trace.assignment import memory_order
from payback.trace.assignment.views import laid_out
from payback.trace.body import fresh
from payback.trace.plain_arrays import strides_of

TEXTS = [text for group, _, _ in user_programs.GROUPS for text in group if "pb." not in text]
TEXTS += [
    "np.choose(({a} > 0) * 1, [{a}, 2 * {a}])", "np.compress([True, False, True], {a}, -1)", "{a}[:, [0, 2]]",
    "np.full_like({a}, 2.0) * {a}", "{a}[:, ::2].copy()", "np.copy({a}[:, ::2])", "+{a}[:, ::2]", "{a}.copy('K')",
    "{a}.T.copy('A')", "np.array({a}, order='F')", "{a}.astype(np.float32, order='F')", "np.round({a}, 1)",
    "np.gradient({a}, axis=-1)", "np.partition({a}, 1)", "np.piecewise({a}, [{a} < 1], [np.sin, np.cos])",
    "np.roll({a}, (1, 1), (0, 1))", "np.tile({a}, (1, 1, 1, 1, 1))", "np.where({a} > 0, {a}, {b})",
    "{a}[{a}[..., 0] > 0]",
]  # fmt: skip
SHAPES = ((2, 3, 4), (3, 3), (4, 5), (3, 1), (1, 4), (3, 3, 3), (2, 1, 3), (5,), (2, 2, 2, 2))
LAYOUTS = {
    "by rows": lambda x: x,
    "by columns": np.asfortranarray,
    "permuted": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, 1)), 0, 1) if x.ndim > 1 else x,
    "every other": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
    "columns reversed": lambda x: np.asfortranarray(x)[:, ::-1] if x.ndim > 1 else x,
}


class _SeenError(Exception):
    pass


def steps(x: np.ndarray[Any, Any]) -> tuple[int, ...] | None:
    """In entries, where there is a step."""
    return tuple(0 if n == 1 else s // x.itemsize for s, n in zip(x.strides, x.shape, strict=True)) if x.size else None


def lies(f: Any, args: Any, numbers: bool) -> Any:
    """How a traced result of f lies, and whether it shares memory with the arguments; None if it is not traced."""
    seen = []

    def looked_at(*args: Any) -> Any:
        made = f(*args)
        if isinstance(made, Traced) and made.ndim:
            seen.append((steps(laid_out(made)), any(np.may_share_memory(made, arg) for arg in args)))
        raise _SeenError

    try:
        if numbers:
            pb.vjp(looked_at, *args)
        else:
            pb.compile(looked_at, native=False)(*args)
    except (_SeenError, PaybackError, np.exceptions.AxisError):
        return seen[0] if seen else None


def program(text: str) -> Any:
    square, flat = "(np.eye(3) * 4 + a.ravel()[0])", "a.ravel()[:3]"
    source = text.format(a="a", b="b", i="np.array([0, -1, 1])", s="0.5", m=square, v=flat)
    return eval(f"lambda a, b: {source}", {"np": np, "pb": pb}), source  # noqa: S307


@pytest.mark.parametrize("text", TEXTS[:: amount.cases(3, 1)])
def test_as_numpys(text):
    f, source = program(text)
    rng = np.random.default_rng(0)
    for shape in SHAPES[: amount.cases(2, 2, len(SHAPES))]:
        for name in list(LAYOUTS)[:: amount.cases(2, 1)]:
            for other in ("by rows", "by columns")[:: 1 if "{b}" in text else 2]:
                args = [LAYOUTS[way](rng.integers(-16, 17, shape) / 8.0) for way in (name, other)]
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        wanted = f(*args)
                    except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
                        continue
                    if not isinstance(wanted, np.ndarray) or not wanted.ndim:
                        continue
                    expected = (steps(wanted), any(np.may_share_memory(wanted, arg) for arg in args))
                    for numbers in (False, True):
                        found = lies(f, args, numbers)
                        assert found in (None, expected), f"{source} {shape} {name}, {other}, numbers: {numbers}"


def test_written_through_a_reshape():
    """The chain that decides may be long, and holds what was copied on the way."""

    def f(x):
        y = x[:, [0, 2]]
        for _ in range(20):
            y = y * 1.5
        z = y.reshape(-1)
        z[0] = 5.0
        w = (y.copy() + 1.0).reshape(-1)
        w[1] = 7.0
        return y.sum() + (z * np.arange(z.size)).sum() + w[1:].sum()

    for x in (np.arange(12.0).reshape(3, 4), np.asfortranarray(np.arange(12.0).reshape(3, 4))):
        for made in (pb.compile(f)(x), pb.compile(f, native=False)(x), pb.value_and_grad(f)(x)[0]):
            assert made == pytest.approx(f(x), rel=1e-14)


WAYS = {
    "grad": lambda f: lambda x: pb.value_and_grad(f)(x)[0],
    "jvp": lambda f: lambda x: pb.jvp(f, (x,), (x,))[0],
    "grad in grad": lambda f: lambda x: pb.value_and_grad(lambda x: pb.value_and_grad(f)(x)[0])(x)[0],
    "compile": pb.compile,
    "grad in compile": lambda f: pb.compile(lambda x: pb.value_and_grad(f)(x)[0]),
    "compile in grad": lambda f: lambda x: pb.value_and_grad(pb.compile(f))(x)[0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", WAYS)
def test_an_argument_keeps_its_gaps_in_every_transform(way, layout):
    """`ravel` copies what has gaps: whether the write is seen in x is told by how the caller's array lies."""

    def written(x):
        x.ravel()[0] = 5.0
        return np.sum(x * x)

    f = WAYS[way](written)
    for shape in ((6,), (4, 3), (2, 3, 4)):
        x = LAYOUTS[layout](np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape))
        assert f(x) == written(LAYOUTS[layout](np.array(x))), shape
        assert f(np.array(x)) == written(np.array(x)), shape


def test_what_is_forgotten_is_asked_again(monkeypatch):
    """As where another thread makes room in between."""

    class Forgetful(dict):
        asked = 0

        def get(self, key, default=None):
            self.asked += 1
            if self.asked in (2, 5, 9):
                self.clear()
            return super().get(key, default)

    monkeypatch.setattr(memory_order, "_known", Forgetful())
    x = np.asfortranarray(np.ones((3, 4)))
    y = Traced(fresh(Aval(x.shape, x.dtype), strides_of(x)))
    for _ in range(5):
        y = np.sin(y) + y
    assert memory_order.exactly(y.node).flags.f_contiguous


GRADIENTS = {
    "transposed": lambda x: (x.T * np.arange(1.0, 13.0).reshape(4, 3)).sum(), "squares": lambda x: (x * x).sum(),
    "reversed too": lambda x: (x.T[::-1] ** 2).sum() + x.sum(), "a copy": lambda x: (np.asfortranarray(x) ** 2).sum(),
    "product": lambda x: np.tanh(np.ones((2, 4)) @ x.T).sum(), "none": lambda x: 3.0,
}  # fmt: skip
WRITTEN = {
    "through its transpose": lambda g: g.T.reshape(-1), "through ravel": lambda g: g.ravel(),
    "changed before": lambda g: np.add(g, 1.0, out=g).T.ravel(), "turned": lambda g: g[::-1].reshape(-1),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_lie_by_rows_inside_compile_too(name):
    """Whether a write through a reshape is seen does not depend on how the gradient was computed."""

    def of(gradient, way):
        def f(x):
            g = gradient(x)
            WRITTEN[way](g)[0] = 50.0
            return g.sum(), g * 2.0

        return f

    def twice(x):
        return pb.grad(lambda x: (pb.grad(GRADIENTS[name])(x) * x).sum())(x)

    def pulled(x):
        return pb.vjp(lambda x: x.T * 2.0, x)[1](np.ones((4, 3)))[0]

    for gradient in (pb.grad(GRADIENTS[name]), twice, pulled)[: amount.cases(1, 3)]:
        for layout in LAYOUTS:
            x = LAYOUTS[layout](np.arange(12.0).reshape(3, 4) / 8.0)
            for way in WRITTEN:
                wanted = of(gradient, way)(x)
                for native in (True, False):
                    for a, b in zip(pb.compile(of(gradient, way), native=native)(x), wanted, strict=True):
                        np.testing.assert_allclose(a, b, rtol=1e-12, err_msg=f"{layout}, {way}, native: {native}")
