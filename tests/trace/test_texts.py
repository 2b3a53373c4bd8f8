"""Texts of traced values: shown they lose nothing; a number read from one would lose its derivative without a word."""

# ruff: noqa: UP031, UP032, S307 (the ways of making a text are what is tested)
from __future__ import annotations

import csv
import dataclasses
import decimal
import io
import json
import re
from ast import literal_eval

import numpy as np
import pytest

import payback as pb
from payback.errors import TraceError
from payback.trace.text.texts import Text

X = np.array([1.25, 0.5])


def _shorter(v):
    return f"{v:.2f} m"


def _written(v):
    text = _shorter(v)
    return text[:-2]


def _through_names(x):
    parts = []
    for v in x:
        parts.append(f"{v:.3f}")
    line = ",".join(parts)
    return sum(float(part) for part in line.split(","))


def _through_a_file(x):
    file = io.StringIO()
    print(x[0], x[1], file=file)
    file.seek(0)
    return np.loadtxt(file)[0]


def _through_csv(x):
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(x)
    return float(file.getvalue().split(",")[0])


READ = {
    "f-string": lambda x: float(f"{x[0]:.6f}"),
    "f-string of parts": lambda x: float(f" {x[0]:.2f}e{1} "),
    "percent": lambda x: float("%.4f" % x[0]),
    "percent of a tuple": lambda x: float("%s" % (x[0],)),
    "str": lambda x: float(str(x[0])),
    "format": lambda x: float("{:.3e}".format(x[0])),
    "eval": lambda x: eval(f"{x[0]} * 2"),
    "repr": lambda x: literal_eval(repr(x[0].item())),
    "json": lambda x: json.loads(f"[{x[0]}]")[0],
    "decimal": lambda x: float(decimal.Decimal(str(x[0]))),
    "regular expression": lambda x: float(re.sub("0+$", "", str(x[0]))),
    "a match": lambda x: float(re.match(r"[0-9.]+", f"{x[0]:.5f}").group()),
    "map": lambda x: sum(map(float, [f"{v:.2f}" for v in x])),
    "fromstring": lambda x: np.fromstring(" ".join(map(str, x)), sep=" ").sum(),
    "an array of texts": lambda x: np.array([f"{v:.2f}" for v in x]).astype(float).sum(),
    "of a helper": lambda x: float(_written(x[0])),
    "names": _through_names,
    "a file": _through_a_file,
    "csv": _through_csv,
    "kept": lambda x: (lambda text: float(text.strip() + "1"))(str(x[0])),
    "a text of NumPy's": lambda x: float(np.array_str(x)[1:5]),
    "one in its own form": lambda x: np.sum(np.fromstring(np.array2string(x, precision=3)[1:-1], sep=" ")),
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("way", ["grad", "jvp", "audit"])
def test_a_number_read_from_a_text_is_told(name, way):
    def f(x):
        return np.sum(x) + READ[name](x)

    if way == "audit":
        (found,) = pb.audit(f, X)
        assert "text" in found.what
        assert found.file == __file__
        return
    with pytest.raises(TraceError, match="read from a text"):
        pb.grad(f)(X) if way == "grad" else pb.jvp(f, (X,), (X,))


def _log(lines, x):
    lines.append(f"x = {x[0]:.3f}, {x}")
    label = "%s" % x[0]
    return lines, label.rjust(20), len(f"{x[1]:.2f}"), float("1.5"), int(f"{x[0]:.0f}")


@pytest.mark.parametrize("read", [
    lambda y: float(str(y)), lambda y: float(f"{y}"), lambda y: float(f"{y:.3f}"), lambda y: float("%s" % y),
    lambda y: float("%.3f" % y), lambda y: json.loads(str(y)),
])  # fmt: skip
@pytest.mark.parametrize("of", ["an argument", "what an operator made"])
def test_a_number_read_from_the_text_of_a_python_float_is_told(read, of):
    made = (lambda x: x) if of == "an argument" else lambda x: x * 2.0
    with pytest.raises(TraceError, match="a number read from a text would lose the derivative"):
        pb.grad(lambda x: read(made(x)) * x)(1.5)


def test_texts_that_are_shown_are_those_of_plain_numbers(capsys):
    seen = []

    def f(x):
        lines = []
        seen.append(_log(lines, x))
        print(x, x[0], f"{x[0]:8.3f}|{x[1]!s:>9}", f"{x} {x[1]:.1e}")
        return np.sum(x * x)

    assert (pb.grad(f)(X) == 2 * X).all()
    printed = capsys.readouterr().out
    f(X)
    assert capsys.readouterr().out == printed
    assert seen[0] == seen[1]
    assert pb.audit(f, X).obstacles == ()


@dataclasses.dataclass
class Held:
    value: object


def test_what_is_only_shown_is_shown(capsys):
    def f(x):
        print(x, [x], Held(x))
        print("x:", x[0])
        return np.sum(x * x)

    for way, shown in ((pb.grad, "[1.25 0.5 ]"), (pb.compile, "Traced(f64[2])")):
        way(f)(X)
        assert capsys.readouterr().out.startswith(shown)


@pytest.mark.parametrize("text", [repr, str, lambda x: repr([x]), lambda x: repr(Held(x)), lambda x: f"{x[0]!r}"])
def test_a_text_is_that_of_the_plain_value(text):
    assert pb.value_and_grad(lambda x: x[0] * len(text(x)))(X)[0] == X[0] * len(text(X))


def test_a_text_is_any_text_when_the_trace_is_over():
    kept = []
    pb.grad(lambda x: kept.append(str(x[0])) or x[0])(X)
    assert float(kept[0]) == 1.25
    assert type(kept[0]) is Text
    assert {kept[0]: 1}["1.25"] == 1


@pytest.mark.parametrize("text", [
    lambda x: "%s" % x, lambda x: "%s" % (x,), lambda x: "%s: %d" % (x, 3), lambda x: f"{x}", lambda x: f"{x!s:>9}",
    lambda x: "{}".format(x), lambda x: "%.3f" % x[0], lambda x: "%d" % x[0], lambda x: f"{x[0]:.3f}",
    lambda x: str(x), lambda x: len(repr(x)), lambda x: str([x]), lambda x: repr(Held(x)), lambda x: {repr(x[0]): 1},
])  # fmt: skip
@pytest.mark.parametrize("way", [pb.compile, pb.vmap])
def test_no_text_holds_what_is_not_known(text, way):
    """NumPy's would hold numbers."""
    with pytest.raises(TraceError, match=r"not known while a function is compiled.*text") as told:
        way(lambda x: (text(x), np.sum(x))[1])(X if way is pb.compile else X[None])
    assert "test_texts.py" in str(told.value)  # not a line of what `dataclasses` writes
