"""Sizes of convolutions: what is given, what follows, and what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence

from attrs import frozen

from rxcore_kernels.matmul_tile import ELEMENTS

Pairs = Sequence[tuple[int, int]]


@frozen
class Geometry:
    """The sizes of one convolution, with three space dimensions (unit ones first)."""

    batch: int
    groups: int
    channels: int
    """Input channels of one group."""
    outputs: int
    """Output channels of one group."""
    space: tuple[int, ...]
    taps: tuple[int, ...]
    stride: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    lhs: tuple[int, ...]
    rhs: tuple[int, ...]
    flip: bool
    transpose: bool

    @property
    def out(self) -> tuple[int, ...]:
        """The output's space dimensions."""
        found = []
        for x, k, s, a, b, dx, dk in zip(
            self.space,
            self.taps,
            self.stride,
            self.low,
            self.high,
            self.lhs,
            self.rhs,
            strict=True,
        ):
            room = (x - 1) * dx + 1 if x else 0
            found.append(max((room + a + b - ((k - 1) * dk + 1)) // s + 1, 0))
        return tuple(found)

    @property
    def phases(self) -> tuple[int, ...]:
        """Remainders of the stride that some tap reads."""
        pairs = zip(self.stride, self.taps, strict=True)
        return tuple(s if k > 1 else 1 for s, k in pairs)

    @property
    def pitch(self) -> tuple[int, ...]:
        """The dimensions of one padded phase."""
        parts = zip(self.out, self.taps, self.rhs, self.stride, strict=True)
        return tuple(o + (k - 1) * d // s for o, k, d, s in parts)

    @property
    def size(self) -> int:
        """Elements of one padded channel, all phases, and a vector of zeros."""
        whole = math.prod(self.phases) * math.prod(self.pitch)
        return -(-whole // 16) * 16 + 16

    @property
    def flat(self) -> int:
        """Flat positions from the first output to the last."""
        (d, h, w), (_, ph, pw) = self.out, self.pitch
        return ((d - 1) * ph + h - 1) * pw + w

    @property
    def k(self) -> int:
        """Products that one output sums."""
        return self.channels * math.prod(self.taps)

    @property
    def work(self) -> int:
        """Multiply-adds in all."""
        outputs = self.batch * self.groups * self.outputs * math.prod(self.out)
        return outputs * self.k

    @property
    def weight_strides(self) -> tuple[int, int, int]:
        """Element strides of the weights by (group, output, channel)."""
        taps = math.prod(self.taps)
        block = self.channels * self.outputs * taps
        if self.transpose:
            return block, taps, self.outputs * taps
        return block, self.channels * taps, taps


def geometry(
    call: str,
    dtype: str,
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    lhs_dilation: Sequence[int] | None,
    rhs_dilation: Sequence[int] | None,
    groups: int,
    flip: bool,
    transpose: bool,
) -> Geometry:
    """Return the checked sizes of a convolution; errors name `call`.

    Raises:
        TypeError: the dtype has no kernel.
        ValueError: shapes or parameters do not fit together.
    """
    if dtype not in ELEMENTS:
        known = " or ".join(ELEMENTS)
        raise TypeError(f"{call}: expected dtype {known}, got {dtype}")
    rank = len(x_shape) - 2
    if not 1 <= rank <= 3 or len(w_shape) != rank + 2:
        raise ValueError(
            f"{call}: expected x (batch, channel, 1 to 3 space dimensions) and weights "
            f"of the same rank, got shapes {tuple(x_shape)} and {tuple(w_shape)}"
        )
    lhs, rhs = lhs_dilation or (1,) * rank, rhs_dilation or (1,) * rank
    given = {"stride": stride, "padding": padding, "dilation": lhs, "rhs": rhs}
    for name, value in given.items():
        if len(value) != rank:
            raise ValueError(
                f"{call}: expected {rank} entries of {name}, got {tuple(value)}"
            )
    if min(*stride, *lhs, *rhs, *w_shape[2:]) < 1:
        raise ValueError(
            f"{call}: expected strides, dilations and kernel sizes >= 1, got stride "
            f"{tuple(stride)}, dilations {tuple(lhs)} and {tuple(rhs)}, weights "
            f"{tuple(w_shape)}"
        )
    channels, outputs = (w_shape[0] // groups, w_shape[1])
    if not transpose:
        channels, outputs = w_shape[1], w_shape[0] // groups
    if x_shape[1] != channels * groups or w_shape[0] % groups:
        raise ValueError(
            f"{call}: weights {tuple(w_shape)} in {groups} groups need "
            f"{channels * groups} channels, got x {tuple(x_shape)}"
        )

    def three(values: Sequence[int], unit: int) -> tuple[int, ...]:
        return (unit,) * (3 - rank) + tuple(values)

    return Geometry(
        batch=x_shape[0],
        groups=groups,
        channels=channels,
        outputs=outputs,
        space=three(x_shape[2:], 1),
        taps=three(w_shape[2:], 1),
        stride=three(stride, 1),
        low=three([low for low, _ in padding], 0),
        high=three([high for _, high in padding], 0),
        lhs=three(lhs, 1),
        rhs=three(rhs, 1),
        flip=flip,
        transpose=transpose,
    )


@frozen
class Residue:
    """The outputs index, index + dilation, ... of one dimension, and their taps."""

    index: int
    count: int
    taps: int
    first: int
    step: int
    base: int
    spread: int

    @property
    def last(self) -> int:
        """What the last tap reads."""
        return self.base + (self.taps - 1) * self.spread


def residues(g: Geometry, axis: int) -> list[Residue]:
    """Return the residues of one dimension; tap n of one reads base + n * spread."""
    lhs, rhs, low, taps = g.lhs[axis], g.rhs[axis], g.low[axis], g.taps[axis]
    step = lhs // math.gcd(lhs, rhs)
    found = []
    for index in range(lhs):
        count = max(0, -(-(g.out[axis] - index) // lhs))
        kept = [t for t in range(taps) if (index + t * rhs - low) % lhs == 0]
        first = kept[0] if kept else 0
        base = (index + first * rhs - low) // lhs if kept else 0
        spread = step * rhs // lhs
        start, by = (taps - 1 - first, -step) if g.flip else (first, step)
        found.append(Residue(index, count, len(kept), start, by, base, spread))
    return found
