"""Reductions: join all elements along axes; the axes are dropped."""

from __future__ import annotations

import math as numbers
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Reduction
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.compare import eq, ne, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import div, mul
from rxcore.ops.families import computing_halves
from rxcore.ops.samples import Case, Samples, draw, mapping
from rxcore.trace.bind import as_numeric

__all__ = [
    "all_",
    "any_",
    "max_",
    "min_",
    "prod_",
    "sum_",
]

CASES: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((5,), {"axes": (0,)}),
    ((3, 4), {"axes": (0,)}),
    ((3, 4), {"axes": (1,)}),
    ((2, 3, 4), {"axes": (0, 2)}),
    ((2, 3), {"axes": ()}),
    ((0, 3), {"axes": (0,)}),
    ((), {"axes": ()}),
)
# Long enough that the order of additions shows.
_LONG: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (
    ((40, 70), {"axes": (0, 1)}),
)


def kept_axes(x: Type, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if i not in axes)


def reduced(x: Type, *, axes: tuple[int, ...]) -> Type:
    if list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
        raise errors.ShapeError(
            f"reduction: axes {axes} are not sorted, distinct axes of shape {x.shape}"
        )
    return Type(x.dtype, tuple(x.shape[i] for i in kept_axes(x, axes)), x.weak)


def spread(out: Any, like: Any, axes: tuple[int, ...]) -> Any:
    """Repeat a reduced array along the axes that it lost."""
    return maps.broadcast(out, like.shape, kept_axes(like.type, axes))


def reduction(
    name: str,
    *,
    combine: str,
    identity: Callable[[DType], Any],
    reference: Callable[..., Any],
    jvp: Any,
    transpose: Any,
    types: tuple[DType, ...],
    tolerance: float = 4,
    samples: Samples | None = None,
    document: str = "",
) -> Primitive:
    """Build the record of a reduction over params["axes"] (sorted, distinct)."""
    return Primitive(
        name=name,
        family="reduction",
        infer=reduced,
        lower=Reduction(combine, identity),
        reference=computing_halves(reference),
        jvp=jvp,
        transpose=transpose,
        batch=lambda args, dims, *, axes: batch_reduction(name, args, dims, axes),
        samples=samples or mapping(types, (*CASES, *_LONG), tolerance),
        document=document,
        slots={"types": types},
    )


def batch_reduction(name: str, args: Any, dims: Any, axes: tuple[int, ...]) -> Any:
    # The mapped axis stays where it is: nothing moves.
    (x,), (d,) = args, dims
    moved = tuple(a + (a >= d) for a in axes)
    return REGISTRY[name].bind(x, axes=moved), d - sum(a < d for a in moved)


def linear_jvp(made: Callable[[], Primitive]) -> Callable[..., Any]:
    """Return the jvp rule of an op that is linear in its only operand."""

    def jvp(primals: Any, tangents: Any, **params: Any) -> Any:
        (x,), (t,) = primals, tangents
        op = made()
        out = op.bind(x, **params)
        return out, None if t is None else op.bind(t, **params)

    return jvp


def reduce_along(x: Any, axis: Any, keepdims: bool, primitive: Primitive) -> Any:
    axes = tuple(sorted(maps.normalize_axes(axis, x.ndim, primitive.name)))
    allowed = primitive.slots["types"]
    if x.dtype not in allowed:
        names = ", ".join(d.name for d in allowed)
        raise errors.DTypeError(
            f"{primitive.name}: dtype {x.dtype.name} (shape {x.shape}) is not one of"
            f" {names}; convert it with .astype(...)"
        )
    out = primitive.bind(x, axes=axes) if axes else x
    return keep(out, x.shape, axes) if keepdims else out


def keep(out: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Put reduced axes back with length 1."""
    return maps.reshape(out, tuple(1 if i in axes else s for i, s in enumerate(shape)))


# sum --------------------------------------------------------------------------------


def _sum_transpose(ct: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return [maps.broadcast(ct, x.type.shape, kept_axes(x.type, axes))]


_sum: Primitive = reduction(
    "sum",
    combine="add",
    identity=lambda dtype: 0,
    reference=lambda x, *, axes: np.sum(x, axis=axes, dtype=x.dtype),
    jvp=linear_jvp(lambda: _sum),
    transpose=_sum_transpose,
    types=dtypes.NUMBERS,
    tolerance=256,
    document="Add up elements along axes.",
)


def sum_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Add up elements along axes, in the dtype of `x`.

    **Meaning**: `np.sum(x, axis, dtype=x.dtype, keepdims=keepdims)`; halves are added
    in float32 and rounded once.

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; 0 where the axes are empty.

    Raises:
        DTypeError: when `x` is bool.
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import sum_
        >>> sum_(rx.asarray([[1, 2], [3, 4]]), axis=0)
        Array([4, 6], dtype=int32)
    """
    return reduce_along(as_numeric(x, "sum"), axis, keepdims, _sum)


# prod -------------------------------------------------------------------------------


def _others(x: Any, axes: tuple[int, ...]) -> Any:
    """Return for each element the product of all others: no division, so 0 is fine."""
    kept = kept_axes(x.type, axes)
    rows = maps.transpose(x, (*kept, *axes))
    flat = maps.reshape(rows, (*(x.shape[i] for i in kept), -1)) if x.size else rows
    last = flat.ndim - 1
    before, after = (
        REGISTRY["cumprod"].slots["exclusive"](flat, last, reverse)
        for reverse in (False, True)
    )
    product = maps.reshape(mul(before, after), rows.shape)
    order = (*kept, *axes)
    return maps.transpose(product, tuple(int(i) for i in np.argsort(order)))


def _prod_jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
    (x,), (t,) = primals, tangents
    out = _prod.bind(x, axes=axes)
    if t is None:
        return out, None
    if not axes or not x.size:
        return out, _sum.bind(t, axes=axes)
    return out, _sum.bind(mul(t, _others(x, axes)), axes=axes)


def _products(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    low = 1 if dtypes.is_integer(dtype) else -1.5
    for shape, params in CASES:
        yield (draw(rng, dtype, shape, low, 1.5),), params
    x = draw(rng, dtype, (3, 5), low, 1.5)
    x[0, 1] = x[1, 2] = x[1, 4] = 0
    yield (x,), {"axes": (1,)}
    yield (x,), {"axes": (0, 1)}


_prod: Primitive = reduction(
    "prod",
    combine="mul",
    identity=lambda dtype: 1,
    reference=lambda x, *, axes: np.prod(x, axis=axes, dtype=x.dtype),
    jvp=_prod_jvp,
    transpose=NoRule("prod is not linear"),
    types=dtypes.NUMBERS,
    samples=Samples(dtypes.NUMBERS, _products, 64),
    document="Multiply elements along axes.",
)


def prod_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Multiply elements along axes, in the dtype of `x`.

    **Meaning**: `np.prod(x, axis, dtype=x.dtype, keepdims=keepdims)`

    Args:
        x: array of numbers.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; 1 where the axes are empty. The derivative is right
        where elements are 0, too.

    Raises:
        DTypeError: when `x` is bool.
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import prod_
        >>> prod_(rx.asarray([2, 3, 4]))
        Array(24, dtype=int32)
    """
    return reduce_along(as_numeric(x, "prod"), axis, keepdims, _prod)


# max and min ------------------------------------------------------------------------


def _lowest(dtype: DType) -> Any:
    return int(np.iinfo(dtype).min) if dtypes.is_integer(dtype) else -numbers.inf


def _highest(dtype: DType) -> Any:
    return int(np.iinfo(dtype).max) if dtypes.is_integer(dtype) else numbers.inf


def _extreme_jvp(name: str) -> Callable[..., Any]:
    def jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
        (x,), (t,) = primals, tangents
        out = REGISTRY[name].bind(x, axes=axes)
        if t is None:
            return out, None
        # Equal extremes share the derivative.
        hits = eq(x, spread(out, x, axes))
        count = _sum.bind(convert(hits, x.dtype), axes=axes)
        return out, div(_sum.bind(select(hits, t, 0), axes=axes), count)

    return jvp


_max: Primitive = reduction(
    "max",
    combine="max",
    identity=_lowest,
    reference=lambda x, *, axes: np.max(x, axis=axes, initial=_lowest(x.dtype)),
    jvp=_extreme_jvp("max"),
    transpose=NoRule("max is not linear"),
    types=dtypes.REAL,
    tolerance=0,
    document="Take the largest element along axes; NaN if one is.",
)
_min: Primitive = reduction(
    "min",
    combine="min",
    identity=_highest,
    reference=lambda x, *, axes: np.min(x, axis=axes, initial=_highest(x.dtype)),
    jvp=_extreme_jvp("min"),
    transpose=NoRule("min is not linear"),
    types=dtypes.REAL,
    tolerance=0,
    document="Take the smallest element along axes; NaN if one is.",
)


def max_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Take the largest element along axes; NaN where one is NaN.

    **Meaning**: `np.max(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers or bools.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; the lowest number of the dtype (-inf) where the
        axes are empty.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import max_
        >>> max_(rx.asarray([[1, 5], [3, 4]]), axis=1)
        Array([5, 4], dtype=int32)
    """
    x = as_numeric(x, "max")
    return reduce_along(x, axis, keepdims, _any if dtypes.is_bool(x.dtype) else _max)


def min_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Take the smallest element along axes; NaN where one is NaN.

    **Meaning**: `np.min(x, axis, keepdims=keepdims)`

    Args:
        x: array of real numbers or bools.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the dtype of `x`; the highest number of the dtype (inf) where the
        axes are empty.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import min_
        >>> min_(rx.asarray([[1, 5], [3, 4]]), axis=1)
        Array([1, 3], dtype=int32)
    """
    x = as_numeric(x, "min")
    return reduce_along(x, axis, keepdims, _all if dtypes.is_bool(x.dtype) else _min)


# all and any ------------------------------------------------------------------------


def _truth(name: str, combine: str, empty: bool, reference: Any, document: str) -> Any:
    def jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
        del tangents
        return REGISTRY[name].bind(*primals, axes=axes), None

    return reduction(
        name,
        combine=combine,
        identity=lambda dtype: empty,
        reference=lambda x, *, axes: reference(x, axis=axes),
        jvp=jvp,
        transpose=NoRule(f"{name} is not linear"),
        types=(dtypes.bool_,),
        tolerance=0,
        document=document,
    )


_all: Primitive = _truth(
    "all", "and", True, np.all, "Say whether all elements along axes are true."
)
_any: Primitive = _truth(
    "any", "or", False, np.any, "Say whether some element along axes is true."
)


def _as_bool(x: Any, call: str) -> Any:
    x = as_numeric(x, call)
    return x if dtypes.is_bool(x.dtype) else ne(x, 0)


def all_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether all elements along axes are true (not 0).

    **Meaning**: `np.all(x, axis, keepdims=keepdims)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import all_
        >>> all_(rx.asarray([[1, 0], [3, 4]]), axis=1)
        Array([False,  True], dtype=bool)
    """
    return reduce_along(_as_bool(x, "all"), axis, keepdims, _all)


def any_(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Say whether some element along axes is true (not 0).

    **Meaning**: `np.any(x, axis, keepdims=keepdims)`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.reduce import any_
        >>> any_(rx.asarray([[0, 0], [3, 0]]), axis=1)
        Array([False,  True], dtype=bool)
    """
    return reduce_along(_as_bool(x, "any"), axis, keepdims, _any)
