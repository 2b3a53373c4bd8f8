"""The language of `payback explain`: what it reads, what it computes, and the one line that refuses anything else."""

from __future__ import annotations

import itertools
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payback.cli.expression import _ALIASES, _CALLABLE, _LANGUAGE, parse, parse_bindings
from payback.cli.program import FLOAT_FUNCTIONS, Program
from payback.errors import InputError
from payback.glass.names import letters


def value(text: str, **values: float) -> float:
    top = parse(text).evaluate(values, {}).top
    assert type(top) is float
    return top


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def failure(text: str, **values: float) -> str:
    with pytest.raises(InputError) as caught:
        parse(text).evaluate(values, {})
    return str(caught.value)


# --- what is read


@pytest.mark.parametrize(
    "text", ["(a+b)*(b+1)", "e=(a+b)*(b+1)", "c=a+b; d=b+1; e=c*d", " c = a + b ;\n d=b+1\t; c*d ; "]
)
def test_the_article_in_its_spellings(text: str) -> None:
    program = parse(text)
    assert program.inputs == ("a", "b")
    assert program.evaluate({"a": 2, "b": 1}, {}).top == 6.0


def test_names_and_statements() -> None:
    program = parse("c=b*a; e=c+a")
    assert program.inputs == ("b", "a")
    assert program.names == ("c", "e")
    assert [name for name, _ in program.statements] == ["c", "e"]
    assert program.evaluate({"a": 2.0, "b": 3.0}, {}) == (8.0, {"c": 6.0, "e": 8.0})
    assert parse("a+1").statements[0].name is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-a*b", -6.0),
        ("-a**2", -4.0),
        ("+a", 2.0),
        ("--a", 2.0),
        ("2**-a", 0.25),
        ("2**3**2", 512.0),
        ("1.5e1 - .5", 14.5),
        ("7/2", 3.5),
        ("max(a, b) - minimum(a, b)", 1.0),
        ("pi", math.pi),
        ("abs(-a)", 2.0),
        ("sqrt(a*8)", 4.0),
    ],
)
def test_arithmetic(text: str, expected: float) -> None:
    assert value(text, a=2.0, b=3.0) == expected


@pytest.mark.parametrize("name", [n for n in FLOAT_FUNCTIONS if n not in ("maximum", "minimum")])
@pytest.mark.parametrize("x", [0.25, 1.0, 3.0])
def test_functions_of_numbers(name: str, x: float) -> None:
    expected = {
        "sigmoid": lambda v: 1 / (1 + math.exp(-v)),
        "softplus": lambda v: math.log(1 + math.exp(v)),
        "relu": lambda v: v,
        "abs": lambda v: v,
    }.get(name) or getattr(math, name)
    assert value(f"{name}({x})") == pytest.approx(expected(x), rel=1e-14)


def test_functions_keep_their_digits_far_out() -> None:
    assert value("sigmoid(-40)") == pytest.approx(math.exp(-40), rel=1e-15)
    assert value("softplus(800)") == 800.0
    assert value("relu(-3)") == 0.0


def test_e_is_a_name_and_pi_gives_way() -> None:
    assert parse("e+1").inputs == ("e",)
    program = parse("2*pi")
    assert (program.inputs, program.constants) == ((), ("pi",))
    assert program.evaluate(parse_bindings(["pi=3"], program), {}).top == 6.0
    assert value("pi=3; pi+1") == 4.0


def test_greek_names_and_their_columns() -> None:
    assert value("α*β+λ", α=2.0, β=3.0, λ=1.0) == 7.0
    assert "(at column 3: 'γ.x')" in refusal("β+γ.x")


def test_a_thousand_operations_need_no_recursion() -> None:
    assert value("+".join(["a"] * 1000), a=1.0) == 1000.0
    assert value("(" * 100 + "a" + ")" * 100, a=1.0) == 1.0


# --- what an evaluation tells


def test_every_operation_is_observed_with_its_source() -> None:
    text, seen = "e=(a+b)*-(b+1)", []
    parse(text).evaluate({"a": 2.0, "b": 1.0}, {}, lambda v, source, span: seen.append((v, source, text[slice(*span)])))
    assert [(v, source) for v, source, _ in seen] == [(3, "a+b"), (2, "b+1"), (-2, "-(b+1)"), (-6, "(a+b)*-(b+1)")]
    assert all(source == sliced for _, source, sliced in seen)


class Traced:
    """A value as payback's are: operators that follow IEEE, no Python float."""

    def __init__(self, x: float):
        self.x = x

    def __add__(self, other: Traced | float) -> Traced:
        return Traced(self.x + (other.x if isinstance(other, Traced) else other))

    def __rtruediv__(self, other: float) -> Traced:
        return Traced(other / self.x if self.x else math.inf)


def test_traced_values_go_through_the_given_functions_and_numbers_do_not() -> None:
    called: list[float] = []

    def exp(v: Traced) -> Traced:
        called.append(v.x)
        return Traced(math.exp(v.x))

    top = parse("exp(a+exp(0))").evaluate({"a": Traced(1.0)}, {"exp": exp}).top
    assert called == [2.0]
    assert top.x == math.exp(2.0)


def test_a_traced_value_that_is_not_finite_is_named() -> None:
    program = parse("1/(a+2)")
    assert program.evaluate({"a": Traced(-2.0)}, {}).top.x == math.inf  # without `number` nobody looks inside
    with pytest.raises(InputError, match=r"division by zero in 1/\(a\+2\): a\+2 is 0\."):
        program.evaluate({"a": Traced(-2.0)}, {}, number=lambda v: v.x if isinstance(v, Traced) else v)


def test_an_error_of_a_given_function_is_not_swallowed() -> None:
    def broken(v: Traced) -> Traced:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        parse("exp(a)").evaluate({"a": Traced(1.0)}, {"exp": broken})


CHOOSE = "Choose other values or change the expression."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a/(b-1)", "division by zero in a/(b-1): b-1 is 0."),
        ("1/0", "division by zero in 1/0."),
        ("(b-1)**-a", "division by zero in (b-1)**-a: b-1 is 0 and -a is -2; 0 has no negative power."),
        ("(-a)**0.5", "(-a)**0.5 has no real value: -a is -2; a negative number has only whole powers."),
        ("log(b-1)", "log(b-1) has no finite value: b-1 is 0; log needs a number above 0."),
        ("log1p(-a)", "log1p(-a) has no finite value: -a is -2; log1p needs a number above -1."),
        ("sqrt(-b)", "sqrt(-b) has no finite value: -b is -1; sqrt needs a number of 0 or more."),
        ("exp(a*500)", "exp(a*500) is too large for a floating-point number: a*500 is 1000."),
        ("1e308*10", "1e308*10 is too large for a floating-point number."),
    ],
)
def test_results_that_are_not_finite(text: str, message: str) -> None:
    assert failure(text, a=2.0, b=1.0) == f"{message} {CHOOSE}"


def test_a_tower_of_powers_ends_at_once() -> None:
    start = time.perf_counter()
    message = failure("9**9**9**9")
    assert time.perf_counter() - start < 5.0  # as Python integers it would take longer than the universe has
    assert message == f"9**9**9 is too large for a floating-point number: 9**9 is 387420489. {CHOOSE}"


# --- what is refused, and in which words

NOT_PART = "is not part of an expression"
USE = _LANGUAGE[0].upper() + _LANGUAGE[1:] + "."
UNREADABLE = (
    "something is missing or out of place there. Write products with *, powers with ** and a ; between statements."
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.__class__", f"attribute access {NOT_PART} (at column 1: 'a.__class__'). {USE}"),
        ("1+np.exp(a)", f"attribute access {NOT_PART} (at column 3: 'np.exp'). Write exp(...) alone."),
        ("epx(a)", "there is no function epx (at column 1: 'epx'). Did you mean exp?"),
        ("(a+b)(b+1)", "only a function's name can be called (at column 1: '(a+b)(b+1)'). Write a product with *."),
        ("exp(x=1)", "exp takes no arguments by name (at column 1: 'exp(x=1)'). Write exp(x)."),
        ("exp(**a)", "exp takes no arguments by name (at column 1: 'exp(**a)'). Write exp(x)."),
        ("exp()", "exp is called wrongly (at column 1: 'exp()'): it takes 1 argument, not 0. Write exp(x)."),
        ("max(a)", "max is called wrongly (at column 1: 'max(a)'): it takes 2 arguments, not 1. Write max(x, y)."),
        ("exp(*a)", f"this {NOT_PART} (at column 5: '*a'). {USE}"),
        ("a+exp", "the function exp is used without arguments (at column 3: 'exp'). Write exp(...)."),
        ("a+'x'", f"text in quotes {NOT_PART} (at column 3). {USE}"),
        ('f"{a}"', f"text in quotes {NOT_PART} (at column 2). {USE}"),
        ("a<b", f"a comparison {NOT_PART} (at column 1: 'a<b'). {USE}"),
        ("lambda x: x", f"a lambda {NOT_PART} (at column 1: 'lambda x: x'). {USE}"),
        ("(y:=a)", f"the sign := {NOT_PART} (at column 2: 'y:=a'). {USE}"),
        ("[x for x in a]", f"a comprehension {NOT_PART} (at column 1: '[x for x in a]'). {USE}"),
        ("a[0]", f"an index {NOT_PART} (at column 1: 'a[0]'). {USE}"),
        ("a, b", f"a tuple {NOT_PART} (at column 1: 'a, b'). {USE}"),
        ("a and b", f"a logical operator {NOT_PART} (at column 1: 'a and b'). {USE}"),
        ("a if b else c", f"a condition {NOT_PART} (at column 1: 'a if b else c'). {USE}"),
        ("a^2", f"this operator {NOT_PART} (at column 1: 'a^2'). Write a power with **."),
        ("a//2", f"this operator {NOT_PART} (at column 1: 'a//2'). Use + - * / **."),
        ("~a", f"this {NOT_PART} (at column 1: '~a'). {USE}"),
        ("True", f"this {NOT_PART} (at column 1: 'True'). {USE}"),
        ("...", f"this {NOT_PART} (at column 1: '...'). {USE}"),
        ("import os", f"a statement {NOT_PART} (at column 1: 'import os'). {USE}"),
        ("a+=1", f"an assignment that changes a value {NOT_PART} (at column 1: 'a+=1'). {USE}"),
        ("a=b=1", f"an assignment to more than one name {NOT_PART} (at column 1: 'a=b=1'). {USE}"),
        ("c=a; c=b", "c is assigned twice (at column 6: 'c'): a name has one value. Choose another name."),
        (
            "c=a; a=b",
            "a is assigned after it was used (at column 6: 'a'): it is an input of the expression. "
            "Assign it first, or choose another name.",
        ),
        ("exp=a", "exp is the name of a function (at column 1: 'exp'). Choose another name."),
        ("a+b; c", "the value of a statement is not used (at column 1: 'a+b'). Give it a name, or remove it."),
        ("", 'the expression is empty. Write for example "(a+b)*(b+1)" a=2 b=1.'),
        (" ; ", 'the expression is empty. Write for example "(a+b)*(b+1)" a=2 b=1.'),
        (
            "1e999",
            "this number is too large (at column 1: '1e999'): the largest is about 1.8e308. Write a smaller one.",
        ),
        (
            "a+1j",
            "this number cannot be used (at column 3: '1j'): a complex number has no place here. "
            "Write for example 2, 0.5 or 1e-3.",
        ),
        (
            "0x10",
            "this number cannot be used (at column 1: '0x10'): only decimal numbers are read. "
            "Write for example 2, 0.5 or 1e-3.",
        ),
        ("1" * 5000, "a number is too long (at column 1): at most 1,000 digits are read. Write for example 1.5e300."),
        (
            "a+\N{CYRILLIC SMALL LETTER A}",
            "the character '\N{CYRILLIC SMALL LETTER A}' cannot be used in an expression (at column 3): "
            "it is U+0430 CYRILLIC SMALL LETTER A. Write names with a-z, A-Z, Greek letters, digits and _.",
        ),
        (
            "\N{FULLWIDTH LATIN SMALL LETTER A}",
            "the character '\N{FULLWIDTH LATIN SMALL LETTER A}' cannot be used in an expression (at column 1): "
            "it is U+FF41 FULLWIDTH LATIN SMALL LETTER A. Write a.",
        ),
        (
            "a\N{MINUS SIGN}b",
            "the character '\N{MINUS SIGN}' cannot be used in an expression (at column 2): "
            "it is U+2212 MINUS SIGN. Write -.",
        ),
        (
            "a\x1b[31m",
            "the character '\\x1b' cannot be used in an expression (at column 2): it is U+001B a control character. "
            "Write names with a-z, A-Z, Greek letters, digits and _.",
        ),
        ("a b", f"the expression cannot be read (at column 3: 'b'): {UNREADABLE}"),
        (" β + 2a", f"the expression cannot be read (at column 6: '2a'): {UNREADABLE}"),
        ("a;;b", f"the expression cannot be read (at column 3: ';'): {UNREADABLE}"),
        (
            "lambda*x",
            "the name lambda cannot be used (at column 1): the word has a meaning of its own. Choose another name.",
        ),
        (
            "a+",
            "the expression ends too early (at column 3): a number, a name or a bracket is missing there. Complete it.",
        ),
        ("(a+b", "the bracket ( is never closed (at column 1). Close it."),
        ("a+b)", "the bracket ) closes nothing (at column 4). Remove it or open it before."),
        ("(a]", "the bracket ] closes nothing (at column 3). Remove it or open it before."),
        (
            "(" * 10_000 + "a" + ")" * 10_000,
            "too many brackets inside each other (at column 101): at most 100 are read. "
            "Name the parts: c=a+b; d=b+1; c*d.",
        ),
        ("a" * 10_001, "the expression has 10,001 characters: at most 10,000 are read. Shorten it."),
        ("+".join("a" * 1002), "the expression has too many operations: at most 1,000 are read. Shorten it."),
        ("+".join("a" * 5000), "the expression has too many operations: at most 1,000 are read. Shorten it."),
        ("-" * 9000 + "a", "the expression has too many operations: at most 1,000 are read. Shorten it."),
        ("**".join("a" * 3000), "the expression has too many operations: at most 1,000 are read. Shorten it."),
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_refused(text: str, message: str) -> None:
    assert refusal(text) == message


def test_an_unknown_function_without_a_near_name_lists_all() -> None:
    functions = ", ".join(_CALLABLE)
    expected = f"Write a product as __import__*(...); the functions are {functions}."
    assert refusal("__import__(os)") == f"there is no function __import__ (at column 1: '__import__'). {expected}"
    assert set(_CALLABLE) == set(FLOAT_FUNCTIONS) | set(_ALIASES)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab1.e+-*/()=;, exp[]<:αif\n"), max_size=40) | st.text(max_size=20))
def test_any_text_is_a_program_or_one_line(text: str) -> None:
    result: Program | str
    try:
        result = parse(text)
    except InputError as error:
        result = str(error)
    if isinstance(result, str):
        assert result.isprintable()
    else:
        assert not set(result.inputs) & set(result.names)


# --- the values of the variables


def test_bindings() -> None:
    assert parse_bindings(["a=2", " b = -1.5e-3", "β=+.5"]) == {"a": 2.0, "b": -0.0015, "β": 0.5}


@pytest.mark.parametrize(
    ("text", "bindings", "message"),
    [
        ("a+b", ["a=2"], "missing variable b: give b=VALUE."),
        ("a+b", [], "missing variables a and b: give a=VALUE b=VALUE."),
        ("alpha", ["alhpa=2"], "missing variable alpha: alhpa is given but not used. Give alpha=VALUE."),
        (
            "a+b",
            ["a=1", "b=2", "x=3"],
            "x is given a value: the expression has no such variable. Its variables are a and b.",
        ),
        ("beta", ["beta=1", "bta=2"], "bta is given a value: the expression has no such variable. Did you mean beta?"),
        ("2+3", ["a=1"], "a is given a value: the expression has no such variable. Remove that."),
        ("e=a", ["a=1", "e=3"], "e is given a value: the expression computes it. Remove that."),
        ("a", ["a=1", "a=2"], "a is given twice (a=2): a variable has one value. Remove one."),
        ("a", ["a"], "'a' is not of the form NAME=NUMBER. Write for example a=2."),
        ("a", ["a.b=1"], "'a.b=1' is not of the form NAME=NUMBER. Write for example a=2."),
        ("a", ["a="], "'a=' gives a no value: the number is missing. Write for example a=2."),
        ("a", ["a=nan"], "'a=nan' gives a no value: it is not a decimal number. Write for example a=2."),
        ("a", ["a=1_0"], "'a=1_0' gives a no value: it is not a decimal number. Write for example a=2."),
        ("a", ["a=٣"], "'a=٣' gives a no value: it is not a decimal number. Write for example a=2."),
        ("a", ["a=1,5"], "'a=1,5' gives a no value: it is not a decimal number. Write for example a=1.5."),
        ("a", ["a=-1e999"], "the value of a is too large (a=-1e999). Write a number below 1e308."),
    ],
)
def test_bindings_refused(text: str, bindings: list[str], message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_bindings(bindings, parse(text))
    assert str(caught.value) == message


def test_evaluate_asks_for_missing_values_too() -> None:
    assert failure("a+b", a=1.0) == "missing variable b: give b=VALUE."


# --- names of the intermediates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(a+b)*(b+1)", "cde"),
        ("e=(a+b)*(b+1)", "cdf"),
        ("x*y+1", "zab"),
        ("z*2", "abc"),
        ("size*2", "abc"),
        ("β", "abc"),
    ],
)
def test_letters_follow_the_inputs(text: str, expected: str) -> None:
    program = parse(text)
    names = letters({*program.inputs, *program.names}, program.inputs)
    assert "".join(itertools.islice(names, 3)) == expected


def test_letters_never_run_out() -> None:
    names = list(itertools.islice(letters({"b", "v2"}), 28))
    assert names[:2] == ["a", "c"]
    assert names[-3:] == ["v1", "v3", "v4"]
    assert len(set(names)) == 28
