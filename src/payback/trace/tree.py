"""Containers: dicts, lists, tuples, named tuples and dataclasses (modules too), taken apart and put together.

Complex numbers are containers of two real parts (`complex/numbers.py`).  Everything else is a leaf.  None is a
container without leaves.  A dataclass field with the metadata {"static": True} is part of the structure, not a leaf.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from operator import attrgetter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from payback.ir.aval import Aval

_names: WeakKeyDictionary[type, list[str]] = WeakKeyDictionary()  # of dataclasses: the fields that are no structure
_LEAVES = {float, int, bool, str, np.float64, np.float32}  # the most frequent ones, told at once
COMPLEX: set[type] = {complex, np.complex64, np.complex128}  # and the class of traced ones
_PARTS = ["real", "imag"]
_UNCHANGING = {type(None), bool, int, float, str, bytes}
# of further kinds that hold one leaf: what takes it out, and what makes one like another with it
CONTAINERS: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {}
MADE: list[Callable[[Any, Any], Any]] = []  # what makes complex numbers of two parts; filled by `complex/numbers.py`


def is_complex(x: Any) -> bool:
    """Whether it is complex, or an array of such numbers."""
    return type(x) in COMPLEX or (isinstance(x, np.ndarray) and x.dtype.kind == "c")


def _kind(tree: Any) -> type:
    """The type of a container: one for all kinds of complex numbers."""
    return complex if is_complex(tree) else type(tree)


def _parts(tree: Any) -> tuple[list[Any], list[Any]] | None:
    """(children, their keys), or None for a leaf."""
    kind = type(tree)
    if kind in _LEAVES or (kind is np.ndarray and tree.dtype.kind != "c"):
        return None
    if kind is list or kind is tuple:
        return list(tree), list(range(len(tree)))
    if tree is None:
        return [], []
    if isinstance(tree, dict):
        return list(tree.values()), list(tree)
    if is_complex(tree):
        return [tree.real, tree.imag], _PARTS
    if isinstance(tree, tuple) and hasattr(tree, "_fields") and kind is not Aval:
        return list(tree), list(tree._fields)
    if kind in CONTAINERS:
        return [CONTAINERS[kind][0](tree)], ["data"]
    names = _names.get(kind)
    if names is None:
        if not dataclasses.is_dataclass(tree) or isinstance(tree, type):
            return None
        names = _names[kind] = [field.name for field in dataclasses.fields(tree) if not field.metadata.get("static")]
    return [getattr(tree, name) for name in names], names


def _like(tree: Any, children: Iterator[Any]) -> Any:
    """A container like `tree` with other children."""
    kind = type(tree)
    if tree is None:
        return None
    if kind is dict:
        return dict(zip(tree, children, strict=False))
    if isinstance(tree, dict):  # ordered, with defaults, ...
        twin = copy.copy(tree)
        twin.update(zip(tree, children, strict=False))
        return twin
    if kind is list:
        return list(children)
    if kind is tuple:
        return tuple(children)
    if is_complex(tree):
        return MADE[0](next(children), next(children))
    if isinstance(tree, tuple):
        return kind._make(children)
    if kind in CONTAINERS:
        return CONTAINERS[kind][1](tree, next(children))
    twin = object.__new__(kind)
    for field in dataclasses.fields(tree):
        part = getattr(tree, field.name) if field.metadata.get("static") else next(children)
        object.__setattr__(twin, field.name, part)
    return twin


def is_leaf(tree: Any) -> bool:
    return _parts(tree) is None


def leaves(tree: Any) -> list[Any]:
    """The leaves, in order.

    >>> leaves({"w": [1.0, 2.0], "b": (3.0, None)})
    [1.0, 2.0, 3.0]
    """
    parts = _parts(tree)
    if parts is None:
        return [tree]
    return [leaf for child in parts[0] for leaf in leaves(child)]


def leaves_like(tree: Any, other: Any) -> list[Any] | None:
    """What another container has in the places of a tree's leaves, in their order; None where it has no such places.

    Entries of dicts belong together by their keys, wherever they stand.

    >>> leaves_like({"w": [1.0, 2.0], "b": 3.0}, {"b": 6.0, "w": (4.0, None)})
    [4.0, None, 6.0]
    """
    parts = _parts(tree)
    if parts is None:
        return [other] if other is None or is_leaf(other) else None
    others = _parts(other)
    if others is None or len(others[1]) != len(parts[1]) or set(others[1]) != set(parts[1]):
        return None
    there = dict(zip(others[1], others[0], strict=True))
    found: list[Any] = []
    for child, key in zip(*parts, strict=True):
        inner = leaves_like(child, there[key])
        if inner is None:
            return None
        found += inner
    return found


def paths(tree: Any, name: str = "") -> list[str]:
    """What each leaf is called, as one would write it after the container's name.

    >>> paths({"w": [1.0, 2.0], "b": 3.0})
    ["['w'][0]", "['w'][1]", "['b']"]
    """
    parts = _parts(tree)
    if parts is None:
        return [name]
    by_name = dataclasses.is_dataclass(tree) or hasattr(tree, "_fields") or parts[1] is _PARTS
    return [
        path
        for child, key in zip(*parts, strict=True)
        for path in paths(child, f"{name}.{key}" if by_name else f"{name}[{key!r}]")
    ]


def unflatten(tree: Any, values: Iterator[Any]) -> Any:
    """A container like `tree` whose leaves are taken from `values`."""
    parts = _parts(tree)
    if parts is None:
        return next(values)
    return _like(tree, iter([unflatten(child, values) for child in parts[0]]))


def opener(tree: Any, dynamic: Iterable[bool]) -> Callable[[Any], tuple[Any, ...] | None] | None:
    """The dynamic leaves of containers built like this one, quickly: None for one that is built otherwise, or whose
    other leaves are not the same.

    There is none (None) for what holds anything but tuples, lists, dicts, dataclasses and None, or another leaf, or a
    static field, that could change.

    >>> take = opener(((1.0, 2.0), {"b": 3.0}, "mean"), [True, True, True, False])
    >>> take(((4.0, 5.0), {"b": 6.0}, "mean")), take(((4.0, 5.0), {"b": 6.0}, "sum"))
    ((4.0, 5.0, 6.0), None)
    """
    spec = _spec(tree, iter(dynamic))
    if spec is False:
        return None

    def take(given: Any) -> tuple[Any, ...] | None:
        found: list[Any] = []
        return tuple(found) if _open(given, spec, found) else None

    if spec is None or spec[0] is dict or len(spec[2]) != 1 or spec[2][0] is None or not spec[2][0][3]:
        return take
    outer, (kind, keys, _, _) = spec[0], spec[2][0]
    if callable(keys):
        return take

    def take_one(given: Any) -> tuple[Any, ...] | None:  # the same for one argument that holds leaves
        if type(given) is not outer or len(given) != 1:
            return None
        (part,) = given
        if type(part) is not kind or (list(part) if kind is dict else len(part)) != keys:
            return None
        return tuple(part.values() if kind is dict else part)

    return take_one


def _spec(tree: Any, dynamic: Iterator[bool]) -> Any:
    """(type, keys, the specs of its children, whether they are all dynamic leaves); None for a dynamic leaf,
    (None, its value, (), False) for another; False for what has no quick way.  Keys of a dict are its own, of a tuple
    or a list their number, and of a dataclass what reads its fields, static ones last.
    """
    parts = _parts(tree)
    if tree is None or (parts is None and not next(dynamic)):
        return (None, tree, (), False) if type(tree) in _UNCHANGING else False
    if parts is None:
        return None
    kind = type(tree)
    if kind in CONTAINERS:
        return False
    keys: Any = list(tree) if kind is dict else len(parts[0])
    children = [_spec(child, dynamic) for child in parts[0]]
    if dataclasses.is_dataclass(tree):
        fixed = [field.name for field in dataclasses.fields(tree) if field.metadata.get("static")]
        children += [_spec(getattr(tree, name), repeat(False)) for name in fixed]
        names = [*parts[1], *fixed]
        keys = attrgetter(*names) if len(names) > 1 else _reader(names)
    elif kind not in (tuple, list, dict) and not (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return False
    if any(child is False for child in children):
        return False
    return kind, keys, children, not any(children)


def _reader(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """`attrgetter` of one name, or none, gives no tuple."""
    return lambda tree: tuple([getattr(tree, name) for name in names])


def _open(tree: Any, spec: Any, found: list[Any]) -> bool:
    kind, keys, children, flat = spec
    if kind is None:
        return tree is keys or (type(tree) is type(keys) and told(tree) == told(keys))
    if type(tree) is not kind:
        return False
    if callable(keys):
        parts = keys(tree)
    elif (list(tree) if kind is dict else len(tree)) != keys:
        return False
    else:
        parts = tree.values() if kind is dict else tree
    if flat:
        found += parts
        return True
    for part, child in zip(parts, children, strict=True):
        if child is None:
            found.append(part)
        elif not _open(part, child, found):
            return False
    return True


def rebuilder(tree: Any) -> Callable[[Iterator[Any]], Any]:
    """`unflatten` for one container and many sets of leaves: its structure is looked at once.

    >>> rebuilder({"w": [1.0, 2.0], "b": 3.0})(iter("xyz"))
    {'w': ['x', 'y'], 'b': 'z'}
    """
    parts = _parts(tree)
    if parts is None:
        return next
    inner = [rebuilder(child) for child in parts[0]]
    kind = type(tree)
    if kind in (tuple, list):
        if not any(map(_parts, parts[0])):
            count = len(inner)
            return lambda values: kind(islice(values, count))
        return lambda values: kind([build(values) for build in inner])
    if kind is dict:
        keys = list(tree)
        if not any(map(_parts, parts[0])):
            return lambda values: dict(zip(keys, values, strict=False))
        return lambda values: {key: build(values) for key, build in zip(keys, inner, strict=True)}
    if not dataclasses.is_dataclass(tree) or not hasattr(tree, "__dict__") or hasattr(kind, "__slots__"):
        return lambda values: _like(tree, iter([build(values) for build in inner]))
    static = {
        field.name: getattr(tree, field.name) for field in dataclasses.fields(tree) if field.metadata.get("static")
    }
    named = list(zip(parts[1], inner, strict=True))

    def build_all(values: Iterator[Any]) -> Any:
        twin = object.__new__(kind)
        into = twin.__dict__
        into.update(static)
        for name, build in named:
            into[name] = build(values)
        return twin

    return build_all


def told(value: Any) -> Any:
    """What a static value is told from others by: 1, 1.0 and True are three values, 0.0 and -0.0 two, NaN is one."""
    if isinstance(value, float):
        return type(value), float.__repr__(value)
    if isinstance(value, complex):
        return type(value), complex.__repr__(value)
    return type(value), tuple(map(told, value)) if type(value) is tuple else value


def structure(tree: Any) -> Any:
    """A container's structure, static fields of dataclasses included, as a value that can be hashed and compared."""
    parts = _parts(tree)
    if parts is None:
        return None
    fields = dataclasses.fields(tree) if dataclasses.is_dataclass(tree) else ()
    fixed = tuple(told(getattr(tree, field.name)) for field in fields if field.metadata.get("static"))
    return _kind(tree), tuple(parts[1]), fixed, tuple(map(structure, parts[0]))


def _mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    parts = _parts(tree)
    return f(tree) if parts is None else _like(tree, iter([_mapped(f, child) for child in parts[0]]))


def map_named(f: Callable[[Any, str], Any], tree: Any, name: str) -> Any:
    """`f(leaf, what it is called)` on every leaf, in order, in a container like `tree`; see `paths` for the names."""
    parts = _parts(tree)
    if parts is None:
        return f(tree, name)
    children, keys = parts
    if dataclasses.is_dataclass(tree) or hasattr(tree, "_fields") or keys is _PARTS:
        names = [f"{name}.{key}" for key in keys]
    else:
        names = [f"{name}[{key!r}]" for key in keys]
    return _like(tree, iter([map_named(f, child, called) for child, called in zip(children, names, strict=True)]))


def spread_prefix(prefix: Any, tree: Any) -> list[Any] | None:
    """For each leaf of the tree what a prefix says of it; None where the prefix does not fit.

    A prefix is a whole number or None, for all of a container, or a container like it of prefixes.

    >>> spread_prefix((0, {"w": None, "b": 1}), (5.0, {"w": [1.0, 2.0], "b": 3.0}))
    [0, None, None, 1]
    """
    if prefix is None or isinstance(prefix, int):
        return [prefix] * len(leaves(tree))
    parts, others = _parts(prefix), _parts(tree)
    if parts is None or others is None or _kind(prefix) is not _kind(tree) or parts[1] != others[1]:
        return None
    found: list[Any] = []
    for child, part in zip(parts[0], others[0], strict=True):
        spread = spread_prefix(child, part)
        if spread is None:
            return None
        found += spread
    return found


def same_structure(tree: Any, other: Any) -> bool:
    """Whether two containers have their leaves in the same places."""
    parts, others = _parts(tree), _parts(other)
    if parts is None or others is None:
        return parts is None and others is None
    return (
        _kind(tree) is _kind(other)
        and parts[1] == others[1]
        and all(same_structure(a, b) for a, b in zip(parts[0], others[0], strict=True))
    )


def tree_map(f: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """`f` on every leaf, and on the leaves in the same places of others: means of networks, sums of gradients.

    tree, others: tuples, lists, dicts, dataclasses and modules of one structure; leaves are all else.
    Returns a container like tree.
    Raises ValueError when the structures differ.

    >>> import payback as pb
    >>> pb.tree_map(lambda a, b: a + b, {"w": 1.0}, {"w": 2.0})
    {'w': 3.0}
    >>> nets = [pb.nn.MLP([2, 1], seed=seed) for seed in (0, 1)]
    >>> pb.tree_map(lambda mean, new: 0.9 * mean + 0.1 * new, *nets).layers[0].weight.shape
    (2, 1)
    """
    for other in others:
        if not same_structure(tree, other):
            raise ValueError(f"containers of different structure: {paths(tree)} and {paths(other)}")
    if not others:
        return _mapped(f, tree)
    columns = [leaves(other) for other in others]
    return unflatten(tree, iter([f(*row) for row in zip(leaves(tree), *columns, strict=True)]))
