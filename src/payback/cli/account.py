"""`payback account RUN W1[3,7]`: where one weight of a recorded training came from."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from payback.cli.options import Out, whole_number
from payback.cli.program import shorten
from payback.cli.subject import entry_of
from payback.cli.terminal import Output
from payback.errors import InputError
from payback.glass.statement import Statement
from payback.train.runs import open_run


def account(
    run: str,
    entry: Annotated[str, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    start: Annotated[int | None, whole_number("The account opens after this step; by default 0.")] = None,
    stop: Annotated[int | None, whole_number("It closes after this step; by default the last.")] = None,
    by: Annotated[
        Literal["sample", "step", "class"] | None, Parameter(help="Add deposits up; by default one by one.")
    ] = None,
    top: Annotated[int, whole_number("How many of them to print, the largest first.")] = 20,
    out: Out,
) -> None:
    """Show where one weight of a recorded training came from: opening + every deposit = closing.

    A deposit is what one sample did to the weight by one step: its own share of the gradient, then, and carried on by
    momentum in later steps. Weight decay, the optimizer's state at the opening and the rounding of the run's numbers
    have lines of their own, and the statement is added up before it is printed. The run is computed again, by the same
    machine code to the same bits, to find the shares.

    With --json one object, as payback.glass.statement.Statement.to_json describes it, with every deposit.

    Parameters
    ----------
    run
        The folder that payback train --record, or pb.fit(record=...), wrote.
    entry
        A weight, such as W1[3,7] (from input 3 to output 7 of the first layer) or "layers[0].weight[3,7]". Numbers
        count from 0.
    """
    named = entry_of(entry)
    if named is None:
        fix = "write for example W1[3,7] or b1[0]"
        raise InputError(f"{shorten(entry)!r} names no entry", why="it wants a parameter and a place in it", fix=fix)
    if top < 0:
        raise InputError(f"the option --top is {top}", why="it wants a whole number from 0 up")
    made = open_run(run).account(*named, start=start, stop=stop)
    _tell(out, made, by, top)
    out.result(made.to_json())


def _tell(out: Output, made: Statement, by: str | None, top: int) -> None:
    steps = f"steps {made.start + 1:,} to {made.stop:,}" if made.stop > made.start else "no step"
    out.line(f"{made.label}: {steps}, {len(made):,} deposits", style="bold")
    out.line()
    if by is not None:
        sums = made.by(by)
        rows = [(str(key), f"{amount:+.9g}") for key, amount in sums[:top]]
        out.table(rows, headers=(by, "deposits"), align="rr")
        left = len(sums) - len(rows)
    else:
        largest = sorted(made, key=lambda deposit: -abs(deposit.amount))[:top]
        deposits = [
            (str(d.step), str(d.sample), *(f"{x:+.6g}" for x in (d.share, d.at_once, d.carried, d.amount)))
            for d in largest
        ]
        headers = ("step", "sample", "share of gradient", "at once", "carried", "= deposit")
        out.table(deposits, headers=headers, align="rrrrrr")
        left = len(made) - len(largest)
    if left:
        out.line(f"and {left:,} more")
    out.line()
    out.table([(name, f"{amount:+.12g}") for name, amount in made.lines()], headers=("statement", ""), align="lr")
    out.line(f"reconciled: roundings of {made.dtype} come to {abs(made.rounding):.2g}, at most {made.bound:.2g}")
