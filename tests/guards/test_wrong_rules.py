"""Wrong rules are caught: each partial and adjoint of the table is bent, and the checks of tests/ops must fail."""

from __future__ import annotations

import numpy as np
import pytest

from ops import checks
from ops.samples import LINEAR, POINTWISE, REDUCTIONS
from payback.ad import sweep as sweep_module
from payback.ad.algebra import Masked
from payback.ops import TABLE
from payback.ops.index import Scattered
from payback.ops.namespace import Select

BENT = {"sign flipped": -1.0, "factor 2": 2.0, "zero": 0.0, "a thousandth off": 1.001}


def scaled(partial, factor):
    """A partial times a number, whatever form it has."""
    if partial is None:
        return None
    if type(partial) is Select:
        return Select(partial.condition, scaled(partial.high, factor), scaled(partial.low, factor))
    return partial * factor


def wrong_partials():
    for name in POINTWISE:
        partials = TABLE[name].partials
        for slot in checks.live_slots(name):
            rule = partials[slot]
            for label, factor in BENT.items():
                bent = lambda m, *args, rule=rule, factor=factor: scaled(rule(m, *args), factor)  # noqa: E731
                yield pytest.param(name, slot, bent, id=f"{name}-{slot}-{label}")
            if (
                len(partials) == 2
                and name not in ("add", "sub", "nextafter", "copysign")
                and (name, slot) not in (("mod", 0), ("fmod", 0))
            ):  # these read no argument, or both alike
                bent = lambda m, a, b, y, rule=rule: rule(m, b, a, y)  # noqa: E731
                yield pytest.param(name, slot, bent, id=f"{name}-{slot}-arguments swapped")
            if len(checks.live_slots(name)) == 2 and name != "add":  # 1 and 1
                yield pytest.param(
                    name, slot, partials[sum(checks.live_slots(name)) - slot], id=f"{name}-{slot}-partials swapped"
                )
            yield pytest.param(name, slot, lambda *_: None, id=f"{name}-{slot}-no derivative")


def fails(check, *args):
    with np.errstate(all="ignore"):
        try:
            check(*args)
        except (AssertionError, AttributeError, TypeError, ValueError):
            return True
    return False


@pytest.mark.parametrize(("name", "slot", "rule"), [*wrong_partials()])
def test_a_wrong_partial(name, slot, rule, monkeypatch, request):
    row = TABLE[name]
    partials = [*row.partials]
    partials[slot] = rule
    monkeypatch.setattr(row, "partials", tuple(partials))
    for dtype in (np.float64, np.float32, np.float16):
        if dtype is not np.float16 or (rule.__kwdefaults__ or {}).get("factor") != 1.001:  # less than its ulps
            assert fails(checks.check_vjp, name, checks.arguments(name, dtype, "vector"))
    if "sign flipped" not in request.node.name:  # a sign flips twice where a function is its own derivative
        assert fails(checks.check_second, name, checks.arguments(name, np.float64, "vector")) or _is_linear(name)
    broadcast = checks.broadcast_arguments(name, np.float64)
    assert not broadcast or any(fails(checks.check_vjp, name, args) for args in broadcast)


def _is_linear(name):
    """Where the second derivatives are zero, a constant factor changes none of them."""
    orders = [tuple(int(k == i) + int(k == j) for k in range(len(POINTWISE[name].points)))
              for i in checks.live_slots(name) for j in checks.live_slots(name)]  # fmt: skip
    points = list(zip(*POINTWISE[name].points, strict=True))
    return all(abs(checks.exact_partial(name, point, order)) < 1e-20 for order in orders for point in points)


def bent_payment(paid, factor, like):
    if type(paid) is Scattered:
        return Scattered(paid.template, paid.arrays, bent_payment(paid.value, factor, like))
    if type(paid) is Masked:
        return Masked(paid.mask, paid.value * like(factor))
    return paid * like(factor)


@pytest.mark.parametrize("label", ["sign flipped", "factor 2", "zero"])
@pytest.mark.parametrize("name", LINEAR)
def test_a_wrong_adjoint(name, label, monkeypatch):
    row, factor = TABLE[LINEAR[name].row], BENT[label]
    adjoint = row.adjoint
    monkeypatch.setattr(
        row,
        "adjoint",
        lambda m, bar, slot, *args, **params: bent_payment(adjoint(m, bar, slot, *args, **params), factor, float),
    )
    nothing = name in (
        "sum of nothing",
        "broadcast to nothing",
        "index nothing",
        "index empty list",
        "matmul of nothing",
    )
    assert fails(checks.check_linear, name, np.float64) != nothing
    if label == "factor 2":  # a sign flips twice where the adjoint's adjoint is of the same row
        assert fails(checks.check_linear_second, name, np.float64) != nothing


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("transpose axes", lambda m, bar, slot, x, axes: m.transpose(bar, axes=axes)),
        ("mean", lambda m, bar, slot, x, axes, keepdims: m.broadcast(bar, shape=m.shape(x))),
        (
            "concatenate",
            lambda m, bar, slot, *parts, axis: m.index(
                bar, template=(slice(None), slice(0, m.shape(parts[slot])[axis]))
            ),
        ),
        ("stack", lambda m, bar, slot, *parts, axis: m.index(bar, template=(slice(None), 0))),
        (
            "matmul of squares",
            lambda m, bar, slot, a, b, spec: (
                m.contract(bar, b, spec=(spec[2], spec[1][::-1], spec[0]))
                if slot == 0
                else m.contract(a, bar, spec=(spec[0], spec[2], spec[1]))
            ),
        ),
        ("index", lambda m, bar, slot, x, *arrays, template: Scattered((2,), arrays, bar)),
        ("index array", lambda m, bar, slot, x, *arrays, template: Scattered(template, (np.array([2, 0, 0]),), bar)),
        ("broadcast", lambda m, bar, slot, x, shape: m.max(bar, axes=(0, 2), keepdims=False).reshape(2, 1)),
    ],
)
def test_an_adjoint_that_mistakes_its_place(name, wrong, monkeypatch):
    assert not fails(checks.check_linear, name, np.float64)
    monkeypatch.setattr(TABLE[LINEAR[name].row], "adjoint", wrong)
    assert fails(checks.check_linear, name, np.float64)


@pytest.mark.parametrize("label", BENT)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_wrong_reduction(name, label, monkeypatch):
    row, factor = TABLE[name], BENT[label]
    rule = row.partials[0]
    monkeypatch.setattr(row, "partials", (lambda m, *args: scaled(rule(m, *args), factor),))
    x = np.array([[0.5, 1.5, -1.0], [0.25, 0.75, 2.0]])
    for axis, keepdims in ((0, False), (1, True), (None, False)):
        assert fails(checks.check_reduction, name, x, axis, keepdims)


def test_ties_that_are_not_shared(monkeypatch):
    monkeypatch.setattr(TABLE["max"], "partials", (lambda m, x, y, axes: m.select(m.eq(x, y), 1.0, None),))
    assert fails(checks.check_reduction, "max", np.array([2.0, 2.0, 1.0]), None, False)


def test_a_wrong_value_and_a_wrong_shape(monkeypatch):
    args = checks.arguments("tanh", np.float64, "vector")
    row = TABLE["tanh"]
    value, shape = row.value, row.shape
    monkeypatch.setattr(row, "value", lambda m, x: value(m, x) * (1 + 2.3e-16))
    assert fails(checks.check_value, "tanh", args)
    monkeypatch.setattr(row, "value", value)
    for wrong in ("shape", "dtype", "weak"):
        bend = {
            "shape": lambda a: a._replace(shape=(8, 1)),
            "dtype": lambda a: a._replace(dtype=np.dtype("f4")),
            "weak": lambda a: a._replace(weak=True),
        }
        monkeypatch.setattr(row, "shape", lambda *avals, wrong=wrong, bend=bend: bend[wrong](shape(*avals)))
        assert fails(checks.check_abstract, POINTWISE["tanh"].call, args)


def test_namespaces_that_disagree(monkeypatch):
    """A rule that is right on values and one ulp off on graphs is caught, too."""
    rule = TABLE["exp"].partials[0]
    monkeypatch.setattr(
        TABLE["exp"],
        "partials",
        (lambda m, x, y: rule(m, x, y) if type(y) is not _term() else rule(m, x, y) * (1 + 2.3e-16),),
    )
    assert fails(checks.check_vjp, "exp", checks.arguments("exp", np.float64, "vector"))


def _term():
    from payback.ops.recording import Term

    return Term


class _Bent:
    """An algebra that skips or doubles the payment on one edge."""

    def __init__(self, algebra, edge, times):
        self.algebra, self.edge, self.times, self.seen = algebra, edge, times, 0
        self.total = algebra.total

    def pull(self, node, slot, bar):
        self.seen += 1
        paid = self.algebra.pull(node, slot, bar)
        if self.seen != self.edge or paid is None:
            return paid
        return None if self.times == 0 else bent_payment(paid, self.times, float)


@pytest.mark.parametrize("times", [0, 2], ids=["skipped", "doubled"])
@pytest.mark.parametrize("edge", [1, 2])
@pytest.mark.parametrize("name", ["mul", "div", "power", "maximum"])
def test_a_sweep_that_miscounts_an_edge(name, edge, times, monkeypatch):
    plain = checks.sweep
    monkeypatch.setattr(checks, "sweep", lambda algebra, tops, wrt: plain(_Bent(algebra, edge, times), tops, wrt))
    assert fails(checks.check_vjp, name, checks.arguments(name, np.float64, "vector"))


def test_the_sweep_that_is_bent_is_the_sweep():
    assert checks.sweep is sweep_module.sweep


def test_dtype_of_an_adjoint(monkeypatch):
    """A rule that promotes float32 to float64 is caught, though its numbers are right."""
    rule = TABLE["sin"].partials[0]
    monkeypatch.setattr(TABLE["sin"], "partials", (lambda m, x, y: rule(m, x, y) * np.float64(1.0),))
    assert fails(checks.check_vjp, "sin", checks.arguments("sin", np.float32, "vector"))
