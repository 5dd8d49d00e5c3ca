"""Readouts: numbers out of spikes and potentials over time."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.argreduce import argmax
from rxcore.trace.bind import as_numeric

__all__ = ["count", "first_spike", "max_membrane"]


def _timed(call: str, x: Any) -> Any:
    found = as_numeric(x, call)
    if not found.ndim or not found.shape[0]:
        raise errors.ShapeError(
            f"{call}: expected time as axis 0, with at least one step, got {found.type}"
        )
    return found


def count(spikes: Any) -> Any:
    """Count the spikes of each neuron.

    **Meaning**: `spikes.sum(0)`

    Args:
        spikes: (time, neurons...), any dtype.

    Returns:
        Counts (neurons...): floating for floating spikes, else int32.

    Raises:
        ShapeError: when there is no time.

    Example:
        >>> import rxcore as rx
        >>> rx.snn.decode.count(rx.asarray([[1.0, 0.0], [1.0, 1.0]]))
        Array([2., 1.], dtype=float32)
    """
    found = _timed("decode.count", spikes)
    if not (dtypes.is_float(found.dtype) or dtypes.is_complex(found.dtype)):
        found = found.astype(dtypes.int32)
    return rnp.sum(found, 0)


def first_spike(spikes: Any) -> Any:
    """Return the step of each neuron's first spike; the number of steps if none came.

    **Meaning**: `np.where(spikes.any(0), (spikes != 0).argmax(0), len(spikes))`

    Args:
        spikes: (time, neurons...), any dtype.

    Returns:
        int32 (neurons...).

    Raises:
        ShapeError: when there is no time.

    Example:
        >>> import rxcore as rx
        >>> rx.snn.decode.first_spike(rx.asarray([[0.0, 0.0], [1.0, 0.0]]))
        Array([1, 2], dtype=int32)
    """
    found = _timed("decode.first_spike", spikes) != 0
    first = argmax(found.astype(dtypes.int8), 0).astype(dtypes.int32)
    return rnp.where(rnp.any(found, 0), first, found.shape[0])


def max_membrane(potentials: Any) -> Any:
    """Return each neuron's highest potential.

    **Meaning**: `potentials.max(0)`

    Args:
        potentials: (time, neurons...), as `lif_scan(..., output="trace")` gives them.

    Returns:
        (neurons...), differentiable.

    Raises:
        ShapeError: when there is no time.

    Example:
        >>> import rxcore as rx
        >>> rx.snn.decode.max_membrane(rx.asarray([[0.5, 0.1], [0.2, 0.7]]))
        Array([0.5, 0.7], dtype=float32)
    """
    return rnp.max(_timed("decode.max_membrane", potentials), 0)
