"""What the options of all commands share: where output goes, and errors of the command line in payback's words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from cyclopts import Parameter, Token
from cyclopts.exceptions import (
    CoercionError,
    ConsumeMultipleError,
    CycloptsError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
    ValidationError,
)

from payback.cli.program import listed, shorten
from payback.cli.terminal import Output
from payback.errors import InputError, PaybackError

GLOBAL = ("--json", "--debug")  # options of the frame: they may stand anywhere before a `--`
STDIN = "<stdin>"  # what a `-` in the place of a table stands for

# The parameter of every command that receives the frame's Output; it is no option.
Out = Annotated[Output, Parameter(parse=False)]


def _whole(kind: object, tokens: Sequence[Token]) -> int:
    """The value of an option that wants a whole number: cyclopts would round 1.5."""
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        what = f"the option {tokens[0].keyword} is {shorten(text)!r}"
        raise InputError(what, why="a whole number is needed") from None


def whole_number(text: str, **more: Any) -> Parameter:
    """An option that wants a whole number; text: its help."""
    return Parameter(help=text, converter=_whole, **more)


def unknown_option(option: str, options: Iterable[str]) -> InputError:
    """The error for an option that does not exist, with the nearest of those that do.

    >>> print(unknown_option("--epoch", ["--epochs", "--lr"]))
    there is no option --epoch. Did you mean --epochs?
    """
    known = {name.lstrip("-"): name for name in sorted({*options, *GLOBAL, "--help"})}
    near = [known[word] for word in difflib.get_close_matches(option.lstrip("-"), known, 3)]
    fix = f"did you mean {listed(near, 'or')}?" if near else f"the options are {listed(list(known.values()))}"
    return InputError(f"there is no option {shorten(option)}", fix=fix)


def unknown_command(name: str, commands: Iterable[str]) -> InputError:
    """The error for a command that does not exist.

    >>> print(unknown_command("explian", ["explain", "train"]))
    there is no command 'explian'. Did you mean explain?
    """
    near = difflib.get_close_matches(name, list(commands), 3)
    fix = f"did you mean {listed(near, 'or')}?" if near else f"the commands are {listed(list(commands))}"
    return InputError(f"there is no command {shorten(name)!r}", fix=fix)


def in_our_words(error: CycloptsError, commands: Iterable[str]) -> PaybackError:
    """An error of the parser as payback's own, which names the option; an error that a converter raised, as it is."""
    if isinstance(error.__cause__, PaybackError):
        return error.__cause__
    match error:
        case UnknownCommandError(unused_tokens=[str(name), *_]):
            return unknown_option(name, []) if name.startswith("-") else unknown_command(name, commands)
        case UnknownOptionError():
            options = [name for argument in error.argument_collection for name in argument.names if argument.parse]
            return unknown_option(error.token.keyword or error.token.value, [o for o in options if o.startswith("--")])
        case MissingArgumentError(argument=argument) if (
            argument is not None and type(error) is not ConsumeMultipleError
        ):
            name = error.keyword or argument.name
            if name.startswith("-"):
                return InputError(f"the option {name} needs a value", fix=f"write {name} VALUE")
            return InputError(f"{name} is missing", fix=f"see {_help(error)}")
        case CoercionError(token=token) if token is not None and error.msg is None:
            what = f"{_subject(error)} is {shorten(token.value)!r}"
            if get_origin(error.target_type) is Literal:
                choices = [str(choice) for choice in get_args(error.target_type)]
                near = difflib.get_close_matches(token.value, choices, 1)
                fix = f"did you mean {near[0]}?" if near else None
                return InputError(what, why=f"it must be {listed(choices, 'or')}", fix=fix)
            wanted = "a number" if error.target_type is float else "another kind of value"
            return InputError(what, why=f"{wanted} is needed", fix=f"see {_help(error)}")
        case ValidationError(argument=argument) if argument is not None and argument.tokens:
            what = f"{_subject(error)} is {shorten(argument.tokens[0].value)!r}"
            return InputError(what, why=error.exception_message.rstrip(".") or "it is out of range", fix=None)
        case RepeatArgumentError():
            return InputError(f"the option {error.token.keyword} is given twice", fix="remove one")
        case UnusedCliTokensError(unused_tokens=[str(token), *_]):
            return InputError(f"{shorten(token)!r} is one argument too many", fix=f"see {_help(error)}")
    error.verbose = False
    return InputError(str(error).rstrip("."), fix=f"see {_help(error)}")


def _subject(error: CycloptsError) -> str:
    argument = error.argument
    token = getattr(error, "token", None) or (argument.tokens[0] if argument is not None and argument.tokens else None)
    if token is not None and token.keyword:
        return f"the option {token.keyword}"
    return argument.name if argument is not None else "an argument"


def _help(error: CycloptsError) -> str:
    return " ".join(["payback", *(error.command_chain or ()), "--help"])
