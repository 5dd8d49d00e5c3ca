"""Index maps: ops that move elements and compute nothing.

Each is a record with an `index` rule (output index -> input index), so that fusion
reads through it for free.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.ir.primitive import REGISTRY, IndexMap, Primitive
from rxcore.ir.types import Type
from rxcore.loops.nest import Index
from rxcore.ops.samples import mapping
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric

__all__ = [
    "broadcast",
    "broadcast_to",
    "expand_dims",
    "move_axis",
    "normalize_axes",
    "normalize_axis",
    "reshape",
    "reverse",
    "slice_",
    "squeeze",
    "transpose",
]


def normalize_axis(axis: Any, ndim: int, call: str) -> int:
    """Return an axis as a number from 0, checked.

    Raises:
        ShapeError: when it is out of range.
    """
    try:
        found = operator.index(axis)
    except TypeError as error:
        raise errors.DTypeError(
            f"{call}: an axis must be an int, got {axis!r} ({type(axis).__name__})"
        ) from error
    if not -ndim <= found < ndim:
        raise errors.ShapeError(
            f"{call}: axis {found} is out of range for an array of rank {ndim};"
            f" use {-ndim} to {ndim - 1}"
            if ndim
            else f"{call}: axis {found} given, but the array has rank 0"
        )
    return found % ndim


def normalize_axes(axes: Any, ndim: int, call: str) -> tuple[int, ...]:
    """Return axes (None: all, one, or several) as distinct numbers from 0.

    Raises:
        ShapeError: when one is out of range or appears twice.
    """
    if axes is None:
        return tuple(range(ndim))
    given = axes if isinstance(axes, tuple | list) else (axes,)
    found = tuple(normalize_axis(a, ndim, call) for a in given)
    if len(set(found)) != len(found):
        raise errors.ShapeError(f"{call}: axes {tuple(given)} name one axis twice")
    return found


def index_map(
    name: str,
    *,
    infer: Callable[..., Type],
    index: Callable[..., Any] | None,
    reference: Callable[..., Any],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    samples: Any,
    document: str,
) -> Primitive:
    """Build the record of an index map: linear, so its derivative is itself."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        (x,), (t,) = primals, tangents
        out = made.bind(x, **params)
        return out, None if t is None else made.bind(t, **params)

    made = Primitive(
        name=name,
        family="index map",
        infer=infer,
        lower=IndexMap(index, dense=index is None),
        reference=reference,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        samples=samples,
        cost=lambda *_, **__: 0.0,
        document=document,
    )
    return made


# reshape ----------------------------------------------------------------------------


def _reshape_infer(x: Type, *, shape: tuple[int, ...]) -> Type:
    if math.prod(shape) != x.size:
        raise errors.ShapeError(
            f"reshape: an array of shape {x.shape} has {x.size} elements, shape"
            f" {shape} needs {math.prod(shape)}"
        )
    return x.with_shape(shape)


def _reshape_transpose(ct: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    return [_reshape.bind(ct, shape=x.type.shape)]


def _reshape_batch(args: Any, dims: Any, *, shape: tuple[int, ...]) -> Any:
    x = move_axis(args[0], dims[0], 0)
    return _reshape.bind(x, shape=(x.shape[0], *shape)), 0


_reshape: Primitive = index_map(
    "reshape",
    infer=_reshape_infer,
    index=None,
    reference=lambda x, *, shape: np.reshape(x, shape),
    transpose=_reshape_transpose,
    batch=_reshape_batch,
    samples=mapping(
        dtypes.ALL,
        (
            ((2, 6), {"shape": (3, 4)}),
            ((4,), {"shape": (2, 1, 2)}),
            ((), {"shape": (1,)}),
        ),
    ),
    document="Give the same elements another shape.",
)


def reshape(x: Any, shape: Any, *rest: int) -> Any:
    """Give the same elements another shape.

    **Meaning**: `np.reshape(x, shape)`; one size may be -1.

    Args:
        x: array.
        shape: int or ints; their product is `x.size`.
        *rest: more sizes, so that `reshape(x, 2, 3)` works too.

    Returns:
        Array of shape `shape`, the dtype of `x`.

    Raises:
        ShapeError: when the number of elements differs.

    Example:
        >>> import rxcore as rx
        >>> rx.reshape(rx.asarray([1, 2, 3, 4]), (2, 2))
        Array([[1, 2],
               [3, 4]], dtype=int32)
    """
    x = as_numeric(x, "reshape")
    sizes = (shape, *rest) if not isinstance(shape, tuple | list) else tuple(shape)
    target = tuple(int(s.__index__()) for s in sizes)
    if target.count(-1) == 1:
        known = -math.prod(target)
        if known == 0 or x.size % known:
            raise errors.ShapeError(
                f"reshape: shape {x.shape} cannot fill {target}: {x.size} is no"
                f" multiple of {known}"
            )
        target = tuple(x.size // known if s == -1 else s for s in target)
    elif target.count(-1) > 1:
        raise errors.ShapeError(f"reshape: only one size of {target} may be -1")
    elif any(s < 0 for s in target):
        raise errors.ShapeError(f"reshape: shape {target} has negative sizes")
    return x if target == x.shape else _reshape.bind(x, shape=target)


def expand_dims(x: Any, axis: Any) -> Any:
    """Insert axes of length 1.

    **Meaning**: `np.expand_dims(x, axis)`

    Args:
        x: array of any shape and dtype.
        axis: int or ints: which axes of the result are new.

    Returns:
        Array of the dtype of `x` with more axes.

    Raises:
        ShapeError: when an axis is out of range, or named twice.

    Example:
        >>> import rxcore as rx
        >>> rx.expand_dims(rx.asarray([1, 2]), 0).shape
        (1, 2)
    """
    x = as_numeric(x, "expand_dims")
    given = axis if isinstance(axis, tuple | list) else (axis,)
    axes = normalize_axes(tuple(given), x.ndim + len(given), "expand_dims")
    sizes = list(x.shape)
    for a in sorted(axes):
        sizes.insert(a, 1)
    return reshape(x, tuple(sizes))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Drop axes of length 1.

    **Meaning**: `np.squeeze(x, axis)`

    Args:
        x: array of any shape and dtype.
        axis: int or ints: which axes to drop; default: all of length 1.

    Returns:
        Array of the dtype of `x` with fewer axes.

    Raises:
        ShapeError: when an axis is out of range, or not of length 1.

    Example:
        >>> import rxcore as rx
        >>> rx.squeeze(rx.asarray([[1, 2]])).shape
        (2,)
    """
    x = as_numeric(x, "squeeze")
    if axis is None:
        axes = tuple(i for i, s in enumerate(x.shape) if s == 1)
    else:
        axes = normalize_axes(axis, x.ndim, "squeeze")
    for a in axes:
        if x.shape[a] != 1:
            raise errors.ShapeError(
                f"squeeze: axis {a} has length {x.shape[a]}, not 1 (shape {x.shape})"
            )
    return reshape(x, tuple(s for i, s in enumerate(x.shape) if i not in axes))


# broadcast --------------------------------------------------------------------------


def _broadcast_infer(x: Type, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> Type:
    fits = len(axes) == x.ndim and all(
        shape[a] == s for a, s in zip(axes, x.shape, strict=True)
    )
    if not fits:
        raise errors.ShapeError(
            f"broadcast: shape {x.shape} does not fit axes {axes} of {shape}"
        )
    return x.with_shape(shape)


def _broadcast_reference(x: Any, *, shape: Any, axes: Any) -> Any:
    sizes = [1] * len(shape)
    for a, s in zip(axes, x.shape, strict=True):
        sizes[a] = s
    ordered = np.transpose(x, np.argsort(axes)) if axes else x
    return np.broadcast_to(ordered.reshape(sizes), shape)


def _broadcast_transpose(ct: Any, x: Any, *, shape: Any, axes: Any) -> Any:
    others = tuple(i for i in range(len(shape)) if i not in axes)
    summed = REGISTRY["sum"].bind(ct, axes=others) if others else ct
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    return [transpose(summed, tuple(int(i) for i in np.argsort(order)))]


def _broadcast_batch(args: Any, dims: Any, *, shape: Any, axes: Any) -> Any:
    x = move_axis(args[0], dims[0], 0)
    moved = (0, *(a + 1 for a in axes))
    return _broadcast.bind(x, shape=(x.shape[0], *shape), axes=moved), 0


_broadcast: Primitive = index_map(
    "broadcast",
    infer=_broadcast_infer,
    index=lambda out, x, *, shape, axes: tuple(out[a] for a in axes),
    reference=_broadcast_reference,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    samples=mapping(
        dtypes.ALL,
        (
            ((), {"shape": (2, 3), "axes": ()}),
            ((3,), {"shape": (2, 3), "axes": (1,)}),
            ((2,), {"shape": (2, 3), "axes": (0,)}),
            ((2, 3), {"shape": (3, 4, 2), "axes": (2, 0)}),
        ),
    ),
    document="Repeat elements along new axes.",
)


def broadcast(x: Any, shape: Sequence[int], axes: Sequence[int]) -> Any:
    """Repeat elements along new axes; axis i of `x` becomes axis axes[i].

    **Meaning**: `np.broadcast_to(np.expand_dims(x, new_axes), shape)`
    """
    x = as_numeric(x, "broadcast")
    if x.shape == tuple(shape) and tuple(axes) == tuple(range(x.ndim)):
        return x
    return _broadcast.bind(x, shape=tuple(shape), axes=tuple(axes))


def broadcast_to(x: Any, shape: Any) -> Any:
    """Broadcast to a shape by NumPy's rules: axes of length 1 stretch.

    **Meaning**: `np.broadcast_to(x, shape)`

    Args:
        x: array of any shape and dtype.
        shape: int or ints; trailing axes of `x` are equal to it, or 1.

    Returns:
        Array of that shape and the dtype of `x`.

    Raises:
        ShapeError: when the shape does not fit.

    Example:
        >>> import rxcore as rx
        >>> rx.broadcast_to(rx.asarray([1, 2]), (2, 2))
        Array([[1, 2],
               [1, 2]], dtype=int32)
    """
    x = as_numeric(x, "broadcast_to")
    target = tuple(shape) if isinstance(shape, tuple | list) else (int(shape),)
    if x.shape == target:
        return x
    offset = len(target) - x.ndim
    fits = offset >= 0 and all(
        s in (1, t) for s, t in zip(x.shape, target[offset:], strict=True)
    )
    if not fits:
        raise errors.ShapeError(
            f"broadcast_to: shape {x.shape} does not broadcast to {target}"
        )
    kept = [i for i, s in enumerate(x.shape) if s == target[i + offset]]
    thin = reshape(x, tuple(x.shape[i] for i in kept))
    return broadcast(thin, target, tuple(i + offset for i in kept))


# transpose --------------------------------------------------------------------------


def _transpose_infer(x: Type, *, order: tuple[int, ...]) -> Type:
    return x.with_shape(tuple(x.shape[i] for i in order))


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(order)) if len(order) else ()


def _transpose_batch(args: Any, dims: Any, *, order: tuple[int, ...]) -> Any:
    x = move_axis(args[0], dims[0], 0)
    return _transpose.bind(x, order=(0, *(i + 1 for i in order))), 0


_transpose: Primitive = index_map(
    "transpose",
    infer=_transpose_infer,
    index=lambda out, x, *, order: tuple(out[i] for i in _inverse(order)),
    reference=lambda x, *, order: np.transpose(x, order),
    transpose=lambda ct, x, *, order: [_transpose.bind(ct, order=_inverse(order))],
    batch=_transpose_batch,
    samples=mapping(
        dtypes.ALL,
        (((2, 3), {"order": (1, 0)}), ((2, 3, 4), {"order": (2, 0, 1)})),
    ),
    document="Permute the axes.",
)


def transpose(x: Any, axes: Any = None) -> Any:
    """Permute the axes; reverse them by default.

    **Meaning**: `np.transpose(x, axes)`

    Args:
        x: array of any shape and dtype.
        axes: a permutation of the axes; axis i of the result is axes[i] of `x`.

    Returns:
        Array of the dtype of `x`.

    Raises:
        ShapeError: when `axes` is no permutation of the axes.

    Example:
        >>> import rxcore as rx
        >>> rx.transpose(rx.asarray([[1, 2, 3]])).shape
        (3, 1)
    """
    x = as_numeric(x, "transpose")
    order = (
        tuple(range(x.ndim))[::-1]
        if axes is None
        else normalize_axes(axes, x.ndim, "transpose")
    )
    if len(order) != x.ndim:
        raise errors.ShapeError(
            f"transpose: axes {order} do not name every axis of shape {x.shape}"
        )
    return x if order == tuple(range(x.ndim)) else _transpose.bind(x, order=order)


def move_axis(x: Any, source: int, target: int) -> Any:
    """Move one axis to another place; the others keep their order."""
    if source == target:
        return x
    order = [i for i in range(x.ndim) if i != source]
    order.insert(target, source)
    return transpose(x, tuple(order))


# slice ------------------------------------------------------------------------------


def _slice_infer(x: Type, *, start: Any, stop: Any, step: Any) -> Type:
    sizes = []
    for n, a, b, s in zip(x.shape, start, stop, step, strict=True):
        if not 0 <= a <= b <= n or s < 1:
            raise errors.ShapeError(
                f"slice: {a}:{b}:{s} is out of range for an axis of length {n}"
            )
        sizes.append(-(-(b - a) // s))
    return x.with_shape(tuple(sizes))


def _slice_transpose(ct: Any, x: Any, *, start: Any, stop: Any, step: Any) -> Any:
    widths = []
    for n, c, a, s in zip(x.type.shape, ct.shape, start, step, strict=True):
        used = (c - 1) * s + 1 if c else 0
        widths.append((a, n - a - used, s - 1) if c else (0, n, 0))
    zero = Array.scalar(0, Type(ct.dtype, ()))
    return [REGISTRY["pad"].bind(ct, zero, widths=tuple(widths))]


def _slice_batch(args: Any, dims: Any, *, start: Any, stop: Any, step: Any) -> Any:
    x = move_axis(args[0], dims[0], 0)
    return (
        _slice.bind(x, start=(0, *start), stop=(x.shape[0], *stop), step=(1, *step)),
        0,
    )


_slice: Primitive = index_map(
    "slice",
    infer=_slice_infer,
    index=lambda out, x, *, start, stop, step: tuple(
        o * s + a for o, a, s in zip(out, start, step, strict=True)
    ),
    reference=lambda x, *, start, stop, step: x[
        tuple(slice(a, b, s) for a, b, s in zip(start, stop, step, strict=True))
    ],
    transpose=_slice_transpose,
    batch=_slice_batch,
    samples=mapping(
        dtypes.ALL,
        (
            ((7,), {"start": (1,), "stop": (6,), "step": (2,)}),
            ((4, 5), {"start": (0, 2), "stop": (4, 5), "step": (3, 1)}),
            ((4,), {"start": (2,), "stop": (2,), "step": (1,)}),
        ),
    ),
    document="Take a strided box of elements.",
)


def slice_(
    x: Any, start: Sequence[int], stop: Sequence[int], step: Sequence[int] | None = None
) -> Any:
    """Take a strided box of elements.

    **Meaning**: `x[start[0]:stop[0]:step[0], start[1]:stop[1]:step[1], ...]`
    """
    x = as_numeric(x, "slice")
    steps = tuple(step) if step is not None else (1,) * x.ndim
    if tuple(start) == (0,) * x.ndim and tuple(stop) == x.shape and set(steps) <= {1}:
        return x
    return _slice.bind(x, start=tuple(start), stop=tuple(stop), step=steps)


# reverse ----------------------------------------------------------------------------


def _reverse_index(out: Sequence[Index], x: Type, *, axes: tuple[int, ...]) -> Any:
    return tuple(
        o * -1 + (n - 1) if i in axes else o
        for i, (o, n) in enumerate(zip(out, x.shape, strict=True))
    )


def _reverse_batch(args: Any, dims: Any, *, axes: tuple[int, ...]) -> Any:
    x = move_axis(args[0], dims[0], 0)
    return _reverse.bind(x, axes=tuple(a + 1 for a in axes)), 0


_reverse: Primitive = index_map(
    "reverse",
    infer=lambda x, *, axes: x,
    index=_reverse_index,
    reference=lambda x, *, axes: np.flip(x, axes),
    transpose=lambda ct, x, *, axes: [_reverse.bind(ct, axes=axes)],
    batch=_reverse_batch,
    samples=mapping(
        dtypes.ALL, (((5,), {"axes": (0,)}), ((2, 3, 4), {"axes": (0, 2)}))
    ),
    document="Reverse the order of elements along axes.",
)


def reverse(x: Any, axes: Any) -> Any:
    """Reverse the order of elements along axes.

    **Meaning**: `np.flip(x, axes)`

    Args:
        x: array of any shape and dtype.
        axes: int or ints.

    Returns:
        Array of the shape and dtype of `x`.

    Raises:
        ShapeError: when an axis is out of range, or named twice.

    Example:
        >>> import rxcore as rx
        >>> rx.reverse(rx.asarray([1, 2, 3]), 0)
        Array([3, 2, 1], dtype=int32)
    """
    x = as_numeric(x, "reverse")
    found = normalize_axes(axes, x.ndim, "reverse")
    return _reverse.bind(x, axes=tuple(sorted(found))) if found else x
