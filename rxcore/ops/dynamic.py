"""Slices and updates at places that are known only when the program runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.compiler.address import strides_of
from rxcore.compiler.writer import Writer
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import REGISTRY, Accumulating, Expand, Primitive, Pull
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.nest import Buffer, Index, Nest, Size
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.families import Linear, number, zeros
from rxcore.ops.gather import as_index, index_in_range, wrap_index
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.join import every
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

__all__ = [
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
]

Sizes = tuple[int, ...]


def _check(call: str, x: Type, starts: Sequence[Type], sizes: Sizes) -> None:
    if len(starts) != x.ndim or len(sizes) != x.ndim:
        raise errors.ShapeError(
            f"{call}: {len(starts)} starts and sizes {sizes} given for an array of"
            f" shape {x.shape}; give one of each for every axis"
        )
    if any(not 0 <= s <= n for s, n in zip(sizes, x.shape, strict=True)):
        raise errors.ShapeError(
            f"{call}: a box of shape {sizes} does not fit into shape {x.shape}"
        )
    for t in starts:
        if t.ndim or not dtypes.is_integer(t.dtype):
            raise errors.DTypeError(
                f"{call}: starts must be integers of rank 0, got {t}"
            )


def _clamped_starts(starts: Sequence[Any], shape: Sizes, sizes: Sizes) -> list[int]:
    return [
        min(max(int(s), 0), n - k) for s, n, k in zip(starts, shape, sizes, strict=True)
    ]


def _start_terms(at: Any, first: int, shape: Sizes, sizes: Sizes) -> list[Term | None]:
    """Return the starts moved into range; None where only 0 fits."""
    found: list[Term | None] = []
    for axis, (n, k) in enumerate(zip(shape, sizes, strict=True)):
        if n == k:
            found.append(None)
            continue
        # A box of length k has n - k + 1 places.
        start, _ = index_in_range(at, at(first + axis, ()), n - k + 1)
        found.append(start)
    return found


# dynamic_slice ----------------------------------------------------------------------


def _slice_infer(x: Type, *starts: Type, sizes: Sizes) -> Type:
    _check("dynamic_slice", x, starts, sizes)
    return x.with_shape(sizes)


def _slice_reference(x: Any, *starts: Any, sizes: Sizes) -> Any:
    places = _clamped_starts(starts, x.shape, sizes)
    return x[tuple(slice(a, a + k) for a, k in zip(places, sizes, strict=True))]


def _slice_pull(at: Any, index: tuple[Index, ...], types: Any, *, sizes: Sizes) -> Term:
    starts = _start_terms(at, 1, types[0].shape, sizes)
    places = (
        o if s is None else at.index(s) + o for o, s in zip(index, starts, strict=True)
    )
    return at(0, tuple(places))  # type: ignore[no-any-return]


def _slice_jvp(primals: Any, tangents: Any, *, sizes: Sizes) -> Any:
    x, *starts = primals
    out = _slice.bind(x, *starts, sizes=sizes)
    t = tangents[0]
    return out, None if t is None else _slice.bind(t, *starts, sizes=sizes)


def _slice_transpose(ct: Any, x: Any, *starts: Any, sizes: Sizes) -> Any:
    del sizes
    back = None
    if isinstance(x, Linear):
        back = _update.bind(zeros(x.type.strong()), ct, *starts)
    return [back, *(None for _ in starts)]


def _box_indices(starts: Any, dims: Any, shape: Sizes, sizes: Sizes) -> Any:
    """Return the axes along which a box moves, and index arrays (lanes, box...)."""
    lanes = next(s.shape[d] for s, d in zip(starts, dims, strict=True) if d is not None)
    axes = tuple(a for a, (n, k) in enumerate(zip(shape, sizes, strict=True)) if n != k)
    full = (lanes, *(sizes[a] for a in axes))
    found = []
    for place, a in enumerate(axes, 1):
        top = number(shape[a] - sizes[a], starts[a].dtype)
        moved = REGISTRY["maximum"](starts[a], number(0, starts[a].dtype))
        start = REGISTRY["convert"].bind(
            REGISTRY["minimum"](moved, top), dtype=dtypes.int32
        )
        start = maps.broadcast(start, full, () if dims[a] is None else (0,))
        counted = broadcasted_iota(dtypes.int32, full, place)
        found.append(REGISTRY["add"].bind(start, counted))
    return axes, found, full


def _slice_batch(args: Any, dims: Any, *, sizes: Sizes) -> Any:
    (x, *starts), (d, *start_dims) = args, dims
    if all(i is None for i in start_dims):
        x = maps.move_axis(x, d, 0)
        zero = number(0, dtypes.int32)
        return _slice.bind(x, zero, *starts, sizes=(x.shape[0], *sizes)), 0
    shape = x.shape if d is None else x.shape[:d] + x.shape[d + 1 :]
    axes, indices, full = _box_indices(starts, start_dims, shape, sizes)
    if not axes:
        return (x, None) if d is None else (maps.move_axis(x, d, 0), 0)
    if d is not None:
        x = maps.move_axis(x, d, 0)
        indices = [broadcasted_iota(dtypes.int32, full, 0), *indices]
        picked = (0, *(a + 1 for a in axes))
    else:
        picked = axes
    out = REGISTRY["gather"].bind(
        x, *indices, axes=picked, place=0, mode="clip", fill=None
    )
    return maps.transpose(out, _box_order(len(shape), axes)), 0


def _box_order(ndim: int, axes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the order that puts (lanes, moved axes, whole axes) back in place."""
    whole = [a for a in range(ndim) if a not in axes]
    where = {a: 1 + i for i, a in enumerate((*axes, *whole))}
    return (0, *(where[a] for a in range(ndim)))


_BOXES: tuple[tuple[Sizes, Sizes], ...] = (
    ((7,), (3,)),
    ((5,), (5,)),
    ((4, 5), (2, 5)),
    ((4, 5), (4, 2)),
    ((2, 3, 4), (1, 2, 3)),
    ((4,), (0,)),
    ((), ()),
)


def _starts(rng: np.random.Generator, shape: Sizes, count: int) -> tuple[Any, ...]:
    kind = (np.int32, np.int64, np.uint8)[count % 3]
    low = 0 if kind is np.uint8 else -2
    return tuple(np.asarray(rng.integers(low, n + 2)).astype(kind) for n in shape)


def _slice_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for count, (shape, sizes) in enumerate(_BOXES):
        x = draw(rng, dtype, shape)
        yield (x, *_starts(rng, shape, count)), {"sizes": sizes}


_slice: Primitive = Primitive(
    name="dynamic_slice",
    family="indexing",
    infer=_slice_infer,
    lower=Pull(_slice_pull),
    reference=_slice_reference,
    jvp=_slice_jvp,
    transpose=_slice_transpose,
    batch=_slice_batch,
    samples=Samples(dtypes.ALL, _slice_cases, 0),
    document="Take a box of elements at a computed place.",
)


# dynamic_update_slice ---------------------------------------------------------------


def _update_infer(x: Type, update: Type, *starts: Type) -> Type:
    _check("dynamic_update_slice", x, starts, update.shape)
    if x.dtype != update.dtype:
        raise errors.DTypeError(
            f"dynamic_update_slice: an update of dtype {update.dtype.name} does not"
            f" fit an array of dtype {x.dtype.name}"
        )
    return x.strong()


def _update_reference(x: Any, update: Any, *starts: Any) -> Any:
    places = _clamped_starts(starts, x.shape, update.shape)
    out = np.array(x)
    box = tuple(slice(a, a + k) for a, k in zip(places, update.shape, strict=True))
    out[box] = update
    return out


def _update_pull(at: Any, index: tuple[Index, ...], types: Any) -> Term:
    x, update = types[0], types[1]
    if not update.size:
        return at(0, index)  # type: ignore[no-any-return]
    inside: list[Term] = []
    places: list[Index] = []
    starts = _start_terms(at, 2, x.shape, update.shape)
    for o, start, k in zip(index, starts, update.shape, strict=True):
        if start is None:
            places.append(o)
            continue
        place = at.term(o, start.dtype) - start
        top = scalar.cast(at.size(k - 1), start.dtype)
        inside += [place >= 0, place <= top]
        places.append(at.index(scalar.minimum(scalar.maximum(place, 0), top)))
    new = at(1, tuple(places))
    return scalar.select(every(inside), new, at(0, index)) if inside else new


def _update_jvp(primals: Any, tangents: Any) -> Any:
    x, update, *starts = primals
    out = _update.bind(*primals)
    t, v = tangents[:2]
    if t is None and v is None:
        return out, None
    t = zeros(x.type.strong()) if t is None else t
    v = zeros(update.type.strong()) if v is None else v
    return out, _update.bind(t, v, *starts)


def _update_transpose(ct: Any, x: Any, update: Any, *starts: Any) -> Any:
    outer = inner = None
    if isinstance(x, Linear):
        outer = _update.bind(ct, zeros(update.type.strong()), *starts)
    if isinstance(update, Linear):
        inner = _slice.bind(ct, *starts, sizes=update.type.shape)
    return [outer, inner, *(None for _ in starts)]


def _update_batch(args: Any, dims: Any) -> Any:
    (x, update, *starts), (d, e, *start_dims) = args, dims
    size = next(a.shape[i] for a, i in zip(args, dims, strict=True) if i is not None)
    x, update = _front(x, d, size), _front(update, e, size)
    if all(i is None for i in start_dims):
        return _update.bind(x, update, number(0, dtypes.int32), *starts), 0
    sizes = update.shape[1:]
    axes, indices, full = _box_indices(starts, start_dims, x.shape[1:], sizes)
    if not axes:
        return update, 0
    order = _box_order(len(sizes), axes)
    moved = maps.transpose(update, tuple(int(i) for i in np.argsort(order)))
    lanes = broadcasted_iota(dtypes.int32, full, 0)
    out = REGISTRY["scatter"].bind(
        x,
        moved,
        lanes,
        *indices,
        axes=(0, *(a + 1 for a in axes)),
        place=0,
        combine="set",
        mode="drop",
        unique=True,
    )
    return out, 0


def _front(x: Any, axis: int | None, size: int) -> Any:
    if axis is None:
        return maps.broadcast(x, (size, *x.shape), tuple(range(1, x.ndim + 1)))
    return maps.move_axis(x, axis, 0)


def _update_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for count, (shape, sizes) in enumerate(_BOXES):
        x, update = draw(rng, dtype, shape), draw(rng, dtype, sizes)
        yield (x, update, *_starts(rng, shape, count)), {}


def _update_nest(types: Sequence[Type], outs: Sequence[Type]) -> Nest:
    """Copy the array, then write the box: in a loop the copy falls away."""
    x, update = types[0], types[1]
    dtype = outs[0].dtype
    writer = Writer()
    with writer.loop(x.size, "serial") as c:
        writer.store("out0", Index.of(c), writer.load("in0", dtype, Index.of(c)))
    strides = strides_of(x.shape)
    with ExitStack() as stack:
        stack.enter_context(writer.loop(1, "serial"))
        target, source = Index(), Index()
        for k, (n, m, stride) in enumerate(
            zip(x.shape, update.shape, strides, strict=True), 2
        ):
            if m == n:
                continue
            # A uint64 above the range of int64 must clamp to the top, not to 0.
            start = writer.load(f"in{k}", types[k].dtype, Index())
            top = Term(writer, Size(n - m), dtypes.int64)
            wide = scalar.cast(start, dtypes.int64)
            if types[k].dtype == dtypes.uint64:
                wide = scalar.select(wide < 0, top, wide)
            place = scalar.minimum(scalar.maximum(wide, 0), top)
            target = target + Index.of(str(place.operand), stride)
        inner = strides_of(update.shape)
        for m, stride, step in zip(update.shape, strides, inner, strict=True):
            i = Index.of(stack.enter_context(writer.loop(m, "parallel")))
            target, source = target + i * stride, source + i * step
        value = writer.load("in1", dtype, source)
        writer.store("out0", target, value)
    buffers = [Buffer(f"in{k}", t.dtype, t.size) for k, t in enumerate(types)]
    out = Buffer("out0", dtype, outs[0].size, "out")
    return Nest("update", (*buffers, out), writer.body())


# A box that is this much smaller than the array is written over a copy of it.
_SMALLER = 4


def _update_expand(*types: Type) -> Graph:
    x, update = types[0], types[1]
    small = 0 < update.size * _SMALLER <= x.size
    chosen = _update_loops if small else _update_fused
    return capture(lambda *xs: [chosen.bind(*xs)], types).graph


_update, _update_fused, _update_loops = (
    Primitive(
        name=name,
        family="indexing",
        infer=_update_infer,
        lower=lower,
        reference=_update_reference,
        jvp=_update_jvp,
        transpose=_update_transpose,
        batch=_update_batch,
        samples=Samples(dtypes.ALL, _update_cases, 0),
        document="Replace a box of elements at a computed place.",
    )
    for name, lower in (
        ("dynamic_update_slice", Expand(_update_expand)),
        ("dynamic_update_fused", Pull(_update_pull)),
        ("dynamic_update_loops", Accumulating(_update_nest, updates=True)),
    )
)


# public -----------------------------------------------------------------------------


def _given_starts(starts: Any, shape: Sizes, call: str) -> list[Any]:
    """Return one index of rank 0 for each axis; negative ones count from the end."""
    if hasattr(starts, "ndim"):
        line = as_index(starts, call)
        if line.ndim != 1:
            raise errors.ShapeError(
                f"{call}: start_indices must be a sequence of {len(shape)} integers or"
                f" an array of shape ({len(shape)},), got shape {line.shape}"
            )
        parts = [
            maps.reshape(maps.slice_(line, (i,), (i + 1,)), ())
            for i in range(line.shape[0])
        ]
    else:
        parts = [as_index(s, call) for s in starts]
    if len(parts) != len(shape):
        raise errors.ShapeError(
            f"{call}: {len(parts)} start indices given for an array of shape {shape};"
            " give one for each axis"
        )
    return [wrap_index(p, n) for p, n in zip(parts, shape, strict=True)]


def dynamic_slice(x: Any, start_indices: Any, slice_sizes: Sequence[int]) -> Any:
    """Take a box of fixed size at a place that may be traced.

    **Meaning**::

        start = np.clip(start_indices, 0, np.array(x.shape) - slice_sizes)
        x[tuple(slice(a, a + k) for a, k in zip(start, slice_sizes))]

    Args:
        x: array.
        start_indices: an integer for each axis, or an array of them; negative ones
            count from the end; then they are moved so that the box fits.
        slice_sizes: the box's shape.

    Returns:
        Array of shape `slice_sizes`.

    Raises:
        ShapeError: when the box does not fit into the array.
        DTypeError: when a start is no integer.

    Example:
        >>> import rxcore as rx
        >>> rx.dynamic_slice(rx.asarray([1, 2, 3, 4]), (3,), (2,))
        Array([3, 4], dtype=int32)
    """
    x = as_numeric(x, "dynamic_slice")
    starts = _given_starts(start_indices, x.shape, "dynamic_slice")
    sizes = tuple(int(s.__index__()) for s in slice_sizes)
    return _slice.bind(x, *starts, sizes=sizes)


def dynamic_update_slice(x: Any, update: Any, start_indices: Any) -> Any:
    """Replace a box of elements at a place that may be traced.

    **Meaning**::

        start = np.clip(start_indices, 0, np.array(x.shape) - update.shape)
        out = x.copy()
        out[tuple(slice(a, a + k) for a, k in zip(start, update.shape))] = update

    Args:
        x: array.
        update: array of the same rank, not larger; converted to the dtype of `x`.
        start_indices: as in `dynamic_slice`.

    Returns:
        Array of the shape and dtype of `x`.

    Raises:
        ShapeError: when the update does not fit into the array.
        DTypeError: when a start is no integer.

    Example:
        >>> import rxcore as rx
        >>> rx.dynamic_update_slice(rx.asarray([1, 2, 3]), rx.asarray([9]), (1,))
        Array([1, 9, 3], dtype=int32)
    """
    x = as_numeric(x, "dynamic_update_slice")
    value = _as_dtype(as_numeric(update, "dynamic_update_slice"), x.dtype)
    starts = _given_starts(start_indices, x.shape, "dynamic_update_slice")
    return _update.bind(x, value, *starts)


def _as_dtype(x: Any, dtype: DType) -> Any:
    return x if x.dtype == dtype else REGISTRY["convert"].bind(x, dtype=dtype)


def _place(x: Any, start: Any, axis: int) -> list[Any]:
    return [start if i == axis else 0 for i in range(x.ndim)]


def dynamic_slice_in_dim(
    x: Any, start_index: Any, slice_size: int, axis: int = 0
) -> Any:
    """Take `slice_size` elements along one axis; see `dynamic_slice`."""
    x = as_numeric(x, "dynamic_slice_in_dim")
    along = maps.normalize_axis(axis, x.ndim, "dynamic_slice_in_dim")
    sizes = tuple(slice_size if i == along else n for i, n in enumerate(x.shape))
    return dynamic_slice(x, _place(x, start_index, along), sizes)


def dynamic_index_in_dim(
    x: Any, index: Any, axis: int = 0, keepdims: bool = True
) -> Any:
    """Take one element along an axis at an index that may be traced.

    **Meaning**: `np.take(x, [index], axis)`, the index moved into range.

    Args:
        x: array.
        index: integer of rank 0; negative counts from the end.
        axis: the axis.
        keepdims: whether the axis stays, with length 1.

    Returns:
        Array without the axis, or with length 1 there.

    Example:
        >>> import rxcore as rx
        >>> rx.dynamic_index_in_dim(rx.asarray([1, 2, 3]), 1, keepdims=False)
        Array(2, dtype=int32)
    """
    x = as_numeric(x, "dynamic_index_in_dim")
    along = maps.normalize_axis(axis, x.ndim, "dynamic_index_in_dim")
    out = dynamic_slice_in_dim(x, index, 1, along)
    return out if keepdims else maps.squeeze(out, along)


def dynamic_update_slice_in_dim(
    x: Any, update: Any, start_index: Any, axis: int
) -> Any:
    """Replace elements along one axis; see `dynamic_update_slice`."""
    x = as_numeric(x, "dynamic_update_slice_in_dim")
    along = maps.normalize_axis(axis, x.ndim, "dynamic_update_slice_in_dim")
    return dynamic_update_slice(x, update, _place(x, start_index, along))


def dynamic_update_index_in_dim(x: Any, update: Any, index: Any, axis: int) -> Any:
    """Replace one element along an axis at an index that may be traced.

    Args:
        x: array.
        update: array without the axis, or with length 1 there.
        index: integer of rank 0; negative counts from the end.
        axis: the axis.

    Returns:
        Array of the shape and dtype of `x`.

    Example:
        >>> import rxcore as rx
        >>> rx.dynamic_update_index_in_dim(rx.asarray([1, 2, 3]), 9, 1, 0)
        Array([1, 9, 3], dtype=int32)
    """
    x = as_numeric(x, "dynamic_update_index_in_dim")
    value = as_numeric(update, "dynamic_update_index_in_dim")
    along = maps.normalize_axis(axis, x.ndim, "dynamic_update_index_in_dim")
    if value.ndim == x.ndim - 1:
        value = maps.expand_dims(value, along)
    return dynamic_update_slice_in_dim(x, value, index, along)
