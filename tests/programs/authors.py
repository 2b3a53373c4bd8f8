"""Programs in the manner of many authors: registries, enums, logs, files, queues.  None knows of payback."""

import collections
import contextlib
import copy
import dataclasses
import enum
import functools
import heapq
import io
import itertools
import json
import logging
import math
import operator
import types
import warnings

import numpy as np

from programs.points import collection

PROGRAMS, program, normal = collection(41)
log = logging.getLogger(__name__)
STEPS = {}


def step(name=None):
    def keep(f):
        STEPS[name or f.__name__] = f
        return f

    return keep


@step("square")
def _squared(v, **options):
    return v**2 * options.get("gain", 1)


@step()
def cubic(v, *, gain=1.0, offset=0.0):
    return gain * v**3 + offset


@program(normal(3))
def steps_of_a_configuration(x):
    config = json.loads('[{"op": "square", "args": {"gain": 2.0}}, {"op": "cubic", "args": {"offset": 0.5}}]')
    for entry in config:
        x = STEPS[entry["op"]](x, **entry["args"])
    return x.mean()


class Spring:
    known = {}  # noqa: RUF012

    def __init__(self, k, name):
        self._k, self._half = k, None
        Spring.known[name] = self

    @property
    def k(self):
        return self._k

    @k.setter
    def k(self, value):
        if value < 0:
            raise ValueError("a negative stiffness")
        self._k, self._half = value, None

    def energy(self, d):
        if self._half is None:
            self._half = 0.5 * self.k
        return self._half * d**2


@program(abs(normal(2)), looks=True)
def a_class_with_a_cache_and_a_registry(x):
    spring = Spring(x[0], "a")
    energy = spring.energy(2.0)
    spring.k = x[1] * 3
    return energy + sum(other.energy(1.5) for other in Spring.known.values())


class Kind(enum.Enum):
    BENT = "bent"
    CURVED = "curved"
    STRAIGHT = "straight"


def activation(kind, z):
    match kind:
        case Kind.BENT:
            return np.maximum(z, 0)
        case Kind.CURVED:
            return np.tanh(z)
        case Kind.STRAIGHT | None:
            return z


@program(normal(4))
def kinds_of_an_enum(x):
    for kind in (Kind.CURVED, Kind.BENT, None):
        x = activation(kind, x * 1.3 + 0.1)
    return x.sum()


@contextlib.contextmanager
def scaled(a, factor):
    a *= factor
    try:
        yield a
    finally:
        a /= factor


@program(normal(3))
def scaled_in_place_for_a_while(x):
    y = x.copy()
    with scaled(y, 3.0) as z:
        inside = np.sum(z**2)
    return inside + np.sum(y)


@dataclasses.dataclass
class Body:
    place: np.ndarray
    speed: np.ndarray
    t: float = 0.0

    def moved(self, dt, force):
        return dataclasses.replace(
            self, place=self.place + dt * self.speed, speed=self.speed + dt * force(self.place), t=self.t + dt
        )


@program(normal(3))
def a_body_until_its_time(x):
    body = Body(x.copy(), np.zeros_like(x))
    while body.t < 0.5:
        body = body.moved(0.1, lambda p: -p + 0.1 * p**3)
    return np.sum(body.place**2) + np.sum(body.speed)


@program(normal(3) + 2, looks=True)
def solved_until_it_stands(x):
    t = 1.0
    for count in itertools.count():
        dt = (t**3 - x[0] - x[1]) / (3 * t * t)
        t = t - dt
        if abs(dt) < 1e-12:
            return t * x[2]
        if count > 50:
            raise RuntimeError("no convergence")


@program(normal(3))
def a_function_of_objects(x):
    fused = np.frompyfunc(lambda a, b: a * b + 1, 2, 1)
    both = np.frompyfunc(lambda a: (a * a, 3 * a), 1, 2)
    return np.sum(fused(x, x[0])) + np.sum(np.multiply(*both(x)))


@program(normal(3), looks=True)
def checked_inside(x):
    np.testing.assert_allclose(x + 0, [*x])
    np.testing.assert_array_less(-abs(x) - 1, x)
    np.testing.assert_equal({"shape": x.shape, "first": x[0]}, {"shape": (3,), "first": x[0]})
    return np.linalg.norm(x)


@program(normal(3), looks=True)
def logged_and_saved(x):
    text, file = io.StringIO(), io.BytesIO()
    np.savetxt(text, x, fmt="%.3f")
    np.savez(file, x=x, rows=[x, 2 * x])
    log.debug("value %s, %.3f of %r", x, x[0], x)
    print(x, np.array2string(x, precision=2), repr(x), f"{x[0]:.3f}", file=text)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.warn(f"{x[0]:.2f}", stacklevel=1)
    return np.sum(x**2) + len(told) * x[0]


@program(normal(5), looks=True)
def a_heap_of_values(x):
    heap = []
    for k, v in enumerate(x):
        heapq.heappush(heap, (v * (-1) ** k, k))
    total = 0.0
    while heap:
        v, k = heapq.heappop(heap)
        total = total * 0.5 + v * (k + 1)
    return total


@program(normal(3))
def sent_to_a_generator(x):
    def squares():
        value = yield 0.0
        while True:
            value = yield value**2 + 1

    running = squares()
    next(running)
    total = sum(running.send(v) for v in x)
    running.close()
    return total


class Polynomial(tuple):
    __slots__ = ()

    def __call__(self, t):
        return functools.reduce(lambda a, c: a * t + c, self[::-1], 0.0)

    def __add__(self, other):
        return Polynomial(a + b for a, b in itertools.zip_longest(self, other, fillvalue=0))


@program(normal(3))
def a_tuple_that_is_called(x):
    p = Polynomial(x) + Polynomial([1, 2])
    return p(0.7) * p(-0.3)


@program(normal(3))
def counters_queues_and_spaces(x):
    counts = collections.Counter()
    for key, v in zip("aba", x, strict=True):
        counts[key] += v
    last = collections.deque(x, maxlen=2)
    levels = collections.ChainMap({"r": x[0]}, {"r": 1, "s": x[1]})
    space = types.SimpleNamespace(**dict(zip("uvw", x, strict=True)))
    space.u *= 2
    first, third = operator.itemgetter(0, 2)(x)
    return counts["a"] * counts["b"] + sum(last) * levels["s"] * levels["r"] + space.u * space.v + first * third


@program(normal(3))
def a_graph_that_is_walked(x):
    waiting, seen, total = [(0, x[0])], set(), 0.0
    while waiting:
        n, v = waiting.pop()
        if n in seen or n > 5:
            continue
        seen.add(n)
        total += v
        waiting += [(2 * n + 1, v * x[1]), (2 * n + 2, v * x[2])]
    return total


@program(normal(3))
def copied_deeply(x):
    kept = copy.deepcopy({"p": [x, {"q": x * 2}]})
    kept["p"][0] *= 3
    return np.sum(kept["p"][0] * kept["p"][1]["q"]) + np.sum(copy.copy(x))


@program(normal(4, 3))
def rows_through_a_signature(x):
    def softmax(row, sharpness):
        e = np.exp(sharpness * (row - row.max()))
        return e / e.sum()

    shares = np.vectorize(softmax, signature="(n),()->(n)")(x, x[:, 0])
    dots = np.vectorize(np.dot, signature="(n),(n)->()", otypes=[float])(shares, x)
    return np.sum(shares[:, 1]) + np.sum(dots**2)


@program(normal(6))
def weighed_in_bins(w):
    places = np.linspace(-1, 1, 6) ** 3
    sums, _ = np.histogram(places, bins=3, weights=w)
    density, _ = np.histogram(places, bins=[-1, -0.1, 0.5, 1], weights=w**2 + 1, density=True)
    table, _, _ = np.histogram2d(places, places**2, bins=2, weights=w)
    return sums @ density + math.pi * np.sum(table**2)
