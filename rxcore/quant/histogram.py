"""Statistics by histograms, and the ranges that are chosen from them.

Histograms reach to a power of two. One of a smaller reach is brought to a larger one by
adding neighbouring bins, which is exact: a stream, parts of it merged in any order, and
all of it at once give the same counts.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.base.dtypes import DType
from rxcore.control.jit import jit
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.gather import take_along_axis
from rxcore.ops.histogram import histogram_of_magnitudes
from rxcore.ops.join import concatenate
from rxcore.ops.magnitude import clamp
from rxcore.ops.shape import reshape, reverse, transpose
from rxcore.quant.blocks import Grid, Shape, grid_of
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import Calibrator, Statistics, calibrator, extremes

__all__ = ["Histogram", "Method", "histogram_calibrator", "percentile"]

MOST_BINS = 1 << 15

MOST_BYTES = 1 << 31
"""Bytes of all histograms of one array at most."""


class Method(Protocol):
    """A way to choose a range from a histogram; hashable."""

    def choose(self, statistics: Histogram) -> tuple[Any, Any]:
        """Return the least and largest numbers that have a code."""
        ...


@tree.register
@frozen(eq=False)
class Histogram(Statistics):
    """Counts of numbers by size.

    Args:
        counts: int64 of shape (*blocks, sides, bins): by magnitude; where there are two
            sides, those of numbers below zero come first.
        limit: float32, powers of two: where the last bin ends, for each block.
        low: the least number, infinity before there are data.
        high: the largest, minus infinity before.
        method: how a range is chosen.
        spec: how arrays will be quantized.
    """

    counts: Any
    limit: Any
    low: Any
    high: Any
    method: Method = field(metadata={"static": True})
    spec: QuantSpec = field(metadata={"static": True})

    def range(self) -> tuple[Any, Any]:
        """Return the range that the method chooses."""
        low, high = _chosen(self)
        return low, high

    def magnitudes(self) -> Any:
        """Return the counts of both sides together, of shape (*blocks, bins)."""
        return rnp.sum(self.counts, axis=-2)

    def edges(self) -> Any:
        """Return where bins begin, and the last one ends: (*blocks, bins + 1)."""
        bins = self.counts.shape[-1]
        share = rnp.arange(bins + 1, dtype=dtypes.float32) / bins
        return rnp.expand_dims(self.limit, -1) * share


@jit
def _chosen(statistics: Histogram) -> tuple[Any, Any]:
    return statistics.method.choose(statistics)


def histogram_calibrator(
    name: str, spec: QuantSpec, method: Method, bins: int
) -> Calibrator:
    """Return calibration by histograms of at least so many bins in use."""
    if not 16 <= bins <= MOST_BINS // 2 or bins & (bins - 1):
        raise errors.UserError(
            f"quant.{name}: bins={bins}; expected a power of two from 16 to"
            f" {MOST_BINS // 2}"
        )
    # The largest number lies in the upper half of the bins.
    stored, sides = 2 * bins, 1 if _mirrored(spec) else 2

    def empty(counts: Shape, dtype: DType) -> Histogram:
        nbytes = 8 * sides * stored * math.prod(counts)
        if nbytes > MOST_BYTES:
            raise errors.UserError(
                f"quant.{name}: {math.prod(counts)} blocks, each with a histogram of"
                f" {sides * stored} bins, take {nbytes / 2**30:.1f} GiB; pass fewer"
                " bins, or larger blocks, or use quant.minmax or quant.least_error"
            )
        zeros = rnp.zeros((*counts, sides, stored), dtypes.int64)
        ends = rnp.full(counts, rnp.inf, dtype), rnp.full(counts, -rnp.inf, dtype)
        limit = rnp.full(counts, 2.0**-99, dtypes.float32)
        return Histogram(zeros, limit, *ends, method, spec)

    def observe(x: Any) -> Histogram:
        low, high = extremes(x, spec)
        largest = convert(rnp.maximum(-low, high), dtypes.float32)
        limit = _power_above(largest)
        grid = grid_of(spec, x.shape, f"quant.{name}")
        found = histogram_of_magnitudes(
            _rows(x, grid), limit, bins=stored, signed=sides == 2
        )
        found = reshape(found, (*grid.counts, sides, stored))
        missing = _missing(grid)
        if missing.any():
            # Zeros that filled the last blocks.
            first = np.zeros((sides, stored), np.int32)
            first[-1, 0] = 1
            found = found - missing[..., None, None] * first
        counts = convert(found, dtypes.int64)
        return Histogram(counts, limit, low, high, method, spec)

    def merge(a: Histogram, b: Histogram) -> Histogram:
        limit = rnp.maximum(a.limit, b.limit)
        counts = _reaching(a, limit) + _reaching(b, limit)
        low, high = rnp.minimum(a.low, b.low), rnp.maximum(a.high, b.high)
        return Histogram(counts, limit, low, high, method, spec)

    return calibrator(name, spec, empty, observe, merge)


def _mirrored(spec: Any) -> bool:
    """Say whether numbers of both signs are quantized alike."""
    if not isinstance(spec, QuantSpec) or not spec.symmetric:
        return False
    return spec.highest - spec.center == spec.center - spec.lowest


def _power_above(x: Any) -> Any:
    """Return the power of two above each float32, from 2**-99 to 2**127."""
    # Bins divided by the limit are finite too.
    exponent = (bitcast(x, dtypes.int32) >> 23) & 255
    return bitcast((clamp(27, exponent, 253) + 1) << 23, dtypes.float32)


def _rows(x: Any, grid: Grid) -> Any:
    """Return the elements of each block in a row: (*blocks, elements)."""
    ndim = len(grid.shape)
    if all(c == 1 for c in grid.counts):
        return reshape(x, (*grid.counts, -1))
    whole = tuple(range(0, 2 * ndim, 2)) + tuple(range(1, 2 * ndim, 2))
    return reshape(transpose(grid.parts(x), whole), (*grid.counts, -1))


def _missing(grid: Grid) -> Any:
    """Return by how many elements each block falls short of a whole one."""
    lengths = [
        np.minimum(b, n - b * np.arange(c))
        for n, b, c in zip(grid.shape, grid.block, grid.counts, strict=True)
    ]
    sizes: Any = np.ones((), np.int32)
    for length in lengths:
        sizes = np.multiply.outer(sizes, length)
    return (math.prod(grid.block) - sizes).astype(np.int32)


def _reaching(h: Histogram, limit: Any) -> Any:
    """Return counts with the bins that a larger limit has."""
    bins = h.counts.shape[-1]
    steps = bitcast(limit, dtypes.int32) - bitcast(h.limit, dtypes.int32)
    shift = clamp(0, steps >> 23, bins.bit_length() - 1)
    before = before_each(h.counts)
    ends = rnp.arange(bins + 1, dtype=dtypes.int32)
    ends = rnp.minimum(ends << rnp.expand_dims(shift, -1), bins)
    ends = rnp.broadcast_to(rnp.expand_dims(ends, -2), before.shape)
    sums = take_along_axis(before, ends, -1)
    return sums[..., 1:] - sums[..., :-1]


def before_each(x: Any) -> Any:
    """Return the sums of what comes before each element of a row, and of the row."""
    zero = rnp.zeros((*x.shape[:-1], 1), x.dtype)
    return concatenate([zero, rnp.cumsum(x, axis=-1)], axis=-1)


def _first(found: Any) -> Any:
    """Return where a row is true for the first time."""
    return rnp.argmax(found, axis=-1)


def _pick(values: Any, at: Any) -> Any:
    return take_along_axis(values, rnp.expand_dims(at, -1), -1)[..., 0]


@frozen
class Percentile:
    """So many of a hundred numbers have a code."""

    percent: float

    def choose(self, h: Histogram) -> tuple[Any, Any]:
        """Return the range, no wider than the data."""
        if h.counts.shape[-2] == 1 or h.spec.symmetric:
            upto = before_each(convert(h.magnitudes(), dtypes.float64))
            wanted = upto[..., -1:] - self.beyond(upto, 1)
            largest = _pick(h.edges()[..., 1:], _first(upto[..., 1:] >= wanted))
            return within(-largest, largest, h)
        below, above = h.counts[..., 0, :], h.counts[..., 1, :]
        last = below.ndim - 1
        counts = concatenate([reverse(below, (last,)), above], axis=last)
        upto = before_each(convert(counts, dtypes.float64))
        edges, beyond = h.edges(), self.beyond(upto, 2)
        ends = concatenate([-reverse(edges, (last,)), edges[..., 1:]], axis=last)
        low = _pick(ends[..., :-1], _first(upto[..., 1:] > beyond))
        most = upto[..., -1:] - beyond
        high = _pick(ends[..., 1:], _first(upto[..., 1:] >= most))
        return within(low, high, h)

    def beyond(self, upto: Any, sides: int) -> Any:
        """Return how many numbers are cut off on each side."""
        share = (100 - self.percent) / 100 / sides
        # Decimal fractions are not exact.
        return rnp.floor(share * upto[..., -1:] * (1 + 1e-9))


def within(low: Any, high: Any, h: Histogram) -> tuple[Any, Any]:
    """Return a range no wider than the data; NaN and infinite ends stay."""
    least, largest = h.low, h.high
    if h.spec.symmetric:
        largest = rnp.maximum(-least, largest)
        least = -largest
    dtype = h.low.dtype
    low, high = convert(low, dtype), convert(high, dtype)
    # No bin's edge stands for infinity.
    low = rnp.where(least == -rnp.inf, least, rnp.maximum(low, least))
    return low, rnp.where(largest == rnp.inf, largest, rnp.minimum(high, largest))


def percentile(
    spec: QuantSpec, percent: float = 99.999, *, bins: int = 2048
) -> Calibrator:
    """Return calibration that cuts off the farthest numbers.

    **Meaning**, per block, with `cut = (100 - percent) / 200`, up to a bin's width::

        largest = np.quantile(np.abs(data), percent / 100)  # symmetric
        low, high = np.quantile(data, [cut, 1 - cut])  # otherwise

    Args:
        spec: how arrays will be quantized.
        percent: how many of a hundred numbers have a code, above 0 and at most 100.
        bins: bins from zero to the largest magnitude at least, a power of two.

    Returns:
        A `Calibrator`; its statistics are `Histogram`.

    Raises:
        UserError: when a number is out of range.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> c = quant.percentile(quant.QuantSpec(), 99.0)
        >>> x = rx.numpy.concatenate([rx.numpy.linspace(-1, 1, 999), [50.0]])
        >>> stats = c.update(c.init(x), x)
        >>> rx.numpy.round(c.range(stats)[1], 1)
        Array([1.], dtype=float32)
    """
    if not 0 < percent <= 100:
        raise errors.UserError(
            f"quant.percentile: percent={percent}; expected 0 < percent <= 100"
        )
    return histogram_calibrator("percentile", spec, Percentile(float(percent)), bins)
