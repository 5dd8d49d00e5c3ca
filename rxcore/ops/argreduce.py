"""argmax and argmin: where the extreme element along an axis is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.graph import Graph
from rxcore.ir.primitive import REGISTRY, Expand, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.compare import eq, is_nan, or_, select
from rxcore.ops.convert import convert
from rxcore.ops.iota import broadcasted_iota
from rxcore.ops.reduce import keep, spread
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

__all__ = ["argmax", "argmin"]


def _arg_infer(x: Type, *, axis: int) -> Type:
    if not x.shape[axis]:
        raise errors.ShapeError(
            f"argmax or argmin: axis {axis} of shape {x.shape} is empty and has none"
        )
    dtype = dtypes.int32 if x.shape[axis] < 1 << 31 else dtypes.int64
    return Type(dtype, x.shape[:axis] + x.shape[axis + 1 :])


def _arg_expand(best: str) -> Callable[..., Graph]:
    def compute(x: Any, axis: int) -> Any:
        index_type = _arg_infer(x.type, axis=axis).dtype
        if dtypes.is_bool(x.dtype):
            x = convert(x, dtypes.int32)
        hits = eq(x, spread(REGISTRY[best].bind(x, axes=(axis,)), x, (axis,)))
        if dtypes.is_float(x.dtype):
            hits = or_(hits, is_nan(x))
        places = broadcasted_iota(index_type, x.shape, axis)
        return REGISTRY["min"].bind(
            select(hits, places, x.shape[axis] - 1), axes=(axis,)
        )

    def expand(x: Type, *, axis: int) -> Graph:
        return capture(lambda v: [compute(v, axis)], [x]).graph

    return expand


def _argbatch_reduction(name: str) -> Callable[..., Any]:
    def batch(args: Any, dims: Any, *, axis: int) -> Any:
        (x,), (d,) = args, dims
        moved = axis + (axis >= d)
        return REGISTRY[name].bind(x, axis=moved), d - (moved < d)

    return batch


def _arg_cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    # A narrow range, so that there are ties: the first place counts.
    for shape, axis in (((6,), 0), ((3, 4), 0), ((3, 4), 1), ((0, 2), 1), ((2, 5), 1)):
        x = np.rint(draw(rng, dtype, shape, -2, 2).astype(np.float64)).astype(dtype)
        if dtypes.is_float(dtype) and shape == (2, 5):
            x[0, 2] = x[0, 3] = np.nan
        yield (x,), {"axis": axis}


def _arg(name: str, best: str, reference: Any, document: str) -> Primitive:
    types = (dtypes.bool_, *dtypes.REAL)

    def meaning(x: Any, *, axis: int) -> Any:
        return reference(x, axis=axis).astype(np.int32)

    def jvp(primals: Any, tangents: Any, *, axis: int) -> Any:
        del tangents
        return REGISTRY[name].bind(*primals, axis=axis), None

    def halves(x: Any, *, axis: int) -> Any:
        return meaning(
            x.astype(np.float32) if x.dtype in dtypes.HALVES else x, axis=axis
        )

    return Primitive(
        name=name,
        family="reduction",
        infer=_arg_infer,
        lower=Expand(_arg_expand(best)),
        reference=halves,
        jvp=jvp,
        transpose=NoRule(f"{name} is not linear"),
        batch=_argbatch_reduction(name),
        samples=Samples(types, _arg_cases, 0),
        document=document,
        slots={"types": types},
    )


_argmax = _arg(
    "argmax", "max", np.argmax, "Say where the largest element along an axis is."
)
_argmin = _arg(
    "argmin", "min", np.argmin, "Say where the smallest element along an axis is."
)


def _arg_along(x: Any, axis: int | None, keepdims: bool, primitive: Primitive) -> Any:
    name = primitive.name
    x = as_numeric(x, name)
    if dtypes.is_complex(x.dtype):
        raise errors.DTypeError(
            f"{name}: {x.dtype.name} (shape {x.shape}) has no order; take abs or real"
        )
    if axis is None:
        out = primitive.bind(maps.reshape(x, (-1,)), axis=0)
        return maps.reshape(out, (1,) * x.ndim) if keepdims else out
    place = maps.normalize_axis(axis, x.ndim, name)
    out = primitive.bind(x, axis=place)
    return keep(out, x.shape, (place,)) if keepdims else out


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Say where the largest element along an axis is: the first, or the first NaN.

    **Meaning**: `np.argmax(x, axis, keepdims=keepdims).astype(np.int32)`

    Args:
        x: array of real numbers or bools.
        axis: int, or None for the place in the flattened array.
        keepdims: whether the axis stays with length 1.

    Returns:
        int32 array of places (int64 along axes that need it).

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when the axis is out of range or empty.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.argreduce import argmax
        >>> argmax(rx.asarray([[1, 5, 5], [3, 0, 1]]), axis=1)
        Array([1, 0], dtype=int32)
    """
    return _arg_along(x, axis, keepdims, _argmax)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Any:
    """Say where the smallest element along an axis is: the first, or the first NaN.

    **Meaning**: `np.argmin(x, axis, keepdims=keepdims).astype(np.int32)`

    Args:
        x: array of real numbers or bools.
        axis: int, or None for the place in the flattened array.
        keepdims: whether the axis stays with length 1.

    Returns:
        int32 array of places (int64 along axes that need it).

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when the axis is out of range or empty.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.argreduce import argmin
        >>> argmin(rx.asarray([[1, 5, 5], [3, 0, 1]]), axis=1)
        Array([0, 1], dtype=int32)
    """
    return _arg_along(x, axis, keepdims, _argmin)
