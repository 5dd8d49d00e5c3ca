"""The mask of the largest elements along the last axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.base.lazy import LazyModule
from rxcore.ir.primitive import Native, NoRule, Primitive
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.samples import Case, Samples, draw
from rxcore.ops.sort import distinct, sortable
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["largest_mask"]

# Loaded when a program first needs them.
largest_mask_kernel = LazyModule("rxcore_kernels.largest_mask")
largest_mask_opencl = LazyModule("rxcore_kernels.largest_mask_opencl")


def _infer(x: Type, k: Type) -> Type:
    if not x.ndim or k.shape != x.shape[:-1] or k.dtype != dtypes.int32:
        raise errors.ShapeError(
            f"largest_mask: expected one int32 count for each row of {x}, got {k}"
        )
    return Type(dtypes.bool_, x.shape)


def _reference(x: Any, k: Any) -> Any:
    # The last of equals in the reversed row is the first of the row.
    n = x.shape[-1]
    order = np.argsort(sortable(x)[..., ::-1], -1, kind="stable")
    places = n - 1 - order[..., ::-1]
    mask = np.zeros(x.shape, bool)
    np.put_along_axis(mask, places, np.arange(n) < np.asarray(k)[..., None], -1)
    return mask


def _plan(x: Type, k: Type) -> Any:
    del k
    n = x.shape[-1]
    return largest_mask_kernel.plan_largest_mask(x.dtype.name, x.size // max(n, 1), n)


def _launches(facts: Facts, x: Type, k: Type) -> Any:
    del k
    n = x.shape[-1]
    rows = x.size // max(n, 1)
    return largest_mask_opencl.launch_largest_mask(facts, x.dtype.name, rows, n)


def _jvp(primals: Any, tangents: Any) -> Any:
    del tangents
    return _largest_mask.bind(*primals), None


def _batch(args: Any, dims: Any) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    x, k = (
        maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
        if d is None
        else maps.move_axis(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    )
    return _largest_mask.bind(x, k), 0


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((7,), (3, 5), (2, 3, 4), (40,)):
        counts = rng.integers(0, shape[-1] + 1, shape[:-1])
        yield (distinct(rng, dtype, shape, -1), np.int32(counts)), {}
    if not dtypes.is_inexact(dtype):
        yield (draw(rng, dtype, (30,), 0, 2), np.int32(9)), {}


_largest_mask: Primitive = Primitive(
    name="largest_mask",
    family="sort",
    infer=_infer,
    lower=Native(_plan, launches=_launches),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("largest_mask is not linear; a mask has no derivative"),
    batch=_batch,
    samples=Samples((dtypes.bool_, *dtypes.REAL), _cases, 0),
    document="Mark the largest elements along the last axis.",
)


def largest_mask(x: Any, k: Any) -> Any:
    """Mark the k largest elements along the last axis.

    **Meaning**::

        order = np.argsort(-x, -1, stable=True)
        mask = np.zeros(x.shape, bool)
        np.put_along_axis(mask, order, np.arange(x.shape[-1]) < k[..., None], -1)

    Args:
        x: array of real numbers (..., n); NaN counts as the largest.
        k: how many, one for all rows or one for each: an int, or an integer array of
            shape (...), which may be traced. It is clipped to 0..n.

    Returns:
        Bool array of the shape of x with exactly k true elements in each row; among
        equal elements those with the lower index are marked.

    Raises:
        ShapeError: when x has no axis, k does not fit, or a k known by now is negative
            or larger than n.
        DTypeError: when x is complex, or k is not an integer.

    Example:
        >>> import rxcore as rx
        >>> rx.ops.largest_mask.largest_mask(rx.asarray([1.0, 9.0, 5.0, 5.0]), 2)
        Array([False,  True,  True, False], dtype=bool)
    """
    x = as_numeric(x, "largest_mask")
    if dtypes.is_complex(x.dtype):
        raise errors.DTypeError(
            f"largest_mask: complex numbers (dtype {x.dtype.name}) have no order; take"
            " abs(x) first"
        )
    if not x.ndim:
        raise errors.ShapeError("largest_mask: x has rank 0; expected an axis")
    n = x.shape[-1]
    if isinstance(k, int) and not 0 <= k <= n:
        raise errors.ShapeError(
            f"largest_mask: k={k} does not fit the last axis of shape {x.shape}"
        )
    count = as_numeric(k, "largest_mask")
    if not dtypes.is_integer(count.dtype) or count.shape not in ((), x.shape[:-1]):
        raise errors.ShapeError(
            f"largest_mask: k is {count.dtype.name}{list(count.shape)}; expected an"
            f" integer, or integers of shape {x.shape[:-1]}"
        )
    count = maps.broadcast_to(convert(count, dtypes.int32), x.shape[:-1])
    return _largest_mask.bind(x, count)
