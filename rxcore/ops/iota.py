"""Counting: the one op that makes an array of nothing but its params."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import NoRule, Primitive, Pull
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.nest import Index
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.samples import Case, Samples

__all__ = ["broadcasted_iota", "iota"]


def _infer(*, dtype: DType, shape: tuple[int, ...], axis: int) -> Type:
    if not 0 <= axis < len(shape):
        raise errors.ShapeError(f"iota: axis {axis} is out of range for shape {shape}")
    if dtypes.is_bool(dtype):
        raise errors.DTypeError("iota: a bool cannot count; use an integer dtype")
    return Type(dtype, shape)


def _reference(*, dtype: DType, shape: tuple[int, ...], axis: int) -> Any:
    wide = np.float32 if dtype in dtypes.HALVES else np.int64
    line = np.arange(shape[axis], dtype=wide).astype(dtype)
    sizes = [1] * len(shape)
    sizes[axis] = shape[axis]
    return np.broadcast_to(line.reshape(sizes), shape)


def _pull(
    at: Any,
    index: tuple[Index, ...],
    types: Any,
    *,
    dtype: DType,
    shape: tuple[int, ...],
    axis: int,
) -> Term:
    wide = dtypes.int32 if shape[axis] <= 1 << 31 else dtypes.int64
    place = at.term(index[axis], wide)
    if dtype in dtypes.HALVES:
        place = scalar.cast(place, dtypes.float32)
    return scalar.cast(place, dtype)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    del rng
    for shape, axis in (((5,), 0), ((3, 4), 0), ((3, 4), 1), ((2, 0), 0), ((1,), 0)):
        yield (), {"dtype": dtype, "shape": shape, "axis": axis}


_iota: Primitive = Primitive(
    name="iota",
    family="creation",
    infer=_infer,
    lower=Pull(_pull),
    reference=_reference,
    jvp=NoRule("iota has no operands"),
    transpose=NoRule("iota has no operands"),
    batch=NoRule("iota has no operands"),
    samples=Samples(dtypes.NUMBERS, _cases, 0),
    cost=lambda *_, **__: 1.0,
    document="Count along an axis.",
)


def iota(dtype: Any, size: int) -> Any:
    """Count from 0.

    **Meaning**: `np.arange(size, dtype=dtype)`

    Args:
        dtype: a dtype of numbers.
        size: how many.

    Returns:
        Array of shape (size,).

    Example:
        >>> import rxcore as rx
        >>> rx.iota("int32", 3)
        Array([0, 1, 2], dtype=int32)
    """
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype: Any, shape: Any, dimension: int) -> Any:
    """Count along one axis of a shape.

    **Meaning**: `np.indices(shape, dtype)[dimension]`

    Args:
        dtype: a dtype of numbers.
        shape: the result's shape.
        dimension: the axis along which elements count from 0.

    Returns:
        Array of that shape.

    Raises:
        DTypeError: when the dtype is bool.
        ShapeError: when there is no such axis.

    Example:
        >>> import rxcore as rx
        >>> rx.broadcasted_iota("int32", (2, 2), 1)
        Array([[0, 1],
               [0, 1]], dtype=int32)
    """
    sizes = tuple(int(s.__index__()) for s in shape)
    axis = maps.normalize_axis(dimension, len(sizes), "broadcasted_iota")
    return _iota.bind(dtype=dtypes.as_dtype(dtype), shape=sizes, axis=axis)
