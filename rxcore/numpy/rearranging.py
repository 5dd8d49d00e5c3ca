"""Elements in another order, or several times."""

from __future__ import annotations

from typing import Any

from rxcore.base import dtypes, errors
from rxcore.numpy.inputs import counts, line, numeric
from rxcore.ops import join
from rxcore.ops import shape as maps
from rxcore.ops.cumulate import cumsum
from rxcore.ops.elementwise import remainder, sub
from rxcore.ops.gather import as_index, take
from rxcore.ops.iota import iota
from rxcore.ops.search import searchsorted

__all__ = ["flip", "fliplr", "flipud", "repeat", "roll", "tile"]


def flip(x: Any, axis: Any = None) -> Any:
    """Reverse the order of elements along axes.

    **Meaning**: `np.flip(x, axis)`

    Args:
        x: array.
        axis: int, ints, or None for all axes.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.flip([1, 2, 3])
        Array([3, 2, 1], dtype=int32)
    """
    return maps.reverse(numeric(x, "flip"), axis)


def flipud(x: Any) -> Any:
    """Reverse the order of rows.

    **Meaning**: `np.flipud(x)`

    Args:
        x: array of rank 1 or more.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the rank is 0.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.flipud([[1], [2]])
        Array([[2],
               [1]], dtype=int32)
    """
    return flip(x, 0)


def fliplr(x: Any) -> Any:
    """Reverse the order of columns.

    **Meaning**: `np.fliplr(x)`

    Args:
        x: array of rank 2 or more.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when the rank is less than 2.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.fliplr([[1, 2]])
        Array([[2, 1]], dtype=int32)
    """
    return flip(x, 1)


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Move elements along axes; what leaves at one end enters at the other.

    **Meaning**: `np.roll(x, shift, axis)`

    Args:
        x: array.
        shift: int or ints, possibly traced.
        axis: int or ints, as many; None rolls the flattened array.

    Returns:
        Array of the shape of `x`.

    Raises:
        ShapeError: when axes are out of range, or shifts do not fit them.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.roll([1, 2, 3, 4], 1)
        Array([4, 1, 2, 3], dtype=int32)
    """
    found = numeric(x, "roll")
    if axis is None:
        return maps.reshape(roll(line(found, "roll"), shift, 0), found.shape)
    axes = [
        maps.normalize_axis(a, found.ndim, "roll")
        for a in (axis if isinstance(axis, tuple | list) else (axis,))
    ]
    shifts = list(shift) if isinstance(shift, tuple | list) else [shift] * len(axes)
    if len(axes) == 1:
        axes = axes * len(shifts)
    if len(axes) != len(shifts):
        raise errors.ShapeError(
            f"roll: {len(shifts)} shifts given for {len(axes)} axes; give one for each"
        )
    for by, along in zip(shifts, axes, strict=True):
        found = _rolled(found, by, along)
    return found


def _rolled(x: Any, by: Any, axis: int) -> Any:
    length = x.shape[axis]
    if not length:
        return x
    if not isinstance(by, int):
        places = remainder(
            sub(iota(dtypes.int32, length), as_index(by, "roll")), length
        )
        return take(x, places, axis, mode="clip")
    place = by % length
    if not place:
        return x
    head, tail = join.split(x, (length - place, place), axis)
    return join.concatenate([tail, head], axis)


# repetition -------------------------------------------------------------------------


def tile(x: Any, reps: Any) -> Any:
    """Repeat an array as a whole along axes.

    **Meaning**: `np.tile(x, reps)`

    Args:
        x: array.
        reps: int or ints: how often, along the last axes.

    Returns:
        Array of the rank of `x` or the number of `reps`.

    Raises:
        ShapeError: when a number is negative.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.tile([1, 2], 2)
        Array([1, 2, 1, 2], dtype=int32)
    """
    found, times = numeric(x, "tile"), counts(reps, "tile")
    rank = max(found.ndim, len(times))
    sizes = (1,) * (rank - found.ndim) + found.shape
    times = (1,) * (rank - len(times)) + times
    wide = tuple(n for pair in zip(times, sizes, strict=True) for n in pair)
    axes = tuple(range(1, 2 * rank, 2))
    spread = maps.broadcast(maps.reshape(found, sizes), wide, axes)
    shape = tuple(t * n for t, n in zip(times, sizes, strict=True))
    return maps.reshape(spread, shape)


def repeat(
    x: Any,
    repeats: Any,
    axis: int | None = None,
    *,
    total_repeat_length: int | None = None,
) -> Any:
    """Repeat each element along an axis.

    **Meaning**: `np.repeat(x, repeats, axis)`

    Args:
        x: array.
        repeats: int, or one for each element along the axis.
        axis: the axis; None flattens first.
        total_repeat_length: the length of the result, needed where `repeats` is
            traced: longer results are cut, shorter ones filled with the last element.

    Returns:
        Array, longer along the axis.

    Raises:
        ShapeError: when `repeats` does not fit the axis, or is negative.
        TraceError: when `repeats` is traced and the length is not given.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.repeat([1, 2], 2)
        Array([1, 1, 2, 2], dtype=int32)
    """
    found = numeric(x, "repeat")
    if axis is None:
        found, axis = line(found, "repeat"), 0
    along = maps.normalize_axis(axis, found.ndim, "repeat")
    length = found.shape[along]
    if isinstance(repeats, int):
        (times,) = counts(repeats, "repeat")
        wide = (*found.shape[: along + 1], times, *found.shape[along + 1 :])
        axes = tuple(i for i in range(len(wide)) if i != along + 1)
        shape = (*found.shape[:along], length * times, *found.shape[along + 1 :])
        return maps.reshape(maps.broadcast(found, wide, axes), shape)
    times = as_index(repeats, "repeat")
    if times.ndim > 1 or times.size not in (1, length):
        raise errors.ShapeError(
            f"repeat: repeats of shape {times.shape} must be a number or have one"
            f" element for each of the {length} along axis {along}"
        )
    ends = cumsum(maps.broadcast_to(times, (length,)))
    total = total_repeat_length
    if total is None:
        # Reading a number of a traced array raises, with the way out.
        given = times.tolist()
        given = counts(given, "repeat")
        total = sum(given) if len(given) == length else given[0] * length
    # Past the end "clip" takes the last element.
    places = searchsorted(ends, iota(ends.dtype, total), "right")
    return take(found, places, along, mode="clip")
