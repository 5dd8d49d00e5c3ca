"""Means, variances and what lies in the middle."""

from __future__ import annotations

import math
from typing import Any

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.numpy import reductions
from rxcore.numpy.inputs import as_bool, literal, numeric
from rxcore.numpy.logic import isclose
from rxcore.ops import complex_parts, mathematics
from rxcore.ops import shape as maps
from rxcore.ops.compare import and_, eq, is_nan, or_, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import add, div, mul, sub
from rxcore.ops.magnitude import maximum
from rxcore.ops.power import square
from rxcore.ops.sort import sort

__all__ = ["allclose", "array_equal", "mean", "median", "nanmean", "std", "var"]


def _widths(dtype: DType, wanted: Any) -> tuple[DType, DType]:
    """Return the dtype of an average, and the one in which to compute it."""
    found = dtypes.to_inexact(dtype) if wanted is None else dtypes.as_dtype(wanted)
    inexact = dtypes.to_inexact(found)
    return found, dtypes.float32 if inexact in dtypes.HALVES else inexact


def _count(x: Any, axis: Any, keepdims: bool, where: Any, dtype: DType) -> Any:
    """Return how many elements count, as a number or an array."""
    if where is None:
        axes = maps.normalize_axes(axis, x.ndim, "mean")
        return literal(math.prod(x.shape[a] for a in axes), dtypes.real_part(dtype))
    spread = maps.broadcast_to(as_bool(where, "mean"), x.shape)
    return reductions.sum(spread, axis, dtypes.real_part(dtype), keepdims=keepdims)


def mean(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """Average elements along axes.

    **Meaning**: `np.mean(x, axis, dtype, keepdims=keepdims)`; of int32 it is float32,
    of int64 float64; halves are averaged in float32.

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to compute and answer.
        keepdims: whether the axes stay with length 1.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array without the axes; NaN where no element counts.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.mean([[1, 2], [3, 4]], axis=0)
        Array([2., 3.], dtype=float32)
    """
    found = numeric(x, "mean")
    answer, wide = _widths(found.dtype, dtype)
    total = reductions.sum(found, axis, wide, keepdims=keepdims, where=where)
    count = _count(found, axis, keepdims, where, wide)
    return convert(div(total, count), answer)


def var(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """Return the variance of elements along axes.

    **Meaning**: `np.mean(np.abs(x - np.mean(x)) ** 2)`, divided by n - ddof in place of
    n; dtypes as in `mean`.

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to compute and answer.
        ddof: what the divisor lacks to the number of elements.
        keepdims: whether the axes stay with length 1.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array without the axes, real.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.var([1.0, 2.0, 3.0], ddof=1)
        Array(1., dtype=float32)
    """
    found = numeric(x, "var")
    answer, wide = _widths(found.dtype, dtype)
    full = convert(found, wide)
    middle = mean(full, axis, keepdims=True, where=where)
    gap = sub(full, middle)
    if dtypes.is_complex(wide):
        parts = complex_parts.real(gap), complex_parts.imag(gap)
        squares = add(square(parts[0]), square(parts[1]))
    else:
        squares = square(gap)
    total = reductions.sum(squares, axis, keepdims=keepdims, where=where)
    count = _count(found, axis, keepdims, where, wide)
    freedom = maximum(sub(count, ddof), 0)
    return convert(div(total, freedom), dtypes.real_part(answer))


def std(
    x: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """Return the standard deviation of elements along axes.

    **Meaning**: `np.sqrt(np.var(x, axis, dtype, ddof=ddof, keepdims=keepdims))`

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to compute and answer.
        ddof: what the divisor lacks to the number of elements.
        keepdims: whether the axes stay with length 1.
        where: bools that broadcast to the shape: which elements count.

    Returns:
        Array without the axes, real.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.std([1.0, 3.0])
        Array(1., dtype=float32)
    """
    found = numeric(x, "std")
    answer, wide = _widths(found.dtype, dtype)
    spread = var(found, axis, wide, ddof=ddof, keepdims=keepdims, where=where)
    return convert(mathematics.sqrt(spread), dtypes.real_part(answer))


def nanmean(
    x: Any, axis: Any = None, dtype: Any = None, *, keepdims: bool = False
) -> Any:
    """Average the elements along axes that are not NaN.

    **Meaning**: `np.nanmean(x, axis, dtype, keepdims=keepdims)`

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        dtype: the dtype in which to compute and answer.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array without the axes; NaN where no element counts.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nanmean([1.0, float("nan"), 3.0])
        Array(2., dtype=float32)
    """
    filled, valid = reductions.without_nan(x, 0, "nanmean")
    return mean(filled, axis, dtype, keepdims=keepdims, where=valid)


def median(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return the middle element along an axis, or the mean of the two in the middle.

    **Meaning**: `np.median(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array without the axes, floating; NaN where one is NaN.

    Raises:
        ShapeError: when an axis is out of range, given twice, or empty.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.median([3.0, 1.0, 2.0, 10.0])
        Array(2.5, dtype=float32)
    """
    found = numeric(x, "median")
    axes = maps.normalize_axes(axis, found.ndim, "median")
    kept = tuple(i for i in range(found.ndim) if i not in axes)
    outer = tuple(found.shape[i] for i in kept)
    size = math.prod(found.shape[i] for i in axes)
    if not size:
        raise errors.ShapeError(
            f"median: no element along axes {axes} of shape {found.shape}"
        )
    rows = convert(found, dtypes.to_inexact(found.dtype))
    rows = maps.reshape(maps.transpose(rows, (*kept, *axes)), (*outer, size))
    ordered = sort(rows)
    low, high = (_column(ordered, i) for i in ((size - 1) // 2, size // 2))
    # NaN is sorted to the end.
    last = _column(ordered, size - 1)
    out = select(is_nan(last), last, mul(add(low, high), 0.5))
    shape = tuple(1 if i in axes else n for i, n in enumerate(found.shape))
    return maps.reshape(out, shape if keepdims else outer)


def _column(x: Any, place: int) -> Any:
    start = (*(0,) * (x.ndim - 1), place)
    stop = (*x.shape[:-1], place + 1)
    return maps.reshape(maps.slice_(x, start, stop), x.shape[:-1])


# comparing arrays as a whole --------------------------------------------------------


def allclose(
    x: Any, y: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Any:
    """Say whether all numbers are equal up to a tolerance.

    **Meaning**: `np.allclose(x, y, rtol, atol, equal_nan)`

    Args:
        x: array or number.
        y: array or number.
        rtol: tolerance in units of |y|.
        atol: tolerance.
        equal_nan: whether NaN equals NaN.

    Returns:
        bool array of rank 0.

    Raises:
        ShapeError: when shapes do not broadcast together.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.allclose([1.0, 2.0], [1.0, 2.0000001])
        Array(True, dtype=bool)
    """
    return reductions.all(isclose(x, y, rtol, atol, equal_nan))


def array_equal(x: Any, y: Any, equal_nan: bool = False) -> Any:
    """Say whether two arrays have the same shape and elements.

    **Meaning**: `np.array_equal(x, y, equal_nan)`

    Args:
        x: array.
        y: array.
        equal_nan: whether NaN equals NaN.

    Returns:
        bool array of rank 0.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.array_equal([1, 2], [1, 2, 3])
        Array(False, dtype=bool)
    """
    a, b = numeric(x, "array_equal"), numeric(y, "array_equal")
    if a.shape != b.shape:
        return literal(False, dtypes.bool_)
    same = eq(a, b)
    if equal_nan:
        same = or_(same, and_(is_nan(a), is_nan(b)))
    return reductions.all(same)
