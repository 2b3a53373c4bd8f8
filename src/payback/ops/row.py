"""What a row of the table is.

A rule is written once, against a namespace `m` (see `namespace.py`), and run by every interpreter: on
values, on graphs, in machine code.  There are five kinds of rows:

pointwise   a partial per argument, as on the article's edges; a sweep multiplies by it
linear      an adjoint per argument; `carry` says how a mask goes through it
reduction   every entry of the argument goes into one entry of the result; a partial after spreading it
own         a rule of its own for each mode: factorizations, loops, calls; it may have several results (a tuple), which
            `part` nodes take out one by one
constant    whole numbers found from the arguments, an order or a place: no derivative by any of them

A row whose derivative is unknown says so by raising; a slot whose partial is None has no derivative at all
(a structural zero: a condition, an index, a step function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from payback.ir.aval import Aval

Rule = Callable[..., Any]
TABLE: dict[str, Row] = {}
_MOST_ARGUMENTS = 4  # of a constant row


def like_first(x: Aval, *_: Aval, **__: Any) -> Aval:
    """The shape rule of rows whose result is as the first argument is."""
    return Aval(x.shape, x.dtype)


class Row:
    """One primitive.

    name      how it is called in `m`, in graphs and in texts
    kind      "leaf", "pointwise", "linear", "reduction", "own" or "constant"
    value     value(m, *args, **params): what it computes
    shape     shape(*avals, **params) -> Aval
    partials  pointwise: per slot, partial(m, *args, y), or None; reduction: one, partial(m, x, y_spread)
    adjoint   linear: adjoint(m, bar, slot, args, **params) -> what the argument in that slot is paid
    carry     linear: the same for a boolean mask on bar, where the adjoint only moves entries; or None
    vjp       own: vjp(m, bar, args, y, wanted, **params) -> what each argument is paid, a list (None: nothing);
              `wanted` holds the slots that someone asks for.  With several results `bar` is a list too, None where
              nothing is owed
    jvp       own: jvp(m, dots, args, y, **params) -> the result's tangent (a list of several; None: it does not move);
              `dots` holds the tangents of the slots that move
    batch     how the row runs on a batch, see `ops/batching.py`: a rule, or "leading" (it takes leading axes as they
              are), or "axis" (its parameter `axis` moves by one).  Pointwise rows and reductions need none; any other
              row without one is run on one sample after another
    masked    own: whether the vjp takes adjoints with their masks, `value` and `mask`, where they have any; "both": and
              the jvp tangents with theirs.  What such a rule answers may be a `m.select(mask, value, None)`
    depends   own: depends(slot, *avals, **params) -> two integer arrays that broadcast to the shapes of that argument
              and of the result: entries of one number depend on each other, others do not; without it all do
    numeric   the dtype rule: "same" (arguments are promoted to one dtype), "float" (and to a floating one), "wide"
              (and to one that the function has a loop for), "bool"
    listed    whether it stands in the table, for all to use: machine code has a few of its own
    no_edge   the slots without a derivative; arguments that are not floating have none either
    facts     math, kink, flat, domain: texts about the derivative, for people
    """

    __slots__ = (
        "adjoint",
        "batch",
        "carry",
        "depends",
        "facts",
        "jvp",
        "kind",
        "masked",
        "name",
        "no_edge",
        "numeric",
        "partials",
        "scalar",
        "shape",
        "value",
        "vjp",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        value: Rule | None = None,
        *,
        shape: Callable[..., Aval] | None = None,
        partials: Sequence[Rule | None] = (),
        adjoint: Rule | None = None,
        carry: Rule | None = None,
        vjp: Rule | None = None,
        jvp: Rule | None = None,
        batch: Rule | str | None = None,
        masked: bool | str = False,
        depends: Rule | None = None,
        numeric: str = "same",
        listed: bool = True,
        **facts: str,
    ):
        self.name, self.kind, self.value, self.shape = name, kind, value, shape
        self.partials, self.adjoint, self.carry = tuple(partials), adjoint, carry
        self.vjp, self.jvp, self.batch = vjp, jvp, batch
        self.masked, self.depends = masked, depends
        self.numeric, self.facts = numeric, facts
        self.no_edge = frozenset(slot for slot, partial in enumerate(self.partials) if partial is None)
        if kind == "constant":
            self.no_edge = frozenset(range(_MOST_ARGUMENTS))
        # whether `ad/scalars.py` takes it: of one or two numbers, with a derivative by each
        self.scalar = kind == "pointwise" and not self.no_edge and len(self.partials) <= 2
        if listed and name in TABLE:
            raise ValueError(f"the row {name} is in the table already")
        if listed:
            TABLE[name] = self

    def __repr__(self) -> str:
        return f"<row {self.name}>"


# The partials of most edges, by name: sweeps on values know them, and call nothing.


def one(m: Any, *args: Any) -> float:
    return 1.0


def minus_one(m: Any, *args: Any) -> float:
    return -1.0


def first(m: Any, a: Any, b: Any, y: Any) -> Any:
    return a


def result(m: Any, x: Any, y: Any) -> Any:
    return y


def second(m: Any, a: Any, b: Any, y: Any) -> Any:
    return b


INPUT = Row("input", "leaf")
VARIABLE = Row("variable", "leaf")
CONST = Row("const", "leaf")
