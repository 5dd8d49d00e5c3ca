"""Matrix products of 8-bit integers with 8- or 4-bit integers, summed in int32."""

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
from rxcore.ops.samples import Case, Samples, draw
from rxcore.trace.bind import as_numeric

if TYPE_CHECKING:
    from rxcore_kernels.opencl_facts import Facts

__all__ = ["integer_matmul"]

# Loaded when a program first needs them.
integer_matmul_kernel = LazyModule("rxcore_kernels.integer_matmul")
integer_matmul_opencl = LazyModule("rxcore_kernels.integer_matmul_opencl")

_BYTES = (dtypes.uint8, dtypes.int8)


def _format(packed: int | None, signed: bool) -> str:
    """Return the kernels' name of what B holds."""
    return "int8" if packed is None else "int4" if signed else "uint4"


def _infer(a: Type, b: Type, *, packed: int | None, signed: bool) -> Type:
    del signed
    shared = b.ndim == 2
    if a.ndim < 2 or not (shared or b.shape[:-2] == a.shape[:-2]):
        raise errors.ShapeError(
            f"integer_matmul: expected a (..., m, k) and b (k, n) or with the leading"
            f" axes of a, got shapes {a.shape} and {b.shape}"
        )
    k = a.shape[-1]
    rows = k if packed is None else -(-k // 2)
    if b.shape[-2] != rows:
        what = "" if packed is None else f" (two of {k} to a byte)"
        raise errors.ShapeError(
            f"integer_matmul: shapes {a.shape} and {b.shape} do not fit: b needs"
            f" {rows} rows{what}"
        )
    return Type(dtypes.int32, (*a.shape[:-1], b.shape[-1]))


def _unpacked(b: Any, k: int, packed: int | None, signed: bool) -> Any:
    """Return B's elements, of which a byte may hold two along the rows."""
    if packed is None:
        return b
    pairs = np.stack([b & 15, (b >> 4) & 15], axis=-2).astype(np.int8)
    full = pairs.reshape(*b.shape[:-2], 2 * b.shape[-2], b.shape[-1])[..., :k, :]
    return (full ^ 8) - 8 if signed else full


def _reference(a: Any, b: Any, *, packed: int | None, signed: bool) -> Any:
    wide = _unpacked(b, a.shape[-1], packed, signed).astype(np.int32)
    return np.matmul(a.astype(np.int32), wide)


def _sizes(a: Type, b: Type) -> tuple[int, int, int, int]:
    """Return batch, m, n and k; with one B all rows of A are one matrix."""
    *lead, m, k = a.shape
    count = math.prod(lead)
    if b.ndim == 2:
        return 1, count * m, b.shape[-1], k
    return count, m, b.shape[-1], k


def _plan(a: Type, b: Type, *, packed: int | None, signed: bool) -> Any:
    return integer_matmul_kernel.plan_integer_matmul(
        a.dtype.name, _format(packed, signed), *_sizes(a, b)
    )


def _launches(
    facts: Facts, a: Type, b: Type, *, packed: int | None, signed: bool
) -> Any:
    return integer_matmul_opencl.launch_integer_matmul(
        facts, a.dtype.name, _format(packed, signed), *_sizes(a, b)
    )


def _rows(a: Type, b: Type, **params: Any) -> int | None:
    batch, m, _, _ = _sizes(a, b)
    return batch * m if _plan(a, b, **params).by_rows else None


def _batch(args: Any, dims: Any, *, packed: int | None, signed: bool) -> Any:
    """Put the new axis in front."""
    (a, b), (a_dim, b_dim) = args, dims
    size = a.shape[a_dim] if a_dim is not None else b.shape[b_dim]
    if a_dim is None:
        a = maps.broadcast(a, (size, *a.shape), tuple(range(1, a.ndim + 1)))
    else:
        a = maps.move_axis(a, a_dim, 0)
    params = {"packed": packed, "signed": signed}
    if b_dim is None and b.ndim == 2:
        return _integer_matmul.bind(a, b, **params), 0
    if b_dim is None:
        b = maps.broadcast(b, (size, *b.shape), tuple(range(1, b.ndim + 1)))
    else:
        b = maps.move_axis(b, b_dim, 0)
    if b.ndim == a.ndim:
        return _integer_matmul.bind(a, b, **params), 0
    # One B for all rows of a lane: they are one matrix.
    tall = maps.reshape(a, (size, math.prod(a.shape[1:-1]), a.shape[-1]))
    found = _integer_matmul.bind(tall, b, **params)
    return maps.reshape(found, (*a.shape[:-1], b.shape[-1])), 0


_SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3, 4), (4, 5)),
    ((1, 7), (7, 9)),
    ((5, 0), (0, 3)),
    ((0, 3), (3, 2)),
    ((2, 3, 5), (5, 4)),
    ((2, 3, 5), (2, 5, 4)),
    ((17, 70), (70, 33)),
    ((40, 130), (130, 70)),
)


def _cases(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for a_shape, b_shape in _SHAPES:
        a = draw(rng, dtype, a_shape, -128, 255)
        b = draw(rng, dtypes.int8, b_shape, -128, 127)
        yield (a, b), {"packed": None, "signed": True}
        rows = -(-b_shape[-2] // 2)
        halves = draw(rng, dtypes.int8, (*b_shape[:-2], rows, b_shape[-1]), -128, 127)
        signed = len(a_shape) == 2
        yield (a, halves), {"packed": 4, "signed": signed}


_NO_SLOPE = (
    "integer_matmul has no derivative: integers do not vary smoothly; differentiate the"
    " product of fake-quantized floats instead"
)

_integer_matmul: Primitive = Primitive(
    name="integer_matmul",
    family="contraction",
    infer=_infer,
    lower=Native(_plan, _rows, _launches),
    reference=_reference,
    jvp=NoRule(_NO_SLOPE),
    transpose=NoRule(_NO_SLOPE),
    batch=_batch,
    samples=Samples(_BYTES, _cases, 0),
    document="Multiply matrices of small integers and sum exactly in int32.",
)


def integer_matmul(
    a: Any, b: Any, *, packed: int | None = None, signed: bool = True
) -> Any:
    """Multiply matrices of small integers and sum exactly in int32.

    **Meaning**::

        if packed == 4:  # two elements to a byte along k, the even one in the low bits
            b = np.stack([b & 15, (b >> 4) & 15], -2).reshape(..., 2 * rows, n)[
                ..., :k, :
            ]
            b = (b ^ 8) - 8 if signed else b
        np.matmul(a.astype(np.int32), b.astype(np.int32))

    Args:
        a: array of shape (..., m, k) or (k,), uint8 or int8.
        b: array of shape (k, n), or with the leading axes of `a`, int8. Where packed,
            its rows are ceil(k / 2) and its bytes may be int8 or uint8.
        packed: None, or 4 for two 4-bit integers in each byte.
        signed: whether packed integers are -8..7 (two's complement) or 0..15.

    Returns:
        Array of int32 of shape (..., m, n). Sums are exact below 2**31, which holds for
        every k up to 65,793, and wrap around beyond.

    Raises:
        ShapeError: when the shapes do not fit.
        DTypeError: when an operand is not of bytes.

    Example:
        >>> import numpy as np
        >>> import rxcore as rx
        >>> a, b = np.uint8([[200, 100]]), np.int8([[1, -1], [2, -128]])
        >>> integer_matmul(rx.asarray(a), rx.asarray(b))
        Array([[   400, -13000]], dtype=int32)
    """
    a, b = (as_numeric(x, "integer_matmul") for x in (a, b))
    if packed not in (None, 4):
        raise errors.UserError(
            f"integer_matmul: packed is None or 4 (bits), got {packed!r}"
        )
    allowed = (dtypes.int8,) if packed is None else _BYTES
    if a.dtype not in _BYTES or b.dtype not in allowed:
        raise errors.DTypeError(
            "integer_matmul: expected a of uint8 or int8 and b of"
            f" {' or '.join(d.name for d in allowed)}, got {a.dtype.name} and"
            f" {b.dtype.name}; quantize or convert with .astype(...)"
        )
    params = {"packed": packed, "signed": bool(signed)}
    if a.ndim != 1:
        return _integer_matmul.bind(a, b, **params)
    row = maps.reshape(a, (1, a.shape[0]))
    found = _integer_matmul.bind(row, b, **params)
    return maps.reshape(found, (found.shape[-1],))
