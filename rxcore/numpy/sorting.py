"""Sorted arrays, and places in them."""

from __future__ import annotations

from typing import Any

from rxcore.numpy.inputs import numeric
from rxcore.ops import search
from rxcore.ops import sort as sorts

__all__ = ["argsort", "searchsorted", "sort"]


def sort(
    x: Any, axis: int | None = -1, *, descending: bool = False, stable: bool = True
) -> Any:
    """Sort along an axis, in a stable order with NaN last.

    **Meaning**: `np.sort(x, axis, kind="stable")`

    Args:
        x: array.
        axis: the axis along which to sort; None flattens first.
        descending: reverse the order; equal elements keep theirs.
        stable: without meaning: the order is always stable.

    Returns:
        Array of the dtype of `x`.

    Raises:
        ShapeError: when the axis does not exist.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.sort([3.0, 1.0, 2.0])
        Array([1., 2., 3.], dtype=float32)
    """
    del stable
    return sorts.sort(numeric(x, "sort"), axis, descending=descending)


def argsort(
    x: Any, axis: int | None = -1, *, descending: bool = False, stable: bool = True
) -> Any:
    """Return the indices that sort an array, in a stable order with NaN last.

    **Meaning**: `np.argsort(x, axis, kind="stable").astype(np.int32)`

    Args:
        x: array.
        axis: the axis along which to sort; None flattens first.
        descending: reverse the order; equal elements keep theirs.
        stable: without meaning: the order is always stable.

    Returns:
        int32 array of the shape of `x`.

    Raises:
        ShapeError: when the axis does not exist.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.argsort([3.0, 1.0, 2.0])
        Array([1, 2, 0], dtype=int32)
    """
    del stable
    return sorts.argsort(numeric(x, "argsort"), axis, descending=descending)


def searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """Find where values fit into a sorted array.

    **Meaning**: `np.searchsorted(a, v, side).astype(np.int32)`

    Args:
        a: sorted array of rank 1.
        v: array of values.
        side: "left": before equal elements; "right": after them.

    Returns:
        int32 array of the shape of `v`: how many elements come before.

    Raises:
        ShapeError: when `a` is not of rank 1.
        UserError: when `side` is neither "left" nor "right".

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.searchsorted([1, 3, 5], [3, 9])
        Array([1, 3], dtype=int32)
    """
    values = numeric(v, "searchsorted")
    return search.searchsorted(numeric(a, "searchsorted"), values, side)
