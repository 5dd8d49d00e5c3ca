"""Arrays joined, parted and padded."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.numpy.inputs import line, numeric, pieces
from rxcore.numpy.manipulation import atleast_1d, atleast_2d, atleast_3d
from rxcore.ops import join
from rxcore.ops import shape as maps
from rxcore.ops.compare import lt, ne, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import remainder, sub
from rxcore.ops.gather import gather
from rxcore.ops.iota import iota
from rxcore.ops.magnitude import maximum, minimum

__all__ = [
    "append",
    "array_split",
    "column_stack",
    "concat",
    "concatenate",
    "diff",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "pad",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """Join arrays along an axis that they have.

    **Meaning**: `np.concatenate(arrays, axis, dtype=dtype)`

    Args:
        arrays: a sequence of arrays that agree on every axis but `axis`.
        axis: the axis along which they follow each other; None flattens each first.
        dtype: default: the common dtype.

    Returns:
        Array of the rank of each.

    Raises:
        ShapeError: when shapes do not fit, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.concatenate([[1, 2], [3]])
        Array([1, 2, 3], dtype=int32)
    """
    found = pieces(arrays, "concatenate")
    if axis is None:
        found, axis = [line(x, "concatenate") for x in found], 0
    out = join.concatenate(found, axis)
    return out if dtype is None else convert(out, dtype)


concat = concatenate


def stack(arrays: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Join arrays of one shape along a new axis.

    **Meaning**: `np.stack(arrays, axis, dtype=dtype)`

    Args:
        arrays: a sequence of arrays of one shape.
        axis: where the new axis goes in the result.
        dtype: default: the common dtype.

    Returns:
        Array with one more axis.

    Raises:
        ShapeError: when shapes differ, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.stack([[1, 2], [3, 4]], axis=1)
        Array([[1, 3],
               [2, 4]], dtype=int32)
    """
    found = pieces(arrays, "stack")
    shapes = {x.shape for x in found}
    if len(shapes) > 1:
        shown = ", ".join(str(x.shape) for x in found)
        raise errors.ShapeError(f"stack: shapes {shown} must be equal")
    place = maps.normalize_axis(axis, found[0].ndim + 1, "stack")
    return concatenate([maps.expand_dims(x, place) for x in found], place, dtype)


def hstack(arrays: Any, dtype: Any = None) -> Any:
    """Join arrays side by side.

    **Meaning**: `np.hstack(arrays, dtype=dtype)`

    Args:
        arrays: a sequence of arrays; numbers count as arrays of rank 1.
        dtype: default: the common dtype.

    Returns:
        Array joined along the second axis, or the first of arrays of rank 1.

    Raises:
        ShapeError: when shapes do not fit, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.hstack([[[1], [2]], [[3], [4]]])
        Array([[1, 3],
               [2, 4]], dtype=int32)
    """
    found = [atleast_1d(x) for x in pieces(arrays, "hstack")]
    return concatenate(found, 0 if found[0].ndim == 1 else 1, dtype)


def vstack(arrays: Any, dtype: Any = None) -> Any:
    """Join arrays one below the other.

    **Meaning**: `np.vstack(arrays, dtype=dtype)`

    Args:
        arrays: a sequence of arrays; those of rank 1 count as rows.
        dtype: default: the common dtype.

    Returns:
        Array joined along the first axis.

    Raises:
        ShapeError: when shapes do not fit, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.vstack([[1, 2], [3, 4]])
        Array([[1, 2],
               [3, 4]], dtype=int32)
    """
    found = [atleast_2d(x) for x in pieces(arrays, "vstack")]
    return concatenate(found, 0, dtype)


def dstack(arrays: Any, dtype: Any = None) -> Any:
    """Join arrays one behind the other.

    **Meaning**: `np.dstack(arrays, dtype=dtype)`

    Args:
        arrays: a sequence of arrays; lower ranks count as slices of depth 1.
        dtype: default: the common dtype.

    Returns:
        Array joined along the third axis.

    Raises:
        ShapeError: when shapes do not fit, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.dstack([[1, 2], [3, 4]])
        Array([[[1, 3],
                [2, 4]]], dtype=int32)
    """
    found = [atleast_3d(x) for x in pieces(arrays, "dstack")]
    return concatenate(found, 2, dtype)


def column_stack(arrays: Any) -> Any:
    """Join columns to a matrix.

    **Meaning**: `np.column_stack(arrays)`

    Args:
        arrays: a sequence of arrays; those of rank 1 count as columns.

    Returns:
        Array of rank 2.

    Raises:
        ShapeError: when shapes do not fit, or there is no array.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.column_stack([[1, 2], [3, 4]])
        Array([[1, 3],
               [2, 4]], dtype=int32)
    """
    found = [
        maps.reshape(x, (x.size, 1)) if x.ndim < 2 else x
        for x in pieces(arrays, "column_stack")
    ]
    return concatenate(found, 1)


def append(x: Any, values: Any, axis: int | None = None) -> Any:
    """Join two arrays.

    **Meaning**: `np.append(x, values, axis)`

    Args:
        x: array.
        values: array.
        axis: the axis; None flattens both first.

    Returns:
        Array of the common dtype.

    Raises:
        ShapeError: when shapes do not fit.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.append([1, 2], 3)
        Array([1, 2, 3], dtype=int32)
    """
    return concatenate([numeric(x, "append"), numeric(values, "append")], axis)


# parting ----------------------------------------------------------------------------


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    """Part an array into slices without the axis.

    **Meaning**: `tuple(np.moveaxis(x, axis, 0))`

    Args:
        x: array.
        axis: the axis.

    Returns:
        A tuple of arrays, each of one rank less.

    Raises:
        ShapeError: when the axis is out of range.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.unstack([[1, 2], [3, 4]])
        (Array([1, 2], dtype=int32), Array([3, 4], dtype=int32))
    """
    found = numeric(x, "unstack")
    along = maps.normalize_axis(axis, found.ndim, "unstack")
    if not found.shape[along]:
        return ()
    return tuple(pieces(maps.move_axis(found, along, 0), "unstack"))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Part an array along an axis.

    **Meaning**: `np.split(x, indices_or_sections, axis)`

    Args:
        x: array.
        indices_or_sections: how many equal parts, or where to cut.
        axis: the axis.

    Returns:
        A list of arrays.

    Raises:
        ShapeError: when the axis is out of range, or has no equal parts.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.split([1, 2, 3, 4], 2)
        [Array([1, 2], dtype=int32), Array([3, 4], dtype=int32)]
    """
    found = numeric(x, "split")
    along = maps.normalize_axis(axis, found.ndim, "split")
    if isinstance(indices_or_sections, int | np.integer):
        parts, length = int(indices_or_sections), found.shape[along]
        if parts < 1 or length % parts:
            raise errors.ShapeError(
                f"split: axis {along} of length {length} has no {parts} equal parts;"
                " array_split allows unequal ones"
            )
    return _parted(found, indices_or_sections, along)


def array_split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Part an array along an axis into parts that may differ by one in length.

    **Meaning**: `np.array_split(x, indices_or_sections, axis)`

    Args:
        x: array.
        indices_or_sections: how many parts, or where to cut.
        axis: the axis.

    Returns:
        A list of arrays.

    Raises:
        ShapeError: when the axis is out of range, or there are no parts.

    Example:
        >>> import rxcore.numpy as rnp
        >>> [part.shape for part in rnp.array_split([1, 2, 3], 2)]
        [(2,), (1,)]
    """
    found = numeric(x, "array_split")
    along = maps.normalize_axis(axis, found.ndim, "array_split")
    return _parted(found, indices_or_sections, along)


def _parted(x: Any, cuts: Any, axis: int) -> list[Any]:
    length = x.shape[axis]
    if isinstance(cuts, int | np.integer):
        parts = int(cuts)
        if parts < 1:
            raise errors.ShapeError(f"split: expected one part or more, got {parts}")
        each, more = divmod(length, parts)
        return join.split(x, [each + (i < more) for i in range(parts)], axis)
    places = [0, *(int(i) for i in cuts), length]
    ranges = [slice(a, b).indices(length)[:2] for a, b in itertools.pairwise(places)]
    found = []
    for start, stop in ranges:
        low = tuple(start if i == axis else 0 for i in range(x.ndim))
        high = tuple(
            max(start, stop) if i == axis else n for i, n in enumerate(x.shape)
        )
        found.append(maps.slice_(x, low, high))
    return found


def hsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """Part an array along its second axis, or the only one.

    **Meaning**: `np.hsplit(x, indices_or_sections)`

    Args:
        x: array of rank 1 or more.
        indices_or_sections: how many equal parts, or where to cut.

    Returns:
        A list of arrays.

    Raises:
        ShapeError: when there are no equal parts.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.hsplit([1, 2], 2)
        [Array([1], dtype=int32), Array([2], dtype=int32)]
    """
    found = numeric(x, "hsplit")
    return split(found, indices_or_sections, min(1, found.ndim - 1))


def vsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """Part an array along its first axis.

    **Meaning**: `np.vsplit(x, indices_or_sections)`

    Args:
        x: array of rank 1 or more.
        indices_or_sections: how many equal parts, or where to cut.

    Returns:
        A list of arrays.

    Raises:
        ShapeError: when there are no equal parts.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.vsplit([[1], [2]], 2)
        [Array([[1]], dtype=int32), Array([[2]], dtype=int32)]
    """
    return split(x, indices_or_sections, 0)


def dsplit(x: Any, indices_or_sections: Any) -> list[Any]:
    """Part an array along its third axis.

    **Meaning**: `np.dsplit(x, indices_or_sections)`

    Args:
        x: array of rank 3 or more.
        indices_or_sections: how many equal parts, or where to cut.

    Returns:
        A list of arrays.

    Raises:
        ShapeError: when there are no equal parts.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.dsplit([[[1, 2]]], 2)
        [Array([[[1]]], dtype=int32), Array([[[2]]], dtype=int32)]
    """
    return split(x, indices_or_sections, 2)


# padding and differences ------------------------------------------------------------

_MODES = ("constant", "edge", "reflect", "symmetric", "wrap", "empty")


def pad(
    x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0
) -> Any:
    """Put elements around an array.

    **Meaning**: `np.pad(x, pad_width, mode, constant_values=constant_values)`

    Args:
        x: array.
        pad_width: int, (before, after), or one such pair for each axis.
        mode: "constant", "edge" (the outermost element), "reflect" (mirrored at it),
            "symmetric" (mirrored behind it), "wrap" (from the other end) or "empty".
        constant_values: a number, or numbers in the form of `pad_width`.

    Returns:
        Array of the dtype of `x`.

    Raises:
        ShapeError: when the widths do not fit the shape, or are negative.
        UserError: when the mode does not exist.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.pad([1, 2, 3], (1, 2), "wrap")
        Array([3, 1, 2, 3, 1, 2], dtype=int32)
    """
    found = numeric(x, "pad")
    widths = _pairs(pad_width, found)
    if mode not in _MODES:
        raise errors.UserError(
            f"pad: mode {mode!r} is not one of {', '.join(map(repr, _MODES))}"
        )
    if mode in ("constant", "empty"):
        return _surrounded(found, widths, constant_values)
    return _extended(found, widths, mode)


def _pairs(pad_width: Any, x: Any) -> list[tuple[int, int]]:
    given = np.asarray(pad_width)
    if given.dtype.kind not in "iu":
        raise errors.ShapeError(f"pad: widths must be integers, got {pad_width!r}")
    if given.shape == (1,) and x.ndim == 1:
        given = given.reshape(())
    try:
        pairs = np.broadcast_to(given, (x.ndim, 2)).tolist()
    except ValueError as error:
        raise errors.ShapeError(
            f"pad: widths {pad_width!r} do not fit shape {x.shape}; give an int, a"
            " pair, or a pair for each axis"
        ) from error
    if any(n < 0 for pair in pairs for n in pair):
        raise errors.ShapeError(f"pad: widths {pad_width!r} must not be negative")
    return [(low, high) for low, high in pairs]


def _surrounded(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    if np.ndim(values) == 0:
        return join.pad(x, values, [(*w, 0) for w in widths])
    pairs = np.broadcast_to(np.asarray(values), (x.ndim, 2)).tolist()
    for axis, ((low, high), (first, last)) in enumerate(
        zip(widths, pairs, strict=True)
    ):
        for width, value in (((low, 0, 0), first), ((0, high, 0), last)):
            config = [width if i == axis else (0, 0, 0) for i in range(x.ndim)]
            x = join.pad(x, value, config)
    return x


def _extended(x: Any, widths: list[tuple[int, int]], mode: str) -> Any:
    """Read each element from its place in the array, with one gather."""
    grown = [axis for axis, width in enumerate(widths) if width != (0, 0)]
    if not grown:
        return x
    block = range(grown[0], grown[-1] + 1)
    places = []
    for axis in block:
        low, high = widths[axis]
        if axis in grown and not x.shape[axis]:
            raise errors.ShapeError(
                f"pad: mode {mode!r} cannot extend axis {axis} of length 0"
            )
        place = _places(x.shape[axis], low, high, mode)
        thin = tuple(place.size if a == axis else 1 for a in block)
        places.append(maps.reshape(place, thin))
    return gather(x, *places, axes=tuple(block), place=block[0])


def _places(length: int, low: int, high: int, mode: str) -> Any:
    """Return where the elements of a padded axis come from."""
    place = iota(dtypes.int32, low + length + high)
    if not low and not high:
        return place
    place = sub(place, low)
    if mode == "edge":
        return minimum(maximum(place, 0), length - 1)
    if mode == "wrap":
        return remainder(place, length)
    # A mirror has a period of two lengths; at "reflect" the ends count once.
    period = max(2 * length - 2, 1) if mode == "reflect" else 2 * length
    place = remainder(place, period)
    last = period if mode == "reflect" else period - 1
    return select(lt(place, length), place, sub(last, place))


def diff(
    x: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """Return differences of neighbours along an axis.

    **Meaning**: `np.diff(x, n, axis)`

    Args:
        x: array; of bools, whether neighbours differ.
        n: how many times.
        axis: the axis.
        prepend: elements to put in front first, or a number.
        append: elements to put behind first, or a number.

    Returns:
        Array, shorter by `n` along the axis.

    Raises:
        ShapeError: when the axis is out of range, or `n` negative.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.diff([1, 4, 9])
        Array([3, 5], dtype=int32)
    """
    found = numeric(x, "diff")
    along = maps.normalize_axis(axis, found.ndim, "diff")
    if n < 0:
        raise errors.ShapeError(f"diff: n must not be negative, got {n}")
    edge = tuple(1 if i == along else s for i, s in enumerate(found.shape))
    ends = [
        None
        if v is None
        else (v if numeric(v, "diff").ndim else maps.broadcast_to(v, edge))
        for v in (prepend, append)
    ]
    parts = [v for v in (ends[0], found, ends[1]) if v is not None]
    found = join.concatenate(parts, along) if len(parts) > 1 else found
    op = ne if dtypes.is_bool(found.dtype) else sub
    for _ in range(min(n, found.shape[along])):
        length = found.shape[along]
        tail, head = (_range(found, along, *r) for r in ((1, length), (0, length - 1)))
        found = op(tail, head)
    return found


def _range(x: Any, axis: int, start: int, stop: int) -> Any:
    low = tuple(start if i == axis else 0 for i in range(x.ndim))
    high = tuple(stop if i == axis else n for i, n in enumerate(x.shape))
    return maps.slice_(x, low, high)
