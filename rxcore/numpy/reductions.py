"""Sums, products, extremes and truth along axes, and sums so far."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.numpy.inputs import as_bool, line, literal, numeric, operand
from rxcore.ops import argreduce, cumulate, magnitude, reduce
from rxcore.ops import shape as maps
from rxcore.ops.compare import and_, is_nan, not_, or_, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import add, mul

__all__ = [
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "max",
    "min",
    "nanmax",
    "nanmin",
    "nanprod",
    "nansum",
    "prod",
    "sum",
]


def summed_dtype(dtype: DType, wanted: Any) -> DType:
    """Return the dtype of a sum: bool and narrow integers add up in 32 bits."""
    if wanted is not None:
        return dtypes.as_dtype(wanted)
    if dtypes.is_bool(dtype):
        return dtypes.default_int()
    if dtypes.is_integer(dtype) and dtype.itemsize < 4:
        return dtypes.int32 if dtypes.is_signed(dtype) else dtypes.uint32
    return dtype


def masked(x: Any, where: Any, value: Any, call: str) -> Any:
    """Replace elements that do not count."""
    if where is None:
        return x
    return select(as_bool(where, call), x, literal(value, x.dtype))


def sum(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Add up elements along axes.

    **Meaning**: `np.sum(x, axis, dtype, keepdims=keepdims)`; integers of less than 32
    bits, and bools, add up in 32; halves are added in float32 and rounded once.

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to add and answer.
        keepdims: whether the axes stay with length 1.
        initial: a number to begin with.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array without the axes; 0 where they are empty.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.sum([[1, 2], [3, 4]], axis=0)
        Array([4, 6], dtype=int32)
    """
    found = numeric(x, "sum")
    found = convert(found, summed_dtype(found.dtype, dtype))
    found = masked(found, where, 0, "sum")
    if dtypes.is_bool(found.dtype):
        return any(found, axis, keepdims=keepdims)
    out = reduce.sum_(found, axis, keepdims=keepdims)
    return out if initial is None else _begun(add, out, initial)


def _begun(op: Any, out: Any, initial: Any) -> Any:
    start = convert(numeric(initial, "initial"), out.dtype)
    return op(out, start)


def prod(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Multiply elements along axes.

    **Meaning**: `np.prod(x, axis, dtype, keepdims=keepdims)`; integers of less than 32
    bits, and bools, are multiplied in 32.

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to multiply and answer.
        keepdims: whether the axes stay with length 1.
        initial: a number to begin with.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array without the axes; 1 where they are empty.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.prod([2, 3, 4])
        Array(24, dtype=int32)
    """
    found = numeric(x, "prod")
    found = convert(found, summed_dtype(found.dtype, dtype))
    found = masked(found, where, 1, "prod")
    if dtypes.is_bool(found.dtype):
        return all(found, axis, keepdims=keepdims)
    out = reduce.prod_(found, axis, keepdims=keepdims)
    return out if initial is None else _begun(mul, out, initial)


def _lowest(dtype: DType) -> Any:
    if dtypes.is_bool(dtype):
        return False
    return int(np.iinfo(dtype).min) if dtypes.is_integer(dtype) else -math.inf


def _highest(dtype: DType) -> Any:
    if dtypes.is_bool(dtype):
        return True
    return int(np.iinfo(dtype).max) if dtypes.is_integer(dtype) else math.inf


def _extreme(
    call: str, x: Any, axis: Any, keepdims: bool, initial: Any, where: Any
) -> Any:
    op, join, worst = {
        "max": (reduce.max_, magnitude.maximum, _lowest),
        "min": (reduce.min_, magnitude.minimum, _highest),
    }[call]
    found = numeric(x, call)
    axes = maps.normalize_axes(axis, found.ndim, call)
    if initial is None:
        if where is not None:
            raise errors.UserError(
                f"{call}: where= needs initial=, the result where no element counts"
            )
        if builtins.any(found.shape[a] == 0 for a in axes):
            raise errors.ShapeError(
                f"{call}: no element along axes {axes} of shape {found.shape}; give"
                " initial=, the result where there is none"
            )
    found = masked(found, where, worst(found.dtype), call)
    out = op(found, axis, keepdims=keepdims)
    return out if initial is None else join(out, operand(initial, call))


def max(
    x: Any,
    axis: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Take the largest element along axes; NaN where one is NaN.

    **Meaning**: `np.max(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers or bools.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.
        initial: a number that takes part; needed where the axes are empty.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array of the dtype of `x`.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when an axis is out of range, given twice, or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.max([[1, 5], [3, 4]], axis=1)
        Array([5, 4], dtype=int32)
    """
    return _extreme("max", x, axis, keepdims, initial, where)


def min(
    x: Any,
    axis: Any = None,
    *,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Take the smallest element along axes; NaN where one is NaN.

    **Meaning**: `np.min(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers or bools.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.
        initial: a number that takes part; needed where the axes are empty.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array of the dtype of `x`.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when an axis is out of range, given twice, or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.min([[1, 5], [3, 4]], axis=1)
        Array([1, 3], dtype=int32)
    """
    return _extreme("min", x, axis, keepdims, initial, where)


amax = max
amin = min


def all(x: Any, axis: Any = None, *, keepdims: bool = False, where: Any = None) -> Any:
    """Say whether all elements along axes are true (not 0).

    **Meaning**: `np.all(x, axis, keepdims=keepdims)`

    Args:
        x: array.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array of bools without the axes; True where they are empty.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.all([[1, 0], [3, 4]], axis=1)
        Array([False,  True], dtype=bool)
    """
    found = as_bool(x, "all")
    if where is not None:
        found = or_(found, not_(as_bool(where, "all")))
    return reduce.all_(found, axis, keepdims=keepdims)


def any(x: Any, axis: Any = None, *, keepdims: bool = False, where: Any = None) -> Any:
    """Say whether some element along axes is true (not 0).

    **Meaning**: `np.any(x, axis, keepdims=keepdims)`

    Args:
        x: array.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array of bools without the axes; False where they are empty.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.any([[0, 0], [3, 0]], axis=1)
        Array([False,  True], dtype=bool)
    """
    found = as_bool(x, "any")
    if where is not None:
        found = and_(found, as_bool(where, "any"))
    return reduce.any_(found, axis, keepdims=keepdims)


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Say where the largest element along an axis is: the first, or the first NaN.

    **Meaning**: `np.argmax(x, axis, keepdims=keepdims).astype(np.int32)`

    Args:
        x: array of real numbers or bools.
        axis: int, or None for the place in the flattened array.
        keepdims: whether the axis stays with length 1.

    Returns:
        int32 array of places.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when the axis is out of range or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.argmax([[1, 5, 5], [3, 0, 1]], axis=1)
        Array([1, 0], dtype=int32)
    """
    return argreduce.argmax(numeric(x, "argmax"), axis, keepdims=keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Say where the smallest element along an axis is: the first, or the first NaN.

    **Meaning**: `np.argmin(x, axis, keepdims=keepdims).astype(np.int32)`

    Args:
        x: array of real numbers or bools.
        axis: int, or None for the place in the flattened array.
        keepdims: whether the axis stays with length 1.

    Returns:
        int32 array of places.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when the axis is out of range or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.argmin([[1, 5, 5], [3, 0, 1]], axis=1)
        Array([0, 1], dtype=int32)
    """
    return argreduce.argmin(numeric(x, "argmin"), axis, keepdims=keepdims)


def count_nonzero(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Count the elements along axes that are not 0.

    **Meaning**: `np.count_nonzero(x, axis, keepdims=keepdims).astype(np.int32)`

    Args:
        x: array.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        int32 array without the axes.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.count_nonzero([1, 0, 3])
        Array(2, dtype=int32)
    """
    found = as_bool(x, "count_nonzero")
    return sum(found, axis, dtypes.int32, keepdims=keepdims)


# sums so far ------------------------------------------------------------------------


def _so_far(op: Any, call: str, x: Any, axis: Any, dtype: Any) -> Any:
    found = numeric(x, call)
    if axis is None:
        found, axis = line(found, call), 0
    return op(convert(found, summed_dtype(found.dtype, dtype)), axis)


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Add up the elements so far along an axis.

    **Meaning**: `np.cumsum(x, axis, dtype)`; integers of less than 32 bits, and bools,
    add up in 32.

    Args:
        x: array of numbers.
        axis: the axis; None flattens first.
        dtype: the dtype in which to add and answer.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the axis is out of range.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.cumsum([1, 2, 3])
        Array([1, 3, 6], dtype=int32)
    """
    return _so_far(cumulate.cumsum, "cumsum", x, axis, dtype)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Multiply the elements so far along an axis.

    **Meaning**: `np.cumprod(x, axis, dtype)`; integers of less than 32 bits, and bools,
    are multiplied in 32.

    Args:
        x: array of numbers.
        axis: the axis; None flattens first.
        dtype: the dtype in which to multiply and answer.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the axis is out of range.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.cumprod([1, 2, 3])
        Array([1, 2, 6], dtype=int32)
    """
    return _so_far(cumulate.cumprod, "cumprod", x, axis, dtype)


# what is not NaN --------------------------------------------------------------------


def without_nan(x: Any, value: Any, call: str) -> tuple[Any, Any]:
    """Return an array with NaN replaced, and where it was none."""
    found = numeric(x, call)
    valid = not_(is_nan(found))
    return select(valid, found, literal(value, found.dtype)), valid


def nansum(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False
) -> Any:
    """Add up the elements along axes that are not NaN.

    **Meaning**: `np.nansum(x, axis, dtype, keepdims=keepdims)`

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to add and answer.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array without the axes; 0 where no element counts.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nansum([1.0, float("nan"), 2.0])
        Array(3., dtype=float32)
    """
    return sum(without_nan(x, 0, "nansum")[0], axis, dtype, keepdims=keepdims)


def nanprod(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False
) -> Any:
    """Multiply the elements along axes that are not NaN.

    **Meaning**: `np.nanprod(x, axis, dtype, keepdims=keepdims)`

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to multiply and answer.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array without the axes; 1 where no element counts.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nanprod([3.0, float("nan"), 2.0])
        Array(6., dtype=float32)
    """
    return prod(without_nan(x, 1, "nanprod")[0], axis, dtype, keepdims=keepdims)


def _nan_extreme(call: str, op: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    found = numeric(x, call)
    if not dtypes.is_float(found.dtype):
        return op(found, axis, keepdims=keepdims)
    worst = -math.inf if op is max else math.inf
    filled, valid = without_nan(found, worst, call)
    out = op(filled, axis, keepdims=keepdims)
    some = any(valid, axis, keepdims=keepdims)
    return select(some, out, literal(math.nan, found.dtype))


def nanmax(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Take the largest element along axes that is not NaN.

    **Meaning**: `np.nanmax(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; NaN where all elements are.

    Raises:
        ShapeError: when an axis is out of range, given twice, or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nanmax([1.0, float("nan"), 2.0])
        Array(2., dtype=float32)
    """
    return _nan_extreme("nanmax", max, x, axis, keepdims)


def nanmin(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Take the smallest element along axes that is not NaN.

    **Meaning**: `np.nanmin(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; NaN where all elements are.

    Raises:
        ShapeError: when an axis is out of range, given twice, or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nanmin([1.0, float("nan"), 2.0])
        Array(1., dtype=float32)
    """
    return _nan_extreme("nanmin", min, x, axis, keepdims)
