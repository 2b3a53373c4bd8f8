"""A network as the composite function that it is, in one line."""

from __future__ import annotations

from typing import Any

from payback.nn.layers import Activation, Flatten, Linear, Sequential

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def formula(net: Any, result: str = "y") -> str:
    """The function with a letter for each parameter, the first layer innermost.

    >>> import payback as pb
    >>> print(formula(pb.nn.MLP([64, 128, 64, 10])))
    y = W₃·relu(W₂·relu(W₁·x+b₁)+b₂)+b₃
    """
    text, count = "x", 0
    for layer in _flat(net):
        if isinstance(layer, Linear):
            count += 1
            number = str(count).translate(_SUBSCRIPTS)
            inner = f"({text})" if "+" in _outside(text) else text
            text = f"W{number}·{inner}" + (f"+b{number}" if layer.bias is not None else "")
        elif isinstance(layer, Activation):
            text = text if layer.name == "identity" else f"{layer.name}({text})"
        elif isinstance(layer, Flatten):
            text = f"flatten({text})"
        else:
            text = f"{type(layer).__name__}({text})"
    return f"{result} = {text}" + ("+W₀·x" if getattr(net, "skip", None) is not None else "")


def _outside(text: str) -> str:
    """The characters that stand in no bracket."""
    kept, depth = "", 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        kept += character if depth == 0 else ""
    return kept


def weights(net: Any) -> list[tuple[str, tuple[int, ...]]]:
    """The letters of `formula` with their shapes, rows first as they multiply a column x: W₁ is (outputs, inputs).

    >>> import payback as pb
    >>> weights(pb.nn.MLP([64, 10]))
    [('W₁', (10, 64)), ('b₁', (10,))]
    """
    skip = getattr(net, "skip", None)
    found: list[tuple[str, tuple[int, ...]]] = [] if skip is None else [("W₀", skip.shape[::-1])]
    for number, layer in enumerate((part for part in _flat(net) if isinstance(part, Linear)), 1):
        letter = str(number).translate(_SUBSCRIPTS)
        found.append((f"W{letter}", layer.weight.shape[::-1]))
        if layer.bias is not None:
            found.append((f"b{letter}", layer.bias.shape))
    return found


def _flat(net: Any) -> list[Any]:
    if isinstance(net, Sequential):
        return [part for layer in net.layers for part in _flat(layer)]
    return [net]
