"""Ranges by search over a histogram: least divergence, least squared error."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes
from rxcore.control.fori_loop import fori_loop, map_
from rxcore.control.jit import jit
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.gather import gather
from rxcore.ops.shape import reshape
from rxcore.quant.blocks import Layout, Shape, grid_of
from rxcore.quant.checks import check_no_nan, floating
from rxcore.quant.encode import computed_in, parameters, place
from rxcore.quant.histogram import (
    Histogram,
    before_each,
    histogram_calibrator,
    within,
)
from rxcore.quant.quantize import ranges
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import Calibrator

__all__ = ["kl", "least_error", "mse"]

GRID = 64
"""Shares of the observed range that are tried first."""

STEPS = 16
"""Steps of the golden section after that: each leaves 0.618 of the interval."""


@frozen
class Divergence:
    """The magnitude at which the cut and rounded histogram diverges least."""

    def choose(self, h: Histogram) -> tuple[Any, Any]:
        """Return the range."""
        counts = convert(h.magnitudes(), dtypes.float64)
        bins = counts.shape[-1]
        groups = 1 << (h.spec.bits - h.spec.signed)
        first = min(max(groups, bins // 32), bins)
        rows = reshape(counts, (-1, bins))
        best = map_(lambda row: _least_divergent(row, groups, first), rows)
        share = convert(reshape(best, h.limit.shape), dtypes.float32) / bins
        largest = h.limit * share
        return within(-largest, largest, h)


def _least_divergent(counts: Any, groups: int, first: int) -> Any:
    """Return at how many bins to cut a histogram; see `kl`.

    With sums of what comes before each bin, a candidate costs as much as it has groups,
    not bins: the divergence is
    `(sum(p log p) - sum(p log q)) / total + log(kept / total)`, and q is the same for
    all bins of a group that hold something.
    """
    bins = counts.shape[0]
    # The first bin holds what a rectifier made zero: it tells nothing.
    counts = rnp.where(rnp.arange(bins) == 0, counts[1], counts)
    held = counts > 0
    before = before_each(counts)
    filled = before_each(convert(held, counts.dtype))
    ordered = before_each(_times_log(counts, counts))
    total, kept = before[-1], before[first:]

    cuts = rnp.arange(first, bins + 1, dtype=dtypes.int32)
    steps = rnp.arange(groups + 1, dtype=dtypes.int32)
    ends = (steps * cuts[:, None] + groups - 1) // groups

    def levels(starts: Any, stops: Any) -> tuple[Any, Any]:
        inside = _at(before, stops) - _at(before, starts)
        held = _at(filled, stops) - _at(filled, starts)
        return inside, inside / rnp.maximum(held, 1)

    crossed = rnp.sum(_times_log(*levels(ends[:, :-1], ends[:, 1:])), axis=1)
    last, beyond = counts[first - 1 :], total - kept
    _, level = levels(((groups - 1) * cuts + groups - 1) // groups, cuts)
    level_of_last = select(last > 0, level, rnp.zeros_like(last))
    own = ordered[first - 1 : -1] + _times_log(last + beyond, last + beyond)
    crossed = crossed + _times_log(beyond, level_of_last)
    divergence = (own - crossed) / total + rnp.log(kept / total)
    # What is beyond has nowhere to go if the last bin is empty; and a cut behind the
    # largest number is none.
    divergence = rnp.where(last > 0, divergence, rnp.inf)
    # Of equals, the last.
    place_ = divergence.shape[0] - 1 - rnp.argmin(divergence[::-1])
    found = rnp.any(divergence < rnp.inf)
    return rnp.where(found, place_ + first, bins)


def _at(table: Any, places: Any) -> Any:
    return gather(table, places, axes=(0,), mode="clip")


def _times_log(x: Any, y: Any) -> Any:
    """Return x * log(y), 0 where y is 0."""
    return x * rnp.log(rnp.where(y > 0, y, 1.0))


def kl(spec: QuantSpec, *, bins: int = 2048) -> Calibrator:
    """Return calibration by the least divergence from the data's distribution.

    **Meaning**, per block, with `h` the histogram of magnitudes, its first bin made
    equal to the second, and `groups = 2**(bits - signed)`::

        for i in range(bins // 16, used + 1):
            p = h[:i] with h[i:].sum() added to the last
            group = np.arange(i) * groups // i
            q = each group's sum of h[:i], spread evenly over those of its bins that
                are not empty
            divergence[i] = scipy.stats.entropy(p, q)
        largest = width * (the last i of least divergence)

    Args:
        spec: how arrays will be quantized.
        bins: bins from zero to the largest magnitude at least, a power of two.

    Returns:
        A `Calibrator`; its statistics are `Histogram`. An asymmetric range is cut at
        the same magnitude on both sides.

    Raises:
        UserError: when bins are out of range.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> c = quant.kl(quant.QuantSpec())
        >>> x = rx.random.normal(rx.random.key(0), (100_000,))
        >>> x = rx.numpy.concatenate([x, rx.asarray([40.0])])
        >>> low, high = c.range(c.update(c.init(x), x))
        >>> bool(high[0] < 10)
        True

    Paper: Migacz, "8-bit inference with TensorRT", 2017.
    """
    return histogram_calibrator("kl", spec, Divergence(), bins)


@frozen
class SquaredError:
    """The share of the observed range with the least squared error."""

    def choose(self, h: Histogram) -> tuple[Any, Any]:
        """Return the range."""
        bins = h.counts.shape[-1]
        edges = h.edges()
        middles = (edges[..., 1:] + edges[..., :-1]) / 2
        if h.counts.shape[-2] == 2:
            middles = rnp.stack([-middles, middles], axis=-2)
        else:
            middles = rnp.expand_dims(middles, -2)
        blocks = h.limit.shape
        width = h.counts.shape[-2] * bins
        middles = reshape(middles, (*blocks, width))
        counts = reshape(h.counts, (*blocks, width))
        total = rnp.maximum(rnp.sum(counts, axis=-1, keepdims=True), 1)
        weights = convert(counts / total, dtypes.float32)
        low = convert(rnp.minimum(h.low, 0), dtypes.float32)
        high = convert(rnp.maximum(h.high, 0), dtypes.float32)

        def error(share: Any) -> Any:
            return _error(middles, weights, share * low, share * high, h.spec)

        share = _least(error, blocks)
        return h.low * share, h.high * share


def _error(x: Any, weights: Any, low: Any, high: Any, spec: QuantSpec) -> Any:
    """Return the mean squared error of numbers quantized with a range."""
    scale, zero = parameters(low, high, spec)
    scale = rnp.expand_dims(scale, -1)
    if zero is not None:
        zero = rnp.expand_dims(convert(zero, dtypes.float32), -1)
    codes = place(x, scale, zero, spec).rounded()
    if spec.zero_point == "float":
        codes = codes - zero
    return rnp.sum(weights * (codes * scale - x) ** 2, axis=-1)


def _least(error: Any, blocks: Shape) -> Any:
    """Return for each block the share of its range with the least error."""
    shares = rnp.arange(1, GRID + 1, dtype=dtypes.float32) / GRID
    tried = map_(lambda s: error(rnp.full(blocks, s)), shares)
    best = convert(rnp.argmin(tried, axis=0) + 1, dtypes.float32) / GRID
    share = _golden(error, best - 1 / GRID, rnp.minimum(best + 1 / GRID, 1.0))
    # Where the grid's own is better, the error has more than one valley there.
    return rnp.where(error(share) <= error(best), share, best)


def _golden(f: Any, low: Any, high: Any) -> Any:
    """Return where a function of one valley is least, between low and high."""
    ratio = (5**0.5 - 1) / 2

    def step(_: Any, state: Any) -> Any:
        low, high = state
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        down = f(left) < f(right)
        return rnp.where(down, low, left), rnp.where(down, right, high)

    low, high = fori_loop(0, STEPS, step, (low, high))
    return (low + high) / 2


def mse(spec: QuantSpec, *, bins: int = 2048) -> Calibrator:
    """Return calibration by the least mean squared error of the data.

    **Meaning**, per block, with the numbers of a histogram's bins taken for their
    middles::

        error = lambda share: ((fake_quant(data, share * range) - data) ** 2).mean()
        share = the least of 64, then between its neighbours by golden section

    Args:
        spec: how arrays will be quantized.
        bins: bins from zero to the largest magnitude at least, a power of two.

    Returns:
        A `Calibrator`; its statistics are `Histogram`.

    Raises:
        UserError: when bins are out of range.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> x = rx.random.normal(rx.random.key(0), (10_000,))
        >>> c = quant.mse(quant.QuantSpec(bits=4))
        >>> stats = c.update(c.init(x), x)
        >>> best, plain = (
        ...     quant.report(x, quant.quantize(x, s)).sqnr for s in (stats, stats.spec)
        ... )
        >>> best > plain + 1
        True
    """
    return histogram_calibrator("mse", spec, SquaredError(), bins)


def least_error(x: Any, spec: QuantSpec) -> tuple[Any, Any]:
    """Return the scales with which an array itself has the least squared error.

    Slower than `mse`, which looks at a histogram, but for blocks of any size: 81 passes
    over x.

    **Meaning**, per block::

        error = lambda share: ((fake_quant(x, share * range) - x) ** 2).mean()
        share = the least of 64, then between its neighbours by golden section

    Args:
        x: floating array, as weights.
        spec: how it will be quantized.

    Returns:
        (scale, zero_point) for `rx.quantize`; the latter None when symmetric.

    Raises:
        ShapeError: an axis out of range or of length 0.
        DTypeError: when x is not floating.
        UserError: NaN in x, where it is known.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> w = rx.random.normal(rx.random.key(0), (64, 8))
        >>> spec = quant.QuantSpec(bits=3, block_size=(32, 1))
        >>> scale, zero_point = quant.least_error(w, spec)
        >>> best = quant.quantize(w, spec, scale=scale, zero_point=zero_point)
        >>> quant.report(w, best).sqnr > quant.report(w, quant.quantize(w, spec)).sqnr
        True
    """
    call = "quant.least_error"
    x = floating(x, call)
    grid_of(spec, x.shape, call)
    check_no_nan(x, call)
    scale, zero = _least_error(x, spec=spec)
    return scale, zero


@jit(static_argnames="spec")  # type: ignore[untyped-decorator]
def _least_error(x: Any, *, spec: QuantSpec) -> tuple[Any, Any]:
    x = convert(x, computed_in(x))
    grid = grid_of(spec, x.shape, "quant.least_error")
    low, high = ranges(x, spec, "quant.least_error")
    layout = Layout.of(x.shape, grid.counts, spec)
    cut = layout.cut(x)

    def error(share: Any) -> Any:
        scale, zero = parameters(share * low, share * high, spec)
        if zero is not None:
            zero = layout.spread(convert(zero, x.dtype))
        wide = layout.spread(scale)
        codes = place(cut, wide, zero, spec).rounded()
        if spec.zero_point == "float":
            codes = codes - zero
        return grid.reduce(rnp.sum, layout.join((codes * wide - cut) ** 2))

    share = _least(error, grid.counts)
    return parameters(share * low, share * high, spec)
