"""Arrays into codes and back."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from rxcore import numpy as rnp
from rxcore import random
from rxcore.base import dtypes, errors
from rxcore.control.jit import jit
from rxcore.ops.convert import convert
from rxcore.ops.stop import stop_gradient
from rxcore.quant.blocks import Grid, Layout, grid_of
from rxcore.quant.checks import (
    check_finite_scale,
    check_no_nan,
    check_zero_point,
    floating,
    is_symmetric,
)
from rxcore.quant.encode import computed_in, parameters, place
from rxcore.quant.packing import codes_per_byte, pack, packed_axis
from rxcore.quant.qtensor import QTensor
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import Statistics
from rxcore.trace.bind import as_numeric, known_numbers

__all__ = ["dequantize", "quantize"]


def quantize(
    x: Any,
    spec: QuantSpec | Statistics,
    *,
    scale: Any = None,
    zero_point: Any = None,
    key: Any = None,
) -> QTensor:
    """Turn an array into small integers.

    **Meaning**, per block, with the profile `onnx`::

        low, high = min(x.min(), 0), max(x.max(), 0)
        scale = max(-low, high) / highest  # symmetric
        scale = (high - low) / (highest - lowest)  # otherwise, then also
        zero_point = np.rint(lowest - low / scale)
        codes = np.clip(np.rint(x / scale) + zero_point, lowest, highest)

    NaN in x, and scales that are zero, NaN or infinite, are refused where they are
    known. Inside a compiled function they are not: there the scale of a block that
    holds NaN becomes NaN, and so does all that is dequantized from it.

    Integers have no gradient: none flows to x. Train with `fake_quant`.

    Args:
        x: floating array; none of its axes has length 0.
        spec: how to quantize, the range taken from x; or statistics of numbers like x
            (`quant.minmax` and others), which give the range and know the spec.
        scale: positive scales in place of those of the range: of the shape of the
            blocks, or one for each channel, or a number.
        zero_point: their zero points, of asymmetric specs; 0 when only scales are
            given.
        key: a random key, to round up with the probability of the remainder
            (stochastic rounding); without it halves go to the even code.

    Returns:
        A `QTensor`.

    Raises:
        UserError: NaN in x, or scales or zero points that cannot be used.
        ShapeError: an axis out of range or of length 0, or scales of another shape.
        DTypeError: when x is not floating.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.quant import QuantSpec, quantize
        >>> q = quantize(rx.asarray([[0.5, -1.0], [3.0, 4.0]]), QuantSpec(axis=0))
        >>> q.codes
        Array([[  64, -127], [  95,  127]], dtype=int8)
        >>> q
        QTensor(int8, shape=(2, 2), 12 bytes, 24 bits per weight)

    Paper: Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", 2018.
    """
    call = "quantize"
    x = floating(x, call)
    if not isinstance(spec, QuantSpec):
        statistics = of_statistics(spec, scale, zero_point, call)
        spec, scale, zero_point = statistics
    elif scale is None and zero_point is not None:
        raise errors.UserError(
            f"{call}: zero_point is given without scale; give both, or neither"
        )
    grid = grid_of(spec, x.shape, call)
    check_no_nan(x, call)
    if scale is not None:
        scale, zero_point = given_scale(grid, scale, zero_point, spec, call)
    guarded = scale is not None and known_numbers(x) is None
    made = _quantized(x, scale, zero_point, key, spec=spec, guarded=guarded)
    if scale is None:
        check_finite_scale(made.scale, call, "the range of x is not finite; ")
    return made  # type: ignore[no-any-return]


def of_statistics(
    statistics: Any, scale: Any, zero_point: Any, call: str
) -> tuple[QuantSpec, Any, Any]:
    """Return spec, scales and zero points of statistics."""
    if not isinstance(statistics, Statistics):
        raise errors.UserError(
            f"{call}: expected a QuantSpec or statistics of calibration, got"
            f" {type(statistics).__name__}"
        )
    if scale is not None or zero_point is not None:
        raise errors.UserError(
            f"{call}: scale and zero_point follow from the statistics; pass"
            " statistics.spec to give your own"
        )
    nothing = known_numbers(statistics.empty())
    if nothing is not None and np.asarray(nothing).any():
        raise errors.UserError(
            f"{call}: the statistics have seen no data; gather some first:"
            " stats = calibrator.update(stats, x)"
        )
    scale, zero_point = statistics.parameters()
    return statistics.spec, scale, zero_point


def given_scale(
    grid: Grid, scale: Any, zero_point: Any, spec: QuantSpec, call: str
) -> tuple[Any, Any]:
    """Return scales and zero points that were given as they are stored."""
    scale = grid.fit(floating(scale, call), "scale", call)
    check_finite_scale(scale, call)
    zero_point = given_zero(zero_point, scale, spec, call)
    if zero_point is not None:
        zero_point = grid.fit(zero_point, "zero_point", call)
    return scale, zero_point


def given_zero(zero_point: Any, scale: Any, spec: QuantSpec, call: str) -> Any:
    """Return zero points that were given as they are stored; None when symmetric."""
    if is_symmetric(spec, zero_point, call):
        return None
    if zero_point is None:
        zero_point = rnp.zeros(scale.shape, spec.dtype)
    zero_point = as_numeric(zero_point, call)
    check_zero_point(zero_point, spec, call)
    if spec.zero_point == "float":
        return convert(zero_point, computed_in(scale))
    return convert(zero_point, spec.dtype)


def ranges(x: Any, spec: QuantSpec, call: str) -> tuple[Any, Any]:
    """Return the least and largest numbers of blocks, zero included."""
    grid = grid_of(spec, x.shape, call)
    if spec.symmetric:
        largest = grid.reduce(rnp.max, abs(x))
        return -largest, largest
    return grid.reduce(rnp.min, x), grid.reduce(rnp.max, x)


def noise_of(key: Any, x: Any, dtype: Any) -> Any:
    """Return uniform numbers in [-0.5, 0.5), or None without a key."""
    if key is None:
        return None
    return random.uniform(key, x.shape, dtype) - 0.5


@jit(static_argnames=("spec", "guarded"))  # type: ignore[untyped-decorator]
def _quantized(
    x: Any, scale: Any, zero_point: Any, key: Any, *, spec: QuantSpec, guarded: bool
) -> QTensor:
    if scale is None:
        # Ranges carry NaN on. A gradient by way of the scale alone would mislead.
        low, high = ranges(stop_gradient(x), spec, "quantize")
        scale, zero_point = parameters(low, high, spec)
    noise = noise_of(key, x, computed_in(x, scale))
    made = coded(x, scale, zero_point, spec, noise)
    return attrs.evolve(made, scale=marked(x, scale, spec)) if guarded else made


def marked(x: Any, scale: Any, spec: QuantSpec) -> Any:
    """Return scales, NaN for blocks that hold NaN, which has no code."""
    grid = grid_of(spec, x.shape, "quantize")
    return rnp.where(grid.reduce(rnp.any, rnp.isnan(x)), rnp.nan, scale)


def coded(
    x: Any, scale: Any, zero_point: Any, spec: QuantSpec, noise: Any = None
) -> QTensor:
    """Return an array quantized with scales and zero points of the blocks' shape."""
    dtype = computed_in(x, scale)
    layout = Layout.of(x.shape, scale.shape, spec)
    zero = whole = None
    if zero_point is not None:
        wide_zero = layout.spread(zero_point)
        zero = convert(wide_zero, dtype)
        whole = None if spec.zero_point == "float" else convert(wide_zero, dtypes.int32)
    elif spec.center:
        whole = spec.center
    noise = None if noise is None else layout.cut(noise)
    wide_scale = layout.spread(convert(scale, dtype))
    where = place(layout.cut(convert(x, dtype)), wide_scale, zero, spec, noise)
    codes = layout.join(where.codes(whole))
    per = codes_per_byte(spec.bits)
    if per == 1 or not codes.ndim:
        return QTensor(codes, scale, zero_point, spec)
    axis = packed_axis(codes.shape, per)
    packed = pack(codes, spec.bits, axis)
    return QTensor(packed, scale, zero_point, spec, (axis, codes.shape[axis]))


def dequantize(q: QTensor, dtype: Any = None) -> Any:
    """Return the numbers that codes stand for.

    **Meaning**: `(codes - zero_point) * scale`

    Args:
        q: a quantized array.
        dtype: a floating dtype in place of float32 (float64 where the scales are).

    Returns:
        Array of the shape of `q`.

    Raises:
        UserError: when q is no QTensor.
        DTypeError: when the dtype is not real floating.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.quant import QuantSpec, dequantize, quantize
        >>> q = quantize(rx.asarray([1.1, -2.0, 0.3]), QuantSpec(bits=4))
        >>> rx.numpy.round(dequantize(q), 3)
        Array([ 1.143, -2.   ,  0.286], dtype=float32)
    """
    if not isinstance(q, QTensor):
        raise errors.UserError(
            f"dequantize: expected a QTensor, got {type(q).__name__}; rx.quantize makes"
            " one"
        )
    if dtype is not None and not dtypes.is_float(rnp.dtype(dtype)):
        raise errors.DTypeError(
            f"dequantize: dtype={rnp.dtype(dtype).name}; expected a real floating dtype"
        )
    out = _dequantized(q)
    return out if dtype is None else convert(out, dtype)


@jit
def _dequantized(q: QTensor) -> Any:
    layout = Layout.of(q.shape, q.scale.shape, q.spec)
    scale = layout.spread(convert(q.scale, q.dtype))
    return layout.join(_centered(q, layout) * scale)


def _centered(q: QTensor, layout: Layout) -> Any:
    """Return the codes without their zero points, as floats."""
    codes, spec = layout.cut(q.unpacked()), q.spec
    if spec.zero_point == "float":
        return convert(codes, q.dtype) - layout.spread(convert(q.zero_point, q.dtype))
    wide = convert(codes, dtypes.int32)
    if q.zero_point is not None:
        wide = wide - layout.spread(convert(q.zero_point, dtypes.int32))
    elif spec.center:
        wide = wide - spec.center
    return convert(wide, q.dtype)
