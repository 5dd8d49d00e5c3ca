"""Histograms of magnitudes, for calibration."""

from __future__ import annotations

import math
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
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["histogram_of_magnitudes"]

# Loaded when a program first needs them.
histogram_kernel = LazyModule("rxcore_kernels.histogram")
histogram_opencl = LazyModule("rxcore_kernels.histogram_opencl")


def _infer(x: Type, limit: Type, *, bins: int, signed: bool) -> Type:
    if not x.ndim or x.shape[:-1] != limit.shape:
        raise errors.ShapeError(
            "histogram_of_magnitudes: expected x (..., n) and a limit for each row,"
            f" got shapes {x.shape} and {limit.shape}"
        )
    return Type(dtypes.int32, (*limit.shape, *((2, bins) if signed else (bins,))))


def _reference(x: Any, limit: Any, *, bins: int, signed: bool) -> Any:
    rows, width = math.prod(limit.shape), bins * (1 + signed)
    with np.errstate(all="ignore"):
        factor = np.float32(bins) / limit.reshape(rows, 1)
        steps = np.abs(x.reshape(rows, x.shape[-1])) * factor
        place = np.where(steps < bins - 1, steps, np.float32(bins - 1)).astype(np.int64)
    if signed:
        place += np.where(x.reshape(place.shape) < 0, 0, bins)
    place += np.arange(rows)[:, None] * width
    counts = np.bincount(place.reshape(-1), minlength=rows * width).astype(np.int32)
    return counts.reshape(*limit.shape, *((2, bins) if signed else (bins,)))


def _plan(x: Type, limit: Type, *, bins: int, signed: bool) -> Any:
    return histogram_kernel.plan_histogram(limit.size, x.shape[-1], bins, signed=signed)


def _launches(facts: Facts, x: Type, limit: Type, *, bins: int, signed: bool) -> Any:
    n = x.shape[-1]
    return histogram_opencl.launch_histogram(facts, limit.size, n, bins, signed=signed)


def _jvp(primals: Any, tangents: Any, **params: Any) -> Any:
    del tangents
    return _histogram.bind(*primals, **params), None


def _batch(args: Any, dims: Any, **params: Any) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    moved = [
        maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
        if d is None
        else maps.move_axis(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    ]
    return _histogram.bind(*moved, **params), 0


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape, bins in (((7,), 4), ((3, 50), 8), ((2, 2, 9), 1), ((2, 0), 3)):
        x = draw(rng, dtype, shape, -2, 2)
        limit = draw(rng, dtype, shape[:-1], 1, 3)
        for signed in (False, True):
            yield (x, limit), {"bins": bins, "signed": signed}
    x = draw(rng, dtype, (2, 40_000), -2, 2)
    limit = draw(rng, dtype, (2,), 1, 3)
    yield (x, limit), {"bins": 16, "signed": True}


_histogram: Primitive = Primitive(
    name="histogram_of_magnitudes",
    family="reduction",
    infer=_infer,
    lower=Native(_plan, launches=_launches),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("histogram_of_magnitudes is not linear: it counts"),
    batch=_batch,
    samples=Samples((dtypes.float32,), _cases, 0),
    document="Count the magnitudes of each row in bins of equal width.",
    slots={"stops": True},
)


def histogram_of_magnitudes(
    x: Any, limit: Any, *, bins: int = 2048, signed: bool = False
) -> Any:
    """Count the magnitudes of each row in bins of equal width from 0 to a limit.

    **Meaning**, of a row::

        steps = np.abs(x) * (np.float32(bins) / limit)
        place = np.where(steps < bins - 1, steps, bins - 1).astype(int)
        np.bincount(place, minlength=bins)

    Numbers beyond the limit, and NaN, are counted in the last bin. Numbers at the edge
    of two bins may lie elsewhere than `np.histogram` says, unless bins and limit are
    powers of two.

    Args:
        x: floating array of shape (..., n), computed with as float32.
        limit: positive limits of shape (...).
        bins: how many bins, at most 65,536.
        signed: whether numbers below zero are counted apart.

    Returns:
        Array of int32 of shape (..., bins), or (..., 2, bins) where signed: first the
        numbers below zero, then the others.

    Raises:
        ShapeError: when the shapes do not fit, or bins are out of range.
        DTypeError: when x or limit is not real floating.

    Example:
        >>> import rxcore as rx
        >>> histogram_of_magnitudes(rx.asarray([0.1, -0.6, 0.9, 5.0]), 1.0, bins=4)
        Array([1, 0, 1, 2], dtype=int32)
    """
    call = "histogram_of_magnitudes"
    if not 1 <= bins <= histogram_kernel.MOST_BINS:
        raise errors.ShapeError(
            f"{call}: bins={bins}; expected 1 <= bins <= {histogram_kernel.MOST_BINS}"
        )
    arrays = [as_numeric(a, call) for a in (x, limit)]
    for a in arrays:
        if not dtypes.is_float(a.dtype):
            raise errors.DTypeError(
                f"{call}: got {a.dtype.name} (shape {a.shape}); expected real floating"
            )
    x, limit = (convert(a, dtypes.float32) for a in arrays)
    return _histogram.bind(x, limit, bins=int(bins), signed=bool(signed))
