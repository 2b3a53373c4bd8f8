"""A network as the composite function that it is, in one line."""

from __future__ import annotations

from typing import Any

from payback.nn.convolution import Conv
from payback.nn.layers import Activation, Dropout, Flatten, Frozen, Linear, Residual, Sequential

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
Weights = list[tuple[str, tuple[int, ...]]]


def formula(net: Any, result: str = "y") -> str:
    """The function with a letter for each parameter, the first layer innermost; ∗ is a convolution.

    >>> import payback as pb
    >>> print(formula(pb.nn.MLP([64, 128, 64, 10])))
    y = W₃·relu(W₂·relu(W₁·x+b₁)+b₂)+b₃
    """
    return f"{result} = {_compose(net, 'x', [])}"


def weights(net: Any) -> Weights:
    """The letters of `formula` with their shapes, rows first as they multiply a column x: W₁ is (outputs, inputs).

    Those of a convolution are as they are stored.

    >>> import payback as pb
    >>> weights(pb.nn.MLP([64, 10]))
    [('W₁', (10, 64)), ('b₁', (10,))]
    """
    found: Weights = []
    _compose(net, "x", found)
    return found


def _compose(net: Any, text: str, found: Weights) -> str:
    """The text of net(text); the parameters that it names are added to `found`."""
    if isinstance(net, Frozen):
        return _compose(net.frozen, text, found)
    if isinstance(net, Sequential):
        if isinstance(net, Residual) and text not in ("x", "z"):  # which would be told twice, and twice again
            return f"(z ↦ {_compose(net, 'z', found)})({text})"
        composed = text
        for layer in net.layers:
            composed = _compose(layer, composed, found)
        if isinstance(net, Residual):
            return f"{text}+{composed}"
        skip = getattr(net, "skip", None)
        if skip is None:
            return composed
        letter = "W₀" + "′" * sum(name.startswith("W₀") for name, _ in found)
        found.append((letter, skip.shape[::-1]))
        return f"{composed}+{letter}·{_factor(text)}"
    if isinstance(net, (Linear, Conv)):
        number = str(1 + sum(name[0] == "W" and name[1] != "₀" for name, _ in found)).translate(_SUBSCRIPTS)
        linear = isinstance(net, Linear)
        found.append((f"W{number}", net.weight.shape[::-1] if linear else net.weight.shape))
        composed = f"W{number}{'·' if linear else '∗'}{_factor(text)}"
        if net.bias is None:
            return composed
        found.append((f"b{number}", net.bias.shape))
        return f"{composed}+b{number}"
    if isinstance(net, Activation):
        return text if net.name == "identity" else f"{net.name}({text})"
    if isinstance(net, Dropout):  # only while it is trained
        return text
    return f"{'flatten' if isinstance(net, Flatten) else type(net).__name__}({text})"


def _factor(text: str) -> str:
    """The text as a factor of a product: in brackets if it is a sum."""
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "+" and depth == 0:
            return f"({text})"
    return text
