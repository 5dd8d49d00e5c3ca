"""Pooling: one number for each window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert
from rxcore.ops.convolve import resolve_padding
from rxcore.ops.window import reduce_window
from rxcore.trace.bind import as_numeric

__all__ = ["avg_pool", "max_pool"]


def max_pool(
    x: Any,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Any = "VALID",
) -> Any:
    """Return the largest number of each window over the space axes.

    **Meaning**, for one space axis:

        windows = np.lib.stride_tricks.sliding_window_view(x, window, -1)
        windows[..., ::stride, :].max(-1)

    Args:
        x: real array of shape (batch, channel, space...).
        window: length of the window, per space axis or for all.
        stride: distance between windows; default: their length.
        padding: "VALID", "SAME", an int, or pairs; padding is never the largest.

    Returns:
        Array of shape (batch, channel, space...) and the dtype of `x`.

    Raises:
        ShapeError: when x has no space axis, or the settings do not fit it.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.max_pool(rx.asarray([[[1.0, 3.0, 2.0, 5.0]]]), 2)
        Array([[[3., 5.]]], dtype=float32)
    """
    x, settings = _windows(x, window, stride, padding, "nn.max_pool")
    return reduce_window(x, None, "max", *settings)


def avg_pool(
    x: Any,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Any = "VALID",
    count_include_pad: bool = True,
) -> Any:
    """Return the mean of each window over the space axes.

    **Meaning**, for one space axis:

        windows = np.lib.stride_tricks.sliding_window_view(x, window, -1)
        windows[..., ::stride, :].mean(-1)

    Args:
        x: real array of shape (batch, channel, space...); integers are converted to
            floating first.
        window: length of the window, per space axis or for all.
        stride: distance between windows; default: their length.
        padding: "VALID", "SAME", an int, or pairs.
        count_include_pad: whether padding counts as zeros; else the mean is over the
            elements of x only.

    Returns:
        Array of shape (batch, channel, space...).

    Raises:
        ShapeError: when x has no space axis, or the settings do not fit it.

    Example:
        >>> import rxcore as rx
        >>> rx.nn.avg_pool(rx.asarray([[[1.0, 3.0, 2.0, 5.0]]]), 2)
        Array([[[2. , 3.5]]], dtype=float32)
    """
    x, settings = _windows(x, window, stride, padding, "nn.avg_pool")
    if not dtypes.is_inexact(x.dtype):
        x = convert(x, dtypes.to_inexact(x.dtype))
    total = reduce_window(x, None, "add", *settings)
    if count_include_pad:
        return total / math.prod(settings[0])
    ones = rnp.ones((1, 1, *x.shape[2:]), x.dtype)
    return total / reduce_window(ones, None, "add", *settings)


Settings = tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]


def _windows(
    x: Any, window: Any, stride: Any, padding: Any, call: str
) -> tuple[Any, Settings]:
    """Return x, and window, stride and padding for all its axes."""
    x = as_numeric(x, call)
    rank = x.ndim - 2
    if rank < 1:
        raise errors.ShapeError(
            f"{call}: x has shape {x.shape}; expected (batch, channel, space...)"
        )
    sizes = _per_axis(window, rank, "window", call)
    steps = sizes if stride is None else _per_axis(stride, rank, "stride", call)
    pairs = resolve_padding(padding, x.shape[2:], sizes, steps, call)
    return x, ((1, 1, *sizes), (1, 1, *steps), ((0, 0), (0, 0), *pairs))


def _per_axis(given: Any, rank: int, name: str, call: str) -> tuple[int, ...]:
    found = (given,) * rank if isinstance(given, int) else tuple(given)
    if len(found) != rank or any(n < 1 for n in found):
        raise errors.ShapeError(
            f"{call}: {name}={given}; expected a positive int, or {rank} of them, one"
            " per space axis"
        )
    return found
