"""Powers: pow, and powers by integers known in advance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rxcore.base import dtypes, errors
from rxcore.base.dtypes import DType
from rxcore.ir.primitive import REGISTRY, Primitive
from rxcore.loops import math, scalar
from rxcore.loops.scalar import Term
from rxcore.ops.compare import eq, select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import mul, sub
from rxcore.ops.families import apply_elementwise, elementwise
from rxcore.ops.samples import SHAPES, Case, Samples, draw
from rxcore.trace.bind import as_numeric

__all__ = ["integer_pow", "pow_", "square"]


def _integer_powers(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    inexact = dtypes.is_inexact(dtype)
    for n in (0, 1, 2, 3, 7, -1, -3) if inexact else (0, 1, 2, 3, 7):
        x = draw(rng, dtype, (3, 4), 0.5, 2) if inexact else draw(rng, dtype, (3, 4))
        yield (x,), {"n": n}
    for shape in SHAPES:
        yield (draw(rng, dtype, shape),), {"n": 2}


def _integer_pow_partial(t: Any, out: Any, x: Any, *, n: int) -> Any:
    if n == 0:
        return None
    return t if n == 1 else mul(t, mul(n, integer_pow(x, n=n - 1)))


def _integer_pow_call(x: Any, *, n: int) -> Any:
    x = as_numeric(x, "integer_pow")
    if dtypes.is_bool(x.dtype):
        x = convert(x, dtypes.default_int())
    if n < 0 and not dtypes.is_inexact(x.dtype):
        raise errors.DTypeError(
            f"integer_pow: {x.dtype.name} (shape {x.shape}) to the power {n} is no"
            " integer; convert it with .astype(...) to a floating dtype first"
        )
    return x if n == 1 else apply_elementwise(integer_pow, x, n=n)


integer_pow: Primitive = elementwise(
    "integer_pow",
    lambda x, *, n: math.int_pow(x, n),
    reference=lambda x, *, n: np.power(x, np.asarray(n, x.dtype)),
    types=dtypes.NUMBERS,
    partials=(_integer_pow_partial,),
    samples=Samples(dtypes.NUMBERS, _integer_powers, 16),
    call=_integer_pow_call,
    document="Return x**n for an integer n known in advance: `integer_pow(x, n=n)`.",
)


def square(x: Any) -> Any:
    """Return x * x.

    **Meaning**: `x * x`

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.power import square
        >>> square(rx.asarray([1, -3]))
        Array([1, 9], dtype=int32)
    """
    return integer_pow(x, n=2)


# pow --------------------------------------------------------------------------------


def _pow_scalar(x: Term, y: Term) -> Term:
    if dtypes.is_float(x.dtype):
        return math.pow(x, y)
    signed = dtypes.is_signed(x.dtype)
    result, power, rest = x.constant(1), x, y
    for _ in range(x.dtype.itemsize * 8 - signed):
        result = result * scalar.select((rest & 1) != 0, power, 1)
        power = power * power
        rest = rest >> 1
    if not signed:
        return result
    # 1 / x**-y, truncated: only 1 and -1 leave something.
    sign = scalar.select((y & 1) != 0, x, x.constant(1))
    unit = scalar.select(x == 1, x.constant(1), scalar.select(x == -1, sign, 0))
    return scalar.select(y < 0, unit, result)


def _pow_reference(x: Any, y: Any) -> Any:
    if not dtypes.is_signed(x.dtype):
        return np.power(x, y)
    result = np.power(x, np.maximum(y, 0))
    unit = np.where(x == -1, np.where(y & 1, -1, 1), x == 1)
    return np.where(y < 0, unit, result).astype(x.dtype)


def _powers(dtype: DType, rng: np.random.Generator) -> Iterator[Case]:
    low = -4 if not dtypes.is_float(dtype) else 0.1
    for shape in SHAPES:
        yield (draw(rng, dtype, shape, low, 4), draw(rng, dtype, shape, -3, 3)), {}
    yield (draw(rng, dtype, (), low, 4), draw(rng, dtype, (4,), -3, 3)), {}
    yield (draw(rng, dtype, (4,), low, 4), draw(rng, dtype, (), -3, 3)), {}


def _base_partial(t: Any, out: Any, x: Any, y: Any) -> Any:
    # x**0 is 1 for every x, 0 included.
    still = eq(y, 0)
    slope = mul(y, pow_(x, select(still, 1, sub(y, 1))))
    return mul(t, select(still, 0, slope))


def _exponent_partial(t: Any, out: Any, x: Any, y: Any) -> Any:
    logarithm = REGISTRY["log"](select(eq(x, 0), 1, x))
    return mul(t, mul(logarithm, out))


def _pow_call(x: Any, y: Any) -> Any:
    if type(y) is int:
        return integer_pow(x, n=y)
    if type(y) is float and y in (-1.0, 0.5, 1.0, 2.0, 3.0):
        x = as_numeric(x, "pow")
        if not dtypes.is_inexact(x.dtype):
            x = convert(x, dtypes.to_inexact(x.dtype))
        return REGISTRY["sqrt"](x) if y == 0.5 else integer_pow(x, n=int(y))
    return apply_elementwise(pow_, x, y)


pow_: Primitive = elementwise(
    "pow",
    _pow_scalar,
    reference=_pow_reference,
    types=dtypes.NUMBERS,
    partials=(_base_partial, _exponent_partial),
    operator=("__pow__", "__rpow__"),
    samples=Samples(dtypes.NUMBERS, _powers, 8),
    call=_pow_call,
    document="Return x**y; a negative power of an integer is truncated.",
)
