"""What is refused; values are looked at where they are known, outside of traces."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.control.jit import jit
from rxcore.quant.spec import QuantSpec
from rxcore.trace.bind import as_numeric, known_numbers

__all__ = [
    "check_finite_range",
    "check_finite_scale",
    "check_no_nan",
    "check_zero_point",
    "floating",
    "is_symmetric",
]


def floating(x: Any, call: str) -> Any:
    """Return x as an array.

    Raises:
        DTypeError: when it is not real floating.
    """
    x = as_numeric(x, call)
    if not dtypes.is_float(x.dtype):
        raise errors.DTypeError(
            f"{call}: got {x.dtype.name} (shape {x.shape}); expected a real floating"
            " dtype: convert it with .astype(...)"
        )
    return x


@jit
def _count_nan(x: Any) -> Any:
    return rnp.sum(rnp.isnan(x))


@jit
def _count_infinite(x: Any) -> Any:
    return rnp.sum(rnp.isinf(x))


def check_no_nan(x: Any, call: str, name: str = "x") -> None:
    """Refuse NaN.

    Raises:
        UserError: when x is known and holds NaN.
    """
    numbers = known_numbers(x)
    count = 0 if numbers is None else int(_count_nan(numbers))
    if count:
        raise errors.UserError(
            f"{call}: {name} (shape {x.shape}) holds {count} NaN, which no code stands"
            " for; replace them first, as with rx.numpy.nan_to_num"
        )


def check_finite_range(x: Any, call: str) -> None:
    """Refuse infinite elements, which leave no scale to choose.

    Raises:
        UserError: when x is known and holds one.
    """
    numbers = known_numbers(x)
    count = 0 if numbers is None else int(_count_infinite(numbers))
    if count:
        raise errors.UserError(
            f"{call}: x (shape {x.shape}) holds {count} infinite elements, so its range"
            " has no scale; clip it first, or give a scale"
        )


def check_finite_scale(scale: Any, call: str, why: str = "") -> None:
    """Refuse scales by which nothing can be divided.

    Raises:
        UserError: when they are known, and one is not positive or not finite.
    """
    numbers = known_numbers(scale)
    if numbers is None:
        return
    host = np.asarray(numbers).astype(np.float64)
    wrong = ~((host > 0) & (host < np.inf))
    if wrong.any():
        at = tuple(map(int, np.argwhere(wrong)[0]))
        raise errors.UserError(
            f"{call}: {why}scale{list(at) if at else ''} is {host[at]:g}; expected"
            " positive finite scales"
        )


def is_symmetric(spec: QuantSpec, zero_point: Any, call: str) -> bool:
    """Say whether a spec has no zero points.

    Raises:
        UserError: when one is given all the same.
    """
    if spec.symmetric and zero_point is not None:
        raise errors.UserError(
            f"{call}: zero_point is given, but the spec is symmetric; pass a spec"
            " with symmetric=False"
        )
    return spec.symmetric


def check_zero_point(zero: Any, spec: QuantSpec, call: str) -> None:
    """Refuse zero points that are no codes, or not finite.

    Raises:
        DTypeError: when an integer is expected and none came.
        UserError: when they are known, and one is out of range.
    """
    whole = spec.zero_point == "int"
    if whole and not dtypes.is_integer(zero.dtype):
        raise errors.DTypeError(
            f"{call}: zero_point is {zero.dtype.name}, the spec wants integers: convert"
            " it, or pass a spec with zero_point='float'"
        )
    numbers = known_numbers(zero)
    if numbers is None:
        return
    host = np.asarray(numbers).astype(np.float64)
    wrong = ~np.isfinite(host)
    expected = "finite numbers"
    if whole:
        wrong = (host < spec.lowest) | (host > spec.highest)
        expected = f"codes, {spec.lowest} to {spec.highest}"
    if wrong.any():
        at = tuple(map(int, np.argwhere(wrong)[0]))
        raise errors.UserError(
            f"{call}: zero_point{list(at) if at else ''} is {host[at]:g}; expected"
            f" {expected}"
        )
