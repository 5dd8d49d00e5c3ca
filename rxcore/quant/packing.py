"""Codes of 2, 3 and 4 bits: four or two to a byte."""

from __future__ import annotations

from typing import Any

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.join import pad
from rxcore.ops.shape import reshape

__all__ = ["codes_per_byte", "pack", "packed_axis", "unpack"]


def codes_per_byte(bits: int) -> int:
    """Return how many codes of so many bits share a byte."""
    return 4 if bits == 2 else 2 if bits <= 4 else 1


def packed_axis(shape: tuple[int, ...], per: int) -> int:
    """Return the axis, from the end, along which codes share bytes.

    It is the last but one, the summed axis of a product with weights of shape (inputs,
    outputs); the last one where that leaves fewer bytes unfilled.
    """
    if len(shape) < 2:
        return -1
    waste = [-n % per / n for n in shape[-2:]]
    return -2 if waste[0] <= max(waste[1], 1 / 64) else -1


def pack(codes: Any, bits: int, axis: int) -> Any:
    """Put neighbours along an axis into one byte, the first into the lowest bits.

    Args:
        codes: int8 (two's complement) or uint8.
        bits: bits of a code, at most 4.
        axis: counted from the end.

    Returns:
        uint8; the last byte of a line is filled with zeros.
    """
    per = codes_per_byte(bits)
    width, at = 8 // per, codes.ndim + axis
    n = codes.shape[at]
    raw = codes if codes.dtype == dtypes.uint8 else bitcast(codes, dtypes.uint8)
    raw = raw & ((1 << width) - 1)
    if n % per:
        raw = pad(raw, 0, [(0, -n % per * (d == at), 0) for d in range(codes.ndim)])
    front, back = raw.shape[:at], raw.shape[at + 1 :]
    raw = reshape(raw, (*front, -(-n // per), per, *back))
    parts = [raw[(slice(None),) * (at + 1) + (j,)] for j in range(per)]
    packed = parts[0]
    for j, part in enumerate(parts[1:], 1):
        packed = packed | (part << (width * j))
    return packed


def unpack(packed: Any, bits: int, axis: int, length: int, signed: bool) -> Any:
    """Take codes out of their bytes.

    Args:
        packed: uint8, as from `pack`.
        bits: bits of a code, at most 4.
        axis: counted from the end.
        length: the codes along it.
        signed: whether codes are in two's complement.

    Returns:
        int8 or uint8.
    """
    per = codes_per_byte(bits)
    width, at = 8 // per, packed.ndim + axis
    front, back = packed.shape[:at], packed.shape[at + 1 :]
    ones = (1,) * len(back)
    steps = rnp.arange(per, dtype=dtypes.uint8) * width
    shifts = reshape(steps, (*(1,) * (at + 1), per, *ones))
    raw = reshape(packed, (*front, packed.shape[at], 1, *back)) >> shifts
    raw = reshape(raw & ((1 << width) - 1), (*front, packed.shape[at] * per, *back))
    raw = raw[(slice(None),) * at + (slice(0, length),)]
    if not signed:
        return raw
    # The highest bit counts negative.
    top = 1 << (width - 1)
    return convert(raw ^ top, dtypes.int8) - top
