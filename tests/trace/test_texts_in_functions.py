"""Texts of traced values that go through functions, objects, containers and names before a number is read from them."""

from __future__ import annotations

import collections
import configparser
import csv
import dataclasses
import functools
import io
import json
import logging
import queue
import typing

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError

X = np.array([1.25, 0.5])
KEPT = []
log = logging.getLogger("payback.tests.texts")
log.addHandler(logging.StreamHandler(io.StringIO()))
log.propagate = False


def parse(text, *, scale=1):
    bare = text.strip(" m")
    return float(bare) * scale


def deeper(text):
    return parse(text.upper().replace("M", "m"))


def recursive(text, n):
    return recursive(text, n - 1) if n else float(text[:-2])


@functools.lru_cache
def cached(text):
    return float(text[:-2])


def decorator(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)

    return wrapper


@decorator
def decorated(text):
    return float(text[:-2])


def called_back(f, x):
    return f(f"{x:.2f} m")


def words(**options):
    return float(options["a"].split()[0])


def several(*texts):
    return sum(float(text[:-2]) for text in texts)


def generated(xs):
    for v in xs:
        yield f"{v:.2f} m"


def note(x):
    KEPT.append(f"{x:.3f} m")


def noted():
    return float(KEPT[-1][:-2])


def into(store, x):
    store["a"] = f"{x:.3f} m"


def loss_of(info):
    return float(info["loss"][:-2])


def rate_of(info):
    return float(info["rate"])


class Quantity:
    def __init__(self, text):
        self.text, self.rate = text, "2.5"

    def number(self):
        return float(self.text.split()[0])

    def other(self):
        return float(self.rate)

    @property
    def bare(self):
        return float(self.text[:-2])


class Monitor:
    def __init__(self):
        self.rows, self.message = [], ""

    def log(self, x):
        self.rows.append(f"{x:.3f} m")
        self.message = f"v {x}"

    def last(self):
        return float(self.rows[-1][:-2])

    def said(self):
        return float(self.message.split()[1])

    def step(self, x):
        self.log(x)
        return self.last()


@dataclasses.dataclass
class Row:
    label: str
    rate: float = 0.5


def monitored(read):
    def f(x):
        monitor = Monitor()
        monitor.log(x[0])
        return read(monitor)

    return f


def by_names_of_the_module(x):
    note(x[0])
    return noted()


def in_the_next_round(x):
    total = 0.0
    for k in range(2):
        if k:
            total += noted()
        note(x[0])
    return total


def into_an_argument(x):
    store = {}
    into(store, x[0])
    return float(store["a"][:-2])


def by_a_closure(x):
    def inner():
        return float(text[:-2])

    text = f"{x[0]:.2f} m"
    return inner()


def into_a_closure(x):
    parts = []

    def add(v):
        parts.append(f"{v:.2f} m")

    for v in x:
        add(v)
    return sum(float(part[:-2]) for part in parts)


def lists_in_a_dict(x):
    lists = collections.defaultdict(list)
    for k, v in enumerate(x):
        lists[k].append(f"{v:.2f} m")
    return sum(float(text[:-2]) for texts in lists.values() for text in texts)


def matched(x):
    match f"{x[0]:.2f} m".split():
        case [number, _]:
            return float(number)


def out_of_a_loop(x):
    while True:
        text = f"{x[0]:.2f} m"
        if len(text) > 2:
            break
        text = "0 m"
    return float(text[:-2])


def after_an_exception(x):
    text = "0 m"
    try:
        text = f"{x[0]:.2f} m"
        text.index("q")
        text = "1 m"
    except ValueError:
        return float(text[:-2])


def configured(x):
    config = configparser.ConfigParser()
    config.read_string(f"[a]\nb={x[0]}")
    return config.getfloat("a", "b")


def queued(x):
    waiting = queue.Queue()
    waiting.put(f"{x[0]} m")
    return float(waiting.get()[:-2])


def in_a_file(x):
    with io.StringIO() as file:
        file.write(f"{x[0]} m")
        return float(file.getvalue()[:-2])


def by_another_name(x):
    convert = float
    return convert(f"{x[0]} ")


def after_a_gradient_inside(x):
    kept = []
    pb.grad(lambda y: kept.append(f"{x[0] * y} m") or y)(1.0)
    return float(kept[0][:-2])


def of_an_object(x):
    quantity = Quantity(f"{x[0]:.2f} m")
    return quantity.number()


def of_a_field(x):
    row = Row(label=f"{x[0]:.3f} m")
    label = row.label
    return float(label.split()[0])


def of_a_dict(x):
    info = {"loss": f"{x[0]} m", "rate": "0.1"}
    return sum(float(v.split()[0]) for v in info.values())


def handed_in_a_dict(x):
    info = {}
    info["loss"] = f"{x[0]} m"
    return loss_of(info)


READ = {
    "an argument": lambda x: parse(f"{x[0]:.3f} m", scale=2), "two calls": lambda x: deeper(f"{x[0]} m"),
    "recursion": lambda x: recursive(f"{x[0]} m", 3), "a cache": lambda x: cached(f"{x[0]:.2f} m"),
    "a decorator": lambda x: decorated(f"{x[0]} m"), "called back": lambda x: called_back(parse, x[0]),
    "a lambda called back": lambda x: called_back(lambda text: float(text[:-2]), x[0]),
    "a lambda": lambda x: (lambda text: float(text[:-2]))(f"{x[0]:.1f} m"),
    "keywords": lambda x: words(a=f"{x[0]} m", b=2), "arguments": lambda x: several(f"{x[0]} m", f"{x[1]} m"),
    "a starred list": lambda x: several(*[f"{v} m" for v in x]),
    "partial": lambda x: functools.partial(parse, scale=2)(f"{x[0]} m"),
    "map": lambda x: sum(map(parse, [f"{v} m" for v in x])),
    "map of a lambda": lambda x: sum(map(lambda text: float(text[:-2]), [f"{v} m" for v in x])),  # noqa: C417
    "reduce": lambda x: functools.reduce(lambda a, text: a + float(text[:-2]), [f"{v} m" for v in x], 0.0),
    "a generator": lambda x: sum(float(text[:-2]) for text in generated(x)),
    "cast": lambda x: float(typing.cast("str", f"{x[0]} m")[:-2]),
    "json there and back": lambda x: float(json.loads(json.dumps({"a": f"{x[0]} m"}))["a"][:-2]),
    "a method of a new object": lambda x: Quantity(f"{x[0]:.2f} m").number(),
    "a field of a new object": lambda x: float(Quantity(f"{x[0]:.2f} m").text.split()[0]),
    "a property": lambda x: Quantity(f"{x[0]:.2f} m").bare, "a method that calls two": lambda x: Monitor().step(x[0]),
    "a list of an object": monitored(lambda m: m.last()), "a text of an object": monitored(lambda m: m.said()),
    "from outside of an object": monitored(lambda m: float(m.rows[0][:-2])),
    "a gradient inside": lambda x: pb.grad(lambda y: float(f"{x[0]:.2f} m"[:-2]) * y)(1.0),
    **{f.__name__: f for f in (
        by_names_of_the_module, in_the_next_round, into_an_argument, by_a_closure, into_a_closure, lists_in_a_dict,
        matched, out_of_a_loop, after_an_exception, configured, queued, in_a_file, by_another_name,
        after_a_gradient_inside, of_an_object, of_a_field, of_a_dict, handed_in_a_dict)},
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_a_number_read_from_a_text_is_told_wherever_it_is_read(name):
    KEPT[:] = ["0 m"]
    assert isinstance(READ[name](X), float)  # the plain program runs
    with pytest.raises(TraceError, match=r"a number read from a text .*test_texts_in_functions\.py:\d+"):
        pb.grad(lambda x: READ[name](x) * np.sum(x))(X)


def shown_by(text):
    io.StringIO().write(text)
    return 3.0


def given_anew(x):
    text = f"{x[0]:.2f}"
    print(text, file=io.StringIO())
    text = "3.5"
    return float(text)


def given_anew_in_a_loop(x):
    for v in x:
        text = f"{v:.2f} m"
        print(text, file=io.StringIO())
        text = "2.5"
        y = float(text)
    return y


def rows_given_anew(x):
    rows = [f"{v} m" for v in x]
    print("\n".join(rows), file=io.StringIO())
    rows = ["1", "2"]
    return sum(map(float, rows))


def logged(x):
    log.warning(f"{x[0]} m")
    log.warning("a %s %.3f", x[0], x[1])
    return float("2.0")


def beside_it(x):
    return float(Row(f"{x[0]:.2f} m").rate) + Quantity(f"{x[0]:.2f} m").other()


def a_key(x):
    cache, key = {}, f"{x[0]:.3f} m"
    if key not in cache:
        cache[key] = 2.5
    return float(cache[key])


def another_entry(x):
    info = {}
    info["loss"] = f"{x[0]} m"
    info["rate"] = "0.1"
    print(info, file=io.StringIO())
    return rate_of(info) + float(info["rate"]) + float({"a": f"{x[0]} m", "b": "2"}["b"])


def said_by_errors(x):
    try:
        raise ValueError(f"bad {x[0]}")
    except ValueError:
        assert x[0] > 0, f"negative {x[0]} m"
        csv.writer(io.StringIO()).writerow([f"{v} m" for v in x])
    return float("1")


def monitored_only(x):
    """The monitor could read it, and does not."""
    monitor = Monitor()
    for _ in range(3):
        monitor.log(x[0])
        note(x[0])
    return 2.0 + float(len(monitor.message))


SHOWN = [
    given_anew, given_anew_in_a_loop, rows_given_anew, logged, beside_it, a_key, another_entry, said_by_errors,
    monitored_only, lambda x: float(shown_by(f"{x[0]} m")), lambda x: float({"rate": "2"}["rate"]) + len(f"{x[0]} m"),
]  # fmt: skip


@pytest.mark.parametrize("f", SHOWN)
def test_a_text_that_is_shown_or_kept_is_no_error(f):
    KEPT.clear()
    value, gradient = pb.value_and_grad(lambda x: f(x) * np.sum(x))(X)
    assert value == f(X) * np.sum(X)
    np.testing.assert_array_equal(gradient, f(X))
    assert pb.audit(lambda x: f(x) * np.sum(x), X).obstacles == ()


def test_what_was_kept_is_read_when_the_function_has_returned():
    KEPT.clear()
    pb.grad(lambda x: (note(x[0]), x[0])[1])(X)
    assert noted() == 1.25
