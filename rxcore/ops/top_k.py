"""The largest elements along the last axis."""

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
from rxcore.ops.gather import take_along_axis
from rxcore.ops.samples import Case, Samples, draw
from rxcore.ops.sort import distinct, sortable
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["top_k"]

# Loaded when a program first needs them.
top_k_kernel = LazyModule("rxcore_kernels.top_k")
top_k_opencl = LazyModule("rxcore_kernels.top_k_opencl")


def _infer(x: Type, *, k: int) -> tuple[Type, Type]:
    if not x.ndim or not 0 <= k <= x.shape[-1]:
        raise errors.ShapeError(
            f"top_k: k={k} does not fit the last axis of shape {x.shape}"
        )
    shape = (*x.shape[:-1], k)
    return Type(x.dtype, shape), Type(dtypes.int32, shape)


def _reference(x: Any, *, k: int) -> tuple[Any, Any]:
    # The last of equals in the reversed row is the first of the row.
    n = x.shape[-1]
    order = np.argsort(sortable(x)[..., ::-1], -1, kind="stable")
    places = n - 1 - order[..., ::-1][..., :k]
    return np.take_along_axis(x, places, -1), places.astype(np.int32)


def _plan(x: Type, *, k: int) -> Any:
    n = x.shape[-1]
    return top_k_kernel.plan_top_k(x.dtype.name, x.size // max(n, 1), n, k)


def _launches(facts: Facts, x: Type, *, k: int) -> Any:
    n = x.shape[-1]
    rows = x.size // max(n, 1)
    return top_k_opencl.launch_top_k(facts, x.dtype.name, rows, n, k)


def _jvp(primals: Any, tangents: Any, *, k: int) -> Any:
    values, places = _top_k.bind(primals[0], k=k)
    t = tangents[0]
    if t is None:
        return (values, places), (None, None)
    return (values, places), (take_along_axis(t, places, -1, mode="clip"), None)


def _batch(args: Any, dims: Any, *, k: int) -> Any:
    return _top_k.bind(maps.move_axis(args[0], dims[0], 0), k=k), (0, 0)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape, k in (((7,), 3), ((3, 5), 5), ((2, 3, 4), 1), ((4,), 0), ((50,), 8)):
        yield (distinct(rng, dtype, shape, -1),), {"k": k}
    if not dtypes.is_inexact(dtype):
        yield (draw(rng, dtype, (30,), 0, 2),), {"k": 9}


_top_k: Primitive = Primitive(
    name="top_k",
    family="sort",
    infer=_infer,
    lower=Native(_plan, launches=_launches),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("top_k is not linear; its derivative is a gather"),
    batch=_batch,
    samples=Samples((dtypes.bool_, *dtypes.REAL), _cases, 0),
    multiple=True,
    document="Find the largest elements along the last axis.",
)


def top_k(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    """Find the k largest elements along an axis, largest first, and where they are.

    **Meaning**, along the last axis, without ties::

        indices = np.argsort(x, -1)[..., ::-1][..., :k]
        np.take_along_axis(x, indices, -1), indices

    Args:
        x: array of real numbers; NaN counts as the largest.
        k: how many, at most the length of the axis.
        axis: the axis along which to look.

    Returns:
        (values, indices): values in the dtype of `x`, indices int32; among equal
        elements the one with the lower index comes first.

    Raises:
        ShapeError: when k does not fit the axis.
        DTypeError: when the dtype is complex.

    Example:
        >>> import rxcore as rx
        >>> rx.top_k(rx.asarray([1.0, 9.0, 5.0]), 2)
        (Array([9., 5.], dtype=float32), Array([1, 2], dtype=int32))
    """
    x = as_numeric(x, "top_k")
    if dtypes.is_complex(x.dtype):
        raise errors.DTypeError(
            f"top_k: complex numbers (dtype {x.dtype.name}) have no order; take"
            " abs(x) first"
        )
    along = maps.normalize_axis(axis, x.ndim, "top_k")
    last = x.ndim - 1
    values, places = _top_k.bind(maps.move_axis(x, along, last), k=int(k))
    return maps.move_axis(values, last, along), maps.move_axis(places, last, along)
