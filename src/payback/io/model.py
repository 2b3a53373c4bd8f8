"""Model folders: `model.safetensors` (the parameters), `model.json` (everything else), `history.jsonl`.

Nothing in a file is executed, imported or looked up by name outside a closed list of layers.  Every file is checked
against its digest before it is used, so a truncated, altered or foreign folder is refused, never half-read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from payback import __version__
from payback.errors import InputError, ModelFileError
from payback.files import OLD, write_files
from payback.io.files import read_file
from payback.io.network import Custom, Spec, build, describe
from payback.nn.module import parameters
from payback.trace.tree import unflatten

FORMAT, VERSION = "payback model", 1
TENSORS, DOCUMENT, HISTORY = "model.safetensors", "model.json", "history.jsonl"
MAX_DOCUMENT, MAX_HISTORY, MAX_TENSORS = 256 * 2**20, 2**30, 64 * 2**30  # bytes
_UNSEALED = "0" * 64
_AGAIN = "copy the folder again from where it was written"
_GIVE = "give the folder that --out or run.save wrote"


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """What model.json holds.

    tensors, history: digests of the other two files.  digest: of model.json, 64 zeros standing where the digest does.
    """

    format: str
    version: int
    payback: str
    network: Spec
    tensors: str
    history: str
    extra: dict[str, Any]
    digest: str = _UNSEALED


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sealed(document: Document) -> bytes:
    text = msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)
    before, zeros, after = text.rpartition(_UNSEALED.encode())
    return before + _digest(before + zeros + after).encode() + after


def _is_sealed(data: bytes, digest: str) -> bool:
    """Whether these very bytes are those that were sealed: a file that merely means the same was altered too."""
    before, found, after = data.rpartition(digest.encode() or b"-")
    return bool(found) and _digest(before + _UNSEALED.encode() + after) == digest


def save_model(
    folder: str | Path,
    net: Any,
    *,
    history: list[dict[str, Any]] | None = None,
    extra: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a network, its history and whatever JSON belongs to it into a folder.

    extra: JSON values (numbers, texts, lists, dicts).  All files are written, or none: an older model stays whole.
    Raises InputError for a folder that is not empty (unless overwrite=True) or cannot be written, and for a network
    that could not be read again.
    """
    from safetensors.numpy import save

    check_folder(folder, overwrite)
    spec = describe(net)
    # safetensors 0.8.0 writes arrays that are not C-contiguous wrongly; ascontiguousarray would give scalars an axis
    arrays = {name: np.array(p, order="C") for name, p in parameters(net).items()}
    _check_readable(spec, arrays)
    tensors = save(arrays)
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in history or [])
    document = Document(FORMAT, VERSION, __version__, spec, _digest(tensors), _digest(lines), extra or {})
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _settle(folder)
        write_files(folder, {TENSORS: tensors, HISTORY: lines, DOCUMENT: _sealed(document)})
    except BaseException as problem:
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
        if not isinstance(problem, OSError):
            raise
        raise _unwritable("the model", folder, problem.strerror or str(problem)) from None


def _check_readable(spec: Spec, arrays: dict[str, Any]) -> None:
    """Raises InputError for parameters that no file could give back as they are."""
    if not isinstance(spec, Custom):
        for name, p in parameters(build(spec)).items():
            if arrays[name].dtype != p.dtype or arrays[name].shape != p.shape:
                raise InputError(
                    f"the parameter {name} is {arrays[name].dtype} of shape {arrays[name].shape}",
                    why=f"the rest of its layer makes it {p.dtype} of shape {p.shape}",
                    fix="give all parameters of a layer one dtype",
                )
    for name, p in arrays.items():
        if p.dtype.kind not in "fiub" or p.dtype.itemsize > 8 or not p.dtype.isnative:
            raise InputError(
                f"the parameter {name} is {p.dtype}",
                why="model files hold float16, float32, float64 and whole numbers of this machine's byte order",
            )
        if not np.isfinite(p).all():
            raise InputError(
                f"the parameter {name} holds NaN or infinite numbers",
                why="such a model cannot predict",
                fix="save the network of an earlier step",
            )


def _unwritable(what: str, folder: Path, why: str) -> InputError:
    return InputError(f"{what} cannot be written", where=str(folder), why=why, fix="choose another folder")


def _is_there(path: Path) -> bool:
    """As path.exists(), but a name that cannot be raises: what hides that differs between versions of Python."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_folder(folder: str | Path, overwrite: bool = False, what: str = "the model") -> None:
    """Raises InputError unless a model may be written into the folder: it is new, or empty, or overwrite is said."""
    folder = Path(folder)
    existing = folder
    try:
        while not _is_there(existing) and existing != existing.parent:
            existing = existing.parent
        is_folder = existing.is_dir()
        occupied = is_folder and existing == folder and any(folder.iterdir())
        if is_folder:
            # permissions alone do not tell: the disk may be read-only
            tempfile.TemporaryFile(dir=existing).close()
    except (OSError, ValueError) as problem:  # ValueError: a null character
        why = getattr(problem, "strerror", None) or problem
        raise _unwritable(what, folder, f"no file can be made in {existing}: {why}") from None
    if not is_folder:
        raise _unwritable(what, folder, f"{existing} is a file, not a folder")
    if occupied and not overwrite:
        raise InputError(
            "the folder is not empty",
            where=str(folder),
            why="what is in it could be lost",
            fix="choose another folder, or add --overwrite (in Python overwrite=True)",
        )


def read_model(folder: str | Path, like: Any = None) -> tuple[Any, Document]:
    """The network of a model folder, and its document.

    like: a network of the same structure; needed for networks that are not made of payback's own layers.
    Raises ModelFileError for a folder that is not a model, is incomplete, or was altered.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        why = "it is a file" if os.path.exists(folder) else "there is no such folder"
        raise ModelFileError("this is not a model folder", where=str(folder), why=why, fix=_GIVE)
    document = _read_document(folder / DOCUMENT)
    data = _belonging(folder, TENSORS, document.tensors, MAX_TENSORS)
    _belonging(folder, HISTORY, document.history, MAX_HISTORY)
    tensors = _tensors(data, folder / TENSORS)
    net = network_of(document.network, folder, like)
    expected = parameters(net)
    for name, p in expected.items():
        found = tensors.get(name)
        if found is None or found.shape != np.shape(p) or found.dtype != np.asarray(p).dtype:
            has = "is missing" if found is None else f"is {found.dtype} of shape {found.shape}"
            raise ModelFileError(
                f"the parameter {name} {has}",
                where=str(folder / TENSORS),
                why=f"the network wants {np.asarray(p).dtype} of shape {np.shape(p)}",
            )
        if not np.isfinite(found).all():
            raise ModelFileError(f"the parameter {name} holds NaN or infinite numbers", where=str(folder / TENSORS))
    if set(tensors) != set(expected):
        raise ModelFileError(
            "there are parameters that the network does not have",
            where=str(folder / TENSORS),
            why=", ".join(sorted(set(tensors) - set(expected)))[:200],
        )
    return unflatten(net, iter([tensors[name] for name in expected])), document


def network_of(spec: Spec, folder: Path, like: Any, call: str = "pb.load") -> Any:
    """A network with places for the parameters: built from its description, or the caller's own.

    call: what the caller is to call again with `like`, for the error.
    Raises ModelFileError for a description that cannot be, or that `like` does not have.
    """
    if like is not None and describe(like) == spec:
        return like
    if isinstance(spec, Custom):
        what = f"the model is a {spec.name}" if like is None else f"the network given is a {type(like).__name__}"
        why = (
            "its code is not in the file, and never would be run from there"
            if like is None
            else f"the model is a {spec.name}"
        )
        raise ModelFileError(
            what, where=str(folder), why=why, fix=f"make a network of that class and give it: {call}(folder, like=net)"
        )
    if like is not None:
        raise ModelFileError(
            "the network given is not like the model",
            where=str(folder),
            why="the layers differ",
            fix="leave `like` away",
        )
    try:
        return build(spec)
    except ModelFileError as problem:
        raise ModelFileError(problem.what, where=str(folder / DOCUMENT), why=problem.why, fix=problem.fix) from None


def _belonging(folder: Path, name: str, digest: str, limit: int) -> bytes:
    """The file that model.json speaks of, under its name or, if a writing was cut short, beside it."""
    for path in (folder / name, folder / (name + OLD)):
        with contextlib.suppress(FileNotFoundError):
            data = read_file(path, limit)
            if _digest(data) == digest:
                return data
    if not os.path.lexists(folder / name):
        raise ModelFileError(
            f"there is no {name}",
            where=str(folder),
            why="a model folder holds model.safetensors, model.json and history.jsonl",
            fix=_AGAIN,
        )
    raise ModelFileError(
        f"{name} is damaged or belongs to another model",
        where=str(folder / name),
        why="its digest is not the one in model.json",
        fix=_AGAIN,
    )


def _settle(folder: Path) -> None:
    """Give the files of a model whose successor was never completed their names again."""
    try:
        document = _read_document(folder / DOCUMENT)
    except ModelFileError:
        return
    for name, digest in ((TENSORS, document.tensors), (HISTORY, document.history)):
        old = folder / (name + OLD)
        if old.is_file() and _digest(old.read_bytes()) == digest:
            os.replace(old, folder / name)


def _tensors(data: bytes, path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        return load_tensors(data)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ModelFileError("model.safetensors cannot be read", where=str(path), why=str(problem)) from None


def _read_document(path: Path) -> Document:
    try:
        data = read_file(path, MAX_DOCUMENT)
    except FileNotFoundError:
        if os.path.lexists(path.with_name("run.json")):
            raise ModelFileError(
                "this is not a model folder",
                where=str(path.parent),
                why="it is a recorded training",
                fix="look at it with payback report or pb.open_run, or give the model's folder",
            ) from None
        raise ModelFileError(
            "there is no model.json",
            where=str(path.parent),
            why="a model folder holds model.safetensors, model.json and history.jsonl",
            fix=_GIVE,
        ) from None
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ModelFileError(
                "model.json is not payback's", where=str(path), why=f"its format is not {FORMAT!r}", fix=_GIVE
            )
        if head.get("version") != VERSION:
            raise ModelFileError(
                f"the model's version is {head.get('version')!r:.40}",
                where=str(path),
                why=f"this payback reads version {VERSION}",
                fix="install the payback that wrote it",
            )
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as problem:
        raise ModelFileError(
            "model.json is damaged or not payback's", where=str(path), why=str(problem), fix=_AGAIN
        ) from None
    if not _is_sealed(data, document.digest):
        raise ModelFileError(
            "model.json is damaged or was altered",
            where=str(path),
            why="its digest does not agree with its content",
            fix=_AGAIN,
        )
    return document


def load(folder: str | Path, like: Any = None) -> Any:
    """The network that `run.save(folder)` or `payback train --out folder` wrote.

    folder: of the model.  like: a network of the same structure, for classes of your own (their code is not in files).
    Raises ModelFileError for a folder that is wrong, truncated, altered or foreign.

    >>> import tempfile, numpy as np, payback as pb
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> run = pb.fit(pb.nn.MLP([1, 8, 1], seed=0), X, X[:, 0] ** 2, epochs=3, validation=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(folder)
    ...     net = pb.load(folder)
    >>> bool((net(X) == run.net(X)).all())
    True
    """
    return read_model(folder, like)[0]


__all__ = ["Document", "check_folder", "load", "network_of", "read_model", "save_model"]
