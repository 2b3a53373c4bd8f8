"""One evaluation of a function and of its gradient, node by node, as plain data that can be kept and compared.

It holds every value in order of creation and then every adjoint in the order of the sweep.  The same graph can be run
by the interpreter or as machine code, in float32 or float64, on this input or on another; a file of it is JSON.

The format, version 1: {"format": "payback evaluation", "version": 1, "how", "records": [{kind, name, op, where, shape,
dtype, operands, gross, values}]}; operands are numbers of records; values are flat in row-major order, NaN and
infinities the strings "NaN", "Infinity", "-Infinity".
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from payback import native as machine_code
from payback.ad.algebra import Gradient
from payback.ad.paths import Sizes
from payback.ad.sweep import Entry, everything, sweep
from payback.errors import DifferentiationError, InputError
from payback.files import write_file
from payback.glass.explain import Wrt, leaf_names, named_leaves
from payback.glass.inside import Opened as Inside
from payback.ir.aval import Avals
from payback.ir.graph import Graph
from payback.ir.node import Node, ancestors
from payback.ir.where import position
from payback.ops.row import VARIABLE
from payback.run.interpreter import quietly
from payback.trace.array import Traced
from payback.trace.backward import seed_for
from payback.trace.refusals.leaks import check, close
from payback.trace.shim.shim import call
from payback.trace.tree import leaves, tree_map
from payback.transforms.gradient import Opened

Array = np.ndarray[Any, Any]
FORMAT, VERSION = "payback evaluation", 1
BEGINNING = f'{{"format": "{FORMAT}"'.encode()  # of a file
SILENT = ("const", "cast", "identity", "part")  # nodes that compute nothing of their own
MOST, MOST_BYTES = 10**7, 2**30  # numbers in a file, and its bytes
STEPS = 3000  # operations in loops, that are told apart
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True)
class Record:
    """One value or adjoint.

    kind: "value" or "adjoint".  name: of an input, else the text of its expression, else its operation.  where: the
    user's line.  operands: numbers of the records that it was computed from.  gross: of an adjoint by machine code, how
    large its largest entry would be if no paths cancelled; 0 where that is not known.
    """

    kind: str
    name: str
    op: str
    where: str | None
    operands: tuple[int, ...]
    value: Array
    gross: float = 0.0


@dataclass(frozen=True)
class Evaluation:
    """Records in the order in which they were computed; how: "interpreter" or "machine code"."""

    how: str
    records: tuple[Record, ...]

    def save(self, path: str | Path) -> None:
        """Write it as JSON.  Raises InputError for more than 10 million numbers, or a file that cannot be written."""
        count = sum(record.value.size for record in self.records)
        if count > MOST:
            raise InputError(f"an evaluation of {count:,} numbers", why=f"a file holds up to {MOST:,}")
        data = {
            "format": FORMAT,
            "version": VERSION,
            "how": self.how,
            "records": [
                {"kind": r.kind, "name": r.name, "op": r.op, "where": r.where, "shape": list(r.value.shape),
                 "dtype": r.value.dtype.name, "operands": list(r.operands), "gross": _word(r.gross),
                 "values": [_word(x) for x in r.value.reshape(-1).tolist()]}
                for r in self.records
            ],
        }  # fmt: skip
        try:
            write_file(Path(path), json.dumps(data, ensure_ascii=False, allow_nan=False).encode())
        except OSError as problem:
            raise InputError("the evaluation cannot be written", where=str(path), why=problem.strerror) from None


def evaluate(
    f: Callable[..., Any], *args: Any, dtype: Any = None, native: bool = False, wrt: Wrt = None, **kwargs: Any
) -> Evaluation:
    """Run `f(*args, **kwargs)`, a floating scalar, and its gradient by every floating argument, keeping every node.

    Loops of up to 3,000 operations are told step by step, branches and calls by what is in them.
    dtype: the floating arguments are rounded to it first.  native: machine code computes every node, else the
    interpreter does.  wrt: the gradient by these leaves alone, as `pb.explain` names them.  Raises InputError where
    there is no machine code, and what `pb.grad` raises.

    >>> seen = evaluate(lambda a, b: (a + b) * (b + 1), 2.0, 1.0)
    >>> [(r.kind, r.op, float(r.value)) for r in seen.records[-3:]]
    [('adjoint', 'add', 2.0), ('adjoint', 'input', 5.0), ('adjoint', 'input', 2.0)]
    """
    if dtype is not None:
        args, kwargs = tree_map(lambda leaf: _cast(leaf, np.dtype(dtype)), (args, kwargs))
    return evaluated(f, args, kwargs, native, wrt=wrt)


def evaluated(
    f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], native: bool,
    called: Callable[[Node, list[Node]], Mapping[Node, str]] = lambda top, wrt: {}, wrt: Wrt = None,
) -> Evaluation:  # fmt: skip
    """The same of a call; called: names for some of the nodes of its graph, of the result and the leaves."""
    floating = [i for i, arg in enumerate(args) if _floats(arg)] + [k for k, arg in kwargs.items() if _floats(arg)]
    opened = Opened(f, args, kwargs, floating)
    with np.errstate(all="ignore"):
        out = call(f, opened.args, opened.kwargs)
    given = [node for node in opened.wrt if node is not None]
    close(given)
    if not isinstance(out, Traced):
        raise InputError(
            "the result does not depend on the arguments", why="there is nothing to compare but a constant"
        )
    top = out.node
    check([top], given)
    chosen = given if wrt is None else named_leaves(*leaf_names(f, len(args), opened), wrt)
    names = called(top, given)
    with contextlib.suppress(InputError):  # else a loop is one node
        top = Inside(top, [], STEPS, values=True).top
    forward = [n for n in ancestors([top], min(n.id for n in chosen)) if n.op.name != "const" and _plain(n)]
    return _evaluation(top, chosen, forward, native, names)


def _evaluation(top: Node, wrt: list[Node], forward: list[Node], native: bool, names: Mapping[Node, str]) -> Evaluation:
    algebra = Gradient(on_graph=native)
    piles: dict[Node, list[Entry]] = {}
    with quietly():
        settled = sweep(algebra, {top: algebra.constant(seed_for(top))}, wrt, keep=everything, ledger=piles)
        backward = [n for n in sorted(settled, key=lambda n: -n.id) if _plain(n)]
        bars = [algebra.result(settled[node]) for node in backward]
    if native:
        if not machine_code.available():
            raise InputError("there is no machine code here", why="llvmlite is not installed, or PAYBACK_NATIVE is 0")
        from payback.native.running.program import Program

        graph = Graph(wrt, [*forward, *bars])
        values: Sequence[Any] = Program(graph)(*(node.value for node in wrt))
    else:
        values = (*(node.value for node in forward), *bars)
    gross = _gross(top, wrt) if native else {}
    places = {("value", node): i for i, node in enumerate(forward)}
    places |= {("adjoint", node): len(forward) + i for i, node in enumerate(backward)}
    records = []
    for i, (node, value) in enumerate(zip([*forward, *backward], values, strict=True)):
        if i < len(forward):
            operands = [places.get(("value", arg)) for arg in node.args]
        else:
            payers = [payer for payer, _, _ in piles.get(node, []) if payer is not None]
            operands = [places.get(("adjoint", payer)) for payer in payers]
            operands += [places.get(("value", n)) for payer in payers for n in (*payer.args, payer)]
        kind = "value" if i < len(forward) else "adjoint"
        found = tuple(dict.fromkeys(k for k in operands if k is not None))
        size = gross.get(node, 0.0) if kind == "adjoint" else 0.0
        name, op, where = _named(node)
        records.append(Record(kind, names.get(node, name), op, where, found, np.array(value), size))
    return Evaluation("machine code" if native else "interpreter", _spoken(records))


def _gross(top: Node, wrt: list[Node]) -> dict[Node, float]:
    """The largest entry of Σ |paths| of each node; none where a row has no sizes of paths."""
    with quietly():
        try:
            found = sweep(Sizes(), {top: seed_for(top)}, wrt, keep=everything)
        except DifferentiationError:
            return {}
        return {node: float(np.max(Sizes().dense(bar), initial=0.0)) for node, bar in found.items() if _plain(node)}


def from_nodes(nodes: list[Node], settled: dict[Node, Any], names: dict[Node, str]) -> Evaluation:
    """What is known of these nodes, ascending, as an evaluation; settled: what each is owed."""
    forward = [node for node in nodes if _plain(node)]
    backward = [node for node in reversed(forward) if node in settled]
    number = {node: i for i, node in enumerate(forward)}
    later = {node: len(forward) + i for i, node in enumerate(backward)}
    records = []
    for node in forward:
        _, op, where = _named(node)
        operands = tuple(number[arg] for arg in node.args if arg in number)
        records.append(Record("value", names[node], op, where, operands, np.array(node.value)))
    users: dict[Node, list[Node]] = {}
    for node in backward:
        for arg in node.args:
            users.setdefault(arg, []).append(node)
    for node in backward:
        _, op, where = _named(node)
        payers = users.get(node, [])
        around = [number[n] for payer in payers for n in (*payer.args, payer) if n in number]
        operands = tuple(dict.fromkeys([*(later[payer] for payer in payers), *around]))
        records.append(Record("adjoint", names[node], op, where, operands, np.array(settled[node])))
    return Evaluation("interpreter", _spoken(records))


def _named(node: Node) -> tuple[str, str, str | None]:
    """(name, op, where)."""
    place = position(node.where)
    text = " ".join(place.text.split()) if place else ""
    name = node.params.get("name") or (text if len(text) <= 60 else text[:59] + "…") or node.op.name
    op = "input" if node.op is VARIABLE else str(node.op.name)
    return str(name), op, f"{place.file}:{place.line}" if place else None


def _plain(node: Node) -> bool:
    """Not a node with several results: its parts are looked at instead."""
    return not isinstance(node.aval, Avals)


def _spoken(records: list[Record]) -> tuple[Record, ...]:
    """Without those that compute nothing of their own; who had them as operands has their operands."""
    stands: dict[int, tuple[int, ...]] = {}
    kept: list[Record] = []
    for i, record in enumerate(records):
        operands = tuple(dict.fromkeys(k for j in record.operands for k in stands[j]))
        if record.op in SILENT:
            stands[i] = operands
        else:
            stands[i] = (len(kept),)
            kept.append(record if operands == record.operands else replace(record, operands=operands))
    return tuple(kept)


def _floats(tree: Any) -> bool:
    return any(
        isinstance(leaf, (float, np.floating)) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f")
        for leaf in leaves(tree)
    )


def _cast(leaf: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(leaf, (np.ndarray, np.generic)) and leaf.dtype.kind == "f":
        return leaf.astype(dtype)
    return dtype.type(leaf) if type(leaf) is float else leaf


def _word(number: Any) -> Any:
    if not isinstance(number, float) or math.isfinite(number):
        return number
    return "NaN" if number != number else "Infinity" if number > 0 else "-Infinity"


def load(path: str | Path) -> Evaluation:
    """The evaluation of a file that `save` wrote, or of a ledger's JSON.

    Raises InputError for a file that is not there or is neither, or that leaves out the numbers of an array.
    """
    try:
        facts = Path(path).stat()
        if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):  # it could be endless
            raise OSError(errno.EINVAL, "it is a device or a pipe, not a file")
        if facts.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, f"the limit is {MOST_BYTES >> 20} MiB")
        data = json.loads(Path(path).read_text("utf-8"))
    except OSError as problem:
        raise InputError("the evaluation cannot be read", where=str(path), why=problem.strerror,
                         fix="give a file that --save wrote, FILE.py:function, or two runs") from None  # fmt: skip
    except (ValueError, RecursionError):
        raise InputError("the file is not JSON", where=str(path), fix="give one that was saved") from None
    kind, version = (data.get("format"), data.get("version")) if isinstance(data, dict) else (None, None)
    try:
        if (kind, version) == (FORMAT, VERSION):
            return _from_own(data)
        if (kind, version) == ("payback ledger", 2):
            return _from_ledger(data)
    except InputError as problem:
        raise InputError(problem.what, where=str(path), why=problem.why, fix=problem.fix) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as problem:
        told = f"{type(problem).__name__}: {problem}"
        raise InputError("the file is damaged", where=str(path), why=told[:100]) from None
    raise InputError("the file holds no evaluation", where=str(path), why=f"its format is {kind!r:.40}",
                     fix="save one with --save, or with evaluate(...).save(path)")  # fmt: skip


def _numbers(values: Any) -> list[float]:
    return [_WORDS[value] if isinstance(value, str) else value for value in values]


def _from_own(data: dict[str, Any]) -> Evaluation:
    records = []
    for i, r in enumerate(data["records"]):
        operands = tuple(int(k) for k in r["operands"])
        dtype = np.dtype(str(r["dtype"]))
        if r["kind"] not in ("value", "adjoint") or not all(0 <= k < i for k in operands) or dtype.kind not in "fiub":
            raise ValueError(f"record {i}")
        value = np.array(_numbers(r["values"]), dtype).reshape(r["shape"])
        where = None if r["where"] is None else str(r["where"])
        gross = float(_numbers([r.get("gross", 0.0)])[0])
        records.append(Record(r["kind"], str(r["name"]), str(r["op"]), where, operands, value, gross))
    return Evaluation(str(data["how"]), tuple(records))


def _from_ledger(data: dict[str, Any]) -> Evaluation:
    nodes, places = data["nodes"], data["places"]
    number = {node["name"]: i for i, node in enumerate(nodes)}
    args: dict[str, list[str]] = {}
    users: dict[str, list[str]] = {}
    for edge in data["edges"]:
        args.setdefault(edge["payer"], []).append(edge["arg"])
        users.setdefault(edge["arg"], []).append(edge["payer"])
    settled = [node for node in reversed(nodes) if node["settled"] is not None]
    later = {node["name"]: len(nodes) + i for i, node in enumerate(settled)}
    records: list[Record] = []
    for node in (*nodes, *settled):
        forward = len(records) < len(nodes)
        amount = node["value"] if forward else node["settled"]
        where = None if node["where"] is None else places[node["where"]]
        if forward:
            operands = [number[arg] for arg in args.get(node["name"], ())]
        else:
            payers = users.get(node["name"], ())
            operands = [later[payer] for payer in payers]
            operands += [number[name] for payer in payers for name in (*args[payer], payer)]
        records.append(
            Record("value" if forward else "adjoint", str(node["name"]), str(node["op"]),
                   None if where is None else f"{where['file']}:{where['line']}", tuple(dict.fromkeys(operands)),
                   _amount(amount, node))
        )  # fmt: skip
    return Evaluation("ledger", _spoken(records))


def _amount(amount: Any, node: dict[str, Any]) -> Array:
    if isinstance(amount, dict):
        if amount["values"] is None:
            raise InputError(f"the numbers of {node['name']} are not in the file", why="it is a ledger of large arrays",
                             fix="write it with more values, or save an evaluation")  # fmt: skip
        return np.array(_numbers(amount["values"]), np.dtype(str(amount["dtype"]))).reshape(amount["shape"])
    if isinstance(amount, list):
        raise InputError(f"{node['name']} has several results", why="a ledger's file is compared value by value",
                         fix="save an evaluation instead")  # fmt: skip
    return np.array(_numbers([amount])[0], float)
