"""Elementwise arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.base.dtypes import DType
from rxcore.ir.graph import Literal
from rxcore.ir.operators import attach
from rxcore.ir.primitive import Primitive
from rxcore.loops import scalar
from rxcore.loops.scalar import Term
from rxcore.ops.families import Linear, elementwise, unbroadcast
from rxcore.ops.samples import SHAPES, Case, Samples, draw

__all__ = [
    "add",
    "div",
    "floor_divide",
    "fmod",
    "mul",
    "neg",
    "reciprocal",
    "remainder",
    "sub",
]

INEXACT = (*dtypes.FLOATS, *dtypes.COMPLEX)

# Rewrites keep every bit, signed zeros included ---------------------------------------


def literal_number(o: Any) -> Any:
    """Return the number of a literal operand, None of any other or of a bool."""
    found = isinstance(o, Literal) and not dtypes.is_bool(o.type.dtype)
    return o.value if found else None


def _negated(o: Any, made_by: Any) -> Any:
    """Return y where an operand is -y, else None."""
    maker = made_by(o)
    return maker.inputs[0] if maker is not None and maker.primitive is neg else None


def _neg_simplify(e: Any, made_by: Any) -> Any:
    return _negated(e.inputs[0], made_by)


def _add_simplify(e: Any, made_by: Any) -> Any:
    for this, other in (e.inputs, e.inputs[::-1]):
        added = literal_number(other)
        exact = dtypes.is_integer(e.outputs[0].type.dtype)
        # x + 0.0 is x but for x = -0.0; x + -0.0 always is.
        if added == 0 and (exact or repr(added) == "-0.0"):
            return this
        y = _negated(this, made_by)
        if y is not None:
            return sub, (other, y), {}
    return None


def _sub_simplify(e: Any, made_by: Any) -> Any:
    x, y = e.inputs
    taken = literal_number(y)
    if taken == 0 and repr(taken) != "-0.0" and not isinstance(taken, complex):
        return x
    z = _negated(y, made_by)
    return None if z is None else (add, (x, z), {})


def _mul_simplify(e: Any, made_by: Any) -> Any:
    del made_by
    for this, other in (e.inputs, e.inputs[::-1]):
        factor = literal_number(other)
        if isinstance(factor, complex):
            continue
        if factor == 1:
            return this
        if factor == -1:
            return neg, (this,), {}
    return None


def _div_simplify(e: Any, made_by: Any) -> Any:
    del made_by
    x, y = e.inputs
    # No division becomes a product here: a divisor that is a power of two for one
    # batch size and not for the next would make two kernels of one.
    return x if literal_number(y) == 1 else None


def _sum_transpose(sign: int) -> Any:
    def transpose(ct: Any, x: Any, y: Any) -> Any:
        second = ct if sign > 0 else neg(ct)
        return [
            unbroadcast(ct, x.type) if isinstance(x, Linear) else None,
            unbroadcast(second, y.type) if isinstance(y, Linear) else None,
        ]

    return transpose


neg: Primitive = elementwise(
    "neg",
    lambda x: -x,
    reference=np.negative,
    types=dtypes.NUMBERS,
    partials=(lambda t, out, x: neg(t),),
    transpose=lambda ct, x: [neg(ct)],
    operator=("__neg__",),
    tolerance=0,
    simplify=_neg_simplify,
    document="Return -x.",
)

add: Primitive = elementwise(
    "add",
    lambda x, y: x | y if dtypes.is_bool(x.dtype) else x + y,
    reference=np.add,
    types=dtypes.ALL,
    partials=(lambda t, out, x, y: t, lambda t, out, x, y: t),
    transpose=_sum_transpose(1),
    operator=("__add__", "__radd__"),
    commutes=True,
    tolerance=0,
    simplify=_add_simplify,
    document="Return x + y.",
)

sub: Primitive = elementwise(
    "sub",
    lambda x, y: x - y,
    reference=np.subtract,
    types=dtypes.NUMBERS,
    partials=(lambda t, out, x, y: t, lambda t, out, x, y: neg(t)),
    transpose=_sum_transpose(-1),
    operator=("__sub__", "__rsub__"),
    tolerance=0,
    simplify=_sub_simplify,
    document="Return x - y.",
)


def _mul_scalar(x: Term, y: Term) -> Term:
    return x & y if dtypes.is_bool(x.dtype) else x * y


def _mul_transpose(ct: Any, x: Any, y: Any) -> Any:
    if isinstance(x, Linear):
        return [unbroadcast(mul(ct, y), x.type), None]
    return [None, unbroadcast(mul(x, ct), y.type)]


mul: Primitive = elementwise(
    "mul",
    _mul_scalar,
    reference=np.multiply,
    types=dtypes.ALL,
    partials=(lambda t, out, x, y: mul(t, y), lambda t, out, x, y: mul(x, t)),
    transpose=_mul_transpose,
    operator=("__mul__", "__rmul__"),
    commutes=True,
    tolerance=0,
    simplify=_mul_simplify,
    document="Return x * y.",
)

# division ---------------------------------------------------------------------------

div: Primitive = elementwise(
    "div",
    lambda x, y: x / y,
    reference=np.divide,
    types=INEXACT,
    floating=True,
    partials=(
        lambda t, out, x, y: div(t, y),
        lambda t, out, x, y: neg(mul(t, div(out, y))),
    ),
    transpose=lambda ct, x, y: [unbroadcast(div(ct, y), x.type), None],
    operator=("__truediv__", "__rtruediv__"),
    tolerance=0,
    simplify=_div_simplify,
    document="Return x / y; integers are converted to floating first.",
)


def reciprocal(x: Any) -> Any:
    """Return 1 / x; integers are converted to floating first.

    **Meaning**: `1 / x`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.elementwise import reciprocal
        >>> reciprocal(rx.asarray([1.0, 4.0]))
        Array([1.  , 0.25], dtype=float32)
    """
    return div(1, x)


def _signs_differ(r: Term, y: Term) -> Term:
    return (r != 0) & ((r < 0) ^ (y < 0))


def _floor_divide_scalar(x: Term, y: Term) -> Term:
    if not dtypes.is_float(x.dtype):
        quotient = x.emit("quo", y)
        if not dtypes.is_signed(x.dtype):
            return quotient
        rest = x - quotient * y
        down = _signs_differ(rest, y) & (y != 0)
        return quotient - scalar.select(down, x.constant(1), 0)
    rest = x.emit("rem", y)
    quotient = (x - rest) / y
    quotient = quotient - scalar.select(_signs_differ(rest, y), x.constant(1.0), 0.0)
    # The quotient is within rounding of an integer: take the nearest.
    below = quotient.emit("floor")
    below = scalar.select(quotient - below > 0.5, below + 1.0, below)
    ratio = x / y
    result = scalar.select(quotient == 0.0, ratio * 0.0, below)
    return scalar.select(y == 0.0, ratio, result)


def _quotients(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    for shapes in (*zip(SHAPES, SHAPES, strict=True), ((), (4,)), ((4,), ())):
        x, y = (draw(rng, dtype, shape) for shape in shapes)
        if dtypes.is_float(dtype):
            # Near y = 0 the quotient jumps faster than differences can follow.
            y = np.asarray(np.where(y < 0, y - 1, y + 1), dtype)
        yield (x, y), {}


_QUOTIENTS = Samples(dtypes.REAL, _quotients, 0)

floor_divide: Primitive = elementwise(
    "floor_divide",
    _floor_divide_scalar,
    reference=np.floor_divide,
    types=dtypes.REAL,
    partials=(None, None),
    operator=("__floordiv__", "__rfloordiv__"),
    samples=_QUOTIENTS,
    document="Return the largest integer not above x / y; 0 for integers x // 0.",
)


def _remainder_scalar(x: Term, y: Term) -> Term:
    rest = x.emit("rem", y)
    if dtypes.is_float(x.dtype):
        moved = scalar.select(_signs_differ(rest, y), rest + y, rest)
        zero = scalar.select(y < 0.0, x.constant(-0.0), 0.0)
        return scalar.select((rest == 0.0) & (y != 0.0), zero, moved)
    if dtypes.is_signed(x.dtype):
        rest = scalar.select(_signs_differ(rest, y), rest + y, rest)
    return scalar.select(y == 0, x.constant(0), rest)


def _modulo_partial(t: Any, out: Any, x: Any, y: Any) -> Any:
    # out = x - n y, with n an integer.
    return neg(mul(t, round_(div(sub(x, out), y))))


remainder: Primitive = elementwise(
    "remainder",
    _remainder_scalar,
    reference=np.remainder,
    types=dtypes.REAL,
    partials=(lambda t, out, x, y: t, _modulo_partial),
    operator=("__mod__", "__rmod__"),
    samples=_QUOTIENTS,
    document="Return x - y * floor(x / y), of y's sign; 0 for integers x % 0.",
)


def _fmod_scalar(x: Term, y: Term) -> Term:
    rest = x.emit("rem", y)
    if dtypes.is_float(x.dtype):
        return rest
    return scalar.select(y == 0, x.constant(0), rest)


fmod: Primitive = elementwise(
    "fmod",
    _fmod_scalar,
    reference=np.fmod,
    types=dtypes.REAL,
    partials=(lambda t, out, x, y: t, _modulo_partial),
    samples=_QUOTIENTS,
    document="Return x - y * trunc(x / y), of x's sign; 0 for integers, y = 0.",
)


def divmod_(x: Any, y: Any) -> tuple[Any, Any]:
    """Return (x // y, x % y).

    **Meaning**: `np.divmod(x, y)`

    Example:
        >>> import rxcore as rx
        >>> divmod(rx.asarray(-7), 2)
        (Array(-4, dtype=int32), Array(1, dtype=int32))
    """
    return floor_divide(x, y), remainder(x, y)


attach(("__divmod__", "__rdivmod__"), divmod_, 2)

# rounding ---------------------------------------------------------------------------


def _rounding(
    name: str,
    reference: Any,
    document: str,
    operator: Any = (),
    types: tuple[DType, ...] = dtypes.REAL,
) -> Primitive:

    def function(x: Term) -> Term:
        return x.emit(name) if dtypes.is_float(x.dtype) else x

    def meaning(x: Any) -> Any:
        return x if dtypes.is_integer(x.dtype) else reference(x)

    return elementwise(
        name,
        function,
        reference=meaning,
        types=types,
        partials=(None,),
        operator=operator,
        tolerance=0,
        document=document,
    )


floor: Primitive = _rounding("floor", np.floor, "Return the largest integer <= x.")
ceil: Primitive = _rounding("ceil", np.ceil, "Return the smallest integer >= x.")
trunc: Primitive = _rounding("trunc", np.trunc, "Drop the fraction of x.")
round_: Primitive = _rounding(
    "round",
    np.rint,
    "Return the nearest integer, ties to even; of both parts of complex numbers.",
    ("__round__",),
    dtypes.NUMBERS,
)
__all__ += ["ceil", "floor", "round_", "trunc"]

attach(("__pos__",), lambda x: x, 1)
