"""Layers as pairs of pure functions, activations, losses and initializers."""

from __future__ import annotations

from rxcore.nn import initializers
from rxcore.nn.activations import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    one_hot,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from rxcore.nn.convolution import conv
from rxcore.nn.dropout import dropout
from rxcore.nn.layer import Layer, StatefulLayer, sequential
from rxcore.nn.linear import dense, embedding
from rxcore.nn.losses import (
    huber,
    mae,
    mse,
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy,
)
from rxcore.nn.normalization import batch_norm, group_norm, layer_norm
from rxcore.nn.pooling import avg_pool, max_pool

__all__ = [
    "Layer",
    "StatefulLayer",
    "avg_pool",
    "batch_norm",
    "conv",
    "dense",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "group_norm",
    "huber",
    "initializers",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "mae",
    "max_pool",
    "mse",
    "one_hot",
    "relu",
    "sequential",
    "sigmoid",
    "sigmoid_binary_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "tanh",
]
