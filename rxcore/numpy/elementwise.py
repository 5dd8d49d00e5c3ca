"""Functions of each element, under NumPy's names."""

from __future__ import annotations

import builtins
import math
from typing import Any

from rxcore.base import dtypes
from rxcore.numpy.dtypes import finfo
from rxcore.numpy.inputs import numeric, operand
from rxcore.numpy.naming import Function, binary, function
from rxcore.ops import compare, complex_parts, magnitude, mathematics
from rxcore.ops import elementwise as arithmetic
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import mul
from rxcore.ops.families import promote
from rxcore.ops.power import pow_
from rxcore.ops.power import square as square_

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "angle",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "around",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "clip",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "fix",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "hypot",
    "imag",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "maximum",
    "minimum",
    "mod",
    "multiply",
    "nan_to_num",
    "negative",
    "nextafter",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "real",
    "reciprocal",
    "remainder",
    "rint",
    "round",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
]

# arithmetic -------------------------------------------------------------------------

_I = "dtype=int32)"
_F = "dtype=float32)"

add = binary("add", arithmetic.add, "[1, 2], 3", f"Array([4, 5], {_I}")
subtract = binary("subtract", arithmetic.sub, "[1, 2], 3", f"Array([-2, -1], {_I}")
multiply = binary("multiply", arithmetic.mul, "[1, 2], 3", f"Array([3, 6], {_I}")
divide = binary("divide", arithmetic.div, "[1, 2], 4", f"Array([0.25, 0.5 ], {_F}")
true_divide = binary(
    "true_divide", arithmetic.div, "[1, 2], 4", f"Array([0.25, 0.5 ], {_F}"
)
floor_divide = binary(
    "floor_divide", arithmetic.floor_divide, "[-7, 7], 2", f"Array([-4,  3], {_I}"
)
remainder = binary(
    "remainder", arithmetic.remainder, "[-7, 7], 3", f"Array([2, 1], {_I}"
)
mod = binary("mod", arithmetic.remainder, "[-7, 7], 3", f"Array([2, 1], {_I}")
fmod = binary("fmod", arithmetic.fmod, "[-7, 7], 3", f"Array([-1,  1], {_I}")
power = binary("power", pow_, "[2, 3], 3", f"Array([ 8, 27], {_I}")
pow = binary("pow", pow_, "[2, 3], 3", f"Array([ 8, 27], {_I}")
negative = function("negative", arithmetic.neg, "[1, -2]", f"Array([-1,  2], {_I}")
positive = function(
    "positive",
    lambda x: numeric(x, "positive"),
    "[1, -2]",
    f"Array([ 1, -2], {_I}",
    "Return x.",
)
reciprocal = function(
    "reciprocal",
    arithmetic.reciprocal,
    "[2.0, 4.0]",
    f"Array([0.5 , 0.25], {_F}",
    "Return 1 / x; integers are converted to floating first.",
)
square = function("square", square_, "[1, -3]", f"Array([1, 9], {_I}", "Return x * x.")
_absolute: Any = magnitude.abs_
absolute = function("absolute", _absolute, "[-1.5, 2.0]", f"Array([1.5, 2. ], {_F}")
abs = function("abs", _absolute, "[-1.5, 2.0]", f"Array([1.5, 2. ], {_F}")
fabs = function(
    "fabs",
    lambda x: magnitude.abs_(_floating(x, "fabs")),
    "[-1, 2]",
    f"Array([1., 2.], {_F}",
    "Return |x| as a floating number.",
)
sign = function("sign", magnitude.sign, "[-5, 0, 2]", f"Array([-1,  0,  1], {_I}")
maximum = binary("maximum", magnitude.maximum, "[1, 5], 3", f"Array([3, 5], {_I}")
minimum = binary("minimum", magnitude.minimum, "[1, 5], 3", f"Array([1, 3], {_I}")
hypot = binary("hypot", magnitude.hypot, "3.0, [4.0]", f"Array([5.], {_F}")
copysign = binary(
    "copysign", magnitude.copysign, "[1.0, 2.0], -1.0", f"Array([-1., -2.], {_F}"
)
nextafter = binary(
    "nextafter", magnitude.nextafter, "[1.0], 2.0", f"Array([1.0000001], {_F}"
)


def _floating(x: Any, call: str) -> Any:
    found = numeric(x, call)
    return convert(found, dtypes.to_inexact(found.dtype))


def _skip_nan(op: Any, call: str) -> Function:
    def chosen(x: Any, y: Any) -> Any:
        a, b = promote((x, y), call=call)
        other = select(compare.is_nan(b), a, op(a, b))
        return select(compare.is_nan(a), b, other)

    return chosen


fmax = binary(
    "fmax",
    _skip_nan(magnitude.maximum, "fmax"),
    '[1.0, float("nan")], 3.0',
    f"Array([3., 3.], {_F}",
    "Return the larger of x and y; the other one where one is NaN.",
)
fmin = binary(
    "fmin",
    _skip_nan(magnitude.minimum, "fmin"),
    '[1.0, float("nan")], 3.0',
    f"Array([1., 3.], {_F}",
    "Return the smaller of x and y; the other one where one is NaN.",
)

# rounding ---------------------------------------------------------------------------

floor = function("floor", arithmetic.floor, "[-1.5, 1.5]", f"Array([-2.,  1.], {_F}")
ceil = function("ceil", arithmetic.ceil, "[-1.5, 1.5]", f"Array([-1.,  2.], {_F}")
trunc = function("trunc", arithmetic.trunc, "[-1.5, 1.5]", f"Array([-1.,  1.], {_F}")
fix = function("fix", arithmetic.trunc, "[-1.5, 1.5]", f"Array([-1.,  1.], {_F}")
rint = function(
    "rint",
    lambda x: arithmetic.round_(_floating(x, "rint")),
    "[0.5, 1.5]",
    f"Array([0., 2.], {_F}",
    "Return the nearest integer as a floating number, ties to even.",
)


def round(x: Any, decimals: int = 0) -> Any:
    """Round to a number of decimals, ties to even.

    **Meaning**: `np.round(x, decimals)`

    Args:
        x: array or number.
        decimals: how many digits to keep after the point; negative: before it.

    Returns:
        Array of the shape and dtype of `x`.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.round([1.234, 2.5], 1)
        Array([1.2, 2.5], dtype=float32)
    """
    found = numeric(x, "round")
    if dtypes.is_complex(found.dtype):
        parts = (round(part(found), decimals) for part in (real, imag))
        return complex_parts.complex_(*parts)
    exact = not dtypes.is_inexact(found.dtype)
    if decimals == 0 or (exact and decimals > 0):
        return found if exact else arithmetic.round_(found)
    wide = found
    if exact or found.dtype in dtypes.HALVES:
        wide = convert(found, dtypes.float64 if exact else dtypes.float32)
    scale = 10.0 ** builtins.abs(decimals)
    grow, shrink = (mul, arithmetic.div) if decimals > 0 else (arithmetic.div, mul)
    return convert(shrink(arithmetic.round_(grow(wide, scale)), scale), found.dtype)


around = round

# mathematical functions -------------------------------------------------------------

sqrt = function("sqrt", mathematics.sqrt, "[4.0, 9.0]", f"Array([2., 3.], {_F}")
cbrt = function("cbrt", mathematics.cbrt, "[1.0, 0.0]", f"Array([1., 0.], {_F}")
exp = function("exp", mathematics.exp, "[0.0]", f"Array([1.], {_F}")
exp2 = function("exp2", mathematics.exp2, "[0.0, 3.0]", f"Array([1., 8.], {_F}")
expm1 = function("expm1", mathematics.expm1, "[0.0]", f"Array([0.], {_F}")
log = function("log", mathematics.log, "[1.0, 0.0]", f"Array([  0., -inf], {_F}")
log2 = function("log2", mathematics.log2, "[1.0, 8.0]", f"Array([0., 3.], {_F}")
log10 = function("log10", mathematics.log10, "[1.0]", f"Array([0.], {_F}")
log1p = function("log1p", mathematics.log1p, "[0.0]", f"Array([0.], {_F}")
logaddexp = binary(
    "logaddexp",
    mathematics.logaddexp,
    '[1000.0], float("-inf")',
    f"Array([1000.], {_F}",
    "Return log(e**x + e**y) without overflow.",
)
sin = function("sin", mathematics.sin, "[0.0]", f"Array([0.], {_F}")
cos = function("cos", mathematics.cos, "[0.0]", f"Array([1.], {_F}")
tan = function("tan", mathematics.tan, "[0.0]", f"Array([0.], {_F}")
arcsin = function("arcsin", mathematics.asin, "[0.0]", f"Array([0.], {_F}")
arccos = function("arccos", mathematics.acos, "[1.0]", f"Array([0.], {_F}")
arctan = function("arctan", mathematics.atan, "[0.0]", f"Array([0.], {_F}")
sinh = function("sinh", mathematics.sinh, "[0.0]", f"Array([0.], {_F}")
cosh = function("cosh", mathematics.cosh, "[0.0]", f"Array([1.], {_F}")
tanh = function("tanh", mathematics.tanh, "[0.0]", f"Array([0.], {_F}")
arcsinh = function("arcsinh", mathematics.asinh, "[0.0]", f"Array([0.], {_F}")
arccosh = function("arccosh", mathematics.acosh, "[1.0]", f"Array([0.], {_F}")
arctanh = function("arctanh", mathematics.atanh, "[0.0]", f"Array([0.], {_F}")
arctan2 = binary("arctan2", mathematics.atan2, "[0.0], 1.0", f"Array([0.], {_F}")
# The names of the array API standard.
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh

_DEGREE = 0.017453292519943295

deg2rad = function(
    "deg2rad",
    lambda x: mul(_floating(x, "deg2rad"), _DEGREE),
    "[180.0]",
    f"Array([3.1415927], {_F}",
    "Return degrees as radians.",
)
rad2deg = function(
    "rad2deg",
    lambda x: mul(_floating(x, "rad2deg"), 1 / _DEGREE),
    "[0.0]",
    f"Array([0.], {_F}",
    "Return radians as degrees.",
)
radians, degrees = deg2rad, rad2deg

# complex parts ----------------------------------------------------------------------

real = function(
    "real",
    complex_parts.real,
    "[1.0 + 2.0j]",
    f"Array([1.], {_F}",
    "Take the real part; real numbers stay as they are.",
)
imag = function(
    "imag",
    complex_parts.imag,
    "[1.0 + 2.0j]",
    f"Array([2.], {_F}",
    "Take the imaginary part, 0 of real numbers.",
)
conjugate = function(
    "conjugate",
    complex_parts.conj,
    "[1.0 + 2.0j]",
    "Array([1.-2.j], dtype=complex64)",
    "Flip the sign of the imaginary part; real numbers stay as they are.",
)
conj = conjugate


def angle(x: Any) -> Any:
    """Return the angle of a complex number.

    **Meaning**: `np.angle(x)`

    Args:
        x: array of numbers.

    Returns:
        Array of angles in [-pi, pi].

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.angle([1.0 + 0.0j])
        Array([0.], dtype=float32)
    """
    found = _floating(x, "angle")
    return mathematics.atan2(complex_parts.imag(found), complex_parts.real(found))


# selection --------------------------------------------------------------------------


def clip(x: Any, min: Any = None, max: Any = None) -> Any:
    """Limit elements to a range.

    **Meaning**: `np.minimum(np.maximum(x, min), max)`

    Args:
        x: array of real numbers.
        min: number or array; None: no limit.
        max: number or array; None: no limit; where min > max it wins.

    Returns:
        Array of the common shape and dtype.

    Raises:
        DTypeError: when a dtype is complex.
        ShapeError: when shapes do not broadcast together.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.clip([-5, 2, 9], 0, 4)
        Array([0, 2, 4], dtype=int32)
    """
    found = numeric(x, "clip")
    if min is not None:
        found = magnitude.maximum(found, operand(min, "clip"))
    if max is not None:
        found = magnitude.minimum(found, operand(max, "clip"))
    return found


def nan_to_num(x: Any, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """Replace NaN and infinities by finite numbers.

    **Meaning**: `np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)`

    Args:
        x: array of real numbers.
        nan: what NaN becomes.
        posinf: what inf becomes; default: the largest number of the dtype.
        neginf: what -inf becomes; default: the lowest number of the dtype.

    Returns:
        Array of the shape and dtype of `x`.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.nan_to_num([float("nan"), 1.0])
        Array([0., 1.], dtype=float32)
    """
    found = numeric(x, "nan_to_num")
    if not dtypes.is_float(found.dtype):
        return found
    limits = finfo(found.dtype)
    top = float(limits.max) if posinf is None else posinf
    bottom = float(limits.min) if neginf is None else neginf
    for test, value in (
        (compare.is_nan(found), nan),
        (compare.eq(found, math.inf), top),
        (compare.eq(found, -math.inf), bottom),
    ):
        found = select(test, convert(operand(value, "nan_to_num"), found.dtype), found)
    return found
