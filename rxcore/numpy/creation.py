"""Arrays from nothing but a shape, a range or a number."""

from __future__ import annotations

import math
from typing import Any

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.operators import Numeric
from rxcore.numpy.inputs import counts, literal, numeric
from rxcore.ops import shape as maps
from rxcore.ops.compare import eq, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import add, div, floor, mul, sub
from rxcore.ops.families import broadcast_shapes
from rxcore.ops.iota import broadcasted_iota, iota
from rxcore.runtime.array import asarray as from_anything
from rxcore.runtime.array import beside
from rxcore.trace.tracer import Tracer

__all__ = [
    "arange",
    "array",
    "asarray",
    "copy",
    "empty",
    "empty_like",
    "eye",
    "full",
    "full_like",
    "identity",
    "linspace",
    "meshgrid",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


def asarray(x: Any, dtype: Any = None, *, copy: bool | None = None) -> Any:
    """Make an immutable array.

    **Meaning**: `np.asarray(x, dtype)`, with Python numbers in the default dtypes
    (float32, int32) instead of NumPy's 64-bit ones.

    Args:
        x: array, number, or nested lists of them, traced ones too.
        dtype: what the elements become; default: as they are.
        copy: without meaning: an array that nobody can change needs no copy of its
            own, and a writable ndarray is always copied.

    Returns:
        An array.

    Raises:
        DTypeError: when the elements are of a dtype that rxcore does not compute with.
        ShapeError: when nested lists are ragged.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.asarray([[1, 2], [3, 4]], rnp.float32)
        Array([[1., 2.],
               [3., 4.]], dtype=float32)
    """
    del copy
    if not isinstance(x, Numeric | list | tuple):
        return from_anything(x, dtype)
    found = numeric(x, "asarray")
    return convert(found, found.dtype if dtype is None else dtype)


def array(x: Any, dtype: Any = None, *, copy: bool = True, ndmin: int = 0) -> Any:
    """Make an immutable array.

    **Meaning**: `np.array(x, dtype, ndmin=ndmin)`, with Python numbers in the default
    dtypes (float32, int32).

    Args:
        x: array, number, or nested lists of them, traced ones too.
        dtype: what the elements become; default: as they are.
        copy: without meaning: see `asarray`.
        ndmin: the least number of axes; axes of length 1 come in front.

    Returns:
        An array.

    Raises:
        DTypeError: when the elements are of a dtype that rxcore does not compute with.
        ShapeError: when nested lists are ragged.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.array([1, 2], ndmin=2)
        Array([[1, 2]], dtype=int32)
    """
    found = asarray(x, dtype, copy=copy)
    return maps.reshape(found, (1,) * (ndmin - found.ndim) + found.shape)


def copy(x: Any) -> Any:
    """Return an array of the same elements.

    **Meaning**: `np.copy(x)`; of an Array it is the Array itself, since nobody can
    change it.

    Args:
        x: array.

    Returns:
        Array of the shape and dtype of `x`.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.copy([1, 2])
        Array([1, 2], dtype=int32)
    """
    return asarray(x)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array that repeats a value.

    **Meaning**: `np.full(shape, fill_value, dtype)`

    Args:
        shape: int or ints.
        fill_value: a number, or an array that broadcasts to the shape.
        dtype: default: that of the value.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the shape is none, or the value does not broadcast to it.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.full((2, 2), 7)
        Array([[7, 7],
               [7, 7]], dtype=int32)
    """
    sizes = counts(shape, "full")
    value = numeric(fill_value, "full")
    found = value.dtype if dtype is None else dtypes.as_dtype(dtype)
    return maps.broadcast_to(convert(value, found), sizes)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Return zeros.

    **Meaning**: `np.zeros(shape, dtype)`, by default in float32.

    Args:
        shape: int or ints.
        dtype: default: the default float.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.zeros(3)
        Array([0., 0., 0.], dtype=float32)
    """
    return full(counts(shape, "zeros"), 0, float if dtype is None else dtype)


def ones(shape: Any, dtype: Any = None) -> Any:
    """Return ones.

    **Meaning**: `np.ones(shape, dtype)`, by default in float32.

    Args:
        shape: int or ints.
        dtype: default: the default float.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.ones((1, 2), rnp.int8)
        Array([[1, 1]], dtype=int8)
    """
    return full(counts(shape, "ones"), 1, float if dtype is None else dtype)


def empty(shape: Any, dtype: Any = None) -> Any:
    """Return an array whose elements mean nothing: zeros.

    **Meaning**: `np.zeros(shape, dtype)`

    Args:
        shape: int or ints.
        dtype: default: the default float.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.empty((2, 3)).shape
        (2, 3)
    """
    return full(counts(shape, "empty"), 0, float if dtype is None else dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Return an array that repeats a value, of the shape and dtype of another.

    **Meaning**: `np.full_like(x, fill_value, dtype, shape=shape)`

    Args:
        x: array.
        fill_value: a number, or an array that broadcasts to the shape.
        dtype: default: that of `x`.
        shape: default: that of `x`.

    Returns:
        Array of the shape.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.full_like([1.5, 2.5], 3)
        Array([3., 3.], dtype=float32)
    """
    like = numeric(x, "full_like")
    sizes = like.shape if shape is None else shape
    return beside(full(sizes, fill_value, like.dtype if dtype is None else dtype), like)


def zeros_like(x: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Return zeros of the shape and dtype of another array.

    **Meaning**: `np.zeros_like(x, dtype, shape=shape)`

    Args:
        x: array.
        dtype: default: that of `x`.
        shape: default: that of `x`.

    Returns:
        Array of the shape.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.zeros_like([1, 2])
        Array([0, 0], dtype=int32)
    """
    return full_like(x, 0, dtype, shape)


def ones_like(x: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Return ones of the shape and dtype of another array.

    **Meaning**: `np.ones_like(x, dtype, shape=shape)`

    Args:
        x: array.
        dtype: default: that of `x`.
        shape: default: that of `x`.

    Returns:
        Array of the shape.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.ones_like([1.5, 2.5])
        Array([1., 1.], dtype=float32)
    """
    return full_like(x, 1, dtype, shape)


def empty_like(x: Any, dtype: Any = None, shape: Any = None) -> Any:
    """Return an array whose elements mean nothing, of the shape and dtype of another.

    **Meaning**: `np.zeros_like(x, dtype, shape=shape)`

    Args:
        x: array.
        dtype: default: that of `x`.
        shape: default: that of `x`.

    Returns:
        Array of the shape.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.empty_like([1.5, 2.5]).dtype
        dtype('float32')
    """
    return full_like(x, 0, dtype, shape)


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Count from `start` up to, without, `stop`.

    **Meaning**: `np.arange(start, stop, step, dtype)`; `arange(n)` counts from 0.

    Args:
        start: a number (or the stop, if it is the only one).
        stop: a number.
        step: a number, not 0.
        dtype: default: int32 for integers, float32 for floats.

    Returns:
        Array of rank 1.

    Raises:
        TraceError: when a limit is traced: the length must be known.
        ShapeError: when the step is 0, or a limit is no number.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.arange(1, 7, 2)
        Array([1, 3, 5], dtype=int32)
    """
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    limits = [_limit(v) for v in (start, stop, step)]
    if any(v.ndim for v in limits):
        shown = ", ".join(str(v.shape) for v in limits)
        raise errors.ShapeError(f"arange: limits must be numbers, got shapes {shown}")
    joined = dtypes.promote(*((v.dtype, v.type.weak) for v in limits))[0]
    found = joined if dtype is None else dtypes.as_dtype(dtype)
    first, last, pace = (v.item() for v in limits)
    if not pace:
        raise errors.ShapeError("arange: the step must not be 0")
    size = max(0, math.ceil((last - first) / pace))
    if dtypes.is_bool(found):
        return convert(arange(start, stop, step, dtypes.default_int()), found)
    return _affine(first, pace, size, found)


def _limit(value: Any) -> Any:
    found = numeric(value, "arange")
    if not isinstance(found, Tracer) or found.concrete() is not None:
        return found
    raise errors.TraceError(
        f"arange: a limit of type {found.type} is traced by {found.trace.transform}, so"
        " the length of the result is not known; pass it as a static argument of"
        " rx.jit, or count up to a fixed length and use where"
    )


def _affine(first: Any, pace: Any, size: int, dtype: DType) -> Any:
    """Return first + pace * k, halves computed in float32."""
    wide = dtypes.float32 if dtype in dtypes.HALVES else dtype
    line = iota(wide, size)
    if pace != 1:
        line = mul(line, literal(pace, wide))
    if first != 0:
        line = add(line, literal(first, wide))
    return convert(line, dtype)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return numbers at equal distances.

    **Meaning**: `np.linspace(start, stop, num, endpoint, retstep, dtype, axis)`

    Args:
        start: the first, a number or an array.
        stop: the last; arrays broadcast together.
        num: how many.
        endpoint: whether `stop` is the last one, or the one after it.
        retstep: whether to return the distance as well.
        dtype: default: the floating dtype of start and stop.
        axis: where the new axis goes.

    Returns:
        Array with a new axis of length `num`; with `retstep`, (array, distance).

    Raises:
        ShapeError: when `num` is negative, or shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.linspace(0, 1, 5)
        Array([0.  , 0.25, 0.5 , 0.75, 1.  ], dtype=float32)
    """
    (size,) = counts(num, "linspace")
    first, last = numeric(start, "linspace"), numeric(stop, "linspace")
    joined = dtypes.promote(*((v.dtype, v.type.weak) for v in (first, last)))[0]
    inexact = dtypes.to_inexact(joined)
    found = inexact if dtype is None else dtypes.as_dtype(dtype)
    wide = dtypes.float32 if inexact in dtypes.HALVES else inexact
    shape = broadcast_shapes([first.shape, last.shape], "linspace")
    first, last = (maps.broadcast_to(convert(v, wide), shape) for v in (first, last))
    parts = max(size - 1, 1) if endpoint else max(size, 1)
    pace = div(sub(last, first), parts)
    full_shape = (size, *shape)
    place = broadcasted_iota(dtypes.real_part(wide), full_shape, 0)
    line = add(mul(convert(place, wide), _rows(pace, size)), _rows(first, size))
    if endpoint and size > 1:
        line = select(eq(place, size - 1), _rows(last, size), line)
    number = maps.normalize_axis(axis, line.ndim, "linspace")
    if dtypes.is_integer(found):
        line = floor(line)
    line = convert(maps.move_axis(line, 0, number), found)
    return (line, convert(pace, inexact)) if retstep else line


def _rows(x: Any, size: int) -> Any:
    return maps.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1)))


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Return a matrix with ones on one diagonal.

    **Meaning**: `np.eye(n, m, k, dtype)`

    Args:
        n: how many rows.
        m: how many columns; default: n.
        k: the diagonal: above the main one if positive, below if negative.
        dtype: default: the default float.

    Returns:
        Array of shape (n, m).

    Raises:
        ShapeError: when a size is negative.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.eye(2, 3, 1)
        Array([[0., 1., 0.],
               [0., 0., 1.]], dtype=float32)
    """
    shape = counts((n, n if m is None else m), "eye")
    row, column = (broadcasted_iota(dtypes.int32, shape, i) for i in (0, 1))
    return convert(eq(sub(column, row), k), float if dtype is None else dtype)


def identity(n: int, dtype: Any = None) -> Any:
    """Return the identity matrix.

    **Meaning**: `np.identity(n, dtype)`

    Args:
        n: how many rows and columns.
        dtype: default: the default float.

    Returns:
        Array of shape (n, n).

    Raises:
        ShapeError: when the size is negative.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.identity(2)
        Array([[1., 0.],
               [0., 1.]], dtype=float32)
    """
    return eye(n, dtype=dtype)


def meshgrid(*xs: Any, indexing: str = "xy", sparse: bool = False) -> list[Any]:
    """Spread lines of coordinates over a grid.

    **Meaning**: `np.meshgrid(*xs, indexing=indexing, sparse=sparse)`

    Args:
        *xs: arrays of rank 1.
        indexing: "xy" exchanges the first two axes, "ij" keeps them.
        sparse: whether other axes keep length 1.

    Returns:
        A list of arrays, one for each line.

    Raises:
        ShapeError: when an array is not of rank 1.
        UserError: when `indexing` is neither "xy" nor "ij".

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.meshgrid([1, 2, 3], [4, 5])[1]
        Array([[4, 4, 4],
               [5, 5, 5]], dtype=int32)
    """
    if indexing not in ("xy", "ij"):
        raise errors.UserError(
            f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}"
        )
    lines = [numeric(x, "meshgrid") for x in xs]
    for x in lines:
        if x.ndim > 1:
            raise errors.ShapeError(
                f"meshgrid: expected arrays of rank 1, got shape {x.shape}"
            )
    order = list(range(len(lines)))
    if indexing == "xy" and len(lines) > 1:
        order[:2] = [1, 0]
    sizes = [0] * len(lines)
    for x, a in zip(lines, order, strict=True):
        sizes[a] = x.size
    found = []
    for x, a in zip(lines, order, strict=True):
        thin = tuple(x.size if i == a else 1 for i in range(len(lines)))
        spread = maps.reshape(x, thin)
        found.append(spread if sparse else maps.broadcast_to(spread, tuple(sizes)))
    return found
