"""NumPy's indexing: `x[...]` as slices, reversals, reshapes and one gather."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from attrs import define, field, frozen

from rxcore.base import dtypes, errors
from rxcore.ir.operators import Numeric
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.families import broadcast_shapes, number
from rxcore.ops.gather import gather, wrap_index
from rxcore.trace.bind import as_numeric
from rxcore.trace.tracer import Tracer

__all__: list[str] = []

Shape = tuple[int, ...]


@frozen
class Selection:
    """What an index selects, in steps that can be followed forward and back.

    Args:
        start: first element of the box along each axis.
        stop: one past the last element.
        step: distance between elements, positive.
        reversed: axes along which the box is read backwards.
        dropped: axes of the box (each of length 1) that an integer selected.
        axes: axes, after dropping, that arrays index.
        arrays: their index arrays, broadcast to one shape; not negative unless out
            of range.
        place: where among the other axes those of the arrays go.
        shape: the result's shape, with the axes that None inserted.
    """

    start: Shape
    stop: Shape
    step: Shape
    reversed: Shape
    dropped: Shape
    axes: Shape
    arrays: tuple[Any, ...]
    place: int
    shape: Shape

    @property
    def box(self) -> Shape:
        """The box's shape."""
        parts = zip(self.start, self.stop, self.step, strict=True)
        return tuple(-(-(b - a) // s) for a, b, s in parts)

    @property
    def kept(self) -> Shape:
        """The box's shape without the axes that integers selected."""
        return tuple(n for i, n in enumerate(self.box) if i not in self.dropped)

    @property
    def nothing(self) -> bool:
        """Whether the result has no element."""
        return 0 in self.shape


@define
class _Reading:
    """A Selection in the making."""

    shape: Shape
    checked: bool
    start: list[int] = field(factory=list)
    stop: list[int] = field(factory=list)
    step: list[int] = field(factory=list)
    reversed: list[int] = field(factory=list)
    dropped: list[int] = field(factory=list)
    # (axis of x, index) of arrays; an axis of None only takes part in the shape.
    arrays: list[tuple[int | None, Any]] = field(factory=list)
    # One entry for each item: "axis", "new", "dots", "array" or "scalar", and a length.
    layout: list[tuple[str, int]] = field(factory=list)

    @property
    def axis(self) -> int:
        """The next axis to be indexed."""
        return len(self.start)

    def whole(self) -> None:
        """Take all of the next axis."""
        self.box(0, self.shape[self.axis], 1)

    def box(self, start: int, stop: int, step: int) -> None:
        """Take a range of the next axis."""
        self.start.append(start)
        self.stop.append(stop)
        self.step.append(step)


def select(shape: Shape, key: Any, checked: bool = True) -> Selection:
    """Read an index as a Selection.

    Args:
        shape: of the array to index.
        key: what stands between the brackets.
        checked: whether index arrays with known values must be in range; a mode says
            otherwise what happens.

    Returns:
        What the index selects.

    Raises:
        OutOfRangeError: when a static integer is out of range, or there are too many.
        DTypeError: when an index is of a kind that selects nothing.
        TraceError: when a mask is traced.
    """
    items = [_concrete(item) for item in (key if isinstance(key, tuple) else (key,))]
    given = sum(_width(item) for item in items)
    if given > len(shape):
        raise errors.OutOfRangeError(
            f"indexing: {given} indices for an array of rank {len(shape)} (shape"
            f" {shape})"
        )
    dots = sum(item is Ellipsis for item in items)
    if dots > 1:
        raise errors.ShapeError("indexing: only one '...' may stand in an index")
    reading = _Reading(shape, checked)
    for item in items if dots else [*items, Ellipsis]:
        _read(reading, item, len(shape) - given)
    return _finish(reading)


def _concrete(item: Any) -> Any:
    """Turn lists and masks into ndarrays, NumPy's integers into Python's."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, bool | np.bool_):
        return np.asarray(item)
    if isinstance(item, int | np.integer):
        return int(item)
    if isinstance(item, list | tuple):
        item = _listed(list(item))
    elif not isinstance(item, Numeric | np.ndarray):
        if not hasattr(item, "__array__"):
            raise errors.DTypeError(
                f"indexing: {item!r} ({type(item).__name__}) is no index; use integers,"
                " slices, None, '...', or arrays of integers or bools"
            )
        item = np.asarray(item)
    if dtypes.is_bool(item.dtype):
        return _mask(item)
    if not dtypes.is_integer(item.dtype):
        raise errors.DTypeError(
            f"indexing: an index array must hold integers or bools, got dtype"
            f" {item.dtype.name} (shape {item.shape})"
        )
    if isinstance(item, np.ndarray) and not item.ndim:
        return int(item)
    return item


def _listed(item: list[Any]) -> Any:
    """Turn nested lists into an ndarray, or an Array where they hold some."""
    found = as_numeric(item, "indexing")
    if not found.size:
        return np.zeros(found.shape, np.int32)
    return found if any(isinstance(i, Numeric) for i in item) else np.asarray(item)


def _mask(item: Any) -> Any:
    """Return a mask as an ndarray: how many elements it selects must be known."""
    if isinstance(item, Tracer):
        found = item.concrete()
        if found is None:
            raise errors.TraceError(
                f"indexing: a boolean mask of shape {item.shape} is traced by"
                f" {item.trace.transform}, so the number of elements that it selects is"
                " not known; use rxcore.numpy.where(mask, x, 0), or a mask that is a"
                " NumPy array"
            )
        item = found
    return np.asarray(item)


def _width(item: Any) -> int:
    """Return how many axes an item indexes."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, np.ndarray) and dtypes.is_bool(item.dtype):
        return item.ndim
    return 1


def _read(reading: _Reading, item: Any, spare: int) -> None:
    """Take one item of the index into account."""
    if item is None:
        reading.layout.append(("new", 1))
    elif item is Ellipsis:
        reading.layout.append(("dots", 0))
        for _ in range(spare):
            reading.layout.append(("axis", reading.shape[reading.axis]))
            reading.whole()
    elif isinstance(item, slice):
        _read_slice(reading, item)
    elif isinstance(item, int):
        reading.layout.append(("scalar", 0))
        _read_integer(reading, item)
    elif isinstance(item, np.ndarray) and dtypes.is_bool(item.dtype):
        reading.layout.append(("array", 0))
        _read_mask(reading, item)
    else:
        reading.layout.append(("array" if item.ndim else "scalar", 0))
        size = reading.shape[reading.axis]
        reading.arrays.append((reading.axis, _in_range(item, size, reading)))
        reading.whole()


def _read_slice(reading: _Reading, item: slice) -> None:
    start, stop, step = item.indices(reading.shape[reading.axis])
    count = len(range(start, stop, step))
    if not count:
        reading.box(0, 0, 1)
    elif step > 0:
        reading.box(start, start + (count - 1) * step + 1, step)
    else:
        reading.reversed.append(reading.axis)
        reading.box(start + (count - 1) * step, start + 1, -step)
    reading.layout.append(("axis", count))


def _read_integer(reading: _Reading, item: int) -> None:
    axis, n = reading.axis, reading.shape[reading.axis]
    if not -n <= item < n:
        raise errors.OutOfRangeError(
            f"indexing: index {item} is out of range for axis {axis} of length {n}"
            f" (shape {reading.shape})"
        )
    reading.dropped.append(axis)
    reading.box(item % n, item % n + 1, 1)


def _read_mask(reading: _Reading, item: Any) -> None:
    shape = reading.shape[reading.axis : reading.axis + item.ndim]
    if item.shape != shape:
        raise errors.OutOfRangeError(
            f"indexing: a mask of shape {item.shape} does not fit axes of shape {shape}"
        )
    if not item.ndim:
        reading.arrays.append((None, np.zeros(int(item), np.int32)))
        return
    for found in np.nonzero(item):
        reading.arrays.append((reading.axis, found.astype(np.int32)))
        reading.whole()


def _in_range(item: Any, n: int, reading: _Reading) -> Any:
    """Let negative values count from the end; check them where they are known."""
    if not isinstance(item, np.ndarray):
        return wrap_index(item, n)
    low, high = (int(item.min()), int(item.max())) if item.size else (0, -1)
    if reading.checked and (low < -n or high >= n):
        raise errors.OutOfRangeError(
            f"indexing: an index array holds {low if low < -n else high}, out of range"
            f" for axis {reading.axis} of length {n} (shape {reading.shape})"
        )
    if item.size:
        # One past either end says as much as any index further out, and fits int32.
        item = np.clip(item, max(low, -n - 1), min(high, n))
    wide = item.astype(np.int64)
    found = np.where(wide < 0, wide + n, wide)
    return found.astype(np.int32 if n < 1 << 31 else np.int64)


def _finish(reading: _Reading) -> Selection:
    """Place the axes of the arrays by NumPy's rule."""
    layout, arrays = reading.layout, reading.arrays
    batch: Shape = ()
    if arrays:
        batch = broadcast_shapes([tuple(a.shape) for _, a in arrays], "indexing")
    slot = 0
    if any(kind == "array" for kind, _ in layout):
        # Beside an array, integers count as arrays: together they stand in place of
        # the first, parted by anything else they come in front.
        where = [i for i, (kind, _) in enumerate(layout) if kind in _COUNTED]
        slot = where[0] if where[-1] - where[0] == len(where) - 1 else 0
    left = [i for i in range(len(reading.shape)) if i not in reading.dropped]
    return Selection(
        tuple(reading.start),
        tuple(reading.stop),
        tuple(reading.step),
        tuple(reading.reversed),
        tuple(reading.dropped),
        tuple(left.index(axis) for axis, _ in arrays if axis is not None),
        tuple(_broadcast(a, batch) for axis, a in arrays if axis is not None),
        sum(kind == "axis" for kind, _ in layout[:slot]),
        (*_sizes(layout[:slot]), *batch, *_sizes(layout[slot:])),
    )


_COUNTED = ("array", "scalar")


def _sizes(layout: Sequence[tuple[str, int]]) -> Shape:
    return tuple(n for kind, n in layout if kind in ("axis", "new"))


def _broadcast(index: Any, shape: Shape) -> Any:
    if isinstance(index, np.ndarray):
        return np.broadcast_to(index, shape)
    return maps.broadcast_to(index, shape)


def take_box(x: Any, chosen: Selection) -> Any:
    """Read the box of a Selection, without the axes that integers selected."""
    x = maps.slice_(x, chosen.start, chosen.stop, chosen.step)
    if chosen.reversed:
        x = maps.reverse(x, chosen.reversed)
    return maps.reshape(x, chosen.kept)


def read(x: Any, chosen: Selection, mode: str = "clip", fill_value: Any = None) -> Any:
    """Read what a Selection selects."""
    if chosen.nothing:
        empty = maps.broadcast(number(0, x.dtype), chosen.shape, ())
        return empty if x.type.weak else convert(empty, x.dtype)
    x = take_box(x, chosen)
    if chosen.axes:
        x = gather(
            x,
            *chosen.arrays,
            axes=chosen.axes,
            place=chosen.place,
            mode=mode,
            fill_value=fill_value,
        )
    return maps.reshape(x, chosen.shape)


def getitem(x: Any, key: Any) -> Any:
    """Read elements, by NumPy's rules of indexing.

    **Meaning**: `x[key]`

    Integers and slices (with steps, also negative), None, `...` and arrays of integers
    mix as in NumPy. Boolean arrays select elements where they are known, which a traced
    one is not. Integers that are known when the program is written are checked; those
    in arrays that are traced or computed are moved into range.

    Args:
        x: array.
        key: an index or a tuple of them.

    Returns:
        Array of the dtype of `x`.

    Raises:
        OutOfRangeError: when a static index is out of range (an IndexError, too).
        TraceError: when a boolean mask is traced.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[1, 2, 3], [4, 5, 6]])
        >>> x[:, ::-1]
        Array([[3, 2, 1],
               [6, 5, 4]], dtype=int32)
        >>> x[rx.asarray([1, 0]), 2]
        Array([6, 3], dtype=int32)
    """
    x = as_numeric(x, "indexing")
    return read(x, select(x.shape, key))


def _iterate(x: Any) -> Iterator[Any]:
    """Yield the elements along the first axis."""
    if not x.ndim:
        raise TypeError("iteration over an array of rank 0")
    return (getitem(x, i) for i in range(x.shape[0]))


# Array iterates over its host memory by itself.
for _class, _name, _method in (
    (Numeric, "__getitem__", getitem),
    (Tracer, "__iter__", _iterate),
):
    setattr(_class, _name, _method)
