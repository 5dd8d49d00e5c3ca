"""What is kept or removed together: slices along an axis, blocks, N of M."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.ops.convert import convert

__all__ = ["Block", "NofM", "Slices"]


def _whole(call: str, **given: Any) -> None:
    """Refuse what is no integer."""
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise errors.UserError(f"{call}: {name}={value!r}; expected an int")


@frozen
class NofM:
    """Keep `n` of each `m` neighbours along an axis.

    Args:
        n: how many are kept.
        m: how many neighbours make a group.
        axis: the axis; for a weight of shape (in, out), 0 is the axis that a product
            sums over.
        pad: whether the last group of an axis that m does not divide is filled up
            with elements that are removed first; otherwise that is an error.

    Raises:
        UserError: when not 0 < n <= m.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([3.0, 1.0, 2.0, 5.0])
        >>> rx.prune.prune_mask(x, structure=rx.prune.NofM(2, 4))
        Array([ True, False, False,  True], dtype=bool)

    Paper: Mishra et al., "Accelerating sparse deep neural networks", 2021.
    """

    n: int
    m: int
    axis: int = -1
    pad: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that make no group."""
        _whole("prune.NofM", n=self.n, m=self.m, axis=self.axis)
        if not 0 < self.n <= self.m:
            raise errors.UserError(
                f"prune.NofM: n={self.n}, m={self.m}; expected 0 < n <= m (n are kept"
                " of m)"
            )


def _lengths(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


@frozen
class Block:
    """Keep or remove whole blocks of the last axes; the last ones may be smaller.

    Args:
        shape: the lengths of a block, one for each of the last axes.

    Raises:
        UserError: when a length is not positive.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[9.0, 0.0, 1.0, 1.0]])
        >>> rx.prune.prune_mask(x, 0.5, structure=rx.prune.Block((1, 2)))
        Array([[ True,  True, False, False]], dtype=bool)
    """

    shape: tuple[int, ...] = field(converter=_lengths)

    def __attrs_post_init__(self) -> None:
        """Refuse lengths that make no block."""
        for length in self.shape:
            _whole("prune.Block", length=length)
        if not self.shape or any(b < 1 for b in self.shape):
            raise errors.UserError(
                f"prune.Block: shape={self.shape}; expected positive lengths"
            )


@frozen
class Slices:
    """Keep or remove slices across an axis, `size` neighbours together.

    Args:
        axis: the axis.
        size: how many neighbouring slices make one unit; for the columns of heads,
            the length of a head.

    Raises:
        UserError: when `size` is not positive.

    Example:
        >>> import rxcore as rx
        >>> x = rx.asarray([[1.0, 5.0], [2.0, 1.0]])
        >>> rx.prune.prune_mask(x, 0.5, structure=rx.prune.Slices(1))
        Array([[False,  True],
               [False,  True]], dtype=bool)
    """

    axis: int
    size: int = 1

    def __attrs_post_init__(self) -> None:
        """Refuse a size that makes no unit."""
        _whole("prune.Slices", axis=self.axis, size=self.size)
        if self.size < 1:
            raise errors.UserError(f"prune.Slices: size={self.size}; expected >= 1")


Structure = NofM | Block | Slices | None
NAMES = ("channel", "filter", "head")


def structure_of(given: Any, shape: tuple[int, ...], call: str) -> Structure:
    """Return what a structure means for a leaf of some shape.

    Names follow the layouts of `rx.nn`: (in, out) for products, (out, in, *window) for
    convolutions, and heads first.
    """
    if given is None or isinstance(given, NofM | Block | Slices):
        found: Structure = given
    elif given not in NAMES:
        raise errors.UserError(
            f"{call}: structure={given!r}; expected one of {', '.join(NAMES)},"
            " prune.NofM, prune.Block, prune.Slices, or None"
        )
    elif len(shape) < 2 and not (given == "filter" and shape):
        raise errors.ShapeError(
            f"{call}: scores of shape {shape} have no {given}; expected (in, out),"
            " (out, in, *window), or heads first; put None in place of other leaves"
        )
    else:
        wide = len(shape) > 2
        filters, channels = (0, 1) if wide else (len(shape) - 1, 0)
        found = Slices({"channel": channels, "filter": filters, "head": 0}[given])
    _check(found, shape, call)
    return found


def _check(structure: Structure, shape: tuple[int, ...], call: str) -> None:
    rank = len(shape)
    if isinstance(structure, Block) and len(structure.shape) > rank:
        raise errors.ShapeError(
            f"{call}: blocks of shape {structure.shape} do not fit scores of shape"
            f" {shape}; give one length for each of the last axes"
        )
    if not isinstance(structure, NofM | Slices):
        return
    if not -rank <= structure.axis < rank:
        raise errors.ShapeError(
            f"{call}: axis {structure.axis} of {structure} does not fit scores of shape"
            f" {shape}"
        )
    length = shape[structure.axis]
    if isinstance(structure, Slices) and length % structure.size:
        raise errors.ShapeError(
            f"{call}: {structure.size} slices make a unit, which does not divide the"
            f" {length} of axis {structure.axis} (shape {shape})"
        )
    if isinstance(structure, NofM) and length % structure.m and not structure.pad:
        short = -length % structure.m
        raise errors.ShapeError(
            f"{call}: {structure.n} of {structure.m} along axis {structure.axis}, whose"
            f" length {length} (shape {shape}) {structure.m} does not divide; fill the"
            f" last group up with NofM({structure.n}, {structure.m},"
            f" axis={structure.axis}, pad=True), or append {short} elements"
        )


def count_units(structure: Structure, shape: tuple[int, ...]) -> int:
    """Return how many units a leaf has."""
    if isinstance(structure, Slices):
        return shape[structure.axis] // structure.size
    if isinstance(structure, Block):
        blocks = (1,) * (len(shape) - len(structure.shape)) + structure.shape
        return math.prod(-(-n // b) for n, b in zip(shape, blocks, strict=True))
    return math.prod(shape)


def sum_units(x: Any, structure: Structure) -> Any:
    """Return the sum of each unit, flat; halves are added in float32."""
    if structure is None:
        return rnp.reshape(x, (-1,))
    if x.dtype in dtypes.HALVES:
        x = convert(x, dtypes.float32)
    if isinstance(structure, Slices):
        front = rnp.moveaxis(x, structure.axis, 0)
        # A length of 0 leaves -1 undefined.
        count, each = count_units(structure, x.shape), structure.size
        rest = math.prod(front.shape[1:])
        return rnp.sum(rnp.reshape(front, (count, each * rest)), 1)
    assert isinstance(structure, Block)
    wide, axes = _blocked(x.shape, structure)
    pads = [
        (0, -n % b) for n, b in zip(x.shape, _full(x.shape, structure), strict=True)
    ]
    return rnp.reshape(rnp.sum(rnp.reshape(rnp.pad(x, pads), wide), axes), (-1,))


def _full(shape: tuple[int, ...], structure: Block) -> tuple[int, ...]:
    return (1,) * (len(shape) - len(structure.shape)) + structure.shape


def _blocked(
    shape: tuple[int, ...], structure: Block
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape in which blocks have axes of their own, and those axes."""
    wide: list[int] = []
    for n, b in zip(shape, _full(shape, structure), strict=True):
        wide += [-(-n // b), b]
    return tuple(wide), tuple(range(1, len(wide), 2))


def spread_units(units: Any, structure: Structure, shape: tuple[int, ...]) -> Any:
    """Return an array of a leaf's shape, in which each element has its unit's value."""
    if structure is None:
        return rnp.reshape(units, shape)
    if isinstance(structure, Slices):
        axis = structure.axis % len(shape)
        ones = [1] * len(shape)
        ones[axis] = shape[axis]
        every = rnp.repeat(units, structure.size) if structure.size > 1 else units
        return rnp.broadcast_to(rnp.reshape(every, ones), shape)
    assert isinstance(structure, Block)
    wide, axes = _blocked(shape, structure)
    ones = [1 if k in axes else n for k, n in enumerate(wide)]
    full = rnp.broadcast_to(rnp.reshape(units, ones), wide)
    whole = rnp.reshape(
        full, [n * b for n, b in zip(wide[::2], wide[1::2], strict=True)]
    )
    return whole[tuple(slice(0, n) for n in shape)]
