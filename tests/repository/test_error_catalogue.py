"""docs/errors.md: every kind of error, each with a program that runs into it and the text that it prints.

The page is made by running the programs: `python tests/repository/test_error_catalogue.py` writes it anew.
"""

# ruff: noqa: E501 (pieces of programs)
from __future__ import annotations

import contextlib
import functools
import inspect
import io
import linecache
import os
import re
import sys
import tempfile
import textwrap
import types
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

import payback
from payback import errors

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
FILE = "example.py"
HEAD = """# Errors

An error of payback is one line: what happened, where in your program, why it is an error, and what to do. Each is a
`payback.errors.PaybackError`, and also the built-in exception that a Python programmer would catch. What stands in
the way of a derivative is found in one run, all places of it, by [`pb.audit`](reference.md), or on the command line by
`payback audit FILE.py:function`.

Below, each kind of error is met by a program of a few lines, saved as `example.py`; what stands under it was printed by
that program. (`python tests/repository/test_error_catalogue.py` writes this page.)
"""


class Entry(NamedTuple):
    kind: str
    title: str
    code: str
    cures: tuple[tuple[str, ...], ...]  # each of what the error says should be done: pieces of the program, new texts


ENTRIES = [
    Entry("DifferentiationError", "A gradient of more than one number", """
        import numpy as np, payback as pb

        def f(x):
            return x * 2

        pb.grad(f)(np.ones(3))
        """, (
        ("return x * 2", "return (x * 2).sum()"),
        ("return x * 2", "return (x * 2).mean()"),
        ("pb.grad(f)(np.ones(3))", "pb.vjp(f, np.ones(3))[1](np.ones(3))"),
        ("pb.grad(f)(np.ones(3))", "f(pb.variable(np.ones(3))).backward(np.ones(3))"),
    )),
    Entry("DifferentiationError", "An argument of integers", """
        import numpy as np, payback as pb

        pb.grad(lambda w: (w * w).sum())(np.array([1, 2, 3]))
        """, (
        ("np.array([1, 2, 3])", "np.array([1, 2, 3]).astype(float)"),
        ("(w * w).sum())(", "(w * w).sum() * b, argnums=1)(", "lambda w", "lambda w, b", "[1, 2, 3])", "[1, 2, 3]), 2.0"),
    )),
    Entry("DifferentiationError", "Nothing to differentiate by", """
        import payback as pb

        pb.grad(lambda name: len(name))("a text")
        """, (
        ("lambda name: len(name)", "lambda data: data.sum()", '"a text"', "np.asarray([1, 2], float)", "import payback", "import numpy as np, payback"),
    )),
    Entry("DifferentiationError", "A complex cost", """
        import numpy as np, payback as pb

        pb.grad(lambda x: np.exp(1j * x).sum())(np.ones(1))
        """, (
        ("np.exp(1j * x).sum()", "np.exp(1j * x).sum().real"),
        ("np.exp(1j * x).sum()", "np.abs(np.exp(1j * x).sum())"),
    )),
    Entry("UnsupportedError", "A NumPy function without a derivative", """
        import numpy as np, payback as pb

        def f(x):
            return np.sort_complex(x)[0].real

        pb.grad(f)(np.array([1.0, -3.0, 2.0]))
        """, (
        ("np.sort_complex(x)[0].real", "np.sort(x)[0]"),
        ("np.sort_complex(x)[0].real", "np.min(np.where(np.iscomplex(x), np.inf, x))"),
        ("def f(x):\n    return np.sort_complex(x)[0].real", "@pb.custom_gradient(plain=True)\ndef f(x):\n    z = np.sort_complex(x)[0].real\n    return z, lambda bar: bar * (x == z)"),
        ("np.sort_complex(x)[0].real", "np.sort_complex(pb.stop_gradient(x))[0].real * x[0]"),
    )),
    Entry("UnsupportedError", "A traced value in an array of integers", """
        import numpy as np, payback as pb

        def f(x):
            counts = np.zeros(3, int)
            counts[0] = x[1] * 2
            return counts.sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("np.zeros(3, int)", "np.zeros(3)"),
        ("np.zeros(3, int)", "np.zeros(3, int).astype(float)"),
        ("counts[0] = x[1] * 2", "counts[0] = pb.stop_gradient(x[1] * 2)", "counts.sum()", "counts.sum() * x[0]"),
    )),
    Entry("UnsupportedError", "A traced value that is pickled", """
        import pickle, payback as pb

        pb.grad(lambda x: len(pickle.dumps(x)) * x)(1.0)
        """, (
        ("dumps(x)", "dumps(pb.stop_gradient(x))"),
    )),
    Entry("UnsupportedError", "The shape of an array set in place", """
        import numpy as np, payback as pb

        def f(x):
            y = x * 2
            y.shape = (3, 1)
            return y.sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("y.shape = (3, 1)", "y = y.reshape((3, 1))"),
    )),
    Entry("MissingAttributeError", "A method of arrays that traced values do not have", """
        import numpy as np, payback as pb

        pb.grad(lambda x: x.tobytes())(np.ones(3))
        """, (
        ("x.tobytes()", "np.sum(x)"),
        ("x.tobytes()", "len(pb.stop_gradient(x).tobytes()) * np.sum(x)"),
    )),
    Entry("ShapeError", "Shapes that do not go together", """
        import numpy as np, payback as pb

        def f(w):
            rows = w * np.ones((2, 3))
            columns = np.ones(2)
            return (rows + columns * w.sum()).sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("columns * w.sum()", "columns[:, None] * w.sum()"),
    )),
    Entry("ShapeError", "Matrices that cannot be multiplied", """
        import numpy as np, payback as pb

        X = np.ones((10, 4))
        pb.grad(lambda w: (X @ w).sum())(np.ones(3))
        """, (
        ("(X @ w)", "(w @ X.T[:3])"),
        ("np.ones(3)", "np.ones(4)"),
    )),
    Entry("TraceError", "A function that takes a bare number", """
        import math, numpy as np, payback as pb

        def f(x):
            scale = math.ldexp(x[0], 3)
            return scale * x[1]

        pb.grad(f)(np.ones(2))
        """, (
        ("math.ldexp(x[0], 3)", "x[0] * 2.0**3"),
        ("x[0], 3", "float(pb.stop_gradient(x[0])), 3"),
    )),
    Entry("TraceError", "A count that is a traced value", """
        import payback as pb

        def power(x, n):
            y = 1.0
            for _ in range(n):
                y = y * x
            return y

        pb.grad(power, argnums=(0, 1))(2.0, 3)
        """, (
        (", argnums=(0, 1)", ""),
        ("range(n)", "range(int(n))"),
    )),
    Entry("TraceError", "A traced value that becomes a plain array", """
        import numpy as np, payback as pb
        from array import array

        pb.grad(lambda x: sum(array("d", x)))(np.ones(3))
        """, (
        ('array("d", x)', 'array("d", pb.stop_gradient(x))', "sum(array", "x[0] * sum(array"),
        ('array("d", x)', "x"),
        ('array("d", x)', 'array("d", [float(pb.stop_gradient(v)) for v in x])', "sum(array", "x[0] * sum(array"),
    )),
    Entry("TraceError", "A list of traced values given to a ufunc", """
        import numpy as np, payback as pb

        pb.grad(lambda x, y: np.sum(np.exp([x, y])), argnums=(0, 1))(1.0, 2.0)
        """, (
        ("np.exp([x, y])", "np.exp(np.array([x, y]))"),
        ("np.exp([x, y])", "x * y * np.exp([pb.stop_gradient(x), pb.stop_gradient(y)])"),
    )),
    Entry("TraceError", "SciPy's compiled code", """
        import numpy as np, payback as pb
        from scipy.optimize import differential_evolution, root

        def f(x):
            return differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0] * x[1]

        pb.grad(f)(np.ones(2))
        """, (
        ("differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0]", "np.cbrt(x[0])"),
        ("differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0]", "pb.root(lambda t, a: t**3 - a, 1.5, x[0])"),
        ("differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0]", "pb.root(lambda t, a: t**3 - a, 1.5, x[0], solver=lambda g, start: root(g, start).x)"),
        ("differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0]", "pb.fixed_point(lambda t, a: t - (t**3 - a) / (3 * t**2), 1.5, x[0])"),
        ("differential_evolution(lambda t: (t[0]**3 - x[0])**2, [(0.0, 2.0)], rng=1).x[0]", "pb.root(pb.grad(lambda t, a: t**4 / 4 - a * t), 1.5, x[0])"),
    )),
    Entry("TraceError", "A data frame that computes with a traced value", """
        import numpy as np, payback as pb, pandas as pd

        data = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
        pb.grad(lambda w: np.sum(data @ w))(np.ones(2))
        """, (
        ("data @ w", "data.to_numpy() @ w"),
    )),
    Entry("TraceError", "A cache, a set or a dictionary key", """
        import functools, payback as pb

        @functools.lru_cache
        def square(x):
            return x * x

        pb.grad(lambda x: square(x))(3.0)
        """, (
        ("@functools.lru_cache\n", ""),
        ("lambda x: square(x)", "lambda x: square(float(pb.stop_gradient(x))) * x"),
    )),
    Entry("TraceError", "A value that has left its function", """
        import numpy as np, payback as pb

        seen = []

        def cost(w):
            seen.append(w * 2)
            return np.sum(w * seen[0])

        pb.grad(cost)(np.ones(3))
        pb.grad(cost)(np.ones(3))
        """, (
        ("seen.append(w * 2)", "seen.append(float(pb.stop_gradient(w[0] * 2)))"),
        ("seen.append(w * 2)", "seen.append(np.array(pb.stop_gradient(w * 2)))"),
        ("seen.append(w * 2)\n", "kept = w * 2\n", "return np.sum(w * seen[0])", "return np.sum(w * kept), kept", "pb.grad(cost)", "pb.value_and_grad(cost, has_aux=True)"),
    )),
    Entry("TraceError", "A branch inside compile", """
        import payback as pb

        @pb.compile
        def f(x):
            if x > 0:
                return x
            return -x

        f(1.0)
        """, (
        ("if x > 0:\n        return x\n    return -x", "return np.where(x > 0, x, -x)", "import payback", "import numpy as np, payback"),
        ("if x > 0:\n        return x\n    return -x", "return pb.cond(x > 0, lambda x: x, lambda x: -x, x)"),
        ("f(x):\n    if x > 0", "f(x, positive):\n    if positive", "f(1.0)", "f(1.0, True)", "f(1.0, True)", "f(1.0, True)"),
    )),
    Entry("TraceError", "A shape that depends on numbers inside compile", """
        import numpy as np, payback as pb

        @pb.compile
        def f(x):
            positive = x[x > 0]
            return np.median(positive)

        f(np.array([1.0, -2.0]))
        """, (
        ("np.median(positive)", "np.sum(positive)"),
        ("np.median(positive)", "np.mean(positive)"),
        ("np.median(positive)", "np.max(positive)"),
        ("positive = x[x > 0]", "positive = np.where(x > 0, x, 0)"),
    )),
    Entry("TraceError", "A plain array indexed inside compile", """
        import numpy as np, payback as pb

        table = np.array([1.0, 4.0, 9.0])

        @pb.compile
        def f(x):
            return x * table[np.argmax(x)]

        f(np.ones(3))
        """, (
        ("table[np.argmax(x)]", "np.array(table)[np.argmax(x)]"),
        ("table[np.argmax(x)]", "np.take(table, np.argmax(x), 0)"),
        ("table[np.argmax(x)]", "np.where(x > 0, table, 0)"),
    )),
    Entry("TraceError", "A Python loop that unrolls too far", """
        import numpy as np, payback as pb

        @pb.compile
        def f(x):
            for step in range(60_000):
                x = np.sin(x)
            return x

        f(np.ones(3))
        """, (
        ("for step in range(60_000):\n        x = np.sin(x)\n    return x", "return pb.scan(lambda x, _: (np.sin(x), None), x, None, length=60_000)[0]"),
    )),
    Entry("MutationError", "A traced value stored in an array from outside", """
        import numpy as np, payback as pb

        work = np.zeros(3)

        def f(x):
            work[0] = x[0] ** 2
            return work.sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("def f(x):", "def f(x):\n    work = np.zeros(3)"),
        ("def f(x):\n    work[0]", "def f(x):\n    new = np.array(work)\n    new[0]", "return work", "return new"),
    )),
    Entry("MutationError", "A traced value stored in a view of an array from outside", """
        import numpy as np, payback as pb

        table = np.zeros((2, 3))

        def f(x):
            row = table[1]
            row[:] = x
            return row.sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("row = table[1]", "row = np.array(table[1])"),
        ("row = table[1]", "row = np.zeros(3)"),
    )),
    Entry("MutationError", "An in-place operator on an array that something else refers to", """
        import numpy as np, payback as pb

        data = np.arange(3.0)

        def f(x):
            y = data * 2
            kept = [y]
            y += x
            return kept[0].sum()

        pb.grad(f)(np.ones(3))
        """, (
        ("y = data * 2", "y = np.array(data * 2)"),
        ("y = data * 2", "y = np.zeros(3)"),
    )),
    Entry("MutationError", "A variable that changed between its use and the sweep", """
        import payback as pb

        w = pb.variable(1.0, name="w")
        loss = w * w
        w.value = 2.0
        loss.backward()
        """, (
        ("w.value = 2.0\nloss.backward()", "loss.backward()\nw.value = 2.0"),
        ("loss.backward()", "loss = w * w\nloss.backward()"),
    )),
    Entry("FieldError", "A field that the class does not declare", """
        import numpy as np, payback as pb

        class Scale(pb.nn.Module):
            def __init__(self, n):
                self.factor = np.ones(n)

        Scale(3)
        """, (
        ("def __init__", "factor: np.ndarray\n\n    def __init__"),
        ("def __init__", "factor: int = pb.nn.static()\n\n    def __init__", "np.ones(n)", "n"),
    )),
    Entry("FieldError", "A network that is changed", """
        import numpy as np, payback as pb

        net = pb.nn.MLP([2, 3, 1])
        net.skip = np.zeros((2, 1))
        """, (
        ("net.skip = np.zeros((2, 1))", "net = net.replace(skip=np.zeros((2, 1)))"),
    )),
    Entry("GradientCheckError", "A derivative that is wrong", """
        import payback as pb

        def f(x):
            return x * pb.stop_gradient(x)

        pb.check_grads(f, 2.0)
        """, (
        ("x * pb.stop_gradient(x)", "x * x"),
    )),
    Entry("NonFiniteError", "A cost that became infinite", """
        import payback as pb

        pb.minimize(lambda w: w**4, 10.0, step=1.0)
        """, (
        ("step=1.0", "step=1e-3, max_steps=100"),
        ("step=1.0", "line_search=True"),
    )),
    Entry("ModelFileError", "A model folder that was changed or cut off", """
        import payback as pb
        from pathlib import Path

        Path("model").mkdir()
        Path("model/model.json").write_text('{"format": "payback"}')
        pb.load("model")
        """, (
        ("Path(\"model\").mkdir()\nPath(\"model/model.json\").write_text('{\"format\": \"payback\"}')", 'pb.fit(pb.nn.MLP([2, 3, 1]), np.ones((4, 2)), np.ones(4), epochs=1).save("model")', "import payback", "import numpy as np, payback"),
    )),
    Entry("InputError", "An argument that cannot be used", """
        import payback as pb

        pb.grad(lambda weights, x: weights * x, argnums="weigths")(1.0, 2.0)
        """, (
        ('argnums="weigths"', 'argnums="weights"'),
    )),
    Entry("MissingNameError", "A name of another library", """
        from payback import jit
        """, (
        ("from payback import jit", "import payback as pb\n\npb.compile(lambda x: x * x)"),
    )),
    Entry("ArgumentError", "An argument of another library", """
        import payback as pb

        pb.optim.Adam(learning_rate=1e-2)
        """, (
        ("learning_rate=", "rate="),
    )),
    Entry("ArgumentError", "More arguments than a function takes", """
        import payback as pb

        pb.nn.MLP(2, 16, 1)
        """, (
        ("2, 16, 1", "[2, 16, 1]"),
    )),
    Entry("ArgumentError", "An argument that is missing", """
        import payback as pb

        pb.nn.Linear(2, 1)
        """, (
        ("2, 1", "2, 1, key=pb.random.key(0)"),
    )),
    Entry("InputError", "A loss of another library", """
        import numpy as np, payback as pb

        pb.fit(pb.nn.MLP([2, 3, 1]), np.ones((4, 2)), np.ones(4), loss="mse")
        """, (
        ('"mse"', '"squared_error"'),
    )),
    Entry("InputError", "A number that is no row of an embedding", """
        import numpy as np, payback as pb

        words = pb.nn.Embedding(10, 4, key=pb.random.key(0))
        words(np.array([[1, 2], [3, 10]]))
        """, (
        ("Embedding(10,", "Embedding(11,"),
    )),
    Entry("InputError", "Weights of classes that there are not", """
        import numpy as np, payback as pb

        y = np.array([0, 1, 1, 0])
        pb.fit(pb.nn.MLP([2, 3, 2]), np.ones((4, 2)), y, class_weight={1: 5.0, 2: 1.0})
        """, (
        ("2: 1.0", "0: 1.0"),
    )),
    Entry("InputError", "Dropout in a compiled function, with a key from outside", """
        import numpy as np, payback as pb

        drop = pb.nn.Dropout(0.5)

        def f(x, key):
            return drop(x)

        with pb.nn.training(pb.random.key(0)):
            pb.compile(f)(np.ones(3), pb.random.key(0))
        """, (
        ("    return drop(x)", "    with pb.nn.training(key):\n        return drop(x)"),
    )),
    Entry("PaybackError", "All of them", """
        import math, payback as pb

        try:
            pb.grad(lambda x: math.ldexp(x, 3))(1.0)
        except pb.errors.PaybackError as problem:
            print(problem.what, problem.where, problem.why, problem.fix, sep="\\n")
        """, ()),
]  # fmt: skip
CLASSES = {name: c for name, c in vars(errors).items() if inspect.isclass(c) and issubclass(c, errors.PaybackError)}


@functools.cache
def run(code):
    """What a program prints, and the error that it ends with (or None); it is run in an empty folder as example.py."""
    text = textwrap.dedent(code).strip() + "\n"
    linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
    module = sys.modules["example"] = types.ModuleType("example")
    printed, before = io.StringIO(), os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        os.chdir(folder)
        try:
            exec(compile(text, FILE, "exec"), module.__dict__)
            return printed.getvalue(), None
        except errors.PaybackError as problem:
            return printed.getvalue(), problem
        finally:
            os.chdir(before)
            del sys.modules["example"]
            linecache.cache.pop(FILE, None)


def shown(entry):
    """What the page shows below the program."""
    printed, problem = run(entry.code)
    return printed + (f"payback.errors.{type(problem).__name__}: {problem}\n" if problem else "")


def page():
    parts = [HEAD]
    for name in dict.fromkeys(entry.kind for entry in ENTRIES):
        kind = CLASSES[name]
        told = f"## {name}\n\n{inspect.getdoc(kind).splitlines()[0]}"
        builtin = [base for base in kind.__mro__ if base.__module__ == "builtins" and base not in Exception.__mro__]
        caught = [base for base in builtin if not any(base in other.__mro__[1:] for other in builtin)]
        told += f" Caught by `except {' and '.join(base.__name__ for base in caught)}` too." if caught else ""
        told += f" The command line exits with {kind.exit_code}." if kind.exit_code != 2 else ""
        parts.append(told + "\n")
        for entry in ENTRIES:
            if entry.kind == name:
                code = textwrap.dedent(entry.code).strip()
                parts.append(f"### {entry.title}\n\n```py\n{code}\n```\n\n```text\n{shown(entry)}```\n")
    return "\n".join(parts)


def rounded(text):
    """Without the last digits of floating numbers, which another machine may compute otherwise."""
    return re.sub(r"(\d\.\d{3})\d+", r"\1", text)


def test_the_page_is_what_the_programs_print():
    assert rounded(PAGE.read_text("utf-8")) == rounded(page()), "run python tests/repository/test_error_catalogue.py"


def test_every_class_has_an_entry():
    assert {entry.kind for entry in ENTRIES} == set(CLASSES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.title)
def test_what_where_why_and_what_to_do(entry):
    printed, problem = run(entry.code)
    if entry.kind == "PaybackError":
        assert (problem, len(printed.splitlines())) == (None, 4)
        return
    assert type(problem) is CLASSES[entry.kind]
    assert problem.what
    assert problem.why or problem.fix
    assert "\n" not in str(problem)
    if entry.kind in ("TraceError", "UnsupportedError", "ShapeError", "MutationError", "MissingAttributeError"):
        at = re.match(rf"{FILE}:(\d+) in (\w+|<\w+>): (.+)$", problem.where)
        assert at, problem.where
        line = textwrap.dedent(entry.code).strip().splitlines()[int(at[1]) - 1]
        assert at[3] in line


_CODE = re.compile(
    r"[\w.]*(?:pb|np)\.[\w.]+(?:\(pb\.\w+)?|float\(pb\.\w+|\.\w+\(\)|\.replace|\[:, None\]|\w+\.reshape|line_search=True"
    r"|has_aux=True|backward\(|length=|factor: [\w.]+|\.astype\(float\)"
)


def plainly():
    """payback whose transforms leave a function as it is."""
    module = types.ModuleType("plainly")
    module.__getattr__ = lambda name: getattr(payback, name)
    module.grad = module.value_and_grad = lambda f, **how: f
    module.compile = lambda f: f
    module.differentiated = payback.grad
    return module


def cured(entry, cure):
    code = textwrap.dedent(entry.code).strip()
    for old, new in zip(cure[::2], cure[1::2], strict=True):
        assert old in code
        code = code.replace(old, new)
    return code


CURES = [(entry, k) for entry in ENTRIES for k in range(len(entry.cures))]


@pytest.mark.parametrize(("entry", "k"), CURES, ids=[f"{entry.title} {k}" for entry, k in CURES])
def test_what_the_error_says_should_be_done_helps(entry, k, monkeypatch):
    """Under the transform, and as a plain program: where `pb.grad(f)` and `pb.compile(f)` are f."""
    code = cured(entry, entry.cures[k])
    assert run(code)[1] is None
    plain = code.replace("payback as pb", "plainly as pb").replace("pb.root(pb.grad", "pb.root(pb.differentiated")
    monkeypatch.setitem(sys.modules, "plainly", plainly())
    assert run(plain)[1] is None


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.cures], ids=lambda entry: entry.title)
def test_all_that_the_error_says_is_tried(entry):
    problem = run(entry.code)[1]
    tried = "\n".join(cured(entry, cure) for cure in entry.cures)
    for code in _CODE.findall(problem.fix):
        assert code.rstrip("(.") in tried, code


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
