"""logsumexp: the logarithm of a sum of exponentials."""

from __future__ import annotations

import math as numbers
from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Expand, NoRule, Primitive
from rxcore.ops.compare import eq, is_finite, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import add, mul, sub
from rxcore.ops.families import computing_halves
from rxcore.ops.mathematics import exp, log
from rxcore.ops.reduce import CASES, batch_reduction, reduce_along, reduced, spread
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric
from rxcore.trace.capture import capture

__all__ = ["logsumexp"]


def _logsumexp(x: Any, axes: tuple[int, ...]) -> Any:
    top = REGISTRY["max"].bind(x, axes=axes)
    # An infinite top would give inf - inf.
    top = select(is_finite(top), top, 0)
    total = REGISTRY["sum"].bind(exp(sub(x, spread(top, x, axes))), axes=axes)
    return add(log(total), top)


def _logsumexp_reference(x: Any, *, axes: tuple[int, ...]) -> Any:
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, np.zeros_like(top))
    total = np.sum(np.exp(x - top), axis=axes, dtype=x.dtype)
    return np.log(total) + top.reshape(total.shape)


def _logsumexp_jvp(primals: Any, tangents: Any, *, axes: tuple[int, ...]) -> Any:
    (x,), (t,) = primals, tangents
    out = _lse.bind(x, axes=axes)
    if t is None:
        return out, None
    # All -inf: no element has weight.
    base = select(eq(out, -numbers.inf), 0, out)
    weights = exp(sub(x, spread(base, x, axes)))
    return out, REGISTRY["sum"].bind(mul(t, weights), axes=axes)


def _logsumexps(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape, params in CASES:
        yield (draw(rng, dtype, shape),), params
    x = draw(rng, dtype, (4, 3), -100, 100)
    x[0], x[1, 0], x[2, 1] = -np.inf, -np.inf, np.inf
    yield (x,), {"axes": (1,)}


_lse: Primitive = Primitive(
    name="logsumexp",
    family="reduction",
    infer=reduced,
    lower=Expand(
        lambda x, *, axes: capture(lambda v: [_logsumexp(v, axes)], [x]).graph
    ),
    reference=computing_halves(_logsumexp_reference),
    jvp=_logsumexp_jvp,
    transpose=NoRule("logsumexp is not linear"),
    batch=lambda args, dims, *, axes: batch_reduction("logsumexp", args, dims, axes),
    samples=Samples(dtypes.FLOATS, _logsumexps, 16),
    document="Return log(sum(exp(x))) along axes without overflow.",
    slots={"types": dtypes.FLOATS},
)


def logsumexp(x: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """Return log(sum(exp(x))) along axes without overflow.

    **Meaning**: `np.log(np.sum(np.exp(x), axis, keepdims=keepdims))`

    Args:
        x: array of real numbers; integers are converted to floating first.
        axis: int, ints, or None for all axes.
        keepdims: whether the axes stay with length 1.

    Returns:
        Array of the floating dtype; -inf where the axes are empty.

    Raises:
        DTypeError: when `x` is complex.
        ShapeError: when an axis is out of range or given twice.

    Example:
        >>> import rxcore as rx
        >>> rx.logsumexp(rx.asarray([1000.0, 1000.0]))
        Array(1000.6932, dtype=float32)
    """
    x = as_numeric(x, "logsumexp")
    if not dtypes.is_inexact(x.dtype):
        x = convert(x, dtypes.to_inexact(x.dtype))
    return reduce_along(x, axis, keepdims, _lse)
