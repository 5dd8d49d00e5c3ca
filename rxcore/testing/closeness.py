"""How far results lie apart, in units in the last place."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType

__all__ = ["assert_close", "spacing", "ulps_between"]


def ulps_between(found: Any, expected: Any, whole: bool = False) -> float:
    """Return the largest error in units in the last place of the expected dtype.

    Infinities and NaN must be equal (else the answer is inf); numbers that are not
    floating must be equal; a complex error counts against the modulus.

    Args:
        found: array.
        expected: array.
        whole: whether an error counts against the largest element, not its own.

    Example:
        >>> ulps_between(np.float32([1, 2]), np.float32([1, 2]))
        0.0
    """
    found, expected = np.asarray(found), np.asarray(expected)
    dtype = expected.dtype
    if not expected.size:
        return 0.0
    if not dtypes.is_inexact(dtype):
        return 0.0 if np.array_equal(found, expected) else float("inf")
    if dtypes.is_complex(dtype):
        return _complex_ulps(found, expected, whole)
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), expected.astype(np.float64)
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        error = np.where(same, 0.0, np.abs(a - b) / _unit(np.abs(b), dtype, whole))
        bad = ~same & ~(np.isfinite(a) & np.isfinite(b))
    return float(np.max(np.where(bad, np.inf, error)))


def _complex_ulps(found: Any, expected: Any, whole: bool) -> float:
    with np.errstate(all="ignore"):
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        part = dtypes.real_part(expected.dtype)
        unit = _unit(np.abs(expected).astype(np.float64), part, whole)
        error = np.where(same, 0.0, np.abs(found - expected) / unit)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


_BITS = {dtypes.float16: (10, -14), dtypes.bfloat16: (7, -126)}


def _unit(size: Any, dtype: DType, whole: bool) -> Any:
    if whole:
        size = np.max(np.where(np.isfinite(size), size, 0.0))
    return spacing(size, dtype)


def spacing(x: Any, dtype: DType) -> Any:
    """Return the distance between neighbours of `dtype` at the float64 values x."""
    info = np.finfo(dtype) if dtype not in _BITS else None
    fraction, least = (
        (int(info.nmant), int(info.minexp)) if info is not None else _BITS[dtype]
    )
    _, exponent = np.frexp(np.where(np.isfinite(x), x, 1.0))
    return np.ldexp(1.0, np.maximum(exponent - 1, least) - fraction)


def assert_close(
    found: Any,
    expected: Any,
    ulps: float,
    what: str = "values",
    whole: bool = False,
) -> None:
    """Raise unless two arrays agree in dtype, shape, and values up to some ULP."""
    found, expected = np.asarray(found), np.asarray(expected)
    kinds = (found.dtype, found.shape), (expected.dtype, expected.shape)
    assert kinds[0] == kinds[1], f"{what}: found {kinds[0]}, expected {kinds[1]}"
    error = ulps_between(found, expected, whole)
    assert error <= ulps, (
        f"{what}: error of {error:.3g} ULP, allowed {ulps}:\n{found}\n  expected\n"
        f"{expected}"
    )
