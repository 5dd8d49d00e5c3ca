"""Blocks of an array that share a scale."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.ops.join import pad
from rxcore.ops.shape import broadcast_to, reshape
from rxcore.quant.spec import QuantSpec

__all__ = ["Grid", "grid_of", "spread"]

Shape = tuple[int, ...]


@frozen
class Grid:
    """An array cut into blocks.

    Args:
        shape: the array's.
        block: lengths of a block.
    """

    shape: Shape
    block: Shape

    @property
    def counts(self) -> Shape:
        """How many blocks there are along each axis: the shape of the scales."""
        pairs = zip(self.shape, self.block, strict=True)
        return tuple(-(-n // b) for n, b in pairs)

    def parts(self, x: Any) -> Any:
        """Return x with two axes in place of each: the block, and where in it.

        The last block of an axis is filled with zeros.
        """
        counts = self.counts
        triples = zip(counts, self.block, self.shape, strict=True)
        missing = tuple((0, c * b - n, 0) for c, b, n in triples)
        if any(m[1] for m in missing):
            x = pad(x, 0, missing)
        pairs = zip(counts, self.block, strict=True)
        return reshape(x, tuple(n for pair in pairs for n in pair))

    def reduce(self, how: Any, x: Any) -> Any:
        """Reduce each block; zeros may come to it.

        Args:
            how: a reduction with `axis`, as `rnp.max`.
            x: array of the shape.

        Returns:
            Array of the shape `counts`.
        """
        if not self.shape:
            return x
        axes = range(len(self.shape))
        if all(c == 1 or b == 1 for c, b in zip(self.counts, self.block, strict=True)):
            along = tuple(d for d in axes if self.block[d] > 1)
            return how(x, axis=along, keepdims=True) if along else x
        return how(self.parts(x), axis=tuple(2 * d + 1 for d in axes))

    def fit(self, value: Any, name: str, call: str) -> Any:
        """Return a scale or zero point in the shape `counts`.

        Raises:
            ShapeError: when its shape says something else.
        """
        counts = self.counts
        if value.shape == counts:
            return value
        many = tuple(c for c in counts if c > 1)
        if not value.ndim or value.shape in (many, (1,) * (not many)):
            return (
                broadcast_to(reshape(value, (1,) * len(counts)), counts)
                if (not value.ndim)
                else reshape(value, counts)
            )
        raise errors.ShapeError(
            f"{call}: {name} has shape {value.shape}; an array of shape {self.shape}"
            f" in blocks of {self.block} needs {counts}"
            + (f", {many}" if many and many != counts else "")
            + " or ()"
        )


def grid_of(spec: QuantSpec, shape: Shape, call: str) -> Grid:
    """Return how a spec cuts an array of a shape.

    Raises:
        ShapeError: when an axis is out of range or has length 0.
    """
    for axis, n in enumerate(shape):
        if not n:
            raise errors.ShapeError(
                f"{call}: the array has shape {shape}: axis {axis} has length 0, so"
                " there is nothing to quantize"
            )
    ndim = len(shape)
    if spec.block_size is not None:
        if len(spec.block_size) != ndim:
            raise errors.ShapeError(
                f"{call}: block_size={spec.block_size} has {len(spec.block_size)}"
                f" lengths, the array has shape {shape}; give one for each axis, -1"
                " for a whole one"
            )
        pairs = zip(spec.block_size, shape, strict=True)
        return Grid(shape, tuple(n if b == -1 else min(b, n) for b, n in pairs))
    if spec.axis is None:
        return Grid(shape, shape)
    if not -ndim <= spec.axis < ndim:
        raise errors.ShapeError(
            f"{call}: axis={spec.axis} is out of range for an array of shape {shape};"
            f" expected {-ndim} <= axis < {ndim}"
        )
    kept = spec.axis % ndim
    return Grid(shape, tuple(1 if d == kept else n for d, n in enumerate(shape)))


def spread(value: Any, shape: Shape, spec: QuantSpec) -> Any:
    """Return scales so that they broadcast to an array of a shape.

    Looks at shapes and lengths of blocks from the last axis on, so that it holds for
    an array with further axes in front, or fewer.
    """
    for k in range(1, len(shape) + 1):
        n, count = shape[-k], value.shape[-k]
        if count in (1, n):
            continue
        if spec.block_size is None:
            raise errors.ShapeError(
                f"quant: scales of shape {value.shape} do not fit an array of shape"
                f" {shape}"
            )
        at, length = value.ndim - k, spec.block_size[-k]
        front, back = value.shape[:at], value.shape[at + 1 :]
        wide = rnp.expand_dims(value, at + 1)
        wide = broadcast_to(wide, (*front, count, length, *back))
        wide = reshape(wide, (*front, count * length, *back))
        value = wide[(slice(None),) * at + (slice(0, n),)]
    return value
