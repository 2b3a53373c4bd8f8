"""Networks as data: a closed list of layers, each with the sizes that it is built from."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import msgspec
import numpy as np

from payback import random
from payback.errors import InputError, ModelFileError
from payback.nn.activations import ACTIVATIONS
from payback.nn.attention import Attention
from payback.nn.convolution import Conv, MaxPool, MeanPool
from payback.nn.layers import MLP, Activation, Dropout, Embedding, Flatten, Frozen, Linear, Residual, Sequential
from payback.nn.normalization import LayerNorm, RMSNorm
from payback.nn.recurrent import GRU, LSTM, RNN

MAX_PARAMETERS = 2**34
MAX_DEPTH = 50

DType = Literal["float16", "float32", "float64"]


class Described(msgspec.Struct, tag_field="layer", forbid_unknown_fields=True):
    """What a file says of a layer: `of` describes one, `build` makes one of that description, with zeros in it.

    depth: of the layers around it, at most MAX_DEPTH.  `build` raises ModelFileError for what cannot be.
    """

    @classmethod
    def of(cls, net: Any, depth: int) -> Described:
        return cls()

    def build(self, depth: int) -> Any:
        raise NotImplementedError


class LinearSpec(Described, tag="linear"):
    n_in: int
    n_out: int
    bias: bool
    dtype: DType

    @classmethod
    def of(cls, net: Linear, depth: int) -> LinearSpec:
        n_in, n_out = net.weight.shape
        return cls(int(n_in), int(n_out), net.bias is not None, net.weight.dtype.name)

    def build(self, depth: int) -> Linear:
        if not (self.n_in >= 1 and self.n_out >= 1 and self.n_in * self.n_out <= MAX_PARAMETERS):
            raise ModelFileError(f"a layer of {self.n_in} inputs and {self.n_out} outputs", why="no such layer can be")
        bias = _zeros((self.n_out,), self.dtype) if self.bias else None
        return object.__new__(Linear).replace(weight=_zeros((self.n_in, self.n_out), self.dtype), bias=bias)


class ActivationSpec(Described, tag="activation"):
    name: str

    @classmethod
    def of(cls, net: Activation, depth: int) -> ActivationSpec:
        return cls(net.name)

    def build(self, depth: int) -> Activation:
        if self.name not in ACTIVATIONS:
            raise ModelFileError(
                f"the activation {self.name!r} is not known", why=f"known are {', '.join(ACTIVATIONS)}"
            )
        return Activation(self.name)


class FlattenSpec(Described, tag="flatten"):
    def build(self, depth: int) -> Flatten:
        return Flatten()


class DropoutSpec(Described, tag="dropout"):
    rate: float

    @classmethod
    def of(cls, net: Dropout, depth: int) -> DropoutSpec:
        return cls(net.rate)

    def build(self, depth: int) -> Dropout:
        if not 0 <= self.rate < 1:
            raise ModelFileError(f"a dropout of {self.rate}", why="no such layer can be")
        return Dropout(self.rate)


class EmbeddingSpec(Described, tag="embedding"):
    count: int
    size: int
    dtype: DType

    @classmethod
    def of(cls, net: Embedding, depth: int) -> EmbeddingSpec:
        count, size = net.table.shape
        return cls(int(count), int(size), net.table.dtype.name)

    def build(self, depth: int) -> Embedding:
        if not (self.count >= 1 and self.size >= 1 and self.count * self.size <= MAX_PARAMETERS):
            raise ModelFileError(f"an embedding of {self.count} rows of {self.size}", why="no such layer can be")
        return object.__new__(Embedding).replace(table=_zeros((self.count, self.size), self.dtype))


class NormSpec(Described, tag="norm"):
    kind: Literal["layer", "rms"] = msgspec.field(name="of")
    size: int
    epsilon: float
    dtype: DType

    @classmethod
    def of(cls, net: LayerNorm | RMSNorm, depth: int) -> NormSpec:
        kind: Literal["layer", "rms"] = "layer" if isinstance(net, LayerNorm) else "rms"
        return cls(kind, len(net.scale), net.epsilon, net.scale.dtype.name)

    def build(self, depth: int) -> LayerNorm | RMSNorm:
        if not (1 <= self.size <= MAX_PARAMETERS and 0 < self.epsilon < float("inf")):
            raise ModelFileError(f"a norm of {self.size} features, epsilon {self.epsilon}", why="none can be")
        zeros = _zeros((self.size,), self.dtype)
        if self.kind == "layer":
            return LayerNorm(1, epsilon=self.epsilon).replace(scale=zeros, bias=zeros)
        return RMSNorm(1, epsilon=self.epsilon).replace(scale=zeros)


class ConvSpec(Described, tag="conv"):
    n_in: int
    n_out: int
    size: list[int]
    stride: int
    padding: Literal["valid", "same"]
    bias: bool
    dtype: DType
    groups: int = 1

    @classmethod
    def of(cls, net: Conv, depth: int) -> ConvSpec:
        *size, inner, n_out = net.weight.shape
        padding: Literal["valid", "same"] = "same" if net.padding == "same" else "valid"
        bias, dtype = net.bias is not None, net.weight.dtype.name
        return cls(inner * net.groups, n_out, size, net.stride, padding, bias, dtype, net.groups)

    def build(self, depth: int) -> Conv:
        groups = max(self.groups, 1)
        shape = (*self.size, self.n_in // groups, self.n_out)
        alike = self.groups >= 1 and self.n_in % groups == 0 == self.n_out % groups
        if not (alike and 3 <= len(shape) <= 4 and min(*shape, self.stride) >= 1 and prod(shape) <= MAX_PARAMETERS):
            raise ModelFileError(
                f"a convolution of {shape}, stride {self.stride}, {self.groups} groups", why="none can be"
            )
        conv = Conv(1, 1, [1], key=random.key(0), stride=self.stride, padding=self.padding).replace(groups=groups)
        bias = _zeros((self.n_out,), self.dtype) if self.bias else None
        return conv.replace(weight=_zeros(shape, self.dtype), bias=bias)


class PoolSpec(Described, tag="pool"):
    kind: Literal["max", "mean"] = msgspec.field(name="of")
    size: list[int]

    @classmethod
    def of(cls, net: MaxPool | MeanPool, depth: int) -> PoolSpec:
        return cls("max" if isinstance(net, MaxPool) else "mean", list(net.size))

    def build(self, depth: int) -> MaxPool | MeanPool:
        if not (1 <= len(self.size) <= 2 and min(self.size) >= 1):
            raise ModelFileError(f"a pool of {self.size}", why="none can be")
        return (MaxPool if self.kind == "max" else MeanPool)(self.size)


RECURRENT = {"rnn": RNN, "lstm": LSTM, "gru": GRU}


class RecurrentSpec(Described, tag="recurrent"):
    kind: Literal["rnn", "lstm", "gru"] = msgspec.field(name="of")
    n_in: int
    n_out: int
    last: bool
    reverse: bool
    dtype: DType

    @classmethod
    def of(cls, net: RNN | LSTM | GRU, depth: int) -> RecurrentSpec:
        kind: Any = next(kind for kind, layer in RECURRENT.items() if type(net) is layer)
        return cls(kind, int(net.weight.shape[0]), net.size, net.last, net.reverse, net.weight.dtype.name)

    def build(self, depth: int) -> RNN | LSTM | GRU:
        layer: Any = RECURRENT[self.kind]
        columns = layer.gates * self.n_out
        if not (min(self.n_in, self.n_out) >= 1 and max(self.n_in, self.n_out) * columns <= MAX_PARAMETERS):
            raise ModelFileError(f"a recurrent layer of {self.n_in} inputs and {self.n_out} units", why="none can be")
        shapes = {"weight": (self.n_in, columns), "recurrent": (self.n_out, columns), "bias": (columns,)}
        shapes |= {"inner": (self.n_out,)} if layer is GRU else {}
        made = layer(1, 1, key=random.key(0), last=self.last, reverse=self.reverse)
        return made.replace(**{name: _zeros(shape, self.dtype) for name, shape in shapes.items()})


class AttentionSpec(Described, tag="attention"):
    size: int
    heads: int
    causal: bool
    dtype: DType

    @classmethod
    def of(cls, net: Attention, depth: int) -> AttentionSpec:
        return cls(int(net.out.shape[0]), net.heads, net.causal, net.out.dtype.name)

    def build(self, depth: int) -> Attention:
        if not (1 <= self.heads <= self.size and self.size % self.heads == 0 and 3 * self.size**2 <= MAX_PARAMETERS):
            raise ModelFileError(f"attention of {self.heads} heads and a size of {self.size}", why="none can be")
        shapes = {"weight": (self.size, 3 * self.size), "bias": (3 * self.size,), "out": (self.size, self.size),
                  "out_bias": (self.size,)}  # fmt: skip
        made = object.__new__(Attention).replace(heads=self.heads, causal=self.causal)
        return made.replace(**{name: _zeros(shape, self.dtype) for name, shape in shapes.items()})


class SequentialSpec(Described, tag="sequential"):
    layers: list[Layer]

    @classmethod
    def of(cls, net: Sequential, depth: int) -> SequentialSpec:
        return cls([_describe(layer, depth + 1) for layer in net.layers])

    def build(self, depth: int) -> Sequential:
        return Sequential(*(build(layer, depth + 1) for layer in self.layers))


class ResidualSpec(SequentialSpec, tag="residual"):
    def build(self, depth: int) -> Residual:
        return Residual(*super().build(depth).layers)


class FrozenSpec(Described, tag="frozen"):
    frozen: Layer

    @classmethod
    def of(cls, net: Frozen, depth: int) -> FrozenSpec:
        return cls(_describe(net.frozen, depth + 1))

    def build(self, depth: int) -> Frozen:
        return Frozen(build(self.frozen, depth + 1))


class MLPSpec(Described, tag="mlp"):
    layers: list[LinearSpec | ActivationSpec | DropoutSpec]
    skip: bool

    @classmethod
    def of(cls, net: MLP, depth: int) -> MLPSpec:
        return cls([_describe(layer, depth + 1) for layer in net.layers], net.skip is not None)

    def build(self, depth: int) -> MLP:
        match self.layers:
            case [LinearSpec() as first, *_] if isinstance(last := self.layers[-1], LinearSpec):
                skip = _zeros((first.n_in, last.n_out), first.dtype) if self.skip else None
                layers = tuple(build(layer, depth + 1) for layer in self.layers)
                return object.__new__(MLP).replace(layers=layers, skip=skip)
        raise ModelFileError("the network is none that can be", why="an MLP begins and ends with linear layers")


class Custom(msgspec.Struct, tag="custom", tag_field="layer", forbid_unknown_fields=True):
    """A network of the user's own class: only its name is written, and it must be supplied again."""

    name: str


# payback's own layers, and what a file says of them; any other is the user's.
LAYERS: dict[type, type[Described]] = {
    Linear: LinearSpec, Activation: ActivationSpec, Flatten: FlattenSpec, Dropout: DropoutSpec,
    Embedding: EmbeddingSpec, LayerNorm: NormSpec, RMSNorm: NormSpec, Conv: ConvSpec, MaxPool: PoolSpec,
    MeanPool: PoolSpec, RNN: RecurrentSpec, LSTM: RecurrentSpec, GRU: RecurrentSpec, Attention: AttentionSpec,
    Sequential: SequentialSpec, Residual: ResidualSpec, Frozen: FrozenSpec, MLP: MLPSpec,
}  # fmt: skip
Layer = (
    LinearSpec | ActivationSpec | FlattenSpec | DropoutSpec | EmbeddingSpec | NormSpec | ConvSpec
    | PoolSpec | RecurrentSpec | AttentionSpec | MLPSpec | SequentialSpec | ResidualSpec | FrozenSpec
)  # fmt: skip
Spec = Layer | Custom


def describe(net: Any) -> Spec:
    """The network as data; a `Custom` if any part of it is not one of payback's own layers.

    Raises InputError for a network that is nested too deeply to be read again.
    """
    try:
        return _describe(net, 0)
    except TypeError:
        return Custom(type(net).__name__)


def _describe(net: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise InputError(
            "the network is nested too deeply",
            why=f"the limit of model files is {MAX_DEPTH}",
            fix="put the layers into one Sequential",
        )
    if type(net) not in LAYERS:
        raise TypeError(type(net).__name__)
    return LAYERS[type(net)].of(net, depth)


def build(spec: Layer, depth: int = 0) -> Any:
    """A network of this description, its parameters still zero.  Raises ModelFileError for sizes that cannot be."""
    if depth > MAX_DEPTH:
        raise ModelFileError("the network is nested too deeply", why=f"the limit is {MAX_DEPTH}")
    return spec.build(depth)


def _zeros(shape: tuple[int, ...], dtype: str) -> Any:
    """A view of one zero: nothing is allocated before the file proves that it has the numbers."""
    return np.broadcast_to(np.zeros((), dtype), shape)
