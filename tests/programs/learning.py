"""Statistics and learning, written out; and programs that lean on the language.  None of them knows of payback."""

import collections
import contextlib
import copy
import enum
import heapq
import itertools
import math
import operator
from functools import reduce

import numpy as np
from scipy.special import gammaln

from programs.points import collection

PROGRAMS, program, normal = collection(13)


@program(normal(21))
def random_field(p):
    """A linear-chain conditional random field: the score of a path against the sum over all."""
    move, weights, x = p[:9].reshape(3, 3), p[9:].reshape(3, 4), np.random.default_rng(1).normal(size=(5, 4))
    path, emit = [0, 1, 1, 2, 0], x @ weights.T
    alpha = emit[0].copy()
    for e in emit[1:]:
        s = alpha[:, None] + move + e
        top = s.max(axis=0)
        alpha = top + np.log(np.exp(s - top).sum(axis=0))
    total = alpha.max() + np.log(np.exp(alpha - alpha.max()).sum())
    return total - emit[range(5), path].sum() - sum(move[a, b] for a, b in itertools.pairwise(path))


@program(normal(18))
def contrastive(flat):
    """InfoNCE: similarities with themselves are masked by minus infinity."""
    z = flat.reshape(6, 3)
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    s = z @ z.T / 0.2
    s[np.eye(6, dtype=bool)] = -np.inf
    top = np.max(s, axis=1, keepdims=True)
    logp = s - top - np.log(np.sum(np.exp(s - top), axis=1, keepdims=True))
    return -logp[np.arange(6), (np.arange(6) + 3) % 6].mean()


@program(normal(12))
def neighbor_embedding(flat):
    """t-SNE with diagonals set to zero."""
    y, x = flat.reshape(6, 2), np.random.default_rng(4).normal(size=(6, 4))
    P = np.exp(-((x[:, None] - x) ** 2).sum(axis=-1) / 2)
    np.fill_diagonal(P, 0)
    P /= P.sum(axis=1, keepdims=True)
    P = np.maximum((P + P.T) / 12, 1e-12)
    near = 1 / (1 + np.square(y[:, None, :] - y[None, :, :]).sum(axis=-1))
    near[range(6), range(6)] = 0.0
    return np.sum(P * np.log(P / np.maximum(near / near.sum(), 1e-12)))


@program(normal(64) * 0.4)
def attention_block(w):
    """Two heads, a causal mask, a layer norm and a GELU."""
    q, k, v, o = w.reshape(4, 4, 4)
    x = np.random.default_rng(1).normal(size=(1, 3, 4))

    def heads(z):
        return z.reshape(1, 3, 2, 2).transpose(0, 2, 1, 3)

    s = np.einsum("bhqd,bhkd->bhqk", heads(x @ q), heads(x @ k)) / np.sqrt(2)
    s = np.where(np.triu(np.ones((3, 3), bool), 1), -1e9, s)
    s -= s.max(axis=-1, keepdims=True)
    a = np.exp(s)
    a /= a.sum(axis=-1, keepdims=True)
    h = x + (a @ heads(x @ v)).transpose(0, 2, 1, 3).reshape(1, 3, 4) @ o
    h = (h - h.mean(axis=-1, keepdims=True)) / np.sqrt(h.var(axis=-1, keepdims=True) + 1e-5)
    return (0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))).sum()


class BatchNorm:
    def __init__(self, n):
        self.mean, self.var, self.calls = np.zeros(n), np.ones(n), 0

    def __call__(self, x, gain, shift):
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        self.var = 0.9 * self.var + 0.1 * x.var(axis=0)
        self.calls += 1
        return gain * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) + shift


@program(normal(12))
def running_averages(p):
    """A layer whose state is carried from call to call."""
    layer, x = BatchNorm(3), np.random.default_rng(2).normal(size=(7, 2)) @ p[:6].reshape(2, 3)
    y = layer(np.tanh(layer(x, p[6:9], p[9:])), p[6:9], p[9:])
    return np.sum(y**2) + np.sum(layer.mean**2) + layer.var.sum() * layer.calls


@program(normal(16) * 0.5)
def coupling_flow(p):
    """RealNVP: halves that transform each other in turn."""
    x, logdet = np.random.default_rng(2).normal(size=(5, 4)), np.zeros(5)
    for scale, shift in p.reshape(2, 2, 2, 2):
        one, two = np.hsplit(x, 2)
        s = np.tanh(one @ scale)
        x = np.hstack([two * np.exp(s) + one @ shift, one])
        logdet += s.sum(axis=1)
    return np.mean(0.5 * (x**2).sum(axis=1) - logdet)


class Likelihood:
    """In the style of statsmodels."""

    def __init__(self, endog, exog):
        self.endog, self.exog, self._cache = np.asarray(endog), np.asarray(exog), {}

    def loglike(self, params):
        return np.sum(self.loglikeobs(params))


class NegativeBinomial(Likelihood):
    def loglikeobs(self, params):
        *beta, logalpha = params
        size, y = np.exp(-logalpha), self.endog
        mean = np.exp(np.dot(self.exog, beta))
        p = self._cache.setdefault("p", size / (size + mean)) if not self._cache else self._cache.pop("p")
        self._cache.clear()
        return gammaln(size + y) - gammaln(size) - gammaln(y + 1) + size * np.log(p) + y * np.log1p(-p)


COUNTS = NegativeBinomial([0, 1, 3, 2, 5], np.c_[np.ones(5), np.arange(5) / 5])


@program([0.1, 0.5, -0.2])
def negative_binomial(params):
    return COUNTS.loglike(params)


class Dual:
    """Somebody's own forward mode, inside."""

    def __init__(self, a, b=0.0):
        self.a, self.b = a, b

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.a + other.a, self.b + other.b)

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.a * other.a, self.a * other.b + self.b * other.a)

    __radd__, __rmul__ = __add__, __mul__


@program([1.0, 2.0, 3.0])
def dual_numbers(p):
    x = Dual(p[0], 1.0)
    y = p[1] * x * x + x * p[2] + 3.0
    return y.b * y.a


@program(normal(5), looks=True)
def iterators(x):
    """Generators, accumulate, reduce, a heap."""

    def pairs(items):
        items = iter(items)
        a = next(items)
        for b in items:
            yield a, b
            a = b

    sums = list(itertools.accumulate(x, lambda a, b: a * 0.5 + b))
    return sum(a * b for a, b in pairs(sums)) + reduce(operator.mul, x) + sum(heapq.nlargest(2, sums))


@contextlib.contextmanager
def scaled(state, factor):
    old = state["s"]
    state["s"] = old * factor
    try:
        yield state
    finally:
        state["s"] = old


@program([1.0, 2.0, 3.0], looks=True)
def contexts(x):
    """State that is put back, a value that is looked at in a `try`, one that is told in a text."""
    state = {"s": x[0]}
    with scaled(state, x[1]) as now:
        a = now["s"] ** 2
    try:
        b = 1 / math.log(x[2])
        if a > 1e9:
            raise OverflowError
    except (ValueError, ZeroDivisionError):
        b = 0.0
    assert a >= 0, f"negative: {a}"
    return a * b + state["s"] + 0 * len(f"{a:.2f} {b}")


@program([1.0, -2.0, 3.0, -0.5], looks=True)
def failures_that_are_waited_for(x):
    """Values for which Python's functions raise: the program has its own for them."""
    out = []
    for v in x:
        try:
            out.append(math.log(v))
        except ValueError:
            out.append(v * 0.5 + v**2)
    return sum(o * o for o in out) + out[3] * out[1]


Component = collections.namedtuple("Component", "mean spread weight")


@program(normal(9) + 0.1, looks=True)
def sorted_components(p):
    """Named tuples in the order of a value."""
    parts = sorted((Component(*p[i : i + 3]) for i in range(0, 9, 3)), key=lambda c: c.mean, reverse=True)
    parts = [c._replace(weight=np.exp(c.weight)) for c in parts]
    total, x = sum(c.weight for c in parts), np.linspace(-2, 2, 5)
    each = [c.weight / total * np.exp(-0.5 * ((x - c.mean) / c.spread) ** 2) / np.abs(c.spread) for c in parts]
    return -np.log(sum(each)).sum() + parts[0].mean * parts[-1].spread


class Mode(enum.Enum):
    SQUARE = "square"
    RELU = "relu"
    SOFT = "soft"


@program(normal(5))
def strategies(x):
    """Functions by name, members of an enumeration in turn, a match on the shape."""
    known = {"square": lambda v: v**2, "relu": lambda v: np.maximum(v, 0), "soft": lambda v: v / (1 + abs(v))}
    total = 0.0
    for mode, v in zip(itertools.cycle(Mode), x, strict=False):
        total = total + known[mode.value](v) * len(mode.name)
    match x.shape:
        case (n,) if n > 3:
            return total * 2
        case _:
            return total * 3


@program(normal(5))
def copies_and_maps(x):
    """Copies of all kinds, deques, chained and ordered maps."""
    whole = copy.deepcopy({"x": x, "rows": [x * 2]})
    whole["rows"][0][1:] = 0
    doubled = copy.copy(x) * 2
    own = np.array(x, copy=True)
    own[0] = 5
    sums, named = collections.defaultdict(float), collections.OrderedDict()
    for i, v in enumerate(x):
        sums[i % 2] += v**2
        named[f"k{i}"] = v
    last = collections.deque(x, maxlen=3)
    last.rotate(1)
    both = collections.ChainMap({"a": x[0]}, {"b": x[1]})
    return np.sum(doubled * whole["rows"][0]) + np.sum(own * x) + sums[0] * sums[1] + last[0] * both["a"] * both["b"]
