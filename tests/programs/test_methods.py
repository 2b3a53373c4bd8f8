"""More programs that know nothing of payback, of kinds that those in `science.py` are not, in every mode."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from amount import cases
from payback.errors import TraceError
from programs import algorithms, authors, engineering, learning, methods, nested, state, users, uses
from programs.test_science import assert_near, direction, slope

pytestmark = [  # what NumPy says of the programs by themselves
    pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning"),
]
MODULES = (methods, uses, algorithms, state, engineering, learning, nested, authors, users)
PROGRAMS = {name: found for module in MODULES for name, found in module.PROGRAMS.items()}
WHOLE = [name for name, (_, _, looks) in PROGRAMS.items() if not looks]


def test_no_name_hides_another():
    assert len(PROGRAMS) == sum(len(module.PROGRAMS) for module in MODULES)


@pytest.mark.parametrize("seed", range(cases(1, 3)))
@pytest.mark.parametrize("name", cases(list(PROGRAMS)[::3], list(PROGRAMS)))
def test_first_and_second_order(name, seed):
    f, x, _ = PROGRAMS[name]
    v = direction(x, seed)
    value, gradient = pb.value_and_grad(f)(x)
    plain = f(x.copy())
    np.testing.assert_allclose(value, plain, rtol=1e-14)
    assert np.shape(value) == np.shape(plain)
    assert_near(np.sum(gradient * v), slope(f, x, v), 1e-6)
    moved, along = pb.jvp(f, (x,), (v,))
    np.testing.assert_allclose(moved, plain, rtol=1e-14)
    assert_near(along, np.sum(gradient * v), 1e-10)
    bent = pb.hvp(f, x, v)
    assert_near(bent, slope(pb.grad(f), x, v), 1e-5)
    assert_near(pb.grad(lambda z: np.sum(pb.grad(f)(z) * v))(x), bent, 1e-8)


@pytest.mark.parametrize("native", cases([None], [None, False]))
@pytest.mark.parametrize("name", cases([*WHOLE[1::16], "cartpole", "inplace"], WHOLE))
def test_compiled(name, native):
    """Shapes alone are traced; the same graph answers at another point."""
    f, x, _ = PROGRAMS[name]
    both = pb.value_and_grad(f)
    compiled = pb.compile(both, native=native)
    for point in (x, x * 1.001):
        value, gradient = both(point)
        found = compiled(point)
        assert_near(found[0], value, 1e-12)
        assert_near(found[1], gradient, 1e-9)
    assert compiled.reasons == ["first call"]


@pytest.mark.parametrize("name", cases(WHOLE[::8], WHOLE))
def test_a_batch(name):
    f, x, _ = PROGRAMS[name]
    batch = np.stack([x, x * 1.01, x * 0.99])
    assert_near(pb.vmap(f)(batch), np.array([f(row) for row in batch]), 1e-12)
    assert_near(pb.vmap(pb.grad(f))(batch), np.stack([pb.grad(f)(row) for row in batch]), 1e-8)


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in WHOLE])
def test_what_looks_at_numbers_says_where(name):
    f, x, _ = PROGRAMS[name]
    with pytest.raises(TraceError, match=r"(algorithms|uses|state|engineering|learning|authors)\.py:\d+"):
        pb.compile(f)(x)
