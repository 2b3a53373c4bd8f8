"""Functions that a program keeps under no name: in tables, defaults, classes, arguments, or looked up as methods."""

import collections
import functools
import math
from math import sin

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

import payback as pb
from payback.trace.scipy.bodies import Bodies, original

SLOPE = math.cos(0.3)
TABLE = {
    "sin": sin,
    "pair": (1, sin),
    "deep": {"list": [None, math.sin]},
    "partial": functools.partial(math.atan2, 2.0),
}
LIST = [sin]
TUPLE = (sin,)
KEYS = {math.cos: 1.0, math.sin: (math.sin, math.cos), "last": 2.0}
ORDERED = collections.OrderedDict({math.cos: 1.0, math.sin: sin, "sin": math.sin})
QUEUE = collections.deque([1, sin])
Pair = collections.namedtuple("Pair", "number f")
PAIR = Pair(1.0, sin)
FILLED = collections.defaultdict(list, f=sin, pairs=[PAIR, PAIR])
MEMBERS = [{math.sin}, frozenset((math.sin, "sin"))]
EVERYWHERE = np.vectorize(math.sin)
logpdf = scipy.stats.norm.logpdf
DENSITIES = [scipy.stats.gamma.pdf, scipy.stats.poisson.logpmf, scipy.stats.norm.mean]


def by_default(x, f=sin, *, g=(sin,), zeros=np.zeros):
    out = zeros(2)
    out[0], out[1] = f(x), g[0](x)
    return out.sum() / 2


class Kept:
    f = staticmethod(sin)
    table = {"sin": sin}  # noqa: RUF012
    g = sin  # a builtin is no method

    def __init__(self):
        self.own = [{"sin": math.sin}]

    def __call__(self, x):
        return (self.f(x) + self.table["sin"](x) + self.g(x) + self.own[0]["sin"](x)) / 4

    def by_default(self, x, f=sin):
        return f(x)


def in_a_closure(table):
    return lambda x: table[0](x)


def _in_a_space_of_its_own():
    space = {"sin": math.sin}
    return eval("lambda x: table['sin'](x)", {"table": space})  # noqa: S307


PLACES = {
    "a table": lambda x: TABLE["sin"](x),
    "a tuple in a table": lambda x: TABLE["pair"][1](x),
    "a list in a table": lambda x: TABLE["deep"]["list"][1](x),
    "a list": lambda x: sum(f(x) for f in LIST),
    "a tuple": lambda x: sum(f(x) for f in TUPLE),
    "keys": lambda x: KEYS[math.sin][0](x) if [*KEYS].index(math.sin) == 1 else 0.0,
    "members": lambda x: sum(f(x) for f in MEMBERS[0]) if all(math.sin in f for f in MEMBERS) else 0.0,
    "a list of a closure": in_a_closure([math.sin]),
    "a tuple of a closure": in_a_closure((math.sin,)),
    "defaults": by_default,
    "a class": Kept(),
    "a method's default": Kept().by_default,
    "a namespace that is none of a module": _in_a_space_of_its_own(),
    "an ordered table": lambda x: ORDERED["sin"](x) if [*ORDERED].index(math.cos) == 0 else 0.0,
    "an ordered table's keys": lambda x: ORDERED[math.sin](x),
    "a queue": lambda x: QUEUE[1](x),
    "a named tuple": lambda x: PAIR.f(x) * PAIR.number,
    "a table that fills itself": lambda x: FILLED["f"](x) / 2 + FILLED["pairs"][1].f(x) / 2,
    "np.vectorize": lambda x: EVERYWHERE(x).sum(),
}


@pytest.mark.parametrize("name", PLACES)
def test_functions_are_answered_wherever_they_are_kept(name):
    f = PLACES[name]
    assert pb.grad(f)(0.3) == pytest.approx(SLOPE, rel=1e-15)
    assert pb.compile(pb.grad(f))(0.3) == pytest.approx(SLOPE, rel=1e-12)
    assert PAIR.f is QUEUE[1] is ORDERED["sin"] is ORDERED[math.sin] is FILLED["f"] is sin
    assert TABLE["sin"] is LIST[0] is TUPLE[0] is Kept.f is sin is by_default.__defaults__[0]
    assert math.sin in MEMBERS[0]
    assert [*KEYS] == [math.cos, math.sin, "last"]
    assert f(0.3) == pytest.approx(math.sin(0.3), rel=1e-15)


def test_arguments_and_partial_functions():
    assert pb.grad(lambda x, f: f(x))(0.3, math.sin) == pytest.approx(SLOPE)
    assert pb.grad(functools.partial(math.atan2, 2.0))(0.3) == pb.grad(lambda x: math.atan2(2.0, x))(0.3)
    assert pb.grad(lambda x: TABLE["partial"](x))(0.3) == pb.grad(lambda x: math.atan2(2.0, x))(0.3)
    assert pb.grad(lambda a, rule: rule(lambda t: t * a, 0, 1)[0])(3.0, quad) == pytest.approx(0.5)


def test_what_the_program_puts_there_meanwhile_stays():
    table = {"f": sin}

    def f(x):
        made = table["f"](x)
        table["f"] = len
        return made

    assert pb.grad(f)(0.3) == pytest.approx(SLOPE)
    assert table == {"f": len}
    functions = [sin]

    def popped(x):
        return functions.pop()(x)

    assert pb.grad(popped)(0.3) == pytest.approx(SLOPE)
    assert functions == []


@pytest.mark.parametrize("f", [
    scipy.stats.norm.logpdf, logpdf, lambda x: logpdf(x, scale=2.0), functools.partial(scipy.stats.norm.cdf, scale=2.0),
    lambda x: DENSITIES[0](x, 2.0 + x), lambda x: DENSITIES[1](3, x), lambda x: DENSITIES[2](x, 2.0) * x,
    scipy.stats.t(5.0).pdf, lambda x: scipy.stats.multivariate_normal.logpdf(np.array([x, 1.0]), np.zeros(2)),
])  # fmt: skip
def test_methods_of_distributions_that_were_looked_up_before(f):
    code = scipy.stats.rv_continuous.logpdf.__code__
    assert pb.value_and_grad(f)(0.4)[0] == pytest.approx(f(0.4), rel=1e-13)
    pb.check_grads(f, 0.4)
    assert scipy.stats.rv_continuous.logpdf.__code__ is code


def test_they_are_plain_again_after_an_error():
    def f(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pb.grad(lambda x: f(logpdf(x)))(0.3)
    assert logpdf(0.3) == scipy.stats.norm.logpdf(0.3)
    assert logpdf.__code__.co_name == "logpdf"
    with pytest.raises(TypeError, match="positional"):
        pb.grad(lambda x: logpdf(x, 1, 2, 3))(0.3)


def test_a_body_may_have_free_variables():
    """As those of SciPy's functions that are decorated."""
    factor = 3.0

    def f(x, *, more=0.5):
        return factor * x + more

    plainly = original(f)
    bodies = Bodies({f: lambda *args, **kwargs: -plainly(*args, **kwargs)})
    for _ in range(3):
        bodies.put()
        assert (f(1.0), f(1.0, more=1.0)) == (-3.5, -4.0)
        bodies.take_away()
        assert (f(1.0), f(1.0, more=1.0)) == (3.5, 4.0)
