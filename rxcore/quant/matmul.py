"""Products of quantized matrices, on integers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs
from attrs import frozen

from rxcore import numpy as rnp
from rxcore.base import dtypes, errors
from rxcore.control.jit import jit
from rxcore.ops.convert import bitcast, convert
from rxcore.ops.integer_matmul import integer_matmul
from rxcore.ops.join import concatenate, pad
from rxcore.ops.shape import broadcast_to, reshape, transpose
from rxcore.quant.blocks import Layout, grid_of, spread
from rxcore.quant.checks import floating
from rxcore.quant.packing import unpack
from rxcore.quant.qtensor import QTensor
from rxcore.quant.quantize import (
    coded,
    given_scale,
    marked,
    of_statistics,
    quantize,
)
from rxcore.quant.spec import QuantSpec
from rxcore.quant.statistics import Statistics
from rxcore.trace.bind import as_numeric

__all__ = ["matmul"]

MOST_TOTALS = 1 << 27
"""Totals of groups that are held at a time: half a gigabyte."""

FEW_ROWS = 64
"""Rows up to which a row of ones sums the columns of the other operand on the way."""


def matmul(
    x: Any,
    w: QTensor,
    *,
    x_spec: QuantSpec | Statistics | None = None,
    bias: Any = None,
    activation: Callable[[Any], Any] | None = None,
    out_spec: QuantSpec | Statistics | None = None,
    out_scale: Any = None,
    out_zero_point: Any = None,
) -> Any:
    """Multiply quantized matrices: integers, summed exactly in int32.

    **Meaning**, with the zero points and scales of x (`za`, `sa`) and w (`zb`, `sb`)::

        total = np.matmul(x.codes - za, w.codes - zb)  # exact, int32
        out = activation(total * (sa * sb) + bias)

    and with scales for the result, of the spec `out_spec`::

        steps = total * (sa * sb / out_scale)  # without bias and activation
        steps = out / out_scale  # with one of them
        codes = np.clip(np.rint(steps) + out_zero_point, lowest, highest)

    This is the product of the dequantized numbers, without rounding until the sum is
    complete. Where float32 holds those numbers' products and sums (below 2**24 steps,
    scales that are powers of two), `fake_quant(x) @ fake_quant(w)` is the same to the
    last bit. Where w has a scale for each group of the summed axis, the groups' totals
    are scaled and added in float32.

    Integers have no gradient: none flows to x here. Train with `fake_quant`.

    Args:
        x: a `QTensor` or a floating array, of shape (..., m, k) or (k,). Its scales do
            not vary along k.
        w: a `QTensor` of shape (k, n), or with the leading axes of x. Codes of 3 and 4
            bits that are packed along k stay packed.
        x_spec: how a floating x is quantized: statistics of calibration, or a spec
            (the range is then that of this x). By default unsigned, asymmetric 8 bits.
        bias: floating array that broadcasts to the result, or None.
        activation: a function of arrays, or None.
        out_spec: how the result is quantized: statistics of calibration, or a spec.
        out_scale: scales of the result, for a spec; without them its range gives them.
        out_zero_point: their zero points, of asymmetric specs.

    Returns:
        Array of shape (..., m, n) or (n,), float32 (float64 where scales are); with
        `out_spec` a `QTensor`.

    Raises:
        ShapeError: when shapes do not fit, scales vary along k, or k is so large that
            int32 may overflow.
        UserError: when x_spec is given for an x that is quantized already, or scales
            of the result without out_spec.

    Example:
        >>> import rxcore as rx
        >>> from rxcore import quant
        >>> w = quant.quantize(rx.asarray([[1.27], [0.5]]), quant.QuantSpec(axis=1))
        >>> quant.matmul(rx.asarray([[2.0, 5.1]]), w)
        Array([[5.0899...]], dtype=float32)

    Paper: Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", 2018.
    """
    call = "quant.matmul"
    if not isinstance(w, QTensor):
        raise errors.UserError(
            f"{call}: expected w to be a QTensor, got {type(w).__name__}; rx.quantize"
            " makes one"
        )
    if isinstance(x, QTensor):
        if x_spec is not None:
            raise errors.UserError(
                f"{call}: x is quantized already, so x_spec has no use; drop it"
            )
    else:
        x = floating(x, call)
        if x_spec is None:
            x_spec = QuantSpec(signed=False, symmetric=False, profile=w.spec.profile)
    _check_shapes(x.shape, w, call)
    if x_spec is not None:
        x = quantize(x, x_spec)
    if x.scale.shape and x.scale.shape[-1] != 1:
        raise errors.ShapeError(
            f"{call}: x has scales of shape {x.scale.shape}, which vary along the"
            " summed axis (the last); give it one scale, or one for each row"
        )
    _check_room(x.spec, w.spec, x.shape[-1], call)
    shape = (*x.shape[:-1], w.shape[-1])
    if bias is not None:
        bias = _fitting(as_numeric(bias, call), shape, call)
    if activation is not None and not callable(activation):
        raise errors.UserError(
            f"{call}: activation={activation!r}; expected a function of arrays, such as"
            " rx.nn.relu"
        )
    made = _result(out_spec, out_scale, out_zero_point, shape)
    spec, out_scale, out_zero_point = made
    return _multiplied(
        x, w, bias, out_scale, out_zero_point, activation=activation, out_spec=spec
    )


def _fitting(bias: Any, shape: tuple[int, ...], call: str) -> Any:
    """Return a bias that broadcasts to the result."""
    pairs = zip(bias.shape[::-1], shape[::-1], strict=False)
    if bias.ndim > len(shape) or any(n not in (1, m) for n, m in pairs):
        raise errors.ShapeError(
            f"{call}: bias has shape {bias.shape}, which does not broadcast to the"
            f" result's {shape}; give it one number for each column: {shape[-1:]}"
        )
    return bias


def _result(
    spec: Any, scale: Any, zero_point: Any, shape: tuple[int, ...]
) -> tuple[QuantSpec | None, Any, Any]:
    """Return spec, scales and zero points of the result."""
    call = "quant.matmul"
    if spec is None:
        if scale is not None or zero_point is not None:
            raise errors.UserError(
                f"{call}: out_scale and out_zero_point need out_spec, which says how"
                " the result is quantized"
            )
        return None, None, None
    if not isinstance(spec, QuantSpec):
        spec, scale, zero_point = of_statistics(spec, scale, zero_point, call)
    if scale is None:
        return spec, None, None
    return spec, *given_scale(grid_of(spec, shape, call), scale, zero_point, spec, call)


def _check_shapes(shape: tuple[int, ...], w: QTensor, call: str) -> None:
    shared = w.ndim == 2
    fits = len(shape) >= 1 and w.ndim >= 2 and shape[-1] == w.shape[-2]
    if not (fits and (shared or w.shape[:-2] == shape[:-2])):
        raise errors.ShapeError(
            f"{call}: expected x (..., m, k) and w (k, n), or w with the leading axes"
            f" of x; got shapes {shape} and {w.shape}"
        )
    groups, k = w.scale.shape[-2], w.shape[-2]
    if groups > 1 and w.ndim > 2:
        raise errors.ShapeError(
            f"{call}: w (shape {w.shape}) has scales for groups of the summed axis and"
            " leading axes; map over those: rx.vmap(quant.matmul)"
        )
    if groups == k > 1:
        raise errors.ShapeError(
            f"{call}: w (shape {w.shape}) has a scale for each element of the summed"
            " axis (the last but one), so integers cannot be summed; quantize it with"
            " axis=-1, or in groups: block_size=(32, 1)"
        )


def _reach(spec: QuantSpec) -> int:
    """Return the largest magnitude of a code without its zero point."""
    if spec.zero_point == "float":
        return max(-spec.lowest, spec.highest)
    if not spec.symmetric:
        return spec.highest - spec.lowest
    return max(spec.center - spec.lowest, spec.highest - spec.center)


def _check_room(a: QuantSpec, b: QuantSpec, k: int, call: str) -> None:
    most = ((1 << 31) - 1) // (_reach(a) * _reach(b))
    if k > most:
        raise errors.ShapeError(
            f"{call}: k={k} may overflow int32; with these specs k is at most {most}."
            " Split the product and add the parts"
        )


@frozen
class _Operand:
    """An operand as the integer product takes it.

    Args:
        codes: the codes; on the right int8, or packed ones as they are.
        scale: broadcasts to the product, or to one of its groups.
        zero: zero points, int32 or floating, in the shape of scale; an int; or None.
        packed: whether codes are two to a byte along the summed axis.
        signed: whether packed codes are.
    """

    codes: Any
    scale: Any
    zero: Any
    packed: bool = False
    signed: bool = True

    @property
    def arrays(self) -> tuple[Any, Any]:
        """The scale, and the zero points where they are an array."""
        return self.scale, None if isinstance(self.zero, int) else self.zero


def _operand(q: QTensor, *, right: bool) -> _Operand:
    """Return a quantized array, its scales spread over all axes but the summed one."""
    spec, dtype = q.spec, q.dtype
    summed = q.ndim - (2 if right else 1)
    shape = tuple(1 if d == summed else n for d, n in enumerate(q.shape))
    if right:
        shape = (*shape[:-2], q.scale.shape[-2], shape[-1])
    scale = spread(convert(q.scale, dtype), shape, spec)
    zero: Any = spec.center or None
    if q.zero_point is not None:
        kind = dtypes.int32 if spec.zero_point == "int" else dtype
        zero = spread(convert(q.zero_point, kind), shape, spec)
    if right and q.packed is not None and q.packed[0] == -2 and spec.bits > 2:
        return _Operand(q.codes, scale, zero, True, spec.signed)
    codes = q.unpacked()
    if right and not spec.signed:
        if spec.bits == 8:
            # Codes and zero points move down by 128 together.
            codes = bitcast(codes ^ 128, dtypes.int8)
            zero = (0 if zero is None else zero) - 128
        else:
            codes = convert(codes, dtypes.int8)
    return _Operand(codes, scale, zero)


@jit(static_argnames=("activation", "out_spec"))  # type: ignore[untyped-decorator]
def _multiplied(
    x: QTensor,
    w: QTensor,
    bias: Any,
    out_scale: Any,
    out_zero: Any,
    *,
    activation: Any,
    out_spec: QuantSpec | None,
) -> Any:
    a, b = _operand(x, right=False), _operand(w, right=True)
    shape = (*x.shape[:-1], w.shape[-1])
    if x.ndim == 1:
        a = _moved(a, lambda v: reshape(v, (1, *v.shape)))
    k, grouped = x.shape[-1], w.scale.shape[-2] > 1
    plain = bias is None and activation is None and not grouped
    if out_spec is not None and out_scale is not None and plain:
        # The steps of the result, from the exact total in one multiplication.
        wide = Layout.of(shape, out_scale.shape, out_spec).spread(out_scale)
        steps = _total(a, b, k) * (a.scale * b.scale / wide)
        steps = reshape(steps, shape)
        q = coded(steps, rnp.ones_like(out_scale), out_zero, out_spec)
        return attrs.evolve(q, scale=marked(steps, out_scale, out_spec))
    out = _grouped(a, b, k, w) if grouped else _total(a, b, k) * (a.scale * b.scale)
    out = reshape(out, shape)
    if bias is not None:
        out = out + bias
    if activation is not None:
        out = activation(out)
    if out_spec is None:
        return out
    if out_scale is None:
        return quantize(out, out_spec)
    q = coded(out, out_scale, out_zero, out_spec)
    return attrs.evolve(q, scale=marked(out, out_scale, out_spec))


def _moved(operand: _Operand, how: Callable[[Any], Any]) -> _Operand:
    """Apply a function to codes, scale and zero points."""
    scale, zero = operand.arrays
    return attrs.evolve(
        operand,
        codes=how(operand.codes),
        scale=how(scale),
        zero=operand.zero if zero is None else how(zero),
    )


def _total(a: _Operand, b: _Operand, k: Any) -> Any:
    """Return the sums of products, zero points taken off, as floats.

    Args:
        a: codes of shape (..., m, k).
        b: codes of shape (..., k, n).
        k: how many products a sum has; an array where groups differ.
    """
    packed = 4 if b.packed else None
    left, m = a.codes, a.codes.shape[-2]
    columns = None
    along = a.zero is not None and (m <= FEW_ROWS or b.packed)
    if along:
        # The sums of columns, from one reading of them.
        ones = rnp.ones((*left.shape[:-2], 1, left.shape[-1]), left.dtype)
        left = concatenate([left, ones], axis=-2)
    sums = integer_matmul(left, b.codes, packed=packed, signed=b.signed)
    if along:
        sums, columns = sums[..., :m, :], sums[..., m:, :]
    elif a.zero is not None:
        columns = rnp.sum(convert(b.codes, dtypes.int32), axis=-2, keepdims=True)
    dtype = rnp.result_type(a.scale, b.scale)
    kinds = [z.dtype for z in (a.zero, b.zero) if hasattr(z, "dtype")]
    if any(dtypes.is_float(d) for d in kinds):
        sums = convert(sums, dtype)
    if a.zero is not None:
        sums = sums - a.zero * columns
    if b.zero is not None:
        rows = rnp.sum(convert(a.codes, dtypes.int32), axis=-1, keepdims=True)
        sums = sums - b.zero * rows
        if a.zero is not None:
            sums = sums + k * (a.zero * b.zero)
    return convert(sums, dtype)


def _grouped(a: _Operand, b: _Operand, k: int, w: QTensor) -> Any:
    """Return the sums of groups, scaled and added: (m, n)."""
    m, n, groups = math.prod(a.codes.shape[:-1]), w.shape[-1], w.scale.shape[-2]
    a, b, lengths = _in_groups(a, b, k, w)
    rows = max(1, MOST_TOTALS // (groups * n))
    parts = []
    for first in range(0, m, rows):
        part = a if rows >= m else _moved(a, _rows_from(first, rows))
        totals = _total(part, b, lengths) * (part.scale * b.scale)
        parts.append(rnp.sum(totals, axis=0))
    return concatenate(parts, axis=0)


def _rows_from(first: int, count: int) -> Callable[[Any], Any]:
    return lambda v: v[:, first : first + count]


def _in_groups(
    a: _Operand, b: _Operand, k: int, w: QTensor
) -> tuple[_Operand, _Operand, Any]:
    """Cut the summed axis into groups, which become the first axis.

    Returns:
        Operands with codes (groups, m, length) and (groups, length, n), and how many
        elements each group has.
    """
    assert w.spec.block_size is not None
    groups, length = w.scale.shape[-2], w.spec.block_size[-2]
    m = math.prod(a.codes.shape[:-1])
    lead = a.codes.shape[:-1]

    def flat(v: Any) -> Any:
        return reshape(broadcast_to(v, (*lead, 1)), (1, m, 1))

    left = pad(reshape(a.codes, (m, k)), 0, [(0, 0), (0, groups * length - k)])
    left = transpose(reshape(left, (m, groups, length)), (1, 0, 2))
    scale, zero = a.arrays
    a = _Operand(left, flat(scale), a.zero if zero is None else flat(zero))
    if b.packed and length % 2:
        codes = unpack(b.codes, 4, -2, k, b.signed)
        b = attrs.evolve(b, codes=convert(codes, dtypes.int8), packed=False)
    rows = length // (1 + b.packed)
    n, stored = b.codes.shape[-1], b.codes.shape[-2]
    right = pad(b.codes, 0, [(0, groups * rows - stored), (0, 0)])
    right = reshape(right, (groups, rows, n))
    scale, zero = b.arrays
    b = attrs.evolve(
        b,
        codes=right,
        scale=rnp.expand_dims(scale, 1),
        zero=b.zero if zero is None else rnp.expand_dims(zero, 1),
    )
    if groups * length == k:
        return a, b, length
    lengths = [length] * (groups - 1) + [k - (groups - 1) * length]
    return a, b, rnp.asarray(lengths).reshape((groups, 1, 1))
