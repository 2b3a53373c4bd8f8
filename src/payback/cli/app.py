"""The program's frame: `payback COMMAND …`, one file per command, loaded when it is asked for.

A command is a function of the same name in a file of the same name.  Its signature is its options (cyclopts), its
docstring its help; `out: Out` receives what it prints through.  It returns None or an exit code, and raises
PaybackError for what the user can mend.  To add one, write the file and a line in COMMANDS.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

import payback
from payback.cli.options import GLOBAL, STDIN, in_our_words
from payback.cli.terminal import Output
from payback.errors import PaybackError

# command -> the first line of its help, so that the list of commands loads none of them
COMMANDS = {
    "train": "Train a network on a table: a CSV file, or digits, iris, wine, breast_cancer or moons.",
    "predict": "Predict the target for every row of a table, with a saved model.",
    "evaluate": "Compare a model's predictions with a table's target column.",
    "show": "Show a model: the composite function that it is, its columns, how it was trained.",
    "data": "List the tables that payback carries, or write one of them as CSV.",
    "explain": "Show where a derivative comes from: every value, every partial, every path, every payment.",
    "why-nan": "Find where a NaN or an infinity was born, in a value or in its gradient.",
    "why-zero": "Tell the zeros of a gradient apart: no path, masked, zero partial, underflow, cancellation.",
    "account": "Show where one weight of a recorded training came from: opening + every deposit = closing.",
    "bisect": "Show the first node at which two evaluations of a program part.",
    "demo": "Open the story of back propagation as a page: b is owed 5, why?",
    "report": "Show a recorded training as a page: its map, its curves, where a weight is from, its steps.",
    "audit": "List every place of your own function that cannot be differentiated, in one run.",
    "verify": "Compare what machine code computes for your own function with what the interpreter does.",
    "cache": "Show where compiled code is kept, or remove it.",
}
_INTERRUPTED = 130
_WIDTH = 100  # of help that goes to a file or a pipe
_EPILOGUE = (
    "Every command takes --json (one JSON object on standard output, all text on standard error) and --debug "
    "(the traceback of an error). Exit codes: 2 bad input, 3 a run that failed, 130 interrupted."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on these arguments (default: the process's) and return its exit code.  It never raises.

    >>> main(["--version"])
    payback ...
    0
    """
    tokens, flags = _take_global(list(sys.argv[1:] if argv is None else argv))
    out, debug = Output(json="--json" in flags), "--debug" in flags
    try:
        return _dispatch(tokens, out)
    except KeyboardInterrupt:
        out.error("interrupted")
        return _INTERRUPTED
    except PaybackError as error:
        _trace(debug)
        out.error(error)
        return error.exit_code
    except Exception as error:
        _trace(debug)
        told = f"{type(error).__name__}: {error}"
        out.error(f"internal error: {told}" + ("" if debug else " (run with --debug for the traceback)"))
        return 1


def _take_global(tokens: list[str]) -> tuple[list[str], set[str]]:
    end = tokens.index("--") if "--" in tokens else len(tokens)
    kept = [token for token in tokens[:end] if token not in GLOBAL]
    for i, before in enumerate(kept[:-1]):
        if kept[i + 1] == "-" and not before.startswith("-"):  # after an option it would be its value
            kept[i + 1] = STDIN
    return kept + tokens[end:], set(tokens[:end]).intersection(GLOBAL)


def _dispatch(tokens: list[str], out: Output) -> int:
    if tokens[:1] == ["--version"]:
        out.line(f"payback {payback.__version__}")
        return 0
    styled = sys.stdout is not None and sys.stdout.isatty() and not out.json
    picture = io.StringIO()
    app = App(
        name="payback",
        help="Backpropagation that shows its work: networks trained from tables, gradients explained.",
        help_epilogue=_EPILOGUE,
        help_formatter="default" if styled else "plain",
        version_flags=[],
        console=Console() if styled else Console(file=picture, width=_WIDTH, no_color=True),
    )
    for name, summary in COMMANDS.items():
        word = name.replace("-", "_")
        place = f"payback.cli.{word}:{word}"
        if name in tokens[:1]:
            app.command(place, name=name)  # its docstring is the help
        else:
            app.command(place, name=name, help=summary)
    try:
        command, bound, ignored = app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise in_our_words(error, COMMANDS) from error
    if command != app.help_print:
        return int(command(*bound.args, **bound.kwargs, **({"out": out} if "out" in ignored else {})) or 0)
    command(*bound.args, **bound.kwargs)
    for line in picture.getvalue().rstrip().splitlines():
        out.line(line.rstrip())
    return 0


def _trace(debug: bool) -> None:
    if debug and sys.stderr is not None:
        traceback.print_exc()
