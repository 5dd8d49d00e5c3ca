"""The arithmetic that quantizing and fake quantizing share, bit for bit."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ops.compare import select
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.magnitude import clamp
from rxcore.quant.spec import QuantSpec

__all__ = ["Position", "computed_in", "parameters", "place"]


def computed_in(*arrays: Any) -> DType:
    """Return the dtype in which arrays are quantized."""
    wide = any(a.dtype == dtypes.float64 for a in arrays)
    return dtypes.float64 if wide else dtypes.float32


def parameters(low: Any, high: Any, spec: QuantSpec) -> tuple[Any, Any]:
    """Return scale and zero point of ranges; zero point None when symmetric.

    Args:
        low: least numbers; taken for 0 when above.
        high: largest numbers; taken for 0 when below.
        spec: how to quantize.
    """
    profile, dtype = spec.profile, computed_in(low)
    low = rnp.minimum(convert(low, dtype), 0)
    high = rnp.maximum(convert(high, dtype), 0)
    if spec.symmetric:
        largest = rnp.maximum(-low, high)
        scale = largest / spec.steps
        small = largest if profile.by_range else scale
        return select(small < profile.least, _like(profile.instead, scale), scale), None
    if profile.wide:
        low, high = convert(low, dtypes.float64), convert(high, dtypes.float64)
    scale = (high - low) / (spec.highest - spec.lowest)
    small = (rnp.maximum(-low, high) if profile.by_range else scale) < profile.least
    whole = spec.zero_point == "int"
    if not profile.zero_first:
        # Of a range too small to divide, the zero point is the code 0.
        zero = select(small, _like(0.0, low), spec.lowest - low / scale)
    scale = select(small, _like(profile.instead, scale), scale)
    if profile.zero_first:
        offset = low / scale
        zero = spec.lowest - (_rounded(offset, spec) if whole else offset)
    scale = convert(scale, dtype)
    if not whole:
        return scale, convert(zero, dtype)
    zero = clamp(spec.lowest, _rounded(zero, spec), spec.highest)
    return scale, convert(zero, spec.dtype)


def _like(value: float, x: Any) -> Any:
    return rnp.full_like(x, value)


def _rounded(x: Any, spec: QuantSpec) -> Any:
    if not spec.profile.away:
        return rnp.round(x)
    whole = rnp.trunc(x)
    return whole + select(abs(x - whole) >= 0.5, rnp.sign(x), _like(0.0, x))


@frozen
class Position:
    """Where numbers lie among the codes, before they are rounded.

    Args:
        steps: numbers in units of their scale; a floating zero point is added.
        low: the least step that has a code.
        high: the largest.
        spec: how they are quantized.
    """

    steps: Any
    low: Any
    high: Any
    spec: QuantSpec

    def rounded(self) -> Any:
        """Return the codes as floats, an integer zero point taken off."""
        # The ends are integers, so it makes no difference which is done first.
        return _rounded(self.clipped(), self.spec)

    def clipped(self) -> Any:
        """Return the steps within the codes; NaN stays."""
        # Each is one instruction, where a clamp has to look for NaN in its limits.
        steps = rnp.where(self.steps > self.high, self.high, self.steps)
        return rnp.where(steps < self.low, self.low, steps)

    def inside(self) -> Any:
        """Say which numbers are rounded to a code, and not cut off."""
        near = _rounded(self.steps, self.spec)
        return (near >= self.low) & (near <= self.high)

    def codes(self, zero: Any) -> Any:
        """Return the codes in their dtype; of a NaN, the code of zero.

        Args:
            zero: int32 zero points, or None.
        """
        steps = self.clipped()
        if self.spec.profile.away:
            steps = _rounded(steps, self.spec)
        # Adding 1.5 * 2**23 leaves the integer, rounded to even, in the lowest bits: an
        # addition, where a conversion that saturates takes ten instructions.
        if steps.dtype == dtypes.float64:
            bits = bitcast(steps + 1.5 * 2.0**52, dtypes.int64)
        else:
            bits = bitcast(steps + 1.5 * 2.0**23, dtypes.int32)
        if zero is not None:
            bits = bits + zero
        return convert(bits, self.spec.dtype)


def place(
    x: Any, scale: Any, zero: Any, spec: QuantSpec, noise: Any = None
) -> Position:
    """Return where numbers lie among the codes.

    Args:
        x: float32 or float64.
        scale: of the same dtype, broadcasts to x.
        zero: integer or floating zero points as floats of that dtype, or None.
        spec: how to quantize.
        noise: what is added before rounding, or None.
    """
    steps = x * (1 / scale) if spec.profile.reciprocal else x / scale
    low, high = spec.lowest, spec.highest
    if spec.symmetric:
        low, high = low - spec.center, high - spec.center
    elif spec.zero_point == "float":
        steps = steps + zero
    else:
        low, high = low - zero, high - zero
    if noise is not None:
        steps = steps + noise
    return Position(steps, low, high, spec)
