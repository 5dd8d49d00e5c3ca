"""What a quantization is: bits, range, blocks that share a scale, and a profile."""

from __future__ import annotations

import operator
from typing import Any, Literal

import attrs
from attrs import field, frozen

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.quant.profiles import PROFILES, Profile, profile_of

__all__ = ["QuantSpec"]

LEAST_BITS, MOST_BITS = 2, 8


def _bits(_: Any, __: Any, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.UserError(f"QuantSpec: bits={value!r}; expected an int")
    if not LEAST_BITS <= value <= MOST_BITS:
        raise errors.UserError(
            f"QuantSpec: bits={value}; expected {LEAST_BITS} <= bits <= {MOST_BITS}"
        )


def _axis(value: Any) -> int | None:
    if value is None:
        return None
    try:
        return operator.index(value)
    except TypeError:
        raise errors.UserError(
            f"QuantSpec: axis={value!r}; expected an int (the axis that keeps its own"
            " scale) or None"
        ) from None


def _block_size(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        sizes = tuple(operator.index(b) for b in value)
    except TypeError:
        raise errors.UserError(
            f"QuantSpec: block_size={value!r}; expected a tuple of ints, one for each"
            " axis; -1 is the whole axis"
        ) from None
    if any(b < 1 and b != -1 for b in sizes):
        raise errors.UserError(
            f"QuantSpec: block_size={value!r}; expected lengths of at least 1, or -1"
            " for the whole axis"
        )
    return sizes


@frozen
class QuantSpec:
    """How numbers become small integers.

    **Meaning**, with `lowest` and `highest` the ends of the codes::

        codes = np.clip(np.rint(x / scale) + zero_point, lowest, highest)
        x is about(codes - zero_point) * scale

    Args:
        bits: bits of a code, 2 to 8.
        signed: whether codes are int8, with zero in the middle; otherwise uint8.
        symmetric: whether the range reaches as far below zero as above, so that the
            zero point is known: 0, or the middle of unsigned codes. Otherwise the
            range is that of the numbers, and each scale has a zero point.
        axis: the axis that keeps its own scale (per channel). None: one scale for
            everything.
        block_size: in place of `axis`, the lengths of a block that shares a scale, one
            for each axis; -1 is the whole axis. `(-1, 1)` is one scale per column,
            `(32, 1)` one for 32 elements of a column. The last block of an axis may be
            shorter.
        profile: `onnx`, `torch`, `trt`, `aqt`, or a `Profile`: what else there is to
            choose.
        zero_point: `int`, a code, so that zero is represented exactly; or `float`,
            which follows the range more closely. Of asymmetric quantization only.

    Raises:
        UserError: when bits are not in 2 to 8, or a choice contradicts another.

    Example:
        >>> from rxcore.quant import QuantSpec
        >>> QuantSpec(bits=4, axis=0).lowest, QuantSpec(signed=False).highest
        (-7, 255)
    """

    bits: int = field(default=8, validator=_bits)
    signed: bool = True
    symmetric: bool = True
    axis: int | None = field(default=None, converter=_axis)
    block_size: tuple[int, ...] | None = field(default=None, converter=_block_size)
    profile: Profile = field(
        default=PROFILES["onnx"], converter=profile_of, repr=lambda p: repr(p.name)
    )
    zero_point: Literal["int", "float"] = "int"

    def __attrs_post_init__(self) -> None:
        """Refuse choices that contradict each other."""
        if self.axis is not None and self.block_size is not None:
            raise errors.UserError(
                f"QuantSpec: axis={self.axis} and block_size={self.block_size}; give"
                " one of them"
            )
        if self.zero_point not in ("int", "float"):
            raise errors.UserError(
                f"QuantSpec: zero_point={self.zero_point!r}; expected 'int' or 'float'"
            )
        if self.symmetric and self.zero_point == "float":
            raise errors.UserError(
                "QuantSpec: zero_point='float' with symmetric=True; a symmetric range"
                " has no zero point to choose: pass symmetric=False"
            )

    @property
    def dtype(self) -> DType:
        """The dtype that holds a code: int8 or uint8."""
        return dtypes.int8 if self.signed else dtypes.uint8

    @property
    def lowest(self) -> int:
        """The lowest code."""
        if not self.signed:
            return 0
        return int(self.symmetric and self.profile.narrow) - (1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """The highest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def center(self) -> int:
        """The zero point of a symmetric quantization."""
        if self.signed or not self.profile.centered:
            return 0
        return 1 << (self.bits - 1)

    @property
    def steps(self) -> float:
        """How many scales the largest magnitude of a symmetric range is."""
        if self.profile.levels:
            return ((1 << self.bits) - 1) / 2
        if not self.signed and not self.profile.centered:
            return float(self.highest)
        return (self.highest - self.lowest) / 2

    def with_(self, **changes: Any) -> QuantSpec:
        """Return a spec that differs in some fields."""
        return attrs.evolve(self, **changes)
