"""Comparisons, logic, bits and tests of numbers, under NumPy's names."""

from __future__ import annotations

from typing import Any

from rxcore.base import dtypes
from rxcore.numpy.inputs import as_bool, literal, numeric, operand
from rxcore.numpy.naming import Function, binary, function
from rxcore.ops import compare, magnitude
from rxcore.ops import elementwise as arithmetic
from rxcore.ops.elementwise import mul
from rxcore.ops.families import promote

__all__ = [
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "invert",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "right_shift",
    "signbit",
]

_I = "dtype=int32)"
_B = "dtype=bool)"

equal = binary("equal", compare.eq, "[1, 2], 2", f"Array([False,  True], {_B}")
not_equal = binary("not_equal", compare.ne, "[1, 2], 2", f"Array([ True, False], {_B}")
less = binary("less", compare.lt, "[1, 2], 2", f"Array([ True, False], {_B}")
less_equal = binary(
    "less_equal", compare.le, "[1, 2], 2", f"Array([ True,  True], {_B}"
)
greater = binary("greater", compare.gt, "[1, 2], 2", f"Array([False, False], {_B}")
greater_equal = binary(
    "greater_equal", compare.ge, "[1, 2], 2", f"Array([False,  True], {_B}"
)
isfinite = function(
    "isfinite", compare.is_finite, '[1.0, float("inf")]', f"Array([ True, False], {_B}"
)
isinf = function(
    "isinf", compare.is_inf, '[1.0, float("inf")]', f"Array([False,  True], {_B}"
)
isnan = function(
    "isnan", compare.is_nan, '[1.0, float("nan")]', f"Array([False,  True], {_B}"
)
bitwise_and = binary("bitwise_and", compare.and_, "[5, 6], 3", f"Array([1, 2], {_I}")
bitwise_or = binary("bitwise_or", compare.or_, "[5, 6], 3", f"Array([7, 7], {_I}")
bitwise_xor = binary("bitwise_xor", compare.xor, "[5, 6], 3", f"Array([6, 5], {_I}")
bitwise_not = function("bitwise_not", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}")
invert = function("invert", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}")
bitwise_invert = function(
    "bitwise_invert", compare.not_, "[0, 5]", f"Array([-1, -6], {_I}"
)
left_shift = binary(
    "left_shift", compare.shift_left, "[1, 2], 3", f"Array([ 8, 16], {_I}"
)
right_shift = binary(
    "right_shift", compare.shift_right, "[8, -8], 2", f"Array([ 2, -2], {_I}"
)
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


def _logical(name: str, op: Any) -> Function:
    def function(x: Any, y: Any) -> Any:
        return op(as_bool(x, name), as_bool(y, name))

    return function


logical_and = binary(
    "logical_and",
    _logical("logical_and", compare.and_),
    "[1, 0], True",
    f"Array([ True, False], {_B}",
    "Say whether both are true (not 0).",
)
logical_or = binary(
    "logical_or",
    _logical("logical_or", compare.or_),
    "[1, 0], False",
    f"Array([ True, False], {_B}",
    "Say whether one is true (not 0).",
)
logical_xor = binary(
    "logical_xor",
    _logical("logical_xor", compare.xor),
    "[1, 0], True",
    f"Array([False,  True], {_B}",
    "Say whether exactly one is true (not 0).",
)
logical_not = function(
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


def isclose(
    x: Any, y: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Any:
    """Say where numbers are equal up to a tolerance.

    **Meaning**: `np.abs(x - y) <= atol + rtol * np.abs(y)`; infinities equal
    themselves.

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
