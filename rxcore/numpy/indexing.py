"""Elements chosen by conditions, indices and diagonals."""

from __future__ import annotations

from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.ir.types import Type
from rxcore.numpy import reductions
from rxcore.numpy.inputs import as_bool, counts, literal, numeric, operand
from rxcore.ops import gather
from rxcore.ops import shape as maps
from rxcore.ops.compare import eq, le, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import sub
from rxcore.ops.gather import as_index
from rxcore.ops.iota import broadcasted_iota, iota
from rxcore.ops.join import pad
from rxcore.ops.scatter import scatter
from rxcore.runtime.array import beside, from_host
from rxcore.trace.tracer import Tracer

__all__ = [
    "argwhere",
    "bincount",
    "diag",
    "diagonal",
    "flatnonzero",
    "nonzero",
    "take",
    "take_along_axis",
    "trace",
    "tri",
    "tril",
    "triu",
    "unique",
    "where",
]


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """Take elements of one array where a condition holds, else of another.

    **Meaning**: `np.where(condition, x, y)`

    Args:
        condition: array; true where it is not 0.
        x: array or number.
        y: array or number; all three broadcast together.

    Returns:
        Array of the common shape, in the common dtype of `x` and `y`; without them,
        what `nonzero(condition)` returns.

    Raises:
        ShapeError: when shapes do not broadcast together.
        UserError: when only one of `x` and `y` is given.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.where([True, False], 1.5, 0)
        Array([1.5, 0. ], dtype=float32)
    """
    if x is None and y is None:
        return nonzero(condition)
    if x is None or y is None:
        raise errors.UserError("where: give both x and y, or neither")
    chosen = as_bool(condition, "where")
    return select(chosen, operand(x, "where"), operand(y, "where"))


def take(
    x: Any,
    indices: Any,
    axis: int | None = None,
    *,
    mode: str | None = None,
    fill_value: Any = None,
) -> Any:
    """Read elements along an axis at integer places.

    **Meaning**: `np.take(x, indices, axis)`; negative indices count from the end.

    Args:
        x: array.
        indices: integers of any shape.
        axis: the axis; None flattens first.
        mode: what is read out of range: "fill" (the default) `fill_value`, or NaN, or
            the extreme integer; "clip" the nearest element; "wrap" the place modulo
            the length.
        fill_value: a number.

    Returns:
        Array of shape `x.shape[:axis] + indices.shape + x.shape[axis + 1:]`.

    Raises:
        ShapeError: when the axis does not exist.
        DTypeError: when indices are no integers.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.take([1.0, 2.0, 3.0], [-1, 0])
        Array([3., 1.], dtype=float32)
    """
    return gather.take(
        numeric(x, "take"),
        indices,
        axis,
        mode="fill" if mode is None else mode,
        fill_value=fill_value,
    )


def take_along_axis(x: Any, indices: Any, axis: int | None = -1) -> Any:
    """Read one element for each index, in the index's own row along an axis.

    **Meaning**: `np.take_along_axis(x, indices, axis)`

    Args:
        x: array.
        indices: integers; the other axes broadcast with those of `x`.
        axis: the axis along which to read; None flattens `x` first.

    Returns:
        Array of the broadcast shape; NaN, or the extreme integer, out of range.

    Raises:
        ShapeError: when shapes do not fit.
        DTypeError: when indices are no integers.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.take_along_axis([[1, 2], [3, 4]], [[1], [0]], 1)
        Array([[2],
               [3]], dtype=int32)
    """
    return gather.take_along_axis(numeric(x, "take_along_axis"), indices, axis)


# diagonals and triangles ------------------------------------------------------------


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Take a diagonal of two axes; it becomes the last axis.

    **Meaning**: `np.diagonal(x, offset, axis1, axis2)`

    Args:
        x: array of rank 2 or more.
        offset: the diagonal: above the main one if positive, below if negative.
        axis1: the axis of rows.
        axis2: the axis of columns.

    Returns:
        Array of one rank less.

    Raises:
        ShapeError: when axes are out of range or equal.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.diagonal([[1, 2], [3, 4]])
        Array([1, 4], dtype=int32)
    """
    found = numeric(x, "diagonal")
    axes = maps.normalize_axes((axis1, axis2), found.ndim, "diagonal")
    rows, columns = (found.shape[a] for a in axes)
    first, second = max(-offset, 0), max(offset, 0)
    length = max(0, min(rows - first, columns - second))
    along = iota(dtypes.int32, length)
    places = [sub(along, -start) if start else along for start in (first, second)]
    return gather.gather(found, *places, axes=axes, place=found.ndim - 2)


def diag(x: Any, k: int = 0) -> Any:
    """Take a diagonal of a matrix, or make a matrix of a diagonal.

    **Meaning**: `np.diag(x, k)`

    Args:
        x: array of rank 1 or 2.
        k: the diagonal: above the main one if positive, below if negative.

    Returns:
        Array of rank 2 from rank 1, of rank 1 from rank 2.

    Raises:
        ShapeError: when the rank is neither 1 nor 2.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.diag([1, 2])
        Array([[1, 0],
               [0, 2]], dtype=int32)
    """
    found = numeric(x, "diag")
    if found.ndim == 2:
        return diagonal(found, k)
    if found.ndim != 1:
        raise errors.ShapeError(f"diag: expected rank 1 or 2, got shape {found.shape}")
    size = found.size + abs(k)
    line = pad(found, 0, [(max(-k, 0), max(k, 0), 0)])
    shape = (size, size)
    row, column = (broadcasted_iota(dtypes.int32, shape, i) for i in (0, 1))
    # The element of row i stands at place i of the padded line.
    spread = maps.broadcast(line, shape, (0,))
    return select(eq(sub(column, row), k), spread, literal(0, found.dtype))


def trace(
    x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Any:
    """Add up a diagonal of two axes.

    **Meaning**: `np.trace(x, offset, axis1, axis2, dtype)`

    Args:
        x: array of rank 2 or more.
        offset: the diagonal: above the main one if positive, below if negative.
        axis1: the axis of rows.
        axis2: the axis of columns.
        dtype: the dtype in which to add and answer.

    Returns:
        Array of two ranks less.

    Raises:
        ShapeError: when axes are out of range or equal.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.trace([[1, 2], [3, 4]])
        Array(5, dtype=int32)
    """
    return reductions.sum(diagonal(x, offset, axis1, axis2), -1, dtype)


def _below(shape: tuple[int, ...], k: int) -> Any:
    rank = len(shape)
    row, column = (broadcasted_iota(dtypes.int32, shape, rank - i) for i in (2, 1))
    return le(sub(column, row), k)


def tri(n: int, m: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Return a matrix with ones on and below a diagonal.

    **Meaning**: `np.tri(n, m, k, dtype)`

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
        >>> rnp.tri(2)
        Array([[1., 0.],
               [1., 1.]], dtype=float32)
    """
    shape = counts((n, n if m is None else m), "tri")
    return convert(_below(shape, k), float if dtype is None else dtype)


def _triangle(x: Any, k: int, lower: bool, call: str) -> Any:
    found = numeric(x, call)
    if found.ndim < 2:
        raise errors.ShapeError(
            f"{call}: expected rank 2 or more, got shape {found.shape}"
        )
    zero = literal(0, found.dtype)
    if lower:
        return select(_below(found.shape, k), found, zero)
    return select(_below(found.shape, k - 1), zero, found)


def tril(x: Any, k: int = 0) -> Any:
    """Keep what is on and below a diagonal of each matrix; zeros elsewhere.

    **Meaning**: `np.tril(x, k)`

    Args:
        x: array of shape (..., m, n).
        k: the diagonal: above the main one if positive, below if negative.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the rank is less than 2.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.tril([[1, 2], [3, 4]])
        Array([[1, 0],
               [3, 4]], dtype=int32)
    """
    return _triangle(x, k, True, "tril")


def triu(x: Any, k: int = 0) -> Any:
    """Keep what is on and above a diagonal of each matrix; zeros elsewhere.

    **Meaning**: `np.triu(x, k)`

    Args:
        x: array of shape (..., m, n).
        k: the diagonal: above the main one if positive, below if negative.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the rank is less than 2.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.triu([[1, 2], [3, 4]])
        Array([[1, 2],
               [0, 4]], dtype=int32)
    """
    return _triangle(x, k, False, "triu")


# results whose shape depends on the elements ----------------------------------------


def _elements(x: Any, call: str, fix: str) -> Any:
    """Return the elements as an ndarray.

    Raises:
        TraceError: when they are traced.
    """
    found = numeric(x, call)
    if isinstance(found, Tracer):
        known = found.concrete()
        if known is None:
            raise errors.TraceError(
                f"{call}: the shape of the result depends on the elements of an array"
                f" of type {found.type}, which {found.trace.transform} does not know;"
                f" {fix}"
            )
        found = known
    return np.asarray(found)


def _indices(host: Any, like: Any) -> Any:
    return beside(from_host(host, Type(dtypes.int32, np.shape(host))), like)


def nonzero(x: Any) -> tuple[Any, ...]:
    """Return where elements are not 0; not under `jit`.

    **Meaning**: `np.nonzero(x)`

    Args:
        x: array of rank 1 or more.

    Returns:
        A tuple with an int32 array of places for each axis.

    Raises:
        TraceError: when the array is traced: how many there are is not known.
        ShapeError: when the rank is 0.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nonzero([0, 5, 7])
        (Array([1, 2], dtype=int32),)
    """
    fix = "use where(condition, x, y)"
    host = _elements(x, "nonzero", fix)
    if not host.ndim:
        raise errors.ShapeError("nonzero: expected rank 1 or more, got rank 0")
    return tuple(_indices(i, x) for i in np.nonzero(host))


def flatnonzero(x: Any) -> Any:
    """Return where elements of the flattened array are not 0; not under `jit`.

    **Meaning**: `np.flatnonzero(x)`

    Args:
        x: array.

    Returns:
        int32 array of places.

    Raises:
        TraceError: when the array is traced: how many there are is not known.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.flatnonzero([[0, 5], [7, 0]])
        Array([1, 2], dtype=int32)
    """
    host = _elements(x, "flatnonzero", "use where(condition, x, y)")
    return _indices(np.flatnonzero(host), x)


def argwhere(x: Any) -> Any:
    """Return the indices of the elements that are not 0; not under `jit`.

    **Meaning**: `np.argwhere(x)`

    Args:
        x: array.

    Returns:
        int32 array of shape (how many, rank).

    Raises:
        TraceError: when the array is traced: how many there are is not known.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.argwhere([[0, 5], [7, 0]])
        Array([[0, 1],
               [1, 0]], dtype=int32)
    """
    host = _elements(x, "argwhere", "use where(condition, x, y)")
    return _indices(np.argwhere(host), x)


def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
) -> Any:
    """Return the different elements, sorted; not under `jit`.

    **Meaning**: `np.unique(x, return_index, return_inverse, return_counts, axis)`

    Args:
        x: array.
        return_index: whether to return where each occurs first.
        return_inverse: whether to return which of them each element is.
        return_counts: whether to return how often each occurs.
        axis: compare slices along an axis; None compares elements.
        equal_nan: whether NaN equals NaN.

    Returns:
        Array, or a tuple of arrays; places and counts are int32.

    Raises:
        TraceError: when the array is traced: how many there are is not known.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.unique([3, 1, 3])
        Array([1, 3], dtype=int32)
    """
    host = _elements(x, "unique", "use sort, and compare neighbours")
    flags = (return_index, return_inverse, return_counts)
    compute: Any = np.unique
    # NumPy does not know where bfloat16's NaN belong; float32 holds every half.
    wide = host.astype(np.float32) if host.dtype in dtypes.HALVES else host
    out = compute(wide, *flags, axis, equal_nan=equal_nan)
    found, *places = out if isinstance(out, tuple) else (out,)
    values = beside(from_host(found, Type(host.dtype, found.shape)), x)
    if not isinstance(out, tuple):
        return values
    return (values, *(_indices(part, x) for part in places))


def bincount(
    x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None
) -> Any:
    """Count how often each integer occurs.

    **Meaning**: `np.bincount(x, weights, minlength)`

    Args:
        x: integers of rank 1, not negative.
        weights: array of the shape of `x`: what each occurrence counts.
        minlength: the least length of the result.
        length: the length of the result, needed where `x` is traced; larger integers
            are not counted.

    Returns:
        Array of rank 1: int32, or of the dtype of the weights.

    Raises:
        DTypeError: when `x` holds no integers.
        ShapeError: when the rank is not 1, or an integer is negative.
        TraceError: when `x` is traced and the length not given.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.bincount([1, 1, 3])
        Array([0, 2, 0, 1], dtype=int32)
    """
    found = as_index(numeric(x, "bincount"), "bincount")
    if found.ndim != 1:
        raise errors.ShapeError(f"bincount: expected rank 1, got shape {found.shape}")
    if length is None:
        host = _elements(found, "bincount", "give length=")
        if host.size and host.min() < 0:
            raise errors.ShapeError(
                f"bincount: integers must not be negative, got {host.min()}"
            )
        length = max(int(host.max()) + 1 if host.size else 0, minlength)
    one = literal(1, dtypes.int32)
    amounts = one if weights is None else numeric(weights, "bincount")
    start = maps.broadcast_to(literal(0, amounts.dtype), (length,))
    start = convert(start, amounts.dtype)
    return scatter(start, amounts, found, axes=(0,), combine="add")
