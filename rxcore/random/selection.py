"""Integers, permutations and choices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ops import shape as maps
from rxcore.ops.compare import and_, eq, gt, le, select
from rxcore.ops.convert import convert
from rxcore.ops.cumulate import cumsum
from rxcore.ops.elementwise import add, div, floor, mul, remainder, sub
from rxcore.ops.families import broadcast_shapes, number
from rxcore.ops.gather import take
from rxcore.ops.iota import iota
from rxcore.ops.magnitude import maximum, minimum
from rxcore.ops.mathematics import log
from rxcore.ops.random_bits import random_bits
from rxcore.ops.search import searchsorted
from rxcore.ops.sort import sort
from rxcore.ops.top_k import top_k
from rxcore.random.distributions import bernoulli, gumbel, uniform
from rxcore.random.keys import checked, sizes, split
from rxcore.trace.bind import as_numeric

__all__ = ["choice", "permutation", "rademacher", "randint"]

_UNSIGNED = {4: dtypes.uint32, 8: dtypes.uint64}


def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = None) -> Any:
    """Draw integers from [minval, maxval).

    **Meaning**: `minval + (high * 2**n + low) % (maxval - minval)` with two draws of n
    random bits: the probabilities differ by at most about 2**-n.

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        minval: an integer, or an array that broadcasts to the shape.
        maxval: the same; where it is not above `minval`, `minval` is drawn.
        dtype: an integer dtype; default: int32.

    Returns:
        Array of the shape and dtype: bit for bit `jax.random.randint`.

    Raises:
        DTypeError: when the key is no key, or the dtype no integer.
        ShapeError: when the shape is none, or a limit does not fit.

    Example:
        >>> import rxcore as rx
        >>> rx.random.randint(rx.random.key(0), (4,), 0, 10).dtype
        dtype('int32')
    """
    found = dtypes.default_int() if dtype is None else dtypes.as_dtype(dtype)
    if not dtypes.is_integer(found):
        raise errors.DTypeError(f"random.randint: dtype {found.name} is no integer")
    target = sizes(shape, "randint")
    low, high = (_limit(v, target) for v in (minval, maxval))
    wide = found
    if found.itemsize < 4:
        # Few bits would favour some integers.
        wide, info = dtypes.int32, np.iinfo(found)
        low = _clipped(convert(low, wide), int(info.min), int(info.max))
        high = _clipped(convert(high, wide), int(info.min), int(info.max) + 1)
    return convert(_drawn(checked(key, "randint"), target, low, high, wide), found)


def _limit(value: Any, shape: tuple[int, ...]) -> Any:
    found = as_numeric(value, "randint")
    if not dtypes.is_integer(found.dtype):
        found = convert(found, dtypes.default_int())
    if broadcast_shapes([found.shape, shape], "random.randint") != shape:
        raise errors.ShapeError(
            f"random.randint: a limit of shape {found.shape} does not broadcast to the"
            f" shape {shape} that is drawn"
        )
    return found


def _clipped(x: Any, low: int, high: int) -> Any:
    top = minimum(x, number(high, x.dtype))
    return maximum(top, number(low, x.dtype))


def _narrowed(x: Any, dtype: DType) -> Any:
    """Convert to another integer dtype; what does not fit takes its nearest end."""
    ends, own = np.iinfo(dtype), np.iinfo(x.dtype)
    low, high = max(ends.min, own.min), min(ends.max, own.max)
    return convert(_clipped(x, int(low), int(high)), dtype)


def _drawn(key: Any, shape: tuple[int, ...], low: Any, high: Any, dtype: DType) -> Any:
    width = dtype.itemsize * 8
    word = _UNSIGNED[dtype.itemsize]
    end = min(int(np.iinfo(dtype).max), int(np.iinfo(high.dtype).max))
    beyond = gt(high, number(end, high.dtype))
    low, high = _narrowed(low, dtype), _narrowed(high, dtype)
    span = convert(sub(high, low), word)
    span = select(le(high, low), number(1, word), span)
    # One past the dtype's end: a span of all integers becomes 0 and keeps every bit.
    wider = and_(beyond, gt(high, low))
    span = select(wider, add(span, number(1, word)), span)
    keys = split(key)
    first, second = (maps.reshape(k, (2,)) for k in (_row(keys, 0), _row(keys, 1)))
    upper, lower = (random_bits(k, shape, width) for k in (first, second))
    # 2**width modulo the span, by a square.
    half = _modulo(number(1 << (width // 2), word), span)
    scale = _modulo(mul(half, half), span)
    offset = add(mul(_modulo(upper, span), scale), _modulo(lower, span))
    return add(low, convert(_modulo(offset, span), dtype))


def _row(keys: Any, i: int) -> Any:
    return maps.slice_(keys, (i, 0), (i + 1, 2))


def _modulo(x: Any, span: Any) -> Any:
    """Return x modulo the span; a span of 0 stands for 2**width."""
    if x.dtype == dtypes.uint32:
        # Vector units divide floats, not integers. The quotient of two 32-bit integers
        # lies further below the next integer than float64 rounds, so floor is exact.
        wide = div(convert(x, dtypes.float64), convert(span, dtypes.float64))
        rest = sub(x, mul(convert(floor(wide), dtypes.uint32), span))
    else:
        rest = remainder(x, span)
    return select(eq(span, number(0, span.dtype)), x, rest)


def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """Rearrange an array along an axis at random.

    **Meaning**: `x[np.argsort(random bits)]`, repeated until ties are unlikely.

    Args:
        key: uint32 array of shape (2,).
        x: array, or an integer n that stands for `range(n)`.
        axis: the axis along which to rearrange.
        independent: whether each line along the axis is rearranged on its own.

    Returns:
        Array of the shape and dtype of `x`: bit for bit `jax.random.permutation`.

    Raises:
        DTypeError: when the key is no key, or `x` a number that is no integer.
        ShapeError: when the axis does not exist.

    Example:
        >>> import rxcore as rx
        >>> rx.numpy.sort(rx.random.permutation(rx.random.key(0), 5))
        Array([0, 1, 2, 3, 4], dtype=int32)
    """
    found, given = checked(key, "permutation"), as_numeric(x, "permutation")
    if not given.ndim:
        if not dtypes.is_integer(given.dtype):
            raise errors.DTypeError(
                f"random.permutation: expected an array or an integer, got {given.type}"
            )
        return _shuffled(found, iota(dtypes.default_int(), int(given)), 0)
    along = maps.normalize_axis(axis, given.ndim, "permutation")
    if independent or given.ndim == 1:
        return _shuffled(found, given, along)
    order = _shuffled(found, iota(dtypes.int32, given.shape[along]), 0)
    return take(given, order, along, mode="clip")


def _shuffled(key: Any, x: Any, axis: int) -> Any:
    """Sort by random bits, often enough that all elements differ in some round."""
    rounds = math.ceil(3 * math.log(max(1, x.size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        keys = split(key)
        key, own = (maps.reshape(_row(keys, i), (2,)) for i in (0, 1))
        x = sort([random_bits(own, x.shape, 32), x], axis)[1]
    return x


def choice(
    key: Any,
    a: Any,
    shape: Any = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
) -> Any:
    """Draw elements of an array.

    **Meaning**: `np.take(a, random places, axis)`

    Args:
        key: uint32 array of shape (2,).
        a: array, or an integer n that stands for `range(n)`.
        shape: how many to draw: int or ints.
        replace: whether an element may be drawn again.
        p: probabilities, array of rank 1; default: all equal.
        axis: the axis along which the elements lie.

    Returns:
        Array of shape `a.shape[:axis] + shape + a.shape[axis + 1:]`.

    Raises:
        DTypeError: when the key is no key.
        ShapeError: when shapes do not fit, or there are too few elements.

    Example:
        >>> import rxcore as rx
        >>> rx.random.choice(rx.random.key(0), rx.asarray([5, 5]), (3,))
        Array([5, 5, 5], dtype=int32)
    """
    found, target = checked(key, "choice"), sizes(shape, "choice")
    given = as_numeric(a, "choice")
    along = maps.normalize_axis(axis, given.ndim, "choice") if given.ndim else 0
    total = given.shape[along] if given.ndim else int(given)
    draws = math.prod(target)
    if draws and total <= 0:
        raise errors.ShapeError("random.choice: there is no element to draw from")
    if not replace and draws > total:
        raise errors.ShapeError(
            f"random.choice: {draws} of {total} elements asked for; without"
            " replacement there are too few"
        )
    if p is None and not replace:
        mixed = permutation(found, given, along)
        start = (0,) * mixed.ndim
        stop = tuple(draws if i == along else n for i, n in enumerate(mixed.shape))
        chosen = maps.slice_(mixed, start, stop)
    else:
        places = _places(found, target, total, replace, p)
        chosen = take(given, places, along, mode="clip") if given.ndim else places
    ends = (given.shape[:along], given.shape[along + 1 :]) if given.ndim else ((), ())
    return maps.reshape(chosen, (*ends[0], *target, *ends[1]))


def _places(key: Any, shape: tuple[int, ...], total: int, replace: bool, p: Any) -> Any:
    if p is None:
        return randint(key, shape, 0, total)
    chances = as_numeric(p, "choice")
    if chances.shape != (total,):
        raise errors.ShapeError(
            f"random.choice: p has shape {chances.shape}, expected ({total},): one"
            " probability for each element"
        )
    chances = convert(chances, dtypes.to_inexact(chances.dtype))
    if not replace:
        noise = gumbel(key, (total,), chances.dtype)
        return top_k(add(noise, log(chances)), math.prod(shape))[1]
    sums = cumsum(chances)
    last = maps.reshape(maps.slice_(sums, (total - 1,), (total,)), ())
    drawn = mul(last, sub(1, uniform(key, shape, chances.dtype)))
    return searchsorted(sums, drawn)


def rademacher(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw -1 or 1, equally likely.

    **Meaning**: `2 * bernoulli(key, 0.5, shape) - 1`

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: default: int32.

    Returns:
        Array of the shape and dtype: bit for bit `jax.random.rademacher`.

    Raises:
        DTypeError: when the key is no key.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.numpy.abs(rx.random.rademacher(rx.random.key(0), (3,)))
        Array([1, 1, 1], dtype=int32)
    """
    found = dtypes.default_int() if dtype is None else dtypes.as_dtype(dtype)
    heads = convert(bernoulli(key, 0.5, sizes(shape, "rademacher")), found)
    return sub(mul(heads, number(2, found)), number(1, found))
