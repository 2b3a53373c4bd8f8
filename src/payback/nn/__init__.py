"""Networks: layers, activations, initial weights and losses, as plain functions on arrays.

Everything here works on NumPy arrays and on traced values alike.
"""

from typing import TYPE_CHECKING

from payback.elsewhere import hook
from payback.nn.activations import (
    ACTIVATIONS,
    elu,
    gelu,
    identity,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from payback.nn.attention import Attention
from payback.nn.convolution import Conv, MaxPool, MeanPool
from payback.nn.drawing import key_for, training
from payback.nn.initializers import INITIALIZERS, glorot_normal, glorot_uniform, he_normal, he_uniform
from payback.nn.layers import MLP, Activation, Dropout, Embedding, Flatten, Frozen, Linear, Residual, Sequential
from payback.nn.losses import LOSSES, binary_cross_entropy, cross_entropy, huber, squared_error
from payback.nn.module import Module, parameters, static, summary, with_parameters
from payback.nn.normalization import LayerNorm, RMSNorm
from payback.nn.recurrent import GRU, LSTM, RNN

__all__ = [
    "ACTIVATIONS",
    "GRU",
    "INITIALIZERS",
    "LOSSES",
    "LSTM",
    "MLP",
    "RNN",
    "Activation",
    "Attention",
    "Conv",
    "Dropout",
    "Embedding",
    "Flatten",
    "Frozen",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "MeanPool",
    "Module",
    "RMSNorm",
    "Residual",
    "Sequential",
    "binary_cross_entropy",
    "cross_entropy",
    "elu",
    "gelu",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "huber",
    "identity",
    "key_for",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "parameters",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "squared_error",
    "static",
    "summary",
    "tanh",
    "training",
    "with_parameters",
]

if not TYPE_CHECKING:  # which would let it pass any name
    __getattr__ = hook("payback.nn")
