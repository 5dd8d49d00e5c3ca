"""Gather: read elements at computed places.

`gather(x, *indices; axes, place, mode, fill)` takes one integer array for each axis in
`axes`; all have one shape, the batch. The result holds the batch at axis `place`
among the axes of `x` that are kept whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Primitive, Pull
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.nest import Index
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.families import Linear, broadcast_shapes, number
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.join import every
from rxcore.ops.samples import Case, Samples, draw
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric

__all__ = ["gather", "take", "take_along_axis"]

MODES = ("clip", "fill")


def kept_axes(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes that are not indexed."""
    return tuple(i for i in range(ndim) if i not in axes)


def gathered_shape(
    shape: tuple[int, ...], batch: tuple[int, ...], axes: tuple[int, ...], place: int
) -> tuple[int, ...]:
    """Return the shape of what a gather reads."""
    kept = tuple(shape[i] for i in kept_axes(len(shape), axes))
    return (*kept[:place], *batch, *kept[place:])


def check_indices(
    call: str, x: Type, indices: Sequence[Type], axes: tuple[int, ...], place: int
) -> tuple[int, ...]:
    """Check index arrays and axes against an array; return the batch shape."""
    if len(indices) != len(axes) or not axes:
        raise errors.ShapeError(
            f"{call}: {len(indices)} index arrays given for axes {axes}; give one each"
        )
    if len(set(axes)) != len(axes) or not all(0 <= a < x.ndim for a in axes):
        raise errors.ShapeError(
            f"{call}: axes {axes} must be distinct axes of shape {x.shape}"
        )
    if not 0 <= place <= x.ndim - len(axes):
        raise errors.ShapeError(
            f"{call}: place {place} is not among the {x.ndim - len(axes)} whole axes"
        )
    for t in indices:
        if not dtypes.is_integer(t.dtype):
            raise errors.DTypeError(f"{call}: indices must be integers, got {t}")
        if t.shape != indices[0].shape:
            shown = ", ".join(str(u.shape) for u in indices)
            raise errors.ShapeError(
                f"{call}: index arrays must have one shape, got {shown}"
            )
    return indices[0].shape


def _infer(
    x: Type, *indices: Type, axes: tuple[int, ...], place: int, mode: str, fill: Any
) -> Type:
    del fill
    batch = check_indices("gather", x, indices, axes, place)
    if mode not in MODES:
        raise errors.UserError(f"gather: mode {mode!r} is not one of {MODES}")
    shape = gathered_shape(x.shape, batch, axes, place)
    if mode == "clip" and 0 not in shape and any(x.shape[a] == 0 for a in axes):
        raise errors.ShapeError(
            f"gather: nothing can be read along an axis of length 0 (shape {x.shape},"
            f" axes {axes})"
        )
    return Type(x.dtype, shape, x.weak)


def default_fill(dtype: DType) -> Any:
    """Return what a read out of range gives: NaN, the largest or smallest integer."""
    if dtypes.is_inexact(dtype):
        return math.nan
    if dtypes.is_bool(dtype):
        return True
    info = np.iinfo(dtype)
    return int(info.min if dtypes.is_signed(dtype) else info.max)


def valid_places(indices: Sequence[Any], sizes: Sequence[int]) -> Any:
    """Return where all indices are in range (of ndarrays)."""
    valid = np.ones(indices[0].shape, bool)
    for i, n in zip(indices, sizes, strict=True):
        valid &= (i >= 0) & (i < n)
    return valid


def clipped(indices: Sequence[Any], sizes: Sequence[int]) -> tuple[Any, ...]:
    """Return indices (of ndarrays) moved into range."""
    found = []
    for i, n in zip(indices, sizes, strict=True):
        # A uint64 that does not fit int64 is out of range all the same.
        low = np.minimum(i, np.uint64(max(n - 1, 0))) if i.dtype == np.uint64 else i
        found.append(np.clip(low.astype(np.int64), 0, max(n - 1, 0)))
    return tuple(found)


def _reference(
    x: Any, *indices: Any, axes: tuple[int, ...], place: int, mode: str, fill: Any
) -> Any:
    kept = kept_axes(x.ndim, axes)
    sizes = [x.shape[a] for a in axes]
    front = np.transpose(x, (*axes, *kept))
    batch = indices[0].shape
    rest = tuple(x.shape[a] for a in kept)
    if 0 in sizes:
        read = np.zeros((*batch, *rest), x.dtype)
    else:
        read = front[clipped(indices, sizes)]
    if mode == "fill":
        shown = (*batch, *(1,) * len(rest))
        valid = np.reshape(valid_places(indices, sizes), shown)
        value = default_fill(x.dtype) if fill is None else fill
        read = np.where(valid, read, np.asarray(value).astype(x.dtype))
    width = len(batch)
    order = (
        *range(width, width + place),
        *range(width),
        *range(width + place, read.ndim),
    )
    return np.transpose(read, order)


def index_in_range(at: Any, term: Term, size: int) -> tuple[Term, Term | None]:
    """Return an index moved into range as an int Term, and whether it was inside."""
    if term.dtype == dtypes.uint64:
        top = scalar.cast(at.size(max(size - 1, 0)), dtypes.uint64)
        inside = term <= top
        return scalar.cast(scalar.minimum(term, top), dtypes.int64), inside
    if term.dtype == dtypes.uint32:
        term = scalar.cast(term, dtypes.int64)
    elif term.dtype.itemsize < 4:
        term = scalar.cast(term, dtypes.int32)
    top = scalar.cast(at.size(max(size - 1, 0)), term.dtype)
    inside = (term >= 0) & (term <= top)
    return scalar.minimum(scalar.maximum(term, 0), top), inside


def _pull(
    at: Any,
    index: tuple[Index, ...],
    types: Any,
    *,
    axes: tuple[int, ...],
    place: int,
    mode: str,
    fill: Any,
) -> Term:
    x = types[0]
    width = types[1].ndim
    batch = index[place : place + width]
    whole = iter((*index[:place], *index[place + width :]))
    value = None
    if mode == "fill":
        value = at.constant(default_fill(x.dtype) if fill is None else fill, x.dtype)
        if any(x.shape[a] == 0 for a in axes):
            return value  # type: ignore[no-any-return]
    inside: list[Term] = []
    found: dict[int, Index] = {}
    for k, axis in enumerate(axes):
        clamped, valid = index_in_range(at, at(k + 1, batch), x.shape[axis])
        if valid is not None:
            inside.append(valid)
        found[axis] = at.index(clamped)
    read = at(0, tuple(found[i] if i in found else next(whole) for i in range(x.ndim)))
    if value is None:
        return read  # type: ignore[no-any-return]
    return scalar.select(every(inside), read, value)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    x, *indices = primals
    out = _gather.bind(x, *indices, **params)
    if tangents[0] is None:
        return out, None
    linear = {**params, "fill": 0 if params["mode"] == "fill" else None}
    return out, _gather.bind(tangents[0], *indices, **linear)


def _transpose(
    ct: Any, x: Any, *indices: Any, axes: Any, place: int, mode: str, fill: Any
) -> Any:
    del fill
    spread = None
    if isinstance(x, Linear):
        spread = REGISTRY["spread"].bind(
            ct,
            *indices,
            shape=x.type.shape,
            axes=axes,
            place=place,
            mode="clip" if mode == "clip" else "drop",
        )
    return [spread, *(None for _ in indices)]


def batch_indices(indices: Any, dims: Any) -> tuple[list[Any], int]:
    """Give all index arrays the mapped axis in front."""
    size = next(i.shape[d] for i, d in zip(indices, dims, strict=True) if d is not None)
    full = [
        maps.broadcast(i, (size, *i.shape), tuple(range(1, i.ndim + 1)))
        if d is None
        else maps.move_axis(i, d, 0)
        for i, d in zip(indices, dims, strict=True)
    ]
    return full, size


def lane_index(shape: tuple[int, ...]) -> Any:
    """Return the index of the mapped axis: counting along the first."""
    return broadcasted_iota(dtypes.int32, shape, 0)


def _batch(
    args: Any, dims: Any, *, axes: tuple[int, ...], place: int, **params: Any
) -> Any:
    x, *indices = args
    d, *index_dims = dims
    if all(i is None for i in index_dims):
        x = maps.move_axis(x, d, 0)
        moved = tuple(a + 1 for a in axes)
        return _gather.bind(x, *indices, axes=moved, place=place + 1, **params), 0
    full, _ = batch_indices(indices, index_dims)
    if d is None:
        return _gather.bind(x, *full, axes=axes, place=place, **params), place
    x = maps.move_axis(x, d, 0)
    moved = (0, *(a + 1 for a in axes))
    lanes = lane_index(full[0].shape)
    return _gather.bind(x, lanes, *full, axes=moved, place=place, **params), place


_GATHERS: tuple[tuple[Any, ...], ...] = (
    ((5,), (4,), (0,), 0),
    ((5,), (), (0,), 0),
    ((4, 3), (5,), (0,), 0),
    ((4, 3), (2, 3), (1,), 1),
    ((4, 3), (6,), (0, 1), 0),
    ((2, 3, 4), (5,), (2, 0), 1),
    ((2, 3, 4), (2, 2), (1,), 2),
    ((4,), (0,), (0,), 0),
)


def index_cases(
    dtype: DType, rng: np.random.Generator
) -> Iterator[tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """Draw an array, index arrays (some out of range), and their axes."""
    for count, (shape, batch, axes, place) in enumerate(_GATHERS):
        kind = (np.int32, np.int64, np.uint8)[count % 3]
        low = 0 if kind is np.uint8 else -2
        indices = tuple(
            rng.integers(low, shape[a] + 2, batch).astype(kind) for a in axes
        )
        yield draw(rng, dtype, shape), indices, {"axes": axes, "place": place}


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for x, indices, params in index_cases(dtype, rng):
        yield (x, *indices), {**params, "mode": "clip", "fill": None}
        yield (x, *indices), {**params, "mode": "fill", "fill": None}
    zero = np.zeros((0, 3)).astype(dtype)
    where = np.array([0, 5], np.int32)
    params = {"axes": (0,), "place": 0, "mode": "fill", "fill": 1}
    yield (zero, where), params


_gather: Primitive = Primitive(
    name="gather",
    family="indexing",
    infer=_infer,
    lower=Pull(_pull),
    reference=_reference,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    samples=Samples(dtypes.ALL, _cases, 0),
    document="Read elements at computed places.",
)


def wrap_index(index: Any, size: int) -> Any:
    """Return an integer index whose negative values count from the end."""
    if dtypes.is_integer(index.dtype) and not dtypes.is_signed(index.dtype):
        return index
    known = index.literal() if isinstance(index, Array) else None
    if known is not None:
        return number(known + size if known < 0 else known, index.dtype)
    wide = dtypes.int32 if size < 1 << 31 else dtypes.int64
    if index.dtype.itemsize < wide.itemsize:
        index = REGISTRY["convert"].bind(index, dtype=wide)
    length = number(size, index.dtype)
    negative = REGISTRY["lt"].bind(index, number(0, index.dtype))
    # An index of rank 0 fits the rank-0 literals as well.
    added = REGISTRY["add"].bind(index, length)
    return REGISTRY["select"].bind(negative, added, index)


def as_index(index: Any, call: str) -> Any:
    """Return an integer array for anything used as an index.

    Raises:
        DTypeError: when it does not hold integers.
    """
    found = as_numeric(index, call)
    if not found.size and isinstance(found, Array) and not hasattr(index, "dtype"):
        # An empty list says nothing of its dtype.
        found = Array.of_host(
            Type(dtypes.int32, found.shape), np.zeros(found.shape, np.int32)
        )
    if not dtypes.is_integer(found.dtype):
        raise errors.DTypeError(
            f"{call}: indices must be integers, got dtype {found.dtype.name} (shape"
            f" {found.shape}); convert them with .astype('int32')"
        )
    if isinstance(found, Array) and found.type.weak and found.ndim:
        return found.strong()
    return found


def gather(
    x: Any,
    *indices: Any,
    axes: Sequence[int],
    place: int = 0,
    mode: str = "clip",
    fill_value: Any = None,
) -> Any:
    """Read elements at computed places.

    **Meaning**, for the leading axes of `x` and indices in range::

        x[indices[0], indices[1], ...]

    Args:
        x: array.
        *indices: integer arrays that broadcast together, one for each of `axes`;
            values count from 0, negative ones are out of range.
        axes: the axes of `x` that they index; the others are kept whole.
        place: where among the whole axes the axes of the indices go.
        mode: "clip" moves indices into range; "fill" reads `fill_value` out of range.
        fill_value: a number; default: NaN, or the extreme integer, or True.

    Returns:
        Array of the dtype of `x`.

    Raises:
        ShapeError: when axes or shapes do not fit.
        DTypeError: when an index is no integer.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.gather import gather
        >>> gather(rx.asarray([1, 2, 3]), rx.asarray([2, 9]), axes=(0,))
        Array([3, 3], dtype=int32)
    """
    x = as_numeric(x, "gather")
    numbers = tuple(maps.normalize_axis(a, x.ndim, "gather") for a in axes)
    found = broadcast_indices([as_index(i, "gather") for i in indices], "gather")
    fill = fill_value if fill_value is None else np.asarray(fill_value).item()
    return _gather.bind(x, *found, axes=numbers, place=place, mode=mode, fill=fill)


def broadcast_indices(indices: Sequence[Any], call: str) -> list[Any]:
    """Broadcast index arrays together."""
    if not indices:
        return []
    shape = broadcast_shapes([i.shape for i in indices], call)
    return [maps.broadcast_to(i, shape) for i in indices]


def read_mode(mode: str | None, fill_value: Any, call: str) -> str:
    """Return the gather mode of a public `mode` argument.

    Raises:
        UserError: when the mode does not exist.
    """
    names = {
        None: "fill" if fill_value is not None else "clip",
        "clip": "clip",
        "promise_in_bounds": "clip",
        "fill": "fill",
        "drop": "fill",
        "wrap": "wrap",
    }
    if mode not in names:
        raise errors.UserError(
            f"{call}: mode {mode!r} is not one of 'fill', 'clip', 'wrap',"
            " 'promise_in_bounds'"
        )
    return names[mode]


def _moved(
    index: Any, size: int, mode: str | None, fill_value: Any, call: str
) -> tuple[Any, str]:
    """Let negative indices count from the end; return the gather's mode too."""
    kind = read_mode(mode, fill_value, call)
    if kind == "wrap":
        return REGISTRY["remainder"](index, size), "clip"
    # NumPy's "clip" takes negative indices for 0.
    return (index if mode == "clip" else wrap_index(index, size)), kind


def take(
    x: Any,
    indices: Any,
    axis: int | None = None,
    *,
    mode: str | None = "fill",
    fill_value: Any = None,
) -> Any:
    """Read elements along an axis at integer places.

    **Meaning**: `np.take(x, indices, axis)`; negative indices count from the end.

    Args:
        x: array.
        indices: integers of any shape.
        axis: the axis; by default the elements are taken from the flat array.
        mode: "fill" reads `fill_value` (default NaN, or the extreme integer) out of
            range; "clip" takes the nearest element (negative indices are 0);
            "wrap" counts modulo the length.
        fill_value: a number.

    Returns:
        Array of shape `x.shape[:axis] + indices.shape + x.shape[axis + 1:]`.

    Raises:
        ShapeError: when the axis does not exist.
        DTypeError: when indices are no integers.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.gather import take
        >>> take(rx.asarray([1.0, 2.0, 3.0]), rx.asarray([-1, 0]))
        Array([3., 1.], dtype=float32)
    """
    x = as_numeric(x, "take")
    found = as_index(indices, "take")
    if axis is None:
        x, axis = maps.reshape(x, (x.size,)), 0
    along = maps.normalize_axis(axis, x.ndim, "take")
    found, kind = _moved(found, x.shape[along], mode, fill_value, "take")
    return gather(
        x, found, axes=(along,), place=along, mode=kind, fill_value=fill_value
    )


def take_along_axis(
    x: Any,
    indices: Any,
    axis: int | None = -1,
    *,
    mode: str | None = "fill",
    fill_value: Any = None,
) -> Any:
    """Read one element for each index, in the index's own row along an axis.

    **Meaning**: `np.take_along_axis(x, indices, axis)`

    Args:
        x: array.
        indices: integers; the other axes broadcast with those of `x`.
        axis: the axis along which to read; None flattens `x` first.
        mode: as in `take`.
        fill_value: as in `take`.

    Returns:
        Array of the broadcast shape.

    Raises:
        ShapeError: when shapes do not fit.
        DTypeError: when indices are no integers.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.gather import take_along_axis
        >>> x = rx.asarray([[1, 2], [3, 4]])
        >>> take_along_axis(x, rx.asarray([[1], [0]]), 1)
        Array([[2],
               [3]], dtype=int32)
    """
    x = as_numeric(x, "take_along_axis")
    found = as_index(indices, "take_along_axis")
    if axis is None:
        x, axis = maps.reshape(x, (x.size,)), 0
    along = maps.normalize_axis(axis, x.ndim, "take_along_axis")
    if found.ndim != x.ndim:
        raise errors.ShapeError(
            f"take_along_axis: indices of shape {found.shape} must have as many axes"
            f" as the array of shape {x.shape}"
        )
    found, kind = _moved(found, x.shape[along], mode, fill_value, "take_along_axis")
    others = [n for i, n in enumerate(x.shape) if i != along]
    target = [n for i, n in enumerate(found.shape) if i != along]
    outer = list(broadcast_shapes([tuple(others), tuple(target)], "take_along_axis"))
    outer.insert(along, found.shape[along])
    shape = tuple(outer)
    indices_ = [
        maps.broadcast_to(found, shape)
        if i == along
        else broadcasted_iota(dtypes.int32, shape, i)
        if n != 1
        else maps.broadcast(number(0, dtypes.int32), shape, ())
        for i, n in enumerate(x.shape)
    ]
    fill = fill_value if fill_value is None else np.asarray(fill_value).item()
    return _gather.bind(
        x, *indices_, axes=tuple(range(x.ndim)), place=0, mode=kind, fill=fill
    )
