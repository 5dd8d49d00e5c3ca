"""Elementwise ops on size and sign: abs, sign, copysign, extremes, clamp, hypot."""

from __future__ import annotations

import math as numbers
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.ir.primitive import Primitive
from rxcore.loops import math, scalar
from rxcore.loops.scalar import Term
from rxcore.ops.compare import eq, ge, gt, le, lt, select
from rxcore.ops.complex_parts import conj, real
from rxcore.ops.elementwise import div, mul, sub
from rxcore.ops.families import elementwise

__all__ = [
    "abs_",
    "clamp",
    "copysign",
    "hypot",
    "maximum",
    "minimum",
    "nextafter",
    "sign",
]


def _sign_scalar(x: Term) -> Term:
    one = scalar.select(x > 0, x.constant(1), 0)
    if not dtypes.is_float(x.dtype):
        if not dtypes.is_signed(x.dtype):
            return one
        return scalar.select(x < 0, x.constant(-1), one)
    signed = scalar.select(x < 0, x.constant(-1), one)
    return scalar.select(x != x, x, signed)


sign: Primitive = elementwise(
    "sign",
    _sign_scalar,
    reference=np.sign,
    types=dtypes.NUMBERS,
    # A complex sign x / |x| turns with x; its derivative is not zero.
    partials=(lambda t, out, x: _sign_partial(t, out, x),),
    tolerance=0,
    document="Return -1, 0 or 1 by the sign of x; x / |x| of complex numbers.",
)


def _sign_partial(t: Any, out: Any, x: Any) -> Any:
    if not dtypes.is_complex(x.dtype):
        return None
    size = abs_(x)
    safe = select(eq(size, 0), 1, size)
    along = real(mul(t, conj(out)))
    return div(sub(t, mul(out, along)), safe)


def _abs_scalar(x: Term) -> Term:
    return x if x.dtype in dtypes.UNSIGNED else abs(x)


def _abs_partial(t: Any, out: Any, x: Any) -> Any:
    if dtypes.is_complex(x.dtype):
        return real(mul(t, conj(sign(x))))
    return mul(t, sign(x))


abs_: Primitive = elementwise(
    "abs",
    _abs_scalar,
    reference=np.abs,
    types=dtypes.NUMBERS,
    result=dtypes.real_part,
    partials=(_abs_partial,),
    operator=("__abs__",),
    tolerance=0,
    document="Return |x|.",
)


def _copysign_scalar(x: Term, y: Term) -> Term:
    kind = dtypes.uint64 if x.dtype == dtypes.float64 else dtypes.uint32
    top = 1 << (kind.itemsize * 8 - 1)
    size = scalar.bitcast(x, kind) & (top - 1)
    return scalar.bitcast(size | (scalar.bitcast(y, kind) & top), x.dtype)


copysign: Primitive = elementwise(
    "copysign",
    _copysign_scalar,
    reference=np.copysign,
    types=dtypes.FLOATS,
    floating=True,
    partials=(lambda t, out, x, y: mul(t, mul(sign(x), copysign(1, y))), None),
    tolerance=0,
    document="Return |x| with the sign of y.",
)

# extremes ---------------------------------------------------------------------------


def share(t: Any, wins: Any, ties: Any) -> Any:
    """Return t where an operand wins, half of it where both are equal, else 0."""
    return select(wins, t, select(ties, mul(t, 0.5), 0))


def _extreme(name: str, reference: Any, beats: Any, join: str, document: str) -> Any:
    def function(x: Term, y: Term) -> Term:
        if dtypes.is_bool(x.dtype):
            return x & y if join == "min" else x | y
        return x.emit(join, y)

    return elementwise(
        name,
        function,
        reference=reference,
        types=(dtypes.bool_, *dtypes.REAL),
        partials=(
            lambda t, out, x, y: share(t, beats(x, y), eq(x, y)),
            lambda t, out, x, y: share(t, beats(y, x), eq(x, y)),
        ),
        commutes=True,
        tolerance=0,
        document=document,
    )


maximum: Primitive = _extreme(
    "maximum", np.maximum, gt, "max", "Return the larger of x and y; NaN if one is."
)
minimum: Primitive = _extreme(
    "minimum", np.minimum, lt, "min", "Return the smaller of x and y; NaN if one is."
)


def _clamp_scalar(low: Term, x: Term, high: Term) -> Term:
    return scalar.minimum(scalar.maximum(x, low), high)


def _clamp_inside(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return select(ge(x, low), select(le(x, high), t, 0), 0)


def _clamp_low(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return select(lt(x, low), select(lt(low, high), t, 0), 0)


def _clamp_high(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return select(gt(maximum(x, low), high), t, 0)


clamp: Primitive = elementwise(
    "clamp",
    _clamp_scalar,
    reference=lambda low, x, high: np.minimum(np.maximum(x, low), high),
    types=dtypes.REAL,
    partials=(_clamp_low, _clamp_inside, _clamp_high),
    tolerance=0,
    document="Limit x to [low, high]: `clamp(low, x, high)`; `high` wins.",
)

hypot: Primitive = elementwise(
    "hypot",
    math.hypot,
    reference=np.hypot,
    types=dtypes.FLOATS,
    floating=True,
    partials=(
        lambda t, out, x, y: mul(t, _ratio(x, out)),
        lambda t, out, x, y: mul(t, _ratio(y, out)),
    ),
    document="Return sqrt(x**2 + y**2) without overflow.",
)


def _ratio(x: Any, out: Any) -> Any:
    return div(x, select(eq(out, 0), 1, out))


# nextafter --------------------------------------------------------------------------


def _nextafter_half(x: Term, y: Term) -> Term:
    a, b = scalar.cast(x, dtypes.float32), scalar.cast(y, dtypes.float32)
    bits = scalar.cast(scalar.bitcast(x, dtypes.uint16), dtypes.int32)
    away = (a < b) ^ (a < 0.0)
    moved = scalar.select(away, bits + 1, bits - 1)
    sign_bit = scalar.bitcast(y, dtypes.uint16) & 0x8000
    first = scalar.cast(sign_bit, dtypes.int32) | 1
    moved = scalar.select(a == 0.0, first, moved)
    result = scalar.bitcast(scalar.cast(moved, dtypes.uint16), x.dtype)
    result = scalar.select(a == b, y, result)
    bad = (a != a) | (b != b)
    nan = scalar.cast(a.constant(numbers.nan), x.dtype)
    return scalar.select(bad, nan, result)


def _nextafter_scalar(x: Term, y: Term) -> Term:
    if x.dtype in dtypes.HALVES:
        return _nextafter_half(x, y)
    return math.nextafter(x, y)


nextafter: Primitive = elementwise(
    "nextafter",
    _nextafter_scalar,
    reference=np.nextafter,
    types=dtypes.FLOATS,
    floating=True,
    halves=True,
    partials=(lambda t, out, x, y: t, None),
    tolerance=0,
    document="Return the number next to x in the direction of y.",
)
