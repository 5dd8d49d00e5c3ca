"""Functions of each element, under NumPy's names."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import ml_dtypes

from rxcore.base import dtypes
from rxcore.ir.operators import Numeric
from rxcore.numpy.inputs import as_bool, literal, numeric, operand
from rxcore.ops import compare, complex_parts, magnitude, mathematics
from rxcore.ops import elementwise as arithmetic
from rxcore.ops.compare import select
from rxcore.ops.convert import convert
from rxcore.ops.elementwise import mul
from rxcore.ops.families import promote
from rxcore.ops.power import pow_
from rxcore.ops.power import square as square_

Function = Callable[..., Any]

_DOCUMENT = """{sentence}

**Meaning**: `np.{name}({operands})`

Args:
    {args}

Returns:
    Array of the common shape.

Raises:
    DTypeError: when the dtype is not one of those that the function takes.
    ShapeError: when shapes do not broadcast together.

Example:
    >>> import rxcore.numpy as rnp
    >>> rnp.{name}({given})
    {result}
"""
_ARGS = {
    1: "x: array or number.",
    2: "x: array or number.\n    y: array or number; both broadcast together.",
}


def _function(
    name: str, op: Any, given: str, result: str, sentence: str = "", arity: int = 1
) -> Function:
    """Give an op its NumPy name, a document with an example, and lists as operands."""

    def unary(x: Any, /) -> Any:
        return op(x if isinstance(x, Numeric) else operand(x, name))

    def binary(x: Any, y: Any, /) -> Any:
        return op(operand(x, name), operand(y, name))

    made: Function = unary if arity == 1 else binary
    made.__name__ = made.__qualname__ = name
    made.__doc__ = _DOCUMENT.format(
        sentence=sentence or op.document,
        name=name,
        operands="x" if arity == 1 else "x, y",
        args=_ARGS[arity],
        given=given,
        result=result,
    )
    return made


def _binary(
    name: str, op: Any, given: str, result: str, sentence: str = ""
) -> Function:
    return _function(name, op, given, result, sentence, 2)


# arithmetic -------------------------------------------------------------------------

_I = "dtype=int32)"
_F = "dtype=float32)"
_B = "dtype=bool)"

add = _binary("add", arithmetic.add, "[1, 2], 3", f"Array([4, 5], {_I}")
subtract = _binary("subtract", arithmetic.sub, "[1, 2], 3", f"Array([-2, -1], {_I}")
multiply = _binary("multiply", arithmetic.mul, "[1, 2], 3", f"Array([3, 6], {_I}")
divide = _binary("divide", arithmetic.div, "[1, 2], 4", f"Array([0.25, 0.5 ], {_F}")
true_divide = _binary(
    "true_divide", arithmetic.div, "[1, 2], 4", f"Array([0.25, 0.5 ], {_F}"
)
floor_divide = _binary(
    "floor_divide", arithmetic.floor_divide, "[-7, 7], 2", f"Array([-4,  3], {_I}"
)
remainder = _binary(
    "remainder", arithmetic.remainder, "[-7, 7], 3", f"Array([2, 1], {_I}"
)
mod = _binary("mod", arithmetic.remainder, "[-7, 7], 3", f"Array([2, 1], {_I}")
fmod = _binary("fmod", arithmetic.fmod, "[-7, 7], 3", f"Array([-1,  1], {_I}")
power = _binary("power", pow_, "[2, 3], 3", f"Array([ 8, 27], {_I}")
pow = _binary("pow", pow_, "[2, 3], 3", f"Array([ 8, 27], {_I}")
negative = _function("negative", arithmetic.neg, "[1, -2]", f"Array([-1,  2], {_I}")
positive = _function(
    "positive",
    lambda x: numeric(x, "positive"),
    "[1, -2]",
    f"Array([ 1, -2], {_I}",
    "Return x.",
)
reciprocal = _function(
    "reciprocal",
    arithmetic.reciprocal,
    "[2.0, 4.0]",
    f"Array([0.5 , 0.25], {_F}",
    "Return 1 / x; integers are converted to floating first.",
)
square = _function("square", square_, "[1, -3]", f"Array([1, 9], {_I}", "Return x * x.")
_absolute: Any = magnitude.abs_
absolute = _function("absolute", _absolute, "[-1.5, 2.0]", f"Array([1.5, 2. ], {_F}")
abs = _function("abs", _absolute, "[-1.5, 2.0]", f"Array([1.5, 2. ], {_F}")
fabs = _function(
    "fabs",
    lambda x: magnitude.abs_(_floating(x, "fabs")),
    "[-1, 2]",
    f"Array([1., 2.], {_F}",
    "Return |x| as a floating number.",
)
sign = _function("sign", magnitude.sign, "[-5, 0, 2]", f"Array([-1,  0,  1], {_I}")
maximum = _binary("maximum", magnitude.maximum, "[1, 5], 3", f"Array([3, 5], {_I}")
minimum = _binary("minimum", magnitude.minimum, "[1, 5], 3", f"Array([1, 3], {_I}")
hypot = _binary("hypot", magnitude.hypot, "3.0, [4.0]", f"Array([5.], {_F}")
copysign = _binary(
    "copysign", magnitude.copysign, "[1.0, 2.0], -1.0", f"Array([-1., -2.], {_F}"
)
nextafter = _binary(
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


fmax = _binary(
    "fmax",
    _skip_nan(magnitude.maximum, "fmax"),
    '[1.0, float("nan")], 3.0',
    f"Array([3., 3.], {_F}",
    "Return the larger of x and y; the other one where one is NaN.",
)
fmin = _binary(
    "fmin",
    _skip_nan(magnitude.minimum, "fmin"),
    '[1.0, float("nan")], 3.0',
    f"Array([1., 3.], {_F}",
    "Return the smaller of x and y; the other one where one is NaN.",
)

# rounding ---------------------------------------------------------------------------

floor = _function("floor", arithmetic.floor, "[-1.5, 1.5]", f"Array([-2.,  1.], {_F}")
ceil = _function("ceil", arithmetic.ceil, "[-1.5, 1.5]", f"Array([-1.,  2.], {_F}")
trunc = _function("trunc", arithmetic.trunc, "[-1.5, 1.5]", f"Array([-1.,  1.], {_F}")
fix = _function("fix", arithmetic.trunc, "[-1.5, 1.5]", f"Array([-1.,  1.], {_F}")
rint = _function(
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

sqrt = _function("sqrt", mathematics.sqrt, "[4.0, 9.0]", f"Array([2., 3.], {_F}")
cbrt = _function("cbrt", mathematics.cbrt, "[8.0, -27.0]", f"Array([ 2., -3.], {_F}")
exp = _function(
    "exp", mathematics.exp, "[0.0, 1.0]", f"Array([1.       , 2.7182817], {_F}"
)
exp2 = _function("exp2", mathematics.exp2, "[0.0, 3.0]", f"Array([1., 8.], {_F}")
expm1 = _function("expm1", mathematics.expm1, "[0.0]", f"Array([0.], {_F}")
log = _function("log", mathematics.log, "[1.0, 0.0]", f"Array([  0., -inf], {_F}")
log2 = _function("log2", mathematics.log2, "[1.0, 8.0]", f"Array([0., 3.], {_F}")
log10 = _function("log10", mathematics.log10, "[1.0, 100.0]", f"Array([0., 2.], {_F}")
log1p = _function("log1p", mathematics.log1p, "[0.0]", f"Array([0.], {_F}")
logaddexp = _binary(
    "logaddexp",
    mathematics.logaddexp,
    "[1000.0], 1000.0",
    f"Array([1000.6931], {_F}",
    "Return log(e**x + e**y) without overflow.",
)
sin = _function("sin", mathematics.sin, "[0.0]", f"Array([0.], {_F}")
cos = _function("cos", mathematics.cos, "[0.0]", f"Array([1.], {_F}")
tan = _function("tan", mathematics.tan, "[0.0]", f"Array([0.], {_F}")
arcsin = _function("arcsin", mathematics.asin, "[0.0]", f"Array([0.], {_F}")
arccos = _function("arccos", mathematics.acos, "[1.0]", f"Array([0.], {_F}")
arctan = _function("arctan", mathematics.atan, "[0.0]", f"Array([0.], {_F}")
sinh = _function("sinh", mathematics.sinh, "[0.0]", f"Array([0.], {_F}")
cosh = _function("cosh", mathematics.cosh, "[0.0]", f"Array([1.], {_F}")
tanh = _function("tanh", mathematics.tanh, "[0.0]", f"Array([0.], {_F}")
arcsinh = _function("arcsinh", mathematics.asinh, "[0.0]", f"Array([0.], {_F}")
arccosh = _function("arccosh", mathematics.acosh, "[1.0]", f"Array([0.], {_F}")
arctanh = _function("arctanh", mathematics.atanh, "[0.0]", f"Array([0.], {_F}")
arctan2 = _binary("arctan2", mathematics.atan2, "[0.0], 1.0", f"Array([0.], {_F}")
# The names of the array API standard.
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh

_DEGREE = 0.017453292519943295

deg2rad = _function(
    "deg2rad",
    lambda x: mul(_floating(x, "deg2rad"), _DEGREE),
    "[180.0]",
    f"Array([3.1415927], {_F}",
    "Return degrees as radians.",
)
rad2deg = _function(
    "rad2deg",
    lambda x: mul(_floating(x, "rad2deg"), 1 / _DEGREE),
    "[0.0]",
    f"Array([0.], {_F}",
    "Return radians as degrees.",
)
radians, degrees = deg2rad, rad2deg

# complex parts ----------------------------------------------------------------------

real = _function(
    "real",
    complex_parts.real,
    "[1.0 + 2.0j]",
    f"Array([1.], {_F}",
    "Take the real part; real numbers stay as they are.",
)
imag = _function(
    "imag",
    complex_parts.imag,
    "[1.0 + 2.0j]",
    f"Array([2.], {_F}",
    "Take the imaginary part, 0 of real numbers.",
)
conjugate = _function(
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


# comparisons, logic, bits -----------------------------------------------------------

equal = _binary("equal", compare.eq, "[1, 2], 2", f"Array([False,  True], {_B}")
not_equal = _binary("not_equal", compare.ne, "[1, 2], 2", f"Array([ True, False], {_B}")
less = _binary("less", compare.lt, "[1, 2], 2", f"Array([ True, False], {_B}")
less_equal = _binary(
    "less_equal", compare.le, "[1, 2], 2", f"Array([ True,  True], {_B}"
)
greater = _binary("greater", compare.gt, "[1, 2], 2", f"Array([False, False], {_B}")
greater_equal = _binary(
    "greater_equal", compare.ge, "[1, 2], 2", f"Array([False,  True], {_B}"
)
isfinite = _function(
    "isfinite", compare.is_finite, '[1.0, float("inf")]', f"Array([ True, False], {_B}"
)
isinf = _function(
    "isinf", compare.is_inf, '[1.0, float("inf")]', f"Array([False,  True], {_B}"
)
isnan = _function(
    "isnan", compare.is_nan, '[1.0, float("nan")]', f"Array([False,  True], {_B}"
)
bitwise_and = _binary("bitwise_and", compare.and_, "[5, 6], 3", f"Array([1, 2], {_I}")
bitwise_or = _binary("bitwise_or", compare.or_, "[5, 6], 3", f"Array([7, 7], {_I}")
bitwise_xor = _binary("bitwise_xor", compare.xor, "[5, 6], 3", f"Array([6, 5], {_I}")
bitwise_not = _function("bitwise_not", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}")
invert = _function("invert", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}")
bitwise_invert = _function(
    "bitwise_invert", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}"
)
left_shift = _binary(
    "left_shift", compare.shift_left, "[1, 2], 3", f"Array([ 8, 16], {_I}"
)
right_shift = _binary(
    "right_shift", compare.shift_right, "[8, -8], 2", f"Array([ 2, -2], {_I}"
)
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def _logical(name: str, op: Any) -> Function:
    def function(x: Any, y: Any) -> Any:
        return op(as_bool(x, name), as_bool(y, name))

    return function


logical_and = _binary(
    "logical_and",
    _logical("logical_and", compare.and_),
    "[1, 0], True",
    f"Array([ True, False], {_B}",
    "Say whether both are true (not 0).",
)
logical_or = _binary(
    "logical_or",
    _logical("logical_or", compare.or_),
    "[1, 0], False",
    f"Array([ True, False], {_B}",
    "Say whether one is true (not 0).",
)
logical_xor = _binary(
    "logical_xor",
    _logical("logical_xor", compare.xor),
    "[1, 0], True",
    f"Array([False,  True], {_B}",
    "Say whether exactly one is true (not 0).",
)
logical_not = _function(
    "logical_not",
    lambda x: compare.not_(as_bool(x, "logical_not")),
    "[1, 0]",
    f"Array([False,  True], {_B}",
    "Say whether it is false (0).",
)


def signbit(x: Any) -> Any:
    """Say whether the sign bit is set: of -0.0 it is.

    **Meaning**: `np.signbit(x)`

    Args:
        x: array of real numbers.

    Returns:
        Array of bools.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.signbit([-0.0, 0.0])
        Array([ True, False], dtype=bool)
    """
    found = numeric(x, "signbit")
    if dtypes.is_float(found.dtype):
        found = magnitude.copysign(literal(1, found.dtype), found)
    return compare.lt(found, 0)


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
    limits = ml_dtypes.finfo(found.dtype)
    top = float(limits.max) if posinf is None else posinf
    bottom = float(limits.min) if neginf is None else neginf
    for test, value in (
        (compare.is_nan(found), nan),
        (compare.eq(found, math.inf), top),
        (compare.eq(found, -math.inf), bottom),
    ):
        found = select(test, convert(operand(value, "nan_to_num"), found.dtype), found)
    return found


def isclose(
    x: Any, y: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Any:
    """Say where numbers are equal up to a tolerance.

    **Meaning**: `np.abs(x - y) <= atol + rtol * np.abs(y)`; infinities equal themselves.

    Args:
        x: array or number.
        y: array or number.
        rtol: tolerance in units of |y|.
        atol: tolerance.
        equal_nan: whether NaN equals NaN.

    Returns:
        Array of bools.

    Raises:
        ShapeError: when shapes do not broadcast together.

    Example:
        >>> import rxcore.numpy as rnp
        >>> rnp.isclose([1.0, 2.0], [1.0000001, 2.1])
        Array([ True, False], dtype=bool)
    """
    a, b = promote(
        (operand(x, "isclose"), operand(y, "isclose")), floating=True, call="isclose"
    )
    size = arithmetic.add(mul(magnitude.abs_(b), rtol), atol)
    near = compare.le(magnitude.abs_(arithmetic.sub(a, b)), size)
    near = compare.and_(near, compare.is_finite(b))
    near = compare.or_(near, compare.eq(a, b))
    if equal_nan:
        near = compare.or_(near, compare.and_(compare.is_nan(a), compare.is_nan(b)))
    return near
