"""Elementwise mathematical functions.

Integers are converted to floating first. Real numbers are computed by the scalar
expressions of `rxcore.loops.math`, complex ones by NumPy.
"""

from __future__ import annotations

import math as numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from rxcore.base import dtypes
from rxcore.ir.primitive import Primitive
from rxcore.loops import math
from rxcore.loops.scalar import Term
from rxcore.ops.compare import is_nan, select
from rxcore.ops.elementwise import add, div, mul, neg, reciprocal, sub
from rxcore.ops.families import elementwise, promote
from rxcore.ops.magnitude import abs_, maximum
from rxcore.ops.power import integer_pow, square

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "cos",
    "cosh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logistic",
    "rsqrt",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
]

INEXACT = (*dtypes.FLOATS, *dtypes.COMPLEX)


def _smooth(
    name: str,
    function: Callable[[Term], Term],
    reference: Any,
    derivative: Callable[[Any, Any, Any], Any],
    document: str,
    *,
    samples: tuple[float, float] = (-4.0, 4.0),
    types: Any = INEXACT,
    tolerance: float = 6,
) -> Primitive:
    return elementwise(
        name,
        function,
        reference=reference,
        types=types,
        floating=True,
        partials=(derivative,),
        samples=samples,
        tolerance=tolerance,
        document=document,
    )


# powers and exponentials ------------------------------------------------------------

sqrt: Primitive = _smooth(
    "sqrt",
    lambda x: x.emit("sqrt"),
    np.sqrt,
    lambda t, out, x: mul(t, div(0.5, out)),
    "Return the square root; NaN of negative numbers.",
    samples=(0.1, 9.0),
    tolerance=0,
)


def _rsqrt_reference(x: Any) -> Any:
    return np.asarray(1, x.dtype) / np.sqrt(x)


rsqrt: Primitive = _smooth(
    "rsqrt",
    math.rsqrt,
    _rsqrt_reference,
    lambda t, out, x: mul(t, mul(-0.5, div(out, x))),
    "Return 1 / sqrt(x).",
    samples=(0.1, 9.0),
)
cbrt: Primitive = _smooth(
    "cbrt",
    math.cbrt,
    np.cbrt,
    lambda t, out, x: mul(t, mul(1 / 3, integer_pow(out, n=-2))),
    "Return the real cube root.",
    types=dtypes.FLOATS,
)
exp: Primitive = _smooth(
    "exp", math.exp, np.exp, lambda t, out, x: mul(t, out), "Return e**x."
)
exp2: Primitive = _smooth(
    "exp2",
    math.exp2,
    np.exp2,
    lambda t, out, x: mul(t, mul(out, numbers.log(2))),
    "Return 2**x.",
)
expm1: Primitive = _smooth(
    "expm1",
    math.expm1,
    np.expm1,
    lambda t, out, x: mul(t, add(out, 1)),
    "Return e**x - 1, exact near 0.",
)
log: Primitive = _smooth(
    "log",
    math.log,
    np.log,
    lambda t, out, x: div(t, x),
    "Return the natural logarithm.",
    samples=(0.1, 9.0),
)
log2: Primitive = _smooth(
    "log2",
    math.log2,
    np.log2,
    lambda t, out, x: div(t, mul(x, numbers.log(2))),
    "Return the logarithm to base 2.",
    samples=(0.1, 9.0),
)
log10: Primitive = _smooth(
    "log10",
    math.log10,
    np.log10,
    lambda t, out, x: div(t, mul(x, numbers.log(10))),
    "Return the logarithm to base 10.",
    samples=(0.1, 9.0),
)
log1p: Primitive = _smooth(
    "log1p",
    math.log1p,
    np.log1p,
    lambda t, out, x: div(t, add(x, 1)),
    "Return log(1 + x), exact near 0.",
    samples=(-0.9, 4.0),
)


def _logistic_reference(x: Any) -> Any:
    one = np.asarray(1, x.dtype)
    return one / (one + np.exp(-x))


logistic: Primitive = _smooth(
    "logistic",
    math.logistic,
    _logistic_reference,
    lambda t, out, x: mul(t, mul(out, sub(1, out))),
    "Return 1 / (1 + e**-x).",
)

# trigonometry -----------------------------------------------------------------------

sin: Primitive = _smooth(
    "sin", math.sin, np.sin, lambda t, out, x: mul(t, cos(x)), "Return the sine."
)
cos: Primitive = _smooth(
    "cos",
    math.cos,
    np.cos,
    lambda t, out, x: neg(mul(t, sin(x))),
    "Return the cosine.",
)
tan: Primitive = _smooth(
    "tan",
    math.tan,
    np.tan,
    lambda t, out, x: mul(t, add(square(out), 1)),
    "Return the tangent.",
    samples=(-1.3, 1.3),
)
asin: Primitive = _smooth(
    "asin",
    math.asin,
    np.arcsin,
    lambda t, out, x: mul(t, rsqrt(_one_less_square(x))),
    "Return the angle in [-pi/2, pi/2] whose sine is x.",
    samples=(-0.95, 0.95),
)
acos: Primitive = _smooth(
    "acos",
    math.acos,
    np.arccos,
    lambda t, out, x: neg(mul(t, rsqrt(_one_less_square(x)))),
    "Return the angle in [0, pi] whose cosine is x.",
    samples=(-0.95, 0.95),
)
atan: Primitive = _smooth(
    "atan",
    math.atan,
    np.arctan,
    lambda t, out, x: div(t, add(square(x), 1)),
    "Return the angle in [-pi/2, pi/2] whose tangent is x.",
)


def _one_less_square(x: Any) -> Any:
    # 1 - x**2 without cancellation near the ends.
    return mul(sub(1, x), add(1, x))


def _atan2_partial(sign: int) -> Any:
    def partial(t: Any, out: Any, y: Any, x: Any) -> Any:
        other = x if sign > 0 else neg(y)
        return mul(t, div(other, add(square(x), square(y))))

    return partial


atan2: Primitive = elementwise(
    "atan2",
    math.atan2,
    reference=np.arctan2,
    types=dtypes.FLOATS,
    floating=True,
    partials=(_atan2_partial(1), _atan2_partial(-1)),
    tolerance=6,
    document="Return the angle of the point (x, y): `atan2(y, x)`, in [-pi, pi].",
)

# hyperbolic functions ---------------------------------------------------------------

sinh: Primitive = _smooth(
    "sinh",
    math.sinh,
    np.sinh,
    lambda t, out, x: mul(t, cosh(x)),
    "Return the hyperbolic sine.",
)
cosh: Primitive = _smooth(
    "cosh",
    math.cosh,
    np.cosh,
    lambda t, out, x: mul(t, sinh(x)),
    "Return the hyperbolic cosine.",
)
tanh: Primitive = _smooth(
    "tanh",
    math.tanh,
    np.tanh,
    lambda t, out, x: mul(t, sub(1, square(out))),
    "Return the hyperbolic tangent.",
)
asinh: Primitive = _smooth(
    "asinh",
    math.asinh,
    np.arcsinh,
    lambda t, out, x: mul(t, rsqrt(add(square(x), 1))),
    "Return the number whose hyperbolic sine is x.",
)
acosh: Primitive = _smooth(
    "acosh",
    math.acosh,
    np.arccosh,
    # Two roots, so that complex numbers stay on the branch of the function.
    lambda t, out, x: mul(t, mul(rsqrt(sub(x, 1)), rsqrt(add(x, 1)))),
    "Return the number >= 0 whose hyperbolic cosine is x.",
    samples=(1.1, 9.0),
)
atanh: Primitive = _smooth(
    "atanh",
    math.atanh,
    np.arctanh,
    lambda t, out, x: mul(div(t, sub(1, x)), reciprocal(add(1, x))),
    "Return the number whose hyperbolic tangent is x.",
    samples=(-0.95, 0.95),
)


def logaddexp(x: Any, y: Any) -> Any:
    """Return log(e**x + e**y) without overflow.

    **Meaning**: `np.logaddexp(x, y)`

    Args:
        x: array of real numbers; integers are converted to floating first.
        y: the same, of a shape that broadcasts with that of `x`.

    Returns:
        Array of a floating dtype and the broadcast shape.

    Raises:
        ShapeError: when the shapes do not broadcast together.

    Example:
        >>> import rxcore as rx
        >>> from rxcore.ops.mathematics import logaddexp
        >>> logaddexp(1000.0, rx.asarray([1000.0]))
        Array([1000.6932], dtype=float32)
    """
    x, y = promote((x, y), True, "logaddexp")
    top = maximum(x, y)
    gap = sub(x, y)
    # Equal infinities have no gap.
    gap = select(is_nan(gap), add(x, y), gap)
    return add(top, log1p(exp(neg(abs_(gap)))))
