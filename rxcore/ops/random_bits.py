"""Random bits from keys and counters: threefry2x32 with 20 rounds.

The stream is JAX's default one: the block of element i of an array has the counter
(i >> 32, i & 0xffffffff), so that no element depends on the array's size.

Paper: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC 2011.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, NoRule, Primitive, Scalar
from rxcore.ir.types import Type
from rxcore.loops import scalar
from rxcore.loops.scalar import Term
from rxcore.ops import shape as maps
from rxcore.ops.families import batch_elementwise, number
from rxcore.ops.iota import iota
from rxcore.ops.join import concatenate
from rxcore.ops.samples import Case, Samples
from rxcore.trace.bind import as_numeric

__all__ = ["fold_in_key", "random_bits", "split_key", "threefry2x32"]

WIDTHS: dict[int, DType] = {
    8: dtypes.uint8,
    16: dtypes.uint16,
    32: dtypes.uint32,
    64: dtypes.uint64,
}

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def _rotate(x: Any, by: int) -> Any:
    return (x << by) | (x >> (32 - by))


def _rounds(keys: tuple[Any, Any], words: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the block of a counter, for anything that has u32 operators."""
    schedule = (*keys, keys[0] ^ keys[1] ^ _PARITY)
    x, y = words[0] + schedule[0], words[1] + schedule[1]
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            x = x + y
            y = _rotate(y, by) ^ x
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + (group + 1)
    return x, y


def _infer(*types: Type, width: int) -> Type:
    shape: tuple[int, ...] = ()
    for t in types:
        if t.dtype != dtypes.uint32:
            raise errors.DTypeError(f"threefry2x32: expected uint32 operands, got {t}")
        if t.shape and shape and t.shape != shape:
            raise errors.ShapeError(
                f"threefry2x32: shapes {t.shape} and {shape} differ"
            )
        shape = t.shape or shape
    if width not in WIDTHS:
        raise errors.DTypeError(
            f"random bits: a width of {width} is not one of {tuple(WIDTHS)}"
        )
    return Type(WIDTHS[width], shape)


def _scalar(k0: Term, k1: Term, c0: Term, c1: Term, *, width: int) -> Term:
    x, y = _rounds((k0, k1), (c0, c1))
    if width == 64:
        high, low = scalar.cast(x, dtypes.uint64), scalar.cast(y, dtypes.uint64)
        return (high << 32) | low
    return scalar.cast(x ^ y, WIDTHS[width])


def _reference(k0: Any, k1: Any, c0: Any, c1: Any, *, width: int) -> Any:
    with np.errstate(over="ignore"):
        x, y = _rounds((k0, k1), (c0, c1))
    if width == 64:
        return (x.astype(np.uint64) << np.uint64(32)) | y.astype(np.uint64)
    return np.asarray(x ^ y).astype(WIDTHS[width])


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((), (5,), (0,), (3, 4)):
        operands = tuple(
            rng.integers(0, 1 << 32, s, dtype=dtype) for s in ((), (), shape, shape)
        )
        for width in WIDTHS:
            yield tuple(np.asarray(o) for o in operands), {"width": width}
    full = tuple(rng.integers(0, 1 << 32, (4,), dtype=dtype) for _ in range(4))
    yield full, {"width": 32}


def _jvp(primals: Any, tangents: Any, *, width: int) -> Any:
    del tangents
    return _threefry.bind(*primals, width=width), None


_threefry: Primitive = Primitive(
    name="threefry2x32",
    family="random",
    infer=_infer,
    lower=Scalar(_scalar),
    reference=_reference,
    jvp=_jvp,
    transpose=NoRule("threefry2x32: integers have no cotangents"),
    batch=NoRule("set below"),
    samples=Samples((dtypes.uint32,), _cases, 0),
    document="Hash keys and counters into random bits.",
)
_threefry.batch = partial(batch_elementwise, _threefry)


def threefry2x32(
    key0: Any, key1: Any, counter0: Any, counter1: Any, *, width: int = 32
) -> Any:
    """Hash a key and a counter into random bits, element by element.

    **Meaning**: the two words of the block (20 rounds) are joined::

        word0 << 32 | word1  # width 64
        (word0 ^ word1) % 2**width  # width 8, 16 or 32

    Args:
        key0: uint32 array or number: first word of the key.
        key1: second word of the key.
        counter0: high word of the counter.
        counter1: low word of the counter; shapes are equal, or rank 0.
        width: bits of the result.

    Returns:
        Array of unsigned integers.

    Raises:
        DTypeError: when an operand is not uint32.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.random_bits import threefry2x32
        >>> zero = rx.asarray(0, "uint32")
        >>> hex(int(threefry2x32(zero, zero, zero, zero, width=64)))
        '0x6b20015999ba4efe'
    """
    words = (as_numeric(w, "threefry2x32") for w in (key0, key1, counter0, counter1))
    return _threefry.bind(*words, width=width)


def _words(key: Any, call: str) -> tuple[Any, Any]:
    """Return the two words of a key, or of an array of keys."""
    key = as_numeric(key, call)
    if key.dtype != dtypes.uint32 or not key.ndim or key.shape[-1] != 2:
        raise errors.DTypeError(
            f"{call}: a key is a uint32 array of shape (..., 2), got {key.type}; make"
            " one with rxcore.random.key(seed)"
        )
    lead = key.shape[:-1]
    zeros_ = (0,) * len(lead)
    first = maps.slice_(key, (*zeros_, 0), (*lead, 1))
    second = maps.slice_(key, (*zeros_, 1), (*lead, 2))
    return maps.reshape(first, lead), maps.reshape(second, lead)


def _counters(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the high and low words of the flat indices of a shape."""
    size = math.prod(shape)
    if size <= 1 << 32:
        low = maps.reshape(iota(dtypes.uint32, size), shape)
        return number(0, dtypes.uint32), low
    flat = iota(dtypes.uint64, size)
    convert = REGISTRY["convert"].bind
    high = REGISTRY["shift_right"](flat, number(32, dtypes.uint64))
    words = (convert(w, dtype=dtypes.uint32) for w in (high, flat))
    first, second = (maps.reshape(w, shape) for w in words)
    return first, second


def random_bits(key: Any, shape: Any = (), width: int = 32) -> Any:
    """Return random bits: a hash of the key and of each element's flat index.

    Args:
        key: uint32 array of shape (2,), or (..., 2) for several independent streams.
        shape: shape of what each key gives, an int or ints.
        width: bits of an element: 8, 16, 32 or 64.

    Returns:
        Array of unsigned integers of shape `key.shape[:-1] + shape`; bit for bit what
        `jax.random.bits` gives.

    Raises:
        DTypeError: when the key is no key.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.random_bits import random_bits
        >>> key = rx.asarray([0, 42], "uint32")
        >>> random_bits(key, (2,))
        Array([2098992034, 2919706841], dtype=uint32)
    """
    given = shape if isinstance(shape, tuple | list) else (shape,)
    sizes = tuple(int(s.__index__()) for s in given)
    first, second = _words(key, "random_bits")
    lead, inner = first.shape, len(sizes)
    high, low = _counters(sizes)
    if lead:
        full = (*lead, *sizes)
        ahead = tuple(range(len(lead)))
        first, second = (maps.broadcast(k, full, ahead) for k in (first, second))
        behind = tuple(range(len(lead), len(lead) + inner))
        low = maps.broadcast(low, full, behind)
        high = maps.broadcast(high, full, behind) if high.ndim else high
    return _threefry.bind(first, second, high, low, width=width)


def _as_words(bits: Any) -> Any:
    """Split 64-bit blocks into their two words, along a new last axis."""
    convert = REGISTRY["convert"].bind
    high = REGISTRY["shift_right"](bits, number(32, dtypes.uint64))
    words = [
        maps.expand_dims(convert(w, dtype=dtypes.uint32), bits.ndim)
        for w in (high, bits)
    ]
    return concatenate(words, bits.ndim)


def split_key(key: Any, shape: Any = (2,)) -> Any:
    """Derive new keys from a key: shape `key.shape[:-1] + shape + (2,)`."""
    return _as_words(random_bits(key, shape, 64))


def fold_in_key(key: Any, data: Any) -> Any:
    """Derive a new key from a key and an integer (taken modulo 2**32)."""
    first, second = _words(key, "fold_in")
    low = as_numeric(data, "fold_in")
    if not dtypes.is_integer(low.dtype):
        raise errors.DTypeError(f"fold_in: data must be an integer, got {low.type}")
    low = REGISTRY["convert"].bind(low, dtype=dtypes.uint32)
    shape = first.shape or low.shape
    full = [maps.broadcast_to(w, shape) if w.ndim else w for w in (first, second, low)]
    zero = number(0, dtypes.uint32)
    return _as_words(_threefry.bind(full[0], full[1], zero, full[2], width=64))
