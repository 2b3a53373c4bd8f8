"""docs/reference.md lists the public names with all that they say of themselves, and an example of each runs.

`python tests/repository/test_reference.py` writes the page anew from the docstrings.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
import re
import types
from pathlib import Path

import numpy as np
import pytest

import payback as pb
import payback.estimators
import payback.nn
import payback.optim
import payback.random
from payback.elsewhere import INSTEAD, METHODS, SYNONYMS
from payback.errors import MissingAttributeError
from payback.glass.accounts import Account, Edge, lazy
from payback.glass.ledger import Ledger
from payback.glass.origins import Origin
from payback.glass.paths import Path as Route
from payback.glass.paths import Paths
from payback.glass.statement import Statement
from payback.glass.why_zero import WhyZero
from payback.optim.minimize import Minimum
from payback.optim.surface import Surface
from payback.trace.array import Variable
from payback.train.fit import Run
from payback.train.history import History
from payback.train.runs import RecordedRun
from payback.transforms.audit import Audit
from payback.transforms.compile import CompiledFunction

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"
MODULES = {
    "pb.nn": payback.nn,
    "pb.optim": payback.optim,
    "pb.random": payback.random,
    "pb.estimators": payback.estimators,
}
# What public functions return, and what one does with it.
RETURNED = {
    "pb.variable": (Variable, "value grad backward"),
    "pb.compile": (CompiledFunction, "explain_compilation llvm"),
    "pb.audit": (Audit, ""),
    "pb.minimize": (Minimum, ""),
    "pb.surface": (Surface, ""),
    "pb.fit": (Run, "save"),
    "run.history": (History, ""),
    "pb.open_run": (
        RecordedRun,
        "net first_net step after_epoch walk batch rows explain why_nan diagnose account agreement svg",
    ),
    "run.account": (Statement, "lines by check to_json"),
    "pb.explain": (
        Ledger,
        "settled pile edge paths race kappa blame through cut flow cost digits step by_entry entry check to_text "
        "to_json to_dot svg html",
    ),
    "ledger.paths": (Paths, "count walks all top sum gross share"),
    "pb.why_nan": (Origin, ""),
    "pb.why_zero": (WhyZero, ""),
}
HEAD = """# Reference

Every public name with what `help(pb.grad)` says of it: shapes and dtypes, what is raised, the source of the method, and
an example. All examples are run by the tests. Errors have [a page of their own](errors.md).
"""

COMING = """Gradients are functions of functions, as in JAX and autograd, or `y.backward()` as in PyTorch. NumPy and
SciPy are differentiated under their own names, and `pb.compile` alone makes machine code. Whoever writes one of the
names on the left after `pb.`, `pb.nn.`, `pb.optim.` or `pb.random.` is told the right side by the error.

A network's parameters are plain arrays, so what it computes has no `.backward()`: its gradient is that of a function of
the network, `pb.value_and_grad(lambda net: pb.nn.cross_entropy(net(X), y))(net)`, and `pb.fit` is the loop around that.
"""

ARGUMENTS = """Arguments too: of a function that has the one on the right, those on the left are answered with it.
"""

# Tasks in a newcomer's words: what to call.
TASKS = {
    "the gradient of a function; by some arguments": "`pb.grad(f)(x)`; `pb.grad(f, argnums=(0, 2))`",
    "value and gradient together": "`pb.value_and_grad(f)(x)`",
    "the gradient of a value that is there": "`x = pb.variable(2.0)`, `y.backward()`, `x.grad`",
    "all derivatives of several results; sparse": "`pb.jacobian(f)(x)`; `pb.jacobian(f, sparse=True)`",
    "second derivatives; times a vector": "`pb.hessian(f)(x)`; `pb.hvp(f, x, v)`",
    "a derivative along a direction; adjoints back": "`pb.jvp(f, (x,), (v,))`; `pb.vjp(f, x)`",
    "each sample's gradient": "`pb.vmap(pb.grad(f))(X)`",
    "a faster function; with so many threads": "`pb.compile(f)`; `pb.set_threads(2)`",
    "a long loop, a branch in compiled code": "`pb.scan`, `pb.while_loop`, `pb.cond`",
    "less memory in a long sweep": "`pb.remat(f)`",
    "a derivative of one's own; none": "`pb.custom_gradient(f)`; `pb.stop_gradient(x)`",
    "through the solution of an equation": "`pb.root(f, x0)`, `pb.fixed_point(f, x0)`",
    "whether a derivative is right; what stands in its way": "`pb.check_grads(f, x)`; `pb.audit(f, x)`",
    "go down a function; look at it": "`pb.minimize(f, x0, step=0.1)`; `pb.surface(f, at)`",
    "train a network; keep it; use it again": "`pb.fit(net, X, y)`; `run.save(folder)`; `pb.load(folder)`",
    "do one thing to all parameters": "`pb.tree_map(f, net, other)`",
    "go on with a training; look into one": "`pb.fit(…, resume=run)`; `pb.open_run(folder)`, after `record=folder`",
    "what a gradient is made of": "`pb.explain(f, x)`",
    "where a NaN is from; why a gradient is zero": "`pb.why_nan(f, x)`; `pb.why_zero(f, x)`",
    "why two runs differ": "`pb.bisect(a, b)`",
}


def functions():
    """(name, object) of everything public at the top level."""
    return [
        (f"pb.{name}", getattr(pb, name))
        for name in pb.__all__
        if name != "__version__" and callable(getattr(pb, name))
    ]


def first_line(thing):
    return (inspect.getdoc(thing) or "").split("\n", 1)[0]


def page():
    tops = functions()
    rows = [f"| {task} | {call} |" for task, call in TASKS.items()]
    parts = [HEAD, "\n".join(["## What to call", "", "| you want | call |", "|---|---|", *rows, ""])]
    parts += ["## Coming from PyTorch, JAX, autograd, Keras or CasADi\n", COMING, _elsewhere()]
    parts += ["## payback (`import payback as pb`)\n", _table(tops)]
    for name, module in MODULES.items():
        parts += [f"## {name}\n", f"{first_line(module)}\n", _table(members(name, module))]
        closed = {key: value for key in module.__all__ if isinstance(value := getattr(module, key), dict)}
        parts += [f"`{name}.{key}`: {', '.join(value)}.\n" for key, value in closed.items()]
    parts += ["## What is returned\n"]
    for name, (kind, shown) in RETURNED.items():
        parts += [f"### {kind.__name__}, of `{name}`\n", _told(inspect.getdoc(kind))]
        rows = [(f".{member}", getattr(kind, member)) for member in shown.split()]
        parts += [_table(rows)] if rows else []
    parts += ["## In full\n"]
    for name, thing in everything():
        parts += [f"### {name}\n", _told(f"{_call(name, thing)}\n\n{inspect.getdoc(thing)}")]
    return "\n".join(parts)


def _elsewhere():
    """The names of other libraries, those with the same answer in one row."""
    rows = {}
    for module, names in INSTEAD.items():
        for name, instead in names.items():
            rows.setdefault((module.replace("payback", "pb"), instead), []).append(f"`{name}`")
    told = [f"| {', '.join(names)} | {_code(instead)} |" for (_, instead), names in rows.items()]
    rows = {}
    for kind, names in METHODS.items():
        for name, instead in names.items():
            rows.setdefault((kind, instead), []).append(f"`.{name}`")
    told += [f"| {', '.join(names)} of {kind} | {_code(instead)} |" for (kind, instead), names in rows.items()]
    words = [f"| {', '.join(f'`{name}=`' for name in names)} | `{own}=` |" for own, names in SYNONYMS.items()]
    head = "| there | here |\n|---|---|"
    return "\n".join([head, *told, "", ARGUMENTS, head, *words, ""])


def _code(text):
    """The calls in a sentence, in the type of code."""
    call = r"(?<![`\w.])((?:pb|np|scipy|run)\.[\w.]+(?:\((?:[^()]|\([^()]*\))*\))?)"
    return "`".join(part if i % 2 else re.sub(call, r"`\1`", part) for i, part in enumerate(text.split("`")))


def everything():
    return [*functions(), *(row for name, module in MODULES.items() for row in members(name, module))]


def members(name, module):
    found = [(f"{name}.{member}", getattr(module, member)) for member in module.__all__]
    return [(name, thing) for name, thing in found if callable(thing)]


def _call(name, thing):
    """How it is called: the signature without types, which the text tells in words."""
    signature = inspect.signature(thing)
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{name}{signature.replace(parameters=plain, return_annotation=signature.empty)}"


def _told(text):
    return f"```text\n{text}\n```\n"


def _table(members):
    rows = [f"| `{name}` | {first_line(thing).replace('|', chr(92) + '|')} |" for name, thing in members]
    return "\n".join(["| name | what it does |", "|---|---|", *rows, ""])


def test_every_public_function_has_a_task_and_every_call_names_one():
    called = set(re.findall(r"\bpb\.\w+", " ".join(TASKS.values())))
    assert called == {name for name, _ in functions()}


@pytest.mark.parametrize("module", INSTEAD)
def test_names_of_other_libraries_are_answered_with_names_that_there_are(module):
    place = importlib.import_module(module)
    for name, instead in INSTEAD[module].items():
        with pytest.raises(MissingAttributeError, match=f"(?i){re.escape(instead)}"):
            getattr(place, name)
        assert not hasattr(place, name)
        for found in re.findall(r"\bpb((?:\.\w+)+)", instead):
            operator.attrgetter(found[1:])(pb)
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'") as told:
        _ = place.nothing
    assert (told.value.name, told.value.obj) == ("nothing", place)  # what Python's own "did you mean" needs


def test_the_page_is_what_the_docstrings_say():
    assert PAGE.read_text("utf-8") == page(), "run python tests/repository/test_reference.py"


@pytest.mark.parametrize(("name", "thing"), everything(), ids=[name for name, _ in everything()])
def test_public_functions_have_an_example(name, thing):
    text = inspect.getdoc(thing) or ""
    if name != "pb.load":  # its example needs a folder: the README's is run
        assert ">>>" in text, f"{name} has no example"


def told_nothing_of(kind):
    """What a class lets one use, methods and properties, and does not describe, itself or in a class that it is of.

    What arrays have under the same name is NumPy's to describe.
    """
    found = [
        (name, inspect.getattr_static(kind, name))
        for name in dir(kind)
        if name[0] != "_" and not hasattr(np.ndarray, name)
    ]
    made = (types.FunctionType, property, functools.cached_property, lazy)
    return [name for name, thing in found if isinstance(thing, made) and not inspect.getdoc(thing)]


def test_what_is_not_described_is_found():
    class Kind:
        one = property(lambda self: 1)

        def two(self):
            """2"""

        def three(self): ...

    assert told_nothing_of(Kind) == ["one", "three"]


def test_methods_and_properties_of_what_is_returned_say_what_they_are():
    kinds = [kind for kind, _ in RETURNED.values()] + [thing for _, thing in everything() if isinstance(thing, type)]
    silent = {kind.__name__: told for kind in [*kinds, Account, Edge, Route] if (told := told_nothing_of(kind))}
    assert silent == {}


# What goes through them is never wrong, or its errors are those of what is called.
RAISE_NOTHING = {
    "pb.stop_gradient", "pb.nn.identity", "pb.nn.parameters", "pb.nn.summary", "pb.nn.static",
}  # fmt: skip


def test_public_functions_say_what_they_raise():
    told = {name for name, thing in everything() if re.search("[Rr]aise|[Ee]rror", inspect.getdoc(thing) or "")}
    assert {name for name, _ in everything()} - told == RAISE_NOTHING


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
