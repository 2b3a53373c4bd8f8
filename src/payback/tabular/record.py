"""Strict reading of the part of a model file that this package wrote."""

from __future__ import annotations

from typing import Any, TypeVar

from payback.errors import ModelFileError

T = TypeVar("T")
MAX_ITEMS = 1_000_000


def take(record: object, part: str, keys: set[str]) -> dict[str, Any]:
    """`record` as a dict with exactly these keys; raises ModelFileError."""
    if not isinstance(record, dict) or set(record) != keys:
        found = sorted(map(str, record))[:10] if isinstance(record, dict) else type(record).__name__
        raise ModelFileError(f"the {part} in the model file is wrong", why=f"expected {sorted(keys)}, found {found}")
    return record


def convert(value: object, kind: type[T], part: str) -> T:
    """`value` as plain data of this type, checked strictly (an int may stand for a float, nothing else is converted);
    a dataclass also checks itself.  Raises ModelFileError."""
    import msgspec

    if isinstance(value, (list, dict)) and len(value) > MAX_ITEMS:
        raise ModelFileError(f"the {part} in the model file is too large", why=f"more than {MAX_ITEMS:,} items")
    try:
        return msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, ValueError, TypeError) as error:
        raise ModelFileError(f"the {part} in the model file is wrong", why=str(error)) from None
