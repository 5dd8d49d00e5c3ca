"""How far results lie apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import dtypes

__all__ = ["error_of", "first_difference"]


def error_of(found: Any, expected: Any, spread: bool = False) -> float:
    """Return the largest error in units in the last place of what is expected.

    It is inf where dtypes or shapes differ, where only one is finite, and where
    numbers that are not floating differ.

    Args:
        found: array.
        expected: array.
        spread: whether an error counts against the largest element, not its own.
    """
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return float("inf")
    if not expected.size:
        return 0.0
    if not dtypes.is_inexact(expected.dtype):
        return 0.0 if np.array_equal(found, expected) else float("inf")
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), expected.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        if same.all():
            return 0.0
        finite = np.isfinite(a) & np.isfinite(b)
        size = np.where(np.isfinite(b), np.abs(b), 0)
        unit = _unit(np.max(size) if spread else size, expected.dtype)
        error = np.where(same, 0.0, np.where(finite, np.abs(a - b) / unit, np.inf))
    return float(np.max(error))


def _unit(size: Any, dtype: Any) -> Any:
    """Return the distance between neighbours of a dtype at float64 values."""
    return np.spacing(np.asarray(size).astype(dtype)).astype(np.float64)


def first_difference(found: Any, expected: Any) -> str:
    """Say where two arrays differ first, and in how many places."""
    if (found.dtype, found.shape) != (expected.dtype, expected.shape):
        return (
            f"found {found.dtype.name} of shape {found.shape}, expected"
            f" {expected.dtype.name} of shape {expected.shape}"
        )
    differ = (found != expected) & ~((found != found) & (expected != expected))
    count = int(np.count_nonzero(differ))
    at = tuple(int(i) for i in np.argwhere(differ)[0])
    place = f" at {list(at)}" if at else ""
    many = f" ({count} of {expected.size} elements differ)" if count > 1 else ""
    return f"found {found[at]}, expected {expected[at]}{place}{many}"
