"""Keys: where randomness comes from."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.ir.types import Type
from rxcore.ops import shape as maps
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import floor_divide
from rxcore.ops.join import concatenate
from rxcore.ops.random_bits import fold_in_key, random_bits, split_key
from rxcore.runtime.array import from_host
from rxcore.trace.bind import as_numeric

__all__ = ["bits", "fold_in", "key", "key_data", "split", "wrap_key_data"]

_WORD = 1 << 32


def key(seed: Any) -> Any:
    """Make a key of a seed.

    **Meaning**: `np.uint32([0, seed % 2**32])`; seeds of 64 bits give
    `np.uint32([seed >> 32, seed % 2**32])`.

    Args:
        seed: a Python integer below 2**64 in size, or an integer array of rank 0.

    Returns:
        uint32 array of shape (2,): bit for bit `jax.random.PRNGKey(seed)`.

    Raises:
        DTypeError: when the seed is no integer.
        ShapeError: when the seed is too large, or an array of seeds.

    Example:
        >>> import rxcore as rx
        >>> rx.random.key(42)
        Array([ 0, 42], dtype=uint32)
    """
    if isinstance(seed, int) and not isinstance(seed, bool):
        return _key_of_number(seed)
    given = as_numeric(seed, "random.key")
    if not dtypes.is_integer(given.dtype):
        raise errors.DTypeError(
            f"random.key: a seed is an integer, got {given.type}; convert it first"
        )
    if given.ndim:
        raise errors.ShapeError(
            f"random.key: a seed has rank 0, got shape {given.shape}; use"
            " rx.vmap(rx.random.key)(seeds)"
        )
    if given.dtype.itemsize == 8:
        wide = convert(given, dtypes.uint64)
        high = floor_divide(wide, from_host(np.uint64(_WORD), Type(wide.dtype, ())))
    else:
        wide = high = convert(given, dtypes.uint32)
        high = from_host(np.uint32(0), Type(dtypes.uint32, ()))
    words = (convert(word, dtypes.uint32) for word in (high, wide))
    return concatenate([maps.reshape(word, (1,)) for word in words])


def _key_of_number(seed: int) -> Any:
    if not -(1 << 63) <= seed < 1 << 64:
        raise errors.ShapeError(f"random.key: seed {seed} has more than 64 bits")
    small = -(1 << 31) <= seed < _WORD
    words = [0 if small else (seed >> 32) % _WORD, seed % _WORD]
    return from_host(np.array(words, np.uint32), Type(dtypes.uint32, (2,)))


def checked(key: Any, call: str) -> Any:
    """Return one key.

    Raises:
        DTypeError: when it is no key.
        ShapeError: when it is an array of keys.
    """
    found = as_numeric(key, call)
    if found.dtype != dtypes.uint32 or not found.ndim or found.shape[-1] != 2:
        raise errors.DTypeError(
            f"random.{call}: a key is a uint32 array of shape (2,), got {found.type};"
            " make one with rx.random.key(seed)"
        )
    if found.ndim > 1:
        raise errors.ShapeError(
            f"random.{call}: expected one key, got an array of keys of shape"
            f" {found.shape}; use rx.vmap over the keys"
        )
    return found


def sizes(shape: Any, call: str) -> tuple[int, ...]:
    """Return a shape given as an int or ints.

    Raises:
        ShapeError: when it is none.
    """
    given = shape if isinstance(shape, tuple | list) else (shape,)
    try:
        found = tuple(operator.index(n) for n in given)
    except errors.TraceError:
        raise
    except TypeError as error:
        raise errors.ShapeError(
            f"random.{call}: a shape is an int or a tuple of ints, got {shape!r}"
        ) from error
    if any(n < 0 for n in found):
        raise errors.ShapeError(f"random.{call}: shape {found} has negative sizes")
    return found


def split(key: Any, num: Any = 2) -> Any:
    """Make several new keys of one, which should not be used again.

    **Meaning**: row i is the threefry2x32 block of the counter i under the key.

    Args:
        key: uint32 array of shape (2,).
        num: how many, or a shape.

    Returns:
        uint32 array of shape (num, 2), or (*num, 2).

    Raises:
        DTypeError: when the key is no key.
        ShapeError: when it is an array of keys.

    Example:
        >>> import rxcore as rx
        >>> first, second = rx.random.split(rx.random.key(0))
        >>> first
        Array([1797259609, 2579123966], dtype=uint32)
    """
    return split_key(checked(key, "split"), sizes(num, "split"))


def fold_in(key: Any, data: Any) -> Any:
    """Make a new key of a key and an integer, say the number of a step.

    **Meaning**: the threefry2x32 block of the counter `data % 2**32` under the key.

    Args:
        key: uint32 array of shape (2,).
        data: an integer, possibly traced.

    Returns:
        uint32 array of shape (2,).

    Raises:
        DTypeError: when the key is no key, or the data no integer.
        ShapeError: when one of them is an array of several.

    Example:
        >>> import rxcore as rx
        >>> rx.random.fold_in(rx.random.key(0), 1).shape
        (2,)
    """
    found, number = checked(key, "fold_in"), as_numeric(data, "fold_in")
    if number.ndim:
        raise errors.ShapeError(
            f"random.fold_in: data has rank 0, got shape {number.shape}; use rx.vmap"
        )
    return fold_in_key(found, number)


def key_data(key: Any) -> Any:
    """Return the words of a key: the key itself.

    **Meaning**: `key`

    Args:
        key: uint32 array of shape (..., 2).

    Returns:
        uint32 array of shape (..., 2).

    Raises:
        DTypeError: when the key is no key.

    Example:
        >>> import rxcore as rx
        >>> rx.random.key_data(rx.random.key(7))
        Array([0, 7], dtype=uint32)
    """
    found = as_numeric(key, "key_data")
    if found.dtype != dtypes.uint32 or not found.ndim or found.shape[-1] != 2:
        raise errors.DTypeError(
            "random.key_data: a key is a uint32 array of shape (..., 2), got"
            f" {found.type}; make one with rx.random.key(seed)"
        )
    return found


def wrap_key_data(words: Any) -> Any:
    """Return the key, or the keys, of given words.

    **Meaning**: `np.uint32(words)`

    Args:
        words: uint32 array of shape (..., 2).

    Returns:
        uint32 array of shape (..., 2).

    Raises:
        DTypeError: when they are no words of keys.

    Example:
        >>> import numpy as np
        >>> import rxcore as rx
        >>> rx.random.wrap_key_data(np.uint32([0, 7]))
        Array([0, 7], dtype=uint32)
    """
    return key_data(words)


def bits(key: Any, shape: Any = (), dtype: Any = None) -> Any:
    """Draw random bits.

    **Meaning**: element i hashes the key with the counter i by threefry2x32.

    Args:
        key: uint32 array of shape (2,).
        shape: int or ints.
        dtype: an unsigned integer dtype; default: uint32.

    Returns:
        Array of the shape and dtype: bit for bit `jax.random.bits`.

    Raises:
        DTypeError: when the key is no key, or the dtype not unsigned.
        ShapeError: when the shape is none.

    Example:
        >>> import rxcore as rx
        >>> rx.random.bits(rx.random.key(42), (2,))
        Array([2098992034, 2919706841], dtype=uint32)
    """
    found = dtypes.uint32 if dtype is None else dtypes.as_dtype(dtype)
    if found not in dtypes.UNSIGNED:
        raise errors.DTypeError(
            f"random.bits: dtype {found.name} is not uint8, uint16, uint32 or uint64"
        )
    return random_bits(checked(key, "bits"), sizes(shape, "bits"), found.itemsize * 8)
