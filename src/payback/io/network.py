"""Networks as data: a closed list of layers, each with the sizes that it is built from."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from payback.errors import InputError, ModelFileError
from payback.nn.activations import ACTIVATIONS
from payback.nn.layers import MLP, Activation, Dropout, Embedding, Flatten, Linear, Sequential

MAX_PARAMETERS = 2**34
MAX_DEPTH = 50

DType = Literal["float16", "float32", "float64"]


class LinearSpec(msgspec.Struct, tag="linear", tag_field="layer", forbid_unknown_fields=True):
    n_in: int
    n_out: int
    bias: bool
    dtype: DType


class ActivationSpec(msgspec.Struct, tag="activation", tag_field="layer", forbid_unknown_fields=True):
    name: str


class FlattenSpec(msgspec.Struct, tag="flatten", tag_field="layer", forbid_unknown_fields=True):
    pass


class DropoutSpec(msgspec.Struct, tag="dropout", tag_field="layer", forbid_unknown_fields=True):
    rate: float


class EmbeddingSpec(msgspec.Struct, tag="embedding", tag_field="layer", forbid_unknown_fields=True):
    count: int
    size: int
    dtype: DType


class SequentialSpec(msgspec.Struct, tag="sequential", tag_field="layer", forbid_unknown_fields=True):
    layers: list[LinearSpec | ActivationSpec | FlattenSpec | DropoutSpec | EmbeddingSpec | MLPSpec | SequentialSpec]


class MLPSpec(msgspec.Struct, tag="mlp", tag_field="layer", forbid_unknown_fields=True):
    layers: list[LinearSpec | ActivationSpec | DropoutSpec]
    skip: bool


class Custom(msgspec.Struct, tag="custom", tag_field="layer", forbid_unknown_fields=True):
    """A network of the user's own class: only its name is written, and it must be supplied again."""

    name: str


Spec = LinearSpec | ActivationSpec | FlattenSpec | DropoutSpec | EmbeddingSpec | MLPSpec | SequentialSpec | Custom


def describe(net: Any) -> Spec:
    """The network as data; a `Custom` if any part of it is not one of payback's own layers.

    Raises InputError for a network that is nested too deeply to be read again.
    """
    try:
        return _describe(net)
    except TypeError:
        return Custom(type(net).__name__)


def _describe(net: Any, depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise InputError(
            "the network is nested too deeply",
            why=f"the limit of model files is {MAX_DEPTH}",
            fix="put the layers into one Sequential",
        )
    if type(net) is Linear:
        n_in, n_out = net.weight.shape
        return LinearSpec(int(n_in), int(n_out), net.bias is not None, net.weight.dtype.name)
    if type(net) is Activation:
        return ActivationSpec(net.name)
    if type(net) is Flatten:
        return FlattenSpec()
    if type(net) is Dropout:
        return DropoutSpec(net.rate)
    if type(net) is Embedding:
        count, size = net.table.shape
        return EmbeddingSpec(int(count), int(size), net.table.dtype.name)
    if type(net) is MLP:
        return MLPSpec([_describe(layer, depth + 1) for layer in net.layers], net.skip is not None)
    if type(net) is Sequential:
        return SequentialSpec([_describe(layer, depth + 1) for layer in net.layers])
    raise TypeError(type(net).__name__)


def build(spec: Spec, depth: int = 0) -> Any:
    """A network of this description, its parameters still zero.  Raises ModelFileError for sizes that cannot be."""
    if depth > MAX_DEPTH:
        raise ModelFileError("the network is nested too deeply", why=f"the limit is {MAX_DEPTH}")
    match spec:
        case LinearSpec():
            if not (spec.n_in >= 1 and spec.n_out >= 1 and spec.n_in * spec.n_out <= MAX_PARAMETERS):
                raise ModelFileError(
                    f"a layer of {spec.n_in} inputs and {spec.n_out} outputs", why="no such layer can be"
                )
            layer = object.__new__(Linear)
            object.__setattr__(layer, "weight", _zeros((spec.n_in, spec.n_out), spec.dtype))
            object.__setattr__(layer, "bias", _zeros((spec.n_out,), spec.dtype) if spec.bias else None)
            return layer
        case ActivationSpec():
            if spec.name not in ACTIVATIONS:
                raise ModelFileError(
                    f"the activation {spec.name!r} is not known", why=f"known are {', '.join(ACTIVATIONS)}"
                )
            return Activation(spec.name)
        case FlattenSpec():
            return Flatten()
        case EmbeddingSpec():
            if not (spec.count >= 1 and spec.size >= 1 and spec.count * spec.size <= MAX_PARAMETERS):
                raise ModelFileError(f"an embedding of {spec.count} rows of {spec.size}", why="no such layer can be")
            return object.__new__(Embedding).replace(table=_zeros((spec.count, spec.size), spec.dtype))
        case DropoutSpec():
            if not 0 <= spec.rate < 1:
                raise ModelFileError(f"a dropout of {spec.rate}", why="no such layer can be")
            return Dropout(spec.rate)
        case MLPSpec(layers=[LinearSpec() as first, *_]) if isinstance(spec.layers[-1], LinearSpec):
            mlp = object.__new__(MLP)
            object.__setattr__(mlp, "layers", tuple(build(layer, depth + 1) for layer in spec.layers))
            skip = _zeros((first.n_in, spec.layers[-1].n_out), first.dtype) if spec.skip else None
            object.__setattr__(mlp, "skip", skip)
            return mlp
        case SequentialSpec():
            return Sequential(*(build(layer, depth + 1) for layer in spec.layers))
    raise ModelFileError("the network is none that can be", why="an MLP begins and ends with linear layers")


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    """A view of one zero: nothing is allocated before the file proves that it has the numbers."""
    return np.broadcast_to(np.zeros((), dtype), shape)
