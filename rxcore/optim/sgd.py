"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import errors, tree
from rxcore.optim.optimizer import (
    LearningRate,
    Optimizer,
    check_fraction,
    check_not_negative,
    map_leaves,
    rate_at,
    zeros_like,
)

__all__ = ["SGDState", "sgd"]


@tree.register
@frozen
class SGDState:
    """The state of `sgd`.

    Args:
        step: int32, how many updates were made.
        velocity: pytree of the parameters' shapes, or None without momentum.
    """

    step: Any
    velocity: Any


def sgd(
    learning_rate: LearningRate,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Return stochastic gradient descent, with momentum if wanted.

    **Meaning**:

        g = g + weight_decay * p
        v = momentum * v + g
        p = p - learning_rate * (g + momentum * v if nesterov else v)

    Args:
        learning_rate: a number, or a schedule: a function of the int32 step, which is
            0 in the first update.
        momentum: how much of the velocity stays, in [0, 1); 0 keeps none, and no state.
        nesterov: whether to look ahead along the velocity.
        weight_decay: strength of the penalty `weight_decay / 2 * sum(p**2)`.

    Returns:
        An `Optimizer`; its state is an `SGDState`.

    Raises:
        UserError: when a number is out of range.

    Example:
        >>> import rxcore as rx
        >>> optimizer = rx.optim.sgd(0.1, momentum=0.9)
        >>> w = rx.asarray([1.0, -2.0])
        >>> state = optimizer.init(w)
        >>> w, state = optimizer.update(2 * w, state, w)
        >>> w
        Array([ 0.8, -1.6], dtype=float32)

    Papers: Polyak, "Some methods of speeding up the convergence of iteration methods",
    1964; Nesterov, 1983, in the form of Sutskever et al., "On the importance of
    initialization and momentum in deep learning", 2013.
    """
    check_not_negative(learning_rate, "learning_rate", "optim.sgd")
    check_not_negative(weight_decay, "weight_decay", "optim.sgd")
    check_fraction(momentum, "momentum", "optim.sgd")
    if nesterov and not momentum:
        raise errors.UserError("optim.sgd: nesterov=True needs a momentum above 0")

    def init(params: Any) -> SGDState:
        zeros = zeros_like(params, "optim.sgd")
        return SGDState(rnp.asarray(0), zeros if momentum else None)

    def update(grads: Any, state: SGDState, params: Any) -> tuple[Any, SGDState]:
        rate = rate_at(learning_rate, state.step)

        def plain(g: Any, p: Any) -> tuple[Any]:
            return (p - rate * _decayed(g, p),)

        def moving(g: Any, p: Any, v: Any) -> tuple[Any, Any]:
            g = _decayed(g, p)
            v = momentum * v + g
            return p - rate * (g + momentum * v if nesterov else v), v

        def _decayed(g: Any, p: Any) -> Any:
            return g + weight_decay * p if weight_decay else g

        if not momentum:
            (moved,) = map_leaves(plain, grads, params, (), "optim.sgd")
            return moved, SGDState(state.step + 1, None)
        moved, velocity = map_leaves(
            moving, grads, params, (state.velocity,), "optim.sgd"
        )
        return moved, SGDState(state.step + 1, velocity)

    return Optimizer(init, update)
