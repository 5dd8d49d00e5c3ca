"""Codes: numbers as spikes over time."""

from __future__ import annotations

import math
import numbers
from typing import Any

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert
from rxcore.ops.stop import stop_gradient
from rxcore.snn.parameters import check_fits, known, state_dtype
from rxcore.trace.bind import as_numeric

__all__ = ["delta", "latency", "poisson"]


def _floating(call: str, x: Any, what: str) -> Any:
    found = as_numeric(x, call)
    if not dtypes.is_float(found.dtype):
        raise errors.DTypeError(
            f"{call}: {what} must be real floating, got {found.type}; convert it"
        )
    return found


def _count(call: str, steps: Any) -> int:
    whole = isinstance(steps, numbers.Integral) and not isinstance(steps, bool)
    if not whole or steps < 1:
        raise errors.UserError(f"{call}: steps must be a positive int, got {steps!r}")
    return int(steps)


def _positive(call: str, **values: Any) -> None:
    for name, value in values.items():
        real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not (real and math.isfinite(value) and value > 0):
            raise errors.UserError(
                f"{call}: {name} must be positive and finite, got {value!r}"
            )


def _check_range(call: str, x: Any, low: float, high: float, what: str) -> None:
    found = known(x)
    if found is None:
        return
    wrong = ~((found >= low) & (found <= high))
    if wrong.any():
        raise errors.UserError(
            f"{call}: {what} must lie in [{low:g}, {high:g}], got"
            f" {float(found[wrong].ravel()[0]):.6g}"
        )


def poisson(key: Any, rates: Any, steps: int, *, dt: float = 1.0) -> Any:
    """Draw spikes that come at random, each step by itself, with a mean rate.

    **Meaning**: `np.random.random((steps, *rates.shape)) < rates * dt`

    Args:
        key: of `rx.random.key`.
        rates: floating: mean spikes per unit of time; `rates * dt` in [0, 1].
        steps: how many steps to draw.
        dt: the time between two steps.

    Returns:
        Spikes (steps, ...) in the dtype of rates.

    Raises:
        UserError: when steps is no positive int, dt not positive, or a probability
            (where it is known) lies outside of [0, 1].
        DTypeError: when rates is not floating.

    Example:
        >>> import rxcore as rx
        >>> rates = rx.asarray([0.0, 0.5, 1.0])
        >>> spikes = rx.snn.encode.poisson(rx.random.key(0), rates, 1000)
        >>> rx.numpy.round(spikes.mean(0), 1)
        Array([0. , 0.5, 1. ], dtype=float32)
    """
    call = "encode.poisson"
    rates = _floating(call, rates, "rates")
    count = _count(call, steps)
    _positive(call, dt=dt)
    _check_range(call, rates, 0, 1 / dt, "rates (times dt a probability)")
    # A half holds too few numbers in [0, 1) for small rates.
    wide = convert(stop_gradient(rates), state_dtype(rates))
    drawn = random.uniform(key, (count, *rates.shape), wide.dtype)
    return convert(drawn < wide * dt, rates.dtype)


def latency(
    x: Any,
    steps: int,
    *,
    kind: str = "linear",
    tau: float = 1.0,
    threshold: float = 0.01,
) -> Any:
    """Return one spike per number: the larger, the earlier.

    **Meaning**:

        t = np.round((steps - 1) * (1 - x))                # "linear"
        t = np.round(tau * np.log(x / (x - threshold)))    # "log"
        np.arange(steps)[:, None] == t

    The logarithm is the time at which a leaky neuron that is fed with x crosses the
    threshold; numbers that never do, or later than the last step, stay silent.

    Args:
        x: floating, in [0, 1].
        steps: how many steps there are.
        kind: "linear" or "log".
        tau: time constant of "log", in steps.
        threshold: of "log".

    Returns:
        Spikes (steps, ...) in the dtype of x.

    Raises:
        UserError: when an argument is out of range, x (where it is known) included.
        DTypeError: when x is not floating.

    Example:
        >>> import rxcore as rx
        >>> rx.snn.encode.latency(rx.asarray([1.0, 0.5, 0.0]), 3)
        Array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]], dtype=float32)

    Paper: Bohte, Kok and La Poutre, "Error-backpropagation in temporally encoded
    networks of spiking neurons", 2002.
    """
    call = "encode.latency"
    x = _floating(call, x, "x")
    count = _count(call, steps)
    if kind not in ("linear", "log"):
        raise errors.UserError(f"{call}: kind must be 'linear' or 'log', got {kind!r}")
    _positive(call, tau=tau, threshold=threshold)
    _check_range(call, x, 0, 1, "x")
    dtype = x.dtype
    # Halves do not tell late steps apart.
    x = convert(stop_gradient(x), state_dtype(x))
    if kind == "linear":
        time = rnp.round((count - 1) * (1 - x))
    else:
        crosses = x > threshold
        ratio = rnp.where(crosses, x / rnp.where(crosses, x - threshold, 1), 1)
        time = rnp.where(crosses, rnp.round(tau * rnp.log(ratio)), count)
    steps_ = rnp.arange(count).reshape(count, *(1,) * x.ndim)
    return convert(convert(steps_, x.dtype) == time, dtype)


def delta(
    xs: Any, *, threshold: float = 0.1, off: bool = False, initial: Any = None
) -> Any:
    """Return spikes where a signal has risen by a threshold since the last step.

    **Meaning**:

        change = np.diff(xs, axis=0, prepend=xs[:1])
        s = (change >= threshold) * 1.0
        s - (change <= -threshold)             # with `off`

    Args:
        xs: floating signals (time, ...).
        threshold: the least change that counts, positive.
        off: whether a fall gives a spike of -1.
        initial: the signal before the first step (a number, or an array); default:
            what it is in the first step.

    Returns:
        Spikes of xs' shape and dtype.

    Raises:
        UserError: when the threshold is not positive.
        ShapeError: when xs has no axis of time, or initial does not fit.
        DTypeError: when xs is not floating.

    Example:
        >>> import rxcore as rx
        >>> rx.snn.encode.delta(rx.asarray([0.0, 0.5, 0.5, 0.0]), off=True)
        Array([ 0.,  1.,  0., -1.], dtype=float32)
    """
    call = "encode.delta"
    xs = stop_gradient(_floating(call, xs, "xs"))
    if not xs.ndim:
        raise errors.ShapeError(
            f"{call}: xs has rank 0; it must have time as axis 0, (time, ...)"
        )
    _positive(call, threshold=threshold)
    if initial is None:
        before = xs[:1]
    else:
        start = convert(as_numeric(initial, f"{call} (initial)"), xs.dtype)
        check_fits(call, "initial", start.shape, xs.shape[1:])
        before = rnp.broadcast_to(start, xs.shape[1:])[None]
    change = xs - rnp.concatenate([before, xs[:-1]], 0)
    spikes = convert(change >= threshold, xs.dtype)
    return spikes - convert(change <= -threshold, xs.dtype) if off else spikes
