"""Quantization that stays in floats, with a gradient: for training."""

from __future__ import annotations

import math
from typing import Any, Literal

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.control.custom import custom_jvp
from rxcore.control.jit import jit
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.magnitude import clamp
from rxcore.ops.stop import stop_gradient
from rxcore.quant.blocks import Layout, grid_of
from rxcore.quant.checks import (
    check_finite_range,
    check_finite_scale,
    check_no_nan,
    floating,
    is_symmetric,
)
from rxcore.quant.encode import computed_in, parameters, place
from rxcore.quant.quantize import noise_of, of_statistics, ranges
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import Statistics
from rxcore.trace.bind import as_numeric

__all__ = ["fake_quant", "lsq_scale"]


def fake_quant(
    x: Any,
    spec: QuantSpec | Statistics,
    scale: Any = None,
    zero_point: Any = None,
    *,
    key: Any = None,
    scale_gradient: float | Literal["lsq"] = 1.0,
) -> Any:
    """Round an array to the numbers that codes stand for, with a gradient.

    **Meaning**: `dequantize(quantize(x, spec, scale=scale, zero_point=zero_point))`,
    bit for bit. Its derivatives, with `steps = x / scale + zero_point`::

        inside = (lowest <= np.rint(steps)) & (np.rint(steps) <= highest)
        d_x = np.where(inside, 1, 0)  # straight through
        end = np.where(steps < lowest, lowest, highest) - zero_point
        d_scale = np.where(inside, (out - x) / scale, end) * scale_gradient
        d_zero_point = np.where(inside, 0, -scale) * scale_gradient

    Scales that are not given follow from x or from statistics, and count as constant.

    Args:
        x: floating array.
        spec: how to quantize, or statistics of calibration.
        scale: positive scales, which may be learnt: of the shape of the blocks, or one
            for each channel, or a number.
        zero_point: their zero points, of asymmetric specs; floating ones may be learnt
            and are rounded to a code where the spec wants integers. 0 by default.
        key: a random key, for stochastic rounding.
        scale_gradient: a factor of the gradients of scale and zero point; "lsq" is
            `1 / sqrt(elements of a block * highest)`.

    Returns:
        Array of the shape and dtype of x.

    Raises:
        UserError: NaN in x, infinite elements without a scale, or scales that cannot
            be used, where they are known; a `scale_gradient` of another kind.
        ShapeError: an axis out of range or of length 0, or scales of another shape.
        DTypeError: when x is not floating.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.quant import QuantSpec, fake_quant
        >>> x, spec = rx.asarray([0.3, 1.4, 99.0]), QuantSpec(bits=4)
        >>> fake_quant(x, spec, 1.0)
        Array([0., 1., 7.], dtype=float32)
        >>> rx.grad(lambda x: fake_quant(x, spec, 1.0).sum())(x)
        Array([1., 1., 0.], dtype=float32)

    Paper: Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", 2018; Esser et al., "Learned step size
    quantization", 2020.
    """
    call = "fake_quant"
    x = floating(x, call)
    if not isinstance(spec, QuantSpec):
        spec, scale, zero_point = of_statistics(spec, scale, zero_point, call)
        scale, zero_point = stop_gradient((scale, zero_point))
    grid = grid_of(spec, x.shape, call)
    check_no_nan(x, call)
    if scale is None:
        check_finite_range(x, call)
        if zero_point is not None:
            raise errors.UserError(
                f"{call}: zero_point is given without scale; give both, or neither"
            )
    else:
        scale = grid.fit(floating(scale, call), "scale", call)
        check_finite_scale(scale, call)
        zero_point = _zero(zero_point, scale, spec, grid, call)
    if scale_gradient == "lsq":
        scale_gradient = 1 / math.sqrt(math.prod(grid.block) * spec.highest)
    if not isinstance(scale_gradient, int | float):
        raise errors.UserError(
            f"{call}: scale_gradient={scale_gradient!r}; expected a number or 'lsq'"
        )
    factor = float(scale_gradient)
    out = _faked(x, scale, zero_point, key, spec=spec, factor=factor)
    return convert(out, x.dtype)


def _zero(zero_point: Any, scale: Any, spec: QuantSpec, grid: Any, call: str) -> Any:
    if is_symmetric(spec, zero_point, call):
        return None
    dtype = computed_in(scale)
    if zero_point is None:
        return rnp.zeros(scale.shape, dtype)
    zero_point = convert(as_numeric(zero_point, call), dtype)
    check_no_nan(zero_point, call, "zero_point")
    return grid.fit(zero_point, "zero_point", call)


@jit(static_argnames=("spec", "factor"))  # type: ignore[untyped-decorator]
def _faked(
    x: Any, scale: Any, zero_point: Any, key: Any, *, spec: QuantSpec, factor: float
) -> Any:
    if scale is None:
        low, high = ranges(stop_gradient(x), spec, "fake_quant")
        scale, zero_point = parameters(low, high, spec)
    dtype = computed_in(x, scale)
    layout = Layout.of(x.shape, scale.shape, spec)
    scale = layout.spread(convert(scale, dtype))
    if zero_point is not None:
        zero_point = layout.spread(convert(zero_point, dtype))
    noise = noise_of(key, x, dtype)
    noise = None if noise is None else layout.cut(noise)
    x = layout.cut(convert(x, dtype))
    return layout.join(_nearest(x, scale, zero_point, noise, spec, factor))


def _whole(zero: Any, spec: QuantSpec) -> Any:
    """Return the zero points that are used."""
    if zero is None or spec.zero_point == "float":
        return zero
    return clamp(spec.lowest, rnp.round(zero), spec.highest)


def _numbers(position: Any, scale: Any, zero: Any, spec: QuantSpec) -> Any:
    codes = position.rounded()
    return (codes - zero if spec.zero_point == "float" else codes) * scale


def _values(
    x: Any, scale: Any, zero: Any, noise: Any, spec: QuantSpec, factor: float
) -> Any:
    del factor
    zero = _whole(zero, spec)
    return _numbers(place(x, scale, zero, spec, noise), scale, zero, spec)


_nearest = custom_jvp(_values, nondiff_argnums=(4, 5))


@_nearest.defjvp
def _push(spec: QuantSpec, factor: float, primals: Any, tangents: Any) -> Any:
    x, scale, zero, noise = primals
    dx, dscale, dzero, _ = tangents
    zero = _whole(zero, spec)
    position = place(x, scale, zero, spec, noise)
    out = _numbers(position, scale, zero, spec)
    inside = position.inside()
    none = rnp.zeros_like(dx)
    end = out / scale if zero is None else _numbers(position, 1.0, zero, spec)
    slope = select(inside, (out - x) / scale, end)
    dout = select(inside, dx, none) + factor * (slope * dscale)
    if zero is not None:
        dout = dout + factor * select(inside, none, -(scale * dzero))
    return out, dout


def lsq_scale(x: Any, spec: QuantSpec) -> Any:
    """Return scales to begin learning with.

    **Meaning**: `2 * np.mean(np.abs(x)) / np.sqrt(highest)`, per block

    Args:
        x: floating array, as the weights before training.
        spec: how it will be quantized.

    Returns:
        Array of the shape of the blocks; 1 for a block of zeros.

    Raises:
        UserError: NaN or infinite elements in x, where they are known.
        DTypeError: when x is not floating.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.quant import QuantSpec, lsq_scale
        >>> lsq_scale(rx.asarray([[1.0, -3.0], [0.0, 0.0]]), QuantSpec(bits=3, axis=0))
        Array([[2.309...], [1.   ...]], dtype=float32)

    Paper: Esser et al., "Learned step size quantization", 2020.
    """
    x = floating(x, "quant.lsq_scale")
    grid = grid_of(spec, x.shape, "quant.lsq_scale")
    check_no_nan(x, "quant.lsq_scale")
    check_finite_range(x, "quant.lsq_scale")
    x = convert(x, computed_in(x)) if x.dtype in dtypes.HALVES else x
    total = grid.reduce(rnp.sum, abs(x))
    counts = grid.reduce(rnp.sum, rnp.ones_like(x))
    scale = 2 * total / counts / math.sqrt(spec.highest)
    return rnp.where(scale == 0, 1.0, scale)
