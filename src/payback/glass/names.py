"""What nodes are called: as the user's program calls them, else by letters (numbers) or by their operation (arrays)."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from payback.ir.node import Node, ancestors
from payback.ir.where import position, syntax

MOST = 5000  # nodes that are named after the program
_PARAMETER = re.compile(r"^(.*?)((?:\.layers\[\d+\])*)\.(weight|bias)$")


def letters(used: set[str], inputs: Iterable[str] = ()) -> Iterator[str]:
    """Names for unnamed intermediates, none of them in `used`: the letters after the last one-letter input (after z
    comes a), then v1, v2, ….

    >>> from itertools import islice
    >>> list(islice(letters({"a", "b", "e"}, inputs=("a", "b")), 3))
    ['c', 'd', 'f']
    """
    alphabet = string.ascii_lowercase
    last = max((alphabet.index(name) for name in inputs if len(name) == 1 and name in alphabet), default=-1)
    for letter in alphabet[last + 1 :] + alphabet[: last + 1]:
        if letter not in used:
            yield letter
    number = 0
    while True:
        number += 1
        if f"v{number}" not in used:
            yield f"v{number}"


def parameter_names(paths: Sequence[str]) -> dict[str, str]:
    """Short names for the parameters of a network, W1, b1, W2, …, if there is one and no other thing is called so.

    >>> parameter_names(["net.layers[0].weight", "net.layers[0].bias", "net.layers[2].weight", "x"])
    {'net.layers[0].weight': 'W1', 'net.layers[0].bias': 'b1', 'net.layers[2].weight': 'W2'}
    """
    found: dict[str, str] = {}
    owners: set[str] = set()
    count = 0
    for path in paths:
        match = _PARAMETER.match(path)
        if match is None:
            continue
        owners.add(match[1])
        count += match[3] == "weight"
        found[path] = f"{'W' if match[3] == 'weight' else 'b'}{max(count, 1)}"
    clear = len(owners) == 1 and len(set(found.values())) == len(found)
    return found if clear and not set(found.values()).intersection(paths) else {}


def read_last(top: Node, leaves: Sequence[Node], names: Mapping[Node, str]) -> dict[Node, str]:
    """What the leaf is called that had been read last, for the first time, when a node was made: of a network's nodes
    the layer."""
    unread, last, read = set(leaves), "", {}
    for node in ancestors([top]):
        for arg in node.args:
            if arg in unread:
                unread.discard(arg)
                last = names.get(arg, "")
        read[node] = last
    return read


def name_nodes(nodes: Sequence[Node], named: dict[Node, str]) -> dict[Node, str]:
    """Names for all nodes (ascending): those that they have, those of the user's variables, then letters or operations.

    A node gets a variable's name where the program says `name = …` and the node is what that expression came to; in a
    loop the later ones are h#2, h#3, ….
    """
    names = dict(named)
    if len(nodes) > MOST:
        return names
    assigned: dict[Any, dict[tuple[int, ...], str]] = {}
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        for arg in node.args:
            users.setdefault(arg, []).append(node)
    taken = set(names.values())
    for node in nodes:
        if node in names or node.where is None:
            continue
        place = position(node.where)
        if place is None or any(_same_place(node, user) for user in users.get(node, ())):
            continue
        source = node.where[0] if place.file.startswith("<") else place.file
        if source not in assigned:
            assigned[source] = _assignments(source)
        name = assigned[source].get((place.line, place.column, place.end_line, place.end_column))
        if name is not None:
            names[node] = _free(name, taken)
    rest = [node for node in nodes if node not in names]
    if all(not node.shape for node in nodes) and len(rest) <= len(string.ascii_lowercase):
        inputs = [name for node, name in named.items() if not node.args]
        names |= dict(zip(rest, letters(taken, inputs), strict=False))
        return names
    counts: dict[str, int] = {}
    for node in rest:
        word = {"contract": "product", "const": "k"}.get(node.op.name, node.op.name)
        counts[word] = counts.get(word, 0) + 1
        names[node] = _free(f"{word}{counts[word]}", taken)
    return names


def _same_place(node: Node, user: Node) -> bool:
    return user.where is not None and node.where is not None and user.where[:2] == node.where[:2]


def _free(name: str, taken: set[str]) -> str:
    count, made = 1, name
    while made in taken:
        count += 1
        made = f"{name}#{count}"
    taken.add(made)
    return made


def _assignments(source: Any) -> dict[tuple[int, ...], str]:
    """Where the right sides of `name = …` stand -> the name."""
    found: dict[tuple[int, ...], str] = {}
    for statement in ast.walk(syntax(source)):
        target: Any = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, (ast.AnnAssign, ast.NamedExpr)):
            target = statement.target
        value = getattr(statement, "value", None)
        if isinstance(target, ast.Name) and value is not None:
            place = (value.lineno, value.col_offset, value.end_lineno, value.end_col_offset)
            found[place] = target.id
    return found
