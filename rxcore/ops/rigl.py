"""A change of connections in sparse training: drop by size, grow by gradient."""

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
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.families import zeros
from rxcore.ops.join import concatenate
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["rigl"]

# Loaded when a program first needs them.
rigl_kernel = LazyModule("rxcore_kernels.rigl")
largest_mask_opencl = LazyModule("rxcore_kernels.largest_mask_opencl")


def _infer(w: Type, g: Type, mask: Type, counts: Type) -> tuple[Type, Type]:
    rows = w.shape[:-1]
    fits = w.ndim and g.shape == w.shape and g.dtype == w.dtype
    fits = fits and dtypes.is_float(w.dtype)
    fits = fits and mask.shape == w.shape and mask.dtype == dtypes.bool_
    fits = fits and counts.shape == (*rows, 2) and counts.dtype == dtypes.int32
    if not fits:
        raise errors.ShapeError(
            f"rigl: expected weights and gradients of one floating type, a mask of"
            f" their shape and two int32 counts for each row, got {w}, {g}, {mask},"
            f" {counts}"
        )
    return Type(dtypes.bool_, w.shape), Type(w.dtype, w.shape)


def _reference(w: Any, g: Any, mask: Any, counts: Any) -> tuple[Any, Any]:
    active, changed = np.moveaxis(np.asarray(counts), -1, 0)
    kept = _largest(np.where(mask, _size(w), -1), active - changed)
    new = kept | _largest(np.where(kept, -1, _size(g)), changed)
    return new, np.where(new & mask, w, np.zeros((), w.dtype))


def _size(x: Any) -> Any:
    return np.abs(np.asarray(x, np.float64))


def _largest(x: Any, k: Any) -> Any:
    # The last of equals in the reversed row is the first of the row; NaN sorts last.
    n = x.shape[-1]
    order = n - 1 - np.argsort(x[..., ::-1], -1, kind="stable")[..., ::-1]
    mask = np.zeros(x.shape, bool)
    np.put_along_axis(mask, order, np.arange(n) < np.asarray(k)[..., None], -1)
    return mask


def _plan(w: Type, g: Type, mask: Type, counts: Type) -> Any:
    del g, mask, counts
    n = w.shape[-1]
    return rigl_kernel.plan_rigl(w.dtype.name, w.size // max(n, 1), n)


def _launches(facts: Facts, w: Type, g: Type, mask: Type, counts: Type) -> Any:
    del g, mask, counts
    n = w.shape[-1]
    rows = w.size // max(n, 1)
    return largest_mask_opencl.launch_rigl(facts, w.dtype.name, rows, n)


def _jvp(primals: Any, tangents: Any) -> Any:
    new, moved = _rigl.bind(*primals)
    t = tangents[0]
    if t is None:
        return (new, moved), (None, None)
    return (new, moved), (None, select(new & primals[2], t, zeros(t.type)))


def _batch(args: Any, dims: Any) -> Any:
    size = next(a.shape[d] for a, d in zip(args, dims, strict=True) if d is not None)
    rows = (
        maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
        if d is None
        else maps.move_axis(a, d, 0)
        for a, d in zip(args, dims, strict=True)
    )
    return _rigl.bind(*rows), (0, 0)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((8,), (3, 20), (2, 1, 9)):
        w, g = (draw(rng, dtype, shape) for _ in range(2))
        active, changed = shape[-1] // 2, shape[-1] // 4
        order = np.argsort(rng.random(shape), -1)
        mask = order < active
        counts = np.tile(np.array([active, changed], np.int32), (*shape[:-1], 1))
        yield (np.where(mask, w, 0).astype(dtype), g, mask, counts), {}


_rigl: Primitive = Primitive(
    name="rigl",
    family="sort",
    infer=_infer,
    lower=Native(_plan, launches=_launches),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("rigl is not linear; its derivative is a select by masks"),
    batch=_batch,
    samples=Samples(dtypes.FLOATS, _cases, 0),
    multiple=True,
    document="Drop the smallest active weights and grow others by gradient.",
)


def rigl(w: Any, g: Any, mask: Any, active: Any, changed: Any) -> tuple[Any, Any]:
    """Drop the smallest active weights, and grow as many by their gradients.

    **Meaning**, along the last axis, with `largest` as in `largest_mask`::

        kept = largest(np.where(mask, abs(w), -1), active - changed)
        new = kept | largest(np.where(kept, -1, abs(g)), changed)
        return new, np.where(new & mask, w, 0)

    Args:
        w: weights (..., n), real floating.
        g: gradients (..., n); of two dtypes the wider one decides which are larger.
        mask: bool (..., n), True is active.
        active: how many are active, an integer or an integer array (...).
        changed: how many of them change, likewise.

    Returns:
        (new mask, new weights).

    Raises:
        ShapeError: when shapes or dtypes do not fit.

    Example:
        >>> import rxcore as rx
        >>> w, g = rx.asarray([4.0, 3.0, 0.0, 0.0]), rx.asarray([0.0, 0.0, 1.0, 2.0])
        >>> rx.ops.rigl.rigl(w, g, w != 0, 2, 1)[1]
        Array([4., 0., 0., 0.], dtype=float32)

    Paper: Evci et al., "Rigging the lottery: making all tickets winners", 2020.
    """
    w, g, mask = (as_numeric(x, "rigl") for x in (w, g, mask))
    rows, dtype = w.shape[:-1], w.dtype
    # Rounded to a narrower type, gradients would tie, and lower indices win.
    wide, _ = dtypes.promote((dtype, False), (g.dtype, False))
    counts = [
        maps.reshape(
            maps.broadcast_to(convert(as_numeric(c, "rigl"), dtypes.int32), rows),
            (*rows, 1),
        )
        for c in (active, changed)
    ]
    both = concatenate(counts, len(rows))
    new, moved = _rigl.bind(convert(w, wide), convert(g, wide), mask, both)
    return new, convert(moved, dtype)
