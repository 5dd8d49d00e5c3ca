"""Statistics of calibration: what a range is chosen from, gathered in a stream.

A method is a `Calibrator`, four pure functions. Its statistics are pytrees that can be
merged: batches one after the other, parts of the data on their own, and all of it at
once come to the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors, tree
from rxcore.base.dtypes import DType
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.quant.blocks import Shape, grid_of
from rxcore.quant.checks import floating
from rxcore.quant.encode import computed_in, parameters
from rxcore.quant.spec import QuantSpec

__all__ = ["Calibrator", "MinMax", "MovingAverage", "Statistics", "minmax"]
__all__ += ["moving_average"]


class Statistics:
    """Statistics that a range can be chosen from; they know their spec."""

    __slots__ = ()
    spec: QuantSpec
    low: Any

    def range(self) -> tuple[Any, Any]:
        """Return the least and largest numbers that have a code, for each block."""
        raise NotImplementedError

    def empty(self) -> Any:
        """Say for each block whether there are no data yet."""
        return self.low == rnp.inf

    def parameters(self) -> tuple[Any, Any]:
        """Return scales and zero points; the latter None when symmetric."""
        return parameters(*self.range(), self.spec)


@frozen
class Calibrator:
    """A way to choose ranges: four pure functions.

    **Meaning**::

        stats = calibrator.init(x)
        for batch in batches:
            stats = calibrator.update(stats, batch)
        low, high = calibrator.range(stats)

    `rx.quantize(x, stats)` and `rx.fake_quant(x, stats)` take statistics in place of a
    spec. `merge` is associative, so data may be split in any way; where only order
    tells the oldest from the newest (`moving_average`) it is kept.

    Args:
        init: takes an array like those that follow, or the shape of float32 ones;
            returns statistics of no data at all.
        update: takes statistics and an array; returns statistics of all data.
        merge: takes two statistics, the older first.
        range: takes statistics; returns the least and largest numbers, one for each
            block.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]
    range: Callable[[Any], tuple[Any, Any]]


def calibrator(
    name: str,
    spec: QuantSpec,
    empty: Callable[[Shape, DType], Any],
    observe: Callable[[Any], Any],
    merge: Callable[[Any, Any], Any],
) -> Calibrator:
    """Return the functions of statistics that can be merged.

    Args:
        name: of the public function, for errors.
        spec: how arrays will be quantized.
        empty: takes the shape of the blocks and the dtype of ranges; returns what
            changes nothing in a merge.
        observe: takes an array; returns its statistics.
        merge: takes two statistics, the older first.
    """
    call = f"quant.{name}"
    if not isinstance(spec, QuantSpec):
        raise errors.UserError(
            f"{call}: expected a QuantSpec, got {type(spec).__name__}"
        )

    def init(x: Any) -> Any:
        if isinstance(x, tuple | list):
            return empty(grid_of(spec, tuple(x), call).counts, dtypes.float32)
        x = floating(x, call)
        return empty(grid_of(spec, x.shape, call).counts, computed_in(x))

    @jit
    def joined(a: Any, b: Any) -> Any:
        return merge(a, b)

    @jit
    def updated(statistics: Any, x: Any) -> Any:
        return merge(statistics, observe(x))

    def matching(a: Any, b: Any) -> None:
        if tree.structure(a) != tree.structure(b):
            kinds = " and ".join(f"{type(s).__name__} of {s.spec}" for s in (a, b))
            raise errors.UserError(
                f"{call}.merge: statistics are not of one calibrator: {kinds}"
            )
        if a.low.shape != b.low.shape:
            raise errors.ShapeError(
                f"{call}: the other has blocks of shape {b.low.shape}, the statistics"
                f" {a.low.shape}; they must be equal"
            )
        shapes = [[x.shape for x in tree.leaves(s)] for s in (a, b)]
        if shapes[0] != shapes[1]:
            raise errors.ShapeError(
                f"{call}.merge: histograms of {a.counts.shape[-1]} and"
                f" {b.counts.shape[-1]} bins; they must be equal"
            )

    def update(statistics: Any, x: Any) -> Any:
        x = floating(x, f"{call}.update")
        counts = grid_of(spec, x.shape, f"{call}.update").counts
        if counts != statistics.low.shape:
            raise errors.ShapeError(
                f"{call}.update: x has shape {x.shape}, so blocks of shape {counts};"
                f" the statistics have {statistics.low.shape}"
            )
        return updated(statistics, x)

    def join(a: Any, b: Any) -> Any:
        matching(a, b)
        return joined(a, b)

    return Calibrator(init, update, join, lambda statistics: statistics.range())


def extremes(x: Any, spec: QuantSpec) -> tuple[Any, Any]:
    """Return the least and the largest numbers of blocks as float32 or float64."""
    grid = grid_of(spec, x.shape, "quant")
    if x.dtype in dtypes.HALVES:
        x = convert(x, dtypes.float32)
    return grid.reduce(rnp.min, x), grid.reduce(rnp.max, x)


@tree.register
@frozen(eq=False)
class MinMax(Statistics):
    """The least and the largest numbers so far.

    Args:
        low: one for each block; infinity before there are data.
        high: likewise, minus infinity.
        spec: how arrays will be quantized.
    """

    low: Any
    high: Any
    spec: QuantSpec = field(metadata={"static": True})

    def range(self) -> tuple[Any, Any]:
        """Return them."""
        return self.low, self.high


def minmax(spec: QuantSpec) -> Calibrator:
    """Return calibration by the least and the largest numbers.

    **Meaning**: `low, high = data.min(), data.max()`, per block

    Args:
        spec: how arrays will be quantized.

    Returns:
        A `Calibrator`; its statistics are `MinMax`.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> c = quant.minmax(quant.QuantSpec(signed=False, symmetric=False))
        >>> stats = c.init((2,))
        >>> for batch in ([0.0, 3.0], [-1.0, 2.0]):
        ...     stats = c.update(stats, rx.asarray(batch))
        >>> c.range(stats)
        (Array([-1.], dtype=float32), Array([3.], dtype=float32))
    """

    def empty(counts: Shape, dtype: DType) -> MinMax:
        low = rnp.full(counts, rnp.inf, dtype)
        return MinMax(low, -low, spec)

    def observe(x: Any) -> MinMax:
        return MinMax(*extremes(x, spec), spec)

    def merge(a: MinMax, b: MinMax) -> MinMax:
        low, high = rnp.minimum(a.low, b.low), rnp.maximum(a.high, b.high)
        return MinMax(low, high, spec)

    return calibrator("minmax", spec, empty, observe, merge)


@tree.register
@frozen(eq=False)
class MovingAverage(Statistics):
    """A moving average of the least and largest numbers of batches.

    The average after n batches is `keep**(n - 1) * first + later`, where `first` is
    the first batch's number and `later` the decayed sum of the others: in this form
    two statistics can be merged.

    Args:
        count: int32, the batches.
        low: first, of the least numbers; one for each block.
        high: first, of the largest.
        low_later: later, of the least.
        high_later: later, of the largest.
        rate: the weight of a batch.
        spec: how arrays will be quantized.
    """

    count: Any
    low: Any
    high: Any
    low_later: Any
    high_later: Any
    rate: float = field(metadata={"static": True})
    spec: QuantSpec = field(metadata={"static": True})

    def empty(self) -> Any:
        """Say whether there are no batches yet."""
        return self.count == 0

    def kept(self, less: int) -> Any:
        """Return the weight that what came before has after all batches but `less`."""
        count = rnp.maximum(convert(self.count, self.low.dtype) - less, 0)
        return (1 - self.rate) ** count

    def range(self) -> tuple[Any, Any]:
        """Return the averages."""
        kept = self.kept(1)
        return kept * self.low + self.low_later, kept * self.high + self.high_later


def moving_average(spec: QuantSpec, rate: float = 0.01) -> Calibrator:
    """Return calibration by a moving average of batches' least and largest numbers.

    **Meaning**, per block::

        average = batches[0].min()  # and max
        for batch in batches[1:]:
            average += rate * (batch.min() - average)

    Args:
        spec: how arrays will be quantized.
        rate: the weight of a batch, above 0 and at most 1.

    Returns:
        A `Calibrator`; its statistics are `MovingAverage`.

    Raises:
        UserError: when the rate is out of range.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> c = quant.moving_average(quant.QuantSpec(), rate=0.5)
        >>> stats = c.update(c.init((1,)), rx.asarray([4.0]))
        >>> c.range(c.update(stats, rx.asarray([8.0])))[1]
        Array([6.], dtype=float32)
    """
    if not 0 < rate <= 1:
        raise errors.UserError(
            f"quant.moving_average: rate={rate}; expected 0 < rate <= 1"
        )
    rate = float(rate)

    def empty(counts: Shape, dtype: DType) -> MovingAverage:
        a, b, c, d = (rnp.zeros(counts, dtype) for _ in range(4))
        return MovingAverage(rnp.asarray(0), a, b, c, d, rate, spec)

    def observe(x: Any) -> MovingAverage:
        low, high = extremes(x, spec)
        zero = rnp.zeros_like(low)
        return MovingAverage(rnp.asarray(1), low, high, zero, zero, rate, spec)

    def merge(a: MovingAverage, b: MovingAverage) -> MovingAverage:
        fresh, nothing = a.count == 0, b.count == 0

        def later(first: Any, before: Any, after: Any) -> Any:
            # b's first batch is a later one of both.
            return b.kept(0) * before + rate * b.kept(1) * first + after

        lows = later(b.low, a.low_later, b.low_later)
        highs = later(b.high, a.high_later, b.high_later)
        pairs = (
            (b.low, a.low, a.low),
            (b.high, a.high, a.high),
            (b.low_later, a.low_later, lows),
            (b.high_later, a.high_later, highs),
        )
        low, high, low_later, high_later = (
            rnp.where(fresh, after, rnp.where(nothing, before, both))
            for after, before, both in pairs
        )
        count = a.count + b.count
        return MovingAverage(count, low, high, low_later, high_later, rate, spec)

    return calibrator("moving_average", spec, empty, observe, merge)
