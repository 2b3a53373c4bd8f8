"""Model folders: `model.safetensors` (the parameters), `model.json` (everything else), `history.jsonl`.

Nothing in a file is executed, imported or looked up by name outside a closed list of layers.  Every file is checked
against its digest before it is used, so a truncated, altered or foreign folder is refused, never half-read.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from payback.errors import InputError, ModelFileError
from payback.io.network import Custom, Spec, build, describe
from payback.nn.module import parameters
from payback.trace.tree import leaves, unflatten

FORMAT, VERSION = "payback model", 1
TENSORS, DOCUMENT, HISTORY = "model.safetensors", "model.json", "history.jsonl"
MAX_DOCUMENT, MAX_TENSORS = 256 * 2**20, 64 * 2**30  # bytes


class Document(msgspec.Struct, forbid_unknown_fields=True):
    """What model.json holds.  digest: of this document without the digest itself; tensors: of model.safetensors."""

    format: str
    version: int
    payback: str
    network: Spec
    tensors: str
    extra: dict[str, Any]
    digest: str = ""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sealed(document: Document) -> bytes:
    document.digest = _digest(msgspec.json.encode(msgspec.structs.replace(document, digest=""), order="deterministic"))
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)


def save_model(
    folder: str | Path, net: Any, *, history: list[dict[str, Any]] | None = None, extra: dict[str, Any] | None = None, overwrite: bool = False
) -> None:
    """Write a network, its history and whatever JSON belongs to it into a folder.

    extra: JSON values (numbers, texts, lists, dicts).  Files are written beside their names and moved into place when
    all are complete.  Raises InputError for a folder that is not empty (unless overwrite=True) or cannot be written.
    """
    from safetensors.numpy import save

    from payback import __version__

    check_folder(folder, overwrite)
    # safetensors 0.8.0 writes arrays that are not C-contiguous wrongly
    tensors = save({name: np.ascontiguousarray(p) for name, p in parameters(net).items()})
    document = Document(FORMAT, VERSION, __version__, describe(net), _digest(tensors), extra or {})
    lines = b"".join(msgspec.json.encode(record) + b"\n" for record in history or [])
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(folder, {TENSORS: tensors, DOCUMENT: _sealed(document), HISTORY: lines})
    except OSError as problem:
        raise InputError("the model cannot be written", where=str(folder), why=problem.strerror or str(problem), fix="choose another folder") from None


def check_folder(folder: str | Path, overwrite: bool = False) -> None:
    """Raises InputError unless a model may be written into the folder: it is new, or empty, or overwrite is said."""
    folder = Path(folder)
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError("the model cannot be written", where=str(folder), why=f"{existing} is a file, not a folder", fix="choose another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError("the model cannot be written", where=str(folder), why=f"there is no permission to write in {existing}",
                         fix="choose another folder")  # fmt: skip
    if folder.exists() and not overwrite and any(folder.iterdir()):
        raise InputError("the folder is not empty", where=str(folder), why="what is in it could be lost", fix="choose another folder, or say overwrite")


def _write_all(folder: Path, files: dict[str, bytes]) -> None:
    written: list[tuple[str, Path]] = []
    try:
        for name, data in files.items():
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
            written.append((temporary, folder / name))
            with os.fdopen(handle, "wb") as stream:
                os.fchmod(stream.fileno(), 0o666 & ~_umask()) if hasattr(os, "fchmod") else None
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        for temporary, target in written:
            os.replace(temporary, target)
    finally:
        for temporary, _ in written:
            if os.path.exists(temporary):
                os.unlink(temporary)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _bytes(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise ModelFileError(f"{path.name} is too large", where=str(path), why=f"the limit is {limit >> 20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"there is no {path.name}", where=str(path.parent), why="a model folder holds model.safetensors and model.json",
                             fix="give the folder that --out or run.save wrote") from None  # fmt: skip
    except OSError as problem:
        raise ModelFileError(f"{path.name} cannot be read", where=str(path), why=problem.strerror or str(problem)) from None


def read_model(folder: str | Path, like: Any = None) -> tuple[Any, Document]:
    """The network of a model folder, and its document.

    like: a network of the same structure; needed for networks that are not made of payback's own layers.
    Raises ModelFileError for a folder that is not a model, is incomplete, or was altered.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    folder = Path(folder)
    if not folder.is_dir():
        why = "it is a file" if folder.exists() else "there is no such folder"
        raise ModelFileError("this is not a model folder", where=str(folder), why=why, fix="give the folder that --out or run.save wrote")
    document = _read_document(folder / DOCUMENT)
    data = _bytes(folder / TENSORS, MAX_TENSORS)
    if _digest(data) != document.tensors:
        raise ModelFileError("model.safetensors is damaged or belongs to another model", where=str(folder / TENSORS),
                             why="its digest is not the one in model.json", fix="copy the folder again from where it was written")  # fmt: skip
    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as problem:
        raise ModelFileError("model.safetensors cannot be read", where=str(folder / TENSORS), why=str(problem)) from None
    if isinstance(document.network, Custom) and like is None:
        raise ModelFileError(f"the model is a {document.network.name}", where=str(folder),
                             why="its code is not in the file, and never would be run from there",
                             fix="make a network of that class and give it: pb.load(folder, like=net)")  # fmt: skip
    net = build(document.network) if like is None else like
    expected = parameters(net)
    for name, p in expected.items():
        found = tensors.get(name)
        if found is None or found.shape != np.shape(p) or found.dtype != np.asarray(p).dtype:
            has = "is missing" if found is None else f"is {found.dtype} of shape {found.shape}"
            raise ModelFileError(f"the parameter {name} {has}", where=str(folder / TENSORS),
                                 why=f"the network wants {np.asarray(p).dtype} of shape {np.shape(p)}")  # fmt: skip
        if not np.isfinite(found).all():
            raise ModelFileError(f"the parameter {name} holds NaN or infinite numbers", where=str(folder / TENSORS))
    if set(tensors) != set(expected):
        raise ModelFileError(f"there are parameters that the network does not have: {', '.join(sorted(set(tensors) - set(expected)))[:200]}",
                             where=str(folder / TENSORS))  # fmt: skip
    return unflatten(net, iter([tensors[name] for name in expected])), document


def _read_document(path: Path) -> Document:
    data = _bytes(path, MAX_DOCUMENT)
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ModelFileError("model.json is not payback's", where=str(path), why=f"its format is not {FORMAT!r}",
                                 fix="give the folder that --out or run.save wrote")  # fmt: skip
        if head.get("version") != VERSION:
            raise ModelFileError(f"the model's version is {head.get('version')!r}", where=str(path), why=f"this payback reads version {VERSION}",
                                 fix="install the payback that wrote it")  # fmt: skip
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as problem:
        raise ModelFileError("model.json is damaged or not payback's", where=str(path), why=str(problem),
                             fix="copy the folder again from where it was written") from None  # fmt: skip
    if document.digest != _digest(msgspec.json.encode(msgspec.structs.replace(document, digest=""), order="deterministic")):
        raise ModelFileError("model.json is damaged or was altered", where=str(path), why="its digest does not agree with its content",
                             fix="copy the folder again from where it was written")  # fmt: skip
    return document


def load(folder: str | Path, like: Any = None) -> Any:
    """The network that `run.save(folder)` or `payback train --out folder` wrote.

    folder: of the model.  like: a network of the same structure, for classes of your own (their code is not in files).
    Raises ModelFileError for a folder that is wrong, truncated, altered or foreign.
    """
    return read_model(folder, like)[0]


__all__ = ["Document", "check_folder", "leaves", "load", "read_model", "save_model"]
