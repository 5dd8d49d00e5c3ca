"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, tree
from rxcore.ops.convert import convert
from rxcore.ops.mathematics import rsqrt
from rxcore.optim.optimizer import (
    LearningRate,
    Optimizer,
    check_fraction,
    check_not_negative,
    map_leaves,
    rate_at,
    zeros_like,
)

__all__ = ["AdamState", "adam", "adamw"]


@tree.register
@frozen
class AdamState:
    """The state of `adam` and `adamw`.

    Args:
        step: int32, how many updates were made.
        mean: decaying mean of the gradients, a pytree of the parameters' shapes.
        square: decaying mean of their squares.
    """

    step: Any
    mean: Any
    square: Any


def adam(
    learning_rate: LearningRate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> Optimizer:
    """Return Adam: steps scaled by decaying means of gradients and their squares.

    **Meaning**, t counting from 1:

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - learning_rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    Args:
        learning_rate: a number, or a schedule: a function of the int32 step, which is
            0 in the first update.
        b1: decay of the mean of gradients, in [0, 1).
        b2: decay of the mean of their squares, in [0, 1).
        eps: added to the denominator.

    Returns:
        An `Optimizer`; its state is an `AdamState`.

    Raises:
        UserError: when a number is out of range.

    Example:
        >>> import rxcore as rx
        >>> optimizer = rx.optim.adam(0.1)
        >>> w = rx.asarray([1.0, -2.0])
        >>> state = optimizer.init(w)
        >>> w, state = optimizer.update(2 * w, state, w)
        >>> rx.numpy.round(w, 3)
        Array([ 0.9, -1.9], dtype=float32)

    Paper: Kingma and Ba, "Adam: a method for stochastic optimization", 2015.
    """
    return _adam(learning_rate, b1, b2, eps, 0.0, "optim.adam")


def adamw(
    learning_rate: LearningRate = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Optimizer:
    """Return Adam with decoupled weight decay.

    **Meaning**, t counting from 1:

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        step = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        p = p - learning_rate * (step + weight_decay * p)

    Args:
        learning_rate: a number, or a schedule: a function of the int32 step, which is
            0 in the first update.
        b1: decay of the mean of gradients, in [0, 1).
        b2: decay of the mean of their squares, in [0, 1).
        eps: added to the denominator.
        weight_decay: the share of a parameter, times the learning rate, that is taken
            away in each update.

    Returns:
        An `Optimizer`; its state is an `AdamState`.

    Raises:
        UserError: when a number is out of range.

    Example:
        >>> import rxcore as rx
        >>> optimizer = rx.optim.adamw(0.1, weight_decay=0.5)
        >>> w = rx.asarray([1.0, -2.0])
        >>> state = optimizer.init(w)
        >>> w, state = optimizer.update(2 * w, state, w)
        >>> rx.numpy.round(w, 3)
        Array([ 0.85, -1.8 ], dtype=float32)

    Paper: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.
    """
    return _adam(learning_rate, b1, b2, eps, weight_decay, "optim.adamw")


def _adam(
    learning_rate: LearningRate,
    b1: float,
    b2: float,
    eps: float,
    weight_decay: float,
    call: str,
) -> Optimizer:
    check_not_negative(learning_rate, "learning_rate", call)
    check_not_negative(eps, "eps", call)
    check_not_negative(weight_decay, "weight_decay", call)
    check_fraction(b1, "b1", call)
    check_fraction(b2, "b2", call)

    def init(params: Any) -> AdamState:
        mean, square = zeros_like(params, call), zeros_like(params, call)
        return AdamState(rnp.asarray(0), mean, square)

    def update(grads: Any, state: AdamState, params: Any) -> tuple[Any, AdamState]:
        rate, count = rate_at(learning_rate, state.step), state.step + 1

        def move(g: Any, p: Any, m: Any, v: Any) -> tuple[Any, Any, Any]:
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * (g * g)
            # The divisions by numbers that all elements share are made once.
            pace = rate / _unbiased(b1, count, p.dtype)
            spread = rsqrt(_unbiased(b2, count, p.dtype))
            kept = (1 - rate * weight_decay) * p if weight_decay else p
            return kept - pace * m / (rnp.sqrt(v) * spread + eps), m, v

        moments = (state.mean, state.square)
        moved, mean, square = map_leaves(move, grads, params, moments, call)
        return moved, AdamState(count, mean, square)

    return Optimizer(init, update)


def _unbiased(decay: float, count: Any, dtype: Any) -> Any:
    """Return 1 - decay**count without the loss of digits of a difference near 0."""
    if not decay:
        return 1.0
    wide = dtypes.float32 if dtype in dtypes.HALVES else dtype
    return -rnp.expm1(convert(count, wide) * math.log(decay))
