"""Wrong native code is caught by the random programs that compare it with the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

import payback as pb
from native.test_random_programs import test_exact_programs_to_the_bit as exact_program
from native.test_random_programs import test_programs_to_rounding as rounded_program
from payback.native.codegen import library
from payback.native.codegen.emit import constant
from payback.native.lower import elementary, pointwise
from payback.native.lower.nests import nest


def _without_nan(e, code, x, y):
    return e.b.select(pointwise.compare(e, "gt", code, y, x), y, x)


def _toward_zero(e, code, x):
    return e.intrinsic("trunc", x) if code[0] == "f" else x


def _no_zero(self, sink, kind):
    return constant(kind, 1.0 if self.code(sink)[0] == "f" else 1)


RULES = {
    "sub": lambda e, code, x, y: pointwise.RULES["add"](e, code, x, y),
    "maximum": _without_nan,
    "floor": _toward_zero,
    "div": lambda e, code, x, y: e.b.fmul(x, e.b.fdiv(constant(x.type, 1.0), y)),
}


@pytest.fixture
def fresh(monkeypatch):
    """Nothing that was compiled rightly before is found."""
    monkeypatch.setenv("PAYBACK_CACHE", "off")
    for known in ("_addresses", "_named", "_homes"):
        monkeypatch.setattr(library, known, {})


def caught(run, seeds):
    for seed in seeds:
        try:
            run(seed)
        except AssertionError:
            return True
    return False


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", RULES)
def test_a_wrong_row(fresh, monkeypatch, name):
    monkeypatch.setitem(pointwise.RULES, name, RULES[name])
    assert caught(exact_program, range(200))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_sum_that_does_not_begin_at_zero(fresh, monkeypatch):
    monkeypatch.setattr(nest._Loops, "unit", _no_zero)
    assert caught(rounded_program, range(100_000, 100_100))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_elementary_function_of_half_the_digits(fresh, monkeypatch):
    right = elementary.emit

    def coarse(e, name, *operands):
        x = operands[0]
        return e.b.fadd(right(e, name, *operands), constant(x.type, 1e-5))

    monkeypatch.setattr(elementary, "emit", coarse)
    assert caught(rounded_program, range(100_000, 100_100))


def test_writing_in_place_too_early_is_noticed(monkeypatch):
    """Without the look at who still reads the old values, a donated array is overwritten before its last use."""
    from payback.native.planning import inplace

    def is_right(n):  # plans are kept: each length has one of its own
        a, b = np.arange(float(n)), np.arange(10.0, 10.0 + n)
        right = [b.tolist(), a.tolist()]
        return [array.tolist() for array in pb.compile(lambda a, b: (b, a), donate=(0, 1), native=True)(a, b)] == right

    assert is_right(3)
    monkeypatch.setattr(inplace, "_may_write", lambda *_: True)
    assert not is_right(4)
