"""Distributions of floating numbers, made of random bits."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ops import shape as maps
from rxcore.ops.argreduce import argmax
from rxcore.ops.compare import lt
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.elementwise import add, div, mul, neg, sub
from rxcore.ops.families import broadcast_shapes, number
from rxcore.ops.magnitude import abs_, maximum, minimum, nextafter, sign
from rxcore.ops.mathematics import log, log1p
from rxcore.ops.random_bits import random_bits
from rxcore.ops.special import erf, erfinv_rounded
from rxcore.ops.stop import stop_gradient
from rxcore.random.keys import checked, sizes
from rxcore.runtime.array import Array
from rxcore.trace.bind import as_numeric

__all__ = [
    "bernoulli",
    "categorical",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "truncated_normal",
    "uniform",
]

_limits: Any = ml_dtypes.finfo
_UNSIGNED = {2: dtypes.uint16, 4: dtypes.uint32, 8: dtypes.uint64}


def _floating(dtype: Any, call: str) -> DType:
    found = dtypes.default_float() if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_float(found):
        raise errors.DTypeError(
            f"random.{call}: dtype {found.name} is not a real floating dtype"
        )
    return found


def _spread(parameter: Any, shape: tuple[int, ...], dtype: DType, call: str) -> Any:
    """Return a parameter of a distribution, checked against the shape drawn."""
    if isinstance(parameter, int | float) and not isinstance(parameter, np.generic):
        return number(parameter, dtype)
    found = convert(as_numeric(parameter, call), dtype)
    if broadcast_shapes([found.shape, shape], f"random.{call}") != shape:
        raise errors.ShapeError(
            f"random.{call}: a parameter of shape {found.shape} does not broadcast to"
            f" the shape {shape} that is drawn"
        )
    return found


def _unit(key: Any, shape: tuple[int, ...], dtype: DType) -> Any:
    """Draw from [0, 1): random mantissas of numbers in [1, 2), less 1."""
    mantissa = int(_limits(dtype).nmant)
    width = 8 if mantissa < 8 else dtype.itemsize * 8
    word = _UNSIGNED[dtype.itemsize]
    drawn = convert(random_bits(key, shape, width), word)
    one = int(np.ones((), dtype).view(word))
    filled = (drawn >> (width - mantissa)) | one
    return sub(bitcast(filled, dtype), number(1, dtype))


def uniform(
    key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Draw numbers from [minval, maxval), all equally likely.

    **Meaning**: `minval + u * (maxval - minval)` with u from [0, 1), a random mantissa
    of a number in [1, 2), less 1.

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.
        minval: a number, or an array that broadcasts to the shape.
        maxval: the same.

    Returns:
        Array of the shape and dtype: bit for bit `jax.random.uniform`.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none, or a limit does not fit.

    Example:
        >>> import rxcore as rx
        >>> rx.random.uniform(rx.random.key(42), (2,))
        Array([0.48870957, 0.6797972 ], dtype=float32)
    """
    found, target = _floating(dtype, "uniform"), sizes(shape, "uniform")
    low = _spread(minval, target, found, "uniform")
    high = _spread(maxval, target, found, "uniform")
    unit = _unit(checked(key, "uniform"), target, found)
    return maximum(low, _scaled(unit, _span(low, high), low))


def _span(low: Any, high: Any) -> Any:
    """Return high - low; of two numbers at once, also while tracing."""
    if isinstance(low, Array) and isinstance(high, Array) and not low.ndim + high.ndim:
        return number(high.host - low.host, low.dtype)
    return sub(high, low)


def _scaled(unit: Any, span: Any, low: Any) -> Any:
    """Return unit * span + low, rounded once where the product rounds."""
    width = span.item() if isinstance(span, Array) and not span.ndim else None
    if unit.dtype != dtypes.float32 or (width and math.frexp(width)[0] == 0.5):
        return add(mul(unit, span), low)
    # XLA fuses this into one operation; the product of two float32 is exact here.
    wide = (convert(v, dtypes.float64) for v in (unit, span, low))
    first, second, third = wide
    return convert(add(mul(first, second), third), dtypes.float32)


def normal(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the standard normal distribution.

    **Meaning**: `np.sqrt(2) * erfinv(u)` with u uniform in (-1, 1).

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype: `jax.random.normal` up to the rounding of erfinv.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.normal(rx.random.key(0), (3,)).shape
        (3,)
    """
    found = _floating(dtype, "normal")
    low = float(np.nextafter(found.type(-1), found.type(0)))
    drawn = uniform(checked(key, "normal"), shape, found, low, 1.0)
    return mul(erfinv_rounded(drawn), number(math.sqrt(2), found))


def truncated_normal(
    key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = None
) -> Any:
    """Draw from the standard normal distribution, cut to an interval.

    **Meaning**: `np.sqrt(2) * erfinv(u)` with u uniform between `erf(lower / sqrt(2))`
    and `erf(upper / sqrt(2))`.

    Args:
        key: uint32 array of shape (2,).
        lower: a number, or an array that broadcasts to the shape.
        upper: the same.
        shape: int or ints; default: that of the limits.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype, inside of the open interval.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none, or a limit does not fit.

    Example:
        >>> import rxcore as rx
        >>> x = rx.random.truncated_normal(rx.random.key(0), -2.0, 2.0, (1000,))
        >>> bool(rx.numpy.all(rx.numpy.abs(x) < 2))
        True
    """
    call = "truncated_normal"
    found = _floating(dtype, call)
    given = [as_numeric(v, call) for v in (lower, upper)]
    target = (
        broadcast_shapes([v.shape for v in given], f"random.{call}")
        if shape is None
        else sizes(shape, call)
    )
    low, high = (_spread(v, target, found, call) for v in (lower, upper))
    root = number(math.sqrt(2), found)
    drawn = uniform(
        checked(key, call), target, found, erf(div(low, root)), erf(div(high, root))
    )
    out = mul(erfinv_rounded(drawn), root)
    # Rounding must not lead out of the open interval.
    bottom = nextafter(stop_gradient(low), number(math.inf, found))
    top = nextafter(stop_gradient(high), number(-math.inf, found))
    return minimum(maximum(out, bottom), top)


def bernoulli(key: Any, p: Any = 0.5, shape: Any = None) -> Any:
    """Draw bools that are true with probability p.

    **Meaning**: `u < p` with u uniform in [0, 1).

    Args:
        key: uint32 array of shape (2,).
        p: probabilities: a float, or a floating array that broadcasts to the shape.
        shape: int or ints; default: that of `p`.

    Returns:
        Array of bools: bit for bit `jax.random.bernoulli`.

    Raises:
        DTypeError: when the key is no key, or `p` not floating.
        ShapeError: when the shape is none, or `p` does not fit.

    Example:
        >>> import rxcore as rx
        >>> rx.random.bernoulli(rx.random.key(0), 0.5, (4,)).dtype
        dtype('bool')
    """
    chance = as_numeric(p, "bernoulli")
    found = _floating(chance.dtype, "bernoulli")
    target = chance.shape if shape is None else sizes(shape, "bernoulli")
    chance = _spread(p, target, found, "bernoulli")
    return lt(_unit(checked(key, "bernoulli"), target, found), chance)


def exponential(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the exponential distribution with rate 1.

    **Meaning**: `-np.log1p(-u)` with u uniform in [0, 1).

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.exponential(rx.random.key(0), (3,)).shape
        (3,)
    """
    return neg(log1p(neg(uniform(key, shape, _floating(dtype, "exponential")))))


def _tiny(dtype: DType) -> float:
    return float(_limits(dtype).tiny)


def gumbel(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the Gumbel distribution.

    **Meaning**: `-np.log(-np.log(u))` with u uniform in (0, 1).

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.gumbel(rx.random.key(0), (3,)).shape
        (3,)
    """
    found = _floating(dtype, "gumbel")
    return neg(log(neg(log(uniform(key, shape, found, _tiny(found))))))


def laplace(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the Laplace distribution.

    **Meaning**: `np.sign(u) * np.log1p(-np.abs(u))` with u uniform in (-1, 1).

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.laplace(rx.random.key(0), (3,)).shape
        (3,)
    """
    found = _floating(dtype, "laplace")
    low = -1 + float(_limits(found).epsneg)
    drawn = uniform(key, shape, found, low)
    return mul(sign(drawn), log1p(neg(abs_(drawn))))


def logistic(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw from the logistic distribution.

    **Meaning**: `np.log(u) - np.log1p(-u)` with u uniform in (0, 1).

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: a real floating dtype; default: the default float.

    Returns:
        Array of the shape and dtype.

    Raises:
        DTypeError: when the key is no key, or the dtype not floating.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.logistic(rx.random.key(0), (3,)).shape
        (3,)
    """
    found = _floating(dtype, "logistic")
    drawn = uniform(key, shape, found, _tiny(found))
    return sub(log(drawn), log1p(neg(drawn)))


def categorical(key: Any, logits: Any, axis: int = -1, shape: Any = None) -> Any:
    """Draw categories by the logarithms of their probabilities.

    **Meaning**: `np.argmax(logits + gumbel, axis)`

    Args:
        key: uint32 array of shape (2,).
        logits: floating array; along `axis` the logarithms, up to a constant, of the
            probabilities.
        axis: the axis of the categories.
        shape: int or ints, ending in the shape of `logits` without `axis`; default:
            just that.

    Returns:
        int32 array of the shape: bit for bit `jax.random.categorical` except where two
        sums are equal up to the rounding of log.

    Raises:
        DTypeError: when the key is no key, or the logits are not floating.
        ShapeError: when shapes do not fit.

    Example:
        >>> import rxcore as rx
        >>> logits = rx.asarray([0.0, 100.0, 0.0])
        >>> rx.random.categorical(rx.random.key(0), logits, shape=(3,))
        Array([1, 1, 1], dtype=int32)

    Paper: Maddison, Tarlow and Minka, "A* sampling", NeurIPS 2014 (the Gumbel trick).
    """
    given = as_numeric(logits, "categorical")
    found = _floating(given.dtype, "categorical")
    along = maps.normalize_axis(axis, given.ndim, "categorical")
    batch = given.shape[:along] + given.shape[along + 1 :]
    target = batch if shape is None else sizes(shape, "categorical")
    if target[len(target) - len(batch) :] != batch:
        raise errors.ShapeError(
            f"random.categorical: shape {target} must end in {batch}, the shape of the"
            f" logits {given.shape} without axis {axis}"
        )
    ahead = target[: len(target) - len(batch)]
    noise = gumbel(key, (*ahead, *given.shape), found)
    return argmax(add(noise, given), len(ahead) + along)
