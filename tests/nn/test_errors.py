"""Wrong calls of `rxcore.nn` say what was expected, what came, and how to mend it."""

import re
from typing import Any

import numpy as np
import pytest

import rxcore as rx
from rxcore import nn
from rxcore.base import errors

X = np.zeros((4, 3), np.float32)
KEY = rx.random.key(0)


def apply(layer: Any, x: Any, **keywords: Any) -> Any:
    return layer.apply(layer.init(KEY), x, **keywords)


WRONG = [
    (
        lambda: apply(nn.dense(5, 2), X),
        errors.ShapeError,
        "nn.dense: x has shape (4, 3); expected (..., 5)",
    ),
    (
        lambda: nn.dense(0, 2),
        errors.ShapeError,
        "nn.dense: features_in=0; expected features_in >= 1",
    ),
    (
        lambda: apply(nn.conv(2, 4, (3, 3)), np.zeros((1, 3, 8, 8), np.float32)),
        errors.ShapeError,
        "nn.conv: x has shape (1, 3, 8, 8); expected (batch, 2, space, space)",
    ),
    (
        lambda: nn.conv(2, 4, (3, 3), groups=3),
        errors.ShapeError,
        "nn.conv: groups=3 does not divide channels_in=2",
    ),
    (
        lambda: nn.conv(2, 4, (1, 1, 1, 1)),
        errors.ShapeError,
        "nn.conv: window (1, 1, 1, 1) has 4 axes; expected 1, 2 or 3",
    ),
    (
        lambda: apply(nn.layer_norm(5), X),
        errors.ShapeError,
        "nn.layer_norm: x has shape (4, 3); its last axes must be (5,)",
    ),
    (
        lambda: apply(nn.layer_norm(3), X.astype(np.int32)),
        errors.DTypeError,
        "nn.layer_norm: x is int32 (shape (4, 3)); expected a real floating dtype",
    ),
    (
        lambda: nn.group_norm(3, 4),
        errors.ShapeError,
        "nn.group_norm: groups=3 does not divide channels=4",
    ),
    (
        lambda: nn.batch_norm(4).apply({}, nn.batch_norm(4).init_state(), X),
        errors.ShapeError,
        "nn.batch_norm: x has shape (4, 3); expected (batch, 4, space...)",
    ),
    (
        lambda: apply(nn.embedding(5, 2), X),
        errors.DTypeError,
        "nn.embedding: x is float32 (shape (4, 3)); expected integers",
    ),
    (
        lambda: apply(nn.dropout(0.5), X, training=True),
        errors.UserError,
        "nn.dropout: training=True needs randomness; pass apply(..., key=key)",
    ),
    (
        lambda: nn.dropout(1.0),
        errors.UserError,
        "nn.dropout: rate=1.0; expected 0 <= rate < 1",
    ),
    (
        lambda: nn.sequential(nn.dense(2, 2), 3),
        errors.UserError,
        "nn.sequential: argument 1 is 3; expected a layer or a function",
    ),
    (
        lambda: nn.sequential(nn.relu, nn.relu).apply(((),), X),
        errors.TreeError,
        "nn.sequential: params has 1 entries for 2 layers; pass what init of this",
    ),
    (
        lambda: nn.mse(X, X[:, 0]),
        errors.ShapeError,
        "nn.mse: predictions have shape (4, 3), targets (4,); expected equal shapes",
    ),
    (
        lambda: nn.mse(X, X, reduction="max"),
        errors.UserError,
        "nn.mse: reduction='max'; expected 'mean', 'sum' or 'none'",
    ),
    (
        lambda: nn.mae(np.int32([1]), np.int32([1])),
        errors.DTypeError,
        "nn.mae: predictions are int32 (shape (1,)); expected a real floating dtype",
    ),
    (
        lambda: nn.huber(X, X, 0.0),
        errors.UserError,
        "nn.huber: delta=0.0; expected delta > 0",
    ),
    (
        lambda: nn.softmax_cross_entropy(X, np.zeros(3, np.int32)),
        errors.ShapeError,
        "labels (3,) (int32); expected integers of shape (4,), or floating",
    ),
    (
        lambda: nn.softmax_cross_entropy(X, np.zeros(4, np.float32)),
        errors.ShapeError,
        "labels (4,) (float32); expected integers of shape (4,), or floating",
    ),
    (
        lambda: nn.softmax(X, axis=2),
        errors.ShapeError,
        "nn.softmax: axis 2 is out of range",
    ),
    (
        lambda: nn.relu(np.complex64([1])),
        errors.DTypeError,
        "nn.relu: dtype complex64 (shape (1,)); expected real numbers",
    ),
    (
        lambda: nn.one_hot(X, 3),
        errors.DTypeError,
        "nn.one_hot: classes are float32 (shape (4, 3)); expected integers",
    ),
    (
        lambda: nn.max_pool(X, 2),
        errors.ShapeError,
        "nn.max_pool: x has shape (4, 3); expected (batch, channel, space...)",
    ),
    (
        lambda: nn.avg_pool(X[None], (2, 2)),
        errors.ShapeError,
        "nn.avg_pool: window=(2, 2); expected a positive int, or 1 of them",
    ),
    (
        lambda: nn.initializers.he_normal()(KEY, (3,)),
        errors.ShapeError,
        "a weight of shape (3,) has no input and output axis; use zeros",
    ),
    (
        lambda: nn.initializers.zeros(KEY, (3,), np.int32),
        errors.DTypeError,
        "nn.initializers: dtype int32; expected a real floating dtype",
    ),
    (
        lambda: nn.initializers.variance_scaling(1.0, "fan", "normal"),
        errors.UserError,
        "mode='fan'; expected 'fan_in', 'fan_out' or 'fan_avg'",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "text"), WRONG, ids=[w[2][:40] for w in WRONG]
)
def test_message(call, kind, text):
    with pytest.raises(kind, match=re.escape(text)):
        call()
