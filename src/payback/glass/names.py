"""What nodes are called: as the user's program calls them, else by letters (numbers) or by their operation (arrays)."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from payback.glass.bound import Bound, identifiers, of_operator
from payback.ir.node import Node, ancestors

MOST = 200_000  # nodes that are named after the program
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

    A node gets the name of what the program assigns it to (a variable, an attribute, an item, one of several targets of
    a loop); in a loop the later ones are h#2, h#3, ….  Letters are none of the program's own variables.
    """
    names = dict(named)
    if len(nodes) > MOST:
        return names
    users: dict[Node, list[Node]] = {}
    for node in nodes:
        for arg in node.args:
            users.setdefault(arg, []).append(node)
    taken = set(names.values())
    bound, rounds = Bound(nodes[-1] if nodes else None), _rounds(nodes)
    used: dict[str, int] = {}
    for node in nodes:
        if node in names or node.where is None or (node.op.name == "cast" and of_operator(node.where)):
            continue
        if any(_goes_on(node, user, rounds) for user in users.get(node, ())):
            continue
        name = bound.name(node, names)
        if name:
            names[node] = _free(name, taken, used)
    rest = [node for node in nodes if node not in names]
    if all(not node.shape for node in nodes) and len(rest) <= len(string.ascii_lowercase):
        inputs = [name for node, name in named.items() if not node.args]
        names |= dict(zip(rest, letters(taken | identifiers(nodes), inputs), strict=False))
        return names
    counts: dict[str, int] = {}
    for node in rest:
        word = {"contract": "product", "const": "k"}.get(node.op.name, node.op.name)
        counts[word] = counts.get(word, 0) + 1
        while f"{word}{counts[word]}" in taken:
            counts[word] += 1
        names[node] = f"{word}{counts[word]}"
    return names


def _rounds(nodes: Sequence[Node]) -> dict[Node, int]:
    """Of nodes that one instruction has made: the same number where nothing else of its code ran in between."""
    last: dict[Any, int] = {}
    number: dict[Any, int] = {}
    rounds: dict[Node, int] = {}
    for node in nodes:
        if node.where is not None:
            code, offset = node.where[:2]
            if last.get(code) != offset:
                number[code] = number.get(code, 0) + 1
            last[code] = offset
            rounds[node] = number[code]
    return rounds


def _goes_on(node: Node, user: Node, rounds: Mapping[Node, int]) -> bool:
    """Whether a node is a step of the same evaluation of an expression as its user is, not of an earlier round."""
    if user.where is None or node.where is None or user.where[:2] != node.where[:2]:
        return False
    return rounds[node] == rounds[user] and not (user.op is node.op and of_operator(node.where))


def _free(name: str, taken: set[str], used: dict[str, int]) -> str:
    count = used.get(name, 1)
    made = name if count == 1 else f"{name}#{count}"
    while made in taken:
        count += 1
        made = f"{name}#{count}"
    taken.add(made)
    used[name] = count
    return made
