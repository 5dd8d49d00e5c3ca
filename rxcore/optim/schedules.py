"""Learning rate schedules: functions of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert
from rxcore.optim.optimizer import Schedule
from rxcore.trace.bind import as_numeric

__all__ = ["constant", "cosine", "join", "linear_warmup", "polynomial"]


def constant(value: float) -> Schedule:
    """Return a schedule that stays at one value.

    **Meaning**: `lambda step: value`

    Args:
        value: the learning rate.

    Returns:
        A function of the integer step (any shape), giving floats.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.constant(0.5)(7)
        Array(0.5, dtype=float32)
    """

    def schedule(step: Any) -> Any:
        step = _number(step, "optim.constant")
        return rnp.broadcast_to(convert(value, step.dtype), step.shape)

    return schedule


def linear_warmup(peak: float, steps: int, start: float = 0.0) -> Schedule:
    """Return a schedule that rises along a line, then stays.

    **Meaning**: `lambda step: start + (peak - start) * min(step / steps, 1)`

    Args:
        peak: the learning rate from `steps` on.
        steps: how many steps the rise takes.
        start: the learning rate of step 0.

    Returns:
        A function of the integer step (any shape), giving floats.

    Raises:
        UserError: when `steps` is not positive.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.linear_warmup(1.0, 4)(rx.asarray([0, 1, 2, 4, 9]))
        Array([0.  , 0.25, 0.5 , 1.  , 1.  ], dtype=float32)

    Paper: Goyal et al., "Accurate, large minibatch SGD", 2017.
    """
    _check_steps(steps, "optim.linear_warmup")
    return polynomial(start, peak, steps)


def polynomial(start: float, end: float, steps: int, power: float = 1.0) -> Schedule:
    """Return a schedule that goes from one value to another along a power.

    **Meaning**: `lambda step: end + (start - end) * (1 - min(step / steps, 1))**power`

    Args:
        start: the learning rate of step 0.
        end: the learning rate from `steps` on.
        steps: how many steps the way takes.
        power: 1 is a line; more falls fast at first.

    Returns:
        A function of the integer step (any shape), giving floats.

    Raises:
        UserError: when `steps` or `power` is not positive.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.polynomial(1.0, 0.0, 4, power=2)(rx.asarray([0, 2, 4]))
        Array([1.  , 0.25, 0.  ], dtype=float32)
    """
    _check_steps(steps, "optim.polynomial")
    if not power > 0:
        raise errors.UserError(f"optim.polynomial: power={power}; expected power > 0")

    def schedule(step: Any) -> Any:
        left = 1 - _share(step, steps, "optim.polynomial")
        return end + (start - end) * left**power

    return schedule


def cosine(
    peak: float, steps: int, *, warmup: int = 0, start: float = 0.0, end: float = 0.0
) -> Schedule:
    """Return a schedule that falls along half a cosine, after a rise if wanted.

    **Meaning**:

        if step < warmup: start + (peak - start) * step / warmup
        else: end + (peak - end) * (1 + cos(pi * share)) / 2,
              share = min((step - warmup) / (steps - warmup), 1)

    Args:
        peak: the highest learning rate.
        steps: how many steps it takes to reach `end`, the rise included.
        warmup: how many steps the rise along a line takes; 0 starts at the peak.
        start: the learning rate of step 0, when there is a rise.
        end: the learning rate from `steps` on.

    Returns:
        A function of the integer step (any shape), giving floats.

    Raises:
        UserError: when not 0 <= warmup < steps.

    Example:
        >>> import rxcore as rx
        >>> rx.optim.cosine(1.0, 6, warmup=2)(rx.asarray([0, 1, 2, 6, 9]))
        Array([0. , 0.5, 1. , 0. , 0. ], dtype=float32)

    Paper: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm
    restarts", 2017.
    """
    _check_steps(steps, "optim.cosine")
    if not 0 <= warmup < steps:
        raise errors.UserError(
            f"optim.cosine: warmup={warmup} of steps={steps}; expected"
            " 0 <= warmup < steps"
        )

    def fall(step: Any) -> Any:
        share = _share(step, steps - warmup, "optim.cosine")
        return end + (peak - end) * (0.5 * (1 + rnp.cos(math.pi * share)))

    return (
        join([linear_warmup(peak, warmup, start), fall], [warmup]) if warmup else fall
    )


def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Return schedules one after the other, each counting its steps from 0.

    **Meaning**: `schedules[k](step - b[k])`, where `b = [0, *boundaries]` and k is the
    last with `b[k] <= step`.

    Args:
        schedules: functions of the step.
        boundaries: the steps at which the second, third, ... schedule starts.

    Returns:
        A function of the integer step (any shape), giving floats.

    Raises:
        UserError: when there is not one boundary fewer than schedules, or the
            boundaries do not rise.

    Example:
        >>> import rxcore as rx
        >>> both = rx.optim.join([rx.optim.constant(1.0), rx.optim.constant(0.1)], [3])
        >>> both(rx.asarray([2, 3]))
        Array([1. , 0.1], dtype=float32)
    """
    if len(boundaries) != len(schedules) - 1:
        raise errors.UserError(
            f"optim.join: {len(schedules)} schedules and {len(boundaries)} boundaries;"
            " expected one boundary fewer than schedules"
        )
    if any(a >= b for a, b in zip((0, *boundaries), boundaries, strict=False)):
        raise errors.UserError(
            f"optim.join: boundaries {tuple(boundaries)}; expected positive, rising"
            " steps"
        )

    def schedule(step: Any) -> Any:
        step = as_numeric(step, "optim.join")
        value = schedules[0](step)
        for part, start in zip(schedules[1:], boundaries, strict=True):
            value = rnp.where(step >= start, part(step - start), value)
        return value

    return schedule


def _share(step: Any, steps: int, call: str) -> Any:
    """Return the part of the way that is done, in [0, 1]."""
    return rnp.clip(_number(step, call) / steps, 0.0, 1.0)


def _number(step: Any, call: str) -> Any:
    step = as_numeric(step, call)
    if not dtypes.is_integer(step.dtype):
        raise errors.DTypeError(
            f"{call}: a schedule takes an integer step, got {step.dtype.name} (shape"
            f" {step.shape})"
        )
    return convert(step, dtypes.default_float())


def _check_steps(steps: int, call: str) -> None:
    if not steps > 0:
        raise errors.UserError(f"{call}: steps={steps}; expected steps > 0")
