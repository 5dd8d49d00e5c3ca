"""The same elements in another shape."""

from __future__ import annotations

from typing import Any

from rxcore.base import errors
from rxcore.numpy.inputs import counts, line, numeric
from rxcore.ops import families
from rxcore.ops import shape as maps

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "isscalar",
    "matrix_transpose",
    "moveaxis",
    "ndim",
    "permute_dims",
    "ravel",
    "reshape",
    "shape",
    "size",
    "squeeze",
    "swapaxes",
    "transpose",
]


def shape(x: Any) -> tuple[int, ...]:
    """Return the lengths of the axes.

    **Meaning**: `np.shape(x)`

    Args:
        x: array.

    Returns:
        A tuple of ints.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.shape([[1, 2, 3]])
        (1, 3)
    """
    found: tuple[int, ...] = numeric(x, "shape").shape
    return found


def ndim(x: Any) -> int:
    """Return how many axes there are.

    **Meaning**: `np.ndim(x)`

    Args:
        x: array.

    Returns:
        An int.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.ndim([[1, 2, 3]])
        2
    """
    return len(shape(x))


def size(x: Any, axis: int | None = None) -> int:
    """Return how many elements there are, all in all or along an axis.

    **Meaning**: `np.size(x, axis)`

    Args:
        x: array.
        axis: an axis, or None for all elements.

    Returns:
        An int.

    Raises:
        ShapeError: when the axis is out of range.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.size([[1, 2, 3]], axis=1)
        3
    """
    found = numeric(x, "size")
    if axis is None:
        return int(found.size)
    return int(found.shape[maps.normalize_axis(axis, found.ndim, "size")])


def isscalar(x: Any) -> bool:
    """Say whether something is a number, or an array of rank 0.

    **Meaning**: `np.isscalar(x) or np.ndim(x) == 0`

    Args:
        x: anything.

    Returns:
        A bool.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.isscalar(3.0), rnp.isscalar([3.0])
        (True, False)
    """
    if isinstance(x, bool | int | float | complex):
        return True
    return hasattr(x, "shape") and x.shape == ()


def reshape(x: Any, shape: Any, *rest: int) -> Any:
    """Give the same elements another shape.

    **Meaning**: `np.reshape(x, shape)`

    Args:
        x: array.
        shape: int or ints; one may be -1: what is left.
        *rest: more sizes, so that `reshape(x, 2, 3)` works too.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the number of elements differs.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.reshape([1, 2, 3, 4], (2, -1))
        Array([[1, 2],
               [3, 4]], dtype=int32)
    """
    return maps.reshape(numeric(x, "reshape"), shape, *rest)


def ravel(x: Any) -> Any:
    """Return all elements in one axis.

    **Meaning**: `np.ravel(x)`

    Args:
        x: array.

    Returns:
        Array of rank 1.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.ravel([[1, 2], [3, 4]])
        Array([1, 2, 3, 4], dtype=int32)
    """
    return line(x, "ravel")


def transpose(x: Any, axes: Any = None) -> Any:
    """Permute the axes; reverse them by default.

    **Meaning**: `np.transpose(x, axes)`

    Args:
        x: array.
        axes: where each axis of the result comes from.

    Returns:
        Array with its axes in another order.

    Raises:
        ShapeError: when `axes` is no permutation of the axes.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.transpose([[1, 2, 3]]).shape
        (3, 1)
    """
    return maps.transpose(numeric(x, "transpose"), axes)


permute_dims = transpose


def matrix_transpose(x: Any) -> Any:
    """Exchange the last two axes.

    **Meaning**: `np.swapaxes(x, -1, -2)`

    Args:
        x: array of rank 2 or more.

    Returns:
        Array of shape (..., n, m).

    Raises:
        ShapeError: when the rank is less than 2.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.matrix_transpose([[[1, 2, 3]]]).shape
        (1, 3, 1)
    """
    found = numeric(x, "matrix_transpose")
    if found.ndim < 2:
        raise errors.ShapeError(
            f"matrix_transpose: expected rank 2 or more, got shape {found.shape}"
        )
    return swapaxes(found, -1, -2)


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    **Meaning**: `np.swapaxes(x, axis1, axis2)`

    Args:
        x: array.
        axis1: an axis.
        axis2: another.

    Returns:
        Array with its axes in another order.

    Raises:
        ShapeError: when an axis is out of range.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.swapaxes([[[1, 2, 3]]], 0, 2).shape
        (3, 1, 1)
    """
    found = numeric(x, "swapaxes")
    a, b = (maps.normalize_axis(i, found.ndim, "swapaxes") for i in (axis1, axis2))
    order = list(range(found.ndim))
    order[a], order[b] = b, a
    return maps.transpose(found, tuple(order))


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Move axes to other places; the others keep their order.

    **Meaning**: `np.moveaxis(x, source, destination)`

    Args:
        x: array.
        source: int or ints.
        destination: where they go: as many.

    Returns:
        Array with its axes in another order.

    Raises:
        ShapeError: when axes are out of range, twice named, or differ in number.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.moveaxis([[[1, 2, 3]]], -1, 0).shape
        (3, 1, 1)
    """
    found = numeric(x, "moveaxis")
    start, end = (
        maps.normalize_axes(
            a if isinstance(a, tuple | list) else (a,), found.ndim, "moveaxis"
        )
        for a in (source, destination)
    )
    if len(start) != len(end):
        raise errors.ShapeError(
            f"moveaxis: source {source} and destination {destination} must name as many"
            " axes"
        )
    order = [i for i in range(found.ndim) if i not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return maps.transpose(found, tuple(order))


def expand_dims(x: Any, axis: Any) -> Any:
    """Insert axes of length 1.

    **Meaning**: `np.expand_dims(x, axis)`

    Args:
        x: array.
        axis: int or ints: their places in the result.

    Returns:
        Array of higher rank.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.expand_dims([1, 2], 0)
        Array([[1, 2]], dtype=int32)
    """
    return maps.expand_dims(numeric(x, "expand_dims"), axis)


def squeeze(x: Any, axis: Any = None) -> Any:
    """Drop axes of length 1.

    **Meaning**: `np.squeeze(x, axis)`

    Args:
        x: array.
        axis: int or ints; None drops every axis of length 1.

    Returns:
        Array of lower rank.

    Raises:
        ShapeError: when an axis is out of range, or not of length 1.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.squeeze([[1, 2]])
        Array([1, 2], dtype=int32)
    """
    return maps.squeeze(numeric(x, "squeeze"), axis)


def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeat elements along axes of length 1 and along new ones in front.

    **Meaning**: `np.broadcast_to(x, shape)`

    Args:
        x: array.
        shape: int or ints.

    Returns:
        Array of the shape.

    Raises:
        ShapeError: when the shape does not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.broadcast_to([1, 2], (2, 2))
        Array([[1, 2],
               [1, 2]], dtype=int32)
    """
    found = numeric(x, "broadcast_to")
    return maps.broadcast_to(found, counts(shape, "broadcast_to"))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """Return the shape to which all broadcast.

    **Meaning**: `np.broadcast_shapes(*shapes)`

    Args:
        *shapes: ints or tuples of ints.

    Returns:
        A tuple of ints.

    Raises:
        ShapeError: when they do not broadcast together.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.broadcast_shapes((3, 1), (4,))
        (3, 4)
    """
    given = [counts(s, "broadcast_shapes") for s in shapes]
    return families.broadcast_shapes(given or [()], "broadcast_shapes")


def broadcast_arrays(*xs: Any) -> list[Any]:
    """Broadcast arrays to their common shape.

    **Meaning**: `np.broadcast_arrays(*xs)`

    Args:
        *xs: arrays.

    Returns:
        A list of arrays of one shape.

    Raises:
        ShapeError: when they do not broadcast together.

    Example:
        >>> import rxcore.numpy as rnp
        >>> [x.shape for x in rnp.broadcast_arrays([1, 2], [[1], [2]])]
        [(2, 2), (2, 2)]
    """
    found = [numeric(x, "broadcast_arrays") for x in xs]
    common = families.broadcast_shapes(
        [x.shape for x in found] or [()], "broadcast_arrays"
    )
    return [maps.broadcast_to(x, common) for x in found]


def atleast_1d(x: Any) -> Any:
    """Return an array of rank 1 or more.

    **Meaning**: `np.atleast_1d(x)`

    Args:
        x: array or number.

    Returns:
        Array: of shape (1,) from a number.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.atleast_1d(3).shape
        (1,)
    """
    found = numeric(x, "atleast_1d")
    return found if found.ndim else maps.reshape(found, (1,))


def atleast_2d(x: Any) -> Any:
    """Return an array of rank 2 or more; new axes come in front.

    **Meaning**: `np.atleast_2d(x)`

    Args:
        x: array or number.

    Returns:
        Array: of shape (1, n) from a line.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.atleast_2d([1, 2, 3]).shape
        (1, 3)
    """
    found = numeric(x, "atleast_2d")
    return maps.reshape(found, (1,) * (2 - found.ndim) + found.shape)


def atleast_3d(x: Any) -> Any:
    """Return an array of rank 3 or more, as NumPy places new axes.

    **Meaning**: `np.atleast_3d(x)`

    Args:
        x: array or number.

    Returns:
        Array: of shape (1, n, 1) from a line, (m, n, 1) from a matrix.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.atleast_3d([1, 2, 3]).shape
        (1, 3, 1)
    """
    found = atleast_2d(numeric(x, "atleast_3d"))
    return found if found.ndim > 2 else maps.reshape(found, (*found.shape, 1))
