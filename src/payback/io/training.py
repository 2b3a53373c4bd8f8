"""How a training was told to take its steps, as data: optimizers and schedules by name and settings.

Only the closed lists of `optim` are looked up; a class of the user's own is written as its name alone, and whoever
reads the file must supply it again.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from payback.errors import InputError, ModelFileError
from payback.optim.optimizers import OPTIMIZERS, Optimizer
from payback.optim.schedules import SCHEDULES, Schedule

CUSTOM = "custom"
MAX_DEPTH = 20  # schedules inside schedules


def describe_optimizer(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer as numbers and names; {"custom": class name} for a class that is not payback's own.

    >>> from payback.optim import Adam, Cosine
    >>> described = describe_optimizer(Adam(Cosine(0.01)))
    >>> described["name"], described["rate"]
    ('adam', {'name': 'cosine', 'rate': 0.01, 'final': 0.0})
    >>> build_optimizer(described) == Adam(Cosine(0.01))
    True
    """
    try:
        return _described(optimizer, OPTIMIZERS)
    except TypeError:
        return {CUSTOM: type(optimizer).__name__}


def build_optimizer(data: Any) -> Optimizer:
    """The optimizer of such a description.  Raises ModelFileError for one that cannot be."""
    made = _built(data, OPTIMIZERS, "optimizer", 0)
    assert isinstance(made, Optimizer)
    return made


def _described(thing: Any, registry: dict[str, Any]) -> dict[str, Any]:
    name = next((name for name, kind in registry.items() if kind is type(thing)), None)
    if name is None:
        raise TypeError(type(thing).__name__)
    made: dict[str, Any] = {"name": name}
    for field in dataclasses.fields(thing):
        made[field.name] = _value(getattr(thing, field.name))
    return made


def _value(value: Any) -> Any:
    if isinstance(value, Schedule):
        return _described(value, SCHEDULES)
    if isinstance(value, tuple):
        return [str(part) for part in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    return int(value) if isinstance(value, int) else float(value)


def _built(data: Any, registry: dict[str, Any], what: str, depth: int) -> Any:
    if depth > MAX_DEPTH or not isinstance(data, dict):
        raise ModelFileError(f"the {what} of the run is not described", why=f"it is {data!r:.60}")
    settings = dict(data)
    name = settings.pop("name", None)
    kind = registry.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ModelFileError(f"the {what} {name!r:.60} is not known", why=f"known are {', '.join(registry)}")
    known = {field.name for field in dataclasses.fields(kind)}
    if set(settings) != known:
        odd = sorted(map(str, set(settings) ^ known))
        raise ModelFileError(f"the {what} {name} has other settings", why=f"{', '.join(odd)[:200]} should not differ")
    for key, value in settings.items():
        if isinstance(value, dict):
            settings[key] = _built(value, SCHEDULES, "schedule", depth + 1)
        elif isinstance(value, list):
            settings[key] = tuple(map(str, value))
    try:
        return kind(**settings)
    except InputError as problem:
        raise ModelFileError(f"the {what} {name} cannot be", why=str(problem)) from None
