"""Blocks of an array that share a scale."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import errors
from rxcore.ops.join import pad
from rxcore.ops.shape import broadcast_to, reshape
from rxcore.quant.spec import QuantSpec

__all__ = ["Grid", "Layout", "grid_of", "spread"]

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
        if not value.ndim:
            return broadcast_to(value, counts)
        if value.shape in (many, (1,) * (not many)):
            return reshape(value, counts)
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


@frozen
class Layout:
    """How an array and its scales meet: the array's axes cut where blocks end.

    Looks at shapes and lengths of blocks from the last axis on, so that it holds for an
    array with further axes in front, or fewer. Where a block does not divide its axis,
    the scales are spread over the axis instead.

    Args:
        shape: the array's.
        counts: the scales'.
        cuts: for each axis its blocks' number and length where it is cut, else None.
        repeats: for each axis the length of the blocks where scales are spread, else 0.
    """

    shape: Shape
    counts: Shape
    cuts: tuple[tuple[int, int] | None, ...]
    repeats: Shape

    @classmethod
    def of(cls, shape: Shape, counts: Shape, spec: QuantSpec) -> Layout:
        """Return the layout of an array and scales of two shapes.

        Raises:
            ShapeError: when they do not fit.
        """
        cuts: list[tuple[int, int] | None] = []
        repeats = []
        first = len(shape) - len(counts)
        for axis, n in enumerate(shape):
            count = counts[axis - first] if axis >= first else 1
            if count in (1, n):
                cuts.append(None)
                repeats.append(0)
                continue
            if spec.block_size is None:
                raise errors.ShapeError(
                    f"quant: scales of shape {counts} do not fit an array of shape"
                    f" {shape}"
                )
            length = spec.block_size[axis - len(shape)]
            whole = count * length == n
            cuts.append((count, length) if whole else None)
            repeats.append(0 if whole else length)
        return cls(shape, counts, tuple(cuts), tuple(repeats))

    def cut(self, x: Any) -> Any:
        """Return the array with two axes in place of one where it is cut."""
        if not any(self.cuts):
            return x
        pairs = zip(self.cuts, self.shape, strict=True)
        return reshape(x, tuple(n for c, m in pairs for n in (c or (m,))))

    def join(self, x: Any) -> Any:
        """Return the array as it was before it was cut."""
        return reshape(x, self.shape) if any(self.cuts) else x

    def spread(self, value: Any) -> Any:
        """Return scales so that they broadcast to the array that was cut."""
        first = len(self.shape) - value.ndim
        at = 0
        for cut, length, n in zip(
            self.cuts[first:], self.repeats[first:], self.shape[first:], strict=True
        ):
            if cut:
                at += 1
                value = rnp.expand_dims(value, at)
            elif length:
                value = _repeated(value, at, length, n)
            at += 1
        return value


def _repeated(value: Any, at: int, length: int, n: int) -> Any:
    """Repeat each element along an axis, n of them in all."""
    front, back = value.shape[:at], value.shape[at + 1 :]
    count = value.shape[at]
    wide = broadcast_to(rnp.expand_dims(value, at + 1), (*front, count, length, *back))
    wide = reshape(wide, (*front, count * length, *back))
    return wide[(slice(None),) * at + (slice(0, n),)]


def spread(value: Any, shape: Shape, spec: QuantSpec) -> Any:
    """Return scales so that they broadcast to an array of a shape."""
    made = Layout.of(shape, value.shape, spec)
    if not any(made.cuts):
        return made.spread(value)
    for axis, cut in enumerate(made.cuts):
        if cut:
            value = _repeated(
                value, axis - len(shape) + value.ndim, cut[1], shape[axis]
            )
    return attrs.evolve(made, cuts=(None,) * len(shape)).spread(value)
