"""A quantized array: codes, and what they mean."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from rxcore.base import dtypes, tree
from rxcore.base.dtypes import DType
from rxcore.quant.blocks import spread
from rxcore.quant.packing import unpack
from rxcore.quant.spec import QuantSpec

__all__ = ["QTensor"]


@tree.register
@frozen(eq=False)
class QTensor:
    """A quantized array: a pytree of its codes and what they mean.

    **Meaning**: `(codes - zero_point) * scale`, blocks as `spec` says.

    Codes of 2 bits are stored four to a byte, those of 3 and 4 bits two to a byte, the
    first in the lowest bits, along `packed`; the last byte of a line is filled with
    zeros. `shape` follows from the arrays, so a QTensor can be mapped over an axis of
    its arrays.

    Args:
        codes: int8 or uint8, uint8 when packed.
        scale: floating, one for each block: as many axes as the codes.
        zero_point: like `scale`, in the codes' dtype or floating; None when symmetric.
        spec: how it was quantized.
        packed: None, or (the axis of packed codes counted from the end, its length).
    """

    codes: Any
    scale: Any
    zero_point: Any
    spec: QuantSpec = field(metadata={"static": True})
    packed: tuple[int, int] | None = field(default=None, metadata={"static": True})

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that it stands for."""
        shape: tuple[int, ...] = tuple(self.codes.shape)
        if self.packed is None:
            return shape
        axis, length = self.packed
        at = len(shape) + axis
        return (*shape[:at], length, *shape[at + 1 :])

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.codes.shape)

    @property
    def size(self) -> int:
        """How many numbers it stands for."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def dtype(self) -> DType:
        """The dtype of what `dequantize` gives."""
        wide = self.scale.dtype == dtypes.float64
        return dtypes.float64 if wide else dtypes.float32

    @property
    def nbytes(self) -> int:
        """Bytes of all that is stored: padded codes, scales, zero points."""
        parts = (self.codes, self.scale, self.zero_point)
        total = 0
        for x in parts:
            if x is not None:
                count = 1
                for n in x.shape:
                    count *= n
                total += count * x.dtype.itemsize
        return total

    @property
    def bits_per_weight(self) -> float:
        """Bits that are stored for each number, scales and zero points included."""
        return 8 * self.nbytes / self.size

    def unpacked(self) -> Any:
        """Return the codes one to an element, int8 or uint8."""
        if self.packed is None:
            return self.codes
        axis, length = self.packed
        return unpack(self.codes, self.spec.bits, axis, length, self.spec.signed)

    def spread_scale(self) -> Any:
        """Return the scales so that they broadcast to the shape."""
        return spread(self.scale, self.shape, self.spec)

    def __repr__(self) -> str:
        s = self.spec
        kind = f"{'int' if s.signed else 'uint'}{s.bits}"
        try:
            return (
                f"QTensor({kind}, shape={self.shape}, {self.nbytes} bytes,"
                f" {self.bits_per_weight:.3g} bits per weight)"
            )
        except (AttributeError, TypeError, ZeroDivisionError):
            # A structure whose leaves are no arrays.
            return f"QTensor({kind}, codes={self.codes!r}, scale={self.scale!r})"
