"""Networks as data: a closed list of layers, each with the sizes that it is built from."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import msgspec
import numpy as np

from payback import random
from payback.errors import InputError, ModelFileError
from payback.nn.activations import ACTIVATIONS
from payback.nn.convolution import Conv, MaxPool, MeanPool
from payback.nn.layers import MLP, Activation, Dropout, Embedding, Flatten, Linear, Residual, Sequential
from payback.nn.normalization import LayerNorm, RMSNorm

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


class NormSpec(msgspec.Struct, tag="norm", tag_field="layer", forbid_unknown_fields=True):
    of: Literal["layer", "rms"]
    size: int
    epsilon: float
    dtype: DType


class ConvSpec(msgspec.Struct, tag="conv", tag_field="layer", forbid_unknown_fields=True):
    n_in: int
    n_out: int
    size: list[int]
    stride: int
    padding: Literal["valid", "same"]
    bias: bool
    dtype: DType


class PoolSpec(msgspec.Struct, tag="pool", tag_field="layer", forbid_unknown_fields=True):
    of: Literal["max", "mean"]
    size: list[int]


class SequentialSpec(msgspec.Struct, tag="sequential", tag_field="layer", forbid_unknown_fields=True):
    layers: list[Layer]


class ResidualSpec(msgspec.Struct, tag="residual", tag_field="layer", forbid_unknown_fields=True):
    layers: list[Layer]


class MLPSpec(msgspec.Struct, tag="mlp", tag_field="layer", forbid_unknown_fields=True):
    layers: list[LinearSpec | ActivationSpec | DropoutSpec]
    skip: bool


class Custom(msgspec.Struct, tag="custom", tag_field="layer", forbid_unknown_fields=True):
    """A network of the user's own class: only its name is written, and it must be supplied again."""

    name: str


Layer = (
    LinearSpec | ActivationSpec | FlattenSpec | DropoutSpec | EmbeddingSpec | NormSpec | ConvSpec
    | PoolSpec | MLPSpec | SequentialSpec | ResidualSpec
)  # fmt: skip
Spec = Layer | Custom


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
    if type(net) in (LayerNorm, RMSNorm):
        of: Literal["layer", "rms"] = "layer" if type(net) is LayerNorm else "rms"
        return NormSpec(of, len(net.scale), net.epsilon, net.scale.dtype.name)
    if type(net) is Conv:
        *size, n_in, n_out = net.weight.shape
        padding: Literal["valid", "same"] = "same" if net.padding == "same" else "valid"
        return ConvSpec(n_in, n_out, size, net.stride, padding, net.bias is not None, net.weight.dtype.name)
    if type(net) in (MaxPool, MeanPool):
        return PoolSpec("max" if type(net) is MaxPool else "mean", list(net.size))
    if type(net) in (Sequential, Residual):
        spec = SequentialSpec if type(net) is Sequential else ResidualSpec
        return spec([_describe(layer, depth + 1) for layer in net.layers])
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
        case NormSpec():
            if not (1 <= spec.size <= MAX_PARAMETERS and 0 < spec.epsilon < float("inf")):
                raise ModelFileError(f"a norm of {spec.size} features, epsilon {spec.epsilon}", why="none can be")
            zeros = _zeros((spec.size,), spec.dtype)
            if spec.of == "layer":
                return LayerNorm(1, epsilon=spec.epsilon).replace(scale=zeros, bias=zeros)
            return RMSNorm(1, epsilon=spec.epsilon).replace(scale=zeros)
        case ConvSpec():
            shape = (*spec.size, spec.n_in, spec.n_out)
            if not (3 <= len(shape) <= 4 and min(*shape, spec.stride) >= 1 and prod(shape) <= MAX_PARAMETERS):
                raise ModelFileError(f"a convolution of {shape}, stride {spec.stride}", why="none can be")
            conv = Conv(1, 1, [1], key=random.key(0), stride=spec.stride, padding=spec.padding)
            bias = _zeros((spec.n_out,), spec.dtype) if spec.bias else None
            return conv.replace(weight=_zeros(shape, spec.dtype), bias=bias)
        case PoolSpec():
            if not (1 <= len(spec.size) <= 2 and min(spec.size) >= 1):
                raise ModelFileError(f"a pool of {spec.size}", why="none can be")
            return (MaxPool if spec.of == "max" else MeanPool)(spec.size)
        case SequentialSpec() | ResidualSpec():
            kind = Sequential if isinstance(spec, SequentialSpec) else Residual
            return kind(*(build(layer, depth + 1) for layer in spec.layers))
    raise ModelFileError("the network is none that can be", why="an MLP begins and ends with linear layers")


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    """A view of one zero: nothing is allocated before the file proves that it has the numbers."""
    return np.broadcast_to(np.zeros((), dtype), shape)
