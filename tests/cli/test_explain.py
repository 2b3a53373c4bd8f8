"""`payback explain`: what it prints, what its JSON says, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import payback as pb
from payback.cli import main
from payback.cli.explain import evaluate
from payback.cli.expression import parse
from payback.errors import InputError
from payback.files import write_file
from payback.glass import Ledger

ARTICLE = """\
values
  a = 2
  b = 1
  c = a+b = 3
  d = b+1 = 2
  e = c·d = 6

partials, one on every edge
  ∂c/∂a = 1
  ∂c/∂b = 1
  ∂d/∂b = 1
  ∂e/∂c = 2
  ∂e/∂d = 3

collecting, path by path
  a-c-e 2·1 = 2
  ∂e/∂a = 2
  b-c-e 2·1 = 2
  b-d-e 3·1 = 3
  ∂e/∂b = 2+3 = 5
3 paths, 6 walks, edge c-e walked twice

paying back, from the top down: e starts with 1
  e pays c 1·2, e pays d 1·3
  c pays a 2·1, c pays b 2·1, d pays b 3·1
  a settled 2, b settled 2+3 = 5
5 edges, each paid once

ledger
node  payer      owes  × local  = paid  sum
e     (the top)                      1    1
c     e             1        2       2    2
d     e             1        3       3    3
a     c             2        1       2    2
b     c             2        1       2    2
      d             3        1       3    5
"""


def run(capsys, *arguments):
    """(exit code, standard output, standard error) of `payback explain …` in this process."""
    code = main(["explain", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def told(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, err) == (0, "")
    return out


def data(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def refused(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("payback: ")
    assert err.count("\n") == 1
    return err.removeprefix("payback: ").rstrip()


def section(text, title):
    (found,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return found.splitlines()[1:]


# --- what it prints


@pytest.mark.parametrize("text", ["(a+b)*(b+1)", "e=(a+b)*(b+1)", "c=a+b; d=b+1; e=c*d", " ( a+b ) * (b+1)"])
def test_the_article(capsys, text):
    assert told(capsys, text, "a=2", "b=1") == ARTICLE


def test_the_order_of_the_values_does_not_matter(capsys):
    assert told(capsys, "(a+b)*(b+1)", "b=1", "a=2") == ARTICLE


def test_narrowed_to_one_variable(capsys):
    text = told(capsys, "(a+b)*(b+1)", "a=2", "b=1", "--wrt", "b")
    assert section(text, "partials") == ["  ∂c/∂b = 1", "  ∂d/∂b = 1", "  ∂e/∂c = 2", "  ∂e/∂d = 3"]
    assert section(text, "collecting") == [
        *("  b-c-e 2·1 = 2", "  b-d-e 3·1 = 3", "  ∂e/∂b = 2+3 = 5", "2 paths, 4 walks, no edge walked twice")
    ]
    assert section(text, "paying back") == [
        "  e pays c 1·2, e pays d 1·3",
        "  c pays b 2·1, d pays b 3·1",
        "  b settled 2+3 = 5",
        "4 edges, each paid once",
    ]
    assert told(capsys, "--wrt=b", "(a+b)*(b+1)", "a=2", "b=1") == text


def test_narrowed_to_several_names_and_to_parts(capsys):
    assert told(capsys, "(a+b)*(b+1)", "a=2", "b=1", "--wrt", "a, b") == ARTICLE
    assert data(capsys, "(a+b)*(b+1)", "a=2", "b=1", "--wrt", "c,b")["gradient"] == {"b": 5, "c": 2}


@pytest.mark.parametrize("arguments", [["-a*b"], ["--", "-a*b"]])
def test_an_expression_may_begin_with_a_minus(capsys, arguments):
    text = told(capsys, *arguments, "a=2", "b=3")
    assert "  c = -a = -2\n  d = c·b = -6\n" in text
    assert "  a-c-d 3·(-1) = -3\n" in text


@pytest.mark.parametrize("text", ["-h*h", "-a", "--a", "-json+a", "-(a)", "-1*a"])
def test_minus_signs_that_look_like_options(capsys, text):
    names = sorted(set(re.findall("[a-z]+", text)))
    assert "ledger\n" in told(capsys, text, *[f"{name}=2" for name in names])


def test_options_may_stand_anywhere(capsys):
    expected = told(capsys, "-a*b", "a=2", "b=3", "--wrt", "a")
    assert told(capsys, "--wrt", "a", "-a*b", "a=2", "b=3") == expected
    assert told(capsys, "--wrt=a", "--", "-a*b", "a=2", "b=3") == expected


def test_a_difference_of_equals(capsys):
    text = told(capsys, "x-x", "x=3")
    assert section(text, "partials") == ["  ∂y/∂x = 1 (1st)", "  ∂y/∂x = -1 (2nd)"]
    assert section(text, "collecting")[:3] == ["  x-y 1 (1st)", "  x-y -1 (2nd)", "  ∂y/∂x = 1+(-1) = 0"]
    assert "  x settled 1+(-1) = 0\n" in text


def test_the_same_text_twice_is_two_nodes(capsys):
    text = told(capsys, "(a+1)*(a+1)", "a=2")
    assert section(text, "values") == ["  a = 2", "  b = a+1 = 3", "  c = a+1 = 3", "  d = b·c = 9"]


def test_a_variable_alone(capsys):
    text = told(capsys, "a", "a=2")
    assert section(text, "partials") == ["  none: there is no edge to pay along"]
    assert "  a 1, the top itself\n" in text
    assert "1 path, 0 walks" in text
    assert "0 edges, nothing to pay\n" in text
    assert data(capsys, "a", "a=2")["gradient"] == {"a": 1}


def test_no_path_is_never_zero(capsys):
    text = told(capsys, "c=a+b; d=b+1; a*0", "a=2", "b=1")
    assert "  ∂e/∂a = 0\n  b: no path from e, nothing to collect\n" in text
    assert "  b: not reached, no path\n" in text
    assert "∂e/∂b" not in text
    assert data(capsys, "c=a+b; d=b+1; a*0", "a=2", "b=1")["gradient"] == {"a": 0, "b": None}
    assert "  a: no path from b, nothing to collect\n" in told(capsys, "c=a+1; 2*3", "a=2")


def test_second_names_and_numbers_with_names(capsys):
    text = told(capsys, "k=2*3; c=a; d=c*k; e=d; e+1", "a=2")
    assert section(text, "values") == [
        *("  a = 2", "  k = 2*3 = 6", "  c = a = 2", "  d = a·6 = 12", "  e = d = 12", "  b = d+1 = 13")
    ]
    assert data(capsys, "c=a; c*c", "a=2", "--wrt", "c")["gradient"] == {"a": 4}


def test_a_negative_partial_stands_in_parentheses(capsys):
    assert "  a-c-d 1·(-1) = -1\n" in told(capsys, "b + -a", "a=1", "b=2")


def test_all_functions_become_one_node_each(capsys):
    text = "exp(a)+expm1(a)+log(a)+log1p(a)+sqrt(a)+tanh(a)+sigmoid(a)+softplus(a)+relu(a)+abs(a)+sin(a)+cos(a)"
    told_ = data(capsys, f"{text}+max(a,b)+min(a,b)+a**b", "a=0.5", "b=2")
    assert {node["op"] for node in told_["nodes"]} == {
        *("variable", "add", "exp", "expm1", "log", "log1p", "sqrt", "tanh", "sigmoid", "softplus", "relu", "abs"),
        *("sin", "cos", "maximum", "minimum", "power"),
    }


def test_an_infinite_derivative_is_told(capsys):
    text = told(capsys, "sqrt(a)", "a=0")
    assert "  ∂b/∂a = inf (sqrt has a finite partial where x > 0)\n" in text
    assert data(capsys, "sqrt(a)", "a=0")["gradient"] == {"a": "Infinity"}


def test_sixty_doublings(capsys):
    text = "; ".join(f"x{i + 1}=x{i}+x{i}" for i in range(60))
    lines = told(capsys, text, "x0=1").splitlines()
    assert "  … and 1,152,921,504,606,846,956 more" in lines
    assert "  ∂x60/∂x0 = 1.152921504606847e+18, known from paying back" in lines
    (race,) = [line for line in lines if line.startswith(f"{2**60:,} paths, {60 * 2**60:,} walks, ")]
    assert race.endswith(", 115 more edges walked more than once")
    assert "120 edges, each paid once" in lines
    assert "  x59 settled 1+1 = 2, x59 pays x58 2·1, x59 pays x58 2·1" in lines


# --- the numbers

NUMBERS = st.integers(-4, 4).map(lambda n: n / 2)


@st.composite
def texts(draw):
    """An expression over a, b and c with + - * / and unary minus, in which variables are used again."""

    def extend(parts):
        pairs = st.tuples(parts, st.sampled_from("+-*/"), parts)
        return pairs.map(lambda p: f"({p[0]}{p[1]}{p[2]})") | parts.map(lambda p: f"(-{p})")

    return draw(st.recursive(st.sampled_from(["a", "b", "c", "2", "0.5"]), extend, max_leaves=8))


@given(texts(), NUMBERS, NUMBERS, NUMBERS)
def test_the_gradient_is_that_of_the_library(text, a, b, c):
    program = parse(text)
    values = {name: {"a": a, "b": b, "c": c}[name] for name in program.inputs}
    assume(values)
    try:
        sheet = evaluate(program, values)
    except InputError:
        assume(False)
    book = Ledger(sheet.top, sheet.variables, sheet.names)
    book.check()

    def f(*arguments):
        return program.evaluate(dict(zip(program.inputs, arguments, strict=True)), {}).top

    with np.errstate(all="ignore"):
        expected = pb.grad(f, argnums=tuple(range(len(program.inputs))))(*map(np.float64, values.values()))
    assert [leaf.settled for leaf in book.leaves] == list(expected)
    for leaf in book.leaves:
        products = [path.product for path in book.paths(book.top, leaf).all()]
        assert len(products) == book.paths(book.top, leaf).count
        assert leaf.settled == pytest.approx(sum(products), abs=1e-9 * (1 + sum(map(abs, products))))


@pytest.mark.parametrize(
    "arguments", [("(a+b)*(b+1)", "a=2", "b=1"), ("exp(a)*a-b/a", "a=0.3", "b=-7"), ("x-x", "x=1e30")]
)
def test_the_json_says_what_the_text_says(capsys, arguments):
    text, found = told(capsys, *arguments), data(capsys, *arguments)

    def shown(number):
        return repr(float(number)).removesuffix(".0")

    for name, value in found["values"].items():
        assert re.search(rf"^  {name} = (.* = )?{re.escape(shown(value))}$", text, re.MULTILINE)
    for edge in found["edges"]:
        assert f"∂{edge['payer']}/∂{edge['arg']} = {shown(edge['partial'])}" in text
    for name, paths in found["paths"]["by_leaf"].items():
        assert re.search(rf"∂{found['top']}/∂{name} = (.* = )?{re.escape(shown(paths['sum']))}$", text, re.MULTILINE)
        for path in paths["listed"]:
            assert re.search(rf"  {'-'.join(path['nodes'])} .*{re.escape(shown(path['product']))}", text)
    for name, pile in found["ledger"].items():
        for entry in pile:
            numbers = [re.escape(shown(entry[key])) for key in ("owes", "local", "paid", "sum")]
            assert re.search(rf"^({name})? +{entry['payer']} +{' +'.join(numbers)}$", text, re.MULTILINE)
    assert f"{found['paths']['count']} path" in text
    assert f"{found['paths']['visits']} edge" in text


def test_the_json_of_the_article(capsys):
    found = data(capsys, "(a+b)*(b+1)", "a=2", "b=1")
    assert list(found) == [
        *("payback", "version", "expression", "top", "wrt", "values", "formulas"),
        *("format", "level", "nodes", "edges", "paths", "events", "ledger", "gradient"),
        *("places", "sources"),
    ]
    assert (found["payback"], found["version"], found["top"], found["wrt"]) == ("explain", 2, "e", ["a", "b"])
    assert found["values"] == {"a": 2, "b": 1, "c": 3, "d": 2, "e": 6}
    assert found["formulas"] == {"c": "a+b", "d": "b+1", "e": "c·d"}
    assert found["edges"][-2] == {
        "payer": "e", "slot": 0, "arg": "c", "partial": 2, "rule": "b, a", "paid": 2, "walks": "2"
    }  # fmt: skip
    assert [found["paths"][key] for key in ("count", "walks", "visits")] == ["3", "6", 5]
    assert found["paths"]["by_leaf"]["a"] == {
        "count": "1", "walks": "2", "sum": 2, "listed": [{"nodes": ["a", "c", "e"], "factors": [2, 1], "product": 2}],
    }  # fmt: skip
    assert found["events"][0] == {"event": "settles", "node": "e", "terms": [], "sum": 1}
    assert found["events"][-1] == {"event": "settles", "node": "b", "terms": [2, 3], "sum": 5}
    assert found["ledger"]["b"][1] == {"payer": "d", "slot": 0, "owes": 3, "local": 1, "paid": 3, "sum": 5}
    assert found["gradient"] == {"a": 2, "b": 5}


def test_counts_beyond_two_to_the_53_are_strings_in_json(capsys):
    text = "; ".join(f"x{i + 1}=x{i}+x{i}" for i in range(60))
    found = data(capsys, text, "x0=1")
    assert found["paths"]["count"] == str(2**60)
    assert found["paths"]["by_leaf"]["x0"]["count"] == str(2**60)
    assert found["edges"][0]["walks"] == str(2**59)


# --- what it refuses


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2*3"], 'the expression is constant: without a variable there is nothing to differentiate by. Write for '
                  'example "(a+b)*(b+1)" a=2 b=1.'),
        (["a*b", "a=2"], "missing variable b: give b=VALUE."),
        (["a", "a=2", "b=1"], "b is given a value: the expression has no such variable. Its variables are a."),
        (
            ["a", "a=@a.npy"],
            "'a=@a.npy' gives a no value: an expression takes numbers, FILE.py:FUNCTION arrays. Write for example a=2.",
        ),
        (["a", "a=two"], "'a=two' gives a no value: it is not a decimal number. Write for example a=2."),
        (["a/b", "a=2", "b=0"], "division by zero in a/b: b is 0. Choose other values or change the expression."),
        (["a.real", "a=2"], "attribute access is not part of an expression (at column 1: 'a.real'). Use numbers, "
                            "names, + - * / **, parentheses and functions such as exp, log and max."),
        (["alpha*b", "alpha=2", "b=1", "--wrt", "alhpa"],
         "--wrt names 'alhpa': the expression has no such variable. Did you mean alpha?"),
        (["a", "a=2", "--wrt", ""], "--wrt names '': the expression has no such variable. Its names are a."),
        (["a", "a=2", "--wrt"], "the option --wrt needs a value. Write --wrt VALUE."),
        (["a", "a=2", "--wrt", "a", "--wrt", "a"], "the option --wrt is given twice. Remove one."),
        (["--wtr", "b", "a*b", "a=2", "b=1"], "there is no option --wtr. Did you mean --wrt?"),
        (["--wtr=b", "a*b", "a=2", "b=1"], "there is no option --wtr. Did you mean --wrt?"),
        (["a*b", "a=2", "b=1", "--wtr", "b"], "there is no option --wtr. Did you mean --wrt?"),
        ([], "TARGET is missing. See payback explain --help."),
        (["a", "a=1\x1b[31m"], r"'a=1\x1b[31m' gives a no value: it is not a decimal number. Write for example a=2."),
        (["a", "a=1", "--wrt", "[red]\u202e"],
         r"--wrt names '[red]\u202e': the expression has no such variable. Its names are a."),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(capsys, arguments, message):
    assert refused(capsys, *arguments) == message


def test_an_error_in_json(capsys):
    code, out, err = run(capsys, "a/b", "a=2", "b=0", "--json")
    assert code == 2
    assert json.loads(out)["error"]["what"] == "division by zero in a/b"
    assert err.startswith("payback: division by zero")


def test_an_error_with_its_traceback(capsys):
    code, out, err = run(capsys, "a/b", "a=2", "b=0", "--debug")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("payback: division by zero in a/b")


# --- as a program


def program(*arguments):
    environment = {key: value for key, value in os.environ.items() if key != "FORCE_COLOR"}
    command = [sys.executable, "-W", "error", "-m", "payback", "explain", *arguments]
    return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, check=False)


def test_text_goes_to_standard_output():
    done = program("(a+b)*(b+1)", "a=2", "b=1")
    assert (done.returncode, done.stdout, done.stderr) == (0, ARTICLE, "")


def test_with_json_text_goes_to_standard_error():
    done = program("(a+b)*(b+1)", "a=2", "b=1", "--json")
    assert (done.returncode, done.stderr) == (0, ARTICLE)
    assert json.loads(done.stdout)["gradient"] == {"a": 2, "b": 5}


def test_bad_input_exits_with_2():
    done = program("9**9**9**9+a", "a=1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("payback: 9**9**9 is too large for a floating-point number")
    assert done.stderr.count("\n") == 1


def test_a_page_replaces_a_page_and_nothing_else(capsys, tmp_path):
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    table.write_text("a,b\n1,2\n")
    arguments = ["explain", "a*b", "a=2", "b=3", "--html"]
    assert [main([*arguments, str(page)]), main([*arguments, str(page)])] == [0, 0]
    capsys.readouterr()
    assert main([*arguments, str(table)]) == 2
    told = capsys.readouterr()
    assert "it is no page, and would be lost" in told.err
    assert not told.out  # it is said before the work is done
    assert table.read_text() == "a,b\n1,2\n"
    for place, why in ((tmp_path, "it is a folder"), (tmp_path / "\0", "null")):
        assert main([*arguments, str(place)]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes with names")
def test_a_page_does_not_take_the_place_of_a_pipe_or_a_device(capsys, tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for place in (pipe, link):
        assert main(["explain", "a*b", "a=2", "b=3", "--html", str(place)]) == 2
        assert "it is a device or a pipe, not a file" in capsys.readouterr().err
        with pytest.raises(OSError, match="a device or a pipe"):  # whoever writes, root too
            write_file(place, b"")
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_digits_are_lost_in_the_words_of_the_expression(capsys):
    assert "(x+1e9)-1e9 loses " in told(capsys, "(x+1e9)-1e9", "x=0.1", "--digits")
    (place,) = data(capsys, "log(1+x)", "x=1e-9", "--digits")["digits"]["places"]
    assert (place["what"], place["cure"]) == ("log(1+x)", "np.log1p(x) for log(1 + x)")
