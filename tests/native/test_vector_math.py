"""The elementary functions of compiled programs: within 2 ulp, and exact where IEEE 754 and C99 say what comes out."""

from __future__ import annotations

import platform
from functools import cache, partial

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
from benchmarks.elementwise import Elementwise
from benchmarks.ulps import (
    IN_MPMATH,
    OF_THE_SAME_BITS,
    TWO_OPERANDS,
    distance,
    expected,
    operands_of,
    scale,
)

import amount
import payback as pb
from payback.native import ir, vector_math
from payback.native.codegen import emit as native
from payback.native.vector_math import coefficients

NAMES = sorted(vector_math.FORMULAS)
INF, NAN = np.inf, np.nan
LIMIT = 1.5  # ulp; 2 are promised
# of what is reflected, of a last product and of a tail
LIMITS = {"gammaln": 2.0, "digamma": 2.0, "trigamma": 2.0, "entr": 2.0, "ndtri": 2.0, "erfinv": 2.0}
LIMITS |= dict.fromkeys(("xlogy", "xlog1py", "rel_entr", "tanh", "erf", "logit", "sigmoid", "expit"), 2.0)
EXTENDED = np.finfo(np.longdouble).nmant > np.finfo(np.float64).nmant
SIZES = {np.float32: 1 << 15, np.float64: 1 << 14}


@cache
def function(name, dtype, lanes=None):
    lanes = lanes or 32 // np.dtype(dtype).itemsize
    return Elementwise(name, dtype, lanes, 2 if name in TWO_OPERANDS else 1)


def farthest(found, name, inputs):
    return distance(found, expected(name, *inputs), scale(name, inputs)).max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_close_to_the_truth(name, dtype):
    if dtype == np.float64 and (not EXTENDED or name in IN_MPMATH):
        return  # measured in the next test
    for seed in range(amount.cases(1, 4, 40)):
        inputs = operands_of(name, SIZES[dtype], np.random.default_rng(seed), dtype)
        assert farthest(function(name, dtype)(*inputs), name, inputs) <= LIMITS.get(name, LIMIT)


MPMATH = {
    "arccos": mpmath.acos, "arccosh": mpmath.acosh, "arcsin": mpmath.asin, "arcsinh": mpmath.asinh,
    "arctan": mpmath.atan, "arctan2": mpmath.atan2, "arctanh": mpmath.atanh, "cbrt": mpmath.cbrt,
    "exp2": lambda x: mpmath.mpf(2) ** x, "log2": lambda x: mpmath.log(x, 2), "power": mpmath.power,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)), "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)), "log_expit": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "logaddexp": lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b)),
    "xlogy": lambda x, y: x * mpmath.log(y), "xlog1py": lambda x, y: x * mpmath.log1p(y),
    "entr": lambda x: -x * mpmath.log(x), "rel_entr": lambda x, y: x * mpmath.log(x / y),
    "logit": lambda x: mpmath.log(x / (1 - x)),
    **{name: partial(f, mpmath) for name, f in IN_MPMATH.items()},
}  # fmt: skip
INSIDE = {
    "arcsin": (-1, 1),
    "arccos": (-1, 1),
    "arctanh": (-1, 1),
    "arccosh": (1, 40),
    "erfc": (-6, 27),
    "logit": (1e-3, 1),
    "entr": (1e-2, 40),
    "rel_entr": (1e-2, 40),
    "erfinv": (-1, 1),
    "ndtri": (0, 1),
    "erfcx": (-26, 40),
    "ndtr": (-37, 37),
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_THE_SAME_BITS])
def test_float64_is_close_to_mpmath(name):
    rng = np.random.default_rng(2)
    low, high = INSIDE.get(
        name, (0.01, 40) if "log" in name or "gamma" in name or name in ("power", "cbrt") else (-40, 40)
    )
    inputs = [rng.uniform(low, high, amount.cases(150, 500, 5000)) for _ in range(2 if name in TWO_OPERANDS else 1)]
    if name in ("erf", "erfc", "erfcx") or "gamma" in name:
        inputs[0][::2] = rng.uniform(max(low, -3), 3, inputs[0][::2].size)
    exact = MPMATH.get(name) or getattr(mpmath, name)
    found = function(name, np.float64)(*inputs)
    with mpmath.workprec(200):
        for *x, y in zip(*inputs, found, strict=True):
            true = exact(*[mpmath.mpf(v) for v in x])
            unit = np.spacing(max(abs(float(true)), abs(max(x)) if name == "logaddexp" else 0.0))
            assert abs(mpmath.mpf(y) - true) <= LIMITS.get(name, LIMIT) * mpmath.mpf(unit)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logaddexp2_is_close_to_mpmath(dtype):
    """In units of the larger of the result and the operands: where they cancel, where one is next to nothing."""
    rng = np.random.default_rng(2)
    a = np.concatenate([rng.uniform(-40, 40, 40), np.zeros(40), 2.0 ** -rng.uniform(0, 60, 80)]).astype(dtype)
    b = np.concatenate([rng.uniform(-40, 40, 40), rng.uniform(-120, 1, 40), rng.uniform(-60, 1, 80)]).astype(dtype)
    huge = np.finfo(dtype).max
    *found, last = pb.compile(np.logaddexp2)(np.append(a, huge), np.append(b, dtype(0.0)))
    assert last == huge
    with mpmath.workprec(400):
        for x, y, z in zip(a, b, found, strict=True):
            true = mpmath.log(mpmath.mpf(2) ** mpmath.mpf(float(x)) + mpmath.mpf(2) ** mpmath.mpf(float(y)), 2)
            unit = np.spacing(dtype(max(abs(float(true)), abs(max(x, y)))))
            assert abs(mpmath.mpf(float(z)) - true) <= 4 * mpmath.mpf(float(unit))


SPECIAL = [
    0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1 / 3, -1 / 3, 1.5, -1.5, 1e-3, -1e-3, 7.0,
    88.0, -88.0, 103.0, -103.9, 104.5, 200.0, 709.7, 709.8, 710.47, 710.48, -708.3, -745.1, -745.2, 1e10, -1e10, 1e30,
]  # fmt: skip


def special(dtype):
    """Special values, those next to them, and the ends of the ranges of normal and subnormal numbers."""
    info = np.finfo(dtype)
    ends = [info.max, info.tiny, info.smallest_subnormal, 3 * info.smallest_subnormal, 2.0**info.nmant, info.eps]
    ends += [2.0**info.nmant + 1, 2.0 ** (info.nmant + 1) - 1, 2.0 ** (info.nmant + 1)]
    with np.errstate(all="ignore"):
        values = np.array([*SPECIAL, *ends, *[-x for x in ends]], dtype)
        return np.unique(np.concatenate([values, np.nextafter(values, dtype(INF)), np.nextafter(values, dtype(-INF))]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_special_values_are_those_of_numpy(name, dtype):
    """NaN, infinities, zeros with their signs, and numbers where overflow and subnormal numbers begin."""
    values = np.append(special(dtype), [0.0, -0.0]).astype(dtype)
    inputs = [x.ravel() for x in np.meshgrid(*[values] * (2 if name in TWO_OPERANDS else 1))]
    found = function(name, dtype)(*inputs)
    true = expected(name, *inputs)
    assert distance(found, true, scale(name, inputs)).max() <= max(2.0, LIMITS.get(name, LIMIT))
    edge = (true == 0) | np.isinf(true)
    assert np.array_equal(found[edge].astype(true.dtype), true[edge])


EXACT = [
    ("exp", [0.0, -0.0], [1.0, 1.0]),
    ("exp2", [-3.0, 0.0, 1.0, 10.0, 100.0, -149.0], [0.125, 1.0, 2.0, 1024.0, 2.0**100, 2.0**-149]),
    ("expm1", [0.0, -INF], [0.0, -1.0]),
    ("log", [1.0], [0.0]),
    ("log2", [2.0**k for k in range(-126, 128)], list(range(-126, 128))),
    ("log10", [10.0**k for k in range(11)], list(range(11))),
    ("sin", [0.0], [0.0]),
    ("cos", [0.0], [1.0]),
    ("tanh", [0.0, 30.0, -30.0], [0.0, 1.0, -1.0]),
    ("sigmoid", [0.0, 40.0], [0.5, 1.0]),
    ("cosh", [0.0], [1.0]),
    ("arccos", [1.0], [0.0]),
    ("arccosh", [1.0], [0.0]),
    ("cbrt", [k**3 for k in range(-100, 101)], list(range(-100, 101))),
    ("erf", [0.0, 30.0, -30.0], [0.0, 1.0, -1.0]),
    ("erfc", [0.0, -30.0, 200.0], [1.0, 2.0, 0.0]),
    ("hypot", ([3.0, 5.0, 8.0, 0.0, INF], [4.0, 12.0, 15.0, 2.0, NAN]), [5.0, 13.0, 17.0, 2.0, INF]),
    ("arctan2", ([0.0, 0.0, -0.0], [1.0, INF, 2.0]), [0.0, 0.0, -0.0]),
    ("mod", ([7.0, -7.0, 7.0, -7.0, -1.0, 6.0], [3.0, 3.0, -3.0, -3.0, INF, -3.0]), [1.0, 2.0, -2.0, -1.0, INF, -0.0]),
    ("floor_divide", ([7.0, -7.0, 7.0, -7.0, -1.0], [3.0, 3.0, -3.0, -3.0, INF]), [2.0, -3.0, -3.0, 2.0, -1.0]),
    ("power", ([-2.0, -2.0, -8.0, 9.0, NAN, 1.0], [3.0, 2.0, 1 / 3, 0.5, 0.0, NAN]), [-8.0, 4.0, NAN, 3.0, 1.0, 1.0]),
    (
        "power",
        ([-1.0, -1.0, -0.0, -0.0, 0.0, -INF], [INF, 2.0**60, -3.0, 3.0, -2.5, 3.0]),
        [1, 1, -INF, -0.0, INF, -INF],
    ),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "inputs", "results"), EXACT)
def test_exact_results_are_exact(name, inputs, results, dtype):
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    found, results = function(name, dtype)(*[np.array(x, dtype) for x in inputs]), np.array(results, dtype)
    assert np.array_equal(found, results, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(results)) or np.isnan(results).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_small_integers_are_exact(dtype):
    base, exponent = (x.ravel().astype(dtype) for x in np.meshgrid(np.arange(-12, 13), np.arange(0, 20)))
    exact = base.astype(np.float64) ** exponent.astype(np.float64)
    kept = np.abs(exact) < 2.0 ** (np.finfo(dtype).nmant + 1)
    assert np.array_equal(function("power", dtype)(base, exponent)[kept], exact[kept])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exponent", [4.0, 3.0, -2.0, 1.5, -0.5, 5.0, 6.0, 7.0, 12.0, 13.0, 15.0, 16.0])
def test_small_exponents_are_products_and_roots(exponent, dtype):
    """Within 2 ulp (of subnormal numbers: their spacing), and NumPy's of what is no number."""
    special = [0.0, -0.0, INF, -INF, NAN, -1.0, 1.0]
    far = 30 if abs(exponent) < 5 else np.log10(np.finfo(dtype).max) / exponent * 1.1
    spread = 10.0 ** np.random.default_rng(4).uniform(-far, far, amount.cases(300, 2000))
    x = np.array([*special, *spread]).astype(dtype)
    compiled = pb.compile(lambda x: x**exponent)
    found = compiled(x)
    assert "power" not in {node.op.name for node in compiled._program().graph.nodes}
    with np.errstate(all="ignore"):
        usual = x[: len(special)] ** exponent
    assert np.array_equal(found[: len(special)], usual, equal_nan=True)
    assert np.array_equal(np.signbit(found[:4]), np.signbit(usual[:4]))
    for given, answer in zip(x[len(special) :], found[len(special) :], strict=True):
        true = mpmath.power(mpmath.mpf(float(given)), exponent)
        if true < np.finfo(dtype).max:
            assert abs(mpmath.mpf(float(answer)) - true) <= 2 * np.spacing(dtype(float(true)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_lanes_changes_no_bit(name, dtype):
    rng = np.random.default_rng(3)
    inputs = operands_of(name, 300, rng, dtype)
    alone = function(name, dtype, 1)(*inputs)
    for lanes in amount.cases((3,), (2, 3, 4, 7, 8, 16)):
        assert np.array_equal(function(name, dtype, lanes)(*inputs), alone, equal_nan=True), lanes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["mod", "floor_divide", "fmod"])
def test_remainders_have_the_bits_of_numpy(name, dtype):
    inputs = operands_of(name, amount.cases(20_000, 200_000, 2_000_000), np.random.default_rng(4), dtype)
    with np.errstate(all="ignore"):
        true = getattr(np, name)(*inputs)
    found = function(name, dtype)(*inputs)
    assert np.array_equal(found, true, equal_nan=True)
    assert np.array_equal(np.signbit(found), np.signbit(true) & ~np.isnan(true) | np.isnan(true) & np.signbit(found))


def test_huge_arguments_are_reduced_exactly():
    """The float64 number that is closest to a multiple of π/2, and powers of two up to the end of the range."""
    x = np.array([6381956970095103 * 2.0**797, -(6381956970095103 * 2.0**797), *[2.0**k for k in range(1024)]])
    with mpmath.workprec(1300):
        for name in ("sin", "cos", "tan"):
            for value, found in zip(x, function(name, np.float64)(x), strict=True):
                true = getattr(mpmath, name)(mpmath.mpf(value))
                assert abs(mpmath.mpf(found) - true) <= LIMIT * mpmath.mpf(np.spacing(abs(float(true))))


def test_a_lane_that_is_far_away_does_not_change_the_others():
    x = np.linspace(-100, 100, 64)
    alone = function("sin", np.float64)(x)
    x[::4] = 1e300
    assert np.array_equal(function("sin", np.float64)(x)[1::4], alone[1::4])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_intrinsics_are_numpys(dtype):
    for name in vector_math.INTRINSICS:
        inputs = operands_of(name, 5000, np.random.default_rng(5), dtype)
        with np.errstate(all="ignore"):
            assert np.array_equal(function(name, dtype)(*inputs), getattr(np, name)(*inputs), equal_nan=True), name


def test_a_function_is_defined_once_in_a_module():
    module = ir.Module("twice")
    kind = ir.VectorType(ir.FloatType(), 8)
    caller = ir.Function(module, ir.FunctionType(kind, [kind]), "caller")
    e = native.Emitter(module, ir.IRBuilder(caller.append_basic_block()))
    e.b.ret(vector_math.emit(e, "exp", vector_math.emit(e, "exp", caller.args[0])))
    ours = sorted(name for name in module.globals if not name.startswith("llvm."))
    assert ours == ["caller", "payback.exp.v8f32", "payback.exp.v8f32.constants"]


# Without FMA and AVX: products and sums apart where that is accurate enough, calls of the C library's fma elsewhere.


class OldProcessor(native.Compiled):
    def __init__(self, module):
        native.initialize()
        target = llvm.Target.from_default_triple()
        machine = target.create_target_machine(cpu="x86-64", features="-fma,-avx", opt=2, jit=True)
        module.triple = llvm.get_process_triple()
        self.parsed = llvm.parse_assembly(str(module))
        self.parsed.verify()
        self.engine = llvm.create_mcjit_compiler(self.parsed, machine)
        self.engine.finalize_object()


OLD = NAMES if platform.machine() in ("x86_64", "AMD64") else []  # all others have FMA


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_processors_without_fma_are_accurate_too(dtype, monkeypatch):
    monkeypatch.setattr(native, "host_features", lambda: {"sse2": True})
    for name in OLD:
        if name in IN_MPMATH and dtype == np.float64:
            continue
        old = Elementwise(name, dtype, 4, 2 if name in TWO_OPERANDS else 1, compiler=OldProcessor)
        inputs = operands_of(name, amount.cases(2000, 10_000, 100_000), np.random.default_rng(6), dtype)
        assert farthest(old(*inputs), name, inputs) <= max(2.0, LIMITS.get(name, LIMIT)), name


# The measure measures: a wrong formula does not pass.

USED_BY = {
    "EXP": "exp", "EXP2": "exp2", "LOG": "log", "LOG_TAIL": "power", "SIN": "sin", "COS": "cos",
    "SIN_OF_HALF_TURN": "sin", "ATAN": "arctan", "ASIN": "arcsin", "SINH": "sinh", "ERF": "erfc", "ERFC": "erfc",
    "LOG_OF_RATIO": "logit", "LOG_ERFC": "erf",
    "GAMMALN": "gammaln", "GAMMALN_TAIL": "gammaln", "DIGAMMA": "digamma", "DIGAMMA_TAIL": "digamma",
    "TRIGAMMA_TAIL": "trigamma", "SINE": "trigamma", "COT": "digamma", "QUANTILE": "erfinv", "QUANTILE_TAIL": "ndtri",
}  # fmt: skip
TABLES = [
    (table, bits, k)
    for table in USED_BY
    for bits, values in getattr(coefficients, table).items()
    for k in range(len(values))
    if not (table in ("SIN", "COS") and bits == 32)  # tan's, where the other's error is added
    and not (USED_BY[table] in IN_MPMATH and bits == 64)
]


@pytest.mark.parametrize(("table", "bits", "k"), TABLES[:: amount.cases(7, 1)])
def test_a_polynomial_with_one_coefficient_changed_is_caught(table, bits, k, monkeypatch):
    values = list(getattr(coefficients, table)[bits])
    values[k] *= 1.1
    monkeypatch.setitem(getattr(coefficients, table), bits, values)
    name, dtype = USED_BY[table], {32: np.float32, 64: np.float64}[bits]
    wrong = Elementwise(name, dtype, 8, 2 if name in TWO_OPERANDS else 1)
    inputs = operands_of(name, SIZES[dtype], np.random.default_rng(0), dtype)
    assert farthest(wrong(*inputs), name, inputs) > LIMITS.get(name, LIMIT)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_of_two_zeros_the_second_is_taken(dtype):
    """As NumPy does on x86: 1/x tells them apart."""
    a = np.array([0.0, -0.0] * 9, dtype)
    for f in (np.maximum, np.minimum, np.fmax, np.fmin):
        assert np.array_equal(np.signbit(pb.compile(f)(a, -a)), np.signbit(-a))
    for bounds in ((0.0, 1.0), (-0.0, 1.0), (-1.0, 0.0), (-1.0, -0.0)):  # but of a clipped zero and a number's its own
        clip = partial(lambda low, high, x: np.clip(x, low, high), *bounds)
        for clipped in (pb.compile(clip)(a), pb.vjp(clip, a)[0]):
            assert np.array_equal(np.signbit(clipped), np.signbit(clip(a)))
    assert not np.signbit(pb.compile(pb.nn.relu)(a)).any()
