"""Bit layouts of float32 and float64, and the tricks that every function shares.

All of them are branch-free and vectorize: no conversion from float to integer, no
library rounding. Nothing here depends on whether `muladd` rounds once or twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from attrs import frozen

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.base.errors import DTypeError
from rxcore.loops.scalar import Number, Term, bitcast, muladd, select


@frozen
class Format:
    """A binary floating-point format: its widths, integers and landmarks."""

    dtype: DType
    signed: DType
    unsigned: DType
    fraction: int
    """Bits stored after the leading one."""
    bias: int
    split: int
    """Low bits that `head` clears, so that a product of two heads is exact."""

    @property
    def width(self) -> int:
        """Bits in all."""
        return self.dtype.itemsize * 8

    @property
    def sign_bit(self) -> int:
        """The sign bit alone, as an unsigned integer."""
        return 1 << (self.width - 1)

    @property
    def fraction_mask(self) -> int:
        """The stored fraction bits set."""
        return (1 << self.fraction) - 1

    @property
    def magic(self) -> float:
        """Adding it leaves a nearby integer in the low bits of the sum."""
        return 1.5 * 2.0**self.fraction

    @property
    def tiny(self) -> float:
        """The smallest normal number."""
        return 2.0 ** (1 - self.bias)

    def bits(self, value: float) -> int:
        """Return the bits of a constant as an unsigned integer."""
        return int(np.asarray(value, self.dtype).view(self.unsigned))

    def power_bits(self, exponent: int) -> int:
        """Return the bits of 2**exponent."""
        return (self.bias + exponent) << self.fraction


FLOAT32 = Format(
    dtypes.float32, dtypes.int32, dtypes.uint32, fraction=23, bias=127, split=12
)
FLOAT64 = Format(
    dtypes.float64, dtypes.int64, dtypes.uint64, fraction=52, bias=1023, split=27
)
_FORMATS = {dtypes.float32: FLOAT32, dtypes.float64: FLOAT64}

Coefficients = Sequence[float]


def format_of(x: Term) -> Format:
    """Return the format of a Term.

    Raises:
        DTypeError: when it is neither float32 nor float64.
    """
    found = _FORMATS.get(x.dtype)
    if found is None:
        raise DTypeError(
            f"a math function expected float32 or float64, got {x.dtype.name}; "
            "cast the operand first (halves compute in float32)"
        )
    return found


def polynomial(x: Term, coefficients: Sequence[Term | Number]) -> Term:
    """Return c[0] + c[1] x + c[2] x**2 + ... by Horner's rule."""
    result = x.lift(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = muladd(result, x, coefficient)
    return result


def blend(
    condition: Term, yes: Coefficients, no: Coefficients, like: Term
) -> list[Term]:
    """Choose between two polynomials, coefficient by coefficient."""
    size = max(len(yes), len(no))
    padded = [[*c, *([0.0] * (size - len(c)))] for c in (yes, no)]
    return [
        select(condition, like.constant(a), b) for a, b in zip(*padded, strict=True)
    ]


def to_bits(x: Term) -> Term:
    """Return the bits as an unsigned integer."""
    return bitcast(x, format_of(x).unsigned)


def copy_sign(magnitude: Term, sign: Term) -> Term:
    """Give a magnitude (whose sign bit is clear) the sign of another Term."""
    form = format_of(magnitude)
    bits = to_bits(magnitude) | (to_bits(sign) & form.sign_bit)
    return bitcast(bits, form.dtype)


def head(x: Term) -> Term:
    """Clear the low half of the significand: products of two heads are exact."""
    form = format_of(x)
    keep = (1 << form.width) - (1 << form.split)
    return bitcast(to_bits(x) & keep, form.dtype)


def exact_square(x: Term) -> tuple[Term, Term]:
    """Return (high, low) with high + low == x * x, for x far from the range ends."""
    square = x * x
    top = head(x)
    rest = x - top
    # Every product is exact, so it does not matter whether it fuses with its sum.
    low = ((top * top - square) + (top + top) * rest) + rest * rest
    return square, low


def clamp(x: Term, low: float | None, high: float | None) -> Term:
    """Limit x to [low, high]; NaN passes."""
    if low is not None:
        x = select(x < low, low, x)
    if high is not None:
        x = select(x > high, high, x)
    return x


def two_parts(value: float, rest: float, bits: int) -> tuple[float, float]:
    """Split value + rest into a head of `bits` bits and what is left of it."""
    mantissa, exponent = math.frexp(value)
    top = math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits)
    return top, (value - top) + rest
