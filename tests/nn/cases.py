"""What the laws are tried on: every public function of `rxcore.nn`, on small arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import frozen

import rxcore as rx
from rxcore import nn


@frozen
class Case:
    """A function of arrays and its arguments, in float64, away from kinks and ties."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return self.name


def distinct(*shape: int, seed: int = 0) -> Any:
    """Draw numbers that differ from each other and from 0 by more than 1e-3."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    steps = rng.permutation(size) - size / 2 + 0.3
    return (steps * 6 / max(size, 4)).reshape(shape)


def of_layer(name: str, layer: nn.Layer, x: Any, **keywords: Any) -> Case:
    params = layer.init(rx.random.key(0))
    leaves, treedef = rx.tree.flatten(params)

    def apply(*flat: Any) -> Any:
        return layer.apply(rx.tree.unflatten(treedef, flat[:-1]), flat[-1], **keywords)

    drawn = [distinct(*p.shape, seed=k + 1) for k, p in enumerate(leaves)]
    return Case(name, apply, (*drawn, x))


def of_stateful(name: str, layer: nn.StatefulLayer, x: Any, training: bool) -> Case:
    params = layer.init(rx.random.key(0))
    leaves, treedef = rx.tree.flatten((params, layer.init_state()))

    def apply(*flat: Any) -> Any:
        p, state = rx.tree.unflatten(treedef, flat[:-1])
        y, state = layer.apply(p, state, flat[-1], training=training)
        return (y, *rx.tree.leaves(state))

    drawn = [1 + 0.1 * distinct(*p.shape, seed=k + 1) for k, p in enumerate(leaves)]
    return Case(name, apply, (*drawn, x))


def named(*pairs: tuple[str, Callable[..., Any], Sequence[Any]]) -> tuple[Case, ...]:
    return tuple(Case(name, function, tuple(args)) for name, function, args in pairs)


def shares(rows: int, classes: int) -> Any:
    drawn = np.exp(distinct(rows, classes, seed=9))
    return drawn / drawn.sum(1, keepdims=True)


ACTIVATIONS = tuple(
    Case(name, getattr(nn, name), (distinct(3, 5),))
    for name in (
        "relu",
        "leaky_relu",
        "elu",
        "gelu",
        "silu",
        "sigmoid",
        "tanh",
        "softplus",
        "softmax",
        "log_softmax",
    )
) + named(
    ("gelu exact", lambda x: nn.gelu(x, approximate=False), [distinct(3, 5)]),
    ("softmax axis 0", lambda x: nn.softmax(x, axis=0), [distinct(3, 5)]),
    ("log_softmax axis 0", lambda x: nn.log_softmax(x, axis=0), [distinct(3, 5)]),
    ("one_hot", lambda x: nn.one_hot(x, 4), [np.int32([0, 3, 9, -1])]),
    ("one_hot first", lambda x: nn.one_hot(x, 4, axis=0), [np.int32([[1, 2]])]),
)

X, Y = distinct(4, 3), distinct(4, 3, seed=1) + 0.13

LOSSES = named(
    ("mse", nn.mse, [X, Y]),
    ("mse sum", lambda x, y: nn.mse(x, y, reduction="sum"), [X, Y]),
    ("mae", nn.mae, [X, Y]),
    ("huber", nn.huber, [X, Y]),
    ("huber none", lambda x, y: nn.huber(x, y, 0.4, reduction="none"), [X, Y]),
    ("cross entropy", nn.softmax_cross_entropy, [X, np.int32([0, 2, 1, 1])]),
    (
        "cross entropy, classes first",
        lambda x, y: nn.softmax_cross_entropy(x, y, axis=0, reduction="none"),
        [X, np.uint8([3, 0, 1])],
    ),
    ("cross entropy of shares", nn.softmax_cross_entropy, [X, shares(4, 3)]),
    ("binary cross entropy", nn.sigmoid_binary_cross_entropy, [X, (Y > 0) * 1.0]),
)

LINE, PLANE, SPACE = distinct(2, 4, 7), distinct(2, 4, 5, 6), distinct(1, 2, 3, 4, 3)

POOLING = named(
    ("max_pool line", lambda x: nn.max_pool(x, 2), [LINE]),
    (
        "max_pool plane",
        lambda x: nn.max_pool(x, (3, 2), stride=2, padding="SAME"),
        [PLANE],
    ),
    ("avg_pool plane", lambda x: nn.avg_pool(x, 2, padding=1), [PLANE]),
    (
        "avg_pool without padding",
        lambda x: nn.avg_pool(x, 3, stride=1, padding="SAME", count_include_pad=False),
        [PLANE],
    ),
    ("max_pool space", lambda x: nn.max_pool(x, 2, stride=1), [SPACE]),
)

DROPPED: dict[str, Any] = {"key": rx.random.key(3), "training": True}

LAYERS = (
    of_layer("dense", nn.dense(3, 2), X),
    of_layer("dense without bias", nn.dense(3, 2, bias=False), distinct(2, 2, 3)),
    of_layer("conv line", nn.conv(4, 2, (3,), stride=2), LINE),
    of_layer("conv plane", nn.conv(4, 6, (3, 2), groups=2, dilation=2), PLANE),
    of_layer("conv transposed", nn.conv(4, 2, (3, 3), transposed=True), PLANE),
    of_layer("conv space", nn.conv(2, 2, (2, 2, 2), padding="VALID"), SPACE),
    of_layer("layer_norm", nn.layer_norm(3), X),
    of_layer("layer_norm of two axes", nn.layer_norm((5, 6), bias=False), PLANE),
    of_layer("group_norm", nn.group_norm(2, 4), PLANE),
    of_layer("group_norm without scale", nn.group_norm(1, 3, scale=False), X),
    of_layer("embedding", nn.embedding(5, 3), np.int32([[0, 4], [-1, 2]])),
    of_layer("dropout", nn.dropout(0.4), X, **DROPPED),
    of_layer("dropout at rest", nn.dropout(0.4), X),
    of_layer(
        "sequential",
        nn.sequential(nn.dense(3, 4), nn.tanh, nn.dropout(0.2), nn.dense(4, 2)),
        X,
        **DROPPED,
    ),
    of_stateful("batch_norm", nn.batch_norm(4), PLANE, True),
    of_stateful("batch_norm at rest", nn.batch_norm(4), PLANE, False),
    of_stateful(
        "sequential with state",
        nn.sequential(nn.dense(3, 4), nn.batch_norm(4), nn.tanh),
        X,
        True,
    ),
)

CASES = ACTIVATIONS + LOSSES + POOLING + LAYERS
