"""Run folders: a recorded training on disk.

`run.json`               what the training was told, sealed by its own digest; written first
`data.safetensors`       the rows as they were trained on (unless they are too many, or were not to be stored)
`state-N.safetensors`    parameters and the optimizer's arrays after N steps
`log.jsonl`              what happened, a line a step, epoch, state and end; each seals itself and all before it

Files appear whole or not at all, and a line counts when its end is there: a run can be read while it is written, and
after it was cut short.  Nothing in a file is executed, imported or looked up outside closed lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from payback.errors import InputError, ModelFileError
from payback.files import write_file
from payback.io.files import read_file
from payback.io.network import Spec

FORMAT, VERSION = "payback run", 1
DOCUMENT, DATA, LOG = "run.json", "data.safetensors", "log.jsonl"
MAX_DOCUMENT, MAX_LOG, MAX_TENSORS = 2**24, 2**32, 64 * 2**30  # bytes
_UNSEALED = "0" * 64
_SEAL = b',"seal":"'
_GIVE = "give the folder that record= or --record named"

Array = np.ndarray[Any, Any]


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """An array that a file holds or the caller brings: its dtype, its shape, and a digest of its entries."""

    dtype: str
    shape: list[int]
    digest: str


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """What run.json holds.

    parameters   their names and places at the beginning.  loss: its name, or null for a function of the caller's.
    optimizer    see `io.training`.  data: by name (X, y, weights, held_X, …), as they were trained on.
    native       whether steps ran as machine code, and on which CPU (`machine`): the same bits need the same.
    first        the number of steps before the first state.  every: steps from one state to the next.
    """

    format: str
    version: int
    payback: str
    network: Spec
    parameters: dict[str, Place]
    loss: str | None
    optimizer: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, Place]
    stored: bool
    native: bool
    machine: str
    first: int
    every: int
    digest: str = _UNSEALED


class Step(msgspec.Struct, tag="step", tag_field="kind", forbid_unknown_fields=True):
    """One step: n from 1; rows: the digest of its batch's row numbers; weights: of the parameters after it."""

    n: int
    epoch: int
    rows: str
    size: int
    rate: float
    cost: float
    norm: float
    length: float
    weights: str


class State(msgspec.Struct, tag="state", tag_field="kind", forbid_unknown_fields=True):
    """Parameters and state after n steps were written.  digest: of the file; weights: of the parameters."""

    n: int
    digest: str
    weights: str


class Epoch(msgspec.Struct, tag="epoch", tag_field="kind", forbid_unknown_fields=True):
    """What the history says of an epoch; numbers that are not finite as texts."""

    record: dict[str, int | float | str | None]


class Failed(msgspec.Struct, tag="failed", tag_field="kind", forbid_unknown_fields=True):
    """A step that was not applied, because one of its numbers is not finite."""

    n: int
    epoch: int
    rows: str
    size: int
    rate: float
    cost: float | str
    norm: float | str
    length: float | str


class End(msgspec.Struct, tag="end", tag_field="kind", forbid_unknown_fields=True):
    """The last line of a run that came to its end."""

    stopped: str
    best_epoch: int
    steps: int


Line = Step | State | Epoch | Failed | End
_decoder = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


class Read(NamedTuple):
    """A run as it is on disk.  cut: there was a last line without an end, which does not count."""

    folder: Path
    document: Document
    lines: list[Any]
    cut: bool


def place(array: Array) -> Place:
    """Where and what an array is."""
    return Place(array.dtype.newbyteorder("=").str.lstrip("<>=|"), list(array.shape), digest([array]))


def digest(arrays: Any) -> str:
    """SHA-256 of arrays, one after the other: dtype, shape and entries, little-endian, in C order.

    >>> digest([np.zeros(2)]) == digest([np.zeros(2)]), digest([np.zeros(2)]) == digest([-np.zeros(2)])
    (True, False)
    """
    found = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        found.update(f"{plain.dtype.str}{array.shape}".encode())
        found.update(plain.data if plain.size else b"")
    return found.hexdigest()


def state_name(n: int) -> str:
    return f"state-{n}.safetensors"


def tensors(arrays: Mapping[str, Array]) -> bytes:
    """The arrays as a safetensors file."""
    from safetensors.numpy import save

    # safetensors 0.8.0 writes arrays that are not C-contiguous wrongly
    return save({name: np.array(array, array.dtype.newbyteorder("="), order="C") for name, array in arrays.items()})


class Writer:
    """A run folder that is being written.  Lines are kept until `flush`; raises InputError where that fails."""

    def __init__(self, folder: Path, document: Document, data: Mapping[str, Array]):
        self.folder = folder
        self._lines: list[bytes] = []
        self._seal = _UNSEALED
        self._begun = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            clear(folder)  # the run that is overwritten
            if document.stored:
                write_file(folder / DATA, tensors(data))
            (folder / LOG).touch()
            write_file(folder / DOCUMENT, _sealed(document))
        except OSError as problem:
            raise self._unwritable(problem) from None
        self._begun = True

    def _unwritable(self, problem: OSError) -> InputError:
        why, fix = problem.strerror or str(problem), "choose another folder"
        if self._begun:
            fix = f"make room and go on from its last whole epoch, with resume={str(self.folder)!r} or --resume"
        return InputError("the run cannot be recorded", where=str(self.folder), why=why, fix=fix)

    def line(self, line: Any) -> None:
        body = _encoder.encode(line)
        self._seal = _chained(self._seal, body)
        self._lines.append(body[:-1] + _SEAL + self._seal[:16].encode() + b'"}\n')

    def state(self, n: int, arrays: Mapping[str, Array], weights: str) -> None:
        """Write the state after n steps; its line comes when the file is there."""
        data = tensors(arrays)
        self.flush()
        try:
            write_file(self.folder / state_name(n), data)
        except OSError as problem:
            raise self._unwritable(problem) from None
        self.line(State(n, hashlib.sha256(data).hexdigest(), weights))
        self.flush()

    def flush(self) -> None:
        """What was told so far is on disk, for whoever reads."""
        try:
            with (self.folder / LOG).open("ab") as log:
                log.write(b"".join(self._lines))
        except OSError as problem:
            raise self._unwritable(problem) from None
        self._lines.clear()


def start_name(k: int) -> str:
    """Where the k-th of several trainings is recorded, from 1, in a folder for all of them."""
    return f"start-{k}"


def clear(folder: Path) -> None:
    """Take away the run of a folder, and those of the several trainings that may have been recorded in it.

    Raises OSError.
    """
    for name in (DOCUMENT, LOG, DATA, *(path.name for path in folder.glob("state-*.safetensors"))):
        (folder / name).unlink(missing_ok=True)
    for start in _starts(folder):
        clear(start)
        if not any(start.iterdir()):
            start.rmdir()


def _starts(folder: Path) -> list[Path]:
    found = {k: folder / start_name(k) for k in range(1, 1 + sum(1 for _ in folder.glob("start-*")))}
    return [path for path in found.values() if (path / DOCUMENT).is_file()]


def _chained(seal: str, body: bytes) -> str:
    return hashlib.sha256(seal.encode() + body).hexdigest()


def _sealed(document: Document) -> bytes:
    text = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)
    before, zeros, after = text.rpartition(_UNSEALED.encode())
    return before + hashlib.sha256(before + zeros + after).hexdigest().encode() + after


def read_run(folder: str | Path) -> Read:
    """The run of a folder.  Raises ModelFileError for one that is no run, was damaged or altered."""
    folder = Path(folder)
    if not folder.is_dir():
        why = "it is a file" if folder.exists() else "there is no such folder"
        raise ModelFileError("this is not a run folder", where=str(folder), why=why, fix=_GIVE)
    document = _document(folder / DOCUMENT)
    lines, cut = _log_of(folder / LOG, document.first)
    return Read(folder, document, lines, cut)


def _document(path: Path) -> Document:
    try:
        data = read_file(path, MAX_DOCUMENT)
    except FileNotFoundError:
        starts = _starts(path.parent)
        if starts:
            why = f"it holds the recordings of {len(starts)} trainings from different initial weights"
            raise ModelFileError("the folder is not a run itself", where=str(path.parent), why=why,
                                 fix=f"give one of them: {starts[0]}") from None  # fmt: skip
        model = "it is a model" if path.with_name("model.json").exists() else None
        raise ModelFileError("there is no run.json", where=str(path.parent), why=model, fix=_GIVE) from None
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("version") != VERSION:
            why = f"this payback reads {FORMAT!r}, version {VERSION}"
            raise ModelFileError("run.json is not a run that can be read", where=str(path), why=why, fix=_GIVE)
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as problem:
        raise ModelFileError("run.json is damaged", where=str(path), why=str(problem)) from None
    before, found, after = data.rpartition(document.digest.encode() or b"-")
    if not found or hashlib.sha256(before + _UNSEALED.encode() + after).hexdigest() != document.digest:
        raise ModelFileError("run.json is damaged or was altered", where=str(path), why="its digest says so")
    return document


def _log_of(path: Path, first: int) -> tuple[list[Any], bool]:
    try:
        data = read_file(path, MAX_LOG)
    except FileNotFoundError:
        raise ModelFileError("there is no log.jsonl", where=str(path.parent), fix=_GIVE) from None
    *whole, rest = data.split(b"\n")
    seal, made, steps = _UNSEALED, [], first
    for number, text in enumerate(whole, 1):
        where = f"{path}:{number}"
        before, found, told = text.rpartition(_SEAL)
        body = before + b"}"
        seal = _chained(seal, body)
        if not found or told != seal[:16].encode() + b'"}':
            raise ModelFileError("the log was damaged or altered", where=where, why="its seal does not agree with it")
        try:
            line: Any = _decoder.decode(body)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as problem:
            raise ModelFileError("the log is not payback's", where=where, why=str(problem)) from None
        if isinstance(line, Step):
            steps += 1
            if line.n != steps:
                raise ModelFileError(f"step {line.n} follows step {steps - 1}", where=where)
        made.append(line)
    return made, bool(rest)


def read_arrays(folder: Path, name: str, sealed: str | None = None) -> dict[str, Array]:
    """The arrays of a file of the folder.  sealed: the digest that it must have.  Raises ModelFileError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / name
    try:
        data = read_file(path, MAX_TENSORS)
    except FileNotFoundError:
        raise ModelFileError(f"there is no {name}", where=str(folder), why="the run speaks of it") from None
    if sealed is not None and hashlib.sha256(data).hexdigest() != sealed:
        raise ModelFileError(f"{name} is damaged", where=str(path), why="its digest is not the one in the log")
    try:
        found: dict[str, Array] = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelFileError(f"{name} cannot be read", where=str(path), why=str(problem)) from None
    return found
